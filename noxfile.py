"""The list of all checks: `nox -l` shows them, `nox -s NAME` runs one, `nox -t push` runs those to run before a push.

`.ci/run` runs the default ones, which are marked with `*`, two at a time. Arguments after `--` go to the command of a
session. With CYEVENTS_CHECKS=full, `pure` and `other` run the pure core's whole suite too, not a quick selection of it.
"""

import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nox

ROOT = Path(__file__).parent
MAIN = f"{sys.version_info[0]}.{sys.version_info[1]}" + "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
OTHERS = [version for version in ("3.11", "3.12", "3.13", "3.14", "3.14t", "3.15") if version != MAIN]
GROUPS = nox.project.load_toml(ROOT / "pyproject.toml")
BUILD_FILES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "src", "bridge")
IGNORED = shutil.ignore_patterns("*.so", "*.pyd", "*.c", "*.egg-info", "__pycache__", "build", "tests")
OBSERVED = ("results", "dispatch_order", "conditions", "error_policies", "emit_async", "reentrancy", "scheduling")
OBSERVED = [f"tests/test_{name}.py" for name in (*OBSERVED, "sequential", "wildcards")]
FULL = os.environ.get("CYEVENTS_CHECKS") == "full"
COMPILED, PURE = {"CYEVENTS_PURE_PYTHON": "0"}, {"CYEVENTS_PURE_PYTHON": "1"}
WITHOUT_NATS = ("-k", "not redis and not amqp")


def find_pyenv_pythons():
    """Return the folders of the Pythons in pyenv, whose commands on the PATH run only those that are switched on."""
    pyenv = shutil.which("pyenv")
    if pyenv is None:
        return []
    root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=True).stdout.strip()
    return sorted(map(str, Path(root, "versions").glob("3.*/bin")))


nox.needs_version = ">=2026.10.20"
nox.options.error_on_missing_interpreters = False  # such sessions are skipped, and the summary says so
nox.options.download_python = "never"
check = functools.partial(nox.session, allow_parallel=True)
script = functools.partial(nox.session, allow_parallel=True, venv_backend="none")
os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *find_pyenv_pythons()])
os.environ.update(PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_ROOT_USER_ACTION="ignore", PYTHON=sys.executable)
os.environ["PIP_COMPILE"] = "0"  # Python compiles what a session imports, which is much less than what pip installs


def wheels(session, version):
    """Return the folder for the wheels that `build` makes for a Python."""
    return Path(session.cache_dir, "wheels", version)


def copy_source(session):
    """Copy what builds need, so that sessions that run at the same time do not share a `build` folder."""
    copy = Path(session.create_tmp(), "source").resolve()
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for name in BUILD_FILES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=IGNORED)
        else:
            shutil.copy(ROOT / name, copy)
    return copy


def install(session, *groups, extras="", bridge=None):
    """Install the wheels that `build` made for this Python, with their extras, and dependency groups."""
    folder = wheels(session, session.python or MAIN)
    requirements = [f"{next(folder.glob('cyevents-*.whl'))}{extras}"]
    if bridge is not None:
        requirements.append(f"{next(folder.glob('cyevents_bridge-*.whl'))}{bridge}")
    session.install(*requirements, *(one for group in groups for one in nox.project.dependency_groups(GROUPS, group)))


def pytest(session, *arguments, **options):
    """Run pytest."""
    session.run("python", "-m", "pytest", "--quiet", *arguments, **options)


# Builds


