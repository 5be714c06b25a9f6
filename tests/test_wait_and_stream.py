"""`event.wait` and `event.stream` on asyncio, uvloop and trio lose no emission and leave nothing connected."""

import asyncio
import contextlib
import gc
import importlib
import logging
import threading
import weakref
from collections.abc import Coroutine

import pytest

anyio = pytest.importorskip("anyio")
trio = pytest.importorskip("trio")


@pytest.fixture(params=["asyncio", "uvloop", "trio"])
def run(request):
    """Run an async function until it ends: `run(main)`."""
    backend, options = "asyncio", {}
    if request.param == "trio":
        backend = "trio"
    elif request.param == "uvloop":
        pytest.importorskip("uvloop")
        options = {"use_uvloop": True}

    async def guarded(main):
        with anyio.fail_after(30):
            return await main()

    return lambda main: anyio.run(guarded, main, backend=backend, backend_options=options)


@pytest.fixture
def event(ns):
    return ns.event("x")


async def ticks(number=5):
    for _ in range(number):
        await anyio.sleep(0)


def shown(emission):
    return emission.event.name, emission.sender, emission.args, emission.kwargs


# Waiting


def test_wait_returns_the_next_emission(ns, event, run):
    names = dict.fromkeys(("self", "event", "sender_", "args", "kwargs", "number"), 1)

    async def main():
        async with anyio.create_task_group() as group:

            async def emit():
                await ticks()
                assert event.emit("sender", 2, 3, **names) == []
                event.emit("another")

            group.start_soon(emit)
            emission = await event.wait()
        assert shown(emission) == ("x", "sender", (2, 3), names)
        assert emission.event is event
        assert repr(emission) == ("emit('x', 'sender', 2, 3, self=1, event=1, sender_=1, args=1, kwargs=1, number=1)")
        assert event.handlers == []

    run(main)


def test_wait_listens_from_the_call_on(api, event, run):
    async def main():
        waiting = event.wait()
        event.emit()
        event.emit("second")
        assert event.handlers == []  # the wait is over
        assert (await waiting).sender is api.ANY

    run(main)


def test_wait_with_sender_and_condition(event, run):
    async def main():
        waiting = event.wait("sender", condition=lambda sender, *, number: number > 1)
        event.emit("another", number=2)
        event.emit("sender", number=1)
        event.emit("sender", 9, number=2)
        assert shown(await waiting) == ("x", "sender", (9,), {"number": 2})

    run(main)


def test_wait_on_a_pattern_gives_the_event(ns, run):
    async def main():
        waiting = ns.event("user.*").wait()
        emissions = ns.event("user.*").stream()
        user_created = ns.event("user.created")
        ns.event("order").emit()
        user_created.emit("u", 1, event="the emitter's own gives way", key=2)
        emission = await waiting
        assert emission.event is user_created
        assert shown(emission) == shown(await anext(emissions)) == ("user.created", "u", (1,), {"key": 2})
        emissions.close()
        assert ns.event("user.*").handlers == user_created.handlers == []

    run(main)


def test_priority_decides_about_cancelled_emissions(event, run):
    event.connect(lambda sender: False, weak=False, priority=5)

    async def main():
        early, late = event.wait(priority=6), event.wait()
        event.emit(1)
        assert (await early).sender == 1
        late.close()

    run(main)


@pytest.mark.parametrize("timeout", [0, 0.01, -1])
def test_wait_timeout(event, run, timeout):
    async def main():
        with pytest.raises(TimeoutError, match=f"'x' was not emitted within {timeout} seconds"):
            await event.wait(timeout=timeout)
        assert event.handlers == []

    run(main)


@pytest.mark.parametrize("timeout", [0, 30])
def test_emission_before_the_timeout_is_returned(event, run, timeout):
    async def main():
        waiting = event.wait(timeout=timeout)
        event.emit(1)
        assert (await waiting).sender == 1
        other = event.wait(timeout=30)
        async with anyio.create_task_group() as group:
            group.start_soon(emit_a_moment_later)
            assert (await other).sender == 2

    async def emit_a_moment_later():
        await ticks()
        event.emit(2)

    run(main)


