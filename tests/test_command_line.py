"""The command line, run in a process of its own as a user would."""

import importlib
import importlib.util
import itertools
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import pytest

HANDLERS = [
    "validate_order",
    "high_value_alert",
    "send_confirmation",
    "process_payment",
    "update_inventory",
    "record_payment",
]
posix_only = pytest.mark.skipif(os.name == "nt", reason="needs POSIX")


@pytest.fixture
def command(backend):
    """Return a command line and the environment for it."""
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS")}
    environment |= {
        "CYEVENTS_PURE_PYTHON": "1" if backend == "python" else "0",
        "PYTHONIOENCODING": "utf-8",
        "TERM": "xterm",
    }
    return lambda *arguments: [sys.executable, "-W", "error", "-m", "cyevents", *map(str, arguments)], environment


@pytest.fixture
def cyevents(command):
    """Run a command line until it ends."""

    def run(*arguments, given=b"", **variables):
        line, environment = command
        process = subprocess.run(
            line(*arguments), input=given, capture_output=True, env=environment | variables, timeout=60
        )
        output, errors = process.stdout.decode(), process.stderr.decode()
        assert "Traceback" not in output + errors
        return process.returncode, output.replace("\r\n", "\n"), errors.replace("\r\n", "\n")

    return run


@pytest.fixture
def orders_file(tmp_path):
    """Write a file of orders from lines."""

    def write(*lines):
        path = tmp_path / "orders.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    return write


def order(**changes):
    fields = {
        "id": "o1",
        "customer_email": "a@example.com",
        "total": 10,
        "items": [{"product_name": "Widget", "quantity": 2}],
    }
    return json.dumps({name: value for name, value in (fields | changes).items() if value is not ...}).encode()


def summaries(output):
    """Return the summary of each mode: the table's rows by handler, and the facts by label."""
    found = {}
    for part in output.split("Summary of the ")[1:]:
        lines = [line for line in part.splitlines()[1:] if " " in line]
        rows = {name: line.split() for name in HANDLERS for line in lines if line.startswith(name + " ")}
        facts = dict(line.split(maxsplit=1) for line in lines)
        counts = {
            name: {
                "kind": row[1],
                "priority": int(row[2]),
                "counts": tuple(int(number.replace(",", "")) for number in row[3:]),
            }
            for name, row in rows.items()
        }
        found[part.split()[0]] = counts, facts
    return found


def columns(text):
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def sample():
    (package,) = importlib.util.find_spec("cyevents").submodule_search_locations
    return Path(package, "_demo", "sample_orders.jsonl")


