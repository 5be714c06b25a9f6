"""`emit_async`: tiers of priority, cancellation, exceptions, threads, recursion; and no leftovers."""

import asyncio
import contextvars
import functools
import logging
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

TIMEOUT = 30  # seconds until a hanging test fails
EAGER = sys.version_info >= (3, 12)


class Fatal(BaseException):
    pass


def watch_loop():
    """Return a list to which the running loop's exception handler adds each exception."""
    seen = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context.get("exception")))
    return seen


async def ticks(number=10):
    for _ in range(number):
        await asyncio.sleep(0)


async def nothing_left():
    """Return whether, a moment later, only the caller's task exists."""
    await ticks(3)
    return asyncio.all_tasks() == {asyncio.current_task()}


def plain_factory(loop, coroutine, **options):
    return asyncio.Task(coroutine, loop=loop, **options)


FACTORIES = [
    pytest.param(None, id="no_factory"),
    pytest.param(plain_factory, id="plain_factory"),
    pytest.param(
        getattr(asyncio, "eager_task_factory", None),
        id="eager_task_factory",
        marks=pytest.mark.skipif(not EAGER, reason="no eager tasks"),
    ),
]


# Handlers that pass `end(sender)` to whatever awaits or calls them: its result or exception becomes theirs.


def sync(end):
    def handler(sender, **kwargs):
        return end(sender, **kwargs)

    return handler


def generator(end):
    def handler(sender, **kwargs):
        yield "item"
        return end(sender, **kwargs)

    return handler


def suspending(end):
    async def handler(sender, **kwargs):
        await ticks()
        return end(sender, **kwargs)

    return handler


def immediate(end):
    async def handler(sender, **kwargs):
        return end(sender, **kwargs)

    return handler


def async_generator(end):
    async def handler(sender, **kwargs):
        await ticks()
        yield end(sender, **kwargs)

    return handler


ALL_KINDS = {f.__name__: (f, False) for f in (sync, generator, suspending, immediate, async_generator)}
ALL_KINDS["sync_thread"] = sync, True
ALL_KINDS["generator_thread"] = generator, True
PARALLEL = ["suspending", "immediate", "sync_thread", "generator_thread"]  # not in the emitter; may cancel
CANCELLING = [kind for kind in ALL_KINDS if kind != "async_generator"]


@pytest.fixture
def connect(ns):
    """connect(kind, end, priority=..., ...) connects a handler of that kind to `x` and returns it."""

    def connect(kind, end, **options):
        make, thread = ALL_KINDS[kind]
        return ns.event("x").connect(make(end), weak=False, thread=thread, **options)

    return connect


def give(value):
    return lambda sender, **kwargs: value


def fail(error):
    def end(sender, **kwargs):
        raise error

    return end


# Results


def test_no_handlers_give_an_empty_list(ns, run):
    ns.event("x")
    assert run(ns.emit_async("x")) == []


def test_unknown_name_creates_no_event(ns, run):
    assert run(ns.emit_async("unknown", 1, 2, three=3)) == []
    assert "unknown" not in ns


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_result_covers_every_kind_of_handler(ns, run, connect, kind):
    connect(kind, give("end"))
    expected = {
        "generator": ["item"],
        "generator_thread": ["item"],
        "async_generator": ["end"],
    }.get(kind, "end")
    results = run(ns.emit_async("x"))
    assert results == [expected]
    assert type(results) is list


def test_results_are_in_dispatch_order(ns, run):
    async def main():
        done = [asyncio.Event() for _ in range(4)]
        done[3].set()

        @ns.on("x")
        async def first(sender):
            await done[0].wait()
            return 1

        @ns.on("x")
        async def second(sender):
            await done[1].wait()
            done[0].set()
            yield 2

        @ns.on("x")
        def third(sender):
            return 3

        @ns.on("x", priority=-1)
        async def last(sender):
            return 5

        @ns.on("x", thread=True)
        def fourth(sender):
            loop.call_soon_threadsafe(done[1].set)
            return 4

        loop = asyncio.get_running_loop()
        assert await ns.emit_async("x") == [1, [2], 3, 4, 5]

    run(main())


@pytest.mark.parametrize("kind", ["sync", "suspending", "immediate", "sync_thread"])
def test_none_is_dropped(ns, run, connect, kind):
    connect(kind, give(None))
    connect("sync", give(0))
    assert run(ns.emit_async("x")) == [0]


@pytest.mark.parametrize("thread", [False, True])
def test_none_is_dropped_from_generator_lists(ns, run, thread):
    @ns.on("x", thread=thread)
    def some(sender):
        yield None
        yield 0
        yield False

    @ns.on("x", thread=thread)
    def empty(sender):
        yield None

    @ns.on("x", thread=thread)
    async def async_some(sender):
        yield None
        yield 0
        yield False

    @ns.on("x", thread=thread)
    async def async_empty(sender):
        yield None

    results = run(ns.emit_async("x"))
    assert results == [[0, False], [], [0, False], []]
    assert type(results) is list


