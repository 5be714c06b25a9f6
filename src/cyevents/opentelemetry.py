"""OpenTelemetry: spans and metrics of emissions and their handlers. Needs `pip install "cyevents[opentelemetry]"`."""

from __future__ import annotations

import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any

from . import __version__
from ._code import code_of, last_part
from ._common import Cancelled, error_line, int_text
from .instrument import CallSpan, EmissionSpan, Instrument, Scope

try:
    from opentelemetry import context, metrics, trace
    from opentelemetry.trace import Status, StatusCode
except ImportError as error:
    raise ImportError('this needs OpenTelemetry: pip install "cyevents[opentelemetry]"') from error

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import Span, TracerProvider

    from ._event import Event
    from ._namespace import Namespace
    from .instrument import EmissionStart, HandlerEntry
    from .instrument._api import Way

__all__ = ["Instrumentation", "instrument"]

_SECONDS = [step * 10.0**power for power in range(-5, 1) for step in (1, 2.5, 5)] + [10.0]
"""The bounds of histograms, from ten microseconds to ten seconds: the SDK's own are made for milliseconds."""


def instrument(
    *sources: Namespace | Event[Any] | str,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
) -> Instrumentation:
    """Make spans and metrics of emissions from now on, until the instrumentation is stopped.

    A span for each emission, a child of the current span, and one for each call of a handler, a child of the emission's
    and current while the handler runs: until an async handler or a generator has ended. What handlers raise is recorded
    in both. Senders and arguments are not: they may be secret.

    The metrics, with the attributes `cyevents.event` and, where it makes sense, `cyevents.way`, `cyevents.handler`,
    `cyevents.outcome`, `cyevents.reason` and, of what has raised, `error.type`:

    - `cyevents.emissions`: emissions ended; the outcome is `returned`, `cancelled` (by a handler), `raised`, or
      `stopped` (as in a task that is cancelled).
    - `cyevents.emission.duration`: how long they took, a histogram in seconds.
    - `cyevents.handler.calls`: handlers' calls ended; the outcome is `returned`, `raised` or `stopped`.
    - `cyevents.handler.duration`: how long they took, a histogram in seconds.
    - `cyevents.handler.skips`: handlers not called when their turn came, and the reason.
    - `cyevents.handler.active`: handlers that run now.
    - `cyevents.scheduled`: async handlers that `emit` has scheduled and that are not done, of the whole process.

    Args:
        *sources: what to instrument: namespaces; events; names, or patterns of names, in the default namespace; events
            of patterns. The default namespace if not given.
        tracer_provider: makes the spans; the global one if not given.
        meter_provider: makes the metrics; the global one if not given.

    Returns:
        An `Instrumentation`, to be stopped some time, or used in a `with` statement.

    Raises:
        TypeError: if a source is none of these.

    Thread-safe. What is not instrumented, also before and after, runs as fast as ever.

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
    """Spans and metrics of emissions, until `stop`, or the end of its `with`. Made by `instrument`."""

    def __init__(
        self,
        sources: tuple[Any, ...],
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
    ) -> None:
        self._scope = Scope(sources)
        self.tracer = trace.get_tracer("cyevents", __version__, tracer_provider)
        meter = metrics.get_meter("cyevents", __version__, meter_provider)
        self.emissions = meter.create_counter("cyevents.emissions", "{emission}", "Emissions ended.")
        self.emission_duration = meter.create_histogram(
            "cyevents.emission.duration",
            "s",
            "How long emissions took.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.calls = meter.create_counter("cyevents.handler.calls", "{call}", "Calls of handlers ended.")
        self.call_duration = meter.create_histogram(
            "cyevents.handler.duration",
            "s",
            "How long handlers took.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.skips = meter.create_counter("cyevents.handler.skips", "{call}", "Handlers not called in their turn.")
        self.active = meter.create_up_down_counter("cyevents.handler.active", "{call}", "Handlers that run now.")
        self._scheduled = _Scheduled()
        meter.create_observable_gauge(
            "cyevents.scheduled", [self._scheduled], "{call}", "Async handlers scheduled by emit and not done."
        )
        self._scope._start(self)

    def stop(self) -> None:
        """Make no more spans and metrics; those of emissions that run already are finished."""
        self._scope.stop()
        self._scheduled.is_on = False

    def __enter__(self) -> Instrumentation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def begin(self, start: EmissionStart, /) -> EmissionSpan:
        """Begin an emission's span."""
        return _EmissionSpan(self, start.event.name, start.way)


