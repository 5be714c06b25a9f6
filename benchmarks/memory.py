"""Memory per connection: what ten thousand connections allocate, in a new interpreter for each library."""

import gc
import subprocess
import sys
import tracemalloc

from . import contestants as c
from .cases import Sender, any_keywords
from .timing import Race

HANDLERS = 10_000


def bytes_per_connection(cls, handlers=HANDLERS):
    """Return the bytes per connection after an emission, without the handlers themselves."""
    contestant = cls()
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


def measure(names):
    """Measure contestants by name; return bytes per connection as a `Race` of one lap."""
    result = Race()
    for name in names:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.memory", name], capture_output=True, text=True, check=True
        )
        result.record(name, 0, float(done.stdout))
    return result


if __name__ == "__main__":
    print(next(bytes_per_connection(cls) for cls in c.ALL if cls.name == sys.argv[1]))
