"""An upgrade: tokens and ledgers of every release, and workers of two releases on one board."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.ledger import Ledger, attempts
from common.token import NewerToken, parse
from tests.board.fixtures import changed
from tests.helpers import FULL_STORMS, Line, until

FIXTURES = Path(__file__).parent / "fixtures"
PROJECT = Path(__file__).parents[2]
# The release before this one.
PREVIOUS = "454b96f"
TODAY, NEWER = ("BARE", "BOTH", "ONE", "PLAIN", "SPACED", "STORAGE", "UNKNOWN"), ("FUTURE", "FUTURETOO")
STAGES = """
from pathlib import Path
from common.stage import Stage

class Notes(Stage):
    def process(self, book, work):
        (work / f"{self.row.name}.txt").write_text(f"{book.barcode} {book.done_bucket}")
"""
# `make storm` has the full size.
BOOKS, KILLS = (600, 16) if FULL_STORMS else (300, 10)


def make(folder: Path) -> Line:
    """A line of two stages that each leave a note."""
    line = Line(folder, STAGES, reap_after=1.0, heartbeat=0.2)
    return line.stage("old", "Notes", 0).stage("new", "Notes", 1)


def test_there_is_a_fixture_of_every_kind() -> None:
    """The fixtures are what the tests below think they are: today's can be read, the future's are known as such."""
    found = {path.stem: path.read_bytes() for path in (FIXTURES / "tokens").iterdir()}
    assert sorted(found) == sorted(TODAY + NEWER)
    assert {parse(found[barcode], barcode).barcode for barcode in TODAY} == set(TODAY)
    assert parse(found["STORAGE"], "STORAGE").done_bucket == "s3://old/prefix"
    assert parse(found["BOTH"], "BOTH").done_bucket == "new"
    for barcode in NEWER:
        with pytest.raises(NewerToken):
            parse(found[barcode], barcode)


def test_tokens_and_ledgers_of_every_release(tmp_path: Path) -> None:
    """Old tokens arrive byte for byte as they were, newer ones are left alone, and old ledgers are carried on."""
    line = make(tmp_path)
    line.seed(["NOTHING"])
    for path in (FIXTURES / "tokens").iterdir():
        shutil.copy(path, line.bucket(0))
    for path in (FIXTURES / "ledgers").iterdir():
        folder = line.root / "ledger" / path.stem[-3:]
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder)
    up = line.up()
    until(lambda: all(line.places(barcode) == ["02_b"] for barcode in TODAY), 60)
    up.terminate()
    up.wait(60)
    for path in (FIXTURES / "tokens").iterdir():
        bucket = line.bucket(0 if path.stem in NEWER else 2)
        assert (bucket / path.name).read_bytes() == path.read_bytes()
    check_stories(line)
    notes = tmp_path / "processing" / "STORAGE" / "new" / "new.txt"
    assert notes.read_text() == "STORAGE s3://old/prefix"


def test_a_newer_token_taken_for_a_broken_one_is_noticed(tmp_path: Path) -> None:
    """Twin: where a newer version is one more error, the token of the future is failed by today's release."""
    line = changed(make(tmp_path), 'import common.attempt\ncommon.attempt.NewerToken = type("Never", (Exception,), {})')
    line.seed(["NOTHING"])
    shutil.copy(FIXTURES / "tokens" / "FUTURE.json", line.bucket(0))
    up = line.up()
    until(lambda: line.places("FUTURE") == ["00_b/failed"])
    up.terminate()
    up.wait(60)


