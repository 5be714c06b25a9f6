"""What the processes of the demo do: `python -m cyevents_bridge._demo ROLE ADDRESS PREFIX LIMIT PACE`.

Each has the handlers that a program would have, and a bridge. It works until its standard input is closed, and tells
what it does in lines on its standard output: a verb, and the id of an order; or `stats` and three numbers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from time import sleep

from cyevents import Namespace

from .. import Bridge
from .orders import Order, orders
from .stage import ACK_WAIT

EVENTS = {"shop": ["order.placed"], "billing": ["order.placed", "order.billed"], "warehouse": ["order.billed"]}
BACKOFF = (0.2, 0.5)
_INTERVAL = 0.1  # seconds between two looks at the figures

events = Namespace()


def tell(*words: object) -> None:
    """Tell something at once, whatever happens to this process next."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def place(limit: int) -> None:
    """The shop: place orders."""
    for order in orders(limit):
        tell("placed", order.id)
        events.emit("order.placed", order)
        sleep(0.002)


def open_billing(pace: float) -> None:
    """Billing: take the money, and tell the warehouse. Redelivered orders are billed again, and that shows."""

    @events.on("order.placed", weak=False)
    async def bill(order: Order) -> None:
        await asyncio.sleep(pace)
        if order.total <= 0:
            tell("failed", order.id)
            raise ValueError(f"{order.id} of {order.total:.2f} cannot be billed")
        tell("billed", order.id)
        await events.emit_async("order.billed", order)


def open_warehouse() -> None:
    """The warehouse: ship what is billed, and nothing twice."""
    shipped = set()

    @events.on("order.billed", weak=False)
    def ship(order: Order) -> None:
        tell("repeated" if order.id in shipped else "shipped", order.id)
        shipped.add(order.id)


def await_end(over: threading.Event) -> None:
    """Note when the standard input is closed, which it is when its owner ends, however that is."""
    sys.stdin.read()
    over.set()


def main() -> None:
    """Be one of the processes."""
    role, address, prefix, limit, pace = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who has started this sees to its end
    logging.disable(logging.CRITICAL)  # what fails is shown otherwise
    for name in EVENTS[role]:
        events.event(name)
    if role == "billing":
        open_billing(float(pace))
    elif role == "warehouse":
        open_warehouse()
    with Bridge(
        events,
        address,
        EVENTS[role],
        group=role,
        delivery="at_least_once",
        types=[Order],
        backoff=BACKOFF,
        ack_wait=ACK_WAIT,
        prefix=prefix,
    ) as bridge:
        tell("ready")
        if role == "shop" and sys.stdin.readline():
            place(int(limit))
        over = threading.Event()
        threading.Thread(target=await_end, args=[over], daemon=True).start()
        seen = None
        while not over.wait(_INTERVAL):  # the worker that is killed tells no more of its last moments
            stats = bridge.stats
            figures = (stats.redelivered, stats.failed, stats.dead)
            if figures != seen:
                seen = figures
                tell("stats", *figures)


if __name__ == "__main__":
    main()
