"""How fast each contender is: put, and get with acknowledgement, with the bound on time that a slow one runs into."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bench.board_forked import Timing, together
from tests.bench.board_kill import in_a_child
from tests.bench.rivals import Contender

# Opening a queue syncs as well, a few times: among so many messages it does not show.
TRACED = 100


@dataclass(frozen=True)
class Queue:
    """One library's queue with messages in it; `rate` is how fast they were put."""

    contender: type[Contender]
    folder: Path
    count: int
    rate: float

    def take(self, workers: int, total: int, limit: float) -> Timing:
        """Get and acknowledge so many; at most `limit` seconds."""
        return together(lambda _number: _taking(self.contender, self.folder), workers, total, limit)


def queue(contender: type[Contender], folder: Path, size: int, bound: float) -> Queue:
    """A queue of so many messages, or of as many as can be put in `bound` seconds."""
    folder.mkdir(parents=True)
    count, seconds = in_a_child(lambda: _put(contender, folder, size, bound))
    return Queue(contender, folder, count, count / seconds)


def _put(contender: type[Contender], folder: Path, size: int, bound: float) -> tuple[int, float]:
    contended, count, began = contender(folder), 0, time.monotonic()
    for added in contended.put_all(f"message{number:07}" for number in range(size)):
        count += added
        if time.monotonic() - began > bound:
            break
    return count, time.monotonic() - began


def _taking(contender: type[Contender], folder: Path) -> Iterator[str]:
    contended = contender(folder)
    # What lists the whole queue at its first message has done so when the clock starts, as our board has.
    contended.take()
    yield ""
    while (text := contended.take()) is not None:
        yield text


def syncs(contender: type[Contender], folder: Path) -> tuple[float, float] | None:
    """Calls of fsync and fdatasync a put and a take, as strace counts them; None where it cannot."""
    if shutil.which("strace") is None:
        return None
    folder.mkdir(parents=True)
    try:
        puts, takes = (_count(contender, folder, what) for what in ("put", "take"))
    except (subprocess.CalledProcessError, OSError):
        return None
    finally:
        shutil.rmtree(folder)
    return puts / TRACED, takes / TRACED


def _count(contender: type[Contender], folder: Path, what: str) -> int:
    out = folder / "trace"
    strace = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", "signal=none", "-o", str(out)]
    command = [*strace, sys.executable, "-m", "tests.bench.rivals", contender.name, str(folder), what, str(TRACED)]
    subprocess.run(command, check=True, capture_output=True)
    lines = out.read_text().splitlines()
    return sum("fsync(" in line or "fdatasync(" in line for line in lines)
