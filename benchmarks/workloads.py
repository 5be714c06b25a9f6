"""The operations whose instructions are counted, with few imports: `python workloads.py NAME NUMBER`."""

import gc
import sys

from cyevents import Event, Namespace


def plain(count):
    def handler(sender):
        pass

    return [type(handler)(handler.__code__, {}) for _ in range(count)]


def any_keywords(count):
    def handler(sender, **kwargs):
        pass

    return [type(handler)(handler.__code__, {}) for _ in range(count)]


def returning(count):
    def handler(sender):
        return 1

    return [type(handler)(handler.__code__, {}) for _ in range(count)]


class Owner:
    def handle(self, sender):
        pass


def event_of(handlers, **options):
    event = Event("workload")
    for handler in handlers:
        event.connect(handler, weak=False, **options)
    return event


def weak_event_of(handlers):
    event = Event("workload")
    for handler in handlers:
        event.connect(handler)
    return event


def emissions(emit, number):
    """Emit `number` times, with the sender alone."""
    for _ in range(number):
        emit("ada")


def nobody(number):
    emissions(Event("workload").emit, number)


def plain_1(number):
    handlers = plain(1)
    emissions(weak_event_of(handlers).emit, number)


def plain_10(number):
    handlers = plain(10)
    emissions(weak_event_of(handlers).emit, number)


def traced_before_10(number):
    """`plain_10` for an event that was traced before."""
    from cyevents import trace

    handlers = plain(10)
    event = weak_event_of(handlers)
    with trace(event) as seen:
        event.emit("ada")
    assert len(seen.emissions[0].calls) == 10
    emissions(event.emit, number)


def kwargs_10(number):
    handlers = any_keywords(10)
    emissions(weak_event_of(handlers).emit, number)


def keywords_10(number):
    handlers = any_keywords(10)
    emit = weak_event_of(handlers).emit
    for _ in range(number):
        emit("ada", total=12, user="ada")


def results_10(number):
    handlers = returning(10)
    emissions(weak_event_of(handlers).emit, number)


def methods_10(number):
    owners = [Owner() for _ in range(10)]
    emissions(weak_event_of([owner.handle for owner in owners]).emit, number)


def with_event_10(number):
    emissions(
        event_of([type(f)(f.__code__, {}) for f in [lambda sender, event: None] * 10], with_event=True).emit, number
    )


def send_10(number):
    handlers = plain(10)
    emissions(weak_event_of(handlers).send, number)


def conditions_10(number):
    emissions(event_of(plain(10), condition=lambda sender: True).emit, number)


def sender_1(number):
    event = event_of(plain(1), sender="ada")
    for other in range(100):
        event.connect(plain(1)[0], sender=f"other {other}", weak=False)
    emissions(event.emit, number)


def by_name_1(number):
    namespace = Namespace()
    handlers = plain(1)
    namespace.event("workload").connect(handlers[0])
    emit = namespace.emit
    for _ in range(number):
        emit("workload", "ada")


def attribute_1(number):
    """`plain_1` with `emit` looked up for each emission, as most programs write it."""
    handlers = plain(1)
    event = weak_event_of(handlers)
    for _ in range(number):
        event.emit("ada")


def attribute_doc_1(number):
    """`attribute_1` for an event with a docstring."""
    handlers = plain(1)
    event = Event("workload", doc="A documented event.")
    event.connect(handlers[0])
    for _ in range(number):
        event.emit("ada")


def bound_1(number):
    """`attribute_1` for an event in a class, looked up on an object for each emission."""
    handlers = plain(1)

    class Emitter:
        changed = weak_event_of(handlers)

    emitter = Emitter()
    for _ in range(number):
        emitter.changed.emit()


def first_emission(number):
    """Emit once for each of many senders that have a handler of their own."""
    handlers = plain(11)
    event = weak_event_of(handlers[:10])
    senders = [Owner() for _ in range(3000)]  # as many in each run, so that connecting them does not count
    for sender in senders:
        event.connect(handlers[10], sender=sender)
    for sender in senders[:number]:
        event.emit(sender)


def unknown_name(number):
    """Emit a name that has no event, in a namespace without patterns."""
    emit = Namespace().emit
    for _ in range(number):
        emit("workload", "ada")


def churn(number):
    """Subscribe, emit and cancel."""
    event = Event("workload")
    handler = plain(1)[0]
    for _ in range(number):
        with event.subscribe(handler):
            event.emit("ada")


def connect(number):
    """Connect 100 handlers to each of some events."""
    handlers = plain(100)
    for _ in range(number // 100):
        event = Event("workload")
        for handler in handlers:
            event.connect(handler)


def connect_for_sender(number):
    """Connect 100 handlers to each of some events, each for its own sender."""
    pairs = [(handler, Owner()) for handler in plain(100)]
    for _ in range(number // 100):
        event = Event("workload")
        for handler, sender in pairs:
            event.connect(handler, sender=sender)


def connect_disconnect(number):
    """Connect 100 handlers to an event, and disconnect them."""
    handlers = plain(100)
    event = Event("workload")
    for _ in range(number // 100):
        for handler in handlers:
            event.connect(handler)
        for handler in handlers:
            event.disconnect(handler)


def connect_emit_disconnect(number):
    handler = plain(1)[0]
    event = Event("workload")
    for _ in range(number):
        event.connect(handler)
        event.emit("ada")
        event.disconnect(handler)


def emit_async_10(number):
    """Await an emission to ten async handlers that do not suspend."""
    import asyncio

    async def handler(sender):
        pass

    handlers = [type(handler)(handler.__code__, {}) for _ in range(10)]
    event = weak_event_of(handlers)

    async def main():
        for _ in range(number):
            await event.emit_async("ada")

    asyncio.run(main())


ALL = {
    function.__name__: function
    for function in (
        nobody,
        plain_1,
        plain_10,
        traced_before_10,
        kwargs_10,
        keywords_10,
        results_10,
        methods_10,
        with_event_10,
        send_10,
        conditions_10,
        sender_1,
        by_name_1,
        attribute_1,
        attribute_doc_1,
        bound_1,
        first_emission,
        unknown_name,
        churn,
        connect,
        connect_for_sender,
        connect_disconnect,
        connect_emit_disconnect,
        emit_async_10,
    )
}

if __name__ == "__main__":
    gc.disable()
    ALL[sys.argv[1]](int(sys.argv[2]))
