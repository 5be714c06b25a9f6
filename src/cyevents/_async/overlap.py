"""`CallControl`: runs the calls of an async handler with `overlap`, `limit` or `timeout`. Imported when used.

How it works: each call gets a place among the calls of its connection when its turn comes in an emission, so places are
in the order of emission. The first ones may run, as many as the limit allows, and the others wait: the emission gets a
coroutine that waits first, and then runs the handler's. A finished call leaves its place, and wakes those that have
moved up. With "latest" and "restart", a new call supersedes the waiting ones; with "restart", it also cancels the
running one, and waits until that is done. For this, the handler has its own task: it might otherwise run in the task
that emits.

There is no lock, since a signal handler or a finalizer may emit at any point. The methods of the deque of places are
atomic, and so is claiming a call, to start or to supersede it. A waiting call sets its waiter first and then looks
again whether it is admitted, so nothing is lost in between.

Loops that end: a coroutine that is closed or destroyed leaves its place. The calls of closed loops, whose coroutines
may never be destroyed, lose their places to the next call.

Emissions that await each other: `_current` is the innermost call that runs in this context. A call that would wait for
one of those around it would wait for ever, as that waits for it in turn.
"""

from __future__ import annotations

import asyncio
import os
from _thread import TIMEOUT_MAX, get_ident
from collections import deque
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import ref

from .._core import AwaitedDispatch
from .._core._safe import handler_name, log
from .._core._values import ASYNC_GENERATOR, AWAITABLE, MISSING, PAIRS, kind_of_result
from .awaitables import CoroutineWrapper, as_coroutine, failure_text, report_to_loop
from .loops import running_asyncio, running_trio
from .scheduling import _current_job
from .waiters import make_waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Literal, NoReturn

    from .._core import Entry, EventCore
    from .._core._tables import Dispatch

    Reason = Literal["restarted", "superseded", "stopped"]

SKIPPED = "its earlier call still runs"
"""The reason that instruments get for a call that is skipped."""

_CHECKS = 8  # how many of the earlier calls each one looks at, for whether their loops are closed

_current: ContextVar[_Place | None] = ContextVar("cyevents_call", default=None)
_forks = 0  # how often the process was forked: the calls of other threads have not come along


class CallSuperseded(asyncio.CancelledError):
    """How a call ended that a later call of its connection has stopped: for instruments only, it is never raised."""

    is_superseded = True  # for `trace`, which does not import this module

    def __init__(self, reason: Reason) -> None:
        super().__init__(_TEXTS[reason])
        self.reason = reason


_TEXTS: dict[Reason, str] = {
    "restarted": "a later call of the handler has cancelled it",
    "superseded": "a later call of the handler has taken its place before it began",
    "stopped": "the disconnection of its handler",
}


