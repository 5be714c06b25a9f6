"""`Hold`: emissions that are collected, and emitted later. Imported when the first hold is made.

How it works: while a hold is open, the core passes each emission of a covered event to `EventHooks._record`, in every
thread. `hold_back` finds the holds of the emitter's context in a context variable. The innermost one that covers the
event takes the emission, and the core calls no handler.

Only its user keeps a hold alive: the context variable refers to it weakly, because contexts are copied, and namespaces
and events refer to its `HoldScope`. So a hold that nobody can release any more ends.

Another thread may emit while a hold is released. It puts the emission into the hold's dict, and checks again whether
the hold is open. If not, both threads may find the emission, and the one that removes it emits it.
"""

from __future__ import annotations

import atexit
import sys
from contextvars import ContextVar
from weakref import ref

from ._checks import is_pattern, kind_of, pattern_error
from ._context import next_origin, origin, set_in_context, take_origin
from ._core import EventCore, call_locked, sender_key
from ._core._introspection import warn
from ._core._safe import exact_str, handler_name, log, safe_isinstance, safe_repr, source_text
from ._core._values import MISSING
from ._emission import Emission, brief
from ._replay import make_kept

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType
    from typing import Any, Literal, NoReturn, Self

    Merge = Literal["last_per_sender"] | Callable[[list[Emission[Any]]], Iterable[Emission[Any]]] | None

_holds: ContextVar[tuple[ref[Hold], ...] | None] = ContextVar("cyevents_holds", default=None)  # the innermost is last
_unfinished: dict[int, ref[Hold]] = {}  # by id: the holds that are open, or have emissions


class HeldEmission(Emission):
    """An emission that is held, with its origin: see `cyevents.instrument.origin`."""

    __slots__ = ("origin",)

    origin: Any


class HoldScope:
    """The events that a hold of a namespace or of a pattern covers."""

    __slots__ = ("_matches",)

    is_hold = True

    def __init__(self, matches: Callable[[str], object] | None) -> None:
        self._matches = matches

    def attach(self, event: Any) -> None:
        """Cover a new event, if its name matches. Called under the lock, or while nothing else knows the event."""
        if self.covers(event._name):
            event._set_recording(True)

    def covers(self, name: str) -> bool:
        """Return whether events of this name are held."""
        return self._matches is None or bool(self._matches(name))


