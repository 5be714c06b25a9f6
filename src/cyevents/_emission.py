"""`Emission`: one emission as an object, for waits, streams, holds and the recorder of `cyevents.testing`."""

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

    class SenderGeneric(Generic[SenderT]):
        """Generic for type checkers; at run time `cls[...]` is a plain alias, since importing typing is slow."""
else:
    SenderT = None

    class SenderGeneric:
        """Base class of classes that are generic for type checkers."""

        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)


class Emission(SenderGeneric[SenderT]):
    """One emission, as you get it from a wait, a stream, a hold or `cyevents.testing.Recorder`.

    Its `repr` is the call in Python: `emit('order.placed', 'ada', total=12)`.

    Attributes:
        event: the emitted `Event`; for a pattern, the one that matched.
        sender: the object that emitted it, or `ANY`.
        args: the other positional arguments, a tuple.
        kwargs: the keyword arguments, a dict.
    """

    __slots__ = ("args", "event", "kwargs", "sender")

    sender: SenderT
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __init__(self, event: Event[Any], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.event: Event[Any] = event  # annotated in the class body, type checkers would bind it
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
    """Return the `repr` of an argument of an emission, shortened."""
    return short_repr(value, 160)


def call_text(name: str, sender: object, args: tuple[object, ...], kwargs: dict[str, Any]) -> str:
    """Return an emission as a call in Python, with its arguments shortened."""
    given = [repr(name)]
    if sender is not ANY or args:
        given.append(brief(sender))
    given += [brief(value) for value in args]
    given += [f"{keyword}={brief(value)}" for keyword, value in kwargs.items()]
    return f"emit({', '.join(given)})"
