"""common.archive_names: which of a book's files are its pages, its METS and its lists, wherever they lie."""

from __future__ import annotations

import pytest

from common.archive_names import called_like_pages, checksums_in, mets_in, mets_of, pages_of
from common.mets import among

BARCODE = "39000000000018"
PAGES = [f"{number:08d}.{kind}" for number in (1, 2) for kind in ("tif", "txt", "html")]


def in_folder(folder: str) -> list[str]:
    """The page files in a folder."""
    return [f"{folder}/{name}" for name in PAGES]


@pytest.mark.parametrize("other", ["notes/00000001.txt", "a/00000001.txt", "a/b/00000009.txt"])
def test_a_file_in_another_folder_is_no_page(other: str) -> None:
    """A note that is called like a page's text neither replaces that nor becomes a page."""
    found = pages_of([*PAGES, other], BARCODE)
    assert found.texts == {1: "00000001.txt", 2: "00000002.txt"}
    assert found.passed_over == (other,)


@pytest.mark.parametrize(
    ("names", "image", "other"),
    [
        (["00000001.jp2", "00000001.tif"], "00000001.jp2", "00000001.tif"),
        ([f"TESTLIB_{BARCODE}_00000001.tif", "00000001.tif"], "00000001.tif", f"TESTLIB_{BARCODE}_00000001.tif"),
    ],
)
def test_the_second_file_of_a_page_is_told(names: list[str], image: str, other: str) -> None:
    """Of two images of one page one counts, whatever their order, and the other is not forgotten."""
    for order in (names, names[::-1]):
        found = pages_of(order, BARCODE)
        assert (found.images, found.passed_over) == ({1: image}, (other,))


def test_pages_lie_beside_the_mets() -> None:
    """However many files lie elsewhere, the METS' folder is the book's."""
    more = ["copies/00000003.txt", *in_folder("copies")]
    found = pages_of([f"book/TESTLIB_{BARCODE}.xml", *in_folder("book"), *more], BARCODE)
    assert found.images == {1: "book/00000001.tif", 2: "book/00000002.tif"}
    assert sorted(found.passed_over) == sorted(more)


def test_pages_lie_where_most_of_them_are() -> None:
    """Without a METS the folder with most files of a kind is the book's, the shallowest of several."""
    assert pages_of(["00000001.txt", *in_folder("book")], BARCODE).texts[1] == "book/00000001.txt"
    assert pages_of([*in_folder("a/b"), *in_folder("c")], BARCODE).texts[1] == "c/00000001.txt"


def test_each_kind_may_have_a_folder_of_its_own() -> None:
    """Images and text in two folders are pages still."""
    found = pages_of([f"X_{BARCODE}.xml", "images/00000001.tif", "text/00000001.txt"], BARCODE)
    assert (found.images, found.texts) == ({1: "images/00000001.tif"}, {1: "text/00000001.txt"})
    assert found.passed_over == ()


def test_every_name_of_a_page_is_known() -> None:
    """Also in a folder, and the second one of a page."""
    names = ["a/00000001.tif", "00000001.jp2", f"{BARCODE}_00000001.tif", "notes.txt", f"X_{BARCODE}.xml"]
    assert called_like_pages(names, BARCODE) == ["00000001.jp2", f"{BARCODE}_00000001.tif", "a/00000001.tif"]


def test_lists_and_mets_are_found_the_shallowest_first() -> None:
    """What lies in a folder comes after what lies at the top."""
    names = ["a/b/checksum.md5", "a/checksum.md5", "z/CHECKSUM.md5", "checksum.md5"]
    assert checksums_in(names) == ["checksum.md5", "a/checksum.md5", "z/CHECKSUM.md5", "a/b/checksum.md5"]
    names = [f"a/X_{BARCODE}.xml", f"X_{BARCODE}.xml", f"X_{BARCODE}0.xml"]
    assert mets_in(names, BARCODE) == [f"X_{BARCODE}.xml", f"a/X_{BARCODE}.xml"]
    assert mets_of(names, BARCODE) == f"X_{BARCODE}.xml"


@pytest.mark.parametrize(
    "other", [b"<a/>", b"", b"\xff\xfe", b"<mets", b"<a><mets/></a>", b"<!DOCTYPE mets><a/>", b"<?xml encoding='x'?>"]
)
def test_the_mets_is_the_one_that_begins_like_one(other: bytes) -> None:
    """Of several files the first whose root is a METS' is taken, cut short as it is; else the first."""
    heads = {"a": other, "b": b'<?xml version="1.0"?>\n<M:mets xmlns:M="http://www.loc.gov/METS/"><M:metsHdr', "c": b""}
    assert among(["a", "b", "c"], lambda name, size: heads[name][:size]) == "b"
    assert among(["a", "c"], lambda name, size: heads[name][:size]) == "a"


def test_a_single_file_is_not_looked_into() -> None:
    """Where there is no choice nothing is read."""
    assert among(["a"], lambda *_: pytest.fail("It was read.")) == "a"
    assert among([], lambda *_: pytest.fail("It was read.")) is None
