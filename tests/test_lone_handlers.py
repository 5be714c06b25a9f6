"""A lone async handler, or each of a sequential event, runs in the emitter's task: it behaves as if it had its own."""

import asyncio
import contextlib
import contextvars
import gc
import sys
import weakref

import pytest

TIMEOUT = 30


class Fatal(BaseException):
    pass


class Bare:
    """An awaitable that yields given objects, and returns what was sent or thrown."""

    def __init__(self, *yielded):
        self.yielded = yielded

    def __await__(self):
        yield from self.yielded
        return "bare"


@pytest.fixture(params=[False, True], ids=["lone", "sequential"])
def ns(request, api):
    """Return a new namespace, whose handlers are alone or awaited one after the other."""
    return api.Namespace(sequential=request.param)


async def forever():
    await asyncio.get_running_loop().create_future()


def watch_loop():
    seen = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context.get("exception")))
    return seen


async def cancelled_in(emission, ticks=3):
    """Start an emission, cancel it after some ticks, and return its task when it is done."""
    task = asyncio.ensure_future(emission)
    for _ in range(ticks):
        await asyncio.sleep(0)
    task.cancel("given")
    await asyncio.wait([task], timeout=TIMEOUT)
    return task


def kinds_of_loop():
    yield pytest.param({}, id="asyncio")
    yield pytest.param({"debug": True}, id="debug")
    try:
        import uvloop
    except ImportError:
        yield pytest.param({}, id="uvloop", marks=pytest.mark.skip("uvloop is not installed"))
    else:
        yield pytest.param({"loop_factory": uvloop.new_event_loop}, id="uvloop")


@pytest.fixture(params=list(kinds_of_loop()))
def run(request):
    def run(coroutine):
        with asyncio.Runner(**request.param) as runner:
            return runner.run(asyncio.wait_for(coroutine, TIMEOUT))

    return run


# Where it runs


def test_lone_handler_runs_in_the_emitters_task(ns, run):
    tasks = []

    @ns.on("x")
    async def handler(sender):
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        tasks.append(asyncio.current_task())

    async def main():
        await ns.emit_async("x")
        assert tasks == [asyncio.current_task()] * 2

    run(main())


@pytest.mark.parametrize("place", ["first", "last"])
def test_handler_beside_others_has_its_own_task_unless_sequential(ns, run, place):
    tasks = []

    async def handler(sender):
        tasks.append(asyncio.current_task())

    async def other(sender):
        tasks.append(asyncio.current_task())

    for each in (handler, other) if place == "first" else (other, handler):
        ns.event("x").connect(each)

    async def main():
        await ns.emit_async("x")
        assert len({*tasks, asyncio.current_task()}) == (1 if ns.sequential else 3)

    run(main())


def test_task_that_is_being_cancelled_gets_tasks(ns, run):
    """A task group in a handler could not tell its own cancellations from the emitter's."""

    @ns.on("x")
    async def handler(sender):
        assert asyncio.current_task().cancelling() == 0
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            await forever()

    async def fails():
        raise ValueError

    async def emitter():
        try:
            await forever()
        finally:
            with pytest.raises(ExceptionGroup):
                await ns.emit_async("x")

    async def main():
        assert (await cancelled_in(emitter())).cancelled()

    run(main())


# Context variables


def test_context_is_kept_between_steps_and_stays_its_own(ns, run):
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    @ns.on("x", priority=1)
    async def first(sender):
        token = variable.set("first")
        await asyncio.sleep(0)
        seen.append(variable.get())
        variable.reset(token)
        seen.append(variable.get())
        variable.set("left")

    @ns.on("x")
    async def second(sender):
        seen.append(variable.get())
        asyncio.get_running_loop().call_soon(lambda: seen.append(variable.get()))
        variable.set("later")
        await asyncio.sleep(0)

    async def main():
        variable.set("the emitter's")
        await ns.emit_async("x")
        seen.append(variable.get())

    run(main())
    assert seen == ["first", "the emitter's", "the emitter's", "the emitter's", "the emitter's"]


