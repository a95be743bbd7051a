"""The doubtful points of GRIN at the simulator, each as a server that has it one way."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulator.grin.entry import State
from simulator.grin.variants import Variants
from simulator.server import Options
from tests.simulator.grin_server import BARCODES, DATED, LIBRARY, MIXED, SIZE, SLOW, Served, serving

BOOK = DATED
ARCHIVE = f"{BOOK}.tar.gz.gpg"


@contextmanager
def varied(folder: Path, **variants: Any) -> Iterator[Served]:
    """The library with a book in each state, at a GRIN that has its ways."""
    with serving(folder, Options(MIXED, limits=SLOW, variants=Variants(**variants))) as grin:
        yield grin


@pytest.mark.quirk("columns-all-books")
@pytest.mark.parametrize(
    ("columns", "date"), [(6, "2009-02-03 12:00"), (7, "2009/02/03 12:00"), (9, "2009/02/03 12:00")]
)
def test_columns_of_all_books(books: Path, columns: int, date: str) -> None:
    """All books have six columns with dashes in their dates and no link, or seven, or nine, one of them empty."""
    with varied(books, columns=columns) as grin:
        rows = {row.split("\t")[0]: row.split("\t") for row in grin.lines("_all_books", mode="all")}
    assert {len(row) for row in rows.values()} == {columns}
    row = rows[BOOK]
    assert row[1] == date
    assert row[-1].startswith("https://") == (columns != 6)
    assert row[2 if columns == 9 else 4].startswith("2026")
    assert columns != 9 or row[6] == ""


@pytest.mark.quirk("html-lists")
def test_lists_in_one_form_only(books: Path) -> None:
    """GRIN may answer with the page where text was asked for, or the other way round."""
    with varied(books, lists="html") as grin:
        assert grin.get("_all_books", format="text").text.startswith("<!DOCTYPE html>")
    with varied(books, lists="text") as grin:
        assert grin.get("_all_books").text.splitlines() == list(BARCODES)


@pytest.mark.quirk("no-header")
def test_a_header_on_text_lists(books: Path) -> None:
    """A row of names may come first, of one name in plain lists."""
    with varied(books, header=True) as grin:
        assert grin.lines("_converted") == ["Filename", ARCHIVE]
        head, row = grin.lines("_converted", mode="all")
    assert head.split("\t")[:2] == ["Filename", "Scanned Date"]
    assert len(head.split("\t")) == len(row.split("\t")) == 5


@pytest.mark.quirk("line-ends")
def test_line_ends(books: Path) -> None:
    """Lines end with CR LF in all that is text."""
    with varied(books, crlf=True) as grin:
        for name in ("_all_books", "_barcode_search", "_process", ""):
            text = grin.get(name, format="text", barcodes=BARCODES[0]).content
            assert text.count(b"\r\n") == text.count(b"\n") > 0


@pytest.mark.quirk("rows-shorter-than-header")
def test_short_rows(tmp_path: Path) -> None:
    """Rows of books without a link end earlier."""
    with serving(tmp_path, Options(limits=SLOW, inventory=60, variants=Variants(short_rows=True))) as grin:
        lengths = [len(row.split("\t")) for row in grin.lines("_all_books", mode="all")]
    assert 5 < sum(length < 7 for length in lengths) < 55


@pytest.mark.quirk("columns-failed")
def test_blank_reasons(tmp_path: Path) -> None:
    """A failed conversion has reasons mostly, and none at all at some GRINs."""
    for variants, most in ((Variants(), 39), (Variants(blank_reasons=True), 0)):
        with serving(tmp_path, Options(limits=SLOW, inventory=40, mix={State.FAILED: 1}, variants=variants)) as grin:
            rows = [row.split("\t") for row in grin.lines("_failed", mode="all", result_count=-1)]
        told = sum(bool(row[5]) for row in rows)
        assert [len(row) for row in rows] == [9] * 40
        assert most / 2 <= told <= most


@pytest.mark.quirk("prefixed-archive-names")
@pytest.mark.parametrize(("prefixed", "plain"), [("lists", 200), ("only", 404)])
def test_prefixed_archives(books: Path, prefixed: str, plain: int) -> None:
    """Archives carry the library's code in lists and pages, and then perhaps in addresses, too."""
    with varied(books, prefixed=prefixed) as grin:
        name = f"{LIBRARY}_{ARCHIVE}"
        assert grin.lines("_converted") == [name]
        assert f"<td>{name}</td>" in grin.get("_converted").text
        answer = grin.get(name)
        assert (answer.status_code, grin.get(ARCHIVE).status_code) == (200, plain)
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'


