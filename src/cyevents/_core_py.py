"""The pure core: the tables of an event's connections, and the loop that runs them. `_core_c.pyx` is its compiled twin.

A reader's map. An `EventCore` keeps one `Group` of `Entry` objects for the handlers of any sender, and one for each
sender that handlers were connected for. What an emission runs is a `Snapshot`: an immutable tuple of entries in
dispatch order, one per handler, built when first needed and used until the group, or the group of any sender, has
changed (each has an `epoch`, a fresh object after every change). An event that patterns match has their cores among
its `_sources`, whose entries are merged into its snapshots.

Who owns what: the event owns groups, groups own entries; an entry is itself the weak reference to its handler, or
holds it strongly if asked to, and a group holds its sender weakly where it can. A dying handler or sender only leaves a
note in `_dead`, for `sweep` to act upon.

Threads: one lock (`lock`) makes changes of any tables one at a time. It is held for a few dict operations and never
while user code runs: what a change throws away is collected in `trash` and let go after the lock. An emission takes
no lock. The lock is re-entrant, and a change is a sequence of atomic steps each of which leaves the tables sound,
because a signal handler, or a finalizer that the garbage collector runs, may come in between two of them with a change
of its own. What may fail for want of memory comes before the step that counts: then nothing has changed.

The core knows nothing of names, patterns or asyncio: it calls the methods under "Hooks" for those.
"""

from __future__ import annotations

import sys
from _weakref import ref as weakref
from types import BuiltinMethodType, GenericAlias, MethodDescriptorType, MethodType, MethodWrapperType, ModuleType

from ._common import ANY, GENERATOR, VALUE, AnySender, Cancelled, drops_result_of, kind_of_result, shown
from ._lock import lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType
    from typing import Any, Concatenate, Generic, Literal, Self, TypeVar, overload

    from ._typing import ArgsP, HandlerT, ResultT, SenderT, Undeclared

    ClassT = TypeVar("ClassT", bound=type)
    EventT = TypeVar("EventT", bound="EventCore[Any]")

    class _Parametrised(Generic[SenderT, ArgsP]):
        pass
else:
    SenderT = ArgsP = EventT = None

    class _Parametrised:
        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)


__all__ = [
    "CONDITION",
    "DEAD",
    "ONCE",
    "THREAD",
    "WITH_EVENT",
    "Entry",
    "EventCore",
    "NamespaceCore",
    "Pending",
    "consume",
    "handler_key",
    "install_methods",
    "lock",
    "stand_in",
    "sweep",
]

# An entry's flags word. It is zero for the common handler, and looked at once per call.
DEAD = 1  # disconnected, or spent
REPLACED = 2  # connected again since: to be called by the emissions that have begun, unless disconnected meanwhile
ONCE = 4
WITH_EVENT = 8
CONDITION = 16
THREAD = 32
BOUND = 64  # it is a method: the entry refers to its object, and has its function
HELD = 128  # it is held strongly
OBSERVED = 512  # it stands in for the entry that it holds, whose call its condition watches: see `stand_in`

# What keeps an event's emissions from the short way.
FILTERED = 1  # there have been groups for senders
WATCHED = 2  # there is an observer

# Results of these very types are values: no need to ask whether they can be awaited.
_PLAIN = frozenset({bool, int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset})

_acquire, _release = lock.acquire, lock.release  # looking these up may need memory
_dead: list[tuple[EventCore, Entry | Ref, bool]] = []  # who, in which event's tables, and whether to log it
_last_serial = 0
_last_code: object = None  # where the newest entry was connected: the caller's code and instruction in it
_last_instruction = 0


class Place:
    """Where connections belong: in the tables of which event, and for which sender."""

    __slots__ = ("home", "key")

    def __init__(self, home: weakref[EventCore], key: object) -> None:
        self.home = home
        self.key = key


class Ref(weakref["Any"]):
    """A weak reference to a sender, or to the function of a method, that knows where it belongs."""

    __slots__ = ("handler_key", "place")

    place: Place
    handler_key: object  # None: it refers to a sender


