"""The reaper and the heartbeats that it judges by."""

from __future__ import annotations

import os
import time
from pathlib import Path

from common import board, reaper
from common.heartbeat import Heartbeat, seen, worker_name
from common.ledger import Ledger


def claimed(root: Path, worker: str, barcode: str = "A1") -> board.Claim:
    """A token that `worker` holds."""
    board.path_of(root / "01_in", barcode, board.WAITING).write_text("{}")
    held = board.claim(root / "01_in", barcode, worker, 1)
    assert held is not None
    return held


def old(root: Path, worker: str, age: float) -> None:
    """A worker whose last heartbeat was `age` seconds ago."""
    Heartbeat(root / "workers", worker).announce()
    then = time.time() - age
    os.utime(root / "workers" / f"{worker}.json", (then, then))


def test_a_dead_workers_claim_comes_back(root: Path, ledger: Ledger) -> None:
    """A claim without a fresh heartbeat waits again, and the ledger says so; a live one stays."""
    old(root, "dead", 31)
    old(root, "live", 1)
    claimed(root, "dead"), claimed(root, "live", "A2")
    assert reaper.Reaper(root, [root / "01_in"], 30).turn(time.time()) == 1
    assert list(board.barcodes(root / "01_in")) == ["A1"]
    assert list(board.barcodes(root / "01_in", board.WORKING)) == ["A2"]
    assert "no sign of life for 31 seconds" in ledger.read("A1")[-1]["reason"]


def test_no_heartbeat_file_is_not_taken_for_death_at_once(root: Path) -> None:
    """A claim whose worker's file cannot be seen is taken back only after it was missing for reap_after."""
    claimed(root, "unseen")
    one = reaper.Reaper(root, [root / "01_in"], 0.2)
    assert one.turn(time.time()) == 0
    time.sleep(0.25)
    assert one.turn(time.time()) == 1


def test_two_reapers(root: Path) -> None:
    """Of two reapers one brings the claim back; the other finds nothing to do."""
    old(root, "dead", 99)
    claimed(root, "dead")
    two = [reaper.Reaper(root, [root / "01_in"], 30) for _ in range(2)]
    assert [one.turn(time.time()) for one in two] == [1, 0]


def test_a_worker_known_to_be_dead(root: Path) -> None:
    """A supervisor that saw its child die need not wait."""
    old(root, "dead", 0)
    claimed(root, "dead")
    assert reaper.Reaper(root, [root / "01_in"], 30).reap_worker("dead", "it was killed") == 1
    assert list((root / "workers").iterdir()) == []


def test_clock_steps_do_not_matter(root: Path) -> None:
    """Ages are differences of the server's times: a host clock that is a day off reaps nothing."""
    beat = Heartbeat(root / "workers", "live")
    beat.announce()
    claimed(root, "live")
    assert reaper.Reaper(root, [root / "01_in"], 30).turn(beat.beat()) == 0


def test_heartbeat_file_that_vanished(root: Path) -> None:
    """A heartbeat whose file was removed makes it anew."""
    beat = Heartbeat(root / "workers", "w", stage="x")
    beat.announce(port=1)
    beat.path.unlink()
    beat.beat()
    assert [worker.facts["port"] for worker in seen(root / "workers", time.time())] == [1]
    beat.leave()
    assert list(seen(root / "workers", time.time())) == []


def test_worker_names_are_never_ambiguous() -> None:
    """A worker's name holds neither of the characters that separate a claim's name, and is never the same twice."""
    names = {worker_name("stage") for _ in range(100)}
    assert len(names) == 100
    assert not any(set(name) & set("~./") for name in names)
