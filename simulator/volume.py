"""A book as its METS tells of it, and the files of its pages."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.dates import Dates
from simulator.knobs import Knobs
from simulator.works import Work


@dataclass(frozen=True)
class PageFile:
    """One file of a page as the METS lists it; `md5` in lower-case hex, `owner` only for images."""

    name: str
    size: int
    md5: str
    owner: str = ""


@dataclass(frozen=True)
class Volume:
    """What a METS tells about a book besides its files."""

    barcode: str
    directory: str
    work: Work
    year: int
    dates: Dates
    knobs: Knobs

    @property
    def object_id(self) -> str:
        """`<DIR>_<BARCODE>`, which also begins the names of the METS and of prefixed pages."""
        return f"{self.directory.upper()}_{self.barcode}"
