"""`Event`: what a user connects handlers to and emits; the shell over a core."""

from __future__ import annotations

import sys
from types import FunctionType, GenericAlias

from ._backend import CONDITION, ONCE, THREAD, WITH_EVENT, Entry, EventCore, handler_key, install_methods
from ._common import ANY, AnySender, handler_name, plain, shown
from ._handlers import is_unbound_method, kind_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType, TracebackType
    from typing import Any, Concatenate, Literal, NoReturn, overload

    from ._emission import Emission
    from ._handlers import Kind
    from ._namespace import Namespace
    from ._signatures import Declared
    from ._streams import Overflow, Stream
    from ._typing import ArgsP, SenderT, Undeclared
    from ._watching import Place

    ErrorPolicy = Literal["raise", "group"] | Callable[[Exception, Any, "Event[Any]", Any], object] | None
else:
    SenderT = ArgsP = None


@install_methods
class Event(EventCore[SenderT, ArgsP]):
    """Something that happens in a program, by name: handlers are connected to it, and it is emitted.

    Events are mostly made by `event(name)` or `namespace.event(name)`, which give the same one for the
    same name; one made by calling `Event` stands alone, in no namespace. `Event[Order]` tells type
    checkers what its senders are, `Event[Order, [int, str]]` what it is emitted with besides.

    Args:
        name: a non-empty string, and no pattern.
        doc: what the event means; becomes its `__doc__`.
        on_error: what is done with an `Exception` of a handler, see `on_error`.
        signature: a function that takes what the event is emitted with, the sender first. Type checkers hold
            emissions and handlers against it. It is never called.
        check: refuse handlers, and conditions, that cannot take what `signature` does, when they are connected.

    Raises:
        TypeError: if the name is no non-empty string, `on_error` no policy, the signature not that of a handler,
            or there is none to check.
        ValueError: if the name is a pattern, or `on_error` an unknown word.

    Thread-safety: every method may be called from any thread at any time, from handlers, finalizers and
    signal handlers too. Neither an emission nor a change holds a lock while user code runs.

    Example:
        >>> from cyevents import Event
        >>> order_placed = Event("order.placed")
        >>> @order_placed.connect
        ... def confirm(sender, **kwargs):
        ...     return f"confirmed {sender}"
        >>> order_placed.emit("order 7")
        ['confirmed order 7']
        >>> order_placed
        <Event 'order.placed': 1 handler>
    """

    __slots__ = ("__dict__", "_name", "_namespace", "_on_error", "_signature")

    _name: str
    _namespace: Namespace | None
    _on_error: ErrorPolicy
    _signature: Declared  # where `_is_checked`

    def __init__(
        self,
        name: str,
        doc: str | None = None,
        *,
        on_error: ErrorPolicy = None,
        signature: Callable[Concatenate[SenderT, ArgsP], object] | None = None,
        check: bool = False,
    ) -> None:
        self._name = checked_name(name)
        self._namespace = None
        self._on_error = checked_policy(on_error)
        super().__init__()
        if doc is not None:
            self.__doc__ = doc
        if signature is not None or check:
            self._declare(signature, check)
        for place in _everywhere:
            place.meet(self)

    def _declare(self, signature: Any, check: bool) -> None:
        """Note what the event is emitted with, if handlers are to be checked against it."""
        if signature is not None and not callable(signature):
            raise TypeError(
                f"signature must be a function that takes what the event is emitted with, not {shown(signature)}"
            )
        if check:
            from . import _signatures

            _signatures.declare(self, signature)

    @property
    def name(self) -> str:
        """The event's name, a string."""
        return self._name

    @property
    def on_error(self) -> ErrorPolicy:
        """What is done with an `Exception` that a handler raises.

        - `None`: what the namespace says; where that says nothing, `"raise"`.
        - `"raise"`: it propagates to the emitter as it is, and the remaining handlers are not called.
        - `"group"`: all handlers are called, then what they raised is raised as one `ExceptionGroup`.
        - a callable `(exception, handler, event, sender)`: it gets each one, those of handlers that `emit`
          scheduled too (in their loop), and of conditions; the emission goes on. What it raises propagates.

        Other `BaseException` (`KeyboardInterrupt`, `SystemExit`) always propagate.

        Raises:
            TypeError: when set to something else, or to a coroutine function.
            ValueError: when set to another word.
        """
        return self._on_error

    @on_error.setter
    def on_error(self, policy: ErrorPolicy) -> None:
        self._on_error = checked_policy(policy)

    # Connecting: `connect` itself is the core's

    def _add(
        self,
        receiver: Any,
        sender: Any,
        weak: bool,
        priority: int,
        condition: Any,
        once: bool,
        with_event: bool,
        thread: bool,
        frame: FrameType | None,
    ) -> tuple[Entry, Entry | None]:
        """Connect on behalf of the caller whose frame that is; return the new entry and the one that it replaced."""
        if not callable(receiver):
            check_handler(receiver)
        if type(priority) is not int or condition is not None:
            priority = checked_options(priority, condition)
        if self._is_checked:
            self._signature.check(receiver, condition, with_event)
        flags = 0 if condition is None else CONDITION
        if once:
            flags |= ONCE
        if with_event:
            flags |= WITH_EVENT
        if thread and kind_of(receiver) in ("sync", "generator"):
            flags |= THREAD
        name = receiver.__qualname__ if type(receiver) is FunctionType else handler_name(receiver)
        added = self._connect(receiver, sender, weak, priority, condition, flags, name, frame)
        if is_unbound_method(receiver):
            _warn(
                f"{name} takes self, but is connected as a plain function and will be called without one:"
                " connect the bound method of an object instead",
                frame,
            )
        return added

    def disconnect(self, receiver: Callable[..., Any], sender: SenderT | AnySender = ANY) -> bool:
        """Disconnect a handler: an emission that has not called it yet, will not.

        Args:
            receiver: the handler. One that is not connected is no error.
            sender: the sender it was connected for; `ANY` removes all its connections to this event.

        Returns:
            Whether something was removed.

        Thread-safe. Does not wait for a call of the handler that runs in another thread.
        """
        return self._disconnect(receiver, sender)

    def clear(self) -> None:
        """Disconnect all handlers, of all senders. Those of patterns that match the event stay.

        Streams of the event end, and a `wait` for it is a `RuntimeError`.
        """
        streams = () if _streams is None else _streams.streams_of(self)
        self._clear()
        for stream in streams:
            stream.close()

    if TYPE_CHECKING:

        @overload
        def subscribe(
            self: Event[SenderT, [Undeclared]],
            receiver: Callable[..., Any],
            sender: SenderT | AnySender = ...,
            weak: bool = ...,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            *,
            once: bool = ...,
            with_event: bool = ...,
            thread: bool = ...,
        ) -> Subscription: ...
        @overload
        def subscribe(
            self,
            receiver: Callable[Concatenate[SenderT, ArgsP], object],
            sender: SenderT | AnySender = ...,
            weak: bool = ...,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            *,
            once: bool = ...,
            with_event: Literal[False] = ...,
            thread: bool = ...,
        ) -> Subscription: ...
        @overload
        def subscribe(
            self,
            receiver: Callable[..., Any],
            sender: SenderT | AnySender = ...,
            weak: bool = ...,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            *,
            once: bool = ...,
            with_event: Literal[True],
            thread: bool = ...,
        ) -> Subscription: ...

    def subscribe(
        self,
        receiver: Callable[..., Any],
        sender: SenderT | AnySender = ANY,
        weak: bool = True,
        priority: int = 0,
        condition: Callable[..., object] | None = None,
        *,
        once: bool = False,
        with_event: bool = False,
        thread: bool = False,
    ) -> Subscription:
        """Connect a handler and return what holds it, and disconnects it: a `Subscription`.

        Takes and raises what `connect` does. The handler may be a lambda: it lives as long as the
        subscription.

        Example:
            >>> from cyevents import Event
            >>> ticked = Event("ticked")
            >>> with ticked.subscribe(lambda sender: "tock"):
            ...     ticked.emit("clock")
            ['tock']
            >>> ticked.emit("clock")
            []
        """
        entry, _ = self._add(
            receiver, sender, weak, priority, condition, once, with_event, thread, sys._getframe().f_back
        )
        return Subscription(self, receiver, entry)

    if TYPE_CHECKING:

        @overload
        def connected_to(
            self: Event[SenderT, [Undeclared]],
            receiver: Callable[..., Any],
            sender: SenderT | AnySender = ...,
            weak: bool = ...,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            *,
            once: bool = ...,
            with_event: bool = ...,
            thread: bool = ...,
        ) -> ConnectedTo: ...
        @overload
        def connected_to(
            self,
            receiver: Callable[Concatenate[SenderT, ArgsP], object],
            sender: SenderT | AnySender = ...,
            weak: bool = ...,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            *,
            once: bool = ...,
            with_event: Literal[False] = ...,
            thread: bool = ...,
        ) -> ConnectedTo: ...
        @overload
        def connected_to(
            self,
            receiver: Callable[..., Any],
            sender: SenderT | AnySender = ...,
            weak: bool = ...,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            *,
            once: bool = ...,
            with_event: Literal[True],
            thread: bool = ...,
        ) -> ConnectedTo: ...

    def connected_to(
        self,
        receiver: Callable[..., Any],
        sender: SenderT | AnySender = ANY,
        weak: bool = True,
        priority: int = 0,
        condition: Callable[..., object] | None = None,
        *,
        once: bool = False,
        with_event: bool = False,
        thread: bool = False,
    ) -> ConnectedTo:
        """Connect a handler for the length of a `with`, then restore exactly what stood before.

        Takes and raises what `connect` does, when the `with` is entered. If meanwhile someone has
        changed the connection, or its handler or sender has died, it is left as it is.

        Example:
            >>> from cyevents import Event
            >>> ticked = Event("ticked")
            >>> with ticked.connected_to(lambda sender: "tock"):
            ...     ticked.emit("clock")
            ['tock']
        """
        options = {"weak": weak, "priority": priority, "condition": condition}
        options |= {"once": once, "with_event": with_event, "thread": thread}
        return ConnectedTo(self, receiver, sender, options)

    def muted(self, *receivers: Callable[..., Any]) -> Muted:
        """Silence the event, or only some handlers, for the length of a `with`.

        Holds for emissions that begin while it holds, in all threads. Nests. Of a pattern, it silences
        what is connected to the pattern.

        Args:
            *receivers: the handlers to silence, those of patterns included; none for the whole event.

        Raises:
            TypeError: if a receiver is not callable.

        Example:
            >>> from cyevents import Event
            >>> ticked = Event("ticked")
            >>> @ticked.connect
            ... def tock(sender):
            ...     return "tock"
            >>> with ticked.muted():
            ...     ticked.emit("clock")
            []
        """
        for receiver in receivers:
            check_handler(receiver)
        return Muted(self, receivers)

    # Emitting

    def emit_async(
        self, /, sender: SenderT | AnySender = ANY, *args: ArgsP.args, **kwargs: ArgsP.kwargs
    ) -> Coroutine[Any, Any, list[Any]]:
        """Emit and await the handlers: those of one priority in parallel, a lower priority after the higher.

        Sync handlers are called in place, async ones run as tasks (eagerly started from Python 3.12 on).
        Any handler but an async generator can cancel the lower priorities by returning `False`.

        Args:
            sender: who emits.
            *args: positionals for the handlers.
            **kwargs: keywords for the handlers.

        Returns:
            An awaitable of the list of results: as that of `emit`, with what async handlers returned, and
            for async generators a list of what they yielded, in dispatch order.

        Raises:
            Exception: what a handler raised, first in dispatch order, once its priority is done; others go to
                the loop's exception handler. `on_error` may say otherwise.
            ValueError: for a pattern, when called.
            RuntimeError: when awaited where neither asyncio's nor trio's loop runs.
            ImportError: when awaited under trio, without anyio: `pip install "cyevents[anyio]"`.

        When it is cancelled, it cancels its handlers and waits for them: nothing is left behind.

        Example:
            >>> import asyncio
            >>> from cyevents import Event
            >>> fetched = Event("fetched")
            >>> @fetched.connect
            ... async def measure(page):
            ...     await asyncio.sleep(0)
            ...     return len(page)
            >>> asyncio.run(fetched.emit_async("text"))
            [4]
        """
        observer = self._observer
        if observer is not None:
            observed: Coroutine[Any, Any, list[Any]] = observer.emit_async(self, sender, args, kwargs)
            return observed
        emission: Coroutine[Any, Any, list[Any]] = (_aio or _load_aio()).emit_async(self, sender, args, kwargs)
        return emission

    # Waiting

    def wait(
        self,
        sender: SenderT | AnySender = ANY,
        condition: Callable[..., object] | None = None,
        timeout: float | None = None,
        *,
        priority: int = 0,
    ) -> Coroutine[Any, Any, Emission[SenderT]]:
        """Await the next emission: `await event.wait()`. Of a pattern, the next of an event that matches.

        It listens from the call on: what is emitted between the call and the `await` is not missed. However it
        ends, nothing stays connected.

        Args:
            sender: only this sender's emissions; `ANY` for all.
            condition: called as `condition(sender, **kwargs)`, where the event is emitted; a false answer passes
                the emission over.
            timeout: how long to wait at most, in seconds, from the `await` on.
            priority: among the handlers, at which priority it listens: an emission that was cancelled before
                its turn is not heard.

        Returns:
            An awaitable of an `Emission`, with `event`, `sender`, `args` and `kwargs`.

        Raises:
            TypeError: if an argument is of a wrong type; when called.
            TimeoutError: when the time is up.
            RuntimeError: when awaited where neither asyncio's nor trio's loop runs, or if the event is cleared.

        Emissions may come from any thread.

        Example:
            >>> import asyncio
            >>> from cyevents import Event
            >>> replied = Event("replied")
            >>> async def main():
            ...     reply = replied.wait("the server")
            ...     replied.emit("the server", status=200)
            ...     return (await reply).kwargs
            >>> asyncio.run(main())
            {'status': 200}
        """
        waiting: Coroutine[Any, Any, Emission[SenderT]] = (_streams or _load_streams()).wait(
            self, sender, condition, timeout, priority
        )
        return waiting

    def stream(
        self,
        sender: SenderT | AnySender = ANY,
        condition: Callable[..., object] | None = None,
        *,
        buffer: int = 1000,
        overflow: Overflow = "raise",
        priority: int = 0,
    ) -> Stream[SenderT]:
        """The emissions from now on, one after the other: `async for emission in event.stream()`.

        It listens from the call on, until it is closed, by `close` or at the end of an `async with`, or let go of,
        as by a `break` out of the loop. An emission never waits for who takes it: it goes to a buffer.

        Args:
            sender: only this sender's emissions; `ANY` for all.
            condition: called as `condition(sender, **kwargs)`, where the event is emitted; a false answer passes
                the emission over.
            buffer: how many emissions may be waiting to be taken.
            overflow: what happens when there is one more. `"raise"`: the stream gives what it has, then raises
                `StreamOverflow`. `"drop_oldest"` and `"drop_newest"`: one is dropped, and counted by `dropped`.
            priority: among the handlers, at which priority it listens: an emission that was cancelled before
                its turn is not heard.

        Returns:
            A `Stream` of `Emission`, for one task at a time.

        Raises:
            TypeError: if an argument is of a wrong type.
            ValueError: if the buffer holds nothing, or the word for `overflow` is unknown.

        Emissions may come from any thread.

        Example:
            >>> import asyncio
            >>> from cyevents import Event
            >>> ticked = Event("ticked")
            >>> async def main():
            ...     async with ticked.stream() as ticks:
            ...         ticked.emit("clock", 1)
            ...         ticked.emit("clock", 2)
            ...         async for tick in ticks:
            ...             print(tick)
            ...             if tick.args == (2,):
            ...                 break
            >>> asyncio.run(main())
            emit('ticked', 'clock', 1)
            emit('ticked', 'clock', 2)
        """
        made: Stream[SenderT] = (_streams or _load_streams()).stream(
            self, sender, condition, priority, buffer, overflow
        )
        return made

    # Introspection

    @property
    def handlers(self) -> list[Connection]:
        """The connections in dispatch order, those of patterns that match the event included."""
        return [
            connection
            for entry, sender, source in self._connections()
            if (connection := _connection(entry, sender, source, self)) is not None
        ]

    def has_handlers_for(self, sender: SenderT | AnySender) -> bool:
        """Whether an emission by this sender would now find a handler.

        Says nothing about conditions, which are asked when a handler's turn comes. False while muted.
        """
        return self._reaches(sender)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        own = wild = 0
        for _, _, source in self._connections():
            own += source is self
            wild += source is not self
        text = f"{own} handler{'s' * (own != 1)}"
        if wild:
            text += f", {wild} by pattern"
        return f"<{type(self).__name__} {self._name!r}: {text}>"

    if not TYPE_CHECKING:

        def __class_getitem__(cls, types: object) -> GenericAlias:
            """`Event[Order, [int, str]]`: with a tuple for the list, so that it can be hashed, as in typing's own."""
            if type(types) is tuple:
                types = tuple([tuple(it) if type(it) is list else it for it in types])
            return GenericAlias(cls, types)

    def __copy__(self) -> Event[SenderT, ArgsP]:
        return self  # an event is who it is

    def __deepcopy__(self, memo: object) -> Event[SenderT, ArgsP]:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"event {self._name!r} cannot be pickled: send its name, and find it by that in its namespace")

    # What the core asks for

    def _schedule(self, result: Any, kind: int, handler: Any, sender: Any) -> None:
        try:
            aio = _aio or _load_aio()
        except ImportError as error:  # the interpreter is exiting, and imports nothing any more
            close = getattr(result, "close", None)
            if close is not None:
                close()
            if sys.stderr is not None:  # and no logging can be had
                what = f"async handler {shown(handler)} of {self._name!r}"
                print(f"cyevents: {what} is not run: {error}", file=sys.stderr)
        else:
            aio.schedule(self, result, kind, handler, sender)

    def _error_policy(self) -> Any:
        policy = self._on_error
        if policy is None and self._namespace is not None:
            policy = self._namespace.on_error
        return "raise" if policy is None else policy

    def _grouped(self, errors: list[Exception]) -> Exception:
        return ExceptionGroup(f"{len(errors)} handlers of {self._name!r} failed", errors.copy())  # it keeps the list

    def _condition_failed(self, error: Exception, entry: Entry, handler: Any, sender: Any) -> None:
        observer = self._observer
        if observer is not None:
            observer.condition_failed(error)
        policy = self._error_policy()
        if callable(policy):
            policy(error, handler, self, sender)
            return
        import logging

        level = logging.DEBUG if entry.warned() else logging.WARNING
        logging.getLogger("cyevents").log(
            level, "condition of handler %s of event %r raised: handler skipped", entry.name, self._name, exc_info=error
        )

    def _warn_vanished(self, name: str, frame: FrameType) -> None:
        _warn(
            f"handler {name} of event {self._name!r} has died on the spot and will never be called, since nothing else"
            " holds it: keep a reference, use subscribe(), or connect it with weak=False",
            frame,
        )

    def _log_lost(self) -> None:
        logging: Any = sys.modules.get("logging")
        if logging is None:  # nobody listens
            self._lost.clear()
        while self._lost:
            try:
                name = self._lost.pop(0)
            except IndexError:  # another thread was faster
                return
            logging.getLogger("cyevents").debug("handler %s of event %r has died", name, self._name)


