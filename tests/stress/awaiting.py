"""`emit_async` in several loops in several threads at once, with sync and async handlers, threads and changes."""

import asyncio

from harness import Witnesses, coroutine, race

from cyevents import Event

event, other = Event("raced"), Event("other")
witnesses, others = Witnesses(event, awaited=True), Witnesses(other, awaited=True)


async def nested(sender, calls, **kwargs):
    await others.emit_async(other, sender)


event.connect(nested, "nested", priority=5)


def in_loop(number):
    name = f"mine {number}"
    mine = coroutine(name, 5)

    async def once_through():
        event.connect(mine, priority=5)
        for names in await asyncio.gather(*(witnesses.emit_async(event, turn) for turn in range(5))):
            assert name in names
        assert event.disconnect(mine)
        assert name not in await witnesses.emit_async(event, "nested")
        cancelled = asyncio.create_task(witnesses.emit_async(event, "nested"))
        await asyncio.sleep(0)
        cancelled.cancel()
        try:
            await cancelled
        except asyncio.CancelledError:
            pass
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a task is left"
        return 6 + 1

    with asyncio.Runner() as runner:
        while True:
            yield runner.run(once_through())


race(in_loop)
