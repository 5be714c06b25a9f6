"""Values that the core and the rest of the package share: `ANY`, `Cancel`, `Cancelled`, and the kinds of results."""

from __future__ import annotations

from ._safe import handler_name, safe_getattr, safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final


class AnySender:
    """The type of `ANY`, which is its only instance."""

    __slots__ = ()
    _only: AnySender | None = None

    def __new__(cls) -> AnySender:
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "ANY"

    def __reduce__(self) -> str:
        return "ANY"  # a copy or a pickle of it is ANY itself


ANY: Final = AnySender()


class _ReprStr(str):
    """A string whose `repr` is its text: `inspect` accepts only plain values as defaults of a C function."""

    __slots__ = ()
    __repr__ = str.__str__


ANY_DEFAULT_TEXT: Final = _ReprStr("ANY")  # in the signatures of the compiled `emit` and `send`


class _Missing:
    """The type of `MISSING`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""The default of an argument for which `None` is a value like any other."""

MISSING_DEFAULT_TEXT: Final = _ReprStr("MISSING")  # in the signature of the compiled `connect`

PARALLEL: Final = "parallel"
"""The default of `overlap`. Python makes one object of equal strings that look like names, so `is` finds it."""

UNNAMED: Final = _ReprStr("<unnamed>")
"""The name of an event that has not got one yet: no other string is this object."""


class Cancel(Exception):
    """Raise it in a handler to cancel the emission, as `return False` does, and to say why.

    It is not an error: `on_error` is not called, and the emitter gets a `Cancelled` with the reason. See "Cancelling"
    on the page about priorities for what each kind of handler cancels.

    Args:
        reason: any object, such as a text. A subclass may define a class attribute `reason` instead.

    Attributes:
        reason: the reason, or `None`.

    Example:
        >>> from cyevents import Cancel, Event
        >>> order_placed = Event("order.placed")
        >>> @order_placed.connect
        ... def reserve(order):
        ...     raise Cancel("out of stock")
        >>> order_placed.emit("order 7").reason
        'out of stock'
    """

    reason: Any = None

    def __init__(self, reason: Any = None) -> None:
        if reason is None:
            super().__init__()
        else:
            super().__init__(reason)
            self.reason = reason


class CancelAfterItems(Cancel):
    """Raised in place of the `Cancel` of a generator that another task or thread has run: it has what that yielded.

    The original is its `__cause__`. It is not changed, since one object may be raised by several handlers at once.
    """

    def __init__(self, items: list[Any], cancel: Cancel) -> None:
        super().__init__(safe_getattr(cancel, "reason"))
        self.items = items


class Cancelled(list["Any"]):
    """The results of an emission that a handler cancelled, by returning `False` or by raising `Cancel`.

    It is the list of the earlier handlers' results, with three attributes.

    Attributes:
        handler: the handler that cancelled.
        event: the emitted `Event`.
        reason: the reason of the `Cancel`; `None` for `return False`.

    Example:
        >>> from cyevents import Cancelled, Event
        >>> saving = Event("saving")
        >>> @saving.connect
        ... def refuse(sender, **kwargs):
        ...     return False
        >>> results = saving.emit("a document")
        >>> isinstance(results, Cancelled), list(results), results.handler is refuse
        (True, [], True)
    """

    __slots__ = ("event", "handler", "reason")

    def __init__(self, results: list[Any], handler: Any, event: Any, reason: Any = None) -> None:
        super().__init__(results)
        self.handler = handler
        self.event = event
        self.reason = reason

    def __repr__(self) -> str:
        reason = "" if self.reason is None else f": {safe_repr(self.reason)}"
        return f"Cancelled({super().__repr__()}, by {handler_name(self.handler)}{reason})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self), self.handler, self.event, self.reason)


VALUE, GENERATOR, AWAITABLE, ASYNC_GENERATOR = range(4)
"""The kinds of results. The result decides, not the handler: a decorated coroutine function is async too."""

SEQUENTIAL, PAIRS, FIRST = 1, 2, 4
"""How an emission differs from `emit`, as bits: it awaits one handler after the other, it returns pairs of each handler
and its value, it ends with the first result."""

_CO_ITERABLE_COROUTINE = 0x100  # set by types.coroutine


def kind_of_result(result: object) -> int:
    """Return the kind of a result, by its type alone: a mock has every attribute that is looked up on it.

    Only a generator's code is looked at too, since `types.coroutine` marks that.
    """
    cls = type(result)
    if _has(cls, "__await__"):
        return AWAITABLE
    if _has(cls, "send", "throw", "__next__"):
        flags = safe_getattr(safe_getattr(result, "gi_code"), "co_flags")
        return AWAITABLE if type(flags) is int and flags & _CO_ITERABLE_COROUTINE else GENERATOR
    return ASYNC_GENERATOR if _has(cls, "asend", "athrow", "__anext__") else VALUE


def _has(cls: type, *names: str) -> bool:
    """Return whether instances of a class have these attributes. Those of its metaclass do not count.

    Written as loops: a generator expression is a function, and CPython 3.12 crashes if it has no memory to make one.
    """
    for name in names:
        for base in cls.__mro__:
            if name in base.__dict__:
                break
        else:
            return False
    return True
