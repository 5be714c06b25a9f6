"""`Namespace`, and the module-level functions, which are methods of the default namespace."""

from __future__ import annotations

import sys

from ._checks import check_bool, check_sequential, checked_policy, coroutine_function, is_pattern, public_names
from ._connection import Decorator, Muted, connect_all
from ._core import install_methods
from ._core._safe import exact_str, safe_repr
from ._core._values import ANY, MISSING
from ._event import watch_source
from ._hooks import make_hold
from ._options import ConnectOptions
from ._patterns import matcher
from ._registry import EventRegistry, event_targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import FrameType
    from typing import Any, Concatenate, NoReturn, Unpack, overload

    from ._core._values import AnySender
    from ._event import Event
    from ._held import Hold, Merge
    from ._public import Scope
    from ._subscriptions import Subscriptions
    from ._typing import (
        AnyOptions,
        ArgsP,
        ErrorPolicy,
        EventOptions,
        Flags,
        HandlerT,
        Options,
        Overlap,
        ResultT,
        SenderT,
        SomeEvents,
        Target,
        Undeclared,
    )
    from ._typing import Decorator as TypedDecorator


@install_methods
class Namespace(EventRegistry):
    """Events by name: a mapping of name to `Event` that you can read like a `dict`.

    - `@namespace.on("order.placed")` or `namespace.connect("order.placed", handler)`: connect a handler.
    - `namespace.emit("order.placed", sender, ...)`: call the handlers, and return the list of their results.
    - `await namespace.emit_async("order.placed", sender, ...)`: the same, and await the async handlers.
    - `namespace.event("order.placed")`: return the event.

    `event`, `on`, `connect` and `attach` create the events they need, which stay until `del namespace[name]`. Two
    namespaces share nothing, and a copy of a namespace is the namespace itself.

    You can also emit a name that has no event: this calls the handlers of the patterns that match it. The namespace
    caches the events of about 1,024 such names. They are not in the mapping until you use `event(name)` or `on(name)`.

    Args:
        on_error: what happens when a handler raises an `Exception` and its event has no `on_error`: see
            `Event.on_error`.
        name: shown in the `repr` of the namespace and of its events.
        strict: refuse names that `event` has not declared: `on`, `connect`, `attach`, `emit` and `emit_async` raise a
            `LookupError` that suggests the nearest declared name. You can still connect handlers to patterns.
        sequential: whether `emit_async` awaits async handlers one after the other, for events that have no
            `sequential` of their own: see `Event.sequential`.

    Raises:
        TypeError: if an argument has the wrong type.
        ValueError: if `on_error` is an unknown word.

    Thread-safety: you may call every method from any thread at any time.

    Example:
        >>> from cyevents import Namespace
        >>> auth = Namespace()
        >>> login = auth.event("login", doc="A user has logged in.")
        >>> auth["login"] is login, list(auth)
        (True, ['login'])
    """

    __slots__ = ()

    if not TYPE_CHECKING:  # so that `help` lists it here, also for the pure-Python core
        emit = EventRegistry.emit

    def __init__(
        self,
        *,
        on_error: ErrorPolicy = None,
        name: str | None = None,
        strict: bool = False,
        sequential: bool = False,
    ) -> None:
        super().__init__()
        name = exact_str(name)
        if name is not None and type(name) is not str:
            raise TypeError(f"a namespace's name must be a str or None, not {safe_repr(name)}")
        check_bool("strict", strict)
        self._name = name
        self._strict = strict
        self._on_error = checked_policy(on_error)
        self.sequential = sequential

    @property
    def name(self) -> str | None:
        """The namespace's name, or `None`."""
        return self._name

    @property
    def strict(self) -> bool:
        """Whether names that `event` has not declared are refused."""
        return self._strict

    @property
    def on_error(self) -> ErrorPolicy:
        """What happens when a handler raises and its event has no `on_error`: see `Event.on_error`."""
        return self._on_error

    @on_error.setter
    def on_error(self, policy: ErrorPolicy) -> None:
        self._on_error = checked_policy(policy)

    @property
    def sequential(self) -> bool:
        """Whether `emit_async` awaits async handlers one after the other, for events whose `sequential` is `None`."""
        return self._is_sequential

    @sequential.setter
    def sequential(self, value: bool) -> None:
        check_bool("sequential", value)
        self._is_sequential = value

    if TYPE_CHECKING:  # the types of the core's method

        @overload
        def emit(self, evt: str, /, sender: Any = ..., *args: Any, **kwargs: Any) -> list[Any]: ...
        @overload
        def emit(
            self,
            evt: Event[SenderT, ArgsP],
            /,
            sender: SenderT | AnySender = ...,
            *args: ArgsP.args,
            **kwargs: ArgsP.kwargs,
        ) -> list[Any]: ...
        def emit(self, evt: Any, /, sender: Any = ..., *args: Any, **kwargs: Any) -> list[Any]:
            pass

    if TYPE_CHECKING:

        @overload
        def event(
            self, name: str, doc: str | None = ..., *, replay: int | None = ..., sequential: bool | None = ...
        ) -> Event[Any]: ...
        @overload
        def event(
            self,
            name: str,
            doc: str | None = ...,
            *,
            signature: Callable[Concatenate[SenderT, ArgsP], object],
            check: bool = ...,
            replay: int | None = ...,
            sequential: bool | None = ...,
        ) -> Event[SenderT, ArgsP]: ...

    def event(
        self,
        name: str,
        doc: str | None = None,
        *,
        signature: Any = None,
        check: bool = False,
        replay: int | None = None,
        sequential: bool | None = None,
    ) -> Event[Any]:
        """Return the event with this name, creating it if needed.

        A name with `*` or `?` in it, or with a leading `!`, is a pattern: its handlers are called for all events of
        the namespace whose names match, present and future, and for matching names without an event; see `match`. A
        pattern cannot be emitted.

        Args:
            name: a non-empty string, such as `"order.placed"`.
            doc: what the event means; becomes its `__doc__`. `None` leaves the present one.
            signature: a function with the parameters of the handlers, the sender first. Type checkers check emissions
                and handlers against it. It is never called.
            check: refuse to connect handlers and conditions that do not fit the `signature`; connected ones are
                checked now. For handlers of a pattern, declare the pattern with `check=True`.
            replay: how many of its last emissions the event keeps for handlers that are connected later: see
                `Event.replay`. `None` leaves the present number, which is 0 for a new event.
            sequential: whether `emit_async` awaits async handlers one after the other: see `Event.sequential`. `None`
                leaves the present value.

        Returns:
            The event.

        Raises:
            TypeError: if an argument has the wrong type, `check` is true without a signature, or a connected handler
                does not fit it.
            ValueError: if `replay` is negative, or it or `sequential` is given for a pattern.

        Thread-safe.
        """
        check_bool("check", check)  # before the event is made
        if replay is not None:
            from ._replay import checked_replay

            replay = checked_replay(replay, name)
        if sequential is not None:
            exact = exact_str(name)
            check_sequential(sequential, type(exact) is str and is_pattern(exact))
        event: Any = self.get(name) if type(name) is str else None
        if event is None:
            event = self._create(name)
        if doc is not None:
            event.__doc__ = doc
        if signature is not None or check:
            event._declare(signature, check)
        if replay is not None:
            event.replay = replay
        if sequential is not None:
            event.sequential = sequential
        return event  # type: ignore[no-any-return]

    if TYPE_CHECKING:

        @overload
        def on(
            self, evt: str | SomeEvents, sender: Any = ..., **options: Unpack[AnyOptions]
        ) -> Callable[[HandlerT], HandlerT]: ...
        @overload
        def on(
            self, evt: Event[SenderT, ArgsP], sender: SenderT | AnySender = ..., **options: Unpack[Options]
        ) -> TypedDecorator[SenderT, ArgsP]: ...
        @overload
        def on(
            self, evt: Event[SenderT, ArgsP], sender: SenderT | AnySender = ..., **options: Unpack[EventOptions]
        ) -> Callable[[HandlerT], HandlerT]: ...
        @overload
        def on(
            self,
            evt: str | Event[Any, ...] | SomeEvents,
            sender: Any,
            weak: bool,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            /,
            *,
            with_event: bool = ...,
            **options: Unpack[Flags],
        ) -> Callable[[HandlerT], HandlerT]: ...

    def on(
        self,
        evt: Any,
        sender: Any = ANY,
        weak: bool = True,
        priority: int = 0,
        condition: Callable[..., object] | None = None,
        *,
        once: bool = False,
        with_event: bool = False,
        thread: bool = False,
        replay: bool = False,
        via: Target | None = None,
        overlap: Overlap = "parallel",
        limit: int | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Connect the decorated function to one or several events, creating them if needed.

        Args:
            evt: the event's name, a pattern of names, or the `Event`; or a list or tuple of these.
            sender: call the handler for this sender only; `ANY` for all.
            weak: do not keep the handler alive.
            priority: an int. Higher is called earlier.
            condition: called as `condition(sender, **kwargs)`. A false result skips the handler.
            once: disconnect the handler right before its first call.
            with_event: pass the emitted event as the keyword `event`.
            thread: in `emit_async`, run a sync handler in a thread.
            replay: first call the handler with the emissions that the event keeps: see `Event.replay`.
            via: deliver the calls to a `Mailbox`, an asyncio event loop or an executor, which runs them.
            overlap: what happens if an earlier call of an async handler still runs: see `Event.connect`.
            limit: how many calls of an async handler run at once; others wait.
            timeout: how many seconds an async handler may take.

        Returns:
            A decorator that returns the function unchanged.

        Raises:
            TypeError: if `evt` is neither a non-empty string nor an `Event`, or an option has the wrong type: see
                `Event.connect`.
            ValueError: if the list is empty.
            LookupError: if the namespace is strict and `event` has not declared the name.

        Warns:
            RuntimeWarning: if the decorator is discarded unused.

        If one of several events refuses the function, it is connected to none.

        Example:
            >>> from cyevents import Namespace
            >>> shop = Namespace()
            >>> @shop.on("order.placed", priority=10)
            ... def validate(sender, **kwargs):
            ...     return bool(sender)
            >>> shop.emit("order.placed", "order 7")
            [True]
        """
        targets = event_targets(evt)
        self._check_declared(targets)
        options = ConnectOptions(
            MISSING, sender, weak, priority, condition, once, with_event, thread, replay, via, overlap, limit, timeout
        )

        def connect(handler: Any, frame: FrameType | None) -> None:
            self._connect_to(targets, handler, sender, options, frame)

        names = [repr(each if type(each) is str else each.name) for each in targets]
        text = f"on({names[0]})"
        if len(names) > 1 or type(targets[0]) is not str:
            text = f"on(...) of event{'s' * (len(names) != 1)} {', '.join(names)}"
        return Decorator(connect, sender, text, sys._getframe().f_back)

    def _check_declared(self, targets: tuple[Any, ...]) -> None:
        """Raise `LookupError` if this is a strict namespace and one of these is a name that it refuses."""
        if self._strict:
            for target in targets:
                if type(target) is str and target not in self and not is_pattern(target):
                    raise self._undeclared_error(target)

    def _connect_to(
        self, targets: tuple[Any, ...], receiver: Any, sender: Any, options: ConnectOptions, frame: FrameType | None
    ) -> None:
        """Connect a receiver to all of these, or to none if one fails."""
        connect_all([(event, receiver, sender, options) for event in self._make_events(targets)], frame, len)

    def _make_events(self, targets: tuple[Any, ...]) -> list[Event[Any]]:
        """Return the events of these targets, each once; make those that do not exist."""
        events = [self.event(target) if type(target) is str else target for target in targets]
        return list({id(event): event for event in events}.values()) if len(events) > 1 else events

    if TYPE_CHECKING:

        @overload
        def connect(
            self, evt: str, receiver: HandlerT, sender: Any = ..., **options: Unpack[AnyOptions]
        ) -> HandlerT: ...
        @overload
        def connect(
            self,
            evt: Event[SenderT, [Undeclared]],
            receiver: HandlerT,
            sender: SenderT | AnySender = ...,
            **options: Unpack[AnyOptions],
        ) -> HandlerT: ...
        @overload
        def connect(
            self,
            evt: Event[SenderT, ArgsP],
            receiver: Callable[Concatenate[SenderT, ArgsP], ResultT],
            sender: SenderT | AnySender = ...,
            **options: Unpack[Options],
        ) -> Callable[Concatenate[SenderT, ArgsP], ResultT]: ...
        @overload
        def connect(
            self,
            evt: Event[SenderT, ArgsP],
            receiver: HandlerT,
            sender: SenderT | AnySender = ...,
            **options: Unpack[EventOptions],
        ) -> HandlerT: ...
        @overload
        def connect(
            self, evt: SomeEvents, receiver: HandlerT, sender: Any = ..., **options: Unpack[AnyOptions]
        ) -> HandlerT: ...

    def connect(
        self,
        evt: Any,
        receiver: Any,
        sender: Any = ANY,
        weak: bool = True,
        priority: int = 0,
        condition: Callable[..., object] | None = None,
        *,
        once: bool = False,
        with_event: bool = False,
        thread: bool = False,
        replay: bool = False,
        via: Target | None = None,
        overlap: Overlap = "parallel",
        limit: int | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Connect a handler to one or several events, creating them if needed.

        Args:
            evt: the event's name, a pattern of names, or the `Event`; or a list or tuple of these.
            receiver: the handler.
            sender: call the handler for this sender only; `ANY` for all.
            weak: do not keep the handler alive; for a method, its object.
            priority: an int. Higher is called earlier.
            condition: called as `condition(sender, **kwargs)`. A false result skips the handler.
            once: disconnect the handler from each event right before its first call.
            with_event: pass the emitted event as the keyword `event`.
            thread: in `emit_async`, run a sync handler in a thread.
            replay: first call the handler with the emissions that the event keeps: see `Event.replay`.
            via: deliver the calls to a `Mailbox`, an asyncio event loop or an executor, which runs them.
            overlap: what happens if an earlier call of an async handler still runs: see `Event.connect`.
            limit: how many calls of an async handler run at once; others wait.
            timeout: how many seconds an async handler may take.

        Returns:
            The receiver.

        Raises:
            TypeError: if `evt` is neither a non-empty string nor an `Event`, the receiver is not callable, or an
                option has the wrong type: see `Event.connect`.
            ValueError: if the list is empty.
            LookupError: if the namespace is strict and `event` has not declared the name.

        If one of several events refuses the handler, it is connected to none. Thread-safe.

        Example:
            >>> from cyevents import Namespace
            >>> shop = Namespace()
            >>> def log(sender, event):
            ...     return event.name
            >>> _ = shop.connect(["order.placed", "order.paid"], log, with_event=True)
            >>> shop.emit("order.paid", "order 7")
            ['order.paid']
        """
        targets = event_targets(evt)
        self._check_declared(targets)
        options = ConnectOptions(
            receiver, sender, weak, priority, condition, once, with_event, thread, replay, via, overlap, limit, timeout
        )
        self._connect_to(targets, receiver, sender, options, sys._getframe().f_back)
        return receiver

    def attach(self, obj: object) -> Subscriptions:
        """Connect an object's methods that `handles` has marked.

        Names in the marks are events or patterns of this namespace. The methods are connected in the order of their
        definition, those of base classes first, and weakly unless a mark says `weak=False`. So `namespace.attach(self)`
        in `__init__` does not keep the object alive, and its connections end with it. Attaching an object again
        connects its handlers again.

        Args:
            obj: an object whose class has marked methods, or a module that has marked functions.

        Returns:
            A `Subscriptions` of the connections. If you discard it, they stay.

        Raises:
            TypeError: if the object has no handlers, is a class, or cannot be held weakly; or if an event refuses a
                handler.
            LookupError: if the namespace is strict and `event` has not declared the name in a mark.

        Warns:
            RuntimeWarning: if the object dies at once because nothing holds it.

        If it raises, nothing is connected. Thread-safe.

        Example:
            >>> from cyevents import Namespace, handles
            >>> shop = Namespace()
            >>> class Mailer:
            ...     @handles("order.paid", priority=5)
            ...     def receipt(self, sender):
            ...         return f"receipt for {sender}"
            >>> mailer = Mailer()
            >>> subscriptions = shop.attach(mailer)
            >>> shop.emit("order.paid", "order 7")
            ['receipt for order 7']
            >>> subscriptions.cancel()
            True
            >>> shop.emit("order.paid", "order 8")
            []
        """
        from ._handles import attach

        return attach(self, obj, sys._getframe().f_back)

    if TYPE_CHECKING:

        @overload
        def emit_async(
            self, evt: str, /, sender: Any = ..., *args: Any, **kwargs: Any
        ) -> Coroutine[Any, Any, list[Any]]: ...
        @overload
        def emit_async(
            self,
            evt: Event[SenderT, ArgsP],
            /,
            sender: SenderT | AnySender = ...,
            *args: ArgsP.args,
            **kwargs: ArgsP.kwargs,
        ) -> Coroutine[Any, Any, list[Any]]: ...

    @coroutine_function
    def emit_async(self, evt: Any, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, list[Any]]:
        """Emit an event, given by its name or as an `Event`, and await its handlers: see `Event.emit_async`.

        If the name has no event, the handlers of matching patterns are called, and nothing is added to the namespace.

        Args:
            evt: the event's name, or the `Event`.
            sender: the object that emits.
            *args: positional arguments for the handlers.
            **kwargs: keyword arguments for the handlers.

        Returns:
            An awaitable of the list of results.

        Raises:
            TypeError: if `evt` is neither a non-empty string nor an `Event`; when called, not when awaited.
            ValueError: if it is a pattern; when called.
            LookupError: if the namespace is strict and `event` has not declared the name; when called.
        """
        event = self.get(evt) if type(evt) is str else None
        if event is None:
            event = self._find(evt)
        return _no_results() if event is None else event.emit_async(sender, *args, **kwargs)

    def filter(self, pattern: str) -> dict[str, Event[Any]]:
        """Return the events whose names match a pattern, as a new `dict` of name to `Event`: see `match`."""
        matches = matcher(pattern)
        return {name: event for name, event in dict.copy(self).items() if matches(name)}

    def settle(self) -> None:
        """Settle all events of the namespace: see `Event.settle`."""
        for event in self._all_events():
            event.settle()

    def muted(self) -> Muted:
        """Silence all events of the namespace inside a `with` block, including those created inside it. Nests.

        This affects emissions that begin inside the block, in all threads.

        Example:
            >>> from cyevents import Namespace
            >>> shop = Namespace()
            >>> @shop.on("order.*")
            ... def note(sender):
            ...     return "noted"
            >>> with shop.muted():
            ...     shop.emit("order.placed")
            []
            >>> shop.emit("order.placed")
            ['noted']
        """
        return Muted(self, ())

    def watch(
        self, budget: float = 0.0005, on_slow: Callable[[float, Any, Event[Any], Any], object] | None = None
    ) -> Scope:
        """Report handlers that run longer than a budget, in emissions of this namespace that begin from now on.

        For a sync handler or a generator, the time of its call counts, including emissions inside it. For an async
        handler, the longest time it runs without a pause counts, because that blocks its loop. Conditions do not count.

        A handler is reported when it ends, in its thread. Without `on_slow`, this logs a WARNING to the logger
        `cyevents`: for its first slow call, and then for each that takes at least twice as long as the last one logged.

        Args:
            budget: the limit in seconds.
            on_slow: called instead for each slow call, as `on_slow(duration, handler, event, sender)` with the duration
                in seconds. Its exceptions are logged and do not affect the emission; its own emissions are not watched.

        Returns:
            A `Scope`. You need not keep it: the watch ends with its `stop()` or its `with` block.

        Raises:
            TypeError: if the budget is not a number, or `on_slow` not callable, or a coroutine function.
            ValueError: if the budget is not positive, or too large for a clock.

        Thread-safe. Other emissions run as fast as before.

        Example:
            >>> import time
            >>> from cyevents import Namespace
            >>> shop = Namespace()
            >>> @shop.on("order.placed")
            ... def bill(order):
            ...     time.sleep(0.01)
            >>> def report(duration, handler, event, sender):
            ...     print(f"{handler.__name__} of {event.name} is slow")
            >>> with shop.watch(0.005, on_slow=report):
            ...     shop.emit("order.placed", "order 7")
            bill of order.placed is slow
            []
        """
        return watch_source(self, budget, on_slow)

    def held(self, merge: Merge = None) -> Hold:
        """Hold the emissions of the namespace inside a `with` block, and emit them in order at its end.

        If the block raises, they are dropped. Emissions by names without an event are held too, those of other threads
        and tasks are not: see `Hold`.

        Args:
            merge: which of the held emissions to emit. `None`: all. `"last_per_sender"`: for each event and sender only
                the last one, in its place. Or a function that takes the list of them, each an `Emission`, and returns
                the list to emit, which may have new ones and those of other events.

        Returns:
            A `Hold`, which is also the target of the `with` statement.

        Raises:
            TypeError: if `merge` is neither a string nor callable, or is a coroutine function.
            ValueError: if it is another string.

        Warns:
            RuntimeWarning: if the hold is discarded at once, as without a `with`.

        Example:
            >>> from cyevents import Namespace
            >>> shop = Namespace()
            >>> @shop.on("stock.changed")
            ... def show(item, count):
            ...     print(f"{count} of {item}")
            >>> with shop.held(merge="last_per_sender"):
            ...     for count in (3, 2, 1):
            ...         _ = shop.emit("stock.changed", "tea", count)
            ...     print("sold")
            sold
            1 of tea
        """
        return make_hold(self, merge)._note_caller()

    def hold(self, merge: Merge = None) -> Hold:
        """Hold the emissions of the namespace from now on, until the returned `Hold` is released or dropped.

        Arguments and exceptions are those of `held`. Keep the hold: it is dropped when nothing refers to it.

        Warns:
            RuntimeWarning: if the hold is discarded at once.

        Example:
            >>> from cyevents import Namespace
            >>> shop = Namespace(name="shop")
            >>> @shop.on("order.*", with_event=True)
            ... def log(order, event):
            ...     print(event.name, order)
            >>> hold = shop.hold()
            >>> shop.emit("order.placed", 7), shop.emit("order.paid", 7)
            ([], [])
            >>> hold
            <Hold of namespace 'shop': 2 emissions held>
            >>> hold.release()
            order.placed 7
            order.paid 7
        """
        return make_hold(self, merge)._note_caller()._open()

    # The mapping: only `event`, connecting, `del` and `clear` change it.

    def __delitem__(self, name: str) -> None:
        """Remove an event or a pattern.

        Its name no longer finds it, and handlers of patterns are no longer called for it.
        """
        name = exact_str(name)
        if type(name) is not str:
            raise KeyError(name)  # looked for here, because its own `__hash__` must not run under the lock
        self._delete(name)

    def clear(self) -> None:
        """Remove all events and patterns, cached events too."""
        self._clear()

    def update(self, /, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise `TypeError`: only `event`, `on` and `del` change a namespace."""
        raise TypeError("a namespace creates its events itself: use namespace.event(name), and del namespace[name]")

    __setitem__ = __ior__ = setdefault = pop = popitem = update

    def __dir__(self) -> list[str]:
        return public_names(super().__dir__(), "update", "setdefault", "pop", "popitem", "fromkeys")

    def __repr__(self) -> str:
        name = "" if self._name is None else f" {self._name!r}"
        return f"<Namespace{name}: {len(self)} event{'s' * (len(self) != 1)}>"

    def __copy__(self) -> Namespace:
        return self  # a copy would have the same events, but `event.namespace` is one namespace

    def __deepcopy__(self, memo: object) -> Namespace:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a namespace cannot be pickled: import it from the module that creates it")


async def _no_results() -> list[Any]:
    return []


_no_results.__qualname__ = "Namespace.emit_async"  # the name in the warning about a coroutine that was never awaited


default_namespace = Namespace()
event = default_namespace.event
on = default_namespace.on
emit = default_namespace.emit
emit_async = default_namespace.emit_async


def filter_signals(pattern: str, namespace: Namespace = default_namespace) -> dict[str, Event[Any]]:
    """Return the events of a namespace whose names match a pattern.

    Args:
        pattern: a pattern as `match` takes it: `"user.*"`, `"*.created"`, `"*"`.
        namespace: the namespace; the default one if not given.

    Returns:
        A new `dict` of name to `Event`.

    Raises:
        TypeError: if the pattern is not a string.

    Example:
        >>> from cyevents import Namespace, filter_signals
        >>> shop = Namespace()
        >>> for name in ("order.placed", "order.shipped", "user.created"):
        ...     _ = shop.event(name)
        >>> sorted(filter_signals("order.*", shop))
        ['order.placed', 'order.shipped']
    """
    return namespace.filter(pattern)
