"""The engine for NATS: order, lost consumers and streams, and what somebody who may publish can do to it."""

import asyncio
import importlib
import json
import logging
import os
import shutil
import signal
import threading
from contextlib import asynccontextmanager

import pytest

from processes import SOON, until

pytest.importorskip("nats")

from nats.aio.msg import Msg

from cyevents_bridge import _bridge, _nats
from cyevents_bridge.engine import Publication, Rejected, Unavailable

DELIVERIES = ["at_most_once", "at_least_once"]


@pytest.fixture
def bridge_to(api):
    """Makes a namespace with the event `x`, and a bridge for it that delivers at least once."""
    bridge = importlib.import_module("cyevents_bridge").Bridge

    def make(address, prefix="p", events=("x",), **options):
        ns = api.Namespace()
        ns.event("x")
        options = {"delivery": "at_least_once", "backoff": (0.1,), "ack_wait": 1, **options}
        return ns, bridge(ns, address, events, prefix=prefix, **options)

    return make


def note_and_fail_once(ns):
    """Connect a handler that raises at the first event; return the senders that it gets."""
    got = []

    @ns.on("x", weak=False)
    def note(sender):
        got.append(sender)
        if len(got) == 1:
            raise ValueError("not now")

    return got


async def forget_consumers(server, prefix):
    async with server.client() as client:
        jetstream = client.jetstream()
        for info in await jetstream.consumers_info(prefix):
            await jetstream.delete_consumer(prefix, info.name)


@pytest.mark.parametrize("group", [None, "g"])
def test_one_message_at_a_time_keeps_the_order_over_a_crash(bridge_to, own_nats, run, group):
    """What was on its way to the process is lost, and is delivered again after `ack_wait`."""

    async def main():
        receiving, inner = bridge_to(own_nats.address, group=group, max_ack_pending=1)
        shop, outer = bridge_to(own_nats.address)
        got, may_go_on = [], threading.Event()

        @receiving.on("x", weak=False)
        def note(sender, body=""):
            got.append(sender)
            if sender == 3:
                may_go_on.wait(SOON)  # the connection is not read meanwhile

        with inner:  # in a thread of its own
            async with outer:
                for number in range(40):
                    await shop.event("x").emit_async(number, "x" * 900_000)
                await until(lambda: 3 in got)
                await asyncio.sleep(0.2)
                own_nats.kill()
                own_nats.start()
                may_go_on.set()
                for number in range(40, 60):
                    await shop.event("x").emit_async(number)
                await until(lambda: len(set(got)) == 60)
        assert list(dict.fromkeys(got)) == list(range(60))

    run(main())


def test_one_message_at_a_time_waits_for_a_retry(bridge_to, nats_server, prefix, run, caplog):
    async def main():
        receiving, inner = bridge_to(nats_server.address, prefix, group="g", max_ack_pending=1)
        shop, outer = bridge_to(nats_server.address, prefix)
        got = note_and_fail_once(receiving)
        async with inner, outer:
            for number in range(5):
                await shop.event("x").emit_async(number)
            await until(lambda: 4 in got)
        assert got == [0, 0, 1, 2, 3, 4]

    with caplog.at_level(logging.ERROR):
        run(main())


def test_max_ack_pending_of_an_existing_group(bridge_to, nats_server, prefix, run):
    """A process that gives a number changes it. One that gives none leaves it as it is."""

    async def main():
        async def enter(**options):
            async with bridge_to(nats_server.address, prefix, group="g", **options)[1], nats_server.client() as client:
                info = await client.jetstream().consumer_info(prefix, "g")
                return info.config.max_ack_pending

        assert await enter() == 1000
        assert await enter(max_ack_pending=5000) == 5000
        assert await enter() == 5000
        assert await enter(events=["x", "y"]) == 5000
        assert await enter(max_ack_pending=1) == 1

    run(main())


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "1"])
def test_max_ack_pending_is_a_whole_number(bridge_to, wrong):
    with pytest.raises(TypeError, match=f"max_ack_pending must be a whole number from 1 on, not {wrong!r}"):
        bridge_to("nats://127.0.0.1:4222", max_ack_pending=wrong)


