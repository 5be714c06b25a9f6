"""The engine for NATS, based on the client nats-py.

At most once uses core NATS with subjects and queue groups. At least once uses JetStream: a stream stores the published
messages, and a consumer for each group, or for the process, delivers them until they are acknowledged.

The engine pulls messages from JetStream: it requests a batch, and the messages arrive at a subject of its own, its
inbox. Anyone who may publish to the inbox can send something else. So the engine accepts a message as JetStream's only
if the server delivers it under the subject of its event, with a reply subject for JetStream's acknowledgement.

The engine publishes to JetStream and reads the answers itself, because the client's own method keeps waiting for an
answer after the connection is lost, and may raise any exception if an answer does not come from the server.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections import deque
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from ._text import quoted
from .engine import (
    Address,
    Delivery,
    DeliveryOptions,
    Engine,
    Publication,
    Rejected,
    Unavailable,
    cancel_all,
    is_untrusted,
    logger,
    subject_of,
    subjects_of,
    times_cancelled,
)

try:
    from nats import errors
    from nats.js import api
    from nats.js import errors as js_errors

    from ._nats_client import Client, NoTLS
except ImportError as error:
    raise ImportError('a bridge to NATS needs its client: run pip install "cyevents-bridge[nats]"') from error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from datetime import datetime

    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from nats.js import JetStreamContext

_T = TypeVar("_T")

_PULL_TIME = 5.0  # seconds for which a request for messages is valid
_CONSUMER_LIFE = 300.0  # seconds for which the broker keeps a process's own consumer after the process has ended
_ANSWER_TIME = 5.0  # seconds to wait for an answer
_PAUSE = 0.2  # seconds until the next request after a refusal
_LOST = "the connection is lost"
_LONGEST_SUBJECTS = 4000  # bytes of a subject and a reply subject; a server allows 4096 for a whole line
_SHORT_SUBJECT = 500  # characters; a shorter subject is never too long
_HEADER_ROOM = 1000  # bytes; the headers of all messages except dead letters are shorter
_LONGEST_TAIL = 1000  # characters of a dead letter's subject
_PLAIN_SUBJECT = re.compile(r"[\w%~-]+(\.[\w%~-]+)*", re.ASCII)
_BAD_REQUEST = 400
_NO_LIMIT = 1_000_000  # seconds
_FAILURES = (errors.Error, OSError, TimeoutError)


class _AnswerError(msgspec.Struct):
    code: int = 0
    description: str = ""


class _Answer(msgspec.Struct):
    """JetStream's answer to a message."""

    stream: str = ""
    duplicate: bool = False
    error: _AnswerError | None = None


_decode_answer = msgspec.json.Decoder(_Answer).decode


