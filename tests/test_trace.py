"""`trace`: what it records, how it shows that, and the file it writes."""

import asyncio
import io
import json
import re
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest


@pytest.fixture
def shop(ns):
    """Return a namespace whose handlers do everything a trace can show."""

    @ns.on("order.placed", priority=10)
    def validate(order, **kwargs):
        return None if order != "bad" else False

    @ns.on("order.placed", priority=5, condition=lambda order, **kwargs: False)
    def alert(order, **kwargs):
        raise AssertionError

    @ns.on("order.placed", priority=4, condition=lambda order, **kwargs: 1 / 0)
    def watch(order, **kwargs):
        raise AssertionError

    @ns.on("order.placed")
    async def pay(order, **kwargs):
        await asyncio.sleep(0)
        await ns.emit_async("paid", order)
        return "paid"

    @ns.on("order.placed")
    def stock(order, **kwargs):
        yield ns.emit("stock.low", order)

    @ns.on("paid", thread=True)
    def mail(order):
        ns.emit("mail.sent", order)

    @ns.on("failed")
    def fail(order):
        raise ValueError("no such order\nat all")

    yield ns  # noqa: PT022 - keeps the handlers alive


def outcomes(emission):
    return [(call.handler.name.rpartition(".")[2], call.outcome, call.reason) for call in emission.calls]


def plain(text):
    """Return the lines of a tree without times, places and padding."""
    text = re.sub(r"[\d.]+ (µs|ms|s)\b", "T", text)
    lines = [re.sub(r"\S+test_trace.py:\d+", "", line) for line in text.splitlines()]
    return [re.sub(r"(?<=[^│ ])  +", "  ", line).rstrip() for line in lines]


def test_recorded_fields(api, shop, run):
    with api.trace(shop) as seen:
        assert run(shop.emit_async("order.placed", "order 7", total=12)) == ["paid", [[]]]
    (emission,) = seen.emissions
    assert (emission.event, emission.way, emission.sender, emission.arguments) == (
        "order.placed",
        "emit_async",
        "'order 7'",
        "total=12",
    )
    assert outcomes(emission) == [
        ("validate", "returned", None),
        ("alert", "skipped", "its condition is false"),
        ("watch", "skipped", "its condition raised ZeroDivisionError: division by zero"),
        ("pay", "returned", None),
        ("stock", "returned", None),
    ]
    pay, stock = emission.calls[3:]
    assert (pay.is_async, pay.value, stock.is_async, stock.value) == (True, "'paid'", False, None)
    assert pay.handler.file == __file__
    assert [each.event for each in seen.walk()] == ["order.placed", "paid", "mail.sent", "stock.low"]
    mail = pay.emissions[0].calls[0]
    assert mail.thread != pay.thread == threading.current_thread().name
    for each in seen.walk():
        assert 0 <= each.start
        assert each.duration >= sum(call.duration for call in each.calls if not call.is_async)
        for call in each.calls:
            assert each.start <= call.start
            assert call.start + call.duration <= each.start + each.duration
            assert all(call.start <= inner.start for inner in call.emissions)


def test_cancelled_emission(api, shop):
    with api.trace(shop) as seen:
        shop.emit("order.placed", "bad")
    (emission,) = seen.emissions
    assert outcomes(emission) == [("validate", "cancelled the rest", None)]
    assert emission.cancelled_by.endswith("validate")
    assert [name.rpartition(".")[2] for name in emission.not_called] == ["alert", "watch", "pay", "stock"]


def test_failed_emission(api, shop):
    with api.trace(shop) as seen, pytest.raises(ValueError, match="no such order"):
        shop.emit("failed", 1)
    assert outcomes(seen.emissions[0]) == [("fail", "raised", "ValueError: no such order")]
    assert seen.emissions[0].error == "ValueError: no such order"


def test_other_skip_reasons(api, ns, collect):
    event = ns.event("x")

    @event.connect
    def first(sender):
        event.disconnect(gone)
        dying.clear()
        collect()

    @ns.on("x", once=True)
    def once(sender):
        pass

    def gone(sender):
        pass

    event.connect(gone)
    dying = [lambda sender: None]
    event.connect(dying[0])

    @ns.on("x", priority=1, once=True)
    def again(sender):
        event.emit()

    with api.trace(ns) as seen:
        event.emit()
    assert outcomes(seen.emissions[0]) == [
        ("again", "returned", None),
        ("first", "returned", None),
        ("once", "skipped", "it has been called once"),
        ("gone", "skipped", "it was disconnected meanwhile"),
        ("<lambda>", "skipped", "it is dead"),
    ]


