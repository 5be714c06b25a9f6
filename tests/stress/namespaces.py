"""`event()` with one name in many threads returns one object that keeps its connections; emission by name."""

import itertools

from harness import THREADS, Witnesses, handler, race

from cyevents import Namespace

ns = Namespace()
witnesses = Witnesses(ns.event("*"))
turns = itertools.count()
found = {}


def make(number):
    name_of_mine = f"mine {number}"
    mine = handler(name_of_mine, 5)
    while True:
        name = f"event {next(turns) // THREADS}"  # several threads get each name at about the same time
        event = ns.event(name, doc="made at once")
        assert found.setdefault(name, event) is event
        assert ns.event(name) is event is ns[name]
        assert event.__doc__ == "made at once"
        ns.on(name, sender=number, priority=5)(mine)
        calls = []
        assert name_of_mine in witnesses.account(calls, ns.emit(name, number, calls))
        assert name_of_mine not in witnesses.emit(event)
        event.disconnect(mine)
        pattern = ns.event(f"{name}*")
        assert found.setdefault(pattern.name, pattern) is pattern
        yield 2


def look(number):
    while True:
        for name, event in list(ns.items())[-20:]:
            assert event.name == name
            assert ns.filter(name) == {name: event}
            witnesses.emit(event)
            yield 1
        repr(ns)
        yield 0


def finish():
    assert {name: event for name, event in found.items() if "*" not in name} == dict(ns)


race(*[make] * max(1, THREADS - 1), look, finish=finish)
