"""How a reaper counts silence, turn by turn on a clock of the test's own, and what it writes down."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from common import board, listing
from common.ledger import Ledger
from common.reaper import Reaper
from tests.unit.test_reaper import announced, claimed

AFTER = 60.0


class Clock:
    """A clock that stands still between two turns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)

    def turns(self, one: Reaper, number: int, seconds: float = 10.0) -> list[int]:
        """How many claims each of these turns returned, so many seconds apart."""
        found = []
        for _ in range(number):
            self.now += seconds
            found.append(one.turn())
        return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock."""
    return Clock(monkeypatch)


def test_dead_after_so_many_seconds_and_not_before(root: Path, ledger: Ledger, clock: Clock) -> None:
    """Silence counts from the first look on; a worker is dead once it is longer than reap_after, and that is told."""
    announced(root, "dead")
    held = [claimed(root, "dead", barcode) for barcode in ("A1", "B2")]
    one = Reaper(root, [root / "01_in"], AFTER)
    assert clock.turns(one, 8) == [0, 0, 0, 0, 0, 0, 0, 2]
    for claim in held:
        line = ledger.read(claim.barcode)[-1]
        assert (line["event"], line["bucket"], line["worker"], line["claim"]) == ("returned", "01_in", "dead", "dead.1")
        assert line["reason"] == "worker dead gave no sign of life for 70 seconds"
    assert sorted(listing.barcodes(root / "01_in")) == ["A1", "B2"]


def test_short_turns_count_as_long_as_they_are(root: Path, clock: Clock) -> None:
    """Silence is the time that has passed, however often a reaper looks."""
    claimed(root, "dead")
    assert sum(clock.turns(Reaper(root, [root / "01_in"], AFTER), 60, 1.0)) == 0
    assert clock.turns(Reaper(root, [root / "01_in"], 6.0), 9, 1.0) == [0] * 7 + [1, 0]


def test_a_long_pause_counts_as_a_short_one(root: Path, clock: Clock) -> None:
    """Of a pause between two turns a sixth of reap_after counts, so that nobody is dead after a stall."""
    claimed(root, "dead")
    one = Reaper(root, [root / "01_in"], AFTER)
    assert clock.turns(one, 7, 100_000.0) == [0] * 7
    assert clock.turns(one, 1, 0.001) == [1]


def test_the_first_turn_counts_nothing(root: Path, clock: Clock) -> None:
    """What was before a reaper's first look is not counted as silence."""
    claimed(root, "dead")
    one = Reaper(root, [root / "01_in"], AFTER)
    assert clock.turns(one, 1, 5000.0) == [0]
    assert one._silent["dead.json"][1] == 0.0


def test_a_single_beat_begins_the_silence_anew(root: Path, clock: Clock) -> None:
    """A heartbeat in between ends the silence, and so does one whose time goes backwards."""
    beat = announced(root, "slow")
    claimed(root, "slow")
    one = Reaper(root, [root / "01_in"], AFTER)
    for step in (5, -5):
        assert clock.turns(one, 6) == [0] * 6
        os.utime(beat.path, (1e9 + step, 1e9 + step))
    assert clock.turns(one, 8) == [0] * 7 + [1]


def test_only_the_dead_are_reaped(root: Path, clock: Clock) -> None:
    """Of two workers one of whom beats, only the other's claims come back; its file stays for a person to see."""
    live = announced(root, "live")
    announced(root, "dead")
    claimed(root, "live")
    claimed(root, "dead", "B2")
    one = Reaper(root, [root / "01_in"], AFTER)
    for turn in range(9):
        os.utime(live.path, (turn, turn))
        clock.turns(one, 1)
    assert [held.worker for held in listing.claims(root / "01_in")] == ["live"]
    assert {path.name for path in (root / "workers").iterdir()} == {"live.json", "dead.json"}


def test_the_files_of_the_dead_are_buried_in_the_end(root: Path, clock: Clock) -> None:
    """A dead worker's file goes after twenty times reap_after, half-written ones too; a folder does no harm."""
    announced(root, "dead")
    (root / "workers" / ".dead.json.ab12").touch()
    (root / "workers" / "folder").mkdir()
    one = Reaper(root, [root / "01_in"], AFTER)
    clock.turns(one, 121)
    assert len(list((root / "workers").iterdir())) == 3
    clock.turns(one, 1)
    assert [path.name for path in (root / "workers").iterdir()] == ["folder"]


def test_a_file_that_another_reaper_buried(root: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two reapers that bury one file the second finds nothing to do."""
    beat = announced(root, "dead")
    one = Reaper(root, [root / "01_in"], AFTER)
    clock.turns(one, 121)
    real = one._watch

    def meanwhile(claimants: set[str]) -> None:
        real(claimants)
        beat.path.unlink()

    monkeypatch.setattr(one, "_watch", meanwhile)
    assert clock.turns(one, 1) == [0]


def test_what_somebody_else_returned_is_not_written_down(root: Path, ledger: Ledger, clock: Clock) -> None:
    """A claim that cannot be taken back, because its place is taken, is not counted and not told as returned."""
    claimed(root, "dead")
    board.path_of(root / "01_in", "A1", board.WAITING).write_text("{}")
    assert sum(clock.turns(Reaper(root, [root / "01_in"], AFTER), 9)) == 0
    assert ledger.read("A1") == []


def test_a_worker_known_to_be_dead_is_reaped_with_the_reason(root: Path, ledger: Ledger) -> None:
    """Of a worker known to be dead all claims come back, in every bucket, for the reason given; others keep theirs."""
    claimed(root, "dead")
    claimed(root, "dead", "B2")
    claimed(root, "live", "C3")
    announced(root, "live")
    one = Reaper(root, iter([root / "02_out", root / "01_in"]), AFTER)
    assert one.reap_worker("dead", "it was killed") == 2
    assert ledger.read("A1")[-1]["reason"] == "it was killed"
    assert [held.barcode for held in listing.claims(root / "01_in")] == ["C3"]
    assert [path.name for path in (root / "workers").iterdir()] == ["live.json"]
    assert one.reap_worker("dead", "it was killed") == 0


def test_a_claim_that_its_worker_does_not_know_of(root: Path, ledger: Ledger) -> None:
    """A claim that its own worker does not know of comes back at the second look; known ones and others' stay."""
    unknown, known = claimed(root, "mine"), claimed(root, "mine", "B2")
    claimed(root, "other", "C3")
    one = Reaper(root, [root / "01_in"], AFTER)
    assert one.reap_unknown("mine", {known.path}) == 0
    new = claimed(root, "mine", "D4")
    assert one.reap_unknown("mine", {known.path}) == 1
    assert not unknown.path.exists()
    assert ledger.read("A1")[-1]["reason"] == "worker mine did not know that it held this claim"
    assert {held.barcode for held in listing.claims(root / "01_in")} == {"B2", "C3", "D4"}
    assert one.reap_unknown("mine", {known.path, new.path}) == 0
    assert one.reap_unknown("mine", {known.path}) == 0
    assert one.reap_unknown("mine", {known.path}) == 1
