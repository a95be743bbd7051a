"""Durable writes: whole or not at all, never a second fsync."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from common import durable
from tests.unit.recording import recorded, synced


@pytest.fixture
def _open_umask() -> Iterator[None]:
    """Files get the mode that is asked for, whatever the umask of who runs the tests."""
    before = os.umask(0)
    yield
    os.umask(before)


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """Whatever happens inside, no more files are open after it than before."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before


def test_write_file_replaces_whole(tmp_path: Path) -> None:
    """A file is the old one or the new one, and no temporary one is left."""
    durable.write_file(tmp_path / "a", b"old")
    durable.write_file(tmp_path / "a", b"new")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"new")]


def test_a_failed_fsync_is_final(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An fsync that fails is not repeated, the file does not appear, and the old one stays."""
    durable.write_file(tmp_path / "a", b"old")
    calls = []

    def failing(fd: int) -> None:
        calls.append(fd)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="Input/output error"):
        durable.write_file(tmp_path / "a", b"new")
    assert len(calls) == 1
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_write_new_never_overwrites(tmp_path: Path) -> None:
    """An exclusive write onto an existing name is refused."""
    durable.write_new(tmp_path / "a", b"1")
    with pytest.raises(FileExistsError):
        durable.write_new(tmp_path / "a", b"2")


def test_new_files_are_durable(tmp_path: Path, _open_umask: None) -> None:
    """A new file is synced once it is written whole, and everybody may read it."""
    with no_descriptor_left(), recorded("write", "fsync") as calls:
        durable.write_new(tmp_path / "a", b"1")
        durable.write_new(tmp_path / "b", b"1", mode=0o600)
    assert calls == [(call, str(tmp_path / name)) for name in "ab" for call in ("write", "fsync")]
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o644, 0o600]


def test_many_new_files_share_the_wait(tmp_path: Path, _open_umask: None) -> None:
    """A handful of new files are all written before the first is synced, and all are synced, each with its content."""
    files = {tmp_path / name: name.encode() for name in "abc"}
    with no_descriptor_left(), recorded("write", "fsync") as calls:
        durable.write_all_new(files)
    assert calls == [(call, str(path)) for call in ("write", "fsync") for path in files]
    assert {path: path.read_bytes() for path in files} == files
    assert {path.stat().st_mode & 0o777 for path in files} == {0o644}


def test_many_new_files_never_overwrite(tmp_path: Path) -> None:
    """Of a handful of new files none takes the place of an old one, and those that were opened are closed."""
    (tmp_path / "b").write_bytes(b"old")
    with no_descriptor_left(), pytest.raises(FileExistsError):
        durable.write_all_new({tmp_path / "a": b"new", tmp_path / "b": b"new"})
    assert (tmp_path / "b").read_bytes() == b"old"


def test_a_write_that_is_cut_short_is_a_full_disk() -> None:
    """When only a part of the data is taken, the disk is called full; when all is, it is not."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with closing(os.fdopen(reading, "rb", 0)), closing(os.fdopen(writing, "wb", 0)):
        durable.write_all(writing, b"all of it")
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as caught:
            durable.write_all(writing, bytes(1_000_000))
        assert caught.value.errno == errno.ENOSPC


def test_a_replaced_file_is_durable_under_its_name(tmp_path: Path, _open_umask: None) -> None:
    """The content is synced before the rename and the folder after it; the mode is the one asked for."""
    with no_descriptor_left(), recorded("fsync", "rename", "replace") as calls:
        durable.write_file(tmp_path / "a", b"new")
        durable.write_file(tmp_path / "b", b"new", mode=0o600)
    assert [name for name, *_ in calls] == ["fsync", "replace", "fsync"] * 2
    assert (calls[2][1], calls[5][1]) == (str(tmp_path), str(tmp_path))
    assert calls[1][2] == str(tmp_path / "a")
    assert Path(calls[1][1]).parent == tmp_path
    assert Path(calls[1][1]).name.startswith(".a.")
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "ab"] == [0o644, 0o600]


def test_a_file_that_cannot_be_replaced(tmp_path: Path) -> None:
    """A folder in a file's place is an error, and the temporary file goes."""
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError):
        durable.write_file(tmp_path / "a", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_that_cannot_even_be_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the temporary file cannot be made, that is the error that is told."""
    monkeypatch.setattr(os, "open", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        durable.write_file(tmp_path / "a", b"new")


def test_a_rename_that_reports_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rename that happened although it reports failure counts as done; one that did not happen is an error."""
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    real = os.replace

    def lying(source: Path, target: Path) -> None:
        real(source, target)
        raise OSError(errno.EIO, "lost answer")

    monkeypatch.setattr(os, "replace", lying)
    durable.replace(tmp_path / "a", tmp_path / "c")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "refused")))
    with pytest.raises(OSError, match="refused"):
        durable.replace(tmp_path / "b", tmp_path / "c")


