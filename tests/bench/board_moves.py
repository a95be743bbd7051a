"""Our own side of the measurement: claims, finished moves and whole attempts, by forked workers at once."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from common import board, config
from common.attempt import DONE, Attempt, Desk
from common.feed import Feed
from common.ledger import Ledger
from common.metrics import StageMetrics
from common.stage import Book, Stage
from tests.bench.board_fill import Filled
from tests.bench.board_forked import Timing, together

Step = Callable[[board.Claim], None]


class Nothing(Stage):
    """A stage without work, so that only the board's own cost is measured."""

    def process(self, book: Book, work: Path) -> None:
        """Leave the book as it is."""


def claims(_filled: Filled) -> Step:
    """A claim and nothing else."""
    return lambda _held: None


def bare(filled: Filled) -> Step:
    """What a queue library does: take, read, remove; no ledger."""

    def step(held: board.Claim) -> None:
        board.read(held)
        board.finish(held, filled.target)

    return step


def moves(filled: Filled) -> Step:
    """The ledger line before, the ledger line after, and the rename, each durable."""
    ledger = Ledger(filled.pipeline / "ledger")

    def step(held: board.Claim) -> None:
        ledger.append(held.barcode, "attempt", stage="hop", worker=held.worker, attempt=1)
        ledger.append(held.barcode, "done", stage="hop", worker=held.worker, attempt=1, seconds=0.001, facts={})
        board.finish(held, filled.target)

    return step


def attempts(filled: Filled) -> Step:
    """All that a worker does with a book whose stage does nothing: token, ledger, scratch folder, metrics."""
    desk = _desk(filled)

    def step(held: board.Claim) -> None:
        outcome = Attempt(desk, held).run()
        if outcome != DONE:
            raise AssertionError(outcome)

    return step


KINDS: dict[str, Callable[[Filled], Step]] = {"claim": claims, "bare": bare, "move": moves, "attempt": attempts}


def measure(filled: Filled, kind: str, workers: int, total: int, *, fsync: bool) -> Timing:
    """So many claims, moves or attempts, shared by so many processes; each token at most once, or it is an error."""
    filled.need(total)

    def worker(number: int) -> Iterator[str]:
        feed, step = Feed(filled.source, f"hop-bench-{os.getpid()}-{number:08x}"), KINDS[kind](filled)
        # The listing is open when the clock starts, as in a worker that has been at it for a while.
        feed._refill()
        yield ""
        while True:
            held = feed.next(time.time())
            if held is None:
                time.sleep(0.001)
                continue
            step(held)
            yield held.barcode

    with with_fsync(fsync):
        timing = together(worker, workers, total)
    if timing.troubles or timing.doubled or not timing.complete:
        raise RuntimeError("\n".join([f"{timing.doubled} doubled, {timing.count} of {total} done", *timing.troubles]))
    if kind == "claim":
        with with_fsync(False):
            filled.restore()
    else:
        filled.waiting -= timing.count
    return timing


def first_claim(filled: Filled) -> float:
    """Seconds from a new worker's first look at the bucket to its first claim."""
    began = time.perf_counter()
    held = Feed(filled.source, f"hop-bench-{os.getpid()}-first").next(time.time())
    took = time.perf_counter() - began
    assert held is not None
    with with_fsync(False):
        board.put_back(held)
    return took


def _desk(filled: Filled) -> Desk:
    settings = config.load(filled.config)
    row = settings.filters[0]
    ledger = Ledger(settings.global_.pipeline_dir / "ledger")
    log = logging.getLogger("bench")
    return Desk(settings, row, Nothing(settings, row), ledger, StageMetrics(row.name), log, time.time)


@contextmanager
def with_fsync(wanted: bool) -> Iterator[None]:
    """Without it, os.fsync does nothing in this process and in those that it forks: a measurement only."""
    real = os.fsync
    if not wanted:
        os.fsync = lambda _fd: None
    try:
        yield
    finally:
        os.fsync = real
