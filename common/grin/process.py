"""`_process`: asking GRIN to make archives, and what it answers for each book.

GRIN takes this by GET as well, so a GET here changes something. Asking twice changes nothing more: a queued book
answers "Already being converted". So a request whose answer was lost may be sent again, as any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlencode

from common.errors import Halt, Retry
from common.grin import lists, pages
from common.grin.session import Answer, Session
from common.settings import GrinSettings

# Addresses of up to so many characters are safe, as libraries have found.
LONGEST_URL = 7_499
NO_ANSWER = "no answer"
_RESOURCE = "_process"


class Status(StrEnum):
    """What has become of a request for one book."""

    ACCEPTED = "accepted"
    IN_PROCESS = "in_process"
    CONVERTED = "converted"
    REFUSED = "refused"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Answered:
    """GRIN's answer for one book, and its own words."""

    status: Status
    text: str


def status_of(text: str) -> Status:
    """What GRIN's words mean, in whatever case they come."""
    words = text.strip().lower()
    if words.startswith("success"):
        return Status.ACCEPTED
    if "not allowed to be downloaded" in words:
        return Status.REFUSED
    if "already" in words and "available for download" in words:
        return Status.CONVERTED
    if "already" in words and ("being converted" in words or "process" in words):
        return Status.IN_PROCESS
    return Status.OTHER


def split(barcodes: Iterable[str], url: str, settings: GrinSettings) -> Iterator[list[str]]:
    """Barcodes in batches that one request may carry: so many, and by GET no address that is too long."""
    batch: list[str] = []
    empty = len(_address(url, []))
    length = empty
    for barcode in barcodes:
        more = len(urlencode({"barcodes": barcode})) + 1 if settings.process_method == "get" else 0
        if batch and (len(batch) >= settings.process_batch or length + more > LONGEST_URL):
            yield batch
            batch, length = [], empty
        batch.append(barcode)
        length += more
    if batch:
        yield batch


def request(session: Session, url: str, batch: Sequence[str], settings: GrinSettings) -> dict[str, Answered]:
    """Ask for one batch: the answer for each of its books. QueueFull when GRIN took none of them."""
    return session.persist(lambda: _request(session, url, batch, settings))


def _request(session: Session, url: str, batch: Sequence[str], settings: GrinSettings) -> dict[str, Answered]:
    if settings.process_method == "post":
        answer = session.post(_RESOURCE, _address(url, []), "\n".join(batch).encode() + b"\n", html_ok=True)
    else:
        answer = session.get(_RESOURCE, _address(url, batch), html_ok=True)
    with answer:
        if answer.status == 404:
            cure = "See whether global.library is the library's code at GRIN, in its upper and lower case."
            raise Halt("GRIN has no page for conversions of this library (404).", cure)
        if answer.status != 200:
            raise Retry(f"GRIN answers {answer.status} to a request for conversions.")
        try:
            return _matched(batch, _rows(answer, url))
        except (lists.NoList, pages.Unavailable) as error:
            raise Retry(f"GRIN's answer to a request for conversions {error}.") from None


def _address(url: str, barcodes: Sequence[str]) -> str:
    return f"{url}?{urlencode([('process_format', 'text'), *(('barcodes', barcode) for barcode in barcodes)])}"


def _rows(answer: Answer, url: str) -> Iterator[tuple[str, str]]:
    """Barcodes with GRIN's words; the header is one of the rows of a text."""
    if pages.is_page(answer.header("Content-Type"), answer.first):
        texts = (piece.decode("utf-8", errors="replace") for piece in answer.chunks())
        yield "barcode", ""
        yield from ((row["barcode"], row.get("state", "")) for row in pages.ListPage(url, "").rows(texts))
        return
    for line in lists.lines(answer.chunks()):
        barcode, _, text = line.partition("\t")
        yield barcode.strip(), text.strip()


def _matched(batch: Sequence[str], rows: Iterable[tuple[str, str]]) -> dict[str, Answered]:
    """An answer for each book of the batch. GRIN may write barcodes in upper case."""
    by_name = {barcode.upper(): barcode for barcode in batch}
    found: dict[str, Answered] = {}
    strange, header = "", False
    for name, text in rows:
        barcode = by_name.get(name.upper())
        if barcode is not None:
            found[barcode] = Answered(status_of(text), text)
        elif name.lower() == "barcode":
            header = True
        else:
            strange = strange or f"{name}\t{text}"
    if not found and not header:
        raise lists.NoList(f"is no table of barcodes and their states, but {strange[:60]!a}")
    return {barcode: found.get(barcode, Answered(Status.OTHER, NO_ANSWER)) for barcode in batch}
