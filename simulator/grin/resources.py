"""What a library's addresses give to somebody who is let in: lists, search, reports, conversions, archives."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from urllib.parse import parse_qsl

from simulator.grin import lists, reports, tables
from simulator.grin.archives import archive
from simulator.grin.entry import SUFFIX, State
from simulator.grin.faults import Faults, Kind
from simulator.grin.holdings import Holdings, QueueFull
from simulator.grin.messages import Reply, Request, lines, not_found, page
from simulator.grin.variants import Variants

_DATE_FILTERS = {"last_scan_date": "Scanned Date", "last_conversion_date": "Converted Date"}
_SEPARATORS = re.compile(r"[\s,]+")


@dataclass(frozen=True)
class Resources:
    """Everything under `/libraries/<library>/`."""

    library: str
    holdings: Holdings
    faults: Faults
    variants: Variants
    maker: Callable[[str], Path] | None = None
    """Gives the archive of a book that has none."""

    def answer(self, name: str, request: Request) -> Reply:
        """The reply to a request for one of the library's resources."""
        barcode = self.barcode(name)
        if barcode:
            return self._archive(name, barcode, request)
        if name in lists.ALL_COLUMNS:
            return self._list(name, request)
        if name in reports.COLUMNS:
            numbers = self._shown(reports.numbers(self.holdings, request), request)
            return self._lines(reports.report(name, self.holdings.entries(numbers)))
        known = {"": self._summary, "_process": self._process, "_barcode_search": self._search}
        if name == "_reports":
            return self._lines(reports.overview())
        return known[name](request) if name in known else not_found()

    def barcode(self, name: str) -> str:
        """The barcode in an archive's name, which may have the library's prefix; empty for other names."""
        return name.removesuffix(SUFFIX).removeprefix(f"{self.library}_") if name.endswith(SUFFIX) else ""

    def _archive(self, name: str, barcode: str, request: Request) -> Reply:
        if self.faults.take(barcode, {Kind.REBUILD}):
            self.holdings.rebuilt(barcode)
        if self.variants.no_head and request.method == "HEAD":
            return page("Error 405", "<h1>405. That's an error.</h1>", 405)
        entry = self.holdings.offered(barcode)
        if entry is None or (self.variants.prefixed == "only" and name == f"{barcode}{SUFFIX}"):
            return not_found()
        path = entry.facts.archive or (self.maker(barcode) if self.maker else None)
        if path is None or not path.is_file():
            return not_found()
        ranges = not (self.faults.take(barcode, {Kind.NO_RANGE}) or self.variants.no_range)
        etag = f"W/{entry.etag(path)}" if self.variants.weak_etag else entry.etag(path)
        reply = archive(request, path, etag, lambda: self.holdings.downloaded(barcode), ranges=ranges)
        return self._varied(reply, lists.file_name(entry, self._prefix()))

    def _varied(self, reply: Reply, file_name: str) -> Reply:
        headers = {**reply.headers, "Content-Disposition": f'attachment; filename="{file_name}"'}
        if self.variants.no_etag:
            headers.pop("ETag", None)
        return replace(reply, headers=headers, length=None if self.variants.no_length else reply.length)

    def _prefix(self) -> str:
        return f"{self.library}_" if self.variants.prefixed else ""

    def _list(self, name: str, request: Request) -> Reply:
        states = request.query.get("book_state")
        if name == "_available" and self.variants.no_downloaded:
            states = [State.NEW]
        numbers = self.holdings.numbers(name, states)
        for column, first, end in _dated(request.query):
            cell = lists.CELLS[column]
            entries = ((number, self.holdings.entry(number)) for number in numbers)
            numbers = array("I", (number for number, entry in entries if between(cell(entry), first, end)))
        wants_text = request.value("format") == "text"
        if self.variants.lists == "html" or (self.variants.lists == "both" and not wants_text):
            return tables.table(name, numbers, self.holdings.entry, request, self._prefix())
        entries_shown = self.holdings.entries(self._shown(numbers, request))
        form = lists.Form(self.variants, self._prefix())
        return self._lines(form.rows(name, entries_shown, every=request.value("mode") == "all"))

    def _shown(self, numbers: Sequence[int], request: Request) -> Iterable[int]:
        count = int(request.value("result_count", "-1"))
        return islice(numbers, count if count >= 0 else None)

    def _lines(self, rows: Iterable[str]) -> Reply:
        return lines(rows, "\r\n" if self.variants.crlf else "\n")

    def _summary(self, request: Request) -> Reply:
        counts = self.holdings.counts()
        # A failed book is as good as new.
        counts[State.NEW] += counts.pop(State.FAILED)
        shown = [(state, count) for state, count in sorted(counts.items()) if count]
        if request.value("format") == "text":
            return self._lines(f"{state}\t{count}" for state, count in shown)
        return page(self.library, "".join(f"<p>{state}: {count}</p>" for state, count in shown))

    def _search(self, request: Request) -> Reply:
        return self._lines(lists.search(self.holdings.find(request.value("barcodes").split())))

    def _process(self, request: Request) -> Reply:
        asked = _asked(request)
        try:
            rows = self.holdings.request(asked[: self.variants.process_max or None])
        except QueueFull:
            reply = page("Error 429", "<h1>Too many books are waiting for conversion.</h1>", 429)
            waits = {} if self.variants.retry_after is None else {"Retry-After": str(self.variants.retry_after)}
            return replace(reply, headers={**reply.headers, **waits})
        if self.variants.unknown == "absent":
            rows = [row for row in rows if self.holdings.knows(row[0])]
        if request.value("process_format", "text") == "html":
            return tables.statuses(rows)
        return self._lines(["Barcode\tStatus", *(f"{barcode}\t{status}" for barcode, status in rows)])


def _asked(request: Request) -> list[str]:
    """The barcodes: repeated, in one value with commas, or the lines of a body without a key."""
    values = request.query.get("barcodes", [])
    body = request.body.decode(errors="replace")
    if "=" in body:
        values = [*values, *(value for key, value in parse_qsl(body) if key == "barcodes")]
    else:
        values = [*values, body]
    return [barcode for value in values for barcode in _SEPARATORS.split(value) if barcode]


def _dated(query: Mapping[str, list[str]]) -> Iterator[tuple[str, str, str]]:
    """The columns whose dates are asked for, each with its first day and the day after its last."""
    for name, column in _DATE_FILTERS.items():
        first, end = (query.get(f"{name}_{edge}", [""])[-1].replace("-", "/") for edge in ("start", "end"))
        if first or end:
            yield column, first, end


def between(stamp: str, first: str, end: str) -> bool:
    """Whether a moment lies from the first day on, and before the last, either of which may be empty."""
    return bool(stamp) and first <= stamp and (not end or stamp < end)
