"""A Celery worker whose tasks emit events, and events whose handlers send tasks.

Run it, in examples/worker, in two terminals: celery -A celery_shop worker --loglevel INFO, and: python celery_shop.py
"""

import asyncio
import os
import sys
from pathlib import Path

from celery import Celery
from celery.signals import worker_process_shutdown, worker_shutdown

from cyevents import Event, Namespace, drain

queue = Path(os.environ.get("SHOP_QUEUE", "queue")).absolute()  # a folder, so that you need no broker
for folder in ("messages", "results"):
    (queue / folder).mkdir(parents=True, exist_ok=True)

app = Celery("celery_shop", broker=os.environ.get("SHOP_BROKER", "filesystem://"), backend=f"file://{queue}/results")
app.conf.broker_transport_options = {
    "data_folder_in": f"{queue}/messages",
    "data_folder_out": f"{queue}/messages",
    "control_folder": f"{queue}/control",
}

shop = Namespace()
order_placed: Event[str] = shop.event("order.placed", doc="An order has been placed; its number is the sender.")
invoice_made: Event[str] = shop.event("invoice.made", doc="An invoice has been made, in the worker.")


# In the program that takes orders: slow work is sent to the worker, as numbers and strings


@shop.on(order_placed)
def enqueue(number: str) -> str:
    """Send a task to the worker."""
    return str(make_invoice.delay(number).id)


# In the worker


@app.task
def make_invoice(number: str) -> list[str]:
    """Make an invoice: wait for all handlers, and fail if one of them fails."""
    return asyncio.run(invoice_made.emit_async(number))


@app.task
def make_invoices(numbers: list[str]) -> int:
    """Make many invoices; the background loop sends the mails."""
    for number in numbers:
        invoice_made.emit(number)
    return os.getpid()


@shop.on(invoice_made)
async def send_mail(number: str) -> str:
    """Send the invoice to the customer."""
    await asyncio.sleep(0.2)
    with (queue / "mails").open("a") as mails:
        mails.write(f"{number}\n")
    return f"invoice {number} sent"


@worker_process_shutdown.connect
@worker_shutdown.connect
def finish(**_: object) -> None:
    """Wait for scheduled handlers, because pool processes run no exit hooks."""
    drain(timeout=10)


def main() -> None:
    """Place an order and wait for its invoice."""
    (task,) = order_placed.emit(sys.argv[1] if sys.argv[1:] else "7")
    print(app.AsyncResult(task).get(timeout=30))


if __name__ == "__main__":
    main()
