"""Lists over HTTP: with all columns, bare, or as pages; whole or an error. And the search."""

from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

import pytest

from common.errors import Halt, Retry
from common.grin import pace
from common.grin.client import GrinClient
from common.grin.entries import Entry
from tests.scripted import Reply, ScriptedGrin, Seen, page

pytestmark = pytest.mark.usefixtures("short_waits")

ROW = b"39000000000018\t2019/03/04 10:11\t2024/05/06 07:08\t2024/05/06 21:30\t2024/05/07 02:15\thttps://books.google.com/x"
HEADER = (
    "Barcode,Check-In Date,State,Viewability,Conditions,Scannable,Opted-Out (post-scan),Tagging,Audit,Material Error%,"
    "Overall Error%,Scanned Date,Processed Date,Analyzed Date,Converted Date,Allow Download Updated Date,"
    "Viewability Updated Date,Source Library Bibkey,Rubbish,Downloaded Date,Claimed,OCR GTD Score,OCR Analysis Score"
)
NAMES = HEADER.split(",")
MORE = ["Digitization Method", "OCR'd Date"]


@pytest.mark.quirk("line-ends")
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n", b"\r\n\r\n", b""])
def test_all_columns(grin: ScriptedGrin, client: GrinClient, end: bytes) -> None:
    """One request brings them, with whatever line ends, and an empty line or none at the end."""
    grin.at("_available", Reply(ROW + end))
    book = next(client.entries("available"))
    assert (book.barcode, book.ocrd) == ("39000000000018", datetime.fromisoformat("2024-05-07 02:15"))
    assert [one.query for one in grin.asked("_available")] == [{"format": ["text"], "mode": ["all"]}]


@pytest.mark.quirk("plain-lists")
@pytest.mark.quirk("barcodes-with-dollar-and-dash")
@pytest.mark.parametrize("refusal", [Reply(status=404), Reply(status=400), Reply(b"<html><h1>A list</h1></html>")])
def test_the_bare_list_where_there_are_no_columns(grin: ScriptedGrin, client: GrinClient, refusal: Reply) -> None:
    """A server that does not know mode=all is asked without it."""
    grin.at("_in_process", refusal, Reply(b"39000000000018.tar.gz.gpg\nTESTLIB_$B-1.tar.gz.gpg\n"))
    assert [book.barcode for book in client.entries("in_process")] == ["39000000000018", "$B-1"]
    assert grin.asked("_in_process")[1].query == {"format": ["text"]}


def test_an_empty_list(grin: ScriptedGrin, client: GrinClient) -> None:
    """A text without rows is an empty list; a page without rows, or an empty page, never is."""
    grin.at("_failed", Reply(b"\n"))
    assert list(client.entries("failed")) == []
    grin.at("_failed", Reply(b"", headers={"Content-Type": "text/html"}))
    with pytest.raises(Retry, match="_failed, page 1, is a page without a table"):
        list(client.entries("failed"))


@pytest.mark.parametrize(
    "cut",
    [
        Reply(ROW + b"\n", promised=500),
        Reply(b"5\r\n39000\r\n", headers={"Transfer-Encoding": "chunked"}, promised=1),
        Reply(ROW + b"\n" + ROW[:30], framed=False),
    ],
)
def test_a_list_that_is_cut_short(grin: ScriptedGrin, client: GrinClient, cut: Reply) -> None:
    """A length, a missing last chunk and a line without its end all tell it, and make it an error."""
    grin.at("_available", cut)
    with pytest.raises(Retry, match=r"broke in the middle|breaks off in the middle"):
        list(client.entries("available"))


def test_a_whole_list_of_unknown_length(grin: ScriptedGrin, client: GrinClient) -> None:
    """Without a length, a list is whole when its last line is."""
    grin.at("_available", Reply(ROW + b"\n", framed=False))
    assert len(list(client.entries("available"))) == 1


@pytest.mark.quirk("login-page-with-200")
def test_a_login_page_is_no_list(grin: ScriptedGrin, client: GrinClient) -> None:
    """Where pages may be lists, a login page still is none: one new token, then the stage halts."""
    grin.at("_available", page(), Reply(ROW))
    assert len(list(client.entries("available"))) == 1
    grin.at("_available", page())
    with pytest.raises(Halt, match="login page"):
        list(client.entries("available"))


