"""The extractor: members on disk, each verified, and a manifest of them."""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from books import BARCODE, Members, book_of, checksums, md5, mets, pages, run, tar_gz

from common.archive_names import pages_of
from common.stage import Book, Facts, Redo, Reject
from services.extractor.stage import Extractor

Extract = Callable[..., Facts]
REAL = Path(__file__).parents[3] / "shared" / "data" / "real" / "32044009881525_select.tar.gz"


@pytest.fixture
def extract(folder: Path, make: Callable[..., Extractor]) -> Extract:
    """Runs the extractor on an archive, given as bytes or as members."""

    def run_it(archive: bytes | Members, barcode: str = BARCODE, **options: object) -> Facts:
        before = folder / "decryptor"
        before.mkdir()
        data = archive if isinstance(archive, bytes) else tar_gz(archive)
        (before / f"{barcode}.tar.gz").write_bytes(data)
        return run(make(Extractor, **options), Book(barcode, folder, "", upstream=("decryptor",)))

    return run_it


def on_disk(folder: Path) -> Members:
    """All members that the extractor left."""
    root = folder / "extractor" / "members"
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_every_member_arrives_byte_for_byte(extract: Extract, folder: Path) -> None:
    """What was packed is what lies on disk, and nothing else."""
    book = book_of(pages())
    extract(book)
    assert on_disk(folder) == book
    assert sorted(path.name for path in (folder / "extractor").iterdir()) == ["manifest.json", "members"]


def test_the_manifest_lists_size_and_md5_sorted(extract: Extract, folder: Path) -> None:
    """manifest.json has every member with its size, MD5 and CRC-32, in the order of their names."""
    book = book_of(pages())
    extract(book)
    listed = json.loads((folder / "extractor" / "manifest.json").read_bytes())["members"]
    assert list(listed) == sorted(book)
    wanted = {name: {"size": len(d), "md5": md5(d), "crc32": zlib.crc32(d)} for name, d in book.items()}
    assert listed == wanted


def test_the_facts_say_what_went_in_and_came_out(extract: Extract) -> None:
    """Bytes in and out, the number of members and the archive's SHA-256 go to the ledger."""
    book = book_of(pages())
    archive = tar_gz(book)
    assert extract(archive) == {
        "bytes_in": len(archive),
        "bytes_out": sum(map(len, book.values())),
        "members": len(book),
        "sha256": hashlib.sha256(archive).hexdigest(),
        "fixity": "checksum.md5",
        "warnings": [],
    }


def test_files_are_plain_and_readable(extract: Extract, folder: Path) -> None:
    """Modes come from us and not from the archive."""
    extract(book_of(pages()))
    assert {path.stat().st_mode & 0o7111 for path in (folder / "extractor" / "members").iterdir()} == {0}


@pytest.mark.quirk("members-flat")
def test_a_folder_in_the_archive_is_tolerated(extract: Extract, folder: Path) -> None:
    """Some archives have everything in a folder; the lists in it then speak of their own folder."""
    book = {f"TESTLIB/{name}": data for name, data in book_of(pages()).items()}
    assert extract(book)["warnings"] == []
    assert on_disk(folder) == book


def test_a_leading_dot_slash_is_dropped(extract: Extract, folder: Path) -> None:
    """Members called ./name are those called name."""
    book = book_of(pages())
    extract({f"./{name}": data for name, data in book.items()})
    assert on_disk(folder) == book


