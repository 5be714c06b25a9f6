"""Objects whose every operation raises, as handlers, conditions, senders, names, results and options."""

import logging
import sys
from types import MethodType

import pytest


class Hostility(Exception):
    """The exception of hostile objects, which must never reach the user."""


def refuse(*args, **kwargs):
    raise Hostility


ASKED = """__getattribute__ __repr__ __str__ __format__ __hash__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __bool__
 __len__ __iter__ __contains__ __getitem__ __index__ __int__ __dir__ __reduce_ex__ __instancecheck__""".split()


class Hostile:
    """Can be called; every other access raises, including its class and truth value."""

    def __call__(self, sender, *args, **kwargs):
        return "called"


class HostileAsync(Hostile):
    async def __call__(self, sender, *args, **kwargs):
        raise ValueError("of the handler")


class HostileStr(str):
    """A str whose methods raise."""

    __slots__ = ()


class HostileMeta(type):
    """The metaclass of classes that cannot be hashed or compared."""

    __hash__ = __eq__ = refuse


class HostileResult(metaclass=HostileMeta):
    pass


for _name in ASKED:
    setattr(Hostile, _name, refuse)
    if _name not in ("__getattribute__", "__format__"):  # needed by pytest to show parameters
        setattr(HostileStr, _name, refuse)


def name_of(hostile):
    """Return the name that error texts use for an object whose repr fails."""
    return object.__repr__(hostile)


def is_one(found, *expected):
    """Return whether the objects are identical, without comparing them."""
    return len(found) == len(expected) and all(map(lambda a, b: a is b, found, expected))


@pytest.fixture
def hostile():
    return Hostile()


@pytest.fixture
def event(api):
    return api.Event("x")


def test_hostile_objects_fail_at_everything(hostile):
    for ask in (repr, str, hash, bool, len, lambda it: it == it, lambda it: isinstance(it, int), lambda it: it.x):
        with pytest.raises(Hostility):
            ask(hostile)
    for ask in (repr, hash, bool, lambda it: it == "x", lambda it: "*" in it, lambda it: it[:1]):
        with pytest.raises(Hostility):
            ask(HostileStr("x"))


# Handlers


@pytest.mark.parametrize("options", [{}, {"weak": False}, {"once": True}, {"thread": True}, {"priority": 3}], ids=str)
@pytest.mark.parametrize("way", ["connect", "on", "subscribe", "connected_to"])
def test_hostile_handler_lifecycle(api, ns, hostile, way, options):
    event = ns.event("x")
    if way == "on":
        ns.on("x", **options)(hostile)
    elif way == "connected_to":
        connected = event.connected_to(hostile, **options)
        connected.__enter__()
    else:
        subscription = getattr(event, way)(hostile, **options)
    (connection,) = event.handlers
    assert connection.handler is hostile
    assert connection.kind == "sync"
    assert name_of(hostile) in repr(connection)
    with event.muted(hostile):
        assert event.emit(1) == []
    assert event.emit(1) == ["called"]
    if way == "connected_to":
        connected.__exit__(None, None, None)
    elif way == "subscribe":
        assert name_of(hostile) in repr(subscription)
        assert subscription.cancel() is not options.get("once", False)
    else:
        assert event.disconnect(hostile) is not options.get("once", False)
    assert event.handlers == []


def test_hostile_handlers_are_distinguished(event):
    one, other = Hostile(), Hostile()
    for handler in (one, other, one):
        event.connect(handler)
    assert is_one([it.handler for it in event.handlers], other, one)
    pairs = event.send("s")
    assert is_one([handler for handler, _ in pairs], other, one)


def test_method_of_a_hostile_object(event, hostile):
    method = MethodType(lambda owner, sender: owner is hostile, hostile)
    event.connect(method)
    assert event.emit(1) == [True]
    assert event.disconnect(method)


def test_hostile_handler_without_weak_references(event):
    class Hostiles(tuple):
        __slots__ = ()
        __call__ = Hostile.__call__
        __repr__ = refuse

    given = Hostiles()
    with pytest.raises(TypeError, match="cannot be held weakly: connect it with weak=False") as caught:
        event.connect(given)
    assert str(caught.value).startswith(name_of(given))
    assert event.handlers == []
    event.connect(given, weak=False)
    assert event.emit(1) == ["called"]


