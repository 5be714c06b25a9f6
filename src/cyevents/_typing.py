"""What type checkers alone see, and no program imports: type variables, and the types of decorators.

`Event[SenderT, ArgsP]`: the second says what an event is emitted with, after the sender. Without it, as in
`Event[Order]`, that is `...`: anything, and handlers are not checked, but keep their types. Where it is declared,
handlers are checked, and a decorated one has the type by which the event calls it: Python's types cannot say "a type of
its own, that fits this one". The overloads tell the two by `[Undeclared]`, which fits `...` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, Generic, Literal, Protocol, TypedDict, overload

from typing_extensions import ParamSpec, TypeVar

SenderT = TypeVar("SenderT", default=Any)
ArgsP = ParamSpec("ArgsP", default=...)
HandlerT = TypeVar("HandlerT", bound=Callable[..., Any], default=Callable[..., Any])
ResultT = TypeVar("ResultT", default=Any)


class Undeclared:
    """No event is emitted with this."""


class Decorator(Generic[SenderT, ArgsP]):
    """What `on(event)` returns."""

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
    """What namespaces and events know of a scope of `cyevents.instrument`."""

    def attach(self, event: Any) -> None:
        """Observe a new event, if its name matches. Called under the lock, or while nothing else knows the event."""

    def covers(self, name: str) -> bool:
        """Return whether events of this name are observed."""
        raise NotImplementedError
