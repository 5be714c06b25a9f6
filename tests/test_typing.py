"""Type checkers accept what users write and reject errors. Skipped without a checker.

In typing/rejected.py, the comment below a line gives the expected report: a rule, and a part of the message.
"""

import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "typing"


def mypy(name):
    """Return the errors of mypy --strict: (line, rule, message)."""
    if find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--no-pretty", "--no-error-summary"]
    done = subprocess.run([*command, str(HERE / name)], capture_output=True, text=True, timeout=300, cwd=HERE)
    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert bool(errors) == bool(done.returncode), done.stdout + done.stderr
    found = [re.fullmatch(rf".*{name}:(\d+): error: (.*)  \[([\w-]+)\]", line) for line in errors]
    return [(int(match[1]), match[3], match[2]) for match in found]


def pyright(name):
    """Return the errors of pyright: (line, rule, message)."""
    program = shutil.which("pyright", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("pyright is not installed")
    command = [program, "--outputjson", "--pythonpath", sys.executable, str(HERE / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=HERE)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return [(one["range"]["start"]["line"] + 1, one.get("rule"), one["message"]) for one in found]


CHECKERS = [mypy, pyright]


def lines(name):
    return (HERE / name).read_text("utf-8").splitlines()


def expected(checker, name="rejected.py"):
    """Return the errors that a checker must report for a file: a rule and a part of the message, by line."""
    required, number = {}, 0
    for at, line in enumerate(lines(name), 1):
        match = re.fullmatch(r" *# (mypy|pyright) \[([\w-]+)\] (.*)", line)
        if match is None:
            number = at
        elif match[1] == checker.__name__:
            required[number] = match[2], match[3]
    return required


def headings(name):
    return [line for line in lines(name) if re.match(r"# (?!mypy |pyright )", line)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["accepted.py", "blinker_accepted.py"])
@pytest.mark.parametrize("checker", CHECKERS)
def test_valid_code_is_accepted(checker, name):
    assert checker(name) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rejected.py", "blinker_rejected.py"])
@pytest.mark.parametrize("checker", CHECKERS)
def test_invalid_code_is_rejected(checker, name):
    required, found = expected(checker, name), checker(name)
    assert sorted({line for line, _, _ in found}) == sorted(required)
    for line, (rule, text) in required.items():
        said = [(r, t) for at, r, t in found if at == line]
        assert any(r == rule and text in t for r, t in said), (line, rule, text, said)


def test_every_rule_has_valid_and_invalid_code():
    assert headings("accepted.py") == headings("rejected.py") != []
    parts = re.split(r"\n# (?!mypy |pyright )", "\n".join(lines("rejected.py")))[1:]
    for part in parts:
        assert "# mypy [" in part and "# pyright [" in part, part


@pytest.mark.parametrize("name", ["rejected.py", "blinker_rejected.py"])
def test_both_checkers_reject_the_same_lines(name):
    assert expected(mypy, name).keys() == expected(pyright, name).keys() != set()
