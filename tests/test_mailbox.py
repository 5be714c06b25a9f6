"""`Mailbox` keeps the calls of handlers connected with `via=mailbox` until a thread drains it."""

import asyncio
import copy
import gc
import importlib
import logging
import math
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import weakref

import pytest

TIMEOUT = 60  # seconds until a hanging child process fails


class Sender:
    """A sender that can be weakly referenced."""


class Called(list):
    """A handler that records its calls."""

    def __call__(self, sender, *args, **kwargs):
        self.append((sender, *args, kwargs) if kwargs else (sender, *args))


@pytest.fixture(autouse=True)
def emptied(api):
    """Empty all mailboxes at the end: one with calls logs them when it is garbage-collected."""
    yield
    for reference in list(importlib.import_module("cyevents._mailbox")._mailboxes.values()):
        mailbox = reference()
        if mailbox is not None:
            mailbox.clear()


@pytest.fixture
def event(ns):
    return ns.event("x")


@pytest.fixture
def called():
    return Called()


@pytest.fixture
def make(api, event, called):
    """Connect `called` via a new mailbox, and return that: `make(maxsize, ...)`."""

    def connect(*arguments, **options):
        box = api.Mailbox(*arguments, **options)
        event.connect(called, via=box, weak=False)
        return box

    return connect


PRELUDE = """
import atexit, gc, logging, os, signal, sys
logging.basicConfig(format="%(name)s %(levelname)s %(message)s")
from cyevents import Event, Mailbox
event, box = Event("tick"), Mailbox(10)
def handler(sender): print("ran", sender, flush=True)
event.connect(handler, via=box)
"""


