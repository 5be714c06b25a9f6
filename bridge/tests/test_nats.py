"""What is NATS's own in the bridge: how many messages it gives out at once, and what it may have forgotten."""

import asyncio
import importlib
import logging
import shutil
import threading

import pytest
from processes import SOON, until

pytest.importorskip("nats")


@pytest.fixture
def bridge_to(api):
    """Makes a namespace that has the event `x`, and a bridge of it, which delivers at least once."""
    bridge = importlib.import_module("cyevents_bridge").Bridge

    def make(address, prefix="p", events=("x",), **options):
        ns = api.Namespace()
        ns.event("x")
        options = {"delivery": "at_least_once", "backoff": (0.1,), "ack_wait": 1, **options}
        return ns, bridge(ns, address, events, prefix=prefix, **options)

    return make


def note_and_fail_once(ns):
    """Connect a handler that raises at the first event; return the senders that it gets."""
    got = []

    @ns.on("x", weak=False)
    def note(sender):
        got.append(sender)
        if len(got) == 1:
            raise ValueError("not now")

    return got


async def forget_consumers(server, prefix):
    async with server.client() as client:
        jetstream = client.jetstream()
        for info in await jetstream.consumers_info(prefix):
            await jetstream.delete_consumer(prefix, info.name)


@pytest.mark.parametrize("group", [None, "g"])
def test_messages_that_are_given_out_one_by_one_stay_in_order_over_a_death(bridge_to, own_nats, run, group):
    """Though what was on its way to the process is lost, and comes a second time after `ack_wait`."""

    async def main():
        receiving, inner = bridge_to(own_nats.address, group=group, max_ack_pending=1)
        shop, outer = bridge_to(own_nats.address)
        got, may_go_on = [], threading.Event()

        @receiving.on("x", weak=False)
        def note(sender, body=""):
            got.append(sender)
            if sender == 3:
                may_go_on.wait(SOON)  # the connection is not read meanwhile

        with inner:  # in a thread of its own
            async with outer:
                for number in range(40):
                    await shop.event("x").emit_async(number, "x" * 900_000)
                await until(lambda: 3 in got)
                await asyncio.sleep(0.2)
                own_nats.kill()
                own_nats.start()
                may_go_on.set()
                for number in range(40, 60):
                    await shop.event("x").emit_async(number)
                await until(lambda: len(set(got)) == 60)
        assert list(dict.fromkeys(got)) == list(range(60))

    run(main())


def test_one_that_fails_lets_none_pass_then(bridge_to, nats_server, prefix, run, caplog):
    async def main():
        receiving, inner = bridge_to(nats_server.address, prefix, group="g", max_ack_pending=1)
        shop, outer = bridge_to(nats_server.address, prefix)
        got = note_and_fail_once(receiving)
        async with inner, outer:
            for number in range(5):
                await shop.event("x").emit_async(number)
            await until(lambda: 4 in got)
        assert got == [0, 0, 1, 2, 3, 4]

    with caplog.at_level(logging.ERROR):
        run(main())


def test_a_group_that_is_there_already_is_changed(bridge_to, nats_server, prefix, run):
    """By who says a number; who says none leaves it as it is."""

    async def main():
        async def enter(**options):
            async with bridge_to(nats_server.address, prefix, group="g", **options)[1], nats_server.client() as client:
                info = await client.jetstream().consumer_info(prefix, "g")
                return info.config.max_ack_pending

        assert await enter() == 1000
        assert await enter(max_ack_pending=5000) == 5000
        assert await enter() == 5000
        assert await enter(events=["x", "y"]) == 5000
        assert await enter(max_ack_pending=1) == 1

    run(main())


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "1"])
def test_a_wrong_number(bridge_to, wrong):
    with pytest.raises(TypeError, match=f"max_ack_pending must be a whole number from 1 on, not {wrong!r}"):
        bridge_to("nats://127.0.0.1:4222", max_ack_pending=wrong)


