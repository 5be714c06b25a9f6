"""Functions that do not fail: for objects whose own `__repr__` or `__getattr__` may raise, and logging at any time."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal


def safe_getattr(value: Any, name: str) -> Any:
    """`getattr` that returns None if the attribute is missing or raises."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def safe_isinstance(value: object, cls: type) -> bool:
    """`isinstance` that returns False if the object's own `__class__` raises."""
    try:
        return isinstance(value, cls)
    except Exception:
        return False


def exact_str(value: Any) -> Any:
    """Return an instance of a subclass of `str` as a `str` with the same text; anything else as it is."""
    return str.__str__(value) if issubclass(type(value), str) else value


def safe_repr(value: object) -> str:
    """`repr` that returns the `repr` of `object` if the value's own fails."""
    if type(value) is int:
        return int_text(value)
    try:
        return str.__str__(repr(value))
    except Exception:
        return object.__repr__(value)


def typed_repr(value: object) -> str:
    """Return the `repr` of a value; for a proxy that imitates another object, also name the proxy's own type."""
    cls = safe_getattr(value, "__class__")
    if cls is None or cls is type(value):
        return safe_repr(value)
    return f"{object.__repr__(value)}, a proxy of {safe_repr(value)},"


def source_text(source: Any) -> str:
    """Return an event or a namespace as a `repr` names it: `'order.paid' in 'shop'`, `namespace 'shop'`."""
    is_namespace = isinstance(source, dict)
    if is_namespace:
        return "a namespace" if source.name is None else f"namespace {source.name!r}"
    namespace = source.namespace
    return repr(source.name) + ("" if namespace is None or namespace.name is None else f" in {namespace.name!r}")


def handler_name(handler: object) -> str:
    """Return the name of a handler for messages: its qualified name, or its `repr` if it has none."""
    name = exact_str(safe_getattr(handler, "__qualname__"))
    if type(name) is str:
        return name
    name = exact_str(safe_getattr(safe_getattr(handler, "func"), "__qualname__"))
    return f"partial of {name}" if type(name) is str else safe_repr(handler)


def is_long(number: int) -> bool:
    """Return whether an int has more than about 154 digits. `str` of an int may refuse more than 640."""
    return number.bit_length() > 512


def int_text(number: int) -> str:
    """Return an int as text; a very long one as its sign and the nearest power of ten."""
    if not is_long(number):
        return str(number)
    exponent = ((number.bit_length() * 2 - 1) * 30103 + 100000) // 200000  # rounded; the logarithm of 2 is 0.30103
    return f"about {'-' * (number < 0)}10**{exponent}"


def not_an_event(found: object, name: str, kind: str = "Event") -> TypeError:
    """Return the error of a method called on an object of another type, worded as CPython words it for C methods."""
    return TypeError(f"descriptor {name!r} for {kind!r} objects doesn't apply to a {type(found).__name__!r} object")


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
