"""An engine whose broker is a dict in this process's memory, for addresses such as `memory://shop`."""

import asyncio
import uuid
from collections import defaultdict

from cyevents_bridge.engine import Delivery, Engine, Rejected, Unavailable


class Broker:
    """The state of a server: one queue for each group, and for each process without a group."""

    def __init__(self):
        self.queues = {}  # by name: the queue and the number of bridges that receive from it
        self.ids = set()  # a real broker forgets them after `options.dedup_window`
        self.dead_letters = []
        self.is_up = asyncio.Event()
        self.is_up.set()


BROKERS = defaultdict(Broker)


class MemoryEngine(Engine):
    async def connect(self):
        self.broker = BROKERS[self.address.safe, self.options.prefix]
        self.name = self.options.group or uuid.uuid4().hex
        self.task = None

    async def listen(self, receive):
        queue, readers = self.broker.queues.get(self.name, (asyncio.Queue(), 0))
        self.broker.queues[self.name] = queue, readers + 1
        self.task = asyncio.create_task(self.receive_all(queue, receive))

    async def receive_all(self, queue, receive):
        while True:
            event, body, attempt = await queue.get()
            await receive(MemoryDelivery(self, queue, event, body, attempt))

    async def publish(self, publication):
        if not self.broker.is_up.is_set():
            raise Unavailable("the broker is away")  # the bridge publishes it again, after `ready`
        if publication.id in self.broker.ids:
            if publication.is_retry:
                return  # the broker has it, but its confirmation was lost
            raise Rejected("the broker already has a message with this id")
        self.broker.ids.add(publication.id)
        for queue, _ in self.broker.queues.values():
            queue.put_nowait((publication.event, publication.body, 1))

    async def ready(self):
        await self.broker.is_up.wait()

    async def close(self):
        if self.task is None:  # entering has failed before `listen`
            return
        self.task.cancel()
        await asyncio.wait([self.task])
        queue, readers = self.broker.queues[self.name]
        self.broker.queues[self.name] = queue, readers - 1
        if readers == 1 and not (self.options.group and self.options.at_least_once):
            del self.broker.queues[self.name]


class MemoryDelivery(Delivery):
    def __init__(self, engine, queue, event, body, attempt):
        self.engine, self.queue, self.event, self.body, self.attempt = engine, queue, event, body, attempt

    async def ack(self):
        pass  # it has already left the queue

    async def nack(self, delay):
        if self.engine.options.at_least_once:
            again = self.event, self.body, self.attempt + 1
            asyncio.get_running_loop().call_later(delay, self.queue.put_nowait, again)

    async def dead_letter(self, about):
        self.engine.broker.dead_letters.append((self.event, self.body, dict(about)))
