"""Row by row, all books come home over a file server that lies: none lost, none doubled, none stuck.

`LYING_BOOKS=10000` in the environment makes the storm larger than a test run wants it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from common import board
from common.reaper import Reaper
from tests.board.lying.crew import Crew, all_arrive
from tests.board.lying.lies import Lies
from tests.board.lying.mount import Mount
from tests.helpers import Line, until

Two = tuple[Mount, Mount]
HOPS = """
from common.stage import Stage

class Hop(Stage):
    def process(self, book, work):
        pass

class Notes(Stage):
    def process(self, book, work):
        (work / "note.txt").write_text(book.barcode)
"""
BOOKS = int(os.environ.get("LYING_BOOKS", "150"))
KILLS = max(10, BOOKS // 40)
LYING = Lies(rate=0.05, listing_age=1.0, negative_age=1.0, attribute_age=0.5, silly=0.02)


def line_at(folder: Path, cls: str) -> Line:
    """Two stages that forgive many attempts: a kill counts as one."""
    line = Line(folder, HOPS, heartbeat=0.3, reap_after=2.0)
    for number, name in enumerate("ab"):
        line.stage(name, cls, number, attempts=30, backoff=0.05, backoff_max=0.1)
    return line


def crew_of(two: Two, log: Path, **more: Callable[[], object]) -> Crew:
    """A worker of each stage on each client."""
    return Crew([(stage, client.point / "config.yaml") for client in two for stage in "ab"], log, **more)


def check(line: Line, inodes: dict[str, int]) -> None:
    """Every book is in the last bucket, once, and its token is the file that was seeded."""
    found = line.tokens()
    assert {barcode: places for barcode, places in found.items() if [place for place, _ in places] != ["02_b"]} == {}
    assert {barcode: places[0][1] for barcode, places in found.items()} == inodes


def inodes_of(line: Line) -> dict[str, int]:
    """Each token's inode number."""
    return {barcode: places[0][1] for barcode, places in line.tokens().items()}


@pytest.mark.slow
def test_a_storm_over_a_lying_board(two: Two, place: Path) -> None:
    """5 % lies, old listings, names held for missing, and kills: all arrive, once, the same files, with no help."""
    line = line_at(two[0].below, "Hop")
    line.seed([f"B{number}" for number in range(BOOKS)])
    inodes = inodes_of(line)
    assert len(inodes) == BOOKS
    for client in two:
        client.set(LYING)
    with crew_of(two, place / "crew.log") as crew:
        while crew.kills < KILLS:
            time.sleep(crew.dice.uniform(0.1, 0.5))
            crew.kill_one()
        # Nobody dies any more: what a living worker does not know of must come back as well.
        assert all_arrive(line, 2, BOOKS, patience=60), (line.tokens(), crew.words())
        assert crew.alive() == 4, (crew.ended, crew.words())
    assert len(two[0].told("rename") + two[1].told("rename")) >= BOOKS * 0.05
    check(line, inodes)


BAD = Lies(rate=1.0, negative_age=3600.0, attribute_age=3600.0)


@pytest.mark.parametrize(
    ("lies", "words"),
    [(replace(BAD, listing_age=3600.0), "This worker asks again"), (BAD, "denies and shows one claim")],
    ids=["the first word", "a claim"],
)
def test_a_worker_outlives_a_file_server_gone_mad(two: Two, place: Path, lies: Lies, words: str) -> None:
    """One that fails at a worker's first word, or denies and shows its claim at once, ends no worker and no book."""
    line = line_at(two[0].below, "Hop")
    line.seed(["B1"])
    for client in two:
        client.set(lies)
    with crew_of(two, place / "crew.log") as crew:
        until(lambda: crew.all_words().count(words) >= 2)
        for client in two:
            client.set(Lies())
        assert all_arrive(line, 2, 1, patience=20), crew.words()
        assert crew.alive() == 4, (crew.ended, crew.words())
        assert "RecursionError" not in crew.all_words()


@pytest.mark.slow
def test_files_and_seeding_over_a_lying_board(two: Two, place: Path) -> None:
    """Seeding and the books' own files go through the lying mount too: each book is registered once and arrives."""
    books = max(60, BOOKS // 20)
    line, truth = line_at(two[0].point, "Notes"), Line(two[0].below, HOPS)
    wanted = [f"B{number}" for number in range(books)]
    two[0].set(Lies(rate=0.05, errors=("ENOENT", "EIO")))
    seeded = False
    while not seeded:
        seeded = line.ask("seed", *(word for barcode in wanted for word in ("--barcode", barcode))).returncode == 0
    inodes = inodes_of(truth)
    assert sorted(inodes) == sorted(wanted)
    assert {barcode: truth.kinds(barcode) for barcode in wanted} == {barcode: ["registered"] for barcode in wanted}
    for client in two:
        client.set(LYING)
    with crew_of(two, place / "crew.log") as crew:
        assert all_arrive(truth, 2, books, patience=60), (truth.tokens(), crew.words())
    check(truth, inodes)
    notes = two[0].below / "processing"
    assert {barcode: (notes / barcode / "b" / "note.txt").read_text() for barcode in wanted} == {b: b for b in wanted}


def test_workers_that_believe_the_error_leave_books_stuck(two: Two, place: Path) -> None:
    """The twin: claims that believe an error, and nobody who gives back what it does not know, leave books behind."""
    books = 150
    line = line_at(two[0].below, "Hop")
    line.seed([f"B{number}" for number in range(books)])
    for client in two:
        client.set(Lies(rate=0.05, errors=("ENOENT",)))

    def believe() -> None:
        mock.patch.object(board, "claim", believing).start()
        mock.patch.object(Reaper, "reap_unknown", lambda *_: 0).start()

    with crew_of(two, place / "crew.log", before_each=believe) as crew:
        assert not all_arrive(line, 2, books, patience=6)
        assert crew.alive() == 4, (crew.ended, crew.words())
    stuck = [place for places in line.tokens().values() for place, _ in places if place.endswith("working")]
    assert stuck


def believing(bucket: Path, barcode: str, worker: str, number: int, state: str = board.WAITING) -> board.Claim | None:
    """A claim as it would be on a local disk."""
    wanted = board.Claim(bucket, barcode, worker, number)
    try:
        os.rename(board.path_of(bucket, barcode, state), wanted.path)  # noqa: PTH104
        return board.Claim(bucket, barcode, worker, number, wanted.path.lstat().st_ino)
    except FileNotFoundError:
        return None
