"""`throttled` and `debounced`: wrappers that limit how often a function is called. Imported when used.

How it works: a delayed call replaces an earlier one and waits for a timer: in the event loop of the last call, else in
one thread for all. If calls went on, the timer comes too early and waits again, so most calls only replace another one.
The waiting call and its due time change under the lock of all tables, by `call_locked`, so signal handlers, finalizers
and forks find them consistent. No user code runs under the lock.

At exit, waiting calls are made at once. There are two hooks for that, as in `_async.scheduling`: one before thread
pools end, and one as the last of all. After that no call waits any more.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # its exit hook must be registered before the one here, to run after that # noqa: F401
import os
import sys
import threading
from contextvars import Context, copy_context
from functools import WRAPPER_ASSIGNMENTS, partial, update_wrapper
from heapq import heappop, heappush
from itertools import count
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from types import MethodType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar
from weakref import ref

from ._async.loops import running_asyncio
from ._checks import check_bool, checked_seconds, kind_of
from ._core import call_locked, consume
from ._core._safe import handler_name, log, safe_repr
from ._core._values import ANY, GENERATOR, MISSING, VALUE, Cancel, kind_of_result
from ._event import Event

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable
    from inspect import Signature
    from typing import Concatenate, overload

    Call = tuple[tuple[Any, ...], dict[str, Any], AbstractEventLoop | None, Context]
    OwnerT = TypeVar("OwnerT")
    InnerP = ParamSpec("InnerP")

P = ParamSpec("P")
ResultT = TypeVar("ResultT", covariant=True)

EXIT_LIMIT = 10.0
"""Seconds for which the interpreter's exit waits for delayed calls."""

if TYPE_CHECKING:

    @overload
    def throttled(
        f: Callable[P, ResultT], /, seconds: float, *, trailing: bool = ...
    ) -> Limited[P, ResultT | None]: ...
    @overload
    def throttled(
        *, seconds: float, trailing: bool = ...
    ) -> Callable[[Callable[P, ResultT]], Limited[P, ResultT | None]]: ...


def throttled(f: Any = MISSING, /, seconds: Any = MISSING, *, trailing: bool = True) -> Any:
    """Return a wrapper of a function, such as a handler, that calls it at most once in that many seconds.

    The first call is made at once and returns the function's result. Calls that come too early return `None`. The last
    of them is made when the time is over, so the last value is not lost.

    Args:
        f: the function. Without it, this is a decorator: `@throttled(seconds=0.1)`.
        seconds: the shortest time between the starts of two calls.
        trailing: whether the last early call is made later. If not, all early calls are dropped.

    Returns:
        A `Limited`, which you call or connect instead of the function. Events hold it weakly: keep a reference. As a
        method of a class, it limits the calls of each object separately.

    Raises:
        TypeError: if the function is not callable, or an option has the wrong type.
        ValueError: if `seconds` is not positive, or too large for a clock.

    Example:
        >>> from cyevents import Event, throttled
        >>> moved = Event("moved")
        >>> @moved.connect
        ... @throttled(seconds=60)
        ... def draw(position):
        ...     print("draw at", position)
        >>> for position in range(1000):
        ...     _ = moved.emit(position)
        draw at 0
        >>> draw.flush()
        draw at 999
        True
    """
    check_bool("trailing", trailing)
    return _limited(f, seconds, "throttled", trailing)


if TYPE_CHECKING:

    @overload
    def debounced(f: Callable[P, object], /, seconds: float) -> Limited[P, None]: ...
    @overload
    def debounced(*, seconds: float) -> Callable[[Callable[P, object]], Limited[P, None]]: ...


def debounced(f: Any = MISSING, /, seconds: Any = MISSING) -> Any:
    """Return a wrapper of a function, such as a handler, that calls it once, that many seconds after the last call.

    Each call returns `None` and restarts the time. The function gets the arguments of the last call.

    Args:
        f: the function. Without it, this is a decorator: `@debounced(seconds=0.1)`.
        seconds: how long there must be no call.

    Returns:
        A `Limited`, as from `throttled`.

    Raises:
        TypeError: if the function is not callable, or `seconds` is not a number.
        ValueError: if `seconds` is not positive, or too large for a clock.

    Example:
        >>> from cyevents import Event, debounced
        >>> edited = Event("edited")
        >>> @edited.connect
        ... @debounced(seconds=60)
        ... def save(text):
        ...     print("saved", text)
        >>> for text in ("a", "ab", "abc"):
        ...     _ = edited.emit(text)
        >>> save.flush()
        saved abc
        True
    """
    return _limited(f, seconds, "debounced", True)


