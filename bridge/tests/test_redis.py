"""What is Redis's own in the bridge: its streams, what is left in them, and what it answers."""

import asyncio
import importlib
import logging
import subprocess
import time

import processes
import pytest
from processes import silent, until

pytest.importorskip("redis")


@pytest.fixture
def process(api, redis_server, prefix):
    return lambda **options: Process(api, redis_server.address, prefix, **options)


class Process(processes.Process):
    def fall_silent(self):
        engine = self.bridge._engine
        engine._say_goodbye = engine.deliver_later = silent


# Groups


def test_what_a_dead_process_had_goes_to_another_one_and_its_neighbours_are_not_blamed(
    process, redis_server, prefix, run
):
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
def test_a_delay_longer_than_ack_wait_is_kept(process, run, caplog, group):
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


def test_a_process_that_is_left_takes_nothing_with_it(process, redis_server, prefix, run):
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


def test_consumers_of_processes_long_dead_are_forgotten(process, redis_server, prefix, run, monkeypatch):
    async def main():
        engine = importlib.import_module("cyevents_bridge._redis")
        one, dead, two = process(), process(group="g"), process(group="g", ack_wait=0.1)
        async with one.bridge, redis_server.client() as client:

            async def names():
                return [row["name"].decode() for row in await client.xinfo_consumers(f"{{{prefix}}}:events", "g")]

            async with dead.dying():
                await one.ns.emit_async("x", 1)
                await until(lambda: dead.got)
            assert await names() == [dead.bridge._engine._me]
            short = await client.script_load(engine._CLAIM.replace("3600000", "50"))
            monkeypatch.setitem(engine._SCRIPTS, engine._CLAIM, short)
            async with two.bridge:

                async def forgotten():
                    return dead.bridge._engine._me not in await names()

                await until(forgotten)

    run(main())


# What is kept


def test_messages_are_kept_for_some_time(process, redis_server, prefix, run):
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


def test_a_message_that_is_kept_no_more_is_not_waited_for(process, redis_server, prefix, run, caplog):
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


def test_what_a_process_without_a_group_leaves(process, redis_server, prefix, run):
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


def test_a_second_message_of_an_id_is_dropped_within_the_window(process, redis_server, prefix, run):
    async def main():
        one, two = process(dedup_window=60.0), process(dedup_window=0.05)
        async with one.bridge, two.bridge, redis_server.client() as client:
            for _ in range(2):
                await one.bridge._engine.publish("x", b"", "a", True)
            assert await client.xlen(f"{{{prefix}}}:events") == 1
            for _ in range(2):
                await two.bridge._engine.publish("x", b"", "b", True)
                await asyncio.sleep(0.1)
            assert await client.xlen(f"{{{prefix}}}:events") == 3

    logging.getLogger("cyevents_bridge").setLevel(logging.CRITICAL)
    try:
        run(main())
    finally:
        logging.getLogger("cyevents_bridge").setLevel(logging.NOTSET)


# At most once, in a group


def test_a_group_that_was_away_misses_what_is_delivered_at_most_once(process, redis_server, prefix, run):
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


def test_a_connection_that_breaks_before_the_answer(process, redis_server, prefix, run, caplog):
    """At most once, it is given up, since it may have been published; at least once, it is published again."""
    bridge = importlib.import_module("cyevents_bridge")

    async def main():
        kept, once, two = process(), process(delivery="at_most_once"), process()
        async with kept.bridge, once.bridge, two.bridge, redis_server.client() as client:
            for each in (kept, once):
                line = each.bridge._engine._line._connection
                each.port = line._writer.get_extra_info("sockname")[1]
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


def test_a_broker_that_has_forgotten_the_scripts_and_the_group(process, redis_server, prefix, run):
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


def test_a_full_broker_is_waited_for(api, own_redis, run):
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


def test_what_the_broker_refuses_is_dropped(process, redis_server, prefix, run, caplog):
    bridge = importlib.import_module("cyevents_bridge")

    async def main():
        one = process(delivery="at_most_once")
        async with one.bridge, redis_server.client() as client:
            await client.set(f"{{{prefix}}}:once", "no stream")
            with pytest.raises(bridge.Dropped, match="the broker refuses it.*WRONGTYPE"):
                await one.ns.emit_async("x", 1)

    with caplog.at_level(logging.CRITICAL, "cyevents_bridge"):
        run(main())


def test_a_dead_letter_that_the_broker_refuses_is_logged(process, redis_server, prefix, run, caplog):
    async def main():
        async with process().bridge, redis_server.client() as client:
            await client.set(f"{{{prefix}}}:dead", "no stream")
            await redis_server.publish(prefix, "x", b"malformed")
            await until(lambda: "does not take what became of a message" in caplog.text)
        assert "WRONGTYPE" in caplog.text

    run(main())


def test_why_no_broker_answers(api, run):
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


def test_a_socket_of_the_machine_s_own(api, redis_server, tmp_path_factory, run):
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
