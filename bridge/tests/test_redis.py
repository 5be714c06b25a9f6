"""What is special about the bridge to Redis: its streams, its replies, and what others can write into its keys."""

import asyncio
import contextlib
import functools
import importlib
import json
import logging
import subprocess
import time

import pytest

import processes
from processes import silent, until

pytest.importorskip("redis")
WAYS = [(delivery, group) for delivery in ("at_most_once", "at_least_once") for group in (None, "g")]
STREAM_WAYS = WAYS[1:]  # the others are by publish and subscribe


@pytest.fixture
def process(api, redis_server, prefix):
    return lambda **options: Process(api, redis_server.address, prefix, **options)


class Process(processes.Process):
    def fall_silent(self):
        engine = self.bridge._engine
        engine._leave_group = engine.deliver_later = silent


# Groups


def test_messages_of_a_dead_process_go_to_another(process, redis_server, prefix, run):
    """One message kills whoever handles it: it ends among the dead letters, those delivered with it are handled."""

    async def main():
        one = process()
        async with one.bridge, redis_server.client() as client, redis_server.letters(prefix) as letters:
            async with process(group="g").bridge:
                pass
            for number in range(-2, 20):
                await one.ns.emit_async("x", number)
            done = []
            for _ in range(3):  # as many as there are attempts
                worker = process(group="g", ack_wait=0.15)
                started = []

                @worker.ns.on("x")
                async def handle(sender):
                    if sender == 0:
                        started.append(sender)
                        await asyncio.Event().wait()
                    done.append(sender)

                async with worker.dying():
                    await until(lambda: started)
            worker = process(group="g", ack_wait=0.15)
            worker.ns.event("x").connect(done.append, weak=False)
            async with worker.bridge:
                event, body, about = await letters()
                await until(lambda: len(set(done)) == 21)
                assert (event, about["error"]) == ("x", "RuntimeError: not finished in 3 attempts")
                assert await client.xlen(f"{{{prefix}}}:dead") == 1

                async def nothing():
                    return (await client.xpending(f"{{{prefix}}}:events", "g"))["pending"] == 0

                await until(nothing)
        assert sorted(set(done)) == [number for number in range(-2, 20) if number]

    run(main())


@pytest.mark.parametrize("group", [None, "g"])
def test_delay_longer_than_ack_wait(process, run, caplog, group):
    async def main():
        one, two = process(), process(group=group, backoff=(0.5,), ack_wait=0.1)
        times = []

        @two.ns.on("x")
        def fail(sender):
            times.append(time.monotonic())
            if len(times) == 1:
                raise ValueError("not yet")

        async with one.bridge, two.bridge:
            await one.ns.emit_async("x", 1)
            await until(lambda: len(times) == 2)
            await asyncio.sleep(0.2)
        assert times[1] - times[0] >= 0.499  # it cannot come too early
        assert len(times) == 2

    with caplog.at_level(logging.CRITICAL, "cyevents_bridge"):
        run(main())


def test_leaving_returns_fetched_messages(process, redis_server, prefix, run):
    """What it had fetched goes to another one at once, as if it had never been delivered, and its name is forgotten."""

    async def main():
        one, two = process(), process(group="g")
        two.ns.event("x").connect(lambda sender: asyncio.Event().wait(), weak=False, priority=-1)
        async with one.bridge, redis_server.client() as client:
            async with two.bridge:
                for number in range(5):
                    await one.ns.emit_async("x", number)
                await until(lambda: two.got)
            three = process(group="g")
            async with three.bridge:
                await until(lambda: len(three.got) == 5)
                assert three.bridge.stats.redelivered == 1  # the one that was begun with
            names = {row["name"] for row in await client.xinfo_consumers(f"{{{prefix}}}:events", "g")}
        assert names == {b"later-0"}

    run(main())


async def serve_slowly(port, reader, writer):
    """Pass bytes to a server and back, and commands that wait for messages half a second late."""
    from_server, to_server = await asyncio.open_connection("127.0.0.1", port)

    async def pass_on(source, sink, is_slow):
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                if is_slow and b"XREADGROUP" in data:
                    await asyncio.sleep(0.5)
                sink.write(data)
        sink.close()
        with contextlib.suppress(OSError):
            await sink.wait_closed()

    await asyncio.gather(pass_on(reader, to_server, True), pass_on(from_server, writer, False))


