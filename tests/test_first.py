"""`event.first` returns what the first handler returns that answers, and calls no further one."""

import importlib
import logging
import sys
import threading

import pytest


@pytest.fixture
def event(api):
    return api.Event("x")


def returning(value, called=None):
    def handler(sender, *args, **kwargs):
        if called is not None:
            called.append(value)
        return value

    return handler


def connect_all(event, *values):
    """Connect handlers that return these values; return the list of those that were called."""
    called = []
    for value in values:
        event.connect(returning(value, called), weak=False)
    return called


@pytest.mark.parametrize("answer", [0, "", (), [], True, "text", 0.0, NotImplemented, ...])
def test_returns_the_first_value_that_is_not_none(event, answer):
    called = connect_all(event, None, answer, "never")
    assert event.first("s") is answer
    assert called == [None, answer]


def test_default_without_an_answer(event):
    assert event.first() is None
    assert event.first("s", default=7) == 7
    called = connect_all(event, None, None)
    assert event.first("s") is None
    assert event.first("s", default=7) == 7
    assert called == [None] * 4


def test_default_is_the_only_keyword_of_its_own(event):
    seen = []

    @event.connect
    def handler(*args, **kwargs):
        seen.append((args, kwargs))

    event.first("s", 1, 2, default=3, a=4, self=5, event=6, watch=7, results=8, name=9)
    event.first(sender="s", a=1)
    assert seen == [
        (("s", 1, 2), {"a": 4, "self": 5, "event": 6, "watch": 7, "results": 8, "name": 9}),
        (("s",), {"a": 1}),
    ]


def test_sender_is_any_by_default(api, event):
    event.connect(lambda sender: sender, weak=False)
    assert event.first() is api.ANY


def test_sender_twice_is_an_error(event):
    with pytest.raises(TypeError, match=r"first\(\) got multiple values for argument 'sender'"):
        event.first("s", sender="s")


@pytest.mark.parametrize("cancelling", ["False", "Cancel", "generator"])
def test_cancelled_returns_default(api, event, cancelling):
    called = []

    def refuse(sender):
        if cancelling == "Cancel":
            raise api.Cancel("why")
        return False

    def refuse_by_generator(sender):
        yield 1
        return False

    event.connect(refuse_by_generator if cancelling == "generator" else refuse)
    event.connect(returning("never", called), weak=False)
    assert event.first("s") is None
    assert event.first("s", default=7) == 7
    assert called == []


def test_generator_answers_with_its_list(event):
    def nothing(sender):
        yield None

    def something(sender):
        yield 1
        yield 2

    event.connect(something, priority=1)
    event.connect(nothing)
    assert event.first("s") == [1, 2]
    event.connect(nothing, priority=2)
    assert event.first("s", default=7) == []


def test_async_handlers_are_scheduled_and_do_not_answer(api, event):
    seen = []

    @event.connect
    async def handler(sender):
        seen.append(sender)
        return "async"

    @event.connect
    async def generator(sender):
        yield "async"
        seen.append(sender)

    connect_all(event, None, "answer")
    assert event.first("s") == "answer"
    assert api.drain(10)
    assert seen == ["s", "s"]


def test_async_handler_after_the_answer_is_not_scheduled(api, event):
    seen = []
    connect_all(event, "answer")

    @event.connect
    async def handler(sender):
        seen.append(sender)

    assert event.first("s") == "answer"
    assert api.drain(10)
    assert seen == []


def test_order_and_senders(ns):
    event = ns.event("x.y")
    event.connect(returning("any"), weak=False)
    event.connect(returning("low"), priority=-1, weak=False)
    event.connect(returning("of b"), sender="b", priority=1, weak=False)
    ns.event("x.*").connect(returning("pattern"), sender="c", priority=2, weak=False)
    assert [event.first(sender) for sender in ("a", "b", "c")] == ["any", "of b", "pattern"]


