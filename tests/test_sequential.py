"""`sequential=True`: async handlers are awaited one after the other. `send_async`: their values. `first_async`: one.

That a handler which runs in the emitter's task behaves as in a task of its own: see test_lone_handlers.py.
"""

import asyncio
import contextvars
import gc
import importlib
import inspect
import sys
import threading
import types
import warnings
import weakref

import pytest

TIMEOUT = 30


class Fatal(BaseException):
    pass


@pytest.fixture
def event(api):
    return api.Event("x", sequential=True)


def suspending(result, log=None):
    async def handler(sender, **kwargs):
        if log is not None:
            log.append(("begins", result))
        await asyncio.sleep(0)
        if log is not None:
            log.append(("ends", result))
        if isinstance(result, BaseException):
            raise result
        return result

    return handler


def at_once(result):
    async def handler(sender, **kwargs):
        if isinstance(result, BaseException):
            raise result
        return result

    return handler


def sync(result):
    def handler(sender, **kwargs):
        if isinstance(result, BaseException):
            raise result
        return result

    return handler


def generating(*items, end=None):
    def handler(sender, **kwargs):
        yield from items
        return end

    return handler


def async_generating(*items):
    async def handler(sender, **kwargs):
        for item in items:
            await asyncio.sleep(0)
            yield item

    return handler


def connect_all(event, *handlers, **options):
    for handler in handlers:
        event.connect(handler, weak=False, **options)
    return handlers


def watch_loop():
    seen = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context.get("exception")))
    return seen


def plain_factory(loop, coroutine, **options):
    return asyncio.Task(coroutine, loop=loop, **options)


async def in_cancelled_task(function):
    """Call an async function in a task that is being cancelled, and return what it returns."""
    result = []

    async def main():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            result.append(await function())

    task = asyncio.ensure_future(main())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=TIMEOUT)
    return result[0]


# Where handlers get tasks: in a loop with a task factory, in a task that is being cancelled, deep in other emissions.


@pytest.fixture(params=["here", "factory", "cancelled", "deep"])
def place(request, api, run):
    """Run an async function where its handlers are stepped, or get tasks: `place(function)`."""

    def place(function):
        async def main():
            if request.param == "cancelled":
                return await in_cancelled_task(function)
            if request.param == "factory":
                asyncio.get_running_loop().set_task_factory(plain_factory)
            if request.param != "deep":
                return await function()
            outer, results = api.Event("outer"), []

            @outer.connect
            async def nest(depth):
                if depth:
                    await outer.emit_async(depth - 1)
                else:
                    results.append(await function())

            await outer.emit_async(40)
            return results[0]

        return run(asyncio.wait_for(main(), TIMEOUT))

    place.has_tasks = request.param != "here"
    return place


def test_each_handler_ends_before_the_next_begins(place, event):
    log = []
    connect_all(event, suspending(1, log), sync(2), suspending(3, log), async_generating(4, 5), generating(6))
    event.connect(sync(7), weak=False, thread=True)
    event.connect(generating(8), weak=False, thread=True)
    connect_all(event, suspending(9, log), at_once(10))
    assert place(event.emit_async) == [1, 2, 3, [4, 5], [6], 7, [8], 9, 10]
    assert log == [(word, number) for number in (1, 3, 9) for word in ("begins", "ends")]


def test_threads_take_their_turn(place, event):
    log = []
    done = threading.Event()

    @event.connect(thread=True)
    def in_thread(sender):
        done.wait(0.01)
        log.append("thread")

    connect_all(event, suspending(1, log))
    assert place(event.emit_async) == [1]
    assert log == ["thread", ("begins", 1), ("ends", 1)]


