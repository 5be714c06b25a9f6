"""`overlap`, `limit` and `timeout` of async handlers."""

import asyncio
import concurrent.futures
import contextvars
import functools
import gc
import importlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
import types
import warnings
import weakref
from unittest import mock

import pytest

TIMEOUT = 30
MODES = ["queue", "skip", "restart", "latest"]


class Calls:
    """An async handler whose calls end when they are told to, and the log of its calls."""

    def __init__(self):
        self.log = []
        self.running = []
        self.gates = {}

    async def handle(self, number, *args, **kwargs):
        self.log.append(f"{number} begins")
        self.running.append(number)
        gate = self.gates[number] = asyncio.Event()
        try:
            await gate.wait()
            self.log.append(f"{number} ends")
            return number
        except BaseException as error:
            self.log.append(f"{number} {type(error).__name__}")
            raise
        finally:
            self.running.remove(number)

    def finish(self, number):
        self.gates[number].set()

    def begun(self):
        return [int(line.split()[0]) for line in self.log if line.endswith("begins")]


@pytest.fixture
def calls():
    return Calls()


@pytest.fixture
def event(ns):
    return ns.event("x")


async def settle():
    """Let the loop run until what can happen without a timer has happened."""
    for _ in range(20):
        await asyncio.sleep(0)


def control_of(event):
    return event._connections()[0][0].delivery.control


def is_idle(event):
    """Return whether no call is left in the state of the only connection."""
    control = control_of(event)
    return not control.calls and (control._last.place is None or control._last.place.is_over)


def start(event, number, way="emit_async"):
    return asyncio.ensure_future(getattr(event, way)(number))


async def outcomes(tasks):
    return await asyncio.gather(*tasks, return_exceptions=True)


# What happens to the calls


def test_queue_runs_calls_one_by_one(api, event, calls, run):
    event.connect(calls.handle, overlap="queue")

    async def main():
        for number in range(3):
            event.emit(number)
        await settle()
        assert calls.running == [0]
        for number in range(3):
            calls.finish(number)
            await settle()
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert calls.log == ["0 begins", "0 ends", "1 begins", "1 ends", "2 begins", "2 ends"]
    assert is_idle(event)


def test_limit_runs_some_and_the_others_wait_in_order(event, calls, run):
    event.connect(calls.handle, limit=2)

    async def main():
        tasks = [start(event, number) for number in range(5)]
        await settle()
        assert calls.running == [0, 1]
        calls.finish(1)
        await settle()
        assert calls.running == [0, 2]
        calls.finish(0)
        calls.finish(2)
        await settle()
        assert calls.running == [3, 4]
        calls.finish(3)
        calls.finish(4)
        assert await outcomes(tasks) == [[0], [1], [2], [3], [4]]

    run(main())
    assert is_idle(event)


def test_skip_drops_new_calls(event, calls, run):
    event.connect(calls.handle, overlap="skip")

    async def main():
        first = start(event, 0)
        await settle()
        assert await event.emit_async(1) == []
        assert event.emit(2) == []
        calls.finish(0)
        assert await first == [0]
        third = start(event, 3)
        await settle()
        calls.finish(3)
        assert await third == [3]

    run(main())
    assert calls.begun() == [0, 3]


def test_skip_counts_calls_that_are_only_scheduled(api, event, calls, run):
    event.connect(calls.handle, overlap="skip")

    async def main():
        event.emit(0)
        event.emit(1)
        assert await event.emit_async(2) == []
        await settle()
        calls.finish(0)
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert calls.begun() == [0]


def test_skip_does_not_call_the_handler(event, run):
    called = []

    class Handler:
        def __call__(self, sender):
            called.append(sender)
            return asyncio.sleep(0, sender)

    event.connect(Handler(), overlap="skip", weak=False)

    async def main():
        return await asyncio.gather(event.emit_async(1), event.emit_async(2))

    assert run(main()) == [[1], []]
    assert called == [1]


def test_restart_cancels_the_running_call(event, calls, run):
    event.connect(calls.handle, overlap="restart")

    async def main():
        first = start(event, 0)
        await settle()
        second = start(event, 1)
        assert await first == []
        await settle()
        calls.finish(1)
        assert await second == [1]

    run(main())
    assert calls.log == ["0 begins", "0 CancelledError", "1 begins", "1 ends"]
    assert is_idle(event)


def test_restarted_calls_do_not_overlap(event, run):
    log = []
    may_end = asyncio.Event()

    async def handler(number):
        log.append(f"{number} begins")
        try:
            await asyncio.sleep(0 if number else TIMEOUT)
        finally:
            if not number:
                await may_end.wait()
            log.append(f"{number} ends")

    event.connect(handler, overlap="restart")

    async def main():
        tasks = [start(event, 0)]
        await settle()
        tasks.append(start(event, 1))
        await settle()
        tasks.append(start(event, 2))
        assert await tasks[1] == []  # superseded while it waits
        assert log == ["0 begins"]
        may_end.set()
        assert await outcomes(tasks) == [[], [], []]

    run(main())
    assert log == ["0 begins", "0 ends", "2 begins", "2 ends"]


def test_latest_keeps_the_newest_waiting_call(event, calls, run):
    event.connect(calls.handle, overlap="latest")

    async def main():
        tasks = [start(event, number) for number in range(4)]
        await settle()
        assert [task.done() for task in tasks] == [False, True, True, False]
        calls.finish(0)
        await settle()
        calls.finish(3)
        assert await outcomes(tasks) == [[0], [], [], [3]]

    run(main())
    assert calls.log == ["0 begins", "0 ends", "3 begins", "3 ends"]
    assert is_idle(event)


def test_latest_begins_with_what_is_scheduled(api, event, calls, run):
    event.connect(calls.handle, overlap="latest")

    async def main():
        for number in range(4):
            event.emit(number)
        await settle()
        calls.finish(0)
        await settle()
        calls.finish(3)
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert calls.begun() == [0, 3]


@pytest.mark.parametrize("mode", MODES)
def test_connections_do_not_share_calls(ns, calls, run, mode):
    first, second = ns.event("a"), ns.event("b")
    first.connect(calls.handle, overlap=mode)
    second.connect(calls.handle, overlap=mode)

    async def main():
        tasks = [start(first, 1), start(second, 2)]
        await settle()
        assert calls.running == [1, 2]
        calls.finish(1)
        calls.finish(2)
        assert await outcomes(tasks) == [[1], [2]]

    run(main())


def test_pattern_shares_calls_of_its_events(ns, calls, run):
    ns.connect("order.*", calls.handle, overlap="skip")

    async def main():
        task = start(ns.event("order.placed"), 1)
        await settle()
        assert await ns.event("order.paid").emit_async(2) == []
        calls.finish(1)
        assert await task == [1]

    run(main())


