"""What of a book goes into the store: its package, or the files of its tree, and the sidecars."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from common import workfiles
from common.artifacts import Artifact, describe, describe_bytes
from common.ledger import last
from common.stage import Book, Redo, Reject
from common.store_keys import MANIFEST, PROVENANCE, listed


@dataclass(frozen=True)
class Goods:
    """All that is put for one book."""

    files: list[Artifact]
    """What the ledger names one by one, the package first."""
    tree: list[Artifact]
    """What the package's manifest names; nothing for a package that is one file."""

    @property
    def size(self) -> int:
        """All bytes."""
        return sum(file.size for file in (*self.files, *self.tree))


def goods(book: Book) -> Goods:
    """What the stage before has made, by its own word in the ledger; without that, what lies there."""
    done = last(book.events, "done", stage=book.input.name) or {}
    facts: dict[str, Any] = done.get("facts", {})
    if "package" not in facts:
        return _found(book)
    files = [Artifact(made["name"], made["size"], made["sha256"]) for made in (facts["package"], *_sidecars(facts))]
    return Goods(files, _tree(book, files[0]) if facts.get("tree") else [])


def _sidecars(facts: dict[str, Any]) -> list[dict[str, Any]]:
    return list(facts.get("sidecars", ()))


def _found(book: Book) -> Goods:
    paths = [path for path in sorted(workfiles.files(book.input)) if path.is_file() and not path.is_symlink()]
    if not paths:
        raise Redo(f"There is nothing in {book.input} to upload, so the book is made again.", local=True)
    files = {name: describe(book.input / name, name) for name in (p.relative_to(book.input).as_posix() for p in paths)}
    tree = _tree(book, files[MANIFEST]) if MANIFEST in files else []
    listed = {file.name for file in tree}
    return Goods([file for name, file in files.items() if name not in listed], tree)


def _tree(book: Book, manifest: Artifact) -> list[Artifact]:
    """Every file that the manifest names. Redo when it is damaged, or when one is not there."""
    path = book.input_file(manifest.name)
    data = path.read_bytes()
    if describe_bytes(data, manifest.name) != manifest:
        raise Redo(f"{path} was damaged on the disk, so the book is made again.", local=True)
    return [_member(book, sha256, name) for sha256, name in listed(data)]


def _member(book: Book, sha256: str, name: str) -> Artifact:
    parts = PurePosixPath(name).parts
    if not sha256 or {"/", PROVENANCE, MANIFEST} & set(parts[:1]) or ".." in parts:
        raise Reject(f"{MANIFEST} has a line that names no file of the book: {name[:200]!a}", "See what made it.")
    return Artifact(name, book.input_file(name).stat().st_size, sha256)
