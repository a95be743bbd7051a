"""What is bounded: books and bytes between two stages, new books on a full disk, a new one's wait behind others."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from common import board, durable, listing
from common.config import Settings
from common.feed import Feed
from common.heartbeat import worker_name
from tests.board.storm import harness
from tests.helpers import until

WORKERS, LIMIT, BOOKS = 6, 10, 150


@contextmanager
def workers(settings: Settings, *stages: str) -> Iterator[None]:
    """While this holds, one real worker runs for each stage named; at the end they drain."""
    pids = [harness.fork(partial(harness.work, settings, stage, worker_name(stage))) for stage in stages]
    try:
        yield
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
        assert [harness.exit_code(pid) for pid in pids] == [0] * len(pids)
    finally:
        for pid in pids:
            kill(pid)


def kill(pid: int) -> None:
    """End a child that may have ended already."""
    try:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def in_line(settings: Settings) -> set[str]:
    """The books between the two stages: those seen by each of two looks, since some move while one looks."""
    bucket, states = settings.bucket_paths()[1], (board.WAITING, board.WORKING, board.DEFERRED)
    looks = [{barcode for state in states for barcode in listing.barcodes(bucket, state)} for _ in range(2)]
    return looks[0] & looks[1]


def most_in_line(settings: Settings, go: Path) -> int:
    """The most books that were ever seen between the two stages: first with the second one stuck, then flowing."""
    first, _, last = settings.bucket_paths()
    harness.seed(settings, (f"B{number:03}" for number in range(BOOKS)))
    with workers(settings, *["s0"] * WORKERS, "s1", "s1"):
        until(lambda: len(in_line(settings)) >= min(LIMIT, BOOKS), 60)
        most = len(in_line(settings))
        for _ in range(100):
            most = max(most, len(in_line(settings)))
            time.sleep(0.01)
        go.touch()
        while sum(1 for _ in listing.barcodes(last)) < BOOKS:
            most = max(most, len(in_line(settings)))
            time.sleep(0.002)
    assert not any(listing.barcodes(first))
    return most


def line(folder: Path, **limits: object) -> Settings:
    """A stage of many workers, with these limits, before one that waits for the file `go`."""
    rows = harness.rows(["Weighs", "Waits"], options={"until": str(folder / "go")})
    rows[0] |= limits
    return harness.make_board(folder, rows)


@pytest.mark.slow
@pytest.mark.parametrize("limits", [{"wip_limit": LIMIT}, {"wip_bytes": 1_000 * LIMIT}], ids=["books", "bytes"])
def test_limits_hold(tmp_path: Path, limits: dict[str, object], figure: Callable[[str], None]) -> None:
    """With 6 workers that race for it, no more than limit + 6 books lie between two stages, and all arrive."""
    most = most_in_line(line(tmp_path, **limits), tmp_path / "go")
    figure(f"at most {most} books in line, for a limit of {LIMIT} and {WORKERS} workers")
    assert LIMIT <= most <= LIMIT + WORKERS


@pytest.mark.slow
def test_no_limits(tmp_path: Path) -> None:
    """Without the limit far more books pile up: what holds them back above is the limit."""
    assert most_in_line(line(tmp_path), tmp_path / "go") > LIMIT + WORKERS


# --- the disk ---

MARGIN = 512 << 20


def said(settings: Settings) -> str:
    """What holds the workers back, by their own files."""
    files = (settings.global_.pipeline_dir / "workers").glob("[!.]*.json")
    return " ".join(str(json.loads(path.read_bytes()).get("limited") or "") for path in files)


def test_a_disk_that_fills_and_empties(tmp_path: Path) -> None:
    """Below min_free no new book is claimed and the worker says why; when there is space again it goes on by itself."""
    free = durable.free_bytes(tmp_path)
    if free < 8 * MARGIN:
        pytest.skip(f"THE DISK OF {tmp_path} HAS TOO LITTLE FREE SPACE: min_free was not tested on a disk that fills.")
    settings = harness.make_board(tmp_path, harness.rows(["Logged"]), min_free=free - MARGIN)
    first, last = settings.bucket_paths()
    ballast = tmp_path / "ballast"
    with workers(settings, "s0"):
        harness.seed(settings, ["A1"])
        until(lambda: any(listing.barcodes(last)), 60)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 2 * MARGIN)
        until(lambda: "the disk has less than min_free" in said(settings), 60)
        harness.seed(settings, ["A2"])
        time.sleep(20 * settings.global_.poll)
        assert list(listing.barcodes(first)) == ["A2"]
        ballast.unlink()
        until(lambda: set(listing.barcodes(last)) == {"A1", "A2"}, 60)


# --- who is next ---

BACKLOG = 3_000


def put(bucket: Path, barcode: str, state: str = board.WAITING) -> None:
    """A token that nobody waits for to reach the disk; due, if it is deferred, since long ago."""
    path = board.path_of(bucket, barcode, state)
    path.write_text("{}")
    os.utime(path, (1, 1))


def turns_until_served(feed: Feed, bucket: Path, barcode: str, most: int) -> int:
    """How many claims it takes until a new book is among them, once the bucket may be listed again."""
    put(bucket, barcode)
    time.sleep(0.03)
    for turn in range(1, most + 1):
        held = feed.next(1e9)
        assert held is not None
        if held.barcode == barcode:
            return turn
    return most + 1


@pytest.fixture
def backlog(tmp_path: Path) -> Iterator[Path]:
    """A bucket in which thousands of deferred books are due."""
    with harness.in_memory(tmp_path) as folder:
        bucket = folder / "01_in"
        board.prepare(folder, [bucket])
        for number in range(BACKLOG):
            put(bucket, f"D{number}", board.DEFERRED)
        yield bucket


def test_a_new_book_is_served_within_two_turns(backlog: Path) -> None:
    """However many deferred books are due, a new one is claimed first or second, every time."""
    feed = Feed(backlog, "w-1")
    assert max(turns_until_served(feed, backlog, f"NEW{number}", 50) for number in range(30)) <= 2


class DueFirst(Feed):
    """Serves all that is due before anything new."""

    def next(self, server_now: float) -> board.Claim | None:
        """A due one, else a new one."""
        return self._from_deferred(server_now) or self._from_waiting(server_now)


def test_a_new_book_that_starves(backlog: Path) -> None:
    """A feed that serves what is due first lets a new book wait behind the whole backlog."""
    assert turns_until_served(DueFirst(backlog, "w-1"), backlog, "NEW", BACKLOG - 1) == BACKLOG
