"""The handlers of the shop's events."""

import asyncio

from asgiref.sync import sync_to_async
from django.db import close_old_connections

from .events import Refused, order_placed, order_placing
from .models import Note, Order


@order_placing.connect
def limit(order: Order) -> bool | None:
    """Refuse large orders, which rolls the transaction back."""
    return False if order.quantity > 1000 else None


@order_placing.connect
def bookkeeping(order: Order) -> None:
    """Write to the database in the emitter's transaction."""
    Note.objects.create(order=order, text="booked")
    if order.item == "antimatter":
        raise Refused("there is no account for antimatter")


@order_placed.connect
async def send_mail(order: Order) -> None:
    """Send a mail to the customer: async views wait for it, sync ones do not."""
    await asyncio.sleep(0.2)
    await mailed(order)


@sync_to_async
def mailed(order: Order) -> None:
    """Write to the database in a thread that serves no request."""
    close_old_connections()
    Note.objects.create(order=order, text="mailed")
    close_old_connections()
    print(f"mailed {order.item}", flush=True)
