"""Stands for the module `cython` where `_tables.py` runs uncompiled. Cython itself ignores this module."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")


class cython:
    """The names of `cython` that the source uses."""

    compiled = False
    if TYPE_CHECKING:
        address: Callable[[int], object]  # compiled only

    @staticmethod
    def cclass(cls: T) -> T:
        """Compiled: make an extension type. Uncompiled: do nothing."""
        return cls

    @staticmethod
    def critical_section(function: T) -> T:
        """Compiled: run the function in a critical section of its first argument. Uncompiled: do nothing."""
        return function

    @staticmethod
    def locals(**types: object) -> Callable[[T], T]:
        """Compiled: give parameters and variables C types. Uncompiled: do nothing."""
        return _unchanged

    @staticmethod
    def binding(is_bound: bool) -> Any:
        """Compiled: choose the type of the method object. Uncompiled: do nothing."""
        return _unchanged

    @staticmethod
    def trashcan(is_used: bool) -> Callable[[T], T]:
        """Compiled: free long chains of objects without recursion. Uncompiled: do nothing."""
        return _unchanged


def _unchanged(decorated: T) -> T:
    return decorated
