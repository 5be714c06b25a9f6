"""What goes wrong around a bridge: with an engine of the tests' own, so that it goes wrong at a given point."""

import asyncio
import collections
import contextlib
import importlib
import json
import threading
import types

import pytest

from processes import until


@pytest.fixture
def bridge(api, monkeypatch):
    module = importlib.import_module("cyevents_bridge._bridge")
    monkeypatch.setattr(module, "engine_for", lambda scheme: Engine)
    return module


class Engine:
    """Takes what is published, or does as it is told."""

    def __init__(self, address, options, client_options):
        self.safe_address = address.safe
        self.last_error = None
        self.published = []
        self.closed = 0

    def error_text(self, error):
        return importlib.import_module("cyevents_bridge._text").error_text(error)

    async def connect(self):
        """Connects at once."""

    async def listen(self, receive):
        self.receive = receive

    async def publish(self, publication):
        self.published.append(publication.body)

    async def ready(self):
        """Is it always."""

    async def close(self):
        self.closed += 1


class Delivery:
    attempt = 1

    def __init__(self, bridge, event="x", sender="ada", **more):
        messages = importlib.import_module("cyevents_bridge._codec")
        self.body = messages.Codec().pack(messages.Message(event, "1", "other", None, sender, (), {}, {}))
        self.became = []

    async def ack(self):
        self.became.append("ack")

    async def nack(self, delay):
        self.became.append(("nack", delay))

    async def dead_letter(self, about):
        self.became.append(("dead_letter", about))


def begun(ns, made):
    """The span of an `emit_async` of `x` that has just begun."""
    accepted = []
    how = {"event": ns["x"], "way": "emit_async", "sender": "ada", "args": (), "kwargs": {}, "origin": None}
    span = made._accept(types.SimpleNamespace(**how, on_accepted=accepted.append))
    accepted[0]()
    return span


def make(api, bridge, **options):
    ns = api.Namespace()
    ns.event("x")
    made = bridge.Bridge(ns, "fake://", ["x"], **{"flush_timeout": 0.0, **options})
    return ns, made, made._engine


async def forever(*args):
    await asyncio.Event().wait()


# Entering


def test_it_is_entered_once_at_a_time(api, bridge, run):
    async def main():
        _, made, engine = make(api, bridge)
        async with made:
            with pytest.raises(RuntimeError, match="is already entered"):
                async with made:
                    pass
            with pytest.raises(RuntimeError, match="is already entered"):
                await asyncio.to_thread(made.__enter__)
            assert engine.closed == 0
        async with made:
            pass
        assert engine.closed == 2

    run(main())
    assert not [thread for thread in threading.enumerate() if thread.name == "cyevents bridge"]


@pytest.mark.parametrize("step", ["connect", "listen"])
@pytest.mark.parametrize("error", [OSError("no"), ValueError("no"), asyncio.CancelledError()])
def test_a_bridge_that_cannot_be_entered_leaves_nothing_open(api, bridge, run, step, error):
    async def main():
        _, made, engine = make(api, bridge)

        async def fail(*args):
            raise error

        setattr(engine, step, fail)
        with pytest.raises(ConnectionError if isinstance(error, OSError) else type(error)):
            async with made:
                pass
        assert engine.closed == 1
        delattr(engine, step)
        async with made:
            pass

    run(main())


def test_passwords_are_not_shown(api, run):
    module = importlib.import_module("cyevents_bridge")
    pytest.importorskip("nats")
    pytest.importorskip("redis")
    pytest.importorskip("aiormq")
    addresses = [
        "nats://ada:secret@127.0.0.1:1",
        "redis://ada:secret@127.0.0.1:1/0?password=secret",
        "amqp://ada:secret@127.0.0.1:1/%2F?password=secret",
    ]

    async def main():
        for address in addresses:
            with pytest.raises(ConnectionError, match="127.0.0.1:1") as caught:
                async with module.Bridge(api.Namespace(), address, ["x"], connect_timeout=0.2):
                    pass
            assert "secret" not in str(caught.value)

    run(main())


# Leaving


