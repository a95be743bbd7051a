"""Lists as pages: read by their headers however the cells shift, followed to the last page or ended by an error."""

from __future__ import annotations

import tracemalloc
from datetime import datetime
from html import escape

import pytest

from common.errors import Halt, Retry
from common.grin.client import GrinClient
from common.grin.entries import Entry
from common.grin.lists import NoList
from common.grin.pages import ListPage
from tests.scripted import Reply, ScriptedGrin

pytestmark = pytest.mark.usefixtures("short_waits")

URL = "https://books.google.com/libraries/TESTLIB/_available"
NAMES = ("Barcode", "Title", "Status", "Scanned Date", "Google Books")
BLANK = "<td></td>"


def heading(*names: str, blank: str = BLANK) -> str:
    """A table's heading."""
    return f'<tr class="heading">{blank}' + "".join(f'<td><span class="hd3">{n}</span></td>' for n in names) + "</tr>"


def box(barcode: str) -> str:
    """A cell with a check box."""
    return f'<td><input type="checkbox" name="barcodes" value="{escape(barcode)}"></td>'


def cells(barcode: str, title: str = "Emma") -> str:
    """The other cells of a book."""
    link = f'<a href="/books?id=X&amp;b={barcode}">view</a>'
    return "".join(f"<td>{text}</td>" for text in (barcode, escape(title), "NEW", "2019/03/04 10:11", link))


def table(*rows: str, head: str = heading(*NAMES), below: str = "") -> str:
    """A page with these rows, in a table that the page's layout surrounds."""
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    inner = f"<table>\n{head}\n<tbody>\n{body}\n</tbody></table>"
    top = "<!doctype html><html><head><title>GRIN</title><script>if (1<2) x='<td>'</script></head><body>"
    layout = (
        f"<table><tr><td><a href='https://accounts.google.com/ServiceLogin'>x</a></td><td>{inner}</td></tr></table>"
    )
    return f"{top}<a href='_available?first=0'>&lt; Previous</a>{layout}{below}</body></html>"


def more(href: str, text: str = "Next &gt;") -> str:
    """The link to the next page."""
    return f'<a href="{escape(href)}">{text}</a>'


def read(text: str, size: int = 7) -> list[dict[str, str]]:
    """The rows of a page that comes in small pieces."""
    return list(ListPage(URL, "TESTLIB").rows(text[at : at + size] for at in range(0, len(text), size)))


def reply(*args: str, **kwargs: str) -> Reply:
    """The same page from a server."""
    return Reply(table(*args, **kwargs).encode(), headers={"Content-Type": "text/html; charset=utf-8"})


@pytest.mark.quirk("html-lists")
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_page(size: int) -> None:
    """Values are mapped by header, entities decoded, links read by their address, whatever the pieces."""
    link = "https://books.google.com/books?id=X&b=$B1"
    known = {"barcode": "$B1", "title": "Ham & <let>", "state": "NEW", "scanned": "2019/03/04 10:11", "link": link}
    assert read(table(box("$B1") + cells("$B1", "Ham & <let>")), size) == [known]


@pytest.mark.quirk("html-cells-shift")
@pytest.mark.parametrize("blank", [BLANK, ""])
@pytest.mark.parametrize("first", [box("B1"), BLANK, "<td>&nbsp;</td>", ""])
def test_cells_shift(blank: str, first: str) -> None:
    """The check box's cell is filled, empty or missing, in the heading and in the row: the values are the same."""
    for title in ("Emma", "", "Pride and prejudice"):
        (found,) = read(table(first + cells("B1", title), head=heading(*NAMES, blank=blank)))
        assert (found["barcode"], found["title"], found["state"]) == ("B1", title, "NEW")


