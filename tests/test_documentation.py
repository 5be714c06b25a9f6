"""The documentation is true: blocks of README and docs/, examples in docstrings, programs in examples/."""

import asyncio
import contextlib
import doctest
import importlib.util
import inspect
import os
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = ["_core._values", "_event", "_bound", "_connection", "_namespace", "_async.scheduling", "_core._tables"]
MODULES += ["_async.streams", "_rates", "_signatures"]
MODULES += ["_describe", "_isolation", "testing", "_emission", "_trace", "_traced", "opentelemetry"]
MODULES += ["instrument", "_context", "instrument._scope"]


# Pages show code in fences. A comment in the line before a fence marks a special case:
#     <!-- continues -->       it continues the previous block
#     <!-- from FILE -->       it is part of that file, which other tests run
#     <!-- not run: why -->    it is not run
# `print(...)  # this`, comment lines directly after a print, and `# prints: this` give the expected output.
FENCE = re.compile(r"^(?:<!-- (continues|from .+|not run: .+) -->\n)?( *)```(.*)\n((?:.*\n)*?)\2```$", re.M)
LANGUAGES = {"python", "console", "sh", "text", "toml", "ini", "json", "yaml", "html", ""}
OPTIONAL = {
    "asgiref",
    "bubus",
    "django",
    "fastapi",
    "flask",
    "nitro",
    "opentelemetry",
    "pluggy",
    "psygnal",
    "pydantic",
    "pyee",
    "rich",
    "starlette",
    "trio",
}
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def fences(path):
    """Return the fenced blocks of a page: remark, language, text and the number of the text's first line."""
    text = path.read_text("utf-8")
    for found in FENCE.finditer(text):
        remark, _, language, block = found.groups()
        yield remark or "", language, textwrap.dedent(block), text.count("\n", 0, found.start(4)) + 1


def programs():
    """Return the programs of all pages: page, first line, and blocks padded to keep their line numbers."""
    for page in PAGES:
        program = []
        for remark, language, block, line in fences(page):
            if language != "python" or remark.startswith(("from ", "not run: ")):
                continue
            if remark != "continues":
                program = []
                yield page, line, program
            program.append((line, block))


def expected(block):
    """Return the output that a block announces."""
    after = re.findall(r"^ *print\(.*\)\n((?: *# (?!prints: ).*\n)+)", block, re.M)
    lines = [line.strip().removeprefix("# ") for comment in after for line in comment.splitlines()]
    lines += re.findall(r"^ *print\(.*?\) +# (?!prints: )(.*)$", block, re.M)
    return lines + re.findall(r"# prints: (.*)$", block, re.M)


PROGRAMS = [pytest.param(*it, id=f"{name_of(it[0])}:{it[1]}") for it in programs()]
PARTS = [
    pytest.param(remark.removeprefix("from "), block, id=f"{name_of(page)}:{line}")
    for page in PAGES
    for remark, _, block, line in fences(page)
    if remark.startswith("from ")
]
COMMANDS = [
    pytest.param(block, id=f"{name_of(page)}:{line}")
    for page in PAGES
    for _, language, block, line in fences(page)
    if language == "console"
]


@pytest.mark.parametrize(("page", "line", "program"), PROGRAMS)
def test_programs_print_what_pages_say(request, api, capsys, page, line, program):
    if any("blinker" in block for _, block in program):
        request.getfixturevalue("blinker")
        request.getfixturevalue("restored")
    if page.name == "weak.md" and not getattr(sys, "_is_gil_enabled", lambda: True)():
        pytest.skip("functions die later on free-threaded Python, as the page says")
    names = {"__name__": "document"}
    for number, block in program:
        imported = {part for name in re.findall(r"^(?:import|from) ([\w.]+)", block, re.M) for part in name.split(".")}
        for module in imported & OPTIONAL:
            if not all(map(importlib.util.find_spec, [module, *["anyio"] * (module == "trio")])):
                pytest.skip(f"{module} is not installed")
        code = compile("\n" * (number - 1) + block, page, "exec", dont_inherit=True)
        exec(code, names)
        assert sorted(capsys.readouterr().out.splitlines()) == sorted(expected(block)), f"{page}:{number}"
    testing = importlib.import_module("cyevents.testing")
    fixtures = {"events": testing.Recorder, "isolated_events": testing.Isolation}
    for name in [name for name in names if name.startswith("test_")]:
        with contextlib.ExitStack() as stack:
            expected_lines = inspect.signature(names[name]).parameters
            names[name](**{fixture: stack.enter_context(fixtures[fixture]()) for fixture in expected_lines})


