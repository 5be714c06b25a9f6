"""`describe`: the graph of a namespace as data, text, table, Mermaid and SVG; and `python -m cyevents describe`."""

import functools
import inspect
import io
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import pytest

HERE = Path(__file__)
ODD = "odd \"name\" <b>#1</b>\\n `x` | {y} [z]; %% 'q' & 日本"


def line_of(function):
    return inspect.unwrap(function).__code__.co_firstlineno


def logged(function):
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapper


def is_large(sender, **kwargs):
    return True


@logged
def validate(sender, **kwargs):
    pass


async def charge(sender, **kwargs):
    pass


def log(sender, **kwargs):
    yield


class Mailer:
    def send(self, sender, **kwargs):
        pass

    def __call__(self, sender, **kwargs):
        pass


MAILER = Mailer()


@pytest.fixture
def shop(api):
    ns = api.Namespace(on_error="group")
    placed = ns.event("order.placed", doc="An order has been placed.\nSee the manual.")
    placed.on_error = print
    placed.connect(validate, priority=10)
    placed.connect(charge, sender="ada", condition=is_large, once=True)
    ns.event("order.*").connect(log, priority=-5, with_event=True)
    shipped = ns.event("order.shipped")
    shipped.connect(MAILER.send, thread=True)
    shipped.connect(MAILER)
    shipped.connect(functools.partial(is_large, x=1), weak=False)
    shipped.connect(print)
    ns.event("user.created")
    ns.event("user.*")  # nothing is connected to it
    return ns


def test_data(api, shop):
    data = api.describe(shop).to_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["on_error"] == "group"
    assert [event["name"] for event in data["events"]] == ["order.placed", "order.shipped", "user.created"]
    placed, shipped, created = data["events"]
    assert placed["doc"] == "An order has been placed.\nSee the manual."
    assert (placed["on_error"], shipped["on_error"]) == ("print", None)
    assert created == {
        "name": "user.created",
        "doc": None,
        "on_error": None,
        "handlers": [],
        "matches": [],
        "replay": 0,
        "sequential": None,
    }
    assert [edge["handler"]["name"] for edge in placed["handlers"]] == ["validate", "charge", "log"]
    file, module = str(HERE), validate.__module__
    assert placed["handlers"][0]["handler"] == {
        "name": "validate",
        "module": module,
        "file": file,
        "line": line_of(validate),
    }
    assert placed["handlers"][1] == {
        "handler": {"name": "charge", "module": module, "file": file, "line": line_of(charge)},
        "kind": "async",
        "priority": 0,
        "sender": "'ada'",
        "condition": {"name": "is_large", "module": module, "file": file, "line": line_of(is_large)},
        "pattern": None,
        "weak": True,
        "once": True,
        "with_event": False,
        "thread": False,
        "replay": False,
        "via": None,
        "overlap": "parallel",
        "limit": None,
        "timeout": None,
        "skipped": 0,
        "restarted": 0,
    }
    (pattern,) = data["patterns"]
    assert (pattern["name"], pattern["matches"]) == ("order.*", ["order.placed", "order.shipped"])
    assert pattern["handlers"] == [placed["handlers"][2]] == [shipped["handlers"][-1]]
    assert pattern["handlers"][0]["pattern"] == "order.*"
    assert pattern["handlers"][0]["kind"] == "generator"


@pytest.mark.parametrize("priority", [10**200, 10**5000, -(10**5000)], ids=["200", "5000", "-5000"])
def test_long_priority_is_abbreviated(api, ns, priority):
    ns.on("order.placed", priority=priority, sender=priority)(validate)
    ns.on("order.*", priority=priority)(log)
    graph = api.describe(ns)
    brief = "about " + ("-" if priority < 0 else "") + f"10**{200 if priority == 10**200 else 5000}"
    assert graph.events[0].handlers[0].priority == priority
    data = json.loads(json.dumps(graph.to_dict()))
    assert data["events"][0]["handlers"][0]["priority"] == data["patterns"][0]["handlers"][0]["priority"] == brief
    assert data["events"][0]["handlers"][0]["sender"] == brief
    assert f"from {brief}" in str(graph)
    for text in (str(graph), graph.dot(), graph.mermaid().replace("#42;", "*")):
        assert text.count(brief) >= 3
        assert "0" * 100 not in text
    rich = pytest.importorskip("rich.console")
    console = rich.Console(record=True, width=200, file=io.StringIO())
    console.print(graph.table())
    assert brief in console.export_text()


