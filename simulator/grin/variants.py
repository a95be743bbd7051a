"""The points on which GRIN is in doubt, each of which a server can have either way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Variants:
    """How this GRIN is where sources disagree or say nothing; ValueError for a way that there is not."""

    columns: int = 7
    """Of `_all_books` with `mode=all`: 6 (with dashes in dates and no link), 7 or 9."""
    lists: str = "both"
    """`html`: text lists answer with the page, too; `text`: pages answer with the text."""
    header: bool = False
    """Text lists begin with a row of names."""
    crlf: bool = False
    """Text lines end with CR LF."""
    short_rows: bool = False
    """A third of the books have no link, and rows of all columns end at their last value."""
    blank_reasons: bool = False
    """No conversion says why it failed; otherwise a quarter says nothing."""
    prefixed: str = ""
    """`lists`: archives are named `<DIR>_<BARCODE>.tar.gz.gpg`; `only`: and the name without it is 404."""
    suffixed: bool = False
    """`_in_process` has file names, too."""
    no_downloaded: bool = False
    """`_available` leaves out the books that were downloaded once."""
    no_head: bool = False
    """HEAD is 405."""
    no_range: bool = False
    """Range is ignored."""
    no_etag: bool = False
    """There are no ETags."""
    weak_etag: bool = False
    """ETags are weak, so If-Range never holds."""
    no_length: bool = False
    """Archives come in chunks, without Content-Length."""
    unknown: str = "error"
    """`_process` of an unknown barcode: `error` (Other error), or `absent` (no row)."""
    process_max: int = 0
    """So many barcodes of one `_process` are looked at, those after them are silently left out; 0: all."""
    retry_after: int | None = None
    """Seconds that the 429 of a full queue asks to wait."""
    max_rate: float = 0
    """Above so many requests a second the rest is refused; 0: no limit."""
    over: str = "429"
    """How it is refused: `429`, or `drop` (the connection is reset)."""
    acl_seconds: float = 0
    """So long after the start the account is not on the library's list: 403."""

    def __post_init__(self) -> None:
        for name, known in KNOWN.items():
            if getattr(self, name) not in known:
                words = ", ".join(str(value) for value in known if value)
                raise ValueError(f"{name} cannot be {getattr(self, name)!r}; there are {words}.")


KNOWN: dict[str, tuple[str | int, ...]] = {
    "columns": (6, 7, 9),
    "lists": ("both", "html", "text"),
    "prefixed": ("", "lists", "only"),
    "unknown": ("error", "absent"),
    "over": ("429", "drop"),
}
