"""The measure: all orders placed, one way or the other, and the time it took."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import chain, islice, repeat
from time import perf_counter
from typing import NamedTuple

from .. import drain
from .orders import Order
from .shop import Shop
from .terminal import Progress

BATCH = 500
"""So many orders are placed before the background loop is waited for, so that payments do not pile up."""


class Spent(NamedTuple):
    """Seconds: in the loop that emits, and in waiting for the background loop."""

    emitting: float
    draining: float = 0.0


def measure(way: str, shop: Shop, orders: list[Order], times: int) -> Spent:
    """Place all orders, so many times over."""
    with Progress(len(orders) * times, f"{way} way") as progress:
        if way == "sync":
            return _by_emit(shop, _batches(orders, times, BATCH), progress)
        batches = _batches(orders, times, 1 if shop.delay else BATCH)
        return asyncio.run(_by_emit_async(shop, batches, progress))


def _batches(orders: list[Order], times: int, size: int) -> Iterator[list[Order]]:
    stream = chain.from_iterable(repeat(orders, times))
    while batch := list(islice(stream, size)):
        yield batch


def _by_emit(shop: Shop, batches: Iterator[list[Order]], progress: Progress) -> Spent:
    emitting = draining = 0.0
    for batch in batches:
        begin = perf_counter()
        for order in batch:
            shop.place_order(order)
        placed = perf_counter()
        while not drain(0.1):
            progress.advance(0)
        emitting += placed - begin
        draining += perf_counter() - placed
        progress.advance(len(batch))
    return Spent(emitting, draining)


async def _by_emit_async(shop: Shop, batches: Iterator[list[Order]], progress: Progress) -> Spent:
    begin = perf_counter()
    for batch in batches:
        for order in batch:
            await shop.place_order_async(order)
        progress.advance(len(batch))
    return Spent(perf_counter() - begin)
