"""`cyevents.opentelemetry` with the real SDK: the spans and metrics of an emission."""

import asyncio
import importlib
import re
import sys

import pytest

otel = pytest.importorskip("opentelemetry.sdk.trace")
pytest.importorskip("opentelemetry.sdk.metrics")


@pytest.fixture
def seen(api):
    """Start instruments with `seen(*sources)`; then read `seen.spans()` and `seen.metrics()`."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = otel.TracerProvider(), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(exporter))

    class Seen:
        tracer = tracers.get_tracer("test")

        def __call__(self, *sources):
            module = importlib.import_module("cyevents.opentelemetry")
            self.instrumentation = module.instrument(*sources, tracer_provider=tracers, meter_provider=meters)
            return self.instrumentation

        def spans(self):
            return {span.name: span for span in exporter.get_finished_spans()}

        def metrics(self):
            """Return the values by name and sorted attribute values: a number, or the count of a histogram."""
            found = {}
            for resource in reader.get_metrics_data().resource_metrics:
                for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
                    for point in metric.data.data_points:
                        about = tuple(str(value) for _, value in sorted(point.attributes.items()))
                        found[metric.name, *about] = point.value if hasattr(point, "value") else point.count
            return found

        def bounds(self, name):
            """Return the bounds of a histogram's buckets."""
            (found,) = (
                point.explicit_bounds
                for resource in reader.get_metrics_data().resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
                for point in metric.data.data_points
                if metric.name == name
            )
            return found

    yield Seen()
    tracers.shutdown()
    meters.shutdown()


def parent(spans, name):
    """Return the name of a span's parent."""
    of = spans[name].parent
    return None if of is None else next(span.name for span in spans.values() if span.context.span_id == of.span_id)


def about(span):
    return {key: value for key, value in span.attributes.items() if not key.startswith("code.")}


def test_spans_are_nested(api, ns, seen, run):
    @ns.on("order.placed", priority=5)
    def validate(order, **kwargs):
        return True

    @ns.on("order.placed", thread=True)
    def mail(order, **kwargs):
        ns.emit("mailed", order)

    @ns.on("order.placed")
    async def pay(order, **kwargs):
        await asyncio.sleep(0)
        await ns.emit_async("paid", order)

    with seen(ns), seen.tracer.start_as_current_span("request"):
        run(ns.emit_async("order.placed", "secret", card="secret"))
    spans = seen.spans()
    assert {name: parent(spans, name) for name in spans} == {
        "request": None,
        "emit_async order.placed": "request",
        "validate": "emit_async order.placed",
        "mail": "emit_async order.placed",
        "emit mailed": "mail",
        "pay": "emit_async order.placed",
        "emit_async paid": "pay",
    }
    assert about(spans["emit_async order.placed"]) == {
        "cyevents.event": "order.placed",
        "cyevents.way": "emit_async",
        "cyevents.outcome": "returned",
    }
    assert about(spans["validate"]) == {
        "cyevents.event": "order.placed",
        "cyevents.handler": "validate",
        "cyevents.priority": 5,
        "cyevents.outcome": "returned",
    }
    assert spans["validate"].attributes["code.file.path"] == __file__
    assert spans["validate"].attributes["code.line.number"] == validate.__code__.co_firstlineno
    assert spans["validate"].attributes["code.function.name"].endswith("<locals>.validate")
    for span in spans.values():
        assert "secret" not in span.to_json()
        if span.parent is not None:
            outer = spans[parent(spans, span.name)]
            assert outer.start_time <= span.start_time <= span.end_time <= outer.end_time


def test_handler_span_is_current_until_it_ends(api, ns, seen, run):
    from opentelemetry import trace

    found = []

    def note():
        found.append(trace.get_current_span().name)

    @ns.on("x", priority=3)
    def plain(sender):
        note()

    @ns.on("x", priority=2)
    def generator(sender):
        note()
        yield 1
        note()

    @ns.on("x", priority=1)
    async def coroutine(sender):
        note()
        with seen.tracer.start_as_current_span("own"):
            await asyncio.sleep(0)
            note()
        note()

    @ns.on("x")
    async def items(sender):
        note()
        yield 1
        await asyncio.sleep(0)
        note()

    async def main():
        await ns.emit_async("x")
        with seen.tracer.start_as_current_span("outside"):
            note()
            await ns.emit_async("x")
            note()

    with seen(ns):
        run(main())
    once = ["plain", "generator", "generator", "coroutine", "own", "coroutine", "items", "items"]
    assert found == [*once, "outside", *once, "outside"]


