"""In which done bucket a book lies: the configuration's, or one that its ledger or its token names.

A bucket is believed to lack something only while it shows that it is there itself: an unmounted folder, or a bucket
that does not exist any more, has no object either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from common import board
from common.config import Settings
from common.deliveries import Delivery, Stored
from common.errors import Halt
from common.store import is_url
from common.token import TokenError, parse
from services.orchestrator.audit_store import GONE, Store
from services.orchestrator.sightings import Sight

_LOST = "Nothing was done. If the books in it are really lost: --force."


@dataclass(frozen=True)
class Place:
    """Where a version of a book lies, or should lie, and what is wrong with it there."""

    store: Store
    version: int
    faults: Sequence[tuple[Stored, str]] = ()
    has_any: bool = True
    """Whether anything of it is there."""


class Places:
    """All done buckets that books may lie in; by `force` older ones need not show that they are there."""

    def __init__(self, settings: Settings, *, deep: bool, force: bool) -> None:
        self.settings = settings
        self.deep = deep
        self.force = force
        self.main = Store(settings)
        self._stores: dict[str, Store] = {self.main.name: self.main}

    def versions(self, barcode: str, delivered: Sequence[Delivery], home: Sight | None) -> list[Place]:
        """Where each version of a delivered book lies, oldest first. Halt when a bucket that could have it is gone."""
        numbers = sorted({delivery.version for delivery in delivered})
        return [self._version(barcode, [d for d in delivered if d.version == number], home) for number in numbers]

    def _version(self, barcode: str, delivered: list[Delivery], home: Sight | None) -> Place:
        expected = list(self.main.expected(delivered).values())
        places: list[Place] = []
        for bucket in self._candidates(barcode, delivered, expected, home):
            try:
                places.append(self._place(self._named(bucket), delivered[-1].version, expected))
            except Halt:
                # It may be closed since all was moved from it.
                if bucket == self.main.name or not any(place.has_any for place in places):
                    raise
                continue
            if not places[-1].faults:
                return places[-1]
        having = [place for place in places if place.has_any]
        for place in having or places:
            self.require(place.store)
        return min(having or places, key=lambda place: len(place.faults))

    def _place(self, store: Store, version: int, expected: list[Stored]) -> Place:
        faults = [fault for stored in expected for fault in store.faults(stored, deep=self.deep)]
        gone = {stored.key for stored, fault in faults if fault == GONE}
        return Place(store, version, faults, any(stored.key not in gone for stored in expected))

    def sample(self, barcode: str, delivered: list[Delivery], home: Sight | None) -> tuple[Store, bool]:
        """A store in which something of a delivered book lies; or the one where nothing does, and False."""
        expected = list(self.main.expected(delivered).values())
        stores = []
        for store in map(self._named, self._candidates(barcode, delivered, expected, home)):
            stores.append(store)
            if any(store.fault(stored, deep=False) != GONE for stored in expected):
                return store, True
        return (stores[0] if stores[0] is not self.main else stores[-1]), False

    def of_token(self, barcode: str, home: Sight) -> Store:
        """The store that a token names."""
        return self._named(self._told(barcode, home))

    def _candidates(
        self, barcode: str, delivered: list[Delivery], expected: list[Stored], home: Sight | None
    ) -> Iterator[str]:
        """Names, each once: what the ledger tells, the configuration's, and what the token tells.

        The configuration's first if it has anything of the book: whoever moves books leaves the ledger as it is.
        """
        main = self.main.name
        told = [self._plain(delivery.bucket) for delivery in reversed(delivered)]
        moved = told[0] != main and any(map(self.main.holds, expected))
        names = list(dict.fromkeys([main, *told] if moved else [*told, main]))
        yield from names
        # Only now: reading a million tokens takes its time.
        last = main if home is None else self._told(barcode, home)
        if last not in names:
            yield last

    def _told(self, barcode: str, home: Sight) -> str:
        try:
            return self._plain(parse(board.read_file(home.path, barcode), barcode).done_bucket)
        except (OSError, TokenError):
            return self.main.name

    def _plain(self, bucket: str) -> str:
        """The name of a bucket that a token or a ledger tells, as the bucket itself has it; "" is ours."""
        if not bucket:
            return self.main.name
        name = bucket if is_url(bucket) else str(self.settings.base / bucket)
        return self.main.name if name.rstrip("/") == self.main.name.rstrip("/") else name

    def _named(self, bucket: str) -> Store:
        if bucket not in self._stores:
            self._stores[bucket] = Store(self.settings, bucket)
        return self._stores[bucket]

    def require(self, store: Store) -> None:
        """Halt when a bucket that lacks something cannot be reached, is empty, or is another one than before."""
        if store is self.main:
            store.require()
        elif not self.force:
            try:
                store.require()
            except Halt as halt:
                raise Halt(halt.reason, f"{halt.cure} {_LOST}") from None
