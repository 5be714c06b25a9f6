"""What is to be published, until the broker has it: bounded, filled from any thread, emptied in the bridge's loop."""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from typing import TYPE_CHECKING

from .._common import shown

if TYPE_CHECKING:
    from typing import Literal

    WhenFull = Literal["raise", "drop_oldest"]


class OutboxFull(RuntimeError):
    """So many emissions wait to be published that no more are taken: nothing was emitted."""


class Dropped(RuntimeError):
    """What was to be published has been given up."""


@dataclass(slots=True, eq=False)
class Item:
    """A message to be published; `confirmed` is given where somebody waits for that."""

    event: str
    identity: str
    body: bytes
    confirmed: Future[None] | None = field(default=None)
    turn: int = field(default=0)  # given when it is taken out first

    def succeed(self) -> None:
        """The broker has it."""
        if self.confirmed is not None and self.confirmed.set_running_or_notify_cancel():
            self.confirmed.set_result(None)

    def fail(self, error: Exception) -> None:
        """It is given up."""
        if self.confirmed is not None and self.confirmed.set_running_or_notify_cancel():
            self.confirmed.set_exception(error)


class Outbox:
    """A queue of items.

    Args:
        limit: how many may wait; in the moment in which several threads emit, as many more.
        when_full: what becomes of one more.
    """

    def __init__(self, limit: int, when_full: WhenFull) -> None:
        if type(limit) is not int or limit < 1:
            raise TypeError(f"limit must be a whole number from 1 on, not {shown(limit)}")
        if when_full not in ("raise", "drop_oldest"):
            raise ValueError(f'when_full must be "raise" or "drop_oldest", not {when_full!r}')
        self.dropped = 0
        self._limit = limit
        self._when_full = when_full
        self._items: deque[Item] = deque()
        self._returned: list[tuple[int, Item]] = []  # a heap: what was taken out, and could not be published
        self._turns = count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._filled: asyncio.Event | None = None
        self._is_closed = True
        self._is_waking = False  # the loop will look at the items: to tell it once more costs a system call

    def __len__(self) -> int:
        return len(self._items) + len(self._returned)

    def open(self) -> None:
        """Be emptied in the running loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._filled = asyncio.Event()
        self._filled.set()
        self._is_closed = False
        self._is_waking = False

    def close(self) -> None:
        """Give up all items, and whatever is still put in: nobody empties it any more."""
        self._is_closed = True
        while self._returned:
            self._give_up(heappop(self._returned)[1])
        self._give_up_all()

    def _give_up_all(self) -> None:
        with suppress(IndexError):
            while True:
                self._give_up(self._items.popleft())

    def _give_up(self, item: Item) -> None:
        self.dropped += 1
        item.fail(Dropped(f"{item.event!r} was not published: the bridge was left"))

    def check(self, item: Item) -> None:
        """See that an item may be put, from any thread. Whoever waits for that is let in beyond the limit.

        Raises:
            OutboxFull: if there is no room.
        """
        if self._when_full == "raise" and self._is_full_for(item):
            raise OutboxFull(f"{len(self)} emissions wait for the broker: {item.event!r} is not emitted")

    def _is_full_for(self, item: Item) -> bool:
        return item.confirmed is None and len(self._items) >= self._limit

    def put(self, item: Item) -> None:
        """Have an item published, from any thread, once it may be."""
        if self._when_full == "drop_oldest" and self._is_full_for(item):
            self._drop_oldest()
        self._items.append(item)
        if self._is_closed:  # since its emission has begun
            self._give_up_all()
        elif self._loop is not None and not self._is_waking:
            self._is_waking = True
            try:
                self._loop.call_soon_threadsafe(self._wake)
            except RuntimeError:  # the loop is closed: nobody empties it any more
                pass

    def _wake(self) -> None:
        assert self._filled is not None
        self._is_waking = False  # first: what is put from now on is told of again
        self._filled.set()

    def _drop_oldest(self) -> None:
        try:
            oldest = self._items.popleft()
        except IndexError:  # it has just been taken
            return
        self.dropped += 1
        oldest.fail(Dropped(f"{oldest.event!r} was dropped, since too many emissions waited for the broker"))

    def put_back(self, item: Item) -> None:
        """Have an item that was taken out published once more, in its turn; in the loop."""
        assert self._filled is not None
        heappush(self._returned, (item.turn, item))
        self._filled.set()

    async def get(self) -> Item:
        """The oldest item, when there is one."""
        assert self._filled is not None
        while True:
            if self._returned:
                return heappop(self._returned)[1]
            with suppress(IndexError):  # another thread may drop what has just been seen
                item = self._items.popleft()
                item.turn = next(self._turns)
                return item
            self._filled.clear()
            if not self._items:
                await self._filled.wait()
