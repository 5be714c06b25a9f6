"""What `subscribe`, `connected_to`, `muted` and `handlers` of an event return."""

from __future__ import annotations

import sys

from ._checks import is_pattern
from ._core import ONCE, THREAD, WITH_EVENT, Entry, handler_key
from ._core._safe import handler_name, int_text, safe_repr
from ._core._values import ANY
from ._handlers import kind_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from ._handlers import Kind
    from ._public import Event, Namespace


class Subscription:
    """A connection that can be cancelled, and that holds its handler; made by `Event.subscribe`.

    Leaving its `with` cancels it. It removes only the connection that it made, not a later one of the same handler.
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

    def __init__(self, event: Event[Any], receiver: Callable[..., Any], entry: Entry) -> None:
        self._event = event
        self._receiver: Callable[..., Any] | None = receiver
        self._entry: Entry | None = entry  # None: cancelled

    @property
    def event(self) -> Event[Any]:
        """The `Event`, or the event of a pattern, that the handler was connected to."""
        return self._event

    @property
    def active(self) -> bool:
        """Whether the connection still exists.

        It ends when it is cancelled, disconnected, replaced by a later connection of the same handler, or used up by
        `once`, and when its sender dies. Muting does not end it.
        """
        entry = self._entry
        return entry is not None and self._event._has_entry(entry)

    def cancel(self) -> bool:
        """Disconnect the handler and stop holding it. Return whether the connection still existed."""
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
        self._connected: list[list[Any]] = []  # what was made, for each `with` that was entered

    def __enter__(self) -> Event[Any]:
        made: list[Any] = []
        try:
            self._connected.append(made)
            self._event._add(self._receiver, self._sender, **self._options, frame=sys._getframe().f_back, made=made)
            return self._event
        except BaseException:  # if this fails, `__exit__` is not called
            _drop(self._connected, made)
            undo_connection(self._event, made, self._sender)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        made = _take_last(self._connected)
        try:
            undo_connection(self._event, made, self._sender)
        except BaseException:  # a signal handler has raised: once more, since a `with` is left only once
            undo_connection(self._event, made, self._sender)
            raise


class Muted:
    """The context manager of `muted`, of events and namespaces. May be entered again, and nested in itself."""

    __slots__ = ("_entered", "_keys", "_receivers", "_target")

    def __init__(self, target: Event[Any] | Namespace, receivers: tuple[Callable[..., Any], ...]) -> None:
        self._target = target
        self._receivers = receivers  # held, so that the keys stay theirs
        self._keys = [handler_key(receiver) for receiver in receivers] or [None]
        self._entered: list[object] = []  # what the target knows each `with` by

    def __enter__(self) -> Any:
        by = object()
        try:
            self._entered.append(by)
            self._target._mute(by, self._keys)
            return self._target
        except BaseException:  # if this fails, `__exit__` is not called
            _drop(self._entered, by)
            self._target._unmute(by)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        by = _take_last(self._entered)
        try:
            self._target._unmute(by)
        except BaseException:  # a signal handler has raised: once more, since a `with` is left only once
            self._target._unmute(by)
            raise


def undo_connection(event: Event[Any], made: list[Any], sender: Any) -> None:
    """Undo an `Event._add` that has filled this list, if it got that far."""
    if made:
        entry, previous = made if len(made) == 2 else (made[0], None)
        event._restore(entry, previous, sender)


def _take_last(entered: list[Any]) -> Any:
    """Remove the last item of a list and return it."""
    try:
        return entered.pop()
    except MemoryError:  # to make the list smaller needs memory
        return entered.pop()


def _drop(entered: list[Any], which: object) -> None:
    """Take out of a list the very object, if it is there."""
    for index, each in enumerate(entered):
        if each is which:
            del entered[index]
            return


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
            said.append(f"sender={safe_repr(self.sender)}")
        if self.priority:
            said.append(f"priority={int_text(self.priority)}")
        if self.condition is not None:
            said.append(f"condition={handler_name(self.condition)}")
        said += [f"{option}=True" for option in ("once", "with_event", "thread") if getattr(self, option)]
        if not self.weak:
            said.append("weak=False")
        if self.pattern is not None:
            said.append(f"pattern={self.pattern!r}")
        return f"<Connection {', '.join(said)}>"


def connection_of(entry: Entry, sender: Any, source: Any) -> Connection | None:
    """Return the public form of an entry of an event or a pattern; None if it is dead or used up."""
    handler = entry.get()
    if handler is None or entry.is_consumed:
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
    connection.pattern = source._name if is_pattern(source._name) else None
    return connection
