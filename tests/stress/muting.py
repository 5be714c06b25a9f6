"""`muted` across threads: single handlers, whole events and patterns, while others emit."""

from harness import Witnesses, handler, race

from cyevents import Namespace

ns = Namespace()
event, hushed = ns.event("raced"), ns.event("hushed")
everything, everything_hushed = ns.event("*"), ns.event("h*")
witnesses, others = Witnesses(event), Witnesses(hushed, everything_hushed)


def handlers(number):
    name = f"mine {number}"
    mine, wild = handler(name, 5), handler(f"wild {number}", 4)
    event.connect(mine, priority=5)
    everything.connect(wild, priority=4)
    while True:
        with event.muted(mine):
            names = witnesses.emit(event)
            assert name not in names
            assert f"wild {number}" in names
            with event.muted(wild, mine):
                names = witnesses.emit(event)
                assert name not in names
                assert f"wild {number}" not in names
            assert name not in witnesses.emit(event)
        names = witnesses.emit(event)
        assert name in names
        assert f"wild {number}" in names
        yield 4


def events(number):
    while True:
        with hushed.muted():
            assert hushed.emit(number, []) == []
            assert not hushed.has_handlers_for(number)
            with everything_hushed.muted():
                assert hushed.emit(number, []) == []
            assert hushed.emit(number, []) == []
        yield 3


def finish():
    others.emit(hushed)
    return 1


race(handlers, events, finish=finish)
