"""blinker's signals on the compiled core: the public names of `cyevents.blinker`.

A signal holds its connections in a core, and its `send` is a C function that uses that core. While a signal is muted,
or if it has had a coroutine function as receiver, or if its class overrides `receivers_for`, that function calls the
`send` written in Python below instead.
"""

from __future__ import annotations

import sys

from .._core import SignalCore
from .._core._values import ANY
from ._receivers import Receivers
from ._state import SignalState, is_coroutine_function, state_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from types import FrameType
    from typing import Any, ClassVar, Self, TypeVar

    from .._core import Entry

    ReceiverT = TypeVar("ReceiverT", bound=Callable[..., Any])
    FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
    Receiver = Callable[..., Any]
    AsyncReceiver = Callable[..., Coroutine[Any, Any, Any]]
    Pairs = list[tuple[Receiver, Any]]

__all__ = ["ANY", "NamedSignal", "Namespace", "Signal", "default_namespace", "signal"]

ANY_ID = 0
"""The id of `ANY` in blinker's tables. It has no use here, and is not a key of `receivers`."""


class _LazySignal:
    """Descriptor of a signal that is created on first access and then kept in the owner's `__dict__`."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, owner: Signal | None, cls: type | None = None) -> Signal:
        if owner is None:
            return self  # type: ignore[return-value]
        created: Signal = owner.__dict__.setdefault(self.name, Signal(self.__doc__))
        return created


class Signal(SignalCore):
    """blinker's `Signal`: receivers are connected to it, and called when it is sent.

    Args:
        doc: what the signal means; becomes its `__doc__`.

    A copied or unpickled signal is a new one, to which nothing is connected.

    Thread-safety: every method may be called from any thread at any time, also from receivers and finalizers.

    Example:
        >>> from cyevents.blinker import Signal
        >>> saved = Signal("A document has been saved.")
        >>> @saved.connect
        ... def index(sender, **kwargs):
        ...     return len(kwargs["text"])
        >>> [value for receiver, value in saved.send("a document", text="abc")]
        [3]
    """

    __slots__ = ("__dict__",)

    ANY = ANY
    """`ANY`, as an attribute, as in blinker."""

    set_class: ClassVar[type[set[Any]]] = set
    """May be set, as in blinker, and has no effect: receivers are always called in the order of their connection."""

    receiver_connected = _LazySignal("Sent by a signal after each `connect`, with the arguments of that as keywords.")
    receiver_disconnected = _LazySignal(
        "Sent by a signal after each `disconnect`, with the arguments of that as keywords; not if a receiver dies."
    )

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Create a signal that works even if its class does not call `__init__`."""
        self = super().__new__(cls, SignalState())
        if cls.receivers_for is not Signal.receivers_for:
            state_of(self).require_python_send(self)
        return self

    def __init__(self, doc: str | None = None) -> None:
        if doc:
            self.__doc__ = doc

    # Connecting

    def connect(self, receiver: ReceiverT, sender: Any = ANY, weak: bool = True) -> ReceiverT:
        """Connect a receiver: it is called as `receiver(sender, **kwargs)` when the signal is sent.

        A receiver is connected only once for a sender; connecting it again moves it to the end of the order.

        Args:
            receiver: a callable; a coroutine function needs `send_async` or an `_async_wrapper`.
            sender: call it for this sender only; `ANY` for all. Senders are compared by identity, except `str`,
                `int` and `bytes`, which are compared by value. They are held weakly where possible.
            weak: do not keep the receiver, or a method's object, alive.

        Returns:
            The receiver, so that `connect` can be used as a decorator.

        Raises:
            TypeError: if the receiver cannot be held weakly.

        Warns:
            RuntimeWarning: if the receiver dies at once, such as a lambda without another reference.
        """
        _connect_and_notify(self, receiver, sender, weak, sys._getframe(1))
        return receiver

    def connect_via(self, sender: Any, weak: bool = False) -> Callable[[ReceiverT], ReceiverT]:
        """Return a decorator that connects a function for a sender, strongly unless `weak` is true.

        Example:
            >>> from cyevents.blinker import Signal
            >>> rolled = Signal()
            >>> @rolled.connect_via(6)
            ... def cheer(sender):
            ...     return "hooray"
            >>> rolled.send(6) == [(cheer, "hooray")], rolled.send(5)
            (True, [])
        """

        def decorator(receiver: ReceiverT) -> ReceiverT:
            self.connect(receiver, sender, weak)
            return receiver

        return decorator

    def connected_to(self, receiver: Receiver, sender: Any = ANY) -> TemporaryConnection:
        """Connect a receiver temporarily, inside a `with` block or a decorated function, and hold it strongly.

        Afterwards the receiver's previous connection for the same sender is restored. Its connections for other
        senders do not change.
        """
        return TemporaryConnection(self, receiver, sender)

    def disconnect(self, receiver: Receiver, sender: Any = ANY) -> None:
        """Disconnect a receiver from a sender, by default from all. A receiver that is not connected is ignored."""
        state_of(self).discard(receiver, sender)
        _notify_disconnected(self, receiver, sender)

    # Muting

    @property
    def is_muted(self) -> bool:
        """Whether the signal is muted: `send` calls no receivers. Setting it to false also ends every `muted`."""
        return state_of(self).mutes > 0

    @is_muted.setter
    def is_muted(self, muted: bool) -> None:
        state = state_of(self)
        if not muted:
            state.change_mutes(self, -sys.maxsize)  # stops at zero
        elif state.mutes == 0:
            state.change_mutes(self, 1)

    def muted(self) -> MutedSignal:
        """Mute the signal inside a `with` block or a decorated function. Mutes may be nested."""
        return MutedSignal(self)

    # Sending

    def send(
        self, sender: Any = None, /, *, _async_wrapper: Callable[[AsyncReceiver], Receiver] | None = None, **kwargs: Any
    ) -> Pairs:
        """Call the receivers for a sender, in the order in which they were connected.

        If one raises, the exception propagates, and the remaining ones are not called.

        Args:
            sender: the sender; receivers get it as their positional argument.
            _async_wrapper: turns a receiver that is a coroutine function into a function that returns a value.
            **kwargs: keyword arguments for the receivers, with any names.

        Returns:
            A new list of pairs `(receiver, value)`.

        Raises:
            RuntimeError: if a receiver is a coroutine function, and there is no wrapper.
        """
        if state_of(self).mutes > 0:
            return []
        pairs = []
        for receiver in self.receivers_for(sender):
            if not is_coroutine_function(receiver):
                value = receiver(sender, **kwargs)
            elif _async_wrapper is None:
                raise RuntimeError("Cannot send to a coroutine function.")
            else:
                value = _async_wrapper(receiver)(sender, **kwargs)
            pairs.append((receiver, value))
        return pairs

    if not TYPE_CHECKING:
        _SignalCore__send_slow = send
        send = SignalCore.send

    async def send_async(
        self, sender: Any = None, /, *, _sync_wrapper: Callable[[Receiver], AsyncReceiver] | None = None, **kwargs: Any
    ) -> Pairs:
        """Call and await the receivers for a sender, one after the other.

        Args:
            sender: the sender; receivers get it as their positional argument.
            _sync_wrapper: turns a receiver that is not a coroutine function into one.
            **kwargs: keyword arguments for the receivers, with any names.

        Returns:
            A new list of pairs `(receiver, value)`.

        Raises:
            RuntimeError: if a receiver is not a coroutine function, and there is no wrapper.
        """
        if state_of(self).mutes > 0:
            return []
        pairs = []
        for receiver in self.receivers_for(sender):
            if is_coroutine_function(receiver):
                value = await receiver(sender, **kwargs)
            elif _sync_wrapper is None:
                raise RuntimeError("Cannot send to a non-coroutine function.")
            else:
                value = await _sync_wrapper(receiver)(sender, **kwargs)
            pairs.append((receiver, value))
        return pairs

    # Introspection

    @property
    def receivers(self) -> Receivers:
        """The connected receivers by key: a mapping that shows the current state, and that may be changed.

        See `Receivers` for the effects of changing it.
        """
        return Receivers(self)

    def receivers_for(self, sender: Any) -> Iterator[Receiver]:
        """Iterate over the receivers that `send` calls for this sender, including those for `ANY`."""
        return state_of(self).living_receivers(sender)

    def has_receivers_for(self, sender: Any) -> bool:
        """Return whether a receiver is connected for this sender or for `ANY`."""
        return state_of(self).has_living_receivers(sender)

    # blinker's own methods for tests and long-lived programs

    def _clear_state(self) -> None:
        """Disconnect everything, without sending `receiver_disconnected`."""
        Receivers(self).clear()

    def _cleanup_bookkeeping(self) -> None:
        """Do nothing: blinker cleans up its tables here, and the core always does."""

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        from copyreg import __newobj__  # type: ignore[attr-defined]

        state = {name: value for name, value in self.__dict__.items() if type(value) is not Signal}
        return __newobj__, (type(self),), state or None


