"""The options of `iiif`, and the addresses that they make."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import AfterValidator

from services.modifier.modification import Strictness
from services.modifier.modifications.templates import checked

# What may stand in an address, percent signs for the rest; templates have braces too.
_ADDRESS = re.compile(r"https?://[A-Za-z0-9.\-_~\[\]:]+(/[A-Za-z0-9\-._~!$&'()*+,;=:@/%]*)?")
# By http: these are names more than links.
_RIGHTS = re.compile(r"http://(creativecommons\.org/(licenses|publicdomain)|rightsstatements\.org/vocab)/\S+")
_SAMPLE = {"base": "https://example.org", "barcode": "b", "name": "00000001.tif", "page": 1}


def _check_base(base: str) -> str:
    if not _ADDRESS.fullmatch(base):
        raise ValueError("should be the address of a folder, such as https://books.example.org/iiif")
    return base.rstrip("/")


def _check_rights(rights: str) -> str:
    if not _RIGHTS.fullmatch(rights):
        raise ValueError("should be an address of creativecommons.org or rightsstatements.org with http:, as IIIF asks")
    return rights


def _check_manifest(template: str) -> str:
    return _address_in(template, {"barcode": "c"})


def _check_page(template: str) -> str:
    return _address_in(template, {"barcode": "c"}, {"name": "00000002.tif", "page": 2})


def _check_file(template: str) -> str:
    return _address_in(template, {"barcode": "c"}, {"name": "00000001.txt"})


def _address_in(template: str, *others: dict[str, object]) -> str:
    checked(template, [_SAMPLE, *({**_SAMPLE, **other} for other in others)])
    if not _ADDRESS.fullmatch(template.format(**_SAMPLE)):
        raise ValueError("should give an address, such as {base}/{barcode}/{name}")
    return template


class Options(Strictness):
    """Where the manifest and what it tells of will be had; templates of {base}, {barcode}, {name} and {page}."""

    base: Annotated[str, AfterValidator(_check_base)]
    manifest: Annotated[str, AfterValidator(_check_manifest)] = "{base}/{barcode}/{barcode}.iiif.json"
    image: Annotated[str, AfterValidator(_check_page)] = "{base}/{barcode}/{name}"
    service: Literal["ImageService2", "ImageService3"] | None = None
    file: Annotated[str, AfterValidator(_check_file)] = "{base}/{barcode}/{name}"
    ocr: bool = False
    see_also: tuple[Literal["marc", "mets"], ...] = ()
    rights: Annotated[str, AfterValidator(_check_rights)] | None = None
    attribution: str = ""


class Addresses:
    """The addresses of one book's things."""

    def __init__(self, options: Options, barcode: str) -> None:
        self._options = options
        self._barcode = quote(barcode, safe="")
        self.manifest = self._fill(options.manifest, f"{barcode}.iiif.json")
        self._root = f"{options.base}/{self._barcode}"

    def image(self, name: str, page: int) -> str:
        """A page's image or, where there is an image service, its service."""
        return self._fill(self._options.image, name, page, safe="" if self._options.service else "/")

    def file(self, name: str) -> str:
        """A member or a sidecar."""
        return self._fill(self._options.file, name)

    def part(self, kind: str, number: int, more: str = "") -> str:
        """What exists only inside the manifest: a canvas, a range, and what belongs to it."""
        return f"{self._root}/{kind}/{number}{more}"

    def _fill(self, template: str, name: str, page: int = 0, safe: str = "/") -> str:
        quoted = quote(name, safe=safe)
        return template.format(base=self._options.base, barcode=self._barcode, name=quoted, page=page)