@pytest.mark.parametrize("group", [None, "g"])
def test_a_broker_that_has_lost_its_streams(bridge_to, own_nats, run, caplog, group):
    """The streams are made again. A process that was there gets all of the new one, in order. Dead letters work."""

    async def main():
        receiving, inner = bridge_to(own_nats.address, group=group, backoff=())
        shop, outer = bridge_to(own_nats.address)
        got = []

        @receiving.on("x", weak=False)
        def note(sender):
            got.append(sender)
            if sender == 25:
                raise ValueError("never")

        async with inner, outer:
            for number in range(20):
                shop.emit("x", number)
            await until(lambda: len(got) == 20)
            own_nats.kill()
            shutil.rmtree(own_nats.folder)
            own_nats.start()
            for number in range(20, 40):
                shop.emit("x", number)
                await asyncio.sleep(0.01)
            await until(lambda: len(got) == 40)
            async with own_nats.client() as client:
                letters = (await client.jetstream().stream_info("p-dead")).state.messages
        assert got == list(range(40))
        assert letters == 1

    with caplog.at_level(logging.CRITICAL):
        run(main())


def test_nothing_is_lost_with_a_consumer(bridge_to, nats_server, prefix, run, caplog):
    """Neither what is published meanwhile nor what must be delivered again."""

    async def main():
        receiving, inner = bridge_to(nats_server.address, prefix, backoff=(1,))
        shop, outer = bridge_to(nats_server.address, prefix)
        got = note_and_fail_once(receiving)
        async with inner, outer:
            for number in range(3):
                await shop.event("x").emit_async(number)
            await until(lambda: len(got) == 3)
            await forget_consumers(nats_server, prefix)
            for number in range(3, 6):
                await shop.event("x").emit_async(number)
            await until(lambda: 5 in got and got.count(0) == 2)

    with caplog.at_level(logging.CRITICAL):
        run(main())


def test_a_group_does_not_track_messages_to_retry(bridge_to, nats_server, prefix, run, caplog):
    async def main():
        receiving, inner = bridge_to(nats_server.address, prefix, group="g", backoff=(60,))
        shop, outer = bridge_to(nats_server.address, prefix)
        got = note_and_fail_once(receiving)
        async with inner, outer:
            for number in range(2):
                await shop.event("x").emit_async(number)
            await until(lambda: got == [0, 1])
            assert inner._engine._open == set()

    with caplog.at_level(logging.CRITICAL):
        run(main())


def test_a_consumer_lost_before_its_first_message(bridge_to, nats_server, prefix, run):
    async def main():
        receiving, inner = bridge_to(nats_server.address, prefix)
        shop, outer = bridge_to(nats_server.address, prefix)
        got = []
        receiving.event("x").connect(got.append, weak=False)
        async with outer:
            await shop.event("x").emit_async("before")
            async with inner:
                await forget_consumers(nats_server, prefix)
                await shop.event("x").emit_async("meanwhile")
                await until(lambda: got)
        assert got == ["meanwhile"]

    run(main())


def test_entering_ends_in_time_if_the_client_swallows_that(bridge_to, run, monkeypatch):
    """`asyncio.wait_for` of Python 3.11 does, if what it waits for fails just then."""
    transport = importlib.import_module("nats.aio.transport").TcpTransport

    async def connect(*args, **kwargs):
        try:
            await asyncio.sleep(SOON)
        except asyncio.CancelledError:
            raise OSError("nobody is there") from None

    async def main():
        _, bridge = bridge_to("nats://127.0.0.1:1", connect_timeout=0.1)
        with pytest.raises(ConnectionError, match="nobody is there"):
            async with bridge:
                pytest.fail("it was entered")

    monkeypatch.setattr(transport, "connect", connect)
    run(main())


# What somebody who may publish can do


