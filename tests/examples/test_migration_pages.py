"""The migration pages are right about the peers and about cyevents: each comparing row of their tables."""

import asyncio
import contextvars
import gc
import logging
import subprocess
import sys
import threading
from importlib.metadata import PackageNotFoundError, version

import pytest

# blinker


@pytest.fixture
def blinker():
    return pytest.importorskip("blinker", reason="blinker is not installed")


def test_blinker_results(api, blinker):
    def nothing(sender): ...

    def refuse(sender):
        return False

    signal, event = blinker.Signal(), api.Event("x")
    for receiver in (nothing, refuse):
        assert signal.connect(receiver) is receiver
        assert event.connect(receiver) is receiver
    assert sorted(signal.send("ada"), key=str) == sorted([(nothing, None), (refuse, False)], key=str)
    assert event.send("ada") == [(nothing, None), (refuse, False)]
    assert event.emit("ada") == []
    assert isinstance(event.emit("ada"), api.Cancelled)


def test_blinker_without_a_sender(api, blinker):
    def tell(sender):
        return sender

    signal, event = blinker.Signal(), api.Event("x")
    signal.connect(tell)
    event.connect(tell)
    assert signal.send() == [(tell, None)]
    assert event.emit() == [api.ANY]
    with pytest.raises(TypeError):
        signal.send("ada", 1)


def test_blinker_connect_via_holds_the_receiver(api, blinker, ns):
    signal, event = blinker.Signal(), ns.event("x")

    def connect():
        signal.connect_via("ada")(lambda sender: 1)
        local = lambda sender: 1  # noqa: E731
        ns.on("x", sender="ada")(local)

    connect()
    gc.collect()
    assert [value for _, value in signal.send("ada")] == [1]
    assert event.emit("ada") == []
    ns.on("x", sender="ada", weak=False)(lambda sender: 1)
    assert event.emit("ada") == [1]


def test_blinker_for_a_sender_and_for_any(api, blinker):
    def handler(sender):
        return 1

    signal, event = blinker.Signal(), api.Event("x")
    for it in (signal, event):
        it.connect(handler)
        it.connect(handler, sender="ada")
    assert len(signal.send("ada")) == len(event.emit("ada")) == 1
    assert signal.disconnect(handler) is None
    assert event.disconnect(handler) is True
    assert signal.send("ada") == event.emit("ada") == []


def test_blinker_async(api, blinker):
    order = []

    async def one(sender):
        order.append(1)
        await asyncio.sleep(0)
        order.append(2)

    async def two(sender):
        order.append(1)
        await asyncio.sleep(0)
        order.append(2)

    signal, event = blinker.Signal(), api.Event("x")
    for it in (signal, event):
        it.connect(one)
        it.connect(two)
    with pytest.raises(RuntimeError, match="coroutine function"):
        signal.send("ada")
    asyncio.run(signal.send_async("ada"))
    assert order == [1, 2, 1, 2]
    order.clear()
    asyncio.run(event.emit_async("ada"))
    assert order == [1, 1, 2, 2]
    order.clear()
    event.sequential = True
    assert (
        {*asyncio.run(event.send_async("ada"))}
        == {*asyncio.run(signal.send_async("ada"))}
        == {(one, None), (two, None)}
    )
    assert order == [1, 2] * 4
    order.clear()
    assert event.emit("ada") == []
    assert api.drain(timeout=10)
    assert sorted(order) == [1, 1, 2, 2]


# Django


@pytest.fixture
def dispatch():
    return pytest.importorskip("django.dispatch", reason="Django is not installed")


def is_django_6_1():
    """Return whether `asend` runs all receivers in one context and one task group (since Django 6.1)."""
    return sys.modules["django"].VERSION >= (6, 1)


def test_django_results(api, dispatch):
    def refuse(sender, **kwargs):
        return False

    def tell(sender, **kwargs):
        return sorted(kwargs)

    signal, event = dispatch.Signal(), api.Event("x")
    for it in (signal, event):
        it.connect(refuse)
        it.connect(tell)
    assert signal.send("ada", total=1) == [(refuse, False), (tell, ["signal", "total"])]
    assert event.send("ada", total=1) == [(refuse, False), (tell, ["total"])]
    assert isinstance(event.emit("ada", total=1), api.Cancelled)
    with pytest.raises(TypeError):
        signal.send("ada", 1)


def test_django_connect_is_not_a_decorator(api, dispatch):
    assert dispatch.Signal().connect(test_django_results) is None
    assert api.Event("x").connect(test_django_results) is test_django_results


def test_django_for_a_sender_and_for_any(api, dispatch):
    def handler(sender, **kwargs):
        return 1

    class Model: ...

    signal, event = dispatch.Signal(), api.Event("x")
    for it in (signal, event):
        it.connect(handler)
        it.connect(handler)
        it.connect(handler, sender=Model)
    assert len(signal.send(Model)) == 2
    assert event.emit(Model) == [1]
    assert signal.disconnect(handler) is event.disconnect(handler) is True
    assert len(signal.send(Model)) == 1
    assert event.emit(Model) == []


def test_django_senders(api, dispatch):
    def handler(sender, **kwargs):
        return 1

    signal, event = dispatch.Signal(), api.Event("x")
    word, same = "ab" * 50, "".join(["a", "b"] * 50)
    for it in (signal, event):
        it.connect(handler, sender=word)
    assert signal.send(same) == []
    assert event.emit(same) == [1]
    event.connect(handler, sender=None)
    assert event.emit(None) == [1]
    assert event.emit("another") == []
    signal.connect(handler, sender=None)
    assert len(signal.send("another")) == 1


def test_django_errors(api, dispatch, caplog):
    def bad(sender, **kwargs):
        raise ValueError("bad")

    def good(sender, **kwargs):
        return "good"

    signal, event = dispatch.Signal(), api.Event("x")
    for it in (signal, event):
        it.connect(bad)
        it.connect(good)
        with pytest.raises(ValueError, match="bad"):
            it.send("ada")
    assert [str(value) for _, value in signal.send_robust("ada")] == ["bad", "good"]
    event.on_error = "group"
    with pytest.raises(ExceptionGroup):
        event.emit("ada")
    errors = []
    event.on_error = lambda error, handler, event, sender: errors.append(str(error))
    assert (event.emit("ada"), errors) == (["good"], ["bad"])


def test_django_async(api, dispatch):
    order = []

    async def one(sender, **kwargs):
        order.append(1)
        await asyncio.sleep(0.01)
        order.append(2)
        return "async"

    async def two(sender, **kwargs):
        order.append(1)
        await asyncio.sleep(0.01)
        order.append(2)

    signal, event = dispatch.Signal(), api.Event("x")
    for it in (signal, event):
        it.connect(one)
        it.connect(two)
    assert [value for _, value in signal.send("ada")] == ["async", None]
    assert event.emit("ada") == []
    assert api.drain(timeout=10)
    order.clear()

    async def main():
        with pytest.raises(RuntimeError):
            signal.send("ada")
        await signal.asend("ada")
        assert order == [1, 1, 2, 2]
        order.clear()
        assert await event.emit_async("ada") == ["async"]
        assert order == [1, 1, 2, 2]

    asyncio.run(main())


def test_django_receiver_shapes(api, dispatch):
    def only_keywords(**kwargs):
        return kwargs["sender"]

    def keyword_only(*, sender, **kwargs):
        return sender

    def instance_first(instance, **kwargs):
        return kwargs["sender"]

    def sender_second(instance, sender, **kwargs):
        return sender

    def signal_first(signal, sender, **kwargs):
        return sender

    def page_saved(sender, *, instance): ...

    for receiver in (only_keywords, keyword_only, instance_first, sender_second, signal_first):
        signal, event = dispatch.Signal(), api.Event("page.saved")
        checked = api.Event("page.saved", signature=page_saved, check=True)
        for it in (signal, event):
            it.connect(receiver)
        assert signal.send("ada", instance="page 7") == [(receiver, "ada")]
        with pytest.raises(TypeError) as caught:
            event.emit("ada", instance="page 7")
        assert ("multiple values" in str(caught.value)) is (receiver in (instance_first, sender_second))
        with pytest.raises(TypeError, match="cannot take"):
            checked.connect(receiver)

        def around(sender, receiver=receiver, **kwargs):
            return receiver(sender=sender, signal=None, **kwargs)

        event.clear()
        event.connect(around)
        assert event.emit("ada", instance="page 7") == ["ada"]


