"""`python -m pytest` runs a quick selection of the suite, and says so; `--full`, or naming tests, runs more."""

from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")
SUITE = """
import pytest

@pytest.mark.parametrize("case", range(5))
@pytest.mark.parametrize("kind", "ab")
def test_cases(case, kind):
    print()
    print("ran", "case", case, kind)

@pytest.mark.parametrize("case", range(3))
def test_core(case, backend):
    print()
    print("ran", "core", case, backend)

@pytest.mark.slow
def test_slow():
    print()
    print("ran slow")
"""
CASES = [f"ran case {case} {kind}" for case in range(5) for kind in "ab"]
QUICK = ["ran case 0 a", "ran case 4 b", "ran core 0 python", "ran core 2 python"]
FULL = [*CASES, *(f"ran core {case} python" for case in range(3)), "ran slow"]


@pytest.fixture
def ran(pytester, monkeypatch):
    """Run a small suite with this suite's conftest.py: ran(*arguments) -> what ran, and the lines of the output."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)

    def run(*arguments):
        pytester.makeconftest(CONFTEST.read_text("utf-8"))
        pytester.makeini("[pytest]\ntestpaths = tests\n")
        pytester.mkdir("tests").joinpath("test_suite.py").write_text(SUITE)
        done = pytester.runpytest_subprocess("--pure-only", "--capture=no", *arguments)
        assert done.ret == 0
        return sorted(line for line in done.outlines if line.startswith("ran ")), done.outlines

    return run


def test_first_and_last_case_run_without_slow_tests(ran):
    cases, lines = ran()
    assert cases == QUICK
    said = "cyevents: a quick selection, 10 tests are left out: `python -m pytest --full` runs them"
    assert lines.count(said) == 2
    assert lines[-1] == said
    assert "10 deselected" in lines[-2]


def test_last_line_says_so_in_quiet_runs(ran):
    assert ran("--quiet")[1][-1].startswith("cyevents: a quick selection, 10 tests are left out")


@pytest.mark.parametrize("arguments", [["--full"], ["tests"], ["tests/test_suite.py"]], ids=" ".join)
def test_full_or_a_path_runs_all(ran, arguments):
    cases, lines = ran(*arguments)
    assert cases == FULL
    assert not [line for line in lines if "quick selection" in line]


def test_quick_pure_leaves_out_cases_of_the_pure_core_alone(ran):
    cases, lines = ran("--full", "--quick-pure")
    assert cases == sorted({*FULL} - {"ran core 1 python"})
    assert "a quick selection, 1 tests are left out" in lines[-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["tests/test_suite.py::test_slow"], ["ran slow"]),
        (["-k", "slow"], ["ran slow"]),
        (["-m", "slow"], ["ran slow"]),
        (["-k", "cases and 3"], ["ran case 3 a", "ran case 3 b"]),
    ],
)
def test_all_named_tests_run(ran, arguments, expected):
    assert ran(*arguments)[0] == expected
