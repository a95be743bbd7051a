"""A worker written in sh, from the page on the format alone, takes books through a stage beside ours."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.ledger import Ledger
from tests.helpers import Line, until

WORKER = Path(__file__).parent / "worker.sh"
STAGES = """
from common.stage import Stage

class Notes(Stage):
    def process(self, book, work):
        (work / f"{self.row.name}.txt").write_text(book.barcode)
        time.sleep(self.options.get("seconds", 0))
"""
BOOKS, KILLS = 120, 12


class Shells:
    """Workers in sh on the middle stage of a line."""

    def __init__(self, line: Line, script: Path = WORKER) -> None:
        self.line = line
        self.script = script
        self.running: list[subprocess.Popen[bytes]] = []
        self.python: list[subprocess.Popen[str]] = []

    def fill(self, count: int = 2) -> None:
        """See that so many run."""
        self.running = [process for process in self.running if process.poll() is None]
        while len(self.running) < count:
            self.running.append(self._start())

    def _start(self) -> subprocess.Popen[bytes]:
        folders = [str(self.line.root), str(self.line.folder / "processing")]
        command = ["sh", str(self.script), *folders, "middle", "01_b", "02_b", "first", "5"]
        with (self.line.folder / "shell.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def ours(self, stage: str) -> None:
        """Start a worker of ours, which ends with the shells."""
        self.python.append(self.line.stage_process(stage))

    def kill_one(self, dice: random.Random) -> None:
        """Kill -9 of one that has a book in hand, if any has."""
        claims = [path.name for path in (self.line.bucket(1) / "working").glob("*~middle-sh-*")]
        busy = [one for one in self.running if any(f"~middle-sh-{one.pid}-" in claim for claim in claims)]
        self.kill(dice.choice(busy or self.running))

    def kill(self, victim: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
        """Kill -9 of a worker with all that it runs."""
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()

    def end(self) -> None:
        """Kill them all, and ours."""
        for process in (*self.running, *self.python):
            if process.poll() is None:
                self.kill(process)


def make(folder: Path, **middle: object) -> Line:
    """Three stages; the middle one is shared with the shells."""
    line = Line(folder, STAGES, reap_after=1.2, heartbeat=0.2)
    return line.stage("first", "Notes", 0).stage("middle", "Notes", 1, **middle).stage("last", "Notes", 2)


@pytest.fixture
def shells(tmp_path: Path) -> Iterator[Shells]:
    """Shells on a line of their own; they end with the test."""
    made = Shells(make(tmp_path, options={"seconds": 0.2}))
    yield made
    made.end()


def arrived(line: Line) -> int:
    """How many books are in the last bucket."""
    return len(list(line.bucket(3).glob("*.json")))


@pytest.mark.slow
def test_a_shell_beside_ours_under_fire(shells: Shells) -> None:
    """Shells are killed with books in hand again and again; ours reap them; every book arrives once, with its files."""
    line, dice = shells.line, random.Random(6)
    barcodes = [f"B{number}" for number in range(BOOKS)]
    line.seed(barcodes)
    inodes = {barcode: found[0][1] for barcode, found in line.tokens().items()}
    shells.fill()
    up = line.up()
    try:
        for _ in range(KILLS):
            until(lambda: arrived(line) == BOOKS or any((line.bucket(1) / "working").glob("*~middle-sh-*")), 60)
            time.sleep(dice.uniform(0.0, 0.1))
            shells.fill()
            shells.kill_one(dice)
        until(lambda: shells.fill() or arrived(line) == BOOKS, 120)
    finally:
        up.terminate()
        up.wait(60)
    found = line.tokens()
    assert {barcode: places[0] for barcode, places in found.items()} == {b: ("03_b", inodes[b]) for b in barcodes}
    assert {len(places) for places in found.values()} == {1}
    check_stories(line, barcodes)


def check_stories(line: Line, barcodes: list[str]) -> None:
    """Shells and ours both finished books, nothing failed, and what each made is what the book has."""
    ledger = Ledger(line.root / "ledger")
    stories = {barcode: ledger.read(barcode) for barcode in barcodes}
    events = [event for story in stories.values() for event in story]
    by = {"-sh-" in event["worker"] for event in events if (event["event"], event.get("stage")) == ("done", "middle")}
    assert by == {True, False}
    assert [event for event in events if event["event"] == "failed"] == []
    assert [event["event"] for event in events].count("returned") > 0
    for barcode in barcodes:
        files = {path.name for path in (line.folder / "processing" / barcode / "last").iterdir()}
        assert files in ({"first.txt", "sh.txt", "last.txt"}, {"first.txt", "middle.txt", "last.txt"})


def test_shells_alone_and_a_reaper(shells: Shells) -> None:
    """With ours in all stages but this one, shells drain it, leave at SIGTERM, and nothing of them stays behind."""
    line = shells.line
    line.seed(f"B{number}" for number in range(8))
    (line.root / "paused" / "first").touch()
    up = line.up()
    until(lambda: len(line.workers()) == 3)
    # Ours of the middle stage stands still, so it takes no book.
    for pid in line.workers():
        if b"middle" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            os.kill(pid, signal.SIGSTOP)
    (line.root / "paused" / "first").unlink()
    shells.fill()
    try:
        until(lambda: arrived(line) == 8, 60)
        for process in shells.running:
            process.terminate()
        assert [process.wait(30) for process in shells.running] == [0, 0]
        assert list((line.root / "workers").glob("middle-sh-*")) == []
        assert list((line.root / "seeding").iterdir()) == []
    finally:
        for pid in line.workers():
            os.kill(pid, signal.SIGCONT)
        up.terminate()
        up.wait(60)


def test_a_book_that_kills_every_shell_is_counted(shells: Shells, tmp_path: Path) -> None:
    """Attempts of shells count for ours: after five kills over a book, whoever claims it next fails it."""
    line = shells.line
    shells.script = tmp_path / "deadly.sh"
    shells.script.write_text(WORKER.read_text().replace('sync "$scratch"/*', 'kill -9 0; sync "$scratch"/*'))
    line.seed(["DEADLY"])
    shells.ours("first")
    until(lambda: line.places("DEADLY") == ["01_b"])
    for number in range(1, 6):
        shells.fill(1)
        until(lambda count=number: line.kinds("DEADLY").count("attempt") == count + 1)
        shells.running[0].wait(30)
        (claim,) = (line.bucket(1) / "working").glob("DEADLY~*")
        claim.rename(line.bucket(1) / "DEADLY.json")
    shells.ours("middle")
    until(lambda: line.places("DEADLY") == ["01_b/failed"])
    assert "died 5 times" in line.events("DEADLY")[-1]["reason"]


def test_a_touch_that_creates_is_noticed(shells: Shells, tmp_path: Path) -> None:
    """Twin: a worker whose `touch` creates what is gone doubles a book that was taken back from it."""
    line = shells.line
    shells.script = tmp_path / "touches.sh"
    late = 'while [ ! -e "$board/go" ]; do sleep 0.05; done; touch "$claim"'
    shells.script.write_text(WORKER.read_text().replace('touch -c "$claim"', late))
    assert late in shells.script.read_text()
    line.seed(["A1"])
    shells.ours("first")
    until(lambda: line.places("A1") == ["01_b"])
    shells.fill(1)
    until((tmp_path / "processing" / "A1" / "middle").exists)
    (claim,) = (line.bucket(1) / "working").glob("A1~*")
    claim.rename(line.bucket(1) / "held" / "A1.json")
    (line.root / "go").touch()
    until(lambda: len(line.places("A1")) == 2)


def test_the_worker_is_short() -> None:
    """The whole protocol fits into a short script in a small language."""
    lines = [text for text in WORKER.read_text().splitlines() if text.strip() and not text.startswith("#")]
    assert len(lines) < 90
    assert shutil.which("sh") is not None
