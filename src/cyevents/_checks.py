"""Checks of the arguments with which events are made and handlers are connected."""

from __future__ import annotations

from ._core._safe import exact_str, handler_name, safe_repr
from ._core._values import ANY
from ._handlers import kind_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def check_handler(handler: object) -> None:
    """Raise `TypeError` unless this is callable."""
    if not callable(handler):
        raise TypeError(f"a handler must be callable, not {safe_repr(handler)}")


def checked_name(name: object) -> str:
    """Return the name of an event as an exact `str`; raise if it is none, or a pattern."""
    name = exact_str(name)
    if type(name) is not str or not name:
        raise TypeError(f"an event's name must be a non-empty str, not {safe_repr(name)}")
    if is_pattern(name):
        raise ValueError(f"{name!r} is a pattern, which belongs to a namespace: use namespace.event({name!r})")
    return name


def is_pattern(name: str) -> bool:
    """Return whether a name is a pattern: whether it has a `*` or `?` in it, or a leading `!`."""
    return "*" in name or "?" in name or name[:1] == "!"


def pattern_error(name: str) -> ValueError:
    """Return the error of emitting a pattern."""
    return ValueError(f"{name!r} is a pattern and cannot be emitted: emit an event by its own name")


def checked_options(priority: Any, condition: Any) -> int:
    """Check priority and condition of a handler; return the priority as an exact `int`."""
    if not issubclass(type(priority), int):
        raise TypeError(f"priority must be an int, not {safe_repr(priority)}")
    if condition is not None:
        if not callable(condition):
            raise TypeError(f"condition must be callable or None, not {safe_repr(condition)}")
        if kind_of(condition) in ("async", "async_generator"):
            raise TypeError(
                f"condition {handler_name(condition)} is a coroutine function: a condition must answer at once"
            )
    return int.__index__(priority)


def check_flags(sender: Any, weak: Any, once: Any, with_event: Any, thread: Any) -> None:
    """Raise `TypeError` unless all flags are `True` or `False`."""
    hint = ""
    if type(weak) is not bool and sender is not ANY:  # both were probably given by position
        hint = ": the arguments are (receiver, sender, weak, priority, condition),"
        hint += f" and {safe_repr(sender)} is taken for the sender"
    check_bool("weak", weak, hint)
    check_bool("once", once)
    check_bool("with_event", with_event)
    check_bool("thread", thread)


def check_bool(name: str, value: Any, hint: str = "") -> None:
    """Raise `TypeError` unless the value of this argument is `True` or `False`."""
    if type(value) is not bool:
        raise TypeError(f"{name} must be True or False, not {safe_repr(value)}{hint}")


def checked_policy(policy: Any) -> Any:
    """Return a policy for `on_error`; raise if it is none."""
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