def test_source_of_every_kind_of_handler(api, shop):
    method, thing, partial, builtin, _ = api.describe(shop).events[1].handlers
    assert (method.handler.name, method.handler.line, method.thread) == ("Mailer.send", line_of(Mailer.send), True)
    assert (thing.handler.name, thing.handler.line) == ("Mailer object", line_of(Mailer.__call__))
    assert (partial.handler.name, partial.handler.line) == ("partial of is_large", line_of(is_large))
    assert partial.weak is False
    assert (builtin.handler.name, builtin.handler.file, builtin.handler.line) == ("print", None, None)
    assert builtin.handler.module == "builtins"


def test_place_is_relative_to_the_working_directory(api, shop, monkeypatch, tmp_path):
    edge = api.describe(shop).events[0].handlers[0]
    monkeypatch.chdir(HERE.parent)
    assert edge.handler.place == f"test_describe.py:{line_of(validate)}"
    monkeypatch.chdir(tmp_path)
    assert edge.handler.place == f"{HERE}:{line_of(validate)}"


def test_default_namespace_is_described_by_default(api):
    api.event("x")
    assert [event.name for event in api.describe().events] == ["x"]
    with pytest.raises(TypeError, match=re.escape("describe takes a Namespace, not <Event 'x': 0 handlers>")):
        api.describe(api.event("x"))


def test_description_is_a_copy_that_holds_no_handler(api, ns, collect):
    def hear(sender):
        pass

    ns.on("x")(hear)
    graph = api.describe(ns)
    assert graph == api.describe(ns)
    del hear
    collect()
    assert len(graph.events[0].handlers) == 1
    assert ns["x"].handlers == []


def test_odd_senders_conditions_and_attributes(api, ns):
    class Broken:
        def __repr__(self):
            raise OSError

    class Odd:
        def __getattr__(self, name):
            return 7

        def __call__(self, sender):
            return True

    odd, broken = Odd(), Broken()
    ns.event("x").connect(odd, sender=broken, condition=odd)
    (edge,) = api.describe(ns).events[0].handlers
    assert edge.handler.name == edge.condition.name == f"{Odd.__qualname__} object"
    assert edge.handler.module is None or edge.handler.module == __name__
    assert edge.sender.startswith("<Broken instance at 0x")
    assert json.loads(json.dumps(api.describe(ns).to_dict()))["events"][0]["name"] == "x"
    assert "Odd object" in str(api.describe(ns))


def test_text(api, shop, monkeypatch):
    monkeypatch.chdir(HERE.parent)
    lines = str(api.describe(shop)).splitlines()
    assert [re.sub(" {2,}", "  ", line) for line in lines] == [
        "order.placed  An order has been placed.",
        f"  10  validate  sync  test_describe.py:{line_of(validate)}",
        f"  0  charge  async  from 'ada', if is_large, once  test_describe.py:{line_of(charge)}",
        f"  -5  log  generator  by order.*, with event  test_describe.py:{line_of(log)}",
        "order.shipped",
        f"  0  Mailer.send  sync  in a thread  test_describe.py:{line_of(Mailer.send)}",
        f"  0  Mailer object  sync  test_describe.py:{line_of(Mailer.__call__)}",
        f"  0  partial of is_large  sync  held strongly  test_describe.py:{line_of(is_large)}",
        "  0  print  sync",
        f"  -5  log  generator  by order.*, with event  test_describe.py:{line_of(log)}",
        "user.created",
        "  no handlers",
        "order.*  matches order.placed, order.shipped",
        f"  -5  log  generator  with event  test_describe.py:{line_of(log)}",
    ]
    assert len({line.index("test_describe") for line in lines if "test_describe" in line}) == 1, "columns are aligned"
    assert lines[1].startswith("  10  validate  ")
    assert lines[2].startswith("   0  charge  ")
    assert str(api.describe(api.Namespace())) == "no events"


def test_anonymous_condition_is_shown_by_its_place(api, ns):
    ns.event("x").connect(is_large, condition=(anonymous := lambda sender, **kwargs: True))
    assert f"if <lambda> {api.describe(ns).events[0].handlers[0].condition.place}" in str(api.describe(ns))
    assert line_of(anonymous) != line_of(is_large)


@pytest.mark.parametrize("width", [80, 120])
def test_table(api, shop, width):
    console = pytest.importorskip("rich.console").Console(width=width, color_system=None)
    shop.event("[bold]x[/]")
    with console.capture() as capture:
        console.print(api.describe(shop).table())
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    assert lines[1].split() == ["Event", "Prio", "Handler", "When,", "how", "Where"]
    page = "\n".join(lines)
    assert "[bold]x[/]" in page
    for word in ("order.placed", "10", "validate", "charge", "async,", "is_large", "no handlers", "test_describe"):
        assert word in page, word


