"""The end of a tier of `emit_async`, under any kind of event loop: awaits the tasks, and raises their exceptions.

How it works: the core calls the handlers of one priority, a tier. It steps a lone async handler's coroutine itself,
and adds the tasks of several to the `AsyncDispatch`, each with a slot in the results. At the end of such a tier the
subclass waits for the tasks, and their results go to the slots, so that results are in dispatch order.

Exceptions: an `Exception` of a task counts when its tier is done. A `BaseException` cancels the other tasks, and so
does the cancellation of the emission itself; either way all tasks are awaited before it is raised. Only the first
exception in dispatch order can be raised: the others are reported, to the loop's exception handler or the log.

Reference cycles: an exception refers by its traceback to the variables of the frames that it has passed. A frame that
keeps it in a variable completes a cycle, which keeps handlers and senders alive until the garbage collector runs. Hence
the `finally` blocks that empty such variables.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .._core import AwaitedDispatch
from .._core._values import MISSING, PAIRS
from .awaitables import Consumed, as_coroutine, call_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable


class AsyncDispatch(AwaitedDispatch):
    """One running `emit_async`."""

    __slots__ = ()

    # Called by the core

    def as_coroutine(self, result: Any, kind: int) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that awaits what an async handler returned."""
        return as_coroutine(result, kind)

    def recursion_error(self) -> RecursionError:
        """Return the error of too many emissions that await each other."""
        return RecursionError(
            f"maximum recursion depth exceeded: {self.event.name!r} is emitted within its own emission"
        )

    def in_thread(self, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that calls a handler in a thread: see `AwaitedDispatch.in_thread`."""
        return self.run_in_thread(partial(call_in_thread, self.event, handler, args, kwargs, self.mode & PAIRS != 0))

    # What depends on the kind of loop

    @staticmethod
    def run_in_thread(call: Callable[[], tuple[Any, BaseException | None, int]]) -> Coroutine[Any, Any, Any]:
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
        """Wait for the tasks, take their results, and raise an exception if needed; `raised` is the core's."""
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
        for task in self.tasks:
            if not task.done() or task.cancelled() or task.exception() is not None:
                return False
        self._take_values(self.tasks, self.handlers, self.result_slots)
        self.clear_tasks()
        return True

    def _take_values(self, tasks: Iterable[Any], handlers: Iterable[Any], slots: Iterable[int]) -> None:
        """Put the results of tasks into their slots, and note the first task that cancels."""
        results = self.results
        if self.mode & PAIRS:
            for task, handler, slot in zip(tasks, handlers, slots, strict=True):
                value = task.result()
                if value is not MISSING:
                    results[slot] = (handler, value)
            return
        for task, handler, slot in zip(tasks, handlers, slots, strict=True):
            value = task.result()
            if value is False:
                cancels = True
            elif type(value) is Consumed:
                results[slot], cancels = value.items, value.cancels
            else:
                results[slot] = value
                continue
            if cancels:
                self._cancel_by(handler, None)

    def _cancel_by(self, handler: Any, reason: Any) -> None:
        """Note that a task cancels. Tasks come before the sync handler that may have stopped their tier."""
        if self.canceller is None:
            self.canceller = handler
            self.reason = reason

    def clear_tasks(self) -> None:
        """Drop the tasks. Their slots stay: one without a result is a gap."""
        if self.tasks is not None:
            self.has_gaps = True
            self.tasks.clear()
            self.handlers.clear()
            self.result_slots.clear()

    def _take_outcomes(self, raised: BaseException | None, fatal: BaseException | None) -> None:
        """Take the outcomes of the tasks in dispatch order, and raise the first exception, if any."""
        failures: list[Failure] = []
        to_raise: list[Failure] = [] if fatal is None else [Failure(fatal)]
        for task, handler, slot in zip(self.tasks or (), self.handlers or (), self.result_slots or (), strict=True):
            if task.cancelled():
                try:
                    task.result()  # this takes the exception from the task, to which its traceback may lead
                except asyncio.CancelledError:
                    continue
            error = task.exception()
            cancel = None if error is None else self.event._cancel_of(error)
            if cancel is not None and self.mode & PAIRS:
                self.results[slot] = (handler, False)
            elif cancel is not None:
                reason, self.results[slot] = cancel
                self._cancel_by(handler, reason)
            elif isinstance(error, Exception):
                failures.append(Failure(error, handler, task, slot))
            elif error is not None:
                to_raise.append(Failure(error))
            else:
                self._take_values([task], [handler], [slot])
        self.clear_tasks()
        try:
            self._raise_first(failures, to_raise, raised)
        finally:  # see "Reference cycles"
            task = error = raised = fatal = None
            to_raise.clear()
            failures.clear()

    def _raise_first(self, failures: list[Failure], to_raise: list[Failure], raised: BaseException | None) -> None:
        """Handle the exceptions of a tier, and raise the first one that must be raised.

        `failures` are the exceptions to which the event's policy applies. `to_raise` are exceptions that come before
        them, and `raised` is one that comes after them.
        """
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
            to_raise.append(Failure(raised))
        try:
            if to_raise:
                self._report_others(to_raise)
                raise to_raise[0].error
        finally:  # see "Reference cycles"
            raised = failure = None  # type: ignore[assignment]
            to_raise.clear()
            failures.clear()

    def _insert_errors(self, failures: list[Failure]) -> None:
        """Put the tasks' errors among those of the sync handlers, in dispatch order."""
        positions, errors = self.error_positions or (), self.errors or ()
        ordered = [(slot, 0, error) for slot, error in zip(positions, errors, strict=True)]
        ordered += [(failure.slot, 1, failure.error) for failure in failures]  # type: ignore[misc]
        ordered.sort(key=lambda row: row[:2])
        self.errors = [error for _, _, error in ordered]
        self.error_positions = [slot for slot, _, _ in ordered]

    def _report_others(self, failures: list[Failure]) -> None:
        """Report all exceptions but the first, also those that would have been raised as a group."""
        first, *others = failures
        others += [Failure(error) for error in self.errors or ()]
        for error, handler, task, _ in others:
            if error is not first.error and not isinstance(error, (KeyboardInterrupt, SystemExit)):
                self.report(error, handler, task)
        if self.errors:
            self.errors.clear()


class Failure(NamedTuple):
    """An exception, and the handler, task and result slot that it belongs to, as far as these are known."""

    error: BaseException
    handler: Any = None
    task: Any = None
    slot: int = 0
