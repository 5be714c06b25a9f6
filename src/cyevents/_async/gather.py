"""`emit_async`: calls the handlers in tiers of one priority, and awaits the async ones as asyncio tasks.

How it works: from Python 3.12 on, tasks start eagerly, and a handler that never suspends is done when the core adds its
task. At the end of a tier the emission lets the loop run once, since many handlers need no more, and then waits for the
other tasks by one future, which their done callbacks resolve.

Who keeps a task alive: the `AsyncDispatch`, which is held by `emit_async`. No emission ends before its tasks, unless
its coroutine is closed from outside, as when its loop is gone: then nothing can be awaited, and they are cancelled.

Cancellation: cancelling an emission raises `CancelledError` at its `await`. It is passed on by cancelling each task,
and raised again when all are done. A handler in a thread that has begun cannot be interrupted: it is waited for.
"""

from __future__ import annotations

import asyncio
import sys
from types import coroutine
from typing import TYPE_CHECKING, Any

from .._core._values import Cancelled
from .awaitables import outcome_of, report_to_loop
from .dispatch import AsyncDispatch, innermost
from .loops import no_loop_error, running_trio

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterable

    from .._core import Entry, EventCore

_EAGER = sys.version_info >= (3, 12)
_TASK_METHODS = (asyncio.Task.done, asyncio.Task.cancelled, asyncio.Task.exception, asyncio.Task.result)
_set_innermost, _reset_innermost = innermost.set, innermost.reset  # else each call would make a bound method


async def emit_async(
    event: EventCore,
    sender: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    plan: Callable[[tuple[Entry, ...]], object] | None = None,
) -> list[Any]:
    """Call an event's handlers, one priority after the other, await the async ones, and return the results.

    In an observed emission, `plan` is called with the entries of each priority, and returns the core's `watch`.
    """
    dispatch = _make_dispatch(event, sender)
    results = dispatch.results
    canceller = raised = None
    token = _set_innermost(dispatch)
    try:
        tiers = event._snapshot(sender).tiers()
        watch = None
        if plan is not None:
            for tier in tiers:
                watch = plan(tier)  # the same for all
        for tier in tiers:
            dispatch.is_calling = True
            try:
                canceller = event._dispatch(tier, sender, args, kwargs, results, dispatch.errors, dispatch, watch)
            except BaseException as error:
                trace = error.__traceback__
                raised = error.with_traceback(trace and trace.tb_next)  # it is raised again in this very frame
                trace = None
            dispatch.is_calling = False
            if raised is not None or (dispatch.tasks and not dispatch.take_results()):
                await dispatch.finish_tier(raised)
            if dispatch.canceller is not None:
                canceller = dispatch.canceller
            if canceller is not None:
                break
        if dispatch.errors:
            raise event._make_exception_group(dispatch.errors)
    finally:
        raised = None  # see "Reference cycles" in `dispatch`
        if dispatch.errors:
            dispatch.errors.clear()
        dispatch.event = dispatch.sender = dispatch.results = dispatch.outer = None  # type: ignore[assignment]
        if canceller is not None:
            dispatch.canceller = None
        try:
            _reset_innermost(token)
        except ValueError:  # closed in another context, when the loop is gone
            pass
    if dispatch.has_gaps:
        results = [result for result in results if result is not None]
    return results if canceller is None else Cancelled(results, canceller, event)


emit_async.__qualname__ = "Event.emit_async"  # the name in the warning about a coroutine that was never awaited


def _make_dispatch(event: EventCore, sender: Any) -> AsyncDispatch:
    """Return the dispatch of an emission for the loop that runs here."""
    loop = asyncio._get_running_loop()
    if loop is None:
        return _trio_dispatch()(event, sender)
    dispatch = AsyncioDispatch(event, sender)
    dispatch.loop = loop
    if _EAGER and loop.get_task_factory() is None:
        dispatch.make = asyncio.Task
        dispatch.methods = _TASK_METHODS
        dispatch.keywords = {"loop": loop, "eager_start": True}
    return dispatch


def _trio_dispatch() -> type[AsyncDispatch]:
    if running_trio() is None:
        raise no_loop_error()
    try:
        from .trio import TrioDispatch
    except ModuleNotFoundError as error:
        if error.name != "anyio":
            raise
        raise ImportError('emit_async needs anyio to run under trio: pip install "cyevents[anyio]"') from error
    return TrioDispatch


