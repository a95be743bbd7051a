"""page_index: the METS' pages and the files that are there, side by side."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from books import BARCODE, pages
from modifying import Desk, files_of, paged_mets

from common.stage import Reject
from services.modifier.modifications.page_index import PageIndex

METS = f"TESTLIB_{BARCODE}.xml"
MORE = "<gbs:readingOrder xmlns:gbs='http://books.google.com/gbs'>right-to-left</gbs:readingOrder>"


def rows_of(desk: Desk) -> list[dict[str, Any]]:
    """The rows, which must be the same in the CSV and in the JSON."""
    found = desk.sidecars()
    rows: list[dict[str, Any]] = json.loads(found["pages.json"])["pages"]
    flat = [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]
    table = list(csv.DictReader(io.StringIO(found["pages.csv"].decode())))
    assert table == [{**row, "tags": " ".join(was["tags"])} for row, was in zip(flat, rows, strict=True)]
    return rows


def test_a_row_has_all_that_is_known_of_a_page(tmp_path: Path) -> None:
    """Printed number and tags from the METS, image and size from the archive, and the book's own facts above."""
    mets = paged_mets(
        [
            ('ORDER="1" ADMID="FRONT_COVER UNTYPICAL_PAGE"', files_of(1)),
            ('ORDER="2" ORDERLABEL="[ii], &quot;b&quot;"', files_of(2)),
        ],
        MORE,
    )
    desk = Desk(tmp_path, {**pages(range(1, 3)), METS: mets})
    assert desk.apply(PageIndex, strict=True) == []
    first, second = rows_of(desk)
    tags = ["FRONT_COVER", "UNTYPICAL_PAGE"]
    size = len(b"image 1 ") * 99
    assert first == {
        "page": 1, "label": None, "tags": tags, "image": "00000001.tif", "size": size, "found_in": "both"
    }  # fmt: skip
    assert (second["page"], second["label"], second["tags"]) == (2, '[ii], "b"', [])
    whole = json.loads(desk.sidecars()["pages.json"])
    del whole["pages"]
    assert whole == {
        "barcode": BARCODE,
        "object_id": f"TESTLIB_{BARCODE}",
        "created": "2023-10-21T06:36:39",
        "reading_order": "right-to-left",
    }


def test_pages_of_only_one_side_are_there_and_told(tmp_path: Path) -> None:
    """What the METS lists and the archive lacks, and the other way round; under strict the book is rejected."""
    mets = paged_mets(
        [('ORDER="1"', files_of(1)), ('ORDER="2" ORDERLABEL="7"', files_of(4)), ('ORDER="3"', files_of(5))]
    )
    files = {**pages(range(1, 3)), METS: mets}
    desk = Desk(tmp_path / "a", files)
    warnings = desk.apply(PageIndex)
    assert warnings == [
        "2 pages are only in the METS, the first is 4.",
        "1 page is only in the archive, the first is 2.",
    ]
    assert [(row["page"], row["label"], row["image"], row["size"], row["found_in"]) for row in rows_of(desk)] == [
        (1, None, "00000001.tif", 792, "both"),
        (2, None, "00000002.tif", 792, "archive"),
        (4, "7", None, None, "METS"),
        (5, None, None, None, "METS"),
    ]
    with pytest.raises(Reject, match="only in the METS"):
        Desk(tmp_path / "b", files).apply(PageIndex, strict=True)


def test_a_page_without_an_image_has_its_row(tmp_path: Path) -> None:
    """Its text alone makes it a page; an image of no bytes is one."""
    files = pages(range(1, 3))
    del files["00000001.tif"]
    files["00000002.tif"] = b""
    desk = Desk(tmp_path, {**files, METS: paged_mets([("", files_of(1)[1:]), ("", files_of(2))])})
    assert desk.apply(PageIndex) == []
    assert [(row["image"], row["size"], row["found_in"]) for row in rows_of(desk)] == [
        (None, None, "both"),
        ("00000002.tif", 0, "both"),
    ]


