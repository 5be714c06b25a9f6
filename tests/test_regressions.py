"""The nine defects of the reference's first implementation, as its users saw them."""

import asyncio
import threading
import weakref

import pytest


def test_emit_async_ran_the_last_handler_n_times(ns, run):
    def make(label):
        async def handler(sender, **kwargs):
            return label

        return handler

    handlers = [ns.on("x")(make(label)) for label in "abc"]

    async def main():
        return await ns.emit_async("x")

    assert len(handlers) == 3
    assert run(main()) == ["a", "b", "c"]


def test_handler_that_returned_0_cancelled_the_rest(ns, run):
    @ns.on("x", priority=1)
    def count(sender, **kwargs):
        return 0

    @ns.on("x", priority=1)
    async def count_async(sender, **kwargs):
        return 0

    @ns.on("x")
    def after(sender, **kwargs):
        return "ran"

    async def main():
        return await ns.emit_async("x"), ns.emit("x")

    assert run(main()) == ([0, 0, "ran"], [0, "ran"])


def test_positional_arguments_raised_a_type_error(ns, run):
    calls = []

    @ns.on("x")
    def sync(sender, *args):
        calls.append(("sync", args))

    @ns.on("x")
    async def asynchronous(sender, *args):
        calls.append(("async", args))

    @ns.on("x")
    def generator(sender, *args):
        calls.append(("generator", args))
        yield

    @ns.on("x")
    async def async_generator(sender, *args):
        calls.append(("async generator", args))
        yield

    async def main(emission):
        await emission()

    async def emit():
        ns.emit("x", None, 1, 2)
        await asyncio.sleep(0)

    async def emit_async():
        await ns.emit_async("x", None, 1, 2)

    expected = [(kind, (1, 2)) for kind in ("async", "async generator", "generator", "sync")]
    for emission in emit, emit_async:
        run(main(emission))
        assert sorted(calls) == expected
        calls.clear()


@pytest.mark.parametrize("keyword", ["self", "receiver"])
def test_keyword_named_self_or_receiver_raised(ns, run, keyword):
    calls = []

    @ns.on("x")
    def sync(sender, **kwargs):
        calls.append(kwargs)

    @ns.on("x")
    async def asynchronous(sender, **kwargs):
        calls.append(kwargs)

    async def main():
        evt = ns.event("x")
        await ns.emit_async("x", None, **{keyword: 1})
        await evt.emit_async(None, **{keyword: 1})
        ns.emit("x", None, **{keyword: 1})
        evt.emit(None, **{keyword: 1})
        await asyncio.sleep(0)

    run(main())
    assert calls == [{keyword: 1}] * 8


def test_bound_methods_lost_their_priority(ns):
    class Service:
        def first(self, sender, **kwargs):
            return "first"

        def last(self, sender, **kwargs):
            return "last"

    service = Service()
    ns.on("x", priority=-10)(service.last)

    @ns.on("x")
    def middle(sender, **kwargs):
        return "middle"

    ns.on("x", priority=10)(service.first)
    assert ns.emit("x") == ["first", "middle", "last"]


def test_handlers_were_never_collected(ns, collect):
    class Service:
        def method(self, sender, **kwargs):
            return "method"

    def function(sender, **kwargs):
        return "function"

    service = Service()
    ns.on("x")(function)
    ns.on("x")(service.method)
    assert ns.emit("x") == ["function", "method"]
    references = [weakref.ref(function), weakref.ref(service)]
    del function, service
    collect()
    assert [reference() for reference in references] == [None, None]
    assert ns.emit("x") == []


def test_wildcards_missed_events_made_later(ns):
    @ns.on("user.*")
    def handler(sender, **kwargs):
        return sender

    ns.event("user.created")
    assert ns.emit("user.created", 1) == [1]
    assert ns.emit("order.created", 1) == []


def test_on_failed_with_an_event(ns):
    evt = ns.event("x")

    @ns.on(evt)
    def handler(sender, **kwargs):
        return "called"

    assert evt.emit() == ["called"]


def test_every_async_handler_got_a_thread_and_a_loop(api, ns):
    seen = []

    async def note():
        await asyncio.sleep(0)
        seen.append((threading.current_thread(), asyncio.get_running_loop()))

    handlers = [ns.on("x")(lambda sender, **kwargs: note()) for _ in range(5)]
    before = threading.active_count()
    for _ in range(4):
        ns.emit("x")
    assert threading.active_count() <= before + 1
    assert api.drain(10)
    assert len(seen) == len(handlers) * 4
    assert len(set(seen)) == 1
    assert seen[0][0] is not threading.current_thread()


def test_every_async_handler_got_a_loop_inside_a_loop(api, ns, run):
    seen = []

    @ns.on("x")
    async def handler(sender, **kwargs):
        seen.append((threading.current_thread(), asyncio.get_running_loop()))

    async def main():
        ns.emit("x")
        await api.drain_async(10)
        await ns.emit_async("x")
        return asyncio.get_running_loop()

    loop = run(main())
    assert seen == [(threading.current_thread(), loop)] * 2