def _limited(f: Any, seconds: Any, word: str, trailing: bool) -> Any:
    hint = f"as a decorator, write @{word}(seconds=0.1)"
    if seconds is MISSING:
        rule = "needs a number of seconds" if f is MISSING or callable(f) else f"takes a function, not {safe_repr(f)}"
        raise TypeError(f"{word}() {rule}: {hint}")
    seconds = checked_seconds("seconds", seconds)

    def wrap(function: Any) -> Limited[..., Any]:
        if issubclass(type(function), (staticmethod, classmethod)):
            kind = type(function).__name__
            raise TypeError(f"{word}() takes a function, not a {kind}: write @{kind} above @{word}(...)")
        if not callable(function):
            raise TypeError(f"{word}() takes a function, not {safe_repr(function)}: {hint}")
        limited: Limited[..., Any] = Limited(function, seconds, word, trailing)
        try:
            update_wrapper(limited, function, (*WRAPPER_ASSIGNMENTS, "__code__"))  # which says whether it is async
        except Exception:  # its attributes raise
            pass
        return limited

    wrap.__qualname__ = f"{word}(...)"  # in its `repr`, and in the errors of wrong calls
    return wrap if f is MISSING else wrap(f)


class Limited(Generic[P, ResultT]):
    """A function with a limit on how often it is called. `throttled` and `debounced` return it.

    The last call decides where the delayed call runs: in the asyncio loop of its thread if there is one, else in a
    thread that makes all such calls one by one. Its context variables go along. The result of a delayed call is not
    used: `False` cancels nothing, and an awaitable is scheduled as by `emit`. An exception goes to the loop's exception
    handler, or is logged at ERROR on the logger `cyevents`.

    Calls that still wait when the program ends are made then. Exit waits for at most 10 seconds, and logs the calls
    that it abandons.

    Thread-safe and re-entrant. If the function takes longer than the time between two calls, several threads may run it
    at once.
    """

    __slots__ = (
        "__dict__",
        "__weakref__",
        "_armed",
        "_call",
        "_due",
        "_function",
        "_is_method",
        "_objects",
        "_place",
        "_seconds",
        "_serial",
        "_trailing",
        "_word",
    )

    def __init__(self, function: Callable[P, Any], seconds: float, word: str, trailing: bool) -> None:
        self._function = function
        self._seconds = seconds
        self._word = word
        self._trailing = trailing
        self._call: Call | None = None  # the one that waits
        self._due = -inf  # when it is due, or when one may be made at once
        self._place: Any = None  # where its timer is: a loop or `_thread_place`; None if there is no timer
        self._serial = 1  # of the timer; those of other numbers do nothing any more
        self._armed = 0  # the number of the last timer that was started: an interrupt may have come before
        self._is_method = False
        self._objects: dict[int, tuple[ref[Any], Limited[P, ResultT]]] = {}  # by id: each object's own limit

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> ResultT:
        """Call the function, or let the call wait: see `throttled` and `debounced`."""
        limited = self._of(args[0]) if self._is_method and args else self
        loop = running_asyncio()
        is_due, serial, replaced = call_locked(limited._enter_locked, (args, kwargs, loop, copy_context()))
        del replaced  # not under the lock
        if is_due:
            return self._function(*args, **kwargs)  # type: ignore[no-any-return]
        if serial:
            limited._start_timer(serial, loop)
        return None  # type: ignore[return-value]

    def flush(self) -> bool:
        """Make the waiting call now, in this thread. On a class, those of all objects.

        Returns:
            Whether there was one.
        """
        found = [each.flush() for each in self._each()]
        call = call_locked(self._take_locked, 0, True)
        if call is not None:
            self._make(call)
        return call is not None or True in found

    def cancel(self) -> bool:
        """Drop the waiting call. On a class, those of all objects.

        Returns:
            Whether there was one.
        """
        found = [each.cancel() for each in self._each()]
        return call_locked(self._take_locked, 0, False) is not None or True in found

    def _each(self) -> list[Limited[P, ResultT]]:
        """Return the limits of all objects, when this is a method."""
        objects: list[tuple[Any, Limited[P, ResultT]]] = call_locked(list, self._objects.values())
        return [limited for _, limited in objects]

    def _of(self, owner: Any) -> Limited[P, ResultT]:
        """Return the limit of an object, when this is a method."""
        objects, key = self._objects, id(owner)
        known = objects.get(key)
        if known is None or known[0]() is not owner:
            try:
                reference = ref(owner, lambda _: objects.pop(key, None))
            except TypeError:
                text = f"{self!r} needs objects that can be weakly referenced, not {safe_repr(owner)}"
                raise TypeError(f"{text}: add '__weakref__' to the __slots__ of its class") from None
            made: Any = reference, Limited(self._function, self._seconds, self._word, self._trailing)
            known = objects.setdefault(key, made)
            if known[0]() is not owner:
                objects[key] = known = made
        return known[1]

    def _enter_locked(self, call: Call) -> tuple[bool, int, object]:
        """Return whether to make a call at once, else the number of a timer to start or 0, and what to release."""
        now, replaced = monotonic(), self._call
        if self._word == "debounced":
            self._due = now + self._seconds
        elif now >= self._due:
            self._due = now + self._seconds
            self._call = None
            _waiting.pop(self, None)
            return True, 0, replaced
        elif not self._trailing:
            return False, 0, None
        self._call = call
        _waiting[self] = None
        place = _thread_place if call[2] is None else call[2]
        if self._place is not place:
            self._place = place
            self._serial += 1
        return False, 0 if self._armed == self._serial else self._serial, replaced

    def _take_locked(self, serial: int, is_made: bool) -> Call | None:
        """Remove and return the call that waits, if there is one; for a timer, if it is due."""
        if serial:
            if serial != self._serial:
                return None
            if self._call is not None and monotonic() < self._due:
                self._armed = 0
                return None
            self._place = None
            self._serial += 1
        call, self._call = self._call, None  # else the timer goes on, for the next call
        _waiting.pop(self, None)
        if is_made and call is not None:  # else the next call may be made when this one was due
            self._due = monotonic() + self._seconds
        return call

    def _start_timer(self, serial: int, loop: AbstractEventLoop | None) -> None:
        if _is_late:
            self._wake()
            return
        if kind_of(self._function) in ("async", "async_generator"):
            from ._async import scheduling  # noqa: F401 - at exit it could not be imported any more
        timer = partial(_wake, ref(self), serial, loop)
        if loop is not None:
            loop.call_later(self._due - monotonic(), timer, context=Context())
        elif not _in_thread(self._due, timer):
            self._wake()
        self._armed = serial

    def _wake(self, serial: int = 0, loop: AbstractEventLoop | None = None) -> None:
        """Make the call that waits, for a timer if it is due, and report what it raises."""
        call = call_locked(self._take_locked, serial, True)
        if call is None:
            if serial == self._serial:
                self._start_timer(serial, loop)
            return
        _running.append(self)
        try:
            self._make(call)
        except Exception as error:
            text = f"a delayed call of {self!r} failed"
            if loop is None:
                log("ERROR", "%s", text, exc_info=error)
            else:
                loop.call_exception_handler({"message": text, "exception": error})
        finally:
            _running.remove(self)

    def _make(self, call: Call) -> None:
        args, kwargs, _, context = call
        try:
            result: Any = context.run(self._function, *args, **kwargs)
            kind = kind_of_result(result)
            if kind == GENERATOR:
                context.run(consume, result, [])
            elif kind != VALUE:
                context.run(_event._schedule, result, kind, self._function, ANY, _entry)
        except Cancel:
            pass

    def __reduce__(self) -> Any:
        # A copy has no call that waits, and no timer.
        return Limited, (self._function, self._seconds, self._word, self._trailing), self.__dict__

    def __set_name__(self, owner: type, name: str) -> None:
        self._is_method = True

    if TYPE_CHECKING:

        @overload
        def __get__(self, obj: None, cls: type | None = ..., /) -> Limited[P, ResultT]: ...
        @overload
        def __get__(
            self: Limited[Concatenate[OwnerT, InnerP], ResultT], obj: OwnerT, cls: type | None = ..., /
        ) -> LimitedMethod[InnerP, ResultT]: ...

    def __get__(self, obj: Any, cls: type | None = None, /) -> Any:
        if obj is None:
            return self
        self._is_method = True  # if the class got it later, or it is below `classmethod`
        return LimitedMethod(self, obj)

    def __repr__(self) -> str:
        return f"<{self._word} {handler_name(self._function)}>"


