"""Brings back the claims of dead workers. Safe to run in many processes at once: every return is one rename.

A worker is dead when its heartbeat is older than `reap_after`, or when it has had no heartbeat file at all for that
long in this reaper's own sight: a listing may be stale, so "not seen" is never taken for "gone" at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from common import board
from common.ledger import Ledger

# Files of dead workers stay so long, in multiples of reap_after, for a person to see that they died.
_KEEP = 20


class Reaper:
    """Looks through the given buckets whenever `turn` is called."""

    def __init__(self, root: Path, buckets: Iterable[Path], reap_after: float) -> None:
        self.workers = root / "workers"
        self.buckets = list(buckets)
        self.ledger = Ledger(root / "ledger")
        self.reap_after = reap_after
        self._missing_since: dict[str, float] = {}

    def turn(self, server_now: float) -> int:
        """Return the claims of every dead worker; how many there were."""
        reaped = 0
        missing: set[str] = set()
        for held in self._claims():
            age = self._age(held.worker, server_now, missing)
            if age > self.reap_after:
                reaped += self._reap(held, f"worker {held.worker} gave no sign of life for {age:.0f} seconds")
        self._missing_since = {name: since for name, since in self._missing_since.items() if name in missing}
        self._bury(server_now)
        return reaped

    def reap_worker(self, worker: str, why: str) -> int:
        """Return the claims of a worker that is known to be dead; how many there were."""
        reaped = sum(self._reap(held, why) for held in self._claims() if held.worker == worker)
        (self.workers / f"{worker}.json").unlink(missing_ok=True)
        return reaped

    def _claims(self) -> Iterable[board.Claim]:
        for bucket in self.buckets:
            yield from board.claims(bucket)

    def _age(self, worker: str, server_now: float, missing: set[str]) -> float:
        try:
            return server_now - (self.workers / f"{worker}.json").stat().st_mtime
        except OSError:
            missing.add(worker)
            return time.monotonic() - self._missing_since.setdefault(worker, time.monotonic())

    def _reap(self, held: board.Claim, why: str) -> bool:
        if not board.take_back(held):
            return False
        self.ledger.append(held.barcode, "returned", bucket=held.bucket.name, worker=held.worker, reason=why)
        return True

    def _bury(self, server_now: float) -> None:
        for path in self.workers.glob("*.json"):
            try:
                if server_now - path.stat().st_mtime > _KEEP * self.reap_after:
                    path.unlink()
            except FileNotFoundError:
                continue
