"""The classes that users of `cyevents.instrument` override, and what the overridden methods receive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from .._event import Event

    Way = Literal["emit", "send", "emit_async"]


class HandlerEntry(Protocol):
    """One connection of a handler, as the methods of an `EmissionSpan` get it.

    Nothing else of the objects that are passed is public.
    """

    @property
    def name(self) -> str:
        """The handler's qualified name. It is known also when the handler is dead."""
        ...

    @property
    def priority(self) -> int:
        """The priority with which the handler is connected."""
        ...


class EmissionStart:
    """An emission that begins: the argument of `Instrument.begin`.

    Attributes:
        event: the `Event`.
        way: `"emit"`, `"send"` or `"emit_async"`.
        sender: the sender; `ANY` if the emission has none.
        args: the other positional arguments, a tuple.
        kwargs: the keyword arguments, a dict. Handlers get their arguments from it: do not change it, and copy it to
            keep it.
        parent: the span of the same instrument that this emission was made in: a `CallSpan` or an `EmissionSpan`;
            `None` if there is none. It also follows handlers into tasks and threads.
        origin: the value given to `origin` around this emission; `None` without.
    """

    __slots__ = ("_callbacks", "args", "event", "kwargs", "origin", "parent", "sender", "way")

    def __init__(
        self,
        event: Event[Any],
        way: Way,
        sender: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        parent: Any = None,
        origin: Any = None,
    ) -> None:
        self.event = event
        self.way: Way = way
        self.sender = sender
        self.args = args
        self.kwargs = kwargs
        self.parent = parent
        self.origin = origin
        self._callbacks: list[Callable[[], object]] | None = []

    def on_accepted(self, callback: Callable[[], object], /) -> None:
        """Call a function once all instruments have begun and none has vetoed, before the first handler runs.

        Use it in `Instrument.begin` for what must not happen for a vetoed emission. The callbacks of all instruments
        run in the order in which they were added. An exception that one raises is logged, and nothing else happens.

        Args:
            callback: called without arguments.

        Raises:
            RuntimeError: if the emission has already been accepted or vetoed.
        """
        if self._callbacks is None:
            raise RuntimeError("on_accepted was called after the emission had begun: call it in Instrument.begin")
        self._callbacks.append(callback)

    def __repr__(self) -> str:
        return f"<EmissionStart: {self.way} {self.event!r}>"


class Instrument:
    """Base class of instruments. `observe` puts one to work.

    One instrument may serve any number of scopes. It is called in the thread that emits, so by several threads at the
    same time if these emit. It may also inherit from `EmissionSpan`, and return itself from `begin`.
    """

    __slots__ = ()

    def begin(self, start: EmissionStart, /) -> EmissionSpan | None:
        """Called when an emission begins, before any handler and any condition runs.

        An exception raised here vetoes the emission: no handler runs, the emitter gets the exception unchanged and
        regardless of `on_error`, and the spans of instruments that had already begun end with it.

        Args:
            start: the emission.

        Returns:
            What follows the rest of the emission, or `None`.
        """
        return None


class EmissionSpan:
    """Base class of what follows one emission for one instrument.

    Only `wait_done` may raise. An exception that another method raises does not affect the emission: the first one in
    a scope is logged, with its traceback, on the logger `cyevents`.
    """

    __slots__ = ()

    def plan(self, entries: tuple[HandlerEntry, ...], /) -> None:
        """Called with the handlers that come next, in order.

        For `emit` and `send` that is once, with all of them; for `emit_async` once for each priority, all before the
        first handler runs. Not each of them need get its turn: a handler may cancel the rest, or raise.

        Args:
            entries: the handlers' connections.
        """

    def skip(self, entry: HandlerEntry, handler: Any, reason: str, error: Exception | None, /) -> None:
        """Called when the turn of a handler comes and it is not called.

        Args:
            entry: the handler's connection.
            handler: the handler; `None` if it is dead.
            reason: `"its condition said no"`, `"its condition raised"`, `"it is dead"`, `"it was disconnected
                meanwhile"` or `"it has been called once"`.
            error: the exception that its condition raised, else `None`.
        """

    def call(self, entry: HandlerEntry, handler: Any, /) -> CallSpan | None:
        """Called when a handler is about to be called.

        Args:
            entry: the handler's connection.
            handler: the handler.

        Returns:
            What follows this call, or `None`.
        """
        return None

    async def wait_done(self) -> None:
        """Awaited by `emit_async` when the handlers are done and it has nothing to raise; of several spans in turn.

        Override it if an emission is done only when something else is, such as a confirmation by a broker. An
        exception raised here is raised by `emit_async`, unchanged and regardless of `on_error`.
        """

    def end(self, results: list[Any] | None, error: BaseException | None, /) -> None:
        """Called once when the emission is over: last, but for async handlers that `emit` has scheduled.

        Args:
            results: the list that the emitter gets (of pairs for `send`; `Cancelled` if a handler has cancelled): do
                not change it. `None` if the emission raises.
            error: the exception that the emitter gets, else `None`.
        """


class CallSpan:
    """Base class of what follows one call of one handler for one instrument.

    An async handler or a generator is followed until it has ended. The exception to that is `send`, which returns
    what the call returned and does not run it. As in `EmissionSpan`, exceptions that the methods raise are logged.
    """

    __slots__ = ()

    def enter(self) -> None:
        """Called when the handler starts to run in the current context.

        That happens once for the call itself, and once more for what the call has returned: the coroutine, in its
        task, or the generator. Context variables that are set here are visible to the handler.
        """

    def exit(self, same_context: bool, /) -> None:
        """Called for each `enter`, when what was entered has ended.

        Args:
            same_context: whether this is the context of the `enter`, so that context variables can be reset. It is
                not where a suspended handler is closed from elsewhere, as when its loop is gone.
        """

    def scheduled(self) -> None:
        """Called when the call has returned something that will be awaited, such as a coroutine."""

    def started(self) -> None:
        """Called when that starts to run, after `enter`."""

    def end(self, value: Any, error: BaseException | None, /) -> None:
        """Called once when the handler has ended, last.

        Args:
            value: what the handler has returned: for a coroutine the result, for an async generator the list of what
                it has yielded, for a generator its return value.
            error: the exception that it has raised, else `None`; a `CancelledError` or `GeneratorExit` if it was
                cancelled or closed, perhaps before it started.
        """
