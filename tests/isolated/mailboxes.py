"""Leaks of mailboxes: calls that run, raise, are dropped, replaced or cleared, and those of async handlers."""

import logging
import sys
from contextlib import suppress

from leak_check import Error, main, scenario

from cyevents import Event, Mailbox, MailboxFull, drain, trace

logging.getLogger("cyevents").disabled = True


class Sender:
    pass


def handler(sender, *args, **kwargs):
    return None


def value(sender, *args, **kwargs):
    return sender


def fail(sender, *args, **kwargs):
    raise Error


def generator(sender, *args, **kwargs):
    yield sender


async def coroutine(sender, *args, **kwargs):
    return sender


def drained(*handlers, overflow="raise", maxsize=100, **options):
    """Return an operation that emits to handlers and drains, and what it uses."""
    event, mailbox = Event("x"), Mailbox(maxsize, overflow)
    for each in handlers:
        event.connect(each, via=mailbox, **options)

    def operation():
        for _ in range(3):
            with suppress(MailboxFull):
                event.emit(Sender(), 1, key=2)
                event.send(Sender())
        mailbox.drain()

    return operation, event, mailbox


@scenario(cost=10)
def run():
    operation, *used = drained(handler, value)
    yield operation
    yield handler, value, *used


@scenario(cost=30)
def failing():
    operation, *used = drained(fail)
    yield operation
    yield fail, *used


@scenario(cost=30)
def generators():
    operation, *used = drained(generator)
    yield operation
    yield generator, *used


@scenario(cost=200, cyclic=True)
def coroutines():
    operation, *used = drained(coroutine)

    def drained_everywhere():
        operation()
        drain()

    yield drained_everywhere
    yield coroutine, *used


@scenario(cost=20)
def full():
    operation, *used = drained(handler, maxsize=2)
    yield operation
    yield handler, *used


@scenario(cost=20)
def dropping_the_oldest():
    operation, *used = drained(handler, maxsize=2, overflow="drop_oldest")
    yield operation
    yield handler, *used


@scenario(cost=20)
def dropping_the_newest():
    operation, *used = drained(handler, maxsize=2, overflow="drop_newest")
    yield operation
    yield handler, *used


@scenario(cost=20)
def replacing():
    operation, event, mailbox = drained(handler, maxsize=2, overflow="latest")
    sender = Sender()

    def replaced():
        operation()
        event.emit(sender, 1)
        event.emit(sender, 2)
        mailbox.drain()

    yield replaced
    yield handler, sender, event, mailbox


@scenario(cost=20)
def conditions_and_events():
    operation, *used = drained(handler, condition=value, with_event=True)
    yield operation
    yield handler, value, *used


@scenario(cost=200)
def traced():
    operation, event, mailbox = drained(handler, value)

    def observed():
        with trace(event):
            operation()

    yield observed
    yield handler, value, event, mailbox


@scenario(cost=50)
def interrupted():
    event, mailbox = Event("x"), Mailbox(10)

    def interrupt(sender):
        raise KeyboardInterrupt

    event.connect(interrupt, via=mailbox)

    def operation():
        event.emit(Sender())
        event.emit(Sender())
        with suppress(KeyboardInterrupt):
            mailbox.drain()
        mailbox.clear()

    yield operation
    yield interrupt, event, mailbox


@scenario(cost=50, cyclic=True)
def mailboxes_with_calls():
    def operation():
        event, mailbox = Event("x"), Mailbox(10, wakeup=list)
        event.connect(handler, via=mailbox)
        event.emit(Sender())

    yield operation
    yield handler


@scenario(cost=50)
def mailboxes():
    def operation():
        event, mailbox = Event("x"), Mailbox(10)
        event.connect(handler, via=mailbox)
        event.emit(Sender())
        mailbox.drain()

    yield operation
    yield handler


if __name__ == "__main__":
    sys.exit(main())
