"""Handlers, senders, decorators and subscriptions that are discarded at once warn, and leave nothing connected."""

import functools
import gc
import logging
import subprocess
import sys
import warnings

import pytest


class Sender:
    pass


def handler(sender, **kwargs):
    return "called"


@pytest.fixture
def event(ns):
    return ns.event("saved")


@pytest.fixture
def records():
    """Return the list that log records are added to."""
    logged = []

    class Handler(logging.Handler):
        def emit(self, record):
            logged.append(record)

    logger, handler = logging.getLogger("cyevents"), Handler()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield logged
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def warned(act, match):
    """Call a function that must give one RuntimeWarning, at the caller's line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        act()
    assert [(each.category, each.filename) for each in caught] == [(RuntimeWarning, __file__)]
    assert match in str(caught[0].message)
    assert caught[0].lineno == act.__code__.co_firstlineno + 1


# In the same statement


def test_sender_that_dies_at_once_warns(api, event):
    def connect():
        event.connect(handler, sender=Sender())

    warned(connect, "the sender that handler is connected for was garbage-collected at once")
    assert event.handlers == []


def test_positional_sender_of_a_dead_event_warns(api):
    def connect():
        api.Event("e").connect(handler, Sender())

    warned(connect, "the sender that handler is connected for was garbage-collected at once")


def test_sender_that_dies_in_subscribe_warns(event):
    def connect():
        event.subscribe(handler, Sender())

    warned(connect, "the sender that handler is connected for was garbage-collected at once")


def test_no_warning_for_a_sender_that_lives_on(event):
    sender = Sender()
    event.connect(handler, sender)
    event.connect(handler, sender=Sender)
    event.connect(handler, sender="ada")
    del sender
    gc.collect()


def test_discarded_subscription_warns(event):
    def subscribe():
        event.subscribe(lambda sender: 1)

    warned(subscribe, "keep the result of subscribe()")
    assert event.handlers == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: lambda sender: 1,
        lambda: functools.partial(handler),
        lambda: Owner().method,
        lambda: {1, 2}.__contains__,
    ],
    ids=["lambda", "partial", "method", "C method"],
)
def test_temporary_handler_warns(event, make):
    made = make()

    def connect():
        event.connect(make())

    try:
        event.connect(made)
    except TypeError:  # a C type without weak references
        pytest.skip("it cannot be held weakly")
    event.clear()
    warned(connect, "was garbage-collected at once")


class Owner:
    def method(self, sender):
        return "method"


# Decorators


def test_discarded_decorator_warns_at_its_line(ns, event):
    def discard():
        ns.on("x", handler)

    warned(discard, "on('x') returned a decorator, which was discarded")
    assert "x" not in ns

    def discard_connect():
        event.connect(priority=5)

    warned(discard_connect, "connect(...) of 'saved' returned a decorator, which was discarded")

    def discard_event():
        ns.on(event)

    warned(discard_event, "on(...) of event 'saved'")


def test_warning_shows_what_was_used_as_sender(ns):
    def discard():
        ns.on("x", handler)

    warned(discard, f"({handler!r} was taken for the sender)")


def test_no_warning_for_a_used_decorator(ns, event):
    for decorate in ns.on("x"), ns.on(event), event.connect(), event.connect(priority=1):
        assert decorate(handler) is handler
        with pytest.raises(TypeError, match="a handler must be callable, not 5"):
            decorate(5)
        del decorate
    gc.collect()


def test_decorator_can_be_used_repeatedly(ns):
    decorate = ns.on("x")
    decorate(handler)
    decorate(Owner().method.__func__.__get__(Owner))
    assert len(ns["x"].handlers) == 2


def test_connect_without_a_receiver_is_a_decorator(event):
    sender = Sender()

    @event.connect(priority=5, with_event=True)
    def first(sender, event):
        return "first"

    @event.connect(sender=sender, once=True)
    def second(sender):
        return "second"

    @event.connect
    def third(sender):
        return "third"

    @event.connect()
    def fourth(sender):
        return "fourth"

    assert event.emit(sender) == ["first", "second", "third", "fourth"]
    assert event.emit(sender) == ["first", "third", "fourth"]
    for bad in ({"priority": "high"}, {"condition": 5}, {"once": "no"}):
        with pytest.raises(TypeError):
            event.connect(**bad)
    with pytest.raises(TypeError, match="a handler must be callable, not None"):
        event.connect(None)


# Before any emission


def make_app(ns, name="app.started", **options):
    @ns.on(name, **options)
    def started(sender):
        return "started"


def test_function_dead_before_any_emission_is_logged(ns, records):
    make_app(ns)
    gc.collect()
    (record,) = records
    line = make_app.__code__.co_firstlineno + 1
    assert record.levelname == "WARNING"
    assert (
        f"handler make_app.<locals>.started of event 'app.started', defined in {__file__}:{line},"
        in record.getMessage()
    )
    assert "weak=False" in record.getMessage()
    assert ns["app.started"].emit(1) == []


def test_partial_dead_before_any_emission_is_logged(ns, records):
    def connect():
        inner = functools.partial(functools.partial(lambda sender: 1))
        ns.event("x").connect(inner)

    connect()
    assert [record.levelname for record in records] == ["WARNING"]
    assert f"{__file__}:{connect.__code__.co_firstlineno + 1}" in records[0].getMessage()


def test_no_warning_after_an_emission(ns, records):
    def scope():
        def found(sender):
            return "found"

        ns.event("x").connect(found)
        ns.event("x").connect(found, priority=3)  # reconnecting keeps it the same handler
        assert ns.emit("x") == ["found"]
        ns.event("x").connect(found, priority=4)

    scope()
    assert records == []
    ns.emit("x")
    assert [record.levelname for record in records] == ["DEBUG"]


def test_no_warning_if_the_function_was_redefined(ns, records):
    for _ in range(3):  # like a module that is reloaded, or a notebook cell

        @ns.on("x")
        def cell(sender):
            return "cell"

    assert ns.emit("x") == ["cell"]
    assert [record.levelname for record in records if record.levelno > logging.DEBUG] == []


def test_no_warning_for_other_kinds_and_subscriptions(ns, records):
    ns.event("x").connect(owner := Owner().method)
    with ns.event("x").subscribe(lambda sender: 1):
        pass
    held = ns.event("x").subscribe(lambda sender: 1)
    del owner, held
    gc.collect()
    assert [record for record in records if record.levelno > logging.DEBUG] == []
    ns.emit("x")
    assert {record.levelname for record in records} == {"DEBUG"}


def test_no_warning_if_disconnected_or_held(ns, records):
    def scope():
        def one(sender):
            return "one"

        def two(sender):
            return "two"

        ns.event("x").connect(one)
        ns.event("x").disconnect(one)
        ns.event("x").connect(two, weak=False)

    scope()
    gc.collect()
    assert records == []
    assert ns.emit("x") == ["two"]


def test_pattern_warns_too(ns, records):
    make_app(ns, "app.*")
    assert ["WARNING"] == [record.levelname for record in records]
    assert "'app.*'" in records[0].getMessage()


def test_no_warning_at_exit(backend):
    script = """
