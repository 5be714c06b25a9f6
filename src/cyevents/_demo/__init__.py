"""`python -m cyevents demo`: the reference's complete example, run on a file of orders, narrated and timed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .. import __version__, backend
from .measure import measure
from .orders import SAMPLE, Order, read_orders
from .report import narrate, summarize
from .shop import Shop
from .terminal import Page, counted

NARRATED = 3  # how many orders are narrated line by line


def run(file: str | None, *, ways: Sequence[str], quiet: bool, limit: int | None, repeat: int, delay: float) -> int:
    """Place the orders of a file, and print what the handlers do and how long it takes.

    Args:
        file: its path, `"-"` for standard input, `None` for the sample.
        ways: `"sync"` for `emit`, `"async"` for `emit_async`.
        quiet: print only the summaries.
        limit: how many orders to read at most.
        repeat: how many times the orders are placed in the timed part.
        delay: the duration of a payment in seconds.

    Returns:
        The exit code: 1 if there were bad lines, 2 if there are no orders, else 0.
    """
    name = SAMPLE.name if file is None else "<stdin>" if file == "-" else file
    try:
        orders, bad = read_orders(file, name, limit)
    except OSError as error:
        print(f"cyevents: cannot read {name}: {error.strerror or error}", file=sys.stderr)
        return 2
    if bad:
        left = counted(len(orders), "order")
        print(f"cyevents: {counted(bad, 'bad line')} in {name}, {left} left", file=sys.stderr)
    elif not orders:
        print(f"cyevents: there are no orders in {name}: it is empty", file=sys.stderr)
        return 2
    if orders:
        page = Page()
        python = ".".join(map(str, sys.version_info[:3]))
        page.line(page.paint("bold", f"cyevents {__version__}"), f"on Python {python}, backend {backend}")
        times = f", {repeat} times" if repeat > 1 else ""
        page.line(f"{counted(len(orders), 'order')} from {page.text(name)}{times}")
        for way in ways:
            _run_way(way, orders, page, quiet, repeat, delay)
    return 1 if bad else 0


def _run_way(way: str, orders: list[Order], page: Page, quiet: bool, repeat: int, delay: float) -> None:
    if quiet:
        measure(way, Shop(), orders[:NARRATED], 1)  # warms up, as the narration does
    else:
        narrate(way, orders[:NARRATED], delay, page)
    page.flush()
    shop = Shop(delay)
    summarize(way, shop, measure(way, shop, orders, repeat), page)
