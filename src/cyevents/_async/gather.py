"""`emit_async` under asyncio: its function, the tasks of a tier with several async handlers, and how they are awaited.

How it works: the core runs the emission. From Python 3.12 on, tasks start eagerly, and a handler that never suspends is
done when the core adds its task. At the end of a tier with tasks the emission lets the loop run once, since many
handlers need no more, and then waits for the other tasks by one future, which their done callbacks resolve.

A sequential emission awaits each handler before it calls the next one. Its handlers run in the emitter's task, or where
that is impossible in tasks, one at a time: then each is a tier of its own here.

Who keeps a task alive: the `AsyncDispatch`, which is held by `emit_async`. No emission ends before its tasks, unless
its coroutine is closed from outside, as when its loop is gone: then nothing can be awaited, and they are cancelled.

Cancellation: cancelling an emission raises `CancelledError` where it waits. With tasks, it is passed on by cancelling
each of them, and raised again when all are done. A handler in a thread that has begun cannot be interrupted: it is
waited for. A lone handler, which runs in the emitter's task, gets the error itself. If it suppresses the error, the
emission must raise it in the end. `Task.cancelling()` shows that: timeouts and task groups inside the handler undo
their own cancellations by `Task.uncancel()`, so the rest was meant for the emission. That needs a count that is zero at
the start, and so does `TaskGroup`: in a task that is being cancelled, each handler has its own task.
"""

from __future__ import annotations

import asyncio
import sys
from types import coroutine
from typing import TYPE_CHECKING, Any

from .._core import inherit_slots
from .._core._values import FIRST, PAIRS, SEQUENTIAL, Cancel, Cancelled
from .awaitables import outcome_of, report_to_loop
from .dispatch import AsyncDispatch, Failure
from .loops import no_loop_error, running_trio
from .running import current_task, running_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterable

    from .._core import Entry, EventCore

_EAGER = sys.version_info >= (3, 12)
_HAS_LEFT_OVER_CANCELLATIONS = sys.version_info < (3, 13)
_TASK_METHODS = (asyncio.Task.done, asyncio.Task.cancelled, asyncio.Task.exception, asyncio.Task.result)


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
    loop = running_loop()
    dispatch_class = _trio_dispatch() if loop is None else AsyncioDispatch
    results = event._start_async(dispatch_class, loop, sender, args, kwargs, plan)
    if type(results) is dispatch_class:
        await results
        results = results.outcome
    return results  # type: ignore[no-any-return]


async def send_async(
    event: EventCore,
    sender: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    plan: Callable[[tuple[Entry, ...]], object] | None = None,
) -> list[tuple[Any, Any]]:
    """Call and await an event's handlers as `emit_async` does, and return pairs of each handler and its value."""
    results = _start(event, sender, args, kwargs, plan, PAIRS)
    if isinstance(results, AsyncDispatch):
        await results
        results = results.outcome
    return results  # type: ignore[no-any-return]


async def first_async(
    event: EventCore,
    sender: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    plan: Callable[[tuple[Entry, ...]], object] | None = None,
    default: Any = None,
) -> Any:
    """Call and await an event's handlers one after the other, and return the first result that is not None.

    In an observed emission, return the list of that result, so that the instruments see it.
    """
    results = _start(event, sender, args, kwargs, plan, FIRST | SEQUENTIAL)
    if isinstance(results, AsyncDispatch):
        await results
        results = results.outcome
    if plan is not None:
        return results
    return default if isinstance(results, Cancelled) or not results else results[0]


# The names in the warnings about coroutines that were never awaited.
emit_async.__qualname__ = "Event.emit_async"
send_async.__qualname__ = "Event.send_async"
first_async.__qualname__ = "Event.first_async"


def _start(
    event: EventCore,
    sender: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    plan: Callable[[tuple[Entry, ...]], object] | None,
    mode: int,
) -> Any:
    loop = running_loop()
    dispatch_class = _trio_dispatch() if loop is None else AsyncioDispatch
    return event._start_awaiting(dispatch_class, loop, sender, args, kwargs, plan, mode)


def _trio_dispatch() -> type[AsyncDispatch]:
    if running_trio() is None:
        raise no_loop_error()
    try:
        from .trio import TrioDispatch
    except ModuleNotFoundError as error:
        if error.name != "anyio":
            raise
        raise ImportError('emit_async needs anyio under trio: python -m pip install "anyio>=4.5"') from error
    return TrioDispatch


