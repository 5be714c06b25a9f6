"""The summary: what a shop's handlers did, and how fast the events went."""

from __future__ import annotations

from .. import _core
from .measure import Spent
from .shop import Shop
from .terminal import Page
from .wording import counted, duration, money


def sum_up(way: str, shop: Shop, spent: Spent, page: Page) -> None:
    """Print a table of the handlers, and the facts."""
    page.line()
    page.title(f"Summary of the {way} way")
    head = f"{'handler':<19}{'kind':<11}{'priority':>8}{'ran':>12}{'skipped':>12}{'cancelled':>12}"
    page.line(page.paint("dim", head))
    for event in (shop.order_placed, shop.payment_processed):
        cancelled = 0
        for connection in event.handlers:
            name = connection.handler.__name__
            counts = f"{shop.ran[name]:>12,}{shop.skipped[name]:>12,}{cancelled:>12,}"
            page.line(f"{name:<19}{connection.kind:<11}{connection.priority:>8}{counts}")
            cancelled += shop.cancelled_by[name]
    page.line(page.paint("dim", page.symbols["rule"] * len(head)))

    cancelled = shop.cancelled_by.total()
    page.fact("orders", f"{shop.placed:,} placed, {shop.placed - cancelled:,} accepted, {cancelled:,} cancelled")
    if cancelled:
        page.fact("cancelled", ", ".join(f"{count:,} by {name}" for name, count in shop.cancelled_by.items()))
    page.fact("confirmed", f"{money(shop.confirmed_cents)}, of which high value {money(shop.high_value_cents)}")
    page.fact("paid", money(shop.paid_cents))
    page.fact("inventory", f"{counted(shop.sold.total(), 'piece')} of {counted(len(shop.sold), 'product')}")
    seconds = spent.emitting + spent.draining
    parts = f" (emitting {duration(spent.emitting)}, drain() {duration(spent.draining)})" if spent.draining else ""
    page.fact("time", f"{duration(seconds)}{parts}")
    rate = page.paint("bold", f"{shop.emissions / seconds:,.0f} events/s" if seconds else "too fast to measure")
    page.fact("speed", f"{rate}: {counted(shop.emissions, 'event')} of both names, handlers included")
    page.fact("backend", page.text(f"{_core.backend} ({_core.reason})"))
