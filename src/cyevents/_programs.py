"""Running a program within a command of ours, as `python SCRIPT` or `python -m MODULE` would."""

from __future__ import annotations

import os
import runpy
import sys


def run(program: list[str], as_module: bool) -> None:
    """Run a script, or a module by its name, as `__main__`, with its arguments behind it."""
    sys.argv = program
    if as_module:
        if "" not in sys.path and os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())  # as python -m does
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
        return
    if not sys.flags.safe_path:
        sys.path[0] = os.path.dirname(os.path.abspath(program[0]))  # for -m it was the current directory
    runpy.run_path(program[0], run_name="__main__")


def report(error: Exception) -> None:
    """Print what a program has raised as `python` does, from the program's own code on."""
    ours = {run.__code__.co_filename, os.path.join(os.path.dirname(run.__code__.co_filename), "__main__.py")}
    ours.add(runpy.run_path.__code__.co_filename)
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename in ours:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)
