"""What makes a change survive a power cut: write, fsync, rename, fsync the folder. Also free space and devices.

An fsync that fails is never repeated (the kernel may have dropped the pages and would report success): the error goes
up, and the attempt is made again from its input.
"""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

# Files of processes that died half-way are swept after so many seconds: 36 hours, as maildir has it.
LEFTOVER_AGE = 129_600.0


# A disk that is full, or may not be written to.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def fsync_path(path: Path) -> None:
    """Push a file's or a folder's content to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fsync_dir(path: Path) -> None:
    """Push a folder's names to the disk."""
    fsync_path(path)


def fsync_tree(folder: Path) -> None:
    """Push the names of a folder and of all folders in it to the disk; the files' content is their writer's matter."""
    for root, _, _ in walk(folder, topdown=False):
        fsync_dir(Path(root))


def walk(folder: Path, *, topdown: bool = True) -> Iterator[tuple[str, list[str], list[str]]]:
    """os.walk, but a folder that cannot be read is an error, and not an empty one."""

    def refuse(error: OSError) -> None:
        raise error

    return os.walk(folder, topdown=topdown, onerror=refuse)


def write_new(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file that must not exist yet, durably; its name is durable once its folder is synced."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        write_all(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`; a disk that takes only a part of it is full."""
    if os.write(fd, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_all_new(files: Mapping[Path, bytes]) -> None:
    """Like write_new for a handful of files at once: they share the disk's commits, which is several times as fast."""
    fds = []
    try:
        for path, data in files.items():
            fds.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
            write_all(fds[-1], data)
            # Begins to write it out, and does not wait.
            os.posix_fadvise(fds[-1], 0, 0, os.POSIX_FADV_DONTNEED)
        for fd in fds:
            os.fsync(fd)
    finally:
        for fd in fds:
            os.close(fd)


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put a whole file in place at once: readers see the old one or the new one, never a part. Not for tokens."""
    temp = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        write_new(temp, data, mode)
        replace(temp, path)
    except BaseException:
        temp.unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def replace(source: Path, target: Path) -> None:
    """Rename, over what is there. A network file system may report failure of one that happened."""
    inode = source.lstat().st_ino
    try:
        source.replace(target)
    except OSError:
        if not is_now_at(target, inode):
            raise


def is_now_at(path: Path, inode: int) -> bool:
    """Whether a name leads to that inode, whatever an old cache says."""
    ask_anew(path.parent)
    try:
        return path.lstat().st_ino == inode
    except OSError:
        return False


def ask_anew(folder: Path) -> None:
    """Make a network file system forget that it has looked up a name in vain; one entry of a listing is enough."""
    with suppress(OSError), os.scandir(folder) as entries:
        next(entries, None)


def make_dirs(path: Path) -> None:
    """Make a folder and its parents, each name durable; nothing happens when it is there."""
    if os.path.isdir(path):  # noqa: PTH112 - asked before every move of a token
        return
    make_dirs(path.parent)
    make_dir(path)
    fsync_dir(path.parent)


def make_dir(path: Path) -> None:
    """Make a folder unless it is there. A network file system may call one that it has just made an old one."""
    with suppress(FileExistsError):
        os.mkdir(path)  # noqa: PTH102 - with exist_ok it asks again, and may be told that there is none


def server_time(folder: Path) -> float:
    """The file server's time, in seconds since the epoch, as the mtime of a new nameless file tells it."""
    with tempfile.TemporaryFile(dir=folder) as probe:
        return os.fstat(probe.fileno()).st_mtime


def remove_if_old(path: Path, now: float) -> None:
    """Remove a leftover that nobody can still be about to use."""
    try:
        if now - path.lstat().st_mtime > LEFTOVER_AGE:
            path.unlink()
    except OSError:
        return


def existing_ancestor(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    while not path.exists():
        path = path.parent
    return path


def free_bytes(path: Path) -> int:
    """Bytes that an ordinary user can still write on the file system of `path`."""
    figures = os.statvfs(existing_ancestor(path))
    return figures.f_bavail * figures.f_frsize
