"""What holds a stage back: counts, bytes and space, each where it should and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import board, durable, logs
from common.attempt import Desk
from common.ledger import Ledger
from common.limits import Limits
from common.metrics import StageMetrics
from common.settings import FilterRow, GlobalSettings, Settings
from common.stage import Stage
from tests.unit.test_board import put


def limits(root: Path, name: str = "one", *, min_free: int = 0, **row: object) -> Limits:
    """The limits of one of two stages in a line."""
    board.prepare(root, [root / "03_end"])
    buckets = [root / bucket for bucket in ("01_in", "02_out", "03_end")]
    rows = [
        FilterRow.model_validate({"name": stage, "class": "x", "input_pipe": source, "output_pipe": target, **row})
        for stage, source, target in zip(("one", "two"), buckets, buckets[1:], strict=False)
    ]
    common = GlobalSettings(pipeline_dir=root, processing_bucket=root.parent, min_free=min_free)
    settings = Settings(global_=common, filters=rows)
    chosen = settings.row(name)
    stage, ledger = Stage(settings, chosen), Ledger(root / "ledger")
    return Limits(Desk(settings, chosen, stage, ledger, StageMetrics(name), logs.quiet(), lambda: 0.0))


def made(root: Path, barcode: str, state: str, size: object) -> None:
    """A book in the output bucket, with the line that says what stage one made of it."""
    put(root / "02_out", barcode)
    if state != board.WAITING:
        board.path_of(root / "02_out", barcode, board.WAITING).rename(board.path_of(root / "02_out", barcode, state))
    Ledger(root / "ledger").append(barcode, "done", stage="one", facts={"bytes_out": size})


def test_min_free_holds_where_books_enter(root: Path) -> None:
    """Below min_free the first stage waits; the one behind goes on, because the line's end frees the space."""
    needed = durable.free_bytes(root) + 10**12
    assert "min_free" in limits(root, min_free=needed).reached()
    assert limits(root, "two", min_free=needed).reached() == ""


def test_bytes_of_deferred_books_count(root: Path) -> None:
    """What deferred books hold on the disk counts as well as what waiting ones do; failed ones do not count."""
    made(root, "A1", board.DEFERRED, 60)
    made(root, "A2", board.FAILED, 1000)
    assert limits(root, wip_bytes=100).reached() == ""
    made(root, "A3", board.WAITING, 40)
    assert "wip_bytes" in limits(root, wip_bytes=100).reached()


def test_a_book_of_unknown_size_is_read_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A book whose size is 0, odd or unreadable stops nobody, and is not read anew before each claim."""
    for barcode, size in (("A1", 0), ("A2", "many"), ("A3", 5)):
        made(root, barcode, board.WAITING, size)
    path = Ledger(root / "ledger").path("A3")
    path.unlink()
    path.mkdir()
    one, reads = limits(root, wip_bytes=100), []
    read = Ledger.read
    monkeypatch.setattr(Ledger, "read", lambda self, barcode: reads.append(barcode) or read(self, barcode))
    assert [one.reached() for _ in range(3)] == ["", "", ""]
    assert sorted(reads) == ["A1", "A2", "A3"]


def test_no_limit_behind_the_last_stage(root: Path) -> None:
    """The last bucket holds all that is done, so no WIP limit counts there."""
    last = limits(root, "two", wip_limit=1)
    for number in range(5):
        put(root / "03_end", f"A{number}")
    assert last.reached() == ""
    put(root / "02_out", "B1")
    assert "wip_limit" in limits(root, wip_limit=1).reached()
