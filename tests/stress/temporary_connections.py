"""Temporary connections by `connected_to` and `subscribe`, nested and overlapping across threads."""

from harness import Handler, Witnesses, handler, race

from cyevents import ANY, Event

event = Event("raced")
witnesses = Witnesses(event)
shared = Handler("shared", 5)  # always connected, but in changing ways
event.connect(shared, priority=5, condition=lambda sender, **kwargs: True)
before = [(connection.handler, connection.priority, connection.condition) for connection in event.handlers]
witnesses.expected.insert(3, "shared")


def overlap(number):
    while True:
        with event.connected_to(shared, priority=5, weak=bool(number % 2)):
            witnesses.emit(event)
            with event.connected_to(shared, priority=5):
                witnesses.emit(event)
            witnesses.emit(event)
        witnesses.emit(event)
        yield 4


def own(number):
    name = f"mine {number}"
    while True:
        with event.connected_to(handler(name, 4), priority=4, sender=number if number % 2 else ANY):
            assert name in witnesses.emit(event, number)
        assert name not in witnesses.emit(event, number)
        with event.subscribe(handler(name, 4), priority=4) as subscription:
            assert name in witnesses.emit(event, number)
            assert subscription.cancel()
            assert name not in witnesses.emit(event, number)
        assert not subscription.cancel()
        yield 4


def emit(number):
    while True:
        witnesses.emit(event)
        yield 1


def finish():
    after = [(connection.handler, connection.priority, connection.condition) for connection in event.handlers]
    assert after == before, after


race(overlap, own, emit, finish=finish)
