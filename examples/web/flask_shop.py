"""A shop with Flask: events in views, async handlers in the background loop, a clean shutdown.

Run it: python examples/web/flask_shop.py, or with several processes: gunicorn --chdir examples/web flask_shop:app
"""

import asyncio
import logging
import signal
import sys
from dataclasses import dataclass

from flask import Flask, Response, got_request_exception, jsonify, request

from cyevents import Cancelled, Event, Namespace, drain

logger = logging.getLogger("shop")


@dataclass(eq=False)
class Order:
    """An order, the sender of its events."""

    item: str
    quantity: int


shop = Namespace()
order_placed: Event[Order] = shop.event("order.placed")  # may be refused


@shop.on(order_placed, priority=10)
def validate(order: Order) -> bool | None:
    """Refuse implausible orders."""
    return False if order.quantity > 1000 else None


@shop.on(order_placed)
def price(order: Order) -> float:
    """Return the price."""
    return 4.5 * order.quantity


@shop.on(order_placed)
async def send_mail(order: Order) -> None:
    """Send a mail to the customer, without delaying the response."""
    await asyncio.sleep(0.2)
    print(f"mail: {order.quantity} of {order.item}", flush=True)


def report(app: Flask, exception: Exception, **extra: object) -> None:
    """Emit an event for Flask's own signal."""
    shop.emit("request.failed", request.path, exception)


@shop.on("*.failed", with_event=True)
def alarm(path: str, error: Exception, *, event: Event) -> None:
    """Alert the staff to every failure."""
    print(f"{event.name}: {path}: {error!r}", flush=True)


def create_app() -> Flask:
    """Create the application."""
    app = Flask(__name__)
    got_request_exception.connect(report, app)

    @app.post("/orders")
    def place() -> tuple[Response, int]:
        order = Order(request.form["item"], int(request.form["quantity"]))
        results = order_placed.emit(order)
        if isinstance(results, Cancelled):
            return jsonify(refused_by=results.handler.__name__), 422
        return jsonify(price=results[0]), 201

    return app


app = create_app()


def main() -> None:
    """Serve until the process is stopped, then finish scheduled handlers."""
    from waitress import serve

    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # run exit hooks
    port = int(sys.argv[1]) if sys.argv[1:] else 8000
    serve(app, host="127.0.0.1", port=port)
    if not drain(timeout=30):
        sys.exit("some handlers did not finish in time")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main()
