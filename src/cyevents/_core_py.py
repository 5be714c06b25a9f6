"""The pure core: the tables of an event's connections, and the loop that runs them. `_core_c.pyx` is its compiled twin.

A reader's map. An `EventCore` keeps one `Group` of `Entry` objects for the handlers of any sender, and one for each
sender that handlers were connected for. What an emission runs is a `Snapshot`: an immutable tuple of entries in
dispatch order, one per handler, built when first needed and used until the group, or the group of any sender, has
changed (each has an `epoch`, a fresh object after every change). An event that patterns match has their cores among
its `_sources`, whose entries are merged into its snapshots.

Who owns what: the event owns groups, groups own entries; entries hold handlers, and groups senders, weakly or
strongly as asked. A dying handler or sender only leaves a note in `_dead`, for `sweep` to act upon.

Threads: one lock (`lock`) makes changes of any tables one at a time. It is held for a few dict operations and never
while user code runs: what a change throws away is collected in `trash` and let go after the lock. An emission takes
no lock. The lock is re-entrant, and a change is a sequence of atomic steps each of which leaves the tables sound,
because a signal handler, or a finalizer that the garbage collector runs, may come in between two of them with a change
of its own.

The core knows nothing of names, patterns or asyncio: it calls the methods under "Hooks" for those.
"""

from __future__ import annotations

import sys
from _thread import RLock
from _weakref import ref as weakref
from types import BuiltinMethodType, GenericAlias, MethodDescriptorType, MethodType, MethodWrapperType, ModuleType

from ._common import ANY, GENERATOR, VALUE, AnySender, Cancelled, drops_result_of, kind_of_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType
    from typing import Any, Generic, Self

    from typing_extensions import TypeVar

    SenderT = TypeVar("SenderT", default=Any)
    EventT = TypeVar("EventT", bound="EventCore[Any]")

    class _Parametrised(Generic[SenderT]):
        pass
else:
    SenderT = EventT = None

    class _Parametrised:
        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)


__all__ = [
    "CONDITION",
    "ONCE",
    "THREAD",
    "WITH_EVENT",
    "Entry",
    "EventCore",
    "NamespaceCore",
    "Pending",
    "consume",
    "handler_key",
    "lock",
    "sweep",
]

# An entry's flags word. It is zero for the common handler, and looked at once per call.
DEAD = 1  # disconnected, or spent
REPLACED = 2  # connected again since: to be called by the emissions that have begun, unless disconnected meanwhile
ONCE = 4
WITH_EVENT = 8
CONDITION = 16
THREAD = 32

# Results of these very types are values: no need to ask whether they can be awaited.
_PLAIN = frozenset({bool, int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset})

lock = RLock()
_dead: list[tuple[EventCore, Ref | Entry]] = []
_last_serial = 0


class Ref(weakref["Any"]):
    """A weak reference to a handler or a sender that knows where in which event's tables it belongs."""

    __slots__ = ("handler_key", "home", "sender_key")

    home: weakref[EventCore]
    sender_key: object
    handler_key: object  # None: it refers to a sender


def _died(ref: Ref) -> None:
    """Called by the interpreter when a handler or a sender dies: in any thread, between any two instructions."""
    home = ref.home()
    if home is None:
        return
    if ref.handler_key is not None:
        group = home._group_of(ref.sender_key)
        entry = None if group is None else group.entries.get(ref.handler_key)
        if entry is not None and entry.serial == _last_serial and entry.is_held_by(ref):
            # The newest handler of all: has it died on the spot?
            frame = _frame()
            if frame is not None and drops_result_of(frame, entry.code, entry.instruction):
                _dead.append((home, entry))
                sweep()
                home._warn_vanished(entry.name, frame)
                return
    _dead.append((home, ref))
    sweep()


def _frame() -> FrameType | None:
    """The frame of the Python code in which the interpreter has called `_died`, if there is any."""
    try:
        return sys._getframe(2)
    except ValueError:
        return None


def _bury(entry: Entry) -> None:
    """Leave a note that an entry is to be taken out of its event's tables."""
    home = entry.home()
    if home is not None:
        _dead.append((home, entry))


