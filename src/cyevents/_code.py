"""Names and source locations of handlers, conditions and error policies, for tools that show them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from inspect import unwrap
from types import MethodType
from typing import Any

from ._core._safe import handler_name, safe_getattr, safe_isinstance


@dataclass(frozen=True, slots=True)
class Code:
    """The name and the source location of a handler, a condition or an error policy.

    Attributes:
        name: its qualified name.
        module: the module that defines it, or `None` if unknown.
        file: the source file, or `None`, as for builtins.
        line: the number of its first line in the file, or `None`.
    """

    name: str
    module: str | None
    file: str | None
    line: int | None

    @property
    def place(self) -> str:
        """File and line as one text, empty if unknown. A file in the working directory is given relative to that."""
        if self.file is None:
            return ""
        try:
            near = os.path.relpath(self.file)
        except (OSError, ValueError):  # the working directory is gone, or on another drive
            near = os.pardir
        return f"{self.file if near.startswith(os.pardir) else near}:{self.line}"


def code_of(function: Any) -> Code:
    """Return the `Code` of a callable: a function, partial, method, callable object or wrapper by `functools.wraps`."""
    inner = function
    while safe_isinstance(inner, partial):
        inner = safe_getattr(inner, "func")
    if safe_isinstance(inner, MethodType):
        inner = safe_getattr(inner, "__func__")
    try:
        inner = unwrap(inner)
    except Exception:  # it wraps itself, or its attributes raise
        pass
    code = safe_getattr(inner, "__code__")
    if code is None and not safe_isinstance(inner, type):
        code = safe_getattr(safe_getattr(type(inner), "__call__"), "__code__")
    file, line = safe_getattr(code, "co_filename"), safe_getattr(code, "co_firstlineno")
    if type(file) is not str or type(line) is not int:
        file = line = None
    module = safe_getattr(inner, "__module__")
    name = handler_name(function) if safe_isinstance(function, partial) else safe_getattr(function, "__qualname__")
    if type(name) is not str:
        name = f"{type(function).__qualname__} object"
    return Code(name, module if type(module) is str else None, file, line)


def last_part(name: str) -> str:
    """Return a qualified name without the functions that enclose it."""
    return name.rpartition("<locals>.")[2]
