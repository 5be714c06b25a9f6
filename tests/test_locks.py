"""No lock is held while user code runs, and no emission takes one.

User code, wherever the library calls it, waits until another thread has done everything a thread can do. And every kind
of emission runs while another thread is stopped in the middle of a change, holding the lock.
"""

import asyncio
import functools
import gc
import logging
import os
import sys
import threading
import warnings
import weakref

import pytest

TIMEOUT = 30


def in_thread(function):
    """Run a function in another thread and return its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(function()), daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    assert results, "the thread is blocked, or has raised"
    return results[0]


def returning(name):
    def handler(sender, **kwargs):
        return name

    return handler


class Block:
    """On its first call, waits until another thread has connected, emitted, disconnected and collected garbage."""

    def __init__(self, ns):
        self.ns = ns
        self.called = self.has_waited = False

    def __call__(self, *args, **kwargs):
        if not self.called:  # emissions of the other thread call it too
            self.called = True
            self.has_waited = in_thread(self.everything)
        return "blocked"

    def everything(self):
        event, wild, other = self.ns.event("x"), self.ns.event("x*"), returning("other")
        event.connect(other)
        wild.connect(other, "other", once=True, condition=lambda sender, **kwargs: True)
        assert "other" in event.emit("other")
        assert "other" in asyncio.run(event.emit_async("other"))
        assert "other" in self.ns.emit("x", "elsewhere")
        assert "other" in asyncio.run(self.ns.emit_async("x", "elsewhere"))
        with event.muted(other):
            assert "other" not in event.emit("other")
        with event.connected_to(other, priority=7), event.subscribe(other, "third"):
            assert "other" in event.emit("third")
        assert event.disconnect(other)
        assert "other" not in event.emit("elsewhere")
        new = self.ns.event("xy")
        wild.connect(other)
        assert new.emit("sender")[-1] == "other"
        self.ns.event("x?").connect(other)
        del self.ns["x?"], self.ns["xy"]
        wild.disconnect(other)
        repr(event), event.handlers, event.has_handlers_for("other")
        gc.collect()
        return True


class Final:
    """A handler, condition or sender whose finalizer calls a `Block`."""

    def __init__(self, block):
        self.block = block

    def __del__(self):
        self.block()

    def method(self, sender, **kwargs):
        return "final"

    __call__ = method


@pytest.fixture
def event(ns):
    return ns.event("x")


@pytest.fixture
def block(ns):
    return Block(ns)


@pytest.fixture(params=["emit", "emit_async", "by name", "by name, async", "scheduled"])
def fire(request, ns, api):
    """Emit the event `x` with sender "s", in each possible way."""

    async def in_a_loop():
        results = ns.emit("x", "s")
        await api.drain_async(TIMEOUT)
        return results

    return {
        "emit": lambda: ns.event("x").emit("s"),
        "emit_async": lambda: asyncio.run(ns.event("x").emit_async("s")),
        "by name": lambda: ns.emit("x", "s"),
        "by name, async": lambda: asyncio.run(ns.emit_async("x", "s")),
        "scheduled": lambda: asyncio.run(in_a_loop()),
    }[request.param]


# What an emission calls


class Answer:
    """A condition's result whose truth value calls a `Block`."""

    def __init__(self, block):
        self.block = block

    def __bool__(self):
        return bool(self.block())


def failing(sender, **kwargs):
    raise ZeroDivisionError


def a_generator(block):
    def handler(sender, **kwargs):
        yield block()

    return handler


def a_coroutine_function(block):
    async def handler(sender, **kwargs):
        return block()

    return handler


def a_later_coroutine_function(block):
    async def handler(sender, **kwargs):
        await asyncio.sleep(0)
        return block()

    return handler


def an_async_generator(block):
    async def handler(sender, **kwargs):
        yield block()

    return handler


def an_awaitable(block):
    class Awaitable:
        def __await__(self):
            block()
            yield from asyncio.sleep(0).__await__()

    return lambda sender, **kwargs: Awaitable()


class Owner:
    def __init__(self, block):
        self.block = block

    def method(self, sender, **kwargs):
        return self.block()


