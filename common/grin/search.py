"""GRIN's search by barcode: whatever it knows of some books, in columns with names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from urllib.parse import quote_plus, urlencode

from common.errors import Retry
from common.grin import columns, lists
from common.grin.entries import Entry, of_rows
from common.grin.paging import rows_of
from common.grin.session import Answer

SEARCH = "_barcode_search"
# Addresses up to this length have proved safe; some 480 barcodes of fourteen digits.
LONGEST_URL = 7_500


class Search:
    """Asks for as many books at once as fit into an address."""

    def __init__(
        self,
        ask: Callable[[str, str], Answer],
        persist: Callable[[Callable[[], list[Entry]]], list[Entry]],
        library: str,
    ) -> None:
        self._ask = ask
        self._persist = persist
        self.library = library

    def entries(self, barcodes: Iterable[str], url: str) -> Iterator[Entry]:
        """The books that are known; each request's answer is read whole, so that a fault costs one request."""
        head = f"{url}?{urlencode({'execute_query': 'true', 'format': 'text', 'mode': 'full'})}&barcodes="
        for batch in _batches(barcodes, LONGEST_URL - len(head)):
            yield from self._persist(partial(self._found, f"{head}{batch}"))

    def _found(self, url: str) -> list[Entry]:
        try:
            rows = [row.decode("utf-8", errors="replace") for row in rows_of(self._ask(SEARCH, url))]
            # An answer without its header could be anything.
            if rows and columns.by_header(rows[0].split("\t")) is None:
                raise lists.no_barcode(rows[0], 0) if "\t" not in rows[0] else lists.NoList("has no header")
            return list(of_rows(rows, "barcode_search", self.library))
        except lists.NoList as error:
            raise Retry(f"GRIN's answer to {SEARCH} {error}.") from None


def _batches(barcodes: Iterable[str], room: int) -> Iterator[str]:
    """Barcodes, in upper case and encoded, with a sign for a blank between them; each at most `room` long."""
    batch = ""
    for barcode in barcodes:
        encoded = quote_plus(barcode.upper())
        if batch and len(batch) + 1 + len(encoded) > room:
            yield batch
            batch = ""
        batch = f"{batch}+{encoded}" if batch else encoded
    if batch:
        yield batch
