"""Converts a trace to the Trace Event Format ("Trace Event Format" by the Chromium authors), for Perfetto and Chrome.

A call that runs without awaiting is a complete event ("X") of its thread; viewers nest those by time. What is awaited
overlaps with others in time, so it is a pair of async events ("b", "e") with the id of a lane. Viewers nest the events
of one id. So an awaited call or emission gets its parent's lane if no sibling occupies that, else a new one.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ._code import last_part
from ._text import plain_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._traced import TracedCall, TracedEmission


def chrome_trace(emissions: Iterable[TracedEmission], now: float) -> dict[str, Any]:
    """Return the whole file as plain data. Calls that still run are drawn until `now`."""
    timeline = _Timeline(now)
    lanes = _Lanes(timeline)
    for emission in emissions:
        timeline.add_emission(emission, lanes)
    process = {"ph": "M", "name": "process_name", "pid": timeline.pid, "tid": 0, "args": {"name": "cyevents"}}
    threads = [
        {"ph": "M", "name": "thread_name", "pid": timeline.pid, "tid": number, "args": {"name": name}}
        for number, name in timeline.threads.values()
    ]
    timeline.events.sort(key=lambda event: float(event["ts"]))  # stable: outer events stay around inner ones
    return {"traceEvents": [process, *threads, *timeline.events], "displayTimeUnit": "ms"}


class _Lanes:
    """Assigns lanes to the awaited children of one parent, so that no two overlap in a lane."""

    def __init__(self, timeline: _Timeline, own: int = 0, limit: float = 0.0) -> None:
        self._timeline = timeline
        self._own = own  # the parent's lane, free for children that end before `limit`; 0 if it has none
        self._limit = limit
        self._ends: dict[int, float] = {own: 0.0} if own else {}

    def assign(self, start: float, end: float) -> int:
        """Return a lane that is free from start to end."""
        for lane, until in self._ends.items():
            if until <= start and (lane != self._own or end <= self._limit):
                self._ends[lane] = end
                return lane
        lane = self._timeline.lane_count = self._timeline.lane_count + 1
        self._ends[lane] = end
        return lane


class _Timeline:
    """Collects the events of the file."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.pid = os.getpid()
        self.events: list[dict[str, Any]] = []
        self.threads: dict[int, tuple[int, str]] = {}  # by identifier: its number in the file, and its name
        self.lane_count = 0

    def add_emission(self, emission: TracedEmission, lanes: _Lanes) -> None:
        args: dict[str, Any] = {"way": emission.way, "sender": emission.sender, "arguments": emission.arguments}
        args |= {"cancelled by": emission.cancelled_by, "reason": emission.reason}
        args |= {"not called": emission.not_called, "error": emission.error}
        inner, closing = self._open(emission.event, emission, emission.way.endswith("_async"), args, lanes)
        for call in emission.calls:
            self._add_call(call, inner)
        self.events += closing

    def _add_call(self, call: TracedCall, lanes: _Lanes) -> None:
        name = last_part(call.handler.name)
        args = plain_fields([("where", call.handler.place), ("priority", call.priority), ("outcome", call.outcome)])
        args |= {"reason": call.reason, "value": call.value}
        if call.outcome in ("skipped", "delivered", "dropped"):
            self.events.append(self._event("i", f"{name} {call.outcome}", call, call.start, args, s="t"))
            return
        inner, closing = self._open(name, call, call.is_async, args, lanes)
        for emission in call.emissions:
            self.add_emission(emission, inner)
        self.events += closing

    def _open(
        self, name: str, item: TracedEmission | TracedCall, is_async: bool, args: dict[str, Any], lanes: _Lanes
    ) -> tuple[_Lanes, list[dict[str, Any]]]:
        """Add an item; return the lanes for its children, and the events that must follow theirs."""
        end = self.now if item.duration is None else item.start + item.duration
        if not is_async:
            duration = round(_microseconds(end) - _microseconds(item.start), 3)  # so that equal ends stay equal
            self.events.append(self._event("X", name, item, item.start, args, dur=duration))
            return lanes, []
        lane = lanes.assign(item.start, end)
        self.events.append(self._event("b", name, item, item.start, args, id=lane))
        return _Lanes(self, lane, end), [self._event("e", name, item, end, {}, id=lane)]

    def _event(
        self, phase: str, name: str, item: TracedEmission | TracedCall, start: float, args: dict[str, Any], **more: Any
    ) -> dict[str, Any]:
        number, _ = self.threads.setdefault(item.thread_id, (len(self.threads) + 1, item.thread))
        event = {"ph": phase, "name": name, "cat": "cyevents", "ts": _microseconds(start), "pid": self.pid}
        known = {key: value for key, value in args.items() if value not in (None, "", [])}
        return event | {"tid": number, **more, "args": known}


def _microseconds(seconds: float) -> float:
    return round(seconds * 1e6, 3)
