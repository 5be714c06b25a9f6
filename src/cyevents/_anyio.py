"""`emit_async` on other loops than asyncio's, by anyio: imported when it is awaited where trio runs.

The tiers, and what is done with results, cancellers and errors, are those of `_aio`. What differs is the end of a
tier: its handlers are started together in a task group, when the core has called all of them, and those are waited for.
"""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from ._aio import _as_coroutine, _Consumed, _Emission, _logger, call_in_thread
from ._core import consume
from ._core._safe import safe_repr
from ._core._values import GENERATOR, VALUE, kind_of_result

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from anyio.abc import TaskGroup


class _Task:
    """An async handler, and once it is done what it returned or raised: asked as an asyncio task is."""

    __slots__ = ("_context", "_coroutine", "_error", "_is_cancelled", "_is_done", "_value")

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._context = copy_context()  # that of the handler's turn
        self._value: Any = None
        self._error: BaseException | None = None
        self._is_done = self._is_cancelled = False

    def start(self, group: TaskGroup) -> None:
        """Have it run in a task group."""
        self._context.run(group.start_soon, self._run, group)

    async def _run(self, group: TaskGroup) -> None:
        try:
            await checkpoint_if_cancelled()  # what is cancelled before it begins, does not
            self._value = await self._coroutine
        except BaseException as error:
            if _is_cancellation(error):
                self.cancel()
                raise
            self._error = error
            if not isinstance(error, Exception):
                group.cancel_scope.cancel()
        finally:
            self._is_done = True
            self._coroutine.close()

    def cancel(self) -> None:
        """Count it as cancelled; if it has not begun, it never will."""
        self._is_done = self._is_cancelled = True

    def drop(self) -> None:
        """Cancel it before it was started."""
        self.cancel()
        self._coroutine.close()

    def done(self) -> bool:
        return self._is_done

    def cancelled(self) -> bool:
        return self._is_cancelled

    def exception(self) -> BaseException | None:
        return self._error

    def result(self) -> Any:
        return self._value


class AnyioEmission(_Emission):
    """One running `emit_async`, whose handlers run in task groups of anyio's."""

    __slots__ = ()

    def start_thread(self, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Start a handler that is to run in a thread."""
        return self._start(_in_thread(partial(call_in_thread, self.event, handler, args, kwargs)))

    def _start(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return _Task(coroutine)

    def take_results(self) -> bool:
        """Take what the tasks have returned, if all are done and none has raised."""
        if any(not task.done() or task.cancelled() or task.exception() is not None for task in self.tasks):
            return False
        return super().take_results()

    async def _wait(self, fatal: BaseException | None) -> BaseException | None:
        """Run the tasks. What is no `Exception` cancels them; the first such is returned."""
        if fatal is not None:
            for task in self.tasks:
                task.drop()
            return fatal
        cancellation = None
        try:
            async with anyio.create_task_group() as group:
                for task in self.tasks:
                    task.start(group)
            await checkpoint_if_cancelled()  # from outside; a handler may have made something else of that
        except BaseException as error:  # from outside: the tasks keep what they raise
            cancellation = error
            for task in self.tasks:
                if not task.done():  # the group could not start it
                    task.drop()
        errors = [task.exception() for task in self.tasks]
        errors = [error for error in errors if error is not None and not isinstance(error, Exception)]
        try:
            return errors[0] if errors else cancellation
        finally:
            cancellation = None
            errors.clear()

    def report(self, error: BaseException, handler: Any, task: Any) -> None:
        """Tell of an exception that is not raised, since another was before it: there is no loop to hand it to."""
        who = "a handler" if handler is None else f"handler {safe_repr(handler)}"
        _logger.error("%s of event %r failed", who, self.event.name, exc_info=error)


def _is_cancellation(error: BaseException) -> bool:
    """Whether this is what a cancelled task raises, or a group of nothing else."""
    cancelled = anyio.get_cancelled_exc_class()
    if isinstance(error, BaseExceptionGroup):
        return error.split(cancelled)[1] is None
    return isinstance(error, cancelled)


async def _in_thread(call: Callable[[], Any]) -> Any:
    """Run a sync handler in a thread, a generator whole. Once begun it is waited for, cancelled or not."""

    def run() -> tuple[Any, BaseException | None]:
        try:
            value = call()
            if kind_of_result(value) == GENERATOR:
                value = _Consumed(*consume(value))
        except BaseException as error:
            return None, error
        return value, None

    value, raised = await anyio.to_thread.run_sync(run)
    if raised is not None:
        raise raised
    kind = kind_of_result(value)
    return value if kind == VALUE else await _as_coroutine(value, kind)
