"""Observed emissions behave like others, and their instruments are called in order."""

import asyncio
import contextvars
import gc
import importlib
import os
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest


@pytest.fixture
def instrument(api):
    return importlib.import_module("cyevents.instrument")


@pytest.fixture
def observe(instrument):
    """Observe sources until the end of the test."""
    scopes = []

    def start(*args, **kwargs):
        scopes.append(instrument.observe(*args, **kwargs))
        return scopes[-1]

    yield start
    for scope in scopes:
        scope.stop()


@pytest.fixture
def emission_module(instrument):
    return importlib.import_module("cyevents.instrument._emission")


@pytest.fixture
def scope_module(instrument):
    return importlib.import_module("cyevents.instrument._scope")


@pytest.fixture
def seen(instrument, observe):
    """Record the calls of an instrument as lines; `seen.instrument()` makes one, `seen.observe(*sources)` uses it."""

    class Call(instrument.CallSpan):
        def __init__(self, name):
            self.name = name

        def enter(self):
            lines.append(f"{self.name} enters")

        def exit(self, same_context):
            lines.append(f"{self.name} exits" + ("" if same_context else " elsewhere"))

        def scheduled(self):
            lines.append(f"{self.name} will be awaited")

        def started(self):
            lines.append(f"{self.name} starts")

        def end(self, value, error):
            lines.append(f"{self.name} ends: {value!r} {error!r}")

    class Span(instrument.EmissionSpan):
        def plan(self, entries):
            lines.append(f"planned: {[entry.name.rpartition('.')[2] for entry in entries]}")

        def skip(self, entry, handler, reason, error):
            assert (handler is None) == (reason == "it is dead")
            cause = "" if error is None else f", {error!r}"
            lines.append(f"{entry.name.rpartition('.')[2]} is skipped: {reason}{cause}")

        def call(self, entry, handler):
            return Call(handler.__name__)

        def end(self, results, error):
            lines.append(f"end: {results!r} {error!r}")

    class Lining(instrument.Instrument):
        def begin(self, start):
            parent = start.parent
            within = f" within {parent.name}" if isinstance(parent, Call) else " within its own" if parent else ""
            lines.append(f"{start.way} {start.event.name} {start.sender!r} {start.args} {start.kwargs}{within}")
            return Span()

    class Lines(list):
        instrument = Lining

        def observe(self, *sources):
            return observe(Lining(), *sources)

        def take(self):
            taken = list(self)
            self.clear()
            return taken

    lines = Lines()
    return lines


def test_emission_is_observed_from_begin_to_end(ns, seen):
    @ns.on("x", priority=1)
    def one(sender, *args, **kwargs):
        return 1

    @ns.on("x")
    def two(sender, *args, **kwargs):
        return None

    seen.observe(ns)
    assert ns.emit("x", "ada", 2, total=3) == [1]
    expected = [
        "emit x 'ada' (2,) {'total': 3}",
        "planned: ['one', 'two']",
        "one enters",
        "one exits",
        "one ends: 1 None",
        "two enters",
        "two exits",
        "two ends: None None",
        "end: [1] None",
    ]
    assert seen.take() == expected
    assert ns["x"].emit("ada", 2, total=3) == [1]
    assert seen.take() == expected
    assert ns["x"].emit(sender="ada", total=3) == [1]
    assert seen.take()[0] == "emit x 'ada' () {'total': 3}"


def test_send_is_observed(ns, seen):
    @ns.on("x")
    async def wait(sender):
        pass

    @ns.on("x")
    def refuse(sender):
        return False

    seen.observe(ns)
    (_, coroutine), pair = ns["x"].send("ada")
    coroutine.close()
    assert pair == (refuse, False)
    assert [line for line in seen if not line.startswith(("wait ends", "end:"))] == [
        "send x 'ada' () {}",
        "planned: ['wait', 'refuse']",
        "wait enters",
        "wait exits",
        "refuse enters",
        "refuse exits",
        "refuse ends: False None",
    ]


def test_emit_async_observes_what_it_awaits(ns, seen, run):
    @ns.on("x", priority=1)
    async def wait(sender):
        await asyncio.sleep(0)
        return 1

    @ns.on("x")
    async def items(sender):
        yield 2

    seen.observe(ns)
    assert run(ns.emit_async("x")) == [1, [2]]
    assert seen.take() == [
        "emit_async x ANY () {}",
        "planned: ['wait']",
        "planned: ['items']",
        "wait enters",
        "wait exits",
        "wait will be awaited",
        "wait enters",
        "wait starts",
        "wait exits",
        "wait ends: 1 None",
        "items enters",
        "items exits",
        "items will be awaited",
        "items enters",
        "items starts",
        "items exits",
        "items ends: [2] None",
        "end: [1, [2]] None",
    ]


def test_scheduled_handler_is_observed_to_its_end(api, ns, seen, run):
    @ns.on("x")
    async def wait(sender):
        await asyncio.sleep(0)
        return 1

    seen.observe(ns)

    async def main():
        assert ns.emit("x") == []
        assert seen.take()[-1] == "end: [] None"
        assert await api.drain_async(10)

    run(main())
    assert seen.take() == ["wait enters", "wait starts", "wait exits", "wait ends: 1 None"]


def test_generator_is_observed_until_consumed(ns, seen):
    @ns.on("x")
    def items(sender):
        yield 1
        return False

    seen.observe(ns)
    assert ns.emit("x") == [[1]]
    assert seen.take()[2:] == [
        "items enters",
        "items exits",
        "items enters",
        "items exits",
        "items ends: False None",
        "end: Cancelled([[1]], by test_generator_is_observed_until_consumed.<locals>.items) None",
    ]


CALL = ["handler enters", "handler exits"]
LATER = ["handler will be awaited", "handler enters", "handler starts", "handler exits"]


def test_handler_consumed_by_an_inner_emission_is_skipped(ns, seen):
    @ns.on("x", priority=1)
    def first(sender):
        if sender == "outer":
            ns.emit("x", "inner")

    @ns.on("x", once=True)
    def once(sender):
        return sender

    seen.observe(ns)
    assert ns.emit("x", "outer") == []
    assert "once ends: 'inner' None" in seen
    assert "once is skipped: it has been called once" in seen


