"""Leaks of threads that wait: for one emission and by streams, until an emission, the time's end or an exception."""

import sys
from contextlib import suppress

from leak_check import main, scenario

from cyevents import Event, Namespace, StreamOverflow


class Sender:
    pass


@scenario(cost=3)
def time_is_up():
    event, sender = Event("x"), Sender()

    def operation():
        with suppress(TimeoutError):
            event.wait_sync(sender, timeout=0)

    yield operation
    yield event, sender


@scenario(cost=3)
def pattern_times_out():
    namespace = Namespace()
    event = namespace.event("x")

    def operation():
        with suppress(TimeoutError):
            namespace.event("x*").wait_sync(timeout=-1)
        event.emit()

    yield operation
    yield event, namespace


@scenario(cost=3)
def interrupted():
    event = Event("x")

    def interrupt(sender):
        raise KeyboardInterrupt

    def operation():
        with suppress(KeyboardInterrupt), event.stream(condition=interrupt) as emissions:
            event.emit()
            next(emissions)

    yield operation
    yield event, interrupt


@scenario(cost=3)
def taken():
    event, sender = Event("x"), Sender()

    def operation():
        with event.stream(sender) as emissions:
            event.emit(sender, 1, key=sender)
            assert next(emissions).sender is sender

    yield operation
    yield event, sender


@scenario(cost=3)
def left_by_break():
    event = Event("x")

    def operation():
        emissions = event.stream()
        event.emit(1)
        for _ in emissions:
            break

    yield operation
    yield (event,)


@scenario(cost=3)
def left_in_the_buffer():
    event, sender = Event("x"), Sender()

    def operation():
        emissions = event.stream(buffer=3, overflow="drop_oldest")
        for _ in range(5):
            event.emit(sender)
        return emissions

    yield operation
    yield event, sender


@scenario(cost=3)
def overflown():
    event, sender = Event("x"), Sender()

    def operation():
        emissions = event.stream(buffer=1)
        event.emit(sender)
        event.emit(sender)
        with suppress(StreamOverflow):
            for _ in emissions:
                pass

    yield operation
    yield event, sender


@scenario(cost=3)
def closed():
    event = Event("x")

    def operation():
        with event.stream() as emissions:
            pass
        assert list(emissions) == []

    yield operation
    yield (event,)


@scenario(cost=3)
def refused():
    event = Event("x")

    def operation():
        with suppress(TypeError):
            event.wait_sync(condition=1)
        with suppress(ValueError):
            event.wait_sync(timeout=float("nan"))

    yield operation
    yield (event,)


@scenario(cost=3)
def claimed_twice():
    event = Event("x")
    emissions = event.stream()
    emissions._turn[0] = emissions  # as if another thread waited

    def operation():
        with suppress(RuntimeError):
            next(emissions)

    yield operation
    emissions._turn.clear()
    yield (event,)


if __name__ == "__main__":
    sys.exit(main())
