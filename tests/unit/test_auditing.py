"""`audit`: what it finds, what it does not, and what it says."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from common import board
from services.orchestrator import audit_checks, auditing
from tests.audits import Shelf, findings


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Three books at home, and audits that do not wait long before they look again."""
    monkeypatch.setattr(auditing, "_PAUSE", 0.02)
    monkeypatch.setattr(auditing, "_QUIET", 0.02)
    shelf = Shelf(tmp_path)
    shelf.deliver("A1", "A2", "A3")
    return shelf


def asked(shelf: Shelf, capsys: pytest.CaptureFixture[str], *more: str) -> list[tuple[str, str, str]]:
    """What `audit --json` finds."""
    capsys.readouterr()
    code = shelf.audit("--json", *more)
    out = capsys.readouterr().out
    assert code == (1 if json.loads(out.splitlines()[-1])["summary"]["remain"] else 0), out
    return findings(out)


def test_nothing_is_found_where_all_agrees(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """Books at home, on their way, deferred a moment ago, failed, held and dropped are no findings; code 0."""
    shelf.seed("B1", "B2", "B3", "B4", "B5", "B6")
    shelf.work("B2", "fetch")
    bucket = shelf.buckets[0]
    for barcode, state in (("B3", "deferred"), ("B4", "failed"), ("B5", "held")):
        board.path_of(bucket, barcode, "waiting").rename(board.path_of(bucket, barcode, state))
    board.path_of(bucket, "B6", "waiting").rename(shelf.root / "dropped" / "B6.json")
    assert shelf.audit("--deep") == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "9 books of the ledger looked at; everything agrees; 1 have failed" in said.err


@pytest.mark.parametrize("damage", [b"x", b""])
def test_a_damaged_provenance(shelf: Shelf, capsys: pytest.CaptureFixture[str], damage: bytes) -> None:
    """A lost ledger is rebuilt from it, so it is held against the ledger as every other object is."""
    path = shelf.done / "A1" / "provenance.json"
    data = path.read_bytes()
    path.write_bytes(data + damage if damage else data.replace(b"TESTLIB", b"TESTLIP"))
    assert asked(shelf, capsys) == ([("A1", "changed", "")] if damage else [])
    assert asked(shelf, capsys, "--deep") == [("A1", "changed", "")]


def test_a_dry_rebuild_names_each_book_once(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """What would be rebuilt is not told once more because its token has no ledger either."""
    shutil.rmtree(shelf.root / "ledger")
    (shelf.root / "ledger").mkdir()
    found = asked(shelf, capsys, "--rebuild", "--dry-run")
    assert sorted(barcode for barcode, _, _ in found) == ["A1", "A2", "A3"]


def test_an_object_that_is_gone(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """Each missing object is a line with its key and a cure, the provenance too; code 1."""
    (shelf.done / "A1" / "A1.txt").unlink()
    (shelf.done / "A2" / "provenance.json").unlink()
    assert shelf.audit() == 1
    said = capsys.readouterr()
    one, two = sorted(said.out.splitlines())
    assert one.startswith("A1 ") and "missing" in one and "A1/A1.txt is not there" in one and "audit --fix" in one
    assert "A2/provenance.json is not there" in two
    assert "2 missing" in said.err


def test_a_changed_object(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """Another size is seen at once; the same size with other bytes only by --deep, which reads them."""
    (shelf.done / "A1" / "A1.txt").write_text("short")
    path = shelf.done / "A2" / "A2.txt"
    path.write_text(path.read_text().swapcase())
    assert asked(shelf, capsys) == [("A1", "changed", "")]
    assert asked(shelf, capsys, "--deep") == [("A1", "changed", ""), ("A2", "changed", "")]


def test_a_token_that_is_nowhere(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """A registered book without a token is stuck, whether it was on its way or at home."""
    shelf.seed("B1")
    shelf.token("B1").unlink()
    shelf.token("A1").unlink()
    assert asked(shelf, capsys) == [("A1", "stuck", ""), ("B1", "stuck", "")]


def test_a_book_that_is_there_twice(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """A copied token is reported loudly, wherever the two lie, and --fix touches neither."""
    shelf.seed("B1")
    shutil.copy(shelf.token("B1"), shelf.buckets[1] / "failed" / "B1.json")
    shutil.copy(shelf.token("A1"), shelf.buckets[1] / "A1.json")
    before = shelf.line.tokens()
    assert asked(shelf, capsys, "--fix") == [("A1", "stuck", ""), ("B1", "stuck", "")]
    assert shelf.line.tokens() == before
    shelf.audit()
    assert "IT IS TWICE ON THE BOARD: 01_b and 03_b" in capsys.readouterr().out


def test_twins_that_move_are_told_all_the_same(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two files are two tokens, though their ledger grows and they are elsewhere at the second look."""
    shelf.seed("B1")
    shutil.copy(shelf.token("B1"), shelf.buckets[1] / "failed" / "B1.json")

    def move_on(_seconds: float) -> None:
        (shelf.buckets[0] / "B1.json").rename(shelf.buckets[2] / "B1.json")
        (shelf.buckets[1] / "failed" / "B1.json").rename(shelf.buckets[1] / "B1.json")
        shelf.ledger.append("B1", "done", stage="fetch")

    monkeypatch.setattr("services.orchestrator.auditing.time.sleep", move_on)
    assert asked(shelf, capsys) == [("B1", "stuck", "")]


def test_a_claim_of_a_worker_that_is_no_more(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """A claim without a heartbeat, or with a very old one, is stuck; that of a living worker is not."""
    shelf.seed("B1", "B2", "B3")
    for barcode, worker in (("B1", "dead"), ("B2", "gone"), ("B3", "alive")):
        assert board.claim(shelf.buckets[0], barcode, worker, 1)
    for worker in ("dead", "alive"):
        (shelf.root / "workers" / f"{worker}.json").write_text("{}")
    os.utime(shelf.root / "workers" / "dead.json", (1e9, 1e9))
    assert asked(shelf, capsys) == [("B1", "stuck", ""), ("B2", "stuck", "")]


def test_a_token_that_was_due_long_ago(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deferred token that nobody takes is stuck, once it is overdue."""
    shelf.seed("B1")
    path = shelf.token("B1").rename(shelf.buckets[0] / "deferred" / "B1.json")
    now = path.stat().st_mtime
    os.utime(path, (now - 100, now - 100))
    assert asked(shelf, capsys) == []
    monkeypatch.setattr(audit_checks, "OVERDUE", 99)
    assert asked(shelf, capsys) == [("B1", "stuck", "")]


def test_working_files_that_nobody_needs(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """Files of a book at home, or unknown, are orphans; those of a book on its way, and strange folders, are not."""
    shelf.seed("B1")
    shelf.work("B1", "fetch")
    for name in ("A1/fetch", "C1/pack", "D1/theirs", ".gone-E1/fetch"):
        (shelf.folder / "processing" / name).mkdir(parents=True)
    assert asked(shelf, capsys) == [("A1", "stuck", ""), ("C1", "stuck", "")]


def test_what_the_ledger_does_not_know(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """A book of the store without a ledger is extra, with a token or without; other files are nobody's matter."""
    shelf.ledger.path("A1").unlink()
    shelf.ledger.path("A2").unlink()
    shelf.token("A2").unlink()
    (shelf.done / "README").write_text("ours")
    (shelf.done / "A3" / ".put~A3~1").write_text("half")
    assert [(b, w) for b, w, _ in asked(shelf, capsys)] == [("A1", "extra"), ("A2", "extra")]


def test_an_older_version_is_checked_too(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """What the store held before a newer version is expected to stay; that it is lost cannot be cured from GRIN."""
    again(shelf, "A1")
    assert asked(shelf, capsys) == []
    (shelf.done / "A1" / "A1.txt").unlink()
    places = shelf.line.places("A1")
    assert asked(shelf, capsys, "--fix") == [("A1", "missing", "")]
    assert shelf.line.places("A1") == places
    (shelf.done / "A1" / "v2" / "A1.txt").unlink()
    assert {what for _, what, _ in asked(shelf, capsys)} == {"missing"}


def again(shelf: Shelf, barcode: str) -> None:
    """Bring a book again, with other bytes."""
    from services.orchestrator.versions import bring

    (shelf.folder / "google").mkdir(exist_ok=True)
    (shelf.folder / "google" / barcode).write_text("scanned anew")
    assert bring(shelf.settings, barcode, "scanned anew", "ann")
    shelf.work(barcode)


@pytest.mark.parametrize("how", ["gone", "empty", "a file"])
def test_a_store_that_is_not_mounted_is_not_taken_for_an_empty_one(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    """Nothing is reported missing and nothing is fixed: code 3, and a sentence that says what to do."""
    shutil.rmtree(shelf.done)
    if how == "empty":
        shelf.done.mkdir()
    if how == "a file":
        shelf.done.write_text("")
    before = shelf.line.tokens()
    assert shelf.audit("--fix") == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert "done bucket" in said.err and "mounted" in said.err
    assert shelf.line.tokens() == before


@pytest.mark.parametrize("store", ["empty", "absent"])
def test_a_board_without_tokens_before_a_store_that_is_not_mounted(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], store: str
) -> None:
    """With only the ledger restored, what it tells was delivered must be found before anything is sent for."""
    for token in shelf.buckets[-1].glob("*.json"):
        token.unlink()
    shelf.done.rename(shelf.done.with_name("unmounted"))
    if store == "empty":
        shelf.done.mkdir()
    assert shelf.audit("--fix") == 3
    assert "mounted" in capsys.readouterr().err
    assert list(shelf.buckets[0].glob("*.json")) == []


def test_a_thousand_missing_books_need_a_word(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Less than half of the store may be missing, and still be one of its mounts."""
    monkeypatch.setattr(auditing, "_MANY", 4)
    shelf.deliver(*(f"B{number}" for number in range(10)))
    for number in range(5):
        shutil.rmtree(shelf.done / f"B{number}")
    assert shelf.audit("--fix") == 3
    assert "--force" in capsys.readouterr().err
    monkeypatch.setattr(auditing, "_MANY", 1000)
    assert shelf.audit("--fix") == 0


@pytest.mark.parametrize("stray", ["a file", "one new book"])
def test_a_mount_point_with_something_in_it_is_not_the_store(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], stray: str
) -> None:
    """Where most books are missing whole nothing is fixed, unless somebody says that they are really lost."""
    shelf.deliver("A4", "A5", "A6")
    shelf.done.rename(shelf.done.with_name("unmounted"))
    shelf.done.mkdir()
    if stray == "a file":
        (shelf.done / "README").write_text("mount here")
    else:
        # The uploader knows nothing of the unmounting when it was started afterwards.
        shelf.forget()
        shelf.deliver("A7")
    before = sorted(path.name for path in shelf.buckets[-1].glob("*.json"))
    assert shelf.audit("--fix") == 3
    assert "are not in" in capsys.readouterr().err
    assert sorted(path.name for path in shelf.buckets[-1].glob("*.json")) == before
    assert shelf.audit("--fix", "--force") == 0
    assert "set right" in capsys.readouterr().err
    assert sorted(path.stem for path in shelf.buckets[0].glob("*.json")) == ["A1", "A2", "A3", "A4", "A5", "A6"]


def test_a_store_that_is_unmounted_meanwhile(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look and the deed the store vanishes, or another one lies there: code 3, and no book moves."""
    (shelf.done / "A1" / "A1.txt").unlink()
    away, before = shelf.folder / "away", shelf.line.tokens()
    monkeypatch.setattr("services.orchestrator.auditing.time.sleep", lambda _: shelf.done.rename(away))
    assert shelf.audit("--fix") == 3
    away.rename(shelf.done)

    def mount_another(_seconds: float) -> None:
        shelf.done.rename(away)
        (shelf.done / "X").mkdir(parents=True)

    monkeypatch.setattr("services.orchestrator.auditing.time.sleep", mount_another)
    assert shelf.audit("--fix") == 3
    assert "another folder" in capsys.readouterr().err
    assert shelf.line.tokens() == before


def test_a_board_that_cannot_be_read(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """Code 3 for a board that is damaged, 2 for one that is not there; never a traceback."""
    (shelf.root / "ledger").rename(shelf.root / "ledger.old")
    (shelf.root / "ledger").symlink_to(shelf.root / "ledger")
    assert shelf.audit() == 3
    assert "cannot be read" in capsys.readouterr().err
    shutil.rmtree(shelf.root)
    assert shelf.audit() == 2


def test_a_ledger_that_is_no_file(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """One book's bad ledger is a finding, and the others are looked at all the same."""
    shelf.ledger.path("A1").unlink()
    shelf.ledger.path("A1").mkdir()
    (shelf.done / "A2" / "A2.txt").unlink()
    assert asked(shelf, capsys) == [("A1", "stuck", ""), ("A2", "missing", "")]


def test_only_the_named_books(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """Named books are all that is looked at; a bad name is refused before anything is done."""
    for barcode in ("A1", "A2"):
        (shelf.done / barcode / f"{barcode}.txt").unlink()
    assert asked(shelf, capsys, "A2", "A3") == [("A2", "missing", "")]
    assert asked(shelf, capsys, "NOBODY", "--fix") == [("NOBODY", "missing", "")]
    assert not shelf.ledger.path("NOBODY").exists()
    assert shelf.audit("../A1") == 2
    assert "is no barcode" in capsys.readouterr().err


def test_limit(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """--limit ends after so many results, and so many books are set right."""
    for barcode in ("A1", "A2", "A3"):
        (shelf.done / barcode / f"{barcode}.txt").unlink()
    assert len(asked(shelf, capsys, "--limit", "2", "--fix")) == 2
    assert sum(shelf.line.places(barcode) == ["00_b"] for barcode in ("A1", "A2", "A3")) == 2


def test_a_book_that_moves_between_two_looks_is_not_reported(
    shelf: Shelf, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that is out of sight at the first look, and a ledger that has grown at the second, are no finding."""
    shelf.seed("B1")
    token, hidden = shelf.token("B1"), shelf.folder / "hidden"

    def look_again(_seconds: float) -> None:
        shelf.ledger.append("B1", "attempt", stage="fetch")

    token.rename(hidden)
    assert asked(shelf, capsys) == [("B1", "stuck", "")]
    monkeypatch.setattr("services.orchestrator.auditing.time.sleep", look_again)
    assert asked(shelf, capsys, "--fix") == []
    monkeypatch.setattr("services.orchestrator.auditing.time.sleep", lambda _: hidden.rename(token))
    assert asked(shelf, capsys, "--fix") == []


def test_a_token_may_name_a_store_of_its_own(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """Books that were delivered elsewhere are looked for there."""
    token = {"barcode": "A1", "processing_bucket": "", "done_bucket": "elsewhere"}
    shelf.token("A1").write_text(json.dumps(token))
    (shelf.folder / "elsewhere").mkdir()
    (shelf.done / "A1").rename(shelf.folder / "elsewhere" / "A1")
    assert asked(shelf, capsys) == []
    (shelf.folder / "elsewhere" / "A1" / "A1.txt").unlink()
    assert asked(shelf, capsys) == [("A1", "missing", "")]
