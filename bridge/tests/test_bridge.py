"""`Bridge` with each of the brokers: who gets what, how often, and what happens when things break."""

import asyncio
import dataclasses
import gc
import importlib
import json
import logging
import os
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from processes import SOON, until

WAYS = ["at_most_once", "at_least_once"]


@dataclasses.dataclass
class Order:
    number: int


@pytest.fixture
def bridge(api):
    return importlib.import_module("cyevents_bridge")


class Process:
    """What stands for a process: a namespace with a handler that notes what it gets, and a bridge."""

    def __init__(self, api, bridge, broker, prefix, **options):
        self.got = []
        self.prefix = prefix
        self.ns = api.Namespace()
        self.ns.event("order.*").connect(self.note, weak=False, with_event=True)
        options = {"delivery": "at_least_once", "backoff": (0.02, 0.02), **options}
        self.bridge = bridge.Bridge(
            self.ns, broker.address, options.pop("events", ["order.*"]), prefix=prefix, **options
        )

    def note(self, sender, *args, event, **kwargs):
        self.got.append((event.name, sender, args, kwargs))

    @property
    def senders(self):
        return [sender for _, sender, _, _ in self.got]


@pytest.fixture
def process(api, bridge, broker, prefix):
    """Makes processes whose bridges share a part of the broker that no other test uses."""
    return lambda **options: Process(api, bridge, broker, prefix, **options)


@pytest.mark.parametrize("delivery", WAYS)
def test_every_other_process_emits_it_once(process, run, delivery):
    async def main():
        one, two, three = (process(delivery=delivery) for _ in range(3))
        async with one.bridge, two.bridge, three.bridge:
            one.ns.event("order.placed")
            assert one.ns.emit("order.placed", "ada", 1, (2,), total=12.5) == []
            assert await two.ns.event("order.paid").emit_async("bob") == []
            await until(lambda: len(one.got) == len(two.got) == len(three.got) == 2)
            await asyncio.sleep(0.1)
        placed, paid = ("order.placed", "ada", (1, (2,)), {"total": 12.5}), ("order.paid", "bob", (), {})
        for each in (one, two, three):
            assert sorted(each.got) == [paid, placed]
        assert (one.bridge.stats.published, one.bridge.stats.received) == (1, 1)
        assert (three.bridge.stats.published, three.bridge.stats.received) == (0, 2)

    run(main())


@pytest.mark.parametrize("delivery", WAYS)
def test_one_process_of_a_group_gets_it(process, run, delivery):
    async def main():
        shop, *workers = process(delivery=delivery), *(process(delivery=delivery, group="work.ers 1") for _ in range(3))
        shop.ns.event("order.placed")
        async with shop.bridge, workers[0].bridge, workers[1].bridge, workers[2].bridge:
            for number in range(60):
                shop.ns.emit("order.placed", number)
            await until(lambda: sum(len(worker.got) for worker in workers) == 60)
            await asyncio.sleep(0.1)
            assert sorted(sender for worker in workers for sender in worker.senders) == list(range(60))
            for worker in workers:
                assert worker.senders == sorted(worker.senders)
            workers[0].ns.event("order.placed").emit("own")
            await until(lambda: "own" in shop.senders)
            await asyncio.sleep(0.1)
            assert [worker.senders.count("own") for worker in workers] == [1, 0, 0]

    run(main())


def test_only_what_is_bridged(process, run):
    async def main():
        one, two = process(events=["order.placed", "user.*"]), process(events=["order.*", "user.created"])
        names = ["order.placed", "order.paid", "user.created", "user.x.y", "other", "order placed"]
        for each in (one, two):
            for name in names:
                each.ns.event(name).connect(each.note, weak=False, with_event=True)
        async with one.bridge, two.bridge:
            for name in names:
                one.ns.emit(name, "from one")
                two.ns.emit(name, "from two")
            await one.ns.emit_async("order.placed", "end")
            await until(lambda: "end" in two.senders)
            await until(lambda: len(one.got) >= 8)
        arrived = [
            {name for name, sender, *_ in each.got if sender == f"from {other}"}
            for each, other in ((one, "two"), (two, "one"))
        ]
        assert arrived == [{"order.placed", "user.created"}, {"order.placed", "user.created"}]

    run(main())


