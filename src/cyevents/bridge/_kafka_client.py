"""The client of Kafka: which of its errors mean what, where its log goes, and a thread in which its calls may wait."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

try:
    from confluent_kafka import KafkaError
except ImportError as error:
    raise ImportError('a bridge to Kafka needs its client: pip install "cyevents[kafka]"') from error

if TYPE_CHECKING:
    from collections.abc import Callable

_logger = logging.getLogger("cyevents.bridge")

NO_MEMBER = (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION, KafkaError.STALE_MEMBER_EPOCH)
NO_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)
LOST = (
    KafkaError._MSG_TIMED_OUT,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
    KafkaError._PURGE_INFLIGHT,
    KafkaError._PURGE_QUEUE,
    KafkaError.REQUEST_TIMED_OUT,
)
FINAL = (
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.INVALID_REPLICATION_FACTOR,
    KafkaError.POLICY_VIOLATION,
    KafkaError.OFFSET_METADATA_TOO_LARGE,
    KafkaError.INVALID_SESSION_TIMEOUT,
)


def said(error: Exception | None) -> str:
    """What an exception of the client says, which holds an error of its own."""
    told = error.args[0] if error is not None and error.args else error
    return f"{told.name()}: {told.str()}" if isinstance(told, KafkaError) else str(told)


class _Quiet:
    """The client's log, which says each second that the broker is away."""

    def log(self, level: int, text: str, *args: Any) -> None:
        _logger.debug(text, *args)


quiet = _Quiet()


class Worker:
    """A thread that makes calls, one after the other; nobody need wait for its end, not even the interpreter."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        threading.Thread(target=self._run, name="cyevents kafka", daemon=True).start()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def call(self, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """What a function returns."""
        answer: asyncio.Future[Any] = self._loop.create_future()

        def work() -> None:
            try:
                settle = partial(answer.set_result, function(*args))
            except Exception as error:
                settle = partial(answer.set_exception, error)
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(lambda: None if answer.done() else settle())

        self._jobs.put(work)
        return answer

    def stop(self) -> None:
        """Let it end, after what it has been asked for."""
        self._jobs.put(None)


async def ended(answer: asyncio.Future[Any], end: float) -> bool:
    """Whether a call ends in time, well or not."""
    answer.add_done_callback(lambda _: answer.cancelled() or answer.exception())  # which nobody asks for
    await asyncio.wait({answer}, timeout=max(0.0, end - monotonic()))
    return answer.done()
