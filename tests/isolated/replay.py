"""Leaks of events that keep their last emissions: kept and dropped ones, replays, and handlers that raise in these."""

import asyncio
import sys
from contextlib import suppress

from leak_check import Error, main, scenario

from cyevents import Event, Namespace


class Sender:
    pass


def handler(sender, *args, **kwargs):
    return sender


def fail(sender, *args, **kwargs):
    raise Error


@scenario(cost=5)
def kept_and_dropped():
    event = Event("x", replay=3)
    event.connect(handler)

    def operation():
        event.emit(Sender(), 1, key=2)
        event.send(Sender())

    yield operation
    yield event, handler


@scenario(cost=5)
def awaited():
    event = Event("x", replay=1)
    event.connect(handler)

    async def operation():
        await event.emit_async(Sender(), 1, key=2)

    yield operation
    yield event, handler


@scenario(cost=5)
def replayed():
    event, sender = Event("x", replay=2), Sender()
    event.emit(sender, 1)
    event.emit(sender, 2)

    def operation():
        event.connect(handler, sender, replay=True)
        event.disconnect(handler)

    yield operation
    yield event, sender, handler


@scenario(cost=5)
def replayed_to_a_handler_of_its_own():
    event, sender = Event("x", replay=2), Sender()

    def operation():
        event.emit(sender, 1)
        subscription = event.subscribe(lambda *args: None, once=True, replay=True)
        event.connect(lambda *args: None, weak=False, replay=True)
        assert not subscription.active
        event.clear()

    yield operation
    yield event, sender


@scenario(cost=5)
def connected_while_an_emission_runs():
    event, sender = Event("x", replay=1), Sender()

    def connect(sender):
        event.connect(lambda *args: None, weak=False, priority=-1, replay=True)

    def operation():
        event.connect(connect)
        event.emit(sender)
        event.clear()

    yield operation
    yield event, sender, connect


@scenario(cost=5)
def raising():
    event, sender = Event("x", replay=1), Sender()
    event.emit(sender)

    def operation():
        with suppress(Error):
            event.connect(fail, replay=True)
        with suppress(Error), event.connected_to(fail, replay=True):
            pass

    yield operation
    yield event, sender, fail


@scenario(cost=5)
def grouped():
    event, sender = Event("x", replay=2, on_error="group"), Sender()
    event.emit(sender)
    event.emit(sender)

    def operation():
        with suppress(ExceptionGroup):
            event.subscribe(fail, replay=True)

    yield operation
    yield event, sender, fail


@scenario(cost=5)
def refused():
    namespace = Namespace()
    event = namespace.event("x")

    def operation():
        for each in (event, namespace.event("x*")):
            with suppress(TypeError):
                each.connect(handler, replay=True)
            with suppress(TypeError):
                each.replay = "1"

    yield operation
    yield event, handler


@scenario(cost=5)
def changed_and_cleared():
    event, sender = Event("x"), Sender()

    def operation():
        event.replay = 5
        for number in range(6):
            event.emit(sender, number)
        event.replay = 2
        event.clear_replay()
        event.emit(sender)
        event.replay = 0

    yield operation
    yield event, sender


@scenario(cost=5)
def made_and_dropped():
    def operation():
        event = Event("x", replay=1)
        event.emit(Sender(), 1)
        event.connect(handler, replay=True)

    yield operation
    yield (handler,)


@scenario(cost=20)
def scheduled():
    event, sender = Event("x", replay=1), Sender()
    event.emit(sender)

    async def note(sender):
        await asyncio.sleep(0)

    async def operation():
        event.connect(note, replay=True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        event.disconnect(note)

    yield operation
    yield event, sender, note


if __name__ == "__main__":
    sys.exit(main())
