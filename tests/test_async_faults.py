"""Async faults: cancellation at every await, handlers that swallow it, closed loops, floods, debug mode."""

import asyncio
import contextvars
import gc
import sys
import threading

import pytest

TIMEOUT = 30


async def until(condition):
    """Let the loop run until the condition is true."""
    while not condition():
        await asyncio.sleep(0)


# Cancellation at every await


class Tiers:
    """Handlers of several priorities that record which of them started and which ended."""

    def __init__(self, event, shape):
        self.begun, self.ended, self.kept = [], [], []
        for number, (kind, priority, steps) in enumerate(shape):
            handler = getattr(self, kind)(number, steps)
            self.kept.append(handler)
            event.connect(handler, priority=priority, thread=kind == "thread")

    def coroutine(self, number, steps):
        async def handler(sender):
            self.begun.append(number)
            try:
                for _ in range(steps):
                    await asyncio.sleep(0)
                return number
            finally:
                self.ended.append(number)

        return handler

    def slow_to_leave(self, number, steps):
        async def handler(sender):
            self.begun.append(number)
            try:
                for _ in range(steps):
                    await asyncio.sleep(0)
                return number
            finally:
                try:
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                finally:
                    self.ended.append(number)

        return handler

    def generator(self, number, steps):
        async def handler(sender):
            self.begun.append(number)
            try:
                for _ in range(steps):
                    await asyncio.sleep(0)
                    yield number
            finally:
                self.ended.append(number)

        return handler

    def thread(self, number, steps):
        def handler(sender):
            self.begun.append(number)
            self.ended.append(number)
            return number

        return handler

    def sync(self, number, steps):
        return self.thread(number, steps)


SHAPES = {
    "one": [("coroutine", 0, 3)],
    "parallel": [("coroutine", 0, 3), ("coroutine", 0, 1), ("sync", 0, 0), ("coroutine", 0, 0)],
    "tiers": [("coroutine", 2, 2), ("coroutine", 1, 2), ("sync", 1, 0), ("coroutine", 0, 2)],
    "slow to leave": [("slow_to_leave", 1, 2), ("coroutine", 1, 1), ("slow_to_leave", 0, 2)],
    "generators": [("generator", 1, 2), ("generator", 0, 2), ("coroutine", 0, 1)],
    "threads": [("coroutine", 1, 1), ("thread", 0, 0), ("coroutine", 0, 2)],
}


def cancelled_after(event, ticks, run, others=()):
    """Emit, cancel in the n-th tick, and return whether it was too late and which tasks are left."""

    async def main():
        emission = asyncio.ensure_future(event.emit_async(1))
        for _ in range(ticks):
            if emission.done():
                return True, set()
            await asyncio.sleep(0)
        late = emission.done()
        emission.cancel()
        try:
            await emission
        except asyncio.CancelledError:
            pass
        return late, asyncio.all_tasks() - {asyncio.current_task()}

    return run(main())


@pytest.mark.parametrize("shape", SHAPES)
def test_cancelling_at_every_tick_leaks_nothing(ns, run, shape):
    event = ns.event("x")
    late, ticks = False, 0
    while not late:
        tiers = Tiers(event, SHAPES[shape])
        late, left = cancelled_after(event, ticks, run)
        assert left == set()
        assert sorted(tiers.begun) == sorted(tiers.ended)
        event.clear()
        ticks += 1
        assert ticks < 1000
    assert len(tiers.begun) == len(SHAPES[shape])
    assert ticks > 2
    handler = Tiers(event, SHAPES["one"])
    assert run(event.emit_async(1)) == [0]
    assert handler.ended == [0]


@pytest.mark.parametrize("shape", ["one", "parallel", "tiers"])
@pytest.mark.parametrize("how", ["throw", "close"])
def test_exception_thrown_in_at_every_await(ns, run, shape, how):
    """Step the coroutine by hand: throw each exception into it, or close it."""
    event = ns.event("x")

    class Thrown(BaseException):
        pass

    async def main(ticks):
        emission = event.emit_async(1)
        for _ in range(ticks):
            try:
                future = emission.send(None)
            except StopIteration:
                return True
            if future is None:
                await asyncio.sleep(0)
            else:
                future._asyncio_future_blocking = False  # as the task that receives it does
                await asyncio.wait([future])
        if how == "close":
            emission.close()
        else:
            with pytest.raises(Thrown):
                emission.throw(Thrown())
        for _ in range(10):
            await asyncio.sleep(0)
        return False

    done, ticks = False, 0
    while not done:
        tiers = Tiers(event, SHAPES[shape])
        done = run(main(ticks))
        assert sorted(tiers.begun) == sorted(tiers.ended)
        event.clear()
        ticks += 1
        assert ticks < 100
    assert ticks > 2


