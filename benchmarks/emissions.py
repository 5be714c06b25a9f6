"""Races of emission: all libraries that support a case, and one sender among a million."""

import sys

from .cases import Case, CaseSetup, IncorrectResult, Sender, contestants_for, only_value, plain, with_value
from .contestants import compiled, load_contestants
from .timing import FEWEST, Race, race, stopwatch

FAVOURITES = ("the floor", "cyevents", "cyevents by name", "bare loop")
SENDERS = (1, 1_000, 1_000_000)


def emission_race(case, seconds, sittings=3, fewest=FEWEST):
    """Race the contestants that support a case, several times with new objects.

    Returns the `Race`, and by contestant why it was not correct.
    """
    present, _ = load_contestants()
    result = Race()
    incorrect = {}
    for _ in range(sittings):
        stage = CaseSetup(case)
        contestants = contestants_for(case, present)
        watches = {}
        for contestant in contestants:
            try:
                watches[contestant.name] = stage.prepare(contestant)
            except IncorrectResult as error:
                incorrect[contestant.name] = str(error)
        try:
            race(watches, seconds / sittings, into=result, fewest=fewest, favourites=FAVOURITES)
        finally:
            stage.clean_up(contestants)
    return result, incorrect


def among_senders(name, numbers, seconds, handlers=1):
    """Race one library's emission for one sender among different numbers of others.

    Beside it run the emission to as many handlers for any sender, and the same among `str` senders.
    """
    contestant = load_contestants()[0][name]
    cases = {f"{name}, {number:,}": Case("sender", handlers, number) for number in numbers}
    cases[f"{name}, any sender"] = Case("**kwargs", handlers)
    cases[f"{name}, {numbers[-1]:,} (str)"] = Case("sender", handlers, numbers[-1], by_value=True)
    cases[f"{name}, any sender (str)"] = Case("**kwargs", handlers, by_value=True)
    stages = {label: CaseSetup(case) for label, case in cases.items()}
    try:
        return race({label: stage.prepare(contestant) for label, stage in stages.items()}, seconds)
    finally:
        contestant.drop(None)


def lookup_race(seconds):
    """Race `event.emit(sender)`, which looks the method up each time, against a call of the bound method."""
    package = load_contestants()[0]["cyevents"].library
    watches = {}
    keep = []
    for label, doc in (("", None), (", with doc", "A documented event.")):
        event = package.Event("benchmark", doc=doc)
        handler = plain()
        event.connect(handler)
        keep.append(handler)
        names = {"event": event, "bound": event.emit, "sender": Sender()}
        for statement in ("bound(sender)", "event.emit(sender)"):
            found = count_calls_of(handler, statement, names)
            if found != 1:
                raise AssertionError(f"{statement}{label}: {found} calls instead of 1")
            watches[statement.replace("sender", "s") + label] = stopwatch(statement, **names, handler=handler)
    return race(watches, seconds)


def bound_race(seconds, counts=(0, 1, 10)):
    """Race events of objects, looked up on the object for each emission, against `event.emit(object, value)`.

    Beside them run signals of objects of psygnal, if it is there, whose handlers do not get the object.
    """
    present = load_contestants()[0]
    event_class = present["cyevents"].library.Event
    watches = {}
    for count in counts:
        handlers = [with_value() for _ in range(count)]
        emitter = type("Emitter", (), {"changed": event_class("benchmark")})()
        for handler in handlers:
            type(emitter).changed.connect(handler)
        names = {"event": type(emitter).changed, "t": emitter}
        for statement in ("event.emit(t, 21)", "t.changed.emit(21)"):
            found = count_calls_of(handlers[-1], statement, names) if handlers else 0
            if found != count:
                raise AssertionError(f"{statement}: {found} calls instead of {count}")
            watches[f"{statement}, {count}"] = stopwatch(statement, **names, handlers=handlers)
        if "psygnal emit" in present:
            other = type("Emitter", (), {"changed": present["psygnal emit"].library.Signal(int)})()
            for _ in handlers:
                other.changed.connect(only_value())  # it holds functions strongly
            watches[f"psygnal, {count}"] = stopwatch("t.changed.emit(21)", t=other)
    return race(watches, seconds)


def count_calls_of(handler, statement, names):
    """Return how many calls of a handler one run of a statement makes."""
    calls = 0

    def profile(frame, event, _):
        nonlocal calls
        calls += event == "call" and frame.f_code is handler.__code__

    code = compiled(statement)
    sys.setprofile(profile)
    try:
        exec(code, dict(names))
    finally:
        sys.setprofile(None)
    return calls


def empty_loop(seconds=0.1):
    """Time the harness itself: its loop, and the loop with a call of the builtin `id`."""
    return race({"loop": stopwatch("pass"), "loop and call": stopwatch("emit(sender)", emit=id, sender=None)}, seconds)
