"""`trace`: records emissions and their handlers, with times, outcomes and nesting. Imported when used."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import asdict
from itertools import repeat
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ._chrome import chrome_trace
from ._code import Code, code_of, last_part
from ._core import handler_key
from ._core._safe import safe_getattr, safe_repr
from ._core._values import ANY, Cancelled
from ._text import duration_text, error_line, plain_fields, short_repr
from ._traced import TracedCall, TracedEmission
from .instrument import CallSpan, EmissionSpan, Instrument, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.tree import Tree

    from ._event import Event
    from ._namespace import Namespace
    from ._traced import Outcome
    from .instrument import EmissionStart, HandlerEntry

    _Item = TracedEmission | TracedCall | str  # a line of the tree; a text has no children

_REPR_LIMIT = 60  # characters
_MAX_DEPTH = 50  # emissions that are nested deeper start again at the top level
_STYLES = {"skipped": "dim", "superseded": "dim", "dropped": "dim", "raised": "red"}
_STYLES |= dict.fromkeys(("stopped", "restarted", "cancelled the rest"), "yellow")


class Trace(Instrument):
    """The emissions that ran inside its `with` block. Made by `trace`; `str` returns them as a tree.

    Attributes:
        emissions: the emissions that no handler of another one made, as `TracedEmission`, in the order in which they
            began. Every 50th of nested emissions is listed here too, so that the tree stays readable.
        dropped: how many emissions were counted only, since the limit was reached.
    """

    def __init__(self, sources: tuple[Any, ...], limit: int, everywhere: bool = False) -> None:
        if type(limit) is not int or limit < 1:
            raise TypeError(f"limit must be a whole number from 1 on, not {safe_repr(limit)}")
        self.emissions: list[TracedEmission] = []
        self.dropped = 0
        self._left = limit
        self._lock = threading.RLock()  # protects the two counters
        self._threads_in_repr: set[int] = set()
        self._scope = Scope(sources, everywhere=everywhere)
        self._began = perf_counter()
        self._took: float | None = None

    def __enter__(self) -> Trace:
        if self._took is None:  # else the trace continues
            self._began = perf_counter()
        self._took = None
        self._scope._start(self)
        return self

    def __exit__(self, *exception: object) -> None:
        self._scope.stop()
        self._took = self._now()

    def _now(self) -> float:
        """Return the seconds since the trace began."""
        return perf_counter() - self._began

    def begin(self, start: EmissionStart, /) -> EmissionSpan | None:
        """Record the start of an emission, under the handler that makes it."""
        sender, parent = start.sender, start.parent
        if threading.get_ident() in self._threads_in_repr:  # a `__repr__` emits, which only the trace calls
            return None
        with self._lock:
            if self._left <= 0:
                self.dropped += 1
                return None
            self._left -= 1
        arguments = [self._short_repr(value) for value in start.args]
        arguments += [f"{name}={self._short_repr(value)}" for name, value in start.kwargs.items()]
        emission = TracedEmission(
            start.event.name,
            start.way,
            None if sender is ANY else self._short_repr(sender),
            ", ".join(arguments),
            self._now(),
            threading.current_thread().name,
            threading.get_ident(),
        )
        siblings = self.emissions
        if isinstance(parent, _TracedCallSpan):
            emission.within = parent.within + 1
            if emission.within % _MAX_DEPTH:
                siblings = parent.traced.emissions
        siblings.append(emission)
        return _TracedEmissionSpan(self, emission)

    def _short_repr(self, value: object) -> str:
        """Return the `repr` of a value, shortened. Emissions that it makes are not recorded."""
        thread = threading.get_ident()
        self._threads_in_repr.add(thread)
        try:
            return short_repr(value, _REPR_LIMIT)
        finally:
            self._threads_in_repr.discard(thread)

    # Output

    def walk(self) -> Iterator[TracedEmission]:
        """Iterate over all emissions, also nested ones, each before those that are nested in it."""
        pending = self.emissions[::-1]
        while pending:
            emission = pending.pop()
            yield emission
            pending += [inner for call in reversed(emission.calls) for inner in reversed(call.emissions)]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON: dicts, lists, strings, numbers and `None`.

        A priority of more than about 154 digits is given as text, since `json` may refuse it.
        """
        emissions = [asdict(emission, dict_factory=plain_fields) for emission in self.emissions]
        return {"emissions": emissions, "dropped": self.dropped}

    def __repr__(self) -> str:
        count = len(self.emissions)
        dropped = f", {self.dropped} dropped" * (self.dropped > 0)
        return f"<Trace: {count} outermost emission{'s' * (count != 1)}{dropped}>"

    def __str__(self) -> str:
        lines: list[tuple[str, str]] = []
        for emission in self.emissions:
            _draw(emission, "", "", lines)
        width = max((len(text) for text, _ in lines), default=0)
        rows = [f"{text:{width}}  {facts}".rstrip() for text, facts in lines]
        return "\n".join(rows + _dropped(self.dropped)) or "no emissions"

    def tree(self) -> Tree:
        """Return the emissions as a `rich` tree, for `rich.print` or a `Console`.

        Raises:
            ImportError: if rich is not installed; the message says how to install it.
        """
        try:
            from rich.text import Text
            from rich.tree import Tree
        except ImportError as error:
            raise ImportError("this tree needs rich: python -m pip install rich") from error

        def width_of(item: _Item, depth: int) -> int:
            return max(4 * depth + len(_heading(item)), *(width_of(child, depth + 1) for child in _children(item)), 0)

        width = max(map(width_of, self.emissions, repeat(0)), default=0)

        def grow(tree: Tree, item: _Item, depth: int) -> None:
            heading = _heading(item).ljust(width - 4 * depth)
            if isinstance(item, TracedCall):
                style = _STYLES.get(item.outcome, "green")
                label = Text.assemble((heading, style), "  ", (_call_facts(item), "" if style == "green" else style))
                label.append(f"  {item.handler.place}", "dim")
            elif isinstance(item, TracedEmission):
                label = Text.assemble((heading, "bold cyan"), "  ", (_emission_facts(item), "dim"))
            else:
                label = Text(item, "dim")
            branch = tree.add(label)
            for child in _children(item):
                grow(branch, child, depth + 1)

        root = Tree("no emissions" if not self.emissions else "", hide_root=bool(self.emissions))
        for emission in self.emissions:
            grow(root, emission, 0)
        for text in _dropped(self.dropped):
            grow(root, text, 0)
        return root

    def chrome(self) -> dict[str, Any]:
        """Return the trace in Chrome's format, as plain data: see `write`."""
        return chrome_trace(self.emissions, self._now() if self._took is None else self._took)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a file that Perfetto (ui.perfetto.dev) and Chrome (`chrome://tracing`) show as a timeline.

        It is JSON in the Trace Event Format of Chrome: calls that run without awaiting are shown in their thread,
        awaited ones on tracks of their own.

        Args:
            path: the file, such as `"trace.json"`; an existing file is replaced.

        Raises:
            OSError: if it cannot be written.
        """
        with open(path, "w", encoding="utf-8") as file:
            file.write(json.dumps(self.chrome()))  # three times as fast as json.dump


def trace(*sources: Namespace | Event[Any] | str, limit: int = 100_000) -> Trace:
    """Record the emissions that run inside a `with` block, with the handlers that were called or skipped.

    Each call has its duration, its outcome and the emissions that the handler made. Async handlers are followed until
    they end, or the trace does.

    Args:
        *sources: what to trace: namespaces; events; names, or patterns of names, in the default namespace; events of
            patterns. The default namespace if not given.
        limit: how many emissions are kept; later ones are only counted.

    Returns:
        A context manager, which is the `Trace`: data (`emissions`), and methods that return it as a tree of text
        (`str`) or for a terminal (`tree`, needs rich), as plain data for JSON (`to_dict`), or write a timeline for
        Perfetto (`write`).

    Raises:
        TypeError: if a source is none of these, or the limit is not a whole number from 1 on.

    Thread-safe: emissions in all threads are recorded. The trace takes the `repr` of senders and arguments, and keeps
    no sender, argument or handler alive. Traces may overlap. An emission that is traced takes some microseconds more
    for each handler; other emissions run as fast as without a trace.

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
        call.reason = reason if error is None else f"{reason} {error_line(error)}"
        call.duration = 0.0

    def call(self, entry: HandlerEntry, handler: Any, /) -> CallSpan:
        return _TracedCallSpan(self._trace, self._record(entry, handler, "running"), self._emission.within)

    def _record(self, entry: HandlerEntry, handler: Any, outcome: Outcome) -> TracedCall:
        code = Code(entry.name, None, None, None) if handler is None else code_of(handler)
        thread = threading.current_thread().name, threading.get_ident()
        traced = TracedCall(code, entry.priority, outcome, self._trace._now(), *thread)
        self._emission.calls.append(traced)
        self._calls.append((None if handler is None else handler_key(handler), traced))
        return traced

    def end(self, results: list[Any] | None, error: BaseException | None, /) -> None:
        emission = self._emission
        emission.duration = self._trace._now() - emission.start
        if error is not None:
            emission.error = error_line(error)
        if isinstance(results, Cancelled):
            if results.reason is not None:
                emission.reason = self._trace._short_repr(results.reason)
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
            traced.start = self._trace._now()
            traced.outcome = "running"
        traced.thread, traced.thread_id = threading.current_thread().name, threading.get_ident()

    def delivered(self) -> None:
        self.traced.is_delivered = True
        self.traced.outcome = "delivered"

    def scheduled(self) -> None:
        self.traced.is_async = True

    def started(self) -> None:
        self.traced.start = self._trace._now()

    def end(self, value: Any, error: BaseException | None, /) -> None:
        traced = self.traced
        traced.duration = self._trace._now() - traced.start
        if traced.outcome == "delivered" and isinstance(error, GeneratorExit):
            traced.outcome = "dropped"
        elif error is None:
            traced.outcome = "returned"
            traced.value = None if value is None else self._trace._short_repr(value)
        else:
            traced.outcome = "raised" if isinstance(error, Exception) else "stopped"
            traced.reason = error_line(error)
            if safe_getattr(type(error), "is_superseded") is True:
                traced.outcome, traced.reason = error.reason, str(error)  # type: ignore[attr-defined]


