"""Memory per connection and per emitter: what ten thousand of them allocate, in a new interpreter for each library."""

import gc
import subprocess
import sys
import tracemalloc

from . import contestants as c
from .cases import Sender, any_keywords
from .timing import Race

HANDLERS = 10_000
EMITTERS = 10_000


def bytes_per_connection(cls):
    """Return the bytes per connection after an emission, without the handlers themselves."""
    contestant = cls()
    handlers = HANDLERS // 10 if contestant.slow_to_connect else HANDLERS
    functions = [any_keywords() for _ in range(handlers)]
    keep = []

    def fill(functions):
        emitter = contestant.make_emitter()
        connect, code = contestant.get_connect(emitter), c.compiled(contestant.connect_statement)
        for function in functions:
            exec(code, {"connect": connect, "handler": function})
        keep.append(emitter)
        emit = contestant.get_emit(emitter)
        for _ in range(2):
            c.run(contestant.emit_statement, emit=emit, sender=Sender())

    fill(functions[:10])  # allocates what is allocated once
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    fill(functions)
    gc.collect()
    return (tracemalloc.get_traced_memory()[0] - before) / handlers


def bytes_per_emitter(cls, emitters=EMITTERS):
    """Return the bytes of an emitter that has no handlers and was never emitted."""
    contestant = cls()
    keep = [contestant.make_emitter() for _ in range(10)]  # allocates what is allocated once
    keep += [None] * emitters
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for index in range(10, emitters + 10):
        keep[index] = contestant.make_emitter()
    gc.collect()
    return (tracemalloc.get_traced_memory()[0] - before) / emitters


MEASURES = {"memory": bytes_per_connection, "memory, emitter": bytes_per_emitter}


def measure(names):
    """Measure contestants by name; return by measure the bytes as a `Race` of one lap."""
    result = {measure: Race() for measure in MEASURES}
    for name in names:
        for measure, race in result.items():
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.memory", name, measure], capture_output=True, text=True, check=True
            )
            race.record(name, 0, float(done.stdout))
    return result


if __name__ == "__main__":
    print(MEASURES[sys.argv[2]](next(cls for cls in c.ALL if cls.name == sys.argv[1])))
