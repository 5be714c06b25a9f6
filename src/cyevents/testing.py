"""For tests, under any runner: `Recorder` notes what is emitted and asserts it, `Isolation` undoes a test's changes."""

from __future__ import annotations

from ._checks import is_pattern
from ._core._safe import exact_str, int_text, safe_isinstance, safe_repr
from ._core._values import ANY
from ._emission import Emission, brief, call_text
from ._event import Event, Pattern
from ._isolation import Isolation
from ._namespace import Namespace, default_namespace
from ._patterns import matcher
from .instrument import Instrument, observe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Any

    from .instrument import EmissionStart, Scope

__all__ = ["Emission", "Isolation", "Recorder"]

_SHOWN = 10  # how many emissions a failure shows


class _EmissionRecorder(Instrument):
    """Records emissions when they begin."""

    def __init__(self, emissions: list[Emission]) -> None:
        self._emissions = emissions

    def begin(self, start: EmissionStart, /) -> None:
        self._emissions.append(Emission(start.event, start.sender, start.args, start.kwargs.copy()))


class Recorder:
    """Notes the emissions of namespaces, and of events that are in none, in the order in which they began.

    It is a sequence of `Emission`, and a context manager; under pytest, the fixture `events` is one. It
    notes an emission when it begins, whether or not it is then cancelled or fails, whichever way it is
    made (`emit`, `emit_async`, when that is awaited, or `send`), in any thread, and whether or not the
    name has an event. An emission within another comes after it.

    It is not a handler: it does not change which handlers are called or cancelled, and muted events are
    noted too. Senders and arguments are held until `clear` or the end, and are noted as they are, not copied.

    Args:
        *sources: namespaces and events to record; the default namespace if none is given.

    Raises:
        TypeError: if a source is neither, or is a pattern.

    Thread-safe.

    Example:
        >>> from cyevents import emit
        >>> from cyevents.testing import Recorder
        >>> with Recorder() as events:
        ...     emit("order.placed", "ada", total=12)
        []
        >>> events.assert_emitted("order.*", "ada", times=1)
        [emit('order.placed', 'ada', total=12)]
    """

    def __init__(self, *sources: Namespace | Event[Any]) -> None:
        self._sources = sources or (default_namespace,)
        self._emissions: list[Emission] = []
        self._scopes: list[Scope] = []
        for source in self._sources:
            _check_source(source)

    def __enter__(self) -> Recorder:
        self.record(*self._sources)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def record(self, *sources: Namespace | Event[Any]) -> None:
        """Record these too: namespaces, and events that are in none.

        Raises:
            TypeError: if a source is neither, or is a pattern.
        """
        for source in sources:
            _check_source(source)
        if sources:
            self._scopes.append(observe(_EmissionRecorder(self._emissions), *sources))

    def stop(self) -> None:
        """Record no more. What has been recorded stays."""
        while self._scopes:
            self._scopes.pop().stop()

    def clear(self) -> None:
        """Forget what has been recorded so far, and go on."""
        self._emissions.clear()

    # As a sequence

    def __len__(self) -> int:
        return len(self._emissions)

    def __iter__(self) -> Iterator[Emission]:
        return iter(self._emissions.copy())

    def __getitem__(self, index: int) -> Emission:
        return self._emissions[index]

    @property
    def names(self) -> list[str]:
        """The names of the events emitted, in order."""
        return [emission.name for emission in self]

    def __repr__(self) -> str:
        return f"<Recorder: {len(self)} emission{'s' * (len(self) != 1)}>"

    # Assertions

    def of(
        self,
        event: str | Event[Any],
        /,
        sender: Any = ANY,
        *args: Any,
        where: Callable[[Emission], object] | None = None,
        **kwargs: Any,
    ) -> list[Emission]:
        """The emissions that match, in order: see `assert_emitted`."""
        wanted = _Wanted(event, sender, args, kwargs, where)
        return [emission for emission in self if not wanted.lacks(emission)]

    def assert_emitted(
        self,
        event: str | Event[Any],
        /,
        sender: Any = ANY,
        *args: Any,
        times: int | None = None,
        where: Callable[[Emission], object] | None = None,
        **kwargs: Any,
    ) -> list[Emission]:
        """Fail unless something was emitted, given as it is to `emit`.

        Args:
            event: the event's name, a pattern of names, or the `Event`.
            sender: the sender, or what is equal to it; `ANY` for any.
            *args: the positionals, if given all of them.
            times: how many such emissions there must be; `None` for one or more.
            where: called with each `Emission` that matches otherwise; a true answer makes it one that counts.
            **kwargs: keywords that must be among the emission's, with equal values. For those named `times`
                and `where`, use `where`.

        Returns:
            The emissions that match.

        Raises:
            AssertionError: if there are none, or not so many. It tells what was emitted instead.
            TypeError: if the event is neither a non-empty string nor an `Event`, or `times` no whole number.
        """
        __tracebackhide__ = True
        if times is not None and (type(times) is not int or times < 0):
            raise TypeError(f"times must be a whole number from 0 on, or None, not {safe_repr(times)}")
        wanted = _Wanted(event, sender, args, kwargs, where)
        recorded = list(self)
        found = [emission for emission in recorded if not wanted.lacks(emission)]
        if len(found) != times if times is not None else not found:
            count = "once or more" if times is None else _times(times)
            raise AssertionError(_told(wanted, count, recorded, found))
        return found

    def assert_not_emitted(
        self,
        event: str | Event[Any],
        /,
        sender: Any = ANY,
        *args: Any,
        where: Callable[[Emission], object] | None = None,
        **kwargs: Any,
    ) -> None:
        """Fail if something was emitted; the arguments are those of `assert_emitted`."""
        __tracebackhide__ = True
        wanted = _Wanted(event, sender, args, kwargs, where)
        recorded = list(self)
        found = [emission for emission in recorded if not wanted.lacks(emission)]
        if found:
            raise AssertionError(_told(wanted, "not at all", recorded, found))


