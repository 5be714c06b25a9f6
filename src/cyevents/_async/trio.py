"""`emit_async` under trio, by anyio: imported when it is first awaited there.

Tiers, results, cancellers and errors are as under asyncio. What differs is the end of a tier: its handlers have not
begun yet, and now start together in a task group, which is awaited. Cancelling the emission cancels that group.
"""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

import anyio
from anyio.lowlevel import checkpoint_if_cancelled

from .._core._safe import log
from .awaitables import CoroutineWrapper, failure_text, outcome_of
from .dispatch import AsyncDispatch

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from anyio.abc import TaskGroup


class _Task:
    """An async handler, and its outcome when it is done, with the methods of an asyncio task that are needed."""

    __slots__ = ("_context", "_coroutine", "_error", "_is_cancelled", "_is_done", "_value")

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._context = copy_context()  # as it is when the handler is called
        self._value: Any = None
        self._error: BaseException | None = None
        self._is_done = self._is_cancelled = False

    @property
    def has_begun(self) -> bool:
        """Whether its call was delivered, so that it must be awaited even if it is cancelled."""
        return isinstance(self._coroutine, CoroutineWrapper) and self._coroutine.has_begun

    def start(self, group: TaskGroup) -> None:
        """Start it in a task group."""
        self._context.run(group.start_soon, self._run, group)

    async def _run(self, group: TaskGroup) -> None:
        try:
            if not self.has_begun:
                await checkpoint_if_cancelled()  # cancelled before it begins, it does not begin
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

    def discard(self) -> None:
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


class TrioDispatch(AsyncDispatch):
    """One running `emit_async` whose handlers run in anyio's task groups."""

    __slots__ = ()

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> _Task:
        """Make a task, which starts at the end of the tier."""
        return _Task(coroutine)

    @staticmethod
    async def run_in_thread(call: Callable[[], tuple[Any, BaseException | None, int]]) -> Any:
        """Run a `call_in_thread`: see `AsyncDispatch.run_in_thread`."""
        return await outcome_of(*await anyio.to_thread.run_sync(call))

    async def wait(self, fatal: BaseException | None) -> BaseException | None:
        """Run all tasks: see `AsyncDispatch.wait`."""
        if fatal is not None:
            begun = [task for task in self.tasks if task.has_begun]
            for task in self.tasks:
                if not task.has_begun:
                    task.discard()
            if begun:
                async with anyio.create_task_group() as group:
                    group.cancel_scope.cancel()
                    for task in begun:
                        task.start(group)
            return fatal
        cancellation = None
        try:
            async with anyio.create_task_group() as group:
                for task in self.tasks:
                    task.start(group)
            await checkpoint_if_cancelled()  # cancelled from outside, which a handler may have caught
        except BaseException as error:  # from outside: the tasks keep what they raise
            cancellation = error
            for task in self.tasks:
                if not task.done():  # the group could not start it
                    task.discard()
        errors = [task.exception() for task in self.tasks]
        errors = [error for error in errors if error is not None and not isinstance(error, Exception)]
        try:
            return errors[0] if errors else cancellation
        finally:
            cancellation = None
            errors.clear()

    def report(self, error: BaseException, handler: Any, task: Any) -> None:
        """Log an exception that is not raised: there is no loop that would handle it."""
        log("ERROR", failure_text(handler, self.event), exc_info=error)


def _is_cancellation(error: BaseException) -> bool:
    """Return whether this is what a cancelled task raises, or a group of nothing else."""
    cancelled = anyio.get_cancelled_exc_class()
    if isinstance(error, BaseExceptionGroup):
        return error.split(cancelled)[1] is None
    return isinstance(error, cancelled)