def test_scheduled_and_cancelled_handlers(api, ns, run):
    @ns.on("x")
    async def waits(sender):
        await asyncio.sleep(sender)

    async def main():
        with api.trace(ns) as seen:
            ns.emit("x", 0)
            assert [call.outcome for call in seen.emissions[0].calls] == ["running"]
            assert "still running" in str(seen)
            ns.emit("x", 60)
            await asyncio.sleep(0.01)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.sleep(0)
        return seen

    seen = run(main())
    assert [call.outcome for emission in seen.emissions for call in emission.calls] == ["returned", "stopped"]
    assert seen.emissions[1].calls[0].reason == "CancelledError"


def test_tree(api, shop, run):
    with api.trace(shop) as seen:
        run(shop.emit_async("order.placed", "order 7"))
        shop.emit("order.placed", "bad")
        with pytest.raises(ValueError, match="no such order"):
            shop.emit("failed")
        shop.emit("undeclared", None, 1, a=2)
    assert plain(str(seen)) == [
        "order.placed by 'order 7'  emit_async  T",
        "├─ validate  T",
        "├─ alert  skipped: its condition is false",
        "├─ watch  skipped: its condition raised ZeroDivisionError: division by zero",
        "├─ pay  T  async  returned 'paid'",
        "│  └─ paid by 'order 7'  emit_async  T",
        "│     └─ mail  T",
        "│        └─ mail.sent by 'order 7'  emit  T  no handlers",
        "└─ stock  T",
        "   └─ stock.low by 'order 7'  emit  T  no handlers",
        "order.placed by 'bad'  emit  T  cancelled by validate",
        "├─ validate  T  returned False: cancelled the rest",
        "└─ not called: alert, watch, pay, stock",
        "failed  emit  T  raised ValueError: no such order",
        "└─ fail  T  raised ValueError: no such order",
        "undeclared by None (1, a=2)  emit  T  no handlers",
    ]


def test_empty_trace(api, ns):
    with api.trace(ns) as seen:
        pass
    assert str(seen) == "no emissions"
    assert seen.to_dict() == {"emissions": [], "dropped": 0}
    assert [event["ph"] for event in seen.chrome()["traceEvents"]] == ["M"]


def test_rich_tree(api, shop, run):
    console = pytest.importorskip("rich.console").Console(width=120, record=True, file=io.StringIO())
    with api.trace(shop, limit=3) as seen:
        run(shop.emit_async("order.placed", "order 7"))
        shop.emit("order.placed", "bad")
    console.print(seen.tree())
    shown = console.export_text()
    lines = shown.splitlines()
    column = lines[0].index("emit_async")
    assert lines[0][:column].rstrip() == "order.placed by 'order 7'"
    (skipped,) = [line for line in lines if "skipped: its condition is false" in line]
    (inner,) = [line for line in lines if "stock.low" in line]
    assert skipped[:column].strip("├─ ") == "alert"
    assert skipped[column:].startswith("skipped")
    assert inner[column:].startswith("emit ")
    assert "and 2 emissions more, which were not kept" in shown
    with api.trace(shop) as seen:
        pass
    console.print(seen.tree())
    assert "no emissions" in console.export_text()


