"""Delivery by `via`: to an asyncio loop or an executor. When the handler runs, where, and who gets its outcome."""

import asyncio
import concurrent.futures
import contextvars
import gc
import importlib
import logging
import os
import subprocess
import sys
import textwrap
import threading
import weakref
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest

TIMEOUT = 30  # seconds until a hanging test fails
LOOPS = ["asyncio", "uvloop"]


class LoopThread:
    """An event loop that runs in a thread."""

    def __init__(self, new_loop=asyncio.new_event_loop):
        self.loop = new_loop()
        self.reported = []
        self.loop.set_exception_handler(lambda loop, context: self.reported.append(context))
        self.start()

    def start(self):
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.flush()

    def run(self, coroutine):
        """Run a coroutine in the loop, and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(TIMEOUT)

    def flush(self):
        """Wait until the loop has done what was submitted so far."""
        self.run(asyncio.sleep(0))

    def stop(self):
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join(TIMEOUT)

    def close(self):
        """Stop the loop, cancel what is left, and close it."""
        self.stop()
        if not self.loop.is_closed():
            left = asyncio.all_tasks(self.loop)
            for task in left:
                task.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left))
            self.loop.close()


class Pool(ThreadPoolExecutor):
    """An executor with the methods of `LoopThread` that the tests use."""

    def flush(self):
        barrier = threading.Barrier(self._max_workers)  # each worker must come to it
        concurrent.futures.wait([self.submit(barrier.wait, TIMEOUT) for _ in range(self._max_workers)], TIMEOUT)


def make_loop(name):
    return LoopThread(pytest.importorskip("uvloop").new_event_loop if name == "uvloop" else asyncio.new_event_loop)


@pytest.fixture(params=LOOPS)
def remote(request):
    """A loop that runs in another thread."""
    made = make_loop(request.param)
    yield made
    made.close()


@pytest.fixture(params=[1, 4], ids=["1 worker", "4 workers"])
def pool(request):
    """A thread pool."""
    with Pool(request.param) as made:
        yield made


class Place:
    """A target of `via`, and how to wait for it."""

    def __init__(self, via, flush, thread_of):
        self.via = via
        self.flush = flush
        self.is_loop = isinstance(via, asyncio.AbstractEventLoop)
        self.thread_of = thread_of


@pytest.fixture(params=[*LOOPS, "executor"])
def place(request):
    """Each kind of target, with one thread."""
    if request.param == "executor":
        with Pool(1) as pool:
            yield Place(pool, pool.flush, pool.submit(threading.get_ident).result())
        return
    made = make_loop(request.param)
    yield Place(made.loop, made.flush, made.thread.ident)
    made.close()


@pytest.fixture(params=["asyncio", "trio"])
def await_it(request):
    """Run a coroutine function under each kind of loop that may await emissions."""
    if request.param == "trio":
        pytest.importorskip("anyio")
        return pytest.importorskip("trio").run
    return lambda function: asyncio.run(function())


def messages(caplog, level):
    return [each.getMessage() for each in caplog.records if each.name == "cyevents" and each.levelno == level]


class Gate:
    """A handler that blocks its thread until it is opened."""

    def __init__(self):
        self.begun = threading.Event()
        self.opened = threading.Event()

    def __call__(self, sender, *args, **kwargs):
        self.begun.set()
        assert self.opened.wait(TIMEOUT)


# What emit does


def test_handler_runs_in_the_target(ns, place):
    seen = []

    @ns.on("x", via=place.via)
    def handler(sender, *args, **kwargs):
        seen.append((threading.get_ident(), sender, args, kwargs))

    assert ns.emit("x", "ada", 1, two=2) == []
    place.flush()
    assert seen == [(place.thread_of, "ada", (1,), {"two": 2})]


@pytest.mark.parametrize("how", ["emit", "send", "first"])
def test_value_is_not_in_the_results(ns, place, how):
    @ns.on("x", via=place.via, priority=1)
    def delivered(sender):
        return "delivered"

    @ns.on("x")
    def in_place(sender):
        return "in place"

    result = getattr(ns["x"], how)("ada")
    expected = {"emit": ["in place"], "send": [(in_place, "in place")], "first": "in place"}
    assert result == expected[how]


def test_emit_does_not_wait(ns, place):
    gate = Gate()
    ns["x"] if "x" in ns else ns.event("x").connect(gate, via=place.via)
    ns.emit("x")
    gate.opened.set()
    place.flush()
    assert gate.begun.is_set()


@pytest.mark.parametrize("cancels", ["returns False", "raises Cancel", "ends with False"])
def test_it_cancels_nothing(api, ns, place, caplog, cancels):
    if cancels == "returns False":

        def handler(sender):
            return False

    elif cancels == "raises Cancel":

        def handler(sender):
            raise api.Cancel("no")

    else:

        def handler(sender):
            yield 1
            return False

    ns.event("x").connect(handler, via=place.via, priority=1)

    @ns.on("x")
    def after(sender):
        return "after"

    for _ in range(2):
        assert ns.emit("x") == ["after"]
    place.flush()
    did = "raised Cancel" if cancels == "raises Cancel" else "returned False"
    assert messages(caplog, logging.WARNING) == [
        f"delivered handler {handler!r} of event 'x' {did}, which cancels nothing, since it is connected with via"
    ]


def test_calls_are_made_in_the_order_of_emission(ns, place):
    seen = []
    handlers = [
        ns.event(name).connect(lambda sender, name=name: seen.append((name, sender)), via=place.via, weak=False)
        for name in "ab"
    ]
    for number in range(50):
        for name in "ab":
            ns.emit(name, number)
    place.flush()
    assert seen == [(name, number) for number in range(50) for name in "ab"]
    assert len(handlers) == 2


def test_async_handlers_start_in_order(ns, remote):
    started, done = [], threading.Event()

    @ns.on("x", via=remote.loop)
    async def handler(sender):
        started.append(sender)
        await asyncio.sleep(0)
        if sender == 49:
            done.set()

    for number in range(50):
        ns.emit("x", number)
    assert done.wait(TIMEOUT)
    assert started == list(range(50))


def test_context_goes_along(ns, place):
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    @ns.on("x", via=place.via)
    def handler(sender):
        seen.append(variable.get())
        variable.set("changed")

    variable.set("set")
    ns.emit("x")
    ns.emit("x")
    place.flush()
    assert seen == ["set", "set"]
    assert variable.get() == "set"


def test_generator_runs_to_its_end(ns, place):
    seen = []

    @ns.on("x", via=place.via)
    def handler(sender):
        seen.append("begun")
        yield 1
        seen.append("done")

    for how in ("emit", "send", "first"):
        getattr(ns["x"], how)()
    place.flush()
    assert seen == ["begun", "done"] * 3


def test_queue_holds_what_it_needs(ns, place, collect):
    """Handler, sender and arguments live until the call."""

    class Thing:
        def handle(self, sender, argument):
            seen.append((sender.number, argument.number))

    def thing(number):
        made = Thing()
        made.number = number
        return made

    seen, gate = [], Gate()
    ns.event("gate").connect(gate, via=place.via)
    ns.emit("gate")
    handler, sender, argument = thing(1), thing(2), thing(3)
    alive = [weakref.ref(each) for each in (handler, sender, argument)]
    ns.event("x").connect(handler.handle, sender=sender, via=place.via)
    ns.emit("x", sender, argument)
    del handler, sender, argument
    collect()
    assert None not in [each() for each in alive]
    gate.opened.set()
    place.flush()
    assert seen in ([(2, 3)], [])  # the sender's death may have disconnected the handler: see the next test


def test_nothing_is_kept_after_the_call(ns, place, collect):
    class Thing:
        def handle(self, sender, argument):
            return argument

    things = [Thing() for _ in range(3)]
    alive = [weakref.ref(each) for each in things]
    handler, sender, argument = things
    ns.event("x").connect(handler.handle, via=place.via)
    ns.emit("x", sender, argument)
    place.flush()
    del handler, sender, argument, things
    place.flush()
    collect()
    assert [each() for each in alive] == [None] * 3


@pytest.mark.parametrize("how", ["disconnect", "clear", "cancel", "replaced and disconnected"])
def test_disconnected_handler_is_not_called(ns, place, how):
    seen, gate = [], Gate()

    def handler(sender):
        seen.append(sender)

    ns.event("gate").connect(gate, via=place.via)
    subscription = ns.event("x").subscribe(handler, via=place.via)
    ns.emit("gate")
    ns.emit("x", 1)
    if how == "disconnect":
        ns["x"].disconnect(handler)
    elif how == "clear":
        ns["x"].clear()
    elif how == "cancel":
        subscription.cancel()
    else:
        ns["x"].connect(handler, priority=5)
        ns["x"].disconnect(handler)
    gate.opened.set()
    place.flush()
    assert seen == []


def test_reconnecting_is_not_disconnecting(ns, place):
    seen, gate = [], Gate()

    def handler(sender):
        seen.append(sender)

    ns.event("gate").connect(gate, via=place.via)
    ns.event("x").connect(handler, via=place.via)
    ns.emit("gate")
    ns.emit("x", 1)
    ns["x"].connect(handler, priority=5)
    gate.opened.set()
    place.flush()
    assert seen == [1]


def test_once_is_used_up_at_the_emission(ns, place):
    seen = []

    @ns.on("x", via=place.via, once=True)
    def handler(sender):
        seen.append(sender)

    ns.emit("x", 1)
    ns.emit("x", 2)
    place.flush()
    assert seen == [1]
    assert ns["x"].handlers == []


def test_conditions_run_at_the_emission(ns, place):
    seen, where = [], []

    def is_even(sender, **kwargs):
        where.append(threading.get_ident())
        return sender % 2 == 0

    @ns.on("x", via=place.via, condition=is_even)
    def handler(sender):
        seen.append(sender)

    for number in range(4):
        ns.emit("x", number)
    place.flush()
    assert seen == [0, 2]
    assert where == [threading.get_ident()] * 4


def test_muted_counts_at_the_emission(ns, place):
    seen, gate = [], Gate()

    def handler(sender):
        seen.append(sender)

    ns.event("gate").connect(gate, via=place.via)
    ns.event("x").connect(handler, via=place.via)
    ns.emit("gate")
    with ns["x"].muted(handler):
        ns.emit("x", 1)
    ns.emit("x", 2)
    with ns["x"].muted(handler):
        gate.opened.set()
        place.flush()
    assert seen == [2]


def test_with_event_and_patterns(ns, place):
    seen = []

    @ns.on("user.*", via=place.via, with_event=True)
    def handler(sender, event):
        seen.append((event.name, sender))

    ns.emit("user.created", 1)
    ns.event("user.deleted").emit(2)
    place.flush()
    assert seen == [("user.created", 1), ("user.deleted", 2)]


WAYS = ["on", "connect", "decorator", "subscribe", "connected_to", "handles", "object's event", "several events"]


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_connect(api, ns, place, way):
    seen = []

    def handler(sender):
        seen.append(threading.get_ident())

    event, sender = ns.event("x"), "ada"
    kept = []
    if way == "on":
        ns.on("x", via=place.via)(handler)
    elif way == "connect":
        event.connect(handler, via=place.via)
    elif way == "several events":
        ns.connect(["x", "y"], handler, via=place.via)
    elif way == "decorator":
        event.connect(via=place.via)(handler)
    elif way == "subscribe":
        kept.append(event.subscribe(handler, via=place.via))
    elif way == "handles":

        class Listener:
            @api.handles("x", via=place.via)
            def handle(self, sender):
                handler(sender)

        listener = Listener()
        kept += [listener, ns.attach(listener)]
    elif way == "object's event":

        class Order:
            placed = api.Event("placed")

        sender = Order()
        event = sender.placed
        event.connect(handler, via=place.via)
    if way == "connected_to":
        with event.connected_to(handler, via=place.via):
            event.emit(sender)
            place.flush()
    elif way == "object's event":
        event.emit()
    else:
        event.emit(sender)
    place.flush()
    assert seen == [place.thread_of]


# What emit_async does


def test_emit_async_has_the_values_in_order(ns, place, await_it):
    handlers = []

    def connect(handler, **options):
        handlers.append(handler)
        ns.event("x").connect(handler, **options)

    async def slow(sender):
        return "async in place"

    connect(lambda sender: "first", via=place.via)
    connect(slow)
    connect(lambda sender: "third", via=place.via)
    connect(lambda sender: "in place")
    connect(lambda sender: None, via=place.via)
    connect(lambda sender: False, via=place.via)

    async def main():
        return await ns.emit_async("x", "ada")

    assert await_it(main) == ["first", "async in place", "third", "in place"]
    assert handlers


def test_all_kinds_of_handlers_in_a_loop(ns, remote, await_it):
    threads = set()

    @ns.on("x", via=remote.loop)
    async def coroutine(sender):
        await asyncio.sleep(0.001)
        threads.add(threading.get_ident())
        return "coroutine"

    @ns.on("x", via=remote.loop)
    def generator(sender):
        yield "generator"
        yield None
        threads.add(threading.get_ident())

    @ns.on("x", via=remote.loop)
    async def async_generator(sender):
        await asyncio.sleep(0)
        yield "async generator"
        threads.add(threading.get_ident())

    async def main():
        return await ns.emit_async("x"), await ns["x"].first_async()

    assert await_it(main) == (["coroutine", ["generator"], ["async generator"]], "coroutine")
    assert threads == {remote.thread.ident}


def test_send_async_has_pairs(api, ns, place, await_it):
    handlers = [
        lambda sender: "value",
        lambda sender: None,
        lambda sender: False,
        lambda sender: (yield 1),
    ]

    def cancel(sender):
        raise api.Cancel

    handlers.append(cancel)
    for each in handlers:
        ns.event("x").connect(each, via=place.via)

    async def main():
        return await ns["x"].send_async()

    pairs = await_it(main)
    assert [handler for handler, _ in pairs] == handlers
    values = [value for _, value in pairs]
    assert values[:3] == ["value", None, False]
    assert list(values[3]) == [1]  # a generator is a value
    assert values[4] is False


def test_lone_delivered_handler(ns, place, await_it):
    @ns.on("x", via=place.via)
    def handler(sender):
        return threading.get_ident()

    async def main():
        return [await ns.emit_async("x"), await ns["x"].send_async(), await ns["x"].first_async()]

    ident = place.thread_of
    assert await_it(main) == [[ident], [(handler, ident)], ident]


def test_cancelling_values_contribute_nothing(api, ns, place, await_it):
    @ns.on("x", via=place.via, priority=1)
    def returns_false(sender):
        return False

    @ns.on("x", via=place.via, priority=1)
    def cancels(sender):
        raise api.Cancel("no")

    @ns.on("x", via=place.via, priority=1)
    def yields(sender):
        yield 1
        return False

    @ns.on("x", via=place.via, priority=1)
    def yields_and_raises(sender):
        yield 2
        raise api.Cancel

    @ns.on("x")
    def after(sender):
        return "after"

    async def main():
        return await ns.emit_async("x")

    results = await_it(main)
    assert results == [[1], [2], "after"]
    assert type(results) is list


def test_delivered_call_belongs_to_its_tier(ns, place, await_it):
    log = []

    @ns.on("x", via=place.via, priority=1)
    def delivered(sender):
        log.append("delivered")

    @ns.on("x")
    def in_place(sender):
        log.append("in place")

    async def main():
        for _ in range(20):
            await ns.emit_async("x")

    await_it(main)
    assert log == ["delivered", "in place"] * 20


def test_sequential_emission(ns, place, await_it):
    log = []
    event = ns.event("x")
    event.sequential = True

    @event.connect(via=place.via)
    def first(sender):
        log.append("first")
        return 1

    @event.connect
    def second(sender):
        log.append("second")
        return 2

    async def main():
        return await event.emit_async()

    assert await_it(main) == [1, 2]
    assert log == ["first", "second"]


def test_awaitable_of_an_executor_is_scheduled(api, ns, pool, await_it):
    where = []

    @ns.on("x", via=pool)
    async def handler(sender):
        where.append(threading.current_thread().name)
        return "value"

    async def main():
        return await ns.emit_async("x"), await ns["x"].send_async(), await ns["x"].first_async()

    assert await_it(main) == ([], [], None)
    pool.flush()
    assert api.drain(TIMEOUT)
    assert where == ["cyevents"] * 3  # the background loop's


def test_disconnected_meanwhile_contributes_nothing(ns, place, await_it):
    gate = Gate()
    ns.event("gate").connect(gate, via=place.via)

    @ns.on("x", via=place.via)
    def delivered(sender):
        return "delivered"

    @ns.on("x")
    def disconnects(sender):
        ns["x"].disconnect(delivered)
        gate.opened.set()
        return "in place"

    def reconnect():
        gate.begun.clear()
        gate.opened.clear()
        ns["x"].connect(delivered, via=place.via, priority=0)
        ns["x"].connect(disconnects)
        ns.emit("gate")

    async def main():
        results = []
        for method in ("emit_async", "send_async"):
            reconnect()
            results.append(await getattr(ns["x"], method)())
        return results

    assert await_it(main) == [["in place"], [(disconnects, "in place")]]


def test_delivery_to_the_emitters_own_loop(ns, run):
    log = []

    async def main():
        loop = asyncio.get_running_loop()

        @ns.on("x", via=loop)
        async def awaited(sender):
            await asyncio.sleep(0)
            return "awaited"

        @ns.on("x", via=loop)
        def plain(sender):
            log.append("plain")
            return "plain"

        ns.emit("x")
        assert log == []  # never in place
        await asyncio.sleep(0)
        assert log == ["plain"]
        return await ns.emit_async("x")

    assert run(main()) == ["awaited", "plain"]


def test_loops_that_await_each_other(ns, remote, run):
    """The handler awaits a handler in the emitter's loop."""

    async def main():
        ns.event("inner").connect(inner := lambda sender: "inner", via=asyncio.get_running_loop())

        @ns.on("outer", via=remote.loop)
        async def outer(sender):
            return await ns.emit_async("inner", sender)

        assert inner
        return await ns.emit_async("outer")

    assert run(main()) == [["inner"]]


