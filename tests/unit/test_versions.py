"""`bring`: a delivered book goes back to the first bucket, once, and comes home beside the version that is held."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common import board
from common.ledger import attempts, redos
from services.orchestrator import versions
from services.orchestrator.versions import bring
from tests.audits import Shelf, killed_at


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A book at home, which Google has scanned anew since."""
    (tmp_path / "shelf").mkdir()
    shelf = Shelf(tmp_path / "shelf")
    shelf.deliver("A1")
    (shelf.folder / "google").mkdir()
    (shelf.folder / "google" / "A1").write_text("scanned anew")
    return shelf


@pytest.mark.quirk("new-versions")
def test_a_book_is_brought_beside_the_old(shelf: Shelf) -> None:
    """The same token, a line with who and why, and a second version in the store; the first stays as it was."""
    before, inode = shelf.store(), shelf.token("A1").stat().st_ino
    assert bring(shelf.settings, "A1", "GRIN has it anew", "ann@host")
    assert (shelf.line.places("A1"), shelf.token("A1").stat().st_ino) == (["00_b"], inode)
    line = shelf.line.events("A1")[-1]
    told = {key: line[key] for key in ("event", "by", "why", "bucket", "from")}
    assert told == {
        "event": "renewed",
        "by": "ann@host",
        "why": "GRIN has it anew",
        "bucket": "03_b",
        "from": "done",
    }
    shelf.work("A1")
    found = shelf.store()
    assert found | before == found
    assert {key for key in found if key not in before} == {
        "A1/v2/A1.tar.gz",
        "A1/v2/A1.txt",
        "A1/v2/provenance.json",
    }
    assert found["A1/v2/A1.tar.gz"] == b"scanned anew"


def test_the_same_bytes_are_only_noted(shelf: Shelf) -> None:
    """GRIN converted it again and nothing is different: the store is as it was, and the next one is version 2."""
    (shelf.folder / "google" / "A1").unlink()
    before = shelf.store()
    assert bring(shelf.settings, "A1", "anew", "ann")
    shelf.work("A1")
    assert shelf.store() == before
    assert shelf.line.events("A1")[-1]["facts"]["unchanged"] is True
    (shelf.folder / "google" / "A1").write_text("scanned anew")
    assert bring(shelf.settings, "A1", "anew", "ann")
    shelf.work("A1")
    assert (shelf.done / "A1" / "v2" / "A1.tar.gz").read_text() == "scanned anew"


@pytest.mark.parametrize("state", ["waiting", "working", "failed", "held"])
def test_only_what_is_at_home_is_brought(shelf: Shelf, state: str) -> None:
    """A book on its way, set aside or unknown stays where it is, without a line."""
    shelf.seed("B1")
    if state == "working":
        assert board.claim(shelf.buckets[0], "B1", "w-1", 1)
    elif state != "waiting":
        shelf.token("B1").rename(board.path_of(shelf.buckets[0], "B1", state))
    places, kinds = shelf.line.tokens(), shelf.line.kinds("B1")
    assert not bring(shelf.settings, "B1", "anew", "ann")
    assert not bring(shelf.settings, "C1", "anew", "ann")
    assert (shelf.line.tokens(), shelf.line.kinds("B1")) == (places, kinds)
    assert not shelf.ledger.path("C1").exists()


def test_its_attempts_count_anew(shelf: Shelf) -> None:
    """A way that begins again has all its attempts and redos."""
    for _ in range(4):
        shelf.ledger.append("A1", "attempt", stage="fetch")
        shelf.ledger.append("A1", "redo", stage="pack", to="fetch")
    assert bring(shelf.settings, "A1", "anew", "ann")
    events = shelf.ledger.read("A1")
    assert (attempts(events, "fetch"), redos(events, "pack")) == (0, 0)


def test_old_working_files_are_not_taken_for_the_new_version(shelf: Shelf) -> None:
    """An uploader that was killed late left the archive it had: without its removal that would be adopted."""
    old = shelf.folder / "processing" / "A1" / "fetch"
    old.mkdir(parents=True)
    (old / "A1.tar.gz").write_text("all of A1")
    assert bring(shelf.settings, "A1", "anew", "ann")
    shelf.work("A1")
    assert (shelf.done / "A1" / "v2" / "A1.tar.gz").read_text() == "scanned anew"


def test_folders_that_no_stage_made_are_left_alone(shelf: Shelf) -> None:
    """A token that somebody wrote by hand may name any folder."""
    shelf.token("A1").write_text('{"barcode": "A1", "processing_bucket": "theirs"}')
    (shelf.folder / "theirs" / "A1" / "precious").mkdir(parents=True)
    assert bring(shelf.settings, "A1", "anew", "ann")
    assert (shelf.folder / "theirs" / "A1" / "precious").is_dir()


def test_killed_at_each_step(shelf: Shelf) -> None:
    """SIGKILL before each change of the file system: one token, and the next call brings it, as one version."""
    put_back, step = shelf.replay(), 1
    while killed_at(step, lambda: bring(shelf.settings, "A1", "anew", "ann")):
        [place] = shelf.line.places("A1")
        assert place == "00_b" or bring(shelf.settings, "A1", "anew", "ann"), step
        shelf.work("A1")
        assert [path.name for path in (shelf.done / "A1").glob("v*")] == ["v2"], step
        put_back()
        step += 1
    assert step >= 4


def test_many_at_once(shelf: Shelf) -> None:
    """Four bring the same books: each token moves once, and one version comes of it."""
    books = [f"B{number}" for number in range(8)]
    shelf.deliver(*books)
    inodes = {barcode: shelf.token(barcode).stat().st_ino for barcode in books}
    reader, writer = os.pipe()
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            for barcode in books:
                os.write(writer, b"1" if bring(shelf.settings, barcode, "anew", "ann") else b"0")
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        # Of two who rename in the same moment both may say yes: the token is where both wanted it. It moved once.
        assert len(books) <= answers.read().count(b"1") <= 4 * len(books)
    for barcode in books:
        assert shelf.line.tokens()[barcode] == [("00_b", inodes[barcode])]
        (shelf.folder / "google" / barcode).write_text("scanned anew")
        shelf.work(barcode)
        assert [path.name for path in (shelf.done / barcode).glob("v*")] == ["v2"]


def test_a_move_that_could_not_be_made_is_taken_back(shelf: Shelf) -> None:
    """Another token lies in the first bucket: no, and a line that names the announcement which did not happen."""
    shutil.copy(shelf.token("A1"), shelf.buckets[0] / "A1.json")
    assert not bring(shelf.settings, "A1", "anew", "ann")
    renewed, unchanged = shelf.line.events("A1")[-2:]
    assert (renewed["event"], unchanged["event"], unchanged["command"]) == ("renewed", "unchanged", "renewed")
    assert renewed["id"] == unchanged["id"]


@pytest.mark.parametrize(
    ("held", "converted", "newer"),
    [(-10, -5, True), (-10, -9.5, False), (-10, -20, False), (-10, 0.9, True), (-10, 400, False), (0, 0.9, False)],
)
def test_what_is_newer(held: float, converted: float, newer: bool) -> None:
    """Later by more than a day, and not beyond tomorrow: that would be newer than every download for ever; in days."""
    now = datetime.now(UTC)
    grins = (now + timedelta(days=converted)).replace(tzinfo=None)
    assert versions.is_newer(grins, now + timedelta(days=held)) is newer
    # What is brought today is not newer any more, whatever GRIN's clock says.
    assert not versions.is_newer(grins, now)
    assert not versions.is_newer(grins, None)
