"""Which engine an address means. Each is imported when it is needed: who uses one need not have the others' clients."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ._engines import Engine


def engine_for(address: str) -> type[Engine]:
    """The engine for an address, by its scheme.

    Raises:
        ValueError: if there is none for that.
        ImportError: if its client is not installed.
    """
    scheme = urlsplit(address).scheme
    if scheme in ("nats", "tls", "ws", "wss"):
        from ._nats import NatsEngine

        return NatsEngine
    if scheme in ("redis", "rediss", "unix"):
        from ._redis import RedisEngine

        return RedisEngine
    if scheme in ("amqp", "amqps"):
        from ._rabbitmq import RabbitmqEngine

        return RabbitmqEngine
    if scheme in ("kafka", "kafkas"):
        from ._kafka import KafkaEngine

        return KafkaEngine
    raise ValueError(
        "a broker's address begins with nats://, tls://, redis://, rediss://, amqp://, amqps://, kafka:// or kafkas://,"
        f" not with {scheme + '://'!r}"
    )
