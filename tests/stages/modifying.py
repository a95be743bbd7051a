"""One modification at work on a small book, without the stages before and after it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from books import BARCODE

from common.manifest import Member
from common.shelves import FilesWriter, Shelf
from common.stage import Book
from services.modifier.members import Members
from services.modifier.modification import Modification


class Desk:
    """A book whose members lie in a folder, and the folder for sidecars."""

    def __init__(self, folder: Path, files: Mapping[str, bytes], barcode: str = BARCODE) -> None:
        lying, self.outbox = folder / "lying", folder / "outbox"
        lying.mkdir(parents=True)
        self.outbox.mkdir()
        writer = FilesWriter(lying)
        listed = {}
        for name, data in files.items():
            writer.put(name, len(data), [data])
            md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
            listed[name] = Member(len(data), md5, zlib.crc32(data))
        writer.close()
        self.members = Members(Shelf(lying), listed, self.outbox, barcode)
        self.book = Book(barcode, folder, "")

    def apply(self, cls: type[Modification], **options: Any) -> list[str]:
        """Let a modification work; its warnings."""
        modification = cls(options)
        assert modification.check() == []
        facts = modification.apply(self.members, self.book) or {}
        return list(facts.get("warnings", ()))

    def sidecars(self) -> dict[str, bytes]:
        """All sidecars by what follows the barcode in their names."""
        files = {path.name: path.read_bytes() for path in self.outbox.iterdir()}
        assert sorted(files) == sorted(self.members.sidecars)
        return {name.removeprefix(f"{self.book.barcode}."): data for name, data in files.items()}


def paged_mets(pages: Sequence[tuple[str, Sequence[str]]], more: str = "") -> bytes:
    """A METS with a structural map: for each page the attributes of its div, and the names of its files."""
    names = list(dict.fromkeys(name for _, files in pages for name in files))
    listed = "".join(
        f'<METS:file ID="F{at}"><METS:FLocat xlink:href="{name}"/></METS:file>' for at, name in enumerate(names)
    )
    ids = {name: at for at, name in enumerate(names)}
    divs = "".join(
        f'<METS:div TYPE="page" {attributes}>'
        + "".join(f'<METS:fptr FILEID="F{ids[name]}"/>' for name in files)
        + "</METS:div>"
        for attributes, files in pages
    )
    return (
        '<METS:mets xmlns:METS="http://www.loc.gov/METS/" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'OBJID="TESTLIB_{BARCODE}"><METS:metsHdr CREATEDATE="2023-10-21T06:36:39"/>{more}<METS:fileSec>'
        f'<METS:fileGrp USE="image">{listed}</METS:fileGrp></METS:fileSec><METS:structMap>'
        f'<METS:div TYPE="volume">{divs}</METS:div></METS:structMap></METS:mets>'
    ).encode()


def files_of(number: int, prefix: str = "") -> list[str]:
    """The names of a page's image, text and hOCR."""
    return [f"{prefix}{number:08d}.{kind}" for kind in ("tif", "txt", "html")]


class Acts(Modification):
    """Does what the test says."""

    act: ClassVar[Callable[[Members], Any]]

    def apply(self, members: Members, book: Book) -> Any:
        """Do it."""
        return type(self).act(members)


def acting(monkeypatch: pytest.MonkeyPatch, act: Callable[[Members], Any]) -> str:
    """The name of a modification that does this."""
    monkeypatch.setattr(Acts, "act", staticmethod(act), raising=False)
    return f"{__name__}:Acts"
