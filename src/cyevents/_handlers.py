"""What kind of function a handler is, as far as its code tells."""

from __future__ import annotations

import sys

from ._core._methods import FunctionType, MethodType
from ._core._safe import safe_getattr, safe_isinstance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from functools import partial
    from typing import Any, Literal, TypeVar

    FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
    Kind = Literal["sync", "async", "generator", "async_generator"]
else:
    from _functools import partial  # functools itself is slow to import

_CO_GENERATOR = 0x20
_CO_COROUTINE = 0x80
_CO_ITERABLE_COROUTINE = 0x100
_CO_ASYNC_GENERATOR = 0x200


def kind_of(handler: Any) -> Kind:
    """Return the kind of a handler by its code, looking through partials, methods and callable objects.

    An emission goes by what the call returned instead. This is for introspection, and for checks before a call.
    """
    while safe_isinstance(handler, partial):
        handler = safe_getattr(handler, "func")
    if safe_isinstance(handler, MethodType):
        handler = safe_getattr(handler, "__func__")
    code = safe_getattr(handler, "__code__")
    if code is None and not safe_isinstance(handler, type):
        handler = safe_getattr(type(handler), "__call__")
        code = safe_getattr(handler, "__code__")
    flags = 0 if code is None else safe_getattr(code, "co_flags")
    if type(flags) is not int:  # of a mock, which has every attribute
        return "sync"
    if flags & (_CO_COROUTINE | _CO_ITERABLE_COROUTINE) or _is_marked(handler):
        return "async"
    if flags & _CO_ASYNC_GENERATOR:
        return "async_generator"
    return "generator" if flags & _CO_GENERATOR else "sync"


def _is_marked(handler: Any) -> bool:
    """Return whether `inspect.markcoroutinefunction` has marked it."""
    names = safe_getattr(handler, "__dict__")
    return type(names) is dict and "_is_coroutine_marker" in names


def takes_sender_as_self(function: FunctionType, sender: Any) -> bool:
    """Return whether a plain function would get the sender as `self`, as if it was decorated in a class body.

    That is no mistake if it is a function of the sender's own class.
    """
    code = function.__code__
    if not code.co_argcount or code.co_varnames[0] != "self":
        return False
    return all(cls.__dict__.get(function.__name__) is not function for cls in type(sender).__mro__)


def coroutine_function(function: FunctionT) -> FunctionT:
    """Mark a plain function that returns a coroutine, so that `inspect.iscoroutinefunction` is true for it.

    A plain function can check its arguments at the call. The mark is the flag of `async def` functions. In CPython it
    changes nothing that runs, since an instruction of the bytecode makes the coroutine; elsewhere it might.
    """
    if sys.implementation.name != "cpython":
        return function
    plain_function: Any = function
    code = plain_function.__code__
    code = code.replace(co_flags=code.co_flags | _CO_COROUTINE)
    # A new function: assigning this code to `__code__` gives a DeprecationWarning from Python 3.13 on.
    made: Any = FunctionType(code, plain_function.__globals__, code.co_name, plain_function.__defaults__)
    made.__kwdefaults__ = plain_function.__kwdefaults__
    made.__annotations__ = plain_function.__annotations__
    return made  # type: ignore[no-any-return]
