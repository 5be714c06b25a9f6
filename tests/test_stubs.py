"""What type checkers see is what runs, on both cores: by mypy's stubtest. Skipped where mypy is not installed."""

import ast
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ALLOWED = Path(__file__).with_name("stubtest_allowlist.txt")

pytestmark = pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")


def stubtest(module, folder, stubs=None, switch=""):
    """What stubtest says of a module, with stubs from a folder where that is given."""
    environment = {**os.environ, "CYEVENTS_PURE_PYTHON": switch}
    if stubs is not None:
        environment["MYPYPATH"] = str(stubs)
    command = [sys.executable, "-m", "mypy.stubtest", module, "--concise", "--ignore-unused-allowlist"]
    command += ["--allowlist", str(ALLOWED)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
    return done.stdout + done.stderr


def test_the_package_is_as_its_types_say(api, backend, tmp_path):
    assert stubtest("cyevents", tmp_path, switch="0" if backend == "cython" else "1") == ""


@pytest.fixture
def twin(api, backend, tmp_path):
    """The stub of the compiled core in a copy of the package: here that is the whole of the pure one.

    The stub that is shipped refers to the pure core, where stubtest does not follow.
    """
    if backend != "cython":
        pytest.skip("there is nothing to compare with")
    package = Path(shutil.copytree(Path(api.__file__).parent, tmp_path / "cyevents"))
    for path in package.glob("_core_c.*"):
        path.unlink()
    source = (package / "_core_py.py").read_text(encoding="utf-8")
    lines = source.splitlines(keepends=True)
    for part in ast.walk(ast.parse(source)):
        if isinstance(part, ast.If) and "@overload" in ast.unparse(part):  # a stub takes none beside what they are of
            lines[part.lineno - 1 : part.end_lineno] = [""] * (part.end_lineno - part.lineno + 1)
    stub = package / "_core_c.pyi"
    stub.write_text("".join(lines), encoding="utf-8")
    return stub


def test_the_compiled_core_is_as_its_twin_says(twin, tmp_path):
    assert stubtest("cyevents._core_c", tmp_path / "..", stubs=tmp_path, switch="0") == ""


def test_a_difference_would_be_told(twin, tmp_path):
    source = twin.read_text(encoding="utf-8")
    method, other = "    def _clear(self) -> None:", "    def _clear(self, more: int) -> None:"
    assert method in source
    changed = source.replace(method, f"    def consumed(self) -> None: ...\n{other}")
    twin.write_text(changed, encoding="utf-8")
    told = stubtest("cyevents._core_c", tmp_path / "..", stubs=tmp_path, switch="0")
    assert "EventCore.consumed is not present at runtime" in told
    assert "EventCore._clear is inconsistent" in told
