"""The engine for RabbitMQ, from 3.10 on: by aiormq, the client under aio-pika.

Not by aio-pika's robust connections: those publish again by themselves what may have arrived, begin to consume again
before anybody has looked at what was lost, and have no word on the order of what waits meanwhile.

A prefix has a topic exchange, `PREFIX`, and another one with a queue for dead letters, both `PREFIX-dead`. The subject
is the routing key. At most once, a process has an exclusive queue, a group `PREFIX.once.GROUP`. At least once, there
are three queues for each group, or process, all of them durable:

- `PREFIX.group.GROUP`: what is published.
- `PREFIX.again.GROUP`: what is to be begun with alone, and first, with its attempt in a header.
- `PREFIX.later.GROUP`: what is to be delivered again later. Whoever gets it waits, and puts it into `again`.

RabbitMQ says that a message was delivered before, but not how often, nor whether it was begun with (a quorum queue
counts deliveries, even those that were only fetched). So such a message is never handled as it comes: a copy that says
one attempt more goes to `again`, of which a process holds one at a time. Of what is there, only what is being handled
when its process dies can have been delivered before. No message is acknowledged until the broker has its copy. A copy
of what was the first in `again` comes behind all that waits there: so all that is put behind it, one after the other.

The first queue has a channel of its own: its messages are handled in their order, and so all up to one are acknowledged
at once, where none of them is left. Writing and acknowledging, one by one, would cost more than all the rest.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .engine import Delivery, Engine, Publication, Rejected, Unavailable, cancel_all, is_untrusted, subject_of, subjects_of, logger
from ._rabbitmq_client import (
    FAILURES,
    FINAL,
    RabbitmqConnection,
    acknowledge,
    barrier,
    close_channel,
    consume,
    unless_lost,
    whole,
)

try:
    from aiormq import exceptions
    from pamqp.commands import Basic
    from yarl import URL
except ImportError as error:
    raise ImportError('a bridge to RabbitMQ needs its client: pip install "cyevents-bridge[rabbitmq]"') from error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from aiormq.abc import AbstractChannel, DeliveredMessage

    _Receive = Callable[[Delivery], Awaitable[None]]

_TRANSIENT, _PERSISTENT = 1, 2
_GONE = 300.0  # seconds for which the broker keeps queues that nobody reads, but for those of a group at least once
_PASSING: dict[str, Any] = {
    "x-message-ttl": 60_000,
    "x-max-length": 100_000,
}  # what is kept at most once, of who is slow: the newest
_ACK_DELAY = 0.005  # seconds for which these may be unacknowledged: nothing but the flow of what follows depends on that
_REQUEUE_TIMEOUT = 0.2  # seconds for which the next message waits until one is put elsewhere: the broker may be blocking that
_BATCH = 16  # messages that are handled before anything else has its turn
_HELD = 1000  # messages of which a process waits for the time to be delivered again
_LONGEST = 600.0  # seconds for which it does: the broker closes a channel that acknowledges nothing for half an hour
_REMEMBERED = 50_000  # ids of messages
_MILLISECONDS = 2**32 - 1  # that the broker can count
_LONGEST_KEY = 255  # bytes that a routing key may have
_ROUND = 256  # messages that are to be begun with first, of which the order is kept when one of them comes again
_ATTEMPT, _DELAY, _SUBJECT = "cyevents-attempt", "cyevents-delay", "cyevents-subject"


class RabbitmqEngine(Engine):
    """Two connections to RabbitMQ: it may stop reading one that publishes, and is to hear of what was handled."""

    tls_schemes = frozenset({"amqps"})
    tls_options = ("tls", "cafile", "capath", "cadata", "certfile", "keyfile", "no_verify_ssl")

    async def connect(self) -> None:
        """Connect, and make the exchanges if there are none."""
        options = self.options
        self._is_closing = False
        self._connections: list[RabbitmqConnection] = []
        self._tasks = []
        self._session: _Session | None = None
        self._known = _Window(options.dedup_window)  # ids of messages that were dealt with
        self._dead = f"{options.prefix}-dead"
        self._me = uuid.uuid4().hex
        # Publishing
        self._out: RabbitmqConnection | None = None
        self._channel: Any = None
        self._numbers = count()
        self._in_flight = 0
        self._stuck: list[tuple[int, asyncio.Future[AbstractChannel]]] = []  # who waits for the channel
        self._alone = asyncio.Lock()
        while True:
            try:
                channel = await self._open_publisher()
                break
            except FINAL as error:
                self.last_error = error
                raise ConnectionError(f"{type(error).__name__}: {error}") from error
            except FAILURES as error:  # the bridge says for how long
                self.last_error = error
                if is_untrusted(error):
                    raise ConnectionError(f"{type(error).__name__}: {error}") from error
                await asyncio.sleep(0.1)
        self.last_error = None
        self._start(self._keep_publishing(channel))

    async def _open_connection(self, name: str) -> RabbitmqConnection:
        client_options = dict(self.client_options)
        url, context = URL(self.address.urls[0]), client_options.pop("tls", None)
        for part in ("user", "password"):
            if part in client_options:
                url = getattr(url, f"with_{part}")(client_options.pop(part))
        # The broker closes a connection of which it has heard nothing for two of them.
        heartbeat = max(1, round(self.options.ack_wait / 2))
        url = url.update_query({"heartbeat": str(heartbeat), "name": f"cyevents {name}", **client_options})
        connection = RabbitmqConnection(self, url, context)
        self._connections = [each for each in self._connections if not each.is_closed]
        self._connections.append(connection)
        try:
            async with asyncio.timeout(10):
                await unless_lost(connection.connect())
        except BaseException:
            await connection.end()
            raise
        return connection

    # What the broker has

    async def _declare(self, connection: RabbitmqConnection, what: str, name: str, **how: Any) -> None:
        """Make an exchange or a queue, or take it as whoever runs the broker has set it up."""
        refused: Exception | None = None
        for is_passive in (False, True):
            channel = await unless_lost(connection.channel(publisher_confirms=False))
            try:
                await unless_lost(getattr(channel, f"{what}_declare")(name, passive=is_passive, **how))
            except (exceptions.ChannelAccessRefused, exceptions.ChannelPreconditionFailed) as error:
                if is_passive:
                    raise
                refused = error
            except exceptions.ChannelNotFoundEntity:
                if isinstance(refused, exceptions.ChannelAccessRefused):  # nobody has made it who may
                    raise refused from None
                raise
            else:
                await close_channel(channel)
                return

    async def _declare_exchanges(self, connection: RabbitmqConnection) -> None:
        for name in (self.options.prefix, self._dead):
            await self._declare(connection, "exchange", name, exchange_type="topic", durable=True)
        await self._declare(connection, "queue", self._dead, durable=True, arguments=self._kept())
        await self._bind(connection, self._dead, self._dead, ["#"])

    async def _bind(self, connection: RabbitmqConnection, queue: str, exchange: str, keys: list[str]) -> None:
        channel = await unless_lost(connection.channel(publisher_confirms=False))
        for key in keys:
            await unless_lost(channel.queue_bind(queue, exchange, key))
        await close_channel(channel)

    def _kept(self) -> dict[str, Any]:
        keep = round(self.options.retention * 1000)
        return {"x-message-ttl": keep} if keep <= _MILLISECONDS else {}

    # Publishing

    async def _open_publisher(self) -> AbstractChannel:
        if self._out is None or self._out.is_closed:
            self._out = await self._open_connection("publishes")
        await self._declare_exchanges(self._out)
        channel: AbstractChannel = await unless_lost(self._out.channel())
        return channel

    async def _keep_publishing(self, channel: AbstractChannel | None) -> None:
        """Have a channel to publish by, and let in whoever waits for it, in the order of their coming."""
        while True:
            if channel is None:
                try:
                    channel = await self._open_publisher()
                except FAILURES as error:
                    logger.debug("publishing to %s: %s: %s", self.safe_address, type(error).__name__, error)
                    await asyncio.sleep(0.2)
                    continue
            while self._in_flight:  # those of the last channel are about to come again
                await asyncio.sleep(0.001)
            while self._stuck and not channel.is_closed:
                _, turn = heappop(self._stuck)
                if not turn.done():
                    turn.set_result(channel)
                if not self._stuck:  # whoever comes before those have begun waits, too
                    await asyncio.sleep(0)
            self._channel = channel
            await asyncio.wait([channel.closing])
            self._channel = channel = None

    async def _turn(self, number: int) -> Any:
        """The channel, as soon as there is one."""
        if self._channel is not None and not self._channel.is_closed:
            return self._channel
        turn: asyncio.Future[AbstractChannel] = asyncio.get_running_loop().create_future()
        heappush(self._stuck, (number, turn))
        return await turn

    async def publish(self, publication: Publication) -> None:
        """Publish a message. All are confirmed: that costs little, and what the broker did not take is known."""
        mode = _PERSISTENT if self.options.at_least_once else _TRANSIENT
        properties = Basic.Properties(message_id=publication.id, delivery_mode=mode, app_id=self._me)
        await self._send(self.options.prefix, subject_of(publication.event), publication.body, properties, self.options.at_least_once)

    async def _send(
        self, exchange: str, key: str, body: bytes, properties: Basic.Properties, is_lasting: bool = True
    ) -> None:
        """Publish until the broker has it; if that is not to last, once. To a queue, by no exchange, if it is there."""
        how: dict[str, Any] = {
            "exchange": exchange,
            "routing_key": key,
            "properties": properties,
            "mandatory": not exchange,
        }
        number = next(self._numbers)
        is_suspect = False
        while True:
            channel = await self._turn(number)
            if is_suspect:
                if await self._send_alone(body, how):
                    return
                await asyncio.sleep(0.05)
                continue
            self._in_flight += 1
            try:
                await unless_lost(channel.basic_publish(body, wait=False, **how))
                return
            except exceptions.ChannelInvalidStateError:  # it was not sent
                continue
            except exceptions.DeliveryError as error:  # a queue is full, or is not there
                raise (Unavailable if is_lasting else Rejected)(f"{type(error).__name__}: {error}") from error
            except FAILURES as error:
                if not is_lasting:  # a second time could be once too often
                    raise Rejected(f"it broke before the answer: {type(error).__name__}: {error}") from error
                # The broker closes a channel by which it gets what it does not take, without saying what that was; and
                # the connection, as the client goes on to write to the channel.
                is_suspect = isinstance(error, exceptions.AMQPChannelError | exceptions.ConnectionChannelError)
            finally:
                self._in_flight -= 1

    async def _send_alone(self, body: bytes, how: dict[str, Any]) -> bool:
        """Publish by a channel of its own; whether the broker has it."""
        async with self._alone:
            try:
                if self._out is None or self._out.is_closed:
                    return False
                channel = await unless_lost(self._out.channel())
                await unless_lost(channel.basic_publish(body, **how))
                await close_channel(channel)
                return True
            except exceptions.ChannelNotFoundEntity:  # the exchange, which is made again with the next channel
                return False
            except exceptions.DeliveryError as error:
                raise Unavailable(f"{type(error).__name__}: {error}") from error
            except exceptions.AMQPChannelError as error:
                raise Rejected(f"{type(error).__name__}: {error}") from error
            except FAILURES:
                return False

    # Receiving

    async def listen(self, receive: _Receive) -> None:
        """Receive messages from now on."""
        self._session = None
        while self._session is None:
            try:
                self._session = await self._open_session()
            except exceptions.ChannelNotFoundEntity:  # the last one of the group at most once has just left
                continue
            except (exceptions.AMQPError, exceptions.ChannelInvalidStateError) as error:
                raise ConnectionError(f"{type(error).__name__}: {error}") from error
        self._start(self._keep_receiving(receive))

    async def _keep_receiving(self, receive: _Receive) -> None:
        while not self._is_closing:
            if self._session is not None:
                with suppress(*FAILURES):
                    await self._session.run(receive)
                await self._session.close()
                self._session = None
            try:
                self._session = await self._open_session()
            except FAILURES as error:
                logger.debug("receiving from %s: %s: %s", self.safe_address, type(error).__name__, error)
                await asyncio.sleep(0.2)

    async def _open_session(self) -> _Session:
        """Make the queues, if there are none, and consume."""
        connection = await self._open_connection("receives")
        session = (_KeptSession if self.options.at_least_once else _OnceSession)(self, connection)
        try:
            await self._declare_exchanges(connection)
            await session.open()
        except BaseException:
            await session.close()
            raise
        return session

    async def dead_letter(self, key: str, body: bytes, identity: str | None, about: Mapping[str, str]) -> bool:
        """Put a message among the dead letters; whether the broker has taken it."""
        headers: dict[str, Any] = {f"Cyevents-{name}": value for name, value in about.items()}
        return await self.put(self._dead, key, body, identity, headers)

    async def put(self, exchange: str, key: str, body: bytes, identity: str | None, headers: dict[str, Any]) -> bool:
        """Publish what has become of a message, however long that takes; whether the broker has taken it."""
        properties = Basic.Properties(message_id=identity, delivery_mode=_PERSISTENT, headers=headers)
        while True:
            try:
                async with asyncio.timeout(2 if self._is_closing else None):
                    await self._send(exchange, key, body, properties)
                return True
            except Unavailable as error:
                logger.debug("putting a message back at %s: %s", self.safe_address, error)
                await asyncio.sleep(0.2)
            except TimeoutError:  # of leaving: it will be delivered again
                return False
            except Rejected as error:
                logger.error("%s does not take what became of a message: %s", self.safe_address, error)
                return False

    async def close(self) -> None:
        """Receive no more, and disconnect."""
        if not hasattr(self, "_connections"):
            return
        self._is_closing = True
        try:
            await cancel_all(self._tasks[1:])
            if self._session is not None:
                try:
                    with suppress(*FAILURES):
                        async with asyncio.timeout(3):
                            await self._session.leave()
                finally:
                    await self._session.close()
        finally:
            await cancel_all(self._tasks[:1])
            for connection in self._connections:
                await connection.end()


class _Session:
    """A connection by which messages are received, as long as it lasts."""

    leisure: float  # seconds for which it gathers what is to be acknowledged
    channel: AbstractChannel  # of what is delivered in order, and acknowledged so

    def __init__(self, engine: RabbitmqEngine, connection: RabbitmqConnection) -> None:
        self.engine = engine
        self._connection = connection
        self._filled = asyncio.Event()
        self._is_over = False
        self._handled = 0  # the last tag, of the channel, up to which all have been
        self._is_due = asyncio.Event()
        self._beside: set[asyncio.Task[None]] = set()
        self._acknowledging = asyncio.create_task(self._keep_acknowledging())

    async def _open_channel(self) -> AbstractChannel:
        channel: AbstractChannel = await unless_lost(self._connection.channel(publisher_confirms=False))
        channel.closing.add_done_callback(self._end)
        channel.on_consumer_cancel_callbacks.add(self._end)  # somebody has deleted a queue
        return channel

    def _end(self, _: Any) -> None:
        self._is_over = True
        self._filled.set()

    async def open(self) -> None:
        """Make the queues, if there are none, and consume."""
        self.channel = await self._open_channel()

    async def run(self, receive: _Receive) -> None:
        """Hand messages on, one after the other, until the connection is lost."""
        raise NotImplementedError

    async def leave(self) -> None:
        """Give back what was only fetched."""

    async def close(self) -> None:
        await cancel_all([self._acknowledging, *self._beside])
        await self._connection.end()

    async def _make(self, name: str, **how: Any) -> None:
        await self.engine._declare(self._connection, "queue", name, **how)

    async def _bind(self, name: str) -> None:
        options = self.engine.options
        keys = [f"{each[:-1]}#" if each.endswith(">") else each for each in subjects_of(options.patterns)]
        await self.engine._bind(self._connection, name, options.prefix, keys)

    async def _wait(self) -> None:
        if not self._is_over:
            self._filled.clear()
            await self._filled.wait()

    def note_handled(self, tag: int) -> None:
        """Let the broker forget all messages up to one, soon, and together with what is handled meanwhile."""
        self._handled = tag
        self._is_due.set()

    async def _keep_acknowledging(self) -> None:
        while True:
            await self._is_due.wait()
            await asyncio.sleep(self.leisure)
            await self.acknowledge_handled()

    async def acknowledge_handled(self) -> None:
        """Let the broker forget all that has been handled in order."""
        if self._is_due.is_set():
            self._is_due.clear()
            await acknowledge(self.channel, self._handled, multiple=True)

    async def do_beside(self, doing: Coroutine[Any, Any, None], patience: float | None = _REQUEUE_TIMEOUT) -> None:
        """Put a message elsewhere: if that takes long, while the next ones are handled. Who leaves waits for it."""
        await self.acknowledge_handled()
        task = asyncio.create_task(doing)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        await asyncio.wait([task], timeout=patience)
        if task.done() and not task.cancelled():
            task.result()


class _OnceSession(_Session):
    """Messages at most once: acknowledged so that the broker sends no more than the process can take."""

    leisure = _ACK_DELAY

    async def open(self) -> None:
        await super().open()
        options = self.engine.options
        self._waiting: deque[DeliveredMessage] = deque()
        if options.group is None:
            name = f"{options.prefix}.once.{uuid.uuid4().hex}"
            await unless_lost(self.channel.queue_declare(name, exclusive=True, auto_delete=True, arguments=_PASSING))
        else:
            name = f"{options.prefix}.once.{_named(options.group)}"
            arguments = {**_PASSING, "x-expires": round(_GONE * 1000)}
            await self._make(name, durable=True, auto_delete=True, arguments=arguments)
        await self._bind(name)
        await consume(self.channel, name, options.batch * 4, self._arrived)

    async def _arrived(self, message: DeliveredMessage) -> None:
        self._waiting.append(message)
        self._filled.set()

    async def run(self, receive: _Receive) -> None:
        while not self._is_over:
            while self._waiting:
                message = self._waiting.popleft()
                tag = message.delivery_tag or 0
                self.note_handled(tag)
                is_own = message.header.properties.app_id == self.engine._me
                if not is_own and not message.redelivered:  # as it may have been handled: it was fetched before
                    await receive(_QueueDelivery(self, message))
                if tag % _BATCH == 0:
                    await asyncio.sleep(0)
            await self._wait()


class _KeptSession(_Session):
    """Messages at least once."""

    leisure = 0.0  # what is handled in one turn of the loop

    def __init__(self, engine: RabbitmqEngine, connection: RabbitmqConnection) -> None:
        super().__init__(engine, connection)
        self._is_one_skipped = False  # that is not to be acknowledged with those after it
        self._new: deque[_StreamDelivery] = deque()
        self._again: deque[_StreamDelivery] = deque()
        self._holding: set[asyncio.Task[None]] = set()
        self._is_again_empty = False
        self._only: str | None = None  # what was put into that last, when it was empty

    @property
    def is_in_order(self) -> bool:
        """Whether all have been dealt with that came before what is being handled."""
        return not self._is_one_skipped and not self._beside

    def skip_one(self) -> None:
        """Leave a message unacknowledged, so that the broker delivers it again one day."""
        self._is_one_skipped = True

    async def open(self) -> None:
        await super().open()
        self._side = await self._open_channel()
        options = self.engine.options
        kind, whose = ("process", self.engine._me) if options.group is None else ("group", _named(options.group))
        self._main, self.again, self.later = (f"{options.prefix}.{each}.{whose}" for each in (kind, "again", "later"))
        arguments = self.engine._kept()
        if options.group is None:
            arguments["x-expires"] = round(_GONE * 1000)
        for name in (self._main, self.again, self.later):
            await self._make(name, durable=True, arguments=arguments)
        await self._bind(self._main)
        self._consumers = [
            (self._side, await consume(self._side, self.later, _HELD, self._later_arrived)),
            (self._side, await consume(self._side, self.again, 1, self._again_arrived)),
            (self.channel, await consume(self.channel, self._main, options.batch, self._new_arrived)),
        ]

    async def _new_arrived(self, message: DeliveredMessage) -> None:
        self._new.append(_StreamDelivery(self, self.channel, message))
        self._filled.set()

    async def _again_arrived(self, message: DeliveredMessage) -> None:
        self._again.append(_StreamDelivery(self, self._side, message, is_from_again=True))
        self._filled.set()

    async def _later_arrived(self, message: DeliveredMessage) -> None:
        task = asyncio.create_task(self._hold(_StreamDelivery(self, self._side, message)))
        self._holding.add(task)
        task.add_done_callback(self._holding.discard)

    async def _hold(self, kept: _StreamDelivery) -> None:
        """Wait until a message is to be delivered again."""
        wait = min(kept.delay, _LONGEST)
        await asyncio.sleep(wait)
        await self.do_beside(kept.pass_on(kept.attempt, kept.delay - wait), None)

    async def run(self, receive: _Receive) -> None:
        while not self._is_over:
            kept = await self._next()
            if kept is None:
                continue
            if kept.is_own or kept.identity in self.engine._known:  # it is dealt with, if the broker has heard or not
                await kept.finish()
            elif kept.is_redelivered:  # one at a time: if this kills us, it is not to come again behind the others
                self._only = kept.identity if self._is_again_empty else None
                self._is_again_empty = False
                await self.do_beside(kept.pass_on(kept.attempt + 1, 0), None)
            else:
                await receive(kept)
            if kept.tag % _BATCH == 0:
                await asyncio.sleep(0)

    async def _next(self) -> _StreamDelivery | None:
        """What is to be handled now. What is to come again comes before what is new, so that the order is kept."""
        if self._again:
            kept = self._again.popleft()
            self._is_again_empty = self._only is not None and kept.identity == self._only
            self._only = None
            return kept
        if not self._is_again_empty:
            if not await self.count_again():
                await barrier(self._side)  # the last one may have been sent before the answer, and come behind it
                self._is_again_empty = not self._again
            elif self._again:
                pass
            elif self._beside:  # maybe the last one, and the next one comes by itself when that has been put elsewhere
                self._again.extend(await self._fetch_again(1))
            else:  # they are on their way, to here or to others
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await self._wait()
            return None
        if self._new:
            return self._new.popleft()
        await self._wait()
        return None

    async def count_again(self) -> int:
        """How many messages wait to be begun with first, without those that a process has fetched."""
        declared = await whole(self._side.queue_declare(self.again, passive=True))
        return declared.message_count or 0

    async def _fetch_again(self, count: int) -> list[_StreamDelivery]:
        """Fetch so many of these, or less if there are no more."""
        found: list[_StreamDelivery] = []
        while len(found) < count:
            message = await whole(self._side.basic_get(self.again))
            if message.delivery_tag is None:
                break
            found.append(_StreamDelivery(self, self._side, message, is_from_again=True))
        return found

    async def put_behind(self, count: int) -> None:
        """Put so many of these behind what is there: one that was before them has just been put there again."""
        while count > 0:
            some = await self._fetch_again(min(count, self.engine.options.batch))
            await asyncio.gather(*[kept.give_back() for kept in some])
            count -= len(some) or count

    async def leave(self) -> None:
        await self.acknowledge_handled()
        self.skip_one()  # as what was under way may be
        for channel, consumer in self._consumers:
            await unless_lost(channel.basic_cancel(consumer))
        await cancel_all(self._holding)
        if self._beside:
            await asyncio.wait(self._beside, timeout=1)
        if self.engine.options.group is None:
            for name in (self._main, self.again, self.later):
                await unless_lost(self.channel.queue_delete(name))
            return
        for kept in reversed(self._again):
            await kept.pass_on(kept.attempt + kept.is_redelivered, 0)
        await asyncio.gather(*[kept.give_back() for kept in self._new])
        for channel in (self.channel, self._side):
            await barrier(channel)

    async def close(self) -> None:
        await cancel_all(self._holding)
        await super().close()


class _QueueDelivery(Delivery):
    """A message that is delivered once, or not."""

    def __init__(self, session: _OnceSession, message: DeliveredMessage) -> None:
        self._session = session
        self._message = message
        self.body = message.body
        self.attempt = 1

    async def ack(self) -> None:
        """Nobody waits for that."""

    async def nack(self, delay: float) -> None:
        """It is not delivered again."""

    async def dead_letter(self, about: Mapping[str, str]) -> None:
        await self._session.do_beside(self._dead_letter(about))

    async def _dead_letter(self, about: Mapping[str, str]) -> None:
        await self._session.engine.dead_letter(self._message.routing_key or "", self.body, None, about)


class _StreamDelivery(Delivery):
    """A message that the broker keeps until it is acknowledged."""

    def __init__(
        self, session: _KeptSession, channel: AbstractChannel, message: DeliveredMessage, is_from_again: bool = False
    ) -> None:
        properties = message.header.properties
        headers = properties.headers or {}
        attempt, delay, key = (headers.get(each) for each in (_ATTEMPT, _DELAY, _SUBJECT))  # which anybody may write
        self._session = session
        self._channel = channel
        self._is_from_again = is_from_again
        self._key = key if isinstance(key, str) and len(key) <= _LONGEST_KEY else message.routing_key or ""
        self.tag = message.delivery_tag or 0
        self.identity = properties.message_id
        self.is_own = properties.app_id == session.engine._me
        self.is_redelivered = bool(message.redelivered)
        self.delay = delay / 1000 if isinstance(delay, int) else 0.0
        self.body = message.body
        self.attempt = attempt if isinstance(attempt, int) and attempt > 0 else 1

    async def copy(self, attempt: int, delay: float) -> bool:
        """Have a copy delivered, after some seconds; whether the broker has taken it."""
        milliseconds = max(0, round(delay * 1000))
        headers = {_ATTEMPT: attempt, _DELAY: milliseconds, _SUBJECT: self._key}
        session = self._session
        queue = session.later if milliseconds else session.again
        return await session.engine.put("", queue, self.body, self.identity, headers)

    async def finish(self) -> None:
        """Let the broker forget it."""
        if self._channel is self._session.channel and self._session.is_in_order:
            self._session.note_handled(self.tag)
        else:
            await acknowledge(self._channel, self.tag)

    async def settle(self, is_taken: bool) -> None:
        """Let the broker forget it, at once, if it has it elsewhere; or else deliver it again one day."""
        session = self._session
        if is_taken:
            await self.finish()
        await session.acknowledge_handled()
        if not is_taken and self._channel is session.channel:
            session.skip_one()

    async def pass_on(self, attempt: int, delay: float) -> None:
        """Have it delivered again, after some seconds, and be done with it. What was the first of these stays it."""
        session = self._session
        behind = await session.count_again() if self._is_from_again and not delay else 0
        is_taken = await self.copy(attempt, delay)
        if is_taken and behind <= _ROUND:
            await session.put_behind(behind)
        await self.settle(is_taken)

    async def give_back(self) -> None:
        """Have it delivered again, behind all that is to come again, as it was only fetched."""
        await self.settle(await self.copy(self.attempt + self.is_redelivered, 0))

    async def ack(self) -> None:
        self._session.engine._known.add(self.identity)
        await self.finish()

    async def nack(self, delay: float) -> None:
        await self._session.do_beside(self.pass_on(self.attempt + 1, delay))

    async def dead_letter(self, about: Mapping[str, str]) -> None:
        await self._session.do_beside(self._dead_letter(about))

    async def _dead_letter(self, about: Mapping[str, str]) -> None:
        is_taken = await self._session.engine.dead_letter(self._key, self.body, self.identity, about)
        if is_taken:
            self._session.engine._known.add(self.identity)
        await self.settle(is_taken)


def _named(group: str) -> str:
    """A group's name within a queue's: what the client does not let those have is encoded."""
    return quote(group, safe=",/:@").replace("~", "%7E").replace("%", "#")


class _Window:
    """The ids of the last messages, for some seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ids: set[str] = set()
        self._ends: deque[tuple[float, str]] = deque()

    def __contains__(self, identity: str | None) -> bool:
        self._forget()
        return identity in self._ids

    def add(self, identity: str | None) -> None:
        if identity is not None and identity not in self._ids:
            self._ids.add(identity)
            self._ends.append((monotonic() + self._seconds, identity))
            self._forget()

    def _forget(self) -> None:
        now = monotonic()
        while self._ends and (self._ends[0][0] <= now or len(self._ends) > _REMEMBERED):
            self._ids.discard(self._ends.popleft()[1])
