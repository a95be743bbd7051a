"""All modifications that write pictures, drop and rename, between a real extractor and a real package."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from books import BARCODE, run

from common.stage import Book, Facts
from services.extractor.stage import Extractor
from services.modifier.stage import Modifier
from simulator.book import MadeBook, make_book
from simulator.knobs import Knobs

CHAIN: list[Any] = [
    "fixity",
    "marc",
    {"preview": {"pages": 8}},
    {"iiif": {"base": "https://books.example.org", "see_also": ["marc"]}},
    {"prune": {"drop": ["*.html"]}},
    {"rename": {"prefix": "add"}},
]
SIDECARS = ["contact.jpg", "cover.jpg", "iiif.json", "marc.json", "marc.xml"]


@pytest.fixture(scope="module")
def made() -> MadeBook:
    """A book as Google makes them, one image of it empty."""
    return make_book(BARCODE, pages=8, knobs=Knobs(zero_byte_image=True))


def modified(folder: Path, make: Callable[..., Any], made: MadeBook, layout: str) -> Facts:
    """Extract the book and apply the whole chain."""
    (folder / "decryptor").mkdir(parents=True)
    (folder / "decryptor" / f"{BARCODE}.tar.gz").write_bytes(made.tar_gz)
    run(make(Extractor, layout=layout), Book(BARCODE, folder, "", upstream=("decryptor",)))
    return run(make(Modifier, modifications=CHAIN), Book(BARCODE, folder, "", upstream=("extractor",)))


@pytest.mark.parametrize("layout", ["files", "tar"])
def test_images_leave_as_they_came(folder: Path, make: Callable[..., Any], made: MadeBook, layout: str) -> None:
    """Bit for bit under their new names; hOCR is gone, the METS is Google's, and md5sum finds all as listed."""
    facts = modified(folder, make, made, layout)
    with tarfile.open(folder / "modifier" / f"{BARCODE}.tar.gz") as package:
        package.extractall(folder / "out", filter="data")
    came = {f"TESTLIB_{BARCODE}_{name}": data for name, data in made.members.items() if name[:8].isdecimal()}
    expected = {name: data for name, data in came.items() if not name.endswith(".html")}
    expected[f"TESTLIB_{BARCODE}.xml"] = made.members[f"TESTLIB_{BARCODE}.xml"]
    found = {path.name: path.read_bytes() for path in (folder / "out").iterdir() if path.name != "checksum.md5"}
    assert found == expected
    check = ["md5sum", "--check", "--strict", "--quiet", "checksum.md5"]
    assert subprocess.run(check, cwd=folder / "out", check=False).returncode == 0
    assert len((folder / "out" / "checksum.md5").read_text().splitlines()) == len(expected)
    hocr = [data for name, data in made.members.items() if name.endswith(".html")]
    assert facts["pruned"] == {"members": len(hocr), "bytes": sum(map(len, hocr))}
    assert facts["renamed"] == len(expected) - 1
    assert len(facts["warnings"]) == 3


def test_both_layouts_give_the_same_bytes(tmp_path: Path, make: Callable[..., Any], made: MadeBook) -> None:
    """Package, pictures and manifest; the ledger is told the same."""
    facts = [modified(tmp_path / layout, make, made, layout) for layout in ("files", "tar")]
    assert facts[0] == facts[1]
    assert [file["name"].removeprefix(f"{BARCODE}.") for file in facts[0]["sidecars"]] == SIDECARS
