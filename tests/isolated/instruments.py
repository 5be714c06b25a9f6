"""Leaks of observed emissions (traced, recorded, instrumented), however they end, and of observing itself."""

import asyncio
import logging
import sys
from contextlib import suppress

from leak_check import Error, echo, event_for, fail, main, refuse, scenario

from cyevents import Event, Namespace, drain_async, trace
from cyevents.instrument import CallSpan, EmissionSpan, Instrument, observe
from cyevents.opentelemetry import instrument
from cyevents.testing import Recorder

logging.getLogger("cyevents").addHandler(logging.NullHandler())
logging.getLogger("cyevents").propagate = False


class Witness(Instrument):
    """Observes every call."""

    def begin(self, start):
        return Span()


class Span(EmissionSpan):
    def call(self, entry, handler):
        return CallSpan()


class Failing(Instrument, EmissionSpan):
    """Raises wherever it can."""

    def begin(self, start):
        start.on_accepted(fail_now)
        return self

    def call(self, *args):
        raise Error

    plan = skip = end = call


def fail_now():
    raise Error


def several(sender, *args, **kwargs):
    yield sender


async def later(sender, *args, **kwargs):
    await asyncio.sleep(0)
    return sender


async def much_later(sender, *args, **kwargs):
    await asyncio.sleep(1000)


async def fail_later(sender, *args, **kwargs):
    await asyncio.sleep(0)
    raise Error


async def several_later(sender, *args, **kwargs):
    yield sender
    await asyncio.sleep(1000)


shop = Namespace()
shop.event("x").connect(later)
shop.event("x").connect(fail)
instrument(shop)  # once: a meter keeps its callbacks forever
with suppress(Error):
    shop.emit("x")  # creates what is kept


def observed_event(*handlers, **options):
    """Return an event with these handlers, in this order, that is observed as long as it exists."""
    event = event_for(*handlers, **options)
    observe(Witness(), event)
    return event


@scenario
def observed():
    event, sender = observed_event(echo, several, refuse, echo), object()

    def operation():
        assert event.emit(sender, 1, keyword=sender).handler is refuse
        event.send(sender)

    yield operation, sender, event


@scenario
def raised():
    event, sender = observed_event(echo, fail), object()
    grouping = observed_event(fail, fail)
    grouping.on_error = "group"

    def operation():
        for emit in (event.emit, event.send, grouping.emit, grouping.send):
            with suppress(Error, ExceptionGroup):
                emit(sender)

    yield operation, sender, event


@scenario
def conditions_that_raise():
    event, sender = observed_event(echo, condition=fail), object()
    raising = observed_event(echo, condition=fail)

    def policy(error, handler, event, sender):
        raise Error

    raising.on_error = policy

    def operation():
        event.emit(sender)
        with suppress(Error):
            raising.emit(sender)

    yield operation, sender, event, raising


@scenario
def awaited():
    event, sender = observed_event(later, echo, later, several), object()

    async def operation():
        await event.emit_async(sender, 1, keyword=sender)

    yield operation, sender, event


@scenario
def awaited_and_raised():
    event, sender = observed_event(later, fail_later), object()

    async def operation():
        with suppress(Error):
            await event.emit_async(sender)

    yield operation, sender, event


@scenario
def awaited_and_cancelled():
    events, sender = [observed_event(much_later), observed_event(several_later)], object()

    async def operation():
        for event in events:
            task = asyncio.ensure_future(event.emit_async(sender))
            for _ in range(3):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    yield operation, sender, *events


@scenario
def closed_while_it_waits():
    event, sender = observed_event(much_later), object()

    async def operation():
        emission = event.emit_async(sender)
        emission.send(None)
        emission.close()
        for _ in range(3):
            await asyncio.sleep(0)

    yield operation, sender, event


@scenario
def scheduled_and_cancelled():
    event, sender = observed_event(later, much_later, several_later), object()

    async def operation():
        for rounds in (0, 2):
            event.emit(sender)
            for _ in range(rounds):
                await asyncio.sleep(0)
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await drain_async()

    yield operation, sender, event


@scenario(cost=2)
def observing_begins_and_ends():
    namespace, event, sender = Namespace(), Event("lone"), object()
    namespace.event("x").connect(echo)
    witness = Witness()

    def operation():
        scope = observe(witness, namespace, namespace.event("y*"), event)
        namespace.emit("x", sender)
        namespace.emit("unknown", sender)
        namespace.event("yes").emit(sender)
        event.emit(sender)
        scope.stop()
        del namespace["yes"]

    yield operation, sender, event, witness


@scenario(cost=2)
def instruments_that_raise():
    event, sender = observed_event(echo, fail, condition=lambda sender: True), object()
    observe(failing := Failing(), event)

    def operation():
        with suppress(Error), observe(failing, event):
            event.emit(sender)

    yield operation, sender, event, failing


@scenario(cost=2, warm=2000)
def traced():
    namespace, sender = Namespace(), object()

    def outer(sender):
        namespace.emit("y", sender)

    namespace.event("x").connect(outer)
    namespace.event("x").connect(refuse, priority=-1)
    namespace.event("y").connect(fail, condition=lambda sender: False)

    def operation():
        with trace(namespace) as seen:
            namespace.emit("x", sender)
        assert len(seen.emissions) == 1

    yield operation, sender, namespace


@scenario(cost=2)
def watched():
    namespace, sender, reports = Namespace(), object(), []
    namespace.event("x").connect(echo)
    namespace.event("x").connect(several)
    namespace.event("x").connect(later)

    async def operation():
        with namespace.watch(1e-9, lambda *report: reports.append(report)), namespace["x"].watch(1e-9):
            await namespace.emit_async("x", sender)
        assert len(reports) == 3
        reports.clear()

    yield operation, sender, namespace


@scenario(cost=10)
def recorded():
    namespace, sender = Namespace(), object()
    namespace.event("x").connect(echo)

    def operation():
        with Recorder(namespace) as recorder:
            namespace.emit("x", sender)
        assert len(recorder) == 1

    yield operation, sender, namespace


@scenario(cost=10)
def instrumented():
    sender = object()

    async def operation():
        with suppress(Error):
            shop.emit("x", sender)
        with suppress(Error):
            await shop.emit_async("x", sender)
        await drain_async()

    yield operation, sender, shop


if __name__ == "__main__":
    sys.exit(main())
