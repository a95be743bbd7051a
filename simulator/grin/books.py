"""All books of the library by number: real ones of a folder first, then made-up ones, a few bytes for each."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import compress
from pathlib import Path

from simulator.grin.entry import (
    AFTER_SCAN,
    CONVERTED_AFTER_SCAN,
    FIRST_SCAN,
    SCANNING_MINUTES,
    Entry,
    Facts,
    State,
)
from simulator.grin.mix import CODES, STATES
from simulator.grin.numbers import Numbers

_NEW, _FAILED, _CONVERTED, _DOWNLOADED = (
    CODES[state] for state in (State.NEW, State.FAILED, State.CONVERTED, State.PREVIOUSLY_DOWNLOADED)
)
_PROCESSED, _RECOGNISED, _ANALYZED = (AFTER_SCAN[event] for event in ("processed", "recognised", "analyzed"))


class Inventory:
    """Made-up books: their barcodes, the codes of their states, and the archive that all of them share, if any."""

    def __init__(self, numbers: Numbers, states: bytearray, archive: Path | None = None) -> None:
        self.numbers = numbers
        self.states = states
        self._archive = archive

    def facts(self, number: int) -> Facts:
        """What stays as it is of one book, always the same for the same number."""
        scanned = FIRST_SCAN + number * 2_654_435_761 % SCANNING_MINUTES
        return Facts(
            self.numbers.barcode(number),
            "",
            scanned,
            scanned + _PROCESSED,
            scanned + _RECOGNISED,
            scanned + _ANALYZED,
            scanned + CONVERTED_AFTER_SCAN,
            self._archive,
        )


class Books:
    """The books' states and dates, in arrays; what a number's book is made from is looked up or made anew."""

    def __init__(self, real: Iterable[Facts], inventory: Inventory) -> None:
        self._real = list(real)
        self._numbers = {facts.barcode: number for number, facts in enumerate(self._real)}
        self._inventory = inventory
        self.states = bytearray([_NEW] * len(self._real)) + inventory.states
        self._began = bytearray(self.states)
        count = len(self.states)
        self.converted, self.downloaded, self.failed = (array("i", bytes(4 * count)) for _ in range(3))
        self.builds = array("H", bytes(2 * count))

    def __len__(self) -> int:
        return len(self.states)

    def real(self) -> range:
        """The numbers of the folder's books."""
        return range(len(self._real))

    def number(self, barcode: str) -> int | None:
        """The book with this barcode; None if there is none."""
        if barcode in self._numbers:
            return self._numbers[barcode]
        number = self._inventory.numbers.number(barcode)
        return None if number is None else number + len(self._real)

    def entry(self, number: int) -> Entry:
        """The book as it is now."""
        place = number - len(self._real)
        facts = self._real[number] if place < 0 else self._inventory.facts(place)
        began = self._began[number]
        return Entry(
            facts,
            STATES[self.states[number]],
            self.converted[number] or (facts.converted if began in {_CONVERTED, _DOWNLOADED} else 0),
            self.downloaded[number] or (facts.converted + 60 if began == _DOWNLOADED else 0),
            self.failed[number] or (facts.converted if began == _FAILED else 0),
            self.builds[number],
        )

    def begin(self, number: int, state: State) -> None:
        """Let a book be as if it had been in this state from the start."""
        self.states[number] = self._began[number] = CODES[state]
        self.converted[number] = self.downloaded[number] = self.failed[number] = 0

    def was_downloaded(self, number: int) -> bool:
        """Whether the book was ever fetched."""
        return bool(self.downloaded[number]) or self._began[number] == _DOWNLOADED

    def having(self, states: Iterable[str], without: Iterable[int] = ()) -> Sequence[int]:
        """The numbers of the books in one of these states, but for some; a list that later changes leave alone."""
        wanted = {CODES[State(state)] for state in states}
        chosen = bytearray(self.states.translate(bytes(code in wanted for code in range(256))))
        for number in without:
            chosen[number] = 0
        return array("I", compress(range(len(chosen)), chosen))

    def counts(self) -> dict[str, int]:
        """How many books are in each state."""
        return {state: self.states.count(code) for state, code in CODES.items()}
