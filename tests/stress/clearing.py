"""`clear` disconnects everything repeatedly while others connect and emit; a pattern's handlers stay connected."""

from harness import Witnesses, handler, race

from cyevents import Namespace

ns = Namespace()
event = ns.event("raced")
witnesses = Witnesses(ns.event("*"))


def clear(number):
    name = f"mine {number}"
    mine = handler(name, 5)
    while True:
        event.connect(mine, priority=5)
        event.connect(mine, number, priority=5)
        event.clear()
        assert name not in witnesses.emit(event, number)
        yield 1


def change(number):
    name = f"mine {number}"
    mine = handler(name, 5)
    while True:
        event.connect(mine, number, priority=5)
        witnesses.emit(event, number)
        event.disconnect(mine)
        assert name not in witnesses.emit(event, number)
        yield 2


def finish():
    event.clear()
    assert [connection.pattern for connection in event.handlers] == ["*"] * len(witnesses.expected)


race(clear, change, finish=finish)
