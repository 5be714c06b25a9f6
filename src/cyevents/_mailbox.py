"""`Mailbox`: a bounded queue of calls between the thread that emits and the one that runs the handlers.

How it works: the core puts calls into the mailbox with `put_call` and takes them out with `run_calls`, which describe a
call. There is no lock, since an emission must never wait for another thread. A call first claims one of the places,
which are the items of a list, by the atomic `list.pop`. This module handles a full mailbox, and wakes the drainer.

With `overflow="latest"` the calls are in an ordered dict by event, handler and sender. The core then never finds a
place, so `_put_latest` puts each call.

No wakeup is lost: a due wakeup is an item in `_armed`, which a drain puts there when it has emptied the mailbox. It
looks again after that, and an emission first puts its call and then takes the item. So one of the two notices.
"""

from __future__ import annotations

import atexit
import os
from _thread import TIMEOUT_MAX, get_ident
from collections import OrderedDict, deque
from time import perf_counter
from weakref import ref

from ._core import consume, handler_key, put_call, run_calls, sender_key
from ._core._safe import exact_str, handler_name, log, safe_repr
from ._core._values import GENERATOR, VALUE, kind_of_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from functools import partial
    from typing import Any, Literal, NoReturn, Protocol

    from ._core import Entry, EventCore
    from ._core._tables import Dispatch

    MailboxOverflow = Literal["raise", "drop_oldest", "drop_newest", "latest"]
    Call = tuple[Entry, Any, Any, EventCore, Any, tuple[Any, ...], dict[str, Any]]

    class HasFileno(Protocol):
        """An object with a file descriptor, such as a socket."""

        def fileno(self) -> int: ...
else:
    from _functools import partial  # functools itself is slow to import

_FIRST_PLACES = 4096  # made at once; more when they are needed
_mailboxes: dict[int, ref[Mailbox]] = {}  # all, by their id
_is_late = False  # whether the calls that waited at exit have been logged


class MailboxFull(RuntimeError):
    """Raised to the emitter, whatever `on_error` says, if a mailbox with `overflow="raise"` is full."""


