"""Leaks of async handlers with `overlap`, `limit` and `timeout`, however their calls end."""

import asyncio
import contextlib
import logging
import sys

from leak_check import Error, main, scenario

from cyevents import Event, drain, drain_async

logging.getLogger("cyevents").addHandler(logging.NullHandler())
logging.getLogger("cyevents").propagate = False

OPTIONS = [{"overlap": word} for word in ("queue", "skip", "restart", "latest")] + [{"limit": 2}]


async def suspend(sender, *args):
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return args


async def fail(sender, *args):
    await asyncio.sleep(0)
    raise Error


async def never_end(sender, *args):
    await asyncio.sleep(1000)


def events_for(handler, **more):
    """Return an event for each way in which calls overlap."""
    events = []
    for options in OPTIONS:
        event = Event("x")
        event.connect(handler, **options, **more)
        events.append(event)
    return events


@scenario(cost=100)
def awaited():
    events, sender, value = events_for(suspend, timeout=1000), object(), object()

    async def operation():
        for event in events:
            await asyncio.gather(*(event.emit_async(sender, value) for _ in range(4)))
            await asyncio.gather(event.send_async(sender, value), event.send_async(sender, value))

    yield operation, sender, value


@scenario(cost=100)
def scheduled():
    events, sender, value = events_for(suspend), object(), object()

    async def operation():
        for event in events:
            for _ in range(4):
                event.emit(sender, value)
        await drain_async()

    yield operation, sender, value


@scenario(cost=100)
def scheduled_in_the_background():
    events, sender, value = events_for(suspend), object(), object()

    def operation():
        for event in events:
            for _ in range(3):
                event.emit(sender, value)
        drain()

    yield operation, sender, value


@scenario(cost=100)
def raised():
    events, sender = events_for(fail), object()

    async def operation():
        for event in events:
            await asyncio.gather(*(event.emit_async(sender) for _ in range(3)), return_exceptions=True)

    yield operation, sender


@scenario(cost=100)
def cancelled():
    events, sender = events_for(never_end), object()

    async def operation():
        for event in events:
            tasks = [asyncio.ensure_future(event.emit_async(sender)) for _ in range(3)]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    yield operation, sender


@scenario(cost=1000)
def timed_out():
    events, sender = events_for(never_end, timeout=0.0001), object()

    async def operation():
        for event in events:
            with contextlib.suppress(TimeoutError):
                await event.emit_async(sender)

    yield operation, sender


@scenario(cost=100)
def refused():
    event, sender = Event("x"), object()

    async def recurse(sender):
        await event.emit_async(sender)

    event.connect(recurse, overlap="queue", weak=False)

    async def operation():
        with contextlib.suppress(RuntimeError):
            await event.emit_async(sender)

    yield operation, sender
    event.clear()


@scenario(cost=100)
def disconnected_while_they_wait():
    event, sender = Event("x"), object()

    async def operation():
        event.connect(suspend, overlap="queue")
        tasks = [asyncio.ensure_future(event.emit_async(sender)) for _ in range(3)]
        await asyncio.sleep(0)
        event.disconnect(suspend)
        await asyncio.gather(*tasks)

    yield operation, sender


@scenario(cost=100)
def closed():
    events, sender = events_for(suspend), object()

    async def operation():
        for event in events:
            coroutines = [event.emit_async(sender) for _ in range(3)]
            for coroutine in coroutines:
                with contextlib.suppress(StopIteration):  # it was skipped
                    coroutine.send(None)
            for coroutine in coroutines:
                coroutine.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    yield operation, sender


@scenario(cost=100)
def emitted_by_themselves():
    event, sender = Event("x"), object()

    async def again(sender, number):
        if number:
            event.emit(sender, number - 1)
        await asyncio.sleep(0)

    event.connect(again, overlap="queue", weak=False)

    async def operation():
        await event.emit_async(sender, 3)
        await drain_async()

    yield operation, sender
    event.clear()


if __name__ == "__main__":
    sys.exit(main())
