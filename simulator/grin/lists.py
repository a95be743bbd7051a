"""The columns of GRIN's lists as text: bare names, all columns, and the search with its header."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from simulator.grin.entry import Entry, State
from simulator.grin.stamps import stamp

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
    "Convert Failed Info": lambda _: _FAILURE,
    "Detailed Convert Failed Info": lambda _: _FAILURE_IN_FULL,
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


def plain(name: str, entries: Iterable[Entry]) -> Iterator[str]:
    """One name a line: the barcode, or the file's name in `_converted`."""
    return map(CELLS[ALL_COLUMNS[name][0]], entries)


def all_columns(name: str, entries: Iterable[Entry]) -> Iterator[str]:
    """The list's columns, parted by tabs, with no header."""
    cells = getters(ALL_COLUMNS[name])
    return ("\t".join([cell(entry) for cell in cells]) for entry in entries)


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
