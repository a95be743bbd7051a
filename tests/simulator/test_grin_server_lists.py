"""The simulated GRIN's lists: plain, with all columns, the search, and as pages."""

from __future__ import annotations

import re

import httpx
import pytest

from simulator.grin.entry import State
from tests.simulator.grin_server import BARCODES, DATED, LIBRARY, Served


@pytest.mark.quirk("plain-lists")
@pytest.mark.quirk("no-header")
@pytest.mark.quirk("summary-page")
def test_plain_lists(mixed: Served) -> None:
    """Each state is on its lists, without a header; _converted has file names."""
    assert mixed.lines("_all_books") == list(BARCODES)
    assert mixed.lines("_available") == ["$B100"]
    assert mixed.lines("_in_process") == ["W1PD159424-I3PD77"]
    assert mixed.lines("_converted") == [f"{DATED}.tar.gz.gpg"]
    assert mixed.lines("_failed", result_count=-1) == ["HV1ABC"]
    assert sorted(mixed.lines("")) == [
        "CONVERTED\t1",
        "IN_PROCESS\t1",
        "NEW\t2",
        "NOT_AVAILABLE_FOR_DOWNLOAD\t1",
    ]


@pytest.mark.quirk("columns-available")
@pytest.mark.quirk("columns-converted")
@pytest.mark.quirk("columns-failed")
@pytest.mark.parametrize(
    ("name", "columns"), [("_all_books", 7), ("_available", 6), ("_in_process", 6), ("_converted", 5), ("_failed", 9)]
)
def test_lists_with_all_columns(mixed: Served, name: str, columns: int) -> None:
    """mode=all has the columns of each list, still without a header."""
    for row in mixed.lines(name, mode="all"):
        values = row.split("\t")
        assert len(values) == columns
        assert values[0].removesuffix(".tar.gz.gpg") in BARCODES
        assert values[-1].startswith("https://books.google.com/books?id=")


def test_dates_of_the_record_are_the_lists(mixed: Served) -> None:
    """Dates that the maker has recorded are those of the lists."""
    values = mixed.lines("_converted", mode="all")[0].split("\t")
    assert values[1:4] == ["2009/02/03 12:00", "2026/01/02 03:04", ""]


@pytest.mark.quirk("list-filters")
def test_list_filters(mixed: Served) -> None:
    """book_state can be repeated, dates end before their end, and result_count ends the list."""
    wanted = ["NEW", "PREVIOUSLY_DOWNLOADED"]
    assert mixed.lines("_all_books", book_state=wanted) == ["$B100", "HV1ABC"]
    assert mixed.lines("_all_books", result_count=2) == list(BARCODES[:2])
    scan = {"execute_query": "true", "last_scan_date_start": "2009-02-03"}
    assert DATED in mixed.lines("_all_books", **scan, last_scan_date_end="2009-02-04")
    assert DATED not in mixed.lines("_all_books", last_scan_date_end="2009-02-03")
    assert mixed.lines("_converted", last_conversion_date_start="2026-01-03") == []


@pytest.mark.quirk("search-header")
@pytest.mark.quirk("unknown-barcodes-are-absent")
@pytest.mark.quirk("state-checked-in")
def test_search(mixed: Served) -> None:
    """The search has the 25 names of its header, knows only its own books, and shortens empty row ends."""
    mixed.server.holdings.put("HV1ABC", State.CHECKED_IN)
    header, *rows = mixed.lines("_barcode_search", execute_query="true", mode="full", barcodes="HV1ABC NOBODY $B100")
    names = header.split("\t")
    assert (len(names), names[2], names[24]) == (25, "State", "OCR'd Date")
    found = {row.split("\t")[0]: dict(zip(names, row.split("\t"), strict=False)) for row in rows}
    assert set(found) == {"HV1ABC", "$B100"}
    assert found["$B100"]["State"] == "NEW"
    assert len(found["HV1ABC"]) < 25


@pytest.mark.quirk("html-lists")
@pytest.mark.quirk("html-next-page")
@pytest.mark.parametrize(("name", "mark"), [("_all_books", "first="), ("_converted", "ctoken=")])
def test_html_lists_are_paged(grin: Served, name: str, mark: str) -> None:
    """Each page links to the next one, by one of GRIN's two ways, until there is none."""
    url, seen = f"{grin.server.url}/{LIBRARY}/{name}?result_count=2", []
    while url:
        text = grin.http.get(url).text
        seen += re.findall(r"<tr>(?:<td></td>|<td><input[^>]*></td>)?<td>([^<.]+)", text)
        link = re.search(r'<a href="([^"]+)">Next &gt;</a>', text)
        assert link is None or mark in link[1]
        url = str(httpx.URL(url).join(link[1].replace("&amp;", "&"))) if link else ""
    assert seen == list(BARCODES)


@pytest.mark.quirk("html-cells-shift")
@pytest.mark.quirk("html-title-withheld")
def test_html_checkboxes(mixed: Served) -> None:
    """Books that can be asked for have a checkbox, others an empty cell or none; a title can be withheld."""
    text = mixed.get("_all_books", result_count=50).text
    assert '<tr class="heading"><td></td><td><span class="hd3">Barcode</span></td>' in text
    assert '<tr><td><input type="checkbox" name="barcodes" value="$B100"></td><td>$B100</td>' in text
    assert f"<tr><td></td><td>{DATED}</td><td>Title of {DATED}</td>" in text
    assert "<tr><td>39000000000026</td><td></td>" in text
