"""How a book's members lie on disk between the extractor and the modifier: the one place that knows both layouts.

`files`: a folder `members/` with a file for each member. `tar`: one uncompressed `members.tar`, with the offsets in the
manifest; on a network volume creating and deleting 1,200 files costs more than all other work on a book.

Nothing here is synced: what a power cut takes is found by its CRC-32 when it is read, and the book is made again.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from common.errors import Redo
from common.manifest import Member
from common.tarring import END, header, padding

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

FILES, TAR = "files", "tar"
FOLDER, ARCHIVE = "members", "members.tar"
CHUNK = 1 << 20
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Writer(Protocol):
    """Takes members one after the other."""

    def put(self, name: str, size: int, chunks: Iterable[bytes]) -> int | None:
        """Write a member of `size` bytes; where it begins, for the manifest. OSError when the disk does not take it."""

    def close(self) -> None:
        """Nothing more comes."""


class FilesWriter:
    """Members as files below `<folder>/members`."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / FOLDER
        self._root.mkdir()
        self._fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def put(self, name: str, size: int, chunks: Iterable[bytes]) -> None:  # noqa: ARG002 - a file needs no size
        """Write a new file; one that is there, or a link, is an error."""
        try:
            fd = os.open(name, _NEW_FILE, 0o644, dir_fd=self._fd)
        except FileNotFoundError:
            # Most archives are flat, so folders are made only when one is missed.
            (self._root / name).parent.mkdir(parents=True)
            fd = os.open(name, _NEW_FILE, 0o644, dir_fd=self._fd)
        try:
            for chunk in chunks:
                _write_all(fd, chunk)
        finally:
            os.close(fd)

    def close(self) -> None:
        """Every file is closed already."""
        os.close(self._fd)


class TarWriter:
    """Members one after the other in `<folder>/members.tar`."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / ARCHIVE).open("xb", buffering=CHUNK)
        self._position = 0

    def put(self, name: str, size: int, chunks: Iterable[bytes]) -> int:
        """Append a member; the offset of its first byte."""
        head = header(name, size)
        self._file.write(head)
        for chunk in chunks:
            self._file.write(chunk)
        self._file.write(padding(size))
        begins = self._position + len(head)
        self._position = begins + size + -size % 512
        return begins

    def close(self) -> None:
        """Write the end of the archive."""
        with self._file:
            self._file.write(END)


WRITERS: dict[str, type[FilesWriter] | type[TarWriter]] = {FILES: FilesWriter, TAR: TarWriter}


class Shelf:
    """The members of one book where the extractor left them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tar: int | None = None

    def chunks(self, name: str, member: Member) -> Iterator[bytes]:
        """A member's bytes, a chunk at a time; Redo when it is gone. A file that has grown gives one byte too many."""
        fd, at = self._open(name, member)
        end = at + member.size + (member.offset is None)
        try:
            while chunk := _pread(fd, min(CHUNK, end - at), at, name):
                at += len(chunk)
                yield chunk
        finally:
            # The tar is the shelf's, which may be closed by now: a reader that was given up ends when it is swept up.
            if member.offset is None:
                os.close(fd)

    def open(self, name: str, member: Member) -> IO[bytes]:
        """The same bytes as an unbuffered file."""
        fd, at = self._open(name, member)
        return _Slice(name, fd, at, member.size, closes=member.offset is None)

    def path(self, name: str, member: Member) -> Path | None:
        """The file that is this member; None where all lie in one tar."""
        return self._folder / FOLDER / name if member.offset is None else None

    def read(self, name: str, member: Member, most: int = -1) -> bytes:
        """All its bytes, or the first `most`."""
        with self.open(name, member) as file:
            return file.read(most)

    def close(self) -> None:
        """No member is read any more."""
        if self._tar is not None:
            os.close(self._tar)
            self._tar = None

    def _open(self, name: str, member: Member) -> tuple[int, int]:
        """A descriptor, and where in it the member begins."""
        path = f"{self._folder}/{FOLDER}/{name}" if member.offset is None else f"{self._folder}/{ARCHIVE}"
        try:
            if member.offset is None:
                return os.open(path, _READ), 0
            if self._tar is None:
                self._tar = os.open(path, _READ)
        except (FileNotFoundError, NotADirectoryError):
            raise Redo(f"{path} is gone from the disk, so the book is made again.", local=True) from None
        except OSError as error:
            _redo_where_lost(error, name)
            raise
        return self._tar, member.offset


class _Slice(io.RawIOBase, IO[bytes]):
    """A part of an open file, read without moving the position that others share."""

    def __init__(self, name: str, fd: int, offset: int, size: int, *, closes: bool) -> None:
        self._name = name
        self._fd = fd
        self._offset = offset
        self._size = size
        self._closes = closes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._size - self._position)
        data = _pread(self._fd, left if size < 0 else min(size, left), self._offset + self._position, self._name)
        self._position += len(data)
        return data

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer)
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if self._closes and not self.closed:
            os.close(self._fd)
        super().close()


def _pread(fd: int, size: int, at: int, name: str) -> bytes:
    try:
        return os.pread(fd, size, at)
    except OSError as error:
        _redo_where_lost(error, name)
        raise


def _redo_where_lost(error: OSError, name: str) -> None:
    """A disk that has lost the bytes will not find them again; any other error stays what it is."""
    if error.errno == errno.EIO:
        what = f"{name} cannot be read from the disk ({error.strerror}), so the book is made again."
        raise Redo(what, "The disk fails: have it looked at, then put the book's token back.", local=True) from error


def _write_all(fd: int, chunk: bytes) -> None:
    """A nearly full disk may take less than it is given; the rest then fails with a reason."""
    while chunk:
        chunk = chunk[os.write(fd, chunk) :]
