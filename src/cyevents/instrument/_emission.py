"""How an observed emission runs: the core dispatches it as usual, and its instruments are called on the way.

Each observed event has an `InstrumentedEmitter`, to which the core passes the emissions of that event. It creates an
`ObservedEmission`, which calls the instruments before and after, and lets the core dispatch the handlers. If an
instrument also follows single handlers, the core gets the `ObservedEmission` as a `watch`. Instead of a handler, it
then calls the result of `ObservedEmission.call`, which calls the handler inside an `ObservedCall`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from .._context import reset_in_context, set_in_context, take_origin
from .._core._safe import handler_name
from .._core._values import ASYNC_GENERATOR, AWAITABLE, FIRST, GENERATOR, Cancelled
from .._event import load_emit_async, run
from ._api import EmissionSpan, EmissionStart
from ._call import DeliveredCall, ObservedCall, call_observed, call_safely, end_all, innermost, notify, overrides

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token
    from types import TracebackType

    from .._core import Entry
    from .._event import Event
    from ._api import CallSpan, Way
    from ._call import ActiveInstrument, Parent, Target


RUN_KINDS = (AWAITABLE, GENERATOR, ASYNC_GENERATOR)  # the kinds of results that most emissions run


class InstrumentedEmitter:
    """Makes the emissions of an observed event, and calls the instruments of the scopes that observe it."""

    __slots__ = ("scopes",)

    def __init__(self, scopes: tuple[ActiveInstrument, ...]) -> None:
        self.scopes = scopes

    def emit(
        self, event: Event[Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any], way: Way = "emit"
    ) -> list[Any]:
        """Emit: see `Event.emit`. With `"first"` as the way, up to the first result."""
        if event._hold_back(sender, args, kwargs):
            return []
        with ObservedEmission(self.scopes, event, way, sender, args, kwargs) as emission:
            entries = event._begin_emission(sender, args, kwargs)
            watch = emission.plan(entries)
            results = emission.results = run(
                event, entries, sender, args, kwargs, watch, FIRST if way == "first" else 0
            )
        return results

    def send(
        self, event: Event[Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[tuple[Any, Any]]:
        """Send: see `Event.send`."""
        if event._hold_back(sender, args, kwargs):
            return []
        with ObservedEmission(self.scopes, event, "send", sender, args, kwargs) as emission:
            entries = event._begin_emission(sender, args, kwargs)
            pairs = emission.results = event._pairs(entries, sender, args, kwargs, emission.plan(entries))
        return pairs

    async def emit_async(
        self, event: Event[Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[Any]:
        """Emit and await: see `Event.emit_async`."""
        return await self._await_handlers("emit_async", event, sender, args, kwargs)

    async def send_async(
        self, event: Event[Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[tuple[Any, Any]]:
        """Send and await: see `Event.send_async`."""
        return await self._await_handlers("send_async", event, sender, args, kwargs)

    async def first_async(
        self, event: Event[Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any], default: Any
    ) -> Any:
        """Await the first result: see `Event.first_async`."""
        results = await self._await_handlers("first_async", event, sender, args, kwargs)
        return default if isinstance(results, Cancelled) or not results else results[0]

    async def _await_handlers(
        self, way: Way, event: Event[Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[Any]:
        if event._hold_back(sender, args, kwargs):
            return []
        with ObservedEmission(self.scopes, event, way, sender, args, kwargs) as emission:
            results: list[Any] = await load_emit_async(way)(event, sender, args, kwargs, emission.plan)
            await emission.wait_done()
            emission.results = results
        return results

    def condition_failed(self, error: Exception) -> None:
        """Note that a condition has raised, in the innermost emission."""
        emission = innermost.get()
        if type(emission) is ObservedEmission:
            emission.condition_error = error

    # The names in the warnings about coroutines that were never awaited.
    emit_async.__qualname__ = "Event.emit_async"
    send_async.__qualname__ = "Event.send_async"
    first_async.__qualname__ = "Event.first_async"


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
        outer = innermost.get()
        # The innermost span of each instrument, by the id of the instrument, which may be unhashable.
        inherited: dict[int, Parent] = {} if outer is None else outer.parents
        self.parents: dict[int, Parent] = inherited
        came_from = take_origin()
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
        self._token = set_in_context(innermost, self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        token, self._token = self._token, None  # the token refers to the outer emission: do not keep a chain of them
        assert token is not None
        try:
            # This also replaces an inner emission that could not reset the variable, for lack of stack.
            reset_in_context(innermost, token)
        except ValueError:  # the coroutine is closed from another context, for example after its loop was closed
            pass
        self._end(error)

    def _end(self, error: BaseException | None) -> None:
        # Copied contexts may still refer to this emission, for the parents of their emissions: keep only `parents`.
        spans, self._spans = self._spans, []
        results, self.results, self.condition_error = self.results, None, None
        end_all(spans, results, error)

    async def wait_done(self) -> None:
        """Wait until all spans are done."""
        for _, _, span in self._spans:
            await span.wait_done()

    def plan(self, entries: tuple[Entry, ...]) -> ObservedEmission | None:
        """Report the next entries; return the `watch` for the core, None if no instrument follows single handlers."""
        spans = self._spans
        notify(spans, "plan", entries)
        names = ("call", "skip")
        return self if any(overrides(span, EmissionSpan, name) for _, _, span in spans for name in names) else None

    # Called by the core

    def skip(self, entry: Entry, handler: Any, reason: str | None = None) -> None:
        """Report that a handler is not called."""
        error, self.condition_error = self.condition_error, None
        notify(self._spans, "skip", entry, handler, reason or skip_reason(entry, handler, error), error)

    def call(self, entry: Entry, handler: Any, function: Any = None) -> Callable[..., Any]:
        """Return the callable for the core to call: the handler itself if no instrument follows this call.

        With `function`, that is called in place of the handler.
        """
        calls = self._begin_call(entry, handler)
        if function is None:
            function = handler
        if not calls:
            return function  # type: ignore[no-any-return]
        kinds = () if self.way == "send" else (AWAITABLE,) if self.way == "send_async" else RUN_KINDS
        return partial(call_observed, ObservedCall(self.parents, calls), function, kinds)

    def deliver(self, entry: Entry, handler: Any, function: Any, keeps_generators: bool = False) -> Callable[..., Any]:
        """Return the callable for the target of `via` to call, once and later, in place of `function`.

        One that is discarded instead has ended with a `GeneratorExit`. If it `keeps_generators`, these are values.
        """
        calls = self._begin_call(entry, handler)
        if not calls:
            return function  # type: ignore[no-any-return]
        call = DeliveredCall(self.parents, calls)
        notify(calls, "delivered")
        return partial(call_observed, call, function, (AWAITABLE,) if keeps_generators else RUN_KINDS)

    def _begin_call(self, entry: Entry, handler: Any) -> list[Target[CallSpan]]:
        """Return the spans of a call that is about to be made."""
        calls: list[Target[CallSpan]] = []
        for scope, instrument, span in self._spans:
            call = call_safely(scope, span, "call", entry, handler)
            if call is not None:
                calls.append((scope, instrument, call))
        return calls


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
