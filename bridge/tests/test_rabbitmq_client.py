"""What the bridge needs of RabbitMQ's client, and what it takes out of frames before the client reads them."""

import asyncio
import importlib
import importlib.metadata
import inspect
import logging
import re
import struct
import time

import pytest

from processes import Process, silent, until

aiormq = pytest.importorskip("aiormq")
pamqp_frame = importlib.import_module("pamqp.frame")
commands = importlib.import_module("pamqp.commands")
header = importlib.import_module("pamqp.header")
frames = importlib.import_module("cyevents_bridge._rabbitmq_frames")

CONTENT_TYPE, CONTENT_ENCODING, HEADERS, DELIVERY_MODE, PRIORITY = 0x8000, 0x4000, 0x2000, 0x1000, 0x0800
CORRELATION_ID, REPLY_TO, EXPIRATION, MESSAGE_ID, TIMESTAMP = 0x0400, 0x0200, 0x0100, 0x0080, 0x0040
TYPE, USER_ID, APP_ID, CLUSTER_ID = 0x0020, 0x0010, 0x0008, 0x0004


def short(text):
    return bytes([len(text)]) + text


def long(text):
    return struct.pack(">I", len(text)) + text


def field(name, kind, value):
    return short(name) + kind + value


def table(*fields):
    return long(b"".join(fields))


def nested(depth):
    """Tables within tables."""
    value = b""
    for _ in range(depth):
        value = field(b"a", b"F", long(value))
    return long(value)


def content_header(flags, properties, size=5, channel=1, more_flags=b""):
    payload = struct.pack(">HHQH", 60, 0, size, flags) + more_flags + properties
    return struct.pack(">BHI", 2, channel, len(payload)) + payload + b"\xce"


def method(index, arguments, channel=1):
    payload = struct.pack(">I", index) + arguments
    return struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce"


# What anyone who may publish can send as properties. RabbitMQ passes on those that are well formed for Erlang.
HOSTILE = {
    "message id": (MESSAGE_ID, short(b"\xff\xfe")),
    "app id": (APP_ID, short(b"\xc3")),
    "content type": (CONTENT_TYPE, short(b"text/\x80")),
    "all texts": (
        CONTENT_TYPE | CONTENT_ENCODING | CORRELATION_ID | REPLY_TO | MESSAGE_ID | TYPE | APP_ID,
        short(b"\xff" * 255) * 7,
    ),
    "expiration": (EXPIRATION, short(b"60000")),
    "timestamp": (TIMESTAMP, b"\xff" * 8),
    "early timestamp": (TIMESTAMP, struct.pack(">q", -(2**63))),
    "name of a header": (HEADERS, table(field(b"\xff", b"V", b""))),
    "value of a header": (HEADERS, table(field(b"a", b"S", long(b"\xff")))),
    "date in a header": (HEADERS, table(field(b"a", b"T", b"\x7f" * 8))),
    "decimal in a header": (HEADERS, table(field(b"a", b"D", b"\xff" * 5))),
    "nested tables": (HEADERS, nested(3000)),
    "nested arrays": (HEADERS, table(field(b"a", b"A", long(b"A" + long(b"S" + long(b"\xff")))))),
    "many values": (HEADERS, table(field(b"a", b"A", long(b"V" * 100_000)))),
    "many headers": (HEADERS, table(*[field(b"", b"V", b"")] * 50_000)),
    "huge attempt": (HEADERS, table(field(b"cyevents-attempt", b"l", struct.pack(">q", 2**63 - 1)))),
    "negative attempt": (HEADERS, table(field(b"cyevents-attempt", b"l", struct.pack(">q", -(2**63))))),
    "attempt as a text": (HEADERS, table(field(b"cyevents-attempt", b"S", long(b"1")))),
    "attempt as a table": (HEADERS, table(field(b"cyevents-attempt", b"F", table()))),
    "attempt as a number": (HEADERS, table(field(b"cyevents-attempt", b"d", struct.pack(">d", 1e300)))),
    "negative delay": (HEADERS, table(field(b"cyevents-delay", b"I", struct.pack(">i", -5)))),
    "true delay": (HEADERS, table(field(b"cyevents-delay", b"t", b"\x01"))),
    "subject in bytes": (HEADERS, table(field(b"cyevents-subject", b"S", long(b"\xff")))),
    "long subject": (HEADERS, table(field(b"cyevents-subject", b"S", long("é".encode() * 200)))),
    "subject as bytes": (HEADERS, table(field(b"cyevents-subject", b"x", long(b"x")))),
}
# What RabbitMQ may refuse, or pass on as it is.
MALFORMED = {
    "not a number": (HEADERS, table(field(b"cyevents-attempt", b"d", b"\xff" * 8))),
    "delivery mode": (DELIVERY_MODE, b"\xff"),
    "unknown type": (HEADERS, table(field(b"a", b"\x01", b""), field(b"b", b"V", b""))),
    "cut table": (HEADERS, struct.pack(">I", 1000) + b"abc"),
    "cut value": (HEADERS, table(field(b"a", b"S", b"\0\0\1\0x"))),
    "cut name": (HEADERS, table(b"\x50abc")),
    "cut text": (MESSAGE_ID, b"\x20abc"),
    "no properties": (MESSAGE_ID | APP_ID | HEADERS, b""),
    "unknown flags": (0x0003, b""),
}