def test_handlers_run_in_the_emitters_task(place, event):
    tasks = []

    async def note(sender):
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        tasks.append(asyncio.current_task())

    connect_all(event, *[types.FunctionType(note.__code__, globals(), closure=note.__closure__) for _ in range(3)])

    async def main():
        await event.emit_async()
        assert (asyncio.current_task() in tasks) is not place.has_tasks
        assert len(set(tasks)) == (3 if place.has_tasks else 1)

    place(main)


@pytest.mark.parametrize("kind", [suspending, at_once, sync])
def test_false_cancels_what_follows(api, place, event, kind):
    connect_all(event, at_once(1))
    (canceller,) = connect_all(event, kind(False))
    connect_all(event, sync(Fatal()), suspending(Fatal()), at_once(Fatal()))
    connect_all(event, sync(Fatal()), priority=-1)
    results = place(event.emit_async)
    assert type(results) is api.Cancelled
    assert results == [1]
    assert results.handler is canceller


@pytest.mark.parametrize("end", [None, False])
def test_generator_in_a_thread_cancels_what_follows(api, place, event, end):
    event.connect(generating(1, end=end), weak=False, thread=True)
    connect_all(event, suspending(2))
    results = place(event.emit_async)
    assert results == ([[1]] if end is False else [[1], 2])
    assert isinstance(results, api.Cancelled) is (end is False)


@pytest.mark.parametrize("kind", [suspending, at_once, sync])
@pytest.mark.parametrize("error", [ValueError(), Fatal()])
def test_exception_stops_at_once(place, event, kind, error):
    connect_all(event, suspending(1), kind(error), sync(AssertionError()), suspending(AssertionError()))

    async def main():
        seen = watch_loop()
        with pytest.raises(type(error)) as caught:
            await event.emit_async()
        await asyncio.sleep(0)
        return caught.value is error, seen

    assert place(main) == (True, [])


@pytest.mark.parametrize("way", ["emit_async", "send_async"])
def test_callable_on_error_goes_on(place, event, way):
    got = []
    event.on_error = lambda error, handler, event, sender: got.append((error, handler))
    errors = [ValueError(number) for number in range(3)]
    failing = connect_all(event, suspending(errors[0]), at_once(errors[1]), sync(errors[2]))
    (last,) = connect_all(event, suspending(1))
    assert place(getattr(event, way)) == ([1] if way == "emit_async" else [(last, 1)])
    assert got == list(zip(errors, failing, strict=True))


@pytest.mark.parametrize("way", ["emit_async", "send_async", "first_async"])
def test_grouped_errors_are_in_order(place, event, way):
    event.on_error = "group"
    errors = [ValueError(number) for number in range(4)]
    connect_all(event, suspending(errors[0]), sync(errors[1]), at_once(errors[2]))
    event.connect(sync(errors[3]), weak=False, thread=True)
    connect_all(event, suspending("answer"))

    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            await getattr(event, way)()
        return list(caught.value.exceptions)

    assert place(main) == errors


def test_handlers_share_no_context(place, event):
    variable = contextvars.ContextVar("variable", default="unset")
    seen = []

    @event.connect
    async def first(sender):
        variable.set("first")
        await asyncio.sleep(0)
        seen.append(variable.get())

    @event.connect
    async def second(sender):
        seen.append(variable.get())

    async def main():
        await event.emit_async()
        seen.append(variable.get())

    place(main)
    assert seen == ["first", "unset", "unset"]


def test_cancellation_ends_the_running_handler_and_calls_no_other(place, event):
    log = []

    @event.connect
    async def endless(sender):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            log.append("cleaned up")

    connect_all(event, suspending("next", log))

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await event.emit_async()

    place(main)
    assert log == ["cleaned up"]


