"""common.mets: header, map of pages and reading order, as two kinds of Google's METS have them and as attackers do."""

from __future__ import annotations

import time

import pytest

from common.mets import Mets, MetsError, parse

# As converted in 2020 for one library: ids and page files carry the book's name, everything has its prefix.
PREFIXED = """<?xml version="1.0" encoding="UTF-8"?>
<METS:mets xmlns:METS="http://www.loc.gov/METS/" xmlns:xlink="http://www.w3.org/1999/xlink"
  xmlns:gbs="http://books.google.com/gbs" xmlns:PREMIS="info:lc/xmlns/premis-v2"
  xmlns:marc="http://www.loc.gov/MARC21/slim" OBJID="UCAL_$B1" PROFILE="gbs">
<METS:metsHdr ID="HDR1" CREATEDATE="2020-05-04T03:02:01" RECORDSTATUS="NEW">
  <METS:agent ROLE="CREATOR" TYPE="ORGANIZATION"><METS:name>Google</METS:name></METS:agent></METS:metsHdr>
<METS:dmdSec ID="DMDMARC"><METS:mdWrap MIMETYPE="text/xml" MDTYPE="MARC"><METS:xmlData>
  <marc:record><marc:leader>00000nam a2200000 a 4500</marc:leader></marc:record>
</METS:xmlData></METS:mdWrap></METS:dmdSec>
<METS:amdSec><METS:techMD ID="ADD_PAGE_DATA_IMG00000001"><METS:mdWrap MDTYPE="OTHER"><METS:xmlData>
    <gbs:pageNo>PP1</gbs:pageNo></METS:xmlData></METS:mdWrap></METS:techMD>
  <METS:techMD ID="PD1"><METS:mdWrap MDTYPE="OTHER"><METS:xmlData><gbs:pageData>
    <gbs:scanningOrder>left-to-right</gbs:scanningOrder><gbs:readingOrder>right-to-left</gbs:readingOrder>
    <gbs:coverTag>follows-reading-order</gbs:coverTag></gbs:pageData></METS:xmlData></METS:mdWrap></METS:techMD>
  <METS:digiprovMD ID="PREMIS1"><METS:mdWrap MDTYPE="PREMIS"><METS:xmlData><PREMIS:object>
    <PREMIS:significantProperties><PREMIS:significantPropertiesType>file count</PREMIS:significantPropertiesType>
      <PREMIS:significantPropertiesValue>8</PREMIS:significantPropertiesValue></PREMIS:significantProperties>
    <PREMIS:significantProperties><PREMIS:significantPropertiesType>page count</PREMIS:significantPropertiesType>
      <PREMIS:significantPropertiesValue>2</PREMIS:significantPropertiesValue></PREMIS:significantProperties>
  </PREMIS:object></METS:xmlData></METS:mdWrap></METS:digiprovMD></METS:amdSec>
<METS:fileSec>
  <METS:fileGrp ID="FG1" USE="image">
    <METS:file ID="UCAL_$B1_IMG00000001" SEQ="00000001" SIZE="5"
      CHECKSUM="0cc175b9c0f1b6a831c399e269772661" CHECKSUMTYPE="MD5">
      <METS:FLocat LOCTYPE="OTHER" OTHERLOCTYPE="SYSTEM" xlink:href="UCAL_$B1_00000001.jp2"/></METS:file>
    <METS:file ID="UCAL_$B1_IMG00000002" SEQ="00000002">
      <METS:FLocat LOCTYPE="OTHER" OTHERLOCTYPE="SYSTEM" xlink:href="UCAL_$B1_00000002.tif"/></METS:file></METS:fileGrp>
  <METS:fileGrp ID="FG2" USE="OCR">
    <METS:file ID="UCAL_$B1_TXT00000001"><METS:FLocat xlink:href="UCAL_$B1_00000001.txt"/></METS:file></METS:fileGrp>
</METS:fileSec>
<METS:structMap TYPE="physical"><METS:div TYPE="volume" ADMID="QUALITY PD1 S1">
  <METS:div TYPE="page" ORDER="1" ADMID="FRONT_COVER UNTYPICAL_PAGE">
    <METS:fptr FILEID="UCAL_$B1_IMG00000001"/><METS:fptr FILEID="UCAL_$B1_TXT00000001"/></METS:div>
  <METS:div TYPE="page" ORDER="2" ORDERLABEL="iv"><METS:fptr FILEID="UCAL_$B1_IMG00000002"/></METS:div>
</METS:div></METS:structMap></METS:mets>"""
# As converted in 2024 for another, and indented anew: plain ids, the record in the default namespace.
PLAIN = (
    PREFIXED.replace("UCAL_$B1_", "")
    .replace("UCAL_$B1", "NYPL_33433000000001")
    .replace("right-to-left", "\n      left-to-right\n    ")
    .replace("<marc:record>", '<record xmlns="http://www.loc.gov/MARC21/slim">')
    .replace("</marc:record>", "</record>")
    .replace("marc:leader", "leader")
)
VARIANTS = {"prefixed": (PREFIXED, "UCAL_$B1_", "right-to-left"), "plain": (PLAIN, "", "left-to-right")}


