"""Compares the bridge with a broker's bare client and with FastStream: `python bridge/benchmarks/throughput.py nats`.

Each contestant is a pair of processes that lives throughout the run: one publishes orders, the other receives them.
The bare client does by hand what the bridge does: it encodes and decodes, publishes as many at the same time, fetches
as many at once, acknowledges each, and calls a function. FastStream takes part if it is installed, by
`pip install "faststream[nats,redis,rabbit]"`. The laps of all contestants are interleaved, in a random order.

`--other PYTHON` adds the bridge that is installed in another environment, to compare two versions in one run.
"""

import argparse
import asyncio
import gc
import importlib.util
import json
import os
import platform
import random
import statistics
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from timeit import Timer

DELIVERIES = ["at_most_once", "at_least_once"]
SUBJECT = "order.placed"
ORDER = {"id": "ord-0001", "customer_email": "alice@example.com", "total": 1564, "items": [["Espresso machine", 2]]}
IN_FLIGHT = 128  # as many messages as the bridge publishes at the same time
BATCH = 64  # as many as it fetches at once
PATIENCE = 60  # seconds after which what has not arrived is lost
EMISSIONS = 1000  # of a round, where the cost of an emission is measured


@dataclass
class Form:
    """How much is measured.

    Attributes:
        laps: of each contestant.
        many: events of a lap, as fast as they go.
        few: events of a lap, one after the other, for the latency.
        gap: seconds between these.
    """

    laps: int = 7
    many: int = 5000
    few: int = 300
    gap: float = 0.003


BRIEF = Form(laps=1, many=200, few=20)  # to see that every contestant is right


# The processes


class Ears:
    """What a receiver notes."""

    def __init__(self):
        self.expect(0)

    def expect(self, count):
        self.count, self.numbers, self.latencies = count, [], []
        self.over = asyncio.Event()

    def hear(self, number, sent, order):
        now = time.monotonic_ns()
        self.numbers.append(number)
        self.latencies.append(now - sent)
        self.last = now
        if len(self.numbers) == self.count:
            self.over.set()


class Bridged:
    """A process with a bridge, over any broker."""

    def __init__(self, delivery, address, ears):
        from cyevents import Namespace
        from cyevents_bridge import Bridge

        self.event = Namespace().event(SUBJECT)
        if ears is not None:
            self.event.connect(lambda number, sent, *, order: ears.hear(number, sent, order), weak=False)
        self.bridge = Bridge(self.event.namespace, address, [SUBJECT], **self.options(delivery))

    def options(self, delivery):
        return {"delivery": delivery, "prefix": f"bridged-{delivery}", "outbox": 10**6}

    async def __aenter__(self):
        await self.bridge.__aenter__()

    async def __aexit__(self, *exception):
        await self.bridge.__aexit__(*exception)

    async def publish(self, number):
        self.event.emit(number, time.monotonic_ns(), order=ORDER)
        if number % IN_FLIGHT == 0:
            await asyncio.sleep(0)

    async def finish(self):
        await self.bridge.drain()


class Other:
    """A process with something else."""

    def __init__(self, delivery, address, ears):
        import msgspec

        self.is_kept, self.address, self.ears = delivery == "at_least_once", address, ears
        self.stream = f"{type(self).__name__}-{delivery}"
        self.subject = f"{self.stream}.{SUBJECT}"
        self.encode, self.decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode
        self.room = asyncio.Semaphore(IN_FLIGHT)
        self.tasks = set()

    def hear(self, body):
        data = self.decode(body)
        self.ears.hear(data["number"], data["sent"], data["order"])

    async def publish(self, number):
        """Publish, as many at the same time as the bridge."""
        await self.room.acquire()
        sent = time.monotonic_ns()
        task = asyncio.create_task(self.publish_one({"number": number, "sent": sent, "order": ORDER}, f"{sent}"))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        task.add_done_callback(lambda _: self.room.release())

    async def finish(self):
        await asyncio.gather(*self.tasks)


