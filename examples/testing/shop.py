"""The program that test_shop.py tests: a shop that emits in the default namespace."""

import asyncio
from dataclasses import dataclass

from cyevents import Cancelled, Event, event, on


@dataclass(eq=False)
class Order:
    """An order, the sender of its events."""

    item: str
    quantity: int
    mailed: bool = False


order_placed: Event[Order] = event("order.placed")
order_refused: Event[Order] = event("order.refused")


@on(order_placed, priority=10)
def validate(order: Order) -> bool | None:
    """Refuse large orders."""
    return False if order.quantity > 1000 else None


@on(order_placed)
def price(order: Order) -> float:
    """Return the price."""
    return 4.5 * order.quantity


@on(order_placed)
async def send_mail(order: Order) -> None:
    """Send a mail to the customer."""
    await asyncio.sleep(0.01)
    order.mailed = True


def place(item: str, quantity: int) -> Order:
    """Place an order."""
    order = Order(item, quantity)
    if isinstance(order_placed.emit(order), Cancelled):
        order_refused.emit(order, reason="too large")
    return order
