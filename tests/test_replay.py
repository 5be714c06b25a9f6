"""An event with `replay` keeps its last emissions, and calls handlers with them that are connected later."""

import asyncio
import contextvars
import gc
import importlib
import itertools
import logging
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest


class Sender:
    """A sender that can be referred to weakly."""


class Calls(list):
    """A handler that notes its arguments, as (sender, *args), keywords as a dict."""

    def __call__(self, sender, *args, **kwargs):
        self.append((sender, *args, *([kwargs] if kwargs else [])))

    __hash__ = object.__hash__


@pytest.fixture
def event(ns):
    return ns.event("ready", replay=2)


@pytest.fixture
def calls():
    return Calls()


@pytest.fixture
def instrument(api):
    return importlib.import_module("cyevents.instrument")


@pytest.fixture(params=["emit", "send", "emit_async"])
def fire(request, run):
    """Emit in each way: `fire(event, sender, ...)`."""
    if request.param == "emit_async":
        return lambda event, /, *args, **kwargs: run(event.emit_async(*args, **kwargs))
    return lambda event, /, *args, **kwargs: getattr(event, request.param)(*args, **kwargs)


# What is kept


def test_new_handler_gets_the_last_emissions_in_order(event, fire, calls):
    for number in range(4):
        fire(event, number, "arg", key=number)
    assert event.connect(calls, replay=True) is calls
    assert calls == [(2, "arg", {"key": 2}), (3, "arg", {"key": 3})]
    fire(event, 4)
    assert calls[2:] == [(4,)]


def test_nothing_is_kept_without_replay(ns, fire, calls):
    event = ns.event("x")
    fire(event, 1)
    event.replay = 1
    event.connect(calls, replay=True)
    assert calls == []


def test_handlers_without_replay_get_nothing(event, fire, calls):
    fire(event, 1)
    event.connect(calls)
    assert calls == []
    fire(event, 2)
    assert calls == [(2,)]


@pytest.mark.parametrize("handler", [lambda sender: False, lambda sender: 1 / 0], ids=["cancelled", "failed"])
def test_emission_is_kept_whatever_its_handlers_do(event, fire, calls, handler):
    event.connect(handler, weak=False)
    try:
        fire(event, 1)
    except ZeroDivisionError:
        pass
    event.connect(calls, replay=True)
    assert calls == [(1,)]


def test_emission_by_name_is_kept(ns, event, run, calls):
    ns.emit("ready", 1)
    run(ns.emit_async("ready", 2))
    event.connect(calls, replay=True)
    assert calls == [(1,), (2,)]


def test_emission_without_a_sender_is_kept(api, event, fire, calls):
    fire(event)
    event.connect(calls, replay=True)
    assert calls == [(api.ANY,)]


def test_many_arguments_are_kept(event, fire, calls):
    fire(event, *range(20), **dict.fromkeys("abcdefghijklmnop", 1))
    event.connect(calls, replay=True)
    assert calls == [(*range(20), dict.fromkeys("abcdefghijklmnop", 1))]


def test_awaited_emission_is_kept_when_it_begins(event, run, calls):
    async def main():
        emission = event.emit_async(1)
        event.connect(calls, replay=True)
        assert calls == []
        event.disconnect(calls)
        await emission
        event.connect(calls, replay=True)
        assert calls == [(1,)]

    run(main())


def test_results_are_those_of_any_emission(api, event, fire):
    @event.connect
    def first(sender):
        return sender

    @event.connect(sender=1, priority=-1)
    def second(sender):
        return "one"

    assert [result[1] if isinstance(result, tuple) else result for result in fire(event, 1)] == [1, "one"]
    assert [result[1] if isinstance(result, tuple) else result for result in fire(event, 2)] == [2]


def test_emission_while_muted_is_not_kept(ns, event, fire, calls):
    with event.muted():
        fire(event, 1)
    with ns.muted():
        fire(event, 2)
    with event.muted(len):  # only a handler
        fire(event, 3)
    event.connect(calls, replay=True)
    assert calls == [(3,)]


def test_nothing_is_replayed_to_what_is_muted(event, fire, calls):
    fire(event, 1)
    with event.muted():
        event.connect(calls, replay=True)
    with event.muted(calls):
        event.connect(calls, replay=True)
    assert calls == []
    event.connect(calls, replay=True)
    assert calls == [(1,)]


