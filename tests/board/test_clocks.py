"""Clocks that are wrong: workers a day apart, and a clock that steps; only the file server's time counts."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from tests.board.fixtures import changed
from tests.helpers import GRIN_PIPELINE, Line, until

DAY = 86_400.0
# Every clock of the process but the monotonic one, as far as Python shows them; the file system's stays as it is.
SHIFTED = """
import datetime, os, time
_file = os.environ.get("CLOCK")
_real = time.time

def _shift():
    if _file is None:
        return 0.0
    with open(_file) as file:
        return float(file.read() or 0)

class _Shifted(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)

if _file is not None:
    time.time = lambda: _real() + _shift()
    time.time_ns = lambda: int(time.time() * 1e9)
    datetime.datetime = _Shifted
"""
# Ages judged by this host's clock.
BY_THE_HOST = """
import common.reaper, os, time

def _watch(self, claimants):
    beats = {name: common.reaper._beat(self.workers / name) for name in os.listdir(self.workers)}
    self._silent = {name: (0, time.time() - beat / 1e9) for name, beat in beats.items()}

common.reaper.Reaper._watch = _watch
"""
DUE_BY_THE_HOST = """
import common.heartbeat, time
common.heartbeat.Heartbeat.server_now = lambda self: time.time()
"""
STAGES = """
from pathlib import Path
from common.stage import Stage, Retry

class Slow(Stage):
    def process(self, book, work):
        while not Path(self.options["until"]).exists():
            time.sleep(0.02)

class Later(Stage):
    def process(self, book, work):
        if book.attempt == 1:
            raise Retry("Not yet.", delay=self.options["delay"])
"""


class Clocks:
    """A line, and workers of its one stage that each have a clock of their own."""

    def __init__(self, folder: Path, more: str = "", **common: object) -> None:
        self.line = changed(Line(folder, STAGES, **common), SHIFTED + more)
        self.workers: dict[subprocess.Popen[str], Path] = {}

    def start(self, stage: str, shift: float) -> subprocess.Popen[str]:
        """A worker whose clock is so many seconds ahead."""
        clock = self.line.folder / f"clock-{len(self.workers)}"
        clock.write_text(str(shift))
        command = [*GRIN_PIPELINE, "stage", stage, "--config", str(self.line.config), "--metrics", "127.0.0.1:0"]
        environ = {**self.line.environ, "CLOCK": str(clock)}
        with (self.line.folder / "stage.log").open("a") as out:
            worker = subprocess.Popen(command, stdout=out, stderr=out, env=environ, text=True, start_new_session=True)
        self.workers[worker] = clock
        return worker

    def step(self, worker: subprocess.Popen[str], shift: float) -> None:
        """Set a worker's clock while it runs."""
        new = self.workers[worker].with_suffix(".new")
        new.write_text(str(shift))
        new.replace(self.workers[worker])

    def end(self) -> None:
        """Kill the workers that are left."""
        for worker in self.workers:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


@contextmanager
def clocks(folder: Path, more: str = "", **common: object) -> Iterator[Clocks]:
    """Such a line; its workers end with it."""
    made = Clocks(folder, more, **common)
    try:
        yield made
    finally:
        made.end()


def working(line: Line) -> int:
    """How many tokens are claimed."""
    return len(list((line.bucket(0) / "working").glob("*~*.json")))


def slow(made: Clocks, *barcodes: str) -> Line:
    """The line with a stage that holds its books until `go` exists, and some books."""
    line = made.line.stage("slow", "Slow", 0, options={"until": f"{made.line.folder}/go"})
    line.seed(barcodes)
    return line


def hold(made: Clocks, *barcodes: str, holders: tuple[float, ...], idle: tuple[float, ...]) -> Line:
    """Workers with these clocks, of which the first hold a book each, and the others have time to look for the dead."""
    line = slow(made, *barcodes)
    for shift in holders:
        made.start("slow", shift)
    until(lambda: working(line) == len(barcodes))
    for shift in idle:
        made.start("slow", shift)
    until(lambda: line.log("stage.log").count("The worker is ready.") == len(holders) + len(idle))
    return line


def returned(line: Line) -> int:
    """How many claims were reaped."""
    return sum(line.kinds(barcode).count("returned") for barcode in line.tokens())


