"""`KeptEmissions`: the last emissions of an event with `replay`, and the calls of new handlers with them.

How it works: each emission gets a number and becomes an `EmissionRecord` before its handlers run. A handler that is
connected with `replay=True` is connected first, and then called with the records.

An emission of another thread may run meanwhile, and must call the handler exactly once: itself, or by its record.
Neither waits for the other. The emission looks up its entries, adds its record with them, and looks the entries up
again. It calls an entry that is new the second time only if it claims that entry, by `dict.setdefault`, which is
atomic. The replay skips a record if its entries have the handler's entry, or if the emission has claimed it. So:

- If the handler is connected before the second look, the emission finds its entry, and whichever claims it calls it.
- If it is connected later, the record is already there, and the replay finds it.

Then the emission is settled. It hands its entries to the replays that run, and its record keeps none: they would keep
alive handlers that are held strongly. Replays that begin later are for handlers that it does not call.
"""

from __future__ import annotations

from _weakref import ref
from itertools import count

from ._checks import is_pattern
from ._connection import undo_connection
from ._core import call_locked
from ._core._safe import exact_str, safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._core import Entry, EventCore

    KeepingEvent = Any  # an `EventHooks`, whose `_kept` these functions set and read
    _Dict = dict["EmissionRecord", tuple[Entry, ...]]
else:
    _Dict = dict


def checked_replay(replay: Any, name: Any) -> int:
    """Return how many emissions an event of this name keeps, as an exact `int`; raise if it cannot."""
    if not issubclass(type(replay), int) or type(replay) is bool:
        raise TypeError(f"replay must be an int, the number of emissions that the event keeps, not {safe_repr(replay)}")
    number = int.__index__(replay)
    if number < 0:
        raise ValueError(f"replay must be the number of emissions that the event keeps, or 0, not {safe_repr(replay)}")
    name = exact_str(name)
    if number and type(name) is str and is_pattern(name):
        raise ValueError(f"{name!r} is a pattern and is never emitted: give replay to the events themselves")
    return number


def keep(event: KeepingEvent, number: int) -> None:
    """Let an event keep so many emissions from now on; with fewer than before, drop the oldest."""
    if number == 0 and getattr(event, "_kept", None) is None:
        return
    call_locked(make_kept, event)
    kept: KeptEmissions = event._kept
    kept.limit = number
    call_locked(event._update_recording)
    kept.trim()
    if event._is_hidden():  # events that keep emissions stay in the cache
        event._attach_patterns([])


def make_kept(event: KeepingEvent) -> None:
    """Give an event its `_kept`, if it has none. Called under the lock."""
    made = KeptEmissions()
    try:
        event._kept  # noqa: B018
    except AttributeError:
        event._kept = made