def test_demo_runs_the_sample_file():
    lines = sample().read_bytes().splitlines()
    orders = [json.loads(line) for line in lines]
    assert len(orders) == 40
    assert len(b"\n".join(lines)) < 9_000
    assert len({each["id"] for each in orders}) == len(orders)
    assert sum(each["total"] <= 0 for each in orders) >= 5
    assert sum(each["total"] > 1000 for each in orders) >= 10
    assert {len(each["items"]) for each in orders} >= {0, 1, 2, 3, 4}
    assert any(not line.isascii() for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("repeat", [1, 3])
def test_demo_counts_match_the_file(cyevents, backend, repeat):
    code, output, errors = cyevents("demo", "--repeat", repeat)
    assert (code, errors) == (0, "")
    orders = [json.loads(line) for line in sample().read_text("utf-8").splitlines()] * repeat
    valid = [each for each in orders if each["total"] > 0]
    high = [each for each in valid if each["total"] > 1000]
    bad = len(orders) - len(valid)
    plain = (len(valid), 0, bad)
    found = summaries(output)
    assert list(found) == ["sync", "async"]
    for counts, facts in found.values():
        assert {name: row["counts"] for name, row in counts.items()} == {
            "validate_order": (len(orders), 0, 0),
            "high_value_alert": (len(high), len(valid) - len(high), bad),
            "send_confirmation": plain,
            "process_payment": plain,
            "update_inventory": plain,
            "record_payment": (len(valid), 0, 0),
        }
        assert [row["priority"] for row in counts.values()] == [10, 5, 0, 0, 0, 0]
        assert [row["kind"] for row in counts.values()] == ["sync", "sync", "sync", "async", "generator", "sync"]
        assert facts["orders"] == f"{len(orders)} placed, {len(valid)} accepted, {bad} cancelled"
        assert facts["cancelled"] == f"{bad} by validate_order"
        paid = sum(round(each["total"] * 100) for each in valid) / 100
        of_high = sum(round(each["total"] * 100) for each in high) / 100
        assert facts["confirmed"] == f"${paid:,.2f}, of which high value ${of_high:,.2f}"
        assert facts["paid"] == f"${paid:,.2f}"
        pieces = sum(item["quantity"] for each in valid for item in each["items"])
        products = {item["product_name"] for each in valid for item in each["items"]}
        assert facts["inventory"] == f"{pieces:,} pieces of {len(products)} products"
        assert f" for {len(orders) + len(valid):,} emissions" in facts["time"]
        assert re.fullmatch(r"[\d,]+ ns an emission, [\d,]+ ns a handler call", facts["speed"])
        assert facts["backend"] == backend


def test_demo_shows_each_step(cyevents):
    code, output, _ = cyevents("demo", "--limit", 3)
    assert code == 0
    sync, asynchronous = output.split("The async way")
    assert "high value order: $1,564.00" in sync
    assert re.search(r"high_value_alert +skipped +its condition does not hold", sync)
    assert re.search(r"validate_order +cancels ", sync)
    for name in HANDLERS[1:5]:
        assert re.search(rf"{name} +cancelled +by validate_order", sync)
    assert re.search(r"process_payment +scheduled +in the background loop", sync)
    assert "→ [True, ['inventory updated']]" in sync
    assert "→ [], cancelled by validate_order" in sync
    before, after = sync.split("drain() has waited")
    assert not re.search(r"record_payment +ran", before)
    assert len(re.findall(r"record_payment +ran", after)) == 2
    assert "→ [True, 'payment complete', ['inventory updated']]" in asynchronous
    assert "scheduled" not in asynchronous
    assert max(map(columns, output.splitlines())) < 80


def test_demo_mode_and_quiet(cyevents):
    for mode in ("sync", "async"):
        code, output, errors = cyevents("demo", "--mode", mode, "--quiet")
        assert (code, errors) == (0, "")
        assert list(summaries(output)) == [mode]
        assert "The " not in output
        assert len(output.splitlines()) < 22


def test_demo_limit(cyevents):
    code, output, _ = cyevents("demo", "--limit", 7, "--quiet", "--mode", "sync")
    assert code == 0
    assert summaries(output)["sync"][0]["validate_order"]["counts"] == (7, 0, 0)


@pytest.mark.slow
def test_demo_delay(cyevents):
    begin = time.monotonic()
    code, output, _ = cyevents("demo", "--limit", 2, "--quiet", "--mode", "async", "--delay", "0.1")
    assert code == 0
    assert time.monotonic() - begin >= 0.2
    assert re.match(r"[\d.]+ ms for ", summaries(output)["async"][1]["time"])


BAD_LINES = [
    (b'{"id": "o1", "total": }', "not JSON: Expecting value, column 23", '{"id": "o1", "total": }'),
    (b"[1, 2]", "must be an object, not an array", "[1, 2]"),
    (b"null", "must be an object, not null", "null"),
    (order(id=...), "field 'id' is missing", '{"customer_email"'),
    (order(id=7), "'id' must be a string, not a number", '{"id": 7'),
    (order(id=""), "'id' is empty", '{"id": ""'),
    (order(customer_email=None), "'customer_email' must be a string, not null", '{"id": "o1"'),
    (order(total="10"), "'total' must be a number, not a string", '{"id": "o1"'),
    (order(total=True), "'total' must be a number, not true", '{"id": "o1"'),
    (order(total=float("nan")), "not usable JSON: NaN is not a number", '{"id": "o1"'),
    (order(total=10**400), "'total' must be at most a billion, either way", '{"id": "o1"'),
    (order().replace(b"10", b"9" * 8000), "not usable JSON: Exceeds the limit", '{"id": "o1"'),
    (order(items={}), "'items' must be an array, not an object", '{"id": "o1"'),
    (order(items=["Widget"]), "item 1 must be an object, not a string", '{"id": "o1"'),
    (order(items=[{"quantity": 1}]), "field 'product_name' is missing in item 1", '{"id": "o1"'),
    (
        order(items=[{"product_name": "A"}, {"product_name": "B", "quantity": 1.5}]),
        "'quantity' in item 2 must be a whole number, not 1.5",
        '{"id": "o1"',
    ),
    (order(items=[{"product_name": "A", "quantity": 0}]), "'quantity' in item 1 must be from 1 to", '{"id": "o1"'),
    (b'{"id": "\xff"}', "not UTF-8: byte 9 is 0xff", '{"id": "\ufffd"}'),
    (b"[" * 200_000, "not usable JSON: nested too deeply", "[[[[["),
    (b'{"id": "\x1b[2J"}', "not JSON: Invalid control character at, column 9", '{"id": "?[2J"}'),
    (b'{"id": "' + b"x" * 500 + b'" "total": 1}', "not JSON: Expecting ',' delimiter, column 511", "...xxx"),
]


@pytest.mark.parametrize(("line", "message", "shown"), BAD_LINES, ids=[message for _, message, _ in BAD_LINES])
def test_demo_reports_bad_line(cyevents, orders_file, line, message, shown):
    path = orders_file(order(), b"", line, order())
    code, output, errors = cyevents("demo", path, "--quiet", "--mode", "sync")
    assert code == 1
    report, text, end = errors.splitlines()
    assert report.startswith(f"{path}:3: {message}")
    assert text.startswith(f"    {shown}")
    assert len(text) <= 80
    assert end == f"cyevents: 1 bad line in {path}, 2 orders left"
    assert summaries(output)["sync"][0]["validate_order"]["counts"] == (2, 0, 0)


def test_demo_fails_on_only_bad_lines(cyevents, orders_file):
    code, output, errors = cyevents("demo", orders_file(b"one", b"two"))
    assert (code, output) == (1, "")
    assert "2 bad lines" in errors
    assert "0 orders left" in errors


def test_demo_accepts_optional_and_unusual_input(cyevents, orders_file):
    """The reference's own order has no quantities. A byte order mark and CR LF are accepted."""
    path = orders_file(
        b"\xef\xbb\xbf" + order(total=1500, items=[{"product_name": "Widget"}]) + b"\r",
        order(id="\ud800\x1b[31m\u202e\n" + "花" * 100, items=[], extra="x"),
        order(customer_email="x" * 300, items=[{"product_name": "抹茶" * 100}]),
    )
    code, output, errors = cyevents("demo", path, "--mode", "async")
    assert (code, errors) == (0, "")
    assert "📦 1 × Widget" in output
    assert "nothing to reduce" in output
    assert not set("\x1b\u202e\ud800") & set(output)
    assert max(map(columns, output.splitlines()[2:])) <= 80


@pytest.mark.slow
def test_demo_missing_unreadable_and_empty_files(cyevents, orders_file, tmp_path):
    for file, reason in (
        (tmp_path / "none", "cannot read"),
        (tmp_path, "cannot read"),
        (orders_file(), "no orders"),
        (orders_file(b"", b"  "), "no orders"),
    ):
        code, output, errors = cyevents("demo", file)
        assert (code, output) == (2, "")
        assert len(errors.splitlines()) == 1
        assert reason in errors
        assert str(file) in errors


def test_demo_reads_standard_input(cyevents):
    given = order() + b"\n" + b"oops\n" + order(total=-1)
    code, output, errors = cyevents("demo", "-", "--mode", "sync", given=given)
    assert code == 1
    assert errors.startswith("<stdin>:2: not JSON")
    assert summaries(output)["sync"][0]["send_confirmation"]["counts"] == (1, 0, 1)
    code, _, errors = cyevents("demo", "-")
    assert code == 2
    assert "no orders in <stdin>" in errors


def test_demo_ascii_output(cyevents, orders_file):
    path = orders_file(order(items=[{"product_name": "Crème 花"}]), b'{"id": "\xc3\xa8"')
    code, output, errors = cyevents("demo", path, PYTHONIOENCODING="ascii")
    assert code == 1
    assert output.isascii()
    assert errors.isascii()
    assert "1 x Cr?me ?" in output


def test_demo_in_a_limited_encoding(command):
    line, environment = command
    environment["PYTHONIOENCODING"] = "cp1252"
    process = subprocess.run(line("demo"), capture_output=True, env=environment, timeout=60)
    assert process.returncode == 0
    assert process.stderr == b""
    assert "zoë" in process.stdout.decode("cp1252")


def test_bad_arguments(cyevents):
    for arguments in (["--limit", "0"], ["--repeat", "x"], ["--delay", "-1"], ["--delay", "nan"], ["--mode", "other"]):
        code, output, errors = cyevents("demo", *arguments)
        assert (code, output) == (2, "")
        assert f"argument {arguments[0]}" in errors


def test_no_command(cyevents):
    code, output, errors = cyevents()
    assert (code, output) == (2, "")
    assert "demo" in errors
    assert "info" in errors


def test_info(cyevents, backend):
    code, output, errors = cyevents("info")
    assert (code, errors) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in output.splitlines())
    assert rows["backend"] == backend
    assert rows["python"].startswith(platform.python_version())
    if backend == "cython":
        assert rows["reason"] == "the extension is built"
        assert re.fullmatch(r"[-/]O\w \(kernel\), [-/]O\w \(tables\)", rows["flags"])
    else:
        assert rows["reason"] == "CYEVENTS_PURE_PYTHON=1"
        assert "flags" not in rows
    assert max(map(len, output.splitlines())) < 80
    assert len({len(re.match(r"\S+ +", line)[0]) for line in output.splitlines()}) == 1