@pytest.fixture
def child(backend):
    """Run a script in a child process; return the completed process."""

    def run(script, prelude=PRELUDE):
        process = subprocess.run(
            [sys.executable, "-W", "error", "-c", prelude + textwrap.dedent(script)],
            env={**os.environ, "CYEVENTS_PURE_PYTHON": {"cython": "0", "python": "1"}[backend]},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        assert process.returncode == 0, process
        return process

    return run


def errors(caplog):
    return [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]


# Delivery


def test_call_runs_when_the_mailbox_is_drained(event, make, called):
    box = make(10)
    assert event.emit("ada", 1, total=2) == []
    assert (called, len(box)) == ([], 1)
    assert box.drain() == 1
    assert (called, len(box)) == ([("ada", 1, {"total": 2})], 0)


def test_calls_run_in_order_of_emission(ns, api):
    box, seen = api.Mailbox(100), []
    for name in "ab":
        ns.event(name).connect(lambda sender, name=name: seen.append((name, sender)), via=box, weak=False)
    for number in range(5):
        ns.emit("a", number)
        ns.emit("b", number)
    assert box.drain() == 10
    assert seen == [(name, number) for number in range(5) for name in "ab"]


def test_calls_run_in_the_thread_that_drains(event, api):
    box, threads = api.Mailbox(10), []
    event.connect(lambda sender: threads.append(threading.get_ident()), via=box, weak=False)
    emitter = threading.Thread(target=event.emit)
    emitter.start()
    emitter.join()
    assert box.drain() == 1
    assert threads == [threading.get_ident()]


def test_value_and_false_are_not_in_the_results(event, api):
    box = api.Mailbox(10)
    event.connect(lambda sender: False, via=box, weak=False, priority=1)
    event.connect(lambda sender: "value", via=box, weak=False)
    event.connect(lambda sender: "here", weak=False, priority=-1)
    assert event.emit() == ["here"]
    assert box.drain() == 2


@pytest.mark.parametrize("way", ["emit", "send", "first", "emit_async", "send_async", "first_async"])
def test_every_way_to_emit_puts_the_call(event, make, called, run, way):
    box = make(10)
    result = getattr(event, way)("ada", 1)
    if way.endswith("async"):

        async def awaited():
            return await result

        result = run(awaited())
    assert not result
    assert called == []
    assert box.drain() == 1
    assert called == [("ada", 1)]


@pytest.mark.parametrize("is_observed", [False, True])
def test_with_event_gets_the_event(ns, api, target, is_observed):
    box, seen = api.Mailbox(10), []
    target.connect(lambda sender, event: seen.append((sender, event)), via=box, weak=False, with_event=True, priority=3)
    if is_observed:
        with api.trace(ns):
            ns.emit("x", "ada")
    else:
        ns.emit("x", "ada")
    assert box.drain() == 1
    assert seen == [("ada", ns.event("x"))]


def test_condition_and_sender_are_evaluated_at_emission(event, api, called):
    box, allowed = api.Mailbox(10), True
    event.connect(called, "ada", via=box, weak=False, condition=lambda sender, **kwargs: allowed)
    event.emit("bob")
    event.emit("ada", 1)
    allowed = False
    event.emit("ada", 2)
    assert box.drain() == 1
    assert called == [("ada", 1)]


def test_once_runs_one_call(event, api, called):
    box = api.Mailbox(10)
    event.connect(called, via=box, weak=False, once=True)
    event.emit(1)
    event.emit(2)
    assert box.drain() == 1
    assert called == [(1,)]


def test_methods_that_are_held_weakly_run(event, api):
    class Screen:
        def show(self, sender):
            seen.append(sender)

    box, seen, screen = api.Mailbox(10), [], Screen()
    event.connect(screen.show, via=box)
    event.emit("ada")
    del screen  # the call holds it
    gc.collect()
    assert box.drain() == 1
    assert seen == ["ada"]
    gc.collect()
    event.emit("bob")
    assert len(box) == 0


def test_sender_and_arguments_are_held(event, make, called):
    box, sender = make(10), Sender()
    reference = weakref.ref(sender)
    event.emit(sender, sender)
    del sender
    gc.collect()
    assert reference() is not None
    box.drain()
    called.clear()
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("how", ["disconnect", "clear", "reconnect"])
def test_disconnected_handler_is_not_called(event, make, called, how):
    box = make(10)
    event.emit(1)
    if how == "clear":
        event.clear()
    else:
        event.disconnect(called)
    if how == "reconnect":  # the new connection is another one
        event.connect(called, via=box, weak=False)
    event.emit(2)
    assert box.drain() == (how == "reconnect")
    assert called == ([(2,)] if how == "reconnect" else [])


def test_handler_that_is_connected_again_is_called(event, make, called):
    box = make(10)
    event.emit(1)
    event.connect(called, via=box, weak=False, priority=3)
    assert box.drain() == 1


def test_handler_may_disconnect_those_that_wait(event, api, called):
    box = api.Mailbox(10)
    event.connect(lambda sender: event.disconnect(called), via=box, weak=False, priority=1)
    event.connect(called, via=box, weak=False)
    event.emit()
    assert box.drain() == 1
    assert (called, len(box)) == ([], 0)


def test_muted_emissions_put_nothing(event, make):
    box = make(10)
    with event.muted():
        event.emit()
    assert len(box) == 0


def test_all_ways_to_connect_take_a_mailbox(ns, api, called):
    box = api.Mailbox(10)

    @ns.on("x", via=box)
    def one(sender):
        called(sender)

    subscription = ns.event("x").subscribe(lambda sender: called(sender), via=box)
    with ns.event("x").connected_to(lambda sender: called(sender), via=box, weak=False):
        ns.emit("x", 1)
        assert box.drain() == 3
    subscription.cancel()

    class Thing:
        changed = api.Event()

        @api.handles("x", via=box)
        def show(self, sender):
            called("method")

    thing = Thing()
    with ns.attach(thing):
        ns.emit("x", 2)
        assert box.drain() == 2
        assert called[-1] == ("method",)
    thing.changed.connect(lambda sender: called("bound"), via=box, weak=False)
    thing.changed.emit()
    assert box.drain() == 1
    assert called[-1] == ("bound",)


# Results and errors


def test_generator_is_consumed(event, api):
    box, seen = api.Mailbox(10), []

    def generator(sender):
        seen.append(sender)
        yield 1
        seen.append("end")

    event.connect(generator, via=box)
    event.emit("ada")
    assert box.drain() == 1
    assert seen == ["ada", "end"]


def test_async_handler_is_scheduled_by_the_drain(event, api):
    box, seen = api.Mailbox(10), []

    async def handler(sender):
        seen.append((sender, threading.current_thread().name))

    event.connect(handler, via=box)
    event.emit("ada")
    assert box.drain() == 1
    assert api.drain(timeout=10)
    assert seen == [("ada", "cyevents")]

    async def main():
        event.emit("bob")
        assert box.drain() == 1
        assert len(seen) == 1
        await api.drain_async(timeout=10)

    asyncio.run(main())
    assert seen[1:] == [("bob", threading.current_thread().name)]


def test_exception_is_logged_and_the_drain_goes_on(event, api, called, caplog):
    box = api.Mailbox(10)

    def failing(sender):
        raise ValueError("no")

    event.connect(failing, via=box, priority=1)
    event.connect(called, via=box, weak=False)
    event.emit("ada")
    assert box.drain() == 2
    assert called == [("ada",)]
    (text,) = errors(caplog)
    assert text == f"handler {failing!r} of event 'x' failed in a mailbox"
    assert "ValueError: no" in caplog.text


@pytest.mark.parametrize("policy", ["raise", "group"])
def test_other_policies_log_too(event, api, caplog, policy):
    box = api.Mailbox(10)
    event.on_error = policy
    event.connect(lambda sender: 1 / 0, via=box, weak=False)
    assert event.emit() == []
    assert box.drain() == 1
    assert len(errors(caplog)) == 1


def test_callable_on_error_gets_exceptions(event, api, caplog):
    box, seen = api.Mailbox(10), []
    event.on_error = lambda error, *others: seen.append((type(error), *others))

    def failing(sender):
        raise ValueError("no")

    def failing_generator(sender):
        yield 1
        raise KeyError("no")

    event.connect(failing, via=box)
    event.connect(failing_generator, via=box)
    event.emit("ada")
    assert box.drain() == 2
    assert seen == [(ValueError, failing, event, "ada"), (KeyError, failing_generator, event, "ada")]
    assert errors(caplog) == []


def test_what_on_error_raises_is_logged(event, make, called, api, caplog):
    box = make(10)

    def raising(error, handler, event, sender):
        raise KeyError("another") from error

    event.on_error = raising
    event.connect(lambda sender: 1 / 0, via=box, weak=False, priority=1)
    event.emit("ada")
    assert box.drain() == 2
    assert called == [("ada",)]
    assert len(errors(caplog)) == 1
    assert "KeyError: 'another'" in caplog.text


def test_base_exception_propagates_and_the_rest_waits(event, api, called):
    box = api.Mailbox(10)

    def interrupted(sender):
        raise KeyboardInterrupt

    event.connect(interrupted, via=box, priority=1)
    event.connect(called, via=box, weak=False)
    event.emit()
    with pytest.raises(KeyboardInterrupt):
        box.drain()
    assert (called, len(box)) == ([], 1)
    assert box.drain() == 1


@pytest.mark.parametrize("what", ["returned False", "raised Cancel"])
@pytest.mark.parametrize("is_generator", [False, True])
def test_cancelling_is_logged_once(event, api, caplog, what, is_generator):
    box = api.Mailbox(10)

    def cancelling(sender):
        if what == "raised Cancel":
            raise api.Cancel("enough")
        return False

    def cancelling_generator(sender):
        yield 1
        return cancelling(sender)

    handler = cancelling_generator if is_generator else cancelling
    event.connect(handler, via=box)
    event.emit()
    event.emit()
    assert box.drain() == 2
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        (
            "WARNING",
            f"delivered handler {handler!r} of event 'x' {what}, which cancels nothing, since it is connected with via",
        )
    ]


