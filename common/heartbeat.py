"""Who is at work: `workers/<worker>.json`, touched every few seconds, its age judged by the file server's own clock.

A worker is named `<stage>-<host>-<pid>-<random>`, so no two share a name, not even over years.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import __version__, durable
from common.ledger import now

# A heartbeat file is filled up with blanks to this many bytes; of one, no more than the second figure is read.
_PADDED, _MOST = 4096, 65_536
# What can wait is written no oftener than every so many seconds; in the beginning it is worth more, and waits less.
_NOTE_FIRST, _NOTE_EVERY = 1.0, 10.0


def worker_name(stage: str) -> str:
    """A name that nobody has had before; letters, digits, `-` and `_` only."""
    host = re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:60]
    return f"{stage}-{host}-{os.getpid()}-{secrets.token_hex(4)}"


@dataclass(frozen=True)
class Seen:
    """A worker's file as another process finds it; `age` in seconds since its last heartbeat."""

    worker: str
    age: float
    facts: Mapping[str, Any]


class Heartbeat:
    """One worker's own file."""

    def __init__(self, folder: Path, worker: str, **facts: object) -> None:
        self.worker = worker
        self.path = folder / f"{worker}.json"
        self.facts = {"worker": worker, "host": socket.gethostname(), "pid": os.getpid(), "started": now()}
        self.facts |= {"version": __version__, **facts}
        self._server, self._at = time.time(), time.monotonic()
        self._unwritten, self._began, self._noted = False, self._at, self._at - _NOTE_FIRST

    def announce(self, **facts: object) -> None:
        """Write the file, with new facts if there are any; must happen before the first claim."""
        self.facts |= facts
        data = json.dumps(self.facts).encode() + b"\n"
        try:
            durable.write_file(self.path, data.ljust(_PADDED))
        except OSError as error:
            if error.errno not in durable.FULL or not self.path.exists():
                raise
            self._overwrite(data)
        self._unwritten = False

    def note(self, **facts: object) -> None:
        """Facts that can wait: written now and then, or with the next news; what could not be written is tried again.

        For the thread that announces, never for the one that beats: a disk that is slow to write must delay no beat.
        """
        self._unwritten = self._unwritten or any(self.facts.get(name) != fact for name, fact in facts.items())
        self.facts |= facts
        now = time.monotonic()
        if self._unwritten and now - self._noted >= min(_NOTE_EVERY, max(_NOTE_FIRST, (now - self._began) / 10)):
            self._noted = now
            with suppress(OSError):
                self.announce()

    def _overwrite(self, data: bytes) -> None:
        """On a full disk the news that it is full needs no new block: blanks at the end of the file make room."""
        fd = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            os.pwrite(fd, data.ljust(_PADDED)[:_PADDED], 0)
        finally:
            os.close(fd)

    def beat(self) -> float:
        """Touch the file and return the server's time, in seconds since the epoch."""
        try:
            # Without times of our own the file server sets its clock's, the only one that all hosts share.
            os.utime(self.path)
        except FileNotFoundError:
            self.announce()
        self._server, self._at = self.path.stat().st_mtime, time.monotonic()
        return self._server

    def server_now(self) -> float:
        """The server's time, carried on from the last heartbeat; steps of this host's clock do not matter."""
        return self._server + time.monotonic() - self._at

    def leave(self) -> None:
        """Remove the file; only when nothing is claimed any more."""
        self.path.unlink(missing_ok=True)


def seen(folder: Path, server_now: float) -> Iterator[Seen]:
    """Every worker that has a file, dead ones too."""
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".json") or name.startswith("."):
            continue
        try:
            beaten, data = peek(folder / name)
            facts = json.loads(data)
        except (OSError, ValueError, RecursionError):
            continue
        yield Seen(name.removesuffix(".json"), server_now - beaten, facts if isinstance(facts, dict) else {})


def peek(path: Path, most: int = _MOST) -> tuple[float, bytes]:
    """A small file's mtime and content, never waiting on a FIFO or following a link that lies in its place."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        figures = os.fstat(fd)
        if not stat.S_ISREG(figures.st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        return figures.st_mtime, os.read(fd, most)
    finally:
        os.close(fd)
