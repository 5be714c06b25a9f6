"""Timing: a thousand runs of a statement per round, contestants interleaved, garbage collection off."""

import gc
import random
import statistics
from contextlib import contextmanager
from itertools import repeat
from time import perf_counter, perf_counter_ns

EMISSIONS = 1000  # per round
LONGEST = 0.02  # seconds per round at most: slower contestants emit less often per round
FEWEST = 5  # laps of each contestant at least
FEWEST_OF_OTHERS = 3  # where there are favourites


def stopwatch(statement, **names):
    """Return a function that runs a statement `count` times and returns the nanoseconds that it took.

    The statement is compiled into a loop of its own. So only the loop is timed with it (about 10 ns), and the
    interpreter specialises the loop for this contestant alone.
    """
    parameters = "".join(f", {name}={name}" for name in names)
    body = "\n        ".join(statement.splitlines())
    source = (
        f"def run(count, repeat=repeat, clock=clock{parameters}):\n"
        f"    start = clock()\n    for _ in repeat(None, count):\n        {body}\n    return clock() - start"
    )
    scope = {"repeat": repeat, "clock": perf_counter_ns, **names}
    exec(source, scope)
    return scope["run"]


@contextmanager
def gc_disabled():
    """Disable garbage collection inside a `with` block, after a full collection."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()


class Race:
    """The times of interleaved contestants, in nanoseconds per emission, by contestant and lap."""

    def __init__(self):
        self.times = {}  # name: lap: nanoseconds

    def record(self, name, lap, nanoseconds):
        self.times.setdefault(name, {})[lap] = nanoseconds

    def median(self, name):
        """Return the median of a contestant's laps."""
        return statistics.median(self.times[name].values())

    def minimum(self, name):
        """Return a contestant's fastest lap."""
        return min(self.times[name].values())

    def ratio(self, name, other, which=statistics.median):
        """Return how many times longer `name` takes than `other`: the median of the ratios within each lap."""
        ours, theirs = self.times[name], self.times[other]
        return which([ours[lap] / theirs[lap] for lap in ours.keys() & theirs.keys()])

    def __contains__(self, name):
        return name in self.times


def race(watches, seconds, into=None, emissions=EMISSIONS, fewest=FEWEST, favourites=(), per=1):
    """Time stopwatches by name, interleaved, for `seconds` in all; return the `Race`.

    Each contestant has a share of the time, and misses further laps when it is used up, but never the first few.
    Favourites, whose ratios must be exact, have a share three times as large, and more of these first laps. The time of
    one run of a statement is divided by `per`.
    """
    result = Race() if into is None else into
    counts = {}
    for name, watch in watches.items():  # warm up, and find out how many emissions fit in a round
        few = watch(1)
        if few < 1e6:
            few = watch(8) / 8
        counts[name] = max(1, min(emissions, int(LONGEST * 1e9 / max(few, 1))))
        if counts[name] > 1:
            watch(counts[name] // 4)
    weights = {name: 3 if name in favourites else 1 for name in watches}
    shares = {name: seconds * weight / sum(weights.values()) for name, weight in weights.items()}
    least = {
        name: fewest if name in favourites or not favourites else min(fewest, FEWEST_OF_OTHERS) for name in watches
    }
    spent = dict.fromkeys(watches, 0.0)
    names = list(watches)
    order = random.Random(0)
    first = lap = max((max(laps) + 1 for laps in result.times.values()), default=0)
    with gc_disabled():
        while True:
            running = [name for name in names if spent[name] < shares[name] or lap - first < least[name]]
            if not running:
                return result
            order.shuffle(running)
            for name in running:
                start = perf_counter()
                result.record(name, lap, watches[name](counts[name]) / counts[name] / per)
                spent[name] += perf_counter() - start
            lap += 1