def test_arguments_that_do_not_fit_are_noted(event, api, caplog):
    box = api.Mailbox(10)

    def narrow(sender):
        pass

    async def narrow_async(sender):
        pass

    event.connect(narrow, via=box)
    event.connect(narrow_async, via=box)
    event.emit("ada", 1)
    assert box.drain() == 2
    assert len(errors(caplog)) == 2
    for handler in (narrow, narrow_async):
        assert f"handler {handler.__qualname__} (" in caplog.text
    assert caplog.text.count("of event 'x' was called with (sender, 1 positional)") == 2


def test_errors_leave_no_reference_cycles(event, api, no_garbage, caplog):
    box = api.Mailbox(10)
    caplog.set_level(logging.CRITICAL, "cyevents")  # records keep exceptions

    class Failing:
        def __call__(self, sender):
            raise ValueError

    handler = Failing()
    reference = weakref.ref(handler)
    event.connect(handler, via=box, weak=False)
    event.emit()
    box.drain()
    event.clear()
    del handler
    assert reference() is None


# Traces and overlapping calls


def test_trace_shows_when_delivered_calls_ran(api, event, caplog):
    box = api.Mailbox(2, "drop_oldest")

    def dropped(sender):
        pass

    def failing(sender):
        raise ValueError("no")

    def counting(sender):
        yield 1

    for handler in (dropped, failing, counting):
        event.connect(handler, via=box)
    with api.trace(event) as trace:
        event.emit("ada")
        calls = trace.emissions[0].calls
        assert [call.is_delivered for call in calls] == [True] * 3
        assert [call.outcome for call in calls] == ["dropped", "delivered", "delivered"]
        assert "─ dropped   dropped  " in str(trace)
        assert box.drain() == 2
    assert [call.outcome for call in calls] == ["dropped", "raised", "returned"]
    assert [call.reason for call in calls] == [None, "ValueError: no", None]


def test_refused_call_has_ended_in_a_trace(api, event, make):
    box = make(1)
    with api.trace(event) as trace:
        event.emit(1)
        with pytest.raises(api.MailboxFull):
            event.emit(2)
        gc.collect()
    (call,) = trace.emissions[1].calls
    assert call.outcome == "dropped"
    box.clear()


@pytest.mark.parametrize("overlap", ["queue", "skip", "latest"])
def test_overlap_counts_the_calls_that_run(api, event, overlap):
    box, seen = api.Mailbox(1, "drop_newest"), []

    async def handler(sender):
        await asyncio.sleep(0)
        seen.append(sender)

    event.connect(handler, via=box, overlap=overlap)

    async def main():
        for turn in range(3):
            event.emit((turn, "first"))
            event.emit((turn, "dropped"))
            assert box.drain() <= 1
            assert await api.drain_async(timeout=10)

    asyncio.run(main())
    assert seen == [(turn, "first") for turn in range(3)]


# A full mailbox


