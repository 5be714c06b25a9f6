"""No call from Python crashes the interpreter, whatever its arguments: see the program `faults/wrong_arguments.py`."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "faults" / "wrong_arguments.py"
CLASSES = [
    "EventCore",
    "NamespaceCore",
    "LastConnection",
    "Place",
    "Ref",
    "Entry",
    "Group",
    "Snapshot",
    "Dispatch",
    "AwaitedDispatch",
    "Nesting",
    "SignalCore",
]
SCENARIOS = [
    "foreign_objects_in_a_namespace",
    "tables_that_others_change",
    "tables_of_a_plain_event_that_others_change",
    "lists_of_entries_that_others_clear",
    "junk_in_the_queue_of_dead_handlers",
    "events_attached_in_a_circle",
    "entries_replaced_in_a_circle",
    "long_chains",
    "runaway_recursion",
    "all_flags",
    "keywords_that_are_not_strings",
    "lists_changed_during_an_emission",
    "tasks_of_any_type",
    "unfinished_constructors",
    "methods_installed_on_any_class",
    "anything_called_under_the_lock",
]


@pytest.fixture
def crashes(request, tmp_path):
    """Run the program; return its exit status, its output and the end of its errors."""
    if "cython" not in request.config.backends:
        pytest.skip("the extension is not built")

    def run(*arguments):
        logged = tmp_path / "calls.log"
        environment = os.environ | {"CYEVENTS_PURE_PYTHON": "0", "CYEVENTS_FAULTS_LOG": str(logged)}
        command = [sys.executable, str(PROGRAM), *arguments]
        process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        calls = logged.read_text("utf-8", "replace").splitlines() if logged.exists() else []
        return process.returncode, process.stdout, f"{process.stderr[-3000:]}\nthe last call: {calls[-1:]}"

    return run


@pytest.mark.parametrize("target", ["functions", *CLASSES, *SCENARIOS])
def test_wrong_arguments_never_crash_the_interpreter(crashes, target):
    status, _, details = crashes(target)
    assert status == 0, details


def test_every_class_of_the_core_is_covered(crashes):
    assert crashes("--list")[1].split() == ["functions", *CLASSES, *SCENARIOS]


def test_core_objects_cannot_be_created_in_python(api, backend):
    if backend != "cython":
        pytest.skip("the pure core does not rely on object fields")
    from cyevents._core import _tables

    for name in ("LastConnection", "Place", "Ref", "Entry", "Group", "Snapshot", "Dispatch", "Nesting"):
        cls = getattr(_tables, name)
        for make in (cls, cls.__new__):
            with pytest.raises(TypeError):
                make(cls)


def wrong_private_calls(event, entry):
    yield lambda: event._dispatch((1,), None, (), {}, [], [])
    yield lambda: event._dispatch((entry, None), None, (), {}, [], [])
    yield lambda: event._dispatch(None, None, (), {}, [], [])
    yield lambda: event._dispatch((entry,), None, (), {1: 2}, [], [])
    yield lambda: event._dispatch((entry,), None, (), {}, None, [])
    yield lambda: event._pairs((None,), None, (), {})
    yield lambda: event._pairs((entry,), None, (), {1: 2})
    yield lambda: event._attach(None, [])
    yield lambda: event._mute(object(), None)


def test_wrong_private_calls_raise_ordinary_exceptions(api, backend):
    def handler(sender, **kwargs):
        pass

    event = api.Event("x")
    event.connect(handler)
    (entry,) = event._snapshot(None).entries
    for call in wrong_private_calls(event, entry):
        if backend == "cython":
            with pytest.raises((TypeError, AttributeError)):
                call()
            assert event.emit() == []
        else:  # it checks less, but never crashes
            with contextlib.suppress(TypeError, AttributeError):
                call()
