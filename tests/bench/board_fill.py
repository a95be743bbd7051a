"""Boards with many waiting tokens, made quickly and laid out on the disk as a real seeding leaves them.

Each book gets what `Seeder` gives it, in the same folders and the same order of calls, but nothing is waited for: one
sync of everything stands at the end. A measured move then meets files that rest on the disk.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import yaml

from common import board, ledger, listing
from common.token import encode

# A token, a ledger file and their names and inodes, in bytes, on a file system with blocks of 4 KB.
BYTES_A_BOOK = 9_500
_SPARE = 1.2
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
# From so many books on, two processes fill.
_MANY = 20_000


@dataclass
class Filled:
    """One board: `source` holds the waiting tokens, `target` takes the finished ones."""

    root: Path
    size: int
    waiting: int = 0
    seeded: int = 0
    least: int = -1
    """So many tokens must stay waiting: half of them, if nothing else is said."""

    def __post_init__(self) -> None:
        self.pipeline = self.root / "pipeline"
        self.source, self.target = self.pipeline / "01_waiting", self.pipeline / "02_done"
        self.config = self.root / "config.yaml"
        self.least = self.size // 2 if self.least < 0 else self.least

    def prepare(self) -> None:
        """The folders and the configuration of a board of one stage that does nothing."""
        board.prepare(self.pipeline, [self.source, self.target])
        for number in range(1000):
            (self.pipeline / "ledger" / f"{number:03}").mkdir(exist_ok=True)
        row = {"name": "hop", "class": "tests.bench.board_moves:Nothing"}
        row |= {"input_pipe": str(self.source), "output_pipe": str(self.target)}
        common = {"pipeline_dir": str(self.pipeline), "processing_bucket": str(self.root / "processing")}
        self.config.write_text(yaml.safe_dump({"global": common, "filters": [row]}))

    def fill(self) -> None:
        """Seed until `size` tokens wait."""
        first, end = self.seeded, self.seeded + self.size - self.waiting
        parts = 2 if end - first >= _MANY else 1
        cuts = [first + (end - first) * part // parts for part in range(parts + 1)]
        fork = multiprocessing.get_context("fork")
        fillers = [fork.Process(target=self._seed, args=cut, daemon=True) for cut in pairwise(cuts)]
        for filler in fillers:
            filler.start()
        for filler in fillers:
            filler.join()
            if filler.exitcode:
                raise RuntimeError(f"The board of {self.size:,} tokens could not be filled.")
        self.seeded, self.waiting = end, self.size
        os.sync()

    def need(self, moves: int) -> None:
        """See to it that enough tokens still wait after so many moves; what was moved before goes away."""
        if self.waiting - moves < self.least:
            self._clear()
            self.fill()

    def restore(self) -> None:
        """Put every claimed token back, as if nobody had claimed it."""
        for held in listing.claims(self.source):
            board.put_back(held)

    def half_drain(self) -> None:
        """Move the first half of a listing on, without waiting for the disk: the folder keeps its old length."""
        half = list(islice(listing.barcodes(self.source), self.waiting // 2))
        for barcode in half:
            os.rename(f"{self.source}/{barcode}.json", f"{self.target}/{barcode}.json")  # noqa: PTH104
        self.waiting, self.least = self.waiting - len(half), 0
        os.sync()

    def _seed(self, first: int, end: int) -> None:
        """Two fillers use a folder each, which would wait for each other in one."""
        seeding = self.pipeline / "seeding" / str(first)
        seeding.mkdir()
        for number in range(first, end):
            barcode = f"32101{number:09}"
            token, draft = f"{barcode}~bench.1.json", f"{seeding}/{barcode}~0123456789ab.jsonl"
            _write(f"{seeding}/{token}", encode(barcode, "", ""))
            _write(draft, ledger._line("registered", {"bucket": self.source.name, "token": token}))
            os.rename(draft, f"{self.pipeline}/ledger/{barcode[-3:]}/{barcode}.jsonl")  # noqa: PTH104
            os.rename(f"{seeding}/{token}", f"{self.source}/{barcode}.json")  # noqa: PTH104
        seeding.rmdir()

    def _clear(self) -> None:
        for barcode in listing.barcodes(self.target):
            board.path_of(self.target, barcode, board.WAITING).unlink()
            (self.pipeline / "ledger" / barcode[-3:] / f"{barcode}.jsonl").unlink()


def _write(path: str, data: bytes) -> None:
    fd = os.open(path, _NEW, 0o644)
    os.write(fd, data)
    os.close(fd)


def room_for(sizes: Iterable[int], folder: Path) -> Iterator[tuple[int, str]]:
    """The sizes, each with why it does not fit into the file system beside those before it; empty when it fits."""
    figures = os.statvfs(folder)
    space, inodes = figures.f_bavail * figures.f_frsize, figures.f_favail
    for size in sizes:
        wanted, files = int(size * BYTES_A_BOOK * _SPARE), int(size * 2 * _SPARE) + 5_000
        if space < wanted:
            yield size, f"needs {wanted / 1e9:.1f} GB, {space / 1e9:.1f} GB are free"
        elif inodes < files:
            yield size, f"needs {files:,} inodes, {inodes:,} are free"
        else:
            space, inodes = space - wanted, inodes - files
            yield size, ""


@contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A folder of this run that is gone at its end, however it ends; those that killed runs have left go first."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("board-*"):
        if not Path("/proc", old.name.partition("-")[2]).exists():
            _remove(old)
    mine = folder / f"board-{os.getpid()}"
    mine.mkdir()
    try:
        yield mine
    finally:
        _remove(mine)


def _remove(folder: Path) -> None:
    """Two at a time, and through a second Ctrl-C: a million files take a minute or more."""
    parts = [*folder.glob("*/pipeline/ledger"), *folder.glob("*/pipeline/0*")]
    halves = [parts[::2], parts[1::2]]
    removers = [subprocess.Popen(["rm", "-rf", "--", *map(str, half)], start_new_session=True) for half in halves]
    _wait([*removers])
    _wait([subprocess.Popen(["rm", "-rf", "--", str(folder)], start_new_session=True)])


def _wait(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        while process.returncode is None:
            try:
                process.wait()
            except KeyboardInterrupt:
                print("Wait: the bench's files are being removed.", flush=True)
