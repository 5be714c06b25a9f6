"""What a handler is, as far as its looks tell: its kind, and whether it would ever be called rightly."""

from __future__ import annotations

from types import FunctionType, MethodType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from functools import partial
    from typing import Any, Literal

    Kind = Literal["sync", "async", "generator", "async_generator"]
else:
    from _functools import partial  # functools itself is slow to import

_CO_GENERATOR = 0x20
_CO_COROUTINE = 0x80
_CO_ITERABLE_COROUTINE = 0x100
_CO_ASYNC_GENERATOR = 0x200


def kind_of(handler: Any) -> Kind:
    """Tell by a handler's code what kind it is, looking through partials, methods and callable objects.

    At an emission what counts is what the call returned: this is for introspection, and for what must be known before.
    """
    while isinstance(handler, partial):
        handler = handler.func
    if isinstance(handler, MethodType):
        handler = handler.__func__
    code = getattr(handler, "__code__", None)
    if code is None and not isinstance(handler, type):
        handler = getattr(type(handler), "__call__", None)  # noqa: B004
        code = getattr(handler, "__code__", None)
    flags = getattr(code, "co_flags", 0)
    if not isinstance(flags, int):  # of something that has every attribute one asks it for
        return "sync"
    if flags & (_CO_COROUTINE | _CO_ITERABLE_COROUTINE) or _is_marked(handler):
        return "async"
    if flags & _CO_ASYNC_GENERATOR:
        return "async_generator"
    return "generator" if flags & _CO_GENERATOR else "sync"


def _is_marked(handler: Any) -> bool:
    """Whether `inspect.markcoroutinefunction` was here."""
    names = getattr(handler, "__dict__", None)
    return isinstance(names, dict) and "_is_coroutine_marker" in names


def is_unbound_method(handler: Any) -> bool:
    """Whether a handler is a plain function with a first parameter `self`, which nobody will ever pass."""
    if type(handler) is not FunctionType:
        return False
    code = handler.__code__
    return code.co_argcount > 0 and code.co_varnames[0] == "self"
