"""Tasks, timers, threads and contexts that outlive an emission keep nothing of it alive."""

import asyncio
import contextlib
import contextvars
import importlib
import sys
import threading
import weakref

import pytest

TIMEOUT = 30  # seconds until a hanging test fails


class Thing:
    pass


class Leftovers:
    """Tasks, timers and so on that handlers start by `leave()` and that `end()` ends."""

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
        thread = threading.Thread(target=contextvars.copy_context().run, args=(self.over.wait, TIMEOUT))
        thread.start()
        self.kept.append(thread)

    def end(self):
        self.over.set()
        for each in self.kept:
            if isinstance(each, threading.Thread):
                each.join(TIMEOUT)
            elif not isinstance(each, contextvars.Context):
                each.cancel()


@pytest.fixture
def leftovers():
    leftovers = Leftovers()
    yield leftovers
    leftovers.over.set()


@pytest.fixture(params=["plain", "observed", "traced"])
def watched(request, api):
    """Observe a namespace, or not: `with watched(ns)`."""

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
    """Emit; return weak references to the objects, which nothing else refers to, and to the results."""
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
def test_emission_is_not_kept_alive(ns, api, run, leftovers, watched, collect, how, what, kind):
    if kind == "async":

        def connect():
            @ns.on("x", weak=False)
            async def handler(sender, *args, **kwargs):
                getattr(leftovers, what)()
                await asyncio.sleep(0)
                return Thing()

            return weakref.ref(handler)
    else:

        def connect():
            @ns.on("x", weak=False)
            def handler(sender, *args, **kwargs):
                getattr(leftovers, what)()
                return Thing()

            return weakref.ref(handler)

    async def main():
        with watched(ns):
            refs = await fire(ns, how)
            await asyncio.sleep(0.02)
        del ns["x"]
        collect()
        alive = [ref() for ref in [*refs, handler]]
        assert leftovers.kept
        leftovers.end()
        return alive

    handler = connect()
    assert not any(run(main()))


@pytest.mark.parametrize("ending", ["raised", "cancelled", "closed"])
def test_failed_emission_is_not_kept_alive(ns, run, leftovers, watched, collect, ending):
    @ns.on("x", priority=1)
    def first(sender):
        leftovers.context()

    @ns.on("x")
    async def handler(sender, *args, **kwargs):
        leftovers.task()
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
        assert leftovers.kept
        still = alive()
        leftovers.end()
        return still

    assert run(main()) is None


def test_nested_emissions_are_not_kept_alive(ns, run, leftovers, watched, collect):
    """The innermost leftover keeps emitting: neither the outer emissions nor the earlier ones are kept."""
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
        leftovers.kept.append(asyncio.create_task(later(3)))

    async def later(times):
        await asyncio.sleep(0.01)
        await ns.emit_async("last", sender())
        if times:
            leftovers.kept.append(asyncio.create_task(later(times - 1)))
        else:
            await asyncio.sleep(3600)

    @ns.on("last")
    async def last(_):
        leftovers.task()

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
        leftovers.end()
        return alive

    assert run(main()) == [None] * 6


def test_results_do_not_change_later(ns, run, leftovers, watched):
    @ns.on("x", priority=1)
    async def asynchronous(sender):
        leftovers.task()
        await asyncio.sleep(0)
        return "async"

    @ns.on("x")
    def synchronous(sender):
        leftovers.timer()
        return "sync"

    async def main():
        with watched(ns):
            results = await ns.emit_async("x"), ns.emit("x"), ns["x"].send()
            await asyncio.sleep(0.01)
        leftovers.end()
        for _, value in results[2]:
            if asyncio.iscoroutine(value) or hasattr(value, "close"):
                value.close()
        return results

    waited, emitted, sent = run(main())
    assert (waited, emitted) == (["async", "sync"], ["sync"])
    assert [value for _, value in sent][1] == "sync"


def test_leftover_is_a_child_in_a_trace(api, ns, run):
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


def test_recursion_through_tasks_is_counted(ns, run, monkeypatch):
    """Recursion through awaited tasks is counted; through tasks that outlive the emission, it is not."""

    @ns.on("x")
    async def again(sender):
        await asyncio.create_task(ns["x"].emit_async(sender))

    @ns.on("leftovers")
    async def behind(sender):
        await asyncio.sleep(0)
        if sender:
            tasks.append(asyncio.create_task(ns.emit_async("leftovers", sender - 1)))

    tasks = []

    async def main():
        with pytest.raises(RecursionError, match="'x' is emitted within its own emission"):
            await ns.emit_async("x")
        await ns.emit_async("leftovers", 600)
        while tasks:
            await tasks.pop()

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    try:
        run(main())
    finally:
        sys.setrecursionlimit(limit)


def test_emission_under_trio_is_not_kept_alive(ns, leftovers, watched, collect):
    pytest.importorskip("anyio")
    trio = pytest.importorskip("trio")

    @ns.on("x")
    async def handler(sender, *args, **kwargs):
        leftovers.context()
        nursery.start_soon(trio.sleep_forever)
        await trio.lowlevel.checkpoint()
        return Thing()

    async def main():
        nonlocal nursery
        with trio.fail_after(TIMEOUT):
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


def test_origin_is_not_kept_alive(ns, api, leftovers, collect):
    """Also if the emission is not observed, so that the handlers' contexts hold the origin too."""
    instrument = importlib.import_module("cyevents.instrument")

    @ns.on("x")
    def handler(sender):
        leftovers.context()

    message = Thing()
    alive = weakref.ref(message)
    with instrument.origin(message):
        ns.emit("x")
    del message
    collect()
    assert leftovers.kept
    assert alive() is None