def test_generator_marked_as_coroutine_is_awaited(ns, run):
    @ns.on("x")
    @types.coroutine
    def handler(sender):
        yield
        return "awaited"

    assert run(ns.emit_async("x")) == ["awaited"]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_arguments_of_any_name_are_passed_unchanged(api, ns, run, kind):
    names = dict.fromkeys(("self", "event", "evt", "receiver", "name", "handler", "args", "kwargs", "loop"), 1)

    def body(*args, **kwargs):
        got.append((args, kwargs))

    def generating(*args, **kwargs):
        yield body(*args, **kwargs)

    async def awaiting(*args, **kwargs):
        body(*args, **kwargs)

    async def async_generating(*args, **kwargs):
        yield body(*args, **kwargs)

    make, thread = ALL_KINDS[kind]
    handler = {sync: body, generator: generating, async_generator: async_generating}.get(make, awaiting)
    event = ns.event("x")
    event.connect(handler, thread=thread)
    for emit in (functools.partial(ns.emit_async, "x"), functools.partial(ns.emit_async, event), event.emit_async):
        got = []
        run(emit("sender", 2, 3, **names))
        run(emit(sender="sender", **names))
        run(emit(**names))
        assert got == [(("sender", 2, 3), names), (("sender",), names), ((api.ANY,), names)]


def test_module_function_uses_the_default_namespace(api, run):
    @api.on("x")
    async def handler(sender):
        return sender

    assert run(api.emit_async("x", 1)) == run(api.default_namespace.emit_async("x", 1)) == [1]


@pytest.mark.parametrize("what", [3, None, "", b"x", object()])
def test_invalid_event_raises_type_error_at_the_call(ns, what):
    with pytest.raises(TypeError):
        ns.emit_async(what)


def test_pattern_raises_value_error_at_the_call(ns):
    with pytest.raises(ValueError, match="pattern"):
        ns.emit_async("x.*")
    with pytest.raises(ValueError, match="pattern"):
        ns.event("x.*").emit_async()


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_unawaited_coroutine_does_nothing(ns, run, connect, kind):
    called = []
    connect(kind, called.append, once=True)

    async def main():
        coroutine = ns.emit_async("x", 1)
        await ticks()
        coroutine.close()
        assert await nothing_left()

    run(main())
    assert called == []
    run(ns.emit_async("x", 2))
    assert called == [2]  # `once` was not consumed either


def test_unawaited_coroutine_is_reported_as_emit_async(ns):
    ns.event("x")
    with pytest.warns(RuntimeWarning, match="emit_async' was never awaited"):
        ns.emit_async("x")


def test_no_running_loop_raises_runtime_error(ns):
    @ns.on("x")
    async def handler(sender):
        pass

    coroutine = ns.emit_async("x")
    with pytest.raises(RuntimeError, match="no running event loop"):
        coroutine.send(None)


# Tiers


def test_equal_priorities_run_in_parallel(ns, run):
    async def main():
        first, second, third = asyncio.Event(), asyncio.Event(), threading.Event()

        @ns.on("x")
        async def waits(sender):
            await second.wait()
            first.set()
            return 1

        @ns.on("x")
        async def lets_it_go(sender):
            second.set()
            await first.wait()
            third.set()
            yield 2

        @ns.on("x", thread=True)
        def in_a_thread(sender):
            return third.wait(TIMEOUT)

        assert await asyncio.wait_for(ns.emit_async("x"), TIMEOUT) == [1, [2], True]

    run(main())


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_lower_priority_waits_for_the_higher(ns, run, connect, kind):
    log = []
    connect(kind, lambda sender: log.append("low"), priority=-1)
    for other in ALL_KINDS:
        connect(other, lambda sender: log.append("high"), priority=2**70)
        connect(other, lambda sender: log.append("middle"))
    run(ns.emit_async("x"))
    assert log == ["high"] * len(ALL_KINDS) + ["middle"] * len(ALL_KINDS) + ["low"]


def test_only_async_handlers_run_in_tasks(ns, run):
    tasks = {}

    @ns.on("x")
    def in_place(sender):
        tasks["sync"] = asyncio.current_task()

    @ns.on("x")
    def generates(sender):
        tasks["generator"] = asyncio.current_task()
        yield

    @ns.on("x")
    async def one(sender):
        tasks["one"] = asyncio.current_task()

    @ns.on("x")
    async def two(sender):
        tasks["two"] = asyncio.current_task()
        yield

    async def main():
        me = asyncio.current_task()
        await ns.emit_async("x")
        assert tasks["sync"] is tasks["generator"] is me
        assert len({me, tasks["one"], tasks["two"]}) == 3
        assert asyncio.current_task() is me

    run(main())


def test_async_handlers_start_eagerly_since_3_12(ns, run):
    log = []

    @ns.on("x")
    async def first(sender):
        log.append("async")
        await asyncio.sleep(0)
        log.append("async again")

    @ns.on("x")
    def second(sender):
        log.append("sync")

    run(ns.emit_async("x"))
    assert log == (["async", "sync"] if EAGER else ["sync", "async"]) + ["async again"]


def test_task_factory_is_used_and_disables_eager_start(ns, run):
    log, made, tasks = [], [], []

    def factory(loop, coroutine, **options):
        made.append(asyncio.Task(coroutine, loop=loop, **options))
        return made[-1]

    @ns.on("x")
    async def first(sender):
        tasks.append(asyncio.current_task())
        log.append("async")

    @ns.on("x")
    async def second(sender):
        tasks.append(asyncio.current_task())
        yield

    @ns.on("x")
    def third(sender):
        log.append("sync")

    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        await ns.emit_async("x")

    run(main())
    assert log == ["sync", "async"]
    assert tasks == made[:2]


