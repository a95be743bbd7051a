"""Forked workers that begin together and share so many steps; how long they took, and what they saw."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

_FORK = multiprocessing.get_context("fork")
# Steps that a worker takes on at once, so that sharing costs nothing and all end at the same time.
_GRANT = 4

# Prepares, yields once when it is ready, then does one step for each further yield, and names what it had in hand.
Worker = Callable[[int], Iterator[str]]


@dataclass(frozen=True)
class Timing:
    """All steps of all workers; `seconds` from the first start to the last end, `cpu` with all of them together."""

    count: int
    seconds: float
    cpu: float
    doubled: int
    troubles: tuple[str, ...]
    complete: bool

    @property
    def rate(self) -> float:
        """Steps a second."""
        return self.count / self.seconds if self.seconds > 0 else 0.0


def together(worker: Worker, workers: int, total: int, limit: float = 600.0) -> Timing:
    """Run `worker(n)` in so many processes until `total` steps are made; after `limit` seconds they stop anyway."""
    barrier, left = _FORK.Barrier(workers), _FORK.Value("q", total)
    pipes = [_FORK.Pipe(duplex=False) for _ in range(workers)]
    children = [
        _FORK.Process(target=_child, args=(worker, number, barrier, left, limit, end), daemon=True)
        for number, (_, end) in enumerate(pipes)
    ]
    try:
        for child, (_, end) in zip(children, pipes, strict=True):
            child.start()
            end.close()
        return _sum([here.recv() for here, _ in pipes], total)
    finally:
        for child, (here, _) in zip(children, pipes, strict=True):
            here.close()
            if child.pid is not None:
                child.kill()
                child.join()


def _sum(reports: list[_Report], total: int) -> Timing:
    seen = Counter(name for report in reports for name in report.seen)
    return Timing(
        count=seen.total(),
        seconds=max(report.ended for report in reports) - min(report.began for report in reports),
        cpu=sum(report.cpu for report in reports),
        doubled=seen.total() - len(seen),
        troubles=tuple(report.trouble for report in reports if report.trouble),
        complete=seen.total() >= total,
    )


@dataclass
class _Report:
    began: float
    ended: float
    cpu: float
    seen: list[str]
    trouble: str


def _child(worker: Worker, number: int, barrier: Any, left: Any, limit: float, end: Connection) -> None:
    # Ctrl-C is the parent's matter, which ends its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    seen: list[str] = []
    trouble, began, cpu = "", time.monotonic(), time.process_time()
    try:
        steps = worker(number)
        next(steps)
        barrier.wait()
        began, cpu = time.monotonic(), time.process_time()
        _work(steps, left, seen, began + limit)
    except threading.BrokenBarrierError:
        pass
    except Exception:  # noqa: BLE001 - it is told to the parent
        trouble = traceback.format_exc()
        # Before the start, the others would wait for this one for ever; after it, nobody waits.
        barrier.abort()
    end.send(_Report(began, time.monotonic(), time.process_time() - cpu, seen, trouble))


def _work(steps: Iterator[str], left: Any, seen: list[str], until: float) -> None:
    while granted := _grant(left):
        for _ in range(granted):
            name = next(steps, None)
            if name is None:
                return
            seen.append(name)
            if time.monotonic() > until:
                return


def _grant(left: Any) -> int:
    with left.get_lock():
        granted = min(_GRANT, left.value)
        left.value -= granted
    return int(granted)
