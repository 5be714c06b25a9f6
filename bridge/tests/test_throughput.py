"""The benchmark, in brief: every contestant is proved right, and wrong deliveries are found."""

import asyncio
import importlib.util
import re
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "benchmarks" / "throughput.py"


@pytest.fixture(scope="module")
def throughput():
    spec = importlib.util.spec_from_file_location("throughput", PROGRAM)
    module = sys.modules["throughput"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["throughput"]


@pytest.mark.parametrize("broker", ["nats", "redis", "rabbitmq"])
def test_every_contestant_is_measured(throughput, capsys, broker, request):
    request.getfixturevalue(f"{'amqp' if broker == 'rabbitmq' else broker}_server")  # or is skipped
    assert throughput.main(["--brief", broker]) == 0
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    figures = {tuple(cell.strip() for cell in row[:3]): row[3:] for row in rows if len(row) == 6}
    for delivery in throughput.DELIVERIES:
        for kind in throughput.contestants(broker):
            rate, middle, late = (float(re.sub(r"[^\d.]", "", cell)) for cell in figures[broker, delivery, kind])
            assert rate > 0
            assert 0 < middle <= late
    assert [row[0].strip() for row in rows if len(row) == 2][-1] == "carried at_least_once"


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [("bridge", [0, 1]), ("bare client", [0, 1, 2, 2]), ("bridge", [0, 2, 1]), ("FastStream", [2, 0])],
)
def test_a_pair_that_delivers_wrongly_is_found(throughput, kind, numbers):
    async def answer(role):
        return {"numbers": numbers}

    pair = throughput.Pair("nats", "at_most_once", kind)
    pair.tell, pair.answer = lambda *arguments: None, answer
    with pytest.raises(AssertionError, match=f"{kind} over nats, at_most_once, has not delivered each event once"):
        asyncio.run(pair.send(3))


def test_a_broker_that_nobody_knows(throughput, capsys):
    with pytest.raises(SystemExit):
        throughput.main(["nots"])
    assert "no broker is called nots" in capsys.readouterr().err
