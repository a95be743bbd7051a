"""Which token next: all of them, each once, deferred ones when due, at a cost that does not grow."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from common import board, feed
from common.feed import Feed
from tests.unit.test_board import put


def drain(one: Feed, now: float) -> list[str]:
    """Claim until there is nothing more."""
    found = []
    while (held := one.next(now)) is not None:
        found.append(held.barcode)
    return found


def test_every_token_once(root: Path) -> None:
    """Two feeds on one bucket share it without overlap and leave nothing."""
    names = {f"A{number}" for number in range(200)}
    for name in names:
        put(root / "01_in", name)
    feeds = [Feed(root / "01_in", "w-1"), Feed(root / "01_in", "w-2")]
    found: list[str] = []
    for _ in range(150):
        for one in feeds:
            held = one.next(0)
            found += [held.barcode] if held else []
    assert sorted(found) == sorted(names)


def test_new_tokens_are_found(root: Path) -> None:
    """A token that arrives after the listing was used up is claimed too."""
    feed = Feed(root / "01_in", "w-1")
    assert feed.next(0) is None
    time.sleep(0.03)
    put(root / "01_in", "A1")
    assert drain(feed, 0) == ["A1"]


def test_deferred_when_due(root: Path) -> None:
    """A deferred token is claimed when its time has come, not before."""
    for name, due in (("SOON", 100.0), ("LATE", 200.0)):
        put(root / "01_in", name)
        held = board.claim(root / "01_in", name, "w-0", 1)
        assert held is not None
        board.defer(held, due)
    feed = Feed(root / "01_in", "w-1")
    feed._look_at = 0
    assert drain(feed, 150.0) == ["SOON"]


def test_a_backlog_does_not_starve_retries(root: Path) -> None:
    """With many new tokens waiting, a due one is served within two turns."""
    for number in range(100):
        put(root / "01_in", f"A{number}")
    put(root / "01_in", "DUE")
    held = board.claim(root / "01_in", "DUE", "w-0", 1)
    assert held is not None
    board.defer(held, 1.0)
    feed = Feed(root / "01_in", "w-1")
    feed._look_at = 0
    assert "DUE" in [held.barcode for held in (feed.next(5.0), feed.next(5.0)) if held]


def test_skipped_for_a_while(root: Path) -> None:
    """A token that was put back on purpose is left alone for the time given."""
    put(root / "01_in", "A1")
    feed = Feed(root / "01_in", "w-1")
    feed.skip("A1", 0.1)
    assert feed.next(0) is None
    time.sleep(0.12)
    assert drain(feed, 0) == ["A1"]


def deferred(bucket: Path, barcode: str, due: float) -> None:
    """A token that is due at some time, in seconds since the epoch."""
    put(bucket, barcode)
    os.utime(bucket / f"{barcode}.json", (due, due))
    (bucket / f"{barcode}.json").rename(bucket / "deferred" / f"{barcode}.json")


def test_what_was_deferred_anew_is_not_due(root: Path) -> None:
    """A token that was due at the look, and was tried in vain and deferred by another worker since, is left alone."""
    bucket = root / "01_in"
    deferred(bucket, "A1", 10.0)
    first, second = Feed(bucket, "w-1"), Feed(bucket, "w-2")
    assert (first.next(5), second.next(5)) == (None, None)
    held = first.next(20)
    assert held is not None
    board.defer(held, 1000.0)
    assert second.next(20) is None
    assert (bucket / "deferred" / "A1.json").stat().st_mtime == 1000.0


def test_a_due_token_that_changes_hands_while_it_is_claimed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deferred anew between the look and the claim: what was claimed too early goes back, due when it was."""
    bucket = root / "01_in"
    deferred(bucket, "A1", 1000.0)
    early = Feed(bucket, "w-1")
    early._due, early._look_at = [(10.0, "A1")], time.monotonic() + 60
    monkeypatch.setattr(feed, "_mtime", lambda _bucket, _barcode: 10.0)
    assert early.next(20) is None
    assert (bucket / "deferred" / "A1.json").stat().st_mtime == 1000.0


def test_a_closed_feed_ends(root: Path) -> None:
    """After the signal to stop a look at a very full bucket ends at once."""
    for number in range(3_000):
        put(root / "01_in", f"A{number}")
    closed = Feed(root / "01_in", "w-1")
    closed.closed = True
    began = time.monotonic()
    assert closed.next(0) is None
    assert time.monotonic() - began < 2


def test_a_look_ends_however_many_cannot_be_had(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket full of tokens that are to be left alone does not hold the loop: one look is short."""
    monkeypatch.setattr(feed, "_LONGEST_LOOK", 0.05)
    bucket, looking = root / "01_in", Feed(root / "01_in", "w-1")
    for number in range(300):
        put(bucket, f"A{number}")
        looking.skip(f"A{number}", 3600)
    began = time.monotonic()
    assert looking.next(0) is None
    assert time.monotonic() - began < 5
    put(bucket, "B1")
    deadline = time.monotonic() + 20
    while (held := looking.next(0)) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert held is not None
    assert held.barcode == "B1"
