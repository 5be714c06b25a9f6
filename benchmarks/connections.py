"""Races of connecting: connect, disconnect, churn, a sender for each request, and a million handlers."""

import sys
from time import perf_counter_ns

from . import contestants as c
from .cases import Sender, any_keywords, plain
from .contestants import muster
from .timing import Race, quiet, race, stopwatch

HANDLERS = 1_000


class Proved:
    """A handler that counts its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, sender, **kwargs):
        self.calls += 1


def each(statement, **names):
    """A function that runs a statement once for each handler, and returns the nanoseconds."""
    parameters = "".join(f", {name}" for name in names)
    scope = {"clock": perf_counter_ns}
    exec(
        f"def run(handlers{parameters}):\n    start = clock()\n    for handler in handlers:\n        {statement}\n"
        "    return clock() - start",
        scope,
    )
    return scope["run"]


def connected(contestant, emitter, handlers):
    """Whether an emission reaches so many handlers."""
    calls = 0
    code = handlers[0].__code__

    def profile(frame, event, _):
        nonlocal calls
        calls += event == "call" and frame.f_code is code

    scope = {"emit": contestant.emission(emitter), "sender": Sender()}
    statement = c.compiled(contestant.emits)
    sys.setprofile(profile)
    try:
        exec(statement, scope)
    finally:
        sys.setprofile(None)
    return calls


def connecting(contestant, handlers, taking_out=False):
    """A stopwatch of connecting handlers to a new emitter, or of disconnecting them."""
    connect = each(contestant.connects, connect=None)
    disconnect = each(contestant.disconnects, disconnect=None)

    def watch(count):
        total = 0
        for _ in range(count):
            emitter = contestant.make()
            taken = 0
            if taking_out and contestant.disconnects == "disconnect(token)":
                connector = contestant.connector(emitter)
                tokens = [connector(handler) for handler in handlers]
                start = perf_counter_ns()
                disconnector = contestant.disconnector(emitter)
                for token in tokens:
                    disconnector(token)
                taken = perf_counter_ns() - start
            else:
                taken = connect(handlers, contestant.connector(emitter))
                if taking_out:
                    taken = disconnect(handlers, contestant.disconnector(emitter))
            total += taken
            if not taking_out:
                contestant.drop(emitter)
        return total

    emitter = contestant.make()
    contestant.drop(emitter)
    for handler in handlers:
        contestant.connect(emitter, handler)
    found = connected(contestant, emitter, handlers)
    contestant.drop(emitter)
    if found != len(handlers):
        raise AssertionError(f"{contestant.name} connects {found} of {len(handlers)} handlers")
    return watch


def all_of(kind):
    """The contestants that can do something."""
    return [one for one in muster()[0].values() if kind in one.can]


def connect_race(seconds, taking_out=False, handlers=HANDLERS):
    """Race connecting a thousand handlers to a new emitter, or disconnecting them."""
    functions = [any_keywords() for _ in range(handlers)]
    watches = {one.name: connecting(one, functions, taking_out) for one in all_of(c.ONE_BY_ONE)}
    return race(watches, seconds, fewest=3, per=handlers)


def churn_race(seconds):
    """Race connecting a handler, emitting and disconnecting it."""
    watches = {}
    keep = []
    for one in all_of(c.ONE_BY_ONE):
        if one.name == "bare loop":
            continue
        handler = any_keywords()
        emitter = one.make()
        keep.append((handler, emitter))
        statement = one.churns or "\n".join((one.connects, one.emits, one.disconnects))
        names = {
            "emitter": emitter,
            "handler": handler,
            "sender": Sender(),
            "emit": one.emission(emitter),
            "connect": one.connector(emitter),
            "disconnect": one.disconnector(emitter),
        }
        c.run(statement, **names)
        left = connected(one, emitter, [handler]) if one.name != "pyee" else 0
        if left:
            raise AssertionError(f"{one.name} still calls a handler that was disconnected")
        watches[one.name] = stopwatch(statement, **names)
    return race(watches, seconds)


REQUEST = "sender = Sender()\nconnect(handler, sender=sender)\nemit(sender)\ndel sender"


def request_watch(contestant, live):
    """A stopwatch of one request: a new sender, connected to, emitting and dropped, beside so many live ones."""
    emitter = contestant.make()
    handler = Proved()
    senders = [Sender() for _ in range(live)]
    quiet_handler = plain()
    for sender in senders:
        contestant.connect_for(emitter, quiet_handler, sender)
    names = {
        "Sender": Sender,
        "connect": emitter.connect,
        "emit": contestant.emission(emitter),
        "handler": handler,
    }
    for _ in range(3):
        c.run(REQUEST, **names)
    if handler.calls != 3:
        raise AssertionError(f"{contestant.name} has called {handler.calls} handlers for 3 requests")
    handler = quiet_handler
    names["handler"] = handler
    return stopwatch(REQUEST, **names, senders=senders, emitter=emitter)


def request_race(seconds, lives=(10, 100_000), names=("cyevents", "cyevents (pure)", "blinker")):
    """Race the per-request pattern, for each library beside few and many live senders."""
    present = muster()[0]
    watches = {
        f"{name}, {live:,}": request_watch(present[name], live) for name in names if name in present for live in lives
    }
    return race(watches, seconds)


def million_race(laps=3, name="cyevents", few=1_000, many=1_000_000):
    """Race connecting many handlers to one event against connecting few to each of many, per connection."""
    one = muster()[0][name]
    handlers = [plain() for _ in range(many)]
    connect = each(one.connects, connect=None)
    result = Race()
    with quiet():
        for lap in range(laps):
            for number in (few, many) if lap % 2 else (many, few):
                times = 1 if number == many else 100
                total = 0
                for _ in range(times):
                    emitter = one.make()
                    total += connect(handlers[:number], one.connector(emitter))
                result.record(f"{number:,}", lap, total / number / times)
                if lap == 0 and connected(one, emitter, handlers[:1]) != number:
                    raise AssertionError(f"{name} does not connect {number:,} handlers")
                del emitter
    return result