def test_timeout_of_zero_runs_the_loop_once(event):
    async def main():
        asyncio.get_running_loop().call_soon(event.emit, 1)
        assert (await event.wait(timeout=0)).sender == 1

    asyncio.run(main())


def test_timer_is_cancelled(event, monkeypatch):
    async def main():
        loop, timers = asyncio.get_running_loop(), []
        call_at = loop.call_at
        monkeypatch.setattr(loop, "call_at", lambda *args: timers.append(call_at(*args)) or timers[-1])
        loop.call_soon(event.emit, 1)
        await event.wait(timeout=1000)
        assert [timer.cancelled() for timer in timers] == [True]

    asyncio.run(main())


def test_cancelled_wait_leaves_nothing_connected(event, run):
    async def main():
        with anyio.move_on_after(0.005) as scope:
            await event.wait()
        assert scope.cancelled_caught
        assert event.handlers == []

    run(main)


def test_exception_in_the_task_leaves_nothing_connected(event, run):
    async def main():
        with pytest.raises(ValueError):
            waiting = event.wait()
            assert len(event.handlers) == 1
            raise ValueError
        waiting.close()
        assert event.handlers == []

    run(main)


@pytest.mark.parametrize("end", ["close", "throw", "forget"])
def test_unawaited_wait_leaves_nothing_connected(event, recwarn, end):
    waiting = event.wait()
    assert isinstance(waiting, Coroutine)
    assert len(event.handlers) == 1
    if end == "close":
        waiting.close()
    elif end == "throw":
        with pytest.raises(ValueError) as caught:  # it holds the frames
            waiting.throw(ValueError())
        assert caught
    else:
        del waiting
        gc.collect()
        assert "coroutine 'Event.wait' was never awaited" in str(recwarn.pop(RuntimeWarning).message)
    assert event.handlers == []


def test_task_cancelled_before_its_start(event):
    async def main():
        task = asyncio.create_task(event.wait())
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert event.handlers == []

    asyncio.run(main())


def test_asyncio_wait_for_and_tasks(event):
    async def main():
        asyncio.get_running_loop().call_soon(event.emit, 1)
        first, second = await asyncio.gather(event.wait(), asyncio.wait_for(event.wait(), 30))
        assert first.sender == second.sender == 1
        task = asyncio.create_task(event.wait())
        event.emit(2)  # the task has not started
        assert (await task).sender == 2
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(event.wait(), 0.005)
        assert event.handlers == []

    asyncio.run(main())