@pytest.mark.parametrize("way", ["emit_async", "send_async", "first_async"])
def test_nested_deeply(api, run, way):
    event = api.Event("x", sequential=True)

    @event.connect
    async def nothing(sender):
        await asyncio.sleep(0)

    @event.connect
    async def count_down(sender):
        if not sender:
            return 0
        result = await getattr(event, way)(sender - 1)
        return (
            1
            + {"emit_async": lambda: result[0], "send_async": lambda: result[1][1], "first_async": lambda: result}[
                way
            ]()
        )

    result = run(getattr(event, way)(200))
    assert result == {"emit_async": [200], "send_async": [(nothing, None), (count_down, 200)], "first_async": 200}[way]


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # the innermost one, if observed
def test_runaway_recursion_is_an_error(api, run):
    event = api.Event("x", sequential=True)

    @event.connect
    async def again(sender):
        await event.send_async()

    with pytest.raises(RecursionError):
        run(event.send_async())
    gc.collect()  # the innermost coroutine, while its warning is ignored


def test_leaves_no_reference_cycle(run, event, no_garbage):
    class Sender:
        pass

    connect_all(event, suspending(1), at_once(2), suspending(ValueError()))

    async def emit(way):
        sender = Sender()
        try:
            await getattr(event, way)(sender)
        except ValueError as error:
            error.__traceback__ = None
        return weakref.ref(sender)

    async def main():
        for way in ("emit_async", "send_async", "first_async"):
            gone = await emit(way)
            await asyncio.sleep(0)
            assert gone() is None, way

    run(main())
    assert not gc.isenabled()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="no eager tasks")
def test_eager_factory_awaits_each(run, event):
    log = []
    connect_all(event, suspending(1, log), at_once(2), suspending(3, log), at_once(False), suspending(4, log))

    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        return await event.emit_async()

    assert run(main()) == [1, 2, 3]
    assert log == [(word, number) for number in (1, 3) for word in ("begins", "ends")]


# What decides


def test_setting_and_namespace(api, run):
    order = []

    async def slow(sender):
        await asyncio.sleep(0)
        order.append("slow")

    async def fast(sender):
        order.append("fast")

    def is_sequential(event):
        order.clear()
        for handler in (slow, fast):
            event.connect(handler)
        run(event.emit_async())
        return order == ["slow", "fast"]

    ns = api.Namespace()
    event = ns.event("x")
    assert (event.sequential, ns.sequential) == (None, False)
    assert not is_sequential(event)
    ns.sequential = True
    assert event.sequential is None
    assert is_sequential(event)
    event.sequential = False
    assert not is_sequential(event)
    ns.sequential = False
    event.sequential = True
    assert is_sequential(event)
    event.sequential = None
    assert not is_sequential(event)
    assert is_sequential(api.Namespace(sequential=True).event("x"))
    assert not is_sequential(api.Namespace(sequential=True).event("x", sequential=False))
    assert is_sequential(api.Event("x", sequential=True))
    assert not is_sequential(api.Event("x", sequential=False))
    assert not is_sequential(api.Event("x"))


def test_event_leaves_what_it_has(api, ns):
    event = ns.event("x", sequential=True)
    assert ns.event("x").sequential is True
    assert ns.event("x", sequential=None).sequential is True
    assert ns.event("x", sequential=False) is event
    assert event.sequential is False
    assert api.event("x", sequential=True).sequential is True


def test_handlers_of_patterns_follow_the_event(ns, run):
    log = []
    connect_all(ns.event("x*"), suspending(1, log), suspending(2, log))
    run(ns.event("x1", sequential=True).emit_async())
    assert log == [("begins", 1), ("ends", 1), ("begins", 2), ("ends", 2)]
    log.clear()
    run(ns.event("x2").emit_async())
    assert log == [("begins", 1), ("begins", 2), ("ends", 1), ("ends", 2)]
    log.clear()
    ns.sequential = True
    run(ns.emit_async("x3"))  # which nobody has made
    assert log == [("begins", 1), ("ends", 1), ("begins", 2), ("ends", 2)]


