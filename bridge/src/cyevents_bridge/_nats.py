"""The engine for NATS: by its own client, which costs a quarter or less of what a layer over it does.

At most once is core NATS: subjects, queue groups. At least once is JetStream: a stream that keeps what is published, a
consumer for each group, or for the process, and explicit acknowledgement.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from .engine import (
    Delivery,
    Address,
    Engine,
    Publication,
    Rejected,
    Unavailable,
    cancel_all,
    check_cancelled,
    is_untrusted,
    logger,
    subject_of,
    subjects_of,
    times_cancelled,
)

try:
    from nats import errors
    from nats.aio.client import Client
    from nats.js import api
    from nats.js import errors as js_errors
except ImportError as error:
    raise ImportError('a bridge to NATS needs its client: pip install "cyevents-bridge[nats]"') from error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from datetime import datetime

    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

_POLL = 5.0  # seconds for which the broker is asked for messages
_GONE = 300.0  # seconds for which the broker keeps a process's own consumer when that is away


class NatsEngine(Engine):
    """A connection to NATS.

    Of the client_options it takes one itself: `max_ack_pending`, how many messages of a group, or of the process, JetStream
    gives out before one of them is dealt with. With 1 they stay in order whatever breaks.
    """

    tls_schemes = frozenset({"tls", "wss"})
    tls_options = ("tls", "tls_hostname", "tls_handshake_first")

    def __init__(self, address: Address, options: Any, client_options: Mapping[str, Any]) -> None:
        client_options = dict(client_options)
        self._max_ack_pending: int | None = client_options.pop("max_ack_pending", None)
        if self._max_ack_pending is not None and (type(self._max_ack_pending) is not int or self._max_ack_pending < 1):
            raise TypeError(f"max_ack_pending must be a whole number from 1 on, not {self._max_ack_pending!r}")
        super().__init__(address, options, client_options)
        self._client: Any = None
        self._subscription: Any = None
        self._waiting: deque[Msg] = deque()  # messages that are delivered and not dealt with
        self._request = ""  # where the answers go to the newest request for messages
        self._is_over = False  # whether there will be no more of them
        self._is_refused = False  # whether the broker said something else than messages, and that its time is over
        self._is_closing = False  # the client, and Python 3.11's wait_for, swallow a cancellation now and then
        self._last = 0  # the place in the stream of the newest one that was dealt with, or was there before
        self._open: set[int] = set()  # the places of those before that, that are to come again, and to this process
        self._stream = options.prefix.replace(".", "-")
        # As the name of a consumer or a queue may be.
        self._group = None if options.group is None else subject_of(options.group).replace(".", "-").replace("%", "_")

    async def connect(self) -> None:
        """Connect, and make the streams if there are none."""
        try:
            await self._connect()
        except errors.Error as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error

    async def _connect(self) -> None:
        self._is_up = asyncio.Event()
        self._filled = asyncio.Event()  # whether there is something new in `_waiting`, or about the request
        self._waiting.clear()
        self._subscription = None
        self._is_closing = self._is_entered = False
        self._cancelled = times_cancelled()
        self._tasks.clear()
        settings: dict[str, Any] = {
            "name": f"cyevents {self.options.group or ''}".strip(),
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.2,
            "connect_timeout": 2,
            "no_echo": not self.options.at_least_once,
            **self.client_options,
            "error_cb": _both(self._note, self.client_options.get("error_cb")),
            "disconnected_cb": _both(self._note_lost, self.client_options.get("disconnected_cb")),
            "reconnected_cb": _both(self._note_back, self.client_options.get("reconnected_cb")),
        }
        self.last_error = None
        self._client = _Client()
        self._client.wants_tls = self.address.scheme in self.tls_schemes
        await self._client.connect(list(self.address.urls), **settings)
        self._is_up.set()
        self._is_entered = True
        self._jetstream: JetStreamContext = self._client.jetstream(timeout=5)
        if self.options.at_least_once:
            await self._make_streams()

    async def _note(self, error: Exception) -> None:
        logger.debug("NATS: %s: %s", type(error).__name__, error)
        self.last_error = error
        is_final = is_untrusted(error) or isinstance(error, NoTLS) or "Authorization Violation" in str(error)
        if is_final and not self._is_entered:  # to try again would not help
            raise ConnectionError(f"{type(error).__name__}: {error}") from error
        if not self._is_entered and times_cancelled() > self._cancelled:  # of which the client has taken no notice
            raise asyncio.CancelledError

    async def _note_lost(self) -> None:
        """Have all that was under way published again, in its turn."""
        self._is_up.clear()
        self._client.fail()
        if self.options.at_least_once:
            # They would overtake those that were lost, and are to be given anew.
            self._client.forget(f"HPUB {self.options.prefix}.".encode())

    async def _note_back(self) -> None:
        self._is_up.set()
        self._is_over = True  # the broker has forgotten the request
        self._filled.set()

    async def ready(self) -> None:
        """Wait until it is connected, and the broker has the streams."""
        await self._is_up.wait()
        if self.options.at_least_once:
            with suppress(errors.Error, OSError, TimeoutError):
                await self._make_streams()

    async def _make_streams(self) -> datetime:
        """Make the streams, if there are none; return when that of the events was made."""
        await self._make_stream(f"{self._stream}-dead", f"{self.options.prefix}-dead.>")
        made = await self._make_stream(self._stream, f"{self.options.prefix}.>")
        assert made.created is not None
        return made.created

    async def _make_stream(self, name: str, subjects: str) -> api.StreamInfo:
        try:
            return await self._jetstream.stream_info(name)  # as whoever runs the broker has set it up
        except js_errors.NotFoundError:
            config = api.StreamConfig(
                name=name, subjects=[subjects], duplicate_window=self.options.dedup_window, max_age=self.options.retention
            )
            try:
                return await self._jetstream.add_stream(config)
            except js_errors.BadRequestError:  # another process was faster
                return await self._jetstream.stream_info(name)

    # Publishing

    async def publish(self, publication: Publication) -> None:
        """Publish a message: see `Engine.publish`."""
        name, body = f"{self.options.prefix}.{subject_of(publication.event)}", publication.body
        if not self._client.is_connected:
            raise Unavailable("not connected")
        try:
            if self.options.at_least_once:
                await self._jetstream.publish(name, body, headers={api.Header.MSG_ID: publication.id})
            else:
                await self._client.publish(name, body)
                if publication.is_confirmed:
                    await self._confirm()
        except js_errors.NoStreamResponseError as error:  # the broker has just begun, or has lost what it had
            raise Unavailable("the broker has no stream yet") from error
        except (errors.MaxPayloadError, js_errors.BadRequestError) as error:
            raise Rejected(f"{type(error).__name__}: {error}") from error
        except (errors.Error, OSError, TimeoutError) as error:
            raise Unavailable(f"{type(error).__name__}: {error}") from error

    async def _flush(self) -> None:
        """Wait until the broker has what was sent. The client's first PING overtakes what it has in its buffer."""
        await self._client.flush(5)
        await self._client.flush(5)

    async def _confirm(self) -> None:
        """Wait until the broker has what was sent; give up if that cannot be known."""
        try:
            await self._flush()
        except (errors.Error, OSError, TimeoutError) as error:  # a second time could be once too often
            raise Rejected(f"it does not answer: {type(error).__name__}: {error}") from error

    # Receiving

    async def listen(self, receive: Callable[[Delivery], Awaitable[None]]) -> None:
        """Receive messages from now on."""
        names = [f"{self.options.prefix}.{each}" for each in subjects_of(self.options.patterns)]
        if not self.options.at_least_once:
            for name in names:

                async def arrived(message: Msg) -> None:
                    await receive(_CoreDelivery(self, message))

                await self._client.subscribe(name, queue=self._group or "", cb=arrived)
            await self._flush()
            return
        self._born = await self._make_streams()
        self._open.clear()
        made = await self._make_consumer(names, None)
        assert made.delivered is not None
        self._last = made.delivered.stream_seq
        self._start(self._fetch(names, made.name, receive))
        self._start(self._keep_waiting())

    async def _make_consumer(self, names: list[str], after: int | None) -> api.ConsumerInfo:
        """Make the consumer, or find the group's: for what is published from now on, or after a place in the stream."""
        group = self._group
        config = api.ConsumerConfig(
            durable_name=group,
            filter_subjects=names,
            ack_wait=self.options.ack_wait,
            ack_policy=api.AckPolicy.EXPLICIT,
            max_ack_pending=self._max_ack_pending,
            inactive_threshold=None if group is not None else _GONE,
            deliver_policy=api.DeliverPolicy.NEW if after is None else api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=None if after is None else after + 1,
        )
        if group is not None:
            with suppress(js_errors.NotFoundError):
                found: api.ConsumerInfo = await self._jetstream.consumer_info(self._stream, group)
                is_named_so = set(found.config.filter_subjects or [found.config.filter_subject or ""]) == set(names)
                if is_named_so and self._max_ack_pending in (None, found.config.max_ack_pending):
                    return found
                config.deliver_policy = found.config.deliver_policy  # which cannot be changed
                config.max_ack_pending = self._max_ack_pending or found.config.max_ack_pending
        return await self._jetstream.add_consumer(self._stream, config)

    async def _fetch(self, names: list[str], consumer: str, receive: Callable[[Delivery], Awaitable[None]]) -> None:
        """Ask for messages, and hand them on one after the other, until the end."""
        inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(f"{inbox}.*", cb=self._take)
        batch = 1
        for number in count():
            self._request = f"{inbox}.{number}"
            self._is_over = False
            with suppress(errors.Error, OSError):
                await self._ask(consumer, batch)
            is_repeated = await self._hand_on(batch, receive)
            if self._is_closing:
                return
            if self._is_refused:
                self._is_refused = False
                await asyncio.sleep(0.2)
                with suppress(errors.Error, OSError, TimeoutError):
                    if not await self._knows(consumer):
                        consumer = (await self._make_consumer(names, await self._find_place())).name
            # One that has been delivered before may have killed its process: it is not to take others along.
            batch = 1 if is_repeated else self.options.batch

    async def _ask(self, consumer: str, batch: int) -> None:
        """Ask for some messages, which come as they are published, for some time."""
        wish = json.dumps({"batch": batch, "expires": int(_POLL * 1e9)}).encode()
        await self._client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{consumer}", wish, self._request)

    async def _take(self, message: Msg) -> None:
        """Take a message, or a word of the broker's about a request."""
        status = message.headers.get(api.Header.STATUS) if message.headers else None
        if status is None or message.reply:
            self._waiting.append(message)
        elif message.subject == self._request:
            self._is_over = True
            self._is_refused = status != api.StatusCode.REQUEST_TIMEOUT  # as if there is no such consumer any more
        self._filled.set()

    async def _hand_on(self, batch: int, receive: Callable[[Delivery], Awaitable[None]]) -> bool:
        """Hand on what comes for a request, until it is over; whether any of it had been delivered before."""
        end = asyncio.get_running_loop().time() + _POLL + 1
        is_repeated = False
        while batch and not self._is_closing:
            if self._waiting:
                message = self._waiting[0]
                await receive(_StreamDelivery(self, message))
                self._last = max(self._last, message.metadata.sequence.stream)
                self._waiting.popleft()
                is_repeated = is_repeated or message.metadata.num_delivered > 1
                batch -= 1
            elif self._is_over:
                break
            else:
                self._filled.clear()
                try:
                    async with asyncio.timeout_at(end):
                        await self._filled.wait()
                except TimeoutError:  # the broker has not even said that there was nothing
                    break
        return is_repeated

    async def _knows(self, consumer: str) -> bool:
        """Whether the broker has not forgotten a consumer."""
        try:
            await self._jetstream.consumer_info(self._stream, consumer)
        except js_errors.NotFoundError:
            return False
        return True

    async def _find_place(self) -> int:
        """After which message to go on: before the first of a stream that is made anew, as all of it is new."""
        born = await self._make_streams()
        if born > self._born:
            self._born, self._last = born, 0
            self._open.clear()
        return min(self._open, default=self._last + 1) - 1

    async def _give_back(self) -> None:
        """Let others have what is not dealt with: they would miss it until `ack_wait`."""
        while self._waiting:
            with suppress(errors.Error):
                await self._waiting.popleft().nak()

    async def _keep_waiting(self) -> None:
        """Tell the broker of messages that wait for their turn, or are dealt with: not to send them again."""
        while not self._is_closing:
            await asyncio.sleep(self.options.ack_wait / 3)
            for message in self._waiting.copy():
                with suppress(errors.Error):
                    await message.in_progress()

    async def dead_letter(self, body: bytes, name: str, about: Mapping[str, str]) -> None:
        """Put a message among the dead letters."""
        tail = name[len(self.options.prefix) + 1 :]
        headers = {f"Cyevents-{key}": value.replace("\r", " ").replace("\n", " ") for key, value in about.items()}
        if self.options.at_least_once:
            await self._jetstream.publish(f"{self.options.prefix}-dead.{tail}", body, headers=headers)
        else:
            await self._client.publish(f"{self.options.prefix}-dead.{tail}", body, headers=headers)

    async def close(self) -> None:
        """Receive no more, and disconnect."""
        if self._client is None:
            return
        with suppress(errors.Error, OSError, TimeoutError):
            if self._subscription is not None and self._client.is_connected:
                async with asyncio.timeout(2):  # first: what is delivered to who has gone counts as an attempt
                    # The client's `drain` takes a first PONG for the answer to this, and leaves out what comes then.
                    await self._client._send_unsubscribe(self._subscription._id)
                    await self._flush()
                    await self._subscription.drain()
        self._is_closing = True
        await cancel_all(self._tasks)
        with suppress(errors.Error, OSError, TimeoutError):
            if self._client.is_connected:
                await self._give_back()
                async with asyncio.timeout(2):
                    await self._flush()
        self._client.forget(b"")  # what could not be sent until now: the client would write it to whatever is there
        with suppress(errors.Error, OSError, TimeoutError):  # the broker has gone, or TLS was not agreed on
            async with asyncio.timeout(1):
                await self._client.close()
        self._client.let_go()


