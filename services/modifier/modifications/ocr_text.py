"""ocr_text: all pages' text as one sidecar, `<BARCODE>.txt`."""

from __future__ import annotations

from services.modifier.modification import Book, Facts, Members, Modification
from services.modifier.modifications.told import too_much_text


class OcrText(Modification):
    """Pages in their sequence with a form feed between them; one without text is empty, bad bytes become U+FFFD."""

    def apply(self, members: Members, book: Book) -> Facts | None:
        """Write the sidecar, unless the book has no pages at all."""
        pages = members.pages
        if not pages.numbers:
            return None
        if warnings := too_much_text(members):
            return {"warnings": warnings}
        texts = (_text(members, pages.texts.get(number)) for number in pages.numbers)
        members.sidecar(f"{book.barcode}.txt", "\f".join(texts).encode())
        return None


def _text(members: Members, name: str | None) -> str:
    if name is None:
        return ""
    # A form feed inside a page would look like the end of it.
    return members.read(name).decode("utf-8", "replace").replace("\f", "\n")
