"""What is NATS's own in the bridge: how many messages it gives out before one of them is dealt with."""

import asyncio
import importlib
import logging
import threading
import time

import pytest

pytest.importorskip("nats")
pytest.importorskip("msgspec")
SOON = 20  # seconds after which what should come does not


@pytest.fixture
def bridge_to(api):
    """Makes a namespace that has the event `x`, and a bridge of it, which delivers at least once."""
    bridge = importlib.import_module("cyevents.bridge").Bridge

    def make(address, prefix="p", **options):
        ns = api.Namespace()
        ns.event("x")
        options = {"delivery": "at_least_once", "backoff": (0.1,), "ack_wait": 1, **options}
        return ns, bridge(ns, address, ["x"], prefix=prefix, **options)

    return make


async def until(holds, seconds=SOON):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it does not come"
        await asyncio.sleep(0.005)


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
        got = []

        @receiving.on("x", weak=False)
        def note(sender):
            got.append(sender)
            if got == [0]:
                raise ValueError("not now")

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
        assert await enter(max_ack_pending=1) == 1

    run(main())


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "1"])
def test_a_wrong_number(bridge_to, wrong):
    with pytest.raises(TypeError, match=f"max_ack_pending must be a whole number from 1 on, not {wrong!r}"):
        bridge_to("nats://127.0.0.1:4222", max_ack_pending=wrong)
