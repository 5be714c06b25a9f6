"""Everything breaks, and nothing is lost: `python bridge/tests/chaos.py --broker redis`, or a soak: `... --minutes 5`.

One process publishes numbers, at least once; a group of two workers shares them, a listener gets them all. Meanwhile
the broker is killed and started again twice, and a worker ten times (`--kills`). Each process notes what its handler
has finished, where no kill can take that back. At the end every number must be there, in the group and at the listener,
and each that is there twice must be so for a reason. Prints a line of figures; exits with 0 if that is so.
"""

import argparse
import asyncio
import contextlib
import contextvars
import itertools
import json
import logging
import os
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import conftest

WORKERS = 2
WORKER_KILLS = 10
BROKER_KILLS = 2
ACK_WAIT = 2.0  # seconds after which another worker gets what a dead one had
WINDOW = 30.0  # seconds for which ids are remembered: with RabbitMQ by us, and a soak's first quarter is to be longer
PATIENCE = 60  # seconds without anything new, after which what is not there is lost
RECORD = struct.Struct("<dIHQd")
# When a handler had finished; with which number; at which delivery; its place at the broker, and since when it may be.
GROWTH, SLACK = 1.05, 1024  # by how much memory may grow in the second half of a soak, in all and in KiB
PREFIX = "chaos"


# The brokers


class Nats:
    """What is to be known about messages of NATS."""

    server = conftest.Nats

    @staticmethod
    def about(delivery):
        """The delivery of what has arrived; its place, a number of its own; and since when it may be at the broker."""
        metadata = delivery._message.metadata
        return metadata.num_delivered, metadata.sequence.stream, metadata.timestamp.timestamp()

    @staticmethod
    async def left(server):
        """How many messages are not acknowledged yet; and how many dead letters there are."""
        async with server.client() as client:
            stream = client.jetstream()
            waiting = [info.num_pending + info.num_ack_pending for info in await stream.consumers_info(PREFIX)]
            return sum(waiting), (await stream.stream_info(f"{PREFIX}-dead")).state.messages


class Redis:
    """What is to be known about messages of Redis."""

    server = conftest.Redis

    @staticmethod
    def about(delivery):
        milliseconds, number = map(int, delivery._entry.id.split(b"-"))
        return delivery.attempt, (milliseconds << 20) + number, milliseconds / 1000

    @staticmethod
    async def left(server):
        events = f"{{{PREFIX}}}:events"
        async with server.client() as client:
            (group,) = await client.xinfo_groups(events)
            unread = await client.xrange(events, f"({group['last-delivered-id'].decode()}")
            return group["pending"] + len(unread), await client.xlen(f"{{{PREFIX}}}:dead")


class Rabbitmq:
    """What is to be known about messages of RabbitMQ: it gives them neither a number nor a time.

    Nor does it say how often it has delivered one, but that it has: the engine counts from there.
    """

    server = conftest.Rabbitmq

    @staticmethod
    def about(delivery):
        return delivery.attempt, 0, json.loads(delivery.body)["kwargs"]["made"]

    @staticmethod
    async def left(server):
        messages = {queue["name"]: queue["messages"] for queue in json.loads(server.ctl("list_queues", *LISTED))}
        dead = messages.pop(f"{PREFIX}-dead")
        return sum(messages.values()), dead


LISTED = ("name", "messages", "--formatter", "json")


BROKERS = {"nats": Nats, "redis": Redis, "rabbitmq": Rabbitmq}


# The processes


def be(role, address, path, pace):
    """Be one of the processes, until the standard input is closed."""
    from cyevents import Namespace
    from cyevents_bridge import Bridge, OutboxFull

    about = contextvars.ContextVar("about")
    (broker,) = (each for each in BROKERS.values() if each.server.scheme == address.partition(":")[0])

    class Witness(Bridge):
        """Lets the handler know what the broker says about what it gets."""

        async def _receive(self, delivery):
            about.set(broker.about(delivery))
            await super()._receive(delivery)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable(logging.CRITICAL)
    events = Namespace()
    event = events.event("number.made")
    notes = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    async def note(number, *, made):
        await asyncio.sleep(pace)
        os.write(notes, RECORD.pack(time.time(), number, *about.get()))

    options = {"group": "workers"} if role == "worker" else {}
    if role != "publisher":
        event.connect(note, weak=False)
    bridge = Witness(
        events,
        address,
        ["number.*"],
        delivery="at_least_once",
        prefix=PREFIX,
        ack_wait=ACK_WAIT,
        dedup_window=WINDOW,
        backoff=(0.1,) * WORKER_KILLS,  # none of the kills is a number's fault
        flush_timeout=PATIENCE,
        **options,
    )
    with bridge:
        print("ready", flush=True)
        for line in sys.stdin:  # from which number to which, and how many a second, 0 for as fast as can be
            first, end, rate = map(int, line.split())
            begun = time.monotonic()
            for number in range(first, end):
                while True:
                    try:
                        event.emit(number, made=time.time())
                        break
                    except OutboxFull:
                        time.sleep(0.01)
                if rate and number % 10 == 0:
                    time.sleep(max(0, begun + (number - first) / rate - time.monotonic()))
    print(bridge.stats.published, bridge.stats.dropped, flush=True)


