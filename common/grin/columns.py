"""Which column of a list holds what: by its header where there is one, else by what the cells hold.

GRIN's text lists have no header, and what libraries have seen of their columns does not agree. So a column is named
only where all layouts that fit its content, and the order of a book's dates, leave no other reading.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

DATES = ("scanned", "processed", "analyzed", "converted", "downloaded", "ocrd", "failed")
STATES = frozenset(
    {"NEW", "CHECKED_IN", "IN_PROCESS", "CONVERTED", "PREVIOUSLY_DOWNLOADED", "NOT_AVAILABLE_FOR_DOWNLOAD", "AVAILABLE"}
)
_DATE = re.compile(r"(\d{4})[/-](\d\d)[/-](\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d))?)?(?:\.\d+)?")
_HEADINGS = {
    "barcode": "barcode",
    "filename": "archive",
    "file name": "archive",
    "title": "title",
    "state": "state",
    "status": "state",
    "scanned": "scanned",
    "processed": "processed",
    "analyzed": "analyzed",
    "converted": "converted",
    "downloaded": "downloaded",
    "ocr d": "ocrd",
    "ocrd": "ocrd",
    "google books": "link",
    "google books link": "link",
    "link": "link",
    "convert failed": "failed",
    "convert failed info": "reason",
    "detailed convert failed info": "detail",
}
_WAITING = ("barcode", "scanned", "processed", "analyzed", "ocrd", "link")
_LAYOUTS: Mapping[str, Sequence[Sequence[str]]] = {
    "all_books": (
        ("barcode", "scanned", "processed", "analyzed", "converted", "ocrd", "link"),
        ("barcode", "scanned", "processed", "analyzed", "converted", "downloaded"),
        ("barcode", "scanned", "converted", "downloaded", "processed", "analyzed", "", "ocrd", "link"),
    ),
    "available": (_WAITING,),
    "in_process": (_WAITING,),
    "converted": (("archive", "scanned", "converted", "downloaded", "link"),),
    "failed": (("barcode", "scanned", "processed", "analyzed", "failed", "reason", "ocrd", "detail", "link"),),
}
# What comes first in a book's life, in every round of it. Not every book need agree, only nearly all.
_ORDER = (("scanned", "processed"), ("processed", "analyzed"), ("scanned", "converted"))
# What comes first as long as books go round once: asked only where sources disagree, for then nothing else decides.
_FIRST_ROUND = (
    ("analyzed", "converted"),
    ("processed", "ocrd"),
    ("ocrd", "converted"),
    ("converted", "downloaded"),
)
_NEARLY_ALL = 0.8
# A row may have a tab too many; what is in fewer rows than this share is no column.
_SELDOM = 0.02


@dataclass(frozen=True)
class Columns:
    """The places of the columns that are known, by Entry's names, and how many cells a row has."""

    places: Mapping[str, int]
    width: int


def date_of(text: str) -> datetime | None:
    """A date such as `2019/03/04 10:11`, with dashes or without a time too; None for anything else."""
    match = _DATE.fullmatch(text)
    if match is not None:
        with suppress(ValueError):
            return datetime(*(int(part or 0) for part in match.groups()))  # type: ignore[arg-type]  # noqa: DTZ001
    return None


def name_of(heading: str) -> str:
    """Entry's name for a column's heading; empty for a column that Entry does not have."""
    words = " ".join(re.findall(r"[a-z0-9]+", heading.lower()))
    return _HEADINGS.get(words) or _HEADINGS.get(words.removesuffix(" date"), "")


def by_header(cells: Sequence[str]) -> Columns | None:
    """The columns that a header row names; None when the row is none, for it does not begin with a heading."""
    if name_of(cells[0]) not in {"barcode", "archive"}:
        return None
    places: dict[str, int] = {}
    for place, cell in enumerate(cells):
        if name := name_of(cell):
            places.setdefault(name, place)
    return Columns(places, len(cells))


