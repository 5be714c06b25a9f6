"""What is Kafka's own in the bridge: partitions, what a group is known to have done, and what brokers answer."""

import asyncio
import importlib
import json
import logging
import time
import uuid

import processes
import pytest
from processes import until

pytest.importorskip("confluent_kafka")
pytest.importorskip("msgspec")

PRODUCE, COMMIT = 0, 8  # as requests are numbered in the protocol


@pytest.fixture
def prefix(kafka_server):
    prefix = f"t{uuid.uuid4().hex}"
    kafka_server.prepare(prefix)
    return prefix


@pytest.fixture
def process(api, kafka_server, prefix):
    return lambda **options: Process(api, kafka_server, prefix, **options)


@pytest.fixture
def quiet(caplog):
    with caplog.at_level(logging.CRITICAL, "cyevents.bridge"):
        yield


class Process(processes.Process):
    def __init__(self, api, server, prefix, **options):
        self.address = server.address
        super().__init__(api, server.address, prefix, **{**server.given, **options})

    def die(self):
        """Say nothing more, as if killed, when it is left; but leave the group, so that nobody need wait."""
        self.bridge._engine._commit = lambda states: None


def said(server, group, prefix):
    """What the broker was told of a group: by partition, up to where all is finished, and the text beside that."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": server.place, "group.id": f"{prefix}-{group}"})
    found = consumer.committed([TopicPartition(prefix, number) for number in range(4)], timeout=20)
    consumer.close()
    return {place.partition: (place.offset, json.loads(place.metadata)) for place in found}


# Partitions


@pytest.mark.parametrize(
    ("order_by", "expected"), [("emitter", [1, 1]), ("event", [1, 0]), (None, [4, 4])], ids=["emitter", "event", "none"]
)
def test_what_is_in_one_partition(api, kafka_server, prefix, run, order_by, expected):
    """Of each of two emitters, and of both together: how many partitions, and how many more."""

    async def main():
        one, two = (Process(api, kafka_server, prefix, order_by=order_by) for _ in range(2))
        three = Process(api, kafka_server, prefix)
        places = {one.bridge: set(), two.bridge: set()}
        async with one.bridge, two.bridge, three.bridge:
            taken = three.bridge._engine._taken

            def note(message):
                identity = dict(message.headers())["id"].decode()
                (who,) = [each for each in places if identity.startswith(each._id)]
                places[who].add(message.partition())
                return taken(message)

            three.bridge._engine._taken = note
            for each in (one, two):
                for number in range(100):
                    each.ns.emit("x", number)
            await until(lambda: len(three.got) == 200)
        first, second = places.values()
        assert len(first) == len(second) == expected[0]
        if order_by == "event":
            assert first == second
        if order_by is not None:  # in order, therefore
            assert [number for number in three.got if three.got.count(number) == 2][:1] == [0]

    run(main())


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_processes_that_come_and_go_have_each_message_once(process, run, delivery):
    async def main():
        one = process(delivery=delivery, order_by=None)
        two, three = (process(delivery=delivery, group="g") for _ in range(2))
        sent = 0

        async def emit_until(holds):
            nonlocal sent
            end = time.monotonic() + 20
            while not holds() or sent % 40:
                assert time.monotonic() < end, "it does not come"
                one.ns.emit("x", sent)
                sent += 1
                await asyncio.sleep(0.002)
            await asyncio.sleep(0.1)

        def shares():
            return [len(each.bridge._engine._mine) for each in (two, three)]

        async with one.bridge, two.bridge:
            await emit_until(lambda: shares()[0] == 4)
            async with three.bridge:
                await emit_until(lambda: shares() == [2, 2])
                await emit_until(lambda: True)
            await emit_until(lambda: shares()[0] == 4)
            await until(lambda: len(two.got) + len(three.got) >= sent)
        assert sorted(two.got + three.got) == list(range(sent))
        assert two.got and three.got
        assert two.bridge.stats.redelivered == three.bridge.stats.redelivered == 0

    run(main())


# What a group is known to have done


def test_others_go_on_while_one_waits_and_are_not_handled_again(process, kafka_server, prefix, run, quiet):
    async def main():
        one = process()
        async with one.bridge:
            two = process(group="g", backoff=(60.0,))

            @two.ns.on("x", priority=1)
            def fail(sender):
                if sender == 3:
                    raise ValueError("not yet")

            async with two.bridge:
                for number in range(10):
                    await one.ns.emit_async("x", number)
                await until(lambda: len(two.got) == 9)
            assert two.got == [number for number in range(10) if number != 3]
            ((offset, about),) = [each for each in said(kafka_server, "g", prefix).values() if each[0]]
            ((at, size, begun, due),) = about["open"]
            assert (offset, about["to"], about.get("busy"), at, size, begun) == (3, 7, None, 0, 1, 1)
            assert 50 < due - time.time() < 62
            await one.ns.emit_async("x", 10)
            three = process(group="g")
            async with three.bridge:
                await until(lambda: three.got)
                await asyncio.sleep(0.1)
            assert three.got == [10]

    run(main())


def test_attempts_are_counted_over_processes(process, kafka_server, prefix, run, quiet):
    async def main():
        one = process()
        async with one.bridge, kafka_server.letters(prefix) as letters:
            for number in range(3):
                worker = process(group="g", backoff=(0.01, 0.01) if number == 2 else (0.2, 0.2))

                @worker.ns.on("x")
                def fail(sender):
                    raise ValueError("never")

                async with worker.bridge:
                    if number == 0:
                        await one.ns.emit_async("x", 1)
                    await until(lambda: worker.bridge.stats.failed == 1)
                    assert worker.bridge.stats.redelivered == (number > 0)
                    if number == 2:
                        event, _, about = await letters()
            assert (event, about) == ("x", {"error": "ValueError: never", "attempts": "3", "group": "g"})

    run(main())


@pytest.mark.parametrize("attempts", [1, 3])
def test_neighbours_of_a_message_that_kills_its_process_are_not_blamed(
    process, kafka_server, prefix, run, quiet, attempts
):
    async def main():
        one = process()
        options = {"group": "g", "backoff": (0.02,) * (attempts - 1)}
        done = []
        async with one.bridge, kafka_server.letters(prefix) as letters:
            async with process(**options).bridge:
                pass
            for number in range(-2, 20):
                await one.ns.emit_async("x", number)
            for deaths in range(5):
                worker = process(**options)
                started = []

                @worker.ns.on("x")
                async def handle(sender):
                    if sender == 0:
                        started.append(sender)
                        await asyncio.Event().wait()
                    done.append(sender)

                async with worker.bridge:
                    await until(lambda: started or (worker.bridge.stats.dead and len(set(done)) == 21))
                    if not started:
                        await until(lambda: sum(offset for offset, _ in said(kafka_server, "g", prefix).values()) == 22)
                        break
                    worker.die()
            event, _, about = await letters()
            assert (event, about["error"]) == ("x", f"RuntimeError: not finished in {attempts} attempts")
            # Where one attempt is all, it may be known whose it was only after a second.
            assert deaths == attempts or (attempts, deaths) == (1, 2)
        assert sorted(set(done)) == [number for number in range(-2, 20) if number]

    run(main())


def test_many_that_fail_hold_up_the_rest_before_the_broker_is_told_too_much(process, kafka_server, prefix, run, quiet):
    async def main():
        one, two = process(), process(group="g", backoff=(0.5, 0.01))
        failed = set()

        @two.ns.on("x", priority=1)
        def fail(sender):
            if sender not in failed and sender % 2:
                failed.add(sender)
                raise ValueError("not yet")

        async with one.bridge, two.bridge:
            engine = two.bridge._engine
            texts, commit = [], engine._commit

            def note(states):
                texts.extend(text for _, text in states.values())
                commit(states)

            engine._commit = note
            for number in range(300):
                one.ns.emit("x", number)
            await until(lambda: len(failed) >= 50)
            await asyncio.sleep(0.1)
            assert len(two.got) < 150
            await until(lambda: len(two.got) == 300)
        assert max(map(len, texts)) < 4000
        assert all(texts)
        assert two.bridge.stats.failed == 150

    run(main())


@pytest.mark.parametrize("text", ["", "somebody's", "[]", "{}", '{"to": 1, "open": [[1]]}', '{"to": null}'])
def test_a_group_that_others_have_told_of(process, kafka_server, prefix, run, text):
    """As a tool does that sets a group back."""
    from confluent_kafka import Consumer, TopicPartition

    async def main():
        one = process(order_by="event")
        async with one.bridge:
            for number in range(3):
                await one.ns.emit_async("x", number)
            consumer = Consumer({"bootstrap.servers": kafka_server.place, "group.id": f"{prefix}-g"})
            places = [TopicPartition(prefix, number, 1, text) for number in range(4)]
            consumer.commit(offsets=places, asynchronous=False)
            consumer.close()
            two = process(group="g")
            async with two.bridge:
                await until(lambda: len(two.got) >= 2)
                await asyncio.sleep(0.05)
        assert two.got == [1, 2]

    run(main())


def test_what_is_said_of_a_partition_is_understood(api):
    state = importlib.import_module("cyevents.bridge._kafka_state")
    partition = state.Partition(0, 120, doubt=130)
    partition.open = {100: state.Open(2, 5.5), **{offset: state.Open() for offset in range(110, 118)}}
    first, text = partition.state(is_busy=True)
    about = {"v": 1, "to": 20, "open": [[0, 1, 2, 6], [10, 8, 0, 0]], "doubt": 30, "busy": 256}
    assert (first, json.loads(text)) == (100, about)
    again = state.restored(0, first, text, attempts=3)
    assert (again.next, again.doubt, set(again.open)) == (120, 376, set(partition.open))
    assert (again.open[100].begun, again.open[100].due, again.open[100].is_suspect) == (2, 6, False)
    assert (again.open[110].begun, again.open[110].is_suspect) == (1, True)
    assert state.restored(0, first, text, attempts=1).open[110].begun == 0
    calm = state.restored(0, *partition.state(is_busy=False), attempts=3)
    assert (calm.open[110].begun, calm.open[110].is_suspect, calm.doubt) == (0, False, 130)


def test_most_messages_wait_for_no_commit(process, run, monkeypatch):
    kafka = importlib.import_module("cyevents.bridge._kafka")
    monkeypatch.setattr(kafka, "_GATHER", 60.0)  # so that it is told only what it must be

    async def main():
        one, two = process(), process(group="g")
        async with one.bridge, two.bridge:
            engine = two.bridge._engine
            told, commit = [], engine._commit

            def note(states):
                told.append(len(two.got))
                commit(states)

            engine._commit = note
            for number in range(300):
                one.ns.emit("x", number)
                if number in (0, 200):
                    await until(lambda: len(two.got) == number + 1)
                    assert told == [0]
            await until(lambda: len(two.got) == 300)
            assert told[0] == 0 and 201 <= told[1] < 300
            assert len(told) == 2
        assert two.got == list(range(300))

    run(main())


def test_what_may_have_been_begun_with_was_tried_once(process, run, monkeypatch):
    """All that was taken by the one that has died, and some more; what came later is new."""
    state = importlib.import_module("cyevents.bridge._kafka_state")
    monkeypatch.setattr(state, "_AHEAD", 10)

    async def main():
        one, two, three = process(), process(group="g"), process(group="g")
        two.ns.event("x").connect(lambda sender: asyncio.Event().wait() if sender else None, weak=False, priority=-1)
        async with one.bridge:
            async with two.bridge:
                for number in range(30):
                    one.ns.emit("x", number)
                said = two.bridge._engine._mine
                await until(lambda: [each.next for each in said.values() if each.covered == 40] == [30])
                await until(lambda: [each.said[0] for each in said.values() if each.covered == 40] == [1])
                two.die()
            for number in range(30, 60):
                one.ns.emit("x", number)
            async with three.bridge:
                await until(lambda: len(three.got) == 59)
        assert sorted(three.got) == list(range(1, 60))
        assert (three.bridge.stats.received, three.bridge.stats.redelivered) == (59, 39)

    run(main())


def test_who_has_nothing_to_do_says_so(process, kafka_server, prefix, run, monkeypatch):
    """What comes after its death is new, then; and before its next message, the broker is told of it."""
    kafka = importlib.import_module("cyevents.bridge._kafka")
    monkeypatch.setattr(kafka, "_REST", 0.05)
    monkeypatch.setattr(kafka, "_ALIVE", 0.05)

    async def main():
        one, two, three = process(), process(group="g"), process(group="g")
        log = []
        two.ns.event("x").connect(log.append, weak=False)
        async with one.bridge:
            async with two.bridge:
                engine = two.bridge._engine
                commit = engine._commit

                def note(states):
                    commit(states)
                    log.append(any('"busy"' in text for _, text in states.values()))

                engine._commit = note
                for number in (5, 6):
                    await one.ns.emit_async("x", number)
                    await until(lambda: log[-1:] == [False] and number in log)
                assert [each for each in log if each is not False] == [True, 5, True, 6]
                two.die()
            await one.ns.emit_async("x", 7)
            async with three.bridge:
                await until(lambda: three.got)
            assert (three.got, three.bridge.stats.redelivered) == ([7], 0)

    run(main())


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_two_that_make_a_group_at_the_same_time(process, run, delivery):
    """One of them enters, and has gone again, while the other one is about to find out that there is no group."""

    async def main():
        one = process()
        two, three = (process(delivery=delivery, group="g") for _ in range(2))
        loop = asyncio.get_running_loop()
        engine = three.bridge._engine
        unknown, found = engine._unknown, []

        async def meanwhile():
            async with two.bridge:
                pass
            await one.ns.emit_async("x", 1)

        def look(places):
            found.append(unknown(places))
            if len(found) == 1:
                asyncio.run_coroutine_threadsafe(meanwhile(), loop).result(20)
            return found[-1]

        engine._unknown = look
        async with one.bridge, three.bridge:
            await until(lambda: three.got)
        assert three.got == [1]
        assert [len(each) for each in found] == [4, 0]

    run(main())


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_groups_of_the_older_protocol(process, run, delivery):
    """Which all brokers have, and which is the default. The mock may refuse what is said at the end."""
    options = {"group_protocol": "classic", "ack_wait": 1.3, "heartbeat_interval_ms": 50}

    async def main():
        one = process(delivery=delivery, order_by=None)
        two, three = (process(delivery=delivery, group="g", **options) for _ in range(2))
        sent = 0

        async def emit_until(holds):
            nonlocal sent
            end = time.monotonic() + 20
            while not holds():
                assert time.monotonic() < end, "it does not come"
                await one.ns.emit_async("x", sent)
                sent += 1
                await asyncio.sleep(0.002)

        async with one.bridge, two.bridge:
            await emit_until(lambda: len(two.got) > 20)
            async with three.bridge:
                await emit_until(lambda: len(three.got) > 20)
            before = len(two.got)
            await emit_until(lambda: len(two.got) > before + 20)
            if delivery == "at_least_once":
                await until(lambda: len({*two.got, *three.got}) == sent)
        if delivery == "at_most_once":
            assert len({*two.got, *three.got}) == len(two.got + three.got)

    run(main())


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_partitions_that_are_added(process, run, monkeypatch, delivery):
    """Without a group. With one, the client looks for them by itself."""
    kafka = importlib.import_module("cyevents.bridge._kafka")

    class Consumer(kafka.Consumer):
        known = 2

        def list_topics(self, *args, **kwargs):
            found = super().list_topics(*args, **kwargs)
            for topic in found.topics.values():
                topic.partitions = {number: each for number, each in topic.partitions.items() if number < self.known}
            return found

    monkeypatch.setattr(kafka, "Consumer", Consumer)
    monkeypatch.setattr(kafka, "_LOOK", 0.05)

    async def main():
        one, two = process(order_by=None), process(delivery=delivery)
        async with one.bridge, two.bridge:
            for number in range(100):
                one.ns.emit("x", number)
            assert await one.bridge.drain(20)
            await until(lambda: len(two.got) > 5)
            await asyncio.sleep(0.2)
            assert len(two.got) < 95
            Consumer.known = 4
            await until(lambda: len(two.got) == 100)
        assert sorted(two.got) == list(range(100))

    run(main())


# Twice, and at most once


def test_a_second_message_of_an_id_is_dropped_within_the_window(process, run, monkeypatch):
    kafka = importlib.import_module("cyevents.bridge._kafka")
    messages = importlib.import_module("cyevents.bridge._messages")

    def body(number):
        return messages.Codec().pack(messages.Message("x", "a", "other", None, number, (), {}, {}))

    async def main():
        one, two, group = process(), process(window=0.15), process(group="g", window=60.0)
        async with one.bridge, two.bridge, group.bridge:
            for number in range(2):
                await one.bridge._engine.publish("x", body(number), "other-1", True)
            await until(lambda: two.got and group.got)
            await asyncio.sleep(0.25)
            await one.bridge._engine.publish("x", body(2), "other-1", True)
            await until(lambda: len(two.got) == 2)
            monkeypatch.setattr(kafka, "_SEEN", 10)
            for number in range(30):
                await one.bridge._engine.publish("x", body(number), f"other-{number + 2}", True)
            await until(lambda: len(two.got) == 32 and len(group.got) == 31)
            assert len(group.bridge._engine._seen) <= 11
        assert two.got[:2] == [0, 2]
        assert group.got[:1] == [0]

    run(main())


def test_what_kills_its_process_is_not_delivered_again_at_most_once(process, run, monkeypatch):
    kafka = importlib.import_module("cyevents.bridge._kafka")
    monkeypatch.setattr(kafka, "_GATHER", 60.0)  # so that the broker is told only what it must be

    async def main():
        one = process(delivery="at_most_once")
        async with one.bridge:
            two, three = (process(delivery="at_most_once", group="g") for _ in range(2))
            two.ns.event("x").connect(
                lambda sender: asyncio.Event().wait() if sender else None, weak=False, priority=-1
            )
            async with two.bridge:
                for number in range(2):
                    await one.ns.emit_async("x", number)
                    await until(lambda: len(two.got) == number + 1)
                two.die()
            async with three.bridge:
                await one.ns.emit_async("x", 2)
                await until(lambda: three.got)
                await asyncio.sleep(0.1)
        assert three.got == [2]

    run(main())


def test_what_was_not_begun_with_is_not_lost_at_most_once(process, run):
    async def main():
        one = process(delivery="at_most_once")
        async with one.bridge:
            two, three = (process(delivery="at_most_once", group="g") for _ in range(2))
            two.ns.event("x").connect(lambda sender: asyncio.Event().wait(), weak=False, priority=-1)
            async with two.bridge:
                for number in range(5):
                    await one.ns.emit_async("x", number)
                await until(lambda: two.got)
            async with three.bridge:
                await until(lambda: len(three.got) == 4)
        assert three.got == [1, 2, 3, 4]

    run(main())


def test_a_group_that_was_away_misses_what_is_delivered_at_most_once(process, run, monkeypatch):
    state = importlib.import_module("cyevents.bridge._kafka_state")

    async def main():
        one, two, three = process(), *(process(delivery="at_most_once", group="g") for _ in range(2))
        async with one.bridge:
            await one.ns.emit_async("x", "before")
            async with two.bridge:
                await one.ns.emit_async("x", "here")
                await until(lambda: two.got)
            await one.ns.emit_async("x", "meanwhile")
            monkeypatch.setattr(state, "time", lambda: time.time() + 60)
            async with three.bridge:
                await one.ns.emit_async("x", "after")
                await until(lambda: three.got)
        assert (two.got, three.got) == (["here"], ["after"])

    run(main())


# The broker's answers


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
@pytest.mark.parametrize("group", [None, "g"])
def test_a_bridge_is_left_while_the_broker_is_away(api, own_kafka, run, quiet, delivery, group):
    """Although the client waits for the group's coordinator for as long as a process may be away: here 20 seconds."""

    async def main():
        one = Process(api, own_kafka, "p", delivery=delivery, group=group, ack_wait=20.0, flush_timeout=0.1)
        two = Process(api, own_kafka, "p", delivery=delivery)
        async with two.bridge:
            await one.bridge.__aenter__()
            await two.ns.emit_async("x", 1)
            await until(lambda: one.got)
            own_kafka.kill()
            one.ns.emit("x", 2)
            async with asyncio.timeout(15):
                await one.bridge.__aexit__(None, None, None)
            own_kafka.start()
            await two.ns.emit_async("x", 3)
            assert one.bridge.stats.dropped == 1

    run(main())


