"""What a modification does to the members: names that cannot be, damage that it has looked into, what is listed."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from books import BARCODE, book_of, pages, run
from hypothesis import given, settings
from hypothesis import strategies as st
from modifying import Desk, acting, files_of, paged_mets
from packing import Make, archive_of, extract, left, pack

from common.stage import Redo, Reject
from services.extractor.headers import Judge
from services.extractor.limits import Limits
from services.modifier.members import Members
from services.modifier.names import Names
from services.modifier.stage import Modifier

METS = f"TESTLIB_{BARCODE}.xml"
IMAGE = "00000001.tif"


# --- damage ---


def peek(members: Members) -> None:
    """Look into an image as one that converts it does."""
    with members.open(IMAGE) as file:
        assert file.read(4)


def converted(members: Members) -> None:
    """Put something made of an image in its place."""
    with members.open(IMAGE) as file:
        members.replace(IMAGE, file.read()[::-1])


def dropped(members: Members) -> None:
    """Put it beside, and take the image away."""
    with members.open(IMAGE) as file:
        members.add("new.tif", file.read()[::-1])
    members.drop(IMAGE)


def moved(members: Members) -> None:
    """The same under another name."""
    members.rename(IMAGE, "old.tif")
    with members.open("old.tif") as file:
        members.replace("old.tif", file.read()[::-1])


def half_read(members: Members) -> None:
    """Give up half-way."""
    next(members.chunks(IMAGE))
    members.drop(IMAGE)


@pytest.mark.parametrize("layout", ["files", "tar"])
@pytest.mark.parametrize("act", [converted, dropped, moved, half_read])
def test_what_was_made_of_a_damaged_member_goes_nowhere(
    folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch, layout: str, act: Callable[[Members], None]
) -> None:
    """Also where the damaged bytes themselves are no longer in the package."""
    book = extract(folder, make, archive_of(book_of(pages())), layout=layout)
    flip(folder, layout)
    with pytest.raises(Redo, match=r"\.tif was damaged on the disk"):
        run(make(Modifier, modifications=[acting(monkeypatch, act)]), book)


@pytest.mark.parametrize("act", [converted, dropped, moved, half_read])
def test_a_sound_member_may_be_made_into_another(
    folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch, act: Callable[[Members], None]
) -> None:
    """What was looked into is proven, and then gone."""
    pack(folder, make, book_of(pages()), "tar.gz", modifications=[acting(monkeypatch, act)])
    assert left(folder)


@pytest.mark.parametrize("package", ["original", "test_mod_given:Short"])
def test_a_package_that_reads_no_member_is_proven_all_the_same(
    folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    """A picture that was made of a damaged page must not lie beside a sound archive."""
    book = extract(folder, make, archive_of(book_of(pages())), keep_archive=True)
    flip(folder, "files")
    modifier = make(Modifier, package=package, modifications=[acting(monkeypatch, peek)])
    with pytest.raises(Redo, match=rf"{IMAGE} was damaged on the disk"):
        run(modifier, book)


def flip(folder: Path, layout: str) -> None:
    """Change one byte of an image where it lies."""
    path = folder / "extractor" / ("members.tar" if layout == "tar" else f"members/{IMAGE}")
    data = path.read_bytes()
    at = data.index(book_of(pages())[IMAGE]) + 9
    path.unlink()
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


# --- the METS and checksum.md5 ---


def test_the_mets_is_the_one_that_is_there_now(tmp_path: Path) -> None:
    """Replaced, dropped or renamed: what a modification sees is what those before it have left, whoever has looked."""
    desk = Desk(tmp_path, {**pages(), METS: paged_mets([('ORDER="1"', files_of(1))])})
    members = desk.members
    assert members.mets is not None
    assert members.mets is members.mets
    assert len(members.mets.structure) == 1
    members.replace(METS, paged_mets([('ORDER="1"', files_of(1)), ('ORDER="2"', files_of(2))]))
    assert len(members.mets.structure) == 2
    members.rename(METS, "elsewhere.xml")
    assert members.mets is None
    members.rename("elsewhere.xml", METS)
    assert len(members.mets.structure) == 2
    members.drop(METS)
    assert members.mets is None


def test_the_pages_are_those_that_are_there_now(tmp_path: Path) -> None:
    """Added, renamed or dropped, whoever has asked before."""
    members = Desk(tmp_path, pages()).members
    assert members.pages is members.pages
    members.add("00000009.tif", b"nine")
    assert list(members.pages.images) == [1, 2, 3, 9]
    members.rename("00000009.tif", "00000008.tif")
    assert list(members.pages.images) == [1, 2, 3, 8]
    members.drop("00000008.tif")
    assert list(members.pages.images) == [1, 2, 3]


def test_of_two_that_could_be_the_mets_it_is_the_one_that_is(tmp_path: Path) -> None:
    """As the extractor has it, which compares with no other."""
    other = f"A_{BARCODE}.xml"
    desk = Desk(tmp_path, {**pages(), other: b"<a/>", METS: paged_mets([('ORDER="1"', files_of(1))])})
    assert desk.members.mets_name == METS
    desk.members.drop(METS)
    assert desk.members.mets_name == other


def test_ones_own_changes_can_be_listed(folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """md5sum finds the package as its checksum.md5 has it."""

    def change(members: Members) -> None:
        members.add("new/note.txt", b"note")
        members.replace("00000001.txt", b"other")
        members.drop("00000002.txt")
        members.rename("00000003.txt", "third.txt")
        assert members.update_checksums()

    pack(folder, make, book_of(pages()), "tar.gz", modifications=[acting(monkeypatch, change)])
    with tarfile.open(folder / "modifier" / f"{BARCODE}.tar.gz") as package:
        package.extractall(folder / "out", filter="data")
    check = ["md5sum", "--check", "--strict", "--quiet", "checksum.md5"]
    assert subprocess.run(check, cwd=folder / "out", check=False).returncode == 0
    assert "new/note.txt" in (folder / "out" / "checksum.md5").read_text()


# --- names ---

_PARTS = st.sampled_from(["a", "A", "b", "ﬁ", "fi", "c.txt"])
_NAMES = st.lists(_PARTS, min_size=1, max_size=3).map("/".join)


@settings(deadline=None, derandomize=True)
@given(st.lists(_NAMES, max_size=6))
def test_members_may_have_the_names_that_an_archive_may_have(names: list[str]) -> None:
    """The extractor and the modifier refuse the same: twins, files that are folders, folders spelt in two ways."""
    judge, kept = Judge(Limits()), Names([])
    for name in names:
        header = tarfile.TarInfo(name)
        try:
            judge.admit(header)
        except Reject:
            with pytest.raises(ValueError, match="A member cannot be called"):
                kept.require_free(name)
            return
        kept.require_free(name)
        kept.add(name)


@settings(deadline=None, derandomize=True)
@given(st.lists(_NAMES, unique=True, max_size=6))
def test_a_name_is_free_again_once_it_is_gone(names: list[str]) -> None:
    """Nothing of a member that was dropped stands in another's way."""
    kept = Names([])
    for name in names:
        kept.require_free(name)
        kept.add(name)
        kept.remove(name)


