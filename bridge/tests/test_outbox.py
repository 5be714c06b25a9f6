"""The outbox: whoever empties it is woken as often as is needed, and not more often."""

import asyncio
import importlib
import threading

import pytest


@pytest.fixture
def outbox(api):
    return importlib.import_module("cyevents_bridge._outbox")


@pytest.fixture
def item(outbox):
    """Makes an item: `item(id)`."""
    return lambda identity: outbox.Item("x", b"", identity, False, False)


def test_the_loop_is_woken_once_for_many(outbox, item, run):
    async def main():
        box = outbox.Outbox(1000, "raise")
        box.open()
        loop, woken = asyncio.get_running_loop(), []
        wake = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *arguments: (woken.append(1), wake(*arguments))[1]
        for turn in range(3):
            waiting = asyncio.ensure_future(box.get())
            await asyncio.sleep(0)
            for number in range(100):
                box.put(item(str(number)))
            assert len(woken) == turn + 1
            assert (await waiting).id == "0"
            assert [(await box.get()).id for _ in range(99)] == [str(number) for number in range(1, 100)]

    run(main())


def test_none_is_left_lying_when_many_threads_put(outbox, item, run):
    async def main():
        box = outbox.Outbox(10**6, "raise")
        box.open()

        def put(number):
            for turn in range(500):
                box.put(item(f"{number}-{turn}"))

        threads = [threading.Thread(target=put, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        got = {(await asyncio.wait_for(box.get(), 20)).id for _ in range(2000)}
        for thread in threads:
            thread.join()
        assert len(got) == 2000

    run(main())


def test_it_can_be_opened_in_a_loop_after_another_that_was_closed(outbox, item):
    box = outbox.Outbox(10, "raise")

    async def opened():
        box.open()

    async def emptied():
        box.open()
        box.put(item("2"))
        return [(await asyncio.wait_for(box.get(), 20)).id for _ in range(2)]

    asyncio.run(opened())
    box.put(item("1"))  # which nobody can be told of
    assert asyncio.run(emptied()) == ["1", "2"]
