"""How senders are compared, and how they are held."""

import enum
import os
import pathlib
import subprocess
import sys
import tracemalloc
import uuid
import weakref
from random import Random

import pytest


class Sender:
    """Supports weak references, is small, and equals everything."""

    __slots__ = ("__weakref__",)
    __hash__ = None

    def __eq__(self, other):
        return True


class Incomparable:
    """Raises if compared, hashed or tested for truth."""

    def __eq__(self, other):
        raise RuntimeError

    __hash__ = __bool__ = __len__ = __repr__ = __eq__


class Text(str):
    def __eq__(self, other):
        return False

    def __hash__(self):
        return 7

    def __str__(self):
        return "misleading"


class Bytes(bytes):
    def __eq__(self, other):
        return False

    def __hash__(self):
        return 7

    def __bytes__(self):
        return b"misleading"


class Number(int):
    def __eq__(self, other):
        return False

    def __hash__(self):
        return 7

    def __index__(self):
        return -1

    __int__ = __index__


class TextEnum(str, enum.Enum):
    A = "text"


class StrEnum(enum.StrEnum):
    A = "text"


class NumberEnum(enum.IntEnum):
    A = 10**6


class BytesEnum(bytes, enum.Enum):
    A = b"text"


class Flags(enum.IntFlag):
    A = 2**20


@pytest.fixture
def received(api, ns):
    """Emit for one sender to a handler connected for another; return what it got: `received(connected, emitting)`."""

    def try_(connected, emitting):
        event = ns.event("x")
        event.clear()
        event.connect(handler, sender=connected)
        assert event.emit(connected) == ["received"]
        answer = event.emit(emitting) == ["received"]
        assert event.has_handlers_for(emitting) is answer
        if emitting is not api.ANY:  # ANY disconnects all
            assert event.disconnect(handler, emitting) is answer
        return answer

    def handler(sender):
        return "received"

    return try_


TWICE = {
    "tuple": lambda: tuple([1, 2]),
    "uuid": lambda: uuid.UUID(int=5),
    "list": list,
    "dict": dict,
    "float": lambda: float("1.5"),
    "frozenset": lambda: frozenset([1]),
    "bytearray": lambda: bytearray(b"ab"),
    "object": Sender,
}


@pytest.mark.parametrize("kind", TWICE)
def test_senders_are_compared_by_identity(received, kind):
    a, b = TWICE[kind](), TWICE[kind]()
    assert a == b and a is not b
    assert received(a, a)
    assert not received(a, b)


def test_senders_are_neither_compared_nor_hashed(received):
    a, b = Incomparable(), Incomparable()
    assert received(a, a)
    assert not received(a, b)


@pytest.mark.parametrize("sender", [Sender, int, len, sys], ids=str)
def test_anything_can_be_a_sender(received, sender):
    assert received(sender, sender)
    assert not received(sender, "other")


SAME = [
    ("text", "".join(["te", "xt"])),
    (b"text", b"".join([b"te", b"xt"])),
    (10**6, int("1000000")),
    (10**50, int("1" + "0" * 50)),
    (0, int("0")),
    ("text", Text("text")),
    (b"text", Bytes(b"text")),
    (10**6, Number(10**6)),
    ("text", TextEnum.A),
    ("text", StrEnum.A),
    (TextEnum.A, StrEnum.A),
    (b"text", BytesEnum.A),
    (10**6, NumberEnum.A),
    (2**20, Flags.A),
    ("", Text()),
]


@pytest.mark.parametrize(("a", "b"), SAME, ids=lambda value: f"{type(value).__name__} {value!r}"[:30])
def test_str_bytes_and_int_are_compared_by_value(received, a, b):
    assert received(a, b)
    assert received(b, a)


OTHER = [
    ("text", "Text"),
    ("text", b"text"),
    (1, "1"),
    (1, True),
    (0, False),
    (1, 1.0),
    (0, None),
    (False, None),
    (97, b"a"),
    ("", b""),
    ("ANY", None),
    (5, (int, 5)),
    (b"a", (bytes, b"a")),
    (b"text", bytearray(b"text")),
    (Text("a"), Text("b")),
    (Number(1), Number(2)),
    (10**6, 10**6 + 2**61 - 1),  # with equal hashes
    (-1, -2),
]


@pytest.mark.parametrize(("a", "b"), OTHER, ids=repr)
def test_different_types_and_values_are_different_senders(received, a, b):
    assert not received(a, b)
    assert not received(b, a)


def test_bool_is_compared_by_identity(received):
    assert received(True, True)
    assert not received(True, False)


def test_int_does_not_match_an_object_with_that_id(received):
    sender = Sender()
    assert not received(sender, id(sender))
    assert not received(id(sender), sender)
    assert not received(None, id(None))
    assert not received(id(None), None)


