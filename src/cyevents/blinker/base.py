"""blinker's signals on the compiled core: what `cyevents.blinker` has in it.

A signal holds its connections in a core, a `_Connections`, and its `send` is a C function that goes to that core. It
calls the `send` written in Python below for a signal that is muted, that a coroutine function has been connected to, or
whose class overrides `receivers_for`: see `_update_send_path`.

Subclasses of `Signal` may give any names to attributes and methods of their own, private-looking ones too. So a signal
has no private attributes but those of blinker and the mangled ones of `SignalCore`: private state is kept in the core,
and private operations are functions of this module.
"""

from __future__ import annotations

import sys
from _weakref import ref
from types import BuiltinFunctionType, FunctionType, MethodType

from .._core import DEAD, EventCore, SignalCore, call_locked, handler_key
from .._core._frames import warn
from .._core._safe import handler_name, safe_repr
from .._core._values import ANY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, ItemsView, Iterator, KeysView, MutableMapping, ValuesView
    from types import FrameType, TracebackType
    from typing import Any, ClassVar, Self, TypeVar

    from .._core import Entry

    ReceiverT = TypeVar("ReceiverT", bound=Callable[..., Any])
    FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])
    Receiver = Callable[..., Any]
    AsyncReceiver = Callable[..., Coroutine[Any, Any, Any]]
    Pairs = list[tuple[Receiver, Any]]
else:
    from _collections_abc import MutableMapping  # collections itself is slow to import

__all__ = ["ANY", "NamedSignal", "Namespace", "Signal", "default_namespace", "signal"]

ANY_ID = 0
"""The id of `ANY` in blinker's tables. Here it has no use, and is no key of `receivers`."""

_CO_COROUTINE = 0x80
_NOTHING = object()


class _Connections(EventCore):
    """The core of a signal: its connections, and the private state of the signal."""

    __slots__ = ("has_coroutines", "mutes", "removed", "signal")

    signal: ref[Signal] | None  # set when something is connected; a strong reference would make a cycle
    has_coroutines: bool  # whether a coroutine function has ever been connected
    mutes: int  # how many times the signal is muted
    removed: dict[object, _Removed] | None  # what `receivers` has removed and may restore, by receiver key

    def __init__(self) -> None:
        self.signal = None
        self.has_coroutines = False
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


class _LazySignal:
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


