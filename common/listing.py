"""What lies where on a board: listings, streamed and in no order, that change nothing.

On a network file system a listing can be old: a name that is not seen may be there, and one that is seen may be gone.
Only a rename decides.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from common.board import DEFERRED, FAILED, HELD, STATES, WAITING, WORKING, Claim, path_of
from common.token import BARCODE, SUFFIX, barcode_of

_WAITING = re.compile(rf"{BARCODE}{re.escape(SUFFIX)}")
_CLAIM = re.compile(rf"{BARCODE}~[^/]+\.[1-9][0-9]{{0,17}}{re.escape(SUFFIX)}")
# One match a name, and nothing asked of the disk: a bucket may hold a million.
_TOKEN = {state: (_CLAIM if state == WORKING else _WAITING).fullmatch for state in STATES}


@dataclass(frozen=True)
class Place:
    """Where a token lies: bucket, state and, while claimed, by whom."""

    bucket: Path
    state: str
    path: Path
    worker: str | None = None


def folder_of(bucket: Path, state: str) -> Path:
    """The folder that holds the tokens of one state."""
    return bucket if state == WAITING else bucket / state


def barcodes(bucket: Path, state: str = WAITING) -> Iterator[str]:
    """The books in one state of a bucket, streamed, in no order; what is no token's name is passed over."""
    if state == WORKING:
        yield from (held.barcode for held in claims(bucket))
        return
    for name in _names(folder_of(bucket, state)):
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
    if not _CLAIM.fullmatch(name):
        return None
    barcode, _, rest = name.removesuffix(SUFFIX).partition("~")
    worker, _, number = rest.rpartition(".")
    try:
        inode = os.lstat(bucket / WORKING / name).st_ino
    except OSError:
        return None
    return Claim(bucket, barcode, worker, int(number), inode)


def count(bucket: Path, state: str, limit: int | None = None) -> int:
    """How many tokens are in one state, counting no further than `limit`."""
    is_token = _TOKEN[state]
    return sum(1 for _ in islice(filter(is_token, _names(folder_of(bucket, state))), limit))


def tally(bucket: Path, state: str) -> tuple[int, int]:
    """How many tokens are in one state, and how many files that are none."""
    is_token, tokens, others = _TOKEN[state], 0, 0
    for name in _names(folder_of(bucket, state)):
        if is_token(name):
            tokens += 1
        elif _is_stranger(name):
            others += 1
    return tokens, others


def strangers(bucket: Path, state: str) -> Iterator[Path]:
    """What lies among the tokens and is none; hidden files and the bucket's own folders are passed over."""
    folder = folder_of(bucket, state)
    is_token = _TOKEN[state]
    return (folder / name for name in _names(folder) if not is_token(name) and _is_stranger(name))


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


def _is_stranger(name: str) -> bool:
    return name not in STATES and not name.startswith(".")
