"""`python -m cyevents demo`: the reference's complete example, on a file of orders, told and measured."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice, repeat
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, BinaryIO, NamedTuple, TextIO

from . import Cancelled, Namespace, __version__, _backend, drain

SAMPLE = Path(__file__).with_name("sample_orders.jsonl")
STORIES = 3
"""How many orders are told line by line."""
HIGH_VALUE = 1000
BOM = b"\xef\xbb\xbf"
BATCH = 500
"""So many orders are placed before the background loop is waited for, so that payments do not pile up."""


def run(
    file: str | None,
    ways: Sequence[str] = ("sync", "async"),
    quiet: bool = False,
    limit: int | None = None,
    repeat: int = 1,
    delay: float = 0.0,
) -> int:
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
    if not orders:
        if not bad:
            print(f"cyevents: there are no orders in {name}: it is empty", file=sys.stderr)
        return 1 if bad else 2
    page = Page(sys.stdout)
    python = ".".join(map(str, sys.version_info[:3]))
    page.line(page.paint("bold", f"cyevents {__version__}"), f"on Python {python}, backend {_backend.backend}")
    times = f", {repeat} times" if repeat > 1 else ""
    page.line(f"{counted(len(orders), 'order')} from {page.text(name)}{times}")
    for way in ways:
        if quiet:
            tell(way, orders[:STORIES], 0.0, Page(None))  # to warm up, as the story does
        else:
            tell(way, orders[:STORIES], delay, page)
        shop = Shop(delay)
        with Progress(len(orders) * repeat, f"{way} way") as progress:
            measure = measure_sync if way == "sync" else measure_async
            spent = measure(shop, orders, repeat, progress)
        sum_up(way, shop, spent, page)
    return 1 if bad else 0


# Orders


class Item(NamedTuple):
    """What was ordered of one product."""

    product_name: str
    quantity: int


class Order:
    """A customer's order: the sender of the events."""

    __slots__ = ("cents", "customer_email", "id", "items", "status", "total")

    def __init__(self, order_id: str, customer_email: str, total: float, items: list[Item]) -> None:
        self.id = order_id
        self.customer_email = customer_email
        self.total = total
        self.items = items
        self.cents = round(total * 100)  # sums of these are exact
        self.status = "new"


class BadLine(Exception):
    """A line that is no order. `column` is where it goes wrong, if known, from 0 on."""

    def __init__(self, message: str, column: int = 0) -> None:
        super().__init__(message)
        self.column = column


def read_orders(file: str | None, name: str, limit: int | None) -> tuple[list[Order], int]:
    """Read orders, and report bad lines on standard error; return the orders and the number of bad lines."""
    orders: list[Order] = []
    bad = 0
    with _opened(file) as stream, Progress(_size(stream), "reading") as progress:
        for number, raw in enumerate(stream, 1):
            progress.advance(len(raw))
            line = (raw.removeprefix(BOM) if number == 1 else raw).rstrip()
            if not line:
                continue
            try:
                orders.append(parse_order(line))
            except BadLine as error:
                bad += 1
                progress.erase()
                shown = shortened(line.decode("utf-8", "replace"), error.column)
                print(f"{name}:{number}: {error}\n    {shown}", file=sys.stderr)
            if len(orders) == limit:
                break
    return orders, bad


def _opened(file: str | None) -> BinaryIO:
    if file != "-":
        return open(SAMPLE if file is None else file, "rb")
    if sys.stdin is None:
        raise OSError("standard input is closed")
    return open(sys.stdin.fileno(), "rb", closefd=False)


def _size(stream: BinaryIO) -> int:
    """Tell a file's size; 0 for what has none."""
    try:
        return os.fstat(stream.fileno()).st_size
    except (OSError, ValueError):
        return 0


