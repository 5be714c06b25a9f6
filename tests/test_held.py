"""Holds collect emissions, and emit them at the end of a block, or when they are released."""

import asyncio
import contextvars
import copy
import gc
import importlib
import logging
import os
import pickle
import subprocess
import sys
import threading
import weakref

import pytest


class Sender:
    """A sender that can be referred to weakly."""

    def __repr__(self):
        return "Sender()"


class Calls(list):
    """A handler that notes its arguments, as (event name, sender, *args), keywords as a dict."""

    def __call__(self, sender, *args, event, **kwargs):
        self.append((event.name, sender, *args, *([kwargs] if kwargs else [])))

    __hash__ = object.__hash__


@pytest.fixture
def calls(ns):
    """Return the calls of a handler of all events of the namespace."""
    calls = Calls()
    ns.connect("*", calls, with_event=True)
    return calls


@pytest.fixture(params=["emit", "send", "first", "emit_async", "send_async", "first_async"])
def way(request):
    return request.param


@pytest.fixture
def fire(way, run):
    """Emit in each way: `fire(event, sender, ...)`."""
    if way.endswith("async"):
        return lambda event, /, *args, **kwargs: run(getattr(event, way)(*args, **kwargs))
    return lambda event, /, *args, **kwargs: getattr(event, way)(*args, **kwargs)


@pytest.fixture
def instrument(api):
    return importlib.import_module("cyevents.instrument")


# What is held


def test_emissions_are_made_at_the_end_in_order(ns, way, fire, calls):
    event = ns.event("x")
    with ns.held():
        for number in range(3):
            assert fire(event, number, "arg", key=number) == (None if way.startswith("first") else [])
        assert calls == []
    assert calls == [("x", number, "arg", {"key": number}) for number in range(3)]


def test_first_of_a_held_event_returns_its_default(ns, run):
    event = ns.event("x")
    event.connect(lambda sender: 1, weak=False)
    with event.held():
        assert event.first("sender", default="d") == "d"
        assert run(event.first_async("sender", default="d")) == "d"


def test_block_that_raises_drops_emissions(ns, fire, calls):
    event = ns.event("x")
    for error in (KeyError, KeyboardInterrupt):
        with pytest.raises(error), ns.held() as hold:
            fire(event, 1)
            raise error
        assert repr(hold) == "<Hold of a namespace: dropped>"
    fire(event, 2)
    assert calls == [("x", 2)]


def test_emission_without_a_sender_is_held(api, ns, calls):
    with ns.held():
        ns.event("x").emit()
        ns.emit("x", sender="by keyword")
    assert calls == [("x", api.ANY), ("x", "by keyword")]


def test_many_arguments_are_held(ns, fire, calls):
    with ns.held():
        fire(ns.event("x"), *range(20), **dict.fromkeys("abcdefghijklmnop", 1))
    assert calls == [("x", *range(20), dict.fromkeys("abcdefghijklmnop", 1))]


def test_names_and_new_events_are_held(ns, run, calls):
    ns.emit("cached", 0)
    with ns.held():
        assert ns.emit("cached", 1) == []
        assert ns.emit("undeclared", 2) == []
        assert run(ns.emit_async("undeclared", 3)) == []
        assert ns.event("new").emit(4) == []
        assert len(calls) == 1
    assert calls[1:] == [("cached", 1), ("undeclared", 2), ("undeclared", 3), ("new", 4)]


def test_name_without_handlers_may_have_some_at_the_release(ns):
    seen = []
    with ns.held():
        assert ns.emit("later", 1) == []
        ns.connect("later", seen.append, weak=False)
    assert seen == [1]


def test_evicted_event_is_held(api, ns, calls):
    registry = importlib.import_module("cyevents._registry")
    ns.emit("kept", 0)
    event = ns._cached["kept"]
    for number in range(registry.CACHE_LIMIT + 200):
        ns.emit(f"name {number}")
    assert event._is_hidden()
    calls.clear()
    with ns.held():
        event.emit(1)
        ns.emit("kept", 2)
        assert calls == []
    assert calls == [("kept", 1), ("kept", 2)]


def test_strict_namespace_refuses_names_at_once(api):
    strict = api.Namespace(strict=True)
    with strict.held() as hold:
        with pytest.raises(LookupError):
            strict.emit("x")
        with pytest.raises(ValueError, match="pattern"):
            strict.emit("x*")
    assert hold.emissions == []


def test_only_the_events_of_the_source_are_held(api, ns, calls):
    lone = api.Event("lone")
    lone.connect(calls, with_event=True)
    ns.event("x"), ns.event("y")
    with ns.event("x").held():
        for event in (ns["x"], ns["y"], lone):
            event.emit(1)
        assert calls == [("y", 1), ("lone", 1)]
    with lone.held(), api.Namespace().held():
        for event in (ns["x"], lone):
            event.emit(2)
        assert calls == [("y", 1), ("lone", 1), ("x", 1), ("x", 2)]
    assert calls[4:] == [("lone", 2)]


