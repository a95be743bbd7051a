"""One stage on one book: the verdict that a worker would give, and nothing but the trial's own folder is touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.stage import Book, Halt, Redo, Reject, Retry, Stage
from common.trial import attempt
from tests.helpers import Line

HOPS = """
    from common.stage import Reject, Redo, Stage

    class Hop(Stage):
        def check(self):
            return self.options.get("wrong", [])

        def process(self, book, work):
            if self.options.get("breaks"):
                raise ValueError("over\\x1b[31mboard")
            if self.options.get("redo"):
                raise Redo("It is damaged.", to=self.options["redo"])
            if self.options.get("rejects"):
                raise Reject("It is no book.", "Bind it.")
            (work / "note.txt").write_text(f"{book.barcode} was here")
            return {"letters": 11}
"""


class Does(Stage):
    """Does what the test says."""

    deed: Callable[[Book, Path], Any] = staticmethod(lambda _book, _work: None)

    def process(self, book: Book, work: Path) -> Any:
        """Do it."""
        return type(self).deed(book, work)


def raises(error: Exception) -> Callable[[Book, Path], Any]:
    """A deed that ends with this error."""

    def deed(_book: Book, _work: Path) -> Any:
        raise error

    return deed


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """The files of a book."""
    folder = tmp_path / "A1"
    folder.mkdir()
    (folder / "page").write_text("Chapter one")
    return folder


def tried(deed: Callable[[Book, Path], Any], book: Path, **more: Any) -> Any:
    """That deed on the book, in a new folder."""
    Does.deed = staticmethod(deed)
    return attempt(Does, book, book.parent / "trial", **more)


def test_what_is_left_and_what_was_there(book: Path) -> None:
    """The next stage's folder has the new file and the old one, and tells them apart; the input stays as it was."""
    done = tried(lambda one, work: {"letters": (work / "note").write_text(one.input_file("page").read_text())}, book)
    assert (done.outcome, done.facts, [path.name for path in done.files]) == ("done", {"letters": 11}, ["note", "page"])
    assert [path.name for path in done.new] == ["note"]
    assert [path.name for path in book.iterdir()] == ["page"]


def test_a_stage_that_leaves_nothing_passes_the_book_on(book: Path) -> None:
    """The files that go on are the input's, none of them new."""
    done = tried(lambda _book, _work: None, book)
    assert (done.outcome, [path.name for path in done.files], done.new) == ("done", ["page"], ())


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Retry("Later.", "Wait."), "deferred"),
        (Redo("Damaged.", "Wait."), "redo"),
        (Reject("No.", "Wait."), "failed"),
        (Halt("Down.", "Wait."), "halted"),
    ],
)
def test_each_of_the_four_errors_is_told_as_what_it_is(book: Path, error: Exception, outcome: str) -> None:
    """With the reason and the cure that the stage gave."""
    done = tried(raises(error), book)
    assert (done.outcome, done.reason, done.cure) == (outcome, str(error.args[0]), "Wait.")


def test_options_and_barcode_are_given(book: Path) -> None:
    """The stage sees the options and the barcode that the test gives."""
    done = tried(lambda one, _work: {"barcode": one.barcode}, book, barcode="B$2", options={"letters": 3})
    assert done.facts == {"barcode": "B$2"}


def line(folder: Path, **options: Any) -> Line:
    """A configuration with the stage above behind another one."""
    return Line(folder, HOPS).stage("first", "Hop", 0).stage("hop", "Hop", 1, attempts=1, options=options)


def test_the_command_tells_it_and_leaves_nothing_behind(tmp_path: Path, book: Path) -> None:
    """`try` lists facts and files, and neither a board nor a book is where it ran."""
    before = sorted(tmp_path.rglob("*"))
    made = line(tmp_path)
    there = {*before, *tmp_path.rglob("*")}
    done = made.ask("try", "hop", "--input", str(book))
    assert done.returncode == 0, done.stderr
    assert "hop: done" in done.stdout
    assert "letters: 11" in done.stdout
    assert [" ".join(row.split()) for row in done.stdout.splitlines()[-2:]] == [
        "11 bytes new note.txt",
        "11 bytes as it was page",
    ]
    assert {path for path in tmp_path.rglob("*") if "__pycache__" not in path.parts} <= there


def test_a_new_folder_keeps_what_was_made(tmp_path: Path, book: Path) -> None:
    """`--output` holds the files and the ledger; one that is there already is refused, and stays."""
    made, kept = line(tmp_path), tmp_path / "kept"
    whole = json.loads(made.ask("try", "hop", "--input", str(book), "--output", str(kept), "--json").stdout)
    assert (whole["outcome"], [file["name"] for file in whole["files"] if file["new"]]) == ("done", ["note.txt"])
    assert (kept / "processing" / "A1" / "hop" / "note.txt").read_text() == "A1 was here"
    again = made.ask("try", "hop", "--input", str(book), "--output", str(kept))
    assert (again.returncode, "is there already" in again.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        ({"rejects": True}, 1, "Reject: the book fails"),
        ({"breaks": True}, 1, "ValueError: over\\x1b[31mboard"),
        ({"redo": "first"}, 1, "Redo: the book is made again"),
        ({"wrong": ["Too few letters."]}, 2, "Stage hop: Too few letters."),
    ],
)
def test_what_goes_wrong_is_told_and_has_its_code(
    tmp_path: Path, book: Path, options: dict[str, Any], code: int, told: str
) -> None:
    """1 when the book does not go on, 2 when the stage cannot start; nothing steers the terminal."""
    done = line(tmp_path, **options).ask("try", "hop", "--input", str(book))
    assert (done.returncode, told in done.stdout + done.stderr) == (code, True), done
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["hop", "--input", "nowhere"], "is no folder"),
        (["hip", "--input", "A1"], "There is no stage hip"),
        (["hop", "--input", "A1", "--barcode", "../A1"], "--barcode"),
    ],
)
def test_what_cannot_be_tried_is_said_in_a_sentence(
    tmp_path: Path, book: Path, arguments: list[str], told: str
) -> None:
    """A folder that is none, a stage that is none, a barcode that is none."""
    done = line(tmp_path).ask("try", *[str(book) if word == "A1" else word for word in arguments])
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr
