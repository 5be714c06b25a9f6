"""The pure core: the tables of an event's connections, and the loop that runs them. `_core_c.pyx` is its compiled twin.

A reader's map. An `EventCore` keeps one `Group` of `Entry` objects for the handlers of any sender, and one for each
sender that handlers were connected for. What an emission runs is a `Snapshot`: an immutable tuple of entries in
dispatch order, one per handler, built when first needed and used until the group, or the group of any sender, has
changed (each has an `epoch`, a fresh object after every change). An event that patterns match has their cores among
its `_patterns`, whose entries are merged into its snapshots.

Who owns what: the event owns groups, groups own entries; an entry is itself the weak reference to its handler, or
holds it strongly if asked to, and a group holds its sender weakly where it can. A dying handler or sender only leaves a
note in `_dead`, for `purge_dead` to act upon.

Threads: one lock (`lock`) makes changes of any tables one at a time. It is held for a few dict operations and never
while user code runs: what a change throws away is collected in `to_release` and let go after the lock. An emission takes
no lock. The lock is re-entrant, and a change is a sequence of atomic steps each of which leaves the tables sound,
because a signal handler, or a finalizer that the garbage collector runs, may come in between two of them with a change
of its own. What may fail for want of memory comes before the step that counts: then nothing has changed.

A signal handler runs after a call, or at the start of a function. A step that looks at a table and then changes it
therefore calls nothing in between: it uses `in`, `[]` and `del`, not `get` and `pop`. Such places say "One step".

The core knows nothing of names, patterns or asyncio: it calls the methods under "Hooks" for those.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from _weakref import ref as weakref
from types import CodeType, FunctionType, MethodType

from ._checks import warn_vanished_sender
from ._common import (
    ANY,
    AWAITABLE,
    GENERATOR,
    MISSING,
    VALUE,
    Cancelled,
    drops_result_of,
    is_at_call,
    is_returning,
    kind_of_result,
    not_an_event,
    typed_repr,
)
from ._lock import call_locked, release, taking, taking_at_once
from ._methods import bind, definition_of, may_be_method, method_parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from types import FrameType
    from typing import Any, Self, TypeVar

    ClassT = TypeVar("ClassT", bound=type)

__all__ = [
    "CONDITION",
    "DEAD",
    "ONCE",
    "THREAD",
    "WITH_EVENT",
    "Entry",
    "EventCore",
    "NamespaceCore",
    "TaskCollector",
    "SignalCore",
    "call_locked",
    "consume",
    "expect_death",
    "handler_key",
    "install_methods",
    "purge_dead",
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
OWN_CONDITION = 1024  # its condition is a method of its own object: the entry has only the function

# What keeps an event's emissions from the short way.
FILTERED = 1  # there have been groups for senders
WATCHED = 2  # there is an observer
HIDDEN = 4  # patterns no longer notify it of changes: `_attach_patterns` must be called first

# Results of these very types are values: no need to ask whether they can be awaited.
_PLAIN = frozenset({bool, int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset})

_dead: list[list[Any]] = []  # who, in which event's tables, and whether to log it
_last_serial = 0  # of the newest connection: its number,
_last_name = ""  # its handler's name,
_last_sender: Ref | None = None  # what refers to its sender: kept, for the event itself may die before the sender
_last_thread = 0  # in which thread that was
_last_subscribed = 0  # the serial of the newest entry that a subscription holds
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


def _on_weakref_dead(what: Entry | Ref) -> None:
    """Called by the interpreter when a handler or a sender dies: in any thread, between any two instructions."""
    if _dead is None:  # the interpreter is exiting, and has cleared this module
        return
    home = what.place.home()
    note: list[Any] = [home, what, True]
    if home is not None:
        _dead.append(note)  # first: a signal handler that raises may come in between
    frame = None
    entry = None
    if what is _last_sender:
        frame = _frame() if get_ident() == _last_thread else None  # another thread may be at the same call
        if frame is not None and not is_at_call(frame, _last_code, _last_instruction):
            frame = None
    elif home is not None and what.handler_key is not None:
        entry = home._entry_of(what)
        if entry is not None and entry.serial == _last_serial:  # the newest handler of all: has it died on the spot?
            frame = _frame()
            if frame is not None and not drops_result_of(frame, _last_code, _last_instruction):
                frame = None
    note[2] = frame is None
    purge_dead()
    if frame is None:
        return
    if entry is None:
        warn_vanished_sender(_last_name, frame)
    elif home is not None:
        home._warn_discarded_handler(entry.name, frame, entry.serial == _last_subscribed)


def _frame() -> FrameType | None:
    """Return the frame of the user's code in which the interpreter has called `_on_weakref_dead`, if there is any."""
    try:
        frame: FrameType | None = sys._getframe(2)
    except ValueError:
        return None
    while frame is not None and frame.f_globals.get("__package__") == __package__:
        if not is_returning(frame):  # it drops no argument: the collector runs there, or another finalizer
            return None
        frame = frame.f_back
    return frame


def _bury(entry: Entry) -> None:
    """Leave a note that an entry is to be taken out of its event's tables."""
    home = entry.place.home()
    if home is not None:
        _dead.append([home, entry, False])


