"""Storms of kills and pauses over real workers and reapers, in a size for every day; `make storm` has the full one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from common.config import Settings
from common.ledger import Ledger
from tests.board.storm import harness
from tests.board.storm.oracle import Story, judge

ROOT = Path(__file__).parents[2]


def storm(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run the command, from a process that has nothing else loaded."""
    command = [sys.executable, "-m", "tests.board.storm", "--folder", str(folder), *more]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)


@pytest.mark.slow
def test_a_storm(tmp_path: Path, figure: Callable[[str], None]) -> None:
    """600 books, 5 stages, 90 kills and 10 pauses, two dice: all arrive once, whole, in the same inode."""
    ended = storm(tmp_path, "--books", "300", "--kills", "45", "--pauses", "5", "--seeds", "2")
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    assert "600 books, 100 kills and pauses: lost 0, doubled 0, torn 0, inodes changed 0" in ended.stdout
    figure(ended.stdout.splitlines()[-1])
    assert "2 of 2 seeds good" in ended.stdout
    assert "claims taken from the paused 0" not in ended.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("without", "violation"),
    [("token_rewritten", "books are changed."), ("no_fence", "although nobody had died.")],
)
def test_a_storm_over_a_weaker_board(tmp_path: Path, without: str, violation: str) -> None:
    """Tokens that are rewritten lose their inodes, and claims that share a name let live work be done twice."""
    sizes = ("--books", "100", "--kills", "5", "--pauses", "4", "--seeds", "1", "--stages", "4")
    ended = storm(tmp_path, *sizes, "--without", without)
    assert ended.returncode == 1, ended.stdout + ended.stderr[-3000:]
    assert violation in ended.stdout


# --- the oracle sees what it is there for ---


@pytest.fixture
def arrived(tmp_path: Path) -> tuple[Settings, Story]:
    """A board on which ten books have gone through three stages."""
    settings = harness.make_board(tmp_path, harness.rows(["Writes", "Adds", "Ends"]))
    story = Story(harness.seed(settings, [f"B{number}" for number in range(10)]))
    assert [harness.work_here(settings, row.name) for row in settings.filters] == [10, 10, 10]
    return settings, story


def _token(settings: Settings, barcode: str = "B3") -> Path:
    return settings.bucket_paths()[-1] / f"{barcode}.json"


def _lose(settings: Settings) -> None:
    _token(settings).unlink()


def _fail(settings: Settings) -> None:
    _token(settings).rename(settings.bucket_paths()[1] / "failed" / "B3.json")


def _copy(settings: Settings) -> None:
    shutil.copy(_token(settings), settings.bucket_paths()[0] / "working" / "B3~w.1.json")


def _rewrite(settings: Settings) -> None:
    fresh = settings.global_.temp_dir / "fresh"
    fresh.write_bytes(_token(settings).read_bytes())
    fresh.replace(_token(settings))


def _tear(settings: Settings) -> None:
    _token(settings).write_text('{"barc')


def _tear_ledger(settings: Settings) -> None:
    _tell(settings, '{"event": "do')


def _repeat(settings: Settings) -> None:
    _tell(settings, '{"event": "attempt", "stage": "s1", "worker": "w"}\n')


def _tell(settings: Settings, line: str) -> None:
    with Ledger(settings.global_.pipeline_dir / "ledger").path("B3").open("a") as file:
        file.write(line)


def _leave_scratch(settings: Settings) -> None:
    (settings.global_.processing_bucket / "B3" / ".scratch" / "old").mkdir(parents=True)


def _leave_heartbeat(settings: Settings) -> None:
    (settings.global_.pipeline_dir / "workers" / ".w.json.abc").touch()


def _leave_claim(settings: Settings) -> None:
    (settings.bucket_paths()[1] / "working" / "B99~w.1.json").touch()


def test_the_oracle_is_content(arrived: tuple[Settings, Story]) -> None:
    """A board on which all went well has no violation."""
    assert judge(*arrived).wrong() == []


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_lose, "1 books are lost."),
        (_fail, "1 books are stuck."),
        (_copy, "1 books are doubled."),
        (_rewrite, "1 books are changed."),
        (_tear, "1 books are torn."),
        (_tear_ledger, "1 books are torn."),
        (_repeat, "Work was repeated 1 times, after 0 kills and pauses."),
        (_leave_scratch, "The files of 1 books that have arrived were still there."),
        (_leave_heartbeat, "Left over: "),
        (_leave_claim, "Left over: "),
    ],
)
def test_the_oracle_sees(arrived: tuple[Settings, Story], damage: Callable[[Settings], None], sentence: str) -> None:
    """Each kind of damage to one book gives its sentence."""
    damage(arrived[0])
    assert any(said.startswith(sentence) for said in judge(*arrived).wrong())