def test_pattern_holds_the_events_that_match(ns, calls):
    ns.event("a.1")
    with ns.event("a.*").held() as hold:
        for name in ("a.1", "b.1", "a.undeclared"):
            ns.emit(name, 1)
        ns.event("a.new").emit(2)
        assert calls == [("b.1", 1)]
        assert repr(hold) == "<Hold of 'a.*': 3 emissions held>"
    assert calls[1:] == [("a.1", 1), ("a.undeclared", 1), ("a.new", 2)]


def test_event_of_an_object_holds_that_object(api, fire):
    class Thermostat:
        changed = api.Event()

        def __repr__(self):
            return "Thermostat()"

    seen, kitchen, cellar = [], Thermostat(), Thermostat()
    Thermostat.changed.connect(lambda sender, *args: seen.append((sender, *args)), weak=False)
    with kitchen.changed.held(merge="last_per_sender"):
        fire(kitchen.changed, 1)
        fire(cellar.changed, 2)
        fire(kitchen.changed, 3)
        assert seen == [(cellar, 2)]
    assert seen == [(cellar, 2), (kitchen, 3)]
    hold = kitchen.changed.hold()
    Thermostat.changed.emit(kitchen, 4)
    assert repr(hold) == "<Hold of 'Thermostat.changed' by Thermostat(): 1 emission held>"
    hold.release()
    assert seen[2:] == [(kitchen, 4)]
    assert kitchen.changed.hold().release() is None


def test_deleted_event_is_no_longer_held(ns):
    event, seen = ns.event("x", replay=1), []
    event.connect(seen.append, weak=False)
    with ns.held():
        event.emit(1)
        del ns["x"]
        event.emit(2)
        assert seen == [2]
    assert seen == [2, 1]


def test_observed_events_are_held(ns, instrument, fire, calls):
    event = ns.event("x")

    class Everything(instrument.Instrument, instrument.EmissionSpan):
        def begin(self, start):
            seen.append((start.sender, start.way))
            return self

        def call(self, entry, handler):
            return instrument.CallSpan()

    seen = []
    with instrument.observe(Everything(), ns):
        with ns.held():
            fire(event, 1)
            assert calls == seen == []
        assert (calls, seen) == ([("x", 1)], [(1, "emit")])


def test_veto_of_an_instrument_is_raised_at_the_release(ns, instrument, calls):
    class Veto(instrument.Instrument):
        def begin(self, start):
            if start.sender == 1:
                raise ValueError("vetoed")

    with instrument.observe(Veto(), ns):
        hold = ns.hold()
        ns.emit("x", 1)
        ns.emit("x", 2)
        with pytest.raises(ValueError, match="vetoed"):
            hold.release()
    assert calls == [("x", 2)]


def test_emission_keeps_its_origin(ns, instrument, fire, calls):
    class Origins(instrument.Instrument):
        def begin(self, start):
            seen.append((start.sender, start.origin))

    seen = []
    with instrument.observe(Origins(), ns), ns.held():
        with ns.held():
            with instrument.origin("message"):
                ns.emit("x", 1)
                ns.emit("x", 2)
            ns.emit("x", 3)
        assert seen == []
    assert seen == [(1, "message"), (2, None), (3, None)]


def test_recorder_and_trace_see_emissions_when_released(api, ns, testing):
    ns.event("x")
    with testing.Recorder(ns) as events, api.trace(ns) as seen:
        with ns.held():
            ns.emit("x", 1)
            events.assert_not_emitted("x")
            assert seen.emissions == []
        events.assert_emitted("x", 1, times=1)
        assert [(each.event, each.way) for each in seen.emissions] == [("x", "emit")]


def test_isolation_inside_a_hold_restores_events(api, testing):
    namespace, seen = api.default_namespace, []
    event = namespace.event("x")
    event.connect(seen.append, weak=False)
    with namespace.held():
        with testing.Isolation():
            del namespace["x"]
        assert namespace["x"] is event
        event.emit(1)
        assert seen == []
    assert seen == [1]


# The release is the emission


def test_conditions_mutes_and_connections_count_at_the_release(ns):
    event, seen, is_open = ns.event("x"), [], [False]
    with event.held():
        event.emit(1)
        event.connect(seen.append, weak=False, condition=lambda sender: is_open[0])
        is_open[0] = True
        with event.muted():
            event.emit(2)
    assert seen == [1, 2]
    with event.muted(), event.held():
        event.emit(3)
    with event.held():
        event.emit(4)
        event.disconnect(seen.append)
        event.clear()
    assert seen == [1, 2]


