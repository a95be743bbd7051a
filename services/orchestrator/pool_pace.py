"""How many books were brought home in the last day, as far as this process has watched."""

from __future__ import annotations

import time
from collections import deque

_DAY = 86_400.0
_EVERY = 600.0


class PoolPace:
    """From counts of the books behind the first bucket, taken now and then; nothing is kept over a restart."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()
        self._latest = 0

    def note(self, behind: int) -> None:
        """So many books are behind the first bucket now."""
        now = time.monotonic()
        self._latest = behind
        if not self._counts or now - self._counts[-1][0] > _EVERY:
            self._counts.append((now, behind))
        while now - self._counts[0][0] > _DAY:
            self._counts.popleft()

    def in_a_day(self) -> int:
        """Books in the last 24 hours, or since the first count; 0 without one."""
        return max(0, self._latest - self._counts[0][1]) if self._counts else 0
