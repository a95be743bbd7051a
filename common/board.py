"""The board: every bucket path and every rename of a token in the project. Nothing else touches token files.

    <bucket>/<barcode>.json                          waiting
    <bucket>/working/<barcode>~<worker>.<n>.json     claimed; the name is unique to this worker and this claim
    <bucket>/deferred/<barcode>.json                 to be tried again when its mtime has passed
    <bucket>/failed/<barcode>.json                   needs a person
    <bucket>/held/<barcode>.json                     a person put it aside
    seeding/<barcode>~<seeder>.<n>.json              written, not yet on the board

A token is one inode for life: written once, in seeding/, and from then on only renamed. Every change of place is one
rename of a name that only its owner uses, so of two who try, one succeeds and the other gets ENOENT and lets go. That
is the fence as well: a worker whose claim was taken back cannot finish it, however late it wakes up.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from common import durable
from common.errors import Lost
from common.ledger import Ledger, last
from common.token import MAX_BYTES, SUFFIX, TokenError, barcode_of, encode, is_barcode

WAITING, WORKING, DEFERRED, FAILED, HELD = "waiting", "working", "deferred", "failed", "held"
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
STATES = (WAITING, WORKING, DEFERRED, FAILED, HELD)


class OccupiedError(OSError):
    """Another token of the same book lies where this one should go."""


@dataclass(frozen=True)
class Claim:
    """A token that one worker holds, under a name that is used once."""

    bucket: Path
    barcode: str
    worker: str
    number: int
    inode: int = 0

    @property
    def id(self) -> str:
        """Unique to this worker and this claim; free of "/" and "~"."""
        return f"{self.worker}.{self.number}"

    @property
    def path(self) -> Path:
        """Where the token is while the claim holds."""
        return self.bucket / WORKING / f"{self.barcode}~{self.id}{SUFFIX}"


@dataclass(frozen=True)
class Place:
    """Where a token lies: bucket, state and, while claimed, by whom."""

    bucket: Path
    state: str
    path: Path
    worker: str | None = None


def prepare(root: Path, buckets: list[Path]) -> None:
    """Make every folder of a board; what is there stays as it is."""
    for name in ("ledger", "workers", "paused", "logs", "seeding"):
        durable.make_dirs(root / name)
    for bucket in buckets:
        for state in STATES[1:]:
            durable.make_dirs(bucket / state)


# --- claims ---------------------------------------------------------------------------------------------------------


def claim(bucket: Path, barcode: str, worker: str, number: int, state: str = WAITING) -> Claim | None:
    """Take a token by one rename; None when somebody else was faster."""
    wanted = Claim(bucket, barcode, worker, number)
    try:
        os.rename(path_of(bucket, barcode, state), wanted.path)  # noqa: PTH104 - the hot path, without Path's cost
    except OSError as error:
        # A network file system may report failure of a rename that happened; the name is ours alone, so look.
        if not os.path.lexists(wanted.path):
            if isinstance(error, FileNotFoundError):
                # Somebody else was faster; unless a backup was restored without its empty folders.
                durable.make_dirs(wanted.path.parent)
                return None
            raise
    try:
        return Claim(bucket, barcode, worker, number, os.lstat(wanted.path).st_ino)
    except FileNotFoundError:
        return None


def read(held: Claim) -> bytes:
    """The token's bytes; TokenError when it is no small regular file. Never follows a link or waits on a FIFO."""
    if not _is_regular(held.path):
        raise TokenError(f"{held.barcode}{SUFFIX} is not a regular file, so it is no token.")
    fd = os.open(held.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        return file.read(MAX_BYTES + 1)


def holds(held: Claim) -> bool:
    """Whether the claim is still its worker's."""
    return os.path.lexists(held.path)


def finish(held: Claim, output: Path) -> None:
    """Move the token to another bucket. Lost when the claim was taken back; OccupiedError when a twin lies there."""
    _arrive(held)
    _move(held, path_of(output, held.barcode, WAITING))


def give_back(held: Claim) -> None:
    """Put the token back where it waited."""
    _arrive(held)
    _move(held, path_of(held.bucket, held.barcode, WAITING))


def defer(held: Claim, due: float) -> None:
    """Put the token aside until `due`, in seconds since the epoch by the server's clock."""
    _touch(held, (due, due))
    _move(held, path_of(held.bucket, held.barcode, DEFERRED))


def fail(held: Claim) -> None:
    """Put the token where a person will see it; a twin that lies there already makes it held instead."""
    _arrive(held)
    try:
        _move(held, path_of(held.bucket, held.barcode, FAILED))
    except OccupiedError:
        _move(held, path_of(held.bucket, held.barcode, HELD))


def take_back(dead: Claim) -> bool:
    """The reaper's move: a dead worker's claim waits again. False when it is gone or its place is taken."""
    try:
        give_back(dead)
    except (Lost, OccupiedError):
        return False
    return True


def _arrive(held: Claim) -> None:
    """A token's mtime says since when it is where it is; set before the rename, so that it is true on arrival."""
    _touch(held, None)


def _touch(held: Claim, times: tuple[float, float] | None) -> None:
    try:
        os.utime(held.path, times, follow_symlinks=False)
    except FileNotFoundError:
        raise Lost(f"The claim on {held.barcode} was taken back.") from None


def _move(held: Claim, target: Path) -> None:
    if os.path.lexists(target) and not _same(target, held.inode):
        raise OccupiedError(f"Another token of {held.barcode} lies at {target}.")
    durable.make_dirs(target.parent)
    try:
        os.rename(held.path, target)  # noqa: PTH104
    except OSError as error:
        if os.path.lexists(held.path):
            raise
        # Gone from our name: either the rename happened although it reports failure, or the claim was taken back.
        if not _same(target, held.inode):
            raise Lost(f"The claim on {held.barcode} was taken back.") from error
    durable.fsync_dir(target.parent)
    durable.fsync_dir(held.path.parent)


def _same(path: Path, inode: int) -> bool:
    try:
        return inode != 0 and os.lstat(path).st_ino == inode
    except OSError:
        return False


def _is_regular(path: Path) -> bool:
    try:
        return path.is_file() and not path.is_symlink()
    except OSError:
        return False


# --- listings -------------------------------------------------------------------------------------------------------


def path_of(bucket: Path, barcode: str, state: str) -> Path:
    """Where a token of this book lies in this bucket, for every state but working."""
    folder = bucket if state == WAITING else bucket / state
    return folder / f"{barcode}{SUFFIX}"


def barcodes(bucket: Path, state: str = WAITING) -> Iterator[str]:
    """The books in one state of a bucket, streamed, in no order; what is no token's name is passed over."""
    if state == WORKING:
        yield from (held.barcode for held in claims(bucket))
        return
    for name in _names(bucket if state == WAITING else bucket / state):
        barcode = barcode_of(name)
        if barcode is not None:
            yield barcode


def claims(bucket: Path) -> Iterator[Claim]:
    """All claims in a bucket, whoever holds them."""
    for name in _names(bucket / WORKING):
        held = parse_claim(bucket, name)
        if held is not None:
            yield held


def parse_claim(bucket: Path, name: str) -> Claim | None:
    """The claim that a file name in working/ stands for, or None."""
    barcode, tilde, rest = name.removesuffix(SUFFIX).partition("~")
    worker, _, number = rest.rpartition(".")
    if not (tilde and name.endswith(SUFFIX) and is_barcode(barcode) and worker and _NUMBER.fullmatch(number)):
        return None
    try:
        inode = os.lstat(bucket / WORKING / name).st_ino
    except OSError:
        return None
    return Claim(bucket, barcode, worker, int(number), inode)


def count(bucket: Path, state: str, limit: int | None = None) -> int:
    """How many tokens are in one state, counting no further than `limit`."""
    total = 0
    names = _names(bucket if state == WAITING else bucket / state)
    for name in names:
        total += parse_claim(bucket, name) is not None if state == WORKING else barcode_of(name) is not None
        if limit is not None and total >= limit:
            names.close()
            break
    return total


def in_line(bucket: Path, limit: int) -> int:
    """How many books fill this bucket for its WIP limit: waiting, working and deferred; no further than `limit`."""
    total = 0
    for state in (WAITING, WORKING, DEFERRED):
        total += count(bucket, state, limit - total)
        if total >= limit:
            break
    return total


def places(buckets: list[Path], barcode: str) -> list[Place]:
    """Every place where a token of this book lies: one, unless somebody copied it or it moved while we looked."""
    found = []
    for bucket in buckets:
        for state in (WAITING, DEFERRED, FAILED, HELD):
            path = path_of(bucket, barcode, state)
            if os.path.lexists(path):
                found.append(Place(bucket, state, path))
        found += [Place(bucket, WORKING, c.path, c.worker) for c in claims(bucket) if c.barcode == barcode]
    return found


def _names(folder: Path) -> Generator[str, None, None]:
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            yield entry.name


# --- seeding --------------------------------------------------------------------------------------------------------


class Seeder:
    """Puts new books on a board, each exactly once, whoever else seeds and whenever it is killed."""

    def __init__(self, root: Path, ledger: Ledger, name: str) -> None:
        self.folder = root / "seeding"
        self.ledger = ledger
        self.name = name
        self.number = 0

    def seed(self, barcode: str, bucket: Path, processing_bucket: str, done_bucket: str) -> bool:
        """Register a book and place its token; False when it was known already.

        The token is written first, under a name of its own; the ledger file, created exclusively, says that name; then
        one rename places it. A crash leaves an unregistered file, or a registered one that the next seeding places.
        """
        if os.path.lexists(self.ledger.path(barcode)) or os.path.lexists(path_of(bucket, barcode, WAITING)):
            return self._complete(barcode, bucket)
        self.number += 1
        name = f"{barcode}~{self.name}.{self.number}{SUFFIX}"
        durable.write_new(self.folder / name, encode(barcode, processing_bucket, done_bucket))
        durable.fsync_dir(self.folder)
        if not self.ledger.register(barcode, bucket=bucket.name, token=name):
            (self.folder / name).unlink()
            return self._complete(barcode, bucket)
        return self._place(name, path_of(bucket, barcode, WAITING))

    def _complete(self, barcode: str, bucket: Path) -> bool:
        """Place what a seeder that died in between had registered."""
        registered = last(self.ledger.read(barcode), "registered")
        if registered is None or not isinstance(registered.get("token"), str):
            return False
        target = bucket.parent / str(registered.get("bucket", bucket.name))
        return self._place(Path(registered["token"]).name, path_of(target, barcode, WAITING))

    def _place(self, name: str, target: Path) -> bool:
        try:
            os.rename(self.folder / name, target)  # noqa: PTH104
        except FileNotFoundError:
            return False
        durable.fsync_dir(target.parent)
        durable.fsync_dir(self.folder)
        return True