def test_observed_emission_is_kept_unless_vetoed(event, fire, calls, instrument):
    seen = []

    class Guard(instrument.Instrument, instrument.EmissionSpan):
        def begin(self, start):
            if start.sender == "vetoed":
                raise PermissionError
            seen.append(start.sender)
            return self

        def call(self, entry, handler):
            return instrument.CallSpan()

    with instrument.observe(Guard(), event):
        fire(event, 1)
        with pytest.raises(PermissionError):
            fire(event, "vetoed")
        event.connect(calls, replay=True)
        assert calls == [(1,)]
        assert seen == [1]  # the replay is no emission
        fire(event, 2)
    assert seen == senders_of(calls) == [1, 2]


def senders_of(calls):
    return [call[0] for call in calls]


# The attribute


def test_replay_is_a_number_that_can_be_changed(api, ns, calls):
    event = api.Event("x", replay=3)
    assert (event.replay, api.Event("x").replay, ns.event("x").replay) == (3, 0, 0)
    for number in range(5):
        event.emit(number)
    event.replay = 2
    event.emit(5)
    event.connect(calls, replay=True)
    assert senders_of(calls) == [4, 5]
    calls.clear()
    event.replay = 3
    event.emit(6)
    calls.clear()
    event.connect(calls, replay=True)
    assert senders_of(calls) == [4, 5, 6]
    event.replay = 0
    event.emit(7)
    event.replay = 9
    calls.clear()
    event.connect(calls, replay=True)
    assert calls == []


def test_event_by_name_keeps_its_number(api, ns):
    assert ns.event("x", replay=2).replay == 2
    assert ns.event("x").replay == 2
    assert ns.event("x", "doc", replay=1).replay == 1
    assert ns.event("x", replay=0).replay == 0
    assert api.event("x", replay=4) is api.event("x")
    assert api.event("x").replay == 4


@pytest.mark.parametrize("make", ["Event", "event", "attribute"])
@pytest.mark.parametrize(
    ("replay", "error", "text"),
    [
        (True, TypeError, "replay must be an int, the number of emissions that the event keeps, not True"),
        (1.0, TypeError, "replay must be an int, .* not 1.0"),
        ("1", TypeError, "replay must be an int, .* not '1'"),
        (-1, ValueError, "replay must be the number of emissions that the event keeps, or 0, not -1"),
    ],
)
def test_wrong_numbers_are_refused(api, ns, make, replay, error, text):
    with pytest.raises(error, match=text):
        if make == "Event":
            api.Event("x", replay=replay)
        elif make == "event":
            ns.event("x", replay=replay)
        else:
            api.Event("x").replay = replay
    assert list(ns) == []


def test_subclasses_of_int_are_numbers(api):
    class Number(int):
        def __index__(self):
            raise AssertionError

    event = api.Event("x", replay=Number(2))
    assert type(event.replay) is int
    assert event.replay == 2


def test_patterns_keep_nothing(ns, calls):
    text = r"'re\*' is a pattern and is never emitted: give replay to the events themselves"
    with pytest.raises(ValueError, match=text):
        ns.event("re*", replay=1)
    pattern = ns.event("re*", replay=0)
    with pytest.raises(ValueError, match=text):
        pattern.replay = 1
    assert pattern.replay == 0
    pattern.clear_replay()
    with pytest.raises(TypeError, match=r"and 're\*' does not: a pattern is never emitted. Connect to the events"):
        pattern.connect(calls, replay=True)
    assert pattern.handlers == []


def test_connecting_with_replay_needs_it(ns, calls):
    event = ns.event("x", replay=1)
    event.replay = 0
    for each in (event, ns.event("y")):
        with pytest.raises(TypeError, match=f"and '{each.name}' does not: make it with replay=1, as in event"):
            each.connect(calls, replay=True)
        assert each.handlers == []


@pytest.mark.parametrize("flag", [1, None, "yes"])
def test_flag_must_be_a_bool(ns, event, calls, flag):
    text = f"replay must be True or False, not {flag!r}"
    for connect in (event.connect, event.subscribe):
        with pytest.raises(TypeError, match=text):
            connect(calls, replay=flag)
    with pytest.raises(TypeError, match=text):
        event.connect(replay=flag)
    with pytest.raises(TypeError, match=text):
        ns.on("ready", replay=flag)
    with pytest.raises(TypeError, match=text), event.connected_to(calls, replay=flag):
        pass
    assert event.handlers == []


