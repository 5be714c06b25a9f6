"""The engine for Redis 6.2 and newer. At least once uses streams, at most once uses publish and subscribe.

All keys of a prefix have the same hash tag, so that they are in one shard of a cluster:

- `{prefix}:events`: the stream that keeps messages. A group is a consumer group of this stream, and its processes are
  the consumers. A process without a group reads the stream by itself and leaves nothing in the broker.
- `{prefix}:once`: the stream from which groups get messages at most once. It exists while there is such a group.
- `{prefix}:id:...`: the ids of messages, for the deduplication window.
- `{prefix}:dead`: the stream of dead letters.

Redis cannot delay redelivery. A message that must be retried later moves to a placeholder consumer named after its
delay, such as `later-1000`. After that idle time, the first process that looks claims it.

A script claims messages, although Redis 8.4 has `XREADGROUP ... CLAIM min-idle-time`, which reads idle messages of
other consumers together with new ones. But this option has one idle time for all consumers, so the delays would be
lost. It also counts an attempt for each message of a batch, so a message that kills its process would take the rest of
its batch to the dead letters. The script claims one message at a time, and works with all versions from 6.2 on.

Anyone who may publish can also add entries to the streams by hand, or replace a key with one of another type. So names
are read as bytes, and any key may be missing or have a wrong type. If a reading task ends for any reason, this is
logged, and the task starts again with a new connection.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import uuid
from collections import deque
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count, islice
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from ._redis_client import FAILURES, Pipeline, check_options, exceptions, final_error, make_client
from ._text import log_exception
from .engine import Delivery, Engine, Publication, Rejected, Unavailable, cancel_all, logger, subject_of, subjects_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from .engine import Address, DeliveryOptions

    Receive = Callable[[Delivery], Awaitable[None]]

_CLAIM_INTERVAL = 1.0  # maximum seconds between two searches for messages that are due for redelivery
_RETRY_PAUSE = 0.1  # seconds between two attempts to connect
_READ_PAUSE = 0.2  # seconds after reading has failed
_BATCH = 128  # commands that are sent together
_TRANSIENT = (exceptions.ClusterDownError, exceptions.NoScriptError, exceptions.ReadOnlyError, exceptions.TryAgainError)
_TRANSIENT_TEXT = re.compile("OOM |out of memory|maxmemory|READONLY|MISCONF|NOREPLICAS|MASTERDOWN|BUSY|TRYAGAIN")

# Publish a message unless its id is known. Keys: events, once, id. Arguments: the deduplication window, the retention,
# the channel, the event, the body, and whether the stream keeps the message.
_PUBLISH = """
if ARGV[6] == '1' and not redis.call('SET', KEYS[3], '', 'NX', 'PX', ARGV[1]) then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function add(key, retention, ...)
    local oldest = string.format('%.0f', math.max(0, now - retention))
    local command = {'XADD', key, 'MINID', '~', oldest, '*', 'event', ARGV[4], 'body', ARGV[5]}
    if ... then table.insert(command, 3, ...) end
    redis.call(unpack(command))
end
if ARGV[6] == '1' then add(KEYS[1], ARGV[2]) else add(KEYS[1], ARGV[2], 'NOMKSTREAM') end
add(KEYS[2], 60000, 'NOMKSTREAM')
redis.call('PUBLISH', ARGV[3], ARGV[5])
return 1
"""

# Claim one message that is due, from any consumer, and remove consumers that were idle for an hour. Key: events.
# Arguments: the group, this consumer, ack_wait. It claims only one message, because claiming counts as an attempt. A
# name with more than 15 digits is not a placeholder, and Redis would not accept the number as a time.
_CLAIM = """
for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local consumer = {}
    for i = 1, #row, 2 do consumer[row[i]] = row[i + 1] end
    local delay = string.match(consumer.name, '^later%-(%d+)$')
    if delay and #delay > 15 then delay = nil end
    if consumer.pending == 0 then
        if consumer.name ~= ARGV[2] and not delay and consumer.idle > 3600000 then
            redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
        end
    else
        for _, found in ipairs(redis.call(
            'XPENDING', KEYS[1], ARGV[1], 'IDLE', delay or ARGV[3], '-', '+', 100, consumer.name
        )) do
            local claimed = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, found[1])
            if claimed[1] then return {found[1], claimed[1][2], found[4] + 1} end
            redis.call('XACK', KEYS[1], ARGV[1], found[1])  -- the stream has dropped it
        end
    end
