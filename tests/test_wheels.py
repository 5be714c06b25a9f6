"""cibuildwheel's settings select wheels for every supported Python and machine. Skipped without a checkout."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYTHONS = ["cp311", "cp312", "cp313", "cp314", "cp314t", "cp315", "cp315t"]
MACHINES = {
    "linux": ["manylinux_x86_64", "manylinux_aarch64", "musllinux_x86_64", "musllinux_aarch64"],
    "macos": ["macosx_x86_64", "macosx_arm64"],
    "windows": ["win_amd64", "win_arm64"],
}

pytestmark = [
    pytest.mark.skipif(find_spec("cibuildwheel") is None, reason="cibuildwheel is not installed"),
    pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="setup.py is not part of this copy"),
]


def cibuildwheel(*arguments):
    command = [sys.executable, "-m", "cibuildwheel", *arguments, str(ROOT)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CIBW_")}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("platform", MACHINES)
def test_each_python_and_machine_has_a_wheel(platform):
    process = cibuildwheel("--platform", platform, "--print-build-identifiers")
    assert process.returncode == 0, process.stderr
    expected = [f"{python}-{machine}" for machine in MACHINES[platform] for python in PYTHONS]
    assert sorted(process.stdout.split()) == sorted(expected)
