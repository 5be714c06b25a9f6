"""The total order of an event's handlers, and which of several connections calls a handler."""

import asyncio
import decimal
import enum
import functools
import itertools
import random

import pytest


class Named:
    """Makes every kind of handler; each returns the name."""

    def __init__(self, name):
        self.name = name

    def method(self, sender, **kwargs):
        return self.name

    def __call__(self, sender, **kwargs):
        return self.name

    def function(self):
        def handler(sender, **kwargs):
            return self.name

        return handler

    def generator(self):
        def handler(sender, **kwargs):
            yield self.name

        return handler


def named(name, sender, **kwargs):
    return name


# How connections differ: their options and where they are made (at the event, for a sender, at patterns).
SUBJECTS = {
    "function": lambda name: Named(name).function(),
    "generator": lambda name: Named(name).generator(),
    "method": lambda name: Named(name).method,
    "object": Named,
    "partial": lambda name: functools.partial(named, name),
}
PLACES = [("user.created", None), ("user.created", "ada"), ("user.*", None), ("*.created", "ada"), ("!order.*", None)]


@pytest.mark.parametrize("seed", range(8))
def test_order_by_priority_then_registration(api, ns, fire, seed):
    shuffle = random.Random(seed)
    connections = list(itertools.product(SUBJECTS, PLACES))
    shuffle.shuffle(connections)
    keep, expected = [], []
    event = ns.event("user.created")
    for number, (subject, (place, sender)) in enumerate(connections):
        priority = shuffle.choice([-1, 0, 0, 7])
        handler = SUBJECTS[subject](number)
        keep.append(handler)
        target = ns.event(place)
        target.connect(handler, sender=api.ANY if sender is None else sender, weak=False, priority=priority)
        expected.append((-priority, number))
    results = fire(event, "ada")
    assert [result[0] if isinstance(result, list) else result for result in results] == [
        number for _, number in sorted(expected)
    ]


def test_event_created_after_patterns_has_the_same_order(ns, fire):
    handlers = {name: Named(name) for name in "abcd"}
    ns.event("user.*").connect(handlers["a"])
    ns.event("*").connect(handlers["b"], priority=1)
    event = ns.event("user.created")
    event.connect(handlers["c"])
    ns.event("user.?reated").connect(handlers["d"])
    assert fire(event, 1) == ["b", "a", "c", "d"]


def test_order_covers_all_senders(ns, fire):
    a, b, c, d = map(Named, "abcd")
    event = ns.event("x")
    event.connect(a, sender="s")
    event.connect(b)
    event.connect(c, sender="s")
    event.connect(d, priority=-1, sender="s")
    assert fire(event, "s") == ["a", "b", "c", "d"]
    assert fire(event, "t") == ["b"]


def test_async_results_are_in_dispatch_order(api, run):
    event = api.Event("x")
    order = []

    async def slow(sender):
        await quick_is_done.wait()
        order.append("slow")
        return "slow"

    async def quick(sender):
        order.append("quick")
        quick_is_done.set()
        return "quick"

    async def main():
        nonlocal quick_is_done
        quick_is_done = asyncio.Event()
        return await event.emit_async(1)

    quick_is_done = None
    event.connect(slow)
    event.connect(quick)
    assert run(main()) == ["slow", "quick"]
    assert order == ["quick", "slow"]


class Level(enum.IntEnum):
    HIGH = 2**40


PRIORITIES = [10**100, 2**64, 2**63, 2**63 - 1, 2**53 + 1, 2**53, Level.HIGH, 2**31, 1, 0, -1, -(2**63), -(10**100)]


@pytest.mark.parametrize("seed", range(3))
def test_priority_is_an_int_of_any_size(ns, fire, seed):
    handlers = {priority: Named(priority) for priority in PRIORITIES}
    for priority in random.Random(seed).sample(PRIORITIES, len(PRIORITIES)):
        ns.event("x").connect(handlers[priority], priority=priority)
    assert fire(ns.event("x"), 1) == PRIORITIES
    assert [connection.priority for connection in ns.event("x").handlers] == PRIORITIES


class Indexable:
    def __index__(self):
        return 1


def connect(ns, handler, **options):
    ns.event("x").connect(handler, **options)


def on(ns, handler, **options):
    ns.on("x", **options)(handler)


def subscribe(ns, handler, **options):
    ns.event("x").subscribe(handler, **options)


def connected_to(ns, handler, **options):
    with ns.event("x").connected_to(handler, **options):
        pass


@pytest.mark.parametrize("way", [connect, on, subscribe, connected_to])
@pytest.mark.parametrize("priority", [1.0, "1", None, decimal.Decimal(1), Indexable(), b"1"], ids=repr)
def test_priority_rejects_other_types(ns, way, priority):
    handler = Named("a")
    with pytest.raises(TypeError, match="priority"):
        way(ns, handler, priority=priority)
    assert ns.event("x").handlers == []


# Once per event and sender


def truth(sender, **kwargs):
    return True


@pytest.mark.parametrize(
    ("option", "value", "default"),
    [
        ("priority", 5, 0),
        ("condition", truth, None),
        ("weak", False, True),
        ("once", True, False),
        ("with_event", True, False),
        ("thread", True, False),
    ],
)
@pytest.mark.parametrize("place", ["user.created", "user.*"])
def test_connecting_again_replaces_the_options(api, ns, place, option, value, default):
    handler = Named("a").function()
    event = ns.event(place)
    for options, expected in [({option: value}, value), ({}, default), ({option: value}, value)]:
        event.connect(handler, **options)
        (connection,) = event.handlers
        assert getattr(connection, option) == expected


