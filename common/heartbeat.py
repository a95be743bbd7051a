"""Who is at work: `workers/<worker>.json`, touched every few seconds, its age judged by the file server's own clock.

A worker is named `<stage>-<host>-<pid>-<random>`, so no two share a name, not even over years.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import __version__, durable
from common.ledger import now


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

    def announce(self, **facts: object) -> None:
        """Write the file, with new facts if there are any; must happen before the first claim."""
        self.facts |= facts
        durable.write_file(self.path, json.dumps(self.facts).encode() + b"\n")

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
        path = folder / name
        try:
            age = server_now - path.stat().st_mtime
            facts = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        yield Seen(name.removesuffix(".json"), age, facts if isinstance(facts, dict) else {})
