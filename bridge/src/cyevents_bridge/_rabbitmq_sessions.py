"""Receiving from RabbitMQ: one session per connection, and the messages that it delivers.

At most once, a message counts as handled when it arrives. It is still acknowledged, a little later, so that the broker
sends no more messages than a process has room for.

At least once, there are three durable queues for each group, or for each process without a group:

- `PREFIX.group.GROUP` or `PREFIX.process.ID`, the main queue: newly published messages.
- `PREFIX.again.GROUP`: messages that are handled before those of the main queue. A header has the number of the
  attempt.
- `PREFIX.later.GROUP`: messages that are delivered again after a delay. The process that receives one keeps it
  unacknowledged for that time, and then moves it to `again`. If the process dies, another one receives it.

Counting attempts: RabbitMQ marks a redelivered message, but does not report how often it was delivered, or whether a
process began to handle it. (A quorum queue counts deliveries, but also those of messages that were only fetched.) So a
marked message is never handled itself. It moves to `again` as a copy with the attempt increased by one. A process
fetches one message of `again` at a time. So when a process dies, only the message being handled can get the mark, and
no message is counted for the failure of another. An original is acknowledged only when the broker has confirmed its
copy. If that fails, the message is delivered twice rather than lost.

Order: `again` is handled before the main queue, and a new message is handled only when `again` is known to be empty. A
copy goes to the end of its queue. If the original was the first one in `again`, the messages behind it are moved behind
the copy, one after the other, up to a limit. A message that waits in `later` does not hold up others.

Acknowledging in bulk: the main queue has its own channel. Its messages are handled in order, so one acknowledgement
covers all up to the last handled one. Acknowledging each alone would cost more than everything else. Bulk works only
while no earlier message is unfinished: while one is being copied, or after a copy has failed, each message is
acknowledged alone. The other two queues share a second channel, where each message is always acknowledged alone.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from ._rabbitmq_client import acknowledge, consume, round_trip, shielded, unless_lost
from ._rabbitmq_frames import ATTEMPT, DELAY, SUBJECT
from .engine import Delivery, cancel_all, subjects_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from aiormq.abc import AbstractChannel, DeliveredMessage

    from ._rabbitmq_client import RabbitmqConnection
    from .engine import DeliveryOptions

    _Receive = Callable[[Delivery], Awaitable[None]]

_QUEUE_EXPIRY = 300_000  # milliseconds for which the broker keeps an unused queue; a group at least once keeps its own
_AT_MOST_ONCE: dict[str, Any] = {  # the queue keeps only the newest messages for a slow process
    "x-message-ttl": 60_000,
    "x-max-length": 100_000,
}
_ACK_DELAY = 0.005  # seconds after which messages at most once are acknowledged
_REQUEUE_TIMEOUT = 0.2  # seconds that the next message waits for a copy, which the broker may delay for a long time
_BATCH = 16  # messages after which other tasks get their turn
_MAX_HELD = 1000  # messages of `later` that a process holds
_MAX_HOLD = 600.0  # seconds; the broker closes a channel that acknowledges nothing for half an hour
_MAX_MOVED = 256  # messages of `again` that are moved behind a copy
_LONGEST_KEY = 255  # bytes of a routing key
_LONGEST_ID = 128  # characters of an id that is remembered: the bridge's own have 32
_MAX_REMEMBERED = 50_000  # ids that are remembered


class SessionOwner(Protocol):
    """The interface of an engine that a session uses."""

    options: DeliveryOptions
    process_id: str
    handled: RecentMessages

    def error_text(self, error: BaseException) -> str:
        """See `Engine.error_text`."""

    def retention_arguments(self) -> dict[str, Any]:
        """Return the arguments of a queue that keeps messages for the bridge's `retention`."""

    async def declare(self, connection: RabbitmqConnection, what: str, name: str, **options: Any) -> None:
        """Create an exchange or a queue, or use the existing one."""

    async def bind(self, connection: RabbitmqConnection, queue: str, exchange: str, keys: list[str]) -> None:
        """Bind a queue to an exchange, for messages with these routing keys."""

    async def put(self, exchange: str, key: str, body: bytes, message_id: str | None, headers: dict[str, Any]) -> bool:
        """Publish a copy of a received message. Return whether the broker has it."""

    async def dead_letter(self, key: str, body: bytes, message_id: str | None, about: Mapping[str, str]) -> bool:
        """Move a message to the dead letters. Return whether the broker has confirmed it."""


