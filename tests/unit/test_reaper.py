"""The reaper and the heartbeats that it judges by."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from common import board, listing, reaper
from common.heartbeat import Heartbeat, seen, worker_name
from common.ledger import Ledger


def claimed(root: Path, worker: str, barcode: str = "A1") -> board.Claim:
    """A token that `worker` holds."""
    board.path_of(root / "01_in", barcode, board.WAITING).write_text("{}")
    held = board.claim(root / "01_in", barcode, worker, 1)
    assert held is not None
    return held


def announced(root: Path, worker: str) -> Heartbeat:
    """A worker with a heartbeat file."""
    beat = Heartbeat(root / "workers", worker)
    beat.announce()
    return beat


def turns(one: reaper.Reaper, seconds: float, *live: Heartbeat) -> int:
    """Let a reaper look again and again, while some workers go on beating; how many claims it returned."""
    end, reaped = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for beat in live:
            beat.beat()
        reaped += one.turn()
        time.sleep(0.01)
    return reaped


def test_a_dead_workers_claim_comes_back(root: Path, ledger: Ledger) -> None:
    """A claim whose worker's heartbeat stands still waits again, and the ledger says so; a live one stays."""
    announced(root, "dead")
    live = announced(root, "live")
    claimed(root, "dead")
    claimed(root, "live", "A2")
    assert turns(reaper.Reaper(root, [root / "01_in"], 0.2), 0.4, live) == 1
    assert list(listing.barcodes(root / "01_in")) == ["A1"]
    assert list(listing.barcodes(root / "01_in", board.WORKING)) == ["A2"]
    assert "no sign of life" in ledger.read("A1")[-1]["reason"]


def test_no_heartbeat_file_is_not_taken_for_death_at_once(root: Path) -> None:
    """A claim whose worker's file cannot be seen is taken back only after it was missing for reap_after."""
    claimed(root, "unseen")
    one = reaper.Reaper(root, [root / "01_in"], 0.3)
    assert turns(one, 0.2) == 0
    assert turns(one, 0.3) == 1


def test_two_reapers(root: Path) -> None:
    """Of two reapers one brings the claim back; the other finds nothing to do."""
    announced(root, "dead")
    claimed(root, "dead")
    two = [reaper.Reaper(root, [root / "01_in"], 0.1) for _ in range(2)]
    assert sum(one.turn() for _ in range(40) for one in two if not time.sleep(0.005)) == 1


def test_a_stall_of_everything_reaps_nobody(root: Path) -> None:
    """After a pause of the whole machine a live worker gets its chance to beat before it is judged."""
    live = announced(root, "live")
    claimed(root, "live")
    one = reaper.Reaper(root, [root / "01_in"], 0.3)
    assert turns(one, 0.1, live) == 0
    time.sleep(1)
    assert one.turn() == 0
    assert turns(one, 0.5, live) == 0


@pytest.mark.parametrize("step", [-86_400, 86_400])
def test_clock_steps_do_not_matter(root: Path, step: int) -> None:
    """A clock that jumps by a day, here or at the file server, reaps nobody."""
    live = announced(root, "live")
    claimed(root, "live")
    one = reaper.Reaper(root, [root / "01_in"], 0.3)
    assert turns(one, 0.1, live) == 0
    then = time.time() + step
    os.utime(live.path, (then, then))
    assert one.turn() == 0
    assert turns(one, 0.5, live) == 0


def test_a_worker_known_to_be_dead(root: Path) -> None:
    """A supervisor that saw its child die need not wait."""
    announced(root, "dead")
    claimed(root, "dead")
    assert reaper.Reaper(root, [root / "01_in"], 30).reap_worker("dead", "it was killed") == 1
    assert list((root / "workers").iterdir()) == []


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
