"""Places an order, which billing.py bills."""

from dataclasses import dataclass

from cyevents import Namespace
from cyevents_bridge import Bridge


@dataclass
class Order:
    id: int
    total: float


events = Namespace()

with Bridge(events, "nats://127.0.0.1:4222", ["order.*"], types=[Order]):
    events.emit("order.placed", Order(7, 12.5))
