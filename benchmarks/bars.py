"""The limits that the compiled core must keep, as medians of the ratios within each round."""

import sys
from dataclasses import dataclass

OURS = "cyevents"
FLOOR = "the floor"
BARE_LOOP = "bare loop"


@dataclass(frozen=True)
class Ratio:
    """How many times longer one contestant of a race takes than another."""

    race: str
    numerator: str
    denominator: str

    @property
    def label(self):
        return f"{self.race}: {self.numerator} / {self.denominator}"


@dataclass(frozen=True)
class Bar:
    """A limit for all of its ratios, `at_most` or `at_least`, on a range of Pythons. Without a limit it is reported."""

    what: str
    ratios: tuple[Ratio, ...]
    at_most: float | None = None
    at_least: float | None = None
    since: tuple[int, int] = (3, 11)
    until: tuple[int, int] = (3, 99)  # inclusive

    def holds(self, value):
        """Return whether a value keeps the limit, or None if there is no limit."""
        if self.at_most is not None:
            return value <= self.at_most
        return None if self.at_least is None else value >= self.at_least

    @property
    def limit(self):
        if self.at_most is not None:
            return f"≤ {self.at_most:g}"
        return "report" if self.at_least is None else f"≥ {self.at_least:g}"

    @property
    def worst(self):
        """Return the function that chooses the worst of several ratios."""
        return max if self.at_least is None else min

    def reason_not_to_apply(self, version):
        """Return why this bar is not for a version of Python, or the empty string."""
        if version < self.since:
            return "from Python {}.{} on".format(*self.since)
        return "up to Python {}.{}".format(*self.until) if version > self.until else ""


def over_floor(kinds, counts):
    return tuple(Ratio(f"{kind} {count}", OURS, FLOOR) for kind in kinds for count in counts)


def faster(race, other, one=OURS):
    return (Ratio(race, other, one),)


def over_bare_loop(kinds, counts):
    return tuple(Ratio(f"{kind} {count}", OURS, BARE_LOOP) for kind in kinds for count in counts)


def over_async(suspends, other, counts=(10, 100), ours_first=True):
    return tuple(
        Ratio(f"async, {suspending}, asyncio {count}", *((OURS, other) if ours_first else (other, OURS)))
        for suspending in suspends
        for count in counts
    )


