"""What becomes of a message whose holder is killed, and whether a living holder's message is given to another too.

Real processes, killed by SIGKILL. Every look is made by a fresh process, as after a restart. "Kept" means that some
call of the library brings the message back; a message that only lies in a file that nothing reads again is lost.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.bench.rivals import Contender

_FORK = multiprocessing.get_context("fork")
_NAMES = ("first", "second", "third")
T = TypeVar("T")


@dataclass(frozen=True)
class Fate:
    """What one contender did with the message of a killed worker, and with that of a living one."""

    kept: bool
    how: str
    """Which call brought it back."""
    seconds: float
    """From the kill until it could be taken again."""
    deliveries: int
    """How often it was delivered after the kill: 1 is right."""
    others_lost: int
    """Messages that nobody held and nobody got."""
    taken_from_the_living: str
    """Which call gave a living worker's message to another; empty when none did."""


def fate(contender: type[Contender], folder: Path, patience: float = 15.0) -> Fate:
    """Both checks on fresh queues; `patience` is how many seconds the recovery call gets, again and again."""
    (folder / "killed").mkdir(parents=True)
    (folder / "living").mkdir()
    living = _living(contender, folder / "living")
    return _killed(contender, folder / "killed", patience, living)


def _killed(contender: type[Contender], folder: Path, patience: float, living: str) -> Fate:
    in_a_child(lambda: _fill(contender, folder))
    with holder(contender, folder) as held:
        pass
    killed, how = time.monotonic(), "the next opening"
    got = in_a_child(lambda: _drain(contender, folder))
    while held not in got and contender.recovery and time.monotonic() - killed < patience:
        how = contender.recovery
        got += in_a_child(lambda: _recover(contender, folder))
    seconds = time.monotonic() - killed
    # Once more, so that what is delivered twice shows.
    got += in_a_child(lambda: _recover(contender, folder))
    times = Counter(got)
    others = sum(times[name] == 0 for name in _NAMES if name != held)
    kept = times[held] > 0
    return Fate(kept, how if kept else "", seconds if kept else 0.0, times[held], others, living)


def _living(contender: type[Contender], folder: Path) -> str:
    in_a_child(lambda: _fill(contender, folder))
    with holder(contender, folder) as held:
        if held in in_a_child(lambda: _drain(contender, folder)):
            return "the next opening"
        if contender.recovery and held in in_a_child(lambda: _recover(contender, folder, 2 * contender.reap_after)):
            return contender.recovery
    return ""


@contextmanager
def holder(contender: type[Contender], folder: Path) -> Iterator[str]:
    """A process that holds one message, while this holds; then it is killed by SIGKILL."""
    here, there = _FORK.Pipe(duplex=False)

    def hold() -> None:
        there.send(contender(folder).hold())
        time.sleep(3600)

    child = _FORK.Process(target=hold, daemon=True)
    child.start()
    there.close()
    try:
        yield here.recv()
    finally:
        child.kill()
        child.join()
        here.close()


def in_a_child(call: Callable[[], T]) -> T:
    """The call's result, made in a process of its own that is gone afterwards."""
    here, there = _FORK.Pipe(duplex=False)
    child = _FORK.Process(target=lambda: there.send(call()), daemon=True)
    child.start()
    there.close()
    try:
        return here.recv()  # type: ignore[no-any-return]
    finally:
        child.kill()
        child.join()
        here.close()


def _fill(contender: type[Contender], folder: Path) -> int:
    queue = contender(folder)
    for name in _NAMES:
        queue.put(name)
    return os.getpid()


def _drain(contender: type[Contender], folder: Path) -> list[str]:
    return _take_all(contender(folder))


def _take_all(queue: Contender) -> list[str]:
    got = []
    while (name := queue.take()) is not None:
        got.append(name)
    return got


def _recover(contender: type[Contender], folder: Path, seconds: float | None = None) -> list[str]:
    """Call the recovery again and again, as a worker that runs would, until it brings something or the time is up."""
    if not contender.recovery:
        return []
    seconds = contender.reap_after + 1.0 if seconds is None else seconds
    queue, until, got = contender(folder), time.monotonic() + seconds, list[str]()
    while not got and time.monotonic() < until:
        queue.recover()
        got = _take_all(queue)
        time.sleep(0.05)
    return got
