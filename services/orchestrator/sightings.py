"""Where one book's token is seen, and what its ledger says of it, for whoever must not be wrong about a moving board.

A token that is nowhere in one look may have moved past it. But nothing moves for long without a line in its ledger:
a look during which the ledger stood still, that looks into each bucket's waiting tokens before and after its claims,
misses a token only if that was claimed and put back, unrecorded, within the same microseconds; three looks, never.
"""

from __future__ import annotations

import json
import os
import stat as stats
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common import board, listing
from common.config import FilterRow, Settings
from common.ledger import Event, Ledger

SEEDING = "seeding"
# A ledger's size in bytes and its mtime in nanoseconds: unchanged, nobody has worked on the book in between.
Stamp = tuple[int, int]
_IN_BUCKETS = (board.DEFERRED, board.FAILED, board.HELD)


@dataclass(frozen=True)
class Sight:
    """A token as it was seen a moment ago; mtime in seconds since the epoch."""

    bucket: Path
    state: str
    path: Path
    inode: int
    mtime: float

    @property
    def where(self) -> str:
        """For a sentence."""
        return f"{self.bucket.name}/{'' if self.state == board.WAITING else self.state}".rstrip("/")


class Sightings:
    """Looks at one board; changes nothing."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.root = settings.global_.pipeline_dir
        self.ledger = Ledger(self.root / "ledger")
        self.buckets = settings.bucket_paths()
        inputs = {row.input_pipe for row in settings.filters}
        self.lasts = [bucket for bucket in self.buckets if bucket not in inputs]

    def home(self, barcode: str) -> Sight | None:
        """The book's token in the last bucket of a line: it is done."""
        return next((s for last in self.lasts if (s := _sight(last, board.WAITING, barcode)) is not None), None)

    def look(self, barcode: str) -> dict[Path, Sight]:
        """Every place where a token of the book lies, by path. One that moves meanwhile may be seen more than once."""
        found = {sight.path: sight for bucket in self.buckets for sight in self._in(bucket, barcode)}
        dropped = _sight(self.root / board.DROPPED, board.WAITING, barcode)
        if dropped is not None:
            found[dropped.path] = Sight(dropped.bucket, board.DROPPED, dropped.path, dropped.inode, dropped.mtime)
        return found

    def astray(self, barcode: str) -> Sight | None:
        """The book's token in a bucket that the configuration does not know any more."""
        known = {bucket.name for bucket in self.buckets}
        others = (folder.parent for folder in sorted(self.root.glob(f"*/{board.WORKING}")))
        found = (sight for other in others if other.name not in known for sight in self._in(other, barcode))
        return next(found, None)

    def _in(self, bucket: Path, barcode: str) -> Iterator[Sight]:
        places = [_sight(bucket, state, barcode) for state in (board.WAITING, *_IN_BUCKETS)]
        claims = listing.claims(bucket, barcode)
        places += [_sight_at(held.path, bucket, board.WORKING) for held in claims]
        # A claim that was given back since the first look at those that wait.
        places.append(_sight(bucket, board.WAITING, barcode))
        yield from (place for place in places if place is not None)

    def stamp(self, barcode: str) -> Stamp | None:
        """The ledger as it is now; None when there is none."""
        try:
            figures = self.ledger.path(barcode).lstat()
        except FileNotFoundError:
            return None
        return figures.st_size, figures.st_mtime_ns

    def unplaced(self, barcode: str) -> tuple[Sight, Path] | None:
        """A token that was registered and not yet placed, and the bucket that it should go to."""
        named = placing(self._raw(barcode))
        if named is None:
            return None
        name, bucket = str(named.get("token")), self.root / Path(str(named.get("bucket", ""))).name
        if not name.startswith(f"{barcode}~") or "/" in name:
            return None
        sight = _sight_at(self.root / SEEDING / name, self.root, SEEDING)
        known = bucket if bucket in self.buckets else self.head_of(barcode, None).input_pipe
        return None if sight is None else (sight, known)

    def head_of(self, barcode: str, last: Path | None) -> FilterRow:
        """The first stage of the line that the book was seeded on, or of one that ends in `last`."""
        heads = [row for row in self.settings.heads() if last is None or last in self._line(row.input_pipe)]
        with suppress(OSError):
            events = self.ledger.read(barcode)
            seeded = [str(event.get("bucket")) for event in events if event["event"] == "registered"]
            for row in heads:
                if any(bucket.name in seeded for bucket in self._line(row.input_pipe)):
                    return row
        return (heads or self.settings.heads())[0]

    def last_of(self, head: FilterRow) -> Path:
        """The last bucket of the line that begins with this stage."""
        return list(self._line(head.input_pipe))[-1]

    def _line(self, bucket: Path | None) -> Iterator[Path]:
        after = {row.input_pipe: row.output_pipe for row in self.settings.filters}
        while bucket is not None:
            yield bucket
            bucket = after.get(bucket)

    def _raw(self, barcode: str) -> bytes:
        try:
            self.ledger.read(barcode)
            return self.ledger.path(barcode).read_bytes()
        except OSError:
            return b""


def placing(data: bytes) -> Event | None:
    """The event of a ledger's bytes whose token is the book's: `registered`, or the newest `reseeded` that counts.

    Of two who reseed a book at once both write their line, each with the ledger's size that they had seen, `after`;
    only the line that begins right there counts.
    """
    found: Event | None = None
    start = 0
    for line in data.split(b"\n"):
        event = _parsed(line)
        if event is not None and event.get("token") and _counts(event, data, start):
            found = event
        start += len(line) + 1
    return found


def _counts(event: Event, data: bytes, start: int) -> bool:
    if event.get("event") == "registered":
        return True
    after = event.get("after")
    # A line torn by a power cut is closed off first.
    return (
        event.get("event") == "reseeded"
        and isinstance(after, int)
        and not data[after:start].strip(b"\n")
        and (start >= after)
    )


def _parsed(line: bytes) -> Event | None:
    if b'"token"' not in line:
        return None
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _sight(bucket: Path, state: str, barcode: str) -> Sight | None:
    return _sight_at(board.path_of(bucket, barcode, state), bucket, state)


def _sight_at(path: Path, bucket: Path, state: str) -> Sight | None:
    try:
        figures = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return None if stats.S_ISDIR(figures.st_mode) else Sight(bucket, state, path, figures.st_ino, figures.st_mtime)
