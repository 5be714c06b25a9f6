"""The engine for Redis, from 6.2 on: its streams at least once, its publish and subscribe at most once.

All keys of a prefix have one hash tag, as for one shard of a cluster:

- `{prefix}:events`: the stream that keeps messages. A group is a consumer group of it, its processes the consumers. A
  process without a group reads it by itself, and leaves nothing in the broker.
- `{prefix}:once`: the stream by which a group gets messages at most once; it is there as long as there is such a group.
- `{prefix}:id:...`: the ids of messages, for as long as the broker knows them.
- `{prefix}:dead`: the stream of dead letters.

Redis has no "deliver this again later". A message that waits for that is passed on to a consumer that nobody is, named
by the delay, such as `later-1000`: whatever has been with that one for so long is claimed by whoever looks first.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import uuid
from collections import deque
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count, islice
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from .engine import Delivery, Engine, Publication, Rejected, Unavailable, cancel_all, is_untrusted, subject_of, subjects_of, logger

try:
    import redis.asyncio
    from redis import exceptions
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
except ImportError as error:
    raise ImportError('a bridge to Redis needs its client: pip install "cyevents-bridge[redis]"') from error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

_POLL = 1.0  # seconds after which a process looks for messages to be delivered again, at the latest
_PAUSE = 0.1  # seconds between two attempts to connect
_BATCH = 128  # commands that go out together
_FAILURES = (exceptions.RedisError, OSError, TimeoutError)
_PASSING = (exceptions.ClusterDownError, exceptions.NoScriptError, exceptions.ReadOnlyError, exceptions.TryAgainError)
_PASSING_TEXT = re.compile("OOM |out of memory|maxmemory|READONLY|MISCONF|NOREPLICAS|MASTERDOWN|BUSY|TRYAGAIN")

# Publish: keys events, once, id; given the window, what is kept, the channel, the event, the body, and whether to keep.
_PUBLISH = """
if ARGV[6] == '1' and not redis.call('SET', KEYS[3], '', 'NX', 'PX', ARGV[1]) then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function add(key, keep, ...)
    local least = string.format('%.0f', math.max(0, now - keep))
    local command = {'XADD', key, 'MINID', '~', least, '*', 'event', ARGV[4], 'body', ARGV[5]}
    if ... then table.insert(command, 3, ...) end
    redis.call(unpack(command))
end
if ARGV[6] == '1' then add(KEYS[1], ARGV[2]) else add(KEYS[1], ARGV[2], 'NOMKSTREAM') end
add(KEYS[2], 60000, 'NOMKSTREAM')
redis.call('PUBLISH', ARGV[3], ARGV[5])
return 1
"""

# Claim one message whose time has come, of whichever consumer, and forget consumers that are long gone: key events;
# given the group, this consumer, ack_wait. One, so that being claimed with others does not count as an attempt.
_CLAIM = """
for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local about = {}
    for i = 1, #row, 2 do about[row[i]] = row[i + 1] end
    local delay = string.match(about.name, '^later%-(%d+)$')
    if about.pending == 0 then
        if about.name ~= ARGV[2] and not delay and about.idle > 3600000 then
            redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], about.name)
        end
    else
        for _, found in ipairs(redis.call(
            'XPENDING', KEYS[1], ARGV[1], 'IDLE', delay or ARGV[3], '-', '+', 100, about.name
        )) do
            local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, found[1])
            if claimed[1] then return {found[1], claimed[1][2], found[4] + 1} end
            redis.call('XACK', KEYS[1], ARGV[1], found[1])  -- it is kept no more
        end
    end
end
return false
"""

# Pass messages on that are still this consumer's, or have it keep them: key events; given the group, this consumer, to
# whom, and the ids.
_TRANSFER = """
for i = 4, #ARGV do
    if redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])[1] then
        redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, ARGV[i], 'JUSTID')
    end
