"""Real power cuts on a real ext4, while real workers and a seeder are at work on it."""

from __future__ import annotations

import os
import random
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.board import weak
from tests.board.powercut.crew import Crew, Told
from tests.board.powercut.drive import Drive
from tests.board.powercut.remains import Remains
from tests.board.powercut.survey import Weakness
from tests.helpers import until

# GRIN_SNAPSHOTS=50 is the whole of it.
SNAPSHOTS = int(os.environ.get("GRIN_SNAPSHOTS", "12"))
# Moves between two cuts, at least.
_MOVES = 12


@dataclass
class Cut:
    """What was left, and what had been told when the power went."""

    image: Path
    told: Told


def _cut_often(drive: Drive, outside: Path, number: int, weakness: Weakness) -> list[Cut]:
    """Cut the power so often, at random moments, while the crew works."""
    cuts: list[Cut] = []
    with drive.on() as disk:
        crew = Crew(disk / "line", outside, weakness)
        crew.folder.mkdir()
        os.sync()
        with crew.at_work():
            for turn in range(number):
                _wait_for_moves(crew, len(cuts[-1].told.bucket) + _MOVES if cuts else _MOVES)
                time.sleep(random.uniform(0, 0.05))
                # Read before the cut: what was told by then must be there.
                told = Told.read(crew.told)
                cuts.append(Cut(drive.cut(turn), told))
    return cuts


def _wait_for_moves(crew: Crew, moved: int) -> None:
    until(lambda: crew.complaints.exists() or len(Told.read(crew.told).bucket) >= moved, 120)


def _judged(drive: Drive, cut: Cut) -> tuple[list[str], int]:
    """What is wrong with a copy, and how many books were in hand on it."""
    with drive.on(cut.image) as disk:
        remains = Remains(disk / "line", cut.told)
        faults = remains.raw_faults()
        claimed = remains.claimed()
        faults = faults or remains.faults_after()
    cut.image.unlink()
    return faults, claimed


def _report(what: str, judged: list[tuple[list[str], int]], cuts: list[Cut]) -> int:
    unsafe = sum(bool(faults) for faults, _ in judged)
    books, claimed = len(cuts[-1].told.seeded), sum(claimed for _, claimed in judged)
    print(f"\n{what}: {len(cuts)} power cuts, {len(cuts) - unsafe} safe, {unsafe} unsafe; ", end="")
    print(f"{books} books seeded by the last, {claimed} in hand in all")
    return unsafe


def test_power_cuts_on_ext4(drive: Drive, tmp_path: Path) -> None:
    """After every power cut all that was reported as durable is there, and each book comes whole to its end, once."""
    cuts = _cut_often(drive, tmp_path, SNAPSHOTS, nullcontext)
    judged = [_judged(drive, cut) for cut in cuts]
    _report("ext4", judged, cuts)
    assert [fault for faults, _ in judged for fault in faults][:5] == []
    assert any(claimed for _, claimed in judged)


def test_power_cuts_on_ext4_without_fsync(drive: Drive, tmp_path: Path) -> None:
    """With the fsync taken out, the same cuts show books moved back, torn tokens and results that are not there."""
    cuts = _cut_often(drive, tmp_path, 4, weak.no_fsync)
    judged = [_judged(drive, cut) for cut in cuts]
    assert _report("ext4 without fsync", judged, cuts) > 0
    print("\n".join(f"  {faults[0]} (and {len(faults) - 1} more)" for faults, _ in judged if faults))
    assert any("torn" in fault or "not whole" in fault or "lacks" in fault for faults, _ in judged for fault in faults)
