"""Rare cases: many arguments, unusual handlers, errors together with a cancellation."""

import copy
import gc
import importlib
import pickle
import sys
from types import MethodType

import pytest

MANY = 30  # arguments: more than fit into the stack buffer
POSITIONALS = tuple(range(MANY))
KEYWORDS = {f"k{i}": i for i in range(MANY)}


class Text(str):
    """Supports weak references, and has methods that do not."""


@pytest.fixture
def event(ns):
    return ns.event("x")


# Many arguments


def all_of(sender, *args, **kwargs):
    return sender, args, kwargs


class Keeper:
    def method(self, sender, *args, **kwargs):
        return sender, args, kwargs


@pytest.mark.parametrize("positionals", [(), POSITIONALS], ids=["no", "positionals"])
@pytest.mark.parametrize("keywords", [{}, KEYWORDS], ids=["no", "keywords"])
def test_many_arguments_reach_every_kind_of_handler(event, run, positionals, keywords):
    keeper = Keeper()
    event.connect(all_of)
    event.connect(keeper.method)
    event.connect(all_of, sender="s", condition=lambda sender, **given: given == keywords)
    wanted = ("s", positionals, keywords)
    assert event.emit("s", *positionals, **keywords) == [wanted, wanted]
    assert run(event.emit_async("s", *positionals, **keywords)) == [wanted, wanted]


def test_many_keywords_including_the_sender(event):
    event.connect(all_of)
    assert event.emit(**KEYWORDS, sender="s") == event.emit(sender="s", **KEYWORDS) == [("s", (), KEYWORDS)]


@pytest.mark.parametrize("answer", [True, False])
def test_condition_gets_many_keywords_and_no_positionals(event, answer):
    checked = []

    def condition(*args, **kwargs):
        checked.append((args, kwargs))
        return answer

    event.connect(all_of, condition=condition)
    assert event.emit("s", *POSITIONALS, **KEYWORDS) == [("s", POSITIONALS, KEYWORDS)] * answer
    assert checked == [(("s",), KEYWORDS)]


def test_sender_given_twice_is_an_error(api, ns, event):
    with pytest.raises(TypeError, match=r"^Event\.emit\(\) got multiple values for argument 'sender'$"):
        event.emit(1, sender=2)
    with pytest.raises(TypeError, match=r"^Namespace\.emit\(\) got multiple values for argument 'sender'$"):
        ns.emit("x", 1, sender=2)


# Errors and cancellations together


def test_grouped_errors_are_raised_despite_a_cancellation(api, event, run):
    def fails(sender):
        raise KeyError(1)

    def cancels(sender):
        return False

    def never(sender):
        raise AssertionError

    event.on_error = "group"
    event.connect(fails, priority=2)
    event.connect(cancels, priority=1)
    event.connect(never)
    for emit in (event.emit, lambda: run(event.emit_async())):
        with pytest.raises(ExceptionGroup, match="1 handlers of 'x' failed") as caught:
            emit()
        assert [repr(error) for error in caught.value.exceptions] == ["KeyError(1)"]


@pytest.mark.parametrize("deeper", [0, 1])
def test_event_as_its_own_handler_raises_recursion_error(event, deeper):
    event.connect(event.emit, weak=False)

    def emit(depth):
        return emit(depth - 1) if depth else event.emit()

    with pytest.raises(RecursionError):
        emit(deeper)
    event.clear()
    assert event.emit() == []


def test_emit_as_handler_lives_as_long_as_its_event(api, event):
    forwarded = api.Event("forwarded")
    forwarded.connect(all_of)
    event.connect(forwarded.emit)
    event.connect(forwarded.send)
    gc.collect()
    assert event.emit("s", 1) == [[("s", (1,), {})], [(all_of, ("s", (1,), {}))]]
    assert event.disconnect(forwarded.send)
    assert event.emit("s", 1) == [[("s", (1,), {})]]
    del forwarded
    gc.collect()
    assert event.emit("s", 1) == [] and event.handlers == []


# Unusual handlers


def test_builtin_method_lives_as_long_as_its_object(event, collect):
    text = Text("abc")
    event.connect(MethodType(str.__add__, text))
    assert event.emit("d") == ["abcd"]
    del text
    collect()
    assert event.emit("d") == []


def test_method_whose_function_died_is_not_called(event):
    keeper = Keeper()
    functions = [lambda self, sender: "called"]

    def first(sender):
        functions.clear()

    event.connect(first, priority=1)
    event.connect(MethodType(functions[0], keeper))
    assert event.emit() == []
    assert [connection.handler for connection in event.handlers] == [first]


def test_death_without_logging_is_not_logged_later(event, collect, monkeypatch, caplog):
    caplog.set_level("DEBUG", logger="cyevents")
    keeper = Keeper()
    event.connect(keeper.method)
    del keeper
    collect()
    with monkeypatch.context() as patch:
        patch.delitem(sys.modules, "logging")
        assert event.emit() == []
    event.connect(all_of)
    assert event.emit("s") == [("s", (), {})]
    assert caplog.records == []


# Details of public objects


@pytest.mark.parametrize("seconds", ["soon", "-1", "nan", "inf"])
def test_command_line_requires_a_number_of_seconds(api, capsys, seconds):
    main = importlib.import_module("cyevents.__main__").main
    with pytest.raises(SystemExit) as caught:
        main(["bench", f"--seconds={seconds}"])
    assert caught.value.code == 2
    assert f"'{seconds}' is not a number of seconds from 0 on" in capsys.readouterr().err


def test_connection_repr_shows_unusual_options(event):
    def handler(sender):
        pass

    def condition(sender):
        pass

    event.connect(handler, "s", weak=False, priority=3, condition=condition, once=True)
    (connection,) = event.handlers
    where = "test_connection_repr_shows_unusual_options.<locals>."
    assert repr(connection) == (
        f"<Connection {where}handler, sync, sender='s', priority=3, condition={where}condition, once=True, weak=False>"
    )


def test_event_without_namespace_has_a_doc(api):
    event = api.Event("x", "What it means.")
    assert event.__doc__ == "What it means."
    assert api.Event("x").__doc__ == api.Event.__doc__


def test_doc_of_an_event_that_was_not_initialised(api):
    event = api.Event.__new__(api.Event)
    assert event.__doc__ == api.Event.__doc__
    event.__doc__ = "early"
    event.__init__("x")
    assert event.__doc__ == "early"
    del event.__doc__
    assert event.__doc__ == api.Event.__doc__


def test_any_is_a_singleton(api):
    assert type(api.ANY)() is api.ANY
    assert copy.copy(api.ANY) is copy.deepcopy(api.ANY) is pickle.loads(pickle.dumps(api.ANY)) is api.ANY


def test_copy_of_results_keeps_the_canceller(event):
    def refuse(sender):
        return False

    event.connect(refuse)
    results = copy.copy(event.emit())
    assert (list(results), results.handler, results.event) == ([], refuse, event)


def test_dir_lists_lazy_imports(api):
    assert {*api.__all__} <= {*dir(api)}