def body(event="x", sender="eve"):
    envelope = {"v": 1, "event": event, "id": "1", "from": "eve", "args": [], "kwargs": {}, "sender": sender}
    return json.dumps(envelope).encode()


@asynccontextmanager
async def raw_publisher(server):
    """Gives what sends bytes to the server and waits until it has handled them: `await send(commands)`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await reader.readline()
    writer.write(b'CONNECT {"verbose": false, "headers": true}\r\n')

    async def send(commands):
        writer.write(commands + b"PING\r\n")
        while await reader.readline() != b"PONG\r\n":
            pass

    try:
        yield send
    finally:
        writer.close()
        await writer.wait_closed()


def note(ns, pattern="x"):
    got = []
    ns.event(pattern).connect(got.append, weak=False)
    return got


def pause(server):
    """Stop a server's process, and wait until it has stopped."""
    server.pause()
    os.waitpid(server.process.pid, os.WUNTRACED)


def records_of(caplog):
    return [record for record in caplog.records if record.name == "cyevents_bridge"]


HOSTILE = [
    b"PUB {}.order.\xff\xfe 2\r\nhi\r\n",
    b"PUB {}.order.a \xff\xfe 2\r\nhi\r\n",  # the reply subject
    b"PUB {}.order.a\x0bb 2\r\nhi\r\n",
    b"PUB {}.order.a\x0c1 2\r\nhi\r\n",
    b"PUB {}.order.a\rb 2\r\nhi\r\n",
    b"PUB {}.order.a\x00b 2\r\nhi\r\n",
    b"PUB {}.order.a r\x0b1\x0b99 2\r\nhi\r\n",
    b"PUB {}.order.* 2\r\nhi\r\n",
    b"PUB {}.order.> 2\r\nhi\r\n",
    b"PUB {}.order." + b"z" * 4030 + b" 2\r\nhi\r\n",
    b"HPUB {}.order.h 8 10\r\nNATS/1.0hi\r\n",
    b"HPUB {}.order.h 3 5\r\nabchi\r\n",
    b"HPUB {}.order.h 12 14\r\n" + b"\xff" * 12 + b"hi\r\n",
    b"HPUB {}.order.h 16 18\r\nNATS/1.0 \xff\xfe\xff\r\n\r\nhi\r\n",
    b"HPUB {}.order.h 16 18\r\nNATS/1.0 404\r\n\r\nhi\r\n",
    b"HPUB {}.order.h 16 16\r\nNATS/1.0 100\r\n\r\n\r\n",
    b"HPUB {}.order.h 20 22\r\nNATS/1.0 404 \xff\xfe\xfd\r\n\r\nhi\r\n",
    b"HPUB {}.order.h 16 18\r\nNATS/1.0\r\n\xff: \xfe\r\nhi\r\n",
    b"HPUB {}.order.h 65014 65016\r\nNATS/1.0\r\na:" + b"h" * 65_000 + b"\r\nhi\r\n",  # JetStream takes 64 KiB
    b"PUB {}.order.full 1048576\r\n" + b"x" * 1_048_576 + b"\r\n",  # no room for headers of a dead letter
]


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("group", [None, "g"])
def test_hostile_subjects_and_headers(bridge_to, nats_server, prefix, run, caplog, delivery, group):
    """Each message goes to the dead letters with one log record, once, and the connection is kept."""

    async def main():
        receiving, bridge = bridge_to(nats_server.address, prefix, ["order.*"], group=group, delivery=delivery)
        got = note(receiving, "order.*")
        async with bridge, raw_publisher(nats_server) as send, nats_server.client() as client:
            letters = []

            async def take_letter(message):
                letters.append(message)

            await client.subscribe(f"{prefix}-dead.>", cb=take_letter)
            await client.flush()
            for each in HOSTILE:
                await send(each.replace(b"{}", prefix.encode()))
            valid = body("order.placed")
            await send(b"PUB %b.order.\xff %d\r\n%b\r\n" % (prefix.encode(), len(valid), valid))
            await until(lambda: got)
            await until(lambda: len(letters) == len(HOSTILE))
            assert got == ["eve"]
            assert bridge.stats.dead == len(HOSTILE)
            assert bridge._engine._client.stats["reconnects"] == 0
            assert [letter.data for letter in letters].count(b"hi") == len(HOSTILE) - 2
            assert letters[0].subject == f"{prefix}-dead.order.%FF%FE"
            assert [letter.subject for letter in letters[7:9]] == [f"{prefix}-dead.order.{x}" for x in ("%2A", "%3E")]
            if delivery == "at_least_once":

                async def is_handled():
                    (info,) = await client.jetstream().consumers_info(prefix)
                    return not info.num_pending and not info.num_ack_pending

                await until(is_handled)

    with caplog.at_level(logging.INFO):
        run(main())
    assert [record.levelno for record in records_of(caplog)] == [logging.ERROR] * len(HOSTILE)


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_client_that_stops_reading_reads_again(bridge_to, nats_server, prefix, run, caplog, delivery):
    """Whatever the reason is."""

    async def main():
        receiving, inner = bridge_to(nats_server.address, prefix, delivery=delivery)
        shop, outer = bridge_to(nats_server.address, prefix, delivery=delivery)
        got = note(receiving)
        async with inner, outer:
            client = inner._engine._client
            parse = client._ps.parse

            async def fail(data):
                client._ps.parse = parse
                raise RuntimeError("a bug")

            client._ps.parse = fail
            shop.emit("x", "lost if at most once")
            await until(lambda: client.stats["reconnects"] == 1 and inner._engine._is_up.is_set())
            await shop.event("x").emit_async("ada")
            await until(lambda: "ada" in got)

    run(main())
    (record,) = records_of(caplog)
    assert record.levelno == logging.WARNING
    assert "connecting again: Error: the client has stopped reading" in record.getMessage()


