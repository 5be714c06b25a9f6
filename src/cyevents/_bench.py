"""A short benchmark of cyevents and of comparable libraries, as far as they are installed."""

from __future__ import annotations

import gc
import statistics
import sys
import time
from functools import partial
from itertools import repeat
from textwrap import shorten

from . import Event, __version__, backend

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    Handlers = list[Callable[..., None]]
    Emission = Callable[[object], object]

COUNTS = (1, 10, 100)  # of handlers
EMISSIONS = 1000  # in a round; fewer if they are slow
OURS = "cyevents"
NOISE = 0.15  # the spread of rounds above which the figures are not exact


class Sender:
    """The sender of the emissions."""


def _handler() -> Callable[..., None]:
    def handler(sender: object, **kwargs: object) -> None:
        pass

    return handler


# Each contestant connects the handlers, and returns a function that emits.


def _connect_all(handlers: Handlers, connect: Callable[..., object], emission: Emission) -> Emission:
    for handler in handlers:
        connect(handler)
    return emission


def _cyevents(handlers: Handlers) -> Emission:
    event: Event[Any] = Event("bench")
    return _connect_all(handlers, event.connect, event.emit)


def _loop(handlers: Handlers) -> Emission:
    def emit(sender: object, **kwargs: object) -> list[object]:
        results = []
        for handler in handlers:
            result: object = handler(sender, **kwargs)
            if result is False:
                break
            if result is not None:
                results.append(result)
        return results

    return emit


def _blinker(handlers: Handlers) -> Emission:
    from blinker import Signal

    signal = Signal()
    return _connect_all(handlers, signal.connect, signal.send)


def _django(handlers: Handlers) -> Emission:
    from django.dispatch import Signal  # type: ignore[import-untyped, import-not-found, unused-ignore]

    signal = Signal(use_caching=True)
    return _connect_all(handlers, signal.connect, signal.send)


def _pyee(handlers: Handlers) -> Emission:
    from pyee import EventEmitter  # type: ignore[import-not-found, unused-ignore]

    emitter = EventEmitter()
    return _connect_all(handlers, partial(emitter.add_listener, "bench"), partial(emitter.emit, "bench"))


def _psygnal(handlers: Handlers) -> Emission:
    from psygnal import SignalInstance  # type: ignore[import-not-found, unused-ignore]

    signal = SignalInstance((object,))
    return _connect_all(handlers, signal.connect, signal.emit)


def _eventkit(handlers: Handlers) -> Emission:
    from eventkit import Event as EventkitEvent  # type: ignore[import-not-found, import-untyped, unused-ignore]

    event = EventkitEvent("bench")
    return _connect_all(handlers, event.connect, event.emit)


CONTESTANTS: dict[str, Callable[[Handlers], Emission]] = {
    OURS: _cyevents,
    "a loop in Python": _loop,
    "eventkit": _eventkit,
    "pyee": _pyee,
    "psygnal": _psygnal,
    "Django (caching)": _django,
    "blinker": _blinker,
}


def run(seconds: float = 1.0) -> int:
    """Time emissions of each installed contestant, and print a table.

    Args:
        seconds: how long to measure each number of handlers.

    Returns:
        The exit code: 0, or 1 if a contestant did not call all its handlers.
    """
    print(f"cyevents {__version__} ({backend}), Python {sys.version.split()[0]}")
    print("Nanoseconds of one emission to handlers (sender, **kwargs), as medians.")
    print("In brackets: how many times as long as cyevents.")
    absent: dict[str, str] = {}
    table: dict[str, list[str]] = {name: [] for name in CONTESTANTS}
    worst = 0.0
    for count in COUNTS:
        handlers = [_handler() for _ in range(count)]
        emissions: dict[str, Emission] = {}
        for name, contestant in CONTESTANTS.items():
            if name in absent:
                continue
            try:
                emissions[name] = contestant(handlers)
            except Exception as error:  # importing a broken library may raise anything
                absent[name] = "" if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
                continue
            calls = _calls(emissions[name], handlers[0])
            if calls != count:
                print(f"{name} has called {calls} of {count} handlers", file=sys.stderr)
                return 1
        medians, spread = _race(emissions, seconds)
        worst = max(worst, spread)
        for name, median in medians.items():
            ratio = round(median) / round(medians[OURS])  # of the figures that are shown
            table[name].append(f"{median:>10,.0f} ns {f'({ratio:.1f})':>6}")
    print(f"{'':17}" + "".join(f"{f'{count} handlers' if count > 1 else '1 handler':>20}" for count in COUNTS))
    for name, cells in table.items():
        if name not in absent:
            print(f"{name:17}" + "".join(f"{cell:>20}" for cell in cells))
    if missing := ", ".join(name for name, why in absent.items() if not why):
        print(f"Not installed: {missing}")
    for name, why in absent.items():
        if why:
            print(shorten(f"Left out: {name}, {why}", 79, placeholder="..."))
    if worst > NOISE:
        print(f"\nThis machine is too busy for exact figures: rounds vary by {worst:.0%}.")
        print("End other programs, or measure for longer, such as with --seconds 10.")
    return 0


def _calls(emit: Emission, handler: Callable[..., None]) -> int:
    """Return how many handlers an emission calls, which all have the code of this one."""
    calls = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code is handler.__code__

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        emit(Sender())
    finally:
        sys.setprofile(before)
    return calls


def _race(emissions: dict[str, Emission], seconds: float) -> tuple[dict[str, float], float]:
    """Return the median nanoseconds of each, from interleaved rounds, and the spread of the rounds of cyevents.

    The spread is the distance between the quartiles, as a part of the median.
    """
    numbers = {name: max(5, min(EMISSIONS, int(2e6 / _round(emit, 5)))) for name, emit in emissions.items()}
    rounds: list[dict[str, float]] = []
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter() + seconds
        while len(rounds) < 5 or time.perf_counter() < end:
            rounds.append({name: _round(emit, numbers[name]) for name, emit in emissions.items()})
    finally:
        if was_on:
            gc.enable()
    low, middle, high = statistics.quantiles([each[OURS] for each in rounds])
    medians = {name: statistics.median(each[name] for each in rounds) for name in emissions}
    return medians, (high - low) / middle


def _round(emit: Emission, number: int) -> float:
    """Return the nanoseconds of one emission, as the mean of a number of them."""
    sender = Sender()
    start = time.perf_counter_ns()
    for _ in repeat(None, number):
        emit(sender)
    return max(1, time.perf_counter_ns() - start) / number