def test_conditions(event):
    asked = []

    def condition(name, answer):
        def ask(sender, **kwargs):
            asked.append((name, kwargs))
            return answer

        return ask

    event.connect(returning("refused"), condition=condition("refused", False), weak=False)
    event.connect(returning("answer"), condition=condition("answer", True), weak=False)
    event.connect(returning("never"), condition=condition("never", True), weak=False)
    assert event.first("s", 1, default=2, a=3) == "answer"
    assert asked == [("refused", {"a": 3}), ("answer", {"a": 3})]


def test_condition_that_raises_skips(event, caplog):
    event.connect(returning("skipped"), condition=lambda sender: 1 / 0, weak=False)
    connect_all(event, "answer")
    assert event.first("s") == "answer"
    assert "condition of handler" in caplog.text


def test_once_is_used_up_by_a_call_only(event):
    first, second = returning("first"), returning("second")
    event.connect(first, once=True)
    event.connect(second, once=True)
    assert event.first("s") == "first"
    assert event.is_connected(second)
    assert event.first("s") == "second"
    assert event.first("s", default="none is left") == "none is left"


def test_muted_with_event_and_thread(event):
    handler = returning("quiet")
    event.connect(handler)
    event.connect(lambda sender, event: event.name, with_event=True, weak=False)
    with event.muted(handler):
        assert event.first("s") == "x"
    with event.muted():
        assert event.first("s", default="muted") == "muted"
    event.clear()
    event.connect(lambda sender: threading.get_ident(), thread=True, weak=False)
    assert event.first("s") == threading.get_ident()


def test_methods_and_objects(event):
    class Owner:
        def method(self, sender):
            return None

        def __call__(self, sender):
            return "object"

    owner = Owner()
    event.connect(owner.method)
    event.connect(owner)
    assert event.first("s") == "object"


def test_pattern_cannot_be_asked(ns):
    with pytest.raises(ValueError, match=r"'x\*' is a pattern and cannot be emitted"):
        ns.event("x*").first("s")


def test_emission_that_disconnects_the_next(event):
    second = returning("second")

    @event.connect
    def first(sender):
        event.disconnect(second)

    event.connect(second)
    connect_all(event, "third")
    assert event.first("s") == "third"


# Errors


def fail(sender, **kwargs):
    raise ValueError("failed")


def test_error_propagates(event):
    called = connect_all(event, None)
    event.connect(fail)
    event.connect(returning("never", called), weak=False)
    with pytest.raises(ValueError, match="failed"):
        event.first("s")
    assert called == [None]


def test_error_after_the_answer_is_not_raised(event):
    connect_all(event, "answer")
    event.connect(fail)
    assert event.first("s") == "answer"


def test_callable_gets_the_errors(event):
    seen = []
    event.on_error = lambda error, handler, event, sender: seen.append((str(error), handler, event.name, sender))
    event.connect(fail)
    connect_all(event, "answer")
    assert event.first("s") == "answer"
    assert seen == [("failed", fail, "x", "s")]


def test_group_is_raised_in_spite_of_an_answer(event):
    event.on_error = "group"
    event.connect(fail)
    called = connect_all(event, "answer", "never")
    with pytest.raises(ExceptionGroup, match="1 handlers of 'x' failed") as caught:
        event.first("s")
    assert [str(error) for error in caught.value.exceptions] == ["failed"]
    assert called == ["answer"]


def test_base_exception_propagates(event):
    def interrupt(sender):
        raise KeyboardInterrupt

    seen = []
    event.on_error = lambda *args: seen.append(args)
    event.connect(interrupt)
    with pytest.raises(KeyboardInterrupt):
        event.first("s")
    assert seen == []


def test_arguments_that_do_not_fit_get_a_note(event):
    @event.connect
    def handler(sender):
        pass

    with pytest.raises(TypeError) as caught:
        event.first("s", a=1)
    assert "handler" in "".join(caught.value.__notes__)


def test_runaway_recursion(event):
    @event.connect
    def handler(sender):
        return event.first(sender)

    with pytest.raises(RecursionError):
        event.first("s")
    event.disconnect(handler)
    connect_all(event, "answer")
    assert event.first("s") == "answer"


