"""Invalid arguments are rejected at once, with a clear text, before anything changes."""

import asyncio
import enum
import functools
import re
from decimal import Decimal

import pytest


async def coroutine_function(*args, **kwargs):
    return True


async def async_generator_function(*args, **kwargs):
    yield True


class AsyncCallable:
    async def __call__(self, *args, **kwargs):
        return True

    async def method(self, *args, **kwargs):
        return True


ASYNC = [
    coroutine_function,
    async_generator_function,
    functools.partial(coroutine_function, a=1),
    AsyncCallable(),
    AsyncCallable().method,
    functools.partial(AsyncCallable()),
]
NOT_CALLABLE = [None, 5, "handler", [], object()]
BAD_PRIORITIES = ["3", 1.0, None, Decimal(1), [1], object()]
PATTERNS = ["user.*", "*", "user.?", "!user"]
WAYS = ["connect", "subscribe", "connected_to", "on"]


@pytest.fixture
def evt(ns):
    """Return the event "x" of `ns` with one handler, and check at the end that it did not change."""

    @ns.on("x", priority=2)
    def handler(sender, *args, **kwargs):
        return sender, args, kwargs

    evt = ns.event("x", "doc")
    yield evt
    assert dict(ns) == {"x": evt}
    assert [(connection.handler, connection.priority) for connection in evt.handlers] == [(handler, 2)]
    assert evt.emit("me", 1, a=2) == ns.emit("x", "me", 1, a=2) == [("me", (1,), {"a": 2})]
    assert (evt.__doc__, evt.on_error, ns.on_error) == ("doc", None, None)


def connect(ns, way, handler, **options):
    """Connect to "x" in each possible way."""
    evt = ns["x"]
    if way == "on":
        ns.on("x", **options)(handler)
    elif way == "connected_to":
        with evt.connected_to(handler, **options):
            pass
    else:
        getattr(evt, way)(handler, **options)


def handler(sender, **kwargs):
    return "never connected"


# Handlers


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("given", NOT_CALLABLE)
def test_handler_must_be_callable(ns, evt, way, given):
    with pytest.raises(TypeError, match="handler must be callable.*" + re.escape(repr(given))):
        connect(ns, way, given)
    with pytest.raises(TypeError, match="handler must be callable"):
        connect(ns, way, given, weak=False)


@pytest.mark.parametrize("way", WAYS)
def test_handler_without_weak_references(ns, evt, way):
    class Slotted:
        __slots__ = ()

        def __call__(self, sender):
            pass

        def method(self, sender):
            pass

    slotted = Slotted()
    for given in ([].append, {}.update, slotted, slotted.method, "text".join):
        with pytest.raises(TypeError, match="cannot be held weakly: .*weak=False") as caught:
            connect(ns, way, given)
        assert repr(given) in str(caught.value)


def test_handler_without_weak_references_for_a_sender(ns, evt):
    for sender in ("s", 5, object(), AsyncCallable()):
        with pytest.raises(TypeError, match="weak=False"):
            evt.connect([].append, sender=sender)


def test_handler_without_weak_references_on_a_pattern(ns, evt):
    with pytest.raises(TypeError, match="weak=False"):
        ns.event("x*").connect([].append)


def test_weak_false_accepts_any_handler(ns, evt):
    seen = []
    evt.connect(seen.append, weak=False)
    evt.emit(1)
    assert seen == [1]
    assert evt.disconnect(seen.append)


@pytest.mark.parametrize("given", NOT_CALLABLE)
def test_only_handlers_can_be_muted(evt, given):
    with pytest.raises(TypeError, match="handler must be callable.*" + re.escape(repr(given))):
        evt.muted(given).__enter__()


def test_callable_with_every_attribute_is_valid(ns, evt):
    class Proxy:  # such as a remote procedure call proxy
        def __getattr__(self, name):
            return Proxy()

        def __call__(self, *args, **kwargs):
            return "called"

    proxy = Proxy()
    evt.connect(proxy, priority=3, condition=proxy, thread=True)
    assert evt.handlers[0].kind == "sync"
    assert evt.emit()[0] == "called"
    evt.on_error = proxy
    evt.on_error = None
    assert evt.disconnect(proxy)


# Priorities


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("given", BAD_PRIORITIES)
def test_priority_must_be_an_int(ns, evt, way, given):
    with pytest.raises(TypeError, match="priority must be an int.*" + re.escape(repr(given))):
        connect(ns, way, handler, priority=given)
    with pytest.raises(TypeError, match="priority must be an int"):
        connect(ns, way, handler, priority=given, condition=bool)


def test_priority_with_index_method_is_not_an_int(evt):
    class Index:
        def __index__(self):
            return 1

    with pytest.raises(TypeError, match="priority must be an int"):
        evt.connect(handler, priority=Index())


