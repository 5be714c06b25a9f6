"""`watch`: handlers that run longer than a budget are reported, with a clock that the handlers themselves advance."""

import asyncio
import gc
import importlib
import logging
import re
import threading
import weakref
from pathlib import Path

import pytest

HERE = Path(__file__).name


class Clock:
    """Replaces `perf_counter`: time passes only by `spend`."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def spend(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(api, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(importlib.import_module("cyevents._budget"), "perf_counter", clock)
    return clock


@pytest.fixture
def reports():
    """Return an `on_slow` that keeps what it is called with, as a list of (duration, handler, event, sender)."""

    class Reports(list):
        def __call__(self, *report):
            self.append(report)

        @property
        def durations(self):
            return [round(duration, 6) for duration, *_ in self]

        @property
        def names(self):
            return [handler.__name__ for _, handler, *_ in self]

    return Reports()


@pytest.fixture
def logged(caplog):
    """Return a function that returns the texts logged by `cyevents` until now, with their levels."""
    caplog.set_level(logging.DEBUG, logger="cyevents")
    return lambda: [(record.levelname, record.getMessage()) for record in caplog.records]


# What is reported


def test_slow_handler_is_reported_and_quick_one_is_not(ns, clock, reports, fire):
    @ns.on("x")
    def quick(sender):
        clock.spend(0.5)

    @ns.on("x")
    def slow(sender):
        clock.spend(0.75)

    ns.watch(0.5, reports)  # exactly the budget is within it
    fire(ns["x"], "me")
    assert reports == [(0.75, slow, ns["x"], "me")]


def test_defaults_are_half_a_millisecond_and_the_log(ns, clock, logged):
    @ns.on("x")
    def slow(sender):
        clock.spend(0.0006)

    ns.watch()
    ns.emit("x")
    ((level, text),) = logged()
    assert level == "WARNING"
    name = re.escape(slow.__qualname__)
    line = slow.__code__.co_firstlineno
    assert re.fullmatch(rf"handler {name} \(.*{HERE}:{line}\) of event 'x' took 600 µs: its budget is 500 µs", text)


def test_scope_shows_its_budget(ns):
    scope = ns.watch(5)  # were milliseconds meant?
    assert repr(scope) == "<Scope of <budget of 5 s>: a namespace>"
    scope.stop()
    assert repr(scope) == "<Scope: stopped>"


def test_async_handler_is_named_as_one_in_the_log(ns, clock, logged, fire, api):
    @ns.on("x")
    async def slow(sender):
        await asyncio.sleep(0)
        clock.spend(0.002)

    ns.watch(0.001)
    fire(ns["x"])
    assert api.drain(timeout=10)
    ((_, text),) = logged()
    assert text.startswith(f"async handler {slow.__qualname__} (")
    assert text.endswith(" of event 'x' ran without a pause for 2.0 ms: its budget is 1.0 ms")


def test_longest_step_of_an_async_handler_counts(ns, clock, reports, run):
    @ns.on("x")
    async def handler(sender):
        clock.spend(1)
        await asyncio.sleep(0)
        clock.spend(3)
        await asyncio.sleep(0)
        clock.spend(2)

    @ns.on("x")
    async def pauses(sender):
        for _ in range(100):
            clock.spend(0.5)
            await asyncio.sleep(0)

    ns.watch(2.5, reports)
    run(ns.emit_async("x"))
    assert reports.durations == [3]
    assert reports.names == ["handler"]


def test_suspended_time_does_not_count(ns, clock, reports, run):
    @ns.on("x")
    async def handler(sender):
        await asyncio.sleep(0)

    @ns.on("x")
    async def another(sender):  # spends time while the first one is suspended
        clock.spend(7)

    ns.watch(5, reports)
    run(ns.emit_async("x"))
    assert reports.names == ["another"]


def test_call_that_makes_the_awaitable_counts(ns, clock, reports, run):
    async def rest():
        pass

    @ns.on("x")
    def handler(sender):
        clock.spend(9)
        return rest()

    ns.watch(5, reports)
    run(ns.emit_async("x"))
    assert reports.durations == [9]


def test_last_step_that_raises_counts(ns, clock, reports, run):
    @ns.on("x")
    async def handler(sender):
        await asyncio.sleep(0)
        clock.spend(9)
        raise ValueError

    ns.watch(5, reports)
    with pytest.raises(ValueError):
        run(ns.emit_async("x"))
    assert reports.durations == [9]


def test_cleanup_of_a_cancelled_handler_counts(ns, clock, reports, run):
    @ns.on("x")
    async def handler(sender):
        try:
            await asyncio.sleep(60)
        finally:
            clock.spend(9)

    async def main():
        task = asyncio.create_task(ns.emit_async("x"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        clock.spend(100)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    ns.watch(5, reports)
    run(main())
    assert reports.durations == [9]


def test_cleanup_of_a_closed_handler_counts(ns, clock, reports):
    @ns.on("x")
    async def handler(sender):
        try:
            await asyncio.sleep(60)
        finally:
            clock.spend(9)

    ns.watch(5, reports)
    emission = ns.emit_async("x")
    loop = asyncio.new_event_loop()
    task = loop.create_task(emission)
    loop.call_soon(loop.stop)
    loop.run_forever()
    clock.spend(100)  # suspended
    loop.set_exception_handler(lambda *_: None)  # the task is destroyed on purpose
    loop.close()
    del task, emission
    gc.collect()
    assert reports.durations == [9]


def test_generator_counts_as_a_whole(ns, clock, reports, fire):
    @ns.on("x")
    def handler(sender):
        for _ in range(3):
            clock.spend(2)
            yield 1

    ns.watch(5, reports)
    assert fire(ns["x"]) == [[1, 1, 1]]
    assert reports.durations == [6]


def test_async_generator_counts_by_step(ns, clock, reports, run):
    @ns.on("x")
    async def handler(sender):
        clock.spend(3)
        yield 1
        clock.spend(3)  # no pause in between
        await asyncio.sleep(0)
        clock.spend(5)
        yield 2

    ns.watch(5.5, reports)
    assert run(ns.emit_async("x")) == [[1, 2]]
    assert reports.durations == [6]


def test_nested_emission_counts_in_the_outer_handler(ns, clock, reports):
    @ns.on("outer")
    def outer(sender):
        ns.emit("inner", "child")

    @ns.on("inner")
    def inner(sender):
        clock.spend(9)

    ns.watch(5, reports)
    ns.emit("outer", "parent")
    assert [(handler, event.name, sender) for _, handler, event, sender in reports] == [
        (inner, "inner", "child"),
        (outer, "outer", "parent"),
    ]


def test_handler_in_a_thread_is_timed_there(ns, clock, reports, run):
    @ns.on("x", thread=True)
    def handler(sender):
        threads.append(threading.get_ident())
        clock.spend(9)

    threads = []
    ns.watch(5, lambda *report: (reports(*report), threads.append(threading.get_ident())))
    run(ns.emit_async("x"))
    assert reports.durations == [9]
    assert threads[0] == threads[1] != threading.get_ident()


def test_conditions_do_not_count(ns, clock, reports):
    def condition(sender):
        clock.spend(9)
        return True

    @ns.on("x", condition=condition)
    def handler(sender):
        pass

    ns.watch(5, reports)
    ns.emit("x")
    assert reports == []


@pytest.mark.parametrize("way", ["emit", "send", "first"])
def test_every_way_to_emit_is_watched(ns, clock, reports, way):
    @ns.on("x")
    def handler(sender):
        clock.spend(9)
        return 1

    ns.watch(5, reports)
    getattr(ns["x"], way)("me")
    assert reports == [(9, handler, ns["x"], "me")]


@pytest.mark.parametrize("way", ["emit_async", "send_async", "first_async"])
def test_every_way_to_await_is_watched(ns, clock, reports, run, way):
    @ns.on("x")
    async def handler(sender):
        await asyncio.sleep(0)
        clock.spend(9)
        return 1

    ns.watch(5, reports)
    run(getattr(ns["x"], way)("me"))
    assert reports == [(9, handler, ns["x"], "me")]


def test_handlers_of_emit_are_reported_when_they_end(ns, clock, reports, run, api):
    @ns.on("x")
    async def handler(sender):
        clock.spend(9)
        await asyncio.sleep(0)
        assert reports == []

    async def main():
        ns.emit("x", "me")
        assert await api.drain_async(timeout=10)

    ns.watch(5, reports)
    run(main())
    assert reports.durations == [9]


def test_handlers_under_trio_are_watched(ns, clock, reports):
    trio = pytest.importorskip("trio")
    pytest.importorskip("anyio")

    @ns.on("x")
    async def handler(sender):
        clock.spend(3)
        await trio.sleep(0)
        clock.spend(9)

    ns.watch(5, reports)
    trio.run(ns["x"].emit_async, "me")
    assert reports.durations == [9]


def test_handlers_of_patterns_and_new_events_are_watched(ns, clock, reports):
    @ns.on("order.*")
    def handler(sender):
        clock.spend(9)

    ns.watch(5, reports)
    ns.emit("order.placed")  # nobody has made it
    assert [event.name for _, _, event, _ in reports] == ["order.placed"]


def test_methods_are_reported_bound(ns, clock, reports):
    class Shop:
        def handle(self, sender):
            clock.spend(9)

    shop = Shop()
    ns.event("x").connect(shop.handle)
    ns.watch(5, reports)
    ns.emit("x")
    assert reports[0][1] == shop.handle


# Events, patterns


def test_event_can_be_watched_alone(api, clock, reports):
    def handler(sender):
        clock.spend(9)

    watched, other = api.Event("x"), api.Event("y")
    for event in (watched, other):
        event.connect(handler)
    with watched.watch(5, reports):
        watched.emit("me")
        other.emit("me")
    watched.emit("me")
    assert reports == [(9, handler, watched, "me")]


def test_pattern_can_be_watched(ns, clock, reports):
    @ns.on("*")
    def handler(sender):
        clock.spend(9)

    ns.event("order.*").watch(5, reports)
    ns.emit("order.placed")
    ns.emit("user.created")
    assert [event.name for _, _, event, _ in reports] == ["order.placed"]


def test_budgets_of_namespace_and_event_are_independent(ns, clock, reports):
    @ns.on("x")
    def handler(sender):
        clock.spend(9)

    tight = []
    ns.watch(10, reports)
    ns["x"].watch(5, lambda *report: tight.append(report))
    ns.emit("x", "me")
    assert (reports, tight) == ([], [(9, handler, ns["x"], "me")])


def test_unnamed_event_cannot_be_watched(api):
    with pytest.raises(ValueError, match="an event without a name cannot be observed"):
        api.Event().watch()


# Start and stop


def test_watch_that_is_discarded_goes_on(ns, clock, reports, collect):
    @ns.on("x")
    def handler(sender):
        clock.spend(9)

    ns.watch(5, reports)
    collect()
    ns.emit("x")
    assert len(reports) == 1


def test_stop_ends_it(ns, clock, reports):
    @ns.on("x")
    def handler(sender):
        clock.spend(9)

    scope = ns.watch(5, reports)
    scope.stop()
    scope.stop()
    ns.emit("x")
    with ns.watch(5, reports):
        pass
    ns.emit("x")
    assert reports == []


def test_stopped_watch_leaves_nothing_alive(ns, clock, collect):
    class Report:
        def __call__(self, *report):
            pass

    @ns.on("x")
    def handler(sender):
        clock.spend(9)

    report = Report()
    alive = weakref.ref(report)
    scope = ns.watch(5, report)
    ns.emit("x")
    scope.stop()
    del report
    collect()
    assert alive() is None


def test_log_keeps_no_handler_alive(api, clock, collect, logged):
    def handler(sender):
        clock.spend(9)

    event = api.Event("x")
    event.connect(handler)
    event.watch(5)
    event.emit()
    assert len(logged()) == 1
    alive = weakref.ref(handler)
    del handler
    collect()
    assert alive() is None


# The log does not flood


def test_log_repeats_only_what_is_twice_as_slow(ns, clock, logged):
    @ns.on("x")
    def handler(sender):
        clock.spend(sender)

    ns.watch(0.5)
    for seconds in (1, 1, 1.5, 1.999, 2, 3, 3.9, 0.6, 5):
        ns.emit("x", seconds)
    assert [text.split(" took ")[1].split(":")[0] for _, text in logged()] == ["1.00 s", "2.00 s", "5.00 s"]


def test_each_handler_is_logged_for_itself(ns, clock, logged):
    @ns.on("x")
    def first(sender):
        clock.spend(9)

    @ns.on("x")
    def second(sender):
        clock.spend(9)

    ns.watch(5)
    for _ in range(3):
        ns.emit("x")
    assert len(logged()) == 2


def test_methods_of_many_objects_are_logged_once(ns, clock, logged):
    class Row:
        def handle(self, sender):
            clock.spend(9)

    rows = [Row() for _ in range(10)]
    for row in rows:
        ns.event("x").connect(row.handle)
    ns.watch(5)
    ns.emit("x")
    assert len(logged()) == 1


def test_every_slow_call_reaches_on_slow(ns, clock, reports):
    @ns.on("x")
    def handler(sender):
        clock.spend(9)

    ns.watch(5, reports)
    for _ in range(3):
        ns.emit("x")
    assert len(reports) == 3


def test_log_forgets_handlers_when_there_are_too_many(ns, clock, logged, monkeypatch):
    monkeypatch.setattr(importlib.import_module("cyevents._budget"), "_MAX_LOGGED", 1)

    @ns.on("x")
    def first(sender):
        clock.spend(9)

    @ns.on("x")
    def second(sender):
        clock.spend(9)

    ns.watch(5)
    for _ in range(2):
        ns.emit("x")
    assert len(logged()) == 4


# on_slow


def test_what_on_slow_raises_is_logged_once(ns, clock, logged):
    def report(*_):
        raise ValueError("broken")

    @ns.on("x")
    def handler(sender):
        clock.spend(9)
        return 1

    ns.watch(5, report)
    assert ns.emit("x") == [1]
    assert ns.emit("x") == [1]
    ((level, text),) = logged()
    assert level == "ERROR"
    assert text.startswith(f"on_slow {report.__qualname__} raised: the emission goes on")


def test_interrupt_in_on_slow_propagates(ns, clock):
    def report(*_):
        raise KeyboardInterrupt

    @ns.on("x")
    def handler(sender):
        clock.spend(9)

    with ns.watch(5, report), pytest.raises(KeyboardInterrupt):
        ns.emit("x")
    assert ns.emit("x") == []


def test_on_slow_may_emit_what_is_watched(ns, clock, reports):
    def report(*slow):
        reports(*slow)
        ns.emit("slow.handler")  # would be reported without end

    @ns.on("*")
    def handler(sender):
        clock.spend(9)

    ns.watch(5, report)
    ns.emit("x")
    ns.emit("x")
    assert [event.name for _, _, event, _ in reports] == ["x", "x"]


def test_on_slow_may_stop_the_watch(ns, clock, reports):
    def report(*slow):
        reports(*slow)
        scope.stop()

    @ns.on("x")
    def handler(sender):
        clock.spend(9)

    scope = ns.watch(5, report)
    ns.emit("x")
    ns.emit("x")
    assert len(reports) == 1


def test_handler_that_raises_is_reported_too(ns, clock, reports):
    @ns.on("x")
    def handler(sender):
        clock.spend(9)
        raise ValueError

    ns.watch(5, reports)
    with pytest.raises(ValueError):
        ns.emit("x")
    assert reports.durations == [9]


def test_handler_with_a_hostile_repr_is_logged(ns, clock, logged):
    class Hostile:
        def __call__(self, sender):
            clock.spend(9)

        def __repr__(self):
            raise RuntimeError

        __eq__ = __hash__ = __bool__ = __repr__

    handler = Hostile()
    ns.event("x").connect(handler)
    ns.watch(5)
    ns.emit("x")
    ((level, text),) = logged()
    assert level == "WARNING"
    assert "Hostile object (" in text


def test_threads_are_timed_apart(ns, reports):
    """With the real clock: each thread's handler waits for the other, so both are slow."""
    both = threading.Barrier(2)

    @ns.on("x")
    def handler(sender):
        both.wait(60)

    with ns.watch(1e-9, reports):
        threads = [threading.Thread(target=ns.emit, args=("x", number)) for number in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(sender for *_, sender in reports) == [0, 1]


# Arguments


async def coroutine_function(*args):
    pass


class AsyncCallable:
    async def __call__(self, *args):
        pass


@pytest.mark.parametrize("source", ["namespace", "event"])
@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        (("1",), TypeError, "budget must be a positive number of seconds, not '1'"),
        ((None,), TypeError, "budget must be a positive number of seconds, not None"),
        ((0,), ValueError, "budget must be a positive number of seconds, not 0"),
        ((-0.5,), ValueError, "budget must be a positive number of seconds, not -0.5"),
        ((float("nan"),), ValueError, "budget must be a positive number of seconds, not nan"),
        ((float("inf"),), ValueError, r"budget must be a positive number of seconds, at most \d+, not inf"),
        ((10**400,), ValueError, r"budget must be a positive number of seconds, at most \d+, not about 10\*\*400"),
        ((1, 5), TypeError, "on_slow must be callable or None, not 5"),
        ((1, coroutine_function), TypeError, "on_slow coroutine_function is a coroutine function: it must act at once"),
        ((1, AsyncCallable()), TypeError, "on_slow <.*AsyncCallable.*> is a coroutine function: it must act at once"),
    ],
)
def test_invalid_arguments_are_refused(ns, source, arguments, error, text):
    watched = ns if source == "namespace" else ns.event("x")
    with pytest.raises(error, match=f"^{text}$"):
        watched.watch(*arguments)
    ns.event("x").emit()


