"""Delivers calls to asyncio loops and executors: the targets of `via`. Imported when used.

How it works: the core calls a `LoopCall` or an `ExecutorCall` in place of the handler, in the emitting thread and in
the order of emissions. That submits itself to the target, which calls the handler later.

Who takes the outcome: `emit` does not wait, and an exception of the handler goes to `on_error` or to the target's way
of reporting. `emit_async` gets an awaitable, the call's `_Waiter`, as from an async handler. Emitter and target may be
different threads, so each step that both could take first is decided by a list from which one of them pops.

The wait ends when the call has an outcome, or never will have one. An executor cancels the futures that it drops. A
loop reports nothing when it is stopped or closed, so an emission that waits for one checks it now and then.
"""

from __future__ import annotations

import asyncio
import sys
from contextvars import copy_context
from typing import TYPE_CHECKING, Any
from weakref import ref

from .._core import AwaitedDispatch
from .._core._safe import log, safe_repr
from .._core._values import MISSING, PAIRS, VALUE, Cancel, CancelAfterItems
from .awaitables import Consumed, CoroutineWrapper, as_coroutine, call_in_thread, failure_text
from .scheduling import Job, _current_job, is_ending, note_lost, pool_calls, unhandled

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future
    from contextvars import Context

    from .._core import Entry, EventCore
    from .._core._tables import Dispatch

_KIND = "delivered handler"
_STOPPED = "has no outcome: its event loop was stopped or closed"
_FIRST_LOOK, _LONGEST_PAUSE = 0.05, 1.0  # seconds between looks at a loop that is waited for


