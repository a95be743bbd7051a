"""Names inside a book's archive: which may be written to disk, and which are pages, the METS or the checksums.

Page files are `00000001.tif` or, from some libraries, `<DIR>_<BARCODE>_00000001.tif`; both are understood everywhere.
Other files (notes, page data, pieces of a page called `1_2.txt`) are kept, and are no pages.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter

MAX_DEPTH = 4
CHECKSUMS = "checksum.md5"

# What Windows, and so a network volume of its kind or whoever opens the package there, takes for something else.
_NOT_ON_WINDOWS = re.compile(r'.*[<>:"|?*].*|.*[ .]|(con|prn|aux|nul|com\d|lpt\d)(\..*)?', re.IGNORECASE | re.DOTALL)
# Kinds of characters by their Unicode category.
_UNSEEN = {
    "Cc": "has a control character",
    "Cs": "is not UTF-8",
    "Cf": "has a character that cannot be seen",
    "Zl": "has a line break",
    "Zp": "has a line break",
}
_KINDS = {**dict.fromkeys(("tif", "tiff", "jp2", "jpg", "png"), "image"), "txt": "text", "html": "hocr"}


def objection(name: str) -> str:
    """Why a name must not be written to disk, to follow "its name "; empty when there is nothing against it."""
    return next(_objections(name), "")


def _objections(name: str) -> Iterator[str]:
    parts = name.split("/")
    if not all(parts):
        yield "is absolute or has an empty part"
    if ".." in parts or "." in parts:
        yield "leads out of its folder"
    if "\\" in name:
        yield "has a backslash"
    yield from sorted({_UNSEEN[kind] for kind in map(unicodedata.category, name) if kind in _UNSEEN})
    if len(parts) > MAX_DEPTH:
        yield "lies too deep"
    if any(len(part.encode()) > 255 for part in parts):
        yield "is longer than 255 bytes"
    if any(map(_NOT_ON_WINDOWS.fullmatch, parts)):
        yield "Windows does not allow"


def folded(name: str) -> str:
    """The same for all names that some file system takes for one: capitals, accents, ligatures, widths do not count."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def folder_of(name: str) -> str:
    """The folder inside the archive that a member lies in, with its slash; empty for most."""
    return name[: name.rfind("/") + 1]


def checksums_in(names: Iterable[str]) -> list[str]:
    """The names of all checksum lists, the shallowest first."""
    return sorted((name for name in names if _base(name).lower() == CHECKSUMS), key=_by_depth)


def checksums_of(names: Iterable[str]) -> str | None:
    """The name of the checksum list; of several, of that which lies shallowest."""
    return next(iter(checksums_in(names)), None)


def mets_in(names: Iterable[str], barcode: str) -> list[str]:
    """The names that Google's METS could have, `<DIR>_<BARCODE>.xml` or without the directory; the likeliest first."""
    wanted = re.compile(rf"(.*_)?{re.escape(barcode)}\.xml", re.IGNORECASE)
    return sorted((name for name in names if wanted.fullmatch(_base(name))), key=_by_depth)


def mets_of(names: Iterable[str], barcode: str) -> str | None:
    """The name of Google's METS; of several, of that which lies shallowest. `common.mets.among` looks into them."""
    return next(iter(mets_in(names, barcode)), None)


@dataclass(frozen=True)
class Pages:
    """The page files of a book: for each kind, page number to member name, in the order of the pages.

    `passed_over` are files that are called like pages, and are none: a second file of a page, or in another folder.
    """

    images: Mapping[int, str]
    texts: Mapping[int, str]
    hocr: Mapping[int, str]
    passed_over: tuple[str, ...] = ()

    @property
    def numbers(self) -> list[int]:
        """Every page of which there is anything, in order."""
        return sorted({*self.images, *self.texts, *self.hocr})


def pages_of(names: Collection[str], barcode: str) -> Pages:
    """Sort the page files out of a book's members; what is no page file is passed over.

    All of a kind lie in one folder, the METS' if it has any, else that of most of them; of two files of one page the
    one whose name sorts first counts.
    """
    found: dict[str, dict[str, dict[int, str]]] = {"image": {}, "text": {}, "hocr": {}}
    passed_over = []
    for kind, number, name in sorted(_page_files(names, barcode), key=itemgetter(2)):
        if found[kind].setdefault(folder_of(name), {}).setdefault(number, name) != name:
            passed_over.append(name)
    chosen = []
    for folders in found.values():
        folder = next(iter(folders), "") if len(folders) < 2 else _main(folders, names, barcode)
        chosen.append(dict(sorted(folders.pop(folder, {}).items())))
        passed_over += (name for files in folders.values() for name in files.values())
    images, texts, hocr = chosen
    return Pages(images, texts, hocr, tuple(sorted(passed_over)))


def called_like_pages(names: Iterable[str], barcode: str) -> list[str]:
    """The names that are a page file's, in whichever folder; sorted."""
    return sorted(name for _, _, name in _page_files(names, barcode))


def _page_files(names: Iterable[str], barcode: str) -> Iterator[tuple[str, int, str]]:
    pattern = re.compile(rf"(?:(?:.*_)?{re.escape(barcode)}_)?([0-9]{{8}})\.(\w+)", re.IGNORECASE)
    for name in names:
        match = pattern.fullmatch(_base(name))
        kind = _KINDS.get(match[2].lower()) if match else None
        if match and kind:
            yield kind, int(match[1]), name


def _main(folders: Mapping[str, Collection[int]], names: Iterable[str], barcode: str) -> str:
    beside = folder_of(mets_of(names, barcode) or "/")
    return beside if beside in folders else min(folders, key=lambda folder: (-len(folders[folder]), _by_depth(folder)))


def _by_depth(name: str) -> tuple[int, str]:
    return name.count("/"), name


def _base(name: str) -> str:
    return name.rpartition("/")[2]