class Process:
    """One of them, as its owner sees it."""

    def __init__(self, role, address, path, pace):
        self.role = role
        self.path = path
        self._arguments = [role, address, str(path), str(pace)]
        self.start()

    def start(self):
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--be", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout.readline() == "ready\n", f"{self.role} does not start"

    @property
    def noted(self):
        """How many records it has written."""
        return self.path.stat().st_size // RECORD.size

    @property
    def memory(self):
        """KiB of it that are in memory."""
        return memory_of(self._process.pid)

    def tell(self, *words):
        print(*words, file=self._process.stdin, flush=True)

    def kill(self):
        self._process.kill()
        self._process.communicate()

    def finish(self):
        """End it properly; return what it says last."""
        said, _ = self._process.communicate(timeout=2 * PATIENCE)
        assert self._process.returncode == 0, f"{self.role} ended with {self._process.returncode}"
        return said


def memory_of(pid):
    """KiB of a process, and of those that it has started, as a server's script has the server."""
    lines = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    return sum(int(rss) for one, parent, rss in map(str.split, lines.splitlines()) if str(pid) in (one, parent))


# The account


def account(notes, count, restarts, kills=()):
    """What is wrong with what was noted, and how many were there twice: delivered again, and by a broker that forgot.

    Args:
        notes: the records.
        count: how many numbers there are, from 0 on.
        restarts: when the broker was killed.
        kills: when one of those who have noted this was.
    """
    wrong, redelivered, forgotten = [], 0, 0
    places, seen = {}, {}
    for when, number, delivery, place, since in sorted(notes):
        if places.setdefault(number, place) != place:
            wrong.append(f"{number} is at the broker twice")
        elif number in seen:
            # The broker was killed before it had written down what it was told of this, or before it had said that it
            # has it; or who had it was, before it could tell the broker.
            is_forgotten = any(since <= restart <= when for restart in restarts)
            if delivery > 1 and (is_forgotten or any(seen[number] - ACK_WAIT <= kill <= when for kill in kills)):
                redelivered += 1
            elif delivery > 1:
                wrong.append(f"{number} was delivered again, and nobody had died")
            elif is_forgotten:
                forgotten += 1
            else:
                wrong.append(f"{number} was delivered twice for the first time")
        seen[number] = when
    wrong += [f"{number} is lost" for number in sorted(set(range(count)) - seen.keys())]
    wrong += [f"nobody has made {number}" for number in sorted(seen.keys() - set(range(count)))]
    return wrong, redelivered, forgotten


def read(paths):
    """The records in files."""
    return [record for path in paths for record in RECORD.iter_unpack(whole(path.read_bytes()))]