class CallControl:
    """The calls of one connection: which of them run, and for how long.

    Args:
        overlap: what a call does that finds an earlier one: see `Event.connect`.
        limit: how many run at once, with `"parallel"`.
        timeout: how many seconds each may run.
    """

    __slots__ = ("_checked", "_last", "_restarts", "_skips", "calls", "overlap", "size", "timeout")

    def __init__(self, overlap: str, limit: int | None, timeout: float | None) -> None:
        self.overlap = overlap
        self.size = limit if overlap == "parallel" else 1  # how many run at once; None: any number
        self.timeout = timeout if timeout is None or timeout < TIMEOUT_MAX else None
        self.calls: deque[_Place] = deque()  # not used by "skip"
        self._checked = 0  # the index of the next call to look at, for whether its loop is closed
        self._last = _Link(None)  # that of the call that was started last, or an earlier one; for "skip"
        self._skips: dict[int, int] = {}  # for each thread, so that no thread changes another one's number
        self._restarts: dict[int, int] = {}

    @property
    def skipped(self) -> int:
        """How many calls were skipped or superseded, and so never began."""
        return sum(list(self._skips.values()))

    @property
    def restarted(self) -> int:
        """How many calls were cancelled by a later one."""
        return sum(list(self._restarts.values()))

    def wrap(
        self, dispatch: Dispatch, entry: Entry, handler: Any, is_delivered: bool = False
    ) -> Callable[..., Any] | None:
        """Return what is called in place of the handler; None if the call is skipped."""
        event = dispatch.event
        place = None if self.size is None else _Place(self)
        # It leaves the place when it is destroyed, such as when a signal handler raises in here.
        call = ControlledCall(self, place, event, entry, handler, dispatch.mode & PAIRS != 0)
        if place is not None:
            if is_delivered:  # the loop that emits may end before
                place.loop = None
            if isinstance(dispatch, AwaitedDispatch):
                place.around = _calls_around(self)
                if place.around and self._would_deadlock(place):
                    return partial(self._refuse, event, handler)
            if not self._enter(place, is_delivered):
                _increase(self._skips)
                if dispatch.watch is not None:
                    dispatch.watch.skip(entry, handler, SKIPPED)
                return None
        return call

    def place_of(self, call: Any) -> _Place | None:
        """Return the place of a call from `wrap`, if it has one."""
        return call._place if type(call) is ControlledCall else None

    def supersede_earlier(self, place: _Place) -> None:
        """Supersede the earlier calls, as `overlap` says: the target of `via`, if there is one, has taken this one."""
        if self.overlap == "latest" or self.overlap == "restart":
            self._supersede(place)

    def _enter(self, place: _Place, is_delivered: bool) -> bool:
        """Add a call; return False if it is skipped."""
        if self.overlap == "skip":
            return self._start_or_skip(place)
        self._drop_lost()
        self.calls.append(place)
        if len(self.calls) <= self.size:  # type: ignore[operator]
            place.is_admitted = True
        if not is_delivered:
            self.supersede_earlier(place)
        return True

    def _start_or_skip(self, place: _Place) -> bool:
        """Start a call if no other one runs; return whether it is started.

        The calls that are started form a chain of links. Each has room for one that follows, and `setdefault` decides
        which that is if several begin at the same time.
        """
        link, last = _Link(place), self._last
        while last is not link:
            following = last.following.get(None)
            if following is None:
                previous = last.place
                if previous is not None and not previous.is_over and not previous.is_lost():
                    return False
                following = last.following.setdefault(None, link)
            last = following
        self._last = link
        return True

    def _supersede(self, place: _Place) -> None:
        """Supersede the earlier calls that wait; for "restart", cancel the one that runs."""
        is_restart = self.overlap == "restart"
        calls = self.calls.copy()
        if place not in calls:  # dropped, or a later one has superseded it meanwhile
            return
        for index, earlier in enumerate(calls):
            if earlier is place:
                break
            if index == 0 and not is_restart:  # it runs, or is about to begin
                continue
            if earlier.claim():
                _increase(self._skips)
                earlier.outcome = "superseded"
                earlier.leave()
            elif is_restart:
                earlier.restart()

    def _drop_lost(self) -> None:
        """Drop calls that will never be over, since their loop is closed, from among those that others wait for.

        With a high limit, each call looks at a few of them in turn.
        """
        size: Any = self.size
        begin = self._checked
        self._checked = (begin + _CHECKS) % size
        for index in range(begin, begin + min(size, _CHECKS)):
            try:
                place = self.calls[index % size]
                while place.is_lost():
                    place.leave()
                    place = self.calls[index % size]  # it has moved up
            except IndexError:
                pass

    def admit(self, looks_at_all: bool = False) -> None:
        """Admit the calls that are among the first ones by now, and wake them.

        It begins with the last of the first ones, and stops at one that was admitted before. Another thread that has
        admitted that one also admits those before it. Calls may move up meanwhile, so what is found may be an own one.
        They are woken in order: those of one loop begin in the order in which they are woken.
        """
        size: Any = self.size
        calls = self.calls
        own: dict[_Place, None] = {}
        for index in range(min(len(calls), size) - 1, -1, -1):
            try:
                place = calls[index]
            except IndexError:
                continue
            if place.is_admitted and not looks_at_all and place not in own:
                break
            place.is_admitted = True
            own[place] = None
        has_removed = False
        for place in reversed(own):
            if not place.wake():  # its loop is closed
                place.remove()
                has_removed = True
        if has_removed:
            self.admit(looks_at_all)

    def _would_deadlock(self, new: _Place) -> bool:
        """Return whether a call would wait for others that all wait for it, or for such calls, in turn."""
        if self.overlap == "skip":
            return False
        calls = list(self.calls.copy())
        size: Any = self.size
        if len(calls) < size:
            return False
        blocked = set(new.around)
        for place in calls[size:]:
            blocked |= place.around
        return blocked.issuperset(calls[:size])

    def _refuse(self, event: EventCore, handler: Any, /, *args: Any, **kwargs: Any) -> NoReturn:
        given = f"limit={self.size}" if self.overlap == "parallel" else f'overlap="{self.overlap}"'
        raise RuntimeError(
            f"{handler_name(handler)} of event {event.name!r} would wait for itself for ever: it is connected with"
            f" {given}, and awaits an emission that calls it again. Use emit() there, which does not wait"
        )

    async def run(self, coroutine: Coroutine[Any, Any, Any], event: EventCore, handler: Any) -> Any:
        """Run what the handler has returned, within the timeout."""
        timeout = self.timeout
        if timeout is None:
            return await coroutine
        loop = running_asyncio()
        if loop is None:
            with running_trio().move_on_after(timeout):
                return await coroutine
            raise _timeout_error(timeout, event, handler)
        is_own = False  # whether the handler itself has raised a `TimeoutError`
        cancellation: BaseException | None = None
        try:
            async with asyncio.timeout(timeout):
                try:
                    return await coroutine
                except TimeoutError:
                    is_own = True
                    raise
        except TimeoutError as error:
            if is_own:
                raise
            cancellation = error.__cause__
        # Not with that error as its context: its traceback leads to the task, which will have this one.
        try:
            raise _timeout_error(timeout, event, handler) from cancellation
        finally:
            del cancellation