@pytest.mark.parametrize(
    ("kind", "way", "expected"),
    [
        ("sync", "emit", [*CALL, "handler ends: 1 None", "end: [1] None"]),
        ("sync", "emit_async", [*CALL, "handler ends: 1 None", "end: [1] None"]),
        ("sync", "send", [*CALL, "handler ends: 1 None", "end: [(handler, 1)] None"]),
        ("thread", "emit", [*CALL, "handler ends: 1 None", "end: [1] None"]),
        ("thread", "emit_async", [*CALL, "handler ends: 1 None", "end: [1] None"]),
        ("generator", "emit", [*CALL, *CALL, "handler ends: 3 None", "end: [[1, 2]] None"]),
        ("generator", "emit_async", [*CALL, *CALL, "handler ends: 3 None", "end: [[1, 2]] None"]),
        ("generator", "send", [*CALL, "handler ends: RETURNED None", "end: [(handler, RETURNED)] None"]),
        ("async", "emit", [*CALL, LATER[0], "end: [] None", *LATER[1:], "handler ends: 1 None"]),
        ("async", "emit_async", [*CALL, *LATER, "handler ends: 1 None", "end: [1] None"]),
        ("async", "send", [*CALL, "handler ends: RETURNED None", "end: [(handler, RETURNED)] None"]),
        ("async generator", "emit", [*CALL, LATER[0], "end: [] None", *LATER[1:], "handler ends: [1, 2] None"]),
        ("async generator", "emit_async", [*CALL, *LATER, "handler ends: [1, 2] None", "end: [[1, 2]] None"]),
        ("async generator", "send", [*CALL, "handler ends: RETURNED None", "end: [(handler, RETURNED)] None"]),
    ],
)
def test_each_kind_of_handler_and_emission(api, ns, seen, run, kind, way, expected):
    def sync(sender):
        return 1

    def generator(sender):
        yield 1
        yield 2
        return 3

    async def later(sender):
        await asyncio.sleep(0)
        return 1

    async def generator_later(sender):
        yield 1
        await asyncio.sleep(0)
        yield 2

    kinds = {"sync": sync, "thread": sync, "generator": generator, "async": later, "async generator": generator_later}
    handler = kinds[kind]
    handler.__name__ = handler.__qualname__ = "handler"
    ns.event("x").connect(handler, thread=kind == "thread")
    seen.observe(ns)

    async def main():
        returned = None
        if way == "send":
            ((_, returned),) = ns["x"].send()
            if kind == "async":
                returned.close()
        elif way == "emit":
            ns.emit("x")
        else:
            await ns.emit_async("x")
        assert await api.drain_async(10)
        return returned

    returned = run(main())
    lines = [line.replace(repr(handler), "handler") for line in seen]
    expected = [line.replace("RETURNED", repr(returned)) for line in expected]
    assert lines == [f"{way} x ANY () {{}}", "planned: ['handler']", *expected]


@pytest.mark.parametrize("way", ["emit", "emit_async", "send"])
def test_skip_reasons(ns, seen, run, way):
    event = ns.event("x")

    def no(sender):
        return False

    def fails(sender):
        raise ValueError("hm")

    class Owner:
        def dying(self, sender):
            pass

    owners = [Owner()]

    @event.connect
    def first(sender):
        event.disconnect(disconnected)
        owners.clear()
        gc.collect()

    event.connect(owners[0].dying)

    @event.connect
    def disconnected(sender):
        pass

    @ns.on("x", condition=no)
    def unwanted(sender):
        pass

    @ns.on("x", condition=fails)
    def failing(sender):
        pass

    @ns.on("x", once=True)
    def once(sender):
        if way == "emit":
            event.emit(sender)

    seen.observe(ns)
    run(event.emit_async(1)) if way == "emit_async" else getattr(event, way)(1)
    skips = [line for line in seen if " is skipped: " in line]
    outer = [
        "dying is skipped: it is dead",
        "disconnected is skipped: it was disconnected meanwhile",
        "unwanted is skipped: its condition is false",
        "failing is skipped: its condition raised, ValueError('hm')",
    ]
    inner = outer[2:]
    assert skips == outer + inner * (way == "emit")


def test_raised_exceptions(ns, seen, run):
    @ns.on("x")
    def fail(sender):
        raise ValueError("hm")

    @ns.on("y")
    async def fail_later(sender):
        await asyncio.sleep(0)
        raise ValueError("hm")

    seen.observe(ns)
    for emit in (lambda: ns.emit("x"), lambda: ns["x"].send(), lambda: run(ns.emit_async("x"))):
        with pytest.raises(ValueError, match="hm"):
            emit()
        assert seen.take()[2:] == [
            "fail enters",
            "fail exits",
            "fail ends: None ValueError('hm')",
            "end: None ValueError('hm')",
        ]
    with pytest.raises(ValueError, match="hm"):
        run(ns.emit_async("y"))
    assert seen.take()[-3:] == [
        "fail_later exits",
        "fail_later ends: None ValueError('hm')",
        "end: None ValueError('hm')",
    ]
    ns.on_error = "group"
    with pytest.raises(ExceptionGroup):
        ns.emit("x")
    assert seen.take()[-1].startswith("end: None ExceptionGroup")
    caught = []
    ns.on_error = lambda *about: caught.append(about)
    assert ns.emit("x") == []
    assert caught[0][1:3] == (fail, ns["x"])
    assert seen.take()[-1] == "end: [] None"


