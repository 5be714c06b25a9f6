"""Observed emissions: they do what others do, and their observers are told of all of it, in order."""

import asyncio
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
def observers(api):
    return importlib.import_module("cyevents._observers")


@pytest.fixture
def observation(api):
    return importlib.import_module("cyevents._observation")


@pytest.fixture
def watching_module(api):
    return importlib.import_module("cyevents._watching")


@pytest.fixture
def observing(watching_module):
    """Makes what puts an observer to work."""
    return watching_module.Watching


@pytest.fixture
def told(observers, observing):
    """What an observer is told, as lines; `told.observer()` makes one, `told.watch(*sources)` puts it to work."""

    class Call(observers.Call):
        def __init__(self, name):
            self.name = name

        def enter(self):
            lines.append(f"{self.name} enters")

        def leave(self, is_here):
            lines.append(f"{self.name} leaves" + ("" if is_here else " elsewhere"))

        def scheduled(self):
            lines.append(f"{self.name} will be awaited")

        def started(self):
            lines.append(f"{self.name} starts")

        def end(self, value, error):
            lines.append(f"{self.name} ends: {value!r} {error!r}")

    class Watch(observers.Watch):
        def plan(self, entries):
            lines.append(f"planned: {[entry.name.rpartition('.')[2] for entry in entries]}")

        def skip(self, entry, handler, error):
            lines.append(
                f"{entry.name.rpartition('.')[2]} is skipped: {error!r}" + (" dead" if handler is None else "")
            )

        def call(self, entry, handler):
            return Call(handler.__name__)

        def end(self, results, error):
            lines.append(f"end: {results!r} {error!r}")

    class Observer(observers.Observer):
        def begin(self, beginning):
            event, way, sender, args, kwargs, parent, *_ = beginning
            within = f" within {parent.name}" if isinstance(parent, Call) else " within its own" if parent else ""
            lines.append(f"{way} {event.name} {sender!r} {args} {kwargs}{within}")
            return Watch()

    class Lines(list):
        observer = Observer

        def watch(self, *sources):
            watching = observing(sources)
            watching.start(Observer())
            return watching

        def take(self):
            taken = list(self)
            self.clear()
            return taken

    lines = Lines()
    return lines


def test_an_emission_is_told_from_its_beginning_to_its_end(ns, told):
    @ns.on("x", priority=1)
    def one(sender, *args, **kwargs):
        return 1

    @ns.on("x")
    def two(sender, *args, **kwargs):
        return None

    told.watch(ns)
    assert ns.emit("x", "ada", 2, total=3) == [1]
    expected = [
        "emit x 'ada' (2,) {'total': 3}",
        "planned: ['one', 'two']",
        "one enters",
        "one leaves",
        "one ends: 1 None",
        "two enters",
        "two leaves",
        "two ends: None None",
        "end: [1] None",
    ]
    assert told.take() == expected
    assert ns["x"].emit("ada", 2, total=3) == [1]
    assert told.take() == expected
    assert ns["x"].emit(sender="ada", total=3) == [1]
    assert told.take()[0] == "emit x 'ada' () {'total': 3}"


def test_send(ns, told):
    @ns.on("x")
    async def wait(sender):
        pass

    @ns.on("x")
    def refuse(sender):
        return False

    told.watch(ns)
    (_, coroutine), pair = ns["x"].send("ada")
    coroutine.close()
    assert pair == (refuse, False)
    assert [line for line in told if not line.startswith(("wait ends", "end:"))] == [
        "send x 'ada' () {}",
        "planned: ['wait', 'refuse']",
        "wait enters",
        "wait leaves",
        "refuse enters",
        "refuse leaves",
        "refuse ends: False None",
    ]