def test_django_receiver_of_anything(api, dispatch):
    def anything(*args, **kwargs):
        return args, kwargs.get("sender")

    def page_saved(sender, *, instance): ...

    signal, event = dispatch.Signal(), api.Event("page.saved", signature=page_saved, check=True)
    for it in (signal, event):
        it.connect(anything)
    assert signal.send("ada", instance="page 7") == [(anything, ((), "ada"))]
    assert event.emit("ada", instance="page 7") == [(("ada",), None)]


def test_django_send_with_async_receivers(api, dispatch, caplog):
    calls = []

    async def mail(sender, **kwargs):
        calls.append("mail")
        return False

    def log(sender, **kwargs):
        calls.append("log")
        return "logged"

    signal, event = dispatch.Signal(), api.Event("x")
    for it in (signal, event):
        it.connect(mail)
        it.connect(log)
    assert signal.send("ada") == [(log, "logged"), (mail, False)]
    with caplog.at_level(logging.WARNING, "cyevents"):
        for _ in range(2):
            assert event.emit("ada") == ["logged"]
            assert api.drain(timeout=10)
    assert len(caplog.records) == 1
    (first, coroutine), (second, value) = event.send("ada")
    assert (first, second, value) == (mail, log, "logged")
    assert asyncio.run(coroutine) is False
    calls.clear()

    async def main():
        with pytest.raises(RuntimeError):
            signal.send("ada")
        assert calls == ["log"]
        assert event.emit("ada") == ["logged"]
        assert calls == ["log", "log"]
        assert await api.drain_async(timeout=10)
        assert calls == ["log", "log", "mail"]

    asyncio.run(main())


def test_django_errors_of_async_receivers(api, dispatch):
    async def bad(sender, **kwargs):
        raise ValueError("bad")

    signal, event, errors = dispatch.Signal(), api.Event("x"), []
    for it in (signal, event):
        it.connect(bad)
    with pytest.raises(ValueError, match="bad"):
        signal.send("ada")
    [(_, coroutine)] = event.send("ada")
    with pytest.raises(ValueError, match="bad"):
        asyncio.run(coroutine)
    event.on_error = lambda error, *about: errors.append(str(error))
    assert event.emit("ada") == []
    assert api.drain(timeout=10)
    assert errors == ["bad"]


def test_django_async_to_sync(api, dispatch):
    from asgiref.sync import async_to_sync

    async def mail(sender, **kwargs):
        return f"mail to {sender}"

    event = api.Event("x")
    event.connect(mail)
    assert async_to_sync(event.emit_async)("ada") == ["mail to ada"]


def test_django_asend_pairs(api, dispatch):
    async def mail(sender, **kwargs):
        return "mailed"

    async def nothing(sender, **kwargs): ...

    def log(sender, **kwargs):
        return "logged"

    signal, event = dispatch.Signal(), api.Event("x")
    for it in (signal, event):
        for handler in (mail, nothing, log):
            it.connect(handler)

    async def main():
        assert await signal.asend("ada") == [(log, "logged"), (mail, "mailed"), (nothing, None)]
        assert await event.emit_async("ada") == ["mailed", "logged"]
        assert await event.send_async("ada") == [(mail, "mailed"), (nothing, None), (log, "logged")]

    asyncio.run(main())


def test_django_asend_runs_sync_receivers_in_a_thread(api, dispatch):
    def where(sender, **kwargs):
        return threading.current_thread() is threading.main_thread()

    signal, event = dispatch.Signal(), api.Event("x")
    for it in (signal, event):
        it.connect(where)

    async def main():
        assert await signal.asend("ada") == [(where, False)]
        assert await event.emit_async("ada") == [True]

    asyncio.run(main())
    go_on, runs_sync_ones_first = threading.Event(), is_django_6_1()

    def wait(sender, **kwargs):
        return go_on.wait(0.1 if runs_sync_ones_first else 30)

    async def end_waiting(sender, **kwargs):
        go_on.set()

    for receiver in (wait, end_waiting):
        signal.connect(receiver)
    assert (wait, not runs_sync_ones_first) in asyncio.run(signal.asend("ada"))


def test_django_orm_in_sync_receivers(environment, dispatch):
    program = """
import asyncio
import django
from django.conf import settings
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}})
django.setup()
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection
from django.dispatch import Signal
from cyevents import Event

def ask(sender, **kwargs):
    with connection.cursor() as cursor:
        return cursor.execute("SELECT 7").fetchone()

signal, event = Signal(), Event("x")
for it in (signal, event):
    it.connect(ask)
assert asyncio.run(signal.asend("ada")) == [(ask, (7,))]
try:
    asyncio.run(event.emit_async("ada"))
except SynchronousOnlyOperation:
    print("refused")
"""
    run = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (0, "refused\n"), run.stderr


def test_django_asend_with_an_exception(api, dispatch):
    done, cancels_the_others = [], is_django_6_1()

    async def bad(sender, **kwargs):
        raise ValueError("bad")

    async def good(sender, **kwargs):
        await asyncio.sleep(0.01)
        done.append(sender)

    signal, event = dispatch.Signal(), api.Event("x")
    for it in (signal, event):
        it.connect(bad)
        it.connect(good)

    async def main():
        with pytest.raises(ValueError, match="bad"):
            await signal.asend("theirs")
        assert done == []
        await asyncio.sleep(0.1)
        assert done == ([] if cancels_the_others else ["theirs"])
        with pytest.raises(ValueError, match="bad"):
            await event.emit_async("ours")
        assert done[-1:] == ["ours"]

    asyncio.run(main())


def test_django_asend_robust(api, dispatch):
    async def bad(sender, **kwargs):
        raise ValueError("bad")

    def good(sender, **kwargs):
        return "good"

    signal, event = dispatch.Signal(), api.Event("x", on_error="group")
    for it in (signal, event):
        it.connect(bad)
        it.connect(good)

    async def main():
        assert [str(value) for _, value in await signal.asend_robust("ada")] == ["good", "bad"]
        with pytest.raises(ExceptionGroup):
            await event.emit_async("ada")

    asyncio.run(main())


def test_django_context_variables(api, dispatch):
    variable = contextvars.ContextVar("variable")

    def set_it(sender, **kwargs):
        seen = variable.get()
        variable.set("a handler")
        return seen

    async def set_it_async(sender, **kwargs):
        return set_it(sender)

    def see_it(sender, **kwargs):
        return variable.get()

    async def see_it_later(sender, **kwargs):
        await asyncio.sleep(0)
        return variable.get()

    def in_a_context(call):
        def run():
            variable.set("the emitter")
            return [value for _, value in call()], variable.get()

        return contextvars.copy_context().run(run)

    async def awaited(call):
        variable.set("the emitter")
        results = await call("ada")
        return [value[1] if isinstance(value, tuple) else value for value in results], variable.get()

    def both(*handlers):
        signal, event = dispatch.Signal(), api.Event("x")
        for it in (signal, event):
            for handler in handlers:
                it.connect(handler)
        return signal, event

    unchanged = ["the emitter", "the emitter"], "the emitter"
    expected = ["the emitter", "a handler"], "a handler"
    signal, event = both(set_it, see_it)
    assert in_a_context(lambda: signal.send("ada")) == expected
    assert in_a_context(lambda: zip([1, 2], event.emit("ada"), strict=True)) == expected
    results, after = asyncio.run(awaited(signal.asend))
    assert results == ["the emitter", "a handler"]
    assert after == ("a handler" if is_django_6_1() else "the emitter")
    assert asyncio.run(awaited(event.emit_async)) == expected
    signal, event = both(set_it, see_it_later)
    assert asyncio.run(awaited(signal.asend)) == (expected if is_django_6_1() else unchanged)
    assert asyncio.run(awaited(event.emit_async)) == expected
    event.connect(set_it, thread=True, priority=5)
    assert asyncio.run(awaited(event.emit_async)) == unchanged
    signal, event = both(set_it_async, see_it_later)
    assert in_a_context(lambda: signal.send("ada")) == (expected if is_django_6_1() else unchanged)
    assert asyncio.run(awaited(signal.asend)) == (expected if is_django_6_1() else unchanged)
    assert asyncio.run(awaited(event.emit_async)) == unchanged


