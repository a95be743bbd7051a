"""Which version of a book an upload is: the first, the held one once more, or a new one beside those before.

What is held is never overwritten by another version: a book that was sent for again and came with other bytes gets a
place of its own. One that came with the same bytes is held already, and only that is noted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from common.artifacts import Artifact
from common.deliveries import Delivery, brought_again, deliveries
from common.stage import Book, Facts
from common.store_keys import MANIFEST, PROVENANCE, Keys


@dataclass(frozen=True)
class Version:
    """One version of one book: its number from 1, and the keys of its files."""

    barcode: str
    keys: Keys
    number: int = 1
    supersedes: Delivery | None = None
    """The version before it."""
    unchanged: bool = False
    """The book was brought again, byte for byte as it is held."""
    held: Mapping[str, str] = field(default_factory=dict)
    """Keys that its files have already, by name; of a tree its manifest's, which tells all others."""
    proof: tuple[int | None, str | None] = (None, None)
    """Size and SHA-256 of the provenance that is held, both None where the ledger does not say."""

    def key(self, name: str) -> str:
        """Where in the store a file of this version lies."""
        if name in self.held:
            return self.held[name]
        if manifest := self.held.get(MANIFEST):
            return self.keys.beside(manifest, name)
        return self.keys.of(self.barcode, name, self.number)

    def story(self, events: Sequence[Facts]) -> Sequence[Facts]:
        """The events that tell how this version came: those since the version before it was delivered."""
        return events[self.supersedes.index + 1 :] if self.supersedes else events


def version_of(book: Book, keys: Keys, files: Sequence[Artifact]) -> Version:
    """Which version these files are, by the book's ledger."""
    before = deliveries(book.events)
    if not before or not brought_again(book.events, before[-1]):
        number = before[-1].version if before else 1
        return Version(book.barcode, keys, number, _superseded(before, number))
    same = next((old for old in reversed(_newest(before)) if old.content == _content(files)), None)
    if same is None:
        return Version(book.barcode, keys, max(old.version for old in before) + 1, before[-1])
    # The newest held version, or an older one that Google has gone back to.
    held = {file.name: file.key for file in same.files} | ({PROVENANCE: same.provenance} if same.provenance else {})
    # A delivery that found the provenance in its place tells no proof of it.
    proofs = [old.proof for old in before if old.version == same.version and old.proof[0] is not None]
    proof = proofs[-1] if proofs else same.proof
    return Version(book.barcode, keys, same.version, _superseded(before, same.version), True, held, proof)


def _superseded(before: Sequence[Delivery], number: int) -> Delivery | None:
    """The delivery of the version before, for one that was put already."""
    return next((old for old in reversed(before) if old.version < number), None)


def _newest(before: Sequence[Delivery]) -> list[Delivery]:
    """Of each version what lies in the store: its last delivery."""
    return list({old.version: old for old in before}.values())


def _content(files: Sequence[Artifact]) -> dict[str, tuple[int | None, str | None]]:
    return {file.name: (file.size, file.sha256) for file in files}
