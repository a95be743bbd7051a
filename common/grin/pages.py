"""GRIN's lists as HTML pages: read by their headers, followed by their own next links.

A page is one table under a row `tr.heading` with the columns' names in `span.hd3`. In front of the barcode there may be
a cell with a check box, an empty one, or none, so that the cells of a row shift; titles and states are only here.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import urljoin

from common.grin.columns import name_of
from common.grin.lists import NoList, barcode_of
from common.token import is_barcode

# What tells a page with one of GRIN's tables from any other.
_TABLE = re.compile(rb"""<(tr|span)\b[^>]*\bclass\s*=\s*["']?(heading|hd3)\b""", re.IGNORECASE)
_UNAVAILABLE = re.compile(r"\brequest\s+is\s+unavailable\b", re.IGNORECASE)
_MOST_OUTSIDE = 1 << 16
_PAGED = re.compile(r"[?&](first|ctoken)=")


def is_page(content_type: str, first: bytes) -> bool:
    """Whether an answer of this type that begins so is HTML, and no list in text."""
    return "html" in content_type.lower() or first.lstrip().startswith(b"<")


def has_table(head: bytes) -> bool:
    """Whether a page that begins so has one of GRIN's tables, and so is no login page."""
    return bool(_TABLE.search(head))


class Unavailable(Exception):  # noqa: N818 - what the page says
    """The page says, instead of rows or below them, that the request is unavailable."""


class ListPage:
    """One page on its way in: `rows` gives its books as they come, then `next_url` is known.

    `url` is the page's own address; NoList and Unavailable say why it is no list, or no whole one.
    """

    def __init__(self, url: str, library: str) -> None:
        self.url = url
        self.library = library
        self.next_url = ""
        """Where the page says that the list goes on; empty on the last page."""

    def rows(self, chunks: Iterable[str]) -> Iterator[dict[str, str]]:
        """The values of each row by Entry's names."""
        parser, heading = _Parser(), None
        for chunk in chunks:
            parser.feed(chunk)
            if heading is None and parser.heading:
                heading = _Heading.of(parser.heading, self.library)
            while heading and parser.rows:
                yield heading.values(parser.rows.popleft(), self.url)
        parser.close()
        if _UNAVAILABLE.search(parser.outside):
            raise Unavailable
        if heading is None:
            raise NoList("is a page without a table that has Barcode or Filename in its heading")
        if not parser.closed:
            raise NoList("is a page that breaks off in the middle of its table")
        best = max(parser.links, key=_to_next, default=None)
        self.next_url = urljoin(self.url, best.href) if best and _to_next(best) else ""


@dataclass
class _Cell:
    text: str = ""
    href: str = ""
    value: str = ""
    """Of its check box."""


@dataclass(frozen=True)
class _Heading:
    """What stands over a list's columns: Entry's names, "?" for what Entry does not have, "" where nothing stands."""

    names: Sequence[str]
    key: int
    library: str

    @classmethod
    def of(cls, cells: Sequence[_Cell], library: str) -> _Heading:
        names = [name_of(cell.text) or ("?" if cell.text else "") for cell in cells]
        for key in ("barcode", "archive"):
            if key in names:
                return cls(names, names.index(key), library)
        shown = ", ".join(cell.text for cell in cells if cell.text)[:120]
        raise NoList(f"is a page whose heading has neither Barcode nor Filename, but {shown!a}")

    def values(self, cells: Sequence[_Cell], url: str) -> dict[str, str]:
        """A row's values by name: its cells are shifted until a barcode stands under its heading."""
        box = next((cell.value for cell in cells if cell.value), "")
        off = len(cells) - len(self.names)
        # From the row's end where it has all its values, else as it stands, else wherever the barcode is.
        tried = (off, 0, *range(-self.key, len(cells) - self.key))
        shift = next((shift for shift in tried if self._fits(cells, shift, box)), None)
        if shift is None and not box:
            raise NoList(f"has a row without a barcode, with {' '.join(cell.text for cell in cells)[:60]!a}")
        found = {} if shift is not None else {"barcode": box}
        for place, name in enumerate(self.names, off if shift is None else shift):
            if name not in {"", "?"} and 0 <= place < len(cells):
                href = cells[place].href if name == "link" else ""
                found.setdefault(name, urljoin(url, href) if href else cells[place].text)
        return found

    def _fits(self, cells: Sequence[_Cell], shift: int, box: str) -> bool:
        place = self.key + shift
        if not 0 <= place < len(cells):
            return False
        barcode = barcode_of(cells[place].text, self.library)
        # A title of one word looks like a barcode; what is before it then has no place.
        stray = any(cell.text for cell, name in zip(cells[:place], self._before(shift), strict=True) if not name)
        return is_barcode(barcode) and box in {"", barcode} and not stray

    def _before(self, shift: int) -> list[str]:
        """The names over the cells before the barcode."""
        places = range(-shift, self.key)
        return [self.names[place] if place >= 0 else "" for place in places]


