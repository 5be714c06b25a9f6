"""The steps of a run: brief (only checks that all contestants are correct), quick (under three minutes) or full."""

from . import async_cases, connections, emissions, flask_case, imports, memory, threads, wildcards
from .cases import Case, cases
from .contestants import ONE_BY_ONE, load_contestants
from .timing import Race


class Suite:
    """The steps of a run, and their results."""

    def __init__(self, mode="quick"):
        self.mode = mode
        self.races = {}
        self.incorrect = {}  # contestant and case: why
        self.skipped = {}  # step: why
        self.imported = {}  # contestant: the modules that its import loads
        self.present, self.absent = load_contestants()
        self.scale = {"brief": 0.01, "quick": 0.85, "full": 6.0}[mode]

    def steps(self):
        """Yield the description of each step and a function that runs it."""
        brief, full = self.mode == "brief", self.mode == "full"
        scale = self.scale
        yield "the harness itself", lambda: self.add("harness", emissions.empty_loop(0.2 * scale))
        counts = (0, 1, 10, 100) if brief else (0, 1, 10, 100, 1000)
        for case in cases(("plain", "**kwargs", "keywords", "results"), counts):
            yield f"emission: {case.key}", lambda case=case: self.measure_emission(case, 2.4 * scale)
        for case in cases(("methods", "condition true"), counts[1:] if full else (1, 10, 100)):
            yield f"emission: {case.key}", lambda case=case: self.measure_emission(case, 1.5 * scale)
        for case in cases(("condition false", "cancelled"), counts[1:] if full else (10,)):
            yield f"emission: {case.key}", lambda case=case: self.measure_emission(case, 1 * scale)
        for case in cases(("by name",), counts[1:] if full else (1, 10)):
            yield f"emission: {case.key}", lambda case=case: self.measure_emission(case, 1.5 * scale)
        for others in (1, 1_000) if full or not brief else (1,):
            case = Case("sender", 1, others)
            yield f"emission: {case.key}", lambda case=case: self.measure_emission(case, 1 * scale)
        if "cyevents" in self.present:
            numbers = (1, 100) if brief else emissions.SENDERS
            yield (
                "one sender among a million",
                lambda: self.add("among senders", emissions.among_senders("cyevents", numbers, 1.5 * scale)),
            )
            if full:
                for name in ("cyevents (pure)", "blinker"):
                    yield (
                        f"one sender among a million: {name}",
                        lambda name=name: self.add(
                            f"among senders: {name}", emissions.among_senders(name, numbers, 1.5 * scale)
                        ),
                    )
        handlers = 20 if brief else connections.HANDLERS
        yield "connect", lambda: self.add("connect", connections.connect_race(4 * scale, handlers=handlers))
        yield (
            "disconnect",
            lambda: self.add("disconnect", connections.connect_race(2 * scale, True, handlers=handlers)),
        )
        yield "churn", lambda: self.add("churn", connections.churn_race(2 * scale))
        lives = (10, 100) if brief else (10, 100_000)
        yield "a sender for each request", lambda: self.add("request", connections.request_race(3 * scale, lives))
        if "cyevents" in self.present:
            many = (1, "cyevents", 10, 1_000) if brief else (3 if not full else 7,)
            yield "a million connections", lambda: self.add("million", connections.million_race(*many))
        for matching in ("none", "one", "all"):
            yield (
                f"wildcards: {matching} matching",
                lambda matching=matching: self.add(
                    f"wildcards, {matching}",
                    wildcards.wildcard_race(matching, 0.6 * scale, 100 if brief else wildcards.PATTERNS),
                ),
            )
        for loop in async_cases.loops():
            for kind, suspends in (("through", False), ("suspending", True)):
                for count in (10,) if brief else async_cases.COUNTS:
                    yield (
                        f"async, {kind}, {loop} {count}",
                        lambda loop=loop, kind=kind, suspends=suspends, count=count: self.measure_async(
                            loop, kind, suspends, count, (2 if loop == "asyncio" else 0.7) * scale
                        ),
                    )
        reason = flask_case.skip_reason()
        if reason:
            self.skipped["a Flask application"] = reason
        else:
            for count in flask_case.RECEIVERS:
                for what, whole in (("requests", True), ("signals alone", False)):
                    name = f"Flask, {what}, {count}"
                    yield (
                        name,
                        lambda name=name, count=count, whole=whole: self.add(
                            name, flask_case.flask_race(count, scale, whole)
                        ),
                    )
        if not brief:
            for name, one in self.present.items():
                if ONE_BY_ONE in one.abilities and name != "psygnal emit_fast" and name != "Django (caching)":
                    yield f"memory: {name}", lambda name=name: self.measure_memory(name)
        yield "cold imports", lambda: self.measure_imports({"brief": 1, "quick": 11, "full": 41}[self.mode])
        reason = threads.skip_reason()
        if reason:
            self.skipped["threads that emit at the same time"] = reason
        elif "cyevents" in self.present:
            yield "threads", lambda: self.add("threads", threads.thread_race())

    def add(self, name, race):
        self.races[name] = race

    def measure_emission(self, case, seconds):
        race, incorrect = emissions.emission_race(case, seconds, sittings=1 if self.mode == "brief" else 3)
        self.races[case.key] = race
        self.incorrect.update({f"{name}, {case.key}": why for name, why in incorrect.items()})

    def measure_async(self, loop, kind, suspends, count, seconds):
        name = f"async, {kind}, {loop} {count}"
        race, incorrect, absent = async_cases.async_race(loop, suspends, count, seconds)
        self.races[name] = race
        self.incorrect.update({f"{contestant}, {name}": why for contestant, why in incorrect.items()})
        if "eager tasks" in absent:
            self.skipped["hand-written eager tasks"] = absent["eager tasks"]

    def measure_memory(self, name):
        race = self.races.setdefault("memory", Race())
        for contestant, laps in memory.measure([name]).times.items():
            if laps[0] >= 1:
                race.record(contestant, 0, laps[0])
            else:
                self.skipped[f"memory of {contestant}"] = "it has its own allocator, which tracemalloc does not see"

    def measure_imports(self, rounds):
        modules = {
            one.name: one.module
            for one in self.present.values()
            if one.module
            and not one.name.endswith("by name")
            and one.name not in ("psygnal emit_fast", "Django (caching)")
        }
        self.races["import"], self.imported = imports.measure(modules, rounds)
        if "cyevents" in self.imported:
            brought = self.races["import brings"] = Race()
            brought.record("cyevents", 0, len(imports.forbidden(self.imported["cyevents"])))
            brought.record("one", 0, 1)