def _wake(limited: ref[Limited[..., Any]], serial: int, loop: AbstractEventLoop | None) -> None:
    """Called by a timer, which does not keep a wrapper alive: a call that waits does."""
    it = limited()
    if it is not None:
        it._wake(serial, loop)


class LimitedMethod(Generic[P, ResultT]):
    """A `Limited` as the method of an object. Its `flush` and `cancel` are for the call of that object."""

    __slots__ = ("__func__", "__self__")  # so events take it for a bound method, and hold its object weakly

    def __init__(self, function: Limited[..., Any], owner: Any) -> None:
        self.__func__ = function
        self.__self__ = owner

    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> ResultT:
        return self.__func__(self.__self__, *args, **kwargs)  # type: ignore[no-any-return]

    def flush(self) -> bool:
        """Make the object's waiting call now: see `Limited.flush`."""
        return self.__func__._of(self.__self__).flush()

    def cancel(self) -> bool:
        """Drop the object's waiting call: see `Limited.cancel`."""
        return self.__func__._of(self.__self__).cancel()

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "__func__"), name)  # such as `__qualname__`

    @property
    def __signature__(self) -> Signature:
        from inspect import signature

        return signature(MethodType(self.__func__._function, self.__self__))

    def __eq__(self, other: object) -> bool:
        same = type(other) is LimitedMethod and other.__func__ is self.__func__
        return same and other.__self__ is self.__self__  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((id(self.__func__), id(self.__self__)))

    def __repr__(self) -> str:
        return f"{self.__func__!r}"[:-1] + f" of {safe_repr(self.__self__)}>"