class NatsEngine(Engine):
    """A connection to NATS.

    One option is for the engine, not for the client: `max_ack_pending` limits how many unacknowledged messages
    JetStream delivers to a group, or to the process. With 1, messages stay in order through every failure.
    """

    tls_schemes = frozenset({"tls", "wss"})
    tls_options = ("tls", "tls_hostname", "tls_handshake_first")

    def __init__(self, address: Address, options: DeliveryOptions, client_options: Mapping[str, Any]) -> None:
        client_options = dict(client_options)
        self._max_ack_pending: int | None = client_options.pop("max_ack_pending", None)
        if self._max_ack_pending is not None and (type(self._max_ack_pending) is not int or self._max_ack_pending < 1):
            raise TypeError(f"max_ack_pending must be a whole number from 1 on, not {self._max_ack_pending!r}")
        if not all(urlsplit(url).hostname for url in address.urls):
            raise ValueError(f"a NATS address must have a host, such as nats://host:4222, not {quoted(address.safe)}")
        super().__init__(address, options, client_options)
        known = inspect.signature(Client.connect).parameters
        for name in client_options:
            if name not in known or name in ("self", "servers"):
                raise TypeError(f"{name!r} is not an option of nats-py's connect()")
        self._client: Client | None = None
        self._stream = options.prefix.replace(".", "-")
        # The names of consumers and queues cannot contain dots or percent signs.
        self._group = None if options.group is None else subject_of(options.group).replace(".", "-").replace("%", "_")

    # Connecting

    async def connect(self) -> None:
        """Connect, and create the streams if they do not exist."""
        try:
            await self._connect()
        except errors.Error as error:
            raise ConnectionError(self.error_text(error)) from error

    async def _connect(self) -> None:
        self._tasks.clear()
        self._is_entered = self._is_closing = False
        self._cancelled_before = times_cancelled()
        self.last_error = None
        self._next_warning = 0.0  # when the next dropped message is logged
        self._is_up = asyncio.Event()
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # done while it is not connected
        self._answers: dict[str, asyncio.Future[Msg]] = {}  # JetStream's answers, by reply subject
        self._flushing: asyncio.Task[None] | None = None
        self._next_flush: asyncio.Task[None] | None = None
        self._subscription: Subscription | None = None  # to messages of JetStream
        self._waiting: deque[Msg] = deque()  # messages of JetStream that are not handled yet
        self._changed = asyncio.Event()  # set when `_waiting` or the state of the request changes
        self._request = ""  # the reply subject of the newest request for messages
        self._is_over = False  # whether the request is finished, so that no more messages come for it
        self._is_refused = False  # whether the broker refused the request
        self._last = 0  # the stream position of the newest message that was handled, or existed before
        self._open: set[int] = set()  # positions of earlier messages that must be delivered to this process again
        given = self.client_options
        settings: dict[str, Any] = {
            "name": f"cyevents {self.options.group or ''}".strip(),
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.2,
            "connect_timeout": 2,
            "no_echo": not self.options.at_least_once,
            **given,
            "error_cb": self._both(self._on_error, given.get("error_cb")),
            "disconnected_cb": self._both(self._on_lost, given.get("disconnected_cb")),
            "reconnected_cb": self._both(self._on_reconnected, given.get("reconnected_cb")),
            "closed_cb": self._both(self._on_closed, given.get("closed_cb")),
        }
        client = self._client = Client()
        client.wants_tls = self.address.scheme in self.tls_schemes
        client.report = self._set_last_error
        await client.connect(list(self.address.urls), **settings)
        self._is_up.set()
        self._is_entered = True
        self._jetstream: JetStreamContext = client.jetstream(timeout=_ANSWER_TIME)
        if self.options.at_least_once:
            self._answer_inbox = client.new_inbox()
            await client.subscribe(f"{self._answer_inbox}.*", cb=self._take_answer)
            await self._make_streams()

    def _both(self, own: Callable[..., Awaitable[None]], given: Callable[..., Awaitable[None]] | None) -> Any:
        """Return a function that calls the engine's callback, and then the user's if there is one."""
        if given is None:
            return own

        async def call(*args: Any) -> None:
            await own(*args)
            try:
                await given(*args)
            except Exception as error:  # otherwise the client would stop reading
                logger.error("a callback for the NATS client raised: %s", self.error_text(error), exc_info=error)

        return call

    def _set_last_error(self, error: Exception) -> None:
        self.last_error = error

    async def _on_error(self, error: Exception) -> None:
        if isinstance(error, errors.SlowConsumerError):
            if (now := asyncio.get_running_loop().time()) >= self._next_warning:
                self._next_warning = now + 1
                logger.warning("messages from %s arrive faster than they are handled: some are lost", self.safe_address)
            return
        logger.debug("NATS: %s", self.error_text(error))
        self.last_error = error
        is_final = is_untrusted(error) or isinstance(error, NoTLS) or "Authorization Violation" in str(error)
        if is_final and not self._is_entered:  # another attempt would not help
            raise ConnectionError(self.error_text(error)) from error
        if not self._is_entered and times_cancelled() > self._cancelled_before:  # the client swallowed a cancellation
            raise asyncio.CancelledError

    async def _on_lost(self) -> None:
        """Fail everything that is being published, so that it is published again in order."""
        self._is_up.clear()
        if not self._lost.done():
            self._lost.set_result(None)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError(_LOST))
        for flush in (self._flushing, self._next_flush):
            if flush is not None:
                flush.cancel()
        self._flushing = self._next_flush = None
        assert self._client is not None
        if self.options.at_least_once:  # these commands would overtake the lost ones
            self._client.drop_pending(f"HPUB {self.options.prefix}.".encode())
        if self._is_entered and not self._is_closing:
            why = "" if self.last_error is None else f": {self.error_text(self.last_error)}"
            logger.warning("lost the connection to %s, connecting again%s", self.safe_address, why)

    async def _on_reconnected(self) -> None:
        self.last_error = None
        self._lost = asyncio.get_running_loop().create_future()
        self._is_up.set()
        self._is_over = True  # the broker has forgotten the request
        self._changed.set()

    async def _on_closed(self) -> None:
        if self._is_entered and not self._is_closing:  # with `max_reconnect_attempts` or without `allow_reconnect`
            logger.critical("the bridge to %s has ended, because the client does not reconnect", self.safe_address)

    async def ready(self) -> None:
        """Wait until the engine is connected and the streams exist."""
        await self._is_up.wait()
        if self.options.at_least_once:
            with suppress(*_FAILURES):
                await self._make_streams()

    async def _ask(self, question: Coroutine[Any, Any, _T]) -> _T:
        """Return the answer to a request about streams or consumers. Fail at once if the connection is lost.

        Anyone who may publish to the client's inbox can send a wrong answer, so the client may raise any exception.
        """
        asked = asyncio.create_task(question)
        try:
            await asyncio.wait((asked, self._lost), return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise ConnectionResetError(_LOST)
            return asked.result()
        except _FAILURES:
            raise
        except Exception as error:
            raise ConnectionError(f"the answer is not from JetStream: {self.error_text(error)}") from error
        finally:
            asked.cancel()

    async def _make_streams(self) -> datetime:
        """Create the streams if they do not exist. Return when the stream of events was created."""
        await self._make_stream(f"{self._stream}-dead", f"{self.options.prefix}-dead.>")
        made = await self._make_stream(self._stream, f"{self.options.prefix}.>")
        if made.created is None:
            raise ConnectionError("the broker did not report when the stream was created")
        return made.created

    async def _make_stream(self, name: str, subjects: str) -> api.StreamInfo:
        with suppress(js_errors.NotFoundError):  # an existing stream keeps the operator's configuration
            return await self._ask(self._jetstream.stream_info(name))
        config = api.StreamConfig(
            name=name, subjects=[subjects], duplicate_window=self.options.dedup_window, max_age=self.options.retention
        )
        with suppress(js_errors.BadRequestError):  # another process was faster
            return await self._ask(self._jetstream.add_stream(config))
        return await self._ask(self._jetstream.stream_info(name))

    # Publishing

    async def publish(self, publication: Publication) -> None:
        """Publish a message: see `Engine.publish`."""
        assert self._client is not None
        if not self._client.is_connected:
            raise Unavailable("not connected")
        subject = f"{self.options.prefix}.{subject_of(publication.event)}"
        try:
            if self.options.at_least_once:
                answer = await self._store(subject, publication.body, {"Nats-Msg-Id": publication.id})
                if answer.duplicate and not publication.is_retry:
                    raise Rejected("the broker already has a message with this id, from another publisher")
            else:
                self._check_size(subject, publication.body)
                await self._client.publish(subject, publication.body)
                if publication.is_confirmed:
                    if times_cancelled():  # the client swallowed a cancellation while waiting for room in its buffer
                        raise asyncio.CancelledError
                    await self._confirm()
        except _FAILURES as error:
            raise Unavailable(self.error_text(error)) from error

    def _check_size(self, subject: str, body: bytes, headers: Mapping[str, str] | None = None, reply: str = "") -> None:
        """Raise if a message is too large, because the broker would end the connection."""
        assert self._client is not None
        limit = self._client.max_payload
        if len(subject) > _SHORT_SUBJECT and len(subject.encode()) + len(reply) > _LONGEST_SUBJECTS:
            raise Rejected("its subject is too long")
        if len(body) > limit - _HEADER_ROOM and (size := _size(body, headers)) > limit:
            raise Rejected(f"it has {size} bytes; the broker accepts {limit}")

    async def _store(self, subject: str, body: bytes, headers: dict[str, str] | None) -> _Answer:
        """Publish a message to a stream, and return the stream's answer."""
        assert self._client is not None
        reply = f"{self._answer_inbox}.{token_hex(8)}"  # unpredictable, so that nobody else can answer first
        self._check_size(subject, body, headers, reply)
        arrival = self._answers[reply] = asyncio.get_running_loop().create_future()
        try:
            before = times_cancelled()
            await self._client.publish(subject, body, reply, headers)
            if times_cancelled() > before:  # the client swallowed a cancellation while waiting for room in its buffer
                raise asyncio.CancelledError
            async with asyncio.timeout(_ANSWER_TIME):
                message = await arrival
        finally:
            del self._answers[reply]
        if message.headers is not None and message.headers.get(api.Header.STATUS) == api.StatusCode.SERVICE_UNAVAILABLE:
            raise Unavailable("the broker has no stream yet")  # it has just started, or has lost its data
        try:
            answer = _decode_answer(message.data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise Unavailable(f"the answer is not from JetStream: {quoted(message.data)}") from None
        if answer.error is not None:
            kind = Rejected if answer.error.code == _BAD_REQUEST else Unavailable
            raise kind(f"JetStream's error {answer.error.code}: {quoted(answer.error.description)}")
        if not answer.stream:
            raise Unavailable(f"the answer is not from JetStream: {quoted(message.data)}")
        return answer

    async def _take_answer(self, message: Msg) -> None:
        answer = self._answers.get(message.subject)
        if answer is not None and not answer.done():
            answer.set_result(message)

    async def _confirm(self) -> None:
        """Wait until the broker has all sent messages. Give up if this cannot be known."""
        try:
            await self._flush()
        except _FAILURES as error:  # if it were published again, it could arrive twice
            raise Rejected(f"the broker does not answer: {self.error_text(error)}") from error

    async def _flush(self) -> None:
        """Wait until the broker has all sent messages. Callers that wait at the same time share a round trip.

        The client's future for a PONG must not be cancelled, because the client then stops reading when the PONG comes.
        So the task that waits for it is not cancelled by a timeout, only when the connection is lost.
        """
        if self._lost.done():
            raise ConnectionResetError(_LOST)
        if self._next_flush is None:
            self._next_flush = asyncio.create_task(self._flush_after(self._flushing))
        flush, before = self._next_flush, times_cancelled()
        try:
            async with asyncio.timeout(_ANSWER_TIME):
                await asyncio.shield(flush)
        except asyncio.CancelledError:
            if flush.cancelled() and times_cancelled() == before:
                raise ConnectionResetError(_LOST) from None
            raise

    async def _flush_after(self, before: asyncio.Task[None] | None) -> None:
        assert self._client is not None
        if before is not None:
            await asyncio.wait((before,))
        self._flushing, self._next_flush = self._next_flush, None
        if self._client.pending_data_size:  # the PING overtakes the content of the client's buffer
            await self._client.flush(_NO_LIMIT)
        await self._client.flush(_NO_LIMIT)

    # Receiving

    async def listen(self, receive: Callable[[Delivery], Awaitable[None]]) -> None:
        """Start to receive messages."""
        assert self._client is not None
        names = [f"{self.options.prefix}.{each}" for each in subjects_of(self.options.patterns)]
        if not self.options.at_least_once:

            async def take(message: Msg) -> None:
                await receive(_CoreDelivery(self, message))

            for name in names:
                await self._client.subscribe(name, queue=self._group or "", cb=take)
            await self._flush()
            return
        self._born = await self._make_streams()
        made = await self._make_consumer(names, None)
        self._last = made.delivered.stream_seq if made.delivered is not None else 0
        self._start(self._fetch(names, made.name, receive))
        self._start(self._keep_waiting())

    async def _make_consumer(self, names: list[str], after: int | None) -> api.ConsumerInfo:
        """Create the consumer, or find the group's. It gets new messages, or those after a stream position."""
        group = self._group
        config = api.ConsumerConfig(
            durable_name=group,
            filter_subjects=names,
            ack_wait=self.options.ack_wait,
            ack_policy=api.AckPolicy.EXPLICIT,
            max_ack_pending=self._max_ack_pending,
            inactive_threshold=None if group is not None else _CONSUMER_LIFE,
            deliver_policy=api.DeliverPolicy.NEW if after is None else api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=None if after is None else after + 1,
        )
        if group is not None:
            with suppress(js_errors.NotFoundError):
                found: api.ConsumerInfo = await self._ask(self._jetstream.consumer_info(self._stream, group))
                has_names = set(found.config.filter_subjects or [found.config.filter_subject or ""]) == set(names)
                if has_names and self._max_ack_pending in (None, found.config.max_ack_pending):
                    return found
                config.deliver_policy = found.config.deliver_policy  # it cannot be changed
                config.max_ack_pending = self._max_ack_pending or found.config.max_ack_pending
        return await self._ask(self._jetstream.add_consumer(self._stream, config))

    async def _fetch(self, names: list[str], consumer: str, receive: Callable[[Delivery], Awaitable[None]]) -> None:
        """Request messages and pass them on one after the other, until the engine is closed."""
        assert self._client is not None
        self._inbox = self._client.new_inbox()
        self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._take)
        batch = 1
        while True:
            self._request = f"{self._inbox}.{token_hex(8)}"
            self._is_over = False
            with suppress(*_FAILURES):
                await self._pull(consumer, batch)
            is_repeated = await self._hand_on(batch, receive)
            if self._is_closing:
                return
            if self._is_refused:
                self._is_refused = False
                await asyncio.sleep(_PAUSE)
                with suppress(*_FAILURES):
                    if not await self._has_consumer(consumer):
                        consumer = (await self._make_consumer(names, await self._find_place())).name
            # A redelivered message may have killed its process, so fetch no others together with it.
            batch = 1 if is_repeated else self.options.batch

    async def _pull(self, consumer: str, batch: int) -> None:
        """Request some messages. For some time, they arrive as they are published."""
        assert self._client is not None
        question = json.dumps({"batch": batch, "expires": int(_PULL_TIME * 1e9)}).encode()
        await self._client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{consumer}", question, self._request)

    async def _take(self, message: Msg) -> None:
        """Accept a message of JetStream, or a status of a request."""
        if message.subject.startswith(self._inbox):
            status = None if message.headers is None else message.headers.get(api.Header.STATUS)
            if status is None or message.reply or message.data:
                self._drop(message)
            elif message.subject == self._request:
                self._is_over = True
                self._is_refused = status != api.StatusCode.REQUEST_TIMEOUT  # for example if the consumer is gone
                self._changed.set()
            return
        try:
            is_ours = message.metadata.stream == self._stream
        except (errors.Error, ValueError, OverflowError, OSError):
            is_ours = False
        if is_ours:
            self._waiting.append(message)
            self._changed.set()
        else:
            self._drop(message)

    def _drop(self, message: Msg) -> None:
        logger.warning(
            "dropped a message from %s that is not from JetStream, to %s, with the reply subject %s and %s bytes",
            self.safe_address,
            quoted(message.subject),
            quoted(message.reply),
            len(message.data),
        )

    async def _hand_on(self, batch: int, receive: Callable[[Delivery], Awaitable[None]]) -> bool:
        """Pass on the messages of a request until it is over. Return whether one of them was a redelivery."""
        end = asyncio.get_running_loop().time() + _PULL_TIME + 1
        is_repeated = False
        while batch and not self._is_closing:
            if self._waiting:
                message = self._waiting[0]
                delivery = _StreamDelivery(self, message)
                try:
                    await receive(delivery)
                except Exception as error:  # an error must not stop receiving
                    logger.error("a message from %s was not handled", self.safe_address, exc_info=error)
                    await delivery.nack(1.0)
                self._last = max(self._last, message.metadata.sequence.stream)
                self._waiting.popleft()
                is_repeated = is_repeated or message.metadata.num_delivered > 1
                batch -= 1
            elif self._is_over:
                break
            else:
                self._changed.clear()
                try:
                    async with asyncio.timeout_at(end):
                        await self._changed.wait()
                except TimeoutError:  # the broker did not even report that there were no messages
                    break
        return is_repeated

    async def _has_consumer(self, consumer: str) -> bool:
        """Return whether the broker still has a consumer."""
        try:
            await self._ask(self._jetstream.consumer_info(self._stream, consumer))
        except js_errors.NotFoundError:
            return False
        return True

    async def _find_place(self) -> int:
        """Return the stream position after which to continue: 0 if the stream was created again."""
        born = await self._make_streams()
        if born > self._born:
            self._born, self._last = born, 0
            self._open.clear()
        return min(self._open, default=self._last + 1) - 1

    async def _give_back(self) -> None:
        """Return unhandled messages, since other processes would otherwise get them only after `ack_wait`."""
        while self._waiting:
            with suppress(*_FAILURES):
                await self._waiting.popleft().nak()

    async def _keep_waiting(self) -> None:
        """Report unfinished messages as in progress from time to time, so that they are not delivered again."""
        while not self._is_closing:
            await asyncio.sleep(self.options.ack_wait / 3)
            for message in self._waiting.copy():
                with suppress(*_FAILURES):
                    await message.in_progress()

    async def dead_letter(self, body: bytes, subject: str, about: Mapping[str, str]) -> None:
        """Move a message to the dead letters."""
        assert self._client is not None
        if not self._client.is_connected:
            raise Unavailable("not connected")
        subject = f"{self.options.prefix}-dead.{_plain_tail(subject.removeprefix(f'{self.options.prefix}.'))}"
        headers: dict[str, str] | None = {f"Cyevents-{key}": value for key, value in about.items()}
        if _size(body, headers) > self._client.max_payload:
            headers = None  # it is better to lose the headers than the message
        if self.options.at_least_once:
            await self._store(subject, body, headers)
        else:
            self._check_size(subject, body, headers)
            await self._client.publish(subject, body, headers=headers)

    # Closing

    async def close(self) -> None:
        """Stop receiving, and disconnect."""
        client = self._client
        if client is None:
            return
        with suppress(*_FAILURES):
            if self._subscription is not None and client.is_connected:
                async with asyncio.timeout(2):  # first, because each later delivery counts as an attempt
                    await client.unsubscribe_at_server(self._subscription)
                    await self._flush()
                    await self._subscription.drain()  # type: ignore[no-untyped-call]
        self._is_closing = True
        await cancel_all(self._tasks)
        with suppress(*_FAILURES):
            if client.is_connected:
                await self._give_back()
                async with asyncio.timeout(2):
                    await self._flush()
        client.drop_pending(b"")  # commands that could not be sent until now
        # AssertionError: the client refused an address or an option before it began to connect.
        with suppress(AssertionError, *_FAILURES):
            async with asyncio.timeout(1):
                await client.close()
        client.abort()
        for flush in (self._flushing, self._next_flush):
            if flush is not None:
                flush.cancel()


def _size(body: bytes, headers: Mapping[str, str] | None) -> int:
    """Return the size of a message as the broker counts it."""
    if headers is None:
        return len(body)
    lines = ["NATS/1.0\r\n", *(f"{key}: {value}\r\n" for key, value in headers.items()), "\r\n"]
    return len(body) + len("".join(lines).encode())


def _plain_tail(subject: str) -> str:
    """Return a subject, without the prefix, in a form that is short and can be published to."""
    subject = subject[:_LONGEST_TAIL]
    if _PLAIN_SUBJECT.fullmatch(subject):
        return subject
    return ".".join([quote(token, safe="%") or "%" for token in subject.split(".")])


class _CoreDelivery(Delivery):
    """A message of core NATS, which is delivered at most once."""

    def __init__(self, engine: NatsEngine, message: Msg) -> None:
        self._engine = engine
        self._subject = message.subject
        self.body = message.data
        self.attempt = 1

    async def ack(self) -> None:
        """Do nothing: core NATS has no acknowledgements."""

    async def nack(self, delay: float) -> None:
        """Do nothing: core NATS does not deliver a message again."""

    async def dead_letter(self, about: Mapping[str, str]) -> None:
        try:
            await self._engine.dead_letter(self.body, self._subject, about)
        except (Rejected, Unavailable, *_FAILURES) as error:
            logger.error("the dead letter was not stored: %s", self._engine.error_text(error))


class _StreamDelivery(Delivery):
    """A message of JetStream."""

    def __init__(self, engine: NatsEngine, message: Msg) -> None:
        self._engine = engine
        self._message = message
        self._place = message.metadata.sequence.stream
        self.body = message.data
        self.attempt = message.metadata.num_delivered

    async def ack(self) -> None:
        self._engine._open.discard(self._place)
        with suppress(*_FAILURES):  # on failure, the message is delivered again
            await self._message.ack()

    async def nack(self, delay: float) -> None:
        if self._engine.options.group is None:  # in a group, another process may get it
            self._engine._open.add(self._place)
        with suppress(*_FAILURES):
            await self._message.nak(delay)

    async def dead_letter(self, about: Mapping[str, str]) -> None:
        try:
            await self._engine.dead_letter(self.body, self._message.subject, about)
        except (Unavailable, *_FAILURES):
            await self.nack(1.0)
            return
        except Rejected as error:  # it would be delivered again for ever
            logger.error("the dead letter was not stored: %s", self._engine.error_text(error))
        await self.ack()