def test_once_is_used_up_at_the_release(ns):
    event, seen = ns.event("x"), []
    event.connect(seen.append, weak=False, once=True)
    with event.held():
        event.emit(1)
        event.emit(2)
        assert len(event.handlers) == 1
    assert seen == [1]
    assert event.handlers == []


def test_replay_keeps_emissions_when_they_are_released(ns, fire):
    event, seen = ns.event("x", replay=2), []
    with ns.held():
        fire(event, 1)
        event.connect(seen.append, weak=False, replay=True)
        event.replay = 0
        event.replay = 2
        event.disconnect(seen.append)
        event.clear()
    event.connect(seen.append, weak=False, replay=True)
    assert seen == [1]
    fire(event, 2)
    assert seen == [1, 2]


def test_setting_replay_does_not_end_a_hold(ns, calls):
    event = ns.event("x")
    for source in (ns, event, ns.event("x*")):
        with source.held():
            event.replay = 1
            event.emit(1)
            event.replay = 0
            event.emit(2)
            assert calls == []
        assert calls == [("x", 1), ("x", 2)]
        calls.clear()


def test_streams_get_emissions_when_they_are_released(ns):
    stream = ns.event("x").stream()
    with ns.held():
        ns.emit("x", 1)
        assert repr(stream) == "<Stream of 'x': 0 waiting>"
    assert next(stream).sender == 1
    stream.close()


def test_async_handlers_are_scheduled_at_the_release(ns, run):
    seen = []

    @ns.on("x")
    async def handler(sender):
        await asyncio.sleep(0)
        seen.append(sender)

    async def main(api):
        with ns.held():
            assert await ns.emit_async("x", 1) == []
        assert seen == []
        await api.drain_async(5)
        assert seen == [1]

    run(main(importlib.import_module("cyevents")))


def test_overridden_emit_runs_once(api):
    class Numbered(api.Event):
        def emit(self, sender, *args):
            return super().emit(sender, "added", *args)

    event, seen = Numbered("x"), []
    event.connect(lambda *args: seen.append(args), weak=False)
    with event.held():
        event.emit(1, 2)
    assert seen == [(1, "added", 2)]


def test_emissions_of_handlers_during_the_release_are_made_at_once(ns):
    seen = []

    @ns.on("x")
    def again(sender):
        seen.append(sender)
        if sender < 10:
            ns.emit("x", sender + 10)

    with ns.held():
        ns.emit("x", 1)
        ns.emit("x", 2)
    assert seen == [1, 11, 2, 12]


# Merging


def test_last_per_sender_keeps_the_last_in_its_place(ns, calls):
    one, other = Sender(), Sender()
    with ns.held(merge="last_per_sender"):
        for sender, number in [(one, 1), (other, 2), ("a", 3), (one, 4), ("a", 5), (1, 6), (True, 7), (1, 8)]:
            ns.emit("x", sender, number)
        ns.emit("y", one, 9)
    assert calls == [("x", other, 2), ("x", one, 4), ("x", "a", 5), ("x", True, 7), ("x", 1, 8), ("y", one, 9)]


def test_merge_function_gets_and_returns_emissions(api, ns, calls):
    ns.event("x"), ns.event("all")

    def merge(emissions):
        assert [repr(each) for each in emissions] == ["emit('x', 1)", "emit('x', 2, key=3)"]
        yield emissions[1]
        yield api.Emission(ns["all"], "both", (len(emissions),), {})

    with ns["x"].held(merge):
        ns.emit("x", 1)
        ns.emit("x", 2, key=3)
    assert calls == [("x", 2, {"key": 3}), ("all", "both", 2)]


def test_merge_may_return_an_emission_twice_or_none(ns, calls):
    with ns.held(lambda emissions: emissions * 2):
        ns.emit("x", 1)
    assert calls == [("x", 1), ("x", 1)]
    with ns.held(lambda emissions: []):
        ns.emit("x", 2)
    assert len(calls) == 2


def test_merge_is_not_called_for_nothing(ns):
    with ns.held(lambda emissions: 1 / 0):
        pass


@pytest.mark.parametrize("given", [5, b"last_per_sender", [], ("last_per_sender",)])
def test_merge_must_be_callable_or_a_word(api, ns, given):
    for source in (ns, ns.event("x"), ns.event("x*")):
        for way in (source.held, source.hold):
            with pytest.raises(
                TypeError, match=r'merge must be None, "last_per_sender" or a function .*, not '
            ) as error:
                way(given)
            assert str(error.value).endswith(repr(given))


