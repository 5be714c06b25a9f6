"""How a core is chosen: the switch, a missing or broken extension, and the cost of the import."""

import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TIMEOUT = 60  # seconds until a hanging child process fails
SWITCH = "CYEVENTS_PURE_PYTHON"
REPORT = "import cyevents; print(cyevents.backend)"


@pytest.fixture
def python():
    """Run a script in a child process: python(script, switch, options, path) -> the completed process."""

    def run(script, switch=None, *options, path=None):
        environment = {name: value for name, value in os.environ.items() if name != SWITCH}
        if switch is not None:
            environment[SWITCH] = switch
        if path is not None:
            environment["PYTHONPATH"] = str(path)
        return subprocess.run(
            [sys.executable, *options, "-c", textwrap.dedent(script)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )

    return run


@pytest.fixture
def copied(api, tmp_path):
    """Copy the package without its extension, so that a test can add a broken one."""
    package = tmp_path / "cyevents"
    ignored = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(Path(api.__file__).parent, package, ignore=ignored)
    return tmp_path


# The switch


def test_backend_names_the_core_in_use(api, backend):
    assert api.backend == backend
    assert "backend" in api.__all__


def test_core_in_use_matches_backend(api, backend):
    modules = {cls.__module__ for cls in api.Event.__mro__ if cls.__name__ == "EventCore"}
    assert modules == {"cyevents._core._tables", *(["cyevents._core._emit"] if backend == "cython" else [])}


@pytest.mark.parametrize(("switch", "expected"), [(None, "cython"), ("", "cython"), ("0", "cython"), ("1", "python")])
def test_with_the_extension(backend, python, switch, expected):
    if backend != "cython":
        pytest.skip("the extension is not tested")
    process = python(REPORT, switch, "-W", "error")
    assert (process.stdout.strip(), process.stderr) == (expected, "")


@pytest.mark.parametrize("switch", [None, "", "1"])
def test_missing_extension_falls_back_silently(copied, python, switch):
    process = python(REPORT, switch, "-W", "error", path=copied)
    assert (process.stdout.strip(), process.stderr) == ("python", "")


def test_required_but_missing_raises_import_error(copied, python):
    process = python(REPORT, "0", path=copied)
    assert process.returncode == 1
    assert f"ImportError: {SWITCH}=0" in process.stderr


@pytest.mark.parametrize("switch", ["2", "yes", "true", "auto", " ", "01"])
def test_unknown_switch_value_is_an_error(copied, python, switch):
    process = python(REPORT, switch, path=copied)
    assert process.returncode == 1
    last = process.stderr.splitlines()[-1]
    assert SWITCH in last
    assert repr(switch) in last


# An extension that is there but does not load


def broken_source(text):
    return lambda package: (package / "_core" / "_emit.py").write_text(text)


def broken_binary(package):
    (package / "_core" / f"_emit{importlib.machinery.EXTENSION_SUFFIXES[0]}").write_bytes(b"no machine code")


BROKEN = {
    "import_error": broken_source('raise ImportError("undefined symbol")'),
    "missing_dependency": broken_source("import nothing_by_this_name"),
    "missing_sibling": broken_source("from cyevents import nothing_by_this_name"),
    "other_error": broken_source('raise TypeError("shared Cython type is not compatible")'),
    "binary": broken_binary,
}


@pytest.fixture(params=BROKEN)
def broken(request, copied):
    BROKEN[request.param](copied / "cyevents")
    return copied


@pytest.mark.parametrize("switch", [None, ""])
def test_broken_extension_falls_back_with_a_warning(broken, python, switch):
    script = """
        import warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import cyevents
        print(cyevents.backend, cyevents.Event("x").emit(), [warning.category.__name__ for warning in caught])
    """
    process = python(script, switch, path=broken)
    assert (process.stdout.strip(), process.stderr) == ("python [] ['RuntimeWarning']", "")


def test_warning_contains_the_reason(copied, python):
    BROKEN["import_error"](copied / "cyevents")
    process = python(REPORT, None, path=copied)
    assert "RuntimeWarning" in process.stderr
    assert "undefined symbol" in process.stderr
    assert process.stdout.strip() == "python"


def test_required_but_broken_raises(broken, python):
    process = python(REPORT, "0", path=broken)
    assert (process.stdout, process.returncode) == ("", 1)


@pytest.mark.parametrize("how", ["import_error", "missing_dependency", "binary"])
def test_required_but_not_importable_raises_import_error(copied, python, how):
    BROKEN[how](copied / "cyevents")
    process = python(REPORT, "0", path=copied)
    assert process.returncode == 1
    assert f"ImportError: {SWITCH}=0" in process.stderr


def test_pure_python_switch_ignores_a_broken_extension(broken, python):
    process = python(REPORT, "1", "-W", "error", path=broken)
    assert (process.stdout.strip(), process.stderr) == ("python", "")


# What an import costs

COSTLY = ("asyncio", "inspect", "typing", "logging", "re", "dataclasses")


@pytest.mark.parametrize(
    "use",
    [
        "pass",
        """
@cyevents.on("x", priority=1, condition=lambda sender: True, once=True)
def handler(sender): return 1
assert cyevents.emit("x") == [1]
def generator(sender): yield 2
with cyevents.event("x").connected_to(generator), cyevents.event("x").subscribe(print): cyevents.emit("x")
""",
    ],
    ids=["import", "sync_use"],
)
def test_import_is_cheap(api, backend, python, use):
    script = f"import sys\nsys.path.insert(0, {str(Path(api.__file__).parent.parent)!r})\nimport cyevents\n{use}\n"
    script += f"print(cyevents.backend, [name for name in {COSTLY} if name in sys.modules], file=sys.stderr)"
    process = python(script, "0" if backend == "cython" else "1", "-I", "-S")
    assert process.stderr.strip() == f"{backend} []"


# Subinterpreters

SUBINTERPRETERS = next(
    (name for name in ("_interpreters", "_xxsubinterpreters") if importlib.util.find_spec(name) is not None), None
)


@pytest.mark.skipif(SUBINTERPRETERS is None, reason="no subinterpreters")
def test_subinterpreter_falls_back_with_a_warning(backend, python):
    inner = """
        import warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            import cyevents

        @cyevents.on("x")
        def handler(sender, **kwargs):
            return sender, kwargs

        @cyevents.on("x", priority=-1)
        def generator(sender, **kwargs):
            yield 1

        assert cyevents.emit("x", "sender", key=1) == [("sender", {"key": 1}), [1]]
        assert cyevents.backend == "python"
        assert [warning.category for warning in caught] == EXPECTED
        print("well", flush=True)
    """
    inner = textwrap.dedent(inner).replace("EXPECTED", "[RuntimeWarning]" if backend == "cython" else "[]")
    script = f"""
        import cyevents
        assert cyevents.backend == {backend!r}
        import {SUBINTERPRETERS} as interpreters
        inner = interpreters.create()
        failed = interpreters.run_string(inner, {inner!r})
        assert failed is None, failed
        interpreters.destroy(inner)
        assert cyevents.emit("x") == []
    """
    process = python(script, None if backend == "cython" else "1")
    assert (process.stdout.strip(), process.returncode) == ("well", 0), process.stderr


@pytest.mark.skipif(SUBINTERPRETERS is None, reason="no subinterpreters")
def test_subinterpreter_reports_its_core_and_why(backend, python):
    inner = """
        import warnings
        warnings.simplefilter("ignore")
        from cyevents import _core
        print(_core.reason, flush=True)
    """
    script = f"""
        import cyevents  # one interpreter may have the extension
        import {SUBINTERPRETERS} as interpreters
        inner = interpreters.create()
        failed = interpreters.run_string(inner, {textwrap.dedent(inner)!r})
        assert failed is None, failed
    """
    process = python(script, None if backend == "cython" else "1")
    assert process.returncode == 0, process.stderr
    expected = "the extension does not load: " if backend == "cython" else "CYEVENTS_PURE_PYTHON=1"
    assert process.stdout.startswith(expected)  # as `python -m cyevents info` shows it


@pytest.mark.skipif(not hasattr(sys, "_is_gil_enabled") or sys._is_gil_enabled(), reason="not a free-threaded Python")
def test_extension_leaves_the_gil_disabled(backend):
    script = "import sys, cyevents; print(sys._is_gil_enabled())"
    environment = {**os.environ, "CYEVENTS_PURE_PYTHON": "0" if backend == "cython" else "1"}
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], env=environment, capture_output=True, text=True
    )
    assert (process.stdout, process.stderr) == ("False\n", "")
