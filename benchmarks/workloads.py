"""The fixed emissions whose instructions are counted: `python workloads.py NAME NUMBER`, as few imports as can be."""

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
    """Emit so often by the sender alone."""
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
    """What `plain_10` is, of an event that was traced, and is no longer."""
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
    """`plain_1` as most programs write it, with `emit` looked up for each emission."""
    handlers = plain(1)
    event = weak_event_of(handlers)
    for _ in range(number):
        event.emit("ada")


def unknown_name(number):
    """Emit a name of which nobody has made an event, in a namespace without patterns."""
    emit = Namespace().emit
    for _ in range(number):
        emit("workload", "ada")


def churn(number):
    event = Event("workload")
    handler = plain(1)[0]
    for _ in range(number):
        with event.subscribe(handler):
            event.emit("ada")


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
        conditions_10,
        sender_1,
        by_name_1,
        attribute_1,
        unknown_name,
        churn,
    )
}

if __name__ == "__main__":
    gc.disable()
    ALL[sys.argv[1]](int(sys.argv[2]))