def test_django_dispatch_uid(api, dispatch):
    def make(value):
        def handler(sender, **kwargs):
            return value

        return handler

    signal, event = dispatch.Signal(), api.Event("x")
    first, second = make(1), make(2)
    for handler in (first, second):
        signal.connect(handler, dispatch_uid="handler")
        event.connect(handler)
    assert [value for _, value in signal.send("ada")] == [1]
    assert event.emit("ada") == [1, 2]
    for it in (signal, event):
        it.disconnect(second)
    for _ in range(2):
        event.connect(first)
    assert event.emit("ada") == [1]
    del first, handler
    gc.collect()
    assert signal.send("ada") == []
    signal.connect(second, dispatch_uid="handler")
    assert [value for _, value in signal.send("ada")] == [2]
    assert signal.disconnect(dispatch_uid="handler") is True
    assert signal.send("ada") == []


def test_django_does_not_warn_about_dead_receivers(api, dispatch):
    signal, event = dispatch.Signal(), api.Event("x")
    signal.connect(lambda sender, **kwargs: 1)
    assert signal.send("ada") == []
    with pytest.warns(RuntimeWarning):
        event.connect(lambda sender, **kwargs: 1)


def test_django_nested_functions(api, dispatch, caplog):
    signal, event = dispatch.Signal(), api.Event("x")

    def ready():
        def theirs(sender, **kwargs): ...

        def ours(sender, **kwargs): ...

        signal.connect(theirs)
        event.connect(ours)

    with caplog.at_level(logging.WARNING):
        ready()
        gc.collect()
        assert (signal.send("ada"), event.send("ada")) == ([], [])
    [record] = caplog.records
    assert record.name == "cyevents"
    assert "ours" in record.getMessage()
    assert "test_migration_pages.py" in record.getMessage()


def test_django_connects_emit(api, dispatch):
    def handler(sender, **kwargs):
        return sorted(kwargs)

    def forward(sender, signal, **kwargs):
        return event.emit(sender, **kwargs)

    signal, event = dispatch.Signal(), api.Event("x")
    event.connect(handler)
    signal.connect(event.emit)
    assert bool(signal.send("ada")) is (api.backend == "python")
    signal = dispatch.Signal()
    signal.connect(event.emit, weak=False, dispatch_uid="emit")
    assert [value for _, value in signal.send("ada", total=1)] == [[["signal", "total"]]]
    assert signal.disconnect(event.emit) is False
    assert signal.disconnect(dispatch_uid="emit") is True
    signal.connect(event.emit, weak=False)
    assert signal.disconnect(event.emit) is (api.backend == "python")
    signal = dispatch.Signal()
    signal.connect(forward)
    assert [value for _, value in signal.send("ada", total=1)] == [[["total"]]]


def test_django_has_listeners(api, dispatch):
    signal, event = dispatch.Signal(), api.Event("x")
    assert (signal.has_listeners("ada"), event.has_handlers_for("ada")) == (False, False)
    for it in (signal, event):
        it.connect(test_django_results)
    assert (signal.has_listeners("ada"), event.has_handlers_for("ada")) == (True, True)


# pyee


@pytest.fixture
def pyee():
    return pytest.importorskip("pyee", reason="pyee is not installed")


def test_pyee_emitting(pyee, ns):
    emitter, calls = pyee.EventEmitter(), []

    def refuse(*args):
        calls.append(args)
        return False

    def tell(*args):
        calls.append(args)
        return "noted"

    for it in (emitter, ns):
        for handler in (refuse, tell):
            it.on("x")(handler)
    assert emitter.emit("x", 1, 2) is True
    assert emitter.emit("unknown") is False
    assert calls == [(1, 2), (1, 2)]
    calls.clear()
    assert ns.emit("x", 1, 2) == []
    assert calls == [(1, 2)]
    ns["x"].disconnect(refuse)
    assert ns.emit("x", 1, 2) == ["noted"]


def test_pyee_without_arguments(api, pyee, ns):
    calls = []

    def handler(*args):
        calls.append(args)

    for it in (pyee.EventEmitter(), ns):
        it.on("x")(handler)
        it.emit("x")
    assert calls == [(), (api.ANY,)]


def test_pyee_holds_its_handlers(pyee, ns):
    emitter, calls = pyee.EventEmitter(), []

    def connect():
        def local(sender):
            calls.append(sender)

        def another(sender):
            calls.append(sender)

        emitter.on("x", local)
        emitter.once("y", local)
        ns.on("x")(another)

    connect()
    gc.collect()
    ns.emit("x", "ours")
    emitter.emit("x", "theirs")
    assert (emitter.emit("y", "once"), emitter.emit("y", "once")) == (True, False)
    assert calls == ["theirs", "once"]


def test_pyee_removing(pyee, ns):
    emitter = pyee.EventEmitter()

    def handler(*args): ...

    def unknown(*args): ...

    emitter.on("x", handler)
    ns.on("x")(handler)
    try:
        assert emitter.remove_listener("x", unknown) is None
    except KeyError:  # pyee 13
        pass
    assert ns.event("x").disconnect(unknown) is False
    assert emitter.listeners("x") == [connection.handler for connection in ns.event("x").handlers] == [handler]
    assert emitter.event_names() == set(ns) == {"x"}
    assert emitter.remove_listener("x", handler) is None
    assert ns.event("x").disconnect(handler) is True
    assert (emitter.event_names(), set(ns)) == (set(), {"x"})
    emitter.on("x", handler)
    emitter.remove_all_listeners("x")
    ns["x"].connect(handler)
    ns["x"].clear()
    assert emitter.listeners("x") == ns.event("x").handlers == []
    emitter.remove_all_listeners()
    ns.clear()
    assert emitter.event_names() == set(ns) == set()


def test_pyee_removal_during_an_emission(pyee, ns):
    calls = []

    def second(sender):
        calls.append(sender)

    emitter = pyee.EventEmitter()
    emitter.on("x", lambda sender: emitter.remove_listener("x", second))
    ns.on("x", weak=False)(lambda sender: ns["x"].disconnect(second) and None)
    for it, name in ((emitter, "theirs"), (ns, "ours")):
        it.on("x")(second)
        it.emit("x", name)
    assert calls == ["theirs"]


def test_pyee_errors(pyee, ns):
    from pyee.asyncio import AsyncIOEventEmitter

    noted = []

    def bad(sender):
        raise ValueError("bad")

    def good(sender):
        noted.append("good")

    emitter = pyee.EventEmitter()
    emitter.on("error", lambda error: noted.append(str(error)))
    for it in (emitter, ns):
        it.on("x")(bad)
        it.on("x")(good)
        with pytest.raises(ValueError, match="bad"):
            it.emit("x", 1)
    assert noted == []

    async def main():
        emitter = AsyncIOEventEmitter()
        emitter.on("error", lambda error: noted.append(str(error)))
        emitter.on("x", bad)
        emitter.on("x", good)
        emitter.emit("x", 1)

    asyncio.run(main())
    assert noted == ["bad", "good"]
    noted.clear()
    ns.on_error = lambda error, handler, event, sender: noted.append(str(error))
    assert ns.emit("x", 1) == []
    assert noted == ["bad", "good"]


def test_pyee_without_a_loop(api, pyee, ns):
    program = """
from pyee.asyncio import AsyncIOEventEmitter

async def handler():
    print("called")

emitter = AsyncIOEventEmitter()
emitter.on("x", handler)
emitter.emit("x")
"""
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60)
    assert run.stdout == ""
    noted = []

    @ns.on("x")
    async def handler(sender):
        noted.append(sender)

    ns.emit("x", 1)
    assert api.drain(timeout=10)
    assert noted == [1]


# Nitro: the page describes nitro-boost 0.3.0. Its namespace is global, so each program has its own process.

