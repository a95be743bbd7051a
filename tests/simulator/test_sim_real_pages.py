"""Made books held against three real pages, member by member."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from PIL import Image, TiffImagePlugin

from simulator.book import make_book
from simulator.knobs import Knobs

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "real"
PACKED = sorted(REAL.glob("*.tar.gz"))
pytestmark = pytest.mark.skipif(not PACKED, reason=f"the real pages are not at {REAL}")

METS = "{http://www.loc.gov/METS/}"
CLASS_SPANS = {"ocr_page", "ocrx_block", "ocr_par", "ocr_line", "ocrx_word"}
VARYING_TAGS = {256, 257, 269, 278, 279, 306, 700}


@pytest.fixture(scope="module")
def real() -> dict[str, bytes]:
    """The members of the real archive."""
    with tarfile.open(PACKED[0]) as archive:
        return {entry.name: archive.extractfile(entry).read() for entry in archive}  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    """The members of a made book with the real one's directory and its empty MARC wrapper."""
    return make_book("32044009881525", library="Harvard", pages=9, knobs=Knobs(marc="empty")).members


def of_kind(members: dict[str, bytes], suffix: str) -> list[tuple[str, bytes]]:
    """The members with a suffix, by name."""
    return sorted((name, data) for name, data in members.items() if name.endswith(suffix))


def tags(data: bytes) -> dict[int, object]:
    """All tags of a TIFF."""
    with Image.open(io.BytesIO(data)) as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        return dict(image.tag_v2)


def tag_types(data: bytes) -> dict[int, int]:
    """The type of each tag of a TIFF, in the order of the file."""
    with Image.open(io.BytesIO(data)) as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        return {tag: image.tag_v2.tagtype[tag] for tag in image.tag_v2}


def shape(text: str) -> str:
    """A text with its numbers taken out."""
    return re.sub(r"\d+", "9", text)


def test_names_of_members(real: dict[str, bytes], made: dict[str, bytes]) -> None:
    """Pages and METS are called alike; only the checksums, which were cut away, and the covers are more."""
    assert {shape(name) for name in real} <= {shape(name) for name in made}
    assert {shape(name) for name in made} - {shape(name) for name in real} == {"checksum.md9", "9.jp9"}


def test_tiff_tags(real: dict[str, bytes], made: dict[str, bytes]) -> None:
    """Text pages carry the same tags of the same types, with equal values wherever pages do not differ."""
    _, example = of_kind(real, ".tif")[0]
    for name, data in of_kind(made, ".tif"):
        found, expected = tags(data), tags(example)
        assert list(tag_types(data).items()) == list(tag_types(example).items())
        assert {k: v for k, v in found.items() if k not in VARYING_TAGS} == {
            k: v for k, v in expected.items() if k not in VARYING_TAGS
        }
        assert found[269] == f"HARVARD_32044009881525/{name}"
        assert data[:4] == example[:4]


def test_tiff_strip_and_dates(real: dict[str, bytes], made: dict[str, bytes]) -> None:
    """One strip of all rows, right after the header; dates written alike."""
    for _, data in of_kind(real, ".tif") + of_kind(made, ".tif"):
        found = tags(data)
        assert found[278] == found[257]
        assert found[273] == (8,)
        assert re.fullmatch(r"\d{4}:\d\d:\d\d 00:00:00", str(found[306]))


def test_xmp(real: dict[str, bytes], made: dict[str, bytes]) -> None:
    """The XMP packet is the same but for sizes, date and name."""
    example = bytes(tags(of_kind(real, ".tif")[0][1])[700]).decode()  # type: ignore[call-overload]
    for name, data in of_kind(made, ".tif"):
        packet = bytes(tags(data)[700]).decode()  # type: ignore[call-overload]
        assert shape(packet) == shape(example)
        assert f"<dc:source>HARVARD_32044009881525/{name}</dc:source>" in packet


def test_tiff_sizes(real: dict[str, bytes], made: dict[str, bytes]) -> None:
    """A full page of print is of the real pages' order of size."""
    pages = [data for _, data in of_kind(made, ".tif") if len(data) > 25_000]
    assert pages
    theirs = [len(data) for _, data in of_kind(real, ".tif")]
    assert min(theirs) / 2 < max(map(len, pages)) < max(theirs) * 2


