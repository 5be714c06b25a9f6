"""The lock under which tables are changed: one for all events, and at exit not waited for in vain."""

from __future__ import annotations

import atexit
import sys
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

lock: Any = RLock()


class LastLock:
    """What stands for the lock from the exit hooks on.

    When the interpreter is finalized its daemon threads never run again, and one of them may have stopped in the middle
    of a change. The tables are sound after each step of a change, so that finalizers may go on with them.
    """

    __slots__ = ()
    acquire = lock.acquire
    release = lock.release

    # Their defaults: when modules have been cleared there are no globals.

    def __enter__(self, lock: Any = lock, is_finalizing: Any = sys.is_finalizing) -> None:
        if is_finalizing() and not lock._is_owned():
            lock._at_fork_reinit()
        lock.acquire()

    def __exit__(self, kind: object, error: object, traceback: object, release: Any = lock.release) -> None:
        release()


def _replace(lock: Any) -> None:
    """Have all modules of this package use the last one: a lock with an `__enter__` in Python could be interrupted."""
    last = LastLock()
    for name, module in list(sys.modules.items()):
        if name.startswith(f"{__package__}.") and getattr(module, "lock", None) is lock:
            module.lock = last  # type: ignore[attr-defined]


atexit.register(_replace, lock)