def test_clear_replay_drops_what_is_kept(api, event, fire, calls):
    api.Event("x").clear_replay()
    fire(event, 1)
    event.clear_replay()
    event.connect(calls, replay=True)
    assert calls == []
    fire(event, 2)
    event.connect(calls, replay=True)
    assert calls == [(2,), (2,)]


def test_clear_keeps_emissions(event, fire, calls):
    event.connect(calls)
    fire(event, 1)
    event.clear()
    event.connect(calls, replay=True)
    assert calls == [(1,), (1,)]


def test_undeclared_event_that_keeps_emissions_stays_in_the_cache(api, ns, calls):
    found = []
    ns.event("*").connect(lambda sender, event: found.append(event), weak=False, with_event=True)
    ns.emit("undeclared", 1)
    found.pop().replay = 1
    ns.emit("undeclared", 2)
    found.clear()
    gc.collect()
    for number in range(3000):
        ns.emit(f"other.{number}")
    found.clear()
    gc.collect()
    ns.emit("undeclared", 3)
    found[0].connect(calls, replay=True)
    assert calls == [(3,)]


# How a handler is called


def test_sender_is_honoured(event, fire):
    event.replay = 9
    objects = Sender(), Sender()
    for sender in (*objects, "a", "b", 1, 2, 1.0, b"a"):
        fire(event, sender)
    for sender in (*objects, "".join(["a"]), 1, b"a"):
        calls = Calls()
        event.connect(calls, sender, replay=True)
        assert senders_of(calls) == [sender]
    missing, everything = Calls(), Calls()
    event.connect(missing, "c", replay=True)
    event.connect(everything, replay=True)
    assert missing == []
    assert len(everything) == 8


def test_connection_for_a_sender_wins(event, fire, calls):
    event.connect(calls, "a")
    fire(event, "a")
    fire(event, "b")
    assert calls == [("a",)]
    event.connect(calls, replay=True)  # for any sender: emissions by "a" go to the other connection
    assert calls == [("a",), ("b",)]


def test_condition_is_honoured(event, fire, calls):
    for number in (1, 2):
        fire(event, "sender", number=number)
    event.connect(calls, condition=lambda sender, *, number: number > 1, replay=True)
    assert calls == [("sender", {"number": 2})]


def test_raising_condition_skips_and_is_logged(event, fire, calls, caplog):
    fire(event, "sender")
    with caplog.at_level(logging.WARNING, "cyevents"):
        event.connect(calls, condition=lambda sender: 1 / 0, replay=True)
    assert calls == []
    assert "condition of handler" in caplog.text
    assert event.is_connected(calls)


def test_once_is_used_up_by_the_first(event, fire, calls):
    fire(event, 1)
    fire(event, 2)
    event.connect(calls, once=True, replay=True)
    assert calls == [(1,)]
    assert event.handlers == []
    fire(event, 3)
    assert calls == [(1,)]


def test_once_without_a_matching_emission_stays(event, fire, calls):
    fire(event, 1)
    subscription = event.subscribe(calls, 2, once=True, replay=True)
    assert subscription.active
    fire(event, 2)
    assert calls == [(2,)]
    assert not subscription.active


def test_once_with_a_condition_takes_the_first_that_meets_it(event, fire, calls):
    fire(event, 1)
    fire(event, 2)
    event.connect(calls, once=True, condition=lambda sender: sender == 2, replay=True)
    assert calls == [(2,)]
    assert event.handlers == []


def test_with_event_passes_the_event(event, fire):
    fire(event, 1, key=2)
    seen = []
    event.connect(lambda sender, **kwargs: seen.append(kwargs), weak=False, with_event=True, replay=True)
    assert seen == [{"key": 2, "event": event}]


def test_thread_option_runs_in_place(event, fire):
    fire(event, 1)
    seen = []
    event.connect(lambda sender: seen.append(threading.get_ident()), weak=False, thread=True, replay=True)
    assert seen == [threading.get_ident()]


def test_kept_keywords_are_not_shared(event, calls):
    event.emit(1, key=1)

    def change(sender, **kwargs):
        kwargs["key"] = 2

    event.connect(change, replay=True)
    event.connect(calls, replay=True)
    assert calls == [(1, {"key": 1})]


def test_results_and_false_have_no_effect(event, fire):
    seen = []

    def refuse(sender):
        seen.append(sender)
        return False

    fire(event, 1)
    fire(event, 2)
    event.connect(refuse, replay=True)
    assert seen == [1, 2]


