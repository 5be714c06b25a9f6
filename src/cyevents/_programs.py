"""Runs a program inside this process, as `python SCRIPT` or `python -m MODULE` does."""

from __future__ import annotations

import os
import runpy
import sys


def run(program: list[str], as_module: bool) -> None:
    """Run a script, or a module by its name, as `__main__`, with the arguments that follow it."""
    sys.argv = program
    if as_module:
        add_working_directory()
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
        return
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.abspath(program[0]))  # `python -m cyevents` has put another folder there
    runpy.run_path(program[0], run_name="__main__")


def add_working_directory() -> None:
    """Let imports search the working directory first, as `python -m` does."""
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def report(error: Exception) -> None:
    """Print an exception of the program as `python` does, without the frames of this package and `runpy`."""
    here = run.__code__.co_filename
    hidden = {here, os.path.join(os.path.dirname(here), "__main__.py"), runpy.run_path.__code__.co_filename}
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in hidden:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)
