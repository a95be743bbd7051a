"""What is held, a row a book, for the catalogue: from the ledgers alone, streamed, whatever the store is.

A row is one version of a book as its delivery's facts tell of it, with the facts of the stages that made it: what
Google called the archive, how it was verified, and the fact `record`, the catalogue record in short.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common import board, listing
from common.config import Settings
from common.deliveries import Delivery, Stored, deliveries
from common.errors import Halt
from common.ledger import Event
from common.store_keys import MANIFEST
from common.token import is_barcode
from services.orchestrator.sightings import Sightings

Facts = Mapping[str, Any]
Row = dict[str, Any]

RECORD = "record"
# A value of the ledger's record that ends so is longer in the store.
CUT = "…"
# The catalogue record's columns, by the names that the modification marc gives them.
BIBLIOGRAPHIC = (
    "control_number",
    "title",
    "title_remainder",
    "author_personal",
    "author_corporate",
    "author_meeting",
    "date_type",
    "date1",
    "date2",
    "language",
    "lccn",
    "lc_call_number",
    "isbn",
    "oclc",
    "subjects",
    "genres",
    "notes",
)
COLUMNS = (
    "barcode",
    "library",
    "version",
    "delivered",
    *BIBLIOGRAPHIC,
    "pages",
    "members",
    "warnings",
    "fixity",
    "done_bucket",
    "key",
    "size",
    "sha256",
    "provenance",
    "sidecars",
    "etag",
    "encrypted_sha256",
    "total_size",
)
_LOST = "Restore its backup, or let `grin-pipeline audit --rebuild` write it from the store."
# So many books that cannot be told of are named; the rest is counted.
_SHOWN = 20


@dataclass(frozen=True)
class Held:
    """One version of a book in the store; `steps` are the facts of the stages that made it, the newest first."""

    barcode: str
    delivery: Delivery
    event: Event
    steps: tuple[Facts, ...]
    record: Facts

    @property
    def package(self) -> Stored:
        """The package among the files: what the modifier says it is, else the first."""
        made = self.fact("package", dict) or {}
        files = self.delivery.files
        return next((file for file in files if file.name == made.get("name")), files[0])

    @property
    def sidecars(self) -> list[Stored]:
        """The other files."""
        return [file for file in self.delivery.files if file is not self.package]

    @property
    def done_bucket(self) -> str | None:
        """The bucket that it was put into; None where its uploader did not say."""
        told = self.event["facts"].get("done_bucket")
        return told if isinstance(told, str) else None

    def fact(self, name: str, kind: type, beside: str = "") -> Any:
        """The newest fact of that name and type; with `beside`, of a stage that also tells that one. None without."""
        told = (facts[name] for facts in self.steps if name in facts and (not beside or beside in facts))
        found = next(told, None)
        return found if isinstance(found, kind) and not isinstance(found, bool) else None


def held(barcode: str, events: Sequence[Event]) -> list[Held]:
    """The versions of a book, each as it was delivered last; the one that was delivered last of all is the last."""
    delivered = deliveries(events)
    borders = {one.index for one in delivered}
    newest: dict[int, Delivery] = {}
    for one in delivered:
        newest.pop(one.version, None)
        newest[one.version] = one
    return [_held(barcode, events, one, borders) for one in newest.values()]


def _held(barcode: str, events: Sequence[Event], delivery: Delivery, borders: set[int]) -> Held:
    steps = tuple(_steps(events, delivery, borders))
    record = next((facts[RECORD] for facts in steps if RECORD in facts), None)
    return Held(barcode, delivery, events[delivery.index], steps, record if isinstance(record, dict) else {})


def _steps(events: Sequence[Event], delivery: Delivery, borders: set[int]) -> list[Facts]:
    """Of each stage the last time that it was done for this delivery, the newest first."""
    steps: dict[Any, Facts] = {}
    for index in range(delivery.index - 1, -1, -1):
        event = events[index]
        if index in borders:
            # An uploader that was killed before its token had moved tells twice of what was made once.
            if steps:
                break
        elif event["event"] == "done" and "late" not in event and "facts" in event:
            steps.setdefault(event.get("stage"), event["facts"])
    return list(steps.values())


def row(one: Held, library: str, done_bucket: str) -> Row:
    """All columns, in their order; None where nobody said. `done_bucket` is where books go that do not tell."""
    delivery, package = one.delivery, one.package
    values: tuple[Any, ...] = (
        one.barcode,
        library,
        delivery.version,
        one.event.get("time"),
        *(_value(one.record.get(name)) for name in BIBLIOGRAPHIC),
        one.fact("pages", int),
        one.fact("members", int),
        len(_warnings(one.steps)),
        one.fact("fixity", str),
        one.done_bucket or done_bucket,
        package.key,
        package.size,
        package.sha256,
        delivery.provenance or None,
        [file.key for file in one.sidecars],
        one.fact("etag", str),
        one.fact("sha256", str, beside="etag"),
        _total(package),
    )
    return dict(zip(COLUMNS, values, strict=True))


def _total(package: Stored) -> int | None:
    """The book's bytes in the store without what lies beside it; None of loose files of which nobody said how large."""
    if package.name != MANIFEST:
        return package.size
    return package.size + package.tree[1] if package.size is not None and package.tree is not None else None


