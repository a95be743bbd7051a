"""ocr_jsonl: the text of the pages for text mining, a JSON object a page and line, as `<BARCODE>.ocr.jsonl`."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from common.settings import Section
from services.modifier.modification import Book, Facts, Members, Modification
from services.modifier.modifications.texts import pieces
from services.modifier.modifications.told import Told, mets_of_book, told_pages, too_much_text

# A file name may say that it is page 99,999,999; no book has a tenth of a percent of that.
_MOST_LINES = 100_000
_UNTOLD = Told(None, ())
# JSON allows these three inside a text, and some readers take them for the end of a line.
_ESCAPED = str.maketrans({char: f"\\u{ord(char):04x}" for char in "\x85\u2028\u2029"})
# zlib's way to ask for a gzip header, which then has no time and no name.
_GZIP = 31


class Options(Section):
    """`plain`: a JSON string a line, line n is page n, an empty one in the gaps. `gzip`: compressed."""

    plain: bool = False
    gzip: bool = False


class OcrJsonl(Modification):
    """One line a page, in their order; bytes that are not UTF-8 become U+FFFD."""

    model: ClassVar[type[Options]] = Options

    def writes(self) -> tuple[str, ...]:
        """The endings of the sidecars."""
        return ("ocr.jsonl.gz" if Options.model_validate(self.options).gzip else "ocr.jsonl",)

    def apply(self, members: Members, book: Book) -> Facts:
        """Write the sidecar, unless the book has no pages at all."""
        numbers = members.pages.numbers
        if not numbers:
            return {}
        if warnings := too_much_text(members):
            return {"warnings": warnings}
        options = Options.model_validate(self.options)
        lines, warnings = _plain(members, numbers) if options.plain else _objects(members, numbers)
        chunks = _chunks(members, lines)
        members.sidecar(f"{book.barcode}.{self.writes()[0]}", _gzipped(chunks) if options.gzip else chunks)
        return {"warnings": warnings}


# What stands before a page's text in its line and behind it, and the text's name.
Line = tuple[str, str | None, str]


def _objects(members: Members, numbers: Sequence[int]) -> tuple[Iterator[Line], list[str]]:
    mets, warnings = mets_of_book(members)
    told, more = told_pages(mets, members.barcode)
    texts = members.pages.texts
    lines = (_line(members, number, told.get(number, _UNTOLD), texts) for number in numbers)
    return lines, [*warnings, *more]


def _line(members: Members, number: int, told: Told, texts: Mapping[int, str]) -> Line:
    page = {"barcode": members.barcode, "page": number, "label": told.label, "tags": told.tags}
    return _json({**page, "text": ""}).removesuffix('"}'), texts.get(number), '"}'


def _plain(members: Members, numbers: Sequence[int]) -> tuple[Iterator[Line], list[str]]:
    texts, last = members.pages.texts, numbers[-1]
    warnings = []
    if numbers[0] == 0:
        warnings.append("Page 0 has no line of its own in the plain text lines, which begin with page 1.")
    if last > _MOST_LINES:
        warnings.append(f"There is a page {last}, so that the gaps between the plain text lines are not filled.")
    lines = [number for number in numbers if number] if last > _MOST_LINES else range(1, last + 1)
    return (('"', texts.get(number), '"') for number in lines), warnings


def _chunks(members: Members, lines: Iterator[Line]) -> Iterator[bytes]:
    for before, name, behind in lines:
        yield before.translate(_ESCAPED).encode()
        for piece in pieces(members, name):
            yield _json(piece)[1:-1].translate(_ESCAPED).encode()
        yield f"{behind}\n".encode()


def _gzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    deflate = zlib.compressobj(wbits=_GZIP)
    yield from map(deflate.compress, chunks)
    yield deflate.flush()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