end
return 1
"""

# Leave a group: key a stream; given the group, this consumer. What it has not begun with is as if never delivered.
_LEAVE = """
for _, found in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1000000, ARGV[2])) do
    redis.call('XCLAIM', KEYS[1], ARGV[1], 'later-0', 0, found[1], 'RETRYCOUNT', found[4] - 1, 'JUSTID')
end
return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
"""

# Add a dead letter, once: keys dead, events; given the group or nothing, the id, what is kept, and the letter.
_DEAD_LETTER = """
local is_pending = ARGV[1] ~= ''
if is_pending and not redis.call('XPENDING', KEYS[2], ARGV[1], ARGV[2], ARGV[2], 1)[1] then return 0 end
local least = string.format('%.0f', math.max(0, redis.call('TIME')[1] * 1000 - ARGV[3]))
redis.call('XADD', KEYS[1], 'MINID', '~', least, '*', unpack(ARGV, 4))
if is_pending then redis.call('XACK', KEYS[2], ARGV[1], ARGV[2]) end
return 1
"""

# Join a group that gets messages at most once: key once; given the group, this consumer. What has come while nobody was
# there is past. Messages are kept for a minute, the whole for five after the last process.
_JOIN = """
redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '$', 'MKSTREAM')
local is_alone = true
for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local about = {}
    for i = 1, #row, 2 do about[row[i]] = row[i + 1] end
    is_alone = is_alone and about.idle > 5000