def test_unknown_merge_word_is_refused(ns):
    with pytest.raises(ValueError, match="merge must be None, \"last_per_sender\" or a function .*, not 'last'"):
        ns.held("last")


def test_merge_must_not_be_a_coroutine_function(ns):
    async def merge(emissions):
        return emissions

    with pytest.raises(TypeError, match="merge .*merge is a coroutine function: it must return emissions at once"):
        ns.hold(merge=merge)


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (None, "must return a list of the emissions to emit, not None"),
        (5, "must return a list of the emissions to emit, not 5"),
        ([5], "must return a list of the emissions to emit, each an Emission of an Event, not 5"),
        ("x", "must return a list of the emissions to emit, each an Emission of an Event, not 'x'"),
    ],
)
def test_merge_must_return_emissions(ns, calls, returned, text):
    hold = ns.hold(lambda emissions: returned)
    ns.emit("x", 1)
    with pytest.raises(TypeError, match=f"merge .*<lambda> {text}$"):
        hold.release()
    assert [each.sender for each in hold.emissions] == [1]
    assert calls == []
    hold.drop()


def test_merge_must_return_emissions_of_events(api, ns):
    hold = ns.hold(lambda emissions: [api.Emission("x", 1, (), {})])
    ns.emit("x", 1)
    with pytest.raises(TypeError, match="each an Emission of an Event, not <"):
        hold.release()
    hold.drop()
    hold = ns.hold(lambda emissions: [api.Emission(ns.event("x*"), 1, (), {})])
    ns.emit("x", 1)
    with pytest.raises(ValueError, match="'x\\*' is a pattern and cannot be emitted"):
        hold.release()
    hold.drop()


def test_release_after_a_failed_merge_tries_again(ns, calls):
    failures = [ValueError("no")]

    def merge(emissions):
        emissions.reverse()
        if failures:
            raise failures.pop()
        return emissions

    hold = ns.hold(merge)
    ns.emit("x", 1)
    ns.emit("x", 2)
    with pytest.raises(ValueError, match="no"):
        hold.release()
    assert repr(hold) == "<Hold of a namespace: released, 2 emissions held>"
    ns.emit("x", 3)
    hold.release()
    assert calls == [("x", 3), ("x", 2), ("x", 1)]


# Without a block


def test_hold_holds_until_it_is_released(ns, fire, calls):
    event = ns.event("x")
    hold = event.hold()
    fire(event, 1)
    assert (repr(hold), calls) == ("<Hold of 'x': 1 emission held>", [])
    hold.release()
    assert (repr(hold), calls) == ("<Hold of 'x': released>", [("x", 1)])
    fire(event, 2)
    assert calls == [("x", 1), ("x", 2)]
    hold.release()
    hold.drop()
    assert (repr(hold), len(calls)) == ("<Hold of 'x': released>", 2)


def test_dropped_hold_emits_nothing(ns, fire, calls):
    hold = ns.hold()
    fire(ns.event("x"), 1)
    hold.drop()
    hold.release()
    hold.drop()
    assert (repr(hold), calls) == ("<Hold of a namespace: dropped>", [])
    fire(ns.event("x"), 2)
    assert calls == [("x", 2)]


def test_hold_is_a_context_manager(ns, calls):
    with ns.hold() as hold:
        ns.emit("x", 1)
        with hold:
            ns.emit("x", 2)
        assert len(calls) == 2
        ns.emit("x", 3)
    assert calls == [("x", 1), ("x", 2), ("x", 3)]


def test_held_begins_with_its_block(ns, calls):
    hold = ns.held()
    assert repr(hold) == "<Hold of a namespace: not entered>"
    ns.emit("x", 1)
    assert len(calls) == 1
    with hold as entered:
        assert entered is hold
        ns.emit("x", 2)
        assert len(calls) == 1
    with pytest.raises(RuntimeError, match=r"released> is used up: create another one with held\(\) or hold\(\)"), hold:
        pass
    assert len(calls) == 2


def test_block_may_release_or_drop_early(ns, calls):
    with ns.held() as hold:
        ns.emit("x", 1)
        hold.release()
        ns.emit("x", 2)
        assert calls == [("x", 1), ("x", 2)]
    with pytest.raises(KeyError), ns.held() as hold:
        ns.emit("x", 3)
        hold.release()
        raise KeyError
    with ns.held() as hold:
        ns.emit("x", 4)
        hold.drop()
    assert calls == [("x", 1), ("x", 2), ("x", 3)]


def test_emissions_are_listed(api, ns):
    with ns.held() as hold:
        sender = Sender()
        ns.emit("x", sender, 1, key=2)
        (emission,) = hold.emissions
        assert (emission.event, emission.sender, emission.args) == (ns.event("x"), sender, (1,))
        assert (emission.kwargs, emission.name, repr(emission)) == ({"key": 2}, "x", "emit('x', Sender(), 1, key=2)")
        assert isinstance(emission, api.Emission)
        hold.emissions.clear()
        assert len(hold.emissions) == 1
    assert hold.emissions == []


