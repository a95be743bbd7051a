"""How old the tokens of each bucket are: a bucket a row, ages doubling from column to column. Changes nothing.

A bucket in which much is old and little is new has come to a stand; one in which much is new is just busy.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import board, listing
from common.token import barcode_of
from services.orchestrator.view import View

# Up to so many minutes; what is older has a column of its own.
MINUTES = tuple(5 * 2**power for power in range(9))
COLUMNS = (*(f"<{minutes}" for minutes in MINUTES), f"{MINUTES[-1]}+")
_BOUNDS = tuple(60.0 * minutes for minutes in MINUTES)


@dataclass
class Ages:
    """How many tokens of one bucket are of which age, a figure a column."""

    bucket: str
    counts: list[int] = field(default_factory=lambda: [0] * len(COLUMNS))
    oldest: float | None = None
    """Seconds."""

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.counts)

    def add(self, age: float) -> None:
        """One more token, of so many seconds."""
        self.counts[bisect_right(_BOUNDS, age)] += 1
        if self.oldest is None or age > self.oldest:
            self.oldest = age

    def as_dict(self, states: Sequence[str]) -> dict[str, Any]:
        """The members of the JSON line."""
        oldest = None if self.oldest is None else round(self.oldest, 1)
        ages = dict(zip(COLUMNS, self.counts, strict=True))
        return {
            "bucket": self.bucket,
            "states": list(states),
            "total": self.total,
            "oldest_seconds": oldest,
            "minutes": ages,
        }


def shape(view: View, states: Sequence[str] = (board.WAITING,), bucket: str | None = None) -> list[Ages]:
    """The ages of the tokens in these states. What lies in a last bucket is done, and left out unless it is named."""
    now, found = view.now(), []
    for name, path in view.paths.items():
        if name == bucket or (bucket is None and path not in view.last):
            ages = Ages(name)
            for state in states:
                for since in _since(path, state):
                    ages.add(max(0.0, now - since))
            found.append(ages)
    return found


def _since(bucket: Path, state: str) -> Iterator[float]:
    """Since when each token is there. The mtime of a deferred one says when it is due, its ctime when that was set."""
    try:
        listed = os.scandir(listing.folder_of(bucket, state))
    except FileNotFoundError:
        return
    with listed:
        for file in listed:
            name = file.name
            if not (barcode_of(name) if state != board.WORKING else "~" in name):
                continue
            try:
                figures = file.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield figures.st_ctime if state == board.DEFERRED else figures.st_mtime