class Hold:
    """Emissions that wait for `release` or `drop`. `hold` and `held` of namespaces and events return it.

    Leaving its `with` block releases it, or drops it if the block raises. You can use a hold once.

    It holds the emissions of its context: those of its thread or task, and of tasks created there while it is open.
    They return an empty result, and are made when the hold is released, with the connections, conditions, `once` and
    mutes of that time. Until then the hold keeps senders and arguments alive, without a limit.

    A hold is dropped when nothing refers to it. Emissions that are lost that way, or at exit, are logged at WARNING.

    Thread-safe: any thread, context or handler may call `release` and `drop`, also twice. An emission of another thread
    meanwhile is either held in time or made at once.
    """

    __slots__ = ("__weakref__", "_emissions", "_event", "_line", "_merge", "_namespace", "_scope", "_sender", "_state")

    _state: Literal["not entered", "open", "released", "dropped"]

    def __init__(self, source: Any, merge: Merge, sender: Any) -> None:
        self._emissions: dict[int, Emission] = {}  # by id, in order. Its changes are atomic
        self._line: tuple[Any, int] | None = None  # the code and the line that called `hold` or `held`
        self._merge = _checked_merge(merge)
        self._sender = sender
        is_event = isinstance(source, EventCore)
        is_of_events = not is_event or is_pattern(source.name)
        self._event: Any = source if is_event else None
        self._namespace = None if not is_of_events else source._namespace if is_event else source
        self._scope = HoldScope(source.matches if is_event and is_of_events else None)
        self._state = "not entered"  # last: `__del__` ignores a hold without it

    @property
    def emissions(self) -> list[Emission]:
        """The emissions held now, in order, as a new list."""
        return list(self._emissions.copy().values())

    def _note_caller(self) -> Self:
        """Warn at the line that has called the caller of this, if the hold is discarded there."""
        try:
            frame = sys._getframe(2)  # `f_back` would not raise the MemoryError that it meets
        except ValueError:  # the caller was called by C code
            return self
        self._line = frame.f_code, frame.f_lineno
        return self

    def _open(self) -> Self:
        """Begin to hold."""
        if self._state != "not entered":
            raise RuntimeError(f"{self!r} is used up: create another one with held() or hold()")
        try:
            _unfinished[id(self)] = ref(self)
            call_locked(self._begin)
            holds = []  # no comprehension, here and below: without memory, CPython leaks what its call has cells for
            for each in _holds.get() or ():
                if getattr(each(), "_state", None) == "open":
                    holds.append(each)
            set_in_context(_holds, (*holds, ref(self)))
            self._state = "open"
        except BaseException:  # no memory, or a signal handler has raised
            self._close("dropped")
            raise
        return self

    def _begin(self) -> list[Any]:
        """Let the core call `_record`. Called under the lock; the result is dropped after that."""
        if self._namespace is not None:
            events: list[Any] = self._namespace._add_scope(self._scope)
            return events
        event = self._event
        make_kept(event)
        event._kept.holds.add(self._scope)
        event._set_recording(True)
        return []

    def _end(self) -> list[Any]:
        """Undo `_begin`, half of one too. Called under the lock; the result is dropped after that."""
        namespace, events = self._namespace, [self._event]
        if namespace is not None:
            namespace._remove_scope(self._scope)
            events = namespace._all_events()
            events += namespace._evicted_events()
        elif hasattr(self._event, "_kept"):
            self._event._kept.holds.discard(self._scope)
        for event in events:
            event._update_recording()
        return events

    def _close(self, state: Literal["released", "dropped"]) -> None:
        """Stop holding."""
        if self._state in ("not entered", "open"):
            self._state = state
        if id(self) in _unfinished:
            try:
                call_locked(self._end)
            except BaseException:  # a signal handler has raised: once more, since a hold is closed only once
                call_locked(self._end)
                raise

    def release(self) -> None:
        """Stop holding, and emit the held emissions in order, by `emit`.

        An outer hold, opened in this context before this one, takes those that it covers. Emissions that handlers make
        meanwhile are made at once. Releasing a hold again has no effect.

        Raises:
            Exception: the exception of an emission, after all others are made. Several become an `ExceptionGroup`.
            TypeError: if `merge` does not return emissions.

        If `merge` raises, or an emission raises a `BaseException` such as `KeyboardInterrupt`, it propagates at once.
        The remaining emissions stay in the hold: release it again, or drop it.
        """
        self._close("released")
        holds, own = _holds.get() or (), ref(self)
        inner = holds[holds.index(own) + 1 :] if own in holds else ()
        errors: list[Exception] = []
        try:
            if own in holds:
                set_in_context(_holds, holds[: holds.index(own)])
            emissions = self._merged()
            for key in list(emissions.copy()):
                emission = emissions.pop(key, None)
                if emission is not None:  # else another thread has removed it
                    try:
                        with origin(getattr(emission, "origin", None)):
                            EventCore.emit(emission.event, emission.sender, *emission.args, **emission.kwargs)
                    except Exception as error:
                        errors.append(error)
            if len(errors) == 1:
                raise errors[0]
            if errors:
                raise ExceptionGroup(f"{len(errors)} held emissions failed", errors.copy())
        finally:
            errors.clear()  # their tracebacks refer to this frame
            if not self._emissions:
                _unfinished.pop(id(self), None)
            if inner:
                set_in_context(_holds, (*(_holds.get() or ()), *inner))

    def _merged(self) -> dict[int, Emission]:
        """Apply `merge` to the emissions, once, and return them."""
        merge, held = self._merge, self._emissions
        if merge is None or not held:
            return held
        taken = []
        for key in list(held.copy()):
            each = held.pop(key, None)
            if each is not None:
                taken.append(each)
        try:
            if type(merge) is str:
                last: dict[Any, Emission] = {}
                for each in reversed(taken):
                    last.setdefault((id(each.event), sender_key(each.sender)), each)
                merged = [*reversed(last.values())]
            else:
                merged = _checked_emissions(merge, merge(taken.copy()))
        except BaseException:
            held.update({id(each): each for each in taken})
            raise
        self._merge = None
        self._emissions = dict(enumerate(merged))
        return self._emissions

    def drop(self) -> None:
        """Stop holding, and discard the held emissions."""
        self._close("dropped")
        self._emissions.clear()
        _unfinished.pop(id(self), None)

    def __enter__(self) -> Self:
        return self if self._state == "open" else self._open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.release()
        else:
            self.drop()

    def __del__(self, is_finalizing: Any = sys.is_finalizing) -> None:
        state = getattr(self, "_state", None)
        if state is None or is_finalizing():
            return
        self._close("dropped")
        _unfinished.pop(id(self), None)
        if self._emissions:
            _log_lost(self, "their hold was discarded: keep what hold() returns, and call its release() or drop()")
        elif state in ("not entered", "open") and self._line is not None:
            frame = sys._getframe().f_back
            if frame is not None and self._line == (frame.f_code, frame.f_lineno):
                word, hint = (
                    ("hold", "Keep it until its release()") if state == "open" else ("held", "Put it in a `with`")
                )
                warn(f"{word}() returned a hold that was discarded: nothing is held. {hint}", frame)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a hold cannot be copied or pickled: its emissions take place once")

    def __repr__(self) -> str:
        of = source_text(self._namespace if self._event is None else self._event)
        if self._sender is not MISSING:
            of += f" by {brief(self._sender)}"
        count = len(self._emissions)
        texts = [] if self._state == "open" else [str(self._state)]
        if count or not texts:
            texts.append(f"{count} emission{'s' * (count != 1)} held")
        return f"<Hold of {of}: {', '.join(texts)}>"


