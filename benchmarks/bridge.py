"""The bridge against the bare client of NATS, between two processes: `python -m benchmarks bridge`.

Each contestant is a pair of processes that lives throughout the run: one publishes the same orders that the other gets.
The bare client does by hand what the bridge does: it encodes and decodes, publishes as many at the same time, fetches
as many at once, acknowledges each, and calls a function. The laps of all are interleaved, in an order that changes.
"""

import asyncio
import json
import random
import statistics
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from . import runs
from .timing import EMISSIONS, Race, quiet, stopwatch

MODES = {"core": "at_most_once", "JetStream": "at_least_once"}
SUBJECT = "order.placed"
ORDER = {"id": "ord-0001", "customer_email": "alice@example.com", "total": 1564, "items": [["Espresso machine", 2]]}
IN_FLIGHT = 128  # as many messages as the bridge publishes at the same time
BATCH = 64  # as many as it fetches at once
PATIENCE = 60  # seconds after which what has not arrived is lost


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


BRIEF = Form(laps=1, many=200, few=20)


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
    """A process with a bridge."""

    def __init__(self, mode, address, ears):
        from cyevents import Namespace
        from cyevents.bridge import Bridge

        self.event = Namespace().event(SUBJECT)
        if ears is not None:
            self.event.connect(lambda number, sent, *, order: ears.hear(number, sent, order), weak=False)
        delivery, prefix = MODES[mode], f"bridged-{mode}"
        self.bridge = Bridge(self.event._namespace, address, [SUBJECT], delivery=delivery, prefix=prefix, outbox=10**6)

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


class Bare:
    """A process with the client alone."""

    def __init__(self, mode, address, ears):
        import msgspec

        self.mode, self.address, self.ears = mode, address, ears
        self.subject, self.stream = f"bare-{mode}.{SUBJECT}", f"bare-{mode}"
        self.encode, self.decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode
        self.room = asyncio.Semaphore(IN_FLIGHT)
        self.tasks = set()

    async def __aenter__(self):
        import nats
        from nats.js import api

        self.client = await nats.connect(self.address)
        self.jetstream = self.client.jetstream()
        if self.mode == "JetStream":
            window = {"duplicate_window": 120, "max_age": 7 * 24 * 3600}  # as the bridge has it
            await self.jetstream.add_stream(name=self.stream, subjects=[f"{self.stream}.>"], **window)
        if self.ears is None:
            return
        if self.mode == "core":
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
        data = self.decode(message.data)
        self.ears.hear(data["number"], data["sent"], data["order"])

    async def fetch(self, name):
        subscription = await self.jetstream.pull_subscribe_bind(consumer=name, stream=self.stream)
        while True:
            try:
                messages = await subscription.fetch(BATCH, timeout=5)
            except TimeoutError:
                continue
            for message in messages:
                await self.arrived(message)
                await message.ack()

    async def publish(self, number):
        body = self.encode({"number": number, "sent": time.monotonic_ns(), "order": ORDER})
        if self.mode == "core":
            await self.client.publish(self.subject, body)
            return
        await self.room.acquire()
        task = asyncio.create_task(self.publish_kept(body, f"{time.monotonic_ns()}-{number}"))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def publish_kept(self, body, identity):
        try:
            await self.jetstream.publish(self.subject, body, headers={"Nats-Msg-Id": identity})
        finally:
            self.room.release()

    async def finish(self):
        await asyncio.gather(*self.tasks)
        await self.client.flush()


KINDS = {"bridge": Bridged, "bare client": Bare}


