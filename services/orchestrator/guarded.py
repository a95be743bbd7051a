"""What only counts and shows is not worth a run of months: what is at fault there is told once, and logged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from common import logs

T = TypeVar("T")
# So many different faults are told.
_MOST = 20


class Guarded:
    """Call it with what is to be done."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, work: Callable[[], T]) -> T | None:
        """What comes of it; None when it was at fault. An OSError is the board's own, and goes through."""
        try:
            return work()
        except OSError:
            raise
        except Exception as error:
            sentence = f"The board cannot be counted: {type(error).__name__}: {error}. The work goes on."
            if sentence not in self._told and len(self._told) < _MOST:
                self._told.add(sentence)
                logging.getLogger(logs.NAME).exception(sentence)
            return None
