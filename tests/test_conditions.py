"""Conditions: how and when they are called, and what happens to their exceptions."""

import asyncio
import functools
import inspect
import logging

import pytest


@pytest.fixture
def event(ns):
    return ns.event("x")


@pytest.fixture
def records(caplog):
    """Return the messages logged by `cyevents`: `records()`."""
    caplog.set_level(logging.DEBUG, logger="cyevents")
    return lambda: [record for record in caplog.records if record.name == "cyevents"]


def handler(sender, *args, **kwargs):
    return "handled"


def other(sender, *args, **kwargs):
    return "other"


class Stop(BaseException):
    pass


def failing(sender, **kwargs):
    raise ZeroDivisionError("what the condition raised")


# How it is called


def test_positionals_are_not_passed_to_conditions(event, target, fire):
    checked = []

    def condition(*args, **kwargs):
        checked.append((args, kwargs))
        return True

    target.connect(handler, condition=condition)
    assert fire(event, "s", 1, 2, a=3, event=4, condition=5, self=6) == ["handled"]
    assert checked == [(("s",), {"a": 3, "event": 4, "condition": 5, "self": 6})]


def test_condition_cannot_change_the_handlers_keywords(event, fire):
    def condition(sender, **kwargs):
        kwargs.clear()
        return True

    def keywords(sender, **kwargs):
        return kwargs

    event.connect(keywords, condition=condition)
    assert fire(event, 1, a=2) == [{"a": 2}]


class Truth:
    def __init__(self, value):
        self.value = value

    def __bool__(self):
        return self.value


class Sized(list):
    pass


@pytest.mark.parametrize("answer", [True, 1, "no", [0], object(), Truth(True), -0.5], ids=repr)
def test_true_result_calls_the_handler(event, target, fire, answer):
    target.connect(handler, condition=lambda sender: answer)
    assert fire(event, 1) == ["handled"]


@pytest.mark.parametrize("answer", [False, None, 0, "", [], Sized(), Truth(False), 0.0], ids=repr)
def test_false_result_skips_only_that_handler(event, target, fire, answer):
    target.connect(handler, condition=lambda sender: answer)
    target.connect(other)
    results = fire(event, 1)
    assert results == ["other"]
    assert type(results) is list


def test_condition_is_checked_at_each_emission(event, fire):
    event.connect(handler, condition=lambda sender: sender > 1)
    assert [fire(event, number) for number in (1, 2, 1)] == [[], ["handled"], []]


@pytest.mark.parametrize(
    "condition",
    [functools.partial(lambda wanted, sender: sender == wanted, "s"), "s".__eq__, bool],
    ids=["partial", "builtin method", "class"],
)
def test_any_callable_is_a_condition(event, fire, condition):
    event.connect(handler, condition=condition)
    assert fire(event, "s") == ["handled"]
    assert fire(event, "") == []


def test_condition_is_held_strongly(event, collect):
    event.connect(handler, condition=lambda sender: True)
    collect()
    assert event.emit(1) == ["handled"]


# When it is called


def test_conditions_are_checked_right_before_their_handler(ns, event, fire):
    log = []
    keep = []

    def connect(name, priority, answer=True):
        def condition(sender):
            log.append(f"{name}?")
            return answer

        def call(sender):
            log.append(name)

        keep.append(call)
        ns.event("x*" if priority % 2 else "x").connect(call, priority=priority, condition=condition)

    connect("c", 0)
    connect("a", 3)
    connect("d", -1)
    connect("b", 2, answer=False)
    fire(event, 1)
    assert log == ["a?", "a", "b?", "c?", "c", "d?", "d"]


def test_condition_sees_effects_of_earlier_handlers(event, fire):
    done = []
    event.connect(done.append, weak=False)
    event.connect(handler, condition=lambda sender: sender in done)
    assert fire(event, 1) == ["handled"]


