"""A handler is reconnected repeatedly while others emit: it stays connected, and each emission calls it once."""

import itertools

from harness import Handler, Witnesses, handler, race

from cyevents import Namespace

ns = Namespace()
event = ns.event("raced")
witnesses = Witnesses(event)
again, method, wild = handler("again", 5), Handler("method again", 4), Handler("wild", 3)
event.connect(again, priority=5)
event.connect(method.method, priority=4)
ns.event("*").connect(wild, priority=3)
witnesses.expected[3:3] = ["again", "method again", "wild"]


def true(sender, **kwargs):
    return True


def connect(number):
    for turn in itertools.count():
        event.connect(again, priority=5, condition=true if turn % 2 else None)
        event.connect(method.method, priority=4, weak=bool(turn % 3))
        ns.event("*").connect(wild, priority=3, with_event=bool(turn % 2))
        witnesses.emit(event)
        event.connect(again, number, priority=5)  # another connection
        witnesses.emit(event, number)
        assert event.disconnect(again, number)
        yield 2


def within(number):
    """Reconnected by a handler of the same emission."""

    def reconnect(sender, calls, **kwargs):
        event.connect(again, priority=5)
        event.connect(method.method, priority=4)
        ns.event("*").connect(wild, priority=3)

    event.connect(reconnect, number, priority=25)
    while True:
        witnesses.emit(event, number)
        yield 1


def emit(number):
    while True:
        witnesses.emit(event)
        yield 1


race(connect, emit, within)