@pytest.mark.parametrize("delivery", WAYS)
@pytest.mark.parametrize("event", ["order.*", "order.[a-z]*", "order.placed"])
def test_who_publishes_one_way_is_heard_the_other_way(process, run, delivery, event):
    async def main():
        one = process(delivery=delivery)
        others = [process(delivery=each, events=[event]) for each in WAYS]
        async with others[0].bridge, others[1].bridge, one.bridge:
            await one.ns.event("order.placed").emit_async("ada")
            await until(lambda: all(other.got for other in others))
            await asyncio.sleep(0.05)
        assert [other.senders for other in others] == [["ada"], ["ada"]]

    run(main())


@pytest.mark.parametrize("delivery", WAYS)
def test_names_that_subjects_cannot_have(process, run, delivery):
    names = ["order.", "order..x", "order.a b", "order.ä>", "order.%", "order.\n", "order.$x"]

    async def main():
        one, two = process(delivery=delivery), process(delivery=delivery)
        async with one.bridge, two.bridge:
            for name in names:
                one.ns.event(name)
                one.ns.emit(name, 1)
            await until(lambda: len(two.got) == len(names))
        assert [name for name, *_ in two.got] == names

    run(main())


def test_an_emission_of_what_cannot_travel_is_an_error_and_calls_nobody(process, run):
    async def main():
        one, two = process(types=[Order]), process(types=[Order])
        one.ns.event("order.placed")
        async with one.bridge, two.bridge:
            for bad in (object(), one):
                with pytest.raises(TypeError, match=r"cannot be sent: register the type"):
                    one.ns.emit("order.placed", bad)
                with pytest.raises(TypeError, match=r"cannot be sent: register the type"):
                    await one.ns.emit_async("order.placed", "ada", bad)
            with pytest.raises(ValueError, match="max_size is 1000000"):
                one.ns.emit("order.placed", "x" * 1_000_001)
            assert one.got == []
            one.ns.emit("order.placed", Order(7))
            await until(lambda: two.got)
        assert two.senders == one.senders == [Order(7)]
        assert one.bridge.stats.published == 1

    run(main())


def test_cancellation_and_errors_are_each_process_s_own(process, run):
    async def main():
        one, two = process(), process()

        @one.ns.on("order.placed", priority=1)
        def refuse(sender):
            if sender == "raises":
                raise ValueError
            return False

        async with one.bridge, two.bridge:
            assert one.ns.emit("order.placed", "cancels").handler is refuse
            with pytest.raises(ValueError):
                await one.ns.emit_async("order.placed", "raises")
            await until(lambda: len(two.got) == 2)
        assert one.got == []
        assert two.senders == ["cancels", "raises"]

    run(main())


def test_what_handlers_of_arrived_events_emit_goes_on(process, run):
    async def main():
        one, two, three = (process() for _ in range(3))

        @two.ns.on("order.placed")
        async def pay(sender):
            await asyncio.sleep(0)
            await two.ns.emit_async("order.paid", sender)

        two.ns.event("order.paid")
        async with one.bridge, two.bridge, three.bridge:
            await one.ns.event("order.placed").emit_async("ada")
            await until(lambda: all(len(each.got) == 2 for each in (one, two, three)))
            await asyncio.sleep(0.1)
        for each in (one, two, three):
            assert sorted(name for name, *_ in each.got) == ["order.paid", "order.placed"]

    run(main())


def test_two_bridges_of_one_process_pass_nothing_on(api, bridge, process, broker, prefix, run):
    """One process between two brokers, or two prefixes, in a ring with another."""

    async def main():
        one, two = process(), process()
        options = {"prefix": f"{prefix}-too", "delivery": "at_least_once"}
        others = [bridge.Bridge(each.ns, broker.address, ["order.*"], **options) for each in (one, two)]
        async with one.bridge, two.bridge, others[0], others[1]:
            one.ns.event("order.placed").emit("ada")
            await until(lambda: len(two.got) == 2)  # by each of the two ways
            await asyncio.sleep(0.2)
        assert (len(one.got), len(two.got)) == (1, 2)

    run(main())


# At least once