def _died(what: Entry | Ref) -> None:
    """Called by the interpreter when a handler or a sender dies: in any thread, between any two instructions."""
    home = what.place.home()
    if home is None or _dead is None:  # the interpreter is exiting, and has cleared this module
        return
    if what.handler_key is not None:
        entry = home._entry_of(what)
        if entry is not None and entry.serial == _last_serial:  # the newest handler of all: has it died on the spot?
            frame = _frame()
            if frame is not None and drops_result_of(frame, _last_code, _last_instruction):
                _dead.append((home, entry, False))
                sweep()
                home._warn_vanished(entry.name, frame)
                return
    _dead.append((home, what, True))
    sweep()


def _frame() -> FrameType | None:
    """The frame of the Python code in which the interpreter has called `_died`, if there is any."""
    try:
        return sys._getframe(2)
    except ValueError:
        return None


def _bury(entry: Entry) -> None:
    """Leave a note that an entry is to be taken out of its event's tables."""
    home = entry.place.home()
    if home is not None:
        _dead.append((home, entry, False))


def sweep() -> None:
    """Take out of the tables what has died, unless another thread holds the lock: then it will, on letting go."""
    trash: list[object] = []
    while _dead and _acquire(False):
        try:
            while _dead:
                try:
                    home, what, lost = note = _dead.pop()
                except IndexError:  # a finalizer was faster
                    break
                try:
                    trash.append(note)
                    home._take_out(what, lost, trash)
                except MemoryError:
                    _dead.append(note)  # for the next one
                    return
        finally:
            _release()
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

    Of a bound method it is that of its object and function.

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
    if cls is MethodType:  # a temporary, held strongly
        return handler_key(sender)
    return id(sender)


class Line:
    """What the entries of one handler and sender that have replaced each other share: whether the last one stands."""

    __slots__ = ("stands",)

    def __init__(self) -> None:
        self.stands = True


class Entry(weakref["Any"]):
    """One connection: a handler, and how and in what order it is called. Only its flags ever change.

    It is itself the weak reference to the handler or, methods being temporaries, to the method's object.
    """

    __slots__ = (
        "_warned",
        "before",
        "condition",
        "flags",
        "handler_key",
        "held",
        "line",
        "name",
        "place",
        "priority",
        "serial",
        "tickets",
    )

    flags: int
    held: Any  # the handler, if it is held strongly; a method's function, if possible by a Ref; else None
    handler_key: object
    place: Place
    priority: int
    serial: int  # when it was registered, over all events
    condition: Callable[..., Any] | None
    name: str
    line: Line | None  # shared by the entries that have replaced each other
    before: tuple[Entry | None] | None  # what it had replaced, once what connected it is over
    tickets: list[None]  # one, if it is to be called once
    _warned: bool

    def get(self) -> Any:
        """The handler, or None once it is dead."""
        if self.flags & HELD:
            return self.held
        target = self()
        if not self.flags & BOUND or target is None:
            return target
        function = self.held
        if type(function) is Ref:
            function = function()
        return None if function is None else MethodType(function, target)

    def die(self) -> None:
        """Be called no more, by an emission that has begun neither: under the lock."""
        self.flags |= DEAD
        if self.line is not None:
            self.line.stands = False

    def is_off(self) -> bool:
        """Whether it is to be called no more: reconnecting is not disconnecting, but it may have been since."""
        replaced = self.flags & REPLACED and not (self.line is not None and self.line.stands)
        return bool(self.flags & DEAD or replaced or self.spent)

    def claim(self) -> bool:
        """Spend a `once` entry: true for one caller alone, in whatever threads they are."""
        try:
            self.tickets.pop()
        except IndexError:
            return False
        return True

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
        return not self.flags & HELD


def _make_entry(handler: Any, weak: bool, flags: int, place: Place) -> Entry:
    """An entry for a handler, which it refers to or holds, with flags that tell how."""
    key = handler_key(handler)
    if not weak:
        entry = Entry(Entry)  # which does not die
        entry.flags, entry.held = flags | HELD, handler
    else:
        cls = type(handler)
        target, function = handler, None
        if cls is MethodType:
            target, function = handler.__self__, handler.__func__
        elif cls is BuiltinMethodType and _is_bound(handler) and (function := _descriptor(handler)) is not None:
            target = handler.__self__
        try:
            entry = Entry(target, _died)
        except TypeError:
            raise TypeError(
                f"{shown(handler)} cannot be held weakly: connect it with weak=False, and disconnect it when done"
            ) from None
        entry.flags, entry.held = flags, None
        if function is not None:
            entry.flags |= BOUND
            entry.held = _referred(function, key, place)
    entry.handler_key = key
    entry.place = place
    return entry