class _Wanted:
    """What an assertion asks for."""

    def __init__(
        self,
        event: Any,
        sender: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        where: Callable[..., object] | None,
    ) -> None:
        event = exact_str(event)
        if not safe_isinstance(event, Event) and (type(event) is not str or not event):
            raise TypeError(
                f"an event is given by its name, a non-empty str, or as an Event, not as {safe_repr(event)}"
            )
        self.name: str = event if type(event) is str else event.name
        self.event = None if type(event) is str else event
        self.sender = sender
        self.args = args
        self.kwargs = kwargs
        self.where = where
        self.matches = matcher(self.name) if is_pattern(self.name) else self.name.__eq__

    def __repr__(self) -> str:
        return call_text(self.name, self.sender, self.args, self.kwargs) + (
            " where ..." if self.where is not None else ""
        )

    def lacks(self, emission: Emission) -> list[str]:
        """What about an emission is not as it is wanted; empty if it is the one."""
        lacks = []
        if not self.matches(emission.name):
            lacks.append(f"the event is {emission.name!r}")
        elif self.event is not None and not self._is_event(emission.event):
            lacks.append("the event is another one of that name")
        if self.sender is not ANY and not _equal(emission.sender, self.sender):
            lacks.append(f"the sender is {brief(emission.sender)}, not {brief(self.sender)}")
        if self.args and not _equal(emission.args, self.args):
            lacks.append(f"the positionals are {brief(emission.args)}, not {brief(self.args)}")
        for name, value in self.kwargs.items():
            if name not in emission.kwargs:
                lacks.append(f"there is no {name}")
            elif not _equal(emission.kwargs[name], value):
                lacks.append(f"{name} is {brief(emission.kwargs[name])}, not {brief(value)}")
        if not lacks and self.where is not None and not self.where(emission):
            lacks.append("where says no")
        return lacks

    def _is_event(self, event: Event[Any]) -> bool:
        wanted = self.event
        assert wanted is not None
        among = wanted._namespace is not None and event._namespace is wanted._namespace  # by name: it may have been
        return event is wanted or among  # unknown when it was emitted, or be a pattern

    def distance(self, emission: Emission) -> float:
        """How far an emission is from what is wanted."""
        from difflib import SequenceMatcher

        distance = float(len(self.lacks(emission)))
        if not self.matches(emission.name):
            distance += 2 - SequenceMatcher(None, self.name, emission.name).ratio()
        return distance


def _told(wanted: _Wanted, count: str, recorded: list[Emission], found: list[Emission]) -> str:
    """What a failed assertion says: what was wanted, what matches, and what else there is, nearest first."""
    lines = [f"expected {count}: {wanted!r}"]
    numbers = {id(emission): number for number, emission in enumerate(recorded)}
    if found:
        lines.append(f"emitted {_times(len(found))}:")
        lines += [f"  [{numbers[id(emission)]}] {emission!r}" for emission in found[:_SHOWN]]
        lines += _rest(found)
        return "\n".join(lines)
    if not recorded:
        lines.append("nothing was emitted")
        return "\n".join(lines)
    lines.append("emitted instead, nearest first:")
    for emission in sorted(recorded, key=wanted.distance)[:_SHOWN]:
        lines.append(f"  [{numbers[id(emission)]}] {emission!r}")
        lines += [f"        {lack}" for lack in wanted.lacks(emission)]
    lines += _rest(recorded)
    return "\n".join(lines)


def _rest(emissions: list[Emission]) -> list[str]:
    return [f"  ... and {len(emissions) - _SHOWN} more"] if len(emissions) > _SHOWN else []


def _times(count: int) -> str:
    return "once" if count == 1 else f"{int_text(count)} times"


def _equal(one: Any, other: Any) -> bool:
    """Whether two values are the same or equal; those that cannot tell, as arrays, are not."""
    if one is other:
        return True
    try:
        return bool(one == other)
    except Exception:
        return False


# What is recorded


def _check_source(source: Any) -> None:
    if not isinstance(source, (Namespace, Event)) or isinstance(source, Pattern):
        raise TypeError(f"a Namespace or an Event can be recorded, not {safe_repr(source)}")
