"""Inspect objects of the interpreter: bound methods of all types, and frames of callers, for warnings at their lines.

Each lookup creates a new method object, so a dispatcher must compare methods by object and function, and hold the
object. Python has several types of them: its own methods, `builtin_function_or_method` (`deque().append`,
`dict.fromkeys`), `method-wrapper` (`(5).__add__`), and those of compilers such as Nuitka.

A temporary handler, as in the statement `event.connect(lambda ...)`, dies at a known instruction: the one that discards
the result of the call, since `connect` returns the handler. A temporary sender dies at the call itself, where its
arguments are released. That is how the core distinguishes them from objects that die later, and warns.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from functools import partial
    from types import BuiltinMethodType as BuiltinMethodType
    from types import ClassMethodDescriptorType as ClassMethodDescriptorType
    from types import CodeType as CodeType
    from types import CoroutineType as CoroutineType
    from types import FrameType
    from types import FunctionType as FunctionType
    from types import MethodDescriptorType as MethodDescriptorType
    from types import MethodType as MethodType
    from types import MethodWrapperType as MethodWrapperType
    from types import ModuleType as ModuleType
    from types import WrapperDescriptorType as WrapperDescriptorType
    from typing import Any
else:
    from _functools import partial  # functools itself is slow to import


def may_be_method(cls: type) -> bool:
    """Return whether objects of a class may be bound methods: a quick test, which most classes fail."""
    try:
        return (
            cls is MethodType
            or cls is MethodWrapperType
            or issubclass(cls, BuiltinMethodType)
            or ("__func__" in cls.__dict__ and cls is not staticmethod and cls is not classmethod)
        )
    except Exception:  # its metaclass may do anything
        return False


def method_parts(handler: Any) -> tuple[Any, Any] | None:
    """Return the object and the function of a bound method; None for anything else.

    The function is the same object each time, so that both together identify the method.
    """
    cls = type(handler)
    if cls is MethodType:
        return handler.__self__, handler.__func__
    if not may_be_method(cls):
        return None
    try:
        owner = handler.__self__
        if cls is MethodWrapperType or issubclass(cls, BuiltinMethodType):
            function = _descriptor(handler, owner)
        else:
            function = handler.__func__
            bound = type(function).__get__(function, owner, type(owner))
            if type(bound) is not cls or bound.__func__ is not function or bound.__self__ is not owner:
                function = None  # it binds more than an object and a function
    except Exception:
        return None
    return None if function is None else (owner, function)


def _descriptor(method: Any, owner: Any) -> Any:
    """Return the descriptor in a class that makes this method of a C type; None for a function such as `print`."""
    if owner is None or issubclass(type(owner), ModuleType):
        return None
    classes = type(owner).__mro__
    if issubclass(type(owner), type):  # it may be a class method
        classes += owner.__mro__
    for cls in classes:
        function = cls.__dict__.get(method.__name__)
        # They are equal if they bind the same object to the same C function: a subclass may have another one.
        if type(function) in _DESCRIPTORS and bind(function, owner) == method:
            return function
    return None


def bind(function: Any, owner: Any) -> Any:
    """Return the bound method of an object's function."""
    cls = type(function)
    if cls is ClassMethodDescriptorType:
        return function.__get__(None, owner)
    if cls in _DESCRIPTORS:
        return function.__get__(owner, type(owner))
    return MethodType(function, owner)


if not TYPE_CHECKING:  # made from examples, since importing `types` takes a tenth of the time of `import cyevents`

    async def _coroutine_function() -> None:
        pass

    _coroutine = _coroutine_function()
    CoroutineType = type(_coroutine)
    _coroutine.close()
    FunctionType = type(bind)
    CodeType = type(bind.__code__)
    MethodType = type(bind.__get__(""))
    BuiltinMethodType = type("".join)
    MethodWrapperType = type("".__repr__)
    MethodDescriptorType = type(str.join)
    ClassMethodDescriptorType = type(dict.__dict__["fromkeys"])
    WrapperDescriptorType = type(str.__repr__)
    ModuleType = type(sys)

_DESCRIPTORS = (MethodDescriptorType, ClassMethodDescriptorType, WrapperDescriptorType)


def definition_of(handler: Any) -> CodeType | None:
    """Return the code of a plain function, or of what a partial calls if that is one; None for anything else."""
    while type(handler) is partial:
        handler = handler.func
    return handler.__code__ if type(handler) is FunctionType else None


def is_discarding_call_result(frame: FrameType, code: object, instruction: int) -> bool:
    """Return whether a frame is at the instruction that discards the result of the call at `instruction` of `code`.

    A statement `function(*args)` does not count: such code may call anything, and be back there with another call.
    """
    if frame.f_code is not code:
        return False
    from opcode import opmap

    instructions = frame.f_code.co_code
    after = _end_of(instructions, instruction)
    if instructions[instruction] == opmap.get("PRECALL"):  # it has made the call, and its CALL was left out
        after = _end_of(instructions, after)
    if frame.f_lasti != after:
        return False
    return _is_call(instructions, instruction) and instructions[after] == opmap["POP_TOP"]


def _end_of(instructions: bytes, instruction: int) -> int:
    """Return where the next instruction is, after the inline cache of this one."""
    after = instruction + 2
    while after < len(instructions) and instructions[after] == 0:
        after += 2
    return after


def is_at_call(frame: FrameType, code: object, instruction: int) -> bool:
    """Return whether a frame is at the call at `instruction` of `code`."""
    if frame.f_code is not code or frame.f_lasti != instruction:
        return False
    return _is_call(frame.f_code.co_code, instruction)


def _is_call(instructions: bytes, instruction: int) -> bool:
    from opcode import opmap

    while instructions[instruction] == 0:  # in Python 3.11 a frame is at the end of the call's inline cache
        instruction -= 2
    # Python 3.11 calls a method of a C type in PRECALL once it knows the type.
    return instructions[instruction] in (opmap["CALL"], opmap.get("CALL_KW"), opmap.get("PRECALL"))


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
        f"the sender that {name} is connected for was garbage-collected at once, because nothing else refers to it:"
        f" {name} will never be called. Keep a reference to the sender",
        frame,
    )
