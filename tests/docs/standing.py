"""A board as it is in the middle of a day: books that are done, wait, are held, deferred, and have failed."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from common import board
from common.ledger import Ledger
from tests import warm
from tests.docs.pages import Ours
from tests.docs.walk import Walk

WAITING, HELD, FAILED, DEFERRED = "32101081977728", "32101080211160", "39000000000018", "32101080211178"
_REASON = "GRIN has no converted archive of this book now (404): it is not converted."
# No command touches what is in the store.
_PARTS = ("pipeline", "processing")


class Standing:
    """The tutorial's board at the moment when a book had failed, with four more books; each command finds it so."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.kept = walk.home / "standing"
        self._restore(walk.kept)
        (walk.here / "barcodes.txt").write_text(f"{WAITING}\n{HELD}\n")
        self._said("seed", *(f"--barcode={barcode}" for barcode in (WAITING, HELD, FAILED, DEFERRED)))
        self._said("hold", HELD)
        self._end(FAILED, "failed")
        self._end(DEFERRED, "deferred")
        shutil.copytree(walk.here, self.kept, symlinks=True)

    def run(self, called: Ours) -> subprocess.CompletedProcess[str]:
        """A command of the documents, on the board as it was."""
        self._restore(self.kept)
        text = (self.walk.here / called.reads).read_text() if called.reads else ""
        return warm.run(list(called.arguments), self.walk.environ, text, self.walk.here)

    def _restore(self, kept: Path) -> None:
        for part in _PARTS:
            shutil.rmtree(self.walk.here / part)
            shutil.copytree(kept / part, self.walk.here / part, symlinks=True)

    def _said(self, *arguments: str) -> None:
        warm.run(list(arguments), self.walk.environ, cwd=self.walk.here).check_returncode()

    def _end(self, barcode: str, event: str) -> None:
        """What a downloader leaves that did not get this book."""
        root = self.walk.here / "pipeline"
        held = board.claim(root / "00_to_download", barcode, "downloader-vm1-1-0a1b2c3d", 1)
        assert held is not None
        whose = {"stage": "downloader", "worker": held.worker, "claim": held.id, "attempt": 1}
        Ledger(root / "ledger").append(barcode, "attempt", **whose)
        Ledger(root / "ledger").append(barcode, event, **whose, reason=_REASON)
        if event == "failed":
            board.fail(held)
        else:
            board.defer(held, time.time() + 3600)
