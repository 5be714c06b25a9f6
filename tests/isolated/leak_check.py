"""Check whether operations leak: each scenario repeats one, and its gauges must not grow.

A scenario is a generator. It prepares, yields an operation (a function or a coroutine function), and then yields the
objects whose references are also counted. After the measurement everything it holds is released, and then no object of
the package may exist that did not exist before.

The operations run in batches, and the smallest growth in a batch counts: filling or emptying a cache happens once, but
a leak grows in every batch.

A program with scenarios ends in `sys.exit(main())`. Its arguments are the number of operations and names of scenarios.
"""

import asyncio
import contextlib
import gc
import inspect
import logging
import os
import sys
import time
import tracemalloc
from array import array
from collections import Counter

import cyevents
from cyevents import ANY, Cancelled, Event, Namespace

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()
DEFAULT = 1_000_000
BATCHES = 4
TRACED = 20  # under tracemalloc, one operation in this many
LIMITS = {  # how much the smallest growth in a batch may differ from zero
    "all references": 20,
    "references": 10,
    "blocks": 10,
    "objects": 5,
    "garbage": 10,
    "bytes": 1000,
    "resident": 4 << 20,
}
# CPython's cache of attributes keeps the names that were looked up last. Names made at run time fill it slowly.
clear_caches = getattr(sys, "_clear_internal_caches", None) or sys._clear_type_cache
scenarios = {}


