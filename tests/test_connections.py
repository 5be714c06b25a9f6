"""When emissions see changes to connections, and temporary connections: once, subscribe, muted, connected_to."""

import asyncio
import contextlib
import functools
import importlib
import itertools
import threading
import weakref

import pytest

TIMEOUT = 30


@pytest.fixture
def event(ns):
    return ns.event("x")


def returning(name):
    def handler(sender, **kwargs):
        return name

    handler.__qualname__ = name
    return handler


def list_options(event):
    """Return every field of every connection in `handlers`."""
    return [
        tuple(
            getattr(connection, what)
            for what in (
                "handler",
                "sender",
                "priority",
                "condition",
                "weak",
                "once",
                "kind",
                "with_event",
                "thread",
                "pattern",
            )
        )
        for connection in event.handlers
    ]


def in_thread(function):
    """Run a function in another thread and return its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    assert results, "the thread is blocked"
    return results[0]


# Snapshots


def test_handler_connected_during_emission_is_not_called(event, target, fire):
    late = returning("late")

    def connect(sender):
        target.connect(late)
        target.connect(late, sender)
        return "first"

    target.connect(connect)
    assert fire(event, "s") == ["first"]
    assert fire(event, "s") == ["first", "late"]


@pytest.mark.parametrize("special", [False, True], ids=["any sender", "sender"])
@pytest.mark.parametrize("way", ["disconnect", "clear"])
def test_handler_disconnected_before_its_turn_is_not_called(api, event, target, fire, way, special):
    late = returning("late")

    def change(sender):
        target.clear() if way == "clear" else target.disconnect(late)
        return "first"

    target.connect(change)
    target.connect(late, "s" if special else api.ANY)
    assert fire(event, "s") == ["first"]
    assert late not in [connection.handler for connection in event.handlers]


def test_handler_that_disconnects_itself_runs_to_its_end(event, target, fire):
    def handler(sender):
        assert target.disconnect(handler)
        return "done"

    late = returning("late")
    target.connect(handler)
    target.connect(late)
    assert fire(event, 1) == ["done", "late"]
    assert fire(event, 1) == ["late"]


@pytest.mark.parametrize("dies", ["handler", "method"])
def test_handler_dead_before_its_turn_is_not_called(event, target, fire, collect, dies):
    class Owner:
        def method(self, sender):
            return "dead"

    owners = [Owner() if dies == "method" else returning("dead")]

    def kill(sender):
        owners.clear()
        collect()
        return "first"

    target.connect(kill)
    target.connect(owners[0].method if dies == "method" else owners[0])
    assert fire(event, 1) == ["first"]


def test_sender_survives_its_own_emission(event, fire, collect):
    class Sender:
        pass

    late = returning("late")
    holder = [Sender()]

    def kill(sender):
        holder.clear()
        collect()

    event.connect(kill)
    event.connect(late, holder[0])
    assert fire(event, holder[0]) == ["late"]


@pytest.mark.parametrize("priority", [9, 0, -9])
def test_reconnecting_keeps_the_handler_in_an_emission(event, target, fire, priority):
    late = returning("late")

    def reconnect(sender):
        target.connect(late, priority=priority)
        target.connect(reconnect, priority=priority)
        return "first"

    target.connect(reconnect, priority=1)
    target.connect(late)
    assert fire(event, 1) == ["first", "late"]


def test_emission_uses_the_options_from_its_start(event, target, fire):
    late = returning("late")

    def reconnect(sender):
        target.connect(late, condition=lambda sender: False)

    target.connect(reconnect)
    target.connect(late)
    assert fire(event, 1) == ["late"]
    assert fire(event, 1) == []


def test_handler_reconnected_after_its_call_is_not_repeated(event, target, fire):
    first = returning("first")

    def reconnect(sender):
        target.connect(first, priority=-1)

    target.connect(first)
    target.connect(reconnect)
    assert fire(event, 1) == ["first"]


@pytest.mark.parametrize("way", ["disconnect", "clear"])
def test_reconnected_then_disconnected_is_not_called(event, target, fire, way):
    late = returning("late")

    def change(sender):
        target.connect(late, priority=5)
        target.connect(late, priority=6)
        target.clear() if way == "clear" else target.disconnect(late)

    target.connect(change)
    target.connect(late)
    assert fire(event, 1) == []


def test_nested_emission_sees_connections_from_its_start(event, fire):
    handlers = [returning("0"), returning("1")]
    inner = []

    def nest(sender):
        depth = len(inner)
        if depth < len(handlers):
            inner.append(None)
            event.connect(handlers[depth])
            inner[depth] = event.emit(sender)

    event.connect(nest)
    assert fire(event, 1) == []
    assert inner == [["0"], ["0", "1"]]
    assert fire(event, 1) == ["0", "1"]


def test_emit_async_keeps_its_snapshot_across_an_await(event, run):
    late, other = returning("late"), returning("other")
    reconnected = returning("reconnected")

    async def change(sender):
        await asyncio.sleep(0)
        event.disconnect(late)
        event.connect(other)
        event.connect(reconnected)
        return "first"

    event.connect(change, priority=1)
    event.connect(late)
    event.connect(reconnected)
    assert run(event.emit_async(1)) == ["first", "reconnected"]
    assert run(event.emit_async(1)) == ["first", "other", "reconnected"]


# disconnect and clear


def test_disconnect_returns_whether_it_removed_one(event, target):
    handler = returning("a")
    assert target.disconnect(handler) is False
    target.connect(handler)
    assert target.disconnect(handler) is True
    assert target.disconnect(handler) is False
    assert event.emit(1) == []


def test_disconnect_for_another_sender_removes_nothing(event, target):
    handler = returning("a")
    target.connect(handler, "s")
    assert target.disconnect(handler, "t") is False
    assert target.disconnect(handler, None) is False
    assert event.emit("s") == ["a"]
    assert target.disconnect(handler, "s") is True
    assert event.emit("s") == []


def test_disconnect_for_a_sender_keeps_the_one_for_any(api, event, target):
    handler = returning("a")
    target.connect(handler)
    assert target.disconnect(handler, "s") is False
    target.connect(handler, "s")
    assert target.disconnect(handler, "s") is True
    assert [connection.sender for connection in target.handlers] == [api.ANY]
    assert event.emit("s") == ["a"]


@pytest.mark.parametrize("senders", [*itertools.permutations(["ANY", "s", None])], ids=repr)
def test_disconnect_without_sender_removes_all(api, event, target, senders):
    handler, other = returning("a"), returning("b")
    for sender in senders:
        target.connect(handler, api.ANY if sender == "ANY" else sender)
    target.connect(other, "s")
    assert target.disconnect(handler) is True
    assert [connection.handler for connection in target.handlers] == [other]
    assert target.disconnect(handler, api.ANY) is False
    assert event.emit("s") == ["b"]


def test_disconnect_keeps_the_connection_to_a_pattern(ns, event):
    handler = returning("a")
    ns.event("x*").connect(handler)
    assert event.disconnect(handler) is False
    event.connect(handler)
    assert event.disconnect(handler) is True
    assert event.emit(1) == ["a"]


def test_disconnect_does_not_wait_for_a_running_call(event, target):
    begun, go = threading.Event(), threading.Event()

    def blocked(sender):
        begun.set()
        assert go.wait(TIMEOUT)
        return "done"

    target.connect(blocked)
    results = []
    thread = threading.Thread(target=lambda: results.append(event.emit(1)), daemon=True)
    thread.start()
    try:
        assert begun.wait(TIMEOUT)
        assert in_thread(lambda: target.disconnect(blocked)) is True
        assert event.emit(1) == []
    finally:
        go.set()
        thread.join(TIMEOUT)
    assert results == [["done"]]


def test_clear_removes_all(api, event, target):
    handler, other = returning("a"), returning("b")
    for sender in (api.ANY, "s", None, (1, 2)):
        target.connect(handler, sender)
        target.connect(other, sender, once=True, weak=False, priority=4)
    target.clear()
    assert target.handlers == event.handlers == []
    assert event.emit("s") == event.emit() == []
    assert not event.has_handlers_for("s")
    target.connect(handler)
    assert event.emit("s") == ["a"]
    target.clear()
    target.clear()
    assert event.emit("s") == []


# subscribe


def test_subscription_holds_the_handler(api, event, target, collect):
    subscription = target.subscribe(lambda sender: "called")
    assert type(subscription) is api.Subscription
    collect()
    assert event.emit(1) == ["called"]
    del subscription
    collect()
    assert event.emit(1) == []
    assert event.handlers == []


@pytest.mark.parametrize("weak", [True, False])
def test_cancel_disconnects_and_releases_the_handler(event, target, collect, weak):
    handler = returning("a")
    gone = weakref.ref(handler)
    subscription = target.subscribe(handler, weak=weak)
    del handler
    collect()
    assert event.emit(1) == ["a"]
    subscription.cancel()
    assert event.emit(1) == []
    collect()
    assert gone() is None
    subscription.cancel()


def test_cancel_during_emission_disconnects(event, fire):
    late = returning("late")

    def cancel(sender):
        subscription.cancel()

    event.connect(cancel)
    subscription = event.subscribe(late)
    assert fire(event, 1) == []


def test_subscription_is_a_context_manager(event, target):
    with target.subscribe(lambda sender: "called") as subscription:
        assert event.emit(1) == ["called"]
    assert event.emit(1) == []
    with subscription:
        assert event.emit(1) == []


def test_exception_in_with_cancels_and_propagates(event):
    with pytest.raises(ZeroDivisionError):
        with event.subscribe(lambda sender: "called"):
            1 / 0
    assert event.handlers == []


def test_subscription_removes_only_its_own_connection(event, target):
    handler = returning("a")
    subscription = target.subscribe(handler)
    target.connect(handler, "s")
    subscription.cancel()
    assert event.emit("s") == ["a"]
    assert event.emit("t") == []


@pytest.mark.parametrize("again", ["connect", "subscribe", "disconnect and connect"])
def test_subscription_keeps_a_later_connection(event, target, again):
    handler = returning("a")
    subscription = target.subscribe(handler)
    if again == "disconnect and connect":
        target.disconnect(handler)
    later = target.subscribe(handler) if again == "subscribe" else target.connect(handler)
    subscription.cancel()
    assert event.emit(1) == ["a"]
    if again == "subscribe":
        later.cancel()
        assert event.emit(1) == []


def test_strong_subscription_survives_being_dropped(event, collect):
    event.subscribe(lambda sender: "called", weak=False)
    collect()
    assert event.emit(1) == ["called"]


def test_subscription_has_its_event(api, event, target):
    subscription = target.subscribe(lambda sender: "called")
    assert subscription.event is target
    subscription.cancel()
    assert subscription.event is target
    with pytest.raises(AttributeError):
        subscription.event = event


@pytest.mark.parametrize("sender", ["s", None, "ANY", "object"])
def test_subscription_is_active_until_cancelled(api, target, sender):
    sender = {"ANY": api.ANY, "object": Thing()}.get(sender, sender)
    subscription = target.subscribe(lambda sender: "called", sender)
    assert subscription.active is True
    with target.muted():
        assert subscription.active is True
    subscription.cancel()
    assert subscription.active is False
    with pytest.raises(AttributeError):
        subscription.active = True


@pytest.mark.parametrize("end", ["disconnect", "clear", "connect", "subscribe", "disconnect and connect", "with"])
def test_subscription_ended_otherwise_is_not_active(event, target, end):
    handler = returning("a")
    subscription = target.subscribe(handler, "s")
    target.connect(handler)  # for another sender: does not matter
    assert subscription.active
    if "disconnect" in end:
        target.disconnect(handler, "s")
    if "connect" in end.split():
        target.connect(handler, "s")
    if end == "clear":
        target.clear()
    if end == "subscribe":
        later = target.subscribe(handler, "s")
    if end == "with":
        with subscription:
            assert subscription.active
    assert subscription.active is False
    if end == "subscribe":
        assert later.active


def test_restored_subscription_is_active_again(target):
    handler = returning("a")
    subscription = target.subscribe(handler)
    with target.connected_to(handler, priority=3):
        assert not subscription.active
    assert subscription.active


def test_consumed_once_subscription_is_not_active(event, target, fire):
    states = []

    def handler(sender):
        states.append(subscription.active)

    subscription = target.subscribe(
        handler, once=True, condition=lambda sender: states.append(subscription.active) or 1
    )
    assert subscription.active
    fire(event, 1)
    assert states == [True, False]
    assert subscription.active is False


def test_subscription_of_a_dead_sender_is_not_active(event, target, collect):
    sender = Thing()
    subscription = target.subscribe(lambda sender: "called", sender)
    assert subscription.active
    del sender
    collect()
    assert subscription.active is False


def test_active_is_false_before_a_dead_sender_is_purged(target, collect):
    sender = Thing()
    subscription = target.subscribe(lambda sender: "called", sender)
    other = target.subscribe(returning("other"), sender)
    with blocked_purge(target):
        del sender
        collect()
        assert (subscription.active, other.active) == (False, False)
        assert not target.is_connected(subscription._receiver)


OPTIONS = {
    "sender": "s",
    "weak": False,
    "priority": 5,
    "condition": callable,
    "once": True,
    "with_event": True,
    "thread": True,
}


@pytest.mark.parametrize("way", ["connect", "subscribe", "connected_to"])
@pytest.mark.parametrize("option", OPTIONS)
def test_every_way_to_connect_takes_the_options(event, target, way, option):
    handler = returning("a")
    if way == "connected_to":
        with target.connected_to(handler, **{option: OPTIONS[option]}):
            (connection,) = event.handlers
    else:
        kept = getattr(target, way)(handler, **{option: OPTIONS[option]})
        (connection,) = event.handlers
        del kept
    assert getattr(connection, option) == OPTIONS[option]


# once


@pytest.mark.parametrize("special", [False, True], ids=["any sender", "sender"])
def test_once_calls_once(api, event, target, fire, special):
    handler = returning("a")
    target.connect(handler, "s" if special else api.ANY, once=True)
    assert event.has_handlers_for("s")
    assert fire(event, "s") == ["a"]
    assert not event.has_handlers_for("s")
    assert event.handlers == []
    assert fire(event, "s") == []
    assert target.disconnect(handler) is False


@pytest.mark.parametrize("kind", ["async", "generator", "async_generator"])
def test_once_calls_every_kind_once(event, run, kind):
    async def asynchronous(sender):
        return "a"

    def generator(sender):
        yield "a"

    async def asynchronous_generator(sender):
        yield "a"

    handler = {"async": asynchronous, "generator": generator, "async_generator": asynchronous_generator}[kind]
    event.connect(handler, once=True)
    assert run(event.emit_async(1)) == ["a" if kind == "async" else ["a"]]
    assert run(event.emit_async(1)) == []


def test_once_on_a_pattern_is_consumed_by_the_first_event(ns):
    handler = returning("a")
    ns.event("x*").connect(handler, once=True)
    assert ns.event("x1").emit() == ["a"]
    assert ns.event("x2").emit() == []
    assert ns.event("x*").handlers == []


def test_once_is_consumed_before_the_call(event, target, fire):
    seen = []

    def handler(sender):
        seen.append((event.handlers, event.has_handlers_for(1), event.emit(sender), target.disconnect(handler)))
        return "a"

    target.connect(handler, once=True)
    assert fire(event, 1) == ["a"]
    assert seen == [([], False, [], False)]


def test_once_is_consumed_by_a_handler_that_raises(event, target, fire):
    def handler(sender):
        raise ZeroDivisionError

    target.connect(handler, once=True)
    with pytest.raises(ZeroDivisionError):
        fire(event, 1)
    assert fire(event, 1) == []


def test_once_handler_can_reconnect_itself(event, target, fire):
    def handler(sender):
        target.connect(handler, once=True)
        return "a"

    target.connect(handler, once=True)
    assert fire(event, 1) == ["a"]
    assert fire(event, 1) == ["a"]
    assert len(event.handlers) == 1


def test_false_condition_does_not_consume_once(event, target, fire):
    handler = returning("a")
    target.connect(handler, once=True, condition=lambda sender: sender == "right")
    assert fire(event, "wrong") == []
    assert fire(event, "right") == ["a"]
    assert fire(event, "right") == []


def test_failing_condition_does_not_consume_once(event, target, fire):
    handler = returning("a")
    target.connect(handler, once=True, condition=lambda sender: 1 / sender)
    assert fire(event, 0) == []
    assert fire(event, 1) == ["a"]
    assert fire(event, 1) == []


@pytest.mark.parametrize("how", ["event", "handler"])
def test_muting_does_not_consume_once(event, fire, how):
    handler = returning("a")
    event.connect(handler, once=True)
    with event.muted(*[handler] * (how == "handler")):
        assert fire(event, 1) == []
    assert fire(event, 1) == ["a"]
    assert fire(event, 1) == []


def test_cancelled_emission_does_not_consume_once(event, fire):
    def refuse(sender):
        return False

    handler = returning("a")
    event.connect(handler, once=True)
    event.connect(refuse, priority=1, once=True)
    assert fire(event, 1) == []
    assert fire(event, 1) == ["a"]


@pytest.mark.parametrize("threads", [2, 8])
def test_one_of_several_threads_calls_a_once_handler(event, target, threads):
    """All threads have checked the condition before the first one continues."""
    together = threading.Barrier(threads)
    results = []

    def condition(sender):
        together.wait(TIMEOUT)
        return True

    handler = returning("a")
    target.connect(handler, once=True, condition=condition)
    workers = [threading.Thread(target=lambda: results.append(event.emit(1)), daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(TIMEOUT)
    assert sorted(results) == [[]] * (threads - 1) + [["a"]]


def test_recursive_emission_consumes_once_of_the_outer(event, fire):
    handler = returning("a")
    inner = []

    def first(sender):
        if not inner:
            inner.append(None)
            inner[0] = event.emit(sender)

    event.connect(first)
    event.connect(handler, once=True)
    assert fire(event, 1) == []
    assert inner == [["a"]]


# muted


def test_muted_silences_the_event(api, ns, event, fire):
    a, b, wild = map(returning, ["a", "b", "wild"])
    event.connect(a)
    event.connect(b, "s")
    ns.event("x*").connect(wild)
    ns.event("x*").connect(b, "t")
    before = list_options(event)
    assert fire(event, "s") == ["a", "b", "wild"]
    with event.muted():
        for sender in ("s", "t", None, api.ANY):
            assert type(fire(event, sender)) is list
            assert fire(event, sender) == []
            assert not event.has_handlers_for(sender)
        assert list_options(event) == before
    assert fire(event, "s") == ["a", "b", "wild"]
    assert fire(event, "t") == ["a", "wild", "b"]


@pytest.mark.parametrize("special", [False, True], ids=["any sender", "sender"])
def test_muted_silences_only_the_handlers_given(api, event, target, fire, special):
    class Owner:
        def method(self, sender):
            return "method"

    owner, a, b, c = Owner(), *map(returning, "abc")
    sender = "s" if special else api.ANY
    for handler in (owner.method, a, b, c):
        target.connect(handler, sender)
    with event.muted(a, owner.method):
        assert fire(event, "s") == ["b", "c"]
    assert fire(event, "s") == ["method", "a", "b", "c"]


def test_muting_an_event_keeps_wildcards_of_others(ns, fire):
    wild = returning("wild")
    ns.event("x*").connect(wild)
    with ns.event("x1").muted(), ns.event("x2").muted(wild):
        assert fire(ns.event("x1"), 1) == fire(ns.event("x2"), 1) == []
        assert fire(ns.event("x3"), 1) == ["wild"]
    assert fire(ns.event("x1"), 1) == fire(ns.event("x2"), 1) == ["wild"]


@pytest.mark.parametrize("outer", ["event", "handler"])
@pytest.mark.parametrize("inner", ["event", "handler"])
def test_muted_nests(event, fire, outer, inner):
    handler = returning("a")
    event.connect(handler)

    def muted(what):
        return event.muted() if what == "event" else event.muted(handler)

    with muted(outer):
        with muted(inner):
            with muted(inner):
                assert fire(event, 1) == []
            assert fire(event, 1) == []
        assert fire(event, 1) == []
    assert fire(event, 1) == ["a"]


def test_overlapping_muted_blocks_may_end_in_any_order(event, fire):
    handler = returning("a")
    event.connect(handler)
    first, second = event.muted(), event.muted()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert fire(event, 1) == []
    second.__exit__(None, None, None)
    assert fire(event, 1) == ["a"]


@pytest.mark.parametrize("how", ["event", "handler"])
def test_muted_ends_with_an_exception(event, fire, how):
    handler = returning("a")
    event.connect(handler)
    with pytest.raises(ZeroDivisionError):
        with event.muted(*[handler] * (how == "handler")):
            1 / 0
    assert fire(event, 1) == ["a"]


@pytest.mark.parametrize("how", ["event", "handler"])
def test_muted_applies_to_all_threads(event, how):
    handler = returning("a")
    event.connect(handler)
    with event.muted(*[handler] * (how == "handler")):
        assert in_thread(lambda: event.emit(1)) == []
    assert in_thread(lambda: event.emit(1)) == ["a"]


@pytest.mark.parametrize("how", ["event", "handler"])
def test_emission_started_before_is_not_muted(event, fire, how):
    late = returning("late")
    muted = event.muted(*[late] * (how == "handler"))

    def mute(sender):
        muted.__enter__()

    event.connect(mute, once=True)
    event.connect(late)
    assert fire(event, 1) == ["late"]
    assert fire(event, 1) == []
    muted.__exit__(None, None, None)
    assert fire(event, 1) == ["late"]


def test_emission_started_while_muted_stays_muted(event, fire):
    late = returning("late")
    muted = event.muted(late)

    def end(sender):
        muted.__exit__(None, None, None)

    event.connect(end, once=True)
    event.connect(late)
    muted.__enter__()
    assert fire(event, 1) == []
    assert fire(event, 1) == ["late"]


@pytest.mark.parametrize("how", ["event", "handler"])
def test_handler_connected_while_muted_is_muted(ns, event, target, fire, how):
    handler = returning("a")
    with event.muted(*[handler] * (how == "handler")):
        target.connect(handler)
        target.connect(handler, "s")
        assert fire(event, "s") == []
        target.connect(handler, priority=1)
        assert fire(event, "s") == []
        assert target.disconnect(handler, "s")
    assert fire(event, "s") == ["a"]


def test_muting_keeps_no_handler_alive(event, collect):
    handler = returning("a")
    event.connect(handler)
    with event.muted(handler):
        event.emit(1)
    gone = weakref.ref(handler)
    del handler
    collect()
    assert gone() is None


# connected_to


@pytest.mark.parametrize("special", [False, True], ids=["any sender", "sender"])
def test_connected_to_connects_inside_a_with_block(api, event, target, fire, special):
    with target.connected_to(lambda sender: "called", "s" if special else api.ANY):
        assert fire(event, "s") == ["called"]
        assert fire(event, "t") == ([] if special else ["called"])
    assert fire(event, "s") == []
    assert event.handlers == []


def test_connected_to_ends_with_an_exception(event):
    with pytest.raises(ZeroDivisionError):
        with event.connected_to(lambda sender: "called"):
            1 / 0
    assert event.handlers == []


def test_connected_to_releases_a_strong_handler(event, target, collect):
    handler = returning("a")
    gone = weakref.ref(handler)
    with target.connected_to(handler, weak=False, condition=lambda sender, handler=handler: True):
        assert event.emit(1) == ["a"]
    del handler
    collect()
    assert gone() is None


BEFORE = {
    "priority": {"priority": 5},
    "low priority": {"priority": -5},
    "condition": {"condition": lambda sender: True},
    "strong": {"weak": False},
    "once": {"once": True},
    "with_event": {"with_event": True},
    "thread": {"thread": True},
    "nothing": {},
}


@pytest.mark.parametrize("meanwhile", BEFORE)
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("special", [False, True], ids=["any sender", "sender"])
def test_connected_to_restores_the_previous_connection(api, event, target, before, meanwhile, special):
    a, handler, b = map(returning, ["a", "handler", "b"])
    sender = "s" if special else api.ANY
    target.connect(a, sender)
    target.connect(handler, sender, **BEFORE[before])
    target.connect(handler, "other", priority=3)
    target.connect(b, sender)
    if before != "once":
        event.emit("s")
    existed = list_options(event)
    with target.connected_to(handler, sender, **BEFORE[meanwhile]):
        (now,) = [each for each in event.handlers if each.sender == sender and each.handler == handler]
        assert {option: getattr(now, option) for option in BEFORE[meanwhile]} == BEFORE[meanwhile]
        assert sorted(event.emit("s")) == ["a", "b", "handler"]
    assert list_options(event) == existed
    results = event.emit("s")
    expected = {"priority": ["handler", "a", "b"], "low priority": ["a", "b", "handler"]}
    assert results == expected.get(before, ["a", "handler", "b"])
    assert event.emit("s") == (["a", "b"] if before == "once" else results)


def test_connected_to_restores_after_once_is_consumed(event, target, fire):
    handler = returning("a")
    target.connect(handler, priority=5)
    with target.connected_to(handler, once=True):
        assert fire(event, 1) == ["a"]
        assert fire(event, 1) == []
    assert [connection.priority for connection in event.handlers] == [5]
    assert fire(event, 1) == fire(event, 1) == ["a"]


def change_by_connecting(target, handler):
    target.connect(handler, priority=7)


def change_by_disconnecting(target, handler):
    target.disconnect(handler)


def change_by_clearing(target, handler):
    target.clear()


def change_by_both(target, handler):
    target.disconnect(handler)
    target.connect(handler, priority=8)


@pytest.mark.parametrize("existed", [False, True], ids=["nothing existed", "existed"])
@pytest.mark.parametrize(
    ("change", "left"),
    [(change_by_connecting, [7]), (change_by_disconnecting, []), (change_by_clearing, []), (change_by_both, [8])],
    ids=["connect", "disconnect", "clear", "both"],
)
def test_connected_to_keeps_changes_made_inside(event, target, change, left, existed):
    handler = returning("a")
    if existed:
        target.connect(handler, priority=5)
    with target.connected_to(handler, priority=6):
        change(target, handler)
    assert [connection.priority for connection in event.handlers] == left
    assert event.emit(1) == ["a"] * len(left)


def test_unrelated_changes_do_not_prevent_restoring(ns, event):
    handler = returning("a")
    event.connect(handler, priority=5)
    with event.connected_to(handler, priority=6):
        event.connect(handler, "s", priority=7)
        ns.event("y").connect(handler, priority=8)
        ns.event("*").connect(handler, priority=9)
    assert [connection.priority for connection in event.handlers] == [9, 7, 5]


@pytest.mark.parametrize("dies", ["handler", "sender"])
def test_connected_to_does_not_restore_the_dead(event, collect, dies):
    class Mortal:
        def method(self, sender):
            return "a"

    owner, sender = Mortal(), Mortal()
    event.connect(owner.method, sender)
    context = event.connected_to(owner.method, sender, priority=1)
    context.__enter__()
    exit_ = type(context).__exit__
    if dies == "handler":
        del owner
    else:
        del sender
    collect()
    exit_(context, None, None, None)
    del context
    collect()
    assert event.handlers == []


def test_connected_to_nests(event, target):
    handler = returning("a")
    target.connect(handler, priority=1)

    def priorities():
        event.emit(1)
        return [connection.priority for connection in event.handlers]

    with target.connected_to(handler, priority=2):
        with target.connected_to(handler, priority=3):
            with target.connected_to(handler, "s", priority=4):
                assert priorities() == [4, 3]
            assert priorities() == [3]
        assert priorities() == [2]
    assert priorities() == [1]


def test_same_connected_to_nests_in_itself(event):
    handler = returning("a")
    context = event.connected_to(handler, priority=2)
    with context:
        with context:
            assert event.emit(1) == ["a"]
        assert event.emit(1) == ["a"]
    assert event.emit(1) == []
    with context:
        assert event.emit(1) == ["a"]
    assert event.handlers == []


def test_connected_to_inside_muted_stays_muted(event):
    handler = returning("a")
    with event.muted():
        with event.connected_to(handler):
            assert event.emit(1) == []
    assert event.emit(1) == []


def test_emission_skips_a_handler_whose_with_block_ended(event, fire):
    handler = returning("a")
    context = event.connected_to(handler)

    def end(sender):
        context.__exit__(None, None, None)

    event.connect(end)
    context.__enter__()
    assert fire(event, 1) == []


def test_emission_calls_a_handler_connected_again_once(event, fire):
    handler, context = returning("a"), None

    def end(sender):
        context.__exit__(None, None, None)

    event.connect(handler)
    event.connect(end, priority=1)
    context = event.connected_to(handler, priority=-1)
    context.__enter__()
    assert fire(event, 1) == ["a"]
    assert [(connection.handler, connection.priority) for connection in event.handlers] == [(end, 1), (handler, 0)]


def test_handler_disconnected_inside_is_not_called(event, fire):
    handler, context = returning("a"), None

    def end(sender):
        context.__exit__(None, None, None)
        event.disconnect(handler)

    event.connect(handler)
    event.connect(end, priority=1)
    context = event.connected_to(handler)
    context.__enter__()
    assert fire(event, 1) == []


def test_emission_started_before_calls_restored_once(event, fire):
    handler = returning("a")

    def patch(sender):
        with event.connected_to(handler, priority=9):
            pass

    event.connect(patch)
    event.connect(handler)
    assert fire(event, 1) == ["a"]
    assert fire(event, 1) == ["a"]


def test_emission_started_inside_calls_restored_once(event, fire):
    handler = returning("a")
    context = event.connected_to(handler, priority=1)

    def end(sender):
        context.__exit__(None, None, None)

    event.connect(handler)
    event.connect(end, priority=2)
    context.__enter__()
    assert fire(event, 1) == ["a"]
    assert event.disconnect(end)
    assert fire(event, 1) == ["a"]


def test_connected_to_keeps_changes_made_before_once_ran(event, fire):
    handler = returning("a")

    def reconnect(sender):
        event.connect(handler, priority=2)

    event.connect(handler)
    context = event.connected_to(handler, once=True)
    context.__enter__()
    event.connect(reconnect, priority=3, once=True)
    assert fire(event, 1) == ["a"]  # by the connection that existed when it began, which is consumed
    assert event.disconnect(handler)
    context.__exit__(None, None, None)
    assert event.handlers == []


# handlers, has_handlers_for, repr


def test_handlers_lists_connections_with_options(api, ns, event):
    def condition(sender):
        return True

    first, second, third = map(returning, ["first", "second", "third"])
    event.connect(third, priority=-1)
    event.connect(second, "s", weak=False, condition=condition)
    ns.event("x*").connect(first, priority=10**30, once=True, with_event=True, thread=True)
    assert all(type(connection) is api.Connection for connection in event.handlers)
    assert list_options(event) == [
        (first, api.ANY, 10**30, None, True, True, "sync", True, True, "x*"),
        (second, "s", 0, condition, False, False, "sync", False, False, None),
        (third, api.ANY, -1, None, True, False, "sync", False, False, None),
    ]
    assert list_options(ns.event("x*")) == [(first, api.ANY, 10**30, None, True, True, "sync", True, True, "x*")]


def test_handlers_is_in_dispatch_order(ns, event):
    handlers = [returning(str(number)) for number in range(6)]
    for number, handler in enumerate(handlers):
        ns.event(["x", "x*"][number % 2]).connect(handler, priority=number // 2)
    event.connect(handlers[4], priority=2)
    order = [connection.handler for connection in event.handlers]
    assert order == [handlers[number] for number in (5, 4, 2, 3, 0, 1)]
    assert event.emit(1) == [handler(1) for handler in order]


def test_handlers_is_a_new_list(event):
    handler = returning("a")
    event.connect(handler)
    event.handlers.clear()
    assert len(event.handlers) == 1
    assert event.emit(1) == ["a"]


class Kinds:
    def sync(self, sender):
        pass

    async def asynchronous(self, sender):
        pass

    def generator(self, sender):
        yield

    async def async_generator(self, sender):
        yield


class Called:
    async def __call__(self, sender):
        pass


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (Kinds().sync, "sync"),
        (Kinds().asynchronous, "async"),
        (Kinds().generator, "generator"),
        (Kinds().async_generator, "async_generator"),
        (functools.partial(Kinds().asynchronous), "async"),
        (functools.partial(functools.partial(Kinds().generator)), "generator"),
        (Called(), "async"),
        (Called, "sync"),
        (print, "sync"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_handlers_has_the_kind(event, handler, kind):
    event.connect(handler, weak=False)
    (connection,) = event.handlers
    assert connection.kind == kind
    assert connection.handler == handler


def test_has_handlers_for(api, ns, event, target, collect):
    handler = returning("a")
    assert not event.has_handlers_for("s")
    target.connect(handler, "s")
    assert event.has_handlers_for("s") is True
    assert event.has_handlers_for("t") is False
    assert event.has_handlers_for(api.ANY) is False
    target.connect(handler)
    assert event.has_handlers_for("t") is True
    assert event.has_handlers_for(api.ANY) is True
    del handler
    collect()
    assert event.has_handlers_for("s") is event.has_handlers_for("t") is False


def test_has_handlers_for_any_sender_is_the_default(api, event, target):
    assert event.has_handlers_for() is False
    handler = returning("a")
    target.connect(handler, "s")
    assert event.has_handlers_for() is event.has_handlers_for(api.ANY) is False
    target.connect(handler)
    assert event.has_handlers_for() is True


def test_has_handlers_for_calls_no_conditions(event):
    def condition(sender):
        raise AssertionError

    handler = returning("a")
    event.connect(handler, condition=condition, once=True)
    assert event.has_handlers_for(1)
    assert event.has_handlers_for(1)


class Thing:
    def method(self, sender):
        return "method"


@contextlib.contextmanager
def blocked_purge(event):
    """Keep dead entries in the tables by holding the lock in another thread."""
    lock = importlib.import_module("cyevents._core").lock
    held, done = threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            done.wait(TIMEOUT)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert held.wait(TIMEOUT)
        yield
    finally:
        done.set()
        thread.join()


def test_is_connected(api, event, target):
    handler, other = returning("a"), returning("b")
    assert target.is_connected(handler) is False
    target.connect(handler, "s")
    assert target.is_connected(handler) is target.is_connected(handler, api.ANY) is True
    assert target.is_connected(handler, sender="s") is True
    assert target.is_connected(handler, "t") is target.is_connected(handler, None) is False
    assert target.is_connected(other) is target.is_connected(other, "s") is False
    target.connect(handler)
    assert target.disconnect(handler, "s")
    assert target.is_connected(handler) is True
    assert target.is_connected(handler, "s") is False
    with target.muted():
        assert target.is_connected(handler)
    target.clear()
    assert target.is_connected(handler) is False


def test_is_connected_ignores_connections_to_patterns(ns, event):
    handler = returning("a")
    ns.event("x*").connect(handler)
    assert not event.is_connected(handler)
    assert not event.disconnect(handler)
    assert ns.event("x*").is_connected(handler)


@pytest.mark.parametrize("sender", ["s", b"s", 7, None, True, (1,), Thing(), Thing().method], ids=repr)
def test_is_connected_compares_senders_as_disconnect_does(target, sender):
    handler = returning("a")
    target.connect(handler, sender)
    for other in ("s", b"s", 7, 7.0, None, True, 1, (1,), Thing(), sender):
        expected = target.is_connected(handler, other)
        assert target.disconnect(handler, other) is expected
        target.connect(handler, sender)
        assert expected or other is not sender


@pytest.mark.parametrize("handler", [None, 5, "text", object(), [].append, print], ids=repr)
def test_is_connected_is_false_for_unknown_objects(target, handler):
    assert target.is_connected(handler) is target.is_connected(handler, "s") is False


def test_is_connected_compares_methods_by_object_and_function(target):
    thing = Thing()
    target.connect(thing.method)
    assert target.is_connected(thing.method)
    assert not target.is_connected(Thing().method)
    seen = []
    target.connect(seen.append, weak=False)
    assert target.is_connected(seen.append)


def test_is_connected_ignores_dead_and_consumed(event, target, collect, fire):
    handler, sender = returning("a"), Thing()
    target.connect(handler, sender)
    assert target.is_connected(handler)
    del sender
    collect()
    assert not target.is_connected(handler)
    target.connect(handler, once=True)
    assert target.is_connected(handler)
    fire(event, 1)
    assert not target.is_connected(handler)


def test_is_connected_takes_no_lock(target):
    handler = returning("a")
    subscription = target.subscribe(handler, "s")
    with blocked_purge(target):
        assert target.is_connected(handler) and target.is_connected(handler, "s") and subscription.active


def test_is_connected_keeps_nothing_alive(target, collect):
    class Sender:
        pass

    handler, sender = returning("a"), Sender()
    target.connect(handler, sender)
    gone = weakref.ref(handler), weakref.ref(sender)
    assert target.is_connected(handler, sender) and target.is_connected(handler)
    del handler, sender
    collect()
    assert [ref() for ref in gone] == [None, None]


def test_event_has_its_namespace(api, ns, event):
    assert event.namespace is ns.event("x*").namespace is ns
    assert api.event("x").namespace is api.default_namespace
    assert api.Event("x").namespace is None
    with pytest.raises(AttributeError):
        event.namespace = ns


def test_repr_names_the_namespace(api):
    for namespace, within in [(api.Namespace(name="shop"), " in 'shop'"), (api.Namespace(), "")]:
        assert repr(namespace.event("x")) == f"<Event 'x'{within}: 0 handlers>"
        assert repr(namespace.event("x*")) == f"<Pattern 'x*'{within}: 0 handlers>"
    assert repr(api.Event("x")) == "<Event 'x': 0 handlers>"


@pytest.mark.parametrize(
    ("priority", "text"),
    [
        (10**30, "1" + "0" * 30),
        (-(10**100), "-1" + "0" * 100),
        (10**5000, "about 10**5000"),
        (-(10**5000), "about -10**5000"),
        (9 * 10**5000, "about 10**5001"),
        (7 << 100_000, "about 10**30104"),
    ],
    ids=["30", "-100", "5000", "-5000", "5001", "30104"],
)
def test_repr_shows_a_priority_of_many_digits(api, event, target, fire, priority, text):
    first, second, third = map(returning, ["first", "second", "third"])
    target.connect(first, priority=priority)
    target.connect(second, priority=-priority)
    target.connect(third, 10**5000)
    low, high = sorted([(priority, first), (-priority, second)])
    assert fire(event, 1) == [high[1](1), low[1](1)]
    shown = [repr(connection) for connection in event.handlers if connection.handler is first]
    assert len(shown) == 1 and f"priority={text}" in shown[0]
    assert any("sender=about 10**5000" in repr(connection) for connection in event.handlers)


def test_repr(ns, event):
    a, b, wild = map(returning, ["a", "b", "wild"])
    assert "'x'" in repr(event) and "0 handlers" in repr(event)
    event.connect(a)
    assert "1 handler" in repr(event) and "1 handlers" not in repr(event)
    event.connect(b, "s")
    assert "2 handlers" in repr(event)
    ns.event("x*").connect(wild)
    assert "'x*'" in repr(ns.event("x*")) and "1 handler" in repr(ns.event("x*"))
    subscription = event.subscribe(a, priority=3)
    (first, *_) = event.handlers
    for text in ("a", "priority=3"):
        assert text in repr(first)
    assert "'x'" in repr(subscription)
