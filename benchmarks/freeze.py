"""Pauses of the garbage collector with many connections, before and after `gc.freeze()`."""

import gc
import statistics
import sys
import time
from collections import deque

import cyevents

CONNECTIONS = 100_000
EVENTS = 1_000


class Row:
    """An object that connects a method of its own, as views, records and sessions do."""

    def __init__(self, event):
        event.connect(self.update)

    def update(self, sender):
        """Do nothing."""


class Pauses:
    """The pauses of the collector inside a `with` block, by generation, in seconds."""

    def __enter__(self):
        self.of_generation = {0: [], 1: [], 2: []}
        gc.callbacks.append(self._note)
        return self

    def __exit__(self, *exception):
        gc.callbacks.remove(self._note)

    def _note(self, phase, info):
        if phase == "start":
            self._began = time.perf_counter()
        else:
            self.of_generation[info["generation"]].append(time.perf_counter() - self._began)


def wire(connections):
    """Return a namespace with so many connections, and the objects that have them."""
    namespace = cyevents.Namespace()
    events = [namespace.event(f"changed.{number}") for number in range(min(EVENTS, connections))]
    rows = [Row(events[number % len(events)]) for number in range(connections)]
    namespace.settle()
    return namespace, rows


def pause(rounds):
    """Return the median pause of a full collection, in seconds."""
    with Pauses() as pauses:
        for _ in range(rounds):
            gc.collect()
    return statistics.median(pauses.of_generation[2])


def emit(namespace, emissions):
    """Emit, with a handler that keeps what it gets for a while; return the pauses of full collections, in seconds."""
    history = deque(maxlen=emissions // 4)

    def handler(sender):
        history.append([sender])

    event = namespace.event("ticked")
    event.connect(handler)
    with Pauses() as pauses:
        for number in range(emissions):
            event.emit(number)
    return pauses.of_generation[2]


def measure(connections=CONNECTIONS, rounds=9, emissions=2_000_000):
    """Return the pauses of `gc.collect()` and of full collections while emitting, in seconds: before and after."""
    kept = wire(connections)
    collecting, emitting = [], []
    for freeze in (gc.collect, gc.freeze):
        freeze()
        collecting.append([pause(rounds)])
        emitting.append(emit(kept[0], emissions))
    gc.unfreeze()
    return {"gc.collect()": collecting, "a full collection while emitting": emitting}


def main():
    """Print the table."""
    version = sys.version.split()[0]
    print(f"{CONNECTIONS:,} connections, Python {version}, core {cyevents.backend}: before and after gc.freeze()")
    for name, both in measure().items():
        shown = [f"{statistics.median(times) * 1000:8.2f} ms ({len(times)})" if times else "none" for times in both]
        print(f"{name:35}" + "".join(f"{text:>20}" for text in shown))


if __name__ == "__main__":
    main()
