"""The complete example of the reference, with handlers that count their calls."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

from .. import Cancelled, Namespace
from .orders import Order

HIGH_VALUE = 1000


class Shop:
    """The example's events and handlers, in their own namespace.

    Args:
        delay: the duration of a payment in seconds.
    """

    def __init__(self, delay: float = 0.0) -> None:
        self.delay = delay
        self.events = events = Namespace()
        self.order_placed = events.event("order-placed", doc="Order successfully placed")
        self.payment_processed = events.event("payment-processed")
        # The events hold these methods weakly. The shop lives as long as the events, so they stay connected.
        events.on("order-placed", priority=10)(self.validate_order)
        events.on("order-placed", priority=5, condition=self.is_high_value)(self.high_value_alert)
        events.on("order-placed")(self.send_confirmation)
        events.on("order-placed")(self.process_payment)
        events.on("order-placed")(self.update_inventory)
        events.on("payment-processed")(self.record_payment)
        # In the sync way, the background loop's thread counts payments. No counter is changed by two threads.
        self.ran: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.cancelled_by: Counter[str] = Counter()
        self.placed = 0
        self.high_value_cents = self.confirmed_cents = self.paid_cents = 0
        self.sold: Counter[str] = Counter()

    # Emitting

    def place_order(self, order: Order) -> list[Any]:
        """Emit: run the sync handlers, and schedule the payment."""
        return self._counted(self.events.emit(self.order_placed, order))

    async def place_order_async(self, order: Order) -> list[Any]:
        """Emit, and await all handlers."""
        return self._counted(await self.events.emit_async(self.order_placed, order))

    def _counted(self, results: list[Any]) -> list[Any]:
        self.placed += 1
        if isinstance(results, Cancelled):
            self.cancelled_by[results.handler.__name__] += 1
        return results

    @property
    def emissions(self) -> int:
        """The number of emissions: one for each order placed, one for each payment processed."""
        return self.placed + self.ran["process_payment"]

    # Handlers

    def validate_order(self, sender: Order, **kwargs: object) -> bool:
        """Cancel invalid orders."""
        self.ran["validate_order"] += 1
        return sender.total > 0

    def is_high_value(self, sender: Order, **kwargs: object) -> bool:
        """Return whether to call `high_value_alert`, as its condition."""
        if sender.total > HIGH_VALUE:
            return True
        self.skipped["high_value_alert"] += 1
        return False

    def high_value_alert(self, sender: Order, **kwargs: object) -> None:
        """Add up large orders."""
        self.ran["high_value_alert"] += 1
        self.high_value_cents += sender.cents

    def send_confirmation(self, sender: Order, **kwargs: object) -> None:
        """Confirm the order to the customer."""
        self.ran["send_confirmation"] += 1
        self.confirmed_cents += sender.cents

    async def process_payment(self, sender: Order, **kwargs: object) -> str:
        """Wait for the payment, and emit `payment-processed`."""
        self.ran["process_payment"] += 1
        await asyncio.sleep(self.delay)
        self.events.emit(self.payment_processed, sender)
        return "payment complete"

    def update_inventory(self, sender: Order, **kwargs: object) -> Iterator[str]:
        """Take the ordered products out of the stock."""
        self.ran["update_inventory"] += 1
        for item in sender.items:
            self.sold[item.product_name] += item.quantity
        yield "inventory updated"

    def record_payment(self, sender: Order, **kwargs: object) -> None:
        """Add up payments."""
        self.ran["record_payment"] += 1
        self.paid_cents += sender.cents