def test_emission_and_cancellation_at_once(event):
    async def main():
        task = asyncio.create_task(event.wait())
        await asyncio.sleep(0)
        event.emit(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert event.handlers == []

    asyncio.run(main())


def test_closed_loop_leaves_nothing_connected(event):
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    task = loop.create_task(event.wait())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert len(event.handlers) == 1  # the closed loop is not noticed yet
    event.emit(1)
    assert event.handlers == []
    del task


def test_loop_closed_during_a_stream(event):
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    emissions = event.stream()
    task = loop.create_task(emissions.__anext__())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    event.emit(1)
    assert event.handlers == []
    del task


def test_ended_trio_run_leaves_nothing_connected(event):
    waiters = importlib.import_module("cyevents._async.waiters")
    emissions = event.stream()

    async def wait():
        emissions._waiter = waiters._TrioWaiter(trio)  # as when another thread's emission finds a task just too late

    trio.run(wait)
    event.emit(1)
    assert event.handlers == []


def test_wait_without_a_loop_raises_runtime_error(event):
    waiting = event.wait()
    with pytest.raises(RuntimeError, match="no running event loop"):
        waiting.send(None)
    assert event.handlers == []


def test_deleted_event_is_freed_after_the_last_wait(ns, run):
    async def main():
        async with anyio.create_task_group() as group:
            event = ns.event("deleted")
            gone = weakref.ref(event)
            group.start_soon(event.wait)
            stream = event.stream()
            await ticks()
            del ns["deleted"]
            del event
            group.cancel_scope.cancel()
        stream.close()
        del stream
        await ticks()
        gc.collect()
        assert gone() is None

    run(main)


def test_clear_ends_streams_and_waits(event, run):
    async def main():
        waiting, emissions = event.wait(), event.stream()
        event.emit(1)

        async def clear():
            await ticks()
            event.clear()

        async with anyio.create_task_group() as group:
            group.start_soon(clear)
            assert [emission.sender async for emission in emissions] == [1]
        assert (await waiting).sender == 1
        waiting = event.wait()
        event.clear()
        with pytest.raises(RuntimeError, match="'x' was cleared while it was waited for"):
            await waiting

    run(main)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"timeout": "soon"}, TypeError, "timeout must be a number of seconds or None, not 'soon'"),
        ({"condition": 5}, TypeError, "condition must be callable or None, not 5"),
        ({"priority": "high"}, TypeError, "priority must be an int, not 'high'"),
    ],
)
def test_invalid_arguments_raise_when_wait_is_called(event, arguments, error, text):
    with pytest.raises(error) as caught:
        event.wait(**arguments)
    assert str(caught.value) == text
    assert event.handlers == []


# Streams


def test_stream_gives_all_emissions_in_order(event, run):
    async def main():
        seen = []
        emissions = event.stream("sender", condition=lambda sender, **kwargs: kwargs.get("key") != 0)
        event.emit("sender", 1)
        event.emit("another", 2)
        event.emit("sender", key=0)

        async def emit():
            for number in range(3, 6):
                event.emit("sender", number)
                await ticks()

        async with anyio.create_task_group() as group:
            group.start_soon(emit)
            async for emission in emissions:
                seen.append(emission.args[0])
                if emission.args == (5,):
                    break
        assert seen == [1, 3, 4, 5]
        assert emissions.dropped == 0
        event.emit("sender", 6)  # the held stream continues
        async for emission in emissions:
            assert emission.args == (6,)
            break
        emissions.close()
        assert event.handlers == []

    run(main)


def test_break_leaves_nothing_connected(event, run):
    async def main():
        async with anyio.create_task_group() as group:
            group.start_soon(emit_a_moment_later)
            async for emission in event.stream():
                assert len(event.handlers) == 1
                break
        assert emission.sender == 1
        assert event.handlers == []

    async def emit_a_moment_later():
        await ticks()
        event.emit(1)

    run(main)


def test_exception_in_the_loop_leaves_nothing_connected(event, run):
    async def emit_a_moment_later():
        await ticks()
        event.emit(1)

    async def main():
        async with anyio.create_task_group() as group:
            group.start_soon(emit_a_moment_later)
            try:
                async for _ in event.stream():
                    raise ValueError
            except ValueError as error:
                assert event.handlers == []
                assert error.__traceback__

    run(main)


def test_cancelled_stream_leaves_nothing_connected(event):
    async def consume():
        async for _ in event.stream():
            pass

    async def main():
        task = asyncio.create_task(consume())
        await asyncio.sleep(0)
        assert len(event.handlers) == 1
        task.cancel()
        try:
            await task
        except asyncio.CancelledError as cancellation:  # its traceback holds the frames
            assert event.handlers == []
            assert cancellation

    asyncio.run(main())


def test_time_limit_on_a_stream_leaves_nothing_connected(event, run):
    async def main():
        with anyio.move_on_after(0.005):
            async for _ in event.stream():
                pass
        assert event.handlers == []

    run(main)


def test_time_limit_on_anext_keeps_the_stream(event, run):
    async def main():
        async with event.stream() as emissions:
            with anyio.move_on_after(0.005):
                await anext(emissions)
            event.emit(1)
            assert (await anext(emissions)).sender == 1
        assert event.handlers == []

    run(main)