@coroutine
def _yield_once() -> Generator[None]:
    """Let the loop run once."""
    yield


@inherit_slots
class AsyncioDispatch(AsyncDispatch):
    """One running `emit_async` in an asyncio loop."""

    __slots__ = ("running", "waiter")

    running: int  # how many tasks are not done
    waiter: asyncio.Future[None] | None  # what the emission awaits: resolved when no task is left, or one is fatal

    def begin(self) -> None:
        """Find out whether coroutines can be stepped in this task: see `AwaitedDispatch.begin`."""
        loop = self.loop
        if loop.get_task_factory() is not None:  # it is used for each handler
            return
        try:
            cancelling = current_task(loop).cancelling
        except AttributeError:  # this is called in no task, or in one of another type
            return
        if not cancelling():
            self.cancelling = self.count_cancellations if _HAS_LEFT_OVER_CANCELLATIONS else cancelling

    def count_cancellations(self) -> int:
        """Return how often this task was cancelled, without what a `TaskGroup` has left over.

        Before Python 3.13, a group whose task fails while the group waits at its end does not take back that it has
        cancelled the task that it is in.
        """
        task: asyncio.Task[Any] = current_task(self.loop)
        if _is_left_over(self.interruption):
            task.uncancel()
            self.interruption = None
        return task.cancelling()

    def begin_tasks(self) -> None:
        """Find out how to start tasks: see `AwaitedDispatch.begin_tasks`."""
        loop = self.loop
        if loop.get_task_factory() is None:
            self.make = asyncio.Task
            self.methods = _TASK_METHODS
            self.keywords = {"loop": loop, "eager_start": True} if _EAGER else {"loop": loop}

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task by the loop's task factory."""
        return self.loop.create_task(coroutine)  # type: ignore[no-any-return]

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
    async def run_in_thread(call: Callable[[], tuple[Any, BaseException | None, int]]) -> Any:
        """Run a `call_in_thread`: see `AsyncDispatch.run_in_thread`."""
        claims = [None]  # claimed by the worker when it starts, or by whoever cancels it before that
        outcome: list[tuple[Any, BaseException | None, int]] = []  # not returned: the worker's frame would keep it

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
            if cancellation is not None and (outcome[0][1] is None or isinstance(outcome[0][1], Cancel)):
                raise cancellation
        finally:
            del work, cancellation  # see "Reference cycles" in `dispatch`
        return await outcome_of(*outcome.pop())

    async def finish_cancelled(self, raised: BaseException | None, handler: Any) -> None:
        """Raise the cancellation that a handler has got: see `AwaitedDispatch.finish_cancelled`."""
        cancellation, self.interruption = self.interruption, None
        to_raise: list[Failure] = []
        try:
            if isinstance(raised, (KeyboardInterrupt, SystemExit)):
                raise raised
            if raised is not None and self.event._cancel_of(raised) is not None:
                raised = None
            if isinstance(raised, asyncio.CancelledError):
                if not isinstance(cancellation, asyncio.CancelledError):
                    cancellation = raised
                raised = None
            if getattr(current_task(self.loop), "_must_cancel", False):  # it was cancelled again since
                try:
                    await _yield_once()
                except asyncio.CancelledError as another:
                    if cancellation is None:
                        cancellation = another
            to_raise.append(Failure(cancellation or asyncio.CancelledError()))
            if isinstance(raised, Exception):
                self._raise_first([Failure(raised, handler)], to_raise, None)
            else:
                self._raise_first([], to_raise, raised)
        finally:
            raised = cancellation = None  # see "Reference cycles" in `dispatch`
            to_raise.clear()

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


def _is_left_over(cancellation: BaseException | None) -> bool:
    """Return whether a `TaskGroup` has caught this at its end after it had cancelled its own task."""
    traceback = None if cancellation is None else cancellation.__traceback__
    if traceback is None or traceback.tb_frame.f_code is not asyncio.TaskGroup.__aexit__.__code__:
        return False
    variables = traceback.tb_frame.f_locals
    if variables.get("et") is not None:  # its block has raised, so it was interrupted before its end
        return False
    return getattr(variables.get("self"), "_parent_cancel_requested", False) is True


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
