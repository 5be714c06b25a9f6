"""A sender's connections or an event found by name are freed right after an emission has looked them up.

The emissions are as short as possible, since such a race has a window of nanoseconds.
"""

from harness import race

from cyevents import Namespace

ns = Namespace()
event = ns.event("raced")
COUNT = 100


@event.connect
@ns.event("*").connect
def witness(sender):
    return "called"


def of_sender(sender):
    return "of the sender"


def change(number):
    while True:
        for _ in range(COUNT):
            event.connect(of_sender, "sender")
            event.disconnect(of_sender)
            ns.event("new")
            try:
                del ns["new"]
            except KeyError:  # another thread was faster
                pass
        yield 0


def emit(number):
    while True:
        for _ in range(COUNT):
            results = event.emit("sender")
            assert results[0] == "called"
            assert results[1:] in ([], ["of the sender"])
        yield COUNT


def emit_by_name(number):
    while True:
        for _ in range(COUNT):
            assert ns.emit("new", 1) in ([], ["called"])
        yield COUNT


race(change, emit, emit_by_name, emit)
