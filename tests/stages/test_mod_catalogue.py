"""catalogue_record: the library's own record, from a folder, a pairtree or one large file."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pymarc
import pytest
from books import BARCODE
from marc_schema import require_valid
from modifying import Desk

from common.stage import Halt, Reject
from services.modifier.modifications import catalogue_record as module
from services.modifier.modifications.catalogue_record import CatalogueRecord

LEADER = "00000cam a2200000 a 4500"
NS = "http://www.loc.gov/MARC21/slim"
ROOT = Path(__file__).parents[2]
FIELD = "876$p"
# Behind what a glance at the beginning of a file sees.
FAR = f"<!-- {'far ' * 20_000} -->"

Make = Callable[..., Path]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """No catalogue is known from another test, and none stays open."""
    yield
    for index in module._INDEXES.values():
        index.close()
    module._INDEXES.clear()
    module._FINE.clear()


def record(title: str, *barcodes: str, prefix: str = "") -> str:
    """A record with items, as MARCXML."""
    items = "".join(
        f'<{prefix}datafield tag="876" ind1=" " ind2=" "><{prefix}subfield code="0">22</{prefix}subfield>'
        f'<{prefix}subfield code="p">\n {barcode} </{prefix}subfield></{prefix}datafield>'
        for barcode in barcodes
    )
    return (
        f'<{prefix}record><{prefix}leader>{LEADER}</{prefix}leader><{prefix}controlfield tag="001">{title}'
        f'</{prefix}controlfield><{prefix}datafield tag="245" ind1="0" ind2="0"><{prefix}subfield code="a">{title}'
        f"</{prefix}subfield></{prefix}datafield>{items}</{prefix}record>"
    )


def collection(*records: str, prologue: str = '<?xml version="1.0" encoding="UTF-8"?>') -> str:
    """A document of records; both ways to say the namespace stand at its top."""
    return f'{prologue}\n<collection xmlns="{NS}" xmlns:marc="{NS}">\n{chr(10).join(records)}\n</collection>\n'


def binary(title: str, *barcodes: str, **of_record: Any) -> bytes:
    """A record with items, as binary MARC."""
    made = pymarc.Record(**{"force_utf8": True, "leader": LEADER, **of_record})
    made.add_field(pymarc.Field(tag="001", data=title))
    blanks = pymarc.Indicators(" ", " ")
    made.add_field(pymarc.Field(tag="245", indicators=blanks, subfields=[pymarc.Subfield("a", title)]))
    for barcode in barcodes:
        subfields = [pymarc.Subfield("0", "22"), pymarc.Subfield("p", barcode)]
        made.add_field(pymarc.Field(tag="876", indicators=blanks, subfields=subfields))
    return bytes(made.as_marc())


def title_of(desk: Desk) -> str | None:
    """The title in the sidecar, which must be valid; None when there is no sidecar."""
    if "catalogue.xml" not in desk.sidecars():
        return None
    require_valid(desk.sidecars()["catalogue.xml"])
    return fromstring(desk.sidecars()["catalogue.xml"]).findtext(f".//{{{NS}}}datafield[@tag='245']/{{{NS}}}subfield")


class Library:
    """A catalogue, and books whose records are looked for in it one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "catalogue"
        self._books = 0

    def file(self, content: str | bytes) -> Path:
        """Put the catalogue in place as one file, by a rename."""
        new = self.folder / "new"
        new.write_bytes(content if isinstance(content, bytes) else content.encode())
        new.replace(self.path)
        return self.path

    def files(self, files: dict[str, str]) -> Path:
        """Put the catalogue in place as a folder."""
        self.path.mkdir()
        for name, content in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(content)
        return self.path

    def ask(self, barcode: str = BARCODE, **options: Any) -> tuple[str | None, list[str]]:
        """The title that is found for a book, and the warnings."""
        self._books += 1
        desk = Desk(self.folder / f"book{self._books}", {}, barcode)
        warnings = desk.apply(CatalogueRecord, path=str(self.path), **options)
        return title_of(desk), warnings

    def problems(self, **options: Any) -> list[str]:
        """What check() says."""
        return CatalogueRecord({"path": str(self.path), **options}).check()


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """A library that has no catalogue yet."""
    return Library(tmp_path)


