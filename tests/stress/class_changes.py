"""Emissions by name and connections while other threads change the class of the events and declare events."""

import asyncio
import itertools

from harness import Witnesses, coroutine, handler, race

from cyevents import Event, Namespace

ns = Namespace()
event = ns.event("raced")
witnesses = Witnesses(event)
turns = itertools.count()


def by_name(number):
    while True:
        calls = []
        witnesses.account(calls, ns.emit("raced", number, calls))
        yield 1


def change(number):
    while True:
        Event.turn = next(turns)
        yield 0


def declare(number):
    """Connect a fitting handler before an event is checked, meanwhile and afterwards."""
    mine = handler(f"mine {number}", 5)
    while True:
        checked = ns.event(f"declared {next(turns) % 50}")
        checked.connect(mine, number, priority=5)
        ns.event(checked.name, signature=fits, check=True)
        calls = []
        assert checked.emit(number, calls, more=1) == [] == checked.emit(None, calls)
        assert calls == [(5, f"mine {number}")]
        assert checked.disconnect(mine, number)
        yield 2


def fits(sender, calls, *, more=0):
    """A handler that fits the declaration."""


def first_awaited(number):
    """The first emissions that wait for tasks run in several threads."""
    mine, awaited = coroutine("mine", 5), Event("awaited")
    awaited.connect(mine)

    async def emit():
        calls = []
        await awaited.emit_async(number, calls)
        assert calls == [(5, "mine")]

    while True:
        asyncio.run(emit())
        yield 1


race(by_name, first_awaited, change, declare, by_name, first_awaited, declare)
