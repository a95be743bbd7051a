"""ocr_jsonl: a line a page, in words that tools for text mining read."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from books import BARCODE, pages
from modifying import Desk, files_of, paged_mets

from common.shelves import CHUNK
from services.modifier.modifications import told
from services.modifier.modifications.ocr_jsonl import OcrJsonl
from services.modifier.modifications.ocr_text import OcrText
from services.modifier.modifications.texts import is_utf8

METS = f"TESTLIB_{BARCODE}.xml"
LABELLED = {
    **pages(range(1, 4)),
    METS: paged_mets(
        [
            ('ORDER="1" ADMID="FRONT_COVER IMAGE_ON_PAGE"', files_of(1)),
            ('ORDER="2" ORDERLABEL="iv"', files_of(2)),
            ('ORDER="3" ORDERLABEL="1" ADMID=""', files_of(3)),
        ]
    ),
}


def lines_of(desk: Desk, name: str = "ocr.jsonl") -> list[Any]:
    """The sidecar's lines; only a line feed ends one."""
    data = desk.sidecars()[name]
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode()
    assert text.endswith("\n")
    assert text.splitlines() == text[:-1].split("\n")
    return [json.loads(line) for line in text[:-1].split("\n")]


def test_a_line_has_the_page_its_label_tags_and_text(tmp_path: Path) -> None:
    """Lines of many books can be thrown together, for each says whose it is."""
    desk = Desk(tmp_path, LABELLED)
    assert desk.apply(OcrJsonl) == []
    assert lines_of(desk) == [
        {
            "barcode": BARCODE,
            "page": 1,
            "label": None,
            "tags": ["FRONT_COVER", "IMAGE_ON_PAGE"],
            "text": "text of page 1\n",
        },
        {"barcode": BARCODE, "page": 2, "label": "iv", "tags": [], "text": "text of page 2\n"},
        {"barcode": BARCODE, "page": 3, "label": "1", "tags": [], "text": "text of page 3\n"},
    ]


def test_the_number_of_a_page_is_that_of_its_files(tmp_path: Path) -> None:
    """ORDER counts the pages that are there; in a book with gaps page 70 may be the second."""
    mets = paged_mets([('ORDER="1" ORDERLABEL="6"', files_of(10)), ('ORDER="2" ORDERLABEL="62"', files_of(70))])
    desk = Desk(tmp_path, {**pages(range(10, 11)), **pages(range(70, 71)), METS: mets})
    assert desk.apply(OcrJsonl) == []
    assert [(line["page"], line["label"]) for line in lines_of(desk)] == [(10, "6"), (70, "62")]


def test_prefixed_names_are_understood(tmp_path: Path) -> None:
    """Some libraries' page files carry the book's name."""
    prefix = f"TESTLIB_{BARCODE}_"
    mets = paged_mets([('ORDER="1" ORDERLABEL="9"', files_of(2, prefix))])
    desk = Desk(tmp_path, {**pages(range(2, 3), prefix), METS: mets})
    desk.apply(OcrJsonl)
    assert [(line["page"], line["label"]) for line in lines_of(desk)] == [(2, "9")]


@pytest.mark.parametrize(
    ("mets", "warning"),
    [({}, "The METS is missing."), ({METS: b"<METS"}, "The METS cannot be read: it is not well-formed")],
)
def test_without_a_mets_the_text_is_there_all_the_same(tmp_path: Path, mets: dict[str, bytes], warning: str) -> None:
    """Labels and tags are lacking then, and a warning says why."""
    desk = Desk(tmp_path, {**pages(), **mets})
    [found] = desk.apply(OcrJsonl)
    assert found.startswith(warning)
    assert [(line["page"], line["label"], line["text"]) for line in lines_of(desk)] == [
        (number, None, f"text of page {number}\n") for number in (1, 2, 3)
    ]


def test_plain_lines_are_strings_and_line_n_is_page_n(tmp_path: Path) -> None:
    """Gaps and pages without text are empty strings."""
    files = {**pages(range(2, 6))}
    del files["00000003.txt"], files["00000004.tif"], files["00000004.txt"], files["00000004.html"]
    desk = Desk(tmp_path, files)
    assert desk.apply(OcrJsonl, plain=True) == []
    assert lines_of(desk) == ["", "text of page 2\n", "", "", "text of page 5\n"]


def test_a_page_out_of_all_order_costs_no_lines(tmp_path: Path) -> None:
    """A file called page 99,999,999 does not make a hundred million lines; page 0 has none."""
    desk = Desk(tmp_path, {**pages(), "99999999.txt": b"far", "00000000.txt": b"zero"})
    assert desk.apply(OcrJsonl, plain=True) == [
        "Page 0 has no line of its own in the plain text lines, which begin with page 1.",
        "There is a page 99999999, so that the gaps between the plain text lines are not filled.",
    ]
    assert lines_of(desk) == [*(f"text of page {number}\n" for number in (1, 2, 3)), "far"]


