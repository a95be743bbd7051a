"""The pass-through itself: every call goes to a folder below, and some answers are not true."""

# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH108, PTH113, PTH115, PTH120, PTH211
from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import stat
import time
from pathlib import Path
from typing import Any

from mfusepy import FuseOSError, Operations, fuse_get_context

from tests.board.lying.client import Attributes, Client, Entry
from tests.board.lying.lies import Control, Lies

_MEMBERS = ("st_mode", "st_ino", "st_dev", "st_nlink", "st_uid", "st_gid", "st_size", "st_blocks")
_TIMES = ("st_atime", "st_mtime", "st_ctime")
# The nanoseconds by which utimensat says "now" and "leave it as it is".
_NOW, _OMIT = (1 << 30) - 1, (1 << 30) - 2
_SECOND = 10**9


class Lying(Operations):
    """One client's mount of the folder `below`."""

    use_ns = True

    def __init__(self, below: Path, control: Control, log: Path, seed: int) -> None:
        self.below = str(below)
        self.control = control
        self.dice = random.Random(seed)
        self._clients: dict[int, Client] = {}
        self._log = log.open("a", buffering=1)
        self._later: list[tuple[float, str]] = []

    # --- the pieces ---

    @property
    def client(self) -> Client:
        """The memory of whoever asks."""
        who = fuse_get_context()[2] if self.control.lies.strangers else 0
        return self._clients.setdefault(who, Client(self.dice))

    def _lies(self) -> Lies:
        while self._later and self._later[0][0] <= time.monotonic():
            _unlink(self._later.pop(0)[1])
        return self.control.now()

    def _at(self, path: str, lies: Lies) -> str:
        name = path.rpartition("/")[2]
        if len(name) > lies.longest:
            raise FuseOSError(errno.ENAMETOOLONG)
        if lies.refused and set(lies.refused) & set(name):
            raise FuseOSError(errno.EINVAL)
        # What the library calls a removed file that is still open, a client of NFS calls so.
        path = path.replace("/.fuse_hidden", "/.nfs")
        return self.below + (path.lower() if lies.fold_case else path)

    def _lie(self, lies: Lies, what: str, path: str, *errors: str) -> None:
        """What was asked has been done; perhaps say that it was not."""
        if lies.rate and "/.fuse_hidden" not in path and self.dice.random() < lies.rate:
            name = self.dice.choice(errors)
            self._log.write(f"{what} {name} {path}\n")
            raise FuseOSError(getattr(errno, name))

    def _silly(self, lies: Lies, folder: str, there: str | None = None) -> None:
        """Leave a name that a client makes up for a file that is still open: of the file `there`, or an empty one."""
        if not (lies.silly and self.dice.random() < lies.silly):
            return
        name = f"{folder}/.nfs{self.dice.getrandbits(96):024x}"
        self._log.write(f"silly {name.removeprefix(self.below)}\n")
        if there is not None and os.path.isfile(there):
            os.link(there, name)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600))
        self._later.append((time.monotonic() + 1, name))

    # --- looking ---

    def getattr(self, path: str, fh: int | None = None) -> Attributes:
        """The file's own inode number, and times by the server's clock."""
        lies = self._lies()
        if fh is not None:
            return _attributes(os.fstat(fh))
        below = self._at(path, lies)
        return self.client.attributes(path, lies, lambda: _attributes(os.lstat(below)))

    def readdir(self, path: str, fh: int) -> list[Entry]:
        """The names, perhaps as they were a while ago."""
        lies = self._lies()
        below = self._at(path, lies)
        return self.client.listing(path, lies, lambda: _entries(below))

    def readlink(self, path: str) -> str:
        """Where a link leads."""
        return os.readlink(self._at(path, self._lies()))

    def statfs(self, path: str) -> dict[str, int]:
        """Free space, and what is said of free inodes."""
        lies = self._lies()
        found = os.statvfs(self.below)
        figures = {key: getattr(found, key) for key in dir(found) if key.startswith("f_") and key != "f_fsid"}
        if lies.free_files >= 0:
            figures["f_ffree"] = figures["f_favail"] = lies.free_files
        return figures

    # --- names ---

    def rename(self, old: str, new: str) -> int:
        """One name for another."""
        lies = self._lies()
        source, target = self._at(old, lies), self._at(new, lies)
        self._silly(lies, os.path.dirname(source), target)
        if lies.copies and os.path.isfile(source):
            self._copy(source, target, lies)
        else:
            os.rename(source, target)
        self._lie(lies, "rename", f"{old} {new}", *lies.errors)
        self.client.changed(old, new)
        return 0

    def _copy(self, source: str, target: str, lies: Lies) -> None:
        shutil.copy2(source, target)
        if lies.late:
            self._later.append((time.monotonic() + lies.late, source))
        else:
            os.unlink(source)

    def link(self, target: str, source: str) -> int:
        """Another name for the same file."""
        lies = self._lies()
        if lies.no_links:
            raise FuseOSError(errno.EOPNOTSUPP)
        # Even the answer that the name exists ends the belief that it is missing.
        self.client.changed(source, target)
        os.link(self._at(source, lies), self._at(target, lies))
        self._lie(lies, "link", target, "EEXIST")
        return 0

    def symlink(self, target: str, source: str) -> int:
        """A link by name."""
        os.symlink(source, self._at(target, self._lies()))
        self.client.changed(target)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        """A new folder."""
        lies = self._lies()
        self.client.changed(path)
        os.mkdir(self._at(path, lies), mode)
        self._lie(lies, "mkdir", path, "EEXIST")
        return 0

    def unlink(self, path: str) -> int:
        """A name less."""
        lies = self._lies()
        below = self._at(path, lies)
        self._silly(lies, os.path.dirname(below), below)
        os.unlink(below)
        self._lie(lies, "unlink", path, "ENOENT")
        self.client.changed(path)
        return 0

    def rmdir(self, path: str) -> int:
        """A folder less."""
        lies = self._lies()
        os.rmdir(self._at(path, lies))
        self._lie(lies, "rmdir", path, "ENOENT")
        self.client.changed(path)
        return 0

    # --- files ---

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        """A new file, or the one that is there unless that is refused."""
        lies = self._lies()
        flags = os.O_RDWR | os.O_CREAT | (int(fi or 0) & (os.O_EXCL | os.O_TRUNC | os.O_APPEND))
        if lies.shared_create:
            flags &= ~os.O_EXCL
        below = self._at(path, lies)
        self.client.changed(path)
        fd = os.open(below, flags, mode)
        if lies.clock:
            self._set_times(below, None, lies)
        if lies.shared_create:
            self.client.hide(path)
        return fd

    def open(self, path: str, flags: int) -> int:
        """A file that is there."""
        return os.open(self._at(path, self._lies()), flags & ~(os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL))

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        """Bytes."""
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        """Bytes; to the end where the file was opened for that, whatever `offset` this client believes in."""
        self.client.changed(path)
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """A shorter or a longer file."""
        os.truncate(self._at(path, self._lies()), length)
        self.client.changed(path)
        return 0

    def release(self, path: str, fh: int) -> int:
        """The end of an open file."""
        os.close(fh)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        """To the disk."""
        self._sync_lies()
        os.fsync(fh)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        """Names to the disk; where the folder below lies is no matter of life and death."""
        self._sync_lies()
        return 0

    def _sync_lies(self) -> None:
        lies = self._lies()
        time.sleep(lies.slow_fsync)
        if lies.no_fsync:
            raise FuseOSError(errno.EINVAL)

    def chmod(self, path: str, mode: int) -> int:
        """Permissions."""
        os.chmod(self._at(path, self._lies()), mode)
        self.client.changed(path)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        """Owners."""
        os.chown(self._at(path, self._lies()), uid, gid)
        self.client.changed(path)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        """Times: those given, or the server's own."""
        lies = self._lies()
        if not lies.frozen_times:
            self._set_times(self._at(path, lies), times, lies)
        # The kernel would show its own copy of the new times to the other processes.
        if not lies.strangers:
            self.client.changed(path)
        return 0

    def _set_times(self, below: str, times: tuple[int, int] | None, lies: Lies) -> None:
        found, now = os.lstat(below), time.time_ns() + int(lies.clock * _SECOND)
        old = (found.st_atime_ns, found.st_mtime_ns)
        wanted = [
            now if value == _NOW else before if value == _OMIT else value
            for value, before in zip(times or (_NOW, _NOW), old, strict=True)
        ]
        step = lies.time_step * _SECOND or 1
        os.utime(below, ns=(wanted[0] // step * step, wanted[1] // step * step), follow_symlinks=False)


def _attributes(found: os.stat_result) -> Attributes:
    known: Attributes = {key: getattr(found, key) for key in _MEMBERS}
    return known | {key: getattr(found, f"{key}_ns") for key in _TIMES}


def _entries(folder: str) -> list[Entry]:
    """Each name with its inode number: the C library passes over names that have none."""
    with os.scandir(folder) as entries:
        found = [(entry.name, {"st_ino": entry.inode(), "st_mode": _kind(entry)}, 0) for entry in entries]
    return [(name, {"st_ino": 1, "st_mode": stat.S_IFDIR}, 0) for name in (".", "..")] + found


def _kind(entry: os.DirEntry[str]) -> int:
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFREG if entry.is_file(follow_symlinks=False) else 0


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
