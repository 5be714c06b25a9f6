"""The private state of signals, and the operations on it.

Subclasses of `Signal` may give any names to attributes and methods of their own, private-looking ones too. So a signal
has no private attributes but those of blinker and the mangled ones of `SignalCore`. Its private state and the
operations on that are attributes and methods of a `SignalState`.

Tests save the receivers of a signal by `receivers.copy()`, remove them, and restore them by `receivers.update()`.
blinker's table of receivers does not say for which senders a receiver is connected. So when a receiver is removed that
way, the state remembers its senders in a `RemovedReceiver`.
"""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, FunctionType, MethodType

from .._core import DEAD, EventCore, SignalCore, call_locked, sender_key
from .._core._introspection import warn
from .._core._safe import handler_name, safe_repr
from .._core._values import ANY

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
_ALL = object()


def state_of(signal: SignalCore) -> SignalState:
    """Return the connections and the private state of a signal."""
    state: SignalState = signal._SignalCore__core  # type: ignore[attr-defined]
    return state


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
            f"receiver {name} of {safe_repr(signal)} was garbage-collected at once and will never be called, because"
            " nothing else refers to it: keep a reference, or connect it with weak=False",
            frame,
        )

    def _log_dead_handlers(self) -> None:
        names = self._dead_handler_names
        if names is not None:
            names.clear()

    # Connections

    def add(
        self, signal: SignalCore, receiver: Any, sender: Any, weak: bool, frame: FrameType | None
    ) -> tuple[Entry, Entry | None]:
        """Connect a receiver; return the new entry and the one that it replaced."""
        if self.signal is None:
            self.signal = ref(signal)
        if is_coroutine_function(receiver):
            self.require_python_send(signal)
        return self._connect(receiver, sender, bool(weak), 0, None, 0, handler_name(receiver), frame)

    def undo(self, added: tuple[Entry, Entry | None], sender: Any) -> None:
        """Undo an `add`: restore the entry that was replaced."""
        self._restore(*added, sender)

    def discard(self, receiver: Any, sender: Any) -> None:
        """Disconnect a receiver, if it is connected."""
        self._disconnect(receiver, sender)

    def rows(self) -> list[tuple[Entry, Any]]:
        """Return the entries in calling order, each with its sender."""
        return [(entry, sender) for entry, sender, _ in self._connections()]

    def has_receivers(self) -> bool:
        """Return whether anything is connected."""
        return self._is_connected()

    def has_living_receivers(self, sender: Any) -> bool:
        """Return whether a receiver is connected for this sender or for `ANY`."""
        return self._has_live_handlers(sender)

    def living_receivers(self, sender: Any) -> Iterator[Any]:
        """Iterate over the receivers for a sender, in calling order."""
        for entry in self._snapshot(sender).entries:
            receiver = entry.get()
            if receiver is not None and not entry.flags & DEAD:  # the caller may have disconnected it meanwhile
                yield receiver

    # The choice of `send`

    def require_python_send(self, signal: SignalCore) -> None:
        """Use the `send` written in Python from now on."""
        self.needs_python_send = True
        call_locked(self._change_mutes_locked, signal, 0)

    def change_mutes(self, signal: SignalCore, by: int) -> None:
        """Mute a signal so many times more, or fewer times if `by` is negative."""
        call_locked(self._change_mutes_locked, signal, by)

    def _change_mutes_locked(self, signal: SignalCore, by: int) -> None:
        self.mutes = max(self.mutes + by, 0)
        signal._SignalCore__uses_python_send = self.mutes > 0 or self.needs_python_send  # type: ignore[attr-defined]

    # Removing and restoring receivers, by key

    def remove(self, key: Any = _ALL) -> None:
        """Disconnect the receivers with this key, or all, and remember their senders."""
        found: dict[Any, tuple[Any, list[tuple[int, Any]]]] = {}  # holds the receivers until they are remembered
        for entry, sender in self.rows():
            if key is _ALL or entry.handler_key == key:
                receiver = entry.get()
                if self._disconnect_entry(entry) and receiver is not None:
                    found.setdefault(entry.handler_key, (receiver, []))[1].append((entry.serial, sender))
        for each, (receiver, senders) in found.items():
            call_locked(self._remember_locked, each, self._reference_to_forget(each, receiver), senders)

    def _remember_locked(self, key: Any, reference: ref[Any] | None, senders: list[tuple[int, Any]]) -> None:
        if self.removed is None:
            self.removed = {}
        removed = self.removed.get(key)
        # Without a reference, what was remembered may belong to a dead receiver with the same id.
        if removed is None or removed.reference is None:
            removed = self.removed[key] = RemovedReceiver(reference)
        removed.add(senders)

    def _reference_to_forget(self, key: Any, receiver: Any) -> ref[Any] | None:
        """Return a weak reference that drops the key from `removed` when the receiver dies; None if it allows none."""
        home = ref(self)

        def forget(_: object) -> None:
            state = home()
            if state is not None and state.removed is not None:
                state.removed.pop(key, None)

        try:
            if type(receiver) is MethodType:
                from weakref import WeakMethod

                return WeakMethod(receiver, forget)
            # Other bound methods are temporary objects: refer to the object that they are bound to.
            return ref(receiver if key == id(receiver) else receiver.__self__, forget)
        except TypeError:
            return None

    def restore(self, signal: SignalCore, given: dict[Any, tuple[Any, bool]]) -> None:
        """Connect receivers, given with whether to hold them weakly, for the senders from which they were removed.

        Those that were neither removed nor are connected are connected for `ANY`.
        """
        connected: dict[Any, list[tuple[Entry, Any]]] = {}
        for entry, sender in self.rows():
            connected.setdefault(entry.handler_key, []).append((entry, sender))
        rows = []
        for key, (receiver, weak) in given.items():
            removed = None if self.removed is None else self.removed.get(key)
            present = connected.get(key, [])
            if removed is not None:
                rows += [(serial, receiver, sender, weak) for serial, sender in removed.living_senders()]
            elif not present:
                rows.append((sys.maxsize, receiver, ANY, weak))
            if present and all(entry.weak for entry, _ in present) != weak:
                rows += [(entry.serial, receiver, sender, weak) for entry, sender in present]
        rows.sort(key=lambda row: row[0])  # in the original order of connection
        for _, receiver, sender, weak in rows:
            self.add(signal, receiver, sender, weak, None)
        if self.removed is not None:
            for key in given:
                self.removed.pop(key, None)


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