class Session:
    """A connection that receives messages until it is lost."""

    ack_delay: float  # seconds for which acknowledgements are collected
    channel: AbstractChannel  # the channel whose messages are acknowledged in bulk

    def __init__(self, engine: SessionOwner, connection: RabbitmqConnection) -> None:
        self.engine = engine
        self.reason = ""  # why the session has ended
        self._connection = connection
        self._arrival = asyncio.Event()
        self._is_over = False
        self._last_handled = 0  # the channel's messages up to this delivery tag are handled
        self._has_handled = asyncio.Event()
        self._copying: set[asyncio.Task[None]] = set()
        self._acknowledging = asyncio.create_task(self._keep_acknowledging())

    async def _open_channel(self) -> AbstractChannel:
        channel: AbstractChannel = await unless_lost(self._connection.channel(publisher_confirms=False))
        channel.closing.add_done_callback(self._end)
        channel.on_consumer_cancel_callbacks.add(self._end)  # a queue was deleted
        return channel

    def _end(self, cause: Any) -> None:
        if not isinstance(cause, asyncio.Future):
            reason = "a queue was deleted"
        else:
            error = None if cause.cancelled() else cause.exception()
            if error is None or type(error) is Exception:  # the client does not know the reason
                reason = "the connection was lost"
            else:
                reason = self.engine.error_text(error)
        self.reason = self.reason or reason
        self._is_over = True
        self._arrival.set()

    async def open(self) -> None:
        """Create the queues if they do not exist, and consume them."""
        self.channel = await self._open_channel()

    async def run(self, receive: _Receive) -> None:
        """Pass messages on, one after the other, until the connection is lost."""
        raise NotImplementedError

    async def leave(self) -> None:
        """Return messages that were only fetched."""

    async def close(self) -> None:
        """Disconnect."""
        await cancel_all([self._acknowledging, *self._copying])
        await self._connection.end()

    async def _declare(self, name: str, **options: Any) -> None:
        await self.engine.declare(self._connection, "queue", name, **options)

    async def _bind(self, name: str) -> None:
        options = self.engine.options
        keys = [f"{each[:-1]}#" if each.endswith(">") else each for each in subjects_of(options.patterns)]
        await self.engine.bind(self._connection, name, options.prefix, keys)

    async def _wait_for_arrival(self) -> None:
        if not self._is_over:
            self._arrival.clear()
            await self._arrival.wait()

    def note_handled(self, tag: int) -> None:
        """Schedule the acknowledgement of all messages up to this one."""
        self._last_handled = tag
        self._has_handled.set()

    async def _keep_acknowledging(self) -> None:
        while True:
            await self._has_handled.wait()
            await asyncio.sleep(self.ack_delay)
            await self.acknowledge_handled()

    async def acknowledge_handled(self) -> None:
        """Acknowledge the messages that were handled in order."""
        if self._has_handled.is_set():
            self._has_handled.clear()
            await acknowledge(self.channel, self._last_handled, multiple=True)

    async def run_copying(self, copying: Coroutine[Any, Any, None], timeout: float | None = _REQUEUE_TIMEOUT) -> None:
        """Run a coroutine that copies a message to another queue. After the timeout it continues in the background."""
        await self.acknowledge_handled()
        task = asyncio.create_task(copying)
        self._copying.add(task)
        task.add_done_callback(self._copying.discard)
        await asyncio.wait([task], timeout=timeout)
        if task.done() and not task.cancelled():
            task.result()


class AtMostOnceSession(Session):
    """A session that receives each message at most once."""

    ack_delay = _ACK_DELAY

    async def open(self) -> None:
        """Create the queue if it does not exist, and consume it."""
        await super().open()
        options = self.engine.options
        self._fetched: deque[DeliveredMessage] = deque()
        if options.group is None:
            name = f"{options.prefix}.once.{uuid.uuid4().hex}"
            await unless_lost(
                self.channel.queue_declare(name, exclusive=True, auto_delete=True, arguments=_AT_MOST_ONCE)
            )
        else:
            name = f"{options.prefix}.once.{_encoded(options.group)}"
            arguments = {**_AT_MOST_ONCE, "x-expires": _QUEUE_EXPIRY}
            await self._declare(name, durable=True, auto_delete=True, arguments=arguments)
        await self._bind(name)
        await consume(self.channel, name, options.batch * 4, self._arrived)

    async def _arrived(self, message: DeliveredMessage) -> None:
        self._fetched.append(message)
        self._arrival.set()

    async def run(self, receive: _Receive) -> None:
        """Pass messages on until the connection is lost."""
        while not self._is_over:
            while self._fetched:
                message = self._fetched.popleft()
                tag = message.delivery_tag or 0
                self.note_handled(tag)
                is_own = message.header.properties.app_id == self.engine.process_id
                if not is_own and not message.redelivered:  # another process may have handled a redelivered message
                    await receive(AtMostOnceDelivery(self, message))
                if tag % _BATCH == 0:
                    await asyncio.sleep(0)
            await self._wait_for_arrival()


