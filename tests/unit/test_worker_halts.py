"""When a worker halts, how long it waits, how it goes on, and how it reads its configuration anew."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from common import board
from common.errors import Halt
from common.stage import Book
from tests.unit.test_worker import broken, waits
from tests.unit.workbench import Bench, Does


def locked(_book: Book, _work: Path) -> None:
    """A stage that cannot work."""
    raise Halt("The door is locked.", "Put the key there.")


def test_a_halt_is_shown_everywhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A halt is in the metrics, in the heartbeat file with its cure, in the readiness, and once in the log."""
    bench = Bench(root, locked)
    found = waits(bench, monkeypatch)
    bench.put("A1")
    for _ in range(3):
        bench.worker._turn_safely()
    assert bench.metric("grin_stage_paused", reason="halt") == 1
    facts = bench.facts()
    assert (facts["halted"], facts["cure"]) == ("The door is locked.", "Put the key there.")
    assert bench.worker.ready() == (False, "halted")
    (record,) = [record for record in bench.records if record.levelname == "ERROR"]
    assert record.getMessage() == "The door is locked."
    assert (vars(record)["cure"], vars(record)["halted"]) == ("Put the key there.", True)
    assert found == [1.0, 2.0, 4.0]
    assert bench.places() == ["01_in/A1.json"]
    assert bench.metric("grin_stage_tokens_total", outcome="halted") is None


def test_a_halt_is_over_when_a_book_has_a_verdict(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a book has been worked on, the halt is nowhere to be seen any more, and the next one begins anew."""
    bench = Bench(root, locked)
    found = waits(bench, monkeypatch)
    bench.put("A1")
    bench.worker._turn_safely()
    Does.deed = staticmethod(lambda _book, _work: None)
    bench.worker._turn_safely()
    assert bench.places() == ["02_out/A1.json"]
    assert bench.metric("grin_stage_paused", reason="halt") == 0
    assert (bench.facts()["halted"], bench.facts()["cure"]) == (None, None)
    assert bench.worker.ready() == (True, "ready")
    assert bench.said()[-1] == "The cause of the halt is gone; the stage goes on."
    bench.worker._halted(Halt("Again."))
    assert found == [1.0, 1.0]
    assert bench.said()[-1] == "Again."


def test_a_halt_is_over_when_there_is_no_book(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no book to halt over a halt is over; while another worker has one in hand it stays."""
    bench = Bench(root)
    waits(bench, monkeypatch)
    bench.put("A1")
    held = board.claim(root / "01_in", "A1", "another-1", 1)
    assert held is not None
    bench.worker._halted(Halt("No."))
    bench.worker._turn_safely()
    assert bench.worker.ready() == (False, "halted")
    board.finish(held, root / "02_out")
    bench.worker._turn_safely()
    assert bench.worker.ready() == (True, "ready")


def test_a_halt_of_the_board_is_over_when_it_answers(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a moment without the board one turn is enough, whatever others have in hand."""
    bench = Bench(root)
    waits(bench, monkeypatch)
    bench.put("A1")
    assert board.claim(root / "01_in", "A1", "another-1", 1) is not None
    with pytest.MonkeyPatch.context() as without:
        without.setattr(bench.worker.feed, "next", broken)
        bench.worker._turn_safely()
    assert bench.worker.ready() == (False, "halted")
    bench.worker._turn_safely()
    assert bench.worker.ready() == (True, "ready")


def test_nothing_is_announced_without_a_halt(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A book's verdict costs no heartbeat file when there was no halt."""
    bench = Bench(root)
    monkeypatch.setattr(bench.worker.heartbeat, "announce", broken)
    bench.put("A1")
    bench.worker._turn_safely()
    assert bench.places() == ["02_out/A1.json"]
    assert bench.records == []


def test_the_longest_wait_of_a_halt(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits of a halt that lasts double from one second up to one minute."""
    bench = Bench(root)
    found = waits(bench, monkeypatch)
    for _ in range(12):
        bench.worker._halted(Halt("No."))
    assert found == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, *[60.0] * 6]


def test_a_very_long_halt(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a stage halts, what it remembers of it stays small."""
    bench = Bench(root)
    waits(bench, monkeypatch)
    for _ in range(50):
        bench.worker._halted(Halt("No."))
    assert bench.worker._halts <= 10


def test_a_board_that_fails_is_a_halt(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the board itself cannot be used the worker halts with the error, and goes on by itself."""
    bench = Bench(root)
    waits(bench, monkeypatch)
    monkeypatch.setattr(bench.worker.feed, "next", broken)
    bench.worker._turn_safely()
    assert "The board cannot be used: [Errno 28] full" in bench.facts()["halted"]
    assert bench.facts()["cure"].startswith("Mend the disk")


def test_a_halt_that_cannot_be_announced(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When even the heartbeat file cannot be written, that is logged and the halt is one all the same."""
    bench = Bench(root)
    found = waits(bench, monkeypatch)
    monkeypatch.setattr(bench.worker.heartbeat, "announce", broken)
    bench.worker._halted(Halt("No."))
    assert found == [1.0]
    assert bench.said()[-1] == "The heartbeat file cannot be written: [Errno 28] full"


# --- the configuration is read anew ---------------------------------------------------------------------------------


def test_after_a_halt_the_configuration_is_new(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a halt the stage is made anew from the configuration: the new one is opened, then the old one closed."""
    bench = Bench(root)
    waits(bench, monkeypatch)
    old = bench.worker.desk.stage
    bench.keys |= {"attempts": 3, "wip_limit": 1, "poll": 0.7}
    bench.worker._halted(Halt("No."))
    desk = bench.worker.desk
    assert desk.stage is not old
    assert (desk.row.attempts, desk.settings.global_.poll) == (3, 0.7)
    assert Does.happened == ["opened", "closed"]
    (root / "02_out" / "B2.json").write_text("{}")
    assert "wip_limit" in bench.worker.limits.reached()


def test_a_configuration_that_cannot_be_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the configuration cannot be read, or the new stage not opened, the old one holds, and the log says so."""
    bench = Bench(root)
    waits(bench, monkeypatch)
    desk, stage = bench.worker.desk, bench.worker.desk.stage

    def fails() -> None:
        raise ValueError("line 3")

    monkeypatch.setattr(bench.worker, "renew", fails)
    bench.worker._halted(Halt("No."))
    assert bench.said()[-1].endswith("the old one holds: line 3")
    assert (bench.worker.desk, bench.worker.desk.stage, Does.happened) == (desk, stage, [])
    assert bench.worker.stopping_since is None


@pytest.mark.parametrize("change", [{"output": "02_other"}, {"behind": "04_far"}])
def test_a_line_that_has_changed_needs_a_new_worker(
    root: Path, change: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a bucket of the line has changed, the worker ends in good order, still as the stage that it was."""
    bench = Bench(root)
    waits(bench, monkeypatch)
    stage = bench.worker.desk.stage
    monkeypatch.setattr(bench.worker, "renew", lambda: bench.desk(**change))
    bench.worker._halted(Halt("No."))
    assert bench.worker.stopping_since == pytest.approx(time.monotonic(), abs=60)
    assert bench.worker.desk.stage is stage
    assert Does.happened == []
    assert bench.said()[-1].startswith("The line of stages has changed")
