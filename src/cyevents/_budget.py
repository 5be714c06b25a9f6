"""`Namespace.watch` and `Event.watch`: report handlers that run longer than a budget. Imported when used."""

from __future__ import annotations

from _thread import get_ident
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ._checks import checked_seconds, kind_of
from ._code import code_of
from ._core._safe import handler_name, log, safe_repr
from ._text import duration_text
from .instrument import CallSpan, EmissionSpan, Instrument, Scope, observe

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._code import Code
    from .instrument import EmissionStart, HandlerEntry

_MAX_LOGGED = 1_000  # handlers whose durations are kept, for programs that make handlers without end


def watch(source: Any, budget: float, on_slow: Callable[[float, Any, Any, Any], object] | None) -> Scope:
    """Do what `Namespace.watch` and `Event.watch` do."""
    budget = checked_seconds("budget", budget)
    if on_slow is not None:
        if not callable(on_slow):
            raise TypeError(f"on_slow must be callable or None, not {safe_repr(on_slow)}")
        if kind_of(on_slow) in ("async", "async_generator"):
            raise TypeError(f"on_slow {handler_name(on_slow)} is a coroutine function: it must act at once")
    return observe(_Budget(budget, on_slow), source)


class _Budget(Instrument):
    """Times the handlers of emissions, and reports the slow ones."""

    __slots__ = ("_has_failed", "_logged", "_on_slow", "_reporting", "seconds")

    def __init__(self, seconds: float, on_slow: Callable[[float, Any, Any, Any], object] | None) -> None:
        self.seconds = seconds
        self._on_slow = on_slow
        self._has_failed = False
        self._logged: dict[Code, float] = {}  # the last duration that was logged, by handler
        self._reporting: set[int] = set()  # the threads that report: their emissions are not watched

    def begin(self, start: EmissionStart, /) -> EmissionSpan | None:
        # Else an `on_slow`, or a handler of `logging`, that emits and is slow would be reported without end.
        return None if get_ident() in self._reporting else _WatchedEmission(self, start.event, start.sender)

    def __repr__(self) -> str:
        return f"<budget of {self.seconds:g} s>"

    def report(self, duration: float, handler: Any, event: Any, sender: Any, is_async: bool) -> None:
        """Report that a handler was slow."""
        thread = get_ident()
        self._reporting.add(thread)
        try:
            if self._on_slow is None:
                self._log(duration, handler, event, is_async)
                return
            try:
                self._on_slow(duration, handler, event, sender)
            except Exception as error:
                if not self._has_failed:
                    self._has_failed = True
                    text = "on_slow %s raised: the emission goes on; further exceptions of it are not logged"
                    log("ERROR", text, handler_name(self._on_slow), exc_info=error)
        finally:
            self._reporting.discard(thread)

    def _log(self, duration: float, handler: Any, event: Any, is_async: bool) -> None:
        """Log a handler's first slow call, and each that takes at least twice as long as the one logged before."""
        code = code_of(handler)
        logged = self._logged
        if duration < 2 * logged.get(code, 0.0):
            return
        if len(logged) >= _MAX_LOGGED:
            logged.clear()
        logged[code] = duration
        log(
            "WARNING",
            "%shandler %s%s of event %r %s %s: its budget is %s",
            "async " if is_async else "",
            code.name,
            code.place and f" ({code.place})",
            event.name,
            "ran without a pause for" if is_async else "took",
            duration_text(duration),
            duration_text(self.seconds),
        )


class _WatchedEmission(EmissionSpan):
    """Times the handlers of one emission."""

    __slots__ = ("budget", "event", "sender")

    def __init__(self, budget: _Budget, event: Any, sender: Any) -> None:
        self.budget = budget
        self.event = event
        self.sender = sender

    def call(self, entry: HandlerEntry, handler: Any, /) -> CallSpan:
        return _WatchedCall(self, handler)


class _WatchedCall(CallSpan):
    """Times the steps of one call of a handler: the call, and what it runs of its awaitable or generator at a time."""

    __slots__ = ("_began", "_emission", "_handler", "_is_async", "_longest")

    def __init__(self, emission: _WatchedEmission, handler: Any) -> None:
        self._emission = emission
        self._handler = handler
        self._is_async = False
        self._longest = 0.0

    def enter(self) -> None:
        self._began = perf_counter()

    resumed = enter

    def exit(self, same_context: bool, /) -> None:
        self.suspended()

    def suspended(self) -> None:
        duration = perf_counter() - self._began
        if duration > self._longest:
            self._longest = duration

    def scheduled(self) -> None:
        self._is_async = True

    def end(self, value: Any, error: BaseException | None, /) -> None:
        emission, longest = self._emission, self._longest
        if longest > emission.budget.seconds:
            emission.budget.report(longest, self._handler, emission.event, emission.sender, self._is_async)