# --- folders ---


def test_a_folder_has_a_file_for_each_barcode(library: Library) -> None:
    """A bare record and one in a collection are both taken; a book without a file is a warning."""
    bare = record("Bare").replace("<record>", f'<record xmlns="{NS}">')
    library.files({f"{BARCODE}.xml": collection(record("One")), "A.1.xml": bare})
    assert library.ask() == ("One", [])
    assert library.ask("A.1") == ("Bare", [])
    assert library.ask("A2") == (None, ["The catalogue has no record of A2."])
    with pytest.raises(Reject, match="no record of A2"):
        library.ask("A2", strict=True)


@pytest.mark.parametrize(
    "place",
    [
        "pairtree_root/uc/1,/b1/2/uc1,b12/uc1.b12.xml",
        "uc/1,/b1/2/uc1,b12/uc1,b12.xml",
        "pairtree_root/uc/1,/b1/2/uc1.b12.xml",
    ],
)
def test_a_pairtree_is_walked_down(library: Library, place: str) -> None:
    """With the root's own name or without, the file in the object's folder or in that of the last pair."""
    library.files({place: collection(record("In the tree"))})
    assert library.ask("uc1.b12", pairtree=True) == ("In the tree", [])
    assert library.ask("uc1.b13", pairtree=True)[0] is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "it is not well-formed XML: no element found"),
        ("<record><leader>", "it is not well-formed XML"),
        ("<collection/>", "there is no record in"),
        ('<!DOCTYPE r [<!ENTITY a "b">]><record><leader>&a;</leader></record>', "document type declaration"),
        ("<record><leader>&nbsp;</leader></record>", "undefined entity"),
        ("<record>" + "<a>" * 50, "nested too deep"),
        ("<record><a/></record>", "none of its fields is one of MARC 21"),
        (f"<record><leader>{'x' * (5 << 20)}</leader></record>", "larger than 4 MiB"),
    ],
)
def test_a_record_that_is_none_is_a_warning(library: Library, content: str, why: str) -> None:
    """One bad file among many is that book's matter; under strict it is rejected."""
    library.files({f"{BARCODE}.xml": content})
    title, [warning] = library.ask()
    assert title is None
    assert warning.startswith(f"The catalogue's record of {BARCODE} cannot be read: ")
    assert why in warning
    with pytest.raises(Reject, match="cannot be read"):
        library.ask(strict=True)


def test_no_file_is_read_on_behalf_of_a_record(library: Library, tmp_path: Path) -> None:
    """An external entity is refused before anything is opened."""
    os.mkfifo(tmp_path / "fifo")
    library.files({f"{BARCODE}.xml": f'<!DOCTYPE r [<!ENTITY x SYSTEM "{tmp_path}/fifo">]><record>&x;</record>'})
    assert "document type" in library.ask()[1][0]


def test_an_empty_or_vanished_folder_halts(library: Library) -> None:
    """Where the catalogue is not mounted no book is at fault, and none must go on without its record."""
    library.files({f"{BARCODE}.xml": collection(record("One"))})
    assert library.ask()[0] == "One"
    (library.path / f"{BARCODE}.xml").unlink()
    with pytest.raises(Halt, match="empty folder"):
        library.ask()
    library.path.rmdir()
    with pytest.raises(Halt, match="cannot be read"):
        library.ask()
    library.files({f"{BARCODE}.xml": collection(record("Back"))})
    assert library.ask()[0] == "Back"


# --- one file ---


@pytest.mark.parametrize("prefix", ["", "marc:"])
def test_the_record_with_the_barcode_is_found_in_a_file(library: Library, prefix: str) -> None:
    """Any of its items leads to a record; namespaces may be said at the top, with a prefix or without."""
    records = (record("Aé", "1", "2", prefix=prefix), record("Bü", "3", prefix=prefix), record("C", prefix=prefix))
    library.file(collection(*records))
    asked = {barcode: library.ask(barcode, field=FIELD) for barcode in "1234"}
    missing = (None, ["The catalogue has no record of 4."])
    assert asked == {"1": ("Aé", []), "2": ("Aé", []), "3": ("Bü", []), "4": missing}


