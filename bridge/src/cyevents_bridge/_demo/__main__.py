"""One process of the demo: `python -m cyevents_bridge._demo ROLE ADDRESS PREFIX LIMIT PACE`.

Each process has a bridge and the handlers of a real program. It runs until its standard input is closed. It reports its
actions as lines on its standard output: a verb and the id of an order, or `stats` and three numbers.
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
_INTERVAL = 0.1  # seconds between two reports of the statistics

events = Namespace()


def report(*words: object) -> None:
    """Write a line at once and unbuffered, because this process may be killed at any time."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def place(limit: int) -> None:
    """The shop: place orders."""
    for order in orders(limit):
        report("placed", order.id)
        events.emit("order.placed", order)
        sleep(0.002)


def open_billing(pace: float) -> None:
    """Billing: bill orders and notify the warehouse. It bills redelivered orders again, and the summary shows that."""

    @events.on("order.placed", weak=False)
    async def bill(order: Order) -> None:
        await asyncio.sleep(pace)
        if order.total <= 0:
            report("failed", order.id)
            raise ValueError(f"{order.id} cannot be billed: its total is {order.total:.2f}")
        report("billed", order.id)
        await events.emit_async("order.billed", order)


def open_warehouse() -> None:
    """The warehouse: ship billed orders, and none of them twice."""
    shipped = set()

    @events.on("order.billed", weak=False)
    def ship(order: Order) -> None:
        report("repeated" if order.id in shipped else "shipped", order.id)
        shipped.add(order.id)


def await_end(over: threading.Event) -> None:
    """Set the event when the standard input is closed, which happens however the parent process ends."""
    sys.stdin.read()
    over.set()


def main() -> None:
    """Run one of the processes."""
    role, address, prefix, limit, pace = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends this one
    logging.disable(logging.CRITICAL)  # the demo shows failures itself
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
        report("ready")
        if role == "shop" and sys.stdin.readline():
            place(int(limit))
        over = threading.Event()
        threading.Thread(target=await_end, args=[over], daemon=True).start()
        seen = None
        while not over.wait(_INTERVAL):  # a killed worker does not report its last moments
            stats = bridge.stats
            figures = (stats.redelivered, stats.failed, stats.dead)
            if figures != seen:
                seen = figures
                report("stats", *figures)


if __name__ == "__main__":
    main()
