"""`raise Cancel(reason)` cancels exactly as `return False` does, in every kind of handler, and says why."""

import asyncio
import copy
import importlib
import logging
import pickle
import threading
import weakref

import pytest

KINDS = [
    "function",
    "method",
    "object",
    "generator",
    "async",
    "async suspending",
    "async generator",
    "returns awaitable",
]
IN_EMIT = ["function", "method", "object", "generator"]
ASYNC = [kind for kind in KINDS if kind not in IN_EMIT]


def kind_of_handler(kind, outcome):
    """Return a handler of a kind that calls `outcome`, which returns or raises, after yielding what it can yield."""

    class Owner:
        def method(self, sender, **kwargs):
            return outcome()

        def __call__(self, sender, **kwargs):
            return outcome()

    def function(sender, **kwargs):
        return outcome()

    def generator(sender, **kwargs):
        yield 1
        yield None
        yield 2
        return outcome()

    async def coroutine(sender, **kwargs):
        return outcome()

    async def suspending(sender, **kwargs):
        await asyncio.sleep(0)
        return outcome()

    async def async_generator(sender, **kwargs):
        yield 1
        await asyncio.sleep(0)
        yield None
        yield 2
        outcome()

    def awaitable(sender, **kwargs):
        return coroutine(sender)

    owner = Owner()
    return {
        "function": function,
        "method": owner.method,
        "object": owner,
        "generator": generator,
        "async": coroutine,
        "async suspending": suspending,
        "async generator": async_generator,
        "returns awaitable": awaitable,
    }[kind]


def kept_of(kind):
    """Return what a handler of this kind leaves in the results."""
    return [[1, 2]] if "generator" in kind else []


def raising(error):
    def outcome():
        raise error() if callable(error) else error

    return outcome


def connect_three(event, handler, thread=False):
    """Connect a handler between two that return their names; return the list of those that were called."""
    called = []

    def before(sender, **kwargs):
        called.append("before")
        return "before"

    def after(sender, **kwargs):
        called.append("after")
        return "after"

    event.connect(before, priority=2, weak=False)
    event.connect(handler, priority=1, weak=False, thread=thread)
    event.connect(after, weak=False)
    return called


@pytest.fixture
def event(api):
    return api.Event("x")


# Cancel and Cancelled as values


def test_cancel_has_its_reason(api):
    assert api.Cancel("out of stock").reason == "out of stock"
    assert api.Cancel(reason=7).reason == 7
    assert api.Cancel().reason is None
    assert (str(api.Cancel("out of stock")), repr(api.Cancel("out of stock"))) == (
        "out of stock",
        "Cancel('out of stock')",
    )
    assert (str(api.Cancel()), repr(api.Cancel())) == ("", "Cancel()")
    assert issubclass(api.Cancel, Exception)


def test_cancel_takes_one_reason(api):
    with pytest.raises(TypeError, match="positional argument"):
        api.Cancel("one", "two")


@pytest.mark.parametrize("reason", [None, "out of stock", {"left": 0}, False, 0])
def test_cancel_can_be_copied_and_pickled(api, reason):
    for other in (copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))):
        made = other(api.Cancel(reason))
        assert (type(made), made.reason) == (api.Cancel, reason)


def test_cancelled_has_the_reason(api, event):
    refuse = kind_of_handler("function", raising(api.Cancel("out of stock")))
    connect_three(event, refuse)
    results = event.emit("s")
    assert type(results) is api.Cancelled
    assert (list(results), results.handler, results.event, results.reason) == (
        ["before"],
        refuse,
        event,
        "out of stock",
    )
    assert repr(results).startswith("Cancelled(['before'], by ") and repr(results).endswith(": 'out of stock')")
    for other in (copy.copy, copy.deepcopy):
        made = other(results)
        assert (type(made), list(made), made.event, made.reason) == (api.Cancelled, ["before"], event, "out of stock")


def test_cancelled_without_a_reason(api, event):
    for outcome in (raising(api.Cancel()), raising(api.Cancel), lambda: False):
        event.clear()
        connect_three(event, kind_of_handler("function", outcome))
        results = event.emit("s")
        assert type(results) is api.Cancelled
        assert results.reason is None
        assert ": " not in repr(results)


def test_cancelled_can_be_made_without_a_reason(api, event):
    assert api.Cancelled([1], print, event).reason is None


class Unshowable:
    def __repr__(self):
        raise ZeroDivisionError


def test_reason_with_a_raising_repr(api, event):
    connect_three(event, kind_of_handler("function", raising(api.Cancel(Unshowable()))))
    assert "Unshowable object" in repr(event.emit("s"))


