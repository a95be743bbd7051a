"""Brings back the claims of dead workers. Safe to run in many processes at once: every return is one rename.

A worker is dead when this reaper has watched its heartbeat file stand still (or be missing) for `reap_after` seconds.
No two clocks are compared, so a clock that steps does not matter; and of a pause between two turns only a part counts,
so that after a stall of the whole machine, or of the file server, every live worker gets its chance to beat again.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from common import board, listing, logs
from common.ledger import Ledger

# Of the time between two turns at most this part of reap_after counts as silence.
_MOST = 1 / 6
# Files of dead workers stay so long, in multiples of reap_after, for a person to see that they died.
_KEEP = 20


class Reaper:
    """Looks through the given buckets whenever `turn` is called; to be called several times within `reap_after`."""

    def __init__(self, root: Path, buckets: Iterable[Path], reap_after: float) -> None:
        self.workers = root / "workers"
        self.buckets = list(buckets)
        self.ledger = Ledger(root / "ledger")
        self.reap_after = reap_after
        self._refused: set[Path] = set()
        self._unknown: set[board.Claim] = set()
        self._silent: dict[str, tuple[int, float]] = {}
        self._turned = time.monotonic()

    def turn(self) -> int:
        """Return the claims of every dead worker; how many there were."""
        held = list(self._claims())
        self._watch({claim.worker for claim in held})
        dead = {name: silent for name, (_, silent) in self._silent.items() if silent > self.reap_after}
        reaped = sum(
            self._reap(claim, f"worker {claim.worker} gave no sign of life for {silent:.0f} seconds")
            for claim in held
            if (silent := dead.get(_file_of(claim.worker)))
        )
        self._bury(dead)
        return reaped

    def reap_worker(self, worker: str, why: str) -> int:
        """Return the claims of a worker that is known to be dead; how many there were."""
        reaped = sum(self._reap(held, why) for held in self._claims() if held.worker == worker)
        # And what it was just writing when it died.
        for path in (self.workers / _file_of(worker), *self.workers.glob(f".{_file_of(worker)}.*")):
            path.unlink(missing_ok=True)
        return reaped

    def reap_unknown(self, worker: str, known: set[Path]) -> int:
        """Return the claims under a living worker's name that it does not know of; to be called by that worker, idle.

        A rename that a network file system carried out and called failed, twice over, leaves one. It must have been
        there at the turn before, too: a listing can be old.
        """
        unknown = {held for held in self._claims() if held.worker == worker and held.path not in known}
        why = f"worker {worker} did not know that it held this claim"
        returned = sum(self._reap(held, why) for held in unknown & self._unknown)
        self._unknown = unknown
        return returned

    def _claims(self) -> Iterable[board.Claim]:
        for bucket in self.buckets:
            yield from listing.claims(bucket)

    def _watch(self, claimants: set[str]) -> None:
        """Take each worker's heartbeat as it is now: a change ends its silence, none prolongs it.

        Half-written files of workers that died while they wrote them are watched as well, and buried with the others.
        """
        passed = min(time.monotonic() - self._turned, self.reap_after * _MOST)
        self._turned = time.monotonic()
        names = {_file_of(worker) for worker in claimants} | set(os.listdir(self.workers))
        beats = {name: _beat(self.workers / name) for name in names}
        before = self._silent
        self._silent = {
            name: (beat, before[name][1] + passed if name in before and before[name][0] == beat else 0.0)
            for name, beat in beats.items()
        }

    def _reap(self, held: board.Claim, why: str) -> bool:
        try:
            if not board.take_back(held):
                return False
        except OSError as error:
            # One that cannot be moved must not keep the others: a folder of somebody else under a claim's name, say.
            if held.path not in self._refused:
                self._refused.add(held.path)
                logging.getLogger(logs.NAME).warning(f"A dead worker's claim cannot be returned: {error}.")
            return False
        with suppress(OSError):
            self.ledger.append(
                held.barcode, "returned", bucket=held.bucket.name, worker=held.worker, claim=held.id, reason=why
            )
        return True

    def _bury(self, dead: dict[str, float]) -> None:
        for name, silent in dead.items():
            if silent > _KEEP * self.reap_after:
                with suppress(OSError):
                    (self.workers / name).unlink(missing_ok=True)


def _file_of(worker: str) -> str:
    return f"{worker}.json"


def _beat(path: Path) -> int:
    """When the file was last touched, in its server's nanoseconds; 0 when it is not there, or not to be seen."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
