"""The client of Redis, redis-py: the options that the bridge allows, and a connection that pipelines commands.

`Pipeline` uses a connection of redis-py directly, and not redis-py's own pipeline. That one raises a single error if
the connection breaks, and does not say which commands had been answered: a message that is published at most once would
be given up although the broker has confirmed it. It also takes a connection from the pool for each batch.

`CONNECTION_NAMES` and `PRIVATE_NAMES` list what is used of redis-py's connections beyond its documented interface. Each
has a test in `tests/test_redis_client.py`. The bounds of the requirement are the versions that were tested.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

try:
    import redis.asyncio
    from redis import exceptions as exceptions
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
except ImportError as error:
    raise ImportError('a bridge to Redis needs its client: pip install "cyevents-bridge[redis]"') from error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .engine import Address

# Names of a connection that are public, in a layer of redis-py that has no documentation.
CONNECTION_NAMES = ("connect", "disconnect", "is_connected", "pack_command", "read_response", "send_packed_command")

# `_writer` is the connection's `asyncio.StreamWriter`. redis-py closes it, but has nothing to abort it. With a broker
# that does not read, closing never ends: the socket stays open, and what is buffered is still sent if the broker comes
# back, after the bridge has published it again.
PRIVATE_NAMES = ("_writer",)

FAILURES = (exceptions.RedisError, OSError, TimeoutError)
_CLOSE_TIMEOUT = 2.0  # seconds
# The bridge depends on the values of these: it reads replies as bytes, in the shapes of RESP2, and retries by itself.
_FIXED_OPTIONS = frozenset(
    {
        "connection_class",
        "decode_responses",
        "encoder_class",
        "encoding",
        "encoding_errors",
        "parser_class",
        "protocol",
        "retry",
        "ssl",
    }
)


def check_options(address: Address, options: Mapping[str, Any]) -> None:
    """Check what can be checked before there is a connection.

    Raises:
        ValueError: if there is more than one address, or an option that only the bridge may set.
    """
    if len(address.urls) > 1:
        raise ValueError(f"a bridge to Redis has one address, not {len(address.urls)}: {address.safe}")
    for name in (*options, *address.query):
        if name in _FIXED_OPTIONS:
            raise ValueError(f"{name!r} is set by the bridge; TLS is asked for by an address with rediss://")
    try:
        make_client(address, options).connection_pool.make_connection()
    except TypeError as error:
        raise TypeError(f"an option that redis-py does not know, or takes otherwise: {error}") from None


def make_client(address: Address, options: Mapping[str, Any]) -> Any:
    """Return a client that is not connected yet. Options in the address's query take precedence."""
    settings: dict[str, Any] = {
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "health_check_interval": 15,
        "client_name": "cyevents",
        "protocol": 2,
        **options,
        "retry": Retry(NoBackoff(), 0),  # a publisher at most once must be told of the first error
    }
    if address.scheme == "rediss" and not {"ssl_check_hostname", "ssl_cert_reqs"} & {*options, *address.query}:
        settings["ssl_check_hostname"] = True  # older versions do not check it
    return redis.asyncio.Redis.from_url(address.urls[0], **settings)


def final_error(error: BaseException | None) -> Exception | None:
    """Return why another attempt to connect would not help: a wrong password, or an untrusted certificate.

    The client raises an error of its own for a certificate. Some versions leave the reason out of its text.
    """
    while error is not None:
        if isinstance(error, (exceptions.AuthenticationError, exceptions.ResponseError, ssl.SSLCertVerificationError)):
            return error
        error = error.__cause__ or error.__context__
    return None


class Pipeline:
    """A connection that sends several commands together and reads their replies in the same order.

    Args:
        pool: the client's connection pool, which makes the connection and does not count it.
        scripts: Lua scripts that the broker must know.
    """

    def __init__(self, pool: Any, scripts: Sequence[str]) -> None:
        self._connection = pool.make_connection()
        self._scripts = scripts
        self._writer: asyncio.StreamWriter | None = None
        self.needs_scripts = False  # whether the broker may have forgotten the scripts
        self.id: int | None = None  # of the connection, at the broker; None if the user may not ask for it

    async def connect(self) -> None:
        """Connect and load the scripts, if that has not been done."""
        if self._connection.is_connected and not self.needs_scripts:
            return
        if not self._connection.is_connected:
            self._abort()
        try:
            await self._connection.connect()
            self._writer = self._connection._writer
            await self.send([self.pack("CLIENT", "ID")])
            reply = await self.read()
            self.id = reply if isinstance(reply, int) else None
            await self.send([self.pack("SCRIPT", "LOAD", script) for script in self._scripts])
            for reply in [await self.read() for _ in self._scripts]:
                if isinstance(reply, Exception):
                    raise reply
            self.needs_scripts = False
        except BaseException:
            await self.disconnect()
            raise

    def pack(self, *parts: Any) -> list[bytes]:
        """Return a command as it is sent."""
        packed: list[bytes] = self._connection.pack_command(*parts)
        return packed

    async def send(self, commands: Iterable[list[bytes]]) -> None:
        """Send packed commands."""
        await self._connection.send_packed_command([*chain.from_iterable(commands)])

    async def read(self) -> Any:
        """Return the next reply. An error that the broker replies with is returned, not raised."""
        try:
            return await self._connection.read_response()
        except exceptions.ResponseError as error:
            return error
        except exceptions.BusyLoadingError as error:
            await self.disconnect()
            raise exceptions.ConnectionError(str(error)) from error

    async def disconnect(self) -> None:
        """Disconnect. It may be called at any time."""
        with suppress(*FAILURES):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._connection.disconnect()
        self._abort()

    def _abort(self) -> None:
        """Close a socket that the client has begun to close, without waiting until everything is sent."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None
