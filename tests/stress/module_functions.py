"""Functions of modules, which only the garbage collector frees on free-threaded builds, die during emissions."""

import gc
import itertools
import weakref

from harness import Witnesses, race

from cyevents import Event

event = Event("raced")
witnesses = Witnesses(event)
SOURCE = """
def handler(sender, calls, **kwargs):
    calls.append((5, name))

def leaves(sender, calls, **kwargs):
    global leaves
    if sender == name:  # in the thread that has connected it
        leaves = None  # the last reference
    collect()
    assert reference() is not None, "a handler was freed while it ran"
    calls.append((5, name))

class Owner:
    def method(self, sender, calls, **kwargs):
        calls.append((5, name + "'s method"))
"""


def module(name):
    scope = {"name": name, "collect": gc.collect}
    exec(SOURCE, scope)
    return scope


def until_freed(reference):
    while reference() is not None:  # a thread that calls it keeps it alive
        gc.collect()


def die(number):
    for turn in itertools.count():
        name = f"mine {number}.{turn}"
        scope = module(name)
        owner = scope["Owner"]()
        event.connect(scope["handler"], priority=5)
        event.connect(owner.method, priority=5)
        assert {name, f"{name}'s method"} <= set(witnesses.emit(event))
        function = weakref.ref(scope["Owner"].method)
        del scope["Owner"].method
        until_freed(function)
        names = witnesses.emit(event)
        assert name in names and f"{name}'s method" not in names
        until_freed(weakref.ref(scope.pop("handler")))
        assert name not in witnesses.emit(event)
        yield 3


def leave(number):
    for turn in itertools.count():
        name = f"leaving {number}.{turn}"
        scope = module(name)
        reference = scope["reference"] = weakref.ref(scope["leaves"])
        event.connect(scope["leaves"], priority=5)
        assert name in witnesses.emit(event, name)
        until_freed(reference)
        assert name not in witnesses.emit(event)
        yield 2


def strong(number):
    for turn in itertools.count():
        name = f"mine {number}.{turn}"
        scope = module(name)
        mine = [scope["handler"], scope["Owner"]().method]
        for handler in mine:
            event.connect(handler, priority=5, weak=False)
        scope = None
        gc.collect()
        assert {name, f"{name}'s method"} <= set(witnesses.emit(event))
        while mine:
            event.disconnect(mine.pop())
        handler = None
        assert not {name, f"{name}'s method"} & set(witnesses.emit(event))
        yield 2


def emit(number):
    while True:
        witnesses.emit(event)
        yield 1


def finish():
    gc.collect()
    assert len(event.handlers) == len(witnesses.expected), event.handlers


race(die, emit, leave, strong, finish=finish)