def test_emit_async_checks_after_higher_priorities(event, run):
    done = []

    async def slow(sender):
        await asyncio.sleep(0)
        done.append(sender)

    event.connect(slow, priority=1)
    event.connect(handler, condition=lambda sender: sender in done)
    assert run(event.emit_async(1)) == ["handled"]


def test_no_condition_is_checked_after_cancellation(event, fire):
    def refuse(sender):
        return False

    checked = []
    event.connect(refuse)
    event.connect(handler, condition=lambda sender: checked.append(sender))
    fire(event, 1)
    assert checked == []


@pytest.mark.parametrize("gone", ["disconnected", "another sender"])
def test_no_condition_is_checked_for_a_skipped_handler(event, fire, gone):
    checked = []

    def disconnect(sender):
        event.disconnect(handler)

    event.connect(disconnect, sender="s" if gone == "disconnected" else "t")
    event.connect(handler, "s" if gone == "disconnected" else "t", condition=checked.append)
    assert fire(event, "s") == []
    assert checked == []


def test_condition_may_disconnect_its_handler(event, target, fire):
    def condition(sender):
        assert target.disconnect(handler)
        return True

    target.connect(handler, condition=condition)
    target.connect(other)
    assert fire(event, 1) == ["other"]


def test_condition_may_reconnect_and_disconnect_its_handler(event, target, fire):
    def condition(sender):
        target.connect(handler)
        target.disconnect(handler)
        return True

    target.connect(handler, condition=condition)
    assert fire(event, 1) == []
    assert event.handlers == []


# Exceptions


@pytest.mark.parametrize("policy", [None, "raise", "group"])
@pytest.mark.parametrize("whose", ["event", "namespace"])
def test_exception_skips_the_handler_and_is_logged(ns, event, target, fire, records, policy, whose):
    (event if whose == "event" else ns).on_error = policy
    target.connect(handler, condition=failing)
    target.connect(other)
    assert fire(event, 1) == ["other"]
    (record,) = records()
    assert record.levelno == logging.WARNING
    assert "handler" in record.getMessage()
    assert "'x'" in record.getMessage()
    assert record.exc_info[0] is ZeroDivisionError


def test_log_names_the_handler(event, records):
    class Owner:
        def method(self, sender):
            pass

    owner = Owner()
    partial = functools.partial(other)
    for each, name in [(owner.method, "Owner.method"), (partial, "other"), (print, "print")]:
        event.connect(each, condition=failing)
        event.emit(1)
        assert name in records()[-1].getMessage()
        event.clear()


def test_bool_that_raises_counts_as_condition_error(event, fire, records):
    class Undecided:
        def __bool__(self):
            raise ZeroDivisionError

    event.connect(handler, condition=lambda sender: Undecided())
    event.connect(other)
    assert fire(event, 1) == ["other"]
    assert [record.levelno for record in records()] == [logging.WARNING]


def test_condition_with_wrong_signature_raises(event, fire, records):
    event.connect(handler, condition=lambda sender: True)
    assert fire(event, 1, total=2) == []
    (record,) = records()
    assert record.exc_info[0] is TypeError


def test_first_error_is_a_warning_and_later_ones_debug(event, target, fire, records):
    target.connect(handler, condition=failing)
    for _ in range(3):
        fire(event, 1)
    assert [record.levelno for record in records()] == [logging.WARNING, logging.DEBUG, logging.DEBUG]
    assert all("handler" in record.getMessage() and record.exc_info for record in records())


def test_each_connection_warns_once(ns, event, records):
    def levels():
        found = [record.levelno for record in records()][levels.seen :]
        levels.seen += len(found)
        return found

    levels.seen = 0
    event.connect(handler, condition=failing)
    event.emit(1)
    event.emit(1)
    assert levels() == [logging.WARNING, logging.DEBUG]
    event.connect(other, condition=failing)
    event.emit(1)
    assert levels() == [logging.DEBUG, logging.WARNING]
    event.connect(handler, condition=failing)
    event.emit(1)
    assert levels() == [logging.DEBUG, logging.WARNING]
    event.connect(handler, "s", condition=failing)
    event.emit("s")
    assert sorted(levels()) == [logging.DEBUG, logging.WARNING]
    ns.event("y").connect(handler, condition=failing)
    ns.event("y").emit(1)
    assert levels() == [logging.WARNING]


