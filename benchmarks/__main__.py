"""Time emissions of cyevents beside blinker's, interleaved, and fail where the bar does not hold."""

import gc
import platform
import statistics
import sys
import time
from collections.abc import Callable
from types import FrameType

import blinker

import cyevents

HANDLERS = (1, 10, 100)
BAR = {10: 10.0}  # handlers: times faster than blinker, at least
ROUNDS = 25
CALLS = 10_000  # handler calls a round


def make_handler() -> Callable[[object], None]:
    """Make a plain function of its own."""

    def handler(sender: object) -> None:
        pass

    return handler


def calls_of(emit: Callable[[object], object], handler: Callable[..., None]) -> int:
    """Count how many functions with a handler's code an emission calls."""
    calls = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code is handler.__code__

    sys.setprofile(profile)
    try:
        emit("sender")
    finally:
        sys.setprofile(None)
    return calls


def contestants(handlers: list[Callable[[object], None]]) -> dict[str, Callable[[object], object]]:
    """Make each library's emission to those handlers, held weakly; and prove that it calls them all."""
    event = cyevents.Event("benchmark")
    signal = blinker.Signal()
    for handler in handlers:
        event.connect(handler)
        signal.connect(handler)
    emissions: dict[str, Callable[[object], object]] = {"cyevents": event.emit, "blinker": signal.send}
    for name, emit in emissions.items():
        calls = calls_of(emit, handlers[0])
        if calls != len(handlers):
            sys.exit(f"{name} has called {calls} of {len(handlers)} handlers")
    return emissions


def round_of(emit: Callable[[object], object], times: int) -> float:
    """Nanoseconds for one emission, over many."""
    sender = object()
    start = time.perf_counter_ns()
    for _ in range(times):
        emit(sender)
    return (time.perf_counter_ns() - start) / times


def main() -> int:
    """Print the table; return the exit code."""
    print(f"cyevents {cyevents.__version__} ({cyevents.backend}), Python {platform.python_version()}")
    print(f"{'handlers':>8}  {'cyevents':>10}  {'blinker':>10}  ratio (medians of {ROUNDS} interleaved rounds)")
    failed = False
    gc.disable()
    for count in HANDLERS:
        handlers = [make_handler() for _ in range(count)]
        emissions = contestants(handlers)
        times = max(100, CALLS // count)
        rounds = [{name: round_of(emit, times) for name, emit in emissions.items()} for _ in range(ROUNDS)]
        medians = {name: statistics.median(each[name] for each in rounds) for name in emissions}
        ratio = statistics.median(each["blinker"] / each["cyevents"] for each in rounds)
        bar = BAR.get(count) if cyevents.backend == "cython" else None
        verdict = "" if bar is None else f"  bar {bar:g}: {'holds' if ratio >= bar else 'DOES NOT HOLD'}"
        failed = failed or (bar is not None and ratio < bar)
        print(f"{count:>8}  {medians['cyevents']:>7.0f} ns  {medians['blinker']:>7.0f} ns  {ratio:.1f}{verdict}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
