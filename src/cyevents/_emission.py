"""`Emission`: one emission as a value, as streams give it and tests' recorders note it."""

from __future__ import annotations

from types import GenericAlias

from ._core._values import ANY
from ._text import short_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Generic

    from typing_extensions import TypeVar

    from ._public import Event

    SenderT = TypeVar("SenderT", default=Any)

    class _Parametrised(Generic[SenderT]):
        pass
else:
    SenderT = None

    class _Parametrised:
        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)


class Emission(_Parametrised[SenderT]):
    """One emission, as `Event.wait`, `Event.stream` and `cyevents.testing.Recorder` give it.

    Its `repr` is the call as one writes it: `emit('order.placed', 'ada', total=12)`.

    Attributes:
        event: the `Event` that was emitted; for a pattern, the one that matched.
        sender: who emitted it, or `ANY`.
        args: the positionals, a tuple.
        kwargs: the keywords, a dict of its own.
    """

    __slots__ = ("args", "event", "kwargs", "sender")

    event: Event[Any]
    sender: SenderT
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __init__(self, event: Event[Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.event = event
        self.sender = sender
        self.args = args
        self.kwargs = kwargs

    @property
    def name(self) -> str:
        """The event's name."""
        return self.event.name

    def __repr__(self) -> str:
        return call_text(self.event.name, self.sender, self.args, self.kwargs)


def brief(value: object) -> str:
    """The `repr` of what is given with an emission, shortened."""
    return short_repr(value, 160)


def call_text(name: str, sender: object, args: tuple[object, ...], kwargs: dict[str, Any]) -> str:
    """An emission as one writes it, what is given with it shortened."""
    given = [repr(name)]
    if sender is not ANY or args:
        given.append(brief(sender))
    given += [brief(value) for value in args]
    given += [f"{keyword}={brief(value)}" for keyword, value in kwargs.items()]
    return f"emit({', '.join(given)})"