def test_runaway_recursion_through_a_loop_is_an_error(ns, run):
    depth = []

    async def main():
        @ns.on("x", via=asyncio.get_running_loop())
        async def handler(sender):
            depth.append(None)
            await ns.emit_async("x")

        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(200)
        try:
            await ns.emit_async("x")
        finally:
            sys.setrecursionlimit(limit)

    with pytest.raises(RecursionError, match="'x' is emitted within its own emission"):
        run(main())
    assert 100 < len(depth) < 400


def test_executor_that_runs_calls_in_place(ns, await_it):
    class InPlace(Executor):
        def submit(self, function, /, *args, **kwargs):
            future = Future()
            future.set_result(function(*args, **kwargs))
            return future

    @ns.on("x", via=InPlace())
    def handler(sender):
        return "value"

    async def main():
        return ns.emit("x"), await ns.emit_async("x")

    assert await_it(main) == ([], ["value"])


# Errors


def fail(sender, *args, **kwargs):
    raise ValueError(sender)


async def fail_later(sender):
    await asyncio.sleep(0)
    raise ValueError(sender)


def test_errors_go_to_the_loops_exception_handler(ns, remote):
    ns.event("x").connect(fail, via=remote.loop)
    ns.event("x").connect(fail_later, via=remote.loop)
    ns.emit("x", 1)
    remote.run(asyncio.sleep(0.01))
    assert [each["message"] for each in remote.reported] == [
        f"handler {each!r} of event 'x' failed" for each in (fail, fail_later)
    ]
    assert [each["exception"].args for each in remote.reported] == [(1,), (1,)]


