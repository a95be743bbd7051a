"""What a modification or a package gives back and leaves behind, which may be anybody's, is judged."""

from __future__ import annotations

from pathlib import Path

import pytest
from books import BARCODE, book_of, pages, run
from modifying import acting
from packing import Make, archive_of, extract, left, pack

from common.artifacts import describe_bytes
from common.stage import Book, Redo, Reject
from services.modifier.facts import judged
from services.modifier.members import Members
from services.modifier.packages.package import Artifact, Package
from services.modifier.stage import Modifier

# --- facts ---


@pytest.mark.parametrize(
    ("given_back", "sentence"),
    [
        ("fine", "'fine', and not a mapping"),
        (["a"], "not a mapping"),
        ({1: "a"}, "not a mapping from names"),
        ({"tree": True}, "a fact called tree, which is not its to tell"),
        ({"package": {}, "bytes_out": 1}, "a fact called package and one called bytes_out"),
        ({"sha256": "0", "fixity": "me"}, "sha256"),
        ({"warnings": "The page is odd."}, "'The page is odd.' as warnings, and not a list of sentences"),
        ({"warnings": [{"a": 1}]}, "not a list of sentences"),
        ({"warnings": None}, "not a list of sentences"),
        ({"found": {1, 2}}, "facts that JSON cannot hold"),
        ({"found": float("nan")}, "facts that JSON cannot hold"),
        ({"found": "x" * 200_000}, "bytes of facts; 200,000 are the most"),
    ],
)
def test_facts_that_are_none_are_refused(given_back: object, sentence: str) -> None:
    """In a sentence that names the modification, before anything of it is in the ledger."""
    with pytest.raises(Reject, match=sentence) as caught:
        judged("their_module:Class", given_back)
    assert caught.value.reason.startswith("The modification their_module:Class gave back")


def test_facts_that_are_some_are_taken() -> None:
    """As JSON will have them; none at all is fine."""
    assert judged("a", None) == {}
    assert judged("a", {"words": 3, "warnings": ("odd",), "record": {"title": "T"}}) == {
        "words": 3,
        "warnings": ["odd"],
        "record": {"title": "T"},
    }


def test_an_unexpected_error_names_the_modification(folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ten in a chain it says which; verdicts and the disk's errors go through as they are."""
    errors: dict[type[Exception], Exception] = {
        Redo: Redo("again"),
        OSError: OSError(28, "full"),
        Exception: KeyError("There is no member x."),
    }
    book = extract(folder, make, archive_of(book_of(pages())))
    for kind, error in errors.items():
        modifier = make(Modifier, modifications=[acting(monkeypatch, lambda _, error=error: raised(error))])
        (folder / "work").rmdir() if (folder / "work").exists() else None
        with pytest.raises(kind) as caught:
            run(modifier, book)
        assert (caught.value is error) == (kind is not Exception)
    assert str(caught.value).startswith("the modification modifying:Acts failed: KeyError: ")


def raised(error: Exception) -> None:
    """Raise it."""
    raise error


# --- what is left in the folder ---


class Short(Package):
    """Packs nothing of the book, and leaves more than it says."""

    def pack(self, members: Members, book: Book, outbox: Path) -> Artifact:
        """Write a file, and two others."""
        (outbox / "deep" / "er").mkdir(parents=True)
        (outbox / "empty").mkdir()
        (outbox / "link").symlink_to(outbox / "deep")
        for name in ("short", "more", "deep/er/most"):
            (outbox / name).write_bytes(b"short")
        return describe_bytes(b"short", "short")


class Absent(Package):
    """Says that it has packed what it has not."""

    def pack(self, members: Members, book: Book, outbox: Path) -> Artifact:
        """Write nothing."""
        return describe_bytes(b"absent", "absent")


class Twin(Package):
    """Is called like a sidecar."""

    def pack(self, members: Members, book: Book, outbox: Path) -> Artifact:
        """Write it beside the sidecar, which is in capitals."""
        (outbox / "note.txt").write_bytes(b"twin")
        return describe_bytes(b"twin", "note.txt")


def test_what_nobody_would_take_along_is_removed(folder: Path, make: Make) -> None:
    """It would be kept, synced and carried without a word, and never reach the store."""
    facts = pack(folder, make, book_of(pages()), f"{__name__}:Short")
    assert facts["warnings"] == [
        "3 files were left beside the package that no sidecar is, and removed; the first is 'deep/er/most'."
    ]
    assert [path.name for path in (folder / "modifier").rglob("*")] == ["short"]


@pytest.mark.parametrize("package", ["tree", "bagit", "tar.gz"])
def test_what_belongs_there_stays(folder: Path, make: Make, package: str) -> None:
    """Members in folders, sidecars, and no word of them."""
    book = book_of({**pages(), "deep/er/note.txt": b"note"})
    facts = pack(folder, make, book, package, modifications=["ocr_text"])
    assert facts["warnings"] == []
    assert f"{BARCODE}.txt" in left(folder)
    assert ("deep/er/note.txt" in left(folder)) == (package == "tree")


@pytest.mark.parametrize(
    ("package", "sentence"),
    [("Absent", "has left no file such as it says"), ("Twin", "would be one file in some stores")],
)
def test_a_package_that_is_none_is_rejected(
    folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch, package: str, sentence: str
) -> None:
    """It is not there, or a sidecar is in its place."""
    chain = [acting(monkeypatch, lambda members: members.sidecar("NOTE.txt", b""))]
    with pytest.raises(Reject, match=sentence):
        pack(folder, make, book_of(pages()), f"{__name__}:{package}", modifications=chain)
