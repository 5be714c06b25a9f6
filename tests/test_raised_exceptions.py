"""Handlers, conditions and `on_error` may raise anything at any place: the results and what remains afterwards."""

import asyncio
import contextlib
import gc
import logging
import os
import traceback
import weakref

import pytest

PACKAGE = f"{os.sep}cyevents{os.sep}"


class Base(BaseException):
    pass


ERRORS = {
    "KeyboardInterrupt": lambda: KeyboardInterrupt("given"),
    "SystemExit": lambda: SystemExit("given"),
    "GeneratorExit": lambda: GeneratorExit("given"),
    "StopIteration": lambda: StopIteration("given"),
    "StopAsyncIteration": lambda: StopAsyncIteration("given"),
    "RecursionError": lambda: RecursionError("given"),
    "MemoryError": lambda: MemoryError("given"),
    "ValueError": lambda: ValueError("given"),
    "ExceptionGroup": lambda: ExceptionGroup("given", [ValueError("inner")]),
    "BaseExceptionGroup": lambda: BaseExceptionGroup("given", [Base("inner")]),
    "CancelledError": lambda: asyncio.CancelledError("given"),
    "Base": lambda: Base("given"),
}
POLICIES = ["raise", "group", "callable"]


@pytest.fixture(params=ERRORS)
def make_error(request):
    return ERRORS[request.param]


def emit(ns, event, *args, **kwargs):
    return event.emit(*args, **kwargs)


def emit_by_name(ns, event, *args, **kwargs):
    return ns.emit(event.name, *args, **kwargs)


def emit_async(ns, event, *args, **kwargs):
    """Step the emission by hand in a loop that KeyboardInterrupt does not stop."""
    caught = []

    async def main():
        try:
            return await event.emit_async(*args, **kwargs)
        except BaseException as error:
            caught.append(error)

    result = asyncio.run(main())
    if caught:
        try:
            raise caught[0]
        finally:
            caught.clear()
    return result


WAYS = [emit, emit_by_name, emit_async]


class Sender:
    pass


class Owner:
    """Handlers that raise what `make` returns if it is set, and otherwise return "well"."""

    def __init__(self, make):
        self.make = make
        self.raised = []

    def end(self):
        if self.make is not None:
            error = self.make()
            self.raised.append(error)
            raise error  # here
        return "well"

    def function(self, sender, *args, **kwargs):
        return self.end()

    def generator(self, sender, *args, **kwargs):
        yield "first"
        yield self.end()

    def condition(self, sender, **kwargs):
        return self.end()

    async def at_once(self, sender, *args, **kwargs):
        return self.end()

    async def suspended(self, sender, *args, **kwargs):
        await asyncio.sleep(0)
        return self.end()

    async def async_generator(self, sender, *args, **kwargs):
        yield "first"
        await asyncio.sleep(0)
        yield self.end()


def as_raised(kind, error):
    """Return what Python's own rules, not this library's, make of an exception."""
    if kind == "generator" and isinstance(error, StopIteration):
        return RuntimeError  # PEP 479
    if kind in ("at_once", "suspended") and isinstance(error, StopIteration):
        return RuntimeError
    if kind == "async_generator" and isinstance(error, StopIteration | StopAsyncIteration):
        return RuntimeError
    return type(error)


def leads_to_the_line(error, leaf):
    """Return whether a traceback ends at the line that raised, with each frame of this file once."""
    frames = traceback.extract_tb(error.__traceback__)
    names = [frame.name for frame in frames if frame.filename == __file__]
    return frames[-1].line == "raise error  # here" and names[-2:] == [leaf, "end"] and names.count(leaf) == 1


def library_functions(error):
    """Return the library's functions in a traceback."""
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [code.co_qualname for code in codes if PACKAGE in code.co_filename or code.co_filename.endswith(".pyx")]


def assert_dead(references):
    """Assert that only the garbage collector still finds the objects."""
    if any(reference() is not None for reference in references):
        gc.collect()
    assert [reference() for reference in references] == [None] * len(references)


# Handlers at each position

PLACES = {
    "first": {},
    "by priority": {"priority": 7},
    "last": {"priority": -7},
    "for sender": {"sender": True},
    "once": {"once": True},
    "wildcard": {"pattern": True},
    "with_event": {"with_event": True},
    "strong": {"weak": False},
    "conditional": {"condition": lambda sender, **kwargs: True},
    "thread": {"thread": True},
}