def test_sync_handlers_change_the_emitters_context(ns, run):
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    @ns.on("x", priority=1)
    def sets(sender):
        variable.set("sync")

    @ns.on("x")
    async def reads(sender):
        seen.append(variable.get())

    async def main():
        await ns.emit_async("x")
        seen.append(variable.get())

    run(main())
    assert seen == ["sync", "sync"]


# Timeouts and task groups inside handlers


@pytest.mark.parametrize("how", ["timeout", "timeout_at", "wait_for"])
def test_timeout_in_a_handler_ends_only_its_block(ns, run, how):
    @ns.on("x", priority=1)
    async def handler(sender):
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            if how == "wait_for":
                await asyncio.wait_for(forever(), 0.001)
            elif how == "timeout":
                async with asyncio.timeout(0.001):
                    await forever()
            else:
                async with asyncio.timeout_at(loop.time()):
                    await forever()
        assert asyncio.current_task().cancelling() == 0
        await asyncio.sleep(0)
        return "timed out"

    @ns.on("x")
    def low(sender):
        return "low"

    async def main():
        assert await ns.emit_async("x") == ["timed out", "low"]
        assert asyncio.current_task().cancelling() == 0

    run(main())


@pytest.mark.parametrize("who", ["emitter", "handler"])
def test_shorter_of_two_timeouts_wins(ns, run, who):
    log = []

    @ns.on("x")
    async def handler(sender):
        try:
            async with asyncio.timeout(TIMEOUT if who == "emitter" else 0.001):
                await forever()
        except TimeoutError:
            log.append("handler")
        return 1

    async def main():
        try:
            async with asyncio.timeout(TIMEOUT if who == "handler" else 0.001):
                log.append(await ns.emit_async("x"))
        except TimeoutError:
            log.append("emitter")
        assert asyncio.current_task().cancelling() == 0

    run(main())
    assert log == (["emitter"] if who == "emitter" else ["handler", [1]])


@pytest.mark.parametrize("fails", [False, True])
def test_task_group_in_a_handler(ns, run, fails):
    @ns.on("x")
    async def handler(sender):
        async def child():
            await asyncio.sleep(0)
            if fails:
                raise ValueError
            return 1

        async with asyncio.TaskGroup() as group:
            task = group.create_task(child())
            if fails:
                await forever()
        return task.result()

    async def main():
        if fails:
            with pytest.raises(ExceptionGroup) as caught:
                await ns.emit_async("x")
            assert [type(error) for error in caught.value.exceptions] == [ValueError]
        else:
            assert await ns.emit_async("x") == [1]
        assert asyncio.current_task().cancelling() == 0
        await asyncio.sleep(0)

    run(main())


def test_shielded_work_survives_the_cancellation(ns, run):
    log = []

    async def work():
        await asyncio.sleep(0.01)
        log.append("work")

    @ns.on("x")
    async def handler(sender):
        inner = asyncio.ensure_future(work())
        try:
            await asyncio.shield(inner)
        except asyncio.CancelledError:
            await inner
            raise

    async def main():
        assert (await cancelled_in(ns.emit_async("x"))).cancelled()

    run(main())
    assert log == ["work"]


# Cancellation


@pytest.mark.parametrize("end", ["returns", "returns False", "raises", "raises another", "raises Fatal", "suspends"])
@pytest.mark.parametrize("policy", ["raise", "group", "callable"])
def test_emission_is_cancelled_whatever_its_handler_does(ns, run, end, policy):
    error, got, log = ValueError(), [], []
    ns.on_error = (lambda *args: got.append(args[0])) if policy == "callable" else policy

    @ns.on("x", priority=1)
    async def handler(sender):
        try:
            await forever()
        except asyncio.CancelledError:
            if end == "returns":
                return 1
            if end == "returns False":
                return False
            if end == "raises":
                raise error from None
            if end == "raises another":
                raise asyncio.CancelledError from None
            if end == "raises Fatal":
                raise Fatal from None
            await asyncio.sleep(0)
            log.append("resumed")
            await asyncio.sleep(0)

    @ns.on("x")
    def low(sender):
        log.append("low")

    async def main():
        seen = watch_loop()
        task = await cancelled_in(ns.emit_async("x"))
        assert task.cancelled()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ("given",)
        assert log == (["resumed"] if end == "suspends" else [])
        if end == "raises":
            assert [*got, *seen] == [error]
        else:
            assert [type(each) for each in seen] == ([Fatal] if end == "raises Fatal" else [])
        assert got == ([error] if end == "raises" and policy == "callable" else [])

    run(main())


