"""Counts and ages of a board for a process that looks again and again, cheap with a million tokens.

A folder that has not changed is not counted again. The oldest token is looked for a slice at a time: tokens only ever
arrive with the present time, so as long as the oldest one known is still there, no other is older.
"""

from __future__ import annotations

import heapq
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from common import board, listing

# A folder that changed less than so many seconds before it was counted may have changed again unseen.
_SETTLED = 2.0
# What takes longer to count than so many seconds, a million names on a file server, is counted in no more than a
# twentieth of the time: figures that are late serve a person better than none.
_LONG, _SHARE = 1.0, 20
# So many tokens are looked at in one go, so many old ones are remembered, and after so many seconds all is looked
# through anew: a person may have put something old there.
SLICE = 20_000
_REMEMBERED, _ANEW = 1_000, 600.0
# Throughput is what arrived within this many seconds.
WINDOW = 900.0


class Depth:
    """How many tokens and how many strangers lie in a folder, counted again only when the folder has changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, tuple[int, int]]] = {}
        self._resting: dict[Path, tuple[float, tuple[int, int]]] = {}
        # A scrape comes in a thread of its own, while the loop may be counting.
        self._lock = threading.Lock()

    def count(self, bucket: Path, state: str, now: float) -> tuple[int, int]:
        """Tokens and strangers in one state of a bucket; `now` is the server's time, in seconds since the epoch."""
        with self._lock:
            return self._count(bucket, state, now)

    def _count(self, bucket: Path, state: str, now: float) -> tuple[int, int]:
        folder = listing.folder_of(bucket, state)
        until, late = self._resting.get(folder, (0.0, (0, 0)))
        if time.monotonic() < until:
            return late
        changed = _changed(folder)
        before = self._known.pop(folder, None)
        figures = before[1] if before and before[0] == changed else self._tally(folder, bucket, state)
        if now - changed / 1e9 > _SETTLED:
            self._known[folder] = (changed, figures)
        return figures

    def _tally(self, folder: Path, bucket: Path, state: str) -> tuple[int, int]:
        began = time.monotonic()
        figures = listing.tally(bucket, state)
        took = time.monotonic() - began
        if took > _LONG:
            self._resting[folder] = (time.monotonic() + took * _SHARE, figures)
        return figures


class Oldest:
    """The token that has waited longest in a bucket. Until all were looked at, the oldest of those that were."""

    def __init__(self, bucket: Path) -> None:
        self.bucket = bucket
        self._found: list[tuple[float, str]] = []
        self._names: Iterator[str] | None = None
        self._searched = -_ANEW
        self._lock = threading.Lock()

    def since(self, most: int = SLICE) -> float | None:
        """Since when, in seconds since the epoch; None when nothing waits. Looks at no more than `most` tokens."""
        with self._lock:
            return self._since(most)

    def _since(self, most: int) -> float | None:
        if time.monotonic() - self._searched > _ANEW or (self._names is None and self._first() is None):
            self._names, self._found, self._searched = listing.barcodes(self.bucket), [], time.monotonic()
        if self._names is not None:
            self._search(self._names, most)
        return self._first()

    def _search(self, names: Iterator[str], most: int) -> None:
        batch = list(islice(names, most))
        times = ((mtime, barcode) for barcode in batch if (mtime := self._mtime(barcode)) is not None)
        self._found = heapq.nsmallest(_REMEMBERED, chain(self._found, times))
        if len(batch) < most:
            self._names = None

    def _first(self) -> float | None:
        while self._found:
            mtime, barcode = self._found[0]
            if self._mtime(barcode) == mtime:
                return mtime
            heapq.heappop(self._found)
        return None

    def _mtime(self, barcode: str) -> float | None:
        return mtime_of(board.path_of(self.bucket, barcode, board.WAITING))


class Pace:
    """Books an hour, from counts that somebody takes now and then."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()

    def note(self, done: int) -> None:
        """So many are done now."""
        now = time.monotonic()
        self._counts.append((now, done))
        while now - self._counts[0][0] > WINDOW:
            self._counts.popleft()

    def per_hour(self) -> float | None:
        """The rate over the last quarter of an hour; None without data."""
        if not self._counts:
            return None
        (began, first), (ended, latest) = self._counts[0], self._counts[-1]
        return round((latest - first) / (ended - began) * 3600, 1) if ended - began > 1 and latest > first else None


def mtime_of(path: Path) -> float | None:
    """A file's mtime, in seconds since the epoch; None when it is gone."""
    try:
        return os.lstat(path).st_mtime
    except FileNotFoundError:
        return None


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
