"""What is available at GRIN and not converted: which books to ask for, in which order, and why the others not."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO

from common import audit, board, listing
from common.config import SEED_LISTS, Settings
from common.grin.client import GrinClient
from common.grin.entries import Entry
from common.ledger import Ledger, NoLedger
from services.orchestrator.asked import Asked
from services.orchestrator.seeding import Source, Wish, bucket_for

IN_PROCESS, CONVERTED, KNOWN = "in process", "converted", "known here"
NO_ARCHIVE = "no converted archive"
# What may be asked for, where the states tell it: never converted, or fetched once and gone since.
REQUESTABLE = ("NEW", "PREVIOUSLY_DOWNLOADED")


@dataclass
class Lists:
    """GRIN's lists as they were read a moment ago, in this order: a book that moved on meanwhile is on one of them."""

    in_process: set[str]
    converted: dict[str, datetime | None]
    """When each was converted, where GRIN tells; in the list's order."""
    failed: dict[str, None] = field(default_factory=dict)


def read_lists(client: GrinClient, asked: Asked) -> Lists:
    """Fetch them, and remember what has failed. Retry or Halt when one cannot be had: none is ever taken for empty."""
    found = Lists(set(client.barcodes("in_process")), {e.barcode: e.converted for e in client.entries("converted")})
    failed: list[Entry] = list(client.entries("failed"))
    asked.refresh()
    asked.note_seen(found.in_process, found.converted)
    asked.record_failed(failed, found.in_process | found.converted.keys())
    found.failed = dict.fromkeys(entry.barcode for entry in failed)
    return found


class Available:
    """The list of what may be asked for, fetched whole into a nameless file: asking takes longer than GRIN waits."""

    def __init__(self, settings: Settings, client: GrinClient) -> None:
        self.count = 0
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
        try:
            for barcode in _available(settings, client):
                self._file.write(barcode.encode() + b"\n")
                self.count += 1
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[str]:
        self._file.seek(0)
        return (line.rstrip(b"\n").decode() for line in self._file)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


def _available(settings: Settings, client: GrinClient) -> Iterator[str]:
    if settings.grin.available_from == "available":
        yield from client.barcodes("available")
        return
    for state in REQUESTABLE:
        yield from client.barcodes("all_books", book_state=state)


class Wanted:
    """Chooses, and counts in `others` why books were passed over; `again` asks whatever was answered before."""

    def __init__(self, settings: Settings, found: Lists, asked: Asked, moment: float, *, again: bool = False) -> None:
        self.settings = settings
        self.found = found
        self.asked = asked
        self.moment = moment
        self.again = again
        self.others = Counter[str]()
        self._ledger = Ledger(settings.global_.pipeline_dir / "ledger")
        self._first = bucket_for(settings, None)
        self._met: set[str] = set()

    def named(self, barcodes: Iterable[str]) -> Iterator[str]:
        """Those of the named books that are to be asked for; the ones that are here already only with `again`."""
        for barcode in barcodes:
            if barcode not in self._met:
                self._met.add(barcode)
                yield from self._judged(barcode, here=self.again or self._is_stuck(barcode))

    def everything(self, available: Iterable[str]) -> Iterator[str]:
        """What the line waits for first, then the user's own list, then all that is available, in GRIN's order.

        Where a list of the user's is all that is to be brought home, nothing else is asked for.
        """
        for barcode in self._stuck():
            self._met.add(barcode)
            yield from self._judged(barcode, here=True)
        yield from self._wished()
        if wishes_only(self.settings):
            return
        for barcode in available:
            if barcode not in self._met and barcode not in self.found.failed:
                yield from self._judged(barcode)
        for barcode in self.found.failed:
            if barcode not in self._met:
                yield from self._judged(barcode)

    def _wished(self) -> Iterator[str]:
        source = wish_list(self.settings)
        if source is not None:
            with Source(self.settings, Wish(source=source)) as barcodes:
                for barcode in barcodes:
                    if barcode not in self._met:
                        self._met.add(barcode)
                        yield from self._judged(barcode)

    def _judged(self, barcode: str, *, here: bool = False) -> Iterator[str]:
        """The book, or nothing and a count of why."""
        why = self._why_not(barcode, here)
        if why:
            self.others[why] += 1
        else:
            yield barcode

    def _why_not(self, barcode: str, here: bool) -> str:
        if barcode in self.found.in_process:
            return IN_PROCESS
        if barcode in self.found.converted:
            return CONVERTED
        if not here and os.path.lexists(self._ledger.path(barcode)):
            return KNOWN
        return "" if self.again else self.asked.why_not(barcode, self.moment)

    def _stuck(self) -> Iterator[str]:
        """Books that wait for a download, or have failed in it, while GRIN has no archive of them."""
        for state in (board.WAITING, board.DEFERRED, board.FAILED):
            for barcode in listing.barcodes(self._first, state):
                # What GRIN has an archive of, the line fetches by itself.
                if barcode not in self.found.converted and (state != board.FAILED or self._lacks_archive(barcode)):
                    yield barcode

    def _is_stuck(self, barcode: str) -> bool:
        def lies(state: str) -> bool:
            return os.path.lexists(board.path_of(self._first, barcode, state))

        return lies(board.WAITING) or lies(board.DEFERRED) or (lies(board.FAILED) and self._lacks_archive(barcode))

    def _lacks_archive(self, barcode: str) -> bool:
        return lacks_archive(self._ledger, barcode)


def lacks_archive(ledger: Ledger, barcode: str) -> bool:
    """Whether a failed book failed because GRIN had no archive of it."""
    try:
        why, _ = audit.reason(ledger.read(barcode), board.FAILED)
    except NoLedger:
        return False
    return NO_ARCHIVE in why


def wish_list(settings: Settings) -> str | None:
    """The file with the books that the user wants above all."""
    source = settings.seed.from_
    if source is not None and source not in SEED_LISTS:
        return source
    return str(settings.seed.barcodes_file) if settings.seed.barcodes_file else None


def wishes_only(settings: Settings) -> bool:
    """Whether that file is all that is brought home, so that other archives would only push these out of the pool."""
    return wish_list(settings) is not None and settings.seed.from_ not in SEED_LISTS


def undelivered(settings: Settings, found: Lists) -> int:
    """How many of the converted books are not brought home yet."""
    ledger, first = Ledger(settings.global_.pipeline_dir / "ledger"), bucket_for(settings, None)
    unknown = sum(not os.path.lexists(ledger.path(barcode)) for barcode in found.converted)
    return unknown + sum(b in found.converted for state in board.STATES for b in listing.barcodes(first, state))