@pytest.mark.quirk("plain-lists")
def test_file_names_in_process(books: Path) -> None:
    """_in_process may have file names, as _converted has."""
    with varied(books, suffixed=True) as grin:
        assert grin.lines("_in_process") == ["W1PD159424-I3PD77.tar.gz.gpg"]


@pytest.mark.quirk("state-previously-downloaded")
@pytest.mark.parametrize("no_downloaded", [False, True])
def test_available_with_and_without_downloaded_books(tmp_path: Path, no_downloaded: bool) -> None:
    """Books that were downloaded once and are gone from the pool may be missing among the available ones."""
    mix = {State.NEW: 0.5, State.PREVIOUSLY_DOWNLOADED: 0.5}
    variants = Variants(no_downloaded=no_downloaded)
    with serving(tmp_path, Options(limits=SLOW, inventory=50, mix=mix, variants=variants)) as grin:
        available = set(grin.lines("_available"))
        states = [line.split("\t") for line in grin.control("truth").text.splitlines()]
    assert available == {barcode for barcode, state, _ in states if state == "NEW" or not no_downloaded}


@pytest.mark.quirk("head-like-get")
def test_no_head(books: Path) -> None:
    """HEAD may be no method of GRIN's; GET still is."""
    with varied(books, no_head=True) as grin:
        assert grin.http.head(f"{grin.server.url}/{LIBRARY}/{ARCHIVE}").status_code == 405
        assert grin.get(ARCHIVE).status_code == 200


@pytest.mark.quirk("range-unknown")
@pytest.mark.parametrize(
    ("variants", "etag", "length", "statuses"),
    [
        ({}, '"', str(SIZE), (206, 206)),
        ({"no_range": True}, '"', str(SIZE), (200, 200)),
        ({"no_etag": True}, "", str(SIZE), (206, 200)),
        ({"weak_etag": True}, 'W/"', str(SIZE), (206, 200)),
        ({"no_length": True}, '"', None, (206, 206)),
    ],
)
def test_headers_of_archives(
    books: Path, variants: dict[str, bool], etag: str, length: str | None, statuses: tuple[int, int]
) -> None:
    """Range, ETag and Content-Length may be missing, and a weak ETag never holds for If-Range."""
    with varied(books, **variants) as grin:
        answer = grin.get(ARCHIVE)
        assert answer.headers.get("ETag", "").startswith(etag)
        assert ("ETag" in answer.headers, answer.headers.get("Content-Length")) == (bool(etag), length)
        assert answer.content == grin.data(BOOK)
        asked = {"Range": "bytes=100-"}
        again = [asked, {**asked, "If-Range": answer.headers.get("ETag", '"none"')}]
        seen = [grin.http.get(f"{grin.server.url}/{LIBRARY}/{ARCHIVE}", headers=headers) for headers in again]
    assert tuple(one.status_code for one in seen) == statuses
    assert [len(one.content) for one in seen] == [SIZE - 100 if one.status_code == 206 else SIZE for one in seen]


@pytest.mark.quirk("process-other-error")
def test_unknown_barcodes_in_process(books: Path) -> None:
    """A barcode that GRIN does not know, also one in lower case, is an error or has no row."""
    with varied(books) as grin:
        assert grin.process("hv1abc", "NOBODY") == {"hv1abc": "Other error", "NOBODY": "Other error"}
    with varied(books, unknown="absent") as grin:
        assert grin.process("hv1abc", "HV1ABC", "NOBODY") == {"HV1ABC": "Success"}