def scenario(function=None, *, cost=1, warm=100, cyclic=False):
    """Register a scenario.

    `cost` is its cost relative to an emission: it runs that many times less often. `warm` operations fill every cache.
    With `cyclic`, operations may make reference cycles, and the garbage collector runs.
    """

    def register(function):
        function.cost, function.warm, function.cyclic = cost, max(warm // cost, 10), cyclic or FREE_THREADED
        scenarios[function.__name__] = function
        return function

    return register if function is None else register(function)


def gauges():
    """Return the gauges by name, without those that this interpreter lacks."""
    readers = {"objects": lambda watched: len(gc.get_objects())}
    if hasattr(sys, "gettotalrefcount"):
        readers["all references"] = lambda watched: sys.gettotalrefcount()
    if sys.getallocatedblocks():  # zero if each allocation is malloc's
        readers["blocks"] = lambda watched: sys.getallocatedblocks()
    return readers


def resident():
    """Return the bytes of memory in use, if the system reports them."""
    with contextlib.suppress(OSError), open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def of_the_package():
    """Return how many objects of each type of the package the collector finds."""
    gc.collect()
    types = Counter(type(each) for each in gc.get_objects())
    return Counter({cls.__qualname__: n for cls, n in types.items() if str(cls.__module__).split(".")[0] == "cyevents"})


class Measurement:
    """The run of one scenario, and its measurements."""

    def __init__(self, function, operations):
        self.name = function.__name__
        self.warm = function.warm
        self.cyclic = function.cyclic
        self.operations = max(operations // function.cost, 50)
        self.growth = {}
        self.begun = time.perf_counter()
        before = of_the_package()
        with asyncio.Runner() as runner:
            self.loop = runner.get_loop()
            prepared = function()
            yielded = next(prepared)
            self.operation, *self.watched = yielded if type(yielded) is tuple else (yielded,)
            self.watched += [None, False, True, ANY, Cancelled, Event, Namespace]
            self.measure()
            del self.operation, self.watched, yielded
            next(prepared, None)
            del prepared
        self.left = of_the_package() - before
        self.seconds = time.perf_counter() - self.begun

    def measure(self):
        """Run the operation and record what grows."""
        size = max(self.operations // (BATCHES + 1), 10)
        readers = gauges()
        width = len(readers) + 1 + len(self.watched)
        readings = array("q", bytes(8 * width * (BATCHES + 1)))  # readings create no objects
        self.batch(max(size, self.warm))
        self.batch(self.warm)
        begin = 0
        for number in range(BATCHES + 1):
            garbage = self.batch(size) if number else 0
            at = number * width
            for reader in readers.values():
                readings[at] = reader(self.watched)
                at += 1
            readings[at] = garbage
            for watched in self.watched:
                at += 1
                readings[at] = sys.getrefcount(watched)
            if not number:
                begin = resident()
        self.growth["resident"] = resident() - begin
        rows = [readings[i : i + width] for i in range(0, len(readings), width)]
        steps = [[b - a for a, b in zip(*pair, strict=True)] for pair in zip(rows, rows[1:], strict=False)]
        least = [min(column, key=abs) for column in zip(*steps, strict=True)]
        for name, growth in zip(readers, least, strict=False):
            self.growth[name] = growth
        if not self.cyclic:
            self.growth["garbage"] = min(row[len(readers)] for row in rows[1:])
        self.growth["references"] = max(least[len(readers) + 1 :], key=abs)
        self.trace(max(size // TRACED, 10))

    def trace(self, size):
        """Measure the bytes that Python allocates in a short run, because tracing is slow."""
        readings = array("q", bytes(8 * (BATCHES + 1)))
        tracemalloc.start()
        try:
            self.batch(max(size, self.warm))
            for number in range(BATCHES + 1):
                if number:
                    self.batch(size)
                readings[number] = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        self.growth["bytes"] = min((b - a for a, b in zip(readings, readings[1:], strict=False)), key=abs)

    def batch(self, size):
        """Repeat the operation, and return how much garbage it leaves for the collector."""
        gc.collect()
        if not self.cyclic:
            gc.disable()
        try:
            if inspect.iscoroutinefunction(self.operation):
                self.loop.run_until_complete(repeat(self.operation, size))
            else:
                operation = self.operation
                for _ in range(size):
                    operation()
        finally:
            gc.enable()
        clear_caches()
        return gc.collect()

    @property
    def leaks(self):
        """Return what has grown or remains."""
        grown = [name for name, growth in self.growth.items() if abs(growth) > LIMITS[name]]
        return grown + [f"{n} {name} left" for name, n in self.left.items()]

    def __str__(self):
        grown = ", ".join(f"{name} {growth:+,}" for name, growth in self.growth.items())
        verdict = f"LEAKS {', '.join(self.leaks)}" if self.leaks else "flat"
        return f"{self.name}: {verdict} ({self.operations:,} operations, {self.seconds:.1f} s: {grown})"


async def repeat(operation, size):
    """Await the operation repeatedly, then let the loop finish what remains."""
    for _ in range(size):
        await operation()
    for _ in range(5):
        await asyncio.sleep(0)


# What the programs use


class Error(Exception):
    pass


def echo(sender, *args, **kwargs):
    return sender


def nothing(sender, *args, **kwargs):
    pass


def refuse(sender, *args, **kwargs):
    return False


def fail(sender, *args, **kwargs):
    raise Error


def make_function():
    return lambda sender, **kwargs: sender


def event_for(*handlers, **options):
    """Return an event with these handlers, in this order."""
    event = Event("x")
    for handler in handlers:
        event.connect(handler, **options)
    return event


def main():
    """Run the scenarios named on the command line, or all, with the given number of operations."""
    arguments = sys.argv[1:]
    operations = int(arguments.pop(0).replace("_", "")) if arguments and arguments[0][0].isdigit() else DEFAULT
    print(f"core {cyevents.backend}, Python {sys.version.split()[0]}, {operations:,} operations", flush=True)
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # asyncio's debug mode logs slow callbacks
    gc.collect()
    gc.freeze()  # ignores all imported objects in later collections
    leaking = 0
    for name in arguments or scenarios:
        measurement = Measurement(scenarios[name], operations)
        if measurement.leaks:  # threads and free-threaded Pythons may release objects late: a real leak appears again
            measurement = Measurement(scenarios[name], operations)
        print(measurement, flush=True)
        leaking += bool(measurement.leaks)
    return f"{leaking} scenarios leak" if leaking else 0