@pytest.mark.parametrize("given", BAD_PRIORITIES)
def test_on_with_invalid_priority_creates_no_event(ns, evt, given):
    with pytest.raises(TypeError, match="priority must be an int"):
        ns.on("new", priority=given)
    with pytest.raises(TypeError, match="priority must be an int"):
        ns.on("*", priority=given)


def test_priority_may_be_any_int(ns):
    class Level(enum.IntEnum):
        HIGH = 10**30

    made = {}
    for priority in (0, -(10**40), 10**40, Level.HIGH, 2**63, -(2**63) - 1):
        made[priority] = ns.on("x", weak=False, priority=priority)(lambda sender, p=priority: p)
    assert ns.emit("x") == sorted(made, reverse=True)


# Conditions


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("given", [5, "condition", False, []])
def test_condition_must_be_callable(ns, evt, way, given):
    with pytest.raises(TypeError, match="condition must be callable.*" + re.escape(repr(given))):
        connect(ns, way, handler, condition=given)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("given", ASYNC, ids=repr)
def test_condition_must_not_be_async(ns, evt, way, given):
    with pytest.raises(TypeError, match="condition .*coroutine function.*must"):
        connect(ns, way, handler, condition=given)


@pytest.mark.parametrize("given", [5, coroutine_function])
def test_on_with_invalid_condition_creates_no_event(ns, evt, given):
    for name in ("new", "*"):
        with pytest.raises(TypeError, match="condition"):
            ns.on(name, condition=given)


def test_invalid_option_keeps_the_old_connection(ns):
    @ns.on("x", priority=1)
    def connected(sender):
        return "called"

    evt = ns["x"]
    for options in ({"priority": "5"}, {"condition": 5}, {"condition": coroutine_function}):
        with pytest.raises(TypeError):
            evt.connect(connected, **options)
    assert [(connection.priority, connection.condition) for connection in evt.handlers] == [(1, None)]
    assert evt.emit() == ["called"]


@pytest.mark.parametrize("option", ["unknown", "receiver_"])
def test_unknown_option_is_rejected(ns, evt, option):
    for way in WAYS:
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{option}'"):
            connect(ns, way, handler, **{option: 1})


# Events


@pytest.mark.parametrize("given", [None, 5, b"x", "", {"x"}, object()])
def test_event_argument_is_a_name_or_an_event(ns, evt, given):
    for function in (ns.emit, ns.emit_async, ns.on, ns.connect):
        with pytest.raises(TypeError, match="non-empty str.*Event.*" + re.escape(repr(given))):
            function(given, evt.emit)
    for several in ([given], ("x", given)):
        for function in (ns.on, ns.connect):
            with pytest.raises(TypeError, match="non-empty str.*Event.*" + re.escape(repr(given))):
                function(several, evt.emit)
    with pytest.raises(TypeError, match="non-empty str.*" + re.escape(repr(given))):
        ns.event(given)


def test_only_one_event_is_emitted_at_a_time(ns, evt):
    for function in (ns.emit, ns.emit_async):
        with pytest.raises(TypeError, match=r"non-empty str.*Event, not as \['x'\]"):
            function(["x"])


def test_emit_async_raises_when_called_in_a_loop_too(ns, evt, run):
    async def main():
        with pytest.raises(TypeError, match="non-empty str"):
            ns.emit_async(5)
        with pytest.raises(ValueError, match="pattern"):
            ns.emit_async("user.*")

    run(main())


def test_invalid_event_and_option_create_no_event(ns, evt):
    with pytest.raises(TypeError):
        ns.on(5, priority="5")


# Patterns


@pytest.mark.parametrize("made", [False, True])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_pattern_cannot_be_emitted(ns, evt, pattern, made):
    if made:
        ns.event(pattern)
    for function in (ns.emit, ns.emit_async):
        with pytest.raises(ValueError, match=re.escape(repr(pattern)) + " is a pattern .*cannot be emitted.*own name"):
            function(pattern, 1, 2, a=3)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_event_of_a_pattern_cannot_be_emitted(api, ns, evt, pattern):
    wild = ns.event(pattern)
    for function in (
        wild.emit,
        wild.emit_async,
        functools.partial(ns.emit, wild),
        functools.partial(ns.emit_async, wild),
        functools.partial(api.emit, wild),
        functools.partial(api.emit_async, wild),
    ):
        with pytest.raises(ValueError, match=re.escape(repr(pattern)) + ".*cannot be emitted"):
            function("me", 1, a=2)


def test_rejected_pattern_calls_no_handler(ns):
    calls = []
    ns.on("x*", weak=False)(lambda sender: calls.append(sender))
    ns.event("x")
    with pytest.raises(ValueError):
        ns.emit("x*")
    assert calls == []
    ns.emit("x", 1)
    assert calls == [1]


