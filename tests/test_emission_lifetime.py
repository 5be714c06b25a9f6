"""What handlers leave behind (tasks, timers, threads, contexts) keeps nothing of an emission alive."""

import asyncio
import contextlib
import contextvars
import importlib
import sys
import threading
import weakref

import pytest

GUARD = 30  # seconds after which a test that hangs fails


class Thing:
    pass


class Left:
    """What handlers have left behind, by `leave()`; `end()` ends it."""

    def __init__(self):
        self.kept = []
        self.over = threading.Event()

    def task(self):
        self.kept.append(asyncio.get_running_loop().create_task(asyncio.sleep(3600)))

    def timer(self):
        self.kept.append(asyncio.get_running_loop().call_later(3600, print))

    def context(self):
        self.kept.append(contextvars.copy_context())

    def thread(self):
        thread = threading.Thread(target=contextvars.copy_context().run, args=(self.over.wait, GUARD))
        thread.start()
        self.kept.append(thread)

    def end(self):
        self.over.set()
        for each in self.kept:
            if isinstance(each, threading.Thread):
                each.join(GUARD)
            elif not isinstance(each, contextvars.Context):
                each.cancel()


@pytest.fixture
def left():
    left = Left()
    yield left
    left.over.set()


@pytest.fixture(params=["plain", "observed", "traced"])
def watched(request, api):
    """Have a namespace observed, or not: `with watched(ns)`."""

    @contextlib.contextmanager
    def watch(ns):
        if request.param == "plain":
            yield
        elif request.param == "traced":
            with api.trace(ns):
                yield
        else:
            instrument = importlib.import_module("cyevents.instrument")

            class Everything(instrument.Instrument, instrument.EmissionSpan):
                def begin(self, start):
                    return self

                def call(self, entry, handler):
                    return instrument.CallSpan()

            with instrument.observe(Everything(), ns):
                yield

    return watch


async def fire(ns, how, *things):
    """Emit; return weak references to the things, which nothing else refers to, and to the results."""
    made = [Thing() for _ in range(3)]
    refs = [weakref.ref(each) for each in made]
    if how == "emit_async":
        results = await ns.emit_async("x", made[0], made[1], key=made[2])
    else:
        results = ns.emit("x", made[0], made[1], key=made[2])
    refs += [weakref.ref(each) for each in results if isinstance(each, Thing)]
    return refs


@pytest.mark.parametrize("how", ["emit", "emit_async"])
@pytest.mark.parametrize("what", ["task", "timer", "context", "thread"])
@pytest.mark.parametrize("kind", ["async", "sync"])
def test_nothing_of_the_emission_is_kept_alive(ns, api, run, left, watched, collect, how, what, kind):
    if kind == "async":

        def connect():
            @ns.on("x", weak=False)
            async def handler(sender, *args, **kwargs):
                getattr(left, what)()
                await asyncio.sleep(0)
                return Thing()

            return weakref.ref(handler)
    else:

        def connect():
            @ns.on("x", weak=False)
            def handler(sender, *args, **kwargs):
                getattr(left, what)()
                return Thing()

            return weakref.ref(handler)

    async def main():
        with watched(ns):
            refs = await fire(ns, how)
            await asyncio.sleep(0.02)
        del ns["x"]
        collect()
        alive = [ref() for ref in [*refs, handler]]
        assert left.kept
        left.end()
        return alive

    handler = connect()
    assert not any(run(main()))


@pytest.mark.parametrize("ending", ["raised", "cancelled", "closed"])
def test_nothing_is_kept_of_an_emission_that_fails(ns, run, left, watched, collect, ending):
    @ns.on("x", priority=1)
    def first(sender):
        left.context()

    @ns.on("x")
    async def handler(sender, *args, **kwargs):
        left.task()
        if ending == "raised":
            raise LookupError
        await asyncio.sleep(3600)

    async def main():
        sender = Thing()
        alive = weakref.ref(sender)
        with watched(ns):
            coroutine = ns.emit_async("x", sender)
            if ending == "closed":
                coroutine.send(None)
                coroutine.close()
            else:
                with contextlib.suppress(LookupError, TimeoutError):
                    async with asyncio.timeout(0.01):
                        await coroutine
            await asyncio.sleep(0.01)
        del sender, coroutine
        collect()
        assert left.kept
        still = alive()
        left.end()
        return still

    assert run(main()) is None