# The thread

_threads: dict[str, tuple[SimpleQueue[Any], threading.Thread]] = {}  # one at most; a dict for its atomic `setdefault`
_thread_place: object = object()  # another one in a forked process, in which the thread does not run
_numbers = count()  # two items of one time go by their number
_waiting: dict[Limited[..., Any], None] = {}  # those with a call that waits
_running: list[Limited[..., Any]] = []  # those that make one
_event = Event("a delayed call")  # `emit` schedules awaitables for an event and an entry, which report errors
_entry: Any = SimpleNamespace(warned=bool)


def _in_thread(when: float, function: Callable[[], object] | None) -> bool:
    """Have the thread call a function at a time, or end for None; return False if there is no thread."""
    it = _threads.get("it")
    if it is None:
        queue: SimpleQueue[Any] = SimpleQueue()
        try:
            made = queue, threading.Thread(target=_run_thread, args=(queue,), name="cyevents-delayed", daemon=True)
            it = _threads.setdefault("it", made)
            if it is made:
                made[1].start()
        except BaseException as error:
            _threads.pop("it", None)
            if isinstance(error, RuntimeError):  # at exit, in a subinterpreter without daemons, or there are too many
                return False
            raise
    it[0].put((when, next(_numbers), function))
    return True


def _run_thread(queue: SimpleQueue[Any]) -> None:
    items: list[Any] = []
    while True:
        delay = min(items[0][0] - monotonic(), 3600.0) if items else None
        if delay is None or delay > 0:
            try:
                heappush(items, queue.get(True, delay))
            except Empty:
                pass
            continue
        function = heappop(items)[2]
        if function is None:
            return
        try:
            function()
        except BaseException as error:  # such as SystemExit, which must not end the thread of the others
            log("ERROR", "a delayed call raised %s", safe_repr(error), exc_info=error)
        del function  # the thread would keep it alive


# Exit and forks

_left_at_exit = EXIT_LIMIT
_is_late = False  # whether the last exit hook has run
_given_up: set[Limited[..., Any]] = set()


def _flush_at_exit(is_last: bool = False) -> None:
    """Make the calls that wait, those of running loops at last only; log the calls that are abandoned."""
    global _is_late, _left_at_exit
    _is_late = is_last
    waiting: list[Limited[..., Any]] = call_locked(list, _waiting)
    waiting = [each for each in waiting if is_last or not getattr(each._place, "is_running", bool)()]
    for each in waiting:
        if not _in_thread(-inf, each._wake):
            each._wake()
    it = _threads.get("it")
    if it is not None:
        done = threading.Event()
        _in_thread(-inf, done.set)
        begun = monotonic()
        try:
            done.wait(_left_at_exit)
        finally:
            _left_at_exit = max(0.0, _left_at_exit - (monotonic() - begun))
            if not done.is_set():  # or the user has interrupted it, and does not want to wait
                _left_at_exit = 0.0
                _log_given_up([*_running, *[each for each in waiting if each in _waiting]])
    scheduling = sys.modules.get("cyevents._async.scheduling")
    if scheduling is not None and not is_last:  # its hook may have run before
        scheduling._drain_at_exit()
    if it is not None and is_last:  # before Python 3.14, a thread that is left in a subinterpreter is fatal
        _in_thread(-inf, None)
        it[1].join(_left_at_exit)


def _log_given_up(left: list[Limited[..., Any]]) -> None:
    left = [each for each in left if each not in _given_up]
    _given_up.update(left)
    names = [repr(each) for each in left[:10]] + [f"{len(left) - 10} more"] * (len(left) > 10)
    if names:
        log("ERROR", "delayed calls not finished at exit are abandoned: %s", ", ".join(names))


def _after_fork() -> None:
    """In the child: forget the calls that wait, which the parent makes, and the thread."""
    global _thread_place
    _thread_place = object()
    _threads.clear()
    _running.clear()
    for each in _waiting:
        each._call = each._place = None
    _waiting.clear()


try:
    threading._register_atexit(_flush_at_exit)  # type: ignore[attr-defined]
except RuntimeError:  # the interpreter is exiting already
    pass
atexit.register(_flush_at_exit, True)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
