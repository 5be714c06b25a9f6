"""Races between two threads: delivery to a `Mailbox`, an executor or a loop, and the same written by hand.

Throughput: one thread emits, as fast as it can, and the other one runs the handlers. Latency: the emissions come at
intervals, so the other thread sleeps until one comes. It is the time from before the emission until the handler runs.
"""

import asyncio
import logging
import queue
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat
from time import perf_counter_ns

from .cases import IncorrectResult, Sender
from .contestants import load_contestants
from .timing import FEWEST, Race, gc_disabled, race

COUNTS = (1, 10)  # handlers
EMISSIONS = 10_000  # per round, so that the threads of a Python with a GIL take turns within it
INTERVAL = 0.0002  # seconds between the emissions whose latency is measured
PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
TIMEOUT = 10  # seconds
BY_HAND = {"mailbox": "SimpleQueue", "executor": "submit", "loop": "call_soon_threadsafe"}  # by the kind of target

logger = logging.getLogger(__name__)


class HandWritten:
    """What a program writes that knows neither events nor mailboxes: a list of handlers, and a queue of calls."""

    def __init__(self, size):
        self.handlers = {}
        self.queue = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def connect(self, name, handler):
        self.handlers.setdefault(name, []).append(handler)

    def emit(self, name, sender, /, *args, **kwargs):
        for handler in self.handlers.get(name, ()):
            self.queue.put((handler, sender, args, kwargs))

    def work(self):
        while True:
            call = self.queue.get()
            if call is None:
                return
            handler, sender, args, kwargs = call
            try:
                handler(sender, *args, **kwargs)
            except Exception:
                logger.exception("handler %r failed", handler)

    def close(self):
        self.queue.put(None)
        self.thread.join()


class Mailboxes:
    """An event whose handlers are connected via a mailbox, and a thread that drains it when it is woken."""

    def __init__(self, package, size):
        self.event = package.Event("tick")
        self.ready = queue.SimpleQueue()
        self.mailbox = package.Mailbox(size, wakeup=partial(self.ready.put, True))
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def connect(self, name, handler):
        self.event.connect(handler, via=self.mailbox)

    def work(self):
        while self.ready.get():
            self.mailbox.drain()

    def close(self):
        self.ready.put(False)
        self.thread.join()


class ExecutorByHand:
    """A list of handlers, which an executor calls in a thread of its own. What they raise is in the futures."""

    def __init__(self, size):
        self.handlers = {}
        self.pool = ThreadPoolExecutor(1)
        self.submit = self.pool.submit
        self.thread = self.pool.submit(threading.current_thread).result()

    def connect(self, name, handler):
        self.handlers.setdefault(name, []).append(handler)

    def emit(self, name, sender, /, *args, **kwargs):
        for handler in self.handlers.get(name, ()):
            self.submit(handler, sender, *args, **kwargs)

    def close(self):
        self.pool.shutdown()


class LoopByHand(ExecutorByHand):
    """A list of handlers, which an asyncio loop in another thread calls. It reports what they raise."""

    def __init__(self, size):
        self.handlers = {}
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def submit(self, handler, sender, /, *args, **kwargs):
        self.loop.call_soon_threadsafe(partial(handler, sender, *args, **kwargs))

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Delivered:
    """An event whose handlers are connected via an executor or a loop."""

    def __init__(self, package, by_hand, size):
        self.event = package.Event("tick")
        self.target = by_hand(size)
        self.thread = self.target.thread
        self.via = getattr(self.target, "loop", None) or self.target.pool
        self.close = self.target.close

    def connect(self, name, handler):
        self.event.connect(handler, via=self.via)


def last_handler():
    """Return a handler, and functions that set for how many calls it waits and that wait for these."""
    left = 0
    reached = threading.Event()

    def handler(sender, *, price):
        nonlocal left
        left -= 1
        if not left:
            reached.set()

    def expect(count):
        nonlocal left
        left = count
        reached.clear()

    def wait():
        if not reached.wait(TIMEOUT):
            raise IncorrectResult(f"{left} calls are missing")

    return handler, expect, wait


def makers(kind="mailbox"):
    """Return the functions that make a contestant, by its name, for a number of calls that may wait."""
    by_hand = {"mailbox": HandWritten, "executor": ExecutorByHand, "loop": LoopByHand}[kind]
    made = {BY_HAND[kind]: by_hand}
    if "cyevents" in load_contestants()[0]:
        package = load_contestants()[0]["cyevents"].library
        made["cyevents"] = partial(Mailboxes, package) if kind == "mailbox" else partial(Delivered, package, by_hand)
    return made


def handler(sender, *, price):
    pass


def new_handlers(count):
    """Return handlers that are alike."""
    return [type(handler)(handler.__code__, handler.__globals__) for _ in range(count)]


