"""fixity: what it says of books whose files or METS are not as Google makes them."""

from __future__ import annotations

from pathlib import Path

import pytest
from books import BARCODE, Members, book_of, checksums, mets, pages
from modifying import Desk

from common.stage import Reject
from services.modifier.modifications.fixity import Fixity

METS = f"TESTLIB_{BARCODE}.xml"
BARE = mets(pages()).replace(b"CHECKSUM=", b"WAS=")


def with_mets(data: bytes) -> Members:
    """A book with this METS, its checksum.md5 telling the truth."""
    book = {**pages(), METS: data}
    return {**book, "checksum.md5": checksums(book)}


ODD = {
    "a note like a page": (
        {**book_of(pages()), "notes/00000001.txt": b"a note"},
        "1 file is called like a page's and no page, as another is that page or it lies in another folder,",
    ),
    "two images of a page": (book_of({**pages(), "00000001.jp2": b"x", "00000002.jp2": b"x"}), "2 files are called"),
    "a METS without sums": (
        with_mets(BARE),
        "The METS has no MD5 of 9 of the 9 files that it lists, the first is '00000001.tif'.",
    ),
    "a METS without files": (with_mets(mets({})), "The METS has no MD5 of 0 of the 0 files that it lists."),
    "no METS by its name": (with_mets(b"<a/>"), "The METS cannot be read: it is no METS, its root is <a>."),
}


@pytest.mark.parametrize(("book", "warning"), ODD.values(), ids=ODD)
def test_what_is_odd_is_told(tmp_path: Path, book: Members, warning: str) -> None:
    """A warning, by strict: true a Reject with the same sentence."""
    assert any(found.startswith(warning) for found in Desk(tmp_path / "mild", book).apply(Fixity))
    with pytest.raises(Reject) as refusal:
        Desk(tmp_path / "strict", book).apply(Fixity, strict=True)
    assert warning in refusal.value.reason
