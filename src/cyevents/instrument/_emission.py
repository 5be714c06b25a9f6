"""How an observed emission runs: the core dispatches it as usual, and its instruments are called on the way.

Each observed event has an `InstrumentedEmitter`, to which the core passes the emissions of that event. It creates an
`ObservedEmission`, which calls the instruments before and after, and lets the core dispatch the handlers. If an
instrument also follows single handlers, the core gets the `ObservedEmission` as a `watch`. Instead of a handler, it
then calls the result of `ObservedEmission.call`, which calls the handler inside an `ObservedCall`.
"""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import ContextVar, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from .._async.awaitables import as_coroutine
from .._core._safe import handler_name
from .._core._values import GENERATOR, VALUE, Cancelled, kind_of_result
from .._log import log
from ._api import EmissionSpan, EmissionStart

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from contextvars import Token
    from types import TracebackType

    from .._core import Entry
    from .._event import Event
    from ._api import CallSpan, Instrument, Way

_innermost: ContextVar[ObservedEmission | ObservedCall | None] = ContextVar("cyevents_observed", default=None)
_origin: ContextVar[origin | None] = ContextVar("cyevents_origin", default=None)
"""The origin of the next emission in this context. It is None again inside that emission."""


def set_in_context(variable: ContextVar[Any], value: Any) -> Token[Any]:
    """Set a context variable, for `reset_in_context`, safely against finalizers that use it in the middle of that.

    Up to CPython 3.11 the collector may run while the variable is set. A finalizer that sets it then frees the context
    data being read (https://github.com/python/cpython/issues/148891), so a copy keeps that alive here. A finalizer that
    reads a variable while that is being deleted leaves a stale value in its cache, so no variable is ever deleted: it
    is set to None before it is set for the first time.
    """
    kept = copy_context()
    if variable not in kept:
        variable.set(None)
    return variable.set(value)


def reset_in_context(variable: ContextVar[Any], token: Token[Any]) -> None:
    """Undo a `set_in_context`. Raises a `ValueError` in another context."""
    kept = copy_context()  # noqa: F841 - keeps the context data alive that is being read
    variable.reset(token)


class origin:
    """Context manager that gives the next observed emission in this context an origin, such as a message.

    Instruments get the value as `EmissionStart.origin`, so one that forwards emissions can recognise those that it has
    made itself. Emissions nested in that emission have no origin. The value is not kept alive after the `with` block,
    not even by copies of the context. Use each object for one `with` statement.

    Args:
        value: the origin, any object.

    Example:
        >>> from cyevents import Namespace
        >>> from cyevents.instrument import Instrument, observe, origin
        >>> class Printer(Instrument):
        ...     def begin(self, start):
        ...         print(start.event.name, start.origin)
        >>> shop = Namespace()
        >>> with observe(Printer(), shop):
        ...     with origin("message 1"):
        ...         _ = shop.emit("order.placed")
        ...     _ = shop.emit("order.placed")
        order.placed message 1
        order.placed None
    """

    # The context variable holds this object rather than the value, so that copied contexts do not keep that alive.
    __slots__ = ("_token", "_value")

    def __init__(self, value: Any) -> None:
        self._value = value

    def __enter__(self) -> None:
        self._token = set_in_context(_origin, self)

    def __exit__(self, *exception: object) -> None:
        token = self._token
        self._value = None
        del self._token
        reset_in_context(_origin, token)


class ActiveInstrument:
    """An instrument that observes emissions, and whether it has failed. `Scope` adds which emissions these are."""

    instrument: Instrument | None  # None: it has stopped
    _has_failed = False

    def _log_failure(self, function: str, failure: Exception) -> None:
        """Log the first exception that the instrument raises where it must not."""
        if self._has_failed:
            return
        self._has_failed = True
        try:
            log(
                "ERROR",
                "the instrument's %s raised: the emission goes on; further exceptions in this scope are not logged",
                function,
                exc_info=failure,
            )
        except Exception:  # no stack is left, say
            pass


