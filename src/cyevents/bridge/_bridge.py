"""`Bridge`: publishes what a namespace emits, and emits there what other processes have published."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
import uuid
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from .. import _observation
from .._checks import is_pattern
from .._common import error_line
from .._namespace import Namespace
from .._observers import Observer, Watch
from .._patterns import matcher
from .._watching import Watching
from ._choice import engine_for
from ._engines import Arrival, Plan, Unavailable, times_cancelled
from ._messages import Codec, Malformed, Message
from ._outbox import Dropped, Item, Outbox, OutboxFull

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from .._observers import Beginning
    from ._engines import Engine
    from ._messages import Form
    from ._outbox import WhenFull

_logger = logging.getLogger("cyevents.bridge")

_IN_FLIGHT = 128  # messages that are being published at the same time
_SHORTEST, _LONGEST = 0.05, 1.0  # seconds between two attempts to publish at a broker that is there


@dataclass(slots=True)
class Stats:
    """What a bridge has done so far.

    Attributes:
        published: messages that the broker has taken.
        waiting: messages that wait to be published, or are being.
        dropped: messages given up: too many waited, the broker refused them, or the bridge was left.
        received: messages of other processes, emitted here.
        redelivered: those among them that had been delivered before.
        failed: those among them whose handlers have raised.
        dead: messages put among the dead letters.
    """

    published: int = 0
    waiting: int = 0
    dropped: int = 0
    received: int = 0
    redelivered: int = 0
    failed: int = 0
    dead: int = 0


class Bridge(Observer):
    """Carries the events of a namespace to other processes, and theirs to this one, by a message broker.

    Within its `async with`, or `with`, an emission of one of the events runs the local handlers as always, and is
    published; each other process that has a bridge to the same broker emits it in its own namespace: the same name,
    sender, positionals and keywords. Priorities, conditions and cancellation are each process's own: what a handler
    here cancels, or fails at, has been published. What has arrived is not published again, by any bridge.

    `emit` and `send` never wait for the network: the message goes to an outbox, which is bounded. `emit_async` returns
    after the broker has confirmed, and raises `Dropped` where the message was given up.

    Args:
        namespace: the namespace.
        address: where the broker is, such as `"nats://127.0.0.1:4222"`, `"redis://127.0.0.1:6379/0"`,
            `"amqp://127.0.0.1:5672"` or `"kafka://127.0.0.1:9092"`.
        events: the names of events, and patterns of names, that are carried.
        group: one process of the group gets each message, instead of all. What a member emits, the group has had.
        delivery: `"at_most_once"`: who is there gets it. `"at_least_once"`: the broker keeps it until the handlers have
            run without an error, and delivers it again until then.
        types: types whose values may travel: see `register`.
        form: `"json"`, or `"msgpack"` for fewer bytes.
        max_size: bytes of the largest message.
        outbox: how many messages may wait to be published.
        when_full: what becomes of one more: `"raise"` an `OutboxFull` at the emission, or `"drop_oldest"`.
        backoff: seconds after which a message is delivered again whose handlers have raised, by attempt; after the last
            it goes to the dead letters.
        ack_wait: seconds after which the broker gives a message to another process when this one is no longer heard of.
        window: seconds for which the broker drops a second message of the same id; with RabbitMQ, who gets it does.
        keep: seconds for which it keeps messages.
        prefix: what the broker's subjects begin with: bridges with different ones do not hear each other.
        flush_timeout: seconds for which leaving waits until all is published.
        connect_timeout: seconds for which entering waits for the broker.
        **options: for the broker's own client, as NATS's `token`, `user` and `tls` (an `ssl.SSLContext`), Redis's
            `username` and `ssl_ca_certs`, RabbitMQ's `user` and `tls`, Kafka's `order_by` and `ssl_ca_location`,
            and the `password` of each. And NATS's `max_ack_pending`: how many messages are under way at least once;
            with 1 they stay in order whatever breaks.

    Raises:
        TypeError: if an argument is of a wrong type, or a type cannot be registered.
        ValueError: if one has an impossible value, or the address is of no known broker.
        ImportError: if the broker's client is not installed.
        ConnectionError: on entering, if the broker does not answer in time, or lets nobody in.
        RuntimeError: on entering, if it is entered already.

    Thread-safe: emissions may come from any thread. Arrived events are emitted by `emit_async`, one after the other, in
    the loop of the `async with`, or in a thread of its own for `with`.
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
        form: Form = "json",
        max_size: int = 1_000_000,
        outbox: int = 10_000,
        when_full: WhenFull = "raise",
        backoff: Sequence[float] = (0.1, 1.0, 10.0, 60.0),
        ack_wait: float = 30.0,
        window: float = 120.0,
        keep: float = 7 * 24 * 3600.0,
        prefix: str = "cyevents",
        flush_timeout: float = 5.0,
        connect_timeout: float = 5.0,
        **options: Any,
    ) -> None:
        if not isinstance(namespace, Namespace):
            raise TypeError(f"a Namespace is bridged, not {namespace!r}")
        if isinstance(events, str) or not events or not all(isinstance(name, str) and name for name in events):
            raise TypeError(f"events must be a list of names and patterns, not {events!r}")
        if group is not None and (not isinstance(group, str) or not group):
            raise TypeError(f"group must be a name or None, not {group!r}")
        if delivery not in ("at_most_once", "at_least_once"):
            raise ValueError(f'delivery must be "at_most_once" or "at_least_once", not {delivery!r}')
        self._stats = Stats()
        self._abandoned = 0
        self._namespace = namespace
        self._matchers: list[Callable[[str], bool]] = [matcher(name) for name in events]
        self._group = group
        self._codec = Codec(form)
        self._max_size = max_size
        self._outbox = Outbox(outbox, when_full)
        self._backoff = tuple(backoff)
        self._consequence = ", which will be delivered again" if delivery == "at_least_once" else ""
        self._flush_timeout = flush_timeout
        self._connect_timeout = connect_timeout
        self._is_entered = False
        self._process = 0  # where it is, or was last, entered
        self._watching = Watching([namespace], matches=self._carries)
        at_least_once, attempts = delivery == "at_least_once", len(self._backoff) + 1
        plan = Plan(tuple(events), group, at_least_once, prefix, ack_wait, window, keep, batch=64, attempts=attempts)
        self._engine: Engine = engine_for(address)(address, plan, options)
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread: _LoopThread | None = None
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
        """Let values of a type travel, as senders, positionals and keywords: to be said at both ends.

        None, bools, numbers, strings, bytes, lists, dicts, tuples, sets, dates and times, `Decimal` and `UUID` travel
        by themselves. A value of any other type is a `TypeError` at its emission, and nothing is published.

        Args:
            cls: the type: a dataclass, a msgspec `Struct`, a pydantic model or an `Enum`; or any other one, with
                `encode` and `decode`. Values of subclasses are not meant.
            name: by what it is known at both ends; the class's own name if not given.
            encode: makes of a value what travels by itself, or is registered.
            decode: makes the value of that again.

        Raises:
            TypeError: if it is not a type, or says not itself how to encode it.
            ValueError: if another type has that name.
        """
        self._codec.register(cls, name=name, encode=encode, decode=decode)

    # Entering and leaving

    async def __aenter__(self) -> Bridge:
        self._enter()
        try:
            try:
                async with asyncio.timeout(self._connect_timeout):
                    await self._engine.connect()
                    await self._engine.listen(self._receive)
            except (TimeoutError, OSError) as error:
                why = error_line(self._engine.trouble or error)
                raise ConnectionError(f"no broker answers at {self._engine.place}: {why}") from error
        except BaseException:
            self._is_entered = False
            await self._engine.close()
            raise
        self._outbox.open()
        self._publisher = asyncio.create_task(self._publish_all())
        self._watching.start(self)
        return self

    def _enter(self) -> None:
        """Be entered, here and nowhere else."""
        with _lock:
            if self._is_entered and self._process == os.getpid():
                raise RuntimeError("the bridge is entered already: make another one")
            if self._process != os.getpid():  # each process that has been forked has its own id, and its own to do
                self._watching.stop()
                self._tasks.clear()
                self._outbox.close()
                self._process = os.getpid()
                self._id = uuid.uuid4().hex
                self._serials = count(1)
            self._is_entered = True

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watching.stop()
        try:
            await self.drain(self._flush_timeout)
        finally:
            self._publisher.cancel()
            for task in self._tasks:
                task.cancel()
            left = self._count_waiting()
            self._outbox.close()
            if left:
                _logger.error("%s emissions were not published: the bridge to %s was left", left, self._engine.place)
            try:
                await asyncio.gather(self._publisher, *self._tasks, return_exceptions=True)
            finally:
                try:
                    await self._engine.close()
                finally:
                    self._is_entered = False

    def __enter__(self) -> Bridge:
        thread = _LoopThread()
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
            self._watching.stop()  # as it has not been where the thread had ended
            self._outbox.close()
            self._is_entered = False

    async def drain(self, timeout: float | None = None) -> bool:
        """Wait until the broker has all that was emitted.

        Args:
            timeout: how long to wait at most, in seconds; `None` for as long as it takes.

        Returns:
            Whether it got there; `stats.waiting` says how much is left.
        """
        end = None if timeout is None else monotonic() + timeout
        while self._count_waiting():
            if end is not None and monotonic() >= end:
                return False
            await asyncio.sleep(0.005)
        return True

    @property
    def place(self) -> str:
        """Where the broker is, as it may be shown: without a password."""
        return self._engine.place

    @property
    def stats(self) -> Stats:
        """What the bridge has done so far, as it stands now."""
        dropped = self._abandoned + self._outbox.dropped
        return replace(self._stats, waiting=self._count_waiting(), dropped=dropped)

    def _count_waiting(self) -> int:
        return len(self._outbox) + len(self._tasks)

    def _abandon(self, item: Item, why: str) -> None:
        """Give up publishing an item."""
        self._abandoned += 1
        item.fail(Dropped(f"{item.event!r} was not published: {why}"))

    # Publishing

    def begin(self, beginning: Beginning) -> Watch | None:
        """Have an emission published, unless it has arrived."""
        event, way, sender, args, kwargs, _, origin, agreed = beginning
        if isinstance(origin, Message) or self._process != os.getpid() or not self._carries(event.name):
            return None
        identity = f"{self._id}-{next(self._serials)}"
        body = self._codec.pack(
            Message(event.name, identity, self._id, self._group, sender, args, kwargs, _carried_context())
        )
        if len(body) > self._max_size:
            raise ValueError(f"{event.name!r} is emitted with {len(body)} bytes; max_size is {self._max_size}")
        confirmed: Future[None] | None = Future() if way == "emit_async" else None
        item = Item(event.name, identity, body, confirmed)
        self._outbox.check(item)
        agreed.append(partial(self._outbox.put, item))  # no bridge publishes what another one refuses
        return None if confirmed is None else _Confirmation(confirmed)

    def _carries(self, name: str) -> bool:
        return any(matches(name) for matches in self._matchers)

    async def _publish_all(self) -> None:
        """Publish what is emitted, many at the same time: in its order, as that which has to be published again is."""
        room = asyncio.Semaphore(_IN_FLIGHT)
        self._delay = _SHORTEST
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
        if self._is_away:  # since this was to be begun
            raise Unavailable("what was emitted before is not published yet")
        try:
            await self._engine.publish(item.event, item.body, item.identity, item.confirmed is not None)
        except Unavailable:
            self._is_away = True
            raise

    async def _wait_for_broker(self) -> None:
        """Wait until all that did not reach the broker has come back, to be sorted in, and the broker as well."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._engine.ready()
        await asyncio.sleep(self._delay)
        self._delay = min(self._delay * 2, _LONGEST)
        self._is_away = False

    def _published(self, item: Item, task: asyncio.Task[None]) -> None:
        """A task that was to publish an item is over, or was cancelled before it began."""
        self._tasks.discard(task)
        if task.cancelled():
            self._abandon(item, "the bridge was left")
        elif isinstance(error := task.exception(), Unavailable):
            _logger.debug("publishing %r: %s", item.event, error)
            self._outbox.put_back(item)
        elif error is not None:
            _logger.error("the broker refuses %r: %s", item.event, error_line(error))
            self._abandon(item, f"the broker refuses it: {error_line(error)}")
        else:
            self._delay = _SHORTEST
            self._stats.published += 1
            item.succeed()

    # Receiving

    async def _receive(self, arrival: Arrival) -> None:
        """Emit what has arrived, and tell the broker what became of it."""
        try:
            message = self._codec.unpack(arrival.body, self._wants)
        except Malformed as error:
            await self._bury(arrival, "what has arrived", error)
            return
        if message is None:
            await arrival.done()
            return
        if arrival.attempt > len(self._backoff) + 1:  # whoever had it has ended each time, and could not say so
            await self._bury(arrival, message.event, RuntimeError(f"not finished in {arrival.attempt - 1} attempts"))
            return
        self._stats.received += 1
        self._stats.redelivered += arrival.attempt > 1
        try:
            await self._emit(message)
        except (GeneratorExit, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # that of a handler is no reason to receive no more
            if isinstance(error, asyncio.CancelledError) and times_cancelled():  # we, not merely what was awaited
                await asyncio.shield(arrival.retry(0))
                raise
            self._stats.failed += 1
            if arrival.attempt > len(self._backoff):
                await self._bury(arrival, message.event, error)
                return
            _logger.warning("a handler of %r raised%s", message.event, self._consequence, exc_info=error)
            await arrival.retry(self._backoff[arrival.attempt - 1])
        else:
            await arrival.done()

    def _wants(self, event: str, origin: str, group: str | None) -> bool:
        """Whether a message is of others, and is to be emitted here."""
        if is_pattern(event):
            raise Malformed(f"{event!r} is a pattern")
        is_own = origin == self._id or (self._group is not None and group == self._group)
        return not is_own and self._carries(event)

    async def _emit(self, message: Message) -> None:
        event = self._namespace.event(message.event)
        with _restored_context(message.context), _observation.ComesFrom(message):
            await event.emit_async(message.sender, *message.args, **message.kwargs)

    async def _bury(self, arrival: Arrival, event: str, error: BaseException) -> None:
        self._stats.dead += 1
        _logger.error("%s from %s goes to the dead letters: %s", event, self._engine.place, error_line(error))
        # What it says may be of any length, and have what no text on its way can.
        text = error_line(error)[:1000].encode(errors="backslashreplace").decode()
        about = {"Error": text, "Attempts": str(arrival.attempt), "Group": self._group or ""}
        await arrival.bury(about)


_lock = threading.Lock()


class _Confirmation(Watch):
    """Waits until the broker has a message."""

    def __init__(self, confirmed: Future[None]) -> None:
        self._confirmed = confirmed

    async def settle(self) -> None:
        await asyncio.wrap_future(self._confirmed)


class _LoopThread:
    """A thread with an event loop, for programs that have none."""

    def __init__(self) -> None:
        self._is_running = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cyevents bridge", daemon=True)
        self._thread.start()
        self._is_running.wait()

    def _run(self) -> None:
        try:
            asyncio.run(self._wait())  # which cancels what is left, too
        except SystemExit:
            _logger.critical("a handler has exited: the bridge's thread ends")

    async def _wait(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self._is_running.set()
        await self._end.wait()

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine there, and wait for it."""
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:  # a handler has exited
            coroutine.close()
            raise RuntimeError("the bridge's thread has ended") from None
        try:
            return future.result()
        except BaseException:  # as by Ctrl-C
            future.cancel()
            raise

    def stop(self) -> None:
        """Let the thread end, and wait for that."""
        with contextlib.suppress(RuntimeError):  # it has
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()


# OpenTelemetry's context, where the program uses that


def _carried_context() -> dict[str, str]:
    """What identifies the current span to other processes."""
    carrier: dict[str, str] = {}
    if "opentelemetry.trace" in sys.modules:
        from opentelemetry import propagate

        propagate.inject(carrier)
    return carrier


def _restored_context(carrier: Mapping[str, str]) -> contextlib.AbstractContextManager[None]:
    return _attached(carrier) if carrier and "opentelemetry.trace" in sys.modules else contextlib.nullcontext()


@contextlib.contextmanager
def _attached(carrier: Mapping[str, str]) -> Any:
    from opentelemetry import context, propagate

    token = context.attach(propagate.extract(carrier))
    try:
        yield
    finally:
        context.detach(token)


__all__ = ["Bridge", "Dropped", "OutboxFull", "Stats"]
