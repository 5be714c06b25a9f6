"""`Signal.receivers`: a mapping that shows the receivers of a signal, and that may be changed."""

from __future__ import annotations

from .._core import handler_key
from .._core._safe import safe_repr
from ._state import state_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, KeysView, MutableMapping, ValuesView
    from typing import Any, Self
    from weakref import ref

    from .._core import Entry, SignalCore
else:
    from _collections_abc import MutableMapping  # collections itself is slow to import
    from _weakref import ref

_NOTHING = object()


class Receivers(MutableMapping["Any", "Any"]):
    """The connected receivers of a signal, by key: the receiver, or a weak reference if it is held weakly.

    The key of a receiver is its `id`, or a tuple for a bound method. A receiver that is connected for several senders
    is one item. It is shown as held strongly if one of its connections holds it.

    Removing a key (`clear`, `pop`, `popitem`, `del`) disconnects the receiver from all senders. Setting it again, alone
    or by `update`, restores the connections that were removed, for the same senders. So tests can save the receivers
    by `copy` and restore them. Setting the key of a receiver that is neither removed nor connected connects it for
    `ANY`. A weak reference is held weakly, anything else strongly. None of this sends `receiver_connected` or
    `receiver_disconnected`.

    Raises:
        KeyError: if a key is read or removed that does not exist.
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

    def __init__(self, signal: SignalCore) -> None:
        self._signal = signal

    def copy(self) -> dict[Any, Any]:
        """Return the items as a new `dict`."""
        found: dict[Any, Any] = {}
        for entry, _ in state_of(self._signal).rows():
            receiver = entry.get()
            if receiver is not None:
                key = entry.handler_key
                if not entry.weak:
                    found[key] = receiver
                elif key not in found:
                    target = entry()
                    is_target = target is receiver or target is None
                    found[key] = ref(receiver) if is_target else _MethodReference(target, entry)
        return found

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        from copy import deepcopy

        return deepcopy(self.copy(), memo)

    def __bool__(self) -> bool:
        return state_of(self._signal).has_receivers()

    def __len__(self) -> int:
        return len(self.copy())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.copy())

    def __getitem__(self, key: Any) -> Any:
        return self.copy()[key]

    def __repr__(self) -> str:
        return repr(self.copy())

    # The views of `MutableMapping` would raise a KeyError for a receiver that dies while they are read.

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
        """Disconnect the receiver with this key from all senders, and return its value.

        Args:
            key: the receiver's key.
            default: returned if the key does not exist.

        Raises:
            KeyError: if the key does not exist, and no default is given.
        """
        found = self.copy()
        if key not in found:
            if default is _NOTHING:
                raise KeyError(key)
            return default
        state_of(self._signal).remove(key)
        return found[key]

    def popitem(self) -> tuple[Any, Any]:
        """Disconnect the last receiver, and return its key and value.

        Raises:
            KeyError: if nothing is connected.
        """
        found = self.copy()
        if not found:
            raise KeyError("popitem(): no receivers are connected")
        item = found.popitem()
        state_of(self._signal).remove(item[0])
        return item

    def clear(self) -> None:
        """Disconnect all receivers."""
        state_of(self._signal).remove()

    def __setitem__(self, key: Any, value: Any) -> None:
        self.update({key: value})

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Restore removed receivers, and connect others for `ANY`: all items of a mapping or of pairs."""
        given = {}
        for key, value in dict(other, **more).items():
            receiver = value
            weak = isinstance(value, ref) and key != handler_key(value)
            if weak and (receiver := value()) is None:  # it has died
                continue
            if key != (value._entry.handler_key if type(value) is _MethodReference else handler_key(receiver)):
                raise ValueError(
                    f"{safe_repr(key)} is not the key of {safe_repr(receiver)} in receivers: connect it by connect()"
                )
            given[key] = receiver, weak
        state_of(self._signal).restore(self._signal, given)


class _MethodReference(ref["Any"]):
    """A weak reference to a bound method, of Python or of a builtin type, which is created anew by each call."""

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

    def __ne__(self, other: object) -> bool:  # else that of weak references would compare the objects
        return not self == other

    def __hash__(self) -> int:
        return hash(self._entry.handler_key)
