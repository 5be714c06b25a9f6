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
