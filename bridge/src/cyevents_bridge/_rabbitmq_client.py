"""The RabbitMQ client, aiormq: its options, connections that can be ended, and calls that report what failed.

Everything that goes beyond the client's documented calls is here:

- `Connection` is used as a base class. Its attribute `FRAME_BUFFER_SIZE` is the size of the queue between publishers
  and the task that writes. With the default of 10, they take turns every few frames, and one system call sends fewer
  frames. There is no argument for it.
- The argument `transport_factory` is an object whose `create(url, ssl_context_provider=...)` returns a stream's reader
  and writer. Without it, frames could not be inspected before the client decodes them (see `_rabbitmq_frames`), each
  frame would need a system call, a hanging connection could not be ended, and the client would log an error for each
  attempt to connect.
- `unless_lost` lists the exceptions with which the client gives up a connection. Otherwise they would look like a
  cancellation of the caller, or like an unknown error.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ._text import quoted
from .engine import check_cancelled, is_untrusted, logger, times_cancelled

try:
    from aiormq import Connection, TransportFactory, exceptions
    from yarl import URL

    from ._rabbitmq_frames import FrameReader
except ImportError as error:
    raise ImportError('a bridge to RabbitMQ needs its client: run pip install "cyevents-bridge[rabbitmq]"') from error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiormq import SSLContextProvider
    from aiormq.abc import AbstractChannel, DeliveredMessage

    from .engine import Address, Engine

_CLOSE_TIMEOUT = 2.0  # seconds to wait until the broker confirms that a connection or a channel is closed
FAILURES = (exceptions.AMQPError, exceptions.ChannelInvalidStateError, OSError, TimeoutError)
FINAL = (  # when connecting: a wrong password, a missing virtual host, an exchange that the user may not create
    exceptions.ProbableAuthenticationError,
    exceptions.InvalidFrameError,
    exceptions.ConnectionClosed,
    exceptions.AMQPChannelError,
)
_CREDENTIALS = frozenset({"user", "password"})
_TLS = frozenset({"cafile", "capath", "cadata", "certfile", "keyfile", "no_verify_ssl"})
_NUMBERS = frozenset({"heartbeat", "timeout"})
_OPTIONS = _CREDENTIALS | _TLS | _NUMBERS | {"auth", "name", "tls"}
_BOOLEANS = {"true": "1", "1": "1", "false": "0", "0": "0"}


def parse_options(
    address: Address, client_options: Mapping[str, Any]
) -> tuple[URL, dict[str, str], ssl.SSLContext | None]:
    """Return the URL without a query, the client's options for that query, and the `SSLContext` if given.

    Raises:
        TypeError: if there is no such option, or its value has a wrong type.
        ValueError: if the address has no host or an unknown option, or an option has an impossible value.
    """
    for name in address.query:
        if name not in _OPTIONS - {"tls"}:
            raise ValueError(f"the query of the RabbitMQ address has {quoted(name)}, {_known_options()}")
    for name in client_options:
        if name not in _OPTIONS:
            raise TypeError(f"a bridge to RabbitMQ got {quoted(name)}, {_known_options()}")
    options = {**address.query, **client_options}
    context = options.pop("tls", None)
    if context is not None and not isinstance(context, ssl.SSLContext):
        raise TypeError(f"tls must be an ssl.SSLContext, not {type(context).__name__}")
    if context is not None and (others := sorted(_TLS & options.keys())):
        raise ValueError(f"tls contains the whole TLS configuration: remove {', '.join(others)}")
    try:
        url = URL(address.urls[0]).with_query(None)
    except ValueError:
        url = URL()
    if not url.host:
        raise ValueError(f"{address.safe} has no host: use amqp://host:port/virtual-host")
    for name in sorted(_CREDENTIALS & options.keys(), reverse=True):  # setting the user removes the password
        value = options.pop(name)
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a str, not {type(value).__name__}")
        url = url.with_user(value) if name == "user" else url.with_password(value)
    return url, {name: _option_text(name, value) for name, value in options.items()}, context


def _known_options() -> str:
    return f"which is not an option: use {', '.join(sorted(_OPTIONS))}"


def _option_text(name: str, value: object) -> str:
    """Return the value as the client reads it from a query. It would read every invalid number as 0."""
    if name == "no_verify_ssl":  # the client would read everything except "0" as true
        text = _BOOLEANS.get(str(value).lower())
        if text is None:
            raise ValueError(f"no_verify_ssl must be True or False, not {quoted(value)}")
        return text
    if name in _NUMBERS and not (str(value).isascii() and str(value).isdigit()):
        raise ValueError(f"{name} must be a whole number of seconds, not {quoted(value)}")
    if name not in _NUMBERS and not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    return str(value)


class _Lost(ConnectionError):
    """The client gave up a connection."""


class RabbitmqConnection(Connection):
    """A connection that writes everything in the same turn of the loop in which it was published."""

    FRAME_BUFFER_SIZE = 1000

    def __init__(self, engine: Engine, url: URL, context: ssl.SSLContext | None) -> None:
        self._connector = _Connector(engine)
        super().__init__(url, context=context, transport_factory=self._connector)

    async def end(self) -> None:
        """Close the connection. If the broker does not answer, abort it, because the client would wait for ever."""
        abort = asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT, self._connector.abort)
        with suppress(*FAILURES):
            await unless_lost(self.close())
        abort.cancel()


class _BatchingWriter(asyncio.StreamWriter):
    """A stream writer that sends everything written in one turn of the loop with one system call."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._parts: list[bytes] = []

    def write(self, data: Any) -> None:
        if not self._parts:
            asyncio.get_running_loop().call_soon(self._flush)
        self._parts.append(data)

    def _flush(self) -> None:
        if self._parts:
            super().write(b"".join(self._parts))
            self._parts = []

    async def drain(self) -> None:
        self._flush()
        await super().drain()

    def write_eof(self) -> None:
        self._flush()
        super().write_eof()

    def close(self) -> None:
        self._flush()
        super().close()


