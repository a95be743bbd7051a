"""Modifications that give text and data: the same sidecars however the members lie, and whenever they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from books import BARCODE, book_of, pages, run, tar_gz
from cataloguing import FIELD, Library, collection, record

from common.stage import Book, Stage
from services.extractor.stage import Extractor
from services.modifier.stage import Modifier


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    """A library whose catalogue has the book."""
    found = Library(tmp_path)
    found.file(collection(record("A title", BARCODE)))
    yield found
    Library.close()


def test_the_layout_makes_no_difference(make: Callable[..., Stage], library: Library) -> None:
    """All of them in one chain, strict where they can be, on files and on one tar: byte for byte the same."""
    sidecars = {}
    for layout in ("files", "tar"):
        folder = library.folder / layout / BARCODE
        (folder / "decryptor").mkdir(parents=True)
        (folder / "decryptor" / f"{BARCODE}.tar.gz").write_bytes(tar_gz(book_of(pages())))
        run(make(Extractor, layout=layout), Book(BARCODE, folder, "", upstream=("decryptor",)))
        chain = [
            {"marc": {"strict": True}},
            "ocr_text",
            {"ocr_jsonl": {"gzip": True}},
            {"page_index": {"strict": True}},
            {"catalogue_record": {"path": str(library.path), "field": FIELD, "strict": True}},
        ]
        facts = run(make(Modifier, modifications=chain), Book(BARCODE, folder, "", upstream=("extractor",)))
        assert facts["warnings"] == []
        assert facts["record"]["title"] == "Café & company /"
        names = [sidecar["name"] for sidecar in facts["sidecars"]]
        sidecars[layout] = {name: (folder / "modifier" / name).read_bytes() for name in names}
    assert [name.removeprefix(f"{BARCODE}.") for name in sorted(sidecars["files"])] == [
        "catalogue.xml",
        "marc.json",
        "marc.xml",
        "ocr.jsonl.gz",
        "pages.csv",
        "pages.json",
        "txt",
    ]
    assert sidecars["files"] == sidecars["tar"]
