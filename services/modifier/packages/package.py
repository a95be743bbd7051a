"""What the author of a package sees: all members of a book, and a folder to put the package into."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from common.artifacts import Artifact
from common.config import FilterRow, Settings
from services.modifier.modification import Book, Members

__all__ = ["Artifact", "Book", "Members", "Package"]


class Package:
    """One form of a book in the store. Subclasses need `pack`.

    `level` is how hard to compress what is compressed; images are not, unless `deflate_images`. `library` is whose
    books they are, by its name at GRIN.
    """

    is_tree: ClassVar[bool] = False
    """True: the artifact is a list, as sha256sum reads it, of files that lie beside it."""

    def __init__(self, level: int = 1, *, deflate_images: bool = False, library: str = "") -> None:
        self.level = level
        self.library = library
        self.deflate_images = deflate_images

    def stores(self, members: Members, name: str) -> bool:
        """Whether a member goes into the package as it is, because it is compressed already."""
        return members.is_image(name) and not self.deflate_images

    def check(self, settings: Settings, row: FilterRow) -> list[str]:  # noqa: ARG002 - most need nothing
        """Sentences on what the configuration lacks for this package."""
        return []

    def pack(self, members: Members, book: Book, outbox: Path) -> Artifact:
        """Write the package into `outbox`, durably but for its name, the same bytes for the same members.

        Members are to be read by `members.chunks`, which is a Redo where the disk has changed them.
        """
        raise NotImplementedError(f"{type(self).__name__} must define pack(self, members, book, outbox).")
