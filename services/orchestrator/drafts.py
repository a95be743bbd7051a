"""Files that are written beside their name and take it when they are whole, so that nobody ever sees a part of one."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from common import durable

_CHUNK = 1 << 20


@contextmanager
def draft(path: Path) -> Iterator[IO[bytes]]:
    """A locked file beside `path`, gone afterwards unless it was kept."""
    made = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    with made.open("xb", buffering=_CHUNK) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield file
        finally:
            made.unlink(missing_ok=True)


def keep(file: IO[bytes], path: Path) -> None:
    """Give a draft its name, over what is there; durable once the folder is synced."""
    file.flush()
    os.fsync(file.fileno())
    # The draft's own name, for the file has nothing else to be known by.
    durable.replace(Path(file.name), path)


def sweep(path: Path) -> None:
    """Remove the drafts of processes that died."""
    with os.scandir(path.parent) as entries:
        drafts = [Path(one) for one in entries if one.name.startswith(f".{path.name}.") and one.name.endswith(".part")]
    for old in drafts:
        # One that is locked is being written, one that is gone has just taken its place.
        with suppress(OSError), old.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            old.unlink()
