"""What lies where on a board: listings, streamed and in no order, that change nothing.

On a network file system a listing can be old: a name that is not seen may be there, and one that is seen may be gone.
Only a rename decides.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from common.board import DEFERRED, FAILED, HELD, WAITING, WORKING, Claim, path_of
from common.token import SUFFIX, barcode_of, is_barcode

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True)
class Place:
    """Where a token lies: bucket, state and, while claimed, by whom."""

    bucket: Path
    state: str
    path: Path
    worker: str | None = None


def barcodes(bucket: Path, state: str = WAITING) -> Iterator[str]:
    """The books in one state of a bucket, streamed, in no order; what is no token's name is passed over."""
    if state == WORKING:
        yield from (held.barcode for held in claims(bucket))
        return
    for name in _names(bucket if state == WAITING else bucket / state):
        barcode = barcode_of(name)
        if barcode is not None:
            yield barcode


def claims(bucket: Path, barcode: str = "") -> Iterator[Claim]:
    """All claims in a bucket, or those on one book, whoever holds them."""
    for name in _names(bucket / WORKING):
        # Compared before it is parsed, which asks the disk.
        held = parse_claim(bucket, name) if name.startswith(f"{barcode}~" if barcode else "") else None
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
        found += [Place(bucket, WORKING, held.path, held.worker) for held in claims(bucket, barcode)]
    return found


def _names(folder: Path) -> Generator[str, None, None]:
    try:
        entries = os.scandir(folder)
    except FileNotFoundError:
        return
    with entries:
        for entry in entries:
            yield entry.name
