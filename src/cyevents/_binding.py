"""Notes on a `TypeError` of a call whose arguments did not fit. Imported when a call raises a `TypeError`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ._code import code_of
from ._core import consume
from ._core._safe import handler_name, safe_getattr

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable

_CONSUME = getattr(consume, "__code__", None)  # its frame, which only the pure core has: a generator has failed


def is_binding_error(error: TypeError) -> bool:
    """Return whether a call failed before any code of the handler ran: all frames are of this package."""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        module = frame.f_globals.get("__name__")
        if type(module) is not str or module.partition(".")[0] != __package__ or frame.f_code is _CONSUME:
            return False
        trace = trace.tb_next
    return True


def add_call_note(error: TypeError, called: str, count: int, names: Iterable[str]) -> None:
    """Add a note on how a handler or condition was called, unless an inner emission has added one.

    `count` is the number of positional arguments after the sender, `names` are the keywords.
    """
    given = ["sender"]
    if count > 0:
        given.append(f"{count} positional{'s' * (count != 1)}")
    given += [f"{name}=..." for name in names]
    notes = safe_getattr(error, "__notes__")
    if type(notes) is list and any(type(note) is _CallNote for note in notes):
        return
    try:
        BaseException.add_note(error, _CallNote(f"{called} was called with ({', '.join(given)})"))
    except Exception:  # its class uses `__notes__` for something else
        pass


class _CallNote(str):
    """The text of a note. Its type distinguishes such notes from others."""

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)


def handler_text(handler: Any) -> str:
    """Return a handler's name, with file and line if they are known."""
    place = code_of(handler).place
    return f"{handler_name(handler)} ({place})" if place else handler_name(handler)


def unwrapped(handler: Any) -> Any:
    """Return the handler itself if this is what an emission calls instead of it."""
    if type(handler) is partial and safe_getattr(handler.func, "calls_observed_handler") is True:
        handler = handler.args[1]
    return handler.handler if safe_getattr(type(handler), "calls_handler") is True else handler


def failing(error: TypeError, handler: Any) -> Coroutine[Any, Any, Any]:
    """Return a coroutine that raises the error, and has the name that the handler's coroutine would have."""
    coroutine = _raise(error.with_traceback(None))
    named: Any = coroutine
    name = handler_name(handler)
    named.__qualname__, named.__name__ = name, name.rpartition(".")[2]
    return coroutine


async def _raise(error: TypeError) -> None:
    try:
        raise error
    finally:
        del error  # its traceback refers to this frame: a reference cycle
