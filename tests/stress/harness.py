"""Shared code of the stress programs: threads that race for a time, and witnesses that account for emissions.

A program gives `race` its jobs: generator functions that take a thread's number and yield, after each turn, how many
emissions they have accounted for. Any exception in a thread or finalizer, any warning and any logged error fails the
program.
"""

import asyncio
import faulthandler
import gc
import itertools
import logging
import os
import platform
import sys
import sysconfig
import threading
import time
import traceback
import warnings

SECONDS = float(os.environ.get("CYEVENTS_STRESS_SECONDS", "1"))
THREADS = int(os.environ.get("CYEVENTS_STRESS_THREADS", "4"))
SKIP = 77
TIMEOUT = 60  # seconds after the end of the race until a hanging program fails

faulthandler.enable()
warnings.simplefilter("error")
gil_was_on = getattr(sys, "_is_gil_enabled", lambda: True)()
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

import cyevents  # noqa: E402

failures = []


def fail(what):
    """Record a failure; print the first at once."""
    failures.append(what)
    if failures[0] is what:  # also if other threads have failed meanwhile
        if isinstance(what, BaseException):
            traceback.print_exception(what)
        else:
            print(what, file=sys.stderr)


def skip(reason):
    """End the program: it cannot run here."""
    print(f"{name()}: SKIPPED: {reason}", flush=True)
    sys.exit(SKIP)


def name():
    """Return the program's name."""
    return os.path.splitext(os.path.basename(sys.argv[0]))[0]


class _ErrorLog(logging.Handler):
    def emit(self, record):
        if "was garbage-collected before any emission" not in record.msg:  # expected in a race
            fail(self.format(record))


def _report_problems():
    """Report every problem, and switch threads often."""
    sys.unraisablehook = lambda unraisable: fail(unraisable.exc_value or unraisable.err_msg)
    threading.excepthook = lambda args: fail(args.exc_value)
    logging.getLogger("cyevents").addHandler(_ErrorLog(logging.WARNING))
    faulthandler.dump_traceback_later(SECONDS + TIMEOUT, exit=True)
    if not free_threaded:
        sys.setswitchinterval(1e-5)
    elif sys._is_gil_enabled() and (cyevents.backend == "cython" or not gil_was_on):
        fail(f"the GIL is on with the {cyevents.backend} core on a free-threaded Python")


def race(*jobs, finish=None):
    """Run the jobs in as many threads as requested until the time is up; then end the program.

    `finish` runs when all threads have stopped, checks the final state, and returns how many more emissions it accounts
    for.
    """
    _report_problems()
    count = max(THREADS, len(jobs))
    accounted = [0] * count
    together = threading.Barrier(count + 1)
    over = threading.Event()

    def run(number):
        work = jobs[number % len(jobs)](number)
        together.wait()
        try:
            for emissions in work:
                accounted[number] += emissions
                if over.is_set() or failures:
                    break
            work.close()
        except BaseException as error:
            fail(error)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    together.wait()
    begun = time.monotonic()
    while time.monotonic() - begun < SECONDS and not failures:
        time.sleep(min(0.02, SECONDS))
    over.set()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    emissions = sum(accounted)
    try:
        if finish is not None and not failures:
            emissions += finish() or 0
        gc.collect()
    except BaseException as error:
        fail(error)
    if not emissions:
        fail("no emission was accounted for")
    faulthandler.cancel_dump_traceback_later()
    sys.unraisablehook = sys.__unraisablehook__  # problems at exit are printed
    python = platform.python_version() + "t" * free_threaded
    print(
        f"{name()}: {cyevents.backend} core, Python {python}: {count} threads, {seconds:.1f} seconds,"
        f" {emissions} emissions accounted for" + ", FAILED" * bool(failures),
        flush=True,
    )
    sys.exit(1 if failures else 0)


# Handlers record their calls in a list that the emission passes to them: (priority, name).


def handler(name, priority=0):
    """Return a function as a handler."""

    def call(sender, calls, **kwargs):
        calls.append((priority, name))

    return call


class Handler:
    """A callable object as a handler, or its method."""

    def __init__(self, name, priority=0):
        self.call = (priority, name)

    def __call__(self, sender, calls, **kwargs):
        calls.append(self.call)

    def method(self, sender, calls, **kwargs):
        calls.append(self.call)


def generator(name, priority=0):
    """Return a generator function as a handler."""

    def call(sender, calls, **kwargs):
        calls.append((priority, name))
        yield name

    return call


def coroutine(name, priority=0):
    """Return a coroutine function as a handler. It records its call after it has suspended."""

    async def call(sender, calls, **kwargs):
        await asyncio.sleep(0)
        calls.append((priority, name))

    return call


class Witnesses:
    """Handlers of all kinds that stay connected, so that each emission calls each of them once, in order.

    They are connected to the first event, or to each in turn if there are more (a pattern, for example). Other handlers
    may be connected with their own priorities: the priorities of the calls must never rise.
    """

    def __init__(self, *events, awaited=False):
        self._held = [
            (handler("first", 30), {"priority": 30}),
            (Handler("method", 20).method, {"priority": 20}),
            (Handler("object", 10), {"priority": 10, "condition": lambda sender, **kwargs: True}),
            (generator("generator", -10), {"priority": -10}),
            (Handler("last", -30).method, {"priority": -30, "weak": False}),
        ]
        if awaited:
            self._held.insert(3, (coroutine("coroutine", 0), {"priority": 0}))
            self._held.insert(5, (handler("thread", -20), {"priority": -20, "thread": True}))
        for (each, options), event in zip(self._held, itertools.cycle(events)):
            event.connect(each, **options)
        self.expected = ["first", "method", "object", "generator", "last"]
        if awaited:
            self.expected = ["first", "method", "object", "coroutine", "generator", "thread", "last"]

    def emit(self, event, sender="sender", **kwargs):
        """Emit and account for it; return the names of all handlers that were called."""
        calls = []
        results = event.emit(sender, calls, **kwargs)
        return self.account(calls, results)

    async def emit_async(self, event, sender="sender", **kwargs):
        """Emit and await, and account for it; return the names of all handlers that were called."""
        calls = []
        results = await event.emit_async(sender, calls, **kwargs)
        return self.account(calls, results)

    def account(self, calls, results):
        """Check the calls of an emission: each witness once and in order, and nothing twice."""
        names = [name for _, name in calls]
        assert [name for name in names if name in self.expected] == self.expected, calls
        assert len(set(names)) == len(names), calls
        priorities = [priority for priority, _ in calls]
        assert priorities == sorted(priorities, reverse=True), calls
        assert ["generator"] in results
        return names