def test_info_shortens_long_paths_and_wraps_reasons(api, backend, monkeypatch, capsys):
    command = importlib.import_module("cyevents.__main__")
    home = os.path.expanduser("~")
    monkeypatch.setattr(sys, "executable", os.path.join(home, "bin", "python"))
    monkeypatch.setattr(api._core, "core_file", "/" + "long/" * 30 + "_emit.so")
    monkeypatch.setattr(api._core, "reason", "the extension does not load: " + "undefined symbol, " * 9)
    assert command.main(["info"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 80
    assert f"executable     {os.path.join('~', 'bin', 'python')}" in lines
    (core,) = [line for line in lines if line.startswith("core ")]
    assert "..." in core
    assert core.endswith("/_emit.so")
    start = next(index for index, line in enumerate(lines) if line.startswith("reason"))
    assert lines[start + 1].startswith(" " * 15 + "undefined symbol")


@pytest.mark.parametrize("switch", ["", "0"])
def test_missing_extension_says_what_to_do(tmp_path, switch):
    (package,) = importlib.util.find_spec("cyevents").submodule_search_locations
    shutil.copytree(package, tmp_path / "cyevents", ignore=shutil.ignore_patterns("*.so", "*.pyd", "__pycache__"))
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "CYEVENTS_PURE_PYTHON": switch}
    line = [sys.executable, "-m", "cyevents", "info"]
    process = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    told = " ".join((process.stdout + process.stderr).split())
    assert (process.returncode != 0) is (switch == "0")
    assert "the extension is not built; to build it, install a C compiler and run `python -m pip install .`" in told


def test_bench(cyevents, backend):
    code, output, errors = cyevents("bench", "--seconds", "0")
    assert (code, errors) == (0, "")
    assert backend in output
    lines = output.splitlines()
    rows = {line[:17].strip(): line[17:] for line in lines}
    assert rows["cyevents"].count("(1.0)") == 3
    assert rows["a loop in Python"].count(" ns ") == 3
    assert max(map(len, lines)) < 80


def test_bench_shows_ratios_of_the_figures_it_shows(api, capsys, monkeypatch):
    bench = importlib.import_module("cyevents._bench")
    times = {"cyevents": 1.0, "a loop in Python": 2.5}
    monkeypatch.setattr(bench, "CONTESTANTS", {name: bench.CONTESTANTS[name] for name in times})
    monkeypatch.setattr(bench, "_race", lambda emissions, seconds: ({name: 200 * times[name] for name in emissions}, 0))
    assert bench.run(0) == 0
    assert "500 ns  (2.5)" in capsys.readouterr().out


@pytest.mark.parametrize(("rounds", "warns"), [([100] * 20, False), ([100, 150] * 10, True)])
def test_bench_warns_on_a_noisy_machine(api, capsys, monkeypatch, rounds, warns):
    bench = importlib.import_module("cyevents._bench")
    monkeypatch.setattr(bench, "CONTESTANTS", {"cyevents": bench.CONTESTANTS["cyevents"]})
    taken = itertools.cycle(rounds)
    monkeypatch.setattr(bench, "_round", lambda emit, number: next(taken))
    assert bench.run(0.001) == 0
    assert ("This machine is too busy" in capsys.readouterr().out) is warns


def test_bench_skips_a_library_with_wrong_results(api, monkeypatch, capsys):
    bench = importlib.import_module("cyevents._bench")
    monkeypatch.setitem(bench.CONTESTANTS, "a loop in Python", lambda handlers: print)
    assert bench.run(0) == 1
    assert "has called 0 of 1 handlers" in capsys.readouterr().err


def test_info_json(cyevents, api, backend):
    code, output, errors = cyevents("info", "--json")
    assert (code, errors) == (0, "")
    info = json.loads(output)
    assert info["version"] == api.__version__
    assert info["backend"] == backend
    assert info["python"] == platform.python_version()
    assert ("_tables" in info["core"]) is (backend == "python")
    assert ("(kernel)" in info["optimization"]) is (backend == "cython")
    assert isinstance(info["reason"], str)
    assert isinstance(info["gil_enabled"], bool)
    assert isinstance(info["free_threaded_build"], bool)


def test_import_does_not_load_argparse(command):
    _, environment = command
    program = "import sys, cyevents; print({'argparse', 'asyncio', 'cyevents._demo'} & set(sys.modules))"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, text=True)
    assert process.stdout.strip() == "set()"


