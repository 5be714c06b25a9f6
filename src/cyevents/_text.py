"""Short texts of values and errors for output: they never fail and never get long."""

from __future__ import annotations

from ._core._safe import int_text, is_long

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def plain_fields(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a dataclass's fields as a dict that `json` can write: very long ints as text. For `asdict`."""
    return {
        name: int_text(value) if type(value) is int and is_long(value) else value  # `json` needs `str`
        for name, value in fields
    }


def cut(text: str, limit: int) -> str:
    """Return a text, with its middle left out if it is longer than the limit."""
    if len(text) <= limit:
        return text
    kept = max(0, limit - 3)
    return f"{text[: kept // 2]}...{text[len(text) - (kept - kept // 2) :]}"


def short_repr(value: Any, limit: int) -> str:
    """Return the `repr` of a value, its parts cut to about a length; its class if its `repr` fails."""
    import reprlib

    if issubclass(type(value), bytes | bytearray):
        value = value[:limit]  # it may be a whole file
    shortener = reprlib.Repr()
    # It does not refer to the shortener: that would be a reference cycle.
    shortener.repr_int = lambda x, level: cut(int_text(x), limit)  # type: ignore[method-assign]
    shortener.maxstring = shortener.maxother = limit
    shortener.maxtuple = shortener.maxlist = shortener.maxdict = shortener.maxset = shortener.maxfrozenset = 12
    try:
        return shortener.repr(value)
    except Exception:  # such as a class that is named `list`, and is none
        return object.__repr__(value)


def error_line(error: BaseException) -> str:
    """Return an exception as one line; only its class if its `str` fails."""
    try:
        text = str(error)
    except Exception:
        text = ""
    first = text.strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def duration_text(seconds: float) -> str:
    """Return a duration in a readable unit: `"3.1 µs"`, `"420 ms"`, `"2.50 s"`."""
    for unit, size in (("µs", 1e-6), ("ms", 1e-3)):
        if seconds < size * 1000:
            return f"{seconds / size:.{1 if seconds / size < 100 else 0}f} {unit}"
    return f"{seconds:.2f} s"