def test_a_task_that_reconnects_is_repeated(bridge_to, nats_server, prefix, run, caplog, monkeypatch):
    """If it ends by an error that the client does not expect, such as one of a function that returns the token."""

    async def main():
        receiving, inner = bridge_to(nats_server.address, prefix)
        shop, outer = bridge_to(nats_server.address, prefix)
        got = note(receiving)
        async with inner, outer:
            client = inner._engine._client
            select = client._select_next_server

            async def fail():
                client._select_next_server = select
                raise RuntimeError("a bug")

            client._select_next_server = fail
            await client.force_reconnect()
            await until(lambda: client.stats["reconnects"] == 1)
            await shop.event("x").emit_async("ada")
            await until(lambda: got == ["ada"])

    run(main())
    assert "RuntimeError: a bug" in caplog.text


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_an_error_of_the_server_does_not_end_the_bridge(bridge_to, nats_server, prefix, run, caplog, delivery):
    async def main():
        receiving, inner = bridge_to(nats_server.address, prefix, delivery=delivery)
        shop, outer = bridge_to(nats_server.address, prefix, delivery=delivery)
        got = note(receiving)
        async with inner, outer:
            client = inner._engine._client
            await client.publish("y" * 5000, b"")
            await until(lambda: client.stats["reconnects"] == 1 and inner._engine._is_up.is_set())
            await shop.event("x").emit_async("ada")
            await until(lambda: got == ["ada"])

    run(main())
    (record,) = records_of(caplog)
    assert "connecting again: Error: the server reported 'maximum control line exceeded'" in record.getMessage()


def test_a_closed_client_is_reported(bridge_to, own_nats, run, caplog):
    """With options of the user's that end connecting again."""

    async def main():
        bridge = bridge_to(own_nats.address, allow_reconnect=False)[1]
        async with bridge:
            own_nats.kill()
            await until(lambda: bridge._engine._client.is_closed)
            await until(lambda: "the client does not reconnect" in caplog.text)

    run(main())


