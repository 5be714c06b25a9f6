"""Emission of undeclared names reaches patterns and instruments; strict and muted namespaces."""

import asyncio
import gc
import importlib
import tracemalloc
import weakref

import pytest

LIMIT = 1024  # names that a namespace caches


@pytest.fixture(params=["emit", "emit_async"])
def fire(request, run):
    """Emit a name with `emit` or `emit_async`: `fire(ns, name, sender, ...)`."""
    if request.param == "emit":
        return lambda ns, /, *args, **kwargs: ns.emit(*args, **kwargs)

    def fire(ns, /, *args, **kwargs):
        async def main():
            return await ns.emit_async(*args, **kwargs)

        return run(main())

    return fire


@pytest.fixture
def watching(api):
    """Observe sources: `watching(source, ...)` returns the names of their emissions."""
    instrument = importlib.import_module("cyevents.instrument")
    started = []

    def watch(*sources):
        seen = []

        class Names(instrument.Instrument):
            def begin(self, start):
                seen.append(start.event.name)

        started.append(instrument.observe(Names(), *sources))
        return seen

    yield watch
    for each in started:
        each.stop()


def wild(sender, **kwargs):
    return "wild"


def own(sender, **kwargs):
    return "own"


class Sender:
    pass


# Patterns


def test_pattern_gets_an_undeclared_name(ns, fire):
    ns.event("order.*").connect(wild)
    assert fire(ns, "order.placed", 1) == ["wild"]
    assert fire(ns, "order.placed", 1) == ["wild"]
    assert fire(ns, "user.created", 1) == []
    assert dict(ns) == {}
    assert ns.filter("*") == {}
    assert "order.placed" not in ns
    assert ns.get("order.placed") is None


def test_undeclared_name_acts_like_a_declared_event(ns, fire):
    """Compare order, senders, conditions, cancellation, once and with_event with a namespace that declares it."""
    made = type(ns)()
    kept, calls = [], {}
    for namespace in ns, made:
        calls[id(namespace)] = called = []

        def handler(name, called=called, **returned):
            def call(sender, *args, **kwargs):
                called.append((name, sender, args, kwargs.pop("event", None) and True, kwargs))
                return returned.get("value", name)

            return call

        star, exact, all_ = namespace.event("order.*"), namespace.event("order.p?aced"), namespace.event("*")
        for pattern, name, options in (
            (star, "low", {"priority": -1}),
            (star, "sender", {"sender": "ada"}),
            (exact, "first", {"priority": 9, "with_event": True}),
            (all_, "skipped", {"condition": lambda sender, **kwargs: kwargs.get("total", 0) > 100}),
            (all_, "once", {"once": True}),
            (star, "plain", {}),
        ):
            kept.append(handler(name))
            pattern.connect(kept[-1], **options)
        kept.append(handler("veto", value=False))
        star.connect(kept[-1], priority=5, condition=lambda sender, **kwargs: sender == "veto")
    made.event("order.placed")
    for sender, kwargs in (("ada", {}), ("bob", {"total": 500}), ("veto", {}), ("ada", {"total": 1})):
        expected = fire(made, "order.placed", sender, 1, 2, **kwargs)
        assert fire(ns, "order.placed", sender, 1, 2, **kwargs) == expected
    assert calls[id(ns)] == calls[id(made)] != []
    cancelled = fire(ns, "order.placed", "veto")
    assert (cancelled, type(cancelled).__name__, cancelled.event.name) == (["first"], "Cancelled", "order.placed")


def test_passed_event_belongs_to_the_namespace(ns, fire):
    got = []
    handler = ns.on("order.*", with_event=True)(lambda sender, event: got.append(event))
    fire(ns, "order.placed", 1)
    fire(ns, "order.placed", 1)
    assert handler
    assert got[0] is got[1]
    assert (got[0].name, got[0].namespace) == ("order.placed", ns)