class RawPublisher:
    """A connection to RabbitMQ that sends any bytes as the properties and the routing key of a message."""

    def __init__(self, server):
        self.port = server.port

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(b"AMQP\0\0\x09\x01")
        await self.receive()
        await self.call(commands.Connection.StartOk(mechanism="PLAIN", response="\0guest\0guest"), 0)
        self.send(commands.Connection.TuneOk(channel_max=10, frame_max=131072, heartbeat=0), 0)
        await self.call(commands.Connection.Open(), 0)
        await self.call(commands.Channel.Open())
        await self.call(commands.Confirm.Select())
        return self

    async def __aexit__(self, *error):
        self.writer.close()

    def send(self, frame, channel=1):
        self.writer.write(pamqp_frame.marshal(frame, channel))

    async def receive(self):
        start = await self.reader.readexactly(7)
        rest = await self.reader.readexactly(int.from_bytes(start[3:], "big") + 1)
        return pamqp_frame.unmarshal(start + rest)[2]

    async def call(self, frame, channel=1):
        self.send(frame, channel)
        return await self.receive()

    async def publish(self, exchange, key, flags, properties, body):
        """Return whether the broker has taken it."""
        self.writer.write(method(0x003C0028, b"\0\0" + short(exchange) + short(key) + b"\0"))
        self.writer.write(content_header(flags, properties, len(body)))
        self.writer.write(struct.pack(">BHI", 3, 1, len(body)) + body + b"\xce")
        try:
            return isinstance(await self.receive(), commands.Basic.Ack)
        except asyncio.IncompleteReadError:  # it has closed the connection
            return False


def message(process, sender):
    codec = importlib.import_module("cyevents_bridge._codec")
    return process.bridge._codec.pack(codec.Message("x", "a", "another", None, sender, (), {}, {}))


# Frames


def pass_through(*chunks):
    """Return the frames that the client reads after the reader has got these bytes."""

    async def main():
        reader = frames.FrameReader(asyncio.get_running_loop())
        for chunk in chunks:
            reader.feed_data(chunk)
        reader.feed_eof()
        reader.feed_eof()  # asyncio does that
        return await reader.read()

    return asyncio.run(main())


def decoded(data):
    found = []
    while data:
        consumed, channel, frame = pamqp_frame.unmarshal(data)
        found.append((channel, frame))
        data = data[consumed:]
    return found


@pytest.mark.parametrize("name", [*HOSTILE, *MALFORMED])
def test_the_client_can_decode_every_content_header(name):
    flags, properties = {**HOSTILE, **MALFORMED}[name]
    more_flags = b"\0\4" if name == "unknown flags" else b""
    data = content_header(flags, properties, size=2**40 + 7, channel=300, more_flags=more_flags)
    ((channel, frame),) = decoded(pass_through(data))
    assert (channel, frame.body_size) == (300, 2**40 + 7)
    assert isinstance(frame.properties.message_id, str | None)


