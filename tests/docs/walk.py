"""Goes through the tutorial as a person does: types what stands in it, in the order in which it stands there."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests import warm
from tests.docs.pages import ROOT, Block, blocks
from tests.helpers import until

TUTORIAL = ROOT / "docs" / "tutorial" / "first-books.md"
_PORT = "8090"
# The tests' own environment is that of somebody who has done so.
_DONE_BEFORE = ("make setup", "export PATH=")
_SERVES = "python -m simulator serve"


@dataclass
class Step:
    """One block of commands, what they said, and what the page says that they say."""

    block: Block
    said: str = ""
    codes: list[int] = field(default_factory=list)
    shown: str = ""


@dataclass
class Walk:
    """A home with everything that the tutorial makes in it."""

    home: Path
    steps: list[Step] = field(default_factory=list)
    here: Path = field(init=False)
    environ: dict[str, str] = field(init=False)
    kept: Path = field(init=False)
    """The folder as it was when the first books had come and one had failed."""

    def __post_init__(self) -> None:
        self.here, self.kept = self.home, self.home / "kept"
        ours = {name: value for name, value in os.environ.items() if not name.startswith("GRIN_PIPELINE_")}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environ = {**ours, "HOME": str(self.home), "PATH": path, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = str(free.getsockname()[1])
        self._simulator: subprocess.Popen[str] | None = None
        self._up: subprocess.Popen[str] | None = None

    def go(self) -> None:
        """The whole way."""
        for step in _steps():
            self.steps.append(step)
            for line in step.block.text.replace(_PORT, self._port).splitlines():
                if not line.startswith(_DONE_BEFORE):
                    self._type(line, step)

    def end(self) -> None:
        """Nothing that was started stays."""
        with ExitStack() as both:
            for process in filter(None, (self._simulator, self._up)):
                both.callback(_interrupt, process)

    def _type(self, line: str, step: Step) -> None:
        if line.startswith("export "):
            name, _, value = line.removeprefix("export ").partition("=")
            self.environ[name] = value
        elif line.startswith("cd "):
            self.here = Path(line.removeprefix("cd ").replace("~", str(self.home)))
        elif line.startswith(_SERVES):
            self._serve(line)
        elif line == "grin-pipeline up":
            self._run_on(line)
        else:
            self._run(line, step)

    def _run(self, line: str, step: Step) -> None:
        if line.startswith("grin-pipeline ") and "up" not in line.split():
            done = warm.run(shlex.split(line)[1:], self.environ, cwd=self.here)
        else:
            done = subprocess.run(
                ["bash", "-c", line], cwd=self.here, env=self.environ, capture_output=True, text=True, check=False
            )
        step.said += done.stdout + done.stderr
        step.codes.append(done.returncode)
        if line.startswith("grin-pipeline up"):
            shutil.copytree(self.here, self.kept, symlinks=True)

    def _serve(self, line: str) -> None:
        if self._simulator is not None:
            _interrupt(self._simulator)
        pipe = subprocess.PIPE
        self._simulator = subprocess.Popen(
            shlex.split(line), cwd=self.here, env=self.environ, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )
        assert self._simulator.stdout is not None
        json.loads(self._simulator.stdout.readline())

    def _run_on(self, line: str) -> None:
        """`up` goes on until it is stopped; a person looks at it until the books are home."""
        with (self.home / "up.log").open("w") as log:
            self._up = subprocess.Popen(shlex.split(line), cwd=self.here, env=self.environ, stdout=log, stderr=log)
        until(lambda: self._facts().get("done") == 3, 120)

    def _facts(self) -> dict[str, object]:
        time.sleep(0.5)
        return dict(json.loads(warm.run(["status", "--json"], self.environ, cwd=self.here).stdout))


def missing(step: Step, home: Path) -> list[str]:
    """Lines that the page shows after a step, and that were not said, in that order."""
    said = [_plain(line) for line in step.said.replace(str(home), "/home/ann").splitlines()]
    for line in (lines := iter([*step.shown.splitlines()])):
        found = next((number for number, real in enumerate(said) if _plain(line).rstrip(", …") in real), None)
        if found is None:
            return [line, *lines]
        said = said[found + 1 :]
    return []


def _plain(line: str) -> str:
    """A line without what is another one each time: times, measures, people, blanks."""
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", line)
    line = re.sub(r"[\d,.]+ (ms|s|bytes)\b", r"SOME \1", line)
    return " ".join(re.sub(r"by \w+@[\w.-]+", "by WHO", line).split())


def _steps() -> Iterator[Step]:
    """Blocks of commands, each with the block of text that follows it."""
    step: Step | None = None
    for block in blocks(TUTORIAL):
        if block.language == "text":
            assert step is not None
            step.shown += block.text
        else:
            if step is not None:
                yield step
            step = Step(block)
    if step is not None:
        yield step


def _interrupt(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