class InstrumentedEmitter:
    """Makes the emissions of an observed event, and calls the instruments of the scopes that observe it."""

    __slots__ = ("scopes",)

    def __init__(self, scopes: tuple[ActiveInstrument, ...]) -> None:
        self.scopes = scopes

    def emit(self, event: Event[Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Emit: see `Event.emit`."""
        results: list[Any] = []
        errors: list[Exception] = []
        with ObservedEmission(self.scopes, event, "emit", sender, args, kwargs) as emission:
            try:
                entries = event._snapshot(sender).entries
                watch = emission.plan(entries)
                canceller = event._dispatch(entries, sender, args, kwargs, results, errors, None, watch)
                if errors:
                    raise event._make_exception_group(errors)
            finally:
                errors.clear()  # their tracebacks refer to this frame: a reference cycle
            emission.results = results = results if canceller is None else Cancelled(results, canceller, event)
        return results

    def send(
        self, event: Event[Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[tuple[Any, Any]]:
        """Send: see `Event.send`."""
        with ObservedEmission(self.scopes, event, "send", sender, args, kwargs) as emission:
            entries = event._snapshot(sender).entries
            pairs = emission.results = event._pairs(entries, sender, args, kwargs, emission.plan(entries))
        return pairs

    async def emit_async(
        self, event: Event[Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[Any]:
        """Emit and await: see `Event.emit_async`."""
        from .._async.gather import emit_async  # imports asyncio

        with ObservedEmission(self.scopes, event, "emit_async", sender, args, kwargs) as emission:
            results = await emit_async(event, sender, args, kwargs, emission.plan)
            await emission.wait_done()
            emission.results = results
        return results

    def condition_failed(self, error: Exception) -> None:
        """Note that a condition has raised, in the innermost emission."""
        emission = _innermost.get()
        if type(emission) is ObservedEmission:
            emission.condition_error = error

    emit_async.__qualname__ = "Event.emit_async"  # the name in the warning about a coroutine that was never awaited


class ObservedEmission:
    """One observed emission: calls the instruments and their spans."""

    __slots__ = ("_spans", "_token", "condition_error", "parents", "results", "way")

    results: list[Any] | None

    def __init__(
        self,
        scopes: tuple[ActiveInstrument, ...],
        event: Event[Any],
        way: Way,
        sender: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.way = way
        self.results = None
        self.condition_error: Exception | None = None  # raised by the condition of the entry that is skipped next
        self._token: Token[Any] | None = None
        self._spans: list[Target[EmissionSpan]] = []
        outer = _innermost.get()
        # The innermost span of each instrument, by the id of the instrument, which may be unhashable.
        inherited: dict[int, Parent] = {} if outer is None else outer.parents
        self.parents: dict[int, Parent] = inherited
        source = _origin.get()
        came_from = None if source is None else source._value
        if source is not None:
            set_in_context(_origin, None)
        callbacks: list[tuple[ActiveInstrument, Callable[[], object]]] = []
        try:
            for scope in scopes:
                instrument = scope.instrument
                if instrument is None:  # stopped in between
                    continue
                parent = inherited.get(id(instrument))
                start = EmissionStart(
                    event, way, sender, args, kwargs, None if parent is None else parent[1], came_from
                )
                try:
                    span = instrument.begin(start)
                finally:
                    added, start._callbacks = start._callbacks, None
                if added:
                    callbacks += [(scope, callback) for callback in added]
                if span is not None:
                    self._spans.append((scope, instrument, span))
            if self._spans:
                self.parents = inherited | {id(instrument): (instrument, span) for _, instrument, span in self._spans}
            for scope, callback in callbacks:
                try:
                    callback()
                except Exception as failure:
                    scope._log_failure(handler_name(callback), failure)
        except BaseException as error:
            self._end(error)
            raise

    def __enter__(self) -> ObservedEmission:
        self._token = set_in_context(_innermost, self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        token, self._token = self._token, None  # the token refers to the outer emission: do not keep a chain of them
        assert token is not None
        try:
            # This also replaces an inner emission that could not reset the variable, for lack of stack.
            reset_in_context(_innermost, token)
        except ValueError:  # the coroutine is closed from another context, for example after its loop was closed
            pass
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        # Copied contexts may still refer to this emission, for the parents of their emissions: keep only `parents`.
        spans, self._spans = self._spans, []
        results, self.results, self.condition_error = self.results, None, None
        _end_all(spans, results, error)

    async def wait_done(self) -> None:
        """Wait until all spans are done."""
        for _, _, span in self._spans:
            await span.wait_done()

    def plan(self, entries: tuple[Entry, ...]) -> ObservedEmission | None:
        """Report the next entries; return the `watch` for the core, None if no instrument follows single handlers."""
        spans = self._spans
        _notify(spans, "plan", entries)
        return self if any(_overrides(span, "call") or _overrides(span, "skip") for _, _, span in spans) else None

    # Called by the core

    def skip(self, entry: Entry, handler: Any) -> None:
        """Report that a handler is not called."""
        error, self.condition_error = self.condition_error, None
        _notify(self._spans, "skip", entry, handler, skip_reason(entry, handler, error), error)

    def call(self, entry: Entry, handler: Any) -> Callable[..., Any]:
        """Return the callable for the core to call: the handler itself if no instrument follows this call."""
        calls: list[Target[CallSpan]] = []
        for scope, instrument, span in self._spans:
            call = _call_safely(scope, span, "call", entry, handler)
            if call is not None:
                calls.append((scope, instrument, call))
        if not calls:
            return handler  # type: ignore[no-any-return]
        return partial(call_observed, ObservedCall(self.parents, calls), handler, self.way != "send")


class ObservedCall:
    """One observed call of a handler: calls the call spans."""

    __slots__ = ("_spans", "_tokens", "parents")

    def __init__(self, parents: dict[int, Parent], spans: list[Target[CallSpan]]) -> None:
        self.parents = parents | {id(instrument): (instrument, span) for _, instrument, span in spans}
        self._spans = spans
        self._tokens: list[Token[Any]] = []

    def __enter__(self) -> None:
        self._tokens.append(set_in_context(_innermost, self))
        _notify(self._spans, "enter")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        same_context = True
        try:
            reset_in_context(_innermost, self._tokens.pop())
        except ValueError:  # another context, such as when a task is destroyed
            same_context = False
        _notify(reversed(self._spans), "exit", same_context)
        if error is not None:
            self.end(None, error)

    def scheduled(self) -> None:
        """Report that the handler has returned an awaitable, which will be awaited."""
        _notify(self._spans, "scheduled")

    def started(self) -> None:
        """Report that the awaitable starts to run."""
        _notify(self._spans, "started")

    def end(self, value: Any, error: BaseException | None) -> None:
        """Report that the handler has returned, or raised."""
        _end_all(self._spans.copy(), value, error)


if TYPE_CHECKING:
    from typing import TypeVar

    SpanT = TypeVar("SpanT")
    Target = tuple[ActiveInstrument, Instrument, SpanT]
    Parent = tuple[Instrument, EmissionSpan | CallSpan]


def _overrides(span: EmissionSpan, method: str) -> bool:
    """Return whether the class of a span overrides a method."""
    return getattr(type(span), method, None) is not getattr(EmissionSpan, method)


def _call_safely(scope: ActiveInstrument, span: Any, method: str, *args: Any) -> Any:
    """Call a method of a span and return its result. If it raises, log the exception and return None."""
    try:
        return getattr(span, method)(*args)
    except Exception as failure:
        scope._log_failure(f"{type(span).__qualname__}.{method}", failure)
        return None


def _notify(targets: Iterable[Target[Any]], method: str, *args: Any) -> None:
    """Call a method of all spans, and log exceptions."""
    for scope, _, span in targets:
        _call_safely(scope, span, method, *args)


def _end_all(targets: list[Target[Any]], result: Any, error: BaseException | None) -> None:
    """End all spans, the last one first, and empty the list."""
    while targets:
        scope, _, span = targets.pop()
        try:
            _call_safely(scope, span, "end", result, error)
        except BaseException:  # such as a KeyboardInterrupt: end the other spans first
            _end_all(targets, result, error)
            raise


def skip_reason(entry: Entry, handler: Any, error: Exception | None) -> str:
    """Return the reason why a handler is skipped: see `EmissionSpan.skip`."""
    if error is not None:
        return "its condition raised"
    if handler is None:
        return "it is dead"
    if entry.is_consumed:
        return "it has been called once"
    if entry.is_inactive():
        return "it was disconnected meanwhile"
    return "its condition is false"


def call_observed(call: ObservedCall, handler: Any, is_consumed: bool, /, *args: Any, **kwargs: Any) -> Any:
    """Call a handler. Wrap a coroutine or a generator that it returns, if the emission runs it, to report its end."""
    with call:
        result = handler(*args, **kwargs)
    kind = kind_of_result(result) if is_consumed else VALUE
    if kind == VALUE:
        call.end(result, None)
        return result
    if kind == GENERATOR:
        return _observed_generator(call, result)
    call.scheduled()
    return ObservedCoroutine(call, as_coroutine(result, kind))


call_observed.calls_observed_handler = True  # type: ignore[attr-defined] # for notes on errors, which name the handler


def _observed_generator(call: ObservedCall, generator: Any) -> Generator[Any, Any, Any]:
    with call:
        while True:
            try:
                item = next(generator)
            except StopIteration as stop:
                value = stop.value
                break
            yield item
    call.end(value, None)
    return value


class ObservedCoroutine(Coroutine[Any, Any, Any]):
    """Runs a coroutine, and reports its start and its end. Other attributes are those of that coroutine.

    This is not a coroutine function, since one that is closed before it starts would not close the inner coroutine.
    """

    _state: Literal["new", "begun", "over"] = "over"  # for `__del__`, if there was no memory to create it

    def __init__(self, call: ObservedCall, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._call = call
        self._coroutine = coroutine
        self._state = "new"

    def send(self, value: Any) -> Any:
        """Resume the coroutine with a value."""
        return self._step(self._coroutine.send, value)

    def throw(self, *error: Any) -> Any:
        """Resume the coroutine with an exception."""
        try:
            return self._step(self._coroutine.throw, *error)
        finally:
            del error  # its traceback refers to this frame: a reference cycle

    def close(self) -> None:
        """Close the coroutine."""
        try:
            self._coroutine.close()
        finally:
            self._over(None, GeneratorExit())

    def __del__(self) -> None:
        if self._state == "begun":  # its task is destroyed: a loop was closed with tasks pending
            self.close()
        else:  # the inner coroutine itself warns if it was never awaited
            self._over(None, GeneratorExit())

    def __await__(self) -> ObservedCoroutine:
        return self

    def __iter__(self) -> ObservedCoroutine:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._coroutine, name)  # such as cr_frame, for stacks, and __qualname__

    def _step(self, step: Callable[..., Any], *given: Any) -> Any:
        if self._state == "new":
            self._state = "begun"
            self._call.__enter__()
            self._call.started()
        try:
            return step(*given)
        except StopIteration as stop:
            self._over(stop.value, None)
            raise
        except BaseException as error:
            self._over(None, error)
            raise
        finally:
            del given  # it may hold the exception that is raised

    def _over(self, value: Any, error: BaseException | None) -> None:
        state, self._state = self._state, "over"
        if state == "over":
            return
        if state == "begun":
            self._call.__exit__(None, None, None)
        self._call.end(value, error)