def test_tree_without_rich(api, shop, monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.tree", None)
    with pytest.raises(ImportError, match=re.escape("python -m pip install rich")):
        api.trace(shop).tree()


def test_limit(api, ns):
    ns.event("x")
    with api.trace(ns, limit=2) as seen:
        for number in range(5):
            assert ns.emit("x", number) == []
    assert [emission.sender for emission in seen.emissions] == ["0", "1"]
    assert seen.dropped == 3
    assert str(seen).endswith("and 3 emissions more, which were not kept")
    for bad in (0, -1, 1.5, None, True):
        with pytest.raises(TypeError, match="limit must be a whole number from 1 on"):
            api.trace(ns, limit=bad)


def test_selected_sources(api, ns):
    lone = api.Event("lone")
    with api.trace("order.*", lone) as seen:
        for name in ("order.placed", "bill.sent"):
            api.event(name)
            api.emit(name)
        lone.emit()
        ns.emit("order.placed")
    assert [emission.event for emission in seen.emissions] == ["order.placed", "lone"]
    with pytest.raises(TypeError, match="can be observed"):
        api.trace(None)


def test_trace_keeps_nothing_alive(api, ns, collect):
    class Thing:
        def handle(self, sender, *args, **kwargs):
            return sender

    handler, sender = Thing(), Thing()
    ns.event("x").connect(handler.handle)
    gone = weakref.ref(handler), weakref.ref(sender)
    with api.trace(ns) as seen:
        ns.emit("x", sender, sender, a=sender)
        del handler, sender
        collect()
        assert [ref() for ref in gone] == [None, None]
    assert len(seen.emissions[0].calls) == 1


def test_values_without_a_repr(api, ns):
    class Bad(Exception):
        def __repr__(self):
            raise ValueError

        __str__ = __repr__

    @ns.on("x")
    def give(sender, *args):
        return sender

    @ns.on("y")
    def fail(sender):
        raise Bad

    with api.trace(ns) as seen:
        ns.emit("x", Bad(), Bad())
        with pytest.raises(Bad):
            ns.emit("y", 1)
    assert "<Bad instance" in str(seen)
    assert "raised Bad" in str(seen)


def test_trace_keeps_no_handler_alive(api, ns, collect):
    """This includes a handler that the running emission has already called."""

    class Owner:
        def handle(self, sender):
            called.append(sender)

    owners, called = [Owner()], []
    ns.event("x").connect(owners[0].handle)

    @ns.on("x")
    def let_go(sender):
        owners.clear()
        collect()
        if sender == 1:
            ns.emit("x", 2)

    with api.trace(ns):
        ns.emit("x", 1)
    assert called == [1]


def test_repr_that_emits(api, ns):
    class Lazy:
        def __repr__(self):
            ns.emit("loaded", self)
            return "Lazy"

    @ns.on("loaded")
    def note(sender):
        loaded.append(sender)

    loaded, lazy = [], Lazy()
    with api.trace(ns) as seen:
        ns.emit("loaded", lazy)
    assert loaded == [lazy] * 2  # once, by the repr
    assert [emission.sender for emission in seen.walk()] == ["Lazy"]


def test_long_values_are_abbreviated(api, ns):
    with api.trace(ns) as seen:
        ns.emit("x", b"1" * 10_000_000, bytearray(10_000_000))
    assert len(seen.emissions[0].sender + seen.emissions[0].arguments) < 200


@pytest.mark.slow
def test_endless_chain_of_emissions(api, ns, run, tmp_path):
    """Each emission is nested in the previous context; the tree limits the depth it shows."""

    @ns.on("x")
    async def again(count):
        if count:
            ns.emit("x", count - 1)

    async def main():
        ns.emit("x", 2000)
        assert await api.drain_async(30)

    with api.trace(ns) as seen:
        run(main())
    assert len(list(seen.walk())) == 2001
    assert [emission.within for emission in seen.emissions] == list(range(0, 2001, 50))
    assert len(seen.emissions[1].calls[0].emissions) == 1
    lines = str(seen).splitlines()
    assert len(lines) == 2 * 2001
    assert max(map(len, lines)) < 500
    assert "within 50 others" in lines[100]
    assert len(json.loads(json.dumps(seen.to_dict()))["emissions"]) == 41
    assert len(check(seen.chrome())) == 2 * 2001
    assert len(seen.tree().children) == 41


def test_trace_can_be_resumed(api, ns):
    seen = api.trace(ns)
    for number in range(2):
        with seen:
            ns.emit("x", number)
    first, second = seen.emissions
    assert first.start < second.start


# The file


def check(document):
    """Check that a viewer can draw the file: events of a thread or lane are nested correctly."""
    document = json.loads(json.dumps(document))
    assert document["displayTimeUnit"] == "ms"
    last = 0.0
    threads, lanes, named = {}, {}, set()
    for event in document["traceEvents"]:
        if event["ph"] == "M":
            named.add(event["tid"])
            continue
        assert event["tid"] in named
        assert event["ts"] >= last
        last = event["ts"]
        if event["ph"] == "X":
            stack = threads.setdefault(event["tid"], [])
            while stack and stack[-1] <= event["ts"]:
                stack.pop()
            end = round(event["ts"] + event["dur"], 3)
            assert not stack or end <= stack[-1], event
            stack.append(end)
        elif event["ph"] == "b":
            lanes.setdefault((event["cat"], event["id"]), []).append(event["name"])
        elif event["ph"] == "e":
            assert lanes[event["cat"], event["id"]].pop() == event["name"]
        else:
            assert event["ph"] == "i"
    assert not any(lanes.values())
    assert {event["cat"] for event in document["traceEvents"] if event["ph"] != "M"} == {
        "cyevents"
    }  # otherwise viewers do not nest them
    return [event for event in document["traceEvents"] if event["ph"] in "Xbi"]


def test_file(api, shop, run, tmp_path):
    with api.trace(shop) as seen:

        async def main():
            await asyncio.gather(*(shop.emit_async("order.placed", f"order {number}") for number in range(3)))
            shop.emit("order.placed", "order 3")
            shop.emit("order.placed", "bad")
            await api.drain_async(10)

        run(main())
    seen.write(tmp_path / "trace.json")
    drawn = check(json.loads((tmp_path / "trace.json").read_text("utf-8")))
    names = [event["name"] for event in drawn]
    assert names.count("order.placed") == 5
    assert names.count("pay") == names.count("paid") == 4
    assert names.count("alert skipped") == 4
    (bad,) = [event for event in drawn if event["args"].get("sender") == "'bad'"]
    assert bad["args"]["cancelled by"].endswith("validate")
    assert bad["ph"] == "X"


def test_file_of_a_running_emission(api, ns, run):
    @ns.on("x")
    async def outer(sender):
        ns.emit("y")

    @ns.on("y")
    async def inner(sender):
        await asyncio.sleep(60)

    async def main():
        with api.trace(ns) as seen:
            ns.emit("x")
            await asyncio.sleep(0.01)
        check(seen.chrome())
        return seen

    drawn = check(run(main()).chrome())
    assert [event["name"] for event in drawn] == ["x", "outer", "y", "inner"]


# The command


def cyevents(*arguments, code=0, cwd=None):
    done = subprocess.run([sys.executable, "-m", "cyevents", *arguments], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(
        textwrap.dedent("""
            import sys
            import cyevents

            shop = cyevents.Namespace()

            @shop.on("order.placed")
            async def confirm(order):
                print("confirmed", order)

            if __name__ == "__main__":
                shop.emit("order.placed", sys.argv[1])
                cyevents.emit("undeclared")
                sys.exit(len(sys.argv) - 2)
        """),
        "utf-8",
    )
    return path


def test_command(program, tmp_path):
    done = cyevents("trace", str(program), "order 7")
    assert done.stdout == "confirmed order 7\n"
    assert "order.placed by 'order 7'" in done.stderr
    assert "confirm" in done.stderr
    assert "async" in done.stderr
    assert "undeclared" in done.stderr
    assert "confirm" in cyevents("trace", "-m", "program", "order 7", "more", code=1, cwd=tmp_path).stderr


def test_command_options(program, tmp_path):
    done = cyevents("trace", "--event", "un*", "--event", "x", str(program), "order 7")
    assert "undeclared" in done.stderr
    assert "order" not in done.stderr
    assert "1 emission more" in cyevents("trace", "--limit", "1", str(program), "o").stderr
    output = tmp_path / "trace.json"
    done = cyevents("trace", "--output", str(output), str(program), "order 7")
    assert done.stderr == ""
    assert {"order.placed", "confirm", "undeclared"} <= {
        event["name"] for event in check(json.loads(output.read_text()))
    }


def test_command_errors(tmp_path):
    assert "there is no file" in cyevents("trace", str(tmp_path / "nothing.py"), code=2).stderr
    assert "there is no module 'nothing'" in cyevents("trace", "nothing", code=2).stderr
    assert "there is no module 'nothing'" in cyevents("trace", "-m", "nothing", code=2).stderr
    assert "has no attribute 'nothing'" in cyevents("trace", "json:nothing", code=2).stderr
    assert "usage:" in cyevents("trace", code=2).stderr


def test_trace_names_candidates_for_a_missing_function(tmp_path):
    path = tmp_path / "tool.py"
    path.write_text("from json import dumps\ndef run_all(): ...\ndef main(): ...\nprint('loaded')\n")
    done = cyevents("trace", f"{path}:mian", code=2)
    assert done.stdout == "loaded\n"
    assert done.stderr.splitlines() == [
        f"cyevents: {path}:mian: module 'tool' has no attribute 'mian': choose from main, run_all"
    ]


def test_trace_of_a_package_without_a_program(tmp_path):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "__init__.py").touch()
    for arguments in (["bare"], ["-m", "bare"]):
        first, second = cyevents("trace", *arguments, code=1, cwd=tmp_path).stderr.splitlines()
        assert first.startswith("ImportError: ")
        assert "__main__" in first
        assert second == "no emissions"


def test_trace_in_ascii(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    path = tmp_path / "tool.py"
    path.write_text(
        "from cyevents import emit, on\n\n@on('x')\ndef first(sender): ...\n\n@on('x')\ndef second(sender): ...\n\n"
        "emit('x', '\xe9')\n",
        "utf-8",
    )
    lines = cyevents("trace", str(path)).stderr.splitlines()
    assert [line.split("  ")[0] for line in lines] == [r"x by '\xe9'", "|- first", "`- second"]
    assert " us" in lines[1]


def test_trace_takes_modules_paths_and_functions(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "app_main.py").write_text(
        "import sys\nfrom cyevents import emit\n\ndef main():\n    emit('called', len(sys.argv))\n\n"
        "if __name__ == '__main__':\n    emit('run', len(sys.argv))\n"
    )
    for target, traced in (
        ("app_main", "run by 2"),
        ("app_main.py", "run by 2"),
        ("app_main:main", "called by 2"),
        ("app_main.py:main", "called by 2"),
    ):
        assert cyevents("trace", target, "argument").stderr.startswith(f"{traced}  emit ")


def test_exception_of_a_traced_program(tmp_path):
    """The error is shown as Python shows it, before the trace; an OSError is not mistaken for the command's own."""
    script = tmp_path / "fails.py"
    script.write_text("import cyevents\ncyevents.emit('begun')\nopen('nowhere/at/all')\n", "utf-8")
    shown = cyevents("trace", str(script), code=1).stderr
    assert shown.startswith(f'Traceback (most recent call last):\n  File "{script}", line 3, in <module>\n')
    assert "FileNotFoundError" in shown
    assert shown.splitlines()[-1].startswith("begun ")
    assert "runpy" not in shown
    script.write_text("import sys\nsys.stderr.close()\n", "utf-8")
    assert cyevents("trace", str(script)).stderr == ""


def test_unwritable_file_is_reported_before_the_run(program, tmp_path):
    done = cyevents("trace", "--output", str(tmp_path / "no" / "trace.json"), str(program), "order 7", code=2)
    assert done.stdout == ""
    assert "cannot write" in done.stderr
    assert "trace.json" in done.stderr


def test_long_numbers_are_abbreviated(api, ns, tmp_path):
    many = 10**5000

    @ns.on("x", priority=many)
    def handler(sender, *args, **kwargs):
        return [many]

    with api.trace(ns) as seen:
        ns.emit("x", many, -many, key=(many, "text"))
    brief = "about 10**5000"
    assert f"x by {brief} (about -10**5000, key=({brief}, 'text'))" in str(seen)
    assert f"returned [{brief}]" in str(seen)
    call = seen.emissions[0].calls[0]
    assert (call.priority, call.value) == (many, f"[{brief}]")
    data = json.loads(json.dumps(seen.to_dict()))
    assert data["emissions"][0]["calls"][0]["priority"] == brief
    seen.write(tmp_path / "trace.json")
    written = json.loads((tmp_path / "trace.json").read_text("utf-8"))
    assert [event["args"]["priority"] for event in written["traceEvents"] if "priority" in event["args"]] == [brief]
