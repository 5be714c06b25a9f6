"""A bounded queue of messages to publish: filled from any thread, emptied in the bridge's event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from .engine import Publication

if TYPE_CHECKING:
    from typing import Literal

    Overflow = Literal["raise", "drop_oldest"]


class OutboxFull(RuntimeError):
    """The outbox is full, so the emission was refused and called no handler."""


class Dropped(RuntimeError):
    """An emission was not published and will not be published later."""


@dataclass(slots=True, eq=False)
class Item(Publication):
    """A message in the outbox. `confirmed` is set when the broker has it; `None` if nobody waits for that."""

    confirmed: Future[None] | None = None
    position: int = 0  # set when the item is first taken out

    def succeed(self) -> None:
        """Report that the broker has the message."""
        if self.confirmed is not None and self.confirmed.set_running_or_notify_cancel():
            self.confirmed.set_result(None)

    def fail(self, error: Exception) -> None:
        """Report that the message is dropped."""
        if self.confirmed is not None and self.confirmed.set_running_or_notify_cancel():
            self.confirmed.set_exception(error)


class Outbox:
    """A queue of items.

    Args:
        limit: how many items may wait. Threads that emit at the same moment may each exceed it by one.
        overflow: what happens when the outbox is full.
    """

    def __init__(self, limit: int, overflow: Overflow) -> None:
        if type(limit) is not int or limit < 1:
            raise TypeError(f"outbox must be a whole number from 1 on, not {limit!r}")
        if overflow not in ("raise", "drop_oldest"):
            raise ValueError(f'overflow must be "raise" or "drop_oldest", not {overflow!r}')
        self.dropped = 0
        self._limit = limit
        self._overflow = overflow
        self._items: deque[Item] = deque()
        self._returned: list[tuple[int, Item]] = []  # a heap of items that were taken out and could not be published
        self._positions = count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._filled: asyncio.Event | None = None
        self._is_closed = True
        self._is_waking = False  # whether the loop is already woken, since waking it again would cost a system call

    def __len__(self) -> int:
        return len(self._items) + len(self._returned)

    def open(self) -> None:
        """Start emptying the outbox in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._filled = asyncio.Event()
        self._filled.set()
        self._is_closed = False
        self._is_waking = False

    def close(self) -> None:
        """Drop all items, and later ones too, because no loop empties the outbox any more."""
        self._is_closed = True
        while self._returned:
            self._drop(heappop(self._returned)[1])
        self._drop_all()

    def _drop_all(self) -> None:
        with suppress(IndexError):
            while True:
                self._drop(self._items.popleft())

    def _drop(self, item: Item) -> None:
        self.dropped += 1
        item.fail(Dropped(f"{item.event!r} was not published: the bridge was left"))

    def check(self, item: Item) -> None:
        """Raise if there is no room for an item, from any thread. A confirmed item always has room.

        Raises:
            OutboxFull: if there is no room.
        """
        if self._overflow == "raise" and self._is_full_for(item):
            raise OutboxFull(
                f"{item.event!r} was not emitted: {len(self)} emissions wait for the broker, and the outbox is full:"
                ' emit fewer events, or set a larger outbox= or overflow="drop_oldest"'
            )

    def _is_full_for(self, item: Item) -> bool:
        return item.confirmed is None and len(self._items) >= self._limit

    def put(self, item: Item) -> None:
        """Add an item after `check`, from any thread."""
        if self._overflow == "drop_oldest" and self._is_full_for(item):
            self._drop_oldest()
        self._items.append(item)
        if self._is_closed:  # closed after the emission began
            self._drop_all()
        elif self._loop is not None and not self._is_waking:
            self._is_waking = True
            with suppress(RuntimeError):  # the loop is closed and empties nothing any more
                self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        assert self._filled is not None
        self._is_waking = False  # before the event is set, so that later items wake the loop again
        self._filled.set()

    def _drop_oldest(self) -> None:
        try:
            oldest = self._items.popleft()
        except IndexError:  # the loop has just taken it out
            return
        self.dropped += 1
        oldest.fail(Dropped(f"{oldest.event!r} was dropped, because the outbox was full"))

    def put_back(self, item: Item) -> None:
        """Return an item to its old position. Call it in the loop."""
        assert self._filled is not None
        heappush(self._returned, (item.position, item))
        self._filled.set()

    async def get(self) -> Item:
        """Take out the oldest item. If there is none, wait for one."""
        assert self._filled is not None
        while True:
            if self._returned:
                return heappop(self._returned)[1]
            with suppress(IndexError):  # another thread may have dropped the item just seen
                item = self._items.popleft()
                item.position = next(self._positions)
                return item
            self._filled.clear()
            if not self._items:
                await self._filled.wait()
