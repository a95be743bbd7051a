"""The tar headers of an archive, one after the other; tarfile parses, this module trusts nothing of it."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from typing import Self

from common.archive_names import folded, objection
from common.errors import Redo, Reject
from services.extractor.limits import Limits
from services.extractor.source import Source

# Global pax headers stay in force to the end of the archive; each may be as large as a header may be.
_MAX_GLOBAL_HEADERS = 100
_CURE = "Google's archives are not like this: look at the archive before you let it through."


class _Header(tarfile.TarInfo):
    """tarfile takes a bad header for the end of the archive; here it is damage."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as error:
            # A block of zeros is the true end.
            if len(buf) == tarfile.BLOCKSIZE and not any(buf):
                raise
            raise Redo(f"The archive is damaged: where a tar header should be is none ({error}).") from None


def headers(source: Source) -> Iterator[tarfile.TarInfo]:
    """Each header as it comes; read the member's content from `source` before asking for the next one."""
    try:
        tar = tarfile.TarFile(fileobj=source, tarinfo=_Header, encoding="utf-8")
        while header := tar.next():
            yield header
            tar.members.clear()  # type: ignore[attr-defined]  # else all headers stay in memory
            if len(tar.pax_headers) > _MAX_GLOBAL_HEADERS:
                raise Reject(f"The archive has more than {_MAX_GLOBAL_HEADERS} global headers.", _CURE)
    except RecursionError:
        raise Reject("The archive has too many extended headers in a row.", _CURE) from None
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise Redo(f"The archive is damaged: a tar header cannot be read ({error}).") from None


class Judge:
    """Lets through what may be written to disk; everything else is a Reject that names the member."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._count = 0
        # By a digest of the folded name, as one letter may fold to eighteen: a file's name, a digest of a folder's.
        self._seen: dict[bytes, str | bytes] = {}

    def admit(self, header: tarfile.TarInfo) -> str | None:
        """The name under which to write this member; None for a plain folder."""
        self._count += 1
        if self._count > self._limits.max_members:
            cure = "Raise max_members for the extractor if the book is that large, then put its token back."
            raise Reject(f"The archive has more than {self._limits.max_members} members.", cure)
        name = header.name.removeprefix("./")
        if header.isdir() and name in {"", "."}:
            return None
        self._require(header, name)
        self._register(name, is_folder=header.isdir())
        return None if header.isdir() else name

    def _require(self, header: tarfile.TarInfo, name: str) -> None:
        if header.issparse() or any(key.startswith("GNU.sparse") for key in header.pax_headers):
            _refuse(name, "is a sparse file")
        if not (header.isreg() or header.isdir()):
            _refuse(name, f"is {_KINDS.get(header.type, 'of an unknown kind')}")
        if header.size < 0 or (header.isdir() and header.size):
            _refuse(name, "has an impossible size")
        if against := objection(name):
            _refuse(name, f"has a name that {against}")

    def _register(self, name: str, *, is_folder: bool) -> None:
        """Remember the name and the folders above it; a second file of that name, however spelt, is refused."""
        parts = name.split("/")
        for depth in range(1, len(parts)):
            self._note("/".join(parts[:depth]), is_folder=True)
        self._note(name, is_folder=is_folder)

    def _note(self, name: str, *, is_folder: bool) -> None:
        key, what = _digest(folded(name)), _digest(name) if is_folder else name
        if key not in self._seen:
            self._seen[key] = what
            return
        other = self._seen[key]
        # A folder comes once for each file in it, always spelt the same.
        if not is_folder or other != what:
            _refuse(name, f"comes twice (the other is {_shown(other) if isinstance(other, str) else 'a folder'})")


_KINDS = {
    tarfile.LNKTYPE: "a hard link",
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a FIFO",
}


def _digest(name: str) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


def _refuse(name: str, what: str) -> None:
    raise Reject(f"The archive's member {_shown(name)} {what}.", _CURE)


def _shown(name: str) -> str:
    return repr(name)[:200]