def test_a_handler_that_raises_gets_it_again_until_it_does_not(process, run, caplog):
    async def main():
        one, two = process(), process(group="g", backoff=(0.01, 0.01, 0.01))
        attempts = []

        @two.ns.on("order.placed")
        def fail(sender):
            attempts.append(sender)
            if attempts.count(sender) < 3:
                raise ValueError("not yet")

        async with one.bridge, two.bridge:
            one.ns.event("order.placed").emit("ada")
            await until(lambda: len(attempts) == 3)
            await asyncio.sleep(0.1)
            assert len(attempts) == 3
            stats = two.bridge.stats
            assert (stats.received, stats.redelivered, stats.failed, stats.dead) == (3, 2, 2, 0)

    with caplog.at_level(logging.CRITICAL, "cyevents_bridge"):
        run(main())


def test_what_fails_to_the_end_goes_to_the_dead_letters(process, run, broker, caplog):
    async def main():
        one, two = process(), process(group="g", backoff=(0.01,))

        @two.ns.on("order.placed")
        def fail(sender):
            raise ValueError("never")

        async with broker.letters(two.prefix) as letters, one.bridge, two.bridge:
            one.ns.event("order.placed").emit("ada")
            event, body, about = await letters()
            await until(lambda: two.bridge.stats.dead == 1)
            await asyncio.sleep(0.1)
            assert len(two.got) <= 2
        assert about == {"error": "ValueError: never", "attempts": "2", "group": "g"}
        assert json.loads(body)["sender"] == "ada"
        assert event == "order.placed"

    with caplog.at_level(logging.CRITICAL, "cyevents_bridge"):
        run(main())


@pytest.mark.parametrize("delivery", WAYS)
def test_hostile_messages_go_to_the_dead_letters_and_nothing_else_happens(process, run, broker, caplog, delivery):
    async def main():
        two = process(delivery=delivery)
        prefix = two.prefix
        good = {"v": 1, "event": "order.placed", "id": "1", "from": "me", "args": [], "kwargs": {}}
        bad = [
            b"",
            b"{",
            {**good, "v": 9},
            {**good, "event": "order.*"},
            {**good, "sender": {"$": "os.system", "of": 1}},
        ]
        unknown = {"$": "os.system", "of": 1}
        async with broker.letters(prefix) as letters, two.bridge:
            for body in bad:
                await broker.publish(
                    prefix, "order.placed", body if isinstance(body, bytes) else json.dumps(body).encode()
                )
            for body in ({**good, "event": "user.made", "sender": unknown}, {**good, "group": "x"}):
                await broker.publish(prefix, "order.placed", json.dumps(body).encode())
            found = [await letters() for _ in bad]
            await until(lambda: two.got)
        assert len(two.got) == 1
        assert two.bridge.stats.dead == len(bad)
        assert "order.*" not in two.ns._patterns or two.ns.event("order.*").handlers
        assert all("Malformed" in about["error"] for _, _, about in found)

    with caplog.at_level(logging.ERROR, "cyevents_bridge"):
        run(main())
    assert len([record for record in caplog.records if "dead letters" in record.message]) == 5


def test_a_slow_handler_is_not_given_its_message_again(process, run):
    """Nor is it given to another process of the group, which has nothing to do."""

    async def main():
        one, two, three = process(), process(group="g", ack_wait=1.5), process(group="g", ack_wait=1.5)

        async def slow(sender):
            await asyncio.sleep(2.5)

        for each in (two, three):
            each.ns.event("order.placed").connect(slow)
        async with one.bridge:
            async with two.bridge:
                one.ns.event("order.placed").emit(1)
                await one.ns.emit_async("order.placed", 2)
                await until(lambda: two.got)
                async with three.bridge:
                    await until(lambda: len(two.got) + len(three.got) == 2)
                    await asyncio.sleep(3)
                    for stats in (two.bridge.stats, three.bridge.stats):
                        assert (stats.redelivered, stats.failed, stats.dead) == (0, 0, 0)
                    assert two.bridge.stats.received + three.bridge.stats.received == 2

    run(main())