# The tree: emissions have calls as children, and these the emissions that the handlers made.


def _children(item: _Item) -> Sequence[_Item]:
    if isinstance(item, TracedCall):
        return item.emissions
    if isinstance(item, TracedEmission):
        names = ", ".join([last_part(name) for name in item.not_called])
        return [*item.calls, f"not called: {names}"] if names else item.calls
    return ()


def _draw(item: _Item, first: str, rest: str, lines: list[tuple[str, str]]) -> None:
    """Add the lines of an item, each as its tree and heading, and its facts.

    `first` is the tree's part in front of the item's own line, `rest` that in front of the lines of its children.
    """
    facts = ""
    if isinstance(item, TracedCall):
        facts = f"{_call_facts(item)}  {item.handler.place}"
    elif isinstance(item, TracedEmission):
        facts = _emission_facts(item)
    lines.append((first + _heading(item), facts))
    children = _children(item)
    for number, child in enumerate(children, 1):
        is_last = number == len(children)
        _draw(child, rest + ("└─ " if is_last else "├─ "), rest + ("   " if is_last else "│  "), lines)


def _heading(item: _Item) -> str:
    if isinstance(item, TracedCall):
        return last_part(item.handler.name)
    if isinstance(item, TracedEmission):
        sender = "" if item.sender is None else f" by {item.sender}"
        return f"{item.event}{sender}" + (f" ({item.arguments})" if item.arguments else "")
    return item


