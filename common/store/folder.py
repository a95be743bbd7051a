"""The done bucket as a folder: objects appear whole and proven, or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from common import durable
from common.artifacts import Artifact, describe, describe_bytes
from common.errors import Halt, Redo, Reject, Retry
from common.store.bucket import RENAME, Bucket, Look, unasked

_WRITABLE = "See that it is mounted, has space and may be written to; the stage goes on by itself."
# What a file system says of a name that it cannot give to a file.
_UNFIT = {errno.ENAMETOOLONG, errno.EILSEQ}
_MOUNTED = "See that it is mounted here and can be read, then audit again."


class FolderBucket(Bucket):
    """Objects below a folder. A full disk is an OSError: the worker, who knows of space, sees to it."""

    # Each put waits for the disk, and several share its commits.
    concurrency = 4

    def __init__(self, root: Path, barcode: str = "", look: Look = unasked) -> None:
        self.root = root
        self._look = look
        self.name = str(root)
        # A tilde is in no barcode, so no book's prefix is the beginning of another's.
        self._prefix = f".put~{barcode}~"
        self._met = False
        self._identity: tuple[int, int] | None = None

    def for_book(self, barcode: str, labels: Mapping[str, str], look: Look = unasked) -> Self:  # noqa: ARG002
        """The same folder; what is being put there is hidden under the book's own names. Files have no labels."""
        return type(self)(self.root, barcode, look)

    def prepare(self, *, used: bool) -> None:
        """A bucket that is gone though books were put there was unmounted: what is written now goes to another disk."""
        if self.root.is_dir():
            self._met = True
        elif used or self._met:
            cure = f"{_WRITABLE} If it is a new one: mkdir {self.root}"
            raise Halt(f"The done bucket {self.root} is gone.", cure)

    def require(self) -> None:
        """Halt when the folder is not there, is empty, or is another one than before: somebody unmounted it."""
        try:
            figures = self.root.stat()
            with os.scandir(self.root) as entries:
                empty = all(entry.name.startswith(".") for entry in entries)
        except OSError as error:
            raise Halt(f"The done bucket {self.root} cannot be read: {error.strerror}.", _MOUNTED) from None
        identity = figures.st_dev, figures.st_ino
        if empty or self._identity not in (None, identity):
            what = "is empty" if empty else "is another folder than a moment ago"
            raise Halt(f"The done bucket {self.root} {what}, though books were delivered.", _MOUNTED)
        self._identity = identity

    def size(self, key: str) -> int | None:
        """The bytes of an object; None when there is none."""
        with _reading(self.root / key):
            figures = (self.root / key).stat()
            return figures.st_size if stat.S_ISREG(figures.st_mode) else None
        return None

    def describe(self, key: str) -> Artifact | None:
        """Read an object to its end: its size and SHA-256."""
        with _reading(self.root / key):
            return describe(self.root / key, key)
        return None

    def read(self, key: str, limit: int) -> bytes | None:
        """The first `limit` bytes of an object; None when there is none."""
        with _reading(self.root / key), (self.root / key).open("rb") as file:
            return file.read(limit)
        return None

    def has(self, key: str, wanted: Artifact) -> bool:
        """Whether the object is there with the wanted size and SHA-256."""
        with _reading(self.root / key):
            return _is(self.root / key, wanted)
        return False

    def walk(self) -> Iterator[str]:
        """All keys, streamed, folder by folder."""
        for path in _walk(str(self.root)):
            yield path[len(self.name) + 1 :]

    def sizes(self) -> Iterator[tuple[str, int]]:
        """The same with their bytes; one that goes meanwhile is left out."""
        for key in self.walk():
            size = self.size(key)
            if size is not None:
                yield key, size

    def put_at(self, key: str) -> datetime | None:
        """When an object was put, or last restored from a backup; None when there is none."""
        with _reading(self.root / key):
            return datetime.fromtimestamp((self.root / key).stat().st_mtime, UTC)
        return None

    def put_file(self, key: str, source: Path, wanted: Artifact) -> bool:
        """Put a file, by a hard link where that is possible; False when it was there already, and equal."""
        try:
            return self._put(key, wanted, lambda temp: _link_or_copy(source, temp))
        except Retry:
            if source.exists() and describe(source, wanted.name) != wanted:
                raise Redo(f"{source} was damaged on the disk, so the book is made again.", local=True) from None
            raise

    def put_bytes(self, key: str, data: bytes) -> bool:
        """Put an object with these bytes; False when it was there already, and equal."""
        return self._put(key, describe_bytes(data, key), lambda temp: durable.write_new(temp, data))

    def sweep(self, keys: Iterable[str]) -> None:
        """Remove what an earlier attempt on this book, killed in the middle, has left: each folder is listed once."""
        with _writing(self.root):
            for folder in {(self.root / key).parent for key in keys}:
                for leftover in folder.glob(f"{self._prefix}*"):
                    leftover.unlink(missing_ok=True)

    def _put(self, key: str, wanted: Artifact, place: Callable[[Path], None]) -> bool:
        target = self.root / key
        with _writing(self.root):
            if _is(target, wanted):
                return False
            durable.make_dirs(target.parent)
            temp = target.parent / f"{self._prefix}{secrets.token_hex(6)}"
            try:
                place(temp)
                _publish(temp, target, wanted, self._look)
            finally:
                # A rename onto another link of the same file does nothing and leaves both names.
                temp.unlink(missing_ok=True)
        return True


def _publish(temp: Path, target: Path, wanted: Artifact, look: Look) -> None:
    """Read back what lies in the store under its hidden name, then give it its own name."""
    try:
        durable.fsync_path(temp)
        proven = temp.stat()
        if not _is(temp, wanted):
            raise Retry(f"{target} did not arrive as it was sent.", "Check the disk of the done bucket.")
        look()
        temp.replace(target)
    except FileNotFoundError:
        raise Retry(f"{temp} was taken away: another worker has put {target} at the same time.") from None
    durable.fsync_dir(target.parent)
    if not os.path.samestat(proven, target.stat()) and not _is(target, wanted):
        raise Retry(f"{target} was changed while it was put there.", "See who else writes to the done bucket.")


def _is(path: Path, wanted: Artifact) -> bool:
    """Whether a file is there with the wanted size and SHA-256."""
    try:
        return path.stat().st_size == wanted.size and describe(path, wanted.name) == wanted
    except FileNotFoundError:
        return False


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        if not source.exists():
            raise Redo(f"{source} is missing, so the book is made again.", local=True) from None
        # Another file system, or one without hard links; what is really wrong, the copy says.
        shutil.copyfile(source, target)


def _walk(here: str) -> Iterator[str]:
    with _reading(Path(here)), os.scandir(here) as entries:
        # Open while its folders are gone through: a list of them could be a million long.
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path)
            elif not entry.name.startswith("."):
                yield entry.path


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What is not there ends the block; anything else that keeps us from reading holds everything."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise Halt(f"The done bucket cannot be read: {path}: {error.strerror}.", _MOUNTED) from None


@contextmanager
def _writing(root: Path) -> Iterator[None]:
    """Errors of the store hold the stage; a full disk is the worker's matter, who knows of space."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise
        if error.errno in _UNFIT:
            raise Reject(f"A file of the book cannot be put into {root}: {error.strerror}.", RENAME) from error
        raise Halt(f"The done bucket {root} cannot be written: {error.strerror}.", _WRITABLE) from error
