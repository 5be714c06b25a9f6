"""What is observed: events, namespaces, and names in them, those that are made later among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from ._backend import call_locked
from ._common import shown
from ._event import Event, Pattern, everywhere
from ._namespace import Namespace, default_namespace
from ._observation import Observation
from ._patterns import matcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._observers import Observer


class Watching:
    """What an observer is put to work on, by `start`, until `stop`: events, namespaces, and names in a namespace.

    Args:
        sources: names and patterns of names in the default namespace, namespaces, events and patterns; the default
            namespace if there are none.
        matches: of the namespaces, only events whose names this says yes to.
        everywhere: whether names stand for events in all namespaces, and in none, that are made after `start`, too.

    Raises:
        TypeError: if a source is none of these.
    """

    def __init__(
        self,
        sources: Iterable[Any],
        *,
        matches: Callable[[str], object] | None = None,
        everywhere: bool = False,
    ) -> None:
        self.observer: Observer | None = None
        self._everywhere = everywhere
        self._alone: list[Event[Any]] = []
        self._within: list[tuple[Namespace, Callable[[str], object] | None]] = []
        self._places: tuple[Place, ...] = ()
        self._events: WeakValueDictionary[int, Event[Any]] = WeakValueDictionary()  # by id: they may be unhashable
        for source in tuple(sources) or (default_namespace,):
            if isinstance(source, Pattern):
                assert source._namespace is not None
                self._within.append((source._namespace, source.matches))
            elif isinstance(source, Event):
                self._alone.append(source)
            elif isinstance(source, Namespace):
                self._within.append((source, matches))
            elif isinstance(source, str) and source:
                self._within.append((default_namespace, matcher(source)))
            else:
                raise TypeError(f"a Namespace, an Event or a name can be observed, not {shown(source)}")

    def start(self, observer: Observer) -> None:
        """Tell an observer of emissions that begin from now on, instead of the one that is told so far, if any."""
        self.stop()
        places = tuple([Place(self, *within) for within in self._within])
        try:
            events = call_locked(self._start, observer, places)
            del events  # after the lock
        except BaseException:  # no memory, or an interrupt
            self.stop()
            raise

    def _start(self, observer: Observer, places: tuple[Place, ...]) -> list[list[Event[Any]]]:
        self.observer = observer
        self._places = places
        for event in self._alone:
            self._meet(event)
        if self._everywhere:
            everywhere.extend(places)
        return [place.namespace._observe(place) for place in places]

    def stop(self) -> None:
        """Tell of no more. An observer that refers to this is then in no cycle with it."""
        stopped = call_locked(self._stop)
        del stopped  # after the lock

    def _stop(self) -> tuple[object, ...]:
        observer, self.observer = self.observer, None  # namespaces made meanwhile still know the places
        places, self._places = self._places, ()
        everywhere[:] = [place for place in everywhere if place not in places]
        for place in places:
            place.namespace._unobserve(place)
        events = list(self._events.values())
        for event in events:
            _set_observers(event, [other for other in _observers_of(event) if other is not observer])
        self._events.clear()
        return observer, places, events

    def meet(self, event: Event[Any]) -> None:
        """Observe this event too."""
        call_locked(self._meet, event)

    def _meet(self, event: Event[Any]) -> None:
        if self.observer is not None and self._events.get(id(event)) is not event:
            self._events[id(event)] = event
            _set_observers(event, [*_observers_of(event), self.observer])


class Place:
    """A namespace that is watched, or those events in it whose names match."""

    def __init__(self, watching: Watching, namespace: Namespace, matches: Callable[[str], object] | None) -> None:
        self.namespace = namespace
        self._watching = watching
        self._matches = matches

    def meet(self, event: Event[Any]) -> None:
        """Observe an event that has been made, if it is concerned."""
        if self.concerns(event._name):
            self._watching.meet(event)

    def concerns(self, name: str) -> bool:
        """Whether events of this name are observed."""
        return self._matches is None or bool(self._matches(name))


def _observers_of(event: Event[Any]) -> tuple[Observer, ...]:
    observation = event._observer
    return () if observation is None else observation.observers


def _set_observers(event: Event[Any], observers: list[Observer]) -> None:
    event._observe(Observation(tuple(observers)) if observers else None)
