"""One line of an audit: which book, what does not agree, in which way, and what cures it."""

from __future__ import annotations

from dataclasses import dataclass

MISSING, EXTRA, CHANGED, STUCK, LOST = "missing", "extra", "changed", "stuck", "lost at GRIN"
KINDS = (MISSING, EXTRA, CHANGED, STUCK, LOST)
# What `--fix` can do about it: place a token that was registered, give the book a new one in the first bucket or, with
# all of it in the store, in the last; send it back to the first bucket as it is, or as a new version. Without one, a
# person must look.
PLACE, RESEED, HOME, RESEND, BRING = "place", "reseed", "home", "resend", "bring"

FIXES = {
    PLACE: "its token is placed",
    RESEED: "it gets a new token",
    HOME: "it gets a new token in the last bucket, since all of it is in the store",
    RESEND: "it goes back to the first bucket",
    BRING: "it is brought beside the version that is held",
}


@dataclass(frozen=True)
class Discrepancy:
    """What does not agree about one book; `fix` is one of the above or empty. `sure`: even if the book moves on."""

    barcode: str
    what: str
    detail: str
    cure: str
    fix: str = ""
    sure: bool = False
    bucket: str = ""
    """The done bucket that a new token should name; empty for the configuration's."""

    @property
    def is_finding(self) -> bool:
        """What is only told, and cannot be set right here, makes no audit end with code 1."""
        return self.what != LOST
