"""Instruments start and stop while others emit, send and await: each sees whole emissions, in order."""

import asyncio

from harness import Witnesses, race

from cyevents import Event, Namespace, trace
from cyevents.instrument import CallSpan, EmissionSpan, Instrument, Scope, observe
from cyevents.testing import Recorder

ns = Namespace()
event, other = ns.event("raced"), Event("other")
witnesses, others = Witnesses(event), Witnesses(other, awaited=True)
begun, ended = [], []


class Mark(CallSpan):
    def __init__(self):
        self.steps = ""

    def enter(self):
        self.steps += "("

    def exit(self, same_context):
        self.steps += ")"

    def end(self, value, error):
        self.steps += "."


class Checker(Instrument):
    """Checks that each call is left and ended once."""

    def begin(self, start):
        begun.append(start.event)
        return Checked(start.way)


class Checked(EmissionSpan):
    def __init__(self, way):
        self.is_sent = way == "send"
        self.marks = []

    def call(self, entry, handler):
        self.marks.append(mark := Mark())
        return mark

    def end(self, results, error):
        assert error is None
        for mark in self.marks:
            assert mark.steps in ("().", "()().") and (mark.steps == "()." or not self.is_sent), mark.steps
        ended.append(self)


def instruments(number):
    while True:
        scope = observe(Checker(), *([ns, other] if number % 2 else [event, other, ns.event("ra*")]))
        names = witnesses.emit(event, number)
        scope.stop()
        assert names == witnesses.expected
        everywhere = Scope(["made"], everywhere=True)
        everywhere._start(Checker())
        made = Event("made")
        assert made.emit(number) == []
        everywhere.stop()
        emitter = made._observer
        assert emitter is None or everywhere not in emitter.scopes
        yield 2


def emitters(number):
    while True:
        witnesses.emit(event, number)
        calls = []
        assert len(event.send(number, calls)) == len(witnesses.expected)
        assert ns.emit("unknown", number, []) == []
        assert Event("made").emit(number) == []
        assert Namespace().emit("made", number) == []
        yield 5


def awaiting(number):
    async def once():
        return await asyncio.gather(*(others.emit_async(other, turn) for turn in range(3)))

    with asyncio.Runner() as runner:
        while True:
            for names in runner.run(once()):
                assert names == others.expected
            yield 3


def traces(number):
    while True:
        with trace(event) as seen, Recorder(event) as recorder:
            witnesses.emit(event, number)
            witnesses.emit(event, number)
        mine = [emission for emission in seen.emissions if emission.sender == str(number)]
        assert len(mine) >= 2
        for emission in mine[:2]:
            assert [call.outcome for call in emission.calls] == ["returned"] * len(witnesses.expected)
            assert emission.duration is not None
        assert len(recorder.of(event, number)) >= 2
        yield 2


def finish():
    assert len(begun) == len(ended), "an emission was observed only partly"
    assert event._observer is None
    assert other._observer is None
    assert ns._scopes == ()
    witnesses.emit(event)
    return 1


race(instruments, emitters, awaiting, traces, instruments, finish=finish)
