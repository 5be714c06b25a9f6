"""What setup.py builds: the switches, and a build without a compiler. Skipped without a checkout or setuptools.

Scripts that record their calls replace Cython and the compiler. `.ci/wheels` checks what the real ones make.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TIMEOUT = 120  # seconds until a hanging child process fails
FALLBACK = "cyevents: the compiled core could not be built"
CYTHON = """
import json, os
def cythonize(modules, **options):
    with open("options.json", "w") as file:
        json.dump(options, file)
    for module in modules:
        module.sources = ["core.c"]
        del module.optional  # as the real one does
    return modules
"""
COMPILER = """#!/bin/sh
echo "$@" >> calls
while test $# -gt 0; do
    if test "$1" = -o; then echo made > "$2"; fi
    shift
done
"""

try:
    SETUPTOOLS = int(version("setuptools").partition(".")[0])
except PackageNotFoundError:
    SETUPTOOLS = 0

pytestmark = [
    pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="setup.py is not part of this copy"),
    pytest.mark.skipif(SETUPTOOLS < 77, reason="setuptools is not installed, or older than the build needs"),
    pytest.mark.skipif(os.name == "nt", reason="the compiler is a shell script"),
]


@pytest.fixture
def project(tmp_path):
    """A copy of the project, with a Cython and a compiler that only record how they are called."""
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "src" / "cyevents", tmp_path / "src" / "cyevents", ignore=shutil.ignore_patterns("*.so"))
    (tmp_path / "core.c").write_text("")
    (tmp_path / "cc").write_text(COMPILER)
    (tmp_path / "cc").chmod(0o755)
    (tmp_path / "Cython").mkdir()
    (tmp_path / "Cython" / "__init__.py").write_text("")
    (tmp_path / "Cython" / "Build.py").write_text(CYTHON)
    return tmp_path


@pytest.fixture
def build(project):
    """Run setup.py with some of its switches: build(compiler, setting, in_place, switches) -> the completed process."""

    def run(compiler="cc", setting=None, in_place=False, **switches):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CYEVENTS_")}
        environment |= {"CC": str(project / compiler), "LDSHARED": str(project / compiler), "PYTHONPATH": str(project)}
        environment |= {f"CYEVENTS_{name}": value for name, value in switches.items()}
        if setting is not None:
            environment["CYEVENTS_BUILD_EXTENSION"] = setting
        command = ["build_ext", "--inplace"] if in_place else ["build", "--build-lib", "built"]
        command = [sys.executable, "setup.py", "--quiet", *command]
        return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=TIMEOUT)

    return run


def extensions(project):
    return [path.name for path in (project / "built" / "cyevents" / "_core").glob("*.so")]


def flags(project):
    """Return the compiler's options for compiling the tables and the kernel, and for linking them."""
    calls = [call.split() for call in (project / "calls").read_text().splitlines()]
    tables, kernel = [call for call in calls if "-c" in call]
    linking_tables, linking_kernel = [call for call in calls if "-c" not in call]
    return tables, kernel, linking_tables, linking_kernel


def effective(options, prefix):
    """Return the last option that begins so, which is the one that counts."""
    return [option for option in options if re.match(prefix, option)][-1]


@pytest.mark.parametrize("setting", [None, "", "yes"])
def test_extension_is_built(project, build, setting):
    process = build(setting=setting)
    assert (process.returncode, FALLBACK in process.stderr) == (0, False), process.stderr
    assert len(extensions(project)) == 2


@pytest.mark.slow
@pytest.mark.parametrize("setting", [None, ""])
@pytest.mark.parametrize("compiler", ["nothing_by_this_name", "LICENSE"])
def test_no_compiler_builds_pure_core_and_says_so(project, build, compiler, setting):
    process = build(compiler, setting)
    assert process.returncode == 0, process.stderr
    (line,) = [line for line in process.stderr.splitlines() if FALLBACK in line]
    assert "CYEVENTS_BUILD_EXTENSION=yes" in line
    assert len(line) < 300
    assert extensions(project) == []
    assert (project / "built" / "cyevents" / "_core" / "_tables.py").exists()


def test_no_compiler_allows_editable_install(project, build):
    process = build("nothing_by_this_name", in_place=True)
    assert (process.returncode, process.stderr.count(FALLBACK)) == (0, 1), process.stderr


def test_no_compiler_fails_if_extension_is_required(project, build):
    process = build("nothing_by_this_name", "yes")
    assert process.returncode != 0
    assert FALLBACK not in process.stderr
    assert "nothing_by_this_name" in process.stderr


