"""Waiters: a task or a thread that sleeps until it is woken, once, from any thread: under asyncio, trio or neither."""

from __future__ import annotations

import sys
from _thread import TIMEOUT_MAX, allocate_lock
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from .loops import running_asyncio

if TYPE_CHECKING:
    import asyncio
    from typing import TypeAlias

    Waiter: TypeAlias = "_AsyncioWaiter | _TrioWaiter | _ThreadWaiter"


def make_waiter(loop: asyncio.AbstractEventLoop | None, trio: Any) -> Waiter:
    """Return a waiter of this asyncio loop, of the running trio task if trio is given, or else of this thread."""
    if loop is not None:
        return _AsyncioWaiter(loop)
    return _ThreadWaiter() if trio is None else _TrioWaiter(trio)


class _AsyncioWaiter:
    """A task of an asyncio loop that sleeps until it is woken, once."""

    __slots__ = ("_future", "_is_woken", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[None] = loop.create_future()
        self._is_woken = False

    def wake(self) -> bool:
        """Wake it, from any thread; return False if its loop is closed."""
        if self._is_woken:  # or another thread is about to wake it
            return True
        self._is_woken = True
        if running_asyncio() is self._loop:
            self._resolve()
            return True
        try:
            self._loop.call_soon_threadsafe(self._resolve)
        except RuntimeError:
            return False
        return True

    def _resolve(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    async def sleep(self, deadline: float | None) -> None:
        """Sleep until it is woken, or to the deadline."""
        if deadline is None:
            await self._future
            return
        timer = self._loop.call_at(deadline, self._resolve)
        try:
            await self._future
        finally:
            timer.cancel()


class _TrioWaiter:
    """A trio task that sleeps until it is woken, once."""

    __slots__ = ("_is_set", "_token", "_trio")

    def __init__(self, trio: Any) -> None:
        self._trio = trio
        self._token = trio.lowlevel.current_trio_token()
        self._is_set = trio.Event()

    def wake(self) -> bool:
        """Wake it, from any thread; return False if its loop is closed."""
        try:
            self._token.run_sync_soon(self._is_set.set, idempotent=True)
        except self._trio.RunFinishedError:
            return False
        return True

    async def sleep(self, deadline: float | None) -> None:
        """Sleep until it is woken, or to the deadline."""
        with self._trio.CancelScope(deadline=inf if deadline is None else deadline):
            await self._is_set.wait()


# On Windows, Ctrl-C does not interrupt a thread that waits for a lock: it is noticed between two short sleeps.
_LONGEST_SLEEP = 0.1 if sys.platform == "win32" else TIMEOUT_MAX


class _ThreadWaiter:
    """A thread that sleeps until it is woken, once. The lock is free once it is woken."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def wake(self) -> bool:
        """Wake it, from any thread, also from a signal handler or a finalizer in the thread itself."""
        try:
            self._lock.release()
        except RuntimeError:  # it is woken already
            pass
        return True

    async def sleep(self, deadline: float | None) -> None:
        """Sleep until it is woken, or to the deadline, or for a while. Signal handlers run, and what they raise too."""
        remaining = _LONGEST_SLEEP if deadline is None else max(deadline - monotonic(), 0)
        self._lock.acquire(timeout=min(remaining, _LONGEST_SLEEP))