def test_used_properties_pass_unchanged():
    own = {"cyevents-attempt": 3, "cyevents-delay": 2**40, "cyevents-subject": "é.x"}
    given = {
        "content_type": "ü",
        "headers": {"a": {"b": [1, "c", None]}, **own, "z": True},
        "delivery_mode": 2,
        "message_id": "é" * 127,
        "timestamp": None,
        "app_id": "me",
    }
    data = pamqp_frame.marshal(header.ContentHeader(body_size=9, properties=commands.Basic.Properties(**given)), 4)
    ((channel, frame),) = decoded(pass_through(data))
    assert (channel, frame.body_size) == (4, 9)
    assert (frame.properties.message_id, frame.properties.app_id) == ("é" * 127, "me")
    assert frame.properties.headers == own


@pytest.mark.parametrize("kind", [b"b", b"B", b"s", b"u", b"I", b"i", b"l"])
@pytest.mark.parametrize("byte", [b"\0", b"\x7f", b"\xff"])
def test_numbers_of_all_types_are_read(kind, byte):
    value = byte * {b"b": 1, b"B": 1, b"s": 2, b"u": 2, b"I": 4, b"i": 4, b"l": 8}[kind]
    data = content_header(HEADERS, table(field(b"cyevents-attempt", kind, value)))
    expected = importlib.import_module("pamqp.decode").embedded_value(kind + value)[1]
    ((_, frame),) = decoded(pass_through(data))
    assert frame.properties.headers == {"cyevents-attempt": expected}


def test_messages_of_a_bridge_are_not_rewritten():
    properties = commands.Basic.Properties(message_id="a" * 32, app_id="b" * 32, delivery_mode=2)
    data = pamqp_frame.marshal(header.ContentHeader(body_size=3, properties=properties), 1)
    assert frames.decodable_header(data, 0, len(data)) is None
    deliver = pamqp_frame.marshal(commands.Basic.Deliver("tag", 200, False, "cyevents", "x.é"), 1)
    assert frames.decodable_method(deliver, 0, len(deliver)) is None


@pytest.mark.parametrize("text", [b"\xff", b"a\x80", b"\xc3", b"\xed\xa0\x80", b"\xff" * 255, b"ok"])
def test_the_client_can_decode_every_text(text):
    """Of a delivery, of an answer to a fetch, of a message that comes back, and why something is closed."""
    shown = text.decode() if text == b"ok" else "".join(chr(byte) if byte < 128 else "?" for byte in text)
    tag = b"\xff" * 8
    data = [
        method(0x003C003C, short(b"tag") + tag + b"\1" + short(text) + short(text), channel=7),
        method(0x003C0047, tag + b"\0" + short(text) + short(text) + b"\xff" * 4),
        method(0x003C0032, b"\1\x38" + short(text) * 3),
        method(0x00140028, b"\1\x94" + short(text) + b"\0\x3c\0\x28"),
        method(0x000A0032, b"\1\x94" + short(text) + b"\0\x3c\0\x28", channel=0),
    ]
    (channel, deliver), (_, got), (_, back), (_, closed), (_, ended) = decoded(pass_through(b"".join(data)))
    assert (channel, deliver.consumer_tag, deliver.delivery_tag, deliver.redelivered) == (7, "tag", -1, True)
    assert (got.delivery_tag, got.message_count) == (-1, 2**32 - 1)
    for frame in (deliver, got, back):
        assert (frame.exchange, frame.routing_key) == (shown, shown)
    assert back.reply_text == closed.reply_text == ended.reply_text == shown
    assert (closed.class_id, closed.method_id) == (60, 40)


