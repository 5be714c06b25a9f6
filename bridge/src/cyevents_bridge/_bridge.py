"""`Bridge`: publishes the emissions of a namespace, and emits the messages of other processes in it."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import threading
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from cyevents import Namespace
from cyevents.instrument import EmissionSpan, Instrument, observe, origin

from ._codec import Codec, Malformed, Message
from ._context import carried_context, restored_context
from ._ids import RandomIds
from ._loop_thread import LoopThread
from ._outbox import Dropped, Item, Outbox
from ._text import log_exception, quoted
from .engine import Address, DeliveryOptions, Unavailable, engine_for, logger, times_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from cyevents.instrument import EmissionStart, Scope

    from ._codec import Encoding
    from ._outbox import Overflow
    from .engine import Delivery, Engine

_IN_FLIGHT = 128  # messages that are published at the same time
_MIN_PAUSE, _MAX_PAUSE = 0.05, 1.0  # seconds between two attempts to publish while the broker is there


@dataclass(slots=True)
class Stats:
    """What a bridge has done so far, in numbers of messages.

    Attributes:
        published: accepted by the broker.
        waiting: in the outbox, or being published.
        dropped: not published, because too many waited, the broker rejected them, or the bridge was left.
        received: emitted here for other processes.
        redelivered: those among `received` that had been delivered before.
        failed: those among `received` whose handlers raised.
        dead: moved to the dead letters.
    """

    published: int = 0
    waiting: int = 0
    dropped: int = 0
    received: int = 0
    redelivered: int = 0
    failed: int = 0
    dead: int = 0


class Bridge:
    """Carries the events of a namespace to other processes through a message broker, and their events to this one.

    Inside its `async with` or `with` block, an emission of a matching event calls the local handlers as always and is
    also published. Every other process with a bridge to the same broker emits the event in its own namespace, with the
    same name, sender and arguments. Priorities, conditions and cancellation stay local to each process: an emission is
    published even if a local handler cancels it or raises. No bridge publishes a received message again.

    `emit` and `send` never wait for the network: their message goes to a bounded outbox. `emit_async`, `send_async` and
    `first_async` wait until the broker has confirmed the message, and raise `Dropped` if it was not published.

    Args:
        namespace: the namespace whose events are carried.
        address: the broker's address, such as `"nats://127.0.0.1:4222"`, `"redis://127.0.0.1:6379/0"` or
            `"amqp://127.0.0.1:5672"`. In user names and passwords, percent-encode everything but letters and digits.
        events: the events to carry: a list of names and patterns.
        group: if given, one process of the group gets each message, instead of every process. If a member of the group
            emits an event, the other members do not get it.
        delivery: `"at_most_once"`: only connected processes get a message. `"at_least_once"`: the broker keeps a
            message, and delivers it again until the handlers have run without an error.
        types: types whose values may be sent: see `register`.
        encoding: `"json"`, or `"msgpack"` for fewer bytes. All processes must use the same.
        max_size: the largest size of a message, in bytes. A larger emission raises a `ValueError`. A larger received
            message is moved to the dead letters without being decoded.
        outbox: how many messages may wait to be published.
        overflow: what happens when the outbox is full: with `"raise"`, the emission raises `OutboxFull`; with
            `"drop_oldest"`, the oldest message is dropped.
        backoff: if a handler raises, the message is delivered again after so many seconds: one number for each attempt.
            After the last attempt it is moved to the dead letters.
        ack_wait: seconds after which the broker gives a message to another process if this one does not answer.
        dedup_window: seconds within which a second message with the same id is dropped, by the broker, or, with
            RabbitMQ, by the process that receives it.
        retention: seconds for which the broker keeps messages.
        prefix: the first part of the broker's subjects. Bridges with different prefixes are independent.
        flush_timeout: seconds that leaving waits at most until everything is published.
        connect_timeout: seconds that entering waits at most for the broker.
        **options: options for the broker's client, such as `token`, `user`, `password` and `tls` (an `ssl.SSLContext`)
            for NATS, `username`, `password` and `ssl_ca_certs` for Redis, `user`, `password` and `tls` for RabbitMQ.
            With NATS at least once, `max_ack_pending` limits how many messages are delivered but not acknowledged; with
            1, messages stay in order through every failure.

    Raises:
        TypeError: if an argument has a wrong type, or a type cannot be registered.
        ValueError: if an argument has an impossible value, no engine knows the scheme of the address, or an option is
            for TLS but the address is not.
        ImportError: if the broker's client is not installed.
        ConnectionError: on entering, if the broker does not answer in time, or refuses the connection.
        RuntimeError: on entering, if the bridge is already entered.

    Thread-safe: emissions may come from any thread. Received messages are emitted with `emit_async`, one after the
    other, in the event loop of the `async with`, or in the bridge's own thread with a plain `with`.
    """

    def __init__(
        self,
        namespace: Namespace,
        address: str,
        events: Sequence[str],
        *,
        group: str | None = None,
        delivery: Literal["at_most_once", "at_least_once"] = "at_most_once",
        types: Iterable[type] = (),
        encoding: Encoding = "json",
        max_size: int = 1_000_000,
        outbox: int = 10_000,
        overflow: Overflow = "raise",
        backoff: Sequence[float] = (0.1, 1.0, 10.0, 60.0),
        ack_wait: float = 30.0,
        dedup_window: float = 120.0,
        retention: float = 7 * 24 * 3600.0,
        prefix: str = "cyevents",
        flush_timeout: float = 5.0,
        connect_timeout: float = 5.0,
        **options: Any,
    ) -> None:
        if not isinstance(namespace, Namespace):
            raise TypeError(f"a bridge needs a Namespace, not {namespace!r}")
        if isinstance(events, str) or not events or not all(isinstance(name, str) and name for name in events):
            raise TypeError(f"events must be a list of names and patterns, not {events!r}")
        if group is not None and (not isinstance(group, str) or not group):
            raise TypeError(f"group must be a name or None, not {group!r}")
        if delivery not in ("at_most_once", "at_least_once"):
            raise ValueError(f'delivery must be "at_most_once" or "at_least_once", not {delivery!r}')
        if type(max_size) is not int or max_size < 1:
            raise TypeError(f"max_size must be a whole number from 1 on, not {max_size!r}")
        if isinstance(backoff, str) or not isinstance(backoff, Sequence):
            raise TypeError(f"backoff must be a list of seconds, not {backoff!r}")
        if isinstance(types, type) or not isinstance(types, Iterable):
            raise TypeError(f"types must be a list of types, not {types!r}")
        if not isinstance(prefix, str):
            raise TypeError(f"prefix must be a str, not {prefix!r}")
        if not _PREFIX.fullmatch(prefix):
            raise ValueError(f"prefix must have letters, digits, - and _, and dots between them, not {prefix!r}")
        for delay in backoff:
            _check_seconds("a delay in backoff", delay, 0.0)
        _check_seconds("ack_wait", ack_wait, 0.1)
        _check_seconds("dedup_window", dedup_window, 0.0)
        _check_seconds("retention", retention, 0.01)
        _check_seconds("flush_timeout", flush_timeout, 0.0)
        _check_seconds("connect_timeout", connect_timeout, 0.001)
        self._stats = Stats()
        self._given_up = 0
        self._namespace = namespace
        self._carries = _any_of([_matcher(name) for name in events])
        self._group = group
        self._codec = Codec(encoding)
        self._max_size = max_size
        self._outbox = Outbox(outbox, overflow)
        self._backoff = tuple(backoff)
        self._consequence = ", and the message will be delivered again" if delivery == "at_least_once" else ""
        self._flush_timeout = flush_timeout
        self._connect_timeout = connect_timeout
        self._is_entered = False
        self._process = 0  # the id of the process in which it is, or was last, entered
        self._publishing = _Publishing(self)
        self._ids = RandomIds()
        self._scope: Scope | None = None
        at = Address.parse(address)
        kind = engine_for(at.scheme)
        is_kept, attempts = delivery == "at_least_once", len(self._backoff) + 1
        how = DeliveryOptions(
            tuple(events), group, is_kept, prefix, ack_wait, dedup_window, retention, 64, attempts, max_size
        )
        self._engine: Engine = kind(at, how, options)
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: LoopThread | None = None
        for cls in types:
            self.register(cls)

    def register(
        self,
        cls: type,
        *,
        name: str | None = None,
        encode: Callable[[Any], Any] | None = None,
        decode: Callable[[Any], Any] | None = None,
    ) -> None:
        """Allow values of a type as senders and arguments. Register the type in every process that receives them.

        None, bools, numbers, strings, bytes, lists, dicts, tuples, sets, dates and times, `Decimal` and `UUID` need no
        registration. If a value has any other type, the emission raises a `TypeError` and nothing is published.

        Args:
            cls: the type: a dataclass, a msgspec `Struct`, a pydantic model or an `Enum`, or any other type with
                `encode` and `decode`. Subclasses are not included.
            name: the name of the type in messages. The default is the class's own name.
            encode: converts a value to one that can be sent.
            decode: converts it back.

        Raises:
            TypeError: if `cls` is not a type, or needs `encode` and `decode`.
            ValueError: if another type has that name.
        """
        self._codec.register(cls, name=name, encode=encode, decode=decode)

    # Entering and leaving

    async def __aenter__(self) -> Bridge:
        self._enter()
        engine = self._engine
        try:
            try:
                async with asyncio.timeout(self._connect_timeout):
                    await engine.connect()
                    await engine.listen(self._receive)
            except (TimeoutError, OSError) as error:
                why = engine.error_text(engine.last_error or error)
                at = engine.safe_address
                what = f"no broker answers at {at}" if isinstance(error, TimeoutError) else f"{at} cannot be used"
                # The error of the client is not shown as the cause: its text may have a password.
                raise ConnectionError(f"{what}: {why}") from None
        except BaseException:
            self._is_entered = False
            await engine.close()
            raise
        self._outbox.open()
        self._publisher = asyncio.create_task(self._publish_all())
        self._scope = observe(self._publishing, self._namespace, matches=self._carries)
        return self

    def _enter(self) -> None:
        with _lock:
            if self._is_entered and self._process == os.getpid():
                raise RuntimeError("the bridge is already entered: leave it first, or create another one")
            if self._process != os.getpid():  # a forked process has its own id, and nothing to publish
                self._stop_observing()
                self._tasks.clear()
                self._outbox.close()
                self._process = os.getpid()
                self._id = uuid.uuid4().hex
                self._ids.clear()
            self._is_entered = True

    def _stop_observing(self) -> None:
        scope, self._scope = self._scope, None
        if scope is not None:
            scope.stop()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_observing()
        try:
            await self.drain(self._flush_timeout)
        finally:
            self._publisher.cancel()
            for task in self._tasks:
                task.cancel()
            left = self._count_waiting()
            self._outbox.close()
            if left:
                logger.error("%s emissions were not published: the bridge to %s was left", left, self.safe_address)
            try:
                await asyncio.gather(self._publisher, *self._tasks, return_exceptions=True)
            finally:
                try:
                    await self._engine.close()
                finally:
                    self._is_entered = False

    def __enter__(self) -> Bridge:
        thread = LoopThread()
        try:
            thread.run(self.__aenter__())
        except BaseException:
            thread.stop()
            raise
        self._thread = thread
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        thread, self._thread = self._thread, None
        assert thread is not None
        try:
            thread.run(self.__aexit__(None, None, None))
        finally:
            thread.stop()
            self._stop_observing()  # if the thread had ended, `__aexit__` has not run
            self._outbox.close()
            self._is_entered = False

    async def drain(self, timeout: float | None = None) -> bool:
        """Wait until the broker has everything that was emitted. Call it in the event loop of the `async with`.

        Programs with a plain `with` cannot call it: leaving the block waits for `flush_timeout` instead.

        Args:
            timeout: how long to wait at most, in seconds. `None` waits without a limit.

        Returns:
            Whether everything is published. If not, `stats.waiting` says how much is left.
        """
        end = None if timeout is None else monotonic() + timeout
        while self._count_waiting():
            if end is not None and monotonic() >= end:
                return False
            await asyncio.sleep(0.005)
        return True

    @property
    def safe_address(self) -> str:
        """The broker's address without secrets, for logs and errors."""
        return self._engine.safe_address

    @property
    def stats(self) -> Stats:
        """A snapshot of what the bridge has done so far."""
        dropped = self._given_up + self._outbox.dropped
        return replace(self._stats, waiting=self._count_waiting(), dropped=dropped)

    def _count_waiting(self) -> int:
        return len(self._outbox) + len(self._tasks)

    def _give_up(self, item: Item, why: str) -> None:
        self._given_up += 1
        item.fail(Dropped(f"{item.event!r} was not published: {why}"))

    # Publishing

    def _accept(self, start: EmissionStart) -> EmissionSpan | None:
        """Prepare an emission for publishing, unless it comes from a message. An exception here vetoes it."""
        if isinstance(start.origin, Message) or self._process != os.getpid():
            return None
        event, identity = start.event.name, self._ids.next()
        body = self._codec.pack(
            Message(event, identity, self._id, self._group, start.sender, start.args, start.kwargs, carried_context())
        )
        if len(body) > self._max_size:
            raise ValueError(
                f"the message for {event!r} has {len(body)} bytes; max_size is {self._max_size}: send less, or raise"
                " max_size in all processes"
            )
        confirmed: Future[None] | None = Future() if start.way.endswith("_async") else None
        item = Item(event, body, identity, confirmed is not None, False, confirmed)
        self._outbox.check(item)
        start.on_accepted(partial(self._outbox.put, item))  # not now: another bridge may refuse the emission
        return None if confirmed is None else _Confirmation(confirmed)

    async def _publish_all(self) -> None:
        """Publish items in order, many at the same time. Items that are published again keep their position."""
        room = asyncio.Semaphore(_IN_FLIGHT)
        self._pause = _MIN_PAUSE
        self._is_away = False
        while True:
            await room.acquire()
            item = await self._outbox.get()
            if self._is_away:
                self._outbox.put_back(item)
                room.release()
                await self._wait_for_broker()
                continue
            task = asyncio.create_task(self._publish(item))
            self._tasks.add(task)
            task.add_done_callback(partial(self._published, item))
            task.add_done_callback(lambda _: room.release())

    async def _publish(self, item: Item) -> None:
        if self._is_away:  # the broker went away after this task was created
            raise Unavailable("earlier messages are not published yet")
        try:
            await self._engine.publish(item)
        except Unavailable:
            item.is_retry = True
            self._is_away = True
            raise

    async def _wait_for_broker(self) -> None:
        """Wait until unpublished items are back in the outbox and the broker is reachable again."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._engine.ready()
        await asyncio.sleep(self._pause)
        self._pause = min(self._pause * 2, _MAX_PAUSE)
        self._is_away = False

    def _published(self, item: Item, task: asyncio.Task[None]) -> None:
        """Done callback of a task that publishes an item."""
        self._tasks.discard(task)
        if task.cancelled():
            self._give_up(item, "the bridge was left")
        elif isinstance(error := task.exception(), Unavailable):
            logger.debug("publishing %r: %s", item.event, self._engine.error_text(error))
            self._outbox.put_back(item)
        elif error is not None:
            why = self._engine.error_text(error)
            logger.error("the broker did not accept %r: %s", item.event, why)
            self._give_up(item, f"the broker did not accept it: {why}")
        else:
            self._pause = _MIN_PAUSE
            self._stats.published += 1
            item.succeed()

    # Receiving

    async def _receive(self, delivery: Delivery) -> None:
        """Emit a received message, and answer the broker."""
        task = asyncio.current_task()
        if len(delivery.body) > self._max_size:
            error: Exception = Malformed(f"{len(delivery.body)} bytes; max_size is {self._max_size}")
            await self._dead_letter(delivery, "a message", error)
            return
        try:
            message = self._codec.unpack(delivery.body, self._wants)
        except Malformed as malformed:
            await self._dead_letter(delivery, "a message", malformed)
            return
        if message is None:
            await delivery.ack()
            return
        if delivery.attempt > len(self._backoff) + 1:  # each process that tried it has died
            error = RuntimeError(f"not finished in {delivery.attempt - 1} attempts")
            await self._dead_letter(delivery, quoted(message.event), error)
            return
        self._stats.received += 1
        self._stats.redelivered += delivery.attempt > 1
        try:
            with restored_context(message.context), origin(message):
                await self._namespace.emit_async(message.event, message.sender, *message.args, **message.kwargs)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as failure:  # a handler's error must not stop receiving
            if isinstance(failure, GeneratorExit) and _current_task() is not task:  # this coroutine is being closed
                raise
            if isinstance(failure, asyncio.CancelledError) and times_cancelled():  # this task, not a handler's
                await asyncio.shield(delivery.nack(0))
                raise
            self._stats.failed += 1
            if delivery.attempt > len(self._backoff):
                await self._dead_letter(delivery, quoted(message.event), failure)
                return
            what = f"a handler of {quoted(message.event)} raised{self._consequence}"
            log_exception(logger, logging.WARNING, what, failure)
            await delivery.nack(self._backoff[delivery.attempt - 1])
        else:
            await delivery.ack()

    def _wants(self, event: str, sent_by: str, group: str | None) -> bool:
        """Return whether a message comes from another process and must be emitted here."""
        if _is_pattern(event):
            raise Malformed(f"{quoted(event)} is a pattern, which cannot be emitted")
        is_own = sent_by == self._id or (self._group is not None and group == self._group)
        if is_own or not self._carries(event):
            return False
        if self._namespace.strict and event not in self._namespace:
            raise Malformed(f"{quoted(event)} is not an event of the namespace, which is strict")
        return True

    async def _dead_letter(self, delivery: Delivery, what: str, error: BaseException) -> None:
        self._stats.dead += 1
        text = self._engine.error_text(error)
        logger.error("%s from %s goes to the dead letters: %s", what, self.safe_address, text)
        await delivery.dead_letter({"Error": text, "Attempts": str(delivery.attempt), "Group": self._group or ""})


_lock = threading.Lock()
_PREFIX = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop is running
        return None


def _check_seconds(name: str, value: Any, least: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not least <= value < math.inf:
        raise ValueError(f"{name} must be a number of seconds, {least:g} or more, not {value!r}")


class _Publishing(Instrument):
    """The instrument that passes emissions to a bridge."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    def begin(self, start: EmissionStart) -> EmissionSpan | None:
        return self._bridge._accept(start)


class _Confirmation(EmissionSpan):
    """Lets an async emission wait until the broker has its message."""

    def __init__(self, confirmed: Future[None]) -> None:
        self._confirmed = confirmed

    async def wait_done(self) -> None:
        await asyncio.wrap_future(self._confirmed)


def _is_pattern(name: str) -> bool:
    """Return whether a name is a pattern for `Namespace.event`."""
    return "*" in name or "?" in name or name[:1] == "!"


def _matcher(name: str) -> Callable[[str], object]:
    """Return a function that returns whether an event name matches."""
    if not _is_pattern(name):
        return name.__eq__
    pattern: Any = Namespace().event(name)  # in a separate namespace, because the program has no such event
    matches: Callable[[str], object] = pattern.matches
    return matches


def _any_of(matchers: list[Callable[[str], object]]) -> Callable[[str], object]:
    """Return a function that returns whether one of the matchers matches."""
    return matchers[0] if len(matchers) == 1 else lambda name: any(matches(name) for matches in matchers)


__all__ = ["Bridge", "Stats"]
