"""marc: whatever stands in the METS, what is written is valid MARCXML, or nothing is."""

from __future__ import annotations

import io
import json
import string
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

import pymarc
import pytest
import xmlschema
from books import BARCODE, MARC, mets
from hypothesis import given, settings
from hypothesis import strategies as st
from marc_schema import require_valid
from modifying import Desk

from common.stage import Reject
from services.modifier.modifications.marc import Marc
from services.modifier.modifications.marcxml import RecordError, cleaned, marcxml

LEADER = "00000cam a2200000 a 4500"
PLAIN = f"<marc:leader>{LEADER}</marc:leader>"
NS = "{http://www.loc.gov/MARC21/slim}"


def record(inside: str, leader: str = PLAIN) -> str:
    """A record as it stands in a METS."""
    return f"<marc:record>{leader}{inside}</marc:record>"


def field(tag: str = "245", inside: str = "", ind1: str = "0", ind2: str = "0") -> str:
    """A data field, by default a title."""
    inside = inside or '<marc:subfield code="a">Title</marc:subfield>'
    return f'<marc:datafield tag="{tag}" ind1="{ind1}" ind2="{ind2}">{inside}</marc:datafield>'


def desk_of(folder: Path, marc: str) -> Desk:
    """A book with this record."""
    return Desk(folder, {f"TESTLIB_{BARCODE}.xml": mets({}, marc=marc)})


def written(desk: Desk) -> Element:
    """The record in the sidecar, which must be valid."""
    require_valid(desk.sidecars()["marc.xml"])
    found = fromstring(desk.sidecars()["marc.xml"]).find(f"{NS}record")
    assert found is not None
    return found


def test_the_schema_of_the_tests_refuses_what_is_wrong() -> None:
    """The rules by which the other tests judge can be broken, each of them."""
    good = f'<collection xmlns="{NS[1:-1]}">{record(field()).replace("marc:", "")}</collection>'
    require_valid(good.encode())
    for right, wrong in [
        (LEADER, LEADER[:-1]),
        ("cam a22", "cam a33"),
        ('tag="245"', 'tag="24A"'.replace("A", "-")),
        ('ind1="0"', 'ind1="X"'),
        ('code="a"', 'code="ab"'),
        ('<subfield code="a">Title</subfield>', ""),
        ("<leader>", "<field/><leader>"),
        (f"<leader>{LEADER}</leader>", ""),
    ]:
        with pytest.raises(xmlschema.XMLSchemaValidationError):
            require_valid(good.replace(right, wrong).encode())


def test_a_sound_record_is_valid_and_told_of_without_a_word(tmp_path: Path) -> None:
    """Nothing is set right where nothing is wrong."""
    desk = desk_of(tmp_path, MARC)
    assert desk.apply(Marc, strict=True) == []
    assert written(desk).findtext(f"{NS}leader") == "00000cam a2200000 a 4500"


ODD = {
    "no leader": (record(field(), leader=""), "The MARC record has no leader; one that says nothing of it is put in."),
    "an empty leader": (record(field(), leader="<marc:leader/>"), "The MARC record has no leader"),
    "a short leader": (
        record(field(), f"<marc:leader>{LEADER[:20]}</marc:leader>"),
        "set right: '00000cam a2200000 a '",
    ),
    "a long leader": (record(field(), f"<marc:leader>{LEADER}0000</marc:leader>"), "is set right"),
    "a leader of stars": (record(field(), f"<marc:leader>{'*' * 24}</marc:leader>"), "is set right"),
    "a tag of two": (record(field() + field("24")), "1 part is not as MARC 21 has it, the first is the field '24'."),
    "no tag": (record(field() + "<marc:datafield/>"), "the field ''"),
    "a data field 001": (record(field() + field("001")), "the field '001'"),
    "a control field 245": (
        record('<marc:controlfield tag="245">x</marc:controlfield>' + field()),
        "the control field '245'",
    ),
    "indicators that are none": (record(field(ind1="#", ind2="10")), "2 parts are not as MARC 21 has it"),
    "no code": (
        record(field(inside='<marc:subfield>x</marc:subfield><marc:subfield code="a">y</marc:subfield>')),
        "a subfield '' of the field 245",
    ),
    "a code of two": (
        record(field(inside='<marc:subfield code="aa">x</marc:subfield><marc:subfield code="a">y</marc:subfield>')),
        "a subfield 'aa' of the field 245",
    ),
}


