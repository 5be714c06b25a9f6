"""`Event`: what a user connects handlers to and emits; the shell over a core."""

from __future__ import annotations

import sys
from types import FunctionType, GenericAlias

from ._checks import (
    check_bool,
    check_flags,
    check_handler,
    checked_name,
    checked_options,
    checked_policy,
    pattern_error,
)
from ._connection import ConnectedTo, Connection, Muted, Subscription, connection_of, undo_connection
from ._core import CONDITION, ONCE, THREAD, WITH_EVENT, Entry, EventCore, expect_death, install_methods
from ._core._frames import warn
from ._core._safe import handler_name, not_an_event, safe_repr
from ._core._values import ANY, AnySender
from ._decorator import Decorator
from ._handlers import coroutine_function, kind_of, takes_sender_as_self
from ._log import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from types import FrameType
    from typing import Any, Concatenate, Generic, Literal, NoReturn, Unpack, overload

    from ._async.streams import Overflow, Stream
    from ._emission import Emission
    from ._public import Namespace
    from ._signatures import Declared
    from ._typing import (
        AnyOptions,
        ArgsP,
        EventOptions,
        EventScope,
        Flags,
        HandlerT,
        Options,
        ResultT,
        SenderT,
        Undeclared,
    )
    from ._typing import Decorator as TypedDecorator

    ErrorPolicy = Literal["raise", "group"] | Callable[[Exception, Any, "Event[Any]", Any], object] | None

    class _GenericCore(EventCore, Generic[SenderT, ArgsP]):
        pass
else:
    SenderT = ArgsP = None
    _GenericCore = {(SenderT, ArgsP): EventCore}  # so that the class statement below finds the core itself


