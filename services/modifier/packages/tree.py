"""tree: all members as files under their own names, and a list of them."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from common import durable
from common.archive_names import folded
from common.artifacts import describe_bytes
from common.errors import Reject
from common.store_keys import MANIFEST, PROVENANCE
from services.modifier.packages.loose import Hashed, laid
from services.modifier.packages.package import Artifact, Book, Members, Package

_CURE = "Name it anew with the modification rename, leave it out with prune, or choose another package."


class Tree(Package):
    """The members beside `manifest-sha256.txt`, which names each with its SHA-256, as `sha256sum -c` reads it.

    Only that list is synced: the uploader proves every file by it, and has those made again that a power cut took.
    """

    is_tree: ClassVar[bool] = True

    def pack(self, members: Members, book: Book, outbox: Path) -> Artifact:  # noqa: ARG002 - named by its members
        """Lay out the files and write the list."""
        names = members.names()
        _require_free(names, members)
        list_ = "".join(f"{_lay(members, name, outbox / name)}  {name}\n" for name in names).encode()
        durable.write_file(outbox / MANIFEST, list_)
        return describe_bytes(list_, MANIFEST)


def _require_free(names: list[str], members: Members) -> None:
    """Reject when a member would lie where another file of the book does."""
    taken = {folded(name): name for name in (MANIFEST, PROVENANCE, *members.sidecars)}
    for name in names:
        if other := taken.get(folded(name.partition("/")[0])):
            raise Reject(f"The book's file {name} would lie in the store where {other} does.", _CURE)


def _lay(members: Members, name: str, target: Path) -> str:
    """Put one member down; its SHA-256 in hex."""
    chunks = Hashed(laid(members, name, target))
    for _ in chunks:
        pass
    return chunks.sha256
