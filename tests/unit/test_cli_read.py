"""The commands that read a board: `failed`, `ls`, `status --watch`."""

from __future__ import annotations

import json
import os
import pty
import shlex
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from common import board
from services.orchestrator.cli import main
from services.orchestrator.view import iso
from tests.helpers import GRIN_PIPELINE
from tests.unit.shown import Shown

ROOT = Path(__file__).parents[2]
EVIL = "one\ntwo\x1b[2J\u202e <script>alert(1)</script>"


class Said:
    """Commands on one board, and what they said."""

    def __init__(self, shown: Shown, capsys: pytest.CaptureFixture[str]) -> None:
        self.shown = shown
        self.capsys = capsys
        self.code = 0
        self.err = ""

    def run(self, command: str, *more: str) -> str:
        """Standard output of one command."""
        self.code = main([command, "--config", str(self.shown.config), *more])
        out, self.err = self.capsys.readouterr()
        return out

    def rows(self, command: str, *more: str) -> list[dict[str, Any]]:
        """Its JSON lines."""
        return [json.loads(line) for line in self.run(command, "--json", *more).splitlines()]


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    """A board with five failed books of two causes, in two buckets."""
    shown = Shown(tmp_path)
    for at in range(4):
        shown.fail(f"A{at}", f"GRIN says that A{at} is not converted.", "Ask for it.", age=7200 - at, number=at % 2)
    shown.fail("B1", EVIL, age=60)
    shown.put("C1", age=600)
    return Said(shown, capsys)


# --- failed ---------------------------------------------------------------------------------------------------------


def test_failed_is_a_line_a_book_with_its_reason_and_cure(said: Said) -> None:
    """A reason of several lines is one line, and a reader of a pipe is told the time and the age; the code is 0."""
    lines = said.run("failed").splitlines()
    assert (len(lines), said.code) == (5, 0)
    first = next(line for line in lines if " A0 " in line)
    assert "2 h" in first
    assert "GRIN says that A0 is not converted. → Ask for it." in first
    assert not any("\x1b" in line or "\u202e" in line for line in lines)


def test_failed_by_reason_counts_causes_and_names_the_command_for_each(said: Said) -> None:
    """The command, pasted into a shell, retries just the books of the cause."""
    out = said.run("failed", "--by", "reason")
    assert "      4  GRIN says that A0 is not converted." in out
    assert "What to do: Ask for it." in out
    assert "A0, A1, A2 and 1 more, in 00_b and 01_b, the first 2 h ago" in out
    assert "\x1b" not in out
    (command,) = [line.strip() for line in out.splitlines() if "--reason" in line]
    retried = said.rows(*shlex.split(command)[1:])
    assert sorted(row["barcode"] for row in retried) == ["A0", "A1", "A2", "A3"]
    (cause,) = said.rows("failed", "--by", "reason")
    assert (cause["barcodes"], cause["command"]) == (["B1"], "grin-pipeline retry B1")


def test_failed_by_stage_counts_buckets_and_the_causes_in_each(said: Said) -> None:
    """A cause is counted in each bucket by itself."""
    out = said.run("failed", "--by", "stage").splitlines()
    assert [line for line in out if not line.startswith(" ")] == ["one, 00_b: 3", "two, 01_b: 2"]
    rows = said.rows("failed", "--by", "stage")
    assert [(row["stage"], row["bucket"], row["count"]) for row in rows] == [("one", "00_b", 3), ("two", "01_b", 2)]
    assert [cause["count"] for cause in rows[0]["causes"]] == [2, 1]


def test_failed_in_one_bucket_or_state_only(said: Said) -> None:
    """Filters hold for lines and for causes."""
    assert {row["barcode"] for row in said.rows("failed", "01_b")} == {"A1", "A3"}
    assert [row["reason"] for row in said.rows("failed", "--by", "reason", "01_b")] == [
        "GRIN says that A0 is not converted."
    ]
    said.shown.tell("H1", "held", by="ana", why="odd")
    said.shown.put("H1", board.HELD)
    (held,) = said.rows("failed", "--state", "held", "--by", "reason")
    assert held["command"] == "grin-pipeline release H1"


