"""Terminal output: pages with colours and symbols on standard output, a progress bar on standard error."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from time import monotonic
from typing import TextIO

SYMBOLS = {  # each with its replacement where the output cannot encode it
    "ran": ("✓", "+"),
    "skipped": ("·", "-"),
    "cancelled": ("·", "-"),
    "cancels": ("✗", "x"),
    "scheduled": ("…", "~"),
    "returned": ("→", "="),
    "rule": ("─", "-"),
    "times": ("×", "x"),  # noqa: RUF001
    "cut": ("…", "..."),
    "invalid": ("❌ ", ""),
    "alert": ("🚨 ", ""),
    "mail": ("📧 ", ""),
    "card": ("💳 ", ""),
    "books": ("📒 ", ""),
    "box": ("📦 ", ""),
}
COLOURS = {"bold": "1", "dim": "2", "ran": "32", "skipped": "2", "cancelled": "2", "cancels": "31", "scheduled": "33"}


class Page:
    """Standard output, adapted to its encoding, its width and whether it shows colours."""

    def __init__(self) -> None:
        self.encoding = getattr(sys.stdout, "encoding", None) or "ascii"
        self.width = max(40, min(shutil.get_terminal_size().columns, 100))
        self.coloured = _is_terminal(sys.stdout) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        if sys.platform == "win32" and "WT_SESSION" not in os.environ:  # an old console
            self.coloured = False
        fancy = "".join(pair[0] for pair in SYMBOLS.values())
        plain = self.text(fancy) != fancy
        self.symbols = {name: pair[plain] for name, pair in SYMBOLS.items()}

    def text(self, text: str) -> str:
        """Replace the characters of a text that the output cannot show, or would take as control codes."""
        text = "".join(char if char.isprintable() else "?" for char in text)
        return text.encode(self.encoding, "replace").decode(self.encoding)

    def paint(self, colour: str, text: str) -> str:
        """Colour a text, if the output shows colours."""
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self.coloured else text

    def line(self, *parts: str) -> None:
        """Print a line."""
        print(*parts)

    def title(self, title: str, text: str = "") -> None:
        """Print a heading."""
        self.line(self.paint("bold", title) + (f": {text}" if text else ""))

    def step(self, handler: str, fate: str, text: str) -> None:
        """Print a line about a handler, with its fate: a key of `SYMBOLS` and `COLOURS`."""
        label = self.paint(fate, f"  {self.symbols[fate]} {handler:<19}{fate:<11}")
        self.line(label + self.fit(text, self.width - 34))

    def fact(self, label: str, text: str) -> None:
        """Print a line of a summary."""
        self.line(f"{label:<13}{text}")

    def fit(self, text: str, width: int) -> str:
        """Shorten a text to a number of columns."""
        if _columns(text) <= width:
            return text
        cut = self.symbols["cut"]
        text = text[:width]
        while _columns(text) > width - len(cut):
            text = text[:-1]
        return text.rstrip() + cut

    def flush(self) -> None:
        """Flush the output."""
        print(end="", flush=True)


def counted(number: int, noun: str) -> str:
    """Return a number with a noun, in the plural if needed."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _columns(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    shown = (char for char in text if unicodedata.category(char) not in ("Mn", "Me", "Cf"))
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in shown)


class Progress:
    """Context manager with a progress bar on standard error, if that is a terminal and the work takes a while."""

    DELAY = 0.5  # seconds
    INTERVAL = 0.1

    def __init__(self, total: int, label: str) -> None:
        self.total = total
        self.label = label
        self.done = 0
        self.length = 0  # of the bar that is shown
        self.due = monotonic() + self.DELAY if total and _is_terminal(sys.stderr) else float("inf")

    def advance(self, amount: int) -> None:
        """Add to the amount of finished work, and redraw the bar if it is due."""
        self.done += amount
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
        """Erase the bar."""
        if self.length:
            print(f"\r{' ' * self.length}\r", end="", file=sys.stderr, flush=True)
            self.length = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self.erase()
