"""Columns are told by a header or by what they hold, and named only where there is no doubt."""

from __future__ import annotations

from datetime import datetime

import pytest

from common.grin.columns import by_content, by_header, date_of
from common.grin.entries import Entry, of_rows
from common.grin.lists import NoList

S, P, A, O, C, D = (f"20{year}/01/02 03:04" for year in (10, 20, 21, 22, 23, 24))  # noqa: E741 - as the lists have them
LINK = "https://books.google.com/books?id=AAAAtest0018"
B = "39000000000018"


def at(text: str) -> datetime:
    """A date of the rows above."""
    return datetime.fromisoformat(text.replace("/", "-"))


def only(which: str, *rows: str) -> Entry:
    """The first book of a list with these rows."""
    return next(of_rows(rows, which, "TESTLIB"))


def row(*cells: str) -> str:
    """A row of a list."""
    return "\t".join(cells)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2019/03/04 10:11", datetime.fromisoformat("2019-03-04 10:11")),
        ("2019-03-04 10:11:12", datetime.fromisoformat("2019-03-04 10:11:12")),
        ("2019-03-04", datetime.fromisoformat("2019-03-04")),
        ("2019/13/04 10:11", None),
        ("N/A", None),
        ("", None),
    ],
)
def test_dates(text: str, date: datetime | None) -> None:
    """With slashes or dashes, with a time or none; what is no date is none."""
    assert date_of(text) == date


@pytest.mark.quirk("columns-available")
@pytest.mark.quirk("no-header")
@pytest.mark.parametrize("which", ["available", "in_process"])
def test_available_and_in_process(which: str) -> None:
    """Six columns without a header."""
    book = only(which, row(B, S, P, A, O, LINK))
    assert (book.scanned, book.processed, book.analyzed, book.ocrd) == (at(S), at(P), at(A), at(O))
    assert (book.barcode, book.link) == (B, LINK)


@pytest.mark.quirk("columns-converted")
@pytest.mark.quirk("prefixed-archive-names")
def test_converted() -> None:
    """Five columns, of which the first names a file, and the last but one is empty until a download."""
    book = only("converted", row(f"TESTLIB_{B}.tar.gz.gpg", S, C, "", LINK), row("$B1.tar.gz.gpg", S, C, D, LINK))
    assert (book.barcode, book.archive, book.converted, book.downloaded) == (
        B,
        f"TESTLIB_{B}.tar.gz.gpg",
        at(C),
        None,
    )


@pytest.mark.quirk("columns-failed")
@pytest.mark.parametrize(("reason", "detail"), [("short", "long words"), ("", ""), ("NEW", "")])
def test_failed(reason: str, detail: str) -> None:
    """Nine columns, whose reasons may be blank."""
    book = only("failed", row(B, S, P, A, C, reason, O, detail, LINK))
    assert (book.failed, book.reason, book.detail, book.ocrd) == (at(C), reason, detail, at(O))


@pytest.mark.quirk("columns-all-books")
@pytest.mark.parametrize(
    ("cells", "known"),
    [
        ((S, P, A, C, O, LINK), {"scanned": S, "processed": P, "analyzed": A, "converted": C, "ocrd": O}),
        ((S, P, A, C, D), {"scanned": S, "processed": P, "analyzed": A, "converted": C, "downloaded": D}),
        ((S, C, D, P, A, "", O, LINK), {"scanned": S, "converted": C, "downloaded": D, "processed": P, "ocrd": O}),
        ((S, P, A, C), {"scanned": S, "processed": P, "analyzed": A, "converted": C}),
    ],
)
def test_all_books_in_every_layout_that_was_seen(cells: tuple[str, ...], known: dict[str, str]) -> None:
    """The layout is told from what the columns hold, also where the last of them are left out."""
    book = only("all_books", row(B, *cells))
    assert {name: getattr(book, name) for name in known} == {name: at(text) for name, text in known.items()}
    assert book.link == (LINK if LINK in cells else "")


@pytest.mark.quirk("columns-all-books")
def test_dates_with_dashes() -> None:
    """At some libraries the dates have dashes."""
    assert only("all_books", row(B, *(text.replace("/", "-") for text in (S, P, A, C, D)))).downloaded == at(D)


def test_a_layout_that_nobody_has_seen() -> None:
    """Then only the link, the state and the scan, which comes before all else, are certain."""
    book = only("all_books", row(B, "words", "NEW", C, S, LINK, P), row("B2", "more", "CHECKED_IN", D, S, LINK, A))
    assert book == Entry(B, state="NEW", link=LINK, scanned=at(S))