class _Connector(TransportFactory):
    """Connects, and retries until a server answers."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._transport: asyncio.Transport | None = None

    def abort(self) -> None:
        """Break the connection."""
        if self._transport is not None:
            self._transport.abort()

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a stream to a server. Only the scheme decides about TLS."""
        provider: SSLContextProvider = kwargs["ssl_context_provider"]
        context = await provider.get_context() if url.scheme == "amqps" else None
        delay = 0.05
        while True:
            try:
                return await self._open(url, context)
            except OSError as error:
                self._engine.last_error = error
                logger.debug("connecting to %s: %s", self._engine.safe_address, self._engine.error_text(error))
                if is_untrusted(error):
                    raise
            await asyncio.sleep(delay)
            delay = min(delay * 2, 1.0)

    async def _open(
        self, url: URL, context: ssl.SSLContext | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        loop = asyncio.get_running_loop()
        reader = FrameReader(loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        self._transport, _ = await loop.create_connection(lambda: protocol, url.host or "", url.port or 0, ssl=context)
        return reader, _BatchingWriter(self._transport, protocol, reader, loop)


async def unless_lost(awaitable: Awaitable[Any]) -> Any:
    """Return the result of a client's call. Raise a `ConnectionError` if the connection was lost meanwhile.

    When the client gives up a connection, it cancels all callers that wait for an answer. If the broker closed the
    connection between two frames or before a call, it raises a bare `Exception`, `RuntimeError` or
    `StopAsyncIteration`.
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


async def shielded(awaitable: Awaitable[Any]) -> Any:
    """Like `unless_lost`, but shield the call from cancellation, at which the client would close its channel."""
    return await unless_lost(asyncio.shield(awaitable))


async def consume(
    channel: AbstractChannel, queue: str, prefetch: int, arrived: Callable[[DeliveredMessage], Any]
) -> str:
    """Consume a queue with at most `prefetch` unacknowledged messages. Return the consumer's tag."""
    await unless_lost(channel.basic_qos(prefetch_count=prefetch))
    made = await unless_lost(channel.basic_consume(queue, arrived))
    return made.consumer_tag or ""


async def acknowledge(channel: AbstractChannel, tag: int, multiple: bool = False) -> None:
    """Acknowledge a message, or all messages up to it. If the connection is lost, the broker delivers them again."""
    with suppress(*FAILURES):
        await unless_lost(channel.basic_ack(tag, multiple=multiple, wait=False))


async def round_trip(channel: AbstractChannel) -> None:
    """Wait until the broker has read everything sent on a channel, and everything that it sent has arrived."""
    await shielded(channel.basic_qos(prefetch_count=1))  # this has no effect, because it applies to later consumers


async def close_channel(channel: AbstractChannel) -> None:
    """Close a channel if it is open. Wait for the answer only for a short time."""
    with suppress(*FAILURES):
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await unless_lost(channel.close())
