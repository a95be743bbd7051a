"""One book as GRIN shows it: its state, its dates and where its archive lies."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from simulator.grin.stamps import DAY, minute_of

SUFFIX = ".tar.gz.gpg"
FIRST_SCAN = minute_of(datetime(2007, 3, 1, 9))  # noqa: DTZ001 - GRIN's dates tell no zone
SCANNING_MINUTES = 6 * 365 * DAY
AFTER_SCAN = {"scanned": 0, "processed": 87_600 * 60, "recognised": 87_605 * 60, "analyzed": 87_611 * 60}
CONVERTED_AFTER_SCAN = 87_680 * 60
_ADJECTIVES = ("Short", "Complete", "Illustrated", "New", "Collected", "Practical", "Forgotten")
_SUBJECTS = ("Rivers & Ferries", "the Printer's Art", "Häfen im Winter", "les moulins", "Stars", "Bees <and> Orchards")


class State(StrEnum):
    """GRIN's states, and FAILED for a book whose last conversion failed."""

    CHECKED_IN = "CHECKED_IN"
    NEW = "NEW"
    IN_PROCESS = "IN_PROCESS"
    CONVERTED = "CONVERTED"
    PREVIOUSLY_DOWNLOADED = "PREVIOUSLY_DOWNLOADED"
    NOT_AVAILABLE_FOR_DOWNLOAD = "NOT_AVAILABLE_FOR_DOWNLOAD"
    FAILED = "FAILED"


class Facts(NamedTuple):
    """What stays as it is; moments in minutes since 1970, `converted` of the archive at hand."""

    barcode: str
    title: str
    scanned: int
    processed: int
    recognised: int
    analyzed: int
    converted: int
    archive: Path | None = None


class Entry(NamedTuple):
    """A book at one moment; moments in minutes since 1970, 0 for none."""

    facts: Facts
    state: State = State.NEW
    converted: int = 0
    downloaded: int = 0
    failed: int = 0
    builds: int = 0

    @property
    def barcode(self) -> str:
        """The barcode."""
        return self.facts.barcode

    @property
    def file_name(self) -> str:
        """The archive's name in lists and addresses."""
        return self.facts.barcode + SUFFIX

    @property
    def title(self) -> str:
        """The title, made up where none is told."""
        return self.facts.title or (
            f"A {_ADJECTIVES[self.number % 7]} Book of {_SUBJECTS[self.number % 6]}, vol. {self.number % 900}"
        )

    @property
    def shown_state(self) -> str:
        """The state in GRIN's words: a failed book is as good as new."""
        return State.NEW if self.state is State.FAILED else self.state

    def date(self, event: str) -> int:
        """When something was done to the book; 0 while it is only checked in."""
        return 0 if self.state is State.CHECKED_IN else getattr(self.facts, event)

    @property
    def checked_in(self) -> int:
        """When the book came to Google."""
        return self.facts.scanned - 9 * DAY

    @property
    def number(self) -> int:
        """A number to make up facts from."""
        return zlib.crc32(self.facts.barcode.encode())

    @property
    def link(self) -> str:
        """The book's page at Google Books."""
        return f"https://books.google.com/books?id=SIM{self.number:08x}J"

    def etag(self, archive: Path) -> str:
        """The quoted ETag of the archive's present build; another for each book and each conversion."""
        info = archive.stat()
        return f'"{self.number:x}-{info.st_size:x}-{info.st_mtime_ns:x}-{self.builds}"'


def read_facts(folder: Path, only: Collection[str] = ()) -> Iterator[Facts]:
    """The books recorded in a library folder, by barcode; with `only`, just those."""
    for path in sorted((folder / "books").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        if not only or record["barcode"] in only:
            yield _facts(folder, record)


def _facts(folder: Path, record: Mapping[str, Any]) -> Facts:
    barcode = record["barcode"]
    archive = folder / "archives" / f"{barcode}{SUFFIX}"
    return Facts(barcode, record.get("title") or f"Book {barcode}", archive=archive, **_dates(record))


def _dates(record: Mapping[str, Any]) -> dict[str, int]:
    told = {event: minute_of(datetime.fromisoformat(moment)) for event, moment in record.get("dates", {}).items()}
    # Made up where the record tells none, but always the same for the same barcode.
    scanned = FIRST_SCAN + zlib.crc32(record["barcode"].encode()) % SCANNING_MINUTES
    made_up = {event: scanned + after for event, after in AFTER_SCAN.items()}
    return made_up | {"converted": scanned + CONVERTED_AFTER_SCAN} | told