def test_what_a_killed_process_had_goes_to_another_one(broker, process, run, tmp_path):
    """All that it had fetched, of which it had begun with one."""
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
            import json, sys, time
            from cyevents import Namespace
            from cyevents_bridge import Bridge

            shop = Namespace()

            @shop.on("order.placed")
            def hang(sender):
                print(sender, flush=True)
                time.sleep(60)

            options = {"delivery": "at_least_once", "group": "g", **json.loads(sys.argv[3])}
            with Bridge(shop, sys.argv[1], ["order.*"], prefix=sys.argv[2], **options):
                print("ready", flush=True)
                sys.stdin.read()
        """),
        "utf-8",
    )

    async def main():
        one, two = process(), process(group="g", ack_wait=0.5)
        options = {"ack_wait": 0.5}
        command = [sys.executable, str(program), broker.address, one.prefix, json.dumps(options)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
            async with one.bridge:
                assert await asyncio.to_thread(worker.stdout.readline) == "ready\n"
                one.ns.event("order.placed")
                for number in range(10):
                    one.ns.emit("order.placed", number)
                assert await asyncio.to_thread(worker.stdout.readline) == "0\n"
                worker.kill()
                async with two.bridge:
                    await until(lambda: len(set(two.senders)) == 10)
        assert sorted(two.senders) == list(range(10))

    run(main())


def test_what_a_process_has_not_begun_with_goes_to_another_one_at_once(process, run):
    async def main():
        one, two, three = process(), process(group="g"), process(group="g")
        two.ns.event("order.placed").connect(lambda sender: asyncio.Event().wait(), weak=False, priority=-1)
        async with one.bridge:
            async with two.bridge:
                for number in range(5):
                    await one.ns.event("order.placed").emit_async(number)
                await until(lambda: two.got)
            async with three.bridge:
                await until(lambda: len(three.got) == 5)
        assert sorted(three.senders) == list(range(5))

    run(main())


def test_a_process_that_comes_and_goes_takes_nothing_with_it(process, broker, run):
    """What is sent to it while it leaves is not missed until `ack_wait`."""

    async def main():
        one, two, three = process(), process(group="g"), process(group="g")
        one.ns.event("order.placed")
        emitted = 0

        async def emit():
            nonlocal emitted
            while True:
                one.ns.emit("order.placed", emitted)
                emitted += 1
                await asyncio.sleep(0.001)

        async with one.bridge, two.bridge:
            emitting = asyncio.create_task(emit())
            for _ in range(20):
                async with three.bridge:
                    received = len(three.got)
                    await until(lambda: len(three.got) > received)
            emitting.cancel()
            await until(lambda: len({*two.senders, *three.senders}) == emitted)
        assert sorted(two.senders + three.senders) == list(range(emitted))

    run(main())


@pytest.mark.parametrize("delivery", WAYS)
@pytest.mark.parametrize("group", [None, "g"])
def test_a_bridge_that_is_entered_again_receives_again(process, run, delivery, group):
    async def main():
        one, two = process(), process(delivery=delivery, group=group)
        async with one.bridge:
            for number in range(20):
                async with two.bridge:
                    await one.ns.event("order.placed").emit_async(number)
                    await until(lambda: len(two.got) == number + 1)
        assert two.senders == list(range(20))

    run(main())


def test_a_group_gets_what_was_published_while_it_was_away(process, run):
    async def main():
        one, two = process(), process(group="g")
        async with one.bridge:
            async with two.bridge:
                pass
            await one.ns.event("order.placed").emit_async("meanwhile")
            again = process(group="g")
            async with again.bridge:
                await until(lambda: again.got)
            assert again.senders == ["meanwhile"]

    run(main())


def test_a_broker_that_is_killed_and_starts_again(api, bridge, own_broker, run, caplog):
    async def main():
        one = Process(api, bridge, own_broker, "p")
        two = Process(api, bridge, own_broker, "p", group="g")
        fan = Process(api, bridge, own_broker, "p")
        one.ns.event("order.placed")
        async with one.bridge, two.bridge, fan.bridge:
            for number in range(300):
                one.ns.emit("order.placed", number)
                if number == 100:
                    own_broker.kill()
                if number == 200:
                    await asyncio.sleep(0.5)
                    own_broker.start()
                await asyncio.sleep(0.001)
            assert await one.bridge.drain(SOON)
            await until(lambda: len(set(two.senders)) == len(set(fan.senders)) == 300)
        assert set(two.senders) == set(fan.senders) == set(range(300))
        assert one.bridge.stats.dropped == 0

    with caplog.at_level(logging.CRITICAL):
        run(main())


def test_the_order_is_kept_across_a_broker_s_death(api, bridge, own_broker, run, caplog):
    """Of what was under way, what had not been sent, and what is emitted later."""

    async def main():
        one, two = (Process(api, bridge, own_broker, "p") for _ in range(2))
        one.ns.event("order.placed")
        async with one.bridge, two.bridge:
            for number in range(3000):
                one.ns.emit("order.placed", number)
                if number == 1000:
                    await until(lambda: two.got)
                    own_broker.kill()
                    own_broker.start()
                if number % 100 == 0:
                    await asyncio.sleep(0.005)
            assert await one.bridge.drain(SOON)
            await until(lambda: len(set(two.senders)) == 3000)
        assert list(dict.fromkeys(two.senders)) == list(range(3000))

    with caplog.at_level(logging.CRITICAL):
        run(main())


def test_the_order_is_kept_across_the_death_of_a_broker_that_had_stopped_to_read(api, bridge, own_broker, run, caplog):
    """What the client still had in hand is sent to the new broker after what was lost with the connection."""

    async def main():
        one, two = (Process(api, bridge, own_broker, "p") for _ in range(2))
        one.ns.event("order.placed")
        async with one.bridge, two.bridge:
            one.ns.emit("order.placed", 0)
            await until(lambda: two.got)
            own_broker.pause()
            for number in range(1, 400):
                one.ns.emit("order.placed", number, "x" * 100_000)
                await asyncio.sleep(0)
            await asyncio.sleep(0.2)
            own_broker.kill()
            own_broker.start()
            assert await one.bridge.drain(SOON)
            await until(lambda: len(set(two.senders)) == 400)
        assert list(dict.fromkeys(two.senders)) == list(range(400))

    with caplog.at_level(logging.CRITICAL):
        run(main())


def test_a_message_that_kills_its_process_takes_no_others_along(api, process, run, broker, tmp_path, backend):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
            import json, logging, os, sys, time
            from cyevents import Namespace
            from cyevents_bridge import Bridge

            shop = Namespace()
            notes = os.open(sys.argv[3], os.O_RDWR | os.O_CREAT | os.O_APPEND)
            logging.disable(logging.CRITICAL)

            @shop.on("order.placed")
            def handle(sender):
                if sender == "poison":
                    os._exit(7)
                os.write(notes, bytes([sender]))

            options = {"delivery": "at_least_once", "group": "g", "backoff": (0.01,), **json.loads(sys.argv[4])}
            with Bridge(shop, sys.argv[1], ["order.*"], prefix=sys.argv[2], **options) as bridge:
                end = time.monotonic() + 20
                while time.monotonic() < end and bridge.stats.dead < 2:
                    if bridge.stats.dead and os.fstat(notes).st_size == 20:
                        break
                    time.sleep(0.01)
                print(bridge.stats.dead)
        """),
        "utf-8",
    )

    async def publish():
        one, two = process(), process(group="g", ack_wait=0.5)
        async with one.bridge:
            async with two.bridge:
                pass  # the group is known from now on
            for sender in ("poison", *range(20)):
                await one.ns.event("order.placed").emit_async(sender)
        return one.bridge._engine.options.prefix

    options = json.dumps({"ack_wait": 0.5})
    command = [sys.executable, str(program), broker.address, run(publish()), str(tmp_path / "notes"), options]
    environment = {**os.environ, "CYEVENTS_PURE_PYTHON": "1" if backend == "python" else "0"}
    # It is tried as often as it may be; then it is given up.
    codes = []
    while not codes or (codes[-1] == 7 and len(codes) < 4):
        worker = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        codes.append(worker.returncode)
    assert codes == [7, 7, 0]
    assert worker.stdout == "1\n"
    assert sorted((tmp_path / "notes").read_bytes()) == list(range(20))


