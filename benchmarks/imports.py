"""Races of imports: time and imported modules of each library, each time in a new interpreter."""

import json
import os
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


def import_once(module, pure=False):
    """Return the nanoseconds of one import, and the names of the modules that it imported."""
    environment = {**os.environ, "CYEVENTS_PURE_PYTHON": "1" if pure else ""}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(module=module)], capture_output=True, text=True, env=environment
    )
    if done.returncode:
        raise ImportError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout)


def measure(modules, rounds):
    """Race the imports of modules by contestant.

    Returns the `Race`, the modules that each imports, and why some cannot be imported by themselves.
    """
    result = Race()
    imported = {}
    failed = {}
    names = list(modules)
    order = random.Random(0)
    for lap in range(-1, rounds):
        order.shuffle(names)
        for name in names:
            if name in failed:
                continue
            try:
                taken, imported[name] = import_once(modules[name], name == "cyevents (pure)")
            except ImportError as error:
                failed[name] = str(error)
                continue
            if lap >= 0:  # the first round fills caches and writes bytecode
                result.record(name, lap, taken)
    return result, imported, failed


def forbidden(modules):
    """Return the modules that `import cyevents` must not import."""
    return [name for name in modules if name in FORBIDDEN]
