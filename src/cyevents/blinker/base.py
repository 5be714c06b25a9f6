"""blinker's signals on the compiled core: what `cyevents.blinker` has in it.

A signal is an `EventCore`, and its `send` is the core's own C function. What that leaves to Python are the sends of a
signal that is muted, has had a coroutine function connected, or is of a class that finds its receivers in a way of its
own: see `Signal._settle`.
"""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, FunctionType, MethodType

from .. import _backend
from .._backend import DEAD, EventCore
from .._common import ANY, handler_name, shown
from .._checks import warn as _warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from types import FrameType, TracebackType
    from typing import Any, ClassVar, Self, TypeVar

    from .._backend import Entry

    ReceiverT = TypeVar("ReceiverT", bound=Callable[..., Any])
    FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
    Receiver = Callable[..., Any]
    AsyncReceiver = Callable[..., Coroutine[Any, Any, Any]]
    Pairs = list[tuple[Receiver, Any]]
else:
    from _collections_abc import Mapping  # collections itself is slow to import

__all__ = ["ANY", "NamedSignal", "Namespace", "Signal", "default_namespace", "signal"]

_CO_COROUTINE = 0x80


class _Companion:
    """A signal that belongs to a signal, made when first asked for."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, owner: Signal | None, cls: type | None = None) -> Signal:
        if owner is None:
            return self  # type: ignore[return-value]
        made: Signal = owner.__dict__.setdefault(self.name, Signal(self.__doc__))  # where it will be found before this
        return made


class Signal(EventCore["Any"]):
    """Something that receivers are connected to, and that is sent to them: blinker's `Signal`.

    Args:
        doc: what the signal means; becomes its `__doc__`.

    A copy of a signal, or one that was pickled, is a signal of its own, to which nothing is connected.

    Thread-safety: every method may be called from any thread at any time, from receivers and finalizers too.

    Example:
        >>> from cyevents.blinker import Signal
        >>> saved = Signal("A document has been saved.")
        >>> @saved.connect
        ... def index(sender, **kwargs):
        ...     return len(kwargs["text"])
        >>> [value for receiver, value in saved.send("a document", text="abc")]
        [3]
    """

    __slots__ = ("__dict__", "_has_coroutines", "_mutes")

    ANY = ANY
    """`ANY`, for those who have only the class at hand."""

    set_class: ClassVar[type[set[Any]]] = set
    """There to be set, as blinker's is; but the order is always that in which receivers were connected."""

    receiver_connected = _Companion("Sent by a signal after each `connect`, with what that was given, by its names.")
    receiver_disconnected = _Companion(
        "Sent by a signal after each `disconnect`, with what that was given, by its names; not when something dies."
    )

    _has_coroutines: bool  # whether a coroutine function has ever been connected
    _mutes: int  # how many times it is muted

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make a signal that works even if its class forgets to call `__init__`."""
        self = super().__new__(cls, *args, **kwargs)
        self._has_coroutines = False
        self._mutes = 0
        self._settle()
        return self

    def __init__(self, doc: str | None = None) -> None:
        if doc:
            self.__doc__ = doc

    def _settle(self) -> None:
        """Have the core send, or `_send_otherwise`, as the state of the signal and its class demand."""
        self._by_hand = self._mutes > 0 or self._has_coroutines or type(self).receivers_for is not Signal.receivers_for

    # Connecting

    def connect(  # type: ignore[override]
        self, receiver: ReceiverT, sender: Any = ANY, weak: bool = True
    ) -> ReceiverT:
        """Connect a receiver, to be called as `receiver(sender, **kwargs)` when the signal is sent.

        A receiver is connected once for a sender: connecting it again makes it the last in the order.

        Args:
            receiver: a callable; coroutine functions are for `send_async`, or an `_async_wrapper`.
            sender: call it for this sender only; `ANY` for all. Senders are told apart by identity, but `str`,
                `int` and `bytes` by value. They are held weakly where that is possible.
            weak: do not keep the receiver alive; for a method, its object.

        Returns:
            The receiver, so that `connect` serves as a decorator.

        Raises:
            TypeError: if the receiver cannot be held weakly.

        Warns:
            RuntimeWarning: if the receiver dies at once, as a lambda does that nobody else holds.
        """
        self._join(receiver, sender, weak, sys._getframe(1))
        return receiver

    def _join(self, receiver: Any, sender: Any, weak: bool, frame: FrameType | None) -> tuple[Entry, Entry | None]:
        """Connect, and tell `receiver_connected`; return the new entry and the one that it replaced."""
        if is_coroutine_function(receiver):
            with _backend.lock:
                self._has_coroutines = True
                self._settle()
        added = self._connect(receiver, sender, bool(weak), 0, None, 0, handler_name(receiver), frame)
        if "receiver_connected" in self.__dict__ and self.receiver_connected.receivers:
            try:
                self.receiver_connected.send(self, receiver=receiver, sender=sender, weak=weak)
            except TypeError:
                self._restore(*added, sender)
                self._told_off(receiver, sender)
                raise
        return added

    def connect_via(self, sender: Any, weak: bool = False) -> Callable[[ReceiverT], ReceiverT]:
        """Connect the decorated function for a sender; it is held, unless `weak` says otherwise.

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
            self._join(receiver, sender, weak, None)
            return receiver

        return decorator

    def connected_to(self, receiver: Receiver, sender: Any = ANY) -> ConnectedTo:
        """Connect a receiver, which is held, for the length of a `with`, then restore what stood before.

        The receiver's connections for other senders stay as they are, and one for the same sender is there again
        afterwards. Serves as a decorator too.
        """
        return ConnectedTo(self, receiver, sender)

    def disconnect(self, receiver: Receiver, sender: Any = ANY) -> None:
        """Disconnect a receiver: from one sender, or by default from all. One that is not connected is no error."""
        self._disconnect(receiver, sender)
        self._told_off(receiver, sender)

    def _told_off(self, receiver: Any, sender: Any) -> None:
        """Tell `receiver_disconnected`."""
        if "receiver_disconnected" in self.__dict__ and self.receiver_disconnected.receivers:
            self.receiver_disconnected.send(self, receiver=receiver, sender=sender)

    # Muting

    @property
    def is_muted(self) -> bool:
        """Whether the signal reaches nobody for now. Setting it to false ends every `muted` that holds."""
        return self._mutes > 0

    @is_muted.setter
    def is_muted(self, muted: bool) -> None:
        with _backend.lock:
            self._mutes = max(self._mutes, 1) if muted else 0
            self._settle()

    def _mute_by(self, by: int) -> None:
        with _backend.lock:
            self._mutes = max(self._mutes + by, 0)
            self._settle()

    def muted(self) -> Muted:
        """Let the signal reach nobody for the length of a `with`. Nests. Serves as a decorator too."""
        return Muted(self)

    # Sending

    def send(
        self,
        sender: Any = None,
        /,
        *,
        _async_wrapper: Callable[[AsyncReceiver], Receiver] | None = None,
        **kwargs: Any,
    ) -> Pairs:
        """Call the receivers for a sender, in the order in which they were connected.

        What one raises propagates, and the remaining are not called.

        Args:
            sender: who sends; what receivers get as their positional.
            _async_wrapper: makes a callable that returns a value of a coroutine function among the receivers.
            **kwargs: keywords for the receivers, of any names.

        Returns:
            A new list of pairs `(receiver, value)`.

        Raises:
            RuntimeError: if there is a coroutine function among the receivers, and no wrapper.
        """
        if self._mutes > 0:
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
        _send_otherwise = send
        send = EventCore._send_plain

    async def send_async(
        self,
        sender: Any = None,
        /,
        *,
        _sync_wrapper: Callable[[Receiver], AsyncReceiver] | None = None,
        **kwargs: Any,
    ) -> Pairs:
        """Call and await the receivers for a sender, which are coroutine functions, one after the other.

        Args:
            sender: who sends; what receivers get as their positional.
            _sync_wrapper: makes a coroutine function of a receiver that is none.
            **kwargs: keywords for the receivers, of any names.

        Returns:
            A new list of pairs `(receiver, value)`.

        Raises:
            RuntimeError: if a receiver is no coroutine function, and there is no wrapper.
        """
        if self._mutes > 0:
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

    if not TYPE_CHECKING:

        @property
        def emit(self) -> Any:
            """What the core has, but signals have not: an `AttributeError`."""
            raise AttributeError(f"{type(self).__name__!r} object has no attribute 'emit': a signal is sent by send()")

    # Introspection

    @property
    def receivers(self) -> Receivers:
        """The receivers, by a key: true if something is connected. It shows the signal as it is whenever asked."""
        return Receivers(self)

    def receivers_for(self, sender: Any) -> Iterator[Receiver]:
        """Go through the receivers that a `send` by this sender would call, those for `ANY` included."""
        for entry in self._snapshot(sender).entries:
            receiver = entry.get()
            if receiver is not None and not entry.flags & DEAD:  # by its turn
                yield receiver

    def has_receivers_for(self, sender: Any) -> bool:
        """Whether something is connected for this sender, or for `ANY`."""
        return self._reaches(sender)

    # What blinker has for tests and long-lived programs

    def _clear_state(self) -> None:
        """Disconnect everything, telling nobody."""
        self._clear()

    def _cleanup_bookkeeping(self) -> None:
        """Do nothing: there is nothing left behind that could be cleaned up."""

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        from copyreg import __newobj__  # type: ignore[attr-defined]

        state = {name: value for name, value in self.__dict__.items() if type(value) is not Signal}
        return __newobj__, (type(self),), state or None

    # What the core asks for

    def _warn_vanished(self, name: str, frame: FrameType, is_subscription: bool) -> None:
        _warn(
            f"receiver {name} of {shown(self)} has died on the spot and will never be called, since nothing else holds"
            " it: keep a reference, or connect it with weak=False",
            frame,
        )

    def _log_lost(self) -> None:
        self._lost.clear()