def test_callbacks_of_the_user(bridge_to, own_nats, run, caplog):
    """They are called, and one that raises does not end the connection."""
    called = []

    async def fail(*args):
        called.append(args)
        raise RuntimeError("a bug of the user's")

    async def main():
        callbacks = dict.fromkeys(["error_cb", "disconnected_cb", "reconnected_cb", "closed_cb"], fail)
        receiving, inner = bridge_to(own_nats.address, **callbacks)
        shop, outer = bridge_to(own_nats.address)
        got = note(receiving)
        async with inner, outer:
            own_nats.kill()
            own_nats.start()
            await until(lambda: inner._engine._client.stats["reconnects"] == 1)
            await shop.event("x").emit_async("ada")
            await until(lambda: got == ["ada"])
        assert len(called) >= 4

    run(main())
    assert "a callback for the NATS client raised: RuntimeError: a bug of the user's" in caplog.text


@pytest.mark.parametrize("group", [None, "g"])
def test_messages_to_the_inbox_are_dropped(bridge_to, nats_server, prefix, run, caplog, group):
    """Nothing is handled, no other message is acknowledged for them, and receiving goes on."""

    async def main():
        receiving, bridge = bridge_to(nats_server.address, prefix, group=group, backoff=(60,), ack_wait=60)
        got = note_and_fail_once(receiving)
        async with bridge, raw_publisher(nats_server) as send, nats_server.client() as client:
            jetstream, inbox = client.jetstream(), bridge._engine._inbox.encode()
            await jetstream.publish(f"{prefix}.x", body(sender="real"))
            await until(lambda: got == ["real"])  # it waits to be delivered again
            (consumer,) = await jetstream.consumers_info(prefix)
            ack = f"$JS.ACK.{prefix}.{consumer.name}.1.1.1.1700000000000000000.0".encode()
            forged = body(sender="forged")
            hostile = [
                b"PUB %b.1 2\r\nhi\r\n" % inbox,
                b"PUB %b.\xff 2\r\nhi\r\n" % inbox,
                b"PUB %b.1 a.b %d\r\n%b\r\n" % (inbox, len(forged), forged),
                b"HPUB %b.1 a.b 16 16\r\nNATS/1.0 404\r\n\r\n\r\n" % inbox,
                b"HPUB %b.1 16 18\r\nNATS/1.0 404\r\n\r\nhi\r\n" % inbox,
                b"HPUB %b.1 16 16\r\nNATS/1.0 \xff\xff\xff\r\n\r\n\r\n" % inbox,
                b"PUB %b.x %b.1 2\r\nhi\r\n" % (prefix.encode(), inbox),  # JetStream's answer goes to the inbox
            ]
            # Servers of today do not pass on a reply subject that begins so.
            reserved = [
                b"PUB %b.1 %b %d\r\n%b\r\n" % (inbox, ack, len(forged), forged),
                b"PUB %b.1 $JS.ACK.x 2\r\nhi\r\n" % inbox,
                b"HPUB %b.1 %b 16 16\r\nNATS/1.0 404\r\n\r\n\r\n" % (inbox, ack),
            ]
            await send(b"".join(hostile + reserved))
            # Statuses for the newest request: the engine asks again.
            request = bridge._engine._request.encode()
            await send(b"HPUB %b 20 20\r\nNATS/1.0 404 \xff\xfe\xfd\r\n\r\n\r\n" % request)
            await until(lambda: bridge._engine._request.encode() != request)
            await jetstream.publish(f"{prefix}.x", body(sender="next"))
            await until(lambda: got == ["real", "next"])
            assert bridge.stats.dead == 1  # the one to the subject of an event

            async def is_one_left():
                (info,) = await jetstream.consumers_info(prefix)
                return info.num_ack_pending == 1

            await until(is_one_left)
            return len(hostile)

    with caplog.at_level(logging.INFO):
        count = run(main())
    dropped = [record for record in records_of(caplog) if record.getMessage().startswith("dropped a message")]
    assert {record.levelno for record in dropped} == {logging.WARNING}
    assert count <= len(dropped) <= count + 3


