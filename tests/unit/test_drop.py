"""drop takes books off the board, asks before it does, and each of them can be brought back."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from common import board, listing
from tests.helpers import GRIN_PIPELINE
from tests.operators import Bench, bench, from_stdin

__all__ = ["bench"]


@pytest.mark.parametrize("processing", ["", "elsewhere"])
def test_a_dropped_book_and_back(bench: Bench, processing: str) -> None:
    """drop takes token and files off the board; seeding adds nothing; release brings the same inode to the start."""
    bench.put("A1", "failed", 1, folder=processing)
    others, files = bench.files("A2"), bench.files("A1", processing or "processing")
    assert bench.run("drop", "A1") == 0
    assert (files.exists(), others.exists()) == (False, True)
    assert list(files.parent.glob(".gone*")) == []
    assert not bench.seeder.seed("A1", bench.buckets[0], "", "")
    assert bench.run("drop", "A1") == 0
    assert bench.run("release", "--all") == 0
    assert bench.places("A1") == ["dropped"]
    assert bench.run("release", "A1") == 0
    assert bench.places("A1") == ["00_b/waiting"]
    assert (bench.buckets[0] / "A1.json").stat().st_ino == bench.inodes["A1"]
    assert bench.events("A1")[-1]["from"] == "dropped"


def test_a_dropped_book_goes_to_the_first_bucket_of_its_own_line(tmp_path: Path) -> None:
    """Where a board has two lines, a book begins anew on its own."""
    bench = Bench(tmp_path)
    bench.line.filters[1] |= {"input_pipe": "pipeline/10_b", "output_pipe": "pipeline/11_b"}
    bench.line.stage("three", "Three", 11)
    bench.buckets = [bench.root / name for name in ("00_b", "10_b", "11_b", "12_b")]
    board.prepare(bench.root, bench.buckets)
    bench.put("A1", "waiting", 2)
    bench.run("drop", "A1")
    assert bench.run("release", "A1") == 0
    assert bench.places("A1") == ["10_b/waiting"]


def test_a_token_that_is_none_can_be_dropped(bench: Bench) -> None:
    """What only looks like a token goes as well; its files are looked for where the configuration has them."""
    bench.put("A1").write_text("no token")
    files = bench.files("A1")
    (bench.buckets[0] / "LINK.json").symlink_to("/etc/passwd")
    assert bench.run("drop", "A1", "LINK", "--yes") == 0
    assert (bench.places("A1"), files.exists(), Path("/etc/passwd").exists()) == (["dropped"], False, True)
    assert (bench.root / "dropped" / "LINK.json").is_symlink()


def test_files_that_a_killed_drop_left(bench: Bench) -> None:
    """A drop that died before it removed the files is completed by the next drop, whatever that drops."""
    bench.put("A1").rename(bench.root / "dropped" / "A1.json")
    bench.put("A2")
    files = bench.files("A1")
    assert bench.run("drop", "A2") == 0
    assert not files.exists()


def test_drop_needs_yes_in_a_script(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody can be asked, more than one book is not dropped without --yes: 2, a sentence, nothing done."""
    bench.put("A1")
    bench.put("A2")
    before = bench.snapshot()
    for arguments in (("A1", "A2"), ("--all",), ("--bucket", "00_b")):
        assert bench.run("drop", *arguments) == 2
        assert "needs --yes" in capsys.readouterr().err
    with from_stdin("A1\n"):
        assert bench.run("drop", "-") == 2
    assert bench.snapshot() == before
    assert bench.run("drop", "A1", "A2", "--yes") == 0


@pytest.mark.parametrize(("answer", "left"), [("y", 0), ("n", 2), ("", 2)])
def test_drop_asks_on_a_terminal(bench: Bench, answer: str, left: int) -> None:
    """On a terminal a person is asked, with the number of books."""
    bench.put("A1")
    bench.put("A2")
    ours, theirs = os.openpty()
    command = [*GRIN_PIPELINE, "drop", "--all", "--config", str(bench.line.config)]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        os.write(ours, f"{answer}\n".encode())
        _, said = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert "Take 2 books off the board and remove their working files? [y/N]" in said
    assert process.returncode == (2 if left else 0)
    assert listing.count(bench.buckets[0], "waiting") == left