def test_hocr_head(real: dict[str, bytes], made: dict[str, bytes]) -> None:
    """Up to the page's first block hOCR is the same but for numbers and language."""
    example = head_of(of_kind(real, ".html")[0][1])
    for _, data in of_kind(made, ".html"):
        assert re.sub(r"\b(en|fr|de|la)'", "xx'", head_of(data)) == re.sub(r"\ben'", "xx'", example)


def head_of(hocr: bytes) -> str:
    """An hOCR page up to the end of its ocr_page tag, numbers taken out."""
    text = hocr.decode()
    return shape(text[: text.index(">", text.index("<div class='ocr_page'")) + 1])


class Nesting(HTMLParser):
    """Notes which class lies in which, and the shape of each class's title."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.inside: set[tuple[str, str]] = set()
        self.titles: dict[str, set[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes an element that has a class."""
        given = dict(attrs)
        name = given.get("class") or tag
        if name in CLASS_SPANS:
            self.inside.add((self.stack[-1] if self.stack else "", f"{tag}.{name}"))
            self.titles.setdefault(name, set()).add(shape(given.get("title") or ""))
        if tag != "meta":
            self.stack.append(name)

    def handle_endtag(self, tag: str) -> None:
        """Leaves the innermost element."""
        if tag != "meta":
            self.stack.pop()


def nesting(pages: list[tuple[str, bytes]]) -> Nesting:
    """What all these pages have together."""
    found = Nesting()
    for _, data in pages:
        found.feed(data.decode())
    return found


def test_hocr_structure(real: dict[str, bytes], made: dict[str, bytes]) -> None:
    """Pages, blocks, paragraphs, lines and words nest alike, and their titles are written alike."""
    ours, theirs = nesting(of_kind(made, ".html")), nesting(of_kind(real, ".html"))
    assert ours.inside == theirs.inside
    for name in CLASS_SPANS - {"ocr_page"}:
        assert ours.titles[name] <= theirs.titles[name], name


def lines_of(hocr: bytes) -> Iterator[str]:
    """The lines of an hOCR page as text."""
    page = ET.fromstring(hocr)
    for span in page.iter("{http://www.w3.org/1999/xhtml}span"):
        if span.get("class") == "ocr_line":
            yield "".join(span.itertext()).strip()


def test_text_is_the_hocr_without_its_boxes(real: dict[str, bytes], made: dict[str, bytes]) -> None:
    """The text file has the lines of the hOCR, in made books and in real ones."""
    for members in (real, made):
        for name, data in of_kind(members, ".txt"):
            lines = list(lines_of(members[name.replace(".txt", ".html")]))
            assert [line for line in data.decode().splitlines() if line] == lines


def test_mets_head(real: dict[str, bytes], made: dict[str, bytes]) -> None:
    """Root, header and the empty MARC wrapper are the same text but for dates."""
    found, expected = (shape(members["HARVARD_32044009881525.xml"].decode()) for members in (made, real))
    assert found.partition("<METS:amdSec")[0] == expected.partition("<METS:fileSec")[0]


def attributes(root: ET.Element, name: str) -> set[tuple[str, ...]]:
    """The attribute names of all elements of a name, in their order, without ADMID."""
    return {tuple(key for key in element.attrib if key != "ADMID") for element in root.iter(METS + name)}


def test_mets_files_and_structure(real: dict[str, bytes], made: dict[str, bytes]) -> None:
    """File groups, files and page divisions have the same attributes in the same order."""
    ours, theirs = (ET.fromstring(members["HARVARD_32044009881525.xml"]) for members in (made, real))
    for name in ("fileGrp", "file", "FLocat", "fptr", "structMap"):
        assert attributes(ours, name) == attributes(theirs, name), name
    assert attributes(ours, "div") >= attributes(theirs, "div")
    assert [shape(group.get("USE", "")) for group in ours.iter(METS + "fileGrp")] == ["image", "OCR", "coordOCR"]


def test_owner_is_the_source_of_the_hocr(real: dict[str, bytes], made: dict[str, bytes]) -> None:
    """An image's OWNERID in the METS is the x_source of its hOCR."""
    for members in (real, made):
        for file in ET.fromstring(members["HARVARD_32044009881525.xml"]).iter(METS + "file"):
            if owner := file.get("OWNERID"):
                hocr = members[f"{file.get('SEQ')}.html"].decode()
                assert f"ppageno {int(file.get('SEQ', ''))};x_source {owner};" in hocr