def test_no_failed_book_is_told_and_is_no_fault(said: Said) -> None:
    """Nothing on standard output, so that scripts count lines."""
    said.run("retry", "--all")
    for more in ([], ["--by", "reason"], ["--by", "stage"], ["--json"]):
        assert (said.run("failed", *more), said.err, said.code) == ("", "No book is failed.\n", 0)


# --- ls -------------------------------------------------------------------------------------------------------------


def test_ls_by_state_and_no_longer_than_asked(said: Said) -> None:
    """That there is more is told on standard error."""
    assert [row["barcode"] for row in said.rows("ls", "--state", "waiting")] == ["C1"]
    assert len(said.rows("ls", "--state", "failed", "--limit", "2")) == 2
    assert said.err == "There are more: --limit 2 ended the list.\n"
    said.rows("ls", "--limit", "6")
    assert said.err == ""


def test_a_row_tells_its_age_and_when_a_deferred_book_is_due(said: Said) -> None:
    """Below zero until then."""
    said.shown.put("D1", board.DEFERRED, age=-3600)
    ages = {row["barcode"]: row["seconds"] for row in said.rows("ls")}
    assert ages["C1"] == pytest.approx(600, abs=30)
    assert ages["D1"] == pytest.approx(-3600, abs=30)
    assert "in 60 min" in said.run("ls", "--state", "deferred")


def test_a_time_beyond_all_calendars_is_shown_all_the_same(said: Said) -> None:
    """A token may have any mtime that a file system takes."""
    os.utime(said.shown.put("D1", board.DEFERRED), (10**12, 10**12))
    os.utime(said.shown.path("B1", board.FAILED), (0, 0))
    ages = {row["barcode"]: row["since"][:4] for row in said.rows("ls")}
    assert (ages["B1"], ages["D1"] > "2400", iso(1e12)) == ("1970", True, "9999-12-31T00:00:00Z")
    for command in (
        ["failed", "--by", "reason", "--state", "deferred"],
        ["shape", "--state", "deferred"],
        ["show", "D1"],
    ):
        said.run(*command)
        assert said.code == 0


# --- status ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("more", "begins"), [([], "Board"), (["--json"], '{"board"')])
def test_a_watched_status_goes_on_into_a_pipe_until_it_is_interrupted(said: Said, more: list[str], begins: str) -> None:
    """A table, or an object, again and again; Ctrl-C ends it with 0 and no word."""
    command = [*GRIN_PIPELINE, "status", "--watch", "0.2", "--config", str(said.shown.config), *more]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as watch:
        assert watch.stdout is not None
        assert watch.stderr is not None
        times = 0
        for line in watch.stdout:
            times += line.startswith(begins)
            if times == 3:
                break
        watch.send_signal(signal.SIGINT)
        watch.stdout.close()
        assert (watch.wait(20), watch.stderr.read()) == (0, "")


def test_a_watched_status_on_a_terminal_is_drawn_in_its_place(said: Said) -> None:
    """What changes on the board is seen; the cursor is given back at the end."""
    leader, follower = pty.openpty()
    command = [*GRIN_PIPELINE, "status", "--watch", "0.2", "--config", str(said.shown.config)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "100", "LINES": "40"}
    with subprocess.Popen(command, stdout=follower, stderr=follower, env=environ) as watch:
        os.close(follower)
        seen = _read_until(leader, "5 failed")
        said.shown.path("B1", board.FAILED).unlink()
        seen += _read_until(leader, "4 failed")
        watch.send_signal(signal.SIGINT)
        seen += _read_until(leader, "\x1b[?25h")
        assert watch.wait(20) == 0
    os.close(leader)
    assert seen.count("\x1b[?25l") == 1
    assert "Traceback" not in seen


def _read_until(fd: int, text: str) -> str:
    seen = ""
    while text not in seen:
        data = b""
        with suppress(OSError):
            data = os.read(fd, 65_536)
        assert data, f"{text!r} did not come: {seen}"
        seen += data.decode(errors="replace")
    return seen