def stand_in(entry: Entry, watch: Any) -> Entry:
    """What an observed emission runs in an entry's place: it is called, or skipped, as the entry would be.

    When it is called, that is done by what `watch.call(entry, handler)` returns, with the same arguments; when it is
    skipped, `watch.skip(entry, handler)` is told, the handler being None if it is dead.
    """
    made = Entry(Entry)  # which does not die
    made.flags, made.held, made.condition = OBSERVED, entry, watch
    made.priority = entry.priority
    return made


def _referred(function: Any, key: object, place: Place) -> Any:
    """A method's function, by a `Ref` where that is possible: a builtin's is not."""
    try:
        ref = Ref(function, _died)
    except TypeError:
        return function
    ref.handler_key = key
    ref.place = place
    return ref


def _descriptor(builtin: Any) -> Any:
    """The function of a builtin method, which takes the object as its first argument; None if there is none."""
    for cls in type(builtin.__self__).__mro__:
        function = cls.__dict__.get(builtin.__name__)
        if type(function) is MethodDescriptorType:
            return function
    return None


class Group:
    """The connections of one event for one sender, or for any."""

    __slots__ = ("entries", "epoch", "place", "sender", "snapshot")

    def __init__(self, place: Place, sender: object) -> None:
        self.place = place
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
    tasks: list[Any]
    handlers: list[Any]
    places: list[int]  # where among the results theirs belong
    marks: list[int]  # how many results there were when errors were collected

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self.make = None
        self.tasks = []
        self.handlers = []
        self.places = []
        self.marks = []
        return self

    def make_one(self, coroutine: Any) -> Any:
        """Make a task, in two steps: one that raises while it is made must be cleaned up."""
        task = self.make.__new__(self.make)
        try:
            self.make.__init__(task, coroutine, **self.keywords)
        except BaseException:
            self.not_started(task, coroutine)
            raise
        try:
            return task
        finally:
            del task  # what an eager start raises refers to this frame

    def add(self, task: Any, handler: Any, results: list[Any]) -> None:
        """Take the value that a task has by now; else note it, and keep a place for its result.

        What it has raised, and whether it cancels, counts only when all are done.
        """
        if task.done() and not task.cancelled() and task.exception() is None:
            value = task.result()
            if value is None:
                return
            if value is not False:
                results.append(value)
                return
        try:
            self.handlers.append(handler)
            self.places.append(len(results))
            results.append(None)
            self.tasks.append(task)
        except MemoryError:
            count = len(self.tasks)
            del self.handlers[count:], self.places[count:]
            task.cancel()
            raise

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


