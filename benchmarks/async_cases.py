"""Races of awaited emissions under asyncio and uvloop: handlers that suspend, that do not, and sync ones."""

import asyncio
import importlib.util
import logging
import sys
from time import perf_counter_ns

from .contestants import load_contestants
from .timing import FEWEST, Race, race

FAVOURITES = ("cyevents", "cyevents emit", "eager tasks", "asyncio.gather", "blinker send_async")
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


def sync(sender, **kwargs):
    Counter.done += 1
    return 1


# What the handlers do, and whether each has a priority of its own.
KINDS = {
    "through": (not_suspending, False),
    "suspending": (suspending, False),
    "priorities through": (not_suspending, True),
    "priorities suspending": (suspending, True),
    "one by one through": (not_suspending, False),
    "one by one suspending": (suspending, False),
    "sync handlers": (sync, False),
}


def copies(function, count):
    """Return `count` functions with the same code."""
    kind = type(function)
    return [kind(function.__code__, function.__globals__, function.__name__) for _ in range(count)]


def cyevents(package, *, priorities=False, sequential=False, sync=False):
    """Return the function that makes an emission of this package, if asked with a priority for each handler."""

    def make_emit(handlers):
        event = package.Event("benchmark", sequential=sequential)
        for number, handler in enumerate(handlers):
            event.connect(handler, priority=number if priorities else 0)
        return event.emit if sync else event.emit_async

    return make_emit


def one_by_one(handlers):
    """Make the least emission: one handler after the other, in the caller's task."""

    async def emit(sender):
        return [await handler(sender) for handler in handlers]

    return emit


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


def blinker_with_sync_receivers(handlers):
    """Make an emission by blinker, which wants sync receivers to be wrapped."""
    send = blinker(handlers)

    def wrap(function):
        async def wrapped(sender, **kwargs):
            return function(sender, **kwargs)

        return wrapped

    def emit(sender):
        return send(sender, _sync_wrapper=wrap)

    return emit


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


def bubus(handlers):
    """Make an emission by bubus, which must be closed: its bus has a task in the loop."""
    library = importlib.import_module("bubus")
    logging.getLogger("bubus").setLevel(logging.ERROR)
    benchmark = type("Benchmark", (library.BaseEvent,), {})
    bus = library.EventBus(parallel_handlers=True)
    for number, handler in enumerate(handlers):
        handler.__name__ = f"handler_{number}"  # it warns of two with one name
        bus.on(benchmark, handler)

    async def emit(sender):
        await bus.dispatch(benchmark())

    emit.close = bus.stop
    return emit


def contestants(kind="through"):
    """Return by name the functions that make an emission for handlers, and by name why others are absent."""
    present, missing = load_contestants()
    absent = dict(missing)
    chosen = {}
    priorities = KINDS[kind][1]
    sequential = kind.startswith("one by one")
    for name in ("cyevents", "cyevents (pure)"):
        if name in present:
            chosen[name] = cyevents(present[name].library, priorities=priorities, sequential=sequential)
    if kind == "sync handlers":
        if "cyevents" in present:
            chosen["cyevents emit"] = cyevents(present["cyevents"].library, sync=True)
        if "blinker" in present:
            chosen["blinker send_async"] = blinker_with_sync_receivers
        return chosen, absent
    chosen["awaited in turn"] = one_by_one
    if priorities or sequential:  # only these await the handlers in an order
        if "blinker" in present:
            chosen["blinker send_async"] = blinker
        return chosen, absent
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
    if importlib.util.find_spec("bubus"):
        chosen["bubus"] = bubus
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
        returned = emit("sender")
        if returned.__class__ is not list:  # of `emit`, which is not awaited
            await returned
        return Counter.done

    done = loop.run_until_complete(once())
    if done != count:
        raise AssertionError(f"{name} ran {done} of {count} async handlers")


def stopwatch(loop, emit, is_sync=False):
    """Return a function that awaits `count` emissions in a loop and returns the nanoseconds that they took.

    Those of `emit` itself are not awaited.
    """

    async def emissions(count):
        start = perf_counter_ns()
        for _ in range(count):
            await emit("sender")
        return perf_counter_ns() - start

    async def sync_emissions(count):
        start = perf_counter_ns()
        for _ in range(count):
            emit("sender")
        return perf_counter_ns() - start

    if is_sync:
        return lambda count: loop.run_until_complete(sync_emissions(count))

    return lambda count: loop.run_until_complete(emissions(count))


def async_race(loop_name, kind, count, seconds, sittings=2, fewest=FEWEST):
    """Race the contestants that can await handlers of a kind.

    Returns the `Race`, by contestant why it was not correct, and by contestant why it is absent.
    """
    chosen, absent = contestants(kind)
    incorrect = {}
    result = Race()
    for _ in range(sittings):
        loop = loops()[loop_name]()
        handlers = copies(KINDS[kind][0], count)
        emits = {}
        watches = {}
        try:
            for name, make_emit in chosen.items():
                try:
                    emits[name] = emit = make_emit(handlers)
                    verify(name, loop, emit, count)
                    watches[name] = stopwatch(loop, emit, is_sync=name == "cyevents emit")
                except Exception as error:
                    incorrect[name] = f"{type(error).__name__}: {error}"
            race(watches, seconds / sittings, into=result, fewest=fewest, favourites=FAVOURITES)
            for emit in emits.values():
                if hasattr(emit, "close"):
                    loop.run_until_complete(emit.close())
        finally:
            loop.close()
    return result, incorrect, absent