@pytest.mark.parametrize("times", [1, 2, 3])
def test_handler_that_swallows_cancellation_is_awaited(ns, run, times):
    event, log = ns.event("x"), []

    @event.connect
    async def stubborn(sender):
        for _ in range(times):
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                log.append("swallowed")
        await asyncio.sleep(0)
        log.append("end")

    async def main():
        emission = asyncio.ensure_future(event.emit_async(1))
        for count in range(times):
            for _ in range(5):
                await asyncio.sleep(0)
            assert log == ["swallowed"] * count
            assert not emission.done()
            emission.cancel()
        with pytest.raises(asyncio.CancelledError):
            await emission
        assert log == ["swallowed"] * times + ["end"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


@pytest.mark.parametrize("suspends", [False, True])
def test_handler_cancels_its_emitter(ns, run, suspends):
    event, ended = ns.event("x"), []

    @event.connect
    async def handler(sender):
        if suspends:
            await asyncio.sleep(0)
        sender[0].cancel()
        try:
            await asyncio.sleep(TIMEOUT)
        finally:
            ended.append("first")

    @event.connect
    async def other(sender):
        try:
            await asyncio.sleep(TIMEOUT)
        finally:
            ended.append("other")

    async def main():
        sender = []
        sender.append(asyncio.ensure_future(event.emit_async(sender)))
        with pytest.raises(asyncio.CancelledError):
            await sender[0]
        assert sorted(ended) == ["first", "other"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


@pytest.mark.parametrize("how", ["timeout", "wait_for", "TaskGroup"])
def test_asyncio_timeouts_and_groups_end_an_emission(ns, run, how):
    event, ended = ns.event("x"), []

    @event.connect
    async def handler(sender):
        try:
            await asyncio.sleep(TIMEOUT)
        finally:
            ended.append(sender)

    async def main():
        if how == "timeout":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await event.emit_async(1)
        elif how == "wait_for":
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(event.emit_async(1), 0.01)
        else:
            with pytest.raises(ExceptionGroup):
                async with asyncio.TaskGroup() as group:
                    group.create_task(event.emit_async(1))
                    await asyncio.sleep(0.01)
                    raise ValueError
        assert ended == [1]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(main())


# Loops that end


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")
def test_closed_loop_with_pending_handlers_blocks_no_one(api, ns, run):
    event = ns.event("x")

    @event.connect
    async def handler(sender):
        await asyncio.get_running_loop().create_future()

    loop = asyncio.new_event_loop()

    async def emit():
        event.emit(1)
        await asyncio.sleep(0)

    loop.run_until_complete(emit())
    tasks = asyncio.all_tasks(loop)
    loop.close()
    assert run(api.drain_async(TIMEOUT)) is True
    assert api.drain(TIMEOUT) is True
    for task in tasks:
        task._log_destroy_pending = False
    assert len(tasks) == 1


def test_drain_with_timeout_loses_no_handler(api, ns):
    event, gate, done = ns.event("x"), threading.Event(), []

    @event.connect
    async def handler(sender):
        while not gate.is_set():
            await asyncio.sleep(0.001)
        done.append(sender)

    for number in range(5):
        event.emit(number)
    assert api.drain(timeout=0) is False
    assert api.drain(timeout=0.02) is False
    event.emit(5)
    assert done == []
    gate.set()
    assert api.drain(TIMEOUT) is True
    assert sorted(done) == list(range(6))


def test_blocked_background_loop_loses_no_handler(api, ns):
    event, begun, gate, done = ns.event("x"), threading.Event(), threading.Event(), []

    @event.connect
    async def handler(sender):
        if sender == 0:
            begun.set()
            gate.wait(TIMEOUT)
        done.append(sender)

    event.emit(0)
    assert begun.wait(TIMEOUT)
    for number in range(1, 200):
        event.emit(number)  # does not wait
    assert done == []
    assert api.drain(timeout=0.01) is False
    gate.set()
    assert api.drain(TIMEOUT) is True
    assert done == list(range(200))


def test_thousands_of_emissions_without_a_loop(api, ns):
    event, started, finished = ns.event("x"), [], []

    @event.connect
    async def handler(sender):
        started.append(sender)
        await asyncio.sleep(0)
        finished.append(sender)

    event.emit(-1)
    assert api.drain(TIMEOUT)
    threads = threading.active_count()
    for number in range(5000):
        event.emit(number)
        assert threading.active_count() <= threads
    assert api.drain(TIMEOUT) is True
    assert started == list(range(-1, 5000))
    assert sorted(finished) == started


def test_emissions_of_a_thread_start_in_order(api, ns):
    event, started = ns.event("x"), []

    @event.connect
    async def handler(sender):
        started.append(sender)

    def work(number):
        for turn in range(500):
            event.emit((number, turn))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert api.drain(TIMEOUT) is True
    for number in range(4):
        assert [turn for who, turn in started if who == number] == list(range(500))


# Loops of other kinds


def kinds_of_loop():
    yield pytest.param({}, id="asyncio")
    yield pytest.param({"debug": True}, id="debug")
    try:
        import uvloop
    except ImportError:
        yield pytest.param({}, id="uvloop", marks=pytest.mark.skip("uvloop is not installed"))
    else:
        yield pytest.param({"loop_factory": uvloop.new_event_loop}, id="uvloop")


def takes_eager_tasks(options):
    """Return whether the standard library's eager task factory works with this loop at all, without cyevents."""

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(asyncio.eager_task_factory)
        coroutine = asyncio.sleep(0)
        try:
            await loop.create_task(coroutine)
        except TypeError:
            coroutine.close()
            return False
        finally:
            loop.set_task_factory(None)
        return True

    with asyncio.Runner(**options) as runner:
        return runner.run(main())


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("options", list(kinds_of_loop()))
def test_every_kind_of_loop(api, ns, options, eager):
    if eager and sys.version_info < (3, 12):
        pytest.skip("eager tasks came with 3.12")
    if eager and not takes_eager_tasks(options):
        pytest.skip("this loop passes arguments that this Python's eager task factory rejects")
    event, log = ns.event("x"), []

    @event.connect
    async def handler(sender):
        log.append(sender)
        await asyncio.sleep(TIMEOUT if sender == "cancelled" else 0)
        return sender

    @event.connect
    async def at_once(sender):
        return "at once"

    async def main():
        if eager:
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        assert await event.emit_async("awaited") == ["awaited", "at once"]
        assert event.emit("scheduled") == []
        assert log == ["awaited"]
        assert await api.drain_async(TIMEOUT)
        assert log == ["awaited", "scheduled"]
        emission = asyncio.ensure_future(event.emit_async("cancelled"))
        await asyncio.sleep(0)
        emission.cancel()
        with pytest.raises(asyncio.CancelledError):
            await emission
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert await event.emit_async("again") == ["again", "at once"]

    with asyncio.Runner(**options) as runner:
        runner.run(main())


class FailingLoop(asyncio.SelectorEventLoop):
    """A loop that sometimes fails to accept a callback."""

    full = False

    def call_soon(self, callback, *args, context=None):
        if self.full:
            self.full = False
            raise RecursionError("no stack is left")
        return super().call_soon(callback, *args, context=context)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks start only after they are in the loop")
def test_task_rejected_by_its_loop_is_ended(ns):
    event, tasks, ended = ns.event("x"), [], []

    @event.connect
    async def handler(sender):
        tasks.append(asyncio.current_task())
        asyncio.get_running_loop().full = True
        try:
            await asyncio.sleep(0)
        finally:
            ended.append(sender)

    @event.connect
    async def other(sender):  # a lone handler would have no task
        pass

    async def main():
        # Before 3.14, CPython registers the task while the exception is set, and raises SystemError because of it.
        with pytest.raises(RecursionError if sys.version_info >= (3, 14) else (RecursionError, SystemError)):
            await event.emit_async(1)
        assert ended == [1]
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert tasks[0].cancelled()

    with asyncio.Runner(loop_factory=FailingLoop) as runner:
        runner.run(main())


# Emissions that are not awaited


def test_closed_or_dropped_emission_runs_nothing(ns, recwarn):
    event, called = ns.event("x"), []
    event.connect(called.append, weak=False)
    event.emit_async(1).close()
    assert not recwarn.list
    with pytest.warns(RuntimeWarning, match=r"^coroutine 'Event.emit_async' was never awaited"):
        event.emit_async(2)
        gc.collect()
    assert called == []


def test_emission_can_be_awaited_only_once(ns, run):
    event = ns.event("x")

    async def main():
        emission = event.emit_async(1)
        await emission
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await emission

    run(main())


def test_cancellation_keeps_context_variables(ns, run):
    event, variable = ns.event("x"), contextvars.ContextVar("variable", default="unset")
    seen = []

    @event.connect
    async def handler(sender):
        seen.append(variable.get())
        variable.set("by the handler")
        await asyncio.sleep(TIMEOUT)

    async def main():
        variable.set("by the emitter")
        try:
            async with asyncio.timeout(0.01):
                await event.emit_async(1)
        except TimeoutError:
            pass
        return variable.get()

    assert run(main()) == "by the emitter"
    assert seen == ["by the emitter"]