class Proxy:
    """A transparent proxy, as wrapt and werkzeug have: it imitates its target, including its class."""

    __slots__ = ("target",)

    def __init__(self, target):
        object.__setattr__(self, "target", target)

    def __getattribute__(self, name):
        return getattr(object.__getattribute__(self, "target"), name)

    def __call__(self, *args, **kwargs):
        return object.__getattribute__(self, "target")(*args, **kwargs)

    def __repr__(self):
        return repr(object.__getattribute__(self, "target"))


def test_proxy_without_weak_references_is_named(event):
    def target(sender):
        return "called"

    proxy = Proxy(target)
    assert proxy.__class__ is type(target)
    assert repr(proxy) == repr(target)
    with pytest.raises(TypeError) as caught:
        event.connect(proxy)
    assert str(caught.value) == (
        f"{object.__repr__(proxy)}, a proxy of {target!r}, cannot be held weakly: connect it with weak=False, and"
        " disconnect it when done"
    )
    assert "Proxy object at" in str(caught.value)
    event.connect(proxy, weak=False)
    assert event.emit(1) == ["called"]


def test_hostile_async_handler(api, event, caplog, run):
    hostile = HostileAsync()
    event.connect(hostile)
    assert event.handlers[0].kind == "async"

    async def main():
        event.emit(1)
        assert await api.drain_async(10)
        with pytest.raises(ValueError, match="of the handler"):
            await event.emit_async(1)

    for emit in (lambda: run(main()), lambda: event.emit(1)):  # in the running loop and in the background loop
        caplog.clear()
        emit()
        assert api.drain(10)
        (record,) = caplog.records
        assert record.getMessage().splitlines()[0] == f"handler {name_of(hostile)} of event 'x' failed"


def test_hostile_canceller_is_reported(api, event):
    class Refuses(Hostile):
        def __call__(self, sender):
            return False

    refuses = Refuses()
    event.connect(refuses)
    results = event.emit(1)
    assert results.handler is refuses
    assert repr(results) == f"Cancelled([], by {name_of(refuses)})"


def test_hostile_handler_that_dies(event, caplog, collect):
    hostile = Hostile()
    event.connect(hostile)
    name, hostile = name_of(hostile), None
    collect()
    caplog.set_level(logging.DEBUG, "cyevents")
    assert event.emit(1) == []
    assert [record.getMessage() for record in caplog.records] == [f"handler {name} of event 'x' was garbage-collected"]


@pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="functions die only at a collection")
def test_hostile_handler_that_dies_at_once(event):
    with pytest.warns(RuntimeWarning, match="handler <.*Hostile object at .*> of event 'x' was garbage-collected"):
        event.connect(Hostile())


def test_hostile_handler_with_signature_check(api, ns, hostile):
    event = ns.event("x", signature=lambda sender, *, key: None, check=True)
    event.connect(hostile, condition=hostile)
    assert is_one([it.handler for it in event.handlers], hostile)

    def bad(sender, wrong=Hostile()):
        """Its default has no working repr."""

    with pytest.raises(TypeError, match=r"handler .*bad\(\.\.\.\) cannot take"):
        event.connect(bad)


def test_hostile_handler_is_described(api, ns, hostile):
    ns.event("x").connect(hostile, hostile, condition=hostile)
    (node,) = api.describe(ns).events
    assert node.handlers[0].handler.name == "Hostile object"
    assert "Hostile object" in str(api.describe(ns))


@pytest.mark.parametrize("name", ["__qualname__", "__code__", "__class__", "__dict__", "func", "__name__"])
def test_handler_that_fails_at_one_attribute(event, name):
    class Proxy:
        """As with a proxy whose target cannot be reached."""

        def __getattribute__(self, asked):
            if asked == name:
                raise Hostility
            return object.__getattribute__(self, asked)

        def __call__(self, sender):
            return "called"

    proxy = Proxy()
    event.connect(proxy, thread=True, condition=lambda sender: True)
    assert event.emit(1) == ["called"]
    assert event.handlers[0].kind == "sync"
    assert "Proxy object at" in repr(event.handlers[0])


