"""What the documents show is true: README's blocks, docstrings' examples, the programs in examples/."""

import asyncio
import doctest
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = ["_common", "_event", "_namespace", "_aio", "_backend", "_streams", "_signatures"]
MODULES += ["_describe", "_isolation", "testing", "_emission", "_observers", "_trace", "opentelemetry"]


def blocks(path):
    return re.findall(r"```python\n(.*?)```", path.read_text("utf-8"), re.S)


@pytest.mark.parametrize("number", range(len(blocks(ROOT / "README.md"))))
def test_readme(api, capsys, number):
    block = blocks(ROOT / "README.md")[number]
    exec(compile(block, f"README.md[{number}]", "exec"), {"__name__": "readme"})
    expected = re.findall(r"^print\(.*\)\n# (.*)$", block, re.M) + re.findall(r"^ *print\(.*?\) +# (.*)$", block, re.M)
    expected += re.findall(r"# prints: (.*)$", block, re.M)
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(expected)


GUIDES = [
    (name, number)
    for name in ("waiting", "typing", "loops", "trace", "opentelemetry")
    for number in range(len(blocks(ROOT / f"docs/{name}.md")))
]


@pytest.mark.parametrize(("name", "number"), GUIDES)
def test_guides(api, capsys, name, number):
    block = blocks(ROOT / f"docs/{name}.md")[number]
    for module in re.findall(r"^import (trio)$", block, re.M):
        pytest.importorskip(module)
        pytest.importorskip("anyio")
    if name == "opentelemetry":
        pytest.importorskip("opentelemetry")
    exec(compile(block, f"{name}.md[{number}]", "exec", dont_inherit=True), {"__name__": "guide"})
    expected = re.findall(r"^ *print\(.*\)\n# (.*)$", block, re.M) + re.findall(
        r"^ *print\(.*?\) +# (.*)$", block, re.M
    )
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(expected)


def test_readme_has_the_commands_that_ci_runs():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert 'python -m pip install ".[test]" && python -m pytest\n' in readme
    assert "python -m pip install . && python -m cyevents demo\n" in readme


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(api, name):
    if name == "opentelemetry":
        pytest.importorskip("opentelemetry")
    module = importlib.import_module(f"cyevents.{name}")
    failed, _ = doctest.testmod(module)
    assert failed == 0


@pytest.mark.parametrize(("cls", "count"), [("EventCore", 3), ("NamespaceCore", 3)])
def test_docstrings_of_the_cores(api, cls, count):
    core = importlib.import_module("cyevents._backend").core
    emit = getattr(core, cls).emit
    test = doctest.DocTestParser().get_doctest(emit.__doc__, {}, cls, None, None)
    assert len(test.examples) >= count
    assert doctest.DocTestRunner().run(test).failed == 0


def public(api):
    yield "cyevents", api
    for name in api.__all__:
        thing = getattr(api, name)
        yield name, thing
        if isinstance(thing, type):
            for attribute, value in vars(thing).items():
                if not attribute.startswith("_") and (callable(value) or isinstance(value, property)):
                    yield f"{name}.{attribute}", value


def test_everything_public_has_a_docstring_of_its_own(api):
    described = {"backend", "default_namespace", "ANY"}  # plain values
    for name, thing in public(api):
        if name not in described:
            assert thing.__doc__, name


def test_both_cores_say_the_same_of_themselves(request):
    if "cython" not in request.config.backends:
        pytest.skip("the extension is not built")
    import inspect

    from cyevents import _core_c, _core_py

    for cls in ("EventCore", "NamespaceCore", "Entry"):
        theirs = getattr(_core_c, cls)
        ours = getattr(_core_py, cls)
        for name, value in vars(ours).items():
            if callable(value) and not name.startswith("__") and hasattr(theirs, name):
                assert inspect.cleandoc(getattr(theirs, name).__doc__) == inspect.cleandoc(value.__doc__), name


@pytest.mark.parametrize("program", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples(backend, program):
    environment = os.environ | {"CYEVENTS_PURE_PYTHON": "0" if backend == "cython" else "1"}
    run = subprocess.run(
        [sys.executable, "-W", "error", str(program)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout


def test_emit_async_is_named_in_the_warning_of_one_that_was_not_awaited(api, recwarn):
    emission = api.Event("x").emit_async()
    assert asyncio.iscoroutine(emission)
    assert emission.__qualname__ == "Event.emit_async"
    emission.close()


@pytest.mark.parametrize("page", ["testing.md", "describe.md"])
def test_pages(api, page):
    found = blocks(ROOT / "docs" / page)
    assert found
    for number, block in enumerate(found):
        exec(compile(block, f"{page}[{number}]", "exec"), {"__name__": "page"})
