"""What the METS tells of each page, by its number; and whether the text of all pages is of a sane size."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from common.archive_names import pages_of
from common.mets import Mets, MetsError, MetsPage
from services.modifier.modification import Members

# Printed page numbers have a handful of characters, Google's tags two dozen.
_LONGEST = 100
_MOST_TAGS = 50
# Text of 1,500 large pages is 30 MB; more than this is no book's.
_MOST_TEXT = 128 << 20


@dataclass(frozen=True)
class Told:
    """The printed page number, None where there is none, and Google's tags."""

    label: str | None
    tags: tuple[str, ...]


def mets_of_book(members: Members) -> tuple[Mets | None, list[str]]:
    """The METS, or a sentence on why there is none to read."""
    try:
        mets = members.mets
    except MetsError as error:
        return None, [f"The METS cannot be read: {error}."]
    return mets, [] if mets else ["The METS is missing."]


def told_pages(mets: Mets | None, barcode: str) -> tuple[dict[int, Told], list[str]]:
    """What is told of each page by its number, in the order of the METS; and warnings.

    ORDER counts the pages that are there; the number of a page is that of its files.
    """
    told: dict[int, Told] = {}
    again: list[int] = []
    cut: list[int] = []
    structure = mets.structure if mets else []
    number_of = _numbers(mets, barcode) if mets else {}
    for position, page in enumerate(structure, 1):
        files = (number_of[name] for name in page.files if name in number_of)
        number = next(files, page.order if page.order is not None else position)
        if number in told:
            again.append(number)
            continue
        told[number] = Told(_short(page.label) or None, tuple(map(_short, page.tags[:_MOST_TAGS])))
        if _is_long(page):
            cut.append(number)
    return told, [*counted("is told of twice in the METS", "are told of twice in the METS", again), *_cut(cut)]


def counted(one: str, more: str, numbers: Sequence[int]) -> list[str]:
    """`1 page is …` or `7 pages are …, the first is 3.`; nothing where there is none."""
    if not numbers:
        return []
    return [f"{len(numbers)} {f'page {one}' if len(numbers) == 1 else f'pages {more}'}, the first is {numbers[0]}."]


def too_much_text(members: Members) -> list[str]:
    """A sentence when the pages have more text than memory should be spent on."""
    size = sum(members.size(name) for name in members.pages.texts.values())
    if size <= _MOST_TEXT:
        return []
    return [f"The text of the pages has {size:,} bytes, more than any book's; no file is made of it."]


def _numbers(mets: Mets, barcode: str) -> dict[str, int]:
    pages = pages_of({file.name for file in mets.files}, barcode)
    kinds = (pages.images, pages.texts, pages.hocr)
    return {name: number for kind in kinds for number, name in kind.items()}


def _is_long(page: MetsPage) -> bool:
    return max(map(len, (page.label, *page.tags))) > _LONGEST or len(page.tags) > _MOST_TAGS


def _cut(numbers: Sequence[int]) -> list[str]:
    return counted(
        "has a label or tags too long to be true, which are cut",
        "have labels or tags so long that they are cut",
        numbers,
    )


def _short(text: str) -> str:
    plain = (" " if unicodedata.category(char) == "Cc" else char for char in text[:_LONGEST])
    return "".join(plain).strip()