class Mailbox:
    """A bounded queue of calls, for handlers that must run in a thread of your choice: `connect(handler, via=mailbox)`.

    An emission puts the call into the mailbox and goes on. The calls run when a thread drains the mailbox: the main
    loop of a game once per frame, a GUI when it is woken, or a worker. The mailbox keeps handler, sender and arguments
    alive until then. `len(mailbox)` is the number of waiting calls; a mailbox is always true, even if it is empty.

    Args:
        maxsize: how many calls may wait.
        overflow: what an emission does if the mailbox is full. `"raise"`: raise `MailboxFull`. `"drop_oldest"` and
            `"drop_newest"`: drop a call. `"latest"`: a new call always replaces a waiting one of the same event,
            handler and sender, and goes to the end; if there is none, a full mailbox drops its oldest call.
        wakeup: called without arguments, in the emitting thread, when an empty mailbox gets a call. Or a file
            descriptor or an object that has one, such as a socket, to which a byte is then written; it is made
            non-blocking. A drain that leaves calls behind wakes too, so draining once per wakeup is enough.

    Raises:
        TypeError: if an argument has the wrong type.
        ValueError: if `maxsize` is less than 1, or `overflow` an unknown word.

    Thread-safe: any number of threads may emit and drain. So may signal handlers and finalizers. A forked child process
    has an empty copy of the mailbox.

    Example:
        >>> from cyevents import Event, Mailbox
        >>> damaged, mailbox = Event("damaged"), Mailbox(100)
        >>> def show(player, points):
        ...     print(f"{player} loses {points}")
        >>> _ = damaged.connect(show, via=mailbox)
        >>> damaged.emit("ada", 3)
        []
        >>> mailbox
        <Mailbox: 1 of 100 calls waits>
        >>> mailbox.drain()
        ada loses 3
        1
    """

    __slots__ = (
        "__weakref__",
        "_armed",
        "_calls",
        "_drops",
        "_is_suspect",
        "_maxsize",
        "_overflow",
        "_places",
        "_reserve",
        "_wakeup",
    )

    _calls: Any  # a deque, or an OrderedDict

    def __init__(
        self,
        maxsize: int,
        overflow: MailboxOverflow = "raise",
        *,
        wakeup: Callable[[], object] | int | HasFileno | None = None,
    ) -> None:
        if type(maxsize) is bool or not issubclass(type(maxsize), int):
            raise TypeError(f"maxsize must be an int, the number of calls that may wait, not {safe_repr(maxsize)}")
        maxsize = int.__index__(maxsize)
        if maxsize < 1:
            raise ValueError(f"maxsize must allow at least one call, not {safe_repr(maxsize)}")
        word = exact_str(overflow)
        if type(word) is not str or word not in ("raise", "drop_oldest", "drop_newest", "latest"):
            raise ValueError(
                f'overflow must be "raise", "drop_oldest", "drop_newest" or "latest", not {safe_repr(overflow)}'
            )
        self._wakeup = _checked_wakeup(wakeup)
        self._maxsize = maxsize
        self._is_suspect = False  # whether all places were missing when a drain had emptied it
        self._overflow = word
        self._drops: dict[int, int] = {}  # how many calls each thread has dropped
        self._places, self._reserve = _make_places(maxsize)
        self._armed = [] if wakeup is None else [None]
        self._calls = OrderedDict() if word == "latest" else deque()
        _mailboxes[id(self)] = ref(self)

    # In the thread that emits

    def _parts(self) -> tuple[Any, ...]:
        """Return what `put_call` needs. The mailbox does not keep it: it refers to the mailbox."""
        if self._overflow == "latest":
            return [], self._armed, None, self._put_latest, None
        return self._places, self._armed, self._calls.append, self._put_in_full, self._wake

    def _deliver(self, dispatch: Dispatch, entry: Entry, handler: Any, call: Any, keywords: dict[str, Any]) -> None:
        """Put a call that the core does not put itself: see `Delivery`."""
        if dispatch.watch is not None:
            call = dispatch.watch.deliver(entry, handler, call)
        self._put((entry, handler, call, dispatch.event, dispatch.sender, dispatch.args, keywords))

    def _put(self, call: Call) -> None:
        put_call(self._parts(), call)

    def _put_in_full(self, call: Call) -> None:
        """Put a call although no place was found."""
        if _is_late:
            self._calls.append(call)
            _log_lost("are put into a mailbox at exit", [call])
            return
        dropped: Call | None = None
        if not self._claim():
            if self._overflow == "raise":
                raise MailboxFull(self._full_text(call)) from None
            try:
                dropped = call if self._overflow == "drop_newest" else self._calls.popleft()
            except IndexError:  # each place is claimed by a call that is being put, or a drain was faster
                dropped = call
        try:
            if dropped is not None:
                self._count_drop()
            if dropped is call:
                return
            self._calls.append(call)
        except BaseException:  # no memory, or a signal handler has raised, perhaps after the step
            if dropped is not call and not any(each is call for each in self._calls.copy()):
                self._places.append(None)
            raise
        if self._armed:
            self._wake()

    def _claim(self) -> bool:
        """Claim a place; return False if there is none."""
        while True:
            try:
                self._places.pop()
                return True
            except IndexError:
                pass
            try:
                more = self._reserve.pop()
            except IndexError:
                return False
            self._places.extend([None] * more)

    def _put_latest(self, call: Call) -> None:
        """Put a call in the place of one of the same event, handler and sender, or at the end."""
        key = id(call[3]), handler_key(call[1]), sender_key(call[4])  # no id is reused while the call is here
        replaced: Any = self._calls.pop(key, None)
        if replaced is None and not _is_late and not self._claim():
            try:
                replaced = self._calls.popitem(last=False)
            except KeyError:  # as in `_put_in_full`
                replaced = call
        try:
            if replaced is not None:
                self._count_drop()
            kept = call if replaced is call else self._calls.setdefault(key, call)
        except BaseException:  # as in `_put_in_full`
            if replaced is not call and self._calls.get(key) is not call:
                self._places.append(None)
            raise
        if kept is not call:  # a newer one came meanwhile
            self._places.append(None)
            self._count_drop()
        if _is_late:
            _log_lost("are put into a mailbox at exit", [call])
        if self._armed:
            self._wake()

    def _take_latest(self) -> Call:
        call: Call = self._calls.popitem(last=False)[1]
        return call

    def _count_drop(self) -> None:
        thread = get_ident()
        try:
            self._drops[thread] += 1  # no other thread has this key, and no signal handler runs in between
        except KeyError:
            self._drops[thread] = 1

    def _full_text(self, call: Call) -> str:
        return (
            f"{self!r} has no place for the call of {handler_name(call[1])} for event {call[3].name!r}: drain it more"
            ' often, give it a larger maxsize, or say what to drop: overflow="drop_oldest", "drop_newest" or "latest"'
        )

    def _wake(self) -> None:
        """Wake the drainer, unless another emission has done so since the last drain."""
        try:
            self._armed.pop()
        except IndexError:
            return
        try:
            self._call_wakeup()
        except BaseException:  # a signal handler has raised
            self._armed.append(None)
            raise

    def _call_wakeup(self) -> None:
        try:
            self._wakeup()
        except BlockingIOError:  # it is full of bytes: those will wake
            pass
        except Exception as error:  # the call is in the mailbox all the same
            log("ERROR", "wakeup %s of %s failed", safe_repr(self._wakeup), safe_repr(self), exc_info=error)

    # In the thread that drains

    def drain(self, budget: float | None = None, limit: int | None = None) -> int:
        """Run the waiting calls in this thread and its context, the oldest first.

        Only calls that wait when it begins are run, so a handler that emits into the same mailbox does not keep it from
        returning. Calls of handlers that were disconnected meanwhile are dropped.

        Results are ignored. A generator is run to its end, and an async handler is scheduled as by an `emit` in this
        thread. An exception of a handler goes to `on_error` if that is a callable, else it is logged at ERROR on the
        logger `cyevents`; then the next call runs. A `BaseException` such as `KeyboardInterrupt` propagates, and the
        remaining calls still wait.

        Args:
            budget: start no further call after this many seconds; `None` for no limit. Calls are never interrupted.
            limit: run at most this many calls; `None` for all.

        Returns:
            How many calls it ran.

        Raises:
            TypeError: if `budget` is not a number, or `limit` not an int.
            ValueError: if `budget` is NaN, or `limit` negative.

        Thread-safe: several threads and handlers may drain at once. Each runs calls that no other runs, in order.
        """
        deadline = None if budget is None else _deadline(budget)
        waiting = len(self._calls)
        if limit is not None:
            if type(limit) is bool or not issubclass(type(limit), int):
                raise TypeError(f"limit must be an int, the number of calls to run, or None, not {safe_repr(limit)}")
            if limit < 0:
                raise ValueError(f"limit must not be negative, not {safe_repr(limit)}")
        take = self._take_latest if self._overflow == "latest" else self._calls.popleft
        places: list[None] = [] if _is_late else self._places
        ran = 0
        try:
            while waiting and (limit is None or ran < limit) and (deadline is None or perf_counter() < deadline):
                most = waiting if limit is None else min(waiting, limit - ran)
                taken, call, result, error = run_calls(places, take, most if deadline is None else 1)
                waiting -= taken
                ran += taken
                if call is None:
                    if error is None or isinstance(error, LookupError):  # others have taken or dropped the rest
                        break
                    raise error
                if result is call[0]:  # its handler was disconnected
                    ran -= 1
                elif result is not None or error is not None:
                    self._finish(call, result, error)
        finally:
            call = result = error = None  # a traceback refers to this frame
            if not self._calls:
                self._count_places()
            if self._wakeup is not None:
                self._arm()
        return ran

    def _count_places(self) -> None:
        """Make new places if all are lost: signal handlers have raised after one was claimed, before the call was put.

        A place that is missing in an empty mailbox may belong to a call that is just being put. If all are missing at
        the end of two drains, they are lost.
        """
        if self._places or self._reserve or _is_late:
            self._is_suspect = False
            extra = len(self._places) - self._maxsize
            if extra > 0:  # they were only late
                del self._places[-extra:]
        elif self._is_suspect:
            self._places.extend([None] * self._maxsize)
        else:
            self._is_suspect = True

    def _arm(self) -> None:
        """Have the next call wake the drainer, or wake it now if there is one already."""
        if self._calls:
            self._call_wakeup()
            return
        if not self._armed:
            self._armed.append(None)
        if self._calls:
            self._wake()

    def _finish(self, call: Call, result: Any, error: BaseException | None) -> None:
        """Handle the result or exception of a handler."""
        entry, handler, _, event, sender, args, keywords = call
        try:
            if error is None:
                kind = kind_of_result(result)
                if result is False or (kind == GENERATOR and consume(result, [])):
                    _warn_cancelling(call, "returned False")
                elif kind not in (VALUE, GENERATOR):
                    event._schedule(result, kind, handler, sender, entry)
                return
        except Exception as raised:
            error = raised
        try:
            if not isinstance(error, Exception):
                raise error
            if event._cancel_of(error) is not None:
                _warn_cancelling(call, "raised Cancel")
                return
            if isinstance(error, TypeError):
                event._call_failed(error, handler, len(args), keywords, False)
            policy = event._error_policy()
            if callable(policy):
                try:
                    policy(error, handler, event, sender)
                    return
                except Exception as another:
                    error = another
            text = f"handler {safe_repr(handler)} of event {event.name!r} failed"
            log("ERROR", "%s in a mailbox", text, exc_info=error)
        finally:
            error = None  # a traceback refers to this frame

    # The rest of the public interface

    @property
    def maxsize(self) -> int:
        """How many calls may wait."""
        return self._maxsize

    @property
    def overflow(self) -> MailboxOverflow:
        """What an emission does if the mailbox is full."""
        return self._overflow  # type: ignore[return-value]

    @property
    def dropped(self) -> int:
        """How many calls a full mailbox has dropped, or a later call replaced with `overflow="latest"`."""
        return sum(list(self._drops.values()))

    def clear(self) -> int:
        """Drop the waiting calls, without counting them as `dropped`, and return their number."""
        take = self._take_latest if self._overflow == "latest" else self._calls.popleft
        count = 0
        for _ in range(len(self._calls)):
            try:
                take()
            except LookupError:
                break
            self._places.append(None)
            count += 1
        if self._wakeup is not None:
            self._arm()
        return count

    def __len__(self) -> int:
        return len(self._calls)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        count, dropped = len(self._calls), self.dropped
        text = f"{count} of {self._maxsize} calls wait{'s' * (count == 1)}"
        return f"<{type(self).__name__}: {text}{f', {dropped} dropped' * (dropped > 0)}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a mailbox cannot be copied or pickled: handlers are connected to this one")

    def __del__(self) -> None:
        calls = getattr(self, "_calls", None)
        if calls is None:  # its arguments were wrong
            return
        _mailboxes.pop(id(self), None)
        if calls and not _is_late:
            _log_lost("wait in a mailbox that is garbage-collected", _waiting(self))