EMISSIONS = ("plain", "**kwargs", "keywords", "results")
BARS = (
    Bar("emit over the floor; 10, 100, 1000 handlers", over_floor(EMISSIONS, (10, 100, 1000)), at_most=1.10),
    Bar(
        "emit over the floor; 0 and 1 handler",
        over_floor(("plain", "keywords"), (0,)) + over_floor(EMISSIONS, (1,)),
        at_most=1.20,
    ),
    Bar("weak methods over a floor with strong ones; 10, 100", over_floor(("methods",), (10, 100)), at_most=1.05),
    Bar(
        "sender-filtered among 1,000,000 others over among 1",
        (Ratio("among senders", f"{OURS}, 1,000,000", f"{OURS}, 1"),),
        at_most=1.15,
    ),
    Bar(
        "one sender among 1,000,000 over any sender; identity",
        (Ratio("among senders", f"{OURS}, 1,000,000", f"{OURS}, any sender"),),
        at_most=1.25,
    ),
    Bar(
        "one sender among 1,000,000 over any sender; str",
        (Ratio("among senders", f"{OURS}, 1,000,000 (str)", f"{OURS}, any sender (str)"),),
        at_most=1.5,
    ),
    Bar(
        "event.emit(s) over the bound method, with and without doc, 1",
        (
            Ratio("lookup", "event.emit(s)", "bound(s)"),
            Ratio("lookup", "event.emit(s), with doc", "bound(s), with doc"),
        ),
        at_most=1.15,
    ),
    Bar(
        "t.changed.emit(21), looked up on t, over event.emit(t, 21), 1",
        (Ratio("bound", "t.changed.emit(21), 1", "event.emit(t, 21), 1"),),
        at_most=1.30,
    ),
    Bar(
        "t.changed.emit(21) faster than psygnal's, 1",
        (Ratio("bound", "psygnal, 1", "t.changed.emit(21), 1"),),
        at_least=15,
    ),
    Bar('emit("name", s) over event.emit(s), 1', (Ratio("by name 1", "cyevents by name", OURS),), at_most=1.35),
    Bar(
        "a true condition over a floor of two calls; 10, 100", over_floor(("condition true",), (10, 100)), at_most=1.25
    ),
    Bar(
        "emit over the bare loop, **kwargs and keywords; 1, 10, 100",
        over_bare_loop(("**kwargs", "keywords"), (1, 10, 100)),
        at_most=1.0,
    ),
    Bar(
        "emit over the bare loop, plain; 10, 100; up to 3.11",
        over_bare_loop(("plain",), (10, 100)),
        at_most=0.85,
        until=(3, 11),
    ),
    Bar(
        "emit over the bare loop, plain; 10, 100; from 3.12 on",
        over_bare_loop(("plain",), (10, 100)),
        since=(3, 12),
    ),
    Bar("faster than blinker, **kwargs, 10", faster("**kwargs 10", "blinker"), at_least=16),
    Bar("faster than blinker, plain, 10", faster("plain 10", "blinker"), at_least=25),
    Bar(
        "cyevents.blinker faster than blinker, plain and **kwargs, 10",
        faster("plain 10", "blinker", "cyevents.blinker") + faster("**kwargs 10", "blinker", "cyevents.blinker"),
        at_least=10,
    ),
    Bar("faster than psygnal emit, plain, 10", faster("plain 10", "psygnal emit"), at_least=8),
    Bar("faster than psygnal emit_fast, plain, 10", faster("plain 10", "psygnal emit_fast"), at_least=4),
    Bar("faster than Django (caching), **kwargs, 10", faster("**kwargs 10", "Django (caching)"), at_least=7),
    Bar("faster than pyee, plain, 10", faster("plain 10", "pyee"), at_least=4),
    Bar("faster than eventkit, plain, 10", faster("plain 10", "eventkit"), at_least=2),
    Bar("faster than dust-riven, plain, 10", faster("plain 10", "dust-riven"), at_least=1.5),
    Bar("faster than atom, plain, 10", faster("plain 10", "atom"), at_least=1.2),
    Bar(
        "faster than hand-written, **kwargs and keywords; 1, 10, 100",
        tuple(
            Ratio(f"{kind} {count}", "hand-written", OURS)
            for kind in ("**kwargs", "keywords")
            for count in (1, 10, 100)
        ),
        at_least=2,
    ),
    Bar(
        "emit_async over eager tasks; 10, 100; suspending or not",
        over_async(("through", "suspending"), "eager tasks"),
        at_most=1.20,
        since=(3, 12),
    ),
    Bar(
        "emit_async faster than gather, not suspending; 10, 100",
        over_async(("through",), "asyncio.gather", ours_first=False),
        at_least=4,
        since=(3, 12),
    ),
    Bar(
        "emit_async faster than gather, suspending; 10, 100",
        over_async(("suspending",), "asyncio.gather", ours_first=False),
        at_least=1.6,
        since=(3, 12),
    ),
    Bar(
        "emit_async over blinker's send_async, 1; suspending or not",
        over_async(("through", "suspending"), "blinker send_async", (1,)),
        at_most=1.0,
    ),
    Bar(
        "emit_async, 10 priorities, over blinker's send_async; suspending or not",
        over_async(("priorities through", "priorities suspending"), "blinker send_async", (10,)),
        at_most=1.0,
    ),
    Bar(
        "emit_async, 10 one by one, over blinker's send_async; suspending or not",
        over_async(("one by one through", "one by one suspending"), "blinker send_async", (10,)),
        at_most=1.0,
    ),
    Bar(
        "emit_async of 10 sync handlers over emit",
        (Ratio("async, sync handlers, asyncio 10", OURS, "cyevents emit"),),
        at_most=3,
    ),
    Bar(
        "a mailbox between two threads over SimpleQueue by hand; 1, 10",
        tuple(Ratio(f"mailbox {count}", OURS, "SimpleQueue") for count in (1, 10)),
        at_most=1.0,
    ),
    Bar(
        "latency of a mailbox over SimpleQueue by hand; p50, p99, p99.9",
        tuple(Ratio(f"mailbox latency, {name}", OURS, "SimpleQueue") for name in ("p50", "p99", "p99.9")),
    ),
    *(
        Bar(
            f"delivery to {'an' if kind == 'executor' else 'a'} {kind} over {by_hand} by hand; 1, 10, latency p50, p99",
            tuple(Ratio(f"{kind} {what}", OURS, by_hand) for what in ("1", "10", "latency, p50", "latency, p99")),
        )
        for kind, by_hand in {"executor": "submit", "loop": "call_soon_threadsafe"}.items()
    ),
    Bar("connect over blinker's", (Ratio("connect", OURS, "blinker"),), at_most=0.4),
    Bar("connect, emit, disconnect over blinker's", (Ratio("churn", OURS, "blinker"),), at_most=0.4),
    Bar(
        "the emission after one connect over a plain one; 1,000, 10,000",
        tuple(
            Ratio(f"after a connect, {count:,}", f"{OURS}, after a connect", f"{OURS}, plain")
            for count in (1_000, 10_000)
        ),
        at_most=1.2,
    ),
    Bar("memory of an event over blinker's Signal", (Ratio("memory, emitter", OURS, "blinker"),), at_most=1.0),
    Bar("memory per connection over blinker's", (Ratio("memory", OURS, "blinker"),), at_most=0.33),
    Bar("cold import over blinker's", (Ratio("import", OURS, "blinker"),), at_most=0.25),
    Bar(
        "modules of asyncio, inspect, typing, logging that its import brings",
        (Ratio("import brings", OURS, "one"),),
        at_most=0,
    ),
    Bar("the pure core faster than blinker, plain, 10", faster("plain 10", "blinker", "cyevents (pure)"), at_least=5),
    Bar(
        "1,000,000 connections over 1,000, per connection",
        (Ratio("million", "1,000,000", "1,000"),),
        at_most=1.5,
    ),
    Bar(
        "a request beside 100,000 live senders over beside 10",
        (Ratio("request", f"{OURS}, 100,000", f"{OURS}, 10"),),
        at_most=1.3,
    ),
    Bar("p99.9 over the bare loop's, quiet", (Ratio("tail, p99.9", OURS, BARE_LOOP),), at_most=1.25),
    Bar(
        "p99.9 while another thread connects and disconnects, over quiet",
        (Ratio("tail, p99.9", f"{OURS}, changing", OURS),),
        at_most=3,
    ),
)