@pytest.mark.parametrize("factory", FACTORIES)
def test_any_task_factory_gives_the_same_result(ns, run, connect, factory):
    connect("immediate", give(1))
    connect("suspending", give(2))
    connect("suspending", give(False))
    connect("sync", give(3), priority=-1)

    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        assert await ns.emit_async("x") == [1, 2]
        assert await nothing_left()

    run(main())


def test_async_handlers_get_a_copy_of_the_context(ns, run):
    variable = contextvars.ContextVar("variable")
    seen = []

    async def one(sender):
        seen.append(variable.get())
        variable.set("a handler's")
        await asyncio.sleep(0)

    async def other(sender):
        await ticks()
        seen.append(variable.get())

    ns.event("x").connect(one)
    ns.event("x").connect(other)

    async def main():
        variable.set("the emitter's")
        await ns.emit_async("x")
        assert variable.get() == "the emitter's"

    run(main())
    assert seen == ["the emitter's"] * 2


def test_emission_sees_connections_from_its_start(ns, run):
    log = []

    @ns.on("x", priority=1)
    async def changes(sender):
        await asyncio.sleep(0)
        ns.event("x").disconnect(goes)
        ns.event("x").connect(comes)
        ns.event("x").connect(stays, priority=-1)  # reconnecting keeps the handler in the emission
        log.append("changes")

    @ns.on("x")
    async def goes(sender):
        log.append("goes")

    @ns.on("x")
    async def stays(sender):
        log.append("stays")

    async def comes(sender):
        log.append("comes")

    run(ns.emit_async("x"))
    assert log == ["changes", "stays"]


# Cancellation by False


@pytest.mark.parametrize("kind", CANCELLING)
def test_false_cancels_the_lower_priorities(api, ns, run, connect, kind):
    called = []
    connect("sync", give("before"), priority=2)
    canceller = connect(kind, give(False), priority=1)
    for other in ALL_KINDS:
        connect(other, called.append)
    results = run(ns.emit_async("x"))
    assert isinstance(results, api.Cancelled)
    assert results == (["before", ["item"]] if "generator" in kind else ["before"])
    assert results.handler is canceller
    assert results.event is ns["x"]
    assert called == []


@pytest.mark.parametrize("kind", PARALLEL)
def test_async_false_keeps_its_own_tier(api, ns, run, connect, kind):
    log = []
    connect(kind, give(False))
    for other in ALL_KINDS:
        connect(other, lambda sender: log.append("ran"))
    connect("sync", lambda sender: log.append("low"), priority=-1)
    results = run(ns.emit_async("x"))
    assert log == ["ran"] * len(ALL_KINDS)
    assert isinstance(results, api.Cancelled)
    assert False not in results


@pytest.mark.parametrize("kind", CANCELLING)
def test_last_handler_can_cancel(api, ns, run, connect, kind):
    connect(kind, give(False))
    assert isinstance(run(ns.emit_async("x")), api.Cancelled)


@pytest.mark.parametrize("value", [0, 0.0, "", [], pytest.param(type("Like", (int,), {})(), id="int_subclass")])
@pytest.mark.parametrize("kind", CANCELLING)
def test_only_the_object_false_cancels(ns, run, connect, kind, value):
    connect(kind, give(value), priority=1)
    connect("sync", give("ran"))
    results = run(ns.emit_async("x"))
    assert type(results) is list
    assert results[-1] == "ran"


@pytest.mark.parametrize("kind", ["async_generator", "yielding"])
def test_yielded_false_does_not_cancel(ns, run, connect, kind):
    def yields(sender):
        yield False

    if kind == "yielding":
        ns.event("x").connect(yields, priority=1)
    else:
        connect(kind, give(False), priority=1)
    connect("sync", give("ran"))
    results = run(ns.emit_async("x"))
    assert results == [[False], "ran"]
    assert type(results) is list


@pytest.mark.parametrize("kind", ["sync", "generator"])
def test_sync_false_awaits_only_started_handlers(api, ns, run, connect, kind):
    log = []

    def note(sender):
        log.append("started before")
        return "before"

    connect("suspending", note)
    canceller = connect(kind, give(False))
    for other in ALL_KINDS:
        connect(other, lambda sender: log.append("started after"))
    results = run(ns.emit_async("x"))
    assert log == ["started before"]
    assert results == ["before", *([["item"]] if kind == "generator" else [])]
    assert results.handler is canceller


def test_first_canceller_in_dispatch_order_is_reported(ns, run, connect):
    first = connect("suspending", give(False))  # the last one to end
    connect("immediate", give(False))
    connect("sync", give(False))
    assert run(ns.emit_async("x")).handler is first


# Exceptions


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_exception_propagates_and_skips_lower_priorities(ns, run, connect, kind):
    error, called = ValueError("of the handler"), []
    connect(kind, fail(error), priority=1)
    connect("sync", called.append)

    async def main():
        seen = watch_loop()
        with pytest.raises(ValueError) as caught:
            await ns.emit_async("x")
        assert caught.value is error
        assert await nothing_left()
        assert seen == []

    run(main())
    assert called == []


@pytest.mark.parametrize("kind", ["sync", "generator"])
def test_sync_exception_awaits_only_started_handlers(ns, run, connect, kind):
    log = []
    connect("suspending", lambda sender: log.append("started before"))
    connect(kind, fail(ValueError()))
    for other in ALL_KINDS:
        connect(other, lambda sender: log.append("started after"))

    async def main():
        with pytest.raises(ValueError):
            await ns.emit_async("x")
        assert log == ["started before"]

    run(main())


