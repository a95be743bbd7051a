"""Failed books are grouped by what went wrong, not by the words that name one book."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from common import board
from services.orchestrator import causes
from services.orchestrator.causes import Causes
from services.orchestrator.choosing import RETRY, Choice, Chooser
from tests.unit.shown import Shown


def test_reasons_that_differ_by_what_names_one_book_are_one_cause(tmp_path: Path) -> None:
    """Barcodes, numbers, quoted names and paths are not the cause; the oldest book's words stand for all."""
    shown = Shown(tmp_path)
    for at, barcode in enumerate(("32101000000001", "NYP.b2", "hvd-x")):
        shown.fail(barcode, f"GRIN has no {barcode}, see '{at}.txt' and /data/{barcode}/x.", "Wait.", age=100 - at)
    (cause,) = Causes(shown.view).groups()
    assert (cause.count, cause.barcodes) == (3, ["32101000000001", "NYP.b2", "hvd-x"])
    assert cause.reason.startswith("GRIN has no 32101000000001,")
    assert (cause.cure, cause.buckets, cause.states) == ("Wait.", {"00_b": 3}, {"failed": 3})
    assert cause.since == pytest.approx(shown.now - 100, abs=1)


def test_other_words_are_another_cause_and_the_most_frequent_comes_first(tmp_path: Path) -> None:
    """What went wrong is told by the words."""
    shown = Shown(tmp_path)
    shown.fail("A1", "The archive is empty.")
    for barcode in ("A2", "A3"):
        shown.fail(barcode, "The archive is damaged.")
    assert [(one.reason, one.count) for one in Causes(shown.view).groups()] == [
        ("The archive is damaged.", 2),
        ("The archive is empty.", 1),
    ]


def test_one_file_and_many_files_are_one_cause(tmp_path: Path) -> None:
    """The plural that goes with a number is no other cause."""
    shown = Shown(tmp_path)
    shown.fail("A1", "By checksum.md5, 1 file is missing or changed, beginning with 'a b.txt'.")
    shown.fail("A2", 'By checksum.md5, 17 files are missing or changed, beginning with "it\'s.txt".')
    (cause,) = Causes(shown.view).groups()
    assert cause.match == "missing or changed, beginning with"


def test_an_apostrophe_inside_a_word_opens_no_quotation(tmp_path: Path) -> None:
    """What follows "the book's" still tells two causes apart."""
    shown = Shown(tmp_path)
    shown.fail("A1", "The book's name is wrong in the METS' head.")
    shown.fail("A2", "The book's date is wrong in the METS' head.")
    assert len(Causes(shown.view).groups()) == 2


@pytest.mark.parametrize(
    "reasons",
    [
        ["The archive is EMPTY.", "The archive is Empty."],
        ["It took 3 s at /a.", "It took 9.5 s at /b/c."],
        ["Bad \x1b[31m thing in the archive {n}"] * 3,
        ["x" * 2_000 + "1", "x" * 2_000 + "2"],
        ["Nope.", "Nope."],
        [""],
    ],
)
def test_what_a_cause_names_for_retry_finds_all_its_books(tmp_path: Path, reasons: list[str]) -> None:
    """`retry --reason` with a cause's text chooses just the books of the cause, or the cause names no text."""
    shown = Shown(tmp_path)
    for at, reason in enumerate(reasons):
        shown.fail(f"B{at}", reason.replace("{n}", str(at)))
    shown.fail("other", "Something else that has nothing to do with it.")
    for cause in Causes(shown.view).groups():
        if cause.match:
            chosen = Chooser(shown.settings, RETRY, Choice(reason=cause.match)).chosen()
            assert sorted(barcode for barcode, _ in chosen) == sorted(cause.barcodes)
            assert cause.match.isprintable()
        else:
            assert len({cause.reason, *reasons}) == len(set(reasons))


def test_a_text_that_finds_another_cause_too_is_passed_over_or_told(tmp_path: Path) -> None:
    """Of two pieces the one is named that only these reasons hold; where there is none, how many others it finds."""
    shown = Shown(tmp_path)
    for at in (1, 2):
        shown.fail(f"A{at}", f"A rather long beginning of it 'x{at}' and short end.")
        shown.fail(f"B{at}", f"A rather long beginning of it 'x{at}' and long finish.")
        shown.fail(f"C{at}", f"A rather long beginning of it 'x{at}'")
    found = {one.barcodes[0]: one for one in Causes(shown.view).groups()}
    assert (found["A1"].match, found["A1"].others) == ("and short end", 0)
    assert (found["C1"].match, found["C1"].others) == ("A rather long beginning of it", 4)


