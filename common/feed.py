"""Which token next: streams a bucket's names, so that a claim costs the same with a thousand tokens and a million."""

from __future__ import annotations

import errno
import heapq
import logging
import os
import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from common import board, listing, logs

# Names taken from the listing at once; shuffled, so that many workers on one bucket seldom want the same token.
_BATCH = 64
# Deferred tokens are looked through this often, in seconds; many of them so seldom that it costs one per cent.
_DEFERRED_EVERY, _DEFERRED_SHARE = 1.0, 100
# An emptied bucket is listed again no sooner than this, in seconds; ext4 never shrinks a folder that was large.
_RELIST_AFTER = 0.02
# A name that cannot be renamed, though its neighbours can, is tried again after so many seconds.
_NOT_THIS_ONE, _LOOK_AGAIN = (errno.EACCES, errno.EPERM, errno.EBUSY), 60.0


class Feed:
    """Claims tokens of one bucket for one worker: new ones and due ones in turn, so that neither starves."""

    def __init__(self, bucket: Path, worker: str) -> None:
        self.bucket = bucket
        self.worker = worker
        self.log = logging.getLogger(logs.NAME)
        self.number = 0
        self._names: Iterator[str] = iter(())
        self._batch: list[str] = []
        self._listed = 0.0
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
        while self._batch or self._refill():
            held = self._claim(self._batch.pop(), board.WAITING)
            if held is not None:
                return held
        return None

    def _refill(self) -> bool:
        self._batch = list(islice(self._names, _BATCH))
        if not self._batch and time.monotonic() - self._listed >= _RELIST_AFTER:
            self._names = listing.barcodes(self.bucket)
            self._batch = list(islice(self._names, _BATCH))
            self._listed = time.monotonic()
        random.shuffle(self._batch)
        return bool(self._batch)

    def _from_deferred(self, server_now: float) -> board.Claim | None:
        if time.monotonic() >= self._look_at:
            began = time.monotonic()
            self._due = list(self._deferred())
            heapq.heapify(self._due)
            took = time.monotonic() - began
            self._look_at = began + max(_DEFERRED_EVERY, _DEFERRED_SHARE * took)
        while self._due and self._due[0][0] <= server_now:
            held = self._claim(heapq.heappop(self._due)[1], board.DEFERRED)
            if held is not None:
                return held
        return None

    def _deferred(self) -> Iterator[tuple[float, str]]:
        for barcode in listing.barcodes(self.bucket, board.DEFERRED):
            try:
                yield os.lstat(board.path_of(self.bucket, barcode, board.DEFERRED)).st_mtime, barcode
            except FileNotFoundError:
                continue
