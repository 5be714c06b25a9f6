"""Patterns: handlers for all matching events of a namespace, present and future."""

import asyncio
import fnmatch
import itertools
import weakref

import pytest


@pytest.fixture(params=["before", "after"])
def made(request, ns):
    """Connect to a pattern before or after its events are created: `made(names, connect)`."""

    def make(names, connect):
        if request.param == "after":
            connect()
        events = [ns.event(name) for name in names]
        if request.param == "before":
            connect()
        return events

    return make


class Sender:
    pass


def wild(sender, **kwargs):
    return "wild"


def own(sender, **kwargs):
    return "own"


# Which names are patterns, and what they match

NAMES = ["user.created", "user.deleted", "order.created", "user", "user.", "User.created"]
NAMES += ["sensor[3]", "sensor3", "a!b", "a\nb"]
PATTERNS = {
    "*": NAMES,
    "user.*": ["user.created", "user.deleted", "user."],
    "*.created": ["user.created", "order.created", "User.created"],
    "user.?reated": ["user.created"],
    "?ser": ["user"],
    "!user.*": ["order.created", "user", "User.created", "sensor[3]", "sensor3", "a!b", "a\nb"],
    "!user.created": [name for name in NAMES if name != "user.created"],
    "!*": [],
    "[uU]ser.*": ["user.created", "user.deleted", "user.", "User.created"],
    "[!u]*": ["order.created", "User.created", "sensor[3]", "sensor3", "a!b", "a\nb"],
    "sensor[3]*": ["sensor3"],
    "sensor[[]?]": ["sensor[3]"],
    "a?b": ["a!b", "a\nb"],
    "order*": ["order.created"],
    "nothing*": [],
}


@pytest.mark.parametrize("way", ["on", "connect"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_pattern_handler_gets_all_matching_events(ns, made, fire, way, pattern):
    received = []

    def handler(sender, event):
        received.append(event.name)

    def connect():
        if way == "on":
            assert ns.on(pattern, with_event=True)(handler) is handler
        else:
            assert ns.event(pattern).connect(handler, with_event=True) is handler

    for event in made(NAMES, connect):
        fire(event, 1)
    assert received == PATTERNS[pattern]


@pytest.mark.parametrize("name", ["sensor[3]", "sensor[a-z]", "[seq]", "a!", "a!b", "[!a]", ".", "a b"])
def test_brackets_alone_are_not_a_pattern(api, ns, name):
    event = ns.event(name)
    event.connect(own)
    assert name in ns
    assert ns.emit(name, 1) == ["own"]
    assert ns.emit("sensor3", 1) == []
    assert api.Event(name).name == name


@pytest.mark.parametrize("pattern", [*PATTERNS, "!", "[!a]?"])
@pytest.mark.parametrize("name", [*NAMES, "", "!", "!user.created", "*"])
def test_negated_match_is_fnmatchcase(api, pattern, name):
    if pattern.startswith("!"):
        expected = not fnmatch.fnmatchcase(name, pattern[1:])
    else:
        expected = fnmatch.fnmatchcase(name, pattern)
    assert api.match(pattern, name) is expected


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("user.*", "user.created", True),
        ("user.*", "order.created", False),
        ("!user.*", "order.created", True),
        ("!!a", "a", True),
        ("!!a", "!a", False),
        ("a", "a", True),
        ("a", "A", False),
        ("[ab]", "a", True),
        ("[!ab]", "a", False),
        ("[", "[", True),
        ("a.c", "abc", False),
    ],
)
def test_match(api, pattern, name, expected):
    assert api.match(pattern, name) is expected


@pytest.mark.parametrize(("pattern", "name"), [(1, "a"), ("a", 1), (None, "a"), ("a", None), (b"a", "a"), ("a", b"a")])
def test_match_takes_strings(api, pattern, name):
    with pytest.raises(TypeError):
        api.match(pattern, name)


def test_pattern_gets_events_created_by_on(ns, made):
    def connect():
        ns.event("user.*").connect(wild)

    made([], connect)
    ns.on("user.created")(own)
    assert sorted(ns.emit("user.created", 1)) == ["own", "wild"]