@pytest.mark.quirk("404-no-such-page")
def test_no_list_at_all(client: GrinClient) -> None:
    """What is neither text nor a page is not there, and the setting is named."""
    with pytest.raises(Halt, match="no list _available of the library TESTLIB") as caught:
        list(client.entries("available"))
    assert "global.library" in caught.value.cure


@pytest.mark.quirk("list-filters")
def test_filters(grin: ScriptedGrin, client: GrinClient) -> None:
    """A filter with several values is repeated."""
    grin.at("_all_books", Reply(b"39000000000018\n"))
    list(client.entries("all_books", book_state=["NEW", "PREVIOUSLY_DOWNLOADED"]))
    assert grin.asked("_all_books")[0].query["book_state"] == ["NEW", "PREVIOUSLY_DOWNLOADED"]


@pytest.mark.quirk("all-books-is-slow")
def test_all_books_may_take_minutes(grin: ScriptedGrin, tmp_path: Path) -> None:
    """The list of all books outlasts the idle time-out that ends any other."""
    import threading

    never = threading.Event()
    slow = Reply(ROW[:20], promised=len(ROW), then_wait=never)
    threading.Timer(0.8, never.set).start()
    grin.at("_available", slow)
    with GrinClient(grin.settings(tmp_path, idle_timeout=0.2, tries=1)) as client:
        with pytest.raises(Retry, match="ReadTimeout"):
            list(client.entries("available"))
        grin.at("_all_books", lambda _: _late(0.5))
        assert len(list(client.entries("all_books"))) == 1


def _late(seconds: float) -> Reply:
    import time

    time.sleep(seconds)
    return Reply(ROW)


# --- the search ---


def found(*columns: str, **values: str) -> str:
    """A row of the search, which ends at its last value."""
    return "\t".join(values.get(name.partition(" ")[0].lower(), "") for name in columns).rstrip("\t")


@pytest.mark.quirk("search-header")
@pytest.mark.quirk("rows-shorter-than-header")
@pytest.mark.quirk("unknown-barcodes-are-absent")
@pytest.mark.parametrize("columns", [NAMES, [*NAMES, *MORE], [*MORE, *reversed(NAMES[1:]), "Barcode"][::-1]])
def test_the_search(grin: ScriptedGrin, client: GrinClient, columns: list[str]) -> None:
    """Columns are known by their names, rows are padded, and books that GRIN does not know are left out."""
    values = {"barcode": "$B1", "state": "NEW", "scanned": "2019/03/04 10:11"}
    grin.at("_barcode_search", Reply("\n".join(["\t".join(columns), found(*columns, **values)]).encode()))
    assert list(client.search(["$b1", "B2"])) == [
        Entry("$B1", state="NEW", scanned=datetime.fromisoformat("2019-03-04 10:11"))
    ]
    query = grin.asked("_barcode_search")[0].query
    assert query == {"execute_query": ["true"], "format": ["text"], "mode": ["full"], "barcodes": ["$B1 B2"]}


@pytest.mark.quirk("long-search-urls")
def test_many_barcodes_are_many_requests(grin: ScriptedGrin, client: GrinClient) -> None:
    """No address has more than 7,500 characters, none is nearly empty, and every book is asked for once."""
    asked: list[str] = []

    def answer(seen: Seen) -> Reply:
        asked.extend(books := seen.query["barcodes"][0].split(" "))
        assert (
            len(f"{grin.url}{seen.path}?execute_query=true&format=text&mode=full&barcodes={'+'.join(books)}") <= 7_500
        )
        return Reply("\n".join(["Barcode\tState", *(f"{book}\tNEW" for book in books)]).encode())

    grin.at("_barcode_search", answer)
    books = [f"390000000{number:05}" for number in range(1200)]
    assert [book.barcode for book in client.search(books)] == books
    assert asked == books
    assert len(grin.asked("_barcode_search")) == 3