end
if is_alone then redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], '$') end
redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], ARGV[1], ARGV[2])
return redis.call('EXPIRE', KEYS[1], 300)
"""


class _Command(NamedTuple):
    """A command that waits to be sent, and who waits for its answer."""

    parts: tuple[Any, ...]
    answer: asyncio.Future[Any]
    is_lasting: bool  # whether it is sent again until it is answered


class _Entry(NamedTuple):
    """A message of a stream."""

    id: bytes
    fields: dict[bytes, bytes]
    attempt: int


class RedisEngine(Engine):
    """Connections to Redis: one for all commands, and one on which is waited for messages."""

    tls_schemes = frozenset({"rediss"})
    tls_options = ("ssl", "ssl_*")

    async def connect(self) -> None:
        """Connect."""
        options = self.options
        settings: dict[str, Any] = {
            "socket_timeout": 5,
            "socket_connect_timeout": 5,
            "health_check_interval": 15,
            "client_name": "cyevents",
            **self.client_options,
            "retry": Retry(NoBackoff(), 0),  # who publishes at most once must know of the first error
        }
        self._client = redis.asyncio.Redis.from_url(self.address.urls[0], **settings)
        self._lines: list[_Pipeline] = []
        self._subscription: Any = None
        self._events = f"{{{options.prefix}}}:events"
        self._once = f"{{{options.prefix}}}:once"
        self._dead = f"{{{options.prefix}}}:dead"
        self._me = uuid.uuid4().hex
        self._keep = round(options.retention * 1000)
        self._queue: deque[_Command] = deque()
        self._filled = asyncio.Event()
        self._is_up = asyncio.Event()
        self._is_closing = self._is_over = False
        self._tasks = []
        self._held: list[bytes] = []  # ids of messages that are delivered to this process, and not dealt with
        self._later: list[tuple[float, int, _Entry]] = []  # what a process without a group is to get again, and when
        self._numbers = count()
        self._look = 0.0  # when to look for messages of the group that are to be delivered again
        self._last = b"0-0"  # the newest message that was here
        self._line = _Pipeline(self._client.connection_pool)
        self._lines.append(self._line)
        while True:
            try:
                await self._line.connect()
                self.last_error = None
                break
            except (exceptions.AuthenticationError, exceptions.ResponseError) as error:
                self.last_error = error
                raise ConnectionError(f"{type(error).__name__}: {error}") from error
            except _FAILURES as error:  # the bridge says for how long
                self.last_error = error
                if is_untrusted(error):
                    raise ConnectionError(f"{type(error).__name__}: {error}") from error
                if "certificate verify failed" in str(error):
                    raise ConnectionError(f"{type(error).__name__}: {error}") from error
                logger.debug("connecting to %s: %s: %s", self.safe_address, type(error).__name__, error)
                await asyncio.sleep(0.1)
        self._start(self._write_all())

    # Commands

    def _send(self, *parts: Any, is_lasting: bool = False) -> asyncio.Future[Any]:
        """Send a command, together with others; its answer. After all that were sent before it."""
        answer = asyncio.get_running_loop().create_future()
        self._queue.append(_Command(parts, answer, is_lasting))
        self._filled.set()
        return answer

    async def _write_all(self) -> None:
        """Send commands, until the end."""
        while True:
            try:
                await self._line.connect()
            except _FAILURES as error:
                self._is_up.clear()
                self._give_back(Unavailable(f"{type(error).__name__}: {error}"), len(self._queue))
                await asyncio.sleep(_PAUSE)
                continue
            self._is_up.set()
            if self._is_over:  # the client has swallowed the cancellation
                return
            if not self._queue:
                self._filled.clear()
                await self._filled.wait()
                continue
            left = min(_BATCH, len(self._queue))
            batch = list(islice(self._queue, left))
            try:
                await self._line.send([command.parts for command in batch])
                while left:
                    reply = await self._line.read()
                    command = self._queue.popleft()
                    left -= 1
                    if isinstance(reply, exceptions.NoScriptError):  # the broker has forgotten the scripts
                        self._line.is_stale = True
                        if command.is_lasting:
                            self._queue.append(command)
                            continue
                    elif command.is_lasting and isinstance(reply, Exception):  # which nobody waits for
                        logger.error("%s does not take what became of a message: %s", self.safe_address, reply)
                    _settle(command.answer, reply)
            except _FAILURES as error:
                self._is_up.clear()
                await self._line.disconnect()
                self._give_back(_Lost(f"{type(error).__name__}: {error}"), left)
                # What was not sent, too: it is not to be published before what was.
                self._give_back(Unavailable("the connection broke"), len(self._queue))

    async def ready(self) -> None:
        """Wait until it is connected."""
        await self._is_up.wait()

    def _give_back(self, error: Exception, number: int) -> None:
        """Have the first commands fail, except for those that are sent until they are answered."""
        first = [self._queue.popleft() for _ in range(number)]
        self._queue.extendleft(reversed([command for command in first if command.is_lasting]))
        for command in first:
            if not command.is_lasting:
                _settle(command.answer, error)

    # Publishing

    async def publish(self, publication: Publication) -> None:
        """Publish a message: see `Engine.publish`."""
        options, event = self.options, publication.event
        given = (max(1, round(options.dedup_window * 1000)), self._keep, f"{options.prefix}.{subject_of(event)}", event, publication.body)
        keys = (self._events, self._once, f"{{{options.prefix}}}:id:{publication.id}")
        if not self._is_up.is_set():
            raise Unavailable("not connected")
        try:
            await self._send(*_script(_PUBLISH), 3, *keys, *given, int(options.at_least_once))
        except _Lost as error:
            if not options.at_least_once:  # a second time could be once too often
                raise Rejected(f"the connection broke before the answer: {error}") from error
            raise Unavailable(str(error)) from error
        except exceptions.ResponseError as error:
            if isinstance(error, _PASSING) or _PASSING_TEXT.search(str(error)):
                raise Unavailable(f"{type(error).__name__}: {error}") from error
            raise Rejected(f"{type(error).__name__}: {error}") from error

    # Receiving

    async def listen(self, receive: Callable[[Delivery], Awaitable[None]]) -> None:
        """Receive messages from now on."""
        options = self.options
        try:
            if options.at_least_once:
                await self._find_place()
                if options.group is not None:
                    await self._make_group(b"$")
                    self._start(self._keep_held())
            elif options.group is not None:
                await self._send(*_script(_JOIN), 1, self._once, options.group, self._me)
                self._start(self._keep_once())
            else:
                await self._subscribe()
                self._start(self._hear_all(receive))
                return
        except (*_FAILURES, Unavailable) as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error
        line = _Pipeline(self._client.connection_pool)
        self._lines.append(line)
        self._start(self._read_all(line, receive))

    # - at most once, without a group

    async def _subscribe(self) -> None:
        """Subscribe to what the options names."""
        names = subjects_of(self.options.patterns)
        prefix = self.options.prefix
        escaped = re.sub(r"([*?\[\]\\^])", r"\\\1", prefix)
        self._subscription = self._client.pubsub()
        exact = [f"{prefix}.{name}" for name in names if not name.endswith(">")]
        wide = [f"{escaped}.{name[:-1]}*" for name in names if name.endswith(">")]
        if exact:
            await self._subscription.subscribe(*exact)
        if wide:
            await self._subscription.psubscribe(*wide)
        confirmed = 0
        while confirmed < len(names):
            message = await self._subscription.get_message(timeout=5)
            confirmed += message is not None and message["type"] in ("subscribe", "psubscribe")

    async def _hear_all(self, receive: Callable[[Delivery], Awaitable[None]]) -> None:
        while not self._is_closing:
            try:
                message = await self._subscription.get_message(ignore_subscribe_messages=True, timeout=_POLL)
            except _FAILURES as error:
                logger.debug("listening at %s: %s: %s", self.safe_address, type(error).__name__, error)
                await asyncio.sleep(0.2)
                continue
            if message is not None:
                await receive(_PubSubDelivery(self, message["channel"], message["data"]))

    # - of a stream

    async def _find_place(self) -> None:
        """Note what the newest message is; have the stream, or what is published at most once would not be in it."""
        await self._send("XGROUP", "CREATE", self._events, self._me, "$", "MKSTREAM")
        await self._send("XGROUP", "DESTROY", self._events, self._me)
        newest = await self._send("XREVRANGE", self._events, "+", "-", "COUNT", 1)
        if newest:
            self._last = newest[0][0]

    async def _make_group(self, after: bytes) -> None:
        stream = self._events if self.options.at_least_once else self._once
        with suppress(exceptions.ResponseError):  # it is there
            await self._send("XGROUP", "CREATE", stream, self.options.group, after, "MKSTREAM")

    async def _read_all(self, line: _Pipeline, receive: Callable[[Delivery], Awaitable[None]]) -> None:
        """Read messages, and hand them on one after the other, until the end."""
        while not self._is_closing:
            try:
                entries = await self._due() or await self._read_new(line)
            except (*_FAILURES, Unavailable) as error:
                logger.debug("reading at %s: %s: %s", self.safe_address, type(error).__name__, error)
                if not isinstance(error, exceptions.ResponseError):
                    await line.disconnect()
                await asyncio.sleep(0.2)
                if self.options.group is not None:
                    with suppress(*_FAILURES, Unavailable):
                        await self._make_group(self._last)  # the broker has forgotten it
                continue
            self._held = [entry.id for entry in entries]
            try:
                for entry in entries:
                    await receive(_StreamDelivery(self, entry))
                    del self._held[0]
            finally:
                self._held.clear()

    async def _due(self) -> list[_Entry]:
        """What is to be delivered again now."""
        now = monotonic()
        if self.options.group is None:
            return [heappop(self._later)[2]] if self._later and self._later[0][0] <= now else []
        if not self.options.at_least_once or now < self._look:
            return []
        wait = self.options.ack_wait
        self._look = now + min(_POLL, wait / 3)
        found = await self._send(*_script(_CLAIM), 1, self._events, self.options.group, self._me, round(wait * 1000))
        if not found:
            return []
        self._look = 0.0  # there may be more
        return [_Entry(found[0], _paired(found[1]), found[2])]

    async def _read_new(self, line: _Pipeline) -> list[_Entry]:
        """What is delivered for the first time, and comes before something is due."""
        await line.connect()
        options = self.options
        limits = [monotonic() + _POLL]
        if options.group is None:
            limits += [self._later[0][0]] if self._later else []
        elif options.at_least_once:
            limits.append(self._look)
        how = ("COUNT", options.batch, "BLOCK", max(1, int((min(limits) - monotonic()) * 1000) + 1))
        if options.group is None:
            command: tuple[Any, ...] = ("XREAD", *how, "STREAMS", self._events, self._last)
        elif options.at_least_once:
            command = ("XREADGROUP", "GROUP", options.group, self._me, *how, "STREAMS", self._events, ">")
        else:
            command = ("XREADGROUP", "GROUP", options.group, self._me, *how, "NOACK", "STREAMS", self._once, ">")
        await line.send([command])
        reply = await line.read()
        if isinstance(reply, Exception):
            raise reply
        if not reply:
            return []
        ((_, found),) = reply.items() if isinstance(reply, dict) else reply
        self._last = found[-1][0]
        return [_Entry(identity, _paired(fields), 1) for identity, fields in found]

    async def _keep_held(self) -> None:
        """Tell the broker of messages that wait for their turn, or are dealt with: nobody is to claim them."""
        while True:
            await asyncio.sleep(self.options.ack_wait / 3)
            if self._held:
                with suppress(*_FAILURES, Unavailable):
                    await self.pass_on(self._me, *self._held)

    async def _keep_once(self) -> None:
        """Tell the broker that this process is there, if busy, and that it is to keep the stream."""
        while True:
            await asyncio.sleep(2)
            self._send("XREADGROUP", "GROUP", self.options.group, self._me, "COUNT", 1, "STREAMS", self._once, "0")
            with suppress(*_FAILURES, Unavailable):
                await self._send("EXPIRE", self._once, 300)

    # What becomes of a message

    def acknowledge(self, entry: _Entry) -> None:
        """It is not to be delivered again."""
        if self.options.group is not None and self.options.at_least_once:
            self._send("XACK", self._events, self.options.group, entry.id, is_lasting=True)

    async def deliver_later(self, entry: _Entry, delay: float) -> None:
        """It is to be delivered again, after some seconds."""
        if not self.options.at_least_once:
            return
        if self.options.group is None:
            again = entry._replace(attempt=entry.attempt + 1)
            heappush(self._later, (monotonic() + delay, next(self._numbers), again))
            return
        milliseconds = max(0, round(delay * 1000))
        with suppress(*_FAILURES, Unavailable):  # then it is, after ack_wait
            await self.pass_on(f"later-{milliseconds}", entry.id)
        self._look = min(self._look, monotonic() + delay + 0.002)  # the broker counts whole milliseconds

    async def pass_on(self, to: str, *ids: bytes) -> None:
        """Have messages be another consumer's, if they are still this one's."""
        await self._send(*_script(_TRANSFER), 1, self._events, self.options.group, self._me, to, *ids)

    def dead_letter(self, event: str, body: bytes, about: Mapping[str, str], entry: _Entry | None) -> None:
        """Put a message among the dead letters."""
        letter = ["event", event, "body", body]
        for name, value in about.items():
            letter += [name.lower(), value]
        is_kept = entry is not None and self.options.group is not None and self.options.at_least_once
        group, identity = (self.options.group, entry.id) if is_kept and entry is not None else ("", "")
        keys = (self._dead, self._events)
        self._send(*_script(_DEAD_LETTER), 2, *keys, group, identity, self._keep, *letter, is_lasting=True)

    async def close(self) -> None:
        """Receive no more, and disconnect."""
        if not hasattr(self, "_client"):
            return
        self._is_closing = True
        try:
            await cancel_all(self._tasks[1:])
            for line in self._lines[1:]:
                await line.disconnect()
            if self._tasks and not self._tasks[0].done():
                await self._say_goodbye()
        finally:
            self._is_over = True
            await cancel_all(self._tasks[:1])
            self._give_back(Unavailable("the bridge was left"), len(self._queue))
            for line in self._lines:
                await line.disconnect()
            if self._subscription is not None:
                await self._subscription.aclose()
            await self._client.aclose()

    async def _say_goodbye(self) -> None:
        """Leave the group, and have what is to be said sent, if the broker is there."""
        with suppress(*_FAILURES, Unavailable):
            async with asyncio.timeout(2):
                if self.options.group is not None and len(self._tasks) > 1:
                    stream = self._events if self.options.at_least_once else self._once
                    await self._send(*_script(_LEAVE), 1, stream, self.options.group, self._me)
                else:
                    await self._send("PING")


class _Lost(Unavailable):
    """The connection broke when a command was sent, and not answered."""


class _Pipeline:
    """A connection on which several commands go out together, and are answered in their order."""

    def __init__(self, pool: Any) -> None:
        self._connection = pool.make_connection()
        self._writer: asyncio.StreamWriter | None = None
        self.is_stale = False  # whether the broker may not know the scripts any more

    async def connect(self) -> None:
        """Connect, if that is not so, and see that the broker knows the scripts."""
        if self._connection.is_connected and not self.is_stale:
            return
        if not self._connection.is_connected:
            self._let_go()
        try:
            await self._connection.connect()
            self._writer = self._connection._writer
            await self.send([("SCRIPT", "LOAD", text) for text in _SCRIPTS])
            for reply in [await self.read() for _ in _SCRIPTS]:
                if isinstance(reply, Exception):
                    raise reply
            self.is_stale = False
        except BaseException:
            await self.disconnect()
            raise

    async def send(self, commands: Sequence[tuple[Any, ...]]) -> None:
        await self._connection.send_packed_command(self._connection.pack_commands(commands))

    async def read(self) -> Any:
        """The next answer; an exception that the broker has answered with is returned."""
        try:
            return await self._connection.read_response()
        except exceptions.ResponseError as error:
            return error
        except exceptions.BusyLoadingError as error:
            await self.disconnect()
            raise exceptions.ConnectionError(str(error)) from error

    async def disconnect(self) -> None:
        with suppress(*_FAILURES):
            async with asyncio.timeout(2):
                await self._connection.disconnect()
        self._let_go()

    def _let_go(self) -> None:
        """End what the client has only begun to close, and would not end: a broker that reads no more, gets no more."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None


