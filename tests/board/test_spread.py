"""Retries of a crowd spread out: full jitter under a cap, at one layer, by a clock that the test turns."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from common import attempt, board, listing, logs
from common.config import Settings
from common.feed import Feed
from common.verdicts import backoff
from tests.board import weak
from tests.board.storm import harness

BOOKS, ATTEMPTS, FIRST, CAP = 1_000, 3, 20, 30
EPOCH = 1_800_000_000


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Settings]:
    """A board with 1,000 books before a stage that always asks for another attempt."""
    with harness.in_memory(tmp_path) as folder:
        rows = harness.rows(["Fails"], backoff=FIRST, backoff_max=CAP, attempts=ATTEMPTS)
        settings = harness.make_board(folder, rows)
        assert len(harness.seed(settings, (f"B{number}" for number in range(BOOKS)))) == BOOKS
        yield settings


@dataclass
class Told:
    """What a crowd did: attempts begun in each second, and the delay that each attempt of a number brought."""

    begun: Counter[int] = field(default_factory=Counter)
    delays: dict[int, list[float]] = field(default_factory=dict)

    def peak(self, number: int) -> float:
        """Of all that failed for the nth time, if they had at once: the busiest second, in multiples of the mean."""
        return max(Counter(int(delay) for delay in self.delays[number]).values()) * limit(number) / BOOKS

    def busiest(self) -> float:
        """The busiest second while the first wave comes back, in multiples of the mean."""
        wave = [self.begun[second] for second in range(1, FIRST + 1)]
        return max(wave) * len(wave) / max(1, sum(wave))


def limit(number: int) -> int:
    """The longest that the nth failure may put a book aside."""
    return int(min(CAP, FIRST * 2 ** (number - 1)))


def fail_all(settings: Settings) -> Told:
    """Turn the clock, second by second, until all books have failed for good."""
    desk, told, clock = harness.make_desk(settings, "s0", logs.quiet()), Told(), EPOCH
    bucket, feed = desk.row.input_pipe, Feed(desk.row.input_pipe, "w-1")
    desk.server_now = lambda: clock
    with weak.no_fsync():
        while told.begun.total() < BOOKS * ATTEMPTS:
            # What is deferred is looked for once a second of the real clock; here a second takes less.
            feed._look_at = 0
            while (held := feed.next(clock)) is not None:
                one = attempt.Attempt(desk, held)
                if one.run() == attempt.DEFERRED:
                    due = board.path_of(bucket, held.barcode, board.DEFERRED).stat().st_mtime
                    told.delays.setdefault(one.book.attempt, []).append(due - clock)
                told.begun[clock - EPOCH] += 1
            clock += 1
            assert clock < EPOCH + 2 * ATTEMPTS * CAP, "the retries stand still"
    return told


@pytest.mark.slow
def test_a_crowd_spreads(crowd: Settings, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]) -> None:
    """1,000 books that fail at once come back evenly, at most three times the mean in a second, none after the cap."""
    monkeypatch.setattr(random, "uniform", random.Random(15).uniform)
    told = fail_all(crowd)
    assert {number: len(delays) for number, delays in told.delays.items()} == {1: BOOKS, 2: BOOKS}
    for number, delays in told.delays.items():
        assert min(delays) >= 0
        assert max(delays) <= limit(number)
        quarters = Counter(min(3, int(4 * delay / limit(number))) for delay in delays)
        assert min(quarters[quarter] for quarter in range(4)) > 0.2 * BOOKS
        assert told.peak(number) <= 3
    figure(f"the busiest second: {told.busiest():.2f} times the mean; alone {told.peak(1):.2f}, {told.peak(2):.2f}")
    assert told.busiest() <= 3
    assert sum(1 for _ in listing.barcodes(crowd.bucket_paths()[0], board.FAILED)) == BOOKS


@pytest.mark.slow
def test_a_crowd_without_jitter(crowd: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the jitter all 1,000 come back in the same second."""
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    told = fail_all(crowd)
    assert told.begun[FIRST] == BOOKS
    assert told.busiest() > 3
    assert told.peak(1) > 3


def test_the_cap_holds_for_ever(crowd: Settings) -> None:
    """However often a book has failed, the next delay is a number between nothing and the cap."""
    row = crowd.filters[0]
    assert all(0 <= backoff(row, number) <= CAP for number in (*range(1, 200), 10**6))