@pytest.mark.parametrize("value", [1, 0, "yes", [], 1.0])
def test_wrong_types_are_refused(api, ns, value):
    event = ns.event("x")
    text = "sequential must be True, False or None, not " + repr(value).replace("[", r"\[")
    with pytest.raises(TypeError, match=text):
        api.Event("x", sequential=value)
    with pytest.raises(TypeError, match=text):
        ns.event("y", sequential=value)
    assert "y" not in ns
    with pytest.raises(TypeError, match=text):
        event.sequential = value
    assert event.sequential is None
    with pytest.raises(TypeError, match="sequential must be True or False"):
        api.Namespace(sequential=value)
    with pytest.raises(TypeError, match="sequential must be True or False"):
        ns.sequential = value
    with pytest.raises(TypeError, match="sequential must be True or False"):
        ns.sequential = None
    assert ns.sequential is False


def test_pattern_refuses_it(ns):
    class Text(str):
        pass

    for name in ("x*", Text("x*")):
        for value in (True, False):
            with pytest.raises(ValueError, match="sequential cannot be set for a pattern"):
                ns.event(name, sequential=value)
    pattern = ns.event("x*", sequential=None)
    assert pattern.sequential is None
    with pytest.raises(ValueError, match="sequential cannot be set for a pattern"):
        pattern.sequential = True
    pattern.sequential = None
    with pytest.raises(TypeError):
        pattern.sequential = 5


def test_cached_event_with_an_order_stays(api, ns):
    connect_all(ns.event("x.*"), sync(None))
    seen = []
    ns.event("x.*").connect(lambda sender, event: seen.append(event), weak=False, with_event=True)
    ns.emit("x.1")
    seen[0].sequential = True
    name = seen.pop().name
    for number in range(5000):
        ns.emit(f"x.other.{number}")
    seen.clear()
    gc.collect()
    ns.emit(name)
    assert seen[0].sequential is True


def test_isolation_restores_it(api, ns, testing):
    event = ns.event("x")
    other = ns.event("y", sequential=False)
    ns.event("x*")
    with testing.Isolation(ns):
        ns.sequential = event.sequential = other.sequential = True
    assert (ns.sequential, event.sequential, other.sequential) == (False, None, False)


def test_emit_schedules_as_ever(api, event, run):
    log = []
    connect_all(event, suspending(1, log), suspending(2, log))

    async def main():
        assert event.emit() == []
        await api.drain_async()

    run(main())
    assert log == [("begins", 1), ("begins", 2), ("ends", 1), ("ends", 2)]


def test_describe_shows_it(api):
    ns = api.Namespace(sequential=True)
    ns.event("one", doc="The first.")
    ns.event("other", sequential=False)
    connect_all(ns.event("z*"), sync(1))
    graph = api.describe(ns)
    assert graph.sequential is True
    assert [node.sequential for node in graph.events] == [None, False]
    assert str(graph).splitlines()[0] == "one  sequential  The first."
    assert str(graph).count("  sequential") == 1
    assert graph.to_dict()["events"][1]["sequential"] is False


# send_async


@pytest.mark.parametrize("sequential", [False, True])
def test_send_async_gives_every_value(api, place, sequential):
    event = api.Event("x", sequential=sequential)
    values = [None, False, 0, 1, "text", [2], {}, object()]
    handlers = [kind(value) for value in values for kind in (sync, at_once, suspending)]
    connect_all(event, *handlers)
    expected = [
        (handler, value) for handler, value in zip(handlers, [v for v in values for _ in range(3)], strict=True)
    ]
    low = connect_all(event, suspending(False), sync("low"), priority=-1)
    assert place(event.send_async) == [*expected, (low[0], False), (low[1], "low")]
    assert type(place(event.send_async)) is list