@pytest.mark.parametrize("kind", [*PARALLEL, "async_generator"])
def test_async_exception_counts_after_its_tier(ns, run, connect, kind):
    log = []
    connect(kind, fail(ValueError()))
    for other in ALL_KINDS:
        connect(other, lambda sender: log.append("ran"))

    async def main():
        with pytest.raises(ValueError):
            await ns.emit_async("x")
        assert log == ["ran"] * len(ALL_KINDS)

    run(main())


@pytest.mark.parametrize("last", ["immediate", "sync", "suspending"])
def test_first_exception_is_raised_others_go_to_the_loop(ns, run, connect, last):
    errors = [ValueError(number) for number in range(3)]
    connect("suspending", fail(errors[0]))  # the last one to fail
    connect("immediate", fail(errors[1]))
    connect(last, fail(errors[2]))

    async def main():
        seen = watch_loop()
        with pytest.raises(ValueError) as caught:
            await ns.emit_async("x")
        assert caught.value is errors[0]
        await ticks()
        assert sorted(seen, key=str) == errors[1:]

    run(main())


@pytest.mark.parametrize("first", ["canceller", "failing"])
def test_exception_beats_false_in_the_same_tier(ns, run, connect, first):
    if first == "canceller":
        connect("suspending", give(False))
    connect("suspending", fail(ValueError()))
    connect("suspending", give(False))

    async def main():
        with pytest.raises(ValueError):
            await ns.emit_async("x")

    run(main())


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_base_exception_cancels_and_awaits_the_rest(ns, run, connect, kind):
    log, error = [], Fatal()

    @ns.on("x")
    async def endless(sender):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await ticks()
            log.append("awaited")

    connect(kind, fail(error))
    connect("sync", lambda sender: log.append("low"), priority=-1)

    async def main():
        with pytest.raises(Fatal) as caught:
            await ns.emit_async("x")
        assert caught.value is error
        assert await nothing_left()

    run(main())
    begun = EAGER or kind not in ("sync", "generator")  # otherwise it is cancelled before its first step
    assert log == (["awaited"] if begun else [])


def test_exceptions_with_a_base_exception_go_to_the_loop(ns, run, connect):
    error, other = Fatal(1), ValueError()

    @ns.on("x")
    async def fails_when_cancelled(sender):
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            raise other

    connect("suspending", fail(error))

    async def main():
        seen = watch_loop()
        with pytest.raises(Fatal) as caught:
            await ns.emit_async("x")
        assert caught.value is error
        await ticks()
        assert seen == [other]

    run(main())


def test_second_base_exception_goes_to_the_loop(ns, run, connect):
    errors = Fatal(1), Fatal(2)
    for error in errors:
        connect("suspending", fail(error))

    async def main():
        seen = watch_loop()
        with pytest.raises(Fatal) as caught:
            await ns.emit_async("x")
        assert caught.value is errors[0]
        await ticks()
        assert seen == [errors[1]]

    run(main())