def test_subclass_of_cancel(api, event):
    class OutOfStock(api.Cancel):
        reason = "out of stock"

    class Silent(api.Cancel):
        def __init__(self, one, two):
            pass

    class Unreadable(api.Cancel):
        @property
        def reason(self):
            raise ZeroDivisionError

        @reason.setter
        def reason(self, reason):
            pass

    reasons = []
    for error in (OutOfStock, OutOfStock("sold"), Silent(1, 2), Unreadable(1)):
        event.clear()
        called = connect_three(event, kind_of_handler("function", raising(error)))
        reasons.append(event.emit("s").reason)
        assert called == ["before"]
    assert reasons == ["out of stock", "sold", None, None]


def test_exception_that_imitates_cancel_is_an_error(api, event):
    class Imitation(Exception):
        @property
        def __class__(self):
            return api.Cancel

    connect_three(event, kind_of_handler("function", raising(Imitation)))
    with pytest.raises(Imitation):
        event.emit("s")


# Every kind of handler


@pytest.mark.parametrize("kind", IN_EMIT)
@pytest.mark.parametrize("thread", [False, True])
def test_cancels_emit_as_false_does(api, event, kind, thread):
    outcomes = {"why": raising(api.Cancel("why")), None: lambda: False}
    for reason, outcome in outcomes.items():
        event.clear()
        handler = kind_of_handler(kind, outcome)
        called = connect_three(event, handler, thread)
        results = event.emit("s", a=1)
        assert (type(results), list(results)) == (api.Cancelled, ["before", *kept_of(kind)])
        assert (results.handler, results.reason, called) == (handler, reason, ["before"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("thread", [False, True])
@pytest.mark.parametrize("beside", [0, 1, 2])
def test_cancels_emit_async(api, event, run, kind, thread, beside):
    handler = kind_of_handler(kind, raising(api.Cancel("why")))
    called = connect_three(event, handler, thread)

    async def other(sender, **kwargs):
        await asyncio.sleep(0)
        return "other"

    for _ in range(beside):  # handlers of its own tier make tasks necessary
        event.connect(copy_of(other), priority=1, weak=False)
    results = run(event.emit_async("s", a=1))
    assert type(results) is api.Cancelled
    others = [] if kind in IN_EMIT and not thread else ["other"] * beside
    assert list(results) == ["before", *kept_of(kind), *others]
    assert (results.handler, results.reason, called) == (handler, "why", ["before"])


def copy_of(function):
    """Return another function that does the same, so that it can be connected too."""

    async def other(*args, **kwargs):
        return await function(*args, **kwargs)

    return other


@pytest.mark.parametrize("kind", KINDS)
def test_on_error_never_gets_it(api, event, fire, kind):
    seen = []
    event.on_error = lambda *args: seen.append(args)
    handler = kind_of_handler(kind, raising(api.Cancel("why")))
    connect_three(event, handler)
    results = fire(event, "s")
    assert api.drain(10)
    assert (type(results) is api.Cancelled) == (type(results) is not list)
    assert seen == []


@pytest.mark.parametrize("raised", ["before", "after"])
def test_group_of_earlier_errors_is_raised_as_with_false(api, event, fire, raised):
    event.on_error = "group"

    def fail(sender):
        raise ValueError("failed")

    event.connect(fail, priority=2 if raised == "before" else -1)
    for outcome in (raising(api.Cancel("why")), lambda: False):
        handler = kind_of_handler("function", outcome)
        event.connect(handler)
        if raised == "before":
            with pytest.raises(ExceptionGroup) as caught:
                fire(event, "s")
            assert [type(error) for error in caught.value.exceptions] == [ValueError]
        else:
            assert type(fire(event, "s")) is api.Cancelled
        event.disconnect(handler)


def test_what_on_error_raises_propagates(api, event, fire):
    def cancel(error, handler, event, sender):
        raise api.Cancel("on_error")

    event.on_error = cancel
    called = connect_three(event, kind_of_handler("function", raising(ValueError)))
    with pytest.raises(api.Cancel, match="on_error"):
        fire(event, "s")
    assert called == ["before"]


def test_first_canceller_in_dispatch_order_wins(api, event, run):
    async def main():
        released = asyncio.Event()

        async def slow(sender):
            await released.wait()
            raise api.Cancel("slow")

        async def quick(sender):
            released.set()
            raise api.Cancel("quick")

        event.connect(slow, weak=False)
        event.connect(quick, weak=False)
        return await event.emit_async("s"), slow

    results, slow = run(main())
    assert (results.handler, results.reason, list(results)) == (slow, "slow", [])


def test_false_of_an_earlier_handler_has_no_reason(api, event, run):
    async def earlier(sender):
        await asyncio.sleep(0)
        return False

    def generator(sender):
        yield 1
        return False

    for handler, thread in ((earlier, False), (generator, True)):
        event.clear()
        event.connect(handler, thread=thread)
        event.connect(kind_of_handler("function", raising(api.Cancel("later"))), weak=False)
        results = run(event.emit_async("s"))
        assert (results.handler, results.reason) == (handler, None)


def test_sync_handler_starts_no_further_one_of_its_tier(api, event, run):
    log = []

    async def started(sender):
        await asyncio.sleep(0)
        log.append("started")
        return "started"

    async def never(sender):
        log.append("never")

    event.connect(started)
    event.connect(kind_of_handler("function", raising(api.Cancel("why"))), weak=False)
    event.connect(never)
    results = run(event.emit_async("s"))
    assert (list(results), results.reason, log) == (["started"], "why", ["started"])


def test_error_of_the_tier_comes_before_a_cancel(api, event, run):
    async def fail(sender):
        await asyncio.sleep(0)
        raise ValueError

    async def cancel(sender):
        raise api.Cancel("why")

    event.connect(cancel)
    event.connect(fail)
    with pytest.raises(ValueError, match="^$"):
        run(event.emit_async("s"))


def test_cancel_in_a_tier_with_grouped_errors(api, event, run):
    event.on_error = "group"

    async def fail(sender):
        raise ValueError

    async def cancel(sender):
        await asyncio.sleep(0)
        raise api.Cancel("why")

    event.connect(cancel)
    event.connect(fail)
    called = []
    event.connect(lambda sender: called.append(sender), priority=-1, weak=False)
    with pytest.raises(ExceptionGroup) as caught:
        run(event.emit_async("s"))
    assert [type(error) for error in caught.value.exceptions] == [ValueError]
    assert called == []


def test_nested_emission_alone_is_cancelled(api, event, fire):
    inner = api.Event("inner")
    inner.connect(kind_of_handler("function", raising(api.Cancel("inner"))), weak=False)
    seen = []

    @event.connect
    def outer(sender):
        seen.append(inner.emit(sender).reason)
        return "outer"

    assert fire(event, "s") == ["outer"]
    assert seen == ["inner"]


def test_group_of_cancels_is_an_error(api, event, fire):
    connect_three(event, kind_of_handler("function", raising(ExceptionGroup("several", [api.Cancel("why")]))))
    with pytest.raises(ExceptionGroup, match="several"):
        fire(event, "s")


def test_one_object_raised_by_several_handlers(api, event, run):
    stop = api.Cancel("stop")

    async def one(sender):
        yield "one"
        await asyncio.sleep(0)
        raise stop

    async def two(sender):
        yield "two"
        raise stop

    event.connect(one)
    event.connect(two)
    results = run(event.emit_async("s"))
    assert (list(results), results.handler, results.reason) == ([["one"], ["two"]], one, "stop")


def test_emission_by_name_and_by_pattern(api, ns, fire):
    @ns.on("order.*")
    def refuse(sender):
        raise api.Cancel("why")

    results = ns.emit("order.placed", "s")
    assert (results.handler, results.event.name, results.reason) == (refuse, "order.placed", "why")


def test_once_and_with_event(api, event, fire):
    def refuse(sender, event):
        raise api.Cancel(event.name)

    event.connect(refuse, once=True, with_event=True)
    assert fire(event, "s").reason == "x"
    assert fire(event, "s") == []


def test_in_an_emission_whose_task_is_cancelled(api, event, run):
    """The cancellation is raised, and the handler's `Cancel` goes nowhere, as its `False` does."""
    seen = []
    event.on_error = lambda *args: seen.append(args)

    @event.connect
    async def handler(sender):
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            raise api.Cancel("why") from None

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context))
        task = asyncio.create_task(event.emit_async("s"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    assert seen == []


@pytest.mark.parametrize("outcome", ["False", "Cancel"])
def test_thread_of_a_cancelled_task(api, event, run, outcome):
    """Once others have cancelled a handler's task, its `Cancel` counts as little as its `False`."""
    begun, released = threading.Event(), threading.Event()

    def handler(sender):
        begun.set()
        assert released.wait(10)
        if outcome == "False":
            return False
        raise api.Cancel("why")

    event.connect(handler, thread=True)

    async def main():
        emission = asyncio.create_task(event.emit_async("s"))
        await asyncio.to_thread(begun.wait, 10)
        (task,) = [task for task in asyncio.all_tasks() if "run_in_thread" in task.get_coro().__qualname__]
        task.cancel()
        await asyncio.sleep(0)
        released.set()
        with pytest.raises(asyncio.CancelledError):
            await emission

    run(main())


def test_task_group_and_timeout_inside_a_handler(api, event, run):
    async def handler(sender):
        async with asyncio.timeout(10):
            await asyncio.sleep(0)
            raise api.Cancel("why")

    event.connect(handler)
    assert run(event.emit_async("s")).reason == "why"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beside", [0, 1])
@pytest.mark.parametrize("thread", [False, True])
def test_under_trio(api, event, kind, beside, thread):
    trio = pytest.importorskip("trio")
    pytest.importorskip("anyio")

    async def generator(sender):
        yield 1
        yield 2
        raise api.Cancel("why")

    async def suspending(sender):
        await trio.sleep(0)
        raise api.Cancel("why")

    handler = kind_of_handler(kind, raising(api.Cancel("why")))
    handler = {"async suspending": suspending, "async generator": generator}.get(kind, handler)

    async def other(sender):
        await trio.sleep(0)
        return "other"

    called = connect_three(event, handler, thread)
    if beside:
        event.connect(other, priority=1)
    results = trio.run(event.emit_async, "s")
    others = ["other"] if beside and (thread or kind not in IN_EMIT) else []
    assert (list(results), results.handler, results.reason) == (["before", *kept_of(kind), *others], handler, "why")
    assert called == ["before"]


# Under `emit`, from a handler that is not awaited


@pytest.mark.parametrize("kind", ASYNC)
@pytest.mark.parametrize("in_loop", [True, False])
def test_scheduled_handler_is_logged_once(api, event, run, caplog, kind, in_loop):
    seen = []
    event.on_error = lambda *args: seen.append(args)
    handler = kind_of_handler(kind, raising(api.Cancel("why")))
    called = connect_three(event, handler)
    caplog.set_level(logging.DEBUG, "cyevents")

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context))
        emit_twice()
        assert await api.drain_async(10)

    def emit_twice():
        assert event.emit("s") == event.emit("s") == ["before", "after"]

    if in_loop:
        run(main())
    else:
        emit_twice()
        assert api.drain(10)
    messages = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "cyevents"]
    text = f"async handler {handler!r} of event 'x' raised Cancel, which cancels in emit_async only: emit does not wait"
    assert messages == [("WARNING", f"{text} for it")]
    assert seen == []
    assert called == ["before", "after"] * 2


