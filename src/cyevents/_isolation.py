"""`Isolation`: puts a namespace back as it stood, whatever a test did to it."""

from __future__ import annotations

from ._core import CONDITION, ONCE, THREAD, WITH_EVENT, Entry, call_locked, purge_dead
from ._namespace import Namespace, default_namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any

    from ._event import ErrorPolicy, Event, Pattern

_OPTIONS = ONCE | WITH_EVENT | CONDITION | THREAD


class Isolation:
    """Whatever happens to a namespace in its `with` is undone at the end, the namespace itself staying the same.

    The test finds all that the program has connected. At the end, what it has connected is disconnected, what it has
    disconnected, or let be called the `once`, is connected again in its old order; events and patterns that it has made
    are gone, those it has deleted are back, the same objects; `on_error`, docs and attributes of events are as they
    were. Handlers and senders that were there are held meanwhile.

    A `Subscription` from before, whose connection the test has removed, no longer cancels what is connected again for
    it; nor does one that was made later than a removed one.

    Args:
        namespace: the namespace; the default one if not given.

    Under pytest, the fixture `isolated_events` is one for the default namespace.

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
        self._events = dict.copy(namespace)
        self._cached = namespace._cached.copy()
        self._patterns = namespace._patterns.copy()
        self._states: list[tuple[Event[Any], ErrorPolicy, dict[str, Any]]] = []
        rows = []
        for event in self._all():
            self._states.append((event, event.on_error, dict(vars(event))))
            rows += [row for row in _connections(event) if row.handler is not None]
        self._rows = sorted(rows, key=lambda row: row.entry.serial)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._namespace.on_error = self._policy
        self._restore_names()
        for event, policy, attributes in self._states:
            event.on_error = policy
            vars(event).clear()
            vars(event).update(attributes)
        self._restore_connections()
        self._rows = []  # let the handlers go

    def clear(self) -> None:
        """Disconnect what the program had connected, so that only what the test connects is called.

        The events stay, and so does what was connected in this `with`.
        """
        for row in self._rows:
            row.event._disconnect_entry(row.entry)

    def _all(self) -> Iterator[Event[Any]]:
        yield from self._events.values()
        yield from self._cached.values()
        yield from self._patterns.values()

    def _restore_names(self) -> None:
        namespace = self._namespace
        for name, event in dict.copy(namespace).items():
            if self._events.get(name) is not event:
                self._delete(name)
        for name, pattern in namespace._patterns.copy().items():
            if self._patterns.get(name) is not pattern:
                self._delete(name)
        lost_events = {name: event for name, event in self._events.items() if name not in namespace}
        lost_patterns = {name: each for name, each in self._patterns.items() if name not in namespace._patterns}
        to_release: list[object] = []  # let go after the lock
        call_locked(self._put_back, lost_events, lost_patterns, to_release)
        purge_dead()

    def _delete(self, name: str) -> None:
        try:
            del self._namespace[name]
        except KeyError:  # another thread was faster
            pass

    def _put_back(
        self, lost_events: dict[str, Event[Any]], lost_patterns: dict[str, Pattern], to_release: list[object]
    ) -> None:
        namespace = self._namespace
        for name, pattern in self._patterns.items():
            for event in (self._events if name in lost_patterns else lost_events).values():
                if pattern.matches(event._name):
                    event._attach(pattern, to_release)
        namespace._patterns.update(lost_patterns)
        for name, event in lost_events.items():
            dict.__setitem__(namespace, name, event)
        namespace._unmatched = set()
        namespace._set_cached(self._cached, to_release)

    def _restore_connections(self) -> None:
        known = {id(row.entry) for row in self._rows}
        standing = set()
        for event in self._all():
            for row in _connections(event):
                if id(row.entry) in known:
                    standing.add(id(row.entry))
                else:
                    row.event._disconnect_entry(row.entry)
        lost = [number for number, row in enumerate(self._rows) if id(row.entry) not in standing]
        if lost:
            for row in self._rows[lost[0] :]:  # with all that came later, for the order
                row.connect()


class _Row:
    """A connection: what it takes to make it again."""

    __slots__ = ("entry", "event", "handler", "sender")

    def __init__(self, event: Event[Any], entry: Entry, sender: Any) -> None:
        self.event = event
        self.entry = entry
        self.handler = entry.get()
        self.sender = sender

    def connect(self) -> None:
        """Make it again."""
        entry = self.entry
        flags = entry.flags & _OPTIONS
        weak = entry.weak
        self.event._connect(self.handler, self.sender, weak, entry.priority, entry.condition, flags, entry.name, None)


def _connections(event: Event[Any]) -> list[_Row]:
    """An event's own, without those of patterns."""
    return [_Row(event, entry, sender) for entry, sender, source in event._connections() if source is event]
