"""Handlers die during emissions: functions, callable objects, and objects of bound methods."""

import itertools
import weakref

from harness import Handler, Witnesses, handler, race

from cyevents import Event

event = Event("raced")
witnesses = Witnesses(event)


def kill(sender, calls, *, last_references=None, **kwargs):
    if last_references is not None:
        last_references.clear()


event.connect(kill, priority=25)


def function(name):
    made = handler(name, 5)
    event.connect(made, priority=5)
    return made


def called(name):
    made = Handler(name, 5)
    event.connect(made, priority=5)
    return made


def owner(name):
    made = Handler(name, 5)
    event.connect(made.method, priority=5)
    return made


def die(kind):
    def job(number):
        for turn in itertools.count():
            name = f"mine {number}.{turn}"  # another thread may still call the previous one
            mine = kind(name)
            assert name in witnesses.emit(event)
            reference, references = weakref.ref(mine), [mine]
            del mine
            witnesses.emit(event, number, last_references=references)
            dead = reference() is None
            assert not (dead and name in witnesses.emit(event))
            yield 2 + dead

    return job


def emit(number):
    while True:
        witnesses.emit(event)
        yield 1


def finish():
    assert len(event.handlers) == len(witnesses.expected) + 1, event.handlers


race(die(function), emit, die(called), die(owner), finish=finish)
