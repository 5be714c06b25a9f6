"""A shop with FastAPI: events in endpoints, work in the background, a clean shutdown.

Run it: uvicorn --app-dir examples/web fastapi_shop:app
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, PositiveInt

from cyevents import Cancelled, Event, Namespace, drain_async, use_loop

logger = logging.getLogger("shop")


# The events of the shop, and their handlers


@dataclass(eq=False)
class Order:
    """An order, the sender of its events."""

    id: int
    item: str
    quantity: int
    state: str = "new"


class OutOfStock(Exception):
    """The stock has fewer of an item than were ordered."""


def failed(error: Exception, handler: object, event: Event, order: object) -> None:
    """Log the exception of a scheduled handler."""
    logger.error("%r failed for %r", event.name, order, exc_info=error)


shop = Namespace()
order_placed: Event[Order] = shop.event("order.placed")  # may be refused
order_shipped: Event[Order] = shop.event("order.shipped")
order_shipped.on_error = failed

stock = {"tea": 100, "coffee": 1}
mail_server = asyncio.Lock()  # one mail at a time; like all locks of asyncio, it belongs to one loop


@shop.on(order_placed, priority=20)
async def check_customer(order: Order) -> bool | None:
    """Refuse implausible orders, after asking another service."""
    await asyncio.sleep(0)
    return False if order.quantity > 1000 else None


@shop.on(order_placed, priority=10)
def reserve(order: Order) -> None:
    """Take the goods from the stock; raise if there are not enough."""
    if stock.get(order.item, 0) < order.quantity:
        raise OutOfStock(f"there is not enough {order.item}")
    stock[order.item] -= order.quantity


@shop.on(order_placed)
async def price(order: Order) -> dict[str, float]:
    """Ask another service for the price."""
    await asyncio.sleep(0)
    return {"price": 4.5 * order.quantity}


@shop.on(order_placed)
async def delivery(order: Order) -> dict[str, int]:
    """Ask another service for the delivery time, in parallel with the price."""
    await asyncio.sleep(0)
    return {"days": 2}


@shop.on(order_shipped)
async def send_mail(order: Order) -> None:
    """Send a mail to the customer, which takes a while and may fail."""
    async with mail_server:
        await asyncio.sleep(0.2)
    if order.item == "coffee":
        raise ConnectionError("the mail server is down")
    print(f"mail: order {order.id} is on its way", flush=True)


# The application


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Name the loop for threads, and finish scheduled handlers at shutdown."""
    use_loop(asyncio.get_running_loop())
    yield
    if not await drain_async(timeout=10):
        logger.error("some handlers did not finish in time")
    use_loop(None)


app = FastAPI(lifespan=lifespan)
orders: dict[int, Order] = {}


def get_events() -> Namespace:
    """Return the namespace that endpoints use; tests replace it."""
    return shop


Events = Annotated[Namespace, Depends(get_events)]


class NewOrder(BaseModel):
    """The body of a request for an order."""

    item: str
    quantity: PositiveInt


@app.exception_handler(OutOfStock)
async def out_of_stock(request: Request, error: OutOfStock) -> JSONResponse:
    """Turn the exception of a handler into a response."""
    return JSONResponse({"detail": str(error)}, status_code=409)


@app.post("/orders", status_code=201)
async def place(new: NewOrder, events: Events) -> dict[str, object]:
    """Place an order; the response contains what the handlers return."""
    order = Order(len(orders) + 1, new.item, new.quantity)
    results = await events.emit_async("order.placed", order)
    if isinstance(results, Cancelled):
        raise HTTPException(422, f"refused by {results.handler.__name__}")
    orders[order.id] = order
    answer: dict[str, object] = {"id": order.id}
    for result in results:
        answer |= result
    return answer


@app.post("/orders/{number}/ship", status_code=202)
async def ship(number: int, events: Events) -> dict[str, str]:
    """Ship an order; the response does not wait for the mail."""
    order = find(number)
    order.state = "shipped"
    events.emit("order.shipped", order)
    return {"state": order.state}


@app.post("/orders/{number}/collect", status_code=202)
def collect(number: int, events: Events) -> dict[str, str]:
    """Hand an order over: this endpoint runs in a thread, its async handlers in the application's loop."""
    order = find(number)
    order.state = "collected"
    events.emit("order.shipped", order)
    return {"state": order.state}


def find(number: int) -> Order:
    """Return the order with this number, or respond with status 404."""
    if number not in orders:
        raise HTTPException(404, "there is no such order")
    return orders[number]