def _checked_wakeup(wakeup: Any) -> Any:
    """Return the function that wakes, or None. A file descriptor is made non-blocking: no emission must wait for it."""
    if wakeup is None or callable(wakeup):
        return wakeup
    if type(wakeup) is not bool and issubclass(type(wakeup), int):
        os.set_blocking(wakeup, False)
        return partial(os.write, wakeup, b"\0")
    if hasattr(wakeup, "setblocking") and hasattr(wakeup, "send"):  # a socket, which on Windows is not a file
        wakeup.setblocking(False)
        return partial(wakeup.send, b"\0")
    if hasattr(wakeup, "fileno"):
        os.set_blocking(wakeup.fileno(), False)
        return lambda: os.write(wakeup.fileno(), b"\0")
    raise TypeError(
        f"wakeup must be a callable, a file descriptor, an object with fileno(), or None, not {safe_repr(wakeup)}"
    )


def _make_places(maxsize: int) -> tuple[list[None], list[int]]:
    """Return the first places, and how many to make each time that there are none left."""
    first = min(maxsize, _FIRST_PLACES)
    reserve = []
    left, more = maxsize - first, first
    while left > 0:
        reserve.append(min(left, more))
        left -= more
        more *= 2
    return [None] * first, reserve[::-1]


def _deadline(budget: Any) -> float:
    if type(budget) is bool or not issubclass(type(budget), (int, float)):
        raise TypeError(f"budget must be a number of seconds or None, not {safe_repr(budget)}")
    if budget != budget:
        raise ValueError("budget must be a number of seconds or None, not nan")
    deadline: float = perf_counter() + max(0, min(budget, TIMEOUT_MAX))
    return deadline


