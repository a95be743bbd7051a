"""Which token next: all of them, each once, deferred ones when due, at a cost that does not grow."""

from __future__ import annotations

import time
from pathlib import Path

from common import board
from common.feed import Feed
from tests.unit.test_board import put


def drain(feed: Feed, now: float) -> list[str]:
    """Claim until there is nothing more."""
    found = []
    while (held := feed.next(now)) is not None:
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
        for feed in feeds:
            held = feed.next(0)
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
