"""`settle`: what a change has left to the next emission is done at once."""

import gc
import logging
import sys

import pytest


class Sender:
    """Can be weakly referenced."""


@pytest.fixture
def no_collection():
    """Switch the garbage collector off: its own runs change the number of allocated blocks."""
    was_enabled = gc.isenabled()
    gc.disable()
    yield
    if was_enabled:
        gc.enable()


def kept_by_emission(event, sender):
    """Return how many blocks of memory are kept after an emission that were not before it."""
    before = sys.getallocatedblocks()
    event.emit(sender)
    return sys.getallocatedblocks() - before


def handlers(count):
    return [lambda sender, number=number: number for number in range(count)]


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("kind", ["any sender", "a sender", "a pattern", "a pattern's sender"])
def test_nothing_is_left_to_the_emission(ns, kind):
    event, sender = ns.event("order.placed"), Sender()
    source = ns.event("order.*") if "pattern" in kind else event
    only = {"sender": sender} if "sender" in kind and kind != "any sender" else {}
    first, second = handlers(2)
    for handler in (first, second):
        source.connect(handler, **only)
        event.emit(sender)  # memory that any emission keeps is allocated now
    source.disconnect(second)
    left = kept_by_emission(event, sender)
    source.connect(second, **only)
    event.settle()
    assert kept_by_emission(event, sender) < left
    assert event.emit(sender) == [0, 1]


def test_a_pattern_settles_the_events_that_match(ns):
    event = ns.event("order.placed")
    pattern = ns.event("order.*")
    first, second = handlers(2)
    pattern.connect(first)
    event.connect(second, priority=1)
    pattern.settle()
    assert event.emit() == [1, 0]


def test_a_namespace_settles_all_its_events(ns, caplog):
    caplog.set_level(logging.DEBUG, logger="cyevents")
    keep = []
    for name in ("a", "b"):
        (handler,) = handlers(1)
        keep.append(handler)
        ns.event(name).connect(handler)
        ns.emit(name)
    keep.clear()
    del handler
    gc.collect()
    caplog.clear()
    ns.settle()
    assert sorted(record.args[1] for record in caplog.records) == ["a", "b"]


def test_settling_nothing(ns):
    assert ns.settle() is None
    assert ns.event("never.connected").settle() is None
    assert ns.event("never.*").settle() is None
    assert ns.event("never.connected").emit() == []


def test_the_order_after_settling(ns):
    event = ns.event("x")
    hs = handlers(100)
    for number, handler in enumerate(hs):
        event.connect(handler, priority=number % 7)
    event.connect(hs[0], priority=0)  # again: it comes last
    event.settle()
    assert event.emit() == [
        *sorted(range(1, 100), key=lambda number: (-(number % 7), number)),
        0,
    ]