def test_table_without_rich_names_the_package(api, shop, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    with pytest.raises(ImportError, match=re.escape("python -m pip install rich")):
        api.describe(shop).table()


def test_mermaid(api, shop, monkeypatch):
    monkeypatch.chdir(HERE.parent)
    lines = api.describe(shop).mermaid().splitlines()
    assert lines[0] == "flowchart LR"
    assert lines[1:5] == [
        '    e0(["order.placed"])',
        '    e1(["order.shipped"])',
        '    e2(["user.created"])',
        '    p0{{"order.#42;"}}',
    ]
    assert f'    h0["validate<br/>test_describe.py:{line_of(validate)}"]' in lines
    assert '    e0 -->|"10"| h0' in lines
    assert "    e0 -->|\"0, async, from 'ada', if is_large, once\"| h1" in lines
    assert "    e0 -.-> p0" in lines
    assert "    e2 -.-> p0" not in lines
    assert sum("generator, with event" in line for line in lines) == 1, (
        "a pattern's handler is attached only to the pattern"
    )


def test_mermaid_escapes_any_name(api, ns):
    ns.event(ODD + "\nnew line\x1b")
    node = api.describe(ns).mermaid().splitlines()
    assert len(node) == 2
    (label,) = re.findall(r'^    e0\(\["([^"]*)"\]\)$', node[1])
    assert set(label) <= set("odnamebqxyzwli 日本1#;/'0123456789")
    read = re.sub(r"#(\d+);", lambda number: chr(int(number[1])), label)
    assert read == ODD + " new line\x1b"


def test_svg(api, shop):
    if shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    shop.event(ODD)
    svg = api.describe(shop).svg()
    root = xml.etree.ElementTree.fromstring(svg)
    texts = {
        "".join(text.itertext()).replace("\xa0", " ").strip() for text in root.iter("{http://www.w3.org/2000/svg}text")
    }
    assert {ODD, "order.placed", "order.*", "validate", "0, async, from 'ada', if is_large, once"} <= texts


def test_svg_without_graphviz_names_the_program(api, shop, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="install graphviz"):
        api.describe(shop).svg()


@pytest.mark.skipif(os.name == "nt", reason="the fake Graphviz is a shell script")
def test_failing_graphviz_is_reported(api, shop, monkeypatch, tmp_path):
    dot = tmp_path / "dot"
    dot.write_text("#!/bin/sh\necho no fonts >&2\nexit 3\n")
    dot.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(RuntimeError, match="Graphviz's dot failed: no fonts"):
        api.describe(shop).svg()


# The command

PROGRAM = """
from types import SimpleNamespace
from cyevents import Namespace, on

@on("order.placed", priority=3)
def validate(sender): ...

events = SimpleNamespace(auth=Namespace())
events.auth.event("login")
"""


@pytest.fixture
def command(backend, tmp_path):
    """Run `python -m cyevents describe` in a folder with a module `app_shop`."""
    (tmp_path / "app_shop.py").write_text(PROGRAM)
    environment = os.environ | {"CYEVENTS_PURE_PYTHON": "0" if backend == "cython" else "1", "COLUMNS": "100"}

    def run(*arguments):
        line = [sys.executable, "-W", "error", "-m", "cyevents", "describe", *arguments]
        done = subprocess.run(line, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout, done.stderr

    return run


def test_command(command):
    code, out, said = command("app_shop")
    assert (code, said) == (0, "")
    assert re.search(r"order\.placed +3 +validate .*app_shop\.py:5", out)
    text = "order.placed\n  3  validate  sync    app_shop.py:5\n"
    assert command("app_shop", "--format", "text") == (0, text, "")
    code, out, said = command("app_shop:events.auth", "--format", "json")
    assert [event["name"] for event in json.loads(out)["events"]] == ["login"]
    assert command("app_shop:events.auth", "--format", "mermaid") == (0, 'flowchart LR\n    e0(["login"])\n', "")


def test_command_lists_cached_events_on_request(command, tmp_path):
    program = 'from cyevents import emit, on\n\n@on("order.*")\ndef audit(sender): ...\n\nemit("order.placed")\n'
    (tmp_path / "app_audit.py").write_text(program)
    code, out, said = command("app_audit", "--format", "json")
    assert (code, said, json.loads(out)["events"]) == (0, "", [])
    code, out, said = command("app_audit", "--format", "json", "--cached")
    assert (code, said, [event["name"] for event in json.loads(out)["events"]]) == (0, "", ["order.placed"])


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("app_none", "^cyevents: there is no module 'app_none': give an installed module, "),
        ("app_shoop", "^cyevents: there is no module 'app_shoop': did you mean 'app_shop'\\?$"),
        ("none.app_shop", "^cyevents: there is no module 'none.app_shop': "),
        ("none.py", "^cyevents: there is no file 'none.py'$"),
        ("folder/none.py:shop", "^cyevents: there is no file 'folder/none.py'$"),
        ("", "there is no module ''"),
    ],
)
def test_command_names_the_missing_program(command, target, said):
    code, out, complaint = command(target)
    assert (code, out) == (2, "")
    assert re.search(said, complaint)
    assert complaint.count("\n") == 1


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("app_shop:events.none", ".* has no attribute 'none'"),
        ("app_shop:validate", "validate is not a Namespace, but <function validate .*>"),
    ],
)
def test_command_lists_namespaces_to_choose_from(command, target, said):
    code, out, complaint = command(target)
    assert (code, out) == (2, "")
    first, second = complaint.splitlines()
    assert re.fullmatch(rf"cyevents: {said}\. Choose one of these namespaces:", first)
    assert second == "  app_shop:events.auth  1 event"


