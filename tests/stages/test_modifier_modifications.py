"""fixity, marc and ocr_text, each on true books and on flawed ones."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pymarc
import pytest
from books import BARCODE, MARC, Members, book_of, checksums, mets, pages, run, tar_gz

from common.manifest import Member
from common.shelves import Shelf
from common.stage import Book, Facts, Redo, Reject
from services.extractor.stage import Extractor
from services.modifier.members import Members as BookMembers
from services.modifier.stage import Modifier

METS = f"TESTLIB_{BARCODE}.xml"
Modify = Callable[..., Facts]
REAL = Path(__file__).parents[3] / "shared" / "data" / "real" / "32044009881525_select.tar.gz"


@pytest.fixture
def extracted(folder: Path, make: Callable[..., Extractor]) -> Callable[[Members | bytes], None]:
    """Runs the extractor on a book."""

    def run_it(book: Members | bytes, barcode: str = BARCODE) -> None:
        (folder / "decryptor").mkdir()
        archive = book if isinstance(book, bytes) else tar_gz(book)
        (folder / "decryptor" / f"{barcode}.tar.gz").write_bytes(archive)
        run(make(Extractor), Book(barcode, folder, "", upstream=("decryptor",)))

    return run_it


@pytest.fixture
def modify(folder: Path, make: Callable[..., Modifier]) -> Modify:
    """Runs the modifier on the extracted book."""
    return lambda *chain, barcode=BARCODE: run(
        make(Modifier, modifications=list(chain)), Book(barcode, folder, "", upstream=("extractor",))
    )


def relisted(members: Members) -> Members:
    """The book with a checksum.md5 that fits again."""
    rest = {name: data for name, data in members.items() if name != "checksum.md5"}
    return {**rest, "checksum.md5": checksums(rest)}


def sidecar(folder: Path, end: str) -> bytes:
    """The bytes of a sidecar."""
    return (folder / "modifier" / f"{BARCODE}.{end}").read_bytes()


# --- fixity ---


@pytest.mark.quirk("members-prefixed")
@pytest.mark.parametrize("prefix", ["", f"TESTLIB_{BARCODE}_"])
def test_a_whole_book_has_no_warnings(extracted: Callable[..., None], modify: Modify, prefix: str) -> None:
    """Bare and prefixed page names are both understood; the pages are counted."""
    extracted(book_of(pages(range(1, 6), prefix)))
    facts = modify({"fixity": {"strict": True}})
    assert (facts["pages"], facts["warnings"]) == (5, [])


@pytest.mark.parametrize("damage", ["gone", "flipped", "cut"])
def test_damage_on_the_disk_is_found(extracted: Callable[..., None], modify: Modify, folder: Path, damage: str) -> None:
    """A member that is not what was extracted sends the book back."""
    extracted(book_of(pages()))
    path = folder / "extractor" / "members" / "00000002.tif"
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(data[:-1] if damage == "cut" else data[:-1] + b"?")
    with pytest.raises(Redo, match=r"00000002\.tif"):
        modify("fixity")


def test_a_member_that_differs_from_the_mets_sends_the_book_back(
    extracted: Callable[..., None], modify: Modify
) -> None:
    """checksum.md5 may agree with the members and the METS still not."""
    extracted(relisted({**book_of(pages()), "00000001.tif": b"other"}))
    with pytest.raises(Redo, match=r"1 of 9 files.*'00000001\.tif'"):
        modify("fixity")


def without(ending: str) -> Members:
    """A book that lacks the files of this ending, by its METS too."""
    return book_of({name: data for name, data in pages().items() if not name.endswith(ending)})


FLAWED: dict[str, tuple[Members, str]] = {
    "gap": (
        book_of({**pages(range(1, 3)), **pages(range(5, 7))}),
        "2 pages are missing from the sequence 1 to 6, the first is 3.",
    ),
    "begins late": (book_of(pages(range(2, 4))), "1 page is missing from the sequence 1 to 3, the first is 1."),
    "no image": (without("2.tif"), "1 page is without an image, the first is 2."),
    "no text": (without("3.txt"), "1 page is without text, the first is 3."),
    "no hOCR": (without(".html"), "3 pages are without hOCR, the first is 1."),
    "empty image": (book_of({**pages(), "00000002.tif": b""}), "1 page has an image of 0 bytes, the first is 2."),
    "bad text": (
        book_of({**pages(), "00000003.txt": b"caf\xe9"}),
        "1 page has text that is not UTF-8, the first is 3.",
    ),
    "no METS": ({**pages(), "checksum.md5": checksums(pages())}, "The METS is missing."),
    "broken METS": (relisted({**pages(), METS: b"<METS"}), "The METS cannot be read: it is not well-formed XML"),
    "METS of more pages": (
        relisted({**pages(), METS: mets(pages()).replace(b'<METS:div TYPE="page"/>', b'<METS:div TYPE="page"/>' * 2)}),
        "The METS has 6 pages in its structure, the archive 3 page images.",
    ),
    "METS that counts wrong": (
        relisted({**pages(), METS: mets(pages()).replace(b"Value>3<", b"Value>4<")}),
        "The METS counts 4 pages, the archive has 3 page images.",
    ),
    "no pages": (book_of({}), "There are no pages at all."),
}


@pytest.mark.parametrize(("book", "warning"), FLAWED.values(), ids=FLAWED)
def test_a_flaw_is_a_warning(extracted: Callable[..., None], modify: Modify, book: Members, warning: str) -> None:
    """What Google left out is told, and does not keep the book from its library."""
    extracted(book)
    assert any(found.startswith(warning) for found in modify("fixity")["warnings"])


@pytest.mark.parametrize(("book", "warning"), FLAWED.values(), ids=FLAWED)
def test_a_flaw_rejects_under_strict(
    extracted: Callable[..., None], modify: Modify, book: Members, warning: str
) -> None:
    """strict: true turns each warning into a Reject with the same sentence."""
    extracted(book)
    with pytest.raises(Reject) as refusal:
        modify({"fixity": {"strict": True}})
    assert warning in refusal.value.reason


@pytest.mark.quirk("missing-hocr")
def test_hocr_that_only_the_mets_knows_is_a_warning(extracted: Callable[..., None], modify: Modify) -> None:
    """Some very old packages have no hOCR although their METS lists it."""
    book = book_of(pages())
    extracted(relisted({name: data for name, data in book.items() if not name.endswith(".html")}))
    assert modify("fixity")["warnings"] == ["3 pages are without hOCR, the first is 1."]


def test_a_mets_with_a_document_type_is_rejected(extracted: Callable[..., None], modify: Modify) -> None:
    """Entities in a METS are an attack, whatever checksum.md5 says of it."""
    doctype = '<!DOCTYPE m [<!ENTITY a "b">]>'
    extracted(book_of(pages(), prologue=doctype))
    with pytest.raises(Reject, match="document type"):
        modify("fixity")


@pytest.mark.parametrize("name", ["99999999.txt", "00000000.txt"])
def test_a_page_number_out_of_all_order_costs_nothing(
    extracted: Callable[..., None], modify: Modify, name: str
) -> None:
    """A page 99,999,999 or 0 is at most a warning, and no loop over all the pages between."""
    extracted(relisted({**book_of(pages()), name: b"far"}))
    assert modify("fixity", "ocr_text")["pages"] == 3


@pytest.mark.quirk("notes-and-pagedata")
@pytest.mark.parametrize("barcode", ["$B123456", "C3263821", "12345678"])
def test_every_kind_of_barcode_can_be_a_prefix(tmp_path: Path, barcode: str) -> None:
    """Page names are told by the book's own barcode; another book's, and a barcode of eight digits, are no pages."""
    page, mine, other = "00000002.txt", f"UCAL_{barcode}_00000001.txt", "UCAL_other_00000003.txt"
    names = (page, mine, other, f"UCAL_{barcode}.xml", f"UCAL_{barcode}.txt", f"UCAL_{barcode}_notes.txt")
    members = BookMembers(Shelf(tmp_path), dict.fromkeys(names, Member(0, "", 0)), tmp_path, barcode)
    assert dict(members.pages.texts) == {1: mine, 2: page}
    assert members.mets_name == f"UCAL_{barcode}.xml"


# --- marc ---


@pytest.mark.quirk("marc-prefix-or-not")
@pytest.mark.parametrize(
    "marc",
    [MARC, MARC.replace("marc:", "").replace("<record>", '<record xmlns="http://www.loc.gov/MARC21/slim">')],
    ids=["prefixed", "default namespace"],
)
def test_the_record_leaves_as_marcxml_and_json(
    extracted: Callable[..., None], modify: Modify, folder: Path, marc: str
) -> None:
    """Other readers of MARCXML take the one, and the other has the fields catalogues ask for."""
    extracted(book_of(pages(), marc=marc))
    assert modify("marc")["warnings"] == []
    [record] = pymarc.parse_xml_to_array(io.BytesIO(sidecar(folder, "marc.xml")))  # type: ignore[no-untyped-call]
    assert record["245"]["a"] == "Café & company /"
    fields = json.loads(sidecar(folder, "marc.json"))
    assert {key: value for key, value in fields.items() if value is not None} == {
        "control_number": "b100",
        "date_type": "m",
        "date1": "1898",
        "language": "eng",
        "oclc": "(OCoLC)42",
        "title": "Café & company /",
        "subjects": "Coffee, Trade",
    }


def test_the_json_has_the_same_keys_for_every_record(
    extracted: Callable[..., None], modify: Modify, folder: Path
) -> None:
    """What a record lacks is null, so that rows of a table are alike."""
    extracted(book_of(pages(), marc="<marc:record><marc:leader>00000cam a2200000 a 4500</marc:leader></marc:record>"))
    modify("marc")
    fields = json.loads(sidecar(folder, "marc.json"))
    assert set(fields.values()) == {None}
    assert len(fields) == 17


@pytest.mark.parametrize(
    ("marc", "warning"),
    [
        ("", "no MARC record"),
        ("<marc:record/>", "no MARC record"),
        (
            "<marc:record><marc:datafield><marc:subfield>x</marc:subfield></marc:datafield></marc:record>",
            "cannot be read",
        ),
        ("<marc:record>" * 40 + "</marc:record>" * 40, "nested too deep"),
    ],
)
def test_an_empty_or_broken_record_is_a_warning(
    extracted: Callable[..., None], modify: Modify, folder: Path, marc: str, warning: str
) -> None:
    """No record, no sidecars; under strict the book is rejected."""
    extracted(book_of(pages(), marc=marc))
    with pytest.raises(Reject, match=warning):
        modify({"marc": {"strict": True}})
    (folder / "work").rmdir()
    [found] = modify("marc")["warnings"]
    assert warning in found
    assert [path.name for path in (folder / "modifier").iterdir()] == [f"{BARCODE}.tar.gz"]


def test_one_broken_mets_is_told_once(extracted: Callable[..., None], modify: Modify) -> None:
    """fixity and marc stumble over the same METS; the ledger has it once."""
    extracted(relisted({**pages(), METS: b"<METS"}))
    assert len(modify("fixity", "marc")["warnings"]) == 1


# --- ocr_text ---


@pytest.mark.quirk("blank-pages")
def test_the_text_has_all_pages_in_their_sequence(extracted: Callable[..., None], modify: Modify, folder: Path) -> None:
    """One file, a form feed between pages, an empty page where there is no text."""
    extracted(book_of({name: data for name, data in pages(range(1, 12)).items() if name != "00000010.txt"}))
    modify("ocr_text")
    text = sidecar(folder, "txt").decode().split("\f")
    assert text == [f"text of page {number}\n" if number != 10 else "" for number in range(1, 12)]


@pytest.mark.quirk("hocr-entities")
def test_entities_in_hocr_are_kept_as_they_are(extracted: Callable[..., None], modify: Modify, folder: Path) -> None:
    """Named entities that plain XML does not know break nothing; the bytes in the package are Google's."""
    hocr = b'<?xml version="1.0"?><html><span class="ocrx_word">rail&shy;way&thinsp;!</span></html>'
    extracted(book_of({**pages(), "00000002.html": hocr}))
    assert modify("fixity", "marc", "ocr_text")["warnings"] == []
    with tarfile.open(folder / "modifier" / f"{BARCODE}.tar.gz") as package:
        member = package.extractfile("00000002.html")
        assert member is not None
        assert member.read() == hocr


