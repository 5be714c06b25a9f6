"""`EventRegistry`: the events and patterns of a namespace, and how they are found, created and kept.

A name finds its event in one of three places. Declared events are items of the mapping. Events of undeclared names are
in a cache: they are created when such a name is emitted and a pattern or an instrument covers it. Events evicted from
the cache are found as long as anything refers to them, and return to the cache when they are used. Names that nothing
covers are remembered in `_unmatched`, so that emitting them stays cheap.

An event is attached to the namespace's patterns, scopes and mutes before its name can find it. An evicted event hides:
it keeps its patterns, but is not notified of their changes (see `_hide` of the core), and is attached again later.

Every change runs under the lock, and methods that say so are called under it. What a change discards goes to
`to_release`, a list that is dropped after the lock is released, because dropping it may run user code. Even so, a
finalizer or a signal handler may change the same tables between any two steps of a change, a signal handler may raise,
and memory may run out. So a change checks at its end what it has done, and undoes or repeats it if need be.
"""

from __future__ import annotations

from _weakref import ref as weakref

from ._checks import hint_for, is_pattern, pattern_error
from ._core import NamespaceCore, call_locked
from ._core._safe import exact_str, safe_isinstance, safe_repr
from ._event import Event, Pattern, global_scopes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from typing import Any

    from ._typing import ErrorPolicy, EventScope

    class _EventDict(dict[str, Event[Any]]):  # the core does not know the type of its values
        _cached: dict[str, Event[Any]]
else:
    _EventDict = NamespaceCore

CACHE_LIMIT = 1024
"""How many events of undeclared names a namespace keeps, in addition to those that have connections of their own."""

_EVICTED = 128  # how many leave a full cache at once


def _check_target(evt: Any) -> None:
    """Raise `TypeError` unless this is an event, or a name of one as an exact `str`."""
    if not ((type(evt) is str and evt) or safe_isinstance(evt, Event)):
        hint = hint_for(evt)
        if callable(evt):  # the handler was given in the event's place
            hint = ": give the event first, as in @on('order.paid'), @handles('order.paid') or connect('order.paid', f)"
        raise TypeError(
            f"an event is given by its name, a non-empty str, or as an Event, not as {safe_repr(evt)}{hint}"
        )


def event_targets(evt: Any) -> tuple[Any, ...]:
    """Return one event, or a list or tuple of events, as a tuple, after checking them.

    Each is given as an `Event`, or by the name of an event or a pattern, which becomes an exact string.
    """
    if type(evt) is str and evt:
        return (evt,)
    targets = tuple([exact_str(each) for each in evt]) if issubclass(type(evt), (list, tuple)) else (exact_str(evt),)
    if not targets:
        raise ValueError(f"at least one event must be given, not {safe_repr(evt)}")
    for target in targets:
        _check_target(target)
    return targets


