"""What a made book is like: deterministic, true to its checksums, legible."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import re
import struct
import tarfile
import zlib
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from simulator.book import MadeBook, make_book
from simulator.knobs import Knobs
from simulator.plan import plan_leaves
from simulator.works import POCKET

METS = "{http://www.loc.gov/METS/}"
HREF = "{http://www.w3.org/1999/xlink}href"
WORD = re.compile(r"<span class='ocrx_word' title='bbox (\d+) (\d+) (\d+) (\d+);x_wconf (\d+)'>([^<]+)</span>")


@pytest.fixture(scope="module")
def book() -> MadeBook:
    """A short book without oddities."""
    return make_book("32101000000017", pages=10)


def mets_of(book: MadeBook) -> ET.Element:
    """The book's METS, parsed."""
    return ET.fromstring(book.members[f"TESTLIB_{book.barcode}.xml"])


def md5(data: bytes) -> str:
    """Lower-case hex."""
    return hashlib.md5(data).hexdigest()


def test_same_arguments_same_bytes(book: MadeBook) -> None:
    """A book made again is the same to the byte; another seed makes another book."""
    assert make_book("32101000000017", pages=10).tar_gz == book.tar_gz
    assert make_book("32101000000017", pages=10, seed=2).tar_gz != book.tar_gz


def test_tar(book: MadeBook) -> None:
    """The tar is flat, alphabetical, ustar, owned by root, of the conversion's time."""
    tar = gzip.decompress(book.tar_gz)
    assert tar[257:263] == b"ustar\0"
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        entries = archive.getmembers()
        assert {entry.name: archive.extractfile(entry).read() for entry in entries} == book.members  # type: ignore[union-attr]
    assert [entry.name for entry in entries] == sorted(book.members)
    assert {(entry.uid, entry.gid, entry.mode) for entry in entries} == {(0, 0, 0o644)}
    assert {entry.mtime for entry in entries} == {int(book.dates.converted.timestamp())}


def test_gzip_has_no_name_and_no_time(book: MadeBook) -> None:
    """The gzip header holds nothing that differs from one day to the next."""
    assert struct.unpack("<BBBBI", book.tar_gz[:8]) == (0x1F, 0x8B, 8, 0, 0)


def test_three_members_a_page_and_two(book: MadeBook) -> None:
    """An image, a text and an hOCR for each page, a METS and the checksums."""
    assert len(book.members) == 3 * book.pages + 2
    assert len(book.members["checksum.md5"].splitlines()) == 3 * book.pages + 1


def test_checksums_are_true(book: MadeBook) -> None:
    """checksum.md5 names every member but itself, with its MD5."""
    lines = book.members["checksum.md5"].decode().splitlines()
    told = {name: value for value, _, name in (line.partition("  ") for line in lines)}
    assert told == {name: md5(data) for name, data in book.members.items() if name != "checksum.md5"}


def test_mets_sizes_and_sums_are_true(book: MadeBook) -> None:
    """The METS lists each page file with its true size and MD5."""
    listed = {}
    for file in mets_of(book).iter(METS + "file"):
        place = file.find(METS + "FLocat")
        assert place is not None
        listed[place.get(HREF)] = (int(file.get("SIZE", "")), file.get("CHECKSUM"))
    pages = {name: data for name, data in book.members.items() if name[0].isdigit()}
    assert listed == {name: (len(data), md5(data)) for name, data in pages.items()}


def test_mets_sections(book: MadeBook) -> None:
    """Quality, capture, page data, reading order, source and history are there, and the file count is true."""
    mets = mets_of(book)
    found = {section.get("ID") for section in mets.iter() if section.tag.endswith("MD")}
    assert {"QUALITY", "IMAGE_METHOD0", "PD1", "S1", "PREMIS1", "ADD_PAGE_DATA_IMG00000001"} <= found
    values = [item.text for item in mets.iter("{info:lc/xmlns/premis-v2}significantPropertiesValue")]
    assert values == [str(len(book.members)), str(book.pages)]
    events = [item.text for item in mets.iter("{info:lc/xmlns/premis-v2}eventType")]
    assert events == ["Google_Scan", "Google_Process", "Google_Analyze", "Google_Convert", "Google_Rubbish"]


def test_page_tags_and_labels(book: MadeBook) -> None:
    """The covers are tagged, and printed page numbers begin with the content."""
    pages = [div for div in mets_of(book).iter(METS + "div") if div.get("TYPE") == "page"]
    assert pages[0].get("ADMID") == "FRONT_COVER"
    assert pages[-1].get("ADMID") == "BACK_COVER"
    first = next(page for page in pages if "FIRST_CONTENT_CHAPTER_START" in page.get("ADMID", ""))
    assert first.get("ORDERLABEL") == "1"


@pytest.mark.parametrize("pages", [4, 5, 6, 40])
def test_leaves_of_books_of_any_length(pages: int) -> None:
    """Every book has covers and at least one printed page, and as many leaves as were asked for."""
    leaves = plan_leaves(random.Random(pages), pages)
    assert [leaf.sequence for leaf in leaves] == list(range(1, pages + 1))
    assert leaves[0].cover
    assert leaves[-1].cover
    assert any(leaf.chapter_start for leaf in leaves)


