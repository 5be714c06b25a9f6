"""Handlers, senders, decorators and subscriptions that vanish are reported; a warning leaves nothing connected."""

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
    """What is logged, as a list."""
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
    """Run something that gives one RuntimeWarning, at the caller's line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        act()
    assert [(each.category, each.filename) for each in caught] == [(RuntimeWarning, __file__)]
    assert match in str(caught[0].message)
    assert caught[0].lineno == act.__code__.co_firstlineno + 1


# On the spot


def test_a_sender_that_dies_on_the_spot_warns(api, event):
    def connect():
        event.connect(handler, sender=Sender())

    warned(connect, "the sender that handler is connected for has died on the spot")
    assert event.handlers == []


def test_a_sender_by_position_and_of_an_event_that_dies_too(api):
    def connect():
        api.Event("e").connect(handler, Sender())

    warned(connect, "the sender that handler is connected for has died on the spot")


def test_a_sender_that_dies_on_the_spot_in_subscribe_warns(event):
    def connect():
        event.subscribe(handler, Sender())

    warned(connect, "the sender that handler is connected for has died on the spot")


def test_a_sender_that_lives_on_or_dies_later_is_silent(event):
    sender = Sender()
    event.connect(handler, sender)
    event.connect(handler, sender=Sender)
    event.connect(handler, sender="ada")
    del sender
    gc.collect()


def test_a_discarded_subscription_says_to_keep_it(event):
    def subscribe():
        event.subscribe(lambda sender: 1)

    warned(subscribe, "keep what subscribe() returns")
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
def test_a_temporary_handler_warns(event, make):
    made = make()

    def connect():
        event.connect(make())

    try:
        event.connect(made)
    except TypeError:  # a C type that cannot be referred to weakly
        pytest.skip("cannot be held weakly")
    event.clear()
    warned(connect, "has died on the spot")


class Owner:
    def method(self, sender):
        return "method"


# Decorators


def test_a_discarded_decorator_warns_at_its_line(ns, event):
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


def test_it_says_what_was_taken_for_the_sender(ns):
    def discard():
        ns.on("x", handler)

    warned(discard, f"({handler!r} was taken for the sender)")


def test_a_decorator_that_was_used_is_silent(ns, event):
    for decorate in ns.on("x"), ns.on(event), event.connect(), event.connect(priority=1):
        assert decorate(handler) is handler
        with pytest.raises(TypeError, match="a handler must be callable, not 5"):
            decorate(5)
        del decorate
    gc.collect()


def test_a_decorator_may_be_used_often(ns):
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


def test_a_function_that_dies_before_any_emission_is_a_warning_with_its_line(ns, records):
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


def test_a_partial_of_one_too(ns, records):
    def connect():
        inner = functools.partial(functools.partial(lambda sender: 1))
        ns.event("x").connect(inner)

    connect()
    assert [record.levelname for record in records] == ["WARNING"]
    assert f"{__file__}:{connect.__code__.co_firstlineno + 1}" in records[0].getMessage()


def test_it_is_silent_for_what_an_emission_has_found(ns, records):
    def scope():
        def found(sender):
            return "found"

        ns.event("x").connect(found)
        ns.event("x").connect(found, priority=3)  # a reconnection is the same handler
        assert ns.emit("x") == ["found"]
        ns.event("x").connect(found, priority=4)

    scope()
    assert records == []
    ns.emit("x")
    assert [record.levelname for record in records] == ["DEBUG"]


def test_it_is_silent_where_the_same_name_lives_on(ns, records):
    for _ in range(3):  # as a module that is loaded again, or a notebook's cell

        @ns.on("x")
        def cell(sender):
            return "cell"

    assert ns.emit("x") == ["cell"]
    assert [record.levelname for record in records if record.levelno > logging.DEBUG] == []


def test_it_is_silent_for_other_handlers_and_subscriptions(ns, records):
    ns.event("x").connect(owner := Owner().method)
    with ns.event("x").subscribe(lambda sender: 1):
        pass
    held = ns.event("x").subscribe(lambda sender: 1)
    del owner, held
    gc.collect()
    assert [record for record in records if record.levelno > logging.DEBUG] == []
    ns.emit("x")
    assert {record.levelname for record in records} == {"DEBUG"}


def test_it_is_silent_for_what_was_disconnected_or_held(ns, records):
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


def test_a_pattern_says_so_too(ns, records):
    make_app(ns, "app.*")
    assert ["WARNING"] == [record.levelname for record in records]
    assert "'app.*'" in records[0].getMessage()


def test_it_is_silent_at_exit(backend):
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


def test_a_warning_that_is_an_exception_leaves_nothing(event):
    for connect in event.connect, event.subscribe, event.connect():
        with pytest.raises(RuntimeWarning, match="takes self"):
            connect(Robot.on_saved)
    with pytest.raises(RuntimeWarning), event.connected_to(Robot.on_saved):
        pass
    assert event.handlers == []


def test_a_reconnection_that_warns_leaves_what_was_there(event):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        event.connect(Robot.on_saved, priority=3)
    with pytest.raises(RuntimeWarning):
        event.connect(Robot.on_saved, priority=9)
    assert [connection.priority for connection in event.handlers] == [3]


def test_the_text_covers_both_readings(event):
    with pytest.warns(RuntimeWarning) as caught:
        event.connect(Robot.on_saved)
    text = str(caught[0].message)
    assert "bound method" in text
    assert "with the sender as self" in text


def test_a_function_of_the_senders_class_may_take_it_as_self(event):
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


def test_a_priority_given_for_weak_says_what_was_taken_for_the_sender(event):
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


def test_the_receiver_is_checked_first(event):
    with pytest.raises(TypeError, match="a handler must be callable, not 5"):
        event.connect(5, weak="no", priority="high")
    with pytest.raises(TypeError, match="priority must be an int"):
        event.connect(handler, weak="no", priority="high")
