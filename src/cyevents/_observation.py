"""How an observed emission runs: as the core would run it, with its observers told of all of it.

The core asks the `Observation` of an observed event to make its emissions; where an event is not observed, it asks
nobody. An observation tells when one begins and ends, and, to those observers that want to know, of each handler's
call and skip.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ._backend import stand_in
from ._common import GENERATOR, VALUE, Cancelled, kind_of_result
from ._event import get_aio
from ._observers import Beginning

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextvars import Token
    from types import TracebackType

    from ._backend import Entry
    from ._event import Event
    from ._observers import Call, Observer, Watch, Way

_innermost: ContextVar[Run | Calls | None] = ContextVar("cyevents_observed", default=None)
_origin: ContextVar[ComesFrom | None] = ContextVar("cyevents_origin", default=None)
"""Where the next emission in this context comes from; it is None again for those within."""


def set_in_context(variable: ContextVar[Any], value: Any) -> Token[Any]:
    """Set a variable, for `reset_in_context`, whatever finalizers read and set meanwhile.

    Up to CPython 3.11 the collector may run in the middle of that. What a finalizer sets then frees what is being read
    (https://github.com/python/cpython/issues/148891), so it is kept here; and what one reads while a variable is being
    deleted stays in that variable's cache, so none is: it is None before it is set first.
    """
    kept = copy_context()
    if variable not in kept:
        variable.set(None)
    return variable.set(value)


def reset_in_context(variable: ContextVar[Any], token: Token[Any]) -> None:
    """Undo a `set_in_context`: a `ValueError` in another context."""
    kept = copy_context()  # noqa: F841 - what is being read
    variable.reset(token)


class ComesFrom:
    """A context manager that gives the next emission an origin, such as a message: see `Beginning.origin`.

    The context variable holds this object rather than the message, so that copied contexts do not keep that alive.
    """

    __slots__ = ("_token", "value")

    def __init__(self, value: Any) -> None:
        self.value = value

    def __enter__(self) -> None:
        self._token = set_in_context(_origin, self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        token = self._token
        self.value = self._token = None  # type: ignore[assignment]
        reset_in_context(_origin, token)


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
            run.results = results = results if canceller is None else Cancelled(results, canceller, event)
        return results

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
        aio = get_aio()
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
        source = _origin.get()
        whence = None if source is None else source.value
        if source is not None:
            set_in_context(_origin, None)
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
        self._token = set_in_context(_innermost, self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        token, self._token = self._token, None  # or who goes on in a context of this would keep all that were before
        assert token is not None
        try:
            # Whatever is innermost: those within may have had no stack left to do the same.
            reset_in_context(_innermost, token)
        except ValueError:  # closed from elsewhere, when its loop is gone
            pass
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        # Copied contexts still refer to this run, as the parent of emissions there: keep `parts` alone.
        watches, self._watches = self._watches, []
        results, self.results, self.failed = self.results, None, None
        for _, watch in reversed(watches):
            watch.end(results, error)

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
        self._tokens.append(set_in_context(_innermost, self))
        for call in self._calls:
            call.enter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        is_here = True
        try:
            reset_in_context(_innermost, self._tokens.pop())
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
    aio = get_aio()
    return WatchedCoroutine(calls, aio.as_coroutine(result, kind))


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