def test_without_files_order_tells_the_number_and_without_order_the_place(tmp_path: Path) -> None:
    """A structural map that points to nothing is still a list of pages."""
    mets = paged_mets([('ORDER="3" ORDERLABEL="c"', []), ('ORDERLABEL="b"', []), ('ORDER="many" ORDERLABEL="z"', [])])
    desk = Desk(tmp_path, {**pages(range(1, 4)), METS: mets})
    assert desk.apply(PageIndex) == [
        "1 page is told of twice in the METS, the first is 3.",
        "1 page is only in the archive, the first is 1.",
    ]
    assert [row["label"] for row in rows_of(desk)] == [None, "b", "c"]


@pytest.mark.parametrize("formats", [["csv"], ["json"]])
def test_one_format_may_be_enough(tmp_path: Path, formats: list[str]) -> None:
    """Only what is asked for is written."""
    desk = Desk(tmp_path, {**pages(), METS: paged_mets([("", files_of(number)) for number in (1, 2, 3)])})
    assert desk.apply(PageIndex, formats=formats) == []
    assert list(desk.sidecars()) == [f"pages.{formats[0]}"]


@pytest.mark.parametrize("formats", [[], ["xlsx"], "csv"])
def test_formats_that_are_none_are_told(formats: object) -> None:
    """An empty list, too, for then there would be nothing to do."""
    problems = PageIndex({"formats": formats}).check()
    assert problems
    assert all(problem.startswith("The option formats") for problem in problems)


def test_without_a_mets_the_archive_is_listed(tmp_path: Path) -> None:
    """One warning says why, and not one for each page."""
    desk = Desk(tmp_path, pages())
    assert desk.apply(PageIndex) == ["The METS is missing."]
    assert [(row["page"], row["found_in"]) for row in rows_of(desk)] == [(n, "archive") for n in (1, 2, 3)]


def test_a_book_without_pages_has_no_index(tmp_path: Path) -> None:
    """Nothing to write, nothing written."""
    desk = Desk(tmp_path, {METS: paged_mets([])})
    assert desk.apply(PageIndex) == []
    assert desk.sidecars() == {}


def test_gigantic_labels_and_control_characters_are_cut_and_told(tmp_path: Path) -> None:
    """No row breaks a line or swells the file, whatever the METS says."""
    huge = "9" * 200_000
    mets = paged_mets(
        [
            (f'ORDERLABEL="{huge}" ADMID="{"T" * 1000}"', files_of(1)),
            ('ORDERLABEL="a&#10;b&#13;&#9;&#x85;c"', files_of(2)),
            (f'ADMID="{"X " * 10_000}"', files_of(3)),
        ],
        f"<gbs:readingOrder xmlns:gbs='g'>{huge * 20}</gbs:readingOrder>",
    )
    desk = Desk(tmp_path, {**pages(), METS: mets})
    assert desk.apply(PageIndex) == ["2 pages have labels or tags so long that they are cut, the first is 1."]
    first, second, third = rows_of(desk)
    assert (first["label"], first["tags"]) == ("9" * 100, ["T" * 100])
    assert second["label"] == "a b   c"
    assert third["tags"] == ["X"] * 50
    assert sum(map(len, desk.sidecars().values())) < 4_000
    assert desk.sidecars()["pages.csv"].count(b"\n") == 4


@pytest.mark.parametrize(
    ("count", "warning"),
    [
        (10_000, "9997 pages are only in the METS, the first is 4."),
        (100_000, "The METS cannot be read: it lists more than any book has."),
    ],
)
def test_pages_without_end_are_seconds(tmp_path: Path, count: int, warning: str) -> None:
    """A METS that knows far more pages than any book costs little, and the archive's own pages stay found."""
    mets = paged_mets([('ORDERLABEL="1" ADMID="X"', [f"{number:08d}.tif"]) for number in range(1, count + 1)])
    desk = Desk(tmp_path, {**pages(), METS: mets})
    began = time.process_time()
    assert desk.apply(PageIndex) == [warning]
    assert time.process_time() - began < 10
    assert [row["image"] for row in rows_of(desk)[:4]][:3] == [f"{number:08d}.tif" for number in (1, 2, 3)]


def test_the_same_book_gives_the_same_bytes(tmp_path: Path) -> None:
    """Nothing of the moment or the place is in the sidecars."""
    files = {**pages(), METS: paged_mets([("", files_of(number)) for number in (1, 2, 3)])}
    first, second = Desk(tmp_path / "a", files), Desk(tmp_path / "b", files)
    first.apply(PageIndex)
    second.apply(PageIndex)
    assert first.sidecars() == second.sidecars()
