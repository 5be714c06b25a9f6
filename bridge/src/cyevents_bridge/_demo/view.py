"""The demo's screen: a live table with rich in a terminal, otherwise a line every second."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .stage import Stage

COLUMNS = ("placed", "billed", "shipped", "redelivered", "failed", "dead")
_INTERVAL = 1.0  # seconds between two plain lines


@contextmanager
def screen() -> Iterator[Callable[[Stage], None]]:
    """Provide a function that shows the current state of a stage."""
    if sys.stdout is not None and sys.stdout.isatty():
        try:
            from rich.live import Live
        except ImportError:
            pass
        else:
            with Live(auto_refresh=False) as live:
                yield lambda stage: live.update(table(stage), refresh=True)
            return
    yield _Lines().show


def table(stage: Stage) -> Any:
    """Return the state of the stage as a table for rich."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    colours = {"running": "green", "starting": "yellow"}
    result = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, width in (("process", 9), ("state", 8)):
        result.add_column(name, min_width=width)
    for name in COLUMNS:
        result.add_column(name, justify="right")
    for row in stage.rows:
        figures = [f"{figure:,}" if figure else "" for figure in row.figures]
        result.add_row(row.name, Text(row.state, colours.get(row.state, "bold red")), *figures)
    result.add_section()
    result.add_row("all", "", *[f"{figure:,}" for figure in totals(stage)], style="bold")
    return Group(result, *map(Text, stage.story))


def totals(stage: Stage) -> list[int]:
    """Return the sums of the figures over all processes."""
    return [sum(column) for column in zip(*[row.figures for row in stage.rows], strict=True)]


class _Lines:
    """Prints new lines of the story, and the totals every second."""

    def __init__(self) -> None:
        self._printed = 0
        self._due = 0.0

    def show(self, stage: Stage) -> None:
        for line in stage.story[self._printed :]:
            print(line, flush=True)
        self._printed = len(stage.story)
        figures = totals(stage)
        if any(figures) and monotonic() >= self._due:
            self._due = monotonic() + _INTERVAL
            print("        ", ", ".join(f"{figure:,} {name}" for name, figure in zip(COLUMNS, figures, strict=True)))
