"""Catalogues of records in every form that a library may have them in, and books that ask for theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pymarc
from books import BARCODE
from marc_schema import require_valid
from modifying import Desk

from services.modifier.modifications import catalogue_record
from services.modifier.modifications.catalogue_record import CatalogueRecord

LEADER = "00000cam a2200000 a 4500"
NS = "http://www.loc.gov/MARC21/slim"
FIELD = "876$p"


def record(title: str, *barcodes: str, prefix: str = "") -> str:
    """A record with items, as MARCXML."""
    items = "".join(
        f'<{prefix}datafield tag="876" ind1=" " ind2=" "><{prefix}subfield code="0">22</{prefix}subfield>'
        f'<{prefix}subfield code="p">\n {barcode} </{prefix}subfield></{prefix}datafield>'
        for barcode in barcodes
    )
    return (
        f'<{prefix}record><{prefix}leader>{LEADER}</{prefix}leader><{prefix}controlfield tag="001">{title}'
        f'</{prefix}controlfield><{prefix}datafield tag="245" ind1="0" ind2="0"><{prefix}subfield code="a">{title}'
        f"</{prefix}subfield></{prefix}datafield>{items}</{prefix}record>"
    )


def collection(*records: str, prologue: str = '<?xml version="1.0" encoding="UTF-8"?>') -> str:
    """A document of records; both ways to say the namespace stand at its top."""
    return f'{prologue}\n<collection xmlns="{NS}" xmlns:marc="{NS}">\n{chr(10).join(records)}\n</collection>\n'


def binary(title: str, *barcodes: str, **of_record: Any) -> bytes:
    """A record with items, as binary MARC."""
    made = pymarc.Record(**{"force_utf8": True, "leader": LEADER, **of_record})
    made.add_field(pymarc.Field(tag="001", data=title))
    blanks = pymarc.Indicators(" ", " ")
    made.add_field(pymarc.Field(tag="245", indicators=blanks, subfields=[pymarc.Subfield("a", title)]))
    for barcode in barcodes:
        subfields = [pymarc.Subfield("0", "22"), pymarc.Subfield("p", barcode)]
        made.add_field(pymarc.Field(tag="876", indicators=blanks, subfields=subfields))
    return bytes(made.as_marc())


def title_of(desk: Desk) -> str | None:
    """The title in the sidecar, which must be valid; None when there is no sidecar."""
    if "catalogue.xml" not in desk.sidecars():
        return None
    require_valid(desk.sidecars()["catalogue.xml"])
    return fromstring(desk.sidecars()["catalogue.xml"]).findtext(f".//{{{NS}}}datafield[@tag='245']/{{{NS}}}subfield")


class Library:
    """A catalogue, and books whose records are looked for in it one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "catalogue"
        self._books = 0

    def file(self, content: str | bytes) -> Path:
        """Put the catalogue in place as one file, by a rename."""
        new = self.folder / "new"
        new.write_bytes(content if isinstance(content, bytes) else content.encode())
        new.replace(self.path)
        return self.path

    def files(self, files: dict[str, str]) -> Path:
        """Put the catalogue in place as a folder."""
        self.path.mkdir()
        for name, content in files.items():
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            (self.path / name).write_text(content)
        return self.path

    def ask(self, barcode: str = BARCODE, **options: Any) -> tuple[str | None, list[str]]:
        """The title that is found for a book, and the warnings."""
        self._books += 1
        desk = Desk(self.folder / f"book{self._books}", {}, barcode)
        warnings = desk.apply(CatalogueRecord, path=str(self.path), **options)
        return title_of(desk), warnings

    @staticmethod
    def close() -> None:
        """Forget all catalogues, as a worker does that ends."""
        for index in catalogue_record._INDEXES.values():
            index.close()
        catalogue_record._INDEXES.clear()
        catalogue_record._FINE.clear()

    def problems(self, **options: Any) -> list[str]:
        """What check() says."""
        return CatalogueRecord({"path": str(self.path), **options}).check()


def catalogue(kind: str, count: int) -> Iterator[bytes]:
    """An export of so many records, 3 kB each as XML."""
    blanks = pymarc.Indicators(" ", " ")
    head, foot = (f'<c xmlns="{NS}"><collection>\n'.encode(), b"</collection></c>") if kind == "xml" else (b"", b"")
    mark = "32101000000000"
    made = pymarc.Record(force_utf8=True)
    made.add_field(pymarc.Field(tag="001", data=mark))
    for tag in range(600, 612):
        made.add_field(
            pymarc.Field(
                tag=str(tag), indicators=blanks, subfields=[pymarc.Subfield(code, "word " * 20) for code in "ax"]
            )
        )
    made.add_field(pymarc.Field(tag="876", indicators=blanks, subfields=[pymarc.Subfield("p", mark)]))
    one: bytes = pymarc.record_to_xml(made) if kind == "xml" else made.as_marc()  # type: ignore[no-untyped-call]
    yield head
    for at in range(count):
        yield one.replace(mark.encode(), str(int(mark) + at).encode())
    yield foot