def sweep() -> None:
    """Take out of the tables what has died, unless another thread holds the lock: then it will, on letting go."""
    trash: list[object] = []
    while _dead and lock.acquire(False):
        try:
            while _dead:
                try:
                    home, what = note = _dead.pop()
                except IndexError:  # a finalizer was faster
                    break
                trash.append(note)
                home._take_out(what, trash)
        finally:
            lock.release()
        home = what = note = None  # type: ignore[assignment]
        trash.clear()


def handler_key(handler: Any) -> object:
    """What makes two handlers the same one: identity, for bound methods that of object and function."""
    cls = type(handler)
    if cls is MethodType:
        return id(handler.__self__), id(handler.__func__)
    if cls is MethodWrapperType or (cls is BuiltinMethodType and _is_bound(handler)):
        return id(handler.__self__), handler.__name__
    return id(handler)


def _is_bound(builtin: Any) -> bool:
    """Whether a builtin is a method of an object (`seen.add`) rather than a function (`print`)."""
    owner = builtin.__self__
    return owner is not None and not issubclass(type(owner), ModuleType)


def sender_key(sender: Any) -> object:
    """What makes two senders the same one: the value of str, bytes and int (bool is none of these), else identity.

    The types keep values apart from each other and from identities, which are bare integers.
    """
    cls = type(sender)
    if cls is str:
        return sender
    if issubclass(cls, str):
        return str.__str__(sender)
    if cls is not bool and issubclass(cls, int):
        return int, int.__index__(sender)
    if issubclass(cls, bytes):
        return bytes, bytes.__bytes__(sender)
    return id(sender)


class Line:
    """What the entries of one handler and sender that have replaced each other share: whether the last one stands."""

    __slots__ = ("stands",)

    def __init__(self) -> None:
        self.stands = True


class Entry:
    """One connection: a handler, and how and in what order it is called. Only its flags ever change."""

    __slots__ = (
        "_warned",
        "before",
        "code",
        "condition",
        "flags",
        "function_ref",
        "get",
        "handler_key",
        "home",
        "instruction",
        "line",
        "name",
        "priority",
        "ref",
        "sender_key",
        "serial",
        "tickets",
    )

    flags: int
    get: Callable[[], Any]  # the handler, or None once it is dead
    ref: Ref | None  # its reference that tells of its death; None: held strongly
    function_ref: Ref | None  # that of a weakly held method's function
    handler_key: object
    sender_key: object
    home: weakref[EventCore]  # the event whose table it is in
    priority: int
    serial: int  # when it was registered, over all events
    condition: Callable[..., Any] | None
    name: str
    code: object  # where it was connected: the caller's code and instruction in it
    instruction: int
    line: Line | None  # shared by the entries that have replaced each other
    before: tuple[Entry | None] | None  # what it had replaced, once what connected it is over
    tickets: list[None]  # one, if it is to be called once
    _warned: bool

    def die(self) -> None:
        """Be called no more, by an emission that has begun neither: under the lock."""
        self.flags |= DEAD
        if self.line is not None:
            self.line.stands = False

    def claim(self) -> bool:
        """Spend a `once` entry: true for one caller alone, in whatever threads they are."""
        try:
            self.tickets.pop()
        except IndexError:
            return False
        return True

    def is_held_by(self, ref: Ref) -> bool:
        """Whether this is one of the references by which the handler is held."""
        return self.ref is ref or self.function_ref is ref

    def warned(self) -> bool:
        """Whether this was asked before: its condition has raised, and the first time is louder."""
        before, self._warned = self._warned, True
        return before

    @property
    def spent(self) -> bool:
        """Whether it was to be called once, and has been."""
        return bool(self.flags & ONCE) and not self.tickets

    @property
    def weak(self) -> bool:
        """Whether the handler is held weakly."""
        return self.ref is not None