@pytest.mark.parametrize("error_type", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_keyboard_interrupt_and_system_exit_leave_the_loop(ns, connect, collect, kind, error_type):
    reports = []
    connect(kind, fail(error_type()))

    async def main():
        reports.append(watch_loop())
        await ns.emit_async("x")

    with pytest.raises(error_type):
        asyncio.run(main())
    collect()
    assert reports == [[]]


@pytest.mark.parametrize("how", ["cancelled", "raises"])
def test_cancelled_handler_raises_cancelled_error(ns, run, how):
    log = []

    @ns.on("x")
    async def handler(sender):
        log.append(asyncio.current_task())
        await ticks()
        if how == "raises":
            raise asyncio.CancelledError
        await asyncio.get_running_loop().create_future()

    @ns.on("x")
    async def endless(sender):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await ticks()
            log.append("awaited")

    @ns.on("x", priority=-1)
    def low(sender):
        log.append("low")

    async def main():
        emission = asyncio.ensure_future(ns.emit_async("x"))
        while not log:
            await asyncio.sleep(0)
        if how == "cancelled":
            log[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await emission
        assert log[1:] == ["awaited"]
        assert asyncio.current_task().cancelling() == 0
        assert await nothing_left()

    run(main())


# Cancelling emit_async


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("times", [1, 3])
def test_cancelling_cancels_and_awaits_its_handlers(ns, run, factory, times):
    log = []

    @ns.on("x")
    async def one(sender):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            log.append("one")

    @ns.on("x")
    async def two(sender):
        try:
            yield
            await asyncio.get_running_loop().create_future()
        finally:
            log.append("two")

    @ns.on("x")
    async def stubborn(sender):
        for _ in range(times):
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                pass
        await ticks()
        log.append("stubborn")
        return False

    @ns.on("x", priority=-1)
    def low(sender):
        log.append("low")

    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        emission = asyncio.ensure_future(ns.emit_async("x"))
        await ticks(3)
        for _ in range(times):
            emission.cancel()
            await ticks(3)
        with pytest.raises(asyncio.CancelledError):
            await emission
        assert sorted(log) == ["one", "stubborn", "two"]
        assert emission.cancelled()
        assert await nothing_left()

    run(main())


def test_cancelling_in_a_lower_tier_starts_no_more(ns, run, connect):
    log = []

    async def main():
        begun = asyncio.Event()

        @ns.on("x")
        async def middle(sender):
            begun.set()
            await asyncio.get_running_loop().create_future()

        connect("suspending", lambda sender: log.append("high"), priority=1)
        connect("sync", lambda sender: log.append("low"), priority=-1)
        emission = asyncio.ensure_future(ns.emit_async("x"))
        await begun.wait()
        emission.cancel()
        with pytest.raises(asyncio.CancelledError):
            await emission
        assert log == ["high"]
        assert await nothing_left()

    run(main())


def test_cancelling_before_the_start_runs_nothing(ns, run, connect):
    called = []
    for kind in ALL_KINDS:
        connect(kind, called.append)

    async def main():
        emission = asyncio.ensure_future(ns.emit_async("x"))
        emission.cancel()
        with pytest.raises(asyncio.CancelledError):
            await emission
        assert await nothing_left()

    run(main())
    assert called == []


def test_exceptions_while_cancelling_go_to_the_loop(ns, run):
    error = ValueError()

    @ns.on("x")
    async def handler(sender):
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            raise error

    async def main():
        seen = watch_loop()
        emission = asyncio.ensure_future(ns.emit_async("x"))
        await ticks()
        emission.cancel()
        with pytest.raises(asyncio.CancelledError):
            await emission
        await ticks()
        assert seen == [error]

    run(main())


def test_works_under_asyncio_timeout(ns, run):
    log = []

    @ns.on("x")
    async def handler(sender):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            log.append("cancelled")

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await ns.emit_async("x")
        assert log == ["cancelled"]
        assert await nothing_left()

    run(main())


def test_works_in_a_task_group(ns, run):
    log = []

    @ns.on("x")
    async def handler(sender):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            log.append("cancelled")

    async def fails():
        await ticks()
        raise ValueError

    async def grouped():
        async with asyncio.TaskGroup() as group:
            group.create_task(ns.emit_async("x"))
            group.create_task(fails())

    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            await grouped()
        assert [type(error) for error in caught.value.exceptions] == [ValueError]
        assert log == ["cancelled"]
        assert await nothing_left()

    run(main())


@pytest.mark.parametrize("end", [give(1), give(False), fail(ValueError())], ids=["value", "false", "error"])
def test_nothing_is_left_behind(ns, run, connect, end):
    for _ in range(2):
        for kind in ALL_KINDS:
            connect(kind, end)

    async def main():
        watch_loop()
        try:
            await ns.emit_async("x")
        except ValueError:
            pass
        assert await nothing_left()

    run(main())


# thread=True


@pytest.mark.parametrize("kind", ["sync_thread", "generator_thread"])
def test_threaded_handler_runs_in_a_thread(ns, run, connect, kind):
    threads = []
    connect(kind, lambda sender: threads.append(threading.get_ident()))
    run(ns.emit_async("x"))
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


def test_threaded_handler_uses_the_default_executor(ns, run, connect):
    names = []
    connect("sync_thread", lambda sender: names.append(threading.current_thread().name))

    async def main():
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1, thread_name_prefix="executor"))
        await ns.emit_async("x")

    run(main())
    assert len(names) == 1
    assert names[0].startswith("executor")


def test_threaded_generator_runs_in_one_thread(ns, run):
    threads = []

    @ns.on("x", thread=True)
    def handler(sender):
        try:
            for number in range(3):
                threads.append(threading.get_ident())
                yield number
        finally:
            threads.append(threading.get_ident())

    assert run(ns.emit_async("x")) == [[0, 1, 2]]
    assert len(threads) == 4
    assert set(threads) != {threading.get_ident()}
    assert len(set(threads)) == 1


@pytest.mark.parametrize("kind", ["sync_thread", "generator_thread"])
@pytest.mark.parametrize("looped", [False, True])
def test_emit_runs_a_threaded_handler_in_place(ns, run, connect, kind, looped):
    threads = []
    connect(kind, lambda sender: threads.append(threading.get_ident()))

    async def main():
        return ns.emit("x")

    assert (run(main()) if looped else ns.emit("x")) == ([["item"]] if kind == "generator_thread" else [])
    assert threads == [threading.get_ident()]


def test_threaded_handler_gets_a_copy_of_the_context(ns, run):
    variable = contextvars.ContextVar("variable")
    seen = []

    @ns.on("x", thread=True)
    def handler(sender):
        seen.append(variable.get())
        variable.set("the thread's")
        yield
        seen.append(variable.get())

    async def main():
        variable.set("the emitter's")
        await ns.emit_async("x")
        assert variable.get() == "the emitter's"

    run(main())
    assert seen == ["the emitter's", "the thread's"]


@pytest.mark.parametrize("by", ["cancel", "base_exception"])
@pytest.mark.parametrize("generates", [False, True])
def test_started_thread_is_awaited_on_cancellation(ns, run, by, generates):
    gate, log = threading.Event(), []

    async def main():
        loop, begun = asyncio.get_running_loop(), asyncio.Event()

        def body():
            loop.call_soon_threadsafe(begun.set)
            assert gate.wait(TIMEOUT)
            log.append("done")

        def handler(sender):
            body()

        def generating(sender):
            body()
            yield

        async def fails(sender):
            await begun.wait()
            raise Fatal

        ns.event("x").connect(generating if generates else handler, thread=True)
        if by == "base_exception":
            ns.event("x").connect(fails)
        emission = asyncio.ensure_future(ns.emit_async("x"))
        await begun.wait()
        for _ in range(3):
            if by == "cancel":
                emission.cancel()
            await ticks()
        assert not emission.done()
        gate.set()
        with pytest.raises(asyncio.CancelledError if by == "cancel" else Fatal):
            await emission
        assert log == ["done"]
        assert await nothing_left()

    try:
        run(main())
    finally:
        gate.set()


