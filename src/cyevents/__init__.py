"""Events for Python: connect handlers, emit an event, and they are called in order of priority.

    from cyevents import emit, on

    @on("order.placed", priority=10)
    def validate(order, **kwargs):
        if order.total <= 0:
            return False  # veto: the remaining handlers are not called

    @on("order.*", with_event=True)
    def log(order, event, **kwargs):
        return f"{event.name}: order {order.id}"

    emit("order.placed", order)  # returns the list of results: ['order.placed: order 7']

Handlers may be async: `await emit_async("order.placed", order)` awaits them. `help(cyevents.Event)` and
`help(cyevents.Namespace)` describe everything else that events can do, and `python -m cyevents demo` shows it.

PYTEST_DONT_REWRITE: a mark for pytest, since there are no asserts here.
"""

from ._connection import Connection, Subscription
from ._core import backend
from ._core._values import ANY, Cancel, Cancelled
from ._event import Event
from ._namespace import Namespace, default_namespace, emit, emit_async, event, filter_signals, on
from ._patterns import match

__version__ = "0.1.0"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from ._async.scheduling import drain, drain_async, use_loop
    from ._async.streams import Stream, StreamOverflow
    from ._async.wait_any import wait_any
    from ._bound import BoundEvent
    from ._describe import NamespaceGraph, describe
    from ._emission import Emission
    from ._handles import handles
    from ._held import Hold
    from ._mailbox import Mailbox, MailboxFull
    from ._rates import debounced, throttled
    from ._subscriptions import Subscriptions
    from ._trace import Trace, trace

__all__ = [
    "ANY",
    "BoundEvent",
    "Cancel",
    "Cancelled",
    "Connection",
    "Emission",
    "Event",
    "Hold",
    "Mailbox",
    "MailboxFull",
    "Namespace",
    "NamespaceGraph",
    "Stream",
    "StreamOverflow",
    "Subscription",
    "Subscriptions",
    "Trace",
    "backend",
    "debounced",
    "default_namespace",
    "describe",
    "drain",
    "drain_async",
    "emit",
    "emit_async",
    "event",
    "filter_signals",
    "handles",
    "match",
    "on",
    "throttled",
    "trace",
    "use_loop",
    "wait_any",
]


def __getattr__(name: str) -> object:
    """Import the names whose modules are slow to import, when they are first used."""
    module: ModuleType
    if name in ("drain", "drain_async", "use_loop"):
        from ._async import scheduling as module
    elif name == "BoundEvent":
        from . import _bound as module
    elif name == "Emission":
        from . import _emission as module
    elif name in ("Stream", "StreamOverflow"):
        from ._async import streams as module
    elif name == "wait_any":
        from ._async import wait_any as module
    elif name == "Hold":
        from . import _held as module
    elif name == "handles":
        from . import _handles as module
    elif name in ("Mailbox", "MailboxFull"):
        from . import _mailbox as module
    elif name in ("debounced", "throttled"):
        from . import _rates as module
    elif name == "Subscriptions":
        from . import _subscriptions as module
    elif name in ("NamespaceGraph", "describe"):
        from . import _describe as module
    elif name in ("Trace", "trace"):
        from . import _trace as module
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    from ._checks import public_names

    return sorted(public_names({*globals(), *__all__}, "TYPE_CHECKING"))
