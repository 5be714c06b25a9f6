"""Logging for code that may run at any time: while `logging` is being imported, or at interpreter exit."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal


def log(level: Literal["DEBUG", "WARNING", "ERROR"], message: str, *args: Any, exc_info: Any = None) -> None:
    """Log a message to the logger `cyevents`, or drop it if logging is not available now.

    It is not available when the interpreter exits and imports nothing any more, and when a finalizer or a signal
    handler calls this in the middle of the first `import logging`.
    """
    try:
        import logging

        logger, number = logging.getLogger("cyevents"), getattr(logging, level)
    except (ImportError, AttributeError, TypeError):  # TypeError: there is no `__import__` any more
        return
    logger.log(number, message, *args, exc_info=exc_info)
