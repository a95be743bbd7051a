"""What an audit asks of one book at a time: what does not agree about it at this moment. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from common import board, durable, workfiles
from common.config import Settings
from common.deliveries import Stored, deliveries
from common.heartbeat import seen
from common.ledger import Event, NoLedger, last
from common.token import TokenError, is_barcode, parse
from services.orchestrator.audit_store import GONE, Store, uploaders
from services.orchestrator.discrepancy import CHANGED, EXTRA, HOME, MISSING, PLACE, RESEED, RESEND, STUCK, Discrepancy
from services.orchestrator.sightings import Sight, Sightings

Check = Callable[[str], list[Discrepancy]]
# A deferred token that was due so many seconds ago is stuck; so is a claim whose worker was silent so many times
# reap_after, for then nobody reaps.
OVERDUE, SILENT = 3600.0, 3
# Three looks at a book whose token is nowhere.
_LOOKS = 3
_AGAIN = "`grin-pipeline audit --fix` sends it back to the first bucket."


class Checks:
    """The questions, for one board and its store."""

    def __init__(self, settings: Settings, sightings: Sightings, *, deep: bool) -> None:
        self.settings = settings
        self.sightings = sightings
        self.deep = deep
        self.store = Store(settings) if uploaders(settings) else None
        self._stores: dict[str, Store] = {}
        self._silence: tuple[float, dict[str, float]] = (0.0, {})

    # --- the ledger against the board and the store ---

    def book(self, barcode: str) -> list[Discrepancy]:
        """A book that the ledger knows: where is its token, and, if it is done, is all of it in the store?"""
        home = self.sightings.home(barcode)
        return self.everywhere(barcode) if home is None else self._delivered(barcode, home)

    def everywhere(self, barcode: str) -> list[Discrepancy]:
        """The same, looking into every bucket, even where the book is done."""
        places = self.sightings.look(barcode)
        for _ in range(_LOOKS - 1):
            if len({sight.inode for sight in places.values()}) > 1:
                # One token is one file for life: these are two, however they move.
                return [_twice(barcode, list(places.values()), sure=True)]
            if len(places) == 1:
                return self._waits(barcode, next(iter(places.values())))
            again = self.sightings.look(barcode)
            # What is seen each time: a token that moves is seen in one place, and then in another.
            places = again if not places else {path: again[path] for path in places.keys() & again.keys()} or again
        if len(places) > 1:
            return [_twice(barcode, list(places.values()))]
        return [] if places else self._nowhere(barcode)

    def _waits(self, barcode: str, sight: Sight) -> list[Discrepancy]:
        if sight.state == board.WAITING and sight.bucket in self.sightings.lasts:
            return self._delivered(barcode, sight)
        now = self.now()
        if sight.state == board.DEFERRED and now - sight.mtime > OVERDUE:
            hours = (now - sight.mtime) / 3600
            detail = f"it was to be tried again in {sight.bucket.name} {hours:,.0f} hours ago"
            cure = f"See whether the stage runs and is not paused; `grin-pipeline retry {barcode}` makes it wait."
            return [Discrepancy(barcode, STUCK, detail, cure)]
        return self._claimed(barcode, sight) if sight.state == board.WORKING else []

    def _claimed(self, barcode: str, sight: Sight) -> list[Discrepancy]:
        worker = sight.path.name.partition("~")[2].rpartition(".json")[0].rpartition(".")[0]
        silent = self._silent_for(worker)
        if silent is not None and silent <= SILENT * self.settings.global_.reap_after:
            return []
        since = "has no heartbeat" if silent is None else f"gave no sign of life for {silent:,.0f} seconds"
        cure = "Start any stage, or `grin-pipeline up`: each brings back what dead workers held."
        return [
            Discrepancy(barcode, STUCK, f"the worker {worker} has claimed it in {sight.bucket.name} and {since}", cure)
        ]

    def _nowhere(self, barcode: str) -> list[Discrepancy]:
        if self.sightings.stamp(barcode) is None:
            # Somebody asked for it by name; what the store has of it is told of elsewhere.
            known = self.store is not None and any(self.store.books((barcode,)))
            detail, cure = "nothing is known of it: it was never seeded on this board", "`grin-pipeline seed` adds it."
            return [] if known else [Discrepancy(barcode, MISSING, detail, cure)]
        if self.sightings.unplaced(barcode) is not None:
            detail = "it was registered, and whoever wrote its token did not live to place it"
            return [
                Discrepancy(barcode, STUCK, detail, "`grin-pipeline audit --fix`, or any seeding, places it.", PLACE)
            ]
        detail = "it is registered, and its token is nowhere on the board"
        events = self.sightings.ledger.read(barcode)
        newest = last(events, "registered", "reseeded", "dropped", "released")
        if newest is not None and newest["event"] == "dropped":
            cure = "A person dropped it, and its token was removed since: remove its ledger, too, to seed it anew."
            return [Discrepancy(barcode, STUCK, f"{detail}, not even among the dropped ones", cure)]
        if self._is_whole(events):
            cure = "All of it is in the store: `grin-pipeline audit --fix` gives it a token in the last bucket."
            return [Discrepancy(barcode, STUCK, detail, cure, HOME)]
        return [Discrepancy(barcode, STUCK, detail, "`grin-pipeline audit --fix` gives it a new one.", RESEED)]

    def _is_whole(self, events: list[Event]) -> bool:
        """Whether the ledger's last word on the book is its delivery, and the store has all of that."""
        delivered = deliveries(events)
        begun = last(events[delivered[-1].index :], "attempt", "renewed") if delivered else None
        if self.store is None or not delivered or begun is not None:
            return False
        expected = self.store.expected(delivered).values()
        return not any(fault for stored in expected for fault in self.store.faults(stored, deep=self.deep))

    def _delivered(self, barcode: str, home: Sight) -> list[Discrepancy]:
        if self.store is None:
            return []
        delivered = deliveries(self.sightings.ledger.read(barcode))
        if not delivered:
            if self.sightings.stamp(barcode) is None:
                return [_untold(barcode, home)]
            detail = "its token is in the last bucket, and its ledger tells of no upload"
            return [Discrepancy(barcode, MISSING, detail, _AGAIN, RESEND)]
        newest = max(delivery.version for delivery in delivered)
        found: list[Discrepancy] = []
        elsewhere = None
        for stored in self.store.expected(delivered).values():
            faults = list(self.store.faults(stored, deep=self.deep))
            if faults:
                # Only now: a token may name a bucket of its own, and reading a million of them takes its time.
                elsewhere = elsewhere or self._store_of(barcode, home)
                faults = list(elsewhere.faults(stored, deep=self.deep)) if elsewhere is not self.store else faults
            found += (_fault(barcode, one, fault, newest) for one, fault in faults)
        return found

    def was_delivered(self, barcode: str) -> bool:
        """Whether the ledger tells of a delivery."""
        try:
            return bool(deliveries(self.sightings.ledger.read(barcode)))
        except (NoLedger, PermissionError):
            return False

    def is_gone(self, barcode: str) -> bool:
        """Whether nothing at all of a delivered book is in the store."""
        assert self.store is not None
        expected = self.store.expected(deliveries(self.sightings.ledger.read(barcode))).values()
        if any(self.store.fault(stored, deep=False) != GONE for stored in expected):
            return False
        home = self.sightings.home(barcode)
        elsewhere = self.store if home is None else self._store_of(barcode, home)
        return elsewhere is self.store or all(elsewhere.fault(stored, deep=False) == GONE for stored in expected)

    def _store_of(self, barcode: str, home: Sight) -> Store:
        assert self.store is not None
        try:
            named = parse(board.read_file(home.path, barcode), barcode).done_bucket
        except (OSError, TokenError):
            return self.store
        if not named:
            return self.store
        if named not in self._stores:
            other = Store(self.settings, named)
            self._stores[named] = self.store if other.name == self.store.name else other
        return self._stores[named]

    # --- what the ledger does not know ---

    def unknown(self, barcode: str) -> list[Discrepancy]:
        """A book that is in the store without a ledger."""
        if self.sightings.stamp(barcode) is not None:
            return []
        detail = "the store has it, and the ledger does not know it"
        return [
            Discrepancy(barcode, EXTRA, detail, "`grin-pipeline audit --rebuild` writes its ledger, if it is whole.")
        ]

    def untold(self, barcode: str) -> list[Discrepancy]:
        """A book that is done, on the board, without a ledger."""
        home = self.sightings.home(barcode)
        return [_untold(barcode, home)] if home is not None and self.sightings.stamp(barcode) is None else []

    def orphan(self, barcode: str) -> list[Discrepancy]:
        """A book whose working files lie in the processing bucket without a token that needs them."""
        folder = self.settings.global_.processing_bucket / barcode
        stages = {row.name for row in self.settings.filters}
        if not is_barcode(barcode) or not folder.is_dir() or not workfiles.published(folder).keys() <= stages:
            return []
        places = list(self.sightings.look(barcode).values()) or list(self.sightings.look(barcode).values())
        needed = [p for p in places if p.state != board.DROPPED and p.bucket not in self.sightings.lasts]
        needed += [p for p in places if p.state != board.WAITING and p.bucket in self.sightings.lasts]
        if needed:
            return []
        detail = f"its working files lie in {folder}, and no token needs them"
        if places and places[0].state != board.DROPPED:
            return [Discrepancy(barcode, STUCK, detail, "The uploader removes them when it starts.")]
        return [Discrepancy(barcode, STUCK, detail, "Remove the folder, once its token is where it should be.")]

    # --- clocks ---

    def now(self) -> float:
        """The file server's time, in seconds since the epoch; nothing but its clock tells how old a file is."""
        try:
            return durable.server_time(self.sightings.root / "workers")
        except OSError:
            return time.time()

    def _silent_for(self, worker: str) -> float | None:
        """Seconds since the worker's last heartbeat; None when it has no file."""
        asked, known = self._silence
        if time.monotonic() - asked > 1:
            folder = self.sightings.root / "workers"
            known = {w.worker: w.age for w in seen(folder, self.now())} if folder.is_dir() else {}
            self._silence = (time.monotonic(), known)
        return known.get(worker)


def _twice(barcode: str, places: list[Sight], *, sure: bool = False) -> Discrepancy:
    where = " and ".join(sorted(sight.where for sight in places))
    cure = "A book has one token: somebody copied one. Remove the wrong one by hand, with everything paused."
    return Discrepancy(barcode, STUCK, f"IT IS TWICE ON THE BOARD: {where}", cure, sure=sure)


def _untold(barcode: str, home: Sight) -> Discrepancy:
    detail = f"its token is in {home.bucket.name}, and the ledger does not know it"
    return Discrepancy(barcode, EXTRA, detail, "`grin-pipeline audit --rebuild` writes its ledger from its provenance.")


def _fault(barcode: str, stored: Stored, fault: str, newest: int) -> Discrepancy:
    what = MISSING if fault == GONE else CHANGED
    if stored.version < newest:
        cure = f"It belongs to version {stored.version}, and GRIN gives only the newest: bring it back from a backup."
        return Discrepancy(barcode, what, f"{stored.key} {fault}", cure)
    return Discrepancy(barcode, what, f"{stored.key} {fault}", _AGAIN, RESEND)