@pytest.mark.parametrize("group", [None, "g"])
def test_a_broker_that_is_back_with_nothing(bridge_to, own_nats, run, caplog, group):
    """The streams are made again, all of the new one is for who was there, and in its order; dead letters are kept."""

    async def main():
        receiving, inner = bridge_to(own_nats.address, group=group, backoff=())
        shop, outer = bridge_to(own_nats.address)
        got = []

        @receiving.on("x", weak=False)
        def note(sender):
            got.append(sender)
            if sender == 25:
                raise ValueError("never")

        async with inner, outer:
            for number in range(20):
                shop.emit("x", number)
            await until(lambda: len(got) == 20)
            own_nats.kill()
            shutil.rmtree(own_nats.folder)
            own_nats.start()
            for number in range(20, 40):
                shop.emit("x", number)
                await asyncio.sleep(0.01)
            await until(lambda: len(got) == 40)
            async with own_nats.client() as client:
                letters = (await client.jetstream().stream_info("p-dead")).state.messages
        assert got == list(range(40))
        assert letters == 1

    with caplog.at_level(logging.CRITICAL):
        run(main())


def test_a_consumer_that_is_forgotten_takes_nothing_with_it(bridge_to, nats_server, prefix, run, caplog):
    """Neither what was published meanwhile, nor what is to come again."""

    async def main():
        receiving, inner = bridge_to(nats_server.address, prefix, backoff=(1,))
        shop, outer = bridge_to(nats_server.address, prefix)
        got = note_and_fail_once(receiving)
        async with inner, outer:
            for number in range(3):
                await shop.event("x").emit_async(number)
            await until(lambda: len(got) == 3)
            await forget_consumers(nats_server, prefix)
            for number in range(3, 6):
                await shop.event("x").emit_async(number)
            await until(lambda: 5 in got and got.count(0) == 2)

    with caplog.at_level(logging.CRITICAL):
        run(main())


def test_a_group_keeps_no_note_of_what_others_may_be_done_with(bridge_to, nats_server, prefix, run, caplog):
    async def main():
        receiving, inner = bridge_to(nats_server.address, prefix, group="g", backoff=(60,))
        shop, outer = bridge_to(nats_server.address, prefix)
        got = note_and_fail_once(receiving)
        async with inner, outer:
            for number in range(2):
                await shop.event("x").emit_async(number)
            await until(lambda: got == [0, 1])
            assert inner._engine._open == set()

    with caplog.at_level(logging.CRITICAL):
        run(main())


def test_who_has_heard_nothing_yet_misses_nothing(bridge_to, nats_server, prefix, run):
    async def main():
        receiving, inner = bridge_to(nats_server.address, prefix)
        shop, outer = bridge_to(nats_server.address, prefix)
        got = []
        receiving.event("x").connect(got.append, weak=False)
        async with outer:
            await shop.event("x").emit_async("before")
            async with inner:
                await forget_consumers(nats_server, prefix)
                await shop.event("x").emit_async("meanwhile")
                await until(lambda: got)
        assert got == ["meanwhile"]

    run(main())


def test_entering_ends_in_time_also_if_the_client_takes_no_notice_of_that(bridge_to, run, monkeypatch):
    """As `asyncio.wait_for` of Python 3.11, if what it waits for fails just then."""
    transport = importlib.import_module("nats.aio.transport").TcpTransport

    async def connect(*args, **kwargs):
        try:
            await asyncio.sleep(SOON)
        except asyncio.CancelledError:
            raise OSError("nobody is there") from None

    async def main():
        _, bridge = bridge_to("nats://127.0.0.1:1", connect_timeout=0.1)
        with pytest.raises(ConnectionError, match="nobody is there"):
            async with bridge:
                """It is not entered."""

    monkeypatch.setattr(transport, "connect", connect)
    run(main())
