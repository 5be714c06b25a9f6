"""Finds the asyncio loop that runs in this thread, and its current task, fast enough for each `emit_async`."""

from __future__ import annotations

import asyncio
import os
import sys
from _thread import get_ident
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    running_loop: Any
    current_task: Any
elif sys.version_info >= (3, 12):
    from asyncio import _get_running_loop as running_loop
    from asyncio import current_task
else:
    # `asyncio._get_running_loop` makes a system call, since a forked process has no running loop, and takes longer than
    # the emission around it. So the loop that ran last is kept. A loop knows in which thread it runs.
    current_task = asyncio.tasks._current_tasks.get
    _recent = None

    def running_loop():
        """Return the running loop, or None."""
        global _recent
        loop = _recent
        if loop is None or loop._thread_id != get_ident():
            loop = asyncio._get_running_loop()
            _recent = loop if isinstance(loop, asyncio.BaseEventLoop) else None
        return loop

    def _forget() -> None:
        global _recent
        _recent = None

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget)