def _warn_cancelling(call: Call, what: str) -> None:
    """Log, once for a connection, that the handler cancels nothing."""
    if not call[0].warned(2):
        text = "delivered handler %s of event %r %s, which cancels nothing, since it is connected with via"
        log("WARNING", text, safe_repr(call[1]), call[3].name, what)


# Calls that never run


def _waiting(mailbox: Mailbox) -> list[Call]:
    calls = mailbox._calls
    return list(calls.values() if mailbox._overflow == "latest" else calls)


def _log_lost(what: str, calls: Iterable[Call]) -> None:
    """Log calls that never run."""
    counts: dict[str, int] = {}
    for call in calls:
        name = f"{handler_name(call[1])} of event {call[3].name!r}"
        counts[name] = counts.get(name, 0) + 1
    names = [f"{name} ({count})" for name, count in counts.items()]
    if len(names) > 10:
        names[10:] = [f"{len(names) - 10} more"]
    log("ERROR", "calls that %s are not run: %s", what, ", ".join(names))


def _log_at_exit() -> None:
    """Log the calls that still wait."""
    global _is_late
    _is_late = True
    for reference in list(_mailboxes.values()):
        mailbox = reference()
        if mailbox is None:
            continue
        mailbox._places.clear()
        mailbox._reserve.clear()
        if mailbox._calls:
            _log_lost("wait in a mailbox at exit", _waiting(mailbox))


atexit.register(_log_at_exit)


def _after_fork() -> None:
    """In the child: forget the calls, which the parent runs."""
    for reference in list(_mailboxes.values()):
        mailbox = reference()
        if mailbox is not None:
            _of_parent.append(_waiting(mailbox))  # released, they might run finalizers, which the parent runs too
            mailbox._calls.clear()
            mailbox._places[:], mailbox._reserve[:] = _make_places(mailbox._maxsize)
            mailbox._armed[:] = [] if mailbox._wakeup is None else [None]


_of_parent: list[object] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