class EventRegistry(_EventDict):
    """The tables of a namespace. `Namespace` adds the public methods."""

    __slots__ = (
        "__weakref__",
        "_evict_at",
        "_evicted",
        "_mutes",
        "_name",
        "_on_error",
        "_patterns",
        "_scopes",
        "_strict",
        "_unmatched",
    )

    _evict_at: int  # evict when the cache has more events
    _evicted: dict[str, weakref[Event[Any]]]
    _mutes: dict[object, list[Any]]  # as those of an event
    _name: str | None
    _on_error: ErrorPolicy
    _patterns: dict[str, Pattern]
    _scopes: tuple[EventScope, ...]  # each new event is attached to them
    _strict: bool
    _unmatched: set[str]  # names that no pattern and no scope covers; replaced by a new set when one of these is added

    def __init__(self) -> None:
        super().__init__()
        self._scopes = tuple(global_scopes)
        self._patterns = {}
        self._unmatched = set()
        self._evicted = {}
        self._evict_at = CACHE_LIMIT
        self._mutes = {}

    def _change(self, step: Callable[..., Any], *args: Any) -> Any:
        """Take a step under the lock, and release what it discards after that."""
        to_release: list[object] = []
        return call_locked(step, *args, to_release)

    # Finding

    def _resolve(self, evt: Any) -> Event[Any] | None:
        """Return the event that is given as one or by its name; None for a name without an event."""
        _check_target(evt)
        return self.get(evt) if type(evt) is str else evt

    def _find(self, evt: Any) -> Event[Any] | None:
        """Return the event to emit; None for a name without one, if nothing would be called or observed.

        The caller has looked for an exact `str` among the items already.
        """
        if type(evt) is not str or not evt:
            evt = exact_str(evt)
            event = self._resolve(evt)
            if event is not None:
                return event
        if is_pattern(evt):
            raise pattern_error(evt)
        if self._strict:
            raise self._undeclared_error(evt)
        if self._patterns or self._scopes or self._cached:
            return self._find_undeclared(evt)
        return None

    def _find_undeclared(self, name: str) -> Event[Any] | None:
        """Return the cached event of a name. Make it if a pattern with handlers or a scope covers the name."""
        event = self._cached.get(name)
        if event is not None:
            event._is_used = True
            return event
        unmatched = self._unmatched  # read first: a pattern that is added meanwhile puts another set in its place
        if name in unmatched:
            return None
        is_covered = is_matched = any(scope.covers(name) for scope in self._scopes)
        for pattern in list(self._patterns.values()):
            if pattern.matches(name):
                is_matched = True
                is_covered = is_covered or pattern._is_connected()
        if is_covered:
            return self._register(Event(name), is_item=False)
        if not is_matched:
            if len(unmatched) >= CACHE_LIMIT:
                unmatched.clear()
            unmatched.add(name)
        return None

    def _undeclared_error(self, name: str) -> LookupError:
        """Return the error of using a name in a strict namespace that has no event of this name."""
        from difflib import get_close_matches

        near = get_close_matches(name, list(dict.copy(self)), 1)
        hint = f"did you mean {near[0]!r}?" if near else f"declare it with event({name!r})"
        which = "this strict namespace" if self._name is None else f"the strict namespace {self._name!r}"
        return LookupError(f"there is no event {name!r} in {which}: {hint}")

    def _all_events(self) -> list[Event[Any]]:
        """Return all events that an emission may find: items of the mapping, and cached ones."""
        events = list(dict.values(self))
        events += list(self._cached.values())
        return events

    def _evicted_events(self) -> list[Event[Any]]:
        """Return the evicted events that still exist. Called under the lock; the caller drops them after it."""
        events = [ref() for ref in list(self._evicted.values())] if self._evicted else []
        return [event for event in events if event is not None] if events else []

    def _is_current(self, event: Event[Any]) -> bool:
        """Return whether an event is the one that its name finds, or would bring back to the cache."""
        name = event._name
        return self.get(name) is event or self._cached.get(name) is event or event._is_hidden()

    # Making events and patterns

    def _create(self, name: str) -> Event[Any]:
        """Return a new event or pattern, or what has its name already."""
        name = exact_str(name)
        if type(name) is str and is_pattern(name):
            return self._create_pattern(name)
        return self._register(Event(name), is_item=True)

    def _register(self, event: Event[Any], is_item: bool) -> Event[Any]:
        """Put a new event into the mapping, or into the cache. Return it, or what has its name already."""
        event._namespace = self
        found: Event[Any] = self._change(self._register_locked, event, is_item)
        return found

    def _register_locked(self, event: Event[Any], is_item: bool, to_release: list[object]) -> Event[Any]:
        name = event._name
        found: Event[Any] | None = None
        try:
            found = self._find_existing(name, to_release)
            if found is None:
                attachments = self._attachments()
                self._attach_event(event, to_release)
                found = dict.setdefault(self, name, event) if is_item else self._cached.setdefault(name, event)
        finally:
            if self.get(name) is not event and self._cached.get(name) is not event:
                # A finalizer was faster, memory has run out, or a signal handler has raised.
                self._detach_event(event, to_release)
        if found is event and self._attachments() != attachments:  # a finalizer has changed them without this event
            self._reattach_event(event, to_release)
        if is_item:
            try:
                found = dict.setdefault(self, name, found)
            finally:
                if name in self:
                    to_release.append(self._cached.pop(name, None))  # so that it is found in one place at any time
        elif name in self:  # a finalizer has made it an item
            to_release.append(self._cached.pop(name, None))
            found = self[name]
            if found is not event:
                self._detach_event(event, to_release)
        elif len(self._cached) > self._evict_at:
            self._evict(to_release)
        return found

    def _find_existing(self, name: str, to_release: list[object]) -> Event[Any] | None:
        """Return the event that has this name already, wherever it is. Called under the lock."""
        event = self.get(name) or self._cached.get(name)
        if event is None:
            ref = self._evicted.get(name)
            event = None if ref is None else ref()
            if event is not None:
                to_release.append(event)
                self._attach_patterns_locked(event, to_release)
        return event

    def _create_pattern(self, name: str) -> Pattern:
        pattern = self._patterns.get(name)
        if pattern is None:
            pattern = Pattern(name, self)
            pattern = self._change(self._register_pattern, pattern)
        return pattern

    def _register_pattern(self, pattern: Pattern, to_release: list[object]) -> Pattern:
        name = pattern._name
        found = self._patterns.setdefault(name, pattern)
        if found is pattern:
            try:
                events = self._all_events()
                for event in events:
                    if pattern.matches(event._name):
                        event._attach(pattern, to_release)
                self._unmatched = set()
                if self._patterns.get(name) is not pattern:  # a finalizer has deleted it
                    _detach_patterns(events, [pattern], to_release)
                deleted = [event for event in events if not self._is_current(event)]  # also by a finalizer
                to_release += deleted
                _detach_patterns(deleted, [pattern], to_release)
            except BaseException:  # no memory, or a signal handler has raised
                self._patterns.pop(name, None)
                _detach_patterns(self._all_events(), [pattern], to_release)
                raise
        return found

    # Attaching an event to patterns, scopes and mutes. All of these are called under the lock.

    def _attachments(self) -> tuple[object, ...]:
        """Return what `_attach_event` attaches an event to, for comparison."""
        return self._scopes, self._patterns.copy(), list(self._mutes)

    def _attach_event(self, event: Event[Any], to_release: list[object]) -> None:
        """Let scopes observe an event, the namespace's mutes silence it and matching patterns receive it."""
        for scope in self._scopes:
            scope.attach(event)
        for by in list(self._mutes):  # not items(): where there is no memory to iterate over them, CPython 3.11 crashes
            event._set_mute(by, self._mutes.get(by, []), to_release)
        for pattern in list(self._patterns.values()):
            if pattern.matches(event._name):
                event._attach(pattern, to_release)

    def _reattach_event(self, event: Event[Any], to_release: list[object]) -> None:
        """Do what `_attach_event` does for an event that was attached before; also detach what is gone."""
        attachments = None
        while attachments != self._attachments():  # a finalizer has changed them meanwhile
            attachments = self._attachments()
            self._attach_event(event, to_release)
            for source in [] if event._patterns is None else list(event._patterns.values()):
                if self._patterns.get(source.name) is not source:
                    event._detach(source, to_release)
            for by in [] if event._mutes is None else list(event._mutes):
                if by not in self._mutes and event._is_hidden():  # it has no mutes of its own
                    event._unmute_locked(by, to_release)

    def _detach_event(self, event: Event[Any], to_release: list[object]) -> None:
        """Undo `_attach_event`, except for scopes of instruments, which go on observing."""
        if self._scopes:
            event._update_recording()  # holds no longer cover it
        _detach_patterns([event], self._patterns.values(), to_release)
        for by in list(self._mutes):
            event._unmute_locked(by, to_release)

    def _detach_pattern(self, pattern: Pattern, to_release: list[object]) -> None:
        """Detach a pattern from all events."""
        events = self._all_events()
        to_release.append(events)
        if self._evicted:
            events += self._evicted_events()
        _detach_patterns(events, [pattern], to_release)

    # Deleting

    def _delete(self, name: str) -> None:
        """Remove an event or a pattern. Raise `KeyError` if there is none."""
        self._change(self._delete_locked, name)

    def _delete_locked(self, name: str, to_release: list[object]) -> None:
        pattern = self._patterns.get(name)
        if pattern is not None:
            _remove(self._patterns, pattern, self._detach_pattern, to_release)
        else:
            _remove(self, self[name], self._detach_event, to_release)

    def _clear(self) -> None:
        """Remove all events and patterns, cached events too."""
        for name in [*dict.copy(self), *self._patterns.copy()]:
            try:
                self._delete(name)
            except KeyError:  # another thread was faster
                pass
        self._change(self._replace_cached, {})
        self._evicted = {}

    def _replace_cached(self, events: dict[str, Event[Any]], to_release: list[object]) -> None:
        """Have these events in the cache and no others; not those whose names are items. Called under the lock."""
        for name, event in list(self._cached.items()):
            if events.get(name) is not event:
                _remove(self._cached, event, self._detach_event, to_release)
        for name, event in events.items():
            if name not in self:
                self._cached[name] = event
                self._reattach_event(event, to_release)
                self._evicted.pop(name, None)
                event._show()

    # Isolation of tests

    def _contents(self) -> tuple[dict[str, Event[Any]], dict[str, Event[Any]], dict[str, Pattern]]:
        """Return copies of the tables: the items, the cached events and the patterns, by name."""
        return dict.copy(self), self._cached.copy(), self._patterns.copy()

    def _put_back(
        self, events: dict[str, Event[Any]], cached: dict[str, Event[Any]], patterns: dict[str, Pattern]
    ) -> None:
        """Put back events and patterns that were deleted, and have these cached events and no others."""
        self._change(self._put_back_locked, events, cached, patterns)

    def _put_back_locked(
        self,
        events: dict[str, Event[Any]],
        cached: dict[str, Event[Any]],
        patterns: dict[str, Pattern],
        to_release: list[object],
    ) -> None:
        deleted_events = {name: event for name, event in events.items() if name not in self}
        deleted_patterns = {name: pattern for name, pattern in patterns.items() if name not in self._patterns}
        for name, pattern in patterns.items():
            for event in (events if name in deleted_patterns else deleted_events).values():
                if pattern.matches(event._name):
                    event._attach(pattern, to_release)
        self._patterns.update(deleted_patterns)
        for name, event in deleted_events.items():
            dict.__setitem__(self, name, event)
            event._update_recording()
        self._unmatched = set()
        self._replace_cached(cached, to_release)

    # Evicting events from the cache

    def _evict(self, to_release: list[object]) -> None:
        """Evict cached events that were not emitted since the last time. Called under the lock.

        Events that have connections of their own, are muted, or have an error policy or an order of their own stay.
        """
        cached = self._cached
        kept = [event for event in list(cached.values()) if self._is_kept(event)]
        self._evict_at = len(kept) + CACHE_LIMIT
        for _ in range(2):  # the first time they may all have been used
            for name, event in list(cached.items()):
                if len(cached) <= self._evict_at - _EVICTED:
                    break
                to_release.append(event)
                if event._is_used:
                    event._is_used = False
                elif not self._is_kept(event):
                    event._hide(to_release)
                    self._evicted[name] = weakref(event)
                    # One step, with no call in between: a signal handler may have made it an item.
                    if name in cached and cached[name] is event:
                        del cached[name]
                    self._check_evicted(event, to_release)
        if len(self._evicted) > CACHE_LIMIT:
            for name, ref in list(self._evicted.items()):
                if ref() is None:
                    self._evicted.pop(name, None)

    def _is_kept(self, event: Event[Any]) -> bool:
        if event._on_error is not None or event.replay > 0 or event._is_sequential_set:
            return True
        return event._has_state(self._mutes)

    def _check_evicted(self, event: Event[Any], to_release: list[object]) -> None:
        """Undo an eviction if a finalizer or a signal handler has used the event meanwhile. Called under the lock."""
        name = event._name
        if self._is_kept(event):
            self._attach_patterns_locked(event, to_release)
        if name in self:
            self._evicted.pop(name, None)
        elif not event._is_hidden():
            self._evicted.pop(name, None)
            self._cached.setdefault(name, event)
        if not event._is_hidden():
            self._reattach_event(event, to_release)

    def _attach_patterns(self, event: Event[Any], to_release: list[object]) -> None:
        """Return an evicted event to the cache: it is about to be emitted, connected to or looked at."""
        call_locked(self._attach_patterns_locked, event, to_release)

    def _attach_patterns_locked(self, event: Event[Any], to_release: list[object]) -> None:
        if not event._is_hidden():  # another thread was faster: it may be an item by now, or be deleted
            return
        name = event._name
        while True:
            event._is_used = True
            found = self.get(name)
            if found is None:
                found = self._cached.setdefault(name, event)
            if found is event:
                self._reattach_event(event, to_release)
            else:  # after `clear` or `del`, another event has its name
                self._detach_event(event, to_release)
            event._show()
            if found is not event or self._is_current(event):
                break
            event._hide(to_release)  # a finalizer has emitted so many names that it was evicted again
        self._evicted.pop(name, None)
        if len(self._cached) > self._evict_at:
            self._evict(to_release)

    # Mutes and scopes

    def _mute(self, by: object, keys: list[Any]) -> None:
        self._change(self._mute_locked, by, keys)

    def _mute_locked(self, by: object, keys: list[Any], to_release: list[object]) -> None:
        self._mutes[by] = keys
        events = self._all_events()
        to_release.append(events)
        for event in events:
            event._mute_locked(by, keys, to_release)
        for event in events:
            if not self._is_current(event):  # a finalizer has deleted it
                event._unmute_locked(by, to_release)

    def _unmute(self, by: object) -> None:
        self._change(self._unmute_locked, by)

    def _unmute_locked(self, by: object, to_release: list[object]) -> None:
        events = self._all_events()
        to_release.append(events)
        self._mutes.pop(by, None)
        events += self._all_events()  # with those that a finalizer has made meanwhile
        for event in {id(event): event for event in events}.values():
            event._unmute_locked(by, to_release)

    def _add_scope(self, scope: EventScope) -> list[Event[Any]]:
        """Let a scope observe all events, and each one that is made from now on. Called under the lock.

        Return the events: the caller drops them after releasing the lock.
        """
        self._replace_scopes(None, scope)
        self._unmatched = set()
        events = self._all_events()
        events += self._evicted_events()
        for event in events:
            scope.attach(event)
        return events

    def _remove_scope(self, scope: EventScope) -> None:
        """Attach no new events to a scope; the attached ones stay. Called under the lock."""
        self._replace_scopes(scope)

    def _replace_scopes(self, removed: EventScope | None, *added: EventScope) -> None:
        while True:
            scopes, changed = self._scopes, []
            for scope in scopes:
                if scope is not removed:
                    changed.append(scope)
            replacement = (*changed, *added)
            if self._scopes is scopes:  # else a finalizer has changed them meanwhile
                self._scopes = replacement
                return


def _remove(
    table: dict[str, Any], event: Any, detach: Callable[[Any, list[object]], None], to_release: list[object]
) -> None:
    """Remove an event or a pattern from its table, and detach it. Called under the lock."""
    name = event._name
    to_release.append(event)
    try:
        dict.pop(table, name, None)
        detach(event, to_release)
    except BaseException:  # a signal handler has raised: detach once more, unless nothing was done yet
        if table.get(name) is not event:
            detach(event, to_release)
        raise


def _detach_patterns(events: Iterable[Event[Any]], patterns: Collection[Pattern], to_release: list[object]) -> None:
    """Detach patterns from events. Called under the lock."""
    try:
        _try_detach_patterns(events, patterns, to_release)
    except BaseException:  # no memory, or a signal handler has raised: once more, or they would go on receiving it
        _try_detach_patterns(events, patterns, to_release)
        raise


def _try_detach_patterns(events: Iterable[Event[Any]], patterns: Collection[Pattern], to_release: list[object]) -> None:
    for event in list(events):
        for pattern in list(patterns):
            event._detach(pattern, to_release)
