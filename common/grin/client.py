"""What the project asks GRIN: lists, and archives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, urlencode

from common.errors import Halt, Retry
from common.grin import lists, pages, process
from common.grin.download import Download, Fetch, OnBytes
from common.grin.entries import Entry, of_rows
from common.grin.errors import Passing
from common.grin.paging import PAGE_ROWS, Paging, no_such_list, rows_of
from common.grin.partial import Partial
from common.grin.process import Answered
from common.grin.search import SEARCH, Search
from common.grin.session import Answer, Session
from common.settings import Settings

# GRIN thinks for minutes before the first byte of a list of a million books; libraries wait up to ten. In seconds.
SLOW_LIST = 600.0
Param = str | int | Sequence[str]
"""A parameter of a list, such as result_count or book_state; several values repeat it."""


def _nobody(*_: object) -> None:
    """Hears and does nothing."""


class GrinClient:
    """One library's GRIN. Every method ends in its result, or in Retry or Halt; never in half a result.

    `on_request` hears the endpoint and the status of each request, for the metrics.
    """

    def __init__(self, settings: Settings, on_request: Callable[[str, str], None] = _nobody) -> None:
        self.library = settings.global_.library
        self._base = f"{settings.grin.base_url}/{quote(self.library, safe='')}"
        self._grin = settings.grin
        self._session = Session(settings.grin, on_request, settings.global_.pipeline_dir)
        self._has_prefix = False

    def url(self, resource: str) -> str:
        """The address of a page or an archive of this library."""
        return f"{self._base}/{quote(resource, safe='')}"

    def archive_url(self, barcode: str) -> str:
        """The address of a book's encrypted archive."""
        return self.url(f"{barcode}{lists.ARCHIVE_SUFFIX}")

    def list_lines(self, name: str, **params: Param) -> Iterator[str]:
        """The lines of a list such as `_converted`, as they come; an error in the middle is raised, never an end."""
        url = f"{self.url(name)}?{_query({'format': 'text', **params})}"
        with self._session.persist(partial(self._ask_list, name, url)) as answer:
            try:
                yield from (row.decode("utf-8", errors="replace") for row in rows_of(answer))
            except lists.NoList as error:
                raise Retry(f"GRIN's list {name} {error}.") from None

    def entries(self, which: str, **params: Param) -> Iterator[Entry]:
        """The books on a list, as `barcodes` has them, with all that it tells of each; streamed.

        With all columns where GRIN gives them, else the bare list, else page by page. What breaks in the middle is
        raised, as Retry, and is never an end.
        """
        rows = self.text_rows(which, **params)
        if rows is None:
            yield from self.page_entries(which, **params)
            return
        try:
            yield from of_rows((row.decode("utf-8", errors="replace") for row in rows), which, self.library)
        except lists.NoList as error:
            raise Retry(f"GRIN's list _{which} {error}.") from None

    def page_entries(self, which: str, **params: Param) -> Iterator[Entry]:
        """The books on a list's pages, which tell titles and states too; streamed, and whole or an error."""
        ask = partial(self._ask_page, f"_{which}")
        first = f"{self.url(f'_{which}')}?{_query({'result_count': PAGE_ROWS, **params})}"
        return Paging(ask, self._session.persist, which, self.library).entries(first)

    def search(self, barcodes: Iterable[str]) -> Iterator[Entry]:
        """What GRIN knows of these books, in any order; those that it does not know are left out. Streamed."""
        return Search(self._ask_list, self._session.persist, self.library).entries(barcodes, self.url(SEARCH))

    def text_rows(self, which: str, **params: Param) -> Iterator[bytes] | None:
        """The rows of a list as text, with all columns or bare; None where GRIN gives neither, but perhaps a page.

        The rows come as GRIN sent them, without their ends; lists.NoList when that is no list, or breaks off.
        """
        name = f"_{which}"
        for mode in ({"mode": "all"}, {}):
            query = _query({"format": "text", **mode, **params})
            answer = self._session.persist(partial(self._ask_page, name, f"{self.url(name)}?{query}"))
            if answer.status == 200 and not pages.is_page(answer.header("Content-Type"), answer.first):
                return rows_of(answer)
            answer.response.close()
        return None

    def barcodes(self, which: str, **params: Param) -> Iterator[str]:
        """The barcodes on all_books, available, in_process, converted or failed, without what archive names add."""
        try:
            yield from lists.barcodes(self.list_lines(f"_{which}", **params), self.library, f"_{which}")
        except lists.NoList as error:
            raise Retry(f"GRIN's list _{which} {error}.") from None

    def batches(self, barcodes: Iterable[str]) -> Iterator[list[str]]:
        """Barcodes in groups of which each fits into one request for conversions."""
        return process.split(barcodes, self.url("_process"), self._grin)

    def request_conversions(self, barcodes: Sequence[str]) -> dict[str, Answered]:
        """Ask GRIN to make these books' archives: its answer for each. QueueFull when its queue is full.

        More than one of `batches` may be given; if the queue fills up in between, the answers so far are lost.
        """
        answers: dict[str, Answered] = {}
        for batch in self.batches(barcodes):
            answers |= process.request(self._session, self.url("_process"), batch, self._grin)
        return answers

    def download(
        self, barcode: str, target: Path, on_bytes: OnBytes = _nobody, *, keep: Path | None = None
    ) -> Download:
        """A book's encrypted archive as `target`, synced; Retry when GRIN does not have it now.

        What has come of a download that broke off is kept in the folder `keep`, by default one beside `target`.
        """
        part = Partial(keep or target.with_name(f".{target.name}.partial"), target)
        try:
            done = Fetch(self._session, self.library, self._archive_urls(barcode), part, on_bytes).run()
        except Passing as error:
            if self._is_away():
                cure = "The stage goes on by itself when GRIN answers again."
                raise Halt(f"{error.reason} It answers nothing else either.", cure) from None
            raise
        self._has_prefix = done.url != self.archive_url(barcode)
        return done

    def _is_away(self) -> bool:
        """Whether GRIN does not even give its cheapest page: then no book is at fault."""
        try:
            with self._session.get("summary", f"{self.url('')}?format=text&result_count=1", html_ok=True):
                return False
        except Passing:
            return True

    def _archive_urls(self, barcode: str) -> list[str]:
        """Both names that archives have at libraries, the one that the last book had first."""
        urls = [self.archive_url(barcode), self.archive_url(f"{self.library}_{barcode}")]
        return urls[::-1] if self._has_prefix else urls

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def __enter__(self) -> GrinClient:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask_page(self, name: str, url: str) -> Answer:
        return self._session.get(name, url, html_ok=True, idle=SLOW_LIST if name == "_all_books" else None)

    def _ask_list(self, name: str, url: str) -> Answer:
        answer = self._session.get(name, url, idle=SLOW_LIST if name == "_all_books" else None)
        if answer.status != 200:
            answer.response.close()
            raise no_such_list(name, self.library, answer.status)
        return answer


def _query(params: Mapping[str, Param]) -> str:
    return urlencode(params, doseq=True)