@pytest.mark.parametrize("mode", MODES)
def test_sync_results_are_passed_through(event, run, mode):
    event.connect(lambda sender: sender, overlap=mode, weak=False, priority=1)
    event.connect(functools.partial(int), overlap=mode, weak=False)

    async def main():
        return await event.emit_async(1), await event.send_async(2), event.emit(3)

    asynchronous, pairs, results = run(main())
    assert (asynchronous, [value for _, value in pairs], results) == ([1, 1], [2, 2], [3, 3])
    assert is_idle(event)


def test_handlers_that_are_known_to_be_sync_are_refused(event):
    def handler(sender):
        return 1

    def generate(sender):
        yield 1

    @functools.wraps(handler)
    def decorated(*args):
        return handler(*args)

    class Callable:
        def __call__(self, sender):
            return 1

        def method(self, sender):
            return 1

    owner = Callable()
    for sync in (handler, generate, owner.method, functools.partial(handler, 1), functools.partial(generate)):
        for options in ({"overlap": "queue"}, {"limit": 1}, {"timeout": 1}):
            with pytest.raises(TypeError, match=f"^{next(iter(options))} is for async handlers"):
                event.connect(sync, weak=False, **options)
    for unknown in (decorated, owner, lambda sender: 1, mock.Mock(), mock.AsyncMock(), print, int):
        event.connect(unknown, weak=False, overlap="queue", timeout=1)


@pytest.mark.parametrize("mode", MODES)
def test_async_generators_are_collected(event, run, mode):
    async def handler(sender):
        for each in range(3):
            await asyncio.sleep(0)
            yield each

    event.connect(handler, overlap=mode)
    assert run(event.emit_async("a")) == [[0, 1, 2]]
    assert is_idle(event)


@pytest.mark.parametrize("mode", MODES)
def test_send_async_has_no_pair_of_calls_that_are_stopped(event, calls, run, mode):
    event.connect(calls.handle, overlap=mode)

    async def main():
        tasks = [start(event, number, "send_async") for number in range(3)]
        await settle()
        for number in range(3):
            if number in calls.running:
                calls.finish(number)
                await settle()
        return await outcomes(tasks)

    pairs = run(main())
    values = [[value for _, value in each] for each in pairs]
    assert (
        values
        == {
            "queue": [[0], [1], [2]],
            "skip": [[0], [], []],
            "restart": [[], [], [2]],
            "latest": [[0], [], [2]],
        }[mode]
    )
    assert all(handler == calls.handle for each in pairs for handler, _ in each)


@pytest.mark.parametrize("mode", MODES)
def test_several_handlers_of_a_tier(event, calls, run, mode):
    async def other(number):
        await asyncio.sleep(0)
        return "other"

    event.connect(calls.handle, overlap=mode)
    event.connect(other)

    async def main():
        for way in ("emit_async", "send_async"):
            tasks = [start(event, number, way) for number in range(3)]
            await settle()
            for number in range(3):
                if number in calls.running:
                    calls.finish(number)
                    await settle()
            results = await outcomes(tasks)
            if way == "send_async":
                results = [[value for _, value in each] for each in results]
            values = {
                "queue": [0, 1, 2],
                "skip": [0, None, None],
                "restart": [None, None, 2],
                "latest": [0, None, 2],
            }[mode]
            assert results == [["other"] if each is None else [each, "other"] for each in values]

    run(main())
    assert is_idle(event)


def test_send_is_not_controlled(event, calls, run):
    event.connect(calls.handle, overlap="skip")

    async def main():
        pairs = [*event.send(1), *event.send(2)]
        assert [type(value) for _, value in pairs] == [types.CoroutineType] * 2
        for _, value in pairs:
            value.close()

    run(main())


@pytest.mark.parametrize("mode", MODES)
def test_first_async(event, calls, run, mode):
    event.connect(calls.handle, overlap=mode)

    async def main():
        task = start(event, 1, "first_async")
        await settle()
        calls.finish(1)
        return await task

    assert run(main()) == 1


def test_first_async_goes_on_after_a_skipped_call(event, calls, run):
    async def other(sender):
        return "other"

    event.connect(calls.handle, overlap="skip", priority=1)
    event.connect(other)

    async def main():
        task = start(event, 1)
        await settle()
        assert await event.first_async(2) == "other"
        calls.finish(1)
        assert await task == [1, "other"]

    run(main())


@pytest.mark.parametrize("mode", [*MODES, "parallel"])
def test_managed_handlers_cancel_emissions(api, event, run, mode):
    async def refuse(sender):
        await asyncio.sleep(0)
        raise api.Cancel("no")

    event.connect(refuse, overlap=mode, timeout=TIMEOUT, priority=1)
    event.connect(lambda sender: "later", weak=False)
    result = run(event.emit_async("a"))
    assert type(result) is api.Cancelled and (result.reason, list(result)) == ("no", [])


@pytest.mark.parametrize("mode", MODES)
def test_errors_end_calls(event, run, mode):
    async def fail(number):
        await asyncio.sleep(0)
        raise ValueError(number)

    event.connect(fail, overlap=mode)

    async def main():
        for number in range(3):
            with pytest.raises(ValueError, match=str(number)):
                await event.emit_async(number)

    run(main())
    assert is_idle(event)


@pytest.mark.parametrize("mode", MODES)
def test_arguments_that_do_not_fit_end_calls(event, run, mode):
    async def handler(sender, needed):
        return needed

    event.connect(handler, overlap=mode)

    async def main():
        with pytest.raises(TypeError) as caught:
            await event.emit_async("a")
        assert "was called with (sender)" in caught.value.__notes__[0] and "handler" in caught.value.__notes__[0]
        assert await event.emit_async("a", 1) == [1]

    run(main())
    assert is_idle(event)


def test_once_is_called_once(event, calls, run):
    event.connect(calls.handle, overlap="queue", once=True)

    async def main():
        tasks = [start(event, number) for number in range(2)]
        await settle()
        calls.finish(0)
        assert await outcomes(tasks) == [[0], []]

    run(main())


@pytest.mark.parametrize("mode", ["queue", "restart", "latest"])
def test_waiting_call_of_disconnected_handler_does_not_begin(event, run, mode):
    may_end, log = asyncio.Event(), []

    async def handler(number):
        log.append(number)
        try:
            await may_end.wait()
        finally:
            await may_end.wait()

    event.connect(handler, overlap=mode)

    async def main():
        tasks = [start(event, 0)]
        await settle()
        tasks.append(start(event, 1))
        await settle()
        event.disconnect(handler)
        may_end.set()
        assert await outcomes(tasks) == [[], []]

    run(main())
    assert log == [0]


def test_scheduled_call_of_disconnected_handler_runs(api, event, calls, run):
    event.connect(calls.handle, overlap="queue")

    async def main():
        event.emit(0)
        event.disconnect(calls.handle)
        await settle()
        calls.finish(0)
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert calls.begun() == [0]


