"""All books of the library at GRIN, and how they move: requested, converted, downloaded, evicted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from simulator.grin.entry import Entry, State

_REFUSALS = {
    State.IN_PROCESS: "Already being converted",
    State.NOT_AVAILABLE_FOR_DOWNLOAD: "Not allowed to be downloaded",
    State.CHECKED_IN: "Other error",
}


class QueueFull(Exception):  # noqa: N818 - what GRIN answers, not a fault of ours
    """The conversion queue has no room for this request."""


@dataclass(frozen=True)
class Limits:
    """How long a conversion takes in seconds, how many archives the pool keeps, how many books may wait."""

    conversion_seconds: float = 2
    converted_pool: int = 5000
    queue_limit: int = 50_000


class Holdings:
    """The library's books; `fails` says, once for each conversion, whether it fails."""

    def __init__(
        self, entries: Iterable[Entry], states: Mapping[str, State], limits: Limits, fails: Callable[[str], bool]
    ) -> None:
        self._limits = limits
        self._fails = fails
        self._lock = threading.RLock()
        self._entries = {entry.barcode: entry for entry in entries}
        # Both oldest first; the queue holds the moment at which each conversion ends.
        self._pool: dict[str, None] = {}
        self._queue: dict[str, float] = {}
        for barcode in self._entries:
            self.put(barcode, State.CONVERTED)
        for barcode, state in states.items():
            self.put(barcode, state)

    def put(self, barcode: str, state: State) -> None:
        """Bring a book into a state at once; ValueError for an unknown barcode."""
        with self._lock:
            if barcode not in self._entries:
                raise ValueError(f"There is no book {barcode} in this library.")
            self._pool.pop(barcode, None)
            self._queue.pop(barcode, None)
            if state is State.CONVERTED:
                self._pool[barcode] = None
            elif state is State.IN_PROCESS:
                self._queue[barcode] = self._ready()
            self._change(barcode, state=state, **_history(self._entries[barcode], state))

    def listed(self, name: str) -> list[Entry]:
        """The books on one of GRIN's five lists, as they are now; KeyError for another name."""
        with self._lock:
            self._advance()
            return {
                "_all_books": lambda: list(self._entries.values()),
                "_available": lambda: [entry for entry in self._entries.values() if self._available(entry)],
                "_in_process": lambda: [self._entries[barcode] for barcode in self._queue],
                "_converted": lambda: [self._entries[barcode] for barcode in self._pool],
                "_failed": lambda: [entry for entry in self._entries.values() if entry.state is State.FAILED],
            }[name]()

    def find(self, barcodes: Iterable[str]) -> list[Entry]:
        """Those of the books that GRIN knows."""
        with self._lock:
            self._advance()
            return [self._entries[barcode] for barcode in barcodes if barcode in self._entries]

    def offered(self, barcode: str) -> Entry | None:
        """The book, if its archive is in the pool now."""
        with self._lock:
            self._advance()
            return self._entries[barcode] if barcode in self._pool else None

    def request(self, barcodes: list[str]) -> list[tuple[str, str]]:
        """Ask for conversions: GRIN's status for each barcode; QueueFull, and nothing done, where they do not fit."""
        with self._lock:
            self._advance()
            wanted = {barcode for barcode in barcodes if self._refusal(barcode) is None}
            if len(self._queue) + max(len(wanted), 1) > self._limits.queue_limit:
                raise QueueFull
            return [(barcode, self._request(barcode)) for barcode in barcodes]

    def downloaded(self, barcode: str) -> None:
        """Note that a whole archive was sent; it stays in the pool."""
        self._change(barcode, state=State.PREVIOUSLY_DOWNLOADED, downloaded=_now())

    def rebuilt(self, barcode: str) -> None:
        """Give the archive a new ETag, as a new conversion would."""
        with self._lock:
            if barcode in self._entries:
                self._change(barcode, builds=self._entries[barcode].builds + 1)

    def _request(self, barcode: str) -> str:
        refusal = self._refusal(barcode)
        if refusal is not None:
            return refusal
        self._queue[barcode] = self._ready()
        self._change(barcode, state=State.IN_PROCESS)
        return "Success"

    def _refusal(self, barcode: str) -> str | None:
        if barcode not in self._entries:
            return "Other error"
        if barcode in self._pool:
            return "Already available for download"
        return _REFUSALS.get(self._entries[barcode].state)

    def _available(self, entry: Entry) -> bool:
        return entry.state in {State.NEW, State.PREVIOUSLY_DOWNLOADED} and entry.barcode not in self._pool

    def _ready(self) -> float:
        return time.monotonic() + self._limits.conversion_seconds

    def _advance(self) -> None:
        moment = time.monotonic()
        for barcode in [barcode for barcode, ready in self._queue.items() if ready <= moment]:
            del self._queue[barcode]
            self._convert(barcode)

    def _convert(self, barcode: str) -> None:
        if self._fails(barcode):
            self._change(barcode, state=State.FAILED, failed=_now())
            return
        self.rebuilt(barcode)
        self._change(barcode, state=State.CONVERTED, converted=_now())
        self._pool[barcode] = None
        while len(self._pool) > self._limits.converted_pool:
            self._evict(next(iter(self._pool)))

    def _evict(self, barcode: str) -> None:
        del self._pool[barcode]
        known = self._entries[barcode].downloaded is not None
        self._change(barcode, state=State.PREVIOUSLY_DOWNLOADED if known else State.NEW)

    def _change(self, barcode: str, **changes: object) -> None:
        with self._lock:
            self._entries[barcode] = replace(self._entries[barcode], **changes)  # type: ignore[arg-type]


def _history(entry: Entry, state: State) -> dict[str, datetime]:
    """The dates of a book that has been in this state for a while."""
    made = entry.dates["converted"]
    if state is State.FAILED:
        return {"failed": made}
    if state is State.PREVIOUSLY_DOWNLOADED:
        return {"converted": made, "downloaded": made + timedelta(hours=1)}
    return {"converted": made} if state is State.CONVERTED else {}


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
