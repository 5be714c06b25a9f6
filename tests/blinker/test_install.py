"""cyevents.blinker as a replacement for blinker: `install`, the command line, and the cost of the import."""

import importlib
import importlib.util
import os
import subprocess
import sys
import textwrap

import pytest

needs_blinker = pytest.mark.skipif(importlib.util.find_spec("blinker") is None, reason="blinker is not installed")


@pytest.fixture
def python(backend, tmp_path):
    """Run a script in a child process with one of the cores: python(script, *arguments) -> its output."""

    def run(script, *arguments, code=0, stderr=""):
        if script is not None:
            (tmp_path / "script.py").write_text(textwrap.dedent(script), encoding="utf-8")
            arguments = (*arguments, "script.py")
        ended = subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            env=os.environ | {"CYEVENTS_PURE_PYTHON": "0" if backend == "cython" else "1"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (ended.returncode, ended.stderr) == (code, stderr) if not code else ended.returncode == code
        return ended.stdout if not code else ended.stderr

    return run


# install


def test_import_blinker_gives_cyevents_blinker(blinker, restored):
    blinker.install()
    blinker.install()
    assert importlib.import_module("blinker") is blinker
    assert importlib.import_module("blinker.base").Signal is blinker.Signal
    names = {}
    exec("from blinker import *", names)
    assert {name for name in names if not name.startswith("__")} == {
        "ANY",
        "NamedSignal",
        "Namespace",
        "Signal",
        "default_namespace",
        "signal",
    }


@needs_blinker
def test_module_has_the_names_of_blinker(blinker):
    real = importlib.import_module("blinker")
    assert set(real.__all__) == set(blinker.__all__)
    for name, arguments in (("Signal", ()), ("NamedSignal", ("x",)), ("Namespace", ())):
        original, replacement = (dir(getattr(module, name)(*arguments)) for module in (real, blinker))
        assert {attribute for attribute in original if not attribute.startswith("_")} <= set(replacement), name


@needs_blinker
def test_earlier_signals_keep_working(python):
    assert (
        python("""
        import blinker
        from blinker import Signal, signal

        old, named = Signal(), signal("named")
        received = []
        receive = lambda sender: received.append(sender)
        old.connect(receive)
        named.connect(receive)

        import cyevents.blinker
        replacement = cyevents.blinker.signal("both")
        original = signal("both")
        cyevents.blinker.install()
        import blinker as new

        assert new is cyevents.blinker and new.Signal is not Signal and blinker is not new
        old.send(1)
        named.send(2)
        new.signal("named").send(3)
        assert new.signal("named") is named and isinstance(named, Signal)
        assert new.signal("both") is replacement
        assert isinstance(new.signal("fresh"), new.NamedSignal)
        print(received)
    """)
        == "[1, 2, 3]\n"
    )


def test_blinker_need_not_be_installed(python):
    assert (
        python("""
        import sys
        sys.modules["blinker"] = None  # so that its import fails
        del sys.modules["blinker"]
        class Nothing:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] == "blinker":
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Nothing())
        import cyevents.blinker
        cyevents.blinker.install()
        import blinker.base
        from blinker.base import NamedSignal
        print(blinker.signal("x").name)
    """)
        == "x\n"
    )


# The command line


def test_command_runs_a_script(python, tmp_path):
    (tmp_path / "beside.py").write_text("from blinker import signal\n", encoding="utf-8")
    script = """
        import sys
        import blinker
        from beside import signal
        print(__name__, blinker.__name__, signal is blinker.signal, sys.argv, "__file__" in globals())
        sys.exit(3 if sys.argv[1:] == ["--fail"] else 0)
    """
    assert python(script, "-m", "cyevents.blinker") == "__main__ cyevents.blinker True ['script.py'] True\n"
    assert python(None, "-m", "cyevents.blinker", "script.py", "-m", "--x") == (
        "__main__ cyevents.blinker True ['script.py', '-m', '--x'] True\n"
    )
    assert python(None, "-m", "cyevents.blinker", "script.py", "--fail", code=3) == ""


def test_command_runs_a_module(python, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__main__.py").write_text("import blinker, sys\nprint(blinker.__name__, sys.argv[1:])\n", "utf-8")
    assert python(None, "-m", "cyevents.blinker", "-m", "package", "-x") == "cyevents.blinker ['-x']\n"


def test_command_errors(python):
    assert "usage: python -m cyevents.blinker SCRIPT" in python(None, "-m", "cyevents.blinker", code=2)
    assert "usage:" in python(None, "-m", "cyevents.blinker", "--other", code=2)
    assert "usage:" in python(None, "-m", "cyevents.blinker", "-m", code=2)
    assert python(None, "-m", "cyevents.blinker", "--help").startswith("usage:")
    assert python(None, "-m", "cyevents.blinker", "none.py", code=2) == (
        "cyevents.blinker: there is no file 'none.py'\n"
    )


# Test suites


PLUGIN = "import cyevents.blinker\n\ncyevents.blinker.install()\n"
WAYS = {
    "command": ["-m", "cyevents.blinker", "-m", "pytest"],
    "plugin": ["-m", "pytest", "-p", "use_cyevents"],
    "conftest": ["-m", "pytest"],
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_pytest_starts_with_warnings_as_errors(backend, tmp_path, monkeypatch, way):
    """pytest warns about modules it cannot rewrite if a plugin's package was imported before the plugins are loaded."""
    for name in ("PYTEST_ADDOPTS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD", "PYTEST_PLUGINS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", encoding="utf-8")
    (tmp_path / "test_it.py").write_text(
        "import blinker\nimport sys\n\ndef test():\n"
        "    assert blinker.Signal.__module__ == 'cyevents.blinker.base'\n"
        "    assert 'cyevents.pytest_plugin' in sys.modules\n",
        encoding="utf-8",
    )
    if way != "command":
        name = "conftest.py" if way == "conftest" else "use_cyevents.py"
        (tmp_path / name).write_text(PLUGIN, encoding="utf-8")
    ended = subprocess.run(
        [sys.executable, *WAYS[way], "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"],
        env=os.environ | {"CYEVENTS_PURE_PYTHON": "0" if backend == "cython" else "1", "PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 passed" in ended.stdout


# The import


def test_import_is_cheap(python):
    brought = python("""
        import sys
        before = set(sys.modules)
        from cyevents.blinker import Signal
        signal = Signal()
        def receive(sender):
            pass
        class Owner:
            def method(self, sender):
                pass
        owner = Owner()
        signal.connect(receive)
        signal.connect(owner.method)
        with signal.muted(), signal.connected_to(print):
            signal.send()
        print(*sorted(set(sys.modules) - before))
    """)
    heavy = {"asyncio", "collections", "contextlib", "functools", "inspect", "logging", "typing", "weakref"}
    assert not heavy & set(brought.split())