def test_handler_whose_name_is_a_hostile_str(event):
    class Named:
        def __call__(self, sender):
            return "called"

    named = Named()
    named.__qualname__ = HostileStr("name")
    event.connect(named)
    assert "Connection name" in repr(event.handlers[0])
    assert event.emit(1) == ["called"]


# Conditions


def test_hostile_condition(event, hostile, caplog):
    """Its result is a string; its class is irrelevant."""
    event.connect(hostile, condition=hostile)
    assert event.emit(1) == ["called"]
    assert f"condition={name_of(hostile)}" in repr(event.handlers[0])
    assert caplog.records == []


def test_condition_with_a_hostile_result(api, event, hostile, caplog):
    def condition(sender):
        return hostile

    event.connect(hostile, condition=condition)
    assert event.emit(1) == []
    (record,) = caplog.records
    assert record.exc_info[0] is Hostility
    assert record.getMessage() == f"condition of handler {name_of(hostile)} of event 'x' raised: handler skipped"


# Senders and arguments


def test_hostile_senders_are_distinguished(event):
    one, other = Hostile(), Hostile()
    event.connect(one, sender=one)
    event.connect(other, sender=other)
    for sender in (one, other):
        assert is_one([handler for handler, _ in event.send(sender)], sender)
        assert event.has_handlers_for(sender)
    assert event.emit(1) == []
    assert f"sender={name_of(one)}" in repr(event.handlers[0])
    assert event.disconnect(one, one)
    assert event.emit(one) == []
    assert event.emit(other) == ["called"]


def test_hostile_sender_that_dies(event, hostile, collect):
    sender = Hostile()
    event.connect(hostile, sender)
    assert event.emit(sender) == ["called"]
    del sender
    collect()
    assert event.handlers == []


@pytest.mark.parametrize("value", ["text", 5, b"bytes"], ids=repr)
def test_sender_value_ignores_overridden_methods(event, hostile, value):
    class Lies(type(value)):
        __hash__ = __eq__ = __ne__ = __index__ = __int__ = __str__ = __bytes__ = __repr__ = __bool__ = refuse

    event.connect(hostile, sender=Lies(value))
    assert event.emit(value) == event.emit(Lies(value)) == ["called"]
    assert event.disconnect(hostile, Lies(value))


def test_hostile_arguments_are_passed_on_and_shown(api, testing, ns, run):
    hostile, seen = Hostile(), []
    event = ns.event("x")
    event.connect(lambda sender, *args, **kwargs: seen.append((sender, *args, *kwargs.values())), weak=False)

    async def main():
        waiting = event.wait()
        event.emit(hostile, hostile, key=hostile)
        return await waiting

    emission = run(main())
    assert is_one(seen.pop(), hostile, hostile, hostile)
    shown = name_of(hostile)
    assert repr(emission) == f"emit('x', {shown}, {shown}, key={shown})"
    with testing.Recorder(ns) as recorder:
        event.emit(hostile, hostile, key=hostile)
        with pytest.raises(AssertionError, match="Hostile"):
            recorder.assert_emitted("x", "another")


# Results


@pytest.mark.parametrize("make", [Hostile, HostileResult])
def test_hostile_result_is_a_value(event, run, make):
    result = make()

    def handler(sender):
        return result

    async def main():  # a loop shows the results of its tasks
        assert is_one(await event.emit_async(1), result)

    event.connect(handler)
    assert is_one(event.emit(1), result)
    run(main())
    assert event.send(1)[0][1] is result


def test_generator_may_yield_hostile_objects(event):
    hostile = Hostile()

    def handler(sender):
        yield hostile
        return hostile

    event.connect(handler)
    (items,) = event.emit(1)
    assert is_one(items, hostile)


def test_generator_like_result_with_failing_attributes(event):
    class Like:
        """Its iterator yields nothing."""

        def __next__(self):
            raise StopIteration

        send = throw = close = __next__

        def __getattr__(self, name):
            raise Hostility

    event.connect(lambda sender: Like(), weak=False)
    assert event.emit(1) == [[]]


# Names


