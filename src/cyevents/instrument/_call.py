"""Observed calls: runs a handler, and then its coroutine or generator, inside an `ObservedCall`."""

from __future__ import annotations

from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from .._async.awaitables import CoroutineWrapper, as_coroutine
from .._context import reset_in_context, set_in_context
from .._core._safe import log
from .._core._values import GENERATOR, CancelAfterItems, kind_of_result
from ._api import CallSpan

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterable
    from contextvars import Token
    from types import TracebackType
    from typing import TypeVar

    from ._api import EmissionSpan, Instrument

    SpanT = TypeVar("SpanT")
    Target = tuple["ActiveInstrument", Instrument, SpanT]
    Parent = tuple[Instrument, EmissionSpan | CallSpan]

innermost: ContextVar[Any] = ContextVar("cyevents_observed", default=None)
"""The innermost `ObservedEmission` or `ObservedCall` in this context, or None."""


class ActiveInstrument:
    """An instrument that observes emissions, and whether it has failed. `Scope` adds which emissions these are."""

    instrument: Instrument | None  # None: it has stopped
    _has_failed = False

    def _log_failure(self, function: str, failure: Exception) -> None:
        """Log the first exception that the instrument raises where it must not."""
        if self._has_failed:
            return
        self._has_failed = True
        try:
            log(
                "ERROR",
                "the instrument's %s raised: the emission goes on; further exceptions in this scope are not logged",
                function,
                exc_info=failure,
            )
        except Exception:  # no stack is left, say
            pass


def call_safely(scope: ActiveInstrument, span: Any, method: str, *args: Any) -> Any:
    """Call a method of a span and return its result. If it raises, log the exception and return None."""
    try:
        return getattr(span, method)(*args)
    except Exception as failure:
        scope._log_failure(f"{type(span).__qualname__}.{method}", failure)
        return None


def overrides(span: object, base: type, method: str) -> bool:
    """Return whether the class of a span overrides a method of its base class."""
    return getattr(type(span), method, None) is not getattr(base, method)


def notify(targets: Iterable[Target[Any]], method: str, *args: Any) -> None:
    """Call a method of all spans, and log exceptions."""
    for scope, _, span in targets:
        call_safely(scope, span, method, *args)


def end_all(targets: list[Target[Any]], result: Any, error: BaseException | None) -> None:
    """End all spans, the last one first, and empty the list."""
    while targets:
        scope, _, span = targets.pop()
        try:
            call_safely(scope, span, "end", result, error)
        except BaseException:  # such as a KeyboardInterrupt: end the other spans first
            end_all(targets, result, error)
            raise


class ObservedCall:
    """One observed call of a handler: calls the call spans."""

    __slots__ = ("_spans", "_tokens", "parents")

    def __init__(self, parents: dict[int, Parent], spans: list[Target[CallSpan]]) -> None:
        self.parents = parents | {id(instrument): (instrument, span) for _, instrument, span in spans}
        self._spans = spans
        self._tokens: list[Token[Any]] = []

    def __enter__(self) -> None:
        self._tokens.append(set_in_context(innermost, self))
        notify(self._spans, "enter")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        same_context = True
        try:
            reset_in_context(innermost, self._tokens.pop())
        except ValueError:  # another context, such as when a task is destroyed
            same_context = False
        notify(reversed(self._spans), "exit", same_context)
        if error is not None:
            self.end(None, error)

    def scheduled(self) -> None:
        """Report that the handler has returned an awaitable, which will be awaited."""
        notify(self._spans, "scheduled")

    def started(self) -> None:
        """Report that the awaitable starts to run."""
        notify(self._spans, "started")

    def followers_of_steps(self) -> list[Target[CallSpan]]:
        """Return the spans that follow each step of the awaitable; for most calls there is none."""
        names = ("suspended", "resumed")
        return [target for target in self._spans if any(overrides(target[2], CallSpan, name) for name in names)]

    def end(self, value: Any, error: BaseException | None) -> None:
        """Report that the handler has returned, or raised."""
        end_all(self._spans.copy(), value, error)


class DeliveredCall(ObservedCall):
    """An observed call that the target of `via` makes later, or never."""

    __slots__ = ("_has_ended",)

    def __init__(self, parents: dict[int, Parent], spans: list[Target[CallSpan]]) -> None:
        self._has_ended = False
        super().__init__(parents, spans)

    def end(self, value: Any, error: BaseException | None) -> None:
        """Report that the handler has returned, or raised."""
        self._has_ended = True
        super().end(value, error)

    def __del__(self) -> None:
        if not self._has_ended:
            self.end(None, GeneratorExit("it was not called"))


def call_observed(call: ObservedCall, handler: Any, kinds: tuple[int, ...], /, *args: Any, **kwargs: Any) -> Any:
    """Call a handler. Wrap its result, if the emission runs results of that kind, to report its end."""
    with call:
        result = handler(*args, **kwargs)
    kind = kind_of_result(result)
    if kind not in kinds:
        call.end(result, None)
        return result
    if kind == GENERATOR:
        return _observed_generator(call, result)
    call.scheduled()
    return ObservedCoroutine(call, as_coroutine(result, kind))


call_observed.calls_observed_handler = True  # type: ignore[attr-defined] # for notes on errors, which name the handler


def _observed_generator(call: ObservedCall, generator: Any) -> Generator[Any, Any, Any]:
    with call:
        while True:
            try:
                item = next(generator)
            except StopIteration as stop:
                value = stop.value
                break
            yield item
    call.end(value, None)
    return value


class ObservedCoroutine(CoroutineWrapper):
    """Runs a coroutine, and reports its start and its end."""

    _state: Literal["new", "begun", "over"] = "over"  # for `__del__`, if there was no memory to create it

    def __init__(self, call: ObservedCall, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._call = call
        self._coroutine = coroutine
        self._followers = call.followers_of_steps()
        if self._followers and isinstance(coroutine, CoroutineWrapper):
            coroutine.follow(partial(notify, self._followers))
        self._state = "new"

    def close(self) -> None:
        """Close the coroutine."""
        if self._state == "begun":
            notify(self._followers, "resumed")
        try:
            self._coroutine.close()
        finally:
            self._over(None, GeneratorExit())

    def __del__(self) -> None:
        if self._state == "begun":  # its task is destroyed: a loop was closed with tasks pending
            self.close()
        else:  # the inner coroutine itself warns if it was never awaited
            self._over(None, GeneratorExit())

    def _step(self, step: Callable[..., Any], *given: Any) -> Any:
        if self._state == "new":
            self._state = "begun"
            self._call.__enter__()
            self._call.started()
        elif self._followers and self._state == "begun":
            notify(self._followers, "resumed")
        try:
            item = super()._step(step, *given)
        finally:
            del given  # it may hold the exception that is raised
        if self._followers:
            notify(reversed(self._followers), "suspended")
        return item

    def _over(self, value: Any, error: BaseException | None) -> None:
        state, self._state = self._state, "over"
        if state == "over":
            return
        if state == "begun":
            self._call.__exit__(None, None, None)
        coroutine = self._coroutine
        if isinstance(coroutine, CoroutineWrapper) and coroutine.superseded is not None:
            value, error = None, coroutine.superseded
        self._call.end(value, error.__cause__ if type(error) is CancelAfterItems else error)
