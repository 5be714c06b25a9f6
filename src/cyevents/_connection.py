"""The results of `subscribe`, `connected_to`, `muted` and `handlers`, and of `connect` and `on` as decorators."""

from __future__ import annotations

import sys

from ._checks import check_handler, is_pattern, kind_of
from ._core import ONCE, REPLAY, THREAD, WITH_EVENT, Entry, EventCore, expect_death, handler_key
from ._core._introspection import warn_at
from ._core._safe import handler_name, int_text, safe_repr, source_text
from ._core._values import ANY, PARALLEL
from ._options import ConnectOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable
    from types import FrameType, TracebackType
    from typing import Any, TypeVar

    from ._checks import Kind
    from ._public import Event, Namespace
    from ._typing import Overlap, Target

    ResultT = TypeVar("ResultT")


class Decorator:
    """Connects the decorated function. If it is discarded unused, it warns at the line that created it.

    Args:
        connect: connects a handler; it also gets the frame in which the decorator is called.
        sender: the sender that the handler will be connected for.
        text: the call that created it, for the warning.
        frame: the frame of that call.
    """

    __slots__ = ("_connect", "_is_used", "_line", "_sender", "_text")

    def __init__(
        self, connect: Callable[[Any, FrameType | None], object], sender: Any, text: str, frame: FrameType | None
    ) -> None:
        self._connect = connect
        self._sender = sender
        self._text = text
        self._is_used = frame is None  # made by C code, which has no lines to warn at
        self._line = None if frame is None else (frame.f_code.co_filename, frame.f_lineno, frame.f_globals)

    def __call__(self, handler: Any, /) -> Any:
        """Connect the handler, and return it."""
        self._is_used = True
        check_handler(handler)
        self._connect(handler, sys._getframe().f_back)
        return handler

    def __del__(self, is_finalizing: Any = sys.is_finalizing) -> None:
        if self._is_used or self._line is None or is_finalizing():
            return
        text = f"{self._text} returned a decorator, which was discarded: nothing is connected. Put it above a function"
        text += ", or give connect() the handler"
        sender = self._sender
        if sender is not ANY and callable(sender):
            text += f" ({safe_repr(sender)} was taken for the sender)"
        warn_at(text, *self._line)

    def __repr__(self) -> str:
        return f"<decorator of {self._text}>"


class Subscription:
    """A connection that keeps its handler alive until you cancel it. `Event.subscribe` returns it.

    Leaving its `with` block cancels it. It removes only its own connection, not a later one of the same handler.
    Thread-safe.

    Example:
        >>> from cyevents import Event
        >>> ticked = Event("ticked")
        >>> subscription = ticked.subscribe(lambda sender: "tock", once=True)
        >>> subscription.active, subscription.event is ticked
        (True, True)
        >>> ticked.emit("clock")
        ['tock']
        >>> subscription.active
        False
    """

    __slots__ = ("_entry", "_event", "_receiver")

    def __init__(self, event: Event[Any], receiver: Callable[..., Any] | None, entry: Entry) -> None:
        self._event = event
        self._receiver = receiver  # kept alive; None: it is not
        self._entry: Entry | None = entry  # None: cancelled

    @property
    def event(self) -> Event[Any]:
        """The `Event` or pattern that the handler was connected to."""
        return self._event

    @property
    def active(self) -> bool:
        """Whether the connection still exists.

        It ends when it is cancelled, disconnected, used up by `once`, or replaced by a later connection of the handler,
        and when its sender dies. Muting does not end it.
        """
        entry = self._entry
        return entry is not None and self._event._has_entry(entry)

    def cancel(self) -> bool:
        """Disconnect the handler and release it. Return whether the connection still existed."""
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
        if entry is None:
            return f"<Subscription to {self._event.name!r}: cancelled>"
        return f"<Subscription of {entry.name} to {self._event.name!r}: {'active' if self.active else 'ended'}>"


