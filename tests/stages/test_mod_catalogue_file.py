"""catalogue_record: the library's own record, found by its barcode in one large file of MARCXML or binary MARC."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import textwrap
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
from cataloguing import FIELD, NS, Library, binary, catalogue, collection, record
from marc_schema import require_valid

from common.stage import Halt
from services.modifier.modifications.catalogue_index import CatalogueIndex
from services.modifier.modifications.catalogue_xml import CatalogueError, Spotter
from services.modifier.modifications.marcxml import RecordError, cleaned, marcxml

ROOT = Path(__file__).parents[2]
# Behind what a glance at the beginning of a file sees.
FAR = f"<!-- {'far ' * 20_000} -->"


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """A library that has no catalogue yet."""
    yield Library(tmp_path)
    Library.close()


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


@pytest.mark.parametrize("kind", ["xml", "mrc"])
def test_no_book_gets_anothers_record(library: Library, kind: str) -> None:
    """A file that was changed where it lies, and denies it, leads to another's record: better none."""

    def export(first: str, second: str) -> bytes:
        return (
            collection(record(first, first), record(second, second)).encode()
            if kind == "xml"
            else binary(first, first) + binary(second, second)
        )

    library.file(export("A", "B"))
    assert library.ask("A", field=FIELD)[0] == "A"
    before = library.path.stat()
    library.path.write_bytes(export("B", "A"))
    os.utime(library.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    title, [warning] = library.ask("A", field=FIELD)
    assert title is None
    assert "where it should be there is another's" in warning


def test_a_file_that_grows_while_it_is_read_halts(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that is still being written is no catalogue yet."""
    spot = Spotter.spot

    def slowly(spotter: Spotter, file: IO[bytes]) -> Iterator[tuple[str, int]]:
        yield from spot(spotter, file)
        with library.path.open("ab") as more:
            more.write(b"\n")

    library.file(collection(record("A", "1")))
    with monkeypatch.context() as patch:
        patch.setattr(Spotter, "spot", slowly)
        with pytest.raises(Halt, match="was written to while it was read"):
            library.ask("1", field=FIELD)
    assert library.ask("1", field=FIELD)[0] == "A"


def test_no_room_for_the_index_halts(tmp_path: Path) -> None:
    """The folder for temporary files may be full: the sentence names the variable that leads elsewhere."""
    one = binary("A", "32101000000000")
    path = tmp_path / "catalogue.mrc"
    path.write_bytes(b"".join(one.replace(b"32101000000000", b"%d" % (32101000000000 + at)) for at in range(150_000)))
    done = measured(
        """
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
        try:
            index.find("32101000000000")
        except Halt as halt:
            print(halt.reason, halt.cure)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        print(index.find("32101000149999")[1])
        """,
        path,
    )
    assert re.match(r"The index of the catalogue .* cannot be written: .*TMPDIR.*\n1$", done.strip())


def test_a_file_that_goes_away_halts(library: Library) -> None:
    """As when its disk is unmounted under a running stage; the options were fine."""
    library.file(collection(record("A", "1")))
    assert library.ask("1", field=FIELD)[0] == "A"
    library.path.unlink()
    with pytest.raises(Halt, match=r"cannot be read: No such file"):
        library.ask("1", field=FIELD)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The data with a few bytes changed, taken away, put in or doubled."""
    spoiled = bytearray(data)
    for _ in range(rng.randint(1, 6)):
        at, other = rng.randrange(len(spoiled)), rng.randrange(len(spoiled))
        match rng.randrange(4):
            case 0:
                spoiled[at] = rng.randrange(256)
            case 1:
                del spoiled[at : at + rng.randint(1, 20)]
            case 2:
                spoiled[at:at] = rng.randbytes(3)
            case _:
                spoiled[at:at] = spoiled[other : other + 30]
    return bytes(spoiled)


@pytest.mark.parametrize("kind", ["xml", "mrc"])
def test_damage_anywhere_ends_in_a_valid_record_or_a_sentence(tmp_path: Path, kind: str) -> None:
    """Whatever became of the file: a record that is valid, none, one that cannot be read, or a halt."""
    rng = random.Random(kind)
    records = collection(*(record(f"T{at}", str(at)) for at in range(3))).encode()
    whole = records if kind == "xml" else b"".join(binary(f"Té{at}", str(at)) for at in range(3))
    path = tmp_path / "catalogue"
    for _ in range(int(os.environ.get("CATALOGUE_FUZZ", "100"))):
        path.write_bytes(mutated(whole, rng))
        index = CatalogueIndex(path, "876", "p")
        for barcode in "012":
            try:
                found, _ = index.find(barcode)
                if found is not None:
                    require_valid(marcxml(cleaned(found)[0]))
            except (Halt, CatalogueError, RecordError) as error:
                assert str(error)
        index.close()


# --- size ---


def measured(code: str, path: Path, *arguments: str) -> str:
    """What a process of its own prints that has an `index` of a file."""
    head = """
        import re, resource, sys, time
        from pathlib import Path
        from common.errors import Halt
        from services.modifier.modifications.catalogue_index import CatalogueIndex

        index = CatalogueIndex(Path(sys.argv[1]), "876", "p")
    """
    whole = textwrap.dedent(head) + textwrap.dedent(code)
    command = [sys.executable, "-c", whole, path, *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


MEASURE = """
    def peak():
        return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

    before = peak()
    record, count = index.find(sys.argv[2])
    assert record is not None and count == 1, count
    began = time.process_time()
    for barcode in sys.argv[3:]:
        assert index.find(barcode)[1] == 1
    each = (time.process_time() - began) / len(sys.argv[3:])
    print(peak() - before, time.process_time(), each)
"""


@pytest.mark.parametrize("kind", ["xml", "mrc"])
def test_a_large_catalogue_takes_little_memory(tmp_path: Path, kind: str) -> None:
    """The index lies on the disk. CATALOGUE_RECORDS makes the catalogue as large as one likes."""
    count = int(os.environ.get("CATALOGUE_RECORDS", "20000"))
    path = tmp_path / f"catalogue.{kind}"
    with path.open("wb") as file:
        for chunk in catalogue(kind, count):
            file.write(chunk)
    barcodes = [f"{32101000000000 + at}" for at in (count - 1, *range(0, count, count // 50))]
    kib, cpu, each = map(float, measured(MEASURE, path, *barcodes).split())
    size = path.stat().st_size / 1e6
    print(
        f"{kind}: {count} records, {size:.0f} MB: {kib / 1024:.0f} MiB more, {cpu:.1f} s CPU, {each * 1e3:.2f} ms each"
    )
    assert kib < 40 * 1024
    assert each < 0.05