class BareNats(Other):
    """Its client alone."""

    async def __aenter__(self):
        import nats
        from nats.js import api

        self.client = await nats.connect(self.address)
        self.jetstream = self.client.jetstream()
        if self.is_kept:
            window = {"duplicate_window": 120, "max_age": 7 * 24 * 3600}  # as the bridge has it
            await self.jetstream.add_stream(name=self.stream, subjects=[f"{self.stream}.>"], **window)
        if self.ears is None:
            return
        if not self.is_kept:
            await self.client.subscribe(self.subject, cb=self.arrived)
            await self.client.flush()
        else:
            config = api.ConsumerConfig(filter_subjects=[self.subject], deliver_policy=api.DeliverPolicy.NEW)
            config.ack_policy = api.AckPolicy.EXPLICIT
            made = await self.jetstream.add_consumer(self.stream, config)
            self.fetching = asyncio.create_task(self.fetch(made.name))

    async def __aexit__(self, *exception):
        await self.client.close()

    async def arrived(self, message):
        self.hear(message.data)

    async def fetch(self, name):
        subscription = await self.jetstream.pull_subscribe_bind(consumer=name, stream=self.stream)
        while True:
            try:
                messages = await subscription.fetch(BATCH, timeout=5)
            except TimeoutError:
                continue
            for message in messages:
                self.hear(message.data)
                await message.ack()

    async def publish(self, number):
        if self.is_kept:
            await super().publish(number)
        else:
            body = self.encode({"number": number, "sent": time.monotonic_ns(), "order": ORDER})
            await self.client.publish(self.subject, body)

    async def publish_one(self, data, identity):
        await self.jetstream.publish(self.subject, self.encode(data), headers={"Nats-Msg-Id": identity})

    async def finish(self):
        await super().finish()
        await self.client.flush()


class BareRedis(Other):
    """Its client alone: what is to be published goes in pipelines, of as many commands as the bridge's."""

    async def __aenter__(self):
        import redis.asyncio

        self.client = redis.asyncio.Redis.from_url(self.address, socket_timeout=None)
        self.queue, self.filled = [], asyncio.Event()
        if self.ears is None:
            self.task = asyncio.create_task(self.write())
        elif self.is_kept:
            self.task = asyncio.create_task(self.read())
        else:
            self.subscription = self.client.pubsub()
            await self.subscription.subscribe(self.subject)
            self.task = asyncio.create_task(self.listen())

    async def __aexit__(self, *exception):
        self.task.cancel()
        await self.client.aclose()

    async def listen(self):
        async for message in self.subscription.listen():
            if message["type"] == "message":
                self.hear(message["data"])

    async def read(self):
        last = "0"
        while True:
            found = await self.client.xread({self.stream: last}, count=BATCH, block=5000)
            for identity, fields in found[0][1] if found else ():
                self.hear(fields[b"body"])
                last = identity

    async def publish(self, number):
        sent = time.monotonic_ns()
        self.queue.append((self.encode({"number": number, "sent": sent, "order": ORDER}), f"{self.stream}:{sent}"))
        self.filled.set()
        if number % IN_FLIGHT == 0:
            await asyncio.sleep(0)

    async def write(self):
        while True:
            await self.filled.wait()
            batch = self.queue[:IN_FLIGHT]
            pipeline = self.client.pipeline(transaction=False)
            for body, identity in batch:
                if self.is_kept:
                    pipeline.set(identity, b"", nx=True, px=120_000)
                    pipeline.xadd(self.stream, {"event": SUBJECT, "body": body})
                else:
                    pipeline.publish(self.subject, body)
            await pipeline.execute()
            del self.queue[: len(batch)]
            if not self.queue:
                self.filled.clear()

    async def finish(self):
        while self.queue:
            await asyncio.sleep(0.001)


