"""Workers work and are killed while `audit --fix` runs in a loop: no book is lost, doubled, or given a new token.

`AUDIT_BOOKS=5000` in the environment makes the storm larger than a test run wants it.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from common import board
from services.orchestrator import auditing
from services.orchestrator.cli import main
from services.orchestrator.sightings import Sight, Sightings
from tests.board.lying.crew import Crew, fork
from tests.helpers import Line, until

HOPS = """
from common.stage import Retry, Stage

class Hop(Stage):
    def process(self, book, work):
        time.sleep(0.002)
        if book.attempt == 1 and hash(book.barcode + self.row.name) % 5 == 0:
            raise Retry("Once more.", delay=0.05)

class Slow(Stage):
    def process(self, book, work):
        time.sleep(0.2)
"""
BOOKS = int(os.environ.get("AUDIT_BOOKS", "250"))
KILLS = max(6, BOOKS // 50)


def line_at(folder: Path, cls: str) -> Line:
    """Two stages that forgive many attempts: a kill counts as one."""
    line = Line(folder, HOPS, heartbeat=0.3, reap_after=1.5)
    for number, name in enumerate("ab"):
        line.stage(name, cls, number, attempts=40, backoff=0.05, backoff_max=0.1)
    return line


def audits(line: Line) -> None:
    """Audits, without a pause between them and with hardly any within them, until killed."""
    with mock.patch.multiple(auditing, _PAUSE=0.01, _QUIET=0.01):
        while True:
            main(["audit", "--config", str(line.config), "--fix", "--no-grin"])
            (line.folder / "audits").open("a").write(".")


def stormed(line: Line, folder: Path, job: Callable[[], None], kills: int) -> None:
    """Two workers of each stage, two auditors, and kills, until every book is in the last bucket."""
    auditors = [fork(job, folder / "audit.log") for _ in range(2)]
    try:
        with Crew([(stage, line.config) for stage in "aabb"], folder / "crew.log") as crew:
            while crew.kills < kills:
                time.sleep(crew.dice.uniform(0.05, 0.2))
                crew.kill_one()
            until(lambda: len(list(line.bucket(2).glob("B*.json"))) >= BOOKS, 60)
    finally:
        for auditor in auditors:
            os.kill(auditor, signal.SIGKILL)
            os.waitpid(auditor, 0)


def test_audits_in_a_loop_beside_workers(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """All arrive, once, in the very files that were seeded; only what was lost at the start has a new token."""
    line = line_at(tmp_path, "Hop")
    line.seed([f"B{number}" for number in range(BOOKS)])
    # Claimed and put back without a word in the ledger, again and again: a release to come may know what it is.
    newer = [f"N{number}" for number in range(3)]
    line.seed(newer)
    for barcode in newer:
        (line.bucket(0) / f"{barcode}.json").write_text(json.dumps({"barcode": barcode, "version": 2}))
    lost = [f"B{number}" for number in range(0, BOOKS, 25)]
    inodes = {barcode: places[0][1] for barcode, places in line.tokens().items() if barcode not in lost}
    for barcode in lost:
        (line.bucket(0) / f"{barcode}.json").unlink()
    stormed(line, tmp_path, lambda: audits(line), KILLS)
    found = line.tokens()
    assert {barcode: places for barcode, places in found.items() if len(places) != 1} == {}
    assert {barcode: found[barcode][0][1] for barcode in inodes} == inodes
    assert {b for b in found if "reseeded" in line.kinds(b)} == set(lost)
    assert {found[f"B{number}"][0][0] for number in range(BOOKS)} == {"02_b"}
    ran = len((tmp_path / "audits").read_text())
    assert ran > 5
    figure(f"{ran} audits with --fix beside {BOOKS} books and {KILLS} kills: 0 doubled, 0 lost")


def test_an_audit_that_sees_no_claims_doubles_books(tmp_path: Path) -> None:
    """The twin: an audit that looks only at what waits gives books that are in work a second token."""
    line = line_at(tmp_path, "Slow")
    line.seed(["B1"])
    real = Sightings.look

    def blind(self: Sightings, barcode: str) -> dict[Path, Sight]:
        return {path: sight for path, sight in real(self, barcode).items() if sight.state != board.WORKING}

    with Crew([("a", line.config)], tmp_path / "crew.log"):
        until(lambda: list((line.bucket(0) / "working").glob("*.json")))
        with mock.patch.object(Sightings, "look", blind), mock.patch.multiple(auditing, _PAUSE=0.01, _QUIET=0.01):
            until(lambda: main(["audit", "--config", str(line.config), "--fix", "--no-grin"]) == 0, 5)
    assert "reseeded" in line.kinds("B1")
