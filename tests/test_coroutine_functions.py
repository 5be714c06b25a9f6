"""How frameworks and mocks see an event: which of its methods are coroutine functions."""

import asyncio
import gc
import inspect
import types
import warnings
from unittest.mock import AsyncMock, MagicMock, Mock, create_autospec

import pytest


def functions(api):
    event, ns = api.Event("e"), api.Namespace()
    return [
        event.emit_async,
        event.send_async,
        event.first_async,
        event.wait,
        ns.event("x.*").emit_async,
        ns.event("x.*").wait,
        ns.emit_async,
        api.emit_async,
        api.drain_async,
        api.Event.emit_async,
        api.Namespace.emit_async,
    ]


def test_async_methods_are_coroutine_functions(api):
    for function in functions(api):
        assert inspect.iscoroutinefunction(function), function
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            assert asyncio.iscoroutinefunction(function), function


def test_other_methods_are_not(api):
    event = api.Event("e")
    for function in (event.emit, event.send, event.connect, event.stream, api.emit, api.drain, api.use_loop):
        assert not inspect.iscoroutinefunction(function)


def test_arguments_are_checked_at_the_call(api, ns):
    with pytest.raises(ValueError, match="pattern"):
        ns.event("x.*").emit_async()
    with pytest.raises(ValueError, match="pattern"):
        ns.emit_async("x.*")
    with pytest.raises(TypeError, match="given by its name"):
        ns.emit_async(5)
    with pytest.raises(TypeError, match="timeout"):
        ns.event("x").wait(timeout="5")
    with pytest.raises(TypeError, match="timeout"):
        api.drain_async("5")


def test_result_can_be_awaited(api, ns, run):
    @ns.on("x")
    async def handler(sender):
        return sender

    async def main():
        assert await ns["x"].emit_async(1) == [1]
        assert await ns.emit_async("x", 2) == [2]
        assert await ns.emit_async("unknown") == []
        waiting = ns["x"].wait()
        ns["x"].emit(3)
        assert (await waiting).sender == 3
        assert type(ns["x"].emit_async(1).close()) is type(None)
        return await asyncio.create_task(ns["x"].emit_async(4))

    assert run(main()) == [4]


def test_unawaited_call_is_reported_by_name(api):
    with pytest.warns(RuntimeWarning, match=r"coroutine 'Event\.emit_async' was never awaited"):
        api.Event("e").emit_async()
        gc.collect()
    with pytest.warns(RuntimeWarning, match="coroutine 'drain_async' was never awaited"):
        api.drain_async()
        gc.collect()


def test_rejected_as_conditions_and_policies(api, ns):
    event = ns.event("x")
    for function in (event.emit_async, event.wait, ns.emit_async):
        with pytest.raises(TypeError, match="is a coroutine function: a condition must answer at once"):
            event.connect(print, condition=function)
        with pytest.raises(TypeError, match="is a coroutine function"):
            event.on_error = function


def test_accepted_as_async_handlers(api, ns, run):
    first, second = ns.event("first"), ns.event("second")
    first.connect(second.emit_async, weak=False, thread=True)
    (connection,) = first.handlers
    assert (connection.kind, connection.thread) == ("async", False)

    @second.connect
    async def handler(sender):
        return sender

    assert run(first.emit_async("it")) == [["it"]]


def test_starlette_background_task_awaits_it(ns, run):
    """Starlette checks this way, and otherwise calls the function in a thread."""
    ran = []

    @ns.on("x")
    async def handler(sender):
        ran.append(sender)

    async def background(function, *args):
        if inspect.iscoroutinefunction(function):
            await function(*args)
        else:
            await asyncio.to_thread(function, *args)

    async def main():
        await background(ns["x"].emit_async, 1)
        await background(ns.emit_async, "x", 2)

    run(main())
    assert ran == [1, 2]


# Mocks, and other objects that imitate an event


def test_mock_of_an_event_gets_the_call(api, ns, run):
    mock = Mock(spec=api.Event)
    assert isinstance(mock, api.Event)
    assert ns.emit(mock, "sender", 1, key=2) is mock.emit.return_value
    mock.emit.assert_called_once_with("sender", 1, key=2)
    assert api.emit(mock) is mock.emit.return_value
    mock.emit.assert_called_with(api.ANY)
    assert isinstance(mock.emit_async, AsyncMock)
    mock.emit_async.return_value = ["result"]
    assert run(ns.emit_async(mock, "sender", key=2)) == ["result"]
    mock.emit_async.assert_awaited_once_with("sender", key=2)


def test_autospec_of_event(api, ns, run):
    mock = create_autospec(api.Event)("e")
    ns.emit(mock, "sender", key=2)
    mock.emit.assert_called_once_with("sender", key=2)
    assert inspect.iscoroutinefunction(mock.emit_async)
    assert inspect.iscoroutinefunction(mock.wait)
    mock.emit_async.return_value = ["result"]
    assert run(ns.emit_async(mock, "sender")) == ["result"]


def test_overridden_emit_is_called_by_namespace(api, ns):
    class Own(api.Event):
        emit = MagicMock(return_value=["own"])

    assert ns.emit(Own("e"), "sender") == ["own"]


def test_foreign_object_in_a_namespace_does_not_crash(api, ns):
    class Foreign:
        emit = api.Event.emit

    class Plain:
        def emit(self, *args, **kwargs):
            return args, kwargs

    ns.event("known").emit()
    dict.__setitem__(ns, "foreign", Foreign())
    dict.__setitem__(ns, "plain", Plain())
    dict.__setitem__(ns, "mock", Mock())
    dict.__setitem__(ns, "simple", types.SimpleNamespace(emit=lambda *args: args))
    for _ in range(3):
        assert ns.emit("known") == []
        with pytest.raises((TypeError, AttributeError)):
            ns.emit("foreign", 1)
        with pytest.raises((TypeError, AttributeError)):
            ns.emit("foreign")
        assert ns.emit("plain", 1, key=2) == ((1,), {"key": 2})
        assert ns.emit("plain", sender=1) == ((1,), {})
        assert ns.emit("simple", 1) == (1,)
        ns.emit("mock", 1)
    for name in ("foreign", "plain", "mock", "simple"):
        dict.__delitem__(ns, name)
