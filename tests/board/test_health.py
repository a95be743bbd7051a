"""Health means progress: a loop or a watchdog that stands still turns /healthz red; a long job does not."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common import worker
from tests.board.fixtures import changed
from tests.board.test_poison import alive_with
from tests.helpers import Line, stop, until

# Red after two seconds instead of thirty, so that a test need not wait.
BOUND = 2.0
HASTY = f"import common.worker\ncommon.worker._STUCK = {BOUND}\n"
# Once `frozen` exists, each listing of the bucket waits in a system call that does not come back.
FREEZES = """
import os
from common.feed import Feed
_next = Feed.next

def _frozen(self, server_now):
    if os.path.exists("FOLDER/frozen"):
        os.open("FOLDER/frozen", os.O_RDONLY)
    return _next(self, server_now)

Feed.next = _frozen
"""
# Once `dying` exists, the watchdog's thread ends by an error that nobody expected.
WATCHDOG_DIES = """
import os, threading
from common.worker import Worker
_beat = Worker._beat
threading.excepthook = lambda _args: None

def _dies(self):
    if os.path.exists("FOLDER/dying"):
        raise RuntimeError("the watchdog is dead")
    return _beat(self)

Worker._beat = _dies
"""
# Whatever happens, all is well.
ALWAYS_WELL = """
from common.worker import Worker
Worker.alive = lambda self: (True, "working")
"""
STAGES = """
import subprocess
from pathlib import Path
from common.stage import Stage

class Slow(Stage):
    def process(self, book, work):
        while not Path(self.options["until"]).exists():
            time.sleep(0.02)

class HungChild(Stage):
    def process(self, book, work):
        subprocess.run(["sh", "-c", "trap '' TERM INT HUP; while :; do sleep 1; done", self.options["tag"]])
"""


def make(folder: Path, *changes: str, **row: object) -> Line:
    """A line of one stage that works until `go` exists; its processes are changed so."""
    line = Line(folder, STAGES, heartbeat=0.2, reap_after=1.5)
    changed(line, HASTY + "".join(changes).replace("FOLDER", str(folder)))
    return line.stage("slow", "Slow", 0, options={"until": f"{folder}/go"}, **row)


def health(line: Line) -> int:
    """What /healthz of the only worker answers."""
    for path in (line.root / "workers").glob("slow-*.json"):
        address = str(json.loads(path.read_bytes())["metrics"]).replace("/metrics", "/healthz")
        try:
            with urllib.request.urlopen(address, timeout=20) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return int(error.code)
        except OSError:
            return 0
    return 0


@contextmanager
def one_worker(line: Line) -> Iterator[subprocess.Popen[str]]:
    """A worker that is healthy at first."""
    process = line.stage_process("slow")
    try:
        until(lambda: health(line) == 200)
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_red_comes_within_a_minute() -> None:
    """The bound of the product itself, which these tests shorten, is a minute at most."""
    assert worker._STUCK <= 60


def test_a_frozen_loop_turns_red(tmp_path: Path) -> None:
    """A loop that waits for ever in a call of the file system turns /healthz red, although its port still answers."""
    line = make(tmp_path, FREEZES)
    with one_worker(line):
        os.mkfifo(tmp_path / "frozen")
        began = time.monotonic()
        until(lambda: health(line) == 503, 60)
        assert time.monotonic() - began > BOUND / 2


def test_health_without_the_loop_is_noticed(tmp_path: Path) -> None:
    """Twin: where health is only that the port answers, a frozen loop stays green."""
    line = make(tmp_path, FREEZES, ALWAYS_WELL)
    with one_worker(line):
        os.mkfifo(tmp_path / "frozen")
        time.sleep(2 * BOUND)
        assert health(line) == 200


def test_a_long_job_stays_healthy(tmp_path: Path) -> None:
    """A job of many times the bound is healthy throughout, and so is an idle worker."""
    line = make(tmp_path)
    with one_worker(line) as process:
        line.seed(["A1"])
        until(lambda: line.places("A1") == ["00_b/working"])
        answers = [health(line) for _ in range(15) if time.sleep(BOUND / 6) is None]
        (tmp_path / "go").touch()
        until(lambda: line.places("A1") == ["01_b"])
        assert set(answers) == {200}
        assert health(line) == 200
        assert stop(process) == 0


def test_a_dead_watchdog_turns_red(tmp_path: Path) -> None:
    """Without its watchdog a worker neither beats nor ends what takes too long, so it is not healthy, even at work."""
    line = make(tmp_path, WATCHDOG_DIES)
    with one_worker(line):
        line.seed(["A1"])
        until(lambda: line.places("A1") == ["00_b/working"])
        (tmp_path / "dying").touch()
        until(lambda: health(line) == 503, 60)


def test_a_hung_child_is_ended_by_the_time_limit(tmp_path: Path) -> None:
    """A child that ignores every polite signal ends with its attempt, and the next worker is healthy."""
    tag = f"tag-{secrets.token_hex(8)}"
    line = make(tmp_path, time_limit=1.5, attempts=1)
    line.filters[0] |= {"class": "their_module:HungChild", "options": {"tag": tag}}
    line.stage("after", "Slow", 1, options={"until": f"{tmp_path}/go"})
    line.seed(["A1"])
    up = line.up()
    try:
        until(lambda: alive_with(tag))
        until(lambda: line.places("A1") == ["00_b/failed"])
        until(lambda: alive_with(tag) == [])
        until(lambda: health(line) == 200)
    finally:
        assert stop(up, 60) == 0