def words(hocr: bytes) -> list[tuple[tuple[int, int, int, int], str]]:
    """The words of an hOCR page with their boxes."""
    return [((int(m[1]), int(m[2]), int(m[3]), int(m[4])), m[6]) for m in WORD.finditer(hocr.decode())]


def printed(book: MadeBook) -> list[str]:
    """The names, without suffix, of the pages that have words."""
    return [name[:-5] for name in sorted(book.members) if name.endswith(".html") and words(book.members[name])]


def picture(book: MadeBook, page: str) -> Image.Image:
    """A page as a grey picture at the scale of its hOCR."""
    name = next(f"{page}.{suffix}" for suffix in ("tif", "jp2") if f"{page}.{suffix}" in book.members)
    with Image.open(io.BytesIO(book.members[name])) as image:
        grey = image.convert("L")
    return grey.reduce(2) if name.endswith("tif") else grey


def test_words_stand_where_their_boxes_are(book: MadeBook) -> None:
    """Each word's box holds ink, and reaches no further than the ink does, give or take the scan's roughness."""
    for page in printed(book):
        grey = picture(book, page)
        for box, text in words(book.members[f"{page}.html"]):
            light, dark = grey.crop(box).getextrema()[::-1]
            assert light - dark > 60, (page, text, box)  # type: ignore[operator]


def test_little_ink_beside_the_words(book: MadeBook) -> None:
    """With all words whited out a page of print is nearly blank."""
    page = next(page for page in printed(book) if len(words(book.members[f"{page}.html"])) > 60)
    grey = picture(book, page)
    before = ink(grey)
    for (left, top, right, bottom), _ in words(book.members[f"{page}.html"]):
        grey.paste(255, (left - 2, top - 2, right + 2, bottom + 2))
    assert ink(grey) < before / 20


def ink(grey: Image.Image) -> int:
    """How many pixels are dark."""
    return sum(grey.histogram()[:128])


def test_jpeg_2000(book: MadeBook) -> None:
    """Covers are colour, illustrations grey; both are JP2 with 300 ppi and an XMP packet that names its file."""
    modes = {}
    for name in (name for name in book.members if name.endswith(".jp2")):
        data = book.members[name]
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            modes[name] = image.mode
        assert data[4:8] == b"jP  "
        assert data[20:24] == b"jp2 "
        assert b"resc" + struct.pack(">HHHHBB", 30000, 254, 30000, 254, 2, 2) in data
        assert f"<dc:source>TESTLIB_{book.barcode}/{name}</dc:source>".encode() in data
        assert coding(data) == (1, 5, 0)
    assert modes["00000001.jp2"] == modes["00000010.jp2"] == "RGB"
    assert "L" in modes.values()


def coding(jp2: bytes) -> tuple[int, int, int]:
    """Quality layers, decomposition levels and wavelet (0 is the lossy one) of a codestream."""
    at = jp2.index(b"\xff\x52", jp2.index(b"jp2c"))
    layers = struct.unpack_from(">H", jp2, at + 6)[0]
    return layers, jp2[at + 9], jp2[at + 13]


def test_images_hardly_deflate(book: MadeBook) -> None:
    """Deflate gains only some percent on the images, so that packing times mean something."""
    images = b"".join(data for name, data in book.members.items() if name.endswith((".tif", ".jp2")))
    assert len(zlib.compress(images, 1)) > 0.9 * len(images)


def test_blank_pages() -> None:
    """A blank page has a small image, hOCR of about 0.9 kB without words, and at most a newline of text."""
    blank = make_book("32101000000025", pages=6).members
    assert 800 < len(blank["00000002.html"]) < 1100
    assert blank["00000002.txt"] in {b"", b"\n"}
    assert len(blank["00000002.tif"]) < 6000


def test_long_books_have_texts_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long book prints the same leaves again, but no two of its full pages have the same text."""
    monkeypatch.setattr("simulator.book.DISTINCT", 2)
    monkeypatch.setattr("simulator.book.OCTAVO", POCKET)
    book = make_book("32101000000033", pages=16)
    strips = {data[:10_000] for name, data in book.members.items() if name.endswith(".tif") and len(data) > 15_000}
    texts = [data for name, data in book.members.items() if name.endswith(".txt") and len(data) > 300]
    assert len(strips) <= 2
    assert len(texts) > 6
    assert len(set(texts)) == len(texts)


def test_languages() -> None:
    """Books come in several languages, and METS, MARC and hOCR agree on which."""
    seen = set()
    for number in range(2):
        book = make_book(f"3210100000010{number}", pages=4)
        mets = book.members[f"TESTLIB_{book.barcode}.xml"].decode()
        code = mets.partition('DETECTED_LANGUAGE="')[2][:2]
        marc = {"en": "eng", "fr": "fre", "de": "ger", "la": "lat"}[code]
        assert f" 0 {marc} d</marc:controlfield>" in mets
        assert f"ocrp_lang {code}'" in book.members["00000003.html"].decode()
        seen.add(code)
    assert len(seen) > 1


def test_no_knob_is_nothing_odd() -> None:
    """By default no knob is turned."""
    assert Knobs().given() == {}
    assert Knobs().poison is None
