"""Messages as bytes, and back: values that can be sent, values that cannot, and hostile bytes."""

import dataclasses
import datetime
import decimal
import enum
import importlib
import json
import math
import typing
import uuid

import msgspec
import pytest


@pytest.fixture
def messages(api):
    return importlib.import_module("cyevents_bridge._codec")


@pytest.fixture(params=["json", "msgpack"])
def codec(messages, request):
    return messages.Codec(request.param)


def message(messages, sender=None, *args, **kwargs):
    return messages.Message("order.placed", "id 1", "me", None, sender, args, kwargs, {})


@dataclasses.dataclass
class Order:
    number: int
    placed: datetime.datetime
    items: list[str] = dataclasses.field(default_factory=list)


class Point(msgspec.Struct):
    x: float
    y: float


class Color(enum.Enum):
    RED = "red"


class Money:
    def __init__(self, cents):
        self.cents = cents

    def __eq__(self, other):
        return type(other) is Money and other.cents == self.cents

    __hash__ = None


VALUES = [
    None,
    True,
    False,
    0,
    -1,
    2**63,
    2**200,
    -(2**200),
    1.5,
    math.inf,
    -math.inf,
    "",
    "ünï \x00 ☃",
    b"",
    b"\x00\xff",
    [],
    [1, [2, {"a": None}]],
    {},
    {"a": {"b": [1]}},
    {"$": 1},
    {"$": "Order", "of": 1},
    {1: 2, (3, 4): "x"},
    (),
    (1, (2,)),
    {1, 2},
    frozenset({"a"}),
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.UTC),
    datetime.datetime(2026, 1, 2),
    datetime.date(2026, 1, 2),
    datetime.time(3, 4, 5),
    datetime.timedelta(1, 2, 3),
    decimal.Decimal("1.10"),
    uuid.UUID(int=1),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_that_travel_by_themselves(messages, codec, value):
    found = codec.unpack(codec.pack(message(messages, value, value, key=value)))
    for arrived in (found.sender, found.args[0], found.kwargs["key"]):
        assert arrived == value
        assert type(arrived) is type(value)
    assert (found.event, found.id, found.origin, found.group) == ("order.placed", "id 1", "me", None)


def test_no_sender(api, messages, codec):
    assert codec.unpack(codec.pack(message(messages, api.ANY))).sender is api.ANY


def test_not_a_number(messages, codec):
    assert math.isnan(codec.unpack(codec.pack(message(messages, math.nan))).sender)


def test_registered_types(messages, codec):
    codec.register(Order)
    codec.register(Point)
    codec.register(Color)
    codec.register(Money, name="cents", encode=lambda money: money.cents, decode=Money)
    order = Order(7, datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), ["a"])
    values = [order, Point(1, 2), Color.RED, Money(5), [order, {"a": Color.RED}]]
    assert list(codec.unpack(codec.pack(message(messages, None, *values))).args) == values


def test_pydantic_models(messages, codec):
    pydantic = pytest.importorskip("pydantic")

    class Model(pydantic.BaseModel):
        number: int
        when: datetime.date

    codec.register(Model)
    value = Model(number=1, when=datetime.date(2026, 1, 2))
    assert codec.unpack(codec.pack(message(messages, value))).sender == value


def test_what_cannot_travel(messages, codec):
    class Sub(str):
        pass

    for bad in (object(), Order(1, None), Sub("x"), Color.RED, print, Exception(), [object()], {"a": object()}):
        with pytest.raises(TypeError, match=r"cannot be sent: register the type with bridge.register\("):
            codec.pack(message(messages, bad))
    deep = []
    deep.append(deep)
    with pytest.raises(TypeError, match="nested more than 100 levels deep"):
        codec.pack(message(messages, deep))


