"""Names and arguments: what identifies an event, and what reaches its handlers."""

import asyncio
import enum
import tracemalloc
from collections.abc import Mapping

import pytest

KINDS = ["sync", "async", "generator", "async generator"]
NO_NAMES = [None, 1, b"x", "", ["x"], ("x",), str, object()]


def recorder(kind, calls):
    """Return a handler of a kind that records its arguments after the sender."""
    if kind == "sync":

        def handler(*args, **kwargs):
            calls.append((args, kwargs))

    elif kind == "async":

        async def handler(*args, **kwargs):
            calls.append((args, kwargs))

    elif kind == "generator":

        def handler(*args, **kwargs):
            calls.append((args, kwargs))
            yield

    else:

        async def handler(*args, **kwargs):
            calls.append((args, kwargs))
            yield

    return handler


def all_emissions(api, *args, **kwargs):
    """Emit "x" of the default namespace in every possible way."""
    evt, default = api.event("x"), api.default_namespace

    async def main():
        await api.emit_async("x", *args, **kwargs)
        await api.emit_async(evt, *args, **kwargs)
        await default.emit_async("x", *args, **kwargs)
        await evt.emit_async(*args, **kwargs)
        api.emit("x", *args, **kwargs)
        api.emit(evt, *args, **kwargs)
        default.emit("x", *args, **kwargs)
        evt.emit(*args, **kwargs)
        assert await api.drain_async(10)

    asyncio.run(main())
    api.emit("x", *args, **kwargs)
    evt.emit(*args, **kwargs)
    assert api.drain(10)


EMISSIONS = 10


# The doc


def test_doc_is_set_on_the_event(ns):
    assert ns.event("x", "What x means.").__doc__ == "What x means."
    assert ns.event("y", doc="What y means.").__doc__ == "What y means."
    assert ns["x"].__doc__ == "What x means."


def test_later_none_keeps_the_doc(ns):
    evt = ns.event("x", "first")
    ns.event("x")
    ns.event("x", None)
    ns.on("x")(print)
    assert evt.__doc__ == "first"


def test_later_text_replaces_the_doc(ns):
    evt = ns.event("x", "first")
    ns.event("x", "second")
    assert evt.__doc__ == "second"
    silent = ns.event("y")
    ns.event("y", "only now")
    assert silent.__doc__ == "only now"


def test_doc_belongs_to_one_event(api, ns):
    before = api.Event.__doc__
    ns.event("x", "mine")
    assert ns.event("y").__doc__ != "mine"
    assert api.Event.__doc__ == before


# Names


@pytest.mark.parametrize("name", NO_NAMES)
def test_name_must_be_a_non_empty_str(api, ns, name):
    for make in ns.event, api.Event:
        with pytest.raises(TypeError, match="non-empty str") as caught:
            make(name)
        assert repr(name) in str(caught.value)
    assert len(ns) == 0


@pytest.mark.parametrize("evt", NO_NAMES)
@pytest.mark.parametrize("what", ["emit", "emit_async", "on"])
def test_emit_and_on_take_only_names_and_events(api, ns, what, evt):
    given = [evt] if what == "on" and type(evt) in (list, tuple) else evt  # `on` takes a list, but no list in it
    for function in getattr(ns, what), getattr(api, what):
        with pytest.raises(TypeError, match="str.* Event") as caught:
            function(given)  # never awaited: the call itself raises
        assert repr(evt) in str(caught.value)
    assert len(ns) == len(api.default_namespace) == 0


def test_str_subclass_is_a_name(ns):
    class Names(enum.StrEnum):
        CREATED = "created"

    @ns.on(Names.CREATED)
    def handler(sender):
        return sender

    assert ns.event("created") is ns.event(Names.CREATED) is ns["created"]
    assert ns.emit("created", 1) == ns.emit(Names.CREATED, 1) == [1]
    assert [type(name) for name in ns] == [str]


def test_str_subclass_name_ignores_its_str_method(ns):
    class Names(str, enum.Enum):  # noqa: UP042
        CREATED = "created"

    assert str(Names.CREATED) == "Names.CREATED"

    @ns.on(Names.CREATED)
    def handler(sender):
        return sender

    assert list(ns) == ["created"]
    assert ns.event("created") is ns.event(Names.CREATED) is ns["created"]
    assert ns.emit("created", 1) == ns.emit(Names.CREATED, 1) == [1]


