"""`on` and `namespace.connect` take several events."""

import re
import warnings

import pytest


def handler(sender, **kwargs):
    return sender


# Connecting


@pytest.fixture(params=["on", "connect"])
def join(request):
    """Connect a handler to events in either way: `join(ns, events, handler, ...)`."""
    if request.param == "on":
        return lambda ns, events, handler, *args, **options: ns.on(events, *args, **options)(handler)
    return lambda ns, events, handler, *args, **options: ns.connect(events, handler, *args, **options)


def test_several_events_in_a_list_or_a_tuple(api, ns, join):
    other = api.Event("other")
    for kind in (list, tuple):
        assert join(ns, kind(["a", "b*", other]), handler) is handler
        assert ns.emit("a", 1) + ns.emit("b7", 2) + other.emit(3) == [1, 2, 3]
        assert list(ns) == ["a"]
        assert all(event.disconnect(handler) for event in (ns["a"], ns.event("b*"), other))


def test_one_event(api, ns, join):
    other = api.Event("other")
    for event in ("a", "b*", other):
        assert join(ns, event, handler) is handler
    assert ns.emit("a", 1) + ns.emit("b7", 2) + other.emit(3) == [1, 2, 3]


def test_options_hold_for_each_event(ns, join):
    def takes_event(sender, event):
        return event.name

    join(ns, ["a", "b"], takes_event, "me", True, 5, once=True, with_event=True)
    for name in ("a", "b"):
        assert [connection.priority for connection in ns[name].handlers] == [5]
        assert ns.emit(name, "you") == []
        assert ns.emit(name, "me") == [name]
        assert ns.emit(name, "me") == []


def test_duplicates_are_harmless(ns, join):
    event = ns.event("a")
    join(ns, ["a", event, "a", "*", "*"], handler)
    assert ns.emit("a", 1) == [1]
    assert len(event.handlers) == 2


def test_an_empty_list_is_refused(ns, join):
    for empty in ([], ()):
        with pytest.raises(ValueError, match=re.escape(f"at least one event must be given, not {empty!r}")):
            join(ns, empty, handler)


def test_wrong_options_change_nothing(ns, join):
    for options in ({"priority": "5"}, {"weak": 1}, {"condition": 5}):
        with pytest.raises(TypeError):
            join(ns, ["a", "b"], handler, **options)
    with pytest.raises(TypeError, match="a handler must be callable, not 5"):
        join(ns, ["a", "b"], 5)
    assert list(ns) == []


def test_undeclared_name_changes_nothing(api, join):
    strict = api.Namespace(strict=True)
    strict.event("order.paid")
    with pytest.raises(LookupError, match="did you mean 'order.paid'"):
        join(strict, ["order.paid", "order.*", "order.piad"], handler)
    assert strict["order.paid"].handlers == []
    join(strict, ["order.paid", "order.*"], handler)
    assert len(strict["order.paid"].handlers) == 2


def test_event_that_refuses_the_handler_undoes_the_others(ns, join):
    def takes_nothing(sender):
        pass

    def previous(sender):
        pass

    ns.event("checked", signature=lambda sender, amount: None, check=True)
    ns.connect("a", takes_nothing, priority=3)
    ns.connect("a", previous)
    with pytest.raises(TypeError, match="takes_nothing"):
        join(ns, ["a", "b", "checked"], takes_nothing)
    assert [(each.handler, each.priority) for each in ns["a"].handlers] == [(takes_nothing, 3), (previous, 0)]
    assert ns["b"].handlers == ns["checked"].handlers == []


def test_warning_as_an_error_connects_nothing(ns, join):
    def takes_self(self):
        pass

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="takes self"):
            join(ns, ["a", "b"], takes_self)
    assert ns["a"].handlers == ns["b"].handlers == []


def test_discarded_decorator_names_its_events(api, ns):
    def discard():
        ns.on(["a", api.Event("other")])

    with pytest.warns(RuntimeWarning, match=r"on\(...\) of events 'a', 'other' returned a decorator") as caught:
        discard()
    assert caught[0].lineno == discard.__code__.co_firstlineno + 1


def test_connected_lambda_that_dies_at_once_warns_once(ns):
    def connect():
        ns.connect(["a", "b"], lambda sender: 1)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        connect()
    assert [(each.filename, each.lineno) for each in caught] == [(__file__, connect.__code__.co_firstlineno + 1)]
    assert "has died on the spot" in str(caught[0].message)
    assert ns["a"].handlers == ns["b"].handlers == []


def test_module_functions_take_lists_too(api):
    @api.on(["a", "b"])
    def note(sender):
        return sender

    assert api.emit("a", 1) + api.emit("b", 2) == [1, 2]
    assert not hasattr(api, "connect")


def test_connect_needs_a_handler(ns):
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'receiver'"):
        ns.connect("a")


def test_names_of_str_subclasses(ns, join):
    class Name(str):
        __slots__ = ()
        __hash__ = None

        def __eq__(self, other):
            raise AssertionError

    join(ns, [Name("a"), Name("b")], handler)
    assert [type(name) for name in ns] == [str, str]