end
return false
"""

# Transfer messages that this consumer still has. A transfer to itself restarts their idle time. Key: events. Arguments:
# the group, this consumer, the new one, and the ids.
_TRANSFER = """
for i = 4, #ARGV do
    if redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])[1] then
        redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, ARGV[i], 'JUSTID')
    end
end
return 1
"""

# Leave a group. Key: a stream. Arguments: the group, this consumer. Messages that were fetched but not begun count as
# never delivered.
_LEAVE = """
for _, found in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1000000, ARGV[2])) do
    redis.call('XCLAIM', KEYS[1], ARGV[1], 'later-0', 0, found[1], 'RETRYCOUNT', found[4] - 1, 'JUSTID')
end
return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
"""

# Add a dead letter only once. Keys: dead, events. Arguments: the group or nothing, the id, the retention, the letter.
_DEAD_LETTER = """
local is_pending = ARGV[1] ~= ''
if is_pending and not redis.call('XPENDING', KEYS[2], ARGV[1], ARGV[2], ARGV[2], 1)[1] then return 0 end
local oldest = string.format('%.0f', math.max(0, redis.call('TIME')[1] * 1000 - ARGV[3]))
redis.call('XADD', KEYS[1], 'MINID', '~', oldest, '*', unpack(ARGV, 4))
if is_pending then redis.call('XACK', KEYS[2], ARGV[1], ARGV[2]) end
return 1
"""

# Join a group that gets messages at most once. Key: once. Arguments: the group, this consumer. If the group has no
# other process, skip earlier messages. The stream expires five minutes after its last process has ended.
_JOIN = """
redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '$', 'MKSTREAM')
local is_alone = true
for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
    local consumer = {}
    for i = 1, #row, 2 do consumer[row[i]] = row[i + 1] end
    is_alone = is_alone and consumer.idle > 5000
