"""Run every stress program briefly, on both cores, in its own process; and check that the harness finds errors.

Longer runs: `python tests/stress --seconds 60`.
"""

import os
import re
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

STRESS = Path(__file__).parent / "stress"
PROGRAMS = sorted(path.stem for path in STRESS.glob("*.py") if path.stem not in ("__main__", "harness"))
SECONDS = "0.1"
TIMEOUT = 120  # seconds until a hanging child process fails
SKIP = 77


def start(*command, backend="python", **environment):
    environment = {"CYEVENTS_STRESS_SECONDS": SECONDS, "CYEVENTS_STRESS_THREADS": "4", **environment}
    environment["CYEVENTS_PURE_PYTHON"] = {"cython": "0", "python": "1"}[backend]
    return subprocess.run(
        [sys.executable, *command], env={**os.environ, **environment}, capture_output=True, text=True, timeout=TIMEOUT
    )


@pytest.mark.parametrize("program", PROGRAMS)
def test_stress_program(program, backend):
    process = start(STRESS / f"{program}.py", backend=backend)
    if process.returncode == SKIP:
        pytest.skip(process.stdout)
    assert (process.returncode, process.stderr) == (0, ""), process
    line = rf"{program}: {backend} core, Python [\w.]+: \d+ threads, [\d.]+ seconds, [1-9]\d* emissions accounted for\n"
    assert re.fullmatch(line, process.stdout)


# The harness


@pytest.fixture
def program(tmp_path):
    """Run a program that uses the harness: program(text, ...) -> the completed process."""

    def run(text, **environment):
        path = tmp_path / "trial.py"
        path.write_text("from harness import *\nfrom cyevents import Event\n" + textwrap.dedent(text))
        return start(path, PYTHONPATH=str(STRESS), **environment)

    return run


BAD = {  # a job's code, and the expected report
    "a failed assertion": ("assert number == 'wrong'", "AssertionError"),
    "an exception in a finalizer": (
        """
        class Bad:
            def __del__(self): raise ValueError("wrong")
        Bad()
        """,
        "ValueError: wrong",
    ),
    "an exception in a thread": (
        """
        thread = threading.Thread(target=lambda: int("wrong"))
        thread.start()
        thread.join()
        """,
        "ValueError: invalid literal",
    ),
    "a warning": ("import warnings; warnings.warn('wrong')", "UserWarning: wrong"),
    "a warning in a finalizer": (
        """
        event = Event("wrong")
        event.connect(lambda sender: 1)
        """,
        "was garbage-collected at once",
    ),
    "a logged error": ("logging.getLogger('cyevents').error('wrong')", "wrong"),
    "a witness that is not called": (
        """
        event = Event("wrong")
        witnesses = Witnesses(event)
        event.clear()
        witnesses.emit(event)
        """,
        "AssertionError: []",
    ),
    "a witness that is called twice": (
        """
        event = Event("wrong")
        witnesses, _ = Witnesses(event), Witnesses(event)
        witnesses.emit(event)
        """,
        "AssertionError: [(30, 'first'), (30, 'first'), ",
    ),
    "handlers in the wrong order": (
        """
        event, late = Event("wrong"), handler("late", 25)
        witnesses = Witnesses(event)
        event.connect(late, priority=5)
        witnesses.emit(event)
        """,
        "(10, 'object'), (25, 'late'), ",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_harness_reports_errors(program, what):
    code, expected = BAD[what]
    text = "def job(number):\n" + textwrap.indent(textwrap.dedent(code).strip(), "    ")
    process = program(f"{text}\n    while True:\n        yield 1\nrace(job)")
    assert process.returncode == 1, process
    assert process.stdout.endswith(", FAILED\n")
    assert expected in process.stderr


def test_harness_reports_that_nothing_was_emitted(program):
    process = program("def job(number):\n    yield 0\nrace(job)")
    assert (process.returncode, process.stderr) == (1, "no emission was accounted for\n")


def test_harness_reports_failures_at_the_end(program):
    process = program("""
        def job(number):
            yield 1

        def finish():
            raise ValueError("wrong")

        race(job, finish=finish)
    """)
    assert process.returncode == 1
    assert "ValueError: wrong" in process.stderr


def test_harness_ends_hanging_programs(program):
    process = program("""
        import harness
        harness.TIMEOUT = 0.1

        def job(number):
            yield threading.Event().wait()

        race(job)
    """)
    assert process.returncode == 1
    assert "Timeout" in process.stderr


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="not a free-threaded Python")
def test_harness_reports_an_enabled_gil(api, backend, program):
    process = program("def job(number):\n    yield 1\nrace(job)", backend=backend, PYTHON_GIL="1")
    assert process.returncode == (1 if backend == "cython" else 0)
    assert ("the GIL is on" in process.stderr) is (backend == "cython")


def test_program_may_be_skipped(program):
    process = program("skip('there is nothing to race')")
    assert (process.returncode, process.stdout) == (SKIP, "trial: SKIPPED: there is nothing to race\n")


def test_threads_and_seconds_come_from_the_environment(program):
    process = program(
        "def job(number):\n    while True:\n        yield 1\nrace(job)",
        CYEVENTS_STRESS_THREADS="7",
        CYEVENTS_STRESS_SECONDS="0.3",
    )
    match = re.search(r": 7 threads, ([\d.]+) seconds, ", process.stdout)
    assert float(match[1]) >= 0.3


def test_runner_reports_what_it_ran():
    process = start(STRESS, "--seconds", "0.1", "--threads", "2", "--core", "python", "mutual_emission", "once")
    assert (process.returncode, process.stderr) == (0, "")
    rows = [line.split() for line in process.stdout.splitlines()]
    assert rows[1] == ["program", "core", "threads", "seconds", "emissions", "result"]
    assert [(row[0], row[1], row[2], row[5]) for row in rows[2:4]] == [
        ("mutual_emission", "python", "2", "passed"),
        ("once", "python", "2", "passed"),
    ]
    emissions = int(rows[2][4]) + int(rows[3][4])
    assert process.stdout.splitlines()[4] == f"2 runs, {emissions} emissions accounted for, 0 failed"


def test_runner_fails_if_a_program_fails(tmp_path):
    (tmp_path / "cyevents.py").write_text("raise ImportError('broken')")
    process = start(STRESS, "--core", "python", "once", PYTHONPATH=str(tmp_path))
    assert process.returncode == 1
    assert "ImportError: broken" in process.stderr
    assert process.stdout.endswith("FAILED (exit 1)\n1 runs, 0 emissions accounted for, 1 failed\n")


def test_runner_lists_its_programs():
    process = start(STRESS, "no_such_program")
    assert process.returncode == 2
    assert "there is no program no_such_program" in process.stderr
