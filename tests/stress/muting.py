"""`muted` across threads: single handlers, whole events and patterns, while others emit."""

from harness import Witnesses, handler, race

from cyevents import Namespace

ns = Namespace()
event, hidden = ns.event("raced"), ns.event("hidden")
everything, hidden_pattern = ns.event("*"), ns.event("h*")
witnesses, others = Witnesses(event), Witnesses(hidden, hidden_pattern)


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
        with hidden.muted():
            assert hidden.emit(number, []) == []
            assert not hidden.has_handlers_for(number)
            with hidden_pattern.muted():
                assert hidden.emit(number, []) == []
            assert hidden.emit(number, []) == []
        yield 3


def finish():
    others.emit(hidden)
    return 1


race(handlers, events, finish=finish)
