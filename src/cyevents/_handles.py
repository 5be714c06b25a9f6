"""`handles`, which marks methods as handlers, and the work of `Namespace.attach`.

The marks of a function are a tuple in its `__dict__`, which `functools.wraps` copies to wrappers. More marks for a
wrapper are a new tuple, which the wrapped function does not get.

`attach` finds the marks in the classes of an object and runs no code of the object: it evaluates no property and calls
no `__getattr__`.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from _weakref import ref as weakref
from functools import cached_property
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any

from ._connection import Subscription, connect_all
from ._core._introspection import is_at_call, is_returning, method_parts, warn
from ._core._safe import safe_isinstance, safe_repr
from ._core._values import ANY, MISSING
from ._options import ConnectOptions
from ._registry import event_targets
from ._subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType
    from typing import Unpack, overload

    from ._public import Event, Namespace
    from ._typing import AnyOptions, Flags, HandlerT, Overlap, SomeEvents, Target

    Mark = tuple[tuple[Any, ...], Any, ConnectOptions]  # targets, sender, options

_MARKS = "_cyevents_handles"


if TYPE_CHECKING:

    @overload
    def handles(
        evt: str | Event[Any, ...] | SomeEvents, sender: Any = ..., **options: Unpack[AnyOptions]
    ) -> Callable[[HandlerT], HandlerT]: ...
    @overload
    def handles(
        evt: str | Event[Any, ...] | SomeEvents,
        sender: Any,
        weak: bool,
        priority: int = ...,
        condition: Callable[..., object] | None = ...,
        /,
        *,
        with_event: bool = ...,
        **options: Unpack[Flags],
    ) -> Callable[[HandlerT], HandlerT]: ...


def handles(
    evt: Any,
    sender: Any = ANY,
    weak: bool = True,
    priority: int = 0,
    condition: Callable[..., object] | None = None,
    *,
    once: bool = False,
    with_event: bool = False,
    thread: bool = False,
    replay: bool = False,
    via: Target | None = None,
    overlap: Overlap = "parallel",
    limit: int | None = None,
    timeout: float | None = None,
) -> Any:
    """Mark the decorated method as a handler, which `Namespace.attach` connects for each object.

    A method may have several marks. A method that overrides a marked one inherits the marks, unless it has its own,
    which replace them all. To remove a handler in a subclass, set it to `None` there.

    Args:
        evt: the event's name, a pattern of names, or the `Event`; or a list or tuple of these. Names belong to the
            namespace that the object is attached to.
        sender: call the handler for this sender only; `ANY` for all.
        weak: do not keep the object alive.
        priority: an int. Higher is called earlier.
        condition: called as `condition(sender, **kwargs)`. A false result skips the handler.
        once: disconnect the handler right before its first call.
        with_event: pass the emitted event as the keyword `event`.
        thread: in `emit_async`, run a sync handler in a thread.
        replay: when it is connected, first call it with the emissions that the event keeps: see `Event.replay`.
        via: deliver the calls to a `Mailbox`, an asyncio event loop or an executor, which runs them.
        overlap: what happens if an earlier call of an async handler still runs: see `Event.connect`.
        limit: how many calls of an async handler run at once; others wait.
        timeout: how many seconds an async handler may take.

    Returns:
        A decorator that returns the method. You can put it above or below `staticmethod` and `classmethod`.

    Raises:
        TypeError: if `evt` is neither a non-empty string nor an `Event`, an option has the wrong type, or the decorator
            gets something that is not a function or takes no attributes.
        ValueError: if the list is empty.

    Example:
        >>> from cyevents import Namespace, handles
        >>> shop = Namespace()
        >>> class Warehouse:
        ...     @handles("order.paid", priority=5)
        ...     @handles("order.returned")
        ...     def count(self, sender):
        ...         return f"counted {sender}"
        >>> warehouse = Warehouse()
        >>> _ = shop.attach(warehouse)
        >>> shop.emit("order.returned", "order 7")
        ['counted order 7']
    """
    targets = event_targets(evt)
    options = ConnectOptions(
        MISSING, sender, weak, priority, condition, once, with_event, thread, replay, via, overlap, limit, timeout
    )

    def mark(handler: Any) -> Any:
        if safe_isinstance(handler, type):
            raise TypeError(f"handles() marks a method, not the class {safe_repr(handler)}: put it above the method")
        if not callable(handler) and not safe_isinstance(handler, classmethod):
            raise TypeError(f"handles() marks a function, not {safe_repr(handler)}: put it right above the function")
        try:
            setattr(handler, _MARKS, (*_marks_of(handler), (targets, sender, options)))
        except (AttributeError, TypeError):
            text = (
                f"handles() cannot mark {safe_repr(handler)}, which takes no attributes: mark a function that calls it"
            )
            raise TypeError(text) from None
        return handler

    mark.__qualname__ = "handles(...)"  # in its `repr`, and in the errors of wrong calls
    return mark


def _marks_of(attribute: Any) -> tuple[Mark, ...]:
    """Return the marks of an attribute of a class, or of the function in it."""
    while attribute is not None and type(attribute) is not str:  # the most common ones that have none
        if type(attribute) is FunctionType:  # looking at its `__dict__` would make one
            marks: tuple[Mark, ...] = getattr(attribute, _MARKS, ())
            return marks
        names = _names_of(attribute)
        if _MARKS in names:
            return names[_MARKS]  # type: ignore[no-any-return]
        if safe_isinstance(attribute, staticmethod) or safe_isinstance(attribute, classmethod):
            attribute = attribute.__func__
        elif type(attribute) is property:
            attribute = attribute.fget
        elif type(attribute) is cached_property:
            attribute = attribute.func
        else:
            break
    return ()


def _names_of(owner: Any) -> dict[str, Any]:
    """Return the `__dict__` of an object; an empty one if it has none."""
    try:
        names = object.__getattribute__(owner, "__dict__")
    except Exception:
        return {}
    return names if type(names) is dict else {}


def attach(namespace: Namespace, owner: Any, frame: FrameType | None) -> Subscriptions:
    """Do what `Namespace.attach` does, for the caller in that frame."""
    handlers = list(_handlers_of(owner))
    for _, marks in handlers:
        for targets, _, _ in marks:
            namespace._check_declared(targets)
    connections = []
    for handler, marks in handlers:
        for targets, sender, options in marks:
            connections += [(event, handler, sender, options) for event in namespace._make_events(targets)]

    def result(made: list[tuple[Event[Any], list[Any], Any]]) -> Subscriptions:
        subscriptions = Subscriptions()
        for event, entries, _ in made:
            subscriptions.add(Subscription(event, None, entries[0]))
        if frame is not None and any(_is_method_of(handler, owner) for handler, _ in handlers):
            subscriptions._watch = _warn_if_it_dies(owner, frame)
        return subscriptions

    return connect_all(connections, frame, result)


def _handlers_of(owner: Any) -> Iterator[tuple[Any, tuple[Mark, ...]]]:
    """Iterate over the handlers of an object with their marks, in order of definition, those of base classes first."""
    names = dict(_names_of(owner))
    is_module = safe_isinstance(owner, ModuleType)
    classes = () if is_module else type(owner).__mro__[:-1]  # all but `object`
    spaces: list[Any] = [names] if is_module else [cls.__dict__ for cls in classes]
    marked: dict[str, None] = {}
    for space in reversed(spaces):
        marked.update({name: None for name, attribute in list(space.items()) if _marks_of(attribute)})
    if not marked:
        if safe_isinstance(owner, type):
            raise TypeError(f"attach() takes an object, and {safe_repr(owner)} is a class: attach an instance of it")
        where = "functions in it" if is_module else "methods of its class"
        raise TypeError(f"{safe_repr(owner)} has no handlers to attach: mark {where} with handles()")
    for name in marked:
        attributes = [space[name] for space in spaces if name in space]
        attribute = names.get(name, attributes[0])  # an attribute of the object hides that of its class
        marks: tuple[Mark, ...] = ()
        for each in attributes:
            marks = marks or _marks_of(each)
            if marks or each is None:
                break
        if attribute is None or not marks:
            continue
        if not callable(attribute) and not safe_isinstance(attribute, classmethod):
            raise TypeError(
                f"{name!r} of {safe_repr(owner)} cannot be a handler: it is {safe_repr(attribute)}, not a method."
                " Remove handles(), or set it to None in a subclass in which it should not be a handler"
            )
        yield (attribute if name in names else _bound(attribute, owner)), marks


def _bound(attribute: Any, owner: Any) -> Any:
    """Return what an attribute of a class is for an object: usually a bound method."""
    if type(attribute) is FunctionType:
        return MethodType(attribute, owner)
    get = getattr(type(attribute), "__get__", None)
    if get is None:
        return attribute
    handler = get(attribute, owner, type(owner))
    if method_parts(handler) is None and get(attribute, owner, type(owner)) is not handler:
        return MethodType(attribute, owner)  # it would be a new object each time, which nothing would hold
    return handler


def _is_method_of(handler: Any, owner: Any) -> bool:
    parts = method_parts(handler)
    return parts is not None and parts[0] is owner


def _warn_if_it_dies(owner: Any, frame: FrameType) -> Any:
    """Return a reference that warns if the attached object dies in the statement that has attached it."""
    code, instruction, thread, name = frame.f_code, frame.f_lasti, get_ident(), type(owner).__qualname__

    def on_dead(_: object, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_finalizing() or get_ident() != thread:
            return
        frame = sys._getframe().f_back
        while frame is not None and frame.f_globals.get("__package__") == __package__:
            frame = frame.f_back if is_returning(frame) else None
        if frame is not None and is_at_call(frame, code, instruction):
            text = f"the attached {name} object was garbage-collected at once, because nothing else refers to it: its"
            warn(f"{text} handlers will never be called. Keep a reference to it", frame)

    try:
        return weakref(owner, on_dead)
    except TypeError:  # all its handlers are held strongly
        return None