def test_leaving_while_the_broker_is_late_takes_no_messages(api, process, redis_server, prefix, run):
    """A command that waits for messages is not run after its process has left."""

    async def main():
        serve = functools.partial(serve_slowly, redis_server.port)
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as listener:
            address = f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
            one, stays, leaves = process(), process(group="g"), Process(api, address, prefix, group="g")
            async with one.bridge:
                async with leaves.bridge:
                    await asyncio.sleep(0.1)  # its first command is on its way
                for number in range(100):
                    await one.ns.emit_async("x", number)
                await asyncio.sleep(0.6)  # in which that command would arrive, and take them
                async with stays.bridge:
                    await until(lambda: len(stays.got) == 100, 10)  # and not after `ack_wait`

    run(main())


def test_consumers_of_dead_processes_are_removed(process, redis_server, prefix, run, monkeypatch):
    async def main():
        engine = importlib.import_module("cyevents_bridge._redis")
        one, dead, two = process(), process(group="g"), process(group="g", ack_wait=0.1)
        async with one.bridge, redis_server.client() as client:

            async def names():
                return [row["name"].decode() for row in await client.xinfo_consumers(f"{{{prefix}}}:events", "g")]

            async with dead.dying():
                await one.ns.emit_async("x", 1)
                await until(lambda: dead.got)
            assert await names() == [dead.bridge._engine._consumer]
            short = await client.script_load(engine._CLAIM.replace("3600000", "50"))
            monkeypatch.setitem(engine._SCRIPTS, engine._CLAIM, short)
            async with two.bridge:

                async def forgotten():
                    return dead.bridge._engine._consumer not in await names()

                await until(forgotten)

    run(main())


# What is kept


def test_messages_are_kept_for_the_retention(process, redis_server, prefix, run):
    async def main():
        one = process(retention=0.05)
        async with one.bridge, redis_server.client() as client:
            for number in range(500):
                one.ns.emit("x", number)
            await until(lambda: one.bridge.stats.waiting == 0)
            await asyncio.sleep(0.1)
            await one.ns.emit_async("x", "late")
            assert await client.xlen(f"{{{prefix}}}:events") <= 101  # Redis trims whole nodes

    run(main())


def test_deleted_message_is_not_retried(process, redis_server, prefix, run, caplog):
    async def main():
        one, two = process(), process(group="g", backoff=(0.1, 0.1))

        @two.ns.on("x")
        def fail(sender):
            raise ValueError("no")

        async with one.bridge, two.bridge, redis_server.client() as client:
            await one.ns.emit_async("x", 1)
            await until(lambda: two.bridge.stats.failed)
            ((identity, _),) = await client.xrange(f"{{{prefix}}}:events")
            await client.xdel(f"{{{prefix}}}:events", identity)

            async def nothing():
                return (await client.xpending(f"{{{prefix}}}:events", "g"))["pending"] == 0

            await until(nothing)
            assert two.bridge.stats.failed == 1

    with caplog.at_level(logging.CRITICAL, "cyevents_bridge"):
        run(main())


def test_process_without_a_group_leaves_only_the_stream(process, redis_server, prefix, run):
    async def main():
        one, two = process(dedup_window=0.05), process()
        async with redis_server.client() as client:
            async with one.bridge, two.bridge:
                await one.ns.emit_async("x", 1)
                await until(lambda: two.got)
                await asyncio.sleep(0.06)
            assert await client.keys(f"*{prefix}*") == [f"{{{prefix}}}:events".encode()]
            assert await client.xinfo_groups(f"{{{prefix}}}:events") == []

    run(main())


def test_second_message_of_an_id_is_dropped(process, redis_server, prefix, run):
    async def main():
        one, two = process(dedup_window=60.0), process(dedup_window=0.05)
        async with one.bridge, two.bridge, redis_server.client() as client:
            for is_retry in (False, True):
                await one.bridge._engine.publish(publication("a", is_retry))
            assert await client.xlen(f"{{{prefix}}}:events") == 1
            for _ in range(2):
                await two.bridge._engine.publish(publication("b"))
                await until_expired(client, f"{{{prefix}}}:id:b")
            assert await client.xlen(f"{{{prefix}}}:events") == 3

    run(main())


def publication(identity, is_retry=False):
    body = message("x", "ada", identity)
    return importlib.import_module("cyevents_bridge.engine").Publication("x", body, identity, True, is_retry)


async def until_expired(client, key):
    async def expired():
        return not await client.exists(key)

    await until(expired)