# Conditions


def test_condition_that_raises_it_skips_the_handler(api, event, fire, caplog):
    handler = kind_of_handler("function", lambda: "called")

    def condition(sender, **kwargs):
        raise api.Cancel("why")

    event.connect(handler, condition=condition)
    event.connect(kind_of_handler("function", lambda: "next"), weak=False)
    assert fire(event, "s") == ["next"]
    assert "condition of handler" in caplog.text
    seen = []
    event.on_error = lambda error, *rest: seen.append(error.reason)
    assert fire(event, "s") == ["next"]
    assert seen == ["why"]


# `send`, in which nothing cancels


@pytest.mark.parametrize("flagged", [False, True])
def test_send_gives_false_as_for_returning_it(api, event, flagged):
    handler = kind_of_handler("function", raising(api.Cancel("why")))
    called = connect_three(event, handler)
    if flagged:
        event.connect(handler, priority=1, condition=lambda sender, **kwargs: True)
    seen = []
    event.on_error = lambda *args: seen.append(args)
    pairs = event.send("s")
    assert [value for _, value in pairs] == ["before", False, "after"]
    assert pairs[1][0] == handler
    assert (called, seen) == (["before", "after"], [])


def test_blinker_signals_raise_it(api, blinker, run):
    signal = blinker.Signal()
    signal.connect(kind_of_handler("function", raising(api.Cancel("why"))), weak=False)
    with pytest.raises(api.Cancel, match="why"):
        signal.send("s")


