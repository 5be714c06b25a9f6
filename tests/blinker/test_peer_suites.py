"""The suites of blinker, Flask, Quart and Pelican, as they come, against cyevents.blinker on both cores.

They are run where CYEVENTS_PEERS names a folder with the unpacked sources: `.ci/peers_suites` fetches them. A folder
`NAME-venv` in it is the environment for the suite of that name, if it needs one of its own.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUITES = {  # where its sources are, its tests, options, and how many pass with blinker and with ours
    "blinker": ("blinker-*", "tests", [], 21),
    "flask": ("flask-*", "tests", [], 490),
    # Its own options name a plugin for coverage.
    "quart": ("Quart-*", "tests", ["-o", "addopts=", "--asyncio-mode=auto"], 254),
    # It sets the filters for warnings itself, one of which a test is about.
    "pelican": ("pelican-*", "pelican", ["-p", "no:warnings"], 318),
}
FAIL_WITH_BLINKER_TOO = ["quart"]


@pytest.fixture
def peer(name):
    """A project, the folder of its sources, what is run with which Python and options, and how many tests that is."""
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
def test_it_passes_but_for_what_is_listed(peer, backend):
    run = run_suite(peer, CYEVENTS_PURE_PYTHON="0" if backend == "cython" else "1")
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"cyevents.blinker on the core {backend}," in run.stdout
    passed, skipped = counted(run, "passed"), counted(run, "skipped")  # some want programs that need not be there
    assert passed + skipped == peer[3]
    assert passed > 0.8 * peer[3]


@pytest.mark.parametrize("name", FAIL_WITH_BLINKER_TOO)
def test_what_fails_anyway_fails_with_blinker_too(peer):
    run = run_suite(peer, CYEVENTS_PEERS_BLINKER="1")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "blinker itself, 1.9" in run.stdout
    assert counted(run, "xfailed")
    assert not counted(run, "passed")
