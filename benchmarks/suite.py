"""The steps of a run: brief (only checks that all contestants are correct), quick (some minutes) or full."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from time import perf_counter

from . import async_cases, connections, emissions, flask_case, imports, mailboxes, memory, tail, threads, wildcards
from .cases import Case, cases
from .contestants import ONE_BY_ONE, load_contestants
from .timing import FEWEST, Race

# Contestants of a library that another contestant has measured already.
TWINS = ("psygnal emit_fast", "Django (caching)")
MEMORY_IN_BRIEF = ("cyevents", "blinker")
SENDERS_TO_CONNECT = 15  # seconds that a million connections and their senders take


@dataclass(frozen=True)
class Step:
    """One part of a run, and about how many seconds it takes."""

    description: str
    seconds: float
    run: Callable[[], None]


class Suite:
    """The steps of a run, and their results. `factor` makes all of them shorter or longer."""

    def __init__(self, mode="quick", factor=1.0):
        self.mode = mode
        self.factor = factor
        self.races = {}
        self.incorrect = {}  # contestant and case: why
        self.skipped = {}  # step: why
        self.taken = {}  # step: seconds
        self.imported = {}  # contestant: the modules that its import loads
        self.present, self.absent = load_contestants()
        self.scale = {"brief": 0.01, "quick": 0.85, "full": 6.0}[mode] * factor

    def steps(self):
        """Return the steps of this run."""
        return [
            *self.emission_steps(),
            *self.change_steps(),
            *self.async_steps(),
            *self.mailbox_steps(),
            *self.other_steps(),
        ]

    def emission_steps(self):
        """Yield the steps that time emissions."""
        brief, full = self.mode == "brief", self.mode == "full"
        scale = self.scale
        yield self.step("the harness itself", 0.2 * scale, "harness", emissions.empty_loop)
        counts = (0, 1, 10, 100) if brief else (0, 1, 10, 100, 1000)
        for case in cases(("plain", "**kwargs", "keywords", "results"), counts):
            yield self.emission_step(case, 2.4 * scale)
        for case in cases(("methods", "condition true"), counts[1:] if full else (1, 10, 100)):
            yield self.emission_step(case, 1.5 * scale)
        for case in cases(("condition false", "cancelled"), counts[1:] if full else (10,)):
            yield self.emission_step(case, 1 * scale)
        for case in cases(("by name",), counts[1:] if full else (1, 10)):
            yield self.emission_step(case, 1.5 * scale)
        for others in (1,) if brief else (1, 1_000):
            yield self.emission_step(Case("sender", 1, others), 1 * scale)
        if "cyevents" in self.present:
            yield self.step("event.emit looked up", 1.5 * scale, "lookup", emissions.lookup_race)
            yield self.step("events of objects", 1.5 * scale, "bound", emissions.bound_race)
            numbers = (1, 100) if brief else emissions.SENDERS
            for name in ("cyevents", "cyevents (pure)", "blinker") if full else ("cyevents",):
                if name in self.present:
                    yield self.step(
                        f"one sender among a million: {name}",
                        1.5 * scale,
                        "among senders" + (f": {name}" if name != "cyevents" else ""),
                        lambda seconds, name=name: emissions.among_senders(name, numbers, seconds),
                        0 if brief else SENDERS_TO_CONNECT * (3 if "pure" in name else 1),
                    )
        yield Step("the tail", self.tail_seconds(), self.measure_tail)
        reason = threads.skip_reason()
        if reason:
            self.skipped["threads that emit at the same time"] = reason
        else:
            laps, rounds = {"brief": (1, 2), "quick": (7, 50), "full": (15, 200)}[self.mode]
            rounds = max(1, round(rounds * self.factor))
            yield Step("threads", 0.15 * laps * rounds, lambda: self.add("threads", threads.thread_race(laps, rounds)))

    def change_steps(self):
        """Yield the steps that time changes of connections."""
        brief, full = self.mode == "brief", self.mode == "full"
        scale = self.scale
        handlers = 20 if brief else connections.HANDLERS
        for name, disconnecting, seconds in (("connect", False, 4 * scale), ("disconnect", True, 2 * scale)):
            yield self.step(
                name,
                seconds,
                name,
                lambda seconds, disconnecting=disconnecting: connections.connect_race(
                    seconds, disconnecting, handlers, 1 if brief else 2
                ),
            )
        yield self.step("churn", 2 * scale, "churn", connections.churn_race)
        laps = {"brief": 1, "quick": 51, "full": 301}[self.mode]
        laps = max(1, round(laps * self.factor))
        for count in (100,) if brief else (1_000, 10_000):
            yield Step(
                f"the emission after a connect, {count:,}",
                laps * count * 8e-6,
                lambda count=count: self.add(
                    f"after a connect, {count:,}", connections.after_connect_race(count, laps)
                ),
            )
        laps = {"brief": 1, "quick": 25, "full": 151}[self.mode]
        laps = max(1, round(laps * self.factor))
        senders = 10 if brief else 1_000
        yield Step(
            "the first emission of a sender",
            laps * senders * 5e-5,
            lambda: self.add("first emission", connections.first_emission_race(laps, senders)),
        )
        lives = (10, 100) if brief else (10, 100_000)
        yield self.step(
            "a sender for each request", 3 * scale, "request", lambda seconds: connections.request_race(seconds, lives)
        )
        if "cyevents" in self.present:
            many = (1, "cyevents", 10, 1_000) if brief else (7 if full else 3,)
            yield Step(
                "a million connections",
                0 if brief else 2 * many[0],
                lambda: self.add("million", connections.million_race(*many)),
            )
        for matching in ("none", "one", "all"):
            yield self.step(
                f"wildcards: {matching} matching",
                0.6 * scale,
                f"wildcards, {matching}",
                lambda seconds, matching=matching: wildcards.wildcard_race(
                    matching, seconds, 100 if brief else wildcards.PATTERNS
                ),
            )

    def async_steps(self):
        """Yield the steps that time awaited emissions."""
        for loop in async_cases.loops():
            for kind in async_cases.KINDS:
                alone = kind not in ("through", "suspending")
                if loop != "asyncio" and alone:
                    continue
                for count in (10,) if self.mode == "brief" or alone else async_cases.COUNTS:
                    seconds = (2 if loop == "asyncio" else 0.7) * self.scale
                    yield Step(
                        f"async, {kind}, {loop} {count}",
                        seconds,
                        lambda loop=loop, kind=kind, count=count, seconds=seconds: self.measure_async(
                            loop, kind, count, seconds
                        ),
                    )

    def mailbox_steps(self):
        """Yield the steps that time calls that another thread makes."""
        for kind, count in product(mailboxes.BY_HAND, mailboxes.COUNTS):
            yield Step(
                f"{kind}, {count}",
                3 * self.scale,
                lambda kind=kind, count=count: self.measure_mailbox(kind, count, 3 * self.scale),
            )
        laps, emissions = {"brief": (1, 20), "quick": (9, 1_000), "full": (25, 4_000)}[self.mode]
        laps = max(1, round(laps * self.factor))
        for kind in mailboxes.BY_HAND:
            yield Step(
                f"{kind} latency",
                laps * emissions * mailboxes.INTERVAL * 4,
                lambda kind=kind: self.races.update(mailboxes.latency_races(laps, emissions, kind=kind)),
            )

    def other_steps(self):
        """Yield the steps that measure a Flask application, memory and imports."""
        reason = flask_case.skip_reason()
        if reason:
            self.skipped["a Flask application"] = reason
        else:
            for count in flask_case.RECEIVERS:
                for what, whole in (("requests", True), ("signals alone", False)):
                    name = f"Flask, {what}, {count}"
                    yield self.step(
                        name,
                        self.scale,
                        name,
                        lambda seconds, count=count, whole=whole: flask_case.flask_race(count, seconds, whole),
                    )
        for name, one in self.present.items():
            if ONE_BY_ONE in one.abilities and name not in TWINS and (self.mode != "brief" or name in MEMORY_IN_BRIEF):
                yield Step(f"memory: {name}", 1.5, lambda name=name: self.measure_memory(name))
        rounds = {"brief": 1, "quick": 11, "full": 41}[self.mode]
        rounds = max(1, round(rounds * self.factor))
        yield Step("cold imports", (rounds + 1) * 0.1 * len(self.present), lambda: self.measure_imports(rounds))

    def run(self, step):
        """Run a step, and note how long it takes."""
        start = perf_counter()
        step.run()
        self.taken[step.description] = perf_counter() - start

    def step(self, description, seconds, name, make_race, extra=0):
        """Return a step that adds one race, which `make_race` runs for `seconds`, after `extra` of preparation."""
        return Step(description, seconds + extra, lambda: self.add(name, make_race(seconds)))

    def emission_step(self, case, seconds):
        least = 0 if self.mode == "brief" else min(5, 0.05 * case.handlers)  # the first laps, which all have
        return Step(f"emission: {case.key}", max(seconds, least), lambda: self.measure_emission(case, seconds))

    def tail_seconds(self):
        return {"brief": 2, "quick": 15, "full": 700}[self.mode] * self.factor

    def add(self, name, race):
        self.races[name] = race

    def measure_emission(self, case, seconds):
        race, incorrect = emissions.emission_race(case, seconds, *((1, 1) if self.mode == "brief" else (3, FEWEST)))
        self.races[case.key] = race
        self.incorrect.update({f"{name}, {case.key}": why for name, why in incorrect.items()})

    def measure_tail(self):
        lengths = {"brief": (2_000, 1, 0.02), "quick": (500_000, 5, 0.5), "full": (tail.EMISSIONS, 20, 20)}
        emissions, laps, seconds = lengths[self.mode]
        races, failed = tail.measure(
            max(2_000, round(emissions * self.factor)), laps, seconds * self.factor, everything=self.mode != "quick"
        )
        self.races.update(races)
        self.skipped.update({f"the tail of {name} beside changes": why for name, why in failed.items()})

    def measure_mailbox(self, kind, count, seconds):
        name = f"{kind} {count}"
        self.races[name], incorrect = mailboxes.throughput_race(
            count, seconds, *((100, 1) if self.mode == "brief" else ()), kind=kind
        )
        self.incorrect.update({f"{contestant}, {name}": why for contestant, why in incorrect.items()})

    def measure_async(self, loop, kind, count, seconds):
        name = f"async, {kind}, {loop} {count}"
        race, incorrect, absent = async_cases.async_race(
            loop, kind, count, seconds, *((1, 1) if self.mode == "brief" else (2, FEWEST))
        )
        self.races[name] = race
        self.incorrect.update({f"{contestant}, {name}": why for contestant, why in incorrect.items()})
        if "eager tasks" in absent:
            self.skipped["hand-written eager tasks"] = absent["eager tasks"]

    def measure_memory(self, name):
        found = memory.measure([name])
        if found["memory"].median(name) < 1:
            self.skipped[f"memory of {name}"] = "it has its own allocator, which tracemalloc does not see"
            return
        for measure, race in found.items():
            if race.median(name) >= 1:  # those with one global emitter need none for another
                self.races.setdefault(measure, Race()).record(name, 0, race.median(name))

    def measure_imports(self, rounds):
        modules = {
            one.name: one.module
            for one in self.present.values()
            if one.module and ONE_BY_ONE in one.abilities and one.name not in TWINS
        }
        self.races["import"], self.imported, failed = imports.measure(modules, rounds)
        self.skipped.update({f"import of {name}": why for name, why in failed.items()})
        if "cyevents" in self.imported:
            brought = self.races["import brings"] = Race()
            brought.record("cyevents", 0, len(imports.forbidden(self.imported["cyevents"])))
            brought.record("one", 0, 1)