def test_errors_in_an_executor_are_logged(ns, pool, caplog):
    ns.event("x").connect(fail, via=pool)
    ns.emit("x", 1)
    pool.flush()
    assert messages(caplog, logging.ERROR) == [f"handler {fail!r} of event 'x' failed"]
    (record,) = caplog.records
    assert record.exc_info[1].args == (1,)


def test_errors_go_to_on_error_in_the_targets_thread(ns, place):
    seen = []
    ns.on_error = lambda error, handler, event, sender: seen.append(
        (threading.get_ident(), error.args, handler, event.name, sender)
    )
    ns.event("x").connect(fail, via=place.via)
    ns.emit("x", 1)
    place.flush()
    assert seen == [(place.thread_of, (1,), fail, "x", 1)]


def test_what_on_error_raises_is_reported(ns, remote, pool, caplog):
    def policy(error, handler, event, sender):
        raise KeyError("policy")

    ns.on_error = policy
    ns.event("x").connect(fail, via=remote.loop)
    ns.event("y").connect(fail, via=pool)
    ns.emit("x")
    ns.emit("y")
    remote.flush()
    pool.flush()
    assert [type(each["exception"]) for each in remote.reported] == [KeyError]
    assert [record.exc_info[0] for record in caplog.records] == [KeyError]


