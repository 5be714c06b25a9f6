"""Observers that come and go while others emit, send and await: each tells of what it has seen, whole and in order."""

import asyncio

from harness import Witnesses, race

from cyevents import Event, Namespace, trace
from cyevents._observers import Call, Observer, Watch
from cyevents._watching import Watching
from cyevents.testing import Recorder

ns = Namespace()
event, other = ns.event("raced"), Event("other")
witnesses, others = Witnesses(event), Witnesses(other, awaited=True)
begun, ended = [], []


class Mark(Call):
    def __init__(self):
        self.steps = ""

    def enter(self):
        self.steps += "("

    def leave(self, is_here):
        self.steps += ")"

    def end(self, value, error):
        self.steps += "."


class Plain(Observer):
    """Sees that whatever is called is left, and ended, once."""

    def begin(self, beginning):
        begun.append(beginning.event)
        return Sound(beginning.way)


class Sound(Watch):
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


def observers(number):
    while True:
        watching = Watching([ns, other] if number % 2 else [event, other, ns.event("ra*")])
        watching.start(Plain())
        names = witnesses.emit(event, number)
        watching.stop()
        assert names == witnesses.expected
        everywhere = Watching(["made"], everywhere=True)
        everywhere.start(plain := Plain())
        made = Event("made")
        assert made.emit(number) == []
        everywhere.stop()
        observation = made._observer
        assert observation is None or plain not in observation.observers
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
    assert len(begun) == len(ended), "an emission was told of by half"
    assert event._observer is None
    assert other._observer is None
    assert ns._observers == ()
    witnesses.emit(event)
    return 1


race(observers, emitters, awaiting, traces, observers, finish=finish)
