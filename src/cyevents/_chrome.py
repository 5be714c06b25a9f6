"""A trace in the Trace Event Format, which Perfetto and Chrome draw as a picture in time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ._code import last_part
from ._text import plain_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._trace import TracedCall, TracedEmission


def chrome_trace(emissions: Iterable[TracedEmission], now: float) -> dict[str, Any]:
    """The whole file as plain data; what still runs is drawn until `now`.

    What runs in one go is a complete event ("X") of its thread: there they lie within each other. What is awaited lies
    beside others in time, so it is a pair of async events ("b", "e"), whose id is that of a lane: the parent's, if no
    other child of the parent is still there, else one of its own. Those of one id and category lie within each other.

    The format: "Trace Event Format" by the Chromium authors.
    """
    drawn = _Drawn(now)
    lanes = _Lanes(drawn)
    for emission in emissions:
        drawn.emission(emission, lanes)
    threads = [
        {"ph": "M", "name": "thread_name", "pid": drawn.pid, "tid": number, "args": {"name": name}}
        for number, name in drawn.threads.values()
    ]
    process = {"ph": "M", "name": "process_name", "pid": drawn.pid, "tid": 0, "args": {"name": "cyevents"}}
    drawn.events.sort(key=lambda event: float(event["ts"]))  # stable: what is within begins after, and ends before
    return {"traceEvents": [process, *threads, *drawn.events], "displayTimeUnit": "ms"}


class _Lanes:
    """Gives what is awaited within something a lane where nothing else is at that time."""

    def __init__(self, drawn: _Drawn, own: int = 0, limit: float = 0.0) -> None:
        self._drawn = drawn
        self._own = own  # the parent's lane, where its children have room until it ends
        self._limit = limit
        self._ends: dict[int, float] = {own: 0.0} if own else {}

    def lane(self, start: float, end: float) -> int:
        for lane, until in self._ends.items():
            if until <= start and (lane != self._own or end <= self._limit):
                self._ends[lane] = end
                return lane
        lane = self._drawn.lanes = self._drawn.lanes + 1
        self._ends[lane] = end
        return lane


class _Drawn:
    """The events drawn so far."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.pid = os.getpid()
        self.events: list[dict[str, Any]] = []
        self.threads: dict[int, tuple[int, str]] = {}  # our number and the name, by identifier
        self.lanes = 0

    def emission(self, emission: TracedEmission, lanes: _Lanes) -> None:
        about: dict[str, Any] = {"way": emission.way, "sender": emission.sender, "arguments": emission.arguments}
        about |= {"cancelled by": emission.cancelled_by, "not called": emission.not_called, "error": emission.error}
        within, last = self._draw(emission.event, emission, emission.way == "emit_async", about, lanes)
        for call in emission.calls:
            self._call(call, within)
        self.events += last

    def _call(self, call: TracedCall, lanes: _Lanes) -> None:
        name = last_part(call.handler.name)
        about = plain_fields([("where", call.handler.place), ("priority", call.priority), ("outcome", call.outcome)])
        about |= {"reason": call.reason, "value": call.value}
        if call.outcome == "skipped":
            self.events.append(self._event("i", f"{name} skipped", call, call.start, about, s="t"))
            return
        within, last = self._draw(name, call, call.is_async, about, lanes)
        for emission in call.emissions:
            self.emission(emission, within)
        self.events += last

    def _draw(
        self,
        name: str,
        what: TracedEmission | TracedCall,
        is_async: bool,
        about: dict[str, Any],
        lanes: _Lanes,
    ) -> tuple[_Lanes, list[dict[str, Any]]]:
        """Draw one of them; return the lanes for what is within it, and what is to be drawn behind that."""
        end = self.now if what.duration is None else what.start + what.duration
        if not is_async:
            duration = round(_microseconds(end) - _microseconds(what.start), 3)  # for ends to be rounded alike
            self.events.append(self._event("X", name, what, what.start, about, dur=duration))
            return lanes, []
        lane = lanes.lane(what.start, end)
        self.events.append(self._event("b", name, what, what.start, about, id=lane))
        return _Lanes(self, lane, end), [self._event("e", name, what, end, {}, id=lane)]

    def _event(
        self,
        phase: str,
        name: str,
        what: TracedEmission | TracedCall,
        start: float,
        about: dict[str, Any],
        **more: Any,
    ) -> dict[str, Any]:
        number, _ = self.threads.setdefault(what.thread_id, (len(self.threads) + 1, what.thread))
        known = {key: value for key, value in about.items() if value not in (None, "", [])}
        at = {"ts": _microseconds(start), "pid": self.pid, "tid": number}
        return {"ph": phase, "name": name, "cat": "cyevents", **at, **more, "args": known}


def _microseconds(seconds: float) -> float:
    return round(seconds * 1e6, 3)