class NamedSignal(Signal):
    """A signal with a name, made by `signal(name)` or `namespace.signal(name)`.

    Args:
        name: its name in its namespace.
        doc: what the signal means; becomes its `__doc__`.
    """

    __slots__ = ()

    name: str

    def __init__(self, name: str, doc: str | None = None) -> None:
        super().__init__(doc)
        self.name = name

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}; {self.name!r}>"


class Namespace(dict[str, NamedSignal]):
    """Signals by name."""

    def signal(self, name: str, doc: str | None = None) -> NamedSignal:
        """Return the signal with this name, creating it if needed.

        Args:
            name: the signal's name.
            doc: its `__doc__`, if it is created now.
        """
        found = self.get(name)
        return self.setdefault(name, NamedSignal(name, doc)) if found is None else found


def _run_inside(self: MutedSignal | TemporaryConnection, function: FunctionT) -> FunctionT:
    """Return a function that calls the given one inside this context."""
    from functools import wraps

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with self:
            return function(*args, **kwargs)

    return wrapper  # type: ignore[return-value]


class MutedSignal:
    """The context manager and decorator of `Signal.muted`."""

    __slots__ = ("_signal",)

    def __init__(self, signal: Signal) -> None:
        self._signal = signal

    def __enter__(self) -> None:
        state_of(self._signal).change_mutes(self._signal, 1)

    def __exit__(self, *exception: object) -> None:
        state_of(self._signal).change_mutes(self._signal, -1)

    __call__ = _run_inside