def test_a_forged_message_with_a_reply_subject_of_jetstream(bridge_to, nats_server, prefix, run, caplog):
    """Today's servers do not pass one on. It is dropped if another server does."""

    async def main():
        receiving, bridge = bridge_to(nats_server.address, prefix)
        got = note(receiving)
        async with bridge:
            await until(lambda: bridge._engine._request)
            client, inbox = bridge._engine._client, bridge._engine._inbox
            ack = f"$JS.ACK.{prefix}.c.1.1.1.1700000000000000000.0"
            await bridge._engine._take(Msg(client, f"{inbox}.1", ack, body()))
            await bridge._engine._take(Msg(client, f"{prefix}.x", ack.replace(prefix, "other"), body()))
            await bridge._engine._take(Msg(client, f"{prefix}.x", f"$JS.ACK.{prefix}.c.a.b.c.d.e", body()))
            assert not bridge._engine._waiting
        assert got == []

    run(main())
    assert [record.levelno for record in records_of(caplog)] == [logging.WARNING] * 3


def test_an_engine_error_does_not_end_receiving(bridge_to, nats_server, prefix, run, caplog):
    async def main():
        receiving, bridge = bridge_to(nats_server.address, prefix)
        got, unpack = note(receiving), bridge._codec.unpack

        def fail(*args):
            bridge._codec.unpack = unpack
            raise RuntimeError("a bug")

        async with bridge, nats_server.client() as client:
            bridge._codec.unpack = fail
            await client.jetstream().publish(f"{prefix}.x", body())
            await until(lambda: got == ["eve"])  # delivered again

    run(main())
    assert "was not handled" in caplog.text


NO_ANSWERS = [
    b"",
    b"hi",
    b"5",
    b"{}",
    b'{"stream": 5}',
    b'{"error": "x"}',
    b'{"error": {"code": "x"}}',
    b'{"stream": "p", "seq": 1, "x": ' + b"[" * 200_000,
    b"\xff\xfe",
    b'{"error": {"code": 503, "description": "forged"}}',
]


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=range(len(NO_ANSWERS)))
def test_a_forged_answer_to_a_message(bridge_to, nats_server, prefix, run, caplog, answer):
    """The message is published again."""

    async def main():
        shop, bridge = bridge_to(nats_server.address, prefix)
        async with bridge, nats_server.client() as client:

            async def reply(message):
                await client.publish(message.reply, answer)

            await client.subscribe(f"forged.{prefix}", cb=reply)
            await client.flush()
            publish, published = bridge._engine._client.publish, []

            async def redirect(subject, *args):
                published.append(subject)
                await publish(f"forged.{prefix}" if len(published) == 1 else subject, *args)

            bridge._engine._client.publish = redirect
            await shop.event("x").emit_async("ada")
            assert published.count(f"{prefix}.x") == 2
            info = await client.jetstream().stream_info(prefix)
            assert info.state.messages == 1

    run(main())
    assert not records_of(caplog)


def test_a_forged_answer_about_a_stream(bridge_to, nats_server, prefix, run):
    async def main():
        _, bridge = bridge_to(nats_server.address, prefix)
        async with bridge:
            for error in (KeyError("x"), ValueError("x"), TypeError("x"), RecursionError()):

                async def answer(error=error):
                    raise error

                with pytest.raises(ConnectionError, match="the answer is not from JetStream"):
                    await bridge._engine._ask(answer())

    run(main())


def test_a_question_fails_when_the_connection_is_lost(bridge_to, own_nats, run):
    async def main():
        _, bridge = bridge_to(own_nats.address)
        async with bridge:
            own_nats.kill()
            with pytest.raises(ConnectionResetError):
                await bridge._engine._ask(asyncio.sleep(SOON))
            own_nats.start()

    run(main())


