"""What a IIIF manifest says in words: title, bibliographic facts, and the parts of the book."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax import SAXException

import pymarc

from common.mets import Mets
from services.modifier.modifications.iiif_options import Addresses
from services.modifier.modifications.marc import summary
from services.modifier.modifications.marcxml import RecordError, cleaned, marcxml
from services.modifier.modifications.told import Told

_FACTS = {
    "Author": ("author_personal", "author_corporate", "author_meeting"),
    "Date": ("date1",),
    "Language": ("language",),
    "Subjects": ("subjects",),
    "Call number": ("lc_call_number",),
    "OCLC": ("oclc",),
    "LCCN": ("lccn",),
    "ISBN": ("isbn",),
}
# In cataloguing these only tell what follows.
_PUNCTUATION = " /:;,="
_CHAPTERS = ("FIRST_CONTENT_CHAPTER_START", "CHAPTER_START")
_PARTS = {
    "FRONT_COVER": "Front cover",
    "TITLE": "Title page",
    "COPYRIGHT": "Copyright",
    "TABLE_OF_CONTENTS": "Table of contents",
    "PREFACE": "Preface",
    "INDEX": "Index",
    "REFERENCES": "References",
    "BACK_COVER": "Back cover",
}

Json = dict[str, Any]


def english(text: str) -> Json:
    """Words of ours."""
    return {"en": [text]}


def unspoken(text: str) -> Json:
    """Words out of the book or its record; nobody knows in which language."""
    return {"none": [text]}


def told_of_book(mets: Mets | None, barcode: str) -> Json:
    """Label and metadata of the manifest."""
    fields = _fields(mets)
    names = [fields.get(key) or "" for key in ("title", "title_remainder")]
    title = " : ".join(filter(None, (name.strip(_PUNCTUATION) for name in names)))
    facts = [(label, fields[key]) for label, keys in _FACTS.items() for key in keys if fields.get(key)]
    pairs = [*facts, ("Barcode", barcode)]
    metadata = [{"label": english(label), "value": unspoken(str(value))} for label, value in pairs]
    return {"label": unspoken(title or barcode), "metadata": metadata}


def ranges(pages: Mapping[int, Told], at: Addresses) -> Iterator[Json]:
    """The parts of the book, each with its canvases."""
    parts: list[tuple[str, list[int]]] = []
    current = ""
    for number, told in pages.items():
        begins = next((tag for tag in (*_CHAPTERS, *_PARTS) if tag in told.tags), "")
        if begins in _CHAPTERS:
            where = f"page {told.label}" if told.label else f"image {number}"
            parts.append((f"Chapter that begins on {where}", []))
        elif begins and begins != current:
            parts.append((_PARTS[begins], []))
        # A chapter goes on until something else begins; other parts have only the pages that are marked so.
        current = begins or (current if current in _CHAPTERS else "")
        if current:
            parts[-1][1].append(number)
    for place, (label, numbers) in enumerate(parts, 1):
        items = [{"id": at.part("canvas", number), "type": "Canvas"} for number in numbers]
        yield {"id": at.part("range", place), "type": "Range", "label": english(label), "items": items}


def _fields(mets: Mets | None) -> Mapping[str, str | None]:
    """The record's fields as `marc` has them; none where there is no record to read, which `marc` warns of."""
    if mets is None or mets.record is None:
        return {}
    try:
        record, _ = cleaned(mets.record)
        return summary(pymarc.parse_xml_to_array(io.BytesIO(marcxml(record)))[0])  # type: ignore[no-untyped-call]
    except (RecordError, SAXException, pymarc.exceptions.PymarcException, LookupError, ValueError):
        return {}
