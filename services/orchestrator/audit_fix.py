"""Sets right what an audit has found: places, reseeds and sends back tokens. Nothing is ever removed from the store."""

from __future__ import annotations

from contextlib import suppress

from common import board, durable
from common.errors import Lost
from common.heartbeat import worker_name
from common.token import SUFFIX, encode
from services.orchestrator.discrepancy import BRING, HOME, PLACE, RESEED, RESEND, Discrepancy
from services.orchestrator.sightings import SEEDING, Sightings, Stamp, placing
from services.orchestrator.versions import send_again


class Fixer:
    """Acts on one board, by name of one person; safe beside workers, seeders and other audits."""

    def __init__(self, sightings: Sightings, by: str) -> None:
        self.sightings = sightings
        self.by = by
        self._name = worker_name("auditor")
        self._number = 0

    def fix(self, found: Discrepancy, stamp: Stamp | None) -> bool:
        """Do what `found.fix` says, if the ledger is still as it was when that was found; whether it was done.

        OSError when the board cannot be written.
        """
        if stamp is None or self.sightings.stamp(found.barcode) != stamp:
            return False
        if found.fix in (RESEED, HOME):
            return self._reseed(found, stamp)
        if found.fix == PLACE:
            return self._place(found.barcode)
        home = self.sightings.home(found.barcode)
        if home is None or found.fix not in (RESEND, BRING):
            return False
        event = "renewed" if found.fix == BRING else "reseeded"
        return send_again(
            self.sightings, found.barcode, home, event, by=self.by, why=f"{found.what}: {found.detail}", stamp=stamp
        )

    def _reseed(self, found: Discrepancy, stamp: Stamp) -> bool:
        """A new token, as a seeder writes it: first the file, then the line that names it, then one rename.

        The line says how long the ledger was when the token was nowhere. If anything came in between, another audit
        or a worker was there: ours does not count, and its file goes.
        """
        barcode, seen = found.barcode, self.sightings
        self._number += 1
        name = f"{barcode}~{self._name}.{self._number}{SUFFIX}"
        file = seen.root / SEEDING / name
        head = seen.head_of(barcode, None)
        bucket = seen.last_of(head) if found.fix == HOME else head.input_pipe
        common = seen.settings.global_
        durable.write_new(file, encode(barcode, str(common.processing_bucket), found.bucket or common.done_bucket))
        durable.fsync_dir(file.parent)
        told = {"by": self.by, "why": f"{found.what}: {found.detail}", "bucket": bucket.name}
        seen.ledger.append(barcode, "reseeded", **told, token=name, after=stamp[0])
        winner = placing(seen.ledger.path(barcode).read_bytes()) or {}
        if winner.get("token") != name:
            file.unlink(missing_ok=True)
            with suppress(OSError):
                reason = "Somebody else was faster."
                seen.ledger.append(barcode, "unchanged", by=self.by, command="reseeded", reason=reason)
            return False
        return self._place(barcode)

    def _place(self, barcode: str) -> bool:
        """The rename that a seeder or an audit did not live to make; another one may be faster."""
        unplaced = self.sightings.unplaced(barcode)
        if unplaced is None:
            return False
        sight, bucket = unplaced
        try:
            board.relocate(barcode, sight.path, sight.inode, board.path_of(bucket, barcode, board.WAITING))
        except (Lost, board.OccupiedError):
            return False
        durable.fsync_dir(bucket)
        durable.fsync_dir(sight.path.parent)
        return True