@pytest.mark.parametrize(
    "spelling",
    [
        lambda text: text.replace("  ", " *"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "".join(line[:32].upper() + line[32:] for line in text.splitlines(keepends=True)),
        lambda text: text.replace("  ", "  ./"),
        lambda text: text.replace("\n", "\n\n").rstrip(),
    ],
    ids=["binary mark", "CRLF", "upper case", "dot slash", "empty lines"],
)
def test_checksums_may_be_spelt_differently(extract: Extract, spelling: Callable[[str], str]) -> None:
    """Every usual way of writing checksum.md5 is understood."""
    book = book_of(pages())
    book["checksum.md5"] = spelling(book["checksum.md5"].decode()).encode()
    assert extract(book)["warnings"] == []


def test_members_that_no_checksum_covers_are_a_warning(extract: Extract) -> None:
    """A member more than checksum.md5 lists is kept, and told."""
    [warning] = extract({**book_of(pages()), "TESTLIB_notes.txt": b"notes"})["warnings"]
    assert "1 member, the first is 'TESTLIB_notes.txt'" in warning


@pytest.mark.quirk("checksum-md5")
def test_a_wrong_checksum_sends_the_book_back(extract: Extract, folder: Path) -> None:
    """Redo, with the first file and how many there are; nothing is published."""
    book = book_of(pages())
    book |= {"00000002.tif": b"other", "00000003.txt": b"other"}
    with pytest.raises(Redo, match=r"2 of 10 files.*'00000002\.tif'"):
        extract(book)
    assert not (folder / "extractor").exists()


def test_a_listed_member_that_is_missing_sends_the_book_back(extract: Extract) -> None:
    """A name in checksum.md5 without its member is damage too."""
    book = book_of(pages())
    del book["00000002.html"]
    with pytest.raises(Redo, match="1 of 10 files"):
        extract(book)


@pytest.mark.parametrize("text", [b"", b"\n", b"not a checksum\n", b"\xff\xfe\x00\x01"])
def test_a_checksum_list_that_is_none_sends_the_book_back(extract: Extract, text: bytes) -> None:
    """An empty or unreadable checksum.md5 verifies nothing, so it is damage."""
    with pytest.raises(Redo, match=r"checksum\.md5 is damaged"):
        extract({**book_of(pages()), "checksum.md5": text})


@pytest.mark.quirk("no-checksum-md5")
def test_the_mets_stands_in_for_missing_checksums(extract: Extract) -> None:
    """Without checksum.md5 the sizes and MD5s of the METS decide, and a warning says so."""
    book = book_of(pages())
    del book["checksum.md5"]
    facts = extract(book)
    assert facts["fixity"] == "mets"
    assert facts["warnings"] == ["checksum.md5 is missing; the METS stood in."]


def test_a_member_that_differs_from_the_mets_sends_the_book_back(extract: Extract) -> None:
    """The METS is as strict a judge as checksum.md5."""
    book = book_of(pages())
    del book["checksum.md5"]
    with pytest.raises(Redo, match=r"By the METS, 1 of 9 files.*'00000001\.tif'"):
        extract({**book, "00000001.tif": b"other"})


@pytest.mark.quirk("missing-hocr")
def test_old_packages_without_their_listed_hocr_pass(extract: Extract) -> None:
    """hOCR that only the METS knows of is a known defect of old packages and no damage."""
    book = book_of(pages())
    for name in [name for name in book if name.endswith(".html") or name == "checksum.md5"]:
        del book[name]
    assert extract(book)["fixity"] == "mets"


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({}, "no METS that could stand in"),
        ({f"TESTLIB_{BARCODE}.xml": mets({})}, "no checksums either"),
        ({f"TESTLIB_{BARCODE}.xml": b"<broken"}, "not well-formed"),
        ({f"TESTLIB_{BARCODE}.xml": mets({}, prologue="<!DOCTYPE m>")}, "document type"),
    ],
)
def test_a_book_that_nothing_can_verify_is_rejected(extract: Extract, metadata: Members, why: str) -> None:
    """With neither checksum.md5 nor a METS that could stand in, a person must decide."""
    with pytest.raises(Reject, match=why):
        extract({**pages(), **metadata})


def test_a_checksum_list_of_blanks_is_read_quickly(extract: Extract) -> None:
    """A line of three million blanks takes no longer than any other."""
    book = book_of(pages())
    began = time.monotonic()
    with pytest.raises(Redo, match="1 of 1 files is missing"):
        extract({**book, "checksum.md5": b"0" * 32 + b" \t" * 1_500_000 + b"x"})
    assert time.monotonic() - began < 5


def test_a_checksum_list_that_is_too_large_is_rejected(extract: Extract) -> None:
    """No book has a list of 5 MB."""
    with pytest.raises(Reject, match="larger than 4 MiB"):
        extract({**book_of(pages()), "checksum.md5": bytes(5_000_000)})