def test_command_lists_namespaces_if_the_default_one_is_empty(command, tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("from .shop import shop\n")
    (tmp_path / "app" / "shop.py").write_text(
        "from cyevents import Namespace\nshop, empty = Namespace(), Namespace()\nshop.event('x')\nshop.event('y')\n"
    )
    code, out, said = command("app")
    assert (code, out) == (2, "")
    assert said.splitlines() == [
        "cyevents: the default namespace is empty. Choose one of these namespaces:",
        "  app:shop        2 events",
        "  app.shop:empty  0 events",
    ]
    assert command("app.shop:empty") == (0, "no events\n", "")
    assert command("json") == (0, "no events\n", "")


@pytest.mark.parametrize("target", ["app/shop.py:shop", "./app/shop.py:shop", "app.shop:shop", "app:shop.shop"])
def test_command_takes_modules_and_paths(command, tmp_path, target):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("from . import shop\n")
    (tmp_path / "app" / "shop.py").write_text("from cyevents import Namespace\nshop = Namespace()\nshop.event('x')\n")
    assert command(target, "--format", "text") == (0, "x\n  no handlers\n", "")


def test_command_takes_paths_of_scripts_and_packages(command, tmp_path):
    program = (tmp_path / "app_shop.py").read_text()
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "my-shop.py").write_text(program)
    code, out, said = command("tools/my-shop.py", "--format", "text")
    assert (code, said, out.split()[0]) == (0, "", "order.placed")
    (tmp_path / "tools" / "argparse.py").write_text(program)
    code, out, said = command("tools/argparse.py")
    assert (code, out) == (2, "")
    assert "has the same module name: rename one" in said


def test_output_of_the_program_is_not_mixed_with_the_data(command, tmp_path):
    (tmp_path / "app_loud.py").write_text(
        "import atexit, os, subprocess, sys\nfrom cyevents import event\nevent('x')\nprint('printed')\n"
        "subprocess.run([sys.executable, '-c', 'print(\"by a child\")'])\n"
        "os.write(1, b'written\\n')\natexit.register(print, 'at exit')\n"
    )
    code, out, said = command("app_loud", "--format", "json")
    assert code == 0
    assert [event["name"] for event in json.loads(out)["events"]] == ["x"]
    assert sorted(said.splitlines()) == ["at exit", "by a child", "printed", "written"]


@pytest.mark.parametrize("error", ["import nothing_by_this_name", "raise SystemExit('no')", "1 / 0"])
def test_command_shows_the_errors_of_the_program(command, tmp_path, error):
    (tmp_path / "app_bad.py").write_text(f"\n{error}\n")
    for target in ("app_bad", "app_bad.py"):
        code, out, said = command(target)
        assert (code, out) == (2, "")
        assert said.startswith(f'Traceback (most recent call last):\n  File "{tmp_path / "app_bad.py"}", line 2')
        assert said.splitlines()[-1] == f"cyevents: {target} cannot be imported, so there is nothing to describe"
        assert "_programs" not in said
        assert "importlib" not in said
