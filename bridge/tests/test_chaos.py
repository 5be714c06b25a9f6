"""The chaos program, in brief (some 10 s a broker), and its account: it must find what is lost, or there twice."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("chaos.py")


@pytest.fixture
def chaos(monkeypatch):
    monkeypatch.syspath_prepend(PROGRAM.parent)
    monkeypatch.delitem(sys.modules, "conftest", raising=False)  # another folder's, perhaps
    spec = importlib.util.spec_from_file_location("chaos", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.modules.pop("conftest", None)


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
@pytest.mark.parametrize(("broker", "kills"), [("nats", 10), ("redis", 10), ("rabbitmq", 10)])
def test_nothing_is_lost(broker, kills, chaos, request):
    server = chaos.BROKERS[broker].server
    request.getfixturevalue(f"{server.scheme}_server")  # or is skipped
    command = [sys.executable, str(PROGRAM), "--broker", broker, "--events", "2000", "--kills", str(kills)]
    program = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (program.returncode, program.stderr) == (0, ""), program
    who = r"\d+ handled, \d+ redelivered, \d+ by a restarted broker"
    line = (
        rf"chaos over {broker}: 2000 events in \d+ s: 2 kills of the broker, {kills} of a worker;"
        rf" group {who}; listener {who}; nothing lost\n"
    )
    assert re.fullmatch(line, program.stdout)


GOOD = [(10.0, 0, 1, 5, 9.0), (11.0, 1, 1, 6, 9.0)]


@pytest.mark.parametrize(
    ("more", "count", "wrong"),
    [
        ([], 2, []),
        ([], 3, ["2 is lost"]),
        ([], 1, ["nobody has made 1"]),
        ([(13.0, 1, 2, 6, 9.0)], 2, []),  # who had it was killed meanwhile
        ([(12.0, 1, 2, 6, 9.0)], 2, ["1 was delivered again, and nobody had died"]),
        ([(12.0, 1, 1, 6, 9.0)], 2, ["1 was delivered twice for the first time"]),
        ([(13.0, 1, 2, 7, 9.0)], 2, ["1 is at the broker twice"]),
        ([(21.0, 1, 1, 6, 9.0)], 2, []),  # the broker was killed meanwhile
    ],
)
def test_the_account(chaos, more, count, wrong):
    found, redelivered, forgotten = chaos.account([*GOOD, *more], count, [20.0], [8.5, 12.5])
    assert found == wrong
    assert redelivered == sum(record[0] == 13 and record[2:4] == (2, 6) for record in more)
    assert forgotten == sum(record[0] > 20 for record in more)


def test_memory_that_grows(chaos, capsys):
    flat, growing = [100_000] * 40, list(range(100_000, 140_000, 1000))
    samples = list(zip(flat, growing, growing, strict=True))
    assert chaos.judge_memory(samples, ["flat", "grows", "broker"]) == ["grows has grown"]


def test_records_that_were_cut(chaos, tmp_path):
    path = tmp_path / "notes"
    record = chaos.RECORD.pack(*GOOD[0])
    path.write_bytes(record + record[:5])
    assert chaos.read([path]) == [GOOD[0]]
