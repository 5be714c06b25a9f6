"""One suite over both cores: the fixture `api` is the package `cyevents` as it is with each of them."""

import asyncio
import gc
import importlib.util
import os
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ENVIRONMENT = "CYEVENTS_PURE_PYTHON"
SWITCH = {"cython": "0", "python": "1"}
packages = {}  # backend -> its modules by name


def pytest_addoption(parser):
    parser.addoption("--pure-only", action="store_true", help="test the pure-Python core alone")


def pytest_configure(config):
    config.last_module = None
    config.backends = ["python"] if config.getoption("--pure-only") or not must_be_compiled() else ["cython", "python"]


def must_be_compiled():
    """Whether the compiled core is to be tested: unless it has never been built, and is not required.

    The package is not imported for that: it is to be loaded by `load` alone, since the compiled core refers to the
    modules that it was loaded with.
    """
    return bool(built()) or os.environ.get(ENVIRONMENT) == "0"


def built():
    """The files of the compiled core: one for each Python for which an editable install has built it."""
    folders = importlib.util.find_spec("cyevents").submodule_search_locations
    files = [path for folder in folders for path in Path(folder, "_core").glob("_*.*")]
    return [path for path in files if path.suffix in (".so", ".pyd")]


def is_stale():
    """Whether this is an editable install whose Cython source has changed since."""
    for path in built():
        sources = [path.with_name(name) for name in ("_tables.py", "_tables.pxd", "_emit.pyx")]
        if not all(source.exists() for source in sources):
            continue  # from a wheel, whose files have the times at which they were installed
        if any(source.stat().st_mtime > path.stat().st_mtime for source in sources):
            return True
    return False


def pytest_runtest_setup(item):
    """Before each module: many tests collect garbage, which is not to be sought among what others have made."""
    module = item.nodeid.partition("::")[0]
    if module != item.config.last_module:
        item.config.last_module = module
        gc.collect()
        gc.freeze()


def pytest_report_header(config):
    if "cython" in config.backends:
        header = "cyevents: testing both cores, the compiled and the pure one"
        if is_stale():
            header += ', but the compiled one is OLDER than its source: run `python -m pip install -e ".[test]"` again'
        return header
    return "cyevents: testing the pure core ALONE" + (
        "" if config.getoption("--pure-only") else ": the extension is not built"
    )


def pytest_generate_tests(metafunc):
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", metafunc.config.backends, scope="session")


def modules():
    return {name: sys.modules[name] for name in list(sys.modules) if name.split(".")[0] == "cyevents"}


def load(backend):
    """Make the package with this backend the one that `import cyevents` finds."""
    current = modules()
    assert packages or not current, "the package has been imported before the tests"
    for other, theirs in packages.items():
        if theirs.get("cyevents") is current.get("cyevents"):
            packages[other] = current  # with what it has imported since
    for name in current:
        del sys.modules[name]
    if backend in packages:
        sys.modules.update(packages[backend])
    else:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(ENVIRONMENT, SWITCH[backend])
            importlib.import_module("cyevents")
        packages[backend] = modules()
        if os.environ.get("CYEVENTS_TEST_OBSERVED") == "1":
            observe_all()
    package = sys.modules["cyevents"]
    assert package.backend == backend
    return package


def observe_all():
    """Observe every event that is made from now on, in the package that `import cyevents` finds."""
    instrument = importlib.import_module("cyevents.instrument")

    class Everything(instrument.Instrument, instrument.EmissionSpan):
        def begin(self, start):
            return self

        def call(self, entry, handler):
            return instrument.CallSpan()

    instrument.Scope(["*"], everywhere=True)._start(Everything())


@pytest.fixture
def api(backend):
    """The package with one of the cores, its default namespace empty and nothing scheduled."""
    package = load(backend)
    yield package
    package.use_loop(None)
    package.default_namespace.clear()
    package.default_namespace.on_error = None
    assert package.drain(timeout=10)


@pytest.fixture
def testing(api):
    """The package's module for its users' tests."""
    return importlib.import_module("cyevents.testing")


@pytest.fixture
def events(testing):
    """What is emitted in the default namespace: as the plugin's fixture, with each core."""
    with testing.Recorder() as recorder:
        yield recorder


@pytest.fixture
def cores(request):
    """The package with each of the cores at once, by backend."""
    both = {}
    for backend in request.config.backends:
        both[backend] = package = load(backend)
        for name in package.__all__:  # what is imported when asked for is this package's own now
            getattr(package, name)
    yield both
    for package in both.values():
        assert package.drain(timeout=10)


@pytest.fixture
def both(cores):
    """The package with each core, to compare: the compiled one, the pure one."""
    if len(cores) < 2:
        pytest.skip("there is one core only")
    return list(cores.values())


@pytest.fixture
def ns(api):
    """A namespace of its own."""
    return api.Namespace()


@pytest.fixture
def collect():
    """Collect garbage until there is none."""

    def run():
        for _ in range(3):
            gc.collect()

    return run


@pytest.fixture
def no_garbage(collect):
    """No callback of what is collected meanwhile runs where there is no stack left."""
    collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def run():
    """Run a coroutine to its end: `run(coroutine)`."""
    return asyncio.run


@pytest.fixture
def blinker(api):
    """The package's module with blinker's API."""
    module = importlib.import_module("cyevents.blinker")
    yield module
    module.default_namespace.clear()


@pytest.fixture
def restored(monkeypatch):
    """Neither blinker nor Flask is imported, and afterwards they are what they were."""
    theirs = ("blinker", "flask")
    for name in [name for name in sys.modules if name.split(".")[0] in theirs]:
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in theirs]:
        del sys.modules[name]