HANDLERS = {
    "function": lambda block: lambda sender, **kwargs: block(),
    "method": lambda block: Owner(block).method,
    "object": lambda block: block,
    "partial": lambda block: functools.partial(block, 1),
    "generator": a_generator,
    "coroutine function": a_coroutine_function,
    "later coroutine function": a_later_coroutine_function,
    "async generator": an_async_generator,
    "awaitable": an_awaitable,
}
OPTIONS = {
    "for a sender": {"sender": "s"},
    "with_event": {"with_event": True},
    "once": {"once": True},
    "thread": {"thread": True},
    "condition": {"condition": lambda sender, **kwargs: True},
}


@pytest.mark.parametrize(
    ("kind", "options"), [(kind, "plain") for kind in HANDLERS] + [("method", options) for options in OPTIONS]
)
@pytest.mark.parametrize("place", ["x", "x*"])
def test_handler_may_wait_for_other_threads(api, ns, event, block, fire, place, kind, options):
    ns.event(place).connect(HANDLERS[kind](block), weak=False, **OPTIONS.get(options, {}))
    fire()
    assert api.drain(TIMEOUT)
    assert block.has_waited


@pytest.mark.parametrize("what", ["condition", "answer", "on_error", "on_error of a condition", "on_error of all"])
def test_condition_may_wait_for_other_threads(ns, event, block, fire, what):
    handler, condition = returning("called"), None
    if what == "condition":
        condition = block
    elif what == "answer":
        condition = lambda sender, **kwargs: Answer(block)  # noqa: E731
    elif what == "on_error of a condition":
        condition, event.on_error = failing, block
    elif what == "on_error":
        handler, event.on_error = failing, block
    else:
        handler, ns.on_error = failing, block
    event.connect(handler, "s", condition=condition)
    assert fire() == (["called"] if what in ("condition", "answer") else [])
    assert block.has_waited


def test_on_error_may_wait_for_other_threads(api, event, block, fire):
    async def handler(sender):
        raise ZeroDivisionError

    event.connect(handler, "s")
    event.on_error = block
    fire()
    assert api.drain(TIMEOUT)
    assert block.has_waited


@pytest.mark.parametrize("what", ["task factory", "exception handler"])
def test_loop_hooks_may_wait_for_other_threads(api, event, block, what):
    async def handler(sender):
        raise ZeroDivisionError

    def factory(loop, coroutine, **options):
        block()
        return asyncio.Task(coroutine, loop=loop, **options)

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(block if what == "exception handler" else lambda loop, context: None)
        if what == "task factory":
            loop.set_task_factory(factory)
        event.emit("s")
        loop.set_task_factory(None)
        await api.drain_async(TIMEOUT)

    event.connect(handler, "s")
    asyncio.run(main())
    assert block.has_waited


@pytest.mark.parametrize("why", ["condition failed", "handler died"])
def test_log_filter_may_wait_for_other_threads(event, block, fire, why):
    logger, handler = logging.getLogger("cyevents"), returning("called")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addFilter(block)
    try:
        event.connect(handler, "s", condition=failing if why == "condition failed" else None)
        if why == "handler died":
            del handler
        fire()
    finally:
        logger.removeFilter(block)
        logger.setLevel(level)
    assert block.has_waited


# Objects released by a change


def disconnect(event, handler, sender):
    event.disconnect(handler)


def disconnect_for_the_sender(event, handler, sender):
    event.disconnect(handler, "s")


def clear(event, handler, sender):
    event.clear()


def connect_again(event, handler, sender):
    event.connect(handler, "s")


def change_temporarily(event, handler, sender):
    with event.connected_to(handler, "s", condition=Final(event.block)):
        assert not event.block.called


def consume(event, handler, sender):
    event.emit("s")


def consume_in_emit_async(event, handler, sender):
    asyncio.run(event.emit_async("s"))


