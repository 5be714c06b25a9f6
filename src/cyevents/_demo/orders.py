"""Reads orders from a file of JSON lines, and checks them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from .terminal import Progress

SAMPLE = Path(__file__).with_name("sample_orders.jsonl")
BOM = b"\xef\xbb\xbf"


class Item(NamedTuple):
    """A product and its quantity in an order."""

    product_name: str
    quantity: int


class Order:
    """A customer's order, the sender of the events."""

    __slots__ = ("cents", "customer_email", "id", "items", "total")

    def __init__(self, order_id: str, customer_email: str, total: float, items: list[Item]) -> None:
        self.id = order_id
        self.customer_email = customer_email
        self.total = total
        self.items = items
        self.cents = round(total * 100)  # so that sums are exact


class BadLine(Exception):
    """A line that is not an order. `column` is the index of the mistake, if known."""

    def __init__(self, message: str, column: int = 0) -> None:
        super().__init__(message)
        self.column = column


def read_orders(file: str | None, name: str, limit: int | None) -> tuple[list[Order], int]:
    """Return the orders and the number of bad lines, which are reported on standard error."""
    orders: list[Order] = []
    bad = 0
    with _open(file) as stream, Progress(os.fstat(stream.fileno()).st_size, "reading") as progress:
        for number, raw in enumerate(stream, 1):
            progress.advance(len(raw))
            line = (raw.removeprefix(BOM) if number == 1 else raw).rstrip()
            if not line:
                continue
            try:
                orders.append(_parse(line))
            except BadLine as error:
                bad += 1
                progress.erase()
                excerpt = _excerpt(line.decode("utf-8", "replace"), error.column)
                print(f"{name}:{number}: {error}\n    {excerpt}", file=sys.stderr)
            if len(orders) == limit:
                break
    return orders, bad


def _open(file: str | None) -> BinaryIO:
    if file != "-":
        return open(SAMPLE if file is None else file, "rb")
    if sys.stdin is None:
        raise OSError("standard input is closed")
    return open(sys.stdin.fileno(), "rb", closefd=False)


def _parse(line: bytes) -> Order:
    """Return the order in a line of JSON, or raise `BadLine`."""
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
    raise ValueError(f"{name} is not a number")


def _field(data: dict[str, Any], name: str, kind: type | tuple[type, ...], wanted: str, where: str = "") -> Any:
    """Return the value of a field, or raise `BadLine` if it is missing or has another type."""
    if name not in data:
        raise BadLine(f"field '{name}' is missing{where}")
    value = data[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadLine(f"'{name}'{where} must be {wanted}, not {_json_type(value)}")
    if value == "":
        raise BadLine(f"'{name}'{where} is empty")
    return value


def _json_type(value: object) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:g}"
    return {dict: "an object", list: "an array", str: "a string", int: "a number"}[type(value)]


def _excerpt(text: str, column: int, width: int = 70) -> str:
    """Return the part of a text around a column, as one printable line."""
    start = max(0, min(column - width // 2, len(text) - width))
    part = text[start : start + width]
    part = "".join(char if char.isprintable() else "?" for char in part)
    return "..." * (start > 0) + part + "..." * (start + width < len(text))