def message(event="x", sender="eve", identity="1"):
    envelope = {"v": 1, "event": event, "id": identity, "from": "eve", "args": [], "kwargs": {}, "sender": sender}
    return json.dumps(envelope).encode()


def test_known_id_is_not_a_confirmation(process, redis_server, prefix, run, monkeypatch, caplog):
    """Somebody has taken the id before: the message is not published, and the emitter is told."""
    bridge = importlib.import_module("cyevents_bridge")

    async def main():
        one, two = process(), process()
        async with one.bridge, two.bridge, redis_server.client() as client:
            monkeypatch.setattr("cyevents_bridge._ids.RandomIds.next", lambda ids: "known")
            await client.set(f"{{{prefix}}}:id:known", "")
            with pytest.raises(bridge.Dropped, match="already has a message with this id"):
                await one.ns.emit_async("x", 1)
            assert await client.xlen(f"{{{prefix}}}:events") == 0
            assert (one.bridge.stats.published, one.bridge.stats.dropped) == (0, 1)
            monkeypatch.undo()
            await one.ns.emit_async("x", 2)
            await until(lambda: two.got)
        assert two.got == [2]

    with caplog.at_level(logging.CRITICAL, "cyevents_bridge"):
        run(main())


def test_retry_that_is_a_duplicate_is_a_confirmation(process, redis_server, prefix, run):
    """The broker has the message, and its answer was lost."""

    async def main():
        one, two = process(), process()
        async with one.bridge, two.bridge, redis_server.client() as client:
            engine = one.bridge._engine
            run_script, replies = engine._run_script, []

            async def lose(*args, **options):
                replies.append(await run_script(*args, **options))
                if len(replies) == 1:
                    raise importlib.import_module("cyevents_bridge._redis")._Lost("the connection broke")
                return replies[-1]

            engine._run_script = lose
            await one.ns.emit_async("x", 1)
            engine._run_script = run_script
            await until(lambda: two.got)
            assert await client.xlen(f"{{{prefix}}}:events") == 1
        assert replies == [1, 0]
        assert (one.bridge.stats.published, one.bridge.stats.dropped) == (1, 0)

    run(main())


# At most once, in a group


def test_at_most_once_group_skips_messages_while_away(process, redis_server, prefix, run):
    async def main():
        one = process(delivery="at_most_once")
        async with one.bridge, redis_server.client() as client:
            await one.ns.emit_async("x", "before")
            assert await client.keys(f"*{prefix}*") == []
            async with process(delivery="at_most_once", group="g").bridge:
                assert 0 < await client.ttl(f"{{{prefix}}}:once") <= 300
            await one.ns.emit_async("x", "meanwhile")
            two = process(delivery="at_most_once", group="g")
            async with two.bridge, process(delivery="at_most_once", group="g").bridge:
                await one.ns.emit_async("x", "after")
                await until(lambda: two.got or two.bridge.stats.received == 0)
                await asyncio.sleep(0.1)
                assert two.got in ([], ["after"])  # it may be the other one's
            assert await client.exists(f"{{{prefix}}}:events") == 0

    run(main())


# The broker's answers


def test_connection_that_breaks_before_the_reply(process, redis_server, prefix, run, caplog):
    """At most once, it is given up, since it may have been published; at least once, it is published again."""
    bridge = importlib.import_module("cyevents_bridge")

    async def main():
        kept, once, two = process(), process(delivery="at_most_once"), process()
        async with kept.bridge, once.bridge, two.bridge, redis_server.client() as client:
            for each in (kept, once):
                each.port = each.bridge._engine._sender._writer.get_extra_info("sockname")[1]
            await client.execute_command("CLIENT", "PAUSE", 20000, "WRITE")
            waiting = [asyncio.ensure_future(each.ns.emit_async("x", 1)) for each in (once, kept)]
            await asyncio.sleep(0.1)
            for each in (kept, once):
                await client.execute_command("CLIENT", "KILL", "ADDR", f"127.0.0.1:{each.port}")
            with pytest.raises(bridge.Dropped, match="the connection broke before the answer"):
                await waiting[0]
            await client.execute_command("CLIENT", "UNPAUSE")
            await waiting[1]
            await until(lambda: two.got)
            await asyncio.sleep(0.1)
        assert two.got == [1]

    with caplog.at_level(logging.CRITICAL, "cyevents_bridge"):
        run(main())


