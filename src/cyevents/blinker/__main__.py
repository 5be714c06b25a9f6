"""Runs a program with cyevents.blinker in place of blinker: `python -m cyevents.blinker SCRIPT [ARGS]`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .._programs import ProgramNotFound, find
from . import install

USAGE = """\
usage: python -m cyevents.blinker SCRIPT [ARGS ...]
       python -m cyevents.blinker -m MODULE [ARGS ...]

Run a script or a module, as python does, with cyevents.blinker in place of blinker."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 2 for wrong usage, else 0."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return 0
    as_module = given[:1] == ["-m"]
    program = given[as_module:]
    if not program or program[0].startswith("-"):
        print(USAGE, file=sys.stderr)
        return 2
    install()
    try:
        run = find(program, as_module)
    except ProgramNotFound as error:
        print(f"cyevents.blinker: {error}", file=sys.stderr)
        return 2
    run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
