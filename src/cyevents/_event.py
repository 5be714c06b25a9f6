"""`Event`, the public class, and `Pattern`, an event that stands for all events whose names match.

`connect`, `emit` and `send` are methods of the core; only their types are here. `_hooks.py` has what the core calls.
"""

from __future__ import annotations

import sys

from ._checks import (
    check_bool,
    check_handler,
    check_sequential,
    checked_name,
    checked_policy,
    coroutine_function,
    is_pattern,
    pattern_error,
    public_names,
)
from ._connection import ConnectedTo, Connection, Muted, Subscription, connections_of, subscribe
from ._core import WITH_EVENT, EventCore, install_methods
from ._core._safe import not_an_event, safe_repr, source_text
from ._core._values import ANY, FIRST, UNNAMED, AnySender
from ._hooks import EventHooks, make_hold
from ._patterns import matcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any, Concatenate, Generic, NoReturn, Self, Unpack, overload

    from ._async.streams import Overflow, Stream
    from ._bound import BoundEvent
    from ._core import Entry
    from ._emission import Emission
    from ._held import Hold, Merge
    from ._public import Namespace, Scope
    from ._typing import (
        AnyOptions,
        ArgsP,
        ErrorPolicy,
        EventOptions,
        EventScope,
        Flags,
        HandlerT,
        Options,
        Overlap,
        ResultT,
        SenderT,
        Target,
        Undeclared,
    )
    from ._typing import Decorator as TypedDecorator

    class _GenericHooks(EventHooks, Generic[SenderT, ArgsP]):
        pass
else:
    SenderT = ArgsP = None
    _GenericHooks = {(SenderT, ArgsP): EventHooks}  # the base class of `Event`, found by the same expression


