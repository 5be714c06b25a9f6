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
    """A connection that can be cancelled, and that keeps its handler alive; made by `Event.subscribe`.

    Leaving its `with` block cancels it. It removes only the connection that it made, not a later one of the same
    handler. Thread-safe.

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
        state = "cancelled" if entry is None else f"of {entry.name}"
        return f"<Subscription {state} to {self._event.name!r}>"


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

    def _do(self, block: Any) -> None:
        raise NotImplementedError

    def _undo(self, block: Any) -> None:
        """Undo what `_do` has done, if it got that far."""
        raise NotImplementedError


class ConnectedTo(_Block):
    """The context manager of `Event.connected_to`. It may be entered again, and nested in itself."""

    __slots__ = ("_options", "_receiver", "_sender")

    _block_type = list  # of the new entry and the one that it has replaced

    def __init__(self, event: Event[Any], receiver: Any, sender: Any, options: dict[str, Any]) -> None:
        super().__init__(event)
        self._receiver = receiver
        self._sender = sender
        self._options = options

    if TYPE_CHECKING:

        def __enter__(self) -> Event[Any]: ...

    def _do(self, block: Any) -> None:
        frame = sys._getframe(1).f_back  # that of the `with` statement
        self._target._add(self._receiver, self._sender, **self._options, frame=frame, made=block)

    def _undo(self, block: Any) -> None:
        undo_connection(self._target, block, self._sender)


class Muted(_Block):
    """The context manager of `muted`, of events and namespaces. It may be entered again, and nested in itself."""

    __slots__ = ("_keys", "_receivers")

    def __init__(self, target: Event[Any] | Namespace, receivers: tuple[Callable[..., Any], ...]) -> None:
        super().__init__(target)
        self._receivers = receivers  # kept alive, or their keys could become those of other handlers
        self._keys = [handler_key(receiver) for receiver in receivers] or [None]

    def _do(self, block: Any) -> None:
        self._target._mute(block, self._keys)

    def _undo(self, block: Any) -> None:
        self._target._unmute(block)


def undo_connection(event: Event[Any], made: list[Any], sender: Any) -> None:
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
        once: whether it is called once only.
        kind: `"sync"`, `"async"`, `"generator"` or `"async_generator"`, as far as the handler's code tells.
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
        parts = [handler_name(self.handler), self.kind]
        if self.sender is not ANY:
            parts.append(f"sender={safe_repr(self.sender)}")
        if self.priority:
            parts.append(f"priority={int_text(self.priority)}")
        if self.condition is not None:
            parts.append(f"condition={handler_name(self.condition)}")
        parts += [f"{option}=True" for option in ("once", "with_event", "thread") if getattr(self, option)]
        if not self.weak:
            parts.append("weak=False")
        if self.pattern is not None:
            parts.append(f"pattern={self.pattern!r}")
        return f"<Connection {', '.join(parts)}>"


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
    connection.pattern = source.name if is_pattern(source.name) else None
    return connection
