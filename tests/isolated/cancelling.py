"""Leaks of emissions that handlers cancel with a reason, and of `first`."""

import asyncio
import logging
import sys
from contextlib import suppress

from leak_check import Error, echo, event_for, fail, main, nothing, scenario

from cyevents import Cancel, Cancelled, Event, Namespace, trace

logging.getLogger("cyevents").addHandler(logging.NullHandler())
logging.getLogger("cyevents").propagate = False


def refuse(sender, *args, **kwargs):
    raise Cancel(sender)


def refuse_by_generator(sender, *args, **kwargs):
    yield sender
    yield None
    raise Cancel(sender) from ValueError()


async def refuse_at_once(sender, *args, **kwargs):
    raise Cancel(sender)


async def refuse_later(sender, *args, **kwargs):
    await asyncio.sleep(0)
    raise Cancel(sender)


async def refuse_by_async_generator(sender, *args, **kwargs):
    yield sender
    await asyncio.sleep(0)
    raise Cancel(sender)


def cancelling(event, *args, **kwargs):
    def operation():
        assert type(event.emit(*args, **kwargs)) is Cancelled

    return operation


def cancelling_async(event, *args, **kwargs):
    async def operation():
        assert type(await event.emit_async(*args, **kwargs)) is Cancelled

    return operation


@scenario
def cancelled():
    event, sender = event_for(echo, refuse, nothing), object()
    yield cancelling(event, sender, 1, key=2), sender, event, refuse


@scenario
def cancelled_by_a_method():
    class Owner:
        def method(self, sender):
            raise Cancel(self)

    owner, sender = Owner(), object()
    event = event_for(owner.method)
    yield cancelling(event, sender), sender, event, owner


@scenario
def cancelled_by_a_generator():
    event, sender = event_for(echo, refuse_by_generator), object()
    yield cancelling(event, sender), sender, event


@scenario
def cancelled_with_earlier_errors():
    event, sender = event_for(fail, refuse), object()
    event.on_error = "group"

    def operation():
        with suppress(ExceptionGroup):
            event.emit(sender)
            raise SystemExit("nothing was raised")

    yield operation, sender, event


@scenario
def cancelled_where_errors_are_passed_on():
    event, sender = event_for(fail, refuse), object()
    event.on_error = lambda *args: None
    yield cancelling(event, sender), sender, event


@scenario(cost=5)
def cancelled_and_traced():
    names, sender = Namespace(), object()
    names.event("x").connect(refuse)

    def operation():
        with trace(names):
            names.emit("x", sender)

    yield operation, sender


@scenario
def sent():
    event, sender = event_for(refuse, echo), object()

    def operation():
        assert event.send(sender) == [(refuse, False), (echo, sender)]

    yield operation, sender, event


@scenario
def cancelled_in_the_emitters_task():
    event, sender = event_for(echo, refuse_at_once), object()
    yield cancelling_async(event, sender, 1, key=2), sender, event


@scenario
def cancelled_after_suspending():
    event, sender = event_for(echo, refuse_later), object()
    yield cancelling_async(event, sender), sender, event


@scenario
def cancelled_by_an_async_generator():
    event, sender = event_for(echo, refuse_by_async_generator), object()
    yield cancelling_async(event, sender), sender, event


@scenario
def cancelled_by_tasks():
    event, sender = event_for(refuse_later, refuse_by_async_generator, refuse_at_once), object()
    yield cancelling_async(event, sender), sender, event


@scenario
def cancelled_in_a_tier_with_tasks():
    event, sender = event_for(refuse_later, refuse, echo), object()
    yield cancelling_async(event, sender), sender, event


@scenario(cost=20)
def cancelled_in_threads():
    event, sender = Event("x"), object()
    event.connect(refuse, thread=True)
    event.connect(refuse_by_generator, thread=True)
    yield cancelling_async(event, sender), sender, event


@scenario
def cancelled_in_vain():
    event, sender = event_for(refuse_at_once, refuse_by_async_generator), object()

    async def operation():
        assert event.emit(sender) == []
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    yield operation, sender, event


@scenario
def first():
    event, sender = event_for(nothing, echo, fail), object()

    def operation():
        assert event.first(sender, 1, default=2, key=3) is sender

    yield operation, sender, event


@scenario
def first_of_none():
    event, sender, default = event_for(nothing), object(), object()

    def operation():
        assert event.first(sender, default=default) is default

    yield operation, sender, event, default


@scenario
def first_with_errors():
    event, sender = event_for(fail, echo), object()

    def operation():
        for event.on_error in ("group", "raise"):
            with suppress(Error, ExceptionGroup):
                event.first(sender)
                raise SystemExit("nothing was raised")

    yield operation, sender, event


if __name__ == "__main__":
    sys.exit(main())