RELEASES = [
    ("condition", disconnect),
    ("condition", disconnect_for_the_sender),
    ("condition", clear),
    ("condition", connect_again),
    ("condition", change_temporarily),
    ("condition", consume),
    ("condition", consume_in_emit_async),
    ("handler", clear),
    ("handler", consume),
    ("handler", consume_in_emit_async),
    ("method", clear),
    ("method", consume),
    ("sender", disconnect),
    ("sender", clear),
]


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(("what", "change"), RELEASES)
def test_finalizer_of_released_object_may_wait_for_threads(event, block, what, change, warm):
    event.block = block
    handler, sender, options = returning("called"), "s", {}
    once = change in (consume, consume_in_emit_async)
    if what == "condition":
        options["condition"] = Final(block)
    elif what == "handler":
        handler = Final(block)
    elif what == "method":
        handler = Final(block).method
    else:
        sender = (Final(block),)
    event.connect(handler, sender, weak=False, once=once, **options)
    if what in ("handler", "method"):
        handler = None
    if what == "sender":
        sender = None
    options.clear()
    if warm and not once:
        event.emit("s")  # a snapshot holds it too
    assert not block.called
    change(event, handler, sender)
    gc.collect()
    assert block.has_waited


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("what", ["handler", "method", "condition"])
@pytest.mark.parametrize("place", ["x", "x*"])
def test_finalizer_of_dead_sender_may_wait_for_threads(ns, event, block, place, what, warm):
    class Sender:
        pass

    sender = Sender()
    final = Final(block)
    handler = {"handler": final, "method": final.method, "condition": returning("called")}[what]
    condition = final if what == "condition" else None
    ns.event(place).connect(handler, sender, weak=False, condition=condition)
    if warm:
        event.emit(sender)
    del final, handler, condition
    assert not block.called
    del sender
    gc.collect()
    assert block.has_waited


@pytest.mark.parametrize("how", ["del", "weakref.finalize", "in a cycle", "in an emission"])
@pytest.mark.parametrize("what", ["handler", "method", "sender", "handler and sender"])
@pytest.mark.parametrize("place", ["x", "x*"])
def test_finalizer_of_weak_handler_may_wait_for_threads(ns, event, block, place, what, how):
    target = ns.event(place)
    if how == "weakref.finalize":
        final = Owner(lambda: "mortal")
        weakref.finalize(final, block)
    else:
        final = Final(block)
    if how == "in a cycle":
        final.itself = final
    handler, kept = final, returning("kept")
    if how == "weakref.finalize" or what == "method":
        handler = final.method
    if "handler" in what or what == "method":
        target.connect(handler, final if what == "handler and sender" else "s")
    else:
        target.connect(kept, final)
    event.emit("s")
    handler = None
    assert not block.called
    if how == "in an emission":
        held = [final]
        event.connect(clearing := lambda sender: held.clear(), priority=1)
        final = None
        event.emit("s")
        event.disconnect(clearing)
    final = None
    gc.collect()
    assert block.has_waited


def test_finalizer_of_subscribed_may_wait_for_threads(event, block):
    subscription = event.subscribe(Final(block), weak=False)
    event.emit("s")
    subscription.cancel()
    assert block.has_waited


@pytest.mark.parametrize("name", ["xyz", "xy*"])
@pytest.mark.parametrize("way", ["del", "clear"])
def test_finalizer_of_released_event_may_wait_for_threads(ns, event, block, name, way):
    ns.event("xyz")
    ns.event(name).connect(Final(block), weak=False)
    if way == "del":
        del ns[name]
    else:
        ns.clear()
    gc.collect()
    assert block.has_waited