def test_names_of_holds(api):
    hold = api.Namespace(name="shop").held()
    assert repr(hold) == "<Hold of namespace 'shop': not entered>"
    assert isinstance(hold, api.Hold)


# Nested holds


@pytest.mark.parametrize("outer_source", ["namespace", "event", "pattern"])
@pytest.mark.parametrize("inner_source", ["namespace", "event", "pattern"])
def test_inner_hold_releases_into_the_outer_one(ns, calls, outer_source, inner_source):
    sources = {"namespace": ns, "event": ns.event("x"), "pattern": ns.event("x*")}
    with sources[outer_source].held() as outer:
        ns.emit("x", 1)
        with sources[inner_source].held():
            ns.emit("x", 2)
            assert len(outer.emissions) == 1
        assert len(outer.emissions) == 2
        ns.emit("x", 3)
        assert calls == []
    assert calls == [("x", 1), ("x", 2), ("x", 3)]


def test_inner_hold_that_is_dropped_leaves_the_outer_one(ns, calls):
    with ns.held():
        ns.emit("x", 1)
        with pytest.raises(KeyError), ns.held():
            ns.emit("x", 2)
            raise KeyError
        ns.emit("x", 3)
    assert calls == [("x", 1), ("x", 3)]


def test_outer_hold_takes_only_what_it_covers(ns, calls):
    with ns.event("x").held():
        with ns.held():
            ns.emit("x", 1)
            ns.emit("y", 2)
        assert calls == [("y", 2)]
    assert calls == [("y", 2), ("x", 1)]


def test_merges_of_nested_holds_apply_in_turn(ns, calls):
    with ns.held("last_per_sender"):
        ns.emit("x", 1, "outer")
        with ns.held(lambda emissions: emissions[::-1]):
            ns.emit("x", 1, "inner")
            ns.emit("x", 2)
    assert calls == [("x", 2), ("x", 1, "inner")]


def test_outer_hold_may_be_released_first(ns, calls):
    outer = ns.hold()
    ns.emit("x", 1)
    inner = ns.hold()
    ns.emit("x", 2)
    outer.release()
    assert calls == [("x", 1)]
    ns.emit("x", 3)
    assert calls == [("x", 1)]
    inner.release()
    ns.emit("x", 4)
    assert calls == [("x", 1), ("x", 2), ("x", 3), ("x", 4)]


def test_outer_hold_may_be_dropped_first(ns, calls):
    outer = ns.hold()
    inner = ns.hold()
    ns.emit("x", 1)
    outer.drop()
    ns.emit("x", 2)
    assert calls == []
    inner.release()
    assert calls == [("x", 1), ("x", 2)]


def test_hold_made_during_a_release_stays(ns, calls):
    holds = []
    outer, inner = ns.hold(), ns.hold()
    inner.drop()

    @ns.on("x")
    def hold(sender):
        if not holds:
            holds.append(ns.hold())

    ns.emit("x", 1)
    other = ns.event("y").hold()
    outer.release()
    ns.emit("x", 2)
    ns.emit("y", 3)
    assert calls == [("x", 1)]
    other.release()
    assert calls == [("x", 1)]  # it is inside the other one now
    holds[0].release()
    assert calls == [("x", 1), ("x", 2), ("y", 3)]


# Exceptions


def test_exception_propagates_after_the_rest(ns):
    seen = []

    @ns.on("x")
    def handler(sender):
        seen.append(sender)
        if sender == 1:
            raise ValueError(sender)

    with pytest.raises(ValueError, match="1"), ns.held():
        ns.emit("x", 1)
        ns.emit("x", 2)
    assert seen == [1, 2]


def test_several_exceptions_become_a_group(ns):
    errors = []

    @ns.on("x")
    def handler(sender):
        errors.append(ValueError(sender))
        raise errors[-1]

    with pytest.raises(ExceptionGroup) as raised, ns.held():
        ns.emit("x", 1)
        ns.emit("x", 2)
    assert raised.value.message == "2 held emissions failed"
    assert raised.value.exceptions == tuple(errors)


def test_error_policies_apply(ns):
    ns.on_error = lambda error, handler, event, sender: seen.append(sender)
    seen = []
    ns.connect("x", lambda sender: 1 / 0, weak=False)
    with ns.held():
        ns.emit("x", 1)
    assert seen == [1]


