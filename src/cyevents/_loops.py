"""Which kind of event loop runs in this thread, found without importing any; and the check of timeouts."""

from __future__ import annotations

import sys
from _thread import TIMEOUT_MAX

from ._core._safe import safe_repr

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


def checked_timeout(timeout: Any) -> float | None:
    """Raise unless this is a number of seconds or None. Return it, or None if it is too long for the system's clock."""
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds or None, not {safe_repr(timeout)}")
    if timeout != timeout:
        raise ValueError("timeout must be a number of seconds or None, not nan")
    return None if timeout > TIMEOUT_MAX else max(timeout, -TIMEOUT_MAX)