def test_connecting_again_does_not_wait_for_old_calls(event, calls, run):
    event.connect(calls.handle, overlap="queue")

    async def main():
        tasks = [start(event, 0)]
        await settle()
        event.connect(calls.handle, overlap="queue")
        tasks.append(start(event, 1))
        await settle()
        assert calls.running == [0, 1]
        calls.finish(0)
        calls.finish(1)
        assert await outcomes(tasks) == [[0], [1]]

    run(main())


def test_sequential_event(ns, calls, run):
    event = ns.event("s", sequential=True)
    event.connect(calls.handle, overlap="latest")

    async def other(number):
        return -number

    event.connect(other)

    async def main():
        tasks = [start(event, number) for number in range(1, 4)]
        await settle()
        calls.finish(1)
        await settle()
        calls.finish(3)
        assert await outcomes(tasks) == [[1, -1], [-2], [3, -3]]

    run(main())


# Cancellation from outside


@pytest.mark.parametrize("lone", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_cancelled_emission_cancels_its_running_call(event, calls, run, mode, lone):
    event.connect(calls.handle, overlap=mode)
    if not lone:
        event.connect(lambda sender: asyncio.sleep(0), weak=False)

    async def main():
        task = start(event, 0)
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert calls.log == ["0 begins", "0 CancelledError"]
        task = start(event, 1)
        await settle()
        calls.finish(1)
        assert 1 in await task

    run(main())
    assert is_idle(event)


@pytest.mark.parametrize("mode", ["queue", "latest"])
def test_cancelled_emission_leaves_the_queue(event, calls, run, mode):
    event.connect(calls.handle, overlap=mode)

    async def main():
        tasks = [start(event, 0), start(event, 1)]
        await settle()
        tasks[1].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        calls.finish(0)
        assert await tasks[0] == [0]

    run(main())
    assert calls.begun() == [0]
    assert is_idle(event)


def test_cancelled_emission_waits_for_its_restartable_handler(event, run):
    log, may_end = [], asyncio.Event()

    async def handler(sender):
        try:
            await asyncio.sleep(TIMEOUT)
        finally:
            await may_end.wait()
            log.append("cleaned up")

    event.connect(handler, overlap="restart")

    async def main():
        task = start(event, "a")
        await settle()
        task.cancel()
        await settle()
        assert not task.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert log == ["cleaned up"]


@pytest.mark.parametrize("lone", [True, False])
def test_restart_and_cancellation_at_once(event, calls, run, lone):
    event.connect(calls.handle, overlap="restart")
    if not lone:
        event.connect(lambda sender: asyncio.sleep(0), weak=False)

    async def main():
        first = start(event, 0)
        await settle()
        second = start(event, 1)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await settle()
        calls.finish(1)
        assert 1 in await second

    run(main())
    assert is_idle(event)


def test_handler_that_cancels_itself_counts_as_cancelled(event, run):
    async def handler(sender):
        asyncio.current_task().cancel()
        await asyncio.sleep(TIMEOUT)

    event.connect(handler, overlap="restart")

    async def main():
        with pytest.raises(asyncio.CancelledError):
            await event.emit_async("a")

    run(main())
    assert is_idle(event)


def test_restarted_handler_that_suppresses_the_cancellation_has_no_value(event, run):
    async def handler(number):
        try:
            await asyncio.sleep(0 if number else TIMEOUT)
        except asyncio.CancelledError:
            return "suppressed"
        return number

    event.connect(handler, overlap="restart")

    async def main():
        first = start(event, 0)
        await settle()
        return await asyncio.gather(first, event.emit_async(1))

    assert run(main()) == [[], [1]]


def test_error_of_restarted_handler_is_reported_to_the_loop(event, run):
    reported = []

    async def handler(number):
        try:
            await asyncio.sleep(0 if number else TIMEOUT)
        except asyncio.CancelledError:
            raise ValueError("cleanup failed") from None

    event.connect(handler, overlap="restart")

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
        first = start(event, 0)
        await settle()
        return await asyncio.gather(first, event.emit_async(1))

    assert run(main()) == [[], []]
    assert [str(context["exception"]) for context in reported] == ["cleanup failed"]


def test_call_that_is_done_is_not_restarted(event, run):
    """A handler that ends by itself before it can be cancelled has its value."""
    gate = []

    async def handler(number):
        if number == 0:
            future = asyncio.get_running_loop().create_future()
            gate.append(future)
            await future
        return number

    event.connect(handler, overlap="restart")

    async def main():
        first = start(event, 0)
        await settle()
        gate[0].set_result(None)
        await asyncio.sleep(0)  # the handler is done, its emission is not
        second = start(event, 1)
        return await outcomes([first, second])

    assert run(main()) == [[0], [1]]


@pytest.mark.parametrize("mode", ["queue", "restart", "latest"])
def test_end_of_asyncio_run_cancels_waiting_calls(api, event, calls, run, mode):
    event.connect(calls.handle, overlap=mode)

    async def main():
        for number in range(3):
            event.emit(number)
            await settle()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main())
        gc.collect()
    assert is_idle(event)
    assert calls.running == []


@pytest.mark.parametrize("mode", MODES)
def test_calls_of_a_closed_loop_do_not_block(api, event, calls, run, mode, caplog):
    event.connect(calls.handle, overlap=mode)
    loop = asyncio.new_event_loop()
    kept = []

    async def begin():
        kept.append(start(event, 0))
        await settle()
        kept.append(start(event, 1))
        await settle()

    loop.run_until_complete(begin())
    loop.close()

    async def main():
        task = start(event, 2)
        await settle()
        assert calls.running[-1] == 2
        calls.finish(2)
        assert await task == [2]

    run(main())
    for task in kept:
        task._log_destroy_pending = False
    del kept[:]
    calls.gates.clear()
    gc.collect()
    assert is_idle(event)


@pytest.mark.parametrize("mode", MODES)
def test_closed_coroutines_leave(event, calls, run, mode):
    event.connect(calls.handle, overlap=mode)

    async def main():
        coroutine = event.emit_async(0)
        coroutine.send(None)
        coroutine.close()
        await settle()
        task = start(event, 1)
        await settle()
        calls.finish(1)
        assert await task == [1]

    run(main())
    assert is_idle(event)


def test_handler_of_a_closed_coroutine_is_cancelled(event, run):
    """It has a task of its own, and the next call waits until that has ended."""
    log = []

    async def handler(number):
        log.append(f"{number} begins")
        try:
            await asyncio.sleep(0 if number else TIMEOUT)
        finally:
            await asyncio.sleep(0)
            log.append(f"{number} ends")

    event.connect(handler, overlap="restart")

    async def main():
        coroutine = event.emit_async(0)
        coroutine.send(None)
        await asyncio.sleep(0)
        coroutine.close()
        await event.emit_async(1)

    run(main())
    assert log == ["0 begins", "0 ends", "1 begins", "1 ends"]
    assert is_idle(event)