class _Link:
    """A call that was started, and the one that was started after it. No place refers to it, as contexts keep those."""

    __slots__ = ("following", "place")

    def __init__(self, place: _Place | None) -> None:
        self.place = place
        self.following: dict[None, _Link] = {}  # one at most


class _Place:
    """One call's place among the calls of its connection. It refers to no handler and no sender."""

    __slots__ = (
        "around",
        "cancel",
        "claims",
        "control",
        "forks",
        "is_admitted",
        "is_detached",
        "is_over",
        "is_stopping",
        "job",
        "loop",
        "outcome",
        "outer",
        "post",
        "report",
        "waiter",
    )

    def __init__(self, control: CallControl) -> None:
        self.control: CallControl | None = control  # None: it is over
        self.claims = [None]  # claimed by whoever starts it, or whoever supersedes it before that
        self.outcome: Reason | None = None  # why it has no result
        self.waiter: Any = None
        self.loop: Any = None  # in which it runs, or will probably run: an asyncio loop, or trio's token
        self.post: Callable[[Callable[[], object]], object] | None = None  # runs a function in that loop
        self.cancel: Callable[[], object] | None = None  # cancels the handler, in that loop; false if it is over
        self.report: Callable[[str], None] | None = None  # reports the steps of the handler: see `follow`
        self.around: frozenset[_Place] = frozenset()  # the calls of the connection that wait for it
        self.outer: _Place | None = None  # the call around it in its context
        self.job: Any = None  # the job of `emit` that it runs in
        self.forks = _forks
        self.is_admitted = False  # whether it may run, as one of the first ones
        self.is_over = False
        self.is_stopping = False  # whether a later call cancels it
        self.is_detached = False  # whether its handler ends later than its coroutine

    def claim(self) -> bool:
        """Claim the call: true for one caller only, in whatever threads they are."""
        try:
            self.claims.pop()
        except IndexError:
            return False
        return True

    def is_lost(self) -> bool:
        """Return whether it will never be over, since its loop is gone."""
        loop = self.loop
        if self.forks != _forks:
            return loop is None or loop is not _running_loop()
        return isinstance(loop, asyncio.AbstractEventLoop) and loop.is_closed()

    def wake(self) -> bool:
        """Wake it if it waits, from any thread; return False if its loop is closed."""
        waiter = self.waiter
        return waiter is None or waiter.wake()

    def remove(self) -> None:
        """Remove it from the calls of its connection."""
        control = self.control
        if control is not None:
            try:
                control.calls.remove(self)
            except ValueError:  # it is not there any more
                pass

    def leave(self) -> None:
        """End the call, and wake those that may run then. It may be called more than once, from any thread."""
        try:
            self._leave()
        except BaseException:  # a signal handler has raised: once more, or the others would wait for ever
            self._leave(True)
            raise

    def _leave(self, was_interrupted: bool = False) -> None:
        self.is_over = True
        self.outer = self.job = self.loop = self.post = self.cancel = self.report = None
        self.around = frozenset()
        self.remove()
        control = self.control
        if control is not None and control.calls:
            control.admit(was_interrupted)
        self.wake()  # it was superseded
        self.waiter = self.control = None

    async def begin(self, control: CallControl, entry: Entry) -> bool:
        """Wait until the call may run, and start it; return False if it must not run."""
        loop = running_asyncio()
        trio: Any = None
        if loop is None:
            trio = running_trio()
            self.loop = trio.lowlevel.current_trio_token()
            self.post = self.loop.run_sync_soon
        else:
            self.loop = loop
            self.post = loop.call_soon_threadsafe
        if control.overlap != "skip":
            has_waited = False
            while self.outcome is None and not self.is_admitted:
                has_waited = True
                self.waiter = waiter = make_waiter(loop, trio)
                if self.outcome is None and not self.is_admitted:
                    await waiter.sleep(None)
            self.waiter = None
            if has_waited and entry.is_inactive() and self.claim():
                self.outcome = "stopped"
            if not self.claim():
                return False
        self.around = frozenset()
        outer = _current.get()
        while outer is not None and outer.is_over:
            outer = outer.outer
        self.outer = outer
        self.job = _current_job.get()
        _current.set(self)
        return True

    def restart(self) -> None:
        """Cancel the handler, since a later call follows. Called in any thread."""
        self.is_stopping = True
        post = self.post
        if self.loop is _running_loop():
            self.stop()
        elif post is not None:
            try:
                post(self.stop)
            except RuntimeError:  # its loop is closed
                self.leave()

    def stop(self) -> None:
        """Cancel the handler, once. Called in its loop."""
        cancel, control = self.cancel, self.control
        if self.outcome is None and control is not None and cancel is not None and cancel():
            self.outcome = "restarted"
            _increase(control._restarts)


