"""The engine for RabbitMQ 3.10 and newer: connections, exchanges and publishing. `_rabbitmq_sessions` receives.

A prefix has two topic exchanges. Events are published to `PREFIX` with their subject as the routing key. Dead letters
go to `PREFIX-dead`, to which a queue of the same name is bound. At most once, a process has an exclusive queue, or a
group has `PREFIX.once.GROUP`. At least once, each group or process has three queues, which `_rabbitmq_sessions`
explains.

There are two connections, because RabbitMQ may stop reading from a publishing connection when it is short of memory,
but must still read the acknowledgements.

Publishing: the broker confirms every message. If the connection breaks before that, a message at least once is
published again. At most once it is given up, because it may have arrived. Messages stay in order: `_send` gives each a
number, and when there is a new channel, waiting messages are published in the order of their numbers.

The client is aiormq and not aio-pika, which is based on it. The robust connections of aio-pika declare queues and
consume again in the background as soon as they are connected. But a session here must begin with empty tables, because
delivery tags of the previous connection are meaningless in the next one. aio-pika also does not publish unconfirmed
messages again, and does not keep the order of callers that wait for a channel. So all of the above would still be
needed.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING, Any

from ._rabbitmq_client import (
    FAILURES,
    FINAL,
    RabbitmqConnection,
    close_channel,
    parse_options,
    unless_lost,
)
from ._rabbitmq_sessions import AtLeastOnceSession, AtMostOnceSession, RecentMessages
from ._text import log_exception
from .engine import Engine, Publication, Rejected, Unavailable, cancel_all, is_untrusted, logger, subject_of

try:
    from aiormq import exceptions
    from pamqp.commands import Basic
except ImportError as error:
    raise ImportError('a bridge to RabbitMQ needs its client: run pip install "cyevents-bridge[rabbitmq]"') from error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiormq.abc import AbstractChannel

    from ._rabbitmq_sessions import Session
    from .engine import Address, Delivery, DeliveryOptions

    _Receive = Callable[[Delivery], Awaitable[None]]

_TRANSIENT, _PERSISTENT = 1, 2  # delivery modes
_CONNECT_TIMEOUT = 10.0  # seconds that one attempt to connect may take
_RETRY_DELAY = 0.2  # seconds between two attempts
_LEAVE_TIMEOUT = 3.0  # seconds for returning messages that were only fetched
_LONGEST_TTL = 2**32 - 1  # milliseconds; the broker accepts no larger number


class RabbitmqEngine(Engine):
    """An engine for RabbitMQ.

    Pass the client's options as keyword arguments or in the query of the address: `user` and `password`; `auth`
    (`"external"` to log in with a client certificate); `heartbeat` (in seconds, by default half of `ack_wait`); `name`
    (shown in RabbitMQ's overview); `timeout`. TLS needs an address that begins with `amqps://`. Its options are `tls`
    (an `ssl.SSLContext`, only as an argument), or some of `cafile`, `capath`, `cadata`, `certfile` and `keyfile`.

    `no_verify_ssl=True` turns off the verification of the server's certificate. The connection is still encrypted, but
    any server can answer, so an attacker in the network can read the password. For a self-signed certificate, use
    `cafile` instead.
    """

    tls_schemes = frozenset({"amqps"})
    # The names in the client, and those in aio-pika and the `ssl` module.
    tls_options = (
        *("tls*", "ssl*", "context", "cafile", "capath", "cadata", "ca_certs", "certfile", "keyfile", "cert_reqs"),
        *("no_verify_ssl", "verify*", "check_hostname", "server_hostname"),
    )

    def __init__(self, address: Address, options: DeliveryOptions, client_options: Mapping[str, Any]) -> None:
        super().__init__(address, options, client_options)
        if len(address.urls) > 1:
            raise ValueError(
                f"a bridge to RabbitMQ needs one address, not {len(address.urls)}: for a cluster, use a host name that"
                " resolves to all nodes"
            )
        self._url, self._url_options, self._ssl_context = parse_options(address, client_options)

    async def connect(self) -> None:
        """Connect, and create the exchanges if they do not exist."""
        self._is_closing = False
        self._connections: list[RabbitmqConnection] = []
        self._tasks = []
        self._session: Session | None = None
        self.process_id = uuid.uuid4().hex  # the application id in messages, by which a process recognises its own
        self.handled = RecentMessages(self.options.dedup_window)
        self._dead = f"{self.options.prefix}-dead"
        # Publishing
        self._publishing: RabbitmqConnection | None = None
        self._channel: Any = None
        self._numbers = count()
        self._in_flight = 0
        self._waiting: list[tuple[int, asyncio.Future[AbstractChannel]]] = []  # a heap of callers waiting for a channel
        self._one_by_one = asyncio.Lock()
        while True:
            try:
                channel = await self._open_publisher()
                break
            except FINAL as error:
                self.last_error = error
                if isinstance(error, exceptions.InvalidFrameError):  # the broker closed it instead of opening it
                    self.last_error = ConnectionError("the virtual host does not exist, or the user may not use it")
                raise ConnectionError(self.error_text(self.last_error)) from None
            except FAILURES as error:
                self.last_error = error
                if is_untrusted(error):
                    raise ConnectionError(self.error_text(error)) from None
                await asyncio.sleep(0.1)
        self.last_error = None
        self._start(self._keep_publishing(channel))

    async def _open_connection(self, purpose: str) -> RabbitmqConnection:
        # The broker closes a connection if it receives nothing for two heartbeats.
        heartbeat = max(1, round(self.options.ack_wait / 2))
        defaults = {"heartbeat": str(heartbeat), "name": f"cyevents {purpose}"}
        url = self._url.with_query({**defaults, **self._url_options})
        connection = RabbitmqConnection(self, url, self._ssl_context)
        self._connections = [each for each in self._connections if not each.is_closed]
        self._connections.append(connection)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                await unless_lost(connection.connect())
        except BaseException:
            await connection.end()
            raise
        return connection

    # Exchanges and queues

    async def declare(self, connection: RabbitmqConnection, what: str, name: str, **options: Any) -> None:
        """Create an exchange or a queue. If that is refused, use the existing one, whatever its options."""
        refused: Exception | None = None
        for is_passive in (False, True):
            channel = await unless_lost(connection.channel(publisher_confirms=False))
            try:
                await unless_lost(getattr(channel, f"{what}_declare")(name, passive=is_passive, **options))
            except (exceptions.ChannelAccessRefused, exceptions.ChannelPreconditionFailed) as error:
                if is_passive:
                    raise
                refused = error
            except exceptions.ChannelNotFoundEntity:
                if isinstance(refused, exceptions.ChannelAccessRefused):  # this is why it does not exist
                    raise refused from None
                raise
            else:
                await close_channel(channel)
                return

    async def _declare_exchanges(self, connection: RabbitmqConnection) -> None:
        for name in (self.options.prefix, self._dead):
            await self.declare(connection, "exchange", name, exchange_type="topic", durable=True)
        await self.declare(connection, "queue", self._dead, durable=True, arguments=self.retention_arguments())
        await self.bind(connection, self._dead, self._dead, ["#"])

    async def bind(self, connection: RabbitmqConnection, queue: str, exchange: str, keys: list[str]) -> None:
        """Bind a queue to an exchange, for messages with these routing keys."""
        channel = await unless_lost(connection.channel(publisher_confirms=False))
        for key in keys:
            await unless_lost(channel.queue_bind(queue, exchange, key))
        await close_channel(channel)

    def retention_arguments(self) -> dict[str, Any]:
        """Return the arguments of a queue that keeps messages for the bridge's `retention`."""
        milliseconds = round(self.options.retention * 1000)
        return {"x-message-ttl": milliseconds} if milliseconds <= _LONGEST_TTL else {}

    # Publishing

    async def _open_publisher(self) -> AbstractChannel:
        if self._publishing is None or self._publishing.is_closed:
            self._publishing = await self._open_connection("publishes")
        await self._declare_exchanges(self._publishing)
        channel: AbstractChannel = await unless_lost(self._publishing.channel())
        return channel

    async def _keep_publishing(self, channel: AbstractChannel | None) -> None:
        """Open a channel whenever there is none, and give it to waiting callers in the order of their numbers."""
        while True:
            if channel is None:
                try:
                    channel = await self._open_publisher()
                except FAILURES as error:
                    logger.debug("publishing to %s: %s", self.safe_address, self.error_text(error))
                    await asyncio.sleep(_RETRY_DELAY)
                    continue
            while self._in_flight:  # messages of the last channel have failed, and will soon wait for this one
                await asyncio.sleep(0.001)
            while self._waiting and not channel.is_closed:
                _, turn = heappop(self._waiting)
                if not turn.done():
                    turn.set_result(channel)
                if not self._waiting:  # let these publish first, since others may begin to wait meanwhile
                    await asyncio.sleep(0)
            self._channel = channel
            await asyncio.wait([channel.closing])
            self._channel = channel = None

    async def _get_channel(self, number: int) -> Any:
        """Return the channel as soon as there is one and callers with lower numbers have it."""
        if self._channel is not None and not self._channel.is_closed:
            return self._channel
        turn: asyncio.Future[AbstractChannel] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (number, turn))
        return await turn

    async def publish(self, publication: Publication) -> None:
        """Publish a message. All are confirmed, which costs little and shows which ones the broker refused."""
        mode = _PERSISTENT if self.options.at_least_once else _TRANSIENT
        properties = Basic.Properties(message_id=publication.id, delivery_mode=mode, app_id=self.process_id)
        key = subject_of(publication.event)
        await self._send(self.options.prefix, key, publication.body, properties, self.options.at_least_once)

    async def _send(
        self, exchange: str, key: str, body: bytes, properties: Basic.Properties, is_retried: bool = True
    ) -> None:
        """Publish until the broker has confirmed the message, or only once if it is not retried.

        Without an exchange, the routing key is the name of a queue, which must exist.
        """
        options: dict[str, Any] = {
            "exchange": exchange,
            "routing_key": key,
            "properties": properties,
            "mandatory": not exchange,
        }
        number = next(self._numbers)
        is_suspect = False
        while True:
            channel = await self._get_channel(number)
            if is_suspect:
                if await self._send_alone(body, options):
                    return
                await asyncio.sleep(0.05)
                continue
            self._in_flight += 1
            try:
                await unless_lost(channel.basic_publish(body, wait=False, **options))
                return
            except exceptions.ChannelInvalidStateError:  # the message was not sent
                continue
            except exceptions.DeliveryError as error:  # a queue is full or does not exist
                raise (Unavailable if is_retried else Rejected)(self.error_text(error)) from error
            except FAILURES as error:
                if not is_retried:  # the message may have arrived
                    raise Rejected(f"the connection broke before the answer: {self.error_text(error)}") from error
                # If the broker refuses a message, it closes the channel without naming the message, and then the
                # connection, because the client keeps writing to that channel. So each message is tried alone.
                is_suspect = isinstance(error, exceptions.AMQPChannelError | exceptions.ConnectionChannelError)
            finally:
                self._in_flight -= 1

    async def _send_alone(self, body: bytes, options: dict[str, Any]) -> bool:
        """Publish on a channel of its own. Return whether the broker has confirmed the message."""
        async with self._one_by_one:
            try:
                if self._publishing is None or self._publishing.is_closed:
                    return False
                channel = await unless_lost(self._publishing.channel())
                await unless_lost(channel.basic_publish(body, **options))
                await close_channel(channel)
                return True
            except exceptions.ChannelNotFoundEntity:  # the exchange is missing, and is created with the next channel
                return False
            except exceptions.DeliveryError as error:
                raise Unavailable(self.error_text(error)) from error
            except exceptions.AMQPChannelError as error:
                raise Rejected(self.error_text(error)) from error
            except FAILURES:
                return False

    # Receiving

    async def listen(self, receive: _Receive) -> None:
        """Start to receive messages."""
        self._session = None
        while self._session is None:
            try:
                self._session = await self._open_session()
            except exceptions.ChannelNotFoundEntity:  # the group's last process just left, which deleted the queue
                continue
            except (exceptions.AMQPError, exceptions.ChannelInvalidStateError) as error:
                raise ConnectionError(self.error_text(error)) from None
        self._start(self._keep_receiving(receive))

    async def _keep_receiving(self, receive: _Receive) -> None:
        """Receive, and open a new session whenever one has ended."""
        while not self._is_closing:
            if self._session is not None:
                await self._receive_until_lost(self._session, receive)
                await self._session.close()
                self._session = None
            try:
                self._session = await self._open_session()
            except FAILURES as error:
                logger.debug("receiving from %s: %s", self.safe_address, self.error_text(error))
                await asyncio.sleep(_RETRY_DELAY)

    async def _receive_until_lost(self, session: Session, receive: _Receive) -> None:
        try:
            await session.run(receive)
            reason = session.reason
        except FAILURES as error:
            reason = session.reason or self.error_text(error)
        except Exception as error:  # a message must not end the bridge, even if this code has a bug
            log_exception(logger, logging.ERROR, f"receiving from {self.safe_address} failed, connecting again", error)
            await asyncio.sleep(_RETRY_DELAY)
            return
        logger.warning("receiving from %s stopped, connecting again: %s", self.safe_address, reason)

    async def _open_session(self) -> Session:
        """Create the queues if they do not exist, and consume them."""
        connection = await self._open_connection("receives")
        session = (AtLeastOnceSession if self.options.at_least_once else AtMostOnceSession)(self, connection)
        try:
            await self._declare_exchanges(connection)
            await session.open()
        except BaseException:
            await session.close()
            raise
        return session

    async def dead_letter(self, key: str, body: bytes, message_id: str | None, about: Mapping[str, str]) -> bool:
        """Move a message to the dead letters. Return whether the broker has confirmed it."""
        headers: dict[str, Any] = {f"Cyevents-{name}": value for name, value in about.items()}
        return await self.put(self._dead, key, body, message_id, headers)

    async def put(self, exchange: str, key: str, body: bytes, message_id: str | None, headers: dict[str, Any]) -> bool:
        """Publish a copy of a received message, however long that takes. Return whether the broker has it."""
        properties = Basic.Properties(message_id=message_id, delivery_mode=_PERSISTENT, headers=headers)
        while True:
            try:
                async with asyncio.timeout(2 if self._is_closing else None):
                    await self._send(exchange, key, body, properties)
                return True
            except Unavailable as error:
                logger.debug("copying a message at %s: %s", self.safe_address, self.error_text(error))
                await asyncio.sleep(_RETRY_DELAY)
            except TimeoutError:  # the bridge is being left, so the broker will deliver the original again
                return False
            except Rejected as error:
                logger.error("%s did not accept the copy of a message: %s", self.safe_address, self.error_text(error))
                return False

    async def close(self) -> None:
        """Stop receiving, and disconnect."""
        if not hasattr(self, "_connections"):
            return
        self._is_closing = True
        try:
            await cancel_all(self._tasks[1:])
            if self._session is not None:
                try:
                    with suppress(*FAILURES):
                        async with asyncio.timeout(_LEAVE_TIMEOUT):
                            await self._session.leave()
                finally:
                    await self._session.close()
        finally:
            await cancel_all(self._tasks[:1])
            for connection in self._connections:
                await connection.end()