def test_workers_a_day_apart_do_not_reap_each_other(tmp_path: Path) -> None:
    """Clocks a day ahead, a day behind and ten minutes apart: nobody's claim is taken while its worker lives."""
    with clocks(tmp_path, heartbeat=0.2, reap_after=1.5) as made:
        line = hold(made, "A1", "A2", holders=(600.0, -DAY), idle=(DAY, 0.0, -DAY))
        time.sleep(3)
        assert returned(line) == 0
        (tmp_path / "go").touch()
        until(lambda: len(list(line.bucket(1).glob("*.json"))) == 2)
        assert [line.kinds(barcode).count("attempt") for barcode in ("A1", "A2")] == [1, 1]
        dates = {str(event["time"])[:10] for barcode in ("A1", "A2") for event in line.events(barcode)[1:]}
        assert len(dates) >= 2, "the clocks were not shifted at all"


def test_a_clock_that_steps_in_mid_run(tmp_path: Path) -> None:
    """Clocks jump a day ahead and two back, of those at work and of those who look on: nobody is reaped."""
    with clocks(tmp_path, heartbeat=0.2, reap_after=1.5) as made:
        line = hold(made, "A1", holders=(0.0,), idle=(0.0, 0.0))
        holder, onlooker, _ = made.workers
        for shift in (DAY, -DAY, 0.0):
            made.step(holder, shift)
            time.sleep(0.6)
            made.step(onlooker, shift)
            time.sleep(1.2)
        assert returned(line) == 0
        (tmp_path / "go").touch()
        until(lambda: len(list(line.bucket(1).glob("*.json"))) == 1)
        assert line.kinds("A1").count("attempt") == 1


def test_the_dead_are_reaped_whatever_the_clock_says(tmp_path: Path) -> None:
    """A worker a day ahead dies, and one a day behind brings its claim back after reap_after."""
    with clocks(tmp_path, heartbeat=0.2, reap_after=1.0) as made:
        line = slow(made, "A1", "A2", "A3")
        dead = made.start("slow", DAY)
        until(lambda: working(line) == 1)
        os.killpg(dead.pid, signal.SIGKILL)
        dead.wait()
        (tmp_path / "go").touch()
        made.start("slow", -DAY)
        until(lambda: len(list(line.bucket(1).glob("*.json"))) == 3, 30)


def test_ages_by_the_hosts_clock_are_noticed(tmp_path: Path) -> None:
    """Twin: where a worker's age is judged by the host's clock, one that is a day ahead reaps the living."""
    with clocks(tmp_path, BY_THE_HOST, heartbeat=0.2, reap_after=1.5) as made:
        line = hold(made, "A1", holders=(0.0,), idle=(DAY,))
        until(lambda: returned(line) > 0)


@pytest.mark.parametrize("shift", [DAY, -DAY])
def test_a_retry_is_due_by_the_boards_clock(tmp_path: Path, shift: float) -> None:
    """A retry in two seconds, given by a worker whose clock is wrong, is made by another then, no sooner."""
    with clocks(tmp_path) as made:
        first, second = deferred_and_done(made, shift)
    assert 1.9 <= second - first < 12


def test_a_retry_by_the_hosts_clock_is_noticed(tmp_path: Path) -> None:
    """Twin: where the host's clock says when a retry is due, it comes at once."""
    with clocks(tmp_path, DUE_BY_THE_HOST) as made:
        first, second = deferred_and_done(made, -DAY)
    assert not 1.9 <= second - first < 12


def _time_of(line: Line, event: str) -> float:
    """When a line came into the ledger, by the clock of the worker that wrote it, set right."""
    (found,) = [one for one in line.events("A1") if one["event"] == event]
    written = datetime.fromisoformat(str(found["time"])).timestamp()
    return min((written + shift for shift in (0.0, DAY, -DAY, -600.0)), key=lambda at: abs(at - time.time()))


def deferred_and_done(made: Clocks, shift: float) -> tuple[float, float]:
    """When the book was deferred and when it came through, by this host's clock."""
    line = made.line.stage("later", "Later", 0, options={"delay": 2.0})
    line.seed(["A1"])
    worker = made.start("later", shift)
    until(lambda: line.places("A1")[:1] in (["00_b/deferred"], ["01_b"]))
    first = _time_of(line, "deferred")
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()
    made.start("later", 0.0)
    until(lambda: line.places("A1") == ["01_b"], 40)
    return first, _time_of(line, "done")