class ControlledCall:
    """What is called in place of a handler: calls it, and has what it returned run under the control."""

    __slots__ = ("_control", "_entry", "_event", "_is_send", "_place", "handler")

    calls_handler = True  # for notes on errors, which name the handler

    def __init__(
        self,
        control: CallControl,
        place: _Place | None,
        event: EventCore,
        entry: Entry,
        handler: Any,
        is_send: bool,
    ) -> None:
        self._place = place
        self._control = control
        self._event = event
        self._entry = entry
        self.handler = handler
        self._is_send = is_send

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        place = self._place
        nothing = MISSING if self._is_send else None
        try:
            if place is not None and place.outcome is not None:  # superseded on its way to another thread
                return nothing
            if place is not None:
                place.loop = running_asyncio()
            result = self.handler(*args, **kwargs)
            kind = kind_of_result(result)
            if kind != AWAITABLE and (kind != ASYNC_GENERATOR or self._is_send):
                return result  # it is sync
            coroutine = as_coroutine(result, kind)
            body = _run(self._control, place, coroutine, self._event, self._entry, self.handler, nothing)
            controlled = ControlledCoroutine(place, coroutine, body)
            place = self._place = None
            return controlled
        finally:
            if place is not None:
                place.leave()

    def __del__(self) -> None:
        place = getattr(self, "_place", None)  # there may have been no memory to create it
        if place is not None:  # it was never called
            place.leave()


class ControlledCoroutine(CoroutineWrapper):
    """Runs what a handler has returned, when its time has come; its other attributes are those of that."""

    _is_over = True  # for `__del__`, if there was no memory to create it

    def __init__(
        self, place: _Place | None, handled: Coroutine[Any, Any, Any], coroutine: Coroutine[Any, Any, Any]
    ) -> None:
        self._place = place
        self._handled = handled
        self._coroutine = coroutine
        self._is_over = False

    def close(self) -> None:
        """Close the coroutine."""
        try:
            self._coroutine.close()
        finally:
            self._over(None, GeneratorExit())

    def __del__(self) -> None:
        if not self._is_over:
            self.close()

    def follow(self, report: Callable[[str], None]) -> None:
        """Report the steps of a handler that has its own task: see `CoroutineWrapper.follow`."""
        if self._place is not None:
            self._place.report = report

    def __getattr__(self, name: str) -> Any:
        return getattr(self._handled, name)

    def _over(self, value: Any, error: BaseException | None) -> None:
        place = self._place
        try:
            if place is not None and place.outcome is not None and error is None:
                self.superseded = CallSuperseded(place.outcome)
            if place is None or not place.is_detached:
                self._handled.close()  # if it has not begun
        finally:
            if place is not None and not place.is_detached:
                place.leave()
        self._is_over = True


