"""The engine for RabbitMQ: its queues, the broker's answers, lost connections, and options."""

import asyncio
import contextlib
import importlib
import json
import logging
import os
import signal
import socket
import ssl
import time
from pathlib import Path

import pytest

import processes
from processes import silent, until

aiormq = pytest.importorskip("aiormq")


@pytest.fixture
def process(api, amqp_server, prefix):
    return lambda **options: Process(api, amqp_server.address, prefix, **options)


class Process(processes.Process):
    def fall_silent(self):
        engine = self.bridge._engine
        engine.put = engine._session.leave = silent


async def exists(server, queue):
    """Return how many messages wait in a queue, or `None` if there is no such queue."""
    async with server.client() as channel:
        try:
            return (await channel.queue_declare(queue, passive=True)).message_count
        except aiormq.exceptions.ChannelNotFoundEntity:
            return None


def message_body(process, sender):
    """A message as another process would publish it."""
    codec = importlib.import_module("cyevents_bridge._codec")
    return process.bridge._codec.pack(codec.Message("x", "a", "another", None, sender, (), {}, {}))


@contextlib.contextmanager
def quiet():
    logger = logging.getLogger("cyevents_bridge")
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(logging.NOTSET)


class Relay:
    """A relay between a process and the server that can hold back the server's answers, and break the connections."""

    def __init__(self, server):
        self.port = server.port
        self.held = None  # the held back answers by writer
        self.is_deaf = False
        self.writers = set()

    async def __aenter__(self):
        self.listener = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.address = f"amqp://127.0.0.1:{self.listener.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error):
        self.listener.close()
        self.sever()

    async def serve(self, reader, writer):
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers |= {writer, to_server}

        async def pass_on(source, sink):
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    if sink is writer and self.held is not None:
                        self.held.setdefault(writer, []).append(data)
                    elif sink is writer or not self.is_deaf:
                        sink.write(data)
            sink.close()

        await asyncio.gather(pass_on(reader, to_server), pass_on(from_server, writer))

    def sever(self):
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    @property
    def answers(self):
        return sum(map(len, self.held.values()))

    def release_and_close(self):
        """Send the held back answers and close the connections at the same moment."""
        held, self.held, self.is_deaf = self.held, None, False
        for writer, parts in held.items():
            writer.write(b"".join(parts))
            writer.close()


# Groups


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_only_the_message_being_handled_is_blamed(process, amqp_server, prefix, run, kind):
    """A message that kills its process becomes a dead letter; those fetched with it are handled."""

    async def main():
        one = process()
        async with one.bridge, amqp_server.client() as channel, amqp_server.letters(prefix) as letters:
            for name in ("group", "again", "later"):  # as whoever runs the broker has them
                arguments = {"x-queue-type": kind}
                await channel.queue_declare(f"{prefix}.{name}.g", durable=True, arguments=arguments)
            async with process(group="g").bridge:
                pass
            for number in range(-2, 20):
                await one.ns.emit_async("x", number)
            done = []
            for _ in range(3):  # as many as there are attempts
                worker = process(group="g")
                started = []

                @worker.ns.on("x")
                async def handle(sender):
                    if sender == 0:
                        started.append(sender)
                        await asyncio.Event().wait()
                    done.append(sender)

                async with worker.dying():
                    await until(lambda: started)
            worker = process(group="g")
            worker.ns.event("x").connect(done.append, weak=False)
            with quiet():
                async with worker.bridge:
                    event, body, about = await letters()
                    await until(lambda: len(set(done)) == 21)
            assert (event, about["error"]) == ("x", "RuntimeError: not finished in 3 attempts")
            assert json.loads(body)["sender"] == 0
        assert worker.bridge.stats.dead == 1
        assert sorted(set(done)) == [number for number in range(-2, 20) if number]
        for name in ("group", "again", "later"):
            assert await exists(amqp_server, f"{prefix}.{name}.g") == 0

    run(main())


def test_leaving_gives_back_fetched_messages(process, run):
    """In their order, and without counting an attempt."""

    async def main():
        one, two = process(), process(group="g")
        two.ns.event("x").connect(lambda sender: asyncio.Event().wait(), weak=False, priority=-1)
        async with one.bridge:
            async with two.bridge:
                for number in range(200):
                    await one.ns.emit_async("x", number)
                await until(lambda: two.got)
            three = process(group="g")
            async with three.bridge:
                await until(lambda: len(three.got) == 200)
                assert three.bridge.stats.redelivered == 1  # the one that was begun with
        assert three.got == list(range(200))

    run(main())