def test_raise_is_the_default(api, event, make):
    box = make(1)
    assert (box.overflow, box.maxsize) == ("raise", 1)
    event.emit(1)
    with pytest.raises(api.MailboxFull) as caught:
        event.emit(2)
    assert isinstance(caught.value, RuntimeError)
    text = str(caught.value)
    assert text.startswith("<Mailbox: 1 of 1 calls waits> has no place for the call of ")
    assert text.endswith(
        " for event 'x': drain it more often, give it a larger maxsize, or say what to drop:"
        ' overflow="drop_oldest", "drop_newest" or "latest"'
    )
    assert (len(box), box.dropped) == (1, 0)


def test_full_is_raised_whatever_on_error_says(api, event, make, fire):
    make(1)
    seen = []
    event.on_error = lambda *given: seen.append(given)
    fire(event, 1)
    with pytest.raises(api.MailboxFull):
        fire(event, 2)
    event.on_error = "group"
    with pytest.raises(api.MailboxFull):
        fire(event, 3)
    assert seen == []


def test_place_is_free_while_the_call_runs(event, api):
    box = api.Mailbox(1)
    numbers = iter(range(1, 4))

    def again(sender):
        for number in numbers:
            event.emit(number)
            return

    event.connect(again, via=box)
    event.emit(0)
    assert [box.drain() for _ in range(5)] == [1, 1, 1, 1, 0]


def test_drop_oldest(event, make, called):
    box = make(2, "drop_oldest")
    for number in range(5):
        event.emit(number)
    assert (len(box), box.dropped) == (2, 3)
    assert box.drain() == 2
    assert called == [(3,), (4,)]


def test_drop_newest(event, make, called):
    box = make(2, overflow="drop_newest")
    for number in range(5):
        event.emit(number)
    assert (len(box), box.dropped) == (2, 3)
    assert box.drain() == 2
    assert called == [(0,), (1,)]
    event.emit(5)
    assert box.drain() == 1


def test_latest_replaces_and_moves_to_the_end(event, make, called):
    box = make(10, "latest")
    for sender, number in (("a", 1), ("b", 1), ("a", 2), ("a", 3)):
        event.emit(sender, number)
    assert (len(box), box.dropped) == (2, 2)
    assert box.drain() == 2
    assert called == [("b", 1), ("a", 3)]


def test_full_latest_drops_the_oldest(event, make, called):
    box = make(2, "latest")
    for sender in "abca":
        event.emit(sender)
    assert (len(box), box.dropped) == (2, 2)
    assert box.drain() == 2
    assert called == [("c",), ("a",)]


def test_latest_keeps_events_and_handlers_apart(ns, api):
    box, seen = api.Mailbox(10, "latest"), []
    handlers = [lambda sender, number=number: seen.append(number) for number in range(2)]
    for name in ("x", "y"):
        for handler in handlers:
            ns.event(name).connect(handler, via=box)
    for _ in range(3):
        ns.emit("x", "a")
        ns.emit("y", "a")
    assert box.drain() == 4
    assert seen == [0, 1, 0, 1]


def test_latest_compares_senders_as_events_do(event, make, called):
    box = make(10, "latest")
    for sender in (str(1000), str(1000), 1000, 500 * 2, True, (1,), tuple([1]), b"1", bytes([49]), None, None):
        event.emit(sender)
    assert len(box) == 7


def test_latest_finds_methods_of_the_same_object(event, api):
    class Screen:
        def show(self, sender):
            pass

    box, screens = api.Mailbox(10, "latest"), [Screen(), Screen()]
    for screen in screens:
        event.connect(screen.show, via=box)
    for _ in range(3):
        event.emit("a")
    assert (len(box), box.dropped) == (2, 4)


def test_handler_may_put_its_own_latest_call(event, api):
    box, numbers = api.Mailbox(1, "latest"), [3, 2, 1]

    def again(sender):
        if numbers:
            event.emit(numbers.pop())

    event.connect(again, via=box)
    event.emit(0)
    assert [box.drain() for _ in range(5)] == [1, 1, 1, 1, 0]
    assert box.dropped == 0


def test_large_mailboxes_take_no_memory_in_advance(api, event, called):
    box = api.Mailbox(10**30)
    event.connect(called, via=box, weak=False)
    for number in range(20_000):
        event.emit(number)
    assert box.drain() == 20_000
    assert box.maxsize == 10**30


@pytest.mark.parametrize("maxsize", [1, 4095, 4096, 4097, 10_000])
def test_limit_is_exact(api, event, make, maxsize):
    box = make(maxsize, "drop_newest")
    for _ in range(2):
        for number in range(maxsize + 3):
            event.emit(number)
        assert box.drain() == maxsize
    assert box.dropped == 6


# Draining


def test_limit_and_budget(event, make, called):
    box = make(10)
    for number in range(6):
        event.emit(number)
    assert box.drain(limit=0) == box.drain(budget=0) == box.drain(budget=-1) == box.drain(budget=-(10**400)) == 0
    assert box.drain(limit=2) == 2
    assert box.drain(None, 1) == 1
    assert box.drain(60, 1) == 1
    assert box.drain(10**400, 1) == 1
    assert box.drain(math.inf) == 1
    assert called == [(number,) for number in range(6)]
    assert box.drain() == 0


