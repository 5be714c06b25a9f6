"""`once` across threads: a handler connected with `once` is called exactly once, whichever thread emits."""

import itertools

from harness import Witnesses, race

from cyevents import Namespace

ns = Namespace()
event = ns.event("raced")
witnesses = Witnesses(event)
waiting = []  # batches of handlers
late = []  # handlers not yet called when their batch was checked, because their caller was about to


class Once:
    def __init__(self):
        self.calls = []

    def __call__(self, sender, calls, **kwargs):
        self.calls.append(sender)


def connect(number):
    for turn in itertools.count():
        batch = [Once() for _ in range(5)]
        for each in batch:
            event.connect(each, once=True, priority=turn % 7)
        ns.event("*").connect(batch[0], once=True)  # another connection, but only one of the two is used
        ns.event("*").connect(conditional := Once(), once=True, condition=lambda sender, **kwargs: sender == "emit")
        ns.event("*").connect(special := Once(), number, once=True)
        witnesses.emit(event, number)
        witnesses.emit(event, "emit")
        assert len(batch[0].calls) <= 2
        waiting.append([*batch[1:], conditional, special])
        if len(waiting) > 100:
            look_at(waiting.pop(0))
        yield 2


def look_at(handlers):
    for each in handlers:
        assert len(each.calls) <= 1, each.calls
    late.extend(each for each in handlers if not each.calls)


def emit(number):
    while True:
        witnesses.emit(event, "emit")
        yield 1


def finish():
    witnesses.emit(event, "emit")
    assert all(len(each.calls) == 1 for each in [*itertools.chain(*waiting), *late])
    assert len(event.handlers) == len(witnesses.expected)
    return 1


race(connect, emit, finish=finish)