def connect(ns, event, handler, sender, place):
    options = dict(PLACES[place])
    target = ns.event("x*") if options.pop("pattern", False) else event
    if options.pop("sender", False):
        options["sender"] = sender
    target.connect(handler, **options)
    return target


FULL = os.environ.get("CYEVENTS_FAULTS") == "full"  # every error at every position
CASES = [
    (place, error)
    for place in PLACES
    for error in ERRORS
    if FULL or place == "first" or error in ("Base", "MemoryError")
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("place", "error"), CASES)
@pytest.mark.parametrize("kind", ["function", "generator"])
def test_handler_may_raise_anything_anywhere(api, ns, way, policy, place, kind, error):
    make_error = ERRORS[error]
    event, sender, owner = ns.event("x"), Sender(), Owner(make_error)
    got = []
    event.on_error = (lambda *args: got.append(args)) if policy == "callable" else policy
    before, after = (lambda sender, **kwargs: "before"), (lambda sender, **kwargs: "after")
    event.connect(before, priority=9)
    handler = getattr(owner, kind)
    connect(ns, event, handler, sender, place)
    event.connect(after, priority=-9)
    rows = len(event.handlers)
    expected = as_raised(kind, make_error())
    if way is emit_async and issubclass(expected, StopIteration) and (policy == "raise" or place == "thread"):
        expected = RuntimeError  # no coroutine can raise it
    caught = None
    try:
        results = way(ns, event, sender)
    except BaseException as error:
        caught = error
    if not issubclass(expected, Exception) or policy == "raise":
        assert type(caught) is expected
        assert got == []
        raised = caught
    elif policy == "group":
        assert (type(caught), caught.message) == (ExceptionGroup, "1 handlers of 'x' failed")
        (raised,) = caught.exceptions
    else:
        assert results == ["before", "after"]
        ((raised, of_handler, of_event, of_sender),) = got
        assert (of_handler, of_event, of_sender) == (handler, event, sender)
    assert type(raised) is expected
    if expected is type(owner.raised[0]):
        assert raised is owner.raised[0]
        assert raised.__context__ is None
        assert raised.__cause__ is None
        assert not raised.__suppress_context__
        assert leads_to_the_line(raised, kind)
    frames = library_functions(raised)
    assert len(frames) == len(set(frames)), "a frame is there twice"

    # The tables are unchanged, and the next emission is right.
    assert len(event.handlers) == rows - (place == "once")
    owner.make = None
    value = "well" if kind == "function" else ["first", "well"]
    assert way(ns, event, sender) == ["before", *([] if place == "once" else [value]), "after"]

    # Nothing is kept of it.
    if place == "strong":
        assert event.disconnect(handler)
    gone = [weakref.ref(thing) for thing in (sender, owner)]
    caught = raised = results = of_handler = of_event = of_sender = handler = sender = None
    owner.raised.clear()
    got.clear()
    owner = None
    assert_dead(gone)
    assert len(event.handlers) == 2


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", ["at_once", "suspended", "async_generator"])
def test_async_handler_may_raise_anything(api, ns, policy, kind, make_error):
    event, owner = ns.event("x"), Owner(make_error)
    got = []
    event.on_error = (lambda *args: got.append(args)) if policy == "callable" else policy
    event.connect(getattr(owner, kind))
    expected = as_raised(kind, make_error())
    caught = None
    try:
        results = emit_async(ns, event, 1)
    except BaseException as error:
        caught = error
    if not issubclass(expected, Exception) or policy == "raise":
        raised = caught
    elif policy == "group":
        (raised,) = caught.exceptions
    else:
        assert results == []
        raised = got[0][0]
    assert type(raised) is expected
    if isinstance(raised, asyncio.CancelledError):
        assert leads_to_the_line(owner.raised[0], kind)
    elif expected is type(owner.raised[0]):
        assert raised is owner.raised[0]
        assert leads_to_the_line(raised, kind)
    owner.make = None
    value = ["first", "well"] if kind == "async_generator" else "well"
    assert emit_async(ns, event, 1) == [value]
    gone = weakref.ref(owner)
    caught = raised = None
    got.clear()
    owner.raised.clear()
    del owner
    assert_dead([gone])
    assert event.handlers == []


# Conditions and on_error


