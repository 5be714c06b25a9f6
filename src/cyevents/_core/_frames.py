"""Frames of the caller: which instruction they are at, and warnings at their line.

A temporary handler, as in the statement `event.connect(lambda ...)`, dies at a known instruction: the one that discards
the result of the call, since `connect` returns the handler. A temporary sender dies at the call itself, since its
arguments are released there. That is how the core tells them from objects that die later, and warns.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any


def is_discarding_call_result(frame: FrameType, code: object, instruction: int) -> bool:
    """Return whether a frame is at the instruction that discards the result of the call at `instruction` of `code`.

    A statement `function(*args)` does not count: such code may call anything, and be back there with another call.
    """
    if frame.f_code is not code:
        return False
    instructions = frame.f_code.co_code
    after = instruction + 2
    while after < len(instructions) and instructions[after] == 0:  # the call's inline cache
        after += 2
    if frame.f_lasti != after:
        return False
    from opcode import opmap

    return _is_call(instructions, instruction) and instructions[after] == opmap["POP_TOP"]


def is_at_call(frame: FrameType, code: object, instruction: int) -> bool:
    """Return whether a frame is at the call at `instruction` of `code`."""
    if frame.f_code is not code or frame.f_lasti != instruction:
        return False
    return _is_call(frame.f_code.co_code, instruction)


def _is_call(instructions: bytes, instruction: int) -> bool:
    from opcode import opmap

    while instructions[instruction] == 0:  # in Python 3.11 a frame is at the end of the call's inline cache
        instruction -= 2
    return instructions[instruction] in (opmap["CALL"], opmap.get("CALL_KW"))


def is_returning(frame: FrameType) -> bool:
    """Return whether a frame is at the instruction that returns from its function, where its variables are released."""
    from opcode import opmap

    return frame.f_code.co_code[frame.f_lasti] in (opmap["RETURN_VALUE"], opmap.get("RETURN_CONST"))


def warn(message: str, frame: FrameType | None) -> None:
    """Give a RuntimeWarning at a frame's line."""
    if frame is None:  # in a thread that C code has started
        import warnings

        warnings.warn(message, RuntimeWarning, stacklevel=2)
    else:
        warn_at(message, frame.f_code.co_filename, frame.f_lineno, frame.f_globals)


def warn_at(message: str, file: str, line: int, module_globals: dict[str, Any]) -> None:
    """Give a RuntimeWarning at a line of a module."""
    import warnings

    warnings.warn_explicit(
        message,
        RuntimeWarning,
        file,
        line,
        module=module_globals.get("__name__", "<unknown>"),
        registry=module_globals.setdefault("__warningregistry__", {}),
        source=None,
    )


def warn_vanished_sender(name: str, frame: FrameType) -> None:
    """Warn that the sender that this handler is connected for has died in the statement that connected it."""
    warn(
        f"the sender that {name} is connected for has died on the spot, since nothing else holds it: {name} will never"
        " be called. Keep a reference to the sender",
        frame,
    )
