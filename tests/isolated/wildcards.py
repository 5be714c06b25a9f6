"""Leaks of patterns and namespaces: names and patterns created and deleted, connections to patterns, senders."""

import sys
from contextlib import suppress

from leak_check import echo, main, make_function, nothing, scenario

from cyevents import Namespace, filter_signals, match


class Owner:
    def method(self, sender, **kwargs):
        return sender


@scenario
def emissions_to_patterns():
    names, sender = Namespace(), Owner()
    event = names.event("user.x")
    names.event("user.*").connect(echo, with_event=True)
    names.event("!order.*").connect(nothing)
    names.event("*").connect(echo, sender)
    event.connect(nothing, sender)

    def operation():
        assert event.emit(sender) == [sender]
        names.emit("user.x", 1)

    yield operation, sender, event, echo


@scenario
def names_declared_and_deleted():
    names, sender, count = Namespace(), Owner(), 0
    for pattern in ("user.*", "*", "!order.?"):
        names.event(pattern).connect(echo)
        names.event(pattern).connect(nothing, sender)

    def operation():
        nonlocal count
        count += 1
        name = f"user.{count}"
        event = names.event(name, doc="doc")
        event.connect(nothing)
        event.connect(echo, sender)
        names.emit(name, sender)
        del names[name]

    yield operation, sender, echo
    assert not names


@scenario(cost=5)
def patterns_created_and_deleted():
    names, sender = Namespace(), Owner()
    events = [names.event("user.x"), names.event("user.y")]
    events[0].connect(nothing, sender)

    def operation():
        for pattern in ("user.*", "*.x", "!order.*"):
            names.event(pattern).connect(echo)
            names.event(pattern).connect(nothing, sender)
            names.on(pattern, weak=False, condition=make_function())(make_function())
        for event in events:
            event.emit(sender)
        for pattern in ("user.*", "*.x", "!order.*"):
            del names[pattern]
        for event in events:
            event.emit(sender)

    yield operation, sender, echo, *events
    assert events[0].emit(1) == events[1].emit(1) == []
    assert names.filter("*").keys() == {"user.x", "user.y"}


@scenario(warm=600)  # the standard library caches 512 compiled patterns
def patterns_never_seen_before():
    names, count = Namespace(), 0
    event = names.event("user.x")

    def operation():
        nonlocal count
        count += 1
        pattern = f"user.*{count}"
        names.event(pattern).connect(echo)
        names.event(pattern).disconnect(echo)
        with suppress(ValueError):
            names.emit(pattern)
        with suppress(ValueError):
            names.emit(f"!{pattern}")
        del names[pattern]
        match(f"!{pattern}", "user.x")

    yield operation, event, echo


@scenario(cost=5)
def cleared():
    names, sender = Namespace(), Owner()

    def operation():
        for name in ("user.x", "user.y", "user.*", "!order.*"):
            names.event(name).connect(echo, sender)
            names.event(name).connect(make_function(), weak=False)
        names.emit("user.x", sender)
        names.clear()

    yield operation, sender, echo
    assert not names


@scenario(cost=5)
def namespaces():
    sender = Owner()

    def operation():
        names = Namespace(on_error="group")
        for name in ("user.x", "user.*", "!order.*"):
            names.event(name).connect(echo, sender)
            names.event(name).connect(make_function(), weak=False)
        names.emit("user.x", sender)
        names.clear()

    yield operation, sender, echo


@scenario
def pattern_connections():
    names, sender = Namespace(), Owner()
    event, pattern = names.event("user.x"), names.event("user.*")
    names.event("user.y")

    def operation():
        pattern.connect(echo)
        pattern.connect(nothing, sender)
        event.emit(sender)
        pattern.disconnect(echo)
        pattern.disconnect(nothing)
        with pattern.connected_to(make_function()), pattern.muted(echo), pattern.subscribe(make_function(), sender):
            event.emit(sender)
        pattern.connect(make_function(), once=True, weak=False)
        event.emit(sender)

    yield operation, sender, echo, event
    assert event.handlers == []


@scenario
def dead_handlers_and_senders():
    names = Namespace()
    event, pattern = names.event("user.x"), names.event("user.*")
    names.event("!user.y").connect(echo)

    def operation():
        sender, owner, handler = Owner(), Owner(), make_function()
        pattern.connect(handler)
        pattern.connect(owner.method, sender)
        pattern.connect(echo, sender, weak=False, condition=make_function())
        event.connect(nothing, sender)
        event.emit(sender)

    yield operation, event, echo
    assert pattern.handlers == []
    assert len(event.handlers) == 1


@scenario(cost=5)
def matched():
    names = Namespace()
    for number in range(5):
        names.event(f"user.{number}")

    def operation():
        assert len(filter_signals("user.*", names)) == 5
        assert match("user.?", "user.1")

    yield operation


@scenario
def rejected():
    names, value = Namespace(), Owner()

    def operation():
        for call in (
            lambda: names.event(""),
            lambda: names.event(value),
            lambda: names.on(value),
            lambda: names.on("x", priority=value),
            lambda: names.on("x")(value),
            lambda: names.__setitem__("x", value),
            lambda: names.__delitem__("x"),
            lambda: match("*", value),
            lambda: filter_signals(value, names),
        ):
            with suppress(TypeError, KeyError):
                call()
                raise SystemExit("it was not rejected")

    yield operation, value
    assert not names


if __name__ == "__main__":
    sys.exit(main())
