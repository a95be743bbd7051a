"""Who works, on what, and what becomes of what the dead held, as `workers` shows it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from common import audit, board
from common.heartbeat import Heartbeat
from services.orchestrator.cli import main
from services.orchestrator.crew import Hand, crew
from tests.unit.shown import Shown

WORKER = "one-host-1-abcd"


def _worker(shown: Shown, name: str = WORKER, stage: str = "one", age: float = 0, **facts: object) -> None:
    heartbeat = Heartbeat(shown.root / "workers", name, stage=stage)
    heartbeat.announce(host="host", pid=1, **facts)
    os.utime(heartbeat.path, (shown.now - age, shown.now - age))


def _only(shown: Shown) -> Hand:
    (hand,) = crew(shown.view)
    return hand


def test_a_worker_and_the_book_that_it_holds(tmp_path: Path) -> None:
    """Since the claim, not since the token came into the bucket."""
    shown = Shown(tmp_path)
    _worker(shown)
    shown.put("A1", board.WORKING, age=5000)
    hand = _only(shown)
    assert (hand.alive, hand.fate) == (True, "")
    assert [(hold.barcode, hold.bucket) for hold in hand.holds] == [("A1", "00_b")]
    assert hand.holds[0].seconds < 60


def test_a_dead_worker_is_told_with_who_brings_its_book_back(tmp_path: Path) -> None:
    """Another worker of the stage or an orchestrator does; a worker of another stage does not."""
    shown = Shown(tmp_path)
    _worker(shown, age=3600)
    shown.put("A1", board.WORKING)
    _worker(shown, "two-host-2-abcd", "two")
    assert "as soon as `grin-pipeline up` or a worker of 00_b runs" in crew(shown.view)[0].fate
    _worker(shown, "orchestrator-host-3-abcd", "orchestrator")
    dead, _, orchestrator = crew(shown.view)
    assert dead.fate == "dead; A1 will wait again in 00_b soon, brought back by orchestrator-host-3-abcd"
    assert orchestrator.alive


def test_a_claim_without_a_heartbeat_file_is_a_dead_workers(tmp_path: Path) -> None:
    """Its stage is that of the bucket where the claim lies."""
    shown = Shown(tmp_path)
    shown.put("A1", board.WORKING)
    hand = _only(shown)
    assert (hand.age, hand.alive, hand.facts["stage"]) == (None, False, "one")
    assert "A1" in hand.fate


def test_halted_paused_and_limited_workers_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has a word for each, and a sentence below says why, in which nothing can steer the terminal."""
    shown = Shown(tmp_path)
    _worker(shown, halted="The disk is full.\x1b[2J", cure="Make room.")
    _worker(shown, "two-host-2-abcd", "two", limited="its output bucket is full")
    audit.pause(shown.root, "two", "ana", "")
    assert main(["workers", "--config", str(shown.config)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert f"{WORKER} has halted: The disk is full.\\x1b[2J Make room." in out
    assert "paused" in out
    assert "two-host-2-abcd waits, because its output bucket is full." in out


def test_json_is_an_object_a_worker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its members are those that the documents name, also where a heartbeat file holds nonsense."""
    shown = Shown(tmp_path)
    shown.put("A1", board.WORKING)
    (shown.root / "workers" / f"{WORKER}.json").write_text('{"stage": [1], "host": {"a": 1}}')
    assert main(["workers", "--json", "--config", str(shown.config)]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"worker", "alive", "heartbeat_age", "paused", "stage", "host", "pid", "version", "started"} <= row.keys()
    assert {"metrics", "halted", "cure", "limited", "fate"} <= row.keys()
    assert (row["stage"], row["holds"][0]["barcode"]) == ("one", "A1")
    assert main(["workers", "--config", str(shown.config)]) == 0


def test_nobody_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With what starts them; it is no fault."""
    assert main(["workers", "--config", str(Shown(tmp_path).config)]) == 0
    assert "`grin-pipeline up` starts them" in capsys.readouterr().err