def test_handler_that_takes_the_cancellation_back_goes_on(ns, run):
    """`uncancel` says that the cancellation of the current task, which is the emitter's, was dealt with."""

    @ns.on("x", priority=1)
    async def handler(sender):
        try:
            await forever()
        except asyncio.CancelledError:
            asyncio.current_task().uncancel()
        return "went on"

    @ns.on("x")
    def low(sender):
        return "low"

    async def main():
        task = await cancelled_in(ns.emit_async("x"))
        assert task.result() == ["went on", "low"]

    run(main())


def test_second_cancellation_in_the_last_step_is_not_left_over(ns, run):
    """The emitter gets one CancelledError for all, as if the handler had its own task."""
    log = []

    @ns.on("x")
    async def handler(sender):
        try:
            await forever()
        finally:
            sender[0].cancel()

    async def emitter(sender):
        try:
            await ns.emit_async("x", sender)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            log.append("cleaned up")
            raise

    async def main():
        sender = []
        task = asyncio.ensure_future(emitter(sender))
        sender.append(task)
        for _ in range(3):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=TIMEOUT)
        assert task.cancelled()

    run(main())
    assert log == ["cleaned up"]


def test_handler_that_cancels_its_emitter_at_its_end(ns, run):
    log = []

    @ns.on("x", priority=1)
    async def handler(sender):
        await asyncio.sleep(0)
        sender[0].cancel()

    @ns.on("x")
    def low(sender):
        log.append("low")

    async def main():
        sender = []
        sender.append(asyncio.ensure_future(ns.emit_async("x", sender)))
        with pytest.raises(asyncio.CancelledError):
            await sender[0]

    run(main())
    assert log == []


@pytest.mark.parametrize("of", ["future", "task"])
def test_cancelled_future_of_others_does_not_cancel_the_emission(ns, run, of):
    @ns.on("x")
    async def handler(sender):
        try:
            await sender
        except asyncio.CancelledError:
            return "caught"

    async def main():
        loop = asyncio.get_running_loop()
        awaited = loop.create_future() if of == "future" else loop.create_task(forever())
        emission = asyncio.ensure_future(ns.emit_async("x", awaited))
        for _ in range(3):
            await asyncio.sleep(0)
        awaited.cancel()
        assert await emission == ["caught"]
        assert emission.cancelling() == 0

    run(main())


def test_future_of_others_as_a_result_is_cancelled_with_the_emission(ns, run):
    async def main():
        future = asyncio.get_running_loop().create_future()
        ns.event("x").connect(lambda sender: future, weak=False)
        assert (await cancelled_in(ns.emit_async("x"))).cancelled()
        assert future.cancelled()
        other = asyncio.get_running_loop().create_future()
        ns.event("y").connect(lambda sender: other, weak=False)
        asyncio.get_running_loop().call_soon(other.set_result, "done")
        assert await ns.emit_async("y") == ["done"]

    run(main())


def test_async_generator_is_closed_when_cancelled(ns, run):
    log = []

    @ns.on("x")
    async def handler(sender):
        try:
            yield 1
            await forever()
        finally:
            await asyncio.sleep(0)
            log.append("closed")

    async def main():
        assert (await cancelled_in(ns.emit_async("x"))).cancelled()

    run(main())
    assert log == ["closed"]


# What handlers yield, raise and return