def test_a_ledger_is_read_once_as_long_as_its_token_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that failed anew, with another mtime, is read again; the others are not."""
    shown = Shown(tmp_path)
    for at in range(5):
        shown.fail(f"A{at}", "First.", age=500)
    view, read = shown.view, []
    real = view.ledger.read
    monkeypatch.setattr(view.ledger, "read", lambda barcode: (read.append(barcode), real(barcode))[1])
    looks = Causes(view)
    looks.groups()
    shown.fail("A3", "Second.")
    assert [one.count for one in looks.groups()] == [4, 1]
    assert sorted(read[:5]) == [f"A{at}" for at in range(5)]
    assert read[5:] == ["A3"]


def test_a_look_reads_so_many_ledgers_and_tells_how_many_are_left(tmp_path: Path) -> None:
    """The page waits for no thousand ledgers; a book that has gone is no longer counted."""
    shown = Shown(tmp_path)
    paths = [shown.fail(f"A{at}", "First.", number=at % 2) for at in range(10)]
    looks = Causes(shown.view, budget=4)
    seen = [(sum(one.count for one in looks.groups()), looks.unread) for _ in range(4)]
    assert seen == [(4, 6), (8, 2), (10, 0), (10, 0)]
    paths[0].unlink()
    assert sum(one.count for one in looks.groups()) == 9


def test_what_cannot_be_read_is_a_cause_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in a ledger's place is told; once it is a file again, so is its reason."""
    shown = Shown(tmp_path)
    shown.put("A1", board.FAILED)
    ledger = shown.ledger.path("A1")
    ledger.mkdir(parents=True)
    monkeypatch.setattr(causes, "_AGAIN", 0.0)
    looks = Causes(shown.view)
    assert "cannot be read" in looks.groups()[0].reason
    shutil.rmtree(ledger)
    shown.tell("A1", "failed", reason="Now it can.")
    assert looks.groups()[0].reason == "Now it can."


def test_deferred_and_held_books_have_causes_too(tmp_path: Path) -> None:
    """Whoever asks for other states gets them, in any order, and no working ones."""
    shown = Shown(tmp_path)
    shown.tell("A1", "deferred", stage="one", reason="GRIN is away.")
    shown.put("A1", board.DEFERRED)
    shown.tell("A2", "held", by="ana", why="odd")
    shown.put("A2", board.HELD, 1)
    shown.put("A3", board.WORKING)
    looks = Causes(shown.view)
    assert {one.reason for one in looks.groups([board.DEFERRED, board.HELD, board.WORKING])} == {
        "GRIN is away.",
        "Held by ana: odd",
    }
    assert looks.groups() == []


def test_ten_kilobytes_of_hostile_reason_take_no_time(tmp_path: Path) -> None:
    """Quotation marks, gaps and blanks without end are looked through once."""
    shown = Shown(tmp_path)
    for at, text in enumerate(("'" * 10_000, "' " * 5_000, "/" * 10_000, "\0 " * 5_000, "a'" * 5_000, '"\n' * 5_000)):
        shown.fail(f"A{at}", text)
    began = time.monotonic()
    assert sum(one.count for one in Causes(shown.view).groups()) == 6
    assert time.monotonic() - began < 2


def test_of_a_very_long_reason_the_beginning_is_kept(tmp_path: Path) -> None:
    """A stage may give megabytes as its reason: they are not kept, and what is named for `retry` finds the book."""
    shown = Shown(tmp_path)
    shown.fail("A1", "The archive holds " + "nothing at all, " * 200_000, "Look. " * 200_000)
    (cause,) = Causes(shown.view).groups()
    assert (len(cause.reason), len(cause.cure)) == (2_000, 2_000)
    chosen = Chooser(shown.settings, RETRY, Choice(reason=cause.match))
    assert cause.match
    assert list(dict(chosen.chosen())) == ["A1"]