@pytest.mark.parametrize(("marc", "warning"), ODD.values(), ids=ODD)
def test_an_odd_record_is_set_right_with_a_warning(tmp_path: Path, marc: str, warning: str) -> None:
    """What is left is valid and has all else; under strict the book is rejected, and nothing is kept silent."""
    desk = desk_of(tmp_path, marc)
    [told] = desk.apply(Marc)
    assert warning in told
    title = written(desk).find(f"{NS}datafield[@tag='245']/{NS}subfield[@code='a']")
    assert title is not None
    assert title.text in {"Title", "y"}
    assert len(written(desk).findtext(f"{NS}leader") or "") == 24
    with pytest.raises(Reject, match="By the strict rules"):
        desk_of(tmp_path / "again", marc).apply(Marc, strict=True)


def test_layout_and_emptiness_go_without_a_word(tmp_path: Path) -> None:
    """A METS that was indented anew, empty subfields and fields, order and attributes of their own: all is valid."""
    blank = '<marc:subfield code="b"/><marc:subfield code="c">  </marc:subfield>'
    marc = record(
        field(inside=f'{blank}<marc:subfield code="a">\n    A title\n    in two lines\n  </marc:subfield>')
        + field("500", blank)
        + '<marc:controlfield tag="001">\n  b1\n</marc:controlfield>'
        + field("010", '<marc:subfield code="a">   89012345 </marc:subfield>', " ", ""),
        leader=f"<marc:leader>\n{LEADER}\n</marc:leader>",
    ).replace("<marc:record>", '<marc:record type="Bibliographic" id="1 2" other="x">')
    desk = desk_of(tmp_path, marc)
    assert desk.apply(Marc, strict=True) == []
    found = written(desk)
    assert found.attrib == {"type": "Bibliographic"}
    assert [(part.tag.removeprefix(NS), part.text) for part in found.iter() if part.text and part.text.strip()] == [
        ("leader", LEADER),
        ("controlfield", "b1"),
        ("subfield", "A title in two lines"),
        ("subfield", "   89012345 "),
    ]
    assert json.loads(desk.sidecars()["marc.json"])["lccn"] == "89012345"


@pytest.mark.parametrize(
    ("marc", "reason"),
    [
        (record(field("24")), "none of its fields is one of MARC 21, the first is the field '24'"),
        ("<marc:record><marc:other/></marc:record>", "none of its fields is one of MARC 21."),
    ],
)
def test_a_record_of_which_nothing_is_left_is_left_out(tmp_path: Path, marc: str, reason: str) -> None:
    """Then there are no sidecars at all, and no record in the ledger."""
    desk = desk_of(tmp_path, marc)
    facts = Marc({}).apply(desk.members, desk.book)
    assert set(facts) == {"warnings"}
    assert reason in facts["warnings"][0]
    assert desk.sidecars() == {}


TEXT = st.text(st.characters(codec="utf-16", exclude_categories=[]), max_size=6)
PARTS = st.lists(st.tuples(st.sampled_from(["a", "9", "A", "@", "", "é", "ab"]), TEXT), max_size=3)
TAG = st.one_of(st.text("019aZ", min_size=2, max_size=4), st.sampled_from(["001", "245", "24٣"]))
FIELDS = st.lists(st.tuples(TAG, st.sampled_from(["0", " ", "", "X", "٣"]), PARTS), max_size=4)
LEADERS = st.one_of(st.none(), TEXT, st.text(string.printable, min_size=22, max_size=26), st.just(LEADER))


