"""ocr_text: all pages' text as one sidecar, `<BARCODE>.txt`."""

from __future__ import annotations

from collections.abc import Iterator

from common.archive_names import Pages
from services.modifier.modification import Book, Facts, Members, Modification
from services.modifier.modifications.texts import pieces
from services.modifier.modifications.told import too_much_text


class OcrText(Modification):
    """Pages in their sequence with a form feed between them; one without text is empty, bad bytes become U+FFFD."""

    def writes(self) -> tuple[str, ...]:
        """The endings of the sidecars."""
        return ("txt",)

    def apply(self, members: Members, book: Book) -> Facts | None:
        """Write the sidecar, unless the book has no pages at all."""
        pages = members.pages
        if not pages.numbers:
            return None
        if warnings := too_much_text(members):
            return {"warnings": warnings}
        members.sidecar(f"{book.barcode}.txt", _chunks(members, pages))
        return None


def _chunks(members: Members, pages: Pages) -> Iterator[bytes]:
    for place, number in enumerate(pages.numbers):
        yield b"\f" if place else b""
        for piece in pieces(members, pages.texts.get(number)):
            # A form feed inside a page would look like the end of it.
            yield piece.replace("\f", "\n").encode()
