"""clean: what killed processes have left goes, and no book, nor anything that somebody uses or that is not ours."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from common import durable
from common.heartbeat import Heartbeat
from common.ledger import Ledger
from tests.helpers import Line, until
from tests.operators import Bench, bench

__all__ = ["bench"]

STAGES = """
import time
from common.stage import Stage
class Slow(Stage):
    def process(self, book, work):
        for page in range(5):
            (work / f"page{page}").write_text(book.barcode * 100)
            time.sleep(0.04)
"""
_OLD = (1.0, 1.0)


def _found(line: Line, *more: str) -> list[tuple[str, str]]:
    """What clean lists or removes: kinds and names."""
    told = line.ask("clean", "--json", *more)
    assert told.returncode == 0, told.stderr
    facts = [json.loads(one) for one in told.stdout.splitlines()]
    return sorted((one["kind"], Path(one["path"]).name) for one in facts)


def _whole(line: Line, books: list[str]) -> bool:
    """Whether each book came through once, with all of its files."""
    folders = [line.folder / "processing" / book / "slow" for book in books]
    pages = all(len(list(folder.glob("page*"))) == 5 for folder in folders)
    return pages and all(line.places(book) == ["01_b"] for book in books)


def test_clean_among_kills_loses_nothing(tmp_path: Path) -> None:
    """While workers are killed without warning, cleaning again and again disturbs no live attempt and loses no book."""
    line, books = Line(tmp_path, STAGES).stage("slow", "Slow", 0, workers=3), [f"B{n}" for n in range(40)]
    line.seed(books)
    running = line.up("--until-drained")
    try:
        for _ in range(8):
            time.sleep(0.3)
            for pid in line.workers()[:1]:
                os.kill(pid, signal.SIGKILL)
            assert line.ask("clean", "--yes").returncode == 0
        assert running.wait(60) == 0
    finally:
        running.kill()
    assert _whole(line, books)
    kinds = [kind for book in books for kind in line.kinds(book)]
    assert "returned" in kinds
    assert not [e for b in books for e in line.events(b) if e["event"] == "deferred"], "a live attempt was disturbed"


def test_clean_after_everything_was_killed(tmp_path: Path) -> None:
    """When all were killed, claims and their scratch stay until --claims gives them back; the next run is whole."""
    line, books = Line(tmp_path, STAGES.replace("0.04", "5")).stage("slow", "Slow", 0, workers=2), ["B1", "B2"]
    line.seed(books)
    running = line.up()
    scratch = line.folder / "processing"
    until(lambda: len(list(scratch.glob("*/.scratch/*/page0"))) == 2)
    for pid in [running.pid, *line.workers()]:
        os.kill(pid, signal.SIGKILL)
    running.wait()
    assert _found(line, "--yes") == []
    assert len(list((line.bucket(0) / "working").iterdir())) == 2
    removed = _found(line, "--claims", "--yes")
    assert [kind for kind, _ in removed if kind == "attempt"] == ["attempt"] * 2
    assert (line.places("B1"), list(scratch.glob("*/.scratch"))) == (["00_b"], [])
    until(lambda: len(_found(line, "--dry-run")) + len([k for k, _ in removed if k == "heartbeat"]) == 3)
    assert line.ask("clean").returncode == 2
    assert line.ask("clean", "--yes").returncode == 0
    assert "Nothing is left over." in line.ask("clean").stdout
    (line.folder / "their_module.py").write_text(STAGES)
    assert line.drain() == 0
    assert _whole(line, books)


def test_what_goes_and_what_stays(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """Each kind of leftover is listed, asked for and removed; what is in use, young, unknown or a book's stays."""
    root, processing = bench.root, bench.line.folder / "processing"
    bench.put("B1", "working")
    held, over = _scratch(processing / "B1", "w-1.1"), _scratch(processing / "B1", "w-0.1")
    bench.ledger.append("B1", "attempt", stage="one", claim="w-0.1")
    stays = [held, _scratch(processing / "B1", "other-board-9.1"), _scratch(processing / "B1", "by hand")]
    stays.append(_scratch(processing / "B1", "gone-0123456789ab"))
    stays.append(_scratch(processing / "B7", "w-0.7"))
    durable.make_dirs(bench.ledger.path("B7").parent)
    os.mkfifo(bench.ledger.path("B7"))
    bench.put("B2")
    assert bench.run("drop", "B2") == 0
    bench.files("B2")
    bench.put("B3", number=2)
    stays.append(bench.files("B3"))
    half = processing / ".gone-B4-0123456789ab"
    half.mkdir()
    dead, alive = (Heartbeat(root / "workers", name, pid=999_999_999, stage="one") for name in ("w-9", "w-8"))
    for beat in (dead, alive):
        beat.announce()
    os.utime(dead.path, _OLD)
    drafts = [root / "workers" / ".w-7.json.0123456789ab", root / "seeding" / "B9~s.9.json"]
    for path in drafts:
        path.write_text("{")
        os.utime(path, _OLD)
    young = root / "seeding" / "B8~s.8.json"
    young.write_text("{")
    goes = [over, processing / "B2", half, dead.path, *drafts]
    assert bench.run("clean", "--dry-run") == 0
    said = capsys.readouterr().out
    assert [str(path) for path in goes if str(path) not in said] == []
    assert [str(path) for path in stays if f"{path}:" in said] == []
    assert [path for path in goes if not path.exists()] == []
    assert bench.run("clean", "--yes") == 0
    assert [path for path in goes if path.exists()] == []
    assert [path for path in [*stays, young, alive.path] if not path.exists()] == []
    assert f"{len(goes)} removed, " in capsys.readouterr().out
    assert bench.audit()[-1]["command"] == "clean"
    assert bench.run("clean", "--yes") == 0
    assert "Nothing is left over." in capsys.readouterr().out