def purge_dead() -> None:
    """Take out of the tables what has died, unless another thread holds the lock: then it will, on letting go."""
    to_release: list[object] = []
    never_called: list[tuple[EventCore, Entry]] = []
    while _dead:
        for _ in taking_at_once():
            try:
                is_done = _sweep_locked(to_release, never_called)
            finally:
                release()
            break
        else:  # another thread holds the lock
            return
        to_release.clear()
        while never_called:
            home, entry = never_called.pop()
            home._log_never_called(entry)
            home = entry = None  # type: ignore[assignment]
        if not is_done:
            return


def _sweep_locked(to_release: list[object], never_called: list[tuple[EventCore, Entry]]) -> bool:
    while _dead:
        try:
            home, what, lost = note = _dead.pop()
        except IndexError:  # a finalizer was faster
            break
        try:
            to_release.append(note)
            home._take_out(what, lost, to_release, never_called)
        except MemoryError:
            _dead.append(note)  # for the next one
            return False
        except BaseException:  # a signal handler has raised
            _dead.append(note)
            raise
    return True


def handler_key(handler: Any) -> object:
    """What makes two handlers the same one: identity, for bound methods that of object and function."""
    cls = type(handler)
    if cls is FunctionType:
        return id(handler)
    if cls is MethodType:
        return id(handler.__self__), id(handler.__func__)
    parts = method_parts(handler)
    return id(handler) if parts is None else (id(parts[0]), id(parts[1]))


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
    if may_be_method(cls):  # a temporary, held strongly
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
        "_condition",
        "_warned",
        "before",
        "flags",
        "handler_key",
        "held",
        "line",
        "may_vanish",
        "name",
        "place",
        "priority",
        "serial",
        "tickets",
    )

    flags: int
    held: Any
    """The handler, if it is held strongly; a method's function, by a `Ref` where that is possible; of a function that
    is held weakly, or a partial of one, the code, which tells where it was defined; else None."""
    handler_key: object
    place: Place
    priority: int
    serial: int  # when it was registered, over all events
    _condition: Any  # see `condition`
    may_vanish: bool  # nobody is surprised when it dies: an emission has found it, or a subscription holds the handler
    name: str
    line: Line | None  # shared by the entries that have replaced each other
    before: tuple[Entry | None] | None  # what it had replaced, once what connected it is over
    tickets: list[None]  # one, if it is to be called once
    _warned: int

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
        return None if function is None else bind(function, target)

    @property
    def condition(self) -> Any:
        """The condition, or None; if it is a method of the handler's own object, None once that is dead."""
        if not self.flags & OWN_CONDITION:
            return self._condition
        target = self()
        return None if target is None else bind(self._condition, target)

    def die(self) -> None:
        """Be called no more, by an emission that has begun neither: under the lock."""
        self.flags |= DEAD
        if self.line is not None:
            self.line.stands = False

    def is_inactive(self) -> bool:
        """Whether it is to be called no more: reconnecting is not disconnecting, but it may have been since."""
        replaced = self.flags & REPLACED and not (self.line is not None and self.line.stands)
        return bool(self.flags & DEAD or replaced or self.is_consumed)

    def claim(self) -> bool:
        """Spend a `once` entry: true for one caller alone, in whatever threads they are."""
        try:
            self.tickets.pop()
        except IndexError:
            return False
        return True

    def warned(self, of: int = 1) -> bool:
        """Return whether this was asked before with the same bit. Bit 1: its condition raised."""
        before, self._warned = self._warned, self._warned | of
        return bool(before & of)

    @property
    def is_consumed(self) -> bool:
        """Whether it was to be called once, and has been."""
        return bool(self.flags & ONCE) and not self.tickets

    @property
    def weak(self) -> bool:
        """Whether the handler is held weakly."""
        return not self.flags & HELD


def _make_entry(handler: Any, weak: bool, condition: Any, flags: int, place: Place) -> Entry:
    """An entry for a handler, which it refers to or holds, with flags that tell how."""
    key = handler_key(handler)
    if not weak:
        entry = Entry(Entry)  # which does not die
        entry.flags, entry.held = flags | HELD, handler
    else:
        parts = None if type(handler) is FunctionType else method_parts(handler)
        target, function = (handler, None) if parts is None else parts
        try:
            entry = Entry(target, _on_weakref_dead)
        except TypeError:
            raise TypeError(
                f"{typed_repr(handler)} cannot be held weakly: connect it with weak=False, and disconnect it when done"
            ) from None
        entry.flags = flags
        if function is not None:
            entry.flags |= BOUND
            entry.held = _referred(function, key, place)
        else:
            entry.held = definition_of(handler)
        if condition is not None:  # not to keep alive what is held weakly
            parts = method_parts(condition)
            if parts is not None and parts[0] is target:
                entry.flags |= OWN_CONDITION
                condition = parts[1]
    entry._condition = condition
    entry.handler_key = key
    entry.place = place
    return entry


def _referred(function: Any, key: object, place: Place) -> Any:
    """A method's function, by a `Ref` where that is possible: a builtin's is not."""
    try:
        ref = Ref(function, _on_weakref_dead)
    except TypeError:
        return function
    ref.handler_key = key
    ref.place = place
    return ref


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

    def get_sender(self) -> object:
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