def test_an_id_that_somebody_else_has_used(bridge_to, nats_server, prefix, run, monkeypatch):
    """The broker drops the emission as a duplicate, and the emitter is told."""
    monkeypatch.setattr("cyevents_bridge._ids.RandomIds.next", lambda ids: "f" * 32)

    async def main():
        receiving, inner = bridge_to(nats_server.address, prefix)
        shop, outer = bridge_to(nats_server.address, prefix)
        got = note(receiving)
        async with inner, outer, nats_server.client() as client:
            await client.jetstream().publish(f"{prefix}.x", b"hi", headers={"Nats-Msg-Id": "f" * 32})
            with pytest.raises(_bridge.Dropped, match="already has a message with this id, from another publisher"):
                await shop.event("x").emit_async("ada")
            await until(lambda: inner.stats.dead == 1)
            assert got == []
            first = Publication("x", body(), "f" * 32, True, False)
            with pytest.raises(Rejected, match="already has a message with this id"):
                await outer._engine.publish(first)
            first.is_retry = True
            await outer._engine.publish(first)

    run(main())


def test_a_lost_answer_is_made_good_by_a_duplicate(bridge_to, nats_server, prefix, run, monkeypatch):
    monkeypatch.setattr(_nats, "_ANSWER_TIME", 0.2)

    async def main():
        receiving, inner = bridge_to(nats_server.address, prefix)
        shop, outer = bridge_to(nats_server.address, prefix)
        got = note(receiving)
        async with inner, outer:
            answers, lost = outer._engine._answers, []

            class Deaf(dict):
                def get(self, reply):
                    if not lost:
                        lost.append(reply)
                        return None
                    return super().get(reply)

            outer._engine._answers = Deaf(answers)
            await shop.event("x").emit_async("ada")
            await shop.event("x").emit_async("bob")
            await until(lambda: got == ["ada", "bob"])
        assert lost

    run(main())


# Limits of the broker


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize(
    ("event", "size", "why"),
    [("x", 1_048_500, "bytes; the broker accepts 1048576"), ("x" + "ü" * 700, 1, "its subject is too long")],
)
def test_what_the_broker_does_not_take_is_dropped(bridge_to, nats_server, prefix, run, delivery, event, size, why):
    """The broker would end the connection."""

    async def main():
        shop, bridge = bridge_to(nats_server.address, prefix, ["x*"], delivery=delivery, max_size=10**7)
        async with bridge:
            with pytest.raises(_bridge.Dropped, match=why):
                await shop.event(event).emit_async("a" * size)
            await shop.event("x").emit_async("ada")
            assert bridge._engine._client.stats["reconnects"] == 0

    run(main())


