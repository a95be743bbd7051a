"""prune: leaves members out of the package, by patterns."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterator
from typing import ClassVar, Self

from pydantic import model_validator

from common.archive_names import CHECKSUMS
from common.settings import Section
from services.modifier.modification import Book, Facts, Members, Modification


class Options(Section):
    """`drop` what fits one of these patterns, or all but what fits one of `keep`; `{barcode}` stands for the book's."""

    drop: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    update_checksums: bool = True

    @model_validator(mode="after")
    def _has_patterns(self) -> Self:
        if not (self.drop or self.keep):
            raise ValueError("drop or keep should have a pattern, such as *.html")
        if not all(pattern.strip() for pattern in (*self.drop, *self.keep)):
            raise ValueError("drop and keep should have no empty pattern")
        return self


class Prune(Modification):
    """What fits is left out; the METS and checksum.md5 only where `drop` names them."""

    model: ClassVar[type[Options]] = Options

    def apply(self, members: Members, book: Book) -> Facts:
        """Drop the members, and have checksum.md5 tell of those that are left."""
        options = Options.model_validate(self.options)
        had_pages = bool(members.pages.numbers)
        doomed = list(_doomed(members, options, book.barcode))
        size = sum(map(members.size, doomed))
        for name in doomed:
            members.drop(name)
        updated = bool(doomed) and options.update_checksums and members.update_checksums()
        lost = had_pages and not members.pages.numbers
        return {
            "pruned": {"members": len(doomed), "bytes": size},
            "checksums_updated": updated,
            "warnings": ["prune has left nothing of the pages in the package."] if lost else [],
        }


def _doomed(members: Members, options: Options, barcode: str) -> Iterator[str]:
    drop, keep = _filled(options.drop, barcode), _filled(options.keep, barcode)
    fits_drop, fits_keep = _any_of(drop), _any_of(keep)
    guarded = {members.mets_name: f"{barcode}.xml", members.checksums_name: CHECKSUMS}
    for name in members.names():
        if name in guarded:
            named = _any_of([pattern for pattern in drop if pattern.lower().endswith(guarded[name].lower())])
            if named.fullmatch(name):
                yield name
        elif fits_drop.fullmatch(name) or (keep and not fits_keep.fullmatch(name)):
            yield name


def _filled(patterns: Collection[str], barcode: str) -> list[str]:
    return [pattern.replace("{barcode}", barcode) for pattern in patterns]


def _any_of(patterns: Collection[str]) -> re.Pattern[str]:
    """A regular expression that fits what one of the patterns fits, or nothing where there is none."""
    return re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")
