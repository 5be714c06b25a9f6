"""Deliberate leaks of every kind: `leak_check` must find each of them."""

import ctypes
import sys

from leak_check import FREE_THREADED, main, scenario

from cyevents import Event


def handler(sender, **kwargs):
    pass


@scenario(cost=10)  # first, so that it does not find memory that others have freed
def memory_of_c():
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    yield lambda: ctypes.memset(libc.malloc(5_000), 1, 5_000)


@scenario
def an_object_that_is_kept():
    event, kept = Event("x"), []
    event.connect(handler)
    yield lambda: (event.emit(1), kept.append(b"".join([b"kept"] * 50)))


@scenario
def one_in_a_hundred():
    count, kept = 0, []

    def operation():
        nonlocal count
        count += 1
        if count % 100 == 0:
            kept.append([])

    yield operation


@scenario
def a_reference_too_many():
    sender = object()
    yield lambda: ctypes.pythonapi.Py_IncRef(ctypes.py_object(sender)), sender


@scenario
def a_reference_too_few():
    sender = object()
    for _ in range(100_000):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(sender))
    yield lambda: ctypes.pythonapi.Py_DecRef(ctypes.py_object(sender)), sender


@scenario
def a_large_object():
    kept = []
    yield lambda: kept.append(bytes(1000))


if not FREE_THREADED:  # otherwise only the collector deletes functions

    @scenario
    def a_cycle():
        def operation():
            cycle = []
            cycle.append(cycle)

        yield operation


@scenario
def a_callback_left_in_a_loop():
    waiting = []

    async def operation():
        import asyncio

        waiting.append(asyncio.ensure_future(asyncio.sleep(1000)))

    yield operation
    for task in waiting:
        task.cancel()


outlived = []


@scenario
def an_entry_that_outlives_its_scenario():
    event = Event("x")
    event.connect(handler)
    outlived.append(event)
    yield lambda: None


if __name__ == "__main__":
    sys.exit(main())
