"""bagit: the library finds the bag valid that is unpacked, and none that was touched."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import bagit
import pytest
from books import BARCODE, Members, book_of, checksums, mets, pages
from packing import archive_of, extract, left, pack, unpacked

from common import manifest
from common.stage import Book, Redo, Reject
from services.modifier.stage import Modifier

Make = Callable[..., Modifier]
NAME = f"{BARCODE}.zip"


def _created(when: bytes) -> bytes:
    """A METS that was made at that time."""
    return mets(pages()).replace(b"<METS:dmdSec>", b'<METS:metsHdr CREATEDATE="%s"/><METS:dmdSec>' % when)


@pytest.fixture
def unzipped(folder: Path, make: Make) -> Callable[[Members], Path]:
    """Packs a book as a bag and unpacks that; the bag's folder."""

    def pack_and_unzip(book: Members) -> Path:
        pack(folder, make, book, "bagit")
        with zipfile.ZipFile(folder / "modifier" / NAME) as file:
            file.extractall(folder / "out")
        [bag] = (folder / "out").iterdir()
        return bag

    return pack_and_unzip


def test_the_library_finds_the_bag_valid(unzipped: Callable[[Members], Path], folder: Path) -> None:
    """One folder called after the book, Google's files as its payload, and nothing else left behind."""
    book = book_of(pages()) | {"notes/märchen.txt": b"folder", "empty.txt": b"", "a b  c.txt": b"blanks"}
    bag = unzipped(book)
    assert bag.name == BARCODE
    assert bagit.Bag(str(bag)).validate()
    assert unpacked(folder, "bagit") == book
    assert set(left(folder)) == {NAME}
    assert [path.name for path in (folder / "modifier").iterdir()] == [NAME]


def test_every_flipped_byte_is_found(unzipped: Callable[[Members], Path]) -> None:
    """In a page, in what tells of the bag and in its lists."""
    bag = unzipped(book_of(pages()))
    for path in sorted(path for path in bag.rglob("*") if path.is_file() and not path.name.startswith("tagmanifest")):
        data = path.read_bytes()
        path.write_bytes(bytes((data[0] ^ 1,)) + data[1:])
        with pytest.raises(bagit.BagError):
            bagit.Bag(str(bag)).validate()
        path.write_bytes(data)
    assert bagit.Bag(str(bag)).validate()


def test_the_bag_tells_whose_book_it_is(unzipped: Callable[[Members], Path]) -> None:
    """Library, barcode, size, and the day on which Google made the book; no other day is the same every time."""
    book = pages() | {f"TESTLIB_{BARCODE}.xml": _created(b"2020-02-03T04:05:06Z")}
    info = bagit.Bag(str(unzipped(book))).info
    size = sum(map(len, book.values()))
    assert info == {
        "Bag-Software-Agent": "GRIN Pipeline",
        "Bagging-Date": "2020-02-03",
        "External-Identifier": BARCODE,
        "Payload-Oxum": f"{size}.{len(book)}",
        "Source-Organization": "TESTLIB",
    }


@pytest.mark.parametrize("data", [None, mets(pages()), b"<METS:mets", _created(b"yesterday")])
def test_without_googles_date_there_is_none(unzipped: Callable[[Members], Path], data: bytes | None) -> None:
    """Rather than today's: no METS, one without a date, one that cannot be read, one with something else there."""
    book = pages() | ({} if data is None else {f"TESTLIB_{BARCODE}.xml": data})
    bag = bagit.Bag(str(unzipped(book | {"checksum.md5": checksums(book)})))
    assert sorted(bag.info) == ["Bag-Software-Agent", "External-Identifier", "Payload-Oxum", "Source-Organization"]
    assert bag.validate()


def test_the_lists_are_sorted_and_hold_googles_sums(unzipped: Callable[[Members], Path]) -> None:
    """md5sum and sha256sum take them as they are."""
    bag = unzipped(book_of(pages()))
    for kind in ("md5", "sha256"):
        for prefix in ("manifest", "tagmanifest"):
            path = bag / f"{prefix}-{kind}.txt"
            subprocess.run([f"{kind}sum", "--check", "--strict", "--quiet", path.name], cwd=bag, check=True)
            names = [line.split("  ", 1)[1] for line in path.read_text().splitlines()]
            assert names == sorted(names)
    google = (bag / "data" / "checksum.md5").read_text().replace("  ", "  data/")
    assert set(google.splitlines()) < set((bag / "manifest-md5.txt").read_text().splitlines())


@pytest.mark.parametrize("name", ["100%.txt", "line%0Abreak.txt", "blank\u3000"])
def test_names_on_which_readers_do_not_agree_are_refused(folder: Path, make: Make, name: str) -> None:
    """Before anything is written."""
    with pytest.raises(Reject, match="bag") as caught:
        pack(folder, make, book_of(pages()) | {name: b"x"}, "bagit")
    assert "rename" in caught.value.cure
    assert list((folder / "work").iterdir()) == []


def test_what_the_library_does_not_find_valid_is_made_again(folder: Path, make: Make) -> None:
    """A wrong sum in the manifest, whose bytes are right, is noticed by the library alone."""
    book: Book = extract(folder, make, archive_of(book_of(pages())))
    path = folder / "extractor" / manifest.NAME
    listed = json.loads(path.read_text())
    listed["members"]["00000002.tif"]["md5"] = "0" * 32
    path.write_text(json.dumps(listed))
    work = folder / "work"
    work.mkdir()
    with pytest.raises(Redo, match=r"00000002\.tif"):
        make(Modifier, package="bagit", modifications=[]).process(book, work)
    assert [path.name for path in work.iterdir()] in ([], [NAME])
