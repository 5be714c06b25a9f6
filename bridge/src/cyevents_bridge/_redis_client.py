"""The Redis client, redis-py: the options that the bridge allows, and a connection that pipelines commands.

`Pipeline` uses a redis-py connection directly instead of redis-py's own pipeline. If the connection breaks, that
pipeline raises a single error and does not report which commands were answered, so the bridge would give up a message
sent at most once although the broker has confirmed it. It also takes a connection from the pool for each batch.

`CONNECTION_NAMES` and `PRIVATE_NAMES` list the undocumented parts of redis-py's connections that the bridge uses. Each
has a test in `tests/test_redis_client.py`. The requirement allows only versions that were tested.
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
    raise ImportError('a bridge to Redis needs its client: run pip install "cyevents-bridge[redis]"') from error

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .engine import Address

# Public names of a connection, which is in a layer of redis-py without documentation.
CONNECTION_NAMES = ("connect", "disconnect", "is_connected", "pack_command", "read_response", "send_packed_command")

# `_writer` is the connection's `asyncio.StreamWriter`. redis-py can close it, but not abort it. If the broker does not
# read, closing never ends: the socket stays open, and when the broker comes back, the buffered commands are still sent,
# after the bridge has published their messages again.
PRIVATE_NAMES = ("_writer",)

FAILURES = (exceptions.RedisError, OSError, TimeoutError)
_CLOSE_TIMEOUT = 2.0  # seconds
# The bridge depends on the values of these options: it reads replies as bytes in RESP2 form, and retries by itself.
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
    """Check everything that can be checked without a connection.

    Raises:
        ValueError: if there is more than one address, or an option that only the bridge may set.
    """
    if len(address.urls) > 1:
        raise ValueError(f"a bridge to Redis needs one address, not {len(address.urls)}: {address.safe}")
    for name in (*options, *address.query):
        if name in _FIXED_OPTIONS:
            raise ValueError(f"remove the option {name!r}, which the bridge sets itself; for TLS, use rediss://")
    try:
        make_client(address, options).connection_pool.make_connection()
    except TypeError as error:
        raise TypeError(f"redis-py does not accept the options: {error}") from None


def make_client(address: Address, options: Mapping[str, Any]) -> Any:
    """Return a client that is not connected yet. Options in the address's query take precedence."""
    settings: dict[str, Any] = {
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "health_check_interval": 15,
        "client_name": "cyevents",
        "protocol": 2,
        **options,
        "retry": Retry(NoBackoff(), 0),  # publishing at most once must stop at the first error
    }
    if address.scheme == "rediss" and not {"ssl_check_hostname", "ssl_cert_reqs"} & {*options, *address.query}:
        settings["ssl_check_hostname"] = True  # older versions do not check the host name by default
    return redis.asyncio.Redis.from_url(address.urls[0], **settings)


def final_error(error: BaseException | None) -> Exception | None:
    """Return the error that makes further attempts useless, such as a wrong password or an untrusted certificate.

    For a certificate, the client raises its own error, and some versions omit the reason in its text.
    """
    while error is not None:
        if isinstance(error, (exceptions.AuthenticationError, exceptions.ResponseError, ssl.SSLCertVerificationError)):
            return error
        error = error.__cause__ or error.__context__
    return None


class Pipeline:
    """A connection that sends several commands together and reads their replies in the same order.

    Args:
        pool: the client's connection pool, which creates the connection but does not count it.
        scripts: Lua scripts to load into the broker.
    """

    def __init__(self, pool: Any, scripts: Sequence[str]) -> None:
        self._connection = pool.make_connection()
        self._scripts = scripts
        self._writer: asyncio.StreamWriter | None = None
        self.needs_scripts = False  # whether the broker may have forgotten the scripts
        self.id: int | None = None  # the connection's id at the broker; None if the user may not ask for it

    async def connect(self) -> None:
        """Connect and load the scripts, if necessary."""
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
        """Return a command in the form in which it is sent."""
        packed: list[bytes] = self._connection.pack_command(*parts)
        return packed

    async def send(self, commands: Iterable[list[bytes]]) -> None:
        """Send packed commands."""
        await self._connection.send_packed_command([*chain.from_iterable(commands)])

    async def read(self) -> Any:
        """Return the next reply. If the broker replies with an error, return it instead of raising it."""
        try:
            return await self._connection.read_response()
        except exceptions.ResponseError as error:
            return error
        except exceptions.BusyLoadingError as error:
            await self.disconnect()
            raise exceptions.ConnectionError(str(error)) from error

    async def disconnect(self) -> None:
        """Disconnect. May be called at any time."""
        with suppress(*FAILURES):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._connection.disconnect()
        self._abort()

    def _abort(self) -> None:
        """Close the socket without waiting until everything is sent. The client has already begun to close it."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None
