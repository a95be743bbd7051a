"""How much an archive may cost before it is refused: the extractor's options."""

from __future__ import annotations

from common.settings import Count, Seconds, Section, Size


class Limits(Section):
    """Budgets of one book; sizes in bytes, time in seconds, `max_ratio` in bytes out for each byte in."""

    max_members: Count = 20_000
    max_bytes: Size = 16 << 30
    max_ratio: Count = 200
    max_seconds: Seconds = 3600
