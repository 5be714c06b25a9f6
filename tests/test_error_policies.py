"""Exceptions of handlers: the `on_error` policies of events and namespaces."""

import asyncio
import traceback

import pytest


@pytest.fixture
def event(ns):
    return ns.event("x")


class Stop(BaseException):
    pass


class Failing:
    """Handlers of every kind that raise, and one that does not."""

    def __init__(self):
        self.error = LookupError("what the handler raised")
        self.calls = []

    def function(self, sender, *args, **kwargs):
        raise self.error  # here

    def generator(self, sender, *args, **kwargs):
        yield "lost"
        raise self.error  # here

    def other(self, sender, *args, **kwargs):
        self.calls.append(sender)
        return "other"


class AsyncFailing(Failing):
    async def coroutine(self, sender, *args, **kwargs):
        await asyncio.sleep(0)
        raise self.error  # here

    async def at_once(self, sender, *args, **kwargs):
        raise self.error  # here

    async def async_generator(self, sender, *args, **kwargs):
        yield "lost"
        raise self.error  # here


SYNC = ["function", "generator"]
ASYNC = ["coroutine", "at_once", "async_generator"]
CASES = [("emit", kind) for kind in SYNC] + [("emit_async", kind) for kind in SYNC + ASYNC]


@pytest.fixture(params=CASES, ids=" of ".join)
def case(request, run):
    """Failing handlers, and a way to emit that passes their errors to the emitter."""
    way, kind = request.param
    owner = AsyncFailing()
    owner.failing = getattr(owner, kind)
    if way == "emit":
        owner.fire = lambda event, /, *args, **kwargs: event.emit(*args, **kwargs)
    else:
        owner.fire = lambda event, /, *args, **kwargs: run(event.emit_async(*args, **kwargs))
    yield owner
    del owner.failing, owner.fire