def test_a_layout_that_has_books_live_backwards() -> None:
    """A known number of columns in another order is not read by the known names."""
    book = only("available", row(B, A, P, S, O, LINK))
    assert (book.scanned, book.processed, book.analyzed, book.link) == (at(S), None, None, LINK)


def test_a_pool_of_books_that_come_again() -> None:
    """Books that were fetched before they were converted anew do not unsettle a list whose columns are agreed on."""
    book = only("converted", *(row(f"B{number}.tar.gz.gpg", S, D, C, LINK) for number in range(9)))
    assert (book.converted, book.downloaded) == (at(D), at(C))


@pytest.mark.quirk("columns-all-books")
def test_a_layout_in_doubt() -> None:
    """Seven columns whose OCR comes after the conversion are not the seven that were seen: only the scan is certain."""
    assert only("all_books", row(B, S, P, A, O, C, LINK)) == Entry(B, scanned=at(S), link=LINK)


def test_books_that_were_processed_anew_are_no_other_layout() -> None:
    """A few books out of order do not change the reading of all."""
    rows = [row(f"B{number}", S, P, A, O, LINK) for number in range(20)]
    books = list(of_rows([row("B99", P, S, A, O, LINK), *rows], "available", "TESTLIB"))
    assert books[0].scanned == at(P)
    assert len(books) == 21


def test_a_list_of_bare_barcodes() -> None:
    """One column is the barcode, or in the list of the converted the file."""
    assert only("all_books", B) == Entry(B)
    assert only("converted", f"{B}.tar.gz.gpg") == Entry(B, archive=f"{B}.tar.gz.gpg")


def test_a_header_decides() -> None:
    """Where there is a header, the columns are as it says, whatever they hold and in whatever order."""
    rows = [row("Barcode", "Title", "OCR'd Date", "Status", "Scanned Date", "Other"), row(B, "Emma", O, "NEW", S, "x")]
    assert only("available", *rows) == Entry(B, state="NEW", title="Emma", scanned=at(S), ocrd=at(O))


def test_headings() -> None:
    """A row is a header when it begins with a heading for barcodes or files."""
    found = by_header(["Filename", "Convert Failed Date", "Convert Failed Info", "Detailed Convert Failed Info"])
    assert found is not None
    assert found.places == {"archive": 0, "failed": 1, "reason": 2, "detail": 3}
    assert by_header([B, "Title"]) is None


@pytest.mark.quirk("rows-shorter-than-header")
def test_short_rows() -> None:
    """What is missing at the end of a row is empty."""
    rows = [row("Barcode", "State", "Scanned Date"), row(B, "NEW"), row("B2"), row("B3", "NEW", S)]
    assert [(b.state, b.scanned) for b in of_rows(rows, "x", "L")] == [("NEW", None), ("", None), ("NEW", at(S))]


@pytest.mark.quirk("rows-longer-than-header")
def test_long_rows(caplog: pytest.LogCaptureFixture) -> None:
    """What a row has too many is left out, and said once."""
    rows = [row(f"B{number}", S, P, A, O, LINK) for number in range(100)]
    rows[7] += "\tmore"
    rows[9] += "\tand more\tand more"
    assert {book.link for book in of_rows(rows, "available", "TESTLIB")} == {LINK}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "B7" in caplog.text


def test_a_message_in_the_middle() -> None:
    """A row that begins with no barcode is no row, wherever it stands: the list is not to be believed."""
    books = of_rows([row(B, S), *["B2"] * 400, "Internal error, sorry"], "available", "TESTLIB")
    assert next(books).barcode == B
    with pytest.raises(NoList, match="as row 402, 'Internal error, sorry'"):
        list(books)


def test_a_date_column_with_rubbish() -> None:
    """A cell that is no date makes no date, and its column none the less."""
    rows = [row(f"B{number}", S, P, A, O, LINK) for number in range(50)]
    books = list(of_rows([*rows, row("B99", "unknown", P, A, O, LINK)], "available", "TESTLIB"))
    assert (books[-1].scanned, books[-1].processed) == (None, at(P))


def test_no_rows_have_no_columns() -> None:
    """An empty list is one."""
    assert list(of_rows([], "available", "TESTLIB")) == []
    assert by_content("available", []).width == 1
