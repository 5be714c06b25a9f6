"""Bridges to other processes by a message broker: `Bridge`. Needs the extra `nats`, `redis`, `rabbitmq` or `kafka`."""

try:
    import msgspec  # noqa: F401
except ImportError as error:
    raise ImportError(
        'a bridge needs msgspec and a broker\'s client: pip install "cyevents[nats]", [redis], [rabbitmq] or [kafka]'
    ) from error

from ._bridge import Bridge, Stats
from ._outbox import Dropped, OutboxFull

__all__ = ["Bridge", "Dropped", "OutboxFull", "Stats"]
