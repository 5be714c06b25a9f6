"""`BoundEvent`: an event and its sender, the value of `object.event` for an event in a class.

The core has its `emit` and `send`, and creates one for each lookup. The other methods are here, and are added to the
core's class when this module is imported, which is when the first event is bound.
"""

from __future__ import annotations

import sys

from ._checks import coroutine_function
from ._connection import ConnectedTo, Connection, Decorator, Subscription, connections_of, subscribe
from ._core import BoundCore
from ._core._introspection import warn
from ._core._safe import safe_repr
from ._core._values import ANY, MISSING
from ._options import ConnectOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractContextManager
    from types import FrameType
    from typing import Any, Concatenate, Generic, NoReturn, Self, TypeVar, Unpack, overload

    from ._async.streams import Overflow, Stream
    from ._emission import Emission
    from ._held import Hold, Merge
    from ._public import Event
    from ._typing import (
        AnyOptions,
        ArgsP,
        EventOptions,
        HandlerT,
        Options,
        Overlap,
        ResultT,
        SenderT,
        Target,
        Undeclared,
    )
    from ._typing import Decorator as TypedDecorator

    ClassT = TypeVar("ClassT", bound=type)

    class _GenericCore(BoundCore, Generic[SenderT, ArgsP]):
        pass
else:
    SenderT = ArgsP = None
    _GenericCore = {(SenderT, ArgsP): object}  # the base class of `BoundEvent`, found by the same expression


def _add_to_core(cls: ClassT) -> ClassT:
    """Add the methods of a class to `BoundCore`, and return that: its objects have no room for a subclass."""
    if TYPE_CHECKING:
        return cls
    for name, value in list(vars(cls).items()):
        if name not in ("__slots__", "__weakref__"):
            setattr(BoundCore, name, value)
    return BoundCore


