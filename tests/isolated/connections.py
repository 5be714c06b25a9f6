"""Leaks of connections: made and removed, for dead handlers and senders, temporary, rejected, of dropped events."""

import functools
import logging
import sys
import types
import warnings
from contextlib import suppress

from leak_check import echo, main, make_function, nothing, scenario

from cyevents import Event, Namespace, Subscriptions, handles

logging.getLogger("cyevents").addHandler(logging.NullHandler())
logging.getLogger("cyevents").propagate = False


class Owner:
    def method(self, sender, **kwargs):
        return sender

    def __call__(self, sender, **kwargs):
        return sender


class Text(str):
    pass


# Connecting


@scenario
def connected_and_disconnected():
    event, sender, owner = Event("x"), object(), Owner()

    def operation():
        event.connect(echo)
        event.connect(owner.method, sender)
        event.connect(echo, "text", priority=10**30)
        event.disconnect(echo)
        event.disconnect(owner.method, sender)

    yield operation, sender, owner, echo
    assert event.handlers == []


@scenario
def reconnected():
    event, sender = Event("x"), Owner()

    def operation():
        event.connect(echo, priority=1)
        event.connect(echo, sender, priority=2)
        event.connect(echo, sender, weak=False, condition=make_function())

    yield operation, sender, echo


@scenario
def reconnected_by_its_own_handler():
    event, sender = Event("x"), Owner()

    def again(sender):
        event.connect(again)
        event.connect(echo, sender)

    event.connect(again)
    yield lambda: event.emit(sender), sender, again, echo
    event.clear()


@scenario
def changed_between_emissions():
    event, sender, owner = Event("x"), Owner(), Owner()
    event.connect(echo)

    def operation():
        event.connect(owner.method)
        event.emit(sender)
        event.connect(nothing, sender, condition=owner)
        event.emit(sender)
        event.disconnect(owner.method)
        event.emit(sender)
        event.disconnect(nothing)

    yield operation, sender, owner, nothing


@scenario
def cleared():
    event, sender = Event("x"), Owner()

    def operation():
        event.connect(echo)
        event.connect(echo, sender)
        event.connect(nothing, "text")
        event.connect(make_function(), b"bytes", weak=False)
        event.clear()

    yield operation, sender, echo


@scenario
def disconnected_while_they_run():
    event, sender = Event("x"), Owner()

    def first(sender):
        event.clear()

    def operation():
        event.connect(first)
        event.connect(make_function(), weak=False)
        event.connect(echo, sender)
        event.emit(sender)

    yield operation, sender, first


@scenario
def disconnected_that_are_not_connected():
    event, owner = Event("x"), Owner()
    yield lambda: (event.disconnect(echo), event.disconnect(owner.method, owner), event.clear()), owner, echo


@scenario
def rejected():
    event, sender = Event("x"), Owner()

    async def asynchronous(sender):
        pass

    def operation():
        for arguments, options in (
            ((1,), {}),
            (([].append, sender), {}),
            ((echo, sender), {"priority": "high"}),
            ((echo, sender), {"condition": 1}),
            ((echo, sender), {"condition": asynchronous}),
        ):
            with suppress(TypeError):
                event.connect(*arguments, **options)
                raise SystemExit("it was not rejected")

    yield operation, sender, echo
    assert event.handlers == []


@scenario(cost=5)
def inspected():
    event, sender, owner = Event("x"), Owner(), Owner()
    for handler in (echo, owner.method, owner):
        event.connect(handler)
        event.connect(handler, sender)

    def operation():
        assert len(event.handlers) == 6
        assert event.has_handlers_for(sender)
        repr(event)

    yield operation, sender, owner, echo


# Several at once


class Marked:
    @handles(["a", "a*"], priority=1)
    @handles("b", once=True)
    def method(self, sender):
        return sender

    @handles("c", weak=False)
    @staticmethod
    def static(sender):
        return sender


@scenario(cost=30)
def attached():
    ns, owner = Namespace(), Marked()

    def operation():
        ns.attach(owner)
        subscriptions = ns.attach(owner)
        ns.emit("b", owner)
        assert len(subscriptions) == 3
        subscriptions.cancel()
        owner_that_dies = Marked()
        ns.attach(owner_that_dies)

    yield operation, owner
    assert ns["b"].handlers == []


@scenario(cost=30)
def attached_and_rejected():
    ns, owner, text = Namespace(strict=True), Marked(), Text("a")
    ns.event("a")

    def operation():
        for thing, error in ((owner, LookupError), (text, TypeError), (Marked, TypeError)):
            with suppress(error):
                ns.attach(thing)
                raise SystemExit("it was not rejected")

    yield operation, owner, text
    assert ns["a"].handlers == []


@scenario(cost=30)
def marked():
    sender = Owner()

    def operation():
        function = make_function()
        handles("a")(handles(["b"], sender)(function))

    yield operation, sender


@scenario(cost=20)
def connected_to_several():
    ns, sender = Namespace(), Owner()
    other = ns.event("other")

    def operation():
        ns.connect(["a", "b*", other], echo, sender)
        ns.on(("a", other), priority=1)(echo)
        with suppress(TypeError):
            ns.connect(["a", other], "no handler")
        for name in ("a", "b*", "other"):
            ns.event(name).disconnect(echo)

    yield operation, sender, echo


