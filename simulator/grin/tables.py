"""GRIN's lists as HTML: a table that has to be read by its headers, and a link to the next page."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from html import escape
from urllib.parse import urlencode

from simulator.grin.entry import Entry, State
from simulator.grin.lists import CELLS, file_name
from simulator.grin.messages import Reply, Request, page

_DEFAULT_ROWS = 50
_DATES = ("Scanned Date", "Analyzed Date", "Converted Date", "Downloaded Date", "Processed Date", "OCR'd Date")
_SELECTABLE = ("Barcode", "Title", "Status", *_DATES, "Google Books")
_FAILURES = ("Convert Failed Date", "Convert Failed Info", "Detailed Convert Failed Info")
_COLUMNS = {
    "_all_books": _SELECTABLE,
    "_available": _SELECTABLE,
    "_in_process": _SELECTABLE,
    "_converted": ("Filename", "Title", "Scanned Date", "Converted Date", "Downloaded Date", "Google Books"),
    "_failed": ("Barcode", "Title", "Scanned Date", *_FAILURES, "Google Books"),
}
_WITH_CHECKBOXES = frozenset({"_all_books", "_available"})
_REQUESTABLE = frozenset({State.NEW, State.PREVIOUSLY_DOWNLOADED})


def table(
    name: str, numbers: Sequence[int], entry: Callable[[int], Entry], request: Request, prefix: str = ""
) -> Reply:
    """One page of a list: `result_count` rows (-1: all) from where `first` or `ctoken` says."""
    start = _start(request)
    count = int(request.value("result_count", str(_DEFAULT_ROWS)))
    stop = len(numbers) if count < 0 else start + count
    rows = "\n".join(_row(name, entry(number), prefix) for number in numbers[start:stop])
    more = _next_link(name, request, stop) if stop < len(numbers) else ""
    return page(name, f"<table>\n{_heading(name)}\n<tbody>\n{rows}\n</tbody></table>\n{more}")


def statuses(rows: Iterable[tuple[str, str]]) -> Reply:
    """The answer to a request for conversions as a page."""
    cells = "\n".join(f"<tr><td>{escape(barcode)}</td><td>{escape(status)}</td></tr>" for barcode, status in rows)
    heading = (
        '<tr class="heading"><td><span class="hd3">Barcode</span></td><td><span class="hd3">Status</span></td></tr>'
    )
    return page("_process", f"<table>\n{heading}\n<tbody>\n{cells}\n</tbody></table>")


def _heading(name: str) -> str:
    blank = "<td></td>" if name in _WITH_CHECKBOXES else ""
    names = "".join(f'<td><span class="hd3">{escape(column)}</span></td>' for column in _COLUMNS[name])
    return f'<tr class="heading">{blank}{names}</tr>'


def _row(name: str, entry: Entry, prefix: str) -> str:
    values = "".join(f"<td>{_value(column, entry, prefix)}</td>" for column in _COLUMNS[name])
    return f"<tr>{_checkbox(entry) if name in _WITH_CHECKBOXES else ''}{values}</tr>"


def _checkbox(entry: Entry) -> str:
    # GRIN leaves the cell empty for some books and out for others, which shifts their other cells.
    if entry.state in _REQUESTABLE:
        return f'<td><input type="checkbox" name="barcodes" value="{escape(entry.barcode)}"></td>'
    return "" if entry.state is State.NOT_AVAILABLE_FOR_DOWNLOAD else "<td></td>"


def _value(column: str, entry: Entry, prefix: str) -> str:
    text = escape(file_name(entry, prefix) if column == "Filename" else CELLS[column](entry))
    return f'<a href="{text}">{text}</a>' if column == "Google Books" else text


def _start(request: Request) -> int:
    token = request.value("ctoken")
    return max(0, int(base64.urlsafe_b64decode(token)) if token else int(request.value("first", "0")))


def _next_link(name: str, request: Request, start: int) -> str:
    kept = [(key, value) for key, values in request.query.items() for value in values if key not in {"first", "ctoken"}]
    # Both ways of paging are seen at GRIN.
    token = base64.urlsafe_b64encode(str(start).encode()).decode()
    where = ("first", str(start)) if name == "_all_books" else ("ctoken", token)
    return f'<a href="{escape(f"{name}?{urlencode([*kept, where])}")}">Next &gt;</a>'