def test_a_control_field_can_hold_the_barcode(library: Library) -> None:
    """Without a subfield the field is one of 001 to 009."""
    library.file(collection(record("A"), record("B")))
    assert library.ask("B", field="001") == ("B", [])


def test_only_the_field_that_is_named_counts(library: Library) -> None:
    """The same text in another field or subfield, a comment or an attribute leads nowhere."""
    held = '<subfield code="p">1</subfield></datafield>'
    others = (
        f'<datafield tag="877" ind1=" " ind2=" ">{held}',
        f'<datafield tag="876" ind1=" " ind2=" "/><datafield tag="500" ind1=" " ind2=" ">{held}',
        f'<datafield tag="876" ind1=" " ind2=" "><!-- <subfield code="p">1 -->{held}'.replace('p">1<', 't">1<'),
    )
    library.file(
        collection(*(record("A").replace("</record>", f"{other}</record>") for other in others), record("B", "1"))
    )
    assert library.ask("1", field=FIELD) == ("B", [])


def test_records_inside_others_are_those_that_count(library: Library) -> None:
    """A harvest by OAI-PMH wraps each MARC record into a record of its own."""
    wrapped = [
        f"<record><header/><metadata>{record(title, title, prefix='marc:')}</metadata></record>" for title in "AB"
    ]
    library.file(f'<OAI-PMH xmlns:marc="{NS}"><ListRecords>{"".join(wrapped)}</ListRecords></OAI-PMH>')
    assert library.ask("B", field=FIELD) == ("B", [])


def test_a_barcode_on_two_records_is_told(library: Library) -> None:
    """Works bound together share one barcode: the first record is taken."""
    library.file(collection(record("A", "1"), record("B", "1")))
    assert library.ask("1", field=FIELD) == ("A", ["The catalogue has 2 records of 1; the first is taken."])


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "windows-1252"])
def test_a_declared_encoding_holds_for_each_record(library: Library, encoding: str) -> None:
    """A record is read from the middle of the file, where nothing declares it anew."""
    prologue = f'<?xml version="1.0" encoding="{encoding}"?>'
    text = collection(record("Äpfel", "1"), record("Übermut", "2"), prologue=prologue)
    library.file(text.encode(encoding))
    assert library.ask("2", field=FIELD) == ("Übermut", [])


def test_binary_marc_is_told_by_its_first_bytes(library: Library) -> None:
    """Records one after the other, with line ends between them or without."""
    library.file(binary("A", "1") + binary("Bé", "2", "3") + b"\r\n" + binary("C", "4") + b"\n")
    assert [library.ask(barcode, field=FIELD)[0] for barcode in "12345"] == ["A", "Bé", "Bé", "C", None]
    assert library.ask("C", field="001") == ("C", [])


def test_a_damaged_binary_record_costs_only_itself(library: Library) -> None:
    """Lengths and directories may lie; the records after it are found all the same."""
    bad = bytearray(binary("Bad", "1"))
    bad[12:17] = b"99999"
    worse = bytearray(binary("Worse", "2"))
    worse[0:5] = b"00001"
    # 245 points behind the end of the record, the item's field does not.
    broken = binary("Broken", "3")
    at = broken.index(b"245")
    broken = broken[: at + 7] + b"99999" + broken[at + 12 :]
    library.file(binary("A", "0") + bytes(bad) + b"?" * 40 + b"\x1d" + bytes(worse) + broken + binary("C", "9"))
    assert library.ask("9", field=FIELD) == ("C", [])
    assert library.ask("2", field=FIELD)[0] in {"Worse", None}
    assert library.ask("3", field=FIELD)[0] is None
    assert library.ask("1", field=FIELD) == (None, ["The catalogue has no record of 1."])


@pytest.mark.parametrize(
    ("field", "text"),
    [(b"caf\xe2e", "café"), ("café".encode(), "café"), (b"beta \x1bgb\x1bs and caf\xe2e", "beta β and café")],
)
def test_both_encodings_of_binary_marc_are_read(library: Library, field: bytes, text: str) -> None:
    """MARC-8 as old catalogues have it, and UTF-8 that the leader calls MARC-8."""
    placeholder = "x" * len(field)
    data = binary(placeholder, "1").replace(placeholder.encode(), field)
    library.file(data[:9] + b" " + data[10:])
    title, _ = library.ask("1", field=FIELD)
    assert title is not None
    assert unicodedata.normalize("NFC", title) == text