def test_base_exception_leaves_the_rest_in_the_hold(ns, calls):
    @ns.on("x", priority=1)
    def handler(sender):
        if sender == 1:
            raise KeyboardInterrupt

    hold = ns.hold()
    for number in (1, 2, 3):
        ns.emit("x", number)
    with pytest.raises(KeyboardInterrupt):
        hold.release()
    assert calls == []
    assert repr(hold) == "<Hold of a namespace: released, 2 emissions held>"
    hold.release()
    assert calls == [("x", 2), ("x", 3)]


def test_exceptions_make_no_reference_cycle(ns, no_garbage):
    @ns.on("x")
    def handler(sender):
        raise ValueError

    class Box(Sender):
        pass

    for count in (1, 2):
        boxes = [Box() for _ in range(count)]
        references = [weakref.ref(box) for box in boxes]
        try:
            with ns.held():
                for box in boxes:
                    ns.emit("x", box)
        except (ValueError, ExceptionGroup):
            pass
        del box, boxes
        assert [reference() for reference in references] == [None] * count


# Contexts


def test_other_threads_are_not_held(ns, fire, calls):
    event = ns.event("x")
    with ns.held():
        thread = threading.Thread(target=contextvars.Context().run, args=(fire, event, 1))
        thread.start()
        thread.join()
        assert calls == [("x", 1)]
        fire(event, 2)
        assert len(calls) == 1
    assert calls == [("x", 1), ("x", 2)]


def test_thread_with_a_copied_context_is_held(ns, run, calls):
    async def main():
        with ns.held():
            await asyncio.to_thread(ns.emit, "x", 1)
            assert calls == []
        assert calls == [("x", 1)]

    run(main())


def test_other_tasks_are_not_held(ns, run, calls):
    async def other(entered, done):
        await entered.wait()
        ns.emit("x", "other")
        await ns.emit_async("x", "other")
        done.set()

    async def main():
        entered, done = asyncio.Event(), asyncio.Event()
        task = asyncio.create_task(other(entered, done))
        with ns.held():
            ns.emit("x", "own")
            entered.set()
            await done.wait()
            assert calls == [("x", "other")] * 2
        await task
        assert calls[2:] == [("x", "own")]

    run(main())


def test_inherited_hold_ends_with_its_release(ns, run, calls):
    async def child(step, go_on):
        ns.emit("x", "before")
        step.set()
        await go_on.wait()
        ns.emit("x", "after")
        with ns.held():
            ns.emit("x", "own")

    async def main():
        step, go_on = asyncio.Event(), asyncio.Event()
        with ns.held():
            task = asyncio.create_task(child(step, go_on))
            await step.wait()
            assert calls == []
        assert calls == [("x", "before")]
        go_on.set()
        await task
        assert calls == [("x", "before"), ("x", "after"), ("x", "own")]

    run(main())


def test_hold_may_be_released_in_another_context(ns, calls):
    hold = ns.hold()
    ns.emit("x", 1)
    contextvars.Context().run(hold.release)
    assert calls == [("x", 1)]
    ns.emit("x", 2)
    assert calls == [("x", 1), ("x", 2)]


def test_release_in_another_context_uses_the_holds_there(ns, calls):
    hold = ns.hold()
    ns.emit("x", 1)

    def release():
        with ns.held():
            hold.release()
            assert calls == []
        assert calls == [("x", 1)]

    contextvars.Context().run(release)


def test_block_may_be_left_in_another_context(ns, calls):
    block = ns.held()
    contextvars.copy_context().run(block.__enter__)
    ns.emit("x", 1)
    assert calls == [("x", 1)]
    block.__exit__(None, None, None)
    assert repr(block) == "<Hold of a namespace: released>"


def test_holds_leave_the_context_as_it_was(ns):
    variable = importlib.import_module("cyevents._held")._holds
    with ns.held(), ns.event("x").held():
        assert len(variable.get()) == 2
    assert variable.get() == ()


def test_trio_tasks_have_holds_of_their_own(ns, calls):
    trio = pytest.importorskip("trio")
    pytest.importorskip("anyio")

    async def other(done):
        await ns.emit_async("x", "other")
        done.set()

    async def main():
        async with trio.open_nursery() as nursery:
            with ns.held():
                assert await ns.emit_async("x", "own") == []
                done = trio.Event()
                trio.lowlevel.spawn_system_task(other, done, context=contextvars.Context())
                await done.wait()
                assert calls == [("x", "other")]
                nursery.start_soon(ns.emit_async, "x", "child")
                await trio.testing.wait_all_tasks_blocked()
                assert len(calls) == 1

    importlib.import_module("trio.testing")
    trio.run(main)
    assert calls[1:] == [("x", "own"), ("x", "child")]


# Threads


