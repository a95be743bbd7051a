"""`audit`: the ledger against the board, the done bucket and GRIN's lists; and what can be set right.

Everything is streamed; of a million books nothing is held but those that GRIN is asked about. The board moves
meanwhile: whatever seems wrong is looked at once more, a moment later, and told only if it is still wrong and nobody
has written into the book's ledger in between.
"""

from __future__ import annotations

import heapq
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from common import board, listing
from common.config import Settings
from common.errors import Halt
from common.ledger import NoLedger
from common.token import is_barcode
from services.orchestrator.audit_checks import Check, Checks
from services.orchestrator.audit_fix import Fixer
from services.orchestrator.audit_grin import AgainstGrin
from services.orchestrator.audit_store import Store
from services.orchestrator.discrepancy import EXTRA, FIXES, PLACE, STUCK, Discrepancy
from services.orchestrator.rebuild import Rebuilder, Unfit
from services.orchestrator.sightings import Sightings, Stamp

# A book that seems wrong is looked at again after so many seconds, and only when its ledger has been still for so long.
_PAUSE, _QUIET = 0.5, 2.0
# Books that share this waiting.
_BATCH = 4096
_REPORT_EVERY = 100_000
# So many books are chosen by lot: of the delivered ones among them most may not be missing whole, nor so many that it
# would be the third figure in all. A very few always may.
_SAMPLE, _FEW, _MANY = 200, 5, 1_000
_DISK = "See that it is mounted and can be read, then audit again."


@dataclass(frozen=True)
class Orders:
    """What an audit was asked to do, and by whom."""

    by: str
    barcodes: tuple[str, ...] = ()
    fix: bool = False
    rebuild: bool = False
    deep: bool = False
    grin: bool = True
    limit: int | None = None
    dry_run: bool = False
    force: bool = False
    """Even though most books are missing from the store."""


@dataclass(frozen=True)
class Result:
    """A discrepancy, and what was done about it: empty, "would …" or what `FIXES` and the rebuilding say."""

    found: Discrepancy
    done: str = ""

    @property
    def remains(self) -> bool:
        """Whether somebody still has to do something."""
        return self.found.is_finding and (not self.done or self.done.startswith("would"))

    def as_dict(self) -> dict[str, str]:
        """The members of the JSON line."""
        found = self.found
        return {
            "barcode": found.barcode,
            "what": found.what,
            "detail": found.detail,
            "cure": found.cure,
            "done": self.done,
        }


@dataclass
class Summary:
    """How many books were looked at, how many have failed, and how many results of each kind there were."""

    books: int = 0
    failed: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    fixed: int = 0
    remain: int = 0

    def count(self, result: Result) -> None:
        """One more result."""
        self.kinds[result.found.what] += 1
        self.remain += result.remains
        self.fixed += result.found.is_finding and not result.remains


@dataclass(frozen=True)
class _Suspect:
    barcode: str
    check: Check
    seen: frozenset[tuple[str, str]]
    stamp: Stamp | None


