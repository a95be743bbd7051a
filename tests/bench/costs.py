"""What a command costs: CPU with all its children, wall time, and the most memory that all of them had at once."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_EVERY = 0.1
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Cost:
    """Seconds of user and system time and of the clock; memory in MB (10^6 bytes)."""

    user: float
    system: float
    wall: float
    memory: float

    @property
    def cpu(self) -> float:
        """All CPU seconds."""
        return self.user + self.system


class Started:
    """A started program; `end` waits for it and says what it and all that it waited for have cost."""

    def __init__(self, command: list[str], log: Path, environ: Mapping[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environ, start_new_session=True
            )
        self.pid, self._began = self._process.pid, time.monotonic()

    def ask_to_end(self) -> None:
        """SIGTERM, as an operator stops a stage."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once, if it has not ended."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()

    def end(self, memory: float) -> Cost:
        """Wait for its end; SystemExit with its last words when that was not a good one."""
        _, status, usage = os.wait4(self.pid, 0)
        wall = time.monotonic() - self._began
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._process.returncode:
            words = "\n".join(self.log.read_text(errors="replace").splitlines()[-10:])
            raise SystemExit(f"A measured program ended with {self._process.returncode}; {self.log} ends:\n{words}")
        return Cost(usage.ru_utime, usage.ru_stime, wall, memory)


def run(command: list[str], log: Path, environ: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end."""
    started = Started(command, log, environ)
    try:
        with watched([started.pid]) as peaks:
            cost = started.end(0.0)
    finally:
        started.kill()
    return Cost(cost.user, cost.system, cost.wall, peaks.most[started.pid])


@dataclass
class Peaks:
    """The most memory seen, in MB, of each watched program with all that it started, and of all of these together."""

    most: dict[int, float]
    together: float = 0.0
    _gone: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        """Add what is used now."""
        used = {pid: sum(map(_resident, _family(pid))) / 1e6 for pid in self.most}
        self.together = max(self.together, sum(used.values()))
        for pid, size in used.items():
            self.most[pid] = max(self.most[pid], size, _peak(pid) / 1e6)


@contextmanager
def watched(pids: list[int]) -> Iterator[Peaks]:
    """Look at these programs ten times a second; each one's own peak is the kernel's, so none of that is missed."""
    peaks = Peaks(dict.fromkeys(pids, 0.0))

    def watch() -> None:
        while not peaks._gone.wait(_EVERY):
            peaks.look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        peaks._gone.set()
        thread.join()


def of_creating(files: int, folder: Path) -> float:
    """CPU seconds that so many empty files cost to create, after as many were removed: what the disk itself takes."""
    place, seconds = folder / "created", 0.0
    for _ in range(2):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        began = time.process_time()
        for number in range(files):
            os.close(os.open(place / f"{number:08}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        seconds = time.process_time() - began
    shutil.rmtree(place)
    return seconds


def _family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _family(int(child))


def _resident(pid: int) -> int:
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return 0


def _peak(pid: int) -> int:
    """The most bytes of memory that the program itself has had since it became this program."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0
