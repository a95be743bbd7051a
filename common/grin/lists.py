"""GRIN's lists as text: one book a line, mostly without a header, columns parted by tabs."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from common import logs
from common.token import is_barcode

ARCHIVE_SUFFIX = ".tar.gz.gpg"
# A longer line is no list: a page, or an archive.
_MAX_LINE = 1 << 20
# So many odd rows are borne in any list, and one in a hundred in a long one.
_ODD = 10
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


def barcodes(rows: Iterable[str], library: str, which: str = "") -> Iterator[str]:
    """The barcodes in the first column, odd ones left out; NoList when a message stands in the list."""
    gate = Gate(which)
    for number, row in enumerate(rows):
        name = row.partition("\t")[0]
        barcode = barcode_of(name, library)
        if number == 0 and barcode.lower() in _HEADINGS:
            continue
        if gate.passes(row, name, barcode):
            yield barcode
    gate.end()


class Gate:
    """Tells the rows of books from a message in the list, which is NoList, and from single odd barcodes.

    One barcode that nobody can have, mistyped years ago, must not keep a library from all its other books: its row is
    left out, and told once. A message is many such rows, or the last one; `end` is to be called after it.
    """

    def __init__(self, which: str) -> None:
        self._which = which
        self._rows = self._odd = self._named = self._columns = 0
        self._last: NoList | None = None

    def passes(self, row: str, name: str, barcode: str) -> bool:
        """Whether it is a book's row; False for an odd one."""
        named, columns = name.strip().endswith(ARCHIVE_SUFFIX), row.count("\t")
        # Where files are named all are: without the suffix it is a word.
        books = is_barcode(barcode) if named else _is_books(barcode) and not 0 < self._named == self._rows
        self._rows += 1
        self._named += named
        self._last = None
        if not books:
            alike = named or 1 < columns >= self._columns
            self._bear(no_barcode(row, self._rows - 1), last=alike)
        self._columns = max(self._columns, columns)
        return books

    def end(self) -> None:
        """NoList when the last row was no book's, and looked like nobody's."""
        if self._last is not None:
            raise self._last

    def _bear(self, odd: NoList, *, last: bool) -> None:
        self._odd += 1
        if self._odd > max(_ODD, self._rows // 100):
            raise odd
        if self._odd == 1:
            sentence = f"GRIN's list {self._which} {odd}; such rows are left out."
            logging.getLogger(logs.NAME).warning(sentence)
        self._last = None if last else odd


def _is_books(barcode: str) -> bool:
    """Harvard has barcodes such as HVDLZC, without a digit; "Error" and "ERROR" are words."""
    return is_barcode(barcode) and (any(map(str.isdecimal, barcode)) or (barcode.isupper() and len(barcode) > 5))


def no_barcode(row: str, number: int) -> NoList:
    """What a row is, counted from 0, that does not begin with a barcode."""
    where = "begins with" if number == 0 else f"has, as row {number + 1:,},"
    return NoList(f"{where} {row[:60]!a}, which is no barcode")


def barcode_of(name: str, library: str) -> str:
    """The barcode in a list's first column, which may be an archive's name with the library's prefix."""
    # Some editors, and some servers, begin a text with a byte order mark.
    name = name.strip().removeprefix("\ufeff")
    if not name.endswith(ARCHIVE_SUFFIX):
        return name
    return name.removesuffix(ARCHIVE_SUFFIX).removeprefix(f"{library}_")