def test_where_an_inode_is(tmp_path: Path) -> None:
    """A name leads to its own inode only, to none when it is not there; its folder is listed before it is asked."""
    (tmp_path / "a").touch()
    (tmp_path / "b").touch()
    inode = (tmp_path / "a").stat().st_ino
    with recorded("scandir") as calls:
        assert durable.is_now_at(tmp_path / "a", inode)
        assert not durable.is_now_at(tmp_path / "b", inode)
        assert not durable.is_now_at(tmp_path / "c", inode)
    assert calls == [("scandir", str(tmp_path))] * 3


def test_asking_anew_never_fails(tmp_path: Path) -> None:
    """An empty folder, or one that is not there, can be asked as well."""
    with no_descriptor_left():
        durable.ask_anew(tmp_path)
        durable.ask_anew(tmp_path / "nowhere")


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_only_files_and_folders_are_synced(tmp_path: Path, kind: str) -> None:
    """A link is not followed and a FIFO not waited for: both are errors at once."""
    path = tmp_path / "strange"
    (tmp_path / "real").touch()
    if kind == "link":
        path.symlink_to("real")
    else:
        os.mkfifo(path)
    with no_descriptor_left(), pytest.raises(OSError, match="symbolic links" if kind == "link" else "Invalid argument"):
        durable.fsync_path(path)


def test_a_tree_is_synced_from_its_leaves(tmp_path: Path) -> None:
    """Every folder of a tree is synced after those in it, so that no name is durable before what it names."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").touch()
    with no_descriptor_left(), recorded("fsync") as calls:
        durable.fsync_tree(tmp_path)
    assert synced(calls) == [tmp_path / "a" / "b", tmp_path / "a", tmp_path]


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    """A walk through a folder that is not there is no walk through an empty one, and goes from the top down."""
    with pytest.raises(FileNotFoundError):
        list(durable.walk(tmp_path / "nowhere"))
    (tmp_path / "a").mkdir()
    assert [root for root, _, _ in durable.walk(tmp_path)] == [str(tmp_path), str(tmp_path / "a")]


def test_folders_are_made_durable(tmp_path: Path) -> None:
    """Each folder that is made is synced into its parent, the upper ones first; one that is there costs nothing."""
    with recorded("mkdir", "fsync") as calls:
        durable.make_dirs(tmp_path / "a" / "b")
        durable.make_dirs(tmp_path / "a" / "b")
    a, b = str(tmp_path / "a"), str(tmp_path / "a" / "b")
    assert calls == [("mkdir", a), ("fsync", str(tmp_path)), ("mkdir", b), ("fsync", a)]


def test_a_folder_that_somebody_else_made(tmp_path: Path) -> None:
    """Making a folder that is there already is no error."""
    durable.make_dir(tmp_path / "a")
    durable.make_dir(tmp_path / "a")
    assert (tmp_path / "a").is_dir()


def test_the_servers_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is that of the file system asked, not this process's idea of it; nothing stays behind."""
    began = time.time()
    with recorded("open") as calls:
        now = durable.server_time(tmp_path)
    assert began - 1 <= now <= time.time() + 1
    assert calls[0][1].startswith(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_only_very_old_leftovers_are_removed(tmp_path: Path) -> None:
    """A leftover is removed once it is older than anybody's use of it; a missing one or a folder is no trouble."""
    for name, age in (("young", durable.LEFTOVER_AGE), ("old", durable.LEFTOVER_AGE + 1)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
        durable.remove_if_old(tmp_path / name, 1e9)
    durable.remove_if_old(tmp_path / "nowhere", 1e9)
    assert [path.name for path in tmp_path.iterdir()] == ["young"]
    durable.remove_if_old(tmp_path, time.time() + 1e6)
    assert tmp_path.is_dir()


def test_free_space_is_that_of_the_nearest_folder(tmp_path: Path) -> None:
    """Space is asked of the nearest folder that exists, and is what an ordinary user may still write, in bytes."""
    assert durable.existing_ancestor(tmp_path / "x" / "y") == tmp_path
    figures = os.statvfs(tmp_path)
    wanted = figures.f_bavail * figures.f_frsize
    assert durable.free_bytes(tmp_path / "x" / "y") == pytest.approx(wanted, rel=0.1)