class BareRabbitmq(Other):
    """Its client alone. At most once, nothing is confirmed or acknowledged."""

    async def __aenter__(self):
        import aiormq

        self.client = await aiormq.connect(self.address)
        self.channel = await self.client.channel(publisher_confirms=self.is_kept)
        self.properties = aiormq.spec.Basic.Properties
        await self.channel.exchange_declare(self.stream, exchange_type="topic", durable=True)
        if self.ears is None:
            return
        queue = (await self.channel.queue_declare(durable=self.is_kept, exclusive=not self.is_kept)).queue
        await self.channel.queue_bind(queue, self.stream, SUBJECT)
        await self.channel.basic_qos(prefetch_count=BATCH)
        await self.channel.basic_consume(queue, self.arrived, no_ack=not self.is_kept)

    async def __aexit__(self, *exception):
        await self.client.close()

    async def arrived(self, message):
        self.hear(message.body)
        if self.is_kept:
            await self.channel.basic_ack(message.delivery_tag, wait=False)

    async def publish_one(self, data, identity):
        properties = self.properties(message_id=identity, delivery_mode=2 if self.is_kept else 1)
        where = {"exchange": self.stream, "routing_key": SUBJECT, "properties": properties}
        await self.channel.basic_publish(self.encode(data), wait=False, **where)


class FastStream(Other):
    """FastStream with a typed handler, over any broker."""

    async def __aenter__(self):
        self.make()
        if self.ears is not None:

            @self.subscriber
            async def handle(number: int, sent: int, order: dict):
                self.ears.hear(number, sent, order)

        await self.broker.start()

    async def __aexit__(self, *exception):
        await self.broker.stop()

    async def publish_one(self, data, identity):
        await self.broker.publish(data, **self.where)


class FastNats(FastStream):
    def make(self):
        from faststream.nats import JStream, NatsBroker, PullSub

        self.broker = NatsBroker(self.address, logger=None)
        if self.is_kept:
            stream = JStream(name=self.stream, subjects=[self.subject])
            durable, pull = f"{self.stream}-group", PullSub(batch_size=BATCH)
            self.subscriber = self.broker.subscriber(self.subject, stream=stream, durable=durable, pull_sub=pull)
        else:
            self.subscriber = self.broker.subscriber(self.subject)
        self.where = {"subject": self.subject} | ({"stream": self.stream} if self.is_kept else {})


class FastRedis(FastStream):
    def make(self):
        from faststream.redis import RedisBroker, StreamSub

        self.broker = RedisBroker(self.address, logger=None)
        self.room = asyncio.Semaphore(64)  # each takes a connection, of which the client has 100
        stream = StreamSub(self.stream, max_records=BATCH, polling_interval=10)
        self.subscriber = self.broker.subscriber(**({"stream": stream} if self.is_kept else {"channel": self.subject}))
        self.where = {"stream": self.stream} if self.is_kept else {"channel": self.subject}


class FastRabbitmq(FastStream):
    def make(self):
        from faststream import AckPolicy
        from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

        self.broker = RabbitBroker(self.address, logger=None, default_channel=Channel(prefetch_count=BATCH))
        policy = AckPolicy.NACK_ON_ERROR if self.is_kept else AckPolicy.ACK_FIRST
        queue = RabbitQueue(self.stream, durable=self.is_kept)
        self.subscriber = self.broker.subscriber(queue, ack_policy=policy)
        self.where = {"queue": self.stream, "persist": self.is_kept}


CONTESTANTS = {
    "nats": {"bridge": Bridged, "bare client": BareNats, "FastStream": FastNats},
    "redis": {"bridge": Bridged, "bare client": BareRedis, "FastStream": FastRedis},
    "rabbitmq": {"bridge": Bridged, "bare client": BareRabbitmq, "FastStream": FastRabbitmq},
}
KEEPS_ORDER = {"bridge", "bare client"}  # FastStream handles what it has fetched at the same time