def test_pattern_gets_only_its_own_namespace(api, ns):
    other = api.Namespace()
    ns.event("*").connect(wild)
    other.event("x")
    assert other.emit("x", 1) == []
    assert api.Event("x").emit(1) == []
    assert api.event("x").emit(1) == []


def test_default_namespace_has_patterns(api, fire):
    api.on("user.*")(wild)
    assert fire(api.event("user.created"), 1) == ["wild"]


@pytest.mark.parametrize("priorities", [[0, 0, 0, 0], [1, 2, 3, 4], [4, 3, 2, 1], [0, 1, 0, 1]], ids=str)
def test_event_and_pattern_handlers_share_one_order(ns, fire, priorities):
    event = ns.event("user.created")
    keep, expected = [], []
    for number, (place, priority) in enumerate(
        zip(["user.created", "user.*", "!order", "user.created"], priorities, strict=True)
    ):

        def handler(sender, number=number):
            return number

        keep.append(handler)
        expected.append((-priority, number))
        ns.event(place).connect(handler, priority=priority)
    assert fire(event, 1) == [number for _, number in sorted(expected)]
    assert [connection.handler for connection in event.handlers] == [keep[number] for _, number in sorted(expected)]


def test_wildcard_handler_can_cancel(api, ns, fire):
    def refuse(sender):
        return False

    event = ns.event("user.created")
    event.connect(own)
    ns.event("user.*").connect(refuse, priority=1)
    results = fire(event, 1)
    assert type(results) is api.Cancelled
    assert (list(results), results.handler, results.event) == ([], refuse, event)


# The event of a pattern


@pytest.mark.parametrize("pattern", ["user.*", "?", "!user", "!", "a*[b]"])
def test_pattern_event_cannot_be_emitted(api, ns, pattern):
    event = ns.event(pattern)
    assert isinstance(event, api.Event)
    assert ns.event(pattern) is event
    assert event.name == pattern
    event.connect(wild)
    for emit in (
        lambda: event.emit(1),
        lambda: event.emit_async(1),
        lambda: ns.emit(pattern, 1),
        lambda: ns.emit(event, 1),
        lambda: ns.emit_async(pattern, 1),
        lambda: ns.emit_async(event, 1),
        lambda: api.emit(pattern, 1),
        lambda: api.emit_async(event, 1),
    ):
        with pytest.raises(ValueError, match="pattern"):
            emit()


@pytest.mark.parametrize("pattern", ["user.*", "?", "!user"])
def test_unknown_pattern_cannot_be_emitted(api, ns, pattern):
    with pytest.raises(ValueError, match="pattern"):
        ns.emit(pattern)
    with pytest.raises(ValueError, match="pattern"):
        ns.emit_async(pattern)


def test_pattern_is_not_an_item_of_the_namespace(api, ns):
    ns.event("user.created")
    ns.event("user.*", doc="All about users.").connect(wild)
    ns.on("!order")(wild)
    assert list(ns) == ["user.created"]
    assert len(ns) == 1
    assert "user.*" not in ns
    assert ns.get("user.*") is None
    with pytest.raises(KeyError):
        ns["user.*"]
    assert list(ns.filter("*")) == ["user.created"]
    assert ns.event("user.*").__doc__ == "All about users."


def test_disconnect_from_a_pattern(ns, made, fire):
    (event,) = made(["user.created"], lambda: ns.event("user.*").connect(wild))
    event.connect(own)
    fire(event, 1)
    assert ns.event("user.*").disconnect(wild) is True
    assert ns.event("user.*").disconnect(wild) is False
    assert fire(event, 1) == ["own"]


def test_clear_of_event_and_pattern_is_independent(ns, fire):
    event, pattern = ns.event("user.created"), ns.event("user.*")
    event.connect(own)
    pattern.connect(wild)
    event.clear()
    assert fire(event, 1) == ["wild"]
    event.connect(own)
    pattern.clear()
    assert fire(event, 1) == ["own"]
    assert pattern.handlers == []