@pytest.mark.parametrize("yielded", [1, "text", object(), asyncio], ids=["int", "str", "object", "module"])
def test_odd_yield_raises_in_the_handler(ns, run, yielded):
    @ns.on("x")
    async def handler(sender):
        with pytest.raises(RuntimeError, match="Task got bad yield"):
            await Bare(yielded)
        return await Bare(None, None)

    async def main():
        assert await ns.emit_async("x") == ["bare"]

    run(main())


@pytest.mark.parametrize("suspends", [False, True])
def test_emission_goes_on_after_a_callable_on_error(ns, run, suspends):
    errors, got = [ValueError(1), ValueError(2)], []
    ns.on_error = lambda *args: got.append(args[:2])

    def failing(error):
        async def handler(sender):
            if suspends:
                await asyncio.sleep(0)
            raise error

        return handler

    handlers = [failing(error) for error in errors]
    for priority, handler in enumerate(handlers):
        ns.event("x").connect(handler, priority=-priority)
    ns.event("x").connect(lambda sender: "low", priority=-9, weak=False)

    async def main():
        assert await ns.emit_async("x") == ["low"]

    run(main())
    assert got == list(zip(errors, handlers, strict=True))


def test_grouped_errors_of_lone_and_other_handlers_are_in_order(ns, run):
    ns.on_error, kept = "group", []

    def connect(number, priority, suspends):
        async def fails(sender):
            if suspends:
                await asyncio.sleep(0)
            raise ValueError(number)

        def fails_at_once(sender):
            raise ValueError(number)

        handler = fails_at_once if suspends is None else fails
        kept.append(handler)
        ns.event("x").connect(handler, priority=priority)

    for number, (priority, suspends) in enumerate(
        [(9, True), (8, None), (8, False), (7, True), (7, False), (7, None), (6, True), (5, None), (5, True)]
    ):
        connect(number, priority, suspends)

    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            await ns.emit_async("x")
        assert [error.args[0] for error in caught.value.exceptions] == list(range(9))

    run(main())


@pytest.mark.parametrize("suspends", [False, True])
def test_stop_iteration_of_a_sync_handler_is_not_a_result(ns, run, suspends):
    @ns.on("x", priority=1)
    async def first(sender):
        if suspends:
            await asyncio.sleep(0)

    @ns.on("x")
    def stops(sender):
        raise StopIteration("given")

    async def main():
        with pytest.raises(RuntimeError, match="coroutine raised StopIteration") as caught:
            await ns.emit_async("x")
        assert type(caught.value.__cause__) is StopIteration

    run(main())


def test_coroutine_cannot_be_awaited_twice(ns, run):
    async def work():
        return 1

    async def main():
        coroutine = work()
        ns.event("x").connect(lambda sender: coroutine, weak=False)
        assert await ns.emit_async("x") == [1]
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await ns.emit_async("x")

    run(main())


def test_emission_as_a_result_is_awaited(ns, run):
    @ns.on("y")
    async def inner(sender):
        await asyncio.sleep(0)
        return sender

    ns.event("x").connect(lambda sender: ns.emit_async("y", sender), weak=False)

    async def main():
        assert await ns.emit_async("x", 1) == [[1]]

    run(main())


@pytest.mark.parametrize("suspends", [False, True])
def test_lone_handlers_of_many_priorities(ns, run, suspends):
    def make(number):
        async def handler(sender):
            log.append(number)
            if suspends:
                await asyncio.sleep(0)
            log.append(number)
            return None if number % 3 == 0 else number

        return handler

    log, kept = [], [make(number) for number in range(10)]
    for number, handler in enumerate(kept):
        ns.event("x").connect(handler, priority=-number)

    async def main():
        assert await ns.emit_async("x") == [1, 2, 4, 5, 7, 8]

    run(main())
    assert log == [number for number in range(10) for _ in range(2)]


