"""What a book's ledger tells of the store: which versions were delivered, and whether it is being brought again.

A delivery is an uploader's `done`: its facts name each file with key, size and SHA-256. A book is brought again after
a `renewed` (GRIN has it anew) or a `reseeded` (the store, or the board, lost something).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common.ledger import Event
from common.store_keys import MANIFEST

# The member of an uploader's facts, and of a provenance, that tells which version of the book it is, from 1.
VERSION = "book_version"


@dataclass(frozen=True)
class Stored:
    """One object that should be in the store; size in bytes, SHA-256 in hex, both None where nobody said."""

    key: str
    name: str
    version: int
    size: int | None = None
    sha256: str | None = None
    tree: tuple[int, int] | None = None
    """Of a manifest: how many loose files it names, and their bytes in all; None where nobody said."""


@dataclass(frozen=True)
class Delivery:
    """One upload that was proven; `provenance` is the key of its provenance, empty where the ledger does not say.

    `proof` is the size and SHA-256 of that provenance, both None where the ledger does not say.
    """

    version: int
    files: tuple[Stored, ...]
    provenance: str
    index: int
    """Which of the events it is."""
    proof: tuple[int | None, str | None] = (None, None)
    bucket: str = ""
    """The done bucket that it went to, as a path or URL; empty where the ledger does not say."""

    @property
    def content(self) -> dict[str, tuple[int | None, str | None]]:
        """Size and SHA-256 of each file by its name."""
        return {file.name: (file.size, file.sha256) for file in self.files}


def deliveries(events: Sequence[Event]) -> list[Delivery]:
    """All deliveries of a book, oldest first; what a worker wrote too late counts for nothing."""
    found = []
    for index, event in enumerate(events):
        facts = event.get("facts")
        if event.get("event") != "done" or "late" in event or not isinstance(facts, dict):
            continue
        version = facts.get(VERSION)
        version = version if isinstance(version, int) and version > 0 else 1
        files = tuple(_files(facts, version))
        if files:
            key, bucket = str(facts.get("provenance") or ""), str(facts.get("done_bucket") or "")
            found.append(Delivery(version, files, key, index, _proof(facts), bucket))
    return found


def brought_again(events: Sequence[Event], since: Delivery) -> bool:
    """Whether the book was sent for again after this delivery. What was announced and not moved does not count.

    An announcement whose process was killed before it could say so counts, too: a version beside the held one is
    better than one over it.
    """
    later = events[since.index + 1 :]
    unmoved = {event.get("id") for event in later if event.get("event") == "unchanged" and event.get("id")}
    return any(_sends_for(event) and event.get("id") not in unmoved for event in later)


def _proof(facts: dict[str, Any]) -> tuple[int | None, str | None]:
    size, digest = facts.get("provenance_size"), facts.get("provenance_sha256")
    return (size, digest) if isinstance(size, int) and isinstance(digest, str) else (None, None)


def _tree(facts: dict[str, Any]) -> tuple[int, int] | None:
    count, size = facts.get("tree_files"), facts.get("tree_bytes")
    return (count, size) if isinstance(count, int) and isinstance(size, int) else None


def _sends_for(event: Event) -> bool:
    return event.get("event") in ("renewed", "reseeded")


def _files(facts: dict[str, Any], version: int) -> list[Stored]:
    found = []
    named = facts.get("files")
    for file in named if isinstance(named, list) else ():
        if not isinstance(file, dict) or not isinstance(file.get("key"), str) or not isinstance(file.get("size"), int):
            continue
        name, digest = file.get("name"), file.get("sha256")
        sha256 = digest if isinstance(digest, str) else None
        tree = _tree(facts) if name == MANIFEST else None
        found.append(Stored(file["key"], str(name or file["key"]), version, file["size"], sha256, tree))
    return found
