"""The orders of the demo, and how numbers of them are written."""

from __future__ import annotations

import dataclasses

COUNT = 300
_REFUSED = 50  # one order in so many has no amount, and cannot be billed


@dataclasses.dataclass
class Order:
    """What the processes send each other."""

    id: str
    total: float


def orders(limit: int | None = None) -> list[Order]:
    """Return the orders, or the first so many."""
    numbers = range(1, min(COUNT, limit or COUNT) + 1)
    return [Order(f"ord-{n:04}", -50.0 if n % _REFUSED == 3 else round(5 + 7.35 * n % 400, 2)) for n in numbers]


def counted(number: int, noun: str) -> str:
    """Write a number of things."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
