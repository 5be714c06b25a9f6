"""Declared events: `signature=` costs nothing at run time; `check=True` rejects handlers that cannot take it."""

import functools
import inspect
import subprocess
import sys
import textwrap
import typing

import pytest


class Order:
    pass


def order_paid(sender, amount, *, currency="EUR"):
    """The declared signature."""
    raise AssertionError("a signature is never called")


def handlers():
    """Return names, handlers, and the error text of those that are rejected."""

    class Object:
        def method(self, sender, amount, *, currency):
            pass

        def fits(self, sender, amount, *, currency=""):
            pass

        def __call__(self, sender, amount, currency=""):
            pass

    kept = Object()
    missing, unexpected, many = (
        "missing a required",
        "got an unexpected keyword argument",
        "too many positional arguments",
    )
    return [
        ("exact", lambda sender, amount, *, currency="": 1, None),
        ("all", lambda *args, **kwargs: 1, None),
        ("positionals", lambda sender, *args, amount=0, **kwargs: 1, None),
        ("more", lambda order, amount, currency="", other=1, *args, **kwargs: 1, None),
        ("method", kept.fits, None),
        ("object", kept, None),
        ("partial", functools.partial(lambda x, sender, amount, currency="": 1, 5), None),
        ("wrapped", functools.wraps(kept.fits)(lambda *args, **kwargs: 1), None),
        ("builtin", [].append, many),
        ("builtin without a signature", dict, None),
        ("of the sender", lambda sender: 1, many),
        ("keywords alone", lambda sender, **kwargs: 1, many),
        ("by position alone", lambda sender, amount, /, currency="": 1, "positional only|positional-only"),
        ("by name alone", lambda sender, *, amount, currency="": 1, many),
        ("without the option", lambda sender, amount: 1, unexpected),
        ("with an option that is needed", kept.method, missing),
        ("with one more", lambda sender, amount, reason, *, currency="": 1, missing),
        ("by another name", lambda sender, sum, *, currency="": 1, missing),
        ("no parameters", lambda: 1, many),
        ("another order", lambda amount, sender, *, currency="": 1, "multiple values for argument 'amount'"),
    ]


@pytest.mark.parametrize("way", ["connect", "on", "subscribe", "connected_to", "on_by_name"])
@pytest.mark.parametrize(("handler", "expected"), [pytest.param(*row[1:], id=row[0]) for row in handlers()])
def test_handler_must_take_every_emission(ns, handler, expected, way):
    event = ns.event("order.paid", signature=order_paid, check=True)

    def connect():
        if way == "on":
            ns.on(event, weak=False)(handler)
        elif way == "on_by_name":
            ns.on("order.paid", weak=False)(handler)
        elif way == "connected_to":
            event.connected_to(handler, weak=False).__enter__()
        else:
            getattr(event, way)(handler, weak=False)

    if expected is None:
        connect()
        assert len(event.handlers) == 1
    else:
        with pytest.raises(TypeError, match=expected):
            connect()
        assert event.handlers == []


class Dispatching:
    """Methods of `functools.singledispatchmethod`, whose `__wrapped__` is not bound."""

    @functools.singledispatchmethod
    def plain(self, sender, amount, *, currency):
        return "plain"

    @plain.register
    def of_int(self, sender: int, amount, *, currency):
        return "int"

    @functools.singledispatchmethod
    @staticmethod
    def static(sender, amount, *, currency):
        return "static"

    @functools.singledispatchmethod
    @classmethod
    def of_class(cls, sender, amount, *, currency):
        return "class"

    @functools.singledispatchmethod
    def many(self, *args, **kwargs):
        return "many"

    @functools.singledispatchmethod
    def little(self, sender, *, currency):
        pass

    @functools.singledispatchmethod
    @staticmethod
    def static_little(self, *, currency):
        pass

    @functools.singledispatchmethod
    @classmethod
    def of_class_little(cls, sender, *, currency):
        pass

    @functools.singledispatchmethod
    def much(self, sender, amount, reason, *, currency):
        pass


DISPATCHING = Dispatching()
FITTING = {
    "plain": DISPATCHING.plain,
    "static": DISPATCHING.static,
    "class": DISPATCHING.of_class,
    "many": DISPATCHING.many,
    "static of the class": Dispatching.static,
    "class of the class": Dispatching.of_class,
    "partial": functools.partial(DISPATCHING.plain),
    "partial of partial": functools.partial(functools.partial(DISPATCHING.plain), currency="USD"),
    "partial of the class": functools.partial(Dispatching.plain, DISPATCHING),
}
UNFITTING = {
    "little": DISPATCHING.little,
    "static": DISPATCHING.static_little,
    "class": DISPATCHING.of_class_little,
    "much": DISPATCHING.much,
    "unbound": Dispatching.plain,
    "partial": functools.partial(DISPATCHING.little),
    "partial of the class": functools.partial(Dispatching.little, DISPATCHING),
}


