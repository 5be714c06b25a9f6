"""`Namespace`: events by name and by pattern; and the module-level functions, which are those of the default one."""

from __future__ import annotations

import sys

from . import _event
from ._backend import NamespaceCore, install_methods, lock, sweep
from ._common import ANY, is_a, plain, shown
from ._event import (
    Event,
    Pattern,
    check_handler,
    checked_options,
    checked_policy,
    is_pattern,
    pattern_error,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping
    from typing import Any, Concatenate, Literal, NoReturn, overload

    from ._common import AnySender
    from ._event import ErrorPolicy
    from ._typing import ArgsP, Decorator, HandlerT, SenderT
    from ._watching import Place

_acquire, _release = lock.acquire, lock.release  # the end of a `with` needs memory, and so may looking these up


@install_methods
class Namespace(NamespaceCore["Event[Any]"]):
    """A set of events that know each other by name: a mapping of name to `Event`, a `dict` to its readers.

    Events are made by `event` and `on` and stay until `del namespace[name]`. Two namespaces share nothing.

    Args:
        on_error: what is done with an `Exception` of a handler where the event does not say: see `Event.on_error`.

    Raises:
        TypeError: if `on_error` is no policy.
        ValueError: if it is an unknown word.

    Thread-safety: every method may be called from any thread at any time.

    Example:
        >>> from cyevents import Namespace
        >>> auth = Namespace()
        >>> login = auth.event("login", doc="A user has logged in.")
        >>> auth["login"] is login, list(auth)
        (True, ['login'])
    """

    __slots__ = ("__weakref__", "_observers", "_on_error", "_patterns")

    _observers: tuple[Place, ...]  # which are shown each event that is made
    _on_error: ErrorPolicy
    _patterns: dict[str, Pattern]

    def __init__(self, *, on_error: ErrorPolicy = None) -> None:
        super().__init__()
        self._observers = _event._everywhere
        self._on_error = checked_policy(on_error)
        self._patterns = {}

    @property
    def on_error(self) -> ErrorPolicy:
        """What is done with an `Exception` of a handler where its event does not say: see `Event.on_error`."""
        return self._on_error

    @on_error.setter
    def on_error(self, policy: ErrorPolicy) -> None:
        self._on_error = checked_policy(policy)

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

        A name with `*` or `?` in it, or with a leading `!`, is a pattern: what is connected to its `Event`
        hears all events of the namespace that match, present and future; see `match`. It cannot be emitted.

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
        def on(
            self,
            evt: str,
            sender: Any = ...,
            weak: bool = ...,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            *,
            once: bool = ...,
            with_event: bool = ...,
            thread: bool = ...,
        ) -> Callable[[HandlerT], HandlerT]: ...
        @overload
        def on(
            self,
            evt: Event[SenderT, ArgsP],
            sender: SenderT | AnySender = ...,
            weak: bool = ...,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            *,
            once: bool = ...,
            with_event: Literal[False] = ...,
            thread: bool = ...,
        ) -> Decorator[SenderT, ArgsP]: ...
        @overload
        def on(
            self,
            evt: Event[SenderT, ArgsP],
            sender: SenderT | AnySender = ...,
            weak: bool = ...,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            *,
            once: bool = ...,
            with_event: Literal[True],
            thread: bool = ...,
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
        """Connect the decorated function to an event, which is made if need be.

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

        Example:
            >>> from cyevents import Namespace
            >>> shop = Namespace()
            >>> @shop.on("order.placed", priority=10)
            ... def validate(sender, **kwargs):
            ...     return bool(sender)
            >>> shop.emit("order.placed", "order 7")
            [True]
        """
        checked_options(priority, condition)
        evt = plain(evt)
        self._meant(evt)

        def decorate(handler: HandlerT) -> HandlerT:
            check_handler(handler)
            event = self.event(evt) if type(evt) is str else evt
            event._add(handler, sender, weak, priority, condition, once, with_event, thread, sys._getframe().f_back)
            return handler

        return decorate

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

    def emit_async(self, evt: Any, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, list[Any]]:
        """Emit an event given by name or as such, and await its handlers: see `Event.emit_async`.

        A name that nobody has made an event of is heard by nobody: the list is empty, and no event is made.

        Args:
            evt: the event's name, or the `Event`.
            sender: who emits.
            *args: positionals for the handlers.
            **kwargs: keywords for the handlers.

        Returns:
            An awaitable of the list of results.

        Raises:
            TypeError: if `evt` is neither; when called, not when awaited.
            ValueError: if it is a pattern; when called.
        """
        event = self._find(evt)
        return _nothing() if event is None else event.emit_async(sender, *args, **kwargs)

    def filter(self, pattern: str) -> dict[str, Event[Any]]:
        """The events whose names match a pattern (or are it), as a new `dict` of name to `Event`: see `match`."""
        matches = matcher(pattern)
        return {name: event for name, event in dict.copy(self).items() if matches(name)}

    # The mapping: written by `event`, `on` and `del` alone.

    def __delitem__(self, name: str) -> None:
        """Let an event go, or a pattern: it is no longer found by its name, and patterns no longer hear it."""
        name = plain(name)
        if type(name) is not str:
            raise KeyError(name)  # found without asking it for its hash under the lock
        trash: list[object] = []  # let go after the lock
        parted: tuple[Mapping[str, Event[Any]], Collection[Pattern], list[object]]
        _acquire()
        try:
            if name in self._patterns:
                pattern = self._patterns[name]
                trash.append(pattern)
                parted = self, [pattern], trash
                del self._patterns[name]
            else:
                event = self[name]
                trash.append(event)
                parted = {name: event}, self._patterns.values(), trash
                super().__delitem__(name)
            _part(*parted)
        finally:
            _release()
        sweep()

    def clear(self) -> None:
        """Let all events and patterns go."""
        for name in [*dict.copy(self), *self._patterns.copy()]:
            try:
                del self[name]
            except KeyError:  # another thread was faster
                pass

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise `TypeError`: only `event`, `on` and `del` change a namespace."""
        raise TypeError("a namespace makes its events itself: use namespace.event(name), and del namespace[name]")

    __setitem__ = __ior__ = update = setdefault = pop = popitem = _refuse

    def __repr__(self) -> str:
        return f"<Namespace: {len(self)} event{'s' * (len(self) != 1)}>"

    # Finding and making

    def _find(self, evt: Any) -> Event[Any] | None:
        """The event to be emitted; None for a name nobody has made."""
        evt = plain(evt)
        event = self._meant(evt)
        if event is None:
            if is_pattern(evt):
                raise pattern_error(evt)
            if self._observers:
                return self._unknown(evt)
        return event

    def _unknown(self, name: str) -> Event[Any]:
        """An event that nobody has made, for observers to see the emission; it is in no namespace's mapping."""
        event: Event[Any] = Event(name)
        event._namespace = self
        _acquire()
        try:
            for place in self._observers:
                place.meet(event)
        finally:
            _release()
        return event

    def _meant(self, evt: Any) -> Event[Any] | None:
        """The event given as such or by its name, if that is known."""
        if type(evt) is str and evt:
            return self.get(evt)
        if is_a(evt, Event):
            return evt  # type: ignore[no-any-return]
        raise TypeError(f"an event is given by its name, a non-empty str, or as an Event, not as {shown(evt)}")

    def _make(self, name: str) -> Event[Any]:
        """Make an event, or a pattern, complete with what it has to do with the others, before it can be found."""
        name = plain(name)
        if type(name) is str and is_pattern(name):
            return self._make_pattern(name)
        event: Event[Any] = Event(name)
        name = event._name
        event._namespace = self
        trash: list[object] = []  # let go after the lock
        _acquire()
        try:
            found: Any = None
            try:
                if name not in self:
                    for place in self._observers:
                        place.meet(event)
                    for pattern in list(self._patterns.values()):
                        if pattern.matches(name):
                            event._attach(pattern, trash)
                found = dict.setdefault(self, name, event)
            finally:
                if found is not event:  # a finalizer was faster, or memory has run out
                    _part({name: event}, self._patterns.values(), trash)
        finally:
            _release()
        sweep()
        return found  # type: ignore[no-any-return]

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
        trash: list[object] = []  # let go after the lock
        _acquire()
        try:
            found = self._patterns.setdefault(name, pattern)
            if found is pattern:
                try:
                    for event in list(self.values()):
                        if pattern.matches(event._name):
                            event._attach(pattern, trash)
                except BaseException:  # memory has run out
                    self._patterns.pop(name, None)
                    _part(self, [pattern], trash)
                    raise
        finally:
            _release()
        sweep()
        return found


def _part(events: Mapping[str, Event[Any]], patterns: Collection[Pattern], trash: list[object]) -> None:
    """Let events hear patterns no more. Called under the lock."""
    try:
        _try_to_part(events, patterns, trash)
    except BaseException:  # memory has run out: once more, for what cannot be found must not be heard
        _try_to_part(events, patterns, trash)
        raise


def _try_to_part(events: Mapping[str, Event[Any]], patterns: Collection[Pattern], trash: list[object]) -> None:
    for event in list(events.values()):
        for pattern in list(patterns):
            event._detach(pattern, trash)


async def _nothing() -> list[Any]:
    return []


def matcher(pattern: str) -> Callable[[str], bool]:
    """A function that tells whether a name matches the pattern: `match`, prepared."""
    pattern = plain(pattern)
    if type(pattern) is not str:
        raise TypeError(f"a pattern must be a str, not {shown(pattern)}")
    import fnmatch
    import re

    inverted = pattern[:1] == "!"
    matches = re.compile(fnmatch.translate(pattern[inverted:])).match
    return lambda name: (matches(name) is None) is inverted


def match(pattern: str, name: str) -> bool:
    """Tell whether an event's name matches a pattern.

    `*` stands for anything, `?` for one character, `[seq]` and `[!seq]` for one that is, or is not, among
    those; a leading `!` for everything but what the rest matches. Upper and lower case differ. The rules
    after the `!` are those of the standard library's `fnmatch.fnmatchcase`.

    Args:
        pattern: the pattern, a string.
        name: the name, a string.

    Returns:
        Whether it matches.

    Raises:
        TypeError: if one of them is not a string.

    Example:
        >>> from cyevents import match
        >>> match("user.*", "user.created"), match("!user.*", "user.created")
        (True, False)
    """
    name = plain(name)
    if type(name) is not str:
        raise TypeError(f"a name must be a str, not {shown(name)}")
    return matcher(pattern)(name)


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
