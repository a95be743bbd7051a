"""One book as GRIN shows it: its state, its dates and where its archive lies."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

SUFFIX = ".tar.gz.gpg"
_FIRST_SCAN = datetime(2007, 3, 1, 9)  # noqa: DTZ001 - GRIN's dates tell no zone
_SCANNING_MINUTES = 6 * 365 * 24 * 60
_HOURS_AFTER_SCAN = {"scanned": 0, "processed": 87_600, "recognised": 87_605, "analyzed": 87_611, "converted": 87_680}


class State(StrEnum):
    """GRIN's states, and FAILED for a book whose last conversion failed."""

    CHECKED_IN = "CHECKED_IN"
    NEW = "NEW"
    IN_PROCESS = "IN_PROCESS"
    CONVERTED = "CONVERTED"
    PREVIOUSLY_DOWNLOADED = "PREVIOUSLY_DOWNLOADED"
    NOT_AVAILABLE_FOR_DOWNLOAD = "NOT_AVAILABLE_FOR_DOWNLOAD"
    FAILED = "FAILED"


@dataclass(frozen=True)
class Entry:
    """A book at one moment; a change makes a new one, so a list being sent never changes."""

    barcode: str
    archive: Path
    title: str
    dates: Mapping[str, datetime]
    """When it was scanned, processed, recognised, analyzed, and converted for the archive at hand."""
    state: State = State.NEW
    converted: datetime | None = None
    downloaded: datetime | None = None
    failed: datetime | None = None
    builds: int = 0

    @property
    def file_name(self) -> str:
        """The archive's name in lists and addresses."""
        return self.barcode + SUFFIX

    @property
    def shown_state(self) -> str:
        """The state in GRIN's words: a failed book is as good as new."""
        return State.NEW if self.state is State.FAILED else self.state

    def date(self, event: str) -> datetime | None:
        """When something was done to the book; None while it is only checked in."""
        return None if self.state is State.CHECKED_IN else self.dates[event]

    @property
    def checked_in(self) -> datetime:
        """When the book came to Google."""
        return self.dates["scanned"] - timedelta(days=9)

    @property
    def number(self) -> int:
        """A number to make up facts from."""
        return zlib.crc32(self.barcode.encode())

    @property
    def link(self) -> str:
        """The book's page at Google Books."""
        return f"https://books.google.com/books?id=SIM{self.number:08x}J"

    def etag(self) -> str:
        """The quoted ETag of the archive's present build; another for each conversion."""
        info = self.archive.stat()
        return f'"{info.st_size:x}-{info.st_mtime_ns:x}-{self.builds}"'


def read_entries(folder: Path, only: Collection[str] = ()) -> Iterator[Entry]:
    """The books recorded in a library folder, by barcode; with `only`, just those."""
    for path in sorted((folder / "books").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if not only or record["barcode"] in only:
            yield _entry(folder, record)


def _entry(folder: Path, record: Mapping[str, Any]) -> Entry:
    barcode = record["barcode"]
    archive = folder / "archives" / f"{barcode}{SUFFIX}"
    return Entry(barcode, archive, record.get("title") or f"Book {barcode}", _dates(record))


def _dates(record: Mapping[str, Any]) -> dict[str, datetime]:
    told = {event: datetime.fromisoformat(moment) for event, moment in record.get("dates", {}).items()}
    # Made up where the record tells none, but always the same for the same barcode.
    scanned = _FIRST_SCAN + timedelta(minutes=zlib.crc32(record["barcode"].encode()) % _SCANNING_MINUTES)
    return {event: scanned + timedelta(hours=hours) for event, hours in _HOURS_AFTER_SCAN.items()} | told