class _Parser(HTMLParser):
    """Takes a page apart as it comes, and keeps no row for longer than its reader needs."""

    def __init__(self) -> None:
        super().__init__()
        self.heading: list[_Cell] = []
        self.rows: deque[list[_Cell]] = deque()
        self.links: list[_Link] = []
        self.outside = ""
        """The page's text besides its rows."""
        self.closed = False
        """Whether the table, or the whole page, has come to its end."""
        self._depth = 0
        self._list_depth: int | None = None
        self._row: list[_Cell] = []
        self._cell: _Cell | None = None
        self._link: _Link | None = None
        self._is_heading = False
        self._silent = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag begins."""
        named = {key: value or "" for key, value in attrs}
        classes = named.get("class", "").split()
        if tag == "table":
            self._depth += 1
        elif tag == "tr" and self._in_list():
            self._end_row()
            self._is_heading = "heading" in classes
        elif tag in {"td", "th"} and self._in_list():
            self._end_cell()
            self._cell = _Cell()
        elif tag == "span" and "hd3" in classes and self._list_depth is None:
            self._is_heading = True
        elif tag == "a":
            self._begin_link(named.get("href", ""))
        elif tag == "input" and self._cell is not None and named.get("name") == "barcodes":
            self._cell.value = named.get("value", "")
        self._silent = tag in {"script", "style"}

    def handle_endtag(self, tag: str) -> None:
        """A tag ends."""
        self._silent = False
        if tag == "a":
            self._link = None
        elif tag in {"td", "th"} and self._in_list():
            self._end_cell()
        elif tag in {"tr", "tbody"} and self._in_list():
            self._end_row()
        elif tag in {"body", "html"}:
            self._end_list()
        elif tag == "table":
            if self._depth == self._list_depth:
                self._end_list()
            self._depth -= 1

    def handle_data(self, data: str) -> None:
        """Some text."""
        if self._link is not None:
            self._link.text += data
        if self._cell is not None:
            self._cell.text += data
        elif not self._silent:
            self._say(data)

    def _say(self, *texts: str) -> None:
        for text in filter(None, map(str.strip, texts)):
            if len(self.outside) < _MOST_OUTSIDE:
                self.outside += f" {text}"

    def _in_list(self) -> bool:
        return not self.closed and self._list_depth in {None, self._depth}

    def _begin_link(self, href: str) -> None:
        if self._cell is not None:
            self._cell.href = self._cell.href or href
        if _PAGED.search(href):
            self._link = _Link(href)
            self.links.append(self._link)

    def _end_cell(self) -> None:
        if self._cell is not None:
            self._cell.text = " ".join(self._cell.text.split())
            self._row.append(self._cell)
        self._cell = None

    def _end_row(self) -> None:
        self._end_cell()
        row, self._row = self._row, []
        if self._is_heading and row and self._list_depth is None:
            self.heading, self._list_depth = row, self._depth
        elif len(row) < min(2, len(self.heading)):
            # One cell over the whole width is no book: it has a remark, or the way to the next page.
            self._say(*(cell.text for cell in row))
        elif self._list_depth is not None and not self._is_heading:
            self.rows.append(row)
        self._is_heading = False

    def _end_list(self) -> None:
        if self._list_depth is not None and not self.closed:
            self._end_row()
            self.closed = True


@dataclass
class _Link:
    """A link to another page of a list."""

    href: str
    text: str = ""


def _to_next(link: _Link) -> int:
    """0 for a link that does not lead to the next page, more for one that says so more clearly."""
    return 2 if "next" in link.text.lower() else 1 if ">" in link.text else 0