def test_redelivered_messages_come_before_new_ones(process, run):
    async def main():
        one, two, three = process(), process(group="g"), process(group="g")
        two.ns.event("x").connect(lambda sender: asyncio.Event().wait(), weak=False, priority=-1)
        async with one.bridge:
            async with two.dying():
                for number in range(200):
                    await one.ns.emit_async("x", number)
                await until(lambda: two.got)
            async with three.bridge:
                await until(lambda: len(three.got) == 200)
                assert three.bridge.stats.redelivered == 64  # as many as are fetched
        assert three.got == list(range(200))

    run(main())


@pytest.mark.parametrize("end", ["is left", "dies"])
def test_order_survives_being_given_back_twice(process, run, end):
    """The second process has begun with the first message: only that one is blamed."""

    async def main():
        one, two, three, four = process(), *(process(group="g") for _ in range(3))
        for each in (two, three):
            each.ns.event("x").connect(lambda sender: asyncio.Event().wait(), weak=False, priority=-1)
        async with one.bridge:
            async with two.bridge:
                for number in range(60):
                    await one.ns.emit_async("x", number)
                await until(lambda: two.got)
            async with three.bridge if end == "is left" else three.dying():
                await until(lambda: three.got)
            async with four.bridge:
                await until(lambda: len(four.got) == 60)
                assert four.bridge.stats.redelivered == 1  # the one that was begun with
        assert four.got == list(range(60))

    run(main())


