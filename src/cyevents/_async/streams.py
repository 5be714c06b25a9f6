"""`Event.wait`, `Event.wait_sync` and `Event.stream`, under asyncio, trio and in threads without a loop.

How it works: a `Stream` is a handler with a buffer. An emission, in any thread, appends to the buffer and then wakes
the waiter, if there is one. The waiting task sets the waiter first and then looks into the buffer again, so nothing is
lost in between. There is no lock, since an emission must never wait for another thread: the buffer's methods are
atomic, and so is claiming a place in the buffer or the turn to wait.

A thread without a loop runs the same coroutines. Its waiter blocks instead of suspending, so one step runs them to
their end. They import no event loop: a loop that is not imported does not run.

The event holds a stream weakly, so one that nothing else refers to, as after a `break`, is disconnected when it dies. A
stream disconnects itself when it is closed, when it overflows, and when an emission finds that the loop of its waiter
is closed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any

from .._core._safe import exact_str, safe_repr, source_text
from .._core._values import MISSING
from .._emission import Emission, SenderGeneric, SenderT
from .._options import ConnectOptions
from .loops import checked_timeout, no_loop_error, running_asyncio, running_trio
from .waiters import make_waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from types import TracebackType
    from typing import Literal, Self

    from .._core import EventCore
    from .waiters import Waiter

    Overflow = Literal["raise", "drop_oldest", "drop_newest"]


class StreamOverflow(RuntimeError):
    """Raised by a stream with `overflow="raise"` that is more emissions behind than its buffer holds."""


class Stream(SenderGeneric[SenderT]):
    """The emissions of an event, for an `async for`, or a `for` in a thread. `Event.stream` returns it.

    It receives emissions until it is closed: by `close`, by leaving its `with` or `async with`, or when nothing refers
    to it any more, as after a `break` out of `for emission in event.stream()`. `async for` works under asyncio and
    trio, `for` in threads where neither runs. Only one task or thread at a time may wait for the next emission.
    Emissions may come from any thread, and any thread may call `close`.
    """

    __slots__ = (
        "__weakref__",
        "_buffer",
        "_connections",
        "_event",
        "_free_places",
        "_is_open",
        "_is_overflown",
        "_limit",
        "_numbers",
        "_overflow",
        "_seen",
        "_sender",
        "_taken",
        "_turn",
        "_waiter",
        "_with_event",
    )

    def __init__(
        self,
        event: EventCore,
        is_pattern: bool,
        sender: Any,
        condition: Callable[..., object] | None,
        priority: int,
        buffer: int,
        overflow: str,
        once: bool = False,
    ) -> None:
        if not isinstance(buffer, int):
            raise TypeError(f"buffer must be an int, the number of emissions that it holds, not {safe_repr(buffer)}")
        if buffer < 1:
            raise ValueError(f"buffer must hold at least one emission, not {safe_repr(buffer)}")
        if type(overflow) is not str:
            overflow = exact_str(overflow)
        if type(overflow) is not str or overflow not in ("raise", "drop_oldest", "drop_newest"):
            raise ValueError(f'overflow must be "raise", "drop_oldest" or "drop_newest", not {safe_repr(overflow)}')
        self._event = event
        self._sender = sender  # held: its death would end the connection, and a wait would never end
        self._limit = buffer
        self._overflow = overflow
        self._buffer: deque[tuple[int, Emission[Any]]]
        if overflow == "drop_oldest":
            self._buffer, self._free_places = deque(maxlen=buffer), []
        else:
            self._buffer, self._free_places = deque(), [None] * buffer
        self._numbers = _of_waits if once else count()  # of the emissions, dropped ones too
        self._seen = self._taken = 0
        self._turn: dict[int, object] = {}  # the claim of the one task or thread that may wait
        self._waiter: Waiter | None = None
        self._is_open = True
        self._is_overflown = False
        self._with_event = is_pattern
        made: list[Any] = []
        self._connections = made  # filled before anything else can find the stream
        options = ConnectOptions(MISSING, sender, True, priority, condition, once, is_pattern)
        try:
            event._add(self._on_emit, sender, options, None, made)
        except BaseException:  # a signal handler has raised: the traceback refers to this
            self._disconnect()
            raise
        if not self._is_open:  # it was closed before it was connected
            self._disconnect()

    @classmethod
    def _connected_to(cls, event: EventCore) -> list[Stream[Any]]:
        """Return the streams that are connected to an event, or a pattern, itself."""
        handlers = [entry.get() for entry, _, source in event._connections() if source is event]
        owners = [getattr(handler, "__self__", None) for handler in handlers]
        return [owner for owner in owners if isinstance(owner, cls)]

    @classmethod
    def _wait(
        cls, event: EventCore, is_pattern: bool, sender: Any, condition: Any, timeout: float | None, priority: int
    ) -> WaitCoroutine[Any]:
        """Return what `Event.wait` returns."""
        timeout = checked_timeout(timeout)
        stream = cls(event, is_pattern, sender, condition, priority, 1, "drop_newest", True)
        return WaitCoroutine([(stream, timeout)], _first(stream, timeout), event)

    @classmethod
    def _wait_sync(
        cls, event: EventCore, is_pattern: bool, sender: Any, condition: Any, timeout: float | None, priority: int
    ) -> Emission[Any]:
        """Do what `Event.wait_sync` does."""
        timeout = checked_timeout(timeout)
        _check_no_loop("wait_sync()", event, "await event.wait()")
        stream = cls(event, is_pattern, sender, condition, priority, 1, "drop_newest", True)
        try:
            emission: Emission[Any] = _run(_first(stream, timeout, True))
            return emission
        finally:
            stream.close()  # also if a signal handler has raised before the coroutine began

    # In the thread of the emission

    def _on_emit(self, sender: Any, /, *args: Any, **kwargs: Any) -> None:
        event: Any = kwargs.pop("event") if self._with_event else self._event
        if self._is_overflown:
            return
        emission = next(self._numbers), Emission(event, sender, args, kwargs)
        if self._overflow == "drop_oldest" or self._try_reserve():
            self._buffer.append(emission)
        elif self._overflow == "raise":
            self._is_overflown = True
            self._disconnect()
        waiter = self._waiter
        if waiter is not None and not waiter.wake():  # its loop is closed: it will never run again
            self.close()

    def _disconnect(self) -> None:
        for entry in self._connections[:1]:  # the second is the one that it has replaced: None
            self._event._disconnect_entry(entry)

    def _try_reserve(self) -> bool:
        """Claim a free place in the buffer; return False if there is none."""
        try:
            self._free_places.pop()
        except IndexError:
            return False
        return True

    # In the task or thread that waits

    def _pop(self) -> Emission[SenderT] | None:
        """Take the next emission from the buffer, if there is one."""
        try:
            number, emission = self._buffer.popleft()
        except IndexError:
            return None
        if self._overflow != "drop_oldest":
            self._free_places.append(None)
        self._taken += 1
        self._seen = max(self._seen, number + 1)
        return emission

    async def _next_emission(self, timeout: float | None, in_thread: bool = False) -> Emission[SenderT] | None:
        """Wait for the next emission: in a loop, or blocking the thread. Return None if the stream is closed."""
        loop: Any = None
        trio: Any = None
        if not in_thread:
            loop = running_asyncio()
            if loop is None:
                trio = running_trio()
                if trio is None:
                    raise no_loop_error()
                await trio.lowlevel.checkpoint()  # as every call in trio is one
        claim = object()
        try:
            if self._turn.setdefault(0, claim) is not claim:  # atomic: two threads may try at the same time
                text = f"a stream serves one task or thread, and another one already waits for {self._event.name!r}"
                raise RuntimeError(text)
            emission = self._pop() if self._is_open else None
            if emission is not None:
                return emission
            clock = monotonic if in_thread else trio.current_time if loop is None else loop.time
            deadline = None if timeout is None else clock() + timeout
            has_slept = False
            while self._is_open:
                waiter = self._waiter = make_waiter(loop, trio)
                emission = self._pop()  # again: an emission before this found no waiter
                if emission is not None:
                    return emission
                if self._is_overflown:
                    self.close()
                    raise StreamOverflow(
                        f"a stream of {self._event.name!r} is more than {self._limit} emissions behind: take them"
                        ' faster, give it a larger buffer, or say what to drop: overflow="drop_oldest" or "drop_newest"'
                    )
                if has_slept and deadline is not None and clock() >= deadline:
                    raise self._timeout_error(timeout)
                if not self._is_open:
                    break
                await waiter.sleep(deadline)
                has_slept = True
        finally:
            if self._turn.get(0) is claim:
                self._waiter = None
                del self._turn[0]
            del self  # or the traceback of what is raised would hold it, and so its connection
        return None

    def _timeout_error(self, timeout: float | None) -> TimeoutError:
        return TimeoutError(f"{self._event.name!r} was not emitted within {timeout} seconds")

    def _cleared_error(self) -> RuntimeError:
        return RuntimeError(f"{self._event.name!r} was cleared while it was waited for")

    # The public interface

    @property
    def dropped(self) -> int:
        """How many emissions the full buffer had dropped when the last one was taken."""
        return self._seen - self._taken

    def close(self) -> None:
        """Disconnect, and empty the buffer. A task or thread that waits for the next emission leaves its loop."""
        self._is_open = False
        self._disconnect()
        self._buffer.clear()
        waiter = self._waiter
        if waiter is not None:
            waiter.wake()

    async def aclose(self) -> None:
        """Close the stream: for `contextlib.aclosing` and other code that closes async generators."""
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Emission[SenderT]:
        try:
            emission = await self._next_emission(None)
        finally:
            del self  # as in `_next_emission`
        if emission is None:
            raise StopAsyncIteration
        return emission

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Emission[SenderT]:
        _check_no_loop("a for loop over a stream", self._event, "async for")
        try:
            emission: Emission[SenderT] | None = _run(self._next_emission(None, True))
        finally:
            del self  # as in `_next_emission`
        if emission is None:
            raise StopIteration
        return emission

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = f"{len(self._buffer)} waiting" if self._is_open else "closed"
        return f"<Stream of {source_text(self._event)}: {state}>"


class WaitCoroutine(Coroutine[Any, Any, Emission[SenderT]]):
    """The coroutine that `Event.wait` and `wait_any` return. It is connected before anything awaits it.

    A plain coroutine that is cancelled or closed before it begins runs none of its own code; this one disconnects.
    """

    __slots__ = ("_coroutine", "_events", "_waits")

    def __init__(
        self,
        waits: Iterable[tuple[Stream[Any], float | None]],
        coroutine: Coroutine[Any, Any, Emission[SenderT]],
        *events: EventCore,
    ) -> None:
        self._waits = waits  # the streams with their timeouts. Empty: the code of the coroutine will close them
        self._coroutine = coroutine
        self._events = events  # for the `repr`

    def __await__(self) -> Generator[Any, Any, Emission[SenderT]]:
        self._waits = ()
        return self._coroutine.__await__()

    def send(self, value: Any) -> Any:
        """Run to the next step."""
        self._waits = ()
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """Run to the next step, from an exception."""
        self._close_streams()
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """End it."""
        self._close_streams()
        self._coroutine.close()

    @property
    def __name__(self) -> str:
        name: str = getattr(self._coroutine, "__qualname__")  # noqa: B009 (its type has no such attribute)
        return name  # asyncio shows it in the repr of a task

    def __repr__(self) -> str:
        state = "not awaited yet" if self._waits else "waiting"
        if getattr(self._coroutine, "cr_frame", self) is None:
            state = "over"
        return f"<wait for {' or '.join([source_text(event) for event in self._events])}: {state}>"

    def take(self) -> Iterable[tuple[Stream[Any], float | None]]:
        """End it without closing its streams, and return them; nothing if it has begun or ended before."""
        waits, self._waits = self._waits, ()
        if waits:
            self._coroutine.close()
        return waits

    def _close_streams(self) -> None:
        waits, self._waits = self._waits, ()
        for stream, _ in waits:
            stream.close()


async def _first(stream: Stream[SenderT], timeout: float | None, in_thread: bool = False) -> Emission[SenderT]:
    try:
        emission = await stream._next_emission(timeout, in_thread)
    finally:
        stream.close()
    if emission is None:
        raise stream._cleared_error()
    return emission


_first.__qualname__ = "Event.wait"  # the name in the warning about a coroutine that was never awaited


def _check_no_loop(what: str, event: EventCore, instead: str) -> None:
    """Refuse to block a thread in which an event loop runs."""
    if running_asyncio() is not None or running_trio() is not None:
        raise RuntimeError(f"{what} of {event.name!r} would block this thread's event loop: use {instead}")


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that blocks and never suspends; return what it returns."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    finally:
        coroutine.close()  # if a signal handler has raised before it began, nobody awaits it


_of_waits = count()  # one for the emissions of all waits, so that `wait_any` can tell which came first
