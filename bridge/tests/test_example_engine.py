"""The engine of docs/bridge/engines.md, found by an entry point as another distribution would have it."""

import logging

import pytest

import cyevents
import example_engine
from cyevents_bridge import Bridge, Dropped
from processes import until

DELIVERIES = ["at_most_once", "at_least_once"]


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    """A distribution with the entry point, as `pip` installs it."""
    folder = tmp_path / "memory_engine-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: memory-engine\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[cyevents_bridge.engines]\nmemory = example_engine:MemoryEngine\n")
    monkeypatch.syspath_prepend(tmp_path)
    example_engine.BROKERS.clear()


class Process:
    """A namespace with a bridge, and the senders that it gets; a handler raises for "poison"."""

    def __init__(self, address="memory://shop", **options):
        self.got = []
        self.ns = cyevents.Namespace()
        self.ns.event("order.*").connect(self.note, weak=False)
        self.bridge = Bridge(self.ns, address, ["order.*"], **{"backoff": (0.01,), **options})

    def note(self, sender):
        self.got.append(sender)
        if sender == "poison":
            raise ValueError(sender)


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_every_other_process_and_one_of_a_group_get_it(run, delivery):
    async def main():
        one, two, *group = [Process(delivery=delivery, group=group) for group in (None, None, "g", "g")]
        other = Process("memory://elsewhere", delivery=delivery)
        async with one.bridge, two.bridge, group[0].bridge, group[1].bridge, other.bridge:
            for number in range(10):
                await one.ns.emit_async("order.placed", number)
            await until(lambda: len(two.got) == len(group[0].got + group[1].got) == 10)
        assert one.got == two.got == sorted(group[0].got + group[1].got) == list(range(10))
        assert other.got == []

    run(main())


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_group_that_was_away(run, delivery):
    async def main():
        one, two = Process(delivery=delivery), Process(delivery=delivery, group="g")
        async with two.bridge:
            pass
        async with one.bridge:
            await one.ns.emit_async("order.placed", "while away")
            async with two.bridge:
                await one.ns.emit_async("order.placed", "now")
                await until(lambda: "now" in two.got)
        assert two.got == (["while away", "now"] if delivery == "at_least_once" else ["now"])

    run(main())


def test_what_fails_comes_again_and_then_is_a_dead_letter(run, caplog):
    async def main():
        one, two = Process(delivery="at_least_once"), Process(delivery="at_least_once", group="g")
        async with one.bridge, two.bridge:
            with one.ns.muted():
                await one.ns.emit_async("order.placed", "poison")
            await until(lambda: two.bridge.stats.dead == 1)
        (broker,) = example_engine.BROKERS.values()
        assert two.got == ["poison"] * 2
        ((event, _, about),) = broker.dead_letters
        assert (event, about) == ("order.placed", {"Error": "ValueError: poison", "Attempts": "2", "Group": "g"})

    run(main())


def test_emissions_wait_while_the_broker_is_away(run):
    async def main():
        one, two = Process(), Process()
        async with one.bridge, two.bridge:
            (broker,) = example_engine.BROKERS.values()
            broker.is_up.clear()
            for number in range(10):
                one.ns.emit("order.placed", number)
            assert not await one.bridge.drain(0.05)
            assert two.got == []
            broker.is_up.set()
            await until(lambda: two.got == list(range(10)))

    run(main())


def test_a_message_whose_id_was_used_by_somebody_else_is_not_confirmed(run, monkeypatch, caplog):
    async def main():
        one = Process()
        async with one.bridge:
            (broker,) = example_engine.BROKERS.values()
            broker.ids.add("00")
            monkeypatch.setattr("cyevents_bridge._ids.RandomIds.next", lambda ids: "00")
            with pytest.raises(Dropped, match="already has a message with this id"):
                await one.ns.emit_async("order.placed", "ada")
        assert [record.levelno for record in caplog.records] == [logging.ERROR]

    run(main())


def test_an_address_that_no_engine_knows(tmp_path):
    with pytest.raises(ValueError, match="memory://.* not with 'carrier'"):
        Process("carrier://pigeon")
