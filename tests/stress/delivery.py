"""Calls delivered to loops and executors from many threads: none is lost or made twice, and they are made in order."""

import asyncio
import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor

from harness import Witnesses, race

from cyevents import Event

loop = asyncio.new_event_loop()
runner = threading.Thread(target=loop.run_forever)
runner.start()
single, several = ThreadPoolExecutor(1), ThreadPoolExecutor(4)

event = Event("raced")
witnesses = Witnesses(event)
in_loop, started, in_single, in_several, emitted = {}, {}, {}, {}, {}


def by_sender(seen):
    def handler(sender, calls, turn=None, **kwargs):
        if turn is not None:
            seen[sender].append(turn)
        return turn

    return handler


async def coroutine(sender, calls, turn=None, **kwargs):
    if turn is not None:
        started[sender].append(turn)
    await asyncio.sleep(0)


held = [(in_loop, loop), (in_single, single), (in_several, several)]
held = [(by_sender(seen), via) for seen, via in held] + [(coroutine, loop)]
for handler, via in held:
    event.connect(handler, via=via)


def begin(number):
    for seen in (in_loop, started, in_single, in_several):
        seen[number] = []


def emit(number):
    begin(number)
    for turn in itertools.count():
        witnesses.emit(event, number, turn=turn)
        emitted[number] = turn + 1
        if turn % 100 == 99:  # limits the calls that wait
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
            single.submit(int).result()
        yield 1


def emit_async(number):
    """Awaits the values, in order, and cancels some emissions."""
    awaited = Event("awaited")
    for _, via in held[:3]:
        awaited.connect(lambda sender: sender, weak=False, via=via)

    async def turns():
        for turn in range(20):
            assert await awaited.emit_async(turn) == [turn] * 3
            emission = asyncio.ensure_future(awaited.emit_async(turn))
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
            emission.cancel()
            await asyncio.wait([emission])

    while True:
        asyncio.run(turns())
        yield 40


def reconnect(number):
    def temporary(sender, calls, **kwargs):
        pass

    while True:
        for via in (loop, single, several):
            event.connect(temporary, via=via)
            assert event.disconnect(temporary)
        yield 0


def finish():
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    runner.join()
    loop.close()
    single.shutdown()
    several.shutdown()
    for number, count in emitted.items():
        turns = list(range(count))
        for seen in (in_loop, started, in_single):
            assert seen[number] == turns, "lost, or out of order"
        assert sorted(in_several[number]) == turns, "lost"


race(emit, emit_async, emit, reconnect, finish=finish)
