"""Leaks of holds: released, dropped and discarded ones, nested and merged, of namespaces, events, patterns, objects."""

import asyncio
import sys
from contextlib import suppress
from contextvars import copy_context

from leak_check import Error, echo, fail, main, scenario

from cyevents import Event, Namespace


class Sender:
    changed = Event("changed")


@scenario(cost=20)
def namespace_held():
    namespace = Namespace()
    event = namespace.event("x")
    event.connect(echo)

    def operation():
        with namespace.held():
            event.emit(Sender(), 1, key=2)
            namespace.emit("undeclared", 1)

    yield operation
    yield event, echo


@scenario(cost=20)
def event_held():
    event = Event("x")
    event.connect(echo)

    def operation():
        with event.held():
            event.emit(Sender(), 1, key=2)
            event.send(Sender())

    yield operation
    yield event, echo


@scenario(cost=20)
def pattern_held():
    namespace = Namespace()
    pattern = namespace.event("x*")
    pattern.connect(echo)

    def operation():
        with pattern.held():
            namespace.emit("x1", Sender())
            namespace.emit("y1", Sender())

    yield operation
    yield pattern, echo


@scenario(cost=20)
def object_held():
    def operation():
        sender = Sender()
        with sender.changed.held("last_per_sender"):
            sender.changed.emit(1)
            sender.changed.emit(2)

    yield operation
    yield Sender.changed, echo


@scenario(cost=20)
def nested_and_merged():
    namespace = Namespace()
    namespace.connect("x", echo)

    def operation():
        with namespace.held(lambda emissions: emissions[1:]):
            namespace.emit("x", Sender())
            with namespace.held("last_per_sender"):
                namespace.emit("x", 1)
                namespace.emit("x", 1)

    yield operation
    yield (echo,)


@scenario(cost=20)
def dropped():
    namespace = Namespace()

    def operation():
        with suppress(Error), namespace.held():
            namespace.emit("x", Sender())
            raise Error
        hold = namespace.hold()
        namespace.emit("x", Sender())
        hold.drop()

    yield operation
    yield namespace, Error


@scenario(cost=20)
def discarded():
    namespace = Namespace()

    def operation():
        hold = namespace.hold()
        del hold
        hold = namespace.held()
        del hold

    yield operation
    yield (namespace,)


@scenario(cost=20)
def raising():
    namespace = Namespace()
    namespace.connect("x", fail)

    def operation():
        for count in (1, 2):
            with suppress(Error, ExceptionGroup), namespace.held():
                for _ in range(count):
                    namespace.emit("x", Sender())

    yield operation
    yield namespace, fail


@scenario(cost=20)
def refused():
    namespace = Namespace()

    def operation():
        for merge in (5, "all"):
            with suppress(TypeError, ValueError):
                namespace.hold(merge)
        hold = namespace.hold(lambda emissions: None)
        namespace.emit("x", Sender())
        with suppress(TypeError):
            hold.release()
        hold.drop()

    yield operation
    yield (namespace,)


@scenario(cost=20)
def released_in_another_context():
    namespace = Namespace()
    namespace.connect("x", echo)

    def operation():
        hold = namespace.hold()
        namespace.emit("x", Sender())
        copy_context().run(hold.release)

    yield operation
    yield namespace, echo


@scenario(cost=40)
def inherited_by_tasks():
    namespace = Namespace()
    namespace.connect("x", echo)

    async def child():
        namespace.emit("x", Sender())
        await asyncio.sleep(0)
        await namespace.emit_async("x", Sender())

    async def operation():
        with namespace.held():
            task = asyncio.create_task(child())
            await asyncio.sleep(0)
        await task

    yield operation
    yield namespace, echo


if __name__ == "__main__":
    sys.exit(main())