def test_emission_is_emitted_once_however_threads_meet(api):
    """Threads that share a context emit while another one releases: each emission takes place exactly once."""
    for attempt in range(20):
        namespace, seen = api.Namespace(), []
        event = namespace.event("x")
        event.connect(seen.append, weak=False)
        start = threading.Barrier(4)

        def emit(first, event=event, start=start):
            start.wait()
            for number in range(first, first + 200):
                event.emit(number)

        hold = namespace.hold("last_per_sender" if attempt % 2 else None)
        contexts = [contextvars.copy_context() for _ in range(3)]
        threads = [
            threading.Thread(target=context.run, args=(emit, index * 200)) for index, context in enumerate(contexts)
        ]
        for thread in threads:
            thread.start()
        start.wait()
        while len(seen) == len(hold.emissions) == 0:
            pass
        hold.release()
        for thread in threads:
            thread.join()
        hold.release()
        assert sorted(seen) == list(range(600))
        assert hold.emissions == []


def test_release_in_two_threads_emits_once(ns):
    seen = []
    ns.connect("x", seen.append, weak=False)
    hold = ns.hold()
    for number in range(500):
        ns.emit("x", number)
    start = threading.Barrier(2)

    def release():
        start.wait()
        hold.release()

    threads = [threading.Thread(target=release) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(500))


# Nothing stays


@pytest.fixture
def recorded(api, monkeypatch):
    """Return the names of the events whose emissions the core has passed to `_record`."""
    names = []
    hooks = importlib.import_module("cyevents._hooks").EventHooks
    original = hooks._record

    def record(self, *emission):
        names.append(self.name)
        return original(self, *emission)

    monkeypatch.setattr(hooks, "_record", record)
    return names


@pytest.mark.parametrize("end", ["release", "drop", "discard", "block"])
@pytest.mark.parametrize("of", ["namespace", "event", "pattern"])
def test_events_are_fast_again_after_the_last_hold(ns, recorded, of, end, caplog):
    event = ns.event("x")
    source = {"namespace": ns, "event": event, "pattern": ns.event("x*")}[of]
    outer = source.hold()
    for _ in range(3):
        if end == "block":
            with source.held():
                event.emit()
        else:
            hold = source.hold()
            event.emit()
            if end != "discard":
                getattr(hold, end)()
            del hold
    recorded.clear()
    contextvars.Context().run(event.emit)
    assert recorded == ["x"]
    outer.release()
    recorded.clear()
    event.emit()
    ns.event("y").emit()
    ns.emit("x")
    assert recorded == []


def test_event_deleted_in_a_hold_is_fast_again(ns, recorded):
    event = ns.event("x")
    with ns.held():
        del ns["x"]
        event.emit()
    event.emit()
    assert recorded == []


def test_event_that_keeps_emissions_goes_on_to_keep_them(ns, recorded):
    event = ns.event("x", replay=1)
    with ns.held(), event.held():
        pass
    event.emit()
    assert recorded == ["x"]


def test_nothing_is_kept_alive_after_the_end(ns, collect):
    def use(end):
        sender, argument = Sender(), Sender()
        hold = ns.hold()
        inherited.append(contextvars.copy_context())
        ns.emit("x", sender, argument=argument)
        end(hold)
        return weakref.ref(sender), weakref.ref(argument), hold

    inherited = []
    for end in ("release", "drop"):
        *references, hold = use(lambda hold, end=end: getattr(hold, end)())
        collect()
        assert [reference() for reference in references] == [None, None]
        reference = weakref.ref(hold)
        del hold
        collect()
        assert reference() is None


def test_discarded_hold_is_dropped_and_logged(ns, calls, caplog):
    hold = ns.hold()
    for number in range(12):
        ns.emit("x", number)
    del hold
    gc.collect()
    ns.emit("x", "direct")
    assert calls == [("x", "direct")]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("cyevents", logging.WARNING)
    text = record.getMessage()
    assert text.startswith("held emissions are lost, since their hold was discarded: keep what hold() returns")
    assert text.endswith("They are: " + ", ".join(f"emit('x', {n})" for n in range(10)) + ", 2 more")


def test_discarded_hold_without_emissions_is_silent(ns, caplog, recwarn):
    hold = ns.hold()
    del hold
    hold = ns.hold()
    hold.release()
    del hold
    hold = ns.held()
    del hold
    gc.collect()
    assert not caplog.records
    assert not recwarn.list


def test_hold_discarded_at_once_warns_at_its_line(api, ns):
    class Thermostat:
        changed = api.Event()

    thermostat = Thermostat()
    for source in (ns, ns.event("x"), ns.event("x*"), thermostat.changed):
        with pytest.warns(
            RuntimeWarning, match=r"hold\(\) returned a hold that was discarded: nothing is held"
        ) as warned:
            source.hold()
            gc.collect()
        assert warned[0].filename == __file__
        with pytest.warns(
            RuntimeWarning, match=r"^held\(\) returned .*: nothing is held. Put it in a `with`$"
        ) as warned:
            source.held()  # without a `with`
            gc.collect()
        assert warned[0].filename == __file__