def test_str_subclass_pattern_ignores_its_str_method(ns):
    class Names(str, enum.Enum):  # noqa: UP042
        ALL_USERS = "user.*"

    @ns.on(Names.ALL_USERS)
    def handler(sender):
        return sender

    ns.event("user.created")
    assert [connection.handler for connection in ns.event("user.*").handlers] == [handler]
    assert ns.event("user.*") is ns.event(Names.ALL_USERS)
    assert ns.emit("user.created", 1) == [1]


def test_any_text_is_a_name(ns):
    for name in ("a b", "sensor[3]", "é", "a.b-c_d:e/f", " ", "0"):
        evt = ns.event(name)
        assert (evt.name, ns[name]) == (name, evt)


def test_event_without_namespace_can_be_emitted_by_any(api, ns):
    alone = api.Event("alone")

    @ns.on(alone)
    def handler(sender):
        return "called"

    assert ns.emit(alone) == api.emit(alone) == alone.emit() == ["called"]
    assert len(ns) == len(api.default_namespace) == 0


# Arguments


@pytest.mark.parametrize("kind", KINDS)
def test_sender_can_be_a_keyword(api, kind):
    calls = []
    handler = api.on("x")(recorder(kind, calls))
    all_emissions(api, sender="me", other=1)
    assert handler
    assert calls == [(("me",), {"other": 1})] * EMISSIONS


@pytest.mark.parametrize("kind", KINDS)
def test_keyword_sender_selects_handlers(api, kind):
    calls = []
    handler = api.on("x", sender="me")(recorder(kind, calls))
    all_emissions(api, sender="me")
    all_emissions(api, sender="you")
    assert handler
    assert calls == [(("me",), {})] * EMISSIONS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "keyword",
    [
        "self", "event", "evt", "receiver", "name", "args", "kwargs", "handler", "event_to_emit", "namespace",
        "priority", "condition", "weak", "once", "with_event", "thread", "entry", "core", "results", "loop", "_sender",
    ],
)  # fmt: skip
def test_keywords_of_any_name_reach_the_handler(api, kind, keyword):
    calls = []
    value = object()
    handler = api.on("x")(recorder(kind, calls))
    all_emissions(api, "me", **{keyword: value})
    assert handler
    assert calls == [(("me",), {keyword: value})] * EMISSIONS


@pytest.mark.parametrize("keyword", ["self", "event", "evt", "receiver", "name", "func", "context"])
def test_keywords_of_any_name_reach_a_handler_in_a_thread(api, keyword):
    calls = []
    handler = api.on("x", thread=True)(recorder("sync", calls))
    all_emissions(api, "me", 1, **{keyword: 2})
    assert handler
    assert calls == [(("me", 1), {keyword: 2})] * EMISSIONS


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("keyword", ["self", "evt", "receiver", "name"])
def test_keywords_of_any_name_reach_a_handler_with_event(api, kind, keyword):
    calls = []
    handler = api.on("x", with_event=True)(recorder(kind, calls))
    all_emissions(api, "me", **{keyword: 2})
    assert handler
    assert calls == [(("me",), {keyword: 2, "event": api.event("x")})] * EMISSIONS


@pytest.mark.parametrize("kind", KINDS)
def test_positionals_reach_the_handler_unchanged(api, kind):
    calls = []
    given = [object(), None, api.ANY, False, (), {"a": 1}]
    handler = api.on("x")(recorder(kind, calls))
    all_emissions(api, "me", *given, word=given)
    assert handler
    assert len(calls) == EMISSIONS
    for args, kwargs in calls:
        assert all(got is put for got, put in zip(args, ["me", *given], strict=True))
        assert kwargs["word"] is given


@pytest.mark.parametrize("keyword", ["self", "event", "evt", "receiver", "name"])
def test_keywords_of_any_name_reach_conditions_and_methods(ns, keyword):
    class Service:
        def handler(this, sender, **kwargs):
            return kwargs

    service = Service()
    checked = []
    ns.on("x", condition=lambda sender, **kwargs: checked.append(kwargs) or True)(service.handler)
    assert ns.emit("x", None, **{keyword: 1}) == [{keyword: 1}]
    assert checked == [{keyword: 1}]