def test_generator_is_consumed(event, fire):
    seen = []

    def generate(sender):
        yield sender
        seen.append(sender)

    fire(event, 1)
    event.connect(generate, replay=True)
    assert seen == [1]


def test_async_handler_is_scheduled_in_the_running_loop(api, event, fire):
    seen = []

    async def handler(sender):
        await asyncio.sleep(0)
        seen.append((sender, asyncio.get_running_loop()))

    fire(event, 1)

    async def main():
        event.connect(handler, replay=True)
        assert seen == []
        assert await api.drain_async(timeout=30)
        assert seen == [(1, asyncio.get_running_loop())]

    asyncio.run(main())


def test_async_handler_is_scheduled_without_a_loop(api, event, fire):
    seen = []

    async def handler(sender):
        seen.append(sender)

    async def generate(sender):
        yield sender
        seen.append(sender)

    fire(event, 1)
    event.connect(handler, replay=True)
    event.connect(generate, replay=True)
    assert api.drain(timeout=30)
    assert seen == [1, 1]


def test_context_is_that_of_the_caller(event):
    variable = contextvars.ContextVar("variable", default=0)
    event.emit(1)
    seen = []
    variable.set(5)
    event.connect(lambda sender: seen.append(variable.get()), weak=False, replay=True)
    assert seen == [5]


@pytest.mark.parametrize("way", ["connect", "decorator", "on", "subscribe", "connected_to"])
def test_all_ways_to_connect_replay(ns, event, fire, calls, way):
    fire(event, 1)
    if way == "connect":
        event.connect(calls, replay=True)
    elif way == "decorator":
        event.connect(priority=3, replay=True)(calls)
    elif way == "on":
        ns.on("ready", replay=True)(calls)
    elif way == "subscribe":
        subscription = event.subscribe(calls, replay=True)
        assert subscription.active
        subscription.cancel()
    else:
        with event.connected_to(calls, replay=True):
            assert calls == [(1,)]
        assert event.handlers == []
    assert calls == [(1,)]


def test_several_events_replay(ns, event, fire, calls):
    other = ns.event("other", replay=1)
    fire(event, 1)
    fire(other, 2)
    ns.connect(["ready", other], calls, replay=True)
    assert calls == [(1,), (2,)]
    calls.clear()
    ns.on(["ready", other], replay=True)(calls)
    assert calls == [(1,), (2,)]
    with pytest.raises(TypeError, match="replay must be True or False"):
        ns.connect("ready", calls, replay=1)


def test_several_events_are_connected_or_none(ns, event, fire, calls):
    other = ns.event("other", replay=1)

    def handler(sender):
        calls(sender)
        if sender == 2:
            raise LookupError

    fire(event, 1)
    fire(other, 2)
    with pytest.raises(LookupError):
        ns.connect([event, other], handler, replay=True)
    with pytest.raises(TypeError, match="'third' does not"):
        ns.connect([event, "third"], calls, replay=True)
    assert event.handlers == other.handlers == ns.event("third").handlers == []


def test_marked_methods_replay_when_attached(api, ns, event, fire):
    class Listener:
        def __init__(self):
            self.calls = []
            ns.attach(self)

        @api.handles("ready", replay=True)
        def note(self, sender):
            self.calls.append(sender)

    fire(event, 1)
    assert Listener().calls == [1]


def test_methods_and_strongly_held_handlers_are_called(event, fire):
    seen = []

    class Listener:
        def method(self, sender):
            seen.append((self, sender))

    listener = Listener()
    fire(event, 1)
    event.connect(listener.method, replay=True)
    event.connect(lambda sender: seen.append((None, sender)), weak=False, replay=True)
    assert seen == [(listener, 1), (None, 1)]


def test_connecting_again_replays_again(event, fire, calls):
    fire(event, 1)
    event.connect(calls, replay=True)
    event.connect(calls, replay=True, priority=5)
    assert calls == [(1,), (1,)]
    assert [connection.priority for connection in event.handlers] == [5]


def test_lambda_that_dies_at_once_is_called_and_warned_about(event, fire):
    seen = []
    fire(event, 1)
    with pytest.warns(RuntimeWarning, match="was garbage-collected at once"):
        event.connect(lambda sender: seen.append(sender), replay=True)
    assert seen == [1]


# Handlers that change connections, or raise