@pytest.mark.parametrize(("file", "block"), PARTS)
def test_parts_of_files_match_the_files(file, block):
    lines = (ROOT / file).read_text("utf-8").splitlines()
    expected_lines = block.splitlines()
    places = [lines[at : at + len(expected_lines)] for at in range(len(lines) - len(expected_lines) + 1)]
    assert any(textwrap.dedent("\n".join(place)) == "\n".join(expected_lines) for place in places)


@pytest.mark.parametrize("block", COMMANDS)
def test_commands_print_what_pages_say(backend, block):
    """A line of dots in the expected output matches any lines."""
    environment = os.environ | {"CYEVENTS_PURE_PYTHON": "0" if backend == "cython" else "1", "COLUMNS": "80"}
    for command, output in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
        python, *arguments = shlex.split(command)
        assert python == "python"
        run = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT / "examples", env=environment, capture_output=True, text=True
        )
        assert (run.returncode, run.stderr) == (0, "")
        assert re.fullmatch(re.escape(output).replace(r"\.\.\.\n", "(?:.*\n)*"), run.stdout), run.stdout


def test_every_block_is_tested():
    found = {language for page in PAGES for _, language, _, _ in fences(page)}
    assert found <= LANGUAGES
    assert {name_of(page) for page in PAGES} >= {"README.md", "docs/tutorial.md", "docs/concepts/events.md"}
    for page in PAGES:
        count = len(re.findall(r"^ *```", page.read_text("utf-8"), re.M))
        assert count == 2 * len(list(fences(page))), page


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
def test_docstrings_of_the_core(api, cls, count):
    core = sys.modules[importlib.import_module("cyevents._core").EventCore.__module__]
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


def test_everything_public_has_its_own_docstring(api):
    described = {"backend", "default_namespace", "ANY"}  # plain values
    for name, thing in [*public(api), *public(importlib.import_module("cyevents.instrument"))]:
        if name not in described:
            assert thing.__doc__, name


def test_both_cores_have_the_same_docstrings(both):
    compiled, uncompiled = both
    for cls, core in (("Event", "EventCore"), ("Namespace", "NamespaceCore")):
        compiled_core = next(base for base in getattr(compiled, cls).__mro__ if base.__name__ == core)
        (pure_core,) = [base for base in getattr(uncompiled, cls).__mro__ if base.__name__ == core]
        for name, value in vars(pure_core).items():
            if callable(value) and value.__doc__ and not name.startswith("__") and hasattr(compiled_core, name):
                assert inspect.cleandoc(getattr(compiled_core, name).__doc__) == inspect.cleandoc(value.__doc__), name


@pytest.mark.parametrize("program", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(backend, program):
    environment = os.environ | {"CYEVENTS_PURE_PYTHON": "0" if backend == "cython" else "1"}
    run = subprocess.run(
        [sys.executable, "-W", "error", str(program)], env=environment, capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout


def test_unawaited_warning_names_emit_async(api, recwarn):
    emission = api.Event("x").emit_async()
    assert asyncio.iscoroutine(emission)
    assert emission.__qualname__ == "Event.emit_async"
    emission.close()


def test_graph_picture_matches_the_text_above_it():
    page = ROOT / "docs/describe.md"
    text = next(block for _, language, block, _ in fences(page) if language == "console")
    picture = (ROOT / "docs/assets/orders.svg").read_text("utf-8")
    shown = set(re.findall(r"<text[^>]*>(.*?)</text>", picture))
    assert shown >= {name for line in re.findall(r"^ +\d+  (\w+) .* (\S+)$", text, re.M) for name in line}
    assert "orders.py:27" in shown
