"""Races of two threads that emit at the same time, on free-threaded builds of Python."""

import sys
import sysconfig
import threading
from time import perf_counter_ns

from .cases import Case, CaseSetup, Sender
from .contestants import load_contestants
from .timing import EMISSIONS, Race, gc_disabled

ROUNDS = 200  # of a thousand emissions, per thread
NAMES = ("the floor", "cyevents", "cyevents (pure)", "bare loop", "hand-written", "blinker")
THREADS = 2


def skip_reason():
    """Return why threads cannot run at the same time here, or the empty string."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "this is not a free-threaded build"
    return "the GIL is on" if sys._is_gil_enabled() else ""


def time_threads(watches, rounds):
    """Run each stopwatch in a thread of its own, all at once; return the nanoseconds per emission of the slowest."""
    arrived = []
    taken = []

    def work(watch):
        arrived.append(watch)
        while len(arrived) < len(watches):  # not a barrier, which wakes one thread long after the other
            pass
        start = perf_counter_ns()
        for _ in range(rounds):
            watch(EMISSIONS)
        taken.append(perf_counter_ns() - start)

    threads = [threading.Thread(target=work, args=(watch,)) for watch in watches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(taken) / rounds / EMISSIONS


def module_function():
    """Return a new handler that is like one defined in a module.

    Functions that are defined inside others have reference counts for which threads contend, whoever calls them.
    """
    scope = {}
    exec("def handler(sender):\n    pass\n", scope)
    return scope["handler"]


def make_setup(handlers):
    """Return the objects of the case, with such handlers."""
    setup = CaseSetup(Case("plain", handlers))
    setup.handlers = [module_function() for _ in range(handlers)]
    return setup


def prepare(contestant, handlers):
    """Return the stopwatches of each setting by name, and the objects that must be kept alive.

    Each thread has a stopwatch, and so a sender, of its own.
    """
    shared = make_setup(handlers)
    own = [make_setup(handlers) for _ in range(THREADS)]
    emitter = shared.connect_all(contestant)
    same_handlers = [shared.connect_all(contestant) for _ in range(THREADS)]
    watches = {
        "1 thread": [shared.make_watch(contestant, emitter)],
        f"{THREADS} threads, one event": [shared.make_watch(contestant, emitter, Sender()) for _ in range(THREADS)],
        f"{THREADS} threads, an event each, the same handlers": [
            shared.make_watch(contestant, each, Sender()) for each in same_handlers
        ],
        f"{THREADS} threads, an event each": [
            each.make_watch(contestant, each.connect_all(contestant)) for each in own
        ],
    }
    return watches, (shared, own)


def thread_race(laps=7, rounds=ROUNDS, handlers=10, names=NAMES):
    """Time emissions per thread: in one thread, in two on one event, and in two on an event each."""
    present = load_contestants()[0]
    settings = {name: prepare(present[name], handlers) for name in names if name in present}
    result = Race()
    with gc_disabled():
        for lap in range(laps):
            for name, (watches, _) in settings.items():
                for setting, several in watches.items():
                    result.record(f"{name}, {setting}", lap, time_threads(several, rounds))
    return result