def contestants(broker):
    """Who takes part, over a broker."""
    client = {"rabbitmq": "aio_pika"}.get(broker, broker)  # which FastStream's extra brings
    has_faststream = all(importlib.util.find_spec(name) is not None for name in ("faststream", client))
    return [kind for kind in CONTESTANTS[broker] if kind != "FastStream" or has_faststream]


async def be(role, kind, delivery, address):
    """Be a process of a contestant: do what the lines of the standard input say, and answer each with a line."""
    ears = Ears() if role == "receive" else None
    broker = address.partition(":")[0].replace("amqp", "rabbitmq")
    process = CONTESTANTS[broker][kind](delivery, address, ears)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with process:
        answer({})
        while line := await lines.readline():
            command = json.loads(line)
            if role == "receive":
                ears.expect(command["count"])
                answer({})
                await asyncio.wait_for(ears.over.wait(), PATIENCE)
                await asyncio.sleep(0.05)  # if there is one too many
                answer({"numbers": ears.numbers, "latencies": ears.latencies, "last": ears.last})
                continue
            begun = time.monotonic_ns()
            for number in range(command["count"]):
                await process.publish(number)
                if command["gap"]:
                    await asyncio.sleep(command["gap"])
            await process.finish()
            answer({"begun": begun})


def answer(what):
    print(json.dumps(what), flush=True)


# The contest


@dataclass
class Pair:
    """A contestant."""

    broker: str
    delivery: str
    kind: str
    server: str = ""
    python: str = sys.executable
    rates: list[float] = field(default_factory=list)
    latencies: list[list[int]] = field(default_factory=list)

    async def start(self, address, stack):
        self.ends = {}
        for role in ("receive", "publish"):
            process = await asyncio.create_subprocess_exec(
                *(self.python, __file__, "--be", role, self.kind.partition(" in ")[0], self.delivery, address),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=2**24,
            )
            stack.push_async_callback(end, process)
            self.ends[role] = process
            await self.answer(role)

    async def answer(self, role):
        line = await asyncio.wait_for(self.ends[role].stdout.readline(), 2 * PATIENCE)
        if not line:
            raise RuntimeError(f"{self.kind} over {self.broker}, {self.delivery}: {role} has ended")
        return json.loads(line)

    async def send(self, count, gap=0):
        """Have events sent; return what was received, and when the first was sent."""
        self.tell("receive", {"count": count})
        await self.answer("receive")
        self.tell("publish", {"count": count, "gap": gap})
        received = await self.answer("receive")
        received |= await self.answer("publish")
        numbers = received["numbers"] if self.kind.partition(" in ")[0] in KEEPS_ORDER else sorted(received["numbers"])
        if numbers != list(range(count)):
            raise AssertionError(f"{self.kind} over {self.broker}, {self.delivery}, has not delivered each event once")
        return received

    def tell(self, role, command):
        self.ends[role].stdin.write(json.dumps(command).encode() + b"\n")

    async def run(self, form):
        received = await self.send(form.many)
        self.rates.append(form.many / (received["last"] - received["begun"]) * 1e9)
        received = await self.send(form.few, form.gap)
        self.latencies.append(received["latencies"])

    def row(self):
        """Events a second, and the latency's median and 99th percentile in milliseconds."""
        everything = sorted(latency for lap in self.latencies for latency in lap)
        late = everything[int(len(everything) * 0.99)]
        return statistics.median(self.rates), statistics.median(everything) / 1e6, late / 1e6


async def end(process):
    if process.returncode is None:
        process.kill()
    await process.wait()


async def contest(broker, server, form, other=None):
    """Let the pairs run; every one is proved right first, and in each lap again."""
    pairs = [Pair(broker, delivery, kind, server.program) for delivery in DELIVERIES for kind in contestants(broker)]
    if other is not None:
        pairs += [Pair(broker, delivery, f"bridge in {other}", server.program, other) for delivery in DELIVERIES]
    async with AsyncExitStack() as stack:
        for pair in pairs:
            await pair.start(server.address, stack)
            await pair.send(100)
        order = random.Random(0)
        for _ in range(form.laps):
            order.shuffle(running := list(pairs))
            for pair in running:
                await pair.run(form)
    return pairs


