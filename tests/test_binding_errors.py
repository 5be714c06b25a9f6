"""A call with arguments that do not fit gets a note: the handler, the event and the arguments."""

import asyncio
import copy
import functools
import logging
import pickle

import pytest

TIMEOUT = 30  # seconds until a hanging test fails
FILE = __file__.rpartition("/")[2]


def notes(error):
    return getattr(error, "__notes__", [])


def place(function):
    """Return a function's file and line as the notes show it."""
    return f"{FILE}:{function.__code__.co_firstlineno})"


def plain(sender, taken=None):
    raise AssertionError("not to be called")


def generator(sender, taken=None):
    yield


class Class:
    def method(self, sender, taken=None):
        raise AssertionError("not to be called")

    def __call__(self, sender, taken=None):
        raise AssertionError("not to be called")


HANDLERS = {
    "function": (plain, plain),
    "generator": (generator, generator),
    "method": (Class().method, Class.method),
    "object": (Class(), Class.__call__),
    "partial": (functools.partial(plain), plain),
}


def by_emit(event, *args, **kwargs):
    event.emit(*args, **kwargs)


def by_name(event, *args, **kwargs):
    event._namespace.emit(event.name, *args, **kwargs)


def by_send(event, *args, **kwargs):
    event.send(*args, **kwargs)


def by_emit_async(event, *args, **kwargs):
    asyncio.run(event.emit_async(*args, **kwargs))


WAYS = [by_emit, by_name, by_send, by_emit_async]


@pytest.fixture(params=["plain", "observed"])
def event(request, api, ns):
    event = ns.event("e")
    if request.param == "observed":
        with api.trace(ns):
            yield event
    else:
        yield event


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", HANDLERS)
def test_note_names_handler_event_and_arguments(event, kind, way):
    handler, code = HANDLERS[kind]
    event.connect(handler, weak=False)
    with pytest.raises(TypeError) as caught:
        way(event, 1, extra=2, more=3)
    (note,) = notes(caught.value)
    assert note.startswith("handler ")
    assert place(code) in note
    assert note.endswith(" of event 'e' was called with (sender, extra=..., more=...)")
    if kind == "function":
        assert note.startswith("handler plain (")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("count", "text"), [(2, "2 positionals"), (3, "3 positionals")])
def test_note_counts_positional_arguments(event, way, count, text):
    event.connect(plain)
    with pytest.raises(TypeError) as caught:
        way(event, "sender", *range(count))
    assert notes(caught.value)[0].endswith(f"was called with (sender, {text})")


@pytest.mark.parametrize("way", WAYS)
def test_note_lists_the_event_keyword_if_passed(event, way):
    event.connect(plain, with_event=True)
    with pytest.raises(TypeError) as caught:
        way(event, "sender", 1)
    assert notes(caught.value)[0].endswith("was called with (sender, 1 positional, event=...)")


def test_handler_in_a_thread_is_named(event, run):
    event.connect(plain, thread=True)
    with pytest.raises(TypeError) as caught:
        run(event.emit_async(1, extra=2))
    (note,) = notes(caught.value)
    assert note.startswith("handler plain (")
    assert note.endswith("of event 'e' was called with (sender, extra=...)")


def test_handler_in_a_trio_thread_is_named(event):
    pytest.importorskip("anyio")
    trio = pytest.importorskip("trio")
    event.connect(plain, thread=True)

    async def main():
        await event.emit_async(1, extra=2)

    with pytest.raises(TypeError) as caught:
        trio.run(main)
    assert notes(caught.value)[0].endswith("of event 'e' was called with (sender, extra=...)")


@pytest.mark.parametrize("way", WAYS)
def test_error_inside_a_handler_gets_no_note(event, way):
    @event.connect
    def raises(sender):
        raise TypeError("its own")

    with pytest.raises(TypeError, match="its own") as caught:
        way(event, 1)
    assert notes(caught.value) == []
    event.disconnect(raises)

    @event.connect
    def calls(sender):
        plain()

    with pytest.raises(TypeError) as caught:
        way(event, 1)
    assert notes(caught.value) == []


@pytest.mark.parametrize("way", [by_emit, by_emit_async])
def test_error_inside_a_generator_gets_no_note(event, way):
    class Iterates:
        """A generator written in C has no frame either."""

        __next__ = staticmethod(functools.partial(int, []))

        def send(self, value):
            raise AssertionError

        throw = send

        def __iter__(self):
            return self

    @event.connect
    def handler(sender):
        yield 1
        raise TypeError("its own")

    with pytest.raises(TypeError) as caught:
        way(event, 1)
    assert notes(caught.value) == []
    event.disconnect(handler)
    made = Iterates()
    event.connect(lambda sender: made, weak=False)
    with pytest.raises(TypeError, match="int") as caught:
        way(event, 1)
    assert notes(caught.value) == []


def test_only_the_failed_handler_is_named(ns, run):
    """The note is not repeated for outer handlers that are `emit` itself."""
    inner, outer = ns.event("inner"), ns.event("outer")
    inner.connect(plain)
    outer.connect(inner.emit, weak=False)
    for way in (by_emit, by_send, by_emit_async):
        with pytest.raises(TypeError) as caught:
            way(outer, 1, extra=2)
        (note,) = notes(caught.value)
        assert "plain" in note
        assert "'inner'" in note


def test_error_with_note_can_be_copied_and_pickled(event):
    event.connect(plain)
    with pytest.raises(TypeError) as caught:
        event.emit(1, extra=2)
    for again in (copy.copy(caught.value), pickle.loads(pickle.dumps(caught.value))):
        assert [str(note) for note in notes(again)] == notes(caught.value)
        assert [type(note) for note in pickle.loads(pickle.dumps(notes(caught.value)))] == [str]


