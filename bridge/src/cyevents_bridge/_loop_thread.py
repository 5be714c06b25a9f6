"""A thread with an event loop, for bridges in programs that have none."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

from .engine import logger


class LoopThread:
    """A thread that runs an event loop from its creation until `stop`."""

    def __init__(self) -> None:
        self._is_running = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cyevents bridge", daemon=True)
        self._thread.start()
        self._is_running.wait()

    def _run(self) -> None:
        try:
            asyncio.run(self._wait())  # this also cancels the remaining tasks
        except SystemExit:
            logger.critical("the bridge has stopped, because a handler raised SystemExit in its thread")

    async def _wait(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self._is_running.set()
        await self._end.wait()

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine in the thread and return its result.

        Raises:
            RuntimeError: if the thread has ended, because a handler raised `SystemExit`.
        """
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise RuntimeError("the bridge has stopped, because a handler raised SystemExit in its thread") from None
        try:
            return future.result()
        except BaseException:  # for example Ctrl-C
            future.cancel()
            raise

    def stop(self) -> None:
        """End the thread and wait until it has ended."""
        with contextlib.suppress(RuntimeError):  # it has already ended
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