async def emitters(address, form):
    """Microseconds of one emission to one handler, by name of the case: the median of all rounds."""
    from cyevents import Namespace
    from cyevents_bridge import Bridge

    def handler(sender, *, order):
        pass

    plain, bridged = Namespace(), Namespace()
    events = {"without a bridge": plain.event(SUBJECT), "not carried by its bridge": bridged.event("other")}
    events |= {f"carried {delivery}": Namespace().event(SUBJECT) for delivery in DELIVERIES}
    timers = {}
    for name, event in events.items():
        event.connect(handler)
        timers[name] = Timer("emit(1, order=order)", globals={"emit": event.emit, "order": ORDER})
    rounds = {name: [] for name in events}
    async with AsyncExitStack() as stack:
        options = {"prefix": "emitters", "outbox": 10**6}
        bridges = [Bridge(bridged, address, [SUBJECT], **options)]
        for delivery in DELIVERIES:
            namespace = events[f"carried {delivery}"].namespace
            bridges.append(Bridge(namespace, address, [SUBJECT], delivery=delivery, **options))
        for bridge in bridges:
            await stack.enter_async_context(bridge)
        for _ in range(form.laps * 3):
            for name, timer in timers.items():
                gc.collect()
                rounds[name].append(timer.timeit(EMISSIONS) / EMISSIONS * 1e6)
                for bridge in bridges:
                    await bridge.drain()
        assert bridges[0].stats.published == 0
        assert all(bridge.stats.published == form.laps * 3 * EMISSIONS for bridge in bridges[1:])
    return {name: statistics.median(times) for name, times in rounds.items()}


def table(pairs, costs):
    """The figures, as Markdown."""
    yield "| | | | events a second | latency, median | 99 % |"
    yield "|---|---|---|---:|---:|---:|"
    for pair in pairs:
        rate, middle, late = pair.row()
        about = f"{pair.broker} | {pair.delivery} | {pair.kind}"
        yield f"| {about} | {rate:,.0f} | {middle:.2f} ms | {late:.2f} ms |"
    yield ""
    yield "| an `emit` to one handler | costs |"
    yield "|---|---:|"
    for name, cost in costs.items():
        yield f"| {name} | {cost:.2f} µs |"


async def measure(brokers, form, other=None):
    from cyevents_bridge._demo.brokers import SERVERS

    pairs, costs = [], {}
    for broker in brokers:
        async with SERVERS[broker]() as server:
            pairs += await contest(broker, server, form, other)
            costs = costs or await emitters(server.address, form)
    return pairs, costs


def main(arguments=None):
    """Measure, over all brokers if none are named, and print the tables; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("brokers", nargs="*", metavar="BROKER", help=f"{', '.join(CONTESTANTS)} (all)")
    parser.add_argument("--brief", action="store_true", help="only see that every contestant is right")
    parser.add_argument("--other", metavar="PYTHON", help="the interpreter of another environment with a bridge")
    parser.add_argument("--laps", type=int, default=Form.laps, help=f"of each contestant ({Form.laps})")
    options = parser.parse_args(arguments)
    if unknown := set(options.brokers) - CONTESTANTS.keys():
        parser.error(f"no broker is called {', '.join(sorted(unknown))}")
    form = BRIEF if options.brief else Form(laps=options.laps)
    try:
        pairs, costs = asyncio.run(measure(options.brokers or list(CONTESTANTS), form, options.other))
    except ImportError as error:
        print(f"there is nothing to measure: {error}", file=sys.stderr)
        return 2
    servers = ", ".join(f"{pair.broker} by {pair.server}" for pair in {pair.broker: pair for pair in pairs}.values())
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} processors; {servers}")
    print("\n".join(table(pairs, costs)))
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--be"]:
        asyncio.run(be(*sys.argv[2:]))
    else:
        sys.exit(main())
