"""Real processes for the tests: boards of one's own stages, `grin-pipeline` started, killed and asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from tests import warm

# `make storm` sets it: storms of kills have the size then that they were made for.
FULL_STORMS = bool(os.environ.get("BOARD_STORMS"))
GRIN_PIPELINE = [sys.executable, "-P", "-m", "services.orchestrator"]
STATES = ("", "working", "deferred", "failed", "held")


class Line:
    """A folder with a configuration, stages of its own and a board."""

    def __init__(self, folder: Path, stages: str, **common: object) -> None:
        self.folder = folder
        self.root = folder / "pipeline"
        self.config = folder / "config.yaml"
        self.common = {"heartbeat": 0.3, "reap_after": 1.5, "poll": 0.05, **common}
        self.filters: list[dict[str, Any]] = []
        (folder / "their_module.py").write_text("import os, time\n" + textwrap.dedent(stages))
        # This checkout first, whatever is installed where the tests run.
        self.environ = {**os.environ, "PYTHONPATH": f"{Path(__file__).parents[1]}:{folder}"}
        self._ours = dict(self.environ)

    def stage(self, name: str, cls: str, number: int, **row: object) -> Line:
        """Add a stage that moves tokens from bucket `number` to the next."""
        pipes = {"input_pipe": f"pipeline/{number:02}_b", "output_pipe": f"pipeline/{number + 1:02}_b"}
        self.filters.append({"name": name, "class": f"their_module:{cls}", **pipes, **row})
        self.config.write_text(yaml.safe_dump({"global": self.common, "filters": self.filters}))
        return self

    def bucket(self, number: int) -> Path:
        """The path of a bucket."""
        return self.root / f"{number:02}_b"

    def seed(self, barcodes: Iterable[str], *more: str) -> None:
        """Seed by the command, from standard input."""
        text = "\n".join(barcodes)
        self._ran("seed", "--config", str(self.config), "--from", "-", *more, text=text).check_returncode()

    def up(self, *more: str) -> subprocess.Popen[str]:
        """Start `up`, its output in up.log."""
        return self._start("up.log", "up", "--config", str(self.config), *more)

    def drain(self, *more: str, timeout: float = 60) -> int:
        """Run `up --until-drained` to its end; the exit code."""
        return self.up("--until-drained", *more).wait(timeout)

    def stage_process(self, name: str) -> subprocess.Popen[str]:
        """Start one stage in the foreground, its output in stage.log."""
        return self._start("stage.log", "stage", name, "--config", str(self.config), "--metrics", "127.0.0.1:0")

    def _start(self, log: str, *command: str) -> subprocess.Popen[str]:
        whole = [*GRIN_PIPELINE, *command]
        with (self.folder / log).open("a") as out:
            return subprocess.Popen(whole, stdout=out, stderr=out, text=True, env=self.environ, start_new_session=True)

    def ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run any command to its end."""
        return self._ran(command[0], "--config", str(self.config), *command[1:])

    def _ran(self, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        if self.environ == self._ours and not (self.folder / "sitecustomize.py").exists():
            return warm.run(list(command), self.environ, text)
        # What is changed from the first moment on is started from nothing.
        whole = [*GRIN_PIPELINE, *command]
        return subprocess.run(whole, capture_output=True, text=True, env=self.environ, check=False, input=text)

    def status(self) -> dict[str, Any]:
        """`status --json`."""
        return dict(json.loads(self.ask("status", "--json").stdout))

    def events(self, barcode: str) -> list[dict[str, Any]]:
        """A book's ledger."""
        path = self.root / "ledger" / barcode[-3:] / f"{barcode}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def kinds(self, barcode: str) -> list[str]:
        """The kinds of a book's events."""
        return [event["event"] for event in self.events(barcode)]

    def tokens(self) -> dict[str, list[tuple[str, int]]]:
        """Every token on the board by barcode: the folders it lies in, and its inode."""
        found: dict[str, list[tuple[str, int]]] = {}
        for bucket in sorted(self.root.glob("[0-9]*")):
            for state in STATES:
                folder = bucket / state
                for path in folder.glob("*.json") if folder.is_dir() else ():
                    barcode = path.name.removesuffix(".json").partition("~")[0]
                    place = f"{bucket.name}/{state}".rstrip("/")
                    # A token may move on while we look.
                    with suppress(FileNotFoundError):
                        found.setdefault(barcode, []).append((place, path.lstat().st_ino))
        return found

    def places(self, barcode: str) -> list[str]:
        """Where one book's tokens are."""
        return [place for place, _ in self.tokens().get(barcode, [])]

    def log(self, name: str = "up.log") -> str:
        """What a process has said so far."""
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    def workers(self) -> list[int]:
        """Process ids of the workers of this board that are alive."""
        found = []
        for pid in (int(name) for name in os.listdir("/proc") if name.isdecimal()):
            try:
                argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"common.run" in argv and str(self.config).encode() in argv:
                found.append(pid)
        return found


_BETWEEN = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[2:]).returncode
with open(sys.argv[1], "w") as file:
    file.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)
"""


def measured(command: list[str]) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run a command to its end, and the most memory that it had, in MB.

    Through a small process in between: a child counts what its parent has as its own, until it is another program.
    """
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with tempfile.NamedTemporaryFile("r") as peak:
        whole = [sys.executable, "-c", _BETWEEN, peak.name, *command]
        done = subprocess.run(whole, capture_output=True, text=True, env=environ, check=False)
        return done, int(peak.read()) / 1024


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait until something is true; fail when it does not become so in time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def stop(process: subprocess.Popen[str], seconds: float = 30) -> int:
    """SIGTERM, then the exit code."""
    process.send_signal(signal.SIGTERM)
    return process.wait(seconds)
