"""Races of awaited emissions, with handlers that suspend and handlers that do not, under asyncio and uvloop."""

import asyncio
import importlib
import sys
from time import perf_counter_ns

from .contestants import load_contestants
from .timing import Race, race

EAGER = sys.version_info >= (3, 12)
COUNTS = (1, 10, 100)


class Counter:
    """Counts the handlers that have finished."""

    done = 0


async def not_suspending(sender, **kwargs):
    Counter.done += 1
    return 1


async def suspending(sender, **kwargs):
    await asyncio.sleep(0)
    Counter.done += 1
    return 1


def copies(function, count):
    """Return `count` functions with the same code."""
    kind = type(function)
    return [kind(function.__code__, function.__globals__, function.__name__) for _ in range(count)]


def cyevents(package):
    def make_emit(handlers):
        event = package.Event("benchmark")
        for handler in handlers:
            event.connect(handler)
        return event.emit_async

    return make_emit


def gather(handlers):
    async def emit(sender):
        return await asyncio.gather(*[handler(sender) for handler in handlers])

    return emit


def eager_tasks(handlers):
    """Make the fastest hand-written emission from Python 3.12 on."""
    Task = asyncio.Task

    async def emit(sender):
        loop = asyncio.get_running_loop()
        tasks = [Task(handler(sender), loop=loop, eager_start=True) for handler in handlers]
        results = []
        for task in tasks:
            result = task.result() if task.done() else await task
            if result is not None:
                results.append(result)
        return results

    return emit


def blinker(handlers):
    signal = importlib.import_module("blinker").Signal()
    for handler in handlers:
        signal.connect(handler)
    return signal.send_async


def django(handlers):
    signal = importlib.import_module("django.dispatch").Signal()
    for handler in handlers:
        signal.connect(handler)
    return signal.asend


def pyee(handlers):
    emitter = importlib.import_module("pyee.asyncio").AsyncIOEventEmitter()
    for handler in handlers:
        emitter.add_listener("benchmark", handler)

    async def emit(sender):
        emitter.emit("benchmark", sender)
        await emitter.wait_for_complete()

    return emit


def pymitter(handlers):
    emitter = importlib.import_module("pymitter").EventEmitter()
    for handler in handlers:
        emitter.on("benchmark", handler)

    def emit(sender):
        return emitter.emit_async("benchmark", sender)

    return emit


def dust_riven(handlers):
    signal = importlib.import_module("dust_riven").Signal()
    for handler in handlers:
        signal.connect(handler)

    async def emit(sender):
        return await signal.emit_async(sender)

    return emit


def contestants():
    """Return by name the functions that make an emission for handlers, and by name why others are absent."""
    present, missing = load_contestants()
    absent = dict(missing)
    chosen = {}
    for name in ("cyevents", "cyevents (pure)"):
        if name in present:
            chosen[name] = cyevents(present[name].library)
    if EAGER:
        chosen["eager tasks"] = eager_tasks
    else:
        absent["eager tasks"] = "from Python 3.12 on"
    chosen["asyncio.gather"] = gather
    peers = {
        "blinker": ("blinker send_async", blinker),
        "Django": ("Django asend", django),
        "pyee": ("pyee asyncio", pyee),
        "pymitter": ("pymitter emit_async", pymitter),
        "dust-riven": ("dust-riven emit_async", dust_riven),
    }
    for library, (name, make_emit) in peers.items():
        if library in present:
            chosen[name] = make_emit
    return chosen, absent


def loops():
    """Return loop factories by name."""
    factories = {"asyncio": asyncio.new_event_loop}
    try:
        factories["uvloop"] = importlib.import_module("uvloop").new_event_loop
    except ImportError:
        pass
    return factories


def verify(name, loop, emit, count):
    """Check that all handlers have finished when an awaited emission ends."""

    async def once():
        Counter.done = 0
        await emit("sender")
        return Counter.done

    done = loop.run_until_complete(once())
    if done != count:
        raise AssertionError(f"{name} ran {done} of {count} async handlers")


def stopwatch(loop, emit):
    """Return a function that awaits `count` emissions in a loop and returns the nanoseconds that they took."""

    async def emissions(count):
        start = perf_counter_ns()
        for _ in range(count):
            await emit("sender")
        return perf_counter_ns() - start

    return lambda count: loop.run_until_complete(emissions(count))


def async_race(loop_name, suspends, count, seconds, sittings=2):
    """Race the contestants that can await handlers.

    Returns the `Race`, by contestant why it was not correct, and by contestant why it is absent.
    """
    chosen, absent = contestants()
    incorrect = {}
    result = Race()
    for _ in range(sittings):
        loop = loops()[loop_name]()
        handlers = copies(suspending if suspends else not_suspending, count)
        watches = {}
        try:
            for name, make_emit in chosen.items():
                try:
                    emit = make_emit(handlers)
                    verify(name, loop, emit, count)
                    watches[name] = stopwatch(loop, emit)
                except Exception as error:
                    incorrect[name] = f"{type(error).__name__}: {error}"
            race(watches, seconds / sittings, into=result, favourites=("cyevents", "eager tasks", "asyncio.gather"))
        finally:
            loop.close()
    return result, incorrect, absent