@pytest.mark.parametrize("end", ["return", "error"])
def test_leaving_the_context_closes_the_stream(event, run, end):
    async def main():
        with contextlib.suppress(ValueError):
            async with event.stream() as emissions:
                event.emit(1)
                if end == "error":
                    raise ValueError
        assert event.handlers == []
        assert [emission async for emission in emissions] == []
        assert repr(emissions) == "<Stream of 'x': closed>"

    run(main)


@pytest.mark.parametrize("how", ["close", "aclose"])
def test_closing_ends_the_waiting_loop(event, run, how):
    emissions = event.stream()

    async def close():
        await ticks()
        emissions.close() if how == "close" else await emissions.aclose()

    async def main():
        async with anyio.create_task_group() as group:
            group.start_soon(close)
            async for _ in emissions:
                raise AssertionError
        assert event.handlers == []

    run(main)


def test_closing_in_another_thread_ends_the_waiting_loop(event, run):
    async def main():
        emissions = event.stream()
        threading.Timer(0.005, emissions.close).start()
        async for _ in emissions:
            raise AssertionError
        assert event.handlers == []

    run(main)


def test_stream_serves_one_task_at_a_time(event, run):
    async def main():
        emissions = event.stream()
        async with anyio.create_task_group() as group:
            group.start_soon(emissions.__anext__)
            await ticks()
            with pytest.raises(RuntimeError, match="one task or thread, and another one already waits for 'x'"):
                await anext(emissions)
            event.emit(1)

    run(main)


def test_full_stream_raises_after_its_buffer(api, event, run):
    async def main():
        emissions = event.stream(buffer=2)
        for number in range(4):
            event.emit(number)
        assert event.handlers == []
        assert (await anext(emissions)).sender == 0
        emissions._on_emit("from another thread")  # after one that was lost
        assert (await anext(emissions)).sender == 1
        with pytest.raises(api.StreamOverflow) as caught:
            await anext(emissions)
        assert str(caught.value) == (
            "a stream of 'x' is more than 2 emissions behind: take them faster, give it a larger buffer, or say what"
            ' to drop: overflow="drop_oldest" or "drop_newest"'
        )
        assert [emission async for emission in emissions] == []

    run(main)


@pytest.mark.parametrize(("overflow", "kept"), [("drop_oldest", [3, 4]), ("drop_newest", [0, 1])])
def test_full_stream_drops_and_counts(event, run, overflow, kept):
    async def main():
        emissions = event.stream(buffer=2, overflow=overflow)
        assert event.emit() == []
        await anext(emissions)
        for number in range(5):
            event.emit(number)
        assert repr(emissions) == "<Stream of 'x': 2 waiting>"
        assert [(await anext(emissions)).sender for _ in range(2)] == kept
        event.emit(6)
        assert (await anext(emissions)).sender == 6
        assert emissions.dropped == 3
        assert len(event.handlers) == 1

    run(main)


@pytest.mark.parametrize("overflow", ["raise", "drop_oldest", "drop_newest"])
def test_emission_started_before_close_is_dropped(event, run, overflow):
    async def main():
        emissions = event.stream(buffer=2, overflow=overflow)
        for number in range(2):
            event.emit(number)
        emissions.close()
        for number in range(3):
            emissions._on_emit(number)  # as from emissions in other threads
        assert [emission async for emission in emissions] == []

    run(main)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"buffer": 0}, ValueError, "buffer must hold at least one emission, not 0"),
        ({"buffer": 1.5}, TypeError, "buffer must be an int, the number of emissions that it holds, not 1.5"),
        (
            {"overflow": "block"},
            ValueError,
            'overflow must be "raise", "drop_oldest" or "drop_newest", not \'block\'',
        ),
        ({"condition": 5}, TypeError, "condition must be callable or None, not 5"),
    ],
)
def test_invalid_arguments_raise_when_stream_is_called(event, arguments, error, text):
    with pytest.raises(error) as caught:
        event.stream(**arguments)
    assert str(caught.value) == text
    assert event.handlers == []


