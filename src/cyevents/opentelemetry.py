"""OpenTelemetry: spans and metrics of emissions and handlers. Needs the package `opentelemetry-api`."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

from . import __version__
from ._code import code_of, last_part
from ._core._safe import int_text
from ._core._values import Cancel, Cancelled
from ._text import error_line, short_repr
from .instrument import CallSpan, EmissionSpan, Instrument, observe

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.trace import Status, StatusCode
except ImportError as error:
    raise ImportError('this needs OpenTelemetry: python -m pip install "opentelemetry-api>=1.30"') from error

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextvars import Token

    from opentelemetry.metrics import CallbackOptions, Histogram, Meter, MeterProvider, Observation
    from opentelemetry.trace import Span, TracerProvider

    from ._event import Event
    from ._namespace import Namespace
    from .instrument import EmissionStart, HandlerEntry

__all__ = ["Instrumentation", "instrument"]

_REASON_LIMIT = 100  # characters


def instrument(
    *sources: Namespace | Event[Any] | str,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Instrumentation:
    """Create spans and metrics for emissions from now on, until the instrumentation is stopped.

    Each emission gets a span, a child of the current one. Each call of a handler gets a child span of that, which is
    current while the handler runs and ends with it, also for async handlers and generators. Both spans record
    exceptions. The reason of a `Cancel`, which is not an error, becomes the attribute `cyevents.cancel_reason` of the
    emission's span. Senders and arguments are not recorded, because they may be secret.

    Metrics have the attributes `cyevents.event` and, where they apply, `cyevents.way`, `cyevents.handler`,
    `cyevents.outcome`, `cyevents.reason` and `error.type`:

    - `cyevents.emissions`: finished emissions, by outcome: `returned`, `cancelled` (by a handler), `raised`, or
      `stopped` (such as in a cancelled task).
    - `cyevents.emission.duration`: their durations, a histogram in seconds.
    - `cyevents.handler.calls`: finished calls of handlers, by outcome: `returned`, `raised`, `cancelled` (it raised
      `Cancel`) or `stopped`.
    - `cyevents.handler.duration`: their durations, a histogram in seconds.
    - `cyevents.handler.skips`: handlers that were skipped, by reason.
    - `cyevents.handler.active`: running handlers.
    - `cyevents.scheduled`: unfinished handlers in the whole process that `emit` has scheduled or delivered.

    Args:
        *sources: what to instrument: namespaces, events (of patterns too), or names and patterns of names in the
            default namespace. By default, the default namespace.
        tracer_provider: creates the spans; by default the global one.
        meter_provider: creates the metrics; by default the global one.

    Returns:
        An `Instrumentation`, which is a context manager.

    Raises:
        TypeError: if a source is none of these.

    Thread-safe. Other emissions run as fast as without an instrumentation.

    Example:
        >>> from cyevents import Namespace
        >>> from cyevents.opentelemetry import instrument
        >>> shop = Namespace()
        >>> with instrument(shop):
        ...     shop.emit("order.placed", "order 7")
        []
    """
    return Instrumentation(sources, tracer_provider, meter_provider)


class Instrumentation(Instrument):
    """Creates spans and metrics for emissions, until `stop` or the end of its `with` block. Made by `instrument`."""

    def __init__(
        self, sources: tuple[Any, ...], tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None
    ) -> None:
        self.tracer = trace.get_tracer("cyevents", __version__, tracer_provider)
        meter = metrics.get_meter("cyevents", __version__, meter_provider)
        self.emissions = meter.create_counter("cyevents.emissions", "{emission}", "Finished emissions.")
        self.emission_duration = _histogram(meter, "cyevents.emission.duration", "Duration of emissions.")
        self.calls = meter.create_counter("cyevents.handler.calls", "{call}", "Finished calls of handlers.")
        self.call_duration = _histogram(meter, "cyevents.handler.duration", "Duration of handlers.")
        self.skips = meter.create_counter("cyevents.handler.skips", "{call}", "Handlers that were skipped.")
        self.active = meter.create_up_down_counter("cyevents.handler.active", "{call}", "Handlers that are running.")
        self._scope = observe(self, *sources)
        self._scheduled = _ScheduledGauge()
        meter.create_observable_gauge(
            "cyevents.scheduled",
            [self._scheduled],
            "{call}",
            "Unfinished handlers that emit has scheduled or delivered.",
        )

    def stop(self) -> None:
        """Stop creating spans and metrics. Those of running emissions are still finished."""
        self._scope.stop()
        self._scheduled.is_on = False

    def __enter__(self) -> Instrumentation:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def begin(self, start: EmissionStart, /) -> EmissionSpan:
        """Start the span of an emission."""
        return _EmissionSpan(self, start.event.name, start.way)


def _histogram(meter: Meter, name: str, description: str) -> Histogram:
    # From ten microseconds to ten seconds: the SDK's own bounds are made for milliseconds.
    bounds = [step * 10.0**power for power in range(-5, 1) for step in (1, 2.5, 5)] + [10.0]
    return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=bounds)


class _ScheduledGauge:
    """Reports the number of scheduled handlers. A meter holds its callbacks for ever, so this can be switched off."""

    def __init__(self) -> None:
        self.is_on = True

    def __call__(self, options: CallbackOptions) -> Iterable[Observation]:
        if not self.is_on:
            return []
        scheduling = sys.modules.get("cyevents._async.scheduling")
        count = 0 if scheduling is None else len(scheduling.jobs) + len(scheduling.pool_calls)
        return [metrics.Observation(count)]


class _EmissionSpan(EmissionSpan):
    """The span of an emission."""

    __slots__ = ("_attributes", "_began", "_context", "_event", "_instrumentation", "_span")

    def __init__(self, instrumentation: Instrumentation, event: str, way: str) -> None:
        self._instrumentation = instrumentation
        self._event = {"cyevents.event": event}
        self._attributes = self._event | {"cyevents.way": way}
        self._span = instrumentation.tracer.start_span(f"{way} {event}", attributes=self._attributes)
        self._context = trace.set_span_in_context(self._span)
        self._began = perf_counter()

    def skip(self, entry: HandlerEntry, handler: Any, reason: str, error: Exception | None, /) -> None:
        attributes = {"cyevents.handler": last_part(entry.name), "cyevents.reason": reason}
        if error is not None:
            attributes["error.type"] = type(error).__qualname__
        self._instrumentation.skips.add(1, self._event | attributes)
        self._span.add_event("handler skipped", attributes)

    def call(self, entry: HandlerEntry, handler: Any, /) -> CallSpan:
        name = last_part(entry.name)
        attributes: dict[str, Any] = self._event | {"cyevents.handler": name}
        span = self._instrumentation.tracer.start_span(name, self._context, attributes=attributes)
        if span.is_recording():
            priority = entry.priority
            is_64_bit = -(2**63) <= priority < 2**63  # exporters fail on other ints
            span.set_attribute("cyevents.priority", priority if is_64_bit else int_text(priority))
            code = code_of(handler)
            if code.file is not None and code.line is not None:
                module = "" if code.module is None else f"{code.module}."
                span.set_attribute("code.function.name", module + code.name)
                span.set_attribute("code.file.path", code.file)
                span.set_attribute("code.line.number", code.line)
        return _HandlerSpan(self._instrumentation, span, attributes)

    def end(self, results: list[Any] | None, error: BaseException | None, /) -> None:
        duration = perf_counter() - self._began
        outcome = _outcome(error)
        if isinstance(results, Cancelled):
            outcome = "cancelled"
            if results.reason is not None:
                reason = results.reason if type(results.reason) is str else short_repr(results.reason, _REASON_LIMIT)
                self._span.set_attribute("cyevents.cancel_reason", reason)
        attributes = self._attributes | _end_span(self._span, outcome, error)
        self._instrumentation.emissions.add(1, attributes)
        self._instrumentation.emission_duration.record(duration, attributes, context=self._context)


class _HandlerSpan(CallSpan):
    """The span of one call of a handler."""

    __slots__ = ("_attributes", "_began", "_context", "_instrumentation", "_span", "_tokens")

    def __init__(self, instrumentation: Instrumentation, span: Span, attributes: dict[str, Any]) -> None:
        self._instrumentation = instrumentation
        self._span = span
        self._attributes = attributes
        self._context = trace.set_span_in_context(span)
        self._tokens: list[Token[Any]] = []
        self._began = perf_counter()
        instrumentation.active.add(1, attributes)

    def enter(self) -> None:
        self._tokens.append(context.attach(self._context))

    def exit(self, same_context: bool, /) -> None:
        token = self._tokens.pop()
        if same_context:
            context.detach(token)

    def delivered(self) -> None:
        self._span.add_event("delivered")

    def started(self) -> None:
        self._span.add_event("started")

    def end(self, value: Any, error: BaseException | None, /) -> None:
        duration = perf_counter() - self._began
        self._instrumentation.active.add(-1, self._attributes)
        outcome = _outcome(error)
        if isinstance(error, Cancel):
            outcome, error = "cancelled", None
        attributes = self._attributes | _end_span(self._span, outcome, error)
        self._instrumentation.calls.add(1, attributes)
        self._instrumentation.call_duration.record(duration, attributes, context=self._context)


def _outcome(error: BaseException | None) -> str:
    return "returned" if error is None else "raised" if isinstance(error, Exception) else "stopped"


def _end_span(span: Span, outcome: str, error: BaseException | None) -> dict[str, Any]:
    """End a span; return the attributes of its outcome, for the metrics too."""
    attributes = {"cyevents.outcome": outcome}
    if isinstance(error, Exception):
        attributes["error.type"] = type(error).__qualname__
        try:
            span.record_exception(error)
        except Exception:  # the exception's own `__str__` raises, say
            span.add_event("exception", {"exception.type": type(error).__qualname__})
        span.set_status(Status(StatusCode.ERROR, error_line(error)))
    span.set_attributes(attributes)
    span.end()
    return attributes