def subscribe(
    event: Event[Any],
    receiver: Any,
    sender: Any,
    weak: bool,
    priority: int,
    condition: Any,
    once: bool,
    with_event: bool,
    thread: bool,
    replay: bool,
    via: Any,
    overlap: Any,
    limit: Any,
    timeout: Any,
    frame: FrameType | None,
) -> Subscription:
    """Connect a handler for the caller in that frame, and return the subscription."""
    made: list[Any] = []
    try:
        if via is None and overlap is PARALLEL and limit is None and timeout is None:
            event._check_and_connect(
                made, receiver, sender, weak, priority, condition, once, with_event, thread, replay, frame
            )
        else:
            options = ConnectOptions(
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
            event._add(receiver, sender, options, frame, made)
        entry: Entry = made[0]
        expect_death(entry)
        return Subscription(event, receiver, entry)
    except BaseException:
        undo_connection(event, made, sender)
        raise


class _Block:
    """A context manager that changes a target and undoes that. It may be entered again, and nested in itself."""

    __slots__ = ("_entered", "_target")

    _block_type: type = object

    def __init__(self, target: Any) -> None:
        self._target = target
        self._entered: list[Any] = []  # an object of `_block_type` for each block that was entered and not left

    def __enter__(self) -> Any:
        block = self._block_type()
        try:
            self._entered.append(block)
            self._do(block)
            return self._target
        except BaseException:  # then `__exit__` is not called
            for index, each in enumerate(self._entered):
                if each is block:
                    del self._entered[index]
                    break
            self._undo(block)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            block = self._entered.pop()
        except MemoryError:  # making a list smaller needs memory
            block = self._entered.pop()
        try:
            self._undo(block)
        except BaseException:  # a signal handler has raised: once more, since a block is left only once
            self._undo(block)
            raise

    def __repr__(self) -> str:
        state = "active" if self._entered else "not active"
        return f"<{self._what()} {source_text(self._target)}: {state}>"

    def _what(self) -> str:
        """Return what it does to its target, for the `repr`."""
        raise NotImplementedError

    def _do(self, block: Any) -> None:
        raise NotImplementedError

    def _undo(self, block: Any) -> None:
        """Undo what `_do` has done, if it got that far."""
        raise NotImplementedError


class ConnectedTo(_Block):
    """The context manager of `Event.connected_to`. It may be entered again, and nested in itself."""

    __slots__ = ("_arguments",)

    _block_type = list  # of the new entry and the one that it has replaced

    def __init__(self, event: Event[Any], *arguments: Any) -> None:
        super().__init__(event)
        self._arguments = arguments  # those of `ConnectOptions`: they are checked when the block is entered

    if TYPE_CHECKING:

        def __enter__(self) -> Event[Any]: ...

    def _what(self) -> str:
        receiver, sender = self._arguments[:2]
        return handler_name(receiver) + ("" if sender is ANY else f" for {safe_repr(sender)}") + " connected to"

    def _do(self, block: Any) -> None:
        receiver, sender = self._arguments[:2]
        options = ConnectOptions(*self._arguments)
        self._target._add(receiver, sender, options, sys._getframe(1).f_back, block)  # that of the `with` statement

    def _undo(self, block: Any) -> None:
        undo_connection(self._target, block, self._arguments[1])


class Muted(_Block):
    """The context manager of `muted`, of events and namespaces. It may be entered again, and nested in itself."""

    __slots__ = ("_keys", "_receivers")

    def __init__(self, target: Event[Any] | Namespace, receivers: tuple[Callable[..., Any], ...]) -> None:
        super().__init__(target)
        self._receivers = receivers  # kept alive, or their keys could become those of other handlers
        self._keys = [handler_key(receiver) for receiver in receivers] or [None]

    def _what(self) -> str:
        names = ", ".join([handler_name(receiver) for receiver in self._receivers])
        return f"muted {names} of" if names else "muted"

    def _do(self, block: Any) -> None:
        self._target._mute(block, self._keys)

    def _undo(self, block: Any) -> None:
        self._target._unmute(block)


def connect_all(
    connections: Iterable[tuple[Event[Any], Any, Any, ConnectOptions]],
    frame: FrameType | None,
    result: Callable[[list[tuple[Event[Any], list[Any], Any]]], ResultT],
) -> ResultT:
    """Connect each receiver to its event for its sender, or none if one fails: see `Event._add`.

    Return what `result` makes of the event, the new entry with the one that it replaced, and the sender of each. If
    that fails too, nothing is connected.
    """
    all_made: list[tuple[Event[Any], list[Any], Any]] = []
    try:
        for event, receiver, sender, options in connections:
            made: list[Any] = []
            all_made.append((event, made, sender))
            event._add(receiver, sender, options, frame, made)
        return result(all_made)
    except BaseException:
        for each in reversed(all_made):  # the last one first: it may have replaced an earlier one
            undo_connection(*each)
        raise


def undo_connection(event: EventCore, made: list[Any], sender: Any) -> None:
    """Undo an `Event._add` that has filled this list, if it got that far."""
    if made:
        entry, previous = made if len(made) == 2 else (made[0], None)
        event._restore(entry, previous, sender)


class Connection:
    """One connection of an event, as it was when `Event.handlers` was read.

    Attributes:
        handler: the handler.
        sender: the sender that it is connected for, or `ANY`.
        priority: an int; higher is called earlier.
        condition: the condition, or `None`.
        weak: whether the handler is held weakly.
        once: whether it is called only once.
        kind: `"sync"`, `"async"`, `"generator"` or `"async_generator"`, as far as the handler's code shows.
        with_event: whether it gets the event as a keyword.
        thread: whether `emit_async` runs it in a thread.
        replay: whether it was first called with kept emissions.
        via: the mailbox, event loop or executor that its calls are delivered to, or `None`.
        overlap: what happens if an earlier call still runs: see `Event.connect`.
        limit: how many of its calls run at once, or `None`.
        timeout: how many seconds it may take, or `None`.
        skipped: how many of its calls `overlap` has dropped before they began.
        restarted: how many of its calls a later one has cancelled, with `overlap="restart"`.
        pattern: the pattern that it is connected to, a string; `None` for the event itself.
    """

    __slots__ = (
        "condition",
        "handler",
        "kind",
        "limit",
        "once",
        "overlap",
        "pattern",
        "priority",
        "replay",
        "restarted",
        "sender",
        "skipped",
        "thread",
        "timeout",
        "via",
        "weak",
        "with_event",
    )

    def __init__(self, entry: Entry, handler: Callable[..., Any], sender: Any, event_name: str) -> None:
        self.handler = handler
        self.sender = sender
        self.priority = entry.priority
        self.condition: Callable[..., object] | None = entry.condition
        self.weak = entry.weak
        self.once = bool(entry.flags & ONCE)
        self.kind: Kind = kind_of(handler)
        self.with_event = bool(entry.flags & WITH_EVENT)
        self.thread = bool(entry.flags & THREAD)
        self.replay = bool(entry.flags & REPLAY)
        options = None if entry.delivery is None else entry.delivery.options
        self.via: Target | None = None if options is None else options.via
        self.overlap: Overlap = PARALLEL if options is None else options.overlap
        self.limit: int | None = None if options is None else options.limit
        self.timeout: float | None = None if options is None else options.timeout
        control = None if options is None else entry.delivery.control
        self.skipped: int = 0 if control is None else control.skipped
        self.restarted: int = 0 if control is None else control.restarted
        self.pattern = event_name if is_pattern(event_name) else None

    def __repr__(self) -> str:
        parts = [handler_name(self.handler), self.kind]
        if self.sender is not ANY:
            parts.append(f"sender={safe_repr(self.sender)}")
        if self.priority:
            parts.append(f"priority={int_text(self.priority)}")
        if self.condition is not None:
            parts.append(f"condition={handler_name(self.condition)}")
        parts += [f"{option}=True" for option in ("once", "with_event", "thread") if getattr(self, option)]
        parts += delivery_texts(self)
        if not self.weak:
            parts.append("weak=False")
        if self.pattern is not None:
            parts.append(f"pattern={self.pattern!r}")
        return f"<Connection {', '.join(parts)}>"


def delivery_texts(options: Any) -> list[str]:
    """Return what to show of the options `via`, `overlap`, `limit` and `timeout` of a connection."""
    texts = (
        [] if options.via is None else [f"via {options.via if type(options.via) is str else safe_repr(options.via)}"]
    )
    if options.overlap != PARALLEL:
        counts = [f"{getattr(options, word)} {word}" for word in ("skipped", "restarted") if getattr(options, word)]
        texts.append(f"overlap={options.overlap}" + (f" ({', '.join(counts)})" if counts else ""))
    if options.limit is not None:
        texts.append(f"limit={options.limit}")
    if options.timeout is not None:
        texts.append(f"timeout={options.timeout:g} s")
    return texts


def connections_of(event: Event[Any], entries: Container[int] | None = None) -> list[Connection]:
    """Return the connections of an event in dispatch order, without dead handlers and those used up by `once`.

    With `entries`, only those of entries with these ids.
    """
    connections = []
    for entry, sender, source in event._connections():
        if entries is not None and id(entry) not in entries:
            continue
        handler = entry.get()
        if handler is not None and not entry.is_consumed:
            connections.append(Connection(entry, handler, sender, source.name))
    return connections