NITRO_VALUES = """
import asyncio, gc, threading
from importlib.util import find_spec
from nitro.events import *
from nitro.events import default_namespace, emit, emit_async, event, on
from nitro.utils import match

assert find_spec("nitro.infrastructure") is None

def handlers(name, *values, **options):
    for value in values:
        on(name, **options)(lambda sender, value=value, **kwargs: value)
    return name

assert match("user.*", "user.created") and match("!user.*", "order.placed")
assert emit(handlers("values", 1, None), "ada") == [[1], []]
assert asyncio.run(emit_async(handlers("async", 1, 2), "ada")) == [[2], [2]]
assert asyncio.run(emit_async(handlers("refused", False, 2), "ada")) == [[2], [2]]
assert asyncio.run(emit_async(handlers("not asked", 1, condition=lambda sender, **kwargs: False))) == [[1]]
assert emit("not asked") == []
assert emit(handlers("zero", 0, 1)) == []

@on("yields")
def yields(sender):
    yield False
on("yields")(lambda sender: 1)
assert emit("yields") == []

for broken, error in ((lambda: emit("values", "ada", 1), TypeError), (lambda: on(event("x")), AttributeError)):
    try:
        broken()
    except error:
        pass
    else:
        raise AssertionError

emit("unknown")
assert "unknown" in default_namespace

gc.collect()
assert emit("values", "ada") == [[1], []]  # held only by Nitro

threads = set()
@on("threads")
async def note(sender):
    threads.add(threading.current_thread())
    await asyncio.sleep(0.2)
for _ in range(2):
    emit("threads")
while len(threads) < 2:
    pass
assert all(thread.daemon for thread in threads)

ended = []
@on("waits")
async def wait(sender):
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        ended.append(sender)
async def collect():
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    emit("waits", "ada")
    await asyncio.sleep(0)
    gc.collect()
    assert ended == ["ada"]
asyncio.run(collect())

@on("one priority")
def first(sender): return "first"
event("one priority").connect(lambda sender: "second", "ada", False)
event("one priority").connect(first, "bob", priority=-1)
assert emit("one priority", "ada") == [["second"], ["first"]]
"""

NITRO_WILDCARDS = """
from nitro.events.events import *
from nitro.events.events import default_namespace, filter_signals

def pattern(sender, **kwargs): return "pattern"
def another(sender, **kwargs): return "another"
def own(sender, **kwargs): return "own"

# Without a match, an event is created, and later ones copy its handlers without priority and condition.
on("new.*", priority=10, condition=lambda sender, **kwargs: False)(pattern)
assert "new.*" in default_namespace
assert emit("new.one") == [["pattern"]]
on("new.one", priority=5)(own)
assert emit("new.one") == [["own"], ["pattern"]]

# Only matching handlers are connected, and none later.
event("old.one")
on("old.*")(pattern)
assert "old.*" not in default_namespace
assert (emit("old.one"), emit("old.two")) == ([["pattern"]], [])

# A handler of the pattern's event reaches other events if something is connected to them.
on("late.*")(pattern)
assert emit("late.one") == [["pattern"]]
event("late.*").connect(another)
assert emit("late.one") == [["pattern"]]
on("late.one")(own)
assert sorted(emit("late.one")) == [["another"], ["own"], ["pattern"]]

# An event created before its pattern loses its own handlers.
on("mine.one")(own)
event("mine.*").connect(pattern)
assert emit("mine.one") == [["own"]]
on("mine.one")(another)
assert emit("mine.one") == [["pattern"]]
on("hers.one")(own)
event("hers.*").connect(pattern)
event("hers.one").connect_filtered()
assert emit("hers.one") == [["pattern"]]

# The last of two patterns is called.
on("two.*")(pattern)
on("*.patterns")(another)
assert "two.*" in default_namespace and "*.patterns" in default_namespace
assert (emit("two.x"), emit("two.patterns")) == ([["pattern"]], [["another"]])
"""

NITRO_STAR = """
from nitro.events import *

def handler(sender, **kwargs): return 1

assert list(default_namespace) == ["client_lifecycle"]
for name in ("*", "!order.*"):
    on(name)(handler)
assert list(default_namespace) == ["client_lifecycle"]
assert emit("later") == []
"""

NITRO_CLIENTS = """
import asyncio, gc, weakref
from nitro.events import *

errors = []

async def count(client):
    await asyncio.sleep(0.01)
    return client.queue.qsize()

async def main():
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context["exception"]))
    client = Client(topics=["order.*"])
    emit("order.placed", "ada", result="<li>tea</li>")
    assert await client.queue.get() == "<li>tea</li>"
    emit("order.paid", "ada", result=None)
    assert await count(client) == 0 and not errors
    emit("order.paid", "ada", total=12)
    assert await count(client) == 0
    gc.collect()
    assert "'result'" in str(errors[0]) or "'total'" in str(errors[0])
    for number in range(3000):
        emit("order.paid", "ada", result=number)
    assert await count(client) == 3000

    event("old.one")
    client = Client(topics=["old.*"])
    emit("old.one", "ada", result=1)
    emit("old.two", "ada", result=2)
    assert await count(client) == 1

    client = Client(topics={"sent.*": ["ada"]})
    for sender in ("ada", "".join(["a", "da"]), "bob"):
        emit("sent.one", sender, result=1)
    assert await count(client) == 2

    event("known.muted")
    event("known.other")
    for topic, expected in (("known", 1), ("fresh", 2), ("fresh", 0)):  # the second creates those of the third
        client = Client(topics=[f"{topic}.*"], muted_topics=[f"{topic}.muted"])
        for name in ("muted", "other"):
            emit(f"{topic}.{name}", "ada", result=1)
        assert await count(client) == expected

    client = Client()
    assert list(client.subscriptions) == ["ANY"]
    try:
        Client(topics=ANY)
    except AttributeError:
        pass
    else:
        raise AssertionError

    with Client(topics=["left.*"]) as client:
        pass
    emit("left.one", "ada", result=1)
    assert await count(client) == 1
    client = weakref.ref(client)
    gc.collect()
    assert client() is not None

asyncio.run(main())
"""

NITRO_GENERATORS = """
import asyncio, contextvars, sys, threading, time
from nitro.events import *

variable = contextvars.ContextVar("variable", default="not set")
raised, steps = [], []
threading.excepthook = lambda about: raised.append(about.exc_value)

@on("rows")
def rows(sender):
    yield threading.current_thread() is threading.main_thread()
    yield threading.current_thread().daemon
    yield variable.get()

@on("fails")
def fails(sender):
    yield 1
    raise ValueError("bad")

@on("slow")
def slow(sender):
    for step in range(4):
        time.sleep(0.02)
        steps.append(step)
        yield step

async def main():
    variable.set("set")
    inherited = "set" if getattr(sys.flags, "thread_inherit_context", False) else "not set"
    assert await emit_async("rows") == [[False, True, inherited]]
    assert emit("rows") == [[True, False, "set"]] or emit("rows") == []
    assert await emit_async("fails") == [[1]]
    while not raised:
        time.sleep(0.01)
    assert str(raised[0]) == "bad"
    task = asyncio.create_task(emit_async("slow"))
    while not steps:
        await asyncio.sleep(0)  # the loop is not blocked
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        pass
    assert len(steps) < 4
    while len(steps) < 4:
        time.sleep(0.01)

asyncio.run(main())
"""

NITRO_BINDING = """
import asyncio, gc, threading, time
from nitro.events import *

raised, reported = [], []
threading.excepthook = lambda about: raised.append(about.exc_value)

@on("sync")
def too_few(sender): return 1
@on("sync")
def never_called(sender, **kwargs): raised.append("called")
@on("async")
async def too_few_async(sender): return 1
@on("async")
def called(sender, **kwargs): return 2

try:
    emit("sync", "ada", total=12)
except TypeError as error:
    assert not hasattr(error, "__notes__")
else:
    raise AssertionError
assert raised == []

async def main():
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    assert emit("async", "ada", total=12) == [[2]]
    await asyncio.sleep(0.01)
    gc.collect()
    assert reported[0]["message"] == "Task exception was never retrieved"
    on("awaited")(too_few_async)
    try:
        await emit_async("awaited", "ada", total=12)
    except TypeError:
        pass
    else:
        raise AssertionError
asyncio.run(main())

assert emit("async", "ada", total=12) == [[2]]
while not raised:
    time.sleep(0.01)
assert isinstance(raised[0], TypeError)
"""