def test_a_message_that_is_kept_no_more_is_not_waited_for(process, kafka_server, prefix, run, quiet):
    async def main():
        one = process(order_by="event")
        async with one.bridge:
            two = process(group="g", backoff=(60.0,))

            @two.ns.on("x")
            def fail(sender):
                raise ValueError("not yet")

            async with two.bridge:
                await one.ns.emit_async("x", 1)
                await until(lambda: two.bridge.stats.failed)
            await one.ns.emit_async("x", 2)
            ((number, _),) = [
                (number, about) for number, (_, about) in said(kafka_server, "g", prefix).items() if "open" in about
            ]
            kafka_server.say("rd_kafka_mock_partition_delete_records", prefix, number, 1)
            three = process(group="g")
            async with three.bridge:
                await until(lambda: three.got)
                await until(lambda: said(kafka_server, "g", prefix)[number][0] == 2)
            assert three.got == [2]

    run(main())


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
@pytest.mark.parametrize("group", [None, "g"])
def test_a_topic_that_is_deleted_and_made_again(process, kafka_server, prefix, run, quiet, delivery, group):
    """Its messages are numbered anew."""

    async def main():
        one, two = process(delivery=delivery), process(delivery=delivery, group=group)
        async with one.bridge, two.bridge:
            for number in range(30):
                await one.ns.emit_async("x", number)
            await until(lambda: len(two.got) == 30)
            kafka_server.say("rd_kafka_mock_topic_delete", prefix)
            await asyncio.sleep(0.2)
            kafka_server.say("rd_kafka_mock_topic_create", prefix, 4, 1)
            for number in range(30, 40):
                await one.ns.emit_async("x", number)
            await until(lambda: len(two.got) == 40)
        assert two.got == list(range(40))

    run(main())


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_what_the_broker_refuses_is_dropped(process, kafka_server, run, quiet, delivery):
    from confluent_kafka import KafkaError

    bridge = importlib.import_module("cyevents.bridge")

    async def main():
        one, two = process(delivery=delivery), process(delivery=delivery)
        async with one.bridge, two.bridge:
            # After the last one, the client itself refuses until it has asked the broker again.
            for error in (
                KafkaError.MSG_SIZE_TOO_LARGE,
                KafkaError.INVALID_RECORD,
                KafkaError.TOPIC_AUTHORIZATION_FAILED,
            ):
                await one.ns.emit_async("x", 1)
                kafka_server.say("rd_kafka_mock_push_request_errors", PRODUCE, 1, error)
                with pytest.raises(bridge.Dropped, match="the broker refuses it"):
                    await one.ns.emit_async("x", "refused")
            await until(lambda: len(two.got) == 3)
            assert two.got == [1, 1, 1]

    run(main())


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_what_the_broker_cannot_take_yet_is_published_once(process, kafka_server, run, delivery):
    from confluent_kafka import KafkaError

    async def main():
        one, two = process(delivery=delivery), process(delivery=delivery, group="g")
        async with one.bridge, two.bridge:
            await one.ns.emit_async("x", 1)
            errors = [KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_LEADER_FOR_PARTITION] * 2
            kafka_server.say("rd_kafka_mock_push_request_errors", PRODUCE, 4, *errors)
            await one.ns.emit_async("x", 2)
            await until(lambda: len(two.got) == 2)
            await asyncio.sleep(0.1)
        assert two.got == [1, 2]
        assert one.bridge.stats.dropped == 0

    run(main())