def test_unstarted_thread_is_not_run_when_cancelled(ns, run, connect):
    gate, called = threading.Event(), []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, gate.wait, TIMEOUT)
        connect("sync_thread", called.append)
        emission = asyncio.ensure_future(ns.emit_async("x"))
        await ticks()
        emission.cancel()
        try:
            await asyncio.wait({emission}, timeout=TIMEOUT)
            assert emission.cancelled()
        finally:
            gate.set()
            await busy
        await asyncio.to_thread(int)  # let the queue ahead of it drain
        assert called == []

    run(main())


@pytest.mark.parametrize("kind", ["suspending", "immediate", "async_generator"])
def test_thread_has_no_effect_on_async_handlers(api, ns, run, kind):
    threads = []

    def note(sender):
        threads.append(threading.get_ident())
        return "value"

    handler = ALL_KINDS[kind][0](note)
    ns.event("x").connect(handler, thread=True)

    async def main():
        assert ns.emit("x") == []
        assert await api.drain_async(TIMEOUT)
        return await ns.emit_async("x")

    assert run(main()) == [["value"] if kind == "async_generator" else "value"]
    assert threads == [threading.get_ident()] * 2


@pytest.mark.parametrize("looks", ["async_call", "partial", "decorated", "method"])
def test_thread_has_no_effect_on_other_async_callables(ns, run, looks):
    threads = []

    class Handler:
        async def __call__(self, sender):
            await asyncio.sleep(0)
            threads.append(threading.get_ident())
            return "value"

    body = Handler().__call__

    @functools.wraps(body)
    def decorated(*args):
        return body(*args)

    handler = {
        "async_call": Handler(),
        "partial": functools.partial(body),
        "decorated": decorated,
        "method": body,
    }[looks]
    ns.event("x").connect(handler, weak=False, thread=True)
    assert run(ns.emit_async("x")) == ["value"]
    assert threads == [threading.get_ident()]


def test_threaded_exception_keeps_its_type(ns, run, connect):
    connect("sync_thread", fail(StopAsyncIteration("odd")))

    async def main():
        with pytest.raises(StopAsyncIteration, match="odd"):
            await ns.emit_async("x")

    run(main())


# on_error


def connect_failing(connect, priorities, kinds=tuple(ALL_KINDS)):
    """Connect failing handlers of all kinds, the slow ones first; return errors and handlers in dispatch order."""
    failing = []
    for priority in sorted(priorities, reverse=True):
        for kind in sorted(kinds, key=["suspending", "sync_thread", *kinds].index):
            error = ValueError(f"{kind} {priority}")
            failing.append((error, connect(kind, fail(error), priority=priority)))
    return failing


def test_group_raises_all_errors_in_dispatch_order(ns, run, connect):
    log = []
    ns.on_error = "group"
    failing = connect_failing(connect, (2, 1))
    for priority in (3, 1, 0):
        connect("sync", lambda sender: log.append("ran"), priority=priority)

    async def main():
        seen = watch_loop()
        with pytest.raises(ExceptionGroup) as caught:
            await ns.emit_async("x")
        assert list(caught.value.exceptions) == [error for error, _ in failing]
        assert caught.value.message == f"{len(failing)} handlers of 'x' failed"
        assert log == ["ran"] * 3
        assert seen == []
        assert await nothing_left()

    run(main())


def test_group_wraps_a_single_error(ns, run, connect):
    ns.on_error = "group"
    connect("suspending", fail(ValueError()))

    async def main():
        with pytest.raises(ExceptionGroup, match="^1 handlers? of 'x' failed"):
            await ns.emit_async("x")

    run(main())


@pytest.mark.parametrize("kind", CANCELLING)
def test_group_and_false(ns, run, connect, kind):
    ns.on_error, log = "group", []
    connect("suspending", fail(ValueError()), priority=1)
    connect(kind, give(False))
    connect("sync", lambda sender: log.append("low"), priority=-1)

    async def main():
        with pytest.raises(ExceptionGroup):
            await ns.emit_async("x")

    run(main())
    assert log == []


@pytest.mark.parametrize("kind", ["sync", "suspending"])
def test_group_and_a_base_exception(ns, run, connect, kind):
    """The emitter loses earlier errors, but the loop's exception handler gets them."""
    ns.on_error, errors = "group", [ValueError(1), ValueError(2)]
    connect("sync", fail(errors[0]), priority=2)
    connect("suspending", fail(errors[1]), priority=1)
    connect(kind, fail(Fatal()))

    async def main():
        seen = watch_loop()
        with pytest.raises(Fatal):
            await ns.emit_async("x")
        await ticks()
        assert seen == errors

    run(main())


@pytest.mark.parametrize("kinds", [("sync", "generator"), (*PARALLEL, "async_generator")], ids=["sync", "async"])
def test_callable_gets_each_exception_in_dispatch_order(ns, run, connect, kinds):
    got, threads = [], set()

    def on_error(*args):
        got.append(args)
        threads.add(threading.get_ident())

    ns.on_error = on_error
    failing = connect_failing(connect, (2, 1), kinds)
    connect("sync", give("high"), priority=3)
    connect("sync", give("low"))

    async def main():
        seen = watch_loop()
        assert await ns.emit_async("x", "sender") == ["high", "low"]
        assert seen == []

    run(main())
    assert got == [(error, handler, ns["x"], "sender") for error, handler in failing]
    assert threads == {threading.get_ident()}


