"""How `emit` schedules async handlers: the loop they run in, when they start, and where their errors go."""

import asyncio
import contextvars
import functools
import gc
import logging
import sys
import threading
import time
import types
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from unittest.mock import AsyncMock

import pytest

TIMEOUT = 30  # seconds until a hanging test fails


def plain_factory(loop, coroutine, **options):
    return asyncio.Task(coroutine, loop=loop, **options)


FACTORIES = [
    pytest.param(None, id="no_factory"),
    pytest.param(plain_factory, id="plain_factory"),
    pytest.param(
        getattr(asyncio, "eager_task_factory", None),
        id="eager_task_factory",
        marks=pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks"),
    ),
]


def in_thread(call, *args):
    """Call a function in a new thread, where no loop runs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call, *args).result(TIMEOUT)


def watch_loop():
    """Return a list to which the running loop's exception handler adds each context."""
    seen = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context))
    return seen


def errors_of(caplog):
    return [record for record in caplog.records if record.name == "cyevents" and record.levelno == logging.ERROR]


# Kinds of async handlers. Each logs that its body ran, and returns "value"; the async generator yields it.


def coroutine_function(log):
    async def handler(sender):
        await asyncio.sleep(0)
        log.append(sender)
        return "value"

    return handler


class AsyncCallable:
    def __init__(self, log):
        self.body = coroutine_function(log)

    async def __call__(self, sender):
        return await self.body(sender)

    async def method(self, sender):
        return await self.body(sender)


class Awaitable:
    def __init__(self, coroutine):
        self.coroutine = coroutine

    def __await__(self):
        return self.coroutine.__await__()


def decorated(log):
    body = coroutine_function(log)

    @functools.wraps(body)
    def wrapper(*args):
        return body(*args)

    return wrapper


def returns_awaitable(log):
    body = coroutine_function(log)

    def handler(sender):
        return Awaitable(body(sender))

    return handler


def generator_coroutine(log):
    @types.coroutine
    def handler(sender):
        yield
        log.append(sender)
        return "value"

    return handler


def async_generator(log):
    async def handler(sender):
        await asyncio.sleep(0)
        log.append(sender)
        yield "value"

    return handler


def returns_task(log):
    body = coroutine_function(log)

    def handler(sender):
        return asyncio.ensure_future(body(sender))

    return handler


def returns_future(log):
    def handler(sender):
        loop = asyncio.get_running_loop()
        future = loop.create_future()

        def resolve():
            log.append(sender)
            future.set_result("value")

        loop.call_soon(resolve)
        return future

    return handler


def async_mock(log):
    return AsyncMock(side_effect=coroutine_function(log))


LOOPLESS = {
    "coroutine_function": coroutine_function,
    "async_method": lambda log: AsyncCallable(log).method,
    "async_call": AsyncCallable,
    "partial": lambda log: functools.partial(coroutine_function(log)),
    "decorated": decorated,
    "returns_awaitable": returns_awaitable,
    "types_coroutine": generator_coroutine,
    "async_generator": async_generator,
    "async_mock": async_mock,
}
KINDS = {**LOOPLESS, "returns_task": returns_task, "returns_future": returns_future}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_scheduled_in_the_running_loop(api, ns, run, kind):
    log = []
    ns.event("x").connect(KINDS[kind](log), weak=False)

    async def main():
        assert ns.emit("x", "sender") == []
        assert log == []
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert log == ["sender"]