def test_what_cannot_be_registered(messages, codec):
    for bad in (Money, object):
        with pytest.raises(TypeError, match="register it with encode= and decode="):
            codec.register(bad)
    with pytest.raises(TypeError, match="needs a type, not"):
        codec.register(Order(1, None))
    with pytest.raises(TypeError, match="needs both encode and decode, or neither"):
        codec.register(Money, encode=str)
    codec.register(Order)
    codec.register(Order)
    with pytest.raises(ValueError, match="another type has the name 'Order'"):
        codec.register(Point, name="Order")
    with pytest.raises(ValueError, match="another type has the name 'tuple'"):
        codec.register(Point, name="tuple")
    codec.register(Order, name="order")
    codec.register(Point, name="Order")
    with pytest.raises(ValueError, match="encoding must be"):
        messages.Codec("pickle")


GOOD = {"v": 1, "event": "x", "id": "1", "from": "me", "args": [], "kwargs": {}}
BAD = [
    b"",
    b"{",
    b"\xff\xfe",
    b"[]",
    b"1",
    b"[" * 100_000,
    {},
    {**GOOD, "v": 2},
    {**GOOD, "event": ""},
    {**GOOD, "event": 1},
    {**GOOD, "id": None},
    {**GOOD, "from": []},
    {**GOOD, "args": {}},
    {**GOOD, "kwargs": []},
    {**GOOD, "group": 1},
    {**GOOD, "context": {"a": 1}},
    {**GOOD, "context": []},
    {**GOOD, "sender": {"$": "os.system", "of": "true"}},
    {**GOOD, "sender": {"$": ["x"], "of": 1}},
    {**GOOD, "sender": {"$": "tuple"}},
    {**GOOD, "sender": {"$": "tuple", "of": 1}},
    {**GOOD, "sender": {"$": "tuple", "of": [], "more": 1}},
    {**GOOD, "args": [{"$": "bytes", "of": "***"}]},
    {**GOOD, "args": [{"$": "Decimal", "of": "x"}]},
    {**GOOD, "args": [{"$": "timedelta", "of": [1]}]},
    {**GOOD, "args": [{"$": "datetime", "of": 5}]},
    {**GOOD, "args": [{"$": "dict", "of": [[1]]}]},
    {**GOOD, "args": [{"$": "set", "of": [[]]}]},
    {**GOOD, "args": [{"$": "UUID", "of": "x"}]},
]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_what_is_no_message(messages, bad):
    codec = messages.Codec()
    body = bad if isinstance(bad, bytes) else json.dumps(bad).encode()
    with pytest.raises(messages.Malformed):
        codec.unpack(body)


def test_a_decoder_that_fails(messages, codec):
    codec.register(Money, encode=lambda money: money.cents, decode=lambda cents: 1 / 0)
    with pytest.raises(messages.Malformed, match="ZeroDivisionError"):
        codec.unpack(codec.pack(message(messages, Money(1))))


def test_a_type_that_changed_its_shape(messages, codec):
    codec.register(Order, name="Order", encode=lambda order: {"number": "no number"}, decode=dict)
    body = codec.pack(message(messages, Order(1, None)))
    other = messages.Codec("json" if body[:1] == b"{" else "msgpack")
    other.register(Order)
    with pytest.raises(messages.Malformed, match="Expected `int`"):
        other.unpack(body)


# Limits

PRIME = 2**61 - 1  # ints that differ by a multiple of it have the same hash
COLLIDING = [number * PRIME for number in range(65)]


@dataclasses.dataclass
class Sets:
    numbers: set[int]


@dataclasses.dataclass
class Nested:
    sets: list[Sets | None]


Ids = typing.NewType("Ids", set[int])
BoundT = typing.TypeVar("BoundT", bound=frozenset)


@dataclasses.dataclass
class Renamed:
    ids: Ids


@dataclasses.dataclass
class Bound(typing.Generic[BoundT]):
    ids: BoundT


@dataclasses.dataclass
class Keyed:
    by_id: dict[uuid.UUID, int]


class Pair(typing.NamedTuple):
    one: frozenset[int]


@dataclasses.dataclass
class Listed:
    numbers: list[int]
    by_name: dict[str, list[int]]