def test_emit_async_raises_the_error(ns, place, await_it):
    ns.event("x").connect(fail, via=place.via)
    ran = []
    ns.event("x").connect(lambda sender: ran.append(sender), priority=-1, weak=False)

    async def main():
        with pytest.raises(ValueError, match="7"):
            await ns.emit_async("x", 7)
        with pytest.raises(ValueError, match="7"):
            await ns["x"].send_async(7)

    await_it(main)
    assert ran == []


def test_emit_async_follows_the_policy(ns, place, await_it):
    ns.event("x").connect(fail, via=place.via)
    ns.event("x").connect(other := lambda sender: "other", via=place.via, priority=-1)
    seen = []

    async def main():
        ns.on_error = "group"
        with pytest.raises(ExceptionGroup) as caught:
            await ns.emit_async("x", 7)
        assert [each.args for each in caught.value.exceptions] == [(7,)]
        ns.on_error = lambda error, handler, event, sender: seen.append((error.args, handler, sender))
        return await ns.emit_async("x", 7)

    assert await_it(main) == ["other"]
    assert seen == [((7,), fail, 7)]
    assert other


@pytest.mark.parametrize("target", ["loop", "executor"])
def test_arguments_that_do_not_fit_are_explained(ns, remote, pool, run, caplog, target):
    def handler(sender):
        pass

    ns.event("x").connect(handler, via=remote.loop if target == "loop" else pool)
    ns.emit("x", 1, 2, three=3)
    remote.flush()
    pool.flush()
    reported = [each["exception"] for each in remote.reported] + [each.exc_info[1] for each in caplog.records]

    async def main():
        with pytest.raises(TypeError) as caught:
            await ns.emit_async("x", 1, 2, three=3)
        return caught.value

    for error in (*reported, run(main())):
        (note,) = error.__notes__
        assert "handler()" not in note
        assert "of event 'x' was called with (sender, 1 positional, three=...)" in note
        assert handler.__qualname__ in note
    assert len(reported) == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_fatal_errors_end_the_loop_and_the_emission(ns, kind, run):
    threads = []
    ended = threading.Event()

    def run_loop():
        try:
            loop.run_forever()
        except kind:
            ended.set()

    loop = asyncio.new_event_loop()

    @ns.on("x", via=loop)
    def handler(sender):
        raise kind("end")

    thread = threading.Thread(target=run_loop)
    thread.start()
    threads.append(thread)

    async def main():
        with pytest.raises(kind):
            await ns.emit_async("x")

    run(main())
    assert ended.wait(TIMEOUT)
    thread.join(TIMEOUT)
    thread = threading.Thread(target=run_loop)
    ended.clear()
    thread.start()
    ns.emit("x")
    assert ended.wait(TIMEOUT)
    thread.join(TIMEOUT)
    loop.close()


def test_fatal_errors_in_an_executor_are_reported(ns, pool, caplog, run):
    @ns.on("x", via=pool)
    def handler(sender):
        raise SystemExit("end")

    ns.emit("x")
    pool.flush()
    assert messages(caplog, logging.ERROR) == [f"handler {handler!r} of event 'x' failed"]

    async def main():
        with pytest.raises(SystemExit):
            await ns.emit_async("x")

    run(main())


# Targets that are closed, stopped or shut down


@pytest.fixture(params=["loop", "executor"])
def closed(request):
    """A target that takes no calls any more."""
    if request.param == "loop":
        loop = asyncio.new_event_loop()
        loop.close()
        return loop
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    return pool


def test_closed_target_is_a_runtime_error(api, ns, closed, await_it, recwarn):
    @ns.on("x", via=closed)
    async def handler(sender):
        pass

    ns.event("x").connect(after := lambda sender: "after", priority=-1)
    seen = []

    async def main():
        for call in (lambda: ns.emit("x"), lambda: ns["x"].send(None), lambda: ns["x"].first(None)):
            with pytest.raises(RuntimeError):
                call()
        for name in ("emit_async", "send_async", "first_async"):
            with pytest.raises(RuntimeError):
                await getattr(ns["x"], name)()
        ns.on_error = "group"
        with pytest.raises(ExceptionGroup):
            ns.emit("x")
        with pytest.raises(ExceptionGroup):
            await ns.emit_async("x")
        ns.on_error = lambda error, *rest: seen.append(type(error))
        assert ns.emit("x") == ["after"]
        assert await ns.emit_async("x") == ["after"]

    await_it(main)
    assert seen == [RuntimeError] * 2
    assert api.drain(TIMEOUT)  # nothing is left
    assert after
    gc.collect()
    assert not recwarn.list