_SCRIPTS = {
    text: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    for text in (_PUBLISH, _CLAIM, _TRANSFER, _LEAVE, _DEAD_LETTER, _JOIN)
}


def _script(text: str) -> tuple[str, str]:
    """The beginning of the command that runs a script."""
    return "EVALSHA", _SCRIPTS[text]


def _settle(answer: asyncio.Future[Any], reply: Any) -> None:
    if answer.done():  # who has waited for it was cancelled
        return
    if isinstance(reply, Exception):
        answer.set_exception(reply)
        answer.exception()  # nobody may be waiting
    else:
        answer.set_result(reply)


def _paired(fields: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(zip(fields[::2], fields[1::2], strict=True))


class _PubSubDelivery(Delivery):
    """A message that was published to subscribers: it is delivered once, or not."""

    def __init__(self, engine: RedisEngine, channel: bytes, body: bytes) -> None:
        self._engine = engine
        self._channel = channel
        self.body = body
        self.attempt = 1

    async def ack(self) -> None:
        """Nobody waits for that."""

    async def nack(self, delay: float) -> None:
        """It is not delivered again."""

    async def dead_letter(self, about: Mapping[str, str]) -> None:
        name = unquote(self._channel.decode()[len(self._engine.options.prefix) + 1 :])
        self._engine.dead_letter(name, self.body, about, None)


class _StreamDelivery(Delivery):
    """A message of a stream."""

    def __init__(self, engine: RedisEngine, entry: _Entry) -> None:
        self._engine = engine
        self._entry = entry
        self.body = entry.fields.get(b"body", b"")
        self.attempt = entry.attempt

    async def ack(self) -> None:
        self._engine.acknowledge(self._entry)

    async def nack(self, delay: float) -> None:
        await self._engine.deliver_later(self._entry, delay)

    async def dead_letter(self, about: Mapping[str, str]) -> None:
        event = self._entry.fields.get(b"event", b"").decode(errors="replace")
        self._engine.dead_letter(event, self.body, about, self._entry)
