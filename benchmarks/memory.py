"""Memory per connection: allocated for ten thousand handlers, in a new interpreter for each library."""

import gc
import subprocess
import sys
import tracemalloc

from . import contestants as c
from .cases import Sender, any_keywords
from .timing import Race

HANDLERS = 10_000


def of(cls, handlers=HANDLERS):
    """Bytes per connection, after an emission: the handlers themselves are not counted."""
    contestant = cls()
    functions = [any_keywords() for _ in range(handlers)]
    keep = []

    def fill(functions):
        emitter = contestant.make()
        connect, code = contestant.connector(emitter), c.compiled(contestant.connects)
        for function in functions:
            exec(code, {"connect": connect, "handler": function})
        keep.append(emitter)
        emit = contestant.emission(emitter)
        for _ in range(2):
            c.run(contestant.emits, emit=emit, sender=Sender())

    fill(functions[:10])  # what is made once
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    fill(functions)
    gc.collect()
    return (tracemalloc.get_traced_memory()[0] - before) / handlers


def measure(names):
    """Bytes per connection of contestants by name, as a `Race` of one lap."""
    result = Race()
    for name in names:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.memory", name], capture_output=True, text=True, check=True
        )
        result.record(name, 0, float(done.stdout))
    return result


if __name__ == "__main__":
    print(next(of(cls) for cls in c.ALL if cls.name == sys.argv[1]))
