"""What there is and where it stands: the kept list, GRIN's short lists, the board; and what is available but not
converted. Changes nothing. Lists are streamed; the only sets are those of GRIN's short lists.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from common import board, listing
from common.config import Settings
from common.errors import ConfigError
from common.grin import entries
from common.grin.client import GrinClient
from services.orchestrator import inventory
from services.orchestrator.asked import Asked
from services.orchestrator.view import View
from services.orchestrator.wanted import REQUESTABLE, Available

NOT_CONVERTED = "available-not-converted"
AT_GRIN = ("available", "in_process", "converted", "failed")


class Stock:
    """Asks the kept file, the board and, unless `client` is None, GRIN."""

    def __init__(self, settings: Settings, client: GrinClient | None) -> None:
        self.settings = settings
        self.client = client
        self._view = View(settings)
        self._short: dict[str, set[str]] = {}
        self._known = f"{self._view.ledger.folder}/"

    def close(self) -> None:
        """Let go of what lies on the disk meanwhile."""
        if "_spooled" in vars(self):
            self._spooled.close()

    def facts(self) -> dict[str, Any]:
        """Everything that `inventory show --json` shows; None for what cannot be told."""
        kept = self._kept_facts()
        told = self.client is not None or (kept is not None and kept["states"] is not None)
        return {
            "library": self.settings.global_.library,
            "all_books": kept,
            "grin": None if self.client is None else {name: self._count(name) for name in AT_GRIN},
            "board": self._board_facts(),
            "available_from": self.settings.grin.available_from,
            "available_not_converted": _length(self.not_converted()) if told else None,
        }

    def barcodes(self, which: str) -> Iterator[str]:
        """The books of one list by name, streamed; ConfigError where the answer is not to be had."""
        if which == NOT_CONVERTED:
            return self.not_converted()
        if which == "unknown":
            return (book.barcode for book in self._kept() if not self._is_known(book.barcode))
        if which == "held":
            return (barcode for path in self._view.paths.values() for barcode in listing.barcodes(path, board.HELD))
        if which == "refused":
            return iter(sorted(self._asked.refused()))
        if self.client is None:
            raise ConfigError([f"--list {which} asks GRIN, which --offline forbids."])
        return self.client.barcodes(which)

    def not_converted(self) -> Iterator[str]:
        """What GRIN may be asked for: available, not in process, not converted, not known to this board, and not
        refused, asked for or failed of late as far as the board remembers. Streamed.
        """
        now = time.time()
        for barcode in self._available():
            if not (barcode in self._busy or self._is_known(barcode) or self._asked.why_not(barcode, now)):
                yield barcode

    def _available(self) -> Iterable[str]:
        if self.client is None:
            return (book.barcode for book in self._kept_with_states() if book.state in REQUESTABLE)
        return self._spooled

    @cached_property
    def _spooled(self) -> Available:
        """What may be asked for, whole on the disk: whoever reads our list may be slower than GRIN waits."""
        assert self.client is not None
        return Available(self.settings, self.client)

    @cached_property
    def _busy(self) -> set[str]:
        """All that GRIN is converting or has converted: at most a queue and a pool of books."""
        return set() if self.client is None else {*self._at_grin("in_process"), *self._at_grin("converted")}

    def _at_grin(self, name: str) -> Iterable[str]:
        """One of GRIN's lists; the two that are needed twice are asked for once."""
        assert self.client is not None
        if name not in {"in_process", "converted"}:
            return self.client.barcodes(name)
        if name not in self._short:
            self._short[name] = set(self.client.barcodes(name))
        return self._short[name]

    def _count(self, name: str) -> int:
        if name == "available" and self.settings.grin.available_from == name:
            return self._spooled.count
        return _length(self._at_grin(name))

    @cached_property
    def _asked(self) -> Asked:
        asked = Asked(self.settings)
        asked.refresh()
        return asked

    def _is_known(self, barcode: str) -> bool:
        """Whether this book was ever on this board: on its way, done, or dropped."""
        return os.path.lexists(f"{self._known}{barcode[-3:]}/{barcode}.jsonl")

    def _kept(self) -> Iterator[entries.Entry]:
        path = inventory.kept_path(self.settings)
        if not path.is_file():
            raise ConfigError([f"There is no kept list at {path} yet; `grin-pipeline inventory refresh` fetches it."])
        return entries.read_file(path, self.settings.global_.library)

    def _kept_with_states(self) -> Iterator[entries.Entry]:
        books = self._kept()
        path = inventory.kept_path(self.settings)
        if not inventory.tells_states(path):
            cure = "Leave --offline out, or fetch it with `grin-pipeline inventory refresh --html`."
            raise ConfigError([f"The kept list {path} tells no states, so it does not say what is available. {cure}"])
        return books

    def _kept_facts(self) -> dict[str, Any] | None:
        """None where no file is named, or none is there yet."""
        if self.settings.global_.all_books is None or not (path := inventory.kept_path(self.settings)).is_file():
            return None
        facts = path.stat()
        books, states = inventory.tally(path)
        written = datetime.fromtimestamp(facts.st_mtime, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        age = max(0.0, round(time.time() - facts.st_mtime, 1))
        found = {"path": str(path), "written": written, "age_seconds": age, "bytes": facts.st_size, "books": books}
        return {**found, "states": states}

    def _board_facts(self) -> dict[str, int]:
        """Books that were ever on the board, that are done, and that a person holds."""
        buckets = self._view.counts()
        known = sum(_files(folder) for folder in _folders(self._view.ledger.folder))
        return {
            "known": known,
            "done": self._view.done(buckets),
            "held": sum(int(bucket[board.HELD]) for bucket in buckets),
        }


def _length(books: Iterable[str]) -> int:
    return sum(1 for _ in books)


def _folders(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        with os.scandir(folder) as found:
            yield from (Path(one) for one in found if one.is_dir(follow_symlinks=False))


def _files(folder: Path) -> int:
    with os.scandir(folder) as found:
        return sum(1 for one in found if one.name.endswith(".jsonl"))
