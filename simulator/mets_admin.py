"""The administrative sections of Google's METS: quality, capture, page data, reading order, source, history."""

from __future__ import annotations

from simulator.dates import Dates, iso
from simulator.knobs import Knobs
from simulator.plan import Leaf
from simulator.volume import Volume


def admin_section(volume: Volume, leaves: list[Leaf], owners: dict[int, str]) -> str:
    """The whole amdSec; `owners` names each page's scan by sequence number."""
    pages = "".join(_page_data(leaf, owners[leaf.sequence]) for leaf in leaves)
    members = 3 * len(leaves) + 2
    parts = [
        _tech("QUALITY", _quality(volume.work.language.code, leaves)),
        _tech("IMAGE_METHOD0", '<gbs:imageMethod scanner="PHOTOSTATION_V1">non-destructive</gbs:imageMethod>\n'),
        pages,
        _tech("PD1", _reading(volume.knobs)),
        _wrap("sourceMD", "S1", "OTHER", _source(volume.barcode)),
        _wrap("digiprovMD", "PREMIS1", "PREMIS", _premis(volume.barcode, volume.dates, len(leaves), members)),
    ]
    return f'<METS:amdSec ID="AMD1">\n{"".join(parts)}</METS:amdSec>\n\n'


def _tech(identity: str, content: str) -> str:
    return _wrap("techMD", identity, "OTHER", content)


def _wrap(element: str, identity: str, kind: str, content: str) -> str:
    other = ' OTHERMDTYPE="GBS"' if kind == "OTHER" else ""
    return (
        f'<METS:{element} ID="{identity}">\n<METS:mdWrap MIMETYPE="text/xml" MDTYPE="{kind}"{other}>\n<METS:xmlData>\n'
        f"{content}</METS:xmlData>\n</METS:mdWrap>\n</METS:{element}>\n"
    )


def _quality(language: str, leaves: list[Leaf]) -> str:
    pages = "".join(_ocr_page(leaf) for leaf in leaves)
    return (
        "<gbs:quality_scores>\n<gbs:overall_error>1%</gbs:overall_error>\n<gbs:material_error>0%</gbs:material_error>\n"
        "<gbs:rubbish>false</gbs:rubbish>\n<gbs:audit></gbs:audit>\n</gbs:quality_scores>\n"
        f'<gbs:ocr>\n<gbs:ocr_volume CONFIDENCE_GTD="91" CONFIDENCE_ANALYSIS="88" DETECTED_LANGUAGE="{language}">\n'
        f"{pages}</gbs:ocr_volume>\n</gbs:ocr>\n"
        "<gbs:productionNotes>\n<gbs:badPages></gbs:badPages>\n<gbs:missingPages></gbs:missingPages>\n"
        "<gbs:tightBoundPages></gbs:tightBoundPages>\n</gbs:productionNotes>\n"
    )


def _ocr_page(leaf: Leaf) -> str:
    gtd, analysis = ("", "00") if leaf.blank else ("95", f"{80 + leaf.sequence % 18}")
    return f'<gbs:ocr_page FILEID="HTML{leaf.sequence:08d}" CONFIDENCE_GTD="{gtd}" CONFIDENCE_ANALYSIS="{analysis}"/>\n'


def _page_data(leaf: Leaf, owner: str) -> str:
    content = (
        f"<gbs:pageNo>{leaf.google_number}</gbs:pageNo>\n"
        f"<gbs:scanIDwrap><gbs:ownerID>{owner}</gbs:ownerID></gbs:scanIDwrap>\n"
    )
    return _tech(f"ADD_PAGE_DATA_IMG{leaf.sequence:08d}", content)


def _reading(knobs: Knobs) -> str:
    order = "right-to-left" if knobs.right_to_left else "left-to-right"
    return (
        f"<gbs:scanningOrder>{order}</gbs:scanningOrder>\n<gbs:readingOrder>{order}</gbs:readingOrder>\n"
        "<gbs:coverTag>follows-reading-order</gbs:coverTag>\n"
    )


def _source(barcode: str) -> str:
    return (
        f"<gbs:sourceLibrary>Test Library</gbs:sourceLibrary>\n<gbs:sourceIdentifier>{barcode}</gbs:sourceIdentifier>\n"
    )


def _premis(barcode: str, dates: Dates, pages: int, members: int) -> str:
    events = (
        ("Google_Scan", iso(dates.scanned), ""),
        ("Google_Process", iso(dates.processed), ""),
        ("Google_Analyze", iso(dates.analyzed), ""),
        ("Google_Convert", iso(dates.converted), "Clean"),
        ("Google_Rubbish", iso(dates.analyzed), ""),
    )
    return (
        '<PREMIS:premis version="2.0">\n<PREMIS:object>\n<PREMIS:objectIdentifier>\n'
        "<PREMIS:objectIdentifierType>barcode</PREMIS:objectIdentifierType>\n"
        f"<PREMIS:objectIdentifierValue>{barcode}</PREMIS:objectIdentifierValue>\n</PREMIS:objectIdentifier>\n"
        f"{_property('file count', members)}{_property('page count', pages)}</PREMIS:object>\n"
        + "".join(_event(*event) for event in events)
        + "<PREMIS:agent>\n<PREMIS:agentName>Google (Firm)</PREMIS:agentName>\n</PREMIS:agent>\n</PREMIS:premis>\n"
    )


def _property(kind: str, value: int) -> str:
    return (
        "<PREMIS:significantProperties>\n"
        f"<PREMIS:significantPropertiesType>{kind}</PREMIS:significantPropertiesType>\n"
        f"<PREMIS:significantPropertiesValue>{value}</PREMIS:significantPropertiesValue>\n"
        "</PREMIS:significantProperties>\n"
    )


def _event(kind: str, moment: str, outcome: str) -> str:
    told = (
        "<PREMIS:eventOutcomeInformation>\n"
        f"<PREMIS:eventOutcome>{outcome}</PREMIS:eventOutcome>\n</PREMIS:eventOutcomeInformation>\n"
    )
    return (
        f"<PREMIS:event>\n<PREMIS:eventType>{kind}</PREMIS:eventType>\n"
        f"<PREMIS:eventDateTime>{moment}</PREMIS:eventDateTime>\n{told if outcome else ''}</PREMIS:event>\n"
    )
