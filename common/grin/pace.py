"""When a download that comes in pieces, or in drops, is a fault, and how many faults are too many."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from common.grin.errors import Passing

# A fault after so many new bytes is a first fault again. Half of what the worst server seen lets through at a time
# (64 KiB): each book then comes home in one attempt, with at most one request for each 32 KiB.
PROGRESS = 32 << 10
# A minute that brings fewer bytes a second than this is a fault: at that pace a book of 300 MB would take 80 hours.
FLOOR = 1 << 10
MINUTE = 60.0


class Pace:
    """Watches one answer: bytes that trickle keep any idle time-out from ending it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._since = time.monotonic()

    def check(self, size: int) -> None:
        """Passing when the last minute has brought too little; `size` is all that there is by now."""
        now = time.monotonic()
        seconds = now - self._since
        if seconds < MINUTE:
            return
        if size - self._size < FLOOR * seconds:
            raise Passing(f"GRIN sent {size - self._size} bytes in {seconds:.0f} seconds, which is a stall.")
        self._size, self._since = size, now


def paced(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same pieces; Passing when they trickle. Only what GRIN takes counts, however long the reader needs."""
    pieces, waited, size = iter(chunks), 0.0, 0
    while True:
        began = time.monotonic()
        piece = next(pieces, None)
        waited += time.monotonic() - began
        if piece is None:
            return
        size += len(piece)
        if waited >= MINUTE:
            if size < FLOOR * waited:
                raise Passing(f"GRIN sent {size} bytes in {waited:.0f} seconds, which is a stall.")
            waited, size = 0.0, 0
        yield piece


class Patience:
    """Whether faults count anew. More than ever before must have come, and not by drops: so there is an end to it."""

    def __init__(self, size: int) -> None:
        self._most = size
        self._since = time.monotonic()

    def earned(self, size: int) -> bool:
        """Whether there was progress since the last time; asked after each fault."""
        now = time.monotonic()
        gained = size - self._most
        if gained < PROGRESS or gained < FLOOR * (now - self._since):
            return False
        self._most, self._since = size, now
        return True
