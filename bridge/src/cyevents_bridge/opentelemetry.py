"""Metrics of bridges for OpenTelemetry. Needs `pip install "cyevents-bridge[opentelemetry]"`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

from . import Bridge, __version__

try:
    from opentelemetry import metrics
except ImportError as error:
    raise ImportError('this needs OpenTelemetry: pip install "cyevents-bridge[opentelemetry]"') from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

__all__ = ["instrument_bridge"]


def instrument_bridge(bridge: Bridge, *, meter_provider: MeterProvider | None = None) -> None:
    """Report a bridge's `stats` as metrics, as long as the bridge lives.

    The counters `cyevents.bridge.published`, `.received`, `.redelivered`, `.failed`, `.dead` and `.dropped` and the
    gauge `cyevents.bridge.waiting` have one attribute, `cyevents.bridge`: the broker's address without secrets.

    Args:
        bridge: the bridge; it is not kept alive.
        meter_provider: makes the metrics; the global one if not given.
    """
    meter = metrics.get_meter("cyevents_bridge", __version__, meter_provider)
    attributes, found = {"cyevents.bridge": bridge.safe_address}, ref(bridge)

    def reader(name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def read(options: CallbackOptions) -> Iterable[Observation]:
            alive = found()
            return [] if alive is None else [metrics.Observation(getattr(alive.stats, name), attributes)]

        return read

    for name, about in _COUNTERS.items():
        meter.create_observable_counter(f"cyevents.bridge.{name}", [reader(name)], "{message}", about)
    meter.create_observable_gauge(
        "cyevents.bridge.waiting", [reader("waiting")], "{message}", "Messages that wait to be published."
    )


_COUNTERS = {
    "published": "Messages that the broker has taken.",
    "received": "Messages of other processes, emitted here.",
    "redelivered": "Received messages that had been delivered before.",
    "failed": "Received messages whose handlers have raised.",
    "dead": "Messages moved to the dead letters.",
    "dropped": "Messages not published.",
}