@pytest.mark.slow
def test_closed_pipe_ends_quietly(command):
    line, environment = command
    for arguments in (["demo"], ["info"], ["demo", "--quiet"]):
        process = subprocess.Popen(
            line(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, bufsize=0
        )
        process.stdout.close()
        with process.stderr:
            assert process.stderr.read() == b""
        assert process.wait(60) == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_full_disk(command):
    line, environment = command
    with open("/dev/full", "wb") as full:
        process = subprocess.run(line("demo"), stdout=full, stderr=subprocess.PIPE, env=environment, timeout=60)
    assert process.returncode == 2
    assert len(process.stderr.splitlines()) == 1


@pytest.mark.slow
@posix_only
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_interrupt(command, mode):
    line, environment = command
    delay = {"sync": "0.3", "async": "0.05"}[mode]
    arguments = line("demo", "--mode", mode, "--delay", delay, "--repeat", "1000")
    process = subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    with process:
        process.stdout.readline()  # the story is printed, and the long run begins
        time.sleep(0.1)
        begin = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert b"Traceback" not in process.stdout.read()
        assert process.stderr.read() == b""
        assert process.wait(60) == -signal.SIGINT
        assert time.monotonic() - begin < 5


# On a terminal


def on_terminal(line, environment, stdout_too):
    """Run with standard error, or with both outputs, on a pseudo terminal; return what it shows."""
    pty = pytest.importorskip("pty")
    terminal, child_side = pty.openpty()
    process = subprocess.Popen(
        line,
        stdin=subprocess.DEVNULL,
        stdout=child_side if stdout_too else subprocess.DEVNULL,
        stderr=child_side,
        env=environment,
    )
    os.close(child_side)
    shown = b""
    try:
        while chunk := os.read(terminal, 65536):
            shown += chunk
    except OSError:  # the other side is closed, as Linux reports it
        pass
    finally:
        os.close(terminal)
    assert process.wait(60) == 0
    return shown.decode()


@pytest.mark.slow
@posix_only
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_progress_bar(command, mode):
    line, environment = command
    arguments = ["--limit", 40, "--repeat", 20, "--delay", "0.002"] if mode == "async" else ["--delay", "0.9"]
    shown = on_terminal(line("demo", "--mode", mode, *arguments), environment, stdout_too=False)
    bars = re.findall(rf"\r({mode} way \[#*\.*\] +\d+%)", shown)
    assert bars
    assert shown.endswith("\r" + " " * len(bars[-1]) + "\r")
    assert max(map(len, bars)) < 80


@pytest.mark.slow
@posix_only
def test_no_progress_bar_for_short_runs_or_files(command, cyevents):
    line, environment = command
    assert on_terminal(line("demo", "--limit", 5), environment, stdout_too=False) == ""
    code, _, errors = cyevents("demo", "--mode", "sync", "--delay", "0.7")
    assert (code, errors) == (0, "")


@posix_only
def test_trace_shows_all_columns_on_a_narrow_terminal(command, tmp_path):
    pytest.importorskip("rich")
    line, environment = command
    program = tmp_path / "program.py"
    program.write_text("from cyevents import emit\n\nemit('a.name' * 20, 7)\n")
    shown = on_terminal(line("trace", program), environment | {"COLUMNS": "80", "NO_COLOR": "1"}, stdout_too=True)
    assert "a.name by 7" in shown
    assert shown.rstrip("\x1b[0m\r\n").endswith("no handlers")


@pytest.mark.slow
@posix_only
def test_colours(command):
    line, environment = command
    arguments = line("demo", "--limit", 3)
    assert "\x1b[32m" in on_terminal(arguments, environment, stdout_too=True)
    assert "\x1b" not in on_terminal(arguments, environment | {"NO_COLOR": "1"}, stdout_too=True)
    assert "\x1b" not in on_terminal(arguments, environment | {"TERM": "dumb"}, stdout_too=True)
