"""Garbage is collected at every allocation and by an extra thread: cycles of handlers and senders."""

import gc
import itertools

from harness import Handler, Witnesses, free_threaded, handler, race

from cyevents import Event, Namespace

ns = Namespace()
event = ns.event("raced")
witnesses = Witnesses(event)


class Cycle(Handler):
    """A handler and a sender that only the garbage collector can free, with their own event."""

    def __init__(self, name):
        super().__init__(name, 5)
        self.me = self
        self.event = Event("own")
        self.event.connect(self, weak=False)
        self.event.connect(self.method, self, weak=False)

    def __del__(self):
        event.connect(temporary, "finalizer", priority=5)
        witnesses.emit(event, "finalizer")
        event.disconnect(temporary, "finalizer")


temporary = handler("temporary", 5)


def change(number):
    for turn in itertools.count():
        name = f"mine {number}.{turn}"
        mine = Cycle(name)
        event.connect(mine, priority=5)
        event.connect(mine.method, mine, priority=5)
        ns.event("r*").connect(mine, mine, priority=5)
        assert name in witnesses.emit(event, number)
        mine = None
        yield 1


def emit(number):
    while True:
        witnesses.emit(event)
        yield 1


def collect(number):
    while True:
        gc.collect()
        yield 0


def finish():
    gc.set_threshold(700, 10, 10)
    for _ in range(3):
        gc.collect()
    assert len(event.handlers) == len(witnesses.expected), event.handlers


gc.freeze()
gc.set_threshold(1, *[0] * free_threaded)
race(change, emit, collect, finish=finish)
