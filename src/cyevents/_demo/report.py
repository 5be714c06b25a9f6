"""The output: what each handler does with the first orders, and a summary of all of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from .. import Cancelled, backend, drain, trace
from .measure import Durations
from .orders import Order
from .shop import Shop
from .terminal import Page, counted

if TYPE_CHECKING:
    from .._traced import TracedCall, TracedEmission


def narrate(way: str, orders: list[Order], delay: float, page: Page) -> None:
    """Place the orders, and print what each handler does."""
    shop = Shop(delay)
    page.line()
    with trace(shop.events) as seen:
        if way == "sync":
            page.title("The sync way", "emit(order_placed, order) schedules async handlers")
            for order in orders:
                _narrate_order(order, shop.place_order(order), seen.emissions[-1], page, awaited=False)
            drain()
            page.line(page.paint("bold", "drain()"), "has waited for the background loop, which has meanwhile run:")
            for order, emission in zip(orders, seen.emissions, strict=True):
                for call in emission.calls:
                    if call.is_async:
                        _narrate_payment(order, call, page)
        else:
            page.title("The async way", "await emit_async(order_placed, order) runs all handlers")

            async def place_all() -> None:
                for order in orders:
                    results = await shop.place_order_async(order)
                    _narrate_order(order, results, seen.emissions[-1], page, awaited=True)

            asyncio.run(place_all())


def _narrate_order(order: Order, results: list[Any], emission: TracedEmission, page: Page, awaited: bool) -> None:
    """Print what the handlers did with one order, in calling order."""
    canceller = results.handler.__name__ if isinstance(results, Cancelled) else ""
    facts = f"{_money(order.cents)}, {counted(len(order.items), 'item')}, for {page.text(order.customer_email)}"
    page.line(page.paint("bold", page.fit(page.text(order.id), 24)), page.fit(facts, page.width - 25))
    for call in emission.calls:
        name = _method(call.handler.name)
        if call.outcome == "skipped":
            page.step(name, "skipped", "its condition does not hold")
        elif call.is_async and awaited:
            _narrate_payment(order, call, page)
        elif call.is_async:
            page.step(name, "scheduled", "in the background loop")
        else:
            page.step(name, "cancels" if name == canceller else "ran", _effect(name, order, page))
    for name in emission.not_called:
        page.step(_method(name), "cancelled", f"by {canceller}")
    returned = repr(list(results)) + (f", cancelled by {canceller}" if canceller else "")
    page.line(page.paint("dim", f"  {page.symbols['returned']} {returned}"))


def _narrate_payment(order: Order, call: TracedCall, page: Page) -> None:
    """Print a call of `process_payment`, and of the handler of the event that it emits."""
    inner = [inner for emission in call.emissions for inner in emission.calls]
    for name in (_method(each.handler.name) for each in [call, *inner]):
        page.step(name, "ran", _effect(name, order, page))


def _method(name: str) -> str:
    return name.rpartition(".")[2]


def _effect(handler: str, order: Order, page: Page) -> str:
    """Return what a handler has done with an order, as a text."""
    symbols = page.symbols
    amount = _money(order.cents)
    if handler == "validate_order":
        return "the total is above 0" if order.total > 0 else f"{symbols['invalid']}invalid order: total must be > 0"
    if handler == "update_inventory":
        sold = (f"{item.quantity} {symbols['times']} {page.text(item.product_name)}" for item in order.items)
        return f"{symbols['box']}{', '.join(sold) or 'nothing to reduce'}"
    return {
        "high_value_alert": f"{symbols['alert']}high value order: {amount}",
        "send_confirmation": f"{symbols['mail']}confirmation to {page.text(order.customer_email)}",
        "process_payment": f"{symbols['card']}{amount} for {page.text(order.id)}",
        "record_payment": f"{symbols['books']}{amount} received, on payment-processed",
    }[handler]


def summarize(way: str, shop: Shop, durations: Durations, page: Page) -> None:
    """Print a table of the handlers, and the totals."""
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
    page.fact("confirmed", f"{_money(shop.confirmed_cents)}, of which high value {_money(shop.high_value_cents)}")
    page.fact("paid", _money(shop.paid_cents))
    page.fact("inventory", f"{counted(shop.sold.total(), 'piece')} of {counted(len(shop.sold), 'product')}")
    emitting, draining = durations
    parts = f" (emitting {_time(emitting)}, drain() {_time(draining)})" if draining else ""
    seconds = emitting + draining
    page.fact("time", f"{_time(seconds)}{parts} for {counted(shop.emissions, 'emission')}")
    calls = shop.ran.total()
    each = f"{seconds * 1e9 / shop.emissions:,.0f} ns an emission, {seconds * 1e9 / calls:,.0f} ns a handler call"
    page.fact("speed", page.paint("bold", each))
    page.fact("", "handlers included; `python -m cyevents bench` times the dispatch")
    page.fact("backend", backend)


def _money(cents: int) -> str:
    return f"{'-' * (cents < 0)}${abs(cents) / 100:,.2f}"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