@pytest.mark.parametrize("steps", range(8))
def test_whoever_waits_for_the_broker_is_told_that_the_bridge_was_left(api, bridge, run, steps):
    """Whatever the item had got to: the task that was to publish it may not even have begun."""

    async def main():
        ns, made, engine = make(api, bridge)
        engine.publish = forever
        async with made:
            waiting = asyncio.ensure_future(ns.emit_async("x", "ada"))
            await asyncio.sleep(0)
            ns.emit("x", "bob")
            for _ in range(steps):
                await asyncio.sleep(0)
        with pytest.raises(bridge.Dropped, match="'x' was not published: the bridge was left"):
            await asyncio.wait_for(waiting, 20)
        assert (made.stats.dropped, made.stats.waiting) == (2, 0)

    run(main())


def test_leaving_that_is_cancelled_leaves_nothing_open(api, bridge, run):
    async def main():
        ns, made, engine = make(api, bridge, flush_timeout=60.0)
        engine.publish = forever

        async def use():
            async with made:
                ns.emit("x")

        task = asyncio.create_task(use())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (engine.closed, made.stats.dropped, made.stats.waiting) == (1, 1, 0)

    run(main())


def test_an_emission_that_began_before_the_bridge_was_left(api, bridge, run):
    """As in another thread, which had seen that the event is observed."""

    async def main():
        ns, made, engine = make(api, bridge)
        async with made:
            pass
        span = begun(ns, made)
        with pytest.raises(bridge.Dropped):
            await asyncio.wait_for(span.wait_done(), 20)
        assert (engine.published, made.stats.waiting) == ([], 0)

    run(main())


# Publishing


def test_an_error_of_the_client_s_is_the_emitter_s(api, bridge, run, caplog):
    async def main():
        ns, made, engine = make(api, bridge)

        async def fail(*args):
            raise ZeroDivisionError("what is this")

        engine.publish = fail
        async with made:
            with pytest.raises(bridge.Dropped, match="the broker did not accept it: ZeroDivisionError: what is this"):
                await asyncio.wait_for(ns.emit_async("x", "ada"), 20)
            del engine.publish
            await ns.emit_async("x", "bob")
        assert (made.stats.published, made.stats.dropped) == (1, 1)

    run(main())
    assert "the broker did not accept 'x'" in caplog.text


@pytest.mark.parametrize("is_last", [True, False])
@pytest.mark.parametrize("way", ["emit", "send", "emit_async", "send_async", "first_async"])
def test_no_bridge_publishes_what_another_one_refuses(api, bridge, run, way, is_last):
    """Because it is too large, or its outbox is full; and no handler is called."""

    async def main():
        ns, made, _ = make(api, bridge, flush_timeout=5.0)
        others = [bridge.Bridge(ns, "fake://", ["x"], **options) for options in ({"max_size": 200}, {"outbox": 2})]
        async with contextlib.AsyncExitStack() as stack:
            for each in [made, *others] if is_last else [*others, made]:
                await stack.enter_async_context(each)
            called = []
            ns["x"].connect(called.append, weak=False)
            with pytest.raises(ValueError, match="max_size is 200"):
                await getattr(ns["x"], way)("x" * 200)  # if it comes to that
            for sender in (1, 2):
                ns.emit("x", sender)
            with pytest.raises(importlib.import_module("cyevents_bridge").OutboxFull):
                ns["x"].send(3)
            assert called == [1, 2]
        assert [len(each._engine.published) for each in (made, *others)] == [2, 2, 2]

    run(main())


def test_what_found_no_broker_is_published_in_its_order_once_that_is_back(api, bridge, run):
    """What failed first and last, what waits, and what is emitted meanwhile; and nothing is tried before."""

    async def main():
        ns, made, engine = make(api, bridge, flush_timeout=20.0)
        unavailable = importlib.import_module("cyevents_bridge.engine").Unavailable
        gate, back, tried = asyncio.Event(), asyncio.Event(), []
        late = asyncio.Event()

        async def publish(publication):
            number = json.loads(publication.body)["sender"]
            tried.append(number)
            await gate.wait()
            if not back.is_set():
                if number == 3:
                    await late.wait()
                if number != 1:  # which it has got
                    raise unavailable("away")
            engine.published.append(number)

        engine.publish, engine.ready = publish, back.wait
        async with made:
            for number in range(200):
                ns.emit("x", number)
            await until(lambda: len(tried) == 128)
            gate.set()
            await until(lambda: engine.published == [1])
            ns.emit("x", 200)
            late.set()
            confirmed = asyncio.ensure_future(ns.emit_async("x", 201))
            await asyncio.sleep(0.1)
            assert len(tried) == 128
            assert made.stats.waiting == 201
            back.set()
            await confirmed
        assert engine.published == [1, 0, *range(2, 202)]
        assert (made.stats.published, made.stats.dropped) == (202, 0)

    run(main())


