"""Races of emission: all libraries that support a case, and one sender among a million."""

from .cases import Case, CaseSetup, IncorrectResult, contestants_for
from .contestants import load_contestants
from .timing import Race, race, stopwatch

FAVOURITES = ("the floor", "cyevents", "cyevents by name")
SENDERS = (1, 1_000, 1_000_000)


def emission_race(case, seconds, sittings=3):
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
            race(watches, seconds / sittings, into=result, favourites=FAVOURITES)
        finally:
            stage.clean_up(contestants)
    return result, incorrect


def among_senders(name, numbers, seconds, handlers=1):
    """Race one library's emission for one sender among different numbers of others."""
    contestant = load_contestants()[0][name]
    watches = {}
    stages = []
    for number in numbers:
        stage = CaseSetup(Case("sender", handlers, number))
        stages.append(stage)
        watches[f"{name}, {number:,}"] = stage.prepare(contestant)
    try:
        return race(watches, seconds)
    finally:
        stages[0].clean_up([contestant])


def empty_loop(seconds=0.1):
    """Time the harness itself: its loop, and the loop with a call of the builtin `id`."""
    return race({"loop": stopwatch("pass"), "loop and call": stopwatch("emit(sender)", emit=id, sender=None)}, seconds)
