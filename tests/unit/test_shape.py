"""How old the tokens of each bucket are, as `shape` counts them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from common import board
from services.orchestrator.cli import main
from services.orchestrator.shape import COLUMNS, shape
from tests.unit.shown import Shown


def test_a_token_is_counted_in_the_column_of_its_age(tmp_path: Path) -> None:
    """Columns double from five minutes on; the first has what is new, the last all that is older than the others."""
    shown = Shown(tmp_path)
    for at, minutes in enumerate((0, 4.9, 5.1, 9.9, 10.1, 639, 641, 1279, 1281, 100_000)):
        shown.put(f"A{at}", age=60 * minutes)
    first, second = shape(shown.view)
    assert dict(zip(COLUMNS, first.counts, strict=True)) == {
        "<5": 2,
        "<10": 2,
        "<20": 1,
        "<40": 0,
        "<80": 0,
        "<160": 0,
        "<320": 0,
        "<640": 1,
        "<1280": 2,
        "1280+": 2,
    }
    assert (first.total, first.oldest) == (10, pytest.approx(6_000_000, abs=5))
    assert (second.bucket, second.total, second.oldest) == ("01_b", 0, None)


def test_what_is_done_is_old_and_not_in_the_way(tmp_path: Path) -> None:
    """The last bucket is only counted when it is named."""
    shown = Shown(tmp_path)
    shown.put("A1", number=2)
    assert [row.bucket for row in shape(shown.view)] == ["00_b", "01_b"]
    assert [row.total for row in shape(shown.view, bucket="02_b")] == [1]


def test_states_are_counted_as_asked(tmp_path: Path) -> None:
    """A deferred token is as old as its deferral, not as its due time; what is no token is not counted."""
    shown = Shown(tmp_path)
    shown.put("A1", board.DEFERRED, age=-3600)
    shown.put("A2", board.WORKING, age=600)
    (shown.root / "00_b" / "notes.txt").touch()
    (shown.root / "00_b" / "working" / "A3.json").touch()
    row = shape(shown.view, [board.WAITING, board.DEFERRED, board.WORKING])[0]
    assert (row.counts[0], row.counts[2], row.total) == (1, 1, 2)


def test_the_command_prints_a_table_that_a_terminal_of_80_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A row a bucket and one for all of them."""
    shown = Shown(tmp_path)
    for at in range(12):
        shown.put(f"A{at}", age=60 * at)
    assert main(["shape", "--config", str(shown.config)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert next(line for line in lines if "00_b" in line).split()[:4] == ["00_b", "12", "5", "5"]
    assert next(line for line in lines if line.startswith("all")).split()[1] == "12"


def test_json_is_an_object_a_bucket(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its members are those that the documents name."""
    shown = Shown(tmp_path)
    shown.put("A1", board.FAILED, age=700)
    assert main(["shape", "--config", str(shown.config), "--state", "failed", "--json", "00_b"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {**row, "oldest_seconds": 0, "minutes": 0} == {
        "bucket": "00_b",
        "states": ["failed"],
        "total": 1,
        "oldest_seconds": 0,
        "minutes": 0,
    }
    assert row["minutes"]["<20"] == 1


def test_a_bucket_that_is_none_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With those that there are, and exit code 2."""
    shown = Shown(tmp_path)
    assert main(["shape", "--config", str(shown.config), "09_b"]) == 2
    assert "00_b" in capsys.readouterr().err
