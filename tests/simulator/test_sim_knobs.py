"""Each knob does what it says, and nothing else."""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from simulator.book import MadeBook, make_book
from simulator.knobs import Knobs
from simulator.library import Library, add_book, make_library

BARCODE = "32101000000017"
PASSPHRASE = "quiet river lantern"
METS_NAME = f"TESTLIB_{BARCODE}.xml"


def made(knobs: Knobs) -> MadeBook:
    """A short book with these knobs."""
    return make_book(BARCODE, pages=6, knobs=knobs)


@pytest.fixture(scope="module")
def plain() -> MadeBook:
    """The same book without any."""
    return made(Knobs())


def changed(plain: MadeBook, knobs: Knobs) -> dict[str, bytes]:
    """The members that differ from those of the plain book."""
    return {name: data for name, data in made(knobs).members.items() if plain.members.get(name) != data}


def false_sums(book: MadeBook) -> list[str]:
    """The members whose line in checksum.md5 is wrong."""
    lines = (line.split("  ") for line in book.members["checksum.md5"].decode().splitlines())
    return [name for value, name in lines if hashlib.md5(book.members[name]).hexdigest() != value]


def mets(book: MadeBook) -> str:
    """The METS as text."""
    return book.members[METS_NAME].decode()


def test_prefixed_names() -> None:
    """Page files begin with directory and barcode, in the tar, in the METS and in the checksums."""
    book = made(Knobs(prefixed_names=True))
    page = f"TESTLIB_{BARCODE}_00000003.tif"
    assert page in book.members
    assert f'xlink:href="{page}"' in mets(book)
    assert page in book.members["checksum.md5"].decode()
    assert not any(name.startswith("0") for name in book.members)


def test_missing_hocr(plain: MadeBook) -> None:
    """There is no hOCR, though the METS lists it."""
    book = made(Knobs(missing_hocr=True))
    assert set(plain.members) - set(book.members) == {f"{n:08d}.html" for n in range(1, 7)}
    assert mets(book) == mets(plain)
    assert false_sums(book) == []


def test_wrong_checksum(plain: MadeBook) -> None:
    """Exactly one line of checksum.md5 is wrong; nothing else changes."""
    knobs = Knobs(wrong_checksum=True)
    assert set(changed(plain, knobs)) == {"checksum.md5"}
    assert len(false_sums(made(knobs))) == 1


def test_wrong_mets_md5(plain: MadeBook) -> None:
    """One sum in the METS is wrong; checksum.md5 is true, also of that METS."""
    knobs = Knobs(wrong_mets_md5=True)
    book = made(knobs)
    assert set(changed(plain, knobs)) == {METS_NAME, "checksum.md5"}
    assert false_sums(book) == []
    wrong = [a for a, b in zip(mets(book).splitlines(), mets(plain).splitlines(), strict=True) if a != b]
    assert len(wrong) == 1


@pytest.mark.parametrize(
    ("knobs", "name"), [(Knobs(missing_mets=True), METS_NAME), (Knobs(missing_checksums=True), "checksum.md5")]
)
def test_missing_members(plain: MadeBook, knobs: Knobs, name: str) -> None:
    """Without METS or without checksum.md5 the rest is as before."""
    assert set(plain.members) - set(made(knobs).members) == {name}


def test_gap(plain: MadeBook) -> None:
    """One sequence number is not used, neither in names nor in the METS, where ORDER still counts on."""
    book = made(Knobs(gap=True))
    numbers = sorted(int(name[:8]) for name in book.members if name.endswith(".txt"))
    assert numbers == [1, 2, 3, 5, 6, 7]
    assert 'SEQ="00000004"' not in mets(book)
    assert 'ORDER="6"' in mets(book)
    assert false_sums(book) == []
    assert book.pages == plain.pages


def test_zero_byte_image() -> None:
    """One image is empty, and all sums are true of that."""
    book = made(Knobs(zero_byte_image=True))
    assert [name for name, data in book.members.items() if not data and name.endswith((".tif", ".jp2"))]
    assert 'SIZE="0" CHECKSUM="d41d8cd98f00b204e9800998ecf8427e" CHECKSUMTYPE="MD5" OWNERID=' in mets(book)
    assert false_sums(book) == []


def test_missing_tag(plain: MadeBook) -> None:
    """One page carries the tag MISSING."""
    assert mets(made(Knobs(missing_tag=True))).count(" MISSING") == 1
    assert "MISSING" not in mets(plain).replace("missing", "")


def test_extra_files(plain: MadeBook) -> None:
    """Notes and page data lie beside the pages, with checksums."""
    book = made(Knobs(extra_files=True))
    extra = {f"TESTLIB_{BARCODE}_notes.txt", f"TESTLIB_{BARCODE}_pagedata.txt"}
    assert set(book.members) - set(plain.members) == extra
    assert all(name in book.members["checksum.md5"].decode() for name in extra)


def test_right_to_left(plain: MadeBook) -> None:
    """The METS tells the reading order."""
    assert "<gbs:readingOrder>right-to-left<" in mets(made(Knobs(right_to_left=True)))
    assert "<gbs:readingOrder>left-to-right<" in mets(plain)


