"""`emit_async` on every loop (asyncio, uvloop, trio through anyio) has the same tiers, cancellation and errors."""

import asyncio
import contextlib
import contextvars
import gc
import importlib
import logging
import subprocess
import sys
import threading

import pytest

anyio = pytest.importorskip("anyio")
trio = pytest.importorskip("trio")

LOOPS = ["asyncio", "uvloop", "anyio_asyncio", "trio"]
ON_ANYIO = ["anyio_asyncio", "trio"]  # the implementation of `_async.trio`, on both of its backends


class Fatal(BaseException):
    pass


@pytest.fixture(params=LOOPS)
def loop(request):
    return request.param


@pytest.fixture
def run(api, loop, monkeypatch):
    """Run an async function until it ends: `run(main)`."""
    backend, options = "asyncio", {}
    if loop == "trio":
        backend = "trio"
    elif loop == "uvloop":
        pytest.importorskip("uvloop")
        options = {"use_uvloop": True}
    elif loop == "anyio_asyncio":
        gather = importlib.import_module("cyevents._async.gather")
        dispatch = importlib.import_module("cyevents._async.trio").TrioDispatch
        monkeypatch.setattr(gather, "running_loop", lambda: None)
        monkeypatch.setattr(gather, "_trio_dispatch", lambda: dispatch)

    async def guarded(main):
        with anyio.fail_after(30):
            return await main()

    return lambda main: anyio.run(guarded, main, backend=backend, backend_options=options)


@pytest.fixture
def reported(loop, caplog):
    """Return the exceptions reported to the loop's exception handler or to the logger."""

    @contextlib.contextmanager
    def watch():
        seen = []
        if loop not in ON_ANYIO:
            watched = asyncio.get_running_loop()
            watched.set_exception_handler(lambda loop, context: seen.append(context["exception"]))
        yield seen
        seen += [record.exc_info[1] for record in caplog.records if record.levelno == logging.ERROR]

    return watch


async def ticks(number=5):
    for _ in range(number):
        await anyio.sleep(0)


def suspend_then(outcome):
    """Return an async handler that suspends, and then returns or raises `outcome`."""

    async def handler(sender, **kwargs):
        await ticks()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return handler


def test_results_of_every_kind_are_in_dispatch_order(ns, run):
    async def main():
        last_first = [anyio.Event() for _ in range(2)]

        @ns.on("x")
        async def one(sender, *args, **kwargs):
            await last_first[0].wait()
            return sender, args, kwargs

        @ns.on("x")
        def two(sender, *args, **kwargs):
            yield None
            yield 2

        @ns.on("x")
        async def three(sender, *args, **kwargs):
            await last_first[1].wait()
            last_first[0].set()
            yield 3
            yield None

        @ns.on("x", thread=True)
        def four(sender, *args, **kwargs):
            yield threading.get_ident()

        @ns.on("x")
        async def five(sender, *args, **kwargs):
            last_first[1].set()

        @ns.on("x", priority=-1)
        async def six(sender, *args, **kwargs):
            return 6

        results = await ns.emit_async("x", 1, 2, key=3)
        assert type(results) is list
        assert results[:3] == [(1, (2,), {"key": 3}), [2], [3]]
        (ident,) = results[3]
        assert type(ident) is int and ident != threading.get_ident()
        assert results[4:] == [6]

    run(main)


def test_lower_priority_waits_for_the_higher(ns, run):
    log = []

    async def slow(sender):
        await ticks()
        log.append("high")

    ns.event("x").connect(slow, priority=2)
    ns.event("x").connect(lambda sender: log.append("low"), weak=False, priority=1)
    run(lambda: ns.emit_async("x"))
    assert log == ["high", "low"]


@pytest.mark.parametrize("kind", ["async", "thread", "generator in a thread"])
def test_false_cancels_lower_priorities_only(api, ns, run, kind):
    log = []

    def canceller(sender):
        return False

    def generator(sender):
        return False
        yield

    async def async_canceller(sender):
        await ticks()
        return False

    handler = {"async": async_canceller, "thread": canceller, "generator in a thread": generator}[kind]
    ns.event("x").connect(handler, thread=kind != "async", priority=1)
    beside = suspend_then("beside")
    ns.event("x").connect(beside, priority=1)
    ns.event("x").connect(log.append, weak=False)
    results = run(lambda: ns.emit_async("x"))
    assert isinstance(results, api.Cancelled)
    items = [[]] if kind == "generator in a thread" else []
    assert (list(results), results.handler, results.event) == ([*items, "beside"], handler, ns["x"])
    assert log == []


