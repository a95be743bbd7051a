"""When a stage claims nothing although books wait: its output bucket is full, or the disk is."""

from __future__ import annotations

from common import board, durable, listing
from common.attempt import Desk
from common.config import GlobalSettings
from common.ledger import last
from common.verdicts import figure


class Limits:
    """The limits of one worker's row."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._sizes: dict[str, int] = {}

    def reached(self) -> str:
        """The limit that holds this stage back, as the end of a sentence; empty when it may claim."""
        row, settings = self.desk.row, self.desk.settings
        common = settings.global_
        # Only where books enter the line: the stages behind must go on, because the last one frees the space.
        if row in settings.heads() and common.min_free > _free(common):
            return f"the disk has less than min_free, {common.min_free:,} bytes"
        if not any(other.input_pipe == row.output_pipe for other in settings.filters):
            return ""
        if row.wip_limit and listing.in_line(row.output_pipe, row.wip_limit) >= row.wip_limit:
            return f"{row.output_pipe.name} holds wip_limit, {row.wip_limit} books"
        if row.wip_bytes and self._bytes_in_line() >= row.wip_bytes:
            return f"{row.output_pipe.name} holds wip_bytes, {row.wip_bytes:,} bytes"
        return ""

    def _bytes_in_line(self) -> int:
        """What the books in the output bucket hold on the disk, by what this stage's ledger lines say it made."""
        states = (board.WAITING, board.WORKING, board.DEFERRED)
        present = {barcode for state in states for barcode in listing.barcodes(self.desk.row.output_pipe, state)}
        known = self._sizes
        self._sizes = {barcode: known[barcode] if barcode in known else self._size(barcode) for barcode in present}
        return sum(self._sizes.values())

    def _size(self, barcode: str) -> int:
        try:
            done = last(self.desk.ledger.read(barcode), "done", stage=self.desk.row.name)
        except OSError:
            # One story that cannot be read must not stop the stage.
            return 0
        return figure((done or {}).get("facts") or {}, "bytes_out")


def _free(common: GlobalSettings) -> int:
    return durable.free_bytes(common.processing_bucket) if common.min_free else 0
