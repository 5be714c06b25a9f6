"""Patterns and events are created and deleted while they are emitted."""

import itertools

from harness import Witnesses, handler, race

from cyevents import Namespace

ns = Namespace()
kept = ns.event("kept.event")
witnesses = Witnesses(ns.event("kept.*"), kept, ns.event("k*"))
everywhere = Witnesses(ns.event("new.*"))


def patterns(number):
    """A thread's own pattern gets the event from its connection until it is deleted."""
    name = f"wild {number}"
    mine = handler(name, 5)
    for turn in itertools.count():
        pattern = f"?ept.*[!{number}{turn % 10}]"
        ns.event(pattern).connect(mine, priority=5)
        assert name in witnesses.emit(kept)
        ns.event(pattern).connect(mine, number, priority=5)
        assert name in witnesses.emit(kept, number)
        del ns[pattern]
        assert name not in witnesses.emit(kept, number)
        yield 3


def shared(number):
    """Several threads create, use and delete the same patterns."""
    mine = handler(f"mine {number}", 5)
    for turn in itertools.count():
        pattern = "kept.e*", "!new.*", "?ept*"
        pattern = pattern[turn % 3]
        ns.event(pattern).connect(mine, number if turn % 2 else "sender", priority=5)
        witnesses.emit(kept, number)
        ns.event(pattern).disconnect(mine)
        try:
            del ns[pattern]
        except KeyError:  # another thread was faster
            pass
        yield 1


def events(number):
    """The pattern gets a new event until the event is deleted."""
    for turn in itertools.count():
        name = f"new.{number}.{turn % 5}"
        event = ns.event(name)
        everywhere.emit(event, number)
        calls = []
        everywhere.account(calls, ns.emit(name, number, calls))
        assert ns.filter("new.*")[name] is event
        del ns[name]
        calls = []
        event.emit(number, calls)
        assert calls == []
        everywhere.account(calls, ns.emit(name, number, calls))  # as an undeclared name
        yield 4


def ephemeral(number):
    """Several threads create and delete the same events: a pattern gets each emission once or not at all."""
    while True:
        event, calls = ns.event("new"), []
        event.emit(number, calls)
        assert len(calls) == len(set(calls))
        ns.emit("new", number, [])
        try:
            del ns["new"]
        except KeyError:
            pass
        yield 1


def finish():
    assert list(ns) in (["kept.event"], ["kept.event", "new"])
    witnesses.emit(kept)
    return 1


race(patterns, events, shared, ephemeral, finish=finish)
