"""Asks GRIN for conversions, within what its queue and its pool can take.

Of what GRIN converts, the pool keeps only the newest. In the worst case everything that is queued ends within a day, so
no more is asked for than fits into the pool with what lies there for us, plus what we bring home in a day.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from common import durable
from common.config import Settings
from common.grin.client import GrinClient
from common.grin.errors import QueueFull
from common.grin.process import Answered, Status
from services.orchestrator.asked import FOLDER, Asked
from services.orchestrator.render import plain
from services.orchestrator.wanted import Available, Lists, Wanted, read_lists, undelivered

LOCK = "converting.lock"
# After so many accepted books GRIN's queue is counted again: others may fill it, and its own work empties it.
_RECOUNT = 5_000
_TAKES_ROOM = (Status.ACCEPTED, Status.IN_PROCESS, Status.CONVERTED)


class Busy(Exception):  # noqa: N818 - somebody else's state
    """Another process asks for conversions on this board now."""


@dataclass
class Report:
    """How a round went. `asked` counts GRIN's answers, `others` why books were not asked for; of a dry run, `would`."""

    queue_room: int = 0
    pool_room: int | None = None
    """None: not looked at."""
    asked: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    """GRIN's own, where nobody knows what they mean."""
    would: int = 0
    left: int = 0
    """Books that were wanted and found no room."""
    ended: str = ""
    """Why it ended early, in a sentence."""

    def as_dict(self) -> dict[str, Any]:
        """The members of the JSON object."""
        rooms = {"queue_room": self.queue_room, "pool_room": self.pool_room}
        asked = {status.value: self.asked[status] for status in Status}
        counts = {"asked": sum(self.asked.values()), "answers": asked, "would_ask": self.would, "no_room": self.left}
        return {
            **counts,
            "not_asked": dict(self.others),
            "other_answers": dict(self.words),
            **rooms,
            "ended": self.ended,
        }


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """Hold the board's lock for conversions; Busy when another process has it. It is released however we end."""
    folder = settings.global_.pipeline_dir / FOLDER
    durable.make_dirs(folder)
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(_busy(os.pread(fd, 200, 0))) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        yield
    finally:
        os.close(fd)


def _busy(holder: bytes) -> str:
    who = plain(holder.decode(errors="replace")).strip() or "Another process"
    return f"{who[0].upper()}{who[1:]} asks for conversions on this board now, or was stopped while it did."


class Conversion:
    """One round. `downloaded` books were brought home in the last day; `report` grows while it goes."""

    def __init__(self, settings: Settings, client: GrinClient, asked: Asked, *, downloaded: int = 0) -> None:
        self.settings = settings
        self.client = client
        self.asked = asked
        self.downloaded = downloaded
        self.report = Report()
        self._since = 0
        self._found = Lists(set(), {})

    def look(self, found: Lists | None = None, *, fill_queue: bool = False) -> int:
        """Read GRIN's lists, unless they are at hand, and see for how many books there is room."""
        self._found = found or read_lists(self.client, self.asked)
        limits, queued = self.settings.grin, self._queued()
        self.report.queue_room = max(0, limits.queue_limit - queued)
        if not fill_queue:
            lying = undelivered(self.settings, self._found)
            self.report.pool_room = max(0, limits.converted_pool + self.downloaded - queued - lying)
        return self._room()

    def wanted(self, *, again: bool = False) -> Wanted:
        """Chooses by the lists that were looked at."""
        chooser = Wanted(self.settings, self._found, self.asked, time.time(), again=again)
        self.report.others = chooser.others
        return chooser

    def dry_run(self, wanted: Iterable[str], limit: int | None) -> Report:
        """Count what would be asked for now, and what is left for later."""
        most = self._room() if limit is None else min(limit, self._room())
        for number, _ in enumerate(wanted):
            self.report.would += number < most
            self.report.left += number >= most
        return self.report

    def ask(self, wanted: Iterator[str], limit: int | None = None) -> Report:
        """Ask for these books in their order as long as there is room; each answer is remembered before the next."""
        left = limit
        while (most := self._most(left)) > 0 and (some := list(islice(wanted, most))):
            left = None if left is None else left - len(some)
            if not self._ask_some(some):
                self.report.ended = "GRIN's queue is full now (429). That is no fault; the next round goes on."
                break
        return self.report

    def _ask_some(self, some: Sequence[str]) -> bool:
        """Ask for a few; False when GRIN took only the first of them, or none."""
        done = 0
        for batch in self.client.batches(some):
            try:
                answers = self.client.request_conversions(batch)
            except QueueFull:
                self.report.left += len(some) - done
                return False
            self._note(answers)
            done += len(batch)
        return True

    def _most(self, left: int | None) -> int:
        most = self.settings.grin.process_batch
        if left is not None:
            most = min(most, left)
        if most > 0 and (self._since >= _RECOUNT or not self.report.queue_room) and self._room_in_pool():
            self._recount()
        return min(most, self._room())

    def _recount(self) -> None:
        if self._since:
            self._since = 0
            self._found.in_process = set(self.client.barcodes("in_process"))
            self.report.queue_room = max(0, self.settings.grin.queue_limit - self._queued())

    def _queued(self) -> int:
        """What GRIN lists as queued, and what it has taken and does not list yet: lists may lag."""
        found = self._found
        return len(found.in_process) + self.asked.unseen(time.time(), found.in_process, found.converted, found.failed)

    def _room(self) -> int:
        pool = self.report.pool_room
        return self.report.queue_room if pool is None else min(self.report.queue_room, pool)

    def _room_in_pool(self) -> bool:
        return self.report.pool_room is None or self.report.pool_room > 0

    def _note(self, answers: Mapping[str, Answered]) -> None:
        self.asked.record(answers)
        for answered in answers.values():
            self.report.asked[answered.status] += 1
            if answered.status is Status.OTHER:
                self.report.words[answered.text] += 1
        taken = sum(answered.status in _TAKES_ROOM for answered in answers.values())
        self._since += taken
        self.report.queue_room = max(0, self.report.queue_room - taken)
        if self.report.pool_room is not None:
            self.report.pool_room = max(0, self.report.pool_room - taken)


def whole_round(
    conversion: Conversion, barcodes: Iterable[str] | None, limit: int | None, *, again: bool, dry_run: bool
) -> Report:
    """A person's round, to its end: named books or all that is wanted, and how much finds no room."""
    chooser = conversion.wanted(again=again)
    if barcodes is not None:
        return _carried_out(conversion, chooser.named(barcodes), limit, dry_run)
    available = Available(conversion.settings, conversion.client)
    try:
        return _carried_out(conversion, chooser.everything(available), limit, dry_run)
    finally:
        available.close()


def _carried_out(conversion: Conversion, wanted: Iterator[str], limit: int | None, dry_run: bool) -> Report:
    if dry_run:
        return conversion.dry_run(wanted, limit)
    report = conversion.ask(wanted, limit)
    report.left += sum(1 for _ in wanted)
    return report
