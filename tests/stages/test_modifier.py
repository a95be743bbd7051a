"""The modifier: the chain as configured, and a package that is the same for the same book."""

from __future__ import annotations

import gzip
import hashlib
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from books import BARCODE, Members, book_of, pages, run, tar_gz

from common.stage import Book, Facts, Redo
from services.extractor.stage import Extractor
from services.modifier.modification import Members as BookMembers
from services.modifier.modification import Modification
from services.modifier.stage import Modifier

Modify = Callable[..., Facts]


@pytest.fixture
def modify(folder: Path, make: Callable[..., Modifier]) -> Modify:
    """Runs the extractor and then the modifier on a book."""

    def run_it(book: Members, **options: object) -> Facts:
        (folder / "decryptor").mkdir()
        (folder / "decryptor" / f"{BARCODE}.tar.gz").write_bytes(tar_gz(book))
        run(make(Extractor), Book(BARCODE, folder, "", upstream=("decryptor",)))
        return run(make(Modifier, **options), Book(BARCODE, folder, "", upstream=("extractor", "decryptor")))

    return run_it


class Greeting(Modification):
    """Adds, replaces and drops a member, and writes a sidecar."""

    def apply(self, members: BookMembers, book: Book) -> Facts:
        """Use every way there is to change a book."""
        members.add("greeting.txt", b"hello")
        members.replace("00000001.txt", b"replaced")
        members.drop("00000002.txt")
        members.sidecar(f"{book.barcode}.note", members.read("greeting.txt"))
        return {"greeted": True, "warnings": ["greeted"]}


def packed(folder: Path) -> Members:
    """The members of the package."""
    with tarfile.open(folder / "modifier" / f"{BARCODE}.tar.gz") as tar:
        return {header.name: content.read() for header in tar if (content := tar.extractfile(header))}


def test_the_package_holds_googles_members_byte_for_byte(modify: Modify, folder: Path) -> None:
    """All members, unchanged, flat in the package; sidecars beside it."""
    book = book_of(pages())
    modify(book)
    assert packed(folder) == book
    names = sorted(path.name for path in (folder / "modifier").iterdir())
    assert names == [f"{BARCODE}.{end}" for end in ("marc.json", "marc.xml", "tar.gz", "txt")]


def test_headers_say_nothing_of_this_machine(modify: Modify, folder: Path) -> None:
    """The METS, then sorted names; a fixed time and mode, no owner; and a gzip header without time and name."""
    modify(book_of(pages()))
    path = folder / "modifier" / f"{BARCODE}.tar.gz"
    with tarfile.open(path) as tar:
        headers = tar.getmembers()
    mets, *others = (header.name for header in headers)
    assert mets == f"TESTLIB_{BARCODE}.xml"
    assert others == sorted(others)
    facts = {(header.mtime, header.mode, header.uid, header.gid, header.uname, header.gname) for header in headers}
    assert facts == {(315_532_800, 0o644, 0, 0, "", "")}
    assert path.read_bytes()[3:8] == bytes(5)


@pytest.mark.parametrize("level", [1, 2])
def test_other_tools_read_the_package(modify: Modify, folder: Path, level: int) -> None:
    """gzip and tar take it without a word, at each level."""
    modify(book_of(pages(range(1, 30))), level=level)
    path = folder / "modifier" / f"{BARCODE}.tar.gz"
    subprocess.run(["gzip", "--test", path], check=True)
    listing = subprocess.run(["tar", "--list", "--gzip", "--file", path], check=True, capture_output=True, text=True)
    assert (listing.stderr, len(listing.stdout.splitlines())) == ("", 29 * 3 + 2)


def test_the_same_book_gives_the_same_bytes(tmp_path: Path, make: Callable[..., Modifier]) -> None:
    """Two runs, in two places, leave the same package and the same sidecars."""
    left = []
    for turn in ("first", "second"):
        folder = tmp_path / turn
        (folder / "decryptor").mkdir(parents=True)
        (folder / "decryptor" / f"{BARCODE}.tar.gz").write_bytes(tar_gz(book_of(pages())))
        run(make(Extractor), Book(BARCODE, folder, "", upstream=("decryptor",)))
        run(make(Modifier), Book(BARCODE, folder, "", upstream=("extractor",)))
        left.append({path.name: path.read_bytes() for path in (folder / "modifier").iterdir()})
    assert left[0] == left[1]