class NamedSignal(Signal):
    """A signal that knows its name; made by `signal(name)` or `namespace.signal(name)`.

    Args:
        name: by which its namespace has it.
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
        """Return the signal of this name, which is made if there is none yet.

        Args:
            name: the signal's name.
            doc: what it means, if it is made now.
        """
        found = self.get(name)
        return self.setdefault(name, NamedSignal(name, doc)) if found is None else found


class Receivers(Mapping["Any", "Any"]):
    """What is connected to a signal: by a key, the receiver, or a weak reference to one that is held weakly."""

    __slots__ = ("_signal",)

    def __init__(self, signal: Signal) -> None:
        self._signal = signal

    def _found(self) -> dict[Any, Any]:
        found = {}
        for entry, _, _ in self._signal._connections():
            receiver = entry.get()
            if receiver is not None:
                found[entry.handler_key] = _weakly(receiver) if entry.weak else receiver
        return found

    def __bool__(self) -> bool:
        return self._signal._is_connected()

    def __len__(self) -> int:
        return len(self._found())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._found())

    def __getitem__(self, key: Any) -> Any:
        return self._found()[key]

    def __repr__(self) -> str:
        return repr(self._found())


def _weakly(receiver: Any) -> Any:
    from weakref import WeakMethod, ref

    return WeakMethod(receiver) if type(receiver) is MethodType else ref(receiver)


class Context:
    """A context manager that serves as a decorator too."""

    __slots__ = ("_signal",)

    def __init__(self, signal: Signal) -> None:
        self._signal = signal

    def __enter__(self) -> None:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        raise NotImplementedError

    def __call__(self, function: FunctionT) -> FunctionT:
        """Make the function one that is called within this context."""
        from functools import wraps

        @wraps(function)
        def within(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return within  # type: ignore[return-value]


class Muted(Context):
    """The context manager of `Signal.muted`."""

    __slots__ = ()

    def __enter__(self) -> None:
        self._signal._mute_by(1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._signal._mute_by(-1)


class ConnectedTo(Context):
    """The context manager of `Signal.connected_to`."""

    __slots__ = ("_connected", "_receiver", "_sender")

    def __init__(self, signal: Signal, receiver: Receiver, sender: Any) -> None:
        super().__init__(signal)
        self._receiver = receiver
        self._sender = sender
        self._connected: list[tuple[Entry, Entry | None]] = []

    def __enter__(self) -> None:
        self._connected.append(self._signal._join(self._receiver, self._sender, False, None))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._signal._restore(*self._connected.pop(), self._sender)
        self._signal._told_off(self._receiver, self._sender)


def is_coroutine_function(receiver: Any) -> bool:
    """Whether `inspect.iscoroutinefunction` says so, which is imported only where it is not plain to see."""
    function = receiver.__func__ if type(receiver) is MethodType else receiver
    if type(function) is FunctionType:
        return bool(function.__code__.co_flags & _CO_COROUTINE) or hasattr(function, "_is_coroutine_marker")
    if type(function) is BuiltinFunctionType:
        return False
    from inspect import iscoroutinefunction

    try:
        return iscoroutinefunction(receiver)
    except Exception:  # it may be anything, and fails to say
        return False


default_namespace = Namespace()
"""Where `signal` finds and makes its signals."""

signal = default_namespace.signal