@pytest.mark.parametrize("kind", LOOPLESS)
def test_every_kind_is_scheduled_in_the_background_loop(api, ns, kind):
    log = []
    ns.event("x").connect(LOOPLESS[kind](log), weak=False)
    assert ns.emit("x", "sender") == []
    assert api.drain(TIMEOUT)
    assert log == ["sender"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_awaited_by_emit_async(ns, run, kind):
    log = []
    ns.event("x").connect(KINDS[kind](log), weak=False)

    async def main():
        return await ns.emit_async("x", "sender")

    assert run(main()) == [["value"] if kind == "async_generator" else "value"]
    assert log == ["sender"]


def test_emit_ignores_results_of_async_handlers(api, ns, run):
    @ns.on("x", priority=1)
    async def refuse(sender):
        return False

    @ns.on("x")
    def answer(sender):
        return 1

    async def main():
        results = ns.emit("x")
        assert await api.drain_async(TIMEOUT)
        return results

    results = run(main())
    assert results == [1]
    assert type(results) is list


# With a running loop


def test_each_handler_is_a_task_of_the_running_loop(api, ns, run):
    seen = []

    async def handler(sender):
        seen.append((asyncio.get_running_loop(), asyncio.current_task()))

    async def other(sender):
        await handler(sender)

    ns.event("x").connect(handler)
    ns.event("x").connect(other)

    async def main():
        ns.emit("x")
        assert await api.drain_async(TIMEOUT)
        assert [loop for loop, _ in seen] == [asyncio.get_running_loop()] * 2
        assert len({asyncio.current_task(), *(task for _, task in seen)}) == 3

    run(main())


def test_task_factory_of_the_running_loop_is_used(api, ns, run):
    made, seen = [], []

    def factory(loop, coroutine, **options):
        made.append(asyncio.Task(coroutine, loop=loop, **options))
        return made[-1]

    @ns.on("x")
    async def handler(sender):
        seen.append(asyncio.current_task())

    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        ns.emit("x")
        assert len(made) == 1
        assert await api.drain_async(TIMEOUT)
        assert seen == made[:1]

    run(main())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factory", FACTORIES)
def test_nothing_runs_before_emit_returns(api, ns, run, kind, factory):
    log = []
    ns.event("x").connect(KINDS[kind](log), weak=False)

    @ns.on("x")
    async def at_once(sender):
        log.append("at once")

    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        ns.emit("x", "sender")
        assert log == []
        assert await api.drain_async(TIMEOUT)
        assert sorted(log) == ["at once", "sender"]

    run(main())


def test_handlers_start_in_dispatch_order(api, ns, run):
    log = []

    @ns.on("x")
    async def second(sender):
        log.append((sender, 2))

    @ns.on("x", priority=1)
    async def first(sender):
        log.append((sender, 1))

    async def main():
        ns.emit("x", "a")
        ns.emit("x", "b")
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert log == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


@pytest.mark.parametrize("factory", FACTORIES)
def test_scheduled_tasks_are_held_until_done(api, ns, run, collect, factory):
    held = []

    @ns.on("x")
    async def handler(sender):
        future = asyncio.get_running_loop().create_future()
        held.append(weakref.ref(future))  # nothing else refers to the future or to the task that awaits it
        held.append(weakref.ref(asyncio.current_task()))
        await future
        held.append("done")

    async def main():
        asyncio.get_running_loop().set_task_factory(factory)
        ns.emit("x")
        while not held:
            await asyncio.sleep(0)
        collect()
        held[0]().set_result(None)
        assert await api.drain_async(TIMEOUT)
        assert held[-1] == "done"
        await asyncio.sleep(0)
        collect()
        assert held[1]() is None

    run(main())


def test_running_loop_takes_precedence(api, ns, run):
    seen = []

    @ns.on("x")
    async def handler(sender):
        seen.append(asyncio.get_running_loop())

    async def inner():
        ns.emit("x")
        assert await api.drain_async(TIMEOUT)
        return asyncio.get_running_loop()

    async def main():
        api.use_loop(asyncio.get_running_loop())
        assert seen == [await asyncio.to_thread(run, inner())]

    run(main())


@pytest.mark.parametrize("factory", FACTORIES)
def test_asyncio_run_cancels_scheduled_handlers(ns, run, factory):
    log = []

    @ns.on("x")
    async def handler(sender):
        log.append("started")
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def main():
        reports.append(watch_loop())
        asyncio.get_running_loop().set_task_factory(factory)
        ns.emit("x")
        while not log:
            await asyncio.sleep(0)

    reports = []
    run(main())
    assert log == ["started", "cancelled"]
    assert reports == [[]]  # a cancelled handler is no error


@pytest.mark.parametrize("factory", FACTORIES)
def test_task_cancelled_before_its_start_is_silent(api, ns, run, collect, factory):
    log = []

    @ns.on("x")
    async def handler(sender):
        log.append("ran")

    async def main():
        reports = watch_loop()
        asyncio.get_running_loop().set_task_factory(factory)
        ns.emit("x")
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        assert await api.drain_async(TIMEOUT)
        assert reports == []

    run(main())
    collect()  # an unawaited coroutine warns here, which is an error
    assert log == []


def test_handler_cancelled_by_its_loop_is_logged(api, ns, run, caplog):
    @ns.on("x")
    async def endless(sender):
        await asyncio.Event().wait()

    async def main():
        ns.emit("x")
        await asyncio.sleep(0)

    run(main())
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("cyevents", "WARNING")
    assert record.getMessage() == (
        f"async handler {endless!r} of event 'x' was cancelled before it was done:"
        " await drain_async() before its loop ends"
    )


def test_handler_cancelled_by_the_program_is_not_logged(api, ns, run, caplog):
    caplog.set_level(logging.DEBUG, "cyevents")
    tasks = []

    @ns.on("x")
    async def endless(sender):
        tasks.append(asyncio.current_task())
        await asyncio.Event().wait()

    async def main():
        ns.emit("x")
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0.01)

    run(main())
    (record,) = [record for record in caplog.records if record.name == "cyevents"]
    assert (record.levelname, record.getMessage()) == (
        "DEBUG",
        f"async handler {endless!r} of event 'x' was cancelled before it was done",
    )