# Instruments


def test_trace_shows_it(api, ns):
    def refuse(sender):
        raise api.Cancel("out of stock")

    async def later(sender):
        raise api.Cancel("too late")

    ns.event("x").connect(refuse)
    ns.event("x").connect(print)
    ns.event("y").connect(later)
    with api.trace(ns) as seen:
        ns.emit("x", "s")
        ns.emit("y", "s")
        ns.event("x").send("s")
        assert api.drain(10)
    cancelled, scheduled, sent = seen.emissions
    assert (cancelled.cancelled_by.rpartition(".")[2], cancelled.reason, cancelled.error) == (
        "refuse",
        "'out of stock'",
        None,
    )
    assert (cancelled.calls[0].outcome, cancelled.calls[0].reason) == ("cancelled the rest", "Cancel: out of stock")
    assert cancelled.not_called == ["print"]
    assert (scheduled.cancelled_by, scheduled.reason, scheduled.error) == (None, None, None)
    assert (scheduled.calls[0].outcome, scheduled.calls[0].reason) == ("raised", "Cancel: too late")
    assert [call.outcome for call in sent.calls] == ["raised", "returned"]
    text = str(seen)
    assert "cancelled by refuse: 'out of stock'" in text
    assert "raised Cancel: out of stock: cancelled the rest" in text
    assert seen.to_dict()["emissions"][0]["reason"] == "'out of stock'"
    reasons = {event["args"].get("reason") for event in seen.chrome()["traceEvents"]}
    assert reasons == {None, "'out of stock'", "Cancel: out of stock", "Cancel: too late"}


