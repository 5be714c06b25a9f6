"""The client of RabbitMQ: what its errors mean, connections that come to an end, and calls that tell what broke."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from .engine import check_cancelled, is_untrusted, times_cancelled, logger

try:
    from aiormq import exceptions
    from aiormq.connection import Connection, TCPTransportFactory, TLSTransportFactory, TransportFactory
except ImportError as error:
    raise ImportError('a bridge to RabbitMQ needs its client: pip install "cyevents-bridge[rabbitmq]"') from error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiormq.abc import AbstractChannel, DeliveredMessage
    from yarl import URL

    from .engine import Engine

_PARTING = 2.0  # seconds for which the broker may take to say goodbye
FAILURES = (exceptions.AMQPError, exceptions.ChannelInvalidStateError, OSError, TimeoutError)
FINAL = (  # of connecting: a wrong password; no such virtual host; an exchange that may not be made
    exceptions.ProbableAuthenticationError,
    exceptions.InvalidFrameError,
    exceptions.ConnectionClosed,
    exceptions.AMQPChannelError,
)


class _Lost(ConnectionError):
    """The client has given up a connection."""


class RabbitmqConnection(Connection):
    """Lets all be written that there is to write, in each turn of the loop."""

    FRAME_BUFFER_SIZE = 1000

    def __init__(self, engine: Engine, url: URL, context: Any) -> None:
        self._connector = _Connector(engine)
        super().__init__(url, context=context, transport_factory=self._connector)

    async def end(self) -> None:
        """Close it: by force, where the broker reads no more, as the client would wait for that without an end."""
        abort = asyncio.get_running_loop().call_later(_PARTING, self._connector.abort)
        with suppress(*FAILURES):
            await unless_lost(self.close())
        abort.cancel()


class _Turns:
    """A stream's writer that sends what is written in one turn of the loop as one."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> None:
        if not self._parts:
            asyncio.get_running_loop().call_soon(self._flush)
        self._parts.append(data)

    def _flush(self) -> None:
        if self._parts:
            self._writer.write(b"".join(self._parts))
            self._parts = []

    async def drain(self) -> None:
        self._flush()
        await self._writer.drain()

    def write_eof(self) -> None:
        self._flush()
        self._writer.write_eof()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)


class _Connector(TransportFactory):
    """Connects as soon as somebody answers: the client would write an error to the log each time that nobody does."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer: asyncio.StreamWriter | None = None

    def abort(self) -> None:
        """Have the connection be lost."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, Any]:
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        delay = 0.05
        while True:
            try:
                reader, self._writer = await factory.create(url, **kwargs)
                return reader, _Turns(self._writer)
            except OSError as error:
                self._engine.last_error = error
                logger.debug("connecting to %s: %s: %s", self._engine.safe_address, type(error).__name__, error)
                if is_untrusted(error):
                    raise
            await asyncio.sleep(delay)
            delay = min(delay * 2, 1.0)


async def unless_lost(awaitable: Awaitable[Any]) -> Any:
    """What the client returns. It has whoever waits for a connection that it gives up be cancelled.

    Or it raises what says nothing, where the broker has closed the line between two frames, or before a call.
    """
    try:
        return await check_cancelled(awaitable)
    except asyncio.CancelledError as error:
        if times_cancelled():
            raise
        raise _Lost("the connection was given up") from error
    except Exception as error:
        if type(error) not in (Exception, RuntimeError, StopAsyncIteration):
            raise
        raise _Lost("the connection was given up") from error


async def whole(awaitable: Awaitable[Any]) -> Any:
    """What the client returns. It closes a channel on which a call is cancelled."""
    return await unless_lost(asyncio.shield(awaitable))


async def consume(
    channel: AbstractChannel, queue: str, prefetch: int, arrived: Callable[[DeliveredMessage], Any]
) -> str:
    """Have messages of a queue delivered, so many before one of them is acknowledged; return the consumer's tag."""
    await unless_lost(channel.basic_qos(prefetch_count=prefetch))
    made = await unless_lost(channel.basic_consume(queue, arrived))
    return made.consumer_tag or ""


async def acknowledge(channel: AbstractChannel, tag: int, multiple: bool = False) -> None:
    """Let the broker forget a message, or all up to that."""
    with suppress(*FAILURES):  # then it comes again
        await unless_lost(channel.basic_ack(tag, multiple=multiple, wait=False))


async def barrier(channel: AbstractChannel) -> None:
    """Wait until the broker has got all that was sent by a channel, and all has arrived that it had sent by then."""
    await whole(channel.basic_qos(prefetch_count=1))  # which is for consumers to come


async def close_channel(channel: AbstractChannel) -> None:
    """Close a channel, if that is not so: the client may wait for long."""
    with suppress(*FAILURES):
        async with asyncio.timeout(_PARTING):
            await unless_lost(channel.close())
