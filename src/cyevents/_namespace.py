"""`Namespace`: events by name and by pattern; and the module-level functions, which are those of the default one."""

from __future__ import annotations

import sys
from _weakref import ref as weakref

from ._checks import check_bool, check_flags, checked_options, checked_policy, is_pattern, pattern_error
from ._connection import Muted
from ._core import NamespaceCore, call_locked, install_methods, purge_dead
from ._core._safe import exact_str, safe_isinstance, safe_repr
from ._core._values import ANY
from ._decorator import Decorator
from ._event import Event, Pattern, global_scopes
from ._handlers import coroutine_function
from ._patterns import matcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Iterable
    from types import FrameType
    from typing import Any, Concatenate, NoReturn, Unpack, overload

    from ._core._values import AnySender
    from ._event import ErrorPolicy
    from ._typing import AnyOptions, ArgsP, EventOptions, EventScope, Flags, HandlerT, Options, SenderT
    from ._typing import Decorator as TypedDecorator

    class _EventDict(dict[str, Event[Any]]):  # stands for the core, which does not know the type of its values
        _cached: dict[str, Event[Any]]
else:
    _EventDict = NamespaceCore

CACHE_LIMIT = 1024
"""How many events of names that nobody made a namespace keeps, beside those that have connections of their own."""

_EVICTED = 128  # how many leave a full cache at once