def test_emit_async_is_told_of_what_is_awaited(ns, told, run):
    @ns.on("x", priority=1)
    async def wait(sender):
        await asyncio.sleep(0)
        return 1

    @ns.on("x")
    async def items(sender):
        yield 2

    told.watch(ns)
    assert run(ns.emit_async("x")) == [1, [2]]
    assert told.take() == [
        "emit_async x ANY () {}",
        "planned: ['wait']",
        "planned: ['items']",
        "wait enters",
        "wait leaves",
        "wait will be awaited",
        "wait enters",
        "wait starts",
        "wait leaves",
        "wait ends: 1 None",
        "items enters",
        "items leaves",
        "items will be awaited",
        "items enters",
        "items starts",
        "items leaves",
        "items ends: [2] None",
        "end: [1, [2]] None",
    ]


def test_what_emit_schedules_is_told_until_it_is_done(api, ns, told, run):
    @ns.on("x")
    async def wait(sender):
        await asyncio.sleep(0)
        return 1

    told.watch(ns)

    async def main():
        assert ns.emit("x") == []
        assert told.take()[-1] == "end: [] None"
        assert await api.drain_async(10)

    run(main())
    assert told.take() == ["wait enters", "wait starts", "wait leaves", "wait ends: 1 None"]


def test_a_generator_is_told_until_it_is_consumed(ns, told):
    @ns.on("x")
    def items(sender):
        yield 1
        return False

    told.watch(ns)
    assert ns.emit("x") == [[1]]
    assert told.take()[2:] == [
        "items enters",
        "items leaves",
        "items enters",
        "items leaves",
        "items ends: False None",
        "end: Cancelled([[1]], by test_a_generator_is_told_until_it_is_consumed.<locals>.items) None",
    ]


@pytest.mark.parametrize("way", ["emit", "emit_async"])
def test_what_is_skipped(ns, told, run, way):
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

    told.watch(ns)
    event.emit(1) if way == "emit" else run(event.emit_async(1))
    skips = [line for line in told if "skipped" in line]
    outer = [
        "dying is skipped: None dead",
        "disconnected is skipped: None",
        "unwanted is skipped: None",
        "failing is skipped: ValueError('hm')",
    ]
    inner = ["unwanted is skipped: None", "failing is skipped: ValueError('hm')"]
    assert skips == outer + inner * (way == "emit")


def test_what_is_raised(ns, told, run):
    @ns.on("x")
    def fail(sender):
        raise ValueError("hm")

    @ns.on("y")
    async def fail_later(sender):
        await asyncio.sleep(0)
        raise ValueError("hm")

    told.watch(ns)
    for emit in (lambda: ns.emit("x"), lambda: ns["x"].send(), lambda: run(ns.emit_async("x"))):
        with pytest.raises(ValueError, match="hm"):
            emit()
        assert told.take()[2:] == [
            "fail enters",
            "fail leaves",
            "fail ends: None ValueError('hm')",
            "end: None ValueError('hm')",
        ]
    with pytest.raises(ValueError, match="hm"):
        run(ns.emit_async("y"))
    assert told.take()[-3:] == [
        "fail_later leaves",
        "fail_later ends: None ValueError('hm')",
        "end: None ValueError('hm')",
    ]
    ns.on_error = "group"
    with pytest.raises(ExceptionGroup):
        ns.emit("x")
    assert told.take()[-1].startswith("end: None ExceptionGroup")
    caught = []
    ns.on_error = lambda *about: caught.append(about)
    assert ns.emit("x") == []
    assert caught[0][1:3] == (fail, ns["x"])
    assert told.take()[-1] == "end: [] None"


def test_what_is_within_what(ns, told, run):
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

    @ns.on("asked", condition=lambda sender: ns.emit("inner", 4))
    def asked(sender):
        pass

    @ns.on("generated")
    def generates(sender):
        yield ns.emit("inner", 5)

    told.watch(ns)

    async def main():
        ns.emit("outer")
        await asyncio.gather(ns.emit_async("later"), ns.emit_async("threaded"))
        ns.emit("asked")
        ns.emit("generated")
        ns.emit("inner", 6)

    run(main())
    assert sorted([line for line in told if line.startswith("emit inner")]) == [
        "emit inner 1 () {} within emits",
        "emit inner 2 () {} within emits_later",
        "emit inner 3 () {} within emits_in_a_thread",
        "emit inner 4 () {} within its own",
        "emit inner 5 () {} within generates",
        "emit inner 6 () {}",
    ]


