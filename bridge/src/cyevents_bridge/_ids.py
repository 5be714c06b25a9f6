"""Unpredictable ids for messages: anyone who has seen some ids cannot predict the next one."""

from __future__ import annotations

import os
from collections import deque

_BATCH = 64  # ids that are generated at once, because a system call for each would cost a tenth of an emission


class RandomIds:
    """Generates ids of 128 random bits as hexadecimal digits. Thread-safe."""

    def __init__(self) -> None:
        self._ids: deque[str] = deque()

    def next(self) -> str:
        """Return a new id."""
        while True:
            try:
                return self._ids.popleft()
            except IndexError:
                digits = os.urandom(16 * _BATCH).hex()
                self._ids.extend(digits[start : start + 32] for start in range(0, len(digits), 32))

    def clear(self) -> None:
        """Discard the ids generated in advance, because a forked process has the same ones."""
        self._ids.clear()
