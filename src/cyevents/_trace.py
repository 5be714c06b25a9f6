"""`trace`: what was emitted, which handlers ran, within what, how long and with what outcome. Imported when used."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ._code import Code, code_of, last_part
from ._core import handler_key
from ._core._safe import safe_repr
from ._core._values import ANY, Cancelled
from ._text import error_line, plain_fields, short_repr
from .instrument import CallSpan, EmissionSpan, Instrument, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Literal

    from rich.tree import Tree

    from ._event import Event
    from ._namespace import Namespace
    from .instrument import EmissionStart, HandlerEntry
    from .instrument._api import Way

    Outcome = Literal["running", "returned", "cancelled the rest", "skipped", "raised", "stopped"]

_SHOWN = 60  # of a value's repr
_DEEPEST = 50  # how many emissions are shown within each other


@dataclass(slots=True)
class TracedEmission:
    """One emission that a `Trace` has seen.

    Attributes:
        event: the event's name.
        way: `"emit"`, `"emit_async"` or `"send"`.
        sender: the `repr` of the sender, shortened; `None` for `ANY`.
        arguments: the other arguments as they were written, shortened: `"1, total=12"`.
        start: when it began, in seconds from the beginning of the trace.
        duration: how long it took, in seconds; `None` while it runs.
        thread: the name of the thread.
        thread_id: its identifier, an int.
        within: how many emissions it was made within, an int.
        calls: its handlers' calls and skips, in order.
        cancelled_by: the name of the handler that cancelled the rest, or `None`.
        not_called: the names of the handlers whose turn did not come, since the emission was cancelled or failed.
        error: what it raised, as one line, or `None`.
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