def test_budget_is_checked_between_calls(event, api, monkeypatch):
    box, clock = api.Mailbox(10), iter([100.0, 100.0, 100.4, 101.1])
    monkeypatch.setattr(importlib.import_module("cyevents._mailbox"), "perf_counter", lambda: next(clock))
    event.connect(lambda sender: None, via=box, weak=False)
    for number in range(5):
        event.emit(number)
    assert box.drain(budget=1.0) == 2
    assert len(box) == 3
    assert next(clock, None) is None


def test_drain_runs_what_waited_when_it_began(event, api):
    box = api.Mailbox(10)
    event.connect(lambda sender: event.emit(sender + 1), via=box, weak=False)
    event.emit(0)
    assert [box.drain(), box.drain(), len(box)] == [1, 1, 1]


def test_skipped_calls_do_not_count(event, api, called):
    box = api.Mailbox(10)

    def other(sender):
        pass

    event.connect(other, via=box)
    event.connect(called, via=box, weak=False)
    for number in range(3):
        event.emit(number)
    event.disconnect(other)
    assert box.drain(limit=2) == 2
    assert called == [(0,), (1,)]


def test_nested_drains_run_each_call_once(event, api):
    box, seen = api.Mailbox(10), []

    def handler(sender):
        seen.append(sender)
        if sender == 0:
            assert box.drain(limit=2) == 2
        seen.append(-sender)

    event.connect(handler, via=box)
    for number in range(5):
        event.emit(number)
    assert box.drain() == 3
    assert seen == [0, 1, -1, 2, -2, 0, 3, -3, 4, -4]
    assert len(box) == 0


def test_clear_drops_what_waits(event, make, called):
    for overflow in ("raise", "latest"):
        box = make(2, overflow)
        event.emit(1)
        event.emit(2)
        assert box.clear() == 2
        assert (len(box), box.dropped, box.drain(), box.clear()) == (0, 0, 0, 0)
        event.emit(3)
        event.emit(4)
        assert box.drain() == 2
    assert called == [(3,), (4,)] * 2


def test_context_is_that_of_the_drainer(event, api):
    from contextvars import ContextVar, copy_context

    variable, box, seen = ContextVar("variable", default="outside"), api.Mailbox(10), []
    event.connect(lambda sender: seen.append(variable.get()), via=box, weak=False)

    def emit():
        variable.set("emitter")
        event.emit()

    copy_context().run(emit)
    box.drain()
    assert seen == ["outside"]


# What a user sees


def test_repr_and_truth(event, make, api):
    box = make(2, "drop_oldest")
    assert box
    assert repr(box) == "<Mailbox: 0 of 2 calls wait>"
    for number in range(5):
        event.emit(number)
    assert repr(box) == "<Mailbox: 2 of 2 calls wait, 3 dropped>"
    assert repr(event.handlers[0]).endswith("via <Mailbox: 2 of 2 calls wait, 3 dropped>, weak=False>")
    assert event.handlers[0].via is box
    assert "via <Mailbox: 2 of 2 calls wait, 3 dropped>" in str(api.describe(event._namespace))
    box.clear()


@pytest.mark.parametrize("is_put", [True, False])
@pytest.mark.parametrize("overflow", ["drop_oldest", "latest"])
def test_interrupted_emission_keeps_the_number_of_places(api, overflow, is_put):
    """A signal handler raises before or after the step that puts the call."""
    box, event = api.Mailbox(1, overflow), api.Event("x")
    event.connect(int, via=box, weak=False)
    event.emit(1)

    class Interrupted(type(box._calls)):
        def append(self, call):
            if is_put:
                super().append(call)
            raise KeyboardInterrupt

        def setdefault(self, key, call):
            if is_put:
                super().__setitem__(key, call)
            raise KeyboardInterrupt

    box._calls = Interrupted(box._calls)
    with pytest.raises(KeyboardInterrupt):
        event.emit(2)
    assert len(box) == is_put
    assert len(box._places) == (not is_put)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_mailboxes_are_not_copied(api, copied):
    with pytest.raises(TypeError, match="a mailbox cannot be copied or pickled"):
        copied(api.Mailbox(1))


def test_subclass_with_hostile_methods(api, event, called):
    class Strange(api.Mailbox):
        def __init__(self):
            super().__init__(2)

        def __eq__(self, other):
            raise ValueError

        def __repr__(self):
            raise ValueError

    box = Strange()
    event.connect(called, via=box, weak=False)
    event.emit(1)
    event.emit(2)
    with pytest.raises(ValueError):
        event.emit(3)
    assert box.drain() == 2


def test_import_brings_no_asyncio(child):
    child("""
        unwanted = {"asyncio", "concurrent.futures"} & set(sys.modules)
        assert not unwanted, unwanted
    """)


# Arguments


