"""Google's METS: header, MARC, administrative sections, file list, page structure."""

from __future__ import annotations

from simulator.dates import iso
from simulator.marc import marc_record
from simulator.mets_admin import admin_section
from simulator.plan import Leaf
from simulator.volume import PageFile, Volume

_ROOT = """<?xml version="1.0" encoding="UTF-8"?>
<METS:mets xmlns:METS="http://www.loc.gov/METS/"
           xmlns:xlink="http://www.w3.org/1999/xlink"
           xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
           xmlns:gbs="http://books.google.com/gbs"
           xmlns:PREMIS="info:lc/xmlns/premis-v2"
           xmlns:marc="http://www.loc.gov/MARC21/slim"
           xsi:schemaLocation="http://www.loc.gov/METS/ http://www.loc.gov/standards/mets/mets.xsd
                               http://www.loc.gov/MARC21/slim http://www.loc.gov/standards/marcxml/schema/MARC21slim.xsd
                               info:lc/xmlns/premis-v2 http://www.loc.gov/standards/premis/premis.xsd"
           OBJID="{object_id}"
           PROFILE="gbs">

<METS:metsHdr ID="HDR1" CREATEDATE="{created}" RECORDSTATUS="NEW">
  <METS:agent ROLE="CREATOR" TYPE="ORGANIZATION">
    <METS:name>Google</METS:name>
  </METS:agent>
</METS:metsHdr>

"""
_GROUPS = (("FG1", "image", "IMG"), ("FG2", "OCR", "TXT"), ("FG3", "coordOCR", "HTML"))
_TYPES = {"tif": "image/tiff", "jp2": "image/jp2", "txt": "text/plain", "html": "text/html"}


def mets_file(volume: Volume, leaves: list[Leaf], files: dict[str, dict[int, PageFile]]) -> bytes:
    """The METS of a book; `files` is keyed by IMG, TXT or HTML, then by sequence number."""
    owners = {sequence: page.owner for sequence, page in files["IMG"].items()}
    root = _ROOT.format(object_id=volume.object_id, created=iso(volume.dates.converted))
    admin = admin_section(volume, leaves, owners)
    return "".join([root, _marc(volume), admin, _file_section(volume, files), _structure(leaves, volume)]).encode()


def _marc(volume: Volume) -> str:
    record = "" if volume.knobs.marc == "empty" else f"<METS:xmlData>\n{_record(volume)}\n</METS:xmlData>\n"
    return (
        '<METS:dmdSec ID="DMDMARC" xmlns="http://www.loc.gov/MARC21/slim">\n'
        '<METS:mdWrap MIMETYPE="text/xml" MDTYPE="MARC" LABEL="Source MARC record">\n'
        f"{record}</METS:mdWrap>\n</METS:dmdSec>\n\n"
    )


def _record(volume: Volume) -> str:
    prefix = "marc:" if volume.knobs.marc == "prefixed" else ""
    return marc_record(volume.barcode, volume.work, volume.year, prefix)


def _file_section(volume: Volume, files: dict[str, dict[int, PageFile]]) -> str:
    groups = "".join(
        f'  <METS:fileGrp ID="{group}" USE="{use}">\n'
        + "".join(_file(volume, kind, sequence, page) for sequence, page in files[kind].items())
        + "  </METS:fileGrp>\n"
        for group, use, kind in _GROUPS
    )
    return f"<METS:fileSec>\n{groups}</METS:fileSec>\n\n"


def _file(volume: Volume, kind: str, sequence: int, page: PageFile) -> str:
    mime = _TYPES[page.name.rsplit(".", 1)[1]]
    owner = f' OWNERID="{page.owner}" ADMID="IMAGE_METHOD0 ADD_PAGE_DATA_IMG{sequence:08d}"' if page.owner else ""
    return (
        f'    <METS:file ID="{kind}{sequence:08d}" MIMETYPE="{mime}" SEQ="{sequence:08d}"'
        f' CREATED="{volume.dates.capture_day}T00:00:00" SIZE="{page.size}" CHECKSUM="{page.md5}"'
        f' CHECKSUMTYPE="MD5"{owner}>\n'
        f'      <METS:FLocat xlink:href="{page.name}" LOCTYPE="OTHER" OTHERLOCTYPE="SYSTEM"/>\n'
        "    </METS:file>\n"
    )


def _structure(leaves: list[Leaf], volume: Volume) -> str:
    marked = leaves[len(leaves) // 2].sequence if volume.knobs.missing_tag else 0
    pages = "".join(_page(order, leaf, marked) for order, leaf in enumerate(leaves, 1))
    return (
        '<METS:structMap ID="SM1" TYPE="physical">\n  <METS:div TYPE="volume" ADMID="QUALITY PD1 S1">\n'
        f"{pages}  </METS:div>\n</METS:structMap>\n</METS:mets>\n"
    )


def _page(order: int, leaf: Leaf, marked: int) -> str:
    label = f' ORDERLABEL="{leaf.label}"' if leaf.label else ""
    tags = " ".join([*leaf.tags, "MISSING"] if leaf.sequence == marked else leaf.tags)
    pointers = "".join(f'      <METS:fptr FILEID="{kind}{leaf.sequence:08d}"/>\n' for _, _, kind in _GROUPS)
    return f'    <METS:div TYPE="page" ORDER="{order}"{label} ADMID="{tags}">\n{pointers}    </METS:div>\n'