@pytest.mark.parametrize(("text", "prefix", "order"), VARIANTS.values(), ids=VARIANTS)
def test_both_kinds_of_mets_tell_of_their_pages(text: str, prefix: str, order: str) -> None:
    """Order, label, tags and files of each page; when the archive was made, and which way the book is read."""
    mets = parse(text.encode())
    assert (mets.created, mets.reading_order) == ("2020-05-04T03:02:01", order)
    assert [(page.order, page.label, page.tags) for page in mets.structure] == [
        (1, "", ("FRONT_COVER", "UNTYPICAL_PAGE")),
        (2, "iv", ()),
    ]
    assert [page.files for page in mets.structure] == [
        [f"{prefix}00000001.jp2", f"{prefix}00000001.txt"],
        [f"{prefix}00000002.tif"],
    ]
    assert (mets.pages, mets.page_count) == (2, 2)
    assert mets.record is not None
    assert mets.record.findtext("leader") == "00000nam a2200000 a 4500"


def test_what_a_mets_does_not_say_is_empty() -> None:
    """No header, no order, no map: nothing is made up."""
    mets = parse(b'<mets OBJID="A"/>')
    assert (mets.object_id, mets.created, mets.reading_order, mets.structure) == ("A", "", "", [])
    assert mets == Mets(object_id="A")


def pages_of(*divs: str, files: str = "") -> Mets:
    """A METS with these pages in its map."""
    head = '<mets xmlns:xlink="http://www.w3.org/1999/xlink">'
    return parse(f"{head}<fileGrp>{files}</fileGrp><structMap>{''.join(divs)}</structMap></mets>".encode())


@pytest.mark.parametrize("order", ["", "-1", "1.5", "two", "٣", "1" * 10, "9" * 300_00, " 1"])
def test_an_order_that_is_no_number_is_none(order: str) -> None:
    """Digits of other scripts, and more of them than any page has, are no number."""
    [page] = pages_of(f'<div TYPE="page" ORDER="{order}"/>').structure
    assert page.order is None


def test_pointers_that_lead_nowhere_are_passed_over() -> None:
    """An unknown file, a pointer before any page and one outside the map."""
    file = '<file ID="F1"><FLocat xlink:href="./00000001.tif"/></file>'
    page = '<div TYPE="page"><fptr FILEID="F1"/><fptr FILEID="F2"/><fptr/></div>'
    [found] = pages_of(
        '<fptr FILEID="F1"/>', '<div TYPE="volume"><fptr FILEID="F1"/></div>', page, files=file
    ).structure
    assert found.files == ["00000001.tif"]


def test_names_labels_and_tags_are_taken_as_they_are() -> None:
    """They come from a stranger: whoever writes them somewhere has to look at them."""
    file = '<file ID="F1"><FLocat xlink:href="../../&#10;evil"/></file>'
    [page] = pages_of(
        '<div TYPE="page" ORDERLABEL="&lt;b&gt;&#10;\u202e7" ADMID=" A\nB&#x85;C "><fptr FILEID="F1"/></div>',
        files=file,
    ).structure
    assert page.label == "<b>\n\u202e7"
    assert page.tags == ("A", "B", "C")
    assert page.files == ["../../\nevil"]


@pytest.mark.parametrize(
    "inside",
    [
        f'<div TYPE="page" ORDERLABEL="{"9" * (14 << 20)}"/>',
        f'<div TYPE="page" ADMID="{"T " * (7 << 20)}"/>',
        '<div TYPE="page"/>' * 800_000,
        '<file ID="F"><FLocat href="f"/></file><div TYPE="page">' + '<fptr FILEID="F"/>' * 400_000 + "</div>",
        "<div TYPE='page'>" * 1_000,
        f"<readingOrder>{'right' * (3 << 20)}</readingOrder>",
        f'<metsHdr CREATEDATE="{"2" * (14 << 20)}"/>',
        "".join(f'<file ID="F{n}"><FLocat href="f{n}"/></file>' for n in range(300_000)),
    ],
    ids=["label", "tags", "pages", "pointers", "depth", "order", "date", "files"],
)
def test_a_mets_that_would_fill_the_memory_is_an_error(inside: str) -> None:
    """Within seconds, and with a sentence."""
    data = f"<mets>{inside}</mets>".encode()
    began = time.process_time()
    try:
        mets = parse(data)
    except MetsError as error:
        assert str(error)
    else:
        # One list of pointers to one and the same name is only as large as the METS itself.
        assert sum(len(page.files) for page in mets.structure) <= 400_000
        assert "fptr" in inside
    assert time.process_time() - began < 5


@pytest.mark.parametrize("where", ["ORDERLABEL", "ADMID"])
@pytest.mark.parametrize("character", ["&#0;", "&#x1f;", "\x08", "&#xfffe;", "&#xd800;"])
def test_characters_that_xml_forbids_are_an_error(where: str, character: str) -> None:
    """Control characters can stand in a METS neither as they are nor as references."""
    with pytest.raises(MetsError, match="not well-formed"):
        pages_of(f'<div TYPE="page" {where}="a{character}b"/>')