def test_nesting_of_spans(ns, seen, run):
    @ns.on("outer")
    def emits(sender):
        ns.emit("inner", 1)

    @ns.on("later")
    async def emits_later(sender):
        await asyncio.sleep(0)
        ns.emit("inner", 2)

    @ns.on("threaded", thread=True)
    def emits_in_a_thread(sender):
        ns.emit("inner", 3)

    @ns.on("conditional", condition=lambda sender: ns.emit("inner", 4))
    def conditional(sender):
        pass

    @ns.on("generated")
    def generates(sender):
        yield ns.emit("inner", 5)

    seen.observe(ns)

    async def main():
        ns.emit("outer")
        await asyncio.gather(ns.emit_async("later"), ns.emit_async("threaded"))
        ns.emit("conditional")
        ns.emit("generated")
        ns.emit("inner", 6)

    run(main())
    assert sorted([line for line in seen if line.startswith("emit inner")]) == [
        "emit inner 1 () {} within emits",
        "emit inner 2 () {} within emits_later",
        "emit inner 3 () {} within emits_in_a_thread",
        "emit inner 4 () {} within its own",
        "emit inner 5 () {} within generates",
        "emit inner 6 () {}",
    ]


@pytest.mark.parametrize("policy", [None, "group", "callable"])
@pytest.mark.parametrize("on", ["event", "namespace"])
def test_veto_reaches_the_emitter_despite_on_error(ns, seen, instrument, run, observe, on, policy):
    called, refusal = [], TypeError("not that")

    @ns.on("x", condition=lambda sender: called.append("a condition") or True)
    def handler(sender):
        called.append("a handler")

    class Refusing(instrument.Instrument):
        def begin(self, start):
            start.on_accepted(lambda: called.append("a callback"))
            raise refusal

    policy = called.append if policy == "callable" else policy
    (ns["x"] if on == "event" else ns).on_error = policy
    seen.observe(ns)
    observe(Refusing(), ns)
    late = seen.observe(ns)
    for emit in (lambda: ns.emit("x"), lambda: ns["x"].send(), lambda: run(ns.emit_async("x"))):
        with pytest.raises(TypeError) as caught:
            emit()
        assert caught.value is refusal
        assert caught.value.__cause__ is caught.value.__context__ is None
        assert not hasattr(refusal, "__notes__")
        assert seen.take()[1:] == ["end: None TypeError('not that')"]  # nothing of the later instrument
    assert called == []
    late.stop()


def test_spans_end_in_reverse_order(ns, instrument, observe, run):
    calls = []

    class Ordered(instrument.Instrument, instrument.EmissionSpan):
        def __init__(self, name):
            self.name = name

        def begin(self, start):
            calls.append(f"begin {self.name}")
            return self

        def call(self, entry, handler):
            return OrderedCall(self.name)

        def end(self, results, error):
            calls.append(f"end {self.name}")

    class OrderedCall(instrument.CallSpan):
        def __init__(self, name):
            self.name = name

        def enter(self):
            calls.append(f"enter {self.name}")

        def exit(self, same_context):
            calls.append(f"exit {self.name}")

        def end(self, value, error):
            calls.append(f"end call {self.name}")

    ns.event("x").connect(lambda sender: 1, weak=False)
    expected = ["begin a", "begin b", "enter a", "enter b", "exit b", "exit a", "end call b", "end call a"]
    for name in "ab":
        observe(Ordered(name), ns)
    for emit in (lambda: ns.emit("x"), lambda: ns["x"].send(), lambda: run(ns.emit_async("x"))):
        emit()
        assert calls == [*expected, "end b", "end a"]
        calls.clear()


def test_interrupt_is_a_veto(ns, seen, instrument, observe):
    class Interrupted(instrument.Instrument):
        def begin(self, start):
            raise KeyboardInterrupt

    seen.observe(ns)
    observe(Interrupted(), ns)
    with pytest.raises(KeyboardInterrupt):
        ns.emit("x")
    assert seen.take()[1:] == ["end: None KeyboardInterrupt()"]


def test_on_accepted_runs_after_the_last_begin(ns, instrument, run, observe):
    """It also runs before the first handler."""
    done = []

    class Accepted(instrument.Instrument):
        def __init__(self, name):
            self.name = name

        def begin(self, start):
            done.append(self.name)
            if start.sender == self.name:
                raise ValueError("not that")
            start.on_accepted(lambda: done.append(self.name.upper()))

    ns.event("x").connect(done.append, weak=False)
    for name in "ab":
        observe(Accepted(name), ns)
    for emit in (lambda: ns.emit("x", 1), lambda: ns["x"].send(1), lambda: run(ns.emit_async("x", 1))):
        emit()
        assert done == ["a", "b", "A", "B", 1]
        done.clear()
    for emit in (lambda: ns.emit("x", "b"), lambda: ns["x"].send("b"), lambda: run(ns.emit_async("x", "b"))):
        with pytest.raises(ValueError, match="not that"):
            emit()
        assert done == ["a", "b"]
        done.clear()


def test_on_accepted_is_rejected_after_begin(ns, instrument, observe):
    starts = []

    class Keeping(instrument.Instrument):
        def begin(self, start):
            starts.append(start)
            if start.sender == "vetoed":
                raise ValueError

    observe(Keeping(), ns)
    ns.emit("x")
    with pytest.raises(ValueError):
        ns.emit("x", "vetoed")
    for start in starts:
        with pytest.raises(RuntimeError, match="call it in Instrument.begin"):
            start.on_accepted(print)
    assert repr(starts[0]) == "<EmissionStart: emit <Event 'x': 0 handlers>>"


def test_instrument_may_observe_only_the_start(ns, instrument, observe):
    begun = []

    class Beginnings(instrument.Instrument):
        def begin(self, start):
            begun.append((start.event.name, start.sender))

    @ns.on("x")
    def handler(sender):
        return 1

    observe(Beginnings(), ns)
    assert ns.emit("x", 1) == [1]
    assert begun == [("x", 1)]


def test_default_methods_do_nothing(ns, instrument, observe, run):
    @ns.on("x")
    async def handler(sender):
        return 1

    class Default(instrument.Instrument, instrument.EmissionSpan):
        def begin(self, start):
            assert super().begin(start) is None
            return self

        def call(self, entry, handler):
            assert super().call(entry, handler) is None
            return instrument.CallSpan()

    observe(instrument.Instrument(), ns)
    observe(Default(), ns)
    assert run(ns.emit_async("x")) == [1]