def test_none_is_an_ordinary_sender(api, received, ns):
    assert received(None, None)
    assert not received(None, "other")
    assert not received(None, api.ANY)
    assert not received("other", None)


def test_no_sender_reaches_only_handlers_for_any(api, ns):
    senders = []
    event = ns.event("x")
    event.connect(senders.append, weak=False)
    event.connect(lambda sender: 1 / 0, sender="s", weak=False)
    event.emit()
    event.emit(api.ANY)
    event.emit(sender=None)
    assert senders == [api.ANY, api.ANY, None]


def test_handlers_for_any_get_every_sender(ns):
    senders = []
    event = ns.event("x")
    event.connect(senders.append, weak=False)
    event.connect(print, sender="text", weak=False, condition=lambda sender: False)
    tried = ["text", b"text", 1, True, None, 1.5, Sender()]
    for sender in tried:
        event.emit(sender)
    assert [id(sender) for sender in senders] == [id(sender) for sender in tried]


# How senders are held


@pytest.mark.parametrize("place", ["user.created", "user.*"])
@pytest.mark.parametrize("warm", [False, True], ids=["", "after an emission"])
def test_connections_end_with_their_sender(ns, collect, place, warm):
    event, target = ns.event("user.created"), ns.event(place)
    sender, other = Sender(), Sender()

    def handler(sender):
        return "received"

    target.connect(handler, sender=sender, weak=False)
    target.connect(handler, sender=other)
    if warm:
        assert event.emit(sender) == ["received"]
    gone = weakref.ref(sender)
    assert len(event.handlers) == 2
    del sender
    collect()
    assert gone() is None
    assert [connection.sender for connection in event.handlers] == [other]
    assert event.emit(other) == ["received"]


@pytest.mark.parametrize("place", ["user.created", "user.*"])
def test_reused_id_does_not_match_a_dead_sender(ns, collect, place):
    event, target = ns.event("user.created"), ns.event(place)

    def handler(sender):
        return "for the dead"

    met = 0
    others = []
    for _ in range(100):
        sender = Sender()
        address = id(sender)
        target.connect(handler, sender=sender)
        assert event.emit(sender) == ["for the dead"]
        del sender
        collect()
        fresh = [Sender() for _ in range(100)]
        others += fresh
        for other in fresh:
            if id(other) == address:
                met += 1
                assert event.emit(other) == []
                assert not event.has_handlers_for(other)
                event.connect(handler, sender=other)
                assert event.emit(other) == ["for the dead"]
                assert event.disconnect(handler, other)
        if met:
            return
    pytest.skip("no address was reused")


class Frozen:
    """Supports no weak references."""

    __slots__ = ("inside",)

    def __init__(self, inside):
        self.inside = inside


@pytest.mark.parametrize("release", ["disconnect", "disconnect for the sender", "clear", "spent", "handler dies"])
@pytest.mark.parametrize("make", [Frozen, lambda inside: (inside,)], ids=["slots", "tuple"])
@pytest.mark.parametrize("place", ["user.created", "user.*"])
def test_sender_without_weak_references_is_held(ns, collect, place, make, release):
    event, target = ns.event("user.created"), ns.event(place)
    inside = Sender()
    gone = weakref.ref(inside)
    sender = make(inside)
    del inside

    def handler(sender):
        return "received"

    target.connect(handler, sender=sender, once=release == "spent")
    if release != "spent":
        assert event.emit(sender) == ["received"]
    del sender
    collect()
    (connection,) = event.handlers
    sender = connection.sender
    del connection
    assert gone() is (sender[0] if isinstance(sender, tuple) else sender.inside)
    assert event.has_handlers_for(sender)
    if release == "disconnect":
        assert target.disconnect(handler)
    elif release == "disconnect for the sender":
        assert target.disconnect(handler, sender)
    elif release == "clear":
        target.clear()
    elif release == "spent":
        assert event.emit(sender) == ["received"]
    else:
        del handler
    del sender
    collect()
    assert gone() is None
    assert event.handlers == []


@pytest.mark.parametrize("connected", [False, True], ids=["without handlers", "with handlers for others"])
def test_emission_does_not_keep_the_sender(ns, collect, connected):
    event, other = ns.event("x"), Sender()

    def handler(sender):
        return "received"

    if connected:
        event.connect(handler, sender=other)
        event.connect(handler, sender=(1, 2))
    sender = Sender()
    gone = weakref.ref(sender)
    assert event.emit(sender) == []
    assert not event.has_handlers_for(sender)
    del sender
    collect()
    assert gone() is None


# python -bb