def test_task_factory_that_raises_ends_the_call(api, event, calls, run):
    event.connect(calls.handle, overlap="skip")

    async def main():
        loop = asyncio.get_running_loop()

        def refuse(loop, coroutine, **kwargs):
            coroutine.close()
            raise ValueError("no task")

        loop.set_task_factory(refuse)
        with pytest.raises(ValueError, match="no task"):
            event.emit(0)
        loop.set_task_factory(None)
        task = start(event, 1)
        await settle()
        calls.finish(1)
        assert await task == [1]

    run(main())


# Several loops and threads


def test_calls_of_two_loops_are_queued(api, event):
    running, log, lock = [], [], threading.Lock()

    async def handler(name, number):
        assert not running
        running.append(name)
        await asyncio.sleep(0)
        with lock:
            log.append((name, number))
        running.remove(name)

    event.connect(handler, overlap="queue")

    async def main(name):
        await asyncio.gather(*(event.emit_async(name, number) for number in range(100)))

    threads = [threading.Thread(target=asyncio.run, args=(main(name),)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    for name in "ab":
        assert [number for each, number in log if each == name] == list(range(100))
    assert is_idle(event)


@pytest.mark.parametrize("mode", [*MODES, "parallel"])
def test_emissions_in_threads(api, event, mode):
    running, begun = [], []
    limit = 2 if mode == "parallel" else 1

    async def handler(number):
        running.append(number)
        assert len(running) <= limit
        try:
            await asyncio.sleep(0)
            begun.append(number)
        finally:
            running.remove(number)

    event.connect(handler, overlap=mode, **({"limit": 2} if mode == "parallel" else {}))

    def emit(first):
        for number in range(first, first + 200):
            event.emit(number)

    threads = [threading.Thread(target=emit, args=(first,)) for first in (0, 1000, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert api.drain(TIMEOUT)
    assert running == [] and is_idle(event)
    control = control_of(event)
    if mode in ("queue", "parallel"):
        for first in (0, 1000, 2000):
            mine = [number for number in begun if first <= number < first + 1000]
            if mode == "parallel":  # one that need not wait may overtake one that is being woken
                mine.sort()
            assert mine == list(range(first, first + 200))
    elif mode != "restart":
        assert len(begun) + control.skipped == 600
    else:
        assert len(begun) + control.skipped + control.restarted == 600


def test_restart_across_loops(api, event):
    begun, cancelled = threading.Event(), threading.Event()

    async def handler(name):
        if name == "b":
            return name
        begun.set()
        try:
            await asyncio.sleep(TIMEOUT)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    event.connect(handler, overlap="restart")
    results = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(event.emit_async("a"))))
    thread.start()
    assert begun.wait(TIMEOUT)
    assert asyncio.run(event.emit_async("b")) == ["b"]
    thread.join(TIMEOUT)
    assert results == [[]] and cancelled.is_set()


def test_emission_in_a_signal_handler_of_the_control(api, event, calls, run, monkeypatch):
    """An emission at each step of another one: here, whenever a place is made."""
    overlap = importlib.import_module("cyevents._async.overlap")
    event.connect(calls.handle, overlap="latest")
    make, nested = overlap._Place.__init__, []

    def interrupted(self, control):
        make(self, control)
        if not nested:
            nested.append(True)
            event.emit(-1)

    async def main():
        monkeypatch.setattr(overlap._Place, "__init__", interrupted)
        event.emit(0)
        await settle()
        assert calls.running == [-1]
        calls.finish(-1)
        await settle()
        calls.finish(0)
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert is_idle(event)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("mode", MODES)
def test_fork_does_not_wait_for_calls_of_the_parent(api, event, mode):
    begun, may_end = threading.Event(), threading.Event()

    async def handler(number):
        begun.set()
        await asyncio.to_thread(may_end.wait) if not number else None
        return number

    event.connect(handler, overlap=mode)
    event.emit(0)
    assert begun.wait(TIMEOUT)
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if asyncio.run(asyncio.wait_for(event.emit_async(1), TIMEOUT)) == [1] else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    may_end.set()
    assert api.drain(TIMEOUT)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.fixture
def other_loop():
    """Return a loop that runs in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(TIMEOUT)
    loop.close()


@pytest.mark.parametrize("way", ["emit_async", "send_async"])
@pytest.mark.parametrize("mode", MODES)
def test_delivered_calls(event, other_loop, run, mode, way):
    begun = []
    may_end = asyncio.Event()

    async def handler(number):
        begun.append(number)
        if number < 2:
            await may_end.wait()
        return number

    event.connect(handler, overlap=mode, via=other_loop, timeout=TIMEOUT)

    async def main():
        tasks = []
        for number in range(3):
            tasks.append(start(event, number, way))
            while not begun:
                await asyncio.sleep(0)
            await settle()
        other_loop.call_soon_threadsafe(may_end.set)
        return await outcomes(tasks)

    results = run(main())
    if way == "send_async":
        results = [[value for _, value in each] for each in results]
    assert (
        results
        == {
            "queue": [[0], [1], [2]],
            "skip": [[0], [], []],
            "restart": [[], [], [2]],
            "latest": [[0], [], [2]],
        }[mode]
    )
    assert is_idle(event)


def test_delivered_call_that_is_dropped_leaves_the_queue(api, event, run):
    """The loop is closed before it makes the call."""
    loop = asyncio.new_event_loop()

    async def handler(number):
        return number

    event.connect(handler, overlap="skip", via=loop)
    event.emit(1)
    assert not is_idle(event)
    loop.close()
    assert not api.drain(TIMEOUT)
    assert is_idle(event)
    with pytest.raises(RuntimeError, match="closed"):
        event.emit(2)
    assert is_idle(event)


@pytest.mark.parametrize("options", [{"overlap": "queue"}, {"overlap": "skip"}, {"limit": 1}])
@pytest.mark.parametrize("target", ["mailbox", "loop", "executor"])
@pytest.mark.parametrize("way", ["emit", "emit_async"])
def test_delivered_call_that_is_refused_leaves_the_queue(api, event, run, target, options, way):
    """Also while its exception is kept, whose traceback refers to the call."""

    async def handler(number):
        pass

    if target == "mailbox":
        via = full = api.Mailbox(1)
        other = api.Event("other")
        other.connect(print, via=full)
        other.emit()
    elif target == "loop":
        via = asyncio.new_event_loop()
        via.close()
    else:
        via = concurrent.futures.ThreadPoolExecutor(1)
        via.shutdown()
    event.connect(handler, via=via, **options)

    async def main():
        await event.emit_async(1)

    with pytest.raises(RuntimeError) as caught:
        event.emit(1) if way == "emit" else run(main())
    assert is_idle(event)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    if target == "mailbox":
        full.clear()


@pytest.mark.parametrize("overflow", ["raise", "drop_newest"])
@pytest.mark.parametrize("mode", ["restart", "latest"])
def test_call_that_finds_no_place_in_a_mailbox_stops_no_other(api, event, calls, run, mode, overflow):
    box = api.Mailbox(2, overflow)
    event.connect(calls.handle, via=box, overlap=mode)

    def emit(number):
        try:
            event.emit(number)
        except api.MailboxFull:
            assert overflow == "raise"

    async def main():
        emit(0)
        box.drain()
        await settle()
        emit(1)
        if mode == "restart":  # it has stopped the running call
            await settle()
        emit(2)
        emit(3)
        assert len(box) == 2
        assert len(control_of(event).calls) == (1 if mode == "restart" else 2)
        box.drain()
        await settle()
        if mode == "latest":
            calls.finish(0)
            await settle()
        calls.finish(2)
        await settle()

    run(main())
    assert calls.begun() == [0, 2]
    assert calls.log[-1] == "2 ends"
    assert is_idle(event)


# Calls that would wait for themselves


@pytest.mark.parametrize("options", [{"overlap": "queue"}, {"overlap": "latest"}, {"overlap": "restart"}, {"limit": 1}])
def test_awaited_recursion_raises(event, run, options):
    log = []

    async def handler(number):
        if number:
            log.append("called")
            return number
        try:
            await event.emit_async(1)
        except RuntimeError as error:
            log.append(str(error))
        return "outer"

    event.connect(handler, **options)
    assert run(event.emit_async(0)) == ["outer"]
    (name, word), *_ = options.items()
    given = f"limit={word}" if name == "limit" else f'overlap="{word}"'
    assert len(log) == 1 and f"of event 'x' would wait for itself for ever: it is connected with {given}" in log[0]
    assert is_idle(event)


def test_recursion_in_a_task_of_the_handler_raises(event, run):
    async def handler(number):
        if not number:
            await asyncio.create_task(event.emit_async(1))

    event.connect(handler, overlap="queue")
    with pytest.raises(RuntimeError, match="would wait for itself"):
        run(event.emit_async(0))


def test_recursion_through_another_event_raises(ns, run):
    first, second = ns.event("a"), ns.event("b")

    async def on_first(number):
        await second.emit_async(number)

    async def on_second(number):
        await first.emit_async(number)

    first.connect(on_first, overlap="queue")
    second.connect(on_second, overlap="queue")
    with pytest.raises(RuntimeError, match="event 'a' would wait for itself"):
        run(first.emit_async(1))


def test_recursion_through_another_loop_raises(ns, other_loop, run):
    first, second = ns.event("a"), ns.event("b")

    async def on_first(number):
        return await second.emit_async(number)

    async def on_second(number):
        try:
            return await first.emit_async(number)
        except RuntimeError as error:
            return str(error)

    first.connect(on_first, overlap="queue")
    second.connect(on_second, via=other_loop)
    ((text,),) = run(first.emit_async(1))
    assert "event 'a' would wait for itself" in text


def test_recursion_error_is_left_to_the_error_policy(ns, run):
    errors = []
    event = ns.event("e")
    event.on_error = lambda error, handler, event, sender: errors.append(error)

    async def handler(number):
        if not number:
            return await event.emit_async(1)
        return number

    event.connect(handler, overlap="queue")
    assert run(event.emit_async(0)) == [[]]
    assert [type(error) for error in errors] == [RuntimeError]


def test_limit_leaves_room_for_recursion(event, run):
    async def handler(number):
        return number if number == 1 else await event.emit_async(number - 1)

    event.connect(handler, limit=3)
    assert run(event.emit_async(3)) == [[[1]]]
    with pytest.raises(RuntimeError, match="limit=3"):
        run(event.emit_async(4))


def test_calls_that_wait_for_each_other_raise(event, run):
    """Both that may run await a call each: the second would wait for the first, and that for the second."""

    async def handler(number):
        if number > 1:
            return number
        for _ in range(number + 1):
            await settle()
        return await event.emit_async(number + 2)

    event.connect(handler, limit=2)

    async def main():
        tasks = [start(event, 0), start(event, 1)]
        return await outcomes(tasks)

    first, second = run(main())
    assert first == [[2]]
    assert type(second) is RuntimeError and "limit=2" in str(second)


@pytest.mark.parametrize("mode", ["queue", "latest"])
def test_handler_may_emit_its_own_event(api, event, run, mode):
    log = []

    async def handler(number):
        log.append(number)
        if number < 50:
            event.emit(number + 1)
        await asyncio.sleep(0)

    event.connect(handler, overlap=mode)

    async def main():
        await event.emit_async(0)
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert log == list(range(51))
    assert is_idle(event)


def test_restarting_handler_may_emit_its_own_event(api, event, run):
    log = []

    async def handler(number):
        log.append(number)
        if number < 3:
            event.emit(number + 1)
            await asyncio.sleep(TIMEOUT)

    event.connect(handler, overlap="restart")

    async def main():
        assert await event.emit_async(0) == []
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert log == [0, 1, 2, 3]


def test_scheduled_call_may_await_the_event_of_the_call_that_scheduled_it(api, ns, run):
    first, second = ns.event("a"), ns.event("b")
    log = []

    async def on_first(number):
        log.append(number)
        if not number:
            second.emit(0)
            await settle()

    async def on_second(number):
        log.append("second")
        await first.emit_async(1)

    first.connect(on_first, overlap="queue")
    second.connect(on_second)

    async def main():
        await first.emit_async(0)
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert log == [0, "second", 1]


def test_task_that_outlives_the_call_may_await_its_event(event, run):
    tasks = []

    async def later():
        await settle()
        return await event.emit_async(1)

    async def handler(number):
        if not number:
            tasks.append(asyncio.create_task(later()))
        return number

    event.connect(handler, overlap="queue")

    async def main():
        assert await event.emit_async(0) == [0]
        return await tasks[0]

    assert run(main()) == [1]


def test_chains_of_calls_are_not_kept(api, event, run):
    """A handler that always emits its own event again keeps no chain of earlier calls."""
    overlap = importlib.import_module("cyevents._async.overlap")
    depths = []

    async def handler(number):
        depth, place = 0, overlap._current.get()
        while place is not None:
            depth, place = depth + 1, place.outer
        depths.append(depth)
        if number < 20:
            event.emit(number + 1)
            await asyncio.sleep(0)

    event.connect(handler, overlap="queue")

    async def main():
        event.emit(0)
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert depths == [1] * 21


def test_nothing_is_kept_alive(event, run, collect):
    class Owner:
        async def handle(self, sender):
            tasks.append(asyncio.create_task(asyncio.sleep(0)))
            contexts.append(contextvars.copy_context())

    tasks, contexts = [], []
    owner, sender = Owner(), Calls()
    refs = [weakref.ref(owner), weakref.ref(sender)]
    event.connect(owner.handle, overlap="restart", timeout=TIMEOUT)
    run(event.emit_async(sender))
    del owner, sender
    collect()
    assert [each() for each in refs] == [None, None]
    assert contexts


# Timeouts


@pytest.mark.parametrize("lone", [True, False])
@pytest.mark.parametrize("mode", [*MODES, "parallel"])
def test_timeout_cancels_the_handler(event, calls, run, mode, lone):
    event.connect(calls.handle, overlap=mode, timeout=0.01)
    if not lone:
        event.connect(lambda sender: asyncio.sleep(0), weak=False)

    async def main():
        with pytest.raises(TimeoutError) as caught:
            await event.emit_async(1)
        assert str(caught.value).endswith("handle of event 'x' was cancelled: it took more than its timeout of 0.01 s")
        assert not asyncio.current_task().cancelling()

    run(main())
    assert calls.log == ["1 begins", "1 CancelledError"]
    assert mode == "parallel" or is_idle(event)


def test_timeout_does_not_count_the_time_in_the_queue(event, run):
    may_end = asyncio.Event()

    async def handler(number):
        if not number:
            await may_end.wait()
        return number

    event.connect(handler, overlap="queue", timeout=0.2)

    async def main():
        loop = asyncio.get_running_loop()
        tasks = [start(event, 0), start(event, 1)]
        loop.call_later(0.01, may_end.set)
        return await outcomes(tasks)

    assert run(main()) == [[0], [1]]


def test_timeout_error_of_the_handler_is_its_own(event, run):
    async def handler(sender):
        raise TimeoutError("my own")

    event.connect(handler, timeout=TIMEOUT)
    with pytest.raises(TimeoutError, match="^my own$"):
        run(event.emit_async("a"))


def test_inner_timeout_of_the_handler(event, run):
    async def handler(sender):
        try:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(TIMEOUT)
        except TimeoutError:
            return "inner"

    event.connect(handler, timeout=TIMEOUT)
    assert run(event.emit_async("a")) == ["inner"]


def test_handler_that_suppresses_the_timeout_has_its_value(event, run):
    async def handler(sender):
        try:
            await asyncio.sleep(TIMEOUT)
        except asyncio.CancelledError:
            return "late"

    event.connect(handler, timeout=0.01)
    assert run(event.emit_async("a")) == ["late"]


def test_timeout_and_error_policy(ns, calls, run):
    errors = []
    event = ns.event("e")
    event.on_error = lambda error, handler, event, sender: errors.append(error)
    event.connect(calls.handle, timeout=0.01)
    event.connect(lambda sender: "other", weak=False)
    assert run(event.emit_async(1)) == ["other"]
    event.on_error = "group"
    with pytest.raises(ExceptionGroup) as caught:
        run(event.emit_async(1))
    errors += caught.value.exceptions
    assert [type(error) for error in errors] == [TimeoutError, TimeoutError]


def test_timeout_in_emit_is_reported_like_any_error(api, ns, calls, run):
    errors = []
    event = ns.event("e")
    event.on_error = lambda *given: errors.append(given)
    event.connect(calls.handle, timeout=0.01)

    async def main():
        event.emit(1)
        assert await api.drain_async(TIMEOUT)

    run(main())
    ((error, handler, of, sender),) = errors
    assert (type(error), handler, of, sender) == (TimeoutError, calls.handle, event, 1)


def test_timeout_in_the_background_loop_is_logged(api, event, calls, caplog):
    event.connect(calls.handle, timeout=0.01)
    event.emit(1)
    assert api.drain(TIMEOUT)
    assert ["timeout of 0.01 s" in str(record.exc_info[1]) for record in caplog.records] == [True]


@pytest.mark.parametrize("lone", [True, False])
@pytest.mark.parametrize("mode", ["parallel", "restart", "queue"])
def test_timeout_and_cancellation_at_once(event, run, mode, lone):
    """The cancellation of the emission wins over the timeout in the same iteration of the loop."""
    event.connect(lambda sender: asyncio.sleep(TIMEOUT), overlap=mode, timeout=0.01, weak=False)
    if not lone:
        event.connect(lambda sender: asyncio.sleep(0), weak=False)

    async def main():
        loop = asyncio.get_running_loop()
        task = start(event, 1)
        await settle()
        loop.call_later(0.01, task.cancel)
        await asyncio.wait([task])
        error = None if task.cancelled() else task.exception()
        assert task.cancelled() or type(error) is TimeoutError
        task = start(event, 1)
        timed_out = loop.create_future()
        loop.call_later(0.01, timed_out.set_result, None)
        await timed_out
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or type(task.exception()) is TimeoutError

    run(main())


def test_timeouts_of_nested_emissions(ns, run):
    outer, inner = ns.event("outer"), ns.event("inner")

    async def wait(sender):
        await asyncio.sleep(TIMEOUT)

    async def emit(sender):
        await inner.emit_async(sender)

    inner.connect(wait, timeout=TIMEOUT)
    outer.connect(emit, timeout=0.01)
    with pytest.raises(TimeoutError, match="event 'outer'"):
        run(outer.emit_async("a"))
    inner.connect(wait, timeout=0.01)
    outer.connect(emit, timeout=TIMEOUT)
    with pytest.raises(TimeoutError, match="event 'inner'"):
        run(outer.emit_async("a"))


@pytest.mark.parametrize("timeout", [float("inf"), 10**400])
def test_huge_timeout_is_none(event, run, timeout):
    async def handler(sender):
        return "done"

    event.connect(handler, timeout=timeout, overlap="queue")
    assert event.handlers[0].timeout == float("inf")
    assert run(event.emit_async("a")) == ["done"]


# Task factories, contexts and threads


class OwnTask(asyncio.Task):
    pass


FACTORIES = {"none": None, "own": lambda loop, coroutine, **more: OwnTask(coroutine, loop=loop, **more)}
if sys.version_info >= (3, 12):
    FACTORIES["eager"] = asyncio.eager_task_factory


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("mode", MODES)
def test_task_factories(api, event, calls, run, mode, factory):
    event.connect(calls.handle, overlap=mode, timeout=TIMEOUT)
    expected = {"queue": [0, 1, 2, 3], "skip": [0], "restart": [3], "latest": [0, 3]}[mode]

    async def main():
        asyncio.get_running_loop().set_task_factory(FACTORIES[factory])
        for way in ("emit", "emit_async"):
            for number in range(4):
                if way == "emit":
                    event.emit(number)
                else:
                    start(event, number)
            done = []
            for _ in range(5):
                await settle()
                for number in list(calls.running):
                    done.append(number)
                    calls.finish(number)
            assert done == expected
            assert await api.drain_async(TIMEOUT)

    run(main())
    assert is_idle(event)


def test_task_of_a_restartable_handler_is_named_after_it(event, run):
    async def handler(sender):
        return repr(asyncio.current_task())

    event.connect(handler, overlap="restart")
    assert "handler()" in run(event.emit_async("a"))[0]


def test_restartable_handler_runs_in_a_task_of_the_factory(event, run):
    async def handler(sender):
        return type(asyncio.current_task())

    event.connect(handler, overlap="restart")

    async def main():
        asyncio.get_running_loop().set_task_factory(FACTORIES["own"])
        return await event.emit_async("a")

    assert run(main()) == [OwnTask]


@pytest.mark.parametrize("mode", MODES)
def test_uvloop(event, calls, mode):
    uvloop = pytest.importorskip("uvloop")
    event.connect(calls.handle, overlap=mode, timeout=float("inf"))

    async def main():
        tasks = [start(event, number) for number in range(3)]
        await settle()
        for number in range(3):
            if number in calls.running:
                calls.finish(number)
                await settle()
        return await outcomes(tasks)

    assert (
        uvloop.run(main())
        == {
            "queue": [[0], [1], [2]],
            "skip": [[0], [], []],
            "restart": [[], [], [2]],
            "latest": [[0], [], [2]],
        }[mode]
    )


@pytest.mark.parametrize("mode", MODES)
def test_context_is_that_of_the_emission(event, run, mode):
    variable = contextvars.ContextVar("v", default=0)

    async def handler(sender):
        seen = variable.get()
        variable.set(-1)
        await asyncio.sleep(0)
        return seen, variable.get()

    event.connect(handler, overlap=mode)

    async def main():
        variable.set(1)
        results = await event.emit_async("a")
        return results, variable.get()

    assert run(main()) == ([(1, -1)], 1)


def test_handler_in_a_thread(event, run):
    def where():
        return "main" if threading.current_thread() is threading.main_thread() else "worker"

    event.connect(lambda sender: where(), overlap="queue", thread=True, weak=False)
    assert run(event.emit_async("a")) == ["worker"]
    assert is_idle(event)


# Instruments, trace and describe


def test_trace_and_describe_show_what_is_stopped(api, ns, calls, run):
    outcomes_of = {}

    async def main(mode):
        event = ns.event(mode)
        event.connect(calls.handle, overlap=mode)
        with api.trace(event) as seen:
            tasks = [start(event, 0)]
            await settle()
            tasks += [start(event, 1), start(event, 2)]
            await settle()
            for number in range(3):
                if number in calls.running:
                    calls.finish(number)
                    await settle()
            await outcomes(tasks)
        outcomes_of[mode] = [(call.outcome, call.reason) for each in seen.walk() for call in each.calls]
        return str(seen)

    texts = {mode: run(main(mode)) for mode in MODES}
    restarted = ("restarted", "a later call of the handler has cancelled it")
    superseded = ("superseded", "a later call of the handler has taken its place before it began")
    skipped, returned = ("skipped", "its earlier call still runs"), ("returned", None)
    assert outcomes_of == {
        "queue": [returned, returned, returned],
        "skip": [returned, skipped, skipped],
        "restart": [restarted, superseded, returned],
        "latest": [returned, superseded, returned],
    }
    assert "async  restarted: a later call of the handler has cancelled it" in texts["restart"]
    edges = {node.name: node.handlers[0] for node in api.describe(ns).events}
    assert {mode: edge.options for mode, edge in edges.items()} == {
        "queue": ["overlap=queue"],
        "skip": ["overlap=skip (2 skipped)"],
        "restart": ["overlap=restart (1 skipped, 1 restarted)"],
        "latest": ["overlap=latest (1 skipped)"],
    }


def test_trace_of_a_call_that_waits_when_its_handler_is_disconnected(api, event, calls, run):
    event.connect(calls.handle, overlap="queue")

    async def main():
        with api.trace(event) as seen:
            tasks = [start(event, 0), start(event, 1)]
            await settle()
            event.disconnect(calls.handle)
            calls.finish(0)
            await outcomes(tasks)
        return seen

    seen = run(main())
    assert [call.outcome for each in seen.walk() for call in each.calls] == ["returned", "stopped"]
    assert "stopped by the disconnection of its handler" in str(seen)


def test_call_spans_end_with_a_cancelled_error(api, event, calls, run):
    instrument = importlib.import_module("cyevents.instrument")
    ends = []

    class Call(instrument.CallSpan):
        def end(self, value, error):
            ends.append((value, isinstance(error, asyncio.CancelledError)))

    class Spans(instrument.Instrument, instrument.EmissionSpan):
        def begin(self, start):
            return self

        def call(self, entry, handler):
            return Call()

    event.connect(calls.handle, overlap="restart")

    async def main():
        with instrument.observe(Spans(), event):
            tasks = [start(event, 0)]
            await settle()
            tasks.append(start(event, 1))
            await settle()
            calls.finish(1)
            return await outcomes(tasks)

    assert run(main()) == [[], [1]]
    assert ends == [(None, True), (1, False)]


@pytest.mark.parametrize("mode", [*MODES, "parallel"])
def test_budget_counts_the_steps_of_the_handler(ns, event, run, mode):
    found = []

    async def handler(sender):
        await asyncio.sleep(0)
        end = time.perf_counter() + 0.02
        while time.perf_counter() < end:
            pass
        await asyncio.sleep(0)

    event.connect(handler, overlap=mode, timeout=TIMEOUT)

    async def main():
        with ns.watch(budget=0.01, on_slow=lambda *given, **named: found.append((given, named))):
            await event.emit_async("a")

    run(main())
    assert len(found) == 1


# trio


def test_overlap_under_trio(api, ns):
    trio = pytest.importorskip("trio")
    pytest.importorskip("trio.testing")
    pytest.importorskip("anyio")
    results, log = {}, []

    async def main():
        for mode in [*MODES, "parallel"]:
            event = ns.event(mode)
            gates = [trio.Event() for _ in range(4)]

            async def handler(number, gates=gates, mode=mode):
                log.append((mode, number))
                await gates[number].wait()
                return number

            event.connect(handler, overlap=mode, weak=False, **({"limit": 2} if mode == "parallel" else {}))
            found = results[mode] = {}

            async def emit(number, event=event, found=found):
                found[number] = await event.emit_async(number)

            async with trio.open_nursery() as nursery:
                for number in range(4):
                    nursery.start_soon(emit, number)
                    await trio.testing.wait_all_tasks_blocked()
                for gate in gates:
                    gate.set()
                    await trio.testing.wait_all_tasks_blocked()
            assert is_idle(event)

    trio.run(main)
    assert results == {
        "queue": {0: [0], 1: [1], 2: [2], 3: [3]},
        "parallel": {0: [0], 1: [1], 2: [2], 3: [3]},
        "skip": {0: [0], 1: [], 2: [], 3: []},
        "restart": {0: [], 1: [], 2: [], 3: [3]},
        "latest": {0: [0], 1: [], 2: [], 3: [3]},
    }
    assert [number for mode, number in log if mode == "latest"] == [0, 3]


def test_timeout_under_trio(api, event):
    trio = pytest.importorskip("trio")
    pytest.importorskip("anyio")
    log = []

    async def handler(number):
        if not number:
            raise TimeoutError("my own")
        try:
            await trio.sleep(TIMEOUT)
        except trio.Cancelled:
            log.append("cancelled")
            raise

    event.connect(handler, timeout=0.01, overlap="restart")

    async def main():
        with pytest.raises(TimeoutError, match="event 'x' was cancelled: it took more than its timeout of 0.01 s"):
            await event.emit_async(1)
        with pytest.raises(TimeoutError, match="^my own$"):
            await event.emit_async(0)

    trio.run(main)
    assert log == ["cancelled"]


def test_cancellation_under_trio(api, event):
    trio = pytest.importorskip("trio")
    pytest.importorskip("trio.testing")
    pytest.importorskip("anyio")
    log = []

    async def handler(number):
        log.append(number)
        await trio.sleep_forever() if number < 2 else None
        return number

    event.connect(handler, overlap="queue")

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(event.emit_async, 0)
            await trio.testing.wait_all_tasks_blocked()
            with trio.move_on_after(0):
                await event.emit_async(1)
            nursery.cancel_scope.cancel()
        assert await event.emit_async(2) == [2]

    trio.run(main)
    assert log == [0, 2]
    assert is_idle(event)


def test_recursion_under_trio_raises(api, event):
    trio = pytest.importorskip("trio")
    pytest.importorskip("anyio")

    async def handler(number):
        return await event.emit_async(number)

    event.connect(handler, overlap="queue")
    with pytest.raises(RuntimeError, match="would wait for itself"):
        trio.run(event.emit_async, 1)


# Against a model


class Model:
    """What the calls of a connection should do, when each step is done before the next one."""

    def __init__(self, mode, limit):
        self.mode, self.limit = mode, limit
        self.running, self.waiting, self.results = [], [], {}

    def begin(self, number):
        if len(self.running) < self.limit:
            self.running.append(number)
        elif self.mode == "skip":
            self.results[number] = []
        else:
            if self.mode == "restart":
                self.results[self.running.pop()] = []
            if self.mode in ("restart", "latest"):
                self.results |= dict.fromkeys(self.waiting, [])
                self.waiting.clear()
            self.waiting.append(number)
        self.advance()

    def end(self, number, result):
        self.results[number] = result
        for calls in (self.running, self.waiting):
            if number in calls:
                calls.remove(number)
        self.advance()

    def advance(self):
        while self.waiting and len(self.running) < self.limit:
            self.running.append(self.waiting.pop(0))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("mode", [*MODES, "parallel"])
def test_random_steps_agree_with_a_model(api, event, calls, run, mode, seed):
    chance = random.Random(f"{mode} {seed}")
    limit = chance.randint(1, 3) if mode == "parallel" else 1
    event.connect(calls.handle, overlap=mode, **({"limit": limit} if mode == "parallel" else {}))
    if seed % 2:
        event.connect(lambda sender: asyncio.sleep(0), weak=False)
    model, tasks = Model(mode, limit), {}

    async def main():
        for number in range(60):
            if model.running and chance.random() < 0.35:
                done = chance.choice(model.running)
                calls.finish(done)
                await settle()
                model.end(done, [done])
            pending = model.running + model.waiting
            if pending and chance.random() < 0.25:
                cancelled = chance.choice(pending)
                if tasks[cancelled] is not None:
                    tasks[cancelled].cancel()
                    await settle()
                    model.end(cancelled, "cancelled")
            tasks[number] = None if chance.random() < 0.3 else start(event, number)
            if tasks[number] is None:
                event.emit(number)
            await settle()
            model.begin(number)
            assert sorted(calls.running) == sorted(model.running)
        while model.running:
            done = model.running[0]
            calls.finish(done)
            await settle()
            model.end(done, [done])
        for number, task in tasks.items():
            if task is not None:
                result = "cancelled" if task.cancelled() else task.result()
                assert result == model.results[number]
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert calls.running == [] and is_idle(event)
    assert calls.begun() == sorted(calls.begun())


# Interruptions by signal handlers


INTERRUPTED = """
import asyncio, gc, itertools, logging, signal, sys, time, warnings
from cyevents import Event, drain_async

warnings.simplefilter("ignore")  # about coroutines that are never awaited
logging.disable()
options = {options}
sys.unraisablehook = lambda *_: None

class Interrupt(BaseException):
    pass

armed = False

def alarm(_, frame):
    global armed, count
    # Only there: an event loop does not survive an interruption in its own code.
    if armed and frame.f_code.co_filename.endswith("overlap.py"):
        armed = False
        count += 1
        raise Interrupt

signal.signal(signal.SIGALRM, alarm)

async def handler(number):
    await asyncio.sleep(0)
    return number

async def act(event):
    for _ in range(20):
        tasks = [asyncio.ensure_future(event.emit_async(number)) for number in range(3)]
        event.emit(3)
        await asyncio.gather(*tasks)
        await drain_async(10)

end = time.monotonic() + 0.3
count = 0
for delay in itertools.cycle((0.0005, 0.0007, 0.0011, 0.0013)):
    event = Event("x")
    event.connect(handler, **options)
    runner = asyncio.Runner()
    runner.get_loop().set_exception_handler(lambda *_: None)
    try:
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, delay, 0.0003)
            runner.run(act(event))
        finally:
            armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupt:
        pass
    runner.close()
    del runner
    gc.collect()
    assert asyncio.run(asyncio.wait_for(event.emit_async(9), 10)) == [9], count
    control = event._connections()[0][0].delivery.control
    assert not control.calls and (control._last.place is None or control._last.place.is_over), count
    if time.monotonic() > end and count > 10:  # on a busy machine, few interruptions come in that time
        break
    assert time.monotonic() < end + 30, count
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")
@pytest.mark.parametrize("mode", [*MODES, "parallel"])
def test_interrupted_calls_do_not_block_later_ones(backend, mode):
    options = {"limit": 1} if mode == "parallel" else {"overlap": mode}
    environment = {**os.environ, "CYEVENTS_PURE_PYTHON": {"cython": "0", "python": "1"}[backend]}
    program = INTERRUPTED.replace("{options}", repr(options))
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