@pytest.mark.parametrize("size", [1, 2, 7, 8, 50, 10_000])
def test_frames_may_arrive_in_parts(size):
    body = struct.pack(">BHI", 3, 1, 300) + b"\xce" * 300 + b"\xce"
    data = b"".join(
        [
            method(0x003C003C, short(b"tag") + bytes(8) + b"\0" + short(b"x") + short(b"\xff")),
            content_header(MESSAGE_ID | APP_ID, short(b"\xff") + short(b"me")),
            body,
            pamqp_frame.marshal(importlib.import_module("pamqp.heartbeat").Heartbeat(), 0),
        ]
    )
    passed = pass_through(*[data[start : start + size] for start in range(0, len(data), size)])
    (_, deliver), (_, properties), (_, content), (_, beat) = decoded(passed)
    assert (deliver.routing_key, properties.properties.app_id, content.value) == ("?", "me", b"\xce" * 300)
    assert beat.name == "Heartbeat"


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"AMQP\0\0\x09\x01", b"\x01", b"\x02\0\1\0\0\0\x09a"]
)
def test_bytes_that_are_not_whole_frames_pass_unchanged(data):
    assert pass_through(data) == data
    assert pass_through(*[bytes([byte]) for byte in data]) == data


@pytest.mark.parametrize("name", ["many values", "many headers", "nested tables"])
def test_headers_take_time_linear_in_their_size(name):
    """The client's decoder would take more than a second for the first of them."""
    data = content_header(*HOSTILE[name])
    begun = time.process_time()
    pass_through(data)
    assert time.process_time() - begun < 0.3


# Messages that anyone may publish


class Receiver(Process):
    """A process that receives any routing key, and notes for whom it is."""

    def __init__(self, api, server, prefix, **options):
        super().__init__(api, server.address, prefix, **options)
        bridge = importlib.import_module("cyevents_bridge").Bridge
        options = {"delivery": "at_least_once", "backoff": (0.02, 0.02), **options}
        self.bridge = bridge(self.ns, server.address, ["x*"], prefix=prefix, **options)

    def fall_silent(self):
        engine = self.bridge._engine
        engine.put = engine._session.leave = silent


WAYS = [("at_most_once", None), ("at_most_once", "g"), ("at_least_once", None), ("at_least_once", "g")]


@pytest.fixture(params=WAYS, ids=lambda way: f"{way[0]}-{way[1]}")
def receiver(request, api, amqp_server, prefix):
    delivery, group = request.param
    return Receiver(api, amqp_server, prefix, delivery=delivery, group=group)


@pytest.fixture
def records(caplog):
    """What the bridge and the client have logged."""
    caplog.set_level(logging.WARNING, "cyevents_bridge")
    caplog.set_level(logging.WARNING, "aiormq")
    return lambda: [each for each in caplog.records if each.name.startswith(("cyevents_bridge", "aiormq", "asyncio"))]


async def count_messages(server, engine):
    """How many messages an engine's queues have."""
    session = engine._session
    async with server.client() as channel:
        names = [session._main, session.again, session.later]
        return sum([(await channel.queue_declare(name, passive=True)).message_count for name in names])


def test_hostile_properties_are_handled(amqp_server, prefix, run, receiver, records):
    """RabbitMQ passes all of them on, and some of those that are malformed."""

    async def main():
        engine = receiver.bridge._engine
        expected = []
        async with receiver.bridge:
            session = engine._session
            for name, (flags, properties) in {**HOSTILE, **MALFORMED}.items():
                async with RawPublisher(amqp_server) as raw:
                    is_taken = await raw.publish(prefix.encode(), b"x", flags, properties, message(receiver, name))
                assert is_taken or name in MALFORMED
                if is_taken:
                    expected.append(name)
            if engine.options.at_least_once:  # an attempt that is too large is the last one
                await until(lambda: receiver.bridge.stats.dead == 1)
                expected.remove("huge attempt")
            await until(lambda: len(receiver.got) == len(expected))
            assert receiver.got == expected
            assert engine._session is session
        assert len(records()) == engine.options.at_least_once

    run(main())


