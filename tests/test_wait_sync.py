"""`event.wait_sync` and plain iteration over `event.stream` block a thread, lose nothing, leave nothing connected."""

import asyncio
import gc
import importlib
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

needs_signals = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")


@pytest.fixture
def event(ns):
    return ns.event("x")


@pytest.fixture
def asleep(api, monkeypatch):
    """Return a semaphore that is released each time when a thread has found nothing and goes to sleep."""
    waiters = importlib.import_module("cyevents._async.waiters")
    semaphore = threading.Semaphore(0)

    class Waiter(waiters._ThreadWaiter):
        async def sleep(self, deadline):
            semaphore.release()
            await super().sleep(deadline)

    monkeypatch.setattr(waiters, "_ThreadWaiter", Waiter)
    return semaphore


@pytest.fixture
def start():
    """Start a call in a thread: `start(function, *args)` returns a future."""
    with ThreadPoolExecutor(8) as pool:
        yield pool.submit


@pytest.fixture
def in_loop(request):
    """Return a function that calls another one while an event loop runs in this thread."""

    def call(function):
        async def main():
            return function()

        if request.param == "asyncio":
            return asyncio.run(main())
        return pytest.importorskip("trio").run(main)

    return call


def shown(emission):
    return emission.event.name, emission.sender, emission.args, emission.kwargs


# One emission


def test_wait_returns_the_next_emission(event, asleep, start):
    waiting = start(event.wait_sync)
    assert asleep.acquire(timeout=30)
    assert event.emit("sender", 2, key=3) == []
    event.emit("another")
    assert shown(waiting.result(30)) == ("x", "sender", (2,), {"key": 3})
    assert event.handlers == []


@pytest.mark.parametrize("emit", ["send", "emit_async"])
def test_other_ways_to_emit_wake_the_thread(event, asleep, start, emit):
    waiting = start(event.wait_sync)
    assert asleep.acquire(timeout=30)
    if emit == "send":
        event.send(1)
    else:
        asyncio.run(event.emit_async(1))
    assert waiting.result(30).sender == 1


def test_wait_with_sender_and_condition(event, asleep, start):
    waiting = start(event.wait_sync, "sender", lambda sender, *, number: number > 1)
    assert asleep.acquire(timeout=30)
    event.emit("another", number=2)
    event.emit("sender", number=1)
    event.emit("sender", 9, number=2)
    assert shown(waiting.result(30)) == ("x", "sender", (9,), {"number": 2})


def test_priority_decides_about_cancelled_emissions(event, asleep, start):
    event.connect(lambda sender: sender != "cancelled", weak=False, priority=5)
    early, late = start(event.wait_sync, priority=6), start(event.wait_sync)
    assert asleep.acquire(timeout=30)
    assert asleep.acquire(timeout=30)
    event.emit("cancelled")
    assert early.result(30).sender == "cancelled"
    event.emit("not cancelled")
    assert late.result(30).sender == "not cancelled"


def test_wait_on_a_pattern_gives_the_event(ns, asleep, start):
    waiting = start(ns.event("user.*").wait_sync)
    assert asleep.acquire(timeout=30)
    ns.event("order").emit()
    ns.emit("user.created", "u", event=1)
    emission = waiting.result(30)
    assert shown(emission) == ("user.created", "u", (), {})
    assert ns.event("user.*").handlers == []


@pytest.mark.parametrize("timeout", [0, 0.01, -1, -math.inf])
def test_timeout(event, timeout):
    with pytest.raises(
        TimeoutError, match=f"'x' was not emitted within {max(timeout, -threading.TIMEOUT_MAX)} seconds"
    ):
        event.wait_sync(timeout=timeout)
    assert event.handlers == []


@pytest.mark.parametrize("timeout", [30, threading.TIMEOUT_MAX, math.inf])
def test_emission_before_the_timeout_is_returned(event, asleep, start, timeout):
    waiting = start(event.wait_sync, timeout=timeout)
    assert asleep.acquire(timeout=30)
    event.emit(1)
    assert waiting.result(30).sender == 1


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"timeout": "1"}, TypeError, "timeout must be a number of seconds or None, not '1'"),
        ({"timeout": math.nan}, ValueError, "timeout must be a number of seconds or None, not nan"),
        ({"condition": 1}, TypeError, "condition must be callable"),
        ({"priority": "1"}, TypeError, "priority must be an int"),
    ],
)
def test_invalid_arguments_raise(event, arguments, error, text):
    with pytest.raises(error, match=text):
        event.wait_sync(**arguments)
    assert event.handlers == []


def test_short_sleeps_do_not_end_the_wait(event, asleep, start, monkeypatch):
    waiters = importlib.import_module("cyevents._async.waiters")
    monkeypatch.setattr(waiters, "_LONGEST_SLEEP", 0.001)  # as on Windows, where only so Ctrl-C is noticed
    waiting = start(event.wait_sync, timeout=30)
    for _ in range(5):
        assert asleep.acquire(timeout=30)
    event.emit(1)
    assert waiting.result(30).sender == 1
    with pytest.raises(TimeoutError):
        event.wait_sync(timeout=0.003)