COLLISIONS = [
    set(COLLIDING),
    frozenset(COLLIDING),
    dict.fromkeys(COLLIDING),
    {(number,) for number in COLLIDING},
    {uuid.UUID(int=number) for number in COLLIDING},
    {decimal.Decimal(number) for number in COLLIDING},
    {datetime.timedelta(1), *COLLIDING},
]


@pytest.mark.parametrize("value", COLLISIONS, ids=range(len(COLLISIONS)))
def test_many_keys_with_one_hash_do_not_travel(messages, codec, value, monkeypatch):
    with pytest.raises(TypeError, match="more than 64 keys or members of a set have the same hash"):
        codec.pack(message(messages, value))
    monkeypatch.setattr(messages, "_MAX_SAME_HASH", 10**6)  # as somebody would who means harm
    body = codec.pack(message(messages, value))
    monkeypatch.undo()
    with pytest.raises(messages.Malformed, match="more than 64 keys or members of a set have the same hash"):
        codec.unpack(body)


def test_large_values_travel(messages, codec):
    for value in (set(range(100_000)), dict.fromkeys(range(50_000)), [0] * 100_000, {1, *COLLIDING[:60]}):
        assert codec.unpack(codec.pack(message(messages, value))).sender == value


@pytest.mark.parametrize(
    "value",
    [
        Sets(set(range(1001))),
        Nested([None, Sets(set(range(1001)))]),
        Keyed({uuid.UUID(int=number): 1 for number in range(1001)}),
    ],
    ids=["set", "nested", "dict"],
)
def test_sets_within_registered_types_are_small(messages, codec, value, monkeypatch):
    codec.register(type(value))
    with pytest.raises(TypeError, match="more than 1000 items in a value whose type has sets or dicts"):
        codec.pack(message(messages, value))
    monkeypatch.setattr(messages, "_MAX_CONVERTED", 10**6)
    body = codec.pack(message(messages, value))
    assert codec.unpack(body).sender == value
    monkeypatch.undo()
    with pytest.raises(messages.Malformed, match="more than 1000 items"):
        codec.unpack(body)


def test_lists_within_registered_types_may_be_large(messages, codec):
    codec.register(Listed)
    value = Listed(list(range(5000)), {str(number): [1] for number in range(5000)})
    assert codec.unpack(codec.pack(message(messages, value))).sender == value


def test_which_types_make_sets(messages):
    makes = {
        cls: messages._makes_hashes(cls, {})
        for cls in (Sets, Nested, Renamed, Bound, Keyed, Pair, Listed, Order, Point)
    }
    assert [cls for cls, has in makes.items() if has] == [Sets, Nested, Renamed, Bound, Keyed, Pair]


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


def test_flags_have_known_bits_only(messages, codec):
    """Python keeps a member for every value that a flag is made of."""
    codec.register(Rights)
    for value in (Rights.READ, Rights.READ | Rights.WRITE, Rights(0)):
        assert codec.unpack(codec.pack(message(messages, value))).sender == value
    kept = len(Rights._value2member_map_)
    for number in (4, 7, -1, 2**70, 1.0, "1", None):
        body = codec._dump(
            {**GOOD, "sender": {"$": "Rights", "of": number if number != 2**70 else {"$": "int", "of": "9" * 30}}}
        )
        with pytest.raises(messages.Malformed, match="not a value of Rights"):
            codec.unpack(body)
    assert len(Rights._value2member_map_) == kept


@pytest.mark.parametrize("part", ["event", "id", "from"])
def test_names_are_short(messages, part):
    """Namespaces remember the names that have arrived, and engines the ids."""
    body = json.dumps({**GOOD, part: "x" * 1000}).encode()
    assert messages.Codec().unpack(body)
    with pytest.raises(messages.Malformed, match="more than 1000 characters"):
        messages.Codec().unpack(json.dumps({**GOOD, part: "x" * 1001}).encode())


def test_a_long_name_cannot_be_emitted(messages, codec):
    with pytest.raises(ValueError, match="cannot be published: a name has at most 1000 characters"):
        codec.pack(messages.Message("x" * 1001, "1", "me", None, 1, (), {}, {}))