@coroutine
def _yield_once() -> Generator[None]:
    """Let the loop run once."""
    yield


class AsyncioDispatch(AsyncDispatch):
    """One running `emit_async` in an asyncio loop."""

    __slots__ = ("loop", "running", "waiter")

    loop: asyncio.AbstractEventLoop
    running: int  # how many tasks are not done
    waiter: asyncio.Future[None] | None  # what the emission awaits: resolved when no task is left, or one is fatal

    def start_task(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task."""
        task: asyncio.Task[Any]
        task = self.loop.create_task(coroutine) if self.make is None else self.make_one(coroutine)
        try:
            return task
        finally:
            del task  # what an eager start raises refers to this frame

    def not_started(self, task: asyncio.Task[Any], coroutine: Coroutine[Any, Any, Any]) -> None:
        """Clean up after an eager start that raised KeyboardInterrupt, or had no stack left."""
        coroutine.close()
        try:
            if not task.done():  # it is in no loop, and would never end
                asyncio.Future.cancel(task)
            elif not task.cancelled():
                task.exception()  # it is being raised, so the task must not report it
        except RuntimeError:  # there was not even memory to begin to make the task
            pass

    @staticmethod
    async def in_thread(call: Callable[[], tuple[Any, BaseException | None]]) -> Any:
        """Run a `call_in_thread`: see `AsyncDispatch.in_thread`."""
        claims = [None]  # claimed by the worker when it starts, or by whoever cancels it before that
        outcome: list[tuple[Any, BaseException | None]] = []  # not returned: the worker's frame would keep it alive

        def run() -> None:
            try:
                claims.pop()
            except IndexError:
                return
            outcome.append(call())

        work = asyncio.ensure_future(asyncio.to_thread(run))
        cancellation = None
        try:
            while not work.done():
                try:
                    await asyncio.wait((work,))
                except asyncio.CancelledError as error:
                    try:
                        claims.pop()
                    except IndexError:
                        cancellation = error
                        continue
                    work.cancel()
                    raise
            work.result()
            if cancellation is not None and outcome[0][1] is None:
                raise cancellation
        finally:
            del work, cancellation  # see "Reference cycles" in `dispatch`
        return await outcome_of(*outcome.pop())

    async def wait(self, fatal: BaseException | None) -> BaseException | None:
        """Wait for all tasks: see `AsyncDispatch.wait`."""
        try:
            if fatal is None and _fatal_among(self.tasks) is None:
                try:
                    await _yield_once()
                except asyncio.CancelledError as cancellation:
                    fatal = cancellation
            if fatal is None:
                fatal = _fatal_among(self.tasks)
            running = [task for task in self.tasks if not task.done()]
            self.waiter = None
            for task in running:
                task.add_done_callback(self._task_done)
            if fatal is not None:
                self._cancel()
            self.running = len(running)
            while self.running:
                self.waiter = self.loop.create_future()
                try:
                    await self.waiter
                except asyncio.CancelledError as cancellation:
                    if fatal is None:
                        fatal = cancellation
                    self._cancel()
                else:
                    if fatal is None and (fatal := _fatal_among(running)) is not None:
                        self._cancel()
                finally:
                    self.waiter = None
            return fatal
        except GeneratorExit:  # closed from outside: nothing can be awaited any more
            self._cancel()
            self.clear_tasks()  # their contexts refer to this
            raise
        finally:
            fatal = None  # see "Reference cycles" in `dispatch`

    def _task_done(self, task: asyncio.Task[Any]) -> None:
        self.running -= 1
        waiter = self.waiter
        if waiter is not None and not waiter.done() and (not self.running or _fatal_among((task,)) is not None):
            waiter.set_result(None)

    def _cancel(self) -> None:
        for task in self.tasks:
            task.cancel()

    def report(self, error: BaseException, handler: Any, task: Any) -> None:
        """Report an exception that is not raised to the loop's exception handler."""
        report_to_loop(self.loop, error, handler, self.event, task)


def _fatal_among(tasks: Iterable[asyncio.Task[Any]]) -> BaseException | None:
    """Return the first exception of done tasks that is no `Exception`, a cancellation by others included."""
    for task in tasks:
        if task.done():
            if task.cancelled():
                try:
                    task.result()
                except asyncio.CancelledError as cancellation:
                    return cancellation
            error = task.exception()
            if error is not None and not isinstance(error, Exception):
                return error
    return None