def test_nested(api, event):
    inner = api.Event("inner")
    connect_all(inner, None, "inner")
    event.connect(lambda sender: inner.first(sender), weak=False)
    assert event.first("s") == "inner"


# Observed


def test_instruments_see_an_emission(api, ns):
    instrument = importlib.import_module("cyevents.instrument")
    seen = []

    class Observer(instrument.Instrument, instrument.EmissionSpan):
        def begin(self, start):
            seen.append((start.way, start.sender, start.args, start.kwargs))
            return self

        def plan(self, entries):
            seen.append(len(entries))

        def call(self, entry, handler):
            seen.append("call")

        def end(self, results, error):
            seen.append((type(results), None if results is None else list(results), type(error)))

    event = ns.event("x")
    connect_all(event, None, "answer", "never")
    with instrument.observe(Observer(), ns):
        assert event.first("s", 1, default=2, a=3) == "answer"
        assert seen == [
            ("first", "s", (1,), {"a": 3}),
            3,
            "call",
            "call",
            (list, ["answer"], type(None)),
        ]
        del seen[:]
        event.clear()
        connect_all(event, False)
        assert event.first("s", default=2) == 2
        assert seen[-1] == (api.Cancelled, [], type(None))
        event.clear()
        assert event.first("s", default=2) == 2
        assert seen[-1] == (list, [], type(None))
        event.connect(fail)
        with pytest.raises(ValueError, match="failed"):
            event.first("s")
        assert seen[-1] == (type(None), None, ValueError)
        event.on_error = "group"
        with pytest.raises(ExceptionGroup, match="failed"):
            event.first("s")
        assert seen[-1] == (type(None), None, ExceptionGroup)
    assert event.first.__self__ is event


def test_veto(ns):
    instrument = importlib.import_module("cyevents.instrument")

    class Veto(instrument.Instrument):
        def begin(self, start):
            raise ValueError("vetoed")

    called = connect_all(ns.event("x"), "answer")
    with instrument.observe(Veto(), ns), pytest.raises(ValueError, match="vetoed"):
        ns.event("x").first("s")
    assert called == []


def test_trace_and_recorder(api, ns, testing):
    event = ns.event("x")
    connect_all(event, None, "answer", "never")
    with api.trace(ns) as seen, testing.Recorder(ns) as recorder:
        assert event.first("s", 1, default=2, a=3) == "answer"
    (emission,) = seen.emissions
    assert (emission.way, emission.sender, emission.arguments) == ("first", "'s'", "1, a=3")
    assert [call.outcome for call in emission.calls] == ["returned", "returned"]
    assert [call.value for call in emission.calls] == [None, "'answer'"]
    assert len(emission.not_called) == 1
    recorder.assert_emitted("x", "s", 1, a=3, times=1)


# Threads, lifetimes


def test_answers_and_errors_are_not_kept(event, no_garbage):
    class Value:
        pass

    counts = []

    def handler(sender):
        counts.append(sys.getrefcount(sender))
        return sender

    event.on_error = "group"
    event.connect(fail, priority=1)
    event.connect(handler)
    value = Value()
    for _ in range(3):
        with pytest.raises(ExceptionGroup) as caught:
            event.first(value)
        del caught
    event.disconnect(fail)
    before = sys.getrefcount(value)
    for _ in range(3):
        assert event.first(value) is value
    assert sys.getrefcount(value) == before


def test_many_threads_get_their_own_answers(event):
    event.connect(lambda sender: None, weak=False)
    event.connect(lambda sender: sender, weak=False)
    wrong = []

    def ask(number):
        for n in range(300):
            if event.first((number, n)) != (number, n):
                wrong.append((number, n))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_scheduled_false_is_logged(api, event, caplog):
    caplog.set_level(logging.WARNING, "cyevents")

    @event.connect
    async def handler(sender):
        return False

    connect_all(event, "answer")
    assert event.first("s") == "answer"
    assert api.drain(10)
    assert "returned False, which cancels in emit_async only" in caplog.text
