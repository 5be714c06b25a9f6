"""Replays across threads: a handler that is connected with `replay=True` gets each kept emission exactly once."""

import asyncio
import itertools

from harness import race

from cyevents import Namespace

ns = Namespace()
everything = ns.event("everything", replay=1_000_000)
last = ns.event("last", replay=2)
numbers = itertools.count()
emitted = []


def emit(number):
    """Emit numbers that are emitted once, in each way."""
    for turn in itertools.count():
        value = next(numbers)
        if turn % 3 == 0:
            everything.emit(value)
        elif turn % 3 == 1:
            everything.send(value)
        else:
            asyncio.run(everything.emit_async(value))
        emitted.append(value)
        if len(emitted) > 2000:  # replays take longer with each
            everything.clear_replay()
            emitted.clear()
        last.emit(number, turn)
        yield 2


def connect(number):
    """Connect handlers, which must get no emission twice."""
    while True:
        calls, kept = [], []
        # Bound here: an emission that still runs may call the handler of the previous turn.
        with everything.subscribe(lambda sender, calls=calls: calls.append(sender), replay=True):
            everything.emit(value := next(numbers))
        assert calls.count(value) == 1, (calls, value)
        assert len(calls) == len(set(calls)), calls
        with last.subscribe(lambda sender, turn, kept=kept: kept.append((sender, turn)), replay=True):
            pass
        assert len(kept) == len(set(kept)), kept
        assert len(last._kept.records()) <= 2
        yield 1


def finish():
    """Nothing that is kept is lost, and nothing but that is held."""
    everything.clear_replay()
    for value in range(10):
        everything.emit(-value)
    calls = []
    with everything.subscribe(lambda sender: calls.append(sender), replay=True):
        pass
    assert calls == [-value for value in range(10)], calls
    assert not everything._kept.replays
    records = everything._kept.records()
    assert all(record.claims is None and record.entries == () for record in records)
    assert len(last._kept._records) == 2
    return 10


race(emit, connect, emit, connect, finish=finish)
