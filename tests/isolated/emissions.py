"""Leaks of emissions: results and exceptions of handlers, conditions, senders, arguments, names, wrong calls."""

import logging
import sys
from contextlib import suppress
from weakref import ref as weakref

from leak_check import Error, echo, event_for, fail, main, nothing, refuse, scenario

from cyevents import ANY, Event, Namespace, debounced, throttled

logging.getLogger("cyevents").addHandler(logging.NullHandler())
logging.getLogger("cyevents").propagate = False


class Owner:
    def method(self, sender, *args, **kwargs):
        return sender

    def refuse(self, sender, *args, **kwargs):
        return False

    def fail(self, sender, *args, **kwargs):
        raise Error

    def __call__(self, sender, *args, **kwargs):
        return args


def interrupt(sender, *args, **kwargs):
    raise KeyboardInterrupt


def several(sender, *args, **kwargs):
    yield sender
    yield None
    yield args


def several_and_refuse(sender, *args, **kwargs):
    yield sender
    return False


def several_and_fail(sender, *args, **kwargs):
    yield sender
    raise Error


def raising(operation):
    """Wrap an operation that raises, so that it does not."""

    def quiet():
        with suppress(Error, ExceptionGroup, AttributeError, TypeError, ValueError, KeyboardInterrupt, RecursionError):
            operation()
            raise SystemExit("nothing was raised")

    return quiet


# Results of handlers


@scenario(cost=2)
def rate_limited():
    save, namespace, sender = debounced(echo, 3600), Namespace(), object()

    class View:
        @throttled(seconds=3600, trailing=False)
        def draw(self, sender):
            return sender

    namespace.event("x").connect(save)

    def operation():
        view = View()
        namespace.event("x").connect(view.draw)
        for _ in range(3):
            namespace.emit("x", sender)
        assert save.flush()
        namespace.emit("x", sender)
        assert save.cancel()

    yield operation, sender, namespace


@scenario
def no_handlers():
    event, sender = Event("x"), object()
    yield lambda: event.emit(sender), sender, event


@scenario
def functions():
    event, sender = event_for(echo, nothing), object()
    yield lambda: event.emit(sender), sender, echo, nothing


@scenario
def handlers_of_all_shapes():
    owner, sender, seen = Owner(), object(), set()
    event = event_for(echo, owner.method, owner)
    event.connect(seen.add)
    event.connect(Owner().method, weak=False, priority=1)
    event.connect([].__len__, weak=False, condition=lambda sender: False)
    event.connect(repr)
    yield lambda: event.emit(sender), sender, owner, seen, Owner.method


@scenario
def kept_and_dropped_lists():
    event, kept = event_for(echo, several), [None]

    def operation():
        kept[0] = event.emit(kept[0] and 1)

    yield operation


@scenario
def generators():
    event, sender = event_for(several, several_and_refuse), object()
    yield lambda: event.emit(sender, 1), sender


@scenario
def cancelled():
    owner, sender = Owner(), object()
    event, other = event_for(echo, refuse, nothing), event_for(echo, owner.refuse)

    def operation():
        results = event.emit(sender), other.emit(sender)
        assert results[0].handler is refuse

    yield operation, sender, owner, refuse


@scenario
def once():
    event, sender = Event("x"), object()

    def operation():
        event.connect(echo, once=True)
        event.connect(nothing, sender, once=True)
        event.emit(sender)
        event.emit(sender)

    yield operation, sender, echo


@scenario
def with_event():
    event, sender = event_for(echo, Owner().method, with_event=True), object()
    event.connect(Owner().method, weak=False, with_event=True)
    yield lambda: event.emit(sender, 1, event="theirs", other=2), sender, event


# Arguments


@scenario
def keywords_and_positionals():
    owner, sender, value = Owner(), object(), object()
    event = event_for(echo, owner.method, owner)
    yield lambda: event.emit(sender, value, value, first=value, second=value), sender, value


