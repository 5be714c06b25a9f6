"""`python -m cyevents demo`: the reference's complete example, on a file of orders, told and measured."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .. import __version__, _core
from .measure import measure
from .orders import SAMPLE, Order, read_orders
from .shop import Shop
from .story import tell
from .summary import sum_up
from .terminal import Page
from .wording import counted

STORIES = 3
"""How many orders are told line by line."""


def run(file: str | None, *, ways: Sequence[str], quiet: bool, limit: int | None, repeat: int, delay: float) -> int:
    """Place a file's orders and print what happened.

    Args:
        file: its path, `"-"` for standard input, `None` for the sample.
        ways: `"sync"` for `emit`, `"async"` for `emit_async`.
        quiet: leave out the story of the first orders.
        limit: how many orders to read at most.
        repeat: how many times the orders are placed in the measured part.
        delay: how many seconds a payment takes.

    Returns:
        The exit code: 1 if there were bad lines, 2 if nothing could be read, else 0.
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
        page.line(page.paint("bold", f"cyevents {__version__}"), f"on Python {python}, backend {_core.backend}")
        times = f", {repeat} times" if repeat > 1 else ""
        page.line(f"{counted(len(orders), 'order')} from {page.text(name)}{times}")
        for way in ways:
            _show(way, orders, page, quiet, repeat, delay)
    return 1 if bad else 0


def _show(way: str, orders: list[Order], page: Page, quiet: bool, repeat: int, delay: float) -> None:
    if quiet:
        measure(way, Shop(), orders[:STORIES], 1)  # to warm up, as the story does
    else:
        tell(way, orders[:STORIES], delay, page)
    page.flush()
    shop = Shop(delay)
    sum_up(way, shop, measure(way, shop, orders, repeat), page)
