"""A list of many pages, first to last: each is fetched whole, then read, so that a fault costs one page."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO
from urllib.parse import urlsplit

from common.errors import Halt, Retry
from common.grin import lists, pages
from common.grin.entries import Entry, of_values
from common.grin.pace import paced
from common.grin.session import Answer

# Rows that are asked for at once.
PAGE_ROWS = 10_000
# A larger page waits on the disk, in bytes: a server may put all that it has into one.
_IN_MEMORY = 16 << 20
_CHUNK = 1 << 16
Persist = Callable[[Callable[[], IO[bytes]]], IO[bytes]]


def rows_of(answer: Answer) -> Iterator[bytes]:
    """The rows of a text; lists.NoList where nothing but its last line's missing end shows that it was cut."""
    has_end = bool(answer.header("Content-Length")) or "chunked" in answer.header("Transfer-Encoding").lower()
    with answer:
        yield from lists.raw_lines(paced(answer.chunks()), must_end=not has_end)


def no_such_list(name: str, library: str, status: int) -> Halt:
    """The error for a list that GRIN does not have."""
    cure = "See whether global.library is the library's code at GRIN, in its upper and lower case."
    return Halt(f"GRIN has no list {name} of the library {library} ({status}).", cure)


class Paging:
    """Follows a list's next links. What is no whole list is an error: a page without its end, "unavailable" (it passes,
    and comes to paging that is too quick, not to its end), a first page without books, a full page that comes again.
    """

    def __init__(self, ask: Callable[[str], Answer], persist: Persist, which: str, library: str) -> None:
        self._ask = ask
        self._persist = persist
        self.name = f"_{which}"
        self.library = library
        self._firsts: set[str] = set()
        self._counts: list[int] = [0, 0]

    def entries(self, url: str) -> Iterator[Entry]:
        """All books from this page on."""
        number = 0
        while url:
            number += 1
            page = pages.ListPage(url, self.library)
            try:
                yield from self._page(page, number)
            except lists.NoList as error:
                raise Retry(f"GRIN's list {self.name}, page {number}, {error}.") from None
            except pages.Unavailable:
                raise Retry(f"GRIN says on page {number} of {self.name} that the request is unavailable.") from None
            url = self._next(page)

    def _page(self, page: pages.ListPage, number: int) -> Iterator[Entry]:
        """The books of one page; `page` has no next one when they have all been here before."""
        count = 0
        with self._persist(partial(self._fetched, page.url)) as spool:
            text = io.TextIOWrapper(spool, encoding="utf-8", errors="replace", newline="")
            for values in page.rows(iter(partial(text.read, _CHUNK), "")):
                entry = of_values(values, self.library)
                if count == 0 and entry.barcode in self._firsts:
                    self._must_be_the_end(number)
                    page.next_url = ""
                    return
                if count == 0:
                    self._firsts.add(entry.barcode)
                count += 1
                yield entry
        self._counts = [max(self._counts[0], count), count]
        if count == 0:
            page.next_url = ""
        if count == 0 and number == 1:
            raise lists.NoList("shows no books, and only a list in text is believed to be empty")

    def _must_be_the_end(self, number: int) -> None:
        """A short last page that links to itself has been the end; behind a full one there may be more."""
        most, last = self._counts
        if last >= most:
            raise lists.NoList(f"is page {number - 1} or an earlier one again, so the rest is missing")

    def _fetched(self, url: str) -> IO[bytes]:
        with self._ask(url) as answer:
            if answer.status != 200:
                raise no_such_list(self.name, self.library, answer.status)
            if not pages.is_page(answer.header("Content-Type"), answer.first):
                raise Retry(f"GRIN's list {self.name} is no page where one was asked for.")
            spool = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - whoever reads it closes it
            try:
                for chunk in paced(answer.chunks()):
                    spool.write(chunk)
                spool.seek(0)
            except BaseException:
                spool.close()
                raise
            return spool

    def _next(self, page: pages.ListPage) -> str:
        """The next page's address, which must be GRIN's own: the token goes with the request."""
        here, there = urlsplit(page.url), urlsplit(page.next_url)
        if page.next_url and (here.scheme, here.netloc) != (there.scheme, there.netloc):
            raise Halt(f"The next page of GRIN's list {self.name} is at {there.scheme}://{there.netloc}, not at GRIN.")
        return page.next_url