def test_clear_ends_the_wait(event, asleep, start):
    waiting = start(event.wait_sync)
    assert asleep.acquire(timeout=30)
    event.clear()
    with pytest.raises(RuntimeError, match="'x' was cleared while it was waited for"):
        waiting.result(30)


def test_muted_emissions_are_missed(event, asleep, start):
    waiting = start(event.wait_sync)
    assert asleep.acquire(timeout=30)
    with event.muted():
        event.emit("muted")
    event.emit("heard")
    assert waiting.result(30).sender == "heard"


def test_finalizer_in_the_waiting_thread_wakes_it(event):
    class Resource:
        def __del__(self):
            event.emit("finalizer")

    class Buffer(list):
        """Drops the resource when the thread has set its waiter and found nothing, just before it sleeps."""

        def popleft(self):
            if not self:
                if emissions._waiter is not None:
                    resources.clear()
                raise IndexError
            return self.pop(0)

    resources = [Resource()]
    emissions = event.stream()
    emissions._buffer = Buffer()
    assert next(emissions).sender == "finalizer"
    emissions.close()


# Threads in which a loop runs


@pytest.mark.parametrize("in_loop", ["asyncio", "trio"], indirect=True)
def test_wait_beside_a_loop_is_refused(event, in_loop):
    with pytest.raises(RuntimeError, match=r"wait_sync\(\) of 'x' would block .* event loop: use await event.wait\(\)"):
        in_loop(event.wait_sync)
    assert event.handlers == []


@pytest.mark.parametrize("in_loop", ["asyncio", "trio"], indirect=True)
def test_iteration_beside_a_loop_is_refused(event, in_loop):
    with event.stream() as emissions:
        event.emit(1)
        with pytest.raises(RuntimeError, match="a for loop over a stream of 'x' would block .*: use async for"):
            in_loop(lambda: next(emissions))
        assert next(emissions).sender == 1  # it is still there


def test_thread_of_a_loop_may_wait(event, asleep):
    async def main():
        waiting = asyncio.create_task(asyncio.to_thread(event.wait_sync))
        while not asleep.acquire(blocking=False):
            await asyncio.sleep(0)
        event.emit(1)
        return (await waiting).sender

    assert asyncio.run(main()) == 1


def test_threads_import_no_event_loop(backend):
    program = """
        import sys
        from cyevents import Event
        event = Event("x")
        with event.stream() as emissions:
            event.emit(1)
            assert next(emissions).sender == 1
        try:
            event.wait_sync(timeout=0)
        except TimeoutError:
            pass
        assert not {"asyncio", "trio"} & set(sys.modules)
    """
    environment = {**os.environ, "CYEVENTS_PURE_PYTHON": {"cython": "0", "python": "1"}[backend]}
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], env=environment, check=True, timeout=60)


# Streams


def test_stream_gives_all_emissions_in_order(event, asleep, start):
    def take():
        with event.stream() as emissions:
            taken = []
            for emission in emissions:
                taken.append(emission.sender)
                if emission.sender == 99:
                    return taken

    taking = start(take)
    assert asleep.acquire(timeout=30)
    for number in range(100):
        event.emit(number)
    assert taking.result(30) == list(range(100))
    assert event.handlers == []


def test_break_leaves_nothing_connected(event):
    for emission in map_emit(event):
        assert emission.sender == 1
        break
    gc.collect()
    assert event.handlers == []


def map_emit(event):
    emissions = event.stream()
    event.emit(1)
    return emissions


def test_exception_in_the_loop_leaves_nothing_connected(event):
    def fail():
        for emission in map_emit(event):
            raise KeyError(emission.sender)

    with pytest.raises(KeyError) as caught:
        fail()
    del caught
    gc.collect()
    assert event.handlers == []


def test_leaving_the_context_closes_the_stream(event):
    with event.stream() as emissions:
        event.emit(1)
        assert repr(emissions) == "<Stream of 'x': 1 waiting>"
    assert event.handlers == []
    assert repr(emissions) == "<Stream of 'x': closed>"
    assert list(emissions) == []


@pytest.mark.parametrize("how", ["close", "clear"])
def test_closing_in_another_thread_ends_the_loop(event, asleep, start, how):
    emissions = event.stream()
    taking = start(list, emissions)
    assert asleep.acquire(timeout=30)
    emissions.close() if how == "close" else event.clear()
    assert taking.result(30) == []
    assert event.handlers == []


def test_stream_serves_one_thread_at_a_time(event, asleep, start):
    emissions = event.stream()
    taking = start(next, emissions)
    assert asleep.acquire(timeout=30)
    with pytest.raises(RuntimeError, match="one task or thread, and another one already waits for 'x'"):
        next(emissions)
    event.emit(1)
    assert taking.result(30).sender == 1
    event.emit(2)
    assert next(emissions).sender == 2