def test_options_of_handlers_apply(ns, seen, run):
    class Owner:
        def method(self, sender, **kwargs):
            return "method"

    owner, given = Owner(), []

    @ns.on("x", with_event=True)
    def with_event(sender, event, **kwargs):
        return event.name

    @ns.on("x", thread=True)
    def threaded(sender, **kwargs):
        return "here" if threading.current_thread() is threading.main_thread() else "elsewhere"

    @ns.on("x", once=True)
    def once(sender, **kwargs):
        return "once"

    ns["x"].connect(owner.method, sender=owner)
    ns["x"].connect(given.append, weak=False, sender=1)
    seen.observe(ns)
    assert run(ns.emit_async("x", owner, a=1)) == ["x", "elsewhere", "once", "method"]
    assert ns.emit("x", owner) == ["x", "here", "method"]
    assert ns["x"].send(owner)[-1] == (owner.method, "method")
    assert (ns.emit("x", 1), given) == (["x", "here"], [1])


def test_everyone_sees_the_real_handler(api, ns, seen):
    handlers = []

    @ns.on("x")
    def refuse(sender):
        return False

    @ns.on("y")
    def fail(sender):
        raise ValueError

    seen.observe(ns)
    assert ns.emit("x").handler is refuse
    assert ns["x"].send() == [(refuse, False)]
    ns.on_error = lambda error, handler, event, sender: handlers.append(handler)
    ns.emit("y")
    assert handlers == [fail]


# Origins and parents


def test_next_emission_has_the_origin(ns, instrument, observe, run):
    origins = []

    class Origins(instrument.Instrument):
        def begin(self, start):
            origins.append((start.event.name, start.origin))

    @ns.on("outer")
    def emits(sender):
        ns.emit("inner")

    observe(Origins(), ns)

    async def main():
        with instrument.origin("a message"):
            await ns.emit_async("outer")
            ns.emit("another")

    run(main())
    assert origins == [("outer", "a message"), ("inner", None), ("another", None)]
    origins.clear()
    with instrument.origin(1):
        with instrument.origin(2):
            ns.emit("outer")
        ns.emit("inner")
    ns.emit("inner")
    assert origins == [("outer", 2), ("inner", None), ("inner", 1), ("inner", None)]
    origins.clear()
    with pytest.raises(ZeroDivisionError), instrument.origin(1):
        1 / 0
    ns.emit("inner")
    assert origins == [("inner", None)]


def test_unobserved_emission_keeps_the_origin(ns, instrument, observe):
    origins = []

    class Origins(instrument.Instrument):
        def begin(self, start):
            origins.append(start.origin)

    @ns.on("x")
    def emits(sender):
        ns.emit("y")

    observe(Origins(), ns.event("y"))
    with instrument.origin(1):
        ns.emit("x")
    assert origins == [1]


class Parents:
    """A mixin that keeps the parent of each emission and is the span of each."""

    def __init__(self):
        self.parents = []

    def begin(self, start):
        self.parents.append(start.parent)
        return self


def test_parent_is_the_instruments_own_span(ns, instrument, observe):
    class First(Parents, instrument.Instrument, instrument.EmissionSpan):
        pass

    class Second(Parents, instrument.Instrument, instrument.EmissionSpan):
        def call(self, entry, handler):
            return call

    @ns.on("x")
    def emits(sender):
        if sender:
            ns.emit("x", sender - 1)

    call = instrument.CallSpan()
    first, second, late = First(), Second(), First()
    observe(first, ns)
    observe(second, ns)
    ns["x"].connect(lambda sender: observe(late, ns), weak=False, once=True, priority=1)
    ns.emit("x", 1)
    assert first.parents == [None, first]
    assert second.parents == [None, call]
    assert late.parents == [None]


def test_two_scopes_share_one_chain_of_parents(api, ns, instrument, observe):
    class Both(Parents, instrument.Instrument, instrument.EmissionSpan):
        pass

    other, both = api.Namespace(), Both()
    ns.event("x").connect(lambda sender: other.emit("y"), weak=False)
    first, second = observe(both, ns), observe(both, other)
    ns.emit("x")
    assert both.parents == [None, both]
    first.stop()
    ns.emit("x")
    assert both.parents == [None, both, None]
    second.stop()
    ns.emit("x")
    assert len(both.parents) == 3


def test_two_scopes_of_one_instrument_for_one_event(ns, instrument, observe):
    class Both(Parents, instrument.Instrument, instrument.EmissionSpan):
        pass

    both = Both()
    first, second = observe(both, ns), observe(both, ns.event("x"))
    ns.emit("x")
    assert both.parents == [None, None]
    first.stop()
    ns.emit("x")
    assert both.parents == [None, None, None]
    second.stop()
    ns.emit("x")
    assert len(both.parents) == 3


def test_instruments_may_be_equal_or_unhashable(ns, instrument, observe):
    class Equal(Parents, instrument.Instrument, instrument.EmissionSpan):
        def __eq__(self, other):
            return True

        __hash__ = None

    @ns.on("x")
    def emits(sender):
        if sender:
            ns.emit("x", sender - 1)

    one, other = Equal(), Equal()
    observe(one, ns)
    scope = observe(other, ns)
    ns.emit("x", 1)
    assert [id(parent) for parent in one.parents] == [id(None), id(one)]
    assert [id(parent) for parent in other.parents] == [id(None), id(other)]
    scope.stop()
    ns.emit("x", 0)
    assert (len(one.parents), len(other.parents)) == (3, 2)


def test_one_object_may_be_instrument_and_spans(ns, instrument, observe, run):
    calls = []

    class All(instrument.Instrument, instrument.EmissionSpan, instrument.CallSpan):
        def begin(self, start):
            calls.append("begin")
            return self

        def call(self, entry, handler):
            calls.append(f"call {entry.name.rpartition('.')[2]} {entry.priority}")
            return self

        def end(self, result, error):
            calls.append(f"end {result!r} {error!r}")

        def __len__(self):
            return 0  # false, but called nevertheless

    @ns.on("x", priority=3)
    async def handler(sender):
        return 1

    observe(All(), ns)
    assert run(ns.emit_async("x")) == [1]
    assert calls == ["begin", "call handler 3", "end 1 None", "end [1] None"]


