"""Instruments: code that follows emissions from outside, such as tracing, metrics, auditing and forwarding.

An instrument is not a handler: it does not appear in `event.handlers`, returns no results and cannot be muted. It is
called when an emission begins, for each handler of it, and when it ends:

1. `observe(instrument, *sources)` starts observing namespaces, events or names, and returns a `Scope` that stops it.
2. For each emission in that scope, `Instrument.begin` gets an `EmissionStart`. It may veto the emission, by raising,
   and it may return an `EmissionSpan`.
3. The span is called when handlers are about to run (`plan`), for each handler that is skipped (`skip`) or called
   (`call`), and when the emission is over (`end`). `call` may return a `CallSpan`.
4. The call span follows one handler until that has returned or raised, however long an async handler takes.

Override the methods that you need; the others do nothing and cost little. Events that are not observed run exactly as
fast as without instruments.

Example:
    >>> from collections import Counter
    >>> from cyevents import Namespace
    >>> from cyevents.instrument import EmissionSpan, Instrument, observe
    >>> class CallCounter(Instrument, EmissionSpan):
    ...     def __init__(self):
    ...         self.calls = Counter()
    ...     def begin(self, start):
    ...         return self
    ...     def call(self, entry, handler):
    ...         self.calls[entry.name] += 1
    >>> shop, counter = Namespace(), CallCounter()
    >>> @shop.on("order.placed")
    ... def bill(order):
    ...     return f"a bill for {order}"
    >>> with observe(counter, shop):
    ...     shop.emit("order.placed", "order 7")
    ['a bill for order 7']
    >>> counter.calls
    Counter({'bill': 1})
"""

from .._context import origin
from ._api import CallSpan, EmissionSpan, EmissionStart, HandlerEntry, Instrument
from ._scope import Scope, observe

__all__ = ["CallSpan", "EmissionSpan", "EmissionStart", "HandlerEntry", "Instrument", "Scope", "observe", "origin"]
