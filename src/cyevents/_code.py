"""Where code is written: the name, file and line of a handler, a condition or an error policy, for who shows them."""

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
    """A handler, a condition or an error policy, by name, and where it is written.

    Attributes:
        name: its qualified name.
        module: the module that defines it, or `None` if it does not say.
        file: the source file, or `None`: builtins have none.
        line: the number of its first line there, or `None`.
    """

    name: str
    module: str | None
    file: str | None
    line: int | None

    @property
    def place(self) -> str:
        """File and line as one text, the file from the working directory on if it is under that; may be empty."""
        return "" if self.file is None else f"{_near(self.file)}:{self.line}"


def code_of(function: Any) -> Code:
    """Name and place of what is called: through partials, methods, callable objects and `functools.wraps`."""
    inner = function
    while safe_isinstance(inner, partial):
        inner = safe_getattr(inner, "func")
    if safe_isinstance(inner, MethodType):
        inner = safe_getattr(inner, "__func__")
    try:
        inner = unwrap(inner)
    except Exception:  # it wraps itself, or fails to say
        pass
    code = safe_getattr(inner, "__code__")
    if code is None and not safe_isinstance(inner, type):
        code = safe_getattr(safe_getattr(type(inner), "__call__"), "__code__")
    file, line = safe_getattr(code, "co_filename"), safe_getattr(code, "co_firstlineno")
    if type(file) is not str or type(line) is not int:
        file = line = None
    module = safe_getattr(inner, "__module__")
    return Code(_named(function), module if type(module) is str else None, file, line)


def _named(function: Any) -> str:
    """Its qualified name; an object that has none is called by its class."""
    name = handler_name(function) if safe_isinstance(function, partial) else safe_getattr(function, "__qualname__")
    return name if type(name) is str else f"{type(function).__qualname__} object"


def last_part(name: str) -> str:
    """A qualified name without the functions around it."""
    return name.rpartition("<locals>.")[2]


def _near(file: str) -> str:
    """A file's path from the working directory on, if it is under that."""
    try:
        near = os.path.relpath(file)
    except (OSError, ValueError):  # there is none, or it is on another drive
        return file
    return file if near.startswith(os.pardir) else near
