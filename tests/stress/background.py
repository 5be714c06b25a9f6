"""Async handlers scheduled from many threads without a loop: none is lost, and they start in order."""

import asyncio
import itertools
import threading

from harness import THREADS, Witnesses, race

from cyevents import Event, drain

event = Event("raced")
witnesses = Witnesses(event)
started, done = {}, {}  # turns by thread
also_done = itertools.count()


@event.connect
async def first(sender, calls, *, turn, **kwargs):
    started[sender].append(turn)
    if turn % 3:
        await asyncio.sleep(0)
    done[sender].append(turn)


@event.connect
async def second(sender, calls, **kwargs):
    await asyncio.sleep(0)
    next(also_done)


def emit(number):
    started[number], done[number] = [], []
    for turn in itertools.count():
        witnesses.emit(event, number, turn=turn)
        assert threading.active_count() <= 1 + THREADS + 1, threading.enumerate()  # one more for the background loop
        if turn % 500 == 499:  # limits the pending handlers
            assert drain(timeout=30)
            assert len(done[number]) == turn + 1
        yield 1


def finish():
    assert drain(timeout=30)
    for sender, turns in started.items():
        assert turns == list(range(len(turns))), "started out of order"
        assert sorted(done[sender]) == turns, "lost"
    assert next(also_done) == sum(map(len, done.values()))


race(emit, finish=finish)
