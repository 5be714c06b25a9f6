"""`Decorator`: what `on` and `connect` return when they are not given a handler."""

from __future__ import annotations

import sys

from ._checks import check_handler, warn_at
from ._common import ANY, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

    from ._event import Event
    from ._namespace import Namespace


class Decorator:
    """Connects what it decorates, and warns at the line where it was made if it is discarded unused.

    The event may be given by name: it is then made when something is decorated.
    """

    __slots__ = ("_event", "_is_used", "_line", "_namespace", "_options", "_text")

    def __init__(
        self,
        event: Event[Any] | str,
        namespace: Namespace | None,
        options: tuple[Any, ...],
        text: str,
        frame: FrameType | None,
    ) -> None:
        self._event = event
        self._namespace = namespace
        self._options = options
        self._text = text
        self._is_used = frame is None  # it is called by C code, which has no lines
        self._line = None if frame is None else (frame.f_code.co_filename, frame.f_lineno, frame.f_globals)

    def __call__(self, handler: Any, /) -> Any:
        """Connect the handler, and return it."""
        self._is_used = True
        check_handler(handler)
        given = self._event
        if isinstance(given, str):
            assert self._namespace is not None
            event = self._namespace.event(given)
        else:
            event = given
        sender, weak, priority, condition, once, with_event, thread = self._options
        frame = sys._getframe().f_back
        event._add(handler, sender, weak, priority, condition, once, with_event, thread, frame)
        return handler

    def __del__(self, is_finalizing: Any = sys.is_finalizing) -> None:
        if self._is_used or self._line is None or is_finalizing():
            return
        text = f"{self._text} returned a decorator, which was discarded: nothing is connected. Put it above a function"
        text += ", or give connect() the handler"
        sender = self._options[0]
        if sender is not ANY and callable(sender):
            text += f" ({shown(sender)} was taken for the sender)"
        warn_at(text, *self._line)

    def __repr__(self) -> str:
        return f"<decorator of {self._text}>"