def test_what_an_observer_raises_at_the_beginning_the_emitter_gets(ns, told, observers, run, observing):
    called = []

    @ns.on("x")
    def handler(sender):
        called.append(sender)

    class Refusing(observers.Observer):
        def begin(self, *about):
            raise TypeError("not that")

    told.watch(ns)
    observing([ns]).start(Refusing())
    for emit in (lambda: ns.emit("x"), lambda: ns["x"].send(), lambda: run(ns.emit_async("x"))):
        with pytest.raises(TypeError, match="not that"):
            emit()
        assert told.take()[1:] == ["end: None TypeError('not that')"]
    assert called == []


def test_what_is_done_once_all_have_agreed(ns, observers, run, observing):
    """After the last observer has not raised, and before the first handler."""
    done = []

    class Observer(observers.Observer):
        def __init__(self, name):
            self.name = name

        def begin(self, beginning):
            done.append(self.name)
            if beginning.sender == self.name:
                raise ValueError("not that")
            beginning.agreed.append(lambda: done.append(self.name.upper()))

    ns.event("x").connect(done.append, weak=False)
    for name in "ab":
        observing([ns]).start(Observer(name))
    for emit in (lambda: ns.emit("x", 1), lambda: ns["x"].send(1), lambda: run(ns.emit_async("x", 1))):
        emit()
        assert done == ["a", "b", "A", "B", 1]
        done.clear()
    for emit in (lambda: ns.emit("x", "b"), lambda: ns["x"].send("b"), lambda: run(ns.emit_async("x", "b"))):
        with pytest.raises(ValueError, match="not that"):
            emit()
        assert done == ["a", "b"]
        done.clear()


def test_who_wants_to_know_of_beginnings_only(ns, observers, observing):
    begun = []

    class Observer(observers.Observer):
        def begin(self, beginning):
            begun.append((beginning.event.name, beginning.sender))

    @ns.on("x")
    def handler(sender):
        return 1

    observing([ns]).start(Observer())
    assert ns.emit("x", 1) == [1]
    assert begun == [("x", 1)]
    assert observers.Observer().begin(observers.Beginning(ns["x"], "emit", None, (), {}, None, None, [])) is None


def test_handlers_options_hold(ns, told, run):
    class Owner:
        def method(self, sender, **kwargs):
            return "method"

    owner, seen = Owner(), []

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
    ns["x"].connect(seen.append, weak=False, sender=1)
    told.watch(ns)
    assert run(ns.emit_async("x", owner, a=1)) == ["x", "elsewhere", "once", "method"]
    assert ns.emit("x", owner) == ["x", "here", "method"]
    assert ns["x"].send(owner)[-1] == (owner.method, "method")
    assert (ns.emit("x", 1), seen) == (["x", "here"], [1])


def test_the_handler_is_the_real_one_for_all_that_see_it(api, ns, told):
    seen = []

    @ns.on("x")
    def refuse(sender):
        return False

    @ns.on("y")
    def fail(sender):
        raise ValueError

    told.watch(ns)
    assert ns.emit("x").handler is refuse
    assert ns["x"].send() == [(refuse, False)]
    ns.on_error = lambda error, handler, event, sender: seen.append(handler)
    ns.emit("y")
    assert seen == [fail]


# What is observed