end
if is_alone then redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], '$') end
redis.call('XGROUP', 'CREATECONSUMER', KEYS[1], ARGV[1], ARGV[2])
return redis.call('EXPIRE', KEYS[1], 300)
"""

_SCRIPTS = {
    text: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    for text in (_PUBLISH, _CLAIM, _TRANSFER, _LEAVE, _DEAD_LETTER, _JOIN)
}


class _Command(NamedTuple):
    """A command in the queue, and the future of its reply."""

    packed: list[bytes]
    reply: asyncio.Future[Any]
    is_lasting: bool  # whether it is sent again until there is a reply


class _Entry(NamedTuple):
    """A message of a stream."""

    id: bytes
    fields: dict[bytes, bytes]
    attempt: int


class _Lost(Unavailable):
    """The connection broke after a command was sent and before its reply."""


class RedisEngine(Engine):
    """Two connections to Redis: one for all commands, and one that waits for messages."""

    tls_schemes = frozenset({"rediss"})
    tls_options = ("ssl", "ssl_*", "connection_class")

    def __init__(self, address: Address, options: DeliveryOptions, client_options: Mapping[str, Any]) -> None:
        super().__init__(address, options, client_options)
        check_options(address, client_options)

    async def connect(self) -> None:
        """Connect: see `Engine.connect`."""
        options = self.options
        self._client = make_client(self.address, self.client_options)
        self._events = f"{{{options.prefix}}}:events"
        self._once = f"{{{options.prefix}}}:once"
        self._dead = f"{{{options.prefix}}}:dead"
        self._stream = self._events if options.at_least_once else self._once
        self._consumer = uuid.uuid4().hex
        self._retention = round(options.retention * 1000)
        self._subscription: Any = None
        self._reader: Pipeline | None = None
        self._queue: deque[_Command] = deque()
        self._filled = asyncio.Event()
        self._is_connected = asyncio.Event()
        self._is_closing = self._is_closed = False
        self._is_reading = False  # whether a command that waits for messages is unanswered
        self._tasks = []
        self._entries: deque[_Entry] = deque()  # fetched but not finished
        self._delivery: _StreamDelivery | None = None  # the delivery of the first entry
        self._retries: list[tuple[float, int, _Entry]] = []  # without a group: a heap of failed messages by due time
        self._numbers = count()
        self._next_claim = 0.0  # when to look next for messages of the group that are due for redelivery
        self._claim_error: Exception | None = None
        self._last = b"0-0"  # the id of the newest message that was read
        self._interrupted: set[str] = set()  # the activities that currently fail, which was logged
        self._sender = Pipeline(self._client.connection_pool, tuple(_SCRIPTS))
        while True:
            try:
                await self._sender.connect()
                self.last_error = None
                break
            except FAILURES as error:  # the bridge limits the total time
                final = final_error(error)
                self.last_error = final or error
                if final is not None:
                    raise ConnectionError(self.error_text(final)) from final
                logger.debug("connecting to %s: %s", self.safe_address, self.error_text(error))
                await asyncio.sleep(_RETRY_PAUSE)
        self._start(self._send_all())

    async def _keep_running(self, what: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine function in its own task. Restart it whenever it ends, until this method is cancelled."""
        while True:
            task = asyncio.create_task(run())
            try:
                await asyncio.wait([task])
            finally:
                await cancel_all([task])
            if self._is_closing:
                return
            message = f"{what} {self.safe_address} ended unexpectedly and starts again"
            if not task.cancelled() and (error := task.exception()) is not None:
                log_exception(logger, logging.ERROR, message, error)
            else:
                logger.error("%s", message)
            await asyncio.sleep(_RETRY_PAUSE)

    def _note_failure(self, what: str, error: Exception) -> None:
        """Log that an activity fails. Until `_note_success`, log further failures only at DEBUG."""
        level = logging.DEBUG if what in self._interrupted else logging.WARNING
        self._interrupted.add(what)
        logger.log(level, "%s %s fails and will be retried: %s", what, self.safe_address, self.error_text(error))

    def _note_success(self, what: str) -> None:
        if what in self._interrupted:
            self._interrupted.discard(what)
            logger.info("%s %s works again", what, self.safe_address)

    # Commands

    def _send(self, *parts: Any, is_lasting: bool = False) -> asyncio.Future[Any]:
        """Queue a command and return the future of its reply. Commands are sent in order, many together."""
        reply = asyncio.get_running_loop().create_future()
        self._queue.append(_Command(self._sender.pack(*parts), reply, is_lasting))
        self._filled.set()
        return reply

    def _run_script(
        self, script: str, keys: tuple[str, ...], *args: Any, is_lasting: bool = False
    ) -> asyncio.Future[Any]:
        return self._send("EVALSHA", _SCRIPTS[script], len(keys), *keys, *args, is_lasting=is_lasting)

    async def _send_all(self) -> None:
        """Send the queued commands until the engine is closed."""
        while True:
            try:
                await self._sender.connect()
            except Exception as error:
                self._is_connected.clear()
                self._note_unexpected(error)
                self._fail_first(len(self._queue), Unavailable(self.error_text(error)))
                await asyncio.sleep(_RETRY_PAUSE)
                continue
            self._is_connected.set()
            if self._is_closed:  # the client swallowed the cancellation
                return
            if not self._queue:
                self._filled.clear()
                await self._filled.wait()
                continue
            unanswered = min(_BATCH, len(self._queue))
            batch = list(islice(self._queue, unanswered))
            try:
                await self._sender.send([command.packed for command in batch])
                while unanswered:
                    reply = await self._sender.read()
                    command = self._queue.popleft()
                    unanswered -= 1
                    if isinstance(reply, exceptions.NoScriptError):
                        self._sender.needs_scripts = True
                        if command.is_lasting:
                            self._queue.append(command)
                            continue
                    elif command.is_lasting and isinstance(reply, Exception):  # nobody waits for it
                        text = self.error_text(reply)
                        logger.error("%s did not accept the outcome of a message: %s", self.safe_address, text)
                    _set_reply(command.reply, reply)
            except Exception as error:
                self._is_connected.clear()
                self._note_unexpected(error)
                await self._sender.disconnect()
                self._fail_first(unanswered, _Lost(self.error_text(error)))
                # Unsent commands fail too, because they must not overtake those that are published again.
                self._fail_first(len(self._queue), Unavailable("the connection broke"))

    def _note_unexpected(self, error: Exception) -> None:
        if not isinstance(error, FAILURES):
            log_exception(logger, logging.ERROR, f"reconnecting to {self.safe_address} after an error", error)

    async def ready(self) -> None:
        """Wait until the engine is connected."""
        await self._is_connected.wait()

    def _fail_first(self, number: int, error: Exception) -> None:
        """Remove the first commands from the queue and set an error as their reply. Lasting commands stay."""
        first = [self._queue.popleft() for _ in range(number)]
        self._queue.extendleft(reversed([command for command in first if command.is_lasting]))
        for command in first:
            if not command.is_lasting:
                _set_reply(command.reply, error)

    # Publishing

    async def publish(self, publication: Publication) -> None:
        """Publish a message: see `Engine.publish`."""
        options, event = self.options, publication.event
        window, channel = max(1, round(options.dedup_window * 1000)), f"{options.prefix}.{subject_of(event)}"
        keys = (self._events, self._once, f"{{{options.prefix}}}:id:{publication.id}")
        args = (window, self._retention, channel, event, publication.body, int(options.at_least_once))
        if not self._is_connected.is_set():
            raise Unavailable("not connected")
        try:
            is_new = await self._run_script(_PUBLISH, keys, *args)
        except _Lost as error:
            if not options.at_least_once:  # publishing it again could deliver it twice
                raise Rejected(f"the connection broke before the answer: {error}") from error
            raise Unavailable(str(error)) from error
        except exceptions.ResponseError as error:
            if isinstance(error, _TRANSIENT) or _TRANSIENT_TEXT.search(str(error)):
                raise Unavailable(self.error_text(error)) from error
            raise Rejected(self.error_text(error)) from error
        if not is_new and not publication.is_retry:
            raise Rejected("the broker already has a message with this id, from another publisher")

    # Receiving

    async def listen(self, receive: Receive) -> None:
        """Start to receive messages: see `Engine.listen`."""
        options = self.options
        try:
            if options.at_least_once:
                await self._start_at_end()
                if options.group is not None:
                    await self._make_group(b"$")
                    self._start(self._keep_running("keeping messages at", self._keep_entries))
            elif options.group is not None:
                await self._run_script(_JOIN, (self._once,), options.group, self._consumer)
                self._start(self._keep_running("staying in the group at", self._keep_membership))
            else:
                await self._subscribe()
        except (*FAILURES, Unavailable) as error:
            self.last_error = error
            raise ConnectionError(self.error_text(error)) from error
        if self._subscription is None:  # messages come from a stream
            self._reader = Pipeline(self._client.connection_pool, ())
        run = self._read_channels if self._reader is None else self._read_stream

        async def receive_all() -> None:
            try:
                await run(receive)
            except Exception:  # the state of the connection is unknown
                await self._disconnect_reader()
                raise

        self._start(self._keep_running(_RECEIVING, receive_all))

    async def _disconnect_reader(self) -> None:
        if self._reader is not None:
            await self._reader.disconnect()
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with suppress(*FAILURES):
                await subscription.aclose()

    async def _deliver(self, receive: Receive, delivery: Delivery) -> None:
        """Pass a message to the bridge. If that fails unexpectedly, move the message to the dead letters."""
        try:
            await receive(delivery)
        except Exception as error:
            text = self.error_text(error)
            logger.error("a message from %s goes to the dead letters: %s", self.safe_address, text)
            about = {"Error": text, "Attempts": str(delivery.attempt), "Group": self.options.group or ""}
            await delivery.dead_letter(about)

    # - at most once, without a group

    async def _subscribe(self) -> None:
        """Subscribe to the channels of the carried events. Wait until the broker has confirmed all of them."""
        names = subjects_of(self.options.patterns)
        prefix = self.options.prefix
        escaped = re.sub(r"([*?\[\]\\^])", r"\\\1", prefix)
        exact = [f"{prefix}.{name}" for name in names if not name.endswith(">")]
        patterns = [f"{escaped}.{name[:-1]}*" for name in names if name.endswith(">")]
        self._subscription = self._client.pubsub()
        try:
            if exact:
                await self._subscription.subscribe(*exact)
            if patterns:
                await self._subscription.psubscribe(*patterns)
            confirmed = 0
            while confirmed < len(names):
                message = await self._subscription.get_message(timeout=5)
                confirmed += message is not None and message["type"] in ("subscribe", "psubscribe")
        except BaseException:  # otherwise the client would continue with some of the channels
            await self._disconnect_reader()
            raise

    async def _read_channels(self, receive: Receive) -> None:
        """Read messages from channels and deliver them, until the engine is closed."""
        while not self._is_closing:
            try:
                if self._subscription is None:
                    await self._subscribe()
                message = await self._subscription.get_message(ignore_subscribe_messages=True, timeout=1.0)
            except FAILURES as error:
                self._note_failure(_RECEIVING, error)
                await asyncio.sleep(_READ_PAUSE)
                continue
            self._note_success(_RECEIVING)
            if message is not None and message["type"] in ("message", "pmessage"):
                await self._deliver(receive, _PubSubDelivery(self, message["channel"], message["data"]))

    # - from a stream

    async def _start_at_end(self) -> None:
        """Store the id of the newest message. Create the stream, since messages sent at most once do not create it."""
        await self._send("XGROUP", "CREATE", self._events, self._consumer, "$", "MKSTREAM")
        await self._send("XGROUP", "DESTROY", self._events, self._consumer)
        newest = await self._send("XREVRANGE", self._events, "+", "-", "COUNT", 1)
        if newest:
            self._last = newest[0][0]

    async def _make_group(self, after: bytes) -> None:
        """Create the group if it does not exist. It gets the messages after this id."""
        with suppress(exceptions.ResponseError):  # it exists
            await self._send("XGROUP", "CREATE", self._stream, self.options.group, after, "MKSTREAM")

    async def _read_stream(self, receive: Receive) -> None:
        """Read messages and deliver them one after the other, until the engine is closed."""
        assert self._reader is not None
        interrupted, self._delivery = self._delivery, None
        if interrupted is not None:  # the last run ended while this message was being delivered
            self._entries.popleft()
            if not interrupted.has_outcome:
                await interrupted.nack(0)
        while not self._is_closing:
            if not self._entries:
                try:
                    self._entries.extend(await self._due_entries() or await self._new_entries(self._reader))
                except (*FAILURES, Unavailable) as error:
                    self._note_failure(_RECEIVING, error)
                    self._claim_error = None  # it had the same cause
                    if not isinstance(error, exceptions.ResponseError):
                        await self._reader.disconnect()
                    await asyncio.sleep(_READ_PAUSE)
                    if self.options.group is not None:
                        with suppress(*FAILURES, Unavailable):
                            await self._make_group(self._last)  # the broker may have lost the group
                    continue
                self._note_success(_RECEIVING)
                if self._claim_error is not None and _CLAIMING not in self._interrupted:
                    self._note_failure(_CLAIMING, self._claim_error)
            while self._entries and not self._is_closing:  # on closing, the group gets the rest back
                self._delivery = _StreamDelivery(self, self._entries[0])
                await self._deliver(receive, self._delivery)
                self._delivery = None
                self._entries.popleft()

    async def _due_entries(self) -> list[_Entry]:
        """Return messages that are due for redelivery."""
        now = monotonic()
        if self.options.group is None:
            return [heappop(self._retries)[2]] if self._retries and self._retries[0][0] <= now else []
        if not self.options.at_least_once or now < self._next_claim:
            return []
        ack_wait = self.options.ack_wait
        self._next_claim = now + min(_CLAIM_INTERVAL, ack_wait / 3)
        try:
            found = await self._run_script(
                _CLAIM, (self._events,), self.options.group, self._consumer, round(ack_wait * 1000)
            )
        except exceptions.NoScriptError:  # the next batch of commands loads the script
            return []
        except exceptions.ResponseError as error:  # new messages may still be read
            self._claim_error = error
            return []
        self._claim_error = None
        self._note_success(_CLAIMING)
        if not found:
            return []
        self._next_claim = 0.0  # there may be more
        return [_Entry(found[0], _paired(found[1]), found[2])]

    async def _new_entries(self, reader: Pipeline) -> list[_Entry]:
        """Return new messages. If there are none, wait for some until the next redelivery is due."""
        await reader.connect()
        options = self.options
        limits = [monotonic() + _CLAIM_INTERVAL]
        if options.group is None:
            limits += [self._retries[0][0]] if self._retries else []
        elif options.at_least_once:
            limits.append(self._next_claim)
        how = ("COUNT", options.batch, "BLOCK", max(1, int((min(limits) - monotonic()) * 1000) + 1))
        if options.group is None:
            command: tuple[Any, ...] = ("XREAD", *how, "STREAMS", self._events, self._last)
        elif options.at_least_once:
            command = ("XREADGROUP", "GROUP", options.group, self._consumer, *how, "STREAMS", self._events, ">")
        else:
            command = ("XREADGROUP", "GROUP", options.group, self._consumer, *how, "NOACK", "STREAMS", self._once, ">")
        await reader.send([reader.pack(*command)])
        self._is_reading = True
        try:
            reply = await reader.read()
        finally:
            self._is_reading = False
        if isinstance(reply, Exception):
            raise reply
        if not reply:
            return []
        ((_, found),) = reply
        entries = [_Entry(identity, _paired(fields), 1) for identity, fields in found]
        self._last = entries[-1].id
        return entries

    async def _keep_entries(self) -> None:
        """Restart the idle time of fetched messages regularly, so that no other process claims them."""
        while True:
            await asyncio.sleep(self.options.ack_wait / 3)
            if self._entries:
                with suppress(*FAILURES, Unavailable):
                    await self._transfer(self._consumer, *[entry.id for entry in self._entries])

    async def _keep_membership(self) -> None:
        """Report this process as alive regularly, even while a handler is busy, and prolong the stream's life."""
        while True:
            await asyncio.sleep(2)
            who = (self.options.group, self._consumer)
            self._send("XREADGROUP", "GROUP", *who, "COUNT", 1, "STREAMS", self._once, "0")
            with suppress(*FAILURES, Unavailable):
                await self._send("EXPIRE", self._once, 300)

    # The outcome of a message

    def acknowledge(self, entry: _Entry) -> None:
        """Acknowledge a message, so that it is not delivered again."""
        if self.options.group is not None and self.options.at_least_once:
            self._send("XACK", self._events, self.options.group, entry.id, is_lasting=True)

    async def deliver_later(self, entry: _Entry, delay: float) -> None:
        """Schedule the redelivery of a message after some seconds."""
        if not self.options.at_least_once:
            return
        if self.options.group is None:
            again = entry._replace(attempt=entry.attempt + 1)
            heappush(self._retries, (monotonic() + delay, next(self._numbers), again))
            return
        milliseconds = max(0, round(delay * 1000))
        with suppress(*FAILURES, Unavailable):  # on failure, it is delivered again after ack_wait
            await self._transfer(f"later-{milliseconds}", entry.id)
        self._next_claim = min(self._next_claim, monotonic() + delay + 0.002)  # the broker counts whole milliseconds

    async def _transfer(self, consumer: str, *ids: bytes) -> None:
        """Transfer messages to another consumer, if this one still has them."""
        await self._run_script(_TRANSFER, (self._events,), self.options.group, self._consumer, consumer, *ids)

    def dead_letter(self, event: str, body: bytes, about: Mapping[str, str], entry: _Entry | None) -> None:
        """Add a message to the dead letters."""
        letter = [b"event", event.encode(errors="backslashreplace"), b"body", body]
        for name, value in about.items():
            letter += [name.lower().encode(), value.encode(errors="backslashreplace")]
        is_pending = entry is not None and self.options.group is not None and self.options.at_least_once
        group, identity = (self.options.group, entry.id) if is_pending and entry is not None else ("", "")
        keys = (self._dead, self._events)
        self._run_script(_DEAD_LETTER, keys, group, identity, self._retention, *letter, is_lasting=True)

    async def close(self) -> None:
        """Stop receiving, and disconnect."""
        if not hasattr(self, "_sender"):  # connecting failed at once
            return
        self._is_closing = True
        try:
            if self.options.group is not None:
                await self._finish_reading()
            await cancel_all(self._tasks[1:])
            await self._disconnect_reader()
            if self._tasks and not self._tasks[0].done():
                await self._leave_group()
        finally:
            self._is_closed = True
            await cancel_all(self._tasks[:1])
            self._fail_first(len(self._queue), Unavailable("the bridge was left"))
            await self._sender.disconnect()
            await self._disconnect_reader()
            await self._client.aclose()

    async def _finish_reading(self) -> None:
        """Wait until the broker has answered the command that waits for messages, up to a timeout.

        Otherwise a busy broker could run that command after the process has left its group. It would deliver messages
        to nobody, and other processes would get them only after `ack_wait`.
        """
        with suppress(*FAILURES, Unavailable):
            async with asyncio.timeout(_CLAIM_INTERVAL + 1):
                while self._is_reading and self._reader is not None:
                    if self._reader.id is not None:  # without an id, the command ends itself within _CLAIM_INTERVAL
                        await self._send("CLIENT", "UNBLOCK", self._reader.id)
                    await asyncio.sleep(0.01)

    async def _leave_group(self) -> None:
        """Leave the group, and wait until all earlier commands are sent, up to a timeout."""
        with suppress(*FAILURES, Unavailable):
            async with asyncio.timeout(2):
                if self.options.group is not None and len(self._tasks) > 1:
                    await self._run_script(_LEAVE, (self._stream,), self.options.group, self._consumer)
                else:
                    await self._send("PING")