def hold_back(event: Any, sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Give an emission to the innermost hold of this context that covers it. Return whether there is one."""
    for reference in reversed(_holds.get() or ()):
        hold = reference()
        if hold is None or hold._state != "open":
            continue
        namespace = hold._namespace
        if namespace is None:
            own = hold._sender
            if event is not hold._event or (own is not MISSING and sender_key(sender) != sender_key(own)):
                continue
        elif (
            event._namespace is not namespace or not hold._scope.covers(event._name) or not namespace._is_current(event)
        ):
            continue
        emission = HeldEmission(event, sender, args, kwargs)
        emission.origin = next_origin()
        emissions = hold._emissions
        emissions[id(emission)] = emission
        # If another thread releases the hold now, it emits what it finds, and the rest is emitted here.
        if hold._state == "open" or emissions.pop(id(emission), None) is None:
            take_origin()
            return True
    return False


def _checked_merge(merge: Any) -> Any:
    """Return a `merge`; raise if it is none."""
    merge = exact_str(merge)
    if merge is None or (type(merge) is str and merge == "last_per_sender"):
        return merge
    if type(merge) is str or not callable(merge):
        raise (ValueError if type(merge) is str else TypeError)(
            'merge must be None, "last_per_sender" or a function that takes a list of emissions and returns those to'
            f" emit, not {safe_repr(merge)}"
        )
    if kind_of(merge) in ("async", "async_generator"):
        raise TypeError(f"merge {handler_name(merge)} is a coroutine function: it must return emissions at once")
    return merge


def _checked_emissions(merge: Any, returned: Any) -> list[Emission]:
    """Return the result of `merge` as a list; raise unless it has only emissions that can be emitted."""
    text = f"merge {handler_name(merge)} must return a list of the emissions to emit"
    if not hasattr(type(returned), "__iter__"):
        raise TypeError(f"{text}, not {safe_repr(returned)}")
    emissions: list[Emission] = list(returned)
    for emission in emissions:
        if not safe_isinstance(emission, Emission) or not safe_isinstance(emission.event, EventCore):
            raise TypeError(f"{text}, each an Emission of an Event, not {safe_repr(emission)}")
        if is_pattern(emission.event.name):
            raise pattern_error(emission.event.name)
    return emissions


def _log_lost(hold: Hold, reason: str) -> None:
    texts = [repr(each) for each in hold.emissions]
    if len(texts) > 10:
        texts[10:] = [f"{len(texts) - 10} more"]
    log("WARNING", "held emissions are lost, since %s. They are: %s", reason, ", ".join(texts))


@atexit.register
def _log_unfinished() -> None:
    for reference in list(_unfinished.values()):
        hold = reference()
        if hold is not None and hold._emissions:
            _log_lost(hold, "the interpreter exits")
