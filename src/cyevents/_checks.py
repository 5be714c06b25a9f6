"""Checks of the arguments of events and connections, and the kinds of functions."""

from __future__ import annotations

import sys
from _thread import TIMEOUT_MAX

from ._core import BoundCore
from ._core._introspection import FunctionType, MethodType
from ._core._safe import exact_str, handler_name, safe_getattr, safe_isinstance, safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
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


def check_handler(handler: object) -> None:
    """Raise `TypeError` unless this is callable."""
    if not callable(handler):
        raise TypeError(f"a handler must be callable, not {safe_repr(handler)}")


def checked_name(name: object) -> str:
    """Return an event's name as an exact `str`; raise if it is not a name, or a pattern."""
    name = exact_str(name)
    if type(name) is not str or not name:
        raise TypeError(f"an event's name must be a non-empty str, not {safe_repr(name)}")
    if is_pattern(name):
        raise ValueError(f"{name!r} is a pattern, which belongs to a namespace: use namespace.event({name!r})")
    return name


def hint_for(source: object) -> str:
    """Return a hint for a `BoundEvent` that was given instead of an event; else the empty string."""
    return ": use its own methods, or its .event for all senders" if issubclass(type(source), BoundCore) else ""


def is_pattern(name: str) -> bool:
    """Return whether a name is a pattern: whether it has a `*` or `?` in it, or a leading `!`."""
    return "*" in name or "?" in name or name[:1] == "!"


def pattern_error(name: str) -> ValueError:
    """Return the error of emitting a pattern."""
    return ValueError(f"{name!r} is a pattern and cannot be emitted: emit an event by its own name")


def check_bool(name: str, value: Any, hint: str = "") -> None:
    """Raise `TypeError` unless the value of this argument is `True` or `False`."""
    if type(value) is not bool:
        raise TypeError(f"{name} must be True or False, not {safe_repr(value)}{hint}")


def checked_seconds(name: str, value: Any) -> float:
    """Return the value of this argument as a float; raise unless it is a positive number that clocks can take."""
    if type(value) is bool or not issubclass(type(value), (int, float)):
        raise TypeError(f"{name} must be a positive number of seconds, not {safe_repr(value)}")
    if not 0 < value <= TIMEOUT_MAX:
        limit = f", at most {TIMEOUT_MAX:.0f}" if value > 0 else ""
        raise ValueError(f"{name} must be a positive number of seconds{limit}, not {safe_repr(value)}")
    return float(value)


def check_sequential(value: Any, is_pattern: bool) -> None:
    """Raise `TypeError` unless this can be the `sequential` of an event, `ValueError` if it is set for a pattern."""
    if value is None:
        return
    if type(value) is not bool:
        raise TypeError(f"sequential must be True, False or None, not {safe_repr(value)}")
    if is_pattern:
        raise ValueError(
            "sequential cannot be set for a pattern, which is not emitted: set it for events, or for their namespace"
        )


def checked_policy(policy: Any) -> Any:
    """Return a policy for `on_error`; raise if it is not one."""
    policy = exact_str(policy)
    if type(policy) is str:
        if policy not in ("raise", "group"):
            raise ValueError(f'on_error must be None, "raise", "group" or a callable, not {policy!r}')
    elif policy is not None:
        if not callable(policy):
            raise TypeError(f'on_error must be None, "raise", "group" or a callable, not {safe_repr(policy)}')
        if kind_of(policy) in ("async", "async_generator"):
            raise TypeError(f"on_error {handler_name(policy)} is a coroutine function: it must act at once")
    return policy


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

    For a function of the sender's own class, that is intended.
    """
    code = function.__code__
    if not code.co_argcount or code.co_varnames[0] != "self":
        return False
    return all(cls.__dict__.get(function.__name__) is not function for cls in type(sender).__mro__)


def public_names(names: Iterable[str], *hidden: str) -> list[str]:
    """Return what `dir` lists of these names: those without an underscore, and the usual ones with two."""
    return [
        each for each in names if each not in hidden and (each[:1] != "_" or each[:2] == "__") and each[:6] != "__pyx_"
    ]


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