@pytest.mark.quirk("html-cells-shift")
def test_a_barcode_that_only_the_check_box_has() -> None:
    """Its value is the barcode, and the rest is read from the row's end."""
    head = heading("Title", "Status", "Barcode")
    (found,) = read(table(f"{box('B1')}<td>Emma by Jane</td><td>NEW</td><td>see box</td>", head=head))
    assert (found["barcode"], found["state"]) == ("B1", "NEW")


@pytest.mark.quirk("rows-shorter-than-header")
def test_a_row_that_ends_early() -> None:
    """Cells that are missing at the end leave their columns empty."""
    (found,) = read(table(f"{box('B1')}<td>B1</td><td>Emma</td>"))
    assert found == {"barcode": "B1", "title": "Emma"}


def test_other_columns_and_other_orders() -> None:
    """Columns that nobody knows are passed over, and th cells are as good as td cells."""
    head = '<tr class="x heading"><th><span class="hd3">No.</span></th><th>Status</th><th>Filename</th></tr>'
    assert read(table("<td>7</td><td>CONVERTED</td><td>TESTLIB_B1.tar.gz.gpg</td>", head=head)) == [
        {"state": "CONVERTED", "archive": "TESTLIB_B1.tar.gz.gpg"}
    ]


def test_tags_that_are_not_closed() -> None:
    """Cells and rows end where the next ones begin."""
    open_ended = table(cells("B1"), cells("B2")).replace("</td>", "").replace("</tr>", "")
    assert [found["barcode"] for found in read(open_ended.replace("<table><tr><td>", "<table>", 1))] == ["B1", "B2"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (table(head=heading("Title", "Status")), "neither Barcode nor Filename, but 'Title, Status'"),
        ("<html><body><p>Welcome</p></body></html>", "without a table"),
        (table(box("B1") + cells("B1"))[:-120], "breaks off in the middle"),
        (table("<td></td><td>An error has happened</td><td>x y</td>"), "a row without a barcode"),
    ],
)
def test_what_is_no_list(text: str, reason: str) -> None:
    """A page without a list, with half of one, or with something else in it, is an error that says so."""
    with pytest.raises(NoList, match=reason):
        read(text)


@pytest.mark.quirk("html-title-withheld")
def test_a_withheld_title(grin: ScriptedGrin, client: GrinClient) -> None:
    """The title of a book that may not be downloaded is empty."""
    row = "<td>B1</td><td></td><td>NOT_AVAILABLE_FOR_DOWNLOAD</td><td>no date</td><td></td>"
    grin.at("_available", reply(row))
    assert list(client.page_entries("available")) == [Entry("B1", state="NOT_AVAILABLE_FOR_DOWNLOAD")]


@pytest.mark.quirk("html-next-page")
@pytest.mark.parametrize(
    "href",
    ["_available?result_count=2&first=2", "?ctoken=abc", "/libraries/TESTLIB/_available?first=2"],
)
@pytest.mark.parametrize("text", ["Next &gt;", "next page", "&gt;", "<b>Next</b>"])
def test_paging(grin: ScriptedGrin, client: GrinClient, href: str, text: str) -> None:
    """The page's own link leads on, relative or not; without one the list ends."""
    grin.at("_available", reply(cells("B1"), cells("B2"), below=more(href, text)), reply(cells("B3")))
    books = list(client.page_entries("available"))
    assert [book.barcode for book in books] == ["B1", "B2", "B3"]
    assert books[0].scanned == datetime.fromisoformat("2019-03-04 10:11")
    assert grin.asked("_available")[0].query == {"result_count": ["10000"]}
    assert len(grin.asked("_available")) == 2


def test_the_way_on_in_the_table(grin: ScriptedGrin, client: GrinClient) -> None:
    """A row of one cell with the links is no book; "Next" goes before ">>", and "first=" alone leads nowhere."""
    links = more("?first=9", "&gt;&gt;") + more("?first=0", "1") + more("?first=1") + more("?first=5", "Help &gt;")
    grin.at("_available", reply(cells("B1"), f"<td colspan=6>{links}</td>"), reply(cells("B2")))
    assert [book.barcode for book in client.page_entries("available")] == ["B1", "B2"]
    assert grin.asked("_available")[1].query == {"first": ["1"]}