@install_methods
class Event(_GenericHooks[SenderT, ArgsP]):
    """Something that happens in a program, and the handlers that are called when it does.

    - `event.connect(handler)`: call this handler from now on, for all senders or for one.
    - `event.emit(sender, ...)`: call the handlers, and return the list of their results.
    - `await event.emit_async(sender, ...)`: the same, and await the async handlers.

    Usually you get an event from `event(name)` or `namespace.event(name)`, which return the same event for the same
    name. An event that you create by calling `Event` belongs to no namespace. In the body of a class, an event binds
    its sender as a function binds `self`: `object.event` is a `BoundEvent`, which emits with the object as the sender.
    For type checkers, `Event[Order]` declares the type of the senders, `Event[Order, [int, str]]` also the arguments.

    Args:
        name: a non-empty string that is not a pattern. In the body of a class you may leave it out: the event is then
            named after its place, such as `"Thermostat.changed"`. Without a name, an event cannot be emitted.
        doc: what the event means; becomes its `__doc__`.
        on_error: what happens when a handler raises an `Exception`: see `on_error`.
        signature: a function with the parameters of the handlers, the sender first. Type checkers check emissions and
            handlers against it. It is never called.
        check: refuse to connect handlers and conditions that do not fit the `signature`.
        replay: how many of its last emissions the event keeps for handlers that are connected later: see `replay`.
        sequential: whether `emit_async` awaits async handlers one after the other: see `sequential`.

    Raises:
        TypeError: if an argument has the wrong type, or `check` is true without a signature.
        ValueError: if the name is a pattern, `on_error` an unknown word, or `replay` negative.

    Thread-safety: you may call every method from any thread at any time, also in handlers, finalizers and signal
    handlers. No lock is held while your code runs.

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

    __slots__ = ("__dict__",)

    if not TYPE_CHECKING:  # so that `help` lists them here, also for the pure-Python core
        connect, emit, send = EventCore.connect, EventCore.emit, EventCore.send

    def __init__(
        self,
        name: str = UNNAMED,
        doc: str | None = None,
        *,
        on_error: ErrorPolicy = None,
        signature: Callable[Concatenate[SenderT, ArgsP], object] | None = None,
        check: bool = False,
        replay: int = 0,
        sequential: bool | None = None,
    ) -> None:
        self._name = name if name is UNNAMED else checked_name(name)
        self._namespace = None
        self._on_error = checked_policy(on_error)
        super().__init__()
        if sequential is not None:
            self.sequential = sequential
        if doc is not None:
            self.__doc__ = doc
        if signature is not None or check is not False:
            self._declare(signature, check)
        if type(replay) is not int or replay:
            self.replay = replay
        if name is UNNAMED:
            self._observe(_Unnamed)  # so that it costs named events nothing to check that they have a name
        else:
            self._attach_global_scopes()

    def _attach_global_scopes(self) -> None:
        for scope in tuple(global_scopes):  # other threads may change it
            scope.attach(self)

    def __set_name__(self, owner: type, attribute: str) -> None:
        """Take a name from the class in whose body the event is, unless it has one."""
        if self._name is not UNNAMED:
            return
        name = f"{owner.__name__}.{attribute}"
        if is_pattern(name):
            raise ValueError(
                f"an event cannot be named {name!r} after its place, since that is a pattern: give it a name"
            )
        self._name = name
        if self._is_checked:
            self._signature.event_name = name
        self._observe(None)
        self._attach_global_scopes()

    def _declare(self, signature: Any, check: bool) -> None:
        """Take a signature. If `check` is true, check the handlers against it, now and when they are connected."""
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
        namespace: Namespace | None = self._namespace
        return namespace

    @property
    def on_error(self) -> ErrorPolicy:
        """What happens when a handler raises an `Exception`.

        - `None`: what the namespace's `on_error` says. If that is `None` too, the same as `"raise"`.
        - `"raise"`: the exception propagates to the emitter, and the remaining handlers are not called.
        - `"group"`: all handlers are called, then their exceptions are raised as one `ExceptionGroup`.
        - a callable `(exception, handler, event, sender)`: it gets each exception, and the emission goes on. It also
          gets the exceptions of conditions, and those of scheduled handlers (in their loop). If it raises itself, that
          exception propagates.

        `KeyboardInterrupt`, `SystemExit` and any other `BaseException` always propagate. A handler that raises `Cancel`
        cancels the emission; that is not an error.

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

    @property
    def replay(self) -> int:
        """How many of its last emissions the event keeps, for handlers that are connected with `replay=True`.

        Such a handler is called with the kept emissions at once, in order and in the thread that connects it, as if it
        had been connected when they began: with those of its sender, if its condition is true now, and with only one
        for `once`. Every emission is kept when it begins, even if there are no handlers, except while the whole event
        is muted or if an instrument vetoes it.

        0 means none. A smaller number than before drops the oldest emissions. Kept emissions hold their sender and
        arguments strongly. Keeping an emission takes about a microsecond.

        Raises:
            TypeError: when set to something that is not an int.
            ValueError: when set to a negative number; for a pattern, to anything but 0.

        Thread-safe: a handler receives each emission that runs meanwhile exactly once.

        Example:
            >>> from cyevents import Event
            >>> ready = Event("ready", replay=1)
            >>> ready.emit("database", 5432)
            []
            >>> def start(sender, port):
            ...     print(f"{sender} is ready at {port}")
            >>> _ = ready.connect(start, replay=True)
            database is ready at 5432
        """
        kept = getattr(self, "_kept", None)
        return 0 if kept is None else kept.limit

    @replay.setter
    def replay(self, replay: int) -> None:
        from ._replay import checked_replay, keep

        keep(self, checked_replay(replay, self._name))

    def clear_replay(self) -> None:
        """Drop the emissions that the event keeps for `replay`. New ones are still kept."""
        kept = getattr(self, "_kept", None)
        if kept is not None:
            kept.clear()

    @property
    def sequential(self) -> bool | None:
        """Whether `emit_async` and `send_async` await async handlers one after the other.

        - `None`: what the namespace's `sequential` says; without a namespace, the same as `False`.
        - `False`: the async handlers of one priority run concurrently.
        - `True`: each handler is called when the previous one is done, whatever their priorities. So it sees what
          earlier handlers have done, and is not called if one of them returns `False` or raises.

        An emission reads it once, before its first async handler. `emit` ignores it. For a pattern it is always `None`:
        the emitted event decides, for handlers of patterns too.

        Raises:
            TypeError: when set to something else.
            ValueError: when set for a pattern.

        Example:
            >>> import asyncio
            >>> from cyevents import Event
            >>> closing = Event("closing", sequential=True)
            >>> @closing.connect
            ... async def flush(file):
            ...     await asyncio.sleep(0.001)
            ...     print("flushed")
            >>> @closing.connect
            ... async def unlock(file):
            ...     print("unlocked")
            >>> asyncio.run(closing.emit_async("a file"))
            flushed
            unlocked
            []
        """
        return self._is_sequential if self._is_sequential_set else None

    @sequential.setter
    def sequential(self, value: bool | None) -> None:
        check_sequential(value, isinstance(self, Pattern))
        if value is None:
            self._is_sequential_set = False
        else:
            self._is_sequential = value  # first: an emission may look at both in between
            self._is_sequential_set = True
        if self._is_hidden():  # it is kept in the cache by this
            self._attach_patterns([])

    if TYPE_CHECKING:  # the types of the core's methods

        @overload  # mypy binds what properties return, too
        def __get__(self, instance: Subscription | BoundEvent[Any, ...] | None, owner: type[Any], /) -> Self: ...
        @overload
        def __get__(self, instance: SenderT, owner: type[Any] | None = ..., /) -> BoundEvent[SenderT, ArgsP]: ...
        def __get__(self, instance: Any, owner: Any = None, /) -> Any:
            pass

        @overload  # type: ignore[override] # mypy takes a positional-only `self` of the base class for a parameter
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
            weak: bool = ...,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            *,
            with_event: bool = ...,
            **flags: Unpack[Flags],
        ) -> Callable[Concatenate[SenderT, ArgsP], ResultT]: ...
        @overload
        def connect(
            self, receiver: HandlerT, sender: SenderT | AnySender = ..., **options: Unpack[EventOptions]
        ) -> HandlerT: ...
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

    def disconnect(self, receiver: Callable[..., Any], sender: SenderT | AnySender = ANY) -> bool:
        """Disconnect a handler. A running emission that has not called it yet does not call it.

        Args:
            receiver: the handler. It is not an error if it is not connected.
            sender: the sender that it is connected for; `ANY` removes all its connections to this event.

        Returns:
            Whether a connection was removed.

        Thread-safe. Does not wait for a call of the handler that runs in another thread.
        """
        if not isinstance(self, EventCore):
            raise not_an_event(self, "disconnect")
        return self._disconnect(receiver, sender)

    def clear(self) -> None:
        """Disconnect all handlers for all senders, but not those of matching patterns.

        Streams of the event end, and a `wait` for it raises a `RuntimeError`. Emissions that are kept for `replay`
        stay: use `clear_replay` to drop them.
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
            weak: bool = ...,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            *,
            with_event: bool = ...,
            **flags: Unpack[Flags],
        ) -> Subscription: ...
        @overload
        def subscribe(
            self, receiver: Callable[..., Any], sender: SenderT | AnySender = ..., **options: Unpack[EventOptions]
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
        replay: bool = False,
        via: Target | None = None,
        overlap: Overlap = "parallel",
        limit: int | None = None,
        timeout: float | None = None,
    ) -> Subscription:
        """Connect a handler and return a `Subscription`, which keeps the handler alive and can disconnect it.

        Arguments and exceptions are those of `connect`. The handler may be a lambda. Discarding the subscription at
        once gives a `RuntimeWarning`.

        Example:
            >>> from cyevents import Event
            >>> ticked = Event("ticked")
            >>> with ticked.subscribe(lambda sender: "tock"):
            ...     ticked.emit("clock")
            ['tock']
            >>> ticked.emit("clock")
            []
        """
        return subscribe(
            self,
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
            sys._getframe().f_back,
        )

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
            weak: bool = ...,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            *,
            with_event: bool = ...,
            **flags: Unpack[Flags],
        ) -> ConnectedTo: ...
        @overload
        def connected_to(
            self, receiver: Callable[..., Any], sender: SenderT | AnySender = ..., **options: Unpack[EventOptions]
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
        replay: bool = False,
        via: Target | None = None,
        overlap: Overlap = "parallel",
        limit: int | None = None,
        timeout: float | None = None,
    ) -> ConnectedTo:
        """Connect a handler inside a `with` block, then restore exactly the previous state.

        Arguments and exceptions are those of `connect`, checked when the block is entered. A connection that was
        changed inside the block, or whose handler or sender has died, stays as it is.

        Example:
            >>> from cyevents import Event
            >>> ticked = Event("ticked")
            >>> with ticked.connected_to(lambda sender: "tock"):
            ...     ticked.emit("clock")
            ['tock']
        """
        return ConnectedTo(
            self,
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
        )

    def muted(self, *receivers: Callable[..., Any]) -> Muted:
        """Silence the event, or only some handlers, inside a `with` block. Nests.

        This affects emissions that begin inside the block, in all threads. A pattern silences the handlers that are
        connected to it.

        Args:
            *receivers: the handlers to silence, which may be those of patterns. Without any, the whole event.

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

    def watch(
        self, budget: float = 0.0005, on_slow: Callable[[float, Any, Event[Any], Any], object] | None = None
    ) -> Scope:
        """Report handlers that run longer than a budget, in emissions of this event that begin from now on.

        A pattern watches all matching events. Times, arguments and reports are those of `Namespace.watch`. You need
        not keep the returned `Scope`.

        Args:
            budget: the limit in seconds.
            on_slow: called as `on_slow(duration, handler, event, sender)`; `None` to log at WARNING.

        Raises:
            TypeError: if the budget is not a number, or `on_slow` not callable, or a coroutine function.
            ValueError: if the budget is not positive, or too large for a clock.

        Thread-safe.

        Example:
            >>> import time
            >>> from cyevents import Event
            >>> ticked = Event("ticked")
            >>> @ticked.connect
            ... def tock(sender):
            ...     time.sleep(0.01)
            >>> with ticked.watch(0.005, lambda duration, *_: print("at least 10 ms:", duration >= 0.01)):
            ...     ticked.emit("clock")
            at least 10 ms: True
            []
        """
        return watch_source(self, budget, on_slow)

    def held(self, merge: Merge = None) -> Hold:
        """Hold the emissions of this event inside a `with` block, and emit them at its end: see `Namespace.held`.

        A pattern holds the emissions of all matching events.

        Example:
            >>> from cyevents import Event
            >>> ticked = Event("ticked")
            >>> @ticked.connect
            ... def tock(sender, number):
            ...     print(f"tock {number}")
            >>> with ticked.held() as hold:
            ...     _ = ticked.emit("clock", 1), ticked.emit("clock", 2)
            ...     hold.emissions
            [emit('ticked', 'clock', 1), emit('ticked', 'clock', 2)]
            tock 1
            tock 2
        """
        return make_hold(self, merge)._note_caller()

    def hold(self, merge: Merge = None) -> Hold:
        """Hold the emissions of this event from now on, until the `Hold` is released: see `Namespace.hold`.

        A pattern holds the emissions of all matching events.
        """
        return make_hold(self, merge)._note_caller()._open()

    def settle(self) -> None:
        """Do now the work that changed connections leave to the next emission.

        Connecting is cheap because the next emission puts the handlers in order, which takes time in proportion to
        their number. If that time matters to you, call `settle` after changes, for example at the end of startup. A
        pattern settles all matching events.

        Thread-safe. This also logs, at DEBUG, handlers that have died since the last emission.

        Example:
            >>> from cyevents import Event
            >>> ticked = Event("ticked")
            >>> @ticked.connect
            ... def tock(sender):
            ...     return "tock"
            >>> ticked.settle()
            >>> ticked.emit("clock")
            ['tock']
        """
        self._settle()

    # Emitting

    @coroutine_function
    def emit_async(
        self, /, sender: SenderT | AnySender = ANY, *args: ArgsP.args, **kwargs: ArgsP.kwargs
    ) -> Coroutine[Any, Any, list[Any]]:
        """Emit and await the handlers: those of one priority concurrently, then those of the next lower priority.

        With `sequential`, each handler is awaited before the next one is called, and may cancel it. A handler that
        returns `False` or raises `Cancel` cancels the lower priorities.

        Sync handlers are called in place. Async ones run as tasks (started eagerly from Python 3.12 on), or in the
        emitter's task if only the last one of a priority is async. Either way each has its own copy of the context.

        Args:
            sender: the object that emits.
            *args: positional arguments for the handlers.
            **kwargs: keyword arguments for the handlers.

        Returns:
            An awaitable of the list of results in dispatch order: as from `emit`, with the results of async handlers
            too, and a list of the yielded items for each async generator.

        Raises:
            Exception: the first exception of a handler in dispatch order, once its priority is done. Others go to the
                loop's exception handler. `on_error` may change that.
            ValueError: for a pattern, when called.
            RuntimeError: when awaited without a running loop of asyncio or trio.
            ImportError: when awaited under trio and anyio is not installed.

        If it is cancelled, it cancels its handlers and waits for them.

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
        emission: Coroutine[Any, Any, list[Any]] = (_emit_async or load_emit_async())(self, sender, args, kwargs)
        return emission

    if TYPE_CHECKING:

        @overload
        def first(self, /, sender: SenderT | AnySender = ..., *args: ArgsP.args, **kwargs: ArgsP.kwargs) -> Any: ...
        @overload
        def first(self, /, sender: SenderT | AnySender = ..., *args: Any, default: Any, **kwargs: Any) -> Any: ...

    def first(self, /, sender: Any = ANY, *args: Any, default: Any = None, **kwargs: Any) -> Any:
        """Call the handlers until one returns something other than `None`, and return that.

        Order, senders, conditions and `on_error` are those of `emit`. Handlers after the one that answers are not
        called: their conditions are not evaluated, and `once=True` is not used up. Every value except `None` and
        `False` is an answer, also `0` and `""`. A generator answers with the list of its items, even an empty one.
        Async handlers are scheduled as by `emit`, and never answer.

        Args:
            sender: the object that asks. Handlers connected for another sender are not called.
            *args: positional arguments for the handlers.
            default: what to return if no handler answers. Handlers do not get this keyword.
            **kwargs: other keyword arguments for the handlers, of any names.

        Returns:
            The answer; `default` if there is none, or if a handler cancels.

        Raises:
            Exception: what a handler raises. `on_error` may change that; with `"group"`, the exceptions of earlier
                handlers are raised even if there is an answer.
            ValueError: for a pattern.

        Thread-safe and re-entrant, as `emit` is.

        Example:
            >>> from cyevents import Event
            >>> price_asked = Event("price.asked")
            >>> prices = {"tea": 3}
            >>> @price_asked.connect
            ... def look_up(product):
            ...     return prices.get(product)
            >>> price_asked.first("tea"), price_asked.first("coffee"), price_asked.first("coffee", default=0)
            (3, None, 0)
        """
        observer = self._observer
        if observer is None:
            results: list[Any] = run(
                self, self._begin_emission(sender, args, kwargs), sender, args, kwargs, None, FIRST
            )
        else:
            results = observer.emit(self, sender, args, kwargs, "first")
        return results[0] if results and type(results) is list else default

    @coroutine_function
    def send_async(
        self, /, sender: SenderT | AnySender = ANY, *args: ArgsP.args, **kwargs: ArgsP.kwargs
    ) -> Coroutine[Any, Any, list[tuple[Any, Any]]]:
        """Call and await the handlers, and return pairs of each handler and its value, whatever that is.

        Unlike `emit_async`, it keeps `None`, consumes no generator, sync or async, and no handler cancels. Order,
        senders, conditions, `sequential` and `on_error` are those of `emit_async`.

        Args:
            sender: the object that emits.
            *args: positional arguments for the handlers.
            **kwargs: keyword arguments for the handlers.

        Returns:
            An awaitable of a list of pairs `(handler, value)` in dispatch order. The value is the return value; if that
            is awaitable, the result of awaiting it.

        Raises what `emit_async` does. If it is cancelled, it cancels its handlers and waits for them.

        Example:
            >>> import asyncio
            >>> from cyevents import Event
            >>> saved = Event("saved")
            >>> @saved.connect
            ... async def report(sender):
            ...     return None
            >>> asyncio.run(saved.send_async("draft")) == [(report, None)]
            True
        """
        observer = self._observer
        if observer is not None:
            observed: Coroutine[Any, Any, list[tuple[Any, Any]]] = observer.send_async(self, sender, args, kwargs)
            return observed
        sending: Coroutine[Any, Any, list[tuple[Any, Any]]] = (_send_async or load_emit_async("send_async"))(
            self, sender, args, kwargs
        )
        return sending

    if TYPE_CHECKING:

        @overload
        def first_async(
            self, /, sender: SenderT | AnySender = ..., *args: ArgsP.args, **kwargs: ArgsP.kwargs
        ) -> Coroutine[Any, Any, Any]: ...
        @overload
        def first_async(
            self, /, sender: SenderT | AnySender = ..., *args: Any, default: Any, **kwargs: Any
        ) -> Coroutine[Any, Any, Any]: ...

    @coroutine_function
    def first_async(
        self, /, sender: Any = ANY, *args: Any, default: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, Any]:
        """Call and await the handlers one by one until one returns something other than `None`, and return that.

        Order, senders, conditions and `on_error` are those of `emit_async`. Handlers after the one that answers are not
        called. A generator, sync or async, answers with the list of its items, even an empty one.

        Args:
            sender: the object that asks.
            *args: positional arguments for the handlers.
            default: what to return if no handler answers. Handlers do not get this keyword.
            **kwargs: other keyword arguments for the handlers.

        Returns:
            An awaitable of the answer; of `default` if there is none, or if a handler cancels.

        Raises what `emit_async` does; with `on_error="group"`, the exceptions of earlier handlers are raised even if
        there is an answer. If it is cancelled, it cancels the running handler and waits for it.

        Example:
            >>> import asyncio
            >>> from cyevents import Event
            >>> page_asked = Event("page.asked")
            >>> @page_asked.connect
            ... async def look_into_cache(name):
            ...     return None
            >>> @page_asked.connect
            ... async def fetch(name):
            ...     return f"page {name}"
            >>> asyncio.run(page_asked.first_async("home"))
            'page home'
        """
        observer = self._observer
        if observer is not None:
            observed: Coroutine[Any, Any, Any] = observer.first_async(self, sender, args, kwargs, default)
            return observed
        asking: Coroutine[Any, Any, Any] = (_first_async or load_emit_async("first_async"))(
            self, sender, args, kwargs, None, default
        )
        return asking

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
        """Await the next emission of the event; for a pattern, of any matching event.

        It listens from the call on, so it does not miss an emission between the call and the `await`. Nothing stays
        connected, however it ends. Emissions may come from any thread.

        Args:
            sender: wait for this sender only; `ANY` for all.
            condition: called as `condition(sender, **kwargs)` in the emission. A false result skips the emission.
            timeout: how long to wait at most, in seconds from the `await` on.
            priority: its priority among the handlers. If a handler of a higher priority cancels an emission, the wait
                goes on.

        Returns:
            An awaitable of an `Emission`, with `event`, `sender`, `args` and `kwargs`.

        Raises:
            TypeError: if an argument has the wrong type; when called.
            ValueError: if the timeout is NaN; when called.
            TimeoutError: if there is no such emission in time.
            RuntimeError: when awaited without a running loop of asyncio or trio, or if the event is cleared.

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

    def wait_sync(
        self,
        sender: SenderT | AnySender = ANY,
        condition: Callable[..., object] | None = None,
        timeout: float | None = None,
        *,
        priority: int = 0,
    ) -> Emission[SenderT]:
        """Block the calling thread until the next emission; for a pattern, of any matching event.

        For threads without an event loop. Nothing stays connected, however it ends. Emissions may come from any other
        thread, or from a signal handler or a finalizer in this one.

        Args:
            sender: wait for this sender only; `ANY` for all.
            condition: called as `condition(sender, **kwargs)` in the emission. A false result skips the emission.
            timeout: how long to wait at most, in seconds.
            priority: its priority among the handlers. If a handler of a higher priority cancels an emission, the wait
                goes on.

        Returns:
            An `Emission`, with `event`, `sender`, `args` and `kwargs`.

        Raises:
            TypeError: if an argument has the wrong type.
            ValueError: if the timeout is NaN.
            TimeoutError: if there is no such emission in time.
            RuntimeError: if a loop of asyncio or trio runs in this thread, or the event is cleared.

        Thread-safe. In the main thread, Ctrl-C interrupts it.

        Example:
            >>> import threading
            >>> from cyevents import Event
            >>> replied = Event("replied")
            >>> timer = threading.Timer(0.01, replied.emit, ["the server"], {"status": 200})
            >>> timer.start()
            >>> replied.wait_sync("the server").kwargs
            {'status': 200}
        """
        emission: Emission[SenderT] = (_Stream or _load_stream())._wait_sync(
            self, isinstance(self, Pattern), sender, condition, timeout, priority
        )
        return emission

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

        In a thread without an event loop, use a plain `for`.

        The stream listens until you close it, by `close` or by leaving its `with` or `async with` block, or until
        nothing refers to it any more, as after a `break` out of the loop. Emissions go to a buffer, so they never wait;
        they may come from any thread.

        Args:
            sender: only emissions of this sender; `ANY` for all.
            condition: called as `condition(sender, **kwargs)` in the emission. A false result skips the emission.
            buffer: how many emissions the buffer holds.
            overflow: what happens when the buffer is full. `"raise"`: the stream yields what it holds, then raises
                `StreamOverflow`. `"drop_oldest"` and `"drop_newest"`: drop one, and count it in `dropped`.
            priority: its priority among the handlers. It does not get emissions that a handler of a higher priority
                cancels.

        Returns:
            A `Stream` of `Emission`, for one task or thread at a time.

        Raises:
            TypeError: if an argument has the wrong type.
            ValueError: if `buffer` is less than 1, or `overflow` an unknown word.

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
        """The connections in dispatch order, including those of matching patterns."""
        return connections_of(self)

    def has_handlers_for(self, sender: SenderT | AnySender = ANY) -> bool:
        """Return whether an emission by this sender would find a handler now.

        Handlers of patterns count, and conditions are not called. While the event is muted, it returns `False`.

        Args:
            sender: the sender; `ANY` for an emission without one, which only handlers connected for `ANY` receive.

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
        """Return whether a handler is connected to this event, so that `disconnect` would remove a connection.

        Connections to patterns do not count, nor those that `once` has used up or whose handler or sender has died.
        Muting makes no difference.

        Args:
            receiver: the handler.
            sender: the sender that it is connected for; `ANY` for any connection of the handler.

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

    def __dir__(self) -> list[str]:
        return public_names(super().__dir__())

    def __repr__(self) -> str:
        sources = [source for _, _, source in self._connections()]
        own = sum(source is self for source in sources)
        text = f"{own} handler{'s' * (own != 1)}"
        if own < len(sources):
            text += f", {len(sources) - own} by pattern"
        return f"<{type(self).__name__} {source_text(self)}: {text}>"

    if not TYPE_CHECKING:

        def __class_getitem__(cls, types: object) -> object:
            """Return the alias `Event[Order, [int, str]]`, with a tuple for the list so that it can be hashed."""
            from types import GenericAlias

            if type(types) is tuple:
                types = tuple([tuple(it) if type(it) is list else it for it in types])
            return GenericAlias(cls, types)

    def __copy__(self) -> Event[SenderT, ArgsP]:
        return self

    def __deepcopy__(self, memo: object) -> Event[SenderT, ArgsP]:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"event {self._name!r} cannot be pickled: send its name, and find it by that in its namespace")


