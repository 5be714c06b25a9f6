"""Nothing leaks: each program in `isolated` runs in its own process, briefly.

`CYEVENTS_LEAK_OPERATIONS` sets the number of operations; thorough runs use a million.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

OPERATIONS = os.environ.get("CYEVENTS_LEAK_OPERATIONS", "2000")
PROGRAMS = Path(__file__).parent / "isolated"
LEAK_FREE = sorted({path.name for path in PROGRAMS.glob("*.py")} - {"leak_check.py", "known_leaks.py"})

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "libasan" in os.environ.get("LD_PRELOAD", ""),
        reason="the address sanitizer delays frees, so memory counts are wrong",
    ),
]


@pytest.fixture
def scenarios(backend):
    """Run the scenarios of a program: scenarios(program) -> its exit status and its lines of output."""

    def run(program, operations=OPERATIONS):
        process = subprocess.run(
            [sys.executable, "-W", "error", PROGRAMS / program, operations],
            env={**os.environ, "CYEVENTS_PURE_PYTHON": "0" if backend == "cython" else "1"},
            capture_output=True,
            text=True,
        )
        assert process.stdout.startswith(f"core {backend}"), process.stderr
        return process.returncode, [*process.stdout.splitlines()[1:], *process.stderr.splitlines()]

    return run


@pytest.mark.parametrize("program", LEAK_FREE)
def test_nothing_leaks(scenarios, program):
    status, lines = scenarios(program)
    assert [line for line in lines if ": flat" not in line] == []
    assert status == 0
    assert len(lines) > 9


def test_known_leaks_are_found(scenarios):
    status, lines = scenarios("known_leaks.py", "20000")
    assert [line for line in lines if ": LEAKS" not in line] == [f"{len(lines) - 1} scenarios leak"]
    assert status == 1