def test_what_found_no_broker_is_given_up_when_the_bridge_is_left(api, bridge, run):
    async def main():
        ns, made, engine = make(api, bridge)

        async def publish(*args):
            raise importlib.import_module("cyevents_bridge.engine").Unavailable("away")

        engine.publish, engine.ready = publish, forever
        async with made:
            waiting = [asyncio.ensure_future(ns.emit_async("x", number)) for number in range(3)]
            await until(lambda: len(made._outbox) == 3)
        for each in waiting:
            with pytest.raises(bridge.Dropped, match="the bridge was left"):
                await each
        assert (made.stats.dropped, made.stats.waiting) == (3, 0)

    run(main())


def test_the_oldest_may_be_dropped_while_it_is_taken(api, bridge, run):
    """By another thread, between the look and the taking."""

    class Items(collections.deque):
        is_first = True

        def popleft(self):
            if self.is_first:
                self.is_first = False
                self.clear()
            return super().popleft()

    async def main():
        ns, made, engine = make(api, bridge)
        async with made:
            made._outbox._items = Items()
            ns.emit("x", "dropped")
            await asyncio.sleep(0.01)
            await asyncio.wait_for(ns.emit_async("x", "ada"), 20)
        assert len(engine.published) == 1

    run(main())


# Receiving


class Stop(BaseException):
    pass


@pytest.mark.parametrize(
    "error", [ValueError("no"), Stop(), asyncio.CancelledError(), GeneratorExit(), BaseExceptionGroup("", [Stop()])]
)
def test_whatever_a_handler_raises_more_is_received(api, bridge, run, caplog, error):
    async def main():
        ns, made, engine = make(api, bridge, backoff=(0.5,), delivery="at_least_once")

        async def fail(sender):
            raise error

        ns["x"].connect(fail)
        async with made:
            first, last = Delivery(bridge), Delivery(bridge)
            last.attempt = 2
            await engine.receive(first)
            await engine.receive(last)
        assert first.became == [("nack", 0.5)]
        assert [what for what, _ in last.became] == ["dead_letter"]
        assert (made.stats.failed, made.stats.dead) == (2, 1)

    run(main())
    assert "a handler of 'x' raised, and the message will be delivered again" in caplog.text


def test_what_is_cancelled_is_given_back(api, bridge, run):
    async def main():
        ns, made, engine = make(api, bridge)
        ns["x"].connect(forever)
        async with made:
            arrival = Delivery(bridge)
            task = asyncio.create_task(engine.receive(arrival))
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert arrival.became == [("nack", 0)]

    run(main())


def test_what_is_said_about_a_dead_letter_can_be_written(api, bridge, run, caplog):
    async def main():
        ns, made, engine = make(api, bridge, backoff=())

        def fail(sender):
            raise ValueError("\udcff" + "x" * 5000)

        ns["x"].connect(fail)
        async with made:
            arrival = Delivery(bridge)
            await engine.receive(arrival)
        ((what, about),) = arrival.became
        assert what == "dead_letter"
        assert about["Error"].startswith("ValueError: \\udcffxxx")
        assert len(about["Error"].encode()) < 1100

    run(main())


def test_a_handler_that_exits_ends_the_thread_and_nobody_waits(api, bridge, caplog):
    ns, made, engine = make(api, bridge)

    def leave(sender):
        raise SystemExit

    ns["x"].connect(leave)
    with pytest.raises(RuntimeError, match="the bridge has stopped, because a handler raised SystemExit"), made:
        thread = made._thread
        asyncio.run_coroutine_threadsafe(engine.receive(Delivery(bridge)), thread._loop)
        thread._thread.join(20)
        waiting = begun(ns, made)
    assert isinstance(waiting._confirmed.exception(0), bridge.Dropped)
    with made:
        pass
