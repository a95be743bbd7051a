"""What `doctor` measures with other processes: who wins a claim, and how soon another one sees what this one did."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from common import board

_FORK = multiprocessing.get_context("fork")
_LOOK = 0.005


@dataclass(frozen=True)
class Race:
    """How a race ended: of `tokens`, how many were claimed by one process, by both, by none although they are gone."""

    tokens: int
    once: int
    doubled: int
    lost: int
    seconds: float

    @property
    def rate(self) -> float:
        """Claims a second, by both processes together."""
        return self.once / max(self.seconds, 1e-9)


def race(bucket: Path, tokens: int, seconds: float) -> Race:
    """Two processes claim the same tokens in the same order, for no longer than `seconds`."""
    made = _make(bucket, tokens, seconds)
    began = time.monotonic()
    runners = [_start(_run, bucket, f"doctor-{number}", made, began + seconds) for number in (1, 2)]
    claimed: Counter[str] = Counter()
    for runner, pipe in runners:
        claimed.update(_received(runner, pipe, 10 * seconds))
    took = time.monotonic() - began
    left = sum(os.path.lexists(board.path_of(bucket, name, board.WAITING)) for name in made if name not in claimed)
    doubled = sum(times > 1 for times in claimed.values())
    return Race(len(made), len(claimed) - doubled, doubled, len(made) - len(claimed) - left, took)


def _make(bucket: Path, tokens: int, seconds: float) -> list[str]:
    end, made = time.monotonic() + seconds, []
    for number in range(tokens):
        name = f"T{number}"
        board.path_of(bucket, name, board.WAITING).touch()
        made.append(name)
        if time.monotonic() > end:
            break
    return made


def _run(pipe: Connection, bucket: Path, name: str, tokens: list[str], end: float) -> None:
    won = []
    for number, token in enumerate(tokens, 1):
        if board.claim(bucket, token, name, number) is not None:
            won.append(token)
        if time.monotonic() > end:
            break
    pipe.send(won)


@dataclass(frozen=True)
class Delays:
    """Seconds until another process of this machine saw a change; infinite where it did not in time."""

    name: float
    listing: float
    time: float


def delays(folder: Path, patience: float) -> Delays:
    """Make a name, another one in a listing, and a new time; how long a second process does not know of each."""
    for part in ("name", "listing"):
        (folder / part).mkdir()
    beat = folder / "beat"
    beat.touch()
    watcher, pipe = _start(_watch, folder, patience)
    _received(watcher, pipe, patience, last=False)
    began = time.monotonic()
    (folder / "name" / "new").touch()
    (folder / "listing" / "new").touch()
    os.utime(beat, (1, 1))
    seen = _received(watcher, pipe, 2 * patience)
    return Delays(*(max(0.0, float(seen[what]) - began) for what in ("name", "listing", "time")))


def _watch(pipe: Connection, folder: Path, patience: float) -> None:
    looks: dict[str, Callable[[], bool]] = {
        "name": lambda: os.path.lexists(folder / "name" / "new"),
        "listing": lambda: "new" in os.listdir(folder / "listing"),
        "time": lambda: (folder / "beat").stat().st_mtime < 2,
    }
    # Whatever a client remembers, it remembers from this first look.
    seen = {what: float("inf") for what, look in looks.items() if not look()}
    pipe.send({})
    end = time.monotonic() + patience
    while float("inf") in seen.values() and time.monotonic() < end:
        for what, look in looks.items():
            if seen[what] == float("inf") and look():
                seen[what] = time.monotonic()
        time.sleep(_LOOK)
    pipe.send(seen)


def silences(beats: list[Path], seconds: float) -> list[float]:
    """For how long at most each of these files, which others touch again and again, seems to stand still from here.

    Two changes of each are waited for, but no longer than `seconds`.
    """
    began = time.monotonic()
    known = {path: (_touched(path), began, [0.0]) for path in beats}
    while (now := time.monotonic()) < began + seconds and any(len(gaps) < 3 for _, _, gaps in known.values()):
        for path, (before, since, gaps) in known.items():
            found = _touched(path)
            if found != before:
                known[path] = (found, now, [*gaps, now - since])
        time.sleep(_LOOK)
    return [max(*gaps, time.monotonic() - since) for _, since, gaps in known.values()]


def _touched(path: Path) -> int:
    """As the reaper sees it."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _start(job: Callable[..., None], *arguments: object) -> tuple[BaseProcess, Connection]:
    ours, theirs = _FORK.Pipe(duplex=False)
    child = _FORK.Process(target=_guarded, args=(job, theirs, *arguments), daemon=True)
    child.start()
    theirs.close()
    return child, ours


def _guarded(job: Callable[..., None], pipe: Connection, *arguments: object) -> None:
    try:
        job(pipe, *arguments)
    except OSError as error:
        pipe.send(error)


def _received(child: BaseProcess, pipe: Connection, seconds: float, *, last: bool = True) -> Any:
    """What a child sends; its OSError, or one of our own where it sends nothing in time."""
    try:
        found = pipe.recv() if pipe.poll(seconds) else OSError("another process did not answer in time")
    except EOFError:
        found = OSError("another process has died")
    if last or isinstance(found, OSError):
        child.kill()
        child.join()
        pipe.close()
    if isinstance(found, OSError):
        raise found
    return found
