"""bagit: all members as the payload of a BagIt bag (RFC 8493), found valid by the library of that name."""

from __future__ import annotations

import hashlib
import logging
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import bagit

from common.errors import Redo, Reject
from common.mets import MetsError
from services.modifier.packages.loose import Hashed, laid
from services.modifier.packages.package import Artifact, Book, Members, Package
from services.modifier.packages.zip_output import ZipOutput

_DECLARATION = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_CURE = "Name it anew with the modification rename, leave it out with prune, or choose another package."
# What it tells there is also in the errors that it raises.
logging.getLogger("bagit").setLevel(logging.CRITICAL)


class BagIt(Package):
    """`<BARCODE>.zip`, with the bag as its one folder `<BARCODE>/`; members sorted, times fixed."""

    def pack(self, members: Members, book: Book, outbox: Path) -> Artifact:
        """Write the bag into the zip file in the order of its names, lay it out beside, and let the library judge it.

        Laying it out costs little where members are files; creating those again from a zip file costs a second.
        """
        _require_plain(members.names())
        with (
            tempfile.TemporaryDirectory(dir=outbox, prefix=".bag-") as folder,
            ZipOutput(outbox / f"{book.barcode}.zip", self.level) as output,
        ):
            bag = _Bag(output, Path(folder), book.barcode)
            bag.tag("bag-info.txt", self._info(members))
            bag.tag("bagit.txt", _DECLARATION)
            for name in members.names():
                bag.add(members, name, stored=self.stores(members, name))
            bag.manifests()
            bag.validate()
            return output.artifact()

    def _info(self, members: Members) -> str:
        sizes = [members.size(name) for name in members.names()]
        info = {
            "Bag-Software-Agent": "GRIN Pipeline",
            "Bagging-Date": _day(members),
            "External-Identifier": members.barcode,
            "Payload-Oxum": f"{sum(sizes)}.{len(sizes)}",
            "Source-Organization": " ".join(self.library.split()),
        }
        return "".join(f"{label}: {value}\n" for label, value in info.items() if value)


class _Bag:
    """A bag on its way into a zip file and into a folder, and the MD5 and SHA-256 of what is in it."""

    def __init__(self, output: ZipOutput, folder: Path, top: str) -> None:
        self._output = output
        self._folder = folder
        self._top = top
        self._payload: dict[str, tuple[str, str]] = {}
        self._tags: dict[str, tuple[str, str]] = {}
        (folder / top / "data").mkdir(parents=True)

    def add(self, members: Members, name: str, *, stored: bool) -> None:
        """Add a member."""
        path = f"{self._top}/data/{name}"
        chunks = Hashed(laid(members, name, self._folder / path))
        self._output.add(path, members.size(name), chunks, stored=stored)
        # The MD5 is the one that the extractor has compared with Google's; its bytes are proven by now.
        self._payload[f"data/{name}"] = members.md5(name), chunks.sha256

    def tag(self, name: str, text: str) -> None:
        """Add a file that tells of the bag."""
        data, path = text.encode(), f"{self._top}/{name}"
        (self._folder / path).write_bytes(data)
        self._output.add(path, len(data), (data,), stored=False)
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        self._tags[name] = md5, hashlib.sha256(data, usedforsecurity=False).hexdigest()

    def manifests(self) -> None:
        """Add the lists of the payload, then those of all other files."""
        for prefix, sums in (("manifest", self._payload), ("tagmanifest", self._tags)):
            md5s, sha256s = (_lines({name: both[kind] for name, both in sums.items()}) for kind in (0, 1))
            self.tag(f"{prefix}-md5.txt", md5s)
            self.tag(f"{prefix}-sha256.txt", sha256s)

    def validate(self) -> None:
        """Redo when the library does not find it valid."""
        try:
            bagit.Bag(str(self._folder / self._top)).validate()
        except bagit.BagError as error:
            raise Redo(f"The bag of {self._top} is not valid ({error}), so it is made again.", local=True) from None


def _lines(sums: Mapping[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in sums.items())


def _require_plain(names: list[str]) -> None:
    """Reject names that readers of the format do not agree on: a % in a list, and a blank at its line's end."""
    for name in names:
        if "%" in name or name != name.rstrip():
            raise Reject(f"A bag cannot hold the book's file {name!r}: its name has a % or ends in a blank.", _CURE)


def _day(members: Members) -> str:
    """The day on which Google made the book, for no other is the same every time; empty when its METS has none."""
    try:
        created = members.mets.created if members.mets else ""
    except MetsError:
        return ""
    day = _DAY.match(created)
    return day[0] if day else ""
