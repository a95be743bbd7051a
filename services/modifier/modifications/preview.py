"""preview: the cover and a sheet of small pages, as `<BARCODE>.cover.jpg` and `<BARCODE>.contact.jpg`."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

from PIL import Image
from pydantic import Field

from common.archive_names import Pages
from services.modifier.modification import Book, Facts, Members, Modification, Strictness, weigh
from services.modifier.modifications.images import ImageError, small
from services.modifier.modifications.told import mets_of_book, told_pages

_PAPER, _NOTHING = (238, 238, 238), (205, 205, 205)
_GAP = 8
# What stands for the book, the best first.
_FACES = ("FRONT_COVER", "COVER", "TITLE")
_TRIES = 3


class Options(Strictness):
    """Which pictures are made; `cover` and `thumb` are the longest side in pixels, `pages` the most on the sheet."""

    files: Annotated[tuple[Literal["cover", "contact"], ...], Field(min_length=1)] = ("cover", "contact")
    cover: Annotated[int, Field(ge=64, le=2000)] = 800
    thumb: Annotated[int, Field(ge=32, le=320)] = 160
    pages: Annotated[int, Field(ge=1, le=120)] = 40
    columns: Annotated[int, Field(ge=1, le=20)] = 8
    quality: Annotated[int, Field(ge=20, le=95)] = 75


class Preview(Modification):
    """Pictures for people who look at the store; a page image that cannot be shown is a warning."""

    model: ClassVar[type[Options]] = Options

    def writes(self) -> tuple[str, ...]:
        """The endings of the sidecars."""
        return tuple(f"{what}.jpg" for what in Options.model_validate(self.options).files)

    def apply(self, members: Members, book: Book) -> Facts:
        """Write the sidecars that are asked for and can be made."""
        options = Options.model_validate(self.options)
        pages, bad = members.pages, dict[int, str]()
        if not pages.images:
            return {"warnings": weigh(["There is no page image to make a preview of."], self.options)}
        made: dict[str, Image.Image | None] = {}
        if "cover" in options.files:
            made["cover"] = _cover(members, pages, options, bad)
        if "contact" in options.files:
            made["contact"] = _sheet(members, pages, options, bad)
        warnings = weigh(_warnings(pages, bad, made), self.options)
        for what, picture in made.items():
            if picture is not None:
                members.sidecar(f"{book.barcode}.{what}.jpg", _jpeg(picture, options.quality))
        return {"warnings": warnings}


def _cover(members: Members, pages: Pages, options: Options, bad: dict[int, str]) -> Image.Image | None:
    mets, _ = mets_of_book(members)
    told, _ = told_pages(mets, members.barcode)
    tagged = (n for face in _FACES for n, page in told.items() if face in page.tags and n in pages.images)
    for number in [*dict.fromkeys([*tagged, *pages.images])][:_TRIES]:
        picture = _small(members, pages, number, options.cover, bad)
        if picture is not None:
            return picture
    return None


def _sheet(members: Members, pages: Pages, options: Options, bad: dict[int, str]) -> Image.Image | None:
    """Pages at even distances, the first and the last among them; None when not one of them can be shown."""
    numbers = _spread(list(pages.images), options.pages)
    columns, cell = min(options.columns, len(numbers)), options.thumb + _GAP
    sheet = Image.new("RGB", (columns * cell + _GAP, -(-len(numbers) // columns) * cell + _GAP), _PAPER)
    for place, number in enumerate(numbers):
        picture = _small(members, pages, number, options.thumb, bad)
        if picture is None:
            picture = Image.new("RGB", (options.thumb * 2 // 3, options.thumb), _NOTHING)
        left, top = (place % columns) * cell + _GAP, (place // columns) * cell + _GAP
        sheet.paste(picture, (left + (options.thumb - picture.width) // 2, top + options.thumb - picture.height))
    return None if all(number in bad for number in numbers) else sheet


def _spread(numbers: Sequence[int], most: int) -> Sequence[int]:
    if len(numbers) <= most:
        return numbers
    # One page alone is the first.
    return [numbers[place * (len(numbers) - 1) // max(1, most - 1)] for place in range(most)]


def _small(members: Members, pages: Pages, number: int, longest: int, bad: dict[int, str]) -> Image.Image | None:
    if number in bad:
        return None
    try:
        return small(members, pages.images[number], longest)
    except ImageError as error:
        bad[number] = str(error)
        return None


def _warnings(pages: Pages, bad: Mapping[int, str], made: Mapping[str, Image.Image | None]) -> list[str]:
    found = [f"There is no {what}.jpg, for no image that was tried can be shown." for what in made if not made[what]]
    if bad:
        first = min(bad)
        count = "1 page image" if len(bad) == 1 else f"{len(bad)} page images"
        found.append(f"{count} cannot be shown in the preview, the first is {pages.images[first]}, which {bad[first]}.")
    return found


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()