def test_event_named_by_a_hostile_str(api, ns):
    name = HostileStr("user.created")
    event = ns.event(name)
    assert event is ns.event("user.created")
    assert type(event.name) is str
    handler = ns.on(name)(lambda sender: "received")
    wild = ns.on(HostileStr("user.*"))(lambda sender: "wildly")
    assert ns.emit(name, 1) == ns.emit(event, 1) == ns.emit("user.created", 1) == ["received", "wildly"]
    assert api.match(HostileStr("user.*"), name)
    assert list(ns.filter(HostileStr("user.*"))) == ["user.created"]
    assert api.Event(name).name == "user.created"
    with pytest.raises(ValueError, match=r"'user\.\*' is a pattern"):
        ns.emit(HostileStr("user.*"))
    with pytest.raises(ValueError, match=r"'a\*' is a pattern"):
        api.Event(HostileStr("a*"))
    for each in (name, HostileStr("user.*")):
        del ns[each]
    assert dict(ns) == {}
    assert (handler(1), wild(1)) == ("received", "wildly")


def test_del_does_not_hash_the_name_under_the_lock(ns, hostile):
    ns.event("x")
    for name in (hostile, 5, None, []):
        with pytest.raises(KeyError):
            del ns[name]
    assert list(ns) == ["x"]


# Rejected arguments


def rejected(api, ns, given):
    """Return every call that expects another type than this object's."""
    event = ns.event("x")
    yield lambda: ns.event(given)
    yield lambda: ns.emit(given)
    yield lambda: ns.emit_async(given)
    yield lambda: ns.on(given)
    yield lambda: ns.filter(given)
    yield lambda: api.match("x", given)
    yield lambda: api.Event(given)
    yield lambda: event.connect(print, priority=given)
    yield lambda: event.stream(overflow=given)
    yield lambda: api.describe(given)


def test_hostile_object_is_rejected_with_a_text(api, ns):
    class Plain(Hostile):
        """It reveals no class, so nothing can mistake it for another type."""

    given = Plain()
    for use in list(rejected(api, ns, given))[:-2]:
        with pytest.raises(TypeError, match="Plain object at"):
            use()
    with pytest.raises(ValueError, match="Plain object at"):
        ns["x"].stream(overflow=given)


def test_uncallable_without_repr_is_rejected_with_a_text(api, ns):
    class Silent:
        __repr__ = refuse

    silent, event = Silent(), ns.event("x")
    for use in (
        lambda: event.connect(silent),
        lambda: event.subscribe(silent),
        lambda: event.muted(silent),
        lambda: ns.on("x")(silent),
        lambda: event.connect(print, condition=silent),
        lambda: api.Event("y", on_error=silent),
        lambda: ns.event("y", signature=silent),
        lambda: api.use_loop(silent),
        lambda: api.describe(silent),
        lambda: event.stream(buffer=silent),
        lambda: event.wait(timeout=silent),
    ):
        with pytest.raises(TypeError, match="Silent object at"):
            use()
    assert event.handlers == []


@pytest.mark.parametrize("option", ["weak", "once", "with_event", "thread"])
def test_hostile_flag_is_rejected_and_changes_nothing(ns, hostile, option):
    def handler(sender):
        return 1

    event = ns.event("x")
    event.connect(handler, priority=2)
    before = repr(event.handlers)
    with pytest.raises(TypeError, match=f"^{option} must be True or False, not <"):
        event.connect(handler, **{option: hostile})
    assert repr(event.handlers) == before
    assert event.emit(1) == [1]


# Policies


@pytest.mark.parametrize("policy", ["raise", "group"])
def test_policy_that_is_a_hostile_str(api, policy):
    event = api.Event("x", on_error=HostileStr(policy))
    assert event.on_error == policy
    assert type(event.on_error) is str
    event.connect(refuse)
    with pytest.raises(Hostility if policy == "raise" else ExceptionGroup):
        event.emit(1)


def test_hostile_policy_is_called(api):
    policy = Hostile()
    event = api.Event("x", on_error=policy)
    event.connect(refuse)
    assert event.emit(1) == []
    assert api.describe(api.Namespace(on_error=policy)).on_error == name_of(policy)


# blinker's interface


def test_signal_with_hostile_receiver_and_sender(api, hostile):
    import cyevents.blinker

    signal = cyevents.blinker.Signal()
    signal.connect(hostile, hostile)
    assert is_one([receiver for receiver, _ in signal.send(hostile)], hostile)
    signal.disconnect(hostile, hostile)
    assert not signal.receivers
