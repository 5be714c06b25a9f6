"""`Delivery`: calls the handlers of connections with `via`, `overlap`, `limit` or `timeout`. Imported when used.

How it works: the entry of such a connection has a `Delivery`, and a flag that leads the core to it. When the handler's
turn comes, the core asks `prepare` what to call instead. The `control` of an async handler may skip the call, or wrap
the handler; then the target of `via` may take the call, to run it in its own thread.
"""

from __future__ import annotations

import sys
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from ._checks import kind_of
from ._core import AwaitedDispatch, put_call
from ._core._safe import exact_str, handler_name, safe_getattr, safe_isinstance, safe_repr
from ._core._values import MISSING, PAIRS, PARALLEL

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._core import Entry
    from ._core._tables import Dispatch

_OVERLAPS = (PARALLEL, "queue", "skip", "restart", "latest")


class DeliveryOptions:
    """The options `via`, `overlap`, `limit` and `timeout` of a connection, checked when this is made.

    The receiver is `MISSING` for a decorator: `make` checks what it decorates.
    """

    __slots__ = ("limit", "overlap", "timeout", "via")

    def __init__(self, receiver: Any, via: Any, overlap: Any, limit: Any, timeout: Any, thread: bool) -> None:
        if type(overlap) is not str:
            overlap = exact_str(overlap)
        if type(overlap) is not str or overlap not in _OVERLAPS:
            words = ", ".join(f'"{word}"' for word in _OVERLAPS[:-1])
            raise ValueError(f'overlap must be {words} or "{_OVERLAPS[-1]}", not {safe_repr(overlap)}')
        if limit is not None:
            if type(limit) is bool or not issubclass(type(limit), int):
                raise TypeError(f"limit must be an int, the number of calls that run at once, not {safe_repr(limit)}")
            limit = int.__index__(limit)
            if limit < 1:
                raise ValueError(f"limit must allow at least one call, not {limit}")
            if overlap != PARALLEL:
                raise ValueError(f'limit is for overlap="parallel": overlap="{overlap}" runs one call at a time')
        if timeout is not None:
            if type(timeout) is bool or not issubclass(type(timeout), (int, float)):
                raise TypeError(f"timeout must be a number of seconds or None, not {safe_repr(timeout)}")
            if not timeout > 0:
                raise ValueError(
                    f"timeout must be above 0 seconds, not {safe_repr(timeout)}: for no limit, leave it out"
                )
            timeout = inf if timeout > 1e308 else float(timeout)
        if via is not None:
            if thread:
                raise TypeError("via and thread=True exclude each other: via says where the handler runs")
            _check_target(via)
        self.via = via
        self.overlap = overlap
        self.limit = limit
        self.timeout = timeout
        if receiver is not MISSING:
            self._check_receiver(receiver)

    def _check_receiver(self, receiver: Any) -> None:
        """Raise `TypeError` if options for async handlers are given for one that is known to be sync."""
        if self.is_controlled and _is_sync(receiver):
            given = "overlap" if self.overlap != PARALLEL else "limit" if self.limit is not None else "timeout"
            raise TypeError(
                f"{given} is for async handlers, and {handler_name(receiver)} is not one: it is done when it returns."
                " Write it as an async function, or leave the option out"
            )

    @property
    def is_controlled(self) -> bool:
        """Whether an option for async handlers is given."""
        return self.overlap != PARALLEL or self.limit is not None or self.timeout is not None

    def make(self, receiver: Any, condition: Any) -> Delivery:
        """Return the delivery of a new connection of this receiver."""
        self._check_receiver(receiver)
        return Delivery(self, condition)


def _is_sync(receiver: Any) -> bool:
    """Return whether a handler is known to be sync: a wrapper or a lambda may return what another function does."""
    kind = kind_of(receiver)
    if kind != "sync":
        return kind == "generator"
    while safe_isinstance(receiver, partial):
        receiver = safe_getattr(receiver, "func")
    code = safe_getattr(receiver, "__code__")
    return code is not None and safe_getattr(receiver, "__wrapped__") is None and code.co_name != "<lambda>"


def _check_target(via: Any) -> None:
    """Raise `TypeError` if nothing can be delivered to this."""
    if is_mailbox(via) or _is_loop(via):
        return
    if not _is_executor(via):
        raise TypeError(f"via must be a Mailbox, an asyncio event loop or an executor, not {safe_repr(via)}")
    for module, name in (("process", "ProcessPoolExecutor"), ("interpreter", "InterpreterPoolExecutor")):
        if safe_isinstance(via, _type_of(f"concurrent.futures.{module}", name)):
            raise TypeError(
                "via must run handlers in this process and interpreter, as a ThreadPoolExecutor does, not as"
                f" {safe_repr(via)}"
            )


def _type_of(module: str, name: str) -> Any:
    """Return a type, or no types if its module is not imported: then nothing can be of that type."""
    return getattr(sys.modules.get(module), name, ())


def is_mailbox(via: Any) -> bool:
    """Return whether this is a `Mailbox`."""
    return safe_isinstance(via, _type_of("cyevents._mailbox", "Mailbox"))


def _is_loop(via: Any) -> bool:
    return safe_isinstance(via, _type_of("asyncio.events", "AbstractEventLoop"))


def _is_executor(via: Any) -> bool:
    return safe_isinstance(via, _type_of("concurrent.futures._base", "Executor"))


class Delivery:
    """How the calls of one connection are made: what the core asks when a handler's turn has come."""

    __slots__ = ("condition", "control", "deliver", "mailbox", "options")

    def __init__(self, options: DeliveryOptions, condition: Any) -> None:
        self.options = options
        self.condition = condition  # of the connection; the core replaces that of a handler's own object
        self.control: Any = None
        self.mailbox: Any = None  # the parts of a mailbox for `put_call`, if the core puts the calls there itself
        self.deliver: Callable[..., Any] | None = None
        if options.is_controlled:
            from ._async.overlap import CallControl

            self.control = CallControl(options.overlap, options.limit, options.timeout)
        via = options.via
        if via is None:
            return
        if is_mailbox(via):
            self.deliver = via._deliver
            if self.control is None:
                self.mailbox = via._parts()
            return
        from ._async.delivery import ExecutorTarget, LoopTarget

        self.deliver = LoopTarget(via).deliver if _is_loop(via) else ExecutorTarget(via).deliver

    def prepare(self, dispatch: Dispatch, entry: Entry, handler: Any, keywords: dict[str, Any]) -> Any:
        """Return what the core calls in place of the handler, or None if nothing: see `Entry.delivery`."""
        if self.mailbox is not None and dispatch.watch is None:
            put_call(self.mailbox, (entry, handler, handler, dispatch.event, dispatch.sender, dispatch.args, keywords))
            return None
        call = handler
        control = self.control
        deliver = self.deliver
        # `send` returns coroutines as they are, unless the handler is delivered.
        if control is not None and (deliver or not dispatch.mode & PAIRS or isinstance(dispatch, AwaitedDispatch)):
            call = control.wrap(dispatch, entry, handler, deliver is not None)
            if call is None:
                return None
        if deliver is not None:
            place = None if control is None else control.place_of(call)
            try:
                delivered = deliver(dispatch, entry, handler, call, keywords)
            except BaseException:  # such as `MailboxFull`, which keeps the call alive by its traceback
                if place is not None:
                    place.leave()
                raise
            del call  # a mailbox may have dropped it: then it leaves its place here
            if place is not None:
                control.supersede_earlier(place)
            return delivered
        watch = dispatch.watch
        return call if watch is None else watch.call(entry, handler, call)