def test_error_of_a_shut_down_executor_names_the_handler(ns):
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    ns.event("x").connect(fail, via=pool)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown") as caught:
        ns.emit("x")
    assert caught.value.__notes__ == [f"handler {fail!r} of event 'x' cannot be delivered to its executor"]


def test_closed_loop_is_explained(ns):
    loop = asyncio.new_event_loop()
    loop.close()
    ns.event("x").connect(fail, via=loop)
    with pytest.raises(RuntimeError) as caught:
        ns.emit("x")
    assert str(caught.value) == (
        f"handler {fail!r} of event 'x' cannot be delivered, since its event loop is closed: disconnect the handlers of"
        " a loop before you close it"
    )


async def endless(sender):
    await asyncio.sleep(1000)


@pytest.mark.parametrize("closes", [False, True], ids=["stopped", "closed"])
def test_stopped_loop_ends_the_wait(ns, remote, await_it, closes):
    """Of a handler that runs, and of one that was not called yet."""
    begun = threading.Event()

    @ns.on("x", via=remote.loop)
    async def handler(sender):
        begun.set()
        await asyncio.sleep(1000)

    def stop():
        assert begun.wait(TIMEOUT)
        remote.stop()
        if closes:
            for task in asyncio.all_tasks(remote.loop):
                task._log_destroy_pending = False
            remote.loop.close()

    stopper = threading.Thread(target=stop)

    async def main():
        stopper.start()
        with pytest.raises(RuntimeError) as caught:
            await ns.emit_async("x")
        return str(caught.value)

    assert await_it(main) == (f"handler {handler!r} of event 'x' has no outcome: its event loop was stopped or closed")
    stopper.join(TIMEOUT)


def test_call_that_was_given_up_is_not_made_later(ns, run):
    remote = make_loop("asyncio")
    seen, gate = [], Gate()

    def stop_when_opened():
        gate(None)
        remote.loop.stop()  # in this iteration, which does not come to later calls

    ns.event("x").connect(handler := lambda sender: seen.append(sender), via=remote.loop)

    async def main():
        remote.loop.call_soon_threadsafe(stop_when_opened)
        assert gate.begun.wait(TIMEOUT)
        asyncio.get_running_loop().call_soon(gate.opened.set)
        with pytest.raises(RuntimeError, match="has no outcome"):
            await ns.emit_async("x", 1)

    run(main())
    remote.thread.join(TIMEOUT)
    remote.start()
    assert seen == []
    remote.close()
    assert handler


def test_loop_that_ends_by_asyncio_run(ns, run):
    """It cancels its tasks, and so the handler's."""
    loops, begun, over = [], threading.Event(), None

    async def serve():
        nonlocal over
        over = asyncio.Event()
        loops.append(asyncio.get_running_loop())
        begun.set()
        await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert begun.wait(TIMEOUT)

    @ns.on("x", via=loops[0])
    async def handler(sender):
        loops[0].call_soon(over.set)
        await asyncio.sleep(1000)

    async def main():
        with pytest.raises(RuntimeError, match="has no outcome"):
            await ns.emit_async("x")

    run(main())
    thread.join(TIMEOUT)


def test_emission_waits_for_a_loop_that_starts_later(ns, run):
    loop = asyncio.new_event_loop()
    ns.event("x").connect(handler := lambda sender: "value", via=loop)

    async def main():
        emission = asyncio.ensure_future(ns.emit_async("x"))
        await asyncio.sleep(0.1)  # longer than until the first look at the loop
        assert not emission.done()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            return await emission
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(TIMEOUT)

    assert run(main()) == ["value"]
    loop.close()
    assert handler


def test_shutdown_that_drops_calls(api, ns, await_it, caplog):
    pool = ThreadPoolExecutor(1)
    gate = Gate()
    ns.event("gate").connect(gate, via=pool)
    ns.emit("gate")
    assert gate.begun.wait(TIMEOUT)
    seen = []
    ns.event("x").connect(handler := lambda sender: seen.append(sender), via=pool)
    ns.emit("x", 1)

    async def main():
        threading.Timer(0.01, pool.shutdown, (), {"cancel_futures": True, "wait": False}).start()
        with pytest.raises(RuntimeError) as caught:
            await ns.emit_async("x", 2)
        return str(caught.value)

    text = "is not run: its executor was shut down"
    assert await_it(main) == f"handler {handler!r} of event 'x' {text}"
    gate.opened.set()
    pool.shutdown()
    assert seen == []
    assert messages(caplog, logging.ERROR) == [f"delivered handler {handler!r} of event 'x' {text}"]
    assert not api.drain(TIMEOUT)  # the call of `emit` was lost
    assert api.drain(TIMEOUT)


def test_executor_that_cannot_run_calls(ns, caplog, run):
    def refuse():
        raise OSError

    logging.getLogger("concurrent.futures").disabled = True
    try:
        with ThreadPoolExecutor(1, initializer=refuse) as pool:
            ns.event("x").connect(fail, via=pool)

            async def main():
                with pytest.raises(RuntimeError):
                    await ns.emit_async("x")
                with pytest.raises(RuntimeError):  # BrokenThreadPool
                    ns.emit("x")

            run(main())
    finally:
        logging.getLogger("concurrent.futures").disabled = False


# Cancelling an emission


def test_cancelling_an_emission_cancels_its_tasks(ns, remote, await_it):
    log = []
    begun = threading.Event()

    @ns.on("x", via=remote.loop)
    async def handler(sender):
        begun.set()
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0.01)
            log.append("cleaned up")

    async def main():
        if asyncio._get_running_loop() is not None:
            emission = asyncio.ensure_future(ns.emit_async("x"))
            while not begun.is_set():
                await asyncio.sleep(0.001)
            emission.cancel()
            with pytest.raises(asyncio.CancelledError):
                await emission
        else:
            import trio

            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(ns.emit_async, "x")
                    while not begun.is_set():
                        await trio.sleep(0.001)
                    scope.cancel()
        assert log == ["cleaned up"]

    await_it(main)


def test_cancelling_an_emission_before_the_call(ns, place, run):
    gate, seen = Gate(), []
    ns.event("gate").connect(gate, via=place.via)
    ns.event("x").connect(handler := lambda sender: seen.append(sender), via=place.via)
    ns.emit("gate")

    async def main():
        emission = asyncio.ensure_future(ns.emit_async("x"))
        for _ in range(3):
            await asyncio.sleep(0)
        emission.cancel()
        with pytest.raises(asyncio.CancelledError):
            await emission

    run(main())
    gate.opened.set()
    place.flush()
    assert seen == []
    assert handler