def check(races, version=sys.version_info[:2]):
    """Check all bars against races by name; return a row for each bar.

    In a row, `holds` is None if the bar has no limit, is not for this Python, or could not be measured, for example
    because a library is absent.
    """
    return [check_bar(bar, races, version) for bar in BARS]


def check_bar(bar, races, version):
    """Check one bar; return its row."""
    values = {
        ratio.label: races[ratio.race].ratio(ratio.numerator, ratio.denominator)
        for ratio in bar.ratios
        if ratio.race in races and ratio.numerator in races[ratio.race] and ratio.denominator in races[ratio.race]
    }
    row = {"what": bar.what, "limit": bar.limit, "values": values, "worst": None, "where": "", "holds": None}
    row["where"] = bar.reason_not_to_apply(version)
    if row["where"]:
        return row
    complete = len(values) == len(bar.ratios)
    if not complete:
        row["where"] = "not measured"
    if values:
        where = bar.worst(values, key=values.get)
        row.update(worst=values[where], where=where if len(values) > 1 else row["where"])
        holds = bar.holds(values[where])
        if holds is False:
            row["holds"] = False
            row["where"] = explain_miss(bar, races) or row["where"]
        elif complete:
            row["holds"] = holds
    return row


def explain_miss(bar, races):
    """Return what the floor reaches, if a bar that compares with another library is missed; else the empty string."""
    ratio, times = bar.ratios[0], races[bar.ratios[0].race]
    if bar.at_least is None or len(bar.ratios) > 1 or FLOOR not in times or ratio.denominator != OURS:
        return ""
    return f"the floor itself: {times.ratio(ratio.numerator, FLOOR):.2f}"
