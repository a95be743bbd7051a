"""Chains whose order cannot be meant: told once, before the first book, instead of with every book."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from common.archive_names import CHECKSUMS, folded
from common.errors import StageError
from common.shelves import Shelf
from services.modifier.members import Members
from services.modifier.modification import Book, Modification

# What changes the members.
CHANGING = ("prune", "rename")
# What is of no use without these.
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "marc": ("METS",),
    "ocr_text": ("text of the pages",),
    "ocr_jsonl": ("text of the pages",),
    "page_index": ("METS", "page images"),
    "iiif": ("page images",),
    "preview": ("page images",),
}

Chain = Sequence[tuple[str, Modification]]


def problems(chain: Chain) -> Iterator[str]:
    """Sentences on what is written twice, and on what stands behind that which takes away what it needs."""
    yield from _doubles(chain)
    yield from _too_late(chain)


def _doubles(chain: Chain) -> Iterator[str]:
    writers: dict[str, str] = {}
    for name, modification in chain:
        for ending in modification.writes():
            if other := writers.get(folded(ending)):
                both = f"Modification {name} is there twice" if other == name else f"Both {other} and {name} are there"
                yield f"{both}, and would write <BARCODE>.{ending} twice: take one out."
                break
            writers[folded(ending)] = name


def _too_late(chain: Chain) -> Iterator[str]:
    """Try what changes members on a book of all kinds of names, and see what is left for those behind it."""
    sample, changed = _sample(), ""
    for name, modification in chain:
        if changed and name == "fixity":
            yield f"Modification fixity: it would find fault with what {changed} has changed; let fixity be the first."
        lost = [what for what in _NEEDS.get(name, ()) if not _there(sample)[what]]
        if lost:
            yield f"Modification {name}: {changed} before it leaves no {' and no '.join(lost)}; let {name} stand first."
        if name in CHANGING:
            changed = name
            try:
                modification.apply(sample, Book(sample.barcode, Path(), ""))
            except StageError:
                # Names that collide are only the sample's.
                return


def _there(members: Members) -> Mapping[str, bool]:
    pages = members.pages
    return {
        "METS": members.mets_name is not None,
        "text of the pages": bool(pages.texts),
        "page images": bool(pages.images),
    }


def _sample() -> Members:
    """Names as Google gives them, of both kinds; no byte of it is ever on a disk."""
    members = Members(Shelf(Path()), {}, Path(), "BARCODE")
    for page, ending in enumerate(("tif", "jp2") * 2, 1):
        prefix = "LIBRARY_BARCODE_" if page > 2 else ""
        for kind in (ending, "txt", "html"):
            members.add(f"{prefix}{page:08d}.{kind}", b"")
    members.add("LIBRARY_BARCODE.xml", b"")
    members.add(CHECKSUMS, b"")
    return members
