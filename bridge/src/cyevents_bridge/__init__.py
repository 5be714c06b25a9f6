"""Carries the events of a `cyevents` namespace to other processes through NATS, Redis or RabbitMQ."""

from ._bridge import Bridge, Stats
from ._outbox import Dropped, OutboxFull

__version__ = "0.1.0"
__all__ = ["Bridge", "Dropped", "OutboxFull", "Stats", "__version__"]