@pytest.fixture
def logged(monkeypatch):
    """Return what is logged, without the parts that would keep the exceptions alive."""
    messages = []
    logger = logging.getLogger("cyevents")
    monkeypatch.setattr(logger, "filters", [lambda record: messages.append(record.msg)])
    return messages


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("once", [False, True])
def test_condition_may_raise_anything(api, ns, way, policy, once, make_error, logged):
    event, owner = ns.event("x"), Owner(make_error)
    got = []
    event.on_error = (lambda *args: got.append(args)) if policy == "callable" else policy

    def handler(sender, **kwargs):
        return "called"

    event.connect(handler, condition=owner.condition, once=once)
    expected = type(make_error())
    if issubclass(expected, Exception):
        assert way(ns, event, 1) == []
        assert [args[0] for args in got] == (owner.raised if policy == "callable" else [])
        assert logged == ["condition of handler %s of event %r raised: handler skipped"] * (policy != "callable")
    else:
        with pytest.raises(expected) as raised:
            way(ns, event, 1)
        assert raised.value is owner.raised[0]
        assert raised.value.__context__ is None
        assert leads_to_the_line(raised.value, "condition")
    owner.make = None
    assert way(ns, event, 1) == ["called"]  # not consumed either
    gone = weakref.ref(owner)
    raised = None
    got.clear()
    owner.raised.clear()
    event.clear()
    del owner
    assert_dead([gone])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("place", ["handler", "condition", "generator"])
def test_on_error_may_raise_anything(api, ns, way, place, make_error):
    event, owner, first = ns.event("x"), Owner(make_error), LookupError("first")

    def on_error(exception, handler, event, sender):
        owner.end()

    def fail(sender, **kwargs):
        raise first

    def fail_late(sender, **kwargs):
        yield 1
        raise first

    def handler(sender, **kwargs):
        return "called"

    event.on_error = on_error
    if place == "condition":
        event.connect(handler, condition=fail)
    else:
        event.connect(fail if place == "handler" else fail_late)
    if way is emit_async and isinstance(make_error(), StopIteration):
        pytest.skip("no coroutine can raise it")
    with pytest.raises(type(make_error())) as raised:
        way(ns, event, 1)
    assert raised.value is owner.raised[0]
    assert raised.value.__context__ is first
    assert leads_to_the_line(raised.value, "on_error")
    event.on_error = None
    event.clear()
    event.connect(handler)
    assert way(ns, event, 1) == ["called"]


@pytest.mark.parametrize("way", WAYS)
def test_exception_keeps_its_context(ns, way, make_error):
    event, owner, first = ns.event("x"), Owner(make_error), LookupError("first")
    event.connect(owner.function)
    try:
        raise first
    except LookupError:
        with contextlib.suppress(BaseException):
            way(ns, event, 1)
    (error,) = owner.raised
    assert error.__context__ is first
    assert first.__context__ is None


@pytest.mark.parametrize("way", WAYS)
def test_exception_in_a_finalizer_is_only_reported(ns, way, make_error, monkeypatch):
    reported = []
    monkeypatch.setattr("sys.unraisablehook", lambda report: reported.append(report.exc_type))
    owner = Owner(make_error)

    class Final:
        def __del__(self):
            owner.end()

        def __call__(self, sender):
            return "final"

    event = ns.event("x")
    event.connect(Final(), weak=False, once=True)
    event.connect(well := lambda sender: "well")
    assert way(ns, event, 1) == ["final", "well"]
    gc.collect()
    assert way(ns, event, 1) == ["well"]
    assert reported == [type(make_error())]
    assert well


# Several errors at once


@pytest.mark.parametrize("way", WAYS)
def test_exceptions_in_a_group_are_independent(ns, way):
    event, owners = ns.event("x"), [Owner(make) for make in ERRORS.values()]
    event.on_error = "group"
    owners = [owner for owner in owners if isinstance(owner.make(), Exception)]
    for owner in owners:
        event.connect(owner.function)
    with pytest.raises(ExceptionGroup) as raised:
        way(ns, event, 1)
    assert list(raised.value.exceptions) == [owner.raised[0] for owner in owners]
    for error in raised.value.exceptions:
        assert error.__context__ is None
        assert leads_to_the_line(error, "function")
        assert len(library_functions(error)) == len(set(library_functions(error)))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("way", WAYS)
def test_reraised_exception_grows_only_by_its_own_frames(ns, way, policy):
    """Each emission adds to one object's traceback what a list of calls would add."""
    event, error = ns.event("x"), ValueError("the same")

    def handler(sender):
        raise error

    event.connect(handler)
    event.on_error = (lambda *args: None) if policy == "callable" else policy
    for _ in range(3):
        error.__traceback__ = None
        with contextlib.suppress(Exception):
            way(ns, event, 1)
        frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        assert frames.count("handler") == 1