NITRO_PROGRAMS = {
    "values": NITRO_VALUES,
    "wildcards": NITRO_WILDCARDS,
    "star": NITRO_STAR,
    "clients": NITRO_CLIENTS,
    "generators": NITRO_GENERATORS,
    "binding": NITRO_BINDING,
}


def nitro_version():
    try:
        return version("nitro-boost")
    except PackageNotFoundError:
        return None


@pytest.mark.parametrize("program", NITRO_PROGRAMS.values(), ids=NITRO_PROGRAMS)
def test_nitro(program):
    if nitro_version() != "0.3.0":
        pytest.skip("nitro-boost 0.3.0 is not installed")
    program += 'print("all true")\n'
    run = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", program], capture_output=True, text=True, encoding="utf-8", timeout=60
    )
    assert (run.returncode, run.stdout[-9:]) == (0, "all true\n"), run.stderr


def test_nitro_calls_in_cyevents(api, ns):
    def handlers(name, *values, **options):
        for value in values:
            ns.on(name, weak=False, **options)(lambda sender, *args, value=value, **kwargs: value)
        return name

    assert api.match("user.*", "user.created")
    assert api.match("!user.*", "order.placed")
    assert ns.emit(handlers("values", 1, None), "ada") == [1]
    assert ns.emit("values", "ada", 1) == [1]
    assert asyncio.run(ns.emit_async(handlers("async", 1, 2), "ada")) == [1, 2]
    assert isinstance(asyncio.run(ns.emit_async(handlers("refused", False, 2), "ada")), api.Cancelled)
    assert asyncio.run(ns.emit_async(handlers("asked", 1, condition=lambda sender, **kwargs: False))) == []
    assert ns.emit(handlers("zero", 0, 1)) == [0, 1]

    @ns.on("yields")
    def yields(sender):
        yield False

    assert ns.emit(handlers("yields", 1)) == [[False], 1]
    assert ns.emit(handlers(ns.event("x"), 1)) == [1]
    assert ns.emit("unknown") == []
    assert "unknown" not in ns


def test_nitro_tasks_in_cyevents(api, ns):
    ended = []

    @ns.on("waits")
    async def wait(sender):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append(sender)

    async def main():
        ns.emit("waits", "ada")
        await asyncio.sleep(0)
        gc.collect()
        assert ended == []
        assert not await api.drain_async(timeout=0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await api.drain_async(timeout=10)

    asyncio.run(main())
    assert ended == ["ada"]


def test_nitro_wildcards_in_cyevents(ns):
    def pattern(sender, **kwargs):
        return "pattern"

    def another(sender, **kwargs):
        return "another"

    def own(sender, **kwargs):
        return "own"

    ns.on("new.*", priority=10)(pattern)
    ns.on("never.*", condition=lambda sender, **kwargs: False)(another)
    assert ns.emit("new.one") == ["pattern"]
    assert ns.emit("never.one") == []
    ns.on("new.one", priority=5)(own)
    assert ns.emit("new.one") == ["pattern", "own"]
    assert set(ns) == {"new.one"}
    ns.on("mine.one")(own)
    ns.event("mine.*").connect(pattern)
    ns.on("mine.one")(another)
    assert ns.emit("mine.one") == ["own", "pattern", "another"]
    ns.on("two.*")(pattern)
    ns.on("*.patterns")(another)
    assert (ns.emit("two.x"), ns.emit("two.patterns")) == (["pattern"], ["pattern", "another"])
    assert not hasattr(ns.event("mine.one"), "connect_filtered")


@pytest.mark.parametrize("name", ["*", "!order.*"])
def test_nitro_star_pattern_in_cyevents(ns, name):
    def handler(sender, **kwargs):
        return 1

    ns.event("client_lifecycle")
    ns.on(name)(handler)
    assert ns.emit("later") == [1]


def test_nitro_clients_in_cyevents(ns):
    async def main():
        ns.event("order.placed")
        everything = ns.event("*").stream()
        async with ns.event("order.*").stream() as updates, ns.event("order.*").stream("ada") as hers:
            ns.emit("order.placed", "ada", result="<li>tea</li>")
            ns.emit("order.paid", "".join(["a", "da"]), result=None)
            ns.emit("order.sent", "bob", total=12)
            seen = [await anext(updates) for _ in range(3)]
            assert [update.event.name for update in seen] == ["order.placed", "order.paid", "order.sent"]
            assert [update.kwargs for update in seen] == [{"result": "<li>tea</li>"}, {"result": None}, {"total": 12}]
            assert [(await anext(hers)).event.name for _ in range(2)] == ["order.placed", "order.paid"]
        assert (await anext(everything)).event.name == "order.placed"
        everything.close()
        assert ns.event("order.*").handlers == []

    asyncio.run(asyncio.wait_for(main(), 30))


def test_nitro_slow_clients_in_cyevents(api, ns):
    async def main():
        async with ns.event("order.*").stream() as updates:
            for number in range(1001):
                ns.emit("order.paid", "ada", result=number)
            for _ in range(1000):
                await anext(updates)
            with pytest.raises(api.StreamOverflow):
                await anext(updates)

    asyncio.run(asyncio.wait_for(main(), 30))


def test_nitro_generators_in_cyevents(ns):
    variable = contextvars.ContextVar("variable")
    steps, go_on = [], threading.Event()

    def rows(sender):
        yield threading.current_thread() is threading.main_thread()
        yield variable.get()

    def fails(sender):
        yield 1
        raise ValueError("bad")

    def slow(sender):
        steps.append("begun")
        yield go_on.wait(60)
        steps.append("done")

    for name, handler in (("rows", rows), ("fails", fails)):
        ns.on(name)(handler)
        ns.on(f"{name} in a thread", thread=True)(handler)
    ns.on("slow", thread=True)(slow)

    async def main():
        variable.set("set")
        assert await ns.emit_async("rows") == ns.emit("rows") == [[True, "set"]]
        assert await ns.emit_async("rows in a thread") == [[False, "set"]]
        for name in ("fails", "fails in a thread"):
            with pytest.raises(ValueError, match="bad"):
                await ns.emit_async(name)
        task = asyncio.create_task(ns.emit_async("slow"))
        while not steps:
            await asyncio.sleep(0)  # the loop is not blocked
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert steps == ["begun", "done"]

    asyncio.run(main())


def notes_of(error):
    return "".join(getattr(error, "__notes__", []))


def test_nitro_binding_errors_in_cyevents(ns):
    calls = []

    @ns.on("sync")
    def too_few(sender): ...

    @ns.on("sync")
    def never_called(sender, **kwargs):
        calls.append(sender)

    with pytest.raises(TypeError) as caught:
        ns.emit("sync", "ada", total=12)
    assert calls == []
    with pytest.raises(TypeError) as caught_async:
        asyncio.run(ns.emit_async("sync", "ada", total=12))
    for error in (caught.value, caught_async.value):
        for part in ("too_few", "test_migration_pages.py", "sync", "total"):
            assert part in notes_of(error)
    errors = []
    ns["sync"].on_error = lambda error, *about: errors.append(error)
    ns.emit("sync", "ada", total=12)
    assert (len(errors), calls) == (1, ["ada"])


def test_nitro_async_binding_errors_in_cyevents(api, ns, caplog):
    reported = []

    @ns.on("async")
    async def too_few(sender): ...

    @ns.on("async")
    def called(sender, **kwargs):
        return 2

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context["exception"]))
        assert ns.emit("async", "ada", total=12) == [2]
        assert reported == []
        await asyncio.sleep(0.01)
        assert "too_few" in notes_of(reported[0])
        with pytest.raises(TypeError):
            await ns.emit_async("async", "ada", total=12)

    asyncio.run(main())
    with caplog.at_level(logging.ERROR, "cyevents"):
        assert ns.emit("async", "ada", total=12) == [2]
        assert api.drain(timeout=10)
    assert [(record.name, record.levelname) for record in caplog.records] == [("cyevents", "ERROR")]
    errors = []
    ns["async"].on_error = lambda error, *about: errors.append(error)
    assert ns.emit("async", "ada", total=12) == [2]
    assert api.drain(timeout=10)
    assert [type(error) for error in errors] == [TypeError]


