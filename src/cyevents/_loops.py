"""Which kind of event loop runs in this thread: found out without importing any."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def running_trio() -> Any:
    """The module trio if one of its tasks is what runs here, else None. Asked only where no asyncio loop runs."""
    trio = sys.modules.get("trio")
    try:
        trio.lowlevel.current_task()  # type: ignore[union-attr]
    except (AttributeError, RuntimeError):  # it is not imported, or not yet; no task of its runs here
        return None
    return trio


def no_loop() -> RuntimeError:
    """The error of awaiting where no event loop runs: asyncio's own words."""
    return RuntimeError("no running event loop")