def emission_of(contestant):
    """Return the statement that emits, and the names that it uses."""
    if hasattr(contestant, "emit"):
        return 'emit("tick", sender, price=1)', {"emit": contestant.emit, "sender": Sender()}
    return "emit(sender, price=1)", {"emit": contestant.event.emit, "sender": Sender()}


def verify(name, contestant, handlers=3, emissions=4):
    """Check that each handler is called once for each emission, in order, in the other thread."""
    calls, reached = [], threading.Event()
    kept = []
    for number in range(handlers):

        def record(sender, *, price, number=number):
            calls.append((number, price, sender, threading.get_ident()))
            if len(calls) == handlers * emissions:
                reached.set()

        kept.append(record)
        contestant.connect("tick", record)
    sender = Sender()
    for price in range(emissions):
        if hasattr(contestant, "emit"):
            contestant.emit("tick", sender, price=price)
        else:
            contestant.event.emit(sender, price=price)
    reached.wait(TIMEOUT)
    expected = [
        (number, price, sender, contestant.thread.ident) for price in range(emissions) for number in range(handlers)
    ]
    if calls != expected:
        raise IncorrectResult(f"{name}: {len(calls)} calls, or in another order, or in another thread")


def verify_all(kind="mailbox"):
    """Check all contestants; return those that are correct, and by name why others are not."""
    correct, incorrect = {}, {}
    for name, make in makers(kind).items():
        contestant = make(100)
        try:
            verify(name, contestant)
            correct[name] = make
        except Exception as error:
            incorrect[name] = f"{type(error).__name__}: {error}"
        finally:
            contestant.close()
    return correct, incorrect


def throughput_watch(contestant, handlers, last):
    """Return the stopwatch of emissions until the last handler has been called for the last one."""
    for each in handlers:
        contestant.connect("tick", each)
    handler, expect, wait = last
    contestant.connect("tick", handler)
    statement, names = emission_of(contestant)
    scope = {"repeat": repeat, "clock": perf_counter_ns, "expect": expect, "wait": wait, **names}
    exec(
        "def run(count):\n    expect(count)\n    start = clock()\n"
        f"    for _ in repeat(None, count):\n        {statement}\n    wait()\n    return clock() - start",
        scope,
    )
    return scope["run"]


def throughput_race(handlers, seconds, emissions=EMISSIONS, fewest=FEWEST, kind="mailbox"):
    """Race emissions from one thread to handlers in another; return the race, and who was not correct and why."""
    correct, incorrect = verify_all(kind)
    contestants = {name: make(handlers * emissions) for name, make in correct.items()}
    kept = new_handlers(handlers - 1)
    lasts = {name: last_handler() for name in correct}
    try:
        watches = {name: throughput_watch(one, kept, lasts[name]) for name, one in contestants.items()}
        return race(watches, seconds, emissions=emissions, fewest=fewest), incorrect
    finally:
        for contestant in contestants.values():
            contestant.close()


def latencies(contestant, seen, count, interval=INTERVAL):
    """Emit at intervals; return the nanoseconds until the handler ran, sorted."""
    seen.clear()
    statement, names = emission_of(contestant)
    scope = {"sleep": time.sleep, "clock": perf_counter_ns, "repeat": repeat, "interval": interval, **names}
    exec(
        "def run(count):\n    for _ in repeat(None, count):\n        sleep(interval)\n"
        f"        {statement.replace('price=1', 'price=clock()')}",
        scope,
    )
    scope["run"](count)
    deadline = time.monotonic() + TIMEOUT
    while len(seen) < count:
        time.sleep(0.001)
        if time.monotonic() > deadline:
            raise IncorrectResult(f"{count - len(seen)} calls are missing")
    return sorted(seen)


def latency_races(laps, count, interval=INTERVAL, kind="mailbox"):
    """Return races of the latency by percentile, interleaved in laps of `count` emissions of each contestant."""
    races = {f"{kind} latency, {name}": Race() for name in PERCENTILES}
    correct, _ = verify_all(kind)
    contestants = {name: make(count) for name, make in correct.items()}
    seen = {name: [] for name in correct}
    kept = []
    for name, contestant in contestants.items():

        def note(sender, *, price, clock=perf_counter_ns, append=seen[name].append):
            append(clock() - price)

        kept.append(note)
        contestant.connect("tick", note)
    order = random.Random(0)
    names = list(contestants)
    try:
        with gc_disabled():
            for lap in range(-1, laps):  # the first lap warms up
                order.shuffle(names)
                for name in names:
                    found = latencies(contestants[name], seen[name], count if lap >= 0 else 10, interval)
                    for percentile, fraction in PERCENTILES.items():
                        if lap >= 0:
                            races[f"{kind} latency, {percentile}"].record(
                                name, lap, found[min(len(found) - 1, int(fraction * len(found)))]
                            )
    finally:
        for contestant in contestants.values():
            contestant.close()
    return races