def _both(first: Callable[..., Awaitable[None]], then: Callable[..., Awaitable[None]] | None) -> Any:
    """What calls one, and then another one, if there is one."""
    if then is None:
        return first

    async def call(*given: Any) -> None:
        await first(*given)
        await then(*given)

    return call


class NoTLS(errors.Error):
    """The server would have it unencrypted."""


class _Client(Client):
    """The client, which otherwise gives its secrets away unencrypted to a server that does not ask for TLS.

    And which sends what it had in hand when a connection broke as the first thing over the next one.
    """

    wants_tls = False

    def fail(self) -> None:
        """Let nobody wait for answers that will not come: the connection is lost."""
        for answer in (*self._resp_map.values(), *self._pongs):
            if not answer.done():
                answer.set_exception(ConnectionResetError("the connection is lost"))
                answer.exception()  # nobody need look at it
        self._pongs = []

    def forget(self, beginning: bytes) -> None:
        """Not to send commands that begin so any more."""
        self._pending = [command for command in self._pending if not command.startswith(beginning)]
        self._pending_data_size = sum(map(len, self._pending))

    def let_go(self) -> None:
        """End what has only begun to be closed, and would not end: a broker that reads no more, gets no more."""
        writer = getattr(self._transport, "_io_writer", None)  # a WebSocket has another one
        if writer is not None:
            writer.transport.abort()

    def _flush_pending(self, force_flush: bool = False) -> Coroutine[Any, Any, Any]:
        """Have what is pending sent. Where the client waits for room, it takes no notice of being cancelled."""
        flushing: Coroutine[Any, Any, Any] = super()._flush_pending(force_flush)
        has_room = self._flush_queue is not None and not self._flush_queue.full()
        return flushing if has_room and not force_flush else check_cancelled(flushing)

    def _connect_command(self) -> bytes:
        if self.wants_tls and not self._server_info.get("tls_required") and not self.client_options["tls_handshake_first"]:
            raise NoTLS("TLS is wanted, and the server does not offer it")
        command: bytes = super()._connect_command()
        return command


