"""The views of the shop."""

from typing import TypedDict

from asgiref.sync import sync_to_async
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_POST

from cyevents import Cancelled

from .commits import placed_on_commit
from .events import Refused, order_placed, order_placing
from .models import Note, Order


class Wanted(TypedDict):
    """The form of a request for an order."""

    item: str
    quantity: int


def wanted(request: HttpRequest) -> Wanted:
    """Return the fields of the request's form."""
    return {"item": request.POST["item"], "quantity": int(request.POST["quantity"])}


def save(item: str, quantity: int) -> Order:
    """Save an order and everything that handlers write, or nothing."""
    with transaction.atomic():
        order = Order.objects.create(item=item, quantity=quantity)
        results = order_placing.emit(order)
        if isinstance(results, Cancelled):
            raise Refused(f"refused by {results.handler.__name__}")
    return order


@require_POST
def place(request: HttpRequest) -> JsonResponse:
    """Place an order; the handlers of `order_placed` run after the commit."""
    try:
        with placed_on_commit():
            order = save(**wanted(request))
            order_placed.emit(order)
    except Refused as error:
        return JsonResponse({"error": str(error)}, status=409)
    return JsonResponse({"id": order.pk, "notes": notes(order)})


@require_POST
async def place_async(request: HttpRequest) -> JsonResponse:
    """Place an order: run the transaction in a thread, then send the mail."""
    try:
        order = await sync_to_async(save)(**wanted(request))
    except Refused as error:
        return JsonResponse({"error": str(error)}, status=409)
    await order_placed.emit_async(order)
    return JsonResponse({"id": order.pk, "notes": await sync_to_async(notes)(order)})


def notes(order: Order) -> list[str]:
    """Return the notes of an order."""
    return list(Note.objects.filter(order=order).order_by("pk").values_list("text", flat=True))
