"""Unpredictable ids for messages: whoever has seen some cannot tell the next."""

from __future__ import annotations

import os
from collections import deque

_BATCH = 64  # ids that are made at once: a system call for each would cost a tenth of an emission


class RandomIds:
    """Makes ids of 128 random bits, in hexadecimal digits. Thread-safe."""

    def __init__(self) -> None:
        self._ids: deque[str] = deque()

    def next(self) -> str:
        """Return an id."""
        while True:
            try:
                return self._ids.popleft()
            except IndexError:
                digits = os.urandom(16 * _BATCH).hex()
                self._ids.extend(digits[start : start + 32] for start in range(0, len(digits), 32))

    def clear(self) -> None:
        """Forget the ids that were made in advance: a forked process has the same ones."""
        self._ids.clear()
