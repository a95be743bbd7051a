"""What the page shows of each bucket: cards for a few tokens of every state, a stack for the rest.

Only as many names as are shown are read: a bucket may hold a million.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from common import audit, board, listing
from services.orchestrator.census import mtime_of
from services.orchestrator.choosing import DONE
from services.orchestrator.view import View

# So many cards of each state; what a person has to do with comes first.
_CARDS = {board.WORKING: 16, board.FAILED: 6, board.HELD: 6, board.DEFERRED: 6, board.WAITING: 12}
# From these shares of a WIP limit on, in per cent, a bar is yellow, and red.
_YELLOW, _RED = 61, 86
_WITH_REASON = (board.FAILED, board.HELD, board.DEFERRED)
_REMEMBERED, _LONGEST = 4_096, 2_000
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Card:
    """One token; `age` in seconds since it came here, negative while it is deferred until then."""

    barcode: str
    state: str
    age: float
    reason: str = ""
    worker: str = ""


@dataclass(frozen=True)
class Bar:
    """How full a bucket is against the WIP limit of the stage that fills it."""

    books: int
    limit: int

    @property
    def percent(self) -> int:
        """Of the limit; may exceed 100 for a moment, when several workers finish at once."""
        return round(100 * self.books / self.limit)

    @property
    def level(self) -> str:
        """green, yellow or red."""
        return "red" if self.percent >= _RED else "yellow" if self.percent >= _YELLOW else "green"


@dataclass(frozen=True)
class Column:
    """A bucket, the stage that takes from it, and what lies in it."""

    name: str
    stage: Facts | None
    done: bool
    figures: Facts
    bar: Bar | None
    oldest: float | None
    cards: list[Card] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Tokens in all states."""
        return sum(int(self.figures[state]) for state in board.STATES)

    def of(self, state: str) -> list[Card]:
        """The cards of one state."""
        return [card for card in self.cards if card.state == state]

    def count(self, state: str) -> int:
        """How many tokens are in a state; what lies in the last bucket waits for nothing, and is done."""
        if state in (DONE, board.WAITING):
            return int(self.figures[board.WAITING]) if self.done == (state == DONE) else 0
        return int(self.figures[state])

    def more(self, state: str) -> int:
        """How many tokens of a state are on no card of their own."""
        return max(0, self.count(state) - len(self.of(state)))


class Columns:
    """Makes the columns of one board; remembers why tokens lie where they lie, which seldom changes."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._reasons: dict[tuple[Path, float], str] = {}

    def of(self, facts: Facts) -> list[Column]:
        """All buckets in the order of the line; `facts` are those of `status`. A book is on one card only."""
        stages = {stage["input"]: stage for stage in facts["stages"]}
        fills = {stage["output"]: stage for stage in facts["stages"]}
        now = self.view.now()
        seen: set[str] = set()
        columns: list[Column] = []
        # From the end: a book that moves while we look is seen twice, and has gone on.
        for bucket in reversed(facts["buckets"]):
            path = self.view.paths[bucket["name"]]
            last = path in self.view.last
            cards = [card for card in self._cards(path, now, last=last) if card.barcode not in seen]
            seen.update(card.barcode for card in cards)
            bar = _bar(bucket, fills.get(bucket["name"]))
            stage = stages.get(bucket["name"])
            columns.append(Column(bucket["name"], stage, last, bucket, bar, bucket.get("oldest_seconds"), cards))
        return columns[::-1]

    def _cards(self, bucket: Path, now: float, *, last: bool) -> Iterator[Card]:
        for state, most in _CARDS.items():
            if state == board.WORKING:
                yield from self._claimed(bucket, now, most)
                continue
            shown = sorted(islice(listing.barcodes(bucket, state), most))
            for barcode in shown:
                path = board.path_of(bucket, barcode, state)
                if (mtime := mtime_of(path)) is not None:
                    reason = self._reason(path, mtime, barcode, state) if state in _WITH_REASON else ""
                    yield Card(barcode, DONE if last and state == board.WAITING else state, now - mtime, reason)

    @staticmethod
    def _claimed(bucket: Path, now: float, most: int) -> Iterator[Card]:
        for claim in sorted(islice(listing.claims(bucket), most), key=lambda claim: claim.barcode):
            if (mtime := mtime_of(claim.path)) is not None:
                yield Card(claim.barcode, board.WORKING, now - mtime, worker=claim.worker)

    def _reason(self, path: Path, mtime: float, barcode: str, state: str) -> str:
        if (path, mtime) not in self._reasons:
            if len(self._reasons) >= _REMEMBERED:
                self._reasons.clear()
            try:
                found, _ = audit.reason(self.view.ledger.read(barcode), state)
            except OSError as error:
                found = f"Its ledger cannot be read: {error}."
            self._reasons[path, mtime] = found[:_LONGEST]
        return self._reasons[path, mtime]


def _bar(bucket: Facts, filler: Facts | None) -> Bar | None:
    limit = filler["wip_limit"] if filler else None
    return Bar(View.in_line(dict(bucket)), limit) if limit else None