# psygnal


@pytest.fixture
def objects(api):
    """Return an object with a signal of psygnal, and one with an event, both named `changed`."""
    psygnal = pytest.importorskip("psygnal", reason="psygnal is not installed")
    signals = type("Thermostat", (), {"changed": psygnal.Signal(int)})
    events = type("Thermostat", (), {"changed": api.Event()})
    return signals(), events()


def test_psygnal_handlers_do_not_get_the_object(objects):
    signals, events = objects
    calls = []

    def take(*args):
        calls.append(args)

    for owner in objects:
        assert owner.changed.connect(take) is take
        owner.changed.emit(21)
    assert calls == [(21,), (events, 21)]


def test_psygnal_disconnects(objects):
    def take(*args):
        raise AssertionError("it was disconnected")

    for owner in objects:
        owner.changed.connect(take)
        owner.changed.disconnect(take)
        owner.changed.emit(21)
    signals, events = objects
    signals.changed.connect(take)
    signals.changed.disconnect()
    events.changed.connect(take)
    type(events).changed.clear()
    assert len(signals.changed) == len(events.changed.handlers) == 0


def test_psygnal_blocks(objects):
    signals, events = objects
    calls = []

    def take(*args):
        calls.append(args)

    signals.changed.connect(take)
    events.changed.connect(take)
    with signals.changed.blocked(), type(events).changed.muted():
        signals.changed.emit(21)
        events.changed.emit(21)
    assert calls == []


def test_psygnal_pauses(objects):
    signals, events = objects
    calls = []

    def take(*args):
        calls.append(args[-1])

    for owner, block in (signals, signals.changed.paused()), (events, events.changed.held()):
        owner.changed.connect(take)
        with block:
            owner.changed.emit(1)
            owner.changed.emit(2)
            assert calls == []
        assert calls == [1, 2]
        calls.clear()
    with signals.changed.paused(lambda one, other: (one[0] + other[0],)):
        signals.changed.emit(1)
        signals.changed.emit(2)

    def merge(emissions):
        emissions[0].args = (sum(emission.args[0] for emission in emissions),)
        return emissions[:1]

    with events.changed.held(merge):
        events.changed.emit(1)
        events.changed.emit(2)
    assert calls == [3, 3]


def test_psygnal_queues_for_a_thread(api, objects):
    from psygnal import emit_queued

    signals, events = objects
    calls, mailbox = [], api.Mailbox(1)

    def take(*args):
        calls.append((args[-1], threading.current_thread()))

    signals.changed.connect(take, thread="main")
    events.changed.connect(take, via=mailbox)
    for owner, run_queued in (signals, emit_queued), (events, mailbox.drain):
        thread = threading.Thread(target=owner.changed.emit, args=(21,))
        thread.start()
        thread.join()
        assert calls == []
        run_queued()
        assert calls == [(21, threading.main_thread())]
        calls.clear()


@pytest.mark.parametrize(("name", "made"), [("throttled", [1, 3]), ("debounced", [3])])
def test_psygnal_limits_rates(api, name, made):
    psygnal = pytest.importorskip("psygnal", reason="psygnal is not installed")
    for limit, hour in (getattr(psygnal, name), 3_600_000), (getattr(api, name), 3600):
        calls = []
        limited = limit(calls.append, hour)
        for number in (1, 2, 3):
            limited(number)
        limited.flush()
        limited.cancel()
        assert calls == made


def test_psygnal_holds_functions(objects, collect):
    signals, events = objects
    calls = []
    signals.changed.connect(lambda degrees: calls.append("psygnal"))
    with pytest.warns(RuntimeWarning, match="was garbage-collected at once"):
        events.changed.connect(lambda owner, degrees: calls.append("cyevents"))
    collect()
    signals.changed.emit(21)
    events.changed.emit(21)
    assert calls == ["psygnal"]


def test_psygnal_calls_as_often_as_connected(objects):
    calls = []

    def take(*args):
        calls.append(args[-1])
        return False

    for owner, number in zip(objects, (1, 2), strict=True):
        owner.changed.connect(take)
        owner.changed.connect(take)
        owner.changed.emit(number)
    assert calls == [1, 1, 2]


def test_psygnal_wraps_exceptions(objects):
    psygnal = pytest.importorskip("psygnal")

    def fail(*args):
        raise ValueError

    signals, events = objects
    signals.changed.connect(fail)
    events.changed.connect(fail)
    with pytest.raises(psygnal.EmitLoopError):
        signals.changed.emit(21)
    with pytest.raises(ValueError):
        events.changed.emit(21)


def test_psygnal_names_the_sender(objects):
    psygnal = pytest.importorskip("psygnal")
    signals, _ = objects
    senders = []

    def take(degrees):
        senders.append(psygnal.Signal.sender())

    signals.changed.connect(take, max_args=1)
    signals.changed.emit(21)
    assert senders == [signals]


# Qt, in a process of its own

QT_PROGRAM = """
import gc
from PySide6.QtCore import QObject, Signal

class Thermostat(QObject):
    changed = Signal(int)

kitchen, hall, calls = Thermostat(), Thermostat(), []

def show(degrees):
    calls.append(degrees)
    return False

class Widget(QObject):
    def show(self, degrees):
        calls.append((degrees, self.sender() is kitchen))

# It is called as often as it is connected, and False cancels nothing.
kitchen.changed.connect(show)
kitchen.changed.connect(show)
kitchen.changed.emit(1)
assert calls == [1, 1], calls
kitchen.changed.disconnect()

# Functions are held strongly, methods weakly.
calls.clear()
kitchen.changed.connect(lambda degrees: calls.append("lambda"))
widget, lost = Widget(), Widget()
kitchen.changed.connect(widget.show)
kitchen.changed.connect(lost.show)
del lost
gc.collect()
kitchen.changed.emit(2)
assert calls == ["lambda", (2, True)], calls
kitchen.changed.disconnect()

# An exception does not reach the emitter.
def fail(degrees):
    raise ValueError("bad")

calls.clear()
kitchen.changed.connect(fail)
kitchen.changed.connect(show)
kitchen.changed.emit(3)
assert calls == [3], calls
kitchen.changed.disconnect()

# A signal can be connected to another.
calls.clear()
hall.changed.connect(show)
kitchen.changed.connect(hall.changed)
kitchen.changed.emit(4)
assert calls == [4], calls
"""


