"""The timed part: places all orders, by `emit` or by `emit_async`."""

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

BATCH = 500  # orders placed before waiting for the background loop, so that payments do not pile up


class Durations(NamedTuple):
    """Seconds spent emitting, and waiting for the background loop."""

    emitting: float
    draining: float = 0.0


def measure(way: str, shop: Shop, orders: list[Order], times: int) -> Durations:
    """Place all orders, the given number of times."""
    with Progress(len(orders) * times, f"{way} way") as progress:
        if way == "sync":
            return _emit(shop, _batches(orders, times, BATCH), progress)
        return asyncio.run(_emit_async(shop, _batches(orders, times, 1 if shop.delay else BATCH), progress))


def _batches(orders: list[Order], times: int, size: int) -> Iterator[list[Order]]:
    stream = chain.from_iterable(repeat(orders, times))
    while batch := list(islice(stream, size)):
        yield batch


def _emit(shop: Shop, batches: Iterator[list[Order]], progress: Progress) -> Durations:
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
    return Durations(emitting, draining)


async def _emit_async(shop: Shop, batches: Iterator[list[Order]], progress: Progress) -> Durations:
    emitting = 0.0
    for batch in batches:
        begin = perf_counter()
        for order in batch:
            await shop.place_order_async(order)
        emitting += perf_counter() - begin
        progress.advance(len(batch))
    return Durations(emitting)