def test_broker_that_has_lost_scripts_and_group(process, redis_server, prefix, run):
    async def main():
        one, two, three = process(), process(group="g", backoff=(0.01,) * 9), process()
        async with one.bridge, two.bridge, three.bridge, redis_server.client() as client:
            for number in range(10):
                await one.ns.emit_async("x", number)
                await client.script_flush()
                if number == 5:
                    await until(lambda: len(two.got) == 6)
                    await client.xgroup_destroy(f"{{{prefix}}}:events", "g")
            await until(lambda: len(two.got) == len(three.got) == 10)
        assert two.got == three.got == list(range(10))

    run(main())


def test_full_broker_is_retried(api, own_redis, run):
    async def main():
        one, two = Process(api, own_redis.address, "p"), Process(api, own_redis.address, "p")
        async with one.bridge, two.bridge, own_redis.client() as client:
            await client.config_set("maxmemory", 1)
            waiting = asyncio.ensure_future(one.ns.emit_async("x", 1))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            await client.config_set("maxmemory", 0)
            await waiting
            await until(lambda: two.got)

    run(main())


def test_message_that_the_broker_rejects_is_dropped(process, redis_server, prefix, run, caplog):
    bridge = importlib.import_module("cyevents_bridge")

    async def main():
        one = process(delivery="at_most_once")
        async with one.bridge, redis_server.client() as client:
            await client.set(f"{{{prefix}}}:once", "no stream")
            with pytest.raises(bridge.Dropped, match="the broker did not accept it.*WRONGTYPE"):
                await one.ns.emit_async("x", 1)

    with caplog.at_level(logging.CRITICAL, "cyevents_bridge"):
        run(main())


def test_dead_letter_that_the_broker_rejects_is_logged(process, redis_server, prefix, run, caplog):
    async def main():
        async with process().bridge, redis_server.client() as client:
            await client.set(f"{{{prefix}}}:dead", "no stream")
            await redis_server.publish(prefix, "x", b"malformed")
            await until(lambda: "did not accept the outcome of a message" in caplog.text)
        assert "WRONGTYPE" in caplog.text

    run(main())


def test_connection_error_has_the_reason(api, run):
    async def main():
        with pytest.raises(ConnectionError, match="no broker answers at redis://127.0.0.1:1: ConnectionError: "):
            async with Process(api, "redis://127.0.0.1:1", "p", connect_timeout=0.2).bridge:
                pass

    run(main())


def test_passwords(api, own_redis, run):
    async def main():
        async with own_redis.client() as client:
            await client.config_set("requirepass", "secret")
        with pytest.raises(ConnectionError, match="AuthenticationError|NOAUTH|Authentication"):
            async with Process(api, own_redis.address, "p").bridge:
                pass
        one = Process(api, own_redis.address, "p", password="secret")
        two = Process(api, own_redis.address.replace("//", "//:secret@"), "p")
        async with one.bridge, two.bridge:
            await one.ns.emit_async("x", 1)
            await until(lambda: two.got)

    run(main())


def test_unix_domain_socket(api, redis_server, tmp_path_factory, run):
    path = tmp_path_factory.mktemp("s") / "r"
    command = [*redis_server.command()[:1], "--port", "0", "--unixsocket", str(path), "--save", ""]
    own = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    async def main():
        one, two = Process(api, f"unix://{path}", "p"), Process(api, f"unix://{path}", "p")
        async with one.bridge, two.bridge:
            await one.ns.emit_async("x", 1)
            await until(lambda: two.got)

    try:
        run(main())
    finally:
        own.kill()
        own.wait()


# What others can write into its keys


@pytest.fixture
def wide(api, redis_server, prefix):
    """Make a process that carries a pattern, so that it also gets channels with other names."""

    def make(**options):
        made = Process(api, redis_server.address, prefix, **options)
        bridge = importlib.import_module("cyevents_bridge")
        made.bridge = bridge.Bridge(made.ns, redis_server.address, ["x", "o.*"], prefix=prefix, **options)
        return made

    return make


def records_of(caplog, level=logging.WARNING):
    return [each for each in caplog.records if each.name == "cyevents_bridge" and each.levelno >= level]


async def add(client, prefix, *fields):
    for stream in ("events", "once"):
        await client.execute_command("XADD", f"{{{prefix}}}:{stream}", "NOMKSTREAM", "*", *fields)


