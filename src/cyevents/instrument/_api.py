"""The classes that users of `cyevents.instrument` override, and what the overridden methods receive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from .._event import Event

    Way = Literal["emit", "send", "first", "emit_async", "send_async", "first_async"]


class HandlerEntry(Protocol):
    """One connection of a handler, an argument of methods of `EmissionSpan`. It has no other public attributes."""

    @property
    def name(self) -> str:
        """The handler's qualified name, also if the handler is dead."""
        ...

    @property
    def priority(self) -> int:
        """The priority with which the handler is connected."""
        ...


class EmissionStart:
    """An emission that begins, the argument of `Instrument.begin`.

    Attributes:
        event: the `Event`.
        way: `"emit"`, `"send"`, `"first"`, `"emit_async"`, `"send_async"` or `"first_async"`.
        sender: the sender; `ANY` if the emission has none.
        args: the other positional arguments, a tuple.
        kwargs: the keyword arguments of the handlers: do not change this dict, and copy it to keep it.
        parent: the enclosing span of the same instrument, a `CallSpan` or an `EmissionSpan`, or `None`; also in the
            tasks and threads of handlers.
        origin: the value given to `origin` around this emission, or `None`.
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
        """Call a function when all instruments have begun and none has vetoed, before the first handler runs.

        Use it in `Instrument.begin` for actions that must not happen if the emission is vetoed. The callbacks of all
        instruments run in the order in which they were added. Exceptions that they raise are logged and ignored.

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
    """Base class of instruments: `observe` calls one for emissions.

    One instrument may serve any number of scopes. It is called in the emitting thread, so by several threads at the
    same time if they emit. It may also inherit from `EmissionSpan`, and return itself from `begin`.
    """

    __slots__ = ()

    def begin(self, start: EmissionStart, /) -> EmissionSpan | None:
        """Called when an emission begins, before any handler and any condition runs.

        An exception raised here vetoes the emission: no handler runs, the emitter gets the exception, whatever
        `on_error` says, and the spans of instruments that have already begun end with it. A `Cancel` is raised as well:
        only one from a handler makes the emitter get a `Cancelled`.

        Args:
            start: the emission.

        Returns:
            The span that is called during the rest of the emission, or `None`.
        """
        return None


class EmissionSpan:
    """Base class of spans: an instrument's view of one emission.

    Only `wait_done` may raise. Exceptions of other methods do not affect the emission: the first one in a scope is
    logged with its traceback on the logger `cyevents`.
    """

    __slots__ = ()

    def plan(self, entries: tuple[HandlerEntry, ...], /) -> None:
        """Called with the next handlers in order, before the first of them runs.

        `emit`, `send` and `first` call it once with all handlers; `emit_async`, `send_async` and `first_async` call it
        for each priority before any handler runs. Some handlers may not be reached, since a handler may cancel the
        rest, raise, or answer in `first` or `first_async`.

        Args:
            entries: the handlers' connections.
        """

    def skip(self, entry: HandlerEntry, handler: Any, reason: str, error: Exception | None, /) -> None:
        """Called when a handler is reached, but not called.

        Args:
            entry: the handler's connection.
            handler: the handler; `None` if it is dead.
            reason: `"its condition is false"`, `"its condition raised"`, `"it is dead"`, `"it was disconnected
                meanwhile"`, `"it has been called once"` or, with `overlap="skip"`, `"its earlier call still runs"`.
            error: the exception that its condition raised, else `None`.
        """

    def call(self, entry: HandlerEntry, handler: Any, /) -> CallSpan | None:
        """Called when a handler is about to be called.

        Args:
            entry: the handler's connection.
            handler: the handler.

        Returns:
            The span that is called during this call, or `None`.
        """
        return None

    async def wait_done(self) -> None:
        """Awaited by `emit_async`, `send_async` and `first_async` when the handlers are done, span after span.

        It is not awaited if they raise. Override it if an emission must wait for something else, such as a broker's
        confirmation. Its exceptions are raised to the emitter, whatever `on_error` says.
        """

    def end(self, results: list[Any] | None, error: BaseException | None, /) -> None:
        """Called once when the emission is over.

        Only async handlers that `emit` has scheduled, and calls that were delivered to the target of `via`, end later.

        Args:
            results: the list that the emitter gets (of pairs for `send` and `send_async`; of one result at most for
                `first` and `first_async`; `Cancelled` if a handler has cancelled the rest): do not change it. `None` if
                the emission raises.
            error: the exception that the emitter gets, else `None`.
        """


class CallSpan:
    """Base class of call spans: an instrument's view of one call of a handler.

    The call of an async handler or a generator lasts until that has ended, except for `send`, which does not run it,
    and for generators in `send_async`.
    As in `EmissionSpan`, exceptions that the methods raise are logged.
    """

    __slots__ = ()

    def enter(self) -> None:
        """Called when the handler starts to run in the current context.

        This happens for the call itself, and again when the coroutine or the generator that it returned starts to run.
        Context variables that are set here are visible to the handler.
        """

    def exit(self, same_context: bool, /) -> None:
        """Called after each `enter`, when the call, the coroutine or the generator has ended.

        Args:
            same_context: whether this is the context of the `enter`, so that context variables can be reset. It is
                another one if a suspended handler is closed from outside, for example after its loop was closed.
        """

    def delivered(self) -> None:
        """Called when the call was passed to the target of `via`, which is going to make it, and then calls `enter`.

        The target may be another thread. If the call is dropped instead, `end` gets a `GeneratorExit`.
        """

    def scheduled(self) -> None:
        """Called when the call has returned an awaitable, such as a coroutine, which is going to be awaited."""

    def started(self) -> None:
        """Called when the awaitable starts to run, after `enter`."""

    def suspended(self) -> None:
        """Called each time the awaitable suspends: it has run since `started`, or since the last `resumed`."""

    def resumed(self) -> None:
        """Called each time the awaitable goes on after a `suspended`, also if that is only to be closed."""

    def end(self, value: Any, error: BaseException | None, /) -> None:
        """Called once when the handler has ended, last.

        Args:
            value: the handler's result: for a coroutine its result, for an async generator the list of values that it
                yielded, for a generator its return value.
            error: the exception that it raised, else `None`; a `CancelledError` or `GeneratorExit` if it was cancelled
                or closed, possibly before it started. A `Cancel` is not a failure: the handler cancels by it. A call
                that a later one stops, as `overlap` says, ends with a `CancelledError`, also where it has not begun.
        """
