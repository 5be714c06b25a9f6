"""The views."""

from asgiref.sync import sync_to_async
from django.db import transaction
from django.http import HttpRequest, JsonResponse

from cyevents import Cancelled

from .events import order_placed, order_placing
from .models import Note, Order


class Refused(Exception):
    """A handler has cancelled the order."""


def save(item: str, quantity: int) -> Order:
    """Save an order, with all that handlers of `order_placing` write, or nothing."""
    with transaction.atomic():
        order = Order.objects.create(item=item, quantity=quantity)
        results = order_placing.emit(order)
        if isinstance(results, Cancelled):
            raise Refused(f"refused by {results.handler.__name__}")
    return order


def place(request: HttpRequest) -> JsonResponse:
    """Place an order: the handlers of `order_placed` are called once it is committed."""
    try:
        with transaction.atomic():
            order = save(request.GET["item"], int(request.GET["quantity"]))
            transaction.on_commit(lambda: order_placed.emit(order))
    except (Refused, LookupError) as error:
        return JsonResponse({"error": str(error)}, status=409)
    return JsonResponse({"id": order.pk, "notes": notes(order)})


async def place_async(request: HttpRequest) -> JsonResponse:
    """Place an order in an async view: transactions need a thread, and the answer waits for the mail."""
    try:
        order = await sync_to_async(save)(request.GET["item"], int(request.GET["quantity"]))
    except (Refused, LookupError) as error:
        return JsonResponse({"error": str(error)}, status=409)
    await order_placed.emit_async(order)
    return JsonResponse({"id": order.pk, "notes": await sync_to_async(notes)(order)})


def count(request: HttpRequest) -> JsonResponse:
    """Count what is in the database."""
    return JsonResponse({"orders": Order.objects.count(), "notes": Note.objects.count()})


def notes(order: Order) -> list[str]:
    """What has been done for an order."""
    return list(Note.objects.filter(order=order).order_by("pk").values_list("text", flat=True))
