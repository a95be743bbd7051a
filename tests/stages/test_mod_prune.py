"""prune: what fits a pattern stays out of the package, and checksum.md5 tells of what is left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from books import BARCODE, Members, book_of, checksums, pages
from modifying import Desk

from services.modifier.modifications.prune import Prune

METS, SUMS = f"TESTLIB_{BARCODE}.xml", "checksum.md5"
BOOK = book_of(pages())
IMAGES, TEXTS, HOCR = ([f"{n:08d}.{ending}" for n in (1, 2, 3)] for ending in ("tif", "txt", "html"))


def pruned(folder: Path, files: Members = BOOK, **options: Any) -> tuple[Desk, Mapping[str, Any]]:
    """The book after prune, and its facts."""
    desk, modification = Desk(folder, files), Prune(options)
    assert modification.check() == []
    return desk, modification.apply(desk.members, desk.book)


def read_all(desk: Desk) -> Members:
    """All members that are left, with their bytes."""
    return {name: desk.members.read(name) for name in desk.members.names()}


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"drop": ["*.html"]}, [*IMAGES, *TEXTS, METS, SUMS]),
        ({"drop": ["*.html", "*.txt"]}, [*IMAGES, METS, SUMS]),
        ({"keep": ["*.txt"]}, [*TEXTS, METS, SUMS]),
        ({"keep": ["0000000[12].*"], "drop": ["*.html"]}, [*IMAGES[:2], *TEXTS[:2], METS, SUMS]),
        ({"drop": ["00000002.tif"]}, [IMAGES[0], IMAGES[2], *TEXTS, *HOCR, METS, SUMS]),
        ({"drop": ["*.HTML"]}, list(BOOK)),
        ({"drop": ["*"]}, [METS, SUMS]),
        ({"drop": ["*.xml", "*.md5"]}, list(BOOK)),
        ({"drop": ["*.html", "*_{barcode}.xml"]}, [*IMAGES, *TEXTS, SUMS]),
        ({"drop": [METS]}, [*IMAGES, *TEXTS, *HOCR, SUMS]),
        ({"drop": ["checksum.md5"]}, [*IMAGES, *TEXTS, *HOCR, METS]),
        ({"keep": ["*.tif"], "drop": ["checksum.md5"]}, [*IMAGES, METS]),
    ],
)
def test_patterns_say_what_goes(tmp_path: Path, options: dict[str, Any], left: list[str]) -> None:
    """The METS and checksum.md5 go only where `drop` names them, and never for a star."""
    desk, facts = pruned(tmp_path, **options)
    assert desk.members.names() == sorted(left)
    gone = set(BOOK) - set(left)
    assert facts["pruned"] == {"members": len(gone), "bytes": sum(len(BOOK[name]) for name in gone)}


def test_what_stays_is_untouched(tmp_path: Path) -> None:
    """Every member that is left has its bytes, but for checksum.md5, which fits again."""
    desk, facts = pruned(tmp_path, drop=["*.html"])
    left = {name: data for name, data in BOOK.items() if not name.endswith(".html") and name != SUMS}
    assert read_all(desk) == {**left, SUMS: checksums(left)}
    assert facts["checksums_updated"] is True
    assert desk.members.md5(SUMS) != Desk(tmp_path / "other", BOOK).members.md5(SUMS)


def test_checksums_can_stay_as_google_made_them(tmp_path: Path) -> None:
    """With `update_checksums: false` the list tells of files that are not there."""
    desk, facts = pruned(tmp_path, drop=["*.html"], update_checksums=False)
    assert desk.members.read(SUMS) == BOOK[SUMS]
    assert facts["checksums_updated"] is False


def test_nothing_to_prune_changes_nothing(tmp_path: Path) -> None:
    """checksum.md5 stays as it came, in whatever way it is written."""
    files = {**BOOK, SUMS: BOOK[SUMS].replace(b"  ", b" *")}
    desk, facts = pruned(tmp_path, files, drop=["*.pdf"])
    assert read_all(desk) == files
    assert facts == {"pruned": {"members": 0, "bytes": 0}, "checksums_updated": False, "warnings": []}


def test_a_book_without_checksums_gets_none(tmp_path: Path) -> None:
    """There is nothing to rewrite, and the facts say so."""
    desk, facts = pruned(tmp_path, pages(), drop=["*.html"])
    assert desk.members.names() == sorted([*IMAGES, *TEXTS])
    assert facts["checksums_updated"] is False


def test_what_was_added_is_listed(tmp_path: Path) -> None:
    """Members of earlier modifications are in the package, and so in its checksum.md5."""
    desk = Desk(tmp_path, BOOK)
    desk.members.add("note.txt", b"ours")
    desk.members.replace("00000001.txt", b"better")
    Prune({"drop": ["*.html"]}).apply(desk.members, desk.book)
    rest = {name: data for name, data in read_all(desk).items() if name != SUMS}
    assert rest["note.txt"] == b"ours"
    assert desk.members.read(SUMS) == checksums(rest)


def test_a_list_in_a_folder_tells_of_its_folder(tmp_path: Path) -> None:
    """Names in the list begin where the list lies."""
    inside = {f"book/{name}": data for name, data in BOOK.items()}
    desk, _ = pruned(tmp_path, {**inside, "beside.txt": b"beside"}, drop=["book/*.html"])
    left = {name: data for name, data in BOOK.items() if not name.endswith(".html") and name != SUMS}
    assert desk.members.read(f"book/{SUMS}") == checksums(left)


def test_no_pages_left_is_a_warning(tmp_path: Path) -> None:
    """A pattern with a slip in it could otherwise empty a library unnoticed."""
    _, facts = pruned(tmp_path, keep=["*.tiff"])
    assert facts["warnings"] == ["prune has left nothing of the pages in the package."]


def test_a_book_that_had_no_pages_lost_none(tmp_path: Path) -> None:
    """Nothing was taken from it."""
    _, facts = pruned(tmp_path, {"note.txt": b""}, drop=["*"])
    assert (facts["warnings"], facts["pruned"]["members"]) == ([], 1)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "drop or keep should have a pattern, such as *.html."),
        ({"drop": []}, "drop or keep should have a pattern, such as *.html."),
        ({"drop": [" "]}, "drop and keep should have no empty pattern."),
        ({"drop": "*.html"}, "The option drop should be a list, as in [a, b]."),
        ({"patterns": ["*"]}, "The option patterns is not known; there are drop, keep, update_checksums."),
    ],
)
def test_wrong_options_are_told(options: dict[str, Any], problem: str) -> None:
    """A list without patterns is a slip, and not a wish to keep all."""
    [found] = Prune(options).check()
    assert found.endswith(problem)
