"""Text for logs and errors, quoted and cut so that no publisher can forge a log line or fill a disk."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable

_LONGEST_NAME = 100
_LONGEST_ERROR = 500


def quoted(text: object, limit: int = _LONGEST_NAME) -> str:
    """Return the `repr` of a text, cut to `limit` characters. Unprintable characters are escaped."""
    text = text if isinstance(text, str) else str(text)
    if len(text) <= limit:
        return repr(text)
    return f"{text[:limit]!r}... ({len(text)} characters)"


def one_line(text: str, limit: int = _LONGEST_ERROR) -> str:
    """Return a text as one line, cut to `limit` characters. Unprintable characters are escaped."""
    short = text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
    return short if short.isprintable() else "".join([c if c.isprintable() else repr(c)[1:-1] for c in short])


def error_text(error: BaseException, secrets: Iterable[str] = ()) -> str:
    """Return the type and message of an exception in one line, without the secrets."""
    try:
        message = str(error)
    except Exception:
        message = "(its message cannot be shown)"
    for secret in secrets:
        message = message.replace(secret, "***")
    name = one_line(type(error).__qualname__, _LONGEST_NAME)
    return f"{name}: {one_line(message)}" if message else name


def log_exception(logger: logging.Logger, level: int, message: str, error: BaseException) -> None:
    """Log a handler's exception with its traceback.

    The exception may repeat text from a received message. If its own text is long or has line breaks, the traceback is
    logged without it.
    """
    if not logger.isEnabledFor(level):
        return
    if all(_is_short_line(each) for each in _chain(error)):
        logger.log(level, "%s", message, exc_info=error)
        return
    frames = "".join(traceback.format_tb(error.__traceback__))
    logger.log(level, "%s\nTraceback (most recent call last):\n%s%s", message, frames, error_text(error))


def _chain(error: BaseException) -> list[BaseException]:
    """Return all exceptions that a traceback shows: the exception, its causes and contexts, and members of groups."""
    found: list[BaseException] = []
    pending = [error]
    while pending:
        each = pending.pop()
        if any(each is other for other in found):
            continue
        found.append(each)
        pending += [other for other in (each.__cause__, each.__context__) if other is not None]
        if isinstance(each, BaseExceptionGroup):
            pending += each.exceptions
    return found


def _is_short_line(error: BaseException) -> bool:
    """Return whether a traceback shows this exception, its notes and source text in short, printable lines."""
    try:
        texts = [str(error), *map(str, getattr(error, "__notes__", ()))]
        if isinstance(error, SyntaxError):
            texts += [str(error.filename), str(error.text or "").removesuffix("\n")]
    except Exception:
        return False
    return all(len(text) <= _LONGEST_ERROR and text.isprintable() for text in texts)
