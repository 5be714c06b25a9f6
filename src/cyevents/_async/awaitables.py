"""Results of handlers as coroutines, wrappers of these, and calls of handlers in threads, for any kind of loop."""

from __future__ import annotations

from collections.abc import Coroutine
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from .._core import consume
from .._core._safe import safe_repr
from .._core._values import ASYNC_GENERATOR, AWAITABLE, GENERATOR, VALUE, Cancel, CancelAfterItems, kind_of_result

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Callable

    from .._core import EventCore


def as_coroutine(result: Any, kind: int) -> Coroutine[Any, Any, Any]:
    """Return a coroutine that awaits an async handler's result: the result itself if it is one."""
    if type(result) is CoroutineType or isinstance(result, Coroutine):
        return result
    return _collect(result) if kind == ASYNC_GENERATOR else _await(result)


async def _await(awaitable: Any) -> Any:
    return await awaitable


async def _collect(generator: Any) -> list[Any]:
    """Return the items of an async generator, without None."""
    items: list[Any] = []
    try:
        async for item in generator:
            if item is not None:
                items.append(item)
    except Cancel as cancel:
        raise CancelAfterItems(items, cancel) from cancel
    return items


class CoroutineWrapper(Coroutine[Any, Any, Any]):
    """Runs a coroutine. Its other attributes, such as `cr_frame` and `__qualname__`, are those of that coroutine.

    Subclasses clean up when it is over. A coroutine function could not: one that is closed or gets an exception before
    it has begun runs nothing at all.
    """

    _coroutine: Coroutine[Any, Any, Any]
    has_begun = False  # whether there is something to wait for before it is first resumed: a delivered call
    superseded: BaseException | None = None  # in place of a result, if a later call of the handler has stopped this one

    def send(self, value: Any) -> Any:
        """Resume the coroutine with a value."""
        return self._step(self._coroutine.send, value)

    def throw(self, *error: Any) -> Any:
        """Resume the coroutine with an exception."""
        try:
            return self._step(self._coroutine.throw, *error)
        finally:
            del error  # its traceback refers to this frame: a reference cycle

    def follow(self, report: Callable[[str], None]) -> None:
        """Report steps that it runs elsewhere, as the names of methods of call spans: `resumed` and `suspended`."""

    def __await__(self) -> CoroutineWrapper:
        return self

    def __iter__(self) -> CoroutineWrapper:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)

    def _step(self, step: Callable[..., Any], *given: Any) -> Any:
        """Resume the coroutine by one of its methods."""
        try:
            return step(*given)
        except StopIteration as stop:
            self._over(stop.value, None)
            raise
        except BaseException as error:
            self._over(None, error)
            raise
        finally:
            del given  # it may hold the exception that is raised

    def _over(self, value: Any, error: BaseException | None) -> None:
        """Clean up: the coroutine has returned a value, or has raised an error."""
        raise NotImplementedError


class Consumed:
    """What a generator yielded in a thread, and whether it cancels."""

    __slots__ = ("cancels", "items")

    def __init__(self, items: list[Any], cancels: bool) -> None:
        self.items = items
        self.cancels = cancels


def call_in_thread(
    event: EventCore, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any], keeps_generators: bool
) -> tuple[Any, BaseException | None, int]:
    """Call a sync handler. Return its result, its exception, and the kind of the result.

    Unless it `keeps_generators`, which are values then, it runs a generator to its end and returns a `Consumed`.
    """
    try:
        try:
            value = handler(*args, **kwargs)
        except TypeError as error:  # add the note that the core adds to the errors of other calls
            event._call_failed(error, handler, len(args) - 1, kwargs, False)
            raise
        if value is None:
            return None, None, VALUE
        kind = kind_of_result(value)
        if keeps_generators:
            kind = kind if kind == AWAITABLE else VALUE
        elif kind == GENERATOR:
            items: list[Any] = []
            try:
                value, kind = Consumed(items, consume(value, items)), VALUE
            except Cancel as cancel:
                raise CancelAfterItems(items, cancel) from cancel
    except BaseException as error:
        return None, error, VALUE
    return value, None, kind


async def outcome_of(value: Any, error: BaseException | None, kind: int) -> Any:
    """Return or raise what `call_in_thread` returned; an awaitable is awaited first."""
    if error is not None:
        try:
            raise error
        finally:
            del error  # or it would refer to itself by its traceback
    return value if kind == VALUE else await as_coroutine(value, kind)


def report_to_loop(
    loop: AbstractEventLoop, error: BaseException, handler: Any, event: EventCore, task: Future[Any] | None
) -> None:
    """Pass an exception that nobody awaits to the loop's exception handler. The handler or task may be None."""
    context: dict[str, Any] = {"message": failure_text(handler, event), "exception": error}
    if task is not None:
        context["task"] = task
    loop.call_exception_handler(context)


def failure_text(handler: Any, event: EventCore) -> str:
    """Return the text that reports an exception of a handler, which may be None."""
    return f"{'a handler' if handler is None else f'handler {safe_repr(handler)}'} of event {event.name!r} failed"
