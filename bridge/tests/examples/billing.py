"""Bills the orders that shop.py places. Start as many of these as you like: each order goes to one of them."""

import asyncio
from dataclasses import dataclass

from cyevents import Namespace
from cyevents_bridge import Bridge


@dataclass
class Order:
    id: int
    total: float


events = Namespace()


@events.on("order.placed")
async def bill(order):
    print("billing order", order.id, flush=True)


async def main():
    async with Bridge(events, "nats://127.0.0.1:4222", ["order.*"], types=[Order], group="billing"):
        print("waiting for orders", flush=True)
        await asyncio.Event().wait()  # until Ctrl-C


asyncio.run(main())