def test_full_stream_raises_after_its_buffer(api, event):
    emissions = event.stream(buffer=2)
    for number in range(4):
        event.emit(number)
    taken = []
    with pytest.raises(api.StreamOverflow, match="a stream of 'x' is more than 2 emissions behind"):
        taken.extend(emission.sender for emission in emissions)
    assert taken == [0, 1]
    assert event.handlers == []
    assert list(emissions) == []


@pytest.mark.parametrize(("overflow", "kept"), [("drop_oldest", 2), ("drop_newest", 0)])
def test_full_stream_drops_and_counts(event, overflow, kept):
    with event.stream(buffer=1, overflow=overflow) as emissions:
        for number in range(3):
            event.emit(number)
        assert next(emissions).sender == kept
        assert emissions.dropped == kept
        event.emit(3)
        assert next(emissions).sender == 3
        assert emissions.dropped == 2


def test_loops_of_both_kinds_may_follow_each_other(event):
    emissions = event.stream()
    for number in range(4):
        event.emit(number)

    async def take():
        async for emission in emissions:
            return emission.sender

    assert next(emissions).sender == 0
    assert asyncio.run(take()) == 1
    assert next(emissions).sender == 2
    assert asyncio.run(take()) == 3
    emissions.close()


def test_task_and_thread_do_not_share_a_stream(event, asleep, start):
    emissions = event.stream()
    taking = start(next, emissions)
    assert asleep.acquire(timeout=30)

    async def take():
        await anext(emissions)

    with pytest.raises(RuntimeError, match="serves one task or thread"):
        asyncio.run(take())
    emissions.close()
    with pytest.raises(StopIteration):
        taking.result(30)


def test_emissions_of_many_threads_arrive_exactly_once(event, start):
    threads, each = 4, 500
    barrier = threading.Barrier(threads + 1, timeout=30)
    emissions = event.stream(buffer=threads * each)

    def emit(thread):
        barrier.wait()
        for number in range(each):
            event.emit((thread, number))

    emitting = [start(emit, thread) for thread in range(threads)]
    barrier.wait()
    taken = [next(emissions).sender for _ in range(threads * each)]
    for future in emitting:
        future.result(30)
    for thread in range(threads):
        assert [number for of, number in taken if of == thread] == list(range(each))
    assert sorted(taken) == [(thread, number) for thread in range(threads) for number in range(each)]
    emissions.close()


def test_threads_that_wait_for_each_other_lose_nothing(ns, start):
    ping, pong = ns.event("ping"), ns.event("pong")
    pings, pongs = ping.stream(), pong.stream()

    def answer():
        for _ in range(300):
            pong.emit(next(pings).sender + 1)

    answering = start(answer)
    number = 0
    for _ in range(300):
        ping.emit(number)
        number = next(pongs).sender
    answering.result(30)
    assert number == 300


# Interruptions, in the main thread


@needs_signals
class TestSignals:
    @pytest.fixture
    def alarm(self):
        """Let a function be called by a signal while the main thread sleeps: `alarm(function)`."""
        before = signal.getsignal(signal.SIGALRM)

        def arm(function):
            signal.signal(signal.SIGALRM, lambda *_: function())
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)  # again and again: the first may come before the sleep

        yield arm
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    def test_emission_in_a_signal_handler_wakes_the_thread(self, event, alarm):
        alarm(lambda: event.emit("signal"))
        assert event.wait_sync(timeout=30).sender == "signal"
        assert next(event.stream()).sender == "signal"

    def test_close_in_a_signal_handler_ends_the_loop(self, event, alarm):
        emissions = event.stream()
        alarm(emissions.close)
        assert list(emissions) == []

    @pytest.mark.parametrize("error", [KeyboardInterrupt, LookupError])
    def test_raising_signal_handler_ends_the_wait(self, event, alarm, error):
        def interrupt():
            if event.handlers:
                signal.setitimer(signal.ITIMER_REAL, 0)
                raise error

        alarm(interrupt)
        with pytest.raises(error) as caught:
            event.wait_sync(timeout=30)
        assert event.handlers == []  # also while there is a traceback
        del caught

    def test_interrupted_stream_can_be_used_further(self, event, asleep, alarm):
        emissions = event.stream()

        def interrupt():
            if asleep.acquire(blocking=False):
                signal.setitimer(signal.ITIMER_REAL, 0)
                raise KeyboardInterrupt

        alarm(interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(emissions)
        event.emit(1)
        assert next(emissions).sender == 1
        emissions.close()

    def test_signals_without_effect_do_not_end_the_wait(self, event, asleep, alarm):
        count = []

        def tick():
            count.append(1)
            if len(count) == 5:
                event.emit("fifth")

        alarm(tick)
        assert event.wait_sync().sender == "fifth"


def test_interrupt_after_the_connection_leaves_nothing(event, monkeypatch):
    core = type(event).__mro__[1]
    add = core._add

    def interrupted(self, *args, **kwargs):
        add(self, *args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(core, "_add", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        event.wait_sync(timeout=0)
    assert event.handlers == []
    del caught