def test_handler_sees_the_context_set_by_enter(ns, instrument, observe, run):
    variable = contextvars.ContextVar("variable", default=0)

    class Setting(instrument.Instrument, instrument.EmissionSpan):
        def begin(self, start):
            return self

        def call(self, entry, handler):
            return SettingCall()

    class SettingCall(instrument.CallSpan):
        def enter(self):
            self.token = variable.set(variable.get() + 1)

        def exit(self, same_context):
            assert same_context
            variable.reset(self.token)

    @ns.on("x")
    def handler(sender):
        return variable.get()

    @ns.on("x")
    async def later(sender):
        await asyncio.sleep(0)
        return variable.get()

    @ns.on("x")
    def generator(sender):
        yield variable.get()

    observe(Setting(), ns)
    assert run(ns.emit_async("x")) == [1, 1, [1]]
    assert variable.get() == 0


def test_calls_are_observed_only_by_call_spans(ns, instrument, observe, emission_module, monkeypatch):
    class Ends(instrument.Instrument, instrument.EmissionSpan):
        def begin(self, start):
            return self

        def end(self, results, error):
            ended.append(results)

    class Calls(Ends):
        def call(self, entry, handler):
            return None

    class Skips(Ends):
        def skip(self, *args):
            pass

    def call(emission, entry, handler, really=emission_module.ObservedEmission.call):
        watched.append(entry.name)
        return really(emission, entry, handler)

    ended, watched = [], []
    monkeypatch.setattr(emission_module.ObservedEmission, "call", call)
    ns.event("x").connect(lambda sender: 1, weak=False)
    for kind, count in ((Ends, 0), (Calls, 1), (Skips, 1)):
        with observe(kind(), ns):
            assert ns.emit("x") == [1]
        assert (len(watched), ended) == (count, [[1]])
        watched.clear()
        ended.clear()


# Instruments that raise


@pytest.fixture
def failing(instrument):
    """Return an instrument whose methods all raise, except `begin`."""

    class Spans(instrument.EmissionSpan):
        def call(self, entry, handler):
            if self.raises_at_call:
                raise Broken("call")
            return Calls()

        def plan(self, *args):
            raise Broken("plan")

        def skip(self, *args):
            raise Broken("skip")

        def end(self, *args):
            raise Broken("end")

    class Calls(instrument.CallSpan):
        def enter(self):
            raise Broken("enter")

        def exit(self, *args):
            raise Broken("exit")

        def scheduled(self):
            raise Broken("scheduled")

        def started(self):
            raise Broken("started")

        def end(self, *args):
            raise Broken("end of a call")

    class Failing(instrument.Instrument):
        def __init__(self, raises_at_call):
            self.raises_at_call = raises_at_call

        def begin(self, start):
            span = Spans()
            span.raises_at_call = self.raises_at_call
            return span

    class Broken(Exception):
        pass

    return Failing


