"""Which token next: streams a bucket's names, so that a claim costs the same with a thousand tokens and a million."""

from __future__ import annotations

import errno
import heapq
import logging
import os
import random
import time
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from common import board, listing, logs

# Names taken from the listing at once; shuffled, so that many workers on one bucket seldom want the same token.
_BATCH = 64
# After so many lost races in a row the rest of a batch is left to the others, until the listing is used up; of what
# was left no more names than the second figure are remembered, the next listing has them all.
_CROWDED, _LEFT = 2, 1024
# Deferred tokens are looked through this often, in seconds; many of them so seldom that it costs one per cent.
_DEFERRED_EVERY, _DEFERRED_SHARE = 1.0, 100
_SOONEST = 10_000
# A bucket is listed again no sooner than this after the last time, in seconds, and than so many times as long as the
# reading took: ext4 never shrinks a folder that was large, and an empty one is read to its end for nothing.
_RELIST_AFTER, _RELIST_SHARE = 0.02, 4
# One look for a token takes no longer than this, in seconds, however many cannot be had: pauses, limits, reaping and
# signals must be seen too.
_LONGEST_LOOK = 0.5
# A name that cannot be renamed, though its neighbours can, is tried again after so many seconds.
_NOT_THIS_ONE, _LOOK_AGAIN = (errno.EACCES, errno.EPERM, errno.EBUSY), 60.0


class Feed:
    """Claims tokens of one bucket for one worker: new ones and due ones in turn, so that neither starves."""

    def __init__(self, bucket: Path, worker: str) -> None:
        self.bucket = bucket
        self.worker = worker
        self.log = logging.getLogger(logs.NAME)
        self.number = 0
        self.closed = False
        """Once true, nothing more is claimed, however far a look at the bucket has come."""
        self._names: Iterator[str] = iter(())
        self._batch: list[str] = []
        self._left: deque[str] = deque(maxlen=_LEFT)
        self._last_batch = False
        self._took = self._listed_at = 0.0
        self._due: list[tuple[float, str]] = []
        self._look_at = 0.0
        self._skipped: dict[str, float] = {}
        self._turn = 0

    def next(self, server_now: float) -> board.Claim | None:
        """A claim, or None when nothing is to be had now. `server_now` decides which deferred tokens are due."""
        self._turn += 1
        sources = (self._from_waiting, self._from_deferred)
        for source in sources if self._turn % 2 else reversed(sources):
            held = source(server_now)
            if held is not None:
                return held
        return None

    def skip(self, barcode: str, seconds: float) -> None:
        """Leave a token alone for a while."""
        self._skipped[barcode] = time.monotonic() + seconds

    def _claim(self, barcode: str, state: str) -> board.Claim | None:
        if self._skipped and self._skipped.get(barcode, 0.0) > time.monotonic():
            return None
        self._skipped.pop(barcode, None)
        if self.closed:
            return None
        self.number += 1
        try:
            return board.claim(self.bucket, barcode, self.worker, self.number, state)
        except OSError as error:
            if error.errno not in _NOT_THIS_ONE or not os.access(self.bucket / board.WORKING, os.W_OK):
                raise
            # Something of somebody else's under a token's name; the others must flow.
            self.log.warning(f"{barcode} cannot be claimed, so it is left alone: {error}.", extra={"barcode": barcode})
            self.skip(barcode, _LOOK_AGAIN)
            return None

    def _from_waiting(self, _server_now: float) -> board.Claim | None:
        lost, end = 0, time.monotonic() + _LONGEST_LOOK
        while time.monotonic() < end and not self.closed and (self._batch or self._refill()):
            held = self._claim(self._batch.pop(), board.WAITING)
            if held is not None:
                return held
            lost += 1
            if lost % _CROWDED == 0 and not self._last_batch:
                # Others are eating this batch: leave it to them for now, and go where nobody is.
                self._left.extend(self._batch)
                self._batch.clear()
        return None

    def _refill(self) -> bool:
        self._next_batch()
        self._last_batch = not self._batch
        if self._last_batch:
            self._batch, self._left = list(self._left), deque(maxlen=_LEFT)
        if not self._batch and time.monotonic() >= self._listed_at + max(_RELIST_AFTER, _RELIST_SHARE * self._took):
            self._names, self._listed_at, self._took = listing.barcodes(self.bucket), time.monotonic(), 0.0
            self._last_batch = False
            self._next_batch()
        random.shuffle(self._batch)
        return bool(self._batch)

    def _next_batch(self) -> None:
        began = time.monotonic()
        self._batch = list(islice(self._names, _BATCH))
        self._took += time.monotonic() - began

    def _from_deferred(self, server_now: float) -> board.Claim | None:
        if time.monotonic() >= self._look_at:
            began = time.monotonic()
            # In order, so a heap already; those that come later wait for a later look.
            self._due = heapq.nsmallest(_SOONEST, self._deferred())
            took = time.monotonic() - began
            self._look_at = began + max(_DEFERRED_EVERY, _DEFERRED_SHARE * took)
        end = time.monotonic() + _LONGEST_LOOK
        while self._due and self._due[0][0] <= server_now and time.monotonic() < end:
            held = self._claim_due(*heapq.heappop(self._due), server_now)
            if held is not None:
                return held
        return None

    def _claim_due(self, due: float, barcode: str, server_now: float) -> board.Claim | None:
        # Others may have taken it since the look, tried it in vain and deferred it anew: that is not due.
        if _mtime(self.bucket, barcode) != due:
            return None
        held = self._claim(barcode, board.DEFERRED)
        if held is not None and held.since > server_now:
            board.defer(held, held.since)
            return None
        return held

    def _deferred(self) -> Iterator[tuple[float, str]]:
        for barcode in listing.barcodes(self.bucket, board.DEFERRED):
            due = _mtime(self.bucket, barcode)
            if due is not None:
                yield due, barcode


def _mtime(bucket: Path, barcode: str) -> float | None:
    """When a deferred token is due; None when it is gone."""
    try:
        return os.lstat(board.path_of(bucket, barcode, board.DEFERRED)).st_mtime
    except FileNotFoundError:
        return None