def test_cancelling_waits_for_a_call_that_has_begun(ns, place, run):
    gate = Gate()
    ns.event("x").connect(gate, via=place.via)

    async def main():
        emission = asyncio.ensure_future(ns.emit_async("x"))
        while not gate.begun.is_set():
            await asyncio.sleep(0.001)
        emission.cancel()
        await asyncio.sleep(0.01)
        assert not emission.done()
        gate.opened.set()
        with pytest.raises(asyncio.CancelledError):
            await emission

    run(main())


@pytest.mark.parametrize("kinds", [("x",), ("x", "y")], ids=["alone", "several"])
def test_fatal_error_in_the_tier_cancels_the_call(ns, remote, await_it, kinds):
    """Also if no task has started yet, as before Python 3.12, and under trio."""
    log, begun = [], threading.Event()

    class Fatal(BaseException):
        pass

    async def handler(sender):
        begun.set()
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0.01)
            log.append("cancelled")

    handlers = [(lambda sender, each=each: handler(sender)) for each in kinds]
    for each in handlers:
        ns.event("x").connect(each, via=remote.loop)

    @ns.on("x")
    def fatal(sender):
        assert begun.wait(TIMEOUT)
        remote.flush()
        raise Fatal

    async def main():
        with pytest.raises(Fatal):
            await ns.emit_async("x")
        assert log == ["cancelled"] * len(kinds)

    await_it(main)


def test_closed_emission_cancels_the_call(ns, remote):
    begun, log = threading.Event(), []

    @ns.on("x", via=remote.loop)
    async def handler(sender):
        begun.set()
        try:
            await asyncio.sleep(1000)
        finally:
            log.append("cancelled")

    loop = asyncio.new_event_loop()

    async def main():
        task = asyncio.ensure_future(ns.emit_async("x"))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        task._log_destroy_pending = False
        return task

    task = loop.run_until_complete(main())
    loop.close()
    task.get_coro().close()
    remote.run(asyncio.sleep(0.01))
    assert log == ["cancelled"]


def test_task_that_others_cancel(ns, remote, run):
    """It counts as having raised `CancelledError`."""

    @ns.on("x", via=remote.loop)
    async def handler(sender):
        asyncio.current_task().cancel()
        await asyncio.sleep(1000)

    async def main():
        with pytest.raises(asyncio.CancelledError):
            await ns.emit_async("x")

    run(main())


def test_timeout_around_an_emission(ns, remote, run):
    ns.event("x").connect(endless, via=remote.loop)

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await ns.emit_async("x")

    run(main())
    assert not [task for task in asyncio.all_tasks(remote.loop) if not task.done()]


# Drain


def test_drain_async_waits_for_the_loops_calls(api, ns, remote):
    done = []

    @ns.on("x", via=remote.loop)
    async def handler(sender):
        await asyncio.sleep(0.01)
        done.append(sender)

    ns.emit("x", 1)
    assert remote.run(api.drain_async(TIMEOUT))
    assert done == [1]


def test_drain_reports_loops_that_do_not_run(api, ns):
    loop = asyncio.new_event_loop()
    seen = []
    ns.event("x").connect(handler := lambda sender: seen.append(sender), via=loop)
    ns.emit("x", 1)
    assert not api.drain(TIMEOUT)
    assert loop.run_until_complete(api.drain_async(TIMEOUT))
    assert seen == [1]
    assert api.drain(TIMEOUT)
    loop.close()
    assert handler


def test_calls_of_a_closed_loop_are_logged(api, ns, caplog):
    loop = asyncio.new_event_loop()
    ns.event("x").connect(fail, via=loop)
    ns.emit("x", 1)
    loop.close()
    assert not api.drain(TIMEOUT)
    assert messages(caplog, logging.ERROR) == [
        f"delivered handler {fail!r} of event 'x' is not run: its event loop was closed"
    ]
    assert api.drain(TIMEOUT)


# Arguments


@pytest.mark.parametrize("via", [1, "loop", object(), ThreadPoolExecutor, asyncio], ids=repr)
def test_other_targets_are_refused(ns, via):
    with pytest.raises(TypeError, match="via must be a Mailbox, an asyncio event loop or an executor, not "):
        ns.event("x").connect(fail, via=via)
    assert ns["x"].handlers == []


def test_other_processes_are_refused(ns):
    with (
        ProcessPoolExecutor(1) as pool,
        pytest.raises(TypeError, match="via must run handlers in this process"),
    ):
        ns.event("x").connect(fail, via=pool)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="no such executor")
def test_other_interpreters_are_refused(ns):
    with concurrent.futures.InterpreterPoolExecutor(1) as pool:
        with pytest.raises(TypeError, match="via must run handlers in this process"):
            ns.event("x").connect(fail, via=pool)


def test_thread_and_via_exclude_each_other(ns, place):
    with pytest.raises(TypeError, match="via and thread=True exclude each other"):
        ns.event("x").connect(fail, via=place.via, thread=True)


def test_objects_that_raise_are_refused(ns):
    class Hostile:
        @property
        def __class__(self):
            raise OSError

        def __repr__(self):
            raise OSError

        __eq__ = __hash__ = None

    with pytest.raises(TypeError, match="via must be a Mailbox"):
        ns.event("x").connect(fail, via=Hostile())


def test_connection_shows_its_target(api, ns, place):
    ns.event("x").connect(fail, via=place.via)
    (connection,) = ns["x"].handlers
    assert connection.via is place.via
    text = str(api.describe(ns))
    assert "via " in text
    assert " at 0x" not in text  # it is the same each time that the program runs


# Instruments


def test_trace_shows_delivered_calls(api, ns, place, await_it):
    gate = Gate()
    ns.event("gate").connect(gate, via=place.via)

    @ns.on("x", via=place.via)
    def handler(sender):
        ns.emit("inner")
        return sender

    with api.trace(ns) as seen:
        ns.emit("gate")
        assert gate.begun.wait(TIMEOUT)
        ns.emit("x", 1)
        (call,) = seen.emissions[1].calls
        assert (call.outcome, call.duration, call.is_delivered) == ("delivered", None, True)
        assert "delivered" in str(seen)
        assert [each["name"] for each in seen.chrome()["traceEvents"] if each["ph"] == "i"][0].endswith("delivered")
        gate.opened.set()
        place.flush()
        assert (call.outcome, call.value, call.thread_id) == ("returned", "1", place.thread_of)
        assert call.duration is not None
        assert [each.event for each in call.emissions] == ["inner"]

        async def main():
            return await ns.emit_async("x", 2)

        assert await_it(main) == [2]
    (call,) = seen.emissions[-1].calls
    assert (call.outcome, call.value, call.thread_id) == ("returned", "2", place.thread_of)