@scenario
def more_arguments_than_fit_on_the_stack():
    owner, sender, value = Owner(), object(), object()
    event = event_for(echo, owner.method, owner)
    event.connect(nothing, condition=lambda sender, **kwargs: True)
    many, names = [value] * 40, dict.fromkeys(map(str, range(40)), value)
    yield lambda: (event.emit(sender, *many), event.emit(sender, *many, **names)), sender, value


@scenario
def more_arguments_and_errors():
    owner, sender, value = Owner(), object(), object()
    event, other = event_for(echo, owner.fail), event_for(owner.refuse)
    many, names = [value] * 40, dict.fromkeys(map(str, range(40)), value)
    yield raising(lambda: (other.emit(sender, *many), event.emit(sender, *many, **names))), sender, value


@scenario
def sender_by_keyword():
    event, sender, value = event_for(echo, Owner().method, weak=False), object(), object()
    names = dict.fromkeys(map(str, range(40)), value)

    def operation():
        event.emit(sender=sender)
        event.emit(before=value, sender=sender, after=value)
        event.emit(**names, sender=sender)
        event.emit()

    yield operation, sender, value


@scenario
def senders_of_all_kinds():
    class Text(str):
        pass

    class Number(int):
        pass

    event = Event("x")
    senders = ["text", Text("text"), 1, 10**30, Number(5), True, b"bytes", None, (1, 2), object(), Owner(), ANY, 1.5]
    for sender in senders:
        event.connect(echo, sender)
    senders += [Text("another"), 10**40, object()]

    def operation():
        for sender in senders:
            event.emit(sender)

    yield operation, *senders


@scenario
def wrong_calls():
    event, names, sender = event_for(echo), Namespace(), object()
    names.event("x")
    pattern = names.event("x*")
    calls = [
        lambda: event.emit(sender, sender=sender),
        lambda: names.emit(),
        lambda: names.emit("x", sender, sender=sender),
        lambda: names.emit(1, sender),
        lambda: names.emit("", sender),
        lambda: names.emit("x*", sender),
        lambda: pattern.emit(sender, value=sender),
        lambda: pattern.emit_async(sender, value=sender),
        lambda: Event.emit(),
        lambda: Event.emit(sender, sender),
    ]
    calls = [raising(call) for call in calls]

    def operation():
        for call in calls:
            call()

    yield operation, sender, event


# Errors


@scenario
def raised():
    owner, sender = Owner(), object()
    event, other = event_for(echo, fail), event_for(owner.fail)
    yield lambda: (raising(lambda: event.emit(sender))(), raising(lambda: other.emit(sender))()), sender, owner, fail


@scenario
def raised_by_a_generator():
    event, sender = event_for(echo, several_and_fail), object()
    yield raising(lambda: event.emit(sender)), sender


@scenario
def raised_through_all():
    event, sender = event_for(echo, fail, interrupt), object()
    event.on_error = "group"
    yield raising(lambda: event.emit(sender)), sender


@scenario
def grouped():
    event, sender = event_for(fail, several_and_fail, Owner().fail, echo, weak=False), object()
    event.on_error = "group"
    yield raising(lambda: event.emit(sender)), sender


@scenario
def sent_and_grouped():
    event, sender = event_for(fail, echo, Owner().fail, weak=False), object()
    event.on_error = "group"
    yield raising(lambda: event.send(sender)), sender


@scenario
def grouped_and_cancelled():
    event, sender = event_for(fail, refuse), object()
    event.on_error = "group"
    yield raising(lambda: event.emit(sender)), sender


@scenario
def given_to_a_callable():
    event, sender = event_for(fail, several_and_fail, Owner().fail, echo, weak=False), object()
    event.on_error = lambda *args: None
    yield lambda: event.emit(sender), sender, event


@scenario
def a_callable_that_raises():
    event, sender = event_for(fail, echo), object()

    def policy(error, handler, event, sender):
        raise Error  # not the given exception, which refers to this frame

    event.on_error = policy
    yield raising(lambda: event.emit(sender)), sender, policy


@scenario(cost=1000)
def runaway_recursion():
    event, sender, limit = Event("x"), object(), sys.getrecursionlimit()
    sys.setrecursionlimit(120)

    def again(sender):
        event.emit(sender)

    event.connect(again)
    yield raising(lambda: event.emit(sender)), sender
    sys.setrecursionlimit(limit)