def test_success_in_between_does_not_repeat_the_warning(event, records):
    event.connect(handler, condition=lambda sender: 1 / sender)
    assert [event.emit(number) for number in (0, 1, 0)] == [[], ["handled"], []]
    assert [record.levelno for record in records()] == [logging.WARNING, logging.DEBUG]


@pytest.mark.parametrize("whose", ["event", "namespace"])
def test_callable_on_error_gets_it_instead_of_the_log(ns, event, target, fire, records, whose):
    got = []

    def on_error(*args):
        got.append(args)
        return False

    (event if whose == "event" else ns).on_error = on_error
    target.connect(handler, condition=failing)
    target.connect(other)
    assert fire(event, "s") == ["other"]
    assert fire(event, "s") == ["other"]
    ((exception, *rest), _) = got
    assert type(exception) is ZeroDivisionError
    assert rest == [handler, event, "s"]
    assert records() == []


def test_exception_of_on_error_propagates(event, fire):
    def on_error(exception, handler, event, sender):
        raise LookupError from exception

    event.on_error = on_error
    event.connect(handler, condition=failing)
    with pytest.raises(LookupError):
        fire(event, 1)
    event.on_error = None
    assert fire(event, 1) == []


@pytest.mark.parametrize("policy", [None, "raise", "group", print], ids=str)
@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
def test_base_exception_propagates(event, target, records, capsys, policy, error):
    def condition(sender):
        raise error

    calls = []
    event.on_error = policy
    target.connect(handler, condition=condition)
    target.connect(calls.append, weak=False)
    with pytest.raises(error):
        event.emit(1)
    assert calls == []
    assert records() == []
    assert capsys.readouterr().out == ""
    target.disconnect(handler)
    event.emit(2)
    assert calls == [2]


def test_base_exception_propagates_from_emit_async(event, run):
    def condition(sender):
        raise Stop

    calls = []
    event.connect(handler, condition=condition)
    event.connect(calls.append, weak=False)
    with pytest.raises(Stop):
        run(event.emit_async(1))
    assert calls == []


# Invalid conditions


async def coroutine_function(sender, **kwargs):
    return True


async def async_generator_function(sender, **kwargs):
    yield True


class AsyncCall:
    async def __call__(self, sender, **kwargs):
        return True

    async def method(self, sender, **kwargs):
        return True


NOT_CONDITIONS = {
    "coroutine function": coroutine_function,
    "async generator function": async_generator_function,
    "partial of one": functools.partial(coroutine_function),
    "method": AsyncCall().method,
    "object": AsyncCall(),
    "not callable": 5,
    "a string": "sender",
    "False": False,
}
if hasattr(inspect, "markcoroutinefunction"):  # Python 3.12
    NOT_CONDITIONS["marked"] = inspect.markcoroutinefunction(lambda sender, **kwargs: coroutine_function(sender))


@pytest.mark.parametrize("way", ["connect", "on", "subscribe", "connected_to"])
@pytest.mark.parametrize("condition", NOT_CONDITIONS.values(), ids=NOT_CONDITIONS)
def test_async_or_uncallable_condition_is_a_type_error(ns, event, target, way, condition):
    with pytest.raises(TypeError, match="condition"):
        if way == "on":
            ns.on(target, condition=condition)(handler)
        elif way == "connected_to":
            with target.connected_to(handler, condition=condition):
                pass
        else:
            getattr(target, way)(handler, condition=condition)
    assert event.handlers == []
