"""What Docling's METS_GBS backend reads of archives; one JSON object for each archive. Runs where Docling is installed.

usage: read.py [--limits N] ARCHIVE[=PAGE,PAGE...] ...
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from docling.backend.mets_gbs_backend import MetsGbsDocumentBackend
from docling.datamodel.backend_options import MetsGbsBackendOptions
from docling.datamodel.base_models import InputFormat
from docling.datamodel.document import InputDocument, _DocumentConversionInput


def main() -> None:
    """Read all archives that are named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=int, help="members and MB that may be read, in place of Docling's own limits")
    parser.add_argument("archives", nargs="+", metavar="ARCHIVE[=PAGE,PAGE...]", help="which pages; else all")
    arguments = parser.parse_args()
    # Docling tells of its own libraries' coming changes.
    warnings.simplefilter("ignore")
    for one in arguments.archives:
        name, _, pages = one.partition("=")
        chosen = [int(page) for page in pages.split(",") if page]
        sys.stdout.write(json.dumps(_read(Path(name), chosen, _options(arguments.limit))) + "\n")


def _options(limit: int | None) -> MetsGbsBackendOptions:
    if limit is None:
        return MetsGbsBackendOptions()
    return MetsGbsBackendOptions(max_member_count=limit, max_total_bytes=limit << 20)


def _read(archive: Path, chosen: list[int], options: MetsGbsBackendOptions) -> dict[str, Any]:
    began = time.process_time()
    # What a user's `docling FILE` decides by.
    detected = _DocumentConversionInput(path_or_stream_iterator=[])._guess_format(archive)
    found: dict[str, Any] = {"detected": detected is InputFormat.METS_GBS, "valid": False, "count": 0, "pages": {}}
    try:
        document = InputDocument(
            path_or_stream=archive, format=InputFormat.METS_GBS, backend=MetsGbsDocumentBackend, backend_options=options
        )
    except ValueError as error:
        return {**found, "error": str(error), "seconds": round(time.process_time() - began, 2)}
    found |= {"valid": document.valid, "count": document.page_count}
    if document.valid:
        for number in chosen or range(1, document.page_count + 1):
            found["pages"][number] = _page(document, number)
        document._backend.unload()
    return {**found, "seconds": round(time.process_time() - began, 2)}


def _page(document: InputDocument, number: int) -> dict[str, Any]:
    try:
        page = document._backend.load_page(number - 1)
    except Exception as error:  # noqa: BLE001 - what a page cannot be read for is a finding
        return {"error": f"{type(error).__name__}: {error}"}
    if not page.is_valid():
        return {"error": "Docling skips this page"}
    image = page.get_page_image()
    lines = [cell.text for cell in page.get_text_cells()]
    pixels = hashlib.sha256(image.tobytes()).hexdigest()
    return {"lines": lines, "words": len(page.get_segmented_page().word_cells), "size": image.size, "pixels": pixels}


if __name__ == "__main__":
    main()
