"""GRIN's lists as text: one book a line, mostly without a header, columns parted by tabs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from common.token import is_barcode

ARCHIVE_SUFFIX = ".tar.gz.gpg"
# A longer line is no list: a page, or an archive.
_MAX_LINE = 1 << 20
_HEADINGS = {"barcode", "filename", "file name"}


class NoList(ValueError):  # noqa: N818 - what the text is, not what went wrong
    """This text is not one of GRIN's lists; the message is the end of a sentence."""


def lines(chunks: Iterable[bytes], *, must_end: bool = False) -> Iterator[str]:
    """The lines of a text that comes in pieces, empty ones left out; NoList when one is endless.

    With `must_end` the last line needs its end, for nothing else tells whether the text is whole.
    """
    for line in raw_lines(chunks, must_end=must_end):
        yield line.decode("utf-8", errors="replace")


def raw_lines(chunks: Iterable[bytes], *, must_end: bool = False) -> Iterator[bytes]:
    """The same, byte for byte but for their ends."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line.strip():
                yield line.rstrip(b"\r")
        if len(rest) > _MAX_LINE:
            raise NoList("has a line of more than a megabyte")
    if rest.strip():
        if must_end:
            raise NoList("breaks off in the middle of a line")
        yield rest.rstrip(b"\r")


def barcodes(rows: Iterable[str], library: str) -> Iterator[str]:
    """The barcodes in the first column; NoList when a row has none, for then a message stands in the list."""
    for number, row in enumerate(rows):
        barcode = barcode_of(row.partition("\t")[0], library)
        if number == 0 and barcode.lower() in _HEADINGS:
            continue
        if not is_barcode(barcode):
            raise no_barcode(row, number)
        yield barcode


def no_barcode(row: str, number: int) -> NoList:
    """What a row is, counted from 0, that does not begin with a barcode."""
    where = "begins with" if number == 0 else f"has, as row {number + 1:,},"
    return NoList(f"{where} {row[:60]!a}, which is no barcode")


def barcode_of(name: str, library: str) -> str:
    """The barcode in a list's first column, which may be an archive's name with the library's prefix."""
    name = name.strip()
    if not name.endswith(ARCHIVE_SUFFIX):
        return name
    return name.removesuffix(ARCHIVE_SUFFIX).removeprefix(f"{library}_")