def test_trace_of_a_false_is_as_before(api, ns):
    ns.event("x").connect(kind_of_handler("function", lambda: False), weak=False)
    with api.trace(ns) as seen:
        ns.emit("x", "s")
    assert "returned False: cancelled the rest" in str(seen)
    assert seen.emissions[0].reason is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["emit_async", "emit"])
def test_spans_see_the_exception(api, ns, run, kind, way):
    instrument = importlib.import_module("cyevents.instrument")
    seen = []

    class Observer(instrument.Instrument, instrument.EmissionSpan, instrument.CallSpan):
        def begin(self, start):
            return self

        def call(self, entry, handler):
            return Call()

        def end(self, results, error):
            seen.append((type(results).__name__, error))

    class Call(instrument.CallSpan):
        def end(self, value, error):
            seen.append((value, error))

    cancel = api.Cancel("why")
    handler = kind_of_handler(kind, raising(cancel))
    ns.event("x").connect(handler)
    with instrument.observe(Observer(), ns):
        if way == "emit":
            ns.emit("x", "s")
            assert api.drain(10)
            if kind in ASYNC:
                assert sorted(seen, key=repr) == sorted([(None, cancel), ("list", None)], key=repr)
                return
        else:
            results = run(ns.emit_async("x", "s"))
            assert (list(results), results.reason) == (kept_of(kind), "why")
    assert seen == [(None, cancel), ("Cancelled", None)]


def test_veto_of_an_instrument_is_raised(api, ns, fire):
    instrument = importlib.import_module("cyevents.instrument")

    class Veto(instrument.Instrument):
        def begin(self, start):
            raise api.Cancel("vetoed")

    called = connect_three(ns.event("x"), print)
    with instrument.observe(Veto(), ns), pytest.raises(api.Cancel, match="vetoed"):
        fire(ns.event("x"), "s")
    assert called == []


# Lifetimes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beside", [0, 1])
def test_cancelled_keeps_no_frame_alive(api, event, run, no_garbage, kind, beside):
    class Local:
        pass

    refs = []

    def outcome():
        local = Local()
        refs.append(weakref.ref(local))
        raise api.Cancel("why") from ValueError()

    event.connect(kind_of_handler(kind, outcome), priority=1, weak=False)
    if beside:
        event.connect(kind_of_handler("async suspending", lambda: "other"), priority=1, weak=False)

    async def main():
        results = await event.emit_async("s")
        return results, [ref() for ref in refs]

    results, alive = run(main())
    assert results.reason == "why"
    assert alive == [None]


@pytest.mark.parametrize("kind", IN_EMIT)
def test_cancelled_of_emit_keeps_no_frame_alive(api, event, no_garbage, kind):
    class Local:
        pass

    refs = []

    def outcome():
        local = Local()
        refs.append(weakref.ref(local))
        raise api.Cancel("why")

    event.connect(kind_of_handler(kind, outcome), weak=False)
    results = event.emit("s")
    assert (results.reason, refs[0]()) == ("why", None)


def test_many_threads_each_get_their_own_reason(api, event):
    @event.connect
    def refuse(sender):
        raise api.Cancel(sender)

    wrong = []

    def emit(number):
        for n in range(200):
            results = event.emit((number, n))
            if results.reason != (number, n):
                wrong.append(results.reason)

    threads = [threading.Thread(target=emit, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