def test_a_last_page_without_rows(grin: ScriptedGrin, client: GrinClient) -> None:
    """After full pages an empty one is the end; an empty first page is none."""
    grin.at("_available", reply(cells("B1"), below=more("?first=1")), reply(below=more("?first=1")))
    assert len(list(client.page_entries("available"))) == 1
    grin.at("_available", reply())
    with pytest.raises(Retry, match="only a list in text is believed to be empty"):
        list(client.page_entries("available"))


def test_a_page_that_comes_again(grin: ScriptedGrin, client: GrinClient) -> None:
    """A short last page that links to itself is the end; a full page that comes again hides the rest."""
    full, short = (cells("B1"), cells("B2")), (cells("B3"),)
    onward = more("?first=2")
    grin.at("_available", reply(*full, below=onward), reply(*short, below=onward))
    assert [book.barcode for book in client.page_entries("available")] == ["B1", "B2", "B3"]
    grin.at("_available", reply(*full, below=onward))
    with pytest.raises(Retry, match="page 2, is page 1 or an earlier one again"):
        list(client.page_entries("available"))


@pytest.mark.quirk("request-unavailable")
def test_unavailable_in_the_middle(grin: ScriptedGrin, client: GrinClient) -> None:
    """It is an error, never the end: the page is asked for again, and when it stays so the list breaks off."""
    first = reply(cells("B1"), below=more("?first=1"))
    unavailable = Reply(b"<html><body>Your request is unavailable</body></html>")
    grin.at("_available", first, unavailable, reply(cells("B2")))
    assert [book.barcode for book in client.page_entries("available")] == ["B1", "B2"]
    for last in (unavailable, reply(cells("B2"), below="<p>Your request is unavailable.</p>")):
        grin.at("_available", first, last)
        with pytest.raises(Retry, match="unavailable"):
            list(client.page_entries("available"))


def test_a_book_of_that_title(grin: ScriptedGrin, client: GrinClient) -> None:
    """What stands in a row is a title."""
    grin.at("_available", reply(cells("B1", "Out of stock > Next"), below="<p>1 book</p>"))
    assert next(client.page_entries("available")).title == "Out of stock > Next"


def test_a_page_that_breaks_is_fetched_again(grin: ScriptedGrin, client: GrinClient) -> None:
    """Nothing of a broken page is used, and nothing comes twice."""
    whole = reply(cells("B2"), cells("B3"))
    cut = Reply(whole.body[:-100], headers=whole.headers, promised=len(whole.body))
    grin.at("_available", reply(cells("B1"), below=more("?first=1")), cut, whole)
    assert [book.barcode for book in client.page_entries("available")] == ["B1", "B2", "B3"]


@pytest.mark.parametrize("href", ["//evil.example/x?first=1", "https://books.google.com/x?first=1", "ftp://x/?first=1"])
def test_a_next_page_elsewhere(grin: ScriptedGrin, client: GrinClient, href: str) -> None:
    """The token goes nowhere but to GRIN."""
    grin.at("_available", reply(cells("B1"), below=more(href)))
    with pytest.raises(Halt, match="not at GRIN"):
        list(client.page_entries("available"))


def test_a_page_is_never_held_as_a_whole() -> None:
    """Rows leave the parser as they come: a page of 3,000 books needs no more than a small part of its own size."""
    row = f"<tr>{box('B1')}{cells('B1', 'x' * 100)}</tr>"
    begin, end = table("", head=heading(*NAMES)).split("<tr></tr>")
    tracemalloc.start()
    chunks = iter([begin, *[row * 100] * 30, end])
    count = sum(1 for _ in ListPage(URL, "TESTLIB").rows(chunks))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 3_000
    assert peak < 500_000
