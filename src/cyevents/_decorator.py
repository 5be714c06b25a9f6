"""`Decorator`: what `on`, and `connect` without a handler, return."""

from __future__ import annotations

import sys

from ._checks import check_handler
from ._core._frames import warn_at
from ._core._safe import safe_repr
from ._core._values import ANY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any


class Decorator:
    """Connects what it decorates. If it is discarded unused, it warns at the line where it was made.

    Args:
        connect: connects a handler; it also gets the frame in which the decorator is called.
        sender: the sender that the handler will be connected for.
        text: the call that has made it, for the warning.
        frame: the frame of that call.
    """

    __slots__ = ("_connect", "_is_used", "_line", "_sender", "_text")

    def __init__(
        self, connect: Callable[[Any, FrameType | None], object], sender: Any, text: str, frame: FrameType | None
    ) -> None:
        self._connect = connect
        self._sender = sender
        self._text = text
        self._is_used = frame is None  # made by C code, which has no lines to warn at
        self._line = None if frame is None else (frame.f_code.co_filename, frame.f_lineno, frame.f_globals)

    def __call__(self, handler: Any, /) -> Any:
        """Connect the handler, and return it."""
        self._is_used = True
        check_handler(handler)
        self._connect(handler, sys._getframe().f_back)
        return handler

    def __del__(self, is_finalizing: Any = sys.is_finalizing) -> None:
        if self._is_used or self._line is None or is_finalizing():
            return
        text = f"{self._text} returned a decorator, which was discarded: nothing is connected. Put it above a function"
        text += ", or give connect() the handler"
        sender = self._sender
        if sender is not ANY and callable(sender):
            text += f" ({safe_repr(sender)} was taken for the sender)"
        warn_at(text, *self._line)

    def __repr__(self) -> str:
        return f"<decorator of {self._text}>"