@pytest.mark.parametrize("key", [b"\xff", b"x.\xc3", b"\xff" * 255, "é".encode() * 127])
def test_hostile_routing_keys_are_handled(amqp_server, prefix, run, receiver, records, key):
    """Also if the message is then moved to the dead letters, under the same key."""

    async def main():
        async with receiver.bridge, amqp_server.letters(prefix) as letters, RawPublisher(amqp_server) as raw:
            session = receiver.bridge._engine._session
            assert await raw.publish(prefix.encode(), key, 0, b"", message(receiver, 1))
            assert await raw.publish(prefix.encode(), key, MESSAGE_ID, short(b"\xff"), b"no message")
            subject, body, _ = await letters()
            assert body == b"no message"
            assert subject == (key.decode() if key[0] == 0xC3 else "".join(chr(c) if c < 128 else "?" for c in key))
            await until(lambda: receiver.got == [1])
            assert receiver.bridge._engine._session is session
        assert [each.levelname for each in records()] == ["ERROR"]  # of the dead letter

    run(main())


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_messages_that_fail_are_delivered_again(api, amqp_server, prefix, run, records, name):
    """As often as others, and then they are dead letters; and a process that dies with one does not stop the group."""

    async def main():
        one, two = (Receiver(api, amqp_server, prefix, group="g") for _ in range(2))
        one.ns.event("x").connect(lambda sender: asyncio.Event().wait(), weak=False, priority=-1)
        two.ns.event("x").connect(lambda sender: 1 / (sender != name), weak=False)
        async with amqp_server.letters(prefix) as letters:
            async with RawPublisher(amqp_server) as raw:
                async with one.bridge:
                    pass
                flags, properties = HOSTILE[name]
                assert await raw.publish(prefix.encode(), b"x", flags, properties, message(one, name))
                assert await raw.publish(prefix.encode(), b"x", 0, b"", message(one, "next"))
            if name != "huge attempt":
                async with one.dying():
                    await until(lambda: one.got)
            async with two.bridge:
                key, _, about = await letters()
                assert about["attempts"] == ("4" if name == "huge attempt" else "3")
                assert key == "x"
                await until(lambda: "next" in two.got)

                async def is_empty():
                    return not await count_messages(amqp_server, two.bridge._engine)

                await until(is_empty)
            assert two.got.count(name) == (0 if name == "huge attempt" else 2)
        assert "aiormq" not in {each.name.partition(".")[0] for each in records()}

    logging.getLogger("cyevents_bridge").setLevel(logging.CRITICAL)
    try:
        run(main())
    finally:
        logging.getLogger("cyevents_bridge").setLevel(logging.NOTSET)


@pytest.mark.parametrize("delay", [2**63 - 1, -(2**63), 0])
@pytest.mark.parametrize("queue", ["again", "later"])
def test_hostile_delays_end(api, amqp_server, prefix, run, records, queue, delay):
    """Whoever may write to the default exchange can put messages into any queue."""

    async def main():
        one = Receiver(api, amqp_server, prefix, group="g", retention=0.5)
        async with one.bridge, RawPublisher(amqp_server) as raw:
            headers = table(field(b"cyevents-delay", b"l", struct.pack(">q", delay)))
            name = f"{prefix}.{queue}.g".encode()
            assert await raw.publish(b"", name, HEADERS, headers, message(one, 1))
            await until(lambda: one.got == [1])
        assert not records()

    run(main())


@pytest.mark.parametrize("queue", ["group", "again", "later"])
def test_hostile_bodies_are_dead_letters_in_all_queues(api, amqp_server, prefix, run, records, queue):
    async def main():
        one = Receiver(api, amqp_server, prefix, group="g")
        async with one.bridge, amqp_server.letters(prefix) as letters, RawPublisher(amqp_server) as raw:
            assert await raw.publish(b"", f"{prefix}.{queue}.g".encode(), MESSAGE_ID, short(b"\xff"), b"\xff")
            assert (await letters())[1] == b"\xff"
            assert await raw.publish(prefix.encode(), b"x", 0, b"", message(one, 1))
            await until(lambda: one.got == [1])
            assert await count_messages(amqp_server, one.bridge._engine) == 0
        assert len(records()) == 1

    run(main())


