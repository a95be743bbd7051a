"""The downloader: a book's encrypted archive from GRIN into the processing bucket."""

from __future__ import annotations

import shutil
from pathlib import Path

from common.config import FilterRow, Settings
from common.durable import free_bytes
from common.errors import Halt, Retry
from common.grin.client import GrinClient
from common.grin.credentials import read_credentials
from common.grin.errors import Passing
from common.grin.lists import ARCHIVE_SUFFIX
from common.stage import Book, Facts, Stage

# The archive, what it decrypts to, and what that unpacks to lie on the disk at the same time.
RESERVE = 3
# What has come of archives whose download broke off; a name with a dot is no stage's.
PARTIAL = ".partial"
# How many bytes come between two looks at the disk.
LOOK_EVERY = 64 << 20
# After so many different books in a row that GRIN would not give, it is GRIN and no book.
IN_A_ROW = 5


class Downloader(Stage):
    """Leaves `<BARCODE>.tar.gz.gpg`."""

    syncs_itself = True
    _client: GrinClient | None = None

    def __init__(self, settings: Settings, row: FilterRow) -> None:
        super().__init__(settings, row)
        self._refused: set[str] = set()

    def check(self) -> list[str]:
        """The library's code and readable credentials are needed before anything can be fetched."""
        problems = []
        if not self.settings.global_.library:
            problems.append("global.library is not set: it is the library's code in GRIN's address, such as PRNC.")
        try:
            read_credentials(self.settings.grin)
        except Halt as halt:
            problems.append(f"{halt.reason} {halt.cure}")
        return problems

    def process(self, book: Book, work: Path) -> Facts:
        """Fetch the archive; the ledger gets its ETag, size and SHA-256, and what of it had to come twice."""
        room = _Room(work, self.settings.global_.min_free)
        keep = book.folder / PARTIAL
        try:
            target = work / f"{book.barcode}{ARCHIVE_SUFFIX}"
            done = self._connected().download(book.barcode, target, room.look, keep=keep)
        except Retry as error:
            if isinstance(error, Passing):
                self._blame_grin(book, error)
            if book.attempt >= self.row.attempts and work.is_dir():
                # It fails for good, and must not fill the disk. Without this folder it would not be ours any more.
                shutil.rmtree(keep, ignore_errors=True)
            raise
        self._refused.clear()
        origin = {"url": done.url, "etag": done.etag, "sha256": done.sha256, "size": done.size}
        effort = {"resumed": done.resumed, "refetched": done.refetched}
        return {**origin, **effort, "bytes_in": done.size, "bytes_out": done.size}

    def _blame_grin(self, book: Book, error: Retry) -> None:
        """Halt when book after book meets a fault of the server: an outage must cost none of them its attempts."""
        self._refused.add(book.barcode)
        if len(self._refused) >= IN_A_ROW:
            reason = f"{error.reason} It was so with {len(self._refused)} books in a row."
            raise Halt(reason, "The stage goes on by itself when GRIN gives one of them.") from None

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def _connected(self) -> GrinClient:
        if self._client is None:
            self._client = GrinClient(self.settings, self.on_request)
        return self._client


class _Room:
    """Sees to it that the disk has room for all that the archive becomes, while it comes."""

    def __init__(self, folder: Path, min_free: int) -> None:
        self._folder = folder
        self._min_free = min_free
        self._next_look = 0

    def look(self, size: int, total: int | None, held: int) -> None:
        """Halt when what is not `held` of it yet, threefold, does not fit above `min_free`."""
        if 0 < size < self._next_look:
            return
        self._next_look = size + LOOK_EVERY
        # What other downloads have reserved is not free any more.
        needed = (total or size) * RESERVE - held + self._min_free
        free = free_bytes(self._folder)
        if free < needed:
            reason = f"The disk of the processing bucket has {free:,} bytes free, and this book needs {needed:,}."
            raise Halt(reason, "Make room, or let the later stages finish their books; this stage goes on by itself.")
