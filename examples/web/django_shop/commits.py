"""Emissions that wait for the commit of a transaction."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction

from .events import order_placed


@contextmanager
def placed_on_commit() -> Iterator[None]:
    """Run a block in a transaction, and hold `order_placed` until the commit."""
    hold = order_placed.hold()
    try:
        with transaction.atomic():
            yield
            transaction.on_commit(hold.release)
    except BaseException:
        hold.drop()
        raise