@scenario
def nested():
    outer, inner, sender = event_for(), event_for(echo), object()

    def between(sender):
        return inner.emit(sender)

    outer.connect(between)
    yield lambda: outer.emit(sender), sender


# Conditions


@scenario
def conditions():
    event, sender, value = Event("x"), object(), object()
    event.connect(echo, condition=lambda sender, **kwargs: True)
    event.connect(nothing, condition=lambda sender, **kwargs: False)
    event.connect(Owner().method, weak=False, condition=Owner().method)
    yield lambda: event.emit(sender, value, value, keyword=value), sender, value


@scenario(cost=5)
def conditions_that_raise():
    event, sender = event_for(echo, condition=fail), object()
    yield lambda: event.emit(sender, 1, keyword=2), sender


@scenario
def conditions_that_raise_to_a_callable():
    event, sender = event_for(echo, condition=fail), object()
    event.on_error = lambda *args: None
    yield lambda: event.emit(sender, 1, keyword=2), sender


@scenario
def conditions_that_raise_through_all():
    event, sender = event_for(echo, condition=interrupt), object()
    yield raising(lambda: event.emit(sender, 1, keyword=2)), sender


@scenario
def conditions_whose_result_has_no_truth():
    class Answer:
        def __bool__(self):
            raise KeyboardInterrupt

    answer, sender = Answer(), object()
    event = event_for(echo, condition=lambda sender: answer)
    yield raising(lambda: event.emit(sender)), sender, answer


# Names


@scenario
def by_name():
    names, sender = Namespace(), object()
    names.event("x").connect(echo)
    name = "".join(["", "x"])
    yield lambda: (names.emit("x", sender, 1, key=2), names.emit(name, sender=sender)), sender, name


@scenario
def unknown_names():
    names, sender, count = Namespace(), object(), 0

    def operation():
        nonlocal count
        count += 1
        assert names.emit(f"unknown {count}", sender) == []

    yield operation, sender, names
    assert not names


@scenario
def an_overridden_emit_by_name():
    class Loud(Event):
        def emit(self, /, *args, **kwargs):
            return super().emit(*args, **kwargs)

    names, event, sender = Namespace(), Loud("x"), object()
    event.connect(echo)
    yield lambda: (names.emit(event, sender, 1, key=2), names.emit(event)), sender, event


@scenario
def events():
    sender = object()

    def operation():
        event = Event("x", "doc", on_error="raise")
        event.connect(echo)
        event.connect(nothing, sender)
        event.emit(sender)

    yield operation, sender, echo


# Events of objects
class Thermostat:
    changed = Event("changed")


@scenario
def bound_emissions():
    owner, value = Thermostat(), object()
    owner.changed.connect(echo)

    def emit():
        owner.changed.emit(value)
        owner.changed.emit(key=value)
        owner.changed.emit(*[value] * 20)
        owner.changed.send(value)

    def refused():
        owner.changed.emit(sender=value)

    yield emit, owner, value, echo
    yield raising(refused), owner, value
    owner.changed.disconnect(echo)
    owner.changed.connect(fail)
    yield raising(emit), owner, value, fail


@scenario
def bound_views():
    owner = Thermostat()

    def many():
        views = [owner.changed for _ in range(10)]
        refs = [weakref(view) for view in views[:5]]
        del views, refs

    def cycle():
        other = Thermostat()
        other.view = other.changed
        other.emit = other.changed.emit

    def connected():
        other = Thermostat()
        other.changed.connect(echo)
        other.changed.subscribe(nothing).cancel()
        with other.changed.connected_to(nothing) as view:
            hash(view), repr(view), view == other.changed, view.handlers, view.has_handlers()

    def named():
        type("Owner", (), {"changed": Event()})().changed.emit()

    yield many, owner
    yield cycle
    yield connected, echo, nothing
    yield named
    yield raising(Event().emit)


if __name__ == "__main__":
    sys.exit(main())
