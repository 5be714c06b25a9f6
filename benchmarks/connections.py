"""Races of changes: connect, disconnect, both with an emission, what follows a change, and a million handlers."""

import sys
from time import perf_counter_ns

from . import contestants as c
from .cases import Sender, any_keywords, plain
from .contestants import load_contestants
from .timing import Race, gc_disabled, race, stopwatch

HANDLERS = 1_000


class CountingHandler:
    """A handler that counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, sender, **kwargs):
        self.calls += 1


def loop_over_handlers(statement, **names):
    """Return a function that runs a statement once for each handler and returns the nanoseconds that it took."""
    parameters = "".join(f", {name}" for name in names)
    scope = {"clock": perf_counter_ns}
    exec(
        f"def run(handlers{parameters}):\n    start = clock()\n    for handler in handlers:\n        {statement}\n"
        "    return clock() - start",
        scope,
    )
    return scope["run"]


def count_calls(contestant, emitter, handlers, sender=None):
    """Return how many calls of these handlers, which share their code, one emission makes."""
    calls = 0
    code = handlers[0].__code__

    def profile(frame, event, _):
        nonlocal calls
        calls += event == "call" and frame.f_code is code

    scope = {"emit": contestant.get_emit(emitter), "sender": Sender() if sender is None else sender}
    statement = c.compiled(contestant.emit_statement)
    sys.setprofile(profile)
    try:
        exec(statement, scope)
    finally:
        sys.setprofile(None)
    return calls


def connecting_stopwatch(contestant, handlers, disconnecting=False):
    """Return a stopwatch of connecting handlers to a new emitter, or of disconnecting them."""
    connect = loop_over_handlers(contestant.connect_statement, connect=None)
    disconnect = loop_over_handlers(contestant.disconnect_statement, disconnect=None)

    def watch(count):
        total = 0
        for _ in range(count):
            emitter = contestant.make_emitter()
            elapsed = 0
            if disconnecting and contestant.disconnect_statement == "disconnect(token)":
                connect_one = contestant.get_connect(emitter)
                tokens = [connect_one(handler) for handler in handlers]
                start = perf_counter_ns()
                disconnect_one = contestant.get_disconnect(emitter)
                for token in tokens:
                    disconnect_one(token)
                elapsed = perf_counter_ns() - start
            else:
                elapsed = connect(handlers, contestant.get_connect(emitter))
                if disconnecting:
                    elapsed = disconnect(handlers, contestant.get_disconnect(emitter))
            total += elapsed
            if not disconnecting:
                contestant.drop(emitter)
        return total

    emitter = contestant.make_emitter()
    contestant.drop(emitter)
    for handler in handlers:
        contestant.connect(emitter, handler)
    found = count_calls(contestant, emitter, handlers)
    contestant.drop(emitter)
    if found != len(handlers):
        raise AssertionError(f"{contestant.name} connects {found} of {len(handlers)} handlers")
    return watch


def contestants_with(kind):
    """Return the contestants with an ability."""
    return [one for one in load_contestants()[0].values() if kind in one.abilities]


def connect_race(seconds, disconnecting=False, handlers=HANDLERS, emitters=2):
    """Race connecting a thousand handlers to new emitters, two per round, or disconnecting them."""
    functions = [any_keywords() for _ in range(handlers)]
    watches = {one.name: connecting_stopwatch(one, functions, disconnecting) for one in contestants_with(c.ONE_BY_ONE)}
    return race(watches, seconds, emissions=emitters, fewest=3, per=handlers)


def churn_race(seconds):
    """Race connecting a handler, emitting and disconnecting it."""
    watches = {}
    keep = []
    for one in contestants_with(c.ONE_BY_ONE) + contestants_with(c.CHANGES):
        handler = any_keywords()
        emitter = one.make_emitter()
        keep.append((handler, emitter))
        statement = one.churn_statement or "\n".join(
            (one.connect_statement, one.emit_statement, one.disconnect_statement)
        )
        names = {
            "emitter": emitter,
            "handler": handler,
            "sender": Sender(),
            "emit": one.get_emit(emitter),
            "connect": one.get_connect(emitter),
            "disconnect": one.get_disconnect(emitter),
        }
        c.run(statement, **names)
        left = count_calls(one, emitter, [handler]) if one.name != "pyee" else 0
        if left:
            raise AssertionError(f"{one.name} still calls a handler that was disconnected")
        watches[one.name] = stopwatch(statement, **names)
    return race(watches, seconds)


def after_connect_race(count, laps, names=("cyevents", "cyevents (pure)", "blinker")):
    """Race the emission that follows a `connect` against a plain emission, among `count` handlers."""
    present = load_contestants()[0]
    emissions = {}
    for name in names:
        if name in present:
            emissions[name] = AfterConnect(present[name], count)
    result = Race()
    with gc_disabled():
        for lap in range(-2, laps):  # the first two warm up
            for name, emission in emissions.items():
                plain_time, later_time = emission.measure()
                if lap >= 0:
                    result.record(f"{name}, plain", lap, plain_time)
                    result.record(f"{name}, after a connect", lap, later_time)
    return result


class AfterConnect:
    """An emitter with many handlers, of which one more is connected and disconnected again and again."""

    def __init__(self, contestant, count):
        self.contestant = contestant
        self.handlers = [plain() for _ in range(count + 1)]
        self.emitter = contestant.make_emitter()
        for handler in self.handlers[:-1]:
            contestant.connect(self.emitter, handler)
        self.emission = stopwatch(contestant.emit_statement, emit=contestant.get_emit(self.emitter), sender=Sender())
        self.change(contestant.connect_statement)
        found = count_calls(contestant, self.emitter, self.handlers)
        if found != count + 1:
            raise AssertionError(f"{contestant.name} calls {found} of {count + 1} handlers after a connect")
        self.change(contestant.disconnect_statement)

    def change(self, statement):
        """Connect or disconnect the last handler."""
        contestant, emitter = self.contestant, self.emitter
        c.run(
            statement,
            connect=contestant.get_connect(emitter),
            disconnect=contestant.get_disconnect(emitter),
            handler=self.handlers[-1],
        )

    def measure(self):
        """Return the nanoseconds of a plain emission, and of the one after a connect."""
        self.emission(1)  # what the last disconnect left to do
        plain_time = self.emission(1)
        self.change(self.contestant.connect_statement)
        later_time = self.emission(1)
        self.change(self.contestant.disconnect_statement)
        return plain_time, later_time


def first_emission_race(laps, senders=1_000, names=("cyevents", "cyevents (pure)", "blinker")):
    """Race the first emission of senders that have a handler of their own against their second one."""
    present = load_contestants()[0]
    result = Race()
    emit_all = {}
    for name in names:
        if name in present:
            one = present[name]
            source = "def run(emit, senders):\n    start = clock()\n    for sender in senders:\n"
            scope = {"clock": perf_counter_ns}
            exec(f"{source}        {one.emit_statement}\n    return clock() - start", scope)
            emit_all[name] = scope["run"]
    with gc_disabled():
        for lap in range(laps):
            for name, run in emit_all.items():
                one = present[name]
                emitter = one.make_emitter()
                handlers = [plain() for _ in range(10)]
                own = plain()
                for handler in handlers:
                    one.connect(emitter, handler)
                objects = [Sender() for _ in range(senders)]
                for sender in objects:
                    one.connect_for_sender(emitter, own, sender)
                emit = one.get_emit(emitter)
                c.run(one.emit_statement, emit=emit, sender=Sender())
                result.record(f"{name}, first", lap, run(emit, objects) / senders)
                result.record(f"{name}, second", lap, run(emit, objects) / senders)
                if lap == 0 and count_calls(one, emitter, handlers, objects[0]) != 11:
                    raise AssertionError(f"{name} does not call the handlers of a new sender")
                del emitter, emit
    return result


REQUEST = "sender = Sender()\nconnect(handler, sender=sender)\nemit(sender)\ndel sender"


def request_watch(contestant, live):
    """Return a stopwatch of one request: connect for a new sender, emit, drop it, while `live` other senders exist."""
    emitter = contestant.make_emitter()
    handler = CountingHandler()
    senders = [Sender() for _ in range(live)]
    quiet_handler = plain()
    for sender in senders:
        contestant.connect_for_sender(emitter, quiet_handler, sender)
    names = {
        "Sender": Sender,
        "connect": emitter.connect,
        "emit": contestant.get_emit(emitter),
        "handler": handler,
    }
    for _ in range(3):
        c.run(REQUEST, **names)
    if handler.calls != 3:
        raise AssertionError(f"{contestant.name} called {handler.calls} handlers for 3 requests")
    handler = quiet_handler
    names["handler"] = handler
    return stopwatch(REQUEST, **names, senders=senders, emitter=emitter)


def request_race(seconds, lives=(10, 100_000), names=("cyevents", "cyevents (pure)", "blinker")):
    """Race requests, for each library with few and with many live senders."""
    present = load_contestants()[0]
    watches = {
        f"{name}, {live:,}": request_watch(present[name], live) for name in names if name in present for live in lives
    }
    return race(watches, seconds)


def million_race(laps=3, name="cyevents", few=1_000, many=1_000_000):
    """Race connecting many handlers to one event against connecting few to each of many events, per connection."""
    one = load_contestants()[0][name]
    handlers = [plain() for _ in range(many)]
    connect = loop_over_handlers(one.connect_statement, connect=None)
    result = Race()
    with gc_disabled():
        for lap in range(laps):
            for number in (few, many) if lap % 2 else (many, few):
                times = 1 if number == many else 100
                total = 0
                for _ in range(times):
                    emitter = one.make_emitter()
                    total += connect(handlers[:number], one.get_connect(emitter))
                result.record(f"{number:,}", lap, total / number / times)
                if lap == 0 and count_calls(one, emitter, handlers[:1]) != number:
                    raise AssertionError(f"{name} does not connect {number:,} handlers")
                del emitter
    return result
