"""`EventHooks`: the methods of an event that the core calls, to check, connect, schedule and report.

`Event` adds the public methods. Members with one underscore are internal to the package, not to their class. A hook may
run at interpreter exit, when imports fail.
"""

from __future__ import annotations

import sys

from ._checks import kind_of, takes_sender_as_self
from ._connection import Decorator
from ._core import DELIVERED, REPLAY, THREAD, WITH_EVENT, Entry, EventCore
from ._core._introspection import FunctionType, warn
from ._core._safe import handler_name, log, safe_getattr, safe_repr
from ._core._values import MISSING, Cancel, CancelAfterItems
from ._options import ConnectOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from types import FrameType
    from typing import Any

    from ._held import Hold, Merge
    from ._replay import KeptEmissions
    from ._signatures import Declared
    from ._typing import ErrorPolicy


class EventHooks(EventCore):
    """The core's hooks, and the attributes that they need."""

    __slots__ = ("_doc", "_kept", "_name", "_on_error", "_signature")

    _doc: str | None  # see `_Doc`
    _kept: KeptEmissions  # missing until `replay` is set, or the event is held
    _name: str
    _namespace: Any  # a `Namespace`, or None; the core has it
    _on_error: ErrorPolicy
    _signature: Declared  # where `_is_checked`

    # Connecting

    _make_options = ConnectOptions

    def _add(
        self,
        receiver: Any,
        sender: Any,
        options: ConnectOptions,
        frame: FrameType | None,
        made: list[Entry | None] | None = None,
    ) -> tuple[Entry, Entry | None]:
        """Connect a callable for the caller in that frame; return the new entry and the one it replaced.

        Both are put into `made` before the connection is made, for callers that must undo it when they are interrupted.
        """
        flags = options.flags
        condition: Any = options.condition
        if self._is_checked:
            self._signature.check(receiver, condition, bool(flags & WITH_EVENT))
        if options.delivery is not None:
            condition = options.delivery.make(receiver, condition)
            flags |= DELIVERED
        if options.thread and kind_of(receiver) in ("sync", "generator"):
            flags |= THREAD
        if type(receiver) is not FunctionType:
            name = handler_name(receiver)
        else:
            name = receiver.__qualname__
            if takes_sender_as_self(receiver, sender):  # before it is connected: a warning may be an exception
                warn(
                    f"{name} takes self, but is connected as a plain function: {self._name!r} will call it with the"
                    " sender as self. To call it on an object, decorate it with handles(...) instead and attach the"
                    " object to a namespace, or connect the object's bound method. If self is meant to be the sender,"
                    " name the parameter sender",
                    frame,
                )
        if flags & REPLAY:
            kept: KeptEmissions | None = getattr(self, "_kept", None)
            if kept is None:
                from ._replay import KeptEmissions

                kept = KeptEmissions()  # it keeps none, and says so
            arguments = (receiver, sender, options.weak, options.priority, condition, flags, name, frame)
            return kept.connect(self, *arguments, [] if made is None else made)
        return self._connect(receiver, sender, options.weak, options.priority, condition, flags, name, frame, made)

    def _decorator(self, sender: Any, options: ConnectOptions, frame: FrameType | None) -> Any:
        def connect(handler: Any, frame: FrameType | None) -> None:
            self._add(handler, sender, options, frame)

        return Decorator(connect, sender, f"connect(...) of {self._name!r}", frame)

    def _load_bound_methods(self) -> None:
        try:
            from . import _bound  # noqa: F401
        except (ImportError, TypeError):  # at interpreter exit: then bound events can emit and nothing else
            pass

    def _make_hold(self, merge: Merge, sender: Any) -> Hold:
        return make_hold(self, merge, sender)

    def _attach_patterns(self, to_release: list[object]) -> None:
        self._namespace._attach_patterns(self, to_release)  # it is not None: the event was in its cache

    # Emitting

    def _record(self, sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Entry, ...]:
        if self._hold_back(sender, args, kwargs):
            return ()
        kept: KeptEmissions | None = getattr(self, "_kept", None)
        if kept is None or not kept.limit:
            return self._snapshot(sender).entries
        return kept.begin_emission(self, sender, args, kwargs)

    def _hold_back(self, sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Hold an emission that begins if a hold of this context covers it, and return whether one does."""
        return _hold_back is not None and _hold_back(self, sender, args, kwargs)

    def _update_recording(self) -> None:
        """Let the core call `_record` if the event keeps emissions or a hold covers it. Called under the lock."""
        kept: KeptEmissions | None = getattr(self, "_kept", None)
        is_recording = kept is not None and (kept.limit > 0 or bool(kept.holds))
        namespace = self._namespace
        for scope in () if namespace is None or is_recording else namespace._scopes:
            if scope.is_hold and scope.covers(self._name) and namespace._is_current(self):
                is_recording = True
                break
        self._set_recording(is_recording)

    def _schedule(
        self,
        result: Any,
        kind: int,
        handler: Any,
        sender: Any,
        entry: Entry,
        is_finalizing: Callable[[], bool] = sys.is_finalizing,
    ) -> None:
        try:
            (_schedule or _load_schedule())(self, result, kind, handler, sender, entry)
        except Exception:
            if not is_finalizing():
                raise
            close = getattr(result, "close", None)  # there is neither asyncio nor logging any more
            if close is not None:
                close()
            stderr = getattr(sys, "stderr", None)
            if stderr is not None:
                text = f"async handler {safe_repr(handler)} of {self._name!r} is not run: the interpreter is exiting"
                stderr.write(f"cyevents: {text}\n")

    def _cancel_of(self, error: BaseException) -> tuple[Any, list[Any] | None] | None:
        if not issubclass(type(error), Cancel):
            return None
        return safe_getattr(error, "reason"), error.items if type(error) is CancelAfterItems else None

    def _error_policy(self) -> Any:
        policy, namespace = self._on_error, self._namespace
        if policy is None and namespace is not None:
            policy = namespace.on_error
        return "raise" if policy is None else policy

    def _make_exception_group(self, errors: list[Exception]) -> Exception:
        return ExceptionGroup(f"{len(errors)} handlers of {self._name!r} failed", errors.copy())  # it keeps the list

    def _call_failed(
        self, error: TypeError, handler: Any, count: int, names: Iterable[str], takes_result: bool
    ) -> Coroutine[Any, Any, Any] | None:
        binding = _binding_of(error)
        if binding is None:
            return None
        handler = binding.unwrapped(handler)
        text = f"handler {binding.handler_text(handler)} of event {self._name!r}"
        binding.add_call_note(error, text, count, names)
        if takes_result and kind_of(handler) in ("async", "async_generator"):
            coroutine: Coroutine[Any, Any, Any] = binding.failing(error, handler)
            return coroutine
        return None

    def _condition_failed(
        self, error: Exception, entry: Entry, handler: Any, sender: Any, names: Iterable[str]
    ) -> None:
        binding = _binding_of(error)
        if binding is not None:
            text = f"condition {binding.handler_text(entry.condition)} of handler {entry.name} of event {self._name!r}"
            binding.add_call_note(error, text, 0, names)
        observer = self._observer
        if observer is not None:
            observer.condition_failed(error)
        policy = self._error_policy()
        if callable(policy):
            policy(error, handler, self, sender)
            return
        log(
            "DEBUG" if entry.warned() else "WARNING",
            "condition of handler %s of event %r raised: handler skipped",
            entry.name,
            self._name,
            exc_info=error,
        )

    # Handlers that die

    def _warn_discarded_handler(self, name: str, frame: FrameType, is_subscription: bool) -> None:
        text = (
            f"handler {name} of event {self._name!r} was garbage-collected at once and will never be called, because "
        )
        if is_subscription:
            text += "the subscription that held it was discarded: keep the result of subscribe()"
        else:
            text += " nothing else refers to it: keep a reference, keep the result of subscribe(), or use weak=False"
        warn(text, frame)

    def _log_never_called(self, entry: Entry) -> None:
        if sys.is_finalizing():
            return
        for other, _, source in self._connections():
            if other.name == entry.name and source is self and other.get() is not None:
                return  # the module was loaded again, or the notebook's cell was run again
        log(
            "WARNING",
            "handler %s of event %r, defined in %s:%d, was garbage-collected before any emission, because nothing else"
            " refers to it: it will never be called. Keep a reference to it, keep the result of subscribe(), or connect"
            " it with weak=False",
            entry.name,
            self._name,
            entry.held.co_filename,
            entry.held.co_firstlineno,
        )

    def _log_dead_handlers(self) -> None:
        is_logging = "logging" in sys.modules  # else there is no handler to log to
        while self._dead_handler_names:
            try:
                name = self._dead_handler_names.pop(0)
            except IndexError:  # another thread was faster
                return
            if is_logging:
                log("DEBUG", "handler %s of event %r was garbage-collected", name, self._name)


def _binding_of(error: Exception) -> Any:
    """Return the module `_binding` if a call has raised this error because its arguments did not fit, else None."""
    if isinstance(error, TypeError):
        try:
            from . import _binding
        except (ImportError, TypeError):  # at interpreter exit
            return None
        if _binding.is_binding_error(error):
            return _binding
    return None


_hold_back: Any = None  # taken from `_held`, when the first hold has been made


def make_hold(source: Any, merge: Merge, sender: Any = MISSING) -> Hold:
    """Return a new hold of an event, a pattern or a namespace; of this sender's emissions alone, if one is given."""
    global _hold_back
    from ._held import Hold
    from ._held import hold_back as _hold_back

    return Hold(source, merge, sender)


_schedule: Any = None  # taken from `_async`, which imports asyncio, when the first async handler has been called


def _load_schedule() -> Any:
    global _schedule
    from ._async.scheduling import schedule as _schedule

    return _schedule
