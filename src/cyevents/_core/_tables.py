# cython: freethreading_compatible=True, auto_pickle=False, annotation_typing=False, binding=False, nonecheck=True
# cython: embedsignature=True, embedsignature.format=clinic, always_allow_keywords=False
"""The tables of an event's connections, and the slow path of an emission: one source, compiled or run as it is."""

# How it works
# ------------
# An `EventCore` has one `Group` of `Entry` objects for handlers that any sender calls, and one for each sender that
# handlers are connected for. A group maps handler keys to entries, in order of registration. An emission runs a
# `Snapshot`, whose `entries` are an immutable tuple in dispatch order, with one entry per handler.
#
# The event keeps the snapshot for any sender as `_general`, which keeps those for particular senders in `by_sender`. A
# change discards the snapshots that it makes stale. The next emission builds one in a single pass over the group, so a
# run of changes costs no more than one. The patterns that match an event are its `_patterns`: their entries are merged
# into its snapshots, and their changes discard snapshots of their `_matched_events`. If only a pattern has a group for
# a sender, the event gets none: its snapshot refers to the group of the pattern.
#
# Compiled with a GIL, groups and snapshots are also found by the address of the sender, without an `int` of it: see
# "Tables by address" in `_tables.pxd`.
#
# A snapshot is stored before it is built. A change first changes the tables and then removes the snapshot, so no later
# emission finds one that was built from old tables without a lock. An emission that finds a group just before it is
# removed may store a snapshot of it afterwards. The removed group has a mark, so no other emission uses that snapshot.
#
# Who owns what
# -------------
# The event owns its groups, and groups own their entries. An entry is itself the weak reference to its handler (for a
# method, to the object), or holds the handler strongly if asked to. A group holds its sender weakly if it can. Entries
# know their event and sender by a `Place`: a reference to the group would be a reference cycle, and two fields instead
# of one would make each entry larger.
#
# How a dead handler leaves the tables
# ------------------------------------
# The interpreter calls `_on_weakref_dead` in any thread, between any two instructions. It queues the entry in
# `_pending_removals`. `purge_dead` removes what is queued, unless the lock is held: its owner calls it after releasing
# the lock.
#
# Threads and interruptions
# -------------------------
# One lock for all tables makes changes one at a time. It is held for a few dict operations, and never while user code
# runs: what a change discards is collected in `to_release` and released after the lock. An emission never waits for it.
#
# Compiled with a GIL, the common changes take no lock if no other change is half done (`_is_atomic`): they allocate no
# object that the garbage collector tracks, release none and call no Python code, so no other code runs before their
# end. The lock would cost a third of such a change.
#
# The lock is re-entrant, and each step of a change is atomic and leaves the tables consistent: a signal handler, or a
# finalizer that the garbage collector runs, may make a change of its own between two steps. What can fail for lack of
# memory comes before the step that counts. Uncompiled, a signal handler runs after a call or at the start of a
# function, so a step that looks at a table and then changes it calls nothing in between: it uses `in`, `[]` and `del`,
# not `get` and `pop`. Such places say "One step".
#
# Compiled and uncompiled
# -----------------------
# `_tables.pxd` declares the C types. With them, Cython compiles this file, and `_emit.pyx` adds the fast path of
# emissions. Uncompiled, this file is the whole core. Where the two must differ, `cython.compiled` tells them apart.
#
# The core knows nothing about names, patterns of names or asyncio: it calls the methods under "Hooks" for those.
#
# Private methods that Python code calls have comments instead of docstrings, which would be in the extension too.

from __future__ import annotations

import sys
from _contextvars import ContextVar
from _weakref import ReferenceType
from _weakref import ref as weakref

from ._introspection import (
    CodeType,
    CoroutineType,
    FunctionType,
    MethodType,
    bind,
    definition_of,
    is_at_call,
    is_discarding_call_result,
    is_returning,
    may_be_method,
    method_parts,
    warn_vanished_sender,
)
from ._lock import lock, release, taking_at_once
from ._safe import not_an_event, typed_repr
from ._values import (
    ANY,
    AWAITABLE,
    FIRST,
    GENERATOR,
    MISSING,
    PAIRS,
    PARALLEL,
    SEQUENTIAL,
    VALUE,
    Cancelled,
    kind_of_result,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from types import FrameType
    from typing import Any, Self, TypeVar

    from ._shadow import cython

    ClassT = TypeVar("ClassT", bound=type)
    ResultT = TypeVar("ResultT")
    Made = list["Entry | None"] | None  # a new entry and the one that it replaced, for callers that may undo it
elif __file__.endswith(".py"):  # uncompiled
    from ._shadow import cython
else:  # not executed: for the compiler
    import cython

__all__ = [
    "CONDITION",
    "DEAD",
    "DELIVERED",
    "ONCE",
    "REPLAY",
    "THREAD",
    "WITH_EVENT",
    "AwaitedDispatch",
    "BoundCore",
    "Entry",
    "EventCore",
    "NamespaceCore",
    "SignalCore",
    "call_locked",
    "consume",
    "expect_death",
    "handler_key",
    "inherit_slots",
    "install_methods",
    "purge_dead",
    "put_call",
    "run_calls",
    "sender_key",
]

if not cython.compiled:  # compiled: in the .pxd
    from _thread import get_ident

    # An entry's flags word. It is zero for the common handler, and checked once per call.
    DEAD = 1  # disconnected, or used up
    REPLACED = 2  # connected again since: called by emissions that have begun, unless disconnected meanwhile
    ONCE = 4
    WITH_EVENT = 8
    CONDITION = 16
    THREAD = 32
    BOUND = 64  # it is a method: the entry refers to its object, and has its function
    HELD = 128  # it is held strongly
    FOREIGN = 256  # not a Python function or method: the compiled core counts its recursion
    REPLAY = 512  # it was called with the emissions that its event keeps
    OWN_CONDITION = 1024  # its condition is a method of its own object: the entry has only the function
    DELIVERED = 2048  # its `delivery` decides how its handler is called

    # What keeps an event's emissions off the fast path.
    FILTERED = 1  # there have been groups for senders, here or in a pattern that matches
    WATCHED = 2  # there is an observer
    HIDDEN = 4  # patterns no longer notify it of changes: `_attach_patterns` must be called first
    PATTERN_FILTERED = 8  # there have been groups for senders in a pattern that matches
    RECORDED = 32  # it keeps its last emissions, or they may be held
    EVENTS_FILTERED = 16  # it is FILTERED, and the events that it matches as a pattern are PATTERN_FILTERED

# Results of these very types are values: there is no need to ask whether they can be awaited.
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset})

_PACKAGES = ("cyevents", "cyevents._core")  # whose frames are not the user's code
_acquire = lock.acquire
_release = release
_is_owned = lock._is_owned
_reset_lock = lock._at_fork_reinit
_innermost: ContextVar[Nesting | None] = ContextVar("cyevents_emission", default=None)
_pending_removals: list[list[Any]] = []  # [event, entry or reference, whether to log it]


class LastConnection:
    """The newest connection of all, for the warning at its line if its handler dies at once."""

    __slots__ = ("code", "instruction", "name", "sender", "serial", "subscribed", "thread")

    serial: int  # its number
    name: str  # its handler's name
    sender: Ref | None  # the reference to its sender: kept, since the event itself may die before the sender
    thread: int  # in which thread it was made
    subscribed: int  # the serial of the newest entry that a subscription holds
    code: object  # the caller's code, and the instruction in it
    instruction: int

    def __init__(self) -> None:
        self.serial = self.thread = self.subscribed = self.instruction = 0
        self.name = ""
        self.sender = None
        self.code = None

    @cython.critical_section
    def begin(self, code: object, instruction: int, name: str) -> None:
        """Note and number a new connection: under the lock."""
        self.code = code
        self.instruction = instruction
        self.name = name
        self.serial += 1

    @cython.critical_section
    def is_newest(self, entry: Entry) -> bool:
        """Return whether this entry is that of the newest connection."""
        return entry.serial == self.serial

    @cython.critical_section
    def is_subscribed(self, entry: Entry) -> bool:
        """Return whether this entry is the newest one that a subscription holds."""
        return entry.serial == self.subscribed

    @cython.critical_section
    def note_subscription(self, entry: Entry) -> None:
        """Note that a subscription holds this entry, if it is the newest."""
        if entry.serial == self.serial:
            self.subscribed = entry.serial

    @cython.critical_section
    def replace_sender(self, sender: Ref | None, thread: int) -> Ref | None:
        """Note the sender, and return the old one."""
        previous = self.sender
        self.thread = thread
        self.sender = sender
        return previous

    @cython.critical_section
    def get(self) -> tuple[object, int, str, Ref | None, int]:
        """Return code, instruction, name, sender and thread."""
        return self.code, self.instruction, self.name, self.sender, self.thread


_last = LastConnection()


class Place:
    """Where connections belong: to which event, and for which sender. See "Who owns what"."""

    __slots__ = ("home", "key")

    home: weakref[EventCore]
    key: object  # the sender's


class Ref(ReferenceType):  # type: ignore[type-arg]
    """A weak reference to a sender, a handler or the function of a method, that knows its `Place`."""

    __slots__ = ("handler_key", "place")

    place: Place
    handler_key: object  # None: it refers to a sender


def _on_weakref_dead(dead: Ref) -> None:
    # Called by the interpreter when a handler or a sender dies: see "How a dead handler leaves the tables".
    if _pending_removals is None:  # the interpreter is exiting, and has cleared this module
        return
    home = dead.place.home()
    note: list[Any] = [home, dead, True]
    if home is not None:
        _pending_removals.append(note)  # first: a signal handler that raises may come in between
    frame = None
    entry = None
    code, instruction, name, sender, thread = _last.get()
    if dead is sender:
        frame = _user_frame() if get_ident() == thread else None  # another thread may be at the same call
        if frame is not None and not is_at_call(frame, code, instruction):
            frame = None
    elif home is not None and dead.handler_key is not None:
        entry = home._entry_of(dead)
        if entry is not None and _last.is_newest(entry):  # has it died at once?
            frame = _user_frame()
            if frame is not None and not is_discarding_call_result(frame, code, instruction):
                frame = None
    note[2] = frame is None
    purge_dead()
    if frame is None:
        return
    if entry is None:
        warn_vanished_sender(name, frame)
    elif home is not None:
        home._warn_discarded_handler(entry.name, frame, _last.is_subscribed(entry))


_on_dead = _on_weakref_dead


def _user_frame() -> FrameType | None:
    """Return the frame of the user's code in which the interpreter has called `_on_weakref_dead`, if there is any."""
    frame: FrameType | None
    if cython.compiled:  # functions of this module have no frames
        frame = _current_frame()
    else:
        try:
            frame = sys._getframe(2)
        except ValueError:
            return None
    while frame is not None and frame.f_globals.get("__package__") in _PACKAGES:
        if not is_returning(frame):  # then the object died here by chance, not with the user's statement
            return None
        frame = frame.f_back
    return frame


def _queue_removal(entry: Entry) -> None:
    """Queue an entry for removal from its event's tables."""
    home = entry.place.home()
    if home is not None:
        _pending_removals.append([home, entry, False])


def purge_dead() -> None:
    """Remove queued dead entries, unless the lock is held: its owner calls this again after the release."""
    # Also if this thread owns it: what is removed may run a finalizer or be logged, which must not happen under it.
    if _is_owned():
        return
    to_release: list[object] = []
    never_called: list[tuple[EventCore, Entry]] = []
    is_done = True
    while _pending_removals and is_done:
        if cython.compiled:
            _free_lock_at_exit()
            if not _acquire(False):
                return
            _count_lock(1)
            try:
                is_done = _purge_locked(to_release, never_called)
            finally:
                _drop_lock()
        else:
            for _ in taking_at_once():
                try:
                    is_done = _purge_locked(to_release, never_called)
                finally:
                    release()
                break
            else:
                return
        to_release.clear()
        while never_called:
            home, entry = never_called.pop()
            home._log_never_called(entry)
            home = entry = None  # type: ignore[assignment]


def _purge_locked(to_release: list[object], never_called: list[tuple[EventCore, Entry]]) -> bool:
    """Remove queued dead entries; return whether there was memory for all."""
    while _pending_removals:
        try:
            note = _pending_removals.pop()
        except IndexError:  # a finalizer was faster
            break
        try:
            to_release.append(note)
            home, dead, is_logged = note
            home._remove_dead(dead, is_logged, to_release, never_called)
        except MemoryError:
            _pending_removals.append(note)  # for the next call
            return False
        except BaseException:
            if not cython.compiled:  # a signal handler has raised
                _pending_removals.append(note)
            raise
    return True


