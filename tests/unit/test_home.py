"""`up` when its board is moved away, or when the counting itself is at fault: nothing is lost by either."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common import board, listing
from services.orchestrator.home import Home
from services.orchestrator.keeper import Keeper
from services.orchestrator.standstill import Standstill, bare
from services.orchestrator.up import prepare
from tests.helpers import Line, stop, until
from tests.libraries import serving
from tests.unit.shown import Shown

HOP = """
from common.stage import Stage
class Hop(Stage):
    def process(self, book, work):
        pass
"""


def hopping(folder: Path) -> Line:
    """A line of one stage that lets everything through."""
    return Line(folder, HOP).stage("hop", "Hop", 0)


@contextmanager
def running(line: Line) -> Iterator[subprocess.Popen[str]]:
    """`up`, with one book that has passed; however the test ends, it is gone afterwards."""
    line.seed(["A1"])
    up = line.up()
    try:
        until(lambda: line.places("A1") == ["01_b"])
        yield up
    finally:
        up.kill()
        up.wait()


def stand_in(line: Line) -> Path:
    """The board is moved away, and an empty one is put in its place; where the board is now."""
    away = line.root.rename(line.folder / "away")
    board.prepare(line.root, [line.bucket(0), line.bucket(1)])
    return away


def files(folder: Path) -> list[Path]:
    """All that is no folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def test_an_empty_stand_in_is_no_board(tmp_path: Path) -> None:
    """Nothing is written in another folder at the board's place; with the board back in its place the run goes on."""
    line = hopping(tmp_path)
    with running(line) as up:
        away = stand_in(line)
        until(lambda: "is gone, or is another one than at the start" in line.log())
        # A worker finds the folders that it knows, and no token in them.
        until(lambda: files(line.root))
        time.sleep(1)
        assert {path.name.partition("-")[0] for path in files(line.root)} == {"hop"}
        line.root.rename(line.folder / "stand-in")
        away.rename(line.root)
        (own,) = (line.root / "workers").glob("orchestrator-*.json")
        beaten = own.stat().st_mtime
        until(lambda: own.stat().st_mtime > beaten)
        line.seed(["A2"])
        until(lambda: line.places("A2") == ["01_b"])
        assert stop(up) == 0


def test_a_run_whose_board_is_gone_can_be_stopped(tmp_path: Path) -> None:
    """Ctrl-C ends it as ever, without a traceback."""
    line = hopping(tmp_path)
    with running(line) as up:
        line.root.rename(line.folder / "away")
        until(lambda: "is gone" in line.log())
        up.send_signal(signal.SIGINT)
        assert up.wait(20) == 0
    assert "Traceback" not in line.log()
    assert not line.root.exists()


def test_the_same_folder_and_no_other(tmp_path: Path) -> None:
    """Before it is known nothing is required; gone and another one are told, and end when it is back."""
    home = Home(tmp_path / "board")
    home.require()
    home.root.mkdir()
    home.remember()
    away = home.root.rename(tmp_path / "away")
    with pytest.raises(OSError, match="is gone, or is another one"):
        home.require()
    home.root.mkdir()
    with pytest.raises(OSError, match="is gone, or is another one"):
        home.require()
    assert str(home.root) in home.lost
    home.root.rmdir()
    away.rename(home.root)
    home.require()
    assert home.lost == ""


def test_a_stand_in_is_not_filled(tmp_path: Path) -> None:
    """What GRIN has converted does not begin anew on an empty board that stands where the known one was."""
    with serving(tmp_path, 400) as site:
        settings = site.settings()
        prepare(settings)
        home = Home(settings.global_.pipeline_dir)
        home.remember()
        home.root.rename(tmp_path / "away")
        prepare(settings)
        keeper = Keeper(settings, fills=True, require=home.require)
        keeper.start()
        try:
            until(lambda: not keeper.says.empty())
        finally:
            keeper.stop()
        assert "is another one than at the start" in keeper.says.get()
        assert list(listing.barcodes(settings.bucket_paths()[0])) == []


# --- when the counting is at fault ---


@pytest.mark.parametrize("at_fault", ["view.View.status", "progress.Progress.show", "flow.FlowWatch.turn"])
def test_a_fault_of_the_counting_ends_no_run(tmp_path: Path, at_fault: str) -> None:
    """The books pass, the run ends when they have, and the fault is told once, with its place in the log."""
    line = hopping(tmp_path)
    module, name, method = at_fault.split(".")
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'up' in sys.orig_argv:\n"
        f"    from services.orchestrator import {module}\n"
        "    def broken(*_):\n"
        "        raise ZeroDivisionError('of all things')\n"
        f"    {module}.{name}.{method} = broken\n"
    )
    line.seed(["A1", "A2"])
    assert line.drain() == 0
    assert line.places("A1") == line.places("A2") == ["01_b"]
    assert line.log().count("The board cannot be counted: ZeroDivisionError: of all things. The work goes on.") == 1
    assert "in broken" in (line.root / "logs" / "orchestrator.jsonl").read_text()


def test_a_standstill_is_found_by_the_tokens_alone(tmp_path: Path) -> None:
    """A run until drained ends as well when nothing more is known than where the tokens are."""
    shown = Shown(tmp_path)
    shown.put("A1")
    shown.put("A2", board.FAILED)
    facts = bare(shown.view)
    assert (facts["left"], facts["failed"]) == (1, 1)
    (reason,) = Standstill(0).reasons(facts)
    assert reason.startswith("1 book in 00_b: one takes none of them")
    shown.put("A3", board.WORKING)
    assert len(Standstill(60).reasons(bare(shown.view))) == 0
