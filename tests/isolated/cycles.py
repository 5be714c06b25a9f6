"""Leaks of cycles: handlers, owners, events, subscriptions and namespaces that refer to each other are collected."""

import asyncio
import sys
import weakref

from leak_check import main, scenario

from cyevents import Event, Namespace


class Owner:
    def method(self, sender, **kwargs):
        return self

    def __call__(self, sender, **kwargs):
        return self


@scenario(cyclic=True)
def an_owner_that_holds_its_event():
    def operation():
        owner = Owner()
        owner.event = Event("x")
        owner.event.connect(owner.method)
        owner.event.connect(owner, owner)
        owner.event.emit(owner)

    yield operation


@scenario(cyclic=True)
def an_owner_held_strongly_that_holds_its_event():
    def operation():
        owner = Owner()
        owner.event = Event("x")
        owner.event.connect(owner.method, weak=False)
        owner.event.connect(owner, owner, weak=False)
        owner.event.emit(owner)

    yield operation


@scenario(cyclic=True)
def a_handler_that_closes_over_its_event():
    def operation():
        event = Event("x")
        event.connect(lambda sender: event, weak=False)
        event.connect(lambda sender: event, "text", weak=False, condition=lambda sender: event)
        event.emit("text")

    yield operation


@scenario(cyclic=True)
def an_event_that_holds_its_handler():
    def operation():
        event = Event("x")
        event.handler = lambda sender: event
        event.connect(event.handler)
        event.emit(event)

    yield operation


@scenario(cyclic=True)
def an_event_that_is_its_own_sender():
    def operation():
        event = Event("x")
        event.connect(event.disconnect, event, weak=False)
        event.connect(event.has_handlers_for, weak=False)
        event.emit(event)

    yield operation


@scenario(cyclic=True)
def a_subscription_held_by_its_owner():
    def operation():
        owner, event = Owner(), Event("x")
        owner.subscriptions = event.subscribe(owner.method), event.subscribe(owner, owner, weak=False)
        event.emit(owner)

    yield operation


@scenario(cyclic=True)
def a_subscription_held_by_its_handler():
    def operation():
        event = Event("x")

        def handler(sender):
            return subscription

        subscription = event.subscribe(handler, weak=False)
        event.emit(1)

    yield operation


@scenario(cyclic=True)
def a_namespace_with_handlers_that_close_over_it():
    def operation():
        names = Namespace()
        names.event("user.x").connect(lambda sender: names, weak=False)
        names.event("user.*").connect(lambda sender: names, weak=False)
        names.event("user.*").connect(lambda sender: names, names.event("user.x"), weak=False)
        names.emit("user.x", names.event("user.x"))
        names.on_error = lambda *args: names

    yield operation


@scenario(cyclic=True)
def a_temporary_connection_that_its_handler_holds():
    def operation():
        event = Event("x")

        def handler(sender):
            return connected, muted

        connected = event.connected_to(handler, weak=False)
        muted = event.muted(handler)
        connected.__enter__()
        muted.__enter__()
        event.emit(1)

    yield operation


@scenario(cyclic=True)
def results_that_their_handler_keeps():
    def operation():
        kept, event = [], Event("x")

        def refuse(sender):
            kept.append(sender)
            return False

        event.connect(refuse, weak=False)
        kept.append(event.emit(kept))

    yield operation


@scenario(cyclic=True)
def errors_kept_by_their_handler():
    def operation():
        event = Event("x", on_error="group")

        def fail(sender):
            fail.error = ValueError(event, fail)
            raise fail.error

        event.connect(fail, weak=False)
        try:
            event.emit(1)
        except ExceptionGroup as error:
            fail.group = error

    yield operation


@scenario(cyclic=True, cost=5)
def awaited_handlers_that_close_over_their_event():
    async def operation():
        event = Event("x")

        async def handler(sender):
            await asyncio.sleep(0)
            return event

        event.connect(handler, weak=False)
        event.emit(1)
        assert await event.emit_async(1) == [event]
        await asyncio.sleep(0)

    yield operation


@scenario(cyclic=True)
def collected_objects_call_weakref_callbacks():
    alive = []

    def operation():
        owner = Owner()
        owner.event = Event("x")
        owner.event.connect(owner.method, weak=False)
        alive.append(weakref.ref(owner, alive.remove))

    yield operation
    assert alive == []


if __name__ == "__main__":
    sys.exit(main())