def order_moved(sender, amount, /, *, currency):
    raise AssertionError("a signature is never called")


@pytest.mark.parametrize("handler", FITTING.values(), ids=FITTING)
@pytest.mark.parametrize("sender", [1, "text"])
def test_singledispatchmethod_is_accepted_if_it_fits(api, handler, sender):
    event = api.Event("order.moved", signature=order_moved, check=True)
    event.connect(handler, weak=False)
    expected = handler(sender, 1, currency="EUR")
    assert event.emit(sender, 1, currency="EUR") == [expected]
    event.connect(handler, weak=False, condition=DISPATCHING.many)


@pytest.mark.parametrize("handler", UNFITTING.values(), ids=UNFITTING)
def test_singledispatchmethod_is_rejected_otherwise(api, handler):
    event = api.Event("order.moved", signature=order_moved, check=True)
    with pytest.raises(TypeError, match="cannot take"):
        event.connect(handler, weak=False)
    assert event.handlers == []
    with pytest.raises((TypeError, AttributeError)):
        handler("text", 1, currency="EUR")


@pytest.mark.parametrize(
    ("handler", "expected"), [pytest.param(*row[1:], id=row[0]) for row in handlers() if row[1] is not dict]
)
def test_check_agrees_with_real_calls(api, handler, expected):
    event = api.Event("order.paid")
    event.connect(handler, weak=False)
    failed = []
    for call in (((1,), {}), ((), {"amount": 1}), ((1,), {"currency": "USD"}), ((), {"amount": 1, "currency": "USD"})):
        try:
            event.emit([], *call[0], **call[1])
        except TypeError:
            failed.append(call)
    assert bool(failed) == (expected is not None)


def test_error_text(api):
    event = api.Event("order.paid", signature=order_paid, check=True)

    def receipt(sender, **kwargs):
        pass

    with pytest.raises(TypeError) as caught:
        event.connect(receipt)
    assert str(caught.value) == (
        f"handler {receipt.__qualname__}(sender, **kwargs) cannot take (sender, amount, currency=...), as event"
        " 'order.paid' may be emitted, whose signature is (sender, amount, *, currency='EUR'): too many positional"
        " arguments"
    )


def test_with_event_handler_must_take_the_event(api):
    event = api.Event("order.paid", signature=order_paid, check=True)

    def takes_it(sender, amount, currency="", *, event):
        pass

    def does_not(sender, amount, currency=""):
        pass

    event.connect(takes_it, with_event=True)
    event.connect(does_not)
    with pytest.raises(TypeError, match="unexpected keyword argument 'event'"):
        event.connect(does_not, "sender", with_event=True)
    with pytest.raises(TypeError, match="missing a required"):
        event.connect(takes_it)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (lambda sender, **kwargs: True, None),
        (lambda sender, amount=0, currency="": True, None),  # it is not passed to conditions by position
        (lambda sender: True, "unexpected keyword argument"),
        (lambda sender, amount, currency="": True, "missing a required"),
    ],
)
def test_condition_is_checked_as_it_is_called(api, condition, expected):
    event = api.Event("order.paid", signature=order_paid, check=True)
    if expected is None:
        event.connect(lambda *args, **kwargs: 1, weak=False, condition=condition)
    else:
        with pytest.raises(TypeError, match=f"^condition .*{expected}"):
            event.connect(lambda *args, **kwargs: 1, weak=False, condition=condition)
        assert event.handlers == []


def declared(kind):
    return {
        "positional only": lambda sender, a, b=1, /: 1,
        "any positionals": lambda sender, *args: 1,
        "any keywords": lambda sender, **kwargs: 1,
        "any": lambda *args, **kwargs: 1,
        "the sender alone": lambda sender: 1,
        "a default": lambda sender, a=1: 1,
    }[kind]


@pytest.mark.parametrize(
    ("kind", "fits", "does_not"),
    [
        ("positional only", lambda s, x, y=0: 1, lambda s, x, y: 1),
        ("positional only", lambda s, *args: 1, lambda s, x: 1),
        ("any positionals", lambda *args: 1, lambda s, x=1, y=2, z=3: 1),
        ("any keywords", lambda s, key=1, **kw: 1, lambda s, key=1: 1),
        ("any", lambda *args, **kwargs: 1, lambda s, *args: 1),
        ("the sender alone", lambda s, more=1: 1, lambda s, more: 1),
        ("a default", lambda s, a=2: 1, lambda s, a: 1),
        ("a default", lambda s, *args, **kwargs: 1, lambda s: 1),
    ],
)
def test_every_kind_of_parameter(api, kind, fits, does_not):
    event = api.Event("x", signature=declared(kind), check=True)
    event.connect(fits, weak=False)
    with pytest.raises(TypeError, match="cannot take"):
        event.connect(does_not, weak=False)
    assert [connection.handler for connection in event.handlers] == [fits]