class AtLeastOnceSession(Session):
    """A session that receives each message until it is handled."""

    ack_delay = 0.0  # messages handled in one turn of the loop are acknowledged together

    def __init__(self, engine: SessionOwner, connection: RabbitmqConnection) -> None:
        super().__init__(engine, connection)
        self._has_gap = False  # whether a message of the main queue stays unacknowledged
        self._new: deque[AtLeastOnceDelivery] = deque()
        self._again: deque[AtLeastOnceDelivery] = deque()
        self._holding: set[asyncio.Task[None]] = set()
        self._is_again_empty = False  # whether the broker has no messages left in `again`
        self._only: AtLeastOnceDelivery | None = None  # `again` contains only the copy of this message

    @property
    def is_in_order(self) -> bool:
        """Whether everything before the message being handled is acknowledged or handled."""
        return not self._has_gap and not self._copying

    def leave_unacknowledged(self) -> None:
        """Leave a message unacknowledged, so that the broker delivers it again after this session."""
        self._has_gap = True

    async def open(self) -> None:
        """Create the queues if they do not exist, and consume them."""
        await super().open()
        self._side_channel = await self._open_channel()
        options = self.engine.options
        if options.group is None:
            kind, owner = "process", self.engine.process_id
        else:
            kind, owner = "group", _encoded(options.group)
        self._main, self.again, self.later = (f"{options.prefix}.{each}.{owner}" for each in (kind, "again", "later"))
        arguments = self.engine.retention_arguments()
        if options.group is None:
            arguments["x-expires"] = _QUEUE_EXPIRY
        for name in (self._main, self.again, self.later):
            await self._declare(name, durable=True, arguments=arguments)
        await self._bind(self._main)
        self._consumers = [
            (self._side_channel, await consume(self._side_channel, self.later, _MAX_HELD, self._later_arrived)),
            (self._side_channel, await consume(self._side_channel, self.again, 1, self._again_arrived)),
            (self.channel, await consume(self.channel, self._main, options.batch, self._new_arrived)),
        ]

    async def _new_arrived(self, message: DeliveredMessage) -> None:
        self._new.append(AtLeastOnceDelivery(self, self.channel, message))
        self._arrival.set()

    async def _again_arrived(self, message: DeliveredMessage) -> None:
        self._again.append(AtLeastOnceDelivery(self, self._side_channel, message, is_from_again=True))
        self._arrival.set()

    async def _later_arrived(self, message: DeliveredMessage) -> None:
        task = asyncio.create_task(self._hold(AtLeastOnceDelivery(self, self._side_channel, message)))
        self._holding.add(task)
        task.add_done_callback(self._holding.discard)

    async def _hold(self, delivery: AtLeastOnceDelivery) -> None:
        """Wait for the delay of a message, and then move it to `again`. Split very long delays."""
        wait = min(delivery.delay, _MAX_HOLD)
        await asyncio.sleep(wait)
        await self.run_copying(delivery.move(delivery.attempt, delivery.delay - wait), None)

    async def run(self, receive: _Receive) -> None:
        """Pass messages on until the connection is lost."""
        while not self._is_over:
            if self._new and self._is_again_empty and not self._again:  # the usual case, which saves a coroutine
                delivery = self._new.popleft()
            elif (found := await self._next()) is not None:
                delivery = found
            else:
                continue
            if delivery.is_own or delivery.is_handled:
                await delivery.finish()
            elif delivery.is_redelivered:
                # The next message waits for the copy. If this process dies, the copy is then not behind others.
                self._only = delivery if self._is_again_empty else None
                self._is_again_empty = False
                await self.run_copying(delivery.move(delivery.attempt + 1, 0), None)
            else:
                await receive(delivery)
            if delivery.tag % _BATCH == 0:
                await asyncio.sleep(0)

    async def _next(self) -> AtLeastOnceDelivery | None:
        """Return the next message of `again`. If there is none yet, ask the broker or wait, and return `None`."""
        if self._again:
            delivery = self._again.popleft()
            self._is_again_empty = self._only is not None and delivery.is_copy_of(self._only)
            self._only = None
            return delivery
        if not self._is_again_empty:
            if not await self.count_again():
                await round_trip(self._side_channel)  # the last message may arrive only after the answer
                self._is_again_empty = not self._again
            elif self._again:
                pass
            elif self._copying:  # the broker sends the next one only after the last one is acknowledged
                self._again.extend(await self._fetch_again(1))
            else:  # a message is on its way to this process or to another one
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await self._wait_for_arrival()
        elif not self._new:
            await self._wait_for_arrival()
        return None

    async def count_again(self) -> int:
        """Return how many messages `again` has, not counting those that a process has fetched."""
        declared = await shielded(self._side_channel.queue_declare(self.again, passive=True))
        return declared.message_count or 0

    async def _fetch_again(self, count: int) -> list[AtLeastOnceDelivery]:
        """Fetch up to `count` messages of `again`."""
        found: list[AtLeastOnceDelivery] = []
        while len(found) < count:
            message = await shielded(self._side_channel.basic_get(self.again))
            if message.delivery_tag is None:
                break
            found.append(AtLeastOnceDelivery(self, self._side_channel, message, is_from_again=True))
        return found

    async def move_to_end(self, count: int) -> None:
        """Move `count` messages from the front of `again` to its end."""
        while count > 0:
            some = await self._fetch_again(min(count, self.engine.options.batch))
            await asyncio.gather(*[delivery.give_back() for delivery in some])
            count -= len(some) or count

    async def leave(self) -> None:
        """Acknowledge handled messages, and return those that were only fetched, without counting an attempt."""
        await self.acknowledge_handled()
        self.leave_unacknowledged()  # a handler may still be running
        for channel, consumer in self._consumers:
            await unless_lost(channel.basic_cancel(consumer))
        await cancel_all(self._holding)
        if self._copying:
            await asyncio.wait(self._copying, timeout=1)
        if self.engine.options.group is None:
            for name in (self._main, self.again, self.later):
                await unless_lost(self.channel.queue_delete(name))
            return
        for delivery in reversed(self._again):
            await delivery.move(delivery.attempt + delivery.is_redelivered, 0)
        await asyncio.gather(*[delivery.give_back() for delivery in self._new])
        for channel in (self.channel, self._side_channel):
            await round_trip(channel)

    async def close(self) -> None:
        """Disconnect."""
        await cancel_all(self._holding)
        await super().close()