@pytest.mark.quirk("members-prefixed")
@pytest.mark.parametrize("prefix", ["", f"TESTLIB_{BARCODE}_", f"{BARCODE}_", f"testlib_{BARCODE}_"])
def test_pages_with_and_without_a_prefix(extract: Extract, folder: Path, prefix: str) -> None:
    """Page files with the directory's and the book's name before their number are the same pages."""
    extract(book_of(pages(prefix=prefix)))
    found = pages_of(on_disk(folder), BARCODE)
    assert found.numbers == [1, 2, 3]
    assert [len(kind) for kind in (found.images, found.texts, found.hocr)] == [3, 3, 3]


@pytest.mark.quirk("notes-and-pagedata")
def test_notes_page_data_and_pieces_of_pages_are_members_but_no_pages(extract: Extract, folder: Path) -> None:
    """What some libraries' books have besides their pages is kept byte for byte, and counts as no page."""
    others = [
        "notes.txt",
        f"TESTLIB_{BARCODE}_notes.txt",
        f"TESTLIB_{BARCODE}_pagedata.txt",
        "1_2.txt",
        "00000001_2.txt",
    ]
    book = book_of({**pages(), **dict.fromkeys(others, b"other")})
    assert extract(book)["warnings"] == []
    assert on_disk(folder) == book
    assert list(pages_of(book, BARCODE).texts.values()) == ["00000001.txt", "00000002.txt", "00000003.txt"]


def test_page_numbers_are_written_in_plain_digits() -> None:
    """A name of other digits, or of another book, is no page."""
    odd = [
        "\u0660" * 7 + "\u0661.txt",
        "0000001.txt",
        "000000001.txt",
        "OTHER_00000001.txt",
        "00000001.txt.txt",
        "1.txt",
    ]
    assert pages_of(odd, BARCODE).numbers == []


def test_a_mets_by_another_spelling_is_found(extract: Extract) -> None:
    """The METS is known by the barcode, whatever directory or case stands before it."""
    book = book_of(pages())
    del book["checksum.md5"]
    book[f"{BARCODE}.XML"] = book.pop(f"TESTLIB_{BARCODE}.xml")
    assert extract(book)["fixity"] == "mets"


def test_a_missing_archive_is_made_again(folder: Path, make: Callable[..., Extractor]) -> None:
    """When the decryptor's file has gone, the book goes back."""
    (folder / "decryptor").mkdir()
    with pytest.raises(Redo, match="missing"):
        run(make(Extractor), Book(BARCODE, folder, "", upstream=("decryptor",)))


def test_the_same_archive_gives_the_same_manifest(tmp_path: Path, make: Callable[..., Extractor]) -> None:
    """Two runs leave the same bytes."""
    manifests = []
    for turn in ("first", "second"):
        before = tmp_path / turn / "decryptor"
        before.mkdir(parents=True)
        (before / f"{BARCODE}.tar.gz").write_bytes(tar_gz(book_of(pages())))
        run(make(Extractor), Book(BARCODE, tmp_path / turn, "", upstream=("decryptor",)))
        manifests.append((tmp_path / turn / "extractor" / "manifest.json").read_bytes())
    assert manifests[0] == manifests[1]


def test_wrong_options_are_told_before_the_start(make: Callable[..., Extractor]) -> None:
    """check() has a sentence for each wrong option and none for good ones."""
    assert make(Extractor, max_bytes="2GiB", max_members=5).check() == []
    problems = make(Extractor, max_bytes="lots", max_member=5, max_seconds=0).check()
    assert len(problems) == 3
    assert any("max_member is not known" in problem for problem in problems)


def test_checksums_that_lie_about_themselves_do_not_matter(extract: Extract) -> None:
    """A list cannot hold its own MD5; an archive that tries is sent back, not crashed on."""
    book = book_of(pages())
    book["checksum.md5"] = checksums(book)
    with pytest.raises(Redo):
        extract(book)


@pytest.mark.skipif(not REAL.is_file(), reason="the folder with real pages is not beside the project")
def test_three_real_pages_pass(extract: Extract) -> None:
    """Pages as GRIN delivered them: pax headers, no checksum.md5, gaps in the sequence."""
    facts = extract(REAL.read_bytes(), barcode="32044009881525")
    assert (facts["members"], facts["fixity"]) == (10, "mets")
