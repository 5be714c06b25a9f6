"""Bridges and OpenTelemetry: their metrics, and traces that go on in other processes."""

import asyncio
import importlib
import time

import pytest

from processes import until

pytest.importorskip("nats")
otel = pytest.importorskip("opentelemetry.sdk.trace")
pytest.importorskip("opentelemetry.sdk.metrics")


@pytest.fixture
def ours(api):
    return importlib.import_module("cyevents_bridge.opentelemetry")


@pytest.fixture
def two(api, nats_server):
    """Two namespaces, each with a bridge to the same server."""
    bridge = importlib.import_module("cyevents_bridge")
    spaces = [api.Namespace() for _ in range(2)]
    prefix = f"otel{time.monotonic_ns()}"
    return [(ns, bridge.Bridge(ns, nats_server.address, ["order.*"], prefix=prefix)) for ns in spaces]


def test_metrics(ours, two, run, collect):
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    reader = InMemoryMetricReader()
    meters = MeterProvider([reader])

    def found():
        metrics = reader.get_metrics_data()
        points = [
            (metric.name, point)
            for resource in (metrics.resource_metrics if metrics is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        ]
        assert all(point.attributes == {"cyevents.bridge": place} for _, point in points)
        return {name.removeprefix("cyevents.bridge."): point.value for name, point in points}

    async def main(one, outgoing, incoming):
        async with outgoing, incoming:
            await one.event("order.placed").emit_async("ada")
            await until(lambda: incoming.stats.received)

    (one, outgoing), (_, incoming) = two
    place = outgoing.safe_address
    assert place.startswith("nats://127.0.0.1:")
    ours.instrument_bridge(outgoing, meter_provider=meters)
    run(main(one, outgoing, incoming))
    nothing = dict.fromkeys(["received", "redelivered", "failed", "dead", "dropped", "waiting"], 0)
    assert found() == {**nothing, "published": 1}
    two.clear()
    del outgoing, incoming
    collect()
    assert found() == {}
    meters.shutdown()


def test_a_trace_goes_on_where_the_event_arrives(ours, two, run):
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    tracers = otel.TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    (one, outgoing), (other, incoming) = two

    @other.on("order.placed")
    def bill(sender):
        pass

    async def main():
        async with outgoing, incoming:
            with tracers.get_tracer("test").start_as_current_span("request"):
                await one.event("order.placed").emit_async("ada")
            await until(lambda: incoming.stats.received)
            await asyncio.sleep(0.05)

    with importlib.import_module("cyevents.opentelemetry").instrument(other, tracer_provider=tracers):
        run(main())
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert set(spans) == {"request", "emit_async order.placed", "bill"}
    assert len({span.context.trace_id for span in spans.values()}) == 1
    assert spans["emit_async order.placed"].parent.span_id == spans["request"].context.span_id
    tracers.shutdown()
