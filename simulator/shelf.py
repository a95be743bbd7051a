"""A library on disk: encrypted archives, and beside them a record of what is inside each.

<folder>/library.json                    what it was made from; written last, so it marks a complete library
<folder>/archives/<BARCODE>.tar.gz.gpg
<folder>/books/<BARCODE>.json
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from simulator.records import BookRecord


@dataclass(frozen=True)
class Library:
    """A folder of books under a directory code."""

    folder: Path
    name: str
    seed: int

    @property
    def archives(self) -> Path:
        """Where the encrypted archives lie."""
        return self.folder / "archives"

    @property
    def records(self) -> Path:
        """Where the records lie."""
        return self.folder / "books"

    @property
    def recipe(self) -> Path:
        """The file that says what the library was made from."""
        return self.folder / "library.json"

    def archive(self, barcode: str) -> Path:
        """The encrypted archive of a book."""
        return self.archives / f"{barcode}.tar.gz.gpg"

    def record(self, barcode: str) -> BookRecord:
        """What is known of a book."""
        return BookRecord.read(self.records / f"{barcode}.json")

    def barcodes(self) -> list[str]:
        """All books, sorted."""
        return sorted(path.stem for path in self.records.glob("*.json"))


def open_library(folder: Path) -> Library:
    """A library that was made before; FileNotFoundError where there is none."""
    recipe = json.loads((folder / "library.json").read_text())
    return Library(folder, recipe["library"], recipe["seed"])