def by_content(which: str, rows: Sequence[Sequence[str]]) -> Columns:
    """The columns of a list, told by a sample of its rows: those that leave no doubt."""
    width = _width(rows)
    kinds = [_kind([row[place] for row in rows if place < len(row)]) for place in range(width)]
    layouts = _LAYOUTS.get(which, ())
    fitting = [layout for layout in layouts if _fits(layout, kinds)]
    fitting = [layout for layout in fitting if not _backwards(layout, rows, contested=len(layouts) > 1)]
    places = _agreed(fitting) if fitting else _certain(kinds, rows)
    first = "archive" if which == "converted" else "barcode"
    return Columns({**places, first: 0}, width)


def _width(rows: Sequence[Sequence[str]]) -> int:
    widths = Counter(len(row) for row in rows)
    return max((width for width, count in widths.items() if count >= _SELDOM * len(rows)), default=1)


def _kind(cells: Iterable[str]) -> str:
    """date, link, state, text or blank: what nearly all cells are that are not blank."""
    kinds = Counter(_kind_of(cell.strip()) for cell in cells)
    del kinds["blank"]
    for kind, count in kinds.items():
        if count >= _NEARLY_ALL * kinds.total():
            return kind
    return "text" if kinds else "blank"


def _kind_of(cell: str) -> str:
    if not cell:
        return "blank"
    if date_of(cell):
        return "date"
    if cell.startswith(("http://", "https://")):
        return "link"
    return "state" if cell in STATES else "text"


def _fits(layout: Sequence[str], kinds: Sequence[str]) -> bool:
    """Whether the content can be of this layout; blank columns at the end may have been left out."""
    if len(kinds) == 1 or len(kinds) > len(layout):
        return False
    padded = [*kinds, *[""] * (len(layout) - len(kinds))]
    return all(_may_be(name, kind) for name, kind in zip(layout[1:], padded[1:], strict=True))


def _may_be(name: str, kind: str) -> bool:
    if name in DATES:
        return kind in {"date", "blank", ""}
    if name == "link":
        return kind in {"link", "blank"}
    return kind in {"blank", ""} if name == "" else kind in {"text", "state", "blank", ""}


def _backwards(layout: Sequence[str], rows: Sequence[Sequence[str]], *, contested: bool) -> bool:
    """Whether this layout has books live backwards."""
    at = {name: place for place, name in enumerate(layout)}
    order = _ORDER + _FIRST_ROUND if contested else _ORDER
    pairs = ((at[first], at[then]) for first, then in order if first in at and then in at)
    return any(not _in_order(rows, first, then) for first, then in pairs)


def _in_order(rows: Sequence[Sequence[str]], first: int, then: int) -> bool:
    """Whether one date comes before the other in nearly all rows that have both."""
    both = [(a, b) for row in rows if (a := _date_at(row, first)) and (b := _date_at(row, then))]
    return sum(a <= b for a, b in both) >= _NEARLY_ALL * len(both)


def _date_at(row: Sequence[str], place: int) -> datetime | None:
    return date_of(row[place].strip()) if place < len(row) else None


def _agreed(layouts: Sequence[Sequence[str]]) -> dict[str, int]:
    """The columns that all of these layouts have in the same place."""
    named = ({(name, place) for place, name in enumerate(layout) if name and place} for layout in layouts)
    return dict(set.intersection(*named))


def _certain(kinds: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, int]:
    """What no layout is needed for: the only link, the only state, and the scan, which comes before all else."""
    places = {kind: kinds.index(kind, 1) for kind in ("link", "state") if kinds[1:].count(kind) == 1}
    dates = [place for place, kind in enumerate(kinds) if kind == "date" and place]
    firsts = [one for one in dates if all(_in_order(rows, one, other) for other in dates)]
    if len(firsts) == 1 and len(dates) > 1:
        places["scanned"] = firsts[0]
    return places