def test_what_is_watched_and_for_how_long(api, ns, told):
    lone, early = api.Event("lone"), ns.event("order.placed")
    watching = told.watch(ns.event("order.*"), lone, "user.?")
    late = ns.event("order.shipped")
    for event in (lone, early, late, api.event("user.1"), api.event("user.22"), ns.event("bill.sent"), api.Event("y")):
        event.emit()
    ns.emit("order.unmade")
    ns.emit("bill.unmade")
    begun = [line.split()[1] for line in told if line.startswith("emit")]
    assert begun == ["lone", "order.placed", "order.shipped", "user.1", "order.unmade"]
    told.clear()
    watching.stop()
    for event in (lone, early, late, api.event("user.1"), ns.event("order.later")):
        event.emit()
    ns.emit("order.unmade")
    assert told == []
    watching.start(told.observer())
    early.emit()
    assert len(told) > 0
    watching.stop()


def test_everywhere(api, told, observing):
    watching = observing(["order.*"], everywhere=True)
    watching.start(told.observer())
    ns = api.Namespace()
    for event in (ns.event("order.placed"), api.Event("order.lone"), ns.event("bill.sent"), api.event("order.mine")):
        event.emit()
    ns.emit("order.unmade")
    begun = [line.split()[1] for line in told if line.startswith("emit")]
    assert begun == ["order.placed", "order.lone", "order.mine", "order.unmade"]
    told.clear()
    watching.stop()
    for event in (ns.event("order.placed"), ns.event("order.new"), api.Event("order.lone"), api.event("order.mine")):
        event.emit()
    ns.emit("order.unmade")
    assert told == []


def test_two_observers_come_and_go(ns, told):
    ns.event("x")
    first = told.watch(ns)
    second = told.watch(ns, ns["x"])
    ns.emit("x")
    assert [line for line in told if line.startswith("emit")] == ["emit x ANY () {}"] * 2
    told.clear()
    first.stop()
    ns.emit("x")
    assert len([line for line in told if line.startswith("emit")]) == 1
    told.clear()
    second.stop()
    second.stop()
    ns.emit("x")
    assert told == []


@pytest.mark.parametrize("bad", [None, 1, "", b"x", print])
def test_what_cannot_be_observed(told, bad):
    with pytest.raises(TypeError, match="a Namespace, an Event or a name can be observed, not"):
        told.watch(bad)


def test_observers_keep_no_event_alive(ns, told, collect):
    told.watch(ns)
    gone = weakref.ref(ns.event("x"))
    ns["x"].emit()
    del ns["x"]
    collect()
    assert gone() is None


# What else may happen


def test_a_coroutine_that_is_closed_before_it_begins_makes_no_noise(api, ns, told, run):
    @ns.on("x")
    async def never(sender):
        raise AssertionError

    told.watch(ns)

    async def main():
        ns.emit("x")
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    run(main())
    assert told.take()[-1].startswith("never ends: None CancelledError")


def test_a_watched_coroutine_is_named_and_seen_as_its_own(ns, told, run):
    @ns.on("x")
    async def waits(sender):
        await asyncio.Event().wait()

    told.watch(ns)

    async def main():
        ns.emit("x")
        await asyncio.sleep(0)
        (task,) = asyncio.all_tasks() - {asyncio.current_task()}
        assert task.get_coro().__qualname__ == waits.__qualname__
        assert [frame.f_code.co_name for frame in task.get_stack()] == ["waits"]

    run(main())


def test_a_suspended_emission_that_is_closed(ns, told):
    @ns.on("x")
    def handler(sender):
        pass

    told.watch(ns)
    coroutine = ns["x"].emit_async()
    coroutine.close()  # it has not begun: nothing was emitted
    assert told == []


def test_contexts_do_not_keep_what_was_before(ns, told, run, observation):
    """A handler that goes on and on, each time in a context that is a copy of the last one's."""
    init = observation.Run.__init__

    def counted(self, *args):
        init(self, *args)
        counts.append(sum(1 for other in gc.get_objects() if type(other) is observation.Run))

    counts = []
    observation.Run.__init__ = counted
    try:

        @ns.on("x")
        async def again(sender):
            await asyncio.sleep(0)
            if sender:
                ns.emit("x", sender - 1)

        told.watch(ns)

        async def main():
            ns.emit("x", 50)
            await asyncio.sleep(0.05)
            for _ in range(200):
                await asyncio.sleep(0)

        run(main())
    finally:
        observation.Run.__init__ = init
    assert len(counts) == 51
    assert counts[-1] <= counts[10]


