"""Every move of a token in detail: what is synced when, and what a lying file server or a stranger may do."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from common import board
from common.errors import Lost
from tests.unit.recording import recorded
from tests.unit.test_board import put, state, taken

Move = Callable[[board.Claim], object]
OLD = 1e9


def out(held: board.Claim) -> Path:
    """The bucket behind the one that a claim is in."""
    return held.bucket.parent / "02_out"


def claimed_long_ago(root: Path) -> board.Claim:
    """A claim on a token that has waited for years."""
    put(root / "01_in", "A1")
    os.utime(root / "01_in" / "A1.json", (OLD, OLD))
    held = board.claim(root / "01_in", "A1", "w-1", 1)
    assert held is not None
    return held


def finish(held: board.Claim) -> None:
    """A finish."""
    board.finish(held, out(held))


def defer(held: board.Claim) -> None:
    """A deferral to a time long ago."""
    board.defer(held, OLD + 5)


MOVES: dict[str, tuple[Move, str]] = {
    "finish": (finish, "02_out/A1.json"),
    "give back": (board.give_back, "01_in/A1.json"),
    "defer": (defer, "01_in/deferred/A1.json"),
    "fail": (board.fail, "01_in/failed/A1.json"),
    "take back": (board.take_back, "01_in/A1.json"),
    "put back": (board.put_back, "01_in/A1.json"),
}
STAMPED = ("finish", "give back", "fail", "take back")


@pytest.mark.parametrize("name", MOVES)
def test_a_move_is_stamped_renamed_and_synced(root: Path, name: str) -> None:
    """Each move sets the time first, then renames once, then syncs the folder arrived in and the one left."""
    (move, target), held = MOVES[name], taken(root)
    with recorded("utime", "rename", "fsync") as calls:
        move(held)
    stamp = [] if name == "put back" else [("utime", str(held.path))]
    new, old = root / target, held.path
    folders = [("fsync", str(new.parent)), ("fsync", str(old.parent))]
    assert calls == [*stamp, ("rename", str(old), str(new)), *folders]


@pytest.mark.parametrize("name", MOVES)
def test_since_when_a_token_is_where_it_is(root: Path, name: str) -> None:
    """A token's mtime is the time of its arrival; the time when it is due, if deferred; the old one, if put back."""
    (move, target), held = MOVES[name], claimed_long_ago(root)
    assert held.since == OLD
    began = time.time()
    move(held)
    mtime = (root / target).stat().st_mtime
    if name in STAMPED:
        assert mtime >= began - 1
    else:
        assert mtime == (OLD + 5 if name == "defer" else OLD)


