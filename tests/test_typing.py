"""Type checkers accept what users write and refuse what is wrong. Skipped where a checker is not installed."""

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "typing"


def mypy(name):
    if find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--no-error-summary", str(HERE / name)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=HERE).stdout


def pyright(name):
    program = shutil.which("pyright", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("pyright is not installed")
    command = [program, "--pythonpath", sys.executable, str(HERE / name)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=HERE).stdout


def marked_lines(name):
    return {number for number, line in enumerate((HERE / name).read_text().splitlines(), 1) if re.search("  # ", line)}


@pytest.mark.parametrize("name", ["accepted.py", "blinker_accepted.py"])
def test_mypy_accepts_what_users_write(name):
    assert mypy(name) == ""


@pytest.mark.parametrize("name", ["refused.py", "blinker_refused.py"])
def test_mypy_refuses_what_is_wrong(name):
    found = {int(line) for line in re.findall(r"refused\.py:(\d+): error", mypy(name))}
    assert found == marked_lines(name)


@pytest.mark.parametrize("name", ["accepted.py", "blinker_accepted.py"])
def test_pyright_accepts_what_users_write(name):
    assert pyright(name).splitlines()[-1].startswith("0 errors")


@pytest.mark.parametrize("name", ["refused.py", "blinker_refused.py"])
def test_pyright_refuses_what_is_wrong(name):
    found = {int(line) for line in re.findall(r"refused\.py:(\d+):\d+ - error", pyright(name))}
    assert found == marked_lines(name)