def test_on_error_and_groups_get_the_note(event):
    got = []
    event.connect(plain)
    event.on_error = lambda error, *rest: got.append(error)
    assert event.emit(1, extra=2) == []
    assert event.send(1, extra=2) == []
    event.on_error = "group"
    for way in (by_emit, by_send, by_emit_async):
        with pytest.raises(ExceptionGroup) as caught:
            way(event, 1, extra=2)
        got += caught.value.exceptions
    assert [len(notes(error)) for error in got] == [1] * 5


# Conditions


@pytest.mark.parametrize("way", WAYS)
def test_condition_is_named_with_its_handler(event, way, caplog):
    def condition(sender):
        return True

    event.connect(plain, condition=condition)
    way(event, 1, 2, extra=3)
    (record,) = caplog.records
    error = record.exc_info[1]
    (note,) = notes(error)
    assert note.startswith("condition test_condition_is_named_with_its_handler.<locals>.condition (")
    assert place(condition) in note
    assert note.endswith(" of handler plain of event 'e' was called with (sender, extra=...)")
    got = []
    event.on_error = lambda error, *rest: got.append(error)
    way(event, 1, 2, extra=3)
    assert [len(notes(error)) for error in got] == [1]


def test_error_inside_a_condition_gets_no_note(event):
    def condition(sender, **kwargs):
        raise TypeError("its own")

    got = []
    event.on_error = lambda error, *rest: got.append(error)
    event.connect(plain, condition=condition)
    event.emit(1)
    assert [notes(error) for error in got] == [[]]


# Async handlers


async def needs_none(sender):
    raise AssertionError("not to be called")


async def async_generator(sender):
    yield


class Asynchronous:
    async def __call__(self, sender):
        raise AssertionError("not to be called")

    async def method(self, sender):
        raise AssertionError("not to be called")


ASYNC = [needs_none, async_generator, Asynchronous(), Asynchronous().method, functools.partial(needs_none)]


@pytest.mark.parametrize("handler", ASYNC)
def test_async_handler_fails_alone_in_the_running_loop(event, run, handler):
    called, seen = [], []
    event.connect(handler, weak=False)
    event.connect(lambda sender, **kwargs: called.append(sender), weak=False)

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: seen.append(context["exception"]))
        assert event.emit(1, extra=2) == []
        assert (called, seen) == ([1], [])
        await asyncio.sleep(0.01)

    run(main())
    (error,) = seen
    assert type(error) is TypeError
    assert notes(error)[0].endswith("of event 'e' was called with (sender, extra=...)")


def test_async_handler_fails_in_the_background_loop(api, event, caplog):
    event.connect(needs_none)
    assert event.emit(1, extra=2) == []
    assert api.drain(TIMEOUT)
    (record,) = caplog.records
    assert (record.levelno, type(record.exc_info[1])) == (logging.ERROR, TypeError)
    assert record.getMessage() == f"handler {needs_none!r} of event 'e' failed"


def test_on_error_gets_the_error_of_a_scheduled_handler(api, event):
    got = []
    event.on_error = lambda *given: got.append(given)
    event.connect(needs_none)
    event.emit(1, extra=2)
    assert api.drain(TIMEOUT)
    ((error, *rest),) = got
    assert rest == [needs_none, event, 1]
    assert len(notes(error)) == 1


def test_group_of_emit_excludes_async_handlers(api, event, caplog):
    event.on_error = "group"
    event.connect(needs_none)
    assert event.emit(1, extra=2) == []
    assert api.drain(TIMEOUT)
    assert len(caplog.records) == 1


def test_send_raises_it(event):
    event.connect(needs_none)
    with pytest.raises(TypeError) as caught:
        event.send(1, extra=2)
    assert len(notes(caught.value)) == 1


@pytest.mark.parametrize("handler", ASYNC)
def test_emit_async_raises_it_after_the_tier(event, run, handler):
    """Handlers of the same priority run, those of a lower priority do not."""
    called = []
    event.connect(handler, weak=False, priority=1)
    event.connect(lambda sender, **kwargs: called.append("sync"), weak=False, priority=1)
    event.connect(lambda sender, **kwargs: called.append("lower"), weak=False)
    with pytest.raises(TypeError) as caught:
        run(event.emit_async(1, extra=2))
    assert len(notes(caught.value)) == 1
    assert called == ["sync"]


def test_emit_async_passes_it_to_error_policies(event, run):
    event.connect(needs_none)
    event.on_error = "group"
    with pytest.raises(ExceptionGroup, match="1 handlers of 'e' failed") as caught:
        run(event.emit_async(1, extra=2))
    assert len(notes(caught.value.exceptions[0])) == 1
    got = []
    event.on_error = lambda *given: got.append(given)
    assert run(event.emit_async(1, extra=2)) == []
    assert [rest for _, *rest in got] == [[needs_none, event, 1]]


def test_no_coroutine_is_left_unawaited(event, recwarn, collect):
    event.connect(needs_none)
    with pytest.raises(TypeError):
        event.send(1, extra=2)
    with pytest.raises(TypeError):
        by_emit_async(event, 1, extra=2)
    collect()
    assert not recwarn.list


def test_trace_shows_it_as_raised(api, ns, run):
    ns.event("e").connect(needs_none)

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        with api.trace(ns) as seen:
            ns.emit("e", 1, extra=2)
            assert await api.drain_async(TIMEOUT)
        return seen

    (emission,) = run(main()).emissions
    assert [call.outcome for call in emission.calls] == ["raised"]
    assert emission.error is None