@check(python=[MAIN, *OTHERS], default=False)
def build(session):
    """Build the wheels of cyevents and its bridge that the other sessions install."""
    folder = wheels(session, session.python)
    shutil.rmtree(folder, ignore_errors=True)
    copy = copy_source(session)
    command = ["python", "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder.resolve()]
    session.run(*command, copy, copy / "bridge", env={"CYEVENTS_BUILD_EXTENSION": "yes"})


# The suite


@check(requires=[f"build-{MAIN}"], tags=["push"], default=False)
def quick(session):
    """Run a quick selection of the suite, compiled and pure. Arguments: of pytest."""
    install(session, extras="[test]")
    pytest(session, *session.posargs, env=COMPILED)


@check(requires=[f"build-{MAIN}"])
def suite(session):
    """Run the full suite, compiled and pure, and again in part with every event observed."""
    install(session, extras="[test]")
    pytest(session, "--full", *session.posargs, env=COMPILED)
    session.run("python", "-m", "cyevents", "info", env=COMPILED)
    session.run("python", "-m", "cyevents", "demo", env=COMPILED)
    session.run("python", "tests/fuzz/target.py", "10", env=COMPILED)
    pytest(session, "tests/model", *OBSERVED, env={"CYEVENTS_TEST_OBSERVED": "1"})


@check
def pure(session):
    """Run a quick selection on the pure core, installed where the compiler fails. `suite` runs all of it."""
    copy = copy_source(session)
    session.install(f"{copy}[test]", env={"CYEVENTS_BUILD_EXTENSION": "", "CC": "false"})
    info = session.run("python", "-m", "cyevents", "info", silent=True)
    if "the extension is not built" not in info:
        session.error(f"{info}\nthe extension is built")
    pytest(session, *(["--full"] if FULL else []), *session.posargs)
    session.run("python", "-m", "cyevents", "demo", "--quiet")


@check(name="other", python=OTHERS, requires=["build-{python}"])
def suite_on_other_python(session):
    """Run the full suite on another Python, compiled; of the pure core, a quick selection."""
    install(session, extras="[test]")
    selection = () if FULL else ("--quick-pure",)
    pytest(session, "--full", *selection, *session.posargs, env=COMPILED)
    if session.python.endswith("t"):
        session.run("python", "tests/stress", "--seconds", "1", env=COMPILED)


@script
def debug(session):
    """Run the full suite on a debug build of CPython, if there is one."""
    found = find(session, ".ci/debug_python")
    flags = find(session, ".ci/debug_python", "--cflags")
    folder = Path(session.create_tmp(), "env").resolve()
    session.run(found, "-m", "venv", "--clear", "--without-pip", folder, external=True)
    python, pip = folder / "bin/python", [sys.executable, "-m", "pip", "--python", folder / "bin/python", "install"]
    environment = {"CYEVENTS_BUILD_EXTENSION": "yes", **({"CFLAGS": flags} if flags else {})}
    session.run(*pip, "--quiet", f"{copy_source(session)}[test]", env=environment, external=True)
    session.run(python, "-m", "pytest", "--quiet", "--full", *session.posargs, env=COMPILED, external=True)


def find(session, *command):
    """Return the output of a script that finds something; skip the session if it finds nothing."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not done.stdout.strip() and "--cflags" not in command:
        session.skip(done.stderr.strip())
    return done.stdout.strip()


# The bridge


@check(requires=[f"build-{MAIN}"])
def bridge(session):
    """Run the bridge's tests over all brokers that are installed. Arguments: of pytest, such as `-k redis`."""
    install(session, "bridge", extras="", bridge="[test]")
    session.chdir("bridge")
    pytest(session, "-n", "3", "--dist", "loadfile", *session.posargs, env=COMPILED)


@check(requires=[f"build-{MAIN}"])
def bridge_pure(session):
    """Run the bridge's tests over NATS on the pure core."""
    install(session, bridge="[test]")
    session.chdir("bridge")
    names = ("bridge", "faults", "hostile", "opentelemetry")
    pytest(session, *(f"tests/test_{name}.py" for name in names), *WITHOUT_NATS, env=PURE)


@check(python=[version for version in OTHERS if version == "3.13"], requires=["build-{python}"])
def bridge_on(session):
    """Run the bridge's tests over NATS on another Python: asyncio and the clients differ."""
    install(session, bridge="[test]")
    session.chdir("bridge")
    pytest(session, "tests/test_bridge.py", "tests/test_nats.py", *WITHOUT_NATS, env=COMPILED)


# The rest


@check(requires=[f"build-{MAIN}"], tags=["push"])
def style(session):
    """Check style and types, and that types match the package at run time."""
    install(session, "lint", "release", extras="[test]", bridge="[test]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    with session.chdir("bridge"):
        session.run("mypy")
    session.run(".ci/untyped_locals", external=True)
    examples = [path.relative_to(ROOT) for path in sorted(ROOT.glob("examples/*.py"))]
    session.run("mypy", "--strict", *examples)  # the other examples follow, with their requirements
    pytest(session, *(f"tests/test_{name}.py" for name in ("typing", "stubs", "wheels")))


@script(tags=["push"])
def workflows(session):
    """Check the files in `.github`."""
    session.run(".ci/lint_workflows", external=True)


@check(requires=[f"build-{MAIN}"])
def examples(session):
    """Run the applications of `examples/` under their servers, and check their types and the how-to pages."""
    install(session, "examples-check", extras="[test]")
    pytest(session, "tests/examples", "tests/test_bound_events.py", *session.posargs, env=COMPILED)
    cache = Path(session.create_tmp(), "mypy")
    session.run("mypy", "--cache-dir", cache, "--config-file", "examples/mypy.ini", "examples")


@check(requires=[f"build-{MAIN}"])
def bench(session):
    """Run the comparison suite in brief, and count instructions if valgrind is installed."""
    install(session, "bench")
    pytest(session, "--benchmark-disable", "benchmarks")
    session.run("python", "-m", "benchmarks", "--brief")
    session.run("python", "-m", "cyevents", "bench", "--seconds", "0.1")
    session.run("python", "-m", "benchmarks", "instructions")


@check(requires=[f"build-{MAIN}"], default=False)
def benchmarks(session):
    """Run `python -m benchmarks` with the arguments: `compare OLD.json NEW.json`, `publish`, `instructions --renew`."""
    install(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)


@script
def sanitize(session):
    """Run the suite in brief under the address and undefined-behaviour sanitizers. Arguments: `--full`."""
    session.run(".ci/sanitize", *session.posargs, external=True)


@script
def peers(session):
    """Run the tests of blinker, Flask, Quart and Pelican against `cyevents.blinker`."""
    session.run(".ci/peers_suites", *session.posargs, external=True)


@script
def site(session):
    """Build the site, with warnings as errors. Arguments: `serve` shows it while you write."""
    session.run(".ci/docs", *session.posargs, external=True)


@script(name="wheels")
def test_wheels(session):
    """Build the sdist and wheels as a release does, and test them. Arguments: `--all --whole --cross`."""
    session.run(sys.executable, ".ci/wheels", *session.posargs, external=True)


# Not by default, because they take long


@script(default=False)
def coverage(session):
    """Measure the coverage of the kernel, the tables and the rest: 95 % of each."""
    session.run(".ci/coverage", external=True)


@script(default=False)
def speed(session):
    """Measure how your changes affect the speed. Arguments: the commit to compare with."""
    session.run(sys.executable, ".ci/bench", *(session.posargs or ["main"]), external=True)


@script(default=False)
def trust(session):
    """Run the long forms of the checks behind `docs/promises.md`: hours. Arguments: `--brief`, names of checks."""
    session.run(".ci/trust", *session.posargs, external=True)


@script(default=False)
def sanitize_threads(session):
    """Run the stress programs under the thread sanitizer. Arguments: seconds for each program."""
    session.run(".ci/sanitize_threads", *session.posargs, external=True)


@check(requires=[f"build-{MAIN}"], default=False)
def chaos(session):
    """Run the bridge while a broker and workers are killed. Arguments: `--broker nats --minutes 5`."""
    install(session, bridge="[test]")
    session.run("python", "bridge/tests/chaos.py", *session.posargs)


@check(requires=[f"build-{MAIN}"], default=False)
def throughput(session):
    """Measure the bridge's speed against the bare clients. Arguments: `nats`, `redis` or `rabbitmq`."""
    install(session, bridge="[test]")
    session.run("python", "bridge/benchmarks/throughput.py", *session.posargs)