def errors_in(caplog):
    """Return the error records. Collected handlers of earlier tests may add warnings at any time."""
    return [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("raises_at_call", [True, False])
def test_other_methods_that_raise_have_no_effect(api, ns, seen, failing, observe, run, caplog, raises_at_call):
    @ns.on("x", priority=5)
    def handler(sender):
        return 1

    @ns.on("x", condition=lambda sender: False, priority=4)
    def skipped(sender):
        raise AssertionError

    @ns.on("x", priority=3)
    def generator(sender):
        yield 2

    @ns.on("x", priority=2)
    async def later(sender):
        await asyncio.sleep(0)
        return 3

    @ns.on("x", thread=True)
    def threaded(sender):
        return 4

    @ns.on("bad")
    def bad(sender):
        raise ValueError("of the handler")

    async def main():
        results = [await ns.emit_async("x"), ns.emit("x"), ns["x"].send()]
        assert await api.drain_async(10)
        for emit in (ns["bad"].emit, ns["bad"].send):
            with pytest.raises(ValueError, match="of the handler") as caught:
                emit()
            assert caught.value.__context__ is None
        results[2][2][1].close()
        return results

    seen.observe(ns)
    observe(failing(raises_at_call), ns)
    seen.observe(ns)
    awaited, emitted, sent = run(main())
    assert awaited == [1, [2], 3, 4]
    assert emitted == [1, [2], 4]
    assert [pair[0] for pair in sent] == [handler, generator, later, threaded]
    (record,) = errors_in(caplog)
    assert record.name == "cyevents"
    assert "Spans.plan raised: the emission goes on" in record.getMessage()
    assert str(record.exc_info[1]) == "plan"
    assert len([line for line in seen if line.startswith("end: ")]) == 10
    assert len([line for line in seen if line.startswith("later ends: 3")]) == 4


def test_each_scope_logs_its_first_exception(ns, failing, observe, caplog):
    for _ in range(2):
        observe(failing(True), ns)
    ns.emit("x")
    ns.emit("x")
    assert len(errors_in(caplog)) == 2


@pytest.mark.parametrize("method", ["enter", "exit", "scheduled", "started", "end"])
def test_failing_call_span_is_logged_by_name(ns, instrument, observe, run, caplog, method):
    def fail(self, *args):
        raise ValueError(method)

    class Span(instrument.Instrument, instrument.EmissionSpan):
        def begin(self, start):
            return self

        def call(self, entry, handler):
            return type("Follower", (instrument.CallSpan,), {method: fail})()

    @ns.on("x")
    async def later(sender):
        await asyncio.sleep(0)
        return 3

    observe(Span(), ns)
    assert run(ns.emit_async("x")) == [3]
    (record,) = errors_in(caplog)
    assert f"the instrument's Follower.{method} raised" in record.getMessage()
    assert record.exc_info[1].args == (method,)


def test_failing_on_accepted_callback_is_logged(ns, instrument, observe, caplog):
    done = []

    class Accepted(instrument.Instrument):
        def begin(self, start):
            start.on_accepted(self.fail)
            start.on_accepted(lambda: done.append(1))

        def fail(self):
            raise ValueError("hm")

    ns.event("x").connect(lambda sender: 2, weak=False)
    observe(Accepted(), ns)
    assert ns.emit("x") == [2]
    assert ns.emit("x") == [2]
    assert done == [1, 1]
    (record,) = errors_in(caplog)
    assert "Accepted.fail raised" in record.getMessage()


def test_invalid_span_from_begin_is_logged(ns, instrument, observe, caplog):
    class Wrong(instrument.Instrument):
        def begin(self, start):
            return "no span"

    ns.event("x").connect(lambda sender: 2, weak=False)
    observe(Wrong(), ns)
    assert ns.emit("x") == [2]
    (record,) = errors_in(caplog)
    assert "str.plan raised" in record.getMessage()


def test_interrupt_in_one_span_ends_the_others(ns, seen, instrument, observe):
    class Interrupted(instrument.Instrument, instrument.EmissionSpan):
        def begin(self, start):
            return self

        def end(self, results, error):
            raise KeyboardInterrupt

    seen.observe(ns)
    observe(Interrupted(), ns)
    seen.observe(ns)
    with pytest.raises(KeyboardInterrupt):
        ns.emit("x")
    assert [line for line in seen if line.startswith("end")] == ["end: [] None"] * 2


# wait_done


@pytest.fixture
def waiting(instrument):
    """Return an instrument whose `wait_done` waits for `release`, and raises what `fails` names."""

    class Waiting(instrument.Instrument, instrument.EmissionSpan):
        def __init__(self, fails=None):
            self.release, self.ended, self.fails = asyncio.Event(), [], fails

        def begin(self, start):
            return self

        async def wait_done(self):
            self.ended.append("waits")
            await self.release.wait()
            if self.fails is not None:
                raise self.fails

        def end(self, results, error):
            self.ended.append((results, error))

    return Waiting


def test_emit_async_waits_for_wait_done(ns, observe, run, waiting):
    async def main():
        first, second = waiting(), waiting()
        observe(first, ns)
        observe(second, ns)
        task = asyncio.create_task(ns.emit_async("x"))
        while first.ended != ["waits"]:
            await asyncio.sleep(0)
        assert (task.done(), second.ended) == (False, [])
        first.release.set()
        while second.ended != ["waits"]:
            await asyncio.sleep(0)
        assert not task.done()
        second.release.set()
        assert await task == [1]
        assert first.ended == second.ended == ["waits", ([1], None)]
        return first, second

    ns.event("x").connect(lambda sender: 1, weak=False)
    first, _ = run(main())
    assert ns.emit("x") == [1]
    assert ns["x"].send()[0][1] == 1
    assert first.ended.count("waits") == 1


@pytest.mark.parametrize("policy", [None, "group", lambda *about: None])
def test_emit_async_raises_exceptions_of_wait_done(ns, observe, run, waiting, policy):
    async def main():
        error = ConnectionError("not confirmed")
        failing, other = waiting(error), waiting()
        failing.release.set()
        observe(failing, ns)
        observe(other, ns)
        with pytest.raises(ConnectionError) as caught:
            await ns.emit_async("x")
        assert caught.value is error
        assert failing.ended[-1] == (None, error)
        assert other.ended == [(None, error)]

    ns.on_error = policy
    run(main())


def test_failed_emission_does_not_wait(ns, observe, run, waiting):
    @ns.on("x")
    def fail(sender):
        raise ValueError("hm")

    async def main():
        span = waiting()
        observe(span, ns)
        with pytest.raises(ValueError, match="hm") as caught:
            await ns.emit_async("x")
        assert span.ended == [(None, caught.value)]

    run(main())


# What is observed


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("namespace", ["made", "order.placed", "order.sent", "undeclared"]),
        ("event", ["order.placed"]),
        ("pattern", ["order.placed", "order.sent"]),
        ("name", ["order.placed"]),
        ("pattern of names", ["order.placed", "order.sent"]),
        ("nothing", ["made", "order.placed", "order.sent", "undeclared"]),
    ],
)
def test_each_kind_of_source(api, ns, instrument, observe, source, expected):
    names = []

    class Names(instrument.Instrument):
        def begin(self, start):
            names.append(start.event.name)

    ns = ns if source in ("namespace", "pattern", "event") else api.default_namespace
    sources = {
        "namespace": [ns],
        "event": [ns.event("order.placed")],
        "pattern": [ns.event("order.*")],
        "name": ["order.placed"],
        "pattern of names": ["order.*"],
        "nothing": [],
    }[source]
    if source != "event":
        del ns["order.placed"]
    scope = observe(Names(), *sources)
    made = ns.event("made")
    for emit in (
        made.emit,
        ns.event("order.placed").emit,
        lambda: ns.emit("order.sent"),
        lambda: ns.emit("undeclared"),
    ):
        emit()
    api.Namespace().emit("order.placed")
    assert names == expected
    scope.stop()
    ns.emit("order.placed")
    ns.emit("order.sent")
    assert names == expected


def test_matches_restricts_namespaces_only(api, ns, instrument, observe):
    names = []

    class Names(instrument.Instrument):
        def begin(self, start):
            names.append(start.event.name)

    lone = api.Event("lone")
    early, other = ns.event("order.placed"), ns.event("bill.sent")
    observe(Names(), ns, lone, matches=lambda name: name.startswith("order."))
    for event in (lone, early, other, ns.event("order.late"), ns.event("bill.late")):
        event.emit()
    ns.emit("order.undeclared")
    ns.emit("bill.undeclared")
    assert names == ["lone", "order.placed", "order.late", "order.undeclared"]


