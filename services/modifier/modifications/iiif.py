"""iiif: the book as a IIIF Presentation 3 manifest, `<BARCODE>.iiif.json`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from common.mets import Mets
from services.modifier.modification import Book, Facts, Members, Modification, weigh
from services.modifier.modifications.iiif_labels import english, ranges, told_of_book, unspoken
from services.modifier.modifications.iiif_options import Addresses, Options
from services.modifier.modifications.images import ImageError, Size, size_of
from services.modifier.modifications.told import Told, mets_of_book, told_pages

_CONTEXT = "http://iiif.io/api/presentation/3/context.json"
_TYPES = {"tif": "image/tiff", "tiff": "image/tiff", "jp2": "image/jp2", "jpg": "image/jpeg", "png": "image/png"}
_HOCR = "http://kba.github.io/hocr-spec/1.2/"
# An octavo page at 300 dots an inch, for a book of which no image tells its size.
_USUAL_SIZE = (1600, 2500)
_DIRECTIONS = ("left-to-right", "right-to-left")

Json = dict[str, Any]


class Iiif(Modification):
    """What viewers of digitised books read; an image that does not tell its size is a warning."""

    model: ClassVar[type[Options]] = Options

    def writes(self) -> tuple[str, ...]:
        """The endings of the sidecars."""
        return ("iiif.json",)

    def apply(self, members: Members, book: Book) -> Facts:
        """Write the sidecar, unless there is no page image at all."""
        options = Options.model_validate(self.options)
        if not members.pages.images:
            return {"warnings": weigh(["There is no page image, so there is no IIIF manifest."], self.options)}
        manifest, warnings = _Maker(options, members, book.barcode).manifest()
        weighed = weigh(warnings, self.options)
        text = json.dumps(manifest, ensure_ascii=False, separators=(",", ":"))
        members.sidecar(f"{book.barcode}.iiif.json", f"{text}\n".encode())
        return {"warnings": weighed}


class _Maker:
    """Makes the manifest of one book."""

    def __init__(self, options: Options, members: Members, barcode: str) -> None:
        self.options, self.members, self.barcode = options, members, barcode
        self.at = Addresses(options, barcode)
        self.pages = members.pages

    def manifest(self) -> tuple[Json, list[str]]:
        """The manifest, and what was odd."""
        mets, warnings = mets_of_book(self.members)
        told, more = told_pages(mets, self.barcode)
        sizes, odd = _sizes(self.members)
        whole: Json = {"@context": _CONTEXT, "id": self.at.manifest, "type": "Manifest"}
        whole |= told_of_book(mets, self.barcode)
        whole |= self._frame(mets)
        see_also, missing = self._see_also()
        if see_also:
            whole["seeAlso"] = see_also
        nobody = Told(None, ())
        whole["items"] = [self._canvas(number, told.get(number, nobody), sizes[number]) for number in self.pages.images]
        if structures := list(ranges({number: told.get(number, nobody) for number in self.pages.images}, self.at)):
            whole["structures"] = structures
        return whole, [*warnings, *more, *odd, *missing]

    def _frame(self, mets: Mets | None) -> Json:
        frame: Json = {"behavior": ["paged"]}
        if mets and mets.reading_order in _DIRECTIONS:
            frame["viewingDirection"] = mets.reading_order
        if self.options.rights:
            frame["rights"] = self.options.rights
        if self.options.attribution:
            frame["requiredStatement"] = {"label": english("Attribution"), "value": unspoken(self.options.attribution)}
        cover = f"{self.barcode}.cover.jpg"
        if cover in self.members.sidecars:
            frame["thumbnail"] = [{"id": self.at.file(cover), "type": "Image", "format": "image/jpeg"}]
        return frame

    def _see_also(self) -> tuple[list[Json], list[str]]:
        marc = f"{self.barcode}.marc.xml"
        there = {"marc": marc if marc in self.members.sidecars else None, "mets": self.members.mets_name}
        profiles = {"marc": "http://www.loc.gov/MARC21/slim", "mets": "http://www.loc.gov/METS/"}
        found, missing = [], []
        for what in dict.fromkeys(self.options.see_also):
            name = there[what]
            if name is None:
                missing.append(f"The IIIF manifest does not lead to the {what.upper()}: there is none so far.")
            else:
                link = {"id": self.at.file(name), "type": "Dataset", "label": english(what.upper())}
                found.append({**link, "format": "application/xml", "profile": profiles[what]})
        return found, missing

    def _canvas(self, number: int, told: Told, size: Size) -> Json:
        width, height = size
        canvas = self.at.part("canvas", number)
        label = unspoken(told.label) if told.label else english(f"image {number}")
        whole: Json = {"id": canvas, "type": "Canvas", "label": label, "width": width, "height": height}
        if self.options.ocr and (links := list(self._text(number))):
            whole["seeAlso"] = links
        painting: Json = {"id": f"{canvas}/image", "type": "Annotation", "motivation": "painting"}
        painting |= {"body": self._body(number, size), "target": canvas}
        whole["items"] = [{"id": f"{canvas}/page", "type": "AnnotationPage", "items": [painting]}]
        return whole

    def _body(self, number: int, size: Size) -> Json:
        name = self.pages.images[number]
        address, known = self.at.image(name, number), {"width": size[0], "height": size[1]}
        if self.options.service is None:
            return {"id": address, "type": "Image", "format": _TYPES[name.rpartition(".")[2].lower()], **known}
        if self.options.service == "ImageService3":
            whole, service = "max", {"id": address, "type": "ImageService3", "profile": "level2"}
        else:
            profile = "http://iiif.io/api/image/2/level2.json"
            whole, service = "full", {"@id": address, "@type": "ImageService2", "profile": profile}
        picture: Json = {"id": f"{address}/full/{whole}/0/default.jpg", "type": "Image", "format": "image/jpeg"}
        return {**picture, **known, "service": [service]}

    def _text(self, number: int) -> Iterator[Json]:
        if name := self.pages.texts.get(number):
            yield {"id": self.at.file(name), "type": "Text", "label": english("Text"), "format": "text/plain"}
        if name := self.pages.hocr.get(number):
            link = {"id": self.at.file(name), "type": "Text", "label": english("hOCR"), "format": "text/html"}
            yield {**link, "profile": _HOCR}


def _sizes(members: Members) -> tuple[Mapping[int, Size], list[str]]:
    """The size of each page image in pixels; those that do not tell have the one that most others have."""
    known: dict[int, Size] = {}
    bad: dict[int, str] = {}
    images = members.pages.images
    for number, name in images.items():
        try:
            known[number] = size_of(members, name)
        except ImageError as error:
            bad[number] = str(error)
    usual = Counter(known.values()).most_common(1)[0][0] if known else _USUAL_SIZE
    sizes = {number: known.get(number, usual) for number in images}
    if not bad:
        return sizes, []
    first = min(bad)
    count = "1 page image does not tell its size" if len(bad) == 1 else f"{len(bad)} page images do not tell their size"
    return sizes, [f"{count} to the IIIF manifest, the first is {images[first]}, which {bad[first]}."]