def test_callable_gets_exceptions_before_the_next_tier(ns, run, connect):
    log = []
    ns.on_error = lambda error, handler, event, sender: log.append("on_error")
    connect("suspending", fail(ValueError()), priority=1)
    connect("sync", lambda sender: log.append("low"))
    run(ns.emit_async("x"))
    assert log == ["on_error", "low"]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_exception_of_the_callable_propagates(ns, run, connect, kind):
    log, worse = [], KeyError()

    def on_error(error, handler, event, sender):
        raise worse

    ns.on_error = on_error
    connect("suspending", lambda sender: log.append("started before"))
    connect(kind, fail(ValueError()))
    connect("sync", lambda sender: log.append("low"), priority=-1)

    async def main():
        with pytest.raises(KeyError) as caught:
            await ns.emit_async("x")
        assert caught.value is worse
        assert log == ["started before"]
        assert await nothing_left()

    run(main())


@pytest.mark.parametrize("kind", ["sync", "suspending"])
def test_no_exception_is_lost_if_the_callable_raises(ns, run, connect, kind):
    """Each still reaches the callable or the loop's exception handler."""
    errors, got = [ValueError(number) for number in range(3)], []

    def on_error(error, handler, event, sender):
        got.append(error)
        raise KeyError(str(error))

    ns.on_error = on_error
    connect("suspending", fail(errors[0]))
    connect("suspending", fail(errors[1]))
    connect(kind, fail(errors[2]))

    async def main():
        seen = watch_loop()
        with pytest.raises(KeyError):
            await ns.emit_async("x")
        await ticks()
        assert set(errors) <= {*got, *seen}

    run(main())


def test_callable_does_not_get_base_exceptions(ns, run, connect):
    got = []
    ns.on_error = lambda *args: got.append(args)
    connect("suspending", fail(Fatal()))

    async def main():
        with pytest.raises(Fatal):
            await ns.emit_async("x")

    run(main())
    assert got == []


def test_callable_gets_exceptions_despite_a_base_exception(ns, run, connect):
    got, error = [], ValueError()
    ns.on_error = lambda error, handler, event, sender: got.append(error)
    connect("immediate", fail(error))
    connect("suspending", fail(Fatal()))

    async def main():
        with pytest.raises(Fatal):
            await ns.emit_async("x")

    run(main())
    assert got == [error]


def test_raise_on_the_event_overrides_the_namespace(ns, run, connect):
    ns.on_error = "group"
    connect("suspending", fail(ValueError()))
    ns["x"].on_error = "raise"

    async def main():
        with pytest.raises(ValueError):
            await ns.emit_async("x")

    run(main())


# Options


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_once_runs_once_in_concurrent_emissions(ns, run, connect, kind):
    called = []
    connect("suspending", give(None), priority=1)
    connect(kind, called.append, once=True)

    async def main():
        await asyncio.gather(*(ns.emit_async("x", number) for number in range(5)))
        await ns.emit_async("x")
        assert len(called) == 1

    run(main())


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_once_is_consumed_before_the_call(ns, run, connect, kind):
    connect(kind, fail(ValueError()), once=True)

    async def main():
        with pytest.raises(ValueError):
            await ns.emit_async("x")
        assert await ns.emit_async("x") == []

    run(main())


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_false_condition_or_muting_keeps_once(ns, run, connect, kind):
    called = []
    handler = connect(kind, lambda sender, **kwargs: called.append(kwargs), once=True, condition=lambda s, go: go)

    async def main():
        await ns.emit_async("x", go=False)
        with ns["x"].muted(handler):
            await ns.emit_async("x", go=True)
        assert called == []
        await ns.emit_async("x", go=True)
        await ns.emit_async("x", go=True)
        assert called == [{"go": True}]

    run(main())


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_conditions_are_checked_right_before_the_handler(ns, run, connect, kind):
    log = []

    def condition(sender, **kwargs):
        log.append(("checked", kwargs, threading.get_ident()))
        return True

    connect("suspending", lambda sender, **kwargs: log.append("high"), priority=1)
    connect(kind, lambda sender, **kwargs: log.append("ran"), condition=condition)
    run(ns.emit_async("x", "sender", key=1))
    assert log == ["high", ("checked", {"key": 1}, threading.get_ident()), "ran"]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_failing_condition_skips_the_handler_and_is_logged(ns, run, connect, caplog, kind):
    called, error = [], ValueError()
    connect(kind, called.append, condition=fail(error))
    connect("sync", give("other"))
    assert run(ns.emit_async("x")) == ["other"]
    assert called == []
    (record,) = (record for record in caplog.records if record.name == "cyevents")
    assert record.levelno == logging.WARNING
    assert record.exc_info[1] is error


def test_failing_condition_goes_to_a_callable_on_error(ns, run, connect):
    error, got = ValueError(), []
    ns.on_error = lambda *args: got.append(args)
    handler = connect("suspending", give(1), condition=fail(error))
    assert run(ns.emit_async("x", "sender")) == []
    assert got == [(error, handler, ns["x"], "sender")]