def test_the_facts_describe_all_that_leaves(modify: Modify, folder: Path) -> None:
    """Name, size and SHA-256 of the package and of each sidecar are in the ledger, with pages, members and bytes."""
    book = book_of(pages())
    facts = modify(book)
    for file in (facts["package"], *facts["sidecars"]):
        data = (folder / "modifier" / file["name"]).read_bytes()
        assert (file["size"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert (facts["pages"], facts["members"], facts["warnings"]) == (3, 11, [])
    assert facts["bytes_in"] == sum(map(len, book.values()))
    assert facts["bytes_out"] == sum(file["size"] for file in (facts["package"], *facts["sidecars"]))
    json.dumps(facts)


def test_without_modifications_there_is_only_the_package(modify: Modify, folder: Path) -> None:
    """An empty chain packs the members and leaves nothing else."""
    assert modify(book_of(pages()), modifications=[])["sidecars"] == []
    assert [path.name for path in (folder / "modifier").iterdir()] == [f"{BARCODE}.tar.gz"]


def test_a_modification_of_ones_own_is_named_by_module_and_class(modify: Modify, folder: Path) -> None:
    """It can add, replace and drop members and write sidecars; its facts and warnings join the others."""
    book = book_of(pages())
    facts = modify(book, modifications=["fixity", f"{__name__}:Greeting", "ocr_text"])
    changed = book | {"greeting.txt": b"hello", "00000001.txt": b"replaced"}
    del changed["00000002.txt"]
    assert packed(folder) == changed
    assert (facts["greeted"], facts["warnings"]) == (True, ["greeted"])
    assert (folder / "modifier" / f"{BARCODE}.note").read_bytes() == b"hello"
    assert (folder / "modifier" / f"{BARCODE}.txt").read_text() == "replaced\f\ftext of page 3\n"


@pytest.mark.parametrize(
    ("modifications", "sentence"),
    [
        (["fixty"], "There is no modification fixty"),
        (["nowhere:Class"], "cannot be imported"),
        (["json:Nothing"], "cannot be imported"),
        (["json:JSONDecoder"], "is no modification"),
        ([{"fixity": {"strikt": True}}], "strikt is not known"),
        ([{"fixity": {"strict": "perhaps"}}], "strict should be a valid boolean"),
        ([{"ocr_text": {"strict": True}}], "strict is not known"),
        ([{"fixity": {}, "marc": {}}], "is written"),
    ],
)
def test_wrong_chains_are_told_before_the_start(
    make: Callable[..., Modifier], modifications: object, sentence: str
) -> None:
    """check() has a sentence for each modification that cannot be."""
    [problem] = make(Modifier, modifications=modifications).check()
    assert sentence in problem


@pytest.mark.parametrize("options", [{"package": "rar"}, {"level": 3}, {"packages": "tar.gz"}])
def test_wrong_options_are_told_before_the_start(make: Callable[..., Modifier], options: dict[str, object]) -> None:
    """check() has a sentence for each wrong option."""
    assert len(make(Modifier, **options).check()) == 1


def test_good_options_have_no_problems(make: Callable[..., Modifier]) -> None:
    """Names, a mapping with options, a mapping without, and a class of one's own are all fine."""
    chain = ["marc", {"fixity": {"strict": True}}, {"ocr_text": None}, f"{__name__}:Greeting"]
    assert make(Modifier, modifications=chain, package="tar.gz", level=2).check() == []
    assert make(Modifier).check() == []


@pytest.mark.parametrize("name", ["../out", "a/../b", "/etc/x", "00000001.tif", "00000001.TIF", ""])
def test_no_modification_can_add_a_bad_name(tmp_path: Path, name: str) -> None:
    """A member that is taken, differs by case only or leads out of the package is an error."""
    members = BookMembers(tmp_path, {}, tmp_path, BARCODE)
    members.add("00000001.tif", b"")
    with pytest.raises(ValueError, match="member"):
        members.add(name, b"")


@pytest.mark.parametrize("name", ["../out", "a/b", ".hidden", f"{BARCODE}.tar.gz", "provenance.json", "taken.txt"])
def test_no_modification_can_write_a_bad_sidecar(tmp_path: Path, name: str) -> None:
    """A sidecar lies flat beside the package and does not replace what else lies there."""
    members = BookMembers(tmp_path, {}, tmp_path, BARCODE)
    members.sidecar("taken.txt", b"")
    with pytest.raises(ValueError, match="sidecar"):
        members.sidecar(name, b"")


def test_what_is_not_there_cannot_be_changed(tmp_path: Path) -> None:
    """Reading, replacing or dropping an unknown member is an error."""
    members = BookMembers(tmp_path, {}, tmp_path, BARCODE)
    for act in (members.read, members.drop, lambda name: members.replace(name, b"")):
        with pytest.raises(KeyError):
            act("unknown")


@pytest.mark.parametrize("damage", ["gone", "longer", "shorter"])
def test_a_package_of_damaged_members_is_not_made(
    modify: Modify, folder: Path, make: Callable[..., Modifier], damage: str
) -> None:
    """Also without fixity in the chain, a member that is not as long as it was sends the book back."""
    modify(book_of(pages()))
    path = folder / "extractor" / "members" / "00000002.tif"
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(data + b"x" if damage == "longer" else data[:-1])
    with pytest.raises(Redo, match=r"00000002\.tif"):
        run(make(Modifier, modifications=[]), Book(BARCODE, folder, "", upstream=("extractor",)))


@pytest.mark.parametrize("text", ["", "[]", '{"members": [1]}', '{"members": {"a": {}}}'])
def test_a_damaged_manifest_sends_the_book_back(
    modify: Modify, folder: Path, make: Callable[..., Modifier], text: str
) -> None:
    """Without a list of what was there, the book is made again."""
    modify(book_of(pages()))
    (folder / "extractor" / "manifest.json").write_text(text)
    with pytest.raises(Redo, match="damaged"):
        run(make(Modifier), Book(BARCODE, folder, "", upstream=("extractor",)))


def test_names_that_ustar_cannot_hold_survive(modify: Modify, folder: Path) -> None:
    """Long and non-ASCII names go through the package by pax headers."""
    book = book_of(pages())
    book |= {"n" * 200 + ".txt": b"long", "märchen.txt": b"umlaut"}
    modify(book)
    assert packed(folder) == book
    assert gzip.decompress((folder / "modifier" / f"{BARCODE}.tar.gz").read_bytes()).count(b"././@PaxHeader") == 2
