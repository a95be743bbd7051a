"""The stages of a storm: next to nothing to do, so that the kills strike the protocol and not the work."""

from __future__ import annotations

import os
import time
from pathlib import Path

from common import workfiles
from common.config import FilterRow, Settings
from common.stage import Book, Facts, Reject, Retry, Stage

RECORD = 64


class Logged(Stage):
    """Writes a line of fixed length for every piece of work, by one append, to a file that all workers share."""

    def __init__(self, settings: Settings, row: FilterRow) -> None:
        super().__init__(settings, row)
        self._log = -1

    def opened(self) -> None:
        """Open the file."""
        self._log = os.open(work_log(self.settings), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def process(self, book: Book, work: Path) -> Facts | None:
        """Say who works on what, then work."""
        line = f"{book.barcode} {self.row.name} {os.getpid()}"
        os.write(self._log, f"{line:<{RECORD - 1}}\n".encode())
        return self.make(book, work)

    def make(self, book: Book, work: Path) -> Facts | None:
        """The work itself; by itself nothing."""
        return None

    def close(self) -> None:
        """Close the file."""
        os.close(self._log)


class Writes(Logged):
    """Publishes a small file."""

    def make(self, book: Book, work: Path) -> Facts | None:
        """Write the first file."""
        (work / "first.txt").write_text(_text(book))
        return {"bytes_out": len(_text(book))}


class Adds(Logged):
    """Publishes a second file beside those that it found."""

    def make(self, book: Book, work: Path) -> Facts | None:
        """Write the second file from the first."""
        (work / "second.txt").write_text(book.input_file("first.txt").read_text() + "+")
        return {"bytes_out": len(_text(book)) + 1}


class Ends(Logged):
    """Checks what earlier stages made, and removes the book's files once its token has moved, as an uploader does."""

    def make(self, book: Book, work: Path) -> Facts | None:
        """Both files must be whole."""
        first, second = (book.input_file(name).read_text() for name in ("first.txt", "second.txt"))
        if (first, second) != (_text(book), _text(book) + "+"):
            raise Reject("What the earlier stages made is not whole.")
        return None

    def opened(self) -> None:
        """Sweep what a killed one was just removing, as an uploader does."""
        super().opened()
        workfiles.sweep(self.settings.global_.processing_bucket, self.row.output_pipe)

    def moved(self, book: Book) -> None:
        """Remove the book's files."""
        workfiles.remove_book(book.folder)


class Leaks(Writes):
    """Keeps a descriptor, some memory and a temporary file every few books: what a soak must notice."""

    kept: list[object] = []  # noqa: RUF012 - that it is shared and grows is the point

    def make(self, book: Book, work: Path) -> Facts | None:
        """Leak, then work."""
        self.kept.append(bytearray(16_384))
        if len(self.kept) % 25 == 0:
            self.kept.append(os.dup(0))
            self.settings.global_.temp_dir.joinpath(f"{book.barcode}.tmp").touch()
        return super().make(book, work)


class Weighs(Stage):
    """Says that it made a thousand bytes."""

    def process(self, book: Book, work: Path) -> Facts | None:
        """Nothing but the facts."""
        return {"bytes_out": 1_000}


class Waits(Stage):
    """Works for as long as a file is missing."""

    def process(self, book: Book, work: Path) -> Facts | None:
        """Wait for the file."""
        while not Path(self.options["until"]).exists():
            time.sleep(0.02)
        return None


class Fails(Stage):
    """Never succeeds."""

    def process(self, book: Book, work: Path) -> Facts | None:
        """Ask for another attempt."""
        raise Retry("It is not there yet.")


def work_log(settings: Settings) -> Path:
    """Where the logged stages of this board write."""
    return settings.global_.pipeline_dir.parent / "work.log"


def _text(book: Book) -> str:
    return f"{book.barcode}\n" * 3
