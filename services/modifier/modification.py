"""What the author of a modification sees.

    from services.modifier.modification import Modification

    class Greeting(Modification):
        def apply(self, members, book):
            members.add("greeting.txt", b"hello")

Name it in the modifier's options as `package.module:Greeting`, or as `{"package.module:Greeting": {option: value}}`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from common.errors import Reject
from common.options import complaints
from common.settings import Section
from common.stage import Book, Facts
from services.modifier.members import Members

__all__ = ["Book", "Facts", "Members", "Modification", "NoOptions", "Strictness", "weigh"]


class NoOptions(Section):
    """The options of a modification that has none."""


class Strictness(Section):
    """With `strict: true`, what would be a warning rejects the book."""

    strict: bool = False


class Modification:
    """One check or change of a book's members. Subclasses need `apply`, and a `model` if they take options."""

    model: ClassVar[type[Section]] = NoOptions
    base = Path()
    """The configuration's folder, to which relative paths among the options are relative."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options

    def check(self) -> list[str]:
        """Sentences on what is wrong with the options."""
        return complaints(self.model, self.options)

    def writes(self) -> Collection[str]:
        """What follows the barcode's dot in the names of its sidecars, so that no chain writes one twice."""
        return ()

    def apply(self, members: Members, book: Book) -> Facts | None:
        """Do it. The facts go to the ledger; the `warnings` among them, a list of sentences, join all others."""
        raise NotImplementedError(f"{type(self).__name__} must define apply(self, members, book).")


def weigh(warnings: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """Pass warnings on, or Reject the book for them when the options are strict."""
    # There may be other options, which are their own model's to judge.
    if warnings and Strictness(strict=options.get("strict", False)).strict:
        raise Reject(f"By the strict rules: {' '.join(warnings[:5])}", "Take strict away, or leave the book out.")
    return list(warnings)
