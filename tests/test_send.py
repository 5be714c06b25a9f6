"""`event.send`: pairs of handler and value; nothing is dropped, awaited, consumed or cancelled."""

import asyncio
import types

import pytest


@pytest.fixture
def event(api):
    return api.Event("x")


def returning(value):
    def handler(sender, *args, **kwargs):
        return value

    return handler


def test_pairs_are_in_dispatch_order_with_every_value(event):
    handlers = [returning(value) for value in (None, False, 0, "", [1], True)]
    for number, handler in enumerate(handlers):
        event.connect(handler, priority=number)
    expected = [(handler, handler("s")) for handler in reversed(handlers)]
    assert event.send("s") == expected
    assert type(event.send("s")) is list
    assert all(type(pair) is tuple for pair in event.send("s"))


def test_no_handlers_give_an_empty_list(event):
    assert event.send("s") == []
    assert event.send() == []


def test_arguments_reach_every_kind_of_handler(event):
    class Owner:
        def method(self, /, *args, **kwargs):
            return "method", args, kwargs

        def __call__(self, /, *args, **kwargs):
            return "object", args, kwargs

    def function(*args, **kwargs):
        return "function", args, kwargs

    owner = Owner()
    kept = [function, owner, owner.method]
    event.connect(function)
    event.connect(owner)
    event.connect(owner.method)
    event.connect(Owner().method, weak=False)
    for args, kwargs in (
        ((), {}),
        ((1, 2), {}),
        ((), {"self": 1, "event": 2, "evt": 3}),
        (tuple(range(20)), {f"k{n}": n for n in range(20)}),
    ):
        pairs = event.send("s", *args, **kwargs)
        assert [handler for handler, _ in pairs[:3]] == kept
        assert [value for _, value in pairs] == [
            (name, ("s", *args), kwargs) for name in ("function", "object", "method", "method")
        ]
    assert [value[1:] for _, value in event.send(sender="s", a=1)] == [(("s",), {"a": 1})] * 4


def test_sender_twice_is_an_error(event):
    with pytest.raises(TypeError, match=r"send\(\) got multiple values for argument 'sender'"):
        event.send("s", sender="s")


def test_sender_defaults_to_any(api, event):
    seen = []
    event.connect(lambda sender: seen.append(sender), weak=False)
    event.send()
    assert seen == [api.ANY]


def test_generators_and_awaitables_are_values(event):
    @event.connect
    def generator(sender):
        yield 1

    @event.connect
    async def coroutine(sender):
        return 2

    @event.connect
    async def async_generator(sender):
        yield 3

    (_, first), (_, second), (_, third) = event.send("s")
    assert isinstance(first, types.GeneratorType)
    assert list(first) == [1]
    assert asyncio.run(second) == 2
    assert isinstance(third, types.AsyncGeneratorType)


def test_senders_conditions_once_and_with_event_apply(event):
    log = []
    event.connect(lambda sender: log.append("any"), weak=False, priority=3)
    event.connect(lambda sender: log.append("for s"), "s", weak=False, priority=2)
    event.connect(lambda sender: log.append("for t"), "t", weak=False)
    event.connect(lambda sender: log.append("never"), weak=False, condition=lambda sender: False)
    event.connect(lambda sender: log.append("once"), weak=False, once=True)
    event.connect(lambda sender, event: log.append(event), weak=False, with_event=True, priority=-1)
    assert [value for _, value in event.send("s")] == [None] * 4
    assert log == ["any", "for s", "once", event]
    del log[:]
    event.send("s")
    assert log == ["any", "for s", event]


def test_failing_condition_skips_its_handler(event):
    def condition(sender):
        raise ValueError

    event.connect(returning(1), weak=False, condition=condition)
    event.on_error = lambda *args: None
    assert event.send("s") == []


def test_exception_propagates_and_ends_the_emission(event):
    called = []

    @event.connect
    def bad(sender):
        raise KeyError("bad")

    event.connect(lambda sender: called.append(sender), weak=False)
    with pytest.raises(KeyError, match="bad"):
        event.send("s")
    assert called == []
    event.disconnect(bad)
    assert len(event.send("s")) == 1


def test_grouped_errors_are_raised_at_the_end(event):
    @event.connect
    def bad(sender):
        raise KeyError("bad")

    called = []
    event.connect(lambda sender: called.append(sender), weak=False)
    event.on_error = "group"
    with pytest.raises(ExceptionGroup, match="1 handlers of 'x' failed") as caught:
        event.send("s")
    assert [type(error) for error in caught.value.exceptions] == [KeyError]
    assert called == ["s"]


def test_callable_gets_each_error(event):
    reported = []

    @event.connect
    def bad(sender):
        raise KeyError("bad")

    good = event.connect(returning(1), weak=False)
    event.on_error = lambda *args: reported.append(args)
    assert event.send("s") == [(good, 1)]
    ((error, handler, where, sender),) = reported
    assert (type(error), handler, where, sender) == (KeyError, bad, event, "s")


def test_base_exception_propagates(event):
    @event.connect
    def bad(sender):
        raise KeyboardInterrupt

    event.on_error = "group"
    with pytest.raises(KeyboardInterrupt):
        event.send("s")


def test_muting_and_patterns_apply(api):
    namespace = api.Namespace()
    event = namespace.event("a.b")
    wild = namespace.event("a.*").connect(returning(1), weak=False)
    own = event.connect(returning(2), weak=False)
    assert event.send("s") == [(wild, 1), (own, 2)]
    with event.muted(own):
        assert event.send("s") == [(wild, 1)]
    with pytest.raises(ValueError, match=r"'a\.\*' is a pattern and cannot be emitted"):
        namespace.event("a.*").send("s")


def test_handlers_may_change_the_event(event):
    @event.connect
    def first(sender):
        event.disconnect(second)
        event.connect(third)

    @event.connect
    def second(sender):
        return 2

    def third(sender):
        return 3

    assert event.send("s") == [(first, None)]
    assert event.send("s") == [(first, None), (third, 3)]
