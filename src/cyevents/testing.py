"""Helpers for tests: `Recorder` records emissions and checks them, `Isolation` undoes the changes of a test."""

from __future__ import annotations

from ._checks import hint_for, is_pattern
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
    from typing import Any

    from .instrument import EmissionStart, Scope

__all__ = ["Emission", "Isolation", "Recorder"]

_MAX_SHOWN = 10  # emissions in the message of a failed assertion


class _RecordingInstrument(Instrument):
    """Appends emissions to a list when they begin."""

    def __init__(self, emissions: list[Emission]) -> None:
        self._emissions = emissions

    def begin(self, start: EmissionStart, /) -> None:
        self._emissions.append(Emission(start.event, start.sender, start.args, start.kwargs.copy()))


class Recorder:
    """Records the emissions of namespaces and events, in the order in which they begin.

    It is a context manager and a sequence of `Emission`. Under pytest, the fixture `events` or `cyevents` is one.

    It records every emission in any thread, also if it is cancelled or fails, if the event is muted, or if the name has
    no event. A nested emission comes after the enclosing one, and an async one when it is awaited. Recording does not
    change which handlers are called. Until `clear`, the recorder holds senders and arguments, which it does not copy.

    Args:
        *sources: the namespaces and events to record; by default the default namespace.

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

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def record(self, *sources: Namespace | Event[Any]) -> None:
        """Also record these namespaces and events.

        Raises:
            TypeError: if a source is neither, or is a pattern.
        """
        for source in sources:
            _check_source(source)
        if sources:
            self._scopes.append(observe(_RecordingInstrument(self._emissions), *sources))

    def stop(self) -> None:
        """Stop recording. The recorded emissions stay."""
        while self._scopes:
            self._scopes.pop().stop()

    def clear(self) -> None:
        """Remove the recorded emissions, and continue to record."""
        self._emissions.clear()

    def __len__(self) -> int:
        return len(self._emissions)

    def __iter__(self) -> Iterator[Emission]:
        return iter(self._emissions.copy())

    def __getitem__(self, index: int) -> Emission:
        return self._emissions[index]

    @property
    def names(self) -> list[str]:
        """The names of the emitted events, in order."""
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
        """Return the matching emissions in order. The arguments are those of `assert_emitted`."""
        return _Expected(event, sender, args, kwargs, where).matches_in(list(self))

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
        """Fail unless there was such an emission. The arguments are those of `emit`.

        Args:
            event: the event's name, a pattern of names, or the `Event`.
            sender: the sender, or an equal object; `ANY` for any.
            *args: all other positional arguments; not compared if none are given.
            times: how many such emissions there must be; `None` for one or more.
            where: called with each `Emission` that matches otherwise. A false result rejects it.
            **kwargs: keyword arguments that the emission must have, with equal values. It may have others. To check
                keywords named `times` and `where`, use `where`.

        Returns:
            The matching emissions.

        Raises:
            AssertionError: if there are none, or not that many. The message shows what was emitted instead.
            TypeError: if `event` is neither a non-empty string nor an `Event`, or `times` is not a whole number.
        """
        __tracebackhide__ = True
        if times is not None and (type(times) is not int or times < 0):
            raise TypeError(f"times must be a whole number from 0 on, or None, not {safe_repr(times)}")
        expected = _Expected(event, sender, args, kwargs, where)
        recorded = list(self)
        found = expected.matches_in(recorded)
        if len(found) != times if times is not None else not found:
            count = "once or more" if times is None else _times(times)
            raise AssertionError(_failure(expected, count, recorded, found))
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
        """Fail if there was such an emission. The arguments are those of `assert_emitted`."""
        __tracebackhide__ = True
        expected = _Expected(event, sender, args, kwargs, where)
        recorded = list(self)
        found = expected.matches_in(recorded)
        if found:
            raise AssertionError(_failure(expected, "not at all", recorded, found))


class _Expected:
    """The emission that an assertion describes."""

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
            text = f"an event is given by its name, a non-empty str, or as an Event, not as {safe_repr(event)}"
            raise TypeError(text + hint_for(event))
        self.name: str = event if type(event) is str else event.name
        self.event = None if type(event) is str else event
        self.sender = sender
        self.args = args
        self.kwargs = kwargs
        self.where = where
        self.matches_name = matcher(self.name) if is_pattern(self.name) else self.name.__eq__

    def __repr__(self) -> str:
        return call_text(self.name, self.sender, self.args, self.kwargs) + " where ..." * (self.where is not None)

    def matches_in(self, emissions: list[Emission]) -> list[Emission]:
        """Return the emissions that match."""
        return [emission for emission in emissions if not self.differences(emission)]

    def differences(self, emission: Emission) -> list[str]:
        """Return how an emission differs from the expected one, as texts; none if it matches."""
        texts = []
        if not self.matches_name(emission.name):
            texts.append(f"the event is {emission.name!r}")
        elif self.event is not None and not self._is_event(emission.event):
            texts.append("the event is another one of that name")
        if self.sender is not ANY and not _equal(emission.sender, self.sender):
            texts.append(f"the sender is {brief(emission.sender)}, not {brief(self.sender)}")
        if self.args and not _equal(emission.args, self.args):
            texts.append(f"the positionals are {brief(emission.args)}, not {brief(self.args)}")
        for name, value in self.kwargs.items():
            if name not in emission.kwargs:
                texts.append(f"there is no {name}")
            elif not _equal(emission.kwargs[name], value):
                texts.append(f"{name} is {brief(emission.kwargs[name])}, not {brief(value)}")
        if not texts and self.where is not None and not self.where(emission):
            texts.append("where is false")
        return texts

    def _is_event(self, event: Event[Any]) -> bool:
        # In one namespace the name decides: the expected event may be a pattern, or made after the emission.
        expected = self.event
        assert expected is not None
        return event is expected or (expected.namespace is not None and event.namespace is expected.namespace)

    def distance(self, emission: Emission) -> float:
        """Return how far an emission is from the expected one, to sort by."""
        from difflib import SequenceMatcher

        distance = float(len(self.differences(emission)))
        if not self.matches_name(emission.name):
            distance += 2 - SequenceMatcher(None, self.name, emission.name).ratio()
        return distance


def _failure(expected: _Expected, count: str, recorded: list[Emission], found: list[Emission]) -> str:
    """Return the message of a failed assertion: what matched, else the nearest emissions and how they differ."""
    lines = [f"expected {count}: {expected!r}"]
    if not recorded:
        return f"{lines[0]}\nnothing was emitted"
    numbers = {id(emission): number for number, emission in enumerate(recorded)}
    listed = found or sorted(recorded, key=expected.distance)
    lines.append(f"emitted {_times(len(found))}:" if found else "emitted instead, nearest first:")
    for emission in listed[:_MAX_SHOWN]:
        lines.append(f"  [{numbers[id(emission)]}] {emission!r}")
        if not found:
            lines += [f"        {text}" for text in expected.differences(emission)]
    if len(listed) > _MAX_SHOWN:
        lines.append(f"  ... and {len(listed) - _MAX_SHOWN} more")
    return "\n".join(lines)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{int_text(count)} times"


def _equal(one: Any, other: Any) -> bool:
    """Return whether two values are identical or equal; False if comparing them raises, as for arrays."""
    if one is other:
        return True
    try:
        return bool(one == other)
    except Exception:
        return False


def _check_source(source: Any) -> None:
    if not isinstance(source, (Namespace, Event)) or isinstance(source, Pattern):
        raise TypeError(f"a Namespace or an Event can be recorded, not {safe_repr(source)}")