def test_handler_that_disconnects_itself_gets_no_more(event, fire, calls):
    fire(event, 1)
    fire(event, 2)

    def handler(sender):
        calls(sender)
        event.disconnect(handler)

    event.connect(handler, replay=True)
    assert calls == [(1,)]


def test_handler_that_connects_itself_anew_is_not_called_twice(event, fire, calls):
    fire(event, 1)
    fire(event, 2)

    def handler(sender):
        calls(sender)
        if len(calls) == 1:
            event.connect(handler, replay=True)

    event.connect(handler, replay=True)
    assert calls == [(1,), (1,), (2,)]  # the new connection has replayed both


def test_emission_in_a_replayed_handler_reaches_it(event, fire, calls):
    event.emit(1)

    def handler(sender):
        calls(sender)
        if sender == 1:
            event.emit(2)

    event.connect(handler, replay=True)
    assert calls == [(1,), (2,)]


def test_handler_connected_by_a_handler_gets_the_emission_once(event, fire, calls):
    def handler(sender):
        event.connect(calls, replay=True)

    event.connect(handler)
    fire(event, 1)
    assert calls == [(1,)]


@pytest.mark.parametrize("way", ["connect", "subscribe", "connected_to"])
@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
def test_raising_handler_is_not_connected(event, fire, calls, way, error):
    def handler(sender):
        calls(sender)
        if sender == 1:
            raise error("replayed")

    def connect():
        if way == "connected_to":
            with event.connected_to(handler, replay=True):
                raise AssertionError
        getattr(event, way)(handler, replay=True)

    fire(event, 1)
    fire(event, 2)
    with pytest.raises(error, match="replayed"):
        connect()
    assert calls == [(1,)]
    assert event.handlers == []
    fire(event, 3)
    assert calls == [(1,)]


def test_raising_handler_keeps_its_previous_connection(event, fire):
    def handler(sender):
        raise LookupError

    event.connect(handler, "nobody", priority=3)
    fire(event, 1)
    with pytest.raises(LookupError):
        event.connect(handler, replay=True)
    event.connect(handler, "nobody", priority=3)
    assert [(connection.sender, connection.priority) for connection in event.handlers] == [("nobody", 3)]


def test_replaced_connection_is_restored_after_an_error(ns, event, fire, calls):
    def handler(sender):
        if len(calls) > 0:
            raise LookupError
        calls(sender)

    event.connect(handler, priority=3)
    fire(event, 1)
    with pytest.raises(LookupError):
        event.connect(handler, priority=7, replay=True)
    (connection,) = event.handlers
    assert (connection.priority, connection.replay) == (3, False)


def test_group_policy_replays_all_then_raises(event, fire, calls):
    def handler(sender):
        calls(sender)
        raise LookupError(sender)

    event.on_error = "group"
    fire(event, 1)
    fire(event, 2)
    with pytest.raises(ExceptionGroup, match="2 handlers of 'ready' failed") as caught:
        event.connect(handler, replay=True)
    assert [error.args for error in caught.value.exceptions] == [(1,), (2,)]
    assert calls == [(1,), (2,)]
    assert event.handlers == []


def test_callable_policy_gets_errors_and_the_handler_stays(event, fire):
    errors = []
    event.on_error = lambda error, handler, event, sender: errors.append((type(error), handler, event, sender))

    def handler(sender):
        raise LookupError

    fire(event, 1)
    fire(event, 2)
    event.connect(handler, replay=True)
    assert errors == [(LookupError, handler, event, 1), (LookupError, handler, event, 2)]
    assert event.is_connected(handler)


def test_arguments_that_do_not_fit_have_a_note(event, fire):
    fire(event, 1, 2)
    with pytest.raises(TypeError) as caught:
        event.connect(lambda sender: None, weak=False, replay=True)
    assert "of event 'ready'" in "".join(caught.value.__notes__)
    assert event.handlers == []


def test_checked_event_refuses_before_the_replay(api, calls):
    event = api.Event("x", signature=lambda sender, number: None, check=True, replay=1)
    event.emit(1, 2)
    with pytest.raises(TypeError, match="cannot take"):
        event.connect(lambda sender: calls(sender), weak=False, replay=True)
    assert calls == []


# What is held


