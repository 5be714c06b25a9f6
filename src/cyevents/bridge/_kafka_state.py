"""What Kafka is told of a group beside its number, and how a partition is restored from that.

Kafka notes one number for a group and a partition, up to which all is done; what is beyond comes again. A message that
failed must not hold up others for as long as it waits, and one that kills its process must not take others along. So a
text stands beside that number: up to where messages were taken, which of them are not finished, how often each was
begun with, when it is to be tried again, and whether somebody is at it. At least once, this is what the broker has been
told, and has confirmed, before a message is begun with:

- of one that comes for the first time, that somebody is at its partition, and a place not more than 256 messages
  before it; so most need not wait for anything. Whoever finds the partition so, since that process died, takes all that
  may have been begun with for tried once: what was taken, and 256 more;
- of any other one, that it is begun with once more. It goes alone, so that of these only one dies with its process.

Whoever finds a message that was begun with as often as it may be buries it. One that may have been, but is not known
to, is tried once more in any case. At most once, the broker has been told that a message is finished, before it begins.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import ceil
from time import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_AHEAD = 256  # messages that are begun with, beyond what the broker was told
_TEXT = 4000  # characters; a broker takes 4,096, unless its `offset.metadata.max.bytes` says something else
_AWAY = 30.0  # seconds after which a group at most once is not there, if it has not said so


@dataclass(slots=True, eq=False)
class Open:
    """A message that is not finished: how often it was begun with, and when it is to be tried again, if it waits."""

    begun: int = 0
    due: float = 0.0  # in the broker's text, and so by the clock of all machines
    is_suspect: bool = False  # whether it may have killed its process


@dataclass(slots=True, eq=False)
class Partition:
    """A partition that is this process's, and what is not finished of it."""

    number: int
    next: int  # the offset up to which messages were taken
    doubt: int = 0  # the one up to which those that come may have been begun with by the process before
    open: dict[int, Open] = field(default_factory=dict)
    unread: set[int] = field(default_factory=set)  # those of them that the process before has had, and this one has not
    said: tuple[int, str] | None = None  # what the broker was told last
    covered: int = 0  # the offset up to which messages may be begun with, after what it was told
    last: int = -1  # the offset of the one that came last
    used: float = 0.0  # when that was

    def state(self, is_busy: bool) -> tuple[int, str]:
        """What the broker is to note: up to where all is finished, and what is so beyond, in runs of equals."""
        first = min(self.open, default=self.next)
        about: dict[str, Any] = {"v": 1, "to": self.next - first}
        if self.open:
            runs: list[list[int]] = []
            for offset, each in sorted(self.open.items()):
                last = runs[-1] if runs else None
                if last and last[0] + last[1] == offset - first and last[2:] == [each.begun, ceil(each.due)]:
                    last[1] += 1
                else:
                    runs.append([offset - first, 1, each.begun, ceil(each.due)])
            about["open"] = runs
        if self.doubt > self.next:
            about["doubt"] = self.doubt - first
        if is_busy:
            about["busy"] = _AHEAD
        text = _text(about)
        return first, text if len(text) <= _TEXT else ""  # then all from the first on comes again, as if new

    def reach(self, is_busy: bool) -> int:
        """Up to where messages may be begun with, once the broker has been told that."""
        return self.next + _AHEAD if is_busy else 0


def _text(about: Mapping[str, Any]) -> str:
    return json.dumps(about, separators=(",", ":"))


def restored(number: int, first: int, text: str | None, attempts: int) -> Partition:
    """A partition as the process before has left it, or as it was when that has died."""
    made = Partition(number, first)
    try:
        about = json.loads(text or "")
        runs = [(int(at), int(size), int(begun), int(due)) for at, size, begun, due in about.get("open", [])]
        made.next = first + int(about["to"])
        busy = int(about.get("busy", 0))
        made.doubt = max(first + int(about.get("doubt", 0)), made.next + busy if busy else 0)
    except (ValueError, KeyError, TypeError, AttributeError):  # somebody else's, or none
        return Partition(number, first)
    for at, size, begun, due in runs:
        for offset in range(first + at, min(first + at + size, made.next)):
            made.open[offset] = Open(begun, due) if begun or not busy else doubtful(attempts)
    made.unread.update(made.open)
    return made


def doubtful(attempts: int) -> Open:
    """A message that may have been begun with: it is tried once more, whatever the number of attempts."""
    return Open(min(1, attempts - 1), is_suspect=True)


def life_sign(every: float) -> str:
    """What a group that gets messages at most once says: that it is there, in another text only now and then."""
    return _text({"v": 1, "at": int(time() // every * every)})


def is_alive(text: str | None) -> bool:
    """Whether a group that gets messages at most once was there a moment ago."""
    try:
        return bool(json.loads(text or "")["at"] > time() - _AWAY)
    except (ValueError, KeyError, TypeError):
        return False
