"""The days and hours of a book's life at Google."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


@dataclass(frozen=True)
class Dates:
    """Scan, processing, analysis, OCR and conversion, in this order; the zone is not written anywhere."""

    scanned: datetime
    processed: datetime
    analyzed: datetime
    recognised: datetime
    converted: datetime

    @classmethod
    def drawn(cls, rng: random.Random) -> Dates:
        """A plausible row of dates, the same for the same state of `rng`."""
        scanned = datetime(2006, 1, 2, tzinfo=UTC) + timedelta(days=rng.randrange(4000), minutes=rng.randrange(1440))
        processed = datetime(2022, 1, 3, tzinfo=UTC) + timedelta(days=rng.randrange(800), minutes=rng.randrange(1440))
        analyzed = processed + timedelta(minutes=rng.randint(200, 900))
        recognised = analyzed + timedelta(minutes=rng.randint(30, 300))
        return cls(scanned, processed, analyzed, recognised, recognised + timedelta(days=3, minutes=rng.randrange(600)))

    @property
    def capture_day(self) -> str:
        """The scan's day as YYYY-MM-DD."""
        return f"{self.scanned:%Y-%m-%d}"


def iso(moment: datetime) -> str:
    """Date and time without a zone, as the METS has it."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}"