def test_cancelling_in_the_background_loop_is_not_logged(api, ns, caplog):
    @ns.on("x")
    async def cancels_itself(sender):
        asyncio.current_task().cancel()
        await asyncio.sleep(60)

    ns.emit("x")
    assert api.drain(TIMEOUT)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_all_handlers_cancelled_by_a_loop_are_logged(api, ns, run, caplog):
    """All are reported in reasonable time, and again when the loop ends again."""

    @ns.on("x")
    async def endless(sender):
        await asyncio.Event().wait()

    async def main(number):
        for _ in range(number):
            ns.emit("x")
        await asyncio.sleep(0)

    begun = time.monotonic()
    run(main(3000))
    run(main(2))
    assert len([record for record in caplog.records if "before its loop ends" in record.getMessage()]) == 3002
    assert time.monotonic() - begun < 15


# Results that are False


def false_warnings(caplog):
    return [record for record in caplog.records if "returned False" in record.getMessage()]


@pytest.mark.parametrize("observed", [False, True])
def test_first_false_of_an_async_handler_warns(api, ns, run, caplog, observed):
    @ns.on("x")
    @ns.on("y")
    async def refuses(sender):
        await asyncio.sleep(0)
        return False

    @ns.on("x")
    async def says_other_things(sender):
        return sender

    async def main():
        for sender in (0, None, "", 1):
            ns.emit("x", sender)
            ns.emit("y", sender)
            assert await api.drain_async(TIMEOUT)

    if observed:
        with api.trace(ns):
            run(main())
    else:
        run(main())
    assert [(record.levelname, record.getMessage()) for record in false_warnings(caplog)] == [
        (
            "WARNING",
            f"async handler {refuses!r} of event {name!r} returned False, which cancels in emit_async only: emit does"
            " not wait for it",
        )
        for name in "xy"
    ]


def test_false_and_condition_warnings_are_separate(api, ns, caplog):
    def condition(sender):
        if sender == "raise":
            raise LookupError
        return True

    @ns.on("x", condition=condition)
    async def refuses(sender):
        return False

    for sender in ("raise", "go", "raise", "go"):
        ns.emit("x", sender)
        assert api.drain(TIMEOUT)
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING", "WARNING"]
    ns["x"].connect(refuses, condition=condition)  # another connection
    for sender in ("go", "raise"):
        ns.emit("x", sender)
        assert api.drain(TIMEOUT)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 4


def test_false_does_not_warn_in_emit_async(ns, run, caplog):
    @ns.on("x")
    async def refuses(sender):
        return False

    run(ns.emit_async("x"))
    assert caplog.records == []


# Named loops that do not run


@pytest.fixture
def stopped(api):
    """Return a named loop that does not run."""
    loop = asyncio.new_event_loop()
    api.use_loop(loop)
    yield loop
    api.use_loop(None)
    loop.close()
    api.drain(TIMEOUT)


def test_drain_is_false_for_a_stopped_loop_with_work(api, ns, stopped, where):
    assert api.drain(TIMEOUT)
    ns.emit("x")
    assert not api.drain(0.1)
    assert not api.drain()
    api.use_loop(None)
    ns.emit("x")  # the earlier handler still waits for the stopped loop
    assert not api.drain(TIMEOUT)
    assert len(where) == 1
    stopped.run_until_complete(asyncio.sleep(0.01))
    assert len(where) == 2
    assert api.drain(TIMEOUT)


def test_drain_async_is_false_for_a_stopped_loop(api, ns, run, stopped, where):
    ns.emit("x")

    async def main():
        ns.emit("x")
        assert not await api.drain_async(TIMEOUT)
        assert len(where) == 1
        return await asyncio.to_thread(stopped.run_until_complete, api.drain_async(TIMEOUT))

    assert run(main())
    assert len(where) == 2


def test_task_in_a_stopped_named_loop_is_pending(api, ns, stopped):
    @ns.on("x")
    async def sleeps(sender):
        await asyncio.sleep(0.05)

    async def main():
        ns.emit("x")
        await asyncio.sleep(0)

    stopped.run_until_complete(main())
    assert not api.drain(TIMEOUT)
    assert stopped.run_until_complete(api.drain_async(TIMEOUT))
    assert api.drain(TIMEOUT)


def test_drain_ignores_a_running_named_loop(api, ns, stopped, where):
    thread = threading.Thread(target=stopped.run_forever)
    thread.start()
    try:
        ns.emit("x")
        assert api.drain(TIMEOUT) in (True, False)  # it may not have begun to run
        assert asyncio.run_coroutine_threadsafe(api.drain_async(TIMEOUT), stopped).result(TIMEOUT)
        assert len(where) == 1
        assert api.drain(TIMEOUT)
    finally:
        stopped.call_soon_threadsafe(stopped.stop)
        thread.join(TIMEOUT)