def test_evt_is_positional_only(ns):
    for emit in ns.emit, ns.emit_async:
        with pytest.raises(TypeError, match="positional argument"):
            emit(evt="x")


def test_each_handler_gets_its_own_keywords(ns):
    @ns.on("x")
    def first(sender, **kwargs):
        kwargs["a"] = kwargs["b"] = "changed"

    @ns.on("x")
    def second(sender, **kwargs):
        return kwargs

    given = {"a": 1}
    assert ns.emit("x", None, **given) == [{"a": 1}]
    assert given == {"a": 1}


# Undeclared names


def test_emit_of_unknown_name_creates_nothing(api, ns, run):
    async def main(namespace):
        return await namespace.emit_async("unknown", 1, 2, a=3)

    for namespace in ns, api.default_namespace:
        result = namespace.emit("unknown", 1, 2, a=3)
        assert (result, type(result)) == ([], list)
        result = run(main(namespace))
        assert (result, type(result)) == ([], list)
        assert len(namespace) == 0
        assert "unknown" not in namespace
    assert api.emit("unknown") is not api.emit("unknown")


def test_name_is_found_once_declared(ns):
    assert ns.emit("x") == []

    @ns.on("x")
    def handler(sender):
        return "called"

    assert ns.emit("x") == ["called"]


def test_cache_of_unknown_names_is_bounded(ns):
    names = 20_000
    ns.emit("warm up")
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(names):
            ns.emit(f"unknown {number:01000}")
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < names * 1000 / 4


# The namespace


def test_events_exist_until_deleted(ns, collect):
    ns.event("made", "by event")

    @ns.on("connected")
    def handler(sender):
        return "called"

    ns["connected"].doc = "by on"
    collect()
    assert list(ns) == ["made", "connected"]
    assert (ns.event("made").__doc__, ns["connected"].doc) == ("by event", "by on")
    del handler
    collect()
    assert list(ns) == ["made", "connected"]


def test_del_releases_an_event(ns):
    @ns.on("x")
    def handler(sender):
        return "called"

    old = ns["x"]
    del ns["x"]
    assert "x" not in ns
    assert ns.get("x") is None
    assert ns.emit("x") == []
    assert ns.event("x") is not old
    assert ns.emit("x") == []


def test_del_ends_calls_from_patterns(ns):
    @ns.on("x*")
    def handler(sender):
        return "called"

    old = ns.event("x")
    assert old.emit() == ["called"]
    del ns["x"]
    assert old.emit() == []


def test_del_of_unknown_name_raises_key_error(ns):
    ns.event("x")
    with pytest.raises(KeyError, match="unknown"):
        del ns["unknown"]
    assert list(ns) == ["x"]


def test_namespace_reads_like_a_dict(ns):
    one, two = ns.event("one"), ns.event("two")
    assert isinstance(ns, dict)
    assert isinstance(ns, Mapping)
    assert len(ns) == 2
    assert list(ns) == list(ns.keys()) == ["one", "two"]
    assert list(ns.values()) == [one, two]
    assert list(ns.items()) == [("one", one), ("two", two)]
    assert dict(ns) == {**ns} == ns.copy() == ns == {"one": one, "two": two}
    assert ns["one"] is ns.get("one") is one
    assert ns.get("three") is None
    assert ns.get("three", 3) == 3
    assert "one" in ns
    assert "three" not in ns
    assert list(reversed(ns)) == ["two", "one"]
    assert (ns | {"three": 3})["three"] == 3
    with pytest.raises(KeyError):
        ns["three"]
    assert len(ns) == 2


def test_reading_a_namespace_creates_nothing(ns):
    ns.get("x")
    assert "x" not in ns
    with pytest.raises(KeyError):
        ns["x"]
    assert ns.filter("x") == {}
    assert len(ns) == 0


