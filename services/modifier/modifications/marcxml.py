"""MARC records set right, so that what is written of them is valid by the MARC 21 slim schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from common.mets import MARC_NAMESPACE

# What the schema takes. Its \d means the digits of all scripts; MARC means these ten.
_LEADER = re.compile(r"[0-9 ]{5}[0-9A-Za-z ][0-9A-Za-z][0-9A-Za-z ]{3}[2 ]{2}[0-9 ]{5}[0-9A-Za-z ]{3}(4500|    )")
_CONTROL_TAG = re.compile(r"00[1-9A-Za-z]")
_DATA_TAG = re.compile(r"0[1-9A-Z][0-9A-Z]|0[1-9a-z][0-9a-z]|[1-9A-Z][0-9A-Z]{2}|[1-9a-z][0-9a-z]{2}")
_INDICATOR = re.compile(r"[0-9a-z ]")
_CODE = re.compile(r"[!-~]")
_NO_CODE = "@|"
# Nothing is known of the record but that it is one of MARC 21, of a single text.
_NEUTRAL = "00000nam a2200000   4500"
# What XML cannot hold, and what was meant for terminals and card punches; newlines come from the METS' own layout.
_FOREIGN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_LINE_BREAKS = re.compile(r"[\r\n]+")
_TYPES = frozenset({"Bibliographic", "Authority", "Holdings", "Classification", "Community"})


class RecordError(Exception):
    """There is no valid record in it; the message says why."""


def cleaned(record: Element) -> tuple[Element, list[str]]:
    """A valid record with all that can be kept of this one, whose tags have no namespaces; and what was set right.

    RecordError when no field is left.
    """
    clean, oddities = Element("record"), []
    if (kind := record.get("type")) in _TYPES:
        clean.set("type", str(kind))
    leader, oddity = _leader(record)
    SubElement(clean, "leader").text = leader
    lost: list[str] = []
    clean.extend(_control_fields(record, lost))
    clean.extend(_data_fields(record, lost))
    if len(clean) == 1 and (lost or record.find("leader") is None):
        raise RecordError(f"none of its fields is one of MARC 21{f', the first is {lost[0]}' if lost else ''}")
    if oddity:
        oddities.append(oddity)
    if lost:
        parts = "1 part is" if len(lost) == 1 else f"{len(lost)} parts are"
        oddities.append(f"In the MARC record {parts} not as MARC 21 has it, the first is {lost[0]}.")
    return clean, oddities


def marcxml(record: Element) -> bytes:
    """A record whose tags have no namespaces as a MARCXML document."""
    # Set as a plain attribute, the namespace is the default one; registering it would change it for all who write XML.
    collection = Element("collection", xmlns=MARC_NAMESPACE)
    collection.append(record)
    indent(collection)
    document: bytes = tostring(collection, encoding="UTF-8", xml_declaration=True)
    return document + b"\n"


def shown(text: str) -> str:
    """A value out of somebody's record, short and harmless enough for a sentence."""
    return repr(text if len(text) <= 40 else f"{text[:40]}…")


def _text(element: Element) -> str:
    text = _FOREIGN.sub("", "".join(element.itertext())).replace("\t", " ")
    first, *others = _LINE_BREAKS.split(text)
    if not others:
        return text
    # Blanks beside a break are the layout's; those at the ends are the record's: some numbers begin with them.
    parts = [first.rstrip(" "), *(line.strip(" ") for line in others[:-1]), others[-1].lstrip(" ")]
    return " ".join(filter(None, parts))


def _leader(record: Element) -> tuple[str, str]:
    found = record.find("leader")
    text = "" if found is None else _text(found)
    if _LEADER.fullmatch(text):
        return text, ""
    if not text.strip():
        return _NEUTRAL, "The MARC record has no leader; one that says nothing of it is put in."
    kept = "".join(_kept(position, char) for position, char in enumerate(text.ljust(24)[:24]))
    return kept, f"The leader of the MARC record is not as MARC 21 has it and is set right: {shown(text)}."


def _kept(position: int, char: str) -> str:
    if 10 <= position <= 11 or position >= 20 or char == _NEUTRAL[position]:
        return _NEUTRAL[position]
    if position < 5 or 12 <= position <= 16:
        return char if char in "0123456789 " else "0"
    if re.fullmatch(r"[0-9A-Za-z]", char):
        return char
    return "a" if position == 6 else " "


def _control_fields(record: Element, lost: list[str]) -> Iterator[Element]:
    for field in record.findall("controlfield"):
        tag, text = field.get("tag", ""), _text(field)
        if not _CONTROL_TAG.fullmatch(tag):
            lost.append(f"the control field {shown(tag)}")
        elif text.strip():
            clean = Element("controlfield", {"tag": tag})
            clean.text = text
            yield clean


def _data_fields(record: Element, lost: list[str]) -> Iterator[Element]:
    for field in record.findall("datafield"):
        tag = field.get("tag", "")
        if not _DATA_TAG.fullmatch(tag):
            lost.append(f"the field {shown(tag)}")
            continue
        clean = Element("datafield", {"tag": tag})
        for name in ("ind1", "ind2"):
            clean.set(name, _indicator(field, name, lost))
        clean.extend(_subfields(field, lost))
        if len(clean):
            yield clean


def _indicator(field: Element, name: str, lost: list[str]) -> str:
    value = field.get(name, " ") or " "
    if _INDICATOR.fullmatch(value):
        return value
    lost.append(f"{name} of the field {field.get('tag')}, {shown(value)}")
    return " "


def _subfields(field: Element, lost: list[str]) -> Iterator[Element]:
    for subfield in field.findall("subfield"):
        code, text = subfield.get("code", ""), _text(subfield)
        if not _CODE.fullmatch(code) or code in _NO_CODE:
            lost.append(f"a subfield {shown(code)} of the field {field.get('tag')}")
        elif text.strip():
            clean = Element("subfield", {"code": code})
            clean.text = text
            yield clean