class TaskCollector:
    """What an emission that waits for its handlers has started: its tasks, whatever these are, and whose they are."""

    __slots__ = ("handlers", "keywords", "make", "error_positions", "result_slots", "tasks")

    make: Any  # a type of tasks, made of a coroutine and `keywords`; None: they are started by `start`
    keywords: dict[str, Any]
    tasks: list[Any]
    handlers: list[Any]
    result_slots: list[int]  # where among the results theirs belong
    error_positions: list[int]  # how many results there were when errors were collected

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self.make = None
        self.tasks = []
        self.handlers = []
        self.result_slots = []
        self.error_positions = []
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
            self.result_slots.append(len(results))
            results.append(None)
            self.tasks.append(task)
        except MemoryError:
            count = len(self.tasks)
            del self.handlers[count:], self.result_slots[count:]
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


class EventCore:
    """An event's tables and its emission. `Event` adds what a user sees, and the types."""

    __slots__ = (
        "__weakref__",
        "_any",
        "_matched_events",
        "_detours",
        "_groups",
        "_is_checked",
        "_is_used",
        "_key",
        "_dead_handler_names",
        "_mutes",
        "_observer",
        "_self",
        "_patterns",
        "_warm",
    )

    _any: Group
    _detours: int  # FILTERED, WATCHED and HIDDEN
    _groups: dict[object, Group]  # by sender key
    _warm: dict[object, Group]  # those of the groups that have a snapshot
    _patterns: dict[int, EventCore]  # the patterns that match this event, by their id
    _matched_events: dict[int, EventCore]  # a pattern's events, by
    _key: int  # their id
    _mutes: dict[object, list[Any]]  # what is muted, as keys of handlers, None being the whole event; by whom
    _dead_handler_names: list[str]  # names of handlers that died, to be logged
    _observer: Any  # what makes the emissions in its stead, by `emit` and `send`; or None: see `_observe`
    _self: weakref[EventCore]
    _is_checked: bool  # whether `_add` is to look at what a handler takes
    _is_used: bool  # emitted by name since its namespace's cache was last cleaned: set by `NamespaceCore.emit`

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self._self = weakref(self)
        self._any = Group(Place(self._self, ANY), ANY)
        self._detours = 0
        self._observer = None
        self._groups = {}
        self._warm = {}
        self._patterns = {}
        self._matched_events = {}
        self._mutes = {}
        self._dead_handler_names = []
        self._key = id(self)
        self._is_checked = False
        self._is_used = False
        return self

    # Emission

    def emit(self, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> list[Any]:
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
            raise not_an_event(self, "emit") from None
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
                raise self._make_exception_group(errors)
        finally:
            if errors:
                errors.clear()  # or they would refer to themselves by their tracebacks
        return results if canceller is None else Cancelled(results, canceller, self)

    def send(self, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
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
            raise not_an_event(self, "send") from None

    def _sent(self, sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Any, Any]]:
        """What `send` returns."""
        observer = self._observer
        if observer is not None:
            observed: list[tuple[Any, Any]] = observer.send(self, sender, args, kwargs)
            return observed
        return self._pairs(self._snapshot(sender).entries, sender, args, kwargs)

    def _pairs(
        self,
        entries: tuple[Entry, ...],
        sender: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        watch: Any = None,
    ) -> list[tuple[Any, Any]]:
        """Call entries in order, and return pairs of each handler and what it returned. For `watch` see `_dispatch`."""
        pairs: list[tuple[Any, Any]] = []
        errors: list[Exception] = []
        try:
            for entry in entries:
                if entry.flags or watch is not None:
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
                    if isinstance(error, TypeError):
                        self._call_failed(error, handler, len(args), given, False)
                    if not self._dealt_with(error, handler, sender, errors):
                        raise
            if errors:
                raise self._make_exception_group(errors)
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
        pending: TaskCollector | None,
        watch: Any = None,
    ) -> Any:
        """Call entries in order, filling `results` and, where errors are grouped, `errors`.

        What is awaited, or is to run in a thread, is started and added to `pending`; without that, the
        one is scheduled and the other runs in place.

        A `watch` follows each entry. `watch.call(entry, handler)` returns what is called in place of the handler,
        with the same arguments. `watch.skip(entry, handler)` is called if the handler is not; it is None if dead.

        Returns the handler that cancelled, or None.
        """
        for entry in entries:
            if entry.flags or watch is not None:
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
                failing = None
                if isinstance(error, TypeError):
                    failing = self._call_failed(error, handler, len(args), given, True)
                if failing is None:
                    if not self._dealt_with(error, handler, sender, errors):
                        raise
                    if pending is not None and len(errors) > len(pending.error_positions):
                        pending.error_positions.append(len(results))
                    continue
                result, failing, kind = failing, None, AWAITABLE
            if kind == VALUE:
                results.append(result)
            elif kind == GENERATOR:
                results.append(result)
                if cancels:
                    return handler
            elif pending is None:
                self._schedule(result, kind, handler, sender, entry)
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
        if entry.is_inactive():
            return False
        if entry.flags & CONDITION:
            try:
                if not entry.condition(sender, **kwargs):
                    return False
            except Exception as error:
                self._condition_failed(error, entry, handler, sender, kwargs)
                return False
            if entry.is_inactive():  # the condition disconnected it
                return False
        if entry.flags & ONCE:
            if not entry.claim():
                return False
            _bury(entry)
            purge_dead()
        return True

    # Snapshots

    def _snapshot(self, sender: Any) -> Snapshot:
        """What an emission by this sender runs."""
        for _ in range(100):  # other threads may evict it again; without end only if its hook does nothing
            group = self._any
            if self._groups:
                special = self._groups.get(sender_key(sender))
                if special is not None and special.means(sender):
                    group = special
            if not self._detours & HIDDEN:  # looked at after the groups, which `_hide` removes
                break
            self._attach_patterns([])
        snapshot = group.snapshot
        if snapshot is None or snapshot.epoch is not group.epoch or snapshot.base is not self._any.epoch:
            snapshot = self._build(group, sender)
        return snapshot

    def _build(self, group: Group, sender: Any) -> Snapshot:
        """Make a group's snapshot, without a lock: a change that comes in between makes it stale at once."""
        sources: list[EventCore] = [self, *list(self._patterns.values())]
        for source in sources:
            if source._dead_handler_names:
                source._log_dead_handlers()
        epoch, base = group.epoch, self._any.epoch
        chosen: dict[object, Entry] = {}
        for entry in self._candidates(group, sender):
            if entry.get() is not None and not entry.is_consumed:
                entry.may_vanish = True
                chosen[entry.handler_key] = entry
            else:  # its callback had no stack left to run on, or has just begun to; or the emission that spent it
                _bury(entry)
        snapshot = Snapshot(tuple(_in_order(chosen.values())), epoch, base)
        group.snapshot = snapshot
        if group is not self._any:
            key = group.place.key
            self._warm[key] = group
            if self._groups.get(key) is not group:
                self._warm.pop(key, None)
        if group.epoch is not epoch or self._any.epoch is not base or self._detours & HIDDEN:
            group.snapshot = None  # not to keep alive what has just been disconnected, or will be without notice
        if _dead:
            purge_dead()
        return snapshot

    def _candidates(self, group: Group, sender: Any) -> list[Entry]:
        """All entries for a sender that are not muted, the most specific last, so that it wins."""
        muted = self._muted_keys()
        if None in muted:
            return []
        general: list[Entry] = []
        special: list[Entry] = []
        for source in list(self._patterns.values()):
            general += source._audible(source._any)
            if group is not self._any:
                other = source._groups.get(group.place.key)
                if other is not None and other.means(sender):
                    special += source._audible(other)
        candidates = sorted(general, key=_by_serial) + sorted(special, key=_by_serial)
        candidates += self._any.entries.values()
        if group is not self._any:
            candidates += group.entries.values()
        if muted:
            candidates = [entry for entry in candidates if entry.handler_key not in muted]
        return candidates

    def _audible(self, group: Group) -> list[Entry]:
        """A group's entries, less what this pattern has muted."""
        entries = list(group.entries.values())
        muted = self._muted_keys()
        if not muted:
            return entries
        return [] if None in muted else [entry for entry in entries if entry.handler_key not in muted]

    def _muted_keys(self) -> set[Any]:
        """Return the keys of the handlers that are muted; None among them stands for the whole event."""
        return {key for keys in list(self._mutes.values()) for key in keys}

    # Changes: each under the lock, with a list for what is to be let go after it.

    def connect(
        self,
        receiver: Any = MISSING,
        sender: Any = ANY,
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
            receiver: the handler: a function, method or other callable, sync, async or a generator. Without
                it, `connect` returns a decorator: `@event.connect(priority=5)`.
            sender: only this sender's emissions; `ANY` for all. Senders are compared by identity
                (two equal tuples are two senders), except `str`, `bytes` and `int`, which are compared by
                value. They are held weakly where that is possible.
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
                function, the priority not an int, a flag not a bool, or the receiver cannot be held weakly;
                with `check=True` of the event, if the receiver or the condition cannot take what it declares.

        Warns:
            RuntimeWarning: if the receiver or the sender dies at once, as a lambda does that nothing else
                holds, the receiver is a function with a first parameter `self`, or the decorator is discarded.

        Thread-safe. A running emission does not see the change.
        """
        if not isinstance(self, EventCore):
            raise not_an_event(self, "connect")
        frame = sys._getframe().f_back
        if receiver is MISSING:
            return self._decorator(sender, weak, priority, condition, once, with_event, thread, frame)
        self._add(receiver, sender, weak, priority, condition, once, with_event, thread, frame)
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
        made: list[Entry | None] | None = None,
    ) -> tuple[Entry, Entry | None]:
        """Connect, in place of the handler's connection for the same sender if there is one; return both entries.

        Both are put into `made` before the connection is made, for callers that must undo it when they are interrupted.
        """
        global _last_serial, _last_name, _last_sender, _last_thread, _last_code, _last_instruction
        place = self._place(ANY if sender is ANY else sender_key(sender))
        entry = _make_entry(handler, weak, condition, flags, place)
        entry.priority = priority
        entry.name = name
        entry.tickets = [None] if flags & ONCE else _NO_TICKETS
        entry._warned = 0
        entry.may_vanish = False
        entry.line = entry.before = None
        code, instruction = (None, 0) if frame is None else (frame.f_code, frame.f_lasti)
        to_release: list[object] = []
        for _ in taking():
            try:
                _last_code, _last_instruction, _last_name = code, instruction, name
                entry.serial = _last_serial = _last_serial + 1
                if made is not None:
                    made.append(entry)
                previous = self._put(entry, sender, to_release, made)
                group = None if sender is ANY else self._group_of(place.key)
                to_release.append(_last_sender)
                _last_thread = get_ident()
                _last_sender = group.sender if group is not None and type(group.sender) is Ref else None
            finally:
                release()
        if _dead:
            purge_dead()
        return entry, previous

    def _put(
        self, entry: Entry, sender: Any, to_release: list[object], made: list[Entry | None] | None = None
    ) -> Entry | None:
        """Enter an entry in its group; return the one that it replaces."""
        if self._detours & HIDDEN:
            self._attach_patterns(to_release)
        key = entry.place.key
        epoch = object()
        group: Group | None = None
        try:
            for dependent in list(self._matched_events.values()):
                dependent._follow(key, sender, to_release)
            while True:
                group = self._any if key is ANY else self._group_for(entry.place, sender, to_release)
                entries = group.entries
                previous = entries.get(entry.handler_key)
                line = None if previous is None else Line()
                if made is not None:
                    made[1:] = [previous]
                # One step: an emission that begins now finds one of the two entries.
                if entry.handler_key in entries:
                    if entries[entry.handler_key] is not previous or line is None:
                        continue  # a signal handler has connected it
                    if previous.line is None:
                        previous.line = line
                    entry.line = previous.line
                    entry.may_vanish = entry.may_vanish or previous.may_vanish
                    previous.flags |= REPLACED
                elif previous is not None:
                    continue
                if entry.line is not None:
                    entry.line.stands = True
                entries[entry.handler_key] = entry
                group.epoch = epoch
                if self._group_of(key) is group:  # and was not tidied away by a finalizer
                    break
            self._invalidate(group, epoch, to_release)
        except BaseException:  # no memory, or a signal handler has raised, perhaps after the step
            if group is not None:
                self._invalidate(group, epoch, to_release)
            if key is not ANY:
                self._tidy(key, to_release)
            raise
        for dependent in list(self._matched_events.values()):  # those of a finalizer too
            dependent._follow(key, sender, to_release)
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

    def _group_for(self, place: Place, sender: Any, to_release: list[object]) -> Group:
        """The group of a sender, made if need be."""
        key = place.key
        group = self._groups.get(key)
        if group is not None:
            if group.means(sender):
                return group
            self._discard_group(group, to_release)  # a dead sender had this one's id
        group = Group(place, sender)
        if isinstance(key, int):  # by identity: held weakly if possible
            try:
                group.sender = ref = Ref(sender, _on_weakref_dead)
            except TypeError:
                pass
            else:
                ref.place = place
                ref.handler_key = None
        self._detours |= FILTERED
        return self._groups.setdefault(key, group)

    def _discard_group(self, group: Group, to_release: list[object]) -> None:
        groups = self._groups
        key = group.place.key
        # One step. First of all: what a signal handler connects from now on goes to another group.
        if key in groups and groups[key] is group:
            del groups[key]
        self._empty_group(group, to_release)

    def _empty_group(self, group: Group, to_release: list[object]) -> None:
        """Deactivate what is in a group that is no longer in the tables."""
        entries = list(group.entries.values())
        to_release += (entries, group.snapshot)
        self._warm.pop(group.place.key, None)
        for entry in entries:
            entry.die()
        group.entries.clear()
        group.snapshot = None

    def _tidy(self, key: object, to_release: list[object]) -> None:
        """Forget the group of a sender for which nothing is connected any more, here or by a pattern."""
        groups = self._groups
        group = groups.get(key)
        is_matched = any(key in source._groups for source in list(self._patterns.values()))
        # One step.
        if group is not None and not is_matched and key in groups and groups[key] is group and not group.entries:
            del groups[key]
            self._empty_group(group, to_release)
        for dependent in list(self._matched_events.values()):
            dependent._tidy(key, to_release)

    def _invalidate(self, group: Group, epoch: object, to_release: list[object]) -> None:
        """Make the snapshots stale that have to do with a group, and let go of them."""
        group.epoch = epoch
        try:
            self._invalidate_dependents(group, epoch, to_release)
        except BaseException:  # no memory, or an interrupt; the tables have changed
            self._invalidate_dependents(group, epoch, to_release)
            raise
        try:
            to_release.append(group.snapshot)
            group.snapshot = None
            if group is self._any:
                for other in list(self._warm.values()):
                    to_release.append(other.snapshot)
                    other.snapshot = None
                self._warm.clear()
        except MemoryError:  # they are stale, and replaced when next needed
            pass

    def _invalidate_dependents(self, group: Group, epoch: object, to_release: list[object]) -> None:
        for dependent in list(self._matched_events.values()):
            theirs = dependent._any if group is self._any else dependent._groups.get(group.place.key)
            if theirs is not None:
                dependent._invalidate(theirs, epoch, to_release)

    def _remove(self, entry: Entry, to_release: list[object]) -> bool:
        """Disconnect an entry, if it still stands."""
        group = self._group_of(entry.place.key)
        if group is None:
            return False
        entries = group.entries
        key = entry.handler_key
        epoch = object()
        to_release.append(entry)
        # One step.
        if key not in entries or entries[key] is not entry:
            return False
        del entries[key]
        entry.flags |= DEAD
        if entry.line is not None:
            entry.line.stands = False
        group.epoch = epoch
        try:
            self._invalidate(group, epoch, to_release)
        except BaseException:  # a signal handler has raised: once more, for the entry is gone
            self._invalidate(group, epoch, to_release)
            raise
        if group is not self._any:
            self._tidy(group.place.key, to_release)
        return True

    def _take_out(
        self, what: Entry | Ref, lost: bool, to_release: list[object], never_called: list[tuple[EventCore, Entry]]
    ) -> None:
        """Remove what has died: a spent entry, that of a dead handler, or all those for a dead sender."""
        if what.handler_key is None:
            group = self._group_of(what.place.key)
            if group is not None and group.sender is what:
                self._discard_group(group, to_release)
            return
        entry = self._entry_of(what)
        if entry is None or not self._remove(entry, to_release) or not lost:
            return
        if type(entry.held) is CodeType and not entry.may_vanish:
            never_called.append((self, entry))
        elif len(self._dead_handler_names) < 100:
            self._dead_handler_names.append(entry.name)

    def _disconnect_entry(self, entry: Entry) -> bool:
        """Remove this very connection; return whether it still stood."""
        to_release: list[object] = []
        for _ in taking():
            try:
                removed = self._remove(entry, to_release)
            finally:
                release()
        if _dead:
            purge_dead()
        return removed

    def _disconnect(self, handler: Any, sender: Any) -> bool:
        """Remove a handler's connection for a sender, or all its connections if that is ANY."""
        to_release: list[object] = []
        removed = call_locked(self._disconnect_locked, handler_key(handler), sender, to_release)
        if _dead:
            purge_dead()
        return removed

    def _disconnect_locked(self, key: object, sender: Any, to_release: list[object]) -> bool:
        # In a `try` that releases the lock, CPython 3.13 and 3.14 would not cover the jumps to the next group.
        removed = False
        if sender is ANY:
            groups = [self._any, *self._groups.values()]
        else:
            group = self._groups.get(sender_key(sender))
            groups = [group] if group is not None and group.means(sender) else []
        to_release.append(groups)  # a group that is removed holds its sender
        for group in groups:
            entry = group.entries.get(key)
            if entry is not None and _is_alive(entry, to_release):
                removed |= self._remove(entry, to_release)
        return removed

    def _clear(self) -> None:
        """Remove all connections."""
        to_release: list[object] = []
        for _ in taking():
            try:
                for group in [self._any, *self._groups.values()]:
                    for entry in list(group.entries.values()):
                        self._remove(entry, to_release)
            finally:
                release()
        if _dead:
            purge_dead()

    def _restore(self, entry: Entry, previous: Entry | None, sender: Any) -> None:
        """Undo a `_connect`: put back the entry that it replaced, unless someone changed the connection since."""
        to_release: list[object] = []
        for _ in taking():
            try:
                group = self._group_of(entry.place.key)
                current = None if group is None else group.entries.get(entry.handler_key)
                if current is entry or (current is None and entry.is_consumed and not entry.flags & REPLACED):
                    previous = _still_meant(previous)
                    if previous is not None and not previous.is_consumed and _is_alive(previous, to_release):
                        to_release.append(entry)
                        self._put(previous, sender, to_release)  # a reconnection, for emissions that have begun
                        previous.flags &= ~REPLACED
                    else:
                        self._remove(entry, to_release)
                else:
                    entry.before = (_still_meant(previous),)
            finally:
                release()
        if _dead:
            purge_dead()

    def _mute(self, by: object, keys: list[Any]) -> None:
        """Mute handlers, or the whole event by the key None, until `_unmute` is called with the same object."""
        to_release: list[object] = []
        for _ in taking():
            try:
                if self._detours & HIDDEN:
                    self._attach_patterns(to_release)
                self._set_mute(by, keys, to_release)
            finally:
                release()
        if _dead:
            purge_dead()

    def _set_mute(self, by: object, keys: list[Any], to_release: list[object]) -> None:
        """Do what `_mute` does, under the lock, whether or not patterns are attached."""
        epoch = object()
        try:
            self._mutes[by] = keys
            self._invalidate(self._any, epoch, to_release)
        except BaseException:
            self._mutes.pop(by, None)
            self._invalidate(self._any, epoch, to_release)
            raise

    def _unmute(self, by: object) -> None:
        """Undo `_mute`, if it has been done."""
        to_release: list[object] = []
        epoch = object()
        for _ in taking():
            try:
                to_release.append(self._mutes.pop(by, None))
                self._invalidate(self._any, epoch, to_release)
            except BaseException:  # once more: who leaves a `with` does so once
                self._mutes.pop(by, None)
                self._invalidate(self._any, epoch, to_release)
                raise
            finally:
                release()
        if _dead:
            purge_dead()

    # Observation

    def _observe(self, observer: Any) -> None:
        """Have the emissions that begin from now on made by an observer, or, with None, by this event again.

        It is asked as `observer.emit(event, sender, args, kwargs)`, and `send` likewise, and makes them with the help
        of `_snapshot`, and `_dispatch` or `_pairs` with a `watch`.
        """
        for _ in taking():  # the old one is let go of after it
            try:
                if observer is None:
                    self._detours &= ~WATCHED
                    self._observer, observer = None, self._observer
                else:
                    self._observer, observer = observer, self._observer
                    self._detours |= WATCHED
            finally:
                release()

    # Patterns

    def _attach(self, source: EventCore, to_release: list[object]) -> None:
        """Let the handlers of a pattern hear this event too. Called under the lock."""
        epoch = object()
        source._matched_events[self._key] = self
        self._patterns[source._key] = source
        self._invalidate(self._any, epoch, to_release)
        for group in list(source._groups.values()):
            sender = group.get_sender()
            to_release.append(sender)
            if sender is not None or group.place.key == id(None):
                self._follow(group.place.key, sender, to_release)

    def _detach(self, source: EventCore, to_release: list[object]) -> None:
        """Undo `_attach`, half of one too. Called under the lock."""
        epoch = object()
        to_release.append(self._patterns.pop(source._key, None))
        to_release.append(source._matched_events.pop(self._key, None))
        self._invalidate(self._any, epoch, to_release)
        for key in list(source._groups):
            self._tidy(key, to_release)

    def _hide(self, to_release: list[object]) -> None:
        """Let patterns notify this event of changes no more, until `_attach` is called for each. Under the lock.

        It goes on with its patterns: an emission that has begun still finds their handlers. But nothing of it holds a
        handler or a sender of theirs, of whose removal it would not be notified.
        """
        self._detours |= HIDDEN
        for source in list(self._patterns.values()):
            to_release.append(source._matched_events.pop(self._key, None))
        self._invalidate(self._any, object(), to_release)
        groups = self._groups
        for key, group in list(groups.items()):
            # One step.
            if key in groups and groups[key] is group and not group.entries:
                del groups[key]
                self._empty_group(group, to_release)

    def _show(self) -> None:
        """Undo `_hide`, once the patterns are attached again. Under the lock."""
        self._detours &= ~HIDDEN

    def _is_hidden(self) -> bool:
        """Return whether `_hide` was called, and not `_show` since."""
        return bool(self._detours & HIDDEN)

    def _has_state(self, mutes: Collection[object]) -> bool:
        """Whether there are connections, for any sender or for some, or it is muted by other than these."""
        return self._is_connected() or any(by not in mutes for by in list(self._mutes))

    def _follow(self, key: object, sender: Any, to_release: list[object]) -> None:
        """Have a group for a sender that a pattern has one for, so that its emissions find it."""
        if key is not ANY:
            epoch = object()
            self._invalidate(self._group_for(self._place(key), sender, to_release), epoch, to_release)

    # Introspection

    def _connections(self) -> list[tuple[Entry, Any, EventCore]]:
        """All entries in dispatch order, each with its sender and the event, or pattern, that it is connected to."""
        if self._detours & HIDDEN:
            self._attach_patterns([])
        rows = {}
        sources: list[EventCore] = [*list(self._patterns.values()), self]
        for source in sources:
            for group in [source._any, *list(source._groups.values())]:
                sender = group.get_sender()
                if sender is None and group.place.key != id(None):
                    continue  # it is dead, and there was no memory or no stack to note it
                for entry in list(group.entries.values()):
                    rows[entry.serial] = entry, sender, source
        return [rows[entry.serial] for entry in _in_order(row[0] for row in rows.values())]

    def _is_connected(self) -> bool:
        """Whether there are connections, for any sender or for some."""
        return bool(self._any.entries) or any(group.entries for group in list(self._groups.values()))

    def _has_live_handlers(self, sender: Any) -> bool:
        """Whether an emission by this sender would find a handler."""
        return any(
            entry.get() is not None and not entry.flags & DEAD and not entry.is_consumed
            for entry in self._snapshot(sender).entries
        )

    def _has_connection(self, handler: Any, sender: Any) -> bool:
        """Return whether a handler is connected for a sender, or, if that is ANY, at all. Patterns do not count."""
        key = handler_key(handler)
        if sender is ANY:
            return any(_is_live(group, group.entries.get(key)) for group in [self._any, *list(self._groups.values())])
        group = self._groups.get(sender_key(sender))
        return group is not None and group.means(sender) and _is_live(group, group.entries.get(key))

    def _has_entry(self, entry: Entry) -> bool:
        """Return whether this very connection exists, its handler and sender are alive, and it is not spent."""
        group = self._group_of(entry.place.key)
        return group is not None and group.entries.get(entry.handler_key) is entry and _is_live(group, entry)

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

    def _decorator(
        self,
        sender: Any,
        weak: bool,
        priority: int,
        condition: Any,
        once: bool,
        with_event: bool,
        thread: bool,
        frame: FrameType | None,
    ) -> Any:
        """Return a decorator that connects what it decorates."""
        raise NotImplementedError

    def _attach_patterns(self, to_release: list[object]) -> None:
        """Attach the patterns that match, which may have changed, and call `_show`. Called under the lock or not."""
        raise NotImplementedError

    def _schedule(self, result: Any, kind: int, handler: Any, sender: Any, entry: Entry) -> None:
        """See to it that what an async handler returned is awaited."""
        raise NotImplementedError

    def _call_failed(self, error: TypeError, handler: Any, count: int, names: Iterable[str], is_consumed: bool) -> Any:
        """Add a note to the error of a handler's call, if the arguments (a count and keywords) did not fit.

        Returns a coroutine that raises the error if the handler is async and the result would be awaited, else None.
        """

    def _error_policy(self) -> Any:
        """What is done with an `Exception` of a handler: "raise", "group" or a callable."""
        return "raise"

    def _make_exception_group(self, errors: list[Exception]) -> Exception:
        """The one exception for several."""
        raise NotImplementedError

    def _condition_failed(
        self, error: Exception, entry: Entry, handler: Any, sender: Any, names: Iterable[str]
    ) -> None:
        """A condition, called with these keywords, raised, and its handler is skipped."""

    def _warn_discarded_handler(self, name: str, frame: FrameType, is_subscription: bool) -> None:
        """A handler has died on the spot, or the subscription that held it was discarded there."""

    def _log_never_called(self, entry: Entry) -> None:
        """A function has died before any emission could have called it."""

    def _log_dead_handlers(self) -> None:
        """Handlers named in `_dead_handler_names` have died since the last snapshot."""


def _still_meant(entry: Entry | None) -> Entry | None:
    """An entry that was replaced for a time, or what it had replaced itself, if its own time is over meanwhile."""
    while entry is not None and entry.before is not None:
        (entry,) = entry.before
    return entry


def _is_alive(entry: Entry, to_release: list[object]) -> bool:
    """Whether an entry's handler is; asked under the lock, where the last reference to it must not be let go."""
    handler = entry.get()
    to_release.append(handler)
    return handler is not None


def _is_live(group: Group, entry: Entry | None) -> bool:
    """Return whether an entry of a group can still be called: handler and sender alive, not spent. None cannot."""
    if entry is None or entry.is_consumed or entry.get() is None:
        return False
    return group.get_sender() is not None or group.place.key == id(None)


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


def expect_death(entry: Entry) -> None:
    """Note that a subscription holds an entry's handler: when it is discarded, the handler dies."""
    global _last_subscribed
    entry.may_vanish = True
    if entry.serial == _last_serial:
        _last_subscribed = entry.serial


class SignalCore:
    """A blinker signal's `send`, over the `EventCore` that it holds. `Signal` adds what a user sees.

    A signal has a core instead of being one, so that its subclasses may use any names that a core uses for themselves.
    What `Signal` needs of this class has mangled names, `_SignalCore__core` and so on, which the compiled core has too.
    """

    __slots__ = ("__core", "__uses_python_send", "__weakref__")

    __core: EventCore  # the tables of the signal's connections
    __uses_python_send: bool  # whether `send` calls `_SignalCore__send_slow` for every send

    def __new__(cls, core: EventCore, /) -> Self:
        if not isinstance(core, EventCore):
            raise TypeError(f"core must be an EventCore, not {typed_repr(core)}")
        self = super().__new__(cls)
        self.__core = core
        self.__uses_python_send = False
        return self

    def send(self, /, *args: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
        """Call the receivers for a sender, in order of connection, and return pairs of each and what it returned.

        The sender is the one positional, None if it is missing. The keyword `_async_wrapper` is dropped, since no
        receiver is a coroutine function. With more positionals, or while `_SignalCore__uses_python_send` is set, the
        call is passed on to `_SignalCore__send_slow`.
        """
        if len(args) > 1 or self.__uses_python_send:
            pairs: list[tuple[Any, Any]] = self.__send_slow(*args, **kwargs)
            return pairs
        kwargs.pop("_async_wrapper", None)
        return self.__core._sent(args[0] if args else None, (), kwargs)

    def __send_slow(self, /, *args: Any, **kwargs: Any) -> Any:
        """Hook: send what `send` leaves to Python code."""
        raise NotImplementedError


class NamespaceCore(dict):  # type: ignore[type-arg]
    """Events by name, and emission by name. `Namespace` adds what a user sees, and the types."""

    __slots__ = ("_cached",)

    _cached: dict[str, Any]  # events of names that nobody made, which patterns or observers hear

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        self._cached = {}
        return self

    def emit(self, evt: Any, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> list[Any]:
        """Emit an event, given by its name or as an `Event`: see `Event.emit`.

        A name without an event adds nothing to the namespace. The handlers of patterns that match it are called;
        if no pattern matches, the list is empty.

        Args:
            evt: the event's name, or the `Event`.
            sender: who emits.
            *args: positionals for the handlers.
            **kwargs: keywords for the handlers, of any names.

        Returns:
            A new list of the handlers' results, in the order in which they ran.

        Raises:
            TypeError: if `evt` is neither a non-empty string nor an `Event`.
            ValueError: if it is a pattern, which cannot be emitted.
            LookupError: if the namespace is strict and `event` has not declared the name.

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
        if not isinstance(self, NamespaceCore):
            raise not_an_event(self, "emit", "Namespace")
        event: Any = None
        if type(evt) is str:
            event = self.get(evt)
            if event is None and self._cached:
                event = self._cached.get(evt)
                if event is not None:
                    event._is_used = True
        if event is None:
            event = self._find(evt)
            if event is None:
                return []
        results: list[Any]
        try:
            results = type(event).emit(event, sender, *args, **kwargs)
        except AttributeError:
            if hasattr(type(event), "emit"):  # a handler has raised it
                raise
        else:
            return results
        results = event.emit(sender, *args, **kwargs)  # it is a mock
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
