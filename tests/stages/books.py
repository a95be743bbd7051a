"""Small true books for the tests of the stages, and a worker's part in their work."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common.stage import Book, Facts, Stage

BARCODE = "39000000000018"
MARC = """<marc:record>
 <marc:leader>00000cam a2200000 a 4500</marc:leader>
 <marc:controlfield tag="001">b100</marc:controlfield>
 <marc:controlfield tag="008">850101m18989999nyu           000 0 eng d</marc:controlfield>
 <marc:datafield tag="035" ind1=" " ind2=" "><marc:subfield code="a">(OCoLC)42</marc:subfield></marc:datafield>
 <marc:datafield tag="035" ind1=" " ind2=" "><marc:subfield code="a">local7</marc:subfield></marc:datafield>
 <marc:datafield tag="245" ind1="1" ind2="0">
  <marc:subfield code="a">Café &amp; company /</marc:subfield>
 </marc:datafield>
 <marc:datafield tag="650" ind1=" " ind2="0"><marc:subfield code="a">Coffee</marc:subfield></marc:datafield>
 <marc:datafield tag="650" ind1=" " ind2="0"><marc:subfield code="a">Trade</marc:subfield></marc:datafield>
</marc:record>"""

Members = dict[str, bytes]


def md5(data: bytes) -> str:
    """MD5 in hex."""
    return hashlib.md5(data).hexdigest()


def mets(members: Mapping[str, bytes], marc: str = MARC, prologue: str = "") -> bytes:
    """A METS that tells the truth about these page files."""
    kinds = {"image": ("tif", "jp2"), "OCR": ("txt",), "coordOCR": ("html",)}
    groups = "".join(
        f'<METS:fileGrp USE="{use}">'
        + "".join(
            f'<METS:file SIZE="{len(data)}" CHECKSUM="{md5(data)}" CHECKSUMTYPE="MD5">'
            f'<METS:FLocat LOCTYPE="OTHER" xlink:href="{name}"/></METS:file>'
            for name, data in members.items()
            if name.endswith(ends)
        )
        + "</METS:fileGrp>"
        for use, ends in kinds.items()
    )
    count = sum(name.endswith(kinds["image"]) for name in members)
    premis = (
        "<PREMIS:significantProperties><PREMIS:significantPropertiesType>page count</PREMIS:significantPropertiesType>"
        f"<PREMIS:significantPropertiesValue>{count}</PREMIS:significantPropertiesValue></PREMIS:significantProperties>"
    )
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>{prologue}<METS:mets xmlns:METS="http://www.loc.gov/METS/" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:PREMIS="info:lc/xmlns/premis-v2" '
        f'xmlns:marc="http://www.loc.gov/MARC21/slim" OBJID="TESTLIB_{BARCODE}"><METS:dmdSec>{marc}</METS:dmdSec>'
        f"{premis}<METS:fileSec>{groups}</METS:fileSec><METS:structMap>"
        + '<METS:div TYPE="page"/>' * count
        + "</METS:structMap></METS:mets>"
    ).encode()


def checksums(members: Mapping[str, bytes]) -> bytes:
    """A checksum.md5 that tells the truth about these members."""
    return "".join(f"{md5(data)}  {name}\n" for name, data in sorted(members.items())).encode()


def pages(numbers: range = range(1, 4), prefix: str = "") -> Members:
    """The page files of a book: an image, text and hOCR for each number."""
    found: Members = {}
    for number in numbers:
        found[f"{prefix}{number:08d}.tif"] = f"image {number} ".encode() * 99
        found[f"{prefix}{number:08d}.txt"] = f"text of page {number}\n".encode()
        found[f"{prefix}{number:08d}.html"] = f"<html>hOCR of page {number}</html>".encode()
    return found


def book_of(page_files: Members, **mets_options: str) -> Members:
    """A whole book around these page files."""
    members = {**page_files, f"TESTLIB_{BARCODE}.xml": mets(page_files, **mets_options)}
    return {**members, "checksum.md5": checksums(members)}


def tar_gz(members: Mapping[str, bytes]) -> bytes:
    """The members as Google packs them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in sorted(members.items()):
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return out.getvalue()


def run(stage: Stage, book: Book) -> Facts:
    """Let a stage work on a book and publish what it leaves, as a worker does."""
    work = book.folder / "work"
    work.mkdir()
    facts = stage.process(book, work) or {}
    if any(work.iterdir()):
        work.rename(book.folder / stage.row.name)
    else:
        work.rmdir()
    return facts


PACKED = {f"{BARCODE}.tar.gz": b"package " * 5000, f"{BARCODE}.txt": b"text", f"{BARCODE}.marc.json": b"{}"}
IN_STORE = {f"{BARCODE}/{name}": data for name, data in PACKED.items()}


def described(files: dict[str, bytes]) -> list[dict[str, Any]]:
    """Files as facts have them."""
    return [{"name": name, "size": len(d), "sha256": hashlib.sha256(d).hexdigest()} for name, d in files.items()]


def done_event(stage: str, time: str, **facts: Any) -> Facts:
    """A done event as the ledger has it."""
    common = {"event": "done", "attempt": 1, "worker": "w1", "seconds": 1.5, "version": "0.1.0"}
    return {**common, "time": time, "stage": stage, "facts": facts}


def story(files: dict[str, bytes]) -> list[Facts]:
    """The ledger of a book on its way to the uploader."""
    package, *sidecars = described(files)
    return [
        {"time": "2026-01-01T00:00:00.000Z", "event": "registered"},
        done_event("downloader", "2026-01-01T00:00:10.000Z", etag='"abc"', sha256="0" * 64),
        done_event("modifier", "2026-01-01T00:00:15.000Z", warnings=["outdated"]),
        {"time": "2026-01-01T00:00:16.000Z", "event": "redo", "stage": "modifier"},
        done_event("extractor", "2026-01-01T00:00:20.000Z", members=5, warnings=["odd"]),
        done_event(
            "modifier",
            "2026-01-01T00:00:30.250Z",
            package=package,
            sidecars=sidecars,
            members=6,
            warnings=["odd", "gap"],
        ),
    ]


def stored(done: Path) -> dict[str, bytes]:
    """All files in the store by their key, hidden ones too, without the provenance."""
    found = {str(path.relative_to(done)): path.read_bytes() for path in done.rglob("*") if path.is_file()}
    return {key: data for key, data in found.items() if not key.endswith("provenance.json")}
