"""`on` and `namespace.connect` take several events, and `wait_any` waits for the first of several emissions."""

import asyncio
import gc
import inspect
import re
import threading
import warnings
import weakref

import pytest

anyio = pytest.importorskip("anyio")
pytest.importorskip("trio")


def handler(sender, **kwargs):
    return sender


# Connecting


@pytest.fixture(params=["on", "connect"])
def join(request):
    """Connect a handler to events in either way: `join(ns, events, handler, ...)`."""
    if request.param == "on":
        return lambda ns, events, handler, *args, **options: ns.on(events, *args, **options)(handler)
    return lambda ns, events, handler, *args, **options: ns.connect(events, handler, *args, **options)


def test_several_events_in_a_list_or_a_tuple(api, ns, join):
    other = api.Event("other")
    for kind in (list, tuple):
        assert join(ns, kind(["a", "b*", other]), handler) is handler
        assert ns.emit("a", 1) + ns.emit("b7", 2) + other.emit(3) == [1, 2, 3]
        assert list(ns) == ["a"]
        assert all(event.disconnect(handler) for event in (ns["a"], ns.event("b*"), other))


def test_one_event(api, ns, join):
    other = api.Event("other")
    for event in ("a", "b*", other):
        assert join(ns, event, handler) is handler
    assert ns.emit("a", 1) + ns.emit("b7", 2) + other.emit(3) == [1, 2, 3]


def test_options_hold_for_each_event(ns, join):
    def takes_event(sender, event):
        return event.name

    join(ns, ["a", "b"], takes_event, "me", True, 5, once=True, with_event=True)
    for name in ("a", "b"):
        assert [connection.priority for connection in ns[name].handlers] == [5]
        assert ns.emit(name, "you") == []
        assert ns.emit(name, "me") == [name]
        assert ns.emit(name, "me") == []


def test_duplicates_are_harmless(ns, join):
    event = ns.event("a")
    join(ns, ["a", event, "a", "*", "*"], handler)
    assert ns.emit("a", 1) == [1]
    assert len(event.handlers) == 2


def test_an_empty_list_is_refused(ns, join):
    for empty in ([], ()):
        with pytest.raises(ValueError, match=re.escape(f"at least one event must be given, not {empty!r}")):
            join(ns, empty, handler)


def test_wrong_options_change_nothing(ns, join):
    for options in ({"priority": "5"}, {"weak": 1}, {"condition": 5}):
        with pytest.raises(TypeError):
            join(ns, ["a", "b"], handler, **options)
    with pytest.raises(TypeError, match="a handler must be callable, not 5"):
        join(ns, ["a", "b"], 5)
    assert list(ns) == []


def test_undeclared_name_changes_nothing(api, join):
    strict = api.Namespace(strict=True)
    strict.event("order.paid")
    with pytest.raises(LookupError, match="did you mean 'order.paid'"):
        join(strict, ["order.paid", "order.*", "order.piad"], handler)
    assert strict["order.paid"].handlers == []
    join(strict, ["order.paid", "order.*"], handler)
    assert len(strict["order.paid"].handlers) == 2


def test_event_that_refuses_the_handler_undoes_the_others(ns, join):
    def takes_nothing(sender):
        pass

    def previous(sender):
        pass

    ns.event("checked", signature=lambda sender, amount: None, check=True)
    ns.connect("a", takes_nothing, priority=3)
    ns.connect("a", previous)
    with pytest.raises(TypeError, match="takes_nothing"):
        join(ns, ["a", "b", "checked"], takes_nothing)
    assert [(each.handler, each.priority) for each in ns["a"].handlers] == [(takes_nothing, 3), (previous, 0)]
    assert ns["b"].handlers == ns["checked"].handlers == []


def test_warning_as_an_error_connects_nothing(ns, join):
    def takes_self(self):
        pass

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="takes self"):
            join(ns, ["a", "b"], takes_self)
    assert ns["a"].handlers == ns["b"].handlers == []


def test_discarded_decorator_names_its_events(api, ns):
    def discard():
        ns.on(["a", api.Event("other")])

    with pytest.warns(RuntimeWarning, match=r"on\(...\) of events 'a', 'other' returned a decorator") as caught:
        discard()
    assert caught[0].lineno == discard.__code__.co_firstlineno + 1


def test_connected_lambda_that_dies_at_once_warns_once(ns):
    def connect():
        ns.connect(["a", "b"], lambda sender: 1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        connect()
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, connect.__code__.co_firstlineno + 1)]
    assert "was garbage-collected at once" in str(caught[0].message)
    assert ns["a"].handlers == ns["b"].handlers == []