def test_handlers_of_a_pattern(ns):
    event, pattern = ns.event("user.created"), ns.event("user.*")
    event.connect(own)
    pattern.connect(wild, "s", priority=2)
    (connection,) = pattern.handlers
    assert (connection.handler, connection.sender, connection.priority) == (wild, "s", 2)
    assert [(connection.handler, connection.pattern) for connection in event.handlers] == [
        (wild, "user.*"),
        (own, None),
    ]


# with_event


async def keywords_async(sender, **kwargs):
    return kwargs


def keywords(sender, **kwargs):
    return kwargs


def keywords_generated(sender, **kwargs):
    yield kwargs


async def keywords_generated_async(sender, **kwargs):
    yield kwargs


@pytest.mark.parametrize("place", ["user.created", "user.*"])
def test_with_event_passes_the_emitted_event(ns, fire, place):
    ns.event(place).connect(keywords, with_event=True)
    event, other = ns.event("user.created"), ns.event("user.deleted")
    assert fire(event, 1) == [{"event": event}]
    assert fire(event, 1, event="the emitter's", a=2) == [{"event": event, "a": 2}]
    if place == "user.*":
        assert fire(other, 1) == [{"event": other}]


@pytest.mark.parametrize("handler", [keywords, keywords_async, keywords_generated, keywords_generated_async])
@pytest.mark.parametrize("thread", [False, True])
def test_with_event_passes_it_to_every_kind(ns, run, handler, thread):
    event = ns.event("x")
    ns.event("*").connect(handler, with_event=True, thread=thread)
    (result,) = run(event.emit_async(1, event="the emitter's"))
    assert result in ({"event": event}, [{"event": event}])


def test_without_with_event_the_keyword_is_passed(ns, fire):
    ns.event("x*").connect(keywords)
    event = ns.event("x")
    assert fire(event, 1, event="the emitter's") == [{"event": "the emitter's"}]
    assert fire(event, 1) == [{}]


def test_with_event_affects_only_its_handler(ns, fire):
    event = ns.event("x")

    def other(sender, **kwargs):
        return [kwargs]

    event.connect(keywords, with_event=True, priority=1)
    event.connect(other)
    assert fire(event, 1, a=2) == [{"event": event, "a": 2}, [{"a": 2}]]


def test_conditions_do_not_get_the_event(ns, fire):
    checked = []

    def condition(sender, **kwargs):
        checked.append(kwargs)
        return True

    event = ns.event("x")
    ns.event("x*").connect(keywords, with_event=True, condition=condition)
    assert fire(event, 1) == [{"event": event}]
    assert fire(event, 1, event="the emitter's") == [{"event": event}]
    assert checked == [{}, {"event": "the emitter's"}]


# filter_signals


def test_filter_signals_returns_events_by_name(api):
    events = {name: api.event(name) for name in ("user.created", "user.updated", "order.placed")}
    api.event("user.*").connect(wild)
    found = api.filter_signals("user.*")
    assert type(found) is dict
    assert found == {name: events[name] for name in ("user.created", "user.updated")}
    assert api.filter_signals("*") == events
    assert api.filter_signals("!user.*") == {"order.placed": events["order.placed"]}
    assert api.filter_signals("order.placed") == {"order.placed": events["order.placed"]}
    assert api.filter_signals("nothing.*") == {}
    found.clear()
    assert len(api.filter_signals("user.*")) == 2


@pytest.mark.parametrize("pattern", PATTERNS)
def test_filter_signals_of_a_namespace(api, ns, pattern):
    for name in NAMES:
        ns.event(name)
    expected = {name: ns[name] for name in PATTERNS[pattern]}
    assert (
        api.filter_signals(pattern, ns) == api.filter_signals(pattern, namespace=ns) == ns.filter(pattern) == expected
    )
    assert api.filter_signals(pattern) == {}


def test_filter_signals_takes_a_string(api):
    with pytest.raises(TypeError):
        api.filter_signals(5)


# Senders


