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

import errno
import os
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from common import durable
from common.errors import Lost
from common.ledger import Ledger, NoLedger, last
from common.token import MAX_BYTES, SUFFIX, TokenError, encode, is_barcode

WAITING, WORKING, DEFERRED, FAILED, HELD = "waiting", "working", "deferred", "failed", "held"
STATES = (WAITING, WORKING, DEFERRED, FAILED, HELD)
# No bucket of the line: here lie the tokens that a person took off the board, so that each can be brought back.
DROPPED = "dropped"


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
    since: float = field(default=0.0, compare=False)
    """The token's mtime when it was claimed, in seconds since the epoch by the server's clock."""

    @property
    def id(self) -> str:
        """Unique to this worker and this claim; free of "/" and "~"."""
        return f"{self.worker}.{self.number}"

    @cached_property
    def path(self) -> Path:
        """Where the token is while the claim holds."""
        return Path(f"{self.bucket}/{WORKING}/{self.barcode}~{self.id}{SUFFIX}")


def path_of(bucket: Path, barcode: str, state: str) -> Path:
    """Where a token of this book lies in this bucket, for every state but working."""
    return Path(f"{bucket}/{barcode}{SUFFIX}" if state == WAITING else f"{bucket}/{state}/{barcode}{SUFFIX}")


def prepare(root: Path, buckets: list[Path]) -> None:
    """Make every folder of a board; what is there stays as it is."""
    for name in ("ledger", "workers", "paused", "logs", "seeding", DROPPED):
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
        if isinstance(error, FileNotFoundError) and not os.path.lexists(wanted.path):
            # Somebody else was faster; unless a backup was restored without its empty folders.
            durable.make_dirs(wanted.path.parent)
            return None
        if not _is_there(wanted.path):
            raise
    try:
        figures = os.lstat(wanted.path)
    except FileNotFoundError:
        return None
    return Claim(bucket, barcode, worker, number, figures.st_ino, figures.st_mtime)


def read(held: Claim) -> bytes:
    """The token's bytes; TokenError when it is no small regular file. Never follows a link or waits on a FIFO."""
    return read_file(held.path, held.barcode)


def read_file(path: Path, barcode: str) -> bytes:
    """The bytes of a token's file, wherever it lies; TokenError as above."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise TokenError(f"{barcode}{SUFFIX} is not a regular file, so it is no token.")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except PermissionError:
        raise TokenError(f"{barcode}{SUFFIX} may not be read by this worker.") from None
    try:
        return os.read(fd, MAX_BYTES + 1)
    finally:
        os.close(fd)


def holds(held: Claim) -> bool:
    """Whether the claim is still its worker's."""
    return _is_there(held.path)


def finish(held: Claim, output: Path) -> None:
    """Move the token to another bucket. Lost when the claim was taken back; OccupiedError when a twin lies there."""
    _arrive(held)
    _move(held, path_of(output, held.barcode, WAITING))


def give_back(held: Claim) -> None:
    """Put the token back where it waited."""
    _arrive(held)
    put_back(held)


def put_back(held: Claim) -> None:
    """Put the token back where it waited as if it had never been claimed: its mtime stays as well."""
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
        _arrive(dead)
        # Other reapers rename from this very name: that it is gone proves nothing about one's own rename.
        _move(dead, path_of(dead.bucket, dead.barcode, WAITING), alone=False)
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
    except PermissionError:
        # Somebody else's file: it can be moved all the same, and the time is only for people.
        return


def _move(held: Claim, target: Path, *, alone: bool = True) -> None:
    try:
        _rename(held, target)
    except OccupiedError:
        raise
    except OSError as error:
        if _is_there(held.path):
            raise
        # Gone from our name: either the rename happened although it reports failure, or the claim was taken back.
        if not (alone and _is_there(target) and _same(target, held.inode)):
            raise Lost(f"The claim on {held.barcode} was taken back.") from error
    durable.fsync_dir(target.parent)
    durable.fsync_dir(held.path.parent)


def _rename(held: Claim, target: Path) -> None:
    seen = os.path.lexists(target)
    if seen and not _same(target, held.inode):
        raise OccupiedError(f"Another token of {held.barcode} lies at {target}.")
    durable.make_dirs(target.parent)
    os.rename(held.path, target)  # noqa: PTH104
    if seen and _links(held.path) > 1:
        # Somebody had given this very token a second name there: renaming one onto the other does nothing.
        held.path.unlink()


def _is_there(path: Path) -> bool:
    """Whether a name exists. Before it is called gone the server is asked, whatever an old cache says."""
    if os.path.lexists(path):
        return True
    durable.ask_anew(path.parent)
    return os.path.lexists(path)


