"""What GRIN's client knows beyond the four verdicts."""

from __future__ import annotations

from common.errors import Retry


class Passing(Retry):
    """A fault that may be over in seconds: tried again at once, a few times, before the board hears of it."""


class QueueFull(Passing):
    """GRIN takes no more conversions now (429 on `_process`); never tried again within seconds, no book's fault."""


class LoginPage(Exception):  # noqa: N818 - what GRIN answered, not an error yet
    """GRIN wants a login: the access token with this number is to be renewed, once."""

    def __init__(self, number: int = 0) -> None:
        super().__init__(f"access token {number} is not good")
        self.number = number


class Away(Passing):
    """GRIN, or Google's token server, cannot be spoken with at all: no book's fault, so the stage halts if it lasts."""