class _FollowedCoroutine(CoroutineWrapper):
    """Runs a coroutine, and reports its steps."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], report: Callable[[str], None]) -> None:
        self._coroutine = coroutine
        self._report = report

    def close(self) -> None:
        """Close the coroutine."""
        self._coroutine.close()

    def _step(self, step: Callable[..., Any], *given: Any) -> Any:
        self._report("resumed")
        try:
            return super()._step(step, *given)
        finally:
            del given  # it may hold the exception that is raised
            self._report("suspended")

    def _over(self, value: Any, error: BaseException | None) -> None:
        pass


async def _run(
    control: CallControl,
    place: _Place | None,
    coroutine: Coroutine[Any, Any, Any],
    event: EventCore,
    entry: Entry,
    handler: Any,
    nothing: Any,
) -> Any:
    """Run what a handler has returned, when its time has come. Return `nothing` if a later call stops that."""
    if place is None:
        return await control.run(coroutine, event, handler)
    if not await place.begin(control, entry):
        return nothing
    if control.overlap != "restart":
        return await control.run(coroutine, event, handler)
    loop = running_asyncio()
    if loop is not None:
        return await _run_in_task(control, place, coroutine, loop, event, handler, nothing)
    with running_trio().CancelScope() as scope:
        place.cancel = partial(_cancel_scope, scope)
        if place.is_stopping:
            place.stop()
        try:
            value = await control.run(coroutine, event, handler)
        except Exception as error:
            if place.outcome is None:
                raise
            if event._cancel_of(error) is None:
                log("ERROR", failure_text(handler, event), exc_info=error)
    return value if place.outcome is None else nothing


def _timeout_error(timeout: float, event: EventCore, handler: Any) -> TimeoutError:
    return TimeoutError(
        f"{handler_name(handler)} of event {event.name!r} was cancelled: it took more than its timeout of {timeout:g} s"
    )


def _cancel_scope(scope: Any) -> bool:
    scope.cancel()
    return True


async def _run_in_task(
    control: CallControl,
    place: _Place,
    coroutine: Coroutine[Any, Any, Any],
    loop: asyncio.AbstractEventLoop,
    event: EventCore,
    handler: Any,
    nothing: Any,
) -> Any:
    """Run a handler in a task of its own, which a later call can cancel. Cancelling this cancels the task."""
    error: BaseException | None = None
    cancellation = None
    body: Any = control.run(coroutine, event, handler)
    body.__qualname__ = handler_name(handler)  # for whoever looks at tasks
    if place.report is not None:
        body = _FollowedCoroutine(body, place.report)
    try:
        task = loop.create_task(body)
    except BaseException:  # a task factory has raised
        body.close()
        raise
    try:
        place.cancel = partial(_cancel_task, ref(task))
        if place.is_stopping:
            place.stop()
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError as another:
                cancellation = another
                task.cancel(*another.args)
        if place.outcome is not None and not task.cancelled():
            error = task.exception()
            if isinstance(error, Exception) and event._cancel_of(error) is None:
                report_to_loop(loop, error, handler, event, task)
        if cancellation is not None and (place.outcome is not None or task.cancelled()):
            raise cancellation
        if place.outcome is None or (error is not None and not isinstance(error, Exception)):
            return task.result()
        return nothing
    except BaseException:
        if not task.done() and not loop.is_closed():  # closed from outside: nothing can be awaited any more
            place.is_detached = True
            task.add_done_callback(partial(_end_detached, place, coroutine))
            task.cancel()
        raise
    finally:
        del task, error, cancellation  # see "Reference cycles" in `dispatch`


def _end_detached(place: _Place, coroutine: Coroutine[Any, Any, Any], task: object) -> None:
    """Done callback of a handler's task: end the call, whose own coroutine was closed before that."""
    coroutine.close()  # if it has not begun
    place.leave()


def _cancel_task(task_ref: ref[asyncio.Task[Any]]) -> bool:
    task = task_ref()
    return task is not None and task.cancel(_TEXTS["restarted"])


def _running_loop() -> Any:
    """Return the asyncio loop that runs in this thread, or trio's token; None if there is neither."""
    loop = running_asyncio()
    if loop is None:
        trio = running_trio()
        return None if trio is None else trio.lowlevel.current_trio_token()
    return loop


def _calls_around(control: CallControl) -> frozenset[_Place]:
    """Return the calls of a connection that run in this context, and may wait for what is awaited here."""
    around = []
    job = _current_job.get()
    place = _current.get()
    while place is not None:
        # What `emit` has scheduled is a job of its own, which the calls around that emission do not wait for.
        if place.control is control and not place.is_over and place.job is job:
            around.append(place)
        place = place.outer
    return frozenset(around)


def _increase(numbers: dict[int, int]) -> None:
    """Count one more, without a lock: each thread has its own number."""
    thread = get_ident()
    numbers[thread] = numbers.get(thread, 0) + 1


def _after_fork() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
