"""Run one suite over both cores: the fixture `api` is the package `cyevents` with one of them.

`python -m pytest` runs a quick selection of the tests: the first and the last case of each test with each core, without
tests marked `slow`. `--full` runs all. A path, a test id, `-k`, `-m` or `--last-failed` runs all that it names.
"""

import asyncio
import faulthandler
import gc
import importlib.util
import os
import sys
import time
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ENVIRONMENT = "CYEVENTS_PURE_PYTHON"
SWITCH = {"cython": "0", "python": "1"}
packages = {}  # backend -> its modules by name


def pytest_addoption(parser):
    parser.addoption("--pure-only", action="store_true", help="test the pure-Python core alone")
    parser.addoption("--full", action="store_true", help="run all tests, not only a quick selection")
    parser.addoption("--quick-pure", action="store_true", help="run a quick selection with the pure core")


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes long or is exhaustive, so only --full or naming the test runs it")
    config.last_module, config.unfrozen = None, 0  # tests since the last time that garbage was frozen
    config.watched_until = 0
    config.stderr = os.dup(sys.__stderr__.fileno())  # not what pytest captures
    config.left_out = 0  # tests that the quick selection leaves out
    config.backends = ["python"] if config.getoption("--pure-only") or not needs_compiled() else ["cython", "python"]


def is_quick(config):
    """Return whether to run the quick selection: neither --full nor the choice of certain tests was given."""
    chosen = ("full", "keyword", "markexpr", "lf", "stepwise")
    given = config.args_source is pytest.Config.ArgsSource.ARGS
    return not given and not any(config.getoption(name, None) for name in chosen)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    only_pure = config.getoption("--quick-pure") and not is_quick(config)
    if only_pure or is_quick(config):
        chosen = choose_quick(items)
        if only_pure:
            chosen |= {item for item in items if backend_of(item) != "python"}
        left_out = [item for item in items if item not in chosen]
        config.left_out = len(left_out)
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item in chosen]


def choose_quick(items):
    """Return the first and the last case of each test with each core, without slow tests."""
    cases = {}
    for item in items:
        if item.get_closest_marker("slow") is None:
            cases.setdefault((item.nodeid.partition("[")[0], backend_of(item)), []).append(item)
    return {case for each in cases.values() for case in (each[0], each[-1])}


def backend_of(item):
    """Return the core that a test runs with, or None if it does not run once with each."""
    return item.callspec.params.get("backend") if hasattr(item, "callspec") else None


def pytest_report_collectionfinish(config):
    return describe_left_out(config)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session):
    yield
    if line := describe_left_out(session.config):
        session.config.get_terminal_writer().line(line)


def describe_left_out(config):
    """Return a line about the tests that the quick selection leaves out, or nothing."""
    if not config.left_out:
        return []
    return f"cyevents: a quick selection, {config.left_out} tests are left out: `python -m pytest --full` runs them"


def needs_compiled():
    """Return whether the compiled core must be tested: it was built, or it is required.

    This does not import the package. Only `load` may do that, since the compiled core refers to the modules that it was
    loaded with.
    """
    return bool(find_extensions()) or os.environ.get(ENVIRONMENT) == "0"


def find_extensions():
    """Return the compiled core's files: one for each Python that an editable install has built it for."""
    folders = importlib.util.find_spec("cyevents").submodule_search_locations
    files = [path for folder in folders for path in Path(folder, "_core").glob("_*.*")]
    return [path for path in files if path.suffix in (".so", ".pyd")]


def is_stale():
    """Return whether this is an editable install whose Cython source has changed since the build."""
    for path in find_extensions():
        sources = [path.with_name(name) for name in ("_tables.py", "_tables.pxd", "_emit.pyx")]
        if not all(source.exists() for source in sources):
            continue  # from a wheel, whose files have the times at which they were installed
        if any(source.stat().st_mtime > path.stat().st_mtime for source in sources):
            return True
    return False


def pytest_runtest_setup(item):
    """Collect and freeze what earlier tests left, often, so that `gc.collect()` in tests does not scan it again."""
    module = item.nodeid.partition("::")[0]
    item.config.unfrozen += 1
    watch_for_hangs(item.config)
    if module != item.config.last_module or item.config.unfrozen > 25:
        item.config.last_module, item.config.unfrozen = module, 0
        gc.collect()
        gc.freeze()