_RECEIVING = "receiving from"
_CLAIMING = "claiming messages at"


def _set_reply(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():  # its task was cancelled
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
        future.exception()  # mark it as retrieved, because there may be no waiter
    else:
        future.set_result(reply)


def _paired(fields: list[bytes] | None) -> dict[bytes, bytes]:
    """Return the fields of an entry from its alternating names and values. A deleted entry has none."""
    return dict(zip(fields[::2], fields[1::2], strict=False)) if fields else {}


class _PubSubDelivery(Delivery):
    """A message from a channel, which is delivered at most once."""

    def __init__(self, engine: RedisEngine, channel: bytes, body: bytes) -> None:
        self._engine = engine
        self._channel = channel
        self.body = body
        self.attempt = 1

    async def ack(self) -> None:
        """Do nothing: the broker does not keep the message."""

    async def nack(self, delay: float) -> None:
        """Do nothing: the message is not delivered again."""

    async def dead_letter(self, about: Mapping[str, str]) -> None:
        subject = self._channel[len(self._engine.options.prefix.encode()) + 1 :]
        self._engine.dead_letter(unquote(_decoded(subject)), self.body, about, None)


class _StreamDelivery(Delivery):
    """A message from a stream. `has_outcome` is true once `ack`, `nack` or `dead_letter` was called."""

    def __init__(self, engine: RedisEngine, entry: _Entry) -> None:
        self._engine = engine
        self._entry = entry
        self.body = entry.fields.get(b"body", b"")
        self.attempt = entry.attempt
        self.has_outcome = False

    async def ack(self) -> None:
        self.has_outcome = True
        self._engine.acknowledge(self._entry)

    async def nack(self, delay: float) -> None:
        self.has_outcome = True
        await self._engine.deliver_later(self._entry, delay)

    async def dead_letter(self, about: Mapping[str, str]) -> None:
        self.has_outcome = True
        self._engine.dead_letter(_decoded(self._entry.fields.get(b"event", b"")), self.body, about, self._entry)


def _decoded(name: bytes) -> str:
    """Decode a name from the broker. Bytes that are not UTF-8 are escaped."""
    return name.decode(errors="backslashreplace")
