"""What an audit asks of one book at a time: what does not agree about it at this moment. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

from common import board, durable, workfiles
from common.config import Settings
from common.deliveries import Stored, deliveries
from common.heartbeat import seen
from common.ledger import Event, NoLedger, last
from common.token import is_barcode
from services.orchestrator.audit_places import Places
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

    def __init__(self, settings: Settings, sightings: Sightings, *, deep: bool, force: bool = False) -> None:
        self.settings = settings
        self.sightings = sightings
        self.places = Places(settings, deep=deep, force=force) if uploaders(settings) else None
        self.store = self.places.main if self.places else None
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
        astray = self.sightings.astray(barcode)
        if astray is not None:
            # A new token would be the book's second one once the row is back.
            cure = "Give that bucket to a stage again, as its input_pipe, or move the token to a bucket of the line."
            return [Discrepancy(barcode, STUCK, f"its token is in {astray}, which no stage reads any more", cure)]
        detail = "it is registered, and its token is nowhere on the board"
        events = self.sightings.ledger.read(barcode)
        newest = last(events, "registered", "reseeded", "dropped", "released")
        if newest is not None and newest["event"] == "dropped":
            cure = "A person dropped it, and its token was removed since: remove its ledger, too, to seed it anew."
            return [Discrepancy(barcode, STUCK, f"{detail}, not even among the dropped ones", cure)]
        return [self._reseeding(barcode, events, detail)]

    def _reseeding(self, barcode: str, events: list[Event], detail: str) -> Discrepancy:
        """Where the new token goes: to the last bucket if the ledger's last word is a delivery that is all there."""
        delivered = deliveries(events)
        begun = last(events[delivered[-1].index :], "attempt", "renewed") if delivered else None
        places = self.places.versions(barcode, delivered, None) if self.places and begun is None else []
        bucket = places[-1].store.name if places and places[-1].has_any else ""
        if places and not any(place.faults for place in places):
            cure = "All of it is in the store: `grin-pipeline audit --fix` gives it a token in the last bucket."
            return Discrepancy(barcode, STUCK, detail, cure, HOME, bucket=bucket)
        cure = "`grin-pipeline audit --fix` gives it a new one."
        return Discrepancy(barcode, STUCK, detail, cure, RESEED, bucket=bucket)

    def _delivered(self, barcode: str, home: Sight) -> list[Discrepancy]:
        if self.places is None:
            return []
        delivered = deliveries(self.sightings.ledger.read(barcode))
        if not delivered:
            if self.sightings.stamp(barcode) is None:
                return [_untold(barcode, home)]
            self.places.main.require()
            detail = "its token is in the last bucket, and its ledger tells of no upload"
            return [Discrepancy(barcode, MISSING, detail, _AGAIN, RESEND)]
        places = self.places.versions(barcode, delivered, home)
        newest = places[-1].version
        return [_fault(barcode, one, fault, newest) for place in places for one, fault in place.faults]

    def sample(self, barcode: str) -> tuple[str, bool] | None:
        """A delivered book's store, by name, and whether anything of it is there; None for one that is not delivered.

        Halt when that store cannot be reached.
        """
        try:
            delivered = deliveries(self.sightings.ledger.read(barcode))
        except (NoLedger, PermissionError):
            return None
        if not delivered or self.places is None:
            return None
        store, is_there = self.places.sample(barcode, delivered, self.sightings.home(barcode))
        return store.name, is_there

    def stores(self, barcode: str) -> list[Store]:
        """Where a book without a ledger may lie: the configuration's store, and the one that its token names."""
        if self.places is None:
            return []
        home = self.sightings.home(barcode)
        named = self.places.main if home is None else self.places.of_token(barcode, home)
        return list(dict.fromkeys([self.places.main, named]))

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