def test_base_exception_of_a_condition_cancels_started(ns, run, connect):
    @ns.on("x")
    async def endless(sender):
        await asyncio.get_running_loop().create_future()

    connect("sync", give(1), condition=fail(Fatal()))

    async def main():
        with pytest.raises(Fatal):
            await ns.emit_async("x")
        assert await nothing_left()

    run(main())


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_with_event_passes_the_emitted_event(ns, run, connect, kind):
    got = []
    make, thread = ALL_KINDS[kind]
    handler = make(lambda sender, **kwargs: got.append(kwargs))
    ns.event("x.*").connect(handler, with_event=True, thread=thread)
    event = ns.event("x.y")
    run(event.emit_async("sender", event="the emitter's", other=1))
    assert got == [{"event": event, "other": 1}]


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_muted_applies_to_emissions_that_start_inside(ns, run, connect, kind):
    called = []

    async def main():
        begun, go_on = asyncio.Event(), asyncio.Event()

        @ns.on("x", priority=1)
        async def high(sender):
            begun.set()
            await go_on.wait()

        handler = connect(kind, called.append)

        async def emission_around(mute):
            """Run an emission that starts inside `muted` and continues after it."""
            with mute:
                emission = asyncio.ensure_future(ns.emit_async("x", "muted"))
                await begun.wait()
            go_on.set()
            await emission

        await emission_around(ns["x"].muted(handler))
        assert called == []
        go_on.clear()
        begun.clear()
        emission = asyncio.ensure_future(ns.emit_async("x", "received"))
        await begun.wait()
        with ns["x"].muted():
            go_on.set()
            await emission
        assert called == ["received"]

    run(main())


# Re-entrancy


def test_handlers_may_emit_connect_and_disconnect(api, ns, run):
    log = []

    async def added(sender):
        log.append("added")

    @ns.on("x")
    async def handler(sender):
        if sender:
            assert ns["x"].disconnect(handler)
            ns["x"].connect(added)
            await ns.emit_async("x", sender - 1)
            ns.emit("x", sender - 1)
        log.append(sender)

    async def main():
        await ns.emit_async("x", 1)
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert log == ["added", 1, "added"]


def in_place(awaitable):
    return awaitable


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # the innermost one
@pytest.mark.parametrize("factory", [None, plain_factory])
@pytest.mark.parametrize("through", [in_place, asyncio.ensure_future])
@pytest.mark.parametrize("names", ["x", "xy"])
def test_runaway_recursion_raises_recursion_error(ns, run, collect, no_garbage, factory, through, names):
    depth = []

    async def handler(sender):
        depth.append(sender)
        await through(ns.emit_async(names[sender % len(names)], sender + 1))

    for name in names:
        ns.event(name).connect(handler)

    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        with pytest.raises(RecursionError):
            await ns.emit_async("x", 1)
        assert await nothing_left()

    run(main())
    collect()
    assert depth == list(range(1, len(depth) + 1))
    assert 10 < len(depth) < 10 * sys.getrecursionlimit()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # the innermost one
def test_sync_recursion_raises_recursion_error(ns, run, collect):
    @ns.on("x")
    def handler(sender):
        return ns.emit_async("x")

    async def main():
        with pytest.raises(RecursionError):
            await ns.emit_async("x")
        assert await nothing_left()

    run(main())
    collect()


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # the innermost one
def test_event_works_after_a_recursion_error(ns, run, collect):
    @ns.on("x")
    async def handler(sender):
        if sender == "runaway":
            await ns.emit_async("x", "runaway")
        return "well"

    async def main():
        with pytest.raises(RecursionError):
            await ns.emit_async("x", "runaway")
        assert await ns.emit_async("x", 1) == ["well"]

    run(main())
    collect()


def test_consecutive_emissions_are_not_recursion(ns, run, connect):
    connect("suspending", give(1))

    async def main():
        for _ in range(2 * sys.getrecursionlimit()):
            assert await ns.emit_async("x") == [1]

    run(main())


@pytest.mark.parametrize("factory", FACTORIES)
@pytest.mark.parametrize("more_to_do", [0, 1, 5])
def test_long_chain_of_tasks_is_not_recursion(ns, run, factory, more_to_do):
    length = 3 * sys.getrecursionlimit()

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(factory)
        finished = loop.create_future()
        tasks = set()

        def ended(task):
            tasks.discard(task)
            if not task.cancelled() and task.exception() and not finished.done():
                finished.set_exception(task.exception())

        async def link(number):
            await asyncio.sleep(0)
            await ns.emit_async("x", number)

        @ns.on("x")
        async def handler(number):
            if number == length:
                finished.set_result(number)
            else:
                task = loop.create_task(link(number + 1))
                tasks.add(task)
                task.add_done_callback(ended)
            await ticks(more_to_do)

        await ns.emit_async("x", 0)
        assert await finished == length

    run(main())


@pytest.mark.parametrize("factory", FACTORIES)
def test_long_chain_through_emit_is_not_recursion(api, ns, run, factory):
    length, log = 3 * sys.getrecursionlimit(), []

    @ns.on("x")
    async def emits(number):
        log.append(number)
        if number < length:
            ns.emit("y", number)

    @ns.on("y")
    async def awaits(number):
        await ns.emit_async("x", number + 1)

    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        seen = watch_loop()
        ns.emit("y", 0)
        assert await api.drain_async()
        assert seen == []
        assert log[-1] == length

    run(main())