def test_the_longest_subject_is_taken(bridge_to, nats_server, prefix, run):
    async def main():
        shop, bridge = bridge_to(nats_server.address, prefix, ["x*"])
        async with bridge:
            room = _nats._LONGEST_SUBJECTS - len(f"{prefix}.") - len(bridge._engine._answer_inbox) - 17
            name = "x" * (room % 6) + "ü" * (room // 6)  # of which each takes six characters
            await shop.event(name).emit_async("ada")
            with pytest.raises(_bridge.Dropped, match="its subject is too long"):
                await shop.event(name + "x").emit_async("ada")
            assert bridge._engine._client.stats["reconnects"] == 0

    run(main())


def test_confirmations_share_round_trips(bridge_to, nats_server, prefix, run):
    async def main():
        shop, bridge = bridge_to(nats_server.address, prefix, delivery="at_most_once")
        async with bridge:
            client, flushes = bridge._engine._client, []
            flush = client.flush

            async def count(*args):
                flushes.append(args)
                await flush(*args)

            client.flush = count
            await asyncio.gather(*[shop.event("x").emit_async(number) for number in range(100)])
            assert 1 <= len(flushes) <= 20

    run(main())


def test_a_late_answer_to_a_ping_is_no_harm(bridge_to, own_nats, run, monkeypatch, caplog):
    """The client would stop reading if the one that waits for it had given up."""
    monkeypatch.setattr(_nats, "_ANSWER_TIME", 0.2)

    async def main():
        receiving, inner = bridge_to(own_nats.address, delivery="at_most_once")
        shop, outer = bridge_to(own_nats.address, delivery="at_most_once")
        got = note(receiving)
        async with inner, outer:
            pause(own_nats)
            with pytest.raises(_bridge.Dropped, match="the broker does not answer: TimeoutError"):
                await shop.event("x").emit_async("ada")
            os.kill(own_nats.process.pid, signal.SIGCONT)
            await until(lambda: got == ["ada"])
            monkeypatch.undo()
            await shop.event("x").emit_async("bob")
            await until(lambda: got == ["ada", "bob"])
            assert outer._engine._client.stats["reconnects"] == 0

    run(main())


def test_a_confirmation_that_a_lost_connection_ends(bridge_to, own_nats, run):
    async def main():
        shop, bridge = bridge_to(own_nats.address, delivery="at_most_once")
        async with bridge:
            pause(own_nats)
            emission = asyncio.create_task(shop.event("x").emit_async("ada"))
            await until(lambda: not bridge._engine._flushing.done())
            own_nats.kill()
            with pytest.raises(_bridge.Dropped, match="does not answer: ConnectionResetError: the connection is lost"):
                await emission
            own_nats.start()

    run(main())


# Addresses and options that the client refuses


@pytest.mark.parametrize(
    "address", ["nats://", "nats://:4222", "tls://", "nats://ada:secret@", "nats://a,nats://", "nats://ada:secret@h:x"]
)
def test_an_address_without_a_host_or_with_a_wrong_port(bridge_to, address):
    with pytest.raises(ValueError, match="a NATS address must have a host|a broker's address must") as caught:
        bridge_to(address)
    assert "secret" not in str(caught.value)


def test_an_address_that_the_client_refuses(bridge_to, run):
    async def main():
        _, bridge = bridge_to("nats://ada:secret@none", connect_timeout=0.3)  # nats-py 2.15 takes it for a host's name
        for _ in range(2):
            with pytest.raises(ConnectionError, match="nats://none( cannot be used)?: ") as caught:
                await bridge.__aenter__()
            assert "secret" not in str(caught.value)

    run(main())


def test_an_option_that_the_client_does_not_know(bridge_to):
    with pytest.raises(TypeError, match="'colour' is not an option of nats-py's connect"):
        bridge_to("nats://127.0.0.1:1", colour="red")


def test_a_bridge_that_was_not_entered_can_be_entered_later(bridge_to, own_nats, run):
    async def main():
        receiving, inner = bridge_to(own_nats.address, connect_timeout=0.5)
        shop, outer = bridge_to(own_nats.address)
        got = note(receiving)
        own_nats.kill()
        with pytest.raises(ConnectionError, match="no broker answers"):
            await inner.__aenter__()
        own_nats.start()
        async with inner, outer:
            await shop.event("x").emit_async("ada")
            await until(lambda: got == ["ada"])

    run(main())


def test_publishing_while_disconnected_is_tried_again_later(bridge_to, own_nats, run):
    async def main():
        _, bridge = bridge_to(own_nats.address)
        async with bridge:
            own_nats.kill()
            await until(lambda: not bridge._engine._client.is_connected)
            with pytest.raises(Unavailable, match="not connected"):
                await bridge._engine.publish(Publication("x", b"", "1", True, False))
            own_nats.start()

    run(main())


def test_headers_of_a_megabyte(bridge_to, nats_server, prefix, run):
    """Core NATS takes them; JetStream does not."""

    async def main():
        receiving, bridge = bridge_to(nats_server.address, prefix, delivery="at_most_once")
        got, message = note(receiving), body()
        headers = b"NATS/1.0\r\na:" + b"h" * 1_000_000 + b"\r\n"
        sizes = (prefix.encode(), len(headers), len(headers) + len(message))
        async with bridge, raw_publisher(nats_server) as send:
            await send(b"HPUB %b.x %d %d\r\n" % sizes + headers + message + b"\r\n")
            await until(lambda: got == ["eve"])

    run(main())