@pytest.mark.parametrize("sender", ["s", b"s", 5, None, (1, 2), Sender()], ids=lambda sender: type(sender).__name__)
def test_pattern_with_a_sender(ns, made, fire, sender):
    (event, other) = made(["user.created", "order"], lambda: ns.event("user.*").connect(wild, sender))
    assert fire(event, sender) == ["wild"]
    assert fire(event, "another") == fire(event) == fire(other, sender) == []
    assert event.has_handlers_for(sender)
    assert not event.has_handlers_for("another")
    event.connect(own, sender)
    assert fire(event, sender) == ["wild", "own"]
    assert ns.event("user.*").disconnect(wild, sender)
    assert fire(event, sender) == ["own"]
    assert event.disconnect(own, sender)
    assert fire(event, sender) == []


@pytest.mark.parametrize("first", ["own", "wild"])
def test_last_connection_for_a_sender_may_be_either(ns, fire, first):
    event, pattern, sender = ns.event("user.created"), ns.event("user.*"), Sender()
    event.connect(own, sender)
    pattern.connect(wild, sender)
    assert fire(event, sender) == ["own", "wild"]
    if first == "own":
        event.disconnect(own)
        assert fire(event, sender) == ["wild"]
        pattern.disconnect(wild)
    else:
        pattern.disconnect(wild)
        assert fire(event, sender) == ["own"]
        event.disconnect(own)
    assert fire(event, sender) == []
    pattern.connect(wild, sender)
    assert fire(event, sender) == ["wild"]


@pytest.mark.parametrize("when", ["before the event is made", "after", "after an emission"])
def test_pattern_connection_ends_with_its_sender(ns, collect, when):
    sender = Sender()
    gone = weakref.ref(sender)
    pattern = ns.event("user.*")
    pattern.connect(wild, sender)
    pattern.connect(own)
    if when != "before the event is made":
        ns.event("user.created")
    if when == "after an emission":
        assert ns.event("user.created").emit(sender) == ["wild", "own"]
    del sender
    collect()
    assert gone() is None
    event = ns.event("user.created")
    assert [connection.handler for connection in event.handlers] == [own]
    assert [connection.handler for connection in pattern.handlers] == [own]
    assert event.emit(Sender()) == ["own"]


def test_dead_sender_of_one_pattern_keeps_the_others(ns, collect):
    event, sender, other = ns.event("user.created"), Sender(), Sender()
    ns.event("user.*").connect(wild, sender)
    ns.event("*.created").connect(wild, other)
    event.connect(own, other)
    assert event.emit(other) == ["wild", "own"]
    del sender
    collect()
    assert event.emit(other) == ["wild", "own"]


# muted


def test_muting_a_pattern_mutes_its_handlers(ns, made, fire):
    def connect():
        ns.event("user.*").connect(wild)
        ns.event("user.*").connect(wild, "s")

    events = made(["user.created", "user.deleted"], connect)
    for event in events:
        event.connect(own)
        fire(event, "s")
    with ns.event("user.*").muted():
        for event in [*events, ns.event("user.new")]:
            assert "wild" not in fire(event, "s")
        assert fire(events[0], "s") == ["own"]
    for event in events:
        assert sorted(fire(event, "s")) == ["own", "wild"]
    assert fire(ns.event("user.new"), "s") == ["wild"]


def test_muting_a_handler_of_a_pattern(ns, fire):
    def other(sender):
        return "other"

    event, pattern = ns.event("user.created"), ns.event("user.*")
    pattern.connect(wild)
    pattern.connect(other)
    ns.event("*.created").connect(own)
    with pattern.muted(wild):
        assert fire(event, 1) == ["other", "own"]
        with pattern.muted():
            assert fire(event, 1) == ["own"]
        assert fire(event, 1) == ["other", "own"]
    assert fire(event, 1) == ["wild", "other", "own"]


def test_muting_a_pattern_keeps_the_events_connection(ns, fire):
    event, pattern = ns.event("user.created"), ns.event("user.*")
    event.connect(own)
    pattern.connect(own)
    with pattern.muted(own):
        assert fire(event, 1) == ["own"]
    with event.muted(own):
        assert fire(event, 1) == []


def test_emission_started_before_a_pattern_was_muted(ns, fire):
    event, pattern = ns.event("user.created"), ns.event("user.*")
    muted = pattern.muted()

    def mute(sender):
        muted.__enter__()

    event.connect(mute, once=True)
    pattern.connect(wild)
    assert fire(event, 1) == ["wild"]
    assert fire(event, 1) == []
    muted.__exit__(None, None, None)
    assert fire(event, 1) == ["wild"]