def test_unwanted_extension_needs_no_build_tools(project, build):
    shutil.rmtree(project / "Cython")
    (project / "Cython.py").write_text("raise ImportError")
    process = build("nothing_by_this_name", "no")
    assert process.returncode == 0, process.stderr
    assert extensions(project) == []


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["1", "true", "Yes", " "])
def test_unknown_build_switch_value_is_an_error(build, setting):
    process = build(setting=setting)
    assert process.returncode != 0
    assert process.stderr.splitlines()[-1] == f"CYEVENTS_BUILD_EXTENSION must be yes, no or unset, not {setting!r}"


def test_release_build_is_stripped_and_leaves_no_c_source(project, build):
    build(setting="yes")
    for options in flags(project):
        assert not [flag for flag in options if "sanitize" in flag or "TRACE" in flag]
    options = json.loads((project / "options.json").read_text())
    assert (options["build_dir"], options["compiler_directives"]["linetrace"]) == ("build", False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ({}, ("-Os", "-O3", "-g0")),
        ({"TRACE": "1"}, ("-Os", "-O3", "-g0")),
        ({"DEBUG": "1"}, ("-O0", "-O0", "-g")),
        ({"SANITIZE": "1", "DEBUG": "1"}, ("-O1", "-O1", "-g")),
    ],
)
def test_flags_win_over_those_of_the_interpreter(project, build, monkeypatch, switches, expected):
    monkeypatch.setenv("CFLAGS", "-O0 -ggdb")
    build(setting="yes", **switches)
    tables, kernel, _, _ = flags(project)
    assert {"-O0", "-ggdb"} <= set(tables) & set(kernel)
    assert ("-DNDEBUG=1" in kernel) is not ("DEBUG" in switches or hasattr(sys, "gettotalrefcount"))
    assert (effective(tables, "-O"), effective(kernel, "-O"), effective(tables, "-g")) == expected
    assert effective(kernel, "-g") == expected[2]
    for name, options in (("tables", tables), ("emit", kernel)):
        assert f"-DCYE_OPTIMIZATION_{name}={effective(options, '-O')}" in kernel


@pytest.mark.slow
def test_sanitize_build_options(project, build):
    build(setting="yes", SANITIZE="1", DEBUG="1")
    for options in flags(project):
        assert "-fsanitize=address,undefined" in options
        assert "-Wl,--strip-all" not in options


@pytest.mark.slow
def test_trace_build_options(project, build):
    build(setting="yes", TRACE="1")
    for compiling in flags(project)[:2]:
        assert {"-DCYTHON_TRACE=1", "-DCYTHON_USE_SYS_MONITORING=0"} <= set(compiling)
    options = json.loads((project / "options.json").read_text())
    assert (options["build_dir"], options["compiler_directives"]["linetrace"]) == (None, True)


@pytest.mark.slow
@pytest.mark.parametrize("value", ["", "0", "yes"])
def test_only_the_value_1_turns_a_switch_on(project, build, value):
    build(setting="yes", DEBUG=value, SANITIZE=value, TRACE=value)
    for compiling in flags(project)[:2]:
        assert effective(compiling, "-g") == "-g0"
        assert "-DCYTHON_TRACE=1" not in compiling


@pytest.mark.slow
def test_compiled_core_has_no_untyped_locals():
    pytest.importorskip("Cython", minversion="3.3")
    program = ROOT / ".ci" / "untyped_locals"
    if not program.exists():
        pytest.skip("the checks are not part of this copy")
    process = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, timeout=TIMEOUT)
    assert (process.stdout, process.returncode) == ("", 0), process.stderr


@pytest.fixture
def core(tmp_path, monkeypatch):
    """An editable install whose extensions are newer than their sources, and the suite's `is_stale` for it."""
    spec = importlib.util.spec_from_file_location("conftest_of_the_suite", Path(__file__).with_name("conftest.py"))
    conftest = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(conftest)
    extensions = [tmp_path / "_tables.so", tmp_path / "_emit.so"]
    monkeypatch.setattr(conftest, "find_extensions", lambda: extensions)
    for name, time in (("_tables.py", 1), ("_tables.pxd", 1), ("_emit.pyx", 1), ("_tables.so", 2), ("_emit.so", 2)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time, time))
    return tmp_path, conftest.is_stale


@pytest.mark.parametrize("name", ["_tables.py", "_tables.pxd", "_emit.pyx"])
def test_changed_sources_make_a_build_stale(core, name):
    folder, is_stale = core
    assert not is_stale()
    os.utime(folder / name, (3, 3))
    assert is_stale()


def test_an_installed_wheel_is_never_stale(core):
    folder, is_stale = core
    (folder / "_emit.pyx").unlink()
    os.utime(folder / "_tables.py", (3, 3))
    assert not is_stale()
