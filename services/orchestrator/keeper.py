"""The orchestrator's loop with GRIN, in a thread of its own: nothing else of `up` ever waits for the network.

Every `seed.every` seconds it fetches GRIN's lists. Converted books that the board does not know fill the first bucket,
the oldest first; conversions are asked for; a new version of a held book is told or brought; a book that had failed
because GRIN had no archive is tried again once there is one. An error ends a round, is told once, and the next round
tries again: a list that cannot be read is never an empty one.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice

from common import audit, board, listing
from common.config import Settings
from common.errors import ConfigError, StageError
from common.grin.client import GrinClient
from common.ledger import Ledger, NoLedger
from services.orchestrator import choosing, terminal, versions
from services.orchestrator.asked import Asked
from services.orchestrator.choosing import Choice, Chooser
from services.orchestrator.conversion import Busy, Conversion, alone
from services.orchestrator.operate import Operation, Order
from services.orchestrator.pool_pace import PoolPace
from services.orchestrator.seeding import bucket_for, seed
from services.orchestrator.wanted import Available, Lists, lacks_archive, read_lists

# Between two looks at the first bucket, which is filled from the lists as they were read last; in seconds.
_FILL_EVERY = 2.0
_AVAILABLE_EVERY = 3600.0
_JITTER = 0.1
# After a look that failed, doubled before each one that follows, up to `seed.every`; in seconds.
_AGAIN = 5.0
_NAP = 1.0


class Keeper:
    """Started and stopped by `up`; `says` are sentences for the person in front of it.

    `require` raises OSError when the board is not the one that it was.
    """

    def __init__(self, settings: Settings, *, fills: bool, require: Callable[[], None] = lambda: None) -> None:
        self.settings = settings
        self._require = require
        self.fills = fills
        self.says: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.books: dict[str, int] = {}
        """Books on GRIN's lists, by list; a list that could not be read is not there."""
        self.new_versions = 0
        self.trouble = ""
        self.asked_for = 0
        self.pace = PoolPace()
        self._asked = Asked(settings)
        self._ledger = Ledger(settings.global_.pipeline_dir / "ledger")
        self._first = bucket_for(settings, None)
        self._pending: deque[str] = deque()
        self._looked: dict[str, datetime | None] = {}
        self._revived: dict[str, datetime | None] = {}
        self._available_at = 0.0
        self._busy = ""
        self._failed = 0
        self._stop = threading.Event()
        self._client: GrinClient | None = None
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        """Begin; the board must be there."""
        self._thread.start()

    def stop(self) -> None:
        """End within about a second. A request that hangs is left to hang: whatever is killed here loses nothing."""
        self._stop.set()
        client = self._client
        if client is not None:
            with suppress(Exception):
                client.close()
        self._thread.join(_NAP)

    def facts(self) -> dict[str, object]:
        """What `status` shows of it."""
        lists = {"lists": dict(self.books), "new_versions": self.new_versions, "asked": self.asked_for}
        return {**lists, "trouble": self.trouble}

    # --- the loop ---

    def _run(self) -> None:
        looked = 0.0
        while not self._stop.is_set():
            if time.monotonic() >= looked:
                self._guarded(self._round)
                looked = time.monotonic() + self._pause() * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
            if self.fills:
                self._guarded(self._fill)
            self._stop.wait(max(0.05, min(_FILL_EVERY, looked - time.monotonic())))

    def _pause(self) -> float:
        """Seconds until the next look: soon after one that failed, since a person may be mending the cause."""
        self._failed = min(self._failed + 1, 10) if self.trouble else 0
        every = self.settings.seed.every
        return min(every, _AGAIN * 2.0**self._failed) if self._failed else every

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            self._require()
            work()
        except (StageError, ConfigError, OSError) as error:
            cure = f" {error.cure}" if isinstance(error, StageError) and error.cure else ""
            self._complain(f"The last look at GRIN's lists failed: {error}{cure} It is tried again.")
        except Exception as error:  # noqa: BLE001 - a run of months must not lose its way to GRIN to one strange answer
            self._complain(f"The last look at GRIN's lists failed: {type(error).__name__}: {error}. It is tried again.")

    def _complain(self, sentence: str) -> None:
        """Once, until it is over or something else is wrong."""
        if not self._stop.is_set() and sentence != self.trouble:
            self.trouble = sentence
            self.says.put(sentence)

    def _round(self) -> None:
        client = self._client = GrinClient(self.settings)
        try:
            found = self._lists(client)
            self._took(found)
            if self.settings.seed.convert:
                self._convert(client, found)
            self._count_available(client)
        finally:
            self._client = None
            client.close()
        if self.trouble:
            self.trouble = ""
            self.says.put("GRIN's lists can be read again.")

    def _lists(self, client: GrinClient) -> Lists:
        try:
            return read_lists(client, self._asked)
        except BaseException:
            # An old figure would look like one of now.
            self.books = {name: count for name, count in self.books.items() if name == "available"}
            raise

    def _took(self, found: Lists) -> None:
        """All that the lists are good for, without asking GRIN for more."""
        sizes = {"in_process": found.in_process, "converted": found.converted, "failed": found.failed}
        self.books |= {name: len(books) for name, books in sizes.items()}
        self._pending = deque(_oldest_first(found.converted))
        if self.fills:
            self._fill()
        self._revive(found)
        if self.settings.seed.new_versions != "ignore":
            self._look_for_new_versions(found)

    # --- the first bucket ---

    def _fill(self) -> None:
        """Up to `seed.keep` waiting books, from what is converted and not known."""
        # Lists take long to read, and the board may have gone meanwhile.
        self._require()
        keep = self.settings.seed.keep
        room = keep - listing.count(self._first, board.WAITING, keep)
        # A bucket that is nearly full is left alone: each look costs a sync.
        if not self._pending or room < max(1, keep // 10):
            return
        for _ in seed(self.settings, islice(self._unknown(), room), self._first):
            if self._stop.is_set():
                return

    def _unknown(self) -> Iterator[str]:
        while self._pending:
            barcode = self._pending.popleft()
            if not self._ledger.path(barcode).exists():
                yield barcode

    def _revive(self, found: Lists) -> None:
        """Once for each conversion: a book may fail again although it is listed."""
        back = [
            barcode
            for barcode in listing.barcodes(self._first, board.FAILED)
            if barcode in found.converted
            and not (barcode in self._revived and self._revived[barcode] == found.converted[barcode])
            and lacks_archive(self._ledger, barcode)
        ]
        self._revived = {b: date for b, date in self._revived.items() if b in found.converted}
        self._revived |= {barcode: found.converted[barcode] for barcode in back}
        if back:
            order = Order(audit.who(), "GRIN has its archive now")
            chooser = Chooser(self.settings, choosing.RETRY, Choice(names=back))
            moved = sum(outcome.done for outcome in Operation(self.settings, choosing.RETRY, chooser, order).run())
            told = f"{terminal.books(moved)} that had failed for want of an archive"
            self.says.put(f"{told} can be fetched now: tried again.")

    # --- conversions ---

    def _convert(self, client: GrinClient, found: Lists) -> None:
        conversion = Conversion(self.settings, client, self._asked, downloaded=self.pace.in_a_day())
        limits = self.settings.grin
        # Each round costs a whole list: for a handful of books it waits.
        if conversion.look(found) < max(1, min(limits.process_batch, limits.converted_pool // 10)):
            return
        available = Available(self.settings, client)
        try:
            self._counted(available)
            with alone(self.settings):
                if self._asked.refresh():
                    # Somebody else has asked since these lists were read: the next round knows what room is left.
                    return
                report = conversion.ask(conversion.wanted().everything(available))
        except Busy as busy:
            if str(busy) != self._busy:
                self._busy = str(busy)
                self.says.put(f"{busy} This orchestrator asks for none meanwhile.")
            return
        finally:
            available.close()
            asked = sum(conversion.report.asked.values())
            self.asked_for += asked
            if asked:
                taken = conversion.report.asked["accepted"]
                self.says.put(f"Asked GRIN to convert {terminal.books(asked)}; {taken:,} of them accepted.")
        if report.ended:
            self.says.put(report.ended)

    def _count_available(self, client: GrinClient) -> None:
        if time.monotonic() >= self._available_at:
            self.books.pop("available", None)
            available = Available(self.settings, client)
            self._counted(available)
            available.close()

    def _counted(self, available: Available) -> None:
        self.books["available"] = available.count
        self._available_at = time.monotonic() + _AVAILABLE_EVERY

    # --- new versions ---

    def _look_for_new_versions(self, found: Lists) -> None:
        """A book that was delivered, and that GRIN has converted since; each conversion is looked at once."""
        self._looked = {b: date for b, date in self._looked.items() if b in found.converted}
        heads = {row.name for row in self.settings.filters if row.input_pipe == self._first}
        for barcode, date in found.converted.items():
            if date is None or self._looked.get(barcode) == date or self._stop.is_set():
                continue
            with suppress(NoLedger):
                held = versions.fetched(self._ledger.read(barcode), heads)
                # A book that is still on its way is looked at again.
                if held is not None:
                    self._looked[barcode] = date
                if versions.is_newer(date, held):
                    self._new_version(barcode, date)

    def _new_version(self, barcode: str, date: datetime) -> None:
        self.new_versions += 1
        told = f"GRIN has converted {barcode} anew on {date:%Y-%m-%d}, after we fetched it"
        if self.settings.seed.new_versions == "report":
            self.says.put(f"{told}; `seed: {{new_versions: bring}}` would bring it beside the old version.")
            return
        if versions.bring(self.settings, barcode, f"converted anew on {date:%Y-%m-%d}", by=audit.who()):
            self.says.put(f"{told}; it is brought beside the old version.")


def _oldest_first(converted: dict[str, datetime | None]) -> list[str]:
    """By date; those without one first, in the list's order: they may be the next to be pushed out."""
    return sorted(converted, key=lambda barcode: converted[barcode] or datetime.min)  # noqa: DTZ901 - GRIN has no zone
