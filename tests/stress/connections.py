"""Many threads connect, disconnect and emit one event, and inspect its connections meanwhile."""

from harness import Witnesses, handler, race

from cyevents import Event

event = Event("raced")
witnesses = Witnesses(event)


def change(number):
    name = f"mine {number}"
    mine = handler(name, 5)
    while True:
        event.connect(mine, priority=5)
        assert name in witnesses.emit(event)
        assert event.disconnect(mine)
        assert not event.disconnect(mine)
        assert name not in witnesses.emit(event)
        yield 2


def emit(number):
    while True:
        witnesses.emit(event, number)
        yield 1


def look(number):
    while True:
        priorities = [connection.priority for connection in event.handlers]
        assert priorities == sorted(priorities, reverse=True)
        assert {30, 20, 10, -10, -30} <= set(priorities)
        assert event.has_handlers_for(number)
        assert repr(event).startswith("<Event 'raced': ")
        yield 0


race(change, emit, change, look)
