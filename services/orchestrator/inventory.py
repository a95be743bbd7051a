"""The kept list of all books: fetched streaming, checked row by row, replaced whole, never lost.

It is GRIN's `_all_books` in the file of global.all_books. What comes is written to a draft beside it; only a whole and
plausible one takes its place, by one rename. A refresh that is killed leaves the old file, and a draft that the next
one sweeps: a draft whose lock is free has no owner.
"""

from __future__ import annotations

import errno
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from common import durable
from common.config import Settings
from common.errors import ConfigError, Halt, Retry
from common.grin import columns, lists
from common.grin.client import GrinClient
from common.grin.entries import Entry
from services.orchestrator.drafts import draft, keep, sweep
from services.orchestrator.render import span
from services.orchestrator.ticker import Ticker

# A list that lost more books than this, as a share, is doubted: libraries lose single books, outages lose many.
_PLAUSIBLE_LOSS = 0.05
# In a list of pages, which tells more: these columns, by GRIN's names.
_COLUMNS = {
    "barcode": "Barcode",
    "state": "State",
    "title": "Title",
    "scanned": "Scanned Date",
    "processed": "Processed Date",
    "analyzed": "Analyzed Date",
    "converted": "Converted Date",
    "downloaded": "Downloaded Date",
    "ocrd": "OCR'd Date",
    "link": "Google Books",
}
_CHUNK = 1 << 20
# Rows after which the disk's free space is looked at again.
_LOOK_EVERY = 10_000


@dataclass
class Kept:
    """What a refresh has kept: books and bytes, how many there were before (None: there was no file), seconds."""

    path: Path
    books: int = 0
    size: int = 0
    before: int | None = None
    seconds: float = 0.0


def kept_path(settings: Settings) -> Path:
    """Where the list is kept, links followed; ConfigError when no file is named, or what is there is none."""
    named = settings.global_.all_books
    if named is None:
        lack = "global.all_books is not set: name the file that keeps GRIN's list of all books, such as all_books.tsv."
        raise ConfigError([lack])
    # A link stays one: the rename must hit what it leads to.
    path = Path(os.path.realpath(named))
    if path.exists() and not path.is_file():
        raise ConfigError([f"global.all_books is {named}, which is no file."])
    return path


def tally(path: Path) -> tuple[int, dict[str, int] | None]:
    """How many books a kept list has, and how many in each state, most first; None where it tells no states."""
    place = _state_column(path)
    with path.open("rb") as file:
        rows = lists.raw_lines(iter(lambda: file.read(_CHUNK), b""))
        books = (row for number, row in enumerate(rows) if number or not _is_header(row))
        if place is None:
            return sum(1 for _ in books), None
        states = Counter((row.split(b"\t", place + 1) + [b""] * place)[place] for row in books)
    named = {state.decode("utf-8", errors="replace") or "(none)": count for state, count in states.most_common()}
    return states.total(), named


def tells_states(path: Path) -> bool:
    """Whether a kept list tells the books' states, as one that was read from pages does."""
    return _state_column(path) is not None


def _state_column(path: Path) -> int | None:
    with path.open("rb") as file:
        first = next(lists.raw_lines(iter(lambda: file.read(_CHUNK), b"")), b"")
    header = columns.by_header(first.decode("utf-8", errors="replace").split("\t"))
    return header.places.get("state") if header else None


class Refresh:
    """One refresh. `say` hears sentences, `client` asks GRIN; with `html` the list is read from pages, which tell
    states and titles, and with `force` a list that has become much shorter is believed.
    """

    def __init__(
        self,
        settings: Settings,
        client: GrinClient,
        say: Callable[[str], None],
        *,
        html: bool = False,
        force: bool = False,
    ) -> None:
        self.client = client
        self.say = say
        self.html = html
        self.force = force
        self.min_free = settings.global_.min_free
        self.kept = Kept(kept_path(settings))

    def run(self) -> Kept:
        """Fetch, check and keep; Retry or Halt when the old list stays, which is on any doubt."""
        path, began = self.kept.path, time.monotonic()
        durable.make_dirs(path.parent)
        sweep(path)
        old_size = path.stat().st_size if path.exists() else 0
        self.kept.before = tally(path)[0] if path.exists() else None
        self._must_have_room(old_size)
        try:
            with draft(path) as file, Ticker(self.say, self._progress):
                self._fill(file)
                self._must_be_plausible()
                keep(file, path)
        except OSError as error:
            raise self._no_disk(error) from None
        durable.fsync_dir(path.parent)
        self.kept.seconds = time.monotonic() - began
        return self.kept

    def _fill(self, file: IO[bytes]) -> None:
        try:
            gate = lists.Gate("_all_books")
            for number, row in enumerate(self._rows()):
                if number % _LOOK_EVERY == 0:
                    self._must_have_room(0)
                if number or not _is_header(row):
                    if not self._passes(gate, row):
                        continue
                    self.kept.books += 1
                self.kept.size += file.write(row + b"\n")
            gate.end()
        except lists.NoList as error:
            raise Retry(f"GRIN's list _all_books {error}. {self._as_it_was}") from None

    def _passes(self, gate: lists.Gate, row: bytes) -> bool:
        name = row.partition(b"\t")[0].decode("utf-8", errors="replace")
        return gate.passes(row.decode("utf-8", errors="replace"), name, lists.barcode_of(name, self.client.library))

    def _rows(self) -> Iterator[bytes]:
        rows = None if self.html else self.client.text_rows("all_books")
        if rows is not None:
            return rows
        if not self.html:
            self.say("GRIN does not give this list as text, so its pages are read.")
        return _as_rows(self.client.page_entries("all_books"))

    def _progress(self, seconds: float) -> str:
        if not self.kept.books:
            return f"Waiting for GRIN's list of all books, {span(seconds)}; it may take minutes to begin …"
        rate = self.kept.books / seconds
        return f"{self.kept.books:,} books, {self.kept.size / 1e6:,.1f} MB, {rate:,.0f} books a second …"

    def _must_be_plausible(self) -> None:
        new, old = self.kept.books, self.kept.before or 0
        if new == 0:
            raise Retry(f"GRIN's list of all books is empty. {self._as_it_was}")
        if new < old * (1 - _PLAUSIBLE_LOSS) and not self.force:
            cure = "If that is right, say so with --force."
            raise Retry(f"GRIN's list has {new:,} books, and the kept one {old:,}. {self._as_it_was}", cure)

    def _must_have_room(self, size: int) -> None:
        free = durable.free_bytes(self.kept.path.parent)
        if free < size + self.min_free:
            raise self._no_disk(OSError(errno.ENOSPC, f"{free / 1e6:,.0f} MB are free"))

    def _no_disk(self, error: OSError) -> Halt:
        cure = f"Make room on the disk of {self.kept.path.parent}, or name another file in global.all_books."
        return Halt(f"The list of all books cannot be written: {error.strerror}. {self._as_it_was}", cure)

    @property
    def _as_it_was(self) -> str:
        return "The kept list stays as it was." if self.kept.before is not None else "Nothing was kept."


def _as_rows(entries: Iterator[Entry]) -> Iterator[bytes]:
    yield "\t".join(_COLUMNS.values()).encode()
    for entry in entries:
        yield "\t".join(_cell(getattr(entry, name)) for name in _COLUMNS).encode()


def _cell(value: object) -> str:
    text = f"{value:%Y/%m/%d %H:%M}" if hasattr(value, "strftime") else str(value or "")
    return " ".join(text.split())


def _is_header(row: bytes) -> bool:
    return columns.by_header(row.decode("utf-8", errors="replace").split("\t")) is not None