@scenario(cost=20)
def sets_of_subscriptions():
    event, sender, kept = Event("x"), Owner(), Subscriptions()

    def operation():
        with Subscriptions() as subscriptions:
            subscriptions.add(event.subscribe(make_function(), sender))
            kept.add(subscriptions)
            list(kept)
        Subscriptions().add(event.subscribe(make_function()))
        kept.add(event.subscribe(make_function(), once=True))
        event.emit(sender)
        kept.cancel()

    yield operation, sender
    assert event.handlers == []


# Deaths


@scenario
def dead_handlers():
    event, sender = Event("x"), Owner()

    def operation():
        handler, owner, partial = make_function(), Owner(), functools.partial(echo)
        event.connect(handler)
        event.connect(owner.method, sender)
        event.connect(owner)
        event.connect(partial, "text", condition=make_function())

    yield operation, sender
    assert event.handlers == []


@scenario
def dead_handlers_after_an_emission():
    event, sender = Event("x"), Owner()
    event.connect(echo)

    def operation():
        handler, owner = make_function(), Owner()
        event.connect(handler)
        event.connect(owner.method, sender)
        event.emit(sender)
        del handler, owner
        event.emit(sender)

    yield operation, sender


@scenario
def dead_functions_of_methods():
    event, owner = Event("x"), Owner()

    def operation():
        method = types.MethodType(make_function(), owner)
        event.connect(method)

    yield operation, owner
    assert event.handlers == []


@scenario
def dead_before_their_turn():
    event, sender, kept = Event("x"), Owner(), []

    def first(sender):
        kept.clear()

    event.connect(first, priority=1)

    def operation():
        kept.append(make_function())
        event.connect(kept[0])
        assert event.emit(sender) == []

    yield operation, sender, first


@scenario
def dead_at_once():
    event, sender = Event("x"), Owner()

    def operation():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            event.connect(lambda sender: None)
            event.connect(Owner().method, sender)
            event.connect(functools.partial(echo))

    yield operation, sender
    assert event.handlers == []


@scenario
def dead_senders():
    event = Event("x")

    def operation():
        sender, other = Owner(), Owner()
        event.connect(echo, sender)
        event.connect(nothing, sender, weak=False, condition=make_function())
        event.connect(echo, other)
        event.emit(sender)

    yield operation, echo
    assert event.handlers == []


@scenario
def senders_that_are_held():
    event = Event("x")

    def operation():
        for sender in ((1, []), Text("text"), 10**30, b"bytes"):
            event.connect(echo, sender)
            event.emit(sender)
        event.disconnect(echo)

    yield operation, echo
    assert event.handlers == []


@scenario
def dead_senders_that_are_their_handlers():
    event = Event("x")

    def operation():
        owner = Owner()
        event.connect(owner.method, owner)
        event.connect(owner, owner)
        event.emit(owner)

    yield operation
    assert event.handlers == []


@scenario
def dropped_events():
    sender = Owner()

    def operation():
        event = Event("x")
        event.connect(echo)
        event.connect(make_function(), sender, weak=False)
        event.connect(Owner().method, weak=False)
        event.emit(sender)

    yield operation, sender, echo


@scenario
def senders_and_handlers_that_outlive_their_event():
    def operation():
        event, sender, owner = Event("x"), Owner(), Owner()
        event.connect(owner.method, sender)
        event.emit(sender)
        del event

    yield operation, Owner.method


# Temporary connections


@scenario
def subscriptions():
    event, sender = Event("x"), Owner()

    def operation():
        subscription = event.subscribe(make_function(), sender)
        event.emit(sender)
        assert subscription.cancel() and not subscription.cancel()
        with event.subscribe(Owner().method):
            event.emit(sender)
        subscription = event.subscribe(make_function(), once=True)
        subscription = event.subscribe(make_function())  # the previous one is released
        event.emit(sender)
        event.clear()

    yield operation, sender
    assert event.handlers == []


@scenario
def connected_temporarily():
    event, sender = Event("x"), Owner()
    event.connect(echo, priority=3)

    def operation():
        with event.connected_to(make_function(), sender):
            event.emit(sender)
        with event.connected_to(echo, priority=5, condition=make_function()), event.connected_to(echo, once=True):
            event.emit(sender)

    yield operation, sender, echo
    assert [connection.priority for connection in event.handlers] == [3]


@scenario
def overlapping_temporary_connections():
    event, now = Event("x"), [None]
    event.connect(echo)

    def operation():
        before, now[0] = now[0], event.connected_to(echo, condition=make_function())
        now[0].__enter__()
        if before is not None:
            before.__exit__(None, None, None)

    yield operation, echo
    now[0].__exit__(None, None, None)
    assert [connection.condition for connection in event.handlers] == [None]


@scenario
def temporary_connections_changed_meanwhile():
    event, sender = Event("x"), Owner()

    def operation():
        handler = make_function()
        event.connect(handler)
        with event.connected_to(handler, condition=make_function()):
            event.connect(handler, condition=make_function())
        with event.connected_to(handler, sender):
            event.clear()

    yield operation, sender
    assert event.handlers == []


@scenario
def muted():
    event, sender, owner = Event("x"), Owner(), Owner()
    event.connect(echo)
    event.connect(owner.method, sender)

    def operation():
        with event.muted(), event.muted():
            assert event.emit(sender) == []
        with event.muted(echo, owner.method, make_function()):
            assert event.emit(sender) == []

    yield operation, sender, owner, echo
    assert len(event.emit(sender)) == 2


if __name__ == "__main__":
    sys.exit(main())
