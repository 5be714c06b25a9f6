"""The tail: how long the slowest of many emissions take, quiet and while another thread connects and disconnects.

Each emission is timed by itself, with garbage collection on, and counted in a histogram of nanoseconds. The time that
the clock itself takes, which is measured in the same way, is subtracted. Also measured: what an emission allocates, and
how many garbage collections the emissions start.
"""

import gc
import random
import sys
import threading
import time
import tracemalloc
from itertools import accumulate, repeat
from time import perf_counter_ns

from . import contestants as c
from .cases import Case, CaseSetup, plain
from .contestants import load_contestants
from .timing import Race, stopwatch

HANDLERS = 10
EMISSIONS = 10_000_000
PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "p99.99": 0.9999}
SLICE = 10_000  # emissions of one contestant in a row while it is quiet
PAUSE = 0.0001  # seconds between the changes of the other thread, which else would keep the GIL for its 5 ms
FEW = ("the floor", "cyevents", "cyevents (pure)", "bare loop", "hand-written", "atom", "blinker")  # of a quick run
CLOCK = "the clock"


class Histogram:
    """How often emissions took each number of nanoseconds."""

    LIMIT = 1 << 16

    def __init__(self):
        self.counts = [0] * self.LIMIT
        self.slow = []  # all times over the limit

    def percentile(self, fraction):
        """Return the least time that this fraction of the emissions did not exceed."""
        place = fraction * (sum(self.counts) + len(self.slow))
        for taken, below in enumerate(accumulate(self.counts)):
            if below >= place and below:
                return taken
        below = sum(self.counts)
        return sorted(self.slow)[max(0, min(len(self.slow), round(place - below)) - 1)]


def timed_loop(statement, **names):
    """Return a function that times each of many runs of a statement by itself, in a histogram."""
    parameters = "".join(f", {name}={name}" for name in names)
    source = (
        f"def run(count, histogram, repeat=repeat, clock=clock, limit=limit{parameters}):\n"
        "    counts, slow = histogram.counts, histogram.slow\n"
        "    for _ in repeat(None, count):\n"
        "        start = clock()\n"
        f"        {statement}\n"
        "        taken = clock() - start\n"
        "        if taken < limit:\n"
        "            counts[taken] += 1\n"
        "        else:\n"
        "            slow.append(taken)\n"
    )
    scope = {"repeat": repeat, "clock": perf_counter_ns, "limit": Histogram.LIMIT, **names}
    exec(source, scope)
    return scope["run"]


class Changer:
    """A thread that connects a handler and disconnects it, again and again, inside a `with` block."""

    def __init__(self, contestant, emitter):
        source = (
            "def change():\n"
            f"    {contestant.connect_statement}\n"
            "    pause()\n"
            f"    {contestant.disconnect_statement}\n"
            "    pause()\n"
        )
        scope = {
            "connect": contestant.get_connect(emitter),
            "disconnect": contestant.get_disconnect(emitter),
            "handler": plain(),
            "pause": lambda: time.sleep(PAUSE),
        }
        exec(source, scope)
        self.change = scope["change"]
        self.changes = 0
        self.error = None

    def work(self):
        try:
            while not self.stopping:
                self.change()
                self.changes += 2
                self.started.set()
        except Exception as error:
            self.error = error
            self.started.set()

    def __enter__(self):
        self.stopping = False
        self.started = threading.Event()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
        self.started.wait()
        return self

    def __exit__(self, *exc_info):
        self.stopping = True
        self.thread.join()
        if self.error is not None:
            raise self.error


class Tail:
    """The measurement of one contestant."""

    def __init__(self, contestant, emissions, laps, seconds):
        self.contestant = contestant
        self.stage = CaseSetup(Case("plain", HANDLERS))
        self.emitter = self.stage.connect_all(contestant)
        self.statement, emit = self.stage.get_emission(contestant, self.emitter)
        self.stage.verify(contestant, self.statement, emit)
        names = {"emit": emit, "sender": self.stage.sender}
        few = stopwatch(self.statement, **names)(50) / 50
        self.per_lap = max(1, int(min(emissions, seconds * 1e9 / few) / laps))
        self.run = timed_loop(self.statement, **names)
        self.changer = None
        if contestant.name != "the floor":  # whose handlers do not change
            self.changer = Changer(contestant, self.emitter)
        self.collections = 0


def selection(everything):
    """Return the contestants that support the case and changes."""
    present = load_contestants()[0]
    able = {c.PLAIN, c.ONE_BY_ONE}
    chosen = [one for name, one in present.items() if able <= one.abilities or name in ("the floor", "bare loop")]
    return [one for one in chosen if everything or one.name in FEW]


