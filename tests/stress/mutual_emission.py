"""Two events emit each other: handlers of one emit the other, and threads start with either."""

from harness import Handler, Witnesses, race

from cyevents import Event

DEPTH = 6
one, two = Event("one"), Event("two")
witnesses = {one: Witnesses(one), two: Witnesses(two)}


def cross(other):
    def handler(sender, calls, depth=0, **kwargs):
        if depth:
            other.connect(changing, depth, priority=5)
            witnesses[other].emit(other, sender, depth=depth - 1)
            other.disconnect(changing)

    return handler


changing = Handler("changing", 5)
crossing = cross(two), cross(one)
one.connect(crossing[0], priority=3)
two.connect(crossing[1], priority=3)


def begin_with(event):
    def job(number):
        while True:
            witnesses[event].emit(event, number, depth=DEPTH)
            yield DEPTH + 1

    return job


race(begin_with(one), begin_with(two))
