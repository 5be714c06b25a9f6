"""`ConnectOptions`: the options of a connection, for `connect`, `on` and the like."""

from __future__ import annotations

from ._checks import check_bool, check_handler, kind_of
from ._core import CONDITION, ONCE, REPLAY, WITH_EVENT
from ._core._safe import handler_name, safe_repr
from ._core._values import ANY, MISSING, PARALLEL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class ConnectOptions:
    """The options of a connection, checked when this is created.

    Receiver and sender are only checked, not kept. A decorator, which gets its receiver later, passes `MISSING`.

    Attributes:
        weak: whether the handler is held weakly.
        priority: an exact `int`.
        condition: the condition, or None.
        flags: the flags of the entry that do not depend on the handler.
        thread: whether `emit_async` runs a sync handler in a thread.
        delivery: the options for `Delivery`, or None.
    """

    __slots__ = ("condition", "delivery", "flags", "priority", "thread", "weak")

    def __init__(
        self,
        receiver: Any,
        sender: Any,
        weak: bool = True,
        priority: int = 0,
        condition: Callable[..., object] | None = None,
        once: bool = False,
        with_event: bool = False,
        thread: bool = False,
        replay: bool = False,
        via: Any = None,
        overlap: Any = PARALLEL,
        limit: Any = None,
        timeout: Any = None,
    ) -> None:
        if not callable(receiver) and receiver is not MISSING:
            check_handler(receiver)
        flags = 0
        if type(priority) is not int:
            if not issubclass(type(priority), int):
                raise TypeError(f"priority must be an int, not {safe_repr(priority)}")
            priority = int.__index__(priority)
        if condition is not None:
            flags = CONDITION
            if not callable(condition):
                raise TypeError(f"condition must be callable or None, not {safe_repr(condition)}")
            if kind_of(condition) in ("async", "async_generator"):
                raise TypeError(
                    f"condition {handler_name(condition)} is a coroutine function: a condition must answer at once"
                )
        if not type(weak) is type(once) is type(with_event) is type(thread) is type(replay) is bool:
            hint = ""
            if type(weak) is not bool and sender is not ANY:  # both were probably given by position
                hint = ": the arguments are (receiver, sender, weak, priority, condition),"
                hint += f" and {safe_repr(sender)} is taken for the sender"
            check_bool("weak", weak, hint)
            check_bool("once", once)
            check_bool("with_event", with_event)
            check_bool("thread", thread)
            check_bool("replay", replay)
        if once:
            flags |= ONCE
        if with_event:
            flags |= WITH_EVENT
        if replay:
            flags |= REPLAY
        self.weak = weak
        self.priority = priority
        self.condition = condition
        self.flags = flags
        self.thread = thread
        self.delivery = None
        if not (via is None and overlap is PARALLEL and limit is None and timeout is None):
            from ._delivery import DeliveryOptions

            self.delivery = DeliveryOptions(receiver, via, overlap, limit, timeout, thread)