class Signal(SignalCore):
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

    __slots__ = ("__dict__",)

    ANY = ANY
    """`ANY`, for those who have only the class at hand."""

    set_class: ClassVar[type[set[Any]]] = set
    """There to be set, as blinker's is; but the order is always that in which receivers were connected."""

    receiver_connected = _LazySignal("Sent by a signal after each `connect`, with what that was given, by its names.")
    receiver_disconnected = _LazySignal(
        "Sent by a signal after each `disconnect`, with what that was given, by its names; not when something dies."
    )

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make a signal that works even if its class forgets to call `__init__`."""
        self = super().__new__(cls, _Connections())
        _update_send_path(self)
        return self

    def __init__(self, doc: str | None = None) -> None:
        if doc:
            self.__doc__ = doc

    # Connecting

    def connect(self, receiver: ReceiverT, sender: Any = ANY, weak: bool = True) -> ReceiverT:
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
        _connect_and_notify(self, receiver, sender, weak, sys._getframe(1))
        return receiver

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
            self.connect(receiver, sender, weak)
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
        _core(self)._disconnect(receiver, sender)
        _notify_disconnected(self, receiver, sender)

    # Muting

    @property
    def is_muted(self) -> bool:
        """Whether the signal reaches nobody for now. Setting it to false ends every `muted` that holds."""
        return _core(self).mutes > 0

    @is_muted.setter
    def is_muted(self, muted: bool) -> None:
        call_locked(_set_muted, self, muted)

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
        if _core(self).mutes > 0:
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
        if _core(self).mutes > 0:
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
        """The receivers by key: a mapping that always shows the present state, and is true if something is connected.

        See `Receivers` for what is done by changing it.
        """
        return Receivers(self)

    def receivers_for(self, sender: Any) -> Iterator[Receiver]:
        """Go through the receivers that a `send` by this sender would call, those for `ANY` included."""
        for entry in _core(self)._snapshot(sender).entries:
            receiver = entry.get()
            if receiver is not None and not entry.flags & DEAD:  # by its turn
                yield receiver

    def has_receivers_for(self, sender: Any) -> bool:
        """Whether something is connected for this sender, or for `ANY`."""
        return _core(self)._has_live_handlers(sender)

    # What blinker has for tests and long-lived programs

    def _clear_state(self) -> None:
        """Disconnect everything, without sending `receiver_disconnected`."""
        Receivers(self).clear()

    def _cleanup_bookkeeping(self) -> None:
        """Do nothing: there is nothing left behind that could be cleaned up."""

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        from copyreg import __newobj__  # type: ignore[attr-defined]

        state = {name: value for name, value in self.__dict__.items() if type(value) is not Signal}
        return __newobj__, (type(self),), state or None


def _core(signal: Signal) -> _Connections:
    """Return the connections and the private state of a signal."""
    core: _Connections = signal._SignalCore__core  # type: ignore[attr-defined]
    return core


def _update_send_path(signal: Signal) -> None:
    """Choose between the core's `send` and the one in Python, as the signal's state and class require."""
    core = _core(signal)
    signal._SignalCore__uses_python_send = (  # type: ignore[attr-defined]
        core.mutes > 0 or core.has_coroutines or type(signal).receivers_for is not Signal.receivers_for
    )


def _connect(
    signal: Signal, receiver: Any, sender: Any, weak: bool, frame: FrameType | None
) -> tuple[Entry, Entry | None]:
    """Connect a receiver; return the new entry and the one that it replaced."""
    core = _core(signal)
    if core.signal is None:
        core.signal = ref(signal)
    if is_coroutine_function(receiver):
        core.has_coroutines = True
        call_locked(_update_send_path, signal)
    return core._connect(receiver, sender, bool(weak), 0, None, 0, handler_name(receiver), frame)


def _connect_and_notify(
    signal: Signal, receiver: Any, sender: Any, weak: bool, frame: FrameType | None
) -> tuple[Entry, Entry | None]:
    """Connect a receiver and send `receiver_connected`; return the new entry and the one that it replaced."""
    added = _connect(signal, receiver, sender, weak, frame)
    if "receiver_connected" in signal.__dict__ and signal.receiver_connected.receivers:
        try:
            signal.receiver_connected.send(signal, receiver=receiver, sender=sender, weak=weak)
        except TypeError:
            _core(signal)._restore(*added, sender)
            _notify_disconnected(signal, receiver, sender)
            raise
    return added


def _notify_disconnected(signal: Signal, receiver: Any, sender: Any) -> None:
    """Send `receiver_disconnected`."""
    if "receiver_disconnected" in signal.__dict__ and signal.receiver_disconnected.receivers:
        signal.receiver_disconnected.send(signal, receiver=receiver, sender=sender)


def _mute(signal: Signal, by: int) -> None:
    """Mute a signal once more (`by` 1), or once less (`by` -1)."""
    call_locked(_mute_locked, signal, by)


def _mute_locked(signal: Signal, by: int) -> None:
    core = _core(signal)
    core.mutes = max(core.mutes + by, 0)
    _update_send_path(signal)


def _set_muted(signal: Signal, muted: bool) -> None:
    core = _core(signal)
    core.mutes = max(core.mutes, 1) if muted else 0
    _update_send_path(signal)


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


class Receivers(MutableMapping["Any", "Any"]):
    """What is connected to a signal: by key, the receiver, or a weak reference to one that is held weakly.

    The key of a receiver is its `id`, or a tuple for a bound method. A receiver that is connected for several senders
    is one item. It is shown as held strongly if one of its connections holds it.

    Removing a key (`clear`, `pop`, `popitem`, `del`) disconnects the receiver from all senders. Setting it again, alone
    or by `update`, restores the connections that were removed, for the senders that they were for: so tests save
    the receivers by `copy` and restore them. Setting the key of a receiver that has not been removed so, and is not
    connected, connects it for `ANY`. A weak reference is held weakly, anything else strongly. None of this sends
    `receiver_connected` or `receiver_disconnected`.

    Raises:
        KeyError: if a key is asked for, or removed, that is not there.
        ValueError: when a key is set to a receiver that has another key.

    Example:
        >>> from cyevents.blinker import Signal
        >>> saved = Signal()
        >>> @saved.connect_via("a document")
        ... def index(sender):
        ...     return "indexed"
        >>> before = saved.receivers.copy()
        >>> saved.receivers.clear()
        >>> saved.send("a document")
        []
        >>> saved.receivers.update(before)
        >>> saved.send("a document") == [(index, "indexed")]
        True
    """

    __slots__ = ("_signal",)

    def __init__(self, signal: Signal) -> None:
        self._signal = signal

    def copy(self) -> dict[Any, Any]:
        """Return the items as a `dict` of their own."""
        found: dict[Any, Any] = {}
        for entry, _, _ in _core(self._signal)._connections():
            receiver = entry.get()
            if receiver is not None:
                key = entry.handler_key
                if not entry.weak:
                    found[key] = receiver
                elif key not in found:
                    found[key] = _weak_reference(entry, receiver)
        return found

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        from copy import deepcopy

        return deepcopy(self.copy(), memo)

    def __bool__(self) -> bool:
        return _core(self._signal)._is_connected()

    def __len__(self) -> int:
        return len(self.copy())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.copy())

    def __getitem__(self, key: Any) -> Any:
        return self.copy()[key]

    def __repr__(self) -> str:
        return repr(self.copy())

    # Views of one state: a receiver that dies meanwhile would be a KeyError in those of `MutableMapping`.

    def keys(self) -> KeysView[Any]:
        """Return the keys of the receivers that are connected now."""
        return self.copy().keys()

    def values(self) -> ValuesView[Any]:
        """Return the receivers that are connected now, or weak references to them."""
        return self.copy().values()

    def items(self) -> ItemsView[Any, Any]:
        """Return the receivers that are connected now, with their keys."""
        return self.copy().items()

    def __delitem__(self, key: Any) -> None:
        self.pop(key)

    def pop(self, key: Any, default: Any = _NOTHING) -> Any:
        """Disconnect the receiver of a key from all senders, and return what was shown for it.

        Args:
            key: the receiver's key.
            default: what is returned if the key is not there.

        Raises:
            KeyError: if the key is not there, and no default is given.
        """
        found = self.copy()
        if key not in found:
            if default is _NOTHING:
                raise KeyError(key)
            return default
        _remove(self._signal, key)
        return found[key]

    def popitem(self) -> tuple[Any, Any]:
        """Disconnect the last receiver, and return its key and what was shown for it.

        Raises:
            KeyError: if nothing is connected.
        """
        found = self.copy()
        if not found:
            raise KeyError("popitem(): no receivers are connected")
        item = found.popitem()
        _remove(self._signal, item[0])
        return item

    def clear(self) -> None:
        """Disconnect all receivers."""
        _remove(self._signal)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.update({key: value})

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Restore receivers that were removed, or connect others for `ANY`: all of a mapping, or of pairs."""
        # Weak references to receivers that have died since are passed over.
        given = {}
        for key, value in dict(other, **more).items():
            receiver = value
            weak = isinstance(value, ref) and key != handler_key(value)
            if weak and (receiver := value()) is None:
                continue
            if key != (value._entry.handler_key if type(value) is _MethodReference else handler_key(receiver)):
                raise ValueError(
                    f"{safe_repr(key)} is not the key of {safe_repr(receiver)} in receivers: connect it by connect()"
                )
            given[key] = receiver, weak
        _restore(self._signal, given)