def _hold(entry: Entry, handler: Any, weak: bool) -> None:
    """Give an entry its `get`, and its references if it is to hold the handler weakly.

    Of a bound method object and function are held apart, since the method itself is a temporary.
    """
    entry.ref = entry.function_ref = None
    if not weak:
        entry.get = lambda: handler
        return
    cls = type(handler)
    function = None
    if cls is MethodType:
        owner, function = handler.__self__, handler.__func__
    elif cls is BuiltinMethodType and _is_bound(handler):
        owner, function = handler.__self__, _descriptor(handler)
    if function is None:
        owner = handler
    try:
        entry.ref = _make_ref(entry, owner)
    except TypeError:
        raise TypeError(
            f"{handler!r} cannot be held weakly: connect it with weak=False, and disconnect it when done"
        ) from None
    if function is None:
        entry.get = entry.ref
        return
    try:
        entry.function_ref = _make_ref(entry, function)
    except TypeError:  # a builtin's
        entry.get = _method_getter(entry.ref, lambda: function)
    else:
        entry.get = _method_getter(entry.ref, entry.function_ref)


def _make_ref(entry: Entry, target: Any) -> Ref:
    ref = Ref(target, _died)
    ref.home = entry.home
    ref.sender_key = entry.sender_key
    ref.handler_key = entry.handler_key
    return ref


def _descriptor(builtin: Any) -> Any:
    """The function of a builtin method, which takes the object as its first argument; None if there is none."""
    for cls in type(builtin.__self__).__mro__:
        function = cls.__dict__.get(builtin.__name__)
        if type(function) is MethodDescriptorType:
            return function
    return None


def _method_getter(get_owner: Callable[[], Any], get_function: Callable[[], Any]) -> Callable[[], Any]:
    """Bring a method's object and function together again."""

    def get() -> Any:
        owner, function = get_owner(), get_function()
        return None if owner is None or function is None else MethodType(function, owner)

    return get


class Group:
    """The connections of one event for one sender, or for any."""

    __slots__ = ("entries", "epoch", "key", "sender", "snapshot")

    def __init__(self, key: object, sender: object) -> None:
        self.key = key
        self.sender = sender  # a Ref where it can be weakly referenced
        self.entries: dict[object, Entry] = {}  # by handler key
        self.epoch = object()  # another one after each change
        self.snapshot: Snapshot | None = None

    def means(self, sender: object) -> bool:
        """Whether this is the very sender, and not an object that has got the id of a dead one."""
        held = self.sender
        return type(held) is not Ref or held() is sender

    def the_sender(self) -> object:
        """The sender, or None if it is dead."""
        held = self.sender
        return held() if type(held) is Ref else held


class Snapshot:
    """The entries that an emission runs, in order. It never changes."""

    __slots__ = ("_tiers", "base", "entries", "epoch")

    def __init__(self, entries: tuple[Entry, ...], epoch: object, base: object) -> None:
        self.entries = entries
        self.epoch = epoch  # of the sender's group when this was built,
        self.base = base  # and of the group of any sender
        self._tiers: list[tuple[Entry, ...]] | None = None

    def tiers(self) -> list[tuple[Entry, ...]]:
        """The entries parted by priority."""
        if self._tiers is None:
            tiers: list[list[Entry]] = []
            for entry in self.entries:
                if not tiers or tiers[-1][0].priority != entry.priority:
                    tiers.append([])
                tiers[-1].append(entry)
            self._tiers = [tuple(tier) for tier in tiers]
        return self._tiers