def test_a_search_that_finds_nothing(grin: ScriptedGrin, client: GrinClient) -> None:
    """A header alone is an answer; a text without one is none."""
    grin.at("_barcode_search", Reply("\t".join(NAMES).encode()))
    assert list(client.search(["B1"])) == []
    grin.at("_barcode_search", Reply(b"B1\tNEW\n"))
    with pytest.raises(Retry, match="_barcode_search has no header"):
        list(client.search(["B1"]))
    assert list(client.search([])) == []


def test_a_search_that_breaks_is_asked_again(grin: ScriptedGrin, client: GrinClient) -> None:
    """Nothing of a broken answer is used, and nothing comes twice."""
    whole = b"Barcode\tState\nB1\tNEW\nB2\tNEW\n"
    grin.at("_barcode_search", Reply(whole[:20], promised=len(whole)), Reply(whole))
    assert [book.barcode for book in client.search(["B1", "B2"])] == ["B1", "B2"]


ODD = ("B 2", "../../etc/passwd", "a\0b", "ß")


@pytest.mark.parametrize("odd", ODD)
def test_one_odd_barcode_keeps_nobody_from_the_others(grin: ScriptedGrin, client: GrinClient, odd: str) -> None:
    """A row that looks like its neighbours, with a barcode that none can be, is left out."""
    for order in ([odd, "B1", "HVDL"], ["B1", odd, "HVDL"], ["B1", "HVDL", odd]):
        grin.at("_converted", Reply("\n".join(f"{name}.tar.gz.gpg" for name in order).encode()))
        assert list(client.barcodes("converted")) == ["B1", "HVDL"]
        assert [entry.barcode for entry in client.entries("converted")] == ["B1", "HVDL"]
    for order in ([odd, "B1", "B3"], ["B1", odd, "B3"]):
        grin.at("_in_process", Reply("\n".join(order).encode()))
        assert list(client.barcodes("in_process")) == ["B1", "B3"]
    grin.at("_available", Reply(f"B1\t2019/03/04 10:11\tx\n{odd}\t2019/03/04 10:11\tx\n".encode()))
    assert list(client.barcodes("available")) == ["B1"]


def test_a_byte_order_mark(grin: ScriptedGrin, client: GrinClient) -> None:
    """It belongs to the text and not to its first book."""
    grin.at("_available", Reply("\ufeff39000000000018\n39000000000026\n".encode()))
    assert list(client.barcodes("available")) == ["39000000000018", "39000000000026"]


@pytest.mark.parametrize(
    ("which", "rows"),
    [
        ("available", ["Quota exceeded, come back later"]),
        ("available", ["Sorry", "for", "that"]),
        ("converted", ["B1.tar.gz.gpg", "ERROR"]),
        ("converted", ["B1.tar.gz.gpg", "B2"]),
        ("converted", ["Error"]),
        ("available", ["B1", "B2", "ERROR"]),
        ("available", ["B1", "Quota exceeded, come back later"]),
        ("converted", ["B1.tar.gz.gpg", *["B 2.tar.gz.gpg"] * 11]),
    ],
)
def test_words_are_no_books(grin: ScriptedGrin, client: GrinClient, which: str, rows: list[str]) -> None:
    """A message in a list, of one word even, or odd rows beyond all measure, make it no list."""
    grin.at(f"_{which}", Reply("\n".join(rows).encode()))
    with pytest.raises(Retry, match="which is no barcode"):
        list(client.barcodes(which))
    with pytest.raises(Retry, match="which is no barcode"):
        list(client.entries(which))


def test_a_list_that_drips(grin: ScriptedGrin, client: GrinClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that trickle keep the idle time-out from ending a list; the pace does. A slow reader is not GRIN's fault."""
    monkeypatch.setattr(pace, "MINUTE", 0.3)
    row = b"B1.tar.gz.gpg\n"
    grin.at("_converted", Reply(row, drops=[row] * 60, every=0.05, promised=61 * len(row)))
    with pytest.raises(Retry, match="which is a stall"):
        list(client.barcodes("converted"))
    grin.at("_converted", Reply(b"B1.tar.gz.gpg\n" * 5))
    slow = []
    for barcode in client.barcodes("converted"):
        slow.append(barcode)
        time.sleep(0.15)
    assert len(slow) == 5