def test_observe_rejects_other_objects(ns, instrument):
    for bad in (None, print, instrument.EmissionSpan(), instrument.Instrument):
        with pytest.raises(TypeError, match="an instance of Instrument can observe, not"):
            instrument.observe(bad, ns)
    with pytest.raises(TypeError, match="matches must be a function that takes a name, or None, not 'x'"):
        instrument.observe(instrument.Instrument(), ns, matches="x")
    assert ns._scopes == ()


def test_running_emission_is_observed_after_stop(ns, seen, run):
    @ns.on("x")
    def stop(sender):
        scope.stop()
        ns.emit("x", "inner") if sender == "outer" else None

    @ns.on("x")
    async def later(sender):
        await asyncio.sleep(0)

    scope = seen.observe(ns)
    run(ns.emit_async("x", "outer"))
    assert [line for line in seen if line.startswith("emit")] == ["emit_async x 'outer' () {}"]
    assert seen[-2:] == ["later ends: None None", "end: [] None"]


def test_scope_stopped_in_begin_starts_no_more(ns, seen, instrument, observe):
    class Stopping(instrument.Instrument):
        def begin(self, start):
            scope.stop()

    observe(Stopping(), ns)
    scope = seen.observe(ns)
    ns.emit("x")
    assert seen == []


def test_scope_works_without_a_reference(ns, instrument, collect):
    begun = []

    class Begun(instrument.Instrument):
        def begin(self, start):
            begun.append(start.sender)

    instrument.observe(Begun(), ns)
    collect()
    ns.emit("x", 1)
    assert begun == [1]


def test_stopped_scope_releases_its_instrument(ns, instrument, observe):
    class Own(instrument.Instrument):
        pass

    own = Own()
    scope = own.scope = observe(own, ns)
    gone = weakref.ref(own)
    scope.stop()
    gc.disable()
    try:
        del own
        assert gone() is None
    finally:
        gc.enable()


def test_instruments_are_imported_lazily(backend):
    script = textwrap.dedent("""
        import asyncio, sys
        import cyevents

        @cyevents.on("x")
        async def handler(sender):
            return 1

        cyevents.emit("x")
        cyevents.event("x").send()[0][1].close()
        assert asyncio.run(cyevents.emit_async("x")) == [1]
        assert cyevents.drain()
        cyevents.describe(cyevents.default_namespace)
        cyevents.on("x.*")(print)
        cyevents.Namespace().emit("x")
        assert not [name for name in sys.modules if name.startswith("cyevents.instrument")]
    """)
    environment = {**os.environ, "CYEVENTS_PURE_PYTHON": {"cython": "0", "python": "1"}[backend]}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_scope_observes_until_stopped(api, ns, seen):
    lone, early = api.Event("lone"), ns.event("order.placed")
    scope = seen.observe(ns.event("order.*"), lone, "user.?")
    late = ns.event("order.shipped")
    for event in (lone, early, late, api.event("user.1"), api.event("user.22"), ns.event("bill.sent"), api.Event("y")):
        event.emit()
    ns.emit("order.undeclared")
    ns.emit("bill.undeclared")
    begun = [line.split()[1] for line in seen if line.startswith("emit")]
    assert begun == ["lone", "order.placed", "order.shipped", "user.1", "order.undeclared"]
    seen.clear()
    scope.stop()
    for event in (lone, early, late, api.event("user.1"), ns.event("order.later")):
        event.emit()
    ns.emit("order.undeclared")
    assert seen == []
    with seen.observe(early) as again:
        early.emit()
        assert len(seen) > 0
        assert again.instrument is not None
    assert again.instrument is None
    seen.clear()
    early.emit()
    assert seen == []


def test_scope_of_every_event(api, seen, instrument):
    scope = instrument.Scope(["order.*"], everywhere=True)
    scope._start(seen.instrument())
    ns = api.Namespace()
    for event in (ns.event("order.placed"), api.Event("order.lone"), ns.event("bill.sent"), api.event("order.mine")):
        event.emit()
    ns.emit("order.undeclared")
    begun = [line.split()[1] for line in seen if line.startswith("emit")]
    assert begun == ["order.placed", "order.lone", "order.mine", "order.undeclared"]
    seen.clear()
    scope.stop()
    for event in (ns.event("order.placed"), ns.event("order.new"), api.Event("order.lone"), api.event("order.mine")):
        event.emit()
    ns.emit("order.undeclared")
    assert seen == []


def test_overlapping_scopes(ns, seen):
    ns.event("x")
    first = seen.observe(ns)
    second = seen.observe(ns, ns["x"])
    ns.emit("x")
    assert [line for line in seen if line.startswith("emit")] == ["emit x ANY () {}"] * 2
    seen.clear()
    first.stop()
    ns.emit("x")
    assert len([line for line in seen if line.startswith("emit")]) == 1
    seen.clear()
    second.stop()
    second.stop()
    ns.emit("x")
    assert seen == []


@pytest.mark.parametrize("bad", [None, 1, "", b"x", print])
def test_invalid_sources_are_rejected(seen, bad):
    with pytest.raises(TypeError, match="a Namespace, an Event or a name can be observed, not"):
        seen.observe(bad)


def test_scopes_keep_no_event_of_a_namespace_alive(ns, seen, collect):
    seen.observe(ns)
    gone = weakref.ref(ns.event("x"))
    ns["x"].emit()
    del ns["x"]
    collect()
    assert gone() is None


# Unusual cases


def test_coroutine_closed_before_its_start_is_silent(api, ns, seen, run):
    @ns.on("x")
    async def never(sender):
        raise AssertionError

    seen.observe(ns)

    async def main():
        ns.emit("x")
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    run(main())
    assert seen.take()[-1].startswith("never ends: None CancelledError")


def test_observed_coroutine_keeps_its_name_and_stack(ns, seen, run):
    @ns.on("x")
    async def waits(sender):
        await asyncio.Event().wait()

    seen.observe(ns)

    async def main():
        ns.emit("x")
        await asyncio.sleep(0)
        (task,) = asyncio.all_tasks() - {asyncio.current_task()}
        assert task.get_coro().__qualname__ == waits.__qualname__
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["waits"]

    run(main())