def _warnings(steps: Iterable[Facts]) -> set[str]:
    """As many as the provenance has: what two stages say in the same words is one warning."""
    listed = (facts["warnings"] for facts in steps if isinstance(facts.get("warnings"), list))
    return {str(warning) for warnings in listed for warning in warnings}


def _value(value: Any) -> str | list[str] | None:
    """A text or a list of texts, whatever the ledger holds."""
    if isinstance(value, list):
        return [str(one) for one in value if one is not None] or None
    return str(value) if isinstance(value, str | int) else None


@dataclass(frozen=True)
class Wish:
    """Which books: those that were named, or all; `since` is a time, `versions` means the older ones, too."""

    barcodes: Iterable[str] | None = None
    named: bool = False
    """Somebody named each of them, and is told of those that are not held."""
    since: datetime | None = None
    versions: bool = False


class Report:
    """Goes through the ledgers of one board and counts; changes nothing."""

    def __init__(self, settings: Settings, wish: Wish, say: Callable[[str], None]) -> None:
        seen = Sightings(settings)
        self.ledger, self._lasts = seen.ledger, seen.lasts
        self.wish = wish
        self.books = self.rows = self.faults = 0
        self._say = say

    def held(self) -> Iterator[Held]:
        """What is to be told of, in the order of the ledger's folders, or as the books were named.

        Halt when there is no ledger though books are done: it is lost, and an empty report would be a wrong one.
        """
        wish = self.wish
        for barcode in registered(self.ledger.folder) if wish.barcodes is None else _once(wish.barcodes):
            self.books += 1
            found = self._read(barcode)
            for one in found if wish.versions else found[-1:]:
                if wish.since is None or _delivered_since(one.event, wish.since):
                    self.rows += 1
                    yield one
        if not self.books and wish.barcodes is None and self._has_done_books():
            raise Halt("There are books that are done, and no ledger tells of any.", _LOST)

    def fault(self, barcode: str, what: str) -> None:
        """Tell of a book that is missing from the report, or not all of it in it; the first of them by name."""
        self.faults += 1
        if self.faults <= _SHOWN:
            self._say(f"{barcode}: {what}")
        elif self.faults == _SHOWN + 1:
            self._say("… and more of them, which are only counted.")

    def _has_done_books(self) -> bool:
        return any(listing.count(last, board.WAITING, 1) for last in self._lasts)

    def _read(self, barcode: str) -> list[Held]:
        try:
            events = self.ledger.read(barcode)
            if not events and self.ledger.path(barcode).exists():
                self.fault(barcode, f"its ledger {self.ledger.path(barcode)} is damaged: no line of it can be read.")
                return []
        except OSError as error:
            self.fault(barcode, f"its ledger cannot be read: {error}.")
            return []
        found = held(barcode, events)
        if self.wish.named and not found:
            known = "it has not been delivered yet" if events else "nothing is known of it"
            self.fault(barcode, f"{known}, so it is not held.")
        return found


def _once(barcodes: Iterable[str]) -> Iterator[str]:
    """Each book where it is named first; a token that moves may also be listed twice."""
    seen = set()
    for barcode in barcodes:
        if barcode not in seen:
            seen.add(barcode)
            yield barcode


def registered(ledger: Path) -> Iterator[str]:
    """All books that have a ledger, folder by folder, sorted within each: the same list for the same board."""
    for shard in sorted(_names(ledger)):
        names = _names(ledger / shard)
        books = (name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl"))
        yield from sorted(filter(is_barcode, books))


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _delivered_since(event: Event, since: datetime) -> bool:
    """Whether it was delivered since then; what tells no time is told once more rather than never."""
    try:
        time = datetime.fromisoformat(str(event.get("time")))
    except ValueError:
        return True
    return (time if time.tzinfo else time.replace(tzinfo=UTC)) >= since
