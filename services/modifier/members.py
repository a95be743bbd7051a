"""A book's members as modifications and packages see them: by name, wherever the bytes lie."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import IO

from isal import isal_zlib

from common import durable
from common.archive_names import Pages, checksums_of, folded, mets_of, objection, pages_of
from common.errors import Redo, Reject
from common.manifest import Member
from common.mets import MAX_BYTES, Mets, MetsError, parse
from common.shelves import Shelf
from common.store_keys import PROVENANCE

# The list of the files of a package that is a tree.
TREE = "manifest-sha256.txt"
# A page's text or hOCR has thousands of bytes, not millions.
_MOST = 64 << 20
# So many bytes of members that were read are kept.
_KEPT = 8 << 20
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
        self._folded = {folded(name): name for name in listed}
        self._made: dict[str, bytes] = {}
        # Under which name a renamed member lies on the disk.
        self._origin: dict[str, str] = {}
        # Proven bytes by that name: a page's text is asked for again and again.
        self._read: dict[str, bytes] = {}
        self._room = _KEPT

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
        """A member's bytes as an unbuffered file, not yet proven; Redo when it is gone from the disk."""
        if name in self._made:
            return io.BytesIO(self._made[name])
        return self._shelf.open(self._origin.get(name, name), self._member(name))

    def path(self, name: str) -> Path | None:
        """The file that is this member and no other; None when it was made here, or lies in a tar."""
        return None if name in self._made else self._shelf.path(self._origin.get(name, name), self._member(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        """A member's bytes, a chunk at a time; Redo when they are not those that were extracted."""
        member, origin = self._member(name), self._origin.get(name, name)
        known = self._made[name] if name in self._made else self._read.get(origin)
        if known is not None:
            yield known
            return
        size, crc32 = 0, 0
        for chunk in self._shelf.chunks(origin, member):
            size += len(chunk)
            crc32 = isal_zlib.crc32(chunk, crc32)
            yield chunk
        if (size, crc32) != (member.size, member.crc32):
            raise Redo(f"{name} was damaged on the disk since it was extracted, so the book is made again.")

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
        self._require_free(name)
        self._put(name, data)

    def replace(self, name: str, data: bytes) -> None:
        """Give a member other bytes in the package."""
        self.size(name)
        self._put(name, data)

    def drop(self, name: str) -> None:
        """Leave a member out of the package."""
        del self._listed[name], self._folded[folded(name)]
        self._made.pop(name, None)

    def rename(self, name: str, new: str) -> None:
        """Give a member another name in the package; ValueError when that is bad or taken."""
        self._require_free(new, but_for=name)
        self._listed[new] = self._listed.pop(name)
        del self._folded[folded(name)]
        self._folded[folded(new)] = new
        if name in self._made:
            self._made[new] = self._made.pop(name)
        else:
            self._origin[new] = self._origin.pop(name, name)

    def sidecar(self, name: str, data: bytes) -> None:
        """Write a file that will lie beside the package, durably; ValueError when its name is bad or taken."""
        taken = {*(f"{self.barcode}{ending}" for ending in _PACKAGES), TREE, PROVENANCE, *self.sidecars}
        if objection(name) or "/" in name or name.startswith(".") or name in taken:
            raise ValueError(f"A sidecar cannot be called {name!r}.")
        durable.write_file(self._outbox / name, data)
        self.sidecars.append(name)

    @property
    def pages(self) -> Pages:
        """The page files among the members."""
        return pages_of(self._listed, self.barcode)

    @property
    def checksums_name(self) -> str | None:
        """The member that is Google's checksum.md5, if there is one."""
        return checksums_of(self._listed)

    @property
    def mets_name(self) -> str | None:
        """The member that is Google's METS, if there is one."""
        return mets_of(self._listed, self.barcode)

    @cached_property
    def mets(self) -> Mets | None:
        """What Google's METS says, None when there is none; MetsError when it cannot be read."""
        if self.mets_name is None:
            return None
        if self.size(self.mets_name) > MAX_BYTES:
            raise MetsError(f"it is larger than {MAX_BYTES >> 20} MiB")
        return parse(self.read(self.mets_name))

    def _member(self, name: str) -> Member:
        try:
            return self._listed[name]
        except KeyError:
            raise KeyError(f"There is no member {name}.") from None

    def _require_free(self, name: str, but_for: str | None = None) -> None:
        if against := objection(name):
            raise ValueError(f"A member cannot be called {name!r}: the name {against}.")
        if self._folded.get(folded(name)) not in (None, but_for):
            raise ValueError(f"There is a member {name!r} already.")

    def _put(self, name: str, data: bytes) -> None:
        self._made[name] = data
        self._folded[folded(name)] = name
        digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self._listed[name] = Member(len(data), digest, isal_zlib.crc32(data))
