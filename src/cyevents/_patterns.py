"""`match`: whether an event's name matches a pattern, by the rules of `fnmatch.fnmatchcase` but without its imports.

Importing `re` takes milliseconds. It also fails inside a signal handler that interrupts the program's own `import re`,
because the handler sees a half-made module. So this module matches by itself, with string methods alone.

How it works: a pattern is split at its stars. Each part between them matches names of one length only. The first part
must match at the start of the name and the last one at its end. Each part in the middle takes the leftmost place where
it matches, since that leaves the most room for the parts after it. So no choice is ever taken back, and the time is at
most proportional to the length of the name times that of the pattern.
"""

from __future__ import annotations

from ._core._safe import exact_str, safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_EXPANDED = 256  # characters of a range up to which it is written out


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return a function that tells whether a name matches the pattern: `match`, prepared.

    The name must be an exact `str`.
    """
    pattern = exact_str(pattern)
    if type(pattern) is not str:
        raise TypeError(f"a pattern must be a str, not {safe_repr(pattern)}")
    inverted = pattern[:1] == "!"
    parts = _split(pattern[inverted:])
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        if first.is_text:
            text = first.text
            return lambda name: (name == text) is not inverted
        return lambda name: (len(name) == first.length and first.matches(name, 0)) is not inverted
    middle = [part for part in parts[1:-1] if part.length]
    if all(part.is_text for part in parts):
        return _texts(first.text, tuple([part.text for part in middle]), last.text, inverted)

    def matches(name: str) -> bool:
        at, end = first.length, len(name) - last.length
        if at > end or (at and not first.matches(name, 0)) or (last.length and not last.matches(name, end)):
            return inverted
        for part in middle:
            at = part.find(name, at, end)
            if at < 0:
                return inverted
            at += part.length
        return not inverted

    return matches


def match(pattern: str, name: str) -> bool:
    """Tell whether an event's name matches a pattern.

    `*` stands for anything, `?` for one character, `[seq]` and `[!seq]` for one that is, or is not, among
    those; a leading `!` for everything but what the rest matches. Upper and lower case differ. The rules
    after the `!` are those of the standard library's `fnmatch.fnmatchcase`.

    Args:
        pattern: the pattern, a string.
        name: the name, a string.

    Returns:
        Whether it matches.

    Raises:
        TypeError: if one of them is not a string.

    Example:
        >>> from cyevents import match
        >>> match("user.*", "user.created"), match("!user.*", "user.created")
        (True, False)
    """
    name = exact_str(name)
    if type(name) is not str:
        raise TypeError(f"a name must be a str, not {safe_repr(name)}")
    return matcher(pattern)(name)


def _texts(first: str, middle: tuple[str, ...], last: str, inverted: bool) -> Callable[[str], bool]:
    """Return the function for a pattern of stars and plain text."""
    if not middle:
        if not last:
            return lambda name: name.startswith(first) is not inverted
        if not first:
            return lambda name: name.endswith(last) is not inverted
    elif len(middle) == 1 and not first and not last:
        text = middle[0]
        return lambda name: (text in name) is not inverted
    start, tail = len(first), len(last)

    def matches(name: str) -> bool:
        at, end = start, len(name) - tail
        if at > end or not name.startswith(first) or not name.endswith(last):
            return inverted
        for text in middle:
            at = name.find(text, at, end)
            if at < 0:
                return inverted
            at += len(text)
        return not inverted

    return matches


class _Part:
    """What a pattern has between two stars. It never changes once `_split` has made it.

    Attributes:
        length: the length of the names that it matches.
        text: its first plain text; empty if it has none.
        at: the index of that text.
        checks: what a name must have: an index; the text there, or `None`; the characters of which that index holds
            one; and whether it must instead hold none of them. For a `?` there is no check.
    """

    __slots__ = ("at", "checks", "length", "text")

    def __init__(self) -> None:
        self.length = self.at = 0
        self.text = ""
        self.checks: list[tuple[int, str | None, str | _Chars, bool]] = []

    @property
    def is_text(self) -> bool:
        """Whether it is plain text, or empty."""
        return self.length == len(self.text)

    def add_text(self, text: str) -> None:
        if not self.text:
            self.text, self.at = text, self.length
        self.checks.append((self.length, text, "", False))
        self.length += len(text)

    def add_set(self, chars: str | _Chars, negated: bool) -> None:
        self.checks.append((self.length, None, chars, negated))
        self.length += 1

    def matches(self, name: str, start: int) -> bool:
        """Return whether it matches from an index on, from where the name must be long enough."""
        for index, text, chars, negated in self.checks:
            if text is None:
                if (name[start + index] in chars) is negated:
                    return False
            elif not name.startswith(text, start + index):
                return False
        return True

    def find(self, name: str, start: int, end: int) -> int:
        """Return the leftmost index from which it matches within these bounds, or -1."""
        last = end - self.length
        while start <= last:
            if self.text:  # skip at once to where its text is
                start = name.find(self.text, start + self.at, end) - self.at
                if not 0 <= start <= last:
                    return -1
            if self.matches(name, start):
                return start
            start += 1
        return -1


def _split(pattern: str) -> list[_Part]:
    """Split a pattern at its stars."""
    part = _Part()
    parts = [part]
    at, size = 0, len(pattern)
    text = ""
    while at < size:
        char = pattern[at]
        at += 1
        if char == "[":
            start = at
            at += pattern.startswith("!", at)
            at = pattern.find("]", at + pattern.startswith("]", at)) + 1  # one that comes first is a character
            if at > 0:
                if text:
                    part.add_text(text)
                    text = ""
                part.add_set(*_set(pattern[start : at - 1]))
                continue
            at = start  # it is not closed: a plain character
        elif char in "*?":
            if text:
                part.add_text(text)
                text = ""
            if char == "?":
                part.length += 1
            else:
                part = _Part()
                parts.append(part)
            continue
        text += char
    if text:
        part.add_text(text)
    return parts


def _set(body: str) -> tuple[str | _Chars, bool]:
    """Return the characters of a set in brackets, and whether it stands for all the others."""
    negated = body[0] == "!"
    at, size = int(negated), len(body)
    items: list[str] = []  # a character each, or the two ends of a range
    while at < size:
        if at + 2 < size and body[at + 1] == "-":
            if body[at] <= body[at + 2]:
                items.append(body[at] + body[at + 2])
            at += 3
        else:
            items.append(body[at])
            at += 1
    if not negated and items and items[0][0] == "!":
        # There were empty ranges before it. fnmatch drops them first, and then takes this for the `!` that negates.
        negated = True
        items[:1] = ["-", items[0][1]] if len(items[0]) == 2 else []
    chars = ""
    ranges = []
    for item in items:
        low, high = item[0], item[-1]
        if ord(high) - ord(low) < _EXPANDED:
            chars += "".join(map(chr, range(ord(low), ord(high) + 1)))
        else:
            ranges.append((low, high))
    return _Chars(chars, tuple(ranges)) if ranges else chars, negated


class _Chars:
    """Characters, and ranges of them that are too long to be written out."""

    __slots__ = ("_chars", "_ranges")

    def __init__(self, chars: str, ranges: tuple[tuple[str, str], ...]) -> None:
        self._chars = chars
        self._ranges = ranges

    def __contains__(self, char: str) -> bool:
        return char in self._chars or any(low <= char <= high for low, high in self._ranges)