def test_trace_shows_dropped_calls(api, ns, place):
    gate = Gate()
    ns.event("gate").connect(gate, via=place.via)
    ns.event("x").connect(fail, via=place.via)
    ns.emit("gate")
    with api.trace(ns) as seen:
        ns.emit("x", 1)
        ns["x"].disconnect(fail)
        gate.opened.set()
        place.flush()
        place.flush()
    (call,) = seen.emissions[0].calls
    assert (call.outcome, call.reason) == ("dropped", None)


def test_trace_of_async_handlers_in_a_loop(api, ns, remote):
    ns.event("x").connect(fail_later, via=remote.loop)
    with api.trace(ns) as seen:
        ns.emit("x", 1)
        remote.run(asyncio.sleep(0.01))
    (call,) = seen.emissions[0].calls
    assert (call.outcome, call.is_async, call.is_delivered) == ("raised", True, True)
    assert call.thread_id == remote.thread.ident


def test_recorder_records_delivered_emissions(ns, testing, place):
    ns.event("x").connect(fail, via=place.via)
    ns.on_error = lambda *args: None
    with testing.Recorder(ns) as events:
        ns.emit("x", 1)
    place.flush()
    assert events.names == ["x"]


def test_connection_with_replay(ns, place):
    event = ns.event("x", replay=2)
    seen = []
    for number in range(3):
        event.emit(number)
    event.connect(handler := lambda sender: seen.append((sender, threading.get_ident())), via=place.via, replay=True)
    place.flush()
    assert seen == [(1, place.thread_of), (2, place.thread_of)]
    assert handler


# Threads


def test_emissions_of_several_threads(ns, place):
    seen = []
    ns.event("x").connect(handler := lambda sender, number: seen.append((sender, number)), via=place.via)

    def emit(sender):
        for number in range(200):
            ns.emit("x", sender, number)

    threads = [threading.Thread(target=emit, args=(each,)) for each in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(TIMEOUT)
    place.flush()
    for sender in range(4):
        assert [number for each, number in seen if each == sender] == list(range(200))
    assert handler


def test_emissions_of_several_loops(ns, place):
    ns.event("x").connect(handler := lambda sender, number: number, via=place.via)
    failed = []

    async def main(sender):
        for number in range(50):
            results = await asyncio.gather(*(ns.emit_async("x", sender, number + each) for each in range(3)))
            if results != [[number], [number + 1], [number + 2]]:
                failed.append(results)

    threads = [threading.Thread(target=lambda each=each: asyncio.run(main(each))) for each in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(TIMEOUT)
    assert not failed
    assert handler


def test_nothing_is_imported_before_it_is_used(backend):
    script = (
        "import sys, cyevents; event = cyevents.Event('x'); event.connect(print); event.emit()\n"
        "print(sorted({'asyncio', 'cyevents._delivery', 'cyevents._async.delivery'} & set(sys.modules)))"
    )
    environment = {**os.environ, "CYEVENTS_PURE_PYTHON": {"cython": "0", "python": "1"}[backend]}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert importlib.util.find_spec("cyevents")


# Exit


PRELUDE = """
import asyncio, concurrent.futures, logging, os, sys, threading, time
from cyevents import Event, drain, emit, on
logging.basicConfig(format="%(levelname)s %(message)s")
event = Event("x")
begun = threading.Event()

def handler(sender):
    print("called", sender, flush=True)

def slow(sender):
    begun.set()
    time.sleep(0.05)
    handler(sender)

def start_loop(daemon):
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=daemon).start()
    return loop
"""


@pytest.fixture
def child(backend):
    """Run a script in a child process; return what it printed and logged."""

    def run(script):
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(script)],
            env={**os.environ, "CYEVENTS_PURE_PYTHON": {"cython": "0", "python": "1"}[backend]},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert done.returncode == 0, done
        for bad in ("never awaited", "Exception ignored", "Fatal Python error", "Traceback"):
            assert bad not in done.stderr, done
        return done.stdout.splitlines(), done.stderr.splitlines()

    return run


def test_pool_is_emptied_at_exit(child):
    script = """
        pool = concurrent.futures.ThreadPoolExecutor(1)
        event.connect(slow, via=pool)
        for number in range(3):
            event.emit(number)
    """
    assert child(script) == (["called 0", "called 1", "called 2"], [])


GIVEN_UP = "ERROR delivered handlers not finished at exit are abandoned: "


def test_loop_that_does_not_run_at_exit(child):
    script = """
        loop = asyncio.new_event_loop()
        event.connect(handler, via=loop)
        event.emit(1)
        event.emit(2)
        os._exit_loop = loop  # it is neither closed nor freed
    """
    assert child(script) == ([], [f"{GIVEN_UP}handler of event 'x', handler of event 'x'"])


def test_loop_that_was_closed_before_exit(child):
    script = """
        loop = asyncio.new_event_loop()
        event.connect(handler, via=loop)
        event.emit(1)
        loop.close()
    """
    out, logged = child(script)
    assert out == []
    assert len(logged) == 1
    assert logged[0].startswith("ERROR delivered handler <function handler at ")
    assert logged[0].endswith(" of event 'x' is not run: its event loop was closed")


def test_loop_in_a_daemon_thread_at_exit(child):
    script = """
        loop = start_loop(daemon=True)

        async def endless(sender):
            begun.set()
            await asyncio.sleep(1000)

        event.connect(endless, via=loop)
        event.emit(1)
        begun.wait()
    """
    assert child(script) == ([], [f"{GIVEN_UP}endless of event 'x'"])


def test_pool_that_drops_calls_before_exit(child):
    script = """
        pool = concurrent.futures.ThreadPoolExecutor(1)
        event.connect(slow, via=pool)
        event.emit(1)
        begun.wait()
        event.emit(2)
        pool.shutdown(cancel_futures=True)
        print(drain(), drain())
    """
    out, logged = child(script)
    assert out == ["called 1", "False True"]
    assert len(logged) == 1
    assert logged[0].endswith(" of event 'x' is not run: its executor was shut down")


def test_executor_with_daemon_threads_at_exit(child):
    script = """
        class Daemons(concurrent.futures.Executor):
            def submit(self, function, /, *args, **kwargs):
                future = concurrent.futures.Future()
                threading.Thread(target=function, args=args, kwargs=kwargs, daemon=True).start()
                return future

        def endless(sender):
            begun.set()
            time.sleep(1000)

        event.connect(endless, via=Daemons())
        event.emit(1)
        begun.wait()
    """
    assert child(script) == ([], [f"{GIVEN_UP}endless of event 'x'"])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_calls_stay_with_the_parent(child):
    script = """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # about forks of programs with threads
        loop = asyncio.new_event_loop()
        pool = concurrent.futures.ThreadPoolExecutor(1)
        event.connect(handler, via=loop)
        event.connect(slow, via=pool)
        event.emit(1)
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            loop.call_soon(loop.stop)
            loop.run_forever()
            loop.close()
        else:
            assert drain()
            os._exit(0)
    """
    out, logged = child(script)
    assert sorted(out) == ["called 1", "called 1"]
    assert logged == []


# With other options


def test_overlap_of_delivered_calls(ns, remote, run):
    """The loop that emits first ends before its call has begun."""
    gate, log = Gate(), []
    ns.event("gate").connect(gate, via=remote.loop)

    @ns.on("x", via=remote.loop, overlap="queue")
    async def handler(sender):
        log.append(("begun", sender))
        await asyncio.sleep(0.01)
        log.append(("done", sender))
        return sender

    async def emit(sender):
        ns.emit("x", sender)

    async def await_it(sender):
        asyncio.get_running_loop().call_later(0.01, gate.opened.set)
        return await ns.emit_async("x", sender)

    ns.emit("gate")
    run(emit(1))
    ns["x"].send(2)
    assert run(await_it(3)) == [3]
    assert log == [(what, number) for number in (1, 2, 3) for what in ("begun", "done")]


def test_timeout_of_a_delivered_call(ns, remote, await_it):
    ns.event("x").connect(endless, via=remote.loop, timeout=0.01)

    async def main():
        with pytest.raises(TimeoutError, match="endless of event 'x' was cancelled"):
            await ns.emit_async("x")

    await_it(main)
    assert not [task for task in asyncio.all_tasks(remote.loop) if not task.done()]


def test_skipped_calls_are_not_delivered(ns, remote, run):
    begun, log = threading.Event(), []

    @ns.on("x", via=remote.loop, overlap="skip")
    async def handler(sender):
        log.append(sender)
        begun.set()
        await asyncio.sleep(1000)

    async def main():
        emission = asyncio.ensure_future(ns.emit_async("x", 1))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        assert await ns.emit_async("x", 2) == []
        emission.cancel()
        await asyncio.wait([emission])

    run(main())
    assert log == [1]


def test_cancelling_under_trio_waits_for_a_stopped_loop_no_longer(ns, remote):
    trio = pytest.importorskip("trio")
    pytest.importorskip("anyio")
    ns.event("x").connect(gate := Gate(), via=remote.loop)

    def stop():
        remote.loop.call_soon_threadsafe(remote.loop.stop)
        gate.opened.set()

    async def main():
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ns.emit_async, "x")
                while not gate.begun.is_set():
                    await trio.sleep(0.001)
                scope.cancel()
                threading.Timer(0.01, stop).start()
        assert gate.opened.is_set()

    trio.run(main)


