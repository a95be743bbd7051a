"""The lying file system tells each of its lies, and nothing but these."""

# ruff: noqa: PTH102, PTH104, PTH106, PTH108, PTH115
from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.board.lying.mount import Mount
from tests.helpers import until

Two = tuple[Mount, Mount]


def test_without_lies_it_passes_everything_through(mount: Mount) -> None:
    """Bytes, names, inode numbers, times, links and listings are those of the folder below."""
    file, below = mount.point / "folder" / "file", mount.below / "folder" / "file"
    file.parent.mkdir()
    with file.open("ab") as out:
        out.write(b"one")
        os.fsync(out)
    file.open("ab").close()
    os.utime(file, (5, 7))
    file.rename(file.with_name("other"))
    os.link(file.with_name("other"), file)
    (file.parent / "link").symlink_to("file")
    assert file.read_bytes() == below.read_bytes() == b"one"
    assert os.lstat(file).st_ino == os.lstat(below).st_ino
    assert (os.lstat(file).st_mtime, os.lstat(file).st_nlink) == (7, 2)
    assert sorted(os.listdir(file.parent)) == ["file", "link", "other"]
    assert os.readlink(file.parent / "link") == "file"
    with pytest.raises(FileExistsError):
        os.open(file, os.O_CREAT | os.O_EXCL)
    file.unlink()
    assert os.lstat(below.with_name("other")).st_nlink == 1
    assert mount.told() == []


def test_a_rename_that_happened_reports_an_error(mount: Mount) -> None:
    """The new name is there, the old one is gone, and the call says ENOENT or EIO."""
    seen = set()
    for number in range(20):
        (mount.point / "old").touch()
        mount.tell(rate=1.0)
        with pytest.raises(OSError, match=r"No such file|Input/output") as error:
            os.rename(mount.point / "old", mount.point / f"new{number}")
        mount.tell(rate=0.0)
        seen.add(error.value.errno)
        assert (mount.point / f"new{number}").exists()
        assert not (mount.point / "old").exists()
    assert len(seen) == 2
    assert len(mount.told("rename")) == 20


def test_replayed_calls_say_that_it_is_done_already(mount: Mount) -> None:
    """A link and a folder made now are answered EEXIST, a removal that happened now ENOENT."""
    (mount.point / "file").touch()
    mount.tell(rate=1.0)
    with pytest.raises(FileExistsError):
        os.link(mount.point / "file", mount.point / "link")
    with pytest.raises(FileExistsError):
        os.mkdir(mount.point / "folder")
    with pytest.raises(FileNotFoundError):
        os.unlink(mount.point / "file")
    with pytest.raises(FileNotFoundError):
        os.rmdir(mount.point / "folder")
    assert os.listdir(mount.below) == ["link"]


def test_the_share_of_lies_is_the_one_asked_for(mount: Mount) -> None:
    """With a rate of 5 % some tens of a thousand renames lie."""
    mount.tell(rate=0.05)
    (mount.below / "0").touch()
    for number in range(1000):
        try:
            os.rename(mount.point / f"{number}", mount.point / f"{number + 1}")
        except OSError:
            assert (mount.below / f"{number + 1}").exists()
    assert 20 <= len(mount.told("rename")) <= 100


def test_a_listing_may_be_old(two: Two) -> None:
    """What another client did is not listed here until the listing has aged; a name not listed can be used."""
    a, b = two
    a.tell(listing_age=3600.0)
    assert os.listdir(a.point) == []
    (b.point / "new").touch()
    assert os.listdir(b.point) == ["new"]
    assert os.listdir(a.point) == []
    assert (a.point / "new").exists()
    a.tell(listing_age=0.0)
    assert os.listdir(a.point) == ["new"]


def test_a_name_is_missing_until_its_folder_is_listed(two: Two) -> None:
    """What was looked for in vain stays missing after another client made it, until this one lists the folder."""
    a, b = two
    a.tell(negative_age=3600.0)
    assert not (a.point / "new").exists()
    (b.point / "new").touch()
    assert not (a.point / "new").exists()
    with pytest.raises(FileNotFoundError):
        os.open(a.point / "new", os.O_RDONLY)
    assert os.listdir(a.point) == ["new"]
    assert (a.point / "new").exists()


def test_a_missing_name_comes_back_in_time(two: Two) -> None:
    """Without a listing, a name that another client made is found when the memory has aged."""
    a, b = two
    a.tell(negative_age=0.2)
    assert not (a.point / "new").exists()
    (b.point / "new").touch()
    until((a.point / "new").exists)


def test_old_attributes_are_believed(two: Two) -> None:
    """A file that another client has moved away is still seen, with the time it had."""
    a, b = two
    (a.point / "file").touch()
    a.tell(attribute_age=3600.0)
    before = os.lstat(a.point / "file")
    os.utime(b.point / "file", (1, 1))
    (b.point / "file").rename(b.point / "away")
    assert os.lstat(a.point / "file").st_mtime == before.st_mtime
    a.tell(attribute_age=0.0, negative_age=0.0)
    assert not (a.point / "file").exists()


def test_silly_names(mount: Mount) -> None:
    """A removed file that is open keeps a .nfs name while it is, and others appear for a second."""
    (mount.point / "open").write_text("text")
    with (mount.point / "open").open() as file:
        (mount.point / "open").unlink()
        assert [name[:4] for name in os.listdir(mount.point)] == [".nfs"]
        assert file.read() == "text"
    until(lambda: os.listdir(mount.point) == [])
    (mount.point / "other").touch()
    mount.tell(silly=1.0)
    (mount.point / "other").unlink()
    mount.tell(silly=0.0)
    assert [name[:4] for name in os.listdir(mount.point)] == [".nfs"]
    until(lambda: os.listdir(mount.point) == [])


def test_a_rename_by_copying(mount: Mount) -> None:
    """A mounted object store renames by copy and delete: another inode, and both names for a moment."""
    (mount.point / "old").touch()
    before = os.lstat(mount.point / "old").st_ino
    mount.tell(copies=True)
    (mount.point / "old").rename(mount.point / "new")
    assert os.lstat(mount.point / "new").st_ino != before
    mount.tell(late=3600.0)
    (mount.point / "new").rename(mount.point / "newer")
    assert sorted(os.listdir(mount.point)) == ["new", "newer"]


def test_the_server_has_a_clock_of_its_own(mount: Mount) -> None:
    """New files and touched ones have the server's time; a time that was given stays."""
    mount.tell(clock=1000.0)
    (mount.point / "file").touch()
    assert 900 < os.lstat(mount.point / "file").st_mtime - time.time() < 1100
    os.utime(mount.point / "file", (5, 5))
    assert os.lstat(mount.point / "file").st_mtime == 5
    os.utime(mount.point / "file")
    assert 900 < os.lstat(mount.point / "file").st_mtime - time.time() < 1100


def test_its_type_can_be_any(place: Path) -> None:
    """The kernel lists the mount under the sub-type that a test asks for."""
    with Mount(place / "m", place / "below", subtype="s3fs") as mount:
        lines = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(mount.point) in line]
        assert " - fuse.s3fs " in lines[0]