class Pending:
    """What an emission that waits for its handlers has started: its tasks, whatever these are, and whose they are."""

    __slots__ = ("handlers", "keywords", "make", "marks", "places", "tasks")

    make: Any  # a type of tasks, made of a coroutine and `keywords`; None: they are started by `start`
    keywords: dict[str, Any]

    def __init__(self) -> None:
        self.make = None
        self.keywords = {}
        self.tasks: list[Any] = []
        self.handlers: list[Any] = []
        self.places: list[int] = []  # where among the results theirs belong
        self.marks: list[int] = []  # how many results there were when errors were collected

    def add(self, task: Any, handler: Any, results: list[Any]) -> None:
        """Note a task, and keep a place for its result."""
        self.tasks.append(task)
        self.handlers.append(handler)
        self.places.append(len(results))
        results.append(None)

    # Hooks: what the shell adds.

    def start(self, result: Any, kind: int) -> Any:
        """Start a task for what an async handler returned."""
        raise NotImplementedError

    def start_thread(self, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Start a task that calls a handler in a thread."""
        raise NotImplementedError

    def not_started(self, task: Any, coroutine: Any) -> None:
        """Clean up after a task that could not be made: an exception will tell of it."""


def _by_serial(entry: Entry) -> int:
    return entry.serial


def _by_priority(entry: Entry) -> int:
    return entry.priority


def _in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Higher priority first, equal priorities in order of registration."""
    ordered = sorted(entries, key=_by_serial)
    ordered.sort(key=_by_priority, reverse=True)  # a reversed sort is stable too
    return ordered


class EventCore(_Parametrised[SenderT]):
    """An event's tables and its emission. `Event` adds what a user sees."""

    __slots__ = ("__weakref__", "_any", "_dependents", "_groups", "_lost", "_muted", "_self", "_sources", "_warm")

    _any: Group
    _groups: dict[object, Group]  # by sender key
    _warm: dict[object, Group]  # those of the groups that have a snapshot
    _sources: list[EventCore]  # the patterns that match this event
    _dependents: dict[int, EventCore]  # a pattern's events
    _muted: dict[object, int]  # how many times, by handler key; None: the whole event
    _lost: list[str]  # names of handlers that died, to be logged
    _self: weakref[EventCore]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self._any = Group(ANY, ANY)
        self._groups = {}
        self._warm = {}
        self._sources = []
        self._dependents = {}
        self._muted = {}
        self._lost = []
        self._self = weakref(self)
        return self

    # Emission

    def emit(self, /, sender: SenderT | AnySender = ANY, *args: Any, **kwargs: Any) -> list[Any]:
        """Call the handlers now, in order of priority, and return what they returned.

        Positionals and keywords reach every handler unchanged, after the sender. Async handlers are
        scheduled and contribute nothing; a generator contributes one list of what it yielded; `None`
        is dropped. A handler that returns `False` cancels: the rest is not called, and the list is
        then a `Cancelled`.

        Args:
            sender: who emits; handlers connected for another sender are not called.
            *args: positionals for the handlers.
            **kwargs: keywords for the handlers, of any names.

        Returns:
            A new list of results, in the order in which the handlers ran.

        Raises:
            Exception: what a handler raised, as it is, where `on_error` says no other.
            ExceptionGroup: of all that handlers raised, with `on_error="group"`.
            ValueError: for a pattern, which cannot be emitted.

        Thread-safe, and takes no lock. Handlers may emit, connect and disconnect; an emission calls
        the handlers that were connected when it began, less those disconnected or dead by their turn.

        Example:
            >>> from cyevents import Event
            >>> saved = Event("saved")
            >>> @saved.connect
            ... def report(sender, **kwargs):
            ...     return f"{sender} saved"
            >>> saved.emit("draft")
            ['draft saved']
        """
        snapshot = self._any.snapshot
        if self._groups or snapshot is None or snapshot.epoch is not self._any.epoch:
            snapshot = self._snapshot(sender)
        results: list[Any] = []
        errors: list[Exception] = []
        canceller = self._dispatch(snapshot.entries, sender, args, kwargs, results, errors, None)
        if errors:
            raise self._grouped(errors)
        return results if canceller is None else Cancelled(results, canceller, self)

    def _dispatch(
        self,
        entries: tuple[Entry, ...],
        sender: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        results: list[Any],
        errors: list[Exception],
        pending: Pending | None,
    ) -> Any:
        """Call entries in order, filling `results` and, where errors are grouped, `errors`.

        What is awaited, or is to run in a thread, is started and added to `pending`; without that, the
        one is scheduled and the other runs in place.

        Returns the handler that cancelled, or None.
        """
        for entry in entries:
            handler = entry.get()
            if handler is None:
                continue
            if entry.flags:
                if not self._admit(entry, handler, sender, kwargs):
                    continue
                given = {**kwargs, "event": self} if entry.flags & WITH_EVENT else kwargs
                if entry.flags & THREAD and pending is not None:
                    pending.add(pending.start_thread(handler, (sender, *args), given), handler, results)
                    continue
            else:
                given = kwargs
            try:
                # The second form is the faster one by far.
                result = handler(sender, *args, **given) if args or given else handler(sender)
                if result is None:
                    continue
                if result is False:
                    return handler
                if type(result) in _PLAIN:
                    results.append(result)
                    continue
                kind = kind_of_result(result)
                if kind == GENERATOR:
                    result, cancels = consume(result)
            except Exception as error:
                policy = self._error_policy()
                if callable(policy):
                    policy(error, handler, self, sender)
                elif policy == "raise":
                    raise
                else:
                    errors.append(error)
                    if pending is not None:
                        pending.marks.append(len(results))
                continue
            if kind == VALUE:
                results.append(result)
            elif kind == GENERATOR:
                results.append(result)
                if cancels:
                    return handler
            elif pending is None:
                self._schedule(result, kind, handler, sender)
            else:
                pending.add(pending.start(result, kind), handler, results)
        return None

    def _admit(self, entry: Entry, handler: Any, sender: Any, kwargs: dict[str, Any]) -> bool:
        """Whether an entry with flags is to be called, its turn having come. Spends it if it is to be called once."""
        if entry.flags & DEAD:
            return False
        if entry.flags & REPLACED and not (entry.line is not None and entry.line.stands):
            return False  # reconnecting is not disconnecting, but it has been disconnected since
        if entry.flags & CONDITION:
            assert entry.condition is not None
            try:
                if not entry.condition(sender, **kwargs):
                    return False
            except Exception as error:
                self._condition_failed(error, entry, handler, sender)
                return False
            if entry.flags & DEAD:  # the condition disconnected it
                return False
        if entry.flags & ONCE:
            if not entry.claim():
                return False
            _bury(entry)
            sweep()
        return True

    # Snapshots

    def _snapshot(self, sender: Any) -> Snapshot:
        """What an emission by this sender runs."""
        group = self._any
        if self._groups:
            special = self._groups.get(sender_key(sender))
            if special is not None and special.means(sender):
                group = special
        snapshot = group.snapshot
        if snapshot is None or snapshot.epoch is not group.epoch or snapshot.base is not self._any.epoch:
            snapshot = self._build(group, sender)
        return snapshot

    def _build(self, group: Group, sender: Any) -> Snapshot:
        """Make a group's snapshot, without a lock: a change that comes in between makes it stale at once."""
        for source in [self, *self._sources]:
            if source._lost:
                source._log_lost()
        epoch, base = group.epoch, self._any.epoch
        chosen: dict[object, Entry] = {}
        for entry in self._candidates(group, sender):
            if entry.get() is not None:
                chosen[entry.handler_key] = entry
            else:  # its callback had no stack left to run on, or has just begun to
                _bury(entry)
        snapshot = Snapshot(tuple(_in_order(chosen.values())), epoch, base)
        group.snapshot = snapshot
        if group is not self._any:
            self._warm[group.key] = group
            if self._groups.get(group.key) is not group:
                self._warm.pop(group.key, None)
        if group.epoch is not epoch or self._any.epoch is not base:
            group.snapshot = None  # not to keep alive what has just been disconnected
        if _dead:
            sweep()
        return snapshot

    def _candidates(self, group: Group, sender: Any) -> list[Entry]:
        """All entries for a sender that are not muted, the most specific last, so that it wins."""
        if None in self._muted:
            return []
        general: list[Entry] = []
        special: list[Entry] = []
        for source in list(self._sources):
            general += source._audible(source._any)
            if group is not self._any:
                other = source._groups.get(group.key)
                if other is not None and other.means(sender):
                    special += source._audible(other)
        candidates = sorted(general, key=_by_serial) + sorted(special, key=_by_serial)
        candidates += self._any.entries.values()
        if group is not self._any:
            candidates += group.entries.values()
        if self._muted:
            candidates = [entry for entry in candidates if entry.handler_key not in self._muted]
        return candidates

    def _audible(self, group: Group) -> list[Entry]:
        """A group's entries, less what this pattern has muted."""
        if not self._muted:
            return list(group.entries.values())
        if None in self._muted:
            return []
        return [entry for entry in list(group.entries.values()) if entry.handler_key not in self._muted]

    # Changes: each under the lock, with a list for what is to be let go after it.

    def _connect(
        self,
        handler: Any,
        sender: Any,
        weak: bool,
        priority: int,
        condition: Any,
        flags: int,
        name: str,
        frame: FrameType,
    ) -> tuple[Entry, Entry | None]:
        """Connect, in place of the handler's connection for the same sender if there is one; return both entries."""
        global _last_serial
        entry = Entry()
        entry.flags = flags
        entry.handler_key = handler_key(handler)
        entry.sender_key = ANY if sender is ANY else sender_key(sender)
        entry.home = self._self
        entry.priority = priority
        entry.condition = condition
        entry.name = name
        entry.code = frame.f_code
        entry.instruction = frame.f_lasti
        entry.tickets = [None] if flags & ONCE else _NO_TICKETS
        entry._warned = False
        entry.line = entry.before = None
        _hold(entry, handler, weak)
        trash: list[object] = []
        with lock:
            entry.serial = _last_serial = _last_serial + 1
            previous = self._put(entry, sender, trash)
        if _dead:
            sweep()
        return entry, previous

    def _put(self, entry: Entry, sender: Any, trash: list[object]) -> Entry | None:
        """Enter an entry in its group; return the one that it replaces."""
        while True:
            group = self._any if entry.sender_key is ANY else self._group_for(entry.sender_key, sender, trash)
            previous = group.entries.pop(entry.handler_key, None)
            group.entries[entry.handler_key] = entry
            if self._group_of(entry.sender_key) is group:  # and was not tidied away by a finalizer
                break
        if previous is not None:
            entry.line = previous.line = previous.line or Line()
            previous.flags |= REPLACED
        if entry.line is not None:
            entry.line.stands = True
        self._invalidate(group, trash)
        for dependent in list(self._dependents.values()):
            dependent._follow(entry.sender_key, sender, trash)
        return previous

    def _group_of(self, key: object) -> Group | None:
        return self._any if key is ANY else self._groups.get(key)

    def _group_for(self, key: object, sender: Any, trash: list[object]) -> Group:
        """The group of a sender, made if need be."""
        group = self._groups.get(key)
        if group is not None:
            if group.means(sender):
                return group
            self._discard_group(group, trash)  # a dead sender had this one's id
        group = Group(key, sender)
        if isinstance(key, int):  # by identity: held weakly if possible
            try:
                group.sender = ref = Ref(sender, _died)
            except TypeError:
                pass
            else:
                ref.home = self._self
                ref.sender_key = key
                ref.handler_key = None
        return self._groups.setdefault(key, group)

    def _discard_group(self, group: Group, trash: list[object]) -> None:
        if self._groups.get(group.key) is group:
            del self._groups[group.key]
        self._warm.pop(group.key, None)
        for entry in list(group.entries.values()):
            entry.die()
        trash += (group.entries.copy(), group.snapshot)
        group.entries.clear()
        group.snapshot = None

    def _tidy(self, key: object, trash: list[object]) -> None:
        """Forget the group of a sender for which nothing is connected any more, here or by a pattern."""
        group = self._groups.get(key)
        if group is not None and not group.entries and not any(key in source._groups for source in self._sources):
            self._discard_group(group, trash)
        for dependent in list(self._dependents.values()):
            dependent._tidy(key, trash)

    def _invalidate(self, group: Group, trash: list[object]) -> None:
        """Make the snapshots stale that have to do with a group."""
        group.epoch = object()
        trash.append(group.snapshot)
        group.snapshot = None
        if group is self._any:
            warm = list(self._warm.values())
            self._warm.clear()
            for other in warm:
                trash.append(other.snapshot)
                other.snapshot = None
        for dependent in list(self._dependents.values()):
            theirs = dependent._any if group is self._any else dependent._groups.get(group.key)
            if theirs is not None:
                dependent._invalidate(theirs, trash)

    def _remove(self, entry: Entry, trash: list[object]) -> bool:
        """Disconnect an entry, if it still stands."""
        group = self._group_of(entry.sender_key)
        if group is None or group.entries.get(entry.handler_key) is not entry:
            return False
        del group.entries[entry.handler_key]
        entry.die()
        trash.append(entry)
        self._invalidate(group, trash)
        if group is not self._any:
            self._tidy(group.key, trash)
        return True

    def _take_out(self, what: Ref | Entry, trash: list[object]) -> None:
        """Remove what has died: a spent entry, that of a dead handler, or all those for a dead sender."""
        if isinstance(what, Ref):
            group = self._group_of(what.sender_key)
            if group is None:
                return
            if what.handler_key is None:
                if group.sender is what:
                    self._discard_group(group, trash)
                return
            entry = group.entries.get(what.handler_key)
            if entry is not None and entry.is_held_by(what) and self._remove(entry, trash) and len(self._lost) < 100:
                self._lost.append(entry.name)
        else:
            self._remove(what, trash)

    def _disconnect_entry(self, entry: Entry) -> bool:
        """Remove this very connection; return whether it still stood."""
        trash: list[object] = []
        with lock:
            removed = self._remove(entry, trash)
        if _dead:
            sweep()
        return removed

    def _disconnect(self, handler: Any, sender: Any) -> bool:
        """Remove a handler's connection for a sender, or all its connections if that is ANY."""
        key = handler_key(handler)
        trash: list[object] = []
        removed = False
        with lock:
            if sender is ANY:
                groups = [self._any, *self._groups.values()]
            else:
                group = self._groups.get(sender_key(sender))
                groups = [group] if group is not None and group.means(sender) else []
            for group in groups:
                entry = group.entries.get(key)
                if entry is not None and _is_alive(entry, trash):
                    removed |= self._remove(entry, trash)
        if _dead:
            sweep()
        return removed

    def _clear(self) -> None:
        """Remove all connections."""
        trash: list[object] = []
        with lock:
            for group in [self._any, *self._groups.values()]:
                for entry in list(group.entries.values()):
                    self._remove(entry, trash)
        if _dead:
            sweep()

    def _restore(self, entry: Entry, previous: Entry | None, sender: Any) -> None:
        """Undo a `_connect`: put back the entry that it replaced, unless someone changed the connection since."""
        trash: list[object] = []
        with lock:
            group = self._group_of(entry.sender_key)
            current = None if group is None else group.entries.get(entry.handler_key)
            if current is entry or (current is None and entry.spent):
                self._remove(entry, trash)
                previous = _still_meant(previous)
                if previous is not None and not previous.spent and _is_alive(previous, trash):
                    previous.flags &= ~REPLACED
                    self._put(previous, sender, trash)
            else:
                entry.before = (_still_meant(previous),)
        if _dead:
            sweep()

    def _mute(self, keys: Iterable[object], by: int) -> None:
        """Mute handlers, or the whole event by the key None (`by` 1), or let them be heard again (`by` -1)."""
        trash: list[object] = []
        with lock:
            for key in keys:
                times = self._muted.get(key, 0) + by
                if times > 0:
                    self._muted[key] = times
                else:
                    self._muted.pop(key, None)
            self._invalidate(self._any, trash)
        if _dead:
            sweep()

    # Patterns

    def _attach(self, source: EventCore, trash: list[object]) -> None:
        """Let the handlers of a pattern hear this event too. Called under the lock."""
        self._sources.append(source)
        source._dependents[id(self)] = self
        self._invalidate(self._any, trash)
        for group in list(source._groups.values()):
            sender = group.the_sender()
            trash.append(sender)
            if sender is not None or group.key == id(None):
                self._follow(group.key, sender, trash)

    def _detach(self, source: EventCore, trash: list[object]) -> None:
        """Undo `_attach`. Called under the lock."""
        if source in self._sources:
            self._sources.remove(source)
        source._dependents.pop(id(self), None)
        self._invalidate(self._any, trash)
        for key in list(source._groups):
            self._tidy(key, trash)

    def _follow(self, key: object, sender: Any, trash: list[object]) -> None:
        """Have a group for a sender that a pattern has one for, so that its emissions find it."""
        if key is not ANY:
            self._invalidate(self._group_for(key, sender, trash), trash)

    # Introspection

    def _connections(self) -> list[tuple[Entry, Any, EventCore]]:
        """All entries in dispatch order, each with its sender and the event, or pattern, that it is connected to."""
        rows = {}
        for source in [*self._sources, self]:
            for group in [source._any, *list(source._groups.values())]:
                for entry in list(group.entries.values()):
                    rows[entry.serial] = entry, group.the_sender(), source
        return [rows[entry.serial] for entry in _in_order(row[0] for row in rows.values())]

    def _reaches(self, sender: Any) -> bool:
        """Whether an emission by this sender would find a handler."""
        return any(
            entry.get() is not None and not entry.flags & DEAD and not entry.spent
            for entry in self._snapshot(sender).entries
        )

    # Hooks: what the shell adds.

    def _schedule(self, result: Any, kind: int, handler: Any, sender: Any) -> None:
        """See to it that what an async handler returned is awaited."""
        raise NotImplementedError

    def _error_policy(self) -> Any:
        """What is done with an `Exception` of a handler: "raise", "group" or a callable."""
        return "raise"

    def _grouped(self, errors: list[Exception]) -> Exception:
        """The one exception for several."""
        raise NotImplementedError

    def _condition_failed(self, error: Exception, entry: Entry, handler: Any, sender: Any) -> None:
        """A condition raised, and its handler is skipped."""

    def _warn_vanished(self, name: str, frame: FrameType) -> None:
        """A handler died on the spot."""

    def _log_lost(self) -> None:
        """Handlers named in `_lost` have died since the last snapshot."""


def _still_meant(entry: Entry | None) -> Entry | None:
    """An entry that was replaced for a time, or what it had replaced itself, if its own time is over meanwhile."""
    while entry is not None and entry.before is not None:
        (entry,) = entry.before
    return entry


def _is_alive(entry: Entry, trash: list[object]) -> bool:
    """Whether an entry's handler is; asked under the lock, where the last reference to it must not be let go."""
    handler = entry.get()
    trash.append(handler)
    return handler is not None


_NO_TICKETS: list[None] = []


def consume(generator: Any) -> tuple[list[Any], bool]:
    """Run a generator to its end: what it yielded, without None, and whether it returned `False`."""
    items: list[Any] = []
    while True:
        try:
            item = next(generator)
        except StopIteration as stop:
            return items, stop.value is False
        if item is not None:
            items.append(item)


class NamespaceCore(dict[str, EventT]):
    """Events by name, and emission by name. `Namespace` adds what a user sees."""

    __slots__ = ()

    def emit(self, evt: Any, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> list[Any]:
        """Emit an event given by name or as such: see `Event.emit`.

        A name that nobody has made an event of is heard by nobody: the list is empty, and no event is made.

        Args:
            evt: the event's name, or the `Event`.
            sender: who emits.
            *args: positionals for the handlers.
            **kwargs: keywords for the handlers, of any names.

        Returns:
            A new list of the handlers' results, in the order in which they ran.

        Raises:
            TypeError: if `evt` is neither.
            ValueError: if it is a pattern, which cannot be emitted.

        Thread-safe and re-entrant, as `Event.emit` is.

        Example:
            >>> from cyevents import Namespace
            >>> shop = Namespace()
            >>> @shop.on("order.placed")
            ... def confirm(sender, *, total):
            ...     return f"{sender}: {total}"
            >>> shop.emit("order.placed", "ada", total=12)
            ['ada: 12']
        """
        event: Any = self.get(evt) if type(evt) is str else None
        if event is None:
            event = self._find(evt)
            if event is None:
                return []
        results: list[Any] = type(event).emit(event, sender, *args, **kwargs)
        return results

    def _find(self, evt: Any) -> Any:
        """The event meant by what is not a name in here; None for an unknown name."""
        raise NotImplementedError


if not TYPE_CHECKING:  # so that help() shows what it can show for the compiled core: signatures without types
    EventCore.emit.__annotations__ = {}
    NamespaceCore.emit.__annotations__ = {}
