"""mypy's stubtest: types match what runs, on both cores. Skipped without mypy."""

import importlib
import inspect
import operator
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ALLOWED = Path(__file__).with_name("stubtest_allowlist.txt")

pytestmark = pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")


def stubtest(module, folder, stubs=None, switch="", allowed=ALLOWED):
    """Return what stubtest reports about a module, with stubs from a folder if given."""
    environment = {**os.environ, "CYEVENTS_PURE_PYTHON": switch}
    if stubs is not None:
        environment["MYPYPATH"] = str(stubs)
    command = [sys.executable, "-m", "mypy.stubtest", module, "--concise", "--ignore-unused-allowlist"]
    command += ["--allowlist", str(allowed)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_package_matches_its_types(api, backend, tmp_path):
    assert stubtest("cyevents", tmp_path, switch="0" if backend == "cython" else "1") == ""


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("Event.connect", ["self", "receiver"]),
        ("Event.subscribe", ["self", "receiver"]),
        ("Event.connected_to", ["self", "receiver"]),
        ("Namespace.on", ["self", "evt"]),
        ("Namespace.connect", ["self", "evt", "receiver"]),
        ("handles", ["evt"]),
    ],
)
def test_typed_options_are_the_parameters(api, name, first):
    typed = importlib.import_module("cyevents._typing")
    parameters = list(inspect.signature(operator.attrgetter(name)(api)).parameters.values())
    given, options = parameters[: len(first) + 1], parameters[len(first) + 1 :]
    assert [each.name for each in given] == [*first, "sender"]
    names = {option.name for option in options}
    assert names == set(typed.Options.__annotations__) == set(typed.EventOptions.__annotations__)
    assert names == set(typed.AnyOptions.__annotations__)
    assert {option.name for option in options if option.kind is option.KEYWORD_ONLY} == {
        *typed.Flags.__annotations__,
        "with_event",
    }


@pytest.mark.slow
def test_stubtest_reports_a_difference(api, backend, tmp_path):
    if backend != "cython":
        pytest.skip("the pure core is its own stub")
    package = Path(shutil.copytree(Path(api.__file__).parent, tmp_path / "cyevents"))
    source = package / "_core" / "_tables.py"
    method, other = "    def _is_connected(self) -> bool:", "    def _is_connected(self, more: int = 0) -> bool:"
    text = source.read_text(encoding="utf-8")
    assert method in text
    source.write_text(text.replace(method, f"    def consumed(self) -> None: ...\n{other}"), encoding="utf-8")
    allowed = tmp_path / "allowed.txt"
    allowed.write_text("", encoding="utf-8")
    report = stubtest("cyevents._core._tables", tmp_path / "..", stubs=tmp_path, switch="0", allowed=allowed)
    assert "EventCore.consumed is not present at runtime" in report
    assert "EventCore._is_connected is inconsistent" in report
