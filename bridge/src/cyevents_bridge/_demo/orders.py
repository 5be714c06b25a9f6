"""The sample orders of the demo, and a function that writes counts."""

from __future__ import annotations

import dataclasses

COUNT = 300
_REFUSED = 50  # one order in 50 has a negative total and cannot be billed


@dataclasses.dataclass
class Order:
    """An order, which the processes send to each other."""

    id: str
    total: float


def orders(limit: int | None = None) -> list[Order]:
    """Return all orders, or the first `limit` ones."""
    numbers = range(1, min(COUNT, limit or COUNT) + 1)
    return [Order(f"ord-{n:04}", -50.0 if n % _REFUSED == 3 else round(5 + 7.35 * n % 400, 2)) for n in numbers]


def counted(number: int, noun: str) -> str:
    """Return a number with a noun in the singular or plural."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