@pytest.mark.parametrize("name", MOVES)
def test_a_move_that_fails_is_an_error(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the rename fails and the claim is still there, the error is told as it is and the token stays."""
    (move, _), held = MOVES[name], taken(root)
    monkeypatch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
    with pytest.raises(OSError, match="broken"):
        move(held)
    assert held.path.exists()


def rename_that(after: Callable[[], object], error: OSError) -> Callable[..., None]:
    """A rename that happens, after which something else happens, and that reports failure."""
    real = os.rename

    def lying(source: Path, target: Path) -> None:
        real(source, target)
        after()
        raise error

    return lying


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("name", [name for name in MOVES if name != "take back"])
def test_a_move_that_only_reports_failure(root: Path, name: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename that happened counts as done, whatever error it reports, and is synced."""
    (move, target), held = MOVES[name], taken(root)
    monkeypatch.setattr(os, "rename", rename_that(lambda: None, OSError(number, "lie")))
    with recorded("fsync") as calls:
        move(held)
    assert (root / target).exists()
    assert [path for _, path in calls] == [str((root / target).parent), str(held.path.parent)]


def test_a_reaper_believes_no_failure(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another reaper renames from the same name: that the token has arrived does not make it this one's doing."""
    held = taken(root)
    monkeypatch.setattr(os, "rename", rename_that(lambda: None, OSError(errno.ENOENT, "gone")))
    assert not board.take_back(held)
    assert state(root, "A1") == [("01_in", "waiting")]


def test_taken_back_once(root: Path) -> None:
    """A dead claim is taken back once; a second time, or onto a waiting twin, it is not."""
    held = taken(root)
    assert board.take_back(held)
    assert not board.take_back(held)
    held = board.claim(root / "01_in", "A1", "w-1", 2)
    assert held is not None
    put(root / "01_in", "A1")
    assert not board.take_back(held)
    assert held.path.exists()


def test_a_twin_of_another_token_proves_nothing(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed rename a file in the target's place that is another one does not count as this token."""
    held = taken(root)

    def stolen(source: Path, target: Path) -> None:
        source.replace(root / "elsewhere")
        target.write_text("{}")
        raise OSError(errno.EIO, "lie")

    monkeypatch.setattr(os, "rename", stolen)
    with pytest.raises(Lost, match="The claim on A1 was taken back"):
        board.finish(held, root / "02_out")


def test_a_claim_that_is_lost_is_said_so(root: Path) -> None:
    """Moves of a claim that was taken back say which book is lost."""
    held = taken(root)
    held.path.unlink()
    assert not board.holds(held)
    for move in (finish, board.give_back, board.put_back, defer, board.fail):
        with pytest.raises(Lost, match="The claim on A1 was taken back"):
            move(held)


def test_somebody_elses_file_moves_all_the_same(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token whose time may not be set is moved without it; another error of setting it is told."""
    monkeypatch.setattr(os, "utime", lambda *_, **__: (_ for _ in ()).throw(PermissionError()))
    board.finish(taken(root), root / "02_out")
    assert state(root, "A1") == [("02_out", "waiting")]
    monkeypatch.setattr(os, "utime", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
    with pytest.raises(OSError, match="broken"):
        board.finish(taken(root, "A2"), root / "02_out")


def test_a_link_is_moved_and_never_followed(root: Path, tmp_path: Path) -> None:
    """A link under a token's name is put aside; neither the time nor the content of what it leads to changes."""
    (tmp_path / "theirs").write_text("theirs")
    os.utime(tmp_path / "theirs", (OLD, OLD))
    (root / "01_in" / "A1.json").symlink_to(tmp_path / "theirs")
    held = board.claim(root / "01_in", "A1", "w-1", 1)
    assert held is not None
    board.fail(held)
    assert (root / "01_in" / "failed" / "A1.json").is_symlink()
    assert (tmp_path / "theirs").stat().st_mtime == OLD


def test_missing_folders_are_made(root: Path) -> None:
    """A board restored without its empty folders works: they are made when they are needed."""
    for folder in ("working", "failed"):
        (root / "01_in" / folder).rmdir()
    put(root / "01_in", "A1")
    assert board.claim(root / "01_in", "A1", "w-1", 1) is None
    held = board.claim(root / "01_in", "A1", "w-1", 2)
    assert held is not None
    board.fail(held)
    assert state(root, "A1") == [("01_in", "failed")]


# --- second names ---------------------------------------------------------------------------------------------------


def test_a_second_name_of_the_same_token(root: Path) -> None:
    """Where somebody has linked this very token already, it arrives, and its old name goes."""
    held = taken(root)
    (root / "02_out" / "A1.json").hardlink_to(held.path)
    board.finish(held, root / "02_out")
    assert state(root, "A1") == [("02_out", "waiting")]
    assert (root / "02_out" / "A1.json").stat().st_nlink == 1


def test_the_last_name_of_a_token_is_never_removed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the second name goes while the token is moved, the claim's own name stays."""
    held, real, target = taken(root), os.rename, root / "02_out" / "A1.json"
    target.hardlink_to(held.path)

    def exchanging(source: Path, to: Path) -> None:
        real(source, to)
        target.unlink()

    monkeypatch.setattr(os, "rename", exchanging)
    board.finish(held, root / "02_out")
    assert held.path.exists()


def test_an_old_name_that_goes_by_itself(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not matter who removes the old name of a token that has arrived."""
    held, real = taken(root), os.fstat
    (root / "02_out" / "A1.json").hardlink_to(held.path)

    def removing(fd: int) -> os.stat_result:
        figures = real(fd)
        held.path.unlink(missing_ok=True)
        return figures

    monkeypatch.setattr(os, "fstat", removing)
    board.finish(held, root / "02_out")
    assert state(root, "A1") == [("02_out", "waiting")]


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_a_stranger_with_two_names(root: Path, kind: str) -> None:
    """A link or a FIFO that was given a second name ends with one, where it should be; no descriptor stays open."""
    path = root / "01_in" / "A1.json"
    os.mkfifo(path) if kind == "fifo" else path.symlink_to("nowhere")
    held = board.claim(root / "01_in", "A1", "w-1", 1)
    assert held is not None
    os.link(held.path, root / "01_in" / "failed" / "A1.json", follow_symlinks=False)
    before = len(os.listdir("/proc/self/fd"))
    board.fail(held)
    assert (root / "01_in" / "failed" / "A1.json").lstat().st_nlink == 1
    assert not os.path.lexists(held.path)
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_claim_without_an_inode_fits_no_file(root: Path) -> None:
    """A claim of which no inode is known is nobody's twin."""
    held = board.Claim(root / "01_in", "A1", "w-1", 1)
    put(root / "01_in", "A1")
    held.path.write_text("{}")
    with pytest.raises(board.OccupiedError):
        board.give_back(held)
