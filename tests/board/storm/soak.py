"""A soak: `up` brings many books through three stages, with a kill now and then; nothing that is held may grow.

    python -m tests.board.storm.soak --books 100000

Memory, descriptors and temporary files of the orchestrator, of every worker and of the board are sampled from outside,
while all of them are scraped as Prometheus would do. After the first tenth of its life nothing may grow by 5 %.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.config import Settings
from tests.board.storm import harness
from tests.board.storm.gauges import Figure, Life
from tests.board.storm.oracle import Story, Verdict, judge
from tests.board.storm.stages import RECORD, work_log

_ROOT = Path(__file__).parents[3]
_STAGES = 3
_SAMPLE_EVERY = 0.05
_UP = [sys.executable, "-P", "-m", "services.orchestrator", "up", "--until-drained"]


@dataclass
class Soak:
    """One run in an empty folder."""

    folder: Path
    books: int
    kills: int
    leaks: bool = False
    lives: dict[int, Life] = field(default_factory=dict)
    story: Story = field(default_factory=Story)

    def __post_init__(self) -> None:
        classes = ["Leaks" if self.leaks else "Writes", "Adds", "Ends"]
        # Without a limit the books' folders of all that the first stage is ahead would lie on the disk.
        filters = harness.rows(classes, workers=2, wip_limit=100)
        self.settings: Settings = harness.make_board(self.folder, filters, heartbeat=1, reap_after=10)
        self.board = Life("the board")
        self.dice = random.Random(1)
        work_log(self.settings).touch()

    def run(self) -> tuple[Verdict, list[Figure]]:
        """Seed, run, sample, kill, judge."""
        began = time.monotonic()
        self.story.inodes = harness.seed(self.settings, (f"B{number:06}" for number in range(self.books)))
        with (self.folder / "up.log").open("w") as log:
            command = [*_UP, "--config", str(self.settings.path)]
            environ = os.environ | {"PYTHONPATH": str(_ROOT)}
            up = subprocess.Popen(command, stdout=log, stderr=log, env=environ, start_new_session=True)
        try:
            self._watch(up)
        finally:
            up.kill()
            up.wait()
        verdict = judge(self.settings, self.story)
        verdict.seconds = time.monotonic() - began
        lives = [*self.lives.values(), self.board]
        return verdict, [figure for life in lives for figure in life.figures()]

    def _watch(self, up: subprocess.Popen[bytes]) -> None:
        """Samples are taken at steps of the work and not of the clock, so that a slow machine gives as many."""
        work = self.books * _STAGES
        at = [work * (number + 1) / (self.kills + 1) for number in range(self.kills)]
        while up.poll() is None:
            done = work_log(self.settings).stat().st_size // RECORD
            if done < work:
                self._sample(up.pid)
            if at and done >= at[0]:
                at.pop(0)
                self._kill()
            time.sleep(_SAMPLE_EVERY)
        if up.returncode:
            self.story.ended.append(f"up ended with {up.returncode}: {(self.folder / 'up.log').read_text()[-500:]}")

    def _sample(self, up: int) -> None:
        present = self._present()
        for pid, name, _ in present:
            self.lives.setdefault(pid, Life(name)).look(pid)
        self.board.files.append(self._temporary())
        if present:
            _scrape(self.dice.choice(present)[2])

    def _present(self) -> list[tuple[int, str, str]]:
        """Every process of the board that is alive: its id, its name, and where its metrics are."""
        found = []
        for path in (self.settings.global_.pipeline_dir / "workers").glob("[!.]*.json"):
            try:
                facts = json.loads(path.read_bytes())
            except (OSError, ValueError):
                continue
            if "metrics" in facts:
                found.append((facts["pid"], path.stem, facts["metrics"]))
        return found

    def _temporary(self) -> int:
        """Files that are there for a moment only, or should be."""
        root = self.settings.global_.pipeline_dir
        lasting = {*self.settings.global_.temp_dir.iterdir(), *(root / "seeding").iterdir()}
        passing = [*(root / "workers").glob(".*"), *self.settings.global_.processing_bucket.glob(".*")]
        return len(lasting) + len(passing)

    def _kill(self) -> None:
        """The youngest worker of some stage: the others live from the beginning to the end."""
        workers = [one for one in self._present() if not one[1].startswith("orchestrator")]
        stage = self.dice.choice(sorted({name.partition("-")[0] for _, name, _ in workers}))
        ours = [(self._first_seen(pid), pid, name) for pid, name, _ in workers if name.startswith(f"{stage}-")]
        _, pid, name = max(ours)
        os.kill(pid, signal.SIGKILL)
        self.story.killed.add(name)

    def _first_seen(self, pid: int) -> int:
        """The place of a process in the order in which they came."""
        return list(self.lives).index(pid) if pid in self.lives else len(self.lives)


def _scrape(address: str) -> None:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            answer.read()
    except OSError:
        # It has just been killed, or it ends.
        return


def main(argv: Sequence[str] | None = None) -> int:
    """Run one soak; exit code 1 when something grows or a book is not where it should be."""
    arguments = _parser().parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=arguments.folder))
    verdict, figures = Soak(folder, arguments.books, arguments.kills, arguments.leaks).run()
    print(*(figure.line() for figure in figures), verdict.line(), *verdict.wrong(), sep="\n")
    bad = bool(verdict.wrong()) or any(figure.grows for figure in figures)
    print(f"{len(figures)} gauges, {sum(figure.grows for figure in figures)} of them grow")
    if bad and not arguments.leaks:
        print(f"everything is kept in {folder}")
    else:
        shutil.rmtree(folder)
    return int(bad)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.board.storm.soak")
    parser.add_argument("--books", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--folder", help="where the board is made, instead of the temporary folder")
    parser.add_argument("--leaks", action="store_true", help="let the first stage leak: the soak must notice")
    return parser


if __name__ == "__main__":
    sys.exit(main())
