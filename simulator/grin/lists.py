"""The columns of GRIN's lists as text: bare names, all columns, and the search with its header."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from simulator.grin.entry import Entry, State
from simulator.grin.stamps import stamp
from simulator.grin.variants import Variants

_FAILURE = "page order could not be established"
_FAILURE_IN_FULL = "conversion stopped: page order could not be established, see the analysis"
_VIEWS = {State.NOT_AVAILABLE_FOR_DOWNLOAD: "VIEW_NONE"}


CELLS: dict[str, Callable[[Entry], str]] = {
    "Barcode": lambda entry: entry.barcode,
    "Filename": lambda entry: entry.file_name,
    "Title": lambda entry: "" if entry.state is State.NOT_AVAILABLE_FOR_DOWNLOAD else entry.title,
    "Status": lambda entry: entry.shown_state,
    "State": lambda entry: entry.shown_state,
    "Check-In Date": lambda entry: stamp(entry.checked_in),
    "Scanned Date": lambda entry: stamp(entry.date("scanned")),
    "Processed Date": lambda entry: stamp(entry.date("processed")),
    "Analyzed Date": lambda entry: stamp(entry.date("analyzed")),
    "Converted Date": lambda entry: stamp(entry.converted),
    "Downloaded Date": lambda entry: stamp(entry.downloaded),
    "OCR'd Date": lambda entry: stamp(entry.date("recognised")),
    "Google Books": lambda entry: entry.link,
    "Convert Failed Date": lambda entry: stamp(entry.failed),
    "Convert Failed Info": lambda entry: _FAILURE if entry.number % 4 else "",
    "Detailed Convert Failed Info": lambda entry: _FAILURE_IN_FULL if entry.number % 4 else "",
    "Viewability": lambda entry: _VIEWS.get(entry.state, "VIEW_FULL"),
    "Conditions": lambda _: "12,31",
    "Scannable": lambda _: "true",
    "Opted-Out (post-scan)": lambda _: "false",
    "Tagging": lambda _: "true",
    "Material Error%": lambda _: "0%",
    "Overall Error%": lambda entry: f"{entry.number % 4}%",
    "Source Library Bibkey": lambda entry: f"b{entry.number}",
    "Claimed": lambda _: "false",
    "OCR GTD Score": lambda entry: str(80 + entry.number % 20) if entry.date("recognised") else "",
    "OCR Analysis Score": lambda entry: str(75 + entry.number % 25) if entry.date("recognised") else "",
    "Digitization Method": lambda entry: "NON_DESTRUCTIVE" if entry.date("scanned") else "",
}
_WAITING = ("Barcode", "Scanned Date", "Processed Date", "Analyzed Date", "OCR'd Date", "Google Books")
ALL_COLUMNS = {
    "_all_books": (*_WAITING[:4], "Converted Date", *_WAITING[4:]),
    "_available": _WAITING,
    "_in_process": _WAITING,
    "_converted": ("Filename", "Scanned Date", "Converted Date", "Downloaded Date", "Google Books"),
    "_failed": (
        *_WAITING[:4],
        "Convert Failed Date",
        "Convert Failed Info",
        "OCR'd Date",
        "Detailed Convert Failed Info",
        "Google Books",
    ),
}
_ALL_BOOKS = {
    6: (*_WAITING[:4], "Converted Date", "Downloaded Date"),
    7: ALL_COLUMNS["_all_books"],
    9: (
        *_WAITING[:2],
        "Converted Date",
        "Downloaded Date",
        "Processed Date",
        "Analyzed Date",
        "",
        *_WAITING[4:],
    ),
}
SEARCH_COLUMNS = (
    "Barcode",
    "Check-In Date",
    "State",
    "Viewability",
    "Conditions",
    "Scannable",
    "Opted-Out (post-scan)",
    "Tagging",
    "Audit",
    "Material Error%",
    "Overall Error%",
    "Scanned Date",
    "Processed Date",
    "Analyzed Date",
    "Converted Date",
    "Allow Download Updated Date",
    "Viewability Updated Date",
    "Source Library Bibkey",
    "Rubbish",
    "Downloaded Date",
    "Claimed",
    "OCR GTD Score",
    "OCR Analysis Score",
    "Digitization Method",
    "OCR'd Date",
)


@dataclass(frozen=True)
class Form:
    """How text lists look; `prefix` is what stands before the names of archives."""

    variants: Variants
    prefix: str = ""

    def rows(self, name: str, entries: Iterable[Entry], *, every: bool) -> Iterator[str]:
        """The lines of a list: all columns parted by tabs, or the first one only; mostly without a header."""
        columns = self._columns(name) if every else self._columns(name)[:1]
        head = ["\t".join(columns)] if self.variants.header else []
        cells = [self._getter(name, column) for column in columns]
        if len(cells) == 1:
            return chain(head, map(cells[0], entries))
        rows = ("\t".join([cell(entry) for cell in cells]) for entry in entries)
        return chain(head, (row.rstrip("\t") for row in rows) if self.variants.short_rows else rows)

    def _columns(self, name: str) -> tuple[str, ...]:
        return _ALL_BOOKS[self.variants.columns] if name == "_all_books" else ALL_COLUMNS[name]

    def _getter(self, name: str, column: str) -> Callable[[Entry], str]:
        cell = CELLS.get(column, _nothing)
        if column == "Filename" or (column == "Barcode" and name == "_in_process" and self.variants.suffixed):
            return lambda entry: file_name(entry, self.prefix)
        if column.endswith(" Date") and name == "_all_books" and self.variants.columns == 6:
            return lambda entry: cell(entry).replace("/", "-")
        if column.endswith("Failed Info") and self.variants.blank_reasons:
            return _nothing
        if column == "Google Books" and self.variants.short_rows:
            return lambda entry: cell(entry) if entry.number % 3 else ""
        return cell


def file_name(entry: Entry, prefix: str) -> str:
    """An archive's name with the library's prefix, if archives have one here."""
    return prefix + entry.file_name


def search(entries: Iterable[Entry]) -> Iterator[str]:
    """The search's header and rows; rows end at their last value, as GRIN's do."""
    cells = getters(SEARCH_COLUMNS)
    yield "\t".join(SEARCH_COLUMNS)
    for entry in entries:
        yield "\t".join([cell(entry) for cell in cells]).rstrip("\t")


def getters(columns: Iterable[str]) -> list[Callable[[Entry], str]]:
    """What gives a book's values in these columns, empty where GRIN has none."""
    return [CELLS.get(column, _nothing) for column in columns]


def _nothing(_: Entry) -> str:
    return ""