def test_stream_adds_no_result_and_can_be_muted(event, run):
    async def main():
        async with event.stream() as emissions:
            assert event.emit(1) == await event.emit_async(2) == []
            with event.muted():
                event.emit(3)
            event.emit(4)
            assert [(await anext(emissions)).sender for _ in range(3)] == [1, 2, 4]

    run(main)


def test_sender_is_held_during_a_wait(event, run):
    class Sender:
        pass

    async def main():
        sender = Sender()
        died = weakref.ref(sender)
        emissions = event.stream(sender)
        del sender
        gc.collect()
        event.emit(died(), 1)
        assert (await anext(emissions)).args == (1,)
        emissions.close()
        del emissions
        await ticks()
        gc.collect()
        assert died() is None

    run(main)


# Threads


def test_emission_just_before_the_wait_is_not_lost(event, run, monkeypatch):
    waiters = importlib.import_module("cyevents._async.waiters")

    def late(kind):
        class Late(kind):
            def __init__(self, loop):
                super().__init__(loop)
                event.emit("just now")  # the buffer was empty, and nothing waits yet

        return Late

    for kind in (waiters._AsyncioWaiter, waiters._TrioWaiter):
        monkeypatch.setattr(waiters, kind.__name__, late(kind))

    async def main():
        assert (await event.wait(timeout=5)).sender == "just now"

    run(main)


def test_emission_of_another_thread_wakes_the_task(event, run):
    async def main():
        for number in range(50):
            waiting = event.wait(timeout=30)
            thread = threading.Thread(target=event.emit, args=(number,))
            thread.start()
            assert (await waiting).sender == number
            thread.join()
        assert event.handlers == []

    run(main)


def test_emission_of_another_loop_wakes_the_task(event, run):
    async def emit():
        await asyncio.sleep(0.001)
        await event.emit_async("from a loop")
        event.emit("from a loop")

    async def main():
        async with event.stream() as emissions:
            thread = threading.Thread(target=asyncio.run, args=(emit(),))
            thread.start()
            assert [(await anext(emissions)).sender for _ in range(2)] == ["from a loop"] * 2
            thread.join()

    run(main)


@pytest.mark.parametrize("overflow", ["raise", "drop_oldest", "drop_newest"])
def test_emissions_of_many_threads_arrive_exactly_once(event, run, overflow):
    threads, each = 4, 500
    buffer = threads * each + 1 if overflow == "raise" else 50

    async def main():
        emissions = event.stream(buffer=buffer, overflow=overflow)
        most, seen = [], []

        def emit(thread):
            for number in range(each):
                event.emit(thread, number)
                most.append(len(emissions._buffer.copy()))  # copied, because len is not atomic without a GIL

        started = [threading.Thread(target=emit, args=(thread,)) for thread in range(threads)]
        for thread in started:
            thread.start()

        async def end():
            while any(thread.is_alive() for thread in started):
                await anyio.sleep(0.001)
            while emissions._buffer:  # so that the end marker is not dropped
                await anyio.sleep(0.001)
            event.emit("end")

        async with anyio.create_task_group() as group:
            group.start_soon(end)
            async for emission in emissions:
                if emission.sender == "end":
                    break
                seen.append((emission.sender, *emission.args))
        assert max(most) <= buffer
        assert len(seen) == len(set(seen)) == threads * each - emissions.dropped
        for thread in range(threads):
            numbers = [number for sender, number in seen if sender == thread]
            assert numbers == sorted(numbers)

    run(main)


def test_discarded_stream_logs_at_debug(event, caplog):
    caplog.set_level(logging.INFO, "cyevents")
    stream = event.stream()
    del stream
    gc.collect()
    event.emit()
    assert event.handlers == []
    assert caplog.records == []
