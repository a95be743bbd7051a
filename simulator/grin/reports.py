"""GRIN's reports. That they are there and have a header is known; their columns, but for the first, are guesses."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

from simulator.grin.entry import Entry
from simulator.grin.holdings import Holdings
from simulator.grin.lists import CELLS, SEARCH_COLUMNS, getters
from simulator.grin.messages import Request

COLUMNS: dict[str, tuple[str, ...]] = {
    "_monthly_report": SEARCH_COLUMNS,
    "_circulation_reports": ("Barcode", "Check-In Date", "Scanned Date", "State"),
}


def numbers(holdings: Holdings, request: Request) -> Sequence[int]:
    """The books of these states whose check-in lies in the month, and from the start on before the end."""
    chosen = holdings.numbers("_all_books", request.query.get("book_state"))
    first, end = (request.value(f"check_in_date_{edge}").replace("-", "/") for edge in ("start", "end"))
    year, month = request.value("year"), request.value("month")
    begins = f"{int(year):04d}/{f'{int(month):02d}/' if month else ''}" if year else ""
    cell = CELLS["Check-In Date"]
    if not (first or end or begins):
        return chosen
    stamps = ((number, cell(holdings.entry(number))) for number in chosen)
    return array(
        "I", (number for number, at in stamps if at.startswith(begins) and first <= at and (not end or at < end))
    )


def report(name: str, entries: Iterable[Entry]) -> Iterator[str]:
    """The report's header and a row for each book."""
    cells = getters(COLUMNS[name])
    yield "\t".join(COLUMNS[name])
    for entry in entries:
        yield "\t".join([cell(entry) for cell in cells])


def overview() -> Iterator[str]:
    """The reports that there are."""
    yield "Report"
    yield from COLUMNS