def test_module_functions_take_lists_too(api):
    @api.on(["a", "b"])
    def note(sender):
        return sender

    assert api.emit("a", 1) + api.emit("b", 2) == [1, 2]
    assert not hasattr(api, "connect")


def test_connect_needs_a_handler(ns):
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'receiver'"):
        ns.connect("a")


def test_names_of_str_subclasses(ns, join):
    class Name(str):
        __slots__ = ()
        __hash__ = None

        def __eq__(self, other):
            raise AssertionError

    join(ns, [Name("a"), Name("b")], handler)
    assert [type(name) for name in ns] == [str, str]


# wait_any


@pytest.fixture(params=["asyncio", "trio"])
def run(request):
    """Run an async function until it ends: `run(main)`."""

    async def guarded(main):
        with anyio.fail_after(30):
            return await main()

    return lambda main: anyio.run(guarded, main, backend=request.param)


@pytest.fixture
def two(api):
    """Return two events, and check at the end that nothing is connected to them."""
    events = api.Event("a"), api.Event("b")
    yield events
    gc.collect()
    assert [event.handlers for event in events] == [[], []]


async def ticks():
    for _ in range(5):
        await anyio.sleep(0)


def test_first_emission_is_returned(api, two, run):
    a, b = two

    async def main():
        async def emit():
            await ticks()
            assert b.emit("sender", 1, key=2) == []
            assert a.handlers != [] == b.handlers
            a.emit("too late")

        async with anyio.create_task_group() as group:
            group.start_soon(emit)
            emission = await api.wait_any(a.wait(), b.wait())
        assert (emission.event, emission.sender, emission.args, emission.kwargs) == (b, "sender", (1,), {"key": 2})
        assert a.handlers == b.handlers == []

    run(main)


def test_emissions_before_the_await_count_in_their_order(api, two, run):
    a, b = two

    async def main():
        waits = a.wait(), b.wait()
        b.emit("early")
        waiting = api.wait_any(*waits)
        a.emit("late")
        assert (await waiting).sender == "early"

    run(main)


def test_emissions_of_one_turn_come_in_their_order(api, two, run):
    a, b = two

    async def main():
        async def emit():
            await ticks()
            b.emit("first")
            a.emit("second")

        async with anyio.create_task_group() as group:
            group.start_soon(emit)
            assert (await api.wait_any(a.wait(), b.wait())).sender == "first"

    run(main)


def test_emission_of_another_thread(api, two, run):
    a, b = two

    async def main():
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, lambda: (a.emit(1), b.emit(2)))
            assert (await api.wait_any(b.wait(), a.wait())).sender == 1

    run(main)


@pytest.mark.slow
def test_many_threads_emit(api, run):
    events = [api.Event(f"e{number}") for number in range(8)]

    async def main():
        for _ in range(20):
            waiting = api.wait_any(*[event.wait() for event in events])
            threads = [threading.Thread(target=event.emit, args=(event.name,)) for event in events]
            for thread in threads:
                thread.start()
            emission = await waiting
            assert emission.sender == emission.event.name
            for thread in threads:
                thread.join()
            assert [event.handlers for event in events] == [[]] * 8

    run(main)


def test_one_wait_and_the_same_one_twice(api, two, run):
    a, _ = two

    async def main():
        waiting = api.wait_any(a.wait())
        a.emit(1)
        assert (await waiting).sender == 1
        wait = a.wait()
        waiting = api.wait_any(wait, wait)
        a.emit(2)
        assert (await waiting).sender == 2

    run(main)


def test_waits_may_be_nested(api, two, run):
    a, b = two

    async def main():
        waiting = api.wait_any(api.wait_any(a.wait(), b.wait(timeout=0)), api.Event("c").wait())
        b.emit(1)
        assert (await waiting).sender == 1

    run(main)


def test_patterns_senders_and_conditions(api, ns, run):
    async def main():
        waiting = api.wait_any(
            ns.event("order.*").wait("me"), ns.event("x").wait(condition=lambda sender, *, n: n > 1, priority=2)
        )
        ns.emit("order.paid", "you")
        ns.emit("x", n=1)
        ns.emit("order.paid", "me")
        emission = await waiting
        assert (emission.name, emission.sender) == ("order.paid", "me")
        assert ns["x"].handlers == ns.event("order.*").handlers == []

    run(main)