def whole(data):
    return data[: len(data) // RECORD.size * RECORD.size]


# The program


class Chaos:
    """The processes, within its `with`."""

    def __init__(self, broker, folder, pace):
        self.broker = broker
        place = folder / "broker"
        place.mkdir()
        self.server = broker.server(place)
        self.restarts = []
        self.kills = []
        self.processes = []
        address = self.server.address
        roles = ["publisher", "listener", *["worker"] * WORKERS]
        for number, role in enumerate(roles):
            path = folder / f"{number}-{role}"
            path.touch()
            self.processes.append(Process(role, address, path, pace if role == "worker" else 0))
        self.publisher, self.listener, *self.workers = self.processes

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for process in self.processes:
            process.kill()
        self.server.stop()

    @property
    def handled(self):
        return sum(worker.noted for worker in self.workers)

    def kill_worker(self):
        worker = self.workers[len(self.kills) % WORKERS]
        self.kills.append(time.time())  # what it had comes again after that
        worker.kill()
        worker.start()

    def kill_broker(self):
        self.server.kill()
        self.restarts.append(time.time())  # all that it had came before that, and all that it has again is used after
        time.sleep(0.3)
        self.server.start()

    def wait(self, holds):
        """Wait until something holds, while there is anything new."""
        sizes, moved = None, time.monotonic()
        while not holds():
            now = [process.noted for process in self.processes]
            if now != sizes:
                sizes, moved = now, time.monotonic()
            if time.monotonic() - moved > PATIENCE:
                return
            time.sleep(0.002)

    def break_all(self, count, kills):
        """Have so many numbers made, and break everything meanwhile: a worker so often."""
        steps = kills + 1
        ends = [count * step // steps for step in range(steps + 1)]
        for step, (first, end) in enumerate(itertools.pairwise(ends)):
            self.publisher.tell(first, end, 0)
            if step in (steps // 3, 2 * steps // 3):
                self.kill_broker()
            if step < kills:
                middle = (first + end) // 2
                self.wait(lambda middle=middle: self.handled >= middle)
                self.kill_worker()

    def soak(self, minutes, rate):
        """Have numbers made for so long; return how many, and the memory of each process every second."""
        count = int(minutes * 60 * rate)
        self.publisher.tell(0, count, rate)
        samples = []
        end = time.monotonic() + minutes * 60
        while time.monotonic() < end:
            time.sleep(1)
            samples.append([process.memory for process in self.processes] + [memory_of(self.server.process.pid)])
        return count, samples

    def settle(self, count):
        """Wait until all have been handled and acknowledged; return the number of dead letters, and the last words."""
        self.wait(lambda: self.handled >= count and self.listener.noted >= count)
        last = self.publisher.finish()
        end = time.monotonic() + PATIENCE
        while True:
            waiting, dead = asyncio.run(self.broker.left(self.server))
            if not waiting or time.monotonic() > end:
                break
            time.sleep(0.2)
        return waiting, dead, last.split()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--broker", choices=BROKERS, default="nats", help="over which broker (default: nats)")
    parser.add_argument("--events", type=int, default=100_000, help="how many numbers (default: 100000)")
    parser.add_argument("--pace", type=float, default=0.0005, help="seconds that a worker takes for each")
    parser.add_argument("--kills", type=int, default=WORKER_KILLS, help="of a worker (default: 10)")
    parser.add_argument("--minutes", type=float, help="a soak: nothing is killed, and memory must not grow")
    parser.add_argument("--rate", type=int, default=500, help="of a soak: numbers a second (default: 500)")
    parser.add_argument("--be", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be:
        role, address, path, pace = options.be
        be(role, address, path, float(pace))
        return 0
    begun = time.monotonic()
    wrong = []
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        chaos = stack.enter_context(Chaos(BROKERS[options.broker], Path(name), options.pace))
        count = options.events
        if options.minutes:
            count, samples = chaos.soak(options.minutes, options.rate)
            wrong += judge_memory(samples, [path.name for path in sorted(Path(name).glob("*-*"))] + ["broker"])
        else:
            chaos.break_all(count, options.kills)
        waiting, dead, (published, dropped) = chaos.settle(count)
        figures = []
        for who, processes, kills in (("group", chaos.workers, chaos.kills), ("listener", [chaos.listener], ())):
            notes = read([process.path for process in processes])
            found, redelivered, forgotten = account(notes, count, chaos.restarts, kills)
            wrong += [f"{who}: {each}" for each in found]
            figures.append(f"{who} {len(notes)} handled, {redelivered} redelivered, {forgotten} by a restarted broker")
    if (waiting, dead, int(published), int(dropped)) != (0, 0, count, 0):
        wrong.append(f"{waiting} unacknowledged, {dead} dead letters, {published} published, {dropped} dropped")
    print(*wrong[:20], sep="\n", end="\n" * bool(wrong), file=sys.stderr)
    print(
        f"chaos over {options.broker}: {count} events in {time.monotonic() - begun:.0f} s:"
        f" {len(chaos.restarts)} kills of the broker, {len(chaos.kills)} of a worker; {'; '.join(figures)};"
        f" {'nothing lost' if not wrong else 'FAILED'}",
        flush=True,
    )
    return 1 if wrong else 0


def judge_memory(samples, names):
    """Print the memory of each process in the soak's second and last quarter; return those of ours that have grown."""
    wrong = []
    quarter = len(samples) // 4
    for number, name in enumerate(names):
        values = [sample[number] for sample in samples]
        early, late = statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])
        print(f"{name:12} {early / 1024:8.1f} MiB, then {late / 1024:8.1f} MiB")
        if name != "broker" and late > early * GROWTH + SLACK:
            wrong.append(f"{name} has grown")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