@pytest.mark.parametrize("error", [None, OSError()])
def test_a_cancellation_swallowed_by_the_client_is_raised(api, run, error):
    """`asyncio.wait_for` of Python 3.11 does that if the awaited call ends just then. Leaving would hang."""
    client_module = importlib.import_module("cyevents_bridge._rabbitmq_client")

    async def client():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(20)
        if error is not None:
            raise error

    async def main():
        task = asyncio.create_task(client_module.unless_lost(client()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await client_module.unless_lost(client())

    run(main())


def test_a_held_message_survives_its_process(process, amqp_server, prefix, run):
    """Another process waits for the rest of the delay, and no attempt is counted."""

    async def main():
        one = process()
        with quiet():
            async with one.bridge:
                two = process(group="g", backoff=(0.3,))
                two.ns.event("x").connect(lambda sender: 1 / 0, weak=False)
                async with two.dying():
                    await one.ns.emit_async("x", 1)
                    await until(lambda: two.bridge.stats.failed)
                    await until(lambda: two.bridge._engine._session._holding)
                    await until(lambda: not two.bridge._engine._session._copying)  # the first copy is acknowledged

                async def is_given_back():
                    return await exists(amqp_server, f"{prefix}.later.g")

                await until(is_given_back)
                three = process(group="g", backoff=(0.3,))
                begun = time.monotonic()
                async with three.bridge:
                    await until(lambda: three.got)
                    assert time.monotonic() - begun > 0.25
                    assert three.bridge.stats.dead == 0

    run(main())


@pytest.mark.parametrize("cause", ["it was delivered before", "its time has come"])
def test_leaving_during_a_copy_copies_only_once(process, prefix, run, cause):
    """The broker has the copy, and the original is not acknowledged yet."""

    async def main():  # a deduplication window would hide a duplicate
        one, two, three, four = process(), *(process(group="g", dedup_window=0.0, backoff=[0.02] * 9) for _ in range(3))
        two.ns.event("x").connect(lambda sender: asyncio.Event().wait(), weak=False, priority=-1)
        three.ns.event("x").connect(lambda sender: 1 / 0, weak=False, priority=-1)
        async with one.bridge:
            async with two.dying() if cause == "it was delivered before" else two.bridge:
                await one.ns.emit_async("x", 1)
                await until(lambda: two.got)
            async with three.bridge:
                put, is_put = three.bridge._engine.put, asyncio.Event()

                async def put_slowly(exchange, key, *args):
                    is_taken = await put(exchange, key, *args)
                    if key == f"{prefix}.again.g":
                        is_put.set()
                        await asyncio.sleep(0.05)
                    return is_taken

                three.bridge._engine.put = put_slowly
                await is_put.wait()
            async with four.bridge:
                await until(lambda: four.got)
                await asyncio.sleep(0.1)
            assert four.got == [1]

    with quiet():
        run(main())


def test_an_absent_group_misses_messages_at_most_once(process, amqp_server, prefix, run):
    async def main():
        one = process(delivery="at_most_once")
        async with one.bridge:
            await one.ns.emit_async("x", "before")
            async with process(delivery="at_most_once", group="g").bridge:
                assert await exists(amqp_server, f"{prefix}.once.g") == 0
            assert await exists(amqp_server, f"{prefix}.once.g") is None
            await one.ns.emit_async("x", "meanwhile")
            two = process(delivery="at_most_once", group="g")
            async with two.bridge:
                await one.ns.emit_async("x", "after")
                await until(lambda: two.got)
                await asyncio.sleep(0.05)
            assert two.got == ["after"]

    run(main())


@pytest.mark.parametrize(
    ("group", "name"), [("a-b_c.d:e@f,g/h", "a-b_c.d:e@f,g/h"), ("é #1*", "#C3#A9#20#231#2A"), ("~", "#7E")]
)
@pytest.mark.parametrize(("delivery", "kind"), [("at_least_once", "group"), ("at_most_once", "once")])
def test_a_group_may_have_any_name(process, amqp_server, prefix, run, group, name, delivery, kind):
    async def main():
        one, two = process(), process(group=group, delivery=delivery)
        async with one.bridge, two.bridge:
            assert await exists(amqp_server, f"{prefix}.{kind}.{name}") == 0
            await one.ns.emit_async("x", 1)
            await until(lambda: two.got == [1])

    run(main())


# Retention and duplicates


def test_a_process_without_a_group_deletes_its_queues(process, amqp_server, prefix, run):
    async def main():
        one = process()
        async with one.bridge:
            names = [f"{prefix}.{each}.{one.bridge._engine.process_id}" for each in ("process", "again", "later")]
            assert [await exists(amqp_server, name) for name in names] == [0, 0, 0]
        assert [await exists(amqp_server, name) for name in names] == [None, None, None]

    run(main())


def test_messages_are_kept_for_the_retention(process, amqp_server, prefix, run):
    async def main():
        one = process(retention=0.1)
        async with one.bridge:
            async with process(retention=0.1, group="g").bridge, process(retention=1e9, group="h").bridge:
                pass
            await one.ns.emit_async("x", 1)
            await asyncio.sleep(0.2)
            assert await exists(amqp_server, f"{prefix}.group.g") == 0
            assert await exists(amqp_server, f"{prefix}.group.h") == 1

    run(main())


def test_duplicates_are_dropped_within_the_window(process, run):
    Publication = importlib.import_module("cyevents_bridge.engine").Publication

    async def main():
        one, two, three = process(), process(dedup_window=60.0), process(dedup_window=0.05)
        with quiet():
            async with one.bridge, two.bridge, three.bridge:
                body = message_body(one, 7)
                for _ in range(2):
                    await one.bridge._engine.publish(Publication("x", body, "a", True, False))
                    await until(lambda: three.got)
                    await asyncio.sleep(0.1)
                await until(lambda: len(three.got) == 2)
            assert (two.got, three.got) == ([7], [7, 7])

    run(main())


def test_a_second_message_of_an_id_is_not_a_duplicate(process, amqp_server, prefix, run):
    """Someone has seen a message that will be delivered again, and publishes another one with its id meanwhile."""
    properties = importlib.import_module("pamqp.commands").Basic.Properties

    async def main():
        one, two = process(), process(group="g", backoff=(0.3,))
        two.ns.event("x").connect(lambda sender: 1 / (two.got.count(sender) - (sender == "real")), weak=False)
        async with one.bridge, two.bridge, amqp_server.client() as channel:
            seen = asyncio.Queue()
            queue = (await channel.queue_declare(exclusive=True)).queue
            await channel.queue_bind(queue, prefix, "x")
            await channel.basic_consume(queue, seen.put, no_ack=True)
            await one.ns.emit_async("x", "real")
            identity = (await seen.get()).header.properties.message_id
            await until(lambda: two.bridge.stats.failed)
            forged = message_body(one, "forged")
            await channel.basic_publish(
                forged, exchange=prefix, routing_key="x", properties=properties(message_id=identity)
            )
            await until(lambda: two.got == ["real", "forged", "real"])

    with quiet():
        run(main())


def test_handled_messages_are_remembered_within_limits(api, monkeypatch):
    sessions = importlib.import_module("cyevents_bridge._rabbitmq_sessions")
    monkeypatch.setattr(sessions, "_MAX_REMEMBERED", 3)
    recent = sessions.RecentMessages(60.0)
    for number in range(5):
        recent.add(str(number), b"")
    assert [recent.has(str(number), b"") for number in range(5)] == [False, False, True, True, True]
    assert len(recent._hashes) == len(recent._ends) == 3
    assert not recent.has("4", b"another")
    brief = sessions.RecentMessages(0.0)
    brief.add("a", b"")
    assert not brief.has("a", b"")


@pytest.mark.parametrize("identity", [None, "", "x" * 129])
def test_messages_without_a_usable_id_are_never_duplicates(api, identity):
    recent = importlib.import_module("cyevents_bridge._rabbitmq_sessions").RecentMessages(60.0)
    recent.add(identity, b"")
    assert not recent.has(identity, b"")
    assert not recent._hashes


def test_bulk_acks_skip_a_message_without_a_copy(process, run):
    """A message that has failed, and of which the broker has no copy, stays unacknowledged."""

    async def main():
        one, two, three = process(), process(group="g"), process(group="g")
        two.ns.event("x").connect(lambda sender: 1 / (sender % 5), weak=False)

        async def refuse(*args):
            return False

        async with one.bridge:
            with quiet():
                async with two.dying():
                    two.bridge._engine.put = refuse
                    for number in range(20):
                        await one.ns.emit_async("x", number)
                    await until(lambda: len(two.got) == 20)
                    await asyncio.sleep(0.05)
            async with three.bridge:
                await until(lambda: len(three.got) == 4)
                await asyncio.sleep(0.05)
        assert three.got == [0, 5, 10, 15]

    run(main())


# Deleted queues and exchanges


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_deleted_queues_are_made_again(process, amqp_server, prefix, run, caplog, delivery):
    kind = "group" if delivery == "at_least_once" else "once"

    async def main():
        one, two = process(), process(group="g", delivery=delivery)
        async with one.bridge, two.bridge, amqp_server.client() as channel:
            await one.ns.emit_async("x", 1)
            await until(lambda: two.got)
            await channel.queue_delete(f"{prefix}.{kind}.g")

            async def is_there():
                return await exists(amqp_server, f"{prefix}.{kind}.g") is not None

            await until(is_there)

            async def arrives():
                await one.ns.emit_async("x", 2)  # a queue is there before it is bound
                return 2 in two.got

            await until(arrives)

    run(main())


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_a_queue_deleted_during_a_handler_is_made_again(process, amqp_server, prefix, run, caplog, delivery):
    kind = "group" if delivery == "at_least_once" else "once"

    async def main():
        one, two = process(), process(group="g", delivery=delivery)
        freed = asyncio.Event()
        two.ns.event("x").connect(lambda sender: freed.wait(), weak=False)
        async with one.bridge, two.bridge, amqp_server.client() as channel:
            await one.ns.emit_async("x", 1)
            await until(lambda: two.got)
            first = two.bridge._engine._session
            await channel.queue_delete(f"{prefix}.{kind}.g")
            await until(lambda: first._is_over)
            freed.set()
            await until(lambda: two.bridge._engine._session not in (first, None))

    run(main())


def test_a_deleted_exchange_is_made_again(process, amqp_server, prefix, run):
    async def main():
        one, two = process(), process()
        async with one.bridge, amqp_server.client() as channel:
            await one.ns.emit_async("x", 1)
            await channel.exchange_delete(prefix)
            for number in range(50):
                one.ns.emit("x", number)
            await one.ns.emit_async("x", 2)
            assert await one.bridge.drain(20)
            async with two.bridge:
                await one.ns.emit_async("x", 3)
                await until(lambda: two.got)
            assert two.got == [3]
            assert (one.bridge.stats.published, one.bridge.stats.dropped) == (53, 0)

    run(main())


# The broker's answers


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_refused_messages_are_dropped(process, amqp_server, prefix, run, caplog, delivery):
    bridge = importlib.import_module("cyevents_bridge")

    async def main():
        async with amqp_server.client() as channel:
            await channel.exchange_declare(prefix, exchange_type="topic", durable=True, internal=True)
        one = process(delivery=delivery)
        async with one.bridge:
            with pytest.raises(bridge.Dropped, match="the broker did not accept it.*ACCESS_REFUSED"):
                await one.ns.emit_async("x", 1)
            one.ns.event("x" * 300)
        long = "x" * 300
        many = bridge.Bridge(one.ns, amqp_server.address, ["x*"], prefix=f"{prefix}-long", delivery=delivery)
        async with many:
            with pytest.raises(bridge.Dropped, match="Routing key too long"):
                await one.ns.emit_async(long, 1)

    with caplog.at_level(logging.CRITICAL, "cyevents_bridge"):
        run(main())


def test_a_refused_message_does_not_affect_others(process, amqp_server, prefix, run):
    """The broker closes the channel of a message that it refuses, and with it everything in flight there."""
    engines = importlib.import_module("cyevents_bridge.engine")

    async def main():
        one, two = process(), process()
        async with one.bridge, two.bridge, amqp_server.client() as channel:
            await channel.exchange_declare(f"{prefix}-no", exchange_type="topic", internal=True)
            properties = importlib.import_module("pamqp.commands").Basic.Properties
            sent = []
            for number in range(60):
                one.ns.emit("x", number)
                if number % 20 == 10:
                    await asyncio.sleep(0)
                    refused = one.bridge._engine._send(f"{prefix}-no", "x", b"", properties(message_id=str(number)))
                    sent.append(asyncio.ensure_future(refused))
            results = await asyncio.gather(*sent, return_exceptions=True)
            assert [type(result) for result in results] == [engines.Rejected] * 3
            await until(lambda: len(two.got) == 60)
            assert await one.bridge.drain(20)
            assert (one.bridge.stats.published, one.bridge.stats.dropped) == (60, 0)

    run(main())


def test_emissions_wait_for_a_full_queue(process, amqp_server, prefix, run):
    async def main():
        one = process()
        async with one.bridge, amqp_server.client() as channel:
            arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
            await channel.queue_declare("full", arguments=arguments, exclusive=True)
            await channel.queue_bind("full", prefix, "x")
            await one.ns.emit_async("x", 1)
            waiting = asyncio.ensure_future(one.ns.emit_async("x", 2))
            await asyncio.sleep(0.1)
            assert not waiting.done()
            await channel.queue_purge("full")
            await waiting

    run(main())


@contextlib.contextmanager
def short_of_memory(server):
    """Have the server block connections that publish."""
    server.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        yield
    finally:
        server.ctl("set_vm_memory_high_watermark", "0.4")


@pytest.mark.parametrize("delivery", ["at_most_once", "at_least_once"])
def test_emissions_wait_for_a_broker_short_of_memory(process, amqp_server, run, caplog, delivery):
    bridge = importlib.import_module("cyevents_bridge")

    async def main():
        one, two, three = process(delivery=delivery), process(delivery=delivery), process(delivery=delivery, outbox=5)
        async with one.bridge, two.bridge:
            await one.ns.emit_async("x", 0)
            with short_of_memory(amqp_server):
                for number in range(1, 300):
                    one.ns.emit("x", number)
                waiting = asyncio.ensure_future(one.ns.emit_async("x", 300))
                assert not await one.bridge.drain(0.3)
                assert not waiting.done()
                assert (one.bridge.stats.waiting, one.bridge.stats.dropped) == (300, 0)
                three.bridge._flush_timeout = 0.05
                async with three.bridge:  # may come, and go
                    given_up = asyncio.ensure_future(three.ns.emit_async("x", "given up"))
                    with pytest.raises(bridge.OutboxFull):
                        for _ in range(200):
                            three.ns.emit("x", "given up")
                            await asyncio.sleep(0.001)
                with pytest.raises(bridge.Dropped):
                    await given_up
            await waiting
            await until(lambda: 300 in two.got)
        assert [sender for sender in two.got if sender != "given up"] == list(range(301))

    with caplog.at_level(logging.CRITICAL):
        run(main())


def test_a_failure_without_a_copy_does_not_block_others(process, amqp_server, run, caplog):
    """While the broker is short of memory, a failed message cannot be copied; the others are handled."""

    async def main():
        one, two = process(), process(group="g")
        two.ns.event("x").connect(lambda sender: 1 / (sender % 5 or two.got.count(sender) - 1), weak=False)
        async with one.bridge:
            async with two.bridge:
                pass
            for number in range(20):
                await one.ns.emit_async("x", number)
            with short_of_memory(amqp_server):
                async with two.bridge:
                    await until(lambda: len(two.got) == 20)
                    assert two.got == list(range(20))
                two.got.clear()
            async with two.bridge:
                await until(lambda: len(two.got) == 8)
                await asyncio.sleep(0.05)
        assert sorted(two.got) == [0, 0, 5, 5, 10, 10, 15, 15]

    with caplog.at_level(logging.CRITICAL):
        run(main())


@pytest.mark.parametrize(
    "headers", [{"cyevents-attempt": -9}, {"cyevents-attempt": 0}, {"cyevents-subject": "x" * 300}]
)
def test_wrong_headers_are_ignored(process, amqp_server, prefix, run, headers):
    properties = importlib.import_module("pamqp.commands").Basic.Properties

    async def main():
        one, two = process(), process()
        two.ns.event("x").connect(lambda sender: 1 / sender, weak=False)
        body = message_body(one, 0)
        async with one.bridge, two.bridge, amqp_server.client() as channel, amqp_server.letters(prefix) as letters:
            await channel.basic_publish(body, exchange=prefix, routing_key="x", properties=properties(headers=headers))
            event, _, about = await letters()
            assert (event, about["attempts"]) == ("x", "3")
            await one.ns.emit_async("x", 1)
            await until(lambda: two.got == [0, 0, 0, 1])

    with quiet():
        run(main())


def test_a_second_failure_without_a_copy_does_not_block(process, amqp_server, run, caplog):
    async def main():
        one, two, three = process(), process(group="g"), process(group="g")
        two.ns.event("x").connect(lambda sender: asyncio.Event().wait(), weak=False, priority=-1)
        three.ns.event("x").connect(lambda sender: 1 / (sender % 5 or three.got.count(sender) - 1), weak=False)
        async with one.bridge:
            async with two.bridge:
                for number in range(20):
                    await one.ns.emit_async("x", number)
                await until(lambda: two.got)
            async with three.bridge:
                with short_of_memory(amqp_server):
                    await until(lambda: len(three.got) == 20)
                    assert three.got == list(range(20))
                await until(lambda: len(three.got) == 24)
        assert sorted(three.got[20:]) == [0, 5, 10, 15]

    with caplog.at_level(logging.CRITICAL):
        run(main())


def test_a_refused_login_is_a_connection_error_at_once(api, amqp_server, run):
    async def main():
        for address, options in (
            (amqp_server.address.replace("//", "//guest:secret@"), {}),
            (amqp_server.address, {"user": "guest", "password": "secret"}),
            (f"{amqp_server.address}/nowhere", {}),
        ):
            with pytest.raises(ConnectionError, match="ACCESS_REFUSED|the virtual host does not exist") as caught:
                async with Process(api, address, "p", connect_timeout=60, **options).bridge:
                    pass
            assert "secret" not in str(caught.value)
        async with Process(api, f"{amqp_server.address}/%2F", "p", user="guest", password="guest").bridge:
            pass

    run(main())


def test_missing_permissions_are_a_connection_error(api, amqp_server, prefix, run):
    name = f"poor-{prefix}"
    amqp_server.ctl("add_user", name, "secret")
    amqp_server.ctl("set_permissions", name, "", ".*", ".*")

    async def main():
        poor = {"user": name, "password": "secret"}
        async with Process(api, amqp_server.address, prefix, group="g").bridge:
            pass
        async with Process(api, amqp_server.address, prefix, group="g", **poor).bridge:
            pass
        with pytest.raises(ConnectionError, match="ACCESS_REFUSED"):
            async with Process(api, amqp_server.address, prefix, group="h", connect_timeout=60, **poor).bridge:
                pass

    run(main())


def is_stopped(group):
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if its_group == str(group) and state != "T":
                return False
    return True


def test_unconfirmed_messages_of_a_dead_broker(api, own_rabbitmq, run, caplog):
    """At most once, they are given up; at least once, they are published again in their order."""
    bridge = importlib.import_module("cyevents_bridge")

    async def main():
        kept, once, two = (
            Process(api, own_rabbitmq.address, "p", delivery=delivery)
            for delivery in ("at_least_once", "at_most_once", "at_least_once")
        )
        async with kept.bridge, once.bridge, two.bridge:
            os.killpg(own_rabbitmq.process.pid, signal.SIGSTOP)
            await until(lambda: is_stopped(own_rabbitmq.process.pid))  # it goes on for a moment
            waiting = asyncio.ensure_future(once.ns.emit_async("x", "once"))
            for number in range(300):
                kept.ns.emit("x", number)
            await until(lambda: once.bridge._engine._in_flight == 1 and kept.bridge._engine._in_flight == 128)
            for _ in range(100):  # turns of the loop, until it is written
                await asyncio.sleep(0)
            own_rabbitmq.kill()
            with pytest.raises(bridge.Dropped, match="the connection broke before the answer"):
                await waiting
            await asyncio.to_thread(own_rabbitmq.start)
            await until(lambda: len(two.got) == 300)
        assert two.got == list(range(300))

    with caplog.at_level(logging.CRITICAL, "cyevents_bridge"):
        run(main())


# Lost connections


def test_a_connection_closed_after_the_last_answers(api, amqp_server, prefix, run):
    """The client reads all of them before it notices, and then raises nothing that says why."""

    async def main():
        async with Relay(amqp_server) as relay:
            one, two = Process(api, relay.address, prefix), Process(api, amqp_server.address, prefix)
            async with one.bridge, two.bridge:
                await one.ns.emit_async("x", 0)
                relay.held = {}
                for number in range(1, 15):  # more than the client has room for
                    before = relay.answers
                    one.ns.emit("x", number)
                    await until(lambda before=before: relay.answers > before)
                relay.is_deaf = True
                waiting = asyncio.ensure_future(one.ns.emit_async("x", 15))
                await until(lambda: one.bridge._engine._in_flight == 15)
                await asyncio.sleep(0.05)
                relay.release_and_close()
                await waiting
                await until(lambda: 15 in two.got)
            assert (two.got, one.bridge.stats.dropped) == (list(range(16)), 0)

    run(main())


def test_a_connection_lost_between_two_calls(api, amqp_server, prefix, run, monkeypatch):
    engine = importlib.import_module("cyevents_bridge._rabbitmq")
    close = engine.close_channel

    async def main():
        async with Relay(amqp_server) as relay:
            one, two = Process(api, relay.address, prefix), Process(api, amqp_server.address, prefix)
            async with one.bridge, two.bridge:
                broken = []

                async def break_line(channel):
                    await close(channel)
                    if len(broken) < 4:
                        broken.append(channel)
                        relay.sever()
                        await until(lambda: channel.connection.is_closed)

                monkeypatch.setattr(engine, "close_channel", break_line)
                relay.sever()
                await until(lambda: len(broken) == 4)
                await asyncio.wait_for(one.ns.emit_async("x", 1), 20)
                await until(lambda: two.got)
                await until(lambda: one.bridge._engine._session)
                await two.ns.emit_async("x", 2)
                await until(lambda: one.got)

    run(main())


def test_cancelled_leaving_leaves_no_tasks(process, run):
    async def main():
        one = process(group="g")
        before = asyncio.all_tasks()

        async def use():
            async with one.bridge:
                leave = one.bridge._engine._session.leave

                async def leave_cancelled():
                    task.cancel()
                    await leave()

                one.bridge._engine._session.leave = leave_cancelled

        task = asyncio.create_task(use())
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: asyncio.all_tasks() == before)

    run(main())


def test_failed_connections_are_not_kept(api, amqp_server, prefix, run, monkeypatch):
    engine = importlib.import_module("cyevents_bridge._rabbitmq")
    timeout = asyncio.timeout

    async def main():
        async with Relay(amqp_server) as relay:
            one = Process(api, relay.address, prefix)
            async with one.bridge:
                tried = set()

                def soon(seconds):
                    tried.update(one.bridge._engine._connections)
                    return timeout(min(seconds or 20, 0.05))

                monkeypatch.setattr(engine.asyncio, "timeout", soon)
                relay.listener.close()
                relay.sever()
                await until(lambda: len(tried) > 8)
                monkeypatch.undo()
                assert len(one.bridge._engine._connections) <= 4

    with quiet():
        run(main())


@pytest.mark.parametrize("steps", range(5))
def test_new_messages_come_after_waiting_ones(api, amqp_server, prefix, run, steps):
    async def main():
        async with Relay(amqp_server) as relay:
            one, two = Process(api, relay.address, prefix), Process(api, amqp_server.address, prefix)
            async with one.bridge, two.bridge:
                engine = one.bridge._engine
                open_publisher = engine._open_publisher

                async def open_and_emit():
                    channel = await open_publisher()
                    for number in range(10, 20):
                        one.ns.emit("x", number)
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    return channel

                engine._open_publisher = open_and_emit
                relay.sever()
                await until(lambda: engine._channel is None)
                for number in range(10):
                    one.ns.emit("x", number)
                await until(lambda: len(two.got) == 20)
            assert two.got == list(range(20))

    run(main())


def test_a_connection_lost_on_entering(api, amqp_server, prefix, run, monkeypatch):
    sessions = importlib.import_module("cyevents_bridge._rabbitmq_sessions")
    consume = sessions.consume

    async def main():
        async with Relay(amqp_server) as relay:

            async def break_line(channel, *args):
                relay.sever()
                await until(lambda: channel.is_closed)
                await consume(channel, *args)

            monkeypatch.setattr(sessions, "consume", break_line)
            with pytest.raises(ConnectionError, match=f"{relay.address} cannot be used"):
                async with Process(api, relay.address, prefix).bridge:
                    pass

    run(main())


# Options


@pytest.fixture
def listener():
    """A server that notes whether anyone connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


def make(api, address, **options):
    return importlib.import_module("cyevents_bridge").Bridge(api.Namespace(), address, ["x"], **options)


TLS_OPTIONS = {
    "tls": ssl.create_default_context(),
    "ssl": True,
    "ssl_context": ssl.create_default_context(),
    "ssl_options": {"cafile": "ca.pem"},
    "context": ssl.create_default_context(),
    "cafile": "ca.pem",
    "capath": "folder",
    "cadata": "AAAA",
    "certfile": "cert.pem",
    "keyfile": "key.pem",
    "no_verify_ssl": True,
    "verify_ssl": True,
    "check_hostname": True,
}


@pytest.mark.parametrize("scheme", ["amqp", "AMQP"])
@pytest.mark.parametrize("name", TLS_OPTIONS)
def test_tls_options_need_a_tls_address(api, listener, scheme, name):
    """The password would be sent in clear text."""
    address = f"{scheme}://ada:secret@127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(ValueError, match=f"'{name}' is an option for TLS.*amqps://") as caught:
        make(api, address, **{name: TLS_OPTIONS[name]})
    assert "secret" not in str(caught.value)
    with pytest.raises(ValueError, match=f"'{name}' is an option for TLS"):
        make(api, f"{address}/?{name}=0")
    with pytest.raises(BlockingIOError):  # nobody has connected
        listener.accept()


def test_a_tls_address_never_connects_in_clear_text(api, run):
    """Whatever the case of the scheme: the first bytes are a TLS handshake."""

    async def first_bytes(address, **options):
        came = asyncio.get_running_loop().create_future()

        async def serve(reader, writer):
            if not came.done():
                came.set_result(await reader.read(3))
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with quiet(), pytest.raises(ConnectionError):
                async with make(api, address.replace("PORT", str(port)), connect_timeout=0.5, **options):
                    pass
        return await came

    async def main():
        for scheme in ("amqps", "AMQPS", "Amqps"):
            address = f"{scheme}://ada:secret@127.0.0.1:PORT"
            for options in ({}, {"tls": ssl.create_default_context()}, {"no_verify_ssl": True}):
                assert await first_bytes(address, **options) == b"\x16\x03\x01"
        assert await first_bytes("amqp://127.0.0.1:PORT") == b"AMQ"  # this test sees the difference

    run(main())


@pytest.mark.parametrize(
    ("query", "options", "error", "text"),
    [
        ("", {"usr": "ada"}, TypeError, "'usr', which is not an option: use auth, cadata,"),
        ("", {"prefetch_count": 5}, TypeError, "'prefetch_count', which is not an option"),
        ("", {"x" * 10_000: 5}, TypeError, "x.\\.\\.\\. \\(10000 characters\\), which is not an option"),
        ("?usr=ada", {}, ValueError, "the query of the RabbitMQ address has 'usr', which is not an option"),
        ("?tls=1", {}, ValueError, "the query of the RabbitMQ address has 'tls'"),
        ("?CAFILE=ca.pem", {}, ValueError, "has 'CAFILE'"),
        ("", {"tls": True}, TypeError, "tls must be an ssl.SSLContext, not bool"),
        (
            "?capath=x",
            {"tls": ssl.create_default_context(), "cafile": "x"},
            ValueError,
            "remove cafile, capath",
        ),
        ("?no_verify_ssl=maybe", {}, ValueError, "no_verify_ssl must be True or False, not 'maybe'"),
        ("", {"no_verify_ssl": 2}, ValueError, "no_verify_ssl must be True or False, not '2'"),
        ("", {"heartbeat": "often"}, ValueError, "heartbeat must be a whole number of seconds, not 'often'"),
        ("?timeout=1.5", {}, ValueError, "timeout must be a whole number of seconds, not '1.5'"),
        ("", {"user": 5}, TypeError, "user must be a str, not int"),
        ("", {"password": b"secret"}, TypeError, "password must be a str, not bytes"),
        ("", {"cafile": Path("ca.pem")}, TypeError, "cafile must be a str"),
    ],
)
def test_wrong_options_are_refused_when_the_bridge_is_made(api, query, options, error, text):
    with pytest.raises(error, match=text) as caught:
        make(api, f"amqps://ada:hidden@127.0.0.1:1/{query}", **options)
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)


def test_wrong_addresses_are_refused_when_the_bridge_is_made(api):
    for address, text in (
        ("amqp://ada:secret@127.0.0.1:1,amqp://127.0.0.1:2", "RabbitMQ needs one address, not 2"),
        ("amqp:///host", "has no host"),
    ):
        with pytest.raises(ValueError, match=text) as caught:
            make(api, address)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "verifies"), [(True, False), ("true", False), (1, False), (False, True), ("False", True), ("0", True)]
)
@pytest.mark.parametrize("is_in_query", [True, False])
def test_only_a_true_no_verify_ssl_turns_verification_off(api, run, given, verifies, is_in_query):
    client = importlib.import_module("cyevents_bridge._rabbitmq_client")

    async def main():
        query, options = (f"?no_verify_ssl={given}", {}) if is_in_query else ("", {"no_verify_ssl": given})
        engine = make(api, f"amqps://127.0.0.1:1/{query}", **options)._engine
        connection = client.RabbitmqConnection(engine, engine._url.with_query(engine._url_options), None)
        assert connection.ssl_certs.verify is verifies

    run(main())


def test_options_reach_the_client(api, run, monkeypatch):
    client = importlib.import_module("cyevents_bridge._rabbitmq_client")
    made = []

    async def connect(self):
        made.append(self)
        raise client.exceptions.ProbableAuthenticationError("no")

    monkeypatch.setattr(client.RabbitmqConnection, "connect", connect)

    async def main():
        query = "?heartbeat=7&name=a%26b&cafile=old&user=eve&auth=external"
        bridge = make(api, f"amqps://bob:x@127.0.0.1:1/v%2Fw{query}", user="ada", password="p@/:ß", cafile="a b+c")
        with pytest.raises(ConnectionError):
            async with bridge:
                pass
        (connection,) = made
        connection._writer_task = connection._reader_task = asyncio.get_running_loop().create_future()
        connection._writer_task.set_result(None)
        assert (connection.url.user, connection.url.password, connection.vhost) == ("ada", "p@/:ß", "v/w")
        assert (connection.heartbeat_timeout, connection.connection_name) == (7, "a&b")
        assert connection.ssl_certs.cafile == "a b+c"
        assert connection.url.query["auth"] == "external"

    run(main())