def test_connecting_again_replaces_the_condition(ns, fire):
    handler = Named("a")
    event = ns.event("x")
    event.connect(handler, condition=lambda sender, **kwargs: False)
    assert fire(event, 1) == []
    event.connect(handler)
    assert fire(event, 1) == ["a"]


@pytest.mark.parametrize("place", ["user.created", "user.*"])
@pytest.mark.parametrize("sender", [None, "ada"])
def test_connecting_again_counts_as_a_new_registration(api, ns, fire, place, sender):
    a, b, c = map(Named, "abc")
    event, target = ns.event("user.created"), ns.event(place)
    sender = api.ANY if sender is None else sender
    for handler in (a, b, c, a):
        target.connect(handler, sender=sender)
    assert fire(event, "ada") == ["b", "c", "a"]


def test_connecting_again_moves_to_the_new_priority(ns, fire):
    a, b = map(Named, "ab")
    event = ns.event("x")
    event.connect(a, priority=1)
    event.connect(b)
    assert fire(event, 1) == ["a", "b"]
    event.connect(a, priority=-1)
    assert fire(event, 1) == ["b", "a"]


@pytest.mark.parametrize("make", [lambda owner: owner.method, lambda owner: owner], ids=["method", "object"])
def test_method_of_one_object_is_one_handler(ns, fire, make):
    owner, other = Named("a"), Named("b")
    event = ns.event("x")
    for each in (owner, other, owner):
        event.connect(make(each))
    assert fire(event, 1) == ["b", "a"]
    assert len(event.handlers) == 2


def test_equal_but_distinct_handlers_both_run(ns, fire):
    class Equal(Named):
        __hash__ = object.__hash__

        def __eq__(self, other):
            return True

    a, b = Equal("a"), Equal("b")
    event = ns.event("x")
    event.connect(a)
    event.connect(b)
    event.connect(a.method)
    event.connect(b.method)
    assert fire(event, 1) == ["a", "b", "a", "b"]


def test_two_senders_make_two_connections(ns, fire):
    handler = Named("a")
    event = ns.event("x")
    event.connect(handler, sender="s", priority=1)
    event.connect(handler, sender="t", priority=2)
    assert {connection.sender: connection.priority for connection in event.handlers} == {"s": 1, "t": 2}
    assert fire(event, "s") == fire(event, "t") == ["a"]


# One call per handler

LEVELS = {
    "event and sender": ("user.created", True),
    "event": ("user.created", False),
    "pattern and sender": ("user.*", True),
    "pattern": ("user.*", False),
}
SUBSETS = [subset for size in range(1, 5) for subset in itertools.combinations(LEVELS, size)]


@pytest.mark.parametrize("turned", [False, True], ids=["in order", "reversed"])
@pytest.mark.parametrize("subset", SUBSETS, ids=" + ".join)
def test_most_specific_connection_calls_once(api, ns, fire, subset, turned):
    checked = []
    handler = Named("a")

    def connect(level):
        def condition(sender, **kwargs):
            checked.append(level)
            return True

        place, special = LEVELS[level]
        ns.event(place).connect(handler, sender="ada" if special else api.ANY, condition=condition)

    for level in reversed(subset) if turned else subset:
        connect(level)
    assert fire(ns.event("user.created"), "ada") == ["a"]
    assert checked == [subset[0]]


def test_handler_runs_at_its_winning_connection(ns, fire):
    a, b, c = map(Named, "abc")
    event = ns.event("x")
    event.connect(a, sender="s", priority=-1)
    event.connect(a, priority=9)
    event.connect(b)
    ns.event("*").connect(c, priority=9)
    event.connect(c, priority=-2)
    assert fire(event, "s") == ["b", "a", "c"]
    assert fire(event, "t") == ["a", "b", "c"]


@pytest.mark.parametrize("special", [False, True], ids=["any sender", "sender"])
@pytest.mark.parametrize("patterns", [["user.*", "*.created"], ["*.created", "user.*"]], ids=" then ".join)
def test_latest_of_two_patterns_wins(api, ns, fire, patterns, special):
    handler = Named("a")
    sender = "ada" if special else api.ANY
    checked = []

    def connect(pattern):
        def condition(sender, **kwargs):
            checked.append(pattern)
            return True

        ns.event(pattern).connect(handler, sender=sender, condition=condition)

    event = ns.event("user.created")
    for pattern in patterns:
        connect(pattern)
    assert fire(event, "ada") == ["a"]
    connect(patterns[0])
    assert fire(event, "ada") == ["a"]
    assert checked == [patterns[1], patterns[0]]


def test_false_condition_does_not_fall_back(ns, fire):
    handler = Named("a")
    event = ns.event("x")
    event.connect(handler)
    event.connect(handler, sender="s", condition=lambda sender, **kwargs: False)
    assert fire(event, "s") == []
    assert fire(event, "t") == ["a"]


def test_no_fallback_during_an_emission(ns, fire):
    handler = Named("a")
    event = ns.event("x")
    event.connect(handler)
    event.connect(handler, sender="s")

    def disconnect(sender):
        event.disconnect(handler, "s")

    event.connect(disconnect, priority=1)
    assert fire(event, "s") == []
    assert fire(event, "s") == ["a"]


def test_fallback_after_the_specific_one_is_gone(ns, fire):
    handler = Named("a")
    event = ns.event("x")
    event.connect(handler, priority=3)
    event.connect(handler, sender="s", once=True)
    assert fire(event, "s") == ["a"]
    assert event.has_handlers_for("s")
    assert fire(event, "s") == ["a"]
    assert [connection.priority for connection in event.handlers] == [3]
