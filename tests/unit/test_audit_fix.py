"""`audit --fix`: what it sets right, killed at each step, raced; and no book is ever doubled."""

from __future__ import annotations

import os

import pytest

from common import audit, board
from common.ledger import attempts
from services.orchestrator.audit_fix import Fixer
from services.orchestrator.discrepancy import RESEED, STUCK, Discrepancy
from services.orchestrator.sightings import Sightings, placing
from tests.audits import Shelf, findings, killed_at

NOWHERE = Discrepancy("B1", STUCK, "nowhere", "", RESEED)


def test_a_book_whose_token_is_nowhere_gets_a_new_one(shelf: Shelf) -> None:
    """In the first bucket, with a line that says who and why; its attempts count anew; code 0."""
    shelf.seed("B1")
    shelf.token("B1").unlink()
    for _ in range(3):
        shelf.ledger.append("B1", "attempt", stage="fetch")
    assert shelf.audit("--fix") == 0
    assert shelf.line.places("B1") == ["00_b"]
    line = shelf.line.events("B1")[-1]
    assert (line["event"], line["by"], line["bucket"]) == ("reseeded", audit.who(), "00_b")
    assert "nowhere" in line["why"]
    assert attempts(shelf.ledger.read("B1"), "fetch") == 0
    assert not list((shelf.root / "seeding").iterdir())
    shelf.work("B1")
    assert shelf.audit() == 0