def measure(emissions=EMISSIONS, laps=20, seconds=20, everything=True):
    """Measure the tails; return the races by name, and by contestant why it could not be measured.

    Each contestant has up to `emissions` in each state, fewer if they would take longer than `seconds`.
    """
    races = {f"tail, {name}": Race() for name in PERCENTILES}
    for name in ("clock", "emissions", "changes a second"):
        races[f"tail, {name}"] = Race()
    failed = {}
    tails = {one.name: Tail(one, emissions, laps, seconds) for one in selection(everything)}
    clock = timed_loop("pass")
    order = random.Random(0)
    gc.collect()
    for lap in range(-1, laps):  # the first lap warms up
        histograms = {name: Histogram() for name in (CLOCK, *tails)}
        measure_quiet(tails, clock, histograms, order, SLICE if lap < 0 else None)
        for name, tail in tails.items():
            if tail.changer is None or name in failed:
                continue
            label = f"{name}, changing"
            histograms[label] = Histogram()
            try:
                start, before = time.perf_counter(), tail.changer.changes
                with tail.changer:
                    tail.run(SLICE if lap < 0 else tail.per_lap, histograms[label])
                rate = (tail.changer.changes - before) / (time.perf_counter() - start)
            except Exception as error:  # of a library that is not thread-safe
                failed[name] = f"{type(error).__name__}: {error}"
                del histograms[label]
                for race in races.values():
                    race.times.pop(label, None)
            else:
                if lap >= 0:
                    races["tail, changes a second"].record(name, lap, rate)
        if lap < 0:
            continue
        overhead = histograms[CLOCK].percentile(0.5)
        races["tail, clock"].record(CLOCK, lap, overhead)
        for name, histogram in histograms.items():
            for percentile, fraction in PERCENTILES.items():
                races[f"tail, {percentile}"].record(name, lap, max(1, histogram.percentile(fraction) - overhead))
    totals = {name: tail.per_lap * laps for name, tail in tails.items()}
    for name, total in totals.items():
        races["tail, emissions"].record(name, 0, total)
    races.update(measure_allocations(tails, totals))
    for tail in tails.values():
        tail.contestant.drop(tail.emitter)
    return races, failed


def measure_quiet(tails, clock, histograms, order, at_most):
    """Run all emissions of one lap in slices, contestants interleaved, and count the collections that they start."""
    left = {name: min(tail.per_lap, at_most or tail.per_lap) for name, tail in tails.items()}
    left[CLOCK] = max(left.values())
    collections = 0

    def count(phase, info):
        nonlocal collections
        collections += phase == "start"

    gc.callbacks.append(count)
    try:
        while left:
            names = list(left)
            order.shuffle(names)
            for name in names:
                number = min(SLICE, left[name])
                collections = 0
                (clock if name == CLOCK else tails[name].run)(number, histograms[name])
                if name != CLOCK and not at_most:
                    tails[name].collections += collections
                left[name] -= number
                if not left[name]:
                    del left[name]
    finally:
        gc.callbacks.remove(count)


def measure_allocations(tails, emissions):
    """Return races of what an emission allocates and of the collections that a million of them start."""
    blocks, memory, collections = Race(), Race(), Race()
    for name, tail in tails.items():
        blocks.record(name, 0, blocks_in_use(tail.contestant))
        memory.record(name, 0, peak_bytes(tail))
        collections.record(name, 0, tail.collections * 1e6 / emissions[name])
    return {"tail, blocks": blocks, "tail, bytes": memory, "tail, collections": collections}


def blocks_in_use(contestant):
    """Return how many more blocks of memory are in use inside a handler than if it were called by itself."""
    seen = []
    blocks = sys.getallocatedblocks

    def probe(sender):
        seen[0] = blocks()

    seen.append(0)
    stage = CaseSetup(Case("plain", HANDLERS))
    stage.handlers[HANDLERS // 2] = probe
    emitter = stage.connect_all(contestant)
    statement, emit = stage.get_emission(contestant, emitter)
    names = {"seen": seen, "blocks": blocks, "sender": stage.sender}
    results = []
    for code, function in (("emit(sender)", probe), (statement, emit)):
        scope = {**names, "emit": function}
        exec(f"def once():\n    before = blocks()\n    {code}\n    return seen[0] - before", scope)
        results.append(min(scope["once"]() for _ in range(20)))
    contestant.drop(emitter)
    return results[1] - results[0]


def peak_bytes(tail):
    """Return how many bytes an emission has allocated at its peak, by tracemalloc."""
    scope = {
        "emit": tail.stage.get_emission(tail.contestant, tail.emitter)[1],
        "sender": tail.stage.sender,
        "traced": tracemalloc.get_traced_memory,
        "reset": tracemalloc.reset_peak,
    }
    results = []
    tracemalloc.start()
    try:
        for statement in ("pass", tail.statement):
            exec(
                f"def once():\n    reset()\n    before = traced()[0]\n    {statement}\n    return traced()[1] - before",
                scope,
            )
            results.append(min(scope["once"]() for _ in range(20)))
    finally:
        tracemalloc.stop()
    return max(0, results[1] - results[0])
