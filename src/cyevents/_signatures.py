"""Checks at `connect` whether a handler fits the signature of an event, for events with `check=True`.

The event's signature allows calls: with arguments by position and by name, with and without those that have defaults.
Each kind of call is tried on the handler's own signature by `inspect.Signature.bind`; nothing is called. Annotations
are for type checkers and do not matter here.
"""

from __future__ import annotations

import functools
import inspect
import sys
from inspect import Parameter, Signature
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from ._core._safe import handler_name, safe_getattr, safe_isinstance, safe_repr

if TYPE_CHECKING:
    from collections.abc import Iterator

_MANY = 100  # positional arguments to try where a signature allows any number
_ANOTHER = "any_other_keyword"  # to try where it allows any keyword
_OPTIONS: dict[str, Any] = {}  # for `inspect.signature`
if sys.version_info >= (3, 14):
    from annotationlib import Format

    _OPTIONS["annotation_format"] = Format.FORWARDREF  # annotations may name what only type checkers know

# A method made by `functools.singledispatchmethod` is an object of a class of its own from Python 3.14 on, and before
# that a function whose code is a constant of this one.
_DISPATCHED: Any = getattr(functools, "_singledispatchmethod_get", None)
_DISPATCHING = [
    constant
    for constant in functools.singledispatchmethod.__get__.__code__.co_consts
    if safe_isinstance(constant, CodeType)
]


class _Call(NamedTuple):
    """A kind of call that a signature allows: the arguments by position, the sender first, and by name."""

    by_position: tuple[str, ...]
    by_name: tuple[str, ...]

    def __str__(self) -> str:
        given = [*self.by_position[: 1 + len(set(self.by_position[1:]))], *(f"{name}=..." for name in self.by_name)]
        return f"({', '.join(given)})"


class Declared:
    """The declared signature of an event."""

    __slots__ = ("_calls", "_signature", "event_name")

    def __init__(self, event_name: str, function: Any) -> None:
        self.event_name = event_name
        try:
            self._signature = _signature_of(function)
        except ValueError as error:
            raise TypeError(f"signature {safe_repr(function)} cannot be read: {error}") from None
        self._calls = list(dict.fromkeys(_calls(self._signature)))

    def check(self, handler: Any, condition: Any, with_event: bool) -> None:
        """Raise unless a handler, and its condition, can take every call."""
        event = ("event",) if with_event else ()
        self._try("handler", handler, [_Call(call.by_position, call.by_name + event) for call in self._calls])
        if condition is not None:  # which gets the sender and the keywords
            self._try("condition", condition, [_Call(call.by_position[:1], call.by_name) for call in self._calls])

    def _try(self, what: str, function: Any, calls: list[_Call]) -> None:
        try:
            takes = _signature_of(function)
        except Exception:  # it has none, as some builtins
            return
        for call in calls:
            try:
                takes.bind(*call.by_position, **dict.fromkeys(call.by_name))
            except TypeError as error:
                raise TypeError(
                    f"{what} {handler_name(function)}{_text(takes)} cannot take {call}, as event {self.event_name!r}"
                    f" may be emitted, whose signature is {_text(self._signature)}: {error}"
                ) from None


def _signature_of(function: Any) -> Signature:
    """Return a function's signature, without annotations."""
    signature = inspect.signature(_bound(function), **_OPTIONS)
    parameters = [it.replace(annotation=Parameter.empty) for it in signature.parameters.values()]
    return Signature(parameters)


def _bound(function: Any) -> Any:
    """Return what a method made by `functools.singledispatchmethod` calls by default; anything else as it is.

    `inspect` follows the method's `__wrapped__`, which is not bound to an object, and would count `self`.
    """
    if type(function) is functools.partial:
        inner = _bound(function.func)
        return function if inner is function.func else functools.partial(inner, *function.args, **function.keywords)
    if _DISPATCHED is not None:
        if type(function) is not _DISPATCHED:
            return function
        names = {"obj": safe_getattr(function, "_obj"), "cls": safe_getattr(function, "_cls")}
    else:
        if type(function) is not FunctionType or function.__code__ not in _DISPATCHING:
            return function
        names = {
            name: cell.cell_contents
            for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        }
    wrapped = safe_getattr(function, "__wrapped__")
    bind = safe_getattr(type(wrapped), "__get__")
    return function if bind is None else bind(wrapped, names.get("obj"), names.get("cls"))


def _text(signature: Signature) -> str:
    """Return a signature as Python code."""
    try:
        return str(signature)
    except Exception:  # the `repr` of a default fails
        return "(...)"


def _calls(signature: Signature) -> Iterator[_Call]:
    """Yield the kinds of calls that a signature allows."""
    parameters = list(signature.parameters.values())
    kinds = [it.kind for it in parameters]
    if not parameters or kinds[0] in (Parameter.KEYWORD_ONLY, Parameter.VAR_KEYWORD):
        raise TypeError(f"signature {_text(signature)} takes no sender: a handler is called with the sender first")
    sender = "sender" if kinds[0] is Parameter.VAR_POSITIONAL else parameters.pop(0).name
    for given in (parameters, [it for it in parameters if it.default is Parameter.empty]):
        positionals = [it for it in given if it.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)]
        names = [it.name for it in given if it.kind is Parameter.KEYWORD_ONLY]
        if Parameter.VAR_KEYWORD in kinds and given is parameters:
            names.append(_ANOTHER)
        fewest = sum(it.kind is Parameter.POSITIONAL_ONLY for it in positionals)
        for number in range(len(positionals), fewest - 1, -1):
            by_position = [it.name for it in positionals[:number]]
            by_name = [it.name for it in positionals[number:]]
            yield _Call((sender, *by_position), (*by_name, *names))
        if Parameter.VAR_POSITIONAL in kinds and given is parameters:
            yield _Call((sender, *(it.name for it in positionals), *["..."] * _MANY), tuple(names))
