"""The one lock that protects the tables, and ways to take it after which it is always released.

Three things can come between taking a lock and the code that releases it:

- A signal handler that raises. Python runs signal handlers after a call and at the start of a function, so
  `acquire()` followed by `try` has a gap; since Python 3.14 a `with` statement has one as well. The step of a `for`
  loop has none: in `for _ in taking(): try: ... finally: release()` the lock is taken by the loop's own step.
- A lack of memory. The end of a `with` statement makes a call with three arguments, which may need memory.
  `release()` needs none.
- The end of the interpreter. Its daemon threads never run again, and one of them may have stopped with the lock held.
  The tables are consistent after each step of a change, so a finalizer that runs later takes the lock over.
"""

from __future__ import annotations

import sys
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar

    ResultT = TypeVar("ResultT")

lock: Any = RLock()
release: Any = lock.release

# The functions keep what they use in their defaults: at exit a module's globals may have been cleared.


def free_lock_at_exit(lock: Any = lock, is_finalizing: Any = sys.is_finalizing) -> None:
    """At interpreter exit, free the lock if a daemon thread that will never run again holds it."""
    if is_finalizing() and not lock._is_owned():
        lock._at_fork_reinit()


def taking(prepare: Any = free_lock_at_exit, acquire: Any = lock.acquire) -> Iterator[bool]:
    """Return an iterator whose only step waits for the lock and takes it."""
    prepare()
    return map(acquire, (True,))


def taking_at_once(prepare: Any = free_lock_at_exit, acquire: Any = lock.acquire) -> Iterator[bool]:
    """Return an iterator that takes the lock if no other thread holds it; it has no step otherwise."""
    prepare()
    return filter(None, map(acquire, (False,)))


def call_locked(function: Callable[..., ResultT], *args: Any, taking: Any = taking, release: Any = release) -> ResultT:
    """Call a function while holding the lock, and return what it returns."""
    for _ in taking():
        try:
            return function(*args)
        finally:
            release()
    raise AssertionError  # the loop has one step
