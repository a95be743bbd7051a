"""What the maker writes down about each book, for tests to hold the pipeline's work against."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from simulator.dates import Dates, iso


@dataclass(frozen=True)
class Fixity:
    """Size in bytes and MD5 in lower-case hex."""

    size: int
    md5: str

    @classmethod
    def of(cls, data: bytes) -> Self:
        """The fixity of bytes in memory."""
        return cls(len(data), hashlib.md5(data, usedforsecurity=False).hexdigest())

    @classmethod
    def of_file(cls, path: Path) -> Self:
        """The fixity of a file, read in pieces."""
        with path.open("rb") as file:
            return cls(path.stat().st_size, hashlib.file_digest(file, "md5").hexdigest())


@dataclass(frozen=True)
class BookRecord:
    """One book: its members as they went into the tar, the tar.gz, the encrypted file, the knobs that were turned."""

    barcode: str
    library: str
    title: str
    pages: int
    members: dict[str, Fixity]
    tar_gz: Fixity
    gpg: Fixity
    knobs: dict[str, bool | str] = field(default_factory=dict)
    poison: str | None = None
    """Why the book can never come home; None for a good one."""
    dates: dict[str, str] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Leaves `<BARCODE>.json` in the folder."""
        (folder / f"{self.barcode}.json").write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """The record that `write` has left."""
        data = json.loads(path.read_text())
        members = {name: Fixity(**fixity) for name, fixity in data.pop("members").items()}
        return cls(**{**data, "members": members, "tar_gz": Fixity(**data["tar_gz"]), "gpg": Fixity(**data["gpg"])})


def dates_record(dates: Dates) -> dict[str, str]:
    """The dates by name, as ISO date-times without a zone."""
    return {name: iso(moment) for name, moment in vars(dates).items()}