@pytest.mark.parametrize("by", ["drain", "drain_async", "emit"])
def test_work_of_a_closed_named_loop_is_logged(api, ns, run, stopped, caplog, where, by, recwarn):
    handler = ns["x"].handlers[0].handler
    ns.emit("x")
    stopped.close()

    async def main():
        if by == "drain_async":
            return await api.drain_async(TIMEOUT)
        ns.emit("x")
        await asyncio.sleep(0.01)
        return None

    if by == "drain":
        assert not api.drain(TIMEOUT)
    elif by == "drain_async":
        assert run(main()) is False
    else:
        run(main())
        assert len(errors_of(caplog)) == 1
        assert not api.drain(TIMEOUT)
    (record,) = errors_of(caplog)
    assert record.getMessage() == f"async handler {handler!r} of event 'x' is not run: its event loop was closed"
    assert api.drain(TIMEOUT)  # it was logged
    assert not recwarn.list


@pytest.mark.slow
def test_named_loop_may_change_while_threads_emit(api, ns, where):
    loop = asyncio.new_event_loop()
    over = threading.Event()
    failed = []

    def emit():
        while not over.is_set():
            try:
                ns.emit("x")
            except BaseException as error:
                failed.append(error)
                return

    thread = threading.Thread(target=loop.run_forever)
    threads = [threading.Thread(target=emit) for _ in range(2)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for each in [thread, *threads]:
            each.start()
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            api.use_loop(loop)
            api.use_loop(None)
    finally:
        sys.setswitchinterval(interval)
        over.set()
        for each in threads:
            each.join(TIMEOUT)
    assert failed == []
    assert asyncio.run_coroutine_threadsafe(api.drain_async(TIMEOUT), loop).result(TIMEOUT)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(TIMEOUT)
    loop.close()


# Timeouts


@pytest.mark.parametrize(
    ("timeout", "error", "text"),
    [
        ("5", TypeError, "timeout must be a number of seconds or None, not '5'"),
        (1j, TypeError, "timeout must be a number of seconds or None, not 1j"),
        (float("nan"), ValueError, "timeout must be a number of seconds or None, not nan"),
    ],
)
def test_timeout_must_be_a_number(api, ns, timeout, error, text):
    for call in (api.drain, api.drain_async, lambda given: ns.event("x").wait(timeout=given)):
        with pytest.raises(error) as caught:
            call(timeout)
        assert str(caught.value) == text


@pytest.mark.parametrize("timeout", [float("inf"), 10**400, 1e300, True, 30])
def test_very_long_timeout_is_valid(api, ns, run, timeout):
    ran = []

    @ns.on("x")
    async def handler(sender):
        await asyncio.sleep(0.01)
        ran.append(1)

    ns.emit("x")
    assert api.drain(timeout)

    async def main():
        ns.emit("x")
        waiting = ns["x"].wait(timeout=timeout)
        assert await api.drain_async(timeout)
        ns.emit("x")
        await waiting
        assert await api.drain_async(timeout)

    run(main())
    assert len(ran) == 3


def test_very_negative_timeout_has_expired(api, ns, run):
    @ns.on("x")
    async def handler(sender):
        await asyncio.sleep(0.1)

    ns.emit("x")
    assert not api.drain(-(10**400))

    async def main():
        with pytest.raises(TimeoutError):
            await ns["x"].wait(timeout=-(10**400))
        assert not await api.drain_async(-(10**400))

    run(main())
    assert api.drain(TIMEOUT)


# Context variables


def test_running_loop_gets_a_copy_of_the_context(api, ns, run):
    check_context_variables(ns, lambda main: run(drain_after(main, api)))


def test_background_loop_gets_a_copy_of_the_context(api, ns):
    def here(main):
        contextvars.copy_context().run(main)
        assert api.drain(TIMEOUT)

    check_context_variables(ns, here)


def test_named_loop_gets_a_copy_of_the_context(api, ns, run):
    async def worker(main):
        api.use_loop(asyncio.get_running_loop())
        await asyncio.to_thread(main)
        assert await api.drain_async(TIMEOUT)

    check_context_variables(ns, lambda main: run(worker(main)))


async def drain_after(main, api):
    main()
    assert await api.drain_async(TIMEOUT)


def check_context_variables(ns, environment):
    variable = contextvars.ContextVar("variable", default="unset")
    seen, after = [], []

    async def one(sender):
        seen.append(variable.get())
        variable.set("a handler's")
        await asyncio.sleep(0)
        seen.append(variable.get())

    async def other(sender):
        seen.append(variable.get())

    ns.event("x").connect(one)
    ns.event("x").connect(other)

    def main():
        variable.set("the emitter's")
        ns.emit("x")
        variable.set("later")
        after.append(variable.get())

    environment(main)
    assert sorted(seen) == ["a handler's", "the emitter's", "the emitter's"]
    assert after == ["later"]
    assert variable.get() == "unset"


# The loop named by use_loop


@pytest.fixture
def where(ns):
    """Return a list to which the handler of `x` adds its loop and thread."""
    seen = []

    @ns.on("x")
    async def handler(sender):
        seen.append((asyncio.get_running_loop(), threading.current_thread()))

    yield seen
    del handler


def test_worker_threads_emit_to_the_named_loop(api, ns, run, where):
    async def main():
        api.use_loop(asyncio.get_running_loop())
        await asyncio.to_thread(ns.emit, "x")
        assert await api.drain_async(TIMEOUT)
        assert where == [(asyncio.get_running_loop(), threading.current_thread())]

    run(main())


def test_drain_async_covers_emissions_of_threads(api, ns, run, where):
    async def main():
        api.use_loop(asyncio.get_running_loop())
        in_thread(ns.emit, "x")
        assert await api.drain_async(TIMEOUT)
        assert len(where) == 1

    run(main())


def test_task_factory_of_the_named_loop_is_used(api, ns, run):
    made, seen = [], []

    def factory(loop, coroutine, **options):
        made.append(asyncio.Task(coroutine, loop=loop, **options))
        return made[-1]

    @ns.on("x")
    async def handler(sender):
        seen.append(asyncio.current_task())

    async def main():
        api.use_loop(asyncio.get_running_loop())
        asyncio.get_running_loop().set_task_factory(factory)
        await asyncio.to_thread(ns.emit, "x")
        assert await api.drain_async(TIMEOUT)
        assert len(seen) == 1
        assert seen[0] in made

    run(main())


def test_named_loop_starts_handlers_in_order(api, ns, run):
    log = []

    @ns.on("x")
    async def handler(sender):
        log.append(sender)

    def worker():
        for number in range(100):
            ns.emit("x", number)

    async def main():
        api.use_loop(asyncio.get_running_loop())
        await asyncio.to_thread(worker)
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert log == list(range(100))


def test_closed_loop_counts_as_none(api, ns, where):
    loop = asyncio.new_event_loop()
    loop.close()
    api.use_loop(loop)
    ns.emit("x")
    assert api.drain(TIMEOUT)
    assert [thread.daemon for _, thread in where] == [True]


def test_loop_closed_by_asyncio_run_counts_as_none(api, ns, run, where):
    async def main():
        api.use_loop(asyncio.get_running_loop())

    run(main())
    ns.emit("x")
    assert api.drain(TIMEOUT)
    assert len(where) == 1


def test_use_loop_none_restores_the_background_loop(api, ns, run, where):
    async def main():
        api.use_loop(asyncio.get_running_loop())
        api.use_loop(None)
        await asyncio.to_thread(ns.emit, "x")
        assert await api.drain_async(TIMEOUT)
        assert len(where) == 1
        assert where[0][0] is not asyncio.get_running_loop()

    run(main())


def test_use_loop_defaults_to_the_running_loop(api, ns, run, where):
    async def main():
        api.use_loop()
        await asyncio.to_thread(ns.emit, "x")
        assert await api.drain_async(TIMEOUT)
        assert [place[0] for place in where] == [asyncio.get_running_loop()]

    run(main())


def test_use_loop_without_a_running_loop_is_an_error(api):
    with pytest.raises(
        RuntimeError, match=r"^no running event loop: call use_loop\(\) in a coroutine, or give it a loop$"
    ):
        api.use_loop()


@pytest.mark.parametrize("what", [3, "loop", object()])
def test_use_loop_rejects_other_objects(api, what):
    with pytest.raises(TypeError, match="event loop or None"):
        api.use_loop(what)


def test_named_loop_exception_handler_gets_errors(api, ns, run):
    error = ValueError("of the handler")

    @ns.on("x")
    async def handler(sender):
        raise error

    async def main():
        seen = watch_loop()
        api.use_loop(asyncio.get_running_loop())
        await asyncio.to_thread(ns.emit, "x")
        assert await api.drain_async(TIMEOUT)
        assert [context["exception"] for context in seen] == [error]

    run(main())


# The background loop


def test_handlers_share_one_background_loop(api, ns, where):
    start = threading.Barrier(8)

    def worker():
        start.wait(TIMEOUT)
        for _ in range(20):
            ns.emit("x")

    threads = [threading.Thread(target=worker) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert api.drain(TIMEOUT)
    assert len(where) == 160
    assert len(set(where)) == 1
    thread = where[0][1]
    assert thread.daemon
    assert thread not in threads
    assert thread is not threading.current_thread()


def test_background_loop_is_reused(api, ns, where):
    ns.emit("x")
    assert api.drain(TIMEOUT)
    ns.emit("x")
    assert api.drain(TIMEOUT)
    assert len(where) == 2
    assert len(set(where)) == 1


def test_background_loop_starts_handlers_in_order(api, ns):
    log = []

    @ns.on("x")
    async def second(sender):
        log.append((sender, 2))

    @ns.on("x", priority=1)
    async def first(sender):
        log.append((sender, 1))

    for number in range(100):
        ns.emit("x", number)
    assert api.drain(TIMEOUT)
    assert log == [(number, place) for number in range(100) for place in (1, 2)]


def test_emissions_in_the_background_loop_stay_in_it(api, ns, where):
    @ns.on("first")
    async def handler(sender):
        ns.emit("x")

    ns.emit("first")
    ns.emit("x")
    assert api.drain(TIMEOUT)
    assert len(where) == 2
    assert len(set(where)) == 1


def test_tasks_in_the_background_loop_are_kept_alive(api, ns, collect):
    started, held = threading.Event(), []

    @ns.on("x")
    async def handler(sender):
        future = asyncio.get_running_loop().create_future()
        held.append(asyncio.get_running_loop())
        held.append(weakref.ref(future))
        started.set()
        await future
        held.append("done")

    ns.emit("x")
    assert started.wait(TIMEOUT)
    in_thread(api.drain, 0.01)  # by now the handler waits for its future
    collect()
    held[0].call_soon_threadsafe(held[1]().set_result, None)
    assert api.drain(TIMEOUT)
    assert held[-1] == "done"


# drain


def test_drain_with_nothing_scheduled_is_true(api):
    assert api.drain() is True
    assert api.drain(timeout=TIMEOUT) is True


def test_drain_waits_for_the_background_loop(api, ns):
    log = []

    @ns.on("x")
    async def handler(sender):
        for _ in range(100):
            await asyncio.sleep(0)
        log.append("done")

    ns.emit("x")
    assert api.drain() is True
    assert log == ["done"]


def test_drain_waits_for_what_handlers_emit(api, ns):
    log = []

    @ns.on("x")
    async def handler(number):
        await asyncio.sleep(0)
        log.append(number)
        if number:
            ns.emit("x", number - 1)

    ns.emit("x", 5)
    assert api.drain(TIMEOUT) is True
    assert log == [5, 4, 3, 2, 1, 0]


def test_drain_timeout_keeps_the_handler_running(api, ns):
    gate, log = Future(), []

    @ns.on("x")
    async def handler(sender):
        await asyncio.wrap_future(gate)
        log.append("done")

    ns.emit("x")
    try:
        assert api.drain(0.01) is False
        assert api.drain(timeout=0) is False
    finally:
        gate.set_result(None)
    assert api.drain(TIMEOUT) is True
    assert log == ["done"]


def test_drain_with_zero_timeout_and_no_work_is_true(api, ns, where):
    ns.emit("x")
    assert api.drain(TIMEOUT)
    assert {api.drain(timeout=0) for _ in range(100)} == {True}


def test_drain_in_a_running_loop_names_drain_async(api, run):
    async def main():
        with pytest.raises(RuntimeError, match=r"await drain_async\("):
            api.drain()

    run(main())


def test_drain_in_the_background_loop_is_an_error(api, ns):
    caught = []

    @ns.on("x")
    async def handler(sender):
        try:
            api.drain()
        except RuntimeError as error:
            caught.append(str(error))

    ns.emit("x")
    assert api.drain(TIMEOUT)
    assert len(caught) == 1
    assert "drain_async" in caught[0]


def test_drain_works_if_a_handler_fails(api, ns, caplog):
    @ns.on("x")
    async def handler(sender):
        raise ValueError

    ns.emit("x")
    assert api.drain(TIMEOUT) is True


# drain_async


def test_drain_async_with_nothing_scheduled_is_true(api, run):
    assert run(api.drain_async()) is True


def test_drain_async_waits_for_the_running_loop(api, ns, run):
    log = []

    @ns.on("x")
    async def handler(number):
        await asyncio.sleep(0)
        log.append(number)
        if number:
            ns.emit("x", number - 1)

    async def main():
        ns.emit("x", 5)
        assert await api.drain_async() is True
        assert log == [5, 4, 3, 2, 1, 0]

    run(main())


def test_drain_async_waits_for_the_background_loop(api, ns, run):
    gate, log = Future(), []

    @ns.on("x")
    async def handler(sender):
        await asyncio.wrap_future(gate)
        log.append(sender)

    async def main():
        in_thread(ns.emit, "x", "background")
        ns.emit("x", "here")
        waiting = asyncio.ensure_future(api.drain_async())
        await asyncio.wait({waiting}, timeout=0.01)
        assert not waiting.done()
        gate.set_result(None)
        assert await waiting is True
        assert sorted(log) == ["background", "here"]

    run(main())


def test_drain_async_waits_for_later_background_emissions(api, ns, run):
    gate, log = Future(), []

    @ns.on("first")
    async def first(sender):
        await asyncio.wrap_future(gate)

    @ns.on("here")
    async def here(sender):
        while not gate.done():  # until drain_async waits for `first`
            await asyncio.sleep(0)
            if len(log) == 10:
                gate.set_result(None)
            log.append("tick")
        assert in_thread(api.drain, TIMEOUT)  # nothing is left there,
        in_thread(ns.emit, "second")  # now something else is pending

    @ns.on("second")
    async def second(sender):
        for _ in range(100):
            await asyncio.sleep(0)
        log.append("done")

    async def main():
        in_thread(ns.emit, "first")
        ns.emit("here")
        assert await api.drain_async(TIMEOUT) is True
        assert log[-1] == "done"

    run(main())


@pytest.mark.parametrize("place", ["here", "background"])
@pytest.mark.parametrize("timeout", [0, 0.01])
def test_drain_async_timeout_keeps_the_handler_running(api, ns, run, place, timeout):
    gate, log = Future(), []

    @ns.on("x")
    async def handler(sender):
        await asyncio.wrap_future(gate)
        log.append("done")

    async def main():
        if place == "here":
            ns.emit("x")
        else:
            in_thread(ns.emit, "x")
        try:
            assert await api.drain_async(timeout) is False
        finally:
            gate.set_result(None)
        assert await api.drain_async(timeout=TIMEOUT) is True
        assert log == ["done"]

    run(main())


def test_drain_async_with_zero_timeout_is_true(api, ns, run, where):
    async def main():
        in_thread(ns.emit, "x")
        ns.emit("x")
        assert await api.drain_async(TIMEOUT) is True
        assert {await api.drain_async(timeout=0) for _ in range(100)} == {True}

    run(main())


@pytest.mark.parametrize("place", ["here", "background"])
def test_draining_handlers_do_not_wait_for_themselves(api, ns, run, place):
    log, finished = [], Future()

    def note(what):
        log.append(what)
        if len(log) == 3:
            finished.set_result(None)

    @ns.on("first")
    async def first(sender):
        ns.emit("x")

    @ns.on("x")
    async def drains(sender):
        note(await api.drain_async(TIMEOUT))

    @ns.on("x")
    async def drains_too(sender):
        note(await api.drain_async(TIMEOUT))

    @ns.on("x")
    async def other(sender):
        for _ in range(10):
            await asyncio.sleep(0)
        note("other")

    async def main():
        ns.emit("first")
        await asyncio.wait_for(asyncio.wrap_future(finished), TIMEOUT)

    if place == "here":
        run(main())
    else:
        ns.emit("first")
        finished.result(TIMEOUT)
    assert log == ["other", True, True]


def test_other_code_waits_for_draining_handlers(api, ns, run):
    first, second, log = Future(), Future(), []

    @ns.on("background")
    async def background(sender):
        await asyncio.wrap_future(first)

    @ns.on("x")
    async def drains(sender):
        log.append("drains")
        await api.drain_async(TIMEOUT)
        for _ in range(100):
            await asyncio.sleep(0)
        log.append("done")

    @ns.on("x")
    async def other(sender):
        await asyncio.wrap_future(second)

    async def main():
        in_thread(ns.emit, "background")
        waiting = asyncio.ensure_future(api.drain_async(TIMEOUT))
        ns.emit("x")
        while not log:
            await asyncio.sleep(0)
        first.set_result(None)  # both wait for `other` now, or soon will
        await asyncio.wait({waiting}, timeout=0.05)
        second.set_result(None)
        assert await waiting is True
        assert log == ["drains", "done"]

    run(main())


def test_cancelled_drain_async_keeps_handlers_running(api, ns, run):
    log = []

    async def main():
        gate = asyncio.Event()

        @ns.on("x")
        async def handler(sender):
            await gate.wait()
            log.append("done")

        ns.emit("x")
        waiting = asyncio.ensure_future(api.drain_async())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.set()
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert log == ["done"]


# Exceptions of handlers that nothing awaits


class Fatal(BaseException):
    pass


@pytest.mark.parametrize("on_error", [None, "raise", "group"])
@pytest.mark.parametrize("error_type", [ValueError, Fatal])
@pytest.mark.parametrize("factory", FACTORIES)
def test_exceptions_reach_the_loop_in_the_next_tick(api, ns, run, collect, on_error, error_type, factory):
    tasks, error = [], error_type("of the handler")

    @ns.on("x")
    async def handler(sender):
        tasks.append(asyncio.current_task())  # held, so that no finalizer reports it
        raise error

    async def main():
        ns.on_error = on_error
        seen = watch_loop()
        asyncio.get_running_loop().set_task_factory(factory)
        ns.emit("x")
        while not tasks:
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # the next tick
        assert [context["exception"] for context in seen] == [error]
        assert "'x'" in seen[0]["message"]
        tasks.clear()
        await asyncio.sleep(0)
        collect()
        assert len(seen) == 1  # and not again by a finalizer

    run(main())


def test_generator_and_future_errors_reach_the_loop(api, ns, run):
    @ns.on("x")
    async def generator(sender):
        yield 1
        raise ValueError("generator")

    @ns.on("x")
    def future(sender):
        future = asyncio.get_running_loop().create_future()
        future.set_exception(ValueError("future"))
        return future

    async def main():
        seen = watch_loop()
        ns.emit("x")
        assert await api.drain_async(TIMEOUT)
        assert sorted(str(context["exception"]) for context in seen) == ["future", "generator"]

    run(main())


def test_exception_does_not_affect_other_handlers(api, ns, run):
    log = []

    @ns.on("x")
    async def fails(sender):
        raise ValueError

    @ns.on("x")
    async def works(sender):
        await asyncio.sleep(0)
        log.append("done")

    async def main():
        watch_loop()
        ns.emit("x")
        assert await api.drain_async(TIMEOUT)

    run(main())
    assert log == ["done"]


@pytest.mark.parametrize("on_error", [None, "raise", "group"])
@pytest.mark.parametrize("error_type", [ValueError, Fatal, SystemExit, KeyboardInterrupt])
def test_background_loop_survives_exceptions(api, ns, caplog, on_error, error_type):
    log, error = [], error_type("of the handler")

    @ns.on("x")
    async def handler(sender):
        raise error

    @ns.on("x")
    async def works(sender):
        await asyncio.sleep(0)
        log.append("done")

    ns.on_error = on_error
    ns.emit("x")
    assert api.drain(TIMEOUT)
    assert log == ["done"]
    assert [record.exc_info[1] for record in errors_of(caplog)] == [error]


def test_log_names_handler_and_event(api, ns, caplog):
    @ns.on("x")
    async def the_handler(sender):
        raise ValueError

    ns.emit("x")
    assert api.drain(TIMEOUT)
    (record,) = errors_of(caplog)
    assert "the_handler" in record.getMessage()
    assert "'x'" in record.getMessage()


def test_error_is_logged_at_once(api, ns, caplog):
    tasks = []

    @ns.on("x")
    async def handler(sender):
        tasks.append(asyncio.current_task())
        raise ValueError

    ns.emit("x")
    assert api.drain(TIMEOUT)
    assert len(errors_of(caplog)) == 1
    tasks.clear()
    gc.collect()
    assert len(caplog.records) == 1


@pytest.mark.parametrize("place", ["here", "background"])
@pytest.mark.parametrize("level", ["event", "namespace"])
def test_callable_on_error_runs_in_the_loop(api, ns, run, caplog, place, level):
    error, got, threads = ValueError("of the handler"), [], set()
    event = ns.event("x")

    @event.connect
    async def handler(sender):
        threads.add(threading.get_ident())
        raise error

    def on_error(*args):
        got.append(args)
        threads.add(threading.get_ident())
        asyncio.get_running_loop()

    (event if level == "event" else ns).on_error = on_error

    async def main():
        seen = watch_loop()
        event.emit("sender")
        assert await api.drain_async(TIMEOUT)
        assert seen == []

    if place == "here":
        run(main())
    else:
        event.emit("sender")
        assert api.drain(TIMEOUT)
    assert got == [(error, handler, event, "sender")]
    assert len(threads) == 1
    assert errors_of(caplog) == []


def test_callable_on_error_does_not_get_base_exceptions(api, ns, run):
    got, error = [], Fatal()
    ns.on_error = lambda *args: got.append(args)

    @ns.on("x")
    async def handler(sender):
        raise error

    async def main():
        seen = watch_loop()
        ns.emit("x")
        assert await api.drain_async(TIMEOUT)
        assert [context["exception"] for context in seen] == [error]

    run(main())
    assert got == []


@pytest.mark.parametrize("place", ["here", "background"])
def test_exception_of_on_error_is_not_lost(api, ns, run, caplog, place):
    worse = KeyError("of on_error")

    def on_error(exception, handler, event, sender):
        raise worse

    @ns.on("x")
    async def handler(sender):
        raise ValueError

    async def main():
        seen = watch_loop()
        ns.emit("x")
        assert await api.drain_async(TIMEOUT)
        assert [context["exception"] for context in seen] == [worse]

    ns.on_error = on_error
    if place == "here":
        run(main())
    else:
        ns.emit("x")
        assert api.drain(TIMEOUT)
        assert [record.exc_info[1] for record in errors_of(caplog)] == [worse]


def test_drain_waits_for_reports_of_on_error_exceptions(api, ns):
    order, telling, drained = [], threading.Event(), threading.Event()

    class Slow(logging.Handler):
        def emit(self, record):
            telling.set()
            drained.wait(0.2)
            order.append("reported")

    def on_error(exception, handler, event, sender):
        raise exception

    @ns.on("x")
    async def handler(sender):
        raise ValueError

    ns.on_error = on_error
    slow = Slow()
    logging.getLogger("cyevents").addHandler(slow)
    try:
        ns.emit("x")
        assert telling.wait(TIMEOUT)
        assert api.drain(TIMEOUT)
        order.append("drained")
        drained.set()
    finally:
        logging.getLogger("cyevents").removeHandler(slow)
    assert order == ["reported", "drained"]
