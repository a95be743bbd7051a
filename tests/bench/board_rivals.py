"""How fast each contender is: put, and get with acknowledgement, with the bound on time that a slow one runs into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.board_forked import Timing, together
from tests.bench.board_kill import in_a_child
from tests.bench.rivals import Contender

# Opening a queue syncs as well, a few times: among so many messages it does not show.
TRACED = 100


@dataclass
class Speed:
    """One contender at one size; rates a second."""

    size: int
    put: float
    put_done: int
    """How many of the messages were in the queue when the time was up."""
    takes: dict[int, Timing] = field(default_factory=dict)
    """By the number of workers; those that its manual does not allow are missing."""


def speed(contender: type[Contender], folder: Path, size: int, workers: list[int], moves: int, bound: float) -> Speed:
    """Put `size` messages, then take a part of them with each number of workers; at most `bound` seconds each."""
    folder.mkdir(parents=True)
    try:
        count, seconds = in_a_child(lambda: _put(contender, folder, size, bound))
        os.sync()
        found = Speed(size, count / seconds, count)
        for number in workers if contender.processes else [1]:
            total = min(moves, count // (len(workers) + 1))
            found.takes[number] = together(lambda _number: _taking(contender, folder), number, total, bound)
        return found
    finally:
        shutil.rmtree(folder)


def _put(contender: type[Contender], folder: Path, size: int, bound: float) -> tuple[int, float]:
    queue, count, began = contender(folder), 0, time.monotonic()
    for added in queue.put_all(f"message{number:07}" for number in range(size)):
        count += added
        if time.monotonic() - began > bound:
            break
    return count, time.monotonic() - began


def _taking(contender: type[Contender], folder: Path) -> Iterator[str]:
    queue = contender(folder)
    yield ""
    while (text := queue.take()) is not None:
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