def test_scheduled_handler_is_a_child_that_ends_later(api, ns, seen):
    @ns.on("x")
    async def later(sender):
        await asyncio.sleep(0.01)

    with seen(ns):
        ns.emit("x")
        assert seen.metrics()["cyevents.handler.active", "x", "later"] == 1
        assert seen.metrics()["cyevents.scheduled",] == 1
        assert api.drain(10)
    spans = seen.spans()
    assert parent(spans, "later") == "emit x"
    assert spans["later"].end_time > spans["emit x"].end_time
    assert [event.name for event in spans["later"].events] == ["started"]
    assert seen.metrics()["cyevents.handler.active", "x", "later"] == 0


def test_errors(api, ns, seen, run):
    @ns.on("x")
    def fail(sender):
        raise ValueError("hm")

    @ns.on("y")
    async def stopped(sender):
        await asyncio.sleep(60)

    async def main():
        task = asyncio.ensure_future(ns.emit_async("y"))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with seen(ns):
        with pytest.raises(ValueError, match="hm"):
            ns.emit("x")
        with pytest.raises(asyncio.CancelledError):
            run(main())
    spans = seen.spans()
    for name in ("fail", "emit x"):
        assert spans[name].status.status_code.name == "ERROR"
        assert spans[name].status.description == "ValueError: hm"
        assert [event.attributes["exception.type"] for event in spans[name].events] == ["ValueError"]
        assert spans[name].attributes["cyevents.outcome"] == "raised"
        assert spans[name].attributes["error.type"] == "ValueError"
    for name in ("stopped", "emit_async y"):
        assert spans[name].status.status_code.name == "UNSET"
        assert spans[name].attributes["cyevents.outcome"] == "stopped"


def test_cancel_is_not_an_error(api, ns, seen):
    @ns.on("x")
    def refuse(sender):
        raise api.Cancel(sender)

    reasons = []
    with seen(ns):
        for reason in ("out of stock", None, ["tea"] * 100):
            ns.emit("x", reason)
            spans = seen.spans()
            for name in ("refuse", "emit x"):
                assert spans[name].status.status_code.name == "UNSET"
                assert spans[name].attributes["cyevents.outcome"] == "cancelled"
                assert "error.type" not in spans[name].attributes
                assert not spans[name].events
            reasons.append(spans["emit x"].attributes.get("cyevents.cancel_reason"))
    assert reasons[:2] == ["out of stock", None]
    assert reasons[2].startswith("['tea', ") and len(reasons[2]) < 200
    assert ("cyevents.handler.calls", "x", "refuse", "cancelled") in seen.metrics()


def test_veto_by_cancel_is_an_error(api, ns, seen):
    instrument = importlib.import_module("cyevents.instrument")

    class Veto(instrument.Instrument):
        def begin(self, start):
            raise api.Cancel("vetoed")

    with seen(ns), instrument.observe(Veto(), ns), pytest.raises(api.Cancel, match="vetoed"):
        ns.emit("x")
    assert seen.spans()["emit x"].attributes["cyevents.outcome"] == "raised"


def test_error_without_a_repr(api, ns, seen):
    class Bad(Exception):
        def __str__(self):
            raise OSError

    @ns.on("x")
    def fail(sender):
        raise Bad

    with seen(ns), pytest.raises(Bad):
        ns.emit("x")
    assert seen.spans()["fail"].status.description == "Bad"