class EventCore(_Parametrised[SenderT, ArgsP]):
    """An event's tables and its emission. `Event` adds what a user sees."""

    __slots__ = (
        "__weakref__",
        "_any",
        "_by_hand",
        "_dependents",
        "_detours",
        "_groups",
        "_is_checked",
        "_key",
        "_lost",
        "_muted",
        "_observer",
        "_self",
        "_sources",
        "_warm",
    )

    _any: Group
    _by_hand: bool  # whether `_send_plain` is `_send_otherwise`
    _detours: int  # FILTERED and WATCHED
    _groups: dict[object, Group]  # by sender key
    _warm: dict[object, Group]  # those of the groups that have a snapshot
    _sources: list[EventCore]  # the patterns that match this event
    _dependents: dict[int, EventCore]  # a pattern's events, by
    _key: int  # their id
    _muted: dict[object, int]  # how many times, by handler key; None: the whole event
    _lost: list[str]  # names of handlers that died, to be logged
    _observer: Any  # what makes the emissions in its stead, by `emit` and `send`; or None: see `_observe`
    _self: weakref[EventCore]
    _is_checked: bool  # whether `_add` is to look at what a handler takes

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self._self = weakref(self)
        self._any = Group(Place(self._self, ANY), ANY)
        self._by_hand = False
        self._detours = 0
        self._observer = None
        self._groups = {}
        self._warm = {}
        self._sources = []
        self._dependents = {}
        self._muted = {}
        self._lost = []
        self._key = id(self)
        self._is_checked = False
        return self

    # Emission

    def emit(self, /, sender: SenderT | AnySender = ANY, *args: ArgsP.args, **kwargs: ArgsP.kwargs) -> list[Any]:
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
        try:
            snapshot = self._any.snapshot
        except AttributeError:
            raise _not_an_event(self, "emit") from None
        if self._detours or snapshot is None or snapshot.epoch is not self._any.epoch:
            observer = self._observer
            if observer is not None:
                observed: list[Any] = observer.emit(self, sender, args, kwargs)
                return observed
            snapshot = self._snapshot(sender)
        results: list[Any] = []
        errors: list[Exception] = []
        try:
            canceller = self._dispatch(snapshot.entries, sender, args, kwargs, results, errors, None)
            if errors:
                raise self._grouped(errors)
        finally:
            if errors:
                errors.clear()  # or they would refer to themselves by their tracebacks
        return results if canceller is None else Cancelled(results, canceller, self)

    def send(
        self, /, sender: SenderT | AnySender = ANY, *args: ArgsP.args, **kwargs: ArgsP.kwargs
    ) -> list[tuple[Any, Any]]:
        """Call the handlers now, and return pairs of each and what it returned, whatever that is.

        Unlike `emit`, it drops no `None`, consumes no generator, schedules and awaits nothing, and no handler
        cancels: the values are just as the calls returned them. Order, senders, conditions and `on_error` hold
        as in `emit`.

        Args:
            sender: who emits; handlers connected for another sender are not called.
            *args: positionals for the handlers.
            **kwargs: keywords for the handlers, of any names.

        Returns:
            A new list of pairs `(handler, value)`, in the order in which the handlers ran.

        Raises:
            Exception: what a handler raised, as it is, where `on_error` says no other.
            ExceptionGroup: of all that handlers raised, with `on_error="group"`.
            ValueError: for a pattern, which cannot be emitted.

        Thread-safe and re-entrant, as `emit` is.

        Example:
            >>> from cyevents import Event
            >>> saved = Event("saved")
            >>> @saved.connect
            ... def report(sender, **kwargs):
            ...     return None
            >>> saved.send("draft") == [(report, None)]
            True
        """
        try:
            return self._sent(sender, args, kwargs)
        except AttributeError:
            if isinstance(self, EventCore):
                raise
            raise _not_an_event(self, "send") from None

    def _send_plain(self, /, *args: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
        """`send`, for a subclass whose own takes a sender, by position, and keywords of any names for the handlers.

        Without a sender, that is None. The keyword `_async_wrapper` is left out: there is nothing to be wrapped. With
        more positionals, or while `_by_hand` is set, it calls `_send_otherwise` with the same arguments.
        """
        if len(args) > 1 or self._by_hand:
            pairs: list[tuple[Any, Any]] = self._send_otherwise(*args, **kwargs)
            return pairs
        kwargs.pop("_async_wrapper", None)
        return self._sent(args[0] if args else None, (), kwargs)

    def _sent(self, sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Any, Any]]:
        """What `send` returns."""
        observer = self._observer
        if observer is not None:
            observed: list[tuple[Any, Any]] = observer.send(self, sender, args, kwargs)
            return observed
        return self._pairs(self._snapshot(sender).entries, sender, args, kwargs)

    def _pairs(
        self, entries: tuple[Entry, ...], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> list[tuple[Any, Any]]:
        """Call entries in order, and return pairs of each handler and what it returned."""
        pairs: list[tuple[Any, Any]] = []
        errors: list[Exception] = []
        try:
            for entry in entries:
                if entry.flags:
                    watch = None
                    if entry.flags & OBSERVED:
                        entry, watch = entry.held, entry.condition
                    handler = entry.get()
                    if handler is None or (entry.flags and not self._admit(entry, handler, sender, kwargs)):
                        if watch is not None:
                            watch.skip(entry, handler)
                        continue
                    given = {**kwargs, "event": self} if entry.flags & WITH_EVENT else kwargs
                    call = handler if watch is None else watch.call(entry, handler)
                else:
                    handler = call = entry()
                    if handler is None:
                        continue
                    given = kwargs
                try:
                    pairs.append((handler, call(sender, *args, **given)))
                except Exception as error:
                    if not self._dealt_with(error, handler, sender, errors):
                        raise
            if errors:
                raise self._grouped(errors)
        finally:
            errors.clear()  # or they would refer to themselves by their tracebacks
        return pairs

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
            if entry.flags:
                watch = None
                if entry.flags & OBSERVED:
                    entry, watch = entry.held, entry.condition
                handler = entry.get()
                if handler is None or (entry.flags and not self._admit(entry, handler, sender, kwargs)):
                    if watch is not None:
                        watch.skip(entry, handler)
                    continue
                given = {**kwargs, "event": self} if entry.flags & WITH_EVENT else kwargs
                call = handler if watch is None else watch.call(entry, handler)
                if entry.flags & THREAD and pending is not None:
                    pending.add(pending.start_thread(call, (sender, *args), given), handler, results)
                    continue
            else:
                handler = call = entry()
                if handler is None:
                    continue
                given = kwargs
            try:
                # The second form is the faster one by far.
                result = call(sender, *args, **given) if args or given else call(sender)
                if result is None:
                    continue
                if result is False:
                    return handler
                try:
                    is_plain = type(result) in _PLAIN
                except Exception:  # classes of its class have no hash
                    is_plain = False
                if is_plain:
                    results.append(result)
                    continue
                kind = kind_of_result(result)
                if kind == GENERATOR:
                    result, cancels = consume(result)
            except Exception as error:
                if not self._dealt_with(error, handler, sender, errors):
                    raise
                if pending is not None and len(errors) > len(pending.marks):
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

    def _dealt_with(self, error: Exception, handler: Any, sender: Any, errors: list[Exception]) -> bool:
        """Do with an error what the event's policy says; false if it is to be raised."""
        policy = self._error_policy()
        if callable(policy):
            policy(error, handler, self, sender)
        elif policy == "raise":
            return False
        else:
            errors.append(error)
        return True

    def _admit(self, entry: Entry, handler: Any, sender: Any, kwargs: dict[str, Any]) -> bool:
        """Whether an entry with flags is to be called, its turn having come. Spends it if it is to be called once."""
        if entry.is_off():
            return False
        if entry.flags & CONDITION:
            assert entry.condition is not None
            try:
                if not entry.condition(sender, **kwargs):
                    return False
            except Exception as error:
                self._condition_failed(error, entry, handler, sender)
                return False
            if entry.is_off():  # the condition disconnected it
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
        sources: list[EventCore] = [self, *self._sources]
        for source in sources:
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
            key = group.place.key
            self._warm[key] = group
            if self._groups.get(key) is not group:
                self._warm.pop(key, None)
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
                other = source._groups.get(group.place.key)
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

    if TYPE_CHECKING:

        @overload
        def connect(
            self: EventCore[SenderT, [Undeclared]],
            receiver: HandlerT,
            sender: SenderT | AnySender = ...,
            weak: bool = ...,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            *,
            once: bool = ...,
            with_event: bool = ...,
            thread: bool = ...,
        ) -> HandlerT: ...
        @overload
        def connect(
            self,
            receiver: Callable[Concatenate[SenderT, ArgsP], ResultT],
            sender: SenderT | AnySender = ...,
            weak: bool = ...,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            *,
            once: bool = ...,
            with_event: Literal[False] = ...,
            thread: bool = ...,
        ) -> Callable[Concatenate[SenderT, ArgsP], ResultT]: ...
        @overload
        def connect(
            self,
            receiver: HandlerT,
            sender: SenderT | AnySender = ...,
            weak: bool = ...,
            priority: int = ...,
            condition: Callable[..., object] | None = ...,
            *,
            once: bool = ...,
            with_event: Literal[True],
            thread: bool = ...,
        ) -> HandlerT: ...

    def connect(
        self,
        receiver: Any,
        sender: SenderT | AnySender = ANY,
        weak: bool = True,
        priority: int = 0,
        condition: Callable[..., object] | None = None,
        *,
        once: bool = False,
        with_event: bool = False,
        thread: bool = False,
    ) -> Any:
        """Connect a handler, to be called as `receiver(sender, *args, **kwargs)` when the event is emitted.

        A handler is connected at most once for a sender: connecting it again replaces the options and
        counts as a new registration.

        Args:
            receiver: the handler: a function, method or other callable, sync, async or a generator.
            sender: only this sender's emissions; `ANY` for all. Senders are told apart by identity
                (two equal tuples are two senders), but `str`, `bytes` and `int` by value. They are held
                weakly where that is possible.
            weak: do not keep the handler alive; for a method, its object.
            priority: higher is called earlier; equal ones in order of registration.
            condition: called as `condition(sender, **kwargs)` when the handler's turn comes; a false answer
                or an exception skips the handler. Exceptions are logged, or go to a callable `on_error`.
            once: disconnect when about to be called the first time.
            with_event: pass the event that fired as the keyword `event`.
            thread: in `emit_async`, run a sync handler in a thread. `emit` runs it in place.

        Returns:
            The receiver, so that `connect` serves as a decorator.

        Raises:
            TypeError: if the receiver or the condition is not callable, the condition is a coroutine
                function, the priority not an int, or the receiver cannot be held weakly; with `check=True` of
                the event, if the receiver or the condition cannot take what it declares.

        Warns:
            RuntimeWarning: if the receiver dies at once, as a lambda does that nobody else holds, or is a
                function with a first parameter `self`, decorated in a class body.

        Thread-safe. A running emission does not see the change.
        """
        self._add(receiver, sender, weak, priority, condition, once, with_event, thread, sys._getframe().f_back)
        return receiver

    def _connect(
        self,
        handler: Any,
        sender: Any,
        weak: bool,
        priority: int,
        condition: Any,
        flags: int,
        name: str,
        frame: FrameType | None,
    ) -> tuple[Entry, Entry | None]:
        """Connect, in place of the handler's connection for the same sender if there is one; return both entries."""
        global _last_serial, _last_code, _last_instruction
        entry = _make_entry(handler, weak, flags, self._place(ANY if sender is ANY else sender_key(sender)))
        entry.priority = priority
        entry.condition = condition
        entry.name = name
        entry.tickets = [None] if flags & ONCE else _NO_TICKETS
        entry._warned = False
        entry.line = entry.before = None
        code, instruction = (None, 0) if frame is None else (frame.f_code, frame.f_lasti)
        trash: list[object] = []
        with lock:
            _last_code, _last_instruction = code, instruction
            entry.serial = _last_serial = _last_serial + 1
            previous = self._put(entry, sender, trash)
        if _dead:
            sweep()
        return entry, previous

    def _put(self, entry: Entry, sender: Any, trash: list[object]) -> Entry | None:
        """Enter an entry in its group; return the one that it replaces."""
        key = entry.place.key
        epoch = object()
        try:
            for dependent in list(self._dependents.values()):
                dependent._follow(key, sender, trash)
            while True:
                group = self._any if key is ANY else self._group_for(entry.place, sender, trash)
                previous = group.entries.get(entry.handler_key)
                if previous is not None:
                    entry.line = previous.line = previous.line or Line()
                # In one step: an emission that begins now finds one of the two.
                group.entries[entry.handler_key] = entry
                if self._group_of(key) is group:  # and was not tidied away by a finalizer
                    break
        except BaseException:
            if key is not ANY:
                self._tidy(key, trash)
            raise
        if previous is not None:
            previous.flags |= REPLACED
        if entry.line is not None:
            entry.line.stands = True
        self._invalidate(group, epoch, trash)
        for dependent in list(self._dependents.values()):  # those of a finalizer too
            dependent._follow(key, sender, trash)
        return previous

    def _place(self, key: object) -> Place:
        group = self._group_of(key)
        return Place(self._self, key) if group is None else group.place

    def _group_of(self, key: object) -> Group | None:
        return self._any if key is ANY else self._groups.get(key)

    def _entry_of(self, what: Entry | Ref) -> Entry | None:
        """The entry that stands in the tables and refers to its handler by this."""
        group = self._group_of(what.place.key)
        entry = None if group is None else group.entries.get(what.handler_key)
        return entry if entry is not None and (entry is what or entry.held is what) else None

    def _group_for(self, place: Place, sender: Any, trash: list[object]) -> Group:
        """The group of a sender, made if need be."""
        key = place.key
        group = self._groups.get(key)
        if group is not None:
            if group.means(sender):
                return group
            self._discard_group(group, trash)  # a dead sender had this one's id
        group = Group(place, sender)
        if isinstance(key, int):  # by identity: held weakly if possible
            try:
                group.sender = ref = Ref(sender, _died)
            except TypeError:
                pass
            else:
                ref.place = place
                ref.handler_key = None
        self._detours |= FILTERED
        return self._groups.setdefault(key, group)

    def _discard_group(self, group: Group, trash: list[object]) -> None:
        entries = list(group.entries.values())
        trash += (entries, group.snapshot)
        key = group.place.key
        if self._groups.get(key) is group:
            del self._groups[key]
        self._warm.pop(key, None)
        for entry in entries:
            entry.die()
        group.entries.clear()
        group.snapshot = None

    def _tidy(self, key: object, trash: list[object]) -> None:
        """Forget the group of a sender for which nothing is connected any more, here or by a pattern."""
        group = self._groups.get(key)
        if group is not None and not group.entries and not any(key in source._groups for source in self._sources):
            self._discard_group(group, trash)
        for dependent in list(self._dependents.values()):
            dependent._tidy(key, trash)

    def _invalidate(self, group: Group, epoch: object, trash: list[object]) -> None:
        """Make the snapshots stale that have to do with a group, and let go of them."""
        group.epoch = epoch
        try:
            self._invalidate_dependents(group, epoch, trash)
        except BaseException:  # no memory, or an interrupt; the tables have changed
            self._invalidate_dependents(group, epoch, trash)
            raise
        try:
            trash.append(group.snapshot)
            group.snapshot = None
            if group is self._any:
                for other in list(self._warm.values()):
                    trash.append(other.snapshot)
                    other.snapshot = None
                self._warm.clear()
        except MemoryError:  # they are stale, and replaced when next needed
            pass

    def _invalidate_dependents(self, group: Group, epoch: object, trash: list[object]) -> None:
        for dependent in list(self._dependents.values()):
            theirs = dependent._any if group is self._any else dependent._groups.get(group.place.key)
            if theirs is not None:
                dependent._invalidate(theirs, epoch, trash)

    def _remove(self, entry: Entry, trash: list[object]) -> bool:
        """Disconnect an entry, if it still stands."""
        group = self._group_of(entry.place.key)
        if group is None or group.entries.get(entry.handler_key) is not entry:
            return False
        epoch = object()
        trash.append(entry)
        del group.entries[entry.handler_key]
        entry.die()
        self._invalidate(group, epoch, trash)
        if group is not self._any:
            self._tidy(group.place.key, trash)
        return True

    def _take_out(self, what: Entry | Ref, lost: bool, trash: list[object]) -> None:
        """Remove what has died: a spent entry, that of a dead handler, or all those for a dead sender."""
        if what.handler_key is None:
            group = self._group_of(what.place.key)
            if group is not None and group.sender is what:
                self._discard_group(group, trash)
            return
        entry = self._entry_of(what)
        if entry is not None and self._remove(entry, trash) and lost and len(self._lost) < 100:
            self._lost.append(entry.name)

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
            group = self._group_of(entry.place.key)
            current = None if group is None else group.entries.get(entry.handler_key)
            if current is entry or (current is None and entry.spent and not entry.flags & REPLACED):
                previous = _still_meant(previous)
                if previous is not None and not previous.spent and _is_alive(previous, trash):
                    trash.append(entry)
                    self._put(previous, sender, trash)  # a reconnection, for emissions that have begun
                    previous.flags &= ~REPLACED
                else:
                    self._remove(entry, trash)
            else:
                entry.before = (_still_meant(previous),)
        if _dead:
            sweep()

    def _mute(self, keys: list[object], by: int) -> None:
        """Mute handlers, or the whole event by the key None (`by` 1), or let them be heard again (`by` -1)."""
        trash: list[object] = []
        done = 0
        epoch = object()
        with lock:
            try:
                for key in keys:
                    self._mute_one(key, by)
                    done += 1
                self._invalidate(self._any, epoch, trash)
            except BaseException:  # who enters a `with` and does not get there never leaves it
                if by > 0:
                    for key in keys[:done]:
                        self._mute_one(key, -by)
                self._invalidate(self._any, epoch, trash)
                raise
        if _dead:
            sweep()

    def _mute_one(self, key: object, by: int) -> None:
        times = self._muted.get(key, 0) + by
        if times > 0:
            self._muted[key] = times
        else:
            self._muted.pop(key, None)

    # Observation

    def _observe(self, observer: Any) -> None:
        """Have the emissions that begin from now on made by an observer, or, with None, by this event again.

        It is asked as `observer.emit(event, sender, args, kwargs)`, and `send` likewise, and makes them with the help
        of `_snapshot`, `stand_in`, and `_dispatch` or `_pairs`.
        """
        with lock:  # the old one is let go of after it
            if observer is None:
                self._detours &= ~WATCHED
                self._observer, observer = None, self._observer
            else:
                self._observer, observer = observer, self._observer
                self._detours |= WATCHED

    # Patterns

    def _attach(self, source: EventCore, trash: list[object]) -> None:
        """Let the handlers of a pattern hear this event too. Called under the lock."""
        epoch = object()
        source._dependents[self._key] = self
        self._sources.append(source)
        self._invalidate(self._any, epoch, trash)
        for group in list(source._groups.values()):
            sender = group.the_sender()
            trash.append(sender)
            if sender is not None or group.place.key == id(None):
                self._follow(group.place.key, sender, trash)

    def _detach(self, source: EventCore, trash: list[object]) -> None:
        """Undo `_attach`, half of one too. Called under the lock."""
        epoch = object()
        if source in self._sources:
            self._sources.remove(source)
        source._dependents.pop(self._key, None)
        self._invalidate(self._any, epoch, trash)
        for key in list(source._groups):
            self._tidy(key, trash)

    def _follow(self, key: object, sender: Any, trash: list[object]) -> None:
        """Have a group for a sender that a pattern has one for, so that its emissions find it."""
        if key is not ANY:
            epoch = object()
            self._invalidate(self._group_for(self._place(key), sender, trash), epoch, trash)

    # Introspection

    def _connections(self) -> list[tuple[Entry, Any, EventCore]]:
        """All entries in dispatch order, each with its sender and the event, or pattern, that it is connected to."""
        rows = {}
        sources: list[EventCore] = [*self._sources, self]
        for source in sources:
            for group in [source._any, *list(source._groups.values())]:
                sender = group.the_sender()
                if sender is None and group.place.key != id(None):
                    continue  # it is dead, and there was no memory or no stack to note it
                for entry in list(group.entries.values()):
                    rows[entry.serial] = entry, sender, source
        return [rows[entry.serial] for entry in _in_order(row[0] for row in rows.values())]

    def _is_connected(self) -> bool:
        """Whether there are connections, for any sender or for some."""
        return bool(self._any.entries) or any(group.entries for group in list(self._groups.values()))

    def _reaches(self, sender: Any) -> bool:
        """Whether an emission by this sender would find a handler."""
        return any(
            entry.get() is not None and not entry.flags & DEAD and not entry.spent
            for entry in self._snapshot(sender).entries
        )

    # Hooks: what the shell adds.

    def _add(
        self,
        receiver: Any,
        sender: Any,
        weak: bool,
        priority: int,
        condition: Any,
        once: bool,
        with_event: bool,
        thread: bool,
        frame: FrameType | None,
    ) -> Any:
        """Check what is to be connected, and `_connect` it on behalf of the caller whose frame that is."""
        raise NotImplementedError

    def _schedule(self, result: Any, kind: int, handler: Any, sender: Any) -> None:
        """See to it that what an async handler returned is awaited."""
        raise NotImplementedError

    def _send_otherwise(self, /, *args: Any, **kwargs: Any) -> Any:
        """Send what `_send_plain` leaves to its class."""
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


def _not_an_event(found: Any, name: str) -> TypeError:
    """Return the error of `Event.emit(found)` where that is not an event, as CPython words it for methods in C."""
    return TypeError(f"descriptor {name!r} for 'Event' objects doesn't apply to a {type(found).__name__!r} object")


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

    if TYPE_CHECKING:

        @overload
        def emit(self, evt: str, /, sender: Any = ..., *args: Any, **kwargs: Any) -> list[Any]: ...
        @overload
        def emit(
            self,
            evt: EventCore[SenderT, ArgsP],
            /,
            sender: SenderT | AnySender = ...,
            *args: ArgsP.args,
            **kwargs: ArgsP.kwargs,
        ) -> list[Any]: ...

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


def install_methods(cls: ClassT) -> ClassT:
    """Return the class as it is: only the compiled core puts methods on `Event` and `Namespace`."""
    return cls


if not TYPE_CHECKING:  # so that help() shows what it can show for the compiled core: signatures without types
    for _method in (EventCore.connect, EventCore.emit, EventCore.send, NamespaceCore.emit):
        _method.__annotations__ = {}
