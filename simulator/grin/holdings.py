"""How the library's books move at GRIN: requested, converted, downloaded, evicted."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from simulator.grin.books import Books
from simulator.grin.clock import Clock, Limits, Pace
from simulator.grin.entry import Entry, State
from simulator.grin.mix import CODES, STATES

__all__ = ["Holdings", "Limits", "QueueFull"]

_REFUSALS = {
    State.IN_PROCESS: "Already being converted",
    State.NOT_AVAILABLE_FOR_DOWNLOAD: "Not allowed to be downloaded",
    State.CHECKED_IN: "Other error",
}
_FINAL = frozenset({"Not allowed to be downloaded", "Other error"})
_REQUESTABLE = (State.NEW, State.PREVIOUSLY_DOWNLOADED)


class QueueFull(Exception):  # noqa: N818 - what GRIN answers, not a fault of ours
    """The conversion queue has no room for this request."""


class Holdings:
    """The library's books; `fails` says, once for each conversion, whether it fails."""

    def __init__(
        self,
        books: Books,
        states: Mapping[str, State],
        limits: Limits,
        fails: Callable[[str], bool],
        clock: Clock | None = None,
    ) -> None:
        self._limits = limits
        self._fails = fails
        self._clock = clock or Clock()
        self._pace = Pace(limits)
        self._lock = threading.RLock()
        self._books = books
        # Both oldest first; the queue holds the second at which each conversion ends.
        self._pool: OrderedDict[int, None] = OrderedDict.fromkeys(books.having([State.CONVERTED]))
        self._queue: OrderedDict[int, float] = OrderedDict()
        self._asked = Counter[str]()
        self._refused = Counter[str]()
        for number in books.having([State.IN_PROCESS]):
            self._queue[number] = self._pace.end(0)
        self._most = len(self._queue)
        for number in books.real():
            self._put(number, State.CONVERTED)
        for barcode, state in states.items():
            self.put(barcode, state)

    def put(self, barcode: str, state: State) -> None:
        """Bring a book into a state at once; ValueError for an unknown barcode."""
        with self._lock:
            number = self._books.number(barcode)
            if number is None:
                raise ValueError(f"There is no book {barcode} in this library.")
            self._put(number, state)

    def numbers(self, name: str, states: Collection[str] | None = None) -> Sequence[int]:
        """The books on one of GRIN's five lists now, of these states (as shown) only; KeyError for another name."""
        with self._lock:
            self._advance()
            shown = set(STATES if states is None else _meant(states))
            found: dict[str, Callable[[], Sequence[int]]] = {
                "_all_books": lambda: range(len(self._books)) if states is None else self._books.having(shown),
                "_available": lambda: self._books.having(shown.intersection(_REQUESTABLE), self._pool),
                "_in_process": lambda: self._of(self._queue, shown),
                "_converted": lambda: self._of(self._pool, shown),
                "_failed": lambda: self._books.having(shown.intersection({State.FAILED})),
            }
            return found[name]()

    def in_states(self, states: Iterable[State]) -> Sequence[int]:
        """The books in these states now, FAILED told apart from NEW."""
        with self._lock:
            self._advance()
            return self._books.having(states)

    def entry(self, number: int) -> Entry:
        """The book with this number, as it is now."""
        return self._books.entry(number)

    def entries(self, numbers: Iterable[int]) -> Iterator[Entry]:
        """The books with these numbers, each as it is when its turn comes."""
        return map(self._books.entry, numbers)

    def find(self, barcodes: Iterable[str]) -> Iterator[Entry]:
        """Those of the books that GRIN knows."""
        with self._lock:
            self._advance()
        found = (self._books.number(barcode) for barcode in barcodes)
        return (self._books.entry(number) for number in found if number is not None)

    def knows(self, barcode: str) -> bool:
        """Whether there is such a book."""
        return self._books.number(barcode) is not None

    def offered(self, barcode: str) -> Entry | None:
        """The book, if its archive is in the pool now."""
        with self._lock:
            self._advance()
            number = self._books.number(barcode)
            return self._books.entry(number) if number is not None and number in self._pool else None

    def where(self, number: int) -> str:
        """`pool`, `queue`, or empty for neither."""
        return "pool" if number in self._pool else "queue" if number in self._queue else ""

    def counts(self) -> dict[str, int]:
        """How many books are in each state, FAILED told apart."""
        with self._lock:
            self._advance()
            return self._books.counts()

    def request(self, barcodes: Sequence[str]) -> list[tuple[str, str]]:
        """Ask for conversions: GRIN's status for each barcode; QueueFull, and nothing done, where they do not fit."""
        with self._lock:
            self._advance()
            self._asked.update(requests=1, asked=len(barcodes))
            wanted = {barcode for barcode in barcodes if self._refusal(self._books.number(barcode)) is None}
            if len(self._queue) + max(len(wanted), 1) > self._limits.queue_limit:
                self._asked["full"] += 1
                raise QueueFull
            return [(barcode, self._request(barcode)) for barcode in barcodes]

    def queue(self) -> dict[str, Any]:
        """The queue now, at most and its limit, and how often what was asked for, as JSON has it."""
        with self._lock:
            self._advance()
            counts = {name: self._asked[name] for name in ("requests", "asked", "accepted", "full")}
            again = {barcode: times for barcode, times in self._refused.items() if times > 1}
            queue = {"now": len(self._queue), "most": self._most, "limit": self._limits.queue_limit}
            return {**queue, "pool": len(self._pool), **counts, "refused": len(self._refused), "refused_again": again}

    def downloaded(self, barcode: str) -> None:
        """Note that a whole archive was sent; it stays in the pool."""
        with self._lock:
            number = self._books.number(barcode)
            if number is not None:
                self._books.downloaded[number] = self._clock.minute(self._clock.now())
                if self._books.states[number] != CODES[State.IN_PROCESS]:
                    self._change(number, State.PREVIOUSLY_DOWNLOADED)

    def rebuilt(self, barcode: str) -> None:
        """Give the archive a new ETag, as a new conversion would."""
        with self._lock:
            number = self._books.number(barcode)
            if number is not None:
                self._build(number)

    def _put(self, number: int, state: State) -> None:
        self._pool.pop(number, None)
        self._queue.pop(number, None)
        if state is State.CONVERTED:
            self._pool[number] = None
        elif state is State.IN_PROCESS:
            self._enqueue(number)
        self._books.begin(number, state)

    def _of(self, numbers: Iterable[int], states: Collection[str]) -> list[int]:
        return [number for number in numbers if STATES[self._books.states[number]] in states]

    def _request(self, barcode: str) -> str:
        number = self._books.number(barcode)
        refusal = self._refusal(number)
        if refusal is not None or number is None:
            self._refused.update([barcode] if refusal in _FINAL else [])
            return refusal or "Other error"
        self._asked["accepted"] += 1
        self._enqueue(number)
        self._change(number, State.IN_PROCESS)
        return "Success"

    def _enqueue(self, number: int) -> None:
        self._queue[number] = self._pace.end(self._clock.now())
        self._most = max(self._most, len(self._queue))

    def _refusal(self, number: int | None) -> str | None:
        if number is None:
            return "Other error"
        if number in self._pool:
            return "Already available for download"
        return _REFUSALS.get(STATES[self._books.states[number]])

    def _advance(self) -> None:
        moment = self._clock.now()
        while self._queue:
            number = next(iter(self._queue))
            if self._queue[number] > moment:
                return
            self._convert(number, self._clock.minute(self._queue.pop(number)))

    def _convert(self, number: int, minute: int) -> None:
        if self._fails(self._books.entry(number).barcode):
            self._books.failed[number] = minute
            self._change(number, State.FAILED)
            return
        self._build(number)
        self._books.converted[number] = minute
        self._change(number, State.CONVERTED)
        self._pool[number] = None
        while len(self._pool) > self._limits.converted_pool:
            oldest, _ = self._pool.popitem(last=False)
            known = self._books.was_downloaded(oldest)
            self._change(oldest, State.PREVIOUSLY_DOWNLOADED if known else State.NEW)

    def _build(self, number: int) -> None:
        self._books.builds[number] = (self._books.builds[number] + 1) % 65_536

    def _change(self, number: int, state: State) -> None:
        self._books.states[number] = CODES[state]


def _meant(states: Iterable[str]) -> Iterator[State]:
    """The states that GRIN's words stand for: a failed book is shown as new."""
    for state in STATES:
        if (State.NEW if state is State.FAILED else state) in states:
            yield state
