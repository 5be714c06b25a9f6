"""Handlers, conditions and finalizers that call back, and emissions that do not wait for each other."""

import asyncio
import functools
import gc
import threading

import pytest

TIMEOUT = 30


@pytest.fixture
def event(ns):
    return ns.event("x")


def returning(name):
    def handler(sender, **kwargs):
        return name

    return handler


def in_thread(function):
    """Run a function in another thread and return its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    assert results, "the thread is blocked, or has raised"
    return results[0]


# Handlers that emit


def test_handler_may_emit_its_own_event(event, fire):
    def count_down(sender):
        return [sender, event.emit(sender - 1)] if sender else "done"

    event.connect(count_down)
    assert fire(event, 3) == [[3, [[2, [[1, ["done"]]]]]]]


def test_handler_may_emit_other_events(ns, fire):
    def first(sender):
        return ns.emit("second", sender)

    def second(sender):
        return ns.event("third").emit(sender, sender)

    def third(*args):
        return args

    ns.on("first")(first)
    ns.on("second")(second)
    ns.event("third").connect(third)
    assert fire(ns.event("first"), 1) == [[[(1, 1)]]]


def test_async_handlers_may_emit_and_await(event, run):
    async def count_down(sender):
        return [sender, await event.emit_async(sender - 1)] if sender else "done"

    event.connect(count_down)
    assert run(event.emit_async(3)) == [[3, [[2, [[1, ["done"]]]]]]]


def test_cancelled_nested_emission_cancels_only_itself(api, event, fire):
    def refuse(sender):
        return False if sender == "inner" else None

    inner = []

    def nest(sender):
        if sender == "outer":
            inner.append(event.emit("inner"))
        return sender

    last = returning("last")
    for handler in (nest, refuse, last):
        event.connect(handler)
    results = fire(event, "outer")
    assert (type(results), results) == (list, ["outer", "last"])
    assert (type(inner[0]), list(inner[0])) == (api.Cancelled, ["inner"])


def test_handler_may_raise_in_nested_emissions(event, fire):
    def fall(sender):
        if sender == 0:
            raise ZeroDivisionError
        try:
            return event.emit(sender - 1)
        except ZeroDivisionError:
            if sender == 3:
                return "caught"
            raise

    event.connect(fall)
    assert fire(event, 3) == ["caught"]
    with pytest.raises(ZeroDivisionError):
        fire(event, 2)


@pytest.mark.parametrize("where", ["condition", "generator", "on_error", "partial", "once"])
def test_other_callbacks_may_do_what_handlers_may(event, fire, where):
    nested = []

    def nest(*args):
        if not nested:
            nested.append(None)
            event.connect(late)
            nested[0] = event.emit("inner")
            event.disconnect(late)
        return True

    late = returning("late")

    def generate(sender):
        yield nest()

    def fail(sender):
        raise ZeroDivisionError

    handler = {
        "condition": lambda sender: "handled",
        "generator": generate,
        "on_error": fail,
        "partial": functools.partial(nest),
        "once": nest,
    }[where]
    event.on_error = nest if where == "on_error" else None
    event.connect(handler, condition=nest if where == "condition" else None, once=where == "once")
    results = fire(event, "outer")
    assert nested == [
        {
            "condition": ["handled", "late"],
            "generator": [[True], "late"],
            "on_error": ["late"],
            "partial": [True, "late"],
            "once": ["late"],
        }[where]
    ]
    assert results == {"condition": ["handled"], "generator": [[True]], "on_error": []}.get(where, [True])
    assert late not in [connection.handler for connection in event.handlers]


# Handlers that connect and disconnect


@pytest.mark.parametrize("place", ["x", "x*", "y"])
def test_handler_may_connect_and_disconnect_on_any_event(ns, event, fire, place):
    """Use a ring: each handler removes itself and connects the next one."""
    ns.event("y")
    handlers = []

    def make(number):
        def handler(sender):
            assert ns.event(place).disconnect(handler)
            ns.event(place).connect(handlers[(number + 1) % 3])
            return number

        return handler

    handlers += [make(number) for number in range(3)]
    ns.event(place).connect(handlers[0])
    emitted = ns.event("y") if place == "y" else event
    assert [fire(emitted, 1) for _ in range(5)] == [[0], [1], [2], [0], [1]]


def test_handler_may_do_everything_at_once(ns, event, fire):
    other = returning("other")

    def busy(sender):
        event.clear()
        with event.muted(), event.connected_to(other), ns.event("*").subscribe(other):
            assert event.emit(1) == []
            repr(event), event.handlers, event.has_handlers_for(1)
        assert len(event.handlers) == 0
        del ns["x"]
        ns.event("x").connect(busy)
        ns.event("x?").connect(busy)
        del ns["x?"]
        return "busy"

    event.connect(busy)
    assert fire(event, 1) == ["busy"]
    assert fire(event, 1) == []
    assert fire(ns.event("x"), 1) == ["busy"]


def test_handler_may_collect_garbage(event, fire):
    class Owner:
        def method(self, sender):
            return "alive"

    def collect(sender):
        gc.collect()
        return "collected"

    def connect_cycle():
        owner = Owner()
        owner.itself = owner
        event.connect(owner.method, priority=-1)

    event.connect(collect)
    connect_cycle()
    assert fire(event, 1)[0] == "collected"
    assert fire(event, 1) == ["collected"]
    assert len(event.handlers) == 1


# Runaway recursion


def by_its_own_event(ns):
    def handler(sender):
        return ns["x"].emit(sender)

    return ns.event("x").connect(handler)


def by_its_name(ns):
    def handler(sender):
        ns.emit("x", sender)

    return ns.event("x").connect(handler)


def by_two_events(ns):
    def there(sender):
        ns["y"].emit(sender)

    def back(sender):
        ns["x"].emit(sender)

    return ns.event("x").connect(there), ns.event("y").connect(back)


def by_a_method(ns):
    class Owner:
        def method(self, sender, **kwargs):
            ns["x"].emit(sender, **kwargs)

    owner = Owner()
    ns.event("x").connect(owner.method)
    return owner


def by_the_emission_itself(ns):
    """No Python function runs between the emissions."""
    return ns.event("x").connect(ns.event("x").emit, weak=False)


def by_the_emission_by_name(ns):
    return ns.event("x").connect(functools.partial(ns.emit, "x"), weak=False)


def by_a_pattern_and_its_event(ns):
    def handler(sender, event):
        event.emit(sender)

    ns.event("x")
    return ns.event("*").connect(handler, with_event=True)


def by_a_generator(ns):
    def handler(sender):
        yield ns["x"].emit(sender)

    return ns.event("x").connect(handler)


def by_connecting(ns):
    """Every level changes the tables."""

    def handler(sender):
        ns["x"].connect(handler)
        ns["x"].emit(sender)

    return ns.event("x").connect(handler)


RUNAWAY = [
    by_its_own_event,
    by_its_name,
    by_two_events,
    by_a_method,
    by_the_emission_itself,
    by_the_emission_by_name,
    by_a_pattern_and_its_event,
    by_a_generator,
    by_connecting,
]


@pytest.mark.parametrize("runaway", RUNAWAY, ids=lambda runaway: runaway.__name__)
def test_runaway_recursion_raises_recursion_error(ns, fire, no_garbage, runaway):
    kept = runaway(ns)
    for _ in range(2):
        with pytest.raises(RecursionError):
            fire(ns["x"], 1)
    ns["x"].clear()
    ns.event("*").clear()
    handler = returning("works")
    ns["x"].connect(handler)
    assert fire(ns["x"], 1) == ["works"]
    assert kept is not None


@pytest.mark.parametrize("runaway", RUNAWAY[:3], ids=lambda runaway: runaway.__name__)
def test_runaway_recursion_in_a_thread(ns, no_garbage, runaway):
    kept = runaway(ns)

    def emit():
        with pytest.raises(RecursionError):
            ns["x"].emit(1)
        return True

    assert in_thread(emit)
    assert kept is not None


@pytest.mark.filterwarnings("ignore:.*was never awaited:RuntimeWarning")  # the one without stack to start
def test_runaway_recursion_of_emit_async(event, run, collect, no_garbage):
    async def handler(sender):
        await event.emit_async(sender)

    event.connect(handler)

    async def main():
        with pytest.raises(RecursionError):
            await event.emit_async(1)
        event.clear()
        other = returning("works")
        event.connect(other)
        return await event.emit_async(1)

    assert run(main()) == ["works"]
    collect()


# Emissions do not wait for each other


@pytest.fixture(params=["handler", "condition", "generator", "on_error", "async handler", "pattern"])
def blocked(request, ns, event):
    """An emission of `x` by the sender "blocked" that is stopped inside user code in another thread."""
    begun, go = threading.Event(), threading.Event()

    def block(*args, **kwargs):
        if "blocked" in args:
            begun.set()
            assert go.wait(TIMEOUT)
        return "unblocked"

    def generate(sender):
        yield block(sender)

    def fail(sender):
        raise ZeroDivisionError

    async def block_async(sender):
        return block(sender)

    blocking = {
        "handler": block,
        "generator": generate,
        "on_error": fail,
        "async handler": block_async,
        "pattern": block,
    }
    handler = blocking.get(request.param, returning("unblocked"))
    condition = block if request.param == "condition" else None
    event.on_error = block if request.param == "on_error" else None
    place = ns.event("x*") if request.param == "pattern" else event
    place.connect(handler, "blocked", condition=condition, weak=False)
    results = []

    def emit():
        if request.param == "async handler":
            results.append(asyncio.run(event.emit_async("blocked")))
        else:
            results.append(event.emit("blocked"))

    thread = threading.Thread(target=emit, daemon=True)
    thread.start()
    assert begun.wait(TIMEOUT)
    yield event
    assert not results
    called = "blocked" in [connection.sender for connection in event.handlers] or request.param != "condition"
    go.set()
    thread.join(TIMEOUT)
    expected = {"on_error": [[]], "generator": [[["unblocked"]]], "condition": [["unblocked"] * called]}
    assert results == expected.get(request.param, [["unblocked"]])


def test_blocked_emission_does_not_block_others(ns, blocked):
    event, other = blocked, returning("other")

    def work():
        event.connect(other)
        assert event.emit("s") == ["other"]
        assert asyncio.run(event.emit_async("s")) == ["other"]
        assert ns.emit("x", "s") == ["other"]
        event.connect(other, "s", priority=3, once=True)
        assert event.emit("s") == ["other"]
        ns.event("x?").connect(other)
        ns.event("*").connect(other, "s")
        assert ns.event("xy").emit("s") == ["other"]
        with event.muted():
            assert event.emit("s") == []
        with event.connected_to(other, "t"), event.subscribe(other, "u"):
            assert event.emit("t") == ["other"]
        repr(event), event.handlers, event.has_handlers_for("s")
        assert event.disconnect(other)
        ns.event("*").clear()
        del ns["xy"], ns["x?"]
        gc.collect()
        return event.emit("s")

    assert in_thread(work) == []


def test_disconnect_works_while_an_emission_is_blocked(ns, blocked):
    def work():
        blocked.clear()
        ns.event("x*").clear()
        return blocked.handlers

    assert in_thread(work) == []


def test_two_threads_may_run_one_handler_at_once(event):
    together = threading.Barrier(2)

    def handler(sender):
        together.wait(TIMEOUT)
        return sender

    event.connect(handler)
    results = []
    threads = [threading.Thread(target=lambda: results.append(event.emit(1)), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert results == [[1], [1]]


def test_handler_may_wait_for_a_thread_that_does_anything(ns, event, fire):
    other = returning("other")

    def work():
        ns.event("x*").connect(other)
        event.connect(other)
        event.disconnect(other)
        ns.event("y").connect(other)
        return event.emit("inner")

    def handler(sender):
        return in_thread(work) if sender == "outer" else "inner"

    event.connect(handler)
    assert fire(event, "outer") == [["inner", "other"]]


def test_connections_of_threads_are_not_lost(ns, event):
    """Many threads connect, emit and disconnect: what each leaves connected exists once, and nothing else."""
    count, rounds = 6, 50
    together = threading.Barrier(count)
    kept = [returning(number) for number in range(count)]
    failures = []

    def work(number):
        try:
            together.wait(TIMEOUT)
            temporary = returning("temporary")
            for turn in range(rounds):
                event.connect(kept[number], priority=turn % 3)
                ns.event("x*").connect(temporary, number)
                assert number in event.emit(number)
                assert "temporary" in event.emit(number)
                assert ns.event("x*").disconnect(temporary)
                assert "temporary" not in event.emit(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert failures == []
    assert sorted(event.emit("s")) == list(range(count))
    assert len(event.handlers) == count
    assert ns.event("x*").handlers == []


def test_threads_that_create_one_event_get_the_same(ns):
    count = 8
    together = threading.Barrier(count)
    wild = returning("wild")
    ns.event("*").connect(wild)
    found = []

    def work():
        together.wait(TIMEOUT)
        found.append((ns.event("new"), ns.event("new?")))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert found == [(ns["new"], ns.event("new?"))] * count
    assert ns.emit("new", 1) == ["wild"]


# Finalizers


def everything(ns, event, done):
    """Everything a finalizer may call."""
    other = returning("other")
    done.append(event.emit("from the finalizer"))
    event.connect(other)
    event.connect(other, "s")
    ns.event("x*").connect(other, "t")
    assert event.disconnect(other)
    ns.event("from a finalizer").connect(other)
    del ns["from a finalizer"]
    ns.event("x*").clear()
    with event.muted():
        event.emit("s")
    repr(event), event.handlers
    gc.collect()
    done.append("everything")


class Final:
    """Calls back when it dies."""

    def __init__(self, callback):
        self.callback = callback

    def __del__(self):
        self.callback()

    def method(self, sender):
        return "final"

    def __call__(self, sender):
        return True


@pytest.mark.parametrize(
    "way", ["disconnect", "clear", "replace", "consumed", "dies", "dies in a cycle", "dies at work"]
)
@pytest.mark.parametrize("what", ["handler", "method", "condition", "sender", "strong sender"])
@pytest.mark.parametrize("place", ["x", "x*"])
def test_finalizer_may_call_back(ns, event, collect, place, what, way):
    done = []
    target = ns.event(place)
    before, handler = returning("before"), returning("handler")
    event.connect(before)
    final = Final(lambda: everything(ns, event, done))
    options = {"once": way == "consumed", "weak": way.startswith("dies") and what != "condition"}
    if way == "dies in a cycle":
        final.itself = final
    if what == "handler":
        connected = final
    elif what == "method":
        connected = final.method
    else:
        connected = handler
    if what == "condition":
        options["condition"] = final
    if what == "sender":
        options["sender"] = final
    if what == "strong sender":
        options["sender"] = (final,)
    target.connect(connected, **options)
    emitting = options.get("sender", "s")
    if way in ("consumed", "dies at work"):
        del final, connected
        holder = [emitting, options]
        if way == "dies at work":
            holder.clear()
        del options
        result = event.emit(emitting)
        assert result[0] == "before"
        del emitting, holder
    else:
        if way == "disconnect":
            assert target.disconnect(connected)
        elif way == "clear":
            target.clear()
        elif way == "replace":
            target.connect(connected if what == "condition" else handler, options.get("sender", "s"))
            target.disconnect(connected)
            target.disconnect(handler)
        del final, connected, emitting, options
    del handler
    target.clear()
    collect()
    assert done[-1] == "everything"
    event.connect(before)
    assert event.emit("s") == ["before"]
    assert [connection.handler for connection in event.handlers] == [before]


def test_finalizer_may_call_back_in_another_thread(ns, event):
    done = []

    def make():
        final = Final(lambda: everything(ns, event, done))
        final.itself = final
        event.connect(final.method, final)
        event.connect(final)

    make()
    in_thread(gc.collect)
    gc.collect()
    assert done[-1] == "everything"
    assert event.handlers == []


def test_failing_finalizer_does_not_harm_the_emission(event, monkeypatch):
    unraisable = []
    monkeypatch.setattr("sys.unraisablehook", lambda report: unraisable.append(report.exc_type))

    def fail():
        raise ZeroDivisionError

    handler = returning("handler")
    event.connect(Final(fail), weak=False)
    event.connect(handler)
    event.emit(1)
    event.disconnect(event.handlers[0].handler)
    gc.collect()
    assert unraisable == [ZeroDivisionError]
    assert event.emit(1) == ["handler"]


def test_finalizers_during_any_change(ns, event):
    """The collector runs at any moment, and its finalizers connect, emit and disconnect."""
    threshold = gc.get_threshold()
    done = []
    handler = returning("handler")

    def callback():
        event.connect(handler)
        done.append(event.emit("from the finalizer"))
        event.disconnect(handler)

    def make(number):
        final = Final(callback)
        final.itself = final
        event.connect(final, number % 3, condition=lambda sender: False)
        ns.event("x*").connect(final.method, (number,), priority=number)
        event.emit(number % 3)

    gc.set_threshold(1, 1, 1)
    try:
        for number in range(50):
            make(number)
    finally:
        gc.set_threshold(*threshold)
    for _ in range(3):
        gc.collect()
    assert len(done) == 50
    assert all("handler" in results for results in done)
    assert event.handlers == ns.event("x*").handlers == []


class Sender:
    pass


def collect_at(number, operate, callback):
    """Operate while the garbage collector runs a finalizer: up to Python 3.11, at that number of allocations."""
    threshold = gc.get_threshold()
    gc.collect()
    gc.disable()
    final = Final(callback)  # of the youngest generation
    final.itself = final
    del final
    kept = [({}, []) for _ in range(100)]  # so that no free dicts and lists are left, for which nothing is allocated
    try:
        gc.set_threshold(gc.get_count()[0] + number)
        gc.enable()
        operate()
    finally:
        gc.set_threshold(*threshold)
        gc.enable()
    kept.clear()
    gc.collect()


@pytest.mark.parametrize("number", range(40))
def test_finalizer_emits_while_snapshots_are_made(event, number):
    handlers = [returning("one"), returning("two"), returning("three")]
    first, second = Sender(), Sender()
    event.connect(handlers[0], first)
    event.connect(handlers[1], second)
    collect_at(number, lambda: event.emit(first), lambda: event.emit(second))
    event.connect(handlers[2], second)
    assert event.emit(second) == ["two", "three"]


@pytest.mark.parametrize("number", range(40))
def test_finalizer_connects_while_groups_are_made(event, number):
    one, two = returning("one"), returning("two")
    first, second = Sender(), Sender()
    collect_at(number, lambda: event.connect(one, first), lambda: event.connect(two, second))
    assert event.emit(first) == ["one"]
    assert event.emit(second) == ["two"]


@pytest.mark.parametrize("number", range(40))
def test_finalizer_mutes_while_mutes_are_made(event, number):
    one, two = returning("one"), returning("two")
    event.connect(one)
    event.connect(two)
    collect_at(number, event.muted(one).__enter__, event.muted(two).__enter__)
    assert event.emit() == []


@pytest.mark.parametrize("number", range(60))
def test_finalizer_attaches_patterns_while_one_is_attached(ns, event, number):
    one, two = returning("one"), returning("two")
    collect_at(number, lambda: ns.event("x*"), lambda: ns.event("?"))
    ns.event("x*").connect(one)
    ns.event("?").connect(two)
    assert event.emit() == ["one", "two"]