class Pattern(Event):
    """An event for a pattern of names: what is connected to it hears all events of the namespace that match.

    Made by `event(pattern)`. It connects and disconnects as any event does, but cannot be emitted.
    """

    __slots__ = ("matches",)

    matches: Callable[[str], object]

    def emit(self, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> list[Any]:
        """Raise `ValueError`: a pattern cannot be emitted."""
        raise pattern_error(self._name)

    def send(self, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
        """Raise `ValueError`: a pattern cannot be emitted."""
        raise pattern_error(self._name)

    def emit_async(self, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, list[Any]]:
        """Raise `ValueError`: a pattern cannot be emitted."""
        raise pattern_error(self._name)


class Subscription:
    """A connection that can be cancelled, and that holds its handler; made by `Event.subscribe`.

    Leaving its `with` cancels it. It removes only the connection that it made, not a later one of the same handler.
    Thread-safe.
    """

    __slots__ = ("_entry", "_event", "_receiver")

    def __init__(self, event: Event[Any], receiver: Callable[..., Any], entry: Entry) -> None:
        self._event = event
        self._receiver: Callable[..., Any] | None = receiver
        self._entry: Entry | None = entry  # None: cancelled

    def cancel(self) -> bool:
        """Disconnect the handler and let go of it. Return whether the connection still stood."""
        entry = self._entry
        removed = entry is not None and self._event._disconnect_entry(entry)
        self._entry = self._receiver = None
        return removed

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.cancel()

    def __repr__(self) -> str:
        entry = self._entry
        state = "cancelled" if entry is None else f"of {entry.name}"
        return f"<Subscription {state} to {self._event._name!r}>"


class ConnectedTo:
    """The context manager of `Event.connected_to`. May be entered again, and nested in itself."""

    __slots__ = ("_connected", "_event", "_options", "_receiver", "_sender")

    def __init__(self, event: Event[Any], receiver: Any, sender: Any, options: dict[str, Any]) -> None:
        self._event = event
        self._receiver = receiver
        self._sender = sender
        self._options = options
        self._connected: list[tuple[Entry, Entry | None]] = []

    def __enter__(self) -> Event[Any]:
        added = self._event._add(self._receiver, self._sender, **self._options, frame=sys._getframe().f_back)
        try:
            self._connected.append(added)
        except MemoryError:
            self._event._restore(*added, self._sender)
            raise
        return self._event

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entry, previous = self._connected.pop()
        self._event._restore(entry, previous, self._sender)


class Muted:
    """The context manager of `Event.muted`. May be entered again, and nested in itself."""

    __slots__ = ("_event", "_keys", "_receivers")

    def __init__(self, event: Event[Any], receivers: tuple[Callable[..., Any], ...]) -> None:
        self._event = event
        self._receivers = receivers  # held, so that the keys stay theirs
        self._keys = [handler_key(receiver) for receiver in receivers] or [None]

    def __enter__(self) -> Event[Any]:
        self._event._mute(self._keys, 1)
        return self._event

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._event._mute(self._keys, -1)


class Connection:
    """What `Event.handlers` tells about one connection, as it stood when asked.

    Attributes:
        handler: the handler.
        sender: the sender it is connected for, or `ANY`.
        priority: an int; higher is called earlier.
        condition: the condition, or `None`.
        weak: whether the handler is held weakly.
        once: whether it is called once only.
        kind: `"sync"`, `"async"`, `"generator"` or `"async_generator"`, as far as the handler's looks tell.
        with_event: whether it gets the event as a keyword.
        thread: whether `emit_async` runs it in a thread.
        pattern: the pattern that it is connected to, a string, or `None` if it is the event itself.
    """

    __slots__ = (
        "condition",
        "handler",
        "kind",
        "once",
        "pattern",
        "priority",
        "sender",
        "thread",
        "weak",
        "with_event",
    )

    handler: Callable[..., Any]
    sender: Any
    priority: int
    condition: Callable[..., object] | None
    weak: bool
    once: bool
    kind: Kind
    with_event: bool
    thread: bool
    pattern: str | None

    def __repr__(self) -> str:
        said = [handler_name(self.handler), self.kind]
        if self.sender is not ANY:
            said.append(f"sender={shown(self.sender)}")
        if self.priority:
            said.append(f"priority={self.priority}")
        if self.condition is not None:
            said.append(f"condition={handler_name(self.condition)}")
        said += [f"{option}=True" for option in ("once", "with_event", "thread") if getattr(self, option)]
        if not self.weak:
            said.append("weak=False")
        if self.pattern is not None:
            said.append(f"pattern={self.pattern!r}")
        return f"<Connection {', '.join(said)}>"


def _connection(entry: Entry, sender: Any, source: Any, event: Event[Any]) -> Connection | None:
    handler = entry.get()
    if handler is None or entry.spent:
        return None
    connection = Connection()
    connection.handler = handler
    connection.sender = sender
    connection.priority = entry.priority
    connection.condition = entry.condition
    connection.weak = entry.weak
    connection.once = bool(entry.flags & ONCE)
    connection.kind = kind_of(handler)
    connection.with_event = bool(entry.flags & WITH_EVENT)
    connection.thread = bool(entry.flags & THREAD)
    connection.pattern = source._name if isinstance(source, Pattern) else None
    return connection


# Checks


def check_handler(handler: object) -> None:
    """Raise unless this can be called."""
    if not callable(handler):
        raise TypeError(f"a handler must be callable, not {shown(handler)}")


def checked_name(name: object) -> str:
    """Raise unless this is the name of one event; return it as a plain str."""
    name = plain(name)
    if type(name) is not str or not name:
        raise TypeError(f"an event's name must be a non-empty str, not {shown(name)}")
    if is_pattern(name):
        raise ValueError(f"{name!r} is a pattern, which belongs to a namespace: use namespace.event({name!r})")
    return name


def is_pattern(name: str) -> bool:
    """Whether a name stands for all that match it: by a `*` or `?` in it, or a leading `!`."""
    return "*" in name or "?" in name or name[:1] == "!"


def pattern_error(name: str) -> ValueError:
    """The error of emitting to a pattern."""
    return ValueError(f"{name!r} is a pattern and cannot be emitted: emit an event by its own name")


def checked_options(priority: Any, condition: Any) -> int:
    """Raise unless these can be a handler's; return the priority as a plain int."""
    if not issubclass(type(priority), int):
        raise TypeError(f"priority must be an int, not {shown(priority)}")
    if condition is not None:
        if not callable(condition):
            raise TypeError(f"condition must be callable or None, not {shown(condition)}")
        if kind_of(condition) in ("async", "async_generator"):
            raise TypeError(
                f"condition {handler_name(condition)} is a coroutine function: a condition must answer at once"
            )
    return int.__index__(priority)


def checked_policy(policy: Any) -> Any:
    """Raise unless this is one for `on_error`; return it."""
    policy = plain(policy)
    if type(policy) is str:
        if policy not in ("raise", "group"):
            raise ValueError(f'on_error must be None, "raise", "group" or a callable, not {policy!r}')
    elif policy is not None:
        if not callable(policy):
            raise TypeError(f'on_error must be None, "raise", "group" or a callable, not {shown(policy)}')
        if kind_of(policy) in ("async", "async_generator"):
            raise TypeError(f"on_error {handler_name(policy)} is a coroutine function: it must act at once")
    return policy


def _warn(message: str, frame: FrameType | None) -> None:
    """Give a RuntimeWarning at a frame's line."""
    import warnings

    if frame is None:  # it is a thread of C code's
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        return
    names = frame.f_globals
    warnings.warn_explicit(
        message,
        RuntimeWarning,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=names.get("__name__", "<unknown>"),
        registry=names.setdefault("__warningregistry__", {}),
        source=None,
    )


_everywhere: tuple[Place, ...] = ()  # what is shown each event that is made, in whatever namespace


_aio: Any = None  # what needs asyncio, imported when the first async handler is met; it puts itself here


_streams: Any = None  # what waits for emissions, likewise


def _load_aio() -> Any:
    from . import _aio as module

    return module


def _load_streams() -> Any:
    from . import _streams as module

    return module
