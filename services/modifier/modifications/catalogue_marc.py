"""Binary MARC (ISO 2709) by the megabyte: where each barcode's record begins, and one record read from there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import IO
from xml.etree.ElementTree import Element

import pymarc
from pymarc.marcxml import record_to_xml_node

from services.modifier.modifications.catalogue_xml import CHUNK, MOST_RECORD, CatalogueError

_RECORD_END, _FIELD_END, _SUBFIELD, _ESCAPE = b"\x1d", b"\x1e", b"\x1f", b"\x1b"
_LEADER = 24
_ENTRY = 12
# What some exports put between the records.
_BETWEEN = b"\r\n \x00\x1a"


def spot(file: IO[bytes], tag: str, code: str) -> Iterator[tuple[str, int]]:
    """Barcodes with their records' offsets, in the file's order; what is no record is passed over.

    The end mark divides the records, and not their lengths: these have five digits, and are wrong of large records.
    """
    buffer, start = b"", 0
    while chunk := file.read(CHUNK):
        *records, rest = (buffer + chunk).split(_RECORD_END)
        for record in records:
            for key in _keys(record.lstrip(_BETWEEN), tag.encode(), code.encode()):
                yield key, start
            start += len(record) + 1
        buffer = rest
        if len(buffer) > MOST_RECORD:
            raise CatalogueError(f"after {start:,} bytes there is a record of more than {MOST_RECORD >> 20} MiB")
    if buffer.strip(_BETWEEN):
        raise CatalogueError("it ends in the middle of a record")


def _keys(record: bytes, tag: bytes, code: bytes) -> Iterator[str]:
    if not record[12:17].isdigit():
        return
    base = int(record[12:17])
    for at in range(_LEADER, base - _ENTRY, _ENTRY):
        entry = record[at : at + _ENTRY]
        if entry[:3] != tag or len(entry) < _ENTRY or not entry[3:].isdigit():
            continue
        start = base + int(entry[7:])
        field = record[start : start + int(entry[3:7])].rstrip(_FIELD_END)
        values = [part[1:] for part in field.split(_SUBFIELD)[1:] if part[:1] == code] if code else [field]
        yield from filter(None, (value.decode("utf-8", "replace").strip() for value in values))


def first_record(file: IO[bytes]) -> Element:
    """The record that begins where the file stands, as MARCXML has it, its tags without namespaces."""
    data = b""
    while _RECORD_END not in data:
        chunk = file.read(CHUNK >> 4)
        data += chunk
        if not chunk or len(data) > MOST_RECORD:
            raise CatalogueError("it has no end")
    data = data[: data.index(_RECORD_END) + 1].lstrip(_BETWEEN)
    try:
        with warnings.catch_warnings():
            # What is odd about a record is told when it is set right.
            warnings.simplefilter("ignore")
            record = pymarc.Record(data, force_utf8=_is_utf8(data), utf8_handling="replace", hide_utf8_warnings=True)
        node: Element = record_to_xml_node(record)  # type: ignore[no-untyped-call]
    except (pymarc.exceptions.PymarcException, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CatalogueError(f"it is no binary MARC: {type(error).__name__} {error}") from None
    return node


def _is_utf8(data: bytes) -> bool:
    """Whatever the leader says, which is often wrong: MARC-8 has escapes, or is no UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return _ESCAPE not in data
