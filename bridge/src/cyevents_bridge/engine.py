"""The interface between a bridge and a broker, and functions that engines share.

A bridge looks its engine up by the scheme of the broker's address. Another distribution adds an engine with an entry
point in the group `cyevents_bridge.engines`: its name is the scheme, and its object is a subclass of `Engine`.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from ._address import Address
from ._text import error_text, quoted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping

__all__ = [
    "Address",
    "Delivery",
    "DeliveryOptions",
    "Engine",
    "Publication",
    "Rejected",
    "Unavailable",
    "subject_of",
    "subjects_of",
]

logger = logging.getLogger("cyevents_bridge")


class Unavailable(Exception):
    """The broker is not reachable now. The bridge publishes the message again later."""


class Rejected(Exception):
    """The broker refused this message, or may already have it. The bridge gives it up."""


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """The options of a bridge that decide how its messages are delivered.

    Attributes:
        patterns: the names and patterns of the events to carry.
        group: the group of which one process gets each message, or `None` if every process gets it.
        at_least_once: whether the broker keeps messages until they are acknowledged.
        prefix: the first part of all subjects.
        ack_wait: seconds after which an unacknowledged message is delivered again.
        dedup_window: seconds for which message ids are remembered, to drop a second message with the same id.
        retention: seconds for which the broker keeps messages.
        batch: how many messages to fetch at once.
        attempts: how often a message is tried.
        max_size: the largest size of a message, in bytes.
    """

    patterns: tuple[str, ...]
    group: str | None
    at_least_once: bool
    prefix: str
    ack_wait: float
    dedup_window: float
    retention: float
    batch: int
    attempts: int
    max_size: int


@dataclass(slots=True, eq=False)
class Publication:
    """A message to publish.

    Attributes:
        event: the event's name.
        body: the message.
        id: an unpredictable id. The broker drops a second message with the same id within the deduplication window.
        is_confirmed: whether an emitter waits until the broker has the message. If not, sending it is enough.
        is_retry: whether the message was published before, without an answer. If it was not and the broker reports a
            duplicate, another publisher has used its id, and the broker does not have this message.
    """

    event: str
    body: bytes
    id: str
    is_confirmed: bool
    is_retry: bool


class Delivery(ABC):
    """A message that the broker has delivered.

    Attributes:
        body: the message.
        attempt: how often it has been delivered, beginning with 1.
    """

    body: bytes
    attempt: int

    @abstractmethod
    async def ack(self) -> None:
        """Acknowledge the message as handled, so that the broker does not deliver it again."""

    @abstractmethod
    async def nack(self, delay: float) -> None:
        """Report that the message failed, so that the broker delivers it again after `delay` seconds."""

    @abstractmethod
    async def dead_letter(self, about: Mapping[str, str]) -> None:
        """Move the message to the dead letters, with these headers."""


class Engine(ABC):
    """A connection to a broker, used in one event loop.

    Args:
        address: the broker's address.
        options: how messages are delivered.
        client_options: other options, most of them for the broker's client, such as `token` or `tls`.

    Attributes:
        tls_schemes: the schemes of addresses with TLS.
        tls_options: the names of options for TLS. A name that ends with `*` matches all names with that beginning.
        last_error: the error that prevented the last attempt to connect, or `None`.

    Raises:
        ValueError: if there is an option for TLS but the address is not for TLS. A password would be sent in clear
            text.
    """

    tls_schemes: ClassVar[frozenset[str]] = frozenset()
    tls_options: ClassVar[tuple[str, ...]] = ()
    last_error: Exception | None = None

    def __init__(self, address: Address, options: DeliveryOptions, client_options: Mapping[str, Any]) -> None:
        self.address = address
        self.safe_address = address.safe
        self.options = options
        self.client_options = client_options
        self._secrets = address.secrets_with(client_options)
        self._tasks: list[asyncio.Task[None]] = []
        if address.scheme not in self.tls_schemes:
            for name in (*client_options, *address.query):
                if any(name == each or (each[-1] == "*" and name.startswith(each[:-1])) for each in self.tls_options):
                    raise ValueError(
                        f"{quoted(name)} is an option for TLS, but {address.scheme}:// connects without TLS:"
                        f" use {' or '.join(f'{scheme}://' for scheme in sorted(self.tls_schemes))}"
                    )

    def error_text(self, error: BaseException) -> str:
        """Return the type and message of an exception as one line without passwords."""
        return error_text(error, self._secrets)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as a task in `_tasks`. If the task ends with an exception, log it."""
        task = asyncio.create_task(coroutine)
        task.add_done_callback(self._report_end)
        self._tasks.append(task)

    def _report_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.critical("the bridge to %s has ended: %s", self.safe_address, self.error_text(error), exc_info=error)

    @abstractmethod
    async def connect(self) -> None:
        """Connect, and create the streams or queues that these options need.

        Retry until the call is cancelled, and store the reason in `last_error`.

        Raises:
            ConnectionError: if another attempt would not help, for example after a wrong password.
        """

    @abstractmethod
    async def listen(self, receive: Callable[[Delivery], Awaitable[None]]) -> None:
        """Start to call `receive` with each message that arrives, one after the other."""

    @abstractmethod
    async def publish(self, publication: Publication) -> None:
        """Publish a message. Return when the broker has it, or, without `is_confirmed`, when it was sent.

        Raises:
            Unavailable: if the broker is not reachable or has not answered.
            Rejected: if the broker refused the message.
        """

    async def ready(self) -> None:  # noqa: B027 - not every engine knows
        """Wait until the broker may be reachable again. The bridge calls this after an `Unavailable`."""

    @abstractmethod
    async def close(self) -> None:
        """Stop receiving, and disconnect."""


def engine_for(scheme: str) -> type[Engine]:
    """Return the engine for a scheme.

    Raises:
        ValueError: if no engine has registered the scheme.
        ImportError: if the broker's client is not installed.
    """
    for entry in entry_points(group="cyevents_bridge.engines", name=scheme):
        found: type[Engine] = entry.load()
        return found
    known = sorted({entry.name for entry in entry_points(group="cyevents_bridge.engines")})
    raise ValueError(
        f"a broker's address begins with {', '.join(f'{each}://' for each in known)}, not with {quoted(scheme)}"
    )


# Functions for engines


async def cancel_all(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def times_cancelled() -> int:
    """Return how many cancellations of the current task are pending."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


async def check_cancelled(awaitable: Awaitable[Any]) -> Any:
    """Await an awaitable of a client. Raise `CancelledError` if this task was cancelled meanwhile.

    A client may swallow a cancellation. Up to Python 3.11, `asyncio.wait_for` does so if its awaitable ends at the same
    moment.
    """
    before = times_cancelled()
    try:
        return await awaitable
    finally:
        if times_cancelled() > before:
            raise asyncio.CancelledError


def is_untrusted(error: BaseException | None) -> bool:
    """Return whether an error comes from an untrusted certificate, so that another attempt would not help."""
    return error is not None and (isinstance(error, ssl.SSLCertVerificationError) or is_untrusted(error.__cause__))


@lru_cache(4096)
def subject_of(name: str) -> str:
    """Return the subject for an event's name. Characters that a subject cannot contain are percent-encoded."""
    return ".".join([quote(token, safe="") or "%" for token in name.split(".")])


def subjects_of(patterns: tuple[str, ...]) -> list[str]:
    """Return the fewest subjects that cover all events whose names match. None of them covers another.

    A subject is as exact as a pattern up to its first wildcard. The bridge drops messages that only the subject
    matches.
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
