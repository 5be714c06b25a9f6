"""What somebody who may publish can send, with each of the brokers: it is survived, and logged in one short line."""

import json
import logging

import pytest

import cyevents
from cyevents_bridge import Bridge
from processes import until

DELIVERIES = ["at_most_once", "at_least_once"]
NOT_EVENTS = [b"", b"\xff\xfe\x00", b"[" * 200_000, b'{"v": 1}', b"x" * 300_000]


def body(event="order.placed", sender="eve", identity="1", **more):
    envelope = {"v": 1, "event": event, "id": identity, "from": "eve", "args": [], "kwargs": {}, "sender": sender}
    return json.dumps({**envelope, **more}).encode()


class Listener:
    """A namespace with a bridge, and what it gets."""

    def __init__(self, address, prefix, events=("order.*",), **options):
        self.got = []
        self.ns = cyevents.Namespace()
        self.ns.event("order.*").connect(self.note, weak=False, with_event=True)
        options = {"backoff": (0.02,), "max_size": 200_000, **options}
        self.bridge = Bridge(self.ns, address, events, prefix=prefix, **options)

    def note(self, sender, event):
        self.got.append((event.name, sender))


@pytest.fixture
def listener(broker, prefix):
    return lambda **options: Listener(broker.address, prefix, **options)


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("group", [None, "g"])
def test_bytes_that_are_no_messages(listener, broker, prefix, run, caplog, delivery, group):
    async def main():
        one = listener(delivery=delivery, group=group)
        async with one.bridge:
            for each in NOT_EVENTS:
                await broker.publish(prefix, "order.placed", each)
            await broker.publish(prefix, "order.placed", body())
            await until(lambda: one.got)
            await until(lambda: one.bridge.stats.dead == len(NOT_EVENTS))
        assert one.got == [("order.placed", "eve")]

    run(main())
    records = [record for record in caplog.records if record.name == "cyevents_bridge"]
    assert [record.levelno for record in records] == [logging.ERROR] * len(NOT_EVENTS)
    assert "300000 bytes; max_size is 200000" in caplog.text


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_names_that_nobody_made_make_no_events(listener, broker, prefix, run, delivery):
    """They are heard by patterns, and only those that the bridge carries."""

    async def main():
        one = listener(delivery=delivery)
        before = {event.name for event in one.ns}
        names = [f"order.{number}" for number in range(1500)]
        async with one.bridge, broker.publisher(prefix) as publish:
            for name in names:
                await publish(name, body(name))
            await publish("order.x", body("user.created"))  # which it does not carry
            await publish("order.end", body("order.end"))
            await until(lambda: ("order.end", "eve") in one.got)
        assert [name for name, _ in one.got] == [*names, "order.end"]
        assert {event.name for event in one.ns} == before

    run(main())


def test_a_strict_namespace_takes_only_its_events(listener, broker, prefix, run, caplog):
    """Other names go to the dead letters at once, without an attempt."""

    async def main():
        one = listener(delivery="at_least_once")
        one.ns = one.bridge._namespace = cyevents.Namespace(strict=True)
        one.ns.event("order.placed").connect(one.note, weak=False, with_event=True)
        async with one.bridge:
            await broker.publish(prefix, "order.placed", body("order.unknown"))
            await broker.publish(prefix, "order.placed", body())
            await until(lambda: one.got and one.bridge.stats.dead)
        assert one.got == [("order.placed", "eve")]
        assert one.bridge.stats.failed == 0

    run(main())
    assert "'order.unknown' is not an event of the namespace, which is strict" in caplog.text


FORGED = "order.x\n2026-01-01 00:00:00 ERROR the database is gone"


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_no_line_of_the_log_is_forged_and_none_is_long(listener, broker, prefix, run, caplog, delivery):
    async def main():
        one = listener(delivery=delivery)

        @one.ns.on("order.*", weak=False)
        def fail(sender):
            raise ValueError(f"nobody knows {sender}")

        async with one.bridge:
            hostile = [
                body(FORGED),
                body("order." + "x" * 100_000),
                body(sender=FORGED),
                body(sender="y" * 100_000),
                body(sender={"$": FORGED, "of": 1}),
                body(sender={"$": "z" * 100_000, "of": 1}),
                body("order.*" + "x" * 100_000),
            ]
            for each in hostile:
                await broker.publish(prefix, "order.placed", each)
            await until(lambda: one.bridge.stats.failed + one.bridge.stats.dead >= len(hostile))

    run(main())
    for line in caplog.text.splitlines():
        assert not line.startswith("2026-01-01")
        assert len(line) < 1500
    assert "ERROR the database is gone" in caplog.text  # it is shown, but in a line of ours


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_handler_that_raises_generator_exit_stops_nothing(listener, broker, prefix, run, caplog, delivery):
    async def main():
        one = listener(delivery=delivery)

        @one.ns.on("order.*", weak=False, priority=1)
        def fail(sender):
            if sender == "evil":
                raise GeneratorExit

        async with one.bridge:
            await broker.publish(prefix, "order.placed", body(sender="evil"))
            await broker.publish(prefix, "order.placed", body(sender="good"))
            await until(lambda: ("order.placed", "good") in one.got)
            assert one.bridge.stats.failed >= 1

    run(main())
    assert "a handler of 'order.placed' raised" in caplog.text


def test_ids_cannot_be_guessed(listener, broker, prefix, run):
    async def main():
        one, two, ids = listener(), listener(), []
        unpack = two.bridge._codec.unpack

        def note(received, wants):
            message = unpack(received, wants)
            ids.append(message.id)
            return message

        two.bridge._codec.unpack = note
        async with two.bridge, one.bridge:
            for number in range(20):
                one.ns.emit("order.placed", number)
            await until(lambda: len(two.got) == 20)
        assert all(len(each) == 32 and int(each, 16) >= 0 for each in ids)
        common = [position for position in range(32) if len({each[position] for each in ids}) == 1]
        assert len(common) < 5  # 20 random digits are the same with a chance of 16 ** -19
        assert len(set(ids)) == 20

    run(main())


TLS = [
    ("nats", {"tls": True}),
    ("nats", {"tls_hostname": "one"}),
    ("ws", {"tls": True}),
    ("redis", {"ssl": True}),
    ("redis", {"ssl_ca_certs": "ca.pem"}),
    ("unix", {"ssl_cert_reqs": "none"}),
    ("redis", "ssl_ca_certs=ca.pem"),
    ("amqp", {"tls": True}),
    ("amqp", {"cafile": "ca.pem"}),
    ("amqp", {"keyfile": "key.pem"}),
    ("amqp", "cafile=ca.pem"),
]


@pytest.mark.parametrize(("scheme", "options"), TLS)
def test_an_option_for_tls_needs_an_address_with_tls(scheme, options):
    """Or the password would go out in clear text."""
    address, options = (
        (f"{scheme}://ada:secret@one/x?{options}", {})
        if isinstance(options, str)
        else (f"{scheme}://ada:secret@one/x", options)
    )
    with pytest.raises(
        ValueError, match=rf"is an option for TLS, but {scheme}:// connects without TLS: use "
    ) as caught:
        Bridge(cyevents.Namespace(), address, ["x"], **options)
    assert "secret" not in str(caught.value)