@pytest.mark.parametrize(("delivery", "group"), WAYS)
def test_names_that_are_not_utf_8(wide, redis_server, prefix, run, caplog, delivery, group):
    names = [b"o.\xff\xfe", b"o.\xc3", b"o.a\n2026-01-01 ERROR forged", b"o.%FF"]

    async def main():
        one = wide(delivery=delivery, group=group)
        async with one.bridge, redis_server.client() as client, redis_server.letters(prefix) as letters:
            for name in names:
                await client.publish(prefix.encode() + b"." + name, b"\xff")
                await add(client, prefix, "event", name, "body", b"\xff")
            await client.publish(prefix.encode() + b".o.\xff", message("o.y", "pub"))
            await add(client, prefix, b"event", b"\xff", b"body", message("x", "stream"))
            by_channel = (delivery, group) == WAYS[0]
            await client.publish(f"{prefix}.x", message("x", "end"))
            await add(client, prefix, "event", "x", "body", message("x", "end"))
            await until(lambda: "end" in one.got)
            assert one.got == (["end"] if by_channel else ["stream", "end"])
            found = [await letters() for _ in names]
        assert [event for event, *_ in found] == [
            "o.\\xff\\xfe",
            "o.\\xc3",
            "o.a\n2026-01-01 ERROR forged",
            "o.\N{REPLACEMENT CHARACTER}" if by_channel else "o.%FF",
        ]
        assert {body for _, body, _ in found} == {b"\xff"}

    run(main())
    assert len(records_of(caplog)) == len(names)
    assert not [line for line in caplog.text.splitlines() if line.startswith("2026-01-01")]


@pytest.mark.parametrize(("delivery", "group"), STREAM_WAYS)
def test_entries_with_other_fields(process, redis_server, prefix, run, caplog, delivery, group):
    entries = [
        ("a", "b"),
        (b"\xff", b"\xff"),
        ("event", "x"),
        ("body", ""),
        ("", ""),
        ("body", message(), "event", "x", "body", "the last one counts"),
        tuple(str(number) for number in range(2000)),
    ]

    async def main():
        one = process(delivery=delivery, group=group)
        async with one.bridge, redis_server.client() as client:
            for entry in entries:
                await add(client, prefix, *entry)
            await add(client, prefix, "body", message(sender="without a name"))
            await add(client, prefix, "body", "no", "event", "x", "body", message(sender="twice"), "event", b"\xff")
            await until(lambda: len(one.got) == 2)
            assert one.bridge.stats.dead == len(entries)
        assert one.got == ["without a name", "twice"]

    run(main())
    assert len(records_of(caplog)) == len(entries)


@pytest.mark.parametrize(("delivery", "group"), STREAM_WAYS)
def test_stream_that_is_replaced_by_another_type(process, redis_server, prefix, run, caplog, delivery, group):
    """It is logged once, and receiving goes on when it is gone."""

    async def main():
        one = process(delivery=delivery, group=group)
        key = f"{{{prefix}}}:{'once' if delivery == 'at_most_once' else 'events'}"
        async with one.bridge, redis_server.client() as client:

            async def is_acknowledged():
                return not any(group["pending"] for group in await client.xinfo_groups(key))

            await client.xadd(key, {"body": message(sender=1)})
            await until(lambda: one.got)
            await until(is_acknowledged)  # else that fails too, and is logged
            await client.set(key, "no stream")
            await until(lambda: caplog.text.count("WRONGTYPE") >= 3)
            await client.delete(key)
            await client.xadd(key, {"body": message(sender=2)})
            await until(lambda: len(one.got) == 2)
        assert one.got == [1, 2]

    with caplog.at_level(logging.DEBUG, "cyevents_bridge"):
        run(main())
    (record,) = records_of(caplog)
    assert "receiving from redis://" in record.message
    assert "fails and will be retried: ResponseError: " in record.message
    assert "works again" in caplog.text


def test_bridge_is_not_entered_with_a_key_of_another_type(process, redis_server, prefix, run):
    async def main():
        async with redis_server.client() as client:
            for delivery, group in STREAM_WAYS:
                await client.set(f"{{{prefix}}}:{'once' if delivery == 'at_most_once' else 'events'}", "no stream")
                with pytest.raises(ConnectionError, match="ResponseError: .*WRONGTYPE"):
                    async with process(delivery=delivery, group=group).bridge:
                        pass

    run(main())


