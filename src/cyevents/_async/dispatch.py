"""What an `emit_async` keeps while it runs, and what it does with its handlers' tasks, under any kind of event loop.

How it works: the core calls the handlers of one priority, a tier, and adds the tasks of the async ones to the
`AsyncDispatch`, each with a slot in the results. At the end of a tier the subclass waits for the tasks, and their
results go to the slots, so that results are in dispatch order.

What handlers raise: an `Exception` of a task counts when its tier is done. A `BaseException` cancels the other tasks,
and so does the cancellation of the emission itself; either way all tasks are awaited before it is raised. Only the
first exception in dispatch order can be raised: the others are reported, to the loop's exception handler or the log.

Reference cycles: an exception refers by its traceback to the variables of the frames that it has passed. A frame that
keeps it in a variable completes a cycle, which keeps handlers and senders alive until the garbage collector runs. Hence
the `finally` blocks that empty such variables. Contexts that tasks have copied refer to the emission also when it is
over, so then it is emptied.
"""

from __future__ import annotations

import asyncio
import sys
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .._core import TaskCollector
from .awaitables import Consumed, as_coroutine, call_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from .._core import EventCore

innermost: ContextVar[AsyncDispatch | None] = ContextVar("cyevents_emission", default=None)


class AsyncDispatch(TaskCollector):
    """One running `emit_async`: its results so far, and the tasks of the current tier."""

    __slots__ = (
        "canceller",
        "depth",
        "errors",
        "event",
        "has_gaps",
        "is_calling",
        "outer",
        "results",
        "sender",
    )

    canceller: Any  # the handler of the first task that cancels
    depth: int
    errors: list[Exception]  # to be raised as a group
    has_gaps: bool  # whether there may be None among the results
    is_calling: bool  # whether the core is calling handlers now
    outer: AsyncDispatch | None  # the emission that this one was made in
    results: list[Any]

    def __init__(self, event: EventCore, sender: Any) -> None:
        # Recursion through tasks does not deepen the stack, so it is counted here.
        self.outer = outer = innermost.get()
        self.depth = 0 if outer is None else outer.depth + 1
        if self.depth > sys.getrecursionlimit() and self._recount() > sys.getrecursionlimit():
            raise RecursionError(f"maximum recursion depth exceeded: {event.name!r} is emitted within its own emission")
        self.event = event
        self.sender = sender
        self.results = []
        self.errors = []
        self.canceller = None
        self.is_calling = self.has_gaps = False

    def _recount(self) -> int:
        """Return the depth without emissions that are over: a task that their handlers left behind is no recursion."""
        depth = 0
        outer = self.outer
        while outer is not None and (outer.is_calling or any(not task.done() for task in outer.tasks)):
            depth += 1
            outer = outer.outer
        self.depth = depth
        return depth

    # Called by the core

    def start(self, result: Any, kind: int) -> Any:
        """Start a task for what an async handler returned."""
        return self.start_task(as_coroutine(result, kind))

    def start_thread(self, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Start a task that calls a handler in a thread."""
        return self.start_task(self.in_thread(partial(call_in_thread, self.event, handler, args, kwargs)))

    # What depends on the kind of loop

    def start_task(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Start a task. It needs the methods of an asyncio task that are used here."""
        raise NotImplementedError

    @staticmethod
    def in_thread(call: Callable[[], tuple[Any, BaseException | None]]) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that runs a `call_in_thread` in a thread, and once it has begun always waits for it."""
        raise NotImplementedError

    async def wait(self, fatal: BaseException | None) -> BaseException | None:
        """Wait for all tasks. A `BaseException` cancels them: that which is given, or the first that comes up.

        Returns that exception, or None.
        """
        raise NotImplementedError

    def report(self, error: BaseException, handler: Any, task: Any) -> None:
        """Report an exception that is not raised, since another one is. Handler and task may be None."""
        raise NotImplementedError

    # The end of a tier

    async def finish_tier(self, raised: BaseException | None) -> None:
        """Wait for the tasks, take their results, and raise what must be raised: `raised` is what the core raised."""
        fatal = None if isinstance(raised, Exception) else raised
        try:
            if self.tasks:
                fatal = await self.wait(fatal)
                if raised is None and fatal is None and self.take_results():
                    return
            self._take_outcomes(raised, fatal)
        finally:
            raised = fatal = None  # see "Reference cycles"

    def take_results(self) -> bool:
        """Take the results of the tasks if all are done and none has raised; return whether that is so."""
        try:
            for task in self.tasks:
                if task.exception() is not None:
                    return False
        except (Exception, asyncio.CancelledError):  # not done, or cancelled. In a subinterpreter of Python 3.11,
            return False  # the InvalidStateError is the main interpreter's
        self._take_values(self.tasks, self.handlers, self.result_slots)
        self.clear_tasks()
        return True

    def _take_values(self, tasks: Iterable[Any], handlers: Iterable[Any], slots: Iterable[int]) -> None:
        """Put what tasks have returned into their slots, and note the first that cancels."""
        results = self.results
        for task, handler, slot in zip(tasks, handlers, slots, strict=True):
            value = task.result()
            if value is False:
                cancels = True
            elif type(value) is Consumed:
                results[slot], cancels = value.items, value.cancels
            else:
                results[slot] = value
                continue
            if cancels and self.canceller is None:
                self.canceller = handler

    def clear_tasks(self) -> None:
        """Drop the tasks. Their slots stay: one without a result is a gap."""
        self.has_gaps = True
        self.tasks.clear()
        self.handlers.clear()
        self.result_slots.clear()

    def _take_outcomes(self, raised: BaseException | None, fatal: BaseException | None) -> None:
        """Take what the tasks returned and raised, in dispatch order, and raise the first exception, if any."""
        failures: list[_Failure] = []
        to_raise: list[_Failure] = [] if fatal is None else [_Failure(fatal)]
        for task, handler, slot in zip(self.tasks, self.handlers, self.result_slots, strict=True):
            if task.cancelled():
                try:
                    task.result()  # this takes the exception from the task, to which its traceback may lead
                except asyncio.CancelledError:
                    continue
            error = task.exception()
            if isinstance(error, Exception):
                failures.append(_Failure(error, handler, task, slot))
            elif error is not None:
                to_raise.append(_Failure(error))
            else:
                self._take_values([task], [handler], [slot])
        self.clear_tasks()
        policy = self.event._error_policy()
        if callable(policy):
            for failure in failures:
                try:
                    policy(failure.error, failure.handler, self.event, self.sender)
                except BaseException as another:
                    to_raise.append(failure._replace(error=another))
        elif policy == "group":
            self._insert_errors(failures)
        else:
            to_raise += failures
        if raised is not None:
            to_raise.append(_Failure(raised))
        try:
            if to_raise:
                self._report_others(to_raise)
                raise to_raise[0].error
        finally:  # see "Reference cycles"
            task = error = raised = fatal = failure = None  # type: ignore[assignment]
            to_raise.clear()
            failures.clear()

    def _insert_errors(self, failures: list[_Failure]) -> None:
        """Put the tasks' errors among those of the sync handlers, in dispatch order."""
        ordered = [(slot, 0, error) for slot, error in zip(self.error_positions, self.errors, strict=True)]
        ordered += [(failure.slot, 1, failure.error) for failure in failures]  # type: ignore[misc]
        ordered.sort(key=lambda row: row[:2])
        self.errors[:] = [error for _, _, error in ordered]
        self.error_positions[:] = [slot for slot, _, _ in ordered]

    def _report_others(self, failures: list[_Failure]) -> None:
        """Report all exceptions but the first, also those that would have been raised as a group."""
        first, *others = failures
        others += [_Failure(error) for error in self.errors]
        for error, handler, task, _ in others:
            if error is not first.error and not isinstance(error, (KeyboardInterrupt, SystemExit)):
                self.report(error, handler, task)
        self.errors.clear()


class _Failure(NamedTuple):
    """An exception, and the handler, task and result slot that it belongs to, as far as these are known."""

    error: BaseException
    handler: Any = None
    task: Any = None
    slot: int = 0
