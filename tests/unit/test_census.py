"""Counts and ages: right whatever was counted before, and cheap."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from common import board, listing
from services.orchestrator import census
from services.orchestrator.census import Depth, Oldest, Pace
from tests.helpers import until
from tests.unit.test_board import put


def old(bucket: Path, barcode: str, mtime: float) -> None:
    """A waiting token that has been there since `mtime`."""
    put(bucket, barcode)
    os.utime(board.path_of(bucket, barcode, board.WAITING), (mtime, mtime))


def test_tokens_and_strangers(root: Path) -> None:
    """Tokens are counted by their names; other files as strangers; hidden ones and state folders not at all."""
    bucket = root / "01_in"
    put(bucket, "A1")
    for name in ("notes.txt", "a b.json", ".A1.json.tmp", ".nfs0001"):
        (bucket / name).touch()
    assert Depth().count(bucket, board.WAITING, time.time()) == (1, 2)
    assert sorted(path.name for path in listing.strangers(bucket, board.WAITING)) == ["a b.json", "notes.txt"]


def test_a_claim_is_counted_as_one(root: Path) -> None:
    """In working/ only claim names count, elsewhere only tokens' names."""
    bucket = root / "01_in"
    put(bucket, "A1")
    assert board.claim(bucket, "A1", "w-1", 1) is not None
    (bucket / "working" / "A2.json").touch()
    (bucket / "failed" / "A3~w-1.1.json").touch()
    depth, now = Depth(), time.time()
    assert depth.count(bucket, board.WORKING, now) == (1, 1)
    assert depth.count(bucket, board.FAILED, now) == (0, 1)


def test_a_folder_that_takes_long_rests(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long to count is not counted again at once, whatever happens there, but after a while."""
    bucket, depth, tally = root / "01_in", Depth(), listing.tally

    def slowly(*args: object) -> tuple[int, int]:
        time.sleep(0.05)
        return tally(*args)

    monkeypatch.setattr(listing, "tally", slowly)
    monkeypatch.setattr(census, "_LONG", 0.04)
    put(bucket, "A1")
    assert depth.count(bucket, board.WAITING, time.time()) == (1, 0)
    put(bucket, "A2")
    began = time.monotonic()
    assert depth.count(bucket, board.WAITING, time.time()) == (1, 0)
    assert time.monotonic() - began < 0.04
    until(lambda: depth.count(bucket, board.WAITING, time.time()) == (2, 0), 10)
    assert time.monotonic() - began > 0.5


def test_a_quiet_folder_is_counted_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that stands still is not listed again; one that changes is, at once."""
    bucket, depth, listed = root / "01_in", Depth(), []
    tally = listing.tally
    monkeypatch.setattr(listing, "tally", lambda *args: listed.append(args) or tally(*args))
    put(bucket, "A1")
    os.utime(bucket, (1000, 1000))
    for _ in range(3):
        assert depth.count(bucket, board.WAITING, time.time()) == (1, 0)
    assert len(listed) == 1
    put(bucket, "A2")
    for _ in range(3):
        assert depth.count(bucket, board.WAITING, time.time()) == (2, 0)
    assert len(listed) == 4, "a folder that has just changed may change again within the clock's tick"


def test_the_oldest_and_then_the_next(root: Path) -> None:
    """The oldest token is found, and when it has gone the next one, without another search."""
    bucket = root / "01_in"
    for number in range(5):
        old(bucket, f"A{number}", 1000.0 + number)
    oldest = Oldest(bucket)
    assert oldest.since() == 1000.0
    (bucket / "A0.json").unlink()
    (bucket / "A1.json").unlink()
    assert oldest.since() == 1002.0


def test_the_oldest_of_very_many_is_found_slice_by_slice(root: Path) -> None:
    """Each look reads no more than a slice; after enough of them the answer is exact."""
    bucket = root / "01_in"
    for number in range(30):
        old(bucket, f"A{number}", 1000.0 + number)
    oldest = Oldest(bucket)
    answers = [oldest.since(most=10) for _ in range(4)]
    assert answers[-1] == 1000.0
    assert all(answer is not None and answer >= 1000.0 for answer in answers)


def test_none_waits(root: Path) -> None:
    """An empty bucket has no oldest token, and one that fills again has."""
    oldest = Oldest(root / "01_in")
    assert oldest.since() is None
    old(root / "01_in", "A1", 5.0)
    assert oldest.since() == 5.0


def test_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Books an hour from two counts; nothing is said without data, or when nothing arrived."""
    now = [1000.0]
    monkeypatch.setattr(census.time, "monotonic", lambda: now[0])
    pace = Pace()
    assert pace.per_hour() is None
    pace.note(100)
    now[0] += 60
    pace.note(100)
    assert pace.per_hour() is None
    now[0] += 60
    pace.note(120)
    assert pace.per_hour() == 600.0
    now[0] += census.WINDOW + 1
    pace.note(120)
    assert pace.per_hour() is None


def test_a_scrape_beside_the_loop(root: Path) -> None:
    """Two who look at once, as a scrape and the loop do, disturb each other in nothing."""
    bucket, wrong = root / "01_in", []
    for number in range(1_000):
        put(bucket, f"A{number}")
    oldest, depth = Oldest(bucket), Depth()

    def look() -> None:
        try:
            for _ in range(50):
                oldest.since(most=20)
                depth.count(bucket, board.WAITING, time.time())
        except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
            wrong.append(error)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