@pytest.mark.parametrize("sequential", [False, True])
def test_send_async_consumes_no_generator(api, place, sequential):
    event = api.Event("x", sequential=sequential)
    handlers = connect_all(event, generating(1), async_generating(2))
    threaded = generating(3)
    event.connect(threaded, weak=False, thread=True)
    pairs = place(event.send_async)
    assert [handler for handler, _ in pairs] == [*handlers, threaded]
    assert [type(value) for _, value in pairs] == [
        types.GeneratorType,
        types.AsyncGeneratorType,
        types.GeneratorType,
    ]
    assert [list(pairs[0][1]), list(pairs[2][1])] == [[1], [3]]


@pytest.mark.parametrize("sequential", [False, True])
def test_send_async_awaits_what_threads_return(api, place, sequential):
    event = api.Event("x", sequential=sequential)

    class Owner:
        def __call__(self, sender):
            return at_once("awaited")(sender)

    owner = Owner()
    failing = sync(None)
    event.connect(owner, thread=True)
    event.connect(failing, thread=True)
    event.connect(async_generating(1), thread=True, weak=False)
    pairs = place(event.send_async)
    assert pairs[:2] == [(owner, "awaited"), (failing, None)]
    assert type(pairs[2][1]) is types.AsyncGeneratorType


def test_send_async_runs_one_priority_concurrently(api, run):
    event = api.Event("x")
    log = []
    handlers = connect_all(event, suspending(1, log), suspending(2, log))
    low = connect_all(event, suspending(3, log), priority=-1)
    assert run(event.send_async()) == list(zip([*handlers, *low], [1, 2, 3], strict=True))
    assert log == [("begins", 1), ("begins", 2), ("ends", 1), ("ends", 2), ("begins", 3), ("ends", 3)]


def test_send_async_honours_once_conditions_and_senders(api, run):
    event = api.Event("x")
    handlers = [at_once(number) for number in range(4)]
    event.connect(handlers[0], once=True)
    event.connect(handlers[1], condition=lambda sender, **kwargs: kwargs["go"])
    event.connect(handlers[2], sender="ada")

    async def with_event(sender, event, **kwargs):
        return event

    event.connect(with_event, with_event=True)
    event.connect(handlers[3], weak=False)
    expected = [(handlers[0], 0), (handlers[1], 1), (with_event, event), (handlers[3], 3)]
    assert run(event.send_async("bob", go=True)) == expected
    with event.muted(handlers[3]):
        assert run(event.send_async("ada", go=False)) == [(handlers[2], 2), (with_event, event)]


def test_send_async_of_methods_gives_what_can_be_disconnected(api, run):
    class Owner:
        async def method(self, sender):
            return sender

    event, owner = api.Event("x"), Owner()
    event.connect(owner.method)
    ((handler, value),) = run(event.send_async(1))
    assert (handler, value) == (owner.method, 1)
    assert event.disconnect(handler)


@pytest.mark.parametrize("way", ["send_async", "first_async"])
def test_arguments_that_do_not_fit(api, run, way):
    event = api.Event("x", on_error="group")

    @event.connect
    async def takes_nothing():
        pass

    @event.connect
    def takes_too_little(sender):
        pass

    with pytest.raises(ExceptionGroup) as caught:
        run(getattr(event, way)(1, 2))
    assert [type(error) for error in caught.value.exceptions] == [TypeError] * 2
    assert all("of event 'x'" in error.__notes__[0] for error in caught.value.exceptions)


# first_async


@pytest.mark.parametrize("kind", [sync, at_once, suspending])
@pytest.mark.parametrize("value", [0, "", "answer", True, []])
def test_first_async_returns_what_is_not_none(place, api, kind, value):
    event = api.Event("x")
    connect_all(event, at_once(None), suspending(None), sync(None), kind(value), sync(Fatal()), at_once(Fatal()))
    assert place(event.first_async) is value


@pytest.mark.parametrize("thread", [False, True])
def test_first_async_takes_the_list_of_a_generator(place, api, thread):
    for items in ([], [None], [1, None, False]):
        for kind in (generating, async_generating):
            event = api.Event("x")
            connect_all(event, suspending(None))
            event.connect(kind(*items), weak=False, thread=thread)
            connect_all(event, sync(Fatal()))
            assert place(event.first_async) == [item for item in items if item is not None]


