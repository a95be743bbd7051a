"""page_index: a row a page with its printed number, tags and image, as `<BARCODE>.pages.csv` and `.pages.json`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from common.mets import Mets
from services.modifier.modification import Book, Facts, Members, Modification, Strictness, weigh
from services.modifier.modifications.told import Told, counted, mets_of_book, told_pages

Row = dict[str, Any]

_UNTOLD = Told(None, ())
_COLUMNS = ("page", "label", "tags", "image", "size", "found_in")


class Options(Strictness):
    """Which of the two files are written."""

    formats: Annotated[tuple[Literal["csv", "json"], ...], Field(min_length=1)] = ("csv", "json")


class PageIndex(Modification):
    """What the METS knows of the pages and what is there, side by side; where they disagree is a warning."""

    model: ClassVar[type[Options]] = Options

    def writes(self) -> tuple[str, ...]:
        """The endings of the sidecars."""
        return tuple(f"pages.{form}" for form in Options.model_validate(self.options).formats)

    def apply(self, members: Members, book: Book) -> Facts:
        """Write the sidecars, unless there are no pages at all."""
        mets, warnings = mets_of_book(members)
        told, more = told_pages(mets, book.barcode)
        rows = list(_rows(members, told))
        options = Options.model_validate(self.options)
        weighed = weigh([*warnings, *more, *(_differences(rows) if mets else [])], self.options)
        if rows and "csv" in options.formats:
            members.sidecar(f"{book.barcode}.pages.csv", _csv(rows))
        if rows and "json" in options.formats:
            members.sidecar(f"{book.barcode}.pages.json", _json(_head(mets, book.barcode), rows))
        return {"warnings": weighed}


def _rows(members: Members, told: Mapping[int, Told]) -> Iterator[Row]:
    pages = members.pages
    there = set(pages.numbers)
    for number in sorted(there | told.keys()):
        page, image = told.get(number, _UNTOLD), pages.images.get(number)
        size = None if image is None else members.size(image)
        found_in = "both" if number in there and number in told else "archive" if number in there else "METS"
        values = (number, page.label, list(page.tags), image, size, found_in)
        yield dict(zip(_COLUMNS, values, strict=True))


def _differences(rows: Sequence[Row]) -> list[str]:
    only = {where: [row["page"] for row in rows if row["found_in"] == where] for where in ("METS", "archive")}
    return [
        *counted("is only in the METS", "are only in the METS", only["METS"]),
        *counted("is only in the archive", "are only in the archive", only["archive"]),
    ]


def _head(mets: Mets | None, barcode: str) -> dict[str, str | None]:
    known = mets or Mets()
    values = {"object_id": known.object_id, "created": known.created, "reading_order": known.reading_order}
    return {"barcode": barcode, **{key: value[:100] or None for key, value in values.items()}}


def _csv(rows: Sequence[Row]) -> bytes:
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({**row, "tags": " ".join(row["tags"])} for row in rows)
    return out.getvalue().encode()


def _json(head: Mapping[str, object], rows: Sequence[Row]) -> bytes:
    """One row a line, so that people can read it and diff it."""
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    opening = json.dumps(head, ensure_ascii=False, indent=1).removesuffix("\n}")
    return f'{opening},\n "pages": [\n{lines}\n]}}\n'.encode()
