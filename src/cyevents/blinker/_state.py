"""The private state of signals, and the operations on it.

Subclasses of `Signal` may give any names to attributes and methods of their own, private-looking ones too. So a signal
has no private attributes but those of blinker and the mangled ones of `SignalCore`. Its private state is kept in a
`SignalState`, and private operations are functions of this package's modules.
"""

from __future__ import annotations

from types import BuiltinFunctionType, FunctionType, MethodType

from .._core import EventCore, SignalCore, call_locked, sender_key
from .._core._frames import warn
from .._core._safe import handler_name, safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any
    from weakref import ref

    from .._core import Entry
else:
    from _weakref import ref

_CO_COROUTINE = 0x80


class SignalState(EventCore):
    """The connections of a signal, and its private state."""

    __slots__ = ("mutes", "needs_python_send", "removed", "signal")

    signal: ref[SignalCore] | None  # set when something is connected; a strong reference would make a cycle
    needs_python_send: bool  # it has had a coroutine function as receiver, or its class overrides `receivers_for`
    mutes: int  # how many times the signal is muted
    removed: dict[object, RemovedReceiver] | None  # what `receivers` has removed and may restore, by receiver key

    def __init__(self) -> None:
        self.signal = None
        self.needs_python_send = False
        self.mutes = 0
        self.removed = None  # most signals never need it

    # Hooks of the core

    def _warn_discarded_handler(self, name: str, frame: FrameType, is_subscription: bool) -> None:
        signal = None if self.signal is None else self.signal()
        warn(
            f"receiver {name} of {safe_repr(signal)} has died on the spot and will never be called, since nothing else"
            " holds it: keep a reference, or connect it with weak=False",
            frame,
        )

    def _log_dead_handlers(self) -> None:
        self._dead_handler_names.clear()


class RemovedReceiver:
    """The senders for which a receiver was connected until it was removed through `receivers`.

    It keeps neither the receiver nor the senders alive.
    """

    __slots__ = ("reference", "senders")

    def __init__(self, reference: ref[Any] | None) -> None:
        self.reference = reference  # its callback drops this object; None if the receiver allows no weak references
        self.senders: dict[object, tuple[int, Any]] = {}  # by key: the connection's serial, and the sender

    def add(self, senders: list[tuple[int, Any]]) -> None:
        """Add senders, each after the serial of its connection. Drop the dead ones."""
        self.senders = {
            sender_key(sender): (serial, _hold(sender)) for serial, sender in [*self.living_senders(), *senders]
        }

    def living_senders(self) -> Iterator[tuple[int, Any]]:
        """Iterate over the senders that are alive, each after the serial of its connection."""
        for serial, held in self.senders.values():
            sender = held() if type(held) is _SenderReference else held
            if sender is not None or held is None:
                yield serial, sender


class _SenderReference(ref["Any"]):
    """A weak reference to a sender, distinguishable from a sender that is itself a weak reference."""

    __slots__ = ()


def _hold(sender: Any) -> Any:
    """Return a `_SenderReference` to a sender where the core would hold it weakly, else the sender."""
    try:
        return _SenderReference(sender) if type(sender_key(sender)) is int else sender
    except TypeError:
        return sender


def state_of(signal: SignalCore) -> SignalState:
    """Return the connections and the private state of a signal."""
    state: SignalState = signal._SignalCore__core  # type: ignore[attr-defined]
    return state


def update_send_path(signal: SignalCore) -> None:
    """Choose between the core's `send` and the one in Python, as the signal's state requires."""
    state = state_of(signal)
    signal._SignalCore__uses_python_send = state.mutes > 0 or state.needs_python_send  # type: ignore[attr-defined]


def require_python_send(signal: SignalCore) -> None:
    """Use the `send` in Python from now on."""
    state_of(signal).needs_python_send = True
    call_locked(update_send_path, signal)


def connect(
    signal: SignalCore, receiver: Any, sender: Any, weak: bool, frame: FrameType | None
) -> tuple[Entry, Entry | None]:
    """Connect a receiver; return the new entry and the one that it replaced."""
    state = state_of(signal)
    if state.signal is None:
        state.signal = ref(signal)
    if is_coroutine_function(receiver):
        require_python_send(signal)
    return state._connect(receiver, sender, bool(weak), 0, None, 0, handler_name(receiver), frame)


def change_mutes(signal: SignalCore, by: int) -> None:
    """Mute a signal so many times more, or fewer times if `by` is negative."""
    call_locked(_change_mutes_locked, signal, by)


def _change_mutes_locked(signal: SignalCore, by: int) -> None:
    state = state_of(signal)
    state.mutes = max(state.mutes + by, 0)
    update_send_path(signal)


def is_coroutine_function(receiver: Any) -> bool:
    """Return what `inspect.iscoroutinefunction` does, without importing `inspect` for common types of receivers."""
    function = receiver.__func__ if type(receiver) is MethodType else receiver
    if type(function) is FunctionType:
        return bool(function.__code__.co_flags & _CO_COROUTINE) or hasattr(function, "_is_coroutine_marker")
    if type(function) is BuiltinFunctionType:
        return False
    from inspect import iscoroutinefunction

    try:
        return iscoroutinefunction(receiver)
    except Exception:  # an attribute of the receiver raises
        return False
