"""Observers: who is told of every emission of a namespace or an event, as it runs. Imported by what observes.

The tracing, the metrics, the tests' recorder and the bridge are observers. The core asks the `Observation` of an
observed event to make its emissions; of an event that is not observed it asks nothing. An observation makes them as the
core would, and tells of them: when one begins and ends, and, to those observers that want to know, of each handler's
call and skip.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from weakref import WeakValueDictionary

from . import _event
from ._backend import lock, stand_in
from ._common import GENERATOR, VALUE, Cancelled, kind_of_result, shown
from ._event import Event, Pattern
from ._namespace import Namespace, default_namespace, matcher

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from contextvars import Token
    from types import TracebackType

    from ._backend import Entry

    Way = Literal["emit", "send", "emit_async"]


class Beginning(NamedTuple):
    """An emission that begins.

    Attributes:
        event: the event.
        way: how it is emitted.
        sender: who emits.
        args: the positionals.
        kwargs: the keywords.
        parent: the observer's own `Call`, or `Watch`, within which that happens; `None` if there is none.
        origin: what `origin` was set to for this emission; `None` if it begins here.
        agreed: to be appended to: what is called once no observer has raised, and does not raise.
    """

    event: Event[Any]
    way: Way
    sender: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    parent: Any
    origin: Any
    agreed: list[Callable[[], None]]


class Observer:
    """Who is told of emissions. What it does not override, it is not interested in."""

    def begin(self, beginning: Beginning) -> Watch | None:
        """An emission begins: what this raises, the emitter gets, and no handler is called.

        Returns what is to be told of the rest, or `None`.
        """
        return None


class Watch:
    """One emission, for one observer. Its methods are called where the emission runs, and do not raise."""

    def plan(self, entries: tuple[Entry, ...]) -> None:
        """These are to be called next, in this order: all of them, or in `emit_async` all of one priority."""

    def skip(self, entry: Entry, handler: Any, error: Exception | None) -> None:
        """A handler is not called: `None` if it is dead. The error is what its condition raised."""

    def call(self, entry: Entry, handler: Any) -> Call | None:
        """A handler is about to be called. Return what is to be told of that, or `None`."""
        return None

    async def settle(self) -> None:
        """Wait for what an `emit_async` that has succeeded is to wait for besides its handlers."""

    def end(self, results: list[Any] | None, error: BaseException | None) -> None:
        """The emission is over: with what it returns, or what it raises."""


class Call:
    """One call of a handler, for one observer: of an async handler or a generator until that has ended."""

    def enter(self) -> None:
        """The handler runs in this context: twice one whose call returns what is run then, as of an async handler."""

    def scheduled(self) -> None:
        """The call has returned something that will be awaited."""

    def started(self) -> None:
        """What is awaited begins."""

    def leave(self, is_here: bool) -> None:
        """What was entered last ends: in the same context, or, where that is gone, in another."""

    def end(self, value: Any, error: BaseException | None) -> None:
        """The handler has returned a value, or raised; `GeneratorExit` if it was closed, perhaps before it began."""


def why_skipped(entry: Entry, handler: Any, error: Exception | None) -> str:
    """In a few words why a handler is not called, given what `Watch.skip` is."""
    if error is not None:
        return "its condition raised"
    if handler is None:
        return "it is dead"
    if entry.spent:
        return "it has been called once"
    if entry.is_off():
        return "it was disconnected meanwhile"
    return "its condition said no"


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
            with lock:
                self.observer = observer
                self._places = places
                for event in self._alone:
                    self.meet(event)
                if self._everywhere:
                    _event._everywhere += places
                for place in places:
                    place.namespace._observers += (place,)
                    for event in list(dict.values(place.namespace)):
                        place.meet(event)
        except BaseException:  # no memory, or an interrupt
            self.stop()
            raise

    def stop(self) -> None:
        """Tell of no more. An observer that refers to this is then in no cycle with it."""
        with lock:
            observer, self.observer = self.observer, None  # namespaces made meanwhile still know the places
            places, self._places = self._places, ()
            _event._everywhere = tuple([place for place in _event._everywhere if place not in places])
            for place in places:
                namespace = place.namespace
                namespace._observers = tuple([other for other in namespace._observers if other is not place])
            for event in list(self._events.values()):
                _set_observers(event, [other for other in _observers_of(event) if other is not observer])
            self._events.clear()

    def meet(self, event: Event[Any]) -> None:
        """Observe this event too."""
        with lock:  # as held by who makes an event in a namespace, but not by who makes one by itself
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
        if self._matches is None or self._matches(event._name):
            self._watching.meet(event)


def _observers_of(event: Event[Any]) -> tuple[Observer, ...]:
    observation = event._observer
    return () if observation is None else observation.observers


def _set_observers(event: Event[Any], observers: list[Observer]) -> None:
    event._observe(Observation(tuple(observers)) if observers else None)


# How an observed emission runs

_innermost: ContextVar[Run | Calls | None] = ContextVar("cyevents_observed", default=None)
origin: ContextVar[Any] = ContextVar("cyevents_origin", default=None)
"""Where the next emission in this context comes from, such as a message; it is None again for those within."""


class Observation:
    """Makes an observed event's emissions, and tells its observers."""

    __slots__ = ("observers",)

    def __init__(self, observers: tuple[Observer, ...]) -> None:
        self.observers = observers

    def emit(self, event: Event[Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Emit: see `Event.emit`."""
        results: list[Any] = []
        errors: list[Exception] = []
        with Run(self.observers, event, "emit", sender, args, kwargs) as run:
            try:
                entries = run.watched(event._snapshot(sender).entries)
                canceller = event._dispatch(entries, sender, args, kwargs, results, errors, None)
                if errors:
                    raise event._grouped(errors)
            finally:
                errors.clear()  # or they would refer to themselves by their tracebacks
            run.results = results if canceller is None else Cancelled(results, canceller, event)
        return run.results

    def send(
        self, event: Event[Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[tuple[Any, Any]]:
        """Send: see `Event.send`."""
        with Run(self.observers, event, "send", sender, args, kwargs) as run:
            pairs = run.results = event._pairs(run.watched(event._snapshot(sender).entries), sender, args, kwargs)
        return pairs

    async def emit_async(
        self, event: Event[Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[Any]:
        """Emit and await: see `Event.emit_async`."""
        aio = _event._aio or _event._load_aio()
        with Run(self.observers, event, "emit_async", sender, args, kwargs) as run:
            results: list[Any] = await aio.emit_async(event, sender, args, kwargs, run)
            run.results = results
            await run.settle()
        return results

    def condition_failed(self, error: Exception) -> None:
        """Note that a condition has raised, in the innermost emission."""
        run = _innermost.get()
        if type(run) is Run:
            run.failed = error

    emit_async.__qualname__ = "Event.emit_async"  # by which an un-awaited one is reported


class Run:
    """One observed emission: what its observers have to be told, and what stands in for the entries."""

    __slots__ = ("_token", "_watches", "failed", "parts", "results", "way")

    results: list[Any] | None

    def __init__(
        self,
        observers: tuple[Observer, ...],
        event: Event[Any],
        way: Way,
        sender: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.way = way
        self.results = None
        self.failed: Exception | None = None  # what the condition of the entry has raised that will be skipped now
        self._token: Token[Any] | None = None
        outer = _innermost.get()
        # Of each observer, what it was told of last, here or further out.
        self.parts: dict[Observer, Any] = {} if outer is None else outer.parts.copy()
        self._watches: list[tuple[Observer, Watch]] = []
        whence = origin.get()
        if whence is not None:
            origin.set(None)
        agreed: list[Callable[[], None]] = []
        try:
            for observer in observers:
                parent = self.parts.get(observer)
                watch = observer.begin(Beginning(event, way, sender, args, kwargs, parent, whence, agreed))
                if watch is not None:
                    self.parts[observer] = watch
                    self._watches.append((observer, watch))
            for step in agreed:
                step()
        except BaseException as error:
            self._end(error)
            raise

    def __enter__(self) -> Run:
        self._token = _innermost.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        token, self._token = self._token, None  # or who goes on in a context of this would keep all that were before
        self.failed = None
        assert token is not None
        try:
            # Whatever is innermost: those within may have had no stack left to do the same.
            _innermost.reset(token)
        except ValueError:  # closed from elsewhere, when its loop is gone
            pass
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        for _, watch in reversed(self._watches):
            watch.end(self.results, error)

    async def settle(self) -> None:
        """Wait for what the observers have to wait for."""
        for _, watch in self._watches:
            await watch.settle()

    def watched(self, entries: tuple[Entry, ...]) -> tuple[Entry, ...]:
        """What stands in for entries, so that this is told of them; they themselves if nobody watches."""
        if not self._watches:
            return entries
        for _, watch in self._watches:
            watch.plan(entries)
        return tuple([stand_in(entry, self) for entry in entries])

    # What the core calls

    def skip(self, entry: Entry, handler: Any) -> None:
        """Tell that an entry is not called."""
        error, self.failed = self.failed, None
        for _, watch in self._watches:
            watch.skip(entry, handler, error)

    def call(self, entry: Entry, handler: Any) -> Callable[..., Any]:
        """What is to be called for a handler."""
        calls = [(observer, call) for observer, watch in self._watches if (call := watch.call(entry, handler))]
        if not calls:
            return handler  # type: ignore[no-any-return]
        return partial(_call, Calls(self.parts, calls), handler, self.way != "send")


class Calls:
    """One observed call of a handler: what its observers have to be told."""

    __slots__ = ("_calls", "_tokens", "parts")

    def __init__(self, parts: dict[Observer, Any], calls: list[tuple[Observer, Call]]) -> None:
        self.parts = {**parts, **dict(calls)}
        self._calls = [call for _, call in calls]
        self._tokens: list[Token[Any]] = []

    def __enter__(self) -> None:
        self._tokens.append(_innermost.set(self))
        for call in self._calls:
            call.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        is_here = True
        try:
            _innermost.reset(self._tokens.pop())
        except ValueError:  # as of a task that is destroyed
            is_here = False
        for call in reversed(self._calls):
            call.leave(is_here)
        if error is not None:
            self.end(None, error)

    def scheduled(self) -> None:
        """Tell that what the handler has returned will be awaited."""
        for call in self._calls:
            call.scheduled()

    def started(self) -> None:
        """Tell that what is awaited begins."""
        for call in self._calls:
            call.started()

    def end(self, value: Any, error: BaseException | None) -> None:
        """Tell that the handler has returned, or raised."""
        for call in reversed(self._calls):
            call.end(value, error)


def _call(calls: Calls, handler: Any, is_consumed: bool, /, *args: Any, **kwargs: Any) -> Any:
    """Call a handler, and see that what it returned is watched until it is done, if the emission will run that."""
    with calls:
        result = handler(*args, **kwargs)
    kind = kind_of_result(result) if is_consumed else VALUE
    if kind == VALUE:
        calls.end(result, None)
        return result
    if kind == GENERATOR:
        return _watched_generator(calls, result)
    calls.scheduled()
    aio = _event._aio or _event._load_aio()
    return WatchedCoroutine(calls, aio._as_coroutine(result, kind))


def _watched_generator(calls: Calls, generator: Any) -> Generator[Any, Any, Any]:
    with calls:
        while True:
            try:
                item = next(generator)
            except StopIteration as stop:
                value = stop.value
                break
            yield item
    calls.end(value, None)
    return value


class WatchedCoroutine(Coroutine[Any, Any, Any]):
    """A coroutine that is watched from its first step to its end. It is closed, shown and named as the one it runs.

    No coroutine function could do that: one that is closed before it began does not close what it would have awaited.
    """

    _state: Literal["new", "begun", "over"] = "over"  # where there was no memory to make it

    def __init__(self, calls: Calls, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._calls = calls
        self._coroutine = coroutine
        self._state = "new"

    def send(self, value: Any) -> Any:
        """Run on to the next step."""
        return self._step(self._coroutine.send, value)

    def throw(self, *error: Any) -> Any:
        """Run on to the next step, from an exception."""
        try:
            return self._step(self._coroutine.throw, *error)
        finally:
            del error  # or it would refer to itself by its traceback

    def close(self) -> None:
        """End it."""
        try:
            self._coroutine.close()
        finally:
            self._over(None, GeneratorExit())

    def __del__(self) -> None:
        if self._state == "begun":  # its task is destroyed, as a loop is closed with tasks pending
            self.close()
        else:  # one that has not begun says itself that it was never awaited
            self._over(None, GeneratorExit())

    def __await__(self) -> WatchedCoroutine:
        return self

    def __iter__(self) -> WatchedCoroutine:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)  # such as cr_frame, for stacks, and __qualname__

    def _step(self, step: Callable[..., Any], *given: Any) -> Any:
        if self._state == "new":
            self._state = "begun"
            self._calls.__enter__()
            self._calls.started()
        try:
            return step(*given)
        except StopIteration as stop:
            self._over(stop.value, None)
            raise
        except BaseException as error:
            self._over(None, error)
            raise
        finally:
            del given  # which may have in it what is raised

    def _over(self, value: Any, error: BaseException | None) -> None:
        state, self._state = self._state, "over"
        if state == "over":
            return
        if state == "begun":
            self._calls.__exit__(None, None, None)
        self._calls.end(value, error)
