"""The engine for NATS: by its own client, which costs a quarter or less of what a layer over it does.

At most once is core NATS: subjects, queue groups. At least once is JetStream: a stream that keeps what is published, a
consumer for each group, or for the process, and explicit acknowledgement.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ._engines import Arrival, Engine, Refused, Unavailable, subject, subjects

try:
    import nats
    from nats import errors
    from nats.js import api
    from nats.js import errors as js_errors
except ImportError as error:
    raise ImportError('a bridge to NATS needs its client: pip install "cyevents[nats]"') from error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from nats.aio.msg import Msg

_logger = logging.getLogger("cyevents.bridge")

_POLL = 5.0  # seconds that a fetch waits for messages
_GONE = 300.0  # seconds for which the broker keeps a process's own consumer when that is away


class NatsEngine(Engine):
    """A connection to NATS."""

    def __init__(self, address: str, plan: Any, options: Mapping[str, Any]) -> None:
        super().__init__(address, plan, options)
        self._client: Any = None
        self._subscription: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._waiting: list[Msg] = []  # messages that are delivered and not dealt with
        self._is_closing = False  # the client, and Python 3.11's wait_for, swallow a cancellation now and then
        self._last: int | None = None  # the place in the stream of the newest one that was dealt with
        self._stream = plan.prefix.replace(".", "-")
        # As the name of a consumer or a queue may be.
        self._group = None if plan.group is None else subject(plan.group).replace(".", "-").replace("%", "_")

    async def connect(self) -> None:
        """Connect, and make the streams if there are none."""
        try:
            await self._connect()
        except errors.Error as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error

    async def _connect(self) -> None:
        self._client = None
        self._is_closing = False
        self._tasks.clear()
        self._last = None
        settings: dict[str, Any] = {
            "name": f"cyevents {self.plan.group or ''}".strip(),
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.2,
            "connect_timeout": 2,
            "no_echo": not self.plan.at_least_once,
            "error_cb": _note,
            **self.options,
        }
        self._client = await nats.connect(self.address, **settings)
        self._jetstream = self._client.jetstream(timeout=5)
        if self.plan.at_least_once:
            await self._make_stream(self._stream, f"{self.plan.prefix}.>")
            await self._make_stream(f"{self._stream}-dead", f"{self.plan.prefix}-dead.>")

    async def _make_stream(self, name: str, subjects: str) -> None:
        try:
            await self._jetstream.stream_info(name)  # as whoever runs the broker has set it up
        except js_errors.NotFoundError:
            config = api.StreamConfig(
                name=name, subjects=[subjects], duplicate_window=self.plan.window, max_age=self.plan.keep
            )
            try:
                await self._jetstream.add_stream(config)
            except js_errors.BadRequestError:  # another process was faster
                await self._jetstream.stream_info(name)

    # Publishing

    async def publish(self, event: str, body: bytes, identity: str, is_confirmed: bool) -> None:
        """Publish a message."""
        name = f"{self.plan.prefix}.{subject(event)}"
        if not self._client.is_connected:
            raise Unavailable("not connected")
        try:
            if self.plan.at_least_once:
                await self._jetstream.publish(name, body, headers={api.Header.MSG_ID: identity})
            else:
                await self._client.publish(name, body)
                if is_confirmed:
                    await self._confirm()
        except js_errors.NoStreamResponseError as error:  # the broker has just begun, or has lost what it had
            with suppress(errors.Error):
                await self._make_stream(self._stream, f"{self.plan.prefix}.>")
            raise Unavailable("the broker has no stream yet") from error
        except (errors.MaxPayloadError, js_errors.BadRequestError) as error:
            raise Refused(f"{type(error).__name__}: {error}") from error
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
            raise Refused(f"it does not answer: {type(error).__name__}: {error}") from error

    # Receiving

    async def listen(self, receive: Callable[[Arrival], Awaitable[None]]) -> None:
        """Receive messages from now on."""
        names = [f"{self.plan.prefix}.{each}" for each in subjects(self.plan.patterns)]
        if not self.plan.at_least_once:
            for name in names:

                async def arrived(message: Msg) -> None:
                    await receive(_Plain(self, message))

                await self._client.subscribe(name, queue=self._group or "", cb=arrived)
            await self._flush()
            return
        consumer = await self._make_consumer(names, None)
        for coroutine in (self._fetch(names, consumer, receive), self._keep_waiting()):
            task = asyncio.create_task(coroutine)
            task.add_done_callback(_tell_of_end)
            self._tasks.append(task)

    async def _make_consumer(self, names: list[str], after: int | None) -> str:
        """Make the consumer, or find the group's; return its name."""
        group = self._group
        config = api.ConsumerConfig(
            durable_name=group,
            filter_subjects=names,
            ack_wait=self.plan.ack_wait,
            ack_policy=api.AckPolicy.EXPLICIT,
            inactive_threshold=None if group is not None else _GONE,
            deliver_policy=api.DeliverPolicy.NEW if after is None else api.DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=None if after is None else after + 1,
        )
        if group is not None:
            with suppress(js_errors.NotFoundError):
                found = await self._jetstream.consumer_info(self._stream, group)
                if set(found.config.filter_subjects or [found.config.filter_subject]) == set(names):
                    return group
                config.deliver_policy = found.config.deliver_policy  # which cannot be changed
        made = await self._jetstream.add_consumer(self._stream, config)
        name: str = made.name
        return name

    async def _fetch(self, names: list[str], consumer: str, receive: Callable[[Arrival], Awaitable[None]]) -> None:
        """Fetch messages, and hand them on one after the other, until the end."""
        await self._bind(consumer)
        batch = 1
        while not self._is_closing:
            try:
                messages = await self._subscription.fetch(batch, timeout=_POLL)
            except TimeoutError:  # nothing has come
                continue
            except (errors.Error, OSError) as error:
                _logger.debug("fetching from %s: %s: %s", self.place, type(error).__name__, error)
                await asyncio.sleep(0.2)
                with suppress(errors.Error, OSError, TimeoutError):
                    if not await self._knows(consumer):
                        consumer = await self._make_consumer(names, self._last)
                        await self._bind(consumer)
            else:
                await self._hand_on(messages, receive)
                # One that has been delivered before may have killed its process: it is not to take others along.
                batch = 1 if any(message.metadata.num_delivered > 1 for message in messages) else self.plan.batch

    async def _bind(self, consumer: str) -> None:
        self._subscription = await self._jetstream.pull_subscribe_bind(consumer=consumer, stream=self._stream)

    async def _knows(self, consumer: str) -> bool:
        """Whether the broker has not forgotten a consumer."""
        try:
            await self._jetstream.consumer_info(self._stream, consumer)
        except js_errors.NotFoundError:
            return False
        return True

    async def _hand_on(self, messages: list[Msg], receive: Callable[[Arrival], Awaitable[None]]) -> None:
        self._waiting = list(messages)
        try:
            while self._waiting and not self._is_closing:
                message = self._waiting[0]
                await receive(_Kept(self, message))
                self._last = max(self._last or 0, message.metadata.sequence.stream)
                del self._waiting[0]
        finally:
            left, self._waiting = self._waiting, []
            for message in left:  # others may have them
                with suppress(errors.Error):
                    await message.nak()

    async def _give_back(self) -> None:
        """Let others have what has come for a fetch that has been given up: it would be missed until `ack_wait`."""
        inner = getattr(self._subscription, "_sub", None)  # the client has no name for it
        arrived = getattr(inner, "_pending_queue", None)
        while arrived is not None and not arrived.empty():
            message = arrived.get_nowait()
            if message.reply.startswith("$JS.ACK"):  # and is no word of the broker's
                await message.nak()

    async def _keep_waiting(self) -> None:
        """Tell the broker of messages that wait for their turn, or are dealt with: not to send them again."""
        while not self._is_closing:
            await asyncio.sleep(self.plan.ack_wait / 3)
            for message in self._waiting.copy():
                with suppress(errors.Error):
                    await message.in_progress()

    async def bury(self, body: bytes, name: str, about: Mapping[str, str]) -> None:
        """Put a message among the dead letters."""
        tail = name[len(self.plan.prefix) + 1 :]
        headers = {f"Cyevents-{key}": value.replace("\r", " ").replace("\n", " ") for key, value in about.items()}
        if self.plan.at_least_once:
            await self._jetstream.publish(f"{self.plan.prefix}-dead.{tail}", body, headers=headers)
        else:
            await self._client.publish(f"{self.plan.prefix}-dead.{tail}", body, headers=headers)

    async def close(self) -> None:
        """Receive no more, and disconnect."""
        if self._client is None:
            return
        self._is_closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(errors.Error, OSError, TimeoutError):
            if self._client.is_connected:
                await self._client.flush(2)
                if self._subscription is not None:
                    await self._give_back()
                    await self._subscription.unsubscribe()  # or what comes next would be sent here, and counted
                    await self._client.flush(2)
        with suppress(errors.Error, OSError):  # the broker has gone
            await self._client.close()