def test_observing_begins_and_ends_while_others_emit(ns, told, observers, observing):
    called = []
    begun = []

    class Observer(observers.Observer):
        def begin(self, beginning):
            begun.append(beginning.sender)
            return observers.Watch()

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
        watching = observing([ns])
        watching.start(Observer())
        watching.stop()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(called) == 8000
    assert len(set(begun)) == len(begun)


def test_observing_that_cannot_begin_leaves_nothing_behind(api, ns, told, monkeypatch, observing, watching_module):
    """As where there is no memory: half of the events are observed when that shows."""
    for name in "xyz":
        ns.event(name)
    given = []

    def set_observers(event, observers, really=watching_module._set_observers):
        given.append(event)
        if len(given) == 2:
            raise MemoryError
        really(event, observers)

    monkeypatch.setattr(watching_module, "_set_observers", set_observers)
    watching = observing([ns], everywhere=True)
    with pytest.raises(MemoryError):
        watching.start(told.observer())
    for name in "xyz":
        ns.emit(name)
    api.Event("elsewhere").emit()
    ns.event("new").emit()
    assert told == []


def test_an_event_that_is_not_hashable(api, told):
    class Valued(api.Event):
        def __eq__(self, other):
            return True

        __hash__ = None

    one, two = Valued("x"), Valued("y")
    watching = told.watch(one, two)
    one.emit()
    two.emit()
    assert [line for line in told.take() if line.startswith("emit")] == ["emit x ANY () {}", "emit y ANY () {}"]
    watching.stop()
    one.emit()
    assert told == []


@pytest.mark.parametrize("extra", range(8))
def test_where_the_stack_ends_nothing_stays_innermost(ns, told, observers, extra, observing):
    """Whatever could not be done any more within: who comes out of it leaves all of it."""

    @ns.on("x")
    def again(sender):
        ns.emit("x")

    class Leaving(observers.Observer):
        def begin(self, beginning):
            parents.append(beginning.parent)
            return Left()

    class Left(observers.Watch):
        def call(self, entry, handler):
            return LeavingCall()

    class LeavingCall(observers.Call):
        def leave(self, is_here):
            assert is_here
            deeper(12)

    def deeper(levels):
        if levels:
            deeper(levels - 1)

    def emit(extra):
        return ns.emit("x") if not extra else emit(extra - 1)

    parents = []
    told.watch(ns)
    observing([ns]).start(Leaving())
    with pytest.raises(RecursionError):
        emit(extra)
    assert parents[-1] is not None
    ns["x"].disconnect(again)
    ns.emit("x")
    assert parents[-1] is None


@pytest.mark.parametrize("rounds", [0, 3])
def test_an_async_generator_that_is_cancelled(ns, told, run, rounds):
    @ns.on("x")
    async def items(sender):
        yield 1
        await asyncio.Event().wait()

    told.watch(ns)

    async def main():
        ns.emit("x")
        for _ in range(rounds):
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    run(main())
    assert [line for line in told if line.startswith("items ends")] == ["items ends: None CancelledError()"]


def test_a_task_that_is_destroyed(api, ns, told, collect, caplog):
    @ns.on("x")
    async def waits(sender):
        await asyncio.Event().wait()

    told.watch(ns)

    async def main():
        ns.emit("x")
        await asyncio.sleep(0)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    asyncio.run(main())  # which finds that the other loop is closed
    collect()
    assert "waits ends: None GeneratorExit()" in told


@pytest.mark.parametrize("others", [1, 20])
def test_finalizers_emit_while_contexts_change(backend, others):
    """The collector runs in the midst of setting and resetting what is innermost: a crash, where that is not safe."""
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
            del final  # so that the collector runs as soon as anything is made after the call

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