def test_emission_to_a_closed_target_leaves_no_garbage(ns, closed, run, no_garbage):
    ns.event("x").connect(fail, via=closed)

    async def main():
        with pytest.raises(RuntimeError):
            await ns.emit_async("x")

    run(main())
    gc.collect()
    run(main())
    assert not [each for each in gc.get_objects() if type(each).__name__ in ("LoopCall", "ExecutorCall")]


def test_isolation_restores_the_target(api, ns, testing, place):
    seen = []

    def handler(sender):
        seen.append((sender, threading.get_ident()))

    ns.event("x").connect(handler, via=place.via, condition=lambda sender: sender > 0)
    with testing.Isolation(ns):
        ns["x"].clear()
    (connection,) = ns["x"].handlers
    assert connection.via is place.via
    ns.emit("x", 0)
    ns.emit("x", 1)
    place.flush()
    assert seen == [(1, place.thread_of)]


def test_connected_to_restores_the_target(ns, place):
    seen = []

    def handler(sender):
        seen.append((sender, threading.get_ident()))

    ns.event("x").connect(handler, via=place.via)
    with ns["x"].connected_to(handler):
        ns.emit("x", 1)
    ns.emit("x", 2)
    place.flush()
    assert seen == [(1, threading.get_ident()), (2, place.thread_of)]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("how", ["emit", "emit_async"])
def test_interrupted_submission_makes_no_call(api, ns, run, kind, how):
    """As when a signal handler raises right after the call was queued."""

    class Interrupted(asyncio.SelectorEventLoop):
        def call_soon_threadsafe(self, *args, **kwargs):
            super().call_soon_threadsafe(*args, **kwargs)
            raise kind("by a signal handler")

    class InterruptedPool(Pool):
        def submit(self, *args, **kwargs):
            future = super().submit(*args, **kwargs)
            if interrupts:
                raise kind("by a signal handler")
            return future

    seen, reported, interrupts, gate = [], [], [], Gate()
    loop = Interrupted()
    loop.set_exception_handler(lambda loop, context: reported.append(context))
    handler = seen.append

    async def main():
        for via in (loop, pool):
            event = api.Event("x")
            event.connect(handler, via=via, weak=False)
            with pytest.raises(kind, match="by a signal handler"):
                if how == "emit":
                    event.emit(1)
                else:
                    await event.emit_async(1)

    with InterruptedPool(1) as pool:
        pool.submit(gate, None)
        interrupts.append(True)
        try:
            run(main())
        finally:
            interrupts.clear()
            gate.opened.set()
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert seen == reported == []
    assert api.drain(TIMEOUT)


def test_cancelling_again_and_again_asks_the_loop_once(ns, run):
    """As anyio does on asyncio, while the loop is blocked."""
    remote, gate = make_loop("asyncio"), Gate()
    ns.event("x").connect(gate, via=remote.loop)

    async def main():
        emission = asyncio.ensure_future(ns.emit_async("x"))
        while not gate.begun.is_set():
            await asyncio.sleep(0.001)
        for _ in range(50):
            emission.cancel()
            await asyncio.sleep(0)
        waiting = list(remote.loop._ready)
        gate.opened.set()
        await asyncio.wait([emission])
        assert emission.cancelled()
        assert [str(each).count("cancel_task") for each in waiting].count(1) == 1

    run(main())
    remote.close()