class TemporaryConnection:
    """The context manager and decorator of `Signal.connected_to`."""

    __slots__ = ("_connected", "_receiver", "_sender", "_signal")

    def __init__(self, signal: Signal, receiver: Receiver, sender: Any) -> None:
        self._signal = signal
        self._receiver = receiver
        self._sender = sender
        self._connected: list[tuple[Entry, Entry | None] | None] = []  # None: connected by an overridden method

    def __enter__(self) -> None:
        signal, cls = self._signal, type(self._signal)
        if cls.connect is Signal.connect and cls.disconnect is Signal.disconnect:
            self._connected.append(_connect_and_notify(signal, self._receiver, self._sender, False, None))
        else:
            signal.connect(self._receiver, sender=self._sender, weak=False)
            self._connected.append(None)

    def __exit__(self, *exception: object) -> None:
        signal, connected = self._signal, self._connected.pop()
        if connected is not None:
            state_of(signal).undo(connected, self._sender)
            _notify_disconnected(signal, self._receiver, self._sender)
        elif self._sender is ANY:
            signal.disconnect(self._receiver)
        else:
            signal.disconnect(self._receiver, self._sender)

    __call__ = _run_inside


def _connect_and_notify(
    signal: Signal, receiver: Any, sender: Any, weak: bool, frame: FrameType | None
) -> tuple[Entry, Entry | None]:
    """Connect a receiver and send `receiver_connected`; return the new entry and the one that it replaced."""
    added = state_of(signal).add(signal, receiver, sender, weak, frame)
    if "receiver_connected" in signal.__dict__ and signal.receiver_connected.receivers:
        try:
            signal.receiver_connected.send(signal, receiver=receiver, sender=sender, weak=weak)
        except TypeError:
            state_of(signal).undo(added, sender)
            _notify_disconnected(signal, receiver, sender)
            raise
    return added


def _notify_disconnected(signal: Signal, receiver: Any, sender: Any) -> None:
    """Send `receiver_disconnected`."""
    if "receiver_disconnected" in signal.__dict__ and signal.receiver_disconnected.receivers:
        signal.receiver_disconnected.send(signal, receiver=receiver, sender=sender)


default_namespace = Namespace()
"""The namespace of `signal`."""

signal = default_namespace.signal
