"""Leaks of calls delivered to loops and executors: made, dropped, awaited, cancelled, raising, observed."""

import asyncio
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from leak_check import Error, echo, event_for, fail, main, refuse, scenario

from cyevents import Cancel, Event, drain
from cyevents.instrument import CallSpan, EmissionSpan, Instrument, observe

logging.getLogger("cyevents").addHandler(logging.NullHandler())
logging.getLogger("cyevents").propagate = False


async def later(sender, *args, **kwargs):
    await asyncio.sleep(0)
    return sender


async def fail_later(sender, *args, **kwargs):
    await asyncio.sleep(0)
    raise Error


async def endless(sender, *args, **kwargs):
    await asyncio.sleep(1000)


def generate(sender, *args, **kwargs):
    yield sender
    return False


def cancel(sender, *args, **kwargs):
    raise Cancel


def silent_loop():
    """Return the scenario's loop, which reports no unhandled exceptions."""
    loop = asyncio.get_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    return loop


@contextmanager
def loop_in_thread():
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def pause():
    for _ in range(3):
        await asyncio.sleep(0)


# To the loop that emits


@scenario(cost=5)
def delivered_to_this_loop():
    sender, value = object(), object()
    event = event_for(echo, later, generate, refuse, cancel, via=silent_loop())

    async def operation():
        event.emit(sender, value, keyword=value)
        event.send(sender, value)
        event.first(sender)
        await pause()

    yield operation, sender, value, event, echo, later


@scenario(cost=5)
def delivered_to_this_loop_and_raised():
    sender = object()
    event = event_for(fail, fail_later, via=silent_loop())
    quiet = event_for(fail, fail_later, via=silent_loop())
    quiet.on_error = lambda *args: None

    async def operation():
        event.emit(sender)
        quiet.emit(sender)
        await pause()

    yield operation, sender, event


@scenario(cost=5)
def dropped_since_disconnected():
    sender, event, loop = object(), Event("x"), silent_loop()

    async def operation():
        event.connect(echo, via=loop)
        event.connect(later, via=loop)
        event.emit(sender)
        event.clear()
        await pause()

    yield operation, sender, event, echo


@scenario(cost=10)
def awaited_in_this_loop():
    sender, value = object(), object()
    event = event_for(echo, later, generate, refuse, cancel, via=silent_loop())

    async def operation():
        await event.emit_async(sender, value, keyword=value)
        await event.send_async(sender, value)
        await event.first_async(sender)

    yield operation, sender, value, event, echo


@scenario(cost=10)
def awaited_and_raised():
    sender = object()
    events = [event_for(handler, via=silent_loop()) for handler in (fail, fail_later)]
    events.append(event_for(fail, fail_later, via=silent_loop()))
    events[-1].on_error = "group"

    async def operation():
        for event in events:
            with suppress(Error, ExceptionGroup):
                await event.emit_async(sender)
                raise SystemExit("nothing was raised")

    yield operation, sender


@scenario(cost=20)
def awaited_and_cancelled():
    sender = object()
    event = event_for(endless, via=silent_loop())
    several = event_for(endless, echo, later, via=silent_loop())

    async def operation():
        for each in (event, several):
            for pauses in (0, 3):
                emission = asyncio.ensure_future(each.emit_async(sender))
                for _ in range(pauses):
                    await asyncio.sleep(0)
                emission.cancel()
                with suppress(asyncio.CancelledError):
                    await emission

    yield operation, sender, event


@scenario(cost=5)
def closed_target():
    sender, loop = object(), asyncio.new_event_loop()
    loop.close()
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    events = [event_for(echo, via=loop), event_for(echo, via=pool)]

    async def operation():
        for event in events:
            with suppress(RuntimeError):
                event.emit(sender)
            with suppress(RuntimeError):
                await event.emit_async(sender)

    yield operation, sender


class Observer(Instrument, EmissionSpan):
    def begin(self, start):
        return self

    def call(self, entry, handler):
        return CallSpan()


@scenario(cost=20)
def delivered_and_observed():
    sender = object()
    event = event_for(echo, later, generate, fail, via=silent_loop())
    event.on_error = lambda *args: None

    async def operation():
        event.emit(sender)
        await event.emit_async(sender)
        await pause()

    with observe(Observer(), event):
        yield operation, sender, event


# To another thread. Threads may release objects late: the operation waits for them.


@scenario(cost=50)
def delivered_to_another_loop():
    sender = object()
    with loop_in_thread() as loop:
        event = event_for(echo, later, generate, fail, fail_later, via=loop)
        event.on_error = lambda *args: None
        hanging = event_for(endless, via=loop)

        async def operation():
            event.emit(sender)
            await event.emit_async(sender)
            emission = asyncio.ensure_future(hanging.emit_async(sender))
            await asyncio.sleep(0)
            emission.cancel()
            with suppress(asyncio.CancelledError):
                await emission
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(pause(), loop))

        yield operation


@scenario(cost=50)
def delivered_to_an_executor():
    sender = object()
    with ThreadPoolExecutor(1) as pool:
        event = event_for(echo, generate, fail, refuse, via=pool)
        event.on_error = lambda *args: None

        def operation():
            event.emit(sender)
            pool.submit(int).result()
            pool.submit(int).result()  # the worker has released the call before

        yield operation, sender, event


@scenario(cost=50)
def awaited_from_an_executor():
    sender = object()
    with ThreadPoolExecutor(1) as pool:
        event = event_for(echo, generate, refuse, cancel, via=pool)
        failing = event_for(fail, via=pool)

        async def operation():
            await event.emit_async(sender)
            with suppress(Error):
                await failing.emit_async(sender)
            emission = asyncio.ensure_future(event.emit_async(sender))
            await asyncio.sleep(0)
            emission.cancel()
            with suppress(asyncio.CancelledError):
                await emission
            pool.submit(int).result()
            pool.submit(int).result()

        yield operation


@scenario(cost=50)
def scheduled_by_an_executor():
    sender = object()
    with ThreadPoolExecutor(1) as pool:
        event = event_for(later, via=pool)

        def operation():
            event.emit(sender)
            pool.submit(int).result()
            assert drain(30)

        yield operation


sys.exit(main())