def test_metrics(api, ns, seen):
    @ns.on("x", priority=3)
    def first(sender):
        if sender == "fails":
            raise ValueError

    @ns.on("x", priority=2, condition=lambda sender: False)
    def unwanted(sender):
        pass

    @ns.on("x", priority=1)
    def refuse(sender):
        return False

    @ns.on("x")
    def never(sender):
        pass

    with seen(ns):
        ns.emit("x", 1)
        ns.emit("x", 2)
        with pytest.raises(ValueError):
            ns.emit("x", "fails")
        ns.emit("unheard")
    ns.emit("x", 3)
    assert seen.metrics() == {
        ("cyevents.emissions", "x", "cancelled", "emit"): 2,
        ("cyevents.emissions", "x", "raised", "emit", "ValueError"): 1,
        ("cyevents.emissions", "unheard", "returned", "emit"): 1,
        ("cyevents.emission.duration", "x", "cancelled", "emit"): 2,
        ("cyevents.emission.duration", "x", "raised", "emit", "ValueError"): 1,
        ("cyevents.emission.duration", "unheard", "returned", "emit"): 1,
        ("cyevents.handler.calls", "x", "first", "returned"): 2,
        ("cyevents.handler.calls", "x", "first", "raised", "ValueError"): 1,
        ("cyevents.handler.calls", "x", "refuse", "returned"): 2,
        ("cyevents.handler.duration", "x", "first", "returned"): 2,
        ("cyevents.handler.duration", "x", "first", "raised", "ValueError"): 1,
        ("cyevents.handler.duration", "x", "refuse", "returned"): 2,
        ("cyevents.handler.skips", "x", "unwanted", "its condition is false"): 2,
        ("cyevents.handler.active", "x", "first"): 0,
        ("cyevents.handler.active", "x", "refuse"): 0,
    }
    assert [event.name for event in seen.spans()["emit x"].events if event.name != "exception"] in (
        [],
        ["handler skipped"],
    )


def test_skip_reasons(api, ns, seen):
    def fails(sender):
        raise ValueError("secret")

    @ns.on("x", condition=fails)
    def unchecked(sender):
        pass

    with seen(ns):
        ns.emit("x")
    (event,) = seen.spans()["emit x"].events
    assert event.attributes == {
        "cyevents.handler": "unchecked",
        "cyevents.reason": "its condition raised",
        "error.type": "ValueError",
    }
    assert seen.spans()["emit x"].status.status_code.name == "UNSET"  # it was handled
    assert seen.metrics()["cyevents.handler.skips", "x", "unchecked", "its condition raised", "ValueError"] == 1


def test_histogram_buckets_fit_handlers(api, ns, seen):
    """Handlers take microseconds: the SDK's default first bucket would contain all of them."""
    ns.event("x")
    with seen(ns):
        ns.emit("x")
    assert seen.bounds("cyevents.emission.duration")[:4] == (1e-05, 2.5e-05, 5e-05, 0.0001)
    assert seen.bounds("cyevents.emission.duration")[-2:] == (5.0, 10.0)


def test_scheduled_handlers_are_counted_until_stop(api, ns, seen, run):
    @ns.on("x")
    async def wait(sender):
        await asyncio.sleep(60)

    async def main():
        with seen(ns):
            ns.emit("x")
            assert seen.metrics()["cyevents.scheduled",] == 1
        assert ("cyevents.scheduled",) not in seen.metrics()

    run(main())


def test_stop(api, ns, seen):
    ns.event("x")
    instrumentation = seen(ns)
    ns.emit("x")
    instrumentation.stop()
    ns.emit("x")
    assert seen.metrics()["cyevents.emissions", "x", "returned", "emit"] == 1
    assert ns["x"]._observer is None or len(ns["x"]._observer.scopes) == 1


def test_default_global_providers_do_nothing(api, ns):
    module = importlib.import_module("cyevents.opentelemetry")

    @ns.on("x")
    def handler(sender):
        return 1

    with module.instrument(ns):
        assert ns.emit("x") == [1]
    with pytest.raises(TypeError, match="can be observed"):
        module.instrument(None)


def test_missing_package_is_named(api, monkeypatch):
    monkeypatch.delitem(sys.modules, "cyevents.opentelemetry", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ImportError, match=re.escape('python -m pip install "opentelemetry-api>=1.30"')):
        importlib.import_module("cyevents.opentelemetry")


@pytest.mark.parametrize(
    ("priority", "expected"),
    [
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, str(2**63)),
        (-(2**63) - 1, str(-(2**63) - 1)),
        (10**5000, "about 10**5000"),
    ],
    ids=["most", "least", "more", "less", "5000 digits"],
)
def test_priority_over_64_bits_is_text(ns, seen, priority, expected):
    @ns.on("x", priority=priority)
    def handler(sender):
        pass

    with seen(ns):
        ns.emit("x")
    span = seen.spans()[handler.__qualname__.rpartition(".")[2]]
    assert span.attributes["cyevents.priority"] == expected
    span.to_json()
