"""`wait_any`, which waits for the first of several emissions.

It takes the streams out of the results of `Event.wait`, and waits for all of them with one waiter. So it needs no task
for each, and cancels none.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from .._checks import coroutine_function
from .._core import BoundCore, EventCore
from .._core._safe import safe_isinstance, safe_repr
from .loops import no_loop_error, running_asyncio, running_trio
from .streams import WaitCoroutine
from .waiters import make_waiter

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import TypeVar, overload

    from .._emission import Emission, SenderT
    from .streams import Stream

    OtherT = TypeVar("OtherT")
    ThirdT = TypeVar("ThirdT")
    Wait = Coroutine[Any, Any, Emission[SenderT]]

if TYPE_CHECKING:

    @overload
    def wait_any(wait: Wait[SenderT], /) -> Wait[SenderT]: ...
    @overload
    def wait_any(wait: Wait[SenderT], other: Wait[OtherT], /) -> Wait[SenderT | OtherT]: ...
    @overload
    def wait_any(
        wait: Wait[SenderT], other: Wait[OtherT], third: Wait[ThirdT], /
    ) -> Wait[SenderT | OtherT | ThirdT]: ...
    @overload
    def wait_any(
        wait: Wait[Any], other: Wait[Any], third: Wait[Any], fourth: Wait[Any], /, *waits: Wait[Any]
    ) -> Wait[Any]: ...


@coroutine_function
def wait_any(wait: Any, /, *waits: Any) -> Coroutine[Any, Any, Emission[Any]]:
    """Await the first of several emissions, each given as the result of `Event.wait`.

    Nothing stays connected, however it ends. If several of the events were emitted before it is awaited, the earliest
    emission wins. It takes the waits over: you cannot await them any more.

    Args:
        wait: the result of `Event.wait` or `wait_any`, not yet awaited.
        *waits: more of them.

    Returns:
        An awaitable of an `Emission`; its `event` is the one that was emitted.

    Raises:
        TypeError: if an argument is something else; when called.
        RuntimeError: if a wait was awaited or closed before, when called; if an event is cleared; or when awaited
            without a running loop of asyncio or trio.
        TimeoutError: if one of the waits times out. Its time counts from the `await` on.

    Example:
        >>> import asyncio
        >>> from cyevents import Event, wait_any
        >>> paid, refused = Event("order.paid"), Event("order.refused")
        >>> async def main():
        ...     outcome = wait_any(paid.wait("order 7"), refused.wait("order 7"))
        ...     refused.emit("order 7", "no stock")
        ...     return await outcome
        >>> asyncio.run(main())
        emit('order.refused', 'order 7', 'no stock')
    """
    given = (wait, *waits)
    taken: list[tuple[Stream[Any], float | None]] = []
    try:
        for each in given:
            if not safe_isinstance(each, WaitCoroutine):
                text = f"wait_any() takes the results of Event.wait(), not {safe_repr(each)}"
                if issubclass(type(each), (EventCore, BoundCore)):
                    text += ": call its wait()"
                elif issubclass(type(each), (list, tuple)):
                    text += ": unpack it, as in wait_any(*waits)"
                raise TypeError(text)
        for each in {id(each): each for each in given}.values():
            parts = each.take()
            if not parts:
                raise RuntimeError("wait_any() takes waits that were not awaited or closed, and one of these was")
            taken += parts
        return WaitCoroutine(taken, _first(taken), *[stream._event for stream, _ in taken])
    except BaseException:  # nothing stays connected
        for stream, _ in taken:
            stream.close()
        for each in given:
            if safe_isinstance(each, WaitCoroutine):
                each.close()
        raise


async def _first(waits: list[tuple[Stream[Any], float | None]]) -> Emission[Any]:
    try:
        return await _first_emission(waits)
    finally:
        for stream, _ in waits:
            stream.close()


_first.__qualname__ = "wait_any"  # the name in the warning about a coroutine that was never awaited


async def _first_emission(waits: list[tuple[Stream[Any], float | None]]) -> Emission[Any]:
    loop = running_asyncio()
    trio: Any = None
    if loop is None:
        trio = running_trio()
        if trio is None:
            raise no_loop_error()
        await trio.lowlevel.checkpoint()  # as every call in trio is one
    clock = trio.current_time if loop is None else loop.time
    now = clock()
    timeouts = [(now + timeout, timeout, stream) for stream, timeout in waits if timeout is not None]
    deadline = min(timeouts, key=lambda each: each[0])[0] if timeouts else None
    has_slept = False
    while True:
        waiter = make_waiter(loop, trio)
        for stream, _ in waits:
            stream._waiter = waiter
        # After that, since an emission before it has found no waiter.
        for stream in sorted([stream for stream, _ in waits], key=_number_of_emission):
            emission = stream._pop()
            if emission is not None:
                return emission
        for stream, _ in waits:
            if not stream._is_open:
                raise stream._cleared_error()
        if has_slept and deadline is not None and clock() >= deadline:
            raise next(stream._timeout_error(timeout) for at, timeout, stream in timeouts if at == deadline)
        await waiter.sleep(deadline)
        has_slept = True


def _number_of_emission(stream: Stream[Any]) -> float:
    """Return the number of the emission in a stream; infinity if there is none."""
    try:
        return stream._buffer[0][0]
    except IndexError:  # another thread may clear the event at any time
        return inf
