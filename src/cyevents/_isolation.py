"""`Isolation`: restores a namespace to its previous state, whatever a test did to it."""

from __future__ import annotations

from ._core import CONDITION, DELIVERED, ONCE, REPLAY, THREAD, WITH_EVENT, Entry
from ._namespace import Namespace, default_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from ._event import Event
    from ._typing import ErrorPolicy

_OPTIONS = ONCE | WITH_EVENT | CONDITION | THREAD | REPLAY


class Isolation:
    """Undoes, at the end of its `with` block, all changes to a namespace inside it.

    The test sees all connections of the program. At the end, handlers that it connected are disconnected, and those
    that it disconnected or used up by `once` are connected again in their old order. Events and patterns that it
    created are removed, and those that it deleted are back, the same objects. `on_error`, `sequential`, docs,
    attributes and kept emissions of events are restored. Earlier handlers and senders are kept alive meanwhile.

    If the test removes a connection, an earlier `Subscription` of it, or of a connection made after it, does not cancel
    the restored one.

    Args:
        namespace: the namespace; by default the default namespace.

    Under pytest, the fixture `isolated_events` does this for the default namespace.

    Example:
        >>> from cyevents import default_namespace, emit, on
        >>> from cyevents.testing import Isolation
        >>> with Isolation():
        ...     @on("order.placed")
        ...     def confirm(sender):
        ...         return "confirmed"
        ...     emit("order.placed")
        ['confirmed']
        >>> "order.placed" in default_namespace
        False
    """

    def __init__(self, namespace: Namespace = default_namespace) -> None:
        self._namespace = namespace

    def __enter__(self) -> Isolation:
        namespace = self._namespace
        self._policy = namespace.on_error
        self._is_sequential = namespace.sequential
        self._contents = namespace._contents()
        self._states: list[tuple[Event[Any], ErrorPolicy, bool | None, str | None, dict[str, Any], int, list[Any]]] = []
        connections = []
        for event in self._events():
            kept = event._kept.records() if event.replay else []
            doc = getattr(event, "_doc", None)
            self._states.append((event, event.on_error, event.sequential, doc, dict(vars(event)), event.replay, kept))
            connections += [each for each in _connections(event) if each.handler is not None]
        self._connections = sorted(connections, key=lambda each: each.entry.serial)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._namespace.on_error = self._policy
        self._namespace.sequential = self._is_sequential
        self._restore_names()
        for event, policy, sequential, doc, attributes, replay, kept in self._states:
            event.on_error = policy
            event.sequential = sequential
            event._doc = doc
            vars(event).clear()
            vars(event).update(attributes)
            event.replay = replay
            if replay:
                event._kept.restore(kept)
        self._restore_connections()
        self._connections, self._states = [], []  # which keep handlers, and senders of kept emissions, alive

    def clear(self) -> None:
        """Disconnect the program's handlers, so that only the handlers of the test are called.

        The events stay, and so do connections that were made in this `with` block.
        """
        for connection in self._connections:
            connection.event._disconnect_entry(connection.entry)

    def _events(self) -> list[Event[Any]]:
        """Return the events and patterns from before."""
        return [event for table in self._contents for event in table.values()]

    def _restore_names(self) -> None:
        namespace = self._namespace
        events, _, patterns = self._contents
        before = {*map(id, events.values()), *map(id, patterns.values())}
        events, _, patterns = namespace._contents()
        for event in [*events.values(), *patterns.values()]:
            if id(event) not in before:
                try:
                    del namespace[event.name]
                except KeyError:  # another thread was faster
                    pass
        namespace._put_back(*self._contents)

    def _restore_connections(self) -> None:
        known = {id(connection.entry) for connection in self._connections}
        existing = set()
        for event in self._events():
            for connection in _connections(event):
                if id(connection.entry) in known:
                    existing.add(id(connection.entry))
                else:
                    connection.event._disconnect_entry(connection.entry)
        lost = [index for index, each in enumerate(self._connections) if id(each.entry) not in existing]
        if lost:
            for connection in self._connections[lost[0] :]:  # the later ones too, for the order
                connection.connect()


class _Connection:
    """A connection, with what is needed to make it again."""

    __slots__ = ("entry", "event", "handler", "sender")

    def __init__(self, event: Event[Any], entry: Entry, sender: Any) -> None:
        self.event = event
        self.entry = entry
        self.handler = entry.get()
        self.sender = sender

    def connect(self) -> None:
        """Make it again."""
        entry, flags = self.entry, self.entry.flags & _OPTIONS
        condition, name = entry.condition, entry.name
        if entry.delivery is not None:
            condition = entry.delivery.options.make(self.handler, condition)
            flags |= DELIVERED
        self.event._connect(self.handler, self.sender, entry.weak, entry.priority, condition, flags, name, None)


def _connections(event: Event[Any]) -> list[_Connection]:
    """Return the event's own connections, without those of patterns."""
    return [_Connection(event, entry, sender) for entry, sender, source in event._connections() if source is event]