@install_methods
class Namespace(_EventDict):
    """A set of events that are found by their names: a mapping of name to `Event`, for reading a `dict`.

    Events are made by `event` and `on` and stay until `del namespace[name]`. Two namespaces share nothing; a copy of
    a namespace is the namespace itself.

    A name without an event can be emitted too: the handlers of patterns that match it are called. The namespace
    keeps the events of about 1,024 such names in a cache. They are not items of the mapping until `event(name)` or
    `on(name)` makes them so.

    Args:
        on_error: what is done with an `Exception` of a handler where the event does not say: see `Event.on_error`.
        name: shown in the `repr` of the namespace and of its events.
        strict: refuse names that `event` has not declared: `on`, `emit` and `emit_async` raise a `LookupError` that
            suggests the nearest declared name. Handlers can still be connected to patterns.

    Raises:
        TypeError: if `on_error` is not a policy, the name not a string, or `strict` not a bool.
        ValueError: if `on_error` is an unknown word.

    Thread-safety: every method may be called from any thread at any time.

    Example:
        >>> from cyevents import Namespace
        >>> auth = Namespace()
        >>> login = auth.event("login", doc="A user has logged in.")
        >>> auth["login"] is login, list(auth)
        (True, ['login'])
    """

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

    _evict_at: int  # how many cached events are too many
    _evicted: dict[str, weakref[Event[Any]]]  # events that have left the cache, while anything refers to them
    _mutes: dict[object, list[Any]]  # by whom all events are muted, as in an event
    _name: str | None
    _scopes: tuple[EventScope, ...]  # each event that is made is attached to them
    _on_error: ErrorPolicy
    _patterns: dict[str, Pattern]
    _strict: bool
    _unmatched: set[str]  # names that no pattern matches and no scope covers: a new set for a new one of these

    def __init__(self, *, on_error: ErrorPolicy = None, name: str | None = None, strict: bool = False) -> None:
        super().__init__()
        name = exact_str(name)
        if name is not None and type(name) is not str:
            raise TypeError(f"a namespace's name must be a str or None, not {safe_repr(name)}")
        check_bool("strict", strict)
        self._name = name
        self._strict = strict
        self._scopes = tuple(global_scopes)
        self._on_error = checked_policy(on_error)
        self._patterns = {}
        self._unmatched = set()
        self._evicted = {}
        self._evict_at = CACHE_LIMIT
        self._mutes = {}

    @property
    def name(self) -> str | None:
        """The name that was given to the namespace, or `None`."""
        return self._name

    @property
    def strict(self) -> bool:
        """Whether names that `event` has not declared are refused."""
        return self._strict

    @property
    def on_error(self) -> ErrorPolicy:
        """What is done with an `Exception` of a handler where its event does not say: see `Event.on_error`."""
        return self._on_error

    @on_error.setter
    def on_error(self, policy: ErrorPolicy) -> None:
        self._on_error = checked_policy(policy)

    if TYPE_CHECKING:  # what the core does, with its types

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
        def event(self, name: str, doc: str | None = ...) -> Event[Any]: ...
        @overload
        def event(
            self,
            name: str,
            doc: str | None = ...,
            *,
            signature: Callable[Concatenate[SenderT, ArgsP], object],
            check: bool = ...,
        ) -> Event[SenderT, ArgsP]: ...

    def event(self, name: str, doc: str | None = None, *, signature: Any = None, check: bool = False) -> Event[Any]:
        """Make an event, or find it: the same name gives the same `Event`.

        A name with `*` or `?` in it, or with a leading `!`, is a pattern: its handlers are called for all events of
        the namespace whose names match, present and future, and for names without an event; see `match`. A
        pattern cannot be emitted.

        Args:
            name: a non-empty string, such as `"order.placed"`.
            doc: what the event means; becomes its `__doc__`. `None` leaves the one it has.
            signature: a function that takes what the event is emitted with, the sender first. Type checkers hold
                emissions and handlers against it. It is never called.
            check: refuse handlers, and conditions, that cannot take what `signature` does, when they are
                connected; those that are connected already, now. Those of patterns are checked where the pattern
                is declared with `check=True`.

        Returns:
            The event.

        Raises:
            TypeError: if the name is not a non-empty string, the signature not that of a handler, there is none
                to check, or a handler that is connected already cannot take it.

        Thread-safe.
        """
        check_bool("check", check)  # before the event is made
        event: Any = self.get(name) if type(name) is str else None
        if event is None:
            event = self._make(name)
        if doc is not None:
            event.__doc__ = doc
        if signature is not None or check:
            event._declare(signature, check)
        return event  # type: ignore[no-any-return]

    if TYPE_CHECKING:

        @overload
        def on(self, evt: str, sender: Any = ..., **options: Unpack[AnyOptions]) -> Callable[[HandlerT], HandlerT]: ...
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
            evt: str | Event[Any, ...],
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
    ) -> Any:
        """Connect the decorated function to an event, which is made if it does not exist.

        Args:
            evt: the event's name, a pattern of names, or the `Event`.
            sender: only this sender's emissions; `ANY` for all.
            weak: do not keep the handler alive.
            priority: higher is called earlier.
            condition: called as `condition(sender, **kwargs)`; a false answer skips the handler.
            once: disconnect when about to be called the first time.
            with_event: pass the event that fired as the keyword `event`.
            thread: in `emit_async`, run a sync handler in a thread.

        Returns:
            A decorator that returns what it decorates, unchanged.

        Raises:
            TypeError: if `evt` is neither a non-empty string nor an `Event`, or an option is of a wrong type:
                see `Event.connect`.
            LookupError: if the namespace is strict and `event` has not declared the name.

        Warns:
            RuntimeWarning: if the decorator is discarded without having decorated anything.

        Example:
            >>> from cyevents import Namespace
            >>> shop = Namespace()
            >>> @shop.on("order.placed", priority=10)
            ... def validate(sender, **kwargs):
            ...     return bool(sender)
            >>> shop.emit("order.placed", "order 7")
            [True]
        """
        evt = exact_str(evt)
        event = self._meant(evt)
        if event is None and self._strict and not is_pattern(evt):
            raise self._undeclared(evt)
        checked_options(priority, condition)
        check_flags(sender, weak, once, with_event, thread)

        def connect(handler: Any, frame: FrameType | None) -> None:
            target = self.event(evt) if type(evt) is str else evt
            target._add(handler, sender, weak, priority, condition, once, with_event, thread, frame)

        text = f"on({evt!r})" if type(evt) is str else f"on(...) of event {evt._name!r}"
        return Decorator(connect, sender, text, sys._getframe().f_back)

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

        A name without an event adds nothing to the namespace. The handlers of patterns that match it are called;
        if no pattern matches, the list is empty.

        Args:
            evt: the event's name, or the `Event`.
            sender: who emits.
            *args: positionals for the handlers.
            **kwargs: keywords for the handlers.

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
        return _nothing() if event is None else event.emit_async(sender, *args, **kwargs)

    def filter(self, pattern: str) -> dict[str, Event[Any]]:
        """The events whose names match a pattern (or are it), as a new `dict` of name to `Event`: see `match`."""
        matches = matcher(pattern)
        return {name: event for name, event in dict.copy(self).items() if matches(name)}

    def muted(self) -> Muted:
        """Silence all events of the namespace inside a `with` block, including those that are made inside it.

        Holds for emissions that begin inside the block, in all threads. Nests.

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

    def _mute(self, by: object, keys: list[Any]) -> None:
        call_locked(self._mute_locked, by, keys)

    def _mute_locked(self, by: object, keys: list[Any]) -> None:
        self._mutes[by] = keys
        events = self._all_events()
        for event in events:
            event._mute(by, keys)
        for event in events:
            if not self._is_found(event):  # a finalizer has deleted it
                event._unmute(by)

    def _unmute(self, by: object) -> None:
        call_locked(self._unmute_locked, by)

    def _unmute_locked(self, by: object) -> None:
        events = self._all_events()
        self._mutes.pop(by, None)
        events += self._all_events()  # with those that a finalizer has made meanwhile
        for event in {id(event): event for event in events}.values():
            event._unmute(by)

    def _all_events(self) -> list[Event[Any]]:
        """Return all events that an emission may find: items of the mapping, and cached ones."""
        events = list(dict.values(self))
        events += list(self._cached.values())
        return events

    def _evicted_events(self) -> list[Event[Any]]:
        """Return the events that have left the cache and still exist. Under the lock: let go of them after it."""
        events = [ref() for ref in list(self._evicted.values())] if self._evicted else []
        return [event for event in events if event is not None] if events else []

    # The mapping: written by `event`, `on` and `del` alone.

    def __delitem__(self, name: str) -> None:
        """Remove an event or a pattern.

        Its name no longer finds it, and handlers of patterns are no longer called for it.
        """
        name = exact_str(name)
        if type(name) is not str:
            raise KeyError(name)  # found without asking it for its hash under the lock
        to_release: list[object] = []  # let go after the lock
        call_locked(self._delete, name, to_release)
        purge_dead()

    def _delete(self, name: str, to_release: list[object]) -> None:
        pattern = self._patterns.get(name)
        if pattern is not None:
            to_release.append(pattern)
            try:
                self._patterns.pop(name, None)
                self._part_all(pattern, to_release)
            except BaseException:  # a signal handler has raised: once more, unless nothing was done yet
                if self._patterns.get(name) is not pattern:
                    self._part_all(pattern, to_release)
                raise
        else:
            event = self[name]
            to_release.append(event)
            try:
                dict.pop(self, name, None)
                self._disown(event, to_release)
            except BaseException:
                if self.get(name) is not event:
                    self._disown(event, to_release)
                raise

    def _part_all(self, pattern: Pattern, to_release: list[object]) -> None:
        """Let no event hear a pattern any more. Called under the lock."""
        events = self._all_events()
        to_release.append(events)
        if self._evicted:
            events += self._evicted_events()
        _part(events, [pattern], to_release)

    def clear(self) -> None:
        """Remove all events and patterns, cached events too."""
        for name in [*dict.copy(self), *self._patterns.copy()]:
            try:
                del self[name]
            except KeyError:  # another thread was faster
                pass
        to_release: list[object] = []  # let go after the lock
        call_locked(self._set_cached, {}, to_release)
        self._evicted = {}
        purge_dead()

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise `TypeError`: only `event`, `on` and `del` change a namespace."""
        raise TypeError("a namespace makes its events itself: use namespace.event(name), and del namespace[name]")

    __setitem__ = __ior__ = update = setdefault = pop = popitem = _refuse

    def __repr__(self) -> str:
        name = "" if self._name is None else f" {self._name!r}"
        return f"<Namespace{name}: {len(self)} event{'s' * (len(self) != 1)}>"

    def __copy__(self) -> Namespace:
        return self  # events are found by their names in the very namespace that they were made in

    def __deepcopy__(self, memo: object) -> Namespace:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a namespace cannot be pickled: import it from the module that makes it")

    # Finding and making

    def _find(self, evt: Any) -> Event[Any] | None:
        """Return the event to be emitted; None for a name without one, if nothing would be called or observed.

        A plain `str` is known not to be the name of an item: the caller has looked.
        """
        if type(evt) is not str or not evt:
            evt = exact_str(evt)
            event = self._meant(evt)
            if event is not None:
                return event
        if is_pattern(evt):
            raise pattern_error(evt)
        if self._strict:
            raise self._undeclared(evt)
        if self._patterns or self._scopes or self._cached:
            return self._find_unmade(evt)
        return None

    def _find_unmade(self, name: str) -> Event[Any] | None:
        """Return the cached event of a name, made now if a pattern's handlers or a scope would get it."""
        event = self._cached.get(name)
        if event is not None:
            event._is_used = True
            return event
        unmatched = self._unmatched  # taken first: a pattern that comes in between puts another set in its place
        if name in unmatched:
            return None
        is_heard = is_matched = any(scope.covers(name) for scope in self._scopes)
        for pattern in list(self._patterns.values()):
            if pattern.matches(name):
                is_matched = True
                is_heard = is_heard or pattern._is_connected()
        if is_heard:
            return self._enter(Event(name), is_item=False)
        if not is_matched:
            if len(unmatched) >= CACHE_LIMIT:
                unmatched.clear()
            unmatched.add(name)
        return None

    def _undeclared(self, name: str) -> LookupError:
        """The error of using a name, in a strict namespace, that `event` has not made an event of."""
        from difflib import get_close_matches

        near = get_close_matches(name, list(dict.copy(self)), 1)
        hint = f"did you mean {near[0]!r}?" if near else "declare it"
        which = "this strict namespace" if self._name is None else f"the strict namespace {self._name!r}"
        return LookupError(f"there is no event {name!r} in {which}: {hint}" + f" with event({name!r})" * (not near))

    def _meant(self, evt: Any) -> Event[Any] | None:
        """The event given as such or by its name, if that is known."""
        if type(evt) is str and evt:
            return self.get(evt)
        if safe_isinstance(evt, Event):
            return evt  # type: ignore[no-any-return]
        raise TypeError(f"an event is given by its name, a non-empty str, or as an Event, not as {safe_repr(evt)}")

    def _make(self, name: str) -> Event[Any]:
        """Make an event, or a pattern, complete with what it has to do with the others, before it can be found."""
        name = exact_str(name)
        if type(name) is str and is_pattern(name):
            return self._make_pattern(name)
        return self._enter(Event(name), is_item=True)

    def _enter(self, event: Event[Any], is_item: bool) -> Event[Any]:
        """Put a new event into the mapping, or into the cache. Return it, or what has that name already."""
        event._namespace = self
        to_release: list[object] = []  # let go after the lock
        found = call_locked(self._enter_locked, event, is_item, to_release)
        purge_dead()
        return found

    def _enter_locked(self, event: Event[Any], is_item: bool, to_release: list[object]) -> Event[Any]:
        name = event._name
        found: Event[Any] | None = None
        try:
            found = self._known(name, to_release)
            if found is None:
                others = self._others()
                self._connect_to_others(event, to_release)
                found = dict.setdefault(self, name, event) if is_item else self._cached.setdefault(name, event)
        finally:
            if self.get(name) is not event and self._cached.get(name) is not event:
                self._disown(
                    event, to_release
                )  # a finalizer was faster, memory has run out, or a signal handler has raised
        if found is event and self._others() != others:  # a finalizer has changed them, which did not know this event
            self._reconnect_to_others(event, to_release)
        if is_item:
            try:
                found = dict.setdefault(self, name, found)
            finally:
                if name in self:
                    to_release.append(self._cached.pop(name, None))  # it is the same: found in one place at any time
        elif name in self:  # a finalizer has made it an item
            to_release.append(self._cached.pop(name, None))
            found = self[name]
            if found is not event:
                self._disown(event, to_release)
        elif len(self._cached) > self._evict_at:
            self._evict(to_release)
        return found

    def _is_found(self, event: Event[Any]) -> bool:
        """Return whether an event is the one that its name finds, or would bring back."""
        name = event._name
        return self.get(name) is event or self._cached.get(name) is event or event._is_hidden()

    def _known(self, name: str, to_release: list[object]) -> Event[Any] | None:
        """Return the event that has this name already, wherever it is. Called under the lock."""
        event = self.get(name) or self._cached.get(name)
        if event is None:
            ref = self._evicted.get(name)
            event = None if ref is None else ref()
            if event is not None:
                to_release.append(event)
                self._attach_patterns_locked(event, to_release)
        return event

    def _connect_to_others(self, event: Event[Any], to_release: list[object]) -> None:
        """Let an event be observed, muted, and heard by patterns, as those in this namespace are. Under the lock."""
        for scope in self._scopes:
            scope.attach(event)
        for by in list(self._mutes):  # not items(): where there is no memory to iterate over them, CPython 3.11 crashes
            event._set_mute(by, self._mutes.get(by, []), to_release)
        for pattern in list(self._patterns.values()):
            if pattern.matches(event._name):
                event._attach(pattern, to_release)

    def _evict(self, to_release: list[object]) -> None:
        """Let go of cached events that were not emitted since the last time. Called under the lock.

        What has connections of its own, is muted, or has an error policy stays. What anything else refers to is still
        found by its name, and comes back when it is used: see `_attach_patterns`.
        """
        cached = self._cached
        kept = [event for event in list(cached.values()) if self._has_state(event)]
        self._evict_at = len(kept) + CACHE_LIMIT
        for _ in range(2):  # the first time they may all have been used
            for name, event in list(cached.items()):
                if len(cached) <= self._evict_at - _EVICTED:
                    break
                to_release.append(event)
                if event._is_used:
                    event._is_used = False
                elif not self._has_state(event):
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

    def _check_evicted(self, event: Event[Any], to_release: list[object]) -> None:
        """Undo an eviction if a finalizer or a signal handler has used the event meanwhile. Called under the lock."""
        name = event._name
        if self._has_state(event):
            self._attach_patterns_locked(event, to_release)
        if name in self:
            self._evicted.pop(name, None)
        elif not event._is_hidden():
            self._evicted.pop(name, None)
            self._cached.setdefault(name, event)
        if not event._is_hidden():
            self._reconnect_to_others(event, to_release)

    def _has_state(self, event: Event[Any]) -> bool:
        return event._on_error is not None or event._has_state(self._mutes)

    def _attach_patterns(self, event: Event[Any], to_release: list[object]) -> None:
        """Put an event that has left the cache back there: it is about to be emitted, connected to or looked at."""
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
                self._reconnect_to_others(event, to_release)
            else:  # after `clear` or `del`, another one has its name
                self._disown(event, to_release)
            event._show()
            if found is not event or self._is_found(event):
                break
            event._hide(to_release)  # a finalizer has emitted so many names that it was evicted again
        self._evicted.pop(name, None)
        if len(self._cached) > self._evict_at:
            self._evict(to_release)

    def _reconnect_to_others(self, event: Event[Any], to_release: list[object]) -> None:
        """Do what `_connect_to_others` does, for an event that was connected to them before. Under the lock."""
        others = None
        while others != self._others():  # a finalizer has changed them meanwhile
            others = self._others()
            self._connect_to_others(event, to_release)
            for source in list(event._patterns.values()):
                if self._patterns.get(source._name) is not source:  # type: ignore[attr-defined]
                    event._detach(source, to_release)
            for by in list(event._mutes):
                if by not in self._mutes and event._is_hidden():  # it has no mutes of its own
                    event._unmute(by)

    def _others(self) -> tuple[object, ...]:
        """Return what `_connect_to_others` connects an event to, for comparison."""
        return self._scopes, self._patterns.copy(), list(self._mutes)

    def _disown(self, event: Event[Any], to_release: list[object]) -> None:
        """Undo `_connect_to_others`, except for scopes, which go on. Called under the lock."""
        _part([event], self._patterns.values(), to_release)
        for by in list(self._mutes):
            event._unmute(by)

    def _set_cached(self, events: dict[str, Event[Any]], to_release: list[object]) -> None:
        """Have these events in the cache, but for those that are items, and no others. Called under the lock."""
        for name, event in list(self._cached.items()):
            if events.get(name) is not event:
                to_release.append(event)
                try:
                    self._cached.pop(name, None)
                    self._disown(event, to_release)
                except BaseException:
                    if self._cached.get(name) is not event:
                        self._disown(event, to_release)
                    raise
        for name, event in events.items():
            if name not in self:
                self._cached[name] = event
                self._reconnect_to_others(event, to_release)
                self._evicted.pop(name, None)
                event._show()

    def _make_pattern(self, name: str) -> Pattern:
        pattern = self._patterns.get(name)
        if pattern is not None:
            return pattern
        pattern = Pattern.__new__(Pattern)
        pattern._name = name
        pattern._namespace = self
        pattern._on_error = None
        pattern.matches = matcher(name)
        super(Event, pattern).__init__()
        to_release: list[object] = []  # let go after the lock
        found = call_locked(self._enter_pattern, pattern, to_release)
        purge_dead()
        return found

    def _enter_pattern(self, pattern: Pattern, to_release: list[object]) -> Pattern:
        name = pattern._name
        found = self._patterns.setdefault(name, pattern)
        if found is pattern:
            try:
                events = self._all_events()
                for event in events:
                    if pattern.matches(event._name):
                        event._attach(pattern, to_release)
                self._unmatched = set()
                if self._patterns.get(name) is not pattern:  # a finalizer has deleted it, or
                    _part(events, [pattern], to_release)
                gone = [event for event in events if not self._is_found(event)]  # some of the events
                to_release += gone
                _part(gone, [pattern], to_release)
            except BaseException:  # memory has run out, or a signal handler has raised
                self._patterns.pop(name, None)
                _part(self._all_events(), [pattern], to_release)
                raise
        return found

    def _add_scope(self, scope: EventScope) -> list[Event[Any]]:
        """Attach all events to a scope, and each one that is made from now on. The caller holds the lock.

        Return the events: the caller drops them after releasing the lock.
        """
        self._scopes += (scope,)
        self._unmatched = set()
        events = [*self._all_events(), *self._evicted_events()]
        for event in events:
            scope.attach(event)
        return events

    def _remove_scope(self, scope: EventScope) -> None:
        """Attach no more events to a scope; those that are attached stay so. The caller holds the lock."""
        self._scopes = tuple([other for other in self._scopes if other is not scope])


def _part(events: Iterable[Event[Any]], patterns: Collection[Pattern], to_release: list[object]) -> None:
    """Let events hear patterns no more. Called under the lock."""
    try:
        _try_to_part(events, patterns, to_release)
    except BaseException:  # memory has run out: once more, for what cannot be found must not be heard
        _try_to_part(events, patterns, to_release)
        raise


def _try_to_part(events: Iterable[Event[Any]], patterns: Collection[Pattern], to_release: list[object]) -> None:
    for event in list(events):
        for pattern in list(patterns):
            event._detach(pattern, to_release)


async def _nothing() -> list[Any]:
    return []


default_namespace = Namespace()
event = default_namespace.event
on = default_namespace.on
emit = default_namespace.emit
emit_async = default_namespace.emit_async


def filter_signals(pattern: str, namespace: Namespace = default_namespace) -> dict[str, Event[Any]]:
    """The events of a namespace whose names match a pattern.

    Args:
        pattern: as `match` takes it: `"user.*"`, `"*.created"`, `"*"`.
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
