"""One modification at work on a small book, without the stages before and after it."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
