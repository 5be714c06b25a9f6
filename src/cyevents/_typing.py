"""Types for annotations: type variables, options and decorators. Only type checkers import this module.

In `Event[SenderT, ArgsP]`, `ArgsP` is what an event is emitted with after the sender. Without it, as in `Event[Order]`,
it is `...`: handlers are not checked, and keep their types when they are decorated. If it is declared, handlers are
checked, and a decorated one gets the type that the event calls it by, since Python cannot express "its own type, which
must be compatible with this one". Overloads distinguish the two cases by `[Undeclared]`, which only `...` accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, Protocol, TypedDict, Union, overload

from typing_extensions import ParamSpec, TypeVar

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from concurrent.futures import Executor

    from ._mailbox import Mailbox
    from ._public import Event

SenderT = TypeVar("SenderT", default=Any)
ArgsP = ParamSpec("ArgsP", default=...)
HandlerT = TypeVar("HandlerT", bound=Callable[..., Any], default=Callable[..., Any])
ResultT = TypeVar("ResultT", default=Any)


SomeEvents = Sequence["str | Event[Any, ...]"]  # at run time a list or a tuple
Overlap = Literal["parallel", "queue", "skip", "restart", "latest"]
ErrorPolicy = Literal["raise", "group"] | Callable[[Exception, Any, "Event[Any]", Any], object] | None


Target = Union["Mailbox", "AbstractEventLoop", "Executor"]  # what handlers can be delivered to


class Undeclared:
    """An argument that no event is emitted with."""


class Decorator(Generic[SenderT, ArgsP]):
    """The decorator that `on(event)` and `event.connect()` return."""

    @overload
    def __call__(self: Decorator[SenderT, [Undeclared]], handler: HandlerT, /) -> HandlerT: ...
    @overload
    def __call__(
        self, handler: Callable[Concatenate[SenderT, ArgsP], ResultT], /
    ) -> Callable[Concatenate[SenderT, ArgsP], ResultT]: ...
    def __call__(self, handler: Any, /) -> Any:
        """Connect the handler, and return it."""
        raise NotImplementedError


class Flags(TypedDict, total=False):
    """The options of `connect`, `subscribe`, `connected_to` and `on` that are only given by keyword."""

    once: bool
    thread: bool
    replay: bool
    via: Target | None
    overlap: Overlap
    limit: int | None
    timeout: float | None


class KeywordOptions(Flags, total=False):
    """All options but `with_event`, given by keyword."""

    weak: bool
    priority: int
    condition: Callable[..., object] | None


class Options(KeywordOptions, total=False):
    """Options of a handler that is checked against what the event is emitted with."""

    with_event: Literal[False]


class EventOptions(KeywordOptions):
    """Options of a handler that is not checked, since it gets the keyword `event` too."""

    with_event: Literal[True]


class AnyOptions(KeywordOptions, total=False):
    """Options of any handler of an event that declares nothing."""

    with_event: bool


class EventScope(Protocol):
    """A scope of `cyevents.instrument`, or of a hold, as events and namespaces use it."""

    is_hold: bool

    def attach(self, event: Any) -> None:
        """Cover a new event, if its name matches. Called under the lock, or while nothing else knows the event."""

    def covers(self, name: str) -> bool:
        """Return whether events of this name are observed, or held."""
        raise NotImplementedError