@pytest.mark.parametrize("plain", [False, True])
def test_no_text_breaks_a_line(tmp_path: Path, plain: bool) -> None:
    """Bad bytes become U+FFFD; control characters and the line ends of other readers are escaped, and come back."""
    text = "café\x00\x0b\x0c\x1c\x85\u2028\u2029\r\n\ud7ff\uffff"
    desk = Desk(tmp_path, {"00000001.txt": text.encode() + b"\xff"})
    desk.apply(OcrJsonl, plain=plain)
    [line] = lines_of(desk)
    assert (line if plain else line["text"]) == f"{text}\ufffd"
    assert "café".encode() in desk.sidecars()["ocr.jsonl"]


def test_gzip_holds_the_same_and_nothing_of_the_moment(tmp_path: Path) -> None:
    """Twice the same bytes, and no time or name in the header."""
    plain, first, second = (Desk(tmp_path / name, LABELLED) for name in "abc")
    plain.apply(OcrJsonl)
    first.apply(OcrJsonl, gzip=True)
    second.apply(OcrJsonl, gzip=True)
    assert first.sidecars() == second.sidecars()
    assert gzip.decompress(first.sidecars()["ocr.jsonl.gz"]) == plain.sidecars()["ocr.jsonl"]
    assert first.sidecars()["ocr.jsonl.gz"][3:8] == bytes(5)


def test_a_book_without_pages_has_no_lines(tmp_path: Path) -> None:
    """Nothing to write, nothing written."""
    desk = Desk(tmp_path, {METS: LABELLED[METS]})
    assert desk.apply(OcrJsonl) == []
    assert desk.sidecars() == {}


def test_unknown_options_are_told(tmp_path: Path) -> None:
    """A wrong word in the configuration is found before the first book."""
    assert OcrJsonl({"zip": True}).check() == ["The option zip is not known; there are plain, gzip."]


# A letter of three bytes that begins before the end of a piece and ends behind it, and one that never ends.
SPLIT = ("x" + "\u20ac\f\x85" * (CHUNK // 2)).encode() + b"\xe2\x82"


@pytest.mark.parametrize("plain", [False, True])
def test_a_large_page_has_the_same_lines(tmp_path: Path, plain: bool) -> None:
    """It is read in pieces, and nothing of that is to be seen."""
    desk = Desk(tmp_path, {**LABELLED, "00000002.txt": SPLIT})
    desk.apply(OcrJsonl, plain=plain)
    lines = [line if plain else line["text"] for line in lines_of(desk)]
    assert lines == ["text of page 1\n", SPLIT.decode(errors="replace"), "text of page 3\n"]


def test_a_large_page_has_the_same_text(tmp_path: Path) -> None:
    """Letters that lie across two pieces, and a form feed in a page."""
    desk = Desk(tmp_path, {**pages(range(1, 3)), "00000002.txt": SPLIT})
    desk.apply(OcrText)
    assert desk.sidecars()["txt"].decode() == "text of page 1\n\f" + SPLIT.decode(errors="replace").replace("\f", "\n")


def test_utf8_is_told_in_pieces(tmp_path: Path) -> None:
    """A letter across two pieces is whole, one that never ends is not."""
    members = Desk(tmp_path, {"split": SPLIT, "whole": SPLIT[:-2], "bad": b"\xff" + SPLIT[:-2], "none": b""}).members
    assert {name: is_utf8(members, name) for name in members.names()} == {
        "bad": False,
        "none": True,
        "split": False,
        "whole": True,
    }


@pytest.mark.parametrize("options", [{"gzip": True}, {"plain": True}, None])
def test_memory_does_not_grow_with_the_text(tmp_path: Path, options: dict[str, Any] | None) -> None:
    """It is written as it comes: 24 MB of it are never held at once."""
    desk = Desk(tmp_path, {**LABELLED, "00000001.txt": b"\xc3\xa9" * (6 << 20), "00000003.txt": b"a" * (12 << 20)})
    tracemalloc.start()
    desk.apply(OcrText) if options is None else desk.apply(OcrJsonl, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20


@pytest.mark.parametrize("modification", [OcrJsonl, OcrText])
def test_more_text_than_any_book_has_is_not_read(
    tmp_path: Path, modification: type[OcrJsonl | OcrText], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of gigabytes would take the worker's memory; the book goes on without the file, and says so."""
    monkeypatch.setattr(told, "_MOST_TEXT", 1 << 20)
    desk = Desk(tmp_path, {**pages(), "00000002.txt": b"x" * (1 << 20)})
    tracemalloc.start()
    assert desk.apply(modification) == [
        "The text of the pages has 1,048,606 bytes, more than any book's; no file is made of it."
    ]
    assert tracemalloc.get_traced_memory()[1] < 1 << 19
    tracemalloc.stop()
    assert desk.sidecars() == {}