class _MethodReference(ref["Any"]):
    """A weak reference to a bound method, of Python or of a builtin type, which it makes anew on each call."""

    __slots__ = ("_entry",)

    _entry: Entry

    def __new__(cls, target: Any, entry: Entry) -> Self:
        self = super().__new__(cls, target)
        self._entry = entry
        return self

    def __call__(self) -> Any:
        return self._entry.get()

    def __eq__(self, other: object) -> bool:
        return type(other) is _MethodReference and other._entry.handler_key == self._entry.handler_key

    def __ne__(self, other: object) -> bool:  # or that of weak references would compare the objects
        return not self == other

    def __hash__(self) -> int:
        return hash(self._entry.handler_key)


def _weak_reference(entry: Entry, receiver: Any) -> ref[Any]:
    """Return a weak reference to the receiver of an entry that holds it weakly."""
    target = entry()
    return ref(receiver) if target is receiver or target is None else _MethodReference(target, entry)


class _SenderReference(ref["Any"]):
    """A weak reference to the sender of a connection that was removed."""

    __slots__ = ()


class _Removed:
    """The senders for which a receiver was connected until it was removed. It keeps the receiver alive in no case."""

    __slots__ = ("receiver", "senders")

    def __init__(self, receiver: ref[Any] | None) -> None:
        self.receiver = receiver  # its callback forgets this; None: the receiver cannot be weakly referenced
        self.senders: list[tuple[int, Any]] = []  # each after its connection's serial; by reference where possible

    def living(self) -> list[tuple[int, Any]]:
        """Return the senders that are alive, each after the serial of its connection."""
        found = []
        for serial, held in self.senders:
            sender = held
            if type(held) is _SenderReference and (sender := held()) is None:
                continue
            found.append((serial, sender))
        return found

    def add(self, rows: list[tuple[int, Any]]) -> None:
        """Remember more senders, each of them once."""
        kept = [row for row in self.living() if not any(_is_same_sender(row[1], sender) for _, sender in rows)]
        self.senders = [(serial, _held(sender)) for serial, sender in kept + rows]


