"""Run the stress programs, each in its own process, and print what ran: `python tests/stress`.

The exit status is 0 if none has failed.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PROGRAMS = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in ("__main__", "harness"))
CORES = {"cython": "0", "python": "1"}
SKIP = 77
LINE = re.compile(r"(\d+) threads, ([\d.]+) seconds, (\d+) emissions")


def main():
    parser = argparse.ArgumentParser(prog="python tests/stress", description=__doc__.partition(":")[0])
    parser.add_argument(
        "programs", nargs="*", metavar="PROGRAM", help=f"which: {', '.join(PROGRAMS)}; all if not given"
    )
    parser.add_argument("--seconds", type=float, default=10, help="for each program and core (default: 10)")
    parser.add_argument("--threads", type=int, default=4, help="in each program, at least (default: 4)")
    parser.add_argument("--core", choices=CORES, action="append", help="only this one (default: both)")
    options = parser.parse_args()
    for unknown in set(options.programs) - set(PROGRAMS):
        parser.error(f"there is no program {unknown}")
    print(f"Python {sys.version}")
    print(f"{'program':21} {'core':8} {'threads':>7} {'seconds':>8} {'emissions':>10}  result")
    results = [
        run(program, core, options) for program in options.programs or PROGRAMS for core in options.core or CORES
    ]
    emissions, bad = sum(result[0] for result in results), [result[1] for result in results].count("FAILED")
    print(f"{len(results)} runs, {emissions} emissions accounted for, {bad} failed")
    return 1 if bad else 0


def run(program, core, options):
    """Run one program on one core; print its row, and return its emissions and how it ended."""
    environment = {
        **os.environ,
        "CYEVENTS_PURE_PYTHON": CORES[core],
        "CYEVENTS_STRESS_SECONDS": str(options.seconds),
        "CYEVENTS_STRESS_THREADS": str(options.threads),
    }
    process = subprocess.run(
        [sys.executable, HERE / f"{program}.py"], env=environment, text=True, stdout=subprocess.PIPE
    )
    line = LINE.search(process.stdout)
    threads, seconds, emissions = line.groups() if line else ("", "", "0")
    outcome = {0: "passed", SKIP: "skipped"}.get(process.returncode, "FAILED")
    note = f" (exit {process.returncode})" if outcome == "FAILED" else ""
    print(f"{program:21} {core:8} {threads:>7} {seconds:>8} {emissions:>10}  {outcome}{note}", flush=True)
    if outcome == "skipped":
        print(process.stdout, end="")
    return int(emissions), outcome


if __name__ == "__main__":
    sys.exit(main())
