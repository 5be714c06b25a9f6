"""The story: a few orders placed, and what each handler did with each."""

from __future__ import annotations

import asyncio
from typing import Any

from .. import Cancelled, drain
from .orders import Order
from .shop import Journal, Shop
from .terminal import Page
from .wording import counted, money


def tell(way: str, orders: list[Order], delay: float, page: Page) -> None:
    """Place the orders, and print what happens."""
    journal: Journal = set()
    shop = Shop(delay, journal)
    page.line()
    if way == "sync":
        page.title("The sync way", "emit(order_placed, order) schedules async handlers")
        for order in orders:
            _tell_order(order, shop.place_order(order), shop, journal, page, awaited=False)
        drain()
        _tell_payments(orders, journal, page)
    else:
        page.title("The async way", "await emit_async(order_placed, order) runs all handlers")

        async def place_all() -> None:
            for order in orders:
                _tell_order(order, await shop.place_order_async(order), shop, journal, page, awaited=True)

        asyncio.run(place_all())


def _tell_order(order: Order, results: list[Any], shop: Shop, journal: Journal, page: Page, awaited: bool) -> None:
    """Print what became of one order, in the order of dispatch."""
    canceller = results.handler.__name__ if isinstance(results, Cancelled) else ""
    cancelled = False
    about = f"{money(order.cents)}, {counted(len(order.items), 'item')}, for {page.text(order.customer_email)}"
    page.line(page.paint("bold", page.fit(page.text(order.id), 24)), page.fit(about, page.width - 25))
    for connection in shop.order_placed.handlers:
        name = connection.handler.__name__
        if cancelled:
            page.step(name, "cancelled", f"by {canceller}")
        elif name == canceller:
            cancelled = True
            page.step(name, "cancels", _said(name, order, page))
        elif connection.kind == "async" and not awaited:
            page.step(name, "scheduled", "in the background loop")
        elif (name, order) in journal:
            page.step(name, "ran", _said(name, order, page))
            if name == "process_payment":
                page.step("record_payment", "ran", _said("record_payment", order, page))
        else:
            page.step(name, "skipped", "its condition does not hold")
    returned = repr(list(results)) + (f", cancelled by {canceller}" if canceller else "")
    page.line(page.paint("dim", f"  {page.symbols['returned']} {returned}"))


def _tell_payments(orders: list[Order], journal: Journal, page: Page) -> None:
    """Print what the background loop did."""
    page.line(page.paint("bold", "drain()"), "has waited for the background loop, where meanwhile ran:")
    for order in orders:
        for handler in ("process_payment", "record_payment"):
            if (handler, order) in journal:
                page.step(handler, "ran", _said(handler, order, page))


def _said(handler: str, order: Order, page: Page) -> str:
    """Say what a handler that ran has done."""
    symbols = page.symbols
    amount = money(order.cents)
    valid = "the total is above 0" if order.total > 0 else f"{symbols['invalid']}invalid order: total must be > 0"
    sold = (f"{item.quantity} {symbols['times']} {page.text(item.product_name)}" for item in order.items)
    return {
        "validate_order": valid,
        "high_value_alert": f"{symbols['alert']}high value order: {amount}",
        "send_confirmation": f"{symbols['mail']}confirmation to {page.text(order.customer_email)}",
        "process_payment": f"{symbols['card']}{amount} for {page.text(order.id)}",
        "update_inventory": f"{symbols['box']}{', '.join(sold) or 'nothing to reduce'}",
        "record_payment": f"{symbols['books']}{amount} received, on payment-processed",
    }[handler]
