"""What a bridge asks of a broker: the interface of the engines, and what they share."""

from __future__ import annotations

import asyncio
import logging
import ssl
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping

_logger = logging.getLogger("cyevents.bridge")


class Unavailable(Exception):
    """The broker cannot be reached now: to be tried again."""


class Refused(Exception):
    """The broker does not take this message: to be tried no more."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a bridge wants its messages delivered.

    Attributes:
        patterns: the names of events, and patterns of names, that it hears.
        group: one process of the group gets each message, instead of all; `None` for all.
        at_least_once: whether the broker keeps messages until they are acknowledged.
        prefix: what the broker's subjects begin with.
        ack_wait: seconds after which an unacknowledged message is delivered again.
        window: seconds for which the broker knows the ids of messages, to drop a second one.
        keep: seconds for which it keeps messages.
        batch: how many messages are fetched at once.
        attempts: how often a message is tried.
    """

    patterns: tuple[str, ...]
    group: str | None
    at_least_once: bool
    prefix: str
    ack_wait: float
    window: float
    keep: float
    batch: int
    attempts: int


class Arrival(ABC):
    """A message that the broker has delivered."""

    body: bytes
    attempt: int  # from 1 on

    @abstractmethod
    async def done(self) -> None:
        """It is dealt with, and is not to be delivered again."""

    @abstractmethod
    async def retry(self, delay: float) -> None:
        """It is to be delivered again, after some seconds."""

    @abstractmethod
    async def bury(self, about: Mapping[str, str]) -> None:
        """Put it among the dead letters, with what is to be said about it, and be done with it."""


class Engine(ABC):
    """A connection to a broker, in the running loop.

    Args:
        address: where the broker is.
        plan: how messages are delivered.
        options: what the broker's own client is given besides, such as `token` or `tls`.
    """

    trouble: Exception | None = None  # what has kept it from connecting so far

    def __init__(self, address: str, plan: Plan, options: Mapping[str, Any]) -> None:
        self.address = address
        self.place = without_secrets(address)  # as it may be shown
        self.plan = plan
        self.options = options
        self._tasks: list[asyncio.Task[None]] = []

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run something beside, which is not to end by itself."""
        task = asyncio.create_task(coroutine)
        task.add_done_callback(_tell_of_end)
        self._tasks.append(task)

    @abstractmethod
    async def connect(self) -> None:
        """Connect, and see that the broker has what the plan needs."""

    @abstractmethod
    async def listen(self, receive: Callable[[Arrival], Awaitable[None]]) -> None:
        """Have `receive` called with each message that arrives from now on, one after the other."""

    @abstractmethod
    async def publish(self, event: str, body: bytes, identity: str, is_confirmed: bool) -> None:
        """Publish a message; return when the broker has it, or, if not to be confirmed, when it is on its way.

        Raises:
            Unavailable: if the broker cannot be reached.
            Refused: if it does not take the message.
        """

    async def ready(self) -> None:  # noqa: B027 - not all can
        """Wait until the broker may be reached again, after an `Unavailable`, if the engine can tell."""

    @abstractmethod
    async def close(self) -> None:
        """Receive no more, and disconnect."""


def _tell_of_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _logger.critical("the bridge has ended", exc_info=task.exception())


async def cancel_all(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def times_cancelled() -> int:
    """How many cancellations the current task has been asked for, and not been let off."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


async def heed(awaitable: Awaitable[Any]) -> Any:
    """What an awaitable of a client's returns, unless this task is cancelled meanwhile.

    Of that a client may take no notice, as the `wait_for` of Python 3.11 does not if what it waits for ends just then.
    """
    before = times_cancelled()
    try:
        return await awaitable
    finally:
        if times_cancelled() > before:
            raise asyncio.CancelledError


def is_untrusted(error: BaseException | None) -> bool:
    """Whether an error comes from a certificate that nobody vouches for: to try again would not help."""
    return error is not None and (isinstance(error, ssl.SSLCertVerificationError) or is_untrusted(error.__cause__))


def without_secrets(address: str) -> str:
    """An address without what may be a password in it."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@lru_cache(4096)
def subject(name: str) -> str:
    """An event's name as a subject: its dots part it; what a subject cannot have is percent-encoded."""
    return ".".join([quote(token, safe="") or "%" for token in name.split(".")])


def subjects(patterns: tuple[str, ...]) -> list[str]:
    """The fewest subjects that all events are among whose names match, none of them within another.

    Up to its first wildcard a pattern of ours is as exact as a subject can be; what does not match is left out later.
    """
    found = set()
    for pattern in patterns:
        exact = []
        for token in pattern.split("."):
            if any(char in token for char in "*?[") or pattern[:1] == "!":
                break
            exact.append(quote(token, safe="") or "%")
        found.add(".".join(exact) if len(exact) == pattern.count(".") + 1 else ".".join([*exact, ">"]))
    wide = [each[:-1] for each in found if each.endswith(">")]
    return sorted(each for each in found if not any(each.startswith(base) and each != base + ">" for base in wide))