def test_what_the_broker_cannot_be_told_it_is_told_again(process, kafka_server, prefix, run, quiet, monkeypatch):
    """What is finished, and what is to be begun with again, which waits for that."""
    from confluent_kafka import KafkaError

    kafka = importlib.import_module("cyevents.bridge._kafka")
    monkeypatch.setattr(kafka, "_ALIVE", 60.0)  # so that it is not told by the way

    async def main():
        one, two = process(), process(group="g")
        failed = []

        @two.ns.on("x", priority=1)
        def fail(sender):
            if sender == 3 and not failed:
                failed.append(sender)
                refuse()
                raise ValueError("not yet")

        def refuse():
            errors = [KafkaError.COORDINATOR_LOAD_IN_PROGRESS] * 3
            kafka_server.say("rd_kafka_mock_push_request_errors", COMMIT, 3, *errors)

        async with one.bridge, two.bridge:
            await one.ns.emit_async("x", 1)
            await until(lambda: two.got)
            refuse()
            await one.ns.emit_async("x", 2)
            await until(lambda: len(two.got) == 2)
            await until(lambda: sum(offset for offset, _ in said(kafka_server, "g", prefix).values()) == 2)
            await one.ns.emit_async("x", 3)
            await until(lambda: len(two.got) == 3)
        assert two.got == [1, 2, 3]

    run(main())


