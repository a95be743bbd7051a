"""What the project asks GRIN: lists, and archives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, urlencode

from common.errors import Halt, Retry
from common.grin import lists
from common.grin.download import Download, Fetch, OnBytes
from common.grin.session import Answer, Session
from common.settings import Settings


def _nobody(*_: object) -> None:
    """Hears and does nothing."""


class GrinClient:
    """One library's GRIN. Every method ends in its result, or in Retry or Halt; never in half a result.

    `on_request` hears the endpoint and the status of each request, for the metrics.
    """

    def __init__(self, settings: Settings, on_request: Callable[[str, str], None] = _nobody) -> None:
        self.library = settings.global_.library
        self._base = f"{settings.grin.base_url}/{quote(self.library, safe='')}"
        self._session = Session(settings.grin, on_request)

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
                yield from lists.lines(answer.chunks())
            except lists.NoList as error:
                raise Retry(f"GRIN's list {name} {error}.") from None

    def barcodes(self, which: str) -> Iterator[str]:
        """The barcodes on all_books, available, in_process, converted or failed, without what archive names add."""
        try:
            yield from lists.barcodes(self.list_lines(f"_{which}"), self.library)
        except lists.NoList as error:
            raise Retry(f"GRIN's list _{which} {error}, which is no barcode.") from None

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

    def _open_list(self, name: str, query: str) -> Answer:
        answer = self._session.get(name, f"{self.url(name)}?{query}")
        if answer.status != 200:
            answer.response.close()
            cure = "See whether global.library is the library's code at GRIN, in its upper and lower case."
            raise Halt(f"GRIN has no list {name} of the library {self.library} ({answer.status}).", cure)
        return answer