def test_release_kept_by_a_callback_keeps_the_hold(ns, calls):
    callbacks = [ns.hold().release]
    ns.emit("x", 1)
    assert calls == []
    callbacks.pop()()
    assert calls == [("x", 1)]


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, pickle.dumps])
def test_holds_are_not_copied(ns, calls, way):
    event = ns.event("x")
    hold = event.hold()
    event.emit(None, 1)
    with pytest.raises(TypeError, match="a hold cannot be copied or pickled"):
        way(hold)
    hold.release()
    assert len(calls) == 1


def test_held_emissions_are_logged_at_exit(backend):
    program = """if True:
        import cyevents
        namespace = cyevents.Namespace()
        hold, done = namespace.hold(), namespace.hold()
        namespace.emit("x", 1)
        done.release()
        empty = namespace.hold()
    """
    environment = {**os.environ, "CYEVENTS_PURE_PYTHON": "0" if backend == "cython" else "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "held emissions are lost, since the interpreter exits. They are: emit('x', 1)\n"


def test_import_of_the_package_does_not_load_holds(backend):
    program = "import cyevents, sys; cyevents.emit('x'); print('cyevents._held' in sys.modules)"
    environment = {**os.environ, "CYEVENTS_PURE_PYTHON": "0" if backend == "cython" else "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_objects_with_raising_methods_are_held(ns, calls, caplog):
    class Hostile:
        def __repr__(self):
            raise ValueError

        __eq__ = __hash__ = __bool__ = __repr__

    one, other = Hostile(), Hostile()
    with ns.held("last_per_sender") as hold:
        ns.emit("x", one, other)
        ns.emit("x", other, key=one)
        ns.emit("x", one)
        assert len(repr(hold.emissions)) > 0
    assert [call[1] is one for call in calls] == [False, True]
    hold = ns.hold()
    ns.emit("x", one)
    del hold
    assert "emit('x', <Hostile instance" in caplog.text


class Interrupt(BaseException):
    """What a signal handler raises."""


def interrupted_at(number, act):
    """Call a function and interrupt it at a line of the package; return whether it has that many lines."""
    left = number

    def trace(frame, kind, argument):
        nonlocal left
        name = frame.f_globals["__name__"]
        if not name.startswith("cyevents.") or "._core" in name:  # there, signal handlers run at fewer places
            return None
        caller = frame
        while caller is not None:
            if caller.f_code.co_name == "__del__":  # what it raises is ignored
                return None
            caller = caller.f_back
        if kind == "line":
            left -= 1
            if left == 0:
                raise Interrupt
        return trace

    previous = sys.gettrace()
    try:
        sys.settrace(trace)
        act()
    except Interrupt:
        pass
    finally:
        sys.settrace(previous)
    return left <= 0


@pytest.mark.parametrize("of", ["namespace", "event", "pattern"])
@pytest.mark.parametrize("end", ["release", "drop", "discard", "block"])
def test_interrupted_hold_leaves_nothing_in_force(api, recorded, collect, of, end):
    module = importlib.import_module("cyevents._held")
    number, is_interrupted, seen = 0, True, []
    while is_interrupted:
        number += 1
        namespace = api.Namespace()
        event = namespace.event("x")
        event.connect(seen.append, weak=False)
        source = {"namespace": namespace, "event": event, "pattern": namespace.event("x*")}[of]

        def act(source=source, event=event):
            if end == "block":
                with source.held():
                    event.emit(number)
                return
            hold = source.hold()
            event.emit(number)
            if end != "discard":
                getattr(hold, end)()

        is_interrupted = interrupted_at(number, act)
        if module._unfinished:
            collect()
        assert [scope for scope in namespace._scopes if scope.is_hold] == []
        assert module._unfinished == {}
        seen.clear()
        recorded.clear()
        event.emit("direct")
        namespace.emit("y")
        assert (seen, recorded) == (["direct"], [])
    thread = threading.Thread(target=namespace.event, args=("other",), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()  # the lock is free
    assert number > 50


def test_finalizers_may_use_holds(ns, calls, collect):
    class Finalizer:
        def __del__(self):
            with ns.held():
                ns.emit("finalized", 1)
            self.hold.release()

    first = Finalizer()
    first.hold, first.self = ns.hold(), first
    ns.emit("x", 2)
    del first
    with ns.held():
        collect()
        ns.emit("x", 3)
    assert sorted(calls) == [("finalized", 1), ("x", 2), ("x", 3)]
