"""Finalizers call back into the library: `__del__` and `weakref.finalize` of handlers, senders and garbage."""

import gc
import itertools
import weakref

from harness import Witnesses, handler, race

from cyevents import Namespace

ns = Namespace()
event, other = ns.event("raced"), ns.event("other")
witnesses, others = Witnesses(event), Witnesses(other)
made, finalized = itertools.count(), itertools.count()
temporary = handler("temporary", 5)


def call_back():
    for each, group in ((event, witnesses), (other, others)):
        group.emit(each)
        each.connect(temporary, "finalizer", priority=5)
        group.emit(each, "finalizer")
        each.disconnect(temporary)
    ns.event("o*").connect(temporary, priority=5)
    others.emit(other)
    ns.event("o*").disconnect(temporary)
    with event.muted(temporary):
        pass
    next(finalized)


class Finalized:
    """A handler, a sender or a handler's object."""

    def __init__(self):
        next(made)
        self.me = None

    def __del__(self):
        call_back()

    def __call__(self, sender, calls, **kwargs):
        calls.append((5, id(self)))

    method = __call__


class Watched:
    def __init__(self):
        next(made)
        weakref.finalize(self, call_back).atexit = False

    def __call__(self, sender, calls, **kwargs):
        calls.append((5, id(self)))

    method = __call__


def handlers(number):
    while True:
        for kind in (Finalized, Watched):
            mine = kind()
            event.connect(mine, priority=5)
            other.connect(mine.method, priority=5)
            witnesses.emit(event)
            del mine
            strong = kind()
            event.connect(strong, priority=5, weak=False)
            other.connect(strong.method, priority=5, weak=False)
            assert event.disconnect(strong)
            assert other.disconnect(strong.method)
            del strong
            others.emit(other)
            yield 2


def senders(number):
    mine = handler(f"mine {number}", 5)
    while True:
        for kind in (Finalized, Watched):
            sender = kind()
            event.connect(mine, sender, priority=5)
            witnesses.emit(event, sender)
            del sender
            others.emit(other)
            yield 2


def garbage(number):
    while True:
        mine = Finalized()
        mine.me = mine
        event.connect(mine, priority=5)
        event.connect(mine, mine, weak=False, priority=5)
        witnesses.emit(event, mine)
        event.disconnect(mine, mine)
        del mine
        gc.collect()
        yield 1


def finish():
    for _ in range(3):
        gc.collect()
    count = next(finalized)
    assert next(made) == count, "a finalizer has not run"
    assert len(event.handlers) == len(other.handlers) == len(witnesses.expected)
    return 5 * count


gc.freeze()
race(handlers, senders, garbage, finish=finish)