def test_only_event_and_on_add_events(api, ns):
    evt = ns.event("x")
    other = api.Event("y")
    for write in (
        lambda: ns.__setitem__("y", other),
        lambda: ns.update(y=other),
        lambda: ns.setdefault("y", other),
        lambda: ns.pop("x"),
        lambda: ns.popitem(),
        lambda: ns.__ior__({"y": other}),
    ):
        with pytest.raises(TypeError, match=r"event\(name\).* del "):
            write()
    assert dict(ns) == {"x": evt}


def test_namespace_has_the_documented_methods(ns, run):
    evt = ns.event("user.created")

    @ns.on("user.created")
    def handler(sender):
        return sender

    async def main():
        return await ns.emit_async("user.created", 2)

    assert ns.emit("user.created", 1) == [1]
    assert run(main()) == [2]
    assert ns.filter("user.*") == {"user.created": evt}
    assert type(ns.filter("user.*")) is dict
    assert ns.filter("user.*") is not ns.filter("user.*")


def test_module_functions_use_the_default_namespace(api, ns, run):
    default = api.default_namespace

    @api.on("x")
    def handler(sender):
        return sender

    async def main():
        return await api.emit_async("x", 1), await default.emit_async("x", 1)

    assert isinstance(default, api.Namespace)
    assert api.event("x") is default["x"] is default.event("x")
    assert api.emit("x", 1) == default.emit("x", 1) == [1]
    assert run(main()) == ([1], [1])
    assert api.filter_signals("*") == default.filter("*") == {"x": default["x"]}
    ns.event("y")
    assert api.filter_signals("*", ns) == api.filter_signals("*", namespace=ns) == {"y": ns["y"]}


def test_two_namespaces_share_nothing(api, ns):
    other = api.Namespace()

    @ns.on("x")
    def handler(sender):
        return "called"

    @ns.on("*")
    def wildcard(sender):
        return "wildcard"

    other.on_error = "group"
    assert "x" not in other
    assert other.event("x") is not ns["x"]
    assert ns.emit("x") == ["called", "wildcard"]
    assert other.emit("x") == []
    assert ns.on_error is None
    ns.event("x", "mine")
    assert other["x"].__doc__ != "mine"
    del other["x"]
    assert ns.emit("x") == ["called", "wildcard"]
    assert other.filter("*") == {}


# Events


def test_len_of_an_event_raises_type_error(ns):
    with pytest.raises(TypeError, match=r"len\(\)"):
        len(ns.event("x"))


def test_event_is_always_true(api, ns):
    def handler(sender):
        pass

    evt = ns.event("x")
    assert evt
    evt.connect(handler)
    assert evt
    evt.disconnect(handler)
    assert evt
    assert api.Event("alone")
    assert ns.event("x*")


@pytest.mark.parametrize("option", ["once", "with_event", "thread"])
@pytest.mark.parametrize("where", ["connect", "subscribe", "connected_to", "on"])
def test_additional_options_are_keyword_only(api, ns, where, option):
    def handler(sender, **kwargs):
        pass

    evt = ns.event("x")
    functions = [ns.on, api.on] if where == "on" else [getattr(evt, where)]
    for function in functions:
        first = evt if where == "on" else handler
        with pytest.raises(TypeError, match="positional arguments"):
            function(first, api.ANY, True, 0, None, True)
        made = function(first, api.ANY, True, 0, None, **{option: True})
        if where == "on":
            made(handler)
    if where in ("connect", "on"):
        ns.on(evt, api.ANY, True, 0, None, **{option: True})(handler)
        assert getattr(evt.handlers[0], option) is True


def test_rejected_positionals_connect_nothing(api, ns):
    def handler(sender):
        pass

    for function in (ns.event("x").connect, ns.event("x").subscribe):
        with pytest.raises(TypeError):
            function(handler, api.ANY, True, 0, None, True)
    assert ns["x"].handlers == []


def test_overridden_emit_gets_the_sender_first(api, ns):
    class Own(api.Event):
        def emit(self, /, *args, **kwargs):
            return [args, kwargs]

    event = Own("x")
    assert ns.emit(event) == [(api.ANY,), {}]
    assert ns.emit(event, sender=1, a=2) == [(1,), {"a": 2}]
    assert ns.emit(event, 1, 2, a=3) == [(1, 2), {"a": 3}]
