"""What GRIN was asked to convert, and what it said: the board's memory of conversions.

`<board>/grin/conversions.jsonl` is only ever appended to, by as many writers as there are: a line a batch and answer,
or a line a reason for those that failed. A line that is torn or strange is passed over.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from common import durable
from common.grin.entries import Entry
from common.grin.process import Answered, Status
from common.ledger import now
from common.settings import Settings

FOLDER, FILE = "grin", "conversions.jsonl"
FAILED = "failed"
# A list may lag behind, so a book that was asked for has so many seconds to show on one, and is asked for so often.
GRACE, CAP = 7200.0, 3
# After an answer that nobody knows a book is asked for again after so many seconds, and so often before it has failed.
OTHER_AGAIN, OTHER_TRIES = 86_400.0, 3
_DAY = 86_400.0
# Barcodes of one reason are cut into lines of so many, and the file is read in pieces of so many bytes.
_LINE, _PIECE = 5_000, 1 << 20
_STATUSES = frozenset({*Status, FAILED})
_AT_WORK = frozenset({Status.ACCEPTED, Status.IN_PROCESS, Status.CONVERTED})
# Of a book that was asked for and has been in the pool since: if it is gone, it was pushed out, and no list lags.
SEEN = "seen"


@dataclass(frozen=True, slots=True)
class Mark:
    """What is remembered of a book; books of one batch share it. `at` in seconds since the epoch."""

    status: str
    at: float
    count: int
    """How often in a row it was asked for and taken, or answered with something that nobody knows."""
    failed: str = ""
    """The failure that is known, by GRIN's date or its reason."""


_SEEN = Mark(SEEN, 0.0, 0)


