"""One book as one of GRIN's lists shows it, and how rows become books: whichever columns a list has."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from pathlib import Path

from common import logs
from common.errors import ConfigError
from common.grin import columns, lists
from common.grin.columns import Columns, date_of

# Enough rows to tell dates from reasons, and few enough to wait for.
SAMPLE = 300


@dataclass(frozen=True, slots=True)
class Entry:
    """What a list says of a book; empty, or None, where it says nothing. Dates have no zone: GRIN tells none."""

    barcode: str
    archive: str = ""
    """The file's name as listed, perhaps with the library's prefix; only where a list names files."""
    state: str = ""
    title: str = ""
    link: str = ""
    scanned: datetime | None = None
    processed: datetime | None = None
    analyzed: datetime | None = None
    converted: datetime | None = None
    downloaded: datetime | None = None
    ocrd: datetime | None = None
    failed: datetime | None = None
    reason: str = ""
    """Why a conversion failed, in short; `detail` has it in full."""
    detail: str = ""


def of_rows(rows: Iterable[str], which: str, library: str) -> Iterator[Entry]:
    """The books in a list's lines, streamed; a header row decides where there is one, else what the columns hold.

    lists.NoList when a row does not begin with a barcode: then a message stands in the list.
    """
    lines = iter(rows)
    sample = list(islice(lines, SAMPLE))
    header = columns.by_header(sample[0].split("\t")) if sample else None
    if header is not None:
        found, body = header, chain(sample[1:], lines)
    else:
        found, body = columns.by_content(which, [row.split("\t") for row in sample]), chain(sample, lines)
    yield from _Reader(found, which, library).read(body)


def read_file(path: Path, library: str) -> Iterator[Entry]:
    """The books in the kept list of all books, streamed; ConfigError when the file is no such list."""
    try:
        with path.open("rb") as file:
            yield from of_rows(lists.lines(iter(lambda: file.read(1 << 16), b"")), "all_books", library)
    except lists.NoList as error:
        cure = "`grin-pipeline inventory refresh` fetches it anew."
        raise ConfigError([f"The list of all books {path} {error}. {cure}"]) from None
    except OSError as error:
        raise ConfigError([f"The list of all books {path} cannot be read: {error.strerror}."]) from None


def of_cells(cells: Sequence[str], found: Columns, library: str) -> Entry:
    """The book in a row's cells, of which those at the end may be missing."""
    return of_values(
        {name: cells[place].strip() for name, place in found.places.items() if place < len(cells)}, library
    )


def of_values(values: dict[str, str], library: str) -> Entry:
    """The book in a row's values by Entry's names, which are used up; dates that are none become None."""
    dates = {name: date_of(values.pop(name)) for name in columns.DATES if name in values}
    name = values.pop("barcode", "") or values.get("archive", "")
    return Entry(lists.barcode_of(name, library), **values, **dates)  # type: ignore[arg-type]


class _Reader:
    """Reads rows with columns that are known, and says once that some rows have too many."""

    def __init__(self, found: Columns, which: str, library: str) -> None:
        self.found = found
        self.which = which
        self.library = library
        self._told = False
        self._gate = lists.Gate(f"_{which}")

    def read(self, rows: Iterable[str]) -> Iterator[Entry]:
        for row in rows:
            cells = row.split("\t")
            if len(cells) > self.found.width:
                self._tell(row)
            entry = of_cells(cells, self.found, self.library)
            if self._gate.passes(row, entry.archive or entry.barcode, entry.barcode):
                yield entry
        self._gate.end()

    def _tell(self, row: str) -> None:
        if not self._told:
            self._told = True
            sentence = f"GRIN's list _{self.which} has rows of more columns than the others, such as that of"
            logging.getLogger(logs.NAME).warning(f"{sentence} {row[:60]!a}; what is too much is left out.")
