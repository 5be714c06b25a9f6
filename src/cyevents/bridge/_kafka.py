"""The engine for Kafka, by the client that librdkafka's makers have for Python.

One topic for a prefix, by the prefix's name, with the events' names in the records' headers, and one more for dead
letters. The client never gives a record up, and numbers them, so that the broker drops what it sends twice; while the
broker is away, it keeps what is in flight, and sends it in its order.

What the broker is told of a group, and when, so that nothing is lost and little comes twice, `_kafka_state` explains.

The client serves one caller at a time, and a call may wait for the broker. So the consumer's are made in a thread, one
after the other, by one task. All that is known is the loop's, and changed there alone.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections import OrderedDict, deque
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from heapq import heapify, heappop, heappush
from itertools import count
from time import monotonic, time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ._engines import Arrival, Engine, Plan, Refused, Unavailable, cancel_all
from ._kafka_client import FINAL, LOST, NO_MEMBER, NO_TOPIC, Worker, ended, quiet, said
from ._kafka_state import Open, Partition, doubtful, is_alive, life_sign, restored

try:
    from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
except ImportError as error:
    raise ImportError('a bridge to Kafka needs its client: pip install "cyevents[kafka]"') from error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_logger = logging.getLogger("cyevents.bridge")

_POLL = 0.05  # seconds for which the client is asked for messages
_SHORT = 0.005  # those where the broker is about to be told something
_CALL = 2.0  # seconds for which one of its calls waits for the broker
_HASTE = 0.2  # those where it is away, and the bridge is left
_IDLE = 1.0  # seconds after which a busy process has the client fetch nothing more
_GATHER = 0.05  # seconds for which finished messages are gathered before the broker is told
_REST = 5.0  # seconds after which a process that has nothing to do says so
_ALIVE = 2.0  # seconds after which a group that gets messages at most once says that it is there
_LOOK = 60.0  # seconds after which the client asks for partitions that were added
_FAILED = 50  # messages that wait to be tried again, with which no more are taken: all must go into the text
_SEEN = 100_000  # ids that are remembered
_ANSWER = 240.0  # seconds for which a partition is kept that is to be given up, until its message is dealt with


@dataclass(slots=True, eq=False)
class _Entry:
    """A message that was taken."""

    partition: Partition
    offset: int
    event: str
    body: bytes
    state: Open


class KafkaEngine(Engine):
    """A producer, and a consumer."""

    _worker: Worker | None = None
    _producer: Any = None

    def __init__(self, address: str, plan: Plan, options: Mapping[str, Any]) -> None:
        super().__init__(address, plan, options)
        self._mine: dict[int, Partition] = {}

    async def connect(self) -> None:
        """Connect, and make the topics if there are none."""
        plan = self.plan
        self._loop = asyncio.get_running_loop()
        self._topic = re.sub(r"[^A-Za-z0-9._-]", lambda found: f"_{ord(found[0]):x}", plan.prefix)
        self._dead = f"{self._topic}-dead"
        self._read_options()
        self.trouble = None
        self._is_closing = self._is_left = False
        self._is_away = False  # whether no broker could be reached, and none has answered since
        self._tasks = []
        self._worker = Worker()
        self._consumer: Any = None
        self._answers: deque[tuple[asyncio.Future[Any], Any]] = deque()
        self._mine = {}
        self._untold: deque[_Entry] = deque()  # messages of which the broker must be told before they are handed on
        self._queue: deque[_Entry] = deque()  # those that may be
        self._current: _Entry | None = None
        self._later: list[tuple[float, int, _Entry]] = []  # those that wait to be tried again
        self._numbers = count()
        self._changed = asyncio.Event()  # whether there may be something to hand on
        self._moved = asyncio.Event()  # whether one is done, so that there may be room, or something is to be told
        self._waiting: list[asyncio.Future[None]] = []  # for the broker having been told
        self._is_unsaid = False  # whether there is something to tell it that has time
        self._next_time = self._last_time = 0.0  # before and after which it is not told, unless it must be
        self._is_told_in_vain = False
        self._seen: OrderedDict[bytes, tuple[float, int, int]] = OrderedDict()
        admin = self._make(AdminClient, {"allow.auto.create.topics": False})
        while True:
            try:
                await self._worker.call(self._make_topics, admin)
                break
            except KafkaException as error:
                told = error.args[0]
                admin.poll(0)  # has the client say what it has to
                if self.trouble is None or told.code() not in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT):
                    self.trouble = ConnectionError(said(error))
                _logger.debug("connecting to %s: %s", self.place, told)
                if self._is_locked_out or told.code() in FINAL:
                    raise self.trouble from error
                await asyncio.sleep(0.1)
        self.trouble = None
        self._make_producer()

    def _read_options(self) -> None:
        options = dict(self.options)
        address = urlsplit(self.address)
        user, _, password = address.netloc.rpartition("@")[0].partition(":")
        user = options.pop("username", unquote(user))
        password = options.pop("password", unquote(password))
        self._partitions = options.pop("partitions", 8)
        self._order_by = options.pop("order_by", "emitter")
        if self._order_by not in ("emitter", "event", None):
            raise ValueError(f'order_by must be "emitter", "event" or None, not {self._order_by!r}')
        self._is_locked_out = False
        safety = ("SASL_" if user else "") + ("SSL" if address.scheme == "kafkas" else "PLAINTEXT")
        common = {
            "bootstrap.servers": address.netloc.rpartition("@")[2],
            "client.id": "cyevents",
            "security.protocol": safety,
            "error_cb": self._note,
            "logger": quiet,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1000,
            "topic.metadata.refresh.interval.ms": 60_000,
        }
        if user:
            common |= {"sasl.mechanism": "PLAIN", "sasl.username": user, "sasl.password": password}
        self._common = common
        self._given = {name.replace("_", "."): value for name, value in options.items()}

    def _note(self, error: KafkaError) -> None:
        """What the client has to say, in one of its threads."""
        _logger.debug("Kafka: %s", error)
        if error.code() in (KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED):
            self._is_locked_out = True
        if error.code() == KafkaError._SSL and "certificate verify failed" in error.str():
            self._is_locked_out = True
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._is_away = True
        else:  # which says more than that
            self.trouble = ConnectionError(error.str())

    def _make(self, kind: Any, settings: Mapping[str, Any]) -> Any:
        """One of the client's objects. Each leaves alone those options that are meant for the others."""
        try:
            return kind({**self._common, **settings, **self._given})
        except KafkaException as error:  # which names the option
            raise ValueError(f"the client of Kafka does not take its options: {said(error)}") from error

    def _make_topics(self, admin: Any) -> None:
        """See that the topics are there."""
        keep = {"retention.ms": str(round(self.plan.keep * 1000))}
        for name in (self._topic, self._dead):
            error = admin.list_topics(name, timeout=_CALL / 4).topics[name].error
            if error is not None and error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                try:
                    made = admin.create_topics([NewTopic(name, self._partitions, config=keep)], request_timeout=_CALL)
                    made[name].result()
                except KafkaException as refusal:
                    if refusal.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:  # another process was faster
                        raise
            elif error is not None:
                raise KafkaException(error)

    # Publishing

    def _make_producer(self) -> None:
        settings = {
            "enable.idempotence": True,
            "message.timeout.ms": 0,  # how long is for the bridge to say
            "message.max.bytes": 1_000_000_000,  # and this for the broker
            "linger.ms": 0,
            "partitioner": "murmur2_random",  # as other clients'
        }
        if not self.plan.at_least_once and self._given.get("enable.idempotence", True) in (False, "false"):
            settings["retries"] = 0  # or it could be published twice
        before, self._producer = self._producer, self._make(Producer, settings)
        if before is not None:
            before.purge()
        threading.Thread(target=self._serve, args=(self._producer,), name="cyevents kafka", daemon=True).start()

    def _serve(self, producer: Any) -> None:
        """Have a producer say what became of messages, until it is another's turn."""
        while producer is self._producer or len(producer):
            producer.poll(_POLL)
            if self._answers:
                with suppress(RuntimeError):  # the loop is closed
                    self._loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        while self._answers:
            answer, error = self._answers.popleft()
            self._is_away = self._is_away and error is not None
            if not answer.done():
                answer.set_result(error)

    async def _send(
        self, topic: str, key: str | bytes | None, body: bytes, headers: dict[str, bytes]
    ) -> KafkaError | None:
        """Send a record; the error with which it was given up."""
        answer: asyncio.Future[KafkaError | None] = self._loop.create_future()

        def told(error: KafkaError | None, _: Any) -> None:
            self._answers.append((answer, error))

        try:
            self._producer.produce(topic, body, key=key, headers=headers, on_delivery=told)
        except BufferError:
            raise Unavailable("too much waits for the broker") from None
        except KafkaException as error:
            return error.args[0]  # type: ignore[no-any-return]
        return await answer

    async def publish(self, event: str, body: bytes, identity: str, is_confirmed: bool) -> None:
        """Publish a message."""
        name = event.encode(errors="backslashreplace")
        producer = self._producer
        keys = {"emitter": identity.rpartition("-")[0], "event": name, None: None}
        error = await self._send(self._topic, keys[self._order_by], body, {"event": name, "id": identity.encode()})
        if error is None:
            return
        if error.code() in NO_TOPIC:  # it was deleted
            with suppress(KafkaException):
                await self._make_topics_again()
            raise Unavailable(str(error))
        is_broken = error.fatal() or error.code() == KafkaError._FATAL  # nothing more comes through this producer
        if is_broken and producer is self._producer:
            self._make_producer()
        if is_broken or error.retriable() or error.code() in LOST:
            if not self.plan.at_least_once:  # a second time could be once too often
                raise Refused(f"it is not known whether the broker has it: {error}")
            raise Unavailable(str(error))
        raise Refused(str(error))

    async def _make_topics_again(self) -> None:
        worker = Worker()
        try:
            await worker.call(self._make_topics, self._make(AdminClient, {"allow.auto.create.topics": False}))
        finally:
            worker.stop()

    # Receiving

    async def listen(self, receive: Callable[[Arrival], Awaitable[None]]) -> None:
        """Receive messages from now on."""
        plan = self.plan
        once = "" if plan.at_least_once else "-once"
        session = max(1, round(plan.ack_wait * 1000))
        settings = {
            "group.id": f"{plan.prefix}-{plan.group}{once}" if plan.group is not None else "cyevents",
            "max.poll.interval.ms": max(300_000, session),
            "auto.offset.reset": "earliest",  # where what was to come next is kept no more
            "queued.min.messages": 1000,
            "fetch.queue.backoff.ms": 5,  # or it would pause for a second whenever it has so many
            "fetch.error.backoff.ms": 50,
        }
        if self._given.get("group.protocol") != "consumer":  # with that, these are the broker's to say
            settings |= {
                "session.timeout.ms": session,
                "heartbeat.interval.ms": max(1, min(3000, session // 4)),
                "partition.assignment.strategy": "cooperative-sticky",
            }
        own = {"enable.auto.commit": False, "enable.auto.offset.store": False}
        self._given = {**self._given, **own}
        self._consumer = self._make(Consumer, settings)
        while True:
            try:
                await self._ask(self._begin)
                break
            except KafkaException as error:
                _logger.debug("listening at %s: %s", self.place, said(error))
                if error.args[0].code() in FINAL:
                    raise ConnectionError(said(error)) from error
                await asyncio.sleep(0.1)
        self._start(self._talk())
        self._start(self._hand_on_all(receive))

    def _ask(self, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Have something called that has to do with the consumer."""
        assert self._worker is not None
        return self._worker.call(function, *args)

    def _begin(self) -> None:
        """Note where the partitions end now, and be given messages from there on: as the group, or by itself."""
        consumer, plan = self._consumer, self.plan
        known = consumer.list_topics(self._topic, timeout=_CALL).topics[self._topic]
        places = [TopicPartition(self._topic, number) for number in known.partitions]
        if not places:
            raise KafkaException(known.error or KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        if plan.group is not None:
            places = self._unknown(places)
        ends = {each.partition: consumer.get_watermark_offsets(each, timeout=_CALL)[1] for each in places}
        if plan.group is None:
            self._mine = {number: Partition(number, end) for number, end in ends.items()}
            self._assign_all()
            return
        # What another process has said of the group meanwhile counts: its bridge may be entered, and hear from then on.
        places = self._unknown(places) if places else []
        self._ends = {each.partition: ends[each.partition] for each in places}
        if places:
            try:
                self._commit({number: (end, self._alive()) for number, end in self._ends.items()})
            except KafkaException as error:  # those in the group have done so
                if error.args[0].code() not in NO_MEMBER:
                    raise
        consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost)

    def _unknown(self, places: list[Any]) -> list[Any]:
        """Those partitions of which the group is to have only what comes from now on."""
        found = self._consumer.committed(places, timeout=_CALL)
        if self.plan.at_least_once:  # one more partition of a known group is read from its beginning
            return [] if any(place.offset >= 0 for place in found) else places
        return [place for place in found if place.offset < 0 or not is_alive(place.metadata)]

    def _assign_all(self) -> None:
        """Read all partitions, from where they were taken, without a group."""
        self._consumer.assign([TopicPartition(self._topic, each.number, each.next) for each in self._mine.values()])

    async def _talk(self) -> None:
        """Have the client tell the broker how things stand, and take messages from it, until the end."""
        polled, look = monotonic(), monotonic() + _LOOK
        while not self._is_closing:
            self._moved.clear()
            if self.plan.group is not None:
                await self._tell_if_due()
            elif monotonic() >= look:
                look = monotonic() + _LOOK
                await self._look_for_more()
            has_room = len(self._untold) + len(self._queue) < self.plan.batch // 2 and len(self._later) < _FAILED
            pause = _POLL if self._is_told_in_vain else _IDLE  # the group may be waiting for this process
            if not has_room and (left := polled + pause - monotonic()) > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, self._until_due())):
                        await self._moved.wait()
                continue
            polled = monotonic()
            try:
                messages = await self._ask(self._poll, has_room, max(_SHORT, min(_POLL, self._until_due())))
            except KafkaException as error:
                _logger.debug("fetching from %s: %s", self.place, said(error))
                await asyncio.sleep(0.2)
                continue
            self._is_away = self._is_away and not messages
            entries = [entry for message in messages if (entry := self._taken(message)) is not None]
            (self._queue if self.plan.group is None else self._untold).extend(entries)
            self._line_up()

    def _until_due(self) -> float:
        """Seconds until the broker is to be told something, or one that failed is tried again, of which it is told."""
        ends = [self._later[0][0]] if self._later else []
        if self._waiting:
            ends.append(self._next_time)
        if self._is_unsaid:
            ends.append(self._last_time)
        return max(0.0, min(ends, default=monotonic() + _IDLE) - monotonic())

    def _line_up(self) -> None:
        """Have messages handed on that may be."""
        waiting, self._untold = self._untold, deque()
        for entry in waiting:
            (self._queue if entry.offset < entry.partition.covered else self._untold).append(entry)
        self._changed.set()

    async def _look_for_more(self) -> None:
        """Read partitions that were added, from their beginnings. The client has a group share them out by itself."""
        try:
            known = await self._ask(partial(self._consumer.list_topics, self._topic, timeout=_CALL))
        except KafkaException as error:
            _logger.debug("looking for more at %s: %s", self.place, said(error))
            return
        if more := [number for number in known.topics[self._topic].partitions if number not in self._mine]:
            self._mine |= {number: Partition(number, 0) for number in more}
            await self._ask(self._assign_all)

    _is_paused = False

    def _poll(self, has_room: bool, seconds: float) -> list[Any]:
        """What the client has."""
        consumer = self._consumer
        if not has_room:
            consumer.pause(consumer.assignment())
        elif self._is_paused:
            consumer.resume(consumer.assignment())
        self._is_paused = not has_room
        message = consumer.poll(seconds)
        if message is None:
            return []
        return [message, *consumer.consume(self.plan.batch - 1, 0)]

    def _taken(self, message: Any) -> _Entry | None:
        """A message that is to be handed on, and not later."""
        error = message.error()
        if error is not None:
            _logger.log(logging.ERROR if error.code() in FINAL else logging.DEBUG, "Kafka: %s", error)
            return None
        number, offset = message.partition(), message.offset()
        partition = self._mine.get(number)
        if partition is None:
            return None
        if offset <= partition.last:  # the topic was deleted, and made again
            partition.next = offset
            partition.open.clear()
            partition.unread.clear()
        partition.last = offset
        for gone in [each for each in partition.unread if each <= offset]:
            partition.unread.remove(gone)
            if gone < offset:  # it is kept no more
                del partition.open[gone]
        is_new = offset >= partition.next
        partition.next = max(partition.next, offset + 1)
        if not is_new and offset not in partition.open:  # it was finished before those before it
            return None
        headers = dict(message.headers() or ())
        if self._is_known(headers.get("id"), number, offset):
            partition.open.pop(offset, None)
            self._is_unsaid = True
            return None
        is_doubtful = is_new and offset < partition.doubt
        state = partition.open.setdefault(offset, doubtful(self.plan.attempts) if is_doubtful else Open())
        partition.used = monotonic()
        event = (headers.get("event") or b"").decode(errors="replace")
        entry = _Entry(partition, offset, event, message.value() or b"", state)
        if state.begun or state.is_suspect:
            self._wait(entry, max(0.0, state.due - time()))
            return None
        return entry

    def _is_known(self, identity: bytes | None, number: int, offset: int) -> bool:
        """Whether a message of this id has come already; remember it."""
        if identity is None:
            return False
        now = monotonic()
        while self._seen and (len(self._seen) > _SEEN or next(iter(self._seen.values()))[0] < now):
            self._seen.popitem(last=False)
        _, *place = self._seen.setdefault(identity, (now + self.plan.window, number, offset))
        return place != [number, offset]

    def _wait(self, entry: _Entry, delay: float) -> None:
        """Have an entry tried again."""
        entry.state.due = time() + delay
        heappush(self._later, (monotonic() + delay, next(self._numbers), entry))
        self._changed.set()

    async def _hand_on_all(self, receive: Callable[[Arrival], Awaitable[None]]) -> None:
        """Hand on messages one after the other, until the end."""
        while not self._is_closing:
            self._changed.clear()
            if self._later and self._later[0][0] <= monotonic():
                entry = heappop(self._later)[2]
                entry.state.begun += 1
                if self.plan.group is not None:
                    await self._tell()
            elif self._queue:
                entry = self._queue.popleft()
                entry.state.begun += 1
            else:
                self._moved.set()
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0, self._later[0][0] - monotonic()) if self._later else None):
                        await self._changed.wait()
                continue
            if self._mine.get(entry.partition.number) is not entry.partition:
                continue
            self._current = entry
            try:
                await receive(_Taken(self, entry))
            finally:
                self._current = None
                self._moved.set()

    # What the broker is told

    def _tell(self) -> asyncio.Future[None]:
        """Have the broker told how things stand now; done when it has been."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(waiter)
        self._moved.set()
        return waiter

    async def _tell_if_due(self) -> None:
        """Tell the broker how things stand, if somebody waits for that, or it is time."""
        now = monotonic()
        is_needed = (self._waiting or self._untold) and now >= self._next_time
        if not is_needed and now < (self._last_time if self._is_unsaid else self._last_time + _ALIVE):
            return
        waiting, self._waiting = self._waiting, []
        self._is_unsaid = False
        states = {each: state for each in self._mine.values() if (state := self._state(each)) != each.said}
        covered = {each: self._covered(each) for each in states}
        for each in states:
            each.covered = min(each.covered, covered[each])
        try:
            if states:
                await self._ask(self._commit, {each.number: state for each, state in states.items()})
        except KafkaException as error:  # a member that joins, or a broker that is away
            is_final = error.args[0].code() in FINAL
            _logger.log(logging.ERROR if is_final else logging.DEBUG, "at %s: %s", self.place, said(error))
            self._waiting = waiting + self._waiting
            self._is_told_in_vain = self._is_unsaid = True
            self._next_time = self._last_time = monotonic() + (1.0 if is_final else _GATHER)
            return
        self._is_told_in_vain = False
        self._is_away = self._is_away and not states
        self._last_time = monotonic() + _GATHER
        for each, state in states.items():
            each.said, each.covered = state, covered[each]
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._line_up()

    def _state(self, partition: Partition) -> tuple[int, str]:
        if not self.plan.at_least_once:
            return partition.next, self._alive()
        return partition.state(self._is_busy(partition))

    def _is_busy(self, partition: Partition) -> bool:
        """Whether messages of a partition may be begun with at any time."""
        waiting = {id(entry.state) for *_, entry in self._later}
        return monotonic() < partition.used + _REST or any(
            id(each) not in waiting and offset not in partition.unread for offset, each in partition.open.items()
        )

    def _covered(self, partition: Partition) -> int:
        """Up to where messages of a partition may be begun with, once the broker has been told how things stand now."""
        return partition.reach(self._is_busy(partition)) if self.plan.at_least_once else partition.next

    def _alive(self) -> str:
        """What is said of a group at most once: that it is there."""
        return "" if self.plan.at_least_once else life_sign(_ALIVE)

    def _commit(self, states: dict[int, tuple[int, str]]) -> None:
        places = [TopicPartition(self._topic, number, *state) for number, state in states.items()]
        for place in self._consumer.commit(offsets=places, asynchronous=False):
            if place.error is not None:
                raise KafkaException(place.error)

    # Partitions that come and go; in the thread that asks the client for messages

    def _assigned(self, consumer: Any, places: list[Any]) -> None:
        """Partitions are this process's now."""
        once = not self.plan.at_least_once
        while places:
            try:
                found = consumer.committed(places, timeout=_CALL)
                if failed := [place.error for place in found if place.error is not None]:
                    raise KafkaException(failed[0])
                break
            except KafkaException as error:
                _logger.debug("being given partitions at %s: %s", self.place, said(error))
                if self._is_closing:
                    return
        else:
            return
        partitions, starts = [], []
        for place in found:
            # What came while nobody of the group was there is past, at most once.
            start = max(place.offset, self._ends.get(place.partition, 0)) if once else max(place.offset, 0)
            text = None if once or place.offset < 0 else place.metadata
            partitions.append(restored(place.partition, start, text, self.plan.attempts))
            starts.append(TopicPartition(self._topic, place.partition, start))
        self._loop.call_soon_threadsafe(self._mine.update, {each.number: each for each in partitions})
        consumer.incremental_assign(starts)
        self._is_paused = True  # so that all are resumed

    def _revoked(self, consumer: Any, places: list[Any]) -> None:
        """Partitions are to be another process's: as soon as no message of theirs is dealt with here."""
        if self._is_left:
            return
        giving = asyncio.run_coroutine_threadsafe(self._give_up([place.partition for place in places]), self._loop)
        with suppress(TimeoutError):  # a handler blocks the loop
            states = giving.result(_ANSWER + _CALL)
            try:
                if states:
                    self._commit(states)
            except KafkaException as error:
                _logger.debug("giving up partitions at %s: %s", self.place, said(error))

    def _lost(self, consumer: Any, places: list[Any]) -> None:
        """Partitions have been given to another process: what is finished of them is not to be said any more."""
        _logger.debug("lost partitions at %s: %s", self.place, [place.partition for place in places])
        self._loop.call_soon_threadsafe(self._forget, [place.partition for place in places])

    async def _give_up(self, numbers: list[int]) -> dict[int, tuple[int, str]]:
        """Begin with no more messages of some partitions; what the broker is to know of them."""
        partitions = [self._mine[number] for number in numbers if number in self._mine]
        self._drop(numbers)
        with suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER):
                while self._current is not None and self._current.partition in partitions:
                    self._moved.clear()
                    await self._moved.wait()
        states = {}
        for each in partitions:
            if not self.plan.at_least_once:  # what was not begun with, others may have
                each.next = min([offset for offset, state in each.open.items() if not state.begun], default=each.next)
            is_busy = self._current is not None and self._current.partition is each
            states[each.number] = self._state(each) if not self.plan.at_least_once else each.state(is_busy)
        self._forget(numbers)
        return states

    def _drop(self, numbers: list[int]) -> None:
        """Hand no more on of some partitions."""
        self._untold, self._queue = (
            deque(entry for entry in each if entry.partition.number not in numbers)
            for each in (self._untold, self._queue)
        )

    def _forget(self, numbers: list[int]) -> None:
        for number in numbers:
            self._mine.pop(number, None)
        self._drop(numbers)
        self._later = [each for each in self._later if each[2].partition.number in self._mine]
        heapify(self._later)
        self._moved.set()

    # What becomes of a message

    def finish(self, entry: _Entry) -> None:
        """It is not to be delivered again."""
        entry.partition.open.pop(entry.offset, None)
        self._is_unsaid = True

    def deliver_later(self, entry: _Entry, delay: float) -> None:
        """It is to be delivered again, after some seconds."""
        if not self.plan.at_least_once:
            self.finish(entry)
        elif self._mine.get(entry.partition.number) is entry.partition:
            self._wait(entry, delay)
            self._is_unsaid = True

    async def bury(self, entry: _Entry, about: Mapping[str, str]) -> None:
        """Put it among the dead letters."""
        headers = {"event": entry.event.encode(), **{name.lower(): value.encode() for name, value in about.items()}}
        try:
            error = await self._send(self._dead, None, entry.body, headers)
        except Unavailable as unavailable:
            self.deliver_later(entry, 1.0)
            _logger.debug("a dead letter: %s", unavailable)
            return
        if error is not None:
            _logger.error("%s does not take a dead letter: %s", self.place, error)
            if error.retriable() or error.code() in (*LOST, *NO_TOPIC):
                self.deliver_later(entry, 1.0)
                return
        self.finish(entry)

    async def close(self) -> None:
        """Receive no more, say what is finished, leave the group, and disconnect."""
        if self._worker is None:
            return
        self._is_closing = True
        await cancel_all(self._tasks)
        worker, producer = self._worker, self._producer
        self._worker = self._producer = None
        if self._consumer is not None:
            end = monotonic() + (_HASTE if self._is_away else _CALL)
            if self.plan.group is not None and (states := await self._give_up(list(self._mine))):
                await ended(worker.call(self._commit, states), end)
            await ended(worker.call(self._consumer.close), end + _HASTE)
        self._is_left = True
        worker.stop()
        if producer is not None:
            producer.purge()
            flushing = Worker()
            await ended(flushing.call(producer.flush, _HASTE), monotonic() + _HASTE)
            flushing.stop()


class _Taken(Arrival):
    """A message of a partition."""

    def __init__(self, engine: KafkaEngine, entry: _Entry) -> None:
        self._engine = engine
        self._entry = entry
        self.body = entry.body
        self.attempt = entry.state.begun

    async def done(self) -> None:
        self._engine.finish(self._entry)

    async def retry(self, delay: float) -> None:
        self._engine.deliver_later(self._entry, delay)

    async def bury(self, about: Mapping[str, str]) -> None:
        await self._engine.bury(self._entry, about)
