"""One book's story, as `show` tells it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from common import board
from services.orchestrator import booklog
from services.orchestrator.cli import main
from tests.unit.shown import Shown

EVIL = "one\ntwo\x1b[2J\u202e"


class Book:
    """One book on a board, and what `show` says of it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.shown = Shown(folder)
        self.capsys = capsys
        self.shown.tell("A1", "registered", bucket="00_b")

    def show(self, *more: str) -> str:
        """Standard output."""
        main(["show", "A1", "--config", str(self.shown.config), *more])
        return self.capsys.readouterr().out

    def log(self, name: str = "one", **members: Any) -> None:
        """A line in a stage's log."""
        path = self.shown.root / "logs" / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write(
                json.dumps({"time": "2026-01-01T00:00:00Z", "level": "warning", "stage": name, **members}) + "\n"
            )


@pytest.fixture
def book(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Book:
    """A board that knows of one book."""
    return Book(tmp_path, capsys)


def test_a_failed_book_says_first_why_and_what_to_do(book: Book) -> None:
    """Where, since when and why in the first line; the cure and the command in the next two."""
    book.shown.fail("A1", "The archive is empty.", "Ask Google.", age=7200)
    assert book.show().splitlines()[:3] == [
        "A1 has failed in 00_b, 2 h ago: The archive is empty.",
        "What to do: Ask Google.",
        "Then `grin-pipeline retry A1`, or `grin-pipeline drop A1` if it shall not come home.",
    ]


@pytest.mark.parametrize(
    ("state", "number", "age", "said"),
    [
        (board.WAITING, 0, 600, "A1 waits in 00_b for 10 min."),
        (board.WAITING, 2, 600, "A1 is done, in 02_b, 10 min ago."),
        (board.WORKING, 1, 600, "A1 is being worked on in 01_b by one-host-1-abcd."),
        (board.DEFERRED, 0, -7300, "A1 is deferred in 00_b, due in 2 h."),
        (board.DEFERRED, 0, 5, "A1 is deferred in 00_b, due now."),
        (board.HELD, 0, 5, "A1 is held in 00_b for 5 s."),
    ],
)
def test_where_a_book_is(book: Book, state: str, number: int, age: float, said: str) -> None:
    """In a sentence, with since when or until when."""
    book.shown.put("A1", state, number, age)
    assert book.show().splitlines()[0].replace("4 s", "5 s").replace("6 s", "5 s") == said


def test_an_attempt_tells_bytes_time_checksums_files_and_warnings(book: Book) -> None:
    """What a stage told is there, nested things a line each; more than ten of a kind are counted."""
    files = [{"name": f"f{at}", "size": 1234, "sha256": "ab"} for at in range(12)]
    facts = {"bytes_in": 5_000_000, "bytes_out": 7, "sha256": "cafe", "warnings": ["no page 7"], "files": files}
    book.shown.tell("A1", "attempt", stage="one", attempt=1, worker="w1")
    book.shown.tell("A1", "done", stage="one", seconds=4.2, worker="w1", facts={**facts, "record": {"title": "Rivers"}})
    out = book.show()
    assert "Rivers\n1 attempt, 4 s of finished work\n" in out
    assert "done  4.2 s  5 MB in  7 bytes out  w1" in out
    assert "sha256=cafe" in out
    assert "warning: no page 7" in out
    assert "file: f9  1,234 bytes  sha256=ab" in out
    assert "f10" not in out
    assert "files: 2 more" in out


def test_a_book_that_is_made_again(book: Book) -> None:
    """Attempts that are counted anew say of which round they are, and a redo, which needs nobody, shows no cure."""
    for kind, more in [
        ("attempt", {"attempt": 1}),
        ("halted", {"reason": "No key."}),
        ("attempt", {"attempt": 1}),
        ("redo", {"reason": "Damaged.", "cure": "Ask Google.", "to": "zero"}),
        ("attempt", {"attempt": 1}),
        ("deferred", {"reason": "Later.", "cure": "Wait."}),
        ("attempt", {"attempt": 2}),
    ]:
        book.shown.tell("A1", kind, stage="one", **more)
    events = [line[25:].split(maxsplit=1)[1] for line in book.show().splitlines() if " one " in line]
    assert events == [
        "attempt 1",
        "halted  No key.",
        "attempt 1",
        "redo  zero  Damaged.",
        "attempt 1 of round 2",
        "deferred  Later.  → Wait.",
        "attempt 2 of round 2",
    ]
    assert [event.get("cure") for event in json.loads(book.show("--json"))["events"]][4] == "Ask Google."


def test_the_logs_add_what_the_ledger_has_not(book: Book) -> None:
    """Only this book's lines, tracebacks too; a reason that stands in the ledger is not told twice."""
    book.shown.fail("A1", "The archive is empty.")
    book.log(barcode="A1", message="The archive is empty.")
    book.log(barcode="A1", message="It broke off.", traceback="Traceback:\n  File x\nValueError: 3")
    book.log("two", barcode="A11", message="Another book.")
    log = book.show().partition("In the logs:\n")[2]
    assert "It broke off." in log
    assert "ValueError: 3" in log
    assert "empty" not in log
    assert "Another" not in log
    assert [line["message"] for line in json.loads(book.show("--json"))["log"]] == [
        "The archive is empty.",
        "It broke off.",
    ]


def test_of_a_long_log_only_the_end_is_read(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is told; a line that is cut in two is passed over."""
    book.log(barcode="A1", message="early " + "x" * 300)
    book.log(barcode="A1", message="late")
    monkeypatch.setattr(booklog, "MOST", 200)
    found, whole = booklog.lines(book.shown.root / "logs", "A1")
    assert ([line["message"] for line in found], whole) == (["late"], False)


def test_what_lies_in_a_logs_place_is_never_waited_on(book: Book, tmp_path: Path) -> None:
    """A FIFO, a link, a folder and lines that are no JSON are passed over."""
    book.log(barcode="A1", message="good")
    logs = book.shown.root / "logs"
    os.mkfifo(logs / "fifo.jsonl")
    (logs / "folder.jsonl").mkdir()
    (tmp_path / "secret").write_text('{"barcode": "A1", "message": "elsewhere"}\n')
    (logs / "link.jsonl").symlink_to(tmp_path / "secret")
    (logs / "odd.jsonl").write_bytes(b'"barcode": "A1"\n\xff\xfe"barcode": "A1"\n["barcode", "A1"]\n' + b"[" * 9_000)
    assert [line["message"] for line in booklog.lines(logs, "A1")[0]] == ["good"]


def test_json_has_all_that_it_had_and_why(book: Book) -> None:
    """`barcode`, `places` and `events` as ever, with `reason`, `cure` and `log` beside them."""
    book.shown.fail("A1", "Bad.", "Mend it.")
    told = json.loads(book.show("--json"))
    assert (told["barcode"], told["reason"], told["cure"]) == ("A1", "Bad.", "Mend it.")
    assert told["places"] == [{"bucket": "00_b", "state": "failed", "worker": None}]
    assert [event["event"] for event in told["events"]] == ["registered", "failed"]


def test_hostile_words_steer_no_terminal(book: Book) -> None:
    """Whether they stand in a reason, a fact, a title or a log, of any length."""
    book.shown.fail("A1", EVIL, EVIL)
    facts = {"warnings": [EVIL, {EVIL: EVIL}], EVIL: EVIL, "record": {"title": EVIL}, "files": [{"name": EVIL * 9_999}]}
    book.shown.tell("A1", "done", stage=EVIL, facts=facts)
    book.log(barcode="A1", message=EVIL, traceback=EVIL, cure=EVIL)
    out = book.show()
    assert out.count("\\x1b[2J") > 8
    assert not set(out) & {"\x1b", "\u202e", "\r"}
    assert max(map(len, out.splitlines())) < 5_000


def test_a_book_that_nobody_knows_is_told_with_what_to_do(book: Book) -> None:
    """Exit code 1."""
    assert main(["show", "$B2", "--config", str(book.shown.config)]) == 1
    assert "`grin-pipeline seed --barcode '$B2'` puts it there." in book.capsys.readouterr().err