@pytest.mark.parametrize("maxsize", [None, 1.0, "1", True])
def test_maxsize_must_be_an_int(api, maxsize):
    with pytest.raises(TypeError) as caught:
        api.Mailbox(maxsize)
    assert str(caught.value) == f"maxsize must be an int, the number of calls that may wait, not {maxsize!r}"


def test_maxsize_must_allow_a_call(api):
    with pytest.raises(ValueError) as caught:
        api.Mailbox(0)
    assert str(caught.value) == "maxsize must allow at least one call, not 0"
    with pytest.raises(TypeError):
        api.Mailbox()


@pytest.mark.parametrize("overflow", [None, 1, "Raise", "drop"])
def test_overflow_must_be_a_known_word(api, overflow):
    with pytest.raises(ValueError) as caught:
        api.Mailbox(1, overflow)
    assert str(caught.value) == f'overflow must be "raise", "drop_oldest", "drop_newest" or "latest", not {overflow!r}'


@pytest.mark.parametrize("wakeup", [1.0, "fd", True, object])
def test_wakeup_must_be_able_to_wake(api, wakeup):
    wakeup = wakeup() if wakeup is object else wakeup
    with pytest.raises(TypeError) as caught:
        api.Mailbox(1, wakeup=wakeup)
    assert str(caught.value) == (
        f"wakeup must be a callable, a file descriptor, an object with fileno(), or None, not {wakeup!r}"
    )


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"budget": "1"}, TypeError, "budget must be a number of seconds or None, not '1'"),
        ({"budget": True}, TypeError, "budget must be a number of seconds or None, not True"),
        ({"budget": math.nan}, ValueError, "budget must be a number of seconds or None, not nan"),
        ({"limit": 1.0}, TypeError, "limit must be an int, the number of calls to run, or None, not 1.0"),
        ({"limit": True}, TypeError, "limit must be an int, the number of calls to run, or None, not True"),
        ({"limit": -1}, ValueError, "limit must not be negative, not -1"),
    ],
)
def test_drain_checks_its_arguments(event, make, called, arguments, error, text):
    box = make(1)
    event.emit()
    with pytest.raises(error) as caught:
        box.drain(**arguments)
    assert str(caught.value) == text
    assert (called, len(box)) == ([], 1)
    box.clear()


def test_constructor_may_be_called_again(event, make, called, api):
    box = make(2)
    event.emit(1)
    box.__init__(3)
    assert (box.maxsize, len(box)) == (3, 0)


def test_without_constructor_nothing_crashes(api):
    box = api.Mailbox.__new__(api.Mailbox)
    for use in (len, repr, lambda box: box.drain()):
        with pytest.raises(AttributeError):
            use(box)


def test_functions_of_the_core_refuse_what_is_no_call(api):
    core = sys.modules["cyevents._core"]
    for take in (lambda: None, lambda: (), lambda: (1, 2, 3, 4, 5, 6, 7), lambda: [1] * 7, [].pop):
        taken, call, result, error = core.run_calls([], take, 1)
        assert isinstance(error, Exception)
        assert result is None
    with pytest.raises(TypeError):
        core.run_calls(None, [].pop, 1)
    with pytest.raises((TypeError, IndexError)):
        core.put_call((), ())


# Waking the drainer


def test_wakeup_comes_when_the_mailbox_was_empty(event, make):
    woken = []
    box = make(10, wakeup=lambda: woken.append(threading.get_ident()))
    assert woken == []
    event.emit(1)
    event.emit(2)
    assert woken == [threading.get_ident()]
    box.drain()
    assert len(woken) == 1
    event.emit(3)
    assert len(woken) == 2
    box.clear()
    event.emit(4)
    assert len(woken) == 3
    box.clear()


@pytest.mark.parametrize("overflow", ["raise", "drop_oldest", "drop_newest", "latest"])
def test_every_overflow_wakes(event, make, overflow):
    woken = []
    box = make(1, overflow, wakeup=lambda: woken.append(1))
    for _ in range(3):
        event.emit("a")
        box.drain()
    assert len(woken) == 3


def test_call_is_there_when_the_wakeup_comes(event, make):
    lengths = []
    box = make(10, wakeup=lambda: lengths.append(len(box)))
    event.emit()
    assert lengths == [1]
    box.clear()


@pytest.mark.parametrize("arguments", [{"limit": 1}, {"budget": 0}])
def test_drain_that_leaves_calls_wakes_again(event, make, arguments):
    woken = []
    box = make(10, wakeup=lambda: woken.append(1))
    event.emit(1)
    event.emit(2)
    box.drain(**arguments)
    assert len(woken) == 2
    box.drain()
    assert len(woken) == 2


def test_drain_that_is_interrupted_wakes_again(event, api):
    woken = []
    box = api.Mailbox(10, wakeup=lambda: woken.append(1))

    def interrupted(sender):
        raise KeyboardInterrupt

    event.connect(interrupted, via=box)
    event.emit(1)
    event.emit(2)
    with pytest.raises(KeyboardInterrupt):
        box.drain()
    assert len(woken) == 2
    box.clear()


def test_failing_wakeup_is_logged_and_loses_nothing(event, make, called, caplog):
    def wakeup():
        raise ValueError("no window")

    box = make(10, wakeup=wakeup)
    assert event.emit(1) == []
    (text,) = errors(caplog)
    assert text == f"wakeup {wakeup!r} of <Mailbox: 1 of 10 calls waits> failed"
    assert "ValueError: no window" in caplog.text
    assert box.drain() == 1


def test_descriptor_gets_one_byte(event, make, caplog):
    reader, writer = os.pipe()
    try:
        box = make(10, wakeup=writer)
        assert not os.get_blocking(writer)
        event.emit(1)
        event.emit(2)
        assert os.read(reader, 100) == b"\0"
        box.drain()
        event.emit(3)
        assert os.read(reader, 100) == b"\0"
        box.clear()
    finally:
        os.close(reader)
        os.close(writer)
    event.emit(4)  # logged, since it is closed
    assert len(errors(caplog)) == 1
    box.clear()


def test_full_pipe_is_enough(event, make, caplog):
    reader, writer = os.pipe()
    try:
        box = make(10, wakeup=writer)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(writer, b"." * 1024)
        event.emit(1)
        assert errors(caplog) == []
        assert box.drain() == 1
    finally:
        os.close(reader)
        os.close(writer)


def test_objects_with_a_descriptor(event, make, tmp_path):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        box = make(10, wakeup=theirs)
        assert theirs.gettimeout() == 0
        event.emit()
        assert ours.recv(100) == b"\0"
        box.clear()
    event.clear()
    reader, writer = os.pipe()
    with open(reader, "rb", buffering=0) as ours, open(writer, "wb", buffering=0) as theirs:
        box = make(10, wakeup=theirs)
        event.emit()
        assert ours.read(1) == b"\0"
        box.clear()


def test_selector_loop_misses_nothing(event, make, called):
    reader, writer = socket.socketpair()
    count = 2_000
    with reader, writer, selectors.DefaultSelector() as selector:
        reader.setblocking(False)
        box = make(count, wakeup=writer)
        selector.register(reader, selectors.EVENT_READ)

        def emit():
            for number in range(count):
                event.emit(number)

        emitter = threading.Thread(target=emit)
        emitter.start()
        while len(called) < count:
            assert selector.select(TIMEOUT)
            reader.recv(4096)
            box.drain(limit=100)
        emitter.join()
    assert called == [(number,) for number in range(count)]


# Threads


@pytest.mark.parametrize("overflow", ["raise", "drop_oldest", "drop_newest", "latest"])
def test_every_call_runs_or_is_counted(event, api, overflow):
    emitters, drainers, count = 3, 2, 1_500
    ready, over, ran = threading.Semaphore(0), threading.Event(), []
    box = api.Mailbox(100, overflow, wakeup=ready.release)
    event.connect(ran.append, via=box, weak=False)
    refused = []

    def emit(thread):
        for number in range(count):
            try:
                event.emit(f"{thread} {number % 7}" if overflow == "latest" else (thread, number))
            except api.MailboxFull:
                refused.append(number)
            assert len(box) <= 100

    def drain():
        while not over.is_set():
            ready.acquire()
            box.drain(limit=50)

    threads = [threading.Thread(target=emit, args=[number]) for number in range(emitters)]
    workers = [threading.Thread(target=drain) for _ in range(drainers)]
    for thread in threads + workers:
        thread.start()
    for thread in threads:
        thread.join()
    over.set()
    for _ in workers:
        ready.release()
    for worker in workers:
        worker.join()
    box.drain()
    assert len(ran) + box.dropped + len(refused) == emitters * count
    if overflow != "latest":
        assert len(set(ran)) == len(ran)
    assert (box.dropped == 0) == (overflow == "raise") or not box.dropped


def test_order_of_one_emitter_stays(event, make, called):
    ready = threading.Semaphore(0)
    box = make(5_000, wakeup=ready.release)

    def emit():
        for number in range(5_000):
            event.emit(number)

    emitter = threading.Thread(target=emit)
    emitter.start()
    while len(called) < 5_000:
        assert ready.acquire(timeout=TIMEOUT)
        box.drain()
    emitter.join()
    assert called == [(number,) for number in range(5_000)]


# Finalizers, signal handlers, exit and forks