def _tell_of_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _logger.critical("the bridge receives no more", exc_info=task.exception())


async def _note(error: Exception) -> None:
    _logger.debug("NATS: %s: %s", type(error).__name__, error)


class _Plain(Arrival):
    """A message of core NATS: it is delivered once, or not."""

    def __init__(self, engine: NatsEngine, message: Msg) -> None:
        self._engine = engine
        self._name = message.subject
        self.body = message.data
        self.attempt = 1

    async def done(self) -> None:
        """Nobody waits for that."""

    async def retry(self, delay: float) -> None:
        """It is not delivered again."""

    async def bury(self, about: Mapping[str, str]) -> None:
        await self._engine.bury(self.body, self._name, about)


class _Kept(Arrival):
    """A message of JetStream's."""

    def __init__(self, engine: NatsEngine, message: Msg) -> None:
        self._engine = engine
        self._message = message
        self.body = message.data
        self.attempt = message.metadata.num_delivered

    async def done(self) -> None:
        with suppress(errors.Error):  # then it comes again
            await self._message.ack()

    async def retry(self, delay: float) -> None:
        with suppress(errors.Error):
            await self._message.nak(delay)

    async def bury(self, about: Mapping[str, str]) -> None:
        try:
            await self._engine.bury(self.body, self._message.subject, about)
        except (TimeoutError, errors.Error, OSError):
            await self.retry(1.0)
            return
        await self.done()
