"""What the project asks GRIN: lists, and archives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, urlencode

from common.errors import Halt, Retry
from common.grin import lists, pages
from common.grin.download import Download, Fetch, OnBytes
from common.grin.entries import Entry, of_rows
from common.grin.session import Answer, Session
from common.settings import Settings

# GRIN thinks for minutes before the first byte of a list of a million books; libraries wait up to ten. In seconds.
SLOW_LIST = 600.0


def _nobody(*_: object) -> None:
    """Hears and does nothing."""


class GrinClient:
    """One library's GRIN. Every method ends in its result, or in Retry or Halt; never in half a result.

    `on_request` hears the endpoint and the status of each request, for the metrics.
    """

    def __init__(self, settings: Settings, on_request: Callable[[str, str], None] = _nobody) -> None:
        self.library = settings.global_.library
        self._base = f"{settings.grin.base_url}/{quote(self.library, safe='')}"
        self._session = Session(settings.grin, on_request, settings.global_.pipeline_dir)

    def url(self, resource: str) -> str:
        """The address of a page or an archive of this library."""
        return f"{self._base}/{quote(resource, safe='')}"

    def archive_url(self, barcode: str) -> str:
        """The address of a book's encrypted archive."""
        return self.url(f"{barcode}{lists.ARCHIVE_SUFFIX}")

    def list_lines(self, name: str, **params: str | int) -> Iterator[str]:
        """The lines of a list such as `_converted`, as they come; an error in the middle is raised, never an end."""
        query = urlencode({"format": "text", **params})
        with self._session.persist(lambda: self._open_list(name, query)) as answer:
            try:
                yield from lists.lines(answer.chunks(), must_end=not _has_end(answer))
            except lists.NoList as error:
                raise Retry(f"GRIN's list {name} {error}.") from None

    def entries(self, which: str, **params: str | int) -> Iterator[Entry]:
        """The books on a list, as `barcodes` has them, with all that it tells of each; streamed.

        With all columns where GRIN gives them, else the bare list, else page by page. What breaks in the middle is
        raised, as Retry, and is never an end.
        """
        name = f"_{which}"
        rows = self.text_rows(name, **params)
        if rows is None:
            raise NotImplementedError
        try:
            yield from of_rows((row.decode("utf-8", errors="replace") for row in rows), which, self.library)
        except lists.NoList as error:
            raise Retry(f"GRIN's list {name} {error}.") from None

    def text_rows(self, name: str, **params: str | int) -> Iterator[bytes] | None:
        """The rows of a list as text, with all columns or bare; None where GRIN gives neither, but perhaps a page."""
        for mode in ({"mode": "all"}, {}):
            query = urlencode({"format": "text", **mode, **params})
            answer = self._session.persist(partial(self._ask_list, name, query))
            if answer.status == 200 and not pages.is_page(answer.header("Content-Type"), answer.first):
                return _rows(answer)
            answer.response.close()
        return None

    def barcodes(self, which: str) -> Iterator[str]:
        """The barcodes on all_books, available, in_process, converted or failed, without what archive names add."""
        try:
            yield from lists.barcodes(self.list_lines(f"_{which}"), self.library)
        except lists.NoList as error:
            raise Retry(f"GRIN's list _{which} {error}.") from None

    def download(self, barcode: str, target: Path, on_bytes: OnBytes = _nobody) -> Download:
        """A book's encrypted archive into `target`, synced; Retry when GRIN does not have it now."""
        return Fetch(self._session, self.archive_url(barcode), target, on_bytes).run()

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def __enter__(self) -> GrinClient:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask_list(self, name: str, query: str) -> Answer:
        idle = SLOW_LIST if name == "_all_books" else None
        return self._session.get(name, f"{self.url(name)}?{query}", html_ok=True, idle=idle)

    def _open_list(self, name: str, query: str) -> Answer:
        idle = SLOW_LIST if name == "_all_books" else None
        answer = self._session.get(name, f"{self.url(name)}?{query}", idle=idle)
        if answer.status != 200:
            answer.response.close()
            cure = "See whether global.library is the library's code at GRIN, in its upper and lower case."
            raise Halt(f"GRIN has no list {name} of the library {self.library} ({answer.status}).", cure)
        return answer


def _rows(answer: Answer) -> Iterator[bytes]:
    with answer:
        yield from lists.raw_lines(answer.chunks(), must_end=not _has_end(answer))


def _has_end(answer: Answer) -> bool:
    """Whether HTTP tells where the body ends, so that one cut short is an error there."""
    return bool(answer.header("Content-Length")) or "chunked" in answer.header("Transfer-Encoding").lower()