def _is_same_sender(one: Any, other: Any) -> bool:
    """Return whether two senders are the same to the core: by value for str, bytes and int, else by identity."""
    if handler_key(one) == handler_key(other):
        return True
    types = type(one), type(other)
    return bool not in types and any(
        issubclass(types[0], kind) and issubclass(types[1], kind) and kind.__eq__(one, other)
        for kind in (str, bytes, int)
    )


def _held(sender: Any) -> Any:
    """Return a `_SenderReference` to a sender where the core would hold it weakly, else the sender."""
    if issubclass(type(sender), (str, bytes, int)) or handler_key(sender) != id(sender):
        return sender
    try:
        return _SenderReference(sender)
    except TypeError:
        return sender


def _remove(signal: Signal, key: Any = _NOTHING) -> None:
    """Disconnect the receiver of a key, or all, and remember for which senders they were connected."""
    core = _core(signal)
    found: dict[Any, tuple[Any, list[tuple[int, Any]]]] = {}  # the receivers are held until they are remembered
    for entry, sender, _ in core._connections():
        if key is _NOTHING or entry.handler_key == key:
            receiver = entry.get()
            if core._disconnect_entry(entry) and receiver is not None:
                found.setdefault(entry.handler_key, (receiver, []))[1].append((entry.serial, sender))
    for each, (receiver, rows) in found.items():
        call_locked(_remember, core, each, _reference_to_forget(core, each, receiver), rows)


def _remember(core: _Connections, key: Any, reference: ref[Any] | None, rows: list[tuple[int, Any]]) -> None:
    if core.removed is None:
        core.removed = {}
    removed = core.removed.get(key)
    # Without a reference, what is there may be about a dead receiver whose id this one has got.
    if removed is None or removed.receiver is None:
        removed = core.removed[key] = _Removed(reference)
    removed.add(rows)


def _reference_to_forget(core: _Connections, key: Any, receiver: Any) -> ref[Any] | None:
    """Return a weak reference that removes the key from `core.removed` when the receiver dies; None if it cannot be."""
    home = ref(core)

    def forget(_: object) -> None:
        core = home()
        if core is not None and core.removed is not None:
            core.removed.pop(key, None)

    try:
        if type(receiver) is MethodType:
            from weakref import WeakMethod

            return WeakMethod(receiver, forget)
        # Other bound methods are temporaries: their objects stand for them.
        return ref(receiver if key == id(receiver) else receiver.__self__, forget)
    except TypeError:
        return None


def _restore(signal: Signal, given: dict[Any, tuple[Any, bool]]) -> None:
    """Connect receivers, each given with whether it is held weakly, for the senders that they were removed from.

    Those that were not removed, and are not connected, are connected for `ANY`.
    """
    core = _core(signal)
    connected: dict[Any, list[tuple[Entry, Any]]] = {}
    for entry, sender, _ in core._connections():
        connected.setdefault(entry.handler_key, []).append((entry, sender))
    rows = []
    for key, (receiver, weak) in given.items():
        removed = None if core.removed is None else core.removed.get(key)
        present = connected.get(key, [])
        if removed is not None:
            rows += [(serial, receiver, sender, weak) for serial, sender in removed.living()]
        elif not present:
            rows.append((sys.maxsize, receiver, ANY, weak))
        if present and all(entry.weak for entry, _ in present) != weak:
            rows += [(entry.serial, receiver, sender, weak) for entry, sender in present]
    rows.sort(key=_serial)
    for _, receiver, sender, weak in rows:  # in the order in which they were connected first
        _connect(signal, receiver, sender, weak, None)
    if core.removed is not None:
        for key in given:
            core.removed.pop(key, None)


def _serial(row: tuple[int, Any, Any, bool]) -> int:
    return row[0]


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
        _mute(self._signal, 1)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _mute(self._signal, -1)


class ConnectedTo(Context):
    """The context manager of `Signal.connected_to`."""

    __slots__ = ("_connected", "_receiver", "_sender")

    def __init__(self, signal: Signal, receiver: Receiver, sender: Any) -> None:
        super().__init__(signal)
        self._receiver = receiver
        self._sender = sender
        self._connected: list[tuple[Entry, Entry | None] | None] = []  # None: by overridden methods

    def __enter__(self) -> None:
        signal, cls = self._signal, type(self._signal)
        if cls.connect is Signal.connect and cls.disconnect is Signal.disconnect:
            self._connected.append(_connect_and_notify(signal, self._receiver, self._sender, False, None))
        else:
            signal.connect(self._receiver, sender=self._sender, weak=False)
            self._connected.append(None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal, connected = self._signal, self._connected.pop()
        if connected is not None:
            _core(signal)._restore(*connected, self._sender)
            _notify_disconnected(signal, self._receiver, self._sender)
        elif self._sender is ANY:
            signal.disconnect(self._receiver)
        else:
            signal.disconnect(self._receiver, self._sender)


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