@pytest.mark.parametrize("step", [next, lambda awaited: awaited.throw(ValueError), lambda awaited: awaited.close()])
def test_running_emission_cannot_be_stepped(ns, run, step):
    """What an emission awaits can be found, and must refuse to be stepped by its own handler."""

    @ns.on("x")
    async def handler(sender):
        found = []
        asyncio.get_running_loop().call_soon(lambda: found.append(sender[0].cr_await))
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="already executing"):
            step(found[0])
        await asyncio.sleep(0)
        return "done"

    async def main():
        sender = []
        sender.append(ns.emit_async("x", sender))
        assert await sender[0] == ["done"]

    run(main())


# Emissions that end early


@pytest.mark.parametrize("ticks", [0, 1, 2])
def test_closed_emission_closes_the_handler_in_its_context(ns, run, ticks):
    variable, seen = contextvars.ContextVar("variable", default="unset"), []

    @ns.on("x")
    async def handler(sender):
        token = variable.set("mine")
        try:
            for _ in range(5):
                await asyncio.sleep(0)
        finally:
            seen.append(variable.get())
            variable.reset(token)

    async def main():
        emission = ns.emit_async("x")
        for _ in range(ticks):
            emission.send(None)
        emission.close()
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await emission

    run(main())
    assert seen == ["mine"] * bool(ticks)


def test_handler_that_ignores_its_close(ns, run):
    @ns.on("x")
    async def handler(sender):
        while True:
            try:
                await asyncio.sleep(0)
            except GeneratorExit:
                if sender:
                    sender.clear()
                    continue
                raise

    async def main():
        emission = ns.emit_async("x", [1])
        emission.send(None)
        with pytest.raises(RuntimeError, match="coroutine ignored GeneratorExit"):
            emission.close()

    run(main())


def test_dropped_emission_leaves_nothing(ns, run, collect):
    class Sender:
        pass

    @ns.on("x")
    async def handler(sender):
        try:
            await forever()
        finally:
            ended.append(True)

    ended = []

    async def main():
        sender = Sender()
        emission = ns.emit_async("x", sender)
        emission.send(None)
        return weakref.ref(sender)

    gone = run(main())
    collect()
    assert gone() is None
    assert ended == [True]


def test_emission_makes_no_reference_cycle(ns, run, no_garbage):
    class Sender:
        pass

    @ns.on("x", priority=1)
    async def handler(sender, end):
        await asyncio.sleep(0)
        if end == "raises":
            raise ValueError
        if end == "cancelled":
            await forever()

    @ns.on("x")
    async def later(sender, end):
        await asyncio.sleep(0)

    async def emit(end):
        sender = Sender()
        gone = weakref.ref(sender)
        try:
            async with asyncio.timeout(0.001 if end == "cancelled" else None):
                await ns.emit_async("x", sender, end)
        except (ValueError, TimeoutError):
            pass
        return gone

    async def main():
        for end in ("returns", "raises", "cancelled"):
            gone = await emit(end)
            await asyncio.sleep(0)
            assert gone() is None, end

    run(main())
    assert gc.isenabled() is False


@pytest.mark.parametrize("error_type", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("suspends", [False, True])
def test_interruption_leaves_the_loop(ns, error_type, suspends):
    log = []

    @ns.on("x", priority=1)
    async def handler(sender):
        if suspends:
            await asyncio.sleep(0)
        raise error_type

    @ns.on("x")
    def low(sender):
        log.append("low")

    with pytest.raises(error_type):
        asyncio.run(ns.emit_async("x"))
    assert log == []


# anyio


def test_anyio_scopes_in_a_handler(ns):
    anyio = pytest.importorskip("anyio")
    log = []

    @ns.on("x", priority=1)
    async def handler(sender):
        with anyio.move_on_after(0.001) as scope:
            await anyio.sleep(TIMEOUT)
        log.append(scope.cancelled_caught)
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 0)
            group.cancel_scope.cancel()
            await anyio.sleep(TIMEOUT)
        await anyio.sleep(0)
        return "done"

    @ns.on("x")
    async def low(sender):
        await anyio.sleep(0)
        return asyncio.current_task().cancelling()

    async def main():
        with anyio.fail_after(TIMEOUT):
            assert await ns.emit_async("x") == ["done", 0]
            async with anyio.create_task_group() as group:
                group.start_soon(ns.emit_async, "x")

    anyio.run(main)
    assert log == [True, True]


