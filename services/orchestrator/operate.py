"""`retry hold release drop`: a person moves tokens. Each move is a line in the ledger, then one rename.

Safe while everything runs: whoever else wants the token, one rename wins, and the loser looks again. A process that is
killed after the line and before the rename has moved nothing; the same command, given again, completes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from common import board, durable, workfiles
from common.config import Settings
from common.errors import Lost
from common.ledger import Ledger, last
from common.token import TokenError, parse
from services.orchestrator.choosing import DROP, TRIES, Chooser, Command, Found, Outcome, refused

# Books that share the waiting for the disk, and how many of them are written at once.
_BATCH, _HANDS = 64, 8


@dataclass(frozen=True)
class Order:
    """By whom a command is given, and why."""

    by: str
    why: str = ""
    dry_run: bool = False


class Operation:
    """One command on one board; when `enough` says so, it ends before the next handful of books."""

    def __init__(
        self,
        settings: Settings,
        command: Command,
        chooser: Chooser,
        order: Order,
        enough: Callable[[], bool] = lambda: False,
    ) -> None:
        self.settings = settings
        self.command = command
        self.chooser = chooser
        self.order = order
        self.enough = enough
        self.ledger = Ledger(settings.global_.pipeline_dir / "ledger")
        self.dropped = settings.global_.pipeline_dir / board.DROPPED
        self._entered: set[Path] = set()
        self._left: set[Path] = set()

    def run(self) -> Iterator[Outcome]:
        """Do it, streamed; each outcome is durable when it is given."""
        with ThreadPoolExecutor(_HANDS) as hands:
            chosen = self.chooser.chosen()
            while not self.enough() and (batch := list(islice(chosen, _BATCH))):
                yield from self._batch(dict(batch), hands)
        if self.command is DROP and not self.order.dry_run:
            # What a drop that was killed in between has left.
            workfiles.sweep(self.settings.global_.processing_bucket, self.dropped)

    def _batch(self, batch: dict[str, Found | None], hands: ThreadPoolExecutor) -> Iterator[Outcome]:
        plans = [found or self.chooser.find(barcode) for barcode, found in batch.items()]
        if self.order.dry_run:
            yield from (plan if isinstance(plan, Outcome) else self._outcome(plan, done=False) for plan in plans)
            return
        plans = list(hands.map(self._announce, plans))
        try:
            outcomes = [plan if isinstance(plan, Outcome) else self._move(plan) for plan in plans]
        finally:
            # However it ends: what has moved is to stay moved.
            self._sync()
        if self.command is DROP:
            list(hands.map(self._clear, [o.barcode for o in outcomes if o.to == board.DROPPED]))
        yield from outcomes

    def _announce(self, plan: Found | Outcome) -> Found | Outcome:
        """The line in the ledger, before the rename: a worker that claims the token at once must read it."""
        if isinstance(plan, Outcome):
            return plan
        if plan.state == board.DROPPED:
            self._clear(plan.barcode)
        members = {"why": self.order.why, "bucket": plan.bucket.name, "from": plan.state}
        try:
            self._write(plan.barcode, self.command.event, **members)
        except OSError as error:
            if error.errno in durable.FULL:
                raise
            # Something else lies in its ledger's place; the other books are to be moved all the same.
            return refused(plan.barcode, f"Its ledger cannot be written: {error}.")
        return plan

    def _write(self, barcode: str, event: str, **members: str) -> None:
        given = {key: value for key, value in members.items() if value}
        self.ledger.append(barcode, event, by=self.order.by, **given)

    def _move(self, found: Found) -> Outcome:
        for _ in range(TRIES):
            target = self._target(found)
            try:
                board.relocate(found.barcode, found.path, found.inode, target)
            except (Lost, board.OccupiedError) as error:
                plan = self._again(found, error)
                if isinstance(plan, Outcome):
                    return self._unchanged(plan)
                found = plan
            except OSError as error:
                if error.errno in durable.FULL:
                    raise
                return self._unchanged(refused(found.barcode, f"Its token cannot be moved: {error}."))
            else:
                self._entered.add(target.parent)
                self._left.add(found.path.parent)
                return self._outcome(found, done=True)
        return self._unchanged(refused(found.barcode, f"It moved on {TRIES} times; try again."))

    def _again(self, found: Found, error: Lost | board.OccupiedError) -> Found | Outcome:
        """Somebody was faster: where the token is now, announced anew, or why it is not to be moved."""
        plan = self.chooser.find(found.barcode)
        if plan == found and isinstance(error, board.OccupiedError):
            return refused(found.barcode, str(error))
        return self._announce(plan)

    def _unchanged(self, outcome: Outcome) -> Outcome:
        """The line before announced what has not happened, or what somebody else has done."""
        with suppress(OSError):
            self._write(outcome.barcode, "unchanged", command=self.command.name, reason=outcome.reason)
        return outcome

    def _outcome(self, found: Found, *, done: bool) -> Outcome:
        bucket = self._first(found.barcode) if found.state == board.DROPPED else found.bucket
        return Outcome(found.barcode, bucket.name, found.state, self.command.to, done, "" if done else "dry run")

    def _target(self, found: Found) -> Path:
        if self.command is DROP:
            return self._dropped(found.barcode)
        bucket = self._first(found.barcode) if found.state == board.DROPPED else found.bucket
        return board.path_of(bucket, found.barcode, self.command.to)

    def _dropped(self, barcode: str) -> Path:
        return board.path_of(self.dropped, barcode, board.WAITING)

    def _first(self, barcode: str) -> Path:
        """The first bucket of the line on which the book was seeded: nothing of a dropped book's files is left."""
        seeded = str((last(self.ledger.read(barcode), "registered") or {}).get("bucket"))
        heads = [row.input_pipe for row in self.settings.heads()]
        return next((head for head in heads if seeded in self._line(head)), heads[0])

    def _line(self, bucket: Path | None) -> Iterator[str]:
        """The names of a bucket and of all behind it."""
        after = {row.input_pipe: row.output_pipe for row in self.settings.filters}
        while bucket is not None:
            yield bucket.name
            bucket = after.get(bucket)

    def _sync(self) -> None:
        for folders in (self._entered, self._left):
            for folder in folders:
                durable.fsync_dir(folder)
            folders.clear()

    def _clear(self, barcode: str) -> None:
        """Remove the files of a book that is dropped, wherever its token says that they are."""
        common = self.settings.global_
        try:
            token = parse(board.read_file(self._dropped(barcode), barcode), barcode).processing_bucket
        except FileNotFoundError:
            return
        except TokenError:
            token = ""
        folder = self.settings.base / (token or common.processing_bucket) / barcode
        stages = {row.name for row in self.settings.filters}
        # A token that somebody wrote by hand may name any folder: only what a stage has made is removed.
        if {name for name in workfiles.published(folder) if name not in stages}:
            return
        workfiles.remove_book(folder)