@dataclass(slots=True)
class TracedCall:
    """One handler of an emission, called or skipped.

    Attributes:
        handler: the handler, by name, and where it is written.
        priority: its priority, an int.
        outcome: `"returned"`, `"cancelled the rest"` (it returned `False`), `"skipped"`, `"raised"`, `"stopped"` (as
            an async handler that is cancelled), or `"running"`.
        reason: why it was skipped, or what it raised, as one line; else `None`.
        value: the `repr` of what it returned, shortened, or `None` for `None`; of a generator, what it returned; of an
            async generator, what it yielded, as a list.
        start: when it was called, in seconds from the beginning of the trace; an async handler: when it began.
        duration: how long it took, in seconds, waiting included; `None` while it runs.
        thread: the name of the thread.
        thread_id: its identifier, an int.
        is_async: whether what it returned was awaited.
        emissions: those that it has made.
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


class Trace(Instrument):
    """Emissions as they ran, from the beginning of its `with` to the end. Made by `trace`; `str` of it is a tree.

    Attributes:
        emissions: those that no handler of another has made, as `TracedEmission`, in the order in which they began. So
            that what goes on and on can be shown, every 50th of those within each other is among these too.
        dropped: how many emissions were not kept, since there were too many.
    """

    def __init__(self, sources: tuple[Any, ...], limit: int, everywhere: bool = False) -> None:
        if type(limit) is not int or limit < 1:
            raise TypeError(f"limit must be a whole number from 1 on, not {safe_repr(limit)}")
        self.emissions: list[TracedEmission] = []
        self.dropped = 0
        self._left = limit
        self._lock = threading.RLock()  # for the two
        self._showing: set[int] = set()  # the threads in which a repr is taken
        self._scope = Scope(sources, everywhere=everywhere)
        self._began = perf_counter()
        self._took: float | None = None

    def __enter__(self) -> Trace:
        if self._took is None:  # else it goes on
            self._began = perf_counter()
        self._took = None
        self._scope._start(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._scope.stop()
        self._took = self.now()

    def now(self) -> float:
        """Seconds from the beginning of the trace."""
        return perf_counter() - self._began

    def begin(self, start: EmissionStart, /) -> EmissionSpan | None:
        """Record that an emission begins, and the handler that makes it."""
        sender, parent = start.sender, start.parent
        if threading.get_ident() in self._showing:  # the emission is made by a `__repr__` that only the trace calls
            return None
        with self._lock:
            if self._left <= 0:
                self.dropped += 1
                return None
            self._left -= 1
        emission = TracedEmission(
            start.event.name,
            start.way,
            None if sender is ANY else self.shown(sender),
            ", ".join(
                [self.shown(value) for value in start.args]
                + [f"{name}={self.shown(value)}" for name, value in start.kwargs.items()]
            ),
            self.now(),
            threading.current_thread().name,
            threading.get_ident(),
        )
        if isinstance(parent, _TracedCallSpan):
            emission.within = parent.within + 1
            (self.emissions if emission.within % _DEEPEST == 0 else parent.traced.emissions).append(emission)
        else:
            self.emissions.append(emission)
        return _TracedEmissionSpan(self, emission)

    def shown(self, value: object) -> str:
        """The `repr` of a value, shortened."""
        thread = threading.get_ident()
        self._showing.add(thread)
        try:
            return short_repr(value, _SHOWN)
        finally:
            self._showing.discard(thread)

    # How it is shown

    def walk(self) -> Iterator[TracedEmission]:
        """All emissions, those within others too, each before what was made within it."""
        pending = self.emissions[::-1]
        while pending:
            emission = pending.pop()
            yield emission
            pending += [inner for call in reversed(emission.calls) for inner in reversed(call.emissions)]

    def to_dict(self) -> dict[str, Any]:
        """The whole of it as plain data: dicts, lists, strings, numbers and `None`, fit for JSON.

        A priority of more than about 154 digits is given as text, since `json` may refuse it.
        """
        emissions = [asdict(emission, dict_factory=plain_fields) for emission in self.emissions]
        return {"emissions": emissions, "dropped": self.dropped}

    def __str__(self) -> str:
        lines: list[tuple[str, str, str]] = []
        for emission in self.emissions:
            _draw(emission, "", "", lines)
        width = max((len(branch + text) for branch, text, _ in lines), default=0)
        text = "\n".join([f"{branch + text:{width}}  {facts}".rstrip() for branch, text, facts in lines])
        if self.dropped:
            text += "\n" + _dropped(self.dropped)
        return text or "no emissions"

    def tree(self) -> Tree:
        """The emissions as a `rich` tree, to be printed by `rich.print` or a `Console`.

        Raises:
            ImportError: if rich is not installed; it says how to.
        """
        try:
            from rich.text import Text
            from rich.tree import Tree
        except ImportError as error:
            raise ImportError("this tree needs rich: python -m pip install 'cyevents[rich]'") from error

        def grow(tree: Tree, emission: TracedEmission) -> None:
            label = Text.assemble((_head(emission), "bold cyan"), "  ", (_emission_facts(emission), "dim"))
            branch = tree.add(label)
            for call in emission.calls:
                style = {"skipped": "dim", "raised": "red", "stopped": "yellow", "cancelled the rest": "yellow"}
                look = style.get(call.outcome, "green")
                parts = (last_part(call.handler.name), look), "  ", (_call_facts(call), "" if look == "green" else look)
                twig = branch.add(Text.assemble(*parts, "  ", (call.handler.place, "dim")))
                for inner in call.emissions:
                    grow(twig, inner)
            if emission.not_called:
                branch.add(Text(_not_called(emission), "dim"))

        root = Tree("no emissions" if not self.emissions else "", hide_root=bool(self.emissions))
        for emission in self.emissions:
            grow(root, emission)
        if self.dropped:
            root.add(Text(_dropped(self.dropped), "dim"))
        return root

    def chrome(self) -> dict[str, Any]:
        """The trace in Chrome's format, as plain data: see `write`."""
        from ._chrome import chrome_trace

        return chrome_trace(self.emissions, self.now() if self._took is None else self._took)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a file that Perfetto (ui.perfetto.dev) and Chrome (`chrome://tracing`) open as a picture in time.

        It is JSON in the Trace Event Format of Chrome: what runs in one go is shown in its thread, what is awaited on
        tracks of its own.

        Args:
            path: the file, such as `"trace.json"`; what is there is replaced.

        Raises:
            OSError: if it cannot be written.
        """
        with open(path, "w", encoding="utf-8") as file:
            file.write(json.dumps(self.chrome()))  # three times as fast as json.dump


def trace(*sources: Namespace | Event[Any] | str, limit: int = 100_000) -> Trace:
    """Take down what is emitted, for as long as the `with` statement that it is for.

    Each emission is noted with its handlers: which were called, for how long, with what outcome; which were skipped,
    and why; and what they emitted in turn. What async handlers do is seen until they end, or the trace does.

    Args:
        *sources: what to trace: namespaces; events; names, or patterns of names, in the default namespace; events of
            patterns. The default namespace if not given.
        limit: how many emissions are kept; those that come after are only counted.

    Returns:
        A context manager, which gives the `Trace`: data (`emissions`), a tree as text (`str`) or for a terminal
        (`tree`, with rich), plain data for JSON (`to_dict`), a picture in time for Perfetto (`write`).

    Raises:
        TypeError: if a source is none of these, or the limit no whole number from 1 on.

    Thread-safe: emissions in all threads are seen. It keeps no sender, argument or handler alive, and takes their
    `repr`. Traces may overlap. What is not traced, also before and after, runs as fast as ever; an emission that is
    takes some microseconds more for each handler.

    Example:
        >>> from cyevents import Namespace, trace
        >>> shop = Namespace()
        >>> @shop.on("order.placed")
        ... def bill(order):
        ...     shop.emit("bill.sent", order)
        >>> with trace(shop) as seen:
        ...     _ = shop.emit("order.placed", "order 7")
        >>> [(each.event, each.sender) for each in seen.walk()]
        [('order.placed', "'order 7'"), ('bill.sent', "'order 7'")]
        >>> seen.emissions[0].calls[0].outcome
        'returned'
    """
    return Trace(sources, limit)


class _TracedEmissionSpan(EmissionSpan):
    """Records one emission."""

    __slots__ = ("_calls", "_emission", "_planned", "_trace")

    def __init__(self, trace: Trace, emission: TracedEmission) -> None:
        self._trace = trace
        self._emission = emission
        self._calls: list[tuple[object, TracedCall]] = []  # by key: the handler may die during the emission
        self._planned: list[HandlerEntry] = []

    def plan(self, entries: tuple[HandlerEntry, ...], /) -> None:
        self._planned += entries

    def skip(self, entry: HandlerEntry, handler: Any, reason: str, error: Exception | None, /) -> None:
        call = self._record(entry, handler, "skipped")
        call.reason = reason
        if error is not None:
            call.reason += f" {error_line(error)}"
        call.duration = 0.0

    def call(self, entry: HandlerEntry, handler: Any, /) -> CallSpan:
        return _TracedCallSpan(self._trace, self._record(entry, handler, "running"), self._emission.within)

    def _record(self, entry: HandlerEntry, handler: Any, outcome: Outcome) -> TracedCall:
        code = Code(entry.name, None, None, None) if handler is None else code_of(handler)
        thread = threading.current_thread().name, threading.get_ident()
        traced = TracedCall(code, entry.priority, outcome, self._trace.now(), *thread)
        self._emission.calls.append(traced)
        self._calls.append((None if handler is None else handler_key(handler), traced))
        return traced

    def end(self, results: list[Any] | None, error: BaseException | None, /) -> None:
        emission = self._emission
        emission.duration = self._trace.now() - emission.start
        if error is not None:
            emission.error = error_line(error)
        if isinstance(results, Cancelled):
            canceller = handler_key(results.handler)
            for key, call in self._calls:
                if key == canceller:
                    emission.cancelled_by = call.handler.name
                    call.outcome = "cancelled the rest"
        emission.not_called = [entry.name for entry in self._planned[len(self._calls) :]]
        self._calls.clear()
        self._planned.clear()


class _TracedCallSpan(CallSpan):
    """Records one call of a handler."""

    __slots__ = ("_has_begun", "_trace", "traced", "within")

    def __init__(self, trace: Trace, traced: TracedCall, within: int) -> None:
        self._trace = trace
        self._has_begun = False
        self.traced = traced
        self.within = within

    def enter(self) -> None:
        traced = self.traced
        if not self._has_begun:
            self._has_begun = True
            traced.start = self._trace.now()
        traced.thread, traced.thread_id = threading.current_thread().name, threading.get_ident()

    def scheduled(self) -> None:
        self.traced.is_async = True

    def started(self) -> None:
        self.traced.start = self._trace.now()

    def end(self, value: Any, error: BaseException | None, /) -> None:
        traced = self.traced
        traced.duration = self._trace.now() - traced.start
        if error is None:
            traced.outcome = "returned"
            traced.value = None if value is None else self._trace.shown(value)
        elif isinstance(error, Exception):
            traced.outcome, traced.reason = "raised", error_line(error)
        else:
            traced.outcome, traced.reason = "stopped", error_line(error)


# The tree


def _draw(emission: TracedEmission, first: str, rest: str, lines: list[tuple[str, str, str]]) -> None:
    """The lines of an emission: `first` is what stands before its own, `rest` before those of its handlers."""
    lines.append((first, _head(emission), _emission_facts(emission)))
    twigs: list[TracedCall | str] = [*emission.calls]
    if emission.not_called:
        twigs.append(_not_called(emission))
    for number, twig in enumerate(twigs, 1):
        is_last = number == len(twigs)
        branch, below = rest + ("└─ " if is_last else "├─ "), rest + ("   " if is_last else "│  ")
        if isinstance(twig, str):
            lines.append((branch, twig, ""))
            continue
        lines.append((branch, last_part(twig.handler.name), f"{_call_facts(twig)}  {twig.handler.place}"))
        for count, inner in enumerate(twig.emissions, 1):
            ends = count == len(twig.emissions)
            _draw(inner, below + ("└─ " if ends else "├─ "), below + ("   " if ends else "│  "), lines)


def _head(emission: TracedEmission) -> str:
    sender = "" if emission.sender is None else f" by {emission.sender}"
    given = f" ({emission.arguments})" if emission.arguments else ""
    return f"{emission.event}{sender}{given}"


def _emission_facts(emission: TracedEmission) -> str:
    facts = [emission.way, _time(emission.duration)]
    if emission.within and emission.within % _DEEPEST == 0:
        facts.append(f"within {emission.within} others")
    if emission.error is not None:
        facts.append(f"raised {emission.error}")
    elif emission.cancelled_by is not None:
        facts.append(f"cancelled by {last_part(emission.cancelled_by)}")
    elif not emission.calls:
        facts.append("nobody heard it")
    return "  ".join(facts)


def _call_facts(call: TracedCall) -> str:
    if call.outcome == "skipped":
        return f"skipped: {call.reason}"
    facts = [_time(call.duration)]
    if call.is_async:
        facts.append("async")
    if call.outcome in ("raised", "stopped"):
        facts.append(f"{call.outcome} {call.reason}" if call.outcome == "raised" else f"stopped by {call.reason}")
    elif call.outcome == "cancelled the rest":
        facts.append("returned False: cancelled the rest")
    elif call.value is not None:
        facts.append(f"returned {call.value}")
    return "  ".join(facts)


def _not_called(emission: TracedEmission) -> str:
    return f"not called: {', '.join([last_part(name) for name in emission.not_called])}"


def _dropped(count: int) -> str:
    return (
        "and 1 emission more, which was not kept" if count == 1 else f"and {count} emissions more, which were not kept"
    )


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "still running"
    for unit, size in (("us", 1e-6), ("ms", 1e-3)):
        if seconds < size * 1000:
            return f"{seconds / size:.{1 if seconds / size < 100 else 0}f} {unit}"
    return f"{seconds:.2f} s"