@pytest.mark.parametrize("handler_does", ["nothing", "suppresses", "shields"])
def test_anyio_scope_around_an_emission(ns, handler_does):
    anyio = pytest.importorskip("anyio")
    log = []

    @ns.on("x", priority=1)
    async def handler(sender):
        try:
            await anyio.sleep(TIMEOUT)
        except asyncio.CancelledError:
            if handler_does == "suppresses":
                return
            if handler_does == "shields":
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.001)
                    log.append("shielded")
            raise

    @ns.on("x")
    def low(sender):
        log.append("low")

    async def main():
        with anyio.move_on_after(0.001) as scope:
            await ns.emit_async("x")
        assert scope.cancelled_caught
        assert asyncio.current_task().cancelling() == 0
        await anyio.sleep(0)

    anyio.run(main)
    assert log == (["shielded"] if handler_does == "shields" else [])


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks")
def test_emission_in_an_eager_task(ns):
    @ns.on("x")
    async def handler(sender):
        before = asyncio.current_task()
        await asyncio.sleep(0)
        return before is asyncio.current_task()

    async def main():
        loop = asyncio.get_running_loop()
        task = asyncio.Task(ns.emit_async("x"), loop=loop, eager_start=True)
        assert not task.done()
        assert await task == [True]

    asyncio.run(main())


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("catches", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_task_group_that_fails_at_its_end(ns, run, groups, catches, cancelled):
    """Before Python 3.13 such a group leaves the task that it is in cancelled, which must not end the emission."""

    async def fail():
        raise ValueError

    @ns.on("x")
    async def handler(sender):
        for number in range(groups):
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(fail())
            except ExceptionGroup:
                if number == groups - 1 and not catches:
                    raise
        if cancelled:
            await forever()
        return 1

    async def main():
        if cancelled and catches:
            task = await cancelled_in(ns.emit_async("x"), 10)
            assert task.cancelled()
        elif catches:
            assert await ns.emit_async("x") == [1]
        else:
            with pytest.raises(ExceptionGroup):
                await ns.emit_async("x")
        assert asyncio.current_task().cancelling() == 0

    run(main())


def test_task_group_that_fails_in_its_block_is_cancelled_at_its_end(ns, run):
    ending = []

    async def fail():
        raise ValueError

    async def ends_late():
        try:
            await forever()
        finally:
            ending.append(True)
            await asyncio.sleep(0.001)

    @ns.on("x")
    async def handler(sender):
        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                group.create_task(ends_late())
                group.create_task(fail())
                await forever()

    async def main():
        task = asyncio.ensure_future(ns.emit_async("x"))
        while not ending:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task], timeout=TIMEOUT)
        assert task.cancelled()

    run(main())


@pytest.mark.parametrize("end", ["raises", "returns", "raises_cancelled"])
def test_cancelled_handler_leaves_no_reference_cycle(ns, run, no_garbage, end):
    gone = []

    @ns.on("x")
    async def handler(sender):
        local = Bare()
        gone.append(weakref.ref(local))
        try:
            await forever()
        except asyncio.CancelledError:
            if end == "raises":
                raise ValueError from None
            if end == "raises_cancelled":
                raise

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # keeps none
        task = await cancelled_in(ns.emit_async("x"))
        assert task.cancelled()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert gone[0]() is None


def test_emissions_nested_deeply(ns, run):
    """Lone handlers share the emitter's stack, but only in a few nested emissions: those deeper down have tasks."""
    event = ns.event("x")

    @event.connect
    async def count_down(sender):
        await asyncio.sleep(0)
        return [sender, *(await event.emit_async(sender - 1))[0]] if sender else [0]

    assert run(event.emit_async(400)) == [[*range(400, -1, -1)]]