def test_kept_emissions_hold_sender_and_arguments(event, fire):
    sender, argument = Sender(), Sender()
    refs = [weakref.ref(sender), weakref.ref(argument)]
    fire(event, sender, key=argument)
    del sender, argument
    gc.collect()
    assert all(ref() is not None for ref in refs)
    calls = Calls()
    event.connect(calls, refs[0](), replay=True)
    assert calls == [(refs[0](), {"key": refs[1]()})]
    calls.clear()
    event.clear_replay()
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_emissions_that_are_dropped_are_released(event, fire):
    senders = [Sender() for _ in range(5)]
    refs = [weakref.ref(sender) for sender in senders]
    while senders:
        fire(event, senders.pop(0))
    gc.collect()
    assert [ref() is not None for ref in refs] == [False, False, False, True, True]
    event.replay = 1
    gc.collect()
    assert [ref() is not None for ref in refs] == [False, False, False, False, True]
    event.replay = 0
    gc.collect()
    assert refs[-1]() is None


def test_kept_emissions_hold_no_handlers(event, fire, calls):
    def first(sender):
        event.connect(calls, replay=True)  # a replay while the emission runs

    handlers = [lambda sender: None, first]
    refs = [weakref.ref(handler) for handler in handlers]
    for handler in handlers:
        event.connect(handler, weak=False)
    fire(event, 1)
    event.clear()
    handlers.clear()
    del first, handler
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_event_in_its_own_emission_is_collected(api):
    event = api.Event("x", replay=1)
    event.emit(event, event=event)
    ref = weakref.ref(event)
    del event
    gc.collect()
    assert ref() is None


# Tools


def test_connection_and_describe_show_it(api, ns, event, calls):
    ns.event("other")
    event.connect(calls, replay=True)
    event.connect(print)
    assert [connection.replay for connection in event.handlers] == [True, False]
    graph = api.describe(ns)
    assert [node.replay for node in graph.events] == [0, 2]
    assert [edge.replay for edge in graph.events[1].handlers] == [True, False]
    assert "replay" in graph.events[1].handlers[0].options
    assert "ready  replay=2\n" in str(graph)
    assert graph.to_dict()["events"][1]["replay"] == 2
    assert repr(event) == "<Event 'ready': 2 handlers>"


def test_isolation_restores_what_is_kept(testing, ns, event, calls):
    event.emit(1)
    event.emit(2)
    other = ns.event("other")
    with testing.Isolation(ns):
        event.emit(3)
        event.clear_replay()
        event.replay = 5
        other.replay = 1
        other.emit("kept")
    assert (event.replay, other.replay) == (2, 0)
    event.connect(calls, replay=True)
    assert calls == [(1,), (2,)]
    event.emit(3)
    event.connect(calls, replay=True)
    assert calls[3:] == [(2,), (3,)]


def test_isolation_restores_a_connection_with_replay(testing, ns, event, calls):
    event.emit(1)
    event.connect(calls, replay=True)
    with testing.Isolation(ns):
        event.clear()
    assert [connection.replay for connection in event.handlers] == [True]
    assert calls == [(1,)]  # it is not replayed again


def test_isolation_holds_nothing_afterwards(testing, ns, event):
    sender = Sender()
    ref = weakref.ref(sender)
    event.emit(sender)
    del sender
    isolation = testing.Isolation(ns)
    with isolation:
        pass
    event.clear_replay()
    gc.collect()
    assert ref() is None
    del isolation


# Exactly once, while emissions run. A sender that is dropped from what is kept runs its finalizer between the two looks
# of an emission in its own thread: see `_replay.py`.


class Dropped:
    """A sender that calls a function when it is dropped."""

    def __init__(self, function):
        self.function = function

    def __del__(self):
        self.function()


@pytest.mark.parametrize("replay", [True, False])
def test_handler_connected_while_an_emission_begins(ns, fire, calls, replay):
    event = ns.event("x", replay=1)
    event.emit(Dropped(lambda: event.connect(calls, replay=replay)))
    fire(event, "now")
    assert calls == [("now",)]
    fire(event, "next")
    assert calls == [("now",), ("next",)]


def test_handler_for_a_sender_connected_while_an_emission_begins(ns, fire, calls):
    event = ns.event("x", replay=1)
    others = Calls()
    event.connect(others)

    def connect():
        event.connect(calls, "now", replay=True)
        event.connect(others, "now", replay=True)

    event.emit(Dropped(connect))
    others.clear()
    fire(event, "now")
    fire(event, "other")
    assert calls == [("now",)]
    assert others == [("now",), ("other",)]


