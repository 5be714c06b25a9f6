"""Run the suites of blinker, Flask, Quart and Pelican against cyevents.blinker, on both cores.

They run if CYEVENTS_PEERS names a folder with the unpacked sources, which `.ci/peers_suites` downloads. A folder
`NAME-venv` in it is the environment for the suite of that name, if it needs its own.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUITES = {  # folder, tests, options, and how many tests pass with blinker and with cyevents.blinker
    "blinker": ("blinker-*", "tests", [], 21),
    "flask": ("flask-*", "tests", [], 490),
    # The project's own options name a coverage plugin.
    "quart": ("Quart-*", "tests", ["-o", "addopts=", "--asyncio-mode=auto"], 254),
    # The suite sets the warning filters itself, and one of its tests is about them.
    "pelican": ("pelican-*", "pelican", ["-p", "no:warnings"], 318),
}
FAIL_WITH_BLINKER_TOO = ["quart"]


@pytest.fixture
def peer(name):
    """Return a project: its source folder, its Python and options, and the expected number of tests."""
    place = os.environ.get("CYEVENTS_PEERS")
    if not place:
        pytest.skip("CYEVENTS_PEERS names no folder with the sources of the projects: see .ci/peers_suites")
    pattern, tests, options, count = SUITES[name]
    (folder,) = [path for path in Path(place).glob(pattern) if path.is_dir()]
    python = Path(place, f"{name}-venv", "bin", "python")
    return name, folder, [str(python) if python.exists() else sys.executable, tests, *options], count


def run_suite(peer, **environment):
    name, folder, (python, *options), _ = peer
    return subprocess.run(
        [python, "-m", "pytest", "-p", "peer_suite", "--peer", name, "-p", "no:cacheprovider", "-ra", *options],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(HERE)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def counted(run, outcome):
    found = re.findall(rf"(\d+) {outcome}", run.stdout.splitlines()[-1])
    return int(found[0]) if found else 0


@pytest.mark.parametrize("name", sorted(SUITES))
def test_only_listed_tests_fail(peer, backend):
    run = run_suite(peer, CYEVENTS_PURE_PYTHON="0" if backend == "cython" else "1")
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"cyevents.blinker on the core {backend}," in run.stdout
    passed, skipped = counted(run, "passed"), counted(run, "skipped")  # some need programs that may not be installed
    assert passed + skipped == peer[3]
    assert passed > 0.8 * peer[3]


@pytest.mark.parametrize("name", FAIL_WITH_BLINKER_TOO)
def test_unrelated_failures_fail_with_blinker_too(peer):
    run = run_suite(peer, CYEVENTS_PEERS_BLINKER="1")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "blinker itself, 1.9" in run.stdout
    assert counted(run, "xfailed")
    assert not counted(run, "passed")