def test_pattern_matches_only_while_it_has_handlers(ns, fire):
    pattern = ns.event("order.*")
    assert fire(ns, "order.placed", 1) == []
    assert len(ns._cached) == 0
    pattern.connect(wild)
    assert fire(ns, "order.placed", 1) == ["wild"]
    pattern.disconnect(wild)
    assert fire(ns, "order.placed", 1) == fire(ns, "order.paid", 1) == []
    assert list(ns._cached) == ["order.placed"]
    pattern.connect(wild, "ada")
    assert fire(ns, "order.paid", "ada") == ["wild"]
    assert fire(ns, "order.paid", "bob") == []


def test_later_pattern_gets_known_names(ns, fire):
    ns.event("user.*").connect(wild)
    assert fire(ns, "order.placed", 1) == []
    assert fire(ns, "user.created", 1) == ["wild"]
    ns.event("*d").connect(own)
    assert fire(ns, "order.placed", 1) == ["own"]
    assert fire(ns, "user.created", 1) == ["wild", "own"]


def test_deleted_pattern_gets_nothing(ns, fire):
    ns.event("order.*").connect(wild)
    assert fire(ns, "order.placed", 1) == ["wild"]
    del ns["order.*"]
    assert fire(ns, "order.placed", 1) == []


def test_negated_pattern_gets_all_other_names(ns, fire):
    ns.event("!user.*").connect(wild)
    assert fire(ns, "order.placed", 1) == ["wild"]
    assert fire(ns, "user.created", 1) == []


def test_streams_and_waits_get_undeclared_names(ns, run):
    async def main():
        waiting = ns.event("order.*").wait()
        async with ns.event("*").stream() as stream:
            ns.emit("order.placed", 1, total=2)
            first, second = await waiting, await anext(stream)
        return [(each.name, each.sender, each.kwargs) for each in (first, second)]

    assert run(main()) == [("order.placed", 1, {"total": 2})] * 2
    assert ns.emit("order.placed", 1) == []


def test_instruments_get_undeclared_names(ns, watching, fire):
    everything, orders = watching(ns), watching(ns.event("order.*"))
    fire(ns, "order.placed", 1)
    fire(ns, "user.created", 1)
    fire(ns, "order.placed", 1)
    assert everything == ["order.placed", "user.created", "order.placed"]
    assert orders == ["order.placed", "order.placed"]
    assert dict(ns) == {}


def test_later_instrument_gets_known_names(ns, watching):
    ns.event("*.x").connect(wild)
    assert ns.emit("y") == []
    assert ns.emit("a.x") == ["wild"]
    seen = watching(ns)
    ns.emit("y")
    ns.emit("a.x")
    assert seen == ["y", "a.x"]


def test_emitting_a_pattern_raises_at_the_call(ns):
    ns.event("order.*").connect(wild)
    for emit in ns.emit, ns.emit_async:
        with pytest.raises(ValueError, match="is a pattern"):
            emit("order.*")


def test_event_and_on_declare_it(ns, fire):
    got = []
    ns.on("order.*", weak=False, with_event=True)(lambda sender, event: got.append(event))
    fire(ns, "order.placed", 1)
    assert ns.event("order.placed") is got[0] is ns["order.placed"]
    assert len(ns._cached) == 0
    fire(ns, "order.paid", 1)
    ns.on("order.paid")(own)
    assert ns["order.paid"] is got[1]
    assert fire(ns, "order.paid", 1) == ["own"]
    assert list(ns) == ["order.placed", "order.paid"]


def test_clear_releases_cached_events(ns):
    ns.event("order.*").connect(wild)
    ns.emit("order.placed")
    ns._cached["order.placed"].connect(own)
    ns.clear()
    assert ns.emit("order.placed") == []
    ns.event("order.*").connect(wild)
    assert ns.emit("order.placed") == ["wild"]


# The cache


def event_of(ns, name):
    """Return the event that a with_event handler gets."""
    got = []
    ns.on("*", weak=False, with_event=True, once=True)(lambda sender, event: got.append(event))
    ns.emit(name)
    return got[0]


def flood(ns, count=3 * LIMIT, prefix="flood"):
    for number in range(count):
        ns.emit(f"{prefix}.{number}")


