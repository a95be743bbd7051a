"""Which processes of a board run on this machine: found by their heartbeats, known for certain before they are told.

A number is given to another process once its owner is gone. So a process is held by a descriptor first, then known by
its name on the command line, by this board's log that it has open, or by having begun before its heartbeat did.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from common.heartbeat import Seen

# A heartbeat says when it began as its host's clock had it; the kernel counts in ticks.
_SLACK = 2.0
_MODULES = (b"services", b"common.run")


@dataclass(frozen=True)
class Process:
    """A process of this board on this machine; `fd` stands for it and for no other, however numbers are given anew."""

    seen: Seen
    pid: int
    fd: int
    supervised: bool

    @property
    def stage(self) -> str:
        """The stage's name, or orchestrator."""
        return str(self.seen.facts.get("stage", "?"))

    @property
    def is_main(self) -> bool:
        """Whether it is what a container runs, so that its engine would start it again."""
        return self.pid == 1 or bool(os.environ.get("STAGE"))

    def tell(self) -> bool:
        """Ask it to drain; False when it belongs to somebody else."""
        try:
            signal.pidfd_send_signal(self.fd, signal.SIGTERM)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return True

    def is_alive(self) -> bool:
        """Whether it has not ended yet; one that its parent has not buried has."""
        return not select.select([self.fd], [], [], 0)[0]

    def close(self) -> None:
        """Let the descriptor go."""
        os.close(self.fd)


def of_this_machine(workers: Iterable[Seen], logs: Path) -> list[Process]:
    """The processes behind these heartbeats that run here."""
    here = socket.gethostname()
    found = (_process(one, logs) for one in workers if one.facts.get("host") == here)
    return [process for process in found if process is not None]


def wait(processes: Iterable[Process], timeout: float) -> list[Process]:
    """Wait until they have ended; those that have not after so many seconds."""
    left, deadline = list(processes), time.monotonic() + timeout
    while left and (remaining := deadline - time.monotonic()) > 0:
        select.select([process.fd for process in left], [], [], remaining)
        left = [process for process in left if process.is_alive()]
    return left


def _process(worker: Seen, logs: Path) -> Process | None:
    pid = worker.facts.get("pid")
    if not isinstance(pid, int) or pid < 1:
        return None
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return None
    argv = _argv(pid)
    if _is_it(worker, pid, argv, logs):
        return Process(worker, pid, fd, b"--supervised" in argv)
    os.close(fd)
    return None


def _is_it(worker: Seen, pid: int, argv: list[bytes], logs: Path) -> bool:
    if not any(b"grin-pipeline" in word or word.startswith(_MODULES) for word in argv):
        return False
    log = logs / f"{worker.facts.get('stage')}.jsonl"
    return worker.worker.encode() in argv or _has_open(pid, log) or _began_before(pid, worker.facts.get("started"))


def _argv(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _has_open(pid: int, path: Path) -> bool:
    with suppress(OSError):
        wanted = path.stat()
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                if os.path.samestat(link.stat(), wanted):
                    return True
    return False


def _began_before(pid: int, started: object) -> bool:
    try:
        beaten = datetime.fromisoformat(str(started)).timestamp()
        # The name stands in parentheses and may hold anything, so what follows it is counted from the last one.
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return False
    began = time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")
    return began <= beaten + _SLACK
