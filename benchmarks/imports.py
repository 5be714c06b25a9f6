"""Cold import: time and modules of each library, each time in a new interpreter."""

import json
import random
import subprocess
import sys

from .timing import Race

FORBIDDEN = ("asyncio", "inspect", "typing", "logging")
PROGRAM = """
import sys
from time import perf_counter_ns as clock
before = set(sys.modules)
start = clock()
import {module}
taken = clock() - start
new = sorted(set(sys.modules) - before)
sys.stdout.write(__import__("json").dumps([taken, new]))
"""


def once(module, pure=False):
    """Nanoseconds, and the modules that came with it."""
    import os

    environment = {**os.environ, "CYEVENTS_PURE_PYTHON": "1" if pure else ""}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return json.loads(done.stdout)


def measure(modules, rounds):
    """Race imports by name of contestant; and the modules of each."""
    result = Race()
    brought = {}
    names = list(modules)
    order = random.Random(0)
    for lap in range(-1, rounds):
        order.shuffle(names)
        for name in names:
            taken, brought[name] = once(modules[name], name == "cyevents (pure)")
            if lap >= 0:  # the first fills the caches, and writes bytecode
                result.record(name, lap, taken)
    return result, brought


def forbidden(modules):
    """Those among modules that an import of cyevents must not bring."""
    return [name for name in modules if name in FORBIDDEN]