class _Unnamed:
    """The observer of an event without a name: refuses its emissions. It is used as a class."""

    scopes = ()

    @staticmethod
    def emit(*emission: object) -> NoReturn:
        raise RuntimeError(
            "an event without a name cannot be emitted: give it one, as in Event('order.paid'), or make it in the body"
            " of a class, which names it after its place"
        )

    send = emit_async = send_async = first_async = emit


class _Doc:
    """The `__doc__` of `Event` and of its instances: their own one, or else that of the class.

    It is kept in a slot. In the instance's `__dict__` it would cost each `event.emit(...)` the interpreter's fast path
    for methods: 24 % more on Python 3.13. Subclasses have a `__doc__` of their own, and so do not use this.
    """

    __slots__ = ("_class_doc",)

    def __init__(self, class_doc: str | None) -> None:
        self._class_doc = class_doc

    def __get__(self, event: EventHooks | None, owner: type) -> str | None:
        doc = getattr(event, "_doc", None)
        return self._class_doc if doc is None else doc

    def __set__(self, event: EventHooks, doc: str | None) -> None:
        event._doc = doc

    def __delete__(self, event: EventHooks) -> None:
        event._doc = None


Event.__doc__ = _Doc(Event.__doc__)  # type: ignore[assignment]


class Pattern(Event):
    """An event for a pattern of names, which `event(pattern)` returns.

    Its handlers are called for all events of the namespace whose names match, present and future, and for matching
    names without an event. You connect handlers as to any event, but a pattern cannot be emitted.
    """

    __slots__ = ("matches",)

    matches: Callable[[str], object]

    def __init__(self, name: str, namespace: object) -> None:
        self._name = name
        self._namespace = namespace
        self._on_error = None
        self.matches = matcher(name)

    def __get__(self, instance: object, owner: type[Any] | None = None, /) -> Self:  # type: ignore[override]
        """Return the pattern itself: patterns do not bind, since they cannot be emitted."""
        return self

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

    def first(self, /, sender: Any = ANY, *args: Any, default: Any = None, **kwargs: Any) -> Any:
        """Raise `ValueError`: a pattern cannot be emitted."""
        raise pattern_error(self._name)

    @coroutine_function
    def send_async(self, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, list[tuple[Any, Any]]]:
        """Raise `ValueError`: a pattern cannot be emitted."""
        raise pattern_error(self._name)

    @coroutine_function
    def first_async(
        self, /, sender: Any = ANY, *args: Any, default: Any = None, **kwargs: Any
    ) -> Coroutine[Any, Any, Any]:
        """Raise `ValueError`: a pattern cannot be emitted."""
        raise pattern_error(self._name)


