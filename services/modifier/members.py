"""A book's members as modifications and packages see them: by name, wherever the bytes lie."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from isal import isal_zlib

from common.archive_names import Pages, checksums_of, folded, folder_of, mets_in, objection, pages_of
from common.errors import Redo, Reject
from common.manifest import Member
from common.mets import MAX_BYTES, Mets, MetsError, among, parse
from common.shelves import Shelf
from common.store_keys import MANIFEST, PROVENANCE
from services.modifier.names import Names

# A page's text or hOCR has thousands of bytes, not millions.
_MOST = 64 << 20
# So many bytes of members that were read are kept.
_KEPT = 8 << 20
_BUFFER = 1 << 18
_PACKAGES = (".tar.gz", ".tar", ".zip")
_IMAGES = (".jp2", ".tif", ".tiff", ".jpg", ".png")


class Members:
    """The members of one book, those that were added too; and the sidecars that will lie beside the package."""

    def __init__(self, shelf: Shelf, listed: Mapping[str, Member], outbox: Path, barcode: str) -> None:
        self.barcode = barcode
        self.sidecars: list[str] = []
        self._shelf = shelf
        self._outbox = outbox
        self._listed = dict(listed)
        self._names = Names(listed)
        self._made: dict[str, bytes] = {}
        # Under which name a renamed member lies on the disk.
        self._origin: dict[str, str] = {}
        # Proven bytes by that name: a page's text is asked for again and again.
        self._read: dict[str, bytes] = {}
        self._room = _KEPT
        # By that name, too: what somebody has looked into, and nobody yet read to the end.
        self._unproven: set[str] = set()
        # The METS as it was when it was parsed: its name and what was listed of it.
        self._parsed: tuple[tuple[str, Member], Mets] | None = None
        # Sorted out until a name changes.
        self._pages: Pages | None = None

    def names(self) -> list[str]:
        """All member names, sorted."""
        return sorted(self._listed)

    @property
    def listed(self) -> Mapping[str, Member]:
        """Size and checksums of each member by its name."""
        return self._listed

    def size(self, name: str) -> int:
        """The size in bytes, as the manifest has it."""
        return self._listed[name].size

    def md5(self, name: str) -> str:
        """The MD5 in lower-case hex, as the manifest has it."""
        return self._listed[name].md5

    def is_image(self, name: str) -> bool:
        """Whether its bytes are an image's, which are compressed already."""
        return name.lower().endswith(_IMAGES)

    def open(self, name: str) -> IO[bytes]:
        """A member's bytes as an unbuffered file; Redo when it is gone from the disk.

        They are proven later: when the member is replaced, dropped or packed.
        """
        if name in self._made:
            return io.BytesIO(self._made[name])
        member, origin = self._member(name), self._origin.get(name, name)
        self._unproven.add(origin)
        return self._shelf.open(origin, member)

    def path(self, name: str) -> Path | None:
        """The file that is this member and no other; None when it was made here, or lies in a tar."""
        return None if name in self._made else self._shelf.path(self._origin.get(name, name), self._member(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        """A member's bytes, a chunk at a time; Redo when they are not those that were extracted."""
        member, origin = self._member(name), self._origin.get(name, name)
        known = self._made[name] if name in self._made else self._read.get(origin)
        if known is None:
            yield from self._proven(name, origin, member)
        else:
            yield known

    def read(self, name: str) -> bytes:
        """All bytes of a member; Redo when they are not those that were extracted, Reject when it is far too large."""
        if self.size(name) > _MOST:
            what = (
                f"The archive's member {name!r:.200} is larger than {_MOST >> 20} MiB, too large for what it should be."
            )
            raise Reject(what, "Google's archives are not like this: look at the archive before you let it through.")
        data = b"".join(self.chunks(name))
        origin = self._origin.get(name, name)
        if name not in self._made and origin not in self._read and len(data) <= self._room:
            self._room -= len(data)
            self._read[origin] = data
        return data

    def add(self, name: str, data: bytes) -> None:
        """Add a member to the package; ValueError when its name is bad or taken."""
        self._names.require_free(name)
        self._names.add(name)
        self._pages = None
        self._put(name, data)

    def replace(self, name: str, data: bytes) -> None:
        """Give a member other bytes in the package; Redo when what it was made of is damaged."""
        self._prove(name)
        self._put(name, data)

    def drop(self, name: str) -> None:
        """Leave a member out of the package; Redo when it was looked into and is damaged."""
        self._prove(name)
        self._names.remove(name)
        self._pages = None
        del self._listed[name]
        self._made.pop(name, None)

    def rename(self, name: str, new: str) -> None:
        """Give a member another name in the package; ValueError when that is bad or taken."""
        self._member(name)
        self._names.remove(name)
        try:
            self._names.require_free(new)
        except ValueError:
            self._names.add(name)
            raise
        self._names.add(new)
        self._pages = None
        self._listed[new] = self._listed.pop(name)
        if name in self._made:
            self._made[new] = self._made.pop(name)
        else:
            self._origin[new] = self._origin.pop(name, name)

    def update_checksums(self) -> bool:
        """Let checksum.md5 list the members that there are now, itself aside; False when there is none."""
        name = self.checksums_name
        if name is None:
            return False
        folder = folder_of(name)
        listed = (other for other in self.names() if other != name and other.startswith(folder))
        lines = (f"{self.md5(other)}  {other.removeprefix(folder)}\n" for other in listed)
        self.replace(name, "".join(lines).encode())
        return True

    def sidecar(self, name: str, data: bytes | Iterable[bytes]) -> None:
        """Write a file that will lie beside the package, durably but for its name; ValueError when that cannot be.

        A large one is given as chunks, which are written as they come.
        """
        self._require_sidecar(name)
        fd = os.open(self._outbox / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            with open(fd, "wb", buffering=_BUFFER) as file:  # noqa: PTH123 - a descriptor
                file.writelines((data,) if isinstance(data, bytes) else data)
                file.flush()
                os.fsync(fd)
        except BaseException:
            (self._outbox / name).unlink()
            raise
        self.sidecars.append(name)

    def prove_all(self) -> None:
        """Redo when a member that was looked into, and not read since, is damaged on the disk."""
        for name in self.names():
            self._prove(name)

    @property
    def pages(self) -> Pages:
        """The page files among the members."""
        if self._pages is None:
            self._pages = pages_of(self._listed, self.barcode)
        return self._pages

    @property
    def checksums_name(self) -> str | None:
        """The member that is Google's checksum.md5, if there is one."""
        return checksums_of(self._listed)

    @property
    def mets_name(self) -> str | None:
        """The member that is Google's METS, if there is one."""
        return among(mets_in(self._listed, self.barcode), self._head)

    @property
    def mets(self) -> Mets | None:
        """What Google's METS says, None when there is none; MetsError when it cannot be read."""
        name = self.mets_name
        if name is None:
            return None
        key = name, self._listed[name]
        if self._parsed is None or self._parsed[0] != key:
            if self.size(name) > MAX_BYTES:
                raise MetsError(f"it is larger than {MAX_BYTES >> 20} MiB")
            self._parsed = key, parse(self.read(name))
        return self._parsed[1]

    def _head(self, name: str, size: int) -> bytes:
        with self.open(name) as file:
            return file.read(size)

    def _member(self, name: str) -> Member:
        try:
            return self._listed[name]
        except KeyError:
            raise KeyError(f"There is no member {name}.") from None

    def _prove(self, name: str) -> None:
        """Read a member to its end if it was only looked into; KeyError when there is none."""
        member, origin = self._member(name), self._origin.get(name, name)
        if name not in self._made and origin in self._unproven:
            for _ in self._proven(name, origin, member):
                pass

    def _proven(self, name: str, origin: str, member: Member) -> Iterator[bytes]:
        self._unproven.add(origin)
        size, crc32 = 0, 0
        for chunk in self._shelf.chunks(origin, member):
            size += len(chunk)
            crc32 = isal_zlib.crc32(chunk, crc32)
            yield chunk
        if (size, crc32) != (member.size, member.crc32):
            what = f"{name} was damaged on the disk since it was extracted, so the book is made again."
            raise Redo(what, local=True)
        self._unproven.discard(origin)

    def _require_sidecar(self, name: str) -> None:
        against = objection(name)
        if against or "/" in name or name.startswith("."):
            raise ValueError(f"A sidecar cannot be called {name!r}: the name {against or 'is not a plain one'}.")
        packages = (f"{self.barcode}{ending}" for ending in _PACKAGES)
        taken = {folded(other): other for other in (*packages, MANIFEST, PROVENANCE, *self.sidecars)}
        if other := taken.get(folded(name)):
            why = "is there already" if other in self.sidecars else "is another file's name"
            raise ValueError(f"A sidecar cannot be called {name!r}: {other} {why}.")

    def _put(self, name: str, data: bytes) -> None:
        self._made[name] = data
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self._listed[name] = Member(len(data), digest, isal_zlib.crc32(data))