def test_cache_is_bounded(api, ns):
    ns.event("*").connect(wild)
    flood(ns, 5000)
    assert len(ns._cached) <= LIMIT
    gc.collect()
    events = [each for each in gc.get_objects() if type(each) is api.Event and each.name.startswith("flood.")]
    assert len(events) <= LIMIT


@pytest.mark.slow
def test_memory_does_not_grow_with_names(ns):
    ns.event("a*").connect(wild)
    tracemalloc.start()
    try:
        flood(ns, prefix="a")
        flood(ns, prefix="b")
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        flood(ns, 10_000, "a" * 100)
        flood(ns, 10_000, "b" * 100)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20_000 * 100 / 4


def test_recently_used_names_stay_cached(ns):
    ns.event("*").connect(wild)
    used, unused = weakref.ref(event_of(ns, "used")), weakref.ref(event_of(ns, "unused"))
    for number in range(3 * LIMIT):
        ns.emit(f"flood.{number}")
        if number % 100 == 0:
            ns.emit("used")
    gc.collect()
    assert used() is ns._cached["used"]
    assert unused() is None


@pytest.mark.parametrize(
    "keep",
    [
        lambda event: event.connect(own),
        lambda event: event.connect(own, Sender),
        lambda event: setattr(event, "on_error", "group"),
        lambda event: event.muted().__enter__(),
        lambda event: event.muted(own).__enter__(),
        lambda event: event.stream().__aiter__(),
    ],
    ids=["connection", "for a sender", "on_error", "mute", "muted handler", "stream"],
)
def test_events_with_state_stay_cached(ns, keep):
    ns.event("*").connect(wild)
    event = event_of(ns, "kept")
    held = keep(event)
    ref, event = weakref.ref(event), None
    flood(ns)
    assert ref() is ns._cached["kept"]
    assert len(ns._cached) <= LIMIT + 1
    del held


def test_muted_namespace_caches_no_names(ns):
    ns.event("*").connect(wild)
    with ns.muted():
        flood(ns)
        assert len(ns._cached) <= LIMIT
    assert ns.emit("flood.1") == ["wild"]


def test_referenced_evicted_event_keeps_its_identity(ns):
    ns.event("*").connect(wild)
    event = event_of(ns, "kept")
    flood(ns)
    assert "kept" not in ns._cached
    assert event_of(ns, "kept") is event
    flood(ns)
    assert ns.event("kept") is event


USES = {
    "emit": lambda event: event.emit(1),
    "send": lambda event: [value for _, value in event.send(1)],
    "emit_async": lambda event: asyncio.run(event.emit_async(1)),
    "handlers": lambda event: [connection.handler(1) for connection in event.handlers],
}


@pytest.mark.parametrize("use", list(USES))
def test_evicted_event_reaches_old_and_new_patterns(ns, use):
    gone = ns.event("kept*")
    gone.connect(own)
    ns.event("*").connect(wild)
    event = event_of(ns, "kept")
    assert sorted(USES[use](event)) == ["own", "wild"]
    flood(ns)
    del ns["kept*"]

    def late(sender):
        return "late"

    ns.event("k*").connect(late)
    ns.event("*").connect(own, priority=1)
    assert USES[use](event) == ["own", "wild", "late"]
    assert ns._cached["kept"] is event


def test_connection_to_an_evicted_event_is_kept(ns):
    ns.event("*").connect(wild)
    event = event_of(ns, "kept")
    flood(ns)
    event.connect(own)
    del event
    gc.collect()
    flood(ns)
    assert sorted(ns.emit("kept")) == ["own", "wild"]


def test_evicted_name_can_be_declared_after_clear(ns):
    ns.event("*").connect(wild)
    event = event_of(ns, "kept")
    flood(ns)
    ns.clear()
    ns.event("*").connect(own)
    new = ns.event("kept")
    assert new is not event
    assert new.emit(1) == ["own"]
    assert event.emit(1) == []


def test_describe_lists_cached_events_on_request(api, ns):
    ns.event("order.*").connect(wild)
    ns.emit("order.placed")
    assert [node.name for node in api.describe(ns).events] == []
    assert [node.name for node in api.describe(ns, cached=True).events] == ["order.placed"]