def parse_order(line: bytes) -> Order:
    """Make a line of JSON an order, or raise `BadLine`."""
    try:
        data = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise BadLine(f"not UTF-8: byte {error.start + 1} is {line[error.start]:#04x}", error.start) from None
    except json.JSONDecodeError as error:
        raise BadLine(f"not JSON: {error.msg}, column {error.colno}", error.colno - 1) from None
    except RecursionError:
        raise BadLine("not usable JSON: nested too deeply") from None
    except ValueError as error:  # NaN, or a number of too many digits
        raise BadLine(f"not usable JSON: {str(error).partition(';')[0]}") from None
    if not isinstance(data, dict):
        raise BadLine(f"must be an object, not {_json_type(data)}")
    order_id = _field(data, "id", str, "a string")
    customer_email = _field(data, "customer_email", str, "a string")
    total = _field(data, "total", (int, float), "a number")
    if not abs(total) <= 1e9:
        raise BadLine("'total' must be at most a billion, either way")
    items = []
    for place, item in enumerate(_field(data, "items", list, "an array"), 1):
        where = f" in item {place}"
        if not isinstance(item, dict):
            raise BadLine(f"item {place} must be an object, not {_json_type(item)}")
        quantity = _field({"quantity": 1, **item}, "quantity", int, "a whole number", where)
        if not 1 <= quantity <= 1_000_000:
            raise BadLine(f"'quantity'{where} must be from 1 to 1,000,000")
        items.append(Item(_field(item, "product_name", str, "a string", where), quantity))
    return Order(order_id, customer_email, float(total), items)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _field(data: dict[str, Any], name: str, kind: type | tuple[type, ...], wanted: str, where: str = "") -> Any:
    """Take a field of the type that is wanted, or raise `BadLine`."""
    if name not in data:
        raise BadLine(f"field '{name}' is missing{where}")
    value = data[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadLine(f"'{name}'{where} must be {wanted}, not {_json_type(value)}")
    if value == "":
        raise BadLine(f"'{name}'{where} is empty")
    return value


def _json_type(value: object) -> str:
    """Say what a value is in JSON's terms."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    return {dict: "an object", list: "an array", str: "a string", int: "a number"}[type(value)]


def shortened(text: str, column: int = 0, width: int = 70) -> str:
    """Make a text one printable line: the part around a column, if it is long."""
    start = max(0, min(column - width // 2, len(text) - width))
    part = text[start : start + width]
    part = "".join(char if char.isprintable() else "?" for char in part)
    return "..." * (start > 0) + part + "..." * (start + width < len(text))


# The shop


class Shop:
    """The complete example of the reference, in a namespace of its own. It counts what its handlers do.

    Args:
        delay: how many seconds a payment takes.
        journal: if given, handlers write their name and the order there when they run.
    """

    def __init__(self, delay: float = 0.0, journal: list[tuple[str, Order]] | None = None) -> None:
        self.delay = delay
        self.journal = journal
        self.events = events = Namespace()
        self.order_placed = events.event("order-placed", doc="Order successfully placed")
        self.payment_processed = events.event("payment-processed")
        # These are methods of an object that lives as long as the events: it is enough to hold it weakly.
        events.on("order-placed", priority=10)(self.validate_order)
        events.on("order-placed", priority=5, condition=self.is_high_value)(self.high_value_alert)
        events.on("order-placed")(self.send_confirmation)
        events.on("order-placed")(self.process_payment)
        events.on("order-placed")(self.update_inventory)
        events.on("payment-processed")(self.record_payment)
        # In the sync way payments are counted in the background loop's thread: no number is of two threads.
        connections = self.order_placed.handlers + self.payment_processed.handlers
        names = [connection.handler.__name__ for connection in connections]
        self.ran = dict.fromkeys(names, 0)
        self.skipped = dict.fromkeys(names, 0)
        self.cancelled_by = dict.fromkeys(names, 0)
        self.placed = 0
        self.high_value_cents = self.confirmed_cents = self.paid_cents = 0
        self.sold: Counter[str] = Counter()

    # Emitting

    def place_order(self, order: Order) -> list[Any]:
        """Run the sync handlers, and schedule the payment."""
        order.status = "placed"
        return self._counted(self.events.emit(self.order_placed, order))

    async def place_order_async(self, order: Order) -> list[Any]:
        """Run all handlers to their end."""
        order.status = "placed"
        return self._counted(await self.events.emit_async(self.order_placed, order))

    def _counted(self, results: list[Any]) -> list[Any]:
        self.placed += 1
        if isinstance(results, Cancelled):
            self.cancelled_by[results.handler.__name__] += 1
        return results

    @property
    def emissions(self) -> int:
        """How many events have been emitted: by orders placed, and by payments processed."""
        return self.placed + self.ran["process_payment"]

    # Handlers

    def validate_order(self, sender: Order, **kwargs: object) -> bool:
        """Cancel invalid orders."""
        self._runs("validate_order", sender)
        return sender.total > 0

    def is_high_value(self, sender: Order, **kwargs: object) -> bool:
        """Decide, as its condition, whether `high_value_alert` is called."""
        if sender.total > HIGH_VALUE:
            return True
        self.skipped["high_value_alert"] += 1
        return False

    def high_value_alert(self, sender: Order, **kwargs: object) -> None:
        """Notice large orders."""
        self._runs("high_value_alert", sender)
        self.high_value_cents += sender.cents

    def send_confirmation(self, sender: Order, **kwargs: object) -> None:
        """Confirm the order to the customer."""
        self._runs("send_confirmation", sender)
        self.confirmed_cents += sender.cents

    async def process_payment(self, sender: Order, **kwargs: object) -> str:
        """Take the money, and emit `payment-processed`."""
        self._runs("process_payment", sender)
        await asyncio.sleep(self.delay)
        self.events.emit(self.payment_processed, sender)
        return "payment complete"

    def update_inventory(self, sender: Order, **kwargs: object) -> Iterator[str]:
        """Reduce the stock of what was ordered."""
        self._runs("update_inventory", sender)
        for item in sender.items:
            self.sold[item.product_name] += item.quantity
        yield "inventory updated"

    def record_payment(self, sender: Order, **kwargs: object) -> None:
        """Enter a payment in the books."""
        self._runs("record_payment", sender)
        self.paid_cents += sender.cents

    def _runs(self, handler: str, order: Order) -> None:
        self.ran[handler] += 1
        if self.journal is not None:
            self.journal.append((handler, order))


# The story


def tell(way: str, orders: list[Order], delay: float, page: Page) -> None:
    """Place a few orders, and print what each handler did."""
    journal: list[tuple[str, Order]] = []
    shop = Shop(delay, journal)
    page.line()
    if way == "sync":
        page.title("The sync way", "emit(order_placed, order) schedules async handlers")
        for order in orders:
            tell_order(order, shop.place_order(order), shop, page, awaited=False)
        drain()
        tell_payments(orders, journal, page)
    else:
        page.title("The async way", "await emit_async(order_placed, order) runs all handlers")

        async def place_all() -> None:
            for order in orders:
                tell_order(order, await shop.place_order_async(order), shop, page, awaited=True)

        asyncio.run(place_all())
    page.flush()


def tell_order(order: Order, results: list[Any], shop: Shop, page: Page, awaited: bool) -> None:
    """Print what became of one order, in the order of dispatch."""
    assert shop.journal is not None
    ran = {handler for handler, sender in shop.journal if sender is order}
    canceller = results.handler.__name__ if isinstance(results, Cancelled) else ""
    cancelled = False
    about = f"{money(order.cents)}, {counted(len(order.items), 'item')}, for {page.text(order.customer_email)}"
    about = page.fit(about, page.width - 25)
    page.line(page.paint("bold", page.fit(page.text(order.id), 24)), about)
    for connection in shop.order_placed.handlers:
        name = connection.handler.__name__
        if cancelled:
            page.step("skipped", name, "cancelled", f"by {canceller}")
        elif name == canceller:
            cancelled = True
            page.step("cancels", name, "cancels", said(name, order, page))
        elif connection.kind == "async" and not awaited:
            page.step("later", name, "scheduled", "in the background loop")
        elif name in ran:
            page.step("ran", name, "ran", said(name, order, page))
            if name == "process_payment":
                page.step("ran", "record_payment", "ran", said("record_payment", order, page))
        else:
            page.step("skipped", name, "skipped", "its condition does not hold")
    returned = repr(list(results)) + (f", cancelled by {canceller}" if canceller else "")
    page.line(page.paint("dim", f"  {page.symbols.returned} {returned}"))


def tell_payments(orders: list[Order], journal: list[tuple[str, Order]], page: Page) -> None:
    """Print what the background loop did."""
    page.line(page.paint("bold", "drain()"), "has waited for the background loop, where meanwhile ran:")
    for order in orders:
        for handler in ("process_payment", "record_payment"):
            if any(name == handler and sender is order for name, sender in journal):
                page.step("ran", handler, "ran", said(handler, order, page))


def said(handler: str, order: Order, page: Page) -> str:
    """Say what a handler that ran has done."""
    symbols = page.symbols
    amount = money(order.cents)
    if handler == "validate_order":
        return "the total is above 0" if order.total > 0 else f"{symbols.invalid}invalid order: total must be > 0"
    if handler == "high_value_alert":
        return f"{symbols.alert}high value order: {amount}"
    if handler == "send_confirmation":
        return f"{symbols.mail}confirmation to {page.text(order.customer_email)}"
    if handler == "process_payment":
        return f"{symbols.card}{amount} for {page.text(order.id)}"
    if handler == "record_payment":
        return f"{symbols.books}{amount} received, on payment-processed"
    reduced = ", ".join(f"{item.quantity} {symbols.times} {page.text(item.product_name)}" for item in order.items)
    return f"{symbols.box}{reduced or 'nothing to reduce'}"


def money(cents: int) -> str:
    """Write an amount for people."""
    return f"{'-' * (cents < 0)}${abs(cents) / 100:,.2f}"


# The measure


class Spent(NamedTuple):
    """Seconds: in the loop that emits, and in waiting for the background loop."""

    emitting: float
    draining: float = 0.0


def measure_sync(shop: Shop, orders: list[Order], times: int, progress: Progress) -> Spent:
    """Place all orders by `emit`, batch by batch."""
    emitting = draining = 0.0
    for batch in batches(orders, times, BATCH):
        begin = perf_counter()
        for order in batch:
            shop.place_order(order)
        placed = perf_counter()
        while not drain(0.1):
            progress.refresh()
        emitting += placed - begin
        draining += perf_counter() - placed
        progress.advance(len(batch))
    return Spent(emitting, draining)


def measure_async(shop: Shop, orders: list[Order], times: int, progress: Progress) -> Spent:
    """Place all orders by `emit_async`, one after the other."""

    async def place_all() -> float:
        emitting = 0.0
        for batch in batches(orders, times, 1 if shop.delay else BATCH):
            begin = perf_counter()
            for order in batch:
                await shop.place_order_async(order)
            emitting += perf_counter() - begin
            progress.advance(len(batch))
        return emitting

    return Spent(asyncio.run(place_all()))


def batches(orders: list[Order], times: int, size: int) -> Iterator[list[Order]]:
    """All orders, several times over, in lists of some size."""
    stream = chain.from_iterable(repeat(orders, times))
    while batch := list(islice(stream, size)):
        yield batch


def sum_up(way: str, shop: Shop, spent: Spent, page: Page) -> None:
    """Print what a shop's handlers did, and how fast the events went."""
    page.line()
    page.title(f"Summary of the {way} way")
    page.line(
        page.paint("dim", f"{'handler':<19}{'kind':<11}{'priority':>8}{'ran':>12}{'skipped':>12}{'cancelled':>12}")
    )
    for event in (shop.order_placed, shop.payment_processed):
        cancelled = 0
        for connection in event.handlers:
            name = connection.handler.__name__
            row = f"{name:<19}{connection.kind:<11}{connection.priority:>8}"
            row += "".join(f"{number:>12,}" for number in (shop.ran[name], shop.skipped[name], cancelled))
            page.line(row)
            cancelled += shop.cancelled_by[name]
    page.line(page.paint("dim", page.symbols.rule * 74))
    cancelled = sum(shop.cancelled_by.values())
    cancellers = ", ".join(f"{count:,} by {name}" for name, count in shop.cancelled_by.items() if count)
    page.fact("orders", f"{shop.placed:,} placed, {shop.placed - cancelled:,} accepted, {cancelled:,} cancelled")
    if cancellers:
        page.fact("cancelled", cancellers)
    page.fact("confirmed", f"{money(shop.confirmed_cents)}, of which high value {money(shop.high_value_cents)}")
    page.fact("paid", money(shop.paid_cents))
    page.fact("inventory", f"{counted(sum(shop.sold.values()), 'piece')} of {counted(len(shop.sold), 'product')}")
    seconds = spent.emitting + spent.draining
    parts = f" (emitting {duration(spent.emitting)}, drain() {duration(spent.draining)})" if spent.draining else ""
    page.fact("time", f"{duration(seconds)}{parts}")
    rate = f"{shop.emissions / seconds:,.0f} events/s" if seconds else "too fast to measure"
    page.fact(
        "speed", f"{page.paint('bold', rate)}: {counted(shop.emissions, 'event')} of both names, handlers included"
    )
    page.fact("backend", page.text(f"{_backend.backend} ({_backend.reason})"))
    page.flush()


def counted(number: int, noun: str) -> str:
    """Write a number of things for people."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def duration(seconds: float) -> str:
    """Write a time for people."""
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"


# The terminal


class Symbols(NamedTuple):
    """What an output can show beside letters."""

    ran: str
    skipped: str
    cancels: str
    later: str
    returned: str
    rule: str
    times: str
    cut: str
    invalid: str
    alert: str
    mail: str
    card: str
    books: str
    box: str


FANCY = Symbols("✓", "·", "✗", "…", "→", "─", "×", "…", "❌ ", "🚨 ", "📧 ", "💳 ", "📒 ", "📦 ")  # noqa: RUF001
PLAIN = Symbols("+", "-", "x", "~", "=", "-", "x", "...", "", "", "", "", "", "")
COLOURS = {"bold": "1", "dim": "2", "ran": "32", "skipped": "2", "cancels": "31", "later": "33"}


class Page:
    """An output, by what it can show: its encoding, its width, colours. Without a stream it shows nothing."""

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self.encoding = (stream and stream.encoding) or "ascii"
        self.width = max(40, min(shutil.get_terminal_size().columns, 100))
        self.coloured = is_terminal(stream) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        if sys.platform == "win32" and "WT_SESSION" not in os.environ:  # an old console
            self.coloured = False
        self.symbols = FANCY if self.text("".join(FANCY)) == "".join(FANCY) else PLAIN

    def text(self, text: str) -> str:
        """Someone else's text without what the output cannot show, or would obey."""
        text = "".join(char if char.isprintable() else "?" for char in text)
        return text.encode(self.encoding, "replace").decode(self.encoding)

    def paint(self, colour: str, text: str) -> str:
        """Give the text a colour, if there are any."""
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self.coloured else text

    def line(self, *parts: str) -> None:
        """Print a line."""
        if self.stream is not None:
            print(*parts, file=self.stream)

    def title(self, title: str, text: str = "") -> None:
        """Print a heading."""
        self.line(self.paint("bold", title) + (f": {text}" if text else ""))

    def step(self, state: str, handler: str, what: str, text: str) -> None:
        """Print a line about a handler: what became of it, and more about that."""
        symbol = getattr(self.symbols, state)
        self.line(self.paint(state, f"  {symbol} {handler:<19}{what:<11}") + self.fit(text, self.width - 34))

    def fact(self, label: str, text: str) -> None:
        """Print a line of a summary."""
        self.line(f"{label:<13}{text}")

    def fit(self, text: str, width: int) -> str:
        """Cut the text to so many columns."""
        if columns(text) <= width:
            return text
        text = text[:width]
        while columns(text) > width - columns(self.symbols.cut):
            text = text[:-1]
        return text.rstrip() + self.symbols.cut

    def flush(self) -> None:
        """Show what has been printed."""
        if self.stream is not None:
            self.stream.flush()


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person is watching."""
    return stream is not None and stream.isatty()


def columns(text: str) -> int:
    """Count the columns that a text takes on a terminal."""
    return sum(map(_columns_of, text))


def _columns_of(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


class Progress:
    """A bar on standard error, if that is a terminal and it takes longer than half a second. Gone when it is done."""

    PATIENCE = 0.5
    INTERVAL = 0.1

    def __init__(self, total: int, label: str) -> None:
        self.total = total
        self.label = label
        self.done = 0
        self.length = 0  # of what stands there now
        self.due = monotonic() + self.PATIENCE if total and is_terminal(sys.stderr) else float("inf")

    def advance(self, amount: int) -> None:
        """So much more is done."""
        self.done += amount
        self.refresh()

    def refresh(self) -> None:
        """Draw the bar, if it is time."""
        now = monotonic()
        if now < self.due:
            return
        self.due = now + self.INTERVAL
        share = min(self.done / self.total, 1.0)
        width = min(max(shutil.get_terminal_size().columns - len(self.label) - 10, 5), 50)
        bar = ("#" * int(share * width)).ljust(width, ".")
        text = f"{self.label} [{bar}] {share:4.0%}"
        self.length = len(text)
        print(f"\r{text}", end="", file=sys.stderr, flush=True)

    def erase(self) -> None:
        """Leave the line as it was."""
        if self.length:
            print(f"\r{' ' * self.length}\r", end="", file=sys.stderr, flush=True)
            self.length = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.erase()
