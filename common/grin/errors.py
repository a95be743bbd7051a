"""What GRIN's client knows beyond the four verdicts."""

from __future__ import annotations

from common.errors import Retry


class Passing(Retry):
    """A fault that may be over in seconds: tried again at once, a few times, before the board hears of it."""
