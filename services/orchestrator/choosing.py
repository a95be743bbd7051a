"""Which tokens a person means: by name, or by bucket, by reason, all; and whether a command may move them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common import audit, board, listing
from common.config import Settings
from common.ledger import Ledger

# What a token in the last bucket of its line is: done, which is no state of its own on the disk.
DONE = "done"
# A token that moves on while somebody looks for it is looked for so often, with so many seconds in between.
TRIES, _BETWEEN = 5, 0.05
_THERE = {
    board.WAITING: "It waits in {bucket} already.",
    board.DEFERRED: "It is deferred in {bucket}, not held.",
    board.WORKING: "A worker of {bucket} has it.",
    board.FAILED: "It has failed in {bucket}; `grin-pipeline retry {barcode}` tries it again.",
    board.HELD: "It is held in {bucket}; `grin-pipeline release {barcode}` lets it go on.",
    board.DROPPED: "It was dropped; `grin-pipeline release {barcode}` brings it back.",
    DONE: "It is done, in {bucket}.",
}


@dataclass(frozen=True)
class Command:
    """What one command does: from which states, to which; `bulk` ones are chosen by filters, `named` also by name."""

    name: str
    event: str
    to: str
    bulk: tuple[str, ...]
    named: tuple[str, ...]
    goals: tuple[str, ...]
    """Where a book lies for which there is nothing to do."""


_ON_THEIR_WAY = (board.WAITING, board.DEFERRED, board.WORKING)
_WAITS_AGAIN = (board.WAITING, board.WORKING, DONE)
RETRY = Command("retry", "retried", board.WAITING, (board.FAILED, board.DEFERRED), (), _WAITS_AGAIN)
HOLD = Command("hold", "held", board.HELD, _ON_THEIR_WAY, (board.FAILED,), (board.HELD,))
RELEASE = Command("release", "released", board.WAITING, (board.HELD,), (board.DROPPED,), (*_ON_THEIR_WAY, DONE))
DROP = Command("drop", "dropped", board.DROPPED, (*_ON_THEIR_WAY, board.FAILED, board.HELD), (DONE,), (board.DROPPED,))
COMMANDS = {command.name: command for command in (RETRY, HOLD, RELEASE, DROP)}


@dataclass(frozen=True)
class Choice:
    """Which books: by name, or (without names) by bucket, by reason, or all. `names` can be gone through twice."""

    names: Iterable[str] | None = None
    bucket: Path | None = None
    reason: str = ""


@dataclass(frozen=True)
class Found:
    """A token as it was seen a moment ago."""

    barcode: str
    bucket: Path
    state: str
    path: Path
    inode: int


@dataclass(frozen=True)
class Outcome:
    """What has become of one book; `fault` when it is not where the command would have it."""

    barcode: str
    bucket: str
    from_: str
    to: str
    done: bool
    reason: str = ""
    fault: bool = False

    def as_dict(self) -> dict[str, object]:
        """The members of the JSON line."""
        facts = {"barcode": self.barcode, "bucket": self.bucket, "from": self.from_, "to": self.to}
        return {**facts, "done": self.done, "reason": self.reason}


def refused(barcode: str, reason: str) -> Outcome:
    """A book of which nothing could be moved."""
    return Outcome(barcode, "", "", "", False, reason, fault=True)


class Chooser:
    """Finds what one command is to move."""

    def __init__(self, settings: Settings, command: Command, choice: Choice) -> None:
        self.command = command
        self.choice = choice
        self.ledger = Ledger(settings.global_.pipeline_dir / "ledger")
        self.dropped = settings.global_.pipeline_dir / board.DROPPED
        self.buckets = settings.bucket_paths()
        inputs = {row.input_pipe for row in settings.filters}
        self._last = {bucket for bucket in self.buckets if bucket not in inputs}

    def chosen(self) -> Iterator[tuple[str, Found | None]]:
        """The books that are meant, streamed; those that were named are yet to be found."""
        if self.choice.names is not None:
            yield from ((barcode, None) for barcode in self.choice.names)
            return
        for bucket in self.buckets if self.choice.bucket is None else [self.choice.bucket]:
            for state in self.command.bulk:
                yield from ((found.barcode, found) for found in self._listed(bucket, state) if self._is_meant(found))

    def find(self, barcode: str) -> Found | Outcome:
        """The book's one token if the command may move it, or why not."""
        for turn in range(TRIES):
            time.sleep(_BETWEEN if turn else 0)
            found = self._look(barcode)
            if len(found) == 1:
                return self._judged(found[0])
            if found:
                where = " and ".join(f"{one.bucket.name}, {one.state}" for one in found)
                return refused(barcode, f"It is twice on the board ({where}): somebody copied its token. Remove one.")
            if not self.ledger.path(barcode).exists():
                return refused(barcode, "Nothing is known of it: it was never seeded on this board.")
        return refused(barcode, f"It is in no bucket now; `grin-pipeline show {barcode}` tells its story.")

    def _listed(self, bucket: Path, state: str) -> Iterator[Found]:
        if state == board.WORKING:
            yield from (Found(c.barcode, bucket, state, c.path, c.inode) for c in listing.claims(bucket))
            return
        for barcode in listing.barcodes(bucket, state):
            path = board.path_of(bucket, barcode, state)
            with suppress(FileNotFoundError):
                yield Found(barcode, bucket, self._state(bucket, state), path, os.lstat(path).st_ino)

    def _state(self, bucket: Path, state: str) -> str:
        return DONE if state == board.WAITING and bucket in self._last else state

    def _is_meant(self, found: Found) -> bool:
        """Whether the filters choose this token. Books that are done are only meant where their bucket is named."""
        bucket, command = self.choice.bucket, self.command
        done = found.state == DONE and DONE in command.named and bucket is not None
        if not (done or found.state in command.bulk) or bucket not in (None, found.bucket):
            return False
        if not self.choice.reason:
            return True
        try:
            why, _ = audit.reason(self.ledger.read(found.barcode), found.state)
        except OSError:
            # Whose story cannot be read has no reason that could be meant; the others are to be found.
            return False
        return self.choice.reason.casefold() in why.casefold()

    def _look(self, barcode: str) -> list[Found]:
        """Where the book's token is. One that moves while we look may be seen twice: the later sight counts."""
        places = listing.places(self.buckets, barcode)
        dropped = board.path_of(self.dropped, barcode, board.WAITING)
        found = {}
        for place in (*places, listing.Place(self.dropped, board.DROPPED, dropped)):
            with suppress(FileNotFoundError):
                inode = os.lstat(place.path).st_ino
                found[inode] = Found(barcode, place.bucket, self._state(place.bucket, place.state), place.path, inode)
        return list(found.values())

    def _judged(self, found: Found) -> Found | Outcome:
        named = self.choice.names is not None
        if found.state in (*self.command.bulk, *self.command.named) if named else self._is_meant(found):
            return found
        there = _THERE[found.state].format(bucket=found.bucket.name, barcode=found.barcode)
        # What a filter chose and is elsewhere by now is no longer chosen.
        fault = named and found.state not in self.command.goals
        return Outcome(found.barcode, found.bucket.name, found.state, found.state, False, there, fault)