def test_a_member_may_move_below_its_own_name(tmp_path: Path) -> None:
    """It is no longer where it was; and one that cannot move stays."""
    members = Desk(tmp_path, {"a": b"a", "b": b"b"}).members
    members.rename("a", "a/a")
    with pytest.raises(ValueError, match="in a folder of that name"):
        members.rename("b", "a")
    with pytest.raises(ValueError, match="there is a member 'b' already"):
        members.rename("a/a", "b")
    assert {name: members.read(name) for name in members.names()} == {"a/a": b"a", "b": b"b"}


def test_a_sidecar_that_is_there_is_called_taken(tmp_path: Path) -> None:
    """Also where the names differ by capitals only, and those of packages."""
    members = Desk(tmp_path, {}).members
    members.sidecar(f"{BARCODE}.txt", b"first")
    for name, sentence in {
        f"{BARCODE}.txt": f"{BARCODE}.txt is there already",
        f"{BARCODE}.TXT": f"{BARCODE}.txt is there already",
        f"{BARCODE}.ZIP": "is another file's name",
        "Provenance.json": "is another file's name",
    }.items():
        with pytest.raises(ValueError, match=sentence):
            members.sidecar(name, b"second")
    assert (members.sidecars, (tmp_path / "outbox" / f"{BARCODE}.txt").read_bytes()) == ([f"{BARCODE}.txt"], b"first")


def test_half_a_sidecar_is_none(tmp_path: Path) -> None:
    """When the chunks end in an error nothing is left, and the name is free."""
    members = Desk(tmp_path, {}).members

    def chunks() -> Any:
        yield b"half"
        raise Redo("gone")

    with pytest.raises(Redo):
        members.sidecar("note.txt", chunks())
    members.sidecar("note.txt", [b"who", b"le"])
    assert (tmp_path / "outbox" / "note.txt").read_bytes() == b"whole"
