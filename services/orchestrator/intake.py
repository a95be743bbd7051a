"""Seeding beside everything else: a slice of time at a turn, so that stages work and signals count meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

from common import board, listing
from common.config import Settings
from common.errors import ConfigError, StageError
from services.orchestrator.seeding import Source, Tally, Wish, bucket_for, seed

_REPORT_EVERY = 30.0


class Intake:
    """One seeding, begun by `open`; ConfigError when the wish itself is wrong, before anything is made.

    With `only_recover` no new book is seeded: another one sees to that.
    """

    def __init__(
        self, settings: Settings, wish: Wish, say: Callable[[str], None], *, only_recover: bool = False
    ) -> None:
        self.settings = settings
        self.wish = wish
        self.say = say
        self.done = False
        self.failed = False
        self._stack = ExitStack()
        self._tally = Tally()
        self._told = time.monotonic()
        self._bucket = bucket_for(settings, wish.at)
        self._barcodes = iter(()) if only_recover else self._stack.enter_context(Source(settings, wish))
        self._seeding: Iterator[Tally] = iter(())

    def open(self) -> None:
        """Begin, once the board is there: when somebody asked for these books, or the first bucket is empty."""
        wanted = self.wish.explicit or not listing.count(self._bucket, board.WAITING, 1)
        # With none wanted, what a seeder that died had registered is placed all the same.
        self._seeding = seed(self.settings, self._barcodes if wanted else (), self._bucket)

    def turn(self, seconds: float) -> None:
        """Seed for so long, or to the end. A list that cannot be read ends it: what is on the board needs no list."""
        end = time.monotonic() + seconds
        try:
            while not self.done and time.monotonic() < end:
                self._one()
        except (StageError, ConfigError, OSError) as error:
            cure = f" {error.cure}" if isinstance(error, StageError) else ""
            self.say(f"Seeding broke off: {error}{cure}")
            self.failed = True
            self._end()

    def _one(self) -> None:
        tally = next(self._seeding, None)
        if tally is None:
            self._end()
            return
        self._tally = tally
        if time.monotonic() - self._told > _REPORT_EVERY:
            self._told = time.monotonic()
            self._report()

    def _end(self) -> None:
        self.done = True
        self._stack.close()
        if self._tally.new or (self.wish.explicit and self._tally.known):
            self._report()

    def _report(self) -> None:
        self.say(f"Seeded {self._tally.new:,} new books; {self._tally.known:,} were known already.")