@install_methods
class Event(_GenericCore[SenderT, ArgsP]):
    """Something that happens in a program, by name: handlers are connected to it, and it is emitted.

    Events are mostly made by `event(name)` or `namespace.event(name)`, which give the same one for the
    same name; one made by calling `Event` belongs to no namespace. `Event[Order]` declares the type of its
    senders for type checkers, `Event[Order, [int, str]]` also the arguments that it is emitted with.

    Args:
        name: a non-empty string that is not a pattern.
        doc: what the event means; becomes its `__doc__`.
        on_error: what is done with an `Exception` of a handler, see `on_error`.
        signature: a function that takes what the event is emitted with, the sender first. Type checkers hold
            emissions and handlers against it. It is never called.
        check: refuse handlers, and conditions, that cannot take what `signature` does, when they are connected.

    Raises:
        TypeError: if the name is not a non-empty string, `on_error` not a policy, the signature not that of a
            handler, or `check` is true without a signature.
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
        if signature is not None or check is not False:
            self._declare(signature, check)
        for scope in tuple(global_scopes):  # other threads may change it
            scope.attach(self)

    def _declare(self, signature: Any, check: bool) -> None:
        """Note what the event is emitted with, if handlers are to be checked against it."""
        check_bool("check", check)
        if signature is not None and not callable(signature):
            raise TypeError(
                f"signature must be a function that takes what the event is emitted with, not {safe_repr(signature)}"
            )
        if not check:
            return
        if signature is None:
            raise TypeError(
                "check=True needs a signature to check handlers against: give signature=, a function that takes what"
                f" {self._name!r} is emitted with, the sender first"
            )
        from ._signatures import Declared

        declared = Declared(self._name, signature)
        previous = self._signature if self._is_checked else None
        self._signature = declared
        self._is_checked = True  # before the connected handlers are checked: no other one is connected in between
        try:
            for entry, _, source in self._connections():
                handler = entry.get()
                if source is self and handler is not None:
                    declared.check(handler, entry.condition, bool(entry.flags & WITH_EVENT))
        except TypeError:
            self._is_checked = previous is not None
            if previous is not None:
                self._signature = previous
            raise

    @property
    def name(self) -> str:
        """The event's name, a string."""
        return self._name

    @property
    def namespace(self) -> Namespace | None:
        """The `Namespace` that made the event, or `None` if it was made by calling `Event`."""
        return self._namespace

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
        if self._is_hidden():  # the policy keeps it in the cache
            self._attach_patterns([])

    if TYPE_CHECKING:  # what the core does, with its types

        @overload
        def connect(
            self: Event[SenderT, [Undeclared]],
            receiver: HandlerT,
            sender: SenderT | AnySender = ...,
            **options: Unpack[AnyOptions],
        ) -> HandlerT: ...
        @overload
        def connect(
            self,
            receiver: Callable[Concatenate[SenderT, ArgsP], ResultT],
            sender: SenderT | AnySender = ...,
            **options: Unpack[Options],
        ) -> Callable[Concatenate[SenderT, ArgsP], ResultT]: ...
        @overload
        def connect(
            self, receiver: HandlerT, sender: SenderT | AnySender = ..., **options: Unpack[EventOptions]
        ) -> HandlerT: ...
        @overload
        def connect(
            self,
            receiver: Callable[Concatenate[SenderT, ArgsP], ResultT],
            sender: SenderT | AnySender,
            weak: bool,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            /,
            *,
            with_event: bool = ...,
            **options: Unpack[Flags],
        ) -> Callable[Concatenate[SenderT, ArgsP], ResultT]: ...
        @overload
        def connect(
            self, *, sender: SenderT | AnySender = ..., **options: Unpack[Options]
        ) -> TypedDecorator[SenderT, ArgsP]: ...
        @overload
        def connect(
            self, *, sender: SenderT | AnySender = ..., **options: Unpack[EventOptions]
        ) -> Callable[[HandlerT], HandlerT]: ...
        def connect(self, receiver: Any = ..., *args: Any, **options: Any) -> Any:
            pass

        def emit(self, /, sender: SenderT | AnySender = ANY, *args: ArgsP.args, **kwargs: ArgsP.kwargs) -> list[Any]:
            pass

        def send(
            self, /, sender: SenderT | AnySender = ANY, *args: ArgsP.args, **kwargs: ArgsP.kwargs
        ) -> list[tuple[Any, Any]]:
            pass

    # Connecting

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
        made: list[Entry | None] | None = None,
    ) -> tuple[Entry, Entry | None]:
        """Connect on behalf of the caller whose frame that is; return the new entry and the one that it replaced.

        Both are put into `made` before the connection is made, for callers that must undo it when they are interrupted.
        """
        if not callable(receiver):
            check_handler(receiver)
        if type(priority) is not int or condition is not None:
            priority = checked_options(priority, condition)
        if type(weak) is not bool or not type(once) is type(with_event) is type(thread) is bool:
            check_flags(sender, weak, once, with_event, thread)
        if self._is_checked:
            self._signature.check(receiver, condition, with_event)
        flags = 0 if condition is None else CONDITION
        if once:
            flags |= ONCE
        if with_event:
            flags |= WITH_EVENT
        if thread and kind_of(receiver) in ("sync", "generator"):
            flags |= THREAD
        if type(receiver) is not FunctionType:
            name = handler_name(receiver)
        else:
            name = receiver.__qualname__
            if takes_sender_as_self(receiver, sender):  # before it is connected: a warning may be an exception
                warn(
                    f"{name} takes self, but is connected as a plain function: {self._name!r} will call it with the"
                    " sender as self. To call it on an object, connect the object's bound method; the decorator"
                    " cannot do that in a class body. If self is meant to be the sender, name the parameter sender",
                    frame,
                )
        return self._connect(receiver, sender, weak, priority, condition, flags, name, frame, made)

    def _decorator(
        self,
        sender: Any,
        weak: bool,
        priority: int,
        condition: Any,
        once: bool,
        with_event: bool,
        thread: bool,
        frame: FrameType | None,
    ) -> Any:
        checked_options(priority, condition)
        check_flags(sender, weak, once, with_event, thread)

        def connect(handler: Any, frame: FrameType | None) -> None:
            self._add(handler, sender, weak, priority, condition, once, with_event, thread, frame)

        return Decorator(connect, sender, f"connect(...) of {self._name!r}", frame)

    def disconnect(self, receiver: Callable[..., Any], sender: SenderT | AnySender = ANY) -> bool:
        """Disconnect a handler: an emission that has not called it yet, will not.

        Args:
            receiver: the handler. One that is not connected is no error.
            sender: the sender it was connected for; `ANY` removes all its connections to this event.

        Returns:
            Whether something was removed.

        Thread-safe. Does not wait for a call of the handler that runs in another thread.
        """
        if not isinstance(self, EventCore):
            raise not_an_event(self, "disconnect")
        return self._disconnect(receiver, sender)

    def clear(self) -> None:
        """Disconnect all handlers, of all senders. Those of patterns that match the event stay.

        Streams of the event end, and a `wait` for it is a `RuntimeError`.
        """
        streams = () if _Stream is None else _Stream._connected_to(self)
        self._clear()
        for stream in streams:
            stream.close()

    if TYPE_CHECKING:

        @overload
        def subscribe(
            self: Event[SenderT, [Undeclared]],
            receiver: Callable[..., Any],
            sender: SenderT | AnySender = ...,
            **options: Unpack[AnyOptions],
        ) -> Subscription: ...
        @overload
        def subscribe(
            self,
            receiver: Callable[Concatenate[SenderT, ArgsP], object],
            sender: SenderT | AnySender = ...,
            **options: Unpack[Options],
        ) -> Subscription: ...
        @overload
        def subscribe(
            self, receiver: Callable[..., Any], sender: SenderT | AnySender = ..., **options: Unpack[EventOptions]
        ) -> Subscription: ...
        @overload
        def subscribe(
            self,
            receiver: Callable[Concatenate[SenderT, ArgsP], object],
            sender: SenderT | AnySender,
            weak: bool,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            /,
            *,
            with_event: bool = ...,
            **options: Unpack[Flags],
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
        """Connect a handler and return a `Subscription`, which holds the handler and can disconnect it.

        Takes and raises what `connect` does. The handler may be a lambda: it lives as long as the
        subscription. A subscription that is discarded at once gives a `RuntimeWarning`.

        Example:
            >>> from cyevents import Event
            >>> ticked = Event("ticked")
            >>> with ticked.subscribe(lambda sender: "tock"):
            ...     ticked.emit("clock")
            ['tock']
            >>> ticked.emit("clock")
            []
        """
        made: list[Any] = []
        try:
            self._add(
                receiver, sender, weak, priority, condition, once, with_event, thread, sys._getframe().f_back, made
            )
            entry: Entry = made[0]
            expect_death(entry)
            return Subscription(self, receiver, entry)
        except BaseException:
            undo_connection(self, made, sender)
            raise

    if TYPE_CHECKING:

        @overload
        def connected_to(
            self: Event[SenderT, [Undeclared]],
            receiver: Callable[..., Any],
            sender: SenderT | AnySender = ...,
            **options: Unpack[AnyOptions],
        ) -> ConnectedTo: ...
        @overload
        def connected_to(
            self,
            receiver: Callable[Concatenate[SenderT, ArgsP], object],
            sender: SenderT | AnySender = ...,
            **options: Unpack[Options],
        ) -> ConnectedTo: ...
        @overload
        def connected_to(
            self, receiver: Callable[..., Any], sender: SenderT | AnySender = ..., **options: Unpack[EventOptions]
        ) -> ConnectedTo: ...
        @overload
        def connected_to(
            self,
            receiver: Callable[Concatenate[SenderT, ArgsP], object],
            sender: SenderT | AnySender,
            weak: bool,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            /,
            *,
            with_event: bool = ...,
            **options: Unpack[Flags],
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
        """Connect a handler inside a `with` block, then restore exactly the previous state.

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
        """Silence the event, or only some handlers, inside a `with` block.

        Holds for emissions that begin inside the block, in all threads. Nests. For a pattern, it silences
        the handlers that are connected to the pattern.

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

    @coroutine_function
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
        emission: Coroutine[Any, Any, list[Any]] = (_emit_async or _load_emit_async())(self, sender, args, kwargs)
        return emission

    # Waiting

    @coroutine_function
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
            priority: at which priority it is called among the handlers. It does not receive an emission that a
                handler of a higher priority has cancelled.

        Returns:
            An awaitable of an `Emission`, with `event`, `sender`, `args` and `kwargs`.

        Raises:
            TypeError: if an argument is of a wrong type; when called.
            ValueError: if the timeout is NaN; when called.
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
        waiting: Coroutine[Any, Any, Emission[SenderT]] = (_Stream or _load_stream())._wait(
            self, isinstance(self, Pattern), sender, condition, timeout, priority
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
        """Return a stream of the emissions from now on: `async for emission in event.stream()`.

        It listens from the call on, until it is closed, by `close` or at the end of an `async with`, or until nothing
        holds it any more, as after a `break` out of the loop. An emission never waits until it is taken: it goes to
        a buffer.

        Args:
            sender: only this sender's emissions; `ANY` for all.
            condition: called as `condition(sender, **kwargs)`, where the event is emitted; a false answer passes
                the emission over.
            buffer: how many emissions may be waiting to be taken.
            overflow: what happens when there is one more. `"raise"`: the stream gives what it has, then raises
                `StreamOverflow`. `"drop_oldest"` and `"drop_newest"`: one is dropped, and counted by `dropped`.
            priority: at which priority it is called among the handlers. It does not receive an emission that a
                handler of a higher priority has cancelled.

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
        made: Stream[SenderT] = (_Stream or _load_stream())(
            self, isinstance(self, Pattern), sender, condition, priority, buffer, overflow
        )
        return made

    # Introspection

    @property
    def handlers(self) -> list[Connection]:
        """The connections in dispatch order, those of patterns that match the event included."""
        return [
            connection
            for entry, sender, source in self._connections()
            if (connection := connection_of(entry, sender, source)) is not None
        ]

    def has_handlers_for(self, sender: SenderT | AnySender = ANY) -> bool:
        """Return whether an emission by this sender would now find a handler.

        Handlers of patterns count. Conditions are not called. While the event is muted, the answer is `False`.

        Args:
            sender: the sender; without one, the answer is about an emission without a sender, which only
                handlers connected for `ANY` receive.

        Returns:
            Whether a handler would be found.

        Thread-safe, and takes no lock.

        Example:
            >>> from cyevents import Event
            >>> saved = Event("saved")
            >>> @saved.connect
            ... def report(sender):
            ...     return f"{sender} saved"
            >>> saved.has_handlers_for(), saved.has_handlers_for("draft")
            (True, True)
        """
        return self._has_live_handlers(sender)

    def is_connected(self, receiver: Callable[..., Any], sender: SenderT | AnySender = ANY) -> bool:
        """Return whether a handler is connected to this event: whether `disconnect` would now remove something.

        Connections to patterns do not count, and muting changes nothing.

        Args:
            receiver: the handler. Anything that is not connected gives `False`.
            sender: the sender it was connected for; `ANY` for any connection of the handler.

        Returns:
            Whether there is such a connection. One whose handler or sender has died, or that `once` has used
            up, does not count.

        Thread-safe, and takes no lock.

        Example:
            >>> from cyevents import Event
            >>> saved = Event("saved")
            >>> def report(sender):
            ...     return f"{sender} saved"
            >>> _ = saved.connect(report, sender="draft")
            >>> saved.is_connected(report), saved.is_connected(report, "draft"), saved.is_connected(report, "letter")
            (True, True, False)
        """
        return self._has_connection(receiver, sender)

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
        namespace = self._namespace
        within = "" if namespace is None or namespace.name is None else f" in {namespace.name!r}"
        return f"<{type(self).__name__} {self._name!r}{within}: {text}>"

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

    def _schedule(
        self,
        result: Any,
        kind: int,
        handler: Any,
        sender: Any,
        entry: Entry,
        is_finalizing: Callable[[], bool] = sys.is_finalizing,
    ) -> None:
        try:
            (_schedule or _load_schedule())(self, result, kind, handler, sender, entry)
        except Exception:
            if not is_finalizing():
                raise
            close = getattr(result, "close", None)  # neither asyncio nor logging can be had any more
            if close is not None:
                close()
            stderr = getattr(sys, "stderr", None)
            if stderr is not None:
                what = f"async handler {safe_repr(handler)} of {self._name!r}"
                stderr.write(f"cyevents: {what} is not run: the interpreter is exiting\n")

    def _call_failed(
        self, error: TypeError, handler: Any, count: int, names: Iterable[str], is_consumed: bool
    ) -> Coroutine[Any, Any, Any] | None:
        try:
            from . import _binding
        except (ImportError, TypeError):  # the interpreter is exiting, and imports nothing any more
            return None
        if not _binding.is_binding_error(error):
            return None
        handler = _binding.unwrapped(handler)
        who = f"handler {_binding.handler_text(handler)} of event {self._name!r}"
        _binding.add_call_note(error, who, count, names)
        if is_consumed and kind_of(handler) in ("async", "async_generator"):
            return _binding.failing(error, handler)
        return None

    def _error_policy(self) -> Any:
        policy, namespace = self._on_error, self._namespace
        if policy is None and namespace is not None:
            policy = namespace.on_error
        return "raise" if policy is None else policy

    def _make_exception_group(self, errors: list[Exception]) -> Exception:
        return ExceptionGroup(f"{len(errors)} handlers of {self._name!r} failed", errors.copy())  # it keeps the list

    def _condition_failed(
        self, error: Exception, entry: Entry, handler: Any, sender: Any, names: Iterable[str]
    ) -> None:
        if isinstance(error, TypeError):
            self._note_condition_call(error, entry, names)
        observer = self._observer
        if observer is not None:
            observer.condition_failed(error)
        policy = self._error_policy()
        if callable(policy):
            policy(error, handler, self, sender)
            return
        log(
            "DEBUG" if entry.warned() else "WARNING",
            "condition of handler %s of event %r raised: handler skipped",
            entry.name,
            self._name,
            exc_info=error,
        )

    def _note_condition_call(self, error: TypeError, entry: Entry, names: Iterable[str]) -> None:
        try:
            from . import _binding
        except (ImportError, TypeError):  # the interpreter is exiting, and imports nothing any more
            return
        if _binding.is_binding_error(error):
            condition = _binding.handler_text(entry.condition)
            who = f"condition {condition} of handler {entry.name} of event {self._name!r}"
            _binding.add_call_note(error, who, 0, names)

    def _warn_discarded_handler(self, name: str, frame: FrameType, is_subscription: bool) -> None:
        text = f"handler {name} of event {self._name!r} has died on the spot and will never be called, since "
        if is_subscription:
            text += "the subscription that held it was discarded: keep what subscribe() returns"
        else:
            text += "nothing else holds it: keep a reference, keep what subscribe() returns, or use weak=False"
        warn(text, frame)

    def _log_never_called(self, entry: Entry) -> None:
        if sys.is_finalizing():
            return
        name = entry.name
        for other, _, source in self._connections():
            if other.name == name and source is self and other.get() is not None:
                return  # the module was loaded again, or the notebook's cell was run again
        code = entry.held
        log(
            "WARNING",
            "handler %s of event %r, defined in %s:%d, has died before any emission, since nothing else holds it: it"
            " will never be called. Keep a reference to it, keep what subscribe() returns, or connect it with"
            " weak=False",
            name,
            self._name,
            code.co_filename,
            code.co_firstlineno,
        )

    def _log_dead_handlers(self) -> None:
        is_logging = "logging" in sys.modules  # else nobody listens
        while self._dead_handler_names:
            try:
                name = self._dead_handler_names.pop(0)
            except IndexError:  # another thread was faster
                return
            if is_logging:
                log("DEBUG", "handler %s of event %r has died", name, self._name)

    def _attach_patterns(self, to_release: list[object]) -> None:
        namespace = self._namespace
        assert namespace is not None  # it has been in its cache
        namespace._attach_patterns(self, to_release)


class Pattern(Event):
    """An event for a pattern of names, made by `event(pattern)`.

    Its handlers are called for all events of the namespace whose names match, present and future, and for names
    without an event. Handlers are connected and disconnected as with any event, but a pattern cannot be emitted.
    """

    __slots__ = ("matches",)

    matches: Callable[[str], object]

    def emit(self, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> list[Any]:
        """Raise `ValueError`: a pattern cannot be emitted."""
        raise pattern_error(self._name)

    def send(self, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
        """Raise `ValueError`: a pattern cannot be emitted."""
        raise pattern_error(self._name)

    @coroutine_function
    def emit_async(self, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, list[Any]]:
        """Raise `ValueError`: a pattern cannot be emitted."""
        raise pattern_error(self._name)


global_scopes: list[EventScope] = []
"""The scopes that observe events in all namespaces, and in none: each event that is made is attached to them."""


# What is taken from `_async`, whose modules import asyncio and so are imported when first needed. Not the modules
# themselves, since finalizers may still use these at exit: see the end of `_core/__init__.py`.
_schedule: Any = None
_emit_async: Any = None
_Stream: Any = None


def _load_schedule() -> Any:
    global _schedule
    from ._async.scheduling import schedule as _schedule

    return _schedule


def _load_emit_async() -> Any:
    global _emit_async
    try:
        from ._async.gather import emit_async as _emit_async
    except TypeError:  # there is no `__import__` any more
        raise ImportError("the interpreter is exiting") from None
    return _emit_async


def _load_stream() -> Any:
    global _Stream
    try:
        from ._async.streams import Stream as _Stream
    except TypeError:
        raise ImportError("the interpreter is exiting") from None
    return _Stream