# The outbox


def test_a_full_outbox_raises_or_drops(api, bridge, own_broker, run, caplog):
    async def main():
        raising = Process(api, bridge, own_broker, "p", outbox=10, flush_timeout=0.1)
        dropping = Process(api, bridge, own_broker, "p", outbox=10, overflow="drop_oldest", flush_timeout=0.1)
        for each in (raising, dropping):
            each.ns.event("order.placed")
        async with raising.bridge, dropping.bridge:
            own_broker.kill()
            with pytest.raises(bridge.OutboxFull, match=r"\d+ emissions wait for the broker, and the outbox is full"):
                for number in range(1000):
                    raising.ns.emit("order.placed", number)
            called = len(raising.got)
            with pytest.raises(bridge.OutboxFull):
                raising.ns.emit("order.placed", "no room")
            assert len(raising.got) == called
            for number in range(1000):
                dropping.ns.emit("order.placed", number)
            assert dropping.bridge.stats.dropped > 800
            waiting = asyncio.ensure_future(raising.ns.emit_async("order.placed", "waits"))
            await asyncio.sleep(0.1)
            assert not waiting.done()
        with pytest.raises(bridge.Dropped, match="'order.placed' was not published: the bridge was left"):
            await waiting
        for each in (raising, dropping):
            assert each.bridge.stats.waiting == 0
        assert raising.bridge.stats.dropped == called + 1

    with caplog.at_level(logging.ERROR, "cyevents_bridge"):
        run(main())
    assert "emissions were not published" in caplog.text