@pytest.mark.parametrize("how", ["false", "error"])
def test_sync_cancellation_awaits_only_started_handlers(ns, run, how):
    log = []

    @ns.on("x")
    async def before(sender):
        await ticks()
        log.append("before")

    @ns.on("x")
    def ends(sender):
        if how == "error":
            raise ValueError
        return False

    @ns.on("x")
    async def after(sender):
        log.append("after")

    async def main():
        if how == "error":
            with pytest.raises(ValueError):
                await ns.emit_async("x")
        else:
            assert (await ns.emit_async("x")).handler is ends

    run(main)
    assert log == ["before"]


def test_first_exception_is_raised_and_others_reported(ns, run, reported):
    errors = [ValueError(number) for number in range(3)]
    handlers = [suspend_then(error) for error in errors[:2]]
    for handler in handlers:
        ns.event("x").connect(handler)

    @ns.on("x")
    def raises(sender):
        raise errors[2]

    async def main():
        with reported() as seen:
            with pytest.raises(ValueError) as caught:
                await ns.emit_async("x")
            await ticks()
        assert caught.value is errors[0]
        assert seen == errors[1:]

    run(main)


def test_grouped_errors_are_in_dispatch_order(ns, run):
    ns.on_error = "group"
    errors = [ValueError(number) for number in range(3)]
    first, last = suspend_then(errors[0]), suspend_then(errors[2])
    ns.event("x").connect(first)

    @ns.on("x")
    def between(sender):
        raise errors[1]

    ns.event("x").connect(last)

    async def main():
        with pytest.raises(ExceptionGroup, match="3 handlers of 'x' failed") as caught:
            await ns.emit_async("x")
        assert list(caught.value.exceptions) == errors

    run(main)


def test_callable_on_error_gets_each_exception(ns, run):
    seen = []
    ns.on_error = lambda error, handler, event, sender: seen.append((str(error), handler, event, sender))
    failing, beside = suspend_then(ValueError("e")), suspend_then(1)
    ns.event("x").connect(failing)
    ns.event("x").connect(beside)
    assert run(lambda: ns.emit_async("x", "sender")) == [1]
    assert seen == [("e", failing, ns["x"], "sender")]


@pytest.mark.parametrize("when", ["at once", "later", "in a thread"])
def test_base_exception_cancels_and_awaits_the_rest(ns, run, when):
    log, error = [], Fatal()

    @ns.on("x")
    async def endless(sender):
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await ticks()
            log.append("awaited")

    fails = suspend_then(error)
    if when == "later":
        ns.event("x").connect(fails)
    else:

        @ns.on("x", thread=when == "in a thread")
        def fails_in_place(sender):
            raise error

    ns.event("x").connect(log.append, weak=False, priority=-1)

    async def main():
        with pytest.raises(Fatal) as caught:
            await ns.emit_async("x")
        assert caught.value is error
        begun = list(log)
        await ticks(10)
        assert log == begun

    run(main)
    assert log in ([["awaited"]] if when != "at once" else [["awaited"], []])  # the latter if nothing starts eagerly


def test_cancelled_emission_awaits_its_handlers(ns, run, loop):
    log = []

    @ns.on("x")
    async def endless(sender):
        log.append("begun")
        try:
            await anyio.sleep_forever()
        finally:
            if loop in ON_ANYIO:
                with anyio.CancelScope(shield=True):
                    await ticks()
            log.append("ended")

    ns.event("x").connect(log.append, weak=False, priority=-1)

    async def main():
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(ns.emit_async, "x")
                await ticks()
                assert log == ["begun"]
                scope.cancel()
        assert scope.cancelled_caught
        assert log == ["begun", "ended"]

    run(main)


def test_time_limit_cancels_the_emission(ns, run):
    log = []

    @ns.on("x")
    async def endless(scope):
        scope.deadline = anyio.current_time() + 0.01  # not before the handler has begun
        try:
            await anyio.sleep_forever()
        finally:
            log.append("ended")

    async def main():
        with anyio.CancelScope() as scope:
            await ns.emit_async("x", scope)
        assert scope.cancelled_caught
        assert log == ["ended"]

    run(main)


def test_exception_while_cancelled_is_reported(ns, run, reported):
    error = ValueError()

    @ns.on("x")
    async def fails(scope):
        scope.deadline = anyio.current_time() + 0.01
        try:
            await anyio.sleep_forever()
        finally:
            raise error

    async def main():
        with reported() as seen:
            with anyio.CancelScope() as scope:
                await ns.emit_async("x", scope)
            await ticks()
        assert scope.cancelled_caught
        assert seen == [error]

    run(main)


@pytest.mark.parametrize("loop", ON_ANYIO, indirect=True)
def test_handler_cancelled_before_its_start_does_not_run(ns, run):
    log = []

    @ns.on("x")
    async def handler(sender):
        log.append("begun")

    async def main():
        with anyio.CancelScope() as scope:
            scope.cancel()
            await ns.emit_async("x")
        assert scope.cancelled_caught

    run(main)
    assert log == []