@settings(deadline=None)
@given(LEADERS, FIELDS)
def test_whatever_comes_is_valid_or_refused(
    leader: str | None, fields: list[tuple[str, str, list[tuple[str, str]]]]
) -> None:
    """Binary MARC may hold any character; the document is well-formed, valid, and cleaning it again changes nothing."""
    given_record = Element("record")
    if leader is not None:
        SubElement(given_record, "leader").text = leader
    for tag, indicator, parts in fields:
        SubElement(given_record, "controlfield", {"tag": tag}).text = "".join(text for _, text in parts)
        holder = SubElement(given_record, "datafield", {"tag": tag, "ind1": indicator, "ind2": "1"})
        for code, text in parts:
            SubElement(holder, "subfield", {"code": code}).text = text
    try:
        found, _ = cleaned(given_record)
    except RecordError:
        return
    before = tostring(found)
    again, oddities = cleaned(found)
    assert (tostring(again), oddities) == (before, [])
    document = marcxml(found)
    require_valid(document)
    [read] = pymarc.parse_xml_to_array(io.BytesIO(document))  # type: ignore[no-untyped-call]
    assert len(read.fields) == len(again) - 1


def test_every_field_of_the_summary_is_found(tmp_path: Path) -> None:
    """The flat record has what catalogues ask for; the ledger has the same values, without what is lacking."""
    fixed = "850101m18981901nyu           000 0 eng d"
    tags = [
        ("010", "a"),
        ("020", "a"),
        ("020", "a"),
        ("050", "a"),
        ("100", "a"),
        ("110", "a"),
        ("111", "a"),
        ("245", "b"),
    ]
    tags += [("500", "a"), ("650", "a"), ("650", "a"), ("655", "a"), ("245", "a")]
    inside = "".join(
        field(tag, f'<marc:subfield code="{code}"> {tag}{code}{at} </marc:subfield>')
        for at, (tag, code) in enumerate(tags)
    )
    control = (
        f'<marc:controlfield tag="001">b1</marc:controlfield><marc:controlfield tag="008">{fixed}</marc:controlfield>'
    )
    numbers = "".join(
        field("035", f'<marc:subfield code="a">{number}</marc:subfield>') for number in ("(OCoLC)7", "(X)8", "(OCoLC)9")
    )
    desk = desk_of(tmp_path, record(control + inside + numbers))
    facts = Marc({}).apply(desk.members, desk.book)
    expected = {
        "control_number": "b1", "date_type": "m", "date1": "1898", "date2": "1901", "language": "eng",
        "lccn": "010a0", "isbn": "020a1, 020a2", "lc_call_number": "050a3", "author_personal": "100a4",
        "author_corporate": "110a5", "author_meeting": "111a6", "title_remainder": "245b7", "notes": "500a8",
        "subjects": "650a9, 650a10", "genres": "655a11", "title": "245a12", "oclc": "(OCoLC)7, (OCoLC)9",
    }  # fmt: skip
    assert json.loads(desk.sidecars()["marc.json"]) == expected
    assert facts == {"record": expected, "warnings": []}


def test_what_nobody_filled_in_is_nothing(tmp_path: Path) -> None:
    """Fill characters and blanks of an 008 are null, and the ledger has no word of them."""
    fixed = "850101|||||9999|||           000 0 ||| d"
    desk = desk_of(tmp_path, record(f'<marc:controlfield tag="008">{fixed}</marc:controlfield>'))
    assert Marc({}).apply(desk.members, desk.book) == {"warnings": []}
    assert set(json.loads(desk.sidecars()["marc.json"]).values()) == {None}


def test_long_values_are_cut_in_the_ledger_only(tmp_path: Path) -> None:
    """A million records share the disk with the ledger; the sidecar is whole."""
    note = "n" * 5_000
    desk = desk_of(tmp_path, record(field("500", f'<marc:subfield code="a">{note}</marc:subfield>')))
    facts = Marc({}).apply(desk.members, desk.book)
    assert facts["record"]["notes"] == "n" * 999 + "…"
    assert json.loads(desk.sidecars()["marc.json"])["notes"] == note


def test_the_same_record_gives_the_same_bytes(tmp_path: Path) -> None:
    """Nothing of the moment or the place is in the sidecars."""
    first, second = desk_of(tmp_path / "a", MARC), desk_of(tmp_path / "b", MARC)
    first.apply(Marc)
    second.apply(Marc)
    assert first.sidecars() == second.sidecars()
