"""Count instructions per emission under callgrind, which are free of noise, and compare with the saved figures."""

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

SAVED = Path(__file__).with_name("instructions.json")
LIMIT = 0.03
# Workloads that may cost at most so many times as much as others.
AT_MOST = {
    "traced_before_10": (1.002, "plain_10"),  # the same: the interpreter itself varies a little from run to run
    "attribute_1": (1.15, "plain_1"),
    "attribute_doc_1": (1.15, "plain_1"),
}
FEW, MANY = 1000, 3000  # emissions: the difference leaves out everything else that the process does


def build_key():
    """Return the name of this build of Python: only figures of the same build are comparable."""
    implementation, version = platform.python_implementation(), platform.python_version()
    return f"{implementation} {version}, {platform.python_compiler()}, {platform.machine()}"


def count(name, number):
    """Return the instructions of a process that runs a workload."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=" + os.devnull]
    # Without site, which imports what happens to be installed. Not with -E, which ignores PYTHONHASHSEED.
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
    """Return the instructions per emission of each workload."""
    jobs = [(name, number) for name in ALL for number in (FEW, MANY)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # counts do not depend on what else runs
        counts = dict(zip(jobs, pool.map(lambda job: count(*job), jobs), strict=True))
    return {name: round((counts[name, MANY] - counts[name, FEW]) / (MANY - FEW), 1) for name in ALL}


def main(renew=False):
    """Count, compare and print the table; return the exit code."""
    if shutil.which("valgrind") is None:
        print("SKIPPED: instruction counts: valgrind is not installed")
        return 0
    if cyevents.backend != "cython":
        print(f"SKIPPED: instruction counts: {cyevents._core.reason}")
        return 0
    saved = json.loads(SAVED.read_text(encoding="utf-8")) if SAVED.exists() else {}
    if build_key() not in saved and not renew:
        print(
            f"SKIPPED: instruction counts: none are saved for {build_key()}: python -m benchmarks instructions --renew"
        )
        return 0
    found = measure()
    before = saved.get(build_key(), {})
    worse = better = False
    print(f"instructions per emission, {build_key()}")
    for name, number in found.items():
        change = number / before[name] - 1 if name in before else None
        word = "new" if change is None else f"{change:+.1%}"
        if change is not None and change > LIMIT:
            worse, word = True, word + "  TOO MANY"
        elif change is not None and change < -LIMIT:
            better, word = True, word + "  fewer"
        print(f"  {name:<16} {number:>10,.1f}  {word}")
    for name, (factor, other) in AT_MOST.items():
        if found[name] > found[other] * factor:
            worse = True
            print(
                f"  {name} costs {found[name] / found[other]:.3f} times {other}, and must cost at most {factor} times"
            )
    if renew:
        saved[build_key()] = found
        SAVED.write_text(json.dumps(saved, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(f"saved in {SAVED.name}")
        return 0
    if worse:
        print(
            f"More than {LIMIT:.0%} over the saved figures. To accept them: python -m benchmarks instructions --renew"
        )
    elif better:
        print("To save the lower figures: python -m benchmarks instructions --renew")
    return int(worse)


if __name__ == "__main__":
    sys.exit(main(renew="--renew" in sys.argv[1:]))