@pytest.mark.parametrize("loop", ON_ANYIO, indirect=True)
def test_handlers_that_cannot_start_are_closed(ns, run, monkeypatch):
    @ns.on("x")
    async def handler(sender):
        raise AssertionError

    def refuse():
        raise MemoryError

    monkeypatch.setattr(importlib.import_module("cyevents._async.trio").anyio, "create_task_group", refuse)

    async def main():
        with pytest.raises(MemoryError):
            await ns.emit_async("x")
        gc.collect()  # reports a coroutine that was never awaited

    run(main)


@pytest.mark.parametrize("loop", ON_ANYIO, indirect=True)
def test_group_of_cancellations_is_a_cancellation(ns, run):
    """Some versions of trio raise cancellations in groups, as its nurseries do."""

    @ns.on("x")
    async def grouping(sender):
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class() as cancellation:
            raise BaseExceptionGroup("of a nursery", [cancellation])

    error = Fatal()
    fatal = suspend_then(error)
    ns.event("x").connect(fatal)

    async def main():
        with pytest.raises(Fatal) as caught:
            await ns.emit_async("x")
        assert caught.value is error

    run(main)


@pytest.mark.parametrize("loop", ON_ANYIO, indirect=True)
def test_cancelled_handler_may_have_a_task_group(ns, run):
    @ns.on("x")
    async def handler(scope):
        scope.deadline = anyio.current_time() + 0.01
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            group.start_soon(anyio.sleep_forever)

    async def main():
        with anyio.CancelScope() as scope:
            await ns.emit_async("x", scope)
        assert scope.cancelled_caught

    run(main)


def test_async_handlers_get_a_copy_of_the_context(ns, run):
    variable = contextvars.ContextVar("variable")
    seen = []

    async def one(sender):
        seen.append(variable.get())
        variable.set("a handler's")
        await ticks()

    async def other(sender):
        await ticks()
        seen.append(variable.get())

    ns.event("x").connect(one)
    ns.event("x").connect(other)
    ns.event("x").connect(lambda sender: variable.set("a sync handler's") and None, weak=False)

    async def main():
        variable.set("the emitter's")
        await ns.emit_async("x")
        assert variable.get() == "a sync handler's"

    run(main)
    assert seen == ["the emitter's"] * 2


def test_started_thread_is_awaited(ns, run):
    begun, go, log = threading.Event(), threading.Event(), []

    @ns.on("x", thread=True)
    def blocking(sender):
        begun.set()
        go.wait(20)
        log.append("done")

    async def main():
        async with anyio.create_task_group() as group:
            group.start_soon(ns.emit_async, "x")
            while not begun.is_set():
                await anyio.sleep(0.001)
            group.cancel_scope.cancel()
            threading.Timer(0.02, go.set).start()
        assert log == ["done"]

    run(main)


def test_runaway_recursion_raises_recursion_error(ns, run, monkeypatch):
    limit = sys.getrecursionlimit()
    monkeypatch.setattr(sys, "getrecursionlimit", lambda: 50)
    depth = 0

    @ns.on("x")
    async def handler(sender):
        nonlocal depth
        depth += 1
        await anyio.sleep(0)
        await ns.emit_async("x")

    async def main():
        with pytest.raises(RecursionError, match="'x' is emitted within its own emission"):
            await ns.emit_async("x")

    run(main)
    assert 50 <= depth < limit


@pytest.mark.parametrize("loop", ["trio"], indirect=True)
def test_emit_under_trio_uses_the_background_loop(api, ns, run):
    where = []

    @ns.on("x")
    async def handler(sender):
        where.append((threading.current_thread().name, asyncio.get_running_loop()))

    async def main():
        assert ns.emit("x") == []
        assert await anyio.to_thread.run_sync(api.drain, 20)

    run(main)
    assert [name for name, _ in where] == ["cyevents"]


def test_missing_anyio_error_names_the_package(ns, monkeypatch):
    event = ns.event("x")
    monkeypatch.setitem(sys.modules, "anyio", None)
    monkeypatch.delitem(sys.modules, "cyevents._async.trio", raising=False)
    package = importlib.import_module("cyevents._async")
    monkeypatch.delattr(package, "trio", raising=False)
    with pytest.raises(ImportError, match=r'python -m pip install "anyio>=4.5"$'):
        trio.run(event.emit_async)


def test_asyncio_imports_nothing_of_other_loops():
    program = """
import asyncio, sys, cyevents
cyevents.event("x")
async def main():
    await cyevents.emit_async("x")
    try:
        await cyevents.event("x").wait(timeout=0)
    except TimeoutError:
        pass
asyncio.run(main())
print(sorted({"anyio", "trio", "sniffio", "cyevents._async.trio"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