def test_handler_disconnected_while_an_emission_begins(ns, fire, calls):
    event = ns.event("x", replay=1)
    event.emit(Dropped(lambda: event.disconnect(calls)))
    event.connect(calls)
    fire(event, "now")
    assert calls == []


def test_emission_interrupted_while_it_begins_is_not_kept(ns, event, fire, calls, monkeypatch):
    core = importlib.import_module("cyevents._replay")
    trim = core.KeptEmissions.trim

    def interrupted(self):
        trim(self)
        raise KeyboardInterrupt

    fire(event, 1)
    monkeypatch.setattr(core.KeptEmissions, "trim", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fire(event, 2)
    monkeypatch.undo()
    event.connect(calls, replay=True)
    assert calls == [(1,)]


def test_interrupted_replay_leaves_nothing_behind(event, fire, calls):
    event.emit(1)
    kept = event._kept

    class Replays(dict):
        """Where a replay is noted, but not removed: a signal handler has raised."""

        def pop(self, key, default=None):
            raise KeyboardInterrupt

    kept.replays, before = Replays(), kept.replays
    with pytest.raises(KeyboardInterrupt):
        event.connect(calls, replay=True)
    kept.replays = dict(kept.replays)
    assert len(kept.replays) == 1
    gc.collect()
    fire(event, 2)
    assert kept.replays == before == {}


@pytest.mark.parametrize("who", ["replay", "emission"])
def test_emission_of_another_thread_and_replay_call_it_once(ns, fire, monkeypatch, who):
    event = ns.event("x", replay=2)
    has_begun, may_go_on, is_replaying, is_emitted = (threading.Event() for _ in range(4))
    calls = []

    def handler(sender):
        calls.append((sender, threading.get_ident() == main))
        if sender == "before" and who == "emission":  # the replay pauses before it gets to the emission
            may_go_on.set()
            assert is_emitted.wait(30)

    def pause(self):
        trim(self)
        if threading.get_ident() != main:  # between the two looks of the emission
            has_begun.set()
            assert may_go_on.wait(30)

    kept = importlib.import_module("cyevents._replay").KeptEmissions
    trim = kept.trim
    monkeypatch.setattr(kept, "trim", pause)
    main = threading.get_ident()
    event.emit("before")
    with ThreadPoolExecutor(1) as pool:

        def emit():
            fire(event, "now")
            is_emitted.set()

        emitting = pool.submit(emit)
        assert has_begun.wait(30)
        event.connect(handler, replay=True)
        may_go_on.set()
        emitting.result(30)
    assert calls == [("before", True), ("now", who == "replay")]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["emit", "send", "emit_async"])
def test_racing_threads_get_each_emission_once(api, ns, way):
    event = ns.event("x", replay=100_000)
    emitters, connectors, each, handlers = 3, 3, 150, 40
    barrier = threading.Barrier(emitters + connectors, timeout=30)
    numbers = itertools.count()
    all_calls = []

    def emit():
        barrier.wait()
        if way == "emit_async":

            async def main():
                for _ in range(each):
                    await event.emit_async(next(numbers))

            asyncio.run(main())
        else:
            for _ in range(each):
                getattr(event, way)(next(numbers))

    def connect():
        barrier.wait()
        for number in range(handlers):
            calls = []
            all_calls.append(calls)
            sender = "nobody" if number % 10 == 9 else api.ANY
            event.connect(lambda sender, calls=calls: calls.append(sender), sender, weak=False, replay=True)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(emitters + connectors) as pool:
            futures = [pool.submit(emit) for _ in range(emitters)]
            futures += [pool.submit(connect) for _ in range(connectors)]
            for future in futures:
                future.result(60)
    finally:
        sys.setswitchinterval(interval)
    expected = list(range(emitters * each))
    received = [sorted(calls) for calls in all_calls]
    assert [calls for calls in received if calls not in (expected, [])] == []
    assert received.count([]) == connectors * handlers // 10


def test_racing_emissions_keep_exactly_the_last(ns, calls):
    event = ns.event("x", replay=3)
    barrier = threading.Barrier(4, timeout=30)

    def emit(thread):
        barrier.wait()
        for number in range(300):
            event.emit((thread, number))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(emit, thread) for thread in range(4)]:
                future.result(60)
    finally:
        sys.setswitchinterval(interval)
    event.connect(calls, replay=True)
    assert len(calls) == 3
    assert len(event._kept._records) == 3
    assert all(number >= 297 for ((_, number),) in calls)
