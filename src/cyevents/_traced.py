"""What a `Trace` records: emissions and calls of handlers, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Literal

    from ._code import Code
    from .instrument._api import Way

    Outcome = Literal[
        "running",
        "returned",
        "cancelled the rest",
        "skipped",
        "raised",
        "stopped",
        "restarted",
        "superseded",
        "delivered",
        "dropped",
    ]


@dataclass(slots=True)
class TracedEmission:
    """One emission that a `Trace` has recorded.

    Attributes:
        event: the event's name.
        way: `"emit"`, `"send"`, `"first"`, `"emit_async"`, `"send_async"` or `"first_async"`.
        sender: the `repr` of the sender, shortened; `None` for `ANY`.
        arguments: the other arguments as they were written, shortened: `"1, total=12"`.
        start: when it began, in seconds since the trace began.
        duration: how long it took, in seconds; `None` while it runs.
        thread: the name of the thread.
        thread_id: the thread's identifier, an int.
        within: the number of emissions that enclose it.
        calls: the calls of its handlers, and the handlers that were skipped, in order.
        cancelled_by: the name of the handler that cancelled the rest, or `None`.
        not_called: the names of the handlers that were not reached, since the emission was cancelled or failed, or
            `first` or `first_async` had its answer.
        error: the exception that it raised, as one line, or `None`.
        reason: the `repr` of the reason that was given to `Cancel`, shortened; `None` if there is none.
    """

    event: str
    way: Way
    sender: str | None
    arguments: str
    start: float
    thread: str
    thread_id: int
    duration: float | None = None
    within: int = 0
    calls: list[TracedCall] = field(default_factory=list)
    cancelled_by: str | None = None
    not_called: list[str] = field(default_factory=list)
    error: str | None = None
    reason: str | None = None


@dataclass(slots=True)
class TracedCall:
    """One handler of an emission, called or skipped.

    Attributes:
        handler: the handler's name and source location.
        priority: its priority, an int.
        outcome: `"returned"`, `"cancelled the rest"` (it returned `False` or raised `Cancel`), `"skipped"`, `"raised"`,
            `"stopped"` (such as an async handler that was cancelled), `"restarted"` or `"superseded"` (a later call
            has cancelled it, or taken its place before it began: see `overlap` of `Event.connect`), `"delivered"` (it
            waits in the target of `via`), `"dropped"` (the target has not called it), or `"running"`.
        reason: why it was skipped or stopped, or the exception that it raised, as one line; else `None`.
        value: the `repr` of the value that it returned, shortened; `None` for `None`. For an async generator, the list
            of values that it yielded.
        start: when it was called, in seconds since the trace began; for an async handler, when it started to run.
        duration: how long it took, in seconds, with the time that it waited; `None` while it runs.
        thread: the name of the thread.
        thread_id: the thread's identifier, an int.
        is_async: whether the value that the call returned was awaited.
        is_delivered: whether the target of `via` made the call.
        emissions: the emissions that the handler made.
    """

    handler: Code
    priority: int
    outcome: Outcome
    start: float
    thread: str
    thread_id: int
    reason: str | None = None
    value: str | None = None
    duration: float | None = None
    is_async: bool = False
    emissions: list[TracedEmission] = field(default_factory=list)
    is_delivered: bool = False
