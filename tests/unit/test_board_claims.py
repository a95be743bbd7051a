"""Claims, reading a token, and a person's moves: what is told when the file server lies or somebody is faster."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest

from common import board
from common.errors import Lost
from common.token import MAX_BYTES, TokenError
from tests.unit.recording import recorded
from tests.unit.test_board import put, state, taken
from tests.unit.test_board_moves import OLD, rename_that

# --- claims ---------------------------------------------------------------------------------------------------------


def test_what_a_claim_knows(root: Path) -> None:
    """A claim has a name of its own, the token's inode and the time since when it has waited."""
    inode = put(root / "01_in", "A1")
    os.utime(root / "01_in" / "A1.json", (5.0, 7.0))
    held = board.claim(root / "01_in", "A1", "w-1", 3)
    assert held == board.Claim(root / "01_in", "A1", "w-1", 3, inode)
    assert (held.since, held.id, held.path) == (7.0, "w-1.3", root / "01_in" / "working" / "A1~w-1.3.json")
    assert board.Claim(root / "01_in", "A1", "w-1", 3).since == 0.0


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EIO])
def test_a_claim_that_only_reports_failure(root: Path, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that happened is one, whatever error its rename reports."""
    inode = put(root / "01_in", "A1")
    monkeypatch.setattr(os, "rename", rename_that(lambda: None, OSError(number, "lie")))
    held = board.claim(root / "01_in", "A1", "w-1", 1)
    assert held is not None
    assert held.inode == inode


def test_a_claim_that_fails_is_an_error(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim whose rename did not happen is told as the error that it was, and the token waits."""
    put(root / "01_in", "A1")
    monkeypatch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
    with pytest.raises(OSError, match="broken"):
        board.claim(root / "01_in", "A1", "w-1", 1)
    assert state(root, "A1") == [("01_in", "waiting")]


def test_a_claim_that_is_taken_back_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that is gone before it could be looked at is none."""
    put(root / "01_in", "A1")
    real = os.rename

    def reaped(source: Path, target: Path) -> None:
        real(source, target)
        real(target, source)

    monkeypatch.setattr(os, "rename", reaped)
    assert board.claim(root / "01_in", "A1", "w-1", 1) is None


def test_a_claim_is_asked_for_anew_before_it_is_called_gone(root: Path) -> None:
    """Whether a claim holds is asked of the server, by a listing, before the answer is no."""
    held = taken(root)
    with recorded("scandir") as calls:
        assert board.holds(held)
        assert calls == []
        held.path.unlink()
        assert not board.holds(held)
    assert calls == [("scandir", str(held.path.parent))]


# --- reading --------------------------------------------------------------------------------------------------------


def test_read_whole_and_no_further_than_needed(root: Path) -> None:
    """A token's bytes are read; of a file that is too large only so many that it is seen to be."""
    held = taken(root)
    assert board.read(held) == b'{"barcode": "A1"}'
    held.path.write_bytes(bytes(MAX_BYTES + 100))
    before = len(os.listdir("/proc/self/fd"))
    assert len(board.read(held)) == MAX_BYTES + 1
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_what_is_exchanged_while_it_is_read(root: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that becomes a link or a FIFO after it was looked at is neither followed nor waited for."""
    held, real = taken(root), os.lstat

    def exchanging(path: Path, **more: Any) -> os.stat_result:
        found = real(path, **more)
        held.path.unlink(missing_ok=True)
        os.mkfifo(path) if kind == "fifo" else path.symlink_to("/etc/hostname")
        return found

    monkeypatch.setattr(os, "lstat", exchanging)
    if kind == "fifo":
        assert board.read(held) == b""
    else:
        with pytest.raises(OSError, match="symbolic links"):
            board.read(held)


def test_a_token_that_may_not_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that this worker may not read is refused with a reason."""
    held = taken(root)
    monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(PermissionError()))
    with pytest.raises(TokenError, match=r"A1\.json may not be read"):
        board.read(held)


# --- a person's moves -----------------------------------------------------------------------------------------------


def held_aside(root: Path) -> tuple[Path, Path]:
    """The places of a waiting token and of the same when it is held."""
    put(root / "01_in", "A1")
    os.utime(root / "01_in" / "A1.json", (OLD, OLD))
    return root / "01_in" / "A1.json", root / "01_in" / "held" / "A1.json"


def test_a_person_moves_a_token(root: Path) -> None:
    """A person's move is one rename, into a folder that is made if need be, and stamped after it."""
    source, target = held_aside(root)
    target.parent.rmdir()
    began = time.time()
    with recorded("rename", "utime") as calls:
        board.relocate("A1", source, source.stat().st_ino, target)
    assert calls == [("rename", str(source), str(target)), ("utime", str(target))]
    assert target.stat().st_mtime >= began - 1


def test_a_person_overwrites_nothing(root: Path) -> None:
    """A person's move onto another token is refused."""
    source, target = held_aside(root)
    target.write_text("{}")
    with pytest.raises(board.OccupiedError, match="Another token of A1"):
        board.relocate("A1", source, source.stat().st_ino, target)
    assert source.exists()


def test_a_persons_move_that_fails(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person's rename that did not happen is an error; one that happened is done; a token that has gone is lost."""
    source, target = held_aside(root)
    inode = source.stat().st_ino
    monkeypatch.setattr(os, "rename", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
    with pytest.raises(OSError, match="broken"):
        board.relocate("A1", source, inode, target)
    monkeypatch.undo()
    monkeypatch.setattr(os, "rename", rename_that(lambda: None, OSError(errno.EIO, "lie")))
    board.relocate("A1", source, inode, target)
    monkeypatch.undo()
    with pytest.raises(Lost, match="The token of A1 has moved on"):
        board.relocate("A1", source, inode, root / "01_in" / "failed" / "A1.json")


@pytest.mark.parametrize("error", [FileNotFoundError, PermissionError])
def test_a_persons_move_needs_no_stamp(root: Path, error: type[OSError], monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that moves on at once, or is somebody else's, has been moved all the same."""
    source, target = held_aside(root)
    monkeypatch.setattr(os, "utime", lambda *_, **__: (_ for _ in ()).throw(error()))
    board.relocate("A1", source, source.stat().st_ino, target)
    assert target.exists()


def test_a_person_moves_a_link(root: Path, tmp_path: Path) -> None:
    """A person's move of a link leaves what it leads to as it was."""
    (tmp_path / "theirs").touch()
    os.utime(tmp_path / "theirs", (OLD, OLD))
    (root / "01_in" / "A1.json").symlink_to(tmp_path / "theirs")
    source, target = root / "01_in" / "A1.json", root / "01_in" / "held" / "A1.json"
    board.relocate("A1", source, source.lstat().st_ino, target)
    assert target.is_symlink()
    assert (tmp_path / "theirs").stat().st_mtime == OLD