def _emission_facts(emission: TracedEmission) -> str:
    facts = [emission.way, _took(emission)]
    if emission.within and emission.within % _MAX_DEPTH == 0:
        facts.append(f"within {emission.within} others")
    if emission.error is not None:
        facts.append(f"raised {emission.error}")
    elif emission.cancelled_by is not None:
        reason = "" if emission.reason is None else f": {emission.reason}"
        facts.append(f"cancelled by {last_part(emission.cancelled_by)}{reason}")
    elif not emission.calls:
        facts.append("no handlers")
    return "  ".join(facts)


def _call_facts(call: TracedCall) -> str:
    if call.outcome == "skipped":
        return f"skipped: {call.reason}"
    if call.outcome in ("delivered", "dropped"):
        return call.outcome
    facts = [_took(call)] + ["async"] * call.is_async + ["delivered"] * call.is_delivered
    if call.outcome == "raised":
        facts.append(f"raised {call.reason}")
    elif call.outcome == "stopped":
        facts.append(f"stopped by {call.reason}")
    elif call.outcome in ("restarted", "superseded"):
        facts.append(f"{call.outcome}: {call.reason}")
    elif call.outcome == "cancelled the rest":
        did = "returned False" if call.reason is None else f"raised {call.reason}"
        facts.append(f"{did}: cancelled the rest")
    elif call.value is not None:
        facts.append(f"returned {call.value}")
    return "  ".join(facts)


def _dropped(count: int) -> list[str]:
    """Return a line about the emissions that were not kept, if there are any."""
    if not count:
        return []
    text = "1 emission more, which was" if count == 1 else f"{count} emissions more, which were"
    return [f"and {text} not kept"]


def _took(item: TracedEmission | TracedCall) -> str:
    return "still running" if item.duration is None else duration_text(item.duration)