def test_a_broker_that_reads_no_more_keeps_nobody_from_leaving(api, bridge, own_broker, run, caplog):
    one = Process(api, bridge, own_broker, "p", flush_timeout=0.1)

    async def main():
        async with one.bridge:
            own_broker.pause()
            one.ns.event("order.placed")
            for _ in range(200):  # more than a connection holds
                one.ns.emit("order.placed", "x" * 200_000)
            await asyncio.sleep(0.5)

    with caplog.at_level(logging.CRITICAL, "aiormq"), caplog.at_level(logging.ERROR, "cyevents_bridge"):
        run(main())
    assert "200 emissions were not published" in caplog.text
    own_broker.kill()


def test_leaving_waits_for_what_is_on_its_way(process, run):
    async def main():
        one, two = process(), process()
        one.ns.event("order.placed")
        async with two.bridge:
            async with one.bridge:
                for number in range(500):
                    one.ns.emit("order.placed", number)
            await until(lambda: len(two.got) == 500)
        assert two.senders == list(range(500))

    run(main())


def test_after_leaving_nothing_is_published(process, run):
    async def main():
        one, two = process(), process()
        one.ns.event("order.placed")
        async with two.bridge:
            async with one.bridge:
                pass
            one.ns.emit("order.placed", object())
            assert await one.ns.emit_async("order.placed", 1) == []
            async with one.bridge:
                await one.ns.emit_async("order.placed", 2)
            await until(lambda: two.got)
        assert two.senders == [2]

    run(main())


# Threads, and programs without a loop


@pytest.mark.parametrize("delivery", WAYS)
def test_the_synchronous_form(process, delivery):
    one, two = process(delivery=delivery), process(delivery=delivery)
    threads = set()

    @two.ns.on("order.placed")
    async def where(sender):
        threads.add(threading.current_thread().name)

    one.ns.event("order.placed")
    with one.bridge, two.bridge:
        workers = [
            threading.Thread(target=lambda: [one.ns.emit("order.placed", n) for n in range(50)]) for _ in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        asyncio.run(one.ns.emit_async("order.placed", "from another loop"))
        end = time.monotonic() + SOON
        while len(two.got) < 201:
            assert time.monotonic() < end
            time.sleep(0.01)
    assert threads == {"cyevents bridge"}
    assert len(two.got) == 201
    assert not [thread for thread in threading.enumerate() if thread.name == "cyevents bridge"]


def test_real_processes(broker, prefix, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
            import sys, time
            from cyevents import Namespace
            from cyevents_bridge import Bridge

            shop = Namespace()
            got = []

            @shop.on("order.placed")
            def note(sender):
                got.append(sender)

            with Bridge(shop, sys.argv[1], ["order.*"], prefix=sys.argv[2], delivery="at_least_once"):
                print("ready", flush=True)
                me = int(sys.stdin.readline())
                for number in range(20):
                    shop.emit("order.placed", me * 100 + number)
                end = time.monotonic() + 20
                while len(got) < 60 and time.monotonic() < end:
                    time.sleep(0.01)
                time.sleep(0.2)
            print(sorted(got))
        """),
        "utf-8",
    )
    command = [sys.executable, str(program), broker.address, prefix]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(3)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for number, process in enumerate(processes):
        process.stdin.write(f"{number}\n")
        process.stdin.flush()
    expected = sorted(me * 100 + number for me in range(3) for number in range(20))
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert out == f"{expected}\n"
        assert process.returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore")
def test_a_process_that_is_forked(broker, prefix, tmp_path):
    """A bridge that is entered stays with the parent; one that is not, each may enter, and they hear each other."""
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
            import os, sys, time
            from cyevents import Namespace
            from cyevents_bridge import Bridge

            shop, other = Namespace(), Namespace()
            got, heard = [], []
            shop.event("order.placed").connect(got.append, weak=False)
            other.event("order.placed").connect(heard.append, weak=False)
            options = {"delivery": "at_least_once", "prefix": sys.argv[2], "outbox": 5}
            shared = Bridge(other, sys.argv[1], ["order.*"], **options)
            options["prefix"] += "x"
            with Bridge(shop, sys.argv[1], ["order.*"], **options) as bridge:
                child = os.fork()
                if not child:
                    for number in range(20):
                        shop.emit("order.placed", number)
                    assert len(got) == 20 and bridge.stats.waiting == 0, bridge.stats
                me, they = ("child", "parent") if not child else ("parent", "child")
                with shared:
                    end = time.monotonic() + 20
                    while they not in heard and time.monotonic() < end:
                        other.emit("order.placed", me)
                        time.sleep(0.05)
                    other.emit("order.placed", me)
                assert they in heard, heard
                if not child:
                    os._exit(0)
                shop.emit("order.placed", "published")
                _, status = os.waitpid(child, 0)
            assert (bridge.stats.published, status) == (1, 0), (bridge.stats, status)
        """),
        "utf-8",
    )
    command = [sys.executable, str(program), broker.address, prefix]
    assert subprocess.run(command, timeout=60).returncode == 0


