"""pause, resume, drain: a file, what is said of it, and who waits for whom."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from common import audit
from services.orchestrator.cli import main
from tests.helpers import GRIN_PIPELINE, Line, until
from tests.operators import Bench, bench

__all__ = ["bench"]


def test_a_pause_is_a_file(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """pause writes who, when and why, once; status shows it; resume removes it."""
    assert bench.run("pause", "one", "--why", "The store moves.") == 0
    file = bench.root / "paused" / "one"
    facts = json.loads(file.read_text())
    assert (sorted(facts), facts["by"], facts["why"]) == (["by", "since", "why"], audit.who(), "The store moves.")
    assert bench.run("pause") == 0
    assert json.loads(file.read_text()) == facts
    capsys.readouterr()
    bench.run("status", "--json")
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert [(stage["paused"], stage["pause"].get("why")) for stage in stages] == [(True, facts["why"]), (True, None)]
    bench.run("status")
    assert f"Z by {audit.who()}: The store moves. `grin-pipeline resume one`" in capsys.readouterr().out
    assert bench.run("resume", "one") == 0
    assert sorted(path.name for path in file.parent.iterdir()) == ["two"]
    assert bench.run("resume", "one") == 0
    assert "one was not paused." in capsys.readouterr().out


@pytest.mark.parametrize("made", ["", "[1]", "{", "\udcff"])
def test_a_pause_by_hand(bench: Bench, capsys: pytest.CaptureFixture[str], made: str) -> None:
    """Whatever a file in paused/ holds, the stage is paused, status shows it and resume ends it."""
    (bench.root / "paused" / "one").write_bytes(made.encode(errors="surrogateescape"))
    bench.run("status")
    assert "one is paused. `grin-pipeline resume one` lets it go on." in capsys.readouterr().out
    assert bench.run("resume") == 0
    assert list((bench.root / "paused").iterdir()) == []


@pytest.mark.parametrize("command", ["pause", "resume", "drain"])
def test_stages_dry_run_and_unknown(bench: Bench, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """--dry-run changes nothing; a stage that does not exist is a usage error that names those that do."""
    (bench.root / "paused" / "one").touch()
    before = bench.snapshot()
    assert bench.run(command, "--dry-run") == 0
    assert bench.run(command, "one", "three") == 2
    assert "There is no stage 'three'; there are one, two." in capsys.readouterr().err
    assert bench.snapshot() == before


def test_drain_waits_for_what_is_claimed(bench: Bench) -> None:
    """drain pauses, tells how many books are left whenever that changes, and ends when there is none."""
    claims = [bench.put(barcode, "working") for barcode in ("A1", "A2")]
    command = [*GRIN_PIPELINE, "drain", "one", "--config", str(bench.line.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "one is paused; `grin-pipeline resume one` lets it go on.\n"
        assert process.stdout.readline() == "one: 2 books still in work.\n"
        claims[0].rename(bench.buckets[1] / "A1.json")
        assert process.stdout.readline() == "one: 1 book still in work.\n"
        claims[1].rename(bench.buckets[1] / "A2.json")
        assert process.stdout.readline().startswith("one is empty: none of its workers holds a book. It stays paused")
        assert process.wait(60) == 0
    assert (bench.root / "paused" / "one").exists()
    assert [line["command"] for line in bench.audit()] == ["pause", "drained"]


def test_drain_gives_up(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """After --timeout drain ends with 3 and says what still works and whether its worker lives; the pause stays."""
    bench.put("A1", "working")
    assert bench.run("drain", "--timeout", "0.1") == 3
    said = capsys.readouterr().out
    assert "one still works on A1: w-1 has no heartbeat file." in said
    assert "one is not empty. It stays paused until `grin-pipeline resume one`." in said
    assert sorted(path.name for path in (bench.root / "paused").iterdir()) == ["one", "two"]
    assert bench.audit()[-1]["late"] == ["one", "two"]


def test_drain_interrupted(bench: Bench) -> None:
    """Ctrl-C ends the waiting and leaves the pause, and says so."""
    bench.put("A1", "working")
    command = [*GRIN_PIPELINE, "drain", "one", "--config", str(bench.line.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until((bench.root / "paused" / "one").exists, 60)
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "What is paused stays paused." in said
    assert (bench.root / "paused" / "one").exists()


def test_no_board_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a board every command is a usage error that says how to make one."""
    line = Line(tmp_path, "").stage("one", "One", 0)
    for command in ("retry", "pause"):
        assert main([command, "--config", str(line.config), *(["--all"] if command == "retry" else [])]) == 2
    assert capsys.readouterr().err.count("There is no board at") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "their_module.py"]


def test_a_pause_is_told_from_its_own_file_alone(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """A link, a folder or a FIFO in a pause's place pauses the stage and tells nothing; of a file three texts count."""
    secret = bench.root / "secret"
    secret.write_text('{"by": "nobody", "refresh_token": "geheim"}')
    path = bench.root / "paused" / "one"
    told = []
    for make in (lambda: path.symlink_to(secret), path.mkdir, lambda: os.mkfifo(path), lambda: secret.rename(path)):
        make()
        bench.run("status", "--json")
        told.append(json.loads(capsys.readouterr().out)["stages"][0]["pause"])
        assert bench.run("resume", "one") == 0
        capsys.readouterr()
    assert told == [{}, {}, {}, {"by": "nobody"}]
    path.write_text('{"by": "a \\ud83d", "why": ["x"], "since": 5}')
    assert audit.paused(bench.root, "one") == {"by": "a \\ud83d"}