def assert_traceback_ends_in_handler(error):
    """Check that the traceback ends at the line of the handler that raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert (last.filename, last.line) == (__file__, "raise self.error  # here")
    assert last.name in SYNC + ASYNC


# Valid values of on_error


def make_event(api, **options):
    return api.Event("x", **options)


def make_namespace(api, **options):
    return api.Namespace(**options)


@pytest.fixture(params=[make_event, make_namespace], ids=["Event", "Namespace"])
def make(request):
    return request.param


@pytest.mark.parametrize("policy", [None, "raise", "group", print, lambda *args: None], ids=str)
def test_on_error_is_a_keyword_and_an_attribute(api, make, policy):
    assert make(api).on_error is None
    assert make(api, on_error=policy).on_error is policy
    something = make(api, on_error="group")
    something.on_error = policy
    assert something.on_error is policy


def test_on_error_is_keyword_only(api):
    with pytest.raises(TypeError):
        api.Event("x", "doc", "raise")
    with pytest.raises(TypeError):
        api.Namespace("raise")


async def coroutine_function(exception, handler, event, sender):
    pass


class AsyncCall:
    async def __call__(self, exception, handler, event, sender):
        pass


@pytest.mark.parametrize(
    ("policy", "error"),
    [
        (coroutine_function, TypeError),
        (AsyncCall(), TypeError),
        (5, TypeError),
        (False, TypeError),
        (b"raise", TypeError),
        ("ignore", ValueError),
        ("", ValueError),
        ("Raise", ValueError),
    ],
    ids=lambda value: getattr(value, "__name__", None) or repr(value)[:20],
)
def test_other_values_are_rejected(api, make, policy, error):
    with pytest.raises(error, match="on_error"):
        make(api, on_error=policy)
    something = make(api, on_error="group")
    with pytest.raises(error, match="on_error"):
        something.on_error = policy
    assert something.on_error == "group"


# Inheritance


@pytest.mark.parametrize(
    ("of_event", "of_namespace", "expected"),
    [
        (None, None, "raise"),
        (None, "raise", "raise"),
        (None, "group", "group"),
        (None, "callable", "callable"),
        ("raise", "group", "raise"),
        ("raise", "callable", "raise"),
        ("group", "raise", "group"),
        ("group", "callable", "group"),
        ("callable", "raise", "callable"),
        ("callable", "group", "callable"),
    ],
)
def test_event_inherits_from_its_namespace(api, case, target, ns, event, of_event, of_namespace, expected):
    got = []
    policies = {"callable": lambda *args: got.append(args)}
    target.connect(case.failing, priority=1)
    target.connect(case.other)
    event.on_error = policies.get(of_event, of_event)
    ns.on_error = policies.get(of_namespace, of_namespace)
    if expected == "raise":
        with pytest.raises(LookupError) as raised:
            case.fire(event, 1)
        assert raised.value is case.error
        assert case.calls == []
    elif expected == "group":
        with pytest.raises(ExceptionGroup) as raised:
            case.fire(event, 1)
        assert raised.value.exceptions == (case.error,)
        assert case.calls == [1]
    else:
        assert case.fire(event, 1) == ["other"]
        assert got == [(case.error, case.failing, event, 1)]


def test_event_without_namespace_raises(api, case):
    event = api.Event("x")
    event.connect(case.failing)
    with pytest.raises(LookupError):
        case.fire(event, 1)


def test_default_namespace_has_a_policy(api, case):
    got = []
    event = api.event("x")
    event.connect(case.failing)
    with pytest.raises(LookupError):
        case.fire(event, 1)
    api.default_namespace.on_error = lambda *args: got.append(args)
    assert case.fire(event, 1) == []
    assert len(got) == 1


# "raise"


def test_raise_propagates_the_exception_unchanged(case, event, target):
    target.connect(case.failing, priority=1)
    target.connect(case.other)
    with pytest.raises(LookupError) as raised:
        case.fire(event, 1)
    assert raised.value is case.error
    assert raised.value.__cause__ is raised.value.__context__ is None
    assert_traceback_ends_in_handler(raised.value)


def test_raise_skips_remaining_handlers(case, event, target):
    target.connect(case.failing)
    target.connect(case.other, priority=-1)
    with pytest.raises(LookupError):
        case.fire(event, 1)
    assert case.calls == []


def test_raise_skips_sync_handlers_of_equal_priority(event, target, fire):
    owner = Failing()
    target.connect(owner.function)
    target.connect(owner.other)
    with pytest.raises(LookupError):
        fire(event, 1)
    assert owner.calls == []


def test_raise_keeps_earlier_handlers(case, event, target):
    target.connect(case.other)
    target.connect(case.failing)
    with pytest.raises(LookupError):
        case.fire(event, 1)
    assert case.calls == [1]


def test_wrong_signature_is_an_exception_of_the_handler(event, fire):
    def handler(sender):
        pass

    event.connect(handler)
    with pytest.raises(TypeError, match="total"):
        fire(event, 1, total=2)
    got = []
    event.on_error = lambda *args: got.append(args)
    assert fire(event, 1, total=2) == []
    assert [(type(exception), rest) for exception, *rest in got] == [(TypeError, [handler, event, 1])]


# "group"


def failing_with(error):
    def handler(sender):
        raise error

    return handler


@pytest.mark.parametrize("count", [2, 3, 10])
def test_group_runs_all_and_raises_one_group(event, target, fire, count):
    event.on_error = "group"
    owner = Failing()
    errors = [ValueError(number) for number in range(count)]
    handlers = [failing_with(error) for error in errors]
    for priority, handler in enumerate(handlers):
        target.connect(handler, priority=-priority // 2)
    target.connect(owner.other, priority=-99)
    with pytest.raises(ExceptionGroup) as raised:
        fire(event, 1)
    assert type(raised.value) is ExceptionGroup
    assert raised.value.message == f"{count} handlers of 'x' failed"
    assert [exception.args for exception in raised.value.exceptions] == [error.args for error in errors]
    assert all(found is error for found, error in zip(raised.value.exceptions, errors, strict=True))
    assert owner.calls == [1]


def test_group_covers_all_kinds_in_dispatch_order(event, run):
    event.on_error = "group"
    owners = [AsyncFailing() for _ in range(10)]
    for number, (owner, kind) in enumerate(zip(owners, (SYNC + ASYNC) * 2, strict=True)):
        event.connect(getattr(owner, kind), priority=-(number // 4))
    with pytest.raises(ExceptionGroup) as raised:
        run(event.emit_async(1))
    assert raised.value.message == "10 handlers of 'x' failed"
    assert all(found is owner.error for found, owner in zip(raised.value.exceptions, owners, strict=True))


def test_single_error_is_a_group(case, event):
    event.on_error = "group"
    event.connect(case.failing)
    with pytest.raises(ExceptionGroup, match="^1 handlers? of 'x' failed") as raised:
        case.fire(event, 1)
    (error,) = raised.value.exceptions
    assert error is case.error
    assert_traceback_ends_in_handler(error)


def test_group_raised_by_a_handler_is_nested(event, fire):
    inner = ExceptionGroup("inner", [ValueError()])
    handler = failing_with(inner)
    event.on_error = "group"
    event.connect(handler)
    with pytest.raises(ExceptionGroup) as raised:
        fire(event, 1)
    assert raised.value.exceptions == (inner,)


def test_no_group_without_an_exception(event, fire):
    owner = Failing()
    event.on_error = "group"
    event.connect(owner.other)
    assert fire(event, 1) == ["other"]


# A callable


def test_callable_gets_each_exception_and_dispatch_goes_on(case, event, target):
    got = []

    def on_error(*args, **kwargs):
        got.append((args, kwargs))
        return False  # cancels nothing

    event.on_error = on_error
    again = failing_with(ValueError("again"))
    target.connect(case.failing, priority=2)
    target.connect(again, priority=1)
    target.connect(case.other)
    assert case.fire(event, "s", 1, a=2) == ["other"]
    (first, second) = got
    assert first == ((case.error, case.failing, event, "s"), {})
    assert second[0][1:] == (again, event, "s")
    assert_traceback_ends_in_handler(case.error)


def test_exception_of_the_callable_propagates(case, event, target):
    def on_error(exception, handler, event, sender):
        raise OSError("what on_error raised") from exception

    event.on_error = on_error
    target.connect(case.failing, priority=1)
    target.connect(case.other)
    with pytest.raises(OSError, match="what on_error raised") as raised:
        case.fire(event, 1)
    assert raised.value.__cause__ is case.error
    assert case.calls == []


def test_callable_may_reraise_the_exception(case, event):
    def on_error(exception, handler, event, sender):
        raise exception

    event.on_error = on_error
    event.connect(case.failing)
    with pytest.raises(LookupError) as raised:
        case.fire(event, 1)
    assert raised.value is case.error


def test_exception_is_handled_when_the_callable_returns(event, fire):
    owner = Failing()
    event.on_error = lambda *args: None
    event.connect(owner.function, priority=1)

    def handler(sender):
        import sys

        return [sys.exc_info()[1]]

    event.connect(handler)
    assert fire(event, 1) == [[None]]


def test_handler_may_change_the_callable(event, fire):
    got = []
    owner = Failing()

    def change(sender):
        event.on_error = lambda exception, *rest: got.append(exception)

    event.connect(change)
    event.connect(owner.function)
    assert fire(event, 1) == []
    assert got == [owner.error]


# BaseException


@pytest.mark.parametrize("policy", [None, "raise", "group", "callable"])
@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
def test_base_exception_skips_remaining_handlers(event, target, policy, error):
    got = []
    event.on_error = (lambda *args: got.append(args)) if policy == "callable" else policy
    owner = Failing()
    owner.error = error()
    target.connect(owner.function)
    target.connect(owner.other)
    with pytest.raises(error) as raised:
        event.emit(1)
    assert raised.value is owner.error
    assert got == owner.calls == []
    assert_traceback_ends_in_handler(raised.value)


@pytest.mark.parametrize("policy", [None, "raise", "group", "callable"])
@pytest.mark.parametrize("kind", SYNC + ASYNC)
def test_base_exception_propagates_from_emit_async(event, run, policy, kind):
    got = []
    event.on_error = (lambda *args: got.append(args)) if policy == "callable" else policy
    owner = AsyncFailing()
    owner.error = Stop()
    event.connect(getattr(owner, kind), priority=1)
    event.connect(owner.other)
    with pytest.raises(Stop) as raised:
        run(event.emit_async(1))
    assert raised.value is owner.error
    assert got == owner.calls == []


def test_base_exception_is_not_grouped(event, fire):
    owner, stop = Failing(), failing_with(Stop())
    event.on_error = "group"
    event.connect(owner.function, priority=1)
    event.connect(stop)
    event.connect(owner.other)
    with pytest.raises(Stop):
        fire(event, 1)
    assert owner.calls == []


# Afterwards


@pytest.mark.parametrize("policy", [None, "raise", "group", "callable"])
@pytest.mark.parametrize("error", [LookupError, Stop])
def test_event_is_usable_afterwards(case, event, target, policy, error):
    event.on_error = (lambda *args: None) if policy == "callable" else policy
    case.error = error()
    target.connect(case.failing, priority=1)
    target.connect(case.other)
    for _ in range(3):
        try:
            case.fire(event, 1)
        except BaseException as raised:
            assert raised is case.error or raised.exceptions == (case.error,)
        else:
            assert policy == "callable" and error is LookupError
    case.calls.clear()
    assert target.disconnect(case.failing)
    assert case.fire(event, 2) == ["other"]
    assert case.calls == [2]


def test_exception_keeps_nothing_of_its_emission(event, fire, collect):
    import weakref

    class Sender:
        pass

    owner, sender = Failing(), Sender()
    gone = weakref.ref(sender)
    event.connect(owner.function)
    with pytest.raises(LookupError):
        fire(event, sender)
    owner.error = None
    del sender
    collect()
    assert gone() is None
