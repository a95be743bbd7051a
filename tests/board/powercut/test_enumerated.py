"""Every state in which a power cut may leave one book on its way through two stages, each recovered for real."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from unittest import mock

import pytest

from common import attempt, board, durable, ledger, workfiles
from tests.board import weak
from tests.board.powercut.disk import Disk, scan
from tests.board.powercut.recorder import Recorder
from tests.board.powercut.scenes import SCENES, Scene
from tests.board.powercut.states import cuts
from tests.board.powercut.survey import Survey, first_fault, record, survey


@pytest.fixture(scope="module")
def all_surveys() -> Iterator[list[Survey]]:
    """What was counted in all, told at the end."""
    found: list[Survey] = []
    yield found
    states, unsafe = sum(one.states for one in found), sum(len(one.faults) for one in found)
    print(f"\nIn all {states} states, {states - unsafe} safe, {unsafe} unsafe.")


@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_every_state_is_safe(scene: Scene, memory: Path, all_surveys: list[Survey]) -> None:
    """Whenever the power goes, the book is in one place, as far as was promised, and comes whole to its end."""
    result = survey(scene, memory / "board")
    all_surveys.append(result)
    print(f"\n{result}")
    assert result.faults[:3] == []
    assert result.states > 200


def test_without_fsync_it_fails(memory: Path) -> None:
    """With the fsync taken out, the same enumeration finds lost moves, torn tokens and results, and lost lines."""
    result = survey(SCENES[0], memory / "board", weak.no_fsync, apart=0)
    print(f"\nwithout fsync: {result}")
    assert len(result.faults) > result.states / 2
    for fault in ("the token is torn", "the token is nowhere, not", "a line of the ledger", "is not whole"):
        assert any(fault in one for one in result.faults), fault


def test_no_fsync_is_in_vain(memory: Path) -> None:
    """Each single fsync that is left out makes a state unsafe, but where a second one of the same step stands in."""
    steps, faults = list[str](), list[str]()
    for number in range(100):
        line, recorder = record(SCENES[0], memory / str(number), partial(_without, number, steps))
        if len(steps) == number:
            break
        faults.append(first_fault(SCENES[0], line, recorder))
    spare = [step for step, fault in zip(steps, faults, strict=True) if not fault]
    print(f"\n{len(steps)} fsyncs, each left out alone: {len(steps) - len(spare)} make a state unsafe; not: {spare}")
    assert len(steps) > 20
    # A rename is one transaction, which either folder's fsync pushes; the book's folder is new only once.
    assert set(spare) <= {"_move", "publish"}


@contextmanager
def _without(number: int, steps: list[str]) -> Iterator[None]:
    """The fsync of that number is left out, and the step is noted that it belongs to."""
    real, calls = os.fsync, count()
    files = [module.__file__ for module in (attempt, board, ledger, workfiles)]

    def fsync(fd: int) -> None:
        if next(calls) != number:
            return real(fd)
        frames = (frame.f_code for frame, _ in traceback.walk_stack(None))
        return steps.append(next(code.co_name for code in frames if code.co_filename in files))

    with mock.patch.object(os, "fsync", fsync):
        yield


def test_a_token_rewritten_in_place_fails(memory: Path) -> None:
    """A finish that writes the token anew may leave it torn."""
    result = survey(SCENES[0], memory / "board", _rewritten, apart=0)
    print(f"\na token rewritten in place: {result}")
    assert any("the token is torn" in fault for fault in result.faults)


def test_a_token_written_anew_and_unlinked_fails(memory: Path) -> None:
    """A finish that writes a new token in the next bucket, then unlinks the old one doubles the book, even synced."""
    result = survey(SCENES[0], memory / "board", _copied, apart=0)
    print(f"\na token copied and unlinked: {result}")
    assert any("the token is in 2 places" in fault for fault in result.faults)


@contextmanager
def _rewritten() -> Iterator[None]:
    """That weakness, with its bytes written by calls that the recorder sees."""

    def seen(path: Path, text: str) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(fd, text.encode())
        os.close(fd)

    with mock.patch.object(Path, "write_text", seen), weak.token_rewritten():
        yield


@contextmanager
def _copied() -> Iterator[None]:
    """Every move writes a new token, with all the syncing that there can be, and removes the old one."""

    def move(held: board.Claim, target: Path) -> None:
        durable.write_new(target, board.read(held))
        durable.fsync_dir(target.parent)
        held.path.unlink()
        durable.fsync_dir(held.path.parent)

    with mock.patch.object(board, "_move", move):
        yield


# --- the enumeration itself -----------------------------------------------------------------------------------------


def _left(folder: Path, recorder: Recorder) -> set[tuple[tuple[str, bytes], ...]]:
    """Every content that a cut at the end of a log may leave."""
    *_, last = cuts(recorder.base, recorder.log)
    disks = (disk for plan in last.plans(2) for disk in last.disks(plan))
    return {tuple(disk.files().items()) for disk in disks}


def test_what_is_not_synced_may_be_lost(tmp_path: Path) -> None:
    """A new file without any fsync may be missing, empty, torn, full of zeros, or there."""
    recorder = Recorder(tmp_path)
    with recorder.recording(), weak.no_fsync():
        durable.write_new(tmp_path / "a", b"1234")
    kinds = (b"", b"12", b"\0\0\0\0", b"1234")
    assert _left(tmp_path, recorder) == {(), *((("a", data),) for data in kinds)}


def test_what_is_synced_is_there(tmp_path: Path) -> None:
    """A file that was put in place durably has its old content until the rename and its new one afterwards."""
    (tmp_path / "a").write_bytes(b"old")
    recorder = Recorder(tmp_path)
    with recorder.recording():
        durable.write_file(tmp_path / "a", b"new")
    assert _left(tmp_path, recorder) == {(("a", b"new"),)}
    found = {data for cut in cuts(recorder.base, recorder.log) for p in cut.plans(2) for data in _of(cut.disks(p))}
    assert found == {b"old", b"new"}


def _of(disks: Iterator[Disk]) -> Iterator[bytes]:
    return (disk.files()["a"] for disk in disks)


def test_folders_overtake_each_other_and_a_rename_is_one(tmp_path: Path) -> None:
    """Of changes in two folders either may be lost alone; a file that is renamed between them is always in one."""
    for name in ("x", "y", "z"):
        (tmp_path / name).mkdir()
    (tmp_path / "x" / "a").write_bytes(b"a")
    recorder = Recorder(tmp_path)
    with recorder.recording():
        (tmp_path / "x" / "a").rename(tmp_path / "y" / "a")
        durable.write_new(tmp_path / "z" / "b", b"b")
    names = {tuple(name for name, _ in left) for left in _left(tmp_path, recorder)}
    assert names == {("x/a",), ("y/a",), ("x/a", "z/b"), ("y/a", "z/b")}


def test_a_disk_is_made_as_it_was(tmp_path: Path) -> None:
    """Folders, files and hard links of the model become real ones."""
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    (tmp_path / "from" / "folder").mkdir()
    (tmp_path / "from" / "folder" / "a").write_bytes(b"a")
    (tmp_path / "from" / "b").hardlink_to(tmp_path / "from" / "folder" / "a")
    scan(tmp_path / "from").materialise(tmp_path / "to")
    assert (tmp_path / "to" / "b").samefile(tmp_path / "to" / "folder" / "a")
    assert scan(tmp_path / "to").key() == scan(tmp_path / "from").key()
