"""Holds across threads: each emission is made exactly once, held or not, and holds do not concern other threads."""

import contextvars
import itertools
import threading

from harness import race

from cyevents import Namespace

ns = Namespace()
event = ns.event("raced")
seen = {}  # how often a handler was called with a sender
numbers = itertools.count()


def note(sender):
    seen[sender] = seen.get(sender, 0) + 1  # each sender is emitted by one thread at a time


event.connect(note)


def taken(sender):
    return seen.pop(sender, 0)


def own_holds(number):
    """Hold and release, in a thread whose holds no other thread shares."""
    sources = itertools.cycle([ns, event, ns.event("r*")])
    while True:
        first, second = f"{number}.{next(numbers)}", f"{number}.{next(numbers)}"
        with next(sources).held() as hold:
            event.emit(first)
            with next(sources).held():
                ns.emit("raced", second)
            assert len(hold.emissions) == 2
            assert first not in seen
            assert second not in seen
        assert taken(first) == taken(second) == 1
        hold = next(sources).hold()
        event.emit(first)
        hold.drop()
        assert taken(first) == 0
        event.emit(first)
        assert taken(first) == 1
        yield 4


def shared_holds(number):
    """Emit in another thread that has inherited the hold, while this one releases or drops it."""
    while True:
        hold = ns.hold()
        senders = [f"{number}.{next(numbers)}" for _ in range(20)]
        emitter = threading.Thread(
            target=contextvars.copy_context().run,
            args=(lambda: [event.emit(sender) for sender in senders],),  # noqa: B023
        )
        emitter.start()
        hold.release()
        emitter.join()
        hold.release()
        assert hold.emissions == []
        for sender in senders:
            assert taken(sender) == 1, sender
        yield len(senders)


def names(number):
    """Make, hold and delete events meanwhile."""
    while True:
        name = f"name {number}.{next(numbers)}"
        with ns.held():
            ns.emit(name)
            made = ns.event(name)
            made.connect(note)
            made.emit(name)
        assert taken(name) == 1
        del ns[name]
        yield 1


def unheld(number):
    """Emit without a hold: nothing waits."""
    while True:
        sender = f"{number}.{next(numbers)}"
        event.emit(sender)
        assert taken(sender) == 1
        yield 1


def finish():
    assert ns._scopes == ()
    assert not event._kept.holds
    event.emit("last")
    assert taken("last") == 1
    return 1


race(own_holds, shared_holds, names, unheld, finish=finish)
