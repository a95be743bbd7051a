"""tree: loose files that sha256sum proves, cheaply laid down, and never over one another."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from books import BARCODE, book_of, done_event, pages
from packing import Changes, changed, left, pack, unpacked

from common.stage import Book, Facts, Redo, Reject
from services.modifier.modification import Members as BookMembers
from services.modifier.modification import Modification
from services.modifier.stage import Modifier
from services.uploader.stage import Uploader

Make = Callable[..., Modifier]
LIST = "manifest-sha256.txt"
CHANGES = f"{Changes.__module__}:{Changes.__name__}"


class Spare(Modification):
    """Writes a sidecar that is not called after the barcode."""

    def apply(self, members: BookMembers, book: Book) -> None:
        """Write it."""
        members.sidecar("spare", b"")


@pytest.mark.parametrize("layout", ["files", "tar"])
def test_sha256sum_proves_the_files(folder: Path, make: Make, layout: str) -> None:
    """Members under their own names, in their folders; sidecars lie beside them and are not in the list."""
    book = book_of(pages()) | {"notes/märchen.txt": b"folder", "empty.txt": b""}
    facts = pack(folder, make, book, "tree", layout, modifications=["ocr_text"])
    root = folder / "modifier"
    done = subprocess.run(["sha256sum", "--check", "--strict", LIST], cwd=root, capture_output=True, check=True)
    assert len(done.stdout.splitlines()) == len(book)
    assert left(folder) == book | {LIST: (root / LIST).read_bytes(), f"{BARCODE}.txt": left(folder)[f"{BARCODE}.txt"]}
    names = [line.split("  ", 1)[1] for line in (root / LIST).read_text().splitlines()]
    assert names == sorted(book)
    sha256 = hashlib.sha256((root / LIST).read_bytes()).hexdigest()
    assert (facts["package"]["name"], facts["package"]["sha256"], facts["tree"]) == (LIST, sha256, True)
    assert facts["bytes_out"] == sum(map(len, left(folder).values()))


def test_what_is_unchanged_is_not_written_again(folder: Path, make: Make) -> None:
    """Such a file gets a second name, under its own or a new one; what was made or changed is written."""
    book = book_of(pages())
    pack(folder, make, book, "tree", modifications=[CHANGES])
    assert unpacked(folder, "tree") == changed(book)
    here, there = folder / "modifier", folder / "extractor" / "members"
    assert (here / "00000001.tif").samefile(there / "00000001.tif")
    assert (here / "renamed" / "third.txt").samefile(there / "00000003.txt")
    assert not (here / "00000001.txt").samefile(there / "00000001.txt")
    assert (there / "00000001.txt").read_bytes() == book["00000001.txt"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("provenance.json", "where provenance.json does"),
        ("Manifest-SHA256.txt", "where manifest-sha256.txt does"),
        ("provenance.json/page.txt", "where provenance.json does"),
        (f"{BARCODE}.TXT", f"where {BARCODE}.txt does"),
        ("spare/page.tif", "where spare does"),
    ],
)
def test_no_member_takes_the_place_of_another_file(folder: Path, make: Make, name: str, sentence: str) -> None:
    """A book with a file that would lie where a sidecar, the list or the provenance does is for a person."""
    chain = ["ocr_text", f"{__name__}:Spare"]
    with pytest.raises(Reject, match=sentence) as caught:
        pack(folder, make, book_of(pages()) | {name: b"x"}, "tree", modifications=chain)
    assert "rename" in caught.value.cure


@pytest.mark.parametrize("loss", ["empty", "gone", "changed"])
def test_what_a_power_cut_takes_is_made_again(folder: Path, make: Make, done: Path, loss: str) -> None:
    """Only the list is synced; a file that is not as it says is a Redo for the uploader, before the list is there."""
    facts = pack(folder, make, book_of(pages()), "tree")
    events = (done_event("modifier", "2026-01-01T00:00:00.000Z", **facts),)
    book = Book(BARCODE, folder, str(done), upstream=("modifier", "extractor"), events=events)
    path = folder / "modifier" / "00000002.html"
    data = path.read_bytes()
    path.unlink()
    if loss != "gone":
        path.write_bytes(b"" if loss == "empty" else data.replace(b"h", b"H", 1))
    with pytest.raises(Redo, match="made again"):
        make(Uploader).process(book, folder)
    assert not (done / BARCODE / LIST).exists()
    path.write_bytes(data)
    stored: Facts = make(Uploader).process(replace(book, attempt=2), folder)
    assert stored["tree_files"] == 11
    subprocess.run(["sha256sum", "--check", "--quiet", LIST], cwd=done / BARCODE, check=True)
    assert not [name for name in os.listdir(done / BARCODE) if name.startswith(".")]
