"""OpenTelemetry metrics for bridges. They need the extra `opentelemetry`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

from . import Bridge, __version__

try:
    from opentelemetry import metrics
except ImportError as error:
    message = 'OpenTelemetry is not installed: run pip install "cyevents-bridge[opentelemetry]"'
    raise ImportError(message) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

__all__ = ["instrument_bridge"]


def instrument_bridge(bridge: Bridge, *, meter_provider: MeterProvider | None = None) -> None:
    """Report a bridge's `stats` as metrics while the bridge exists.

    The counters are `cyevents.bridge.published`, `.received`, `.redelivered`, `.failed`, `.dead` and `.dropped`, and
    the gauge is `cyevents.bridge.waiting`. Their attribute `cyevents.bridge` is the broker's address without secrets.

    Args:
        bridge: the bridge. This does not keep it alive.
        meter_provider: creates the metrics. The default is the global one.
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
        "cyevents.bridge.waiting", [reader("waiting")], "{message}", "Messages waiting to be published."
    )


_COUNTERS = {
    "published": "Messages accepted by the broker.",
    "received": "Messages from other processes, emitted here.",
    "redelivered": "Received messages that had been delivered before.",
    "failed": "Received messages whose handlers raised.",
    "dead": "Messages moved to the dead letters.",
    "dropped": "Messages not published.",
}
