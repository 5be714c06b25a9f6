"""What travels, and what does not: messages as bytes, and back; hostile bytes."""

import dataclasses
import datetime
import decimal
import enum
import importlib
import json
import math
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
        with pytest.raises(TypeError, match=r"cannot travel: register its type, as by bridge.register\("):
            codec.pack(message(messages, bad))
    deep = []
    deep.append(deep)
    with pytest.raises(TypeError, match="nested too deeply"):
        codec.pack(message(messages, deep))


def test_what_cannot_be_registered(messages, codec):
    for bad in (Money, object):
        with pytest.raises(TypeError, match="register it with encode= and decode="):
            codec.register(bad)
    with pytest.raises(TypeError, match="a type is registered"):
        codec.register(Order(1, None))
    with pytest.raises(TypeError, match="both, or neither"):
        codec.register(Money, encode=str)
    codec.register(Order)
    codec.register(Order)
    with pytest.raises(ValueError, match="there is another type by the name 'Order'"):
        codec.register(Point, name="Order")
    with pytest.raises(ValueError, match="there is another type by the name 'tuple'"):
        codec.register(Point, name="tuple")
    codec.register(Order, name="order")
    codec.register(Point, name="Order")
    with pytest.raises(ValueError, match="form must be"):
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