@pytest.mark.parametrize("state", [board.WAITING, board.FAILED])
def test_a_token_in_a_bucket_that_the_line_has_lost(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    """A stage was taken away before its bucket was empty: it is told where the token is, and no second one is made."""
    shelf.seed("B1")
    lost = shelf.root / "09_lost"
    board.prepare(shelf.root, [lost])
    shelf.token("B1").rename(board.path_of(lost, "B1", state))
    assert shelf.audit("--fix") == 1
    assert "09_lost" in capsys.readouterr().out
    assert len(shelf.line.places("B1")) == 1


def test_a_book_that_is_whole_in_the_store_is_not_fetched_again(shelf: Shelf) -> None:
    """The token of a delivered book is lost: it gets one in the last bucket, unless the store lacks something."""
    shelf.token("A1").unlink()
    assert shelf.audit("--fix") == 0
    assert shelf.line.places("A1") == ["03_b"]
    shelf.token("A1").unlink()
    (shelf.done / "A1" / "A1.txt").unlink()
    assert shelf.audit("--fix") == 0
    assert shelf.line.places("A1") == ["00_b"]


def test_what_the_store_lost_is_made_again(shelf: Shelf) -> None:
    """The same token goes back to the first bucket, after a line; the book comes home and the store is whole."""
    before, inode = shelf.store(), shelf.token("A1").stat().st_ino
    (shelf.done / "A1" / "A1.txt").unlink()
    (shelf.done / "A1" / "A1.tar.gz").write_text("damaged")
    # What an uploader that was killed late has left: it would be taken for the new download.
    (shelf.folder / "processing" / "A1" / "fetch").mkdir(parents=True)
    assert shelf.audit("--fix") == 0
    assert (shelf.line.places("A1"), shelf.token("A1").stat().st_ino) == (["00_b"], inode)
    line = shelf.line.events("A1")[-1]
    assert (line["event"], line["from"], line["by"]) == ("reseeded", "done", audit.who())
    shelf.work("A1")
    assert shelf.store() == before
    assert shelf.audit("--deep") == 0


def test_dry_run_changes_nothing(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what would be done, and code 1, for nothing is done."""
    shelf.seed("B1")
    shelf.token("B1").unlink()
    (shelf.done / "A1" / "A1.txt").unlink()
    before = shelf.line.tokens(), shelf.line.events("A1"), shelf.line.events("B1")
    assert shelf.audit("--fix", "--dry-run", "--json") == 1
    told = [(barcode, done.partition(":")[0]) for barcode, _, done in findings(capsys.readouterr().out)]
    assert told == [("A1", "would"), ("B1", "would")]
    assert (shelf.line.tokens(), shelf.line.events("A1"), shelf.line.events("B1")) == before
    assert not (shelf.root / "logs" / "operators.jsonl").exists()


def test_nothing_is_removed_from_the_store(shelf: Shelf) -> None:
    """What is extra stays, with --fix and with --rebuild."""
    (shelf.done / "X1").mkdir()
    (shelf.done / "X1" / "X1.tar.gz").write_text("no provenance")
    before = shelf.store()
    assert shelf.audit("--fix", "--rebuild") == 1
    assert shelf.store() == before


def test_what_a_person_dropped_is_not_seeded_again(shelf: Shelf) -> None:
    """A dropped book whose token was removed by hand stays away."""
    shelf.seed("B1")
    shelf.ledger.append("B1", "dropped", by="ann")
    shelf.token("B1").unlink()
    assert shelf.audit("--fix") == 1
    assert shelf.line.places("B1") == []


def test_a_seeding_that_was_killed_is_completed(shelf: Shelf) -> None:
    """A token that was registered and not placed is placed, once; what nobody registered is none."""
    shelf.seed("B1")
    name = shelf.line.events("B1")[0]["token"]
    shelf.token("B1").rename(shelf.root / "seeding" / name)
    (shelf.root / "seeding" / "B1~loser.1.json").write_text("{}")
    inode = (shelf.root / "seeding" / name).stat().st_ino
    assert shelf.audit("--fix") == 0
    assert (shelf.line.places("B1"), shelf.token("B1").stat().st_ino) == (["00_b"], inode)
    assert "reseeded" not in shelf.line.kinds("B1")


@pytest.mark.parametrize("what", ["reseed", "resend"])
def test_killed_at_each_step(shelf: Shelf, what: str) -> None:
    """SIGKILL before each change of the file system: never two tokens, and the same command again completes it."""
    shelf.seed("B1")
    barcode = "B1" if what == "reseed" else "A1"
    if what == "reseed":
        shelf.token("B1").unlink()
    else:
        (shelf.done / "A1" / "A1.txt").unlink()
    put_back = shelf.replay()
    step = 1
    while killed_at(step, lambda: shelf.audit("--fix")):
        assert len(shelf.line.places(barcode)) <= 1
        assert shelf.audit("--fix") == 0, step
        assert shelf.line.places(barcode) == ["00_b"], (step, shelf.line.events(barcode))
        assert len(shelf.line.places("A1")) == 1
        put_back()
        step += 1
    assert step >= 6


def test_two_who_reseed_at_once_make_one_token(shelf: Shelf) -> None:
    """Both have seen that it is nowhere; the line that comes second in the ledger counts for nothing."""
    shelf.seed("B1")
    shelf.token("B1").unlink()
    sightings = Sightings(shelf.settings)
    stamp = sightings.stamp("B1")
    one, two = Fixer(sightings, "ann"), Fixer(sightings, "bob")
    late = Sightings(shelf.settings)
    # Bob stalls between his look at the ledger and his line.
    late.stamp = lambda _barcode: stamp  # type: ignore[method-assign]
    two.sightings = late
    assert one.fix(NOWHERE, stamp)
    shelf.work("B1", "fetch")
    assert not two.fix(NOWHERE, stamp)
    assert shelf.line.places("B1") == ["01_b"]
    assert not list((shelf.root / "seeding").iterdir())
    assert shelf.line.kinds("B1")[-2:] == ["reseeded", "unchanged"]


def test_the_loser_killed_at_once_leaves_nothing_that_counts(shelf: Shelf) -> None:
    """Its line and its file stay; neither an audit nor a seeding places it."""
    shelf.deliver("B1")
    name = "B1~loser.1.json"
    (shelf.root / "seeding" / name).write_text('{"barcode": "B1"}')
    shelf.ledger.append("B1", "reseeded", token=name, bucket="00_b", after=1)
    assert (placing(shelf.ledger.path("B1").read_bytes()) or {})["event"] == "registered"
    assert shelf.audit("--fix") == 0
    shelf.seeder.recover(shelf.buckets[0])
    assert shelf.line.places("B1") == ["03_b"]


@pytest.mark.parametrize("damage", ["token", "object"])
def test_many_audits_at_once(shelf: Shelf, damage: str) -> None:
    """Four processes set the same sixteen books right at the same time: one token each."""
    books = [f"B{number:02}" for number in range(16)]
    shelf.deliver(*books)
    for barcode in books:
        if damage == "token":
            shelf.token(barcode).unlink()
            (shelf.done / barcode / f"{barcode}.tar.gz").unlink()
        else:
            (shelf.done / barcode / f"{barcode}.txt").unlink()
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.dup2(1, 2)
            try:
                code = shelf.audit("--fix")
            except BaseException:  # noqa: BLE001 - a child must never come back into the test
                code = 9
            os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert set(codes) <= {0, 1}, codes
    assert {barcode: shelf.line.places(barcode) for barcode in books} == {barcode: ["00_b"] for barcode in books}
    for barcode in books:
        shelf.work(barcode)
    assert shelf.audit("--deep") == 0


def test_a_twin_of_the_fence(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule that only a line right behind what was seen counts, the stalled auditor doubles the book."""
    shelf.seed("B1")
    shelf.token("B1").unlink()
    sightings = Sightings(shelf.settings)
    stamp = sightings.stamp("B1")
    assert Fixer(sightings, "ann").fix(NOWHERE, stamp)
    shelf.work("B1", "fetch")
    monkeypatch.setattr("services.orchestrator.sightings._counts", lambda *_: True)
    sightings.stamp = lambda _barcode: stamp  # type: ignore[method-assign]
    assert Fixer(sightings, "bob").fix(NOWHERE, stamp)
    assert shelf.line.places("B1") == ["00_b", "01_b"]


def test_the_operators_log_has_a_line(shelf: Shelf) -> None:
    """One line a command, with the figures."""
    (shelf.done / "A1" / "A1.txt").unlink()
    assert shelf.audit("--fix") == 0
    assert '"command": "audit"' in (shelf.root / "logs" / "operators.jsonl").read_text()
    assert '"fixed": 1' in (shelf.root / "logs" / "operators.jsonl").read_text()