def test_consumer_with_a_delay_that_redis_does_not_take(process, redis_server, prefix, run):
    async def main():
        one, two = process(), process(group="g", ack_wait=0.1)
        async with one.bridge, redis_server.client() as client:
            async with process(group="g").bridge:
                pass
            await one.ns.emit_async("x", 1)
            hostile = f"later-{'9' * 20}"
            assert await client.xreadgroup("g", hostile, {f"{{{prefix}}}:events": ">"})
            async with two.bridge:
                await one.ns.emit_async("x", 2)
                await until(lambda: len(two.got) == 2)
        assert sorted(two.got) == [1, 2]

    run(main())


def test_new_messages_arrive_while_none_can_be_claimed(api, own_redis, run, caplog):
    async def main():
        one = Process(api, own_redis.address, "p")
        two = Process(api, own_redis.address, "p", group="g", ack_wait=0.1, backoff=(0.01,))
        tries = []

        @two.ns.on("x", weak=False)
        def fail_once(sender):
            tries.append(sender)
            if tries.count(sender) == 1 and sender == "again":
                raise ValueError("not yet")

        async with one.bridge, two.bridge, own_redis.client() as client:
            await client.execute_command("ACL", "SETUSER", "default", "-xinfo")
            await one.ns.emit_async("x", "again")
            for number in range(5):
                await one.ns.emit_async("x", number)
            await until(lambda: "claiming messages at" in caplog.text)
            await until(lambda: 4 in tries)
            assert tries == ["again", 0, 1, 2, 3, 4]
            await client.execute_command("ACL", "SETUSER", "default", "+xinfo")
            await until(lambda: tries.count("again") == 2)

    run(main())
    assert len([each for each in records_of(caplog) if "claiming messages at" in each.message]) == 1


# Readers that end


async def start_reading(one, two):
    """Wait until a message has come through, so that the reader has its connection."""
    await one.ns.emit_async("x", "first")
    await until(lambda: two.got == ["first"])


REPLIES = [b"garbage", 7, [1, 2], {b"s": None}, [[b"s", 7]], [[b"s", []]], [[b"s", [[b"1-0", 7]]]]]


@pytest.mark.parametrize(("delivery", "group"), STREAM_WAYS)
@pytest.mark.parametrize("reply", REPLIES)
def test_reply_of_an_unexpected_shape(process, run, caplog, delivery, group, reply):
    """The reader ends, is logged once, and starts again with a new connection."""

    async def main():
        one, two = process(delivery=delivery), process(delivery=delivery, group=group)
        async with one.bridge, two.bridge:
            await start_reading(one, two)
            reader = two.bridge._engine._reader
            read, before = reader.read, reader._writer
            reader.read = with_first(read, reply)

            async def is_connected_again():
                await one.ns.emit_async("x", "wake")
                return records_of(caplog) and reader._writer not in (before, None)

            await until(is_connected_again)
            await one.ns.emit_async("x", "second")
            await until(lambda: two.got[-1] == "second")

    run(main())
    (record,) = records_of(caplog)
    assert "receiving from redis://" in record.message
    assert "ended unexpectedly and starts again" in record.message


def with_first(read, reply):
    """Return a function that replaces the first thing that is read."""
    is_done = False

    async def replaced(*args, **options):
        nonlocal is_done
        found = await read(*args, **options)
        if is_done:
            return found
        is_done = True
        return reply

    return replaced


@pytest.mark.parametrize("reply", [7, [1, 2], {b"s": None}, [b"message"], [b"message", 5, 6]])
def test_reply_of_an_unexpected_shape_to_a_subscriber(process, run, caplog, reply):
    async def main():
        one, two = process(delivery="at_most_once"), process(delivery="at_most_once")
        async with one.bridge, two.bridge:
            await start_reading(one, two)
            engine = two.bridge._engine
            before = engine._subscription
            before.parse_response = with_first(before.parse_response, reply)
            await until(lambda: "ended unexpectedly and starts again" in caplog.text)
            await until(lambda: engine._subscription not in (before, None) and engine._subscription.subscribed)
            await until_subscribed(one, two)

    run(main())
    assert len([each for each in records_of(caplog) if "ended unexpectedly" in each.message]) == 1


async def until_subscribed(one, two):
    """Emit until something arrives, as nothing says when a subscription is complete."""

    async def arrives():
        await one.ns.emit_async("x", "second")
        return two.got[-1] == "second"

    await until(arrives)


