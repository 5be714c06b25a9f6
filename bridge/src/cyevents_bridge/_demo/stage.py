"""The processes of the demo: starts them, reads their reports, kills and restarts a worker, and checks all orders."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from .brokers import watcher_for
from .orders import counted

if TYPE_CHECKING:
    from collections.abc import Callable

ACK_WAIT = 2.0
"""Seconds after which another worker gets the messages of a dead one, at the latest."""
_TIMEOUT = 60.0  # seconds without any report after which the demo stops waiting
_REFRESH = 0.1  # seconds between two updates of the screen
_REST = ACK_WAIT + 1.0  # seconds until the killed worker restarts, which is longer than the broker waits for it


@dataclass
class Row:
    """The state of a process.

    Attributes:
        role: its part in the demo.
        name: its name on the screen.
        state: its state, in a word or two.
        counts: how often it reported each verb.
        stats: statistics of its bridge: redelivered, failed and dead.
        before: the statistics of earlier processes with the same name.
        process: the process itself.
    """

    role: str
    name: str
    state: str = "starting"
    counts: Counter[str] = field(default_factory=Counter)
    stats: tuple[int, ...] = (0, 0, 0)
    before: tuple[int, ...] = (0, 0, 0)
    process: asyncio.subprocess.Process | None = None

    @property
    def figures(self) -> list[int]:
        """The numbers of placed, billed, shipped, redelivered, failed and dead orders."""
        reported = [self.counts[verb] for verb in ("placed", "billed", "shipped")]
        return reported + [now + before for now, before in zip(self.stats, self.before, strict=True)]


class Stage:
    """Runs the processes inside its `async with` block.

    Args:
        address: the broker's address.
        ids: the ids of the orders.
        pace: the time to bill an order, in seconds.
    """

    def __init__(self, address: str, ids: list[str], pace: float) -> None:
        self.address = address
        self.rows = [Row(role, name) for role, name in _CAST]
        self.story: list[str] = []
        self.ids = ids
        self.times: dict[str, Counter[str]] = {verb: Counter() for verb in ("placed", "billed", "shipped", "repeated")}
        self.dead: dict[str, str] = {}  # the errors of dead letters, by order
        self._pace = pace
        self._prefix = f"cyevents-demo-{uuid.uuid4().hex[:8]}"
        self._readers: set[asyncio.Task[None]] = set()
        self._billed_last: Row | None = None
        self._begun = monotonic()
        self._last_report = monotonic()

    async def __aenter__(self) -> Stage:
        groups = sorted({row.role for row in self.rows})
        self._watcher = watcher_for(self.address)(self.address, self._prefix, groups)
        await self._watcher.connect(self._note_dead)
        try:
            for row in self.rows:
                await self._start(row)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        running = [row.process for row in self.rows if row.process is not None and row.process.returncode is None]
        for process in running:
            process.kill()
        for process in running:
            await process.wait()
        await asyncio.gather(*self._readers, return_exceptions=True)
        await self._watcher.close()

    # Processes

    async def _start(self, row: Row) -> None:
        row.process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "cyevents_bridge._demo", row.role, self.address, self._prefix),
            *(str(len(self.ids)), str(self._pace)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        reader = asyncio.create_task(self._read(row, process))
        self._readers.add(reader)
        reader.add_done_callback(self._readers.discard)

    async def _read(self, row: Row, process: asyncio.subprocess.Process) -> None:
        """Read the reports of a process until it ends."""
        assert process.stdout is not None
        async for line in process.stdout:
            verb, *words = line.decode().split()
            self._last_report = monotonic()
            if verb == "ready":
                row.state = "running"
            elif verb == "stats":
                row.stats = tuple(map(int, words))
            else:
                row.counts[verb] += 1
                if verb in self.times:
                    self.times[verb][words[0]] += 1
                if verb == "billed":
                    self._billed_last = row
        code = await process.wait()
        if row.state != "killed":
            row.state = f"ended: {code}"

    def _note_dead(self, error: str) -> None:
        order = error.removeprefix("ValueError: ").partition(" ")[0]
        self.dead[order] = error

    # The play

    async def play(self, show: Callable[[Stage], None]) -> None:
        """Let the shop place the orders, and show their progress until all are done or no more reports come."""
        director = asyncio.create_task(self._direct())
        try:
            while not director.done() and all(not row.state.startswith("ended") for row in self.rows):
                show(self)
                await asyncio.wait([director], timeout=_REFRESH)
        finally:
            director.cancel()
            with suppress(asyncio.CancelledError, TimeoutError):  # the summary lists missing orders
                await director
        show(self)

    async def _direct(self) -> None:
        await self._until(lambda: all(row.state == "running" for row in self.rows))
        number = counted(len(self.ids), "order")
        self._add_line(f"four processes are connected by {self._watcher.safe_address}: the shop places {number}")
        shop = self.rows[0].process
        assert shop is not None
        assert shop.stdin is not None
        shop.stdin.write(b"go\n")
        await self._until(lambda: len(self.times["billed"]) > len(self.ids) // 3)
        victim = self._billed_last
        assert victim is not None
        assert victim.process is not None
        victim.process.kill()
        victim.state = "killed"
        self._add_line(f"{victim.name} is killed; the other worker gets its messages within {ACK_WAIT:g} seconds")
        other = next(row for row in self.rows if row.role == victim.role and row is not victim)
        redelivered = other.stats[0]
        await asyncio.sleep(_REST)
        taken = other.stats[0] - redelivered
        self._add_line(f"{other.name} continues, and has got {counted(taken, 'redelivered order')} meanwhile")
        victim.state = "starting"
        victim.before = tuple(map(sum, zip(victim.before, victim.stats, strict=True)))
        victim.stats = (0, 0, 0)
        await self._start(victim)
        await self._until(lambda: victim.state == "running")
        self._add_line(f"{victim.name} is running again")
        await self._until(self._is_all_done)
        # The remaining messages are handled again, so an order could still be billed twice.
        while await self._watcher.are_some_left():
            await asyncio.sleep(_REFRESH)
        await asyncio.sleep(3 * _REFRESH)  # wait for the last statistics
        self._add_line("all orders are shipped, or in the dead letters")

    def _is_all_done(self) -> bool:
        shipped = self.times["shipped"]
        return all(order in shipped or order in self.dead for order in self.ids)

    async def _until(self, holds: Callable[[], bool]) -> None:
        self._last_report = monotonic()
        while not holds():
            if monotonic() - self._last_report > _TIMEOUT:
                raise TimeoutError
            await asyncio.sleep(0.01)

    def _add_line(self, text: str) -> None:
        self.story.append(f"{monotonic() - self._begun:5.1f} s  {text}")

    # The summary

    def account(self) -> tuple[list[str], bool]:
        """Return the lines of the summary, and whether every order is accounted for."""
        placed, billed, shipped, repeated = (self.times[verb] for verb in ("placed", "billed", "shipped", "repeated"))
        lines = [f"{counted(placed.total(), 'order')} placed"]
        for times, number in sorted(Counter(billed.values()).items()):
            why = "" if times == 1 else ": a worker died or was slow after billing and before acknowledging them"
            lines.append(f"{counted(number, 'order')} billed {_TIMES.get(times, f'{times} times')}{why}")
        again = f"; {counted(repeated.total(), 'repeated message')} skipped by the order's id" if repeated else ""
        lines.append(f"{counted(shipped.total(), 'order')} shipped once{again}")
        lines.append(f"{counted(len(self.dead), 'order')} with a negative total moved to the dead letters")
        lost = [order for order in self.ids if (order in billed and order in shipped) == (order in self.dead)]
        wrong = [order for order in self.ids if placed[order] != 1 or shipped[order] > 1]
        strange = (placed.keys() | billed.keys() | shipped.keys() | self.dead.keys()) - set(self.ids)
        lines.append("every order is accounted for" if not (lost or wrong or strange) else "NOT ACCOUNTED FOR:")
        lines += [f"  {order}" for order in sorted({*lost, *wrong, *strange})]
        return lines, not (lost or wrong or strange)


_CAST = [("shop", "shop"), ("billing", "billing 1"), ("billing", "billing 2"), ("warehouse", "warehouse")]
_TIMES = {1: "exactly once", 2: "twice"}