def test_a_producer_that_has_broken_down_is_replaced(process, run, quiet):
    """As one does whose records the broker has forgotten. Nothing else fails so; the client's mock cannot either."""
    from confluent_kafka import KafkaError

    bridge = importlib.import_module("cyevents.bridge")

    async def main():
        kept, once, two = process(), process(delivery="at_most_once"), process()
        async with kept.bridge, once.bridge, two.bridge:
            for each in (kept, once):
                engine = each.bridge._engine
                before, send = engine._producer, engine._send

                async def fail(*args, engine=engine, send=send):
                    engine._send = send
                    return KafkaError(KafkaError._FATAL, "out of order", fatal=True)

                engine._send = fail
                if each is once:
                    with pytest.raises(bridge.Dropped, match="not known whether the broker has it"):
                        await each.ns.emit_async("x", "lost")
                    await each.ns.emit_async("x", "next")
                else:
                    await each.ns.emit_async("x", "kept")
                assert engine._producer is not before
            await until(lambda: len(two.got) == 2)
        assert two.got == ["kept", "next"]

    run(main())


# Mistakes, and what is given


def test_options(api, run, process):
    bridge = importlib.import_module("cyevents.bridge")
    kafka = importlib.import_module("cyevents.bridge._kafka")

    async def main():
        for wrong, what in (
            ({"no_such_thing": 1}, 'does not take its options.*"no.such.thing"'),
            ({"session_timeout_ms": "soon"}, "session.timeout.ms"),
            ({"order_by": "sender"}, "order_by must be"),
        ):
            with pytest.raises(ValueError, match=what):
                async with process(**wrong).bridge:
                    pass
        for address, given, expected in (
            ("kafka://a:1,b:2", {}, ("a:1,b:2", "PLAINTEXT", None, None)),
            ("kafkas://a:1", {}, ("a:1", "SSL", None, None)),
            ("kafka://ada:p%40ss@a:1,b:2", {}, ("a:1,b:2", "SASL_PLAINTEXT", "ada", "p@ss")),
            ("kafkas://a:1", {"username": "ada", "password": "x"}, ("a:1", "SASL_SSL", "ada", "x")),
        ):
            engine = bridge.Bridge(api.Namespace(), address, ["x"], **given)._engine
            engine._read_options()
            names = ("bootstrap.servers", "security.protocol", "sasl.username", "sasl.password")
            assert tuple(engine._common.get(name) for name in names) == expected
            assert "p%40ss" not in engine.place
        engine = bridge.Bridge(api.Namespace(), "kafka://a", ["x"], sasl_mechanism="SCRAM-SHA-512")._engine
        engine._read_options()
        assert engine._given == {"sasl.mechanism": "SCRAM-SHA-512"}
        assert kafka.KafkaEngine is type(engine)

    run(main())


