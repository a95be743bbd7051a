"""marc: the MARC record of the METS as two sidecars, `<BARCODE>.marc.xml` and a flat `<BARCODE>.marc.json`."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from typing import ClassVar
from xml.sax import SAXException

import pymarc

from common.mets import MetsError
from services.modifier.modification import Book, Facts, Members, Modification, Strictness, weigh
from services.modifier.modifications.marcxml import RecordError, cleaned, marcxml

# Characters of one value in the ledger, which has a million records; the sidecar has them whole.
_MOST = 1_000


class Marc(Modification):
    """The catalogue record as the library gave it to Google; a missing one is a warning, by `strict: true` a Reject."""

    model: ClassVar[type[Strictness]] = Strictness

    def writes(self) -> tuple[str, ...]:
        """The endings of the sidecars."""
        return "marc.xml", "marc.json"

    def apply(self, members: Members, book: Book) -> Facts:
        """Write the sidecars, if there is a record; the ledger gets its fields as `record`."""
        fields, warnings = _write(members, book.barcode)
        told = {"record": shortened} if (shortened := _shortened(fields)) else {}
        return {**told, "warnings": weigh(warnings, self.options)}


Fields = dict[str, str | None]


def _write(members: Members, barcode: str) -> tuple[Fields, list[str]]:
    try:
        record = members.mets.record if members.mets else None
    except MetsError as error:
        return {}, [f"The METS cannot be read: {error}."]
    if record is None:
        return {}, ["There is no MARC record in the METS."]
    try:
        clean, oddities = cleaned(record)
        xml = marcxml(clean)
        fields = summary(pymarc.parse_xml_to_array(io.BytesIO(xml))[0])  # type: ignore[no-untyped-call]
    except (RecordError, SAXException, pymarc.exceptions.PymarcException, LookupError, ValueError) as error:
        return {}, [f"The MARC record in the METS cannot be read: {error}."]
    members.sidecar(f"{barcode}.marc.xml", xml)
    members.sidecar(f"{barcode}.marc.json", f"{json.dumps(fields, ensure_ascii=False, indent=1)}\n".encode())
    return fields, oddities


def _shortened(fields: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value if len(value) <= _MOST else f"{value[: _MOST - 1]}…" for key, value in fields.items() if value}


def summary(record: pymarc.Record) -> Fields:
    """The fields that catalogues ask for first; None where the record has nothing, repeated fields joined by commas."""
    fixed = _control(record, "008").ljust(40)
    date2 = _stripped(fixed[11:15])
    numbers = _subfields(record, "035", "a")
    return {
        "control_number": _stripped(_control(record, "001")),
        "date_type": _stripped(fixed[6]),
        "date1": _stripped(fixed[7:11]),
        # 9999 and the like only say that there is no end yet.
        "date2": None if date2 is None or date2.startswith("999") else date2,
        "language": _stripped(fixed[35:38]),
        "lccn": _first(_subfields(record, "010", "a")),
        "lc_call_number": _joined(_subfields(record, "050", "a")),
        "isbn": _joined(_subfields(record, "020", "a")),
        "oclc": _joined(number for number in numbers if number.startswith("(OCoLC)")),
        "title": _first(_subfields(record, "245", "a")),
        "title_remainder": _first(_subfields(record, "245", "b")),
        "author_personal": _first(_subfields(record, "100", "a")),
        "author_corporate": _first(_subfields(record, "110", "a")),
        "author_meeting": _first(_subfields(record, "111", "a")),
        "subjects": _joined(_subfields(record, "650", "a")),
        "genres": _joined(_subfields(record, "655", "a")),
        "notes": _joined(_subfields(record, "500", "a")),
    }


def _control(record: pymarc.Record, tag: str) -> str:
    field = record.get(tag)
    return (field.data or "") if field is not None else ""


def _subfields(record: pymarc.Record, tag: str, code: str) -> list[str]:
    values = (value for field in record.get_fields(tag) for value in field.get_subfields(code))
    return [value.strip() for value in values if value and value.strip()]


def _first(values: list[str]) -> str | None:
    return values[0] if values else None


def _joined(values: Iterable[str]) -> str | None:
    return ", ".join(values) or None


def _stripped(value: str) -> str | None:
    # The fill character stands for what nobody has looked into.
    return value.strip() if value.strip(" |") else None