@_add_to_core
class BoundEvent(_GenericCore[SenderT, ArgsP]):
    """An event of one object: the value of `object.event` if the object's class has the attribute `event = Event()`.

    It is a view of the event and the object, as a bound method is a view of a function and its object. Its methods are
    those of the event, with the object as the sender. It keeps both alive; nothing is stored in the object. Views of
    the same event and object are equal.

    You cannot create one by a call. For type checkers, `BoundEvent[Thermostat, [int]]` is the type of an event that is
    declared as `Event[Thermostat, [int]]`.

    Thread-safe, as `Event` is.

    Example:
        >>> from cyevents import Event
        >>> class Thermostat:
        ...     changed = Event()
        >>> kitchen, cellar = Thermostat(), Thermostat()
        >>> @kitchen.changed.connect
        ... def show(sender, degrees):
        ...     return f"{degrees} °C"
        >>> kitchen.changed.emit(21), cellar.changed.emit(12)
        (['21 °C'], [])
    """

    __slots__ = ()

    @property
    def event(self) -> Event[SenderT, ArgsP]:
        """The `Event`, for all senders."""
        event: Event[SenderT, ArgsP] = self._event
        return event

    @property
    def sender(self) -> SenderT:
        """The object that emits."""
        sender: SenderT = self._sender
        return sender

    # Emitting

    if TYPE_CHECKING:  # the types of the core's methods

        def emit(self, /, *args: ArgsP.args, **kwargs: ArgsP.kwargs) -> list[Any]:
            pass

        def send(self, /, *args: ArgsP.args, **kwargs: ArgsP.kwargs) -> list[tuple[Any, Any]]:
            pass

    @coroutine_function
    def emit_async(self, /, *args: ArgsP.args, **kwargs: ArgsP.kwargs) -> Coroutine[Any, Any, list[Any]]:
        """Emit the event for this sender and await the handlers: see `Event.emit_async`."""
        if args and args[0] is self._sender:
            self._warn_sender_given("emit_async", sys._getframe(1))
        emission: Coroutine[Any, Any, list[Any]] = self._event.emit_async(self._sender, *args, **kwargs)
        return emission

    @coroutine_function
    def send_async(self, /, *args: ArgsP.args, **kwargs: ArgsP.kwargs) -> Coroutine[Any, Any, list[tuple[Any, Any]]]:
        """Await the handlers for this sender: pairs of each handler and its value, see `Event.send_async`."""
        if args and args[0] is self._sender:
            self._warn_sender_given("send_async", sys._getframe(1))
        sending: Coroutine[Any, Any, list[tuple[Any, Any]]] = self._event.send_async(self._sender, *args, **kwargs)
        return sending

    if TYPE_CHECKING:

        @overload
        def first(self, /, *args: ArgsP.args, **kwargs: ArgsP.kwargs) -> Any: ...
        @overload
        def first(self, /, *args: Any, default: Any, **kwargs: Any) -> Any: ...

    def first(self, /, *args: Any, default: Any = None, **kwargs: Any) -> Any:
        """Call the handlers for this sender until one returns something, and return that: see `Event.first`."""
        if args and args[0] is self._sender:
            self._warn_sender_given("first", sys._getframe(1))
        return self._event.first(self._sender, *args, default=default, **kwargs)

    if TYPE_CHECKING:

        @overload
        def first_async(self, /, *args: ArgsP.args, **kwargs: ArgsP.kwargs) -> Coroutine[Any, Any, Any]: ...
        @overload
        def first_async(self, /, *args: Any, default: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]: ...

    @coroutine_function
    def first_async(self, /, *args: Any, default: Any = None, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Await the handlers for this sender until one returns something: see `Event.first_async`."""
        if args and args[0] is self._sender:
            self._warn_sender_given("first_async", sys._getframe(1))
        asking: Coroutine[Any, Any, Any] = self._event.first_async(self._sender, *args, default=default, **kwargs)
        return asking

    def _warn_sender_given(self, way: str, frame: FrameType | None) -> None:
        warn(
            f"{way}() of {self._event.name!r} was given {safe_repr(self._sender)}, which is its sender already, so that"
            " handlers get it twice. An event of an object passes the object by itself: leave it out",
            frame,
        )

    # Connecting

    if TYPE_CHECKING:

        @overload
        def connect(
            self: BoundEvent[SenderT, [Undeclared]], receiver: HandlerT, **options: Unpack[AnyOptions]
        ) -> HandlerT: ...
        @overload
        def connect(
            self, receiver: Callable[Concatenate[SenderT, ArgsP], ResultT], **options: Unpack[Options]
        ) -> Callable[Concatenate[SenderT, ArgsP], ResultT]: ...
        @overload
        def connect(self, receiver: HandlerT, **options: Unpack[EventOptions]) -> HandlerT: ...
        @overload
        def connect(self, **options: Unpack[Options]) -> TypedDecorator[SenderT, ArgsP]: ...
        @overload
        def connect(self, **options: Unpack[EventOptions]) -> Callable[[HandlerT], HandlerT]: ...

    def connect(
        self,
        receiver: Any = MISSING,
        *,
        weak: bool = True,
        priority: int = 0,
        condition: Callable[..., object] | None = None,
        once: bool = False,
        with_event: bool = False,
        thread: bool = False,
        replay: bool = False,
        via: Target | None = None,
        overlap: Overlap = "parallel",
        limit: int | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Connect a handler for this sender alone: the same as `event.connect(receiver, sender=sender, ...)`.

        Without a receiver, it returns a decorator: `@object.event.connect(priority=5)`. Options, result, exceptions and
        warnings are those of `Event.connect`.

        The sender is held weakly if its class allows it. If the class has `__slots__` without `"__weakref__"`, its
        objects live as long as their connections: disconnect the handlers, or add `"__weakref__"` to the slots.
        """
        sender = self._sender
        options = ConnectOptions(
            receiver, sender, weak, priority, condition, once, with_event, thread, replay, via, overlap, limit, timeout
        )
        add = self._event._add
        if receiver is not MISSING:
            add(receiver, sender, options, sys._getframe().f_back)
            return receiver

        def connect(handler: Any, frame: FrameType | None) -> None:
            add(handler, sender, options, frame)

        return Decorator(connect, ANY, f"connect(...) of {self._event.name!r}", sys._getframe().f_back)

    if TYPE_CHECKING:

        @overload
        def subscribe(
            self: BoundEvent[SenderT, [Undeclared]], receiver: Callable[..., Any], **options: Unpack[AnyOptions]
        ) -> Subscription: ...
        @overload
        def subscribe(
            self, receiver: Callable[Concatenate[SenderT, ArgsP], object], **options: Unpack[Options]
        ) -> Subscription: ...
        @overload
        def subscribe(self, receiver: Callable[..., Any], **options: Unpack[EventOptions]) -> Subscription: ...

    def subscribe(
        self,
        receiver: Callable[..., Any],
        *,
        weak: bool = True,
        priority: int = 0,
        condition: Callable[..., object] | None = None,
        once: bool = False,
        with_event: bool = False,
        thread: bool = False,
        replay: bool = False,
        via: Target | None = None,
        overlap: Overlap = "parallel",
        limit: int | None = None,
        timeout: float | None = None,
    ) -> Subscription:
        """Connect a handler for this sender, and return a `Subscription`: see `Event.subscribe`."""
        event, sender, frame = self._event, self._sender, sys._getframe().f_back
        return subscribe(
            event,
            receiver,
            sender,
            weak,
            priority,
            condition,
            once,
            with_event,
            thread,
            replay,
            via,
            overlap,
            limit,
            timeout,
            frame,
        )

    if TYPE_CHECKING:

        @overload
        def connected_to(
            self: BoundEvent[SenderT, [Undeclared]], receiver: Callable[..., Any], **options: Unpack[AnyOptions]
        ) -> AbstractContextManager[BoundEvent[SenderT, ArgsP]]: ...
        @overload
        def connected_to(
            self, receiver: Callable[Concatenate[SenderT, ArgsP], object], **options: Unpack[Options]
        ) -> AbstractContextManager[BoundEvent[SenderT, ArgsP]]: ...
        @overload
        def connected_to(
            self, receiver: Callable[..., Any], **options: Unpack[EventOptions]
        ) -> AbstractContextManager[BoundEvent[SenderT, ArgsP]]: ...

    def connected_to(
        self,
        receiver: Callable[..., Any],
        *,
        weak: bool = True,
        priority: int = 0,
        condition: Callable[..., object] | None = None,
        once: bool = False,
        with_event: bool = False,
        thread: bool = False,
        replay: bool = False,
        via: Target | None = None,
        overlap: Overlap = "parallel",
        limit: int | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Connect a handler for this sender inside a `with` block, which gets this view: see `Event.connected_to`."""
        target: Any = self
        return ConnectedTo(
            target,
            receiver,
            self._sender,
            weak,
            priority,
            condition,
            once,
            with_event,
            thread,
            replay,
            via,
            overlap,
            limit,
            timeout,
        )

    # For `ConnectedTo`

    @property
    def _add(self) -> Any:
        return self._event._add

    @property
    def _restore(self) -> Any:
        return self._event._restore

    def disconnect(self, receiver: Callable[..., Any]) -> bool:
        """Disconnect a handler from this sender, and return whether it was connected.

        Its connections for any sender and for other senders stay: see `Event.disconnect`.
        """
        removed: bool = self._event.disconnect(receiver, self._sender)
        return removed

    def held(self, merge: Merge = None) -> Hold:
        """Hold this sender's emissions inside a `with` block, and emit them at its end: see `Namespace.held`."""
        hold: Hold = self._event._make_hold(merge, self._sender)
        return hold._note_caller()

    def hold(self, merge: Merge = None) -> Hold:
        """Hold this sender's emissions from now on, until the `Hold` is released: see `Namespace.hold`."""
        hold: Hold = self._event._make_hold(merge, self._sender)
        return hold._note_caller()._open()

    # Waiting

    @coroutine_function
    def wait(
        self, condition: Callable[..., object] | None = None, timeout: float | None = None, *, priority: int = 0
    ) -> Coroutine[Any, Any, Emission[SenderT]]:
        """Await the next emission by this sender: see `Event.wait`."""
        self._check_condition("wait", condition)
        waiting: Coroutine[Any, Any, Emission[SenderT]] = self._event.wait(
            self._sender, condition, timeout, priority=priority
        )
        return waiting

    def wait_sync(
        self, condition: Callable[..., object] | None = None, timeout: float | None = None, *, priority: int = 0
    ) -> Emission[SenderT]:
        """Block the calling thread until the next emission by this sender: see `Event.wait_sync`."""
        self._check_condition("wait_sync", condition)
        emission: Emission[SenderT] = self._event.wait_sync(self._sender, condition, timeout, priority=priority)
        return emission

    def stream(
        self,
        condition: Callable[..., object] | None = None,
        *,
        buffer: int = 1000,
        overflow: Overflow = "raise",
        priority: int = 0,
    ) -> Stream[SenderT]:
        """Return a stream of this sender's emissions from now on: see `Event.stream`."""
        self._check_condition("stream", condition)
        made: Stream[SenderT] = self._event.stream(
            self._sender, condition, buffer=buffer, overflow=overflow, priority=priority
        )
        return made

    def _check_condition(self, way: str, condition: object) -> None:
        """Refuse the sender in the condition's place, where `Event.wait` and the like take a sender."""
        if condition is self._sender and not callable(condition):
            raise TypeError(
                f"{way}() of {self._event.name!r} was given {safe_repr(condition)}, which is its sender already: leave"
                " it out. Its first argument is a condition"
            )

    # Introspection

    @property
    def handlers(self) -> list[Connection]:
        """The connections that `emit` would call now, in dispatch order.

        They include those for any sender and those of patterns. If a handler has several connections, only the one that
        counts is included. Muted connections are not.
        """
        entries = {id(entry) for entry in self._event._snapshot(self._sender).entries}
        return connections_of(self._event, entries)

    def has_handlers(self) -> bool:
        """Return whether `emit` would find a handler now, also one for any sender: see `Event.has_handlers_for`."""
        found: bool = self._event.has_handlers_for(self._sender)
        return found

    def is_connected(self, receiver: Callable[..., Any]) -> bool:
        """Return whether a handler is connected for this sender, so that `disconnect` would disconnect it."""
        found: bool = self._event.is_connected(receiver, self._sender)
        return found

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._event is other._event and self._sender is other._sender

    def __hash__(self) -> int:
        return hash((id(self._event), id(self._sender)))

    def __repr__(self) -> str:
        if self._event is None:  # found by the garbage collector: see `CyeBound`
            return "<BoundEvent, not in use>"
        return f"<BoundEvent {self._event.name!r} of {safe_repr(self._sender)}>"

    if not TYPE_CHECKING:

        @classmethod
        def __class_getitem__(cls, types: object) -> object:
            """Return the alias `BoundEvent[Thermostat, [int]]`: see `Event.__class_getitem__`."""
            from types import GenericAlias

            if type(types) is tuple:
                types = tuple([tuple(it) if type(it) is list else it for it in types])
            return GenericAlias(cls, types)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        from copy import deepcopy

        copied: Self = self._event.__get__(deepcopy(self._sender, memo))
        return copied

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            f"event {self._event.name!r} of an object cannot be pickled: pickle the object, and take the event from it"
        )
