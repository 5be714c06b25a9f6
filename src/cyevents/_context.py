"""Context variables: the safe way to set them, and `origin`, which instruments and holds use."""

from __future__ import annotations

from contextvars import ContextVar, copy_context

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextvars import Token
    from typing import Any

_origin: ContextVar[origin | None] = ContextVar("cyevents_origin", default=None)
"""The origin of the next emission in this context. It is None again inside that emission."""


def set_in_context(variable: ContextVar[Any], value: Any) -> Token[Any]:
    """Set a context variable, for `reset_in_context`, safely against finalizers that use it in the middle of that.

    Up to CPython 3.11 the collector may run while the variable is set. A finalizer that sets it then frees the context
    data being read (https://github.com/python/cpython/issues/148891), so a copy keeps that alive here. A finalizer that
    reads a variable while that is being deleted leaves a stale value in its cache, so no variable is ever deleted: it
    is set to None before it is set for the first time.
    """
    kept = copy_context()
    if variable not in kept:
        variable.set(None)
    return variable.set(value)


def reset_in_context(variable: ContextVar[Any], token: Token[Any]) -> None:
    """Undo a `set_in_context`. Raises a `ValueError` in another context."""
    kept = copy_context()  # noqa: F841 - keeps the context data alive that is being read
    variable.reset(token)


class origin:
    """Context manager that gives the next observed emission in this context an origin, such as a message.

    Instruments get the value as `EmissionStart.origin`, so one that forwards emissions can recognise its own. Emissions
    nested in that emission have no origin. After the `with` block, nothing keeps the value alive, not even copies of
    the context. Use each object for one `with` statement.

    Args:
        value: the origin, any object.

    Example:
        >>> from cyevents import Namespace
        >>> from cyevents.instrument import Instrument, observe, origin
        >>> class Printer(Instrument):
        ...     def begin(self, start):
        ...         print(start.event.name, start.origin)
        >>> shop = Namespace()
        >>> with observe(Printer(), shop):
        ...     with origin("message 1"):
        ...         _ = shop.emit("order.placed")
        ...     _ = shop.emit("order.placed")
        order.placed message 1
        order.placed None
    """

    # The context variable holds this object rather than the value, so that copied contexts do not keep that alive.
    __slots__ = ("_token", "_value")

    def __init__(self, value: Any) -> None:
        self._value = value

    def __enter__(self) -> None:
        self._token = set_in_context(_origin, self)

    def __exit__(self, *exception: object) -> None:
        token = self._token
        self._value = None
        del self._token
        reset_in_context(_origin, token)


def next_origin() -> Any:
    """Return the origin of the next emission in this context, which keeps it."""
    source = _origin.get()
    return None if source is None else source._value


def take_origin() -> Any:
    """Return the origin of an emission that begins in this context, and remove it from the context."""
    source = _origin.get()
    if source is None:
        return None
    set_in_context(_origin, None)
    return source._value