def test_isolation_drops_only_newly_cached_events(testing, ns):
    ns.event("*").connect(wild)
    before = event_of(ns, "before")
    before.connect(own)
    with testing.Isolation(ns):
        ns.emit("meanwhile")
        ns.event("before").disconnect(own)
        assert ns.emit("before") == ["wild"]
    assert list(ns._cached) == ["before"]
    assert "before" not in ns
    assert sorted(ns.emit("before")) == ["own", "wild"]


# Changes between an eviction and the next use


@pytest.fixture
def evicted(ns):
    """Return an event that left the cache and that only this refers to."""
    ns.event("*").connect(wild)
    event = event_of(ns, "kept")
    flood(ns)
    assert "kept" not in ns._cached
    return event


def test_evicted_event_is_muted_with_its_namespace(ns, evicted):
    with ns.muted():
        assert evicted.emit(1) == ns.emit("kept", 1) == []
        evicted.connect(own)
        assert evicted.emit(1) == []
    assert evicted.emit(1) == ns.emit("kept", 1) == ["wild", "own"]


def test_muting_an_evicted_event_keeps_it_in_the_cache(ns, evicted):
    with evicted.muted():
        flood(ns)
        assert ns.emit("kept", 1) == []
    assert ns.emit("kept", 1) == ["wild"]


@pytest.mark.parametrize("use", list(USES)[:3])
def test_instrument_gets_first_emission_of_evicted_event(ns, evicted, watching, use):
    seen = watching(ns)
    USES[use](evicted)
    assert seen == ["kept"]


def test_error_policy_recaches_an_evicted_event(ns):
    ns.event("*").connect(wild)
    event = event_of(ns, "kept")
    flood(ns)
    event.on_error = "group"
    del event
    gc.collect()
    flood(ns)
    assert event_of(ns, "kept").on_error == "group"


def test_event_declared_meanwhile_keeps_its_patterns(ns, evicted):
    """A thread finds it evicted and waits for the lock; meanwhile another thread makes it an item."""
    assert ns.event("kept") is evicted
    ns._attach_patterns(evicted, [])
    assert ns.emit("kept", 1) == ["wild"]
    assert len(ns._cached) <= LIMIT
    assert "kept" not in ns._cached


def test_event_deleted_meanwhile_stays_deleted(ns, evicted):
    assert ns.event("kept") is evicted
    del ns["kept"]
    ns._attach_patterns(evicted, [])
    assert event_of(ns, "kept") is not evicted
    assert evicted.emit(1) == []


def test_isolation_undoes_patterns_of_an_evicted_event(testing, ns):
    ns.event("*").connect(wild)
    event = event_of(ns, "kept")
    with testing.Isolation(ns):
        ns.on("ke*", weak=False)(own)
        assert sorted(ns.emit("kept", 1)) == ["own", "wild"]
        flood(ns)
    assert ns.emit("kept", 1) == event.emit(1) == ["wild"]


def test_evicted_event_holds_nothing_of_patterns(ns):
    pattern = ns.event("*")
    pattern.connect(wild)

    def make():
        def handler(sender):
            return "strong"

        return handler, Sender()

    handler, sender = make()
    refs = weakref.ref(handler), weakref.ref(sender)
    held_strongly = (sender,)
    pattern.connect(handler, held_strongly, weak=False)
    event = event_of(ns, "kept")
    assert sorted(event.emit(held_strongly)) == ["strong", "wild"]
    flood(ns)
    pattern.disconnect(handler)
    del handler, sender, held_strongly
    gc.collect()
    assert [ref() for ref in refs] == [None, None]
    assert event.emit(1) == ["wild"]


def test_evicted_event_does_not_keep_a_deleted_pattern(ns, evicted):
    pattern = ns.event("ke*")
    pattern.connect(own)
    assert evicted.emit(1) == ["wild", "own"]
    flood(ns)
    ref, pattern = weakref.ref(pattern), None
    del ns["ke*"]
    gc.collect()
    assert ref() is None
    assert evicted.emit(1) == ["wild"]