@pytest.mark.quirk("barcodes-a-request")
def test_too_many_barcodes_in_process(books: Path) -> None:
    """Of more barcodes than GRIN copes with the last ones are silently left out."""
    with varied(books, process_max=2) as grin:
        assert list(grin.process(*BARCODES)) == list(BARCODES[:2])


@pytest.mark.quirk("retry-after")
def test_retry_after_of_a_full_queue(books: Path) -> None:
    """The 429 of a full queue may say how long to wait."""
    limits = SLOW.__class__(conversion_seconds=3600, queue_limit=1)
    with serving(books, Options(MIXED, limits=limits, variants=Variants(retry_after=90))) as grin:
        answer = grin.get("_process", barcodes="$B100")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "90")


@pytest.mark.quirk("long-search-urls")
def test_long_addresses(grin: Served) -> None:
    """An address of more than 8,192 characters is 414, one of 7,500 is not."""
    for length, status in ((7500, 200), (8300, 414)):
        address = f"/libraries/{LIBRARY}/_barcode_search?format=text&mode=full&barcodes="
        url = httpx.URL(grin.server.url).join(address + "+".join(["39000000000018"] * ((length - 80) // 15)))
        assert grin.http.get(url).status_code == status


@pytest.mark.quirk("five-requests-a-second")
def test_a_rate_limit(books: Path) -> None:
    """Above the rate GRIN answers 429, or resets the connection, and recovers after a second."""
    with varied(books, max_rate=3) as grin:
        assert [grin.get("_failed").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
        time.sleep(1.05)
        assert grin.get("_failed").status_code == 200
    with varied(books, max_rate=3, over="drop") as grin:
        assert [grin.get("_failed").status_code for _ in range(3)] == [200, 200, 200]
        with pytest.raises(httpx.TransportError):
            grin.get("_failed")


@pytest.mark.quirk("403-not-on-the-list")
def test_an_account_that_is_not_listed_yet(books: Path) -> None:
    """A good token is 403 until the change of the list has arrived."""
    with varied(books, acl_seconds=0.4) as grin:
        assert grin.get("_failed").status_code == 403
        time.sleep(0.45)
        assert grin.get("_failed").status_code == 200


@pytest.mark.quirk("monthly-report")
def test_reports(mixed: Served) -> None:
    """Reports have a header; the monthly one has the books checked in that month, or from one day to before another."""
    rows = {row.split("\t")[0]: row.split("\t")[1] for row in mixed.lines("_monthly_report")}
    assert rows.pop("Barcode") == "Check-In Date"
    assert set(rows) == set(BARCODES)
    year, month, day = re.split("[/ ]", rows[BOOK])[:3]
    of_month = mixed.lines("_monthly_report", execute_query="true", year=year, month=month.lstrip("0"))
    assert BOOK in {row.split("\t")[0] for row in of_month}
    edges = [{"check_in_date_start": f"{year}-{month}-{day}"}, {"check_in_date_end": f"{year}-{month}-{day}"}]
    seen = [[row.split("\t")[0] for row in mixed.lines("_monthly_report", **edge)] for edge in edges]
    assert [BOOK in barcodes for barcodes in seen] == [True, False]
    assert len(mixed.lines("_monthly_report", book_state="NEW")) == 3
    assert mixed.lines("_circulation_reports")[0].startswith("Barcode\t")
    assert "_monthly_report" in mixed.lines("_reports")


@pytest.mark.parametrize(
    "wrong", [{"columns": 8}, {"lists": "pdf"}, {"prefixed": "no"}, {"over": "x"}, {"unknown": "?"}]
)
def test_ways_that_there_are_not(wrong: dict[str, Any]) -> None:
    """A wrong way is told in a sentence."""
    with pytest.raises(ValueError, match="cannot be"):
        Variants(**wrong)