def test_first_async_gives_the_default(place, api):
    default = object()
    event = api.Event("x")

    async def main():
        assert await event.first_async() is None
        assert await event.first_async(default=default) is default
        connect_all(event, at_once(None), suspending(None), sync(None))
        event.connect(sync(None), weak=False, thread=True)
        assert await event.first_async("ada", key=2) is None
        return await event.first_async(default=default)

    assert place(main) is default


@pytest.mark.parametrize("kind", [sync, at_once, suspending, generating])
def test_cancelled_first_async_gives_the_default(place, api, kind):
    event = api.Event("x")
    connect_all(event, suspending(None), generating(1, end=False) if kind is generating else kind(False))
    connect_all(event, sync(Fatal()), priority=-1)
    assert place(lambda: event.first_async(default="default")) == "default"


def test_first_async_passes_other_keywords(api, run):
    event = api.Event("x")

    @event.connect
    async def handler(sender, *args, **kwargs):
        return sender, args, kwargs

    names = dict.fromkeys(("self", "event", "plan", "mode", "args", "kwargs"), 1)
    assert run(event.first_async("ada", 1, 2, default=3, **names)) == ("ada", (1, 2), names)
    assert run(event.first_async(sender="ada")) == ("ada", (), {})
    assert run(event.first_async()) == (api.ANY, (), {})


def test_first_async_leaves_the_rest_alone(api, run):
    event = api.Event("x")
    asked = []
    connect_all(event, suspending("answer"))
    late = at_once("late")
    event.connect(late, once=True, condition=lambda sender: asked.append(sender) or True)
    assert run(event.first_async()) == "answer"
    assert asked == []
    assert event.is_connected(late)


@pytest.mark.parametrize("kind", [sync, at_once, suspending])
def test_first_async_raises_what_handlers_raise(place, api, kind):
    event = api.Event("x")
    connect_all(event, kind(ValueError("given")), sync("answer"))

    async def main():
        with pytest.raises(ValueError, match="given"):
            await event.first_async()
        event.on_error = lambda *args: None
        return await event.first_async()

    assert place(main) == "answer"


# Both, as other methods


WAYS = ["send_async", "first_async"]


@pytest.mark.parametrize("way", WAYS)
def test_are_coroutine_functions(api, ns, way):
    for owner in (api.Event("x"), ns.event("x*"), api.Event):
        assert inspect.iscoroutinefunction(getattr(owner, way))
    with pytest.raises(ValueError, match="is a pattern and cannot be emitted"):
        getattr(ns.event("x*"), way)()
    with pytest.warns(RuntimeWarning, match=rf"coroutine 'Event\.{way}' was never awaited"):
        getattr(api.Event("x"), way)()
        gc.collect()


@pytest.mark.parametrize("way", WAYS)
def test_need_a_running_loop(api, way):
    event = api.Event("x")
    connect_all(event, at_once(1))
    coroutine = getattr(event, way)()
    with pytest.raises(RuntimeError, match="no running event loop"):
        coroutine.send(None)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_run_on_other_loops(api, way, library):
    anyio = pytest.importorskip("anyio")
    pytest.importorskip(library)
    event = api.Event("x", sequential=True)
    log = []

    async def one(sender):
        log.append("one begins")
        await anyio.sleep(0)
        log.append("one ends")

    async def two(sender):
        log.append("two")
        return False if way == "send_async" else 2

    connect_all(event, one)
    event.connect(sync(None), weak=False, thread=True)
    connect_all(event, two, async_generating() if way == "send_async" else sync(Fatal()))
    result = anyio.run(getattr(event, way), backend=library)
    assert log == ["one begins", "one ends", "two"]
    if way == "first_async":
        assert result == 2
    else:
        assert [value for _, value in result[:3]] == [None, None, False]
        assert type(result[3][1]) is types.AsyncGeneratorType