def test_an_unexpected_error_does_not_end_receiving(api, amqp_server, prefix, run, records):
    """It is logged, and the bridge connects again; the message counts as delivered."""

    async def main():
        one, two = Receiver(api, amqp_server, prefix, group="g"), Receiver(api, amqp_server, prefix)
        async with one.bridge, two.bridge:
            sessions = importlib.import_module("cyevents_bridge._rabbitmq_sessions")
            with pytest.MonkeyPatch.context() as patch:

                async def fail(self):
                    raise LookupError("a mistake")

                patch.setattr(sessions.AtLeastOnceDelivery, "ack", fail)
                await two.ns.emit_async("x", 1)
                await until(lambda: records())
            await until(lambda: one.got == [1, 1])
        (record,) = records()
        assert record.levelname == "ERROR"
        assert "receiving from amqp://127.0.0.1" in record.getMessage()
        assert "failed, connecting again" in record.getMessage()

    run(main())


def test_a_lost_connection_is_logged_once(api, amqp_server, prefix, run, records):
    async def main():
        one = Receiver(api, amqp_server, prefix, group="g")
        async with one.bridge:
            first = one.bridge._engine._session
            first._connection._connector.abort()
            await until(lambda: one.bridge._engine._session not in (first, None))
        (text,) = [each.getMessage() for each in records() if each.name == "cyevents_bridge"]
        assert text.startswith("receiving from amqp://127.0.0.1")
        assert "stopped, connecting again: AMQPConnectionError: " in text

    run(main())


# What the bridge uses of aiormq beyond its documentation

GONE = "aiormq {} has no {} any more: see the top of _rabbitmq_client.py, and the bounds of the requirement"


def gone(name):
    return GONE.format(importlib.metadata.version("aiormq"), name)


def parameters(function):
    return inspect.signature(function).parameters


def source(function):
    return inspect.getsource(function)


UNDOCUMENTED = {
    "Connection.FRAME_BUFFER_SIZE": lambda: (
        isinstance(aiormq.Connection.FRAME_BUFFER_SIZE, int)
        and "maxsize=self.FRAME_BUFFER_SIZE" in source(aiormq.Connection.__init__)
    ),
    "Connection(transport_factory=)": lambda: (
        "transport_factory" in parameters(aiormq.Connection.__init__)
        and "_transport_factory.create(" in source(aiormq.Connection.connect)
    ),
    "TransportFactory.create": lambda: list(parameters(aiormq.TransportFactory.create)) == ["self", "url", "kwargs"],
    "ssl_context_provider": lambda: "ssl_context_provider=SSLContextProvider(" in source(aiormq.Connection.connect),
    "SSLContextProvider.get_context": lambda: inspect.iscoroutinefunction(aiormq.SSLContextProvider.get_context),
    "Connection.closing": lambda: isinstance(aiormq.Connection.closing, property),
    "Channel.on_consumer_cancel_callbacks": lambda: (
        "self.on_consumer_cancel_callbacks" in source(aiormq.Channel.__init__)
    ),
}


@pytest.mark.parametrize("name", UNDOCUMENTED)
def test_the_client_has_what_is_not_documented(name):
    try:
        is_there = UNDOCUMENTED[name]()
    except AttributeError:
        is_there = False
    assert is_there, gone(name)


def test_the_client_reads_a_stream_by_public_methods(run):
    """So that what it reads has gone through `FrameReader.feed_data`."""

    async def main():
        reader = frames.FrameReader(asyncio.get_running_loop())
        reader.feed_data(method(0x003C003C, short(b"tag") + bytes(8) + b"\0" + short(b"x") + short(b"\xff")))
        receiver = importlib.import_module("aiormq.connection").FrameReceiver(reader)
        _, _, frame = await receiver.get_frame()
        assert frame.routing_key == "?", gone("FrameReceiver that reads from the transport factory's reader")

    run(main())


def test_the_clients_options_are_all_known(api):
    """The client ignores an option that it does not know; the bridge refuses it."""
    client = importlib.import_module("cyevents_bridge._rabbitmq_client")
    found = re.findall(r'query\.get\(\s*"(\w+)"', source(importlib.import_module("aiormq.connection")))
    assert set(found) == client._OPTIONS - {"user", "password", "tls"}, gone("set of options that was tested")