def run(
    event: EventCore,
    entries: tuple[Entry, ...],
    sender: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    watch: Any,
    mode: int,
) -> list[Any]:
    """Call entries, with FIRST up to the first result, and return the results: see `EventCore._dispatch`."""
    errors: list[Exception] = []
    try:
        results: list[Any] = event._dispatch(entries, sender, args, kwargs, [], errors, watch, mode)
        if errors:
            raise event._make_exception_group(errors)
    finally:
        errors.clear()  # their tracebacks refer to this frame: a reference cycle
    return results


global_scopes: list[EventScope] = []
"""The scopes that observe events in all namespaces, and in none: each event that is made is attached to them."""


# What is taken from `_async`, whose modules import asyncio and so are imported when first needed. Not the modules
# themselves, since finalizers may still use these at exit: see the end of `_core/__init__.py`.
_emit_async: Any = None
_send_async: Any = None
_first_async: Any = None
_Stream: Any = None


def load_emit_async(way: str = "emit_async") -> Any:
    """Return the function behind `Event.emit_async`, or another method that awaits handlers, importing it if needed."""
    global _emit_async, _send_async, _first_async
    if _emit_async is None:
        try:
            from ._async.gather import emit_async, first_async, send_async
        except TypeError:  # there is no `__import__` any more
            raise ImportError("the interpreter is exiting") from None
        _first_async, _send_async, _emit_async = first_async, send_async, emit_async
    return _emit_async if way == "emit_async" else _send_async if way == "send_async" else _first_async


def _load_stream() -> Any:
    global _Stream
    try:
        from ._async.streams import Stream as _Stream
    except TypeError:
        raise ImportError("the interpreter is exiting") from None
    return _Stream


def watch_source(source: object, budget: float, on_slow: Callable[..., object] | None) -> Scope:
    """Watch a namespace or an event: see `Namespace.watch`."""
    from importlib import import_module

    # Instruments are built on this module. It uses one only here, by name and when it is called.
    scope: Scope = import_module(f"{__package__}._budget").watch(source, budget, on_slow)
    return scope
