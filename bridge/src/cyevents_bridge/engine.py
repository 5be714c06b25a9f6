"""What a bridge needs from a broker: the interface that an engine implements, and what engines share.

An engine is found by the scheme of the broker's address: another distribution adds one by an entry point of the group
`cyevents_bridge.engines`, with the scheme as its name and a subclass of `Engine` as its object.
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
    """The broker cannot be reached now: the bridge publishes the message again, later."""


class Rejected(Exception):
    """The broker does not take this message, or may have it already: the bridge gives it up."""


@dataclass(frozen=True, slots=True)
class DeliveryOptions:
    """How a bridge wants its messages delivered.

    Attributes:
        patterns: the names of events, and patterns of names, that are carried.
        group: the group, one process of which gets each message; `None` if every process gets it.
        at_least_once: whether the broker keeps messages until they are acknowledged.
        prefix: the first part of all subjects.
        ack_wait: seconds after which an unacknowledged message is delivered again.
        dedup_window: seconds for which the ids of messages are known, to drop a second message of the same id.
        retention: seconds for which the broker keeps messages.
        batch: how many messages are fetched at once.
        attempts: how often a message is tried.
        max_size: bytes of the largest message.
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
        id: unpredictable; the broker drops a second message of the same id within the deduplication window.
        is_confirmed: whether someone waits until the broker has it; otherwise it is enough that it was sent.
        is_retry: whether it was published before, without an answer. If it was not, a broker that calls it a duplicate
            has not taken it: somebody else has used its id.
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
        attempt: how often it has been delivered, from 1 on.
    """

    body: bytes
    attempt: int

    @abstractmethod
    async def ack(self) -> None:
        """The message has been handled: the broker does not deliver it again."""

    @abstractmethod
    async def nack(self, delay: float) -> None:
        """The message failed: the broker delivers it again after `delay` seconds."""

    @abstractmethod
    async def dead_letter(self, about: Mapping[str, str]) -> None:
        """Move the message to the dead letters, with these headers."""


class Engine(ABC):
    """A connection to a broker, used in one event loop.

    Args:
        address: where the broker is.
        options: how messages are delivered.
        client_options: further options, most of them for the broker's client, such as `token` or `tls`.

    Attributes:
        tls_schemes: the schemes by which an address asks for TLS.
        tls_options: the names of options for TLS. One that ends with `*` stands for all names that begin so.
        last_error: what has kept the engine from connecting so far.

    Raises:
        ValueError: if there is an option for TLS, but the address does not ask for it: without TLS, a password would be
            sent in clear text.
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
                        f"{quoted(name)} is an option for TLS, but {address.scheme}:// does not ask for TLS:"
                        f" use {' or '.join(f'{scheme}://' for scheme in sorted(self.tls_schemes))}"
                    )

    def error_text(self, error: BaseException) -> str:
        """Return the type and message of an exception in one line, without passwords."""
        return error_text(error, self._secrets)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as a task in `_tasks`, and log it if the task ends with an exception."""
        task = asyncio.create_task(coroutine)
        task.add_done_callback(self._report_end)
        self._tasks.append(task)

    def _report_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.critical("the bridge to %s has ended: %s", self.safe_address, self.error_text(error), exc_info=error)

    @abstractmethod
    async def connect(self) -> None:
        """Connect, and make what the broker must have for these options.

        Raises:
            ConnectionError: if another attempt would not help, as with a wrong password. Otherwise it tries on until
                it is cancelled, and `last_error` says why.
        """

    @abstractmethod
    async def listen(self, receive: Callable[[Delivery], Awaitable[None]]) -> None:
        """Call `receive` with each message that arrives from now on, one after the other."""

    @abstractmethod
    async def publish(self, publication: Publication) -> None:
        """Publish a message. Return when the broker has it, or, if it is not to be confirmed, when it is on its way.

        Raises:
            Unavailable: if the broker cannot be reached, or has not answered.
            Rejected: if the broker does not take the message.
        """

    async def ready(self) -> None:  # noqa: B027 - not every engine knows
        """After an `Unavailable`, wait until the broker may be reached again."""

    @abstractmethod
    async def close(self) -> None:
        """Receive nothing more, and disconnect."""


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


# For the engines


async def cancel_all(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def times_cancelled() -> int:
    """Return how many cancellations of the current task are pending."""
    task = asyncio.current_task()
    return task.cancelling() if task is not None else 0


async def check_cancelled(awaitable: Awaitable[Any]) -> Any:
    """Return what a client's awaitable returns; raise `CancelledError` if this task was cancelled meanwhile.

    A client may swallow a cancellation. `asyncio.wait_for` does up to Python 3.11, if what it waits for ends just then.
    """
    before = times_cancelled()
    try:
        return await awaitable
    finally:
        if times_cancelled() > before:
            raise asyncio.CancelledError


def is_untrusted(error: BaseException | None) -> bool:
    """Return whether an error comes from a certificate that is not trusted: another attempt would not help."""
    return error is not None and (isinstance(error, ssl.SSLCertVerificationError) or is_untrusted(error.__cause__))


@lru_cache(4096)
def subject_of(name: str) -> str:
    """Return the subject for an event's name: parts between dots, with what a subject cannot have percent-encoded."""
    return ".".join([quote(token, safe="") or "%" for token in name.split(".")])


def subjects_of(patterns: tuple[str, ...]) -> list[str]:
    """Return the fewest subjects that cover all events whose names match, none of them within another.

    A subject is as exact as a pattern up to its first wildcard. The bridge drops what arrives beyond that.
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