class EmissionRecord:
    """One emission that is kept."""

    __slots__ = ("args", "claims", "entries", "kwargs", "sender")

    claims: dict[int, bool] | None
    """By the serial of an entry: whether the emission calls it, or else a replay. None: the emission is settled."""
    entries: tuple[Entry, ...]  # that the emission has found at its first look; empty when it is settled

    def __init__(self, entries: tuple[Entry, ...], sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.claims = {}
        self.entries = entries
        self.sender = sender
        self.args = args
        self.kwargs = kwargs


class SettledEmissions(_Dict):
    """The entries of the emissions that were settled since a replay has begun, by their records."""

    __slots__ = ("__weakref__",)


class KeptEmissions:
    """The last emissions of an event. Its dicts change atomically, so no emission waits for another thread."""

    __slots__ = ("_numbers", "_records", "holds", "limit", "replays")

    def __init__(self) -> None:
        self.limit = 0  # how many are kept
        self.holds: set[object] = set()  # the scopes of the open holds of the event: see `_held`
        self.replays: dict[object, ref[SettledEmissions]] = {}
        """Those that run now, or are about to. Weak, for those that a signal handler ends before they remove theirs."""
        self._numbers = count()
        self._records: dict[int, EmissionRecord] = {}  # by number, so that those to drop are known without a look

    def records(self) -> list[EmissionRecord]:
        """Return the records in order."""
        return [record for _, record in sorted(self._records.copy().items())[-self.limit :]] if self.limit else []

    def restore(self, records: list[EmissionRecord]) -> None:
        """Keep these records instead of those that are kept now."""
        self._records.clear()
        for record in records:
            self._records[next(self._numbers)] = record

    def clear(self) -> None:
        """Drop all emissions."""
        self._records.clear()

    def trim(self) -> None:
        """Drop the oldest emissions if there are too many. Threads that do this together drop the same ones."""
        records = self._records
        if len(records) > self.limit:
            numbers = sorted(records.copy())
            for number in numbers[: max(len(numbers) - self.limit, 0)]:
                records.pop(number, None)

    # In the thread that emits

    def begin_emission(
        self, event: EventCore, sender: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Entry, ...]:
        """Record an emission, and return the entries that it calls: see "How it works"."""
        entries = event._snapshot(sender).entries
        if _is_muted(event):
            return entries
        record = EmissionRecord(entries, sender, args, kwargs)
        number = next(self._numbers)
        try:
            self._records[number] = record
            self._records.pop(number - self.limit, None)
            self.trim()
            latest = event._snapshot(sender).entries
            if latest is not entries:
                claims = record.claims
                assert claims is not None
                known = {id(entry) for entry in entries}
                entries = tuple(
                    [entry for entry in latest if id(entry) in known or claims.setdefault(entry.serial, True)]
                )
            for key, reference in list(self.replays.items()):  # first: replays read these last
                settled = reference()
                if settled is None:
                    self.replays.pop(key, None)
                else:
                    settled[record] = entries
            record.claims = None
            record.entries = ()
        except BaseException:  # no memory, or a signal handler has raised: nothing is emitted
            self._records.pop(number, None)
            raise
        return entries

    # In the thread that connects

    def connect(self, event: KeepingEvent, *arguments: Any) -> tuple[Entry, Entry | None]:
        """Do what `EventCore._connect` does with these arguments, and call the handler with the kept emissions."""
        _, sender, *_, made = arguments
        if not self.limit:
            cure = f"make it with replay=1, as in event({event._name!r}, replay=1), or set its attribute replay"
            if is_pattern(event._name):
                cure = "a pattern is never emitted. Connect to the events themselves"
            raise TypeError(f"replay=True needs an event that keeps emissions, and {event._name!r} does not: {cure}")
        replay, settled = object(), SettledEmissions()
        try:
            self.replays[replay] = ref(settled)  # before the connection
            connected: tuple[Entry, Entry | None] = event._connect(*arguments)
            self.replay(event, connected[0], settled)
        except BaseException:
            undo_connection(event, made, sender)
            made.clear()
            raise
        finally:
            self.replays.pop(replay, None)
        return connected

    def replay(self, event: KeepingEvent, entry: Entry, settled: SettledEmissions) -> None:
        """Call a new handler with the kept emissions that an emission would call it for.

        `settled` is in `replays` since before the handler was connected.

        Raises:
            Exception: what the handler raises, if the event's policy is to raise it.
        """
        errors: list[Exception] = []
        try:
            for record in self.records():
                claims = record.claims
                if _has(record.entries, entry) or _has(settled.get(record, ()), entry):
                    continue  # the emission calls it
                if not _has(event._snapshot(record.sender).entries, entry):
                    continue  # it is for another sender, or gone
                if claims is not None and claims.setdefault(entry.serial, False):
                    continue  # the emission has claimed it
                event._dispatch((entry,), record.sender, record.args, record.kwargs, [], errors)
            if errors:
                raise event._make_exception_group(errors)
        finally:
            errors.clear()  # their tracebacks refer to this frame


def _has(entries: tuple[Entry, ...], entry: Entry) -> bool:
    """Return whether this very entry is among others: `in` would compare the handlers."""
    return any(each is entry for each in entries)


def _is_muted(event: EventCore) -> bool:
    """Return whether the whole event is muted."""
    mutes = event._mutes
    return mutes is not None and any(None in keys for keys in list(mutes.values()))
