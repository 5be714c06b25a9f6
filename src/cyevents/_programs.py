"""Finds and runs a user's program inside this process, given as a module, as `module:name` or as a path."""

from __future__ import annotations

import importlib
import importlib.util
import operator
import os
import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TextIO

from ._core._safe import safe_getattr


class ProgramNotFound(Exception):
    """There is no such program; the message says what to do."""


def load(target: str) -> tuple[Any, str]:
    """Import a program, and return its module and the name after the colon (`""` without one).

    Args:
        target: a module (`shop.orders`), a path (`shop/orders.py`, or a package's folder), or either with `:name`.

    Raises:
        ProgramNotFound: if there is none. Errors that the program raises propagate.
    """
    path, name = _split(target)
    if _is_path(path):
        return _import_path(path), name
    _check_module(path)
    return importlib.import_module(path), name


def _check_module(name: str) -> None:
    """Raise `ProgramNotFound` if there is no such module. This imports the packages that it is in."""
    add_working_directory()
    try:
        if importlib.util.find_spec(name) is not None:
            return
    except (ModuleNotFoundError, ValueError) as error:
        missing = getattr(error, "name", None) or name
        if not f"{name}.".startswith(f"{missing}."):
            raise  # by an import in the program
    raise ProgramNotFound(f"there is no module {name!r}{_suggestion(name)}") from None


def get_attribute(target: str) -> Any:
    """Return the object that `module:name` or `path:name` refers to."""
    module, name = load(target)
    try:
        return operator.attrgetter(name)(module)
    except AttributeError as error:
        from difflib import get_close_matches

        own = [key for key, value in vars(module).items() if safe_getattr(value, "__module__") == module.__name__]
        close = get_close_matches(name, own, 5, 0.0)  # the most similar first
        raise ProgramNotFound(f"{target}: {error}" + (f": choose from {', '.join(close)}" if close else "")) from None


def _split(target: str) -> tuple[str, str]:
    """Return the two parts of `module:name`. The colon of a Windows drive is part of the path."""
    path, colon, name = target.rpartition(":")
    if colon and path and all(part.isidentifier() for part in name.split(".")) and not os.path.exists(target):
        return path, name
    return target, ""


def _is_path(text: str) -> bool:
    return text.endswith(".py") or os.sep in text or os.path.isfile(text)


def _import_path(path: str) -> Any:
    """Import a file or a package's folder, from the folder around its outermost package."""
    whole = os.path.abspath(path)
    if not os.path.exists(whole):
        raise ProgramNotFound(f"there is no file {path!r}")
    folder, name = os.path.split(whole.removesuffix(".py"))
    if name == "__init__":
        folder, name = os.path.split(folder)
    while os.path.exists(os.path.join(folder, "__init__.py")):
        folder, part = os.path.split(folder)
        name = f"{part}.{name}"
    sys.path.insert(0, folder)
    module = importlib.import_module(name)
    found = module.__file__ or ""
    if os.path.realpath(found) not in (os.path.realpath(whole), os.path.realpath(os.path.join(whole, "__init__.py"))):
        raise ProgramNotFound(f"{path!r} cannot be imported, because {found!r} has the same module name: rename one")
    return module


def _suggestion(name: str) -> str:
    from difflib import get_close_matches

    here = [entry.removesuffix(".py") for entry in os.listdir() if entry.endswith(".py") or os.path.isdir(entry)]
    close = get_close_matches(name, here, 1, 0.7)
    return f": did you mean {close[0]!r}?" if close else ": give an installed module, one in this folder, or a path"


def find(program: list[str], as_module: bool) -> Callable[[], object]:
    """Return a function that runs a program as `__main__`, or calls the function of `module:name`.

    Args:
        program: a path, a module or either with `:name`, and its arguments.
        as_module: it is the name of a module, even if there is such a file.

    Raises:
        ProgramNotFound: if there is none. Errors that the program raises propagate.
    """
    target = program[0]
    sys.argv = program
    if not as_module and os.path.exists(target):
        if not sys.flags.safe_path:
            sys.path[0] = os.path.dirname(os.path.abspath(target))  # `python -m cyevents` has put another folder there
        return partial(runpy.run_path, target, run_name="__main__")
    path, name = _split(target)
    if not _is_path(path):
        _check_module(path)
    elif not os.path.exists(path):
        raise ProgramNotFound(f"there is no file {path!r}")
    if name:
        return lambda: get_attribute(target)()
    return partial(runpy.run_module, target, run_name="__main__", alter_sys=True)


def add_working_directory() -> None:
    """Let imports search the working directory first, as `python -m` does."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


@contextmanager
def redirect_output() -> Iterator[TextIO]:
    """Send what the program prints to standard error, and give the command a stream to standard output.

    This holds until the process ends, and for child processes and functions that run at exit too. So nothing mixes
    with JSON.
    """
    own, copy = sys.stdout, None
    try:
        descriptor = own.fileno()
        own.flush()
        copy = open(os.dup(descriptor), "w", encoding=own.encoding, errors=own.errors)  # noqa: SIM115
        os.dup2(sys.stderr.fileno(), descriptor)
    except (AttributeError, OSError, ValueError):  # closed, or replaced by an object that is no file
        pass
    sys.stdout = sys.stderr
    try:
        yield copy or own
    finally:
        if copy is not None:
            copy.close()


def report(error: BaseException) -> None:
    """Print an exception of the program as `python` does, without the frames that started the program."""
    here = report.__code__.co_filename
    hidden = {here, os.path.join(os.path.dirname(here), "__main__.py"), "<frozen importlib._bootstrap>"}
    hidden |= {"<frozen importlib._bootstrap_external>", importlib.import_module.__code__.co_filename}
    hidden.add(runpy.run_path.__code__.co_filename)
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in hidden:
        trace = trace.tb_next
    if trace is None:  # the context would show how runpy searches for a `__main__`
        error.__cause__ = None
    sys.excepthook(type(error), error.with_traceback(trace), trace)