class AtMostOnceDelivery(Delivery):
    """A message that is delivered at most once."""

    def __init__(self, session: AtMostOnceSession, message: DeliveredMessage) -> None:
        self._session = session
        self._message = message
        self.body = message.body
        self.attempt = 1

    async def ack(self) -> None:
        """Do nothing: the message was acknowledged when it arrived."""

    async def nack(self, delay: float) -> None:
        """Do nothing: the message is not delivered again."""

    async def dead_letter(self, about: Mapping[str, str]) -> None:
        """Copy the message to the dead letters."""
        await self._session.run_copying(self._dead_letter(about))

    async def _dead_letter(self, about: Mapping[str, str]) -> None:
        await self._session.engine.dead_letter(self._message.routing_key or "", self.body, None, about)


class AtLeastOnceDelivery(Delivery):
    """A message that the broker keeps until it is acknowledged.

    Anyone who may publish can set the bridge's headers. So a number out of range becomes the nearest valid one, and any
    other value counts as missing.
    """

    def __init__(
        self,
        session: AtLeastOnceSession,
        channel: AbstractChannel,
        message: DeliveredMessage,
        is_from_again: bool = False,
    ) -> None:
        engine = session.engine
        properties = message.header.properties
        self._session = session
        self._channel = channel
        self._is_from_again = is_from_again
        self._key = message.routing_key or ""
        self._message_id = properties.message_id
        self.tag = message.delivery_tag or 0
        self.is_own = properties.app_id == engine.process_id
        self.is_redelivered = bool(message.redelivered)
        self.delay = 0.0
        self.body = message.body
        self.attempt = 1
        if headers := properties.headers:
            self.delay = _limited(headers.get(DELAY), 0, round(engine.options.retention * 1000)) / 1000
            self.attempt = _limited(headers.get(ATTEMPT), 1, engine.options.attempts + 1)
            subject = headers.get(SUBJECT)
            if isinstance(subject, str) and len(subject.encode()) <= _LONGEST_KEY:
                self._key = subject

    @property
    def is_handled(self) -> bool:
        """Whether this process has already handled the message."""
        return self._session.engine.handled.has(self._message_id, self.body)

    def is_copy_of(self, other: AtLeastOnceDelivery) -> bool:
        """Return whether this is a copy of another message. Without ids, it never is."""
        return self._message_id is not None and self._message_id == other._message_id and self.body == other.body

    async def _copy(self, attempt: int, delay: float) -> bool:
        """Publish a copy that is delivered after some seconds. Return whether the broker has confirmed it."""
        milliseconds = max(0, round(delay * 1000))
        headers = {ATTEMPT: attempt, DELAY: milliseconds, SUBJECT: self._key}
        session = self._session
        queue = session.later if milliseconds else session.again
        return await session.engine.put("", queue, self.body, self._message_id, headers)

    async def finish(self) -> None:
        """Acknowledge the message, in bulk if possible."""
        if self._channel is self._session.channel and self._session.is_in_order:
            self._session.note_handled(self.tag)
        else:
            await acknowledge(self._channel, self.tag)

    async def _settle(self, is_copied: bool) -> None:
        """Acknowledge the message at once if the broker has a copy. Otherwise leave it unacknowledged."""
        session = self._session
        if is_copied:
            await self.finish()
        await session.acknowledge_handled()
        if not is_copied and self._channel is session.channel:
            session.leave_unacknowledged()

    async def move(self, attempt: int, delay: float) -> None:
        """Move the message to `later`, or without a delay to `again`, where a first message stays the first one."""
        session = self._session
        behind = await session.count_again() if self._is_from_again and not delay else 0
        is_copied = await self._copy(attempt, delay)
        if is_copied and behind <= _MAX_MOVED:
            await session.move_to_end(behind)
        await self._settle(is_copied)

    async def give_back(self) -> None:
        """Move the message to the end of `again`, as one that was only fetched."""
        await self._settle(await self._copy(self.attempt + self.is_redelivered, 0))

    async def ack(self) -> None:
        """Acknowledge the message as handled."""
        self._session.engine.handled.add(self._message_id, self.body)
        await self.finish()

    async def nack(self, delay: float) -> None:
        """Let the broker deliver the message again after some seconds."""
        await self._session.run_copying(self.move(self.attempt + 1, delay))

    async def dead_letter(self, about: Mapping[str, str]) -> None:
        """Move the message to the dead letters."""
        await self._session.run_copying(self._dead_letter(about))

    async def _dead_letter(self, about: Mapping[str, str]) -> None:
        engine = self._session.engine
        is_copied = await engine.dead_letter(self._key, self.body, self._message_id, about)
        if is_copied:
            engine.handled.add(self._message_id, self.body)
        await self._settle(is_copied)