@pytest.mark.parametrize("sequential", [False, True])
def test_observed_emissions_give_the_same(api, place, sequential):
    instrument = importlib.import_module("cyevents.instrument")
    seen = []

    class Call(instrument.CallSpan):
        def end(self, value, error):
            seen.append(("call", value))

    class Seeing(instrument.Instrument, instrument.EmissionSpan):
        def begin(self, start):
            seen.append(start.way)
            return self

        def call(self, entry, handler):
            return Call()

        async def wait_done(self):
            seen.append("done")

        def end(self, results, error):
            seen.append(results)

    event = api.Event("x", sequential=sequential)
    handlers = connect_all(event, suspending(None), generating(1), at_once(2))
    scope = instrument.observe(Seeing(), event)
    pairs = place(event.send_async)
    assert [handler for handler, _ in pairs] == list(handlers)
    assert [pairs[0][1], type(pairs[1][1]), pairs[2][1]] == [None, types.GeneratorType, 2]
    assert seen[0] == "send_async"
    assert sorted(map(repr, seen[1:4])) == sorted(map(repr, [("call", value) for _, value in pairs]))
    assert seen[4:] == ["done", pairs]
    seen.clear()
    assert place(event.first_async) == [1]
    assert seen == ["first_async", ("call", None), ("call", None), "done", [[1]]]
    seen.clear()
    event.disconnect(handlers[1])
    event.disconnect(handlers[2])
    assert place(lambda: event.first_async(default=3)) == 3
    assert seen[-1] == []
    scope.stop()


def test_trace_shows_them(api, run):
    event = api.Event("x", sequential=True)

    @event.connect
    async def one(sender):
        return 1

    @event.connect
    async def two(sender):
        return 2

    with api.trace(event) as seen:
        run(event.send_async())
        run(event.first_async())
    sending, asking = seen.emissions
    assert (sending.way, [call.value for call in sending.calls]) == ("send_async", ["1", "2"])
    assert (asking.way, [call.value for call in asking.calls]) == ("first_async", ["1"])
    assert [name.rpartition(".")[2] for name in asking.not_called] == ["two"]
    assert "first_async" in str(seen)


@pytest.mark.parametrize("way", WAYS)
def test_unawaited_coroutine_does_nothing(api, run, way):
    called = []
    event = api.Event("x")
    event.connect(called.append, weak=False, once=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(event, way)().close()
    assert called == []
    assert event.is_connected(called.append)


# `raise Cancel`


@pytest.mark.parametrize("kind", [sync, at_once, suspending])
@pytest.mark.parametrize("thread", [False, True])
def test_cancel_raised_one_by_one(api, place, kind, thread):
    event = api.Event("x", sequential=True)
    connect_all(event, suspending(1))
    canceller = kind(api.Cancel("reason"))
    event.connect(canceller, thread=thread)
    connect_all(event, sync(Fatal()), suspending(Fatal()))
    results = place(event.emit_async)
    assert (results, results.handler, results.reason) == ([1], canceller, "reason")
    assert place(lambda: event.first_async(default="default")) == 1
    event.disconnect(event.handlers[0].handler)
    assert place(lambda: event.first_async(default="default")) == "default"


@pytest.mark.parametrize("kind", [sync, at_once, suspending])
@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("thread", [False, True])
def test_cancel_in_send_async_is_the_value_false(api, place, kind, sequential, thread):
    event = api.Event("x", sequential=sequential)
    (first,) = connect_all(event, suspending(1))
    canceller = kind(api.Cancel("reason"))
    event.connect(canceller, thread=thread)
    (last,) = connect_all(event, suspending(2), priority=-1)
    assert place(event.send_async) == [(first, 1), (canceller, False), (last, 2)]