@pytest.mark.parametrize("kind", ["xml", "mrc"])
def test_a_catalogue_that_changes_is_read_anew(library: Library, kind: str) -> None:
    """A new export, put in place by a rename, holds from the next book on; what it lacks is gone."""

    def export(*titles: str) -> str | bytes:
        if kind == "xml":
            return collection(*(record(title, title) for title in titles))
        return b"".join(binary(title, title) for title in titles)

    library.file(export("A", "B"))
    assert [library.ask(title, field=FIELD)[0] for title in "AB"] == ["A", "B"]
    library.file(export("C", "B"))
    assert [library.ask(title, field=FIELD)[0] for title in "ABC"] == [None, "B", "C"]


def test_it_is_read_only_once(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker reads a million records at its first book, and not at each."""
    library.file(collection(record("A", "1"), record("B", "2")))
    assert library.ask("1", field=FIELD)[0] == "A"
    monkeypatch.setattr("services.modifier.modifications.catalogue_index.Spotter", None)
    assert library.ask("2", field=FIELD)[0] == "B"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (collection(record("A", "1"), FAR)[:-15], "it is not well-formed XML"),
        (collection(record("A", "1"), FAR, '<a b="<"/>'), "it is not well-formed XML"),
        (collection(record("A", "1"), FAR, record("&unknown;", "2")), "it is not well-formed XML: undefined entity"),
        (collection(record("A", "1"), FAR) + "<junk/>", "it is not well-formed XML: junk"),
        ((binary("A", "1") * 3)[:-5], "it ends in the middle of a record"),
        (binary("A", "1") + b"x" * (6 << 20), "there is a record of more than 4 MiB"),
        (f"<collection>{record('A', '1')}<x y='{'z' * (6 << 20)}'/></collection>", "it has a tag of more than 4 MiB"),
    ],
)
def test_a_broken_file_halts_until_it_is_mended(library: Library, content: str | bytes, why: str) -> None:
    """No book is at fault, and half a catalogue is none; told once it is not read again before it has changed."""
    library.file(content)
    for _ in range(2):
        with pytest.raises(Halt) as halt:
            library.ask("1", field=FIELD)
        assert why in halt.value.reason
        assert halt.value.cure
    library.file(collection(record("Mended", "1")))
    assert library.ask("1", field=FIELD)[0] == "Mended"


def test_a_file_that_goes_away_halts(library: Library) -> None:
    """As when its disk is unmounted under a running stage; the options were fine."""
    library.file(collection(record("A", "1")))
    assert library.ask("1", field=FIELD)[0] == "A"
    library.path.unlink()
    with pytest.raises(Halt, match=r"cannot be read: No such file"):
        library.ask("1", field=FIELD)


# --- check ---


def test_good_options_have_no_problems(library: Library) -> None:
    """A folder alone, and a file with its field."""
    library.file(collection(record("A", "1")))
    assert library.problems(field=FIELD) == []
    library.path.unlink()
    library.files({})
    assert library.problems(pairtree=True, strict=True) == []


@pytest.mark.parametrize(
    ("content", "options", "problem"),
    [
        (None, {}, "is not there"),
        ({}, {"field": FIELD}, "The option field is for a file of many records"),
        (collection(), {"field": FIELD, "pairtree": True}, "The option pairtree is for a folder"),
        (collection(), {}, "should be a tag and a subfield, such as 876$p"),
        (collection(), {"field": "876p"}, "should be a tag and a subfield"),
        (b"", {"field": FIELD}, "it is empty"),
        (b"\x1f\x8b\x08", {"field": FIELD}, "it is compressed by gzip: unpack it first"),
        (collection().encode("utf-16"), {"field": FIELD}, "it is in UTF-16"),
        (b"barcode,title\n", {"field": FIELD}, "it is neither MARCXML nor binary MARC"),
        ("<html><body/></html>", {"field": FIELD}, "it is XML, but no MARCXML"),
        ("<collection><<", {"field": FIELD}, "it is not well-formed XML"),
        ('<!DOCTYPE c [<!ENTITY a "b">]><collection/>', {"field": FIELD}, "it has a document type declaration"),
        (collection(), {"feild": FIELD}, "The option feild is not known"),
    ],
)
def test_what_is_wrong_is_told_before_the_first_book(
    library: Library, content: str | bytes | dict[str, str] | None, options: dict[str, Any], problem: str
) -> None:
    """One sentence that names the cure."""
    if isinstance(content, dict):
        library.files(content)
    elif content is not None:
        library.file(content)
    [found] = library.problems(**options)
    assert problem in found


def test_a_path_must_be_whole_and_a_file(tmp_path: Path) -> None:
    """A relative path would depend on where the stage was started; a FIFO would never be read to its end."""
    assert CatalogueRecord({"path": "catalogue.xml"}).check() == [
        "The option path should be absolute, not catalogue.xml."
    ]
    assert CatalogueRecord({}).check() == ["The option path Field required."]
    os.mkfifo(tmp_path / "fifo")
    [found] = CatalogueRecord({"path": str(tmp_path / "fifo"), "field": FIELD}).check()
    assert "neither a folder nor a file" in found


# --- size ---

MEASURE = """
    import resource, sys, time
    from pathlib import Path
    from services.modifier.modifications.catalogue_index import CatalogueIndex

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    index = CatalogueIndex(Path(sys.argv[1]), "876", "p")
    record, count = index.find(sys.argv[2])
    assert record is not None and count == 1, count
    began = time.process_time()
    for barcode in sys.argv[3:]:
        assert index.find(barcode)[1] == 1
    each = (time.process_time() - began) / len(sys.argv[3:])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.process_time(), each)