class _Scheduled:
    """Tells how many async handlers are scheduled, while it is on: a meter keeps for ever whom it asks."""

    def __init__(self) -> None:
        self.is_on = True

    def __call__(self, options: CallbackOptions) -> Iterable[Observation]:
        if not self.is_on:
            return []
        scheduling = sys.modules.get("cyevents._async.scheduling")
        return [metrics.Observation(0 if scheduling is None else len(scheduling.jobs))]


class _EmissionSpan(EmissionSpan):
    """One emission."""

    __slots__ = ("_about", "_began", "_context", "_ours", "_span")

    def __init__(self, ours: Instrumentation, event: str, way: Way) -> None:
        self._ours = ours
        self._about = {"cyevents.event": event, "cyevents.way": way}
        self._span = ours.tracer.start_span(f"{way} {event}", attributes=self._about)
        self._context = trace.set_span_in_context(self._span)
        self._began = perf_counter()

    def skip(self, entry: HandlerEntry, handler: Any, reason: str, error: Exception | None, /) -> None:
        about = {"cyevents.handler": last_part(entry.name), "cyevents.reason": reason}
        if error is not None:
            about["error.type"] = type(error).__qualname__
        self._ours.skips.add(1, {"cyevents.event": self._about["cyevents.event"], **about})
        self._span.add_event("handler skipped", about)

    def call(self, entry: HandlerEntry, handler: Any, /) -> CallSpan:
        name = last_part(entry.name)
        about: dict[str, Any] = {"cyevents.event": self._about["cyevents.event"], "cyevents.handler": name}
        span = self._ours.tracer.start_span(name, self._context, attributes=about)
        if span.is_recording():
            priority = entry.priority
            fits = -(2**63) <= priority < 2**63  # exporters fail on other ints
            span.set_attribute("cyevents.priority", priority if fits else int_text(priority))
            code = code_of(handler)
            if code.file is not None and code.line is not None:
                module = "" if code.module is None else f"{code.module}."
                span.set_attribute("code.function.name", module + code.name)
                span.set_attribute("code.file.path", code.file)
                span.set_attribute("code.line.number", code.line)
        return _HandlerSpan(self._ours, span, about)

    def end(self, results: list[Any] | None, error: BaseException | None, /) -> None:
        took = perf_counter() - self._began
        outcome = "cancelled" if isinstance(results, Cancelled) else _outcome(error)
        about = {**self._about, **_end(self._span, outcome, error)}
        self._ours.emissions.add(1, about)
        self._ours.emission_duration.record(took, about, context=self._context)


class _HandlerSpan(CallSpan):
    """One call of a handler."""

    __slots__ = ("_about", "_began", "_context", "_ours", "_span", "_tokens")

    def __init__(self, ours: Instrumentation, span: Span, about: dict[str, Any]) -> None:
        self._ours = ours
        self._span = span
        self._about = about
        self._context = trace.set_span_in_context(span)
        self._tokens: list[Token[Any]] = []
        self._began = perf_counter()
        ours.active.add(1, about)

    def enter(self) -> None:
        self._tokens.append(context.attach(self._context))

    def exit(self, same_context: bool, /) -> None:
        token = self._tokens.pop()
        if same_context:
            context.detach(token)

    def started(self) -> None:
        self._span.add_event("started")

    def end(self, value: Any, error: BaseException | None, /) -> None:
        took = perf_counter() - self._began
        self._ours.active.add(-1, self._about)
        about = {**self._about, **_end(self._span, _outcome(error), error)}
        self._ours.calls.add(1, about)
        self._ours.call_duration.record(took, about, context=self._context)


def _outcome(error: BaseException | None) -> str:
    return "returned" if error is None else "raised" if isinstance(error, Exception) else "stopped"


def _end(span: Span, outcome: str, error: BaseException | None) -> dict[str, Any]:
    """End a span; return what its metrics say of the outcome besides."""
    about = {"cyevents.outcome": outcome}
    if isinstance(error, Exception):
        about["error.type"] = type(error).__qualname__
        try:
            span.record_exception(error)
        except Exception:  # it cannot be shown
            span.add_event("exception", {"exception.type": type(error).__qualname__})
        span.set_status(Status(StatusCode.ERROR, error_line(error)))
    span.set_attributes(about)
    span.end()
    return about