class LoopTarget:
    """Delivers calls to an asyncio loop."""

    __slots__ = ("loop",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def deliver(self, dispatch: Dispatch, entry: Entry, handler: Any, call: Any, keywords: dict[str, Any]) -> Any:
        """Return what the core calls in place of the handler: see `Delivery.prepare`."""
        job = LoopCall(dispatch.event, handler, dispatch.sender, None, entry)
        job.loop = self.loop
        return _prepare(job, dispatch, call)


class ExecutorTarget:
    """Delivers calls to a `concurrent.futures.Executor`."""

    __slots__ = ("executor",)

    def __init__(self, executor: Executor) -> None:
        self.executor = executor

    def deliver(self, dispatch: Dispatch, entry: Entry, handler: Any, call: Any, keywords: dict[str, Any]) -> Any:
        """Return what the core calls in place of the handler: see `Delivery.prepare`."""
        job = ExecutorCall(dispatch.event, handler, dispatch.sender, entry)
        job.executor = self.executor
        return _prepare(job, dispatch, call)


def _prepare(job: LoopCall | ExecutorCall, dispatch: Dispatch, call: Any) -> Any:
    """Complete a call, and return it for the core to call."""
    job.waiter = None
    job.keeps_generators = False
    if isinstance(dispatch, AwaitedDispatch):
        job.keeps_generators = bool(dispatch.mode & PAIRS)
        job.context = dispatch.nested_context()
        job.waiter = (_TrioWaiter if dispatch.loop is None else _AsyncioWaiter)(job, dispatch.loop)
    else:
        job.context = copy_context()
        job.context.run(_current_job.set, ref(job))  # no call in this context waits for it
    watch = dispatch.watch
    job.call = call if watch is None else watch.deliver(job.entry, job.handler, call, job.keeps_generators)
    return job


def is_dropped(entry: Entry) -> bool:
    """Return whether a connection was removed before a delivered call of its handler has begun.

    A connection with `once` was removed by its only emission, which made this call.
    """
    return not entry.is_consumed and entry.is_inactive()


class LoopCall(Job):
    """A call that is delivered to a loop."""

    __slots__ = ("args", "call", "context", "is_cancelling", "is_seen_running", "keeps_generators", "kwargs", "waiter")

    kind = _KIND

    args: tuple[Any, ...]  # the sender first
    call: Any  # the handler, or what calls it for instruments; None: the call is not made, or was
    context: Context
    is_cancelling: bool  # whether the loop was asked to cancel the task, and has not done so yet
    is_seen_running: bool
    keeps_generators: bool
    kwargs: dict[str, Any]
    waiter: _Waiter | None

    @property
    def is_awaited(self) -> bool:  # type: ignore[override]
        """Whether an emission waits for it."""
        return self.waiter is not None

    # In the emitting thread

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Submit the call. Return what `emit_async` awaits, else `MISSING`."""
        self.args, self.kwargs = args, kwargs
        waiter = self.waiter
        self.is_cancelling = False
        self.is_seen_running = waiter is not None and self.loop.is_running()
        is_submitted = False
        try:
            is_submitted = self.submit(self.loop, self.context)
        finally:
            if not is_submitted:
                self.forget_arguments()
                if waiter is not None:
                    waiter.discard()
        if not is_submitted:
            raise RuntimeError(
                f"handler {safe_repr(self.handler)} of event {self.event.name!r} cannot be delivered, since its event"
                " loop is closed: disconnect the handlers of a loop before you close it"
            )
        return MISSING if waiter is None else waiter

    def cancel(self) -> None:
        """Have it not called, or have its task cancelled: called by its waiter."""
        assert self.waiter is not None
        if self.waiter.claim():
            self.drop()
            self.waiter.finish(None, None)
            return
        if self.is_cancelling:  # anyio cancels again and again, also while the loop is blocked
            return
        self.is_cancelling = True
        try:
            self.loop.call_soon_threadsafe(self.cancel_task)
        except RuntimeError:  # it is closed
            pass

    def find_stopped(self) -> bool:
        """Return whether the loop has stopped since it was waited for: nothing in it goes on by itself."""
        if self.loop.is_running():
            self.is_seen_running = True
            return False
        return self.is_seen_running or self.loop.is_closed()

    def lose(self, what: str) -> None:
        """End it, since its loop is stopped or closed."""
        waiter = self.waiter
        if waiter is None or not waiter.fail(self, what):
            super().lose(what)
        else:
            self.cancel()

    # In the loop

    def start_or_report(self) -> None:
        """Call the handler. What it returns becomes a task, if it must be awaited."""
        waiter, args, kwargs, call = self.waiter, self.args, self.kwargs, self.call
        if call is None or (waiter is not None and not waiter.claim()):
            return
        value: Any = MISSING
        error: BaseException | None = None
        kind = VALUE
        try:
            if not is_dropped(self.entry):
                value, error, kind = call_in_thread(self.event, call, args, kwargs, self.keeps_generators)
            if kind == VALUE and (value is not None or error is not None or waiter is not None):
                self.end(value, error, None)
                if isinstance(error, (KeyboardInterrupt, SystemExit)):
                    raise error
        finally:
            error = None  # or it would refer to itself by its traceback
            if kind == VALUE:
                self.remove()
        if kind != VALUE:
            self.forget_arguments()
            del args, kwargs, call
            self.coroutine = as_coroutine(value, kind)
            try:
                self.start()
            except Exception as failure:  # a task factory has raised
                self.end(None, failure, None)
                self.drop()

    def cancel_task(self) -> None:
        """Cancel the task."""
        self.is_cancelling = False
        if self.task is not None:
            self.task.cancel()

    def end(self, value: Any, error: BaseException | None, task: asyncio.Task[Any] | None) -> None:
        """Take the outcome: see `Job.end`."""
        waiter = self.waiter
        if waiter is None or not waiter.take(self, value, error):
            super().end(value, error, task)

    def was_cancelled(self) -> None:
        """Take the cancellation of its task."""
        waiter = self.waiter
        if waiter is None:
            super().was_cancelled()
        elif waiter.is_cancelled:
            waiter.finish(None, None)
        elif is_ending(self.loop):  # or it has no other task: if it still runs then, it was not the loop's end
            self.loop.call_later(_FIRST_LOOK, waiter.finish, None, asyncio.CancelledError())
        else:
            waiter.finish(None, asyncio.CancelledError())

    def warn_cancelling(self, what: str) -> None:
        """Log, once for a connection, that the handler cancels nothing."""
        warn_cancelling(self, what)

    def drop(self) -> None:
        """Remove the call, and close its coroutine if it has one."""
        self.forget_arguments()
        if self.coroutine is None:
            self.remove()
        else:
            super().drop()

    def forget_arguments(self) -> None:
        """Drop what the call needs no more."""
        self.call = None
        self.args, self.kwargs = (), {}


class ExecutorCall:
    """A call that is delivered to an executor."""

    kind = _KIND

    __slots__ = (
        "__weakref__",
        "args",
        "call",
        "context",
        "entry",
        "event",
        "executor",
        "future",
        "handler",
        "is_settled",
        "keeps_generators",
        "kwargs",
        "sender",
        "waiter",
    )

    args: tuple[Any, ...]  # the sender first
    call: Any  # the handler, or what calls it for instruments; None: the call is not made, or was
    context: Context
    executor: Executor | None
    keeps_generators: bool
    kwargs: dict[str, Any]
    waiter: _Waiter | None

    def __init__(self, event: EventCore, handler: Any, sender: Any, entry: Entry) -> None:
        self.event = event
        self.handler = handler
        self.sender = sender
        self.entry = entry
        self.is_settled = False
        self.future: Future[Any] | None = None

    # In the emitting thread

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Submit the call. Return what `emit_async` awaits, else `MISSING`."""
        self.args, self.kwargs = args, kwargs
        executor, self.executor = self.executor, None
        assert executor is not None
        try:
            pool_calls[self] = None
            self.future = future = executor.submit(self.context.run, self.run)
        except BaseException as error:
            self.remove()
            if self.waiter is not None:
                self.waiter.discard()
            if isinstance(error, RuntimeError):  # its text names no handler
                what = f"handler {safe_repr(self.handler)} of event {self.event.name!r}"
                error.add_note(f"{what} cannot be delivered to its executor")
            raise
        if future is not None:  # some executors return nothing
            future.add_done_callback(self.future_done)
        return MISSING if self.waiter is None else self.waiter

    def cancel(self) -> None:
        """Have it not called, unless it has begun: called by its waiter."""
        assert self.waiter is not None
        if self.waiter.claim():
            self.remove()
            self.waiter.finish(None, None)
            future = self.future
            if future is not None:
                future.cancel()

    def find_stopped(self) -> bool:
        """Return whether nobody would report that the call is not made: an executor cancels its future."""
        return False

    # In the executor

    def run(self) -> None:
        """Call the handler, and schedule what it returns if that must be awaited."""
        waiter, args, kwargs, call = self.waiter, self.args, self.kwargs, self.call
        if call is None or self.is_settled or (waiter is not None and not waiter.claim()):
            return
        self.is_settled = True
        value: Any = MISSING
        error: BaseException | None = None
        try:
            if not is_dropped(self.entry):
                value, error, kind = call_in_thread(self.event, call, args, kwargs, self.keeps_generators)
                if kind != VALUE:
                    awaitable, value = value, MISSING
                    try:
                        self.event._schedule(awaitable, kind, self.handler, self.sender, self.entry)
                    except BaseException as failure:
                        error = failure
            self.end(value, error)
        finally:
            error = None  # or it would refer to itself by its traceback
            self.remove()

    def end(self, value: Any, error: BaseException | None) -> None:
        """Pass the outcome to the emission that waits for it, else report an exception."""
        waiter = self.waiter
        if waiter is not None and waiter.take(self, value, error):
            return
        error = unhandled(self, value, error)
        if error is not None:
            log("ERROR", failure_text(self.handler, self.event), exc_info=error)

    def future_done(self, future: Future[Any]) -> None:
        """Done callback: report a call that the executor has dropped."""
        self.future = None
        if self.is_settled:
            return
        waiter = self.waiter
        if waiter is not None and not waiter.claim():  # the emission was cancelled
            return
        if future.cancelled():
            what = "is not run: its executor was shut down"
        else:
            what = f"is not run: its executor raised {safe_repr(future.exception())}"
        self.is_settled = True
        self.lose(what)

    def lose(self, what: str) -> None:
        """End it, since its executor has dropped it."""
        self.remove()
        waiter = self.waiter
        if waiter is None or not waiter.fail(self, what):
            note_lost()
            log("ERROR", f"{_KIND} %s of event %r %s", safe_repr(self.handler), self.event.name, what)

    def warn_cancelling(self, what: str) -> None:
        """Log, once for a connection, that the handler cancels nothing."""
        warn_cancelling(self, what)

    def remove(self) -> None:
        """Remove the call from those that have not ended, and drop what it needs no more."""
        pool_calls.pop(self, None)
        self.call = None
        self.args, self.kwargs = (), {}


def warn_cancelling(job: LoopCall | ExecutorCall, what: str) -> None:
    """Log, once for a connection, that its handler cancels nothing."""
    if not job.entry.warned(2):
        text = f"{_KIND} %s of event %r %s, which cancels nothing, since it is connected with via"
        log("WARNING", text, safe_repr(job.handler), job.event.name, what)


class _Waiter(CoroutineWrapper):
    """What `emit_async` awaits for a delivered call. One that is cancelled before it begins cancels the call too."""

    has_begun = True

    _job: LoopCall | ExecutorCall | None = None  # for `__del__`, if there was no memory to create it
    _coroutine: Any = None  # made when it is first resumed

    def __init__(self, job: LoopCall | ExecutorCall) -> None:
        self._job = job
        self._to_claim = [None]  # by the target when it makes the call, or by `cancel` before that
        self._to_finish = [None]  # by the first that has the outcome
        self._outcome: tuple[Any, BaseException | None] | None = None
        self.is_cancelled = False

    # In any thread

    def claim(self) -> bool:
        """Return whether the caller is the first to make or cancel the call."""
        try:
            self._to_claim.pop()
        except IndexError:
            return False
        return True

    def finish(self, value: Any, error: BaseException | None) -> bool:
        """End the wait. Return False if it is over: then nobody takes this outcome."""
        try:
            self._to_finish.pop()
        except IndexError:
            return False
        self._outcome = value, error
        self._wake()
        return True

    def take(self, job: LoopCall | ExecutorCall, value: Any, error: BaseException | None) -> bool:
        """End the wait with what the handler has returned or raised, which cancels nothing."""
        pairs = job.keeps_generators
        if value is False:
            job.warn_cancelling("returned False")
            value = False if pairs else None
        elif type(value) is Consumed:
            if value.cancels:
                job.warn_cancelling("returned False")
            value = value.items
        elif isinstance(error, Cancel):
            job.warn_cancelling("raised Cancel")
            value = False if pairs else error.items if type(error) is CancelAfterItems else None
            error = None
        elif value is MISSING and not pairs:
            value = None
        return self.finish(value, error)

    def fail(self, job: LoopCall | ExecutorCall, what: str) -> bool:
        """End the wait with a `RuntimeError`."""
        error = RuntimeError(f"handler {safe_repr(job.handler)} of event {job.event.name!r} {what}")
        return self.finish(None, error)

    def _wake(self) -> None:
        """Have the emission go on, in its thread."""
        raise NotImplementedError

    # In the emitting thread: the protocol of a coroutine

    def send(self, value: Any) -> Any:
        """Resume with a value."""
        if self._coroutine is None:
            self._coroutine = self._wait(None)
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Resume with an exception."""
        try:
            if self._coroutine is not None:
                return self._coroutine.throw(*error)
            # A task was cancelled before it has begun.
            self._coroutine = self._wait(error[0] if len(error) < 2 or error[1] is None else error[1])
            return self._coroutine.send(None)
        finally:
            del error  # its traceback refers to this frame: a reference cycle

    def close(self) -> None:
        """End the wait, since nothing can be awaited any more."""
        if self._coroutine is not None:
            self._coroutine.close()
        self._abandon()

    def __del__(self) -> None:
        if self._job is not None:
            self.close()

    async def _wait(self, interruption: Any) -> Any:
        """Wait for the outcome, and return or raise it. An `interruption` cancels the call."""
        raise NotImplementedError

    def _cancel(self) -> None:
        self.is_cancelled = True
        assert self._job is not None
        self._job.cancel()

    def _take_outcome(self, interruption: Any) -> Any:
        """Return or raise the outcome. An exception of the handler comes before the interruption."""
        self._job = None
        assert self._outcome is not None
        value, error = self._outcome
        self._outcome = None
        try:
            if error is not None:
                raise error
            if interruption is not None:
                raise interruption
            return value
        finally:
            del error, interruption  # their tracebacks refer to this frame

    def discard(self) -> None:
        """Let go of a call that could not be submitted: nobody will await this."""
        self._job = None

    def _abandon(self) -> None:
        """Cancel the call without waiting for it. Its outcome is reported like that of an `emit`."""
        job, self._job = self._job, None
        if job is None:
            return
        try:
            self._to_finish.pop()
        except IndexError:
            return
        self.is_cancelled = True
        job.cancel()


class _AsyncioWaiter(_Waiter):
    """A `_Waiter` of an emission in an asyncio loop."""

    def __init__(self, job: LoopCall | ExecutorCall, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(job)
        self._loop = loop
        self._future: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._pause = _FIRST_LOOK

    def _wake(self) -> None:
        loop = self._loop
        if asyncio._get_running_loop() is loop:
            self._resolve()
            return
        try:
            loop.call_soon_threadsafe(self._resolve)
        except RuntimeError:  # it is closed
            pass

    def _resolve(self) -> None:
        future = self._future
        if future is not None and not future.done():
            future.set_result(None)

    async def _wait(self, interruption: Any) -> Any:
        job, loop = self._job, self._loop
        assert job is not None
        try:
            if interruption is not None:
                self._cancel()
            if type(job) is LoopCall and job.loop is not loop:
                self._look_later()
            while self._outcome is None:
                self._future = loop.create_future()
                try:
                    await self._future
                except asyncio.CancelledError as cancellation:
                    interruption = cancellation
                    self._cancel()
            self._future = None
            return self._take_outcome(interruption)
        finally:
            del interruption  # its traceback refers to this frame
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(self._pause, self._look)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)

    def _look(self) -> None:
        """End the wait if the loop that is waited for has stopped."""
        job = self._job
        if job is None or self._outcome is not None:
            return
        if job.find_stopped():
            job.lose(_STOPPED)
        else:
            self._look_later()


class _TrioWaiter(_Waiter):
    """A `_Waiter` of an emission in trio's event loop."""

    def __init__(self, job: LoopCall | ExecutorCall, loop: None) -> None:
        super().__init__(job)
        trio: Any = sys.modules["trio"]
        self._trio = trio
        self._token = trio.lowlevel.current_trio_token()
        self._event = trio.Event()

    def _wake(self) -> None:
        try:
            self._token.run_sync_soon(self._event.set)
        except RuntimeError:  # it has ended
            pass

    async def _wait(self, interruption: Any) -> Any:
        job, trio = self._job, self._trio
        assert job is not None
        try:
            try:
                await self._wait_for(job)
            except trio.Cancelled as cancellation:
                interruption = cancellation
                self._cancel()
                with trio.CancelScope(shield=True):
                    await self._wait_for(job)
            return self._take_outcome(interruption)
        finally:
            del interruption  # its traceback refers to this frame

    async def _wait_for(self, job: LoopCall | ExecutorCall) -> None:
        pause = _FIRST_LOOK
        while not self._event.is_set():
            with self._trio.move_on_after(pause):
                await self._event.wait()
            pause = min(2 * pause, _LONGEST_PAUSE)
            if not self._event.is_set() and job.find_stopped():
                job.lose(_STOPPED)