"""


@pytest.mark.parametrize("kind", ["xml", "mrc"])
def test_a_large_catalogue_takes_little_memory(tmp_path: Path, kind: str) -> None:
    """The index lies on the disk. GRIN_PIPELINE_CATALOGUE_RECORDS makes the catalogue as large as one likes."""
    count = int(os.environ.get("GRIN_PIPELINE_CATALOGUE_RECORDS", "20000"))
    path = tmp_path / f"catalogue.{kind}"
    with path.open("wb") as file:
        for chunk in catalogue(kind, count):
            file.write(chunk)
    barcodes = [f"{32101000000000 + at}" for at in (count - 1, *range(0, count, count // 50))]
    code = textwrap.dedent(MEASURE)
    done = subprocess.run(
        [sys.executable, "-c", code, path, *barcodes], cwd=ROOT, capture_output=True, text=True, check=True
    )
    kib, cpu, each = map(float, done.stdout.split())
    size = path.stat().st_size / 1e6
    print(
        f"{kind}: {count} records, {size:.0f} MB: {kib / 1024:.0f} MiB more, {cpu:.1f} s CPU, {each * 1e3:.2f} ms each"
    )
    assert kib < 40 * 1024
    assert each < 0.05


def catalogue(kind: str, count: int) -> Iterator[bytes]:
    """An export of so many records, 3 kB each as XML."""
    blanks = pymarc.Indicators(" ", " ")
    head, foot = (f'<c xmlns="{NS}"><collection>\n'.encode(), b"</collection></c>") if kind == "xml" else (b"", b"")
    mark = "32101000000000"
    made = pymarc.Record(force_utf8=True)
    made.add_field(pymarc.Field(tag="001", data=mark))
    for tag in range(600, 612):
        made.add_field(
            pymarc.Field(
                tag=str(tag), indicators=blanks, subfields=[pymarc.Subfield(code, "word " * 20) for code in "ax"]
            )
        )
    made.add_field(pymarc.Field(tag="876", indicators=blanks, subfields=[pymarc.Subfield("p", mark)]))
    one: bytes = pymarc.record_to_xml(made) if kind == "xml" else made.as_marc()  # type: ignore[no-untyped-call]
    yield head
    for at in range(count):
        yield one.replace(mark.encode(), str(int(mark) + at).encode())
    yield foot
