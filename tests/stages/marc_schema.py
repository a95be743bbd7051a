"""The rules of the MARC 21 slim schema (version 1.2), in a schema of our own making.

The Library of Congress's own file comes in no package that could be installed for the tests. Where that one takes the
digits of all scripts, this one takes only the ten of MARC: whatever is valid here is valid there.
"""

from __future__ import annotations

from functools import cache
from io import BytesIO
from xml.etree.ElementTree import iterparse

import xmlschema

_DIGIT, _SMALL, _LARGE = "0-9", "a-z", "A-Z"
_ALNUM = _DIGIT + _LARGE + _SMALL
_SYMBOLS = "!&quot;#$%&amp;'()*+,\\-./:;&lt;=&gt;?{}_\\^`~\\[\\]\\\\"
PATTERNS = {
    "leader": f"[{_DIGIT} ]{{5}}[{_ALNUM} ][{_ALNUM}][{_ALNUM} ]{{3}}[2 ][2 ][{_DIGIT} ]{{5}}[{_ALNUM} ]{{3}}"
    "(4500| {4})",
    "controltag": f"00[1-9{_LARGE}{_SMALL}]",
    "datatag": "|".join(
        f"0[1-9{letters}][{_DIGIT}{letters}]|[1-9{letters}][{_DIGIT}{letters}]{{2}}" for letters in (_LARGE, _SMALL)
    ),
    "indicator": f"[{_DIGIT}{_SMALL} ]",
    "code": f"[{_ALNUM}{_SYMBOLS}]",
}


def _text_type(name: str, base: str, **attributes: str) -> str:
    held = "".join(f'<attribute name="{key}" type="m:{of}" use="required"/>' for key, of in attributes.items())
    return (
        f'<complexType name="{name}Field"><simpleContent><extension base="{base}">{held}'
        "</extension></simpleContent></complexType>"
    )


def _schema() -> str:
    types = "".join(
        f'<simpleType name="{name}"><restriction base="string"><pattern value="{pattern}"/></restriction></simpleType>'
        for name, pattern in PATTERNS.items()
    )
    texts = (
        _text_type("leader", "m:leader")
        + _text_type("control", "string", tag="controltag")
        + _text_type("sub", "string", code="code")
    )
    many = 'maxOccurs="unbounded"'
    indicators = "".join(f'<attribute name="ind{n}" type="m:indicator" use="required"/>' for n in (1, 2))
    kinds = "".join(
        f'<enumeration value="{kind}"/>'
        for kind in ("Bibliographic", "Authority", "Holdings", "Classification", "Community")
    )
    return f"""<schema xmlns="http://www.w3.org/2001/XMLSchema" xmlns:m="http://www.loc.gov/MARC21/slim"
  targetNamespace="http://www.loc.gov/MARC21/slim" elementFormDefault="qualified">{types}{texts}
  <simpleType name="kind"><restriction base="NMTOKEN">{kinds}</restriction></simpleType>
  <complexType name="dataField"><sequence>
    <element name="subfield" type="m:subField" {many}/></sequence>
    <attribute name="tag" type="m:datatag" use="required"/>{indicators}</complexType>
  <complexType name="recordType"><sequence minOccurs="0">
    <element name="leader" type="m:leaderField"/>
    <element name="controlfield" type="m:controlField" minOccurs="0" {many}/>
    <element name="datafield" type="m:dataField" minOccurs="0" {many}/></sequence>
    <attribute name="type" type="m:kind"/></complexType>
  <element name="record" type="m:recordType"/>
  <element name="collection"><complexType><sequence>
    <element ref="m:record" minOccurs="0" {many}/></sequence></complexType></element>
</schema>"""


@cache
def schema() -> xmlschema.XMLSchema:
    """The schema, ready to validate."""
    return xmlschema.XMLSchema(_schema())


def require_valid(document: bytes) -> None:
    """Fail with what is against the rules, if anything is."""
    schema().validate(BytesIO(document))
    assert [element.tag for _, element in iterparse(BytesIO(document))][-2:] == [
        "{http://www.loc.gov/MARC21/slim}record",
        "{http://www.loc.gov/MARC21/slim}collection",
    ]