class Audit:
    """One audit of one board. Halt when the board or the store cannot be read."""

    def __init__(self, settings: Settings, orders: Orders, say: Callable[[str], None]) -> None:
        self.settings = settings
        self.orders = orders
        self.say = say
        self.summary = Summary()
        self.sightings = Sightings(settings)
        self.checks = Checks(settings, self.sightings, deep=orders.deep, force=orders.force)
        self.fixer = Fixer(self.sightings, orders.by)
        # Books that a rebuilding has refused, and said so.
        self._unfit: set[str] = set()

    def run(self) -> Iterator[Result]:
        """Look at everything, streamed, at most `limit` results."""
        try:
            self._require_store()
            for number, result in enumerate(self._results(), 1):
                self.summary.count(result)
                yield result
                if number == self.orders.limit:
                    break
            self.summary.failed = sum(listing.count(bucket, board.FAILED) for bucket in self.sightings.buckets)
        except OSError as error:
            raise Halt(f"The board at {self.sightings.root} cannot be read: {error}.", _DISK) from error

    def _require_store(self) -> None:
        store = self.checks.store
        if store is None:
            return
        if self.orders.rebuild or any(listing.count(last, board.WAITING, 1) for last in self.sightings.lasts):
            store.require()
        if not (self.orders.force or self.orders.barcodes):
            self._require_books(store)

    def _require_books(self, store: Store) -> None:
        """Halt when many books are missing whole: a stray file in a mount point does not make it the store."""
        every = enumerate(self._registered(), 1)
        chosen = heapq.nsmallest(_SAMPLE, every, key=lambda _: random.random())  # noqa: S311 - no secret
        looked: Counter[str] = Counter()
        gone: Counter[str] = Counter()
        for _, barcode in chosen:
            name, is_there = self.checks.sample(barcode) or ("", True)
            looked[name] += bool(name)
            gone[name] += not is_there
        if looked.total():
            store.require()
        for name, missing in gone.items():
            # Of all books there are, as far as the sample tells.
            likely = missing * max(number for number, _ in chosen) / len(chosen)
            if missing >= _FEW and (missing > looked[name] / 2 or likely > _MANY):
                reason = f"Of {looked[name]} delivered books that were looked for, {missing} are not in {name} at all."
                cure = (
                    "Is all of it mounted, and is it the right one? If they are really lost: --force. Nothing was done."
                )
                raise Halt(reason, cure)

    def _results(self) -> Iterator[Result]:
        yield from self._store()
        yield from self._confirmed(chain(self._ledgers(), self._tokens(), self._folders()))
        if self.orders.grin:
            grin = AgainstGrin(self.settings, self.sightings, self.say)
            yield from self._confirmed(grin.suspects(frozenset(self.orders.barcodes)))

    # --- where books are known from ---

    def _ledgers(self) -> Iterator[tuple[str, Check]]:
        for barcode in self.orders.barcodes or self._registered():
            self.summary.books += 1
            if self.summary.books % _REPORT_EVERY == 0:
                self.say(f"{self.summary.books:,} books looked at …")
            yield barcode, self.checks.everywhere if self.orders.barcodes else self.checks.book

    def _registered(self) -> Iterator[str]:
        for shard in _names(self.sightings.ledger.folder):
            for name in _names(self.sightings.ledger.folder / shard):
                barcode = name.removesuffix(".jsonl")
                if name.endswith(".jsonl") and is_barcode(barcode):
                    yield barcode

    def _tokens(self) -> Iterator[tuple[str, Check]]:
        """Tokens of done books without a ledger, and those of books that are done and on their way at once."""
        if self.orders.barcodes:
            yield from ((barcode, self.checks.untold) for barcode in self.orders.barcodes)
            return
        for bucket in self.sightings.buckets:
            for state in board.STATES:
                done = bucket in self.sightings.lasts and state == board.WAITING
                for barcode in listing.barcodes(bucket, state):
                    if done and barcode not in self._unfit:
                        yield barcode, self._untold
                    elif not done and self.sightings.home(barcode) is not None:
                        yield barcode, self.checks.everywhere

    def _untold(self, barcode: str) -> list[Discrepancy]:
        """A done token without a ledger; not what a rebuilding tells of, which is all that the store has."""
        found = self.checks.untold(barcode)
        stores = self.checks.stores(barcode) if found and self.orders.rebuild else []
        return [] if any(any(store.books((barcode,))) for store in stores) else found

    def _folders(self) -> Iterator[tuple[str, Check]]:
        """What lies in the processing bucket."""
        names = self.orders.barcodes or _names(self.settings.global_.processing_bucket)
        yield from ((name, self.checks.orphan) for name in names)

    # --- looking again ---

    def _confirmed(self, books: Iterator[tuple[str, Check]]) -> Iterator[Result]:
        suspects: list[_Suspect] = []
        for barcode, check in books:
            stamp = self.sightings.stamp(barcode)
            if found := _asked(check, barcode):
                suspects.append(_Suspect(barcode, check, _kinds(found), stamp))
            if len(suspects) >= _BATCH:
                yield from self._again(suspects)
                suspects = []
        yield from self._again(suspects)

    def _again(self, suspects: list[_Suspect]) -> Iterator[Result]:
        if not suspects:
            return
        youngest = max((suspect.stamp or (0, 0))[1] for suspect in suspects) / 1e9
        time.sleep(max(_PAUSE, min(_QUIET, youngest + _QUIET - self.checks.now())))
        for suspect in suspects:
            before = self.sightings.stamp(suspect.barcode)
            found = [one for one in _asked(suspect.check, suspect.barcode) if (one.what, one.fix) in suspect.seen]
            still = before == suspect.stamp == self.sightings.stamp(suspect.barcode)
            told = [one for one in found if still or one.sure]
            yield from self._told(told, suspect.stamp)

    def _told(self, found: list[Discrepancy], stamp: Stamp | None) -> Iterator[Result]:
        """Several things may be wrong with a book; it is set right once, by the first of them."""
        # One of them that nothing can be done about does not keep the others.
        order = next((one for one in found if one.fix), None)
        done = self._fixed(order, stamp) if order is not None else ""
        yield from (Result(one, done if one.fix else "") for one in found)

    def _fixed(self, found: Discrepancy, stamp: Stamp | None) -> str:
        wanted = self.orders.fix or (self.orders.rebuild and found.fix == PLACE)
        if not wanted:
            return ""
        if self.orders.dry_run:
            return f"would: {FIXES[found.fix]}"
        return FIXES[found.fix] if self.fixer.fix(found, stamp) else ""

    # --- the store's own books ---

    def _store(self) -> Iterator[Result]:
        """What the stores have and the ledger does not know; with `--rebuild`, it knows it from then on."""
        store = self.checks.store
        if store is None:
            return
        before = ""
        for key in store.books(self.orders.barcodes) if self.orders.barcodes else store.walk():
            if key.barcode != before and self.sightings.stamp(key.barcode) is None:
                yield from self._unknown(key.barcode, store)
            before = key.barcode
        for barcode in self._at_home() if self.orders.rebuild else ():
            for other in self.checks.stores(barcode)[1:]:
                yield from self._unknown(barcode, other) if any(other.books((barcode,))) else ()

    def _at_home(self) -> Iterator[str]:
        """Books that are done, on the board, and of which the ledger knows nothing."""
        every = (barcode for last in self.sightings.lasts for barcode in listing.barcodes(last, board.WAITING))
        for barcode in self.orders.barcodes or every:
            if self.sightings.stamp(barcode) is None:
                yield barcode

    def _unknown(self, barcode: str, store: Store) -> Iterator[Result]:
        if not self.orders.rebuild and self.sightings.home(barcode) is not None:
            # Its token is told of.
            return
        for found in self.checks.unknown(barcode):
            try:
                done = self._rebuilt(barcode, store) if self.orders.rebuild else ""
                if done is not None:
                    yield Result(found, done)
            except Unfit as error:
                self._unfit.add(barcode)
                cure = "Nothing was rebuilt of it. Bring it back from a backup, or move it out and seed the book."
                yield Result(Discrepancy(barcode, EXTRA, f"the ledger does not know it, and it {error}", cure))

    def _rebuilt(self, barcode: str, store: Store) -> str | None:
        """What was done; None when somebody else was faster."""
        rebuilder = Rebuilder(self.sightings, store, self.orders.by, deep=self.orders.deep)
        if self.orders.dry_run:
            rebuilder.story(barcode)
            return "would: its ledger is written from its provenance"
        return "its ledger is written from its provenance" if rebuilder.rebuild(barcode) else None


def _asked(check: Check, barcode: str) -> list[Discrepancy]:
    try:
        return check(barcode)
    except (NoLedger, PermissionError) as error:
        cure = "Put a backup of it in its place; without one, remove what lies there."
        return [Discrepancy(barcode, STUCK, f"its ledger cannot be read: {error}", cure)]


def _kinds(found: list[Discrepancy]) -> frozenset[tuple[str, str]]:
    return frozenset((one.what, one.fix) for one in found)


def _names(folder: Path) -> Iterator[str]:
    """The names in a folder that are not hidden, streamed; none where it is not there."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries if not entry.name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return