def test_why_no_broker_answers(api, kafka_server, run):
    address = "kafka://127.0.0.1:1"

    class Nobody:
        given = {}

    Nobody.address = address

    async def main():
        with pytest.raises(ConnectionError, match=f"no broker answers at {address}: .*Connect to .* failed"):
            async with Process(api, Nobody, "p", connect_timeout=0.8).bridge:
                pass

    run(main())


# Against a broker that is none of the client's makers'


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_topics_are_made(api, tansu, run, delivery):
    from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

    prefix = f"t{uuid.uuid4().hex}/ä"
    topic = prefix.replace("/", "_2f").replace("ä", "_e4")

    async def main():
        options = {"delivery": delivery, "partitions": 3, "keep": 60.0, "ack_wait": 6.0}
        one, two = (Process(api, tansu, prefix, **options) for _ in range(2))
        group = Process(api, tansu, prefix, **options, group="g" if delivery == "at_least_once" else None)
        async with one.bridge, two.bridge, group.bridge:
            await one.ns.emit_async("x", 1)
            await until(lambda: two.got and group.got)
        assert two.got == group.got == [1]
        async with one.bridge:  # they are there
            pass

    run(main())
    admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{tansu.port}", "allow.auto.create.topics": False})
    topics = admin.list_topics(timeout=20).topics
    assert [len(topics[name].partitions) for name in (topic, f"{topic}-dead")] == [3, 3]
    resource = ConfigResource(ResourceType.TOPIC, topic)
    config = admin.describe_configs([resource])[resource].result(20)
    assert config["retention.ms"].value == "60000"