def _scratch(folder: Path, claim: str) -> Path:
    """A scratch folder with a file in it."""
    path = folder / ".scratch" / claim
    durable.make_dirs(path)
    (path / "page").write_text("text")
    return path


def test_books_of_an_uploader_go_once_they_are_in_the_store(tmp_path: Path) -> None:
    """Working files go once an uploader has proven the book; where no uploader ends the line they are the book."""
    line = Line(tmp_path, "").stage("up", "One", 0)
    line.seed(["B1"])
    (line.bucket(0) / "B1.json").rename(line.bucket(1) / "B1.json")
    folder = line.folder / "processing" / "B1"
    (folder / "up").mkdir(parents=True)
    (folder / "up" / "package").write_text("x" * 1000)
    assert _found(line, "--yes") == []
    line.filters[0]["class"] = "Uploader"
    line.stage("other", "Two", 5)
    (folder / "notes").mkdir()
    assert _found(line, "--yes") == []
    (folder / "notes").rmdir()
    assert _found(line, "--yes") == []
    Ledger(line.root / "ledger").append("B1", "done", stage="up")
    assert _found(line, "--yes") == [("book's files", "B1")]
    assert (folder.exists(), line.places("B1")) == (False, ["01_b"])


def test_homes_of_gpg_where_other_hosts_may_look(tmp_path: Path) -> None:
    """A home in temp_dir goes when its process is gone and it is a day old: younger ones may be another host's."""
    temporary = tmp_path / "tmp"
    line = Line(tmp_path, "", temp_dir=str(temporary)).stage("one", "One", 0)
    line.seed(["A1"])
    for name, age in (
        ("grin-gpg-999999999-old", 90_000),
        ("grin-gpg-999999999-new", 60),
        (f"grin-gpg-{os.getpid()}-x", 90_000),
    ):
        (temporary / name).mkdir(parents=True)
        os.utime(temporary / name, (time.time() - age,) * 2)
    assert _found(line, "--yes") == [("gpg's home", "grin-gpg-999999999-old")]
    assert sorted(path.name[-3:] for path in temporary.iterdir()) == sorted([f"grin-gpg-{os.getpid()}-x"[-3:], "new"])
