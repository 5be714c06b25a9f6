"""A shop: validation that cancels, an alert by condition, an audit by wildcard. Run it: python examples/orders.py."""

from dataclasses import dataclass

from cyevents import Cancelled, Event, Namespace

shop = Namespace()


@dataclass(eq=False)
class Order:
    """An order, which is the sender of its events."""

    id: int
    total: float


order_placed: Event[Order] = shop.event("order.placed", doc="An order has been placed.")


@order_placed.connect
def confirm(order: Order) -> str:
    """Confirm the order to the customer."""
    return f"order {order.id} confirmed"


@shop.on(order_placed, priority=10)
def validate(order: Order) -> bool | None:
    """Cancel orders whose total is not positive."""
    return False if order.total <= 0 else None


@shop.on(order_placed, priority=5, condition=lambda order: order.total > 1000)
def alert(order: Order) -> str:
    """Alert the staff to large orders."""
    return f"order {order.id} is large"


@shop.on("order.*", with_event=True)
def audit(order: Order, event: Event[Order]) -> None:
    """Log every event of an order."""
    print(f"audit: {event.name} {order.id}")


def main() -> None:
    """Place some orders."""
    for order in (Order(1, 20), Order(2, 5000), Order(3, -1)):
        results = order_placed.emit(order)
        if isinstance(results, Cancelled):
            print(f"order {order.id} cancelled by {results.handler.__name__}")
        else:
            print(results)


if __name__ == "__main__":
    main()
