"""Handlers connected for one sender each; senders die during emissions, and others get their ids."""

import gc
import itertools
import random

from harness import Handler, Witnesses, race

from cyevents import Namespace

ns = Namespace()
event = ns.event("raced")
everything = ns.event("*")
witnesses = Witnesses(event)
slots = [None] * 8  # senders shared by threads; a sender dies when the last thread releases it
serial = itertools.count()


class Sender:
    """Has its own number, and keeps the handlers connected for it alive."""

    def __init__(self, number):
        self.name = f"of sender {number}"
        self.own = self.handler(5)
        self.wild = self.handler(4)
        event.connect(self.own, self, priority=5)
        everything.connect(self.wild, self, priority=4)

    def handler(self, priority):
        name = self.name

        def call(sender, calls, **kwargs):
            assert sender.name == name, "called for another sender, which has the id of a dead one"
            calls.append((priority, f"{name}, {priority}"))

        return call

    @property
    def names(self):
        return [f"{self.name}, 5", f"{self.name}, 4"]


def kill(sender, calls, *, last_references=None, **kwargs):
    if last_references is not None:
        last_references.clear()


event.connect(kill, priority=25)


def emissions(number):
    while True:
        place = random.randrange(len(slots))
        if random.random() < 0.5 or slots[place] is None:
            slots[place] = Sender(next(serial))
        sender = slots[place]
        names = witnesses.emit(event, sender)
        assert [name for name in names if name.startswith("of")] == sender.names, names
        sender = None
        yield 1


def deaths(number):
    """Senders die while others emit."""
    while True:
        references = [Sender(next(serial)) for _ in range(3)]
        names = witnesses.emit(event, number, last_references=references)
        assert not any(name.startswith("of") for name in names)
        yield 1


def values(number):
    """Senders compared by value: a text and a number of each thread."""
    mine = Handler(f"mine {number}", 5)
    text, integer = f"sender {number}", 10**20 + number
    while True:
        event.connect(mine, text, priority=5)
        everything.connect(mine, integer, priority=5)
        assert f"mine {number}" in witnesses.emit(event, "".join(["sender ", str(number)]))
        assert f"mine {number}" in witnesses.emit(event, 10**20 + number)
        assert f"mine {number}" not in witnesses.emit(event, number)
        assert event.disconnect(mine, text)
        assert everything.disconnect(mine)
        assert f"mine {number}" not in witnesses.emit(event, text)
        yield 4


def shared(number):
    """All threads add and remove connections of a sender compared by value, including the first and the last."""
    mine = Handler(f"mine {number}", 5)
    while True:
        event.connect(mine, "shared", priority=5)
        assert f"mine {number}" in witnesses.emit(event, "shared")
        assert event.disconnect(mine)
        for _ in range(5):
            assert f"mine {number}" not in witnesses.emit(event, "shared")
        yield 6


def finish():
    slots.clear()
    gc.collect()
    assert len(event.handlers) == len(witnesses.expected) + 1, event.handlers
    assert everything.handlers == []


race(emissions, deaths, values, shared, finish=finish)