@pytest.mark.parametrize("way", ["emit", "send"])
@pytest.mark.parametrize("args", [(), (1,)])
def test_unbound_event_emit_needs_an_event(api, way, args):
    with pytest.raises(TypeError) as caught:
        getattr(api.Event, way)(object(), *args)
    assert str(caught.value) == f"descriptor '{way}' for 'Event' objects doesn't apply to a 'object' object"


@pytest.mark.parametrize("way", ["connect", "disconnect"])
@pytest.mark.parametrize("wrong", [object(), None, {}])
def test_unbound_connect_needs_an_event(api, way, wrong):
    with pytest.raises(TypeError, match=f"descriptor '{way}' for 'Event' objects doesn't apply to a '"):
        getattr(api.Event, way)(wrong, print)


@pytest.mark.parametrize("wrong", [object(), None, {}])
def test_unbound_namespace_emit_needs_a_namespace(api, wrong):
    with pytest.raises(TypeError, match="descriptor 'emit' for 'Namespace' objects doesn't apply to a '"):
        api.Namespace.emit(wrong, "x")


def test_unbound_namespace_emit_rejects_a_dict(api):
    with pytest.raises(TypeError):
        api.Namespace.emit({"x": api.Event("x")}, "x")


@pytest.mark.parametrize("way", ["emit", "send"])
def test_attribute_error_of_a_handler_is_unchanged(api, way):
    event = api.Event("x")
    event.connect(lambda sender: sender.missing, weak=False)
    with pytest.raises(AttributeError, match="missing"):
        getattr(event, way)(object())


@pytest.mark.parametrize("pattern", PATTERNS)
def test_event_without_namespace_cannot_be_a_pattern(api, ns, evt, pattern):
    with pytest.raises(ValueError, match=re.escape(repr(pattern)) + " is a pattern.*namespace"):
        api.Event(pattern)


@pytest.mark.parametrize("given", [None, 5, b"x"])
def test_patterns_and_names_to_match_are_strings(api, ns, evt, given):
    for function in (ns.filter, api.filter_signals, lambda pattern: api.match(pattern, "x")):
        with pytest.raises(TypeError, match="pattern must be a str.*" + re.escape(repr(given))):
            function(given)
    with pytest.raises(TypeError, match="name must be a str.*" + re.escape(repr(given))):
        api.match("x", given)


# Error policies


@pytest.mark.parametrize("given", ["bogus", "", "RAISE"])
def test_on_error_rejects_unknown_words(api, ns, evt, given):
    bad_policy(api, ns, evt, given, ValueError, 'on_error must be None, "raise", "group" or a callable.*' + repr(given))


@pytest.mark.parametrize("given", [5, True, [], b"raise"])
def test_on_error_rejects_other_types(api, ns, evt, given):
    pattern = 'on_error must be None, "raise", "group" or a callable.*' + re.escape(repr(given))
    bad_policy(api, ns, evt, given, TypeError, pattern)


@pytest.mark.parametrize("given", ASYNC, ids=repr)
def test_on_error_must_not_be_async(api, ns, evt, given):
    bad_policy(api, ns, evt, given, TypeError, "on_error .*coroutine function.*must")


def bad_policy(api, ns, evt, given, error, pattern):
    for make in (lambda: api.Event("y", on_error=given), lambda: api.Namespace(on_error=given)):
        with pytest.raises(error, match=pattern):
            make()
    for owner in (evt, ns):
        with pytest.raises(error, match=pattern):
            owner.on_error = given


def test_invalid_policy_keeps_the_old_one(api):
    owner = api.Namespace(on_error="group")
    evt = api.Event("x", on_error="raise")
    for each, former in ((owner, "group"), (evt, "raise")):
        with pytest.raises(ValueError):
            each.on_error = "bogus"
        with pytest.raises(TypeError):
            each.on_error = 5
        assert each.on_error == former


# Loops


@pytest.mark.parametrize("given", [5, "loop", object(), asyncio.new_event_loop, asyncio])
def test_use_loop_takes_a_loop_or_none(api, ns, evt, given):
    with pytest.raises(TypeError, match="use_loop takes .*event loop or None, not " + re.escape(repr(given))):
        api.use_loop(given)
    calls = []

    @ns.on("other")
    async def scheduled(sender):
        calls.append(sender)

    ns.emit("other", 1)
    assert api.drain(10)
    assert calls == [1]
    del ns["other"]


def test_invalid_loop_keeps_the_old_one(api, ns):
    loops = []

    @ns.on("x")
    async def scheduled(sender):
        loops.append(asyncio.get_running_loop())

    loop = asyncio.new_event_loop()
    try:
        api.use_loop(loop)
        with pytest.raises(TypeError, match="use_loop"):
            api.use_loop(5)
        ns.emit("x")
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(api.drain_async(10))
        assert loops == [loop]
    finally:
        api.use_loop(None)
        loop.close()
