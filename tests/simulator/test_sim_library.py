"""Libraries: what is on disk, what is recorded, what is made again and what is not."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from pathlib import Path

import pytest

from simulator.barcodes import draw_barcodes
from simulator.cipher import Cipher
from simulator.library import Library, add_archive, make_library, open_library

PASSPHRASE = "quiet river lantern"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Six short books, three of them poisoned: enough for two processes."""
    folder = tmp_path_factory.mktemp("library")
    return make_library(folder, passphrase=PASSPHRASE, count=6, poisoned=3, pages=(4, 5))


def opened(library: Library, barcode: str) -> bool:
    """Whether the passphrase opens a book's archive."""
    with Cipher() as cipher:
        return cipher.opens(library.archive(barcode), PASSPHRASE)


def test_records(library: Library) -> None:
    """Each book has an archive and a record, and the record is true of the archive."""
    assert len(library.barcodes()) == 6
    for barcode in library.barcodes():
        record, data = library.record(barcode), library.archive(barcode).read_bytes()
        assert (record.barcode, record.library) == (barcode, "TESTLIB")
        assert (record.gpg.size, record.gpg.md5) == (len(data), hashlib.md5(data).hexdigest())
        assert len(record.members) == 3 * record.pages + 2 + (record.poison == "climbing member")
        assert 4 <= record.pages <= 5


def test_poisons(library: Library) -> None:
    """The poisoned books are bad in turn: wrong checksum, cut archive, a member that climbs out."""
    poisons = {barcode: library.record(barcode).poison for barcode in library.barcodes()}
    assert sorted(poison for poison in poisons.values() if poison) == [
        "climbing member",
        "cut archive",
        "wrong checksum",
    ]
    cut = next(barcode for barcode, poison in poisons.items() if poison == "cut archive")
    assert [barcode for barcode in poisons if not opened(library, barcode)] == [cut]


def test_a_complete_library_is_used_again(library: Library) -> None:
    """The same call makes nothing, another one makes all anew."""
    before = {path: path.stat().st_mtime_ns for path in library.archives.iterdir()}
    reported: list[str] = []
    again = make_library(
        library.folder, passphrase=PASSPHRASE, count=6, poisoned=3, pages=(4, 5), report=reported.append
    )
    assert again == library == open_library(library.folder)
    assert {path: path.stat().st_mtime_ns for path in library.archives.iterdir()} == before
    assert reported == []


def test_another_passphrase_makes_all_anew(tmp_path: Path) -> None:
    """A library that this passphrase does not open is made again; each book is reported."""
    reported: list[str] = []
    make_library(tmp_path, passphrase="another", count=1, poisoned=0, pages=(4, 4), report=reported.append)
    library = make_library(tmp_path, passphrase=PASSPHRASE, count=1, poisoned=0, pages=(4, 4), report=reported.append)
    assert reported == library.barcodes() * 2
    assert opened(library, library.barcodes()[0])


def test_an_interrupted_making_is_begun_again(tmp_path: Path) -> None:
    """Without its last file a library is not complete: what is there is thrown away."""
    library = make_library(tmp_path, passphrase=PASSPHRASE, count=1, poisoned=0, pages=(4, 4))
    library.recipe.unlink()
    (library.records / "HALF.json").write_text("{")
    assert "HALF" not in make_library(tmp_path, passphrase=PASSPHRASE, count=1, poisoned=0, pages=(4, 4)).barcodes()


def test_no_secret_on_disk(library: Library) -> None:
    """The passphrase is in no file of the library."""
    files = [path for path in library.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if PASSPHRASE.encode() in path.read_bytes()]


def test_any_archive_can_be_added(tmp_path: Path) -> None:
    """A tar.gz from elsewhere goes in as it is, from memory or from a file, and its members are recorded."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        entry = tarfile.TarInfo("00000001.tif")
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"abc"))
    library = make_library(tmp_path, passphrase=PASSPHRASE, count=0, poisoned=0)
    (tmp_path / "one.tar.gz").write_bytes(out.getvalue())
    for barcode, source in (("MEM", out.getvalue()), ("FILE", tmp_path / "one.tar.gz")):
        record = add_archive(library, barcode, source, PASSPHRASE)
        assert record == library.record(barcode)
        assert record.members["00000001.tif"].md5 == hashlib.md5(b"abc").hexdigest()
        assert (record.pages, record.poison) == (1, None)
        assert opened(library, barcode)


def test_barcodes() -> None:
    """Barcodes are all different, the same for the same seed, and come in the shapes of several libraries."""
    drawn = draw_barcodes(1, 40)
    assert len(set(drawn)) == 40
    assert drawn == draw_barcodes(1, 40) != draw_barcodes(2, 40)
    for shape in (r"32101\d{9}", r"\$B\d{6}", r"HV\d{4}", r"W1PD\d{6}-I\dPD\d\d"):
        assert any(re.fullmatch(shape, barcode) for barcode in drawn), shape


@pytest.mark.parametrize(
    ("count", "poisoned", "pages"), [(2, 3, (6, 14)), (2, -1, (6, 14)), (2, 0, (3, 9)), (2, 0, (9, 8))]
)
def test_impossible_libraries(tmp_path: Path, count: int, poisoned: int, pages: tuple[int, int]) -> None:
    """What cannot be made is refused with a sentence, before anything is thrown away."""
    with pytest.raises(ValueError, match="ask for"):
        make_library(tmp_path, passphrase=PASSPHRASE, count=count, poisoned=poisoned, pages=pages)
    assert list(tmp_path.iterdir()) == []
