"""A full disk, and one without inodes: the stage says so, waits, and goes on by itself; no attempt is burnt.

The board and the books' files lie on a small tmpfs in a mount namespace of its own; what happens there is played by
`tests.board.fixtures.small_disk` in that namespace, which writes down what it saw. The tests judge it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MOMENTS = ("own", "attempt", "done", "carry", "verdict", "inodes")
Seen = dict[str, Any]


def play(folder: Path, scene: str, options: str) -> Seen:
    """Play a scene on a tmpfs with these mount options; what was seen."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        reason = "NO MOUNT NAMESPACE CAN BE MADE: nothing ran on a full disk."
        (pytest.fail if os.environ.get("REQUIRE_ENGINE") else pytest.skip)(reason)
    (folder / "pipeline").mkdir(parents=True)
    inner = f'mount -t tmpfs -o {options} none "$1/pipeline" && exec "$0" -m tests.board.fixtures.small_disk "$1" "$2"'
    command = ["unshare", "-m", "sh", "-c", inner, sys.executable, str(folder), scene]
    played = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert played.returncode == 0, played.stdout + played.stderr
    return dict(json.loads((folder / "seen.json").read_text()))


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """One run of `up` in which the disk fills up at each kind of moment, one after the other."""
    return play(tmp_path_factory.mktemp("full") / "disk", "moments", "size=1m,nr_inodes=300")


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_stage_waits_and_goes_on_by_itself(moments: Seen, moment: str) -> None:
    """A disk that is full at this moment halts the stage, which says so, publishes nothing and goes on with space."""
    seen = moments[moment]
    assert seen["while_full"]["halted"], seen
    assert seen["while_full"]["metric"] == 1.0
    assert seen["while_full"]["log"] is True
    assert seen["while_full"]["places"] in (["00_b"], ["00_b/working"])
    assert seen["while_full"]["published"] == []
    assert seen["after"]["places"] == ["02_b"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_no_attempt_is_burnt(moments: Seen, moment: str) -> None:
    """After the disk was full the book's one attempt still counts as the first, and it is whole and the same inode."""
    after = moments[moment]["after"]
    assert after["attempts"] == [1, 1], moments[moment]
    assert after["failed"] == 0
    assert after["token_whole"] is True
    assert after["same_inode"] is True
    assert after["files"] == {"page.txt": 65536, "note.txt": 5}


def test_nobody_died_of_it(moments: Seen) -> None:
    """The workers are the same processes at the end, nothing is left in scratch folders, and the run ends well."""
    assert moments["pids_before"] == moments["pids_after"]
    assert moments["scratch"] == []
    assert moments["halted_at_the_end"] == [None, None]


def test_a_stage_that_fills_the_disk(tmp_path: Path) -> None:
    """Books too many for the disk: some arrive, the stage halts until a file is removed, then all arrive, once."""
    seen = play(tmp_path / "disk", "fills", "size=1m")
    assert seen["halted"]
    assert seen["arrived_while_full"] < 10
    assert seen["arrived"] == 10
    assert seen["attempts"] == [1] * 10
    assert seen["partial"] == []


def test_no_inodes_are_left(tmp_path: Path) -> None:
    """With 120 inodes the same: the stage halts, goes on when files are removed, and loses and burns nothing."""
    seen = play(tmp_path / "disk", "fills", "size=8m,nr_inodes=120")
    assert seen["halted"]
    assert seen["arrived"] == 10
    assert seen["attempts"] == [1] * 10
    assert seen["partial"] == []


@pytest.mark.parametrize("what", ["space", "inodes"])
def test_seeding_onto_a_full_disk(tmp_path: Path, what: str) -> None:
    """Seeding says that the disk is full; what it began is no token; seeding again completes it, each book once."""
    seen = play(tmp_path / "disk", f"seeding {what}", "size=1m,nr_inodes=400")
    assert seen["code"] != 0
    assert "Traceback" not in seen["said"]
    assert "No space left" in seen["said"]
    assert seen["torn"] == []
    assert seen["again"] == 0
    assert (seen["tokens"], seen["twice"]) == (20, [])
    assert seen["left_in_seeding"] == []


def test_starting_on_a_full_disk(tmp_path: Path) -> None:
    """`up` on a disk that takes nothing at all says so in a sentence and ends; started again with room it works."""
    seen = play(tmp_path / "disk", "starting", "size=1m,nr_inodes=200")
    assert seen["code"] not in (0, 1)
    assert "Traceback" not in seen["said"]
    assert "No space left" in seen["said"]
    assert (seen["again"], seen["arrived"]) == (0, 5)


@pytest.fixture(scope="module")
def dying(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """A run of `up` whose worker is killed while nothing at all can be written."""
    return play(tmp_path_factory.mktemp("dying") / "disk", "dying", "size=1m,nr_inodes=200")


def test_a_worker_that_dies_on_a_full_disk(dying: Seen) -> None:
    """`up` outlives a worker's death on a disk that takes nothing at all, and replaces it once there is room."""
    assert dying["up_alive_while_full"] is True, dying["said"]
    assert dying["arrived"] == 5


def test_a_log_that_cannot_be_written_is_no_traceback(dying: Seen) -> None:
    """A line that the log file does not take is not worth a traceback on the terminal."""
    assert "Traceback" not in dying["said"]


def test_the_extractor_on_a_full_disk(tmp_path: Path) -> None:
    """The real extractor with more in its archive than the disk takes halts, and extracts it when it can."""
    seen = play(tmp_path / "disk", "extractor", "size=4m")
    assert seen["halted"]
    assert seen["while_full"] == ["01_b"]
    assert seen["attempts"] == [1, 1, 1]
    assert seen["files"] == 21


def test_a_full_disk_as_the_books_fault_is_noticed(tmp_path: Path) -> None:
    """Twin: a stage that makes a Retry of the full disk burns the book's attempts."""
    seen = play(tmp_path / "disk", "burns", "size=1m")
    assert seen["places"] == ["00_b/failed"]
    assert seen["kinds"].count("attempt") == 2