def test_finalizer_may_emit_into_its_own_mailbox(event, make, called):
    class Finalized:
        def __del__(self):
            event.emit("finalizer")

    for overflow in ("drop_oldest", "latest"):
        box = make(1, overflow)
        event.emit("a", Finalized())
        event.emit("b")  # drops the call, and so the argument
        event.emit("c")
        assert box.drain() == 1
        box.drain()
        assert len(box) == 0
        called.clear()
        event.clear()


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")
def test_signal_handlers_may_emit_and_drain_at_any_time(child):
    process = child("""
        event.clear()
        total, seen = 0, []
        for overflow in ("raise", "drop_oldest", "drop_newest", "latest"):
            box = Mailbox(3, overflow)
            count = lambda sender, *args: seen.append(sender)
            put = 0
            event.connect(count, via=box)
            def on_alarm(*_):
                global put
                put += 1
                try:
                    event.emit(-1)
                except RuntimeError:
                    put -= 1
                if put % 3 == 0:
                    box.drain()
            signal.signal(signal.SIGALRM, on_alarm)
            signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
            for number in range(3000):
                put += 1
                try:
                    event.emit(number)
                except RuntimeError:
                    put -= 1
                if number % 4 == 3:
                    box.drain()
            signal.setitimer(signal.ITIMER_REAL, 0)
            box.drain()
            assert len(box) == 0 and len(box._places) == 3, (box, box._places)
            assert len(seen) + box.dropped <= put
            seen.clear()
            event.disconnect(count)
        print("done")
    """)
    assert process.stdout.endswith("done\n"), process


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")
def test_signal_handlers_that_raise_leave_places(child):
    process = child("""
        class Alarm(Exception): pass
        def on_alarm(*_):
            global is_armed
            if is_armed:
                is_armed = False
                raise Alarm
        logging.getLogger("cyevents").disabled = True
        is_armed = False
        signal.signal(signal.SIGALRM, on_alarm)
        event.clear()
        def count(sender): pass
        def work():  # a function of its own: what it raises is always raised inside the `try`
            for number in range(2000):
                try:
                    event.emit(number % 9)
                except RuntimeError:
                    pass
                if number % 7 == 0:
                    box.drain()
        for overflow in ("raise", "drop_oldest", "drop_newest", "latest"):
            box = Mailbox(2, overflow)
            event.connect(count, via=box)
            interrupted = 0
            while interrupted < 300:
                try:
                    is_armed = True
                    signal.setitimer(signal.ITIMER_REAL, 0.00005 + interrupted * 1e-6)
                    work()
                    is_armed = False
                except Alarm:
                    interrupted += 1
            box.drain(), box.drain(), box.drain()
            event.emit(1)
            assert len(box) == 1, (overflow, box)
            assert box.drain() == 1
            event.disconnect(count)
        print("done")
    """)
    assert process.stdout.endswith("done\n"), process


def test_waiting_calls_are_logged_at_exit(child):
    process = child("""
        other = Event("tock")
        other.connect(handler, via=box)
        event.emit(1), event.emit(2), other.emit(3)
        empty = Mailbox(1)
    """)
    assert process.stdout == ""
    assert process.stderr.splitlines() == [
        "cyevents ERROR calls that wait in a mailbox at exit are not run:"
        " handler of event 'tick' (2), handler of event 'tock' (1)"
    ]


def test_exit_without_waiting_calls_is_silent(child):
    process = child("event.emit(1), box.drain(), event.emit(2), atexit.register(box.drain)")
    assert (process.stdout, process.stderr) == ("ran 1\nran 2\n", "")


@pytest.mark.parametrize("overflow", ["raise", "latest"])
def test_calls_of_late_exit_hooks_are_logged(child, overflow):
    process = child(
        f"""
        import atexit, logging
        logging.basicConfig(format="%(name)s %(levelname)s %(message)s")
        atexit.register(lambda: event.emit("late"))  # before the hook of the mailboxes, and so it runs later
        from cyevents import Event, Mailbox
        event, box = Event("tick"), Mailbox(2, "{overflow}")
        def handler(sender): pass
        event.connect(handler, via=box)
        """,
        prelude="",
    )
    assert process.stderr.splitlines() == [
        "cyevents ERROR calls that are put into a mailbox at exit are not run: handler of event 'tick' (1)"
    ]


def test_collected_mailbox_logs_what_waited(event, api, caplog):
    box = api.Mailbox(5)

    def handler(sender):
        pass

    event.connect(handler, via=box)
    event.emit(1)
    event.emit(2)
    event.clear()
    del box
    gc.collect()
    name = handler.__qualname__
    assert errors(caplog) == [
        f"calls that wait in a mailbox that is garbage-collected are not run: {name} of event 'x' (2)"
    ]


def test_unused_mailbox_leaves_nothing(api, collect):
    module = importlib.import_module("cyevents._mailbox")
    collect()
    before = len(module._mailboxes)
    boxes = [api.Mailbox(1) for _ in range(10)]
    assert len(module._mailboxes) == before + 10
    boxes.clear()
    assert len(module._mailboxes) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_forked_child_has_an_empty_mailbox(child):
    process = child("""
        box = Mailbox(2)
        event.connect(handler, via=box)
        event.emit(1)
        event.emit(2)
        pid = os.fork()
        if not pid:
            assert len(box) == 0
            event.emit("in the child")
            event.emit("in the child")
            assert box.drain() == 2
            sys.exit()
        assert os.waitpid(pid, 0)[1] == 0
        assert box.drain() == 2
    """)
    assert process.stdout.splitlines() == ["ran in the child"] * 2 + ["ran 1", "ran 2"]
    assert process.stderr == ""