def _change(step: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Take a step under the lock. Its last argument is a list for what it discards, which is released afterwards."""
    to_release: list[object] = []
    return _run_locked(step, (*args, to_release))


def call_locked(function: Callable[..., ResultT], *args: Any) -> ResultT:
    """Call a function while holding the lock, and return what it returns."""
    result: ResultT = _run_locked(function, args)
    return result


def _run_locked(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """Call a function while holding the lock. The core calls this by its C name, which is still there at exit."""
    try:
        if not cython.compiled:
            return _call_locked(function, *args)
        _take_lock()
        try:
            return function(*args)
        finally:
            _drop_lock()
    finally:
        if _pending_removals:
            purge_dead()


if cython.compiled:

    def _free_lock_at_exit() -> None:
        """Take the lock away from a daemon thread that will never run again, if the interpreter is exiting."""
        if _is_finalizing() and not _is_owned():
            _reset_lock()

    def _take_lock() -> None:
        """Take the lock. No signal handler runs between this and the `try` that follows: this is C."""
        _free_lock_at_exit()
        _acquire()
        _count_lock(1)

    def _drop_lock() -> None:
        _count_lock(-1)
        _release()

else:  # compiled: in the .pxd
    if TYPE_CHECKING:  # compiled only
        _count_lock: Any = None
        _is_gil_alone: Any = None
        _can_be_method: Any = None
        CYE_GIL: Any = None
        _address_of: Any = None
        _has_room: Any = None
        _make_table: Any = None
        _put_by_address: Any = None
        _remove_by_address: Any = None
        _as_tuple_in_order: Any = None
        _code_of: Any = None
        _current_frame: Any = None
        _forbid_new: Any = None
        _inherit_slots: Any = None
        _instruction_of: Any = None
        _is_deferred: Any = None
        _is_finalizing: Any = None
        _raise_pending: Any = None
        _reraise: Any = None
        _run_call: Any = None
        _run_generator: Any = None
        _step: Any = None
        call_with: Any = None

    def found(mapping: Any, key: object) -> Any:
        """Return a dict's value for a key, or None, also while another thread changes the dict, or if there is none."""
        return None if mapping is None else mapping.get(key)

    from ._lock import call_locked as _call_locked

    def values_of(mapping: Any) -> list[Any]:
        """Return a dict's values, also while another thread changes the dict, or if there is none."""
        return [] if mapping is None else list(mapping.values())

    def _deref(ref: Any) -> Any:
        return ref()

    def _is_gone(ref: Any) -> bool:
        return ref() is None

    def _make_instance(cls: Any) -> Any:
        return cls.__new__(cls)

    def _initialise(cls: Any, made: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        try:
            cls.__init__(made, *args, **keywords)
        finally:
            del made, args  # a task that is started at once keeps what its coroutine raises, which refers to this frame

    from _contextvars import copy_context

    _get_variable = ContextVar.get
    _set_variable = ContextVar.set
    _reset_variable = ContextVar.reset

    def _copy_context_with(variable: Any, value: Any) -> Any:
        """Return a copy of the current context, in which a variable is set."""
        context = copy_context()
        context.run(variable.set, value)
        return context

    def _untrack(made: Any) -> None:
        """Hide an object from the garbage collector: compiled only."""

    def _track(made: Any) -> None:
        """Show an object to the garbage collector again: compiled only."""

    def _caller() -> FrameType | None:
        """Return the frame of the code that has called `connect`."""
        return sys._getframe(3)

    def _takes_self(function: FunctionType) -> bool:
        """Return whether the first parameter of a function is named `self`."""
        code = function.__code__
        return code.co_argcount > 0 and code.co_varnames[0] == "self"

    def _function_code(function: FunctionType) -> CodeType:
        return function.__code__

    def _qualname(function: FunctionType) -> str:
        return function.__qualname__

    def _is_str(value: object) -> bool:
        return issubclass(type(value), str)  # `isinstance` would ask the value

    def _is_int(value: object) -> bool:
        return issubclass(type(value), int)

    def _is_bytes(value: object) -> bool:
        return issubclass(type(value), bytes)


def handler_key(handler: Any) -> object:
    """Return what makes two handlers the same: identity, for bound methods that of object and function."""
    cls = type(handler)
    if cls is FunctionType:
        return id(handler)
    if cls is MethodType:
        return id(handler.__self__), id(handler.__func__)
    parts = method_parts(handler)
    return id(handler) if parts is None else (id(parts[0]), id(parts[1]))


def sender_key(sender: Any) -> object:
    """Return what makes two senders the same: the value of str, bytes and int (not bool), else identity."""
    # For a bound method it is the identity of its object and function. The types keep values apart from each other and
    # from identities, which are bare integers.
    cls = type(sender)
    if cls is str:
        return sender
    if _is_str(sender):
        return str.__str__(sender)
    if cls is not bool and _is_int(sender):
        return int, int.__index__(sender)
    if _is_bytes(sender):
        return bytes, bytes.__bytes__(sender)
    if (not cython.compiled or _can_be_method(sender)) and may_be_method(cls):  # a temporary, held strongly
        return handler_key(sender)
    return id(sender)


@cython.trashcan(True)  # entries may hold each other: as conditions, say
@cython.cclass
class Entry(Ref):
    """One connection: a handler, its options, and its place in the order.

    Handler, options and place never change. The flags do, and so do the notes on replacement, use and warnings.

    It is itself the weak reference to the handler or, methods being temporaries, to the method's object.
    """

    __slots__ = (
        "_condition",
        "_warned",
        "chain",
        "claims",
        "flags",
        "held",
        "may_vanish",
        "name",
        "priority",
        "serial",
        "superseded",
    )

    flags: int
    held: Any
    """The handler, if it is held strongly; a method's function, by a `Ref` where that is possible; of a function that
    is held weakly, or a partial of one, the code, which tells where it was defined; else None."""
    priority: int
    serial: int  # when it was registered, over all events
    _condition: Any  # see `condition`; the `delivery` if there is one, which then has the condition
    may_vanish: bool  # its death is not logged: an emission has found it, or a subscription holds the handler
    name: str
    chain: int  # the same for the entries of one handler and sender that have replaced each other
    superseded: tuple[Entry | None] | None
    """For blocks of `connected_to` that end in another order than they began: when the block of this entry is over, the
    entry that it had replaced, which a later end of a block restores instead of this one. Else None."""
    claims: Any  # a list, with one item until a `once` entry is called; compiled: a flag
    _warned: int
    was_deferred: bool  # compiled only: of its function, if that is held weakly, see cye_deref_function

    def get(self) -> Any:
        """Return the handler, or None once it is dead."""
        flags = self.flags
        if flags & HELD:
            return self.held
        target = _deref(self) if cython.compiled else self()  # uncompiled, a function would cost a call
        if not flags & BOUND or target is None:
            return target
        function = self.held
        if type(function) is Ref:
            function = _deref(function)
        return None if function is None else bind(function, target)

    def is_alive(self) -> bool:
        """Return whether the handler is alive."""
        flags = self.flags
        if flags & HELD:
            return True
        if _is_gone(self):
            return False
        return not flags & BOUND or type(self.held) is not Ref or not _is_gone(self.held)

    @property
    def condition(self) -> Any:
        """The condition, or None; if it is a method of the handler's own object, None once that is dead."""
        condition = self._condition
        if self.flags & DELIVERED:
            condition = condition.condition
        if not self.flags & OWN_CONDITION:
            return condition
        target = self()
        return None if target is None else bind(condition, target)

    @property
    def delivery(self) -> Any:
        """The object that decides how the handler is called, or None.

        `delivery.prepare(dispatch, entry, handler, keywords)` returns a function to call in place of the handler, with
        the same arguments, or None to call nothing. Its exceptions go to the emitter, whatever the policy for errors.
        If the call, or awaiting its result, returns MISSING, it contributes nothing.
        """
        return self._condition if self.flags & DELIVERED else None

    def is_inactive(self) -> bool:
        """Return whether it must not be called any more. Reconnecting is not disconnecting, but that may follow."""
        flags = self.flags
        if flags & REPLACED and not self._is_chain_connected():
            return True
        return bool(flags & DEAD) or self.is_used_up()

    def _is_chain_connected(self) -> bool:
        """Return whether the newest entry of those that have replaced each other is still in the tables."""
        home = self.place.home()
        if home is None:
            return True
        entry = home._entry_at(self.place.key, self.handler_key)
        return entry is not None and entry.chain == self.chain

    @cython.critical_section
    def claim(self) -> bool:
        """Use up a `once` entry: true for one caller only, in whatever threads they are."""
        if cython.compiled:
            is_claimed: bool = self.claims
            self.claims = False
            return is_claimed
        else:
            try:
                self.claims.pop()
            except IndexError:
                return False
            return True

    @cython.locals(of="int", before="int")
    @cython.critical_section
    def warned(self, of: int = 1, /) -> bool:
        """Return whether this was called with this bit before. 1: a condition raised. 2: a task returned `False`."""
        before = self._warned
        self._warned = before | of
        return bool(before & of)

    def is_used_up(self) -> bool:
        """Return whether `once` has used it up."""
        return bool(self.flags & ONCE) and not self.claims

    def is_usable(self) -> bool:
        """Return whether its handler is alive, and it is not used up."""
        return self.is_alive() and (not self.flags & ONCE or bool(self.claims))

    @property
    def is_consumed(self) -> bool:
        """Whether `once` has used it up."""
        return self.is_used_up()

    @property
    def weak(self) -> bool:
        """Whether the handler is held weakly."""
        return not self.flags & HELD


def _make_entry(handler: Any, weak: bool, priority: int, condition: Any, flags: int, name: str, place: Place) -> Entry:
    """Make an entry that refers to a handler or holds it."""
    key = handler_key(handler)
    target = handler
    function = None
    cls = type(handler)
    if cls is MethodType:
        target = handler.__self__
        function = handler.__func__
    elif cls is not FunctionType and weak:
        parts = method_parts(handler)
        if parts is not None:
            target, function = parts
    if cython.compiled and type(handler if function is None else function) is not FunctionType:
        flags |= FOREIGN
    if not weak:
        entry = Entry.__new__(Entry, Entry)  # a reference must be to something: to a class that never dies
        entry.held = handler
        entry.flags = flags | HELD
    else:
        try:
            entry = Entry.__new__(Entry, target, _on_dead)
        except TypeError:
            raise TypeError(
                f"{typed_repr(handler)} cannot be held weakly: connect it with weak=False, and disconnect it when done"
            ) from None
        if function is not None:
            flags |= BOUND
            entry.held = _make_function_ref(function, key, place)
        else:
            entry.held = _function_code(handler) if cls is FunctionType else definition_of(handler)
        if condition is not None:  # it must not keep alive what is held weakly
            parts = method_parts(condition.condition if flags & DELIVERED else condition)
            if parts is not None and parts[0] is target:
                flags |= OWN_CONDITION
                if flags & DELIVERED:
                    condition.condition = parts[1]
                else:
                    condition = parts[1]
        entry.flags = flags
    entry._condition = condition
    entry.priority = priority
    entry.name = name
    entry.claims = flags & ONCE != 0 if cython.compiled else [None] if flags & ONCE else _NO_CLAIMS
    entry.superseded = None
    entry.may_vanish = False
    entry._warned = 0
    if cython.compiled and not CYE_GIL:
        callee = handler if function is None else function
        entry.was_deferred = type(callee) is FunctionType and _is_deferred(callee)
    entry.handler_key = key
    entry.place = place  # last: without it, `_check_entries` refuses the entry, whose flags may not be set yet
    return entry


def _make_function_ref(function: Any, key: object, place: Place) -> Any:
    """Return a `Ref` to a method's function; the function itself if it cannot be referred to, as a builtin's."""
    try:
        ref = Ref.__new__(Ref, function, _on_dead)
    except TypeError:
        return function
    ref.handler_key = key
    ref.place = place
    return ref


class Group:
    """The connections of one event for one sender, or for any."""

    __slots__ = ("address", "entries", "is_removed", "place", "sender")

    place: Place  # None for any sender, until the event has its first connection; so is `entries`
    sender: object  # a Ref where it can be weakly referenced
    address: int  # of the sender: compiled only
    is_removed: bool  # from the event: a snapshot of it, placed by an emission that found it before, is stale
    entries: dict[object, Entry] | None  # by handler key, in order of registration but for those that replaced others

    def is_for(self, sender: object) -> bool:
        """Return whether this is the group of `sender`: not removed, and not that of a dead object with the same id."""
        held = self.sender
        if type(held) is Ref:
            held = _deref(held)
            return held is sender and not self.is_removed
        return not self.is_removed

    def get_sender(self) -> object:
        """Return the sender, or None if it is dead."""
        held = self.sender
        return held() if type(held) is Ref else held


def _make_group(place: Place | None, sender: object) -> Group:
    group = Group.__new__(Group)
    group.place = place  # type: ignore[assignment]
    group.sender = sender
    group.entries = None if place is None else {}
    group.is_removed = False
    if cython.compiled:
        group.address = _address_of(sender)
    return group


class Snapshot:
    """The entries that an emission runs, in order, for the sender of a group. Once built, `entries` never changes."""

    __slots__ = ("by_address", "by_sender", "entries", "group")

    entries: tuple[Entry, ...]  # None until it is built
    group: Group
    by_sender: dict[object, Snapshot] | None  # of the one for any sender: those for particular ones, by sender key
    by_address: list[Any] | None  # compiled with a GIL: the same by the address of the sender


def _make_snapshot(group: Group) -> Snapshot:
    snapshot = Snapshot.__new__(Snapshot)
    snapshot.group = group
    snapshot.entries = None  # type: ignore[assignment]
    snapshot.by_sender = None
    if cython.compiled:
        snapshot.by_address = None
    return snapshot


_EMPTY = _make_snapshot(None)  # type: ignore[arg-type] # in place of one that was discarded: that needs no memory


@cython.trashcan(True)
@cython.cclass
class Dispatch:
    """One emission over some entries: the state that their turns share, and a turn by the slow path."""

    __slots__ = ("args", "errors", "event", "has_cancel", "kwargs", "mode", "reason", "results", "sender", "watch")

    event: EventCore
    sender: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    results: list[Any]  # the pairs, if the mode has PAIRS
    errors: list[Exception]  # those that are raised together at the end
    mode: int  # how it differs from `emit`: SEQUENTIAL, PAIRS and FIRST
    watch: Any  # follows each entry, or None: see `EventCore._dispatch`
    has_cancel: bool  # whether a handler has raised `Cancel`
    reason: Any  # the reason that it gave

    def call_all(self, entries: tuple[Entry, ...]) -> Any:
        """Call entries in order, with FIRST up to the first result. Return the handler that cancelled, or None."""
        for entry in entries:
            canceller = self.turn(entry)
            if canceller is not None:
                return canceller
            if self.mode & FIRST and self.results:
                break
        return None

    def turn(self, entry: Entry) -> Any:
        """Do an entry's turn. Return the handler if it cancelled, else None."""
        handler = entry.get()
        given = self._begin_turn(entry, handler)
        if given is None:
            return None
        if entry.flags & DELIVERED:
            call = entry._condition.prepare(self, entry, handler, given)
            if call is None:
                return None
        else:
            call = handler if self.watch is None else self.watch.call(entry, handler)
        if entry.flags & THREAD and self._call_in_thread(call, given, handler):
            return None
        result: Any = MISSING
        try:
            if cython.compiled:
                result = call_with(call, self.sender, self.args, given)
            else:
                result = call(self.sender, *self.args, **given)
        except Exception as error:  # compiled: see `_reraise` for why nothing returns from in here
            if not self.take_error(error, entry, handler, given, True):
                if not cython.compiled:
                    raise
                _reraise(error)
        if result is MISSING:
            return handler if self.has_cancel else None
        if self.mode & PAIRS:
            self.take_result(result, entry, handler)
            return None
        if result is None:
            return None
        return handler if result is False or self.take_result(result, entry, handler) else None

    def send_turn(self, entry: Entry) -> None:
        """Do an entry's turn in `send`."""
        handler = entry.get()
        given = self._begin_turn(entry, handler)
        if given is None:
            return
        if entry.flags & DELIVERED:
            call = entry._condition.prepare(self, entry, handler, given)
            if call is None:
                return
        else:
            call = handler if self.watch is None else self.watch.call(entry, handler)
        try:
            if cython.compiled:
                result = call_with(call, self.sender, self.args, given)
            else:
                result = call(self.sender, *self.args, **given)
            if result is not MISSING:
                self.results.append((handler, result))
        except Exception as error:
            if not self.take_error(error, entry, handler, given, False):
                if not cython.compiled:
                    raise
                _reraise(error)

    def _begin_turn(self, entry: Entry, handler: Any) -> dict[str, Any] | None:
        """Return the keywords for a handler; None if it must not be called."""
        if handler is None or (entry.flags and not self._should_call(entry, handler)):
            if self.watch is not None:
                self.watch.skip(entry, handler)
            return None
        return {**self.kwargs, "event": self.event} if entry.flags & WITH_EVENT else self.kwargs

    def _should_call(self, entry: Entry, handler: Any) -> bool:
        """Return whether an entry with flags must be called now. A `once` entry is used up by that."""
        if entry.is_inactive():
            return False
        if entry.flags & CONDITION:
            try:
                if cython.compiled:
                    is_met = bool(call_with(entry.condition, self.sender, (), self.kwargs))
                else:
                    is_met = bool(entry.condition(self.sender, **self.kwargs))
            except Exception as error:
                self.event._condition_failed(error, entry, handler, self.sender, self.kwargs)
                is_met = False
            if not is_met or entry.is_inactive():  # the condition may have disconnected it
                return False
        if entry.flags & ONCE:
            if not entry.claim():
                return False
            _queue_removal(entry)
            purge_dead()
        return True

    def take_result(self, result: Any, entry: Entry, handler: Any) -> bool:
        """Take a handler's result, which may be more than a value; return whether the handler cancels."""
        cls = type(result)
        if cls is CoroutineType:
            kind = AWAITABLE
        elif type(cls) is type and cls in _PLAIN:  # another metaclass may define a hash that raises
            kind = VALUE
        else:
            kind = kind_of_result(result)
        if self.mode & PAIRS and kind != AWAITABLE:
            self.results.append((handler, result))
            return False
        if kind == VALUE:
            self.results.append(result)
            return False
        if kind == GENERATOR:
            items: list[Any] = []
            has_ended = True
            try:
                if cython.compiled:
                    cancels: bool = _run_generator(result, items)
                else:
                    cancels = consume(result, items)
            except Exception as error:
                if not self._apply_error_policy(error, handler):
                    if not cython.compiled:
                        raise
                    _reraise(error)
                has_ended = cancels = self.has_cancel
            if has_ended:
                self.results.append(items)
            return cancels
        self._take_awaitable(result, kind, entry, handler)
        return False

    def _take_awaitable(self, result: Any, kind: int, entry: Entry, handler: Any) -> None:
        """Take the result of an async handler."""
        self.event._schedule(result, kind, handler, self.sender, entry)

    def _call_in_thread(self, call: Any, given: dict[str, Any], handler: Any) -> bool:
        """Call a handler in a thread; return False if it must be called in place."""
        return False

    def take_error(
        self, error: Exception, entry: Entry, handler: Any, given: dict[str, Any], takes_result: bool
    ) -> bool:
        """Take the exception of a handler's call; return False if it must be raised.

        For an async handler whose arguments did not fit, and whose result is consumed, it becomes what is awaited.
        """
        if isinstance(error, TypeError):
            failing = self.event._call_failed(error, handler, len(self.args), given, takes_result)
            if failing is not None and takes_result:
                self.take_result(failing, entry, handler)
                return True
        return self._apply_error_policy(error, handler)

    def _apply_error_policy(self, error: Exception, handler: Any) -> bool:
        """Apply the event's policy to an error, or note a `Cancel`; return False if it must be raised."""
        cancel = self.event._cancel_of(error)
        if cancel is not None:
            if self.mode & PAIRS:  # no handler cancels, and `False` is a value
                self.results.append((handler, False))
                return True
            self.has_cancel = True
            self.reason = cancel[0]
            if cancel[1] is not None:
                self.results.append(cancel[1])
            return True
        policy = self.event._error_policy()
        if callable(policy):
            if cython.compiled:
                call_with(policy, error, (handler, self.event, self.sender), {})
            else:
                policy(error, handler, self.event, self.sender)
        elif policy == "raise":
            return False
        else:
            self._collect_error(error)
        return True

    def _collect_error(self, error: Exception) -> None:
        """Note an error that is raised with the others at the end."""
        self.errors.append(error)


def _check_entries(entries: tuple[Entry, ...]) -> None:
    """Refuse entries that the garbage collector has found before they were complete."""
    for entry in entries:
        if entry.place is None:
            raise TypeError("entries must be those of connections")


def _make_dispatch(
    event: EventCore, sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any], results: list[Any], mode: int
) -> Dispatch:
    dispatch = Dispatch.__new__(Dispatch)
    dispatch.event = event
    dispatch.sender = sender
    dispatch.args = args
    dispatch.kwargs = kwargs
    dispatch.results = results
    dispatch.errors = []
    dispatch.mode = mode
    dispatch.watch = None
    if not cython.compiled:  # compiled: these are None and false
        dispatch.reason, dispatch.has_cancel = None, False
    return dispatch


@cython.trashcan(True)  # a long chain of them is freed at once if their emissions never end
@cython.cclass
class Nesting:
    """How deep an emission is nested in others. Contexts that are copied in it keep nothing else of it.

    The coroutines and tasks that it awaits may run on other stacks, so their depth is counted here.
    """

    __slots__ = ("depth", "is_over", "outer")

    depth: int
    is_over: bool
    outer: Nesting | None  # that of the emission that it was made in

    def _recount(self) -> int:
        """Return the depth without emissions that are over: a task that their handlers left behind is no recursion."""
        depth = 0
        nesting = self
        while nesting is not None and not nesting.is_over:
            depth += 1
            nesting = nesting.outer  # type: ignore[assignment]
        return depth


def _make_nesting() -> Nesting:
    nesting = Nesting.__new__(Nesting)
    nesting.outer = outer = _get_variable(_innermost)
    nesting.is_over = False
    nesting.depth = 0 if outer is None else outer.depth + 1
    return nesting


@cython.trashcan(True)
@cython.cclass
class AwaitedDispatch(Dispatch):
    """An emission that awaits its handlers: an awaitable iterator whose `outcome` is the list of results.

    It calls the entries one priority, a tier, after the other. In a tier with several async handlers, each becomes a
    task, with a slot in the results, and at the end of the tier a coroutine of the subclass waits for them. An async
    handler that is the last of its tier, and the only one that is async so far, needs no task: its coroutine is
    stepped here, in a copied context, and its items are yielded on. `_coroutine` is the one that is stepped now.

    In a SEQUENTIAL emission, each async handler is awaited before the next handler is called: its coroutine is stepped
    here too, and if it needs a task, that is awaited at once, as if the tier ended after it.

    The subclass knows the event loop: see "Hooks". It may read and change the public attributes.
    """

    __slots__ = (
        "_context",
        "_coroutine",
        "_handler",
        "_has_begun",
        "_has_started",
        "_has_suspended",
        "_index",
        "_is_done",
        "_is_over",
        "_is_running",
        "_nesting",
        "_stopper",
        "_thrown",
        "_token",
        "_yielded",
        "canceller",
        "cancelling",
        "entries",
        "error_positions",
        "handlers",
        "has_gaps",
        "interruption",
        "keywords",
        "loop",
        "make",
        "methods",
        "outcome",
        "result_slots",
        "tasks",
    )

    entries: tuple[Entry, ...]
    loop: Any  # the event loop that runs, if the subclass needs it
    outcome: list[Any]  # what the emission returns
    canceller: Any  # the handler of the first coroutine or task that cancels
    cancelling: Any  # returns how often the task in which coroutines are stepped was cancelled; None: none is stepped
    interruption: BaseException | None  # what was thrown into the coroutine of a handler
    make: Any  # a type of tasks, made of a coroutine and `keywords`; None: they are started by `start`
    keywords: dict[str, Any]
    methods: tuple[Any, Any, Any, Any]
    """Of that type: `done`, `cancelled`, `exception` and `result`. Looking them up for each task costs a twentieth of
    an emission to handlers that do not suspend."""
    tasks: list[Any]  # of the current tier, but those that have a result already
    handlers: list[Any]
    result_slots: list[int]  # where among the results theirs belong
    error_positions: list[int]  # how many results there were when errors were collected
    has_gaps: bool  # whether there may be None among the results
    _index: int  # of the next entry
    _stopper: Any  # the handler that has cancelled when it was called
    _coroutine: Any  # what is stepped; None: nothing
    _context: Any  # in which it is stepped; None: in the emitter's, for the end of a tier
    _handler: Any  # which has returned it
    _yielded: Any  # by its first step, until this object is awaited
    _thrown: tuple[Any, ...] | None  # into it, by its next step
    _has_suspended: bool  # whether the coroutine of a handler has yielded
    _is_done: bool  # whether the last step was its last
    _has_begun: bool  # whether there was an async handler
    _has_started: bool  # whether a task was started in this tier
    _is_running: bool
    _is_over: bool
    _nesting: Nesting | None
    _token: Any  # to restore the context variable

    def __cinit__(self) -> None:
        self._yielded = MISSING
        if not cython.compiled:  # compiled: all others are None or false
            self._is_running = self._is_over = self._has_begun = self._has_started = self._has_suspended = False
            self._is_done = self.has_gaps = self.has_cancel = False
            self._index = 0
            self._coroutine = self._context = self._handler = self._stopper = self._thrown = self._nesting = None
            self._token = self.canceller = self.cancelling = self.interruption = self.make = self.reason = None
            self.entries = self.tasks = self.handlers = self.result_slots = None  # type: ignore[assignment]
            self.error_positions = self.outcome = None  # type: ignore[assignment]

    # The protocol of a coroutine, as `await` uses it

    def __await__(self) -> AwaitedDispatch:
        return self

    def __iter__(self) -> AwaitedDispatch:
        return self

    def __next__(self) -> Any:
        yielded = self._advance(None, None)
        if yielded is MISSING:
            raise StopIteration
        return yielded

    def send(self, value: Any, /) -> Any:
        """Go on until something is yielded, and return that."""
        yielded = self._advance(value, None)
        if yielded is MISSING:
            raise StopIteration
        return yielded

    def throw(self, *error: Any) -> Any:
        """Go on with an exception, raised where the emission awaits something."""
        try:
            yielded = self._advance(None, error)
        finally:
            del error  # its traceback refers to this frame
        if yielded is MISSING:
            raise StopIteration
        return yielded

    def close(self) -> None:
        """End the emission where it awaits something."""
        if self._is_over or self.entries is None:
            return
        self._enter()
        coroutine = self._coroutine
        try:
            if coroutine is not None:
                if self._context is None:
                    coroutine.close()
                else:
                    self._context.run(coroutine.close)
        finally:
            self._end()
            self._is_running = False

    @cython.critical_section
    def _enter(self) -> None:
        """Refuse to go on where that is impossible."""
        if self._is_running:
            raise ValueError("coroutine already executing")
        if self._is_over or self.entries is None:
            raise RuntimeError("cannot reuse already awaited coroutine")
        self._is_running = True

    # How it runs

    def _start(self) -> Any:
        """Begin to run. Return the results, or this object if it must be awaited."""
        yielded = self._advance(None, None)
        if yielded is MISSING:
            return self.outcome
        self._yielded = yielded
        return self

    def _advance(self, value: Any, thrown: tuple[Any, ...] | None) -> Any:
        """Go on until something must be yielded, and return that; `MISSING` at the end."""
        self._enter()
        try:
            yielded = self._yielded
            if yielded is not MISSING:  # that was found when it began
                self._yielded = MISSING
                if thrown is None:
                    return yielded
            if thrown is not None:
                self._thrown = thrown
                if self._context is not None:
                    self._note_interruption(thrown[0] if len(thrown) < 2 or thrown[1] is None else thrown[1])
            while True:
                if self._coroutine is not None:
                    yielded = self._resume(value)
                    if yielded is not MISSING:
                        return yielded
                    value = None
                elif not self._call_entries():
                    self._finish()
                    return MISSING
        except BaseException as error:
            self._end()
            if isinstance(error, StopIteration):
                raise RuntimeError("coroutine raised StopIteration") from error
            if not cython.compiled:
                raise
            _reraise(error)
        finally:
            thrown = None  # the traceback of an exception refers to this frame
            self._is_running = False
        return MISSING

    def _call_entries(self) -> bool:
        """Call entries until a coroutine must be stepped. Return False if none is left, or a handler has cancelled."""
        try:
            while self._coroutine is None:
                if self._has_started and (self._stopper is not None or self.mode & SEQUENTIAL or self._is_last()):
                    self._has_started = False
                    if self.tasks and not self.take_results():
                        self._coroutine = self.finish_tier(None)
                        break
                if self._stopper is not None or self.canceller is not None or self._index >= len(self.entries):
                    return False
                if self.mode & FIRST and self.results and self.results[-1] is not None:
                    return False
                entry = self.entries[self._index]
                self._index += 1
                self._stopper = self.turn(entry)
        except BaseException as error:
            if not self.tasks and not self.errors:
                if not cython.compiled:
                    raise
                _reraise(error)
            self._coroutine = self.finish_tier(error)
        return True

    def _is_last(self) -> bool:
        """Return whether the entry that was called last is the last one of its tier."""
        if self._index >= len(self.entries):
            return True
        entry = self.entries[self._index - 1]
        following = self.entries[self._index]
        return entry.priority is not following.priority and entry.priority != following.priority

    def _finish(self) -> None:
        if self.errors:
            raise self.event._make_exception_group(self.errors)
        results = self.results
        if self.has_gaps:
            results = [result for result in results if result is not None]
        canceller = self._stopper if self.canceller is None else self.canceller
        self.outcome = results if canceller is None else Cancelled(results, canceller, self.event, self.reason)
        self._end()

    def _end(self) -> None:
        """Drop references to handlers, and to exceptions whose tracebacks refer to this."""
        self._is_over = True
        self.cancelling = None  # it may refer to this
        if self._coroutine is not None:
            self._coroutine = self._context = self._handler = None
        if self._thrown is not None or self.interruption is not None:
            self._thrown = self.interruption = None
        if self.errors:
            self.errors.clear()
        nesting = self._nesting
        if nesting is not None:
            nesting.is_over = True
            nesting.outer = None
            self._nesting = None
        if self._token is not None:
            try:
                _reset_variable(_innermost, self._token)
            except ValueError:  # closed in another context, when the loop is gone
                pass
            self._token = None

    # Async handlers

    def nested_context(self) -> Any:
        """Return a copy of the context for a handler that runs elsewhere: its emissions are nested in this one."""
        if not self._has_begun:
            self._begin()
        return _copy_context_with(_innermost, self._nesting)

    def _begin(self) -> None:
        """Prepare for the first async handler."""
        self._has_begun = True
        event = self.event
        if event._is_sequential_set:
            if event._is_sequential:
                self.mode |= SEQUENTIAL
        elif event._namespace is not None and event._namespace._is_sequential:
            self.mode |= SEQUENTIAL
        nesting = self._nesting = _make_nesting()
        if nesting.outer is not None and nesting.depth > sys.getrecursionlimit():
            nesting.depth = nesting.outer._recount()
            if nesting.depth > sys.getrecursionlimit():
                raise self.recursion_error()
        self.begin()

    def _take_awaitable(self, result: Any, kind: int, entry: Entry, handler: Any) -> None:
        if not self._has_begun:
            try:
                self._begin()
            except BaseException:
                if type(result) is CoroutineType:
                    result.close()  # it will never be awaited
                raise
        if type(result) is not CoroutineType:
            result = self.as_coroutine(result, kind)
        # Deeper, each handler has a task, and so a stack, of its own: coroutines that are stepped here share one.
        is_shallow = self._nesting is not None and self._nesting.depth < 30
        if (
            is_shallow
            and self.cancelling is not None
            and not self._has_started
            and (self.mode & SEQUENTIAL or self._is_last())
        ):
            self._coroutine = result
            self._context = _copy_context_with(_innermost, self._nesting)
            self._handler = handler
            self._has_suspended = False
        else:
            self._start_task(result, handler)

    def _call_in_thread(self, call: Any, given: dict[str, Any], handler: Any) -> bool:
        if not self._has_begun:
            self._begin()
        self._start_task(self.in_thread(call, (self.sender, *self.args), given), handler)
        return True

    def _collect_error(self, error: Exception) -> None:
        if self.errors is None:
            self.errors = []
            self.error_positions = []
        self.errors.append(error)
        self.error_positions.append(len(self.results))

    # Async handlers that are stepped here

    def _resume(self, value: Any) -> Any:
        """Resume the coroutine. Return the item that it yields; `MISSING` if it is over."""
        result: Any = MISSING
        self._is_done = False
        try:
            if cython.compiled and value is None and self._thrown is None:
                result = _step(self._context, self._coroutine, cython.address(self._is_done))
            else:
                result = self._step_by_method(value)
        except BaseException as error:
            self._is_done = False
            if self._take_failure(error):
                if not cython.compiled:
                    raise
                _reraise(error)
        if self._is_done:
            self._take_value(result)
            return MISSING
        if result is not MISSING:
            self._has_suspended = True
        return result

    def _step_by_method(self, value: Any) -> Any:
        """Resume the coroutine by its method. Return its item, or its result if `_is_done`."""
        thrown, self._thrown = self._thrown, None
        try:
            if thrown is None:
                step, given = self._coroutine.send, (value,)
            else:
                step, given = self._coroutine.throw, thrown
            result = step(*given) if self._context is None else self._context.run(step, *given)
        except StopIteration as stop:
            self._is_done = True
            result = stop.value
        finally:
            thrown = given = None  # type: ignore[assignment] # the traceback of an exception refers to this frame
        return result

    def _take_value(self, value: Any) -> None:
        """Take the coroutine's result."""
        if self._context is None:  # the tier is done
            self._coroutine = None
            return
        handler = self._handler
        if self._leave_coroutine():
            self._coroutine = self.finish_cancelled(None, handler)
        elif self.mode & PAIRS:
            if value is not MISSING:
                self.results.append((handler, value))
        elif value is False:
            self.canceller = handler
        elif value is not None:
            self.results.append(value)

    def _take_failure(self, error: BaseException) -> bool:
        """Take the coroutine's exception; return whether it must be raised."""
        if self._context is None:
            self._coroutine = None
            return True
        handler = self._handler
        if self._leave_coroutine():
            self._coroutine = self.finish_cancelled(error, handler)
            return False
        if isinstance(error, Exception) and self._apply_error_policy(error, handler):
            if self.has_cancel:
                self.canceller = handler
            return False
        if self.errors:
            self._coroutine = self.finish_tier(error)
            return False
        return True

    def _leave_coroutine(self) -> bool:
        """Drop the coroutine of a handler. Return whether the emission was cancelled meanwhile."""
        self._coroutine = self._context = self._handler = None
        if not self._has_suspended:  # nobody else could: what the handler itself cancels raises at the next `await`
            return False
        if self.cancelling():
            return True
        if self.interruption is not None:
            self.interruption = None
        return False

    def _note_interruption(self, error: Any) -> None:
        """Note an exception thrown into a handler's coroutine as a cancellation, unless an earlier one still counts."""
        if isinstance(error, BaseException) and (self.interruption is None or self.cancelling() <= 1):
            self.interruption = error

    # Async handlers that are tasks

    def _start_task(self, coroutine: Any, handler: Any) -> None:
        self._has_started = True
        if self.tasks is None:
            self.begin_tasks()
            self._token = _set_variable(_innermost, self._nesting)
            self.tasks = []
        # In no variable: what a task that starts at once raises refers to this frame.
        self._add_task(self.start(coroutine) if self.make is None else self._make_task(coroutine), handler)

    def _make_task(self, coroutine: Any) -> Any:
        """Make a task, in two steps: one that raises while it is made must be cleaned up."""
        cls = self.make
        task = _make_instance(cls)
        try:
            _initialise(cls, task, (coroutine,), self.keywords)
        except BaseException:
            self.not_started(task, coroutine)
            raise
        try:
            return task
        finally:
            del task  # what an eager start raises refers to this frame

    def _add_task(self, task: Any, handler: Any) -> None:
        """Take the value of a task that is done; else note it, and keep a slot for its result.

        Its exception, and whether it cancels, count only when all are done.
        """
        has_value = False
        if self.make is not None and type(task) is self.make:
            methods = (
                self.methods
            )  # by index: unpacked, all of them are checked and counted for a task that is not done
            if methods[0](task) and not methods[1](task) and methods[2](task) is None:
                has_value = True
                value = methods[3](task)
        elif task.done() and not task.cancelled() and task.exception() is None:
            has_value = True
            value = task.result()
        if has_value:
            if self.mode & PAIRS:
                if value is not MISSING:
                    self.results.append((handler, value))
                return
            if value is None:
                return
            if value is not False:
                self.results.append(value)
                return
        if self.handlers is None:
            self.handlers = []
            self.result_slots = []
        try:
            self.handlers.append(handler)
            self.result_slots.append(len(self.results))
            self.results.append(None)
            self.tasks.append(task)
        except MemoryError:
            count = len(self.tasks)
            del self.handlers[count:]
            del self.result_slots[count:]
            task.cancel()
            raise

    # Hooks: what the subclass adds.

    if not cython.compiled:  # every subclass has its own: compiled, these would only take room

        def as_coroutine(self, result: Any, kind: int, /) -> Any:
            """Return a coroutine that awaits what an async handler returned."""
            raise NotImplementedError

        def start(self, coroutine: Any, /) -> Any:
            """Start a task. It needs the methods of an asyncio task that are used here."""
            raise NotImplementedError

        def in_thread(self, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> Any:
            """Return a coroutine that calls a handler in a thread."""
            raise NotImplementedError

        def finish_tier(self, raised: BaseException | None, /) -> Any:
            """Return a coroutine that waits for the tasks, takes their results, and raises what must be raised.

            `raised` is what was raised by a handler that was called or stepped here.
            """
            raise NotImplementedError

        def finish_cancelled(self, raised: BaseException | None, handler: Any, /) -> Any:
            """Return a coroutine that raises the cancellation of the emission, whatever its last handler has raised."""
            raise NotImplementedError

    def begin(self) -> None:
        """Prepare for the first async handler: set `cancelling`."""

    def recursion_error(self) -> RecursionError:
        """Return the error of too many emissions that await each other."""
        return RecursionError("maximum recursion depth exceeded")

    def begin_tasks(self) -> None:
        """Prepare for the first task: set `make`, `keywords` and `methods`."""

    def not_started(self, task: Any, coroutine: Any, /) -> None:
        """Clean up after a task that could not be made: an exception will report it."""

    def take_results(self) -> bool:
        """Take the results of the tasks if all are done and none has raised; return whether that is so."""
        return False


def inherit_slots(cls: ClassT, /) -> ClassT:
    """Class decorator: give a subclass of `AwaitedDispatch` its C functions for `await`."""
    # The interpreter would give it functions that look for Python methods, which take longer than the rest of a step.
    if not isinstance(cls, type) or not issubclass(cls, AwaitedDispatch):
        raise TypeError(f"cls must be a subclass of AwaitedDispatch, not {typed_repr(cls)}")
    if cython.compiled:
        _inherit_slots(cls, AwaitedDispatch)
    return cls


def _make_awaited(
    cls: Any,
    loop: Any,
    event: EventCore,
    sender: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    results: list[Any],
    entries: tuple[Entry, ...],
    mode: int,
) -> AwaitedDispatch:
    made = _make_instance(cls)
    if not isinstance(made, AwaitedDispatch):
        raise TypeError(f"dispatch_class must be a subclass of AwaitedDispatch, not {typed_repr(cls)}")
    dispatch = made
    dispatch.loop = loop
    dispatch.event = event
    dispatch.sender = sender
    dispatch.args = args
    dispatch.kwargs = kwargs
    dispatch.results = results
    dispatch.errors = None  # type: ignore[assignment] # until there is one
    dispatch.mode = mode
    dispatch.watch = None
    dispatch.entries = entries
    return dispatch


def _by_serial(entry: Entry) -> int:
    return entry.serial


def _by_priority(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Return the entries of each priority, the highest one first, without changing their order."""
    tiers: dict[int, list[Entry]] = {}
    for entry in entries:
        tier = found(tiers, entry.priority)
        if tier is None:
            tiers[entry.priority] = [entry]
        else:
            tier.append(entry)
    return [tiers[priority] for priority in sorted(tiers, reverse=True)]


def _in_order(entries: list[Entry]) -> tuple[Entry, ...]:
    """Return the entries that can be called, in dispatch order: by falling priority, then in order of registration.

    They are mostly in order of registration already, and of one priority. Note that an emission has found them.
    """
    if cython.compiled:
        ordered: tuple[Entry, ...] | None = _as_tuple_in_order(entries)
        if ordered is not None:
            return ordered
    is_complete = is_ordered = is_uniform = True
    previous = None
    for entry in entries:
        entry.may_vanish = True
        if not entry.is_usable():
            is_complete = False
        if previous is not None:
            if entry.serial < previous.serial:
                is_ordered = False
            if entry.priority is not previous.priority:  # at worst, equal ones are sorted for nothing
                is_uniform = False
        previous = entry
    if not is_complete:
        usable = []
        for entry in entries:
            if entry.is_usable():
                usable.append(entry)
            else:  # it died and its callback has not run, or an emission is using it up just now
                _queue_removal(entry)
        entries = usable
    if not is_ordered:
        entries.sort(key=_by_serial)
    if not is_uniform:
        tiers = _by_priority(entries)
        entries = []
        for tier in tiers:
            entries += tier
    return tuple(entries)


def _connect_checked(
    event: EventCore,
    receiver: Any,
    sender: Any,
    weak: Any,
    priority: Any,
    condition: Any,
    once: Any,
    with_event: Any,
    thread: Any,
    replay: Any,
    frame: FrameType | None,
    made: Made,
) -> None:
    """Connect: fast if the options are the common ones, else by `_make_options` and `_add`, which check them."""
    function = receiver
    if type(receiver) is MethodType:
        function = receiver.__func__
    if (
        type(function) is FunctionType
        and condition is None
        and type(priority) is int
        and type(weak) is bool
        and type(once) is bool
        and type(with_event) is bool
        and thread is False
        and replay is False
        and not event._is_checked
        and (function is not receiver or not _takes_self(function))
    ):
        flags = (ONCE if once else 0) | (WITH_EVENT if with_event else 0)
        event._enter(receiver, sender, weak, priority, None, flags, _qualname(function), frame, made)
        return
    options = event._make_options(receiver, sender, weak, priority, condition, once, with_event, thread, replay)
    event._add(receiver, sender, options, frame, made)


@cython.trashcan(True)
@cython.cclass
class EventCore:
    """An event's tables and its emission. `Event` adds what a user sees, and the types."""

    __slots__ = (
        "__weakref__",
        "_any",
        "_dead_handler_names",
        "_general",
        "_groups",
        "_is_checked",
        "_is_sequential",
        "_is_sequential_set",
        "_is_used",
        "_matched_events",
        "_mutes",
        "_namespace",
        "_observer",
        "_patterns",
        "_senders",
        "_slow_path_flags",
    )

    _any: Group
    _slow_path_flags: int  # FILTERED, WATCHED, HIDDEN, PATTERN_FILTERED, EVENTS_FILTERED and RECORDED
    _groups: dict[object, Group] | None  # by sender key
    _senders: list[Any] | None  # compiled with a GIL: the same by the address of the sender
    _general: Snapshot  # the one for any sender, and by that those for particular ones; _EMPTY if there is none
    _patterns: dict[int, EventCore] | None  # the patterns that match this event, by their id
    _matched_events: dict[int, EventCore] | None  # a pattern's events, by their id
    _mutes: dict[object, list[Any]] | None  # what is muted, as keys of handlers, None being the whole event; by whom
    _dead_handler_names: list[str] | None  # of handlers that died, to be logged
    _observer: Any  # makes the emissions in its stead, by `emit` and `send`; or None: see `_observe`
    _namespace: NamespaceCore | None  # that it belongs to
    _is_checked: bool  # whether `_add` must check what a handler takes
    _is_sequential: bool  # whether `emit_async` awaits one handler after the other
    _is_sequential_set: bool  # whether that counts; else it is as in the namespace
    _is_used: bool  # emitted by name since its namespace's cache was last cleaned: set by `NamespaceCore.emit`

    def __cinit__(self) -> None:
        _untrack(self)  # nothing may find it, or a reference to it, before it is complete
        self._slow_path_flags = 0
        self._general = _EMPTY
        self._groups = None  # these tables are made when they are first needed: most events need none
        if cython.compiled:
            self._senders = None
        self._patterns = None
        self._matched_events = None
        self._mutes = None
        self._dead_handler_names = None
        self._observer = None
        self._namespace = None
        self._is_checked = False
        self._is_sequential = False
        self._is_sequential_set = False
        self._is_used = False
        self._any = _make_group(None, ANY)
        if cython.compiled and not CYE_GIL:  # no other thread must read a field while a table is put into it
            self._groups = {}
            self._patterns = {}
            self._matched_events = {}
            self._mutes = {}
            self._dead_handler_names = []
            self._any.entries = {}
            self._place(ANY)
        _track(self)

    def __init__(self) -> None:
        pass

    # Fields that another thread may replace while an emission reads them

    @cython.critical_section
    def _load_general(self) -> Snapshot:
        return self._general

    @cython.critical_section
    def _store_general(self, snapshot: Snapshot) -> None:
        self._general = snapshot

    @cython.critical_section
    def _load_by_sender(self, general: Snapshot) -> dict[object, Snapshot] | None:
        return general.by_sender

    @cython.critical_section
    def _make_by_sender(self, general: Snapshot) -> dict[object, Snapshot]:
        by_sender: dict[object, Snapshot] = {}  # a finalizer may emit meanwhile
        if general.by_sender is None:
            general.by_sender = by_sender
        return general.by_sender

    @cython.critical_section
    def _is_built(self, snapshot: Snapshot) -> bool:
        return snapshot.entries is not None

    @cython.critical_section
    def _finish(self, snapshot: Snapshot, entries: tuple[Entry, ...]) -> None:
        if snapshot.entries is None:  # else another thread was faster
            snapshot.entries = entries

    @cython.critical_section
    def _store_place(self, place: Place) -> None:
        if self._any.place is None:  # else another thread was faster, and others may be reading that one
            self._any.place = place

    @cython.critical_section
    def _load_observer(self) -> Any:
        return self._observer

    @cython.critical_section
    def _replace_observer(self, observer: Any) -> Any:
        previous = self._observer
        self._observer = observer
        return previous

    # Emission

    def emit(self, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> list[Any]:
        """Call the handlers now, in order of priority, and return the list of their results.

        Each handler gets the sender and then all other arguments, unchanged. `None` is dropped from the results, a
        generator contributes one list of what it yields, and async handlers are scheduled and contribute nothing. A
        handler that returns `False` or raises `Cancel` cancels the emission: the remaining handlers are not called, and
        the list is a `Cancelled`.

        Args:
            sender: the object that emits. Handlers connected for another sender are not called.
            *args: positional arguments for the handlers.
            **kwargs: keyword arguments for the handlers, of any names.

        Returns:
            A new list of results, in the order in which the handlers ran.

        Raises:
            Exception: what a handler raises, unless `on_error` says otherwise.
            ExceptionGroup: everything that handlers raised, with `on_error="group"`.
            ValueError: for a pattern, which cannot be emitted.

        Thread-safe, and takes no lock. Handlers may emit, connect and disconnect. An emission calls the handlers that
        were connected when it began, except those that are disconnected or dead by their turn.

        Example:
            >>> from cyevents import Event
            >>> saved = Event("saved")
            >>> @saved.connect
            ... def report(sender, **kwargs):
            ...     return f"{sender} saved"
            >>> saved.emit("draft")
            ['draft saved']
        """
        if cython.compiled:  # the kernel has another `emit`, with this docstring
            return self._emitted(sender, args, kwargs)
        try:
            entries = self._general.entries
        except AttributeError:
            raise not_an_event(self, "emit") from None
        if self._slow_path_flags or entries is None:
            if self._slow_path_flags & (WATCHED | RECORDED):
                return self._emitted(sender, args, kwargs)
            entries = self._find_snapshot(sender).entries
        return self._run(entries, sender, args, kwargs)

    def _emitted(self, sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Return what `emit` returns of an event that is observed, or keeps its last emissions."""
        observer = self._load_observer()
        if observer is None:
            return self._run(self._begin_emission(sender, args, kwargs), sender, args, kwargs)
        observed: list[Any] = observer.emit(self, sender, args, kwargs)
        return observed

    def _run(self, entries: tuple[Entry, ...], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        results: list[Any] = []
        dispatch = None
        canceller = None
        try:
            for entry in entries:
                if not cython.compiled and not entry.flags:  # the common turn, without a call of `turn`
                    handler = entry()
                    if handler is None:
                        continue
                    try:
                        # The second form is the faster one by far.
                        result = handler(sender, *args, **kwargs) if args or kwargs else handler(sender)
                    except Exception as error:
                        if dispatch is None:
                            dispatch = _make_dispatch(self, sender, args, kwargs, results, 0)
                        if not dispatch.take_error(error, entry, handler, kwargs, True):
                            raise
                        result = None
                        if dispatch.has_cancel:
                            canceller = handler
                    if result is None:
                        if canceller is not None:
                            break
                        continue
                    try:
                        is_plain = result is not False and type(result) in _PLAIN
                    except Exception:  # classes of its class have no hash
                        is_plain = False
                    if is_plain:
                        results.append(result)
                        continue
                    if dispatch is None:
                        dispatch = _make_dispatch(self, sender, args, kwargs, results, 0)
                    canceller = handler if result is False or dispatch.take_result(result, entry, handler) else None
                else:
                    if dispatch is None:
                        dispatch = _make_dispatch(self, sender, args, kwargs, results, 0)
                    canceller = dispatch.turn(entry)
                if canceller is not None:
                    break
            if dispatch is not None and dispatch.errors:
                raise self._make_exception_group(dispatch.errors)
        finally:
            if dispatch is not None and dispatch.errors:
                dispatch.errors.clear()  # or they would refer to themselves by their tracebacks
        return results if canceller is None else Cancelled(results, canceller, self, dispatch.reason)  # type: ignore[union-attr]

    def send(self, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
        """Call the handlers now, and return pairs of each handler and its return value, whatever that is.

        Unlike `emit`, it keeps `None`, consumes no generator, schedules and awaits nothing, and no handler cancels: one
        that raises `Cancel` counts as having returned `False`. Order, senders, conditions and `on_error` are those of
        `emit`.

        Args:
            sender: the object that emits. Handlers connected for another sender are not called.
            *args: positional arguments for the handlers.
            **kwargs: keyword arguments for the handlers, of any names.

        Returns:
            A new list of pairs `(handler, value)`, in the order in which the handlers ran.

        Raises what `emit` does. Thread-safe and re-entrant, as `emit` is.

        Example:
            >>> from cyevents import Event
            >>> saved = Event("saved")
            >>> @saved.connect
            ... def report(sender, **kwargs):
            ...     return None
            >>> saved.send("draft") == [(report, None)]
            True
        """
        if not isinstance(self, EventCore):
            raise not_an_event(self, "send")
        return self._sent(sender, args, kwargs)

    def _sent(self, sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Any, Any]]:
        """Return what `send` returns."""
        observer = self._load_observer() if cython.compiled else self._observer
        if observer is not None:
            observed: list[tuple[Any, Any]] = observer.send(self, sender, args, kwargs)
            return observed
        return self._pairs(self._begin_emission(sender, args, kwargs), sender, args, kwargs)

    @cython.locals(entries=tuple, args=tuple, kwargs=dict, entry=Entry, dispatch=Dispatch, pairs=list)
    def _pairs(
        self,
        entries: tuple[Entry, ...],
        sender: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        watch: Any = None,
        /,
    ) -> list[tuple[Any, Any]]:
        # Call entries in order, and return pairs of each handler and what it returned. For `watch` see `_dispatch`.
        if cython.compiled:
            _check_entries(entries)
        pairs: list[tuple[Any, Any]] = []
        dispatch = None
        if cython.compiled or watch is not None:
            dispatch = _make_dispatch(self, sender, args, kwargs, pairs, PAIRS)
            dispatch.watch = watch
        try:
            for entry in entries:
                if cython.compiled or entry.flags or watch is not None:
                    if dispatch is None:
                        dispatch = _make_dispatch(self, sender, args, kwargs, pairs, PAIRS)
                    dispatch.send_turn(entry)
                    continue
                handler = entry()
                if handler is None:
                    continue
                try:
                    pairs.append((handler, handler(sender, *args, **kwargs)))
                except Exception as error:
                    if dispatch is None:
                        dispatch = _make_dispatch(self, sender, args, kwargs, pairs, PAIRS)
                    if not dispatch.take_error(error, entry, handler, kwargs, False):
                        raise
            if dispatch is not None and dispatch.errors:
                raise self._make_exception_group(dispatch.errors)
        finally:
            if dispatch is not None and dispatch.errors:
                dispatch.errors.clear()  # or they would refer to themselves by their tracebacks
        return pairs

    def _dispatch(
        self,
        entries: tuple[Entry, ...],
        sender: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        results: list[Any],
        errors: list[Exception],
        watch: Any = None,
        mode: int = 0,
        /,
    ) -> Any:
        # Call entries in order, filling `results` and, where errors are grouped, `errors`.
        # A `watch` follows each entry. `watch.call(entry, handler)` returns what is called in place of the handler,
        # with the same arguments. `watch.skip(entry, handler)` is called if the handler is not; it is None if dead.
        # With FIRST as the mode, the first result is the last.
        # Returns the results, as a `Cancelled` if a handler has cancelled.
        _check_entries(entries)
        if results is None or args is None or kwargs is None:
            raise TypeError("results must be a list, args a tuple and kwargs a dict")
        dispatch = _make_dispatch(self, sender, args, kwargs, results, mode)
        dispatch.errors = errors
        dispatch.watch = watch
        canceller = dispatch.call_all(entries)
        return results if canceller is None else Cancelled(results, canceller, self, dispatch.reason)

    if not cython.compiled:  # compiled: the kernel's

        def _start_async(
            self,
            dispatch_class: type[AwaitedDispatch],
            loop: Any,
            sender: Any,
            args: tuple[Any, ...],
            kwargs: dict[str, Any],
            plan: Callable[[tuple[Entry, ...]], Any] | None = None,
        ) -> Any:
            """Do what `_start_awaiting` does, for `emit_async`."""
            return self._start_awaiting(dispatch_class, loop, sender, args, kwargs, plan, 0)

    def _start_awaiting(
        self,
        dispatch_class: type[AwaitedDispatch],
        loop: Any,
        sender: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        plan: Callable[[tuple[Entry, ...]], Any] | None,
        mode: int,
        /,
    ) -> Any:
        # Call the handlers, and return the results.
        # If one must be awaited, return what must be awaited for them: a `dispatch_class`, which gets the `loop`.
        # In an observed emission, `plan` is called with the entries of each tier, and returns the `watch`. The mode is
        # PAIRS for `send_async`, and FIRST | SEQUENTIAL for `first_async`, which has one result at most.
        if args is None or kwargs is None:
            raise TypeError("args must be a tuple and kwargs a dict")
        entries = self._begin_emission(sender, args, kwargs)
        dispatch = _make_awaited(dispatch_class, loop, self, sender, args, kwargs, [], entries, mode)
        if plan is not None:
            for tier in _by_priority(entries):
                dispatch.watch = plan(tuple(tier))  # the same for all
        return dispatch._start()

    # Snapshots

    def _begin_emission(self, sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> tuple[Entry, ...]:
        # Return the entries that an emission calls. Record or hold the emission if need be.
        if self._slow_path_flags & RECORDED:
            return self._record(sender, args, kwargs)
        return self._find_snapshot(sender).entries

    def _set_recording(self, is_recording: bool, /) -> None:
        # Record the emissions that begin from now on, or do not. Called under the lock.
        if is_recording:
            self._slow_path_flags |= RECORDED
        else:
            self._slow_path_flags &= ~RECORDED

    def _snapshot(self, sender: Any, /) -> Snapshot:
        # Return what an emission by this sender runs.
        return self._find_snapshot(sender)

    def _find_snapshot(self, sender: Any) -> Snapshot:
        snapshot = self._look_up(sender)
        if self._slow_path_flags & HIDDEN:  # checked after the groups were looked at, which `_hide` removes
            for _ in range(100):  # other threads may evict it again; it is endless only if its hook does nothing
                self._attach_patterns([])
                snapshot = self._look_up(sender)
                if not self._slow_path_flags & HIDDEN:
                    break
        if cython.compiled:
            is_built: bool = self._is_built(snapshot)
        else:
            is_built = snapshot.entries is not None
        return snapshot if is_built else self._build(snapshot, sender)

    def _look_up(self, sender: Any) -> Snapshot:
        """Return the stored snapshot for a sender; if there is none, a new one, not yet built."""
        general = self._load_general() if cython.compiled else self._general
        if general is _EMPTY:
            general = _make_snapshot(self._any)
            self._store_general(general)
        if not self._slow_path_flags & FILTERED:
            return general
        key = sender_key(sender)
        by_sender = self._load_by_sender(general) if cython.compiled else general.by_sender
        if by_sender is not None:
            snapshot: Snapshot = found(by_sender, key)
            if snapshot is not None and snapshot.group.is_for(sender):
                return snapshot
        group = self._sender_group(key, sender)
        if group is None:
            return general
        if by_sender is None:
            by_sender = self._make_by_sender(general)
        made = _make_snapshot(group)
        snapshot = by_sender.setdefault(key, made)
        if snapshot.group is not group:  # that one was removed
            if cython.compiled and CYE_GIL:
                _remove_by_address(general.by_address, snapshot)
            snapshot = by_sender[key] = made
        if cython.compiled and CYE_GIL and snapshot is made:
            self._index_snapshot(general, by_sender, made)
        return snapshot

    if cython.compiled:

        def _index_snapshot(self, general: Snapshot, by_sender: dict[object, Snapshot], snapshot: Snapshot) -> None:
            """Let a snapshot that was put into `by_sender` be found by address too."""
            if general.by_address is not None and _has_room(general.by_address, len(by_sender)):
                _put_by_address(general.by_address, snapshot)
                return
            while True:
                table = _make_table(len(by_sender))  # other code may run meanwhile
                if _has_room(table, len(by_sender)):
                    break
            for snapshot in by_sender.values():
                _put_by_address(table, snapshot)
            general.by_address = table

        def _make_room(self, groups: dict[object, Group]) -> None:
            """Make room for one more group in `_senders`."""
            while self._senders is None or not _has_room(self._senders, len(groups) + 1):
                table = _make_table(len(groups) + 1)  # other code may run meanwhile
                if not _has_room(table, len(groups) + 1):
                    continue
                for group in groups.values():
                    _put_by_address(table, group)
                self._senders = table

    def _sender_group(self, key: object, sender: Any) -> Group | None:
        """Return the group of a sender, here or in a pattern that matches, or None."""
        group: Group | None = found(self._groups, key)
        if group is not None and group.is_for(sender):
            return group
        if self._patterns:
            for source in values_of(self._patterns):
                group = found(source._groups, key)
                if group is not None and group.is_for(sender):
                    return group
        return None

    def _build(self, snapshot: Snapshot, sender: Any) -> Snapshot:
        """Build a snapshot, without a lock. It is stored already, and a change in between removes it."""
        if self._dead_handler_names:
            self._log_dead_handlers()
        if self._patterns:
            for source in values_of(self._patterns):
                if source._dead_handler_names:
                    source._log_dead_handlers()
        group = snapshot.group
        self._finish(snapshot, _in_order(self._chosen(group, sender)))
        if group.is_removed:  # meanwhile
            self._discard_snapshots(group.place.key, [])
        if self._slow_path_flags & HIDDEN:  # it would keep alive what will be disconnected without notice
            self._store_general(_EMPTY)
        if _pending_removals:
            purge_dead()
        return snapshot

    @cython.locals(event="EventCore", source="EventCore", group=Group)
    def _settle(self) -> None:
        # Build the snapshots that emissions of this event, or of the events that a pattern matches, would build.
        purge_dead()
        for event in values_of(self._matched_events) or [self]:  # no recursion: it may be attached to itself
            event._find_snapshot(ANY)
            for source in [event, *values_of(event._patterns)]:
                for group in values_of(source._groups):
                    sender = group.get_sender()
                    if sender is not None or group.place.key == id(None):
                        event._find_snapshot(sender)

    def _chosen(self, group: Group, sender: Any) -> list[Entry]:
        """Return the entries for a sender that are not muted: of each handler the most specific one."""
        if not self._patterns and not self._mutes and (group is self._any or not self._any.entries):
            return values_of(group.entries)
        muted = self._muted_keys()
        if None in muted:
            return []
        general: list[Entry] = []  # of patterns, the least specific ones
        special: list[Entry] = []
        own: list[Entry] = []
        for source in values_of(self._patterns):
            general += source._unmuted_entries(source._any)
            if group is not self._any:
                other = found(source._groups, group.place.key)
                if other is not None and other.is_for(sender):
                    special += source._unmuted_entries(other)
        if group is not self._any:
            other = found(self._groups, group.place.key)
            if other is not None and other.is_for(sender):
                own = values_of(other.entries)
        entries = values_of(self._any.entries)
        # The length shows whether another thread has disconnected a handler meanwhile.
        if not muted and self._are_distinct(general + special + own) and len(entries) == self._count():
            return general + special + entries + own
        general.sort(key=_by_serial)
        special.sort(key=_by_serial)
        chosen = {}
        for entry in general + special + entries + own:  # the most specific one comes last and wins
            if not entry.is_usable():
                _queue_removal(entry)
            elif entry.handler_key not in muted:
                chosen[entry.handler_key] = entry
        return values_of(chosen)

    def _count(self) -> int:
        """Return how many handlers are connected here for any sender."""
        return 0 if self._any.entries is None else len(self._any.entries)

    def _are_distinct(self, entries: list[Entry]) -> bool:
        """Return whether entries are of different handlers, none of which is connected here for any sender."""
        keys = set()
        for entry in entries:
            if found(self._any.entries, entry.handler_key) is not None:
                return False
            keys.add(entry.handler_key)
        return len(keys) == len(entries)

    def _unmuted_entries(self, group: Group) -> list[Entry]:
        """Return a group's entries, without what this pattern has muted."""
        entries = values_of(group.entries)
        muted = self._muted_keys()
        if not muted:
            return entries
        return [] if None in muted else [entry for entry in entries if entry.handler_key not in muted]

    def _muted_keys(self) -> set[Any]:
        """Return the keys of the muted handlers; None among them means the whole event."""
        muted = set()
        for keys in values_of(self._mutes):
            muted.update(keys)
        return muted

    # Changes: each under the lock, with a list for what is released after it.

    def connect(
        self,
        /,
        receiver: Any = MISSING,
        sender: Any = ANY,
        weak: bool = True,
        priority: int = 0,
        condition: Callable[..., object] | None = None,
        *,
        once: bool = False,
        with_event: bool = False,
        thread: bool = False,
        replay: bool = False,
        via: Any = None,
        overlap: str = "parallel",
        limit: int | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Connect a handler, which emissions then call as `receiver(sender, *args, **kwargs)`.

        A handler is connected at most once for a sender. If you connect it again, that replaces the options and counts
        as a new registration.

        Args:
            receiver: the handler: a function, method or other callable, sync, async or a generator. Without it,
                `connect` returns a decorator: `@event.connect(priority=5)`.
            sender: call the handler for this sender only; `ANY` for all. Senders are compared by identity, except
                `str`, `bytes` and `int`, which are compared by value. They are held weakly if possible.
            weak: do not keep the handler alive; for a method, its object.
            priority: an int. Higher is called earlier; equal ones in order of registration.
            condition: called as `condition(sender, **kwargs)` when the handler's turn comes. A false result or an
                exception skips the handler. Exceptions are logged, or go to a callable `on_error`.
            once: disconnect the handler right before its first call.
            with_event: pass the emitted event as the keyword `event`.
            thread: in `emit_async`, run a sync handler in a thread. `emit` runs it in place.
            replay: first call the handler, in this thread, with the emissions that the event keeps: see
                `Event.replay`. If that raises, as `on_error` decides, nothing is connected.
            via: deliver the calls to a `Mailbox`, an asyncio event loop or an executor, which runs them.
            overlap: what happens if an earlier call of an async handler still runs: `"parallel"` starts another one,
                `"queue"` waits for it, `"skip"` drops the new call, `"restart"` cancels the earlier one, `"latest"`
                waits, and keeps only the newest of the calls that wait.
            limit: how many calls of an async handler run at once, with `overlap="parallel"`; others wait.
            timeout: seconds after which an async handler is cancelled; it then raises a `TimeoutError`.

        Returns:
            The receiver, so that `connect` serves as a decorator.

        Raises:
            TypeError: if an argument has the wrong type; if the receiver cannot be held weakly, or, with `check=True`
                of the event, does not fit the signature; with `replay=True`, if the event keeps no emissions; if
                `via` is given with `thread=True`, or `overlap`, `limit` or `timeout` for a handler that is not async.
            ValueError: if `overlap` is an unknown word, `limit` is less than 1, or `timeout` is not above 0.

        Warns:
            RuntimeWarning: if the receiver or the sender dies at once because nothing else holds it, as a lambda does;
                if the receiver is a function whose first parameter is `self`; or if the decorator is discarded.

        Thread-safe. A running emission does not see the change.
        """
        if not isinstance(self, EventCore):
            raise not_an_event(self, "connect")
        return self._connect_given(
            receiver,
            sender,
            weak,
            priority,
            condition,
            once,
            with_event,
            thread,
            replay,
            via,
            overlap,
            limit,
            timeout,
        )

    def _connect_given(
        self,
        receiver: Any,
        sender: Any,
        weak: Any,
        priority: Any,
        condition: Any,
        once: Any,
        with_event: Any,
        thread: Any,
        replay: Any,
        via: Any,
        overlap: Any,
        limit: Any,
        timeout: Any,
    ) -> Any:
        """Do what `connect` does, which calls this: compiled, that of the kernel."""
        if cython.compiled:
            # What the collector frees in this call, at the very instruction of the last one, is not its own.
            _last.replace_sender(None, 0)
        if (
            receiver is MISSING
            or via is not None
            or overlap is not PARALLEL
            or limit is not None
            or timeout is not None
        ):
            options = self._make_options(
                receiver,
                sender,
                weak,
                priority,
                condition,
                once,
                with_event,
                thread,
                replay,
                via,
                overlap,
                limit,
                timeout,
            )
            if receiver is MISSING:
                return self._decorator(sender, options, _caller())
            self._add(receiver, sender, options, _caller())
            return receiver
        _connect_checked(
            self, receiver, sender, weak, priority, condition, once, with_event, thread, replay, _caller(), None
        )
        return receiver

    def _check_and_connect(
        self,
        made: list[Entry | None],
        receiver: Any,
        sender: Any,
        weak: Any,
        priority: Any,
        condition: Any,
        once: Any,
        with_event: Any,
        thread: Any,
        replay: Any,
        frame: FrameType | None,
        /,
    ) -> None:
        # Do what `connect` does with these options for the caller in that frame.
        # Both entries are put into `made`: see `_connect`.
        if cython.compiled:
            _raise_pending()
        if made is None:
            raise TypeError("made must be a list")
        _connect_checked(
            self, receiver, sender, weak, priority, condition, once, with_event, thread, replay, frame, made
        )

    @cython.locals(weak="bint", flags="int", name=str, made=list, entry=Entry)
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
        made: Made = None,
        /,
    ) -> tuple[Entry, Entry | None]:
        # Connect, in place of the handler's connection for the same sender if there is one; return both entries.
        # Both are put into `made` before the connection is made, for callers that undo it when they are interrupted.
        if flags & ~(ONCE | WITH_EVENT | CONDITION | THREAD | REPLAY | DELIVERED):
            raise TypeError(
                f"flags must be made up of ONCE, WITH_EVENT, CONDITION, THREAD, REPLAY and DELIVERED, not {flags}"
            )
        if made is None:
            made = []
        entry = self._enter(handler, sender, weak, priority, condition, flags, name, frame, made)
        return entry, made[1]

    def _enter(
        self,
        handler: Any,
        sender: Any,
        weak: bool,
        priority: int,
        condition: Any,
        flags: int,
        name: str,
        frame: FrameType | None,
        made: Made,
    ) -> Entry:
        """Do what `_connect` does, and return the new entry."""
        place = self._place(ANY if sender is ANY else sender_key(sender))
        entry = _make_entry(handler, weak, priority, condition, flags, name, place)
        code = None
        instruction = 0
        if not cython.compiled:
            if frame is not None:
                code = frame.f_code
                instruction = frame.f_lasti
            _change(self._enter_locked, (entry, sender, code, instruction, made))
            return entry
        if frame is not None:
            code = _code_of(frame)
            instruction = _instruction_of(frame)
        to_release: list[object] = []
        if made is None and self._is_atomic(sender, place, to_release):
            self._enter_locked(entry, sender, code, instruction, made, to_release)
        else:
            _take_lock()
            try:
                self._enter_locked(entry, sender, code, instruction, made, to_release)
            finally:
                _drop_lock()
        if _pending_removals:
            purge_dead()
        return entry

    def _enter_locked(
        self, entry: Entry, sender: Any, code: object, instruction: int, made: Made, to_release: list[object]
    ) -> None:
        _last.begin(code, instruction, entry.name)
        entry.serial = entry.chain = _last.serial  # which changes under the lock alone
        if made is not None:
            made += (entry, None)
        group = self._put(entry, sender, to_release, made)
        _last.replace_sender(group.sender if type(group.sender) is Ref else None, get_ident())

    def _put(self, entry: Entry, sender: Any, to_release: list[object], made: Made = None) -> Group:
        """Enter an entry in its group, in place of the handler's one there, and return the group."""
        if self._slow_path_flags & HIDDEN:
            self._attach_patterns(to_release)
        key = entry.place.key
        group: Group | None = None
        try:
            while True:
                group = self._any if key is ANY else self._group_for(entry.place, sender, to_release)
                if group.entries is None:
                    entries: dict[object, Entry] = {}  # a finalizer that runs now may put another one there
                    if group.entries is None:
                        group.entries = entries
                while True:
                    previous = group.entries.setdefault(entry.handler_key, entry)
                    if previous is entry or self._replace(group.entries, previous, entry, to_release, made):
                        break
                if not group.is_removed:  # by a finalizer
                    break
                to_release.append(group)
            self._invalidate(key, to_release)
        except BaseException:  # no memory, or a signal handler has raised, perhaps after the step
            if group is not None:
                self._invalidate(key, to_release)
            if key is not ANY:
                self._prune_empty_group(key, to_release)
            raise
        return group

    def _replace(
        self, entries: dict[object, Entry], previous: Entry, entry: Entry, to_release: list[object], made: Made
    ) -> bool:
        """Put an entry in the place of another one; return False if that is gone."""
        key = entry.handler_key
        to_release.append(previous)
        if made is not None:
            made[1] = previous
        # One step: an emission that begins now finds one of the two entries.
        if key in entries and entries[key] is previous:
            entry.chain = previous.chain
            entry.may_vanish = entry.may_vanish or previous.may_vanish
            previous.flags |= REPLACED
            entries[key] = entry
            return True
        if made is not None:
            made[1] = None
        return False

    def _is_atomic(self, sender: Any, place: Place, to_release: list[object]) -> bool:
        """Return whether a change for a sender needs no lock: see "Threads and interruptions". Compiled only.

        To make a group is not atomic: a missing one is made now, and is empty until the change.
        """
        if not _is_gil_alone():
            return False
        if place.key is not ANY:
            group = found(self._groups, place.key)
            if group is None:
                if self._matched_events:
                    return False
                group = self._group_for(place, sender, to_release)  # other code may run meanwhile
                if not _is_gil_alone():
                    return False
            if not group.is_for(sender):
                return False
        elif self._any.entries is None:
            return False
        return not self._matched_events and not self._slow_path_flags & HIDDEN

    def _place(self, key: object) -> Place:
        """Return the place of a sender's connections."""
        if self._any.place is None:
            place = Place.__new__(Place)
            place.home = weakref(self)
            place.key = ANY
            self._store_place(place)
        group = self._group_at(key)
        if group is not None:
            return group.place
        place = Place.__new__(Place)
        place.home = self._any.place.home
        place.key = key
        return place

    def _group_at(self, key: object) -> Group | None:
        return self._any if key is ANY else found(self._groups, key)

    def _entry_at(self, key: object, handler: object) -> Entry | None:
        """Return the entry for keys of a sender and a handler."""
        group = self._group_at(key)
        return None if group is None else found(group.entries, handler)

    def _entry_of(self, dead: Ref) -> Entry | None:
        """Return the entry in the tables that is this reference, or has it for its function."""
        entry = self._entry_at(dead.place.key, dead.handler_key)
        return entry if entry is not None and (entry is dead or entry.held is dead) else None

    def _group_for(self, place: Place, sender: Any, to_release: list[object]) -> Group:
        """Return the group of a sender, creating it if needed."""
        key = place.key
        group: Group | None = found(self._groups, key)
        if group is not None:
            if group.is_for(sender):
                return group
            self._drop_group(group, False, to_release)  # a dead sender had this one's id
        group = _make_group(place, sender)
        if isinstance(key, int):  # by identity: held weakly if possible
            try:
                ref = Ref.__new__(Ref, sender, _on_dead)
            except TypeError:
                pass
            else:
                ref.place = place
                ref.handler_key = None
                group.sender = ref
        if not self._slow_path_flags & EVENTS_FILTERED:
            self._slow_path_flags |= FILTERED  # first: events that are attached from now on see it
            for event in values_of(self._matched_events):
                event._slow_path_flags |= FILTERED | PATTERN_FILTERED
            self._slow_path_flags |= EVENTS_FILTERED  # last: if memory runs out above, the next call does it again
        if self._groups is None:
            groups: dict[object, Group] = {}  # a finalizer may connect meanwhile
            if self._groups is None:
                self._groups = groups
        if cython.compiled and CYE_GIL:
            self._make_room(self._groups)
        added = self._groups.setdefault(key, group)
        if cython.compiled and CYE_GIL and added is group:
            _put_by_address(self._senders, group)
        return added

    def _drop_group(self, group: Group, only_if_empty: bool, to_release: list[object]) -> None:
        """Remove a group with all its connections, or only if it has none."""
        groups = self._groups
        key = group.place.key
        to_release.append(group)
        # One step. First of all: what a signal handler connects from now on goes to another group.
        if groups is None or key not in groups or groups[key] is not group or (only_if_empty and group.entries):
            return
        del groups[key]
        group.is_removed = True
        if cython.compiled and CYE_GIL:
            _remove_by_address(self._senders, group)
        self._invalidate(key, to_release)  # compiled, this needs no memory
        entries = values_of(group.entries)
        to_release.append(entries)
        for entry in entries:
            entry.flags |= DEAD
        if group.entries is not None:
            group.entries.clear()

    def _prune_empty_group(self, key: object, to_release: list[object]) -> None:
        """Remove the group of a sender for which nothing is connected any more."""
        group = found(self._groups, key)
        if group is not None:
            to_release.append(group)
            self._drop_group(group, True, to_release)

    def _invalidate(self, key: object, to_release: list[object]) -> None:
        """Discard the snapshots that a change for a sender makes stale, here and in a pattern's events."""
        try:
            self._discard_stale(key, to_release)
        except BaseException:  # no memory, or a signal handler has raised; the tables have changed
            self._discard_stale(key, to_release)
            raise

    def _discard_stale(self, key: object, to_release: list[object]) -> None:
        self._discard_snapshots(key, to_release)
        if self._matched_events:
            if cython.compiled:  # this needs no memory, and nothing is released meanwhile
                for event in self._matched_events.values():
                    event._discard_snapshots(key, to_release)
            else:  # a finalizer may delete an event meanwhile
                for event in values_of(self._matched_events):
                    event._discard_snapshots(key, to_release)

    def _discard_snapshots(self, key: object, to_release: list[object]) -> None:
        general = self._load_general()
        if key is not ANY:
            by_sender = self._load_by_sender(general)
            if by_sender is not None:
                snapshot = found(by_sender, key)
                try:
                    to_release.append(snapshot)
                except MemoryError:  # then it is released under the lock
                    pass
                by_sender.pop(key, None)
                if cython.compiled and CYE_GIL:
                    _remove_by_address(general.by_address, snapshot)
        elif general is not _EMPTY:
            try:
                to_release.append(general)
            except MemoryError:
                pass
            self._store_general(_EMPTY)

    def _remove(self, entry: Entry, to_release: list[object]) -> bool:
        """Disconnect an entry; return whether it was connected."""
        place = entry.place
        group = self._group_at(place.key)
        if group is None:
            return False
        if group is not self._any:
            to_release.append(group)
        to_release.append(entry)
        entries = group.entries
        key = entry.handler_key
        if entries is None:
            return False
        try:
            # One step.
            if entries[key] is not entry:
                return False
            del entries[key]
        except KeyError:
            return False
        try:
            entry.flags |= DEAD
            self._invalidate(place.key, to_release)
        except BaseException:  # a signal handler has raised: once more, for the entry is gone
            entry.flags |= DEAD
            self._invalidate(place.key, to_release)
            raise
        if group is not self._any:
            self._prune_empty_group(place.key, to_release)
        return True

    def _remove_dead(
        self, dead: Ref, is_logged: bool, to_release: list[object], never_called: list[tuple[EventCore, Entry]]
    ) -> None:
        """Remove a used-up entry, that of a dead handler, or all those for a dead sender."""
        if dead.handler_key is None:
            group = self._group_at(dead.place.key)
            if group is not None and group.sender is dead:
                self._drop_group(group, False, to_release)
            return
        entry = self._entry_of(dead)
        if entry is None or not self._remove(entry, to_release) or not is_logged:
            return
        if type(entry.held) is CodeType and not entry.may_vanish:
            never_called.append((self, entry))
            return
        names: list[str] = []  # a finalizer may note others meanwhile
        if self._dead_handler_names is None:
            self._dead_handler_names = names
        if len(self._dead_handler_names) < 100:
            self._dead_handler_names.append(entry.name)

    @cython.locals(entry=Entry)
    def _disconnect_entry(self, entry: Entry, /) -> bool:
        # Remove this very connection; return whether it still existed.
        return self._disconnect_one(entry, None, ANY)

    def _disconnect(self, handler: Any, sender: Any, /) -> bool:
        # Remove a handler's connection for a sender, or all its connections if that is ANY.
        return self._disconnect_one(None, handler_key(handler), sender)

    def _disconnect_one(self, entry: Entry | None, key: object, sender: Any) -> bool:
        if not cython.compiled:
            removed: bool = _change(self._disconnect_locked, (entry, key, sender))
            return removed
        to_release: list[object] = []
        is_removed = False
        if self._any.place is None:  # it never had a connection
            return False
        if sender is ANY and not self._groups and self._is_atomic(ANY, self._any.place, to_release):
            is_removed = self._disconnect_locked(entry, key, sender, to_release)
        else:
            _take_lock()
            try:
                is_removed = self._disconnect_locked(entry, key, sender, to_release)
            finally:
                _drop_lock()
        if _pending_removals:
            purge_dead()
        return is_removed

    def _disconnect_locked(self, entry: Entry | None, key: object, sender: Any, to_release: list[object]) -> bool:
        if entry is not None:
            return self._remove(entry, to_release)
        if sender is not ANY:
            group = found(self._groups, sender_key(sender))
            return group is not None and group.is_for(sender) and self._remove_from(group, key, to_release)
        is_removed = self._remove_from(self._any, key, to_release)
        if self._groups:
            groups = values_of(self._groups)
            to_release.append(groups)  # a group that is removed holds its sender
            for group in groups:
                if self._remove_from(group, key, to_release):
                    is_removed = True
        return is_removed

    def _remove_from(self, group: Group, key: object, to_release: list[object]) -> bool:
        """Disconnect a handler from a group."""
        entry = found(group.entries, key)
        return entry is not None and _is_alive(entry, to_release) and self._remove(entry, to_release)

    def _clear(self) -> None:
        # Remove all connections.
        _change(self._clear_locked, ())

    @cython.locals(to_release=list, group=Group, entry=Entry)
    def _clear_locked(self, to_release: list[object], /) -> None:
        for group in [self._any, *values_of(self._groups)]:
            to_release.append(group)
            for entry in values_of(group.entries):
                self._remove(entry, to_release)

    @cython.locals(entry=Entry, previous=Entry)
    def _restore(self, entry: Entry, previous: Entry | None, sender: Any, /) -> None:
        # Undo a `_connect`: put back the entry that it replaced, unless someone changed the connection since.
        if entry.place is None or (previous is not None and previous.place is None):
            raise TypeError("entry and previous must be those of connections")
        _change(self._restore_locked, (entry, previous, sender))

    @cython.locals(entry=Entry, previous=Entry, to_release=list, current=Entry)
    def _restore_locked(self, entry: Entry, previous: Entry | None, sender: Any, to_release: list[object], /) -> None:
        current = self._entry_at(entry.place.key, entry.handler_key)
        to_release.append(current)
        previous = _latest_valid(previous)
        if current is entry or (current is None and entry.is_used_up() and not entry.flags & REPLACED):
            if previous is not None and not previous.is_used_up() and _is_alive(previous, to_release):
                to_release.append(entry)
                self._put(previous, sender, to_release)  # a reconnection, for emissions that have begun
                previous.flags &= ~REPLACED
            else:
                self._remove(entry, to_release)
        else:
            # In a circle there would be no last one.
            entry.superseded = (None if previous is entry else previous,)

    @cython.locals(keys=list)
    def _mute(self, by: object, keys: list[Any], /) -> None:
        # Mute handlers, or the whole event by the key None, until `_unmute` is called with the same object.
        _change(self._mute_locked, (by, keys))

    @cython.locals(keys=list, to_release=list)
    def _mute_locked(self, by: object, keys: list[Any], to_release: list[object], /) -> None:
        if self._slow_path_flags & HIDDEN:
            self._attach_patterns(to_release)
        self._set_mute(by, keys, to_release)

    @cython.locals(keys=list, to_release=list, mutes=dict)
    def _set_mute(self, by: object, keys: list[Any], to_release: list[object], /) -> None:
        # Do what `_mute` does, under the lock, whether or not patterns are attached.
        if keys is None:
            raise TypeError("keys must be a list")
        if self._mutes is None:
            mutes: dict[object, list[Any]] = {}  # a finalizer may mute it meanwhile
            if self._mutes is None:
                self._mutes = mutes
        try:
            self._mutes[by] = keys
            self._invalidate(ANY, to_release)
        except BaseException:
            self._mutes.pop(by, None)
            self._invalidate(ANY, to_release)
            raise

    def _unmute(self, by: object, /) -> None:
        # Undo `_mute`, if it has been done.
        _change(self._unmute_locked, (by,))

    @cython.locals(to_release=list)
    def _unmute_locked(self, by: object, to_release: list[object], /) -> None:
        if self._mutes is None:
            return
        try:
            to_release.append(self._mutes.get(by))
            self._mutes.pop(by, None)
            self._invalidate(ANY, to_release)
        except BaseException:  # once more: a `with` is left only once
            self._mutes.pop(by, None)
            self._invalidate(ANY, to_release)
            raise

    # Observation

    def _observe(self, observer: Any, /) -> None:
        # Let an observer make the emissions that begin from now on; with None, the event makes them again.
        # It is called as `observer.emit(event, sender, args, kwargs)`, and `send` likewise, and uses `_begin_emission`,
        # and `_dispatch` or `_pairs` with a `watch`. `first` adds the argument `"first"`.
        _change(self._observe_locked, (observer,))

    @cython.locals(to_release=list)
    def _observe_locked(self, observer: Any, to_release: list[object], /) -> None:
        to_release.append(self._load_observer())
        if observer is None:
            self._slow_path_flags &= ~WATCHED
        self._replace_observer(observer)
        if observer is not None:
            self._slow_path_flags |= WATCHED

    # Patterns

    @cython.locals(source="EventCore", to_release=list, events=dict, patterns=dict)
    def _attach(self, source: EventCore, to_release: list[object], /) -> None:
        # Add a pattern that matches this event. Called under the lock.
        if source._matched_events is None:
            events: dict[int, EventCore] = {}  # a finalizer may attach others meanwhile
            if source._matched_events is None:
                source._matched_events = events
        if self._patterns is None:
            patterns: dict[int, EventCore] = {}
            if self._patterns is None:
                self._patterns = patterns
        source._matched_events[id(self)] = self
        self._patterns[id(source)] = source
        if source._slow_path_flags & FILTERED:
            self._slow_path_flags |= FILTERED | PATTERN_FILTERED
        self._invalidate(ANY, to_release)

    @cython.locals(source="EventCore", to_release=list)
    def _detach(self, source: EventCore, to_release: list[object], /) -> None:
        # Undo `_attach`, half of one too. Called under the lock.
        to_release.append(source)
        to_release.append(self)
        if self._patterns is not None:
            self._patterns.pop(id(source), None)
        if source._matched_events is not None:
            source._matched_events.pop(id(self), None)
        self._invalidate(ANY, to_release)

    @cython.locals(to_release=list, source="EventCore")
    def _hide(self, to_release: list[object], /) -> None:
        # Stop patterns from notifying this event of changes, until `_attach` is called for each. Under the lock.
        # It keeps its patterns, so that an emission that has begun finds their handlers. But it holds none of their
        # handlers and senders, since it would not be notified of their removal.
        self._slow_path_flags |= HIDDEN
        for source in values_of(self._patterns):
            to_release.append(self)
            if source._matched_events is not None:
                source._matched_events.pop(id(self), None)
        self._invalidate(ANY, to_release)

    def _show(self) -> None:
        # Undo `_hide`, once the patterns are attached again. Under the lock.
        self._slow_path_flags &= ~HIDDEN

    def _is_hidden(self) -> bool:
        # Return whether `_hide` was called, and not `_show` since.
        return bool(self._slow_path_flags & HIDDEN)

    def _has_state(self, mutes: Collection[object], /) -> bool:
        # Return whether there are connections, for any sender or for some, or it is muted by other than these.
        if self._is_connected():
            return True
        for by in [] if self._mutes is None else list(self._mutes):
            if by not in mutes:
                return True
        return False

    # Introspection

    @cython.locals(source="EventCore", group=Group, entry=Entry, rows=dict, entries=list, ordered=list)
    def _connections(self) -> list[tuple[Entry, Any, EventCore]]:
        # Return all entries in dispatch order, each with its sender and the event, or pattern, that it belongs to.
        rows = {}
        entries: list[Entry] = []
        ordered = []
        if self._slow_path_flags & HIDDEN:
            self._attach_patterns([])
        for source in [*values_of(self._patterns), self]:
            for group in [source._any, *values_of(source._groups)]:
                sender = group.get_sender()
                if sender is None and group.place.key != id(None):
                    continue  # it is dead, and there was no memory or no stack to note it
                for entry in values_of(group.entries):
                    rows[entry.serial] = (entry, sender, source)
        for row in rows.values():  # no comprehension: compiled, it releases an object twice where it cannot grow
            entries.append(row[0])
        for entry in _in_order(entries):
            ordered.append(rows[entry.serial])
        return ordered

    @cython.locals(group=Group)
    def _is_connected(self) -> bool:
        # Return whether there are connections, for any sender or for some.
        if self._any.entries:
            return True
        for group in values_of(self._groups):
            if group.entries:
                return True
        return False

    @cython.locals(entry=Entry)
    def _has_live_handlers(self, sender: Any, /) -> bool:
        # Return whether an emission by this sender would find a handler.
        for entry in self._find_snapshot(sender).entries:
            if not entry.flags & DEAD and entry.is_usable():
                return True
        return False

    @cython.locals(group=Group, groups=list)
    def _has_connection(self, handler: Any, sender: Any, /) -> bool:
        # Return whether a handler is connected for a sender, or, if that is ANY, at all. Patterns do not count.
        key = handler_key(handler)
        groups: list[Group] = [self._any]
        if sender is ANY:
            groups += values_of(self._groups)
        else:
            group = found(self._groups, sender_key(sender))
            groups = [group] if group is not None and group.is_for(sender) else []
        for group in groups:
            if _is_live(group, found(group.entries, key)):
                return True
        return False

    @cython.locals(entry=Entry, group=Group)
    def _has_entry(self, entry: Entry, /) -> bool:
        # Return whether this very connection exists, its handler and sender are alive, and it is not used up.
        group = None if entry.place is None else self._group_at(entry.place.key)
        if group is None or found(group.entries, entry.handler_key) is not entry:
            return False
        return _is_live(group, entry)

    # Hooks: what the package adds.

    if not cython.compiled:  # every subclass has its own: compiled, these would only take room

        @property
        def name(self) -> str:
            """The event's name."""
            raise NotImplementedError

        def _make_options(self, *args: Any) -> Any:
            """Check the arguments of `connect`, and return its options as one object."""
            raise NotImplementedError

        def _add(self, *args: Any) -> Any:
            """`_connect` with such options, on behalf of the caller whose frame is given."""
            raise NotImplementedError

        def _decorator(self, *args: Any) -> Any:
            """Return a decorator that connects what it decorates: see `_add`."""
            raise NotImplementedError

        def _attach_patterns(self, to_release: list[object], /) -> None:
            """Attach the patterns that match, which may have changed, and call `_show`, under the lock or not."""
            raise NotImplementedError

        def _record(self, sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> tuple[Entry, ...]:
            """Record or hold an emission that begins, and return the entries that it calls."""
            raise NotImplementedError

        def _schedule(self, result: Any, kind: int, handler: Any, sender: Any, entry: Entry, /) -> None:
            """Schedule what an async handler returned."""
            raise NotImplementedError

        def _make_exception_group(self, errors: list[Exception], /) -> Exception:
            """Return one exception for several."""
            raise NotImplementedError

    def _load_bound_methods(self) -> None:
        # Add the methods of `BoundEvent` to `BoundCore`: called before the first event is bound to a sender.
        pass

    def _call_failed(
        self, error: TypeError, handler: Any, count: int, names: Iterable[str], takes_result: bool, /
    ) -> Any:
        # Add a note to the error of a handler's call, if the arguments (a count and keywords) did not fit.
        # Returns a coroutine that raises the error if the handler is async and the result would be awaited, else None.
        pass

    def _cancel_of(self, error: BaseException) -> tuple[Any, list[Any] | None] | None:
        # Return the reason and what a generator had yielded, if a handler cancels by this; else None.
        return None

    def _error_policy(self) -> Any:
        # Return what is done with an `Exception` of a handler: "raise", "group" or a callable.
        return "raise"

    def _condition_failed(
        self,
        error: Exception,
        entry: Entry,
        handler: Any,
        sender: Any,
        names: Iterable[str],
        /,
    ) -> None:
        # A condition, called with these keywords, has raised, and its handler is skipped.
        pass

    def _warn_discarded_handler(self, name: str, frame: FrameType, is_subscription: bool, /) -> None:
        # A handler has died at once, or the subscription that held it was discarded at once.
        pass

    def _log_never_called(self, entry: Entry, /) -> None:
        # A function has died before any emission could have called it.
        pass

    def _log_dead_handlers(self) -> None:
        # Handlers named in `_dead_handler_names` have died since the last snapshot.
        pass


def _latest_valid(entry: Entry | None) -> Entry | None:
    """Return an entry that was replaced for a time, or the one that it had replaced, if it has been restored since."""
    while entry is not None and entry.superseded is not None:
        entry = entry.superseded[0]
    return entry


def _is_alive(entry: Entry, to_release: list[object]) -> bool:
    """Return whether an entry's handler is alive. The last reference to it must not be released under the lock."""
    target = entry.held if entry.flags & HELD else _deref(entry)
    to_release.append(target)
    if target is not None and entry.flags & BOUND and type(entry.held) is Ref:
        target = _deref(entry.held)
        to_release.append(target)
    return target is not None


def _is_live(group: Group, entry: Entry | None) -> bool:
    """Return whether an entry of a group can still be called: handler and sender alive, not used up. None cannot."""
    if entry is None or not entry.is_usable():
        return False
    return group.get_sender() is not None or group.place.key == id(None)


_NO_CLAIMS: list[None] = []


def consume(generator: Any, items: list[Any], /) -> bool:
    """Run a generator to its end. Put its items, without None, into a list; return whether it returned `False`."""
    if type(items) is not list:
        raise TypeError("items must be a list")
    if cython.compiled:
        is_false: bool = _run_generator(generator, items)
        return is_false
    while True:
        try:
            item = next(generator)
        except StopIteration as stop:
            return stop.value is False
        if item is not None:
            items.append(item)


def put_call(parts: tuple[list[None], list[None], Any, Any, Any], call: tuple[Any, ...]) -> None:
    """Put a call into a mailbox, or do what its `overflow` says."""
    # The parts are a list with an item for each call that may still be put, a list with an item while the next call
    # must wake the drainer, the method that adds a call, what is called instead in a full mailbox, and what wakes. A
    # call is a tuple: entry, handler, what is called in its place, event, sender, args and keywords.
    #
    # There is no lock, so an emission waits for no other thread. Each step is one atomic call. A signal handler or a
    # finalizer may emit or drain between two of them.
    places = parts[0]
    armed = parts[1]
    is_full = not places
    if not is_full:
        try:
            places.pop()
        except IndexError:  # another thread was faster
            is_full = True
    if is_full:  # not in the `except` block, which without memory for a traceback cannot be left
        parts[3](call)
        return
    try:
        parts[2](call)
    except BaseException:  # no memory
        places.append(None)
        raise
    if armed:
        parts[4]()


def run_calls(places: list[None], take: Callable[[], Any], limit: int) -> tuple[int, Any, Any, Any]:
    """Run up to `limit` calls that `take` takes out of a mailbox, while they return None."""
    # Returns how many it has taken; the last call, or None if there was none; what that returned, or its entry if the
    # handler was disconnected; and what it raised, or None.
    if places is None:
        raise TypeError("places must be a list")
    count = 0
    call: Any = None
    result: Any = None
    failure: BaseException | None = None
    try:
        while count < limit and result is None:
            call = None
            call = take()
            count += 1
            places.append(None)
            entry = call[0]
            if entry.is_inactive() and not entry.flags & ONCE:  # ONCE: this very call has used it up
                result = entry
            elif cython.compiled:
                result = _run_call(call)
            else:
                result = call[2](call[4], *call[5], **call[6])
    except BaseException as error:
        failure = error
    if cython.compiled:
        return count, call, result, failure
    try:
        return count, call, result, failure
    finally:
        failure = None  # its traceback refers to this frame


def expect_death(entry: Entry) -> None:
    """Note that a subscription holds an entry's handler, which dies with it."""
    entry.may_vanish = True
    _last.note_subscription(entry)


if not cython.compiled:  # compiled: the kernel's

    class SignalCore:
        """A blinker signal's `send`, over the `EventCore` that it holds. `Signal` adds what a user sees.

        A signal has a core instead of being one, so that its subclasses may use any names that a core uses for
        themselves. What `Signal` needs of this class has mangled names, such as `_SignalCore__core`, which the
        compiled core has too.
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
            """Call the receivers for a sender, in order of connection: pairs of each receiver and its return value."""
            # The sender is the one positional, None if it is missing. The keyword `_async_wrapper` is dropped, since no
            # receiver is a coroutine function. With more positionals, or while `_SignalCore__uses_python_send` is set,
            # the call is passed on to `_SignalCore__send_slow`.
            if len(args) > 1 or self.__uses_python_send:
                pairs: list[tuple[Any, Any]] = self.__send_slow(*args, **kwargs)
                return pairs
            kwargs.pop("_async_wrapper", None)
            return self.__core._sent(args[0] if args else None, (), kwargs)

        def __send_slow(self, /, *args: Any, **kwargs: Any) -> Any:
            """Hook: send what `send` leaves to Python code."""
            raise NotImplementedError

    class BoundCore:
        """An event and its sender, as a bound method is a function and its object. `BoundEvent` adds the methods."""

        __slots__ = ("__weakref__", "_event", "_sender")

        _event: Any
        _sender: Any

        def __new__(cls):  # type: ignore[no-untyped-def] # has no annotations, as it has none compiled
            raise TypeError("cannot create 'cyevents._bound.BoundEvent' instances")

        def __init_subclass__(cls) -> None:
            raise TypeError("type 'cyevents._bound.BoundEvent' is not an acceptable base type")

        def emit(self, /, *args: Any, **kwargs: Any) -> list[Any]:
            """Emit the event for this sender: the same as `event.emit(sender, *args, **kwargs)`, see `Event.emit`."""
            if args and args[0] is self._sender:
                self._warn_sender_given("emit", sys._getframe(1))
            results: list[Any] = type(self._event).emit(self._event, self._sender, *args, **kwargs)
            return results

        def send(self, /, *args: Any, **kwargs: Any) -> list[tuple[Any, Any]]:
            """Call the handlers for this sender, and return pairs of each and its return value: see `Event.send`."""
            if args and args[0] is self._sender:
                self._warn_sender_given("send", sys._getframe(1))
            pairs: list[tuple[Any, Any]] = type(self._event).send(self._event, self._sender, *args, **kwargs)
            return pairs

        def _warn_sender_given(self, way: str, frame: FrameType | None) -> None:
            """Hook: warn that the sender was also given as the first argument."""
            raise NotImplementedError

    BoundCore.__name__ = BoundCore.__qualname__ = "BoundEvent"  # it is that class itself: see `_bound.py`
    _are_bound_methods_loaded = False

    def _get(self: EventCore, instance: Any, owner: Any = None) -> Any:
        """Return the event itself for a class, and bound to the object for an object of the class."""
        global _are_bound_methods_loaded
        if not isinstance(self, EventCore):
            raise not_an_event(self, "__get__")
        if instance is None:
            return self
        if not _are_bound_methods_loaded:
            self._load_bound_methods()
            _are_bound_methods_loaded = True
        bound: BoundCore = object.__new__(BoundCore)
        bound._event = self
        bound._sender = instance
        return bound

    EventCore.__get__ = _get  # type: ignore[attr-defined]


class NamespaceCore(dict):  # type: ignore[type-arg]
    """Events by name, and emission by name. `Namespace` adds what a user sees, and the types."""

    __slots__ = ("_cached", "_is_sequential")

    _cached: dict[str, Any]  # events of undeclared names that patterns or observers cover
    _is_sequential: bool  # as that of its events, for those that have not set it

    def __cinit__(self) -> None:
        self._cached = {}
        self._is_sequential = False

    def emit(self, evt: Any, /, sender: Any = ANY, *args: Any, **kwargs: Any) -> list[Any]:
        """Emit an event, given by its name or as an `Event`: see `Event.emit`.

        If the name has no event, the handlers of matching patterns are called, and nothing is added to the namespace.

        Args:
            evt: the event's name, or the `Event`.
            sender: the object that emits.
            *args: positional arguments for the handlers.
            **kwargs: keyword arguments for the handlers, of any names.

        Returns:
            A new list of results, in the order in which the handlers ran.

        Raises:
            TypeError: if `evt` is neither a non-empty string nor an `Event`.
            ValueError: for a pattern, which cannot be emitted.
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
        if cython.compiled:  # the kernel has another `emit`, with this docstring
            raise NotImplementedError
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

    def _find(self, evt: Any, /) -> Any:
        # The event meant by what is not a name in here; None for an unknown name.
        raise NotImplementedError


def install_methods(cls: ClassT, /) -> ClassT:
    """Return the class as it is: only the compiled core puts methods on `Event` and `Namespace`."""
    return cls


if cython.compiled:
    for _class in (LastConnection, Place, Ref, Entry, Group, Snapshot, Dispatch, Nesting):
        _forbid_new(_class)
    del _class
else:  # compiled: `__cinit__` is called by the interpreter, and no annotations are kept

    def _new(cls: Any, *args: Any, **kwargs: Any) -> Any:
        self = (dict if issubclass(cls, dict) else object).__new__(cls)
        self.__cinit__()
        return self

    EventCore.__new__ = AwaitedDispatch.__new__ = NamespaceCore.__new__ = _new  # type: ignore[method-assign]

    if not TYPE_CHECKING:  # so that help() shows what it can show for the compiled core: signatures without types
        _shown = [EventCore.connect, EventCore.emit, EventCore.send, NamespaceCore.emit, BoundCore.emit, BoundCore.send]
        _shown += [SignalCore.send, BoundCore.__new__, EventCore.__get__]
        EventCore.__get__.__name__, EventCore.__get__.__qualname__ = "__get__", "EventCore.__get__"
        for _method in _shown:
            _method.__annotations__ = {}
            _method.__qualname__ = _method.__qualname__.replace("BoundCore", "BoundEvent").replace("Core", "")
