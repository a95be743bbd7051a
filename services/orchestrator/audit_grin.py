"""GRIN's lists against the board: what was converted anew since it was fetched, and what waits for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from common import board, listing
from common.config import Settings
from common.errors import ConfigError, StageError
from services.orchestrator.audit_checks import Check
from services.orchestrator.discrepancy import BRING, CHANGED, LOST, Discrepancy
from services.orchestrator.render import of_a_command
from services.orchestrator.sightings import Sightings
from services.orchestrator.versions import fetched, is_newer

if TYPE_CHECKING:
    from common.grin.client import GrinClient

_WAITS_ON = (board.WAITING, board.DEFERRED)
# Where GRIN shows a book that can be fetched, now or later.
_HAS = ("in_process", "available")


class AgainstGrin:
    """The part of an audit that asks GRIN; what it cannot say, it says so."""

    def __init__(self, settings: Settings, sightings: Sightings, say: Callable[[str], None]) -> None:
        self.settings = settings
        self.sightings = sightings
        self.say = say
        self._heads = [row for row in settings.heads() if row.class_.rpartition(".")[2].endswith("Downloader")]

    def suspects(self, named: frozenset[str]) -> Iterator[tuple[str, Check]]:
        """Books to be looked at once more, of all or of those that are named."""
        if not self._heads:
            return
        # Imported here: httpx and google-auth take longer to load than most commands take to run.
        from common.grin.client import GrinClient  # noqa: PLC0415

        try:
            with GrinClient(self.settings) as client:
                yield from self._suspects(client, named)
        except (StageError, ConfigError) as error:
            cure = f" {of_a_command(error.cure)}" if isinstance(error, StageError) else ""
            self.say(f"GRIN could not be asked, so its lists were left out: {error}{cure}")

    def _suspects(self, client: GrinClient, named: frozenset[str]) -> Iterator[tuple[str, Check]]:
        # The one set of barcodes in an audit: the books that wait to be fetched, of which there may be many.
        waiting = {barcode for barcode in self._waiting() if not named or barcode in named}
        for entry in client.entries("converted"):
            waiting.discard(entry.barcode)
            wanted = not named or entry.barcode in named
            if wanted and entry.converted and self.settings.seed.new_versions != "ignore":
                yield entry.barcode, self._newer_than(entry.converted)
        for which in _HAS if waiting else ():
            for barcode in client.barcodes(which):
                waiting.discard(barcode)
        yield from ((barcode, self._is_lost) for barcode in waiting)

    def _waiting(self) -> Iterator[str]:
        for row in self._heads:
            for state in _WAITS_ON:
                yield from listing.barcodes(row.input_pipe, state)

    def _newer_than(self, converted: datetime) -> Check:
        def check(barcode: str) -> list[Discrepancy]:
            if self.sightings.home(barcode) is None:
                return []
            held = fetched(self.sightings.ledger.read(barcode), {row.name for row in self._heads})
            if held is None or not is_newer(converted, held):
                return []
            dates = f"GRIN converted it on {converted:%Y-%m-%d %H:%M}, the version held was fetched on {held:%Y-%m-%d}"
            if self.settings.seed.new_versions == "bring":
                cure = "`grin-pipeline audit --fix` brings it beside the old one."
                return [Discrepancy(barcode, CHANGED, dates, cure, BRING)]
            cure = "With `seed.new_versions: bring` it is brought beside the old one; with `ignore` nothing is said."
            return [Discrepancy(barcode, CHANGED, dates, cure)]

        return check

    def _is_lost(self, barcode: str) -> list[Discrepancy]:
        states = [(row.input_pipe, state) for row in self._heads for state in _WAITS_ON]
        if not any(board.path_of(bucket, barcode, state).exists() for bucket, state in states):
            return []
        detail = "it waits to be fetched, and GRIN lists it neither as converted, nor in process, nor as available"
        cure = "Lists may lag. If it stays so, ask GRIN's people for it, or `grin-pipeline hold` it."
        return [Discrepancy(barcode, LOST, detail, cure)]