async def be(role, kind, mode, address):
    """Be a process of a contestant: do what the lines of the standard input say, and answer each with a line."""
    ears = Ears() if role == "receive" else None
    process = KINDS[kind](mode, address, ears)
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

    kind: str
    mode: str
    rates: list[float] = field(default_factory=list)
    latencies: list[list[int]] = field(default_factory=list)

    async def start(self, address, stack):
        self.ends = {}
        for role in ("receive", "publish"):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "benchmarks.bridge", role, self.kind, self.mode, address),
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
            raise RuntimeError(f"{self.kind} over {self.mode}: {role} has ended")
        return json.loads(line)

    async def send(self, count, gap=0):
        """Have events sent; return what was received, and when the first was sent."""
        self.tell("receive", {"count": count})
        await self.answer("receive")
        self.tell("publish", {"count": count, "gap": gap})
        received = await self.answer("receive")
        received |= await self.answer("publish")
        if received["numbers"] != list(range(count)):
            raise AssertionError(f"{self.kind} over {self.mode} has not delivered each event once, and in order")
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


async def contest(address, form):
    """Let the pairs run; every one is proved right first, and in each lap again."""
    pairs = [Pair(kind, mode) for mode in MODES for kind in KINDS]
    async with AsyncExitStack() as stack:
        for pair in pairs:
            await pair.start(address, stack)
            await pair.send(100)
        order = random.Random(0)
        for _ in range(form.laps):
            order.shuffle(running := list(pairs))
            for pair in running:
                await pair.run(form)
    return pairs


async def emitters(address, form):
    """Nanoseconds of one emission to one handler, where it is emitted: a `Race`."""
    from cyevents import Namespace
    from cyevents.bridge import Bridge

    def handler(sender, *, order):
        pass

    plain, bridged = Namespace(), Namespace()
    events = {"no bridge": plain.event(SUBJECT), "a bridge, not carried": bridged.event("other")}
    events |= {mode: Namespace().event(SUBJECT) for mode in MODES}
    for event in events.values():
        event.connect(handler)
    watches = {
        name: stopwatch("emit(sender, order=order)", emit=event.emit, sender=1, order=ORDER)
        for name, event in events.items()
    }
    result = Race()
    async with AsyncExitStack() as stack:
        options = {"prefix": "emitters", "outbox": 10**6}
        bridges = [Bridge(bridged, address, [SUBJECT], **options)]
        for mode, delivery in MODES.items():
            bridges.append(Bridge(events[mode]._namespace, address, [SUBJECT], delivery=delivery, **options))
        for bridge in bridges:
            await stack.enter_async_context(bridge)
        assert events["a bridge, not carried"]._observer is None, "there is more to run than without a bridge"
        for lap in range(form.laps * 3):
            for name, watch in watches.items():
                with quiet():
                    result.record(name, lap, watch(EMISSIONS) / EMISSIONS)
                for bridge in bridges:
                    await bridge.drain()
        assert bridges[0].stats.published == 0
        assert all(bridge.stats.published == form.laps * 3 * EMISSIONS for bridge in bridges[1:])
    return result


def table(pairs, race):
    """The figures, as Markdown."""
    yield "| | | events a second | latency, median | 99 % |"
    yield "|---|---|---:|---:|---:|"
    for pair in pairs:
        rate, middle, late = pair.row()
        yield f"| {pair.mode} | {pair.kind} | {rate:,.0f} | {middle:.2f} ms | {late:.2f} ms |"
    yield ""
    yield "| an `emit` to one handler | costs |"
    yield "|---|---:|"
    for name in race.times:
        yield f"| {f'carried by {name}' if name in MODES else name} | {race.median(name) / 1000:.2f} µs |"


async def measure(form):
    from cyevents.bridge._demo.brokers import NatsServer

    async with NatsServer() as server:
        return await contest(server.address, form), await emitters(server.address, form)


def main(brief=False):
    """Measure, and print the tables; return the exit code."""
    try:
        pairs, race = asyncio.run(measure(BRIEF if brief else Form()))
    except ImportError as error:
        print(f"no bridge to measure: {error}", file=sys.stderr)
        return 2
    print(f"Python {'.'.join(map(str, sys.version_info[:3]))}, {runs.machine()}")
    print("\n".join(table(pairs, race)))
    return 0


if __name__ == "__main__":
    asyncio.run(be(*sys.argv[1:]))