class _CoreDelivery(Delivery):
    """A message of core NATS: it is delivered once, or not."""

    def __init__(self, engine: NatsEngine, message: Msg) -> None:
        self._engine = engine
        self._name = message.subject
        self.body = message.data
        self.attempt = 1

    async def ack(self) -> None:
        """Nobody waits for that."""

    async def nack(self, delay: float) -> None:
        """It is not delivered again."""

    async def dead_letter(self, about: Mapping[str, str]) -> None:
        await self._engine.dead_letter(self.body, self._name, about)


class _StreamDelivery(Delivery):
    """A message of JetStream's."""

    def __init__(self, engine: NatsEngine, message: Msg) -> None:
        self._engine = engine
        self._message = message
        self._place = message.metadata.sequence.stream
        self.body = message.data
        self.attempt = message.metadata.num_delivered

    async def ack(self) -> None:
        self._engine._open.discard(self._place)
        with suppress(errors.Error):  # then it comes again
            await self._message.ack()

    async def nack(self, delay: float) -> None:
        if self._engine.options.group is None:  # or another process may get it, and be done with it
            self._engine._open.add(self._place)
        with suppress(errors.Error):
            await self._message.nak(delay)

    async def dead_letter(self, about: Mapping[str, str]) -> None:
        try:
            await self._engine.dead_letter(self.body, self._message.subject, about)
        except (TimeoutError, errors.Error, OSError):
            await self.nack(1.0)
            return
        await self.ack()