class Asked:
    """The memory of one board, read once and then kept up: a dict entry a book, the barcodes as the largest part.

    With `dry_run` what is recorded is remembered until the end of this process, and nothing is written.
    """

    def __init__(self, settings: Settings, *, dry_run: bool = False) -> None:
        self.dry_run = dry_run
        self.path = settings.global_.pipeline_dir / FOLDER / FILE
        self.again = settings.seed.failed_again_days * _DAY
        self._marks: dict[str, Mark] = {}
        self._shared: dict[Mark, Mark] = {}
        self._offset = 0

    def __len__(self) -> int:
        return len(self._marks)

    def get(self, barcode: str) -> Mark | None:
        """What is remembered of a book."""
        return self._marks.get(barcode)

    def refused(self) -> Iterator[str]:
        """The books that GRIN may not convert, as it has said."""
        return (barcode for barcode, mark in self._marks.items() if mark.status == Status.REFUSED)

    def refresh(self) -> bool:
        """Read what was written since the last time, by whomever: whether anything was. A line without an end waits."""
        before = self._offset
        try:
            file = os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")
        except FileNotFoundError:
            return False
        with file:
            file.seek(self._offset)
            rest = b""
            while piece := file.read(_PIECE):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    self._take(line)
            self._offset = file.tell() - len(rest)
        self._shared.clear()
        return self._offset > before

    def why_not(self, barcode: str, moment: float) -> str:
        """Why this book, which is on no list of GRIN's, is not to be asked for now; empty when it is."""
        mark = self._marks.get(barcode)
        if mark is None or mark.status == SEEN:
            return ""
        if mark.status == Status.REFUSED:
            return "refused"
        waited = moment - mark.at
        if mark.status == FAILED:
            return "failed" if waited < self.again else ""
        if mark.status == Status.OTHER:
            return "answered otherwise" if waited < (OTHER_AGAIN if mark.count < OTHER_TRIES else self.again) else ""
        if waited < GRACE:
            return "asked lately"
        return "given up" if mark.count >= CAP else ""

    def note_seen(self, in_process: Iterable[str], converted: Iterable[str]) -> None:
        """Which of the books that were asked for are on GRIN's lists now; only this process remembers it."""
        now_at_work = Mark(Status.IN_PROCESS.value, time.time(), 0)
        for books, status in ((in_process, now_at_work.status), (converted, SEEN)):
            for barcode in books:
                mark = self._marks.get(barcode)
                if mark is not None and mark.status in _AT_WORK:
                    fresh = replace(now_at_work, status=status, failed=mark.failed) if mark.failed else None
                    self._marks[barcode] = fresh or (now_at_work if status != SEEN else _SEEN)

    def unseen(self, moment: float, *lists: Container[str]) -> int:
        """How many accepted books are on none of these lists yet: until a while has passed they count as queued."""
        return sum(
            mark.status == Status.ACCEPTED and moment - mark.at < GRACE and not any(barcode in found for found in lists)
            for barcode, mark in self._marks.items()
        )

    def record(self, answers: Mapping[str, Answered]) -> None:
        """Remember GRIN's answers to one request; durable when this returns."""
        groups: dict[tuple[str, str], list[str]] = {}
        for barcode, answered in answers.items():
            groups.setdefault((answered.status.value, answered.text), []).append(barcode)
        self._append({"status": status, "text": text, "barcodes": books} for (status, text), books in groups.items())

    def record_failed(self, entries: Iterable[Entry], on_lists: frozenset[str] | set[str]) -> int:
        """Remember what `_failed` tells that is new, by GRIN's date of it; how many books. `on_lists` are at GRIN."""
        groups: dict[tuple[str, str], list[str]] = {}
        count, moment = 0, time.time()
        for entry in entries:
            stamp = entry.failed.isoformat(timespec="minutes") if entry.failed else ""
            if entry.barcode not in on_lists and self._is_news(entry.barcode, stamp, moment):
                groups.setdefault((stamp, entry.reason or entry.detail), []).append(entry.barcode)
                count += 1
        self._append(
            {"status": FAILED, "failed": stamp, "text": reason, "barcodes": books[start : start + _LINE]}
            for (stamp, reason), books in groups.items()
            for start in range(0, len(books), _LINE)
        )
        return count

    def _is_news(self, barcode: str, stamp: str, moment: float) -> bool:
        mark = self._marks.get(barcode)
        if mark is None:
            return True
        if stamp:
            return stamp != mark.failed
        # Without a date an old failure that is still listed looks like a new one, until the lists have caught up.
        return mark.status != FAILED and moment - mark.at > GRACE

    def _append(self, lines: Iterable[dict[str, Any]]) -> None:
        """One write and one sync for all of them."""
        data = b"".join(json.dumps({"time": now(), **line}, ensure_ascii=False).encode() + b"\n" for line in lines)
        if self.dry_run:
            for line in data.split(b"\n"):
                self._take(line)
        elif data:
            self._write(data)
            self.refresh()

    def _write(self, data: bytes) -> None:
        durable.make_dirs(self.path.parent)
        created = not self.path.exists()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(self.path, flags, 0o644)
        try:
            size = os.fstat(fd).st_size
            torn = size and os.pread(fd, 1, size - 1) != b"\n"
            durable.write_all(fd, b"\n" + data if torn else data)
            os.fsync(fd)
        finally:
            os.close(fd)
        if created:
            durable.fsync_dir(self.path.parent)

    def _take(self, line: bytes) -> None:
        for barcode, status, at, failed in _events(line):
            before = self._marks.get(barcode)
            mark = _after(before, status, at, failed)
            self._marks[barcode] = self._shared.setdefault(mark, mark)


def _after(before: Mark | None, status: str, at: float, failed: str) -> Mark:
    """What is remembered after one more event."""
    known = before.failed if before else ""
    if status == FAILED:
        return Mark(FAILED, at, 0, failed)
    if status == Status.OTHER:
        return Mark(status, at, before.count + 1 if before and before.status == status else 1, known)
    asked = before.count if before and before.status in _AT_WORK else 0
    return Mark(status, at, asked + 1, known)


def _events(line: bytes) -> Iterator[tuple[str, str, float, str]]:
    """The books of a line with status, time, and the failure's mark; nothing where the line is not one of ours."""
    try:
        event = json.loads(line)
        books, status, failed = event["barcodes"], event["status"], event.get("failed", "")
        at = _seconds(failed, event["time"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return
    if status in _STATUSES and isinstance(books, list) and isinstance(failed, str):
        yield from ((barcode, status, at, failed) for barcode in books if isinstance(barcode, str))


def _seconds(failed: str, told: str) -> float:
    """When it happened: GRIN's date of a failure, of unknown zone, if that is before our own."""
    ours = datetime.fromisoformat(told).timestamp()
    if not failed:
        return ours
    return min(ours, datetime.fromisoformat(failed).replace(tzinfo=UTC).timestamp())
