"""down: what runs here is drained and stopped, nobody else's process is touched, and it is said what is where."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from common.heartbeat import Heartbeat
from tests.helpers import GRIN_PIPELINE, Line, until
from tests.operators import Bench, bench

__all__ = ["bench"]

SLOW = """
import time
from common.stage import Stage
class Slow(Stage):
    def process(self, book, work):
        time.sleep(0.3)
        (work / "page").write_text(book.barcode)
"""


@pytest.fixture
def line(tmp_path: Path) -> Line:
    """A board of one slow stage, that `up` can work on."""
    return Line(tmp_path, SLOW).stage("slow", "Slow", 0, workers=2)


def test_down_drains_and_up_goes_on(line: Line) -> None:
    """down ends `up` and its workers, loses no book and pauses nothing; up goes on. In a container, Compose does it."""
    line.seed([f"B{n}" for n in range(30)])
    running = line.up()
    try:
        until(lambda: len(list(line.bucket(1).glob("*.json"))) >= 2)
        planned = line.ask("down", "--dry-run")
        assert (planned.returncode, f"Orchestrator (process {running.pid}) would be stopped." in planned.stdout) == (
            0,
            True,
        )
        line.environ["STAGE"] = "orchestrator"
        contained = line.ask("down")
        assert (contained.returncode, "docker compose stop" in contained.stdout) == (3, True)
        assert running.poll() is None
        del line.environ["STAGE"]
        ended = line.ask("down")
        assert ended.returncode == 0, ended.stdout
        assert f"Orchestrator (process {running.pid}) has ended." in ended.stdout
        assert running.wait(1) == 0
    finally:
        running.kill()
    assert (line.workers(), list((line.root / "paused").iterdir())) == ([], [])
    assert sorted(len(places) for places in line.tokens().values()) == [1] * 30
    assert not any("working" in place for places in line.tokens().values() for place, _ in places)
    again = line.ask("down", "--json")
    facts = json.loads(again.stdout)
    assert (again.returncode, facts["stopped"], facts["running"], facts["elsewhere"]) == (0, [], [], [])
    assert facts["done"] + facts["left"] == 30
    assert "Nothing runs on this board." in line.ask("down").stdout
    assert line.drain() == 0


def test_down_waits_no_longer_than_told(line: Line) -> None:
    """With a book that takes longer than --timeout, down ends with 3 and says who runs; --now has it handed back."""
    (line.folder / "their_module.py").write_text(SLOW.replace("0.3", "60"))
    line.seed(["B1"])
    running = line.up()
    try:
        until(lambda: list((line.bucket(0) / "working").glob("B1~*")))
        early = line.ask("down", "--timeout", "0.5")
        assert early.returncode == 3
        assert f"Orchestrator (process {running.pid}) still runs. It had not ended after 0.5 s" in early.stdout
        assert line.ask("down", "--now").returncode == 0
        running.wait(1)
    finally:
        running.kill()
    assert line.places("B1") == ["00_b"]


def test_down_sees_what_is_started_again(line: Line) -> None:
    """A stage in the foreground is stopped; where a service manager starts it again at once, down says so, with 3."""
    again = f"while true; do {shlex.join(GRIN_PIPELINE)} stage slow --config {line.config} --metrics 127.0.0.1:0; done"
    line.seed(["B1"])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": line.environ}
    manager = subprocess.Popen(["sh", "-c", again], **quiet)
    try:
        until(lambda: list((line.root / "workers").glob("slow-*.json")))
        # On a machine that is very busy the next one may come too late to be seen by this one.
        told = next(one for one in (line.ask("down") for _ in range(20)) if one.returncode)
    finally:
        manager.kill()
        manager.wait()
        until(lambda: line.ask("down").returncode == 0 and not _running(line), 60)
    assert told.returncode == 3
    assert re.search(r"Slow \(process \d+\) has ended\.\nSlow \(process \d+\) still runs\. It has just", told.stdout)


def _running(line: Line) -> list[Path]:
    """Processes that this board's configuration was given to."""
    found = []
    for argv in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found += [argv] if str(line.config).encode() in argv.read_bytes() else []
    return found


def test_down_touches_nobody_elses_process(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """A stale heartbeat whose number is another program's now is told nothing."""
    bench.put("B1")
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", "services.orchestrator"])
    try:
        facts = {"stage": "orchestrator", "pid": other.pid, "started": "2020-01-01T00:00:00.000Z"}
        beat = Heartbeat(bench.root / "workers", "orchestrator-x-1-abcd", **facts)
        beat.announce()
        os.utime(beat.path, (1, 1))
        assert bench.run("down") == 0
        assert "Nothing runs on this board." in capsys.readouterr().out
        assert other.poll() is None
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()


def test_down_tells_of_other_machines(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    """A live worker of another host is not ours to stop: exit 3, its host, and the engines' own commands."""
    Heartbeat(bench.root / "workers", "one-far-1-abcd", stage="one", host="far\x1b[31m").announce()
    assert bench.run("down") == 3
    said = capsys.readouterr().out
    assert "1 more on other machines or in containers (far" in said
    assert ("docker compose stop" in said, "kubectl -n grin-pipeline scale" in said, "\x1b" in said) == (
        True,
        True,
        False,
    )
    assert socket.gethostname() not in said.partition("which only")[0]
