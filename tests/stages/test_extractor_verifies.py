"""What the extractor takes in: only what checksum.md5 or the METS vouches for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from books import BARCODE, Members, book_of, checksums, md5, mets, pages, run, tar_gz

from common.stage import Book, Facts, Redo, Reject
from services.extractor.stage import Extractor

METS = f"TESTLIB_{BARCODE}.xml"
LIST = "checksum.md5"
Extract = Callable[[Members], Facts]


@pytest.fixture
def extract(folder: Path, make: Callable[..., Extractor]) -> Extract:
    """Runs the extractor on an archive of these members."""

    def run_it(members: Members) -> Facts:
        (folder / "decryptor").mkdir()
        (folder / "decryptor" / f"{BARCODE}.tar.gz").write_bytes(tar_gz(members))
        return run(make(Extractor), Book(BARCODE, folder, "", upstream=("decryptor",)))

    return run_it


def listing(*names: str) -> Members:
    """A book whose checksum.md5 lists only these of its members."""
    book = book_of(pages())
    return {**book, LIST: checksums({name: book[name] for name in names})}


def but_for(*names: str) -> Members:
    """A book whose checksum.md5 lists all members but these."""
    return listing(*(name for name in book_of(pages()) if name not in {*names, LIST}))


@pytest.mark.parametrize("name", ["00000002.tif", "00000002.txt", "00000002.html", METS])
def test_the_mets_vouches_for_what_the_list_passes_over(extract: Extract, name: str) -> None:
    """Any page file, or the METS itself, may be missing in checksum.md5 when the METS has all sums right."""
    facts = extract(but_for(name))
    assert facts["fixity"] == "checksum.md5 and mets"
    assert facts["warnings"] == [f"checksum.md5 does not list 1 file, the first is {name!r}; the METS stood in."]


@pytest.mark.parametrize("name", ["00000002.tif", "00000002.txt", "00000002.html"])
def test_a_changed_page_that_the_list_passes_over_sends_the_book_back(extract: Extract, name: str) -> None:
    """A list of one line does not hide what has become of all other files."""
    with pytest.raises(Redo, match=f"By the METS, 1 of 9 files is missing or changed, beginning with '{name}'"):
        extract({**listing("00000001.tif"), name: b"other"})


BARE = mets(pages()).replace(b"CHECKSUM=", b"WAS=").replace(b"SIZE=", b"HAD=")
WITHOUT_ONE = mets(pages()).replace(md5(pages()["00000002.txt"]).encode(), b"")


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        (None, "no METS that could stand in"),
        (b"<broken", "not well-formed"),
        (b"<a/>", "it is no METS, its root is <a>"),
        (mets({}), "no checksums either"),
        (BARE, "no checksums either"),
        (WITHOUT_ONE, "no checksum of 1 page file, the first is '00000002.txt'"),
    ],
)
@pytest.mark.parametrize("lists", [True, False], ids=["short list", "no list"])
def test_a_page_that_nothing_vouches_for_is_rejected(
    extract: Extract, metadata: bytes | None, why: str, *, lists: bool
) -> None:
    """Whether checksum.md5 is missing or lists one page of three: what cannot be verified is not taken in."""
    book = {**pages(), METS: metadata} if metadata is not None else pages()
    short = {LIST: checksums({"00000001.tif": book["00000001.tif"]})} if lists else {}
    with pytest.raises(Reject, match=why) as refusal:
        extract({**book, **short})
    assert refusal.value.cure.endswith("what cannot be verified is not taken in.")


def test_a_mets_that_nothing_vouches_for_is_rejected(extract: Extract) -> None:
    """Where checksum.md5 lists all pages but not the METS, that must at least know the pages."""
    with pytest.raises(Reject, match=r"does not list 1 file, .*the METS has no checksums either"):
        extract({**but_for(METS), METS: BARE})


def test_a_page_in_a_folder_is_a_page_file_too(extract: Extract) -> None:
    """What is called like a page, wherever it lies, is verified or not taken in."""
    with pytest.raises(Reject, match=r"1 page file, the first is 'notes/00000001\.txt'"):
        extract({**book_of(pages()), "notes/00000001.txt": b"a note"})


def test_a_list_in_a_folder_does_not_shadow_that_at_the_top(extract: Extract) -> None:
    """Every checksum.md5 of the archive counts."""
    book = {**book_of(pages()), "a/x.txt": b"x", "a/checksum.md5": checksums({"x.txt": b"x"})}
    with pytest.raises(Redo, match=r"1 of 11 files .*'00000001\.tif'"):
        extract({**book, "00000001.tif": b"other"})


def test_two_lists_verify_the_book_together(extract: Extract) -> None:
    """Each list speaks of its own folder, and none of them needs a line for itself."""
    book = {**book_of(pages()), "a/x.txt": b"x", "a/checksum.md5": checksums({"x.txt": b"x"})}
    facts = extract(book)
    assert (facts["fixity"], facts["warnings"]) == ("checksum.md5", [])


def test_many_lists_may_be_no_larger_than_one(extract: Extract) -> None:
    """A thousand lists would take a thousand times the memory."""
    with pytest.raises(Reject, match="larger than 4 MiB"):
        extract({**book_of(pages()), **{f"{at}/checksum.md5": bytes(1 << 20) for at in range(4)}})


def test_the_mets_that_is_listed_is_not_shadowed(extract: Extract) -> None:
    """A file that would be taken for the METS, but is not the one that checksum.md5 lists, is not taken in."""
    with pytest.raises(Reject, match=f"first is 'A_{BARCODE}.xml'.*instead of the one that it lists"):
        extract({**book_of(pages()), f"A_{BARCODE}.xml": mets(pages(), marc="")})


@pytest.mark.parametrize("other", [f"A_{BARCODE}.xml", f"a/TESTLIB_{BARCODE}.xml"])
def test_a_file_that_is_no_mets_is_not_taken_for_one(extract: Extract, other: str) -> None:
    """Of several files by the name of a METS the shallowest that is one stands in."""
    book = {**book_of(pages()), other: b"<a/>"}
    del book[LIST]
    assert extract(book)["warnings"] == [
        "checksum.md5 is missing; the METS stood in.",
        f"Without a checksum in the METS and so not verified: 1 member, the first is {other!r}.",
    ]


@pytest.mark.parametrize(
    "spelling",
    [
        lambda text: "\ufeff" + text,
        lambda text: "# by Google\n" + text,
        lambda text: text.replace("  ", " "),
        lambda text: text.replace("  ", "\t"),
        lambda text: text.replace("  ", "\t\t*"),
        lambda text: text.replace("  ", " *./"),
    ],
    ids=["BOM", "comment", "one blank", "tab", "tabs", "binary mark and dot slash"],
)
def test_lists_may_have_what_some_tools_write(extract: Extract, spelling: Callable[[str], str]) -> None:
    """A byte order mark, a comment or another separator than md5sum's is no damage."""
    book = book_of(pages())
    book[LIST] = spelling(book[LIST].decode()).encode()
    assert extract(book)["warnings"] == []


@pytest.mark.parametrize("name", [" lead.txt", "  two.txt", "#1.txt"])
def test_a_name_may_begin_with_a_blank(extract: Extract, name: str) -> None:
    """As md5sum has it, two characters stand between the sum and the name, and all that follows is the name."""
    assert extract(book_of({**pages(), name: b"x"}))["warnings"] == []
