"""Scopes: which events an instrument observes, including events that are created later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from .._checks import hint_for
from .._core import call_locked
from .._core._safe import safe_repr, source_text
from .._core._values import UNNAMED
from .._event import Event, Pattern, global_scopes
from .._namespace import Namespace, default_namespace
from .._patterns import matcher
from ._api import Instrument
from ._call import ActiveInstrument
from ._emission import InstrumentedEmitter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def observe(
    instrument: Instrument, *sources: Namespace | Event[Any] | str, matches: Callable[[str], object] | None = None
) -> Scope:
    """Let an instrument observe emissions that begin from now on, until the returned scope is stopped.

    Events that are created later are observed too, if a namespace, a pattern or a name among the sources covers them.
    So are emissions by names without an event. An emission that two scopes of one instrument cover begins twice for it.

    Args:
        instrument: the instrument. The scope refers to it until it is stopped; events do not keep the scope alive
            longer than themselves.
        *sources: what to observe: namespaces, events (of patterns too, such as `shop.event("order.*")`), or names and
            patterns of names in the default namespace. By default, the default namespace.
        matches: called with an event's name: in namespaces, only events for which it is true are observed. It must be
            quick, must not raise, and must not use `cyevents` or wait for other threads, because it may be called
            under the lock of all tables.

    Returns:
        The `Scope`, which is a context manager. You need not keep it.

    Raises:
        TypeError: if the instrument is not an `Instrument`, or a source is none of these.

    Thread-safe.

    Example:
        >>> from cyevents import Namespace
        >>> from cyevents.instrument import Instrument, observe
        >>> class NoTests(Instrument):
        ...     def begin(self, start):
        ...         if start.sender == "test":
        ...             raise ValueError("not in production")
        >>> shop = Namespace()
        >>> with observe(NoTests(), shop, matches=lambda name: name.startswith("order.")):
        ...     shop.emit("order.placed", "test")
        Traceback (most recent call last):
        ValueError: not in production
    """
    if not isinstance(instrument, Instrument):
        hint = ": give it an instance" if isinstance(instrument, type) else ""
        raise TypeError(f"an instance of Instrument can observe, not {safe_repr(instrument)}{hint}")
    scope = Scope(sources, matches=matches)
    scope._start(instrument)
    return scope


class Scope(ActiveInstrument):
    """The events that an instrument observes, until `stop` or the end of its `with` block. `observe` returns it.

    Attributes:
        instrument: the instrument; `None` when the scope is stopped.
    """

    def __init__(
        self, sources: Iterable[Any], *, matches: Callable[[str], object] | None = None, everywhere: bool = False
    ) -> None:
        """Check the sources.

        With `everywhere`, names also stand for events that are made after the start in other namespaces or in none.
        """
        if matches is not None and not callable(matches):
            raise TypeError(f"matches must be a function that takes a name, or None, not {safe_repr(matches)}")
        self.instrument: Instrument | None = None
        self._everywhere = everywhere
        self._lone_events: list[Event[Any]] = []
        self._namespaces: list[tuple[Namespace, Callable[[str], object] | None]] = []
        self._namespace_scopes: tuple[NamespaceScope, ...] = ()
        self._events: WeakValueDictionary[int, Event[Any]] = WeakValueDictionary()  # by id: they may be unhashable
        for source in tuple(sources) or (default_namespace,):
            if isinstance(source, Pattern):
                assert source.namespace is not None
                self._namespaces.append((source.namespace, source.matches))
            elif isinstance(source, Event):
                if source.name is UNNAMED:
                    raise ValueError(
                        "an event without a name cannot be observed: give it one, as in Event('order.paid')"
                    )
                self._lone_events.append(source)
            elif isinstance(source, Namespace):
                self._namespaces.append((source, matches))
            elif isinstance(source, str) and source:
                self._namespaces.append((default_namespace, matcher(source)))
            else:
                text = f"a Namespace, an Event or a name can be observed, not {safe_repr(source)}"
                raise TypeError(text + hint_for(source))

    def __enter__(self) -> Scope:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        instrument = self.instrument
        if instrument is None:
            return "<Scope: stopped>"
        namespaces = [namespace for namespace, _ in self._namespaces]
        sources = [source_text(source) for source in (*self._lone_events, *namespaces)]
        return f"<Scope of {safe_repr(instrument)}: {', '.join(sources)}>"

    def _start(self, instrument: Instrument) -> None:
        """Start observing with this instrument, instead of the current one if there is any."""
        self.stop()
        namespace_scopes = tuple([NamespaceScope(self, *each) for each in self._namespaces])
        try:
            events = call_locked(self._start_locked, instrument, namespace_scopes)
            del events  # not under the lock
        except BaseException:  # no memory, or an interrupt
            self.stop()
            raise

    def _start_locked(
        self, instrument: Instrument, namespace_scopes: tuple[NamespaceScope, ...]
    ) -> list[list[Event[Any]]]:
        self.instrument = instrument
        self._namespace_scopes = namespace_scopes
        for event in self._lone_events:
            self._attach_locked(event)
        if self._everywhere:
            global_scopes.extend(namespace_scopes)
        return [scope.namespace._add_scope(scope) for scope in namespace_scopes]

    def stop(self) -> None:
        """Stop observing. The spans of emissions that have already begun are called until these end.

        Stopping again has no effect. Thread-safe.
        """
        stopped = call_locked(self._stop_locked)
        del stopped  # not under the lock

    def _stop_locked(self) -> tuple[object, ...]:
        # Dropping the instrument breaks the reference cycle with one that refers to its scope.
        instrument, self.instrument = self.instrument, None
        stopped, self._namespace_scopes = self._namespace_scopes, ()
        global_scopes[:] = [scope for scope in global_scopes if scope not in stopped]
        for scope in stopped:
            scope.namespace._remove_scope(scope)
        events = list(self._events.values())
        for event in events:
            _set_scopes(event, [other for other in _scopes_of(event) if other is not self])
        self._events.clear()
        return instrument, stopped, events

    def _attach(self, event: Event[Any]) -> None:
        call_locked(self._attach_locked, event)

    def _attach_locked(self, event: Event[Any]) -> None:
        # A namespace that was made during the stop may still refer to a part of this scope.
        if self.instrument is not None and self._events.get(id(event)) is not event:
            self._events[id(event)] = event
            _set_scopes(event, [*_scopes_of(event), self])


class NamespaceScope:
    """The part of a scope that observes a namespace, or the events in it whose names match."""

    is_hold = False

    def __init__(self, scope: Scope, namespace: Namespace, matches: Callable[[str], object] | None) -> None:
        self.namespace = namespace
        self._scope = scope
        self._matches = matches

    def attach(self, event: Event[Any]) -> None:
        """Observe a new event, if its name matches."""
        if self.covers(event.name):
            self._scope._attach(event)

    def covers(self, name: str) -> bool:
        """Return whether events of this name are observed."""
        return self._matches is None or bool(self._matches(name))


def _scopes_of(event: Event[Any]) -> tuple[Scope, ...]:
    emitter = event._observer
    return () if emitter is None else emitter.scopes


def _set_scopes(event: Event[Any], scopes: list[Scope]) -> None:
    event._observe(InstrumentedEmitter(tuple(scopes)) if scopes else None)
