"""What the migration pages say of the peers is true of them, and of us: each row of their tables that tells of two."""

import asyncio
import gc
import subprocess
import sys
from importlib.util import find_spec

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
    assert event.emit("ada") == []
    assert api.drain(timeout=10)
    assert sorted(order) == [1, 1, 2, 2]


# Django


@pytest.fixture
def dispatch():
    return pytest.importorskip("django.dispatch", reason="Django is not installed")


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


def test_django_connect_is_no_decorator(api, dispatch):
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


def test_django_says_nothing_of_what_vanishes(api, dispatch):
    signal, event = dispatch.Signal(), api.Event("x")
    signal.connect(lambda sender, **kwargs: 1)
    assert signal.send("ada") == []
    with pytest.warns(RuntimeWarning):
        event.connect(lambda sender, **kwargs: 1)


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
        return "told"

    for it in (emitter, ns):
        for handler in (refuse, tell):
            it.on("x")(handler)
    assert emitter.emit("x", 1, 2) is True
    assert emitter.emit("nobody") is False
    assert calls == [(1, 2), (1, 2)]
    calls.clear()
    assert ns.emit("x", 1, 2) == []
    assert calls == [(1, 2)]
    ns["x"].disconnect(refuse)
    assert ns.emit("x", 1, 2) == ["told"]


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
    except KeyError:  # in pyee 13
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

    told = []

    def bad(sender):
        raise ValueError("bad")

    def good(sender):
        told.append("good")

    emitter = pyee.EventEmitter()
    emitter.on("error", lambda error: told.append(str(error)))
    for it in (emitter, ns):
        it.on("x")(bad)
        it.on("x")(good)
        with pytest.raises(ValueError, match="bad"):
            it.emit("x", 1)
    assert told == []

    async def main():
        emitter = AsyncIOEventEmitter()
        emitter.on("error", lambda error: told.append(str(error)))
        emitter.on("x", bad)
        emitter.on("x", good)
        emitter.emit("x", 1)

    asyncio.run(main())
    assert told == ["bad", "good"]
    told.clear()
    ns.on_error = lambda error, handler, event, sender: told.append(str(error))
    assert ns.emit("x", 1) == []
    assert told == ["bad", "good"]


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
    told = []

    @ns.on("x")
    async def handler(sender):
        told.append(sender)

    ns.emit("x", 1)
    assert api.drain(timeout=10)
    assert told == [1]


# Nitro

NITRO = """
import asyncio, gc, threading
from nitro.events import *
from nitro.events import default_namespace, emit, emit_async, event, on
from nitro.utils import match

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
event("user.known")
on("user.*")(lambda sender: "heard")
event("user.later")
assert (emit("user.known"), emit("user.later")) == ([["heard"]], [])
on("new.*")(lambda sender: "heard")
assert "new.*" in default_namespace

gc.collect()
assert emit("values", "ada") == [[1], []]  # held by nobody else

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

@on("one priority")
def first(sender): return "first"
event("one priority").connect(lambda sender: "second", "ada", False)
event("one priority").connect(first, "bob", priority=-1)
assert emit("one priority", "ada") == [["second"], ["first"]]
print("all true")
"""


def test_nitro():
    if find_spec("nitro") is None:
        pytest.skip("nitro-boost is not installed")
    run = subprocess.run([sys.executable, "-c", NITRO], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (0, "all true\n"), run.stderr


def test_nitro_s_calls_here(api, ns):
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
    handlers("user.*", "heard")
    ns.event("user.later")
    assert ns.emit("user.later") == ["heard"]
    assert "user.*" not in ns
