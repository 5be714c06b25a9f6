"""Runaway recursion of every shape raises RecursionError, in the main thread and on small stacks."""

import os
import subprocess
import sys
import textwrap

import pytest

TIMEOUT = 60  # seconds until a hanging child process fails

PRELUDE = """
import asyncio, functools, gc, sys, threading, warnings, weakref
from cyevents import Event, Namespace
warnings.simplefilter("ignore")  # coroutines without stack to start
gc.disable()
ns = Namespace()
x, y = ns.event("x"), ns.event("y")
kept = []

def connect(event, handler, **options):
    kept.append(handler)
    event.connect(handler, **options)
"""

SHAPES = {
    "condition": """
        def condition(sender, **kwargs):
            return x.emit(sender)
        def handler(sender): pass
        def on_error(error, handler, event, sender):
            raise error
        x.on_error = on_error
        connect(x, handler, condition=condition)
    """,
    "foreign condition": """
        def handler(sender): pass
        def on_error(error, handler, event, sender):
            raise error
        x.on_error = on_error
        connect(x, handler, condition=x.emit)
    """,
    "two events by builtins": """
        connect(x, y.emit, weak=False)
        connect(y, x.emit, weak=False)
    """,
    "partial": """
        connect(x, functools.partial(x.emit), weak=False)
    """,
    "partial of a partial by name": """
        connect(x, functools.partial(functools.partial(ns.emit, "x"), 1), weak=False)
    """,
    "callable object": """
        class Handler:
            def __call__(self, sender):
                return x.emit(sender)
        connect(x, Handler())
    """,
    "class as a handler": """
        class Handler:
            def __init__(self, sender):
                x.emit(sender)
        connect(x, Handler)
    """,
    "with keywords and the event": """
        def handler(sender, event, **kwargs):
            event.emit(sender, **kwargs, more=1) if "more" not in kwargs else event.emit(sender, **kwargs)
        connect(x, handler, with_event=True)
    """,
    "for a sender": """
        def handler(sender):
            ns.emit("x", sender)
        connect(x, handler, sender=1)
    """,
    "on_error": """
        def handler(sender):
            raise LookupError
        def on_error(error, handler, event, sender):
            if isinstance(error, RecursionError):
                raise error  # otherwise every level would try again
            event.emit(sender)
        x.on_error = on_error
        connect(x, handler)
    """,
    "generator": """
        def handler(sender):
            yield from x.emit(sender)
        connect(x, handler)
    """,
    "map": """
        def handler(sender):
            return list(map(x.emit, [sender]))
        connect(x, handler)
    """,
    "weak reference's callback": """
        class Thing: pass
        sys.unraisablehook = lambda report: None
        def handler(sender):
            thing = Thing()
            def callback(ref):
                x.emit(sender)
            ref = weakref.ref(thing, callback)
            del thing
        connect(x, handler)
    """,
    "emit_async": """
        async def handler(sender):
            await x.emit_async(sender)
        connect(x, handler)
    """,
    "emit_async, suspended": """
        async def handler(sender):
            await asyncio.sleep(0)
            await x.emit_async(sender)
        connect(x, handler)
    """,
    "emit_async of sync handlers": """
        def handler(sender):
            x.emit(sender)
        connect(x, handler)
    """,
    "emit_async of two events": """
        async def handler(sender):
            await ns.emit_async("y", sender)
        async def back(sender):
            await ns.emit_async("x", sender)
        connect(x, handler)
        connect(y, back)
    """,
    "emit_async as a handler": """
        connect(x, x.emit_async, weak=False)
    """,
}

EPILOGUE = """
def once():
    try:
        if ASYNC:
            asyncio.run(x.emit_async(1))
        else:
            x.emit(1)
    except RecursionError:
        return "RecursionError"
    return "nothing"

def well(sender):
    return "well"

def main():
    results = [once(), once()]
    for event in (x, y):
        event.clear()
        event.on_error = None
    x.connect(well)
    results.append(x.emit(1))
    print(*results)

if STACK:
    threading.stack_size(STACK)
    sys.setrecursionlimit(LIMIT)
    thread = threading.Thread(target=main)
    thread.start()
    thread.join()
else:
    main()
"""


def run(backend, shape, stack=0, limit=1000):
    values = f"ASYNC, STACK, LIMIT = {shape.startswith('emit_async')}, {stack}, {limit}\n"
    process = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", PRELUDE + textwrap.dedent(SHAPES[shape]) + values + EPILOGUE],
        env=os.environ | {"CYEVENTS_PURE_PYTHON": "0" if backend == "cython" else "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    return process.returncode, process.stdout, process.stderr[-2000:]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_raises_recursion_error(backend, shape):
    status, out, errors = run(backend, shape)
    reported = "nothing" if shape == "weak reference's callback" else "RecursionError"  # swallowed
    assert (status, out) == (0, f"{reported} {reported} ['well']\n"), errors


# 3.12 and 3.13 allow a fixed number of C calls, whatever the stack size. `class A: pass`, `A.__call__ = A()`, `A()()`
# crashes them on a stack of 1 MB, so shapes that recurse in C only get a stack of the usual size there.
SMALL = 1024 * 1024
USUAL = 8 * SMALL
FIXED_NUMBER = (3, 12) <= sys.version_info < (3, 14)


@pytest.mark.parametrize(
    "shape", ["two events by builtins", "foreign condition", "generator", "condition", "emit_async"]
)
def test_every_shape_on_a_small_stack(backend, shape):
    """The stack is as small as Python's own limit allows for Python functions that call each other through C."""
    stack = USUAL if FIXED_NUMBER and shape in ("two events by builtins", "foreign condition") else SMALL
    status, out, errors = run(backend, shape, stack=stack, limit=400)
    assert (status, out) == (0, "RecursionError RecursionError ['well']\n"), errors