@pytest.mark.slow
def test_returned_events_do_not_overfill_the_cache(ns):
    ns.event("*").connect(wild)
    events = [event_of(ns, f"held.{number}") for number in range(2 * LIMIT)]
    for event in events:
        assert event.emit(1) == ["wild"]
    assert len(ns._cached) <= LIMIT


def test_events_deleted_while_muted_are_unmuted(ns):
    ns.event("*").connect(wild)
    item, cached = ns.event("item"), event_of(ns, "cached")
    for event in item, cached:
        event.connect(own)
    with ns.muted():
        del ns["item"]
        ns.clear()
    assert item.emit(1) == cached.emit(1) == ["own"]


def test_finalizer_may_declare_an_event_during_eviction(ns, monkeypatch):
    ns.event("*").connect(wild)
    event = event_of(ns, "kept")
    cls = type(event)
    hide = cls._hide

    def hide_late(self, to_release):
        if self is event:
            assert ns.event("kept") is event
        hide(self, to_release)

    class Late(cls):
        __slots__ = ()
        _hide = hide_late

    try:
        event.__class__ = Late
    except TypeError:
        pytest.skip("this core's events keep their class")
    flood(ns)
    assert ns["kept"] is event
    assert event.emit(1) == ns.emit("kept", 1) == ["wild"]
    assert "kept" not in ns._cached


# Strict namespaces


def test_strict_namespace_rejects_undeclared_names(api):
    shop = api.Namespace(strict=True, name="shop")
    placed = shop.event("order.placed")
    for use in shop.emit, shop.emit_async, shop.on:
        with pytest.raises(
            LookupError, match=r"'order\.place' in the strict namespace 'shop': did you mean 'order\.placed'\?"
        ):
            use("order.place")
        with pytest.raises(LookupError, match="no event 'xyz' .*declare it with event"):
            use("xyz")
    shop.on("order.placed")(own)
    shop.on("*")(wild)
    assert shop.emit("order.placed", 1) == shop.emit(placed, 1) == ["own", "wild"]
    assert asyncio.run(shop.emit_async("order.placed", 1)) == ["own", "wild"]
    with pytest.raises(LookupError):
        shop.emit("anything")
    assert (shop.strict, api.Namespace().strict) == (True, False)
    assert len(shop) == 1


def test_strict_and_name_are_checked(api):
    with pytest.raises(TypeError, match="strict must be True or False, not 'no'"):
        api.Namespace(strict="no")
    with pytest.raises(TypeError, match="name must be a str or None, not 5"):
        api.Namespace(name=5)


def test_namespace_name_is_shown_in_reprs(api):
    shop = api.Namespace(name="shop")
    assert shop.name == "shop"
    assert repr(shop.event("order.placed")) == "<Event 'order.placed' in 'shop': 0 handlers>"
    assert repr(shop) == "<Namespace 'shop': 1 event>"
    assert repr(api.Namespace()) == "<Namespace: 0 events>"
    assert api.Namespace().name is None


# Muted namespaces


def test_muted_namespace_calls_no_handlers(ns, fire):
    ns.on("order.placed")(own)
    ns.event("*").connect(wild)
    with ns.muted() as same:
        assert same is ns
        assert fire(ns, "order.placed", 1) == fire(ns, "user.created", 1) == []
        made = ns.event("made.meanwhile")
        assert made.emit(1) == []
        with ns.muted():
            pass
        assert fire(ns, "order.placed", 1) == []
    assert fire(ns, "order.placed", 1) == ["own", "wild"]
    assert fire(ns, "user.created", 1) == ["wild"]
    assert made.emit(1) == ["wild"]


def test_muting_event_and_namespace_is_independent(ns):
    event = ns.event("x")
    event.connect(own)
    with event.muted():
        with ns.muted():
            pass
        assert event.emit(1) == []
    assert event.emit(1) == ["own"]


# Copies


def test_copy_of_a_namespace_is_the_namespace(ns):
    import copy
    import pickle

    ns.event("x*")
    ns.event("x").connect(own)
    assert copy.copy(ns) is ns
    assert copy.deepcopy({"ns": [ns]})["ns"][0] is ns
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(ns)
