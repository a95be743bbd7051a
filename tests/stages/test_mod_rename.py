"""rename, and members that have been renamed: the bytes stay, the names fit together, nothing is overwritten."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from books import BARCODE, Members, book_of, checksums, pages
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from modifying import Desk

from common.archive_names import folded
from common.errors import Reject
from services.modifier.modifications.rename import Rename

OBJECT = f"TESTLIB_{BARCODE}"
METS, SUMS = f"{OBJECT}.xml", "checksum.md5"
BOOK = book_of(pages())


def renamed(folder: Path, files: Members = BOOK, **options: Any) -> tuple[Desk, Mapping[str, Any]]:
    """The book after rename, and its facts."""
    desk, modification = Desk(folder, files), Rename(options)
    assert modification.check() == []
    return desk, modification.apply(desk.members, desk.book)


def read_all(desk: Desk) -> Members:
    """All members with their bytes."""
    return {name: desk.members.read(name) for name in desk.members.names()}


@pytest.mark.parametrize(
    ("options", "new"),
    [
        ({"prefix": "add"}, f"{OBJECT}_00000002.tif"),
        ({"pages": "{object}_{page:08d}{ext}"}, f"{OBJECT}_00000002.tif"),
        ({"pages": "{barcode}_{page:08d}{ext}"}, f"{BARCODE}_00000002.tif"),
        ({"pages": "{page:04d}{ext}"}, "0002.tif"),
        ({"pages": "images/p{page}{ext}"}, "images/p2.tif"),
    ],
)
def test_pages_are_called_as_the_template_says(tmp_path: Path, options: dict[str, Any], new: str) -> None:
    """All page files get their names, with their bytes; other members stay; checksum.md5 fits again."""
    desk, facts = renamed(tmp_path, **options)
    name = {"tif": new, "txt": new.replace(".tif", ".txt"), "html": new.replace(".tif", ".html")}
    expected = {name[old[9:]].replace("2.", f"{old[7]}."): data for old, data in pages().items()}
    expected[METS] = BOOK[METS]
    assert read_all(desk) == {**expected, SUMS: checksums(expected)}
    assert desk.members.names() == sorted([*expected, SUMS])
    assert facts == {"renamed": 9, "checksums_updated": True}


@pytest.mark.quirk("members-prefixed")
def test_a_prefix_can_be_stripped(tmp_path: Path) -> None:
    """Books of libraries with prefixed names become like all others; notes and the METS are no pages."""
    notes = f"{OBJECT}_notes.txt"
    desk, facts = renamed(tmp_path, {**book_of(pages(prefix=f"{OBJECT}_")), notes: b"notes"}, prefix="strip")
    assert desk.members.names() == sorted([*pages(), METS, SUMS, notes])
    assert facts["renamed"] == 9
    assert {name: desk.members.read(name) for name in pages()} == pages()


def test_stripping_undoes_adding(tmp_path: Path) -> None:
    """There and back again are the same members, checksum.md5 included."""
    desk, _ = renamed(tmp_path, prefix="add")
    Rename({"prefix": "strip"}).apply(desk.members, desk.book)
    assert read_all(desk) == BOOK


def test_names_that_fit_already_change_nothing(tmp_path: Path) -> None:
    """checksum.md5 stays as it came."""
    files = {**BOOK, SUMS: BOOK[SUMS].replace(b"  ", b" *")}
    desk, facts = renamed(tmp_path, files, prefix="strip")
    assert read_all(desk) == files
    assert facts == {"renamed": 0, "checksums_updated": False}


def test_checksums_can_stay_as_google_made_them(tmp_path: Path) -> None:
    """With `update_checksums: false` the list has the old names."""
    desk, facts = renamed(tmp_path, prefix="add", update_checksums=False)
    assert (desk.members.read(SUMS), facts["checksums_updated"]) == (BOOK[SUMS], False)


def test_pages_in_a_folder_stay_there(tmp_path: Path) -> None:
    """The template names files, within the folder that they lie in."""
    desk, _ = renamed(tmp_path, {f"book/{name}": data for name, data in BOOK.items()}, prefix="add")
    assert f"book/{OBJECT}_00000001.tif" in desk.members.names()
    assert f"book/{METS}" in desk.members.names()


def test_the_pages_are_found_by_their_new_names(tmp_path: Path) -> None:
    """Modifications that come later see the same pages."""
    desk, _ = renamed(tmp_path, prefix="add")
    assert dict(desk.members.pages.images) == {n: f"{OBJECT}_{n:08d}.tif" for n in (1, 2, 3)}


@pytest.mark.parametrize(
    ("others", "options"),
    [
        ({f"{OBJECT}_00000002.tif": b"twin"}, {"prefix": "strip"}),
        ({f"{OBJECT}_00000002.tif": b"twin"}, {"prefix": "add"}),
        ({"Scan2.TXT": b"in capitals"}, {"pages": "scan{page}{ext}"}),
        ({"10000001.tif": b"its name is wanted"}, {"pages": "1{page:07d}{ext}"}),
    ],
)
def test_two_files_of_one_name_reject_the_book(tmp_path: Path, others: Members, options: dict[str, Any]) -> None:
    """With both names and a cure, and before anything has been renamed."""
    files = {**BOOK, **others}
    desk = Desk(tmp_path, files)
    with pytest.raises(Reject, match="called") as refusal:
        Rename(options).apply(desk.members, desk.book)
    assert "another template" in refusal.value.cure
    assert read_all(desk) == files


def test_a_name_too_long_rejects_the_book(tmp_path: Path) -> None:
    """The template was good, and what it makes of this book is not."""
    with pytest.raises(Reject, match="longer than 255 bytes"):
        renamed(tmp_path, pages="{barcode}" * 20 + "{page}{ext}")


@pytest.mark.parametrize("mets", [None, b"<METS", b"<mets/>"])
def test_a_library_that_nothing_tells_of_rejects_the_book(tmp_path: Path, mets: bytes | None) -> None:
    """A prefix cannot be guessed."""
    files = {**pages(), **({f"{BARCODE}.xml": mets} if mets else {})}
    with pytest.raises(Reject, match="tells the library"):
        renamed(tmp_path, files, prefix="add")


def test_the_library_can_stand_in_the_mets_alone(tmp_path: Path) -> None:
    """A METS may be called by the barcode only."""
    files = {**pages(), f"{BARCODE}.xml": f'<mets OBJID="{OBJECT}"/>'.encode()}
    desk, _ = renamed(tmp_path, files, prefix="add")
    assert f"{OBJECT}_00000001.tif" in desk.members.names()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "pages or prefix should be given, and not both"),
        ({"prefix": "add", "pages": "{page}{ext}"}, "pages or prefix should be given, and not both"),
        ({"prefix": "swap"}, "The option prefix should be 'strip' or 'add'."),
        ({"pages": "{barcode}{ext}"}, "should tell all files apart, and gives 'b.tif' to several"),
        ({"pages": "{page:08d}"}, "should tell all files apart"),
        ({"pages": "{page"}, "should be a template of {barcode}, {object}, {page}, {ext}"),
        ({"pages": "{number}{ext}"}, "should be a template of {barcode}, {object}, {page}, {ext}"),
        ({"pages": "{page.real}{ext}"}, "and not of {page.real}"),
        ({"pages": "{page:x8q}{ext}"}, "should be a template"),
        ({"pages": "../{page}{ext}"}, "what it gives leads out of its folder"),
        ({"pages": "/{page}{ext}"}, "what it gives is absolute"),
        ({"pages": "a\\{page}{ext}"}, "what it gives has a backslash"),
    ],
)
def test_wrong_options_are_told(options: dict[str, Any], problem: str) -> None:
    """Before the first book, and with what there is instead."""
    [found] = Rename(options).check()
    assert problem in found


# --- members that have been renamed ---


def test_a_renamed_member_keeps_its_bytes_size_and_sum(tmp_path: Path) -> None:
    """Only its name is another, and its place among the names."""
    desk = Desk(tmp_path, {"a": b"first", "b": b"second"})
    desk.members.rename("a", "c")
    assert desk.members.names() == ["b", "c"]
    assert (desk.members.read("c"), desk.members.size("c")) == (b"first", 5)
    assert desk.members.md5("c") == hashlib.md5(b"first").hexdigest()
    with pytest.raises(KeyError):
        desk.members.open("a")


@pytest.mark.parametrize("new", ["b", "B", "../c", "c/", "", "c\\d", "x" * 256])
def test_a_bad_or_taken_name_is_refused(tmp_path: Path, new: str) -> None:
    """And everything stays as it was."""
    desk = Desk(tmp_path, {"a": b"first", "b": b"second"})
    with pytest.raises(ValueError, match=r"There is|cannot be called"):
        desk.members.rename("a", new)
    assert read_all(desk) == {"a": b"first", "b": b"second"}


def test_a_member_that_is_not_there_cannot_be_renamed(tmp_path: Path) -> None:
    """Neither one that never was nor one that was dropped."""
    desk = Desk(tmp_path, {"a": b"first"})
    desk.members.drop("a")
    with pytest.raises(KeyError):
        desk.members.rename("a", "b")
    assert desk.members.names() == []


NAMES = st.sampled_from(["a", "b", "c", "A", "d/e"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("rename"), NAMES, NAMES),
        st.tuples(st.sampled_from(["add", "replace"]), NAMES, st.binary(max_size=3)),
        st.tuples(st.just("drop"), NAMES),
    ),
    max_size=12,
)


class Model:
    """What members should do, in a dictionary."""

    def __init__(self, files: Members) -> None:
        self.files = dict(files)

    def rename(self, name: str, new: str) -> None:
        """To a name that no other has."""
        data = self.files[name]
        self.add(new, data, besides=name)
        if new != name:
            del self.files[name]

    def add(self, name: str, data: bytes, besides: str = "") -> None:
        """Under a name that no other has."""
        if folded(name) in {folded(other) for other in self.files if other != besides}:
            raise ValueError
        self.files[name] = data

    def replace(self, name: str, data: bytes) -> None:
        """What is there."""
        _ = self.files[name]
        self.files[name] = data

    def drop(self, name: str) -> None:
        """What is there."""
        del self.files[name]


@given(steps=STEPS)
@hypothesis_settings(max_examples=80, deadline=None)
def test_any_order_of_changes_leaves_the_right_members(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    """Renamed, added, replaced, dropped, in any order and under names used before: as a dictionary would have it."""
    files = {"a": b"1", "b": b"22"}
    desk, model = Desk(tmp_path_factory.mktemp("book"), files), Model(files)
    for verb, *arguments in steps:
        with suppress(KeyError, ValueError):
            getattr(model, verb)(*arguments)
        with suppress(KeyError, ValueError):
            getattr(desk.members, verb)(*arguments)
        assert read_all(desk) == model.files
    assert desk.members.names() == sorted(model.files)
    assert {name: desk.members.size(name) for name in model.files} == {n: len(d) for n, d in model.files.items()}


def test_a_long_book_is_renamed_in_no_time(tmp_path: Path) -> None:
    """The price of a name does not grow with the number of names."""
    desk = Desk(tmp_path, {f"{n:08d}.{ending}": b"" for n in range(1, 1501) for ending in ("tif", "txt", "html")})
    began = time.process_time()
    Rename({"pages": "{barcode}_{page:08d}{ext}"}).apply(desk.members, desk.book)
    assert time.process_time() - began < 1.5