def test_qt():
    try:
        version("PySide6-Essentials")
    except PackageNotFoundError:
        pytest.skip("PySide6 is not installed")
    run = subprocess.run([sys.executable, "-c", QT_PROGRAM], capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stderr.endswith("ValueError: bad\n")


def test_qt_in_cyevents(api):
    class Thermostat:
        changed = api.Event()

    kitchen, hall, calls = Thermostat(), Thermostat(), []
    hall.changed.connect(lambda owner, degrees: calls.append((owner, degrees)), weak=False)
    kitchen.changed.connect(lambda owner, degrees: hall.changed.emit(degrees) and None, weak=False)
    kitchen.changed.emit(4)
    assert calls == [(hall, 4)]


# pluggy


class Hooks:
    """A plugin manager with the hooks `placed`, `price` and `ready`, and a mark for implementations."""

    def __init__(self, pluggy):
        self.pluggy, self.impl = pluggy, pluggy.HookimplMarker("shop")
        spec = pluggy.HookspecMarker("shop")

        class Specs:
            @spec
            def placed(self, order, total): ...

            @spec(firstresult=True)
            def price(self, order): ...

            @spec(historic=True)
            def ready(self, order): ...

        self.manager = pluggy.PluginManager("shop")
        self.manager.add_hookspecs(Specs)
        self.hook = self.manager.hook

    def register(self, function, **options):
        """Register a plugin with one implementation; return the plugin."""
        plugin = type("Plugin", (), {function.__name__: staticmethod(self.impl(**options)(function))})()
        self.manager.register(plugin)
        return plugin


@pytest.fixture
def hooks():
    return Hooks(pytest.importorskip("pluggy", reason="pluggy is not installed"))


def test_pluggy_results_and_their_order(api, hooks):
    def make(value):
        def placed():
            return value

        return placed

    event, handlers = api.Event("x"), []
    for value, options, priority in (
        ("one", {}, 0),
        ("nothing", {}, 0),
        ("two", {}, 0),
        ("last", {"trylast": True}, -1),
        ("first", {"tryfirst": True}, 1),
    ):
        result = None if value == "nothing" else value
        hooks.register(make(result), **options)
        handlers.append(lambda sender, result=result, **kwargs: result)
        event.connect(handlers[-1], priority=priority)
    assert hooks.hook.placed(order="ada", total=1) == ["first", "two", "one", "last"]
    assert event.emit("ada", total=1) == ["first", "one", "two", "last"]
    called = [found.function() for found in reversed(hooks.hook.placed.get_hookimpls())]
    assert called == ["first", "two", None, "one", "last"]
    assert [found.handler("ada") for found in event.handlers] == ["first", "one", None, "two", "last"]
    with pytest.raises(TypeError):
        hooks.hook.placed("ada", 1)


def test_pluggy_false_is_a_result(api, hooks):
    def placed():
        return False

    def price():
        return False

    hooks.register(placed)
    hooks.register(price)
    event = api.Event("x")
    refuse = event.connect(lambda sender: False, weak=False)
    assert hooks.hook.placed(order="ada", total=1) == [False]
    assert hooks.hook.price(order="ada") is False
    assert isinstance(event.emit("ada"), api.Cancelled)
    assert event.first("ada", default="no price") == "no price"
    event.disconnect(refuse)
    assert hooks.hook.price.get_hookimpls()
    assert event.first("ada") is None


def test_pluggy_first_result_stops(api, hooks):
    calls = []

    def make(value):
        def price(order):
            calls.append(value)
            return value

        return price

    event = api.Event("x")
    for value in (None, 5, 6):
        hooks.register(make(value), trylast=value == 6, tryfirst=value is None)
        event.connect(make(value), weak=False)
    assert hooks.hook.price(order="ada") == event.first("ada") == 5
    assert calls == [None, 5] * 2


def test_pluggy_arguments(api, hooks):
    def placed(total):
        return total

    hooks.register(placed)
    event = api.Event("x")
    event.connect(placed)
    assert hooks.hook.placed(order="ada", total=1) == [1]
    with pytest.raises(TypeError):
        event.emit("ada", total=1)
    event.clear()
    event.connect(lambda *args: args, weak=False)
    assert event.emit() == [(api.ANY,)]


def test_pluggy_checks_implementations(api, hooks, ns):
    def placed(order, prize): ...

    def palced(order): ...

    def spec(order, total): ...

    error = hooks.pluggy.PluginValidationError
    with pytest.raises(error, match="prize"):
        hooks.register(placed)
    event = ns.event("x", signature=spec, check=True)
    with pytest.raises(TypeError, match="prize"):
        event.connect(placed)
    strict = api.Namespace(strict=True)
    strict.event("placed")
    hooks.register(palced)
    with pytest.raises(error, match="palced"):
        hooks.manager.check_pending()
    with pytest.raises(LookupError, match="placed"):
        strict.on("palced")(palced)


def test_pluggy_holds_plugins(api, hooks, ns):
    class Plugin:
        @api.handles("x")
        @hooks.impl
        def placed(self, order, **kwargs):
            return "called"

    hooks.manager.register(Plugin())
    kept, lost = Plugin(), Plugin()
    subscriptions = ns.attach(kept)
    ns.attach(lost)
    del lost
    gc.collect()
    assert hooks.hook.placed(order="ada", total=1) == ["called"]
    assert ns.emit("x", "ada") == ["called"]
    with pytest.warns(RuntimeWarning):
        ns.attach(Plugin())
    hooks.manager.unregister(hooks.manager.get_plugins().pop())
    subscriptions.cancel()
    assert hooks.hook.placed(order="ada", total=1) == ns.emit("x", "ada") == []


def test_pluggy_replays_calls(api, hooks, ns):
    calls = []

    def ready(order):
        calls.append(order)

    event = ns.event("x", replay=1)
    for number in (1, 2):
        hooks.hook.ready.call_historic(kwargs={"order": number})
        event.emit(number)
    hooks.register(ready)
    assert calls == [1, 2]
    event.connect(ready, replay=True)
    assert calls == [1, 2, 2]


def test_pluggy_leaves_out_and_adds_implementations(api, hooks):
    def make(value):
        def placed(order):
            return value

        return placed

    event = api.Event("x")
    one, two, three = make(1), make(2), make(3)
    plugin = hooks.register(one)
    hooks.register(two)
    for handler in (one, two):
        event.connect(handler)
    subset = hooks.manager.subset_hook_caller("placed", [plugin])
    with event.muted(one):
        assert subset(order="ada", total=1) == event.emit("ada") == [2]
    with event.connected_to(three):
        assert event.emit("ada") == [1, 2, 3]
    assert hooks.hook.placed.call_extra([three], {"order": "ada", "total": 1}) == [3, 2, 1]


def test_pluggy_wraps_implementations(hooks):
    def placed(order):
        parts = yield
        return ["first", *parts]

    def another(order):
        return "second"

    another.__name__ = "placed"
    hooks.register(placed, wrapper=True)
    hooks.register(another)
    assert hooks.hook.placed(order="ada", total=1) == ["first", "second"]


def test_pluggy_exceptions(api, hooks):
    calls = []

    def placed(order):
        calls.append(order)

    def fail(order):
        raise ValueError("bad")

    event = api.Event("x")
    event.connect(fail)
    event.connect(placed)
    hooks.register(placed)
    fail.__name__ = "placed"
    hooks.register(fail)
    for call in (lambda: hooks.hook.placed(order="ada", total=1), lambda: event.emit("ada")):
        with pytest.raises(ValueError, match="bad"):
            call()
    assert calls == []


def test_pluggy_returns_coroutines_and_generators(api, hooks):
    async def later(order):
        return "later"

    def some(order):
        yield "some"

    event = api.Event("x")
    for handler in (later, some):
        event.connect(handler)
        handler.__name__ = "placed"
        hooks.register(handler)
    generator, coroutine = hooks.hook.placed(order="ada", total=1)
    assert [*generator] == ["some"]
    assert asyncio.run(coroutine) == "later"
    assert event.emit("ada") == [["some"]]
    assert api.drain(timeout=10)
    assert asyncio.run(event.emit_async("ada")) == ["later", ["some"]]


# bubus


@pytest.fixture
def bubus():
    library = pytest.importorskip("bubus", reason="bubus is not installed")
    logging.getLogger("bubus").setLevel(logging.CRITICAL)
    return library


@pytest.fixture
def placed(bubus):
    """Return a class of events of bubus."""

    class Placed(bubus.BaseEvent):
        order: str = "ada"

    return Placed


@pytest.fixture
def on_bus(bubus):
    """Run a coroutine function with a bus, and stop all buses then: `asyncio.run` waits forever for one that runs."""

    def run(function, **options):
        async def main():
            bus = bubus.EventBus(**options)
            try:
                return await function(bus)
            finally:
                for running in list(bubus.EventBus.all_instances):
                    await running.stop(clear=True)

        return asyncio.run(main())

    return run


def test_bubus_results(api, on_bus, placed):
    def nothing(sender): ...

    def refuse(sender):
        return False

    async def confirm(sender):
        return "confirmed"

    def some(sender):
        yield "some"

    event = api.Event("x", sequential=True)

    async def main(bus):
        for handler in (nothing, refuse, confirm, some):
            bus.on(placed, handler)
            event.connect(handler)
        done = await bus.dispatch(placed())
        refused, confirmed, generator = await done.event_results_list()
        assert (refused, confirmed, [*generator]) == (False, "confirmed", ["some"])
        assert await done.event_result() is False
        names = [name.rpartition(".")[2] for name in await done.event_results_by_handler_name()]
        assert names == ["refuse", "confirm", "some"]
        assert isinstance(await event.emit_async("ada"), api.Cancelled)
        event.disconnect(refuse)
        assert await event.emit_async("ada") == ["confirmed", ["some"]]
        assert await event.first_async("ada") == "confirmed"
        pairs = await event.send_async("ada")
        assert [handler.__name__ for handler, _ in pairs] == ["nothing", "confirm", "some"]

    on_bus(main)


@pytest.mark.parametrize("parallel", [False, True])
def test_bubus_awaits_handlers_in_order_or_together(api, on_bus, placed, parallel):
    steps = []

    async def one(sender):
        steps.append("begin")
        await asyncio.sleep(0)
        steps.append("end")

    async def two(sender):
        await one(sender)

    ns = api.Namespace(sequential=not parallel)

    async def main(bus):
        for handler in (one, two):
            bus.on(placed, handler)
            ns.on("x")(handler)
        await bus.dispatch(placed())
        await ns.emit_async("x", "ada")

    on_bus(main, parallel_handlers=parallel)
    assert steps == (["begin", "begin", "end", "end"] if parallel else ["begin", "end"] * 2) * 2


def test_bubus_queues_events(api, bubus, on_bus, placed):
    calls = []

    def call(sender):
        calls.append("called")

    async def slow(sender):
        calls.append("begin")
        await asyncio.sleep(0)
        calls.append("end")

    async def main(bus):
        event = api.Event("x")
        bus.on(placed, call)
        event.connect(call)
        waiting = bus.dispatch(placed())
        assert calls == []
        await waiting
        assert calls == ["called"]
        event.emit("ada")
        assert calls == ["called"] * 2
        bus.handlers.clear()  # bubus has no method for one handler
        other = bubus.EventBus()
        bus.on(placed, slow)
        other.on(placed, slow)
        calls.clear()
        for waiting in [bus.dispatch(placed()), bus.dispatch(placed()), other.dispatch(placed())]:
            await waiting
        for overlap in ("parallel", "queue"):
            event.clear()
            event.connect(slow, overlap=overlap)
            event.emit("ada")
            event.emit("bob")
            assert await api.drain_async(timeout=10)
        assert calls == ["begin", "end"] * 3 + ["begin", "begin", "end", "end"] + ["begin", "end"] * 2

    on_bus(main)


def test_bubus_needs_a_loop(api, bubus, placed):
    with pytest.raises(RuntimeError, match="no event loop"):
        bubus.EventBus().dispatch(placed())
    event = api.Event("x")
    event.connect(lambda sender: "called", weak=False)
    assert event.emit("ada") == ["called"]


def test_bubus_has_one_wildcard(api, on_bus, placed, ns):
    def star(sender):
        return "star"

    def own(sender):
        return "own"

    def pattern(sender):
        return "pattern"

    async def main(bus):
        for bus_name, name, handler in (("*", "*", star), ("Placed", "placed", own), ("Plac*", "plac*", pattern)):
            bus.on(bus_name, handler)
            ns.on(name)(handler)
        assert await (await bus.dispatch(placed())).event_results_list() == ["own", "star"]
        assert await ns.emit_async("placed", "ada") == ["star", "own", "pattern"]

    on_bus(main)


def test_bubus_holds_its_handlers(on_bus, placed, ns, collect):
    calls = []

    def connect(bus):
        def one(sender):
            calls.append("bubus")

        def two(sender):
            calls.append("cyevents")

        bus.on(placed, one)
        ns.on("x")(two)

    async def main(bus):
        connect(bus)
        collect()
        await bus.dispatch(placed())
        ns.emit("x", "ada")
        assert calls == ["bubus"]

    on_bus(main)


def test_bubus_keeps_exceptions(api, on_bus, placed):
    noted = []

    def fail(sender):
        raise ValueError("bad")

    def note(sender):
        noted.append("noted")

    def handle(error, *about):
        noted.append(str(error))

    async def main(bus):
        event = api.Event("x")
        for handler in (fail, note):
            bus.on(placed, handler)
            event.connect(handler)
        done = await bus.dispatch(placed())
        assert noted == ["noted"]
        with pytest.raises(ValueError, match="bad"):
            await done.event_result()
        with pytest.raises(ValueError, match="bad"):
            await event.emit_async("ada")
        assert noted == ["noted"]
        event.on_error = "group"
        with pytest.raises(ExceptionGroup):
            await event.emit_async("ada")
        event.on_error = handle
        await event.emit_async("ada")
        assert noted == ["noted", "noted", "bad", "noted"]

    on_bus(main)


def test_bubus_expects_events(api, on_bus, placed):
    async def main(bus):
        event = api.Event("x")
        expected = asyncio.ensure_future(bus.expect(placed, include=lambda it: it.order == "bob", timeout=10))
        await asyncio.sleep(0)
        waiting = event.wait(condition=lambda sender: sender.order == "bob", timeout=10)
        for order in ("ada", "bob"):
            model = placed(order=order)
            bus.dispatch(model)
            event.emit(model)
        assert (await expected).order == (await waiting).sender.order == "bob"

    on_bus(main)


def test_bubus_limits_time(api, bubus, on_bus):
    class Slow(bubus.BaseEvent):
        event_timeout: float | None = 0.01

    async def slow(sender):
        await asyncio.sleep(60)

    async def main(bus):
        event = api.Event("x")
        bus.on(Slow, slow)
        event.connect(slow, timeout=0.01)
        done = await bus.dispatch(Slow())
        with pytest.raises(TimeoutError):
            await done.event_result()
        with pytest.raises(TimeoutError):
            await event.emit_async("ada")

    assert bubus.BaseEvent().event_timeout == 300
    on_bus(main)


def test_bubus_knows_parents(api, bubus, on_bus, placed, ns):
    class Mailed(bubus.BaseEvent):
        pass

    async def main(bus):
        def on_placed(event):
            bus.dispatch(Mailed())

        bus.on(placed, on_placed)
        done = await bus.dispatch(placed())
        [child] = done.event_children
        assert (type(child), child.event_parent_id) == (Mailed, done.event_id)
        ns.on("placed", weak=False)(lambda sender: ns.emit("mailed", sender) and None)
        with api.trace(ns) as seen:
            await ns.emit_async("placed", "ada")
        [emission] = seen.emissions
        assert [inner.event for call in emission.calls for inner in call.emissions] == ["mailed"]

    on_bus(main)


def test_bubus_forwards(api, bubus, on_bus, placed):
    calls = []

    def note(event):
        calls.append(event)

    async def main(bus):
        other = bubus.EventBus(name="other")
        bus.on("*", other.dispatch)
        other.on("*", bus.dispatch)
        other.on(placed, note)
        done = await bus.dispatch(placed())
        for each in (other, bus):
            await each.wait_until_idle()
        assert done.event_path == ["shop", "other"]
        assert calls == [done]

    on_bus(main, name="shop")
    one, two = api.Namespace(), api.Namespace()
    one.on("*", with_event=True, weak=False)(lambda sender, event: two.emit(event.name, sender))
    two.on("*", with_event=True, weak=False)(lambda sender, event: one.emit(event.name, sender))
    with pytest.raises(RecursionError):
        one.emit("x", "ada")


def test_bubus_cancelled_emitter(api, on_bus, placed):
    ended = []

    async def main(bus):
        started, go_on = asyncio.Event(), asyncio.Event()

        async def slow(sender):
            started.set()
            await go_on.wait()
            ended.append(sender)

        event = api.Event("x")
        bus.on(placed, slow)
        event.connect(slow)

        async def dispatch():
            await bus.dispatch(placed())

        for emit in (dispatch, lambda: event.emit_async("ada")):
            task = asyncio.ensure_future(emit())
            await started.wait()
            task.cancel()
            await asyncio.wait([task])
            go_on.set()
            await bus.wait_until_idle()
            started.clear()
            go_on.clear()
        assert [type(it) for it in ended] == [placed]

    on_bus(main)


def test_bubus_models_as_senders(api, placed, ns):
    pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed")

    class Order(pydantic.BaseModel):
        total: int

    ns.on("x", condition=lambda order: order.total > 10, weak=False)(lambda order: order.total)
    assert ns.emit("x", Order(total=12)) == [12]
    assert ns.emit("x", Order(total=2)) == []
