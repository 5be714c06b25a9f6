"""Which kind of event loop runs in this thread, found without importing any; and the check of timeouts."""

from __future__ import annotations

import sys
from _thread import TIMEOUT_MAX

from .._core._safe import safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def running_asyncio() -> Any:
    """Return the asyncio loop that runs in this thread, or None."""
    asyncio = sys.modules.get("asyncio")
    try:
        return asyncio._get_running_loop()  # type: ignore[union-attr]
    except AttributeError:  # it is not imported, or only in part
        return None


def running_trio() -> Any:
    """Return the module `trio` if a trio task runs here, else None. For callers that found no running asyncio loop."""
    trio = sys.modules.get("trio")
    try:
        trio.lowlevel.current_task()  # type: ignore[union-attr]
    except (AttributeError, RuntimeError):  # trio is not imported, or only in part; or none of its tasks runs here
        return None
    return trio


def no_loop_error() -> RuntimeError:
    """Return the error of an await without an event loop, with asyncio's text."""
    return RuntimeError("no running event loop")


def checked_timeout(timeout: Any) -> float | None:
    """Return a timeout in seconds, or None for no limit: also for one that is too long for the system's clock."""
    if timeout is None:
        return None
    if not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout must be a number of seconds or None, not {safe_repr(timeout)}")
    if timeout != timeout:
        raise ValueError("timeout must be a number of seconds or None, not nan")
    return None if timeout > TIMEOUT_MAX else max(timeout, -TIMEOUT_MAX)