def test_entry_that_is_gone_is_a_dead_letter(process, redis_server, prefix, run, caplog):
    async def main():
        one, two = process(), process()
        async with one.bridge, two.bridge, redis_server.letters(prefix) as letters:
            await start_reading(one, two)
            reader = two.bridge._engine._reader
            reader.read = with_first(reader.read, [[b"s", [[b"1-0", None]]]])
            event, body, _ = await letters()
            assert (event, body) == ("", b"")

    run(main())
    assert len(records_of(caplog)) == 1


@pytest.mark.parametrize(("delivery", "group"), WAYS)
def test_reader_that_a_handler_cancels_starts_again(process, run, caplog, delivery, group):
    """At least once, the message is delivered again."""

    async def main():
        one, two = process(delivery=delivery), process(delivery=delivery, group=group, ack_wait=0.5)
        tries, others = [], set()

        def readers():
            return {task for task in asyncio.all_tasks() if task.get_coro().__name__ == "receive_all"}

        @two.ns.on("x", priority=1, weak=False)
        async def end(sender):
            tries.append(sender)
            if tries.count("hostile") == 1 and sender == "hostile":
                for task in readers() - others:
                    task.cancel()
                await asyncio.Event().wait()

        async with one.bridge:
            others |= await until(readers)
            async with two.bridge:
                await end_reader(one, two, tries)
        assert tries.count("hostile") == (2 if delivery == "at_least_once" else 1)

    async def end_reader(one, two, tries):
        await start_reading(one, two)
        await one.ns.emit_async("x", "hostile")
        if delivery == "at_least_once":
            await until(lambda: tries.count("hostile") == 2)
        await until(lambda: "ended unexpectedly and starts again" in caplog.text)
        await until_subscribed(one, two)

    run(main())
    assert len(records_of(caplog)) == 1


@pytest.mark.parametrize(("delivery", "group"), WAYS)
def test_failure_that_the_bridge_does_not_expect(process, redis_server, prefix, run, caplog, delivery, group):
    """Such as one in its decoder: the message is a dead letter, and receiving goes on."""

    async def main():
        one, two = process(delivery=delivery), process(delivery=delivery, group=group)
        async with one.bridge, two.bridge, redis_server.letters(prefix) as letters:
            unpack, failed = two.bridge._codec.unpack, []

            def fail(body, wants):
                if not failed:
                    failed.append(body)
                    raise RuntimeError("a defect\n\udcff")
                return unpack(body, wants)

            two.bridge._codec.unpack = fail
            await one.ns.emit_async("x", 1)
            await one.ns.emit_async("x", 2)
            await until(lambda: two.got)
            _, body, about = await letters()
            assert [body] == failed
            assert about["error"] == "RuntimeError: a defect\\n\\udcff"
        assert two.got == [2]

    run(main())
    (record,) = records_of(caplog)
    assert "goes to the dead letters: RuntimeError: a defect\\n" in record.message


def test_failure_of_the_connection_for_commands(process, run, caplog):
    """Something unexpected in the client breaks the connection, and it is made again."""

    async def main():
        one, two = process(), process()
        async with one.bridge, two.bridge:
            sender = one.bridge._engine._sender
            read, before = sender.read, sender._writer

            async def fail():
                sender.read = read
                await read()
                raise AssertionError("a defect of the client")

            sender.read = fail
            await one.ns.emit_async("x", 1)
            await until(lambda: two.got)
            assert sender._writer is not before
        assert two.got == [1]

    run(main())
    (record,) = records_of(caplog)
    assert "reconnecting to" in record.message


@pytest.mark.parametrize(("delivery", "group"), WAYS)
def test_outage_is_logged_once(api, own_redis, run, caplog, delivery, group):
    async def main():
        one = Process(api, own_redis.address, "p")  # at least once: at most once, the first emission could be given up
        two = Process(api, own_redis.address, "p", delivery=delivery, group=group)
        async with one.bridge, two.bridge:
            await start_reading(one, two)
            own_redis.kill()
            await until(lambda: len([each for each in caplog.records if "receiving from" in each.message]) >= 6)
            own_redis.start()
            await until(lambda: caplog.text.count("works again") == 2)
            await one.ns.emit_async("x", "second")
            await until(lambda: two.got == ["first", "second"])

    with caplog.at_level(logging.DEBUG, "cyevents_bridge"):
        run(main())
    assert ["receiving from" in each.message for each in records_of(caplog)] == [True, True]  # one of each process