from cyevents import on, event
@on("x")
def handler(sender): pass
event("y").connect(handler, sender=type("S", (), {}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Warnings as errors


class Robot:
    def on_saved(self):
        return "called"


def test_warning_as_error_leaves_nothing_connected(event):
    for connect in event.connect, event.subscribe, event.connect():
        with pytest.raises(RuntimeWarning, match="takes self"):
            connect(Robot.on_saved)
    with pytest.raises(RuntimeWarning), event.connected_to(Robot.on_saved):
        pass
    assert event.handlers == []


def test_warning_as_error_keeps_the_old_connection(event):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        event.connect(Robot.on_saved, priority=3)
    with pytest.raises(RuntimeWarning):
        event.connect(Robot.on_saved, priority=9)
    assert [connection.priority for connection in event.handlers] == [3]


def test_warning_text_explains_both_causes(event):
    with pytest.warns(RuntimeWarning) as caught:
        event.connect(Robot.on_saved)
    text = str(caught[0].message)
    assert "bound method" in text
    assert "with the sender as self" in text


def test_method_with_its_own_object_as_sender(event):
    class Tester(Robot):
        pass

    robot, tester = Robot(), Tester()
    event.connect(Robot.on_saved, sender=robot)
    event.connect(Robot.on_saved, sender=tester)
    assert event.emit(robot) == ["called"]
    with pytest.raises(RuntimeWarning):
        event.connect(Robot.on_saved, sender=Owner())


# Flags


@pytest.mark.parametrize("flag", ["weak", "once", "with_event", "thread"])
@pytest.mark.parametrize("value", ["no", 0, 1, None, []], ids=repr)
def test_flags_must_be_bools(api, ns, event, flag, value):
    for connect in (
        event.connect,
        event.subscribe,
        lambda handler, **options: event.connected_to(handler, **options).__enter__(),
    ):
        with pytest.raises(TypeError) as caught:
            connect(handler, **{flag: value})
        assert str(caught.value) == f"{flag} must be True or False, not {value!r}"
    for decorator in ns.on, api.on:
        with pytest.raises(TypeError, match=f"^{flag} must be True or False"):
            decorator("x", **{flag: value})
    assert event.handlers == []


def test_priority_passed_as_weak_shows_the_sender(event):
    with pytest.raises(TypeError) as caught:
        event.connect(handler, 10, 5)
    assert str(caught.value) == (
        "weak must be True or False, not 5: the arguments are (receiver, sender, weak, priority, condition), and 10 is"
        " taken for the sender"
    )


def test_check_must_be_a_bool(api, ns):
    for make in ns.event, api.Event:
        with pytest.raises(TypeError, match="check must be True or False, not 'no'"):
            make("y", signature=handler, check="no")
    assert "y" not in ns


def test_receiver_is_checked_first(event):
    with pytest.raises(TypeError, match="a handler must be callable, not 5"):
        event.connect(5, weak="no", priority="high")
    with pytest.raises(TypeError, match="priority must be an int"):
        event.connect(handler, weak="no", priority="high")
