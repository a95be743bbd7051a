"""GRIN's plain lists: one book a line, no header, columns parted by tabs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from common.token import is_barcode

ARCHIVE_SUFFIX = ".tar.gz.gpg"
# A longer line is no list: a page, or an archive.
_MAX_LINE = 1 << 20
_HEADINGS = {"barcode", "filename", "file name"}


class NoList(ValueError):  # noqa: N818 - what the text is, not what went wrong
    """This text is not one of GRIN's lists; the message is the end of a sentence."""


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of a text that comes in pieces, empty ones left out; NoList when one is endless."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from _texts(whole)
        if len(rest) > _MAX_LINE:
            raise NoList("has a line of more than a megabyte")
    yield from _texts([rest])


def barcodes(rows: Iterable[str], library: str) -> Iterator[str]:
    """The barcodes in the first column; NoList when the first row has none, for then it is a message."""
    for number, row in enumerate(rows):
        barcode = barcode_of(row.partition("\t")[0], library)
        if number == 0 and barcode.lower() in _HEADINGS:
            continue
        if number == 0 and not is_barcode(barcode):
            raise NoList(f"begins with {row[:60]!a}")
        yield barcode


def barcode_of(name: str, library: str) -> str:
    """The barcode in a list's first column, which may be an archive's name with the library's prefix."""
    name = name.strip()
    if not name.endswith(ARCHIVE_SUFFIX):
        return name
    return name.removesuffix(ARCHIVE_SUFFIX).removeprefix(f"{library}_")


def _texts(whole: Iterable[bytes]) -> Iterator[str]:
    for line in whole:
        text = line.decode("utf-8", errors="replace").rstrip("\r")
        if text.strip():
            yield text
