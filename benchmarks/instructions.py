"""The gate that noise cannot move: instructions per emission under callgrind, against the figures that are kept."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cyevents

from .workloads import ALL

KEPT = Path(__file__).with_name("instructions.json")
LIMIT = 0.03
FREE = {"traced_before_10": "plain_10"}  # those that must cost what others do,
ROUNDING = 0.002  # but for what the interpreter does a little otherwise from run to run
FEW, MANY = 1000, 3000  # emissions: what else the process does is the same for both, and is taken out


def key():
    """Which figures are comparable: those of the same build of Python."""
    implementation, version = platform.python_implementation(), platform.python_version()
    return f"{implementation} {version}, {platform.python_compiler()}, {platform.machine()}"


def count(name, number):
    """The instructions of a process that runs a workload."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + os.devnull]
    # Without site, which would import what happens to be installed. With -E, PYTHONHASHSEED would be ignored.
    program = [
        sys.executable,
        "-S",
        "-s",
        "-c",
        PROGRAM,
        str(FOLDER),
        str(Path(__file__).parent),
        name,
        str(number),
    ]
    done = subprocess.run(
        command + program,
        env={"PATH": os.environ.get("PATH", ""), "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"},
        cwd="/",
        capture_output=True,
        text=True,
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return int(found[1])


FOLDER = Path(cyevents.__file__).parent.parent
PROGRAM = """
import sys
_, folder, here, name, number = sys.argv
sys.path[:0] = [folder, here]
sys.dont_write_bytecode = True
import gc
from workloads import ALL
import cyevents
assert cyevents.backend == "cython", cyevents.backend
gc.disable()
ALL[name](int(number))
"""


def measure():
    """Instructions per emission of each workload."""
    jobs = [(name, number) for name in ALL for number in (FEW, MANY)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # they are counted, not timed: they may share the machine
        counts = dict(zip(jobs, pool.map(lambda job: count(*job), jobs), strict=True))
    return {name: round((counts[name, MANY] - counts[name, FEW]) / (MANY - FEW), 1) for name in ALL}


def main(renew=False):
    """Count, compare and say so; return the exit code."""
    if shutil.which("valgrind") is None:
        print("SKIPPED: instruction counts: there is no valgrind here")
        return 0
    if cyevents.backend != "cython":
        print(f"SKIPPED: instruction counts: {cyevents._core.reason}")
        return 0
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    if key() not in kept and not renew:
        print(f"SKIPPED: instruction counts: none are kept for {key()}: python -m benchmarks instructions --renew")
        return 0
    found = measure()
    before = kept.get(key(), {})
    worse = better = False
    print(f"instructions per emission, {key()}")
    for name, number in found.items():
        change = number / before[name] - 1 if name in before else None
        word = "new" if change is None else f"{change:+.1%}"
        if change is not None and change > LIMIT:
            worse, word = True, word + "  TOO MANY"
        elif change is not None and change < -LIMIT:
            better, word = True, word + "  fewer"
        print(f"  {name:<16} {number:>10,.1f}  {word}")
    for name, other in FREE.items():
        if found[name] > found[other] * (1 + ROUNDING):
            worse = True
            print(f"  {name} costs {found[name] - found[other]:+,.1f} over {other}: what is off must be free")
    if renew:
        kept[key()] = found
        KEPT.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"kept in {KEPT.name}")
        return 0
    if worse:
        print(f"More than {LIMIT:.0%} over the figures kept. If it must be: python -m benchmarks instructions --renew")
    elif better:
        print("Renew the figures, so that the gain is kept: python -m benchmarks instructions --renew")
    return int(worse)


if __name__ == "__main__":
    sys.exit(main(renew="--renew" in sys.argv[1:]))
