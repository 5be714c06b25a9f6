"""`match`: whether a name matches a pattern, by the rules of `fnmatch.fnmatchcase` but without its imports.

Importing `re` takes milliseconds. It also fails inside a signal handler that interrupts the program's own `import re`,
because the module is then incomplete. So this module matches by string methods alone.

How it works: a pattern is split at its stars. Each part matches text of one length only. The first part must match at
the start of the name and the last one at its end. Each part in between takes the leftmost place where it matches, which
leaves the most room for the parts after it. So there is no backtracking, and the time is at most proportional to the
length of the name times that of the pattern.
"""

from __future__ import annotations

from ._core._safe import exact_str, safe_repr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def match(pattern: str, name: str) -> bool:
    """Return whether an event's name matches a pattern.

    `*` matches anything, `?` one character, `[seq]` and `[!seq]` one that is, or is not, in the sequence. With a `!` at
    its start, the pattern matches every name that the rest does not match. Case matters. The rules after the `!` are
    those of the standard library's `fnmatch.fnmatchcase`.

    Args:
        pattern: the pattern, a string.
        name: the name, a string.

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


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return a function that returns whether a name, an exact `str`, matches the pattern."""
    pattern = exact_str(pattern)
    if type(pattern) is not str:
        raise TypeError(f"a pattern must be a str, not {safe_repr(pattern)}")
    inverted = pattern[:1] == "!"
    parts = _split(pattern[inverted:])
    first, last = parts[0], parts[-1]
    if len(parts) == 1:
        return lambda name: (len(name) == first.length and first.matches(name, 0)) is not inverted
    middle = [part for part in parts[1:-1] if part.length]
    if all(part.length == len(part.text) for part in parts):
        return _text_matcher(first.text, [part.text for part in middle], last.text, inverted)

    def matches(name: str) -> bool:
        at, end = first.length, len(name) - last.length
        if at > end or not first.matches(name, 0) or not last.matches(name, end):
            return inverted
        for part in middle:
            at = part.find(name, at, end)
            if at < 0:
                return inverted
            at += part.length
        return not inverted

    return matches


def _text_matcher(first: str, middle: list[str], last: str, inverted: bool) -> Callable[[str], bool]:
    """Return the function for a pattern of stars and plain text: the common one, and four times faster so."""

    def matches(name: str) -> bool:
        at, end = len(first), len(name) - len(last)
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
    """A part of a pattern, without stars.

    Attributes:
        length: the length of the names that it matches.
        text: its first plain text; empty if it has none.
        at: the index of that text.
        checks: what a name must have at an index: a text, or one of some characters and ranges (or none of them, if
            negated). A `?` needs no check.
    """

    __slots__ = ("at", "checks", "length", "text")

    def __init__(self) -> None:
        self.length = self.at = 0
        self.text = ""
        self.checks: list[tuple[int, str, list[str], bool]] = []

    def add_text(self, text: str) -> None:
        if text:
            if not self.text:
                self.text, self.at = text, self.length
            self.checks.append((self.length, text, [], False))
            self.length += len(text)

    def add_set(self, items: list[str], negated: bool) -> None:
        self.checks.append((self.length, "", items, negated))
        self.length += 1

    def matches(self, name: str, start: int) -> bool:
        """Return whether it matches at an index, from which the name must be long enough."""
        for index, text, items, negated in self.checks:
            if text:
                if not name.startswith(text, start + index):
                    return False
            elif any(item[0] <= name[start + index] <= item[-1] for item in items) is negated:
                return False
        return True

    def find(self, name: str, start: int, end: int) -> int:
        """Return the leftmost index at which it matches within these bounds, or -1."""
        last = end - self.length
        while start <= last:
            if self.text:  # skip to where its text is
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
    at, text = 0, ""
    while at < len(pattern):
        char = pattern[at]
        at += 1
        if char == "[":
            start = at
            at += pattern.startswith("!", at)
            at = pattern.find("]", at + pattern.startswith("]", at)) + 1  # a `]` that comes first is a character
            if at > 0:
                part.add_text(text)
                part.add_set(*_parse_set(pattern[start : at - 1]))
                text = ""
                continue
            at = start  # it is not closed: a plain character
        elif char in "*?":
            part.add_text(text)
            text = ""
            if char == "?":
                part.length += 1
            else:
                part = _Part()
                parts.append(part)
            continue
        text += char
    part.add_text(text)
    return parts


def _parse_set(body: str) -> tuple[list[str], bool]:
    """Return the characters of a set in brackets, and whether it matches all others instead."""
    negated = body[0] == "!"
    at, size = int(negated), len(body)
    items: list[str] = []  # characters, and ranges as their first and last character
    while at < size:
        if at + 2 < size and body[at + 1] == "-":
            if body[at] <= body[at + 2]:  # else the range is empty
                items.append(body[at] + body[at + 2])
            at += 3
        else:
            items.append(body[at])
            at += 1
    if not negated and items and items[0][0] == "!":
        # Empty ranges came before it. fnmatch drops them first, and then takes this for the `!` that negates.
        negated = True
        items[:1] = ["-", items[0][1]] if len(items[0]) == 2 else []
    return items, negated