@pytest.mark.parametrize("timeouts", [(0.01, None), (30, 0.01), (0, 30), (30, -1)])
def test_first_timeout_ends_all(api, two, run, timeouts):
    a, b = two

    async def main():
        expected = min((timeout, name) for timeout, name in zip(timeouts, "ab", strict=True) if timeout is not None)
        with pytest.raises(TimeoutError, match=f"'{expected[1]}' was not emitted within {expected[0]} seconds"):
            await api.wait_any(a.wait(timeout=timeouts[0]), b.wait(timeout=timeouts[1]))
        assert a.handlers == b.handlers == []

    run(main)


@pytest.mark.parametrize("timeout", [0, 30])
def test_emission_before_the_timeout_is_returned(api, two, run, timeout):
    a, b = two

    async def main():
        waiting = api.wait_any(a.wait(timeout=timeout), b.wait())
        b.emit(1)
        assert (await waiting).sender == 1

    run(main)


def test_cleared_event_ends_all(api, two, run):
    a, b = two

    async def main():
        async def clear():
            await ticks()
            b.clear()

        async with anyio.create_task_group() as group:
            group.start_soon(clear)
            with pytest.raises(RuntimeError, match="'b' was cleared while it was waited for"):
                await api.wait_any(a.wait(), b.wait())
        assert a.handlers == []

    run(main)


def test_cancelled_wait_leaves_nothing_connected(api, two, run):
    a, b = two

    async def main():
        with anyio.move_on_after(0.005) as scope:
            await api.wait_any(a.wait(), b.wait(timeout=30))
        assert scope.cancelled_caught
        assert a.handlers == b.handlers == []

    run(main)


def test_task_cancelled_before_its_start(api, two):
    async def main():
        task = asyncio.create_task(api.wait_any(*[event.wait() for event in two]))
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert [event.handlers for event in two] == [[], []]

    asyncio.run(main())


@pytest.mark.parametrize("end", ["close", "throw", "forget"])
def test_unawaited_wait_leaves_nothing_connected(api, two, recwarn, end):
    a, b = two
    waiting = api.wait_any(a.wait(), b.wait())
    assert len(a.handlers) == len(b.handlers) == 1
    if end == "close":
        waiting.close()
    elif end == "throw":
        with pytest.raises(ValueError) as caught:  # it holds the frames
            waiting.throw(ValueError())
        assert caught
    else:
        del waiting
        gc.collect()
        assert str(recwarn.pop(RuntimeWarning).message) == "coroutine 'wait_any' was never awaited"  # it holds that
    assert a.handlers == b.handlers == []
    assert list(recwarn) == []


def test_only_waits_are_taken(api, two, recwarn):
    a, b = two

    async def coroutine():
        pass

    other = coroutine()
    for wrong in (None, a, a.wait, a.stream(), other, "a", [a.wait()]):
        with pytest.raises(TypeError, match=r"wait_any\(\) takes the results of Event.wait\(\), not "):
            api.wait_any(b.wait(), wrong)
        assert b.handlers == []
    other.close()
    wrong[0].close()
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        api.wait_any()
    del wrong
    gc.collect()
    assert list(recwarn) == []


def test_ended_waits_are_refused(api, two, run):
    a, b = two

    async def main():
        done = a.wait()
        a.emit(1)
        await done
        closed = a.wait()
        closed.close()
        taken = a.wait()
        waiting = api.wait_any(taken)
        for ended in (done, closed, taken):
            with pytest.raises(RuntimeError, match="takes waits that were not awaited or closed"):
                api.wait_any(b.wait(), ended)
            assert b.handlers == []
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await taken
        a.emit(2)
        assert (await waiting).sender == 2

    run(main)


def test_without_a_loop(api, two):
    waiting = api.wait_any(*[event.wait() for event in two])
    with pytest.raises(RuntimeError, match="no running event loop"):
        waiting.send(None)
    assert [event.handlers for event in two] == [[], []]


def test_closed_loop_leaves_nothing_connected(api, two):
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    task = loop.create_task(api.wait_any(*[event.wait() for event in two]))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    for event in two:
        assert len(event.handlers) == 1  # the closed loop is not noticed yet
        event.emit(1)
        assert event.handlers == []
    del task


def test_is_a_coroutine_function(api, two):
    assert inspect.iscoroutinefunction(api.wait_any)
    assert api.wait_any.__name__ == "wait_any"


def test_events_and_senders_are_freed(api, run):
    class Sender:
        pass

    async def main():
        event, sender = api.Event("a"), Sender()
        waiting = api.wait_any(event.wait(sender), event.wait())
        gone = weakref.ref(event), weakref.ref(sender)
        event.emit(sender)
        await waiting
        del event, sender, waiting
        gc.collect()
        assert [ref() for ref in gone] == [None, None]

    run(main)