def test_marc(plain: MadeBook) -> None:
    """The record is prefixed, in the default namespace, or absent; the first two mean the same."""
    texts = [mets(book) for book in (plain, made(Knobs(marc="default")), made(Knobs(marc="empty")))]
    assert ["<marc:record>" in text for text in texts] == [True, False, False]
    assert ["<record>" in text for text in texts] == [False, True, False]
    records = [ET.fromstring(text).findall(".//{http://www.loc.gov/MARC21/slim}record") for text in texts]
    assert [len(found) for found in records] == [1, 1, 0]
    assert list(records[0][0].itertext()) == list(records[1][0].itertext())


def test_entity(plain: MadeBook) -> None:
    """One hOCR page has an entity that a plain XML parser does not know."""
    hocr = [data for name, data in changed(plain, Knobs(entity=True)).items() if name.endswith(".html")]
    assert len(hocr) == 1
    with pytest.raises(ET.ParseError, match="undefined entity"):
        ET.fromstring(hocr[0])


def test_bad_utf8(plain: MadeBook) -> None:
    """One text is not UTF-8; its sums are true."""
    book = made(Knobs(bad_utf8=True))
    text = [data for name, data in changed(plain, Knobs(bad_utf8=True)).items() if name.endswith(".txt")]
    assert len(text) == 1
    with pytest.raises(UnicodeDecodeError):
        text[0].decode()
    assert false_sums(book) == []


def test_climbing_member() -> None:
    """The tar has a member that would leave the folder."""
    with tarfile.open(fileobj=io.BytesIO(made(Knobs(climbing_member=True)).tar_gz)) as archive:
        assert archive.getnames()[0] == "../evil.txt"


def test_cut_tar() -> None:
    """The gzip is whole, the tar in it ends in the middle."""
    tar = gzip.decompress(made(Knobs(cut_tar=True)).tar_gz)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive, pytest.raises(tarfile.ReadError):
        for entry in archive:
            archive.extractfile(entry).read()  # type: ignore[union-attr]


def test_cut_gz() -> None:
    """The gzip ends in the middle."""
    with pytest.raises(EOFError):
        gzip.decompress(made(Knobs(cut_gz=True)).tar_gz)
    assert zlib.decompressobj(31).decompress(made(Knobs(cut_gz=True)).tar_gz)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """A library without books, to put some in."""
    return make_library(tmp_path_factory.mktemp("knobs"), passphrase=PASSPHRASE, count=0, poisoned=0)


@pytest.fixture
def gpg(tmp_path: Path) -> Callable[[Path], subprocess.CompletedProcess[bytes]]:
    """The real gpg, decrypting with the library's passphrase."""

    def decrypt(source: Path) -> subprocess.CompletedProcess[bytes]:
        fixed = ["gpg", "--homedir", str(tmp_path), "--batch", "--pinentry-mode", "loopback", "--status-fd", "2"]
        command = [*fixed, "--passphrase", PASSPHRASE, "--decrypt", str(source)]
        return subprocess.run(command, capture_output=True, check=False)

    tmp_path.chmod(0o700)
    return decrypt


def encrypted(library: Library, knobs: Knobs) -> Path:
    """The archive of a book with these knobs, encrypted."""
    add_book(library, BARCODE, PASSPHRASE, pages=4, knobs=knobs)
    return library.archive(BARCODE)


def test_encryption(library: Library, gpg: Callable[[Path], subprocess.CompletedProcess[bytes]]) -> None:
    """gpg opens a plain book, and finds it intact and encrypted with AES256."""
    done = gpg(encrypted(library, Knobs()))
    assert done.returncode == 0
    assert b"GOODMDC" in done.stderr
    assert b"DECRYPTION_INFO 2 9" in done.stderr
    assert done.stdout == make_book(BARCODE, pages=4).tar_gz


def test_cut_gpg(library: Library, gpg: Callable[[Path], subprocess.CompletedProcess[bytes]]) -> None:
    """The encrypted file ends in the middle: gpg fails, after some output."""
    done = gpg(encrypted(library, Knobs(cut_gpg=True)))
    assert done.returncode == 2
    assert b"DECRYPTION_FAILED" in done.stderr


def test_wrong_passphrase(library: Library, gpg: Callable[[Path], subprocess.CompletedProcess[bytes]]) -> None:
    """The library's passphrase does not open the book."""
    done = gpg(encrypted(library, Knobs(wrong_passphrase=True)))
    assert done.returncode == 2
    assert done.stdout == b""


def test_no_mdc(library: Library, gpg: Callable[[Path], subprocess.CompletedProcess[bytes]]) -> None:
    """The encrypted file has no manipulation detection code, so gpg refuses it; newer gpg always writes one."""
    done = gpg(encrypted(library, Knobs(no_mdc=True)))
    if b"GOODMDC" in done.stderr:
        pytest.skip("this gpg cannot write files without MDC")
    assert done.returncode == 2
    assert b"nomdc_with_legacy_cipher" in done.stderr