def test_bad_bytes_and_form_feeds_do_not_break_the_text(
    extracted: Callable[..., None], modify: Modify, folder: Path
) -> None:
    """What is not UTF-8 becomes U+FFFD; a form feed inside a page becomes a line end."""
    extracted(book_of({**pages(), "00000002.txt": b"caf\xe9\fau lait"}))
    modify("ocr_text")
    assert sidecar(folder, "txt").decode().split("\f")[1] == "caf\ufffd\nau lait"


def test_a_book_without_pages_has_no_text(extracted: Callable[..., None], modify: Modify) -> None:
    """Nothing to write, nothing written."""
    extracted(book_of({}))
    assert modify("ocr_text")["sidecars"] == []


@pytest.mark.skipif(not REAL.is_file(), reason="the folder with real pages is not beside the project")
def test_three_real_pages_get_through(extracted: Callable[..., None], modify: Modify, folder: Path) -> None:
    """Pages as GRIN delivered them: true MD5s, gaps in the sequence, an empty MARC wrapper."""
    extracted(REAL.read_bytes(), "32044009881525")
    facts = modify("fixity", "marc", "ocr_text", barcode="32044009881525")
    assert facts["pages"] == 3
    assert [warning.split(",")[0] for warning in facts["warnings"]] == [
        "265 pages are missing from the sequence 1 to 268",
        "There is no MARC record in the METS.",
    ]
    assert (folder / "modifier" / "32044009881525.txt").read_bytes().count(b"\f") == 2
