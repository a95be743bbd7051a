"""Which resource of GRIN answers which request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from urllib.parse import parse_qsl, quote

from simulator.grin import lists, tables
from simulator.grin.archives import archive
from simulator.grin.consent import Unfit
from simulator.grin.control import Control
from simulator.grin.entry import SUFFIX, State
from simulator.grin.faults import DISTORTING, REPLACING, Faults, Kind, distorted, login_page, replacement
from simulator.grin.holdings import Holdings, QueueFull
from simulator.grin.messages import Reply, Request, answer_json, lines, page, redirect
from simulator.grin.tokens import Refused, TokenOffice

LOGIN = "/accounts.google.com/ServiceLogin"
_DATE_FILTERS = {"last_scan_date": "Scanned Date", "last_conversion_date": "Converted Date"}
_SEPARATORS = re.compile(r"[\s,]+")


@dataclass(frozen=True)
class Site:
    """All that the addresses of the server lead to."""

    library: str
    holdings: Holdings
    tokens: TokenOffice
    faults: Faults
    control: Control
    sleep: Callable[[float], object]

    def answer(self, request: Request) -> Reply:
        """The reply to any request."""
        home = f"/libraries/{self.library}"
        if request.path.startswith("/_simulator/"):
            return self.control.answer(request)
        if request.path == "/token":
            return self._faulty("token", request, self._token)
        if request.path == "/auth":
            return self._faulty("auth", request, self._auth)
        if request.path.startswith(LOGIN):
            return login_page()
        if request.path == home or request.path.startswith(f"{home}/"):
            return self._library(request.path.removeprefix(home).removeprefix("/"), request)
        return _not_found()

    def _token(self, request: Request) -> Reply:
        try:
            return answer_json(self.tokens.grant(dict(parse_qsl(request.body.decode(errors="replace")))))
        except Refused as refusal:
            return answer_json({"error": str(refusal)}, 401 if str(refusal) == "invalid_client" else 400)

    def _auth(self, request: Request) -> Reply:
        denied = bool(self.faults.take("auth", {Kind.DENY}))
        try:
            return redirect(self.tokens.consent({name: request.value(name) for name in request.query}, denied=denied))
        except Unfit as error:
            return page("Error 400", f"<h1>Access blocked: authorization error</h1><p>Error 400: {error}</p>", 400)

    def _library(self, name: str, request: Request) -> Reply:
        target = self._barcode(name) or name
        if self.faults.take(target, {Kind.EXPIRE}):
            self.tokens.revoke_all()
        if not self.tokens.accepts(request.headers.get("authorization", "")):
            return redirect(f"{LOGIN}?service=libraries&continue={quote(request.target, safe='')}")
        return self._faulty(target, request, lambda asked: self._resource(name, asked))

    def _faulty(self, target: str, request: Request, true_reply: Callable[[Request], Reply]) -> Reply:
        for fault in self.faults.take(target, REPLACING):
            return replacement(fault, request.target)
        reply = true_reply(request)
        for fault in self.faults.take(target, DISTORTING):
            reply = distorted(reply, fault, self.sleep, self.faults.dice)
        return reply

    def _resource(self, name: str, request: Request) -> Reply:
        barcode = self._barcode(name)
        if barcode:
            return self._archive(barcode, request)
        if name in lists.ALL_COLUMNS:
            return self._list(name, request)
        if name == "":
            return self._summary(request)
        if name == "_process":
            return self._process(request)
        if name == "_barcode_search":
            return self._search(request)
        return _not_found()

    def _barcode(self, name: str) -> str:
        """The barcode in an archive's name, which may have the library's prefix; empty for other names."""
        return name.removesuffix(SUFFIX).removeprefix(f"{self.library}_") if name.endswith(SUFFIX) else ""

    def _archive(self, barcode: str, request: Request) -> Reply:
        if self.faults.take(barcode, {Kind.REBUILD}):
            self.holdings.rebuilt(barcode)
        entry = self.holdings.offered(barcode)
        path = entry.facts.archive if entry else None
        if entry is None or path is None or not path.is_file():
            return _not_found()
        ranges = not self.faults.take(barcode, {Kind.NO_RANGE})
        return archive(request, path, entry.etag(path), lambda: self.holdings.downloaded(barcode), ranges=ranges)

    def _list(self, name: str, request: Request) -> Reply:
        numbers = self.holdings.numbers(name, request.query.get("book_state"))
        for column, first, end in _dated(request.query):
            cell = lists.CELLS[column]
            numbers = [number for number in numbers if _between(cell(self.holdings.entry(number)), first, end)]
        if request.value("format") != "text":
            return tables.table(name, numbers, self.holdings.entry, request)
        count = int(request.value("result_count", "-1"))
        shown = islice(self.holdings.entries(numbers), count if count >= 0 else None)
        return lines((lists.all_columns if request.value("mode") == "all" else lists.plain)(name, shown))

    def _summary(self, request: Request) -> Reply:
        counts = self.holdings.counts()
        # A failed book is as good as new.
        counts[State.NEW] += counts.pop(State.FAILED)
        shown = [(state, count) for state, count in sorted(counts.items()) if count]
        if request.value("format") == "text":
            return lines(f"{state}\t{count}" for state, count in shown)
        return page(self.library, "".join(f"<p>{state}: {count}</p>" for state, count in shown))

    def _search(self, request: Request) -> Reply:
        return lines(lists.search(self.holdings.find(request.value("barcodes").split())))

    def _process(self, request: Request) -> Reply:
        try:
            rows = self.holdings.request(_asked(request))
        except QueueFull:
            return page("Error 429", "<h1>Too many books are waiting for conversion.</h1>", 429)
        if request.value("process_format", "text") == "html":
            return tables.statuses(rows)
        return lines(["Barcode\tStatus", *(f"{barcode}\t{status}" for barcode, status in rows)])


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


def _between(stamp: str, first: str, end: str) -> bool:
    return bool(stamp) and first <= stamp and (not end or stamp < end)


def _not_found() -> Reply:
    return page("Error 404", "<h1>404. That's an error.</h1>", 404)