def test_nothing_is_kept_of_emissions_within_others(ns, run, left, watched, collect):
    """What the innermost leaves behind emits on and on: neither those around it nor those before it are kept."""
    senders = []

    def sender():
        made = Thing()
        senders.append(weakref.ref(made))
        return made

    @ns.on("outer")
    async def outer(_):
        await ns.emit_async("inner", sender())

    @ns.on("inner")
    async def inner(_):
        left.kept.append(asyncio.create_task(later(3)))

    async def later(times):
        await asyncio.sleep(0.01)
        await ns.emit_async("last", sender())
        if times:
            left.kept.append(asyncio.create_task(later(times - 1)))
        else:
            await asyncio.sleep(3600)

    @ns.on("last")
    async def last(_):
        left.task()

    async def main():
        with watched(ns):
            await ns.emit_async("outer", sender())
            for _ in range(200):
                await asyncio.sleep(0.005)
                if len(senders) == 6:
                    break
            await asyncio.sleep(0.01)
        collect()
        alive = [ref() for ref in senders]
        left.end()
        return alive

    assert run(main()) == [None] * 6


def test_results_stay_as_they_were_returned(ns, run, left, watched):
    @ns.on("x", priority=1)
    async def asynchronous(sender):
        left.task()
        await asyncio.sleep(0)
        return "async"

    @ns.on("x")
    def synchronous(sender):
        left.timer()
        return "sync"

    async def main():
        with watched(ns):
            results = await ns.emit_async("x"), ns.emit("x"), ns["x"].send()
            await asyncio.sleep(0.01)
        left.end()
        for _, value in results[2]:
            if asyncio.iscoroutine(value) or hasattr(value, "close"):
                value.close()
        return results

    waited, emitted, sent = run(main())
    assert (waited, emitted) == (["async", "sync"], ["sync"])
    assert [value for _, value in sent][1] == "sync"


def test_what_is_left_behind_is_still_a_child_in_a_trace(api, ns, run):
    @ns.on("x")
    async def handler(sender):
        tasks.append(asyncio.create_task(later()))

    async def later():
        await asyncio.sleep(0.01)
        ns.emit("y")

    tasks = []

    async def main():
        with api.trace(ns) as seen:
            await ns.emit_async("x")
            await asyncio.gather(*tasks)
        return seen

    seen = run(main())
    assert [[inner.event for inner in call.emissions] for call in seen.emissions[0].calls] == [["y"]]


def test_recursion_is_still_counted(ns, run, monkeypatch):
    """Through tasks that are waited for; not through those left behind."""

    @ns.on("x")
    async def again(sender):
        await asyncio.create_task(ns["x"].emit_async(sender))

    @ns.on("left")
    async def behind(sender):
        await asyncio.sleep(0)
        if sender:
            tasks.append(asyncio.create_task(ns.emit_async("left", sender - 1)))

    tasks = []

    async def main():
        with pytest.raises(RecursionError, match="'x' is emitted within its own emission"):
            await ns.emit_async("x")
        await ns.emit_async("left", 600)
        while tasks:
            await tasks.pop()

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    try:
        run(main())
    finally:
        sys.setrecursionlimit(limit)


def test_under_trio_nothing_is_kept_alive(ns, left, watched, collect):
    pytest.importorskip("anyio")
    trio = pytest.importorskip("trio")

    @ns.on("x")
    async def handler(sender, *args, **kwargs):
        left.context()
        nursery.start_soon(trio.sleep_forever)
        await trio.lowlevel.checkpoint()
        return Thing()

    async def main():
        nonlocal nursery
        with trio.fail_after(GUARD):
            async with trio.open_nursery() as nursery:
                with watched(ns):
                    refs = await fire(ns, "emit_async")
                    await trio.sleep(0.01)
                collect()
                alive = [ref() for ref in refs]
                nursery.cancel_scope.cancel()
        return alive

    nursery = None
    assert not any(trio.run(main))


def test_an_origin_is_not_kept_alive(ns, api, left, collect):
    """Where the emission is not observed, so that the handlers' contexts have it too."""
    instrument = importlib.import_module("cyevents.instrument")

    @ns.on("x")
    def handler(sender):
        left.context()

    message = Thing()
    alive = weakref.ref(message)
    with instrument.origin(message):
        ns.emit("x")
    del message
    collect()
    assert left.kept
    assert alive() is None