# Steps, which any instrument may follow


def follow(api, names, log):
    """Return an instrument whose call spans log these methods."""
    instrument = importlib.import_module("cyevents.instrument")
    methods = {name: (lambda self, *_, name=name: log.append(name)) for name in names}
    span = type("Span", (instrument.CallSpan,), methods)

    class Follower(instrument.Instrument, instrument.EmissionSpan):
        def begin(self, start):
            return self

        def call(self, entry, handler):
            return span()

    return Follower()


ALL = ("enter", "exit", "scheduled", "started", "suspended", "resumed", "end")


def test_steps_are_reported_in_order(api, ns, run):
    @ns.on("x")
    async def handler(sender):
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    steps = []
    with importlib.import_module("cyevents.instrument").observe(follow(api, ALL, steps), ns):
        run(ns.emit_async("x"))
    pause = ["suspended", "resumed"]
    assert steps == ["enter", "exit", "scheduled", "enter", "started", *pause, *pause, "exit", "end"]


@pytest.mark.parametrize("name", ["suspended", "resumed"])
def test_one_of_the_two_may_be_overridden(api, ns, run, name):
    @ns.on("x")
    async def handler(sender):
        await asyncio.sleep(0)

    steps = []
    with importlib.import_module("cyevents.instrument").observe(follow(api, [name], steps), ns):
        run(ns.emit_async("x"))
    assert steps == [name]


def test_what_steps_raise_is_logged(api, ns, run, logged):
    instrument = importlib.import_module("cyevents.instrument")

    class Failing(instrument.CallSpan, instrument.EmissionSpan, instrument.Instrument):
        def begin(self, *_):
            return self

        call = begin

        def suspended(self):
            raise ValueError

    @ns.on("x")
    async def handler(sender):
        await asyncio.sleep(0)
        return 1

    with instrument.observe(Failing(), ns):
        assert run(ns.emit_async("x")) == [1]
    ((level, text),) = logged()
    assert level == "ERROR"
    assert "Failing.suspended raised" in text


def test_closed_coroutine_is_resumed_first(api, ns):
    @ns.on("x")
    async def handler(sender):
        await asyncio.sleep(60)

    steps = []
    with importlib.import_module("cyevents.instrument").observe(follow(api, ALL, steps), ns):
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        task = loop.create_task(ns.emit_async("x"))
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        del task
        gc.collect()
    assert steps[-4:] == ["suspended", "resumed", "exit", "end"]