@pytest.mark.parametrize("place", ["x", "x*"])
def test_warning_may_wait_for_other_threads(ns, event, block, place, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", block)
        ns.event(place).connect(lambda sender: 1)
    assert block.has_waited


def test_handler_attributes_may_wait_for_other_threads(event, block):
    class Named:
        def __getattr__(self, attribute):
            block()
            raise AttributeError

        def __call__(self, sender):
            return "called"

    event.connect(Named(), weak=False)
    assert block.has_waited
    assert event.emit(1) == ["called"]


# Emissions while another thread is in the middle of a change


class ChangeInProgress:
    """A thread that stops while it holds the lock for changes of connections."""

    def __init__(self):
        self.call_locked = sys.modules["cyevents._core"].call_locked
        self.go = threading.Event()

    def __enter__(self):
        ready = threading.Event()

        def hold():
            ready.set()
            self.go.wait()

        self.thread = threading.Thread(target=self.call_locked, args=(hold,), daemon=True)
        self.thread.start()
        assert ready.wait(TIMEOUT)

    def __exit__(self, *exception):
        self.go.set()
        self.thread.join(TIMEOUT)


@pytest.fixture
def change_in_progress(api):
    return ChangeInProgress()


def test_changes_wait_for_each_other(event, change_in_progress):
    """This shows that the other tests here would notice a lock."""
    handler = returning("connected")
    changed = threading.Event()
    with change_in_progress:
        thread = threading.Thread(target=lambda: (event.connect(handler), changed.set()), daemon=True)
        thread.start()
        assert not changed.wait(0.05)
    assert changed.wait(TIMEOUT)
    assert event.emit(1) == ["connected"]


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("place", ["x", "x*"])
def test_emission_takes_no_lock(ns, event, fire, change_in_progress, place, options, warm):
    handler, other = returning("called"), returning("other")
    ns.event(place).connect(handler, **OPTIONS[options])
    event.connect(other, "another sender")
    if warm:
        fire()
        if options == "once":
            ns.event(place).connect(handler, once=True)
    with change_in_progress:
        assert in_thread(fire) == ["called"]
        assert in_thread(fire) == ([] if options == "once" else ["called"])
    assert len(event.handlers) == (1 if options == "once" else 2)


@pytest.mark.parametrize("kind", HANDLERS)
def test_emission_to_any_handler_takes_no_lock(api, event, fire, change_in_progress, kind):
    calls = []
    event.connect(HANDLERS[kind](lambda *args, **kwargs: calls.append("called")), weak=False)
    with change_in_progress:
        in_thread(fire)
        assert api.drain(TIMEOUT)
    assert calls == ["called"]


@pytest.mark.parametrize("what", ["handler", "method", "sender"])
@pytest.mark.parametrize("place", ["x", "x*"])
def test_emission_after_a_death_takes_no_lock(ns, event, fire, change_in_progress, place, what):
    """Objects that died meanwhile cannot be removed from the tables yet: they are not called, and removed later."""
    kept, target, mortal = returning("kept"), ns.event(place), Owner(None)
    event.connect(kept)
    if what == "sender":
        target.connect(kept, mortal)
    else:
        target.connect(mortal.method if what == "method" else (mortal := returning("mortal")), "s")
    holder = [mortal]
    del mortal
    with change_in_progress:
        in_thread(lambda: holder.clear() or True)
        assert in_thread(fire) == ["kept"]
    other = returning("other")
    event.connect(other)
    assert [connection.handler for connection in event.handlers] == [kept, other]


@pytest.mark.parametrize("policy", ["raise", "group", "callable"])
def test_failed_emission_takes_no_lock(event, fire, change_in_progress, policy):
    reported = []
    event.connect(failing)
    event.on_error = (lambda *report: reported.append(report)) if policy == "callable" else policy

    def work():
        try:
            return fire()
        except (ZeroDivisionError, ExceptionGroup) as error:
            return type(error).__name__

    with change_in_progress:
        expected = {"raise": "ZeroDivisionError", "group": "ExceptionGroup", "callable": []}[policy]
        assert in_thread(work) == expected
    assert len(reported) == (policy == "callable")


@pytest.mark.skipif(
    os.environ.get("CYEVENTS_TEST_OBSERVED") == "1", reason="observing creates events for undeclared names"
)
def test_lookups_take_no_lock(ns, event, change_in_progress):
    kept = returning("kept")
    event.connect(kept, "s")

    def work():
        assert ns.event("x") is event
        assert ns.event("x", doc="known") is event
        assert ns.emit("undeclared", 1) == []
        assert list(ns) == ["x"]
        assert ns.filter("x*") == {"x": event}
        assert event.has_handlers_for("s")
        return [connection.handler for connection in event.handlers]

    with change_in_progress:
        assert in_thread(work) == [kept]
