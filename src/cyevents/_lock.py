"""The lock under which tables are changed: one for all events, and at exit not waited for in vain."""

from __future__ import annotations

import atexit
import sys
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Lock(RLock):  # type: ignore[misc]
    """What is held for a few dict operations, and never while user code runs."""

    __slots__ = ()


class LastLock(Lock):  # type: ignore[misc]
    """What the lock is from the exit hooks on.

    When the interpreter is finalized its daemon threads never run again, and one of them may have stopped in the middle
    of a change. The tables are sound after each step of a change, so that finalizers may go on with them.
    """

    __slots__ = ()

    def __enter__(self, is_finalizing: Any = sys.is_finalizing) -> bool:  # type: ignore[override]  # no globals are left
        lock: Any = self
        if is_finalizing() and not lock._is_owned():
            lock._at_fork_reinit()
        return self.acquire()


lock = Lock()
atexit.register(setattr, lock, "__class__", LastLock)