def watch_for_hangs(config):
    """Have all threads shown if a test takes two minutes.

    pytest's `faulthandler_timeout` starts and joins a thread for each test. This starts one every ten seconds, so some
    tests are shown up to ten seconds earlier.
    """
    now = time.monotonic()
    if now >= config.watched_until:
        config.watched_until = now + 10
        faulthandler.dump_traceback_later(120, file=config.stderr)


def pytest_unconfigure():
    faulthandler.cancel_dump_traceback_later()


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
    return {name: sys.modules[name] for name in list(sys.modules) if name == "cyevents" or name.startswith("cyevents.")}


def load(backend):
    """Make the package with this backend the one that `import cyevents` finds."""
    current = modules()
    assert packages or not current, "the package has been imported before the tests"
    for other, known in packages.items():
        if known.get("cyevents") is current.get("cyevents"):
            packages[other] = current  # with the modules imported since
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
    """Observe every event created from now on in the package that `import cyevents` finds."""
    instrument = importlib.import_module("cyevents.instrument")

    class Everything(instrument.Instrument, instrument.EmissionSpan):
        def begin(self, start):
            return self

        def call(self, entry, handler):
            return instrument.CallSpan()

    instrument.Scope(["*"], everywhere=True)._start(Everything())


@pytest.fixture
def api(backend):
    """Return the package with one of the cores, with an empty default namespace and nothing scheduled."""
    package = load(backend)
    yield package
    package.use_loop(None)
    package.default_namespace.clear()
    package.default_namespace.on_error = None
    assert package.drain(timeout=10)


@pytest.fixture
def testing(api):
    """Return `cyevents.testing`."""
    return importlib.import_module("cyevents.testing")


@pytest.fixture
def events(testing):
    """Record emissions in the default namespace, as the pytest plugin's fixture does, with each core."""
    with testing.Recorder() as recorder:
        yield recorder


@pytest.fixture
def cores(request):
    """Return the package with each core at once, by backend."""
    both = {}
    for backend in request.config.backends:
        both[backend] = package = load(backend)
        for name in package.__all__:  # what is imported lazily must come from this package, so import it now
            getattr(package, name)
        package._event.load_emit_async()
        package._event._load_stream()
        package._hooks._load_schedule()
    yield both
    for package in both.values():
        assert package.drain(timeout=10)


@pytest.fixture
def both(cores):
    """Return the package with both cores, for comparison: (compiled, pure)."""
    if len(cores) < 2:
        pytest.skip("there is only one core")
    return list(cores.values())


@pytest.fixture
def ns(api):
    """Return a new namespace."""
    return api.Namespace()


@pytest.fixture
def collect():
    """Collect garbage until none is left."""

    def run():
        for _ in range(3):
            gc.collect()

    return run


@pytest.fixture
def no_garbage(collect):
    """Disable the garbage collector, so that no callback runs where no stack is left."""
    collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def run():
    """Run a coroutine until it ends: `run(coroutine)`."""
    return asyncio.run


@pytest.fixture(params=["emit", "emit_async"])
def fire(request, run):
    """Emit with `emit` or `emit_async`: `fire(event, sender, ...)`."""
    if request.param == "emit":
        return lambda event, /, *args, **kwargs: event.emit(*args, **kwargs)
    return lambda event, /, *args, **kwargs: run(event.emit_async(*args, **kwargs))


@pytest.fixture(params=["x", "x*"], ids=["event", "pattern"])
def target(request, ns):
    """Where handlers are connected: the event `x`, or a pattern that matches it."""
    ns.event("x")
    return ns.event(request.param)


@pytest.fixture
def blinker(api):
    """Return `cyevents.blinker`."""
    module = importlib.import_module("cyevents.blinker")
    yield module
    module.default_namespace.clear()


@pytest.fixture
def restored(monkeypatch):
    """Start with blinker and Flask not imported, and restore both afterwards."""
    known = ("blinker", "flask")
    for name in [name for name in sys.modules if name.split(".")[0] in known]:
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] in known]:
        del sys.modules[name]
