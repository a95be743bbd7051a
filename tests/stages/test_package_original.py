"""original: Google's own bytes, and a clear word when they cannot be had or would not show what was done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from books import BARCODE, book_of, done_event, pages, run
from packing import ARCHIVE, Changes, archive_of, extract, left, pack

from common.config import Settings
from common.stage import Book, Redo, Reject
from services.modifier.modification import Members as BookMembers
from services.modifier.modification import Modification
from services.modifier.stage import Modifier

Make = Callable[..., Modifier]


class Adds(Modification):
    """Adds a member."""

    def apply(self, members: BookMembers, book: Book) -> None:
        """Add it."""
        members.add("added.txt", b"")


class Replaces(Modification):
    """Gives a member other bytes."""

    def apply(self, members: BookMembers, book: Book) -> None:
        """Replace it."""
        members.replace("00000001.txt", b"other")


class Drops(Modification):
    """Drops a member."""

    def apply(self, members: BookMembers, book: Book) -> None:
        """Drop it."""
        members.drop("00000001.txt")


class Renames(Modification):
    """Gives a member another name."""

    def apply(self, members: BookMembers, book: Book) -> None:
        """Rename it."""
        members.rename("00000001.txt", "1.txt")


class Rewrites(Modification):
    """Gives a member the bytes that it has."""

    def apply(self, members: BookMembers, book: Book) -> None:
        """Replace it by itself."""
        members.replace("00000001.txt", members.read("00000001.txt"))


@pytest.mark.parametrize("layout", ["files", "tar"])
def test_googles_bytes_are_passed_on(folder: Path, make: Make, layout: str) -> None:
    """As the same file, with the sidecars beside it, and described as it is."""
    facts = pack(folder, make, book_of(pages()), "original", layout, modifications=["fixity", "marc", "ocr_text"])
    path = folder / "modifier" / ARCHIVE
    assert path.samefile(folder / "decryptor" / ARCHIVE)
    assert path.read_bytes() == archive_of(book_of(pages()))
    assert sorted(left(folder)) == [f"{BARCODE}.{end}" for end in ("marc.json", "marc.xml", "tar.gz", "txt")]
    assert (facts["package"]["name"], facts["package"]["size"]) == (ARCHIVE, path.stat().st_size)


@pytest.mark.parametrize("change", [Adds, Replaces, Drops, Renames, Changes])
def test_a_book_that_was_changed_is_rejected(folder: Path, make: Make, change: type[Modification]) -> None:
    """Google's archive would not show it; a modification may change one book of many, and the others go on."""
    chain = [f"{change.__module__}:{change.__name__}"]
    with pytest.raises(Reject, match="has changed") as caught:
        pack(folder, make, book_of(pages()), "original", modifications=chain)
    assert "choose another package" in caught.value.cure


@pytest.mark.parametrize("layout", ["files", "tar"])
def test_the_same_bytes_are_no_change(folder: Path, make: Make, layout: str) -> None:
    """A modification that writes what was there has lost nothing."""
    pack(folder, make, book_of(pages()), "original", layout, modifications=[f"{__name__}:Rewrites"])
    assert left(folder)[ARCHIVE] == archive_of(book_of(pages()))


def test_an_archive_that_is_not_the_extracted_one_is_a_redo(folder: Path, make: Make) -> None:
    """By the SHA-256 that the extractor has told the ledger; the nearest stage that told one counts."""
    book = extract(folder, make, archive_of(book_of(pages())), keep_archive=True)
    downloaded = done_event("downloader", "2026-01-01T00:00:00.000Z", sha256="0" * 64)
    book = replace(book, upstream=(*book.upstream, "downloader"), events=(downloaded, *book.events, downloaded))
    run(make(Modifier, package="original", modifications=[]), book)
    (folder / "modifier" / ARCHIVE).unlink()
    (folder / "modifier").rmdir()
    path = folder / "extractor" / ARCHIVE
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1] + b"x")
    with pytest.raises(Redo, match="not the archive that was extracted"):
        run(make(Modifier, package="original", modifications=[]), book)


def test_without_the_archive_or_a_word_on_it_the_book_is_made_again(folder: Path, make: Make) -> None:
    """A book that was extracted before keep_archive was set, and one whose ledger is lost."""
    book = extract(folder, make, archive_of(book_of(pages())), keep_archive=True)
    modifier = make(Modifier, package="original", modifications=[])
    (folder / "first").mkdir()
    with pytest.raises(Redo, match="The ledger does not tell what archive"):
        modifier.process(replace(book, events=()), folder / "first")
    (folder / "extractor" / ARCHIVE).unlink()
    with pytest.raises(Redo, match="is missing"):
        modifier.process(book, folder / "first")


def test_what_it_needs_is_told_before_the_start(settings: Settings, make: Make) -> None:
    """The extractor must keep the archive, and no shipped modification may change members."""
    [problem] = make(Modifier, package="original").check()
    assert "keep_archive: true" in problem
    kept = [
        row.model_copy(update={"options": {"keep_archive": True}}) if row.name == "extractor" else row
        for row in settings.filters
    ]
    settings = settings.model_copy(update={"filters": kept})
    row = settings.row("modifier")

    def complaints(**options: object) -> list[str]:
        options = {"package": "original", **options}
        return Modifier(settings, row.model_copy(update={"options": options})).check()

    assert complaints() == []
    assert complaints(modifications=["fixity", {"marc": {"strict": True}}]) == []
    [problem] = complaints(modifications=["fixity", {"rename": {"to": "{page}.{ext}"}}])[:1]
    assert "what rename would change is lost" in problem