def test_closing_a_suspended_emission(ns, seen):
    @ns.on("x")
    def handler(sender):
        pass

    seen.observe(ns)
    coroutine = ns["x"].emit_async()
    coroutine.close()  # it has not started: nothing was emitted
    assert seen == []


def test_contexts_do_not_keep_earlier_emissions(ns, seen, run, emission_module):
    """Use a handler that starts itself again, each time in a copy of the previous context."""
    init = emission_module.ObservedEmission.__init__

    def counted(self, *args):
        init(self, *args)
        counts.append(sum(1 for other in gc.get_objects() if type(other) is emission_module.ObservedEmission))

    counts = []
    emission_module.ObservedEmission.__init__ = counted
    try:

        @ns.on("x")
        async def again(sender):
            await asyncio.sleep(0)
            if sender:
                ns.emit("x", sender - 1)

        seen.observe(ns)

        async def main():
            ns.emit("x", 50)
            await asyncio.sleep(0.05)
            for _ in range(200):
                await asyncio.sleep(0)

        run(main())
    finally:
        emission_module.ObservedEmission.__init__ = init
    assert len(counts) == 51
    assert counts[-1] <= counts[10]


def test_observing_starts_and_stops_during_emissions(ns, instrument, observe):
    called = []
    begun = []

    class Begun(instrument.Instrument):
        def begin(self, start):
            begun.append(start.sender)
            return instrument.EmissionSpan()

    @ns.on("x")
    def handler(sender):
        called.append(sender)
        return sender

    wrong = []

    def emit(number):
        for count in range(2000):
            if ns.emit("x", (number, count)) != [(number, count)]:
                wrong.append((number, count))

    threads = [threading.Thread(target=emit, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        observe(Begun(), ns).stop()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(called) == 8000
    assert len(set(begun)) == len(begun)


def test_failed_observe_leaves_nothing(api, ns, seen, monkeypatch, scope_module):
    """Memory runs out when half of the events are observed, for example."""
    for name in "xyz":
        ns.event(name)
    given = []

    def set_scopes(event, scopes, really=scope_module._set_scopes):
        given.append(event)
        if len(given) == 2:
            raise MemoryError
        really(event, scopes)

    monkeypatch.setattr(scope_module, "_set_scopes", set_scopes)
    scope = scope_module.Scope([ns], everywhere=True)
    with pytest.raises(MemoryError):
        scope._start(seen.instrument())
    for name in "xyz":
        ns.emit(name)
    api.Event("elsewhere").emit()
    ns.event("new").emit()
    assert seen == []


def test_unhashable_event(api, seen):
    class Valued(api.Event):
        def __eq__(self, other):
            return True

        __hash__ = None

    one, two = Valued("x"), Valued("y")
    scope = seen.observe(one, two)
    one.emit()
    two.emit()
    assert [line for line in seen.take() if line.startswith("emit")] == ["emit x ANY () {}", "emit y ANY () {}"]
    scope.stop()
    one.emit()
    assert seen == []


@pytest.mark.parametrize("extra", range(8))
def test_stack_overflow_resets_the_innermost_emission(ns, seen, instrument, extra, observe):
    """Leaving an outer block also ends the inner ones that could not be ended."""

    @ns.on("x")
    def again(sender):
        ns.emit("x")

    class Exiting(instrument.Instrument, instrument.EmissionSpan):
        def begin(self, start):
            parents.append(start.parent)
            return self

        def call(self, entry, handler):
            return ExitingCall()

    class ExitingCall(instrument.CallSpan):
        def exit(self, same_context):
            assert same_context
            deeper(12)

    def deeper(levels):
        if levels:
            deeper(levels - 1)

    def emit(extra):
        return ns.emit("x") if not extra else emit(extra - 1)

    parents = []
    seen.observe(ns)
    observe(Exiting(), ns)
    with pytest.raises(RecursionError):
        emit(extra)
    assert parents[-1] is not None
    ns["x"].disconnect(again)
    ns.emit("x")
    assert parents[-1] is None


@pytest.mark.parametrize("rounds", [0, 3])
def test_cancelled_async_generator(ns, seen, run, rounds):
    @ns.on("x")
    async def items(sender):
        yield 1
        await asyncio.Event().wait()

    seen.observe(ns)

    async def main():
        ns.emit("x")
        for _ in range(rounds):
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    run(main())
    assert [line for line in seen if line.startswith("items ends")] == ["items ends: None CancelledError()"]


def test_destroyed_task(api, ns, seen, collect, caplog):
    @ns.on("x")
    async def waits(sender):
        await asyncio.Event().wait()

    seen.observe(ns)

    async def main():
        ns.emit("x")
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    asyncio.run(main())  # notices that the other loop is closed
    collect()
    assert "waits ends: None GeneratorExit()" in seen


@pytest.mark.slow
@pytest.mark.parametrize("others", [1, 20])
def test_finalizers_emit_while_contexts_change(backend, others):
    """The collector runs while the innermost emission is set and reset, which would crash an unsafe implementation."""
    script = textwrap.dedent(f"""
        import contextvars, gc
        from cyevents import Namespace, trace

        class Final:
            def __del__(self):
                counts.append(ns.emit("y"))

        ns, counts = Namespace(), []
        others = [contextvars.ContextVar(str(number)) for number in range({others})]
        for other in others:
            other.set(1)

        @ns.on("y")
        def answer(sender):
            return "here"

        @ns.on("x")
        def leave_garbage(sender):
            final = Final()
            final.itself = final
            del final  # so that the collector runs at the next allocation after the call

        with trace(ns):
            gc.set_threshold(1, 1, 1)
            for number in range(2000):
                ns.emit("x")
            gc.set_threshold(700, 10, 10)
        gc.collect()
        assert counts == [["here"]] * 2000, len(counts)
    """)
    environment = {**os.environ, "CYEVENTS_PURE_PYTHON": {"cython": "0", "python": "1"}[backend]}
    command = [sys.executable, "-X", "faulthandler", "-c", script]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