def _links(path: Path) -> int:
    """How many names a file has. It is opened for that: a network file system then asks its server, not its memory."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        # A symbolic link, set aside like any stranger; it is no token, so its memory will do.
        return os.lstat(path).st_nlink if error.errno == errno.ELOOP else 0
    try:
        return os.fstat(fd).st_nlink
    finally:
        os.close(fd)


def _same(path: Path, inode: int) -> bool:
    try:
        return os.lstat(path).st_ino == inode
    except OSError:
        return False


# --- operators' moves -----------------------------------------------------------------------------------------------


def relocate(barcode: str, source: Path, inode: int, target: Path) -> None:
    """A person's move of a token from any place, by one rename; the caller syncs both folders.

    Lost when the token has moved on meanwhile. Other than a claim's, the source's name can be taken by the same token
    again at any moment, so nothing here ever removes it.
    """
    if os.path.lexists(target):
        raise OccupiedError(f"Another token of {barcode} lies at {target}.")
    durable.make_dirs(target.parent)
    try:
        os.rename(source, target)  # noqa: PTH104
    except OSError as error:
        if _is_there(source):
            raise
        if not _same(target, inode):
            raise Lost(f"The token of {barcode} has moved on.") from error
    # Only now: a deferred token that was stamped before would be due at once, even if this process ended here.
    with suppress(FileNotFoundError, PermissionError):
        os.utime(target, follow_symlinks=False)


# --- seeding --------------------------------------------------------------------------------------------------------


class Seeder:
    """Puts new books on a board, each exactly once, whoever else seeds and whenever it is killed.

    Tokens are written first, in seeding/, each under a name of its own; a book's ledger file, created exclusively, says
    that name; then one rename places it. A crash leaves an unregistered file, or a registered one for `recover`.
    """

    def __init__(self, root: Path, ledger: Ledger, name: str, places: Collection[tuple[Path, str]] = ()) -> None:
        self.root = root
        self.folder = root / "seeding"
        # Buckets and states in which a token is looked for as well: a ledger can be lost.
        self.places = places
        self.ledger = ledger
        self.name = name
        self.number = 0

    def seed(self, barcode: str, bucket: Path, processing_bucket: str, done_bucket: str) -> bool:
        """Register a book and place its token; False when it was known already."""
        return bool(self.seed_all([barcode], bucket, processing_bucket, done_bucket))

    def seed_all(self, barcodes: Iterable[str], bucket: Path, processing_bucket: str, done_bucket: str) -> list[str]:
        """The same for a handful of books, which share the waiting for the disk; the new ones among them."""
        names = {barcode: self._name(barcode) for barcode in barcodes if not self._is_known(barcode, bucket)}
        if not names:
            return []
        tokens = {self.folder / name: encode(b, processing_bucket, done_bucket) for b, name in names.items()}
        durable.write_all_new(tokens)
        durable.fsync_dir(self.folder)
        first = {barcode: {"bucket": bucket.name, "token": name} for barcode, name in names.items()}
        registered = self.ledger.register_all(first)
        for barcode in names.keys() - registered:
            (self.folder / names[barcode]).unlink(missing_ok=True)
        placed = [barcode for barcode in registered if self._place(names[barcode], bucket, barcode)]
        durable.fsync_dir(bucket)
        return placed

    def recover(self, fallback: Path | None = None) -> int:
        """Place what seeders that died in between had registered, and sweep very old leftovers; how many were placed.

        To be called before each seeding. What a living seeder is just about to place may be placed here: once, by one
        rename, either way. A bucket that is no more is replaced by `fallback`.
        """
        now, placed = durable.server_time(self.folder), 0
        for name in os.listdir(self.folder):
            # One leftover that cannot be placed must not keep the others, or new books, from the board.
            with suppress(NoLedger, FileNotFoundError, PermissionError):
                placed += self._recover(name, fallback, now)
        return placed

    def _recover(self, name: str, fallback: Path | None, now: float) -> bool:
        barcode = name.partition("~")[0]
        registered = last(self.ledger.read(barcode), "registered") if is_barcode(barcode) else None
        if registered is None or registered.get("token") != name:
            durable.remove_if_old(self.folder / name, now)
            return False
        bucket: Path | None = self.root / Path(registered.get("bucket", "")).name / WORKING
        bucket = bucket.parent if bucket is not None and bucket.is_dir() else fallback
        if bucket is None:
            return False
        placed = self._place(name, bucket, barcode)
        durable.fsync_dir(bucket)
        return placed

    def _is_known(self, barcode: str, bucket: Path) -> bool:
        if os.path.lexists(self.ledger.path(barcode)):
            return True
        places = ((bucket, WAITING), *self.places)
        return any(os.path.lexists(path_of(place, barcode, state)) for place, state in places)

    def _name(self, barcode: str) -> str:
        self.number += 1
        return f"{barcode}~{self.name}.{self.number}{SUFFIX}"

    def _place(self, name: str, bucket: Path, barcode: str) -> bool:
        try:
            os.rename(self.folder / name, path_of(bucket, barcode, WAITING))  # noqa: PTH104
        except FileNotFoundError:
            return False
        return True