def test_streams_and_waits_accept_any_signature(api):
    event = api.Event("order.paid", signature=order_paid, check=True)
    stream, waiting = event.stream(), event.wait()
    event.emit("sender", 1)
    assert len(event.handlers) == 1
    stream.close()
    waiting.close()


def test_later_declaration_checks_connected_handlers(ns):
    def fits(sender, amount, currency=""):
        pass

    def does_not(sender):
        pass

    ns.on("order.paid")(fits)
    ns.on("order.paid")(does_not)
    with pytest.raises(TypeError, match="cannot take"):
        ns.event("order.paid", signature=order_paid, check=True)
    ns.event("order.paid").disconnect(does_not)
    ns.event("order.paid").connect(does_not)  # not declared yet
    ns.event("order.paid").disconnect(does_not)
    ns.event("order.paid", signature=order_paid, check=True)
    with pytest.raises(TypeError, match="cannot take"):
        ns.event("order.paid").connect(does_not)
    with pytest.raises(TypeError, match="cannot take"):  # a second declaration is rejected: the first one stays
        ns.event("order.paid", signature=lambda sender: 1, check=True)
    with pytest.raises(TypeError, match="cannot take"):
        ns.event("order.paid").connect(does_not)
    assert ns.event("order.paid", signature=lambda sender, amount: 1, check=True) is ns["order.paid"]


def test_pattern_has_its_own_declaration(ns):
    ns.event("order.paid", signature=order_paid, check=True)

    def does_not(sender):
        pass

    ns.on("order.*")(does_not)  # a pattern without a declaration also gets other events
    ns.event("order.paid", signature=order_paid, check=True)
    with pytest.raises(TypeError, match="event 'user.*' may be emitted"):
        ns.event("user.*", signature=order_paid, check=True).connect(does_not)


def test_without_check_nothing_is_checked(api, ns):
    def does_not(sender):
        pass

    for event in (ns.event("order.paid", signature=order_paid), api.Event("order.paid", signature=order_paid)):
        event.connect(does_not)
        assert len(event.handlers) == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"check": True}, "check=True needs a signature"),
        ({"signature": 5}, "signature must be a function that takes what the event is emitted with, not 5"),
        ({"signature": lambda: 1, "check": True}, r"signature \(\) takes no sender"),
        ({"signature": lambda *, amount: 1, "check": True}, r"signature \(\*, amount\) takes no sender"),
        ({"signature": dict, "check": True}, "signature <class 'dict'> cannot be read: no signature found"),
    ],
)
def test_invalid_declaration_is_a_type_error(api, ns, options, text):
    with pytest.raises(TypeError, match=text):
        api.Event("x", **options)
    with pytest.raises(TypeError, match=text):
        ns.event("x", **options)
    ns.event("x").connect(lambda: 1, weak=False)


def test_unresolvable_annotations_are_ignored(api, tmp_path):
    source = """
    from __future__ import annotations
    def declared(sender: Unknown, amount: Unknown2) -> Unknown3: ...
    def handler(sender: Unknown, amount: Unknown2) -> Unknown3: ...
    """
    names = {}
    exec(textwrap.dedent(source), names)
    if sys.version_info >= (3, 14):  # annotations are evaluated lazily
        exec(textwrap.dedent(source).replace("from __future__ import annotations\n", ""), names)
    event = api.Event("x", signature=names["declared"], check=True)
    event.connect(names["handler"])
    assert len(event.handlers) == 1


def test_parametrised_events_work_at_run_time(api):
    Event = api.Event
    declared = Event[Order, [int, str]]
    assert declared == Event[Order, [int, str]]
    assert hash(declared) == hash(Event[Order, [int, str]])
    assert typing.get_origin(declared) is Event
    assert typing.get_args(declared) == (Order, (int, str))
    assert typing.Optional[declared] == (declared | None)  # noqa: UP045
    assert typing.get_args(Event[Order]) == (Order,)
    assert type(declared("x")) is type(Event[Order]("x")) is Event
    parameters = ["name", "doc", "on_error", "signature", "check", "sequential"]
    assert list(inspect.signature(Event).parameters) == parameters


def test_signature_without_check_imports_nothing():
    program = """
import sys, cyevents
cyevents.event("x", signature=print)
assert "inspect" not in sys.modules and "typing" not in sys.modules
cyevents.event("x", signature=lambda sender: 1, check=True)
assert "inspect" in sys.modules
print("cyevents._typing" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
