"""Memory runs out at each allocation of each operation: see the program `faults/out_of_memory.py`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "faults" / "out_of_memory.py"

pytest.importorskip("_testcapi", reason="this Python has no _testcapi, which makes allocations fail")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        hasattr(sys, "gettotalrefcount"),
        reason="CPython's debug build aborts in a call of a function with cells",
    ),
]


@pytest.mark.parametrize("mode", ["once", "on"])
def test_tables_stay_consistent_without_memory(backend, mode):
    if backend == "python" and mode == "on":
        pytest.skip("without any memory CPython itself crashes in Python code")
    if backend == "python" and (3, 12) <= sys.version_info < (3, 14):
        pytest.skip("this CPython releases code twice if creating its function fails")
    environment = os.environ | {
        "CYEVENTS_PURE_PYTHON": "0" if backend == "cython" else "1",
        "CYEVENTS_FAULTS_MODES": mode,
    }
    process = subprocess.run(
        [sys.executable, str(PROGRAM)], env=environment, capture_output=True, text=True, timeout=300
    )
    wrong = [line for line in process.stdout.splitlines() if not line.endswith("allocations")]
    assert (process.returncode, wrong) == (0, []), process.stderr[-3000:]
    assert "emit (" in process.stdout or mode == "on"