class RecentMessages:
    """Remembers a limited number of messages that were handled in the last seconds.

    A message is identified by its id and the hash of its body. So an attacker who has seen a message that will be
    delivered again cannot suppress it by publishing another message with its id. If two messages have the same id, only
    the first handled one is remembered.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._hashes: dict[str, int] = {}  # by id
        self._ends: deque[tuple[float, str]] = deque()

    def has(self, message_id: str | None, body: bytes) -> bool:
        """Return whether this message was handled. This is false for messages without an id or with a very long one."""
        if message_id not in self._hashes:
            return False
        self._forget_old()
        return self._hashes.get(message_id) == hash(body)

    def add(self, message_id: str | None, body: bytes) -> None:
        """Remember a handled message."""
        if message_id and len(message_id) <= _LONGEST_ID and message_id not in self._hashes:
            self._hashes[message_id] = hash(body)
            self._ends.append((monotonic() + self._seconds, message_id))
            self._forget_old()

    def _forget_old(self) -> None:
        now = monotonic()
        while self._ends and (self._ends[0][0] <= now or len(self._ends) > _MAX_REMEMBERED):
            del self._hashes[self._ends.popleft()[1]]


def _limited(value: object, lowest: int, highest: int) -> int:
    """Return a header's number within limits, or the lowest limit if it is not a number."""
    return min(max(value, lowest), highest) if isinstance(value, int) else lowest


def _encoded(group: str) -> str:
    """Return a group's name, encoding all characters that the client does not allow in the name of a queue."""
    return quote(group, safe=",/:@").replace("~", "%7E").replace("%", "#")
