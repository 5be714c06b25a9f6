"""blinker's own suite and Flask's tests of its signals, as they come, against cyevents.blinker on both cores.

They are run where CYEVENTS_PEERS names a folder with the unpacked sources: `.ci/peers_suites` fetches them.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUITES = {"blinker": ("blinker-*", "tests", 20), "flask": ("flask-*", "tests/test_signals.py", 7)}


@pytest.fixture(params=sorted(SUITES))
def peer(request):
    """A project, the folder of its sources, what of its tests concerns us, and how many pass."""
    place = os.environ.get("CYEVENTS_PEERS")
    if not place:
        pytest.skip("CYEVENTS_PEERS names no folder with the sources of blinker and Flask: see .ci/peers_suites")
    name = request.param
    pattern, tests, count = SUITES[name]
    (folder,) = [path for path in Path(place).glob(pattern) if path.is_dir()]
    pytest.importorskip(name)
    return name, folder, tests, count


def run_suite(peer, backend, *more):
    name, folder, tests, _ = peer
    environment = os.environ | {
        "CYEVENTS_PURE_PYTHON": "0" if backend == "cython" else "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(HERE),
    }
    options = ["-p", "peer_suite", "--peer", name, "-p", "no:cacheprovider", "-ra", *more]
    return subprocess.run(
        [sys.executable, "-m", "cyevents.blinker", "-m", "pytest", *options, tests],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_it_passes_but_for_what_is_listed(peer, backend):
    run = run_suite(peer, backend)
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"cyevents.blinker on the core {backend}," in run.stdout
    passed = re.search(r"(\d+) passed", run.stdout)
    assert int(passed[1]) == peer[3]


def test_a_run_against_blinker_itself_is_refused(peer, backend):
    pytest.importorskip("blinker")
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(HERE)}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "peer_suite", "--peer", peer[0], peer[2]],
        cwd=peer[1],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 4
    assert "to be run by: python -m cyevents.blinker" in run.stderr