# Mistakes


@pytest.mark.parametrize(
    ("scheme", "client"),
    [("nats", "nats"), ("redis", "redis"), ("amqp", "aiormq")],
)
def test_no_broker(api, bridge, run, scheme, client):
    pytest.importorskip(client)
    address = f"{scheme}://127.0.0.1:1"
    ns = api.Namespace()

    async def main():
        with pytest.raises(ConnectionError, match=f"no broker answers at {address}"):
            async with bridge.Bridge(ns, address, ["x"], connect_timeout=0.3):
                pass
        await asyncio.sleep(0)

    run(main())
    with pytest.raises(ConnectionError), bridge.Bridge(ns, address, ["x"], connect_timeout=0.3):
        pass
    gc.collect()


def test_wrong_arguments(api, bridge):
    ns = api.Namespace()
    for wrong in (
        {"namespace": None},
        {"events": "order.*"},
        {"events": []},
        {"events": [1]},
        {"group": ""},
        {"group": 1},
        {"outbox": 0},
        {"types": [object]},
        {"types": dict},
        {"types": 1},
        {"backoff": "ab"},
        {"backoff": 3},
        {"backoff": ["1"]},
        {"ack_wait": "30"},
        {"retention": None},
        {"prefix": 3},
        {"max_size": 1.5},
        {"nonsense": 1},
        {"address": "redis://x", "nonsense": 1},
        {"address": "amqp://x", "nonsense": 1},
    ):
        given = {"namespace": ns, "address": "nats://x", "events": ["x"], **wrong}
        with pytest.raises(TypeError):
            bridge.Bridge(**given)
    for wrong in (
        {"address": "http://x"},
        {"delivery": "exactly_once"},
        {"encoding": "pickle"},
        {"overflow": "wait"},
        {"backoff": [float("nan")]},
        {"backoff": [-1]},
        {"ack_wait": 0},
        {"connect_timeout": float("inf")},
        {"prefix": ""},
        {"prefix": "a b"},
        {"prefix": "*"},
        {"prefix": "a..b"},
    ):
        given = {"namespace": ns, "address": "nats://x", "events": ["x"], **wrong}
        with pytest.raises(ValueError):
            bridge.Bridge(**given)


@pytest.mark.parametrize(
    ("missing", "extra", "scheme"),
    [
        ("nats", "nats", "nats"),
        ("redis", "redis", "redis"),
        ("aiormq", "rabbitmq", "amqp"),
    ],
)
def test_without_the_extra(api, monkeypatch, missing, extra, scheme):
    for name in [name for name in sys.modules if name.startswith("cyevents_bridge")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf'pip install "cyevents-bridge\[{extra}\]"'):
        importlib.import_module("cyevents_bridge").Bridge(api.Namespace(), f"{scheme}://x", ["x"])
