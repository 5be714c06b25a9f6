"""Races of emission: every library that can, case by case; and one event among a million senders."""

from .cases import Case, Stage, Wrong, able
from .contestants import muster
from .timing import Race, race, stopwatch

FAVOURITES = ("the floor", "cyevents", "cyevents by name")
SENDERS = (1, 1_000, 1_000_000)


def emission(case, seconds, sittings=3):
    """Race all that can do a case, some times with new objects; the `Race`, and what failed the proof and why."""
    present, _ = muster()
    result = Race()
    wrong = {}
    for _ in range(sittings):
        stage = Stage(case)
        contestants = able(case, present)
        watches = {}
        for contestant in contestants:
            try:
                watches[contestant.name] = stage.enter(contestant)
            except Wrong as error:
                wrong[contestant.name] = str(error)
        try:
            race(watches, seconds / sittings, into=result, favourites=FAVOURITES)
        finally:
            stage.leave(contestants)
    return result, wrong


def among_senders(name, numbers, seconds, handlers=1):
    """Race one library's emission for one sender among different numbers of others."""
    contestant = muster()[0][name]
    watches = {}
    stages = []
    for number in numbers:
        stage = Stage(Case("sender", handlers, number))
        stages.append(stage)
        watches[f"{name}, {number:,}"] = stage.enter(contestant)
    try:
        return race(watches, seconds)
    finally:
        stages[0].leave([contestant])


def empty_loop(seconds=0.1):
    """What the harness itself costs: its loop, and the loop with a call of a builtin that does next to nothing."""
    return race({"loop": stopwatch("pass"), "loop and call": stopwatch("emit(sender)", emit=id, sender=None)}, seconds)
