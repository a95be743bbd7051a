"""fixity: is every member still what Google said it is, and is the book whole?"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

from common.archive_names import Pages, folder_of
from common.errors import Redo, Reject
from common.mets import Comparison, DoctypeError, Mets, MetsError, compare
from services.modifier.modification import Book, Facts, Members, Modification, Strictness, weigh
from services.modifier.modifications.texts import is_utf8

_UNCHECKED = "Ask Google to convert the book anew; what cannot be verified is not taken in."


class Fixity(Modification):
    """Sizes and MD5s in the manifest and in the METS agree, or the book is made again.

    That the disk still has those bytes is proven for every member as it is packed, by its size and CRC-32.

    What is odd about the pages is a warning, with `strict: true` a Reject.
    """

    model: ClassVar[type[Strictness]] = Strictness

    def apply(self, members: Members, book: Book) -> Facts:  # noqa: ARG002 - all modifications get the book
        """Check every member; Redo for damage, Reject for what can never be verified."""
        pages = members.pages
        warnings = [*_against_mets(members, pages), *_page_warnings(members, pages)]
        return {"pages": len(pages.images), "warnings": weigh(warnings, self.options)}


def _against_mets(members: Members, pages: Pages) -> Iterator[str]:
    try:
        mets = members.mets
    except DoctypeError as error:
        raise Reject(
            f"The METS of the book is not safe to read: {error}.", "Look at the archive: is it Google's?"
        ) from None
    except MetsError as error:
        yield _doubt(members, f"The METS cannot be read: {error}.")
        return
    if mets is None:
        yield _doubt(members, "The METS is missing.")
        return
    _require(compare(mets, members.listed, folder_of(members.mets_name or "")), len(mets.files))
    yield from _unchecked(mets)
    yield from _counts(mets, pages)


def _doubt(members: Members, warning: str) -> str:
    if members.checksums_name is None:
        raise Reject(f"{warning} There is no checksum.md5 either.", _UNCHECKED)
    return warning


def _require(found: Comparison, listed: int) -> None:
    wrong = [*found.changed, *found.missing]
    if wrong:
        cure = "Ask Google to convert the book anew, then `grin-pipeline retry` it."
        count = f"{len(wrong)} of {listed} files are missing or not as the METS has them"
        raise Redo(f"By size and MD5, {count}, the first is {wrong[0]!r}.", cure)


def _unchecked(mets: Mets) -> Iterator[str]:
    bare = [file.name for file in mets.files if file.md5 is None]
    if bare or not mets.files:
        first = f", the first is {bare[0]!r:.200}" if bare else ""
        yield f"The METS has no MD5 of {len(bare)} of the {len(mets.files)} files that it lists{first}."


def _counts(mets: Mets, pages: Pages) -> Iterator[str]:
    there = len(pages.images)
    if mets.pages != there:
        yield f"The METS has {mets.pages} pages in its structure, the archive {there} page images."
    if mets.page_count not in {None, there}:
        yield f"The METS counts {mets.page_count} pages, the archive has {there} page images."


def _page_warnings(members: Members, pages: Pages) -> Iterator[str]:
    numbers = pages.numbers
    yield from _gaps(numbers)
    if others := pages.passed_over:
        count = f"{len(others)} {'files are' if len(others) > 1 else 'file is'} called like a page's and no page"
        yield f"{count}, as another is that page or it lies in another folder, the first is {others[0]!r:.200}."
    yield from _lacking("an image", numbers, pages.images)
    yield from _lacking("text", numbers, pages.texts)
    yield from _lacking("hOCR", numbers, pages.hocr)
    yield from _flawed("an image of 0 bytes", [n for n, name in pages.images.items() if not members.size(name)])
    yield from _flawed("text that is not UTF-8", [n for n, name in pages.texts.items() if not is_utf8(members, name)])


def _gaps(numbers: Sequence[int]) -> Iterator[str]:
    if not any(numbers):
        yield "There are no pages at all."
        return
    counted = [number for number in numbers if number > 0]
    if gaps := counted[-1] - len(counted):
        first = next(expected for expected, number in enumerate(counted, 1) if number != expected)
        yield f"{_pages(gaps)} missing from the sequence 1 to {counted[-1]}, the first is {first}."


def _lacking(what: str, numbers: Sequence[int], there: Collection[int]) -> Iterator[str]:
    lacking = [number for number in numbers if number not in there]
    if lacking:
        yield f"{_pages(len(lacking))} without {what}, the first is {lacking[0]}."


def _flawed(what: str, numbers: Sequence[int]) -> Iterator[str]:
    if numbers:
        yield f"{len(numbers)} {'page has' if len(numbers) == 1 else 'pages have'} {what}, the first is {numbers[0]}."


def _pages(count: int) -> str:
    return "1 page is" if count == 1 else f"{count} pages are"