def check_stories(line: Line) -> None:
    """What was in the ledgers is still there, and what came since can be read."""
    ledger = Ledger(line.root / "ledger")
    for path in (FIXTURES / "ledgers").iterdir():
        assert ledger.path(path.stem).read_bytes().startswith(path.read_bytes())
        done = [event["stage"] for event in ledger.read(path.stem) if event["event"] == "done"]
        assert done == ["old", "new"]
    # The old attempt of PLAIN counted: its worker had died. That of UNKNOWN did not: the stage had halted.
    first = {b: next(e for e in ledger.read(b) if e["event"] == "done") for b in ("PLAIN", "UNKNOWN")}
    assert (first["PLAIN"]["attempt"], first["UNKNOWN"]["attempt"]) == (2, 1)
    assert attempts(ledger.read("ONE"), "new") == 0
    assert [line.kinds("FUTURE"), line.kinds("FUTURETOO")] == [[], []]


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the previous release."""
    command = ["git", "-C", str(PROJECT), "archive", PREVIOUS, "common", "services"]
    packed = subprocess.run(command, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip(f"THE PREVIOUS RELEASE, {PREVIOUS}, IS NOT IN THIS CLONE: no old worker ran. Fetch the history.")
    folder = tmp_path_factory.mktemp("previous")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=packed.stdout, check=True)
    whose = [sys.executable, "-P", "-c", "import common.worker; print(common.worker.__file__)"]
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    found = subprocess.run(whose, env=environ, capture_output=True, text=True, check=True).stdout
    assert found.startswith(str(folder)), "the previous release does not run its own code"
    return folder


class Fleet:
    """Workers of both releases, started again when they are killed."""

    def __init__(self, line: Line, old_tree: Path) -> None:
        self.line = line
        self.trees = {"previous": f"{old_tree}{os.pathsep}{line.folder}", "todays": str(line.folder)}
        self.running: dict[subprocess.Popen[bytes], tuple[str, str]] = {}
        self.names: dict[subprocess.Popen[bytes], str] = {}
        self.started = 0

    def fill(self) -> None:
        """See that of each release a worker of each stage runs."""
        kept = {process: who for process, who in self.running.items() if process.poll() is None}
        self.running = kept
        for release in self.trees:
            for stage in ("old", "new"):
                if (release, stage) not in kept.values():
                    self._start(release, stage)

    def _start(self, release: str, stage: str) -> None:
        self.started += 1
        name = f"{stage}-{release}-{self.started}-ab"
        module = [sys.executable, "-P", "-m", "common.run", stage, "--worker", name]
        command = [*module, "--config", str(self.line.config), "--metrics", "127.0.0.1:0"]
        environ = {**os.environ, "PYTHONPATH": self.trees[release]}
        with (self.line.folder / f"{release}.log").open("ab") as log:
            process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, start_new_session=True)
        self.running[process], self.names[process] = (release, stage), name

    def kill_one(self, dice: random.Random) -> None:
        """Kill -9 of a worker that has a book in hand, if any has."""
        claims = [path.name for path in self.line.root.glob("*/working/*~*.json")]
        busy = [one for one in self.running if any(f"~{self.names[one]}." in claim for claim in claims)]
        victim = dice.choice(busy or list(self.running))
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()

    def end(self) -> None:
        """Kill them all."""
        for process in self.running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def fleet(tmp_path: Path, previous: Path) -> Iterator[Fleet]:
    """Such a fleet on a board of its own."""
    made = Fleet(make(tmp_path), previous)
    yield made
    made.end()


def arrived(line: Line) -> int:
    """How many books are in the last bucket."""
    return len(list(line.bucket(2).glob("*.json")))


@pytest.mark.slow
def test_workers_of_two_releases_on_one_board(fleet: Fleet) -> None:
    """Old and new workers share both stages while they are killed again and again: every book arrives, once."""
    line, dice = fleet.line, random.Random(28)
    barcodes = [f"B{number}" for number in range(BOOKS)]
    line.seed(barcodes)
    inodes = {barcode: found[0][1] for barcode, found in line.tokens().items()}
    fleet.fill()
    until(lambda: arrived(line) > 0, 60)
    for _ in range(KILLS):
        time.sleep(dice.uniform(0.05, 0.3))
        fleet.kill_one(dice)
        fleet.fill()
    until(lambda: fleet.fill() or arrived(line) == BOOKS, 120)
    found = line.tokens()
    assert {barcode: places[0] for barcode, places in found.items()} == {b: ("02_b", inodes[b]) for b in barcodes}
    assert {len(places) for places in found.values()} == {1}
    check_who_worked(line, barcodes)


def check_who_worked(line: Line, barcodes: list[str]) -> None:
    """Both releases finished books in both stages, and none was made more often than its workers died."""
    ledger = Ledger(line.root / "ledger")
    events = [event for barcode in barcodes for event in ledger.read(barcode)]
    done = {(event["worker"].split("-")[1], event["stage"]) for event in events if event["event"] == "done"}
    assert done == {(release, stage) for release in ("previous", "todays") for stage in ("old", "new")}
    assert sum(event["event"] == "attempt" for event in events) <= 2 * BOOKS + KILLS
    assert [event["reason"] for event in events if event["event"] == "failed"] == []
    assert [event["event"] for event in events].count("returned") > 0, "no kill hit a worker with a book in hand"