# Deleting


def test_deleted_event_does_not_reach_patterns(ns, fire):
    event = ns.event("user.created")
    event.connect(own)
    ns.event("user.*").connect(wild)
    ns.event("user.*").connect(wild, "s")
    assert sorted(fire(event, "s")) == ["own", "wild"]
    del ns["user.created"]
    assert "user.created" not in ns
    assert fire(event, "s") == ["own"]
    assert ns.emit("user.created", "s") == ["wild"]  # as with any undeclared name
    new = ns.event("user.created")
    assert new is not event
    assert fire(new, "s") == ["wild"]
    ns.event("user.*").connect(own, "t")
    assert fire(event, "t") == ["own"]
    assert len(event.handlers) == 1


def test_deleted_pattern_gets_nothing(ns, fire):
    event, pattern = ns.event("user.created"), ns.event("user.*")
    event.connect(own)
    pattern.connect(wild)
    pattern.connect(wild, "s")
    assert sorted(fire(event, "s")) == ["own", "wild"]
    del ns["user.*"]
    assert fire(event, "s") == fire(event, "t") == ["own"]
    assert fire(ns.event("user.deleted"), "s") == []
    assert len(event.handlers) == 1
    pattern.connect(wild, "t")
    assert fire(event, "t") == ["own"]
    again = ns.event("user.*")
    assert again is not pattern
    again.connect(wild)
    assert sorted(fire(event, "t")) == ["own", "wild"]


@pytest.mark.parametrize("name", ["unknown", "unknown.*"])
def test_deleting_a_missing_name_raises_key_error(ns, name):
    with pytest.raises(KeyError):
        del ns[name]


def test_deleted_event_or_pattern_is_freed(ns, collect):
    event, pattern = ns.event("user.created"), ns.event("user.*")
    gone = [weakref.ref(event), weakref.ref(pattern)]
    pattern.connect(wild, "s")
    event.connect(own)
    event.emit("s")
    del event, ns["user.created"]
    collect()
    assert gone[0]() is None
    ns.event("user.created").emit("s")
    del pattern, ns["user.*"]
    collect()
    assert gone[1]() is None


def test_cleared_namespace_releases_its_patterns(ns, fire):
    event = ns.event("user.created")
    ns.event("user.*").connect(wild)
    fire(event, 1)
    ns.clear()
    assert len(ns) == 0
    assert fire(event, 1) == []
    assert fire(ns.event("user.created"), 1) == []


def test_many_patterns_and_events(ns, fire):
    keep = []
    patterns = ["*", "a*", "b*", "*1", "*2", "!a*", "?1"]
    for pattern in patterns:

        def handler(sender, pattern=pattern):
            return pattern

        keep.append(ns.event(pattern).connect(handler))
    for name in map("".join, itertools.product("abc", "123")):
        expected = [
            pattern for pattern in patterns if fnmatch.fnmatchcase(name, pattern.lstrip("!")) != ("!" in pattern)
        ]
        assert fire(ns.event(name), 1) == expected
    del ns["a*"]
    assert fire(ns.event("a1"), 1) == ["*", "*1", "?1"]


def test_connecting_to_a_pattern_during_an_emission(ns, fire):
    event, pattern = ns.event("user.created"), ns.event("user.*")

    def change(sender):
        pattern.connect(wild)
        ns.event("*.created").connect(own)

    pattern.connect(change)
    assert fire(event, 1) == []
    assert fire(event, 1) == ["wild", "own"]


def test_wildcard_handler_may_create_events(ns, fire):
    def make(sender, event):
        if event.name == "user.created":
            return ns.event("user.made").emit(sender)
        return event.name

    ns.event("user.*").connect(make, with_event=True)
    assert fire(ns.event("user.created"), 1) == [["user.made"]]


def test_async_handlers_of_patterns(ns, run):
    async def handler(sender, event):
        await asyncio.sleep(0)
        return event.name

    ns.event("*").connect(handler, with_event=True)
    assert run(ns.event("x").emit_async(1)) == ["x"]