MIXED = """
import enum
import cyevents
assert cyevents.backend == {backend!r}

class Name(str): pass
class Raw(bytes): pass
class Count(enum.IntEnum):
    ONE = 1

ns = cyevents.Namespace()
event = ns.event("a.b")
senders = ["a", b"a", 1, Name("b"), Raw(b"b"), True, None, "", b"", Count.ONE]
def handler(sender):
    return [sender]
def wild(sender):
    return "wild"
for place in (event, ns.event("a.*")):
    for sender in senders:
        place.connect(handler, sender=sender)
        place.connect(wild, sender=sender)
for _ in range(2):
    for sender in senders:
        assert event.emit(sender)[0][0] is sender, sender
        assert event.has_handlers_for(sender)
        repr(event.handlers), repr(event)
assert len(event.handlers) == 36, len(event.handlers)  # Count.ONE is 1
late = ns.event("a.c")
for sender in senders[:-1]:
    assert late.emit(sender)[0][0] is sender
    assert ns.event("a.*").disconnect(handler, sender)
    assert event.disconnect(handler, sender)
    assert event.emit(sender) == ["wild"]
for wrong in (b"a.b", 1, b""):
    for call in (ns.event, ns.emit, ns.on, cyevents.Event):
        try:
            call(wrong)
        except TypeError:
            pass
        else:
            raise SystemExit("no TypeError")
print("done")
"""


def test_senders_of_different_types_under_bb(api):
    environment = {
        **os.environ,
        "PYTHONPATH": str(pathlib.Path(api.__file__).parents[1]),
        "CYEVENTS_PURE_PYTHON": "1" if api.backend == "python" else "0",
    }
    child = subprocess.run(
        [sys.executable, "-bb", "-W", "error", "-c", MIXED.format(backend=api.backend)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (child.returncode, child.stdout) == (0, "done\n"), child.stderr


def test_bound_method_is_the_same_sender_each_time(api, collect):
    event = api.Event("x")

    class Owner:
        def method(self):
            pass

        def other(self):
            pass

    owner, received = Owner(), []
    event.connect(received.append, owner.method, weak=False)
    collect()
    for sender in (owner.method, owner.other, Owner().method, owner):
        event.emit(sender)
    assert received == [owner.method]
    assert event.has_handlers_for(owner.method)
    (connection,) = event.handlers
    assert connection.sender == owner.method
    reference = weakref.ref(owner)
    assert event.disconnect(received.append, owner.method)
    assert event.handlers == []
    del owner, connection, sender, received[:]
    collect()
    assert reference() is None


def test_many_senders_come_and_go(ns):
    """Connections for senders of all kinds, made, removed and found again in a random order, agree with a dict."""
    random = Random(7)
    event = ns.event("x")
    results = {}
    handlers = [lambda sender, number=number: number for number in range(3)]
    senders = [Sender() for _ in range(60)] + [f"name {number}" for number in range(20)] + [*range(1000, 1020)]
    senders += [uuid.uuid4(), Sender, len, Sender().__eq__, True, b"x", ("a",), None]
    for _ in range(3000):
        number, i = random.randrange(3), random.randrange(len(senders))
        sender = senders[i]
        chance = random.random()
        if chance < 0.3:
            event.connect(handlers[number], sender=sender)
            results.setdefault(i, {})[number] = None
            results[i][number] = results[i].pop(number)  # connecting it again moves it to the end
        elif chance < 0.6:
            connected = results.get(i, {})
            assert event.disconnect(handlers[number], sender=sender) == (number in connected)
            connected.pop(number, None)
        elif chance < 0.65 and type(sender) is Sender:
            senders[i] = sender = Sender()  # the old one dies, and this one may get its address
            results.pop(i, None)
        assert event.emit(sender) == [*results.get(i, {})]
        assert event.emit(Sender()) == []
    equal = "".join(["name", " 3"])  # a different object
    assert event.emit(equal) == event.emit("name 3")


def test_a_str_at_the_address_of_a_dead_sender(ns):
    event = ns.event("x")
    event.connect(len, sender="a name that is compared by value")
    keep = [Sender() for _ in range(100)]
    for sender in keep:
        event.connect(print, sender=sender)
        event.disconnect(print, sender=sender)
        event.emit(sender)
    del sender
    keep.clear()
    for _ in range(100):
        keep.append("".join(["a name that is ", "compared by value"]))
        assert event.emit(keep[-1]) == [32]


def test_a_pattern_connected_for_many_senders_adds_nothing_to_events(ns, collect):
    events = [ns.event(f"order.{number}") for number in range(50)]
    pattern = ns.event("order.*")
    senders = [Sender() for _ in range(51)]
    handler = lambda sender: "called"  # noqa: E731
    first = senders.pop()
    pattern.connect(handler, sender=first)  # the events get their flags now
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for sender in senders:
            pattern.connect(handler, sender=sender)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 50 * 2_000  # 50 events with a group for each of 50 senders would take more than 500,000
    assert [event.emit(senders[0]) for event in events] == [["called"]] * 50
    assert pattern.disconnect(handler, sender=senders[0])
    assert [event.emit(senders[0]) for event in events] == [[]] * 50