def test_a_second_sender_is_malformed(messages):
    with pytest.raises(messages.Malformed, match="a second sender"):
        messages.Codec().unpack(json.dumps({**GOOD, "kwargs": {"sender": 1}}).encode())


def nested(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def test_nesting_is_limited(messages, codec, monkeypatch):
    assert codec.unpack(codec.pack(message(messages, nested(100)))).sender == nested(100)
    with pytest.raises(TypeError, match="nested more than 100 levels deep"):
        codec.pack(message(messages, nested(101)))
    monkeypatch.setattr(messages, "_MAX_DEPTH", 10**6)
    body = codec.pack(message(messages, nested(150)))
    monkeypatch.undo()
    with pytest.raises(messages.Malformed, match="nested more than 100 levels deep"):
        codec.unpack(body)


@pytest.mark.parametrize("kind", [tuple, list, set, frozenset, dict])
def test_every_kind_is_nested_as_deeply_at_both_ends(messages, codec, kind, monkeypatch):
    """What can be emitted arrives: in whatever it is nested, each end counts the same levels."""
    value, deepest = 1, None
    while True:
        value = {"tuple": lambda v: (v,), "list": lambda v: [v], "dict": lambda v: {"$": v}}.get(
            kind.__name__, lambda v: frozenset([v])
        )(value)
        try:
            body = codec.pack(message(messages, value))
        except TypeError:
            break
        deepest = value
        assert codec.unpack(body).sender == value
    assert deepest is not None


@pytest.mark.parametrize(
    "value",
    [10**4301, -(10**4301), decimal.Decimal(10**4400), "\ud800", {"\udfff": 1}, ["a", {"b": "\ud912"}]],
    ids=range(6),
)
def test_what_has_no_text_is_a_type_error(messages, codec, value):
    with pytest.raises(TypeError, match="an argument of 'order.placed' cannot be sent"):
        codec.pack(message(messages, value))


def test_long_numbers_travel(messages, codec):
    for value in (10**4299, -(10**4299), decimal.Decimal(10**4299), decimal.Decimal("1e-4000")):
        assert codec.unpack(codec.pack(message(messages, value))).sender == value


@pytest.mark.parametrize("name", ["int", "float", "Decimal"])
def test_the_text_of_a_number_is_short(messages, name):
    body = json.dumps({**GOOD, "sender": {"$": name, "of": "9" * 100_000}}).encode()
    with pytest.raises(messages.Malformed, match="a number has more than 4300 digits"):
        messages.Codec().unpack(body)


@pytest.mark.parametrize("more", [0, 10_000], ids=["small", "large"])
@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ({1: 2}, "key must be a string|Expected `str`"),
        ([{"a": {1.5: 2}}], "key must be a string|Expected `str`"),
        (b"bytes", "cannot contain a plain bytes|Expected `int | float | str | bool | null`"),
        ([msgspec.msgpack.Ext(5, b"x")], "cannot contain a plain Ext|Expected `int | float | str | bool | null`"),
    ],
)
def test_msgpack_has_only_what_json_has(messages, value, wrong, more):
    """In large messages this is seen before a dict is made: its keys could have any hash."""
    body = msgspec.msgpack.encode({**GOOD, "sender": value, "args": ["x" * more]})
    with pytest.raises(messages.Malformed, match=wrong):
        messages.Codec("msgpack").unpack(body)


def test_large_messages_in_msgpack(messages):
    codec = messages.Codec("msgpack")
    value = [{"a": [1, 2.5, None, True, "x"], "b": {"c": (1, 2)}, "d": {1: {2}}}] * 1000
    assert codec.unpack(codec.pack(message(messages, value))).sender == value


def test_what_is_said_of_a_message_is_short_and_one_line(messages):
    body = json.dumps({**GOOD, "sender": {"$": "x\nERROR forged" + "y" * 10_000, "of": 1}}).encode()
    with pytest.raises(messages.Malformed) as caught:
        messages.Codec().unpack(body)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
