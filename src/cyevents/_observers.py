"""Observers: what is told of every emission that they observe, as it runs. The tracing and the bridge are some.

`_watching` puts them to work, and `_observation` makes the emissions that they are told of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._backend import Entry
    from ._event import Event

    Way = Literal["emit", "send", "emit_async"]


class Beginning(NamedTuple):
    """An emission that begins.

    Attributes:
        event: the event.
        way: how it is emitted.
        sender: who emits.
        args: the positionals.
        kwargs: the keywords.
        parent: the observer's own `Call`, or `Watch`, within which that happens; `None` if there is none.
        origin: what this emission comes from, by `ComesFrom`; `None` if it begins here.
        agreed: to be appended to: what is called once no observer has raised, and does not raise.
    """

    event: Event[Any]
    way: Way
    sender: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    parent: Any
    origin: Any
    agreed: list[Callable[[], None]]


class Observer:
    """Who is told of emissions. What it does not override, it is not interested in."""

    def begin(self, beginning: Beginning) -> Watch | None:
        """An emission begins: what this raises, the emitter gets, and no handler is called.

        Returns what is to be told of the rest, or `None`.
        """
        return None


class Watch:
    """One emission, for one observer. Its methods are called where the emission runs, and do not raise."""

    def plan(self, entries: tuple[Entry, ...]) -> None:
        """These are to be called next, in this order: all of them, or in `emit_async` all of one priority."""

    def skip(self, entry: Entry, handler: Any, error: Exception | None) -> None:
        """A handler is not called: `None` if it is dead. The error is what its condition raised."""

    def call(self, entry: Entry, handler: Any) -> Call | None:
        """A handler is about to be called. Return what is to be told of that, or `None`."""
        return None

    async def settle(self) -> None:
        """Wait for what an `emit_async` that has succeeded is to wait for besides its handlers."""

    def end(self, results: list[Any] | None, error: BaseException | None) -> None:
        """The emission is over: with what it returns, or what it raises."""


class Call:
    """One call of a handler, for one observer: of an async handler or a generator until that has ended."""

    def enter(self) -> None:
        """The handler runs in this context: twice one whose call returns what is run then, as of an async handler."""

    def scheduled(self) -> None:
        """The call has returned something that will be awaited."""

    def started(self) -> None:
        """What is awaited begins."""

    def leave(self, is_here: bool) -> None:
        """What was entered last ends: in the same context, or, where that is gone, in another."""

    def end(self, value: Any, error: BaseException | None) -> None:
        """The handler has returned a value, or raised; `GeneratorExit` if it was closed, perhaps before it began."""


def why_skipped(entry: Entry, handler: Any, error: Exception | None) -> str:
    """In a few words why a handler is not called, given what `Watch.skip` is."""
    if error is not None:
        return "its condition raised"
    if handler is None:
        return "it is dead"
    if entry.spent:
        return "it has been called once"
    if entry.is_off():
        return "it was disconnected meanwhile"
    return "its condition said no"
